/* Signature Version 4: AWS's published vectors, a Bedrock request, what is refused. */

#include "sigv4.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define SECRET "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
#define EMPTY  "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

static relay_span_t text_of(const char *string)
{
    return relay_span(string, strlen(string));
}

static relay_sigv4_request_t example(void)
{
    return (relay_sigv4_request_t){.method = RELAY_SPAN("GET"),
                                   .path = RELAY_SPAN("/"),
                                   .host = RELAY_SPAN("example.amazonaws.com"),
                                   .body_hash = RELAY_SPAN(EMPTY),
                                   .region = RELAY_SPAN("us-east-1"),
                                   .service = RELAY_SPAN("service"),
                                   .time_s = 1440938160};
}

static relay_sigv4_credentials_t credentials_of(const char *text)
{
    relay_sigv4_credentials_t credentials;

    assert_true(relay_sigv4_credentials(text_of(text), &credentials));
    return credentials;
}

/* The whole header value; the caller frees. */
static char *authorize(const relay_sigv4_request_t *request, const char *secret, const char *date)
{
    relay_sigv4_credentials_t credentials = credentials_of(secret);
    uint8_t day[RELAY_SIGV4_DATE_LEN];
    relay_buf_t out =
        relay_buf(malloc(RELAY_SIGV4_AUTHORIZATION_MAX + 1), RELAY_SIGV4_AUTHORIZATION_MAX);
    relay_buf_t time = relay_buf(day, sizeof(day));

    assert_non_null(out.base);
    assert_true(relay_sigv4_sign(request, &credentials, &out, &time));
    assert_true(relay_span_eq(relay_buf_span(&time), text_of(date)));
    out.base[out.len] = '\0';
    return (char *)out.base;
}

static void check_signature(const relay_sigv4_request_t *request, const char *headers,
                            const char *signature)
{
    char *value = authorize(request, "AKIDEXAMPLE:" SECRET, "20150830T123600Z");
    char expected[RELAY_SIGV4_AUTHORIZATION_MAX];

    snprintf(expected, sizeof(expected),
             "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, "
             "SignedHeaders=%s, Signature=%s",
             headers, signature);
    assert_string_equal(value, expected);
    free(value);
}

