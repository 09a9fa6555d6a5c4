/* The OpenAI dialect: error bodies, model lists and paging, usage objects. */

#include "wire_openai.c"

#include "wire_check.h"

static char text[8192];

static relay_span_t error_text(relay_error_t error)
{
    relay_buf_t out = relay_buf(text, sizeof(text));

    relay_dialect_openai.error(&out, &error, RELAY_SPAN("req1"));
    assert_true(relay_buf_ok(&out));
    check_json(relay_buf_span(&out));
    return relay_buf_span(&out);
}

static void errors_are_what_sdks_know(void **state)
{
    (void)state;
    check_span(error_text((relay_error_t){.code = RELAY_ERR_INVALID_RELAY_KEY}),
               "{\"error\":{\"message\":\"Invalid relay key.\",\"type\":\"invalid_request_error\","
               "\"param\":null,\"code\":\"invalid_api_key\"}}");
    check_span(error_text((relay_error_t){.code = RELAY_ERR_INVALID_FIELD,
                                          .param = RELAY_SPAN("stream"),
                                          .message = RELAY_SPAN("Say \"true\".")}),
               "{\"error\":{\"message\":\"Say \\\"true\\\".\",\"type\":\"invalid_request_error\","
               "\"param\":\"stream\",\"code\":\"invalid_field\"}}");
}

static void status_type_and_code_agree(void **state)
{
    static const struct {
        relay_error_code_t code;
        unsigned kept;
        unsigned status;
        const char *type;
        const char *name;
    } cases[] = {
        {RELAY_ERR_MODEL_NOT_FOUND, 0, 404, "invalid_request_error", "model_not_found"},
        {RELAY_ERR_MODEL_NOT_ALLOWED, 0, 403, "permission_error", "model_not_allowed"},
        {RELAY_ERR_BODY_TOO_LARGE, 0, 413, "invalid_request_error", "body_too_large"},
        {RELAY_ERR_NO_PROVIDER_KEY, 0, 503, "service_unavailable_error", "server_is_overloaded"},
        {RELAY_ERR_UPSTREAM_KEY, 0, 502, "server_error", "upstream_key"},
        {RELAY_ERR_UPSTREAM_TIMEOUT, 0, 504, "server_error", "upstream_timeout"},
        {RELAY_ERR_INTERNAL, 0, 500, "server_error", "internal_error"},
        {RELAY_ERR_UPSTREAM_STATUS, 429, 429, "rate_limit_error", "rate_limit_exceeded"},
        {RELAY_ERR_UPSTREAM_STATUS, 402, 402, "insufficient_quota", "insufficient_quota"},
        {RELAY_ERR_UPSTREAM_STATUS, 422, 422, "invalid_request_error", "upstream_status"},
        {RELAY_ERR_UPSTREAM_STATUS, 529, 529, "service_unavailable_error", "server_is_overloaded"},
    };
    char want[128];

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        relay_error_t error = {.code = cases[i].code, .status = cases[i].kept};
        assert_int_equal(relay_dialect_openai.status(&error), cases[i].status);
        snprintf(want, sizeof(want), "\"type\":\"%s\",\"param\":null,\"code\":\"%s\"}}",
                 cases[i].type, cases[i].name);
        assert_true(check_has(error_text(error), want));
    }
}

/* ---- models -------------------------------------------------------------- */

static const relay_model_view_t models[] = {
    {.id = RELAY_SPAN_INIT("a"), .owned_by = RELAY_SPAN_INIT("me"), .created_s = 5},
    {.id = RELAY_SPAN_INIT("org/b:1")},
    {.id = RELAY_SPAN_INIT("z\"")},
};

static relay_error_t list_error;

static relay_error_code_t list(const char *query, size_t count)
{
    relay_buf_t out = relay_buf(text, sizeof(text) - 1);
    relay_error_code_t code =
        relay_dialect_openai.model_list(&out, models, count, check_text(query), &list_error);

    assert_true(relay_buf_ok(&out));
    text[out.len] = '\0';
    return code;
}

static void all_models_are_listed(void **state)
{
    (void)state;
    assert_int_equal(list("", 3), RELAY_ERR_NONE);
    check_span(check_text(text),
               "{\"object\":\"list\",\"data\":["
               "{\"id\":\"a\",\"object\":\"model\",\"created\":5,\"owned_by\":\"me\"},"
               "{\"id\":\"org/b:1\",\"object\":\"model\",\"created\":0,\"owned_by\":\"relay\"},"
               "{\"id\":\"z\\\"\",\"object\":\"model\",\"created\":0,\"owned_by\":\"relay\"}]}");
    assert_int_equal(list("", 0), RELAY_ERR_NONE);
    check_span(check_text(text), "{\"object\":\"list\",\"data\":[]}");
}

static void paging_is_honoured_where_asked(void **state)
{
    (void)state;
    assert_int_equal(list("limit=1&after=a", 3), RELAY_ERR_NONE);
    check_span(check_text(text),
               "{\"object\":\"list\",\"data\":[{\"id\":\"org/b:1\",\"object\":\"model\","
               "\"created\":0,\"owned_by\":\"relay\"}],\"has_more\":true}");
    assert_int_equal(list("after=org%2Fb%3A1", 3), RELAY_ERR_NONE);
    assert_true(check_has(check_text(text), "[{\"id\":\"z\\\"\""));
    assert_true(check_has(check_text(text), "\"has_more\":false"));
    assert_int_equal(list("limit=0", 3), RELAY_ERR_INVALID_FIELD);
    check_span(list_error.param, "limit");
}

