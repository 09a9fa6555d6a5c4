/* Converse: events named by their type, exceptions, usage, whole answers, the dialect. */

#include "wire_bedrock_converse.c"

#include "wire_check.h"

static const relay_wire_t *const wire = &relay_wire_bedrock_converse;

/* ---- streams ------------------------------------------------------------- */

static void a_text_stream_ends_with_its_usage(void **state)
{
    check_run_t *run = check_fixture(wire, true, "converse_text.sse");

    (void)state;
    assert_string_equal(run->classes, "pccccE");
    assert_true(run->closed && run->stream.finish_seen && run->stream.end_seen);
    assert_string_equal(run->stream.finish, "end_turn");
    assert_int_equal(run->stream.usage.input_tokens, 31);
    assert_int_equal(run->stream.usage.output_tokens, 9);
    assert_false(run->stream.tool_seen);
    free(run);
}

static void a_cache_is_part_of_the_input(void **state)
{
    const relay_usage_t want = {.known = true,
                                .input_tokens = 1712,
                                .cached_tokens = 1200,
                                .cache_write_tokens = 500,
                                .cache_write_1h_tokens = 200,
                                .output_tokens = 20};
    check_run_t *run = check_fixture(wire, true, "converse_thinking_tools.sse");

    (void)state;
    assert_string_equal(run->classes, "pcccccccccccccccE");
    assert_true(run->stream.tool_seen);
    assert_string_equal(run->stream.finish, "tool_use");
    check_usage(&run->stream.usage, &want);
    free(run);
}

/* Nothing behind an exception goes out. */
static void an_exception_ends_the_stream(void **state)
{
    check_run_t *run = check_fixture(wire, true, "converse_exception.sse");

    (void)state;
    assert_string_equal(run->classes, "pceHi");
    assert_int_equal(run->stream.error_status, 429);
    assert_false(run->closed);
    free(run);
}

static void exceptions_have_their_status(void **state)
{
    static const struct {
        const char *name, *data;
        unsigned status;
    } cases[] = {
        {"validationException", "{\"message\":\"x\"}", 400},
        {"accessDeniedException", "{}", 403},
        {"resourceNotFoundException", "{}", 404},
        {"throttlingException", "not JSON", 429},
        {"modelNotReadyException", "{}", 429},
        {"internalServerException", "{}", 500},
        {"modelStreamErrorException", "{\"originalStatusCode\":503}", 503},
        {"modelStreamErrorException", "{\"originalStatusCode\":200}", 500},
        {"serviceUnavailableException", "{}", 503},
        {"modelTimeoutException", "{}", 504},
        {"somethingNewException", "{}", 502},
        {"error", "{\"__type\":\"com.amazon.coral#ThrottlingException:http://x\"}", 429},
        {"error", "{}", 502},
        {"", "{\"message\":\"x\",\"__type\":\"ValidationException\"}", 400},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        relay_stream_t stream = {.wire = wire};
        assert_int_equal(check_data(&stream, cases[i].name, cases[i].data).class,
                         RELAY_EVENT_ERROR);
        assert_int_equal(stream.error_status, cases[i].status);
    }
}

/* A new event neither commits an answer nor lets a live one look idle. */
static void unknown_events_say_nothing(void **state)
{
    relay_stream_t stream = {.wire = wire};

    (void)state;
    assert_int_equal(check_data(&stream, "initial-response", "{}").class, RELAY_EVENT_IDLE);
    assert_int_equal(check_data(&stream, "", "{\"p\":1}").class, RELAY_EVENT_IDLE);
    assert_int_equal(check_data(&stream, "metadata", "{}").class, RELAY_EVENT_PRELUDE);
    assert_int_equal(check_data(&stream, "contentBlockStart", "{\"start\":{}}").class,
                     RELAY_EVENT_PRELUDE);
    assert_int_equal(check_data(&stream, "contentBlockStop", "{}").class, RELAY_EVENT_PRELUDE);
    assert_int_equal(check_data(&stream, "contentBlockDelta", "{}").class, RELAY_EVENT_CONTENT);
    assert_int_equal(check_data(&stream, "initial-response", "{}").class, RELAY_EVENT_CONTENT);
    assert_int_equal(check_data(&stream, "contentBlockDelta", "no").class, RELAY_EVENT_IDLE);
}

static void an_end_without_a_beginning_is_an_error(void **state)
{
    relay_stream_t stream = {.wire = wire};

    (void)state;
    assert_int_equal(check_data(&stream, "messageStop", "{\"stopReason\":\"end_turn\"}").class,
                     RELAY_EVENT_ERROR);
    assert_int_equal(stream.error_status, 502);
}

/* Behind the reason only the usage is missing. */
static void a_stream_without_metadata_is_whole(void **state)
{
    check_run_t *run = check_literal(wire, false,
                                     "event: contentBlockDelta\ndata: {}\n\n"
                                     "event: messageStop\ndata: {\"stopReason\":\"x\"}\n\n");

    (void)state;
    assert_string_equal(run->classes, "cc");
    assert_true(run->closed && run->stream.end_seen);
    assert_false(run->stream.usage.known);
    free(run);
    run = check_literal(wire, false, "event: contentBlockDelta\ndata: {}\n\n");
    assert_false(run->closed || run->stream.end_seen);
    free(run);
}

/* ---- whole answers ------------------------------------------------------- */

