/*
 * The token tape of a whole document. Callers: the configuration reader. The
 * grammar is json_scan's, over the same tokens.
 */

#include "json_tape.h"
#include "json_lex.h"

typedef struct {
    relay_json_lex_t lex;
    const uint8_t *base;
    relay_json_token_t *tokens;
    size_t capacity;
    size_t count;
    bool full;
    bool unique_keys;
    uint32_t open[RELAY_JSON_DEPTH_MAX]; /* tokens of the containers around, outermost first */
    unsigned depth;
} tape_t;

static const uint8_t *put(tape_t *tape, const uint8_t *at, size_t length, relay_json_type_t type)
{
    if (tape->count == tape->capacity) {
        tape->full = true;
        return relay_json_fail(&tape->lex, at, RELAY_JSON_OK);
    }
    tape->tokens[tape->count] = (relay_json_token_t){
        .offset = (uint32_t)(at - tape->base),
        .length = (uint32_t)length,
        .next = (uint32_t)(tape->count + 1),
        .type = (uint16_t)type,
        .depth = (uint16_t)tape->depth,
    };
    tape->count++;
    return at + length;
}

/* ---- keys that occur twice ----------------------------------------------- */

/*
 * A key's `next` is always its own index + 1, so while an object is being
 * checked the field links the key into a list instead; the list is merge-sorted
 * by decoded key, which needs no memory and n log n comparisons however many
 * keys a caller sends. Index 0 is never a key and ends a list.
 */
enum { LIST_END = 0, RUNS = 32 };

static relay_span_t written(const tape_t *tape, uint32_t index)
{
    return relay_span(tape->base + tape->tokens[index].offset, tape->tokens[index].length);
}

/* Stable: of equal keys, those of `first` come first. */
static uint32_t merge(tape_t *tape, uint32_t first, uint32_t second)
{
    uint32_t head = LIST_END;
    uint32_t *tail = &head;

    while (first != LIST_END && second != LIST_END) {
        uint32_t *taken =
            relay_json_compare(written(tape, first), written(tape, second)) <= 0 ? &first : &second;
        *tail = *taken;
        tail = &tape->tokens[*taken].next;
        *taken = *tail;
    }
    *tail = first != LIST_END ? first : second;
    return head;
}

/* runs[i] holds a sorted list of 2^i keys or none; adding one carries like a binary counter. */
static void add_key(tape_t *tape, uint32_t runs[RUNS], uint32_t key)
{
    unsigned i = 0;

    tape->tokens[key].next = LIST_END;
    while (i < RUNS - 1 && runs[i] != LIST_END) {
        key = merge(tape, runs[i], key);
        runs[i++] = LIST_END;
    }
    runs[i] = runs[i] != LIST_END ? merge(tape, runs[i], key) : key;
}

static uint32_t sort_keys(tape_t *tape, uint32_t object)
{
    uint32_t runs[RUNS] = {LIST_END};
    uint32_t sorted = LIST_END;

    for (uint32_t key = object + 1; key < tape->count; key = tape->tokens[key + 1].next) {
        add_key(tape, runs, key);
    }
    for (unsigned i = 0; i < RUNS; i++) {
        sorted = merge(tape, runs[i], sorted);
    }
    return sorted;
}

/* Takes the sorted list apart again. Returns the earliest key that repeats another, or LIST_END. */
static uint32_t earliest_repeat(tape_t *tape, uint32_t sorted)
{
    uint32_t repeat = LIST_END;

    while (sorted != LIST_END) {
        uint32_t next = tape->tokens[sorted].next;
        if (next != LIST_END && (repeat == LIST_END || next < repeat) &&
            relay_json_compare(written(tape, sorted), written(tape, next)) == 0) {
            repeat = next;
        }
        tape->tokens[sorted].next = sorted + 1;
        sorted = next;
    }
    return repeat;
}

/* Also gives the container its `next`. */
static const uint8_t *close_container(tape_t *tape, const uint8_t *at)
{
    uint32_t index = tape->open[--tape->depth];
    relay_json_token_t *token = &tape->tokens[index];
    uint32_t repeat = LIST_END;

    token->length = (uint32_t)(at + 1 - tape->base) - token->offset;
    token->next = (uint32_t)tape->count;
    if (tape->unique_keys && token->type == RELAY_JSON_OBJECT) {
        repeat = earliest_repeat(tape, sort_keys(tape, index));
    }
    if (repeat != LIST_END) {
        return relay_json_fail(&tape->lex, tape->base + tape->tokens[repeat].offset,
                               RELAY_JSON_DUPLICATE);
    }
    return at + 1;
}

/* ---- the grammar --------------------------------------------------------- */

/*
 * What the grammar allows next:
 *
 *   '[' ─► FIRST_VALUE ─value─► NEXT ─','─► VALUE (array) or KEY (object)
 *   '{' ─► FIRST_KEY ──key:───► VALUE ─value─► NEXT
 *
 * A closing bracket is allowed in FIRST_VALUE, FIRST_KEY and NEXT; it leads to
 * NEXT of the container around, or to DONE behind the top-level value.
 */
