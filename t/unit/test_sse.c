/* The event splitter: fields, line ends, comments, byte order mark, bounds, and
 * that no cut of the input changes what comes out. */

#include "sse.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

enum { ITEMS_MAX = 64, TEXT_MAX = 4096, EVENT_MAX = 1000 };

/* What a splitter gave, copied: spans do not outlive the call. */
typedef struct {
    struct {
        relay_sse_status_t status;
        char raw[TEXT_MAX], name[256], data[TEXT_MAX];
        size_t raw_len, name_len, data_len;
        bool has_data, terminated;
    } items[ITEMS_MAX];
    size_t count;
    char raw[TEXT_MAX]; /* of all items */
    size_t raw_len;
    relay_sse_status_t last;
} log_t;

static log_t log_a, log_b;

/* Memory that can be told to fail; counts what is not given back. */
typedef struct {
    int blocks;
    int left; /* allocations until failure; -1: never */
} memory_t;

static void *resize(void *owner, void *block, size_t size)
{
    memory_t *memory = owner;

    if (size == 0) {
        free(block);
        memory->blocks -= block != NULL;
        return NULL;
    }
    if (memory->left == 0) {
        return NULL;
    }
    memory->left -= memory->left > 0;
    memory->blocks += block == NULL;
    return realloc(block, size);
}

static size_t copy(char *to, relay_span_t from)
{
    if (from.len != 0) {
        memcpy(to, from.base, from.len);
    }
    return from.len;
}

static void record(log_t *log, relay_sse_status_t status, const relay_sse_item_t *item)
{
    size_t i = log->count++;

    assert_true(i < ITEMS_MAX);
    log->items[i].status = status;
    log->items[i].has_data = item->has_data;
    log->items[i].terminated = item->terminated;
    log->items[i].raw_len = copy(log->items[i].raw, item->raw);
    log->items[i].name_len = copy(log->items[i].name, item->name);
    log->items[i].data_len = copy(log->items[i].data, item->data);
    log->raw_len += copy(log->raw + log->raw_len, item->raw);
}

static bool is_item(relay_sse_status_t status)
{
    return status == RELAY_SSE_EVENT || status == RELAY_SSE_BLANK;
}

static void feed(relay_sse_t *sse, relay_span_t piece, log_t *log)
{
    relay_sse_item_t item;

    while (is_item(log->last = relay_sse_next(sse, &piece, &item))) {
        record(log, log->last, &item);
    }
    if (log->last == RELAY_SSE_MORE) {
        assert_int_equal(piece.len, 0);
    }
}

static void finish(relay_sse_t *sse, log_t *log)
{
    relay_sse_item_t item;

    while (is_item(log->last = relay_sse_finish(sse, &item))) {
        record(log, log->last, &item);
        assert_false(relay_sse_pending(sse));
    }
}

/* Cuts input after every `first` + k * `step` bytes; pieces are exact copies that go at once. */
static void split_cut(relay_span_t input, size_t first, size_t step, log_t *log)
{
    memory_t memory = {0, -1};
    relay_sse_t sse;
    size_t length = first;

    memset(log, 0, sizeof(*log));
    relay_sse_init(&sse, (relay_memory_t){resize, &memory}, EVENT_MAX);
    while (input.len != 0) {
        uint8_t *piece;
        length = length < input.len ? length : input.len;
        piece = malloc(length != 0 ? length : 1);
        assert_non_null(piece);
        memcpy(piece, input.base, length);
        feed(&sse, relay_span(piece, length), log);
        free(piece);
        input = relay_span_from(input, length);
        length = step;
    }
    finish(&sse, log);
    relay_sse_free(&sse);
    assert_int_equal(memory.blocks, 0);
}

static void split(const char *input, log_t *log)
{
    split_cut(relay_span(input, strlen(input)), TEXT_MAX, TEXT_MAX, log);
}

