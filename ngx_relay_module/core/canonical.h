/*
 * The canonical protocol: what any wire format can say of a request, an answer
 * and the events of a stream. A format is translated into it and out of it
 * (relay_codec_t in translate.h), never into another format directly.
 *
 * Everything is spans over the text that was read, or over the arena. Unless a
 * field says otherwise, a span holds the content of a JSON string as written:
 * escapes stay, quotes are left out, so that it is copied between two quotes
 * without being looked at. A value (relay_json_value_t) is JSON as written, type
 * ABSENT if there is none. Numbers stay text, so that 0.70 stays 0.70.
 *
 * Read by core/wire_*_codec.c and by core/translate*.c.
 */

#ifndef RELAY_CANONICAL_H
#define RELAY_CANONICAL_H

#include "error.h"
#include "json_scan.h"
#include "usage.h"

typedef struct relay_codec_s relay_codec_t;
typedef struct relay_block_s relay_block_t;

/*
 * A path from the top of a request, innermost first, in the caller's words. A name
 * may be empty: an index alone.
 */
typedef struct relay_place_s {
    const struct relay_place_s *outer; /* NULL: a member of the body */
    relay_span_t name;
    int index; /* RELAY_PLACE_NO_INDEX: not in a list */
} relay_place_t;

enum { RELAY_PLACE_NO_INDEX = -1 };

/*
 * A member of an object that the canonical protocol has no field for. A codec
 * writes those of its own format back (origin), every other one drops them by
 * name; `essential` are those without which the answer would be another one:
 * they are refused instead.
 */
typedef struct relay_member_s {
    struct relay_member_s *next;
    relay_span_t name;
    relay_json_value_t value;
    bool essential;
} relay_member_t;

/* ---- blocks: the content of messages and of answers ---------------------- */

typedef enum {
    RELAY_BLOCK_TEXT = 0,
    RELAY_BLOCK_REFUSAL, /* text by which the model declines */
    RELAY_BLOCK_IMAGE,
    RELAY_BLOCK_DOCUMENT,
    RELAY_BLOCK_AUDIO,
    RELAY_BLOCK_VIDEO,
    RELAY_BLOCK_TOOL_CALL,
    RELAY_BLOCK_TOOL_RESULT,
    RELAY_BLOCK_THINKING, /* text may be empty beside a signature */
    RELAY_BLOCK_REDACTED, /* thinking that only its provider can read */
    RELAY_BLOCK_OPAQUE    /* what only the format that it comes from knows */
} relay_block_kind_t;

/* How media arrive. */
typedef enum {
    RELAY_SOURCE_BASE64 = 0, /* data */
    RELAY_SOURCE_URL,        /* data is the URL */
    RELAY_SOURCE_FILE,       /* data is the id of a file at the provider */
    RELAY_SOURCE_TEXT,       /* data is text: a document only */
    RELAY_SOURCE_BLOCKS      /* content of the block: a document only */
} relay_source_t;

typedef struct {
    relay_source_t source;
    relay_span_t data;
    relay_span_t media_type; /* "image/png"; empty if unknown */
    relay_span_t name;       /* of the file, or the title of the document */
    relay_span_t detail;     /* how closely to look; empty: unsaid */
    relay_span_t context;    /* what the caller says of the document */
    bool cited;              /* answers are to quote it */
} relay_media_t;

/*
 * One JSON text that formats spell in two ways: as an object, or inside a
 * string. `text` is what was read; quoted says that it is the content of a
 * string (and, from a model, may be no JSON at all).
 */
typedef struct {
    relay_span_t text;
    bool quoted;
} relay_arguments_t;

typedef struct {
    relay_span_t id; /* of the call; a result names its call by it; empty: none given */
    relay_span_t name;
    relay_span_t scope; /* the namespace that the tool is in, or empty */
    relay_arguments_t arguments;
    bool free_text; /* the arguments are plain text (quoted), not JSON */
    bool failed;    /* a result that reports an error */
    bool paired;    /* set by relay_translate_request: the call has its result, and back */
} relay_call_t;

/* Where a text comes from. */
typedef struct relay_citation_s {
    struct relay_citation_s *next;
    relay_span_t raw; /* as its format writes it */
    relay_span_t url; /* empty: not of the web */
    relay_span_t title;
    relay_span_t quote;       /* of the source, or empty */
    relay_json_value_t from;  /* first and behind the last character of the text that */
    relay_json_value_t until; /* it stands for, where the format tells */
} relay_citation_t;