static void one_model(void **state)
{
    relay_buf_t out = relay_buf(text, sizeof(text));

    (void)state;
    relay_dialect_openai.model(&out, &models[0]);
    check_span(relay_buf_span(&out),
               "{\"id\":\"a\",\"object\":\"model\",\"created\":5,\"owned_by\":\"me\"}");
}

/* ---- usage --------------------------------------------------------------- */

static void take(relay_usage_t *usage, const char *object)
{
    relay_json_value_t value = {*object == '{' ? RELAY_JSON_OBJECT : RELAY_JSON_NULL,
                                check_text(object)};

    relay_openai_usage(value, usage);
}

static void assert_usage(const relay_usage_t *usage, uint64_t input, uint64_t cached,
                         uint64_t written, uint64_t output, uint64_t reasoning)
{
    assert_true(usage->known);
    assert_int_equal(usage->input_tokens, input);
    assert_int_equal(usage->cached_tokens, cached);
    assert_int_equal(usage->cache_write_tokens, written);
    assert_int_equal(usage->output_tokens, output);
    assert_int_equal(usage->reasoning_tokens, reasoning);
}

static void usage_of_each_vendor(void **state)
{
    static const struct {
        const char *object;
        uint64_t input, cached, written, output, reasoning;
    } cases[] = {
        {"{\"prompt_tokens\":64,\"completion_tokens\":135,\"total_tokens\":199,"
         "\"prompt_tokens_details\":{\"cached_tokens\":32,\"cache_write_tokens\":16},"
         "\"completion_tokens_details\":{\"reasoning_tokens\":78}}",
         64, 32, 16, 135, 78},
        {"{\"input_tokens\":10,\"input_tokens_details\":{\"cached_tokens\":4},\"output_tokens\":6,"
         "\"output_tokens_details\":{\"reasoning_tokens\":2},\"total_tokens\":16}",
         10, 4, 0, 6, 2},
        /* cache hits beside the prompt */
        {"{\"prompt_tokens\":20,\"completion_tokens\":5,\"prompt_cache_hit_tokens\":15,"
         "\"prompt_cache_miss_tokens\":5}",
         20, 15, 0, 5, 0},
        {"{\"prompt_tokens\":20,\"completion_tokens\":5,\"num_cached_tokens\":7}", 20, 7, 0, 5, 0},
        {"{\"prompt_tokens\":20,\"completion_tokens\":5,\"cached_tokens\":9}", 20, 9, 0, 5, 0},
        /* reasoning outside the completion: only the total tells */
        {"{\"prompt_tokens\":19,\"completion_tokens\":7,\"total_tokens\":29,"
         "\"completion_tokens_details\":{\"reasoning_tokens\":3}}",
         19, 0, 0, 10, 3},
        {"{\"prompt_tokens\":19,\"completion_tokens\":7,\"reasoning_tokens\":3}", 19, 0, 0, 7, 3},
        /* parts never exceed their whole */
        {"{\"prompt_tokens\":8,\"completion_tokens\":2,\"prompt_tokens_details\":"
         "{\"cached_tokens\":6,\"cache_write_tokens\":5},\"reasoning_tokens\":9}",
         8, 6, 2, 2, 2},
        /* numbers that are none */
        {"{\"prompt_tokens\":8,\"completion_tokens\":-2,\"cached_tokens\":1.5,"
         "\"total_tokens\":99999999999999999999}",
         8, 0, 0, 0, 0},
        {"{\"prompt_tokens\":281474976710656,\"completion_tokens\":281474976710657}",
         UINT64_C(281474976710656), 0, 0, 0, 0},
        {"{\"prompt_tokens\":null,\"input_tokens\":3,\"completion_tokens\":null}", 3, 0, 0, 0, 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        relay_usage_t usage = {0};
        take(&usage, cases[i].object);
        assert_usage(&usage, cases[i].input, cases[i].cached, cases[i].written, cases[i].output,
                     cases[i].reasoning);
    }
}

static void the_last_value_that_is_not_null_stays(void **state)
{
    relay_usage_t usage = {0};

    (void)state;
    take(&usage, "null");
    take(&usage, "{}");
    assert_false(usage.known);
    take(&usage, "{\"prompt_tokens\":10,\"completion_tokens\":1,"
                 "\"prompt_tokens_details\":{\"cached_tokens\":4}}");
    take(&usage, "{\"prompt_tokens\":null,\"completion_tokens\":8,\"prompt_tokens_details\":null}");
    take(&usage, "null");
    assert_usage(&usage, 10, 4, 0, 8, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(errors_are_what_sdks_know),
        cmocka_unit_test(status_type_and_code_agree),
        cmocka_unit_test(all_models_are_listed),
        cmocka_unit_test(paging_is_honoured_where_asked),
        cmocka_unit_test(one_model),
        cmocka_unit_test(usage_of_each_vendor),
        cmocka_unit_test(the_last_value_that_is_not_null_stays),
    };

    return cmocka_run_group_tests_name("wire_openai", tests, NULL, NULL);
}
