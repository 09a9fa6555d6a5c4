/* Messages: typed events, merged usage, whole answers, echo. */

#include "wire_anthropic_messages.c"

#include "wire_check.h"

static const relay_wire_t *const wire = &relay_wire_anthropic_messages;

static void s14_only_the_model_changes(void **state)
{
    /* signed blocks, odd number texts and escapes stay as they are */
    char *got = check_edited(
        wire,
        "{\"max_tokens\":1e3,\"model\": \"a\" ,\"stream\":true,\"messages\":[{\"role\":"
        "\"assistant\",\"content\":[{\"type\":\"thinking\",\"thinking\":\"\\u0061\\/\","
        "\"signature\":\"c2ln\"}]}]}",
        "b", true);

    (void)state;
    assert_string_equal(
        got, "{\"max_tokens\":1e3,\"model\": \"b\" ,\"stream\":true,\"messages\":[{\"role\":"
             "\"assistant\",\"content\":[{\"type\":\"thinking\",\"thinking\":\"\\u0061\\/\","
             "\"signature\":\"c2ln\"}]}]}");
    free(got);
    assert_true(check_wants_usage(wire, "{\"model\":\"a\"}"));
}

/* ---- streams ------------------------------------------------------------- */

static void assert_unchanged(const check_run_t *run, const char *name)
{
    size_t len;
    char *bytes = check_load(name, &len);

    assert_int_equal(run->out_len, len);
    assert_memory_equal(run->out, bytes, len);
    free(bytes);
}

static void a_text_stream_passes_unchanged(void **state)
{
    check_run_t *run = check_fixture(wire, true, "messages_text.sse");

    (void)state;
    assert_string_equal(run->classes, "ppiccccE");
    assert_unchanged(run, "messages_text.sse");
    assert_true(run->closed && run->stream.finish_seen && run->stream.end_seen);
    assert_string_equal(run->stream.finish, "end_turn");
    assert_string_equal(run->stream.id, "msg_relay5");
    assert_string_equal(run->stream.model, "saga-4");
    assert_int_equal(run->stream.usage.input_tokens, 25);
    assert_int_equal(run->stream.usage.output_tokens, 11);
    assert_false(run->stream.tool_seen);
    free(run);
}

static void s22_usage_is_merged_by_field(void **state)
{
    check_run_t *run = check_fixture(wire, true, "messages_thinking_tools.sse");

    (void)state;
    assert_string_equal(run->classes, "ppcccccccccE");
    assert_unchanged(run, "messages_thinking_tools.sse");
    assert_string_equal(run->stream.finish, "tool_use");
    assert_true(run->stream.tool_seen);
    assert_int_equal(run->stream.usage.input_tokens, 9 + 900 + 3100);
    assert_int_equal(run->stream.usage.cached_tokens, 3100);
    assert_int_equal(run->stream.usage.cache_write_tokens, 900);
    assert_int_equal(run->stream.usage.cache_write_1h_tokens, 300);
    assert_int_equal(run->stream.usage.output_tokens, 64);
    assert_int_equal(run->stream.usage.reasoning_tokens, 40);
    free(run);
}

static void x4_an_error_may_come_first(void **state)
{
    check_run_t *run = check_fixture(wire, true, "messages_error_first.sse");

    (void)state;
    assert_string_equal(run->classes, "e");
    assert_int_equal(run->stream.error_status, 529);
    assert_false(run->stream.content_seen);
    assert_false(run->closed);
    free(run);
}

static void f15_no_good_end_after_an_error(void **state)
{
    check_run_t *run = check_fixture(wire, true, "messages_error_later.sse");

    (void)state;
    assert_string_equal(run->classes, "pipceHi");
    assert_int_equal(run->stream.error_status, 500);
    assert_false(run->closed);
    assert_false(check_has(relay_span(run->out, run->out_len), "message_stop"));
    free(run);
}

