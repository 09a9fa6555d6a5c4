/*
 * Streams of any bytes through every wire format: cut input gives the verdicts,
 * the output and the state of uncut input, nothing follows an end, and what
 * Relay writes itself is well-formed. The first byte picks the format and
 * whether usage is hidden, the second the cuts. Run by `make fuzz`.
 */

#include "wire.h"

#include <stdlib.h>

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

enum { EVENT_MAX = 1 << 16 };

typedef struct {
    uint8_t *bytes;
    size_t len;
    size_t capacity;
} text_t;

typedef struct {
    text_t verdicts;
    text_t out;
    bool hiding;
    bool over; /* the end or an error has been seen */
    bool closed;
    relay_sse_status_t last;
    relay_stream_t stream;
} run_t;

static void append(text_t *text, relay_span_t more)
{
    if (text->len + more.len > text->capacity) {
        text->capacity = 2 * (text->len + more.len);
        text->bytes = realloc(text->bytes, text->capacity);
        CHECK(text->bytes != NULL);
    }
    if (more.len != 0) {
        memcpy(text->bytes + text->len, more.base, more.len);
    }
    text->len += more.len;
}

static bool same(const text_t *a, const text_t *b)
{
    return relay_span_eq(relay_span(a->bytes, a->len), relay_span(b->bytes, b->len));
}

static void *resize(void *owner, void *block, size_t size)
{
    (void)owner;
    if (size == 0) {
        free(block);
        return NULL;
    }
    return realloc(block, size);
}

static relay_sse_t splitter(void)
{
    relay_sse_t sse;

    relay_sse_init(&sse, (relay_memory_t){resize, NULL}, EVENT_MAX);
    return sse;
}

/* ---- what Relay writes --------------------------------------------------- */

/* Whole events, each with JSON or the end marker. */
static void check_own(relay_span_t text)
{
    relay_sse_t sse = splitter();
    relay_sse_item_t item;
    relay_json_fault_t fault;

    while (relay_sse_next(&sse, &text, &item) == RELAY_SSE_EVENT) {
        CHECK(item.has_data);
        CHECK(relay_span_eq(item.data, RELAY_SPAN("[DONE]")) ||
              relay_json_scan(item.data, NULL, 0, NULL, &fault) == RELAY_JSON_OK);
    }
    CHECK(text.len == 0 && !relay_sse_pending(&sse));
    relay_sse_free(&sse);
}

static void check_error_event(run_t *run)
{
    uint8_t bytes[4096];
    relay_buf_t out = relay_buf(bytes, sizeof(bytes));
    relay_error_t error = {.code = RELAY_ERR_UPSTREAM_CUT};

    run->stream.wire->error_event(&run->stream, &out, &error, RELAY_SPAN("0123456789abcdef"));
    CHECK(relay_buf_ok(&out) && out.len != 0);
    check_own(relay_buf_span(&out));
}

/* ---- one run ------------------------------------------------------------- */

static void observe(run_t *run, const relay_sse_item_t *item)
{
    uint8_t bytes[2048];
    relay_buf_t before = relay_buf(bytes, sizeof(bytes));
    relay_verdict_t verdict = run->stream.wire->event(&run->stream, item, &before);
    uint8_t trace[2] = {(uint8_t)verdict.class, verdict.hide};

    CHECK(verdict.class <= RELAY_EVENT_END);
    CHECK(relay_buf_ok(&before));
    CHECK(!run->over || (verdict.hide && verdict.class == RELAY_EVENT_IDLE && before.len == 0));
    check_own(relay_buf_span(&before));
    run->over = run->stream.end_seen || run->stream.error_seen;
    run->hiding = verdict.hide;
    append(&run->verdicts, relay_span(trace, 2));
    append(&run->out, relay_buf_span(&before));
    if (!verdict.hide) {
        append(&run->out, item->raw);
    }
}

static void feed(run_t *run, relay_sse_t *sse, relay_span_t input)
{
    relay_sse_item_t item;

    while (run->last <= RELAY_SSE_EVENT) {
        run->last = relay_sse_next(sse, &input, &item);
        if (run->last == RELAY_SSE_MORE) {
            return;
        }
        if (run->last == RELAY_SSE_EVENT) {
            observe(run, &item);
        } else if (run->last == RELAY_SSE_BLANK && !run->hiding) {
            append(&run->out, item.raw);
        }
    }
}

static void finish(run_t *run, relay_sse_t *sse)
{
    uint8_t bytes[2048];
    relay_buf_t owed = relay_buf(bytes, sizeof(bytes));
    relay_sse_item_t item;

    if (run->last <= RELAY_SSE_EVENT && relay_sse_finish(sse, &item) == RELAY_SSE_EVENT) {
        observe(run, &item);
    }
    run->closed = run->stream.wire->close(&run->stream, &owed);
    CHECK(relay_buf_ok(&owed));
    CHECK(run->closed || owed.len == 0);
    CHECK(!run->closed || run->stream.end_seen || !run->stream.wire->streams);
    check_own(relay_buf_span(&owed));
    append(&run->out, relay_buf_span(&owed));
}

