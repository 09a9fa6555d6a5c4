/*
 * RESP2, the protocol of Redis, from the client's side: an incremental parser
 * of replies and a writer of commands.
 *
 * The parser allocates nothing and keeps no bytes: the caller collects a reply
 * in one block and hands over what is new of it; the parser notes where each
 * value lies. Cutting the input differently changes nothing.
 *
 *    TYPE ─ + - ─► LINE ──CR──► LINE_LF ─────────────────────────┐
 *     ▲ └─ : $ * ─► NUMBER ──CR──► NUMBER_LF ─ : * ──────────────┤
 *     │                               └─ $ ─► BULK ─► BULK_CR ─► BULK_LF
 *     └─────────────────────── more values are wanted ───────────┘
 *                                                   else: RELAY_RESP_END
 */

#ifndef RELAY_RESP_H
#define RELAY_RESP_H

#include "buf.h"
#include "span.h"

enum {
    RELAY_RESP_DEPTH_MAX = 4,   /* arrays in arrays */
    RELAY_RESP_LINE_MAX = 16384 /* bytes of a status or an error */
};

typedef enum {
    RELAY_RESP_STATUS = 0, /* +OK */
    RELAY_RESP_ERROR,      /* -ERR … */
    RELAY_RESP_INTEGER,
    RELAY_RESP_STRING,
    RELAY_RESP_NULL,
    RELAY_RESP_ARRAY
} relay_resp_type_t;

/* A reply is a flat sequence of these: an array's elements follow it directly. */
typedef struct {
    relay_resp_type_t type;
    uint32_t next;   /* index of the value after this one and all that is in it */
    size_t offset;   /* of the text in the reply: STATUS, ERROR, STRING */
    size_t length;   /* of the text */
    int64_t integer; /* INTEGER: itself; ARRAY: how many elements */
} relay_resp_value_t;

typedef enum {
    RELAY_RESP_MORE = 0, /* input used up, the reply is not whole */
    RELAY_RESP_END,      /* values[0..count) is a whole reply */
    RELAY_RESP_TOO_LONG, /* more bytes, values or depth than allowed; the parser is dead */
    RELAY_RESP_SYNTAX    /* not RESP2; the parser is dead */
} relay_resp_status_t;

typedef struct {
    relay_resp_value_t *values; /* the caller's */
    size_t capacity;
    size_t count;
    size_t reply_max;
    size_t at;   /* bytes of the reply seen so far */
    size_t need; /* bytes that the reply has at least: room that will be wanted */
    struct {
        uint32_t index; /* of the array in values */
        uint64_t left;  /* elements still to come */
    } open[RELAY_RESP_DEPTH_MAX];
    size_t depth;
    uint64_t number; /* magnitude read so far, then what is left of a bulk string */
    uint8_t state;   /* see resp.c */
    uint8_t type;    /* the first byte of the value being read */
    uint8_t digits;
    bool negative;
} relay_resp_t;

/*
 * A reply has at most `capacity` values and reply_max bytes, framing included:
 * what announces more is refused when it announces it.
 */
void relay_resp_init(relay_resp_t *resp, relay_resp_value_t *values, size_t capacity,
                     size_t reply_max);

/* For the next reply, after RELAY_RESP_END. */
void relay_resp_reset(relay_resp_t *resp);

/*
 * Takes from *input what belongs to the reply and advances it. After
 * RELAY_RESP_END the rest of *input belongs to the next reply.
 */
relay_resp_status_t relay_resp_next(relay_resp_t *resp, relay_span_t *input);

/* The text of a value; reply is where the caller's block starts. */
static inline relay_span_t relay_resp_text(const uint8_t *reply, const relay_resp_value_t *value)
{
    return relay_span(reply + value->offset, value->length);
}

/* Appends a command: an array of bulk strings. */
void relay_resp_put_command(relay_buf_t *out, const relay_span_t *arguments, size_t count);

#endif
