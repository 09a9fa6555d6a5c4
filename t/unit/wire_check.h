/*
 * Runs a stream through the splitter and a wire format the way the adapter
 * does, and compares runs that were cut differently. For test_wire_*.c.
 */

#ifndef RELAY_TEST_WIRE_CHECK_H
#define RELAY_TEST_WIRE_CHECK_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "sse.h"
#include "valgrind_check.h"
#include "wire.h"

enum { CHECK_TEXT_MAX = 1 << 18 };

/* What a run showed. */
typedef struct {
    char classes[4096]; /* a letter per event: i p c e E(nd); upper case H before a hidden one */
    char out[CHECK_TEXT_MAX]; /* what the client gets */
    size_t out_len;
    bool hiding; /* the last event was hidden: its LF may come late, as a blank */
    bool closed; /* what close() said */
    relay_stream_t stream;
} check_run_t;

__attribute__((unused)) static relay_span_t check_text(const char *string)
{
    return relay_span(string, strlen(string));
}

__attribute__((unused)) static void check_span(relay_span_t span, const char *expected)
{
    if (!relay_span_eq(span, relay_span(expected, strlen(expected)))) {
        print_error("got  \"%.*s\"\nwant \"%s\"\n", (int)span.len, (const char *)span.base,
                    expected);
        fail();
    }
}

/* Field by field: a structure's padding may hold anything. */
__attribute__((unused)) static void check_usage(const relay_usage_t *got, const relay_usage_t *want)
{
    assert_int_equal(got->known, want->known);
    assert_int_equal(got->input_tokens, want->input_tokens);
    assert_int_equal(got->cached_tokens, want->cached_tokens);
    assert_int_equal(got->cache_write_tokens, want->cache_write_tokens);
    assert_int_equal(got->cache_write_1h_tokens, want->cache_write_1h_tokens);
    assert_int_equal(got->output_tokens, want->output_tokens);
    assert_int_equal(got->reasoning_tokens, want->reasoning_tokens);
}

/* True if the text is in span. */
__attribute__((unused)) static bool check_has(relay_span_t span, const char *text)
{
    return memmem(span.base, span.len, text, strlen(text)) != NULL;
}

/* A JSON object without duplicate members at its top. */
__attribute__((unused)) static void check_json(relay_span_t text)
{
    relay_json_fault_t fault;

    if (relay_json_scan(text, NULL, 0, NULL, &fault) != RELAY_JSON_OK) {
        print_error("at %zu not JSON: %.*s\n", fault.offset, (int)text.len,
                    (const char *)text.base);
        fail();
    }
}

__attribute__((unused)) static char *check_load(const char *name, size_t *len)
{
    char path[256];
    char *bytes = malloc(CHECK_TEXT_MAX);
    FILE *file;

    snprintf(path, sizeof(path), "t/unit/fixtures/%s", name);
    file = fopen(path, "rb");
    if (file == NULL || bytes == NULL) {
        fail_msg("cannot read %s (tests run in the top directory)", path);
        abort();
    }
    *len = fread(bytes, 1, CHECK_TEXT_MAX, file);
    fclose(file);
    assert_true(*len > 0 && *len < CHECK_TEXT_MAX);
    return bytes;
}

static void *check_resize(void *owner, void *block, size_t size)
{
    (void)owner;
    if (size == 0) {
        free(block);
        return NULL;
    }
    return realloc(block, size);
}

static void check_forward(check_run_t *run, relay_span_t text)
{
    assert_true(run->out_len + text.len < CHECK_TEXT_MAX);
    if (text.len != 0) {
        memcpy(run->out + run->out_len, text.base, text.len);
    }
    run->out_len += text.len;
}

static void check_note(check_run_t *run, char letter)
{
    size_t len = strlen(run->classes);

    assert_true(len + 2 < sizeof(run->classes));
    run->classes[len] = letter;
}

static void check_item(check_run_t *run, const relay_wire_t *wire, const relay_sse_item_t *item)
{
    uint8_t bytes[2048];
    relay_buf_t before = relay_buf(bytes, sizeof(bytes));
    relay_verdict_t verdict = wire->event(&run->stream, item, &before);

    assert_true(relay_buf_ok(&before));
    run->hiding = verdict.hide;
    if (verdict.hide) {
        check_note(run, 'H');
    }
    check_note(run, "ipceE"[verdict.class]);
    check_forward(run, relay_buf_span(&before));
    if (!verdict.hide) {
        check_forward(run, item->raw);
        if (!item->terminated) {
            check_forward(run, RELAY_SPAN("\n\n"));
        }
    }
}

static void check_feed(check_run_t *run, const relay_wire_t *wire, relay_sse_t *sse,
                       relay_span_t input)
{
    relay_sse_item_t item;
    relay_sse_status_t status;

    while ((status = relay_sse_next(sse, &input, &item)) != RELAY_SSE_MORE) {
        assert_true(status == RELAY_SSE_EVENT || status == RELAY_SSE_BLANK);
        if (status == RELAY_SSE_EVENT) {
            check_item(run, wire, &item);
        } else if (!run->hiding) {
            check_forward(run, item.raw);
        }
    }
}

