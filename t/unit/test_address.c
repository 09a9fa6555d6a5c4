/* Which addresses count as public: every range, both edges, and embedded IPv4. */

#include "address.c"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static bool is_public(const char *text)
{
    uint8_t bytes[16];

    if (strchr(text, ':') != NULL) {
        assert_int_equal(inet_pton(AF_INET6, text, bytes), 1);
        return relay_address_public(relay_span(bytes, 16));
    }
    assert_int_equal(inet_pton(AF_INET, text, bytes), 1);
    return relay_address_public(relay_span(bytes, 4));
}

static void inside_addresses_are_refused(void **state)
{
    static const char *const inside[] = {
        "0.0.0.0",
        "10.0.0.1",
        "10.255.255.255",
        "100.64.0.1",
        "100.127.255.255",
        "127.0.0.1",
        "127.255.255.254",
        "169.254.169.254",
        "172.16.0.1",
        "172.31.255.255",
        "192.0.0.1",
        "192.0.2.1",
        "192.168.1.1",
        "198.18.0.1",
        "198.19.255.255",
        "198.51.100.1",
        "203.0.113.9",
        "224.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "fc00::1",
        "fdff::1",
        "fe80::1",
        "febf::1",
        "fec0::1",
        "ff02::1",
        "2001:db8::1",
        "::ffff:10.0.0.1",
        "64:ff9b::127.0.0.1",
        "2002:a9fe:a9fe::1",
        "100::1",
        "::7f00:1",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(inside) / sizeof(*inside); i++) {
        if (is_public(inside[i])) {
            fail_msg("%s passes as public", inside[i]);
        }
    }
}

static void outside_addresses_are_allowed(void **state)
{
    static const char *const outside[] = {
        "1.1.1.1",          "9.255.255.255",   "11.0.0.0",       "100.63.255.255",
        "100.128.0.0",      "126.255.255.255", "128.0.0.0",      "169.253.255.255",
        "169.255.0.0",      "172.15.255.255",  "172.32.0.0",     "192.0.1.0",
        "192.167.255.255",  "192.169.0.0",     "198.17.255.255", "198.20.0.0",
        "223.255.255.255",  "2606:4700::1111", "fbff::1",        "::ffff:1.1.1.1",
        "64:ff9b::8.8.8.8", "2002:101:101::1",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(outside) / sizeof(*outside); i++) {
        if (!is_public(outside[i])) {
            fail_msg("%s is refused", outside[i]);
        }
    }
}

static void other_lengths_are_refused(void **state)
{
    uint8_t bytes[16] = {1, 1, 1, 1};

    (void)state;
    assert_false(relay_address_public(relay_span(bytes, 0)));
    assert_false(relay_address_public(relay_span(bytes, 5)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(inside_addresses_are_refused),
        cmocka_unit_test(outside_addresses_are_allowed),
        cmocka_unit_test(other_lengths_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
