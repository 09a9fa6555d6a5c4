/* Streams between formats: classes of items, bounds, failures of our own. */

#include "translate_stream.c"

#include "translate_check.h"

#define CHUNK(delta, rest)                                                                         \
    "data: {\"id\":\"c\",\"choices\":[{\"index\":0,\"delta\":{" delta "}" rest "}]}\n\n"
#define CALL(n, rest) CHUNK("\"tool_calls\":[{\"index\":" n "," rest "}]", "")

typedef struct {
    relay_output_t output;
    size_t left; /* times that room is made */
} sink_t;

static bool make_room(relay_output_t *output, size_t size)
{
    sink_t *sink = (sink_t *)(void *)output;

    if (sink->left == 0) {
        return false;
    }
    sink->left--;
    return translate_room(output, size);
}

static relay_event_class_t feed(relay_stream_translation_t *stream, const char *data)
{
    relay_sse_item_t item = {
        .data = relay_span(data, strlen(data)), .has_data = true, .terminated = true};

    return relay_stream_item(stream, &item);
}

static void open_stream(relay_stream_translation_t *stream, translate_t *run, sink_t *sink,
                        size_t kept_max)
{
    relay_stream_options_t options = {.translation = &run->translation,
                                      .output = &sink->output,
                                      .memory = {stream_check_resize, NULL},
                                      .kept_max = kept_max};

    translate_open(run, MESSAGES, CHAT);
    *sink = (sink_t){.output = {.room = make_room}, .left = SIZE_MAX};
    assert_true(relay_stream_open(stream, &options));
}

static void close_all(relay_stream_translation_t *stream, translate_t *run, sink_t *sink)
{
    relay_stream_free(stream);
    free(sink->output.buf.base);
    translate_close(run);
}

/* Until there is content another upstream may be tried. */
static void the_class_tells_when_an_answer_is_committed(void **state)
{
    static const struct {
        const char *data;
        relay_event_class_t class;
    } items[] = {
        {"{\"id\":\"c\",\"choices\":[]}", RELAY_EVENT_IDLE},
        {"{\"id\":\"c\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\","
         "\"content\":\"\"}}]}",
         RELAY_EVENT_PRELUDE},
        {"{\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"}}]}", RELAY_EVENT_CONTENT},
        {"{\"unknown\":1}", RELAY_EVENT_IDLE},
        {"not JSON", RELAY_EVENT_IDLE},
        {"{\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}",
         RELAY_EVENT_CONTENT},
        {"{\"choices\":[],\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":2}}",
         RELAY_EVENT_CONTENT},
        {"[DONE]", RELAY_EVENT_END},
        {"{\"choices\":[{\"index\":0,\"delta\":{\"content\":\"late\"}}]}", RELAY_EVENT_IDLE},
    };
    relay_stream_translation_t stream;
    translate_t run;
    sink_t sink;

    (void)state;
    open_stream(&stream, &run, &sink, 4096);
    for (size_t i = 0; i < sizeof(items) / sizeof(items[0]); i++) {
        assert_int_equal(feed(&stream, items[i].data), items[i].class);
    }
    assert_int_equal(stream.stop, RELAY_STOP_END);
    assert_int_equal(stream.reader.usage.output_tokens, 2);
    assert_int_equal(relay_stream_close(&stream), RELAY_EVENT_IDLE);
    close_all(&stream, &run, &sink);
}

static void our_own_failure_is_the_last_event(void **state)
{
    relay_error_t error = {.code = RELAY_ERR_SHUTTING_DOWN};
    relay_stream_translation_t stream;
    stream_check_t check;
    translate_t run;
    sink_t sink;
    size_t length;

    (void)state;
    open_stream(&stream, &run, &sink, 4096);
    feed(&stream, "{\"id\":\"c\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"}}]}");
    relay_stream_fail(&stream, &error);
    length = sink.output.buf.len;
    relay_stream_fail(&stream, &error);
    feed(&stream, "[DONE]");
    relay_stream_close(&stream);
    assert_int_equal(sink.output.buf.len, length);
    assert_null(stream_check(relay_buf_span(&sink.output.buf), false, &check));
    assert_true(check.errored);
    assert_true(stream.failed);
    close_all(&stream, &run, &sink);
}

/* Calls whose fragments mix are kept until they can go; not without end. */
static void what_is_kept_is_bounded(void **state)
{
    static const char *text =
        CALL("0", "\"id\":\"a\",\"function\":{\"name\":\"f\",\"arguments\":\"{\"}")
            CALL("1", "\"id\":\"b\",\"function\":{\"name\":\"g\",\"arguments\":"
                      "\"0123456789012345678901234567890123456789\"}")
                CALL("1", "\"function\":{\"arguments\":"
                          "\"0123456789012345678901234567890123456789\"}");
    translate_stream_t out;
    stream_check_t check;
    translate_t run;

    (void)state;
    translate_open(&run, MESSAGES, CHAT);
    out = translate_run(&run.translation, relay_wire_cstring(text), strlen(text), 200);
    assert_null(stream_check(relay_buf_span(&out.output.buf), false, &check));
    assert_true(check.errored && out.failed);
    translate_has(relay_buf_span(&out.output.buf), "mixes more than can be sorted");
    free(out.output.buf.base);
    translate_close(&run);
}

