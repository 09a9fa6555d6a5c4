/* generateContent: chunks, cumulative usage, streams that just close, echo. */

#include "wire_gemini_generate.c"

#include "wire_check.h"

static const relay_wire_t *const wire = &relay_wire_gemini;

static void the_body_stays_as_it_is(void **state)
{
    relay_envelope_t envelope = {.body = RELAY_SPAN("{\"model\":\"a\"}")};
    relay_edit_options_t options = {RELAY_SPAN("b"), true};
    relay_edit_t edits[RELAY_EDITS_MAX];
    relay_buf_t scratch = relay_buf(NULL, 0);

    (void)state;
    assert_int_equal(wire->edits(&envelope, &options, edits, &scratch), 0);
    assert_true(wire->wants_usage(&envelope));
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
    check_run_t *run = check_fixture(wire, true, "gemini_text.sse");

    (void)state;
    assert_string_equal(run->classes, "pccc");
    assert_unchanged(run, "gemini_text.sse");
    assert_true(run->closed && run->stream.finish_seen && run->stream.end_seen);
    assert_string_equal(run->stream.finish, "STOP");
    assert_string_equal(run->stream.id, "resp-relay1");
    assert_string_equal(run->stream.model, "prism-2");
    check_usage(&run->stream.usage,
                &(relay_usage_t){.known = true, .input_tokens = 21, .output_tokens = 12});
    assert_false(run->stream.tool_seen);
    free(run);
}

static void calls_and_signatures_are_content(void **state)
{
    check_run_t *run = check_fixture(wire, true, "gemini_tools.sse");

    (void)state;
    assert_string_equal(run->classes, "ccc");
    assert_unchanged(run, "gemini_tools.sse");
    assert_true(run->closed && run->stream.tool_seen);
    check_usage(&run->stream.usage, &(relay_usage_t){.known = true,
                                                     .input_tokens = 307,
                                                     .cached_tokens = 256,
                                                     .output_tokens = 70,
                                                     .reasoning_tokens = 52});
    free(run);
}

static void every_candidate_ends_by_itself(void **state)
{
    static const char *const whole =
        "data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"a\"}]},\"index\":0,"
        "\"finishReason\":\"STOP\"},{\"content\":{\"parts\":[{\"text\":\"b\"}]},"
        "\"index\":1}]}\n\n";
    check_run_t *run = check_fixture(wire, true, "gemini_two_candidates.sse");

    (void)state;
    assert_string_equal(run->classes, "cccc");
    assert_true(run->closed);
    assert_string_equal(run->stream.finish, "MAX_TOKENS");
    assert_int_equal(run->stream.usage.output_tokens, 2);
    free(run);
    run = check_literal(wire, true, whole);
    assert_string_equal(run->classes, "c");
    assert_false(run->closed || run->stream.finish_seen);
    free(run);
}

static void f15_no_good_end_after_an_error(void **state)
{
    check_run_t *run = check_fixture(wire, true, "gemini_error.sse");

    (void)state;
    assert_string_equal(run->classes, "ceHi");
    assert_int_equal(run->stream.error_status, 503);
    assert_false(run->closed);
    assert_true(check_has(relay_span(run->out, run->out_len), "Come back later."));
    assert_false(check_has(relay_span(run->out, run->out_len), "STOP"));
    free(run);
}

/* The whole answer to a prompt that is refused. */
static void a_blocked_prompt_is_an_answer(void **state)
{
    check_run_t *run = check_fixture(wire, true, "gemini_blocked.sse");

    (void)state;
    assert_string_equal(run->classes, "c");
    assert_unchanged(run, "gemini_blocked.sse");
    assert_true(run->closed);
    assert_string_equal(run->stream.finish, "PROHIBITED_CONTENT");
    assert_int_equal(run->stream.usage.input_tokens, 21);
    free(run);
}

#define TEXT   "data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"a\"}]}}]}\n\n"
#define FINISH "data: {\"candidates\":[{\"finishReason\":\"STOP\",\"index\":0}]}\n\n"

