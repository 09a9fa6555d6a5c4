/*
 * The event splitter: the same stream whole and cut gives the same events and
 * the same bytes, and the events that the standard's own line-by-line
 * algorithm gives. The input's first byte picks the cuts, its second the bound
 * on an event. Run by `make fuzz`.
 */

#include "sse.h"

#include <stdlib.h>

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

/* ---- what came out, as one text ------------------------------------------ */

typedef struct {
    uint8_t *bytes;
    size_t len;
    size_t capacity;
} text_t;

static void append(text_t *text, relay_span_t more)
{
    if (more.len == 0) {
        return;
    }
    if (text->len + more.len > text->capacity) {
        text->capacity = 2 * (text->len + more.len);
        text->bytes = realloc(text->bytes, text->capacity);
        CHECK(text->bytes != NULL);
    }
    memcpy(text->bytes + text->len, more.base, more.len);
    text->len += more.len;
}

static bool same(const text_t *a, const text_t *b)
{
    return relay_span_eq(relay_span(a->bytes, a->len), relay_span(b->bytes, b->len));
}

static void append_event(text_t *events, relay_span_t name, relay_span_t data, bool has_data,
                         bool terminated)
{
    size_t lengths[4] = {name.len, data.len, has_data, terminated};

    append(events, relay_span(lengths, sizeof(lengths)));
    append(events, name);
    append(events, data);
}

typedef struct {
    text_t events;
    text_t raw;
    relay_sse_status_t last;
} log_t;

static void record(log_t *log, const relay_sse_item_t *item)
{
    append(&log->raw, item->raw);
    if (log->last == RELAY_SSE_EVENT) {
        append_event(&log->events, item->name, item->data, item->has_data, item->terminated);
    } else {
        CHECK(!item->has_data && item->name.len == 0 && item->data.len == 0);
    }
    CHECK(item->raw.len != 0);
}

static bool is_item(relay_sse_status_t status)
{
    return status == RELAY_SSE_EVENT || status == RELAY_SSE_BLANK;
}

static void free_log(log_t *log)
{
    free(log->events.bytes);
    free(log->raw.bytes);
}

/* ---- the splitter, whole or cut ------------------------------------------ */

static void *resize(void *owner, void *block, size_t size)
{
    (void)owner;
    if (size == 0) {
        free(block);
        return NULL;
    }
    return realloc(block, size);
}

static void feed(relay_sse_t *sse, relay_span_t piece, log_t *log)
{
    relay_sse_item_t item;

    while (is_item(log->last = relay_sse_next(sse, &piece, &item))) {
        record(log, &item);
    }
    CHECK(log->last != RELAY_SSE_MEMORY);
    CHECK(log->last == RELAY_SSE_TOO_LONG || piece.len == 0);
}

static void finish(relay_sse_t *sse, log_t *log)
{
    relay_sse_item_t item;

    while (is_item(log->last = relay_sse_finish(sse, &item))) {
        record(log, &item);
    }
}

/* seed 0: in one piece. Pieces are copies that go at once. */
static void split(relay_span_t input, uint32_t seed, size_t event_max, log_t *log)
{
    relay_sse_t sse;

    memset(log, 0, sizeof(*log));
    relay_sse_init(&sse, (relay_memory_t){resize, NULL}, event_max);
    while (input.len != 0) {
        size_t length = input.len;
        uint8_t *piece;
        if (seed != 0) {
            seed = seed * 1664525 + 1013904223;
            length = 1 + (seed >> 16) % (seed >> 8 & 1 ? 3 : 40);
            length = length < input.len ? length : input.len;
        }
        piece = malloc(length);
        CHECK(piece != NULL);
        memcpy(piece, input.base, length);
        feed(&sse, relay_span(piece, length), log);
        free(piece);
        input = relay_span_from(input, length);
    }
    finish(&sse, log);
    relay_sse_free(&sse);
}

/* ---- the reference: lines first, fields then, as the standard puts it ---- */

typedef struct {
    text_t data;
    relay_span_t name;
    size_t data_lines;
    bool open; /* a line that is neither empty nor a comment has been seen */
} event_t;

static void give(event_t *event, text_t *events, bool terminated)
{
    if (event->open && (terminated || event->data_lines != 0)) {
        append_event(events, event->name, relay_span(event->data.bytes, event->data.len),
                     event->data_lines != 0, terminated);
    }
    event->data.len = 0;
    event->data_lines = 0;
    event->name = relay_span(NULL, 0);
    event->open = false;
}

static void field(event_t *event, relay_span_t name, relay_span_t value)
{
    if (relay_span_eq(name, RELAY_SPAN("event"))) {
        event->name = value;
    } else if (relay_span_eq(name, RELAY_SPAN("data"))) {
        if (event->data_lines++ != 0) {
            append(&event->data, RELAY_SPAN("\n"));
        }
        append(&event->data, value);
    }
}

static void line(event_t *event, relay_span_t text, text_t *events)
{
    const uint8_t *colon = text.len != 0 ? memchr(text.base, ':', text.len) : NULL;
    size_t name_len = colon != NULL ? (size_t)(colon - text.base) : text.len;
    size_t value_at = colon != NULL ? name_len + 1 : name_len;

    if (text.len == 0) {
        give(event, events, true);
        return;
    }
    if (name_len == 0) {
        return;
    }
    event->open = true;
    if (colon != NULL && value_at < text.len && text.base[value_at] == ' ') {
        value_at++;
    }
    field(event, relay_span(text.base, name_len), relay_span_from(text, value_at));
}

static void reference(relay_span_t input, text_t *events)
{
    event_t event = {{NULL, 0, 0}, {NULL, 0}, 0, false};
    size_t at = 0, start;

    if (relay_span_starts(input, RELAY_SPAN("\xef\xbb\xbf"))) {
        input = relay_span_from(input, 3);
    }
    for (start = 0; at < input.len; at++) {
        if (input.base[at] != '\n' && input.base[at] != '\r') {
            continue;
        }
        line(&event, relay_span(input.base + start, at - start), events);
        if (input.base[at] == '\r' && at + 1 < input.len && input.base[at + 1] == '\n') {
            at++;
        }
        start = at + 1;
    }
    if (start < input.len) {
        line(&event, relay_span_from(input, start), events);
    }
    give(&event, events, false);
    free(event.data.bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    text_t expected = {NULL, 0, 0};
    relay_span_t input;
    log_t whole, cut;

    if (size < 2) {
        return 0;
    }
    input = relay_span(data + 2, size - 2);
    split(input, 0, data[1] < 128 ? SIZE_MAX / 4 : data[1] - 127u, &whole);
    split(input, data[0] + 1u, data[1] < 128 ? SIZE_MAX / 4 : data[1] - 127u, &cut);
    CHECK(whole.last == cut.last);
    CHECK(same(&whole.events, &cut.events) && same(&whole.raw, &cut.raw));
    if (whole.last != RELAY_SSE_TOO_LONG) {
        reference(input, &expected);
        CHECK(same(&whole.events, &expected));
        CHECK(relay_span_eq(relay_span(whole.raw.bytes, whole.raw.len), input));
    }
    free(expected.bytes);
    free_log(&whole);
    free_log(&cut);
    return 0;
}
