/* UTF-8 validation: both twins against a reference that decodes to code points. */

#include "utf8.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

/* Decodes first and judges the code point then; shares nothing with the code under test. */
static size_t reference_character(const uint8_t *at, size_t left)
{
    static const uint32_t lowest[5] = {0, 0, 0x80, 0x800, 0x10000};
    size_t length = at[0] < 0x80           ? 1
                    : (at[0] >> 5) == 6    ? 2
                    : (at[0] >> 4) == 14   ? 3
                    : (at[0] >> 3) == 0x1e ? 4
                                           : 0;
    uint32_t code = length <= 1 ? at[0] : at[0] & (0x7fu >> length);

    if (length == 0 || length > left) {
        return 0;
    }
    for (size_t i = 1; i < length; i++) {
        if (at[i] >> 6 != 2) {
            return 0;
        }
        code = code << 6 | (at[i] & 0x3f);
    }
    return code < lowest[length] || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff) ? 0
                                                                                          : length;
}

static size_t reference_valid(const uint8_t *text, size_t length)
{
    size_t at = 0;

    while (at < length) {
        size_t step = reference_character(text + at, length - at);
        if (step == 0) {
            break;
        }
        at += step;
    }
    return at;
}

static void assert_agree(const uint8_t *bytes, size_t length)
{
    /* an exact copy, so that a read past the end shows under a memory checker */
    uint8_t *copy = malloc(length != 0 ? length : 1);
    relay_span_t text = relay_span(copy, length);
    size_t expected = reference_valid(bytes, length);

    assert_non_null(copy);
    memcpy(copy, bytes, length);
    assert_int_equal(valid_scalar(text, 0), expected);
    assert_int_equal(relay_utf8_valid(text), expected);
#if UTF8_SSSE3
    if (__builtin_cpu_supports("ssse3")) {
        assert_int_equal(valid_ssse3(text), expected);
    }
#endif
    free(copy);
}

/* Every edge of every range of the grammar. */
static const uint8_t edges[] = {0x00, 0x41, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0,
                                0xc1, 0xc2, 0xdf, 0xe0, 0xe1, 0xec, 0xed, 0xee, 0xef, 0xf0,
                                0xf1, 0xf3, 0xf4, 0xf5, 0xf7, 0xf8, 0xfe, 0xff};

static void all_four_byte_combinations_of_edges(void **state)
{
    const size_t n = sizeof(edges);
    uint8_t text[70];

    (void)state;
    memset(text, 'a', sizeof(text));
    for (size_t i = 0; i < n * n * n * n; i++) {
        size_t at = i % 67; /* moves over the block boundaries */
        text[at] = edges[i % n];
        text[at + 1] = edges[i / n % n];
        text[at + 2] = edges[i / n / n % n];
        text[at + 3] = edges[i / n / n / n];
        assert_int_equal(relay_utf8_valid(relay_span(text, sizeof(text))),
                         reference_valid(text, sizeof(text)));
        assert_int_equal(valid_scalar(relay_span(text, sizeof(text)), 0),
                         reference_valid(text, sizeof(text)));
        memset(text + at, 'a', 4);
    }
}

/* A fault at each place of texts of each script, at each length up to three blocks. */
static void a_fault_anywhere_is_found_in_place(void **state)
{
    static const char *const scripts[] = {"a", "\xc3\xa9", "\xe6\x97\xa5", "\xf0\x9f\x98\x80",
                                          "a\xc3\xa9z\xe6\x97\xa5\xf0\x9f\x98\x80"};
    static const uint8_t wrong[] = {0x80, 0xff, 0xc0, 'a', 0xe6, 0xf4};
    uint8_t text[200], broken[200];

    (void)state;
    for (size_t s = 0; s < sizeof(scripts) / sizeof(scripts[0]); s++) {
        size_t unit = strlen(scripts[s]);
        for (size_t i = 0; i < sizeof(text); i++) {
            text[i] = (uint8_t)scripts[s][i % unit];
        }
        for (size_t length = 0; length <= sizeof(text); length++) {
            size_t at = length * 7 % (length != 0 ? length : 1);
            assert_agree(text, length);
            memcpy(broken, text, length);
            broken[at] = wrong[length % sizeof(wrong)];
            assert_agree(broken, length);
        }
        for (size_t at = 0; at < sizeof(text) * sizeof(wrong); at++) {
            memcpy(broken, text, sizeof(text));
            broken[at / sizeof(wrong)] = wrong[at % sizeof(wrong)];
            assert_agree(broken, sizeof(text));
        }
    }
}

/* A character cut by a block of ASCII behind it: the boundary itself must be checked. */
static void a_cut_character_before_an_ascii_block_is_found(void **state)
{
    static const char *const cut[] = {"\xc3",         "\xe6\x97", "\xe6",
                                      "\xf0\x9f\x98", "\xf0\x9f", "\xf0"};
    uint8_t text[256];

    (void)state;
    for (size_t i = 0; i < sizeof(cut) / sizeof(cut[0]); i++) {
        for (size_t boundary = 16; boundary <= 192; boundary += 16) {
            size_t start = boundary - strlen(cut[i]);
            memset(text, 'a', sizeof(text));
            memcpy(text + start, cut[i], strlen(cut[i]));
            assert_int_equal(relay_utf8_valid(relay_span(text, sizeof(text))), start);
            assert_agree(text, sizeof(text));
        }
    }
}

static void every_code_point_passes(void **state)
{
    (void)state;
    for (uint32_t code = 0; code < 0x110000; code++) {
        uint8_t bytes[4];
        size_t length = relay_utf8_put(bytes, code);
        bool surrogate = code >= 0xd800 && code <= 0xdfff;
        assert_int_equal(relay_utf8_character(relay_span(bytes, length)), surrogate ? 0 : length);
        assert_int_equal(reference_character(bytes, length), surrogate ? 0 : length);
    }
}

static void the_beginning_of_a_character_is_incomplete(void **state)
{
    (void)state;
    assert_true(relay_utf8_incomplete(RELAY_SPAN("\xc3")));
    assert_true(relay_utf8_incomplete(RELAY_SPAN("\xf0\x9f\x98")));
    assert_false(relay_utf8_incomplete(RELAY_SPAN("")));
    assert_false(relay_utf8_incomplete(RELAY_SPAN("a")));
    assert_false(relay_utf8_incomplete(RELAY_SPAN("\xc3\xa9")));
    assert_false(relay_utf8_incomplete(RELAY_SPAN("\xed\xa0")));
    assert_false(relay_utf8_incomplete(RELAY_SPAN("\xc3z")));
    assert_false(relay_utf8_incomplete(RELAY_SPAN("\x80")));
    assert_false(relay_utf8_incomplete(RELAY_SPAN("\xff")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_four_byte_combinations_of_edges),
        cmocka_unit_test(a_fault_anywhere_is_found_in_place),
        cmocka_unit_test(a_cut_character_before_an_ascii_block_is_found),
        cmocka_unit_test(every_code_point_passes),
        cmocka_unit_test(the_beginning_of_a_character_is_incomplete),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