static void assert_run(const char *given, const char *classes, bool closed, const char *out)
{
    check_run_t *run = check_literal(wire, true, given);

    assert_string_equal(run->classes, classes);
    assert_int_equal(run->closed, closed);
    check_span(relay_span(run->out, run->out_len), out);
    free(run);
}

static void a_stream_ends_by_its_finish_reason(void **state)
{
    (void)state;
    assert_run(TEXT FINISH, "cc", true, TEXT FINISH);
    assert_run(TEXT, "c", false, TEXT);
    assert_run("", "", false, "");
    /* one that another format has is not passed on */
    assert_run(TEXT FINISH "data: [DONE]\n\n", "ccHi", true, TEXT FINISH);
    assert_run(TEXT "data: [DONE]\n\n", "cHi", false, TEXT);
    /* cut inside the last chunk, or just behind it */
    assert_run(TEXT "data: {\"candidates\":[{\"finishReason\":\"ST", "cHi", false, TEXT);
    assert_run(TEXT "data: {\"candidates\":[{\"finishReason\":\"STOP\"}]}", "cc", true,
               TEXT "data: {\"candidates\":[{\"finishReason\":\"STOP\"}]}\n\n");
}

static void what_counts_as_content(void **state)
{
    static const struct {
        const char *part;
        relay_event_class_t class;
    } cases[] = {
        {"{\"text\":\"\"}", RELAY_EVENT_PRELUDE},
        {"{\"text\":\"\",\"thought\":true}", RELAY_EVENT_PRELUDE},
        {"{}", RELAY_EVENT_PRELUDE},
        {"null", RELAY_EVENT_PRELUDE},
        {"{\"text\":\"a\"}", RELAY_EVENT_CONTENT},
        {"{\"text\":\"\",\"thoughtSignature\":\"c2ln\"}", RELAY_EVENT_CONTENT},
        {"{\"functionCall\":{\"name\":\"f\"}}", RELAY_EVENT_CONTENT},
        {"{\"inlineData\":{\"mimeType\":\"image/png\",\"data\":\"eA==\"}}", RELAY_EVENT_CONTENT},
        {"{\"executableCode\":{\"code\":\"1\"}}", RELAY_EVENT_CONTENT},
        {"{\"futurePart\":{}}", RELAY_EVENT_CONTENT},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        relay_stream_t stream = {.wire = wire};
        char data[256];
        relay_verdict_t verdict;
        snprintf(data, sizeof(data), "{\"candidates\":[{\"content\":{\"parts\":[%s]}}]}",
                 cases[i].part);
        verdict = check_data(&stream, "", data);
        assert_int_equal(verdict.class, cases[i].class);
        assert_false(verdict.hide);
        assert_int_equal(stream.content_seen, cases[i].class == RELAY_EVENT_CONTENT);
    }
}

static void odd_chunks_commit_nothing(void **state)
{
    static const struct {
        const char *data;
        relay_event_class_t class;
    } cases[] = {
        {"{}", RELAY_EVENT_IDLE},
        {"hello", RELAY_EVENT_IDLE},
        {"{\"candidates\":null}", RELAY_EVENT_IDLE},
        {"{\"candidates\":[]}", RELAY_EVENT_IDLE},
        {"{\"candidates\":[7]}", RELAY_EVENT_IDLE},
        {"{\"candidates\":{}}", RELAY_EVENT_IDLE},
        {"{\"candidates\":[{}]}", RELAY_EVENT_PRELUDE},
        {"{\"candidates\":[{\"content\":{}}]}", RELAY_EVENT_PRELUDE},
        {"{\"candidates\":[{\"content\":{\"parts\":{}},\"index\":999}]}", RELAY_EVENT_PRELUDE},
        {"{\"candidates\":[{\"finishReason\":null}]}", RELAY_EVENT_PRELUDE},
        {"{\"usageMetadata\":{}}", RELAY_EVENT_PRELUDE},
        {"{\"promptFeedback\":{}}", RELAY_EVENT_PRELUDE},
        {"{\"candidates\":[{\"finishReason\":\"MALFORMED_FUNCTION_CALL\"}]}", RELAY_EVENT_CONTENT},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        relay_stream_t stream = {.wire = wire};
        assert_int_equal(check_data(&stream, "", cases[i].data).class, cases[i].class);
    }
}

