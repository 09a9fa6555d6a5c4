/* What Relay reads of a request body, and the bodies that it refuses. */

#include "envelope.c"

#include "wire_check.h"

static uint8_t scratch_bytes[RELAY_ENVELOPE_SCRATCH];
static relay_envelope_t envelope;
static relay_error_t error;

static relay_error_code_t read_span(relay_span_t body)
{
    relay_buf_t scratch = relay_buf(scratch_bytes, sizeof(scratch_bytes));
    relay_error_code_t code;

    memset(&error, 0, sizeof(error));
    code = relay_envelope_read(body, &envelope, &scratch, &error);
    assert_true(relay_buf_ok(&scratch));
    assert_int_equal(code, error.code);
    return code;
}

static relay_error_code_t read_body(const char *body)
{
    return read_span(check_text(body));
}

static void members_come_out_as_written(void **state)
{
    (void)state;
    assert_int_equal(
        read_body(
            " {\"messages\":[{\"model\":\"inner\"}], \"model\" : \"fable-3\", \"stream\":true,"
            "\"stream_options\":{\"include_usage\":false},\"max_tokens\":1,"
            "\"max_completion_tokens\":2,\"max_output_tokens\":3.50}\n"),
        RELAY_ERR_NONE);
    check_span(envelope.model_name, "fable-3");
    check_span(envelope.model.text, "\"fable-3\"");
    check_span(envelope.stream_options.text, "{\"include_usage\":false}");
    check_span(envelope.max_tokens.text, "1");
    check_span(envelope.max_completion_tokens.text, "2");
    check_span(envelope.max_output_tokens.text, "3.50");
    assert_true(envelope.streaming);
}

static void streaming_is_only_true(void **state)
{
    static const char *const bodies[] = {"{\"model\":\"m\"}", "{\"model\":\"m\",\"stream\":null}",
                                         "{\"model\":\"m\",\"stream\":false}"};

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(read_body(bodies[i]), RELAY_ERR_NONE);
        assert_false(envelope.streaming);
    }
}

static void an_escaped_model_is_decoded(void **state)
{
    (void)state;
    assert_int_equal(read_body("{\"model\":\"org\\/fable\\u002d3 \\ud83c\\udf0d\"}"),
                     RELAY_ERR_NONE);
    check_span(envelope.model_name, "org/fable-3 \xf0\x9f\x8c\x8d");
    assert_ptr_equal(envelope.model_name.base, scratch_bytes);
}

static void broken_json_names_the_byte(void **state)
{
    (void)state;
    assert_int_equal(read_body("{\"model\":\"m\",}"), RELAY_ERR_INVALID_JSON);
    check_span(error.message, "The request body is not valid JSON: invalid JSON at byte 13.");
    assert_int_equal(error.param.len, 0);
    assert_int_equal(read_body(""), RELAY_ERR_INVALID_JSON);
    assert_int_equal(read_body("{\"model\":\"m\""), RELAY_ERR_INVALID_JSON);
    assert_true(check_has(error.message, "at byte 12."));
    assert_int_equal(read_body("[\"model\"]"), RELAY_ERR_INVALID_JSON);
    assert_int_equal(read_body("{\"model\":\"m\",\"x\":\"\xff\"}"), RELAY_ERR_INVALID_JSON);
    assert_true(check_has(error.message, "UTF-8 at byte 18."));
    assert_int_equal(read_span(RELAY_SPAN("{\"model\":\"m\0\"}")), RELAY_ERR_INVALID_JSON);
}

static void a_key_is_read_once_and_plainly(void **state)
{
    (void)state;
    assert_int_equal(read_body("{\"model\":\"a\",\"stream\":true,\"model\":\"b\"}"),
                     RELAY_ERR_DUPLICATE_FIELD);
    check_span(error.param, "model");
    check_span(error.message, "The field 'model' occurs a second time at byte 27.");
    assert_int_equal(read_body("{\"model\":\"a\",\"str\\u0065am\":true}"), RELAY_ERR_INVALID_FIELD);
    check_span(error.param, "stream");
    assert_true(check_has(error.message, "spelt with an escape at byte 13."));
    /* other keys are the provider's business */
    assert_int_equal(read_body("{\"model\":\"a\",\"n\":1,\"n\":2,\"\\u006e\":3}"), RELAY_ERR_NONE);
}

