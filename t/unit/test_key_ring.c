/* Key rings: the text they are read from, and what is refused in it. */

#include "key_ring.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define KEY_A "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"
#define KEY_B "__________________________________________8"

static relay_span_t text(const char *string)
{
    return relay_span(string, strlen(string));
}

static void reads_keys_in_order(void **state)
{
    relay_key_ring_t ring;
    const char *message;
    size_t line;

    (void)state;
    assert_true(relay_key_ring_read(text("# data plane\n\nnew-1 " KEY_A "\r\nOld_0 " KEY_B), &ring,
                                    &line, &message));
    assert_int_equal(ring.count, 2);
    assert_true(relay_span_eq(relay_ring_key_id(&ring.keys[0]), text("new-1")));
    assert_int_equal(ring.keys[0].bytes[31], 31);
    assert_ptr_equal(relay_key_ring_find(&ring, text("Old_0")), &ring.keys[1]);
    assert_int_equal(ring.keys[1].bytes[31], 255);
    assert_null(relay_key_ring_find(&ring, text("old_0")));
    assert_null(relay_key_ring_find(&ring, text("Old_")));
    assert_null(relay_key_ring_find(&ring, text("")));
}

static const struct {
    const char *text;
    size_t line;
    const char *message; /* starts so */
} faults[] = {
    {"", 0, "there is no key"},
    {"# a " KEY_A "\n\n", 0, "there is no key"},
    {"a " KEY_A "\nb\n", 2, "expected"},
    {KEY_A "\n", 1, "expected"},
    {" " KEY_A "\n", 1, "expected"},
    {"a.b " KEY_A "\n", 1, "expected"},
    {"a23456789012345678901234567890123 " KEY_A "\n", 1, "expected"},
    {"a " KEY_A "\na " KEY_B "\n", 2, "this key id is here already"},
    {"a  " KEY_A "\n", 1, "a key is 32 bytes"},
    {"a " KEY_A " \n", 1, "a key is 32 bytes"},
    {"a " KEY_A "A\n", 1, "a key is 32 bytes"},
    {"a AAEC\n", 1, "a key is 32 bytes"},
};

static void says_what_is_wrong(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
        relay_key_ring_t ring;
        const char *message;
        size_t line;
        assert_false(relay_key_ring_read(text(faults[i].text), &ring, &line, &message));
        assert_int_equal(line, faults[i].line);
        assert_true(relay_span_starts(text(message), text(faults[i].message)));
        for (size_t at = 0; at < sizeof(ring); at++) {
            assert_int_equal(((const uint8_t *)&ring)[at], 0);
        }
    }
}

static void holds_sixteen(void **state)
{
    char lines[17 * 64];
    relay_key_ring_t ring;
    const char *message;
    size_t line, len = 0;

    (void)state;
    for (unsigned i = 0; i < 17; i++) {
        len += (size_t)snprintf(lines + len, sizeof(lines) - len, "k%u " KEY_A "\n", i);
        assert_int_equal(relay_key_ring_read(relay_span(lines, len), &ring, &line, &message),
                         i < 16);
    }
    assert_int_equal(line, 17);
    assert_true(relay_span_starts(text(message), text("there are more than 16 keys")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_keys_in_order),
        cmocka_unit_test(says_what_is_wrong),
        cmocka_unit_test(holds_sixteen),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
