/* The strict scan: what is JSON, where it stops being JSON, which members come
 * out; and the fast walks over accepted text. */

#include "json_lex.c"
#include "json_scan.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static relay_span_t text(const char *string)
{
    return relay_span(string, strlen(string));
}

static void assert_span(relay_span_t span, const char *expected)
{
    assert_int_equal(span.len, strlen(expected));
    assert_memory_equal(span.base, expected, span.len);
}

/* Scans an exact copy, so that a read past the end shows under a memory checker. */
static relay_json_fault_t scan_copy(relay_span_t doc)
{
    uint8_t *copy = malloc(doc.len != 0 ? doc.len : 1);
    relay_json_fault_t fault;
    relay_json_error_t error;

    assert_non_null(copy);
    if (doc.len != 0) {
        memcpy(copy, doc.base, doc.len);
    }
    error = relay_json_scan(relay_span(copy, doc.len), NULL, 0, NULL, &fault);
    assert_int_equal(error, fault.error);
    free(copy);
    return fault;
}

static void assert_scan(relay_span_t doc, relay_json_error_t error, size_t offset)
{
    relay_json_fault_t fault = scan_copy(doc);

    if (fault.error != error || fault.offset != offset) {
        print_error("%.*s: error %d at %zu, expected %d at %zu\n", (int)doc.len,
                    (const char *)doc.base, fault.error, fault.offset, error, offset);
    }
    assert_int_equal(fault.error, error);
    assert_int_equal(fault.offset, offset);
}

/* The same with value as a member: `offset` counts from the value. */
static void assert_value(relay_span_t value, relay_json_error_t error, size_t offset)
{
    static const char before[] = "{\"k\": ";
    uint8_t bytes[1024];
    relay_buf_t doc = relay_buf(bytes, sizeof(bytes));

    RELAY_PUT(&doc, before);
    relay_buf_put(&doc, value);
    RELAY_PUT(&doc, " }");
    assert_true(relay_buf_ok(&doc));
    assert_scan(relay_buf_span(&doc), error,
                error == RELAY_JSON_OK ? 0 : sizeof(before) - 1 + offset);
}

/* ---- the grammar --------------------------------------------------------- */

static void values_that_are_json(void **state)
{
    static const char *const good[] = {
        "0",
        "-0",
        "7",
        "-12",
        "1234567890",
        "0.5",
        "-0.0",
        "1e5",
        "1E+5",
        "0e-0",
        "12.5e10",
        "123456789012345678901234567890",
        "true",
        "false",
        "null",
        "\"\"",
        "\"a\"",
        "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\\uABCD\\uabcd\"",
        "\"\\ud800\"", /* lone surrogates are grammatical */
        "\"\\udc00\\ud800\"",
        "\"\x7f\"",
        "\"\xc3\xa9\xe6\x97\xa5\xf0\x9f\x98\x80\"",
        "[]",
        "{}",
        "[ ]",
        "{\t}",
        "[1,2]",
        "[1 , 2 ]",
        "[[],{},[{}]]",
        "{\"a\":1,\"b\":[2]}",
        "{\"a\" : 1\r\n,\n\"a\":2}", /* only wanted keys must be unique */
        "{\"\":0}",
        "[\"]\",\"}\",\"[\",\"{\",\"\\\"\"]",
    };

    (void)state;
    for (size_t i = 0; i < COUNT(good); i++) {
        assert_value(text(good[i]), RELAY_JSON_OK, 0);
    }
}

static void values_that_are_not_json(void **state)
{
    static const struct {
        const char *value;
        size_t offset;
    } bad[] = {
        {"01", 1},          {"-01", 2},
        {"00", 1},          {"+1", 0},
        {".5", 0},          {"1.", 2},
        {"1.e5", 2},        {"-", 1},
        {"--1", 1},         {"-a", 1},
        {"1e", 2},          {"1e+", 3},
        {"1e5.0", 3},       {"1.2.3", 3},
        {"0x10", 1},        {"1_000", 1},
        {"Infinity", 0},    {"-Infinity", 1},
        {"NaN", 0},         {"True", 0},
        {"tru", 3},         {"trux", 3},
        {"nul l", 3},       {"truee", 4},
        {"nullnull", 4},    {"falsetrue", 5},
        {"undefined", 0},   {"'a'", 0},
        {"\"\\a\"", 2},     {"\"\\'\"", 2},
        {"\"\\U0041\"", 2}, {"\"\\u12g4\"", 5},
        {"\"\\u123\"", 6},  {"\"\\u\"", 3},
        {"\"\\x41\"", 2},   {"\"\\0\"", 2},
        {"\"\\\n\"", 2},    {"\"a\nb\"", 2},
        {"\"a\tb\"", 2},    {"\"a\"\"b\"", 3},
        {"[,]", 1},         {"[1,]", 3},
        {"[1,,2]", 3},      {"[1 2]", 3},
        {"[1:2]", 2},       {"[1}", 2},
        {"]", 0},           {"}", 0},
        {"[\"a\":1]", 4},   {"{,}", 1},
        {"{\"a\"}", 4},     {"{\"a\":}", 5},
        {"{\"a\":1,}", 7},  {"{\"a\":1,,\"b\":2}", 7},
        {"{\"a\" 1}", 5},   {"{\"a\"::1}", 5},
        {"{\"a\":1]", 6},   {"{\"a\":1 \"b\":2}", 7},
        {"{a:1}", 1},       {"{1:1}", 1},
        {"{null:1}", 1},    {"{[]:1}", 1},
        {"{'a':1}", 1},     {"{\"a\":1;}", 6},
        {"/**/1", 0},       {"1//", 1},
        {"1 #", 2},         {"\xc3\xa9", 0},
        {"1\xc2\xa0", 1}, /* no-break space is not white space */
        {"\f1", 0},         {"\v1", 0},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(bad); i++) {
        assert_value(text(bad[i].value), RELAY_JSON_SYNTAX, bad[i].offset);
    }
}

