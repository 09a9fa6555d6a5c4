/* Embeddings: usage and errors of whole answers, and the echo model's vectors. */

#include "wire_openai_embeddings.c"

#include "wire_check.h"

static const relay_wire_t *const wire = &relay_wire_openai_embeddings;

static relay_answer_t answer_of(const char *body)
{
    relay_answer_t answer;

    memset(&answer, 0xff, sizeof(answer));
    wire->answer(check_text(body), &answer);
    return answer;
}

static void only_the_model_changes(void **state)
{
    char *got = check_edited(wire, "{\"input\":[1,2],\"model\":\"a\"}", "b", true);

    (void)state;
    assert_string_equal(got, "{\"input\":[1,2],\"model\":\"b\"}");
    free(got);
    assert_false(wire->streams);
}

static void answers_are_read(void **state)
{
    relay_answer_t answer = answer_of("{\"object\":\"list\",\"data\":[],\"usage\":{"
                                      "\"prompt_tokens\":5,\"total_tokens\":5}}");

    (void)state;
    assert_true(answer.usage.known);
    assert_int_equal(answer.usage.input_tokens, 5);
    assert_int_equal(answer.usage.output_tokens, 0);
    assert_false(answer.is_error);
    assert_string_equal(answer.finish, "");
    answer = answer_of("{\"data\":[],\"usage\":{\"total_tokens\":6}}");
    assert_int_equal(answer.usage.input_tokens, 6);
    assert_true(answer.usage.known);
}

static void error_bodies_are_read(void **state)
{
    relay_answer_t answer =
        answer_of("{\"error\":{\"message\":\"no\",\"type\":\"invalid_request_error\"}}");

    (void)state;
    assert_true(answer.is_error);
    assert_string_equal(answer.error_type, "invalid_request_error");
    assert_true(answer_of("{\"message\":\"Unauthorized\"}").is_error);
    assert_true(answer_of("{\"object\":\"error\",\"message\":\"x\",\"data\":[]}").is_error);
    assert_false(answer_of("oops").is_error);
    assert_false(answer_of("{\"data\":[]}").usage.known);
}

static void there_are_no_streams(void **state)
{
    char bytes[512];
    relay_buf_t out = relay_buf(bytes, sizeof(bytes));
    relay_stream_t stream = {.wire = wire};
    relay_error_t error = {.code = RELAY_ERR_UPSTREAM_CUT};

    (void)state;
    assert_int_equal(check_data(&stream, "", "{\"data\":[]}").class, RELAY_EVENT_IDLE);
    assert_false(wire->close(&stream, &out));
    wire->error_event(&stream, &out, &error, RELAY_SPAN("r"));
    assert_true(check_has(relay_buf_span(&out), "data: {\"error\":{"));
}

/* ---- echo ---------------------------------------------------------------- */

static char *echoed(const char *body)
{
    relay_usage_t usage;
    size_t len;
    char *text = check_echo(wire, body, false, false, &len, &usage);
    relay_answer_t answer = answer_of(text);

    check_json(check_text(text));
    check_usage(&answer.usage, &usage);
    assert_true(usage.input_tokens > 0);
    return text;
}

static size_t count(const char *text, const char *what)
{
    size_t times = 0;

    while ((text = strstr(text, what)) != NULL) {
        text++;
        times++;
    }
    return times;
}

static void each_input_has_its_vector(void **state)
{
    static const struct {
        const char *body;
        size_t vectors;
    } cases[] = {
        {"{\"input\":\"one\"}", 1},
        {"{\"input\":[\"one\",\"two\",\"one\"]}", 3},
        {"{\"input\":[15339,1917]}", 1},
        {"{\"input\":[[1,2],[3],[]]}", 3},
        {"{\"input\":[\"a\",7,[8]]}", 3},
        {"{\"input\":[]}", 0},
        {"{}", 1},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char *text = echoed(cases[i].body);
        assert_int_equal(count(text, "\"object\":\"embedding\""), cases[i].vectors);
        free(text);
    }
}

/* The component at `at`, advancing it past the comma. */
static float next_float(const char **at)
{
    char *end;
    float value = strtof(*at, &end);

    assert_ptr_not_equal(*at, end);
    *at = end + 1;
    return value;
}