/* Usage alone, and empty text, are signs of life of an answer under way. */
static void an_answer_under_way_is_progress(void **state)
{
    relay_stream_t stream = {.wire = wire};

    (void)state;
    check_data(&stream, "", "{\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"a\"}]}}]}");
    assert_int_equal(check_data(&stream, "", "{\"usageMetadata\":{}}").class, RELAY_EVENT_CONTENT);
    assert_int_equal(
        check_data(&stream, "", "{\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"\"}]}}]}")
            .class,
        RELAY_EVENT_CONTENT);
}

static void errors_have_their_status(void **state)
{
    static const struct {
        const char *data;
        unsigned status;
    } cases[] = {
        {"{\"error\":{\"code\":400,\"status\":\"INVALID_ARGUMENT\"}}", 400},
        {"{\"error\":{\"code\":400,\"status\":\"INVALID_ARGUMENT\",\"details\":[{\"reason\":"
         "\"OTHER\"},{\"reason\":\"API_KEY_INVALID\"}]}}",
         401},
        {"{\"error\":{\"code\":429,\"status\":\"RESOURCE_EXHAUSTED\"}}", 429},
        {"{\"error\":{\"code\":8,\"status\":\"RESOURCE_EXHAUSTED\"}}", 429},
        {"{\"error\":{\"status\":\"PERMISSION_DENIED\"}}", 403},
        {"{\"error\":{\"status\":\"NOT_FOUND\"}}", 404},
        {"{\"error\":{\"code\":499,\"status\":\"CANCELLED\"}}", 499},
        {"{\"error\":{\"status\":\"INTERNAL\"}}", 500},
        {"{\"error\":{\"status\":\"UNAVAILABLE\"}}", 503},
        {"{\"error\":{\"status\":\"DEADLINE_EXCEEDED\"}}", 504},
        {"[{\"error\":{\"code\":429,\"message\":\"m\"}}]", 429},
        {"{\"error\":{\"status\":\"SOMETHING_NEW\"}}", 502},
        {"{\"error\":{}}", 502},
        {"{\"error\":\"text\"}", 502},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(check_error_status(wire, cases[i].data), cases[i].status);
    }
}

static void an_error_of_relays_own(void **state)
{
    uint8_t bytes[1024];
    relay_buf_t out = relay_buf(bytes, sizeof(bytes));
    relay_stream_t stream = {.wire = wire, .finish_seen = true};
    relay_error_t error = {.code = RELAY_ERR_UPSTREAM_CUT};

    (void)state;
    wire->error_event(&stream, &out, &error, RELAY_SPAN("0123"));
    check_span(relay_buf_span(&out),
               "data: {\"error\":{\"code\":502,\"message\":\"The provider's answer ended before it "
               "was complete.\",\"status\":\"UNAVAILABLE\",\"details\":[{\"@type\":"
               "\"type.googleapis.com/google.rpc.ErrorInfo\",\"reason\":\"UPSTREAM_CUT\","
               "\"domain\":\"relay\"}]}}\n\n");
    assert_true(stream.error_seen);
    assert_false(wire->close(&stream, &out));
}

/* ---- whole answers ------------------------------------------------------- */

static relay_answer_t read_answer(const char *body)
{
    relay_answer_t answer;

    memset(&answer, 0xff, sizeof(answer));
    wire->answer(check_text(body), &answer);
    return answer;
}