/* Feeds text in pieces that end at `cut` and then every `step` bytes. */
static void check_run(check_run_t *run, const relay_wire_t *wire, bool hide_usage,
                      relay_span_t text, size_t cut, size_t step)
{
    uint8_t bytes[2048];
    relay_buf_t owed = relay_buf(bytes, sizeof(bytes));
    relay_memory_t memory = {check_resize, NULL};
    relay_sse_item_t item;
    relay_sse_t sse;

    memset(run, 0, sizeof(*run));
    run->stream.wire = wire;
    run->stream.hide_usage = hide_usage;
    relay_sse_init(&sse, memory, 1 << 20);
    while (text.len != 0) {
        size_t size = cut < text.len ? cut : text.len;
        /* an exact copy, so that a read past the piece shows */
        uint8_t *piece = malloc(size != 0 ? size : 1);
        assert_non_null(piece);
        memcpy(piece, text.base, size);
        check_feed(run, wire, &sse, relay_span(piece, size));
        free(piece);
        text = relay_span_from(text, size);
        cut = step;
    }
    if (relay_sse_finish(&sse, &item) == RELAY_SSE_EVENT) {
        check_item(run, wire, &item);
    }
    relay_sse_free(&sse);
    run->closed = wire->close(&run->stream, &owed);
    assert_true(relay_buf_ok(&owed));
    check_forward(run, relay_buf_span(&owed));
}

static void check_same_stream(const relay_stream_t *a, const relay_stream_t *b)
{
    check_usage(&a->usage, &b->usage);
    assert_string_equal(a->finish, b->finish);
    assert_string_equal(a->id, b->id);
    assert_string_equal(a->model, b->model);
    assert_int_equal(a->content_seen, b->content_seen);
    assert_int_equal(a->finish_seen, b->finish_seen);
    assert_int_equal(a->end_seen, b->end_seen);
    assert_int_equal(a->error_seen, b->error_seen);
    assert_int_equal(a->tool_seen, b->tool_seen);
    assert_int_equal(a->usage_sent, b->usage_sent);
    assert_int_equal(a->error_status, b->error_status);
    assert_int_equal(a->next_sequence, b->next_sequence);
    assert_int_equal(a->created, b->created);
}

static void check_same(const check_run_t *a, const check_run_t *b)
{
    assert_string_equal(a->classes, b->classes);
    assert_int_equal(a->closed, b->closed);
    assert_int_equal(a->out_len, b->out_len);
    assert_memory_equal(a->out, b->out, a->out_len);
    check_same_stream(&a->stream, &b->stream);
}

/* The run of text uncut; every other cut must show the same. The caller frees. */
__attribute__((unused)) static check_run_t *check_bytes(const relay_wire_t *wire, bool hide_usage,
                                                        relay_span_t text)
{
    check_run_t *whole = malloc(sizeof(*whole)), *cut = malloc(sizeof(*cut));

    assert_non_null(whole);
    assert_non_null(cut);
    check_run(whole, wire, hide_usage, text, text.len, text.len);
    check_run(cut, wire, hide_usage, text, 1, 1);
    check_same(whole, cut);
    for (size_t at = 1; at < text.len; at += check_cut_step()) {
        check_run(cut, wire, hide_usage, text, at, text.len);
        check_same(whole, cut);
    }
    free(cut);
    return whole;
}

/* text with every LF written as `end`. The caller frees. */
static char *check_line_ends(relay_span_t text, const char *end, size_t *len)
{
    char *copy = malloc(2 * text.len + 1);

    assert_non_null(copy);
    *len = 0;
    for (size_t i = 0; i < text.len; i++) {
        if (text.base[i] == '\n') {
            memcpy(copy + *len, end, strlen(end));
            *len += strlen(end);
        } else {
            copy[(*len)++] = (char)text.base[i];
        }
    }
    return copy;
}

/* The fixture's run; whatever ends its lines, the events are the same. */
__attribute__((unused)) static check_run_t *check_fixture(const relay_wire_t *wire, bool hide_usage,
                                                          const char *name)
{
    static const char *const ends[] = {"\r\n", "\r"};
    size_t len, other_len;
    char *bytes = check_load(name, &len);
    check_run_t *run = check_bytes(wire, hide_usage, relay_span(bytes, len));

    for (size_t i = 0; i < 2; i++) {
        char *other = check_line_ends(relay_span(bytes, len), ends[i], &other_len);
        check_run_t *same = check_bytes(wire, hide_usage, relay_span(other, other_len));
        assert_string_equal(run->classes, same->classes);
        check_same_stream(&run->stream, &same->stream);
        free(same);
        free(other);
    }
    free(bytes);
    return run;
}

/* The run of a stream written in the test. */
__attribute__((unused)) static check_run_t *check_literal(const relay_wire_t *wire, bool hide_usage,
                                                          const char *text)
{
    return check_bytes(wire, hide_usage, check_text(text));
}

