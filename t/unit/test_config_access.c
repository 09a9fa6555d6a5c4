/*
 * What the control plane adds to documents: sealed provider keys, workspaces,
 * revocations. What is refused of them is the subject of test_config_read.c.
 * Documents are written with ' for ".
 */

#include "config_access.c"

#include "config_check.h"

#define A "'hosts': {'a': {'base_url': 'https://h', 'formats': ['openai-chat']}}"

static const relay_config_t *build_document(check_arena_t *arena, const char *written)
{
    char document[CHECK_DOCUMENT_MAX];
    const relay_config_t *config;

    check_prepare(written, document);
    config = check_build(arena, document);
    memset(document, 'x', sizeof(document)); /* nothing may point here */
    return config;
}

/* ---- provider keys ---------------------------------------------------------- */

/* 28 bytes, the least: an empty text sealed. */
#define SEALED "dp-1_a.AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGw"

static void sealed_keys_are_read(void **state)
{
    check_arena_t arena = {0};
    const relay_config_t *config =
        build_document(&arena, "{" A ", 'provider_keys': {"
                               "'k': {'host': 'a', 'version': 9007199254740992, 'sealed': '" SEALED
                               "'}, 'l': {'host': 'a', 'value': '" SEALED "'}}}");
    const relay_provider_key_t *sealed = &config->provider_keys[0],
                               *plain = &config->provider_keys[1];

    (void)state;
    assert_int_equal(sealed->secret_kind, RELAY_SECRET_SEALED);
    check_span(sealed->sealing_key, "dp-1_a");
    assert_int_equal(sealed->secret.len, 28);
    for (uint8_t i = 0; i < 28; i++) {
        assert_int_equal(sealed->secret.base[i], i);
    }
    assert_int_equal(sealed->version, UINT64_C(1) << 53);
    assert_int_equal(plain->secret_kind, RELAY_SECRET_PLAIN);
    check_span(plain->secret, SEALED);
    assert_int_equal(plain->version, 0);
    assert_int_equal(plain->sealing_key.len, 0);
    check_release(&arena);
}

/* The longest secret: 8192 bytes, nonce and tag. */
static void sealed_keys_have_a_size(void **state)
{
    enum { LEAST = 27, MOST = 8192 + 28 };
    static uint8_t bytes[MOST + 1];

    (void)state;
    for (size_t length = LEAST; length <= MOST + 1; length += length == LEAST ? 1 : MOST - 28) {
        static char room[RELAY_BASE64_LEN(MOST + 1) + 1], text[sizeof(room) + 512];
        relay_buf_t coded = relay_buf(room, sizeof(room) - 1);
        check_arena_t arena = {0};
        relay_config_fault_t fault;
        for (size_t over = 0; over < 2; over++) {
            size_t size = length + over;
            coded.len = 0;
            relay_base64_put(&coded, relay_span(bytes, size));
            room[coded.len] = '\0';
            snprintf(text, sizeof(text),
                     "{\"hosts\": {\"a\": {\"base_url\": \"https://h\", \"formats\": "
                     "[\"openai-chat\"]}}, \"provider_keys\": {\"k\": {\"host\": \"a\", "
                     "\"version\": 1, \"sealed\": \"k.%s\"}}}",
                     room);
            assert_int_equal(check_try(&arena, text, &fault) != NULL, size > LEAST && size <= MOST);
        }
        check_release(&arena);
    }
}

static void workspaces(void **state)
{
    check_arena_t arena = {0};
    relay_config_fault_t fault;
    const relay_config_t *config =
        check_build_two(&arena,
                        "{" A ", 'provider_keys': {'k': {'host': 'a', 'value': 'x'}},"
                        "'workspace': 'team/blue'}",
                        "{'provider_keys': {'l': {'host': 'a', 'value': 'x'}}}", &fault);

    (void)state;
    assert_non_null(config);
    check_span(config->provider_keys[0].workspace, "team/blue");
    check_span(config->provider_keys[1].workspace, "default");
    check_release(&arena);
}

/* ---- revocations ----------------------------------------------------------- */

#define TAIL "0000000000000000000000000000000000000000000000000000000000000f"

static relay_digest_t digest_ending(const char *start)
{
    relay_digest_t digest;
    char hex[65];

    snprintf(hex, sizeof(hex), "%s" TAIL, start);
    assert_true(relay_digest_parse(check_text(hex), &digest));
    return digest;
}

static uint64_t revoked(const relay_config_t *config, const char *start)
{
    relay_digest_t digest = digest_ending(start);

    return relay_config_revoked_before(config, &digest);
}

static void revocations_are_read(void **state)
{
    check_arena_t arena = {0};
    relay_config_fault_t fault;
    const relay_config_t *config = check_build_two(
        &arena,
        "{'revocations': {'ff" TAIL "': 3, '$comment': 1, '00" TAIL "': 41, '7f" TAIL
        "': 9007199254740992}}",
        "{'revocations': {'00" TAIL "': 40, 'ff" TAIL "': 4, '80" TAIL "': 1}}", &fault);

    (void)state;
    assert_non_null(config);
    assert_int_equal(config->nrevocations, 4);
    for (size_t i = 1; i < 4; i++) {
        assert_true(memcmp(config->revocations[i - 1].digest.bytes,
                           config->revocations[i].digest.bytes, RELAY_DIGEST_LEN) < 0);
    }
    assert_int_equal(revoked(config, "00"), 41);
    assert_int_equal(revoked(config, "ff"), 4);
    assert_int_equal(revoked(config, "7f"), UINT64_C(1) << 53);
    assert_int_equal(revoked(config, "80"), 1);
    assert_int_equal(revoked(config, "01"), 0);
    assert_int_equal(revoked(config, "fe"), 0);
    check_release(&arena);
}

/* A document that revokes `first` and then 0 to count - 1, in 63 digits. */
static char *revoke(char first, size_t count)
{
    static const char before[] = "{\"revocations\":{", digits[] = "0123456789abcdef";
    static const char entry[] = "\"" TAIL "00\":1,";
    size_t room = sizeof(before) + count * (sizeof(entry) - 1) + 2;
    char *text = malloc(room), *at = text;

    assert_non_null(text);
    at += snprintf(at, room, "%s", before);
    for (size_t i = 0; i < count; i++, at += sizeof(entry) - 1) {
        memcpy(at, entry, sizeof(entry));
        at[1] = first;
        for (size_t digit = 64, rest = i; digit > 50; digit--, rest /= 16) {
            at[digit] = digits[rest % 16];
        }
    }
    memcpy(at - 1, "}}", 3); /* over the last comma */
    return text;
}

/* The one too many is told; a million in one document would be too large. */
static void number_of_revocations(void **state)
{
    char *one = revoke('0', 500000), *two = revoke('1', 500002);
    check_arena_t arena = {0};
    relay_arena_t memory = {check_allocate, &arena};
    relay_document_t documents[] = {{RELAY_SPAN("1"), check_text(one), false},
                                    {RELAY_SPAN("2"), check_text(two), false}};
    relay_config_fault_t fault;

    (void)state;
    assert_null(relay_config_build(&memory, documents, 2, &fault));
    assert_string_equal(fault.message, "more than 1000000 entries");
    assert_string_equal(fault.path, "revocations."
                                    "100000000000000000000000000000000000000000000000000000000007a"
                                    "120");
    check_release(&arena);
    free(one);
    free(two);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sealed_keys_are_read),
        cmocka_unit_test(sealed_keys_have_a_size),
        cmocka_unit_test(workspaces),
        cmocka_unit_test(revocations_are_read),
        cmocka_unit_test(number_of_revocations),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
