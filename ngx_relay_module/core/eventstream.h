/*
 * AWS event streams (application/vnd.amazon.eventstream) as server-sent events:
 * binary messages come in, however the reads cut them, and each leaves as the
 * text of one event, so that everything behind the decoder reads one kind of
 * stream. Called by the stream relay in front of relay_sse_next, one decoder for
 * an answer.
 *
 *   message           RELAY_FRAMING_EVENTSTREAM      RELAY_FRAMING_EVENTSTREAM_BYTES
 *   event             event: <:event-type>           event: <type in the data>
 *                     data: <payload>                data: <what "bytes" spells>
 *   exception         event: <:exception-type>       event: error
 *                     data: <payload>                data: {"type":"error","error":{…}}
 *   error             event: error                   the same
 *                     data: {"message":…,"__type":<:error-code>}
 *
 * Behind each comes a blank line. Line ends in a payload, which JSON has only
 * between tokens, become spaces; an empty payload becomes {}. A message of no known
 * type counts as an event; one whose payload has no "bytes" goes out as in the
 * first column.
 */

#ifndef RELAY_EVENTSTREAM_H
#define RELAY_EVENTSTREAM_H

#include "arena.h"
#include "span.h"
#include "wire_variant.h"

/* The protocol's own bounds. */
enum {
    RELAY_EVENTSTREAM_MESSAGE_MAX = 16 * 1024 * 1024,
    RELAY_EVENTSTREAM_HEADERS_MAX = 128 * 1024
};

typedef enum {
    RELAY_EVENTSTREAM_MORE = 0, /* input used up, nothing complete */
    RELAY_EVENTSTREAM_EVENT,    /* *text is one message's event */
    RELAY_EVENTSTREAM_INVALID,  /* a checksum or a length is wrong; the decoder is dead */
    RELAY_EVENTSTREAM_TOO_LONG, /* a message is longer than message_max; dead */
    RELAY_EVENTSTREAM_MEMORY    /* no room to keep or to write a message; dead */
} relay_eventstream_status_t;

typedef struct {
    relay_memory_t memory;
    relay_framing_t framing;
    size_t message_max;
    uint8_t *carry; /* the pending message as far as it came */
    size_t carry_len;
    size_t carry_capacity;
    uint8_t *text; /* the event handed out, and scratch behind it */
    size_t text_capacity;
    relay_eventstream_status_t dead; /* why, or MORE */
} relay_eventstream_t;

/* message_max bounds one message, as does RELAY_EVENTSTREAM_MESSAGE_MAX. */
void relay_eventstream_init(relay_eventstream_t *stream, relay_memory_t memory,
                            relay_framing_t framing, size_t message_max);

/* Gives the memory back; the decoder may be initialised again. */
void relay_eventstream_free(relay_eventstream_t *stream);

/*
 * Takes the next message from *input and advances it; *text lives until the next
 * call. Call again until MORE, or one of the failures: those stay. How the input
 * is cut changes nothing.
 */
relay_eventstream_status_t relay_eventstream_next(relay_eventstream_t *stream, relay_span_t *input,
                                                  relay_span_t *text);

/* At the end of the input: whether it ended between messages. */
static inline bool relay_eventstream_end(const relay_eventstream_t *stream)
{
    return stream->dead == RELAY_EVENTSTREAM_MORE && stream->carry_len == 0;
}

/* ---- what only the formats behind it know (core/wire_*.c) ----------------- */

/* Whether an event's name is that of a failure: "…Exception", or "error". */
bool relay_eventstream_is_failure(relay_span_t name);

/*
 * The error of RELAY_FRAMING_EVENTSTREAM_BYTES, for an exception or an error of that
 * name, with its payload; message is what stands beside the payload, or empty.
 */
void relay_eventstream_put_error(relay_buf_t *out, relay_span_t name, relay_span_t payload,
                                 relay_span_t message);

#endif
