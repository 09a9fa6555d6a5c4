/* The chunked decoder: what it decodes, what it refuses, and that cuts do not matter. */

#include "chunked.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "buf.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

typedef struct {
    relay_chunked_status_t status;
    char payload[16384];
    size_t length;
    size_t left; /* input behind the end */
} decoded_t;

static void append(decoded_t *out, relay_span_t data)
{
    assert_true(data.len != 0);
    assert_true(out->length + data.len <= sizeof(out->payload));
    memcpy(out->payload + out->length, data.base, data.len);
    out->length += data.len;
}

/* One piece of input through the decoder. */
static void feed(relay_chunked_t *chunked, relay_span_t piece, decoded_t *out)
{
    relay_span_t data;

    while ((out->status = relay_chunked_next(chunked, &piece, &data)) == RELAY_CHUNKED_DATA) {
        append(out, data);
    }
    out->left = piece.len;
}

/* In pieces of `step` bytes, each an exact copy. */
static void decode(relay_span_t input, size_t step, decoded_t *out)
{
    relay_chunked_t chunked;

    relay_chunked_init(&chunked);
    *out = (decoded_t){.status = RELAY_CHUNKED_MORE};
    while (input.len != 0 && out->status == RELAY_CHUNKED_MORE) {
        size_t length = input.len < step ? input.len : step;
        uint8_t *piece = malloc(length);
        assert_non_null(piece);
        memcpy(piece, input.base, length);
        feed(&chunked, relay_span(piece, length), out);
        input = relay_span_from(input, length);
        free(piece);
    }
    out->left += input.len;
}

static void assert_decodes(relay_span_t input, const char *payload, size_t left)
{
    decoded_t out;

    for (size_t step = 1; step <= input.len; step++) {
        decode(input, step, &out);
        assert_int_equal(out.status, RELAY_CHUNKED_END);
        assert_int_equal(out.length, strlen(payload));
        assert_memory_equal(out.payload, payload, out.length);
        assert_int_equal(out.left, left);
    }
}

static void assert_refused(relay_span_t input)
{
    decoded_t out;

    for (size_t step = 1; step <= input.len; step++) {
        decode(input, step, &out);
        assert_int_equal(out.status, RELAY_CHUNKED_ERROR);
    }
}

static void good_bodies_decode(void **state)
{
    (void)state;
    assert_decodes(RELAY_SPAN("0\r\n\r\n"), "", 0);
    assert_decodes(RELAY_SPAN("5\r\nhello\r\n0\r\n\r\n"), "hello", 0);
    assert_decodes(RELAY_SPAN("5\r\nhel\r\n\r\n1\r\n \r\n00005\r\nworld\r\n000\r\n\r\n"),
                   "hel\r\n world", 0);
    assert_decodes(
        RELAY_SPAN("aA\r\n................................................................"
                   "................................................................"
                   "..........................................\r\n0\r\n\r\n"),
        "................................................................"
        "................................................................"
        "..........................................",
        0);
    assert_decodes(RELAY_SPAN("3;name=value\r\nabc\r\n0;last\r\n\r\n"), "abc", 0);
    assert_decodes(RELAY_SPAN("3;a=\"b\tc\xe9\"\r\nabc\r\n0\r\n\r\n"), "abc", 0);
    assert_decodes(RELAY_SPAN("1\r\na\r\n0\r\nDigest: x\r\nOther:\r\n\r\n"), "a", 0);
}

static void what_follows_the_end_is_left(void **state)
{
    relay_span_t input = RELAY_SPAN("0\r\n\r\nHTTP/1.1"), data;
    relay_chunked_t chunked;

    (void)state;
    assert_decodes(RELAY_SPAN("1\r\na\r\n0\r\n\r\nHTTP/1.1"), "a", 8);
    relay_chunked_init(&chunked);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(relay_chunked_next(&chunked, &input, &data), RELAY_CHUNKED_END);
        assert_int_equal(input.len, 8);
    }
}

/* The bound on digits is for each size, not for the body. */
static void many_chunks_decode(void **state)
{
    uint8_t bytes[4096];
    char expected[65] = {0};
    relay_buf_t body = relay_buf(bytes, sizeof(bytes));

    (void)state;
    for (size_t i = 0; i < 64; i++) {
        RELAY_PUT(&body, "00000001\r\n");
        relay_buf_put_byte(&body, (uint8_t)('0' + i));
        RELAY_PUT(&body, "\r\n");
        expected[i] = (char)('0' + i);
    }
    RELAY_PUT(&body, "0\r\n\r\n");
    assert_decodes(relay_buf_span(&body), expected, 0);
}

static void every_prefix_wants_more(void **state)
{
    static const char body[] = "3;x\r\nabc\r\n10\r\n0123456789abcdef\r\n0\r\nA: b\r\n\r\n";
    decoded_t out;

    (void)state;
    for (size_t length = 0; length < sizeof(body) - 1; length++) {
        decode(relay_span(body, length), 1, &out);
        assert_int_equal(out.status, RELAY_CHUNKED_MORE);
    }
}

