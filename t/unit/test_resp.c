/* RESP2: every kind of reply, cut everywhere, bounds, and commands. */

#include "resp.c"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum { VALUES = 8, REPLY_MAX = 100 };

static relay_span_t text(const char *string)
{
    return relay_span(string, strlen(string));
}

/* The status of a reply fed in pieces of at most `piece` bytes. */
static relay_resp_status_t parse(relay_resp_t *resp, relay_span_t input, size_t piece,
                                 size_t *taken)
{
    relay_resp_status_t status = RELAY_RESP_MORE;

    *taken = 0;
    while (status == RELAY_RESP_MORE && *taken < input.len) {
        size_t left = input.len - *taken;
        relay_span_t part = relay_span(input.base + *taken, piece < left ? piece : left);
        size_t before = part.len;
        status = relay_resp_next(resp, &part);
        *taken += before - part.len;
        if (status == RELAY_RESP_MORE) {
            assert_int_equal(part.len, 0);
        }
    }
    return status;
}

typedef struct {
    relay_resp_type_t type;
    const char *text; /* NULL: none */
    int64_t integer;
    uint32_t next;
} expected_t;

static const struct {
    const char *reply;
    size_t count;
    expected_t values[VALUES];
} replies[] = {
    {"+OK\r\n", 1, {{RELAY_RESP_STATUS, "OK", 0, 1}}},
    {"+\r\n", 1, {{RELAY_RESP_STATUS, "", 0, 1}}},
    {"-ERR no such key\r\n", 1, {{RELAY_RESP_ERROR, "ERR no such key", 0, 1}}},
    {":0\r\n", 1, {{RELAY_RESP_INTEGER, NULL, 0, 1}}},
    {":-17\r\n", 1, {{RELAY_RESP_INTEGER, NULL, -17, 1}}},
    {":9223372036854775807\r\n", 1, {{RELAY_RESP_INTEGER, NULL, INT64_MAX, 1}}},
    {":-9223372036854775808\r\n", 1, {{RELAY_RESP_INTEGER, NULL, INT64_MIN, 1}}},
    {"$5\r\na\r\nb\n\r\n", 1, {{RELAY_RESP_STRING, "a\r\nb\n", 0, 1}}},
    {"$0\r\n\r\n", 1, {{RELAY_RESP_STRING, "", 0, 1}}},
    {"$-1\r\n", 1, {{RELAY_RESP_NULL, NULL, 0, 1}}},
    {"*-1\r\n", 1, {{RELAY_RESP_NULL, NULL, 0, 1}}},
    {"*0\r\n", 1, {{RELAY_RESP_ARRAY, NULL, 0, 1}}},
    {"*2\r\n$3\r\nfoo\r\n:7\r\n",
     3,
     {{RELAY_RESP_ARRAY, NULL, 2, 3},
      {RELAY_RESP_STRING, "foo", 0, 2},
      {RELAY_RESP_INTEGER, NULL, 7, 3}}},
    {"*3\r\n*2\r\n*0\r\n+a\r\n$-1\r\n*1\r\n-b\r\n",
     7,
     {{RELAY_RESP_ARRAY, NULL, 3, 7},
      {RELAY_RESP_ARRAY, NULL, 2, 4},
      {RELAY_RESP_ARRAY, NULL, 0, 3},
      {RELAY_RESP_STATUS, "a", 0, 4},
      {RELAY_RESP_NULL, NULL, 0, 5},
      {RELAY_RESP_ARRAY, NULL, 1, 7},
      {RELAY_RESP_ERROR, "b", 0, 7}}},
    {"*1\r\n*1\r\n*1\r\n*1\r\n:1\r\n",
     5,
     {{RELAY_RESP_ARRAY, NULL, 1, 5},
      {RELAY_RESP_ARRAY, NULL, 1, 5},
      {RELAY_RESP_ARRAY, NULL, 1, 5},
      {RELAY_RESP_ARRAY, NULL, 1, 5},
      {RELAY_RESP_INTEGER, NULL, 1, 5}}},
};

static void assert_value(const char *reply, const relay_resp_value_t *value,
                         const expected_t *expected)
{
    relay_span_t said = relay_resp_text((const uint8_t *)reply, value);

    assert_int_equal(value->type, expected->type);
    assert_int_equal(value->next, expected->next);
    assert_true(value->integer == expected->integer);
    assert_true(relay_span_eq(said, text(expected->text != NULL ? expected->text : "")) ||
                expected->text == NULL);
}