static void no_nul_anywhere(void **state)
{
    static const char doc[] = "{\"a\":[1,\"b\",true],\"c\":{}}";
    char broken[sizeof(doc) + 1];

    (void)state;
    for (size_t at = 0; at < sizeof(doc); at++) {
        memcpy(broken, doc, at);
        broken[at] = '\0';
        memcpy(broken + at + 1, doc + at, sizeof(doc) - 1 - at);
        assert_int_equal(scan_copy(relay_span(broken, sizeof(doc))).error, RELAY_JSON_SYNTAX);
        assert_int_equal(scan_copy(relay_span(broken, sizeof(doc))).offset, at);
    }
}

static void around_the_document(void **state)
{
    (void)state;
    assert_scan(text("{}"), RELAY_JSON_OK, 0);
    assert_scan(text(" \t\r\n{} \t\r\n"), RELAY_JSON_OK, 0);
    assert_scan(text("{}{}"), RELAY_JSON_SYNTAX, 2);
    assert_scan(text("{} x"), RELAY_JSON_SYNTAX, 3);
    assert_scan(text("{},"), RELAY_JSON_SYNTAX, 2);
    assert_scan(text("{}}"), RELAY_JSON_SYNTAX, 2);
    assert_scan(text("\xef\xbb\xbf{}"), RELAY_JSON_SYNTAX, 0);
    assert_scan(text("{}\xef\xbb\xbf"), RELAY_JSON_SYNTAX, 2);
    assert_scan(text(",{}"), RELAY_JSON_SYNTAX, 0);
}

static void the_top_level_is_an_object(void **state)
{
    (void)state;
    assert_scan(text("[]"), RELAY_JSON_TYPE, 0);
    assert_scan(text(" [{\"a\":1}] "), RELAY_JSON_TYPE, 1);
    assert_scan(text("\"{}\""), RELAY_JSON_TYPE, 0);
    assert_scan(text("1"), RELAY_JSON_TYPE, 0);
    assert_scan(text("null"), RELAY_JSON_TYPE, 0);
    /* what is not even JSON says so */
    assert_scan(text("[1"), RELAY_JSON_TRUNCATED, 2);
    assert_scan(text("[] []"), RELAY_JSON_SYNTAX, 3);
    assert_scan(text("nope"), RELAY_JSON_SYNTAX, 1);
}

static const char rich[] =
    "{\"a\":[1,-2.5e+3,true,false,null],\"\xc3\xa9\\u00e9\":{\"x\":\"\\ud83d\\ude00 "
    "\xf0\x9f\x98\x80 "
    "a long run of plain text that is longer than one vector step of sixty-four bytes \\n\\\"\"},"
    "\"b\" : [ [ ] , { } , \"\xe6\x97\xa5\" ] }";

static void every_prefix_is_truncated(void **state)
{
    (void)state;
    assert_scan(text(rich), RELAY_JSON_OK, 0);
    for (size_t length = 0; length < sizeof(rich) - 1; length++) {
        assert_scan(relay_span(rich, length), RELAY_JSON_TRUNCATED, length);
    }
    assert_scan(text("   "), RELAY_JSON_TRUNCATED, 3);
    assert_scan(text("-"), RELAY_JSON_TRUNCATED, 1);
    assert_scan(text("{\"a\":\"\\u12"), RELAY_JSON_TRUNCATED, 10);
    assert_scan(text("{\"a\":\"\xe6\x97"), RELAY_JSON_TRUNCATED, 8);
    assert_scan(text("{\"a\":\"\xe6\x28"), RELAY_JSON_UTF8, 6);
    assert_scan(text("{\"a\":\"\xff"), RELAY_JSON_UTF8, 6);
}

static void strings_are_utf8(void **state)
{
    static const struct {
        const char *value;
        size_t offset;
    } bad[] = {
        {"\"\x80\"", 1},
        {"\"a\xff\"", 2},
        {"\"\xc0\x80\"", 1},
        {"\"\xed\xa0\x80\"", 1},
        {"\"\xf4\x90\x80\x80\"", 1},
        {"\"\xc3\"", 1}, /* the quote is not a continuation */
        {"\"\xc3\xa9\xe6\x97\"", 3},
        {"\"\\n\xe6\x97\\n\"", 3}, /* nor is a backslash */
        {"\"\xe6\x97\n\"", 1},     /* first fault first */
        {"{\"\xff\":1}", 2},       /* keys too */
        {"\"0123456789012345678901234567890123456789012345678901234567890123456789\xff\"", 71},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(bad); i++) {
        assert_value(text(bad[i].value), RELAY_JSON_UTF8, bad[i].offset);
    }
    assert_value(text("\"\x01\xff\""), RELAY_JSON_SYNTAX, 1);
    assert_value(text("\"\\x\xff\""), RELAY_JSON_SYNTAX, 2);
}

