/* A provider's header, line by line: what comes out, what is refused, and that
 * neither depends on where the bytes are cut. */

#include "header_line.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

typedef struct {
    const char *name; /* of a line alone, as it comes out */
    const char *value;
} line_t;

static void assert_span(relay_span_t span, const char *expected)
{
    assert_int_equal(span.len, strlen(expected));
    assert_memory_equal(span.base, expected, span.len);
}

/* An exact copy, so that a read past the end shows under a memory checker. */
static uint8_t *copy_of(const char *text, size_t length)
{
    uint8_t *bytes = malloc(length != 0 ? length : 1);

    assert_non_null(bytes);
    memcpy(bytes, text, length);
    return bytes;
}

static relay_header_status_t status_of(const char *text, size_t length)
{
    uint8_t *bytes = copy_of(text, length), *at = bytes;
    relay_span_t name, value;
    relay_header_status_t status = relay_header_line(&at, bytes + length, &name, &value);

    assert_true(status != RELAY_HEADER_MORE || at == bytes);
    free(bytes);
    return status;
}

static void lines_come_out(void **state)
{
    static const char header[] = "Content-Type: application/json\r\n"
                                 "x-EMPTY:\r\n"
                                 "X-Spaces:   a b  c  \r\n"
                                 "HTTP/1.1 200 Fine: really\r\n"
                                 "httpd: 1\n"
                                 "Tab:\tkept\t\r\n"
                                 "X_Under-Score.~\xe9: \xff\r\r\n"
                                 "no-colon\r\n"
                                 "Colons: a:b\n"
                                 "\r\nbody";
    static const line_t expected[] = {
        {"content-type", "application/json"},
        {"x-empty", ""},
        {"x-spaces", "a b  c"},
        {"httpd", "1"},
        {"tab", "\tkept\t"},
        {"x_under-score.~\xe9", "\xff"},
        {"no-colon", ""},
        {"colons", "a:b"},
    };
    uint8_t *bytes = copy_of(header, sizeof(header) - 1), *at = bytes;
    uint8_t *end = bytes + sizeof(header) - 1;
    relay_span_t name, value;

    (void)state;
    for (size_t i = 0; i < COUNT(expected); i++) {
        assert_int_equal(relay_header_line(&at, end, &name, &value), RELAY_HEADER_LINE);
        assert_span(name, expected[i].name);
        assert_span(value, expected[i].value);
    }
    assert_int_equal(relay_header_line(&at, end, &name, &value), RELAY_HEADER_END);
    assert_int_equal(end - at, 4);
    free(bytes);
}

static void cut_anywhere_there_is_more_to_come(void **state)
{
    static const char *const whole[] = {"Name: value \r\n",
                                        "name:\n",
                                        "name\r\n",
                                        "a: b\r\r\n",
                                        "HTTP/1.1 200 OK\r\nname: value\r\n",
                                        "\r\n",
                                        "\n"};

    (void)state;
    for (size_t i = 0; i < COUNT(whole); i++) {
        for (size_t length = 0; length < strlen(whole[i]); length++) {
            assert_int_equal(status_of(whole[i], length), RELAY_HEADER_MORE);
        }
        assert_int_not_equal(status_of(whole[i], strlen(whole[i])), RELAY_HEADER_MORE);
        assert_int_not_equal(status_of(whole[i], strlen(whole[i])), RELAY_HEADER_ERROR);
    }
}

/* Each is refused as soon as its last byte is there, and goes on being. */
static void what_is_refused(void **state)
{
    static const struct {
        const char *text;
        size_t length;
    } refused[] = {
        {":", 1},      {" ", 1},      {"\t", 1},      {"\0", 1},         {"\x7f", 1},
        {"na me", 3},  {"name :", 5}, {"na\0", 3},    {"na\x1f", 3},     {"na\tme", 3},
        {"a: b\0", 5}, {"a:\0", 3},   {"a: b\rc", 6}, {"a: b\r ", 6},    {"a:\rb", 4},
        {"a\rb", 3},   {"\ra", 2},    {"\r\r", 2},    {"a: \r \r\n", 5}, {"HTTP 1", 5},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(refused); i++) {
        char more[16] = {0};
        assert_int_equal(status_of(refused[i].text, refused[i].length), RELAY_HEADER_ERROR);
        memcpy(more, refused[i].text, refused[i].length);
        memcpy(more + refused[i].length, "\r\n", 2);
        assert_int_equal(status_of(more, refused[i].length + 2), RELAY_HEADER_ERROR);
    }
}