static void a_model_must_be_usable(void **state)
{
    static const char *const refused[] = {
        "{\"model\":null}",          "{\"model\":7}",
        "{\"model\":[\"m\"]}",       "{\"model\":{}}",
        "{\"model\":\"\"}",          "{\"model\":\"a\\r\\nx: y\"}",
        "{\"model\":\"a\\u0000b\"}", "{\"model\":\"\x7f\"}",
        "{\"model\":\"a\xc2\x85\"}", "{\"model\":\"\\u009f\"}",
        "{\"model\":\"tab\\t\"}"};

    (void)state;
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        assert_int_equal(read_body(refused[i]), RELAY_ERR_INVALID_FIELD);
        check_span(error.param, "model");
        assert_true(error.message.len > 0);
    }
    assert_int_equal(read_body("{\"stream\":true}"), RELAY_ERR_MISSING_FIELD);
    check_span(error.param, "model");
}

/* letter repeated, between quotes, as the model */
static relay_error_code_t read_long(const char *unit, size_t count)
{
    char body[8192] = "{\"model\":\"";

    for (size_t i = 0, at = strlen(body); i < count; i++, at += strlen(unit)) {
        memcpy(body + at, unit, strlen(unit));
    }
    memcpy(body + strlen(body), "\"}", 3);
    return read_body(body);
}

static void a_model_name_has_a_bound(void **state)
{
    (void)state;
    assert_int_equal(read_long("m", 256), RELAY_ERR_NONE);
    assert_int_equal(read_long("m", 257), RELAY_ERR_INVALID_FIELD);
    assert_int_equal(read_long("\\u006d", 256), RELAY_ERR_NONE);
    assert_int_equal(envelope.model_name.len, 256);
    assert_int_equal(read_long("\\u006d", 257), RELAY_ERR_INVALID_FIELD);
    assert_int_equal(read_long("\\u006d", 1000), RELAY_ERR_INVALID_FIELD);
    check_span(error.param, "model");
}

static void stream_must_be_a_boolean(void **state)
{
    static const char *const refused[] = {
        "{\"model\":\"m\",\"stream\":1}", "{\"model\":\"m\",\"stream\":\"true\"}",
        "{\"model\":\"m\",\"stream\":[]}", "{\"model\":\"m\",\"stream\":{}}"};

    (void)state;
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(read_body(refused[i]), RELAY_ERR_INVALID_FIELD);
        check_span(error.param, "stream");
    }
}

static void a_full_scratch_loses_words_not_bounds(void **state)
{
    uint8_t small[4];
    relay_buf_t scratch = relay_buf(small, sizeof(small)), none = relay_buf(NULL, 0);

    (void)state;
    assert_int_equal(
        relay_envelope_read(RELAY_SPAN("{\"model\":\"m\",}"), &envelope, &scratch, &error),
        RELAY_ERR_INVALID_JSON);
    check_span(error.message, "The ");
    scratch = relay_buf(small, sizeof(small));
    assert_int_equal(
        relay_envelope_read(RELAY_SPAN("{\"model\":\"\\u006dlong\"}"), &envelope, &scratch, &error),
        RELAY_ERR_INTERNAL);
    assert_int_equal(relay_envelope_read(RELAY_SPAN("{"), &envelope, &none, &error),
                     RELAY_ERR_INVALID_JSON);
    assert_int_equal(error.message.len, 0);
}

static relay_error_code_t read_path(const char *body, const char *model, bool streaming)
{
    relay_buf_t scratch = relay_buf(scratch_bytes, sizeof(scratch_bytes));
    relay_error_code_t code;

    memset(&error, 0, sizeof(error));
    code = relay_envelope_read_path(check_text(body), check_text(model), streaming, &envelope,
                                    &scratch, &error);
    assert_true(relay_buf_ok(&scratch));
    assert_int_equal(code, error.code);
    return code;
}