/* depth brackets inside the object; the kind of each from the bits of `kinds`. */
static relay_span_t nested(uint8_t *bytes, unsigned depth, unsigned kinds)
{
    relay_buf_t doc = relay_buf(bytes, 4096);

    RELAY_PUT(&doc, "{\"k\":");
    for (unsigned i = 0; i < depth; i++) {
        if (kinds >> i % 13 & 1) {
            RELAY_PUT(&doc, "{\"\":");
        } else {
            RELAY_PUT(&doc, "[");
        }
    }
    RELAY_PUT(&doc, "0");
    for (unsigned i = depth; i-- > 0;) {
        relay_buf_put_byte(&doc, kinds >> i % 13 & 1 ? '}' : ']');
    }
    RELAY_PUT(&doc, "}");
    assert_true(relay_buf_ok(&doc));
    return relay_buf_span(&doc);
}

static void depth_is_bounded(void **state)
{
    uint8_t bytes[4096];
    relay_span_t doc;

    (void)state;
    for (unsigned kinds = 0; kinds < 1 << 13; kinds += 97) {
        assert_scan(nested(bytes, RELAY_JSON_DEPTH_MAX - 1, kinds), RELAY_JSON_OK, 0);
    }
    doc = nested(bytes, RELAY_JSON_DEPTH_MAX, 0);
    assert_scan(doc, RELAY_JSON_DEPTH, 5 + RELAY_JSON_DEPTH_MAX - 1);
    doc = nested(bytes, RELAY_JSON_DEPTH_MAX, 0x1fff);
    assert_scan(doc, RELAY_JSON_DEPTH, 5 + 4 * (RELAY_JSON_DEPTH_MAX - 1));
}

static void a_wrong_bracket_at_any_depth_is_found(void **state)
{
    uint8_t bytes[4096];

    (void)state;
    for (unsigned depth = 1; depth < RELAY_JSON_DEPTH_MAX; depth++) {
        relay_span_t doc = nested(bytes, depth, 0x0b5d);
        size_t at = doc.len - 1 - 1 - depth / 2;
        bytes[at] ^= '}' ^ ']';
        assert_scan(doc, RELAY_JSON_SYNTAX, at);
    }
}

/* ---- the vector steps ---------------------------------------------------- */

/* Each special byte at each place of strings of each length, with and without
 * bytes above 0x7f around it; the scalar twin must agree. */
static void both_twins_stop_at_the_same_byte(void **state)
{
    static const uint8_t special[] = {'"',  '\\', 0x00, 0x1f, 0x0a, 0x20,
                                      0x7f, 0x80, 0xff, '{',  ']'};

    (void)state;
    for (size_t length = 1; length <= 150; length++) {
        uint8_t *bytes = malloc(length);
        assert_non_null(bytes);
        for (size_t i = 0; i < length * sizeof(special); i++) {
            const uint8_t *end = bytes + length;
            unsigned high = 0, expected_high = 0;
            const uint8_t *expected;
            memset(bytes, 'a', length);
            bytes[i % length] = special[i / length];
            expected = skip_plain_scalar(bytes, end, &expected_high);
            assert_ptr_equal(skip_plain(bytes, end, &high), expected);
            assert_int_equal(high != 0, expected_high != 0);
        }
        free(bytes);
    }
}

/* Text of the bytes that strings are made of, the same for the same seed. */
static void put_content(uint8_t *bytes, size_t length, uint32_t seed)
{
    static const char letters[] = "aaaaaaaaaaaaaaaaaaaa\\n\\\\\\\"\\u00e9 \xc3\xa9\\\"\x01";

    for (size_t i = 0; i < length; i++) {
        seed = seed * 1664525 + 1013904223;
        bytes[i] = (uint8_t)letters[(seed >> 16) % (sizeof(letters) - 1)];
    }
}

typedef const uint8_t *(*pass_content_t)(relay_json_lex_t *lex, const uint8_t *at, unsigned *high);

static void assert_same_content(pass_content_t pass, const uint8_t *bytes, size_t length)
{
    relay_json_lex_t expected = {.end = bytes + length}, lex = expected;
    unsigned expected_high = 0, high = 0;
    const uint8_t *stop = pass_content(&expected, bytes, &expected_high);

    assert_ptr_equal(pass(&lex, bytes, &high), stop);
    assert_int_equal(lex.escaped, expected.escaped);
    /* a step may take bytes behind the string for its own: they are only checked in vain */
    assert_true(high != 0 || expected_high == 0);
}

static void long_steps_stop_where_short_ones_do(void **state)
{
    (void)state;
    for (uint32_t seed = 0; seed < 20000; seed++) {
        size_t length = 1 + seed % 300;
        uint8_t *bytes = malloc(length);
        assert_non_null(bytes);
        put_content(bytes, length, seed);
        assert_same_content(pass_long_content, bytes, length);
#if RELAY_JSON_SSE2
        assert_same_content(pass_content_blocks_sse2, bytes, length);
#endif
        free(bytes);
    }
}

