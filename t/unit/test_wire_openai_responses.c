/* Responses: typed events, sequence numbers, whole answers, echo. */

#include "wire_openai_responses.c"

#include "wire_check.h"

static const relay_wire_t *const wire = &relay_wire_openai_responses;

static void only_the_model_changes(void **state)
{
    char *got = check_edited(wire, "{\"model\":\"a\",\"stream\":true,\"input\":\"x\"}", "b", true);

    (void)state;
    assert_string_equal(got, "{\"model\":\"b\",\"stream\":true,\"input\":\"x\"}");
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
    check_run_t *run = check_fixture(wire, true, "responses_text.sse");

    (void)state;
    assert_string_equal(run->classes, "ppppicccccE");
    assert_unchanged(run, "responses_text.sse");
    assert_true(run->closed);
    assert_string_equal(run->stream.finish, "completed");
    assert_string_equal(run->stream.id, "resp_relay9");
    assert_string_equal(run->stream.model, "fable-3-mini");
    assert_int_equal(run->stream.created, 1789000002);
    assert_int_equal(run->stream.next_sequence, 11);
    assert_int_equal(run->stream.usage.input_tokens, 50);
    assert_int_equal(run->stream.usage.cached_tokens, 32);
    assert_int_equal(run->stream.usage.output_tokens, 20);
    assert_int_equal(run->stream.usage.reasoning_tokens, 9);
    free(run);
}

static void the_type_is_in_the_data(void **state)
{
    check_run_t *run = check_fixture(wire, true, "responses_data_only.sse");
    relay_stream_t stream = {.wire = wire};

    (void)state;
    assert_string_equal(run->classes, "ppppicccccE");
    assert_string_equal(run->stream.finish, "max_output_tokens");
    assert_true(run->stream.usage.known);
    free(run);
    /* the event's name stands in where it is missing, and never overrules it */
    assert_int_equal(check_data(&stream, "response.created", "{\"response\":{}}").class,
                     RELAY_EVENT_PRELUDE);
    assert_int_equal(
        check_data(&stream, "error", "{\"type\":\"response.output_text.delta\"}").class,
        RELAY_EVENT_CONTENT);
}

static void tool_calls_are_seen(void **state)
{
    check_run_t *run = check_fixture(wire, true, "responses_tool.sse");

    (void)state;
    assert_string_equal(run->classes, "pppccccE");
    assert_true(run->stream.tool_seen);
    free(run);
}

static void a_failed_response_is_an_error(void **state)
{
    check_run_t *run = check_fixture(wire, true, "responses_failed.sse");

    (void)state;
    assert_string_equal(run->classes, "ppppicce");
    assert_int_equal(run->stream.error_status, 429);
    assert_false(run->closed);
    assert_false(run->stream.end_seen);
    free(run);
    run = check_fixture(wire, true, "responses_error.sse");
    assert_string_equal(run->classes, "ppe");
    assert_int_equal(run->stream.error_status, 400);
    assert_false(run->stream.content_seen);
    free(run);
}

static void x4_errors_in_every_shape(void **state)
{
    static const struct {
        const char *data;
        unsigned status;
    } cases[] = {
        {"{\"type\":\"error\",\"code\":\"server_error\",\"message\":\"m\",\"sequence_number\":3}",
         500},
        {"{\"type\":\"error\",\"error\":{\"type\":\"x\",\"code\":\"server_is_overloaded\"}}", 503},
        {"{\"type\":\"error\"}", 502},
        {"{\"error\":{\"type\":\"requests\"}}", 429},
        {"{\"type\":\"response.failed\",\"response\":{\"error\":{\"code\":\"invalid_prompt\"}}}",
         400},
        {"{\"type\":\"response.failed\",\"response\":{\"error\":null}}", 502},
        {"{\"type\":\"response.failed\",\"response\":null}", 502},
        {"{\"type\":\"response.failed\"}", 502},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(check_error_status(wire, cases[i].data), cases[i].status);
    }
}