struct relay_block_s {
    relay_block_t *next;
    relay_block_kind_t kind;
    const relay_place_t *place; /* where a request has it; NULL in answers */
    relay_span_t raw;           /* the whole block as written; empty if it was no JSON object */
    relay_json_value_t mark;    /* a cache marker */
    const relay_place_t *mark_place;
    relay_member_t *extras;

    relay_span_t text;                  /* TEXT, REFUSAL, THINKING; REDACTED: the opaque data */
    const relay_place_t *thought_place; /* THINKING, REDACTED: where that is */
    relay_span_t signature;             /* THINKING, REDACTED, TOOL_CALL: proof of its provider */
    relay_span_t signer;         /* whose signature: a name that the codecs agree on, or empty */
    relay_span_t type;           /* OPAQUE: its type, for messages about it */
    relay_citation_t *citations; /* TEXT */
    relay_json_value_t logprobs; /* TEXT, REFUSAL of an answer: an ARRAY of entries */
    relay_media_t media;         /* IMAGE, DOCUMENT, AUDIO, VIDEO */
    relay_call_t call;           /* TOOL_CALL, TOOL_RESULT */
    /* TOOL_RESULT and a document of blocks: what is in it. OPAQUE: what says the
     * same to a format that does not know it; without that it is left out, or
     * refused if essential. */
    relay_block_t *content;
    bool essential; /* OPAQUE */
};

/* ---- requests ------------------------------------------------------------ */

typedef enum {
    RELAY_ROLE_SYSTEM = 0,
    RELAY_ROLE_DEVELOPER,
    RELAY_ROLE_USER,
    RELAY_ROLE_ASSISTANT,
    RELAY_ROLE_TOOL /* holds only results; formats without it take it as the user's */
} relay_role_t;

/* System messages are where they were: leading ones come first in the list. */
typedef struct relay_message_s {
    struct relay_message_s *next;
    relay_role_t role;
    const relay_place_t *place; /* NULL: not in a list */
    bool apart;                 /* was not in the list of messages: the format has a field for it */
    bool listed;                /* the content was a list, not one string */
    relay_span_t name;
    relay_block_t *blocks;
    relay_member_t *extras;
} relay_message_t;

typedef enum {
    RELAY_TOOL_FUNCTION = 0, /* takes JSON */
    RELAY_TOOL_CUSTOM,       /* takes free text */
    RELAY_TOOL_OPAQUE        /* run by the provider, or typed by it */
} relay_tool_kind_t;

typedef struct relay_tool_s {
    struct relay_tool_s *next;
    relay_tool_kind_t kind;
    const relay_place_t *place; /* what describes it; OPAQUE: what tells its type */
    relay_span_t raw;           /* the whole tool as written */
    relay_span_t name;
    relay_span_t scope; /* the namespace that it is in, or empty */
    relay_span_t type;  /* OPAQUE: its type, for messages about it */
    relay_span_t description;
    relay_json_value_t schema; /* of the arguments; ABSENT: takes none */
    relay_json_value_t strict;
    /* CUSTOM: the format of the text, {"type":"grammar","grammar":{…}} if it has one */
    relay_json_value_t grammar;
    relay_json_value_t mark; /* a cache marker */
    const relay_place_t *mark_place;
    bool deferred; /* not shown to the model until something refers to it */
    relay_member_t *extras;
} relay_tool_t;

typedef enum {
    RELAY_CHOICE_UNSET = 0,
    RELAY_CHOICE_AUTO,
    RELAY_CHOICE_NONE,
    RELAY_CHOICE_REQUIRED,
    RELAY_CHOICE_NAMED,   /* names holds one */
    RELAY_CHOICE_ALLOWED, /* any of names, or text */
    RELAY_CHOICE_ALLOWED_REQUIRED,
    RELAY_CHOICE_OPAQUE /* value */
} relay_choice_mode_t;

typedef struct relay_name_s {
    struct relay_name_s *next;
    relay_span_t name;
    relay_span_t scope; /* the namespace of the tool, or empty: as relay_codec_chosen finds it */
    bool custom;        /* of a custom tool */
} relay_name_t;

typedef struct {
    relay_choice_mode_t mode;
    relay_name_t *names;
    relay_json_value_t value;    /* as written */
    relay_json_value_t parallel; /* TRUE, FALSE: may call several tools at once */
} relay_tool_choice_t;

