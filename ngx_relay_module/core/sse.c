/*
 * The splitter of server-sent events. Callers: the stream relay, one splitter
 * per answer.
 *
 * Two layers. The framing below looks at each byte once and finds where an item
 * ends, however the input is cut. Only then is the whole item split into
 * fields, so the fields cannot depend on the cuts.
 *
 *   STREAM ─EF─► BOM_1 ─BB─► BOM_2 ─BF─► BOUNDARY
 *     │ other      │ other     │ other       │  ▲
 *     │            └───────────┴─► LINE      │  │ item is out
 *     └──────────────────────────────────────┤  │
 *                      ┌─────────────────────┘  │
 *                      ├─CR, LF─► (blank line) ─┤
 *                      ├─':'─► COMMENT ─CR, LF──┤
 *                      └─other─► LINE           │
 *                                │              │
 *             LINE ─LF─► LINE_START ─CR, LF─────┤
 *              │ ▲           │ other            │
 *              │ └───────────┘                  │
 *              └─CR─► AFTER_CR ─CR──────────────┘
 *                        LF ─► LINE_START, other ─► LINE
 *
 * Wherever CR ends an item, an LF that is already there goes along with it.
 */

#include "sse.h"

#if defined(__SSE2__)
#define SSE_VECTOR 1
#include <emmintrin.h>
#else
#define SSE_VECTOR 0
#endif

typedef enum {
    STREAM = 0,
    BOM_1,
    BOM_2,
    BOUNDARY,
    COMMENT,
    LINE,
    LINE_START,
    AFTER_CR,
    DEAD_TOO_LONG,
    DEAD_MEMORY
} state_t;

enum { CARRY_MIN = 1024, BOM_LENGTH = 3 };

void relay_sse_init(relay_sse_t *sse, relay_memory_t memory, size_t event_max)
{
    *sse = (relay_sse_t){.memory = memory, .event_max = event_max, .state = STREAM};
}

void relay_sse_free(relay_sse_t *sse)
{
    relay_memory_t memory = sse->memory;

    if (sse->carry != NULL) {
        memory.resize(memory.owner, sse->carry, 0);
    }
    if (sse->joined != NULL) {
        memory.resize(memory.owner, sse->joined, 0);
    }
    relay_sse_init(sse, memory, sse->event_max);
}

/* ---- lines --------------------------------------------------------------- */

static inline bool is_line_end(uint8_t byte)
{
    return byte == '\n' || byte == '\r';
}

/* First CR or LF at or after `at`, or text.len. */
static size_t find_line_end_scalar(relay_span_t text, size_t at)
{
    while (at < text.len && !is_line_end(text.base[at])) {
        at++;
    }
    return at;
}

#if SSE_VECTOR

static size_t find_line_end_vector(relay_span_t text, size_t at)
{
    const __m128i lf = _mm_set1_epi8('\n'), cr = _mm_set1_epi8('\r');

    while (text.len - at >= 16) {
        const __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)(text.base + at));
        const unsigned found = (unsigned)_mm_movemask_epi8(
            _mm_or_si128(_mm_cmpeq_epi8(bytes, lf), _mm_cmpeq_epi8(bytes, cr)));
        if (found != 0) {
            return at + (unsigned)__builtin_ctz(found);
        }
        at += 16;
    }
    return find_line_end_scalar(text, at);
}

#endif

static size_t find_line_end(relay_span_t text, size_t at)
{
#if SSE_VECTOR
    return find_line_end_vector(text, at);
#else
    return find_line_end_scalar(text, at);
#endif
}

/* Behind the terminator at `at`, CRLF taken as one. */
static size_t pass_line_end(relay_span_t text, size_t at)
{
    bool crlf = text.base[at] == '\r' && at + 1 < text.len && text.base[at + 1] == '\n';

    return at + (crlf ? 2 : 1);
}

/* ---- framing ------------------------------------------------------------- */

/* The state that a byte at the start of a line leads to, if the line is not empty. */
static state_t line_state(state_t state, uint8_t byte)
{
    return byte == ':' && state == BOUNDARY ? COMMENT : LINE;
}

/* In the middle of a line: to its end. *at goes behind the terminator; true if that ends the item.
 */