/* One item with data alone, straight into event(). */
__attribute__((unused)) static relay_verdict_t check_data(relay_stream_t *stream, const char *name,
                                                          const char *data)
{
    uint8_t bytes[2048];
    relay_buf_t before = relay_buf(bytes, sizeof(bytes));
    relay_sse_item_t item = {
        .name = check_text(name), .data = check_text(data), .has_data = true, .terminated = true};

    return stream->wire->event(stream, &item, &before);
}

/* The HTTP status that an error event with this data amounts to. */
__attribute__((unused)) static unsigned check_error_status(const relay_wire_t *wire,
                                                           const char *data)
{
    relay_stream_t stream = {.wire = wire};
    relay_verdict_t verdict = check_data(&stream, "", data);

    assert_int_equal(verdict.class, RELAY_EVENT_ERROR);
    assert_true(stream.error_seen);
    return stream.error_status;
}

/* The body with the format's edits made. The caller frees. */
__attribute__((unused)) static char *check_edited(const relay_wire_t *wire, const char *body,
                                                  const char *model, bool ask_usage)
{
    uint8_t bytes[RELAY_ENVELOPE_SCRATCH];
    relay_buf_t scratch = relay_buf(bytes, sizeof(bytes));
    relay_edit_options_t options = {check_text(model), ask_usage};
    relay_edit_t edits[RELAY_EDITS_MAX];
    relay_envelope_t envelope;
    relay_error_t error;
    size_t count, at = 0;
    relay_buf_t out = relay_buf(malloc(strlen(body) + 1024), strlen(body) + 1024);

    assert_non_null(out.base);
    assert_int_equal(relay_envelope_read(check_text(body), &envelope, &scratch, &error),
                     RELAY_ERR_NONE);
    count = wire->edits(&envelope, &options, edits, &scratch);
    assert_true(relay_buf_ok(&scratch));
    for (size_t i = 0; i < count; i++) {
        assert_true(edits[i].offset >= at);
        relay_buf_put(&out, relay_span(body + at, edits[i].offset - at));
        relay_buf_put(&out, edits[i].text);
        at = edits[i].offset + edits[i].removed;
    }
    relay_buf_put(&out, relay_span(body + at, strlen(body) + 1 - at));
    assert_true(relay_buf_ok(&out));
    return (char *)out.base;
}

/* Whether the client asks for stream usage. */
__attribute__((unused)) static bool check_wants_usage(const relay_wire_t *wire, const char *body)
{
    uint8_t bytes[RELAY_ENVELOPE_SCRATCH];
    relay_buf_t scratch = relay_buf(bytes, sizeof(bytes));
    relay_envelope_t envelope;
    relay_error_t error;

    assert_int_equal(relay_envelope_read(check_text(body), &envelope, &scratch, &error),
                     RELAY_ERR_NONE);
    return wire->wants_usage(&envelope);
}

/* The echo model's answer: the measuring run and the writing one must agree.
 * The caller frees. */
__attribute__((unused)) static char *check_echo(const relay_wire_t *wire, const char *body,
                                                bool streaming, bool include_usage, size_t *len,
                                                relay_usage_t *usage)
{
    relay_echo_t echo = {.body = check_text(body),
                         .model = RELAY_SPAN("relay/echo"),
                         .id = RELAY_SPAN("0123456789abcdef0123456789abcdef"),
                         .created_s = 1789000003,
                         .streaming = streaming,
                         .include_usage = include_usage};
    relay_buf_t out = relay_buf(NULL, 0);
    char *bytes;

    wire->echo(&out, &echo, usage);
    *len = out.len;
    bytes = malloc(out.len + 1);
    assert_non_null(bytes);
    out = relay_buf(bytes, *len);
    wire->echo(&out, &echo, usage);
    assert_int_equal(out.len, *len);
    bytes[*len] = '\0';
    return bytes;
}

/* The stream's text: the values of `member` in all events, decoded. The caller frees. */
__attribute__((unused)) static char *check_collect(const char *stream, const char *member)
{
    relay_buf_t out = relay_buf(malloc(CHECK_TEXT_MAX), CHECK_TEXT_MAX - 1);
    size_t length = strlen(member);

    assert_non_null(out.base);
    while ((stream = strstr(stream, member)) != NULL) {
        const char *end = stream += length;
        while (*end != '"') {
            end += *end == '\\' ? 2 : 1;
        }
        relay_json_value_t value = {RELAY_JSON_STRING,
                                    relay_span(stream - 1, (size_t)(end - stream) + 2)};
        /* a piece must be a JSON string on its own and whole characters */
        assert_true(relay_json_decode(value, &out));
        assert_int_equal(relay_utf8_valid(relay_span(stream, (size_t)(end - stream))),
                         end - stream);
    }
    assert_true(relay_buf_ok(&out));
    out.base[out.len] = '\0';
    return (char *)out.base;
}

#endif
