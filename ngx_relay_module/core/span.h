/*
 * Text as (base, length): never NUL-terminated, never owned. Whoever holds a
 * span must know that the bytes outlive it.
 */

#ifndef RELAY_SPAN_H
#define RELAY_SPAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <strings.h>

typedef struct {
    const uint8_t *base; /* may be NULL when len is 0 */
    size_t len;
} relay_span_t;

/* A span over a string literal. */
#define RELAY_SPAN(literal) ((relay_span_t){(const uint8_t *)(literal), sizeof(literal) - 1})
/* The same for static initialisers, where a compound literal is not constant. */
#define RELAY_SPAN_INIT(literal)                                                                   \
    {                                                                                              \
        (const uint8_t *)(literal), sizeof(literal) - 1                                            \
    }

static inline relay_span_t relay_span(const void *base, size_t len)
{
    return (relay_span_t){(const uint8_t *)base, len};
}

static inline bool relay_span_eq(relay_span_t a, relay_span_t b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.base, b.base, a.len) == 0);
}

/* ASCII case folded, as header names compare. */
static inline bool relay_span_case_eq(relay_span_t a, relay_span_t b)
{
    return a.len == b.len &&
           (a.len == 0 || strncasecmp((const char *)a.base, (const char *)b.base, a.len) == 0);
}

static inline bool relay_span_starts(relay_span_t text, relay_span_t prefix)
{
    return text.len >= prefix.len &&
           (prefix.len == 0 || memcmp(text.base, prefix.base, prefix.len) == 0);
}

/* text without its first n bytes; n must not exceed text.len. */
static inline relay_span_t relay_span_from(relay_span_t text, size_t n)
{
    return relay_span(text.base + n, text.len - n);
}

#endif
