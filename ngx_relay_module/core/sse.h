/*
 * Server-sent events, split incrementally (WHATWG HTML, "Server-sent events",
 * 9.2.5-9.2.6). The splitter owns a bounded carry for the part of an event that
 * has not ended yet; everything else is spans.
 *
 *            first byte of a field line
 *   BOUNDARY ───────────────────────────► EVENT
 *      ▲ │ comment or blank line            │ blank line
 *      │ └─► item BLANK, stay               │
 *      └────────────────────────────────────┘ item EVENT
 *
 * Cutting the input differently never changes the sequence of EVENT items nor
 * the concatenation of all `raw` spans.
 */

#ifndef RELAY_SSE_H
#define RELAY_SSE_H

#include "arena.h"
#include "span.h"

typedef enum {
    RELAY_SSE_MORE = 0, /* input used up, nothing complete */
    RELAY_SSE_BLANK,    /* a comment or empty line between events: keep-alive, not data */
    RELAY_SSE_EVENT,    /* one whole event */
    RELAY_SSE_TOO_LONG, /* the pending event passed event_max; the splitter is dead */
    RELAY_SSE_MEMORY    /* the carry could not grow; the splitter is dead */
} relay_sse_status_t;

/* Spans live until the next call on the same splitter or until the input goes. */
typedef struct {
    relay_span_t raw;  /* every byte of the item as it came, terminators included */
    relay_span_t name; /* value of the last event: field, or empty */
    relay_span_t data; /* data: values joined by LF; one leading space of each removed */
    bool has_data;     /* false for an event of id:, retry: or event: lines alone */
    bool terminated;   /* false only from relay_sse_finish: the blank line never came */
} relay_sse_item_t;

typedef struct relay_sse_s {
    relay_memory_t memory;
    size_t event_max;
    uint8_t *carry; /* raw bytes of the pending item */
    size_t carry_len;
    size_t carry_capacity;
    uint8_t *joined; /* scratch for several data: lines */
    size_t joined_capacity;
    uint8_t state; /* of the framing, see sse.c */
    uint8_t bom;   /* bytes of a byte order mark that start the pending item: 0 or 3 */
} relay_sse_t;

/* event_max bounds one item's raw bytes (not counting the LF of a final CRLF,
 * so that the bound does not depend on where the input was cut). */
void relay_sse_init(relay_sse_t *sse, relay_memory_t memory, size_t event_max);

/* Gives the carry back; the splitter may be initialised again. */
void relay_sse_free(relay_sse_t *sse);

/*
 * Takes the next item from *input and advances it. Call again until MORE.
 * A lone CR ends a line at once, also at the end of a read; an LF that follows
 * in the next read comes out as part of a BLANK item's raw.
 */
relay_sse_status_t relay_sse_next(relay_sse_t *sse, relay_span_t *input, relay_sse_item_t *item);

/*
 * At the end of the stream: an event with data whose blank line is missing
 * comes out as EVENT with terminated = false (some servers omit it); the
 * caller decides whether its data is whole. Other pending bytes come out as
 * BLANK, so that no raw byte is lost. MORE if nothing is pending.
 */
relay_sse_status_t relay_sse_finish(relay_sse_t *sse, relay_sse_item_t *item);

/* True while part of an event is pending. */
static inline bool relay_sse_pending(const relay_sse_t *sse)
{
    return sse->carry_len != 0;
}

#endif
