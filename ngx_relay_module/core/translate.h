/*
 * Translation between wire formats: of a request on its way to a provider, of
 * the answer on its way back, of a stream event by event, of errors.
 *
 *   caller's bytes ─ read_request ─► relay_request_t ─ write_request ─► upstream
 *   caller ◄─ write_response ─ relay_response_t ◄─ read_response ─ upstream's bytes
 *   caller ◄─ write_event ─ relay_stream_event_t ◄─ order ◄─ read_event ─ SSE items
 *
 * A format takes part by one relay_codec_t (core/wire_*_codec.c) and one line in
 * wire_codecs.c. Callers here: the nginx adapter, relayctl translate, tests.
 * Memory is the caller's arena (requests, whole answers) or one bounded block
 * (streams). Nothing is dropped in silence: see relay_note_t.
 */

#ifndef RELAY_TRANSLATE_H
#define RELAY_TRANSLATE_H

#include "arena.h"
#include "canonical.h"
#include "json_tree.h"
#include "target.h"
#include "wire.h"

/* ---- one translation ----------------------------------------------------- */

/*
 * Something of the caller's that does not arrive as it was. name is the caller's
 * word for the field ("stop", "messages.content.cache_control"), without
 * indexes, each once.
 */
typedef struct relay_note_s {
    struct relay_note_s *next;
    relay_span_t name;
    bool changed; /* arrives in another form; false: not at all */
} relay_note_t;

/* What the caller calls a field, where the format has several words for it. */
typedef struct relay_word_s {
    struct relay_word_s *next;
    relay_field_t field;
    relay_span_t word;
} relay_word_t;

/* A name that the upstream cannot take and what it was called instead, both as
 * the content of a JSON string. */
typedef struct relay_rename_s {
    struct relay_rename_s *next;
    relay_span_t original;
    relay_span_t scope; /* the namespace of the original, or empty */
    relay_span_t sent;
    bool free_text; /* a custom tool that was sent as a function */
} relay_rename_t;

/* Lives from a request to the end of its answer; one for each attempt. */
typedef struct {
    const relay_arena_t *arena;
    const relay_codec_t *caller;
    const relay_codec_t *upstream;
    relay_target_t target;
    bool strict; /* refuse instead of dropping */
    /* Show thinking without a signature to callers whose format has signatures.
     * They send it back, and a provider that checks refuses it. */
    bool unsigned_thinking;

    /* For answers whose format does not give them; set before the answer. */
    relay_span_t request_id; /* unique, [A-Za-z0-9] */
    uint64_t created_s;

    /* Set before the request where the caller's format has them in its path; the model
     * as the content of a JSON string. */
    bool stream;
    relay_span_t model;  /* else as the caller wrote it, by relay_translate_request */
    bool usage_wanted;   /* the caller's stream reports usage, by the same */
    relay_note_t *notes; /* in the order of their discovery */
    relay_word_t *words; /* by the reader of the request */
    relay_rename_t *renames;
    relay_error_t error; /* of the last function that did not return RELAY_ERR_NONE */
    /* Of a request for embeddings, by relay_translate_request. */
    size_t texts;            /* how many vectors the answer has to have; 0: unknown */
    bool base64;             /* the caller wants them in base64 */
    uint64_t told_tokens;    /* of them all, that the upstream told beside its answer: set before
                                the answer; 0: it did not */
    relay_span_t told_error; /* the name of a failure that the upstream told beside its answer:
                                set before relay_translate_failure; or empty */
    bool old_calls;          /* the caller knows functions, not tools: its answer has one call */
} relay_translation_t;

/*
 * The request for the upstream, in the arena. What the target refuses is left out
 * and noted, as is what the upstream's format cannot say. The caller's body has passed
 * relay_envelope_read. An error is in translation->error: INVALID_JSON,
 * INVALID_FIELD, MISSING_FIELD with param naming the field in the caller's
 * words ("messages[2].content[0].image_url"), INTERNAL if the arena is empty.
 */
relay_error_code_t relay_translate_request(relay_translation_t *translation, relay_span_t body,
                                           relay_span_t *request);

/*
 * The whole answer for the caller. UPSTREAM_INVALID if the body is not what the
 * upstream's format has, UPSTREAM_ERROR if it is an error behind a good status.
 */
relay_error_code_t relay_translate_response(relay_translation_t *translation, relay_span_t body,
                                            relay_span_t *response);

/*
 * What an error answer of the upstream (any body, also HTML) is to the caller: code and
 * status as the caller's dialect has them, the provider's message, in the words that
 * the caller's clients act upon where there are some, and whether to try again
 * (x-should-retry). Texts are in the arena or in body.
 */
