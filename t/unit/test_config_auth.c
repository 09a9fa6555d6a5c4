/* How hosts are shown a provider key. */

#include "config_auth.c"

#include "entry_check.h"

#define HOST(rest) "{'hosts': {'h': {'base_url': 'https://h', " rest "}}}"
#define CHAT       "'formats': ['openai-chat', 'anthropic-messages'], "

static void check_auth(const relay_host_t *host, const char *format, const char *header,
                       const char *prefix)
{
    relay_auth_header_t auth = relay_host_auth(host, format != NULL ? entry_wire(format) : NULL);

    check_span(auth.header, header);
    check_span(auth.prefix, prefix);
}

static void formats_have_their_own_headers(void **state)
{
    entry_t *entry = entry_good(
        HOST(CHAT "'auth': {'header': 'api-key', 'formats': {'anthropic-messages':"
                  "{'header': 'Authorization'}, 'gemini': {'header': 'x-g', 'prefix': 'G '}}}"),
        false);
    const relay_host_t *h = entry_host(entry, "h");

    (void)state;
    check_auth(h, "openai-chat", "api-key", "");
    check_auth(h, "anthropic-messages", "authorization", "Bearer ");
    check_auth(h, "gemini", "x-g", "G ");
    check_auth(h, NULL, "api-key", "");
    entry_free(entry);

    entry = entry_good(HOST(CHAT "'auth': {'formats': {'telepathy': 5, 'vertex-anthropic':"
                                 "{'header': 'x'}}}"),
                       true);
    check_auth(entry_host(entry, "h"), "anthropic-messages", "x", "");
    check_auth(entry_host(entry, "h"), "openai-chat", "authorization", "Bearer ");
    entry_free(entry);
    entry = entry_good(HOST("'formats': ['openai-chat']"), false);
    check_auth(entry_host(entry, "h"), "openai-chat", "authorization", "Bearer ");
    entry_free(entry);
}

static void signatures(void **state)
{
    static const char *const documents[] = {
        HOST(CHAT "'auth': {'type': 'sigv4', 'service': 'bedrock', 'region': 'eu-1'}"),
        HOST(CHAT "'auth': {'service': 'bedrock', 'type': 'sigv4'},"
                  "'variables': {'region': 'eu-1'}"),
        HOST(CHAT "'variables': {'region': 'us-1'},"
                  "'auth': {'type': 'sigv4', 'service': 'bedrock', 'region': 'eu-1'}"),
    };

    (void)state;
    for (size_t i = 0; i < 2 * sizeof(documents) / sizeof(documents[0]); i++) {
        entry_t *entry = entry_good(documents[i / 2], i % 2 != 0);
        const relay_host_t *h = entry_host(entry, "h");
        assert_int_equal(h->auth_type, RELAY_AUTH_SIGV4);
        assert_false(h->keyless);
        check_span(h->auth_service, "bedrock");
        check_span(h->auth_region, "eu-1");
        check_span(h->auth_header, "authorization");
        entry_free(entry);
    }
    entry_refused(HOST(CHAT "'auth': {'type': 'sigv4', 'service': 'bedrock'}"), false,
                  "hosts.h.auth", "expected \"region\", here or in the host's \"variables\"");
    entry_refused(HOST(CHAT "'auth': {'type': 'sigv4', 'region': 'x'}"), false, "hosts.h.auth",
                  "expected \"service\"");
    entry_refused(HOST(CHAT "'auth': {'type': 'sigv4', 'region': 'a b'}"), false,
                  "hosts.h.auth.region", "expected letters");
}

/* To a worker, an access token is any secret. */
static void service_accounts(void **state)
{
    entry_t *entry =
        entry_good(HOST(CHAT "'auth': {'type': 'oauth-service-account', 'scope': 'https://s',"
                             "'header': 'authorization', 'prefix': 'Bearer '}"),
                   false);

    (void)state;
    assert_int_equal(entry_host(entry, "h")->auth_type, RELAY_AUTH_OAUTH);
    check_auth(entry_host(entry, "h"), "openai-chat", "authorization", "Bearer ");
    entry_free(entry);
}

/* A patch on a host of the catalog leaves members that belong to another way. */
static void members_of_another_way_mean_nothing(void **state)
{
    entry_t *entry =
        entry_good(HOST(CHAT "'auth': {'type': 'header', 'service': 'bedrock', 'token_url': 'u',"
                             "'header': 'x-key'}"),
                   false);

    (void)state;
    assert_int_equal(entry_host(entry, "h")->auth_type, RELAY_AUTH_HEADER);
    check_auth(entry_host(entry, "h"), "openai-chat", "x-key", "");
    entry_free(entry);
}

static void what_is_refused(void **state)
{
    (void)state;
    entry_refused(HOST(CHAT "'auth': {'type': 'sigv5'}"), false, "hosts.h.auth.type",
                  "expected \"header\", \"none\", \"sigv4\" or \"oauth-service-account\"");
    entry_refused(HOST(CHAT "'auth': {'formats': {'telepathy': {'header': 'x'}}}"), false,
                  "hosts.h.auth.formats.telepathy", "there is no format");
    entry_refused(HOST(CHAT "'auth': {'formats': {'gemini': {'prefix': 'x'}}}"), true,
                  "hosts.h.auth.formats.gemini", "expected \"header\"");
    entry_refused(HOST(CHAT "'auth': {'formats': {'gemini': {'header': 'host'}}}"), true,
                  "hosts.h.auth.formats.gemini.header", "is set by Relay alone");
    entry_refused(HOST(CHAT "'auth': {'formats': []}"), true, "hosts.h.auth.formats",
                  "expected an object of headers by format");
    entry_refused(HOST(CHAT "'headers': {'x-g': '1'}, 'auth': {'formats': {'gemini':"
                            "{'header': 'X-G'}}}"),
                  false, "hosts.h.headers.x-g", "carries the provider key");
}

static void memory_may_run_out(void **state)
{
    (void)state;
    entry_without_memory(HOST(CHAT
                              "'auth': {'type': 'sigv4', 'service': 'b', 'formats': {'gemini':"
                              "{'header': 'X', 'prefix': 'y'}}}, 'variables': {'region': 'r'}"),
                         false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(formats_have_their_own_headers),
        cmocka_unit_test(signatures),
        cmocka_unit_test(service_accounts),
        cmocka_unit_test(members_of_another_way_mean_nothing),
        cmocka_unit_test(what_is_refused),
        cmocka_unit_test(memory_may_run_out),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
