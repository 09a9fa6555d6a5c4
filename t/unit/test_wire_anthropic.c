/* The Anthropic dialect: error bodies, paged model lists, usage objects. */

#include "wire_anthropic.c"

#include "wire_check.h"

static char text[16384];

static relay_span_t error_text(relay_error_t error, const char *request_id)
{
    relay_buf_t out = relay_buf(text, sizeof(text));

    relay_dialect_anthropic.error(&out, &error, check_text(request_id));
    assert_true(relay_buf_ok(&out));
    check_json(relay_buf_span(&out));
    return relay_buf_span(&out);
}

static void errors_have_the_dialects_shape(void **state)
{
    (void)state;
    check_span(error_text((relay_error_t){.code = RELAY_ERR_INVALID_RELAY_KEY}, "req1"),
               "{\"type\":\"error\",\"error\":{\"type\":\"authentication_error\","
               "\"message\":\"Invalid relay key.\"},\"request_id\":\"req1\"}");
    check_span(error_text((relay_error_t){.code = RELAY_ERR_MISSING_FIELD,
                                          .param = RELAY_SPAN("model"),
                                          .message = RELAY_SPAN("Say which.")},
                          ""),
               "{\"type\":\"error\",\"error\":{\"type\":\"invalid_request_error\","
               "\"message\":\"model: Say which.\"},\"request_id\":null}");
    check_span(error_text((relay_error_t){.code = RELAY_ERR_MISSING_FIELD,
                                          .param = RELAY_SPAN("model"),
                                          .message = RELAY_SPAN("Which model?")},
                          ""),
               "{\"type\":\"error\",\"error\":{\"type\":\"invalid_request_error\","
               "\"message\":\"Which model?\"},\"request_id\":null}");
    /* no param member: the field goes into a sentence that would not name it */
    check_span(
        error_text((relay_error_t){.code = RELAY_ERR_MISSING_FIELD, .param = RELAY_SPAN("model")},
                   ""),
        "{\"type\":\"error\",\"error\":{\"type\":\"invalid_request_error\",\"message\":"
        "\"model: A required field of the request is missing.\"},\"request_id\":null}");
}

static void status_and_type_agree(void **state)
{
    static const struct {
        relay_error_code_t code;
        unsigned kept;
        unsigned status;
        const char *type;
    } cases[] = {
        {RELAY_ERR_MODEL_NOT_FOUND, 0, 404, "not_found_error"},
        {RELAY_ERR_MODEL_NOT_ALLOWED, 0, 403, "permission_error"},
        {RELAY_ERR_BODY_TOO_LARGE, 0, 413, "request_too_large"},
        {RELAY_ERR_METHOD_NOT_ALLOWED, 0, 405, "invalid_request_error"},
        {RELAY_ERR_NO_PROVIDER_KEY, 0, 503, "api_error"},
        {RELAY_ERR_UPSTREAM_KEY, 0, 500, "api_error"},
        {RELAY_ERR_UPSTREAM_UNREACHABLE, 0, 502, "api_error"},
        {RELAY_ERR_UPSTREAM_TIMEOUT, 0, 504, "timeout_error"},
        {RELAY_ERR_INTERNAL, 0, 500, "api_error"},
        {RELAY_ERR_UPSTREAM_STATUS, 402, 402, "billing_error"},
        {RELAY_ERR_UPSTREAM_STATUS, 422, 422, "invalid_request_error"},
        {RELAY_ERR_UPSTREAM_STATUS, 429, 429, "rate_limit_error"},
        {RELAY_ERR_UPSTREAM_STATUS, 529, 529, "overloaded_error"},
    };
    char want[64];

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        relay_error_t error = {.code = cases[i].code, .status = cases[i].kept};
        assert_int_equal(relay_dialect_anthropic.status(&error), cases[i].status);
        snprintf(want, sizeof(want), "\"error\":{\"type\":\"%s\"", cases[i].type);
        assert_true(check_has(error_text(error, "r"), want));
    }
}

/* ---- models -------------------------------------------------------------- */

enum { MODELS = 25 };

static char ids[MODELS][8];
static relay_model_view_t models[MODELS];
static relay_error_t list_error;

