/* Problems: the first one stands, texts are always showable, pointers are whole. */

#include "problem.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

static void first_stands(void **state)
{
    problem_t problem = {.code = PROBLEM_NONE};

    (void)state;
    assert_false(problem_set(&problem, PROBLEM_NOT_FOUND, "no %s", "pool"));
    problem_set(&problem, PROBLEM_INTERNAL, "later");
    assert_int_equal(problem.code, PROBLEM_NOT_FOUND);
    assert_string_equal(problem.detail, "no pool");
    problem_fault(&problem, "/a", "later");
    assert_int_equal(problem.nfaults, 0);
}

static void statuses(void **state)
{
    static const struct {
        problem_code_t code;
        unsigned status;
        const char *name;
    } wanted[] = {{PROBLEM_INVALID_JSON, 400, "invalid_json"},
                  {PROBLEM_UNAUTHENTICATED, 401, "unauthenticated"},
                  {PROBLEM_IN_USE, 409, "in_use"},
                  {PROBLEM_STALE, 412, "stale"},
                  {PROBLEM_INVALID_DOCUMENT, 422, "invalid_document"},
                  {PROBLEM_PRECONDITION_REQUIRED, 428, "precondition_required"},
                  {PROBLEM_NOT_APPLIED, 504, "not_applied"}};

    (void)state;
    for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++) {
        assert_int_equal(problem_status(wanted[i].code), wanted[i].status);
        assert_string_equal(problem_name(wanted[i].code), wanted[i].name);
    }
    for (size_t code = 0; code <= PROBLEM_NOT_APPLIED; code++)
        assert_non_null(problem_name((problem_code_t)code));
}

static void shown(void **state)
{
    problem_t problem = {.code = PROBLEM_NONE};

    (void)state;
    problem_fault(&problem, "/name", "is missing");
    json_t *json = problem_json(&problem);
    assert_string_equal(json_string_value(json_object_get(json, "type")), "about:blank");
    assert_int_equal(json_integer_value(json_object_get(json, "status")), 422);
    assert_string_equal(json_string_value(json_object_get(json, "detail")),
                        "The document has a fault: /name: is missing.");
    json_t *fault = json_array_get(json_object_get(json, "faults"), 0);
    assert_string_equal(json_string_value(json_object_get(fault, "pointer")), "/name");
    json_decref(json);
}

static void odd_texts(void **state)
{
    problem_t problem = {.code = PROBLEM_NONE};
    char text[1000];

    (void)state;
    memset(text, 'x', sizeof(text) - 1);
    memcpy(text + 510, "\xe2\x82\xac", 3); /* cut within a character */
    memcpy(text, "\xff\x01\n", 3);
    text[sizeof(text) - 1] = '\0';
    problem_set(&problem, PROBLEM_INTERNAL, "%s", text);
    assert_int_equal(strncmp(problem.detail, "???xxx", 6), 0);
    assert_int_equal(strlen(problem.detail), 511);
    assert_int_equal(problem.detail[510], '?');
    json_t *json = problem_json(&problem);
    assert_non_null(json);
    json_decref(json);
}

static void long_pointers(void **state)
{
    problem_t problem = {.code = PROBLEM_NONE};
    char pointer[600] = "/members/";

    (void)state;
    memset(pointer + 9, 'x', 500);
    problem_fault(&problem, pointer, "bad");
    assert_string_equal(problem.faults[0].pointer, "/members");
}

static void many_faults(void **state)
{
    problem_t problem = {.code = PROBLEM_NONE};

    (void)state;
    for (int i = 0; i < 100; i++)
        problem_fault(&problem, "/a", "bad");
    assert_int_equal(problem.nfaults, PROBLEM_FAULTS_MAX);
    json_t *json = problem_json(&problem);
    assert_string_equal(json_string_value(json_object_get(json, "detail")),
                        "The document has faults; the first 20 are listed.");
    json_decref(json);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(first_stands),  cmocka_unit_test(statuses),
        cmocka_unit_test(shown),         cmocka_unit_test(odd_texts),
        cmocka_unit_test(long_pointers), cmocka_unit_test(many_faults),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
