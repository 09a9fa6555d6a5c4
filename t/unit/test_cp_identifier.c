/* Identifiers: the form of UUIDv7, their order, and their shown form both ways. */

#include "identifier.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

static void in_order(void **state)
{
    char before[37] = "", uuid[37];

    (void)state;
    for (int i = 0; i < 20000; i++) {
        assert_true(identifier_new(uuid));
        assert_int_equal(strlen(uuid), 36);
        assert_int_equal(uuid[14], '7');
        assert_non_null(strchr("89ab", uuid[19]));
        assert_true(strcmp(before, uuid) < 0);
        memcpy(before, uuid, sizeof(before));
    }
}

static void of_now(void **state)
{
    char uuid[37], hex[13];

    (void)state;
    assert_true(identifier_new(uuid));
    snprintf(hex, sizeof(hex), "%.8s%.4s", uuid, uuid + 9);
    long long difference = (long long)(strtoull(hex, NULL, 16) / 1000) - (long long)time(NULL);
    assert_true(difference > -60 && difference < 60);
}

static void shown_and_read(void **state)
{
    char uuid[37], again[37], shown[IDENTIFIER_MAX];

    (void)state;
    assert_true(identifier_new(uuid));
    identifier_show("pk", uuid, shown);
    assert_int_equal(strlen(shown), 3 + 32);
    assert_int_equal(strncmp(shown, "pk_", 3), 0);
    assert_true(identifier_parse("pk", shown, again));
    assert_string_equal(uuid, again);
}

static void others(void **state)
{
    static const char *const bad[] = {"",
                                      "pk",
                                      "pk_",
                                      "pk_0123456789abcdef0123456789abcde",
                                      "pk_0123456789abcdef0123456789abcdef0",
                                      "pk_0123456789ABCDEF0123456789ABCDEF",
                                      "pk_0123456789abcdef0123456789abcdeg",
                                      "pool_0123456789abcdef0123456789abcdef",
                                      "p_0123456789abcdef0123456789abcdef",
                                      "01932c00-0000-7000-8000-000000000001"};
    char uuid[37];

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(identifier_parse("pk", bad[i], uuid));
    assert_true(identifier_parse("pk", "pk_0123456789abcdef0123456789abcdef", uuid));
    assert_string_equal(uuid, "01234567-89ab-cdef-0123-456789abcdef");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(in_order),
        cmocka_unit_test(of_now),
        cmocka_unit_test(shown_and_read),
        cmocka_unit_test(others),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
