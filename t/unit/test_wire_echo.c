/* The echo model's text and its counts, whatever the format around them. */

#include "wire_echo.c"

#include "wire_check.h"

static relay_span_t count(relay_echo_writer_t *writer, const char *body, uint8_t bytes[256])
{
    relay_echo_t echo = {.body = check_text(body)};
    relay_usage_t usage = {.known = true, .input_tokens = 7};
    relay_buf_t out = relay_buf(bytes, 256);

    writer(&out, &echo, &usage);
    assert_true(relay_buf_ok(&out));
    /* nothing was generated: nothing is to be metered */
    check_usage(&usage, &(relay_usage_t){.known = false});
    return relay_buf_span(&out);
}

/* Both ways of asking say what the usage of the answer would. */
static void counts_agree_with_usage(void **state)
{
    static const struct {
        const char *body;
        unsigned tokens;
    } cases[] = {
        {"{\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"}],\"input\":\"x\"}", 8},
        {"{\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"}],\"tools\":[]}", 8},
        {"{\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"}],\"system\":\"Be brief.\"}", 11},
        {"{\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"}],\"system\":null}", 8},
        {"{\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"}],\"tools\":[{\"name\":\"f\"}]}",
         12},
        {"{\"messages\":[]}", 1},
        {"{}", 1},
    };
    uint8_t bytes[256];
    char expected[64];

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        relay_echo_text_t text;
        relay_usage_t usage;

        snprintf(expected, sizeof(expected), "{\"input_tokens\":%u}", cases[i].tokens);
        check_span(count(relay_echo_count_messages, cases[i].body, bytes), expected);
        relay_echo_open(&text, check_text(cases[i].body), RELAY_SPAN("messages"), &usage);
        assert_int_equal(usage.input_tokens, cases[i].tokens);
        assert_true(usage.known);
    }
    check_span(
        count(relay_echo_count_input, "{\"input\":\"Hello, you\",\"instructions\":\"Hm\"}", bytes),
        "{\"object\":\"response.input_tokens\",\"input_tokens\":4}");
}

static size_t choices_of(const char *body, relay_usage_t *usage, relay_echo_text_t *text)
{
    return relay_echo_open_choices(text, check_text(body), RELAY_SPAN("messages"), RELAY_SPAN("n"),
                                   usage);
}

static void choices_are_counted_and_paid(void **state)
{
    static const struct {
        const char *body;
        size_t choices;
    } cases[] = {
        {"{\"messages\":\"12345678\"}", 1},
        {"{\"messages\":\"12345678\",\"n\":1}", 1},
        {"{\"messages\":\"12345678\",\"n\":3}", 3},
        {"{\"messages\":\"12345678\",\"n\":128}", 128},
        {"{\"messages\":\"12345678\",\"n\":129}", 128},
        {"{\"messages\":\"12345678\",\"n\":9223372036854775807}", 128},
        {"{\"messages\":\"12345678\",\"n\":0}", 1},
        {"{\"messages\":\"12345678\",\"n\":-2}", 1},
        {"{\"messages\":\"12345678\",\"n\":null}", 1},
        {"{\"messages\":\"12345678\",\"n\":\"3\"}", 1},
    };
    relay_echo_text_t text;
    relay_usage_t usage;

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(choices_of(cases[i].body, &usage, &text), cases[i].choices);
        assert_int_equal(usage.input_tokens, 3);
        assert_int_equal(usage.output_tokens, 2 * cases[i].choices);
    }
}

/* However many choices are asked for, all of them together stay bounded. */
static void many_choices_share_the_maximum(void **state)
{
    enum { LONG = RELAY_ECHO_TEXT_MAX + 1000 };
    static char body[LONG + 64];
    relay_echo_text_t text;
    relay_usage_t usage;

    (void)state;
    for (size_t choices = 1; choices <= RELAY_ECHO_CHOICES_MAX; choices *= 2) {
        int head = snprintf(body, sizeof(body), "{\"n\":%zu,\"messages\":\"", choices);
        memset(body + head, 'x', LONG);
        memcpy(body + head + LONG, "\"}", 3);
        assert_int_equal(choices_of(body, &usage, &text), choices);
        assert_true(text.cut);
        assert_int_equal(text.length, RELAY_ECHO_TEXT_MAX / choices);
        assert_int_equal(usage.output_tokens, RELAY_ECHO_TEXT_MAX / 4);
    }
}

/* The end rewinds, so that every choice says all of it. */
static void a_text_can_be_said_again(void **state)
{
    relay_echo_text_t text;
    relay_usage_t usage;
    uint8_t bytes[256];

    (void)state;
    choices_of("{\"n\":2,\"messages\":[{\"role\":\"user\",\"content\":"
               "[{\"type\":\"text\",\"text\":\"one \"},{\"type\":\"text\",\"text\":\"two\"}]}]}",
               &usage, &text);
    for (int i = 0; i < 3; i++) {
        relay_buf_t out = relay_buf(bytes, sizeof(bytes));
        relay_echo_put(&text, &out);
        check_span(relay_buf_span(&out), "\"one two\"");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts_agree_with_usage),
        cmocka_unit_test(choices_are_counted_and_paid),
        cmocka_unit_test(many_choices_share_the_maximum),
        cmocka_unit_test(a_text_can_be_said_again),
    };

    return cmocka_run_group_tests_name("wire_echo", tests, NULL, NULL);
}
