/* URL-safe base64: RFC 4648's vectors, and every spelling but one refused. */

#include "base64.c"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static relay_span_t text(const char *string)
{
    return relay_span(string, strlen(string));
}

/* Section 10, padding removed, and the two characters that differ from "+/". */
static const struct {
    const char *bytes;
    const char *spelling;
} vectors[] = {
    {"", ""},
    {"f", "Zg"},
    {"fo", "Zm8"},
    {"foo", "Zm9v"},
    {"foob", "Zm9vYg"},
    {"fooba", "Zm9vYmE"},
    {"foobar", "Zm9vYmFy"},
    {"\xfb\xff\xfe", "-__-"},
    {"\x80", "gA"},
    {"\xfb\xef\xbe", "----"},
};

static void vectors_both_ways(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
        uint8_t written[16], read[16];
        relay_buf_t out = relay_buf(written, sizeof(written));
        relay_buf_t back = relay_buf(read, sizeof(read));
        relay_base64_put(&out, text(vectors[i].bytes));
        assert_true(relay_span_eq(relay_buf_span(&out), text(vectors[i].spelling)));
        assert_int_equal(out.len, RELAY_BASE64_LEN(strlen(vectors[i].bytes)));
        assert_true(relay_base64_read(text(vectors[i].spelling), &back));
        assert_true(relay_span_eq(relay_buf_span(&back), text(vectors[i].bytes)));
    }
}

/* The alphabet is exactly 64 of 256 bytes, in this order. */
static void the_whole_alphabet(void **state)
{
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    unsigned known = 0;

    (void)state;
    for (unsigned byte = 0; byte < 256; byte++) {
        unsigned six = six_of((uint8_t)byte);
        if (six < 64) {
            known++;
            assert_int_equal(alphabet[six], byte);
            assert_int_equal(letter_of(six), byte);
        } else {
            assert_int_equal(six, 64);
        }
    }
    assert_int_equal(known, 64);
}

static void other_spellings_are_refused(void **state)
{
    static const char *const bad[] = {"Zg==", "Zg=",  "Z",    "Zm9vY",  "Zh",   "Zm9",
                                      "+__-", "-/_-", "Zm 9", "Zm9v\n", " Zm9", "Z\xc3\xa9g"};

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        uint8_t bytes[16];
        relay_buf_t out = relay_buf(bytes, sizeof(bytes));
        assert_false(relay_base64_read(text(bad[i]), &out));
        assert_int_equal(out.len, 0);
    }
}

static void what_does_not_fit_is_refused(void **state)
{
    uint8_t bytes[6];
    relay_buf_t out = relay_buf(bytes, sizeof(bytes));

    (void)state;
    assert_true(relay_base64_read(text("Zm9v"), &out));
    assert_false(relay_base64_read(text("Zm9vYg"), &out));
    assert_int_equal(out.len, 3);
    assert_true(relay_base64_read(text("Zm9v"), &out));
    assert_memory_equal(bytes, "foofoo", 6);
    assert_false(relay_base64_read(text("Zg"), &out));
    out.len = 7;
    assert_false(relay_base64_read(text("Zg"), &out));
}

static void exactly_so_many_bytes(void **state)
{
    uint8_t bytes[3];

    (void)state;
    assert_true(relay_base64_read_exactly(text("Zm9v"), bytes, 3));
    assert_memory_equal(bytes, "foo", 3);
    assert_false(relay_base64_read_exactly(text("Zm8"), bytes, 3));
    assert_false(relay_base64_read_exactly(text("Zm9vYg"), bytes, 3));
    assert_false(relay_base64_read_exactly(text("Zm9="), bytes, 3));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(vectors_both_ways),
        cmocka_unit_test(the_whole_alphabet),
        cmocka_unit_test(other_spellings_are_refused),
        cmocka_unit_test(what_does_not_fit_is_refused),
        cmocka_unit_test(exactly_so_many_bytes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