static void a_path_may_name_the_model(void **state)
{
    (void)state;
    assert_int_equal(read_path("{\"contents\":[]}", "org%2ffable%3A3%20\xc3\xa9", true),
                     RELAY_ERR_NONE);
    check_span(envelope.model_name, "org/fable:3 \xc3\xa9");
    assert_ptr_equal(envelope.model_name.base, scratch_bytes);
    assert_true(envelope.streaming);
    assert_int_equal(envelope.model.type, RELAY_JSON_ABSENT);
    assert_int_equal(read_path("{\"max_tokens\":5}", "a+b", false), RELAY_ERR_NONE);
    check_span(envelope.model_name, "a+b");
    check_span(envelope.max_tokens.text, "5");
    assert_false(envelope.streaming);
    assert_int_equal(read_path("{}", "{model}", false), RELAY_ERR_NONE);
    /* what the body says of either does not count, but where it stands is known */
    assert_int_equal(read_path("{\"model\":\"b\",\"stream\":\"x\"}", "a", false), RELAY_ERR_NONE);
    check_span(envelope.model_name, "a");
    check_span(envelope.model.text, "\"b\"");
    check_span(envelope.stream.text, "\"x\"");
    assert_false(envelope.streaming);
    assert_int_equal(read_path("{\"model\":7,\"stream\":true}", "a", false), RELAY_ERR_NONE);
    assert_false(envelope.streaming);
}

static void a_model_in_a_path_must_be_usable(void **state)
{
    static const char *const refused[] = {"",    "%00", "a%0Ab", "%7f",   "%c2%85", "%",
                                          "a%2", "%zz", "%ff",   "a\xff", "%c3",    "a%2g"};
    char name[3 * 257 + 1] = "";

    (void)state;
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        assert_int_equal(read_path("{}", refused[i], false), RELAY_ERR_INVALID_FIELD);
        check_span(error.param, "model");
        assert_true(error.message.len > 0);
    }
    for (size_t i = 0; i < 257; i++) {
        memcpy(name + 3 * i, "%6d", 4);
    }
    assert_int_equal(read_path("{}", name, false), RELAY_ERR_INVALID_FIELD);
    assert_int_equal(read_path("{}", name + 3, false), RELAY_ERR_NONE);
    assert_int_equal(envelope.model_name.len, 256);
    /* the body is read as any other */
    assert_int_equal(read_path("{]", "a", false), RELAY_ERR_INVALID_JSON);
    assert_int_equal(read_path("[]", "a", false), RELAY_ERR_INVALID_JSON);
    assert_int_equal(read_path("{\"model\":1,\"model\":2}", "a", false), RELAY_ERR_DUPLICATE_FIELD);
    assert_int_equal(read_path("{\"mod\\u0065l\":1}", "a", false), RELAY_ERR_INVALID_FIELD);
}

static void a_full_scratch_never_cuts_a_name(void **state)
{
    uint8_t small[4];
    relay_buf_t scratch = relay_buf(small, sizeof(small));

    (void)state;
    assert_int_equal(relay_envelope_read_path(RELAY_SPAN("{}"), RELAY_SPAN("saga-4"), false,
                                              &envelope, &scratch, &error),
                     RELAY_ERR_INTERNAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(members_come_out_as_written),
        cmocka_unit_test(streaming_is_only_true),
        cmocka_unit_test(an_escaped_model_is_decoded),
        cmocka_unit_test(broken_json_names_the_byte),
        cmocka_unit_test(a_key_is_read_once_and_plainly),
        cmocka_unit_test(a_model_must_be_usable),
        cmocka_unit_test(a_model_name_has_a_bound),
        cmocka_unit_test(stream_must_be_a_boolean),
        cmocka_unit_test(a_full_scratch_loses_words_not_bounds),
        cmocka_unit_test(a_path_may_name_the_model),
        cmocka_unit_test(a_model_in_a_path_must_be_usable),
        cmocka_unit_test(a_full_scratch_never_cuts_a_name),
    };

    return cmocka_run_group_tests_name("envelope", tests, NULL, NULL);
}
