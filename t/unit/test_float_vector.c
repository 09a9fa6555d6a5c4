/* Vectors of floats: numbers to base64, base64 to numbers, what is none. */

#include "float_vector.c"

#include "wire_check.h"

#include <math.h>

typedef bool convert_t(relay_span_t text, relay_buf_t *out);

static bool convert(convert_t *function, const char *text, char *result, size_t size)
{
    relay_buf_t out = relay_buf(result, size - 1);
    bool good = function(check_text(text), &out);

    assert_true(relay_buf_ok(&out));
    result[out.len] = '\0';
    return good;
}

static void check(convert_t *function, const char *text, const char *want)
{
    char result[4096];

    if (!convert(function, text, result, sizeof(result))) {
        fail_msg("refused: %s", text);
    }
    assert_string_equal(result, want);
}

static void check_refused(convert_t *function, const char *text)
{
    char result[4096];

    if (convert(function, text, result, sizeof(result))) {
        fail_msg("taken: %s as %s", text, result);
    }
}

static void base64_of_every_length(void **state)
{
    static const char *const want[] = {"",         "Zg==",     "Zm8=",    "Zm9v",
                                       "Zm9vYg==", "Zm9vYmE=", "Zm9vYmFy"};
    char bytes[16];

    (void)state;
    for (size_t i = 0; i < 7; i++) {
        relay_buf_t out = relay_buf(bytes, sizeof(bytes));
        relay_vector_put_base64(&out, relay_span("foobar", i));
        check_span(relay_buf_span(&out), want[i]);
    }
}

static void numbers_become_base64(void **state)
{
    (void)state;
    check(relay_vector_pack, "[0.25,-0.5,0.125,1.0]", "AACAPgAAAL8AAAA+AACAPw==");
    check(relay_vector_pack, "[ 0.25 ,\n -0.5,\t0.125,\r\n1 ]", "AACAPgAAAL8AAAA+AACAPw==");
    check(relay_vector_pack, "[0]", "AAAAAA==");
    check(relay_vector_pack, "[-0.0]", "AAAAgA==");
    check(relay_vector_pack, "[1,2,3]", "AACAPwAAAEAAAEBA");
    check(relay_vector_pack, "[25e-2, -5E-1, 1.25e-1, 0.1e+1]", "AACAPgAAAL8AAAA+AACAPw==");
    check(relay_vector_pack, "[0.1]", "zczMPQ==");
    /* more digits than a float has, and than are counted */
    check(relay_vector_pack, "[0.1000000000000000055511151231257827021181583404541]", "zczMPQ==");
    check(relay_vector_pack, "[100000000000000000000000000e-27]", "zczMPQ==");
    check(relay_vector_pack, "[1e-400, 0e999999999]", "AAAAAAAAAAA=");
    check(relay_vector_pack, "[3.4028234663852886e38]", "//9/fw==");
    check(relay_vector_pack, "[-3.40282356e38]", "//9//w==");
    check(relay_vector_pack, "[1.401298464324817e-45]", "AQAAAA==");
}

/* The same floats as the C library reads, however many digits there are. */
static void numbers_are_read_exactly(void **state)
{
    uint32_t bits = 1;

    (void)state;
    for (unsigned i = 0; i < 200000; i++) {
        static const char *const forms[] = {"[%.9g]", "[%.17g]", "[%.8e]", "[%.20f]"};
        char text[128], packed[16], want[16];
        float number;
        double read;
        relay_buf_t out = relay_buf(want, sizeof(want) - 1);
        bits = bits * 1664525 + 1013904223;
        memcpy(&number, &bits, sizeof(number));
        if (!isfinite(number) || fabsf(number) > 1e6f) {
            continue;
        }
        snprintf(text, sizeof(text), forms[i % 4], (double)number);
        read = strtod(text + 1, NULL);
        number = (float)read;
        relay_vector_put_base64(&out, relay_span(&number, sizeof(number)));
        want[out.len] = '\0';
        assert_true(convert(relay_vector_pack, text, packed, sizeof(packed)));
        if (strcmp(packed, want) != 0) {
            fail_msg("%s: %s, not %s", text, packed, want);
        }
    }
}