static bool finish_line(state_t *state, relay_span_t input, size_t *at)
{
    *at = find_line_end(input, *at);
    if (*at == input.len) {
        return false;
    }
    if (*state == COMMENT) {
        *at = pass_line_end(input, *at);
        return true;
    }
    *state = input.base[*at] == '\r' ? AFTER_CR : LINE_START;
    (*at)++;
    return false;
}

/* At the start of a line; true if it is empty and so ends the item. */
static bool start_line(state_t *state, relay_span_t input, size_t *at)
{
    uint8_t byte = input.base[*at];

    if (byte == '\n' && *state == AFTER_CR) {
        *state = LINE_START;
        (*at)++;
        return false;
    }
    if (is_line_end(byte)) {
        *at = pass_line_end(input, *at);
        return true;
    }
    *state = line_state(*state, byte);
    return false;
}

/* The three bytes that may open a stream; whatever else comes starts a line. */
static void start_stream(relay_sse_t *sse, state_t *state, uint8_t byte, size_t *at)
{
    static const uint8_t mark[BOM_LENGTH] = {0xef, 0xbb, 0xbf};
    unsigned index = *state - STREAM;

    if (byte != mark[index]) {
        *state = index == 0 ? BOUNDARY : LINE;
        return;
    }
    (*at)++;
    *state = *state == BOM_2 ? BOUNDARY : *state + 1;
    sse->bom = *state == BOUNDARY ? BOM_LENGTH : 0;
}

/*
 * Advances *at from 0 over input, which continues the pending item. True if
 * the item ends at *at; false if the input does first.
 */
static bool find_item_end(relay_sse_t *sse, relay_span_t input, size_t *at)
{
    state_t state = sse->state;
    bool found = false;

    *at = 0;
    while (!found && *at < input.len) {
        switch (state) {
        case STREAM:
        case BOM_1:
        case BOM_2:
            start_stream(sse, &state, input.base[*at], at);
            break;
        case BOUNDARY:
        case LINE_START:
        case AFTER_CR:
            found = start_line(&state, input, at);
            break;
        default:
            found = finish_line(&state, input, at);
            break;
        }
    }
    sse->state = (uint8_t)state;
    return found;
}

/* ---- fields -------------------------------------------------------------- */

/* Takes the next line of *text, without its terminator. */
static relay_span_t take_line(relay_span_t *text)
{
    size_t at = find_line_end(*text, 0);
    relay_span_t line = relay_span(text->base, at);

    *text = relay_span_from(*text, at < text->len ? pass_line_end(*text, at) : at);
    return line;
}

/* True and *value set if line is the field called name; *value is left alone otherwise. */
static bool field_value(relay_span_t line, relay_span_t name, relay_span_t *value)
{
    relay_span_t rest;

    if (!relay_span_starts(line, name)) {
        return false;
    }
    rest = relay_span_from(line, name.len);
    if (rest.len != 0) {
        if (rest.base[0] != ':') {
            return false;
        }
        rest = relay_span_from(rest, rest.len > 1 && rest.base[1] == ' ' ? 2 : 1);
    }
    *value = rest;
    return true;
}

/* Sets name and data of one line, or of the last of several; returns how many data lines
 * there are and adds up their lengths. */
static size_t read_fields(relay_span_t text, relay_sse_item_t *item, size_t *data_bytes)
{
    size_t lines = 0;

    *data_bytes = 0;
    while (text.len != 0) {
        relay_span_t line = take_line(&text);
        if (field_value(line, RELAY_SPAN("data"), &item->data)) {
            lines++;
            *data_bytes += item->data.len;
        } else {
            field_value(line, RELAY_SPAN("event"), &item->name);
        }
    }
    item->has_data = lines != 0;
    return lines;
}

/* Makes *block hold `size` bytes; false on failure. */
static bool reserve(relay_sse_t *sse, uint8_t **block, size_t *capacity, size_t size)
{
    size_t grown = *capacity < CARRY_MIN / 2 ? CARRY_MIN : *capacity * 2;
    uint8_t *moved;

    if (size <= *capacity) {
        return true;
    }
    grown = grown < size ? size : grown;
    moved = sse->memory.resize(sse->memory.owner, *block, grown);
    if (moved == NULL) {
        return false;
    }
    *block = moved;
    *capacity = grown;
    return true;
}