/* Bad UTF-8 at each distance before what ends the string, wherever the steps fall. */
static void bad_utf8_is_seen_at_every_place(void **state)
{
    uint8_t bytes[200];

    (void)state;
    for (size_t length = 1; length <= 150; length++) {
        for (size_t at = 0; at < length; at++) {
            relay_buf_t doc = relay_buf(bytes, sizeof(bytes));
            RELAY_PUT(&doc, "{\"k\":\"");
            for (size_t i = 0; i < length; i++) {
                relay_buf_put_byte(&doc, i == at ? 0xff : 'z');
            }
            RELAY_PUT(&doc, "\"}");
            assert_scan(relay_buf_span(&doc), RELAY_JSON_UTF8, 6 + at);
        }
    }
}

static void the_scalar_twin_stops_at_every_special_byte(void **state)
{
    uint8_t bytes[24];

    (void)state;
    for (unsigned byte = 0; byte < 256; byte++) {
        for (size_t at = 0; at < sizeof(bytes); at++) {
            bool special = byte == '"' || byte == '\\' || byte < 0x20;
            unsigned high = 0;
            memset(bytes, 'z', sizeof(bytes));
            bytes[at] = (uint8_t)byte;
            assert_ptr_equal(skip_plain_scalar(bytes, bytes + sizeof(bytes), &high),
                             bytes + (special ? at : sizeof(bytes)));
            assert_int_equal(high != 0, byte >= 0x80);
        }
    }
}

/* Strings over an alphabet of trouble: the 64-byte steps end where the simple loop does. */
static void long_steps_agree_with_short_ones(void **state)
{
    static const char alphabet[] = "aaaaaaaaaaaaaaaaaaaaaaaa\\\\\\nnuu00\"\x01\xe9";
    uint32_t random = 1;

    (void)state;
    for (int round = 0; round < 40000; round++) {
        size_t length = (size_t)round % 230;
        uint8_t *bytes = malloc(length + 1);
        relay_json_lex_t lex = {.end = bytes + length}, other = lex;
        unsigned high = 0, other_high = 0;
        assert_non_null(bytes);
        for (size_t i = 0; i < length; i++) {
            random = random * 1664525 + 1013904223;
            bytes[i] = (uint8_t)alphabet[(random >> 8) % (sizeof(alphabet) - 1)];
        }
        assert_ptr_equal(pass_long_content(&lex, bytes, &high),
                         pass_content(&other, bytes, &other_high));
        assert_int_equal(lex.escaped, other.escaped);
        assert_true(other_high == 0 || high != 0);
        free(bytes);
    }
}

/* Each escape at each place of strings of each length around the step widths. */
static void escapes_at_every_place(void **state)
{
    static const char *const escapes[] = {"\\n", "\\\\", "\\\"", "\\u0041", "\\u00", "\\x"};
    uint8_t bytes[400];

    (void)state;
    for (size_t length = 0; length <= 140; length++) {
        for (size_t i = 0; i < (length + 1) * COUNT(escapes); i++) {
            size_t before = i % (length + 1);
            const char *escape = escapes[i / (length + 1)];
            relay_buf_t doc = relay_buf(bytes, sizeof(bytes));
            RELAY_PUT(&doc, "{\"k\":\"");
            for (size_t n = 0; n <= length; n++) {
                relay_buf_put(&doc, n == before ? text(escape) : RELAY_SPAN("z"));
            }
            RELAY_PUT(&doc, "\"}");
            if (strcmp(escape, "\\u00") == 0) {
                assert_scan(relay_buf_span(&doc), RELAY_JSON_SYNTAX, 6 + before + 4);
            } else if (strcmp(escape, "\\x") == 0) {
                assert_scan(relay_buf_span(&doc), RELAY_JSON_SYNTAX, 6 + before + 1);
            } else {
                assert_scan(relay_buf_span(&doc), RELAY_JSON_OK, 0);
            }
        }
    }
}

static void runs_of_backslashes(void **state)
{
    uint8_t bytes[400];

    (void)state;
    for (size_t before = 0; before < 80; before++) {
        for (size_t count = 0; count < 140; count++) {
            relay_buf_t doc = relay_buf(bytes, sizeof(bytes));
            RELAY_PUT(&doc, "{\"k\":\"");
            for (size_t i = 0; i < before + count; i++) {
                relay_buf_put_byte(&doc, i < before ? 'z' : '\\');
            }
            RELAY_PUT(&doc, "\"}");
            if (count % 2 == 0) {
                assert_scan(relay_buf_span(&doc), RELAY_JSON_OK, 0);
            } else {
                assert_scan(relay_buf_span(&doc), RELAY_JSON_TRUNCATED, doc.len);
            }
        }
    }
}

/* ---- wanted members ------------------------------------------------------ */

static const relay_span_t wants[] = {
    RELAY_SPAN_INIT("model"),
    RELAY_SPAN_INIT("stream"),
    RELAY_SPAN_INIT("max_tokens"),
};