static void base64_becomes_numbers(void **state)
{
    (void)state;
    check(relay_vector_unpack, "AACAPgAAAL8AAAA+AACAPw==", "[0.25,-0.5,0.125,1]");
    check(relay_vector_unpack, "AACAPgAAAL8AAAA+AACAPw", "[0.25,-0.5,0.125,1]");
    check(relay_vector_unpack, "zczMPQ==", "[0.1]");
    check(relay_vector_unpack, "AQAAAA==", "[1.4013e-45]");
    check(relay_vector_unpack, "\\/\\/9\\/fw==", "[3.4028235e+38]");
}

static void base64_stays_base64(void **state)
{
    (void)state;
    check(relay_vector_repack, "AACAPgAAAL8AAAA+AACAPw", "AACAPgAAAL8AAAA+AACAPw==");
    check(relay_vector_repack, "\\/\\/9\\/fw==", "//9/fw==");
    check_refused(relay_vector_repack, "AACAPgAAAL");
}

/* Whatever the float, both ways. */
static void nothing_is_lost(void **state)
{
    uint32_t bits = 7;

    (void)state;
    for (unsigned i = 0; i < 100000; i++) {
        char packed[16], numbers[64], again[16];
        relay_buf_t out = relay_buf(packed, sizeof(packed) - 1);
        float number;
        bits = bits * 1664525 + 1013904223;
        memcpy(&number, &bits, sizeof(number));
        if (!isfinite(number)) {
            continue;
        }
        relay_vector_put_base64(&out, relay_span(&bits, sizeof(bits)));
        packed[out.len] = '\0';
        assert_true(convert(relay_vector_unpack, packed, numbers, sizeof(numbers)));
        assert_true(convert(relay_vector_pack, numbers, again, sizeof(again)));
        assert_string_equal(again, packed);
    }
}

static void long_vectors_are_whole(void **state)
{
    enum { COUNT = 1000 };
    static char numbers[COUNT * 8 + 2], packed[COUNT * 6 + 16], again[COUNT * 8 + 2];
    size_t len = 1;

    (void)state;
    numbers[0] = '[';
    for (unsigned i = 0; i < COUNT; i++) {
        len += (size_t)snprintf(numbers + len, sizeof(numbers) - len, "%s%u", i != 0 ? "," : "", i);
    }
    snprintf(numbers + len, sizeof(numbers) - len, "]");
    assert_true(convert(relay_vector_pack, numbers, packed, sizeof(packed)));
    assert_int_equal(strlen(packed), (4 * COUNT + 2) / 3 * 4);
    assert_true(convert(relay_vector_unpack, packed, again, sizeof(again)));
    assert_string_equal(again, numbers);
}

static void numbers_are_copied(void **state)
{
    (void)state;
    check(relay_vector_copy, "[ 0.250 ,\n-5E-1,\t1 ]", "[0.250,-5E-1,1]");
}

static void what_is_no_vector_is_refused(void **state)
{
    static const char *const arrays[] = {"[]",        "[ ]",      "[null]",   "[1,null]",
                                         "[\"1\"]",   "[[1]]",    "[{}]",     "[true]",
                                         "[1,\"2\"]", "[1, [2]]", "[1,false]"};
    static const char *const texts[] = {
        "",          "AAAA",     "AAAAAAA=", "AAAA*AA=",   "====",     "AACAPg=A",
        "AACAPg===", "AACAPwAA", "=",        "AAA\\u0041", "AADAfw==", "AACAfw=="};

    (void)state;
    for (size_t i = 0; i < sizeof(arrays) / sizeof(arrays[0]); i++) {
        check_refused(relay_vector_pack, arrays[i]);
        check_refused(relay_vector_copy, arrays[i]);
    }
    check_refused(relay_vector_pack, "[1e39]");
    check_refused(relay_vector_pack, "[-3.4028236e38]");
    check_refused(relay_vector_pack, "[1e99999999999]");
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        check_refused(relay_vector_unpack, texts[i]);
        check_refused(relay_vector_repack, texts[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(base64_of_every_length),       cmocka_unit_test(numbers_become_base64),
        cmocka_unit_test(numbers_are_read_exactly),     cmocka_unit_test(base64_becomes_numbers),
        cmocka_unit_test(base64_stays_base64),          cmocka_unit_test(nothing_is_lost),
        cmocka_unit_test(long_vectors_are_whole),       cmocka_unit_test(numbers_are_copied),
        cmocka_unit_test(what_is_no_vector_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
