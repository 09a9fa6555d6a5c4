/* Bodies: what is JSON, strictly, and words that quote nothing. */

#include "json_body.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void good(const char *text)
{
    problem_t problem = {.code = PROBLEM_NONE};
    json_t *json = json_body_read(text, strlen(text), &problem);

    assert_non_null(json);
    assert_int_equal(problem.code, PROBLEM_NONE);
    json_decref(json);
}

static void bad_bytes(const char *text, size_t len, const char *words)
{
    problem_t problem = {.code = PROBLEM_NONE};

    assert_null(json_body_read(text, len, &problem));
    assert_int_equal(problem.code, PROBLEM_INVALID_JSON);
    if (strstr(problem.detail, words) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", problem.detail, words);
}

static void bad(const char *text, const char *words)
{
    bad_bytes(text, strlen(text), words);
}

static void documents(void **state)
{
    (void)state;
    good("{}");
    good(" [1, -2.5e3, \"\\u20ac\", null, true] ");
    good("\"{[{[\"");
    bad("", "ends too early");
    bad("{\"a\": ", "ends too early");
    bad("{}x", "something after");
    bad("{\"a\": 1, \"a\": 2}", "column 12: an object has this member twice");
    bad("{\n\"a\": secret}", "line 2");
    bad("{'a': 1}", "not JSON");
    bad("NaN", "not JSON");
    bad("01", "not JSON");
    bad("\"\xff\"", "not UTF-8");
    bad("\"\\u0000\"", "NUL");
    bad("{\"\\u0000\": 1}", "NUL");
    bad("99999999999999999999", "out of range");
    bad("1e999", "out of range");
    bad_bytes("{}\0", 3, "");
}

static void depth(void **state)
{
    char text[400];

    (void)state;
    memset(text, '[', 64);
    memset(text + 64, ']', 64);
    text[128] = '\0';
    good(text);
    memset(text, '[', 65);
    memset(text + 65, ']', 65);
    text[130] = '\0';
    bad(text, "64 levels");
    good("[\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\\\"[\"]");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(documents), cmocka_unit_test(depth)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