static void an_answer_tells_its_end_and_usage(void **state)
{
    relay_answer_t answer;

    (void)state;
    wire->answer(RELAY_SPAN("{\"output\":{\"message\":{\"content\":[{\"text\":\"a\"}]}},"
                            "\"stopReason\":\"max_tokens\",\"usage\":{\"inputTokens\":3,"
                            "\"outputTokens\":4}}"),
                 &answer);
    assert_false(answer.is_error);
    assert_string_equal(answer.finish, "max_tokens");
    assert_int_equal(answer.usage.input_tokens, 3);
    assert_int_equal(answer.usage.output_tokens, 4);
}

static void an_error_body_tells_its_message(void **state)
{
    static const struct {
        const char *body, *message, *type;
    } cases[] = {
        {"{\"message\":\"Too \\\"many\\\"\"}", "Too \\\"many\\\"", ""},
        {"{\"Message\":\"The token is invalid.\"}", "The token is invalid.", ""},
        {"{\"__type\":\"a#ThrottlingException:http://b\",\"message\":\"m\"}", "m",
         "ThrottlingException"},
        {"{\"__type\":\"ThrottlingException\"}", "", "ThrottlingException"},
    };
    relay_answer_t answer;

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        wire->answer(check_text(cases[i].body), &answer);
        assert_true(answer.is_error);
        check_span(answer.message, cases[i].message);
        assert_string_equal(answer.error_type, cases[i].type);
    }
    assert_false(answer.key_refused);
    wire->answer(RELAY_SPAN("{\"__type\":\"ExpiredTokenException\"}"), &answer);
    assert_true(answer.is_error && answer.key_refused);
    wire->answer(RELAY_SPAN("<html>"), &answer);
    assert_false(answer.is_error);
    wire->answer(RELAY_SPAN("{}"), &answer);
    assert_false(answer.is_error);
}

/* ---- what Relay would say ------------------------------------------------ */

static void the_dialect_speaks_in_exceptions(void **state)
{
    uint8_t bytes[1024];
    relay_buf_t out = relay_buf(bytes, sizeof(bytes));
    relay_error_t error = {
        .code = RELAY_ERR_UPSTREAM_ERROR, .status = 429, .message = RELAY_SPAN("slow \"down\"")};
    relay_stream_t stream = {.wire = wire};

    (void)state;
    wire->error_event(&stream, &out, &error, RELAY_SPAN("id"));
    check_span(relay_buf_span(&out), "event: error\ndata: {\"message\":\"slow \\\"down\\\"\","
                                     "\"__type\":\"ThrottlingException\"}\n\n");
    assert_true(stream.error_seen);
    assert_int_equal(wire->dialect->status(&error), 429);
    error = (relay_error_t){.code = RELAY_ERR_MODEL_NOT_FOUND};
    assert_int_equal(wire->dialect->status(&error), 404);
}

static void the_dialect_lists_models(void **state)
{
    const relay_model_view_t models[] = {{.id = RELAY_SPAN("a")},
                                         {.id = RELAY_SPAN("b"), .display_name = RELAY_SPAN("B")}};
    uint8_t bytes[1024];
    relay_buf_t out = relay_buf(bytes, sizeof(bytes));
    relay_error_t error;

    (void)state;
    assert_int_equal(wire->dialect->model_list(&out, models, 2, relay_span(NULL, 0), &error),
                     RELAY_ERR_NONE);
    check_span(relay_buf_span(&out), "{\"modelSummaries\":[{\"modelId\":\"a\",\"modelName\":\"a\"},"
                                     "{\"modelId\":\"b\",\"modelName\":\"B\"}]}");
}

/* Whatever a caller's path, it never leads here. */
static void no_path_leads_here(void **state)
{
    static const char *const paths[] = {"/v1/model/{model}/converse", "/model/{model}/converse",
                                        "/v1model/{model}/converse", "/v1", "/bedrock/v1/models"};
    relay_match_t match;

    (void)state;
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        relay_wire_match(check_text(paths[i]), NULL, &match);
        assert_ptr_not_equal(match.wire, wire);
        assert_ptr_not_equal(match.dialect, wire->dialect);
    }
    assert_ptr_equal(relay_wire_find(RELAY_SPAN("bedrock-converse")), wire);
    assert_ptr_equal(relay_wire_at(wire->index), wire);
}

static void the_echo_model_answers(void **state)
{
    const char *body = "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"hei\"}]}";
    relay_usage_t usage;
    size_t len;
    char *text = check_echo(wire, body, false, false, &len, &usage);
    check_run_t *run;

    (void)state;
    check_json(relay_span(text, len));
    assert_true(check_has(relay_span(text, len), "\"content\":[{\"text\":\"hei\"}]"));
    free(text);
    text = check_echo(wire, body, true, false, &len, &usage);
    run = check_literal(wire, false, text);
    assert_true(run->stream.end_seen && run->stream.content_seen);
    assert_int_equal(run->stream.usage.output_tokens, usage.output_tokens);
    free(run);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_text_stream_ends_with_its_usage),
        cmocka_unit_test(a_cache_is_part_of_the_input),
        cmocka_unit_test(an_exception_ends_the_stream),
        cmocka_unit_test(exceptions_have_their_status),
        cmocka_unit_test(unknown_events_say_nothing),
        cmocka_unit_test(an_end_without_a_beginning_is_an_error),
        cmocka_unit_test(a_stream_without_metadata_is_whole),
        cmocka_unit_test(an_answer_tells_its_end_and_usage),
        cmocka_unit_test(an_error_body_tells_its_message),
        cmocka_unit_test(the_dialect_speaks_in_exceptions),
        cmocka_unit_test(the_dialect_lists_models),
        cmocka_unit_test(no_path_leads_here),
        cmocka_unit_test(the_echo_model_answers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