/* Ascending. */
typedef enum {
    RELAY_EFFORT_UNSET = 0,
    RELAY_EFFORT_NONE,
    RELAY_EFFORT_MINIMAL,
    RELAY_EFFORT_LOW,
    RELAY_EFFORT_MEDIUM,
    RELAY_EFFORT_HIGH,
    RELAY_EFFORT_XHIGH,
    RELAY_EFFORT_MAX,
    RELAY_EFFORTS
} relay_effort_t;

typedef enum {
    RELAY_THINKING_UNSET = 0,
    RELAY_THINKING_DISABLED,
    RELAY_THINKING_BUDGET,   /* budget_tokens */
    RELAY_THINKING_ADAPTIVE, /* as much as the model sees fit */
    RELAY_THINKING_OPAQUE    /* value */
} relay_thinking_mode_t;

typedef struct {
    relay_effort_t effort;
    relay_thinking_mode_t mode;
    uint64_t budget_tokens;
    relay_span_t summary;     /* whether and how thinking is shown, as a plain word, or empty */
    relay_json_value_t value; /* the field as written */
} relay_reasoning_t;

typedef enum {
    RELAY_FORMAT_UNSET = 0,
    RELAY_FORMAT_TEXT,
    RELAY_FORMAT_JSON,  /* any JSON object */
    RELAY_FORMAT_SCHEMA /* JSON that fits schema */
} relay_format_mode_t;

typedef struct {
    relay_format_mode_t mode;
    relay_span_t name;
    relay_span_t description;
    relay_json_value_t schema;
    relay_json_value_t strict;
} relay_format_t;

/*
 * The fields of a request that formats share, as x-relay-dropped and errors name
 * them: each codec has its own word for each (relay_codec_t.fields). Those of blocks
 * and of tools are named within them.
 */
typedef enum {
    RELAY_FIELD_MODEL = 0,
    RELAY_FIELD_MESSAGES,
    RELAY_FIELD_SYSTEM,
    RELAY_FIELD_NAME,      /* of a message's author */
    RELAY_FIELD_MARK,      /* a cache marker; without a word: it may be anywhere */
    RELAY_FIELD_CITATIONS, /* of a block: what text quotes */
    RELAY_FIELD_DETAIL,    /* of a block */
    RELAY_FIELD_FILENAME,  /* of a block */
    RELAY_FIELD_CONTEXT,   /* of a block */
    RELAY_FIELD_TOOLS,
    RELAY_FIELD_TOOL_STRICT,   /* of a tool */
    RELAY_FIELD_TOOL_DEFERRED, /* of a tool */
    RELAY_FIELD_TOOL_GRAMMAR,  /* of a tool */
    RELAY_FIELD_TOOL_CHOICE,
    RELAY_FIELD_PARALLEL,
    RELAY_FIELD_MAX_TOKENS,
    RELAY_FIELD_TEMPERATURE,
    RELAY_FIELD_TOP_P,
    RELAY_FIELD_TOP_K,
    RELAY_FIELD_FREQUENCY_PENALTY,
    RELAY_FIELD_PRESENCE_PENALTY,
    RELAY_FIELD_LOGIT_BIAS,
    RELAY_FIELD_SEED,
    RELAY_FIELD_COUNT_OF_CHOICES,
    RELAY_FIELD_LOGPROBS,
    RELAY_FIELD_TOP_LOGPROBS,
    RELAY_FIELD_STOP,
    RELAY_FIELD_EFFORT,
    RELAY_FIELD_THINKING,
    RELAY_FIELD_FORMAT,
    RELAY_FIELD_FORMAT_NAME,
    RELAY_FIELD_FORMAT_DESCRIPTION,
    RELAY_FIELD_VERBOSITY,
    RELAY_FIELD_METADATA,
    RELAY_FIELD_USER,
    RELAY_FIELD_SERVICE_TIER,
    RELAY_FIELDS
} relay_field_t;

typedef struct {
    const relay_codec_t *origin;
    relay_span_t model; /* as the caller wrote it */
    bool stream;
    bool usage_wanted; /* the caller's stream is to report usage */

    relay_message_t *messages;
    relay_tool_t *tools;
    relay_tool_choice_t tool_choice;

    bool limited; /* max_tokens is set */
    uint64_t max_tokens;
    relay_json_value_t temperature;
    relay_json_value_t top_p;
    relay_json_value_t top_k;
    relay_json_value_t frequency_penalty;
    relay_json_value_t presence_penalty;
    relay_json_value_t logit_bias;
    relay_json_value_t seed;
    uint64_t choices; /* how many answers; 0: unsaid */
    relay_json_value_t logprobs;
    relay_json_value_t top_logprobs;
    relay_name_t *stop;

    relay_reasoning_t reasoning;
    relay_format_t format;
    relay_span_t verbosity;
    relay_json_value_t metadata; /* an object of strings */
    relay_span_t user;
    relay_span_t service_tier; /* "auto", "default", "flex", "priority" or what no other has */
    relay_member_t *extras;
} relay_request_t;