/* Whole, in pieces of every size, and with the next reply behind it. */
static void every_kind_cut_everywhere(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(replies) / sizeof(replies[0]); i++) {
        size_t len = strlen(replies[i].reply), taken;
        char two[2 * REPLY_MAX + 1] = {0};
        memcpy(two, replies[i].reply, len);
        memcpy(two + len, "+more\r\n", 7);
        for (size_t piece = 1; piece <= len + 7; piece++) {
            relay_resp_value_t values[VALUES];
            relay_resp_t resp;
            relay_resp_init(&resp, values, VALUES, REPLY_MAX);
            assert_int_equal(parse(&resp, text(two), piece, &taken), RELAY_RESP_END);
            assert_int_equal(taken, len);
            assert_int_equal(resp.at, len);
            assert_int_equal(resp.count, replies[i].count);
            for (size_t at = 0; at < resp.count; at++) {
                assert_value(two, &values[at], &replies[i].values[at]);
            }
            relay_resp_reset(&resp);
            assert_int_equal(parse(&resp, text(two + len), piece, &taken), RELAY_RESP_END);
            assert_int_equal(taken, 7);
            assert_value(two + len, &values[0], &(expected_t){RELAY_RESP_STATUS, "more", 0, 1});
        }
    }
}

/* Wherever it stops, a reply that is not whole is not taken for one. */
static void a_part_is_not_a_reply(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(replies) / sizeof(replies[0]); i++) {
        for (size_t len = 0; len < strlen(replies[i].reply); len++) {
            relay_resp_value_t values[VALUES];
            relay_resp_t resp;
            size_t taken;
            relay_resp_init(&resp, values, VALUES, REPLY_MAX);
            assert_int_equal(parse(&resp, relay_span(replies[i].reply, len), len + 1, &taken),
                             RELAY_RESP_MORE);
            assert_true(resp.need <= strlen(replies[i].reply));
        }
    }
}

static void says_how_much_it_needs(void **state)
{
    relay_resp_value_t values[VALUES];
    relay_span_t input = text("*2\r\n$50\r\nabc");
    relay_resp_t resp;

    (void)state;
    relay_resp_init(&resp, values, VALUES, REPLY_MAX);
    assert_int_equal(relay_resp_next(&resp, &input), RELAY_RESP_MORE);
    assert_int_equal(resp.need, 4 + 5 + 50 + 2);
}

static const struct {
    const char *reply;
    relay_resp_status_t status;
    size_t at; /* bytes after which it is refused */
} refused[] = {
    {"OK\r\n", RELAY_RESP_SYNTAX, 1},
    {"\r\n", RELAY_RESP_SYNTAX, 1},
    {"_\r\n", RELAY_RESP_SYNTAX, 1}, /* RESP3 */
    {"+OK\n", RELAY_RESP_SYNTAX, 4},
    {"+O\rK\r\n", RELAY_RESP_SYNTAX, 4},
    {":\r\n", RELAY_RESP_SYNTAX, 2},
    {":-\r\n", RELAY_RESP_SYNTAX, 3},
    {":--1\r\n", RELAY_RESP_SYNTAX, 3},
    {":1-\r\n", RELAY_RESP_SYNTAX, 3},
    {":+1\r\n", RELAY_RESP_SYNTAX, 2},
    {":1 \r\n", RELAY_RESP_SYNTAX, 3},
    {":1\n", RELAY_RESP_SYNTAX, 3},
    {":1\rx", RELAY_RESP_SYNTAX, 4},
    {":9223372036854775808\r\n", RELAY_RESP_SYNTAX, 20},
    {":-9223372036854775809\r\n", RELAY_RESP_SYNTAX, 21},
    {":00000000000000000001\r\n", RELAY_RESP_SYNTAX, 21},
    {"$-2\r\n", RELAY_RESP_SYNTAX, 5},
    {"$-0\r\n", RELAY_RESP_SYNTAX, 5},
    {"*-2\r\n", RELAY_RESP_SYNTAX, 5},
    {"$1\r\nab\r\n", RELAY_RESP_SYNTAX, 6},
    {"$1\r\na\r\r", RELAY_RESP_SYNTAX, 7},
    {"$0\r\n\n", RELAY_RESP_SYNTAX, 5},
    {"*1\r\nx", RELAY_RESP_SYNTAX, 5},
    /* as soon as it is announced */
    {"$94\r\n", RELAY_RESP_TOO_LONG, 5},
    {"$9223372036854775807\r\n", RELAY_RESP_TOO_LONG, 22},
    {"*8\r\n", RELAY_RESP_TOO_LONG, 4},
    {"*9223372036854775807\r\n", RELAY_RESP_TOO_LONG, 22},
    {"*2\r\n*4\r\n:1\r\n:1\r\n:1\r\n:1\r\n*2\r\n", RELAY_RESP_TOO_LONG, 28},
    {"*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n", RELAY_RESP_TOO_LONG, 20},
};