/* The events of a and b are the same, and the same bytes went through. */
static void assert_same(const log_t *a, const log_t *b)
{
    size_t j = 0;

    assert_int_equal(a->last, b->last);
    assert_int_equal(a->raw_len, b->raw_len);
    assert_memory_equal(a->raw, b->raw, a->raw_len);
    for (size_t i = 0; i < a->count; i++) {
        if (a->items[i].status != RELAY_SSE_EVENT) {
            continue;
        }
        while (j < b->count && b->items[j].status != RELAY_SSE_EVENT) {
            j++;
        }
        assert_true(j < b->count);
        assert_int_equal(a->items[i].has_data, b->items[j].has_data);
        assert_int_equal(a->items[i].terminated, b->items[j].terminated);
        assert_int_equal(a->items[i].name_len, b->items[j].name_len);
        assert_memory_equal(a->items[i].name, b->items[j].name, a->items[i].name_len);
        assert_int_equal(a->items[i].data_len, b->items[j].data_len);
        assert_memory_equal(a->items[i].data, b->items[j].data, a->items[i].data_len);
        j++;
    }
    for (; j < b->count; j++) {
        assert_int_equal(b->items[j].status, RELAY_SSE_BLANK);
    }
}

static void assert_item(const log_t *log, size_t i, relay_sse_status_t status, const char *raw)
{
    assert_true(i < log->count);
    assert_int_equal(log->items[i].status, status);
    assert_int_equal(log->items[i].raw_len, strlen(raw));
    assert_memory_equal(log->items[i].raw, raw, strlen(raw));
}

static void assert_event(const log_t *log, size_t i, const char *name, const char *data)
{
    assert_true(i < log->count);
    assert_int_equal(log->items[i].status, RELAY_SSE_EVENT);
    assert_string_equal(log->items[i].name, name);
    assert_int_equal(log->items[i].has_data, data != NULL);
    if (data != NULL) {
        assert_int_equal(log->items[i].data_len, strlen(data));
        assert_memory_equal(log->items[i].data, data, strlen(data));
    }
}

/* ---- fields -------------------------------------------------------------- */

static void one_event(const char *input, const char *name, const char *data)
{
    split(input, &log_a);
    assert_int_equal(log_a.count, 1);
    assert_event(&log_a, 0, name, data);
    assert_true(log_a.items[0].terminated);
    assert_item(&log_a, 0, RELAY_SSE_EVENT, input);
}

static void fields_are_read(void **state)
{
    (void)state;
    one_event("data: {\"a\":1}\n\n", "", "{\"a\":1}");
    one_event("event: ping\ndata: {}\n\n", "ping", "{}");
    one_event("data:x\nevent:y\n\n", "y", "x");
    one_event("data:  two\n\n", "", " two"); /* one space goes, not two */
    one_event("data:\tx\n\n", "", "\tx");
    one_event("data: a: b\n\n", "", "a: b");
    one_event("data: x \n\n", "", "x ");
    one_event("data:\n\n", "", "");
    one_event("data: \n\n", "", "");
    one_event("data\n\n", "", "");
    one_event("event: a\nevent: b\ndata: 1\n\n", "b", "1");
    one_event("event: a\nevent:\ndata: 1\n\n", "", "1");
    one_event("id: 7\nretry: 10\ndata: 1\nother: x\nnonsense\n\n", "", "1");
}

static void other_fields_are_not_taken_for_data(void **state)
{
    (void)state;
    one_event("data : x\n\n", "", NULL);
    one_event(" data: x\n\n", "", NULL);
    one_event("dataset: x\n\n", "", NULL);
    one_event("Data: x\n\n", "", NULL);
    one_event("events: x\ndata: 1\n\n", "", "1");
    one_event("dat\n\n", "", NULL);
    one_event("event: only\n\n", "only", NULL);
    one_event("id: 1\n\n", "", NULL);
}

static void data_lines_are_joined(void **state)
{
    (void)state;
    one_event("data: a\ndata: b\n\n", "", "a\nb");
    one_event("data: a\r\ndata:b\rdata:c\n\n", "", "a\nb\nc");
    one_event("data\ndata\n\n", "", "\n");
    one_event("data:\ndata: x\ndata:\n\n", "", "\nx\n");
    one_event("data: {\nid: 1\n: note\ndata: }\n\n", "", "{\n}");
}

