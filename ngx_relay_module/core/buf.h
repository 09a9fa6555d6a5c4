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

/* Text that is empty, or that there is no room for. */
void relay_buf_put_rest(relay_buf_t *buf, relay_span_t text);

static inline void relay_buf_put(relay_buf_t *buf, relay_span_t text)
{
    size_t len = buf->len + text.len;

    /* requests are put together from dozens of short texts: no call for those */
    if (len > buf->capacity || text.len == 0) {
        relay_buf_put_rest(buf, text);
        return;
    }
    memcpy(buf->base + buf->len, text.base, text.len);
    buf->len = len;
}

static inline void relay_buf_put_byte(relay_buf_t *buf, uint8_t byte)
{
    if (buf->len < buf->capacity) {
        buf->base[buf->len] = byte;
    }
    buf->len++;
}

/* Decimal, no padding. */
void relay_buf_put_u64(relay_buf_t *buf, uint64_t value);
/* text as a JSON string with its quotes: quotes, backslashes and controls
 * escaped, bytes that are not UTF-8 replaced by U+FFFD. */
void relay_buf_put_json(relay_buf_t *buf, relay_span_t text);

#define RELAY_PUT(buf, literal) relay_buf_put((buf), RELAY_SPAN(literal))

#endif