static void refuses_and_stays_dead(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        for (size_t piece = 1; piece < 40; piece++) {
            relay_resp_value_t values[VALUES];
            relay_span_t more = text("+OK\r\n");
            relay_resp_t resp;
            size_t taken;
            relay_resp_init(&resp, values, VALUES, REPLY_MAX);
            assert_int_equal(parse(&resp, text(refused[i].reply), piece, &taken),
                             refused[i].status);
            assert_int_equal(taken, refused[i].at);
            assert_int_equal(relay_resp_next(&resp, &more), refused[i].status);
        }
    }
}

/* The reply's own bound, to the byte: "$93\r\n" + 93 + "\r\n" is 100. */
static void takes_what_just_fits(void **state)
{
    relay_resp_value_t values[VALUES];
    char reply[REPLY_MAX];
    relay_resp_t resp;
    size_t taken;

    (void)state;
    memset(reply, 'x', sizeof(reply));
    memcpy(reply, "$93\r\n", 5);
    memcpy(reply + 98, "\r\n", 2);
    relay_resp_init(&resp, values, VALUES, REPLY_MAX);
    assert_int_equal(parse(&resp, relay_span(reply, 100), 100, &taken), RELAY_RESP_END);
    assert_int_equal(values[0].length, 93);

    memset(reply, 'x', sizeof(reply));
    reply[0] = '+';
    relay_resp_init(&resp, values, VALUES, REPLY_MAX - 1);
    assert_int_equal(parse(&resp, relay_span(reply, 99), 99, &taken), RELAY_RESP_MORE);
    assert_int_equal(parse(&resp, text("\r"), 1, &taken), RELAY_RESP_TOO_LONG);
}

static void lines_have_a_bound(void **state)
{
    static char reply[RELAY_RESP_LINE_MAX + 2];
    relay_resp_value_t values[VALUES];
    relay_resp_t resp;
    size_t taken;

    (void)state;
    memset(reply, 'x', sizeof(reply));
    reply[0] = '-';
    relay_resp_init(&resp, values, VALUES, 2 * RELAY_RESP_LINE_MAX);
    assert_int_equal(parse(&resp, relay_span(reply, sizeof(reply) - 1), 1000, &taken),
                     RELAY_RESP_MORE);
    assert_int_equal(parse(&resp, text("\r\n"), 2, &taken), RELAY_RESP_END);
    relay_resp_reset(&resp);
    assert_int_equal(parse(&resp, relay_span(reply, sizeof(reply)), 1000, &taken),
                     RELAY_RESP_TOO_LONG);
}

static void writes_commands(void **state)
{
    static const char expected[] =
        "*3\r\n$3\r\nSET\r\n$5\r\na\r\nb \r\n$0\r\n\r\n*1\r\n$4\r\nPING\r\n";
    const relay_span_t set[] = {RELAY_SPAN_INIT("SET"), RELAY_SPAN_INIT("a\r\nb "),
                                RELAY_SPAN_INIT("")};
    const relay_span_t ping[] = {RELAY_SPAN_INIT("PING")};
    uint8_t bytes[sizeof(expected)];
    relay_buf_t out = relay_buf(NULL, 0);

    (void)state;
    relay_resp_put_command(&out, set, 3);
    relay_resp_put_command(&out, ping, 1);
    assert_int_equal(out.len, strlen(expected));
    out = relay_buf(bytes, out.len);
    relay_resp_put_command(&out, set, 3);
    relay_resp_put_command(&out, ping, 1);
    assert_true(relay_buf_ok(&out));
    assert_true(relay_span_eq(relay_buf_span(&out), text(expected)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind_cut_everywhere), cmocka_unit_test(a_part_is_not_a_reply),
        cmocka_unit_test(says_how_much_it_needs),    cmocka_unit_test(refuses_and_stays_dead),
        cmocka_unit_test(takes_what_just_fits),      cmocka_unit_test(lines_have_a_bound),
        cmocka_unit_test(writes_commands),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
