/* The sort: against many arrays of every small length, and its cost. */

#include "sort.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

typedef struct {
    uint32_t key;
    uint8_t filler[97]; /* larger than the block that is swapped at a time */
    uint32_t same;
} thing_t;

static size_t compared;

static int compare_things(const void *left, const void *right)
{
    const thing_t *a = left, *b = right;

    compared++;
    return (a->key > b->key) - (a->key < b->key);
}

static uint32_t next(uint32_t *seed)
{
    *seed = *seed * 1664525 + 1013904223;
    return *seed >> 8;
}

static void check(size_t count, uint32_t range, uint32_t seed)
{
    static thing_t things[3000];
    uint32_t sum = 0;

    for (size_t i = 0; i < count; i++) {
        things[i].key = next(&seed) % range;
        memset(things[i].filler, (int)things[i].key, sizeof(things[i].filler));
        things[i].same = things[i].key;
        sum += things[i].key;
    }
    relay_sort(things, count, sizeof(things[0]), compare_things);
    for (size_t i = 0; i < count; i++) {
        assert_true(i == 0 || things[i - 1].key <= things[i].key);
        assert_int_equal(things[i].same, things[i].key);
        assert_int_equal(things[i].filler[96], (uint8_t)things[i].key);
        sum -= things[i].key;
    }
    assert_int_equal(sum, 0);
}

static void sorts(void **state)
{
    (void)state;
    for (uint32_t count = 0; count < 60; count++) {
        for (uint32_t seed = 1; seed < 20; seed++) {
            check(count, seed < 10 ? 5 : 1000000, seed);
        }
    }
}

static void never_quadratic(void **state)
{
    (void)state;
    for (uint32_t range = 1; range < 1000000; range *= 30) {
        compared = 0;
        check(3000, range, range);
        assert_in_range(compared, 3000, 2 * 3000 * 12);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sorts),
        cmocka_unit_test(never_quadratic),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