/* The published suite, as far as its headers are ours: name, path, query, signature. */
static void published_vectors_match(void **state)
{
    static const struct {
        const char *method, *path, *query, *signature;
    } cases[] = {
        {"GET", "/", "", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
        {"POST", "/", "", "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"},
        {"GET", "/\xe1\x88\xb4", "",
         "8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85"},
        {"GET", "/-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz", "",
         "07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f"},
        {"GET", "/", "Param2=value2&Param1=value1",
         "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500"},
        {"GET", "/", "Param1=value1",
         "a67d582fa61cc504c4bae71f336f98b97f1ea3c7a6bfe1b6e45aec72011b9aeb"},
        {"GET", "/",
         "-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz=-._~0123456789"
         "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz",
         "9c3e54bfcdf0b19771a7f523ee5669cdf59bc7cc0884027167c21bb143a40197"},
        /* what the suite calls normalized paths */
        {"GET", "/./", "", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
        {"GET", "//", "", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        relay_sigv4_request_t request = example();
        request.method = text_of(cases[i].method);
        request.path = text_of(cases[i].path);
        request.query = text_of(cases[i].query);
        check_signature(&request, "host;x-amz-date", cases[i].signature);
    }
}

static void a_content_type_is_signed(void **state)
{
    const relay_span_t body[] = {RELAY_SPAN("Param1"), RELAY_SPAN("=value1")};
    uint8_t hash[RELAY_SIGV4_HASH_LEN];
    relay_sigv4_request_t request = example();

    (void)state;
    assert_true(relay_sigv4_hash(body, 2, hash));
    request.method = RELAY_SPAN("POST");
    request.content_type = RELAY_SPAN("application/x-www-form-urlencoded");
    request.body_hash = relay_span(hash, sizeof(hash));
    check_signature(&request, "content-type;host;x-amz-date",
                    "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a");
    /* spaces around a value and in a row do not count */
    request.host = RELAY_SPAN("  example.amazonaws.com ");
    check_signature(&request, "content-type;host;x-amz-date",
                    "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a");
}

/* The model is encoded in the path and once more in what is signed; the signature
 * was computed apart from this code. */
static void a_bedrock_request_with_a_session_is_signed(void **state)
{
    const relay_span_t body = RELAY_SPAN("{\"messages\":[]}");
    uint8_t hash[RELAY_SIGV4_HASH_LEN];
    relay_sigv4_request_t request = example();
    char *value;

    (void)state;
    assert_true(relay_sigv4_hash(&body, 1, hash));
    request.method = RELAY_SPAN("POST");
    request.path = RELAY_SPAN("/model/anthropic.claude-test-1%3A0/converse");
    request.host = RELAY_SPAN("bedrock-runtime.us-west-2.amazonaws.com");
    request.content_type = RELAY_SPAN("application/json");
    request.body_hash = relay_span(hash, sizeof(hash));
    request.region = RELAY_SPAN("us-west-2");
    request.service = RELAY_SPAN("bedrock");
    request.time_s = 1793491262;
    value = authorize(&request,
                      "ASIAEXAMPLE:" SECRET ":IQoJb3JpZ2luX2VjEXAMPLE//+==", "20261101T000102Z");
    assert_string_equal(
        value, "AWS4-HMAC-SHA256 Credential=ASIAEXAMPLE/20261101/us-west-2/bedrock/aws4_request, "
               "SignedHeaders=content-type;host;x-amz-date;x-amz-security-token, "
               "Signature=75659e5e5eb524bbdb622ae2808813d505aafd8a5983adc355dc6bcd0f3c9497");
    free(value);
}

static void dates_are_those_of_the_calendar(void **state)
{
    static const struct {
        uint64_t time_s;
        const char *date;
    } cases[] = {
        {0, "19700101T000000Z"},          {951782400, "20000229T000000Z"},
        {951868799, "20000229T235959Z"},  {951868800, "20000301T000000Z"},
        {1709164800, "20240229T000000Z"}, {1735689599, "20241231T235959Z"},
        {4107542400, "21000301T000000Z"}, {253402300799, "99991231T235959Z"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        relay_sigv4_request_t request = example();
        request.time_s = cases[i].time_s;
        free(authorize(&request, "AKIDEXAMPLE:" SECRET, cases[i].date));
    }
}

/* Parameters sort by their encoded names, then values; spelling does not count. */
static void queries_are_brought_into_order(void **state)
{
    static const char *const same[] = {"a-b=1&a=2&a=%201&k", "k=&a=%201&&a-b=1&a=2",
                                       "%61=2&a=%201&%6b&a%2Db=1&", "a=2&a= 1&a-b=1&k="};
    relay_sigv4_request_t request = example();
    char *first, *other;

    (void)state;
    request.query = text_of(same[0]);
    first = authorize(&request, "AKIDEXAMPLE:" SECRET, "20150830T123600Z");
    for (size_t i = 1; i < sizeof(same) / sizeof(same[0]); i++) {
        request.query = text_of(same[i]);
        other = authorize(&request, "AKIDEXAMPLE:" SECRET, "20150830T123600Z");
        assert_string_equal(other, first);
        free(other);
    }
    request.query = RELAY_SPAN("a=2&a=%20&a-b=1&k=");
    other = authorize(&request, "AKIDEXAMPLE:" SECRET, "20150830T123600Z");
    assert_string_not_equal(other, first);
    free(other);
    free(first);
}

static bool signs(const relay_sigv4_request_t *request,
                  const relay_sigv4_credentials_t *credentials, size_t room)
{
    uint8_t bytes[RELAY_SIGV4_AUTHORIZATION_MAX], day[RELAY_SIGV4_DATE_LEN];
    relay_buf_t out = relay_buf(bytes, room), time = relay_buf(day, sizeof(day));
    bool good = relay_sigv4_sign(request, credentials, &out, &time);

    assert_true(good ? out.len != 0 && time.len == sizeof(day) : out.len == 0 && time.len == 0);
    return good;
}

static void what_cannot_be_signed_is_refused(void **state)
{
    relay_sigv4_credentials_t credentials = credentials_of("AKIDEXAMPLE:" SECRET);
    char many[RELAY_SIGV4_QUERY_MAX + 3], parameters[4 * (RELAY_SIGV4_PARAMETERS_MAX + 1)];
    relay_sigv4_request_t request = example();

    (void)state;
    assert_true(signs(&request, &credentials, RELAY_SIGV4_AUTHORIZATION_MAX));
    assert_false(signs(&request, &credentials, 100));
#define REFUSED(member, value)                                                                     \
    do {                                                                                           \
        request = example();                                                                       \
        request.member = (value);                                                                  \
        assert_false(signs(&request, &credentials, RELAY_SIGV4_AUTHORIZATION_MAX));                \
    } while (0)
    REFUSED(path, RELAY_SPAN("/a/../b"));
    REFUSED(path, RELAY_SPAN("model"));
    REFUSED(host, RELAY_SPAN(""));
    REFUSED(body_hash, RELAY_SPAN("e3b0"));
    REFUSED(region, RELAY_SPAN(""));
    REFUSED(region, RELAY_SPAN("us east"));
    REFUSED(service,
            RELAY_SPAN("01234567890123456789012345678901234567890123456789012345678901234"));
    REFUSED(time_s, UINT64_C(253402300800));
    memset(many, 'a', sizeof(many));
    REFUSED(query, relay_span(many, sizeof(many)));
    memset(parameters, '&', sizeof(parameters));
    for (size_t i = 0; i < sizeof(parameters); i += 4) {
        memcpy(parameters + i, "a=1", 3);
    }
    REFUSED(query, relay_span(parameters, sizeof(parameters)));
    request = example();
    request.query = relay_span(parameters, sizeof(parameters) - 4);
    assert_true(signs(&request, &credentials, RELAY_SIGV4_AUTHORIZATION_MAX));
}

/* The longest of everything still fits what the header promises. */
static void the_longest_value_fits(void **state)
{
    char text[2 * RELAY_SIGV4_SECRET_MAX + 1 + 1 + 4];
    char place[RELAY_SIGV4_PLACE_MAX];
    relay_sigv4_request_t request = example();
    relay_sigv4_credentials_t credentials;

    (void)state;
    memset(text, 'K', sizeof(text));
    text[RELAY_SIGV4_SECRET_MAX] = ':';
    text[2 * RELAY_SIGV4_SECRET_MAX + 1] = ':';
    memset(place, 'p', sizeof(place));
    request.region = request.service = relay_span(place, sizeof(place));
    request.content_type = RELAY_SPAN("application/json");
    assert_true(relay_sigv4_credentials(relay_span(text, sizeof(text)), &credentials));
    assert_true(signs(&request, &credentials, RELAY_SIGV4_AUTHORIZATION_MAX));
}

static void credentials_are_taken_apart(void **state)
{
    static const char *const bad[] = {
        "",        "AKID",         "AKID:",         ":secret",   "AKID:secret:",
        "A:b:c:d", "AK ID:secret", "AKID:sec\nret", "AKID:s\x80"};
    relay_sigv4_credentials_t credentials = credentials_of("AKID:se/cr+et=:token//==");
    char longest[2 * RELAY_SIGV4_SECRET_MAX + 2];

    (void)state;
    assert_true(relay_span_eq(credentials.access_key_id, RELAY_SPAN("AKID")));
    assert_true(relay_span_eq(credentials.secret_access_key, RELAY_SPAN("se/cr+et=")));
    assert_true(relay_span_eq(credentials.session_token, RELAY_SPAN("token//==")));
    credentials = credentials_of("AKID:secret");
    assert_int_equal(credentials.session_token.len, 0);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_false(relay_sigv4_credentials(text_of(bad[i]), &credentials));
    }
    memset(longest, 'a', sizeof(longest));
    longest[RELAY_SIGV4_SECRET_MAX] = ':';
    assert_true(relay_sigv4_credentials(relay_span(longest, sizeof(longest) - 1), &credentials));
    assert_false(relay_sigv4_credentials(relay_span(longest, sizeof(longest)), &credentials));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(published_vectors_match),
        cmocka_unit_test(a_content_type_is_signed),
        cmocka_unit_test(a_bedrock_request_with_a_session_is_signed),
        cmocka_unit_test(dates_are_those_of_the_calendar),
        cmocka_unit_test(queries_are_brought_into_order),
        cmocka_unit_test(what_cannot_be_signed_is_refused),
        cmocka_unit_test(the_longest_value_fits),
        cmocka_unit_test(credentials_are_taken_apart),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