static void errors_have_their_status(void **state)
{
    static const struct {
        const char *data;
        unsigned status;
    } cases[] = {
        {"{\"type\":\"error\",\"error\":{\"type\":\"invalid_request_error\"}}", 400},
        {"{\"type\":\"error\",\"error\":{\"type\":\"authentication_error\"}}", 401},
        {"{\"type\":\"error\",\"error\":{\"type\":\"billing_error\"}}", 402},
        {"{\"type\":\"error\",\"error\":{\"type\":\"permission_error\"}}", 403},
        {"{\"type\":\"error\",\"error\":{\"type\":\"not_found_error\"}}", 404},
        {"{\"type\":\"error\",\"error\":{\"type\":\"request_too_large\"}}", 413},
        {"{\"type\":\"error\",\"error\":{\"type\":\"rate_limit_error\"}}", 429},
        {"{\"type\":\"error\",\"error\":{\"type\":\"api_error\"}}", 500},
        {"{\"type\":\"error\",\"error\":{\"type\":\"timeout_error\"}}", 504},
        {"{\"type\":\"error\",\"error\":{\"type\":\"something_new\"}}", 502},
        {"{\"type\":\"error\",\"error\":\"text\"}", 502},
        {"{\"type\":\"error\"}", 502},
        {"{\"error\":{\"message\":\"m\",\"code\":503}}", 503},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(check_error_status(wire, cases[i].data), cases[i].status);
    }
}

static void what_counts_as_content(void **state)
{
    static const struct {
        const char *data;
        relay_event_class_t class;
    } cases[] = {
        {"{\"type\":\"message_start\",\"message\":null}", RELAY_EVENT_PRELUDE},
        {"{\"type\":\"message_start\"}", RELAY_EVENT_PRELUDE},
        {"{\"type\":\"content_block_start\",\"content_block\":{\"type\":\"text\",\"text\":\"\"}}",
         RELAY_EVENT_PRELUDE},
        {"{\"type\":\"content_block_start\",\"content_block\":{\"type\":\"thinking\","
         "\"thinking\":\"\",\"signature\":\"\"}}",
         RELAY_EVENT_PRELUDE},
        {"{\"type\":\"content_block_start\",\"content_block\":{\"type\":\"text\",\"text\":\"a\"}}",
         RELAY_EVENT_CONTENT},
        {"{\"type\":\"content_block_start\",\"content_block\":{\"type\":\"tool_use\"}}",
         RELAY_EVENT_CONTENT},
        {"{\"type\":\"content_block_start\",\"content_block\":{\"type\":\"redacted_thinking\","
         "\"data\":\"x\"}}",
         RELAY_EVENT_CONTENT},
        {"{\"type\":\"content_block_stop\",\"index\":0}", RELAY_EVENT_PRELUDE},
        {"{\"type\":\"content_block_delta\",\"delta\":{\"type\":\"future_delta\"}}",
         RELAY_EVENT_CONTENT},
        {"{\"type\":\"message_delta\",\"delta\":{\"stop_reason\":null},\"usage\":null}",
         RELAY_EVENT_PRELUDE},
        {"{\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"refusal\"}}",
         RELAY_EVENT_CONTENT},
        {"{\"type\":\"ping\"}", RELAY_EVENT_IDLE},
        {"{\"type\":\"future_event\"}", RELAY_EVENT_IDLE},
        {"{}", RELAY_EVENT_IDLE},
        {"hello", RELAY_EVENT_IDLE},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        relay_stream_t stream = {.wire = wire};
        relay_verdict_t verdict = check_data(&stream, "", cases[i].data);
        assert_int_equal(verdict.class, cases[i].class);
        assert_false(verdict.hide);
    }
}

static void the_events_name_stands_in_for_a_type(void **state)
{
    relay_stream_t stream = {.wire = wire};

    (void)state;
    assert_int_equal(check_data(&stream, "message_start", "{}").class, RELAY_EVENT_PRELUDE);
    assert_int_equal(check_data(&stream, "message_stop", "{}").class, RELAY_EVENT_END);
}

static void a_new_type_after_content_is_progress(void **state)
{
    relay_stream_t stream = {.wire = wire};

    (void)state;
    check_data(&stream, "", "{\"type\":\"content_block_delta\"}");
    assert_int_equal(check_data(&stream, "", "{\"type\":\"future_event\"}").class,
                     RELAY_EVENT_CONTENT);
    assert_int_equal(check_data(&stream, "", "{\"type\":\"ping\"}").class, RELAY_EVENT_IDLE);
}

#define START "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{}}\n\n"
#define DELTA "event: content_block_delta\ndata: {\"type\":\"content_block_delta\"}\n\n"
#define FINAL                                                                                      \
    "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":"          \
    "\"end_turn\"}}\n\n"
#define STOPPED "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"

