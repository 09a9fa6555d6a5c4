/*
 * The registry of wire formats. A format is one file wire_<name>.c that fills
 * one relay_wire_t; formats that share errors, headers and model lists share a
 * relay_dialect_t. Callers know only these tables: no code outside core/wire_*
 * names a vendor.
 *
 * Here is what same-format traffic needs: which bytes to splice on the way in,
 * what to watch on the way out, and how to speak for Relay itself.
 */

#ifndef RELAY_WIRE_H
#define RELAY_WIRE_H

#include "buf.h"
#include "error.h"
#include "json_scan.h"
#include "span.h"
#include "sse.h"
#include "usage.h"

typedef struct relay_wire_s relay_wire_t;
typedef struct relay_dialect_s relay_dialect_t;

/* ---- the envelope: what Relay reads of a request body -------------------- */

typedef struct {
    relay_span_t body;
    relay_span_t model_name; /* the model as text; in `scratch` if it was written with escapes */
    relay_json_value_t model;
    relay_json_value_t stream;
    relay_json_value_t stream_options;
    relay_json_value_t max_tokens; /* all three spellings, for estimates */
    relay_json_value_t max_completion_tokens;
    relay_json_value_t max_output_tokens;
    bool streaming; /* stream is true */
} relay_envelope_t;

/* What relay_envelope_read and edits need of scratch at most. */
enum { RELAY_ENVELOPE_SCRATCH = 1024, RELAY_MODEL_NAME_MAX = 256 };

/*
 * Scans body. RELAY_ERR_NONE, or *error filled: INVALID_JSON (message with the
 * byte offset), DUPLICATE_FIELD, INVALID_FIELD (model not a string, empty, with
 * a control character or longer than RELAY_MODEL_NAME_MAX; stream not a boolean
 * or null; a field that Relay acts on spelt with an escape), MISSING_FIELD (no
 * model). error->message points into `scratch`.
 */
relay_error_code_t relay_envelope_read(relay_span_t body, relay_envelope_t *envelope,
                                       relay_buf_t *scratch, relay_error_t *error);

/*
 * The same where the path names the model, as relay_match_t has it (not empty), and
 * says whether to stream: a model or stream in the body is not read, but refused if
 * it occurs twice or is spelt with an escape. scratch holds the decoded name.
 */
relay_error_code_t relay_envelope_read_path(relay_span_t body, relay_span_t model, bool streaming,
                                            relay_envelope_t *envelope, relay_buf_t *scratch,
                                            relay_error_t *error);

/* Replace `removed` bytes at `offset` of the body by `text`. */
typedef struct {
    size_t offset;
    size_t removed;
    relay_span_t text;
} relay_edit_t;

enum { RELAY_EDITS_MAX = 4 };

typedef struct {
    relay_span_t model; /* upstream model id, plain (no JSON escapes needed) */
    bool ask_usage;     /* the host reports stream usage only when asked */
} relay_edit_options_t;

/* ---- streams ------------------------------------------------------------- */

typedef enum {
    RELAY_EVENT_IDLE = 0, /* comment, ping, keep-alive: a sign of life, never a token */
    RELAY_EVENT_PRELUDE,  /* announces an answer; holds no content yet */
    RELAY_EVENT_CONTENT,  /* content, or anything that can only follow it */
    RELAY_EVENT_ERROR,    /* the provider reports a failure inside the stream */
    RELAY_EVENT_END       /* the terminal event of a good answer */
} relay_event_class_t;

/* How a stream or body ended, in the provider's own word ("stop", "end_turn"). */
enum { RELAY_FINISH_MAX = 32 };

typedef struct {
    const relay_wire_t *wire;
    bool hide_usage; /* set by the caller before the first event: the client did not ask */

    relay_usage_t usage;
    char finish[RELAY_FINISH_MAX]; /* NUL-terminated, truncated; "" while unknown */
    bool content_seen;
    bool finish_seen; /* every choice so far has its finish reason: only usage and the end
                         may follow (false again if another choice begins) */
    bool end_seen;    /* the terminal event came; later items are to be dropped */
    bool error_seen;
    bool tool_seen;
    bool begun;            /* some event announced an answer */
    bool usage_sent;       /* a usage-only event has gone to the client */
    unsigned error_status; /* HTTP status that fits the in-stream error; 0 unless error_seen */

    /* what closing events must repeat, copied from the first events */
    uint64_t next_sequence;
    uint64_t created;
    char id[96];
    char model[160];

    /* one bit per choice index below 128 */
    uint64_t choices_seen[2];
    uint64_t choices_done[2];
} relay_stream_t;