static void bad_framing_is_refused(void **state)
{
    static const char *const bad[] = {
        "\r\n",
        ";x\r\n",
        "+5\r\nhello\r\n",
        "-5\r\nhello\r\n",
        " 5\r\nhello\r\n",
        "\t5\r\nhello\r\n",
        "5 \r\nhello\r\n",
        "5\t\r\nhello\r\n",
        "5 ;x\r\nhello\r\n",
        "0x5\r\nhello\r\n",
        "g\r\n",
        "G\r\n",
        "5,\r\nhello\r\n",
        "5\nhello\r\n",
        "5\rhello\r\n",
        "5\r\rhello\r\n",
        "5;a\nhello\r\n",
        "5;a\rb\r\nhello\r\n",
        "5;a\x01\r\nhello\r\n",
        "5;a\x7f\r\nhello\r\n",
        "5\r\nhello\n0\r\n\r\n",
        "5\r\nhello\r0\r\n\r\n",
        "5\r\nhello0\r\n\r\n",
        "5\r\nhello!\r\n0\r\n\r\n",
        "5\r\nhell\r\n0\r\n\r\n",
        "0\n\n",
        "0\r\n\n",
        "0\r\nA: b\n\r\n",
        "0\r\nA: b\r\r\n",
        "0\r\nA: b\rX\r\n\r\n",
        "0\r\nA: \x02\r\n\r\n",
        "0\r\n\rX",
        "1000000000001\r\n",      /* 2^48 + 1 */
        "ffffffffffffffff\r\n",   /* -1 in 64 bits */
        "10000000000000005\r\n",  /* 5 in 64 bits */
        "00000000000000005\r\na", /* 17 digits */
    };

    (void)state;
    for (size_t i = 0; i < COUNT(bad); i++) {
        assert_refused(relay_span(bad[i], strlen(bad[i])));
    }
    assert_refused(RELAY_SPAN("5\0\r\nhello"));
    assert_refused(RELAY_SPAN("5;\0\r\nhello"));
}

static void an_error_stays(void **state)
{
    relay_span_t input = RELAY_SPAN("x5\r\nhello\r\n"), data;
    relay_chunked_t chunked;

    (void)state;
    relay_chunked_init(&chunked);
    assert_int_equal(relay_chunked_next(&chunked, &input, &data), RELAY_CHUNKED_ERROR);
    input = RELAY_SPAN("5\r\nhello\r\n");
    assert_int_equal(relay_chunked_next(&chunked, &input, &data), RELAY_CHUNKED_ERROR);
    assert_int_equal(data.len, 0);
}

static void the_largest_size_is_taken(void **state)
{
    relay_span_t input = RELAY_SPAN("1000000000000\r\nabc"), data;
    relay_chunked_t chunked;

    (void)state;
    relay_chunked_init(&chunked);
    assert_int_equal(relay_chunked_next(&chunked, &input, &data), RELAY_CHUNKED_DATA);
    assert_int_equal(data.len, 3);
    assert_true(chunked.size == (UINT64_C(1) << 48) - 3);
}

static void data_is_not_copied(void **state)
{
    static const char body[] = "5\r\nhello\r\n";
    relay_span_t input = RELAY_SPAN(body), data;
    relay_chunked_t chunked;

    (void)state;
    input.base = (const uint8_t *)body;
    relay_chunked_init(&chunked);
    assert_int_equal(relay_chunked_next(&chunked, &input, &data), RELAY_CHUNKED_DATA);
    assert_ptr_equal(data.base, body + 3);
    assert_int_equal(data.len, 5);
    assert_int_equal(input.len, 2);
}

/* `count` bytes of extension before the end of the body, `trailers` of trailer lines after. */
static relay_chunked_status_t with_ignored(size_t count, size_t trailers)
{
    static char body[2 * IGNORED_MAX + 64];
    size_t at = 0;
    decoded_t out;

    memcpy(body, "1;", 2);
    memset(body + 2, 'x', count);
    at = 2 + count;
    memcpy(body + at, "\r\na\r\n0\r\n", 8);
    at += 8;
    memset(body + at, 'T', trailers);
    at += trailers;
    memcpy(body + at, "\r\n\r\n", 4);
    at += trailers != 0 ? 4 : 2;
    decode(relay_span(body, at), 1000, &out);
    return out.status;
}

static void extensions_and_trailers_are_bounded(void **state)
{
    (void)state;
    assert_int_equal(with_ignored(IGNORED_MAX, 0), RELAY_CHUNKED_END);
    assert_int_equal(with_ignored(IGNORED_MAX + 1, 0), RELAY_CHUNKED_ERROR);
    assert_int_equal(with_ignored(0, IGNORED_MAX), RELAY_CHUNKED_END);
    assert_int_equal(with_ignored(0, IGNORED_MAX + 1), RELAY_CHUNKED_ERROR);
    assert_int_equal(with_ignored(IGNORED_MAX / 2, IGNORED_MAX / 2), RELAY_CHUNKED_END);
    assert_int_equal(with_ignored(IGNORED_MAX / 2, IGNORED_MAX / 2 + 1), RELAY_CHUNKED_ERROR);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_bodies_decode),
        cmocka_unit_test(what_follows_the_end_is_left),
        cmocka_unit_test(many_chunks_decode),
        cmocka_unit_test(every_prefix_wants_more),
        cmocka_unit_test(bad_framing_is_refused),
        cmocka_unit_test(an_error_stays),
        cmocka_unit_test(the_largest_size_is_taken),
        cmocka_unit_test(data_is_not_copied),
        cmocka_unit_test(extensions_and_trailers_are_bounded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
