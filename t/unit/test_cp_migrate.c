/* Migrations without a database: the mark of compatible ones, digests, and what the build embeds.
 */

#include "migrate.c"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static migration_t of(const char *text)
{
    return (migration_t){.name = "0007_test.sql", .text = text, .len = strlen(text)};
}

static void compatible(void **state)
{
    migration_t marked = of(MIGRATION_COMPATIBLE "CREATE TABLE a ();");
    migration_t later = of("CREATE TABLE a ();\n" MIGRATION_COMPATIBLE);
    migration_t alike = of("-- compatible with the version before, mostly\n");

    (void)state;
    assert_true(is_compatible(&marked));
    assert_false(is_compatible(&later));
    assert_false(is_compatible(&alike));
}

static void digests(void **state)
{
    migration_t migration = of("abc");
    char hex[65];

    (void)state;
    digest_of(&migration, hex);
    assert_string_equal(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

static void found_by_number(void **state)
{
    migration_t list[] = {of(""), of("")};

    (void)state;
    list[1].name = "0012_other.sql";
    assert_ptr_equal(find(list, 2, 12), &list[1]);
    assert_ptr_equal(find(list, 2, 7), &list[0]);
    assert_null(find(list, 2, 1));
}

/* In order, without gaps or twins: the last number tells what a database has. */
static void embedded(void **state)
{
    (void)state;
    assert_true(migrations_count >= 1);
    for (size_t i = 0; i < migrations_count; i++) {
        assert_int_equal(strtol(migrations[i].name, NULL, 10), (long)i + 1);
        assert_int_equal(strlen(migrations[i].text), migrations[i].len);
        assert_true(migrations[i].len > 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(compatible),
        cmocka_unit_test(digests),
        cmocka_unit_test(found_by_number),
        cmocka_unit_test(embedded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
