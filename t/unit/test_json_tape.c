/* The token tape: its shape, its bounds, repeated keys, positions. */

#include "json_tape.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

enum { TOKENS = 1024 };

static relay_span_t text(const char *string)
{
    return relay_span(string, strlen(string));
}

static size_t tape_of(relay_span_t doc, relay_json_token_t *tokens)
{
    relay_json_fault_t fault;
    size_t count = 0;

    assert_int_equal(relay_json_tape(doc, tokens, TOKENS, &count, true, &fault), RELAY_TAPE_OK);
    assert_int_equal(fault.error, RELAY_JSON_OK);
    return count;
}

static void assert_fault(relay_span_t doc, bool unique_keys, relay_json_error_t error,
                         size_t offset)
{
    relay_json_token_t tokens[TOKENS];
    relay_json_fault_t fault;
    size_t count = 7;

    assert_int_equal(relay_json_tape(doc, tokens, TOKENS, &count, unique_keys, &fault),
                     RELAY_TAPE_JSON);
    assert_int_equal(fault.error, error);
    assert_int_equal(fault.offset, offset);
    assert_int_equal(count, 0);
}

static void tokens_mirror_the_document(void **state)
{
    static const struct {
        const char *written;
        uint32_t next;
        uint16_t type;
        uint16_t depth;
    } expected[] = {
        {"{\"a\": [1,\"\\n\"], \"b\":{ }, \"c\":[[],null,true,false]}", 14, RELAY_JSON_OBJECT, 0},
        {"\"a\"", 2, RELAY_JSON_STRING, 1},
        {"[1,\"\\n\"]", 5, RELAY_JSON_ARRAY, 1},
        {"1", 4, RELAY_JSON_NUMBER, 2},
        {"\"\\n\"", 5, RELAY_JSON_STRING, 2},
        {"\"b\"", 6, RELAY_JSON_STRING, 1},
        {"{ }", 7, RELAY_JSON_OBJECT, 1},
        {"\"c\"", 8, RELAY_JSON_STRING, 1},
        {"[[],null,true,false]", 13, RELAY_JSON_ARRAY, 1},
        {"[]", 10, RELAY_JSON_ARRAY, 2},
        {"null", 11, RELAY_JSON_NULL, 2},
        {"true", 12, RELAY_JSON_TRUE, 2},
        {"false", 13, RELAY_JSON_FALSE, 2},
    };
    relay_json_token_t tokens[TOKENS];
    relay_span_t doc = text(" {\"a\": [1,\"\\n\"], \"b\":{ }, \"c\":[[],null,true,false]} ");

    (void)state;
    assert_int_equal(tape_of(doc, tokens), COUNT(expected));
    for (size_t i = 0; i < COUNT(expected); i++) {
        relay_json_value_t value = relay_tape_value(doc, &tokens[i]);
        assert_int_equal(value.type, expected[i].type);
        assert_int_equal(value.text.len, strlen(expected[i].written));
        assert_memory_equal(value.text.base, expected[i].written, value.text.len);
        assert_int_equal(tokens[i].depth, expected[i].depth);
        assert_int_equal(tokens[i].next, i == 0 ? COUNT(expected) : expected[i].next);
    }
}

static void any_value_may_be_the_document(void **state)
{
    static const char *const documents[] = {"1",    " null ", "\"a\"", "[]",
                                            "true", "false",  "-0.5e1"};
    relay_json_token_t tokens[TOKENS];

    (void)state;
    for (size_t i = 0; i < COUNT(documents); i++) {
        assert_int_equal(tape_of(text(documents[i]), tokens), 1);
    }
}

static void the_grammar_is_strict(void **state)
{
    static const struct {
        const char *doc;
        relay_json_error_t error;
        size_t offset;
    } bad[] = {
        {"", RELAY_JSON_TRUNCATED, 0},        {"  ", RELAY_JSON_TRUNCATED, 2},
        {"[", RELAY_JSON_TRUNCATED, 1},       {"{\"a\"", RELAY_JSON_TRUNCATED, 4},
        {"{\"a\":", RELAY_JSON_TRUNCATED, 5}, {"[1,", RELAY_JSON_TRUNCATED, 3},
        {"\"ab", RELAY_JSON_TRUNCATED, 3},    {"[1,]", RELAY_JSON_SYNTAX, 3},
        {"[,1]", RELAY_JSON_SYNTAX, 1},       {"[1}", RELAY_JSON_SYNTAX, 2},
        {"{]", RELAY_JSON_SYNTAX, 1},         {"{\"a\":1,}", RELAY_JSON_SYNTAX, 7},
        {"{\"a\",1}", RELAY_JSON_SYNTAX, 4},  {"{1:1}", RELAY_JSON_SYNTAX, 1},
        {"1 2", RELAY_JSON_SYNTAX, 2},        {"[] ]", RELAY_JSON_SYNTAX, 3},
        {"01", RELAY_JSON_SYNTAX, 1},         {"\xef\xbb\xbf{}", RELAY_JSON_SYNTAX, 0},
        {"[\"\xff\"]", RELAY_JSON_UTF8, 2},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(bad); i++) {
        assert_fault(text(bad[i].doc), true, bad[i].error, bad[i].offset);
    }
}