static void answers_are_read(void **state)
{
    relay_answer_t answer = read_answer(
        " {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"x\"}]},\"finishReason\":"
        "\"MAX_TOKENS\",\"index\":0}],\"usageMetadata\":{\"promptTokenCount\":9,"
        "\"thoughtsTokenCount\":64,\"totalTokenCount\":73}} ");

    (void)state;
    assert_false(answer.is_error);
    assert_string_equal(answer.finish, "MAX_TOKENS");
    check_usage(&answer.usage,
                &(relay_usage_t){
                    .known = true, .input_tokens = 9, .output_tokens = 64, .reasoning_tokens = 64});
    answer = read_answer("{\"promptFeedback\":{\"blockReason\":\"SAFETY\"}}");
    assert_string_equal(answer.finish, "SAFETY");
    assert_false(answer.is_error || answer.usage.known);
    answer = read_answer("{\"totalTokens\":2}");
    assert_false(answer.is_error || answer.usage.known);
    answer = read_answer("<html>");
    assert_false(answer.is_error);
    assert_string_equal(answer.finish, "");
}

static void errors_are_told_by_their_word(void **state)
{
    relay_answer_t answer =
        read_answer("{\"error\":{\"code\":429,\"message\":\"So \\\"much\\\".\",\"status\":"
                    "\"RESOURCE_EXHAUSTED\",\"details\":[{\"retryDelay\":\"47s\"}]}}");

    (void)state;
    assert_true(answer.is_error);
    check_span(answer.message, "So \\\"much\\\".");
    assert_string_equal(answer.error_type, "RESOURCE_EXHAUSTED");
    answer = read_answer("{\"error\":{\"code\":400,\"message\":\"No.\",\"status\":"
                         "\"INVALID_ARGUMENT\",\"details\":[{\"reason\":\"API_KEY_INVALID\"}]}}");
    assert_string_equal(answer.error_type, "API_KEY_INVALID");
    answer = read_answer("[{\"error\":{\"code\":429,\"message\":\"No.\"}}]");
    assert_true(answer.is_error);
    assert_string_equal(answer.error_type, "429");
}

/* ---- echo ---------------------------------------------------------------- */

#define BODY                                                                                       \
    "{\"systemInstruction\":{\"parts\":[{\"text\":\"Be brief.\"}]},\"contents\":[{\"role\":"       \
    "\"user\",\"parts\":[{\"text\":\"old\"}]},{\"role\":\"model\",\"parts\":[{\"text\":"           \
    "\"older\"}]},{\"role\":\"user\",\"parts\":[{\"text\":\"Say \\u00e9 \"},{\"inlineData\":"      \
    "{\"data\":\"eA==\"}},{\"text\":\"\"},{\"text\":\"and \\\"this\\\".\"}]}]}"

static void the_echo_says_every_part(void **state)
{
    relay_usage_t usage;
    relay_answer_t answer;
    size_t len;
    char *got = check_echo(wire, BODY, false, false, &len, &usage), *said;

    (void)state;
    check_json(relay_span(got, len));
    assert_non_null(strstr(got, "{\"candidates\":[{\"content\":{\"role\":\"model\",\"parts\":["
                                "{\"text\":\"Say \\u00e9 and \\\"this\\\".\"}]},"
                                "\"finishReason\":\"STOP\",\"index\":0}],\"usageMetadata\":{"));
    assert_non_null(strstr(got, "\"modelVersion\":\"relay/echo\",\"responseId\":\"0123"));
    said = check_collect(got, "\"text\":\"");
    assert_string_equal(said, "Say \xc3\xa9 and \"this\".");
    answer = read_answer(got);
    check_usage(&answer.usage, &usage);
    assert_string_equal(answer.finish, "STOP");
    free(said);
    free(got);
}