/* ---- lines, comments ----------------------------------------------------- */

static void every_line_end_counts(void **state)
{
    static const char *const inputs[] = {
        "data: a\n\ndata: b\n\n",     "data: a\r\rdata: b\r\r",   "data: a\r\n\r\ndata: b\r\n\r\n",
        "data: a\n\r\ndata: b\r\n\n", "data: a\n\rdata: b\r\n\r", "data: a\r\r\ndata: b\n\r\n",
    };

    (void)state;
    for (size_t i = 0; i < COUNT(inputs); i++) {
        split(inputs[i], &log_a);
        assert_int_equal(log_a.count, 2);
        assert_event(&log_a, 0, "", "a");
        assert_event(&log_a, 1, "", "b");
        assert_int_equal(log_a.raw_len, strlen(inputs[i]));
        assert_memory_equal(log_a.raw, inputs[i], log_a.raw_len);
    }
}

static void keep_alives_come_out_at_once(void **state)
{
    (void)state;
    split(": ping\n\n:\r\n\r\r\ndata: x\n\n\n", &log_a);
    assert_int_equal(log_a.count, 7);
    assert_item(&log_a, 0, RELAY_SSE_BLANK, ": ping\n");
    assert_item(&log_a, 1, RELAY_SSE_BLANK, "\n");
    assert_item(&log_a, 2, RELAY_SSE_BLANK, ":\r\n");
    assert_item(&log_a, 3, RELAY_SSE_BLANK, "\r");
    assert_item(&log_a, 4, RELAY_SSE_BLANK, "\r\n");
    assert_item(&log_a, 5, RELAY_SSE_EVENT, "data: x\n\n");
    assert_item(&log_a, 6, RELAY_SSE_BLANK, "\n");
    assert_false(log_a.items[0].has_data);
    assert_int_equal(log_a.items[0].name_len, 0);
}

static void comments_inside_an_event_belong_to_it(void **state)
{
    (void)state;
    one_event("event: a\n: note\n:data: no\ndata: 1\n:\n\n", "a", "1");
    split(": before\ndata: 1\n\n", &log_a);
    assert_int_equal(log_a.count, 2);
    assert_item(&log_a, 0, RELAY_SSE_BLANK, ": before\n");
    assert_event(&log_a, 1, "", "1");
}

static void a_comment_waits_for_its_end(void **state)
{
    memory_t memory = {0, -1};
    relay_span_t input = RELAY_SPAN(": pi");
    relay_sse_item_t item;
    relay_sse_t sse;

    (void)state;
    relay_sse_init(&sse, (relay_memory_t){resize, &memory}, EVENT_MAX);
    assert_false(relay_sse_pending(&sse));
    assert_int_equal(relay_sse_next(&sse, &input, &item), RELAY_SSE_MORE);
    assert_true(relay_sse_pending(&sse));
    input = RELAY_SPAN("ng\ndata");
    assert_int_equal(relay_sse_next(&sse, &input, &item), RELAY_SSE_BLANK);
    assert_true(relay_span_eq(item.raw, RELAY_SPAN(": ping\n")));
    assert_false(relay_sse_pending(&sse));
    assert_int_equal(input.len, 4);
    relay_sse_free(&sse);
    assert_int_equal(memory.blocks, 0);
}

static void a_cr_at_the_end_of_a_read_ends_the_event(void **state)
{
    memory_t memory = {0, -1};
    relay_span_t input = RELAY_SPAN("data: x\r\n\r");
    relay_sse_item_t item;
    relay_sse_t sse;

    (void)state;
    relay_sse_init(&sse, (relay_memory_t){resize, &memory}, EVENT_MAX);
    assert_int_equal(relay_sse_next(&sse, &input, &item), RELAY_SSE_EVENT);
    assert_int_equal(item.raw.len, 10);
    assert_int_equal(relay_sse_next(&sse, &input, &item), RELAY_SSE_MORE);
    input = RELAY_SPAN("\ndata: y\r");
    assert_int_equal(relay_sse_next(&sse, &input, &item), RELAY_SSE_BLANK);
    assert_true(relay_span_eq(item.raw, RELAY_SPAN("\n")));
    assert_int_equal(relay_sse_next(&sse, &input, &item), RELAY_SSE_MORE);
    /* this LF belongs to the CR before the cut: no blank line, no event yet */
    input = RELAY_SPAN("\n");
    assert_int_equal(relay_sse_next(&sse, &input, &item), RELAY_SSE_MORE);
    input = RELAY_SPAN("\n");
    assert_int_equal(relay_sse_next(&sse, &input, &item), RELAY_SSE_EVENT);
    assert_true(relay_span_eq(item.raw, RELAY_SPAN("data: y\r\n\n")));
    relay_sse_free(&sse);
}