static void depth_is_bounded(void **state)
{
    char doc[2 * RELAY_JSON_DEPTH_MAX + 2];
    relay_json_token_t tokens[TOKENS];

    (void)state;
    memset(doc, '[', RELAY_JSON_DEPTH_MAX);
    memset(doc + RELAY_JSON_DEPTH_MAX, ']', RELAY_JSON_DEPTH_MAX);
    assert_int_equal(tape_of(relay_span(doc, 2 * RELAY_JSON_DEPTH_MAX), tokens),
                     RELAY_JSON_DEPTH_MAX);
    assert_int_equal(tokens[RELAY_JSON_DEPTH_MAX - 1].depth, RELAY_JSON_DEPTH_MAX - 1);
    memset(doc, '[', RELAY_JSON_DEPTH_MAX + 1);
    memset(doc + RELAY_JSON_DEPTH_MAX + 1, ']', RELAY_JSON_DEPTH_MAX + 1);
    assert_fault(relay_span(doc, sizeof(doc)), false, RELAY_JSON_DEPTH, RELAY_JSON_DEPTH_MAX);
}

/* One token too few at every capacity: FULL at the token that did not fit, nothing written past. */
static void capacity_is_kept(void **state)
{
    static const size_t offsets[] = {0, 1, 5, 6, 8, 12};
    relay_span_t doc = text("{\"a\":[1,\"b\",{}]}");
    relay_json_token_t tokens[COUNT(offsets) + 1];
    relay_json_fault_t fault;

    (void)state;
    for (size_t capacity = 0; capacity <= COUNT(offsets); capacity++) {
        size_t count = 9;
        relay_tape_status_t status;
        memset(tokens, 0xa5, sizeof(tokens));
        status = relay_json_tape(doc, tokens, capacity, &count, true, &fault);
        assert_int_equal(tokens[capacity].offset, 0xa5a5a5a5);
        if (capacity == COUNT(offsets)) {
            assert_int_equal(status, RELAY_TAPE_OK);
            assert_int_equal(count, capacity);
        } else {
            assert_int_equal(status, RELAY_TAPE_FULL);
            assert_int_equal(fault.offset, offsets[capacity]);
        }
    }
}

/* ---- repeated keys ------------------------------------------------------- */

static void repeated_keys_are_found(void **state)
{
    static const struct {
        const char *doc;
        size_t offset;
    } bad[] = {
        {"{\"a\":1,\"a\":2}", 7},
        {"{\"\":1,\"\":2}", 6},
        {"{\"a\":1,\"b\":2,\"c\":3,\"b\":4,\"a\":5}", 19}, /* the earliest repetition */
        {"{\"a\":1,\"a\":2,\"a\":3}", 7},
        {"[0,{\"x\":{\"k\":[],\"z\":{},\"k\":1}}]", 23},
        {"{\"a\":1,\"\\u0061\":2}", 7}, /* compared decoded */
        {"{\"\\u00e9\":1,\"\xc3\xa9\":2}", 12},
        {"{\"\\ud83d\\ude00\":1,\"\xf0\x9f\x98\x80\":2}", 18},
        {"{\"\\/\":1,\"/\":2}", 8},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(bad); i++) {
        relay_json_token_t tokens[TOKENS];
        relay_json_fault_t fault;
        size_t count;
        assert_fault(text(bad[i].doc), true, RELAY_JSON_DUPLICATE, bad[i].offset);
        assert_int_equal(relay_json_tape(text(bad[i].doc), tokens, TOKENS, &count, false, &fault),
                         RELAY_TAPE_OK);
    }
}