static void without_room_the_stream_fails(void **state)
{
    relay_stream_translation_t stream;
    translate_t run;
    sink_t sink;

    (void)state;
    open_stream(&stream, &run, &sink, 4096);
    sink.left = 1;
    for (size_t i = 0; i < 200; i++) {
        feed(&stream, "{\"id\":\"c\",\"choices\":[{\"index\":0,\"delta\":{\"content\":"
                      "\"0123456789\"}}]}");
    }
    assert_true(stream.failed);
    assert_true(relay_buf_ok(&sink.output.buf));
    close_all(&stream, &run, &sink);
}

static void a_live_stream_is_small(void **state)
{
    (void)state;
    assert_true(sizeof(relay_stream_translation_t) <= 1024);
}

static void kept_bytes_grow_to_their_bound(void **state)
{
    relay_kept_t kept = {.memory = {stream_check_resize, NULL}, .max = 700};
    uint8_t bytes[600] = {7};

    (void)state;
    assert_true(relay_kept_put(&kept, relay_span(bytes, 600)));
    assert_true(relay_kept_put(&kept, relay_span(bytes, 100)));
    assert_int_equal(kept.capacity, 700);
    assert_false(relay_kept_put(&kept, relay_span(bytes, 1)));
    assert_int_equal(kept.len, 700);
    assert_false(relay_kept_room(&kept, SIZE_MAX));
    relay_kept_free(&kept);
    assert_int_equal(kept.len, 0);
}

/* ---- answers that are repeated at their end -------------------------------- */

#define PIECE_OF(what) "data: {\"id\":\"c\",\"choices\":[{\"index\":0,\"delta\":{" what "}}]}\n\n"

/* A chunk with so much text. */
static size_t put_piece(char *at, size_t size)
{
    static const char before[] =
        "data: {\"id\":\"c\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"";
    static const char behind[] = "\"}}]}\n\n";

    memcpy(at, before, sizeof(before) - 1);
    memset(at + sizeof(before) - 1, 'x', size);
    memcpy(at + sizeof(before) - 1 + size, behind, sizeof(behind) - 1);
    return sizeof(before) - 1 + size + sizeof(behind) - 1;
}

static void what_is_too_long_to_be_kept_is_told(void **state)
{
    static const char *text = PIECE_OF("\"content\":\"0123456789012345678901234567890123\"")
        PIECE_OF("\"content\":\"0123456789012345678901234567890123\"")
            PIECE_OF("\"content\":\"0123456789012345678901234567890123\"");
    translate_stream_t out;
    stream_check_t check;
    translate_t run;

    (void)state;
    translate_open(&run, RESPONSES, CHAT);
    out = translate_run(&run.translation, relay_wire_cstring(text), strlen(text), 80);
    assert_null(stream_check(relay_buf_span(&out.output.buf), STREAM_RESPONSES, &check));
    assert_true(check.errored && out.failed);
    translate_has(relay_buf_span(&out.output.buf), "is too long to be kept until its end");
    free(out.output.buf.base);
    translate_close(&run);
}

static void an_answer_of_16_mb_is_repeated_whole(void **state)
{
    enum { PIECE = 64 << 10, PIECES = 256 };
    char *text = malloc((size_t)PIECES * (PIECE + 128) + 1024), *at = text;
    translate_stream_t out;
    stream_check_t check;
    translate_t run;

    (void)state;
    assert_non_null(text);
    for (size_t i = 0; i < PIECES; i++) {
        at += put_piece(at, PIECE);
    }
    at += snprintf(at, 1024,
                   "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n"
                   "data: [DONE]\n\n");
    translate_open(&run, RESPONSES, CHAT);
    out = translate_run(&run.translation, relay_span(text, (size_t)(at - text)), SIZE_MAX,
                        RELAY_KEPT_MAX);
    assert_null(stream_check(relay_buf_span(&out.output.buf), STREAM_RESPONSES, &check));
    assert_true(check.ended && !out.failed);
    free(out.output.buf.base);
    free(text);
    translate_close(&run);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_class_tells_when_an_answer_is_committed),
        cmocka_unit_test(our_own_failure_is_the_last_event),
        cmocka_unit_test(what_is_kept_is_bounded),
        cmocka_unit_test(without_room_the_stream_fails),
        cmocka_unit_test(a_live_stream_is_small),
        cmocka_unit_test(kept_bytes_grow_to_their_bound),
        cmocka_unit_test(what_is_too_long_to_be_kept_is_told),
        cmocka_unit_test(an_answer_of_16_mb_is_repeated_whole),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