static void what_is_no_event_of_the_answer(void **state)
{
    static const char *const data[] = {"{\"type\":\"keepalive\",\"sequence_number\":4}",
                                       "{\"type\":\"codex.rate_limits\",\"limits\":{}}",
                                       "{}",
                                       "{\"type\":7}",
                                       "hello",
                                       "[1]"};

    (void)state;
    for (size_t i = 0; i < sizeof(data) / sizeof(data[0]); i++) {
        relay_stream_t stream = {.wire = wire};
        relay_verdict_t verdict = check_data(&stream, "", data[i]);
        assert_int_equal(verdict.class, RELAY_EVENT_IDLE);
        assert_false(verdict.hide);
        assert_false(stream.content_seen);
    }
}

static void a_done_marker_is_hidden(void **state)
{
    check_run_t *run = check_literal(
        wire, true,
        "data: {\"type\":\"response.completed\",\"response\":{\"status\":\"completed\"}}\n\n"
        "data: [DONE]\n\n");

    (void)state;
    assert_string_equal(run->classes, "EHi");
    assert_true(run->closed);
    assert_false(check_has(relay_span(run->out, run->out_len), "[DONE]"));
    free(run);
    run = check_literal(wire, true, "data: [DONE]\n\n");
    assert_string_equal(run->classes, "Hi");
    assert_false(run->closed);
    free(run);
}

static void f15_a_cut_stream_is_not_closed_well(void **state)
{
    check_run_t *run =
        check_literal(wire, true,
                      "data: {\"type\":\"response.output_text.delta\",\"sequence_number\":4}\n\n"
                      "data: {\"type\":\"response.comp");

    (void)state;
    assert_string_equal(run->classes, "cHi");
    assert_false(run->closed);
    assert_int_equal(run->stream.next_sequence, 5);
    free(run);
}

static void f15_our_error_fails_the_response(void **state)
{
    char bytes[2048];
    relay_buf_t out = relay_buf(bytes, sizeof(bytes));
    relay_stream_t stream = {.wire = wire,
                             .next_sequence = 9,
                             .created = 1789000002,
                             .id = "resp_relay9",
                             .model = "fable-3"};
    relay_error_t error = {.code = RELAY_ERR_UPSTREAM_CUT};

    (void)state;
    wire->error_event(&stream, &out, &error, RELAY_SPAN("req1"));
    check_span(relay_buf_span(&out),
               "event: response.failed\n"
               "data: {\"type\":\"response.failed\",\"sequence_number\":9,\"response\":{"
               "\"id\":\"resp_relay9\",\"object\":\"response\",\"created_at\":1789000002,"
               "\"status\":\"failed\",\"background\":false,\"error\":{\"code\":\"server_error\","
               "\"message\":\"The provider's answer ended before it was complete.\"},"
               "\"incomplete_details\":null,\"instructions\":null,\"max_output_tokens\":null,"
               "\"model\":\"fable-3\",\"output\":[],\"parallel_tool_calls\":true,"
               "\"previous_response_id\":null,\"reasoning\":{\"effort\":null,\"summary\":null},"
               "\"store\":false,\"temperature\":null,\"text\":{\"format\":{\"type\":\"text\"}},"
               "\"tool_choice\":\"auto\",\"tools\":[],\"top_p\":null,\"truncation\":\"disabled\","
               "\"usage\":null,\"user\":null,\"metadata\":{}}}\n\n");
    assert_int_equal(stream.next_sequence, 10);
}