static void whole_events_are_spans_into_the_input(void **state)
{
    memory_t memory = {0, 0}; /* no allocation may happen */
    static const char text[] = "event: e\r\ndata: x\r\n\r\n: c\n";
    relay_span_t input = relay_span(text, sizeof(text) - 1);
    relay_sse_item_t item;
    relay_sse_t sse;

    (void)state;
    relay_sse_init(&sse, (relay_memory_t){resize, &memory}, EVENT_MAX);
    assert_int_equal(relay_sse_next(&sse, &input, &item), RELAY_SSE_EVENT);
    assert_ptr_equal(item.raw.base, text);
    assert_ptr_equal(item.name.base, text + 7);
    assert_ptr_equal(item.data.base, text + 16);
    assert_int_equal(relay_sse_next(&sse, &input, &item), RELAY_SSE_BLANK);
    assert_int_equal(relay_sse_next(&sse, &input, &item), RELAY_SSE_MORE);
    relay_sse_free(&sse);
}

/* ---- byte order mark ----------------------------------------------------- */

static void a_mark_is_taken_once_at_the_start(void **state)
{
    (void)state;
    one_event("\xef\xbb\xbf"
              "data: x\n\n",
              "", "x");
    split("\xef\xbb\xbf: hi\ndata: x\n\n", &log_a);
    assert_item(&log_a, 0, RELAY_SSE_BLANK, "\xef\xbb\xbf: hi\n");
    assert_event(&log_a, 1, "", "x");
    split("\xef\xbb\xbf\n\xef\xbb\xbf"
          "data: x\n\n",
          &log_a);
    assert_item(&log_a, 0, RELAY_SSE_BLANK, "\xef\xbb\xbf\n");
    assert_event(&log_a, 1, "", NULL); /* a second one is part of a field's name */
    one_event("\xef\xbb\xbf\xef\xbb\xbf"
              "data: x\n\n",
              "", NULL);
    one_event("\xef\xbb"
              "data: x\n\n",
              "", NULL);
    one_event("\xef\n\n", "", NULL);
    one_event("data: x\xef\xbb\xbf\n\n", "", "x\xef\xbb\xbf");
    split("\xef\xbb\xbf", &log_a);
    assert_int_equal(log_a.count, 1);
    assert_item(&log_a, 0, RELAY_SSE_BLANK, "\xef\xbb\xbf");
}

/* ---- cuts ---------------------------------------------------------------- */

static const char *const streams[] = {
    "data: {\"text\":\"\xe6\x97\xa5\xf0\x9f\x98\x80\"}\n\ndata: [DONE]\n\n",
    "event: message_start\r\ndata: {\"a\":1}\r\n\r\n: ping\r\n\r\nevent: ping\r\ndata: {}\r\n\r\n",
    "data: a\r\rdata: b\r\r:\r\r\n\n\rdata:c\r\n\r",
    "\xef\xbb\xbf:\n\n\ndata\ndata:\ndata: x\nevent:z\n\n\r\n",
    ("\xef\xbb"
     "data: x\n\ndata: y\n\n"),
    "data: a\n: inside\n\r\ndata: no end\n",
    "data: a\n\nevent: no data\n",
    "data: a\n\n: no end",
    "id: 1\r\n\r\n\r\n\r\nid: 2\r\n\ndata: z\r\n",
    "data: 0123456789012345678901234567890123456789012345678901234567890123456789\n\n",
    "\n",
    "\r",
    ":",
    "d",
    "\xef",
};