typedef struct {
    relay_event_class_t class;
    bool hide; /* do not forward this item */
} relay_verdict_t;

/* ---- what a whole answer says -------------------------------------------- */

typedef struct {
    relay_usage_t usage;
    char finish[RELAY_FINISH_MAX];
    bool is_error;          /* a body of the dialect's error shape, whatever the status */
    bool key_refused;       /* the error is that of the provider key, whatever the status */
    relay_span_t message;   /* of the error, as written (escaped), or empty */
    unsigned retry_after_s; /* that the error names in its body; 0 if it does not */
    char error_type[48];    /* the error's own code or type, "" if none */
} relay_answer_t;

/* ---- the built-in echo model --------------------------------------------- */

typedef struct {
    relay_span_t body;  /* the request, accepted by relay_envelope_read */
    relay_span_t model; /* as the caller wrote it */
    relay_span_t id;    /* unique, [A-Za-z0-9]: the request id */
    uint64_t created_s; /* seconds since 1970 */
    bool streaming;
    bool include_usage; /* of stream_options */
    uint64_t tokens;    /* token counting: this instead of the echo model's own count, or 0 */
} relay_echo_t;

/* Writes the echo model's answer to one operation. */
typedef void relay_echo_writer_t(relay_buf_t *out, const relay_echo_t *echo, relay_usage_t *usage);

/* ---- the tables ---------------------------------------------------------- */

typedef struct {
    relay_span_t id;
    relay_span_t display_name; /* may be empty: the id */
    relay_span_t owned_by;
    relay_span_t type; /* what it is for; empty: "chat" */
    uint64_t created_s;
    uint64_t context_tokens; /* 0: unknown */
    uint64_t output_tokens;  /* 0: unknown */
} relay_model_view_t;

struct relay_dialect_s {
    relay_span_t name;
    relay_span_t prefix;            /* the path prefix, "/name" */
    relay_span_t own_version;       /* a version beside "/v1" that only it has, or empty */
    relay_span_t marker_header;     /* lower-case header that only its clients send, or empty */
    relay_span_t request_id_header; /* lower-case name of its request id header */
    relay_span_t key_header;        /* lower-case header of its own for the key, or empty */
    relay_span_t key_query;         /* query parameter for that, or empty */
    relay_span_t events_query;      /* "name=value" by which callers ask for a stream as events
                                       where its path would be answered with one JSON list;
                                       empty: there is no such list */
    bool unprocessable;             /* its vendor has a 422; else a bad request is a 400 */

    relay_span_t error_header; /* lower-case header in which its errors are named where
                                  their bodies may not do so, or empty */

    /* The name in such a header, as relay_answer_t.error_type has it; *key_refused: it says
     * that of the provider key. NULL without such a header. */
    relay_span_t (*error_name)(relay_span_t value, bool *key_refused);

    /* The HTTP status this dialect uses for error (error->status if that is set). */
    unsigned (*status)(const relay_error_t *error);
    /* The JSON error body. */
    void (*error)(relay_buf_t *out, const relay_error_t *error, relay_span_t request_id);
    /*
     * The model list; models sorted by id. query is the raw query string
     * (paging). RELAY_ERR_NONE, or INVALID_FIELD with error filled.
     */
    relay_error_code_t (*model_list)(relay_buf_t *out, const relay_model_view_t *models,
                                     size_t count, relay_span_t query, relay_error_t *error);
    void (*model)(relay_buf_t *out, const relay_model_view_t *model);
};

struct relay_wire_s {
    relay_span_t name; /* as configuration spells it */
    unsigned index;    /* position in the registry, < 32 */
    const relay_dialect_t *dialect;
    relay_span_t path;       /* of its generating endpoint under the version: "/embeddings"; with
                                {model} in it, the way in is not by this path alone */
    bool streams;            /* has a streaming form */
    relay_span_t keep_alive; /* text between two events that clients pass over; may be empty */

    /*
     * Splices for one attempt, ascending by offset; returns how many. They may
     * point into scratch and are void if it overflows (twice the model's length
     * and 2 bytes always suffice for a printable id).
     */
    size_t (*edits)(const relay_envelope_t *envelope, const relay_edit_options_t *options,
                    relay_edit_t edits[RELAY_EDITS_MAX], relay_buf_t *scratch);
    /* Whether the client wants what usage reporting adds to a stream. */
    bool (*wants_usage)(const relay_envelope_t *envelope);

