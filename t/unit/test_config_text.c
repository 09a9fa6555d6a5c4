/* Names, headers and times: the sets of characters byte by byte, the calendar day by day. */

#include "config_text.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>

#include <cmocka.h>

static relay_span_t text(const char *string)
{
    return relay_span(string, strlen(string));
}

/* check accepts, at the place of x, exactly the bytes of allowed. */
static void bytes(bool (*check)(relay_span_t), const char *around, const char *allowed)
{
    char name[32];
    size_t place = (size_t)(strchr(around, 'x') - around);

    snprintf(name, sizeof(name), "%s", around);
    for (unsigned byte = 0; byte < 256; byte++) {
        bool expected = byte != 0 && strchr(allowed, (int)byte) != NULL;
        name[place] = (char)byte;
        if (check(relay_span(name, strlen(around))) != expected) {
            print_error("byte %u\n", byte);
            fail();
        }
    }
}

#define ALPHANUMERIC "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

static void character_sets(void **state)
{
    (void)state;
    bytes(relay_config_name_ok, "axb", ALPHANUMERIC "._/-");
    bytes(relay_config_name_ok, "x", ALPHANUMERIC "._/-");
    bytes(relay_model_name_ok, "axb", ALPHANUMERIC "!#$%&()*+-./:;<=>?@[]^_`{|}~");
    bytes(relay_config_header_name_ok, "axb", ALPHANUMERIC "!#$%&'*+-.^_`|~");
    bytes(relay_config_variable_ok, "axb", ALPHANUMERIC "_");
    bytes(relay_config_variable_ok, "xb", "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_");
}

static void lengths(void **state)
{
    char name[300];

    (void)state;
    memset(name, 'n', sizeof(name));
    assert_true(relay_config_name_ok(relay_span(name, 64)));
    assert_false(relay_config_name_ok(relay_span(name, 65)));
    assert_true(relay_model_name_ok(relay_span(name, 256)));
    assert_false(relay_model_name_ok(relay_span(name, 257)));
    assert_true(relay_config_header_name_ok(relay_span(name, 64)));
    assert_false(relay_config_header_name_ok(relay_span(name, 65)));
    assert_false(relay_config_name_ok(relay_span(NULL, 0)));
    assert_false(relay_model_name_ok(relay_span(NULL, 0)));
    assert_false(relay_config_header_name_ok(relay_span(NULL, 0)));
    assert_false(relay_config_variable_ok(relay_span(NULL, 0)));
}

static void printable_texts(void **state)
{
    (void)state;
    assert_true(relay_config_printable(text("caf\xc3\xa9 \xe2\x82\xac \xc2\xa0")));
    assert_false(relay_config_printable(text("a\x1f")));
    assert_false(relay_config_printable(text("a\x7f")));
    assert_false(relay_config_printable(text("a\xc2\x80")));
    assert_false(relay_config_printable(text("\xc2\x9f")));
    assert_false(relay_config_printable(relay_span("a\0b", 3)));
    assert_true(relay_config_ascii(text(" ~"), true));
    assert_false(relay_config_ascii(text(" ~"), false));
    assert_true(relay_config_ascii(text("!~"), false));
    assert_false(relay_config_ascii(text("\t"), true));
    assert_false(relay_config_ascii(text("\x7f"), true));
    assert_false(relay_config_ascii(text("\xc3\xa9"), true));
}

static void reserved_headers(void **state)
{
    (void)state;
    assert_true(relay_config_header_reserved(text("host")));
    assert_true(relay_config_header_reserved(text("content-length")));
    assert_true(relay_config_header_reserved(text("transfer-encoding")));
    assert_true(relay_config_header_reserved(text("connection")));
    assert_true(relay_config_header_reserved(text("accept-encoding")));
    assert_false(relay_config_header_reserved(text("hos")));
    assert_false(relay_config_header_reserved(text("x-host")));
}

/* ---- times ------------------------------------------------------------------- */

static void assert_time(const char *written, uint64_t expected)
{
    uint64_t seconds = UINT64_MAX;

    if (!relay_config_time(text(written), &seconds) || seconds != expected) {
        print_error("%s: %llu\n", written, (unsigned long long)seconds);
        fail();
    }
}

static void known_times(void **state)
{
    (void)state;
    assert_time("2027-01-01T00:00:00Z", 1798761600);
    assert_time("1970-01-01T00:00:01Z", 1);
    assert_time("2000-02-29T12:34:56Z", 951827696);
    assert_time("9999-12-31T23:59:59Z", 253402300799);
    assert_time("2027-01-01T00:00:00.123456Z", 1798761600);
    assert_time("2027-01-01T01:30:00+01:30", 1798761600);
    assert_time("2026-12-31T19:00:00-05:00", 1798761600);
    assert_time("2027-01-01T00:00:00.9+00:00", 1798761600);
}

/* Every day of 200 years, against the C library. */
static void every_day(void **state)
{
    char written[64];

    (void)state;
    for (time_t day = 1; day < 200 * 365; day++) {
        time_t seconds = day * 86400 + day % 86400;
        struct tm parts;
        gmtime_r(&seconds, &parts);
        strftime(written, sizeof(written), "%Y-%m-%dT%H:%M:%SZ", &parts);
        assert_time(written, (uint64_t)seconds);
    }
}

static void no_times(void **state)
{
    static const char *const written[] = {
        "",
        "2027",
        "2027-01-01",
        "2027-01-01T00:00:00",
        "2027-01-01 00:00:00Z",
        "2027-01-01T00Z",
        "2027-01-01T00:00Z",
        "2027-01-01t00:00:00Z",
        "2027-01-01T00:00:00z",
        "2027-00-01T00:00:00Z",
        "2027-13-01T00:00:00Z",
        "2027-01-00T00:00:00Z",
        "2027-01-32T00:00:00Z",
        "2027-02-29T00:00:00Z",
        "2100-02-29T00:00:00Z",
        "2027-04-31T00:00:00Z",
        "2027-01-01T24:00:00Z",
        "2027-01-01T00:60:00Z",
        "2027-01-01T00:00:60Z",
        "1969-12-31T23:59:59Z",
        "1970-01-01T00:00:00Z", /* 0 means never */
        "1970-01-01T00:30:00+00:30",
        "2027-01-01T00:00:00ZZ",
        "2027-01-01T00:00:00+1:00",
        "2027-01-01T00:00:00+01",
        "2027-01-01T00:00:00*01:00",
        "2027-01-01T00:00:00+01:000",
        "2027-01-01T00:00:00",
        "2027-01-01T00:00:00+",
        "2027-01-01T00:00:00+24:00",
        "2027-01-01T00:00:00+00:60",
        "2027-01-01T00:00:00.Z",
        "2027-01-01T00:00:00.",
        "02027-01-01T00:00:00Z",
        "+027-01-01T00:00:00Z",
        "2027-1-01T00:00:00Z",
        "2027-01-01T00:00:00 Z",
    };
    uint64_t seconds;

    (void)state;
    for (size_t i = 0; i < sizeof(written) / sizeof(written[0]); i++) {
        if (relay_config_time(text(written[i]), &seconds)) {
            print_error("accepted: %s\n", written[i]);
            fail();
        }
    }
    assert_false(relay_config_time(relay_span(NULL, 0), &seconds));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(character_sets),  cmocka_unit_test(lengths),
        cmocka_unit_test(printable_texts), cmocka_unit_test(reserved_headers),
        cmocka_unit_test(known_times),     cmocka_unit_test(every_day),
        cmocka_unit_test(no_times),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
