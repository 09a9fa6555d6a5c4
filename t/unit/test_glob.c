/* Globs: against cases by hand and against the obvious recursive matcher. */

#include "glob.c"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static bool match(const char *glob, const char *text)
{
    return relay_glob_match(relay_span(glob, strlen(glob)), relay_span(text, strlen(text)));
}

static void cases(void **state)
{
    (void)state;
    assert_true(match("*", ""));
    assert_true(match("*", "anything/at all@any"));
    assert_true(match("", ""));
    assert_false(match("", "a"));
    assert_true(match("gpt-*", "gpt-"));
    assert_true(match("gpt-*", "gpt-5"));
    assert_false(match("gpt-*", "gpt"));
    assert_false(match("gpt-*", "xgpt-5"));
    assert_false(match("gpt-*", "GPT-5"));
    assert_true(match("*@host", "vendor/model@host"));
    assert_false(match("*@host", "vendor/model@hosts"));
    assert_true(match("a*c", "abcabc"));
    assert_false(match("a*c", "abcab"));
    assert_true(match("?", "x"));
    assert_false(match("?", ""));
    assert_false(match("?", "xy"));
    assert_true(match("o?-*", "o3-mini"));
    assert_true(match("**", "a"));
    assert_true(match("*?*", "a"));
    assert_false(match("*?*", ""));
    assert_true(match("[a]\\{}.", "[a]\\{}."));
    assert_false(match("[ab]", "a"));
}

/* Every glob and text of up to 5 characters over a small alphabet. */
static bool obvious(const char *glob, const char *text)
{
    if (*glob == '\0') {
        return *text == '\0';
    }
    if (*glob == '*') {
        return obvious(glob + 1, text) || (*text != '\0' && obvious(glob, text + 1));
    }
    return *text != '\0' && (*glob == '?' || *glob == *text) && obvious(glob + 1, text + 1);
}

static void spell(char out[8], unsigned number, const char *alphabet)
{
    unsigned base = (unsigned)strlen(alphabet) + 1;

    for (; number != 0; number /= base) {
        if (number % base != 0) {
            *out++ = alphabet[number % base - 1];
        }
    }
    *out = '\0';
}

static void agrees_with_the_obvious(void **state)
{
    char glob[8], text[8];
    unsigned matched = 0;

    (void)state;
    for (unsigned i = 0; i < 3125; i++) {
        spell(glob, i, "*?ab");
        for (unsigned j = 0; j < 243; j++) {
            spell(text, j, "ab");
            assert_int_equal(match(glob, text), obvious(glob, text));
            matched += match(glob, text);
        }
    }
    assert_true(matched > 1000);
}

/* Exponential matchers would not come back from this. */
static void many_stars_are_quick(void **state)
{
    char glob[256], text[257];

    (void)state;
    for (size_t i = 0; i < sizeof(glob); i++) {
        glob[i] = i % 2 == 0 ? '*' : 'a';
    }
    memset(text, 'a', sizeof(text));
    text[256] = 'b';
    assert_false(relay_glob_match(relay_span(glob, 256), relay_span(text, 257)));
    assert_true(relay_glob_match(relay_span(glob, 256), relay_span(text, 256)));
}

static void lists(void **state)
{
    relay_span_t items[] = {RELAY_SPAN("a*"), RELAY_SPAN("b")};
    relay_globs_t two = {items, 2}, none = {NULL, 0};

    (void)state;
    assert_true(relay_globs_match(&two, RELAY_SPAN("abc")));
    assert_true(relay_globs_match(&two, RELAY_SPAN("b")));
    assert_false(relay_globs_match(&two, RELAY_SPAN("c")));
    assert_false(relay_globs_match(&none, RELAY_SPAN("a")));
    assert_false(relay_globs_match(&two, relay_span(NULL, 0)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cases),
        cmocka_unit_test(agrees_with_the_obvious),
        cmocka_unit_test(many_stars_are_quick),
        cmocka_unit_test(lists),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