static relay_json_error_t scan_wants(const char *doc, relay_json_value_t values[3],
                                     relay_json_fault_t *fault)
{
    return relay_json_scan(text(doc), wants, 3, values, fault);
}

static void members_come_out_as_written(void **state)
{
    relay_json_value_t values[3];
    relay_json_fault_t fault;

    (void)state;
    assert_int_equal(scan_wants("{ \"x\":{\"model\":1}, \"stream\" :\ttrue ,\"model\": \"a\\nb\" }",
                                values, &fault),
                     RELAY_JSON_OK);
    assert_int_equal(values[0].type, RELAY_JSON_STRING);
    assert_span(values[0].text, "\"a\\nb\"");
    assert_int_equal(values[1].type, RELAY_JSON_TRUE);
    assert_span(values[1].text, "true");
    assert_int_equal(values[2].type, RELAY_JSON_ABSENT);
    assert_int_equal(values[2].text.len, 0);
}

static void every_type_is_told(void **state)
{
    static const struct {
        const char *value;
        relay_json_type_t type;
    } cases[] = {
        {"null", RELAY_JSON_NULL},   {"false", RELAY_JSON_FALSE},       {"true", RELAY_JSON_TRUE},
        {"-1.5", RELAY_JSON_NUMBER}, {"\"\"", RELAY_JSON_STRING},       {"[{}]", RELAY_JSON_ARRAY},
        {"[]", RELAY_JSON_ARRAY},    {"{\"a\":[]}", RELAY_JSON_OBJECT}, {"{}", RELAY_JSON_OBJECT},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        relay_json_value_t values[3], again[3];
        relay_json_fault_t fault;
        char doc[64];
        snprintf(doc, sizeof(doc), "{\"model\":%s,\"max_tokens\": %s }", cases[i].value,
                 cases[i].value);
        assert_int_equal(scan_wants(doc, values, &fault), RELAY_JSON_OK);
        assert_true(relay_json_members(text(doc), wants, 3, again));
        for (size_t k = 0; k < 3; k += 2) {
            assert_int_equal(values[k].type, cases[i].type);
            assert_span(values[k].text, cases[i].value);
            assert_int_equal(again[k].type, cases[i].type);
            assert_span(again[k].text, cases[i].value);
        }
    }
}

static void a_wanted_key_twice_is_refused(void **state)
{
    relay_json_value_t values[3];
    relay_json_fault_t fault;

    (void)state;
    assert_int_equal(scan_wants("{\"model\":1,\"stream\":2, \"stream\":2}", values, &fault),
                     RELAY_JSON_DUPLICATE);
    assert_int_equal(fault.key, 1);
    assert_int_equal(fault.offset, 23);
    /* a null is a value, too */
    assert_int_equal(scan_wants("{\"model\":null,\"model\":null}", values, &fault),
                     RELAY_JSON_DUPLICATE);
    assert_int_equal(fault.key, 0);
    /* deeper ones are not the request's members */
    assert_int_equal(scan_wants("{\"a\":{\"model\":1,\"model\":2},\"model\":3}", values, &fault),
                     RELAY_JSON_OK);
    assert_span(values[0].text, "3");
}

static void a_wanted_key_with_an_escape_is_refused(void **state)
{
    static const char *const spelt[] = {"mod\\u0065l", "\\u006dodel", "mode\\u006c",
                                        "\\u006D\\u006Fdel"};
    relay_json_value_t values[3];
    relay_json_fault_t fault;
    char doc[64];

    (void)state;
    for (size_t i = 0; i < COUNT(spelt); i++) {
        snprintf(doc, sizeof(doc), "{ \"stream\":1, \"%s\":1}", spelt[i]);
        assert_int_equal(scan_wants(doc, values, &fault), RELAY_JSON_ESCAPED_KEY);
        assert_int_equal(fault.key, 0);
        assert_int_equal(fault.offset, 14);
        snprintf(doc, sizeof(doc), "{\"model\":1,\"%s\":1}", spelt[i]);
        assert_int_equal(scan_wants(doc, values, &fault), RELAY_JSON_DUPLICATE);
    }
    /* other escaped keys are the caller's own affair */
    assert_int_equal(
        scan_wants("{\"mod\\u0065\":1,\"model\\u0000\":2,\"mod\\u0065ls\":3,\"\\n\":4}", values,
                   &fault),
        RELAY_JSON_OK);
    assert_int_equal(values[0].type, RELAY_JSON_ABSENT);
    /* also below: only the top level is matched */
    assert_int_equal(scan_wants("{\"a\":{\"mod\\u0065l\":1}}", values, &fault), RELAY_JSON_OK);
}

static void near_misses_are_not_wanted(void **state)
{
    relay_json_value_t values[3];
    relay_json_fault_t fault;

    (void)state;
    assert_int_equal(
        scan_wants("{\"Model\":1,\"mode\":1,\"models\":1,\"\":1,\"modem\":1,\"stream \":1}", values,
                   &fault),
        RELAY_JSON_OK);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(values[i].type, RELAY_JSON_ABSENT);
    }
}