static void every_byte_in_a_name(void **state)
{
    (void)state;
    for (unsigned byte = 0; byte < 256; byte++) {
        char line[] = {'a', (char)byte, 'b', ':', ' ', 'v', '\r', '\n'};
        bool ends = byte == ':' || byte == '\n';
        bool bad = byte <= ' ' || byte == 0x7f;
        assert_int_equal(status_of(line, sizeof(line)), ends  ? RELAY_HEADER_LINE
                                                        : bad ? RELAY_HEADER_ERROR
                                                              : RELAY_HEADER_LINE);
    }
}

/* ---- lines longer than what is read at once ------------------------------ */

enum { LONG = 50 };

/* "NNN:VVV" and CR LF, then BEHIND bytes that are another line's. */
enum { BEHIND = 20 };

static size_t long_line(char *line, size_t name, size_t value)
{
    memset(line, 'N', name);
    line[name] = ':';
    memset(line + name + 1, 'V', value);
    memcpy(line + name + 1 + value, "\r\n", 2);
    memset(line + name + value + 3, 'X', BEHIND);
    return name + value + 3;
}

static void of_any_length(void **state)
{
    char line[2 * LONG + 3 + BEHIND], expected[LONG];

    (void)state;
    for (size_t i = 0; i < LONG * LONG * 2; i++) {
        const size_t name_length = 1 + i % LONG % (LONG - 1), value_length = i / LONG % LONG;
        const size_t length = long_line(line, name_length, value_length);
        const size_t whole = length + (i < LONG * LONG ? BEHIND : 0);
        uint8_t *bytes = copy_of(line, whole), *at = bytes;
        relay_span_t name, value;

        assert_int_equal(relay_header_line(&at, bytes + whole, &name, &value), RELAY_HEADER_LINE);
        assert_int_equal(at - bytes, length);
        memset(expected, 'n', sizeof(expected));
        assert_int_equal(name.len, name_length);
        assert_memory_equal(name.base, expected, name_length);
        memset(expected, 'V', sizeof(expected));
        assert_int_equal(value.len, value_length);
        assert_memory_equal(bytes + name_length, line + name_length, whole - name_length);
        free(bytes);
    }
}

/* Each byte at each place of a long name, and of a long value. */
static void any_byte_anywhere(void **state)
{
    char line[2 * LONG + 3 + BEHIND];

    (void)state;
    for (unsigned byte = 0; byte < 256; byte++) {
        const bool not_in_name = (byte <= ' ' && byte != '\n') || byte == 0x7f;
        for (size_t i = 0; i < LONG; i++) {
            size_t length = long_line(line, LONG, LONG);
            line[i] = (char)byte;
            assert_int_equal(status_of(line, length), i == 0 && byte == '\n' ? RELAY_HEADER_END
                                                      : not_in_name || (i == 0 && byte == ':')
                                                          ? RELAY_HEADER_ERROR
                                                          : RELAY_HEADER_LINE);
            length = long_line(line, LONG, LONG);
            line[LONG + 1 + i] = (char)byte;
            assert_int_equal(status_of(line, length), byte == '\0' || (byte == '\r' && i < LONG - 1)
                                                          ? RELAY_HEADER_ERROR
                                                          : RELAY_HEADER_LINE);
        }
    }
}

/* Only the name changes, and only its capital letters do. */
static void the_text_is_left_alone(void **state)
{
    static const char before[] = "ABZ@[az: ABC\r\nNEXT: Line\r\n";
    static const char after[] = "abz@[az: ABC\r\nNEXT: Line\r\n";
    uint8_t *bytes = copy_of(before, sizeof(before) - 1), *at = bytes;
    relay_span_t name, value;

    (void)state;
    assert_int_equal(relay_header_line(&at, bytes + sizeof(before) - 1, &name, &value),
                     RELAY_HEADER_LINE);
    assert_memory_equal(bytes, after, sizeof(after) - 1);
    assert_int_equal(at - bytes, 14);
    free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_come_out),
        cmocka_unit_test(cut_anywhere_there_is_more_to_come),
        cmocka_unit_test(what_is_refused),
        cmocka_unit_test(every_byte_in_a_name),
        cmocka_unit_test(of_any_length),
        cmocka_unit_test(any_byte_anywhere),
        cmocka_unit_test(the_text_is_left_alone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