static void assert_run(const char *text, const char *classes, bool closed, const char *out)
{
    check_run_t *run = check_literal(wire, true, text);

    assert_string_equal(run->classes, classes);
    assert_int_equal(run->closed, closed);
    check_span(relay_span(run->out, run->out_len), out);
    free(run);
}

static void f17_the_end_is_made_whole(void **state)
{
    (void)state;
    assert_run(START DELTA FINAL, "pcc", true, START DELTA FINAL STOPPED);
    assert_run(START DELTA FINAL STOPPED, "pccE", true, START DELTA FINAL STOPPED);
    assert_run(START DELTA, "pc", false, START DELTA);
    assert_run("", "", false, "");
    /* the blank line is missing, or more than that */
    assert_run(START DELTA FINAL "event: message_stop\ndata: {\"type\":\"message_stop\"}", "pccE",
               true, START DELTA FINAL STOPPED);
    assert_run(START DELTA FINAL "event: message_stop\ndata: {\"type\":\"mess", "pccHi", true,
               START DELTA FINAL STOPPED);
    /* an answer that never began does not end well */
    assert_run(STOPPED, "e", false, STOPPED);
    assert_run(START DELTA FINAL STOPPED DELTA STOPPED, "pccEHiHi", true,
               START DELTA FINAL STOPPED);
    /* what only other formats have */
    assert_run(START DELTA FINAL "data: [DONE]\n\n", "pccHi", true, START DELTA FINAL STOPPED);
}

static void f15_our_error_is_one_event(void **state)
{
    char bytes[512];
    relay_buf_t out = relay_buf(bytes, sizeof(bytes));
    relay_stream_t stream = {.wire = wire, .finish_seen = true};
    relay_error_t error = {.code = RELAY_ERR_UPSTREAM_TIMEOUT};

    (void)state;
    wire->error_event(&stream, &out, &error, RELAY_SPAN("req1"));
    check_span(relay_buf_span(&out),
               "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"timeout_error\","
               "\"message\":\"The provider did not answer in time.\"},\"request_id\":\"req1\"}"
               "\n\n");
    out.len = 0;
    assert_false(wire->close(&stream, &out));
    assert_int_equal(out.len, 0);
}

/* ---- whole answers ------------------------------------------------------- */

static relay_answer_t answer_of(const char *body)
{
    relay_answer_t answer;

    memset(&answer, 0xff, sizeof(answer));
    wire->answer(check_text(body), &answer);
    return answer;
}

static void answers_are_read(void **state)
{
    relay_answer_t answer =
        answer_of("{\"type\":\"message\",\"content\":[],\"stop_reason\":\"max_tokens\",\"usage\":{"
                  "\"input_tokens\":3,\"cache_read_input_tokens\":4,\"output_tokens\":5}}");

    (void)state;
    assert_false(answer.is_error);
    assert_string_equal(answer.finish, "max_tokens");
    assert_int_equal(answer.usage.input_tokens, 7);
    assert_int_equal(answer.usage.cached_tokens, 4);
    assert_int_equal(answer.usage.output_tokens, 5);
}

static void error_bodies_are_read(void **state)
{
    static const struct {
        const char *body;
        const char *type;
        const char *message;
    } cases[] = {
        {"{\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"O\"}}",
         "overloaded_error", "O"},
        {"{\"error\":{\"message\":\"m\",\"code\":429,\"status\":\"RESOURCE_EXHAUSTED\"}}", "429",
         "m"},
        {"{\"message\":\"Forbidden\"}", "", "Forbidden"},
        {"{\"type\":\"error\"}", "", ""},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        relay_answer_t answer = answer_of(cases[i].body);
        assert_true(answer.is_error);
        assert_string_equal(answer.error_type, cases[i].type);
        check_span(answer.message, cases[i].message);
    }
}

static void other_bodies_say_nothing(void **state)
{
    static const char *const bodies[] = {"", "{\"type\":", "x", "{\"input_tokens\":2095}",
                                         "{\"input_tokens\":1,\"context_management\":{}}"};

    (void)state;
    for (size_t i = 0; i < 5; i++) {
        relay_answer_t answer = answer_of(bodies[i]);
        assert_false(answer.is_error);
        assert_false(answer.usage.known);
        assert_string_equal(answer.finish, "");
    }
}

/* ---- echo ---------------------------------------------------------------- */

