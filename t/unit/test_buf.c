/* Output buffers: bounds, counting past the end, JSON quoting. */

#include "buf.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "arena.h"
#include "json_scan.h"

static void assert_text(const relay_buf_t *buf, const char *expected)
{
    assert_true(relay_buf_ok(buf));
    assert_int_equal(buf->len, strlen(expected));
    assert_memory_equal(buf->base, expected, buf->len);
}

static void put_appends(void **state)
{
    uint8_t bytes[64];
    relay_buf_t buf = relay_buf(bytes, sizeof(bytes));

    (void)state;
    relay_buf_put(&buf, RELAY_SPAN("abc"));
    relay_buf_put(&buf, relay_span(NULL, 0));
    relay_buf_put_byte(&buf, '-');
    relay_buf_put_u64(&buf, 0);
    relay_buf_put_byte(&buf, '-');
    relay_buf_put_u64(&buf, UINT64_MAX);
    RELAY_PUT(&buf, "!");
    assert_text(&buf, "abc-0-18446744073709551615!");
}

/* For every capacity: the stored prefix is right, nothing behind it is touched, len is the same. */
static void every_capacity_counts_the_same(void **state)
{
    static const char expected[] = "head\"a\\n\xc3\xa9\\u0001\xef\xbf\xbd\"7";

    (void)state;
    for (size_t capacity = 0; capacity <= sizeof(expected) + 1; capacity++) {
        uint8_t *bytes = malloc(capacity + 1);
        relay_buf_t buf = relay_buf(bytes, capacity);
        assert_non_null(bytes);
        bytes[capacity] = 0xa5;
        RELAY_PUT(&buf, "head");
        relay_buf_put_json(&buf, RELAY_SPAN("a\n\xc3\xa9\x01\xff"));
        relay_buf_put_u64(&buf, 7);
        assert_int_equal(buf.len, sizeof(expected) - 1);
        assert_int_equal(relay_buf_ok(&buf), capacity >= sizeof(expected) - 1);
        assert_int_equal(relay_buf_span(&buf).len, capacity < buf.len ? capacity : buf.len);
        assert_memory_equal(bytes, expected, relay_buf_span(&buf).len);
        assert_int_equal(bytes[capacity], 0xa5);
        free(bytes);
    }
}

static void assert_quoted(relay_span_t text, const char *expected)
{
    uint8_t bytes[128];
    relay_buf_t buf = relay_buf(bytes, sizeof(bytes));

    relay_buf_put_json(&buf, text);
    assert_text(&buf, expected);
}

static void json_escapes(void **state)
{
    (void)state;
    assert_quoted(RELAY_SPAN(""), "\"\"");
    assert_quoted(RELAY_SPAN("\"\\/"), "\"\\\"\\\\/\"");
    assert_quoted(RELAY_SPAN("\b\f\n\r\t"), "\"\\b\\f\\n\\r\\t\"");
    assert_quoted(RELAY_SPAN("\0\x1f\x7f"), "\"\\u0000\\u001f\x7f\"");
    assert_quoted(RELAY_SPAN("\xe6\x97\xa5\xf0\x9f\x98\x80"), "\"\xe6\x97\xa5\xf0\x9f\x98\x80\"");
}

static void json_replaces_what_is_not_utf8(void **state)
{
    (void)state;
    assert_quoted(RELAY_SPAN("a\x80z"), "\"a\xef\xbf\xbdz\"");
    assert_quoted(RELAY_SPAN("\xc3"), "\"\xef\xbf\xbd\"");
    assert_quoted(RELAY_SPAN("\xed\xa0\x80"), "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"");
    assert_quoted(RELAY_SPAN("\xe6\x97\"x"), "\"\xef\xbf\xbd\xef\xbf\xbd\\\"x\"");
}

/* Whatever goes in, a strict reader takes what comes out. */
static void json_is_always_json(void **state)
{
    (void)state;
    for (unsigned first = 0; first < 256; first++) {
        for (unsigned second = 0; second < 256; second++) {
            uint8_t text[2] = {(uint8_t)first, (uint8_t)second};
            uint8_t bytes[64];
            relay_buf_t buf = relay_buf(bytes, sizeof(bytes));
            relay_span_t key = RELAY_SPAN("k");
            relay_json_value_t value;
            relay_json_fault_t fault;
            RELAY_PUT(&buf, "{\"k\":");
            relay_buf_put_json(&buf, relay_span(text, 2));
            RELAY_PUT(&buf, "}");
            assert_true(relay_buf_ok(&buf));
            assert_int_equal(relay_json_scan(relay_buf_span(&buf), &key, 1, &value, &fault),
                             RELAY_JSON_OK);
            assert_int_equal(value.type, RELAY_JSON_STRING);
        }
    }
}

static void *allocate(void *owner, size_t size)
{
    assert_true(size != 0); /* what malloc(0) returns says nothing */
    return owner != NULL ? NULL : calloc(1, size);
}

static void arena_copies(void **state)
{
    relay_arena_t arena = {allocate, NULL};
    relay_arena_t empty = {allocate, &arena};
    relay_span_t text = RELAY_SPAN("copied");
    relay_span_t copy = relay_arena_copy(&arena, text);
    relay_span_t nothing = relay_arena_copy(&arena, relay_span(NULL, 0));

    (void)state;
    assert_true(relay_span_eq(copy, text));
    assert_ptr_not_equal(copy.base, text.base);
    assert_non_null(nothing.base);
    assert_int_equal(nothing.len, 0);
    assert_null(relay_arena_copy(&empty, text).base);
    assert_int_equal(relay_arena_copy(&empty, text).len, 0);
    free((void *)(uintptr_t)copy.base);
    free((void *)(uintptr_t)nothing.base);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(put_appends),         cmocka_unit_test(every_capacity_counts_the_same),
        cmocka_unit_test(json_escapes),        cmocka_unit_test(json_replaces_what_is_not_utf8),
        cmocka_unit_test(json_is_always_json), cmocka_unit_test(arena_copies),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