static void the_rest_is_checked_behind_the_last_wanted_key(void **state)
{
    relay_json_value_t values[3];
    relay_json_fault_t fault;

    (void)state;
    assert_int_equal(
        scan_wants("{\"model\":1,\"stream\":1,\"max_tokens\":1,\"z\":[1,]}", values, &fault),
        RELAY_JSON_SYNTAX);
    assert_int_equal(fault.offset, 44);
    assert_int_equal(scan_wants("{\"model\":1} ", values, &fault), RELAY_JSON_OK);
    assert_int_equal(fault.offset, 0);
}

static void many_keys_and_long_keys(void **state)
{
    enum { MANY = 32 };
    static char names[MANY][80];
    relay_span_t keys[MANY];
    relay_json_value_t values[MANY];
    relay_json_fault_t fault;
    uint8_t bytes[8192];
    relay_buf_t doc = relay_buf(bytes, sizeof(bytes));

    (void)state;
    RELAY_PUT(&doc, "{\"none\":0");
    for (size_t i = 0; i < MANY; i++) {
        memset(names[i], 'a' + (int)i % 3, 55 + i % 16); /* around 63 and beyond */
        names[i][3] = (char)('0' + i);
        keys[i] = text(names[i]);
        RELAY_PUT(&doc, ",\"");
        relay_buf_put(&doc, keys[i]);
        RELAY_PUT(&doc, "\":");
        relay_buf_put_u64(&doc, i);
    }
    RELAY_PUT(&doc, "}");
    assert_true(relay_buf_ok(&doc));
    assert_int_equal(relay_json_scan(relay_buf_span(&doc), keys, MANY, values, &fault),
                     RELAY_JSON_OK);
    for (size_t i = 0; i < MANY; i++) {
        uint64_t number = 99;
        assert_true(relay_json_uint(values[i], &number));
        assert_int_equal(number, i);
    }
}

/* ---- walks over accepted text -------------------------------------------- */

static void members_agree_with_the_scan(void **state)
{
    static const char doc[] =
        " {\"a\":\"},{\\\"model\\\":1\" , \"model\" : [1,{\"stream\":[]},\"]\"] ,"
        "\"n\":-1.5e3,\"stream\":{\"model\":{}},\"max_tokens\":12}\n";
    relay_json_value_t scanned[3], walked[3];
    relay_json_fault_t fault;

    (void)state;
    assert_int_equal(scan_wants(doc, scanned, &fault), RELAY_JSON_OK);
    assert_true(relay_json_members(text(doc + 1), wants, 3, walked));
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(walked[i].type, scanned[i].type);
        assert_ptr_equal(walked[i].text.base, scanned[i].text.base);
        assert_int_equal(walked[i].text.len, scanned[i].text.len);
    }
}

/* Nested arrays and objects with strings full of brackets and escapes between them. */
static size_t put_nested(uint8_t *bytes, size_t room, uint32_t seed)
{
    static const char *const pieces[] = {"[",
                                         "{",
                                         "]",
                                         "}",
                                         "\"]}\"",
                                         "\"\"",
                                         "\"\\\"\"",
                                         "12,",
                                         "\"\\\\\"",
                                         ":",
                                         "null",
                                         "\"a {string} that is as long as one step at least: it "
                                         "has sixty-four bytes or more\""};
    relay_buf_t out = relay_buf(bytes, room);

    RELAY_PUT(&out, "[");
    while (out.len < seed % 400) {
        seed = seed * 1664525 + 1013904223;
        relay_buf_put(&out, text(pieces[(seed >> 16) % COUNT(pieces)]));
    }
    return relay_buf_span(&out).len;
}

/* Cut anywhere, too: nothing is read behind the end. */
static void containers_end_at_the_same_bracket(void **state)
{
    uint8_t room[512];

    (void)state;
    for (uint32_t seed = 0; seed < 20000; seed++) {
        size_t length = put_nested(room, sizeof(room), seed);
        uint8_t *bytes = malloc(length);
        const uint8_t *expected;
        assert_non_null(bytes);
        memcpy(bytes, room, length);
        expected = pass_container_scalar(bytes, bytes + length, 0);
        assert_ptr_equal(pass_container(bytes, bytes + length), expected);
#if RELAY_JSON_SSE2
        assert_ptr_equal(pass_container_sse2(bytes, bytes + length), expected);
#endif
        free(bytes);
    }
}

static void members_read_as_the_provider_does(void **state)
{
    relay_json_value_t values[3];

    (void)state;
    assert_true(relay_json_members(text("{\"model\":1,\"model\":2}"), wants, 3, values));
    assert_span(values[0].text, "2");
    assert_true(relay_json_members(text("{\"mod\\u0065l\":3}"), wants, 3, values));
    assert_span(values[0].text, "3");
    assert_true(relay_json_members(text("{}"), wants, 3, values));
    assert_int_equal(values[0].type, RELAY_JSON_ABSENT);
    assert_false(relay_json_members(text("[\"model\",1]"), wants, 3, values));
    assert_int_equal(values[0].type, RELAY_JSON_ABSENT);
    assert_false(relay_json_members(text("null"), wants, 3, values));
    assert_false(relay_json_members(text(""), wants, 3, values));
}

