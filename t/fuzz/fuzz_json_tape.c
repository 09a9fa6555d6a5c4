/*
 * The tape against the scan (one grammar, one fault), against its own rules,
 * and its search for repeated keys against the obvious one. Run by `make fuzz`.
 */

#include "json_tape.h"

#include <stdlib.h>

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

enum { SLOW_MAX = 512 }; /* documents up to this size go through the slow checks */

/* The children of tokens[i] nest inside it and follow each other without a gap. */
static void check_container(relay_span_t doc, const relay_json_token_t *tokens, size_t i)
{
    const relay_json_token_t *outer = &tokens[i];
    uint32_t place = outer->offset + 1;
    bool key = outer->type == RELAY_JSON_OBJECT;
    size_t child = i + 1;

    while (child < outer->next) {
        const relay_json_token_t *inner = &tokens[child];
        CHECK(inner->depth == outer->depth + 1);
        CHECK(inner->offset >= place);
        CHECK(!key || (inner->type == RELAY_JSON_STRING && inner->next == child + 1));
        key = outer->type == RELAY_JSON_OBJECT && !key;
        place = inner->offset + inner->length;
        CHECK(inner->next > child);
        child = inner->next;
    }
    CHECK(child == outer->next && place < outer->offset + outer->length);
    CHECK(key == (outer->type == RELAY_JSON_OBJECT));
    CHECK(doc.base[outer->offset + outer->length - 1] ==
          (outer->type == RELAY_JSON_OBJECT ? '}' : ']'));
}

static void check_token(relay_span_t doc, const relay_json_token_t *tokens, size_t i, size_t count)
{
    static const char first[] = "\0nft\0\"[{";
    uint8_t byte = doc.base[tokens[i].offset];

    CHECK(tokens[i].offset + (size_t)tokens[i].length <= doc.len && tokens[i].length != 0);
    CHECK(tokens[i].next <= count);
    if (tokens[i].type == RELAY_JSON_NUMBER) {
        CHECK(byte == '-' || (byte >= '0' && byte <= '9'));
    } else {
        CHECK(byte == (uint8_t)first[tokens[i].type]);
    }
    if (tokens[i].type >= RELAY_JSON_ARRAY) {
        check_container(doc, tokens, i);
    } else {
        CHECK(tokens[i].next == i + 1);
    }
}

/* ---- repeated keys ------------------------------------------------------- */

static bool same_key(relay_json_value_t a, relay_json_value_t b)
{
    uint8_t left[SLOW_MAX], right[SLOW_MAX];
    relay_buf_t x = relay_buf(left, sizeof(left)), y = relay_buf(right, sizeof(right));

    CHECK(relay_json_decode(a, &x) && relay_json_decode(b, &y));
    return relay_span_eq(relay_buf_span(&x), relay_buf_span(&y));
}

/* Index of the first key of object tokens[i] that repeats an earlier one, or 0. */
static size_t repeat_in(relay_span_t doc, const relay_json_token_t *tokens, size_t i)
{
    for (size_t key = i + 1; key < tokens[i].next; key = tokens[key + 1].next) {
        for (size_t other = i + 1; other < key; other = tokens[other + 1].next) {
            if (same_key(relay_tape_value(doc, &tokens[key]),
                         relay_tape_value(doc, &tokens[other]))) {
                return key;
            }
        }
    }
    return 0;
}

/* Is `offset` the first repetition in some object? With none at all: is `found` false? */
static void check_repeats(relay_span_t doc, const relay_json_token_t *tokens, size_t count,
                          bool found, size_t offset)
{
    bool any = false, at_offset = false;

    for (size_t i = 0; i < count; i++) {
        size_t key = tokens[i].type == RELAY_JSON_OBJECT ? repeat_in(doc, tokens, i) : 0;
        any = any || key != 0;
        at_offset = at_offset || (key != 0 && tokens[key].offset == offset);
    }
    CHECK(any == found && at_offset == found);
}

static void check_unique(relay_span_t doc, const relay_json_token_t *tokens, size_t count)
{
    relay_json_token_t *again = calloc(count, sizeof(*again));
    relay_json_fault_t fault;
    size_t again_count;
    relay_tape_status_t status;

    CHECK(again != NULL);
    status = relay_json_tape(doc, again, count, &again_count, true, &fault);
    CHECK(status == RELAY_TAPE_OK || fault.error == RELAY_JSON_DUPLICATE);
    if (status == RELAY_TAPE_OK) {
        CHECK(again_count == count && memcmp(again, tokens, count * sizeof(*again)) == 0);
    }
    if (doc.len <= SLOW_MAX) {
        check_repeats(doc, tokens, count, status != RELAY_TAPE_OK, fault.offset);
    }
    free(again);
}

/* One token fewer must not do, and must not write past its array. */
static void check_full(relay_span_t doc, size_t count)
{
    relay_json_token_t *few = calloc(count, sizeof(*few));
    relay_json_fault_t fault;
    size_t few_count;

    CHECK(few != NULL);
    memset(&few[count - 1], 0x5a, sizeof(*few));
    CHECK(relay_json_tape(doc, few, count - 1, &few_count, false, &fault) == RELAY_TAPE_FULL);
    CHECK(few[count - 1].offset == 0x5a5a5a5a && fault.offset < doc.len);
    free(few);
}

/* ---- positions ----------------------------------------------------------- */

static void check_position(relay_span_t doc, size_t offset)
{
    size_t line = 1, column = 1, got_line, got_column;

    for (size_t i = 0; i < offset; i++) {
        column = doc.base[i] == '\n' ? 1 : column + 1;
        line += doc.base[i] == '\n';
    }
    relay_json_position(doc, offset, &got_line, &got_column);
    CHECK(line == got_line && column == got_column);
}

/* The scan refuses what is no object, the tape does not; otherwise they agree. */
static void check_against_scan(relay_span_t doc, relay_tape_status_t status,
                               const relay_json_fault_t *fault)
{
    relay_json_fault_t scanned;

    if (relay_json_scan(doc, NULL, 0, NULL, &scanned) == RELAY_JSON_TYPE) {
        CHECK(status == RELAY_TAPE_OK);
        return;
    }
    CHECK(scanned.error == fault->error && scanned.offset == fault->offset);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    relay_span_t doc = relay_span(data, size);
    relay_json_token_t *tokens = calloc(size + 1, sizeof(*tokens));
    relay_json_fault_t fault;
    relay_tape_status_t status;
    size_t count;

    CHECK(tokens != NULL);
    status = relay_json_tape(doc, tokens, size + 1, &count, false, &fault);
    CHECK(status != RELAY_TAPE_FULL);
    check_against_scan(doc, status, &fault);
    check_position(doc, fault.offset);
    check_position(doc, size / 2);
    if (status == RELAY_TAPE_OK) {
        CHECK(count != 0 && tokens[0].depth == 0 && tokens[0].next == count);
        for (size_t i = 0; i < count; i++) {
            check_token(doc, tokens, i, count);
        }
        check_unique(doc, tokens, count);
        check_full(doc, count);
    }
    free(tokens);
    return 0;
}