relay_failure_t relay_translate_failure(relay_translation_t *translation, relay_span_t body,
                                        unsigned status);

/* The body for it. Always gives one; empty only if the arena is. */
relay_span_t relay_translate_error(relay_translation_t *translation, relay_span_t body,
                                   unsigned status, relay_span_t request_id);

/* The names of the notes, dropped ones then changed ones, as a header takes them:
 * "store, seed; changed=messages.content". Characters that a header cannot hold
 * become '?'. Empty without notes. */
void relay_translation_put_notes(const relay_translation_t *translation, relay_buf_t *out);

/*
 * Moves what the answer still needs into another arena, the translation's own from
 * then on: the request's tree and text may go. False if that arena is empty.
 */
bool relay_translation_keep(relay_translation_t *translation, const relay_arena_t *arena);

/* ---- streams: what a codec sees ------------------------------------------ */

/*
 * Where a stream's output goes. room makes space in buf for at least size more
 * bytes, by handing on what is there (len starts again) or by enlarging it; false
 * ends the stream.
 */
typedef struct relay_output_s {
    relay_buf_t buf;
    bool (*room)(struct relay_output_s *output, size_t size);
} relay_output_t;

/* Bytes kept between events, growing up to a bound. */
typedef struct {
    relay_memory_t memory;
    size_t max;
    uint8_t *base;
    size_t len;
    size_t capacity;
} relay_kept_t;

/* Makes room for size more bytes behind len. False if that passes max or memory is out. */
bool relay_kept_room(relay_kept_t *kept, size_t size);
/* False, and nothing kept, for the same reasons. */
bool relay_kept_put(relay_kept_t *kept, relay_span_t text);
void relay_kept_free(relay_kept_t *kept);

enum {
    RELAY_TOOLS_OPEN_MAX = 64,      /* tool calls of one answer whose fragments may mix */
    RELAY_EVENT_ROOM = 4096,        /* what an event writes beside its own texts */
    RELAY_STREAM_CHOICES_MAX = 128, /* answers to one request, as many as a format has */
};

typedef struct relay_reader_s {
    /* Takes an event; the reader calls it any number of times for an item. */
    void (*emit)(void *owner, const relay_stream_event_t *event);
    void *owner;
    relay_usage_t usage; /* all that was reported */
    bool started;        /* START is out */
    bool finished;       /* FINISH is out for every choice */
    bool over;           /* END or ERROR is out: items are ignored */
    const relay_translation_t *translation;
    relay_kept_t kept;
    void *state; /* the codec's own, reader_size bytes */
} relay_reader_t;

typedef struct relay_writer_s {
    relay_translation_t *translation;
    relay_kept_t kept;
    relay_kept_t aside; /* for a second text that grows beside kept */
    size_t owed;        /* what an event that is no DELTA may write beyond RELAY_EVENT_ROOM
                           and six times its own texts: kept up to date by the codec */
    bool failed;        /* kept was too small: the stream ends with an error */
    void *state;        /* the codec's own, writer_size bytes */
} relay_writer_t;

/* ---- formats ------------------------------------------------------------- */

/* What is known of a prompt that does not fit: all 0, or more tokens than max. */
typedef struct {
    uint64_t input_tokens;
    uint64_t output_tokens; /* that were asked for; 0: unknown */
    uint64_t max_tokens;
} relay_overflow_t;

struct relay_codec_s {
    const relay_wire_t *wire;
    const struct relay_embedding_codec_s *embeddings; /* NULL: the format is for messages */
    const relay_span_t *fields; /* [RELAY_FIELDS]: its words; empty: it has no such field */
    bool serial;                /* write_event takes one open block at a time, choice 0 only */
    const size_t *reader_size;  /* bytes of state that a stream needs, zeroed at first; */
    const size_t *writer_size;  /* NULL: none */
    bool logprobs;              /* its answers show log probabilities */
    bool indexed;               /* its errors count as "a.0.b", not "a[0].b" */
    relay_span_t unsupported;   /* its error for a field that is not taken; empty: our sentence */
    /* Its error for a prompt that does not fit, with the provider's message; NULL: that
     * alone. */
    void (*put_too_long)(relay_buf_t *out, const relay_overflow_t *overflow, relay_span_t message);

    /*
     * Reads a request that is an object. Spans point into the tree's text or the
     * arena. Members that are null are absent.
     */
    relay_error_code_t (*read_request)(relay_translation_t *translation,
                                       const relay_json_tree_t *tree, relay_request_t *request);
    /*
     * Writes the body; may run twice for one request. Notes what it leaves out,
     * refuses what would change the meaning.
     */
    relay_error_code_t (*write_request)(relay_translation_t *translation,
                                        const relay_request_t *request, relay_buf_t *out);
    relay_error_code_t (*read_response)(relay_translation_t *translation,
                                        const relay_json_tree_t *tree, relay_response_t *response);
    relay_error_code_t (*write_response)(relay_translation_t *translation,
                                         const relay_response_t *response, relay_buf_t *out);

