/* Base URLs: what is taken apart how, and what is refused with which words. */

#include "url.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static relay_span_t text(const char *string)
{
    return relay_span(string, strlen(string));
}

static void assert_span(relay_span_t span, const char *expected)
{
    char got[4096];

    snprintf(got, sizeof(got), "%.*s", (int)span.len, (const char *)span.base);
    assert_string_equal(got, expected);
}

static void taken_apart(void **state)
{
    static const struct {
        const char *url;
        bool tls;
        const char *host;
        unsigned port;
        bool default_port;
        const char *path;
    } cases[] = {
        {"https://api.example.com", true, "api.example.com", 443, true, ""},
        {"https://api.example.com/", true, "api.example.com", 443, true, ""},
        {"https://api.example.com/v1", true, "api.example.com", 443, true, "/v1"},
        {"https://api.example.com/v1//", true, "api.example.com", 443, true, "/v1"},
        {"HTTPS://API.Example.COM/V1", true, "API.Example.COM", 443, true, "/V1"},
        {"http://127.0.0.1:11434/v1", false, "127.0.0.1", 11434, false, "/v1"},
        {"http://localhost:80", false, "localhost", 80, true, ""},
        {"https://localhost:80", true, "localhost", 80, false, ""},
        {"http://h:65535", false, "h", 65535, false, ""},
        {"http://h:1/", false, "h", 1, false, ""},
        {"http://[::1]:8080/v1", false, "::1", 8080, false, "/v1"},
        {"https://[2001:DB8::a.b]", true, NULL, 0, false, NULL},
        {"https://[2001:db8:0:1:2:3:4:5]/x", true, "2001:db8:0:1:2:3:4:5", 443, true, "/x"},
        {"https://[1:2:3:4:5:6:10.0.0.1]", true, "1:2:3:4:5:6:10.0.0.1", 443, true, ""},
        {"https://a.0bc", true, "a.0bc", 443, true, ""},
        {"https://a.ax1", true, "a.ax1", 443, true, ""},
        {"https://0.example", true, "0.example", 443, true, ""},
        {"https://[::ffff:10.0.0.1]", true, "::ffff:10.0.0.1", 443, true, ""},
        {"https://h/a%2Fb/~x;y=1,2:3@4!$&'()*+", true, "h", 443, true,
         "/a%2Fb/~x;y=1,2:3@4!$&'()*+"},
        {"https://z.Zz/aAzZ09", true, "z.Zz", 443, true, "/aAzZ09"},
        {"https://a-b.1c.x9/...", true, "a-b.1c.x9", 443, true, "/..."},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        relay_url_t url;
        const char *fault = relay_url_parse(text(cases[i].url), &url);
        if (cases[i].host == NULL) {
            assert_non_null(fault);
            continue;
        }
        assert_null(fault);
        assert_int_equal(url.tls, cases[i].tls);
        assert_span(url.host, cases[i].host);
        assert_int_equal(url.bracketed, strchr(cases[i].host, ':') != NULL);
        assert_int_equal(url.port, cases[i].port);
        assert_int_equal(url.default_port, cases[i].default_port);
        assert_span(url.path, cases[i].path);
    }
}