static void elements_come_in_order(void **state)
{
    static const char *const expected[] = {"1",           "\"a,]\\\"\"", "[2,[3]]",
                                           "{\"b\":[4]}", "null",        "-5e1"};
    relay_span_t array = text("[1, \"a,]\\\"\" ,[2,[3]],{\"b\":[4]}\n,null,-5e1 ]");
    relay_json_value_t value;
    size_t cursor = 0;

    (void)state;
    for (size_t i = 0; i < COUNT(expected); i++) {
        assert_true(relay_json_element(array, &cursor, &value));
        assert_span(value.text, expected[i]);
    }
    assert_false(relay_json_element(array, &cursor, &value));
    assert_false(relay_json_element(array, &cursor, &value));
}

static void elements_with_their_members(void **state)
{
    static const char *const models[] = {"1", "", "2", "\"}]\"", "", "5"};
    static const relay_json_type_t types[] = {RELAY_JSON_OBJECT, RELAY_JSON_NUMBER,
                                              RELAY_JSON_OBJECT, RELAY_JSON_OBJECT,
                                              RELAY_JSON_ARRAY,  RELAY_JSON_OBJECT};
    relay_span_t array = text("[{\"model\":1,\"n\":{}} , 7,{\"model\":1, \"model\":2 },"
                              "{\"model\":\"}]\"},[{\"model\":9}],{\"stream\":[],\"model\":5}]");
    relay_json_value_t values[3];
    size_t cursor = 0;

    (void)state;
    for (size_t i = 0; i < COUNT(types); i++) {
        assert_int_equal(relay_json_element_members(array, &cursor, wants, 3, values), types[i]);
        assert_span(values[0].text, models[i]);
    }
    assert_int_equal(values[1].type, RELAY_JSON_ARRAY);
    assert_int_equal(relay_json_element_members(array, &cursor, wants, 3, values),
                     RELAY_JSON_ABSENT);
    assert_int_equal(values[0].type, RELAY_JSON_ABSENT);
    assert_int_equal(relay_json_element_members(array, &cursor, wants, 3, values),
                     RELAY_JSON_ABSENT);
}

static void members_in_any_order(void **state)
{
    static const char *const orders[] = {"{\"model\":0,\"stream\":1,\"max_tokens\":2}",
                                         "{\"max_tokens\":2,\"stream\":1,\"model\":0}",
                                         "{\"stream\":1,\"n\":9,\"model\":0,\"max_tokens\":2}",
                                         "{\"max_tokens\":2,\"\":7,\"model\":0,\"stream\":1}"};
    relay_json_value_t values[3];
    uint64_t number;

    (void)state;
    for (size_t i = 0; i < COUNT(orders); i++) {
        assert_true(relay_json_members(text(orders[i]), wants, 3, values));
        for (uint64_t k = 0; k < 3; k++) {
            assert_true(relay_json_uint(values[k], &number));
            assert_int_equal(number, k);
        }
    }
}

static void no_elements(void **state)
{
    static const char *const none[] = {"[]", "[ \n]", "{\"a\":1}", "\"[1]\"", "1", ""};
    relay_json_value_t value;

    (void)state;
    for (size_t i = 0; i < COUNT(none); i++) {
        size_t cursor = 0;
        assert_false(relay_json_element(text(none[i]), &cursor, &value));
    }
}

/* ---- values -------------------------------------------------------------- */

static relay_json_value_t value_of(relay_json_type_t type, const char *written)
{
    return (relay_json_value_t){type, text(written)};
}

static void integers(void **state)
{
    static const char *const refused[] = {"-1",
                                          "-0",
                                          "1.0",
                                          "1e3",
                                          "9223372036854775808",
                                          "18446744073709551616",
                                          "99999999999999999999999"};
    uint64_t number = 1;

    (void)state;
    assert_true(relay_json_uint(value_of(RELAY_JSON_NUMBER, "0"), &number));
    assert_int_equal(number, 0);
    assert_true(relay_json_uint(value_of(RELAY_JSON_NUMBER, "9223372036854775807"), &number));
    assert_true(number == INT64_MAX);
    for (size_t i = 0; i < COUNT(refused); i++) {
        assert_false(relay_json_uint(value_of(RELAY_JSON_NUMBER, refused[i]), &number));
    }
    assert_false(relay_json_uint(value_of(RELAY_JSON_STRING, "\"1\""), &number));
    assert_false(relay_json_uint(value_of(RELAY_JSON_ABSENT, ""), &number));
    assert_true(number == INT64_MAX);
}

static void plain_strings(void **state)
{
    relay_span_t plain;

    (void)state;
    assert_true(relay_json_plain(value_of(RELAY_JSON_STRING, "\"ab\""), &plain));
    assert_span(plain, "ab");
    assert_true(relay_json_plain(value_of(RELAY_JSON_STRING, "\"\""), &plain));
    assert_int_equal(plain.len, 0);
    assert_false(relay_json_plain(value_of(RELAY_JSON_STRING, "\"a\\nb\""), &plain));
    assert_false(relay_json_plain(value_of(RELAY_JSON_NUMBER, "12"), &plain));
    assert_false(relay_json_plain(value_of(RELAY_JSON_ABSENT, ""), &plain));
}

