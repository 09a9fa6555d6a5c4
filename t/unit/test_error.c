/* The table of our own errors: every code has a row, and the rows that callers depend on. */

#include "error.c"

#include <ctype.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void assert_span(relay_span_t span, const char *expected)
{
    assert_true(relay_span_eq(span, relay_span(expected, strlen(expected))));
}

static bool is_snake_case(relay_span_t name)
{
    for (size_t i = 0; i < name.len; i++) {
        if (!islower(name.base[i]) && name.base[i] != '_') {
            return false;
        }
    }
    return name.len != 0 && name.base[0] != '_' && name.base[name.len - 1] != '_';
}

static void every_code_has_a_row(void **state)
{
    (void)state;
    for (int code = RELAY_ERR_NONE + 1; code < RELAY_ERR_COUNT; code++) {
        relay_span_t sentence = relay_error_sentence((relay_error_code_t)code);
        assert_true(is_snake_case(relay_error_name((relay_error_code_t)code)));
        assert_true(sentence.len > 10);
        assert_int_equal(sentence.base[sentence.len - 1], '.');
        assert_true(isupper(sentence.base[0]));
        for (int other = RELAY_ERR_NONE; other < code; other++) {
            assert_false(relay_span_eq(relay_error_name((relay_error_code_t)code),
                                       relay_error_name((relay_error_code_t)other)));
        }
    }
}

static void classes_are_as_agreed(void **state)
{
    static const struct {
        relay_error_code_t code;
        const char *name;
        unsigned status;
    } rows_expected[] = {
        {RELAY_ERR_INVALID_RELAY_KEY, "invalid_relay_key", 401},
        {RELAY_ERR_INVALID_REQUEST, "invalid_request", 400},
        {RELAY_ERR_INVALID_JSON, "invalid_json", 400},
        {RELAY_ERR_INVALID_FIELD, "invalid_field", 400},
        {RELAY_ERR_MISSING_FIELD, "missing_field", 400},
        {RELAY_ERR_DUPLICATE_FIELD, "duplicate_field", 400},
        {RELAY_ERR_CONTENT_TYPE, "content_type", 415},
        {RELAY_ERR_CONTENT_ENCODING, "content_encoding", 415},
        {RELAY_ERR_BODY_TOO_LARGE, "body_too_large", 413},
        {RELAY_ERR_BODY_TIMEOUT, "body_timeout", 408},
        {RELAY_ERR_MODEL_NOT_FOUND, "model_not_found", 404},
        {RELAY_ERR_MODEL_NOT_ALLOWED, "model_not_allowed", 403},
        {RELAY_ERR_FORMAT_UNAVAILABLE, "format_unavailable", 400},
        {RELAY_ERR_NO_PROVIDER_KEY, "no_provider_key", 503},
        {RELAY_ERR_STORE_UNAVAILABLE, "store_unavailable", 503},
        {RELAY_ERR_PATH_NOT_FOUND, "path_not_found", 404},
        {RELAY_ERR_METHOD_NOT_ALLOWED, "method_not_allowed", 405},
        {RELAY_ERR_UPGRADE_REQUIRED, "upgrade_required", 426},
        {RELAY_ERR_UPSTREAM_UNREACHABLE, "upstream_unreachable", 502},
        {RELAY_ERR_UPSTREAM_TIMEOUT, "upstream_timeout", 504},
        {RELAY_ERR_UPSTREAM_INVALID, "upstream_invalid", 502},
        {RELAY_ERR_UPSTREAM_STATUS, "upstream_status", 502},
        {RELAY_ERR_UPSTREAM_KEY, "upstream_key", 502},
        {RELAY_ERR_UPSTREAM_CUT, "upstream_cut", 502},
        {RELAY_ERR_UPSTREAM_ERROR, "upstream_error", 502},
        {RELAY_ERR_CONTEXT_LENGTH, "context_length_exceeded", 400},
        {RELAY_ERR_UPSTREAM_BILLING, "upstream_billing", 429},
        {RELAY_ERR_UPSTREAM_OVERLOADED, "upstream_overloaded", 503},
        {RELAY_ERR_SHUTTING_DOWN, "shutting_down", 503},
        {RELAY_ERR_INTERNAL, "internal_error", 500},
    };
    const size_t count = sizeof(rows_expected) / sizeof(rows_expected[0]);

    (void)state;
    assert_int_equal(count, RELAY_ERR_COUNT - 1);
    for (size_t i = 0; i < count; i++) {
        assert_span(relay_error_name(rows_expected[i].code), rows_expected[i].name);
        assert_int_equal(relay_error_class_status(relay_error_class(rows_expected[i].code)),
                         rows_expected[i].status);
    }
}

static void a_refused_key_is_told_one_sentence(void **state)
{
    (void)state;
    assert_span(relay_error_sentence(RELAY_ERR_INVALID_RELAY_KEY), "Invalid relay key.");
}

static void rate_limit_is_429(void **state)
{
    (void)state;
    assert_int_equal(relay_error_class_status(RELAY_CLASS_RATE_LIMIT), 429);
    assert_int_equal(relay_error_class_status((relay_error_class_t)99), 500);
}

static void none_is_silent_and_unknown_codes_are_internal(void **state)
{
    (void)state;
    assert_int_equal(relay_error_name(RELAY_ERR_NONE).len, 0);
    assert_int_equal(relay_error_sentence(RELAY_ERR_NONE).len, 0);
    assert_span(relay_error_name(RELAY_ERR_COUNT), "internal_error");
    assert_span(relay_error_name((relay_error_code_t)-1), "internal_error");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_code_has_a_row),
        cmocka_unit_test(classes_are_as_agreed),
        cmocka_unit_test(a_refused_key_is_told_one_sentence),
        cmocka_unit_test(rate_limit_is_429),
        cmocka_unit_test(none_is_silent_and_unknown_codes_are_internal),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