static void refused(void **state)
{
    static const struct {
        const char *url;
        const char *fault; /* part of it */
    } cases[] = {
        {"", "starts with https://"},
        {"api.example.com", "starts with https://"},
        {"ftp://h", "starts with https://"},
        {"https:/h", "starts with https://"},
        {"https://", "host name"},
        {"https:///v1", "host name"},
        {"https://:80", "host name"},
        {"https://user@h", "no user name or password"},
        {"https://user:pass@h/v1", "no user name or password"},
        {"https://h:", "port"},
        {"https://h:0", "port"},
        {"https://h:65536", "port"},
        {"https://h:080", "port"},
        {"https://h:8080x", "port"},
        {"https://h:-1", "port"},
        {"https://h:99999999999999999999", "port"},
        {"https://a_b", "host name"},
        {"https://-a", "host name"},
        {"https://a-", "host name"},
        {"https://a..b", "host name"},
        {"https://.a", "host name"},
        {"https://a.", "host name"},
        {"https://a b", "host name"},
        {"https://1.2.3", "host name"},
        {"https://1.2.3.4.5", "host name"},
        {"https://256.1.1.1", "host name"},
        {"https://01.1.1.1", "host name"},
        {"https://127.1", "host name"},
        {"https://2130706433", "host name"},
        {"https://0x7f.1", "host name"},
        {"https://a.0x7F", "host name"},
        {"https://h%41", "host name"},
        {"https://\xc3\xa9.example", "host name"},
        {"https://::1", "host name"},
        {"https://[::1", "IPv6"},
        {"https://[::1]x", "only a port"},
        {"https://[]", "IPv6"},
        {"https://[:::]", "IPv6"},
        {"https://[1::2::3]", "IPv6"},
        {"https://[1:2:3:4:5:6:7]", "IPv6"},
        {"https://[1:2:3:4:5:6:7:8:9]", "IPv6"},
        {"https://[1:2:3:4::5:6:7:8]", "IPv6"},
        {"https://[12345::]", "IPv6"},
        {"https://[fe80::1%25eth0]", "IPv6"},
        {"https://[::1.2.3.4:1]", "IPv6"},
        {"https://[1.2.3.4::]", "IPv6"},
        {"https://h?x", "query"},
        {"https://h/v1?x=1", "query"},
        {"https://h/v1#x", "fragment"},
        {"https://h#x", "fragment"},
        {"https://h/a/../b", "segment"},
        {"https://h/.", "segment"},
        {"https://h/./", "segment"},
        {"https://h/a/%2e%2E", "segment"},
        {"https://h/a/.%2e/b", "segment"},
        {"https://h/a b", "not allowed"},
        {"https://h/a\tb", "not allowed"},
        {"https://h/a\"b", "not allowed"},
        {"https://h\\a", "not allowed"},
        {"https://h/\xc3\xa9", "not allowed"},
        {"https://a.0x", "host name"},
        {"https://h/%zz", "hexadecimal"},
        {"https://h/%2z", "hexadecimal"},
        {"https://h/%z2", "hexadecimal"},
        {"https://h/%2", "hexadecimal"},
        {"https://h/%", "hexadecimal"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        relay_url_t url;
        const char *fault = relay_url_parse(text(cases[i].url), &url);
        if (fault == NULL || strstr(fault, cases[i].fault) == NULL) {
            print_error("%s: %s\n", cases[i].url, fault != NULL ? fault : "accepted");
            fail();
        }
    }
}

static void lengths(void **state)
{
    char url[4096] = "https://h/";
    relay_url_t parts;

    (void)state;
    memset(url + 10, 'a', 2048 - 10);
    assert_null(relay_url_parse(relay_span(url, 2048), &parts));
    url[2048] = 'a';
    assert_non_null(relay_url_parse(relay_span(url, 2049), &parts));
    assert_non_null(relay_url_parse(relay_span("https://h\0x", 11), &parts));
    assert_non_null(relay_url_parse(relay_span("https://h/\0x", 12), &parts));
    assert_non_null(relay_url_parse(relay_span(NULL, 0), &parts));
}

static void label_and_name_lengths(void **state)
{
    char name[300];

    (void)state;
    memset(name, 'a', sizeof(name));
    assert_true(relay_host_name_ok(relay_span(name, 63), false));
    assert_false(relay_host_name_ok(relay_span(name, 64), false));
    for (size_t i = 50; i < sizeof(name); i += 50) {
        name[i] = '.';
    }
    assert_true(relay_host_name_ok(relay_span(name, 253), false));
    assert_false(relay_host_name_ok(relay_span(name, 254), false));
    assert_true(relay_host_name_ok(text("::1"), true));
    assert_false(relay_host_name_ok(text("::1"), false));
    assert_false(relay_host_name_ok(relay_span(NULL, 0), true));
}

static void paths(void **state)
{
    (void)state;
    assert_null(relay_url_path_fault(text("/chat/completions")));
    assert_null(relay_url_path_fault(text("/")));
    assert_non_null(relay_url_path_fault(text("chat")));
    assert_non_null(relay_url_path_fault(text("")));
    assert_non_null(relay_url_path_fault(text("/a?b")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(taken_apart), cmocka_unit_test(refused),
        cmocka_unit_test(lengths),     cmocka_unit_test(label_and_name_lengths),
        cmocka_unit_test(paths),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