static void assert_decoded(const char *written, relay_span_t expected)
{
    uint8_t bytes[128];
    relay_buf_t out = relay_buf(bytes, sizeof(bytes));

    assert_true(relay_json_decode(value_of(RELAY_JSON_STRING, written), &out));
    assert_int_equal(out.len, expected.len);
    if (expected.len != 0) {
        assert_memory_equal(bytes, expected.base, expected.len);
    }
}

static void strings_decode(void **state)
{
    uint8_t byte;
    relay_buf_t out = relay_buf(&byte, 1);

    (void)state;
    assert_decoded("\"\"", RELAY_SPAN(""));
    assert_decoded("\"a\xc3\xa9z\"", RELAY_SPAN("a\xc3\xa9z"));
    assert_decoded("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", RELAY_SPAN("\"\\/\b\f\n\r\t"));
    assert_decoded("\"\\u0041\\u00e9\\u65E5\\u0000\"", RELAY_SPAN("A\xc3\xa9\xe6\x97\xa5\0"));
    assert_decoded("\"x\\ud83d\\ude00y\"", RELAY_SPAN("x\xf0\x9f\x98\x80y"));
    assert_decoded("\"\\uD800\\uDC00\\udbff\\udfff\"",
                   RELAY_SPAN("\xf0\x90\x80\x80\xf4\x8f\xbf\xbf"));
    /* lone ones become U+FFFD and take nothing along */
    assert_decoded("\"\\ud800\"", RELAY_SPAN("\xef\xbf\xbd"));
    assert_decoded("\"\\udc00\\ud800a\"", RELAY_SPAN("\xef\xbf\xbd\xef\xbf\xbd"
                                                     "a"));
    assert_decoded("\"\\ud800\\u0041\"", RELAY_SPAN("\xef\xbf\xbd"
                                                    "A"));
    assert_decoded("\"\\ud800\\ud83d\\ude00\"", RELAY_SPAN("\xef\xbf\xbd\xf0\x9f\x98\x80"));
    assert_decoded("\"\\ud800\\ue000\"", RELAY_SPAN("\xef\xbf\xbd\xee\x80\x80"));
    assert_decoded("\"\\udc00\\udc00\"", RELAY_SPAN("\xef\xbf\xbd\xef\xbf\xbd"));
    assert_decoded("\"\\ud800\\n\"", RELAY_SPAN("\xef\xbf\xbd\n"));
    assert_false(relay_json_decode(value_of(RELAY_JSON_NUMBER, "1"), &out));
    assert_int_equal(out.len, 0);
    assert_true(relay_json_decode(value_of(RELAY_JSON_STRING, "\"abc\""), &out));
    assert_false(relay_buf_ok(&out));
}

static void every_error_has_its_own_text(void **state)
{
    (void)state;
    for (int error = RELAY_JSON_SYNTAX; error <= RELAY_JSON_ESCAPED_KEY; error++) {
        relay_span_t phrase = relay_json_error_text((relay_json_error_t)error);
        assert_true(phrase.len > 5);
        for (int other = RELAY_JSON_OK; other < error; other++) {
            assert_false(relay_span_eq(phrase, relay_json_error_text((relay_json_error_t)other)));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_that_are_json),
        cmocka_unit_test(values_that_are_not_json),
        cmocka_unit_test(no_nul_anywhere),
        cmocka_unit_test(around_the_document),
        cmocka_unit_test(the_top_level_is_an_object),
        cmocka_unit_test(every_prefix_is_truncated),
        cmocka_unit_test(strings_are_utf8),
        cmocka_unit_test(depth_is_bounded),
        cmocka_unit_test(a_wrong_bracket_at_any_depth_is_found),
        cmocka_unit_test(both_twins_stop_at_the_same_byte),
        cmocka_unit_test(long_steps_stop_where_short_ones_do),
        cmocka_unit_test(bad_utf8_is_seen_at_every_place),
        cmocka_unit_test(the_scalar_twin_stops_at_every_special_byte),
        cmocka_unit_test(long_steps_agree_with_short_ones),
        cmocka_unit_test(escapes_at_every_place),
        cmocka_unit_test(runs_of_backslashes),
        cmocka_unit_test(members_come_out_as_written),
        cmocka_unit_test(every_type_is_told),
        cmocka_unit_test(a_wanted_key_twice_is_refused),
        cmocka_unit_test(a_wanted_key_with_an_escape_is_refused),
        cmocka_unit_test(near_misses_are_not_wanted),
        cmocka_unit_test(the_rest_is_checked_behind_the_last_wanted_key),
        cmocka_unit_test(many_keys_and_long_keys),
        cmocka_unit_test(members_agree_with_the_scan),
        cmocka_unit_test(containers_end_at_the_same_bracket),
        cmocka_unit_test(members_read_as_the_provider_does),
        cmocka_unit_test(elements_come_in_order),
        cmocka_unit_test(elements_with_their_members),
        cmocka_unit_test(members_in_any_order),
        cmocka_unit_test(no_elements),
        cmocka_unit_test(integers),
        cmocka_unit_test(plain_strings),
        cmocka_unit_test(strings_decode),
        cmocka_unit_test(every_error_has_its_own_text),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
