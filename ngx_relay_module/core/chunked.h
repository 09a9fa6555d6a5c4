/*
 * HTTP/1.1 chunked transfer coding, decoded in place of the caller's buffer
 * (RFC 9112 §7.1). Strict where leniency allows smuggling: CRLF only, no sign
 * or space before a size, sizes up to 2^48, extensions and trailers skipped
 * and bounded.
 */

#ifndef RELAY_CHUNKED_H
#define RELAY_CHUNKED_H

#include "span.h"

typedef enum {
    RELAY_CHUNKED_MORE = 0, /* input used up */
    RELAY_CHUNKED_DATA,     /* *data is the next piece of payload */
    RELAY_CHUNKED_END, /* the last chunk and its trailers are read; input may hold excess bytes */
    RELAY_CHUNKED_ERROR
} relay_chunked_status_t;

typedef struct {
    uint8_t state;
    uint8_t digits;   /* of the size being read, at most 16 */
    uint64_t size;    /* left of the current chunk */
    uint32_t ignored; /* bytes of extensions and trailers so far, at most 8 KB */
} relay_chunked_t;

static inline void relay_chunked_init(relay_chunked_t *chunked)
{
    memset(chunked, 0, sizeof(*chunked));
}

/* Advances *input; *data points into it. Call until MORE, END or ERROR. */
relay_chunked_status_t relay_chunked_next(relay_chunked_t *chunked, relay_span_t *input,
                                          relay_span_t *data);

#endif