static void the_echo_streams_the_same(void **state)
{
    relay_usage_t usage, whole;
    size_t len;
    char *got = check_echo(wire, BODY, true, false, &len, &usage), *said;
    check_run_t *run = check_literal(wire, true, got);

    (void)state;
    said = check_collect(got, "\"text\":\"");
    assert_string_equal(said, "Say \xc3\xa9 and \"this\".");
    assert_true(run->closed && strspn(run->classes, "c") == strlen(run->classes));
    assert_true(strlen(run->classes) > 2);
    check_usage(&run->stream.usage, &usage);
    assert_string_equal(run->stream.finish, "STOP");
    assert_string_equal(run->stream.model, "relay/echo");
    free(check_echo(wire, BODY, false, false, &len, &whole));
    check_usage(&usage, &whole);
    free(run);
    free(said);
    free(got);
}

static void the_echo_greets_where_nothing_is_said(void **state)
{
    static const char *const bodies[] = {
        "{}", "{\"contents\":[]}", "{\"contents\":\"x\"}", "{\"contents\":[7,null]}",
        "{\"contents\":[{\"parts\":[{\"text\":7},{\"text\":\"\"}]}]}"};

    (void)state;
    for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
        relay_usage_t usage;
        size_t len;
        char *got = check_echo(wire, bodies[i], i & 1, false, &len, &usage);
        char *said = check_collect(got, "\"text\":\"");
        assert_string_equal(said, "Hello from Relay.");
        free(said);
        free(got);
    }
}

/* A role may be missing; text of several parts has one limit. */
static void a_long_text_is_cut(void **state)
{
    enum { HALF = 40000 };
    char *body = malloc(3 * HALF), half[HALF + 1], *got, *said;
    relay_usage_t usage;
    size_t len;

    (void)state;
    assert_non_null(body);
    memset(half, 'x', HALF);
    half[HALF] = '\0';
    snprintf(body, 3 * HALF, "{\"contents\":[{\"parts\":[{\"text\":\"%s\"},{\"text\":\"%s\"}]}]}",
             half, half);
    got = check_echo(wire, body, true, false, &len, &usage);
    said = check_collect(got, "\"text\":\"");
    assert_true(strlen(said) <= RELAY_ECHO_TEXT_MAX && strlen(said) > HALF);
    assert_non_null(strstr(got, "\"MAX_TOKENS\""));
    free(said);
    free(got);
    free(body);
}

static void the_echo_counts_tokens(void **state)
{
    uint8_t bytes[128];
    relay_buf_t out = relay_buf(bytes, sizeof(bytes));
    relay_echo_t echo = {.body = RELAY_SPAN(BODY)};
    relay_usage_t usage, whole;
    char expected[64];
    size_t len;

    (void)state;
    relay_gemini_echo_count(&out, &echo, &usage);
    assert_false(usage.known);
    free(check_echo(wire, BODY, false, false, &len, &whole));
    snprintf(expected, sizeof(expected), "{\"totalTokens\":%u}", (unsigned)whole.input_tokens);
    check_span(relay_buf_span(&out), expected);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_body_stays_as_it_is),
        cmocka_unit_test(a_text_stream_passes_unchanged),
        cmocka_unit_test(calls_and_signatures_are_content),
        cmocka_unit_test(every_candidate_ends_by_itself),
        cmocka_unit_test(f15_no_good_end_after_an_error),
        cmocka_unit_test(a_blocked_prompt_is_an_answer),
        cmocka_unit_test(a_stream_ends_by_its_finish_reason),
        cmocka_unit_test(what_counts_as_content),
        cmocka_unit_test(odd_chunks_commit_nothing),
        cmocka_unit_test(an_answer_under_way_is_progress),
        cmocka_unit_test(errors_have_their_status),
        cmocka_unit_test(an_error_of_relays_own),
        cmocka_unit_test(answers_are_read),
        cmocka_unit_test(errors_are_told_by_their_word),
        cmocka_unit_test(the_echo_says_every_part),
        cmocka_unit_test(the_echo_streams_the_same),
        cmocka_unit_test(the_echo_greets_where_nothing_is_said),
        cmocka_unit_test(a_long_text_is_cut),
        cmocka_unit_test(the_echo_counts_tokens),
    };

    return cmocka_run_group_tests_name("wire_gemini_generate", tests, NULL, NULL);
}
