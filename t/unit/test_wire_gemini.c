/* The Gemini dialect: error bodies, paged model lists, usage objects. */

#include "wire_gemini.c"

#include "wire_check.h"

static char text[65536];

/* ---- errors -------------------------------------------------------------- */

static relay_span_t error_text(relay_error_t error)
{
    relay_buf_t out = relay_buf(text, sizeof(text));

    relay_dialect_gemini.error(&out, &error, RELAY_SPAN("0123"));
    assert_true(relay_buf_ok(&out));
    check_json(relay_buf_span(&out));
    return relay_buf_span(&out);
}

#define DETAIL "{\"@type\":\"type.googleapis.com/google.rpc."

static void errors_have_the_dialects_shape(void **state)
{
    (void)state;
    check_span(error_text((relay_error_t){.code = RELAY_ERR_INVALID_RELAY_KEY}),
               "{\"error\":{\"code\":401,\"message\":\"Invalid relay key.\",\"status\":"
               "\"UNAUTHENTICATED\",\"details\":[" DETAIL
               "ErrorInfo\",\"reason\":\"API_KEY_INVALID\",\"domain\":\"relay\"}]}}");
    check_span(error_text((relay_error_t){.code = RELAY_ERR_INVALID_FIELD,
                                          .param = RELAY_SPAN("model"),
                                          .message = RELAY_SPAN("Not \"that\".")}),
               "{\"error\":{\"code\":400,\"message\":\"Not \\\"that\\\".\",\"status\":"
               "\"INVALID_ARGUMENT\",\"details\":[" DETAIL
               "ErrorInfo\",\"reason\":\"INVALID_FIELD\",\"domain\":\"relay\"}," DETAIL
               "BadRequest\",\"fieldViolations\":[{\"field\":\"model\",\"description\":"
               "\"Not \\\"that\\\".\"}]}]}}");
    check_span(error_text((relay_error_t){.code = RELAY_ERR_UPSTREAM_STATUS,
                                          .status = 429,
                                          .message = RELAY_SPAN("Slow down."),
                                          .retry_after_s = 47}),
               "{\"error\":{\"code\":429,\"message\":\"Slow down.\",\"status\":"
               "\"RESOURCE_EXHAUSTED\",\"details\":[" DETAIL
               "ErrorInfo\",\"reason\":\"UPSTREAM_STATUS\",\"domain\":\"relay\"}," DETAIL
               "RetryInfo\",\"retryDelay\":\"47s\"}]}}");
    /* a provider's own failure, put into this dialect */
    check_span(error_text((relay_error_t){
                   .code = RELAY_ERR_NONE, .status = 503, .message = RELAY_SPAN("Busy.")}),
               "{\"error\":{\"code\":503,\"message\":\"Busy.\",\"status\":\"UNAVAILABLE\"}}");
}