    /*
     * Observes one item of a stream. Text that must go out before the item
     * (a finish that the provider forgot) is put into `before`: at most 2 KB.
     * An unterminated item whose data is cut is hidden; one that is not hidden
     * is whole and lacks only the end of its line and the blank line.
     */
    relay_verdict_t (*event)(relay_stream_t *stream, const relay_sse_item_t *item,
                             relay_buf_t *before);
    /*
     * The provider closed the connection. Writes what a good stream still owes
     * ("[DONE]" after a finish reason) and returns true; returns false if the
     * answer was cut and `error_event` is due (not if error_seen: the client has
     * the provider's own error).
     */
    bool (*close)(relay_stream_t *stream, relay_buf_t *out);
    /* The error as one stream event, sequence numbers and all: at most 3 KB and
     * six times the message. */
    void (*error_event)(relay_stream_t *stream, relay_buf_t *out, const relay_error_t *error,
                        relay_span_t request_id);

    /* Reads usage, finish and error out of a whole JSON body (any bytes). */
    void (*answer)(relay_span_t body, relay_answer_t *answer);

    /* Generates as the echo model: JSON, or the whole event stream. */
    relay_echo_writer_t *echo;
};

/* ---- the registry (wire_registry.c) -------------------------------------- */

typedef enum {
    RELAY_OP_NONE = 0,  /* not an endpoint of ours: pass-through or 404 */
    RELAY_OP_GENERATE,  /* body with a model, routed; usage metered by `wire` */
    RELAY_OP_AUXILIARY, /* body with a model, routed as `wire`, never streamed or
                           metered: token counting, compaction */
    RELAY_OP_MODEL_LIST,
    RELAY_OP_MODEL /* rest holds the id, percent-encoded */
} relay_operation_t;

typedef struct {
    const relay_dialect_t *dialect;
    relay_operation_t operation;
    const relay_wire_t *wire;  /* NULL for the model operations and NONE */
    relay_echo_writer_t *echo; /* the echo model's way to do it; NULL: it cannot */
    relay_span_t rest;         /* the path under the version, "/chat/completions"; for
                                  MODEL the id alone */
    relay_span_t model;        /* percent-encoded, if the path names it: read the body with
                                  relay_envelope_read_path; else empty */
    relay_span_t method;       /* with model: what follows it, "generateContent" */
    bool streaming;            /* the path says that the answer is a stream */
    bool get;                  /* the method that the operation takes: GET, else POST */
    bool explicit_dialect;     /* the path had a dialect's prefix, or a version of its own */
} relay_match_t;

/*
 * Takes a path without its query ("/openai/v1/models", "/v1/messages") apart.
 * `hint` is the dialect that the request's headers point to (a marker header),
 * or NULL; it decides only where bare paths are shared ("/v1/models", unknown
 * paths). Always fills match->dialect.
 *
 * A bare path must be under "/v1", or under a version that one dialect alone has
 * and that then decides; behind a dialect's prefix the version may be left out
 * ("/openai/models"), but a path that has another one there
 * ("/openai/v1beta/models") is not put under ours. What does not fit gives
 * RELAY_OP_NONE with rest empty.
 */
void relay_wire_match(relay_span_t path, const relay_dialect_t *hint, relay_match_t *match);

/*
 * The parameter called name in a raw query string: its text as written,
 * percent-encoded. False if there is none; of several the first.
 */
bool relay_wire_query(relay_span_t query, relay_span_t name, relay_span_t *value);

/*
 * Puts a request line, or the start of a request, up to its first line break, with
 * "***" in place of every value of a parameter in which some dialect has its key:
 * what a log may hold. Never longer than the line and three bytes for each '&'.
 */
void relay_wire_put_redacted(relay_buf_t *out, relay_span_t line);

/* Whether a stream is to be one JSON list, by the query of a path that streams. */
bool relay_wire_wants_list(const relay_dialect_t *dialect, relay_span_t query);

const relay_wire_t *relay_wire_find(relay_span_t name);
const relay_wire_t *relay_wire_at(unsigned index);       /* NULL past the last */
const relay_dialect_t *relay_dialect_at(unsigned index); /* NULL past the last */

#endif