typedef enum { FIRST_VALUE, VALUE, FIRST_KEY, KEY, NEXT, DONE } state_t;

static bool in_object(const tape_t *tape)
{
    return tape->tokens[tape->open[tape->depth - 1]].type == RELAY_JSON_OBJECT;
}

static const uint8_t *open_container(tape_t *tape, const uint8_t *at)
{
    uint32_t index = (uint32_t)tape->count;

    if (tape->depth == RELAY_JSON_DEPTH_MAX) {
        return relay_json_fail(&tape->lex, at, RELAY_JSON_DEPTH);
    }
    if (put(tape, at, 1, *at == '{' ? RELAY_JSON_OBJECT : RELAY_JSON_ARRAY) == NULL) {
        return NULL;
    }
    tape->open[tape->depth++] = index;
    return at + 1;
}

static const uint8_t *open_or_scalar(tape_t *tape, const uint8_t *at, state_t *state)
{
    const uint8_t *end;

    if (at < tape->lex.end && (*at == '{' || *at == '[')) {
        *state = *at == '{' ? FIRST_KEY : FIRST_VALUE;
        return open_container(tape, at);
    }
    *state = tape->depth != 0 ? NEXT : DONE;
    end = relay_json_lex_scalar(&tape->lex, at);
    return end != NULL ? put(tape, at, (size_t)(end - at), tape->lex.type) : NULL;
}

static const uint8_t *take_key(tape_t *tape, const uint8_t *at, state_t *state)
{
    const uint8_t *end;

    *state = VALUE;
    if (at == tape->lex.end || *at != '"') {
        return relay_json_unexpected(&tape->lex, at);
    }
    end = relay_json_lex_string(&tape->lex, at);
    if (end == NULL || put(tape, at, (size_t)(end - at), RELAY_JSON_STRING) == NULL) {
        return NULL;
    }
    return relay_json_lex_colon(&tape->lex, end);
}

static const uint8_t *close_or_comma(tape_t *tape, const uint8_t *at, state_t *state)
{
    bool object = in_object(tape);

    if (at < tape->lex.end && *at == ',') {
        *state = object ? KEY : VALUE;
        return at + 1;
    }
    if (at == tape->lex.end || *at != (object ? '}' : ']')) {
        return relay_json_unexpected(&tape->lex, at);
    }
    *state = tape->depth > 1 ? NEXT : DONE;
    return close_container(tape, at);
}

static const uint8_t *step(tape_t *tape, const uint8_t *at, state_t *state)
{
    switch (*state) {
    case FIRST_VALUE:
        if (at < tape->lex.end && *at == ']') {
            break;
        }
        return open_or_scalar(tape, at, state);
    case VALUE:
        return open_or_scalar(tape, at, state);
    case FIRST_KEY:
        if (at < tape->lex.end && *at == '}') {
            break;
        }
        return take_key(tape, at, state);
    case KEY:
        return take_key(tape, at, state);
    case NEXT:
        break;
    case DONE:
        return relay_json_fail(&tape->lex, at, RELAY_JSON_SYNTAX);
    }
    return close_or_comma(tape, at, state);
}

static bool walk(tape_t *tape)
{
    const uint8_t *at = relay_json_lex_space(tape->base, tape->lex.end);
    state_t state = VALUE;

    while (state != DONE || at != tape->lex.end) {
        at = step(tape, at, &state);
        if (at == NULL) {
            return false;
        }
        at = relay_json_lex_space(at, tape->lex.end);
    }
    return true;
}

relay_tape_status_t relay_json_tape(relay_span_t doc, relay_json_token_t *tokens, size_t capacity,
                                    size_t *count, bool unique_keys, relay_json_fault_t *fault)
{
    tape_t tape = {.base = doc.base,
                   .tokens = tokens,
                   .capacity = capacity < UINT32_MAX ? capacity : UINT32_MAX,
                   .unique_keys = unique_keys};

    *fault = (relay_json_fault_t){RELAY_JSON_OK, 0, 0};
    *count = 0;
    if (doc.len == 0) {
        fault->error = RELAY_JSON_TRUNCATED;
        return RELAY_TAPE_JSON;
    }
    if (doc.len > UINT32_MAX) {
        fault->offset = UINT32_MAX;
        return RELAY_TAPE_FULL;
    }
    tape.lex.end = doc.base + doc.len;
    if (!walk(&tape)) {
        fault->error = tape.lex.error;
        fault->offset = (size_t)(tape.lex.at - doc.base);
        return tape.full ? RELAY_TAPE_FULL : RELAY_TAPE_JSON;
    }
    *count = tape.count;
    return RELAY_TAPE_OK;
}

void relay_json_position(relay_span_t doc, size_t offset, size_t *line, size_t *column)
{
    size_t start = 0;

    *line = 1;
    offset = offset < doc.len ? offset : doc.len;
    while (start < offset) {
        const uint8_t *feed = memchr(doc.base + start, '\n', offset - start);
        if (feed == NULL) {
            break;
        }
        start = (size_t)(feed - doc.base) + 1;
        (*line)++;
    }
    *column = offset - start + 1;
}