static int make_models(void **state)
{
    (void)state;
    for (size_t i = 0; i < MODELS; i++) {
        snprintf(ids[i], sizeof(ids[i]), "m/%02zu", i);
        models[i] = (relay_model_view_t){.id = check_text(ids[i])};
    }
    return 0;
}

static relay_error_code_t list(const char *query)
{
    relay_buf_t out = relay_buf(text, sizeof(text) - 1);
    relay_error_code_t code =
        relay_dialect_anthropic.model_list(&out, models, MODELS, check_text(query), &list_error);

    assert_true(relay_buf_ok(&out));
    text[out.len] = '\0';
    return code;
}

/* first and last id as numbers, or -1: an empty page */
static void assert_page(const char *query, int first, int last, bool has_more)
{
    char want[128];

    assert_int_equal(list(query), RELAY_ERR_NONE);
    check_json(check_text(text));
    if (first >= 0) {
        snprintf(want, sizeof(want),
                 "],\"has_more\":%s,\"first_id\":\"m/%02d\",\"last_id\":\"m/%02d\"}",
                 has_more ? "true" : "false", first, last);
        assert_true(check_has(check_text(text), want));
        snprintf(want, sizeof(want), "{\"data\":[{\"type\":\"model\",\"id\":\"m/%02d\",", first);
        assert_true(check_has(check_text(text), want));
    } else {
        check_span(check_text(text),
                   "{\"data\":[],\"has_more\":false,\"first_id\":null,\"last_id\":null}");
    }
}

static void pages_follow_each_other(void **state)
{
    (void)state;
    assert_page("", 0, 19, true);
    assert_page("beta=true&after_id=m%2f19", 20, 24, false);
    assert_page("limit=1000", 0, 24, false);
    assert_page("limit=25", 0, 24, false);
    assert_page("limit=24", 0, 23, true);
    assert_page("after_id=m/03&limit=2", 4, 5, true);
    assert_page("before_id=m/03&limit=2", 1, 2, true);
    assert_page("before_id=m/02&limit=2", 0, 1, false);
    assert_page("after_id=&limit=1", 0, 0, true);
    assert_page("after_id=m/24", -1, -1, false);
    assert_page("before_id=m/00", -1, -1, false);
    /* a cursor that has left the list keeps its place */
    assert_page("after_id=m/03x&limit=1", 4, 4, true);
    assert_page("before_id=m/03x&limit=1", 3, 3, true);
    assert_page("after_id=zzz", -1, -1, false);
}

static void bad_parameters_are_named(void **state)
{
    static const struct {
        const char *query;
        const char *param;
    } cases[] = {
        {"limit=0", "limit"},
        {"limit=1001", "limit"},
        {"limit=", "limit"},
        {"limit", "limit"},
        {"limit=-1", "limit"},
        {"limit=1.0", "limit"},
        {"limit=99999999999999999999", "limit"},
        {"after_id=%2", "after_id"},
        {"after_id=%zz", "after_id"},
        {"before_id=a%", "before_id"},
        {"after_id=a&before_id=b", "before_id"},
    };
    char query[1024] = "after_id=";

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(list(cases[i].query), RELAY_ERR_INVALID_FIELD);
        check_span(list_error.param, cases[i].param);
        assert_true(list_error.message.len > 0);
    }
    memset(query + 9, 'a', 600);
    assert_int_equal(list(query), RELAY_ERR_INVALID_FIELD);
    check_span(list_error.param, "after_id");
}

static relay_span_t one_model(relay_model_view_t model)
{
    relay_buf_t out = relay_buf(text, sizeof(text));

    relay_dialect_anthropic.model(&out, &model);
    return relay_buf_span(&out);
}

static void a_model_says_what_is_known(void **state)
{
    (void)state;
    check_span(one_model((relay_model_view_t){.id = RELAY_SPAN("saga-4")}),
               "{\"type\":\"model\",\"id\":\"saga-4\",\"display_name\":\"saga-4\","
               "\"created_at\":\"1970-01-01T00:00:00Z\"}");
    check_span(one_model((relay_model_view_t){.id = RELAY_SPAN("saga-4"),
                                              .display_name = RELAY_SPAN("Saga \"4\""),
                                              .created_s = 1709164799,
                                              .context_tokens = 200000,
                                              .output_tokens = 64000}),
               "{\"type\":\"model\",\"id\":\"saga-4\",\"display_name\":\"Saga \\\"4\\\"\","
               "\"created_at\":\"2024-02-28T23:59:59Z\",\"max_input_tokens\":200000,"
               "\"max_tokens\":64000}");
}

