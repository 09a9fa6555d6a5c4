/*
 * Bounded output. A buffer never grows: bytes past its capacity are counted,
 * not written, so a writer runs once against capacity 0 to measure and once
 * to write, and checks a single condition at the end.
 */

#ifndef RELAY_BUF_H
#define RELAY_BUF_H

#include "span.h"

typedef struct {
    uint8_t *base;
    size_t len; /* bytes wanted so far; only the first `capacity` are stored */
    size_t capacity;
} relay_buf_t;

static inline relay_buf_t relay_buf(void *base, size_t capacity)
{
    return (relay_buf_t){(uint8_t *)base, 0, capacity};
}

/* True while everything put so far is stored. */
static inline bool relay_buf_ok(const relay_buf_t *buf)
{
    return buf->len <= buf->capacity;
}

/* What is stored. */
static inline relay_span_t relay_buf_span(const relay_buf_t *buf)
{
    return relay_span(buf->base, buf->len < buf->capacity ? buf->len : buf->capacity);
}

void relay_buf_put(relay_buf_t *buf, relay_span_t text);
void relay_buf_put_byte(relay_buf_t *buf, uint8_t byte);
/* Decimal, no padding. */
void relay_buf_put_u64(relay_buf_t *buf, uint64_t value);
/* text as a JSON string with its quotes: quotes, backslashes and controls
 * escaped, bytes that are not UTF-8 replaced by U+FFFD. */
void relay_buf_put_json(relay_buf_t *buf, relay_span_t text);

#define RELAY_PUT(buf, literal) relay_buf_put((buf), RELAY_SPAN(literal))

#endif