static void our_errors_have_codes_of_a_response(void **state)
{
    static const struct {
        unsigned status;
        const char *code;
    } cases[] = {{429, "\"error\":{\"code\":\"rate_limit_exceeded\""},
                 {529, "\"error\":{\"code\":\"server_is_overloaded\""},
                 {504, "\"error\":{\"code\":\"server_error\""}};
    char bytes[2048];

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        relay_buf_t out = relay_buf(bytes, sizeof(bytes));
        relay_stream_t stream = {.wire = wire};
        relay_error_t error = {.code = RELAY_ERR_UPSTREAM_STATUS, .status = cases[i].status};
        wire->error_event(&stream, &out, &error, RELAY_SPAN("req1"));
        assert_true(check_has(relay_buf_span(&out), cases[i].code));
        assert_true(check_has(relay_buf_span(&out), "\"id\":\"resp_req1\""));
        assert_true(check_has(relay_buf_span(&out), "\"sequence_number\":0,"));
    }
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
    relay_answer_t answer = answer_of(
        "{\"id\":\"resp_1\",\"object\":\"response\",\"status\":\"completed\",\"error\":null,"
        "\"incomplete_details\":null,\"usage\":{\"input_tokens\":8,\"input_tokens_details\":{"
        "\"cached_tokens\":4},\"output_tokens\":3}}");

    (void)state;
    assert_false(answer.is_error);
    assert_string_equal(answer.finish, "completed");
    assert_int_equal(answer.usage.input_tokens, 8);
    assert_int_equal(answer.usage.cached_tokens, 4);
    assert_int_equal(answer.usage.output_tokens, 3);
    answer = answer_of("{\"id\":\"resp_1\",\"status\":\"incomplete\",\"incomplete_details\":{"
                       "\"reason\":\"content_filter\"}}");
    assert_string_equal(answer.finish, "content_filter");
    assert_false(answer.is_error);
}

static void error_bodies_are_read(void **state)
{
    static const struct {
        const char *body;
        const char *type;
        const char *message;
    } cases[] = {
        {"{\"error\":{\"message\":\"m\",\"type\":\"t\",\"code\":\"c\"}}", "c", "m"},
        {"{\"id\":\"resp_1\",\"object\":\"response\",\"status\":\"failed\",\"error\":{\"code\":"
         "\"server_error\",\"message\":\"m\"}}",
         "server_error", "m"},
        {"{\"id\":\"resp_1\",\"status\":\"failed\",\"error\":null}", "", ""},
        {"{\"type\":\"error\",\"code\":\"c\",\"message\":\"flat\"}", "c", "flat"},
        {"{\"type\":\"response.failed\",\"response\":{\"id\":\"r\",\"status\":\"failed\","
         "\"error\":{\"code\":\"c\",\"message\":\"in an event\"}}}",
         "c", "in an event"},
        {"{\"detail\":\"Not Found\"}", "", "Not Found"},
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
    static const char *const bodies[] = {
        "", "{", "<html>", "{\"object\":\"response.input_tokens\",\"input_tokens\":11}"};

    (void)state;
    for (size_t i = 0; i < 4; i++) {
        relay_answer_t answer = answer_of(bodies[i]);
        assert_false(answer.is_error);
        assert_false(answer.usage.known);
        assert_string_equal(answer.finish, "");
    }
}

/* ---- echo ---------------------------------------------------------------- */

static void echo_is_a_valid_answer(void **state)
{
    relay_usage_t usage;
    size_t len;
    char *text = check_echo(wire, "{\"input\":\"What \\\"now\\\"?\"}", false, false, &len, &usage);
    relay_answer_t answer = answer_of(text);

    (void)state;
    check_json(check_text(text));
    assert_non_null(strstr(text, "\"output\":[{\"id\":\"msg_0123456789abcdef0123456789abcdef\","
                                 "\"type\":\"message\",\"status\":\"completed\",\"role\":"
                                 "\"assistant\",\"content\":[{\"type\":\"output_text\",\"text\":"
                                 "\"What \\\"now\\\"?\",\"annotations\":[],\"logprobs\":[]}]}]"));
    assert_string_equal(answer.finish, "completed");
    check_usage(&answer.usage, &usage);
    free(text);
}

/* The types of a stream's events, in order, one letter each. */
static void order_of(const char *stream, char *order)
{
    static const struct {
        const char *type;
        char letter;
    } types[] = {
        {"response.created\n", 'C'},           {"response.in_progress\n", 'P'},
        {"response.output_item.added\n", 'I'}, {"response.content_part.added\n", 'A'},
        {"response.output_text.delta\n", 'd'}, {"response.output_text.done\n", 't'},
        {"response.content_part.done\n", 'a'}, {"response.output_item.done\n", 'i'},
        {"response.completed\n", 'E'},         {"response.incomplete\n", 'X'},
    };
    char number[64];

    for (unsigned n = 0; (stream = strstr(stream, "event: ")) != NULL; n++) {
        stream += strlen("event: ");
        snprintf(number, sizeof(number), "\"sequence_number\":%u,", n);
        assert_ptr_equal(strstr(strstr(stream, "\"sequence_number\":"), number),
                         strstr(stream, "\"sequence_number\":"));
        for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
            if (strncmp(stream, types[i].type, strlen(types[i].type)) == 0) {
                *order++ = types[i].letter;
            }
        }
    }
    *order = '\0';
}