static void cuts_change_nothing(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(streams); i++) {
        relay_span_t input = relay_span(streams[i], strlen(streams[i]));
        split(streams[i], &log_a);
        assert_int_equal(log_a.raw_len, input.len);
        assert_memory_equal(log_a.raw, streams[i], input.len);
        for (size_t first = 0; first <= input.len; first++) {
            split_cut(input, first, TEXT_MAX, &log_b);
            assert_same(&log_a, &log_b);
            split_cut(input, first, 1 + first % 5, &log_b);
            assert_same(&log_a, &log_b);
        }
    }
}

/* ---- the end of the stream ----------------------------------------------- */

static void an_event_without_its_blank_line_comes_out_unterminated(void **state)
{
    (void)state;
    split("data: x\n", &log_a);
    assert_event(&log_a, 0, "", "x");
    assert_false(log_a.items[0].terminated);
    split("event: e\ndata: {\"a", &log_a);
    assert_int_equal(log_a.count, 1);
    assert_event(&log_a, 0, "e", "{\"a");
    assert_false(log_a.items[0].terminated);
    split("data: a\ndata: b\r", &log_a);
    assert_event(&log_a, 0, "", "a\nb");
}

static void other_leftovers_lose_no_byte(void **state)
{
    static const char *const leftovers[] = {"event: x\n", ": pi", "dat", "\xef\xbb", "id: 1\r"};

    (void)state;
    for (size_t i = 0; i < COUNT(leftovers); i++) {
        split(leftovers[i], &log_a);
        assert_int_equal(log_a.count, 1);
        assert_item(&log_a, 0, RELAY_SSE_BLANK, leftovers[i]);
        assert_int_equal(log_a.items[0].name_len, 0);
        assert_false(log_a.items[0].terminated);
        assert_int_equal(log_a.last, RELAY_SSE_MORE);
    }
    split("", &log_a);
    assert_int_equal(log_a.count, 0);
}

/* ---- bounds and memory --------------------------------------------------- */

/* "data: " + value + end, `length` bytes without the LF of a final CRLF. */
static relay_span_t event_of(char *bytes, size_t length, const char *end)
{
    size_t tail = strlen(end);
    size_t total = length + (tail >= 2 && strcmp(end + tail - 2, "\r\n") == 0);

    memset(bytes, 'x', total);
    memcpy(bytes, "data: ", 6);
    memcpy(bytes + total - tail, end, tail);
    return relay_span(bytes, total);
}

static void events_are_bounded(void **state)
{
    static const char *const ends[] = {"\n\n", "\r\n\r\n", "\r\r", ""};
    char bytes[EVENT_MAX + 8];

    (void)state;
    for (size_t i = 0; i < COUNT(ends); i++) {
        static const size_t steps[] = {1, 7, 500, 999, 1000, 1001, 2000};
        for (size_t k = 0; k < COUNT(steps); k++) {
            split_cut(event_of(bytes, EVENT_MAX, ends[i]), steps[k], steps[k], &log_a);
            assert_int_equal(log_a.last, RELAY_SSE_MORE);
            assert_int_equal(log_a.items[0].status, RELAY_SSE_EVENT);
            split_cut(event_of(bytes, EVENT_MAX + 1, ends[i]), steps[k], steps[k], &log_a);
            assert_int_equal(log_a.last, RELAY_SSE_TOO_LONG);
            assert_int_equal(log_a.count, 0);
        }
    }
    bytes[0] = ':';
    memset(bytes + 1, 'x', EVENT_MAX);
    split_cut(relay_span(bytes, EVENT_MAX + 1), 10, 10, &log_a);
    assert_int_equal(log_a.last, RELAY_SSE_TOO_LONG);
}