    /*
     * Takes one item of the upstream's stream and emits what it says; item NULL:
     * the upstream has closed the connection. After that the reader is over.
     */
    void (*read_event)(relay_reader_t *reader, const relay_sse_item_t *item);
    /* Writes what an event becomes in this format; out has room for it. */
    void (*write_event)(relay_writer_t *writer, const relay_stream_event_t *event,
                        relay_buf_t *out);
};

/* wire_codecs.c; NULL if the format cannot be translated. */
const relay_codec_t *relay_codec_of(const relay_wire_t *wire);
const relay_codec_t *relay_codec_find(relay_span_t name);
const relay_codec_t *relay_codec_at(unsigned index); /* NULL past the last */
/* The formats that a request in this one can be translated into: bit =
 * relay_wire_t.index; 0 if it cannot be translated. */
uint32_t relay_codec_targets(const relay_wire_t *wire);
/* Which of several formats to translate into; NULL if none of them can be. */
const relay_wire_t *relay_codec_preferred(uint32_t formats);

/* The word for logs: "stop", "length", "tool_calls", "stop_sequence", "refusal", "pause",
 * "context"; empty for UNSET. */
relay_span_t relay_stop_word(relay_stop_t stop);

/* ---- streams: what callers use ------------------------------------------- */

typedef struct {
    relay_translation_t *translation;
    relay_output_t *output;
    relay_memory_t memory;
    size_t kept_max; /* bytes that reader, order and writer may keep, each */
} relay_stream_options_t;

/*
 * What kept_max has to be so that an answer of 16 MB fits: a format that repeats the
 * answer at its end keeps it, and its last part twice while that part ends.
 */
#define RELAY_KEPT_MAX ((size_t)34 << 20)

/*
 * Sorts the events of blocks for writers that know one open block at a time:
 * what belongs to a later block is kept until the blocks before it are complete.
 *
 *   block of the lowest number ──► out at once
 *   others ──► kept ──► out when theirs is the lowest that is not complete
 *
 * A tool call counts as complete when its arguments are a whole JSON value, so
 * that calls in a row flow without waiting for the end of the answer.
 */
typedef struct {
    bool flowing;   /* a block is open: */
    unsigned block; /* its number */
    relay_block_kind_t kind;
    bool free_text;
    uint8_t arguments; /* how far the arguments are: see translate_order.c */
    uint32_t depth;    /* open brackets in them */
    relay_kept_t kept;
} relay_order_t;

/* Hands on the event and those that it sets free. False if too much has to be kept. */
bool relay_order_take(relay_order_t *order, const relay_stream_event_t *event,
                      void (*emit)(void *owner, const relay_stream_event_t *event), void *owner);

typedef struct {
    relay_stream_options_t options;
    const relay_codec_t *caller;
    relay_reader_t reader;
    relay_order_t order;
    relay_writer_t writer;
    void *states;              /* of the two codecs */
    relay_event_class_t class; /* of the item in hand: the weightiest of its events */
    bool content_seen;
    bool over;       /* END or ERROR went to the writer */
    bool failed;     /* it was an ERROR */
    unsigned status; /* HTTP status that fits the error */
    relay_stop_t stop;
} relay_stream_translation_t;

/*
 * The struct is the caller's and holds pointers into itself: it must not move. False:
 * no memory for the states of the two formats; it may be freed all the same.
 */
bool relay_stream_open(relay_stream_translation_t *stream, const relay_stream_options_t *options);

/*
 * Translates one item. The class tells what it was, as relay_wire_t.event does:
 * until CONTENT nothing that was written needs to be sent, and an ERROR before
 * it means another upstream may be tried.
 */
relay_event_class_t relay_stream_item(relay_stream_translation_t *stream,
                                      const relay_sse_item_t *item);

/* The upstream closed the connection: writes what the caller's format still needs
 * for a good end, or an error if the answer was cut. */
relay_event_class_t relay_stream_close(relay_stream_translation_t *stream);

/* A sign of life that is none of the upstream's format: what the caller's format has
 * for one, if the answer is under way. */
void relay_stream_ping(relay_stream_translation_t *stream);

/* Relay's own failure, as the caller's last event. Nothing if it has had one. */
void relay_stream_fail(relay_stream_translation_t *stream, const relay_error_t *error);

/* Gives kept memory back. */
void relay_stream_free(relay_stream_translation_t *stream);

#endif
