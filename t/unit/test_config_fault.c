/* Faults: how near names are to each other, and texts that are made fit to be shown. */

#include "config_fault.c"

#include "config_check.h"

static void distances(void **state)
{
    static const struct {
        const char *a;
        const char *b;
        unsigned far;
    } cases[] = {
        {"", "", 0},
        {"", "abc", 3},
        {"abc", "abc", 0},
        {"abc", "ABC", 0},
        {"abc", "abd", 1},
        {"abc", "ab", 1},
        {"abc", "abcd", 1},
        {"abc", "xabc", 1},
        {"ab", "ba", 1},
        {"abc", "bac", 1},
        {"abc", "acb", 1},
        {"abc", "cab", 2},
        {"abc", "cba", 2},
        {"abcd", "badc", 2},
        {"ab", "cd", 2},
        {"ab", "bc", 2},
        {"aab", "bba", 2},
        {"abb", "caa", 3},
        {"base_ulr", "base_url", 1},
        {"kitten", "sitting", 3},
        {"a[c", "a{c", 1}, /* only letters have a case */
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        relay_span_t a = check_text(cases[i].a), b = check_text(cases[i].b);
        if (distance(a, b) != cases[i].far || distance(b, a) != cases[i].far) {
            print_error("%s, %s: %u\n", cases[i].a, cases[i].b, distance(a, b));
            fail();
        }
    }
}

static void nearest_names(void **state)
{
    static const relay_span_t names[] = {
        RELAY_SPAN_INIT("key"),
        RELAY_SPAN_INIT("keys"),
        RELAY_SPAN_INIT("connect_ms"),
        RELAY_SPAN_INIT("x"),
    };
    relay_config_names_t all = {names, 4, sizeof(names[0])};

    (void)state;
    check_span(nearest(check_text("kye"), all), "key");
    check_span(nearest(check_text("keyz"), all), "key"); /* the first of equals */
    check_span(nearest(check_text("keyss"), all), "key");
    check_span(nearest(check_text("connect"), all), "connect_ms");
    check_span(nearest(check_text("connect_ms_"), all), "connect_ms");
    check_span(nearest(check_text("conect_m"), all), "connect_ms");
    check_span(nearest(check_text("cnct_m"), all), "");
    check_span(nearest(check_text("y"), all), ""); /* all of x would have to change */
    check_span(nearest(check_text("zzz"), all), "");
    check_span(nearest(check_text(""), all), "");
}

static void quotes(void **state)
{
    char quoted[RELAY_CONFIG_QUOTE_MAX], longest[65] = {0};

    (void)state;
    assert_string_equal(relay_config_quote(check_text("a b"), quoted), "\"a b\"");
    assert_string_equal(relay_config_quote(check_text(""), quoted), "\"\"");
    assert_string_equal(relay_config_quote(relay_span("\0\x1f\x7f!", 4), quoted), "\"??\?!\"");
    memset(longest, 'n', 64);
    relay_config_quote(check_text(longest), quoted);
    assert_int_equal(strlen(quoted), 66);
    relay_config_quote(relay_span("nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn"
                                  "\xc3\xa9",
                                  65),
                       quoted);
    assert_int_equal(strlen(quoted), 63 + 5); /* cut before the character */
    assert_string_equal(quoted + 64, "...\"");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(distances),
        cmocka_unit_test(nearest_names),
        cmocka_unit_test(quotes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