/* Pieces of pseudo-random size up to `step`; 0: all at once. */
static run_t run_stream(const relay_wire_t *wire, bool hide_usage, relay_span_t text, uint8_t step)
{
    run_t run = {.stream = {.wire = wire, .hide_usage = hide_usage}};
    relay_sse_t sse = splitter();
    uint32_t random = step;

    while (text.len != 0) {
        size_t size = text.len;
        uint8_t *piece;
        random = random * 1664525 + 1013904223;
        if (step != 0 && size > 1 + (random >> 16) % step) {
            size = 1 + (random >> 16) % step;
        }
        piece = malloc(size);
        CHECK(piece != NULL);
        memcpy(piece, text.base, size);
        feed(&run, &sse, relay_span(piece, size));
        free(piece);
        text = relay_span_from(text, size);
    }
    finish(&run, &sse);
    relay_sse_free(&sse);
    return run;
}

/* ---- properties ---------------------------------------------------------- */

static void check_usage(const relay_usage_t *usage)
{
    CHECK(usage->cached_tokens + usage->cache_write_tokens <= usage->input_tokens);
    CHECK(usage->cache_write_1h_tokens <= usage->cache_write_tokens);
    CHECK(usage->reasoning_tokens <= usage->output_tokens);
}

static bool same_usage(const relay_usage_t *a, const relay_usage_t *b)
{
    return a->known == b->known && a->input_tokens == b->input_tokens &&
           a->cached_tokens == b->cached_tokens && a->cache_write_tokens == b->cache_write_tokens &&
           a->cache_write_1h_tokens == b->cache_write_1h_tokens &&
           a->output_tokens == b->output_tokens && a->reasoning_tokens == b->reasoning_tokens;
}

static bool same_stream(const relay_stream_t *a, const relay_stream_t *b)
{
    return same_usage(&a->usage, &b->usage) && strcmp(a->finish, b->finish) == 0 &&
           strcmp(a->id, b->id) == 0 && strcmp(a->model, b->model) == 0 &&
           a->content_seen == b->content_seen && a->finish_seen == b->finish_seen &&
           a->end_seen == b->end_seen && a->error_seen == b->error_seen &&
           a->tool_seen == b->tool_seen && a->usage_sent == b->usage_sent &&
           a->error_status == b->error_status && a->next_sequence == b->next_sequence &&
           a->created == b->created;
}

static void check_state(const relay_stream_t *stream)
{
    check_usage(&stream->usage);
    CHECK(strlen(stream->finish) < sizeof(stream->finish));
    CHECK(strlen(stream->id) < sizeof(stream->id));
    CHECK(strlen(stream->model) < sizeof(stream->model));
    CHECK(stream->error_seen == (stream->error_status != 0));
    CHECK(stream->error_status == 0 ||
          (stream->error_status >= 400 && stream->error_status <= 599));
    CHECK(!stream->error_seen || !stream->end_seen);
}

static void check_answer(const relay_wire_t *wire, relay_span_t body)
{
    relay_answer_t answer;

    wire->answer(body, &answer);
    check_usage(&answer.usage);
    CHECK(strlen(answer.finish) < sizeof(answer.finish));
    CHECK(strlen(answer.error_type) < sizeof(answer.error_type));
    CHECK(answer.is_error || answer.message.len == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const relay_wire_t *wire;
    relay_span_t text;
    run_t whole, cut;

    if (size < 2) {
        return 0;
    }
    wire = relay_wire_at((data[0] & 3u) | (data[0] & 0x38u) >> 1);
    if (wire == NULL) {
        return 0;
    }
    text = relay_span(data + 2, size - 2);
    whole = run_stream(wire, data[0] & 4, text, 0);
    cut = run_stream(wire, data[0] & 4, text, data[1] != 0 ? data[1] : 1);
    CHECK(whole.last == cut.last || (whole.last <= RELAY_SSE_EVENT && cut.last <= RELAY_SSE_EVENT));
    CHECK(same(&whole.verdicts, &cut.verdicts) && same(&whole.out, &cut.out));
    CHECK(whole.closed == cut.closed);
    CHECK(same_stream(&whole.stream, &cut.stream));
    check_state(&whole.stream);
    check_error_event(&whole);
    check_answer(wire, text);
    free(whole.verdicts.bytes);
    free(whole.out.bytes);
    free(cut.verdicts.bytes);
    free(cut.out.bytes);
    return 0;
}