static void echo_streams_every_event(void **state)
{
    relay_usage_t usage;
    size_t len;
    char order[64], *deltas;
    char *text = check_echo(wire,
                            "{\"input\":[{\"role\":\"user\",\"content\":[{\"type\":\"input_text\","
                            "\"text\":\"one two three\"}]},{\"type\":\"function_call_output\"}]}",
                            true, false, &len, &usage);
    check_run_t *run = check_bytes(wire, true, relay_span(text, len));

    (void)state;
    order_of(text, order);
    assert_string_equal(order, "CPIAdddtaiE");
    assert_true(run->closed);
    assert_string_equal(run->stream.finish, "completed");
    check_usage(&run->stream.usage, &usage);
    deltas = check_collect(text, "\"delta\":\"");
    assert_string_equal(deltas, "one two three");
    free(deltas);
    deltas = check_collect(text, "\"text\":\"");
    /* in text.done, part.done, item.done, completed: the sum of the deltas */
    assert_string_equal(deltas, "one two threeone two threeone two threeone two three");
    free(deltas);
    free(run);
    free(text);
}

static void echo_cut_at_its_limit_is_incomplete(void **state)
{
    size_t size = RELAY_ECHO_TEXT_MAX + 9, len;
    char *body = malloc(size + 64), *text;
    relay_usage_t usage;
    relay_answer_t answer;

    (void)state;
    assert_non_null(body);
    memcpy(body, "{\"input\":\"", 10);
    memset(body + 10, 'y', size);
    memcpy(body + 10 + size, "\"}", 3);
    text = check_echo(wire, body, false, false, &len, &usage);
    answer = answer_of(text);
    assert_string_equal(answer.finish, "max_output_tokens");
    assert_non_null(strstr(text, "\"status\":\"incomplete\""));
    free(text);
    text = check_echo(wire, body, true, false, &len, &usage);
    assert_non_null(strstr(text, "event: response.incomplete\n"));
    assert_null(strstr(text, "event: response.completed\n"));
    free(text);
    free(body);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_the_model_changes),
        cmocka_unit_test(a_text_stream_passes_unchanged),
        cmocka_unit_test(the_type_is_in_the_data),
        cmocka_unit_test(tool_calls_are_seen),
        cmocka_unit_test(a_failed_response_is_an_error),
        cmocka_unit_test(x4_errors_in_every_shape),
        cmocka_unit_test(what_is_no_event_of_the_answer),
        cmocka_unit_test(a_done_marker_is_hidden),
        cmocka_unit_test(f15_a_cut_stream_is_not_closed_well),
        cmocka_unit_test(f15_our_error_fails_the_response),
        cmocka_unit_test(our_errors_have_codes_of_a_response),
        cmocka_unit_test(answers_are_read),
        cmocka_unit_test(error_bodies_are_read),
        cmocka_unit_test(other_bodies_say_nothing),
        cmocka_unit_test(echo_is_a_valid_answer),
        cmocka_unit_test(echo_streams_every_event),
        cmocka_unit_test(echo_cut_at_its_limit_is_incomplete),
    };

    return cmocka_run_group_tests_name("wire_openai_responses", tests, NULL, NULL);
}