static void other_keys_are_not_confused(void **state)
{
    static const char *const good[] = {
        "{\"a\":\"a\",\"b\":\"a\"}",
        "{\"a\":{\"a\":{\"a\":1}}}",
        "[{\"a\":1},{\"a\":1}]",
        "{\"ab\":1,\"a\":1,\"\":1,\"abc\":1,\"A\":1}",
        "{\"a\\u0000\":1,\"a\":1}",
        "{\"\\\\n\":1,\"\\n\":1,\"n\":1}",
        "{\"\\u0061b\":1,\"a\":1,\"\\u0062\":1}",
    };
    relay_json_token_t tokens[TOKENS];

    (void)state;
    for (size_t i = 0; i < COUNT(good); i++) {
        tape_of(text(good[i]), tokens);
    }
}

/* An object of `keys` keys in a shuffled order; key number `twin` is called like key number 0. */
static relay_span_t big_object(char *bytes, size_t size, size_t keys, size_t twin)
{
    relay_buf_t doc = relay_buf(bytes, size);

    relay_buf_put_byte(&doc, '{');
    for (size_t i = 0; i < keys; i++) {
        uint64_t name = (i == twin ? 0 : i) * 7919 % 65536;
        RELAY_PUT(&doc, "\"");
        relay_buf_put_u64(&doc, name);
        RELAY_PUT(&doc, "\":[0],");
    }
    RELAY_PUT(&doc, "\"end\":0}");
    assert_true(relay_buf_ok(&doc));
    return relay_buf_span(&doc);
}

/* Sizes around powers of two exercise every way the sorted runs join. */
static void objects_of_many_keys(void **state)
{
    static const size_t sizes[] = {0, 1, 2, 3, 4, 7, 8, 9, 31, 33, 64, 100, 1000, 60000};
    relay_json_token_t *tokens = calloc(200000, sizeof(*tokens));
    char *bytes = malloc(1 << 20);

    (void)state;
    assert_non_null(tokens);
    assert_non_null(bytes);
    for (size_t i = 0; i < COUNT(sizes); i++) {
        relay_span_t doc = big_object(bytes, 1 << 20, sizes[i], 0);
        relay_json_fault_t fault;
        size_t count;
        assert_int_equal(relay_json_tape(doc, tokens, 200000, &count, true, &fault), RELAY_TAPE_OK);
        assert_int_equal(count, 1 + 3 * sizes[i] + 2);
        for (size_t key = 1; key < count; key = tokens[key + 1].next) {
            assert_int_equal(tokens[key].next, key + 1); /* the links are gone again */
            assert_int_equal(tokens[key].type, RELAY_JSON_STRING);
        }
        if (sizes[i] < 2) {
            continue;
        }
        doc = big_object(bytes, 1 << 20, sizes[i], sizes[i] - 1);
        assert_int_equal(relay_json_tape(doc, tokens, 200000, &count, true, &fault),
                         RELAY_TAPE_JSON);
        assert_int_equal(fault.error, RELAY_JSON_DUPLICATE);
        assert_memory_equal(bytes + fault.offset, "\"0\":[0],\"end\"", 13);
    }
    free(tokens);
    free(bytes);
}

/* ---- positions ----------------------------------------------------------- */

static void positions_count_lines_and_bytes(void **state)
{
    static const struct {
        size_t offset, line, column;
    } expected[] = {{0, 1, 1}, {1, 1, 2}, {2, 2, 1}, {3, 2, 2}, {4, 2, 3},
                    {5, 3, 1}, {6, 4, 1}, {8, 4, 3}, {9, 4, 4}, {99, 4, 4}};
    relay_span_t doc = RELAY_SPAN("{\na\r\n\n\xc3\xa9}");
    size_t line, column;

    (void)state;
    for (size_t i = 0; i < COUNT(expected); i++) {
        relay_json_position(doc, expected[i].offset, &line, &column);
        assert_int_equal(line, expected[i].line);
        assert_int_equal(column, expected[i].column);
    }
    relay_json_position(relay_span(NULL, 0), 0, &line, &column);
    assert_int_equal(line, 1);
    assert_int_equal(column, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tokens_mirror_the_document),
        cmocka_unit_test(any_value_may_be_the_document),
        cmocka_unit_test(the_grammar_is_strict),
        cmocka_unit_test(depth_is_bounded),
        cmocka_unit_test(capacity_is_kept),
        cmocka_unit_test(repeated_keys_are_found),
        cmocka_unit_test(other_keys_are_not_confused),
        cmocka_unit_test(objects_of_many_keys),
        cmocka_unit_test(positions_count_lines_and_bytes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