/* ---- answers ------------------------------------------------------------- */

typedef enum {
    RELAY_STOP_UNSET = 0,
    RELAY_STOP_END, /* the model was done */
    RELAY_STOP_LENGTH,
    RELAY_STOP_TOOLS,
    RELAY_STOP_SEQUENCE,
    RELAY_STOP_REFUSAL, /* the model or the provider declined */
    RELAY_STOP_PAUSE,   /* to be continued by sending the turn back */
    RELAY_STOP_CONTEXT  /* the context window is full */
} relay_stop_t;

typedef struct {
    relay_stop_t reason;
    relay_span_t sequence;    /* SEQUENCE: the one that matched, or empty */
    relay_span_t explanation; /* REFUSAL: why, or empty */
} relay_ending_t;

/* One of the answers to a request. */
typedef struct relay_choice_s {
    struct relay_choice_s *next;
    unsigned index;
    relay_block_t *blocks;
    relay_ending_t ending;
    relay_member_t *extras;
} relay_choice_t;

typedef struct {
    const relay_codec_t *origin;
    relay_span_t id; /* the upstream's; may be empty */
    relay_span_t model;
    uint64_t created_s; /* 0: unknown */
    relay_choice_t *choices;
    relay_usage_t usage;
    relay_member_t *extras;
} relay_response_t;

/*
 * What a provider says of its failure, or Relay of its own. message and type are
 * plain text, not JSON: they pass through relay_error_t.
 */
typedef struct {
    relay_error_t error;
    relay_span_t code; /* the provider's own word for it, or empty */
    bool retry;        /* the same request may be answered later: by relay_translate_failure */
} relay_failure_t;

/* ---- streams ------------------------------------------------------------- */

/*
 *   START (BLOCK DELTA* STOP)* FINISH USAGE? END     a good answer
 *   … ERROR                                         any other, at any place
 *
 * Blocks are numbered from 0 in the order of their starts, over all choices; a
 * reader may interleave them (several BLOCK before the first STOP), and
 * relay_order_t sorts them for writers that cannot (relay_codec_t.serial). PING
 * is anywhere. USAGE may repeat, the last one counts. Nothing follows END or
 * ERROR. Spans live for the time of the call.
 */
typedef enum {
    RELAY_STREAM_START = 0,
    RELAY_STREAM_BLOCK, /* block starts: kind, call (without arguments), raw */
    RELAY_STREAM_DELTA, /* more of block: text, signature or citation */
    RELAY_STREAM_STOP,  /* block is complete */
    RELAY_STREAM_FINISH,
    RELAY_STREAM_USAGE,
    RELAY_STREAM_END,
    RELAY_STREAM_PING,
    RELAY_STREAM_ERROR
} relay_stream_kind_t;

typedef struct {
    relay_stream_kind_t kind;
    unsigned choice;
    unsigned block;
    relay_block_kind_t block_kind; /* BLOCK, DELTA, STOP */

    relay_span_t id; /* START: the upstream's of the answer; BLOCK: the call's */
    relay_span_t model;
    uint64_t created_s;

    relay_span_t name;  /* BLOCK of a call */
    relay_span_t scope; /* BLOCK of a call */
    bool free_text;     /* BLOCK of a call */
    /* DELTA: one of them. The text of a call is a fragment of its arguments,
     * always quoted; the text of REDACTED and the raw of OPAQUE come whole with
     * their BLOCK, and so does an IMAGE: its base64 is text or its URL raw, its
     * media type is type. */
    relay_span_t text;
    relay_span_t signature;
    relay_span_t signer;
    const relay_citation_t *citation;
    relay_span_t raw; /* BLOCK and DELTA of OPAQUE: the event's payload as written */
    relay_span_t type;
    relay_json_value_t
        logprobs; /* DELTA of TEXT, REFUSAL: an ARRAY of entries; text may be empty */

    relay_ending_t ending;          /* FINISH */
    const relay_usage_t *usage;     /* START, USAGE, END: as known so far */
    const relay_failure_t *failure; /* ERROR */
} relay_stream_event_t;

#endif
