/* Which headers belong to which vendor: each name of the table, its edges, and
 * that nothing else is anybody's. */

#include "wire_headers.c"

#include "wire_anthropic.h"
#include "wire_openai.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static bool owns(const char *dialect, const char *name)
{
    relay_dialect_t made = {.name = relay_span(dialect, strlen(dialect))};

    return relay_wire_owns_header(&made, relay_span(name, strlen(name)));
}

/* Names as vendors' servers and SDKs send them. */
static const struct {
    const char *dialect;
    const char *name;
} known[] = {
    {"openai", "openai-organization"},
    {"openai", "openai-project"},
    {"openai", "openai-beta"},
    {"openai", "openai-processing-ms"},
    {"openai", "x-openai-client-user-agent"},
    {"openai", "x-codex-turn-state"},
    {"openai", "x-ratelimit-remaining-tokens"},
    {"openai", "chatgpt-account-id"},
    {"anthropic", "anthropic-version"},
    {"anthropic", "anthropic-beta"},
    {"anthropic", "anthropic-dangerous-direct-browser-access"},
    {"anthropic", "anthropic-ratelimit-requests-limit"},
    {"anthropic", "x-claude-code-session-id"},
    {"gemini", "x-goog-api-client"},
    {"gemini", "x-goog-user-project"},
    {"gemini", "x-gemini-service-tier"},
    {"bedrock", "x-amz-date"},
    {"bedrock", "x-amzn-requestid"},
    {"bedrock", "amz-sdk-invocation-id"},
};

static const char *const dialects[] = {"openai", "anthropic", "gemini", "bedrock", "relay"};

#define COUNT(list) (sizeof(list) / sizeof((list)[0]))

static void each_belongs_to_one(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(known); i++) {
        for (size_t j = 0; j < COUNT(dialects); j++) {
            bool own = strcmp(known[i].dialect, dialects[j]) == 0;
            if (owns(dialects[j], known[i].name) != own) {
                fail_msg("%s, of %s", known[i].name, dialects[j]);
            }
        }
    }
}

/* The dialects of the registry are called what the table calls them. */
static void names_of_the_registry(void **state)
{
    (void)state;
    assert_true(relay_wire_owns_header(&relay_dialect_openai, RELAY_SPAN("openai-beta")));
    assert_false(relay_wire_owns_header(&relay_dialect_openai, RELAY_SPAN("anthropic-beta")));
    assert_true(relay_wire_owns_header(&relay_dialect_anthropic, RELAY_SPAN("anthropic-beta")));
    assert_false(relay_wire_owns_header(&relay_dialect_anthropic, RELAY_SPAN("openai-beta")));
}

static void what_an_sdk_says_of_itself_is_anybodys(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(dialects); i++) {
        assert_true(owns(dialects[i], "x-stainless-lang"));
        assert_true(owns(dialects[i], "X-Stainless-Retry-Count"));
    }
}

static void any_case(void **state)
{
    (void)state;
    assert_true(owns("openai", "OpenAI-Organization"));
    assert_true(owns("openai", "X-RATELIMIT-LIMIT-REQUESTS"));
    assert_true(owns("anthropic", "Anthropic-Version"));
    assert_true(owns("gemini", "X-Goog-Api-Key"));
    assert_true(owns("bedrock", "X-Amz-Target"));
    assert_false(owns("openai", "Anthropic-Version"));
}

/* Headers of nobody: of HTTP, of the caller's own, and ones that look alike. */
static void the_rest_passes(void **state)
{
    static const char *const others[] = {
        "content-type",   "user-agent",    "x-team",          "x-request-id",     "request-id",
        "traceparent",    "retry-after",   "x-should-retry",  "x-relay-dropped",  "session_id",
        "x-openai",       "x-ratelimit",   "xopenai-beta",    "x-anthropic-beta", "my-openai-beta",
        "anthropic_beta", "x-stainlesss-", "x-amazon-thing-", "x-google-thing",   "chatgpt",
    };

    (void)state;
    for (size_t i = 0; i < COUNT(others); i++) {
        for (size_t j = 0; j < COUNT(dialects); j++) {
            if (owns(dialects[j], others[i])) {
                fail_msg("%s, of %s", others[i], dialects[j]);
            }
        }
    }
}

/* A name that ends within a prefix is none of its names; nothing behind the
 * name is read. */
static void lengths(void **state)
{
    static const char text[] = "openai-beta";

    (void)state;
    assert_true(relay_wire_owns_header(&relay_dialect_openai, relay_span(text, 7)));
    for (size_t len = 0; len < 7; len++) {
        assert_false(relay_wire_owns_header(&relay_dialect_openai, relay_span(text, len)));
    }
    assert_false(relay_wire_owns_header(&relay_dialect_openai, relay_span(NULL, 0)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_belongs_to_one),
        cmocka_unit_test(names_of_the_registry),
        cmocka_unit_test(what_an_sdk_says_of_itself_is_anybodys),
        cmocka_unit_test(any_case),
        cmocka_unit_test(the_rest_passes),
        cmocka_unit_test(lengths),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