static void a_dead_splitter_stays_dead(void **state)
{
    memory_t memory = {0, -1};
    relay_span_t input = RELAY_SPAN("data: 12345\n\n");
    relay_sse_item_t item;
    relay_sse_t sse;

    (void)state;
    relay_sse_init(&sse, (relay_memory_t){resize, &memory}, 8);
    assert_int_equal(relay_sse_next(&sse, &input, &item), RELAY_SSE_TOO_LONG);
    input = RELAY_SPAN("\n");
    assert_int_equal(relay_sse_next(&sse, &input, &item), RELAY_SSE_TOO_LONG);
    assert_int_equal(relay_sse_finish(&sse, &item), RELAY_SSE_TOO_LONG);
    relay_sse_free(&sse);
    /* freed, it starts anew */
    assert_int_equal(relay_sse_next(&sse, &input, &item), RELAY_SSE_BLANK);
}

/* Every allocation of a run fails once; the status says so and nothing leaks. */
static void failing_memory_is_reported(void **state)
{
    static const char text[] = "data: a\ndata: b\n\n";
    size_t failed = 0;

    (void)state;
    for (int left = 0; left < 4; left++) {
        memory_t memory = {0, left};
        relay_sse_status_t status;
        relay_span_t input = relay_span(text, 10);
        relay_sse_item_t item;
        relay_sse_t sse;
        relay_sse_init(&sse, (relay_memory_t){resize, &memory}, EVENT_MAX);
        status = relay_sse_next(&sse, &input, &item);
        if (status == RELAY_SSE_MORE) {
            input = relay_span(text + 10, sizeof(text) - 1 - 10);
            status = relay_sse_next(&sse, &input, &item);
        }
        failed += status == RELAY_SSE_MEMORY;
        assert_int_equal(status, left < 2 ? RELAY_SSE_MEMORY : RELAY_SSE_EVENT);
        if (status == RELAY_SSE_MEMORY) {
            assert_int_equal(relay_sse_next(&sse, &input, &item), RELAY_SSE_MEMORY);
            assert_int_equal(relay_sse_finish(&sse, &item), RELAY_SSE_MEMORY);
        }
        relay_sse_free(&sse);
        assert_int_equal(memory.blocks, 0);
    }
    assert_int_equal(failed, 2);
}

/* ---- the vector step ----------------------------------------------------- */

static void both_twins_find_the_same_line_end(void **state)
{
    static const uint8_t bytes_tried[] = {'\n', '\r', 0x00, 0x0b, 0x8a, 0x8d, ':'};

    (void)state;
    for (size_t length = 1; length < 70; length++) {
        uint8_t *bytes = malloc(length);
        assert_non_null(bytes);
        for (size_t i = 0; i < length * sizeof(bytes_tried); i++) {
            relay_span_t text = relay_span(bytes, length);
            uint8_t tried = bytes_tried[i / length];
            memset(bytes, 'a', length);
            bytes[i % length] = tried;
            assert_int_equal(find_line_end_scalar(text, 0),
                             is_line_end(tried) ? i % length : length);
            for (size_t at = 0; at <= length; at++) {
                assert_int_equal(find_line_end(text, at), find_line_end_scalar(text, at));
            }
        }
        free(bytes);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fields_are_read),
        cmocka_unit_test(other_fields_are_not_taken_for_data),
        cmocka_unit_test(data_lines_are_joined),
        cmocka_unit_test(every_line_end_counts),
        cmocka_unit_test(keep_alives_come_out_at_once),
        cmocka_unit_test(comments_inside_an_event_belong_to_it),
        cmocka_unit_test(a_comment_waits_for_its_end),
        cmocka_unit_test(a_cr_at_the_end_of_a_read_ends_the_event),
        cmocka_unit_test(whole_events_are_spans_into_the_input),
        cmocka_unit_test(a_mark_is_taken_once_at_the_start),
        cmocka_unit_test(cuts_change_nothing),
        cmocka_unit_test(an_event_without_its_blank_line_comes_out_unterminated),
        cmocka_unit_test(other_leftovers_lose_no_byte),
        cmocka_unit_test(events_are_bounded),
        cmocka_unit_test(a_dead_splitter_stays_dead),
        cmocka_unit_test(failing_memory_is_reported),
        cmocka_unit_test(both_twins_find_the_same_line_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
