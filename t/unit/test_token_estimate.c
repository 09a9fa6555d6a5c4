/*
 * Estimates of tokens: text, other scripts, escapes, media.
 */

#include "token_estimate.c"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static uint64_t estimate(const char *json)
{
    return relay_token_estimate(relay_span(json, strlen(json)));
}

static void text_is_counted(void **state)
{
    (void)state;
    assert_int_equal(estimate("{}"), 1);
    assert_int_equal(estimate("{\"text\":\"abcdefgh\"}"), 1 + 2);
    assert_int_equal(estimate("{\"text\":\"abcdefghi\"}"), 1 + 3);
    assert_int_equal(estimate("[1, 2, true, null]"), 1);
    assert_int_equal(estimate("[\"\xe4\xbd\xa0\xe5\xa5\xbd\"]"), 2);
    assert_int_equal(estimate("[\"a\\\"b\\\\c\"]"), 2); /* five characters */
}

static void media_has_a_size_of_its_own(void **state)
{
    char json[200000] = "[\"";

    (void)state;
    memset(json + 2, 'A', sizeof(json) - 5);
    memcpy(json + sizeof(json) - 3, "\"]", 3);
    assert_int_equal(estimate(json), MEDIA_TOKENS);
    json[100] = ' '; /* text, however long */
    assert_int_equal(estimate(json), (sizeof(json) - 5 + 3) / 4);
}

static void cut_text_is_read_no_further(void **state)
{
    (void)state;
    assert_int_equal(estimate("[\"abc\\"), 1);
    assert_int_equal(estimate("[\"abcdefgh\",\"abc"), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_is_counted),
        cmocka_unit_test(media_has_a_size_of_its_own),
        cmocka_unit_test(cut_text_is_read_no_further),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