static void vectors_are_stable_and_differ(void **state)
{
    char *text = echoed("{\"input\":[\"one\",\"two\",\"one\"]}");
    const char *first = strstr(text, "\"embedding\":[") + 13;
    const char *second = strstr(first, "\"embedding\":[") + 13;
    const char *third = strstr(second, "\"embedding\":[") + 13;
    size_t length = (size_t)(strchr(first, ']') - first);

    (void)state;
    assert_memory_equal(first, third, length);
    assert_memory_not_equal(first, second, length);
    assert_non_null(strstr(text, "\"index\":2"));
    for (int i = 0; i < 8; i++) {
        float value = next_float(&first);
        assert_true(value >= -1.0f && value <= 1.0f);
    }
    assert_int_equal(first[-1], ']');
    free(text);
}

static uint32_t sextet(char digit)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *at = strchr(digits, digit);

    assert_true(at != NULL && digit != '\0');
    return (uint32_t)(at - digits);
}

/* 44 digits are 32 bytes and one byte of padding. */
static void unpack(const char *text, uint8_t bytes[33])
{
    for (size_t i = 0; i < 11; i++) {
        uint32_t group = 0;
        for (size_t k = 0; k < 4; k++) {
            group = group << 6 | (text[4 * i + k] == '=' ? 0 : sextet(text[4 * i + k]));
        }
        bytes[3 * i] = (uint8_t)(group >> 16);
        bytes[3 * i + 1] = (uint8_t)(group >> 8);
        bytes[3 * i + 2] = (uint8_t)group;
    }
}

static void base64_holds_the_same_vector(void **state)
{
    char *plain = echoed("{\"input\":\"one\",\"encoding_format\":\"float\"}");
    char *packed = echoed("{\"input\":\"one\",\"encoding_format\":\"base64\"}");
    const char *floats = strstr(plain, "\"embedding\":[") + 13;
    const char *text = strstr(packed, "\"embedding\":\"") + 13;
    uint8_t bytes[33];

    (void)state;
    assert_int_equal(strchr(text, '"') - text, 44);
    assert_int_equal(text[43], '=');
    unpack(text, bytes);
    for (size_t i = 0; i < 8; i++) {
        uint32_t bits = (uint32_t)bytes[4 * i] | (uint32_t)bytes[4 * i + 1] << 8 |
                        (uint32_t)bytes[4 * i + 2] << 16 | (uint32_t)bytes[4 * i + 3] << 24;
        float value;
        memcpy(&value, &bits, sizeof(value));
        assert_true(value == next_float(&floats));
    }
    free(plain);
    free(packed);
}

static void fractions_are_exact(void **state)
{
    static const struct {
        int value;
        const char *want;
    } cases[] = {{0, "0.0000000000"},   {1024, "1.0000000000"}, {-1024, "-1.0000000000"},
                 {1, "0.0009765625"},   {-1, "-0.0009765625"},  {512, "0.5000000000"},
                 {1023, "0.9990234375"}};
    char bytes[16];

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        relay_buf_t out = relay_buf(bytes, sizeof(bytes));
        put_fraction(&out, cases[i].value);
        check_span(relay_buf_span(&out), cases[i].want);
    }
}

static void inputs_have_a_bound(void **state)
{
    char *body = malloc(3 * 5000 + 64), *text;
    size_t at = 10;

    (void)state;
    assert_non_null(body);
    memcpy(body, "{\"input\":[", 10);
    for (size_t i = 0; i < 5000; i++, at += 3) {
        memcpy(body + at, "\"\",", 3);
    }
    memcpy(body + at - 1, "]}", 3);
    text = echoed(body);
    assert_int_equal(count(text, "\"object\":\"embedding\""), 2048);
    free(text);
    free(body);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_the_model_changes),
        cmocka_unit_test(answers_are_read),
        cmocka_unit_test(error_bodies_are_read),
        cmocka_unit_test(there_are_no_streams),
        cmocka_unit_test(each_input_has_its_vector),
        cmocka_unit_test(vectors_are_stable_and_differ),
        cmocka_unit_test(base64_holds_the_same_vector),
        cmocka_unit_test(fractions_are_exact),
        cmocka_unit_test(inputs_have_a_bound),
    };

    return cmocka_run_group_tests_name("wire_openai_embeddings", tests, NULL, NULL);
}