#define QUESTION                                                                                   \
    "{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"tool_result\",\"content\":\"t\"}," \
    "{\"type\":\"text\",\"text\":\"Was \xc3\xbc"                                                   \
    "ber \\\"uns\\\"?\"}]}]}"

static void echo_is_a_valid_answer(void **state)
{
    relay_usage_t usage;
    size_t len;
    char *text = check_echo(wire, QUESTION, false, false, &len, &usage);
    relay_answer_t answer = answer_of(text);

    (void)state;
    check_json(check_text(text));
    assert_non_null(strstr(text, "{\"id\":\"msg_0123456789abcdef0123456789abcdef\",\"type\":"
                                 "\"message\",\"role\":\"assistant\",\"model\":\"relay/echo\","
                                 "\"content\":[{\"type\":\"text\",\"text\":\"Was \xc3\xbc"
                                 "ber \\\"uns\\\"?\"}],\"stop_reason\":\"end_turn\","
                                 "\"stop_sequence\":null,\"usage\":{\"input_tokens\":"));
    assert_string_equal(answer.finish, "end_turn");
    check_usage(&answer.usage, &usage);
    free(text);
}

static void echo_streams_every_event(void **state)
{
    static const char *const order[] = {
        "event: message_start\n",       "event: content_block_start\n",
        "event: content_block_delta\n", "event: content_block_delta\n",
        "event: content_block_delta\n", "event: content_block_stop\n",
        "event: message_delta\n",       "event: message_stop\n"};
    relay_usage_t usage;
    size_t len;
    char *text = check_echo(wire, QUESTION, true, false, &len, &usage), *deltas;
    check_run_t *run = check_bytes(wire, true, relay_span(text, len));
    const char *at = text;

    (void)state;
    for (size_t i = 0; i < sizeof(order) / sizeof(order[0]); i++) {
        at = strstr(at, "event: ");
        assert_non_null(at);
        assert_memory_equal(at, order[i], strlen(order[i]));
        at++;
    }
    assert_null(strstr(at, "event: "));
    assert_string_equal(text + len - 2, "\n\n");
    assert_string_equal(run->classes, "ppcccccE");
    assert_string_equal(run->stream.finish, "end_turn");
    check_usage(&run->stream.usage, &usage);
    deltas = check_collect(text, "\"text_delta\",\"text\":\"");
    assert_string_equal(deltas, "Was \xc3\xbc"
                                "ber \"uns\"?");
    free(deltas);
    free(run);
    free(text);
}

static void echo_cut_at_its_limit_says_so(void **state)
{
    size_t size = RELAY_ECHO_TEXT_MAX + 1, len;
    char *body = malloc(size + 64), *text;
    relay_usage_t usage;
    size_t head;

    (void)state;
    assert_non_null(body);
    head = (size_t)snprintf(body, 64, "{\"messages\":[{\"role\":\"user\",\"content\":\"");
    memset(body + head, 'y', size);
    memcpy(body + head + size, "\"}]}", 5);
    text = check_echo(wire, body, true, false, &len, &usage);
    assert_non_null(strstr(text, "{\"stop_reason\":\"max_tokens\""));
    assert_int_equal(usage.output_tokens, RELAY_ECHO_TEXT_MAX / 4);
    free(text);
    free(body);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(s14_only_the_model_changes),
        cmocka_unit_test(a_text_stream_passes_unchanged),
        cmocka_unit_test(s22_usage_is_merged_by_field),
        cmocka_unit_test(x4_an_error_may_come_first),
        cmocka_unit_test(f15_no_good_end_after_an_error),
        cmocka_unit_test(errors_have_their_status),
        cmocka_unit_test(what_counts_as_content),
        cmocka_unit_test(the_events_name_stands_in_for_a_type),
        cmocka_unit_test(a_new_type_after_content_is_progress),
        cmocka_unit_test(f17_the_end_is_made_whole),
        cmocka_unit_test(f15_our_error_is_one_event),
        cmocka_unit_test(answers_are_read),
        cmocka_unit_test(error_bodies_are_read),
        cmocka_unit_test(other_bodies_say_nothing),
        cmocka_unit_test(echo_is_a_valid_answer),
        cmocka_unit_test(echo_streams_every_event),
        cmocka_unit_test(echo_cut_at_its_limit_says_so),
    };

    return cmocka_run_group_tests_name("wire_anthropic_messages", tests, NULL, NULL);
}