static void status_and_word_agree(void **state)
{
    static const struct {
        relay_error_code_t code;
        unsigned kept;
        unsigned status;
        const char *word;
    } cases[] = {
        {RELAY_ERR_INVALID_JSON, 0, 400, "INVALID_ARGUMENT"},
        {RELAY_ERR_MODEL_NOT_ALLOWED, 0, 403, "PERMISSION_DENIED"},
        {RELAY_ERR_MODEL_NOT_FOUND, 0, 404, "NOT_FOUND"},
        {RELAY_ERR_METHOD_NOT_ALLOWED, 0, 405, "UNIMPLEMENTED"},
        {RELAY_ERR_BODY_TIMEOUT, 0, 408, "DEADLINE_EXCEEDED"},
        {RELAY_ERR_BODY_TOO_LARGE, 0, 413, "INVALID_ARGUMENT"},
        {RELAY_ERR_CONTENT_TYPE, 0, 415, "INVALID_ARGUMENT"},
        {RELAY_ERR_INTERNAL, 0, 500, "INTERNAL"},
        {RELAY_ERR_UPSTREAM_KEY, 0, 502, "UNAVAILABLE"},
        {RELAY_ERR_UPSTREAM_UNREACHABLE, 0, 502, "UNAVAILABLE"},
        {RELAY_ERR_NO_PROVIDER_KEY, 0, 503, "UNAVAILABLE"},
        {RELAY_ERR_UPSTREAM_TIMEOUT, 0, 504, "DEADLINE_EXCEEDED"},
        {RELAY_ERR_UPSTREAM_STATUS, 402, 402, "RESOURCE_EXHAUSTED"},
        {RELAY_ERR_UPSTREAM_STATUS, 429, 429, "RESOURCE_EXHAUSTED"},
        {RELAY_ERR_UPSTREAM_STATUS, 422, 422, "INVALID_ARGUMENT"},
        {RELAY_ERR_UPSTREAM_STATUS, 499, 499, "CANCELLED"},
        {RELAY_ERR_UPSTREAM_STATUS, 529, 529, "UNAVAILABLE"},
        {RELAY_ERR_UPSTREAM_STATUS, 507, 507, "INTERNAL"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        relay_error_t error = {.code = cases[i].code, .status = cases[i].kept};
        char code[32], word[48];
        relay_span_t body = error_text(error);
        assert_int_equal(relay_dialect_gemini.status(&error), cases[i].status);
        snprintf(code, sizeof(code), "\"code\":%u,", cases[i].status);
        snprintf(word, sizeof(word), "\"status\":\"%s\"", cases[i].word);
        assert_true(check_has(body, code));
        assert_true(check_has(body, word));
    }
}

/* ---- models -------------------------------------------------------------- */

enum { MODELS = 120 };

static relay_model_view_t models[MODELS];
static char ids[MODELS][8];

static int make_models(void **state)
{
    (void)state;
    for (size_t i = 0; i < MODELS; i++) {
        snprintf(ids[i], sizeof(ids[i]), "m-%03zu", i);
        models[i] = (relay_model_view_t){.id = check_text(ids[i])};
    }
    return 0;
}

static relay_span_t list(const char *query)
{
    relay_buf_t out = relay_buf(text, sizeof(text));
    relay_error_t error;

    assert_int_equal(
        relay_dialect_gemini.model_list(&out, models, MODELS, check_text(query), &error),
        RELAY_ERR_NONE);
    assert_true(relay_buf_ok(&out));
    check_json(relay_buf_span(&out));
    return relay_buf_span(&out);
}

static void pages_follow_each_other(void **state)
{
    relay_span_t page = list("");

    (void)state;
    assert_true(check_has(page, "\"models/m-000\""));
    assert_true(check_has(page, "\"models/m-049\""));
    assert_false(check_has(page, "\"models/m-050\""));
    assert_true(check_has(page, "],\"nextPageToken\":\"m-049\"}"));
    page = list("key=secret&pageToken=m%2D049&pageSize=2");
    assert_false(check_has(page, "secret"));
    assert_false(check_has(page, "\"models/m-049\""));
    assert_true(check_has(page, "\"models/m-050\""));
    assert_true(check_has(page, "],\"nextPageToken\":\"m-051\"}"));
    page = list("pageSize=1000");
    assert_true(check_has(page, "\"models/m-119\""));
    assert_false(check_has(page, "nextPageToken"));
    check_span(list("pageToken=z"), "{\"models\":[]}");
}

static void bad_parameters_are_named(void **state)
{
    static const char *const cases[][2] = {{"pageSize=0", "pageSize"},
                                           {"pageSize=1001", "pageSize"},
                                           {"pageSize=x", "pageSize"},
                                           {"pageToken=%zz", "pageToken"}};

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        relay_buf_t out = relay_buf(text, sizeof(text));
        relay_error_t error;
        assert_int_equal(
            relay_dialect_gemini.model_list(&out, models, MODELS, check_text(cases[i][0]), &error),
            RELAY_ERR_INVALID_FIELD);
        check_span(error.param, cases[i][1]);
        assert_int_equal(out.len, 0);
    }
}

static relay_span_t one_model(relay_model_view_t model)
{
    relay_buf_t out = relay_buf(text, sizeof(text));

    relay_dialect_gemini.model(&out, &model);
    assert_true(relay_buf_ok(&out));
    check_json(relay_buf_span(&out));
    return relay_buf_span(&out);
}