/* item->data becomes all data lines of text, joined by LF; `size` bytes in sum. */
static bool join_data(relay_sse_t *sse, relay_span_t text, size_t size, relay_sse_item_t *item)
{
    size_t used = 0;
    bool first = true;

    if (!reserve(sse, &sse->joined, &sse->joined_capacity, size)) {
        return false;
    }
    while (text.len != 0) {
        relay_span_t value;
        if (!field_value(take_line(&text), RELAY_SPAN("data"), &value)) {
            continue;
        }
        if (!first) {
            sse->joined[used++] = '\n';
        }
        first = false;
        memcpy(sse->joined + used, value.base, value.len);
        used += value.len;
    }
    item->data = relay_span(sse->joined, used);
    return true;
}

static relay_sse_status_t die(relay_sse_t *sse, state_t state)
{
    sse->state = (uint8_t)state;
    return state == DEAD_MEMORY ? RELAY_SSE_MEMORY : RELAY_SSE_TOO_LONG;
}

static bool is_dead(const relay_sse_t *sse)
{
    return sse->state >= DEAD_TOO_LONG;
}

/* raw is a whole item: the splitter is at a boundary again. */
static relay_sse_status_t give_item(relay_sse_t *sse, relay_span_t raw, bool terminated,
                                    relay_sse_item_t *item)
{
    relay_span_t text = relay_span_from(raw, sse->bom);
    bool blank = text.len == 0 || text.base[0] == ':' || is_line_end(text.base[0]);
    size_t lines, bytes;

    *item = (relay_sse_item_t){.raw = raw, .terminated = terminated};
    sse->carry_len = 0;
    sse->bom = 0;
    sse->state = BOUNDARY;
    if (blank) {
        return RELAY_SSE_BLANK;
    }
    lines = read_fields(text, item, &bytes);
    if (lines > 1 && !join_data(sse, text, bytes + lines - 1, item)) {
        return die(sse, DEAD_MEMORY);
    }
    if (!terminated && !item->has_data) {
        item->name = relay_span(NULL, 0); /* nobody is told of half an event */
        return RELAY_SSE_BLANK;
    }
    return RELAY_SSE_EVENT;
}

/* ---- the splitter -------------------------------------------------------- */

/* Appends text to the carry; false on failure. */
static bool keep(relay_sse_t *sse, relay_span_t text)
{
    if (!reserve(sse, &sse->carry, &sse->carry_capacity, sse->carry_len + text.len)) {
        return false;
    }
    memcpy(sse->carry + sse->carry_len, text.base, text.len);
    sse->carry_len += text.len;
    return true;
}

/* Length of the pending item once `more` is added, as event_max counts it. */
static size_t counted(const relay_sse_t *sse, relay_span_t more, bool whole)
{
    size_t length = sse->carry_len + more.len;
    bool crlf = whole && more.len >= 2 && more.base[more.len - 1] == '\n' &&
                more.base[more.len - 2] == '\r';

    return crlf ? length - 1 : length;
}

relay_sse_status_t relay_sse_next(relay_sse_t *sse, relay_span_t *input, relay_sse_item_t *item)
{
    relay_span_t part;
    size_t length;
    bool whole;

    if (is_dead(sse)) {
        return die(sse, sse->state);
    }
    if (input->len == 0) {
        return RELAY_SSE_MORE;
    }
    whole = find_item_end(sse, *input, &length);
    part = relay_span(input->base, length);
    if (counted(sse, part, whole) > sse->event_max) {
        return die(sse, DEAD_TOO_LONG);
    }
    *input = relay_span_from(*input, length);
    if (whole && sse->carry_len == 0) {
        return give_item(sse, part, true, item);
    }
    if (!keep(sse, part)) {
        return die(sse, DEAD_MEMORY);
    }
    if (!whole) {
        return RELAY_SSE_MORE;
    }
    return give_item(sse, relay_span(sse->carry, sse->carry_len), true, item);
}

relay_sse_status_t relay_sse_finish(relay_sse_t *sse, relay_sse_item_t *item)
{
    if (is_dead(sse)) {
        return die(sse, sse->state);
    }
    if (sse->carry_len == 0) {
        return RELAY_SSE_MORE;
    }
    return give_item(sse, relay_span(sse->carry, sse->carry_len), false, item);
}