static void times_follow_the_calendar(void **state)
{
    static const struct {
        uint64_t seconds;
        const char *time;
    } cases[] = {
        {951782400, "2000-02-29T00:00:00Z"},    {951868800, "2000-03-01T00:00:00Z"},
        {1709164800, "2024-02-29T00:00:00Z"},   {1735689599, "2024-12-31T23:59:59Z"},
        {1735689600, "2025-01-01T00:00:00Z"},   {4107542400, "2100-03-01T00:00:00Z"},
        {253402300799, "9999-12-31T23:59:59Z"}, {UINT64_MAX, "9999-12-31T23:59:59Z"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        relay_model_view_t model = {.id = RELAY_SPAN("m"), .created_s = cases[i].seconds};
        assert_true(check_has(one_model(model), cases[i].time));
    }
}

/* ---- usage --------------------------------------------------------------- */

static void take(relay_usage_t *usage, const char *object)
{
    relay_anthropic_usage((relay_json_value_t){RELAY_JSON_OBJECT, check_text(object)}, usage);
}

static void the_prompt_is_summed(void **state)
{
    relay_usage_t usage = {0};

    (void)state;
    take(&usage, "{\"input_tokens\":3,\"cache_creation_input_tokens\":12304,"
                 "\"cache_read_input_tokens\":10,\"output_tokens\":550,"
                 "\"cache_creation\":{\"ephemeral_5m_input_tokens\":11000,"
                 "\"ephemeral_1h_input_tokens\":304},"
                 "\"output_tokens_details\":{\"thinking_tokens\":99}}");
    assert_true(usage.known);
    assert_int_equal(usage.input_tokens, 12317);
    assert_int_equal(usage.cached_tokens, 10);
    assert_int_equal(usage.cache_write_tokens, 12304);
    assert_int_equal(usage.cache_write_1h_tokens, 304);
    assert_int_equal(usage.output_tokens, 550);
    assert_int_equal(usage.reasoning_tokens, 99);
}

static void later_counts_replace_and_are_never_added(void **state)
{
    relay_usage_t usage = {0};

    (void)state;
    take(&usage, "{\"input_tokens\":0,\"output_tokens\":1}");
    take(&usage, "{\"input_tokens\":19,\"cache_read_input_tokens\":5,\"output_tokens\":7}");
    assert_int_equal(usage.input_tokens, 24);
    take(&usage, "{\"input_tokens\":null,\"cache_read_input_tokens\":6,\"output_tokens\":9}");
    assert_int_equal(usage.input_tokens, 25);
    assert_int_equal(usage.cached_tokens, 6);
    assert_int_equal(usage.output_tokens, 9);
}

static void a_split_stands_for_a_missing_total(void **state)
{
    relay_usage_t usage = {0};

    (void)state;
    take(&usage, "{\"input_tokens\":1,\"cache_creation\":{\"ephemeral_5m_input_tokens\":10,"
                 "\"ephemeral_1h_input_tokens\":20}}");
    assert_int_equal(usage.cache_write_tokens, 30);
    assert_int_equal(usage.cache_write_1h_tokens, 20);
    assert_int_equal(usage.input_tokens, 31);
    take(&usage, "{\"cache_creation_input_tokens\":15,\"output_tokens_details\":"
                 "{\"thinking_tokens\":5}}");
    assert_int_equal(usage.cache_write_1h_tokens, 15);
    assert_int_equal(usage.reasoning_tokens, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(errors_have_the_dialects_shape),
        cmocka_unit_test(status_and_type_agree),
        cmocka_unit_test_setup(pages_follow_each_other, make_models),
        cmocka_unit_test_setup(bad_parameters_are_named, make_models),
        cmocka_unit_test(a_model_says_what_is_known),
        cmocka_unit_test(times_follow_the_calendar),
        cmocka_unit_test(the_prompt_is_summed),
        cmocka_unit_test(later_counts_replace_and_are_never_added),
        cmocka_unit_test(a_split_stands_for_a_missing_total),
    };

    return cmocka_run_group_tests_name("wire_anthropic", tests, NULL, NULL);
}