static void a_model_says_what_is_known(void **state)
{
    char longest[RELAY_MODEL_NAME_MAX + 1] = "";

    (void)state;
    check_span(one_model((relay_model_view_t){.id = RELAY_SPAN("org/prism:2")}),
               "{\"name\":\"models/org/prism:2\",\"displayName\":\"org/prism:2\","
               "\"supportedGenerationMethods\":[\"generateContent\",\"countTokens\"]}");
    check_span(one_model((relay_model_view_t){.id = RELAY_SPAN("prism-2"),
                                              .display_name = RELAY_SPAN("Prism \"2\""),
                                              .context_tokens = 1048576,
                                              .output_tokens = 65536}),
               "{\"name\":\"models/prism-2\",\"displayName\":\"Prism \\\"2\\\"\","
               "\"inputTokenLimit\":1048576,\"outputTokenLimit\":65536,"
               "\"supportedGenerationMethods\":[\"generateContent\",\"countTokens\"]}");
    check_span(
        one_model((relay_model_view_t){.id = RELAY_SPAN("e"), .type = RELAY_SPAN("embedding")}),
        "{\"name\":\"models/e\",\"displayName\":\"e\","
        "\"supportedGenerationMethods\":[\"embedContent\"]}");
    check_span(one_model((relay_model_view_t){.id = RELAY_SPAN("r"), .type = RELAY_SPAN("rerank")}),
               "{\"name\":\"models/r\",\"displayName\":\"r\"}");
    assert_true(check_has(
        one_model((relay_model_view_t){.id = RELAY_SPAN("c"), .type = RELAY_SPAN("chat")}),
        "generateContent"));
    memset(longest, 'm', RELAY_MODEL_NAME_MAX);
    assert_true(check_has(one_model((relay_model_view_t){.id = check_text(longest)}),
                          "mm\",\"displayName"));
}

/* ---- usage --------------------------------------------------------------- */

static void take_usage(relay_usage_t *usage, const char *object)
{
    relay_gemini_usage((relay_json_value_t){RELAY_JSON_OBJECT, check_text(object)}, usage);
}

static void thoughts_are_output_beside_candidates(void **state)
{
    relay_usage_t usage = {0};

    (void)state;
    take_usage(&usage, "{\"promptTokenCount\":100,\"cachedContentTokenCount\":40,"
                       "\"candidatesTokenCount\":7,\"thoughtsTokenCount\":13,"
                       "\"toolUsePromptTokenCount\":5,\"totalTokenCount\":125,"
                       "\"promptTokensDetails\":[{\"modality\":\"TEXT\",\"tokenCount\":100}]}");
    check_usage(&usage, &(relay_usage_t){.known = true,
                                         .input_tokens = 105,
                                         .cached_tokens = 40,
                                         .output_tokens = 20,
                                         .reasoning_tokens = 13});
}

static void the_last_count_stays(void **state)
{
    relay_usage_t usage = {0};

    (void)state;
    take_usage(&usage, "{\"trafficType\":\"ON_DEMAND\"}");
    assert_false(usage.known);
    take_usage(&usage, "{\"promptTokenCount\":10,\"totalTokenCount\":10}");
    assert_true(usage.known);
    take_usage(&usage, "{\"promptTokenCount\":10,\"thoughtsTokenCount\":4}");
    take_usage(&usage, "{\"promptTokenCount\":11,\"candidatesTokenCount\":3}");
    take_usage(&usage, "{\"candidatesTokenCount\":5,\"thoughtsTokenCount\":6}");
    take_usage(&usage, "{\"promptTokenCount\":null,\"candidatesTokenCount\":\"9\"}");
    check_usage(&usage,
                &(relay_usage_t){
                    .known = true, .input_tokens = 11, .output_tokens = 11, .reasoning_tokens = 6});
    relay_gemini_usage((relay_json_value_t){RELAY_JSON_NULL, RELAY_SPAN("null")}, &usage);
    assert_int_equal(usage.output_tokens, 11);
}

static void counts_that_cannot_be_are_bounded(void **state)
{
    relay_usage_t usage = {0};

    (void)state;
    take_usage(&usage, "{\"promptTokenCount\":3,\"cachedContentTokenCount\":8}");
    assert_int_equal(usage.cached_tokens, 3);
    take_usage(&usage, "{\"candidatesTokenCount\":99999999999999999,\"thoughtsTokenCount\":-1}");
    assert_int_equal(usage.output_tokens, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(errors_have_the_dialects_shape),
        cmocka_unit_test(status_and_word_agree),
        cmocka_unit_test_setup(pages_follow_each_other, make_models),
        cmocka_unit_test_setup(bad_parameters_are_named, make_models),
        cmocka_unit_test(a_model_says_what_is_known),
        cmocka_unit_test(thoughts_are_output_beside_candidates),
        cmocka_unit_test(the_last_count_stays),
        cmocka_unit_test(counts_that_cannot_be_are_bounded),
    };

    return cmocka_run_group_tests_name("wire_gemini", tests, NULL, NULL);
}
