/*
 * Revocations of several documents that come in order, as they are published:
 * runs that are merged. Of a digest in more than one, the latest revision
 * counts, wherever its document stands.
 */

#include "config_check.h"
#include "relay_key.h"

#include <string.h>

#define TAIL "0000000000000000000000000000000000000000000000000000000000000f"

static relay_digest_t digest_of(const char *start)
{
    relay_digest_t digest;
    char hex[65];

    snprintf(hex, sizeof(hex), "%s" TAIL, start);
    assert_true(relay_digest_parse(check_text(hex), &digest));
    return digest;
}

static const relay_config_t *build(check_arena_t *arena, const char *const *texts, size_t count)
{
    relay_arena_t memory = {check_allocate, arena};
    relay_document_t documents[8];
    relay_config_fault_t fault;
    const relay_config_t *config;

    assert_true(count <= 8);
    for (size_t i = 0; i < count; i++) {
        documents[i] = (relay_document_t){check_text("revocations"), check_text(texts[i]), false};
    }
    config = relay_config_build(&memory, documents, count, &fault);
    assert_non_null(config);
    return config;
}

/* wanted: pairs of a digest's start and its revision, in the order of digests. */
static void holds(const relay_config_t *config, const char *const *starts, const uint64_t *wanted,
                  size_t count)
{
    assert_int_equal(config->nrevocations, count);
    for (size_t i = 0; i < count; i++) {
        relay_digest_t digest = digest_of(starts[i]);
        assert_memory_equal(config->revocations[i].digest.bytes, digest.bytes, RELAY_DIGEST_LEN);
        assert_int_equal(relay_config_revoked_before(config, &digest), wanted[i]);
    }
}

#define FIRST  "{\"revocations\":{\"00" TAIL "\":1,\"7f" TAIL "\":1}}"
#define SECOND "{\"revocations\":{\"00" TAIL "\":5,\"80" TAIL "\":1}}"

static void the_first_of_two_is_shared(void **state)
{
    static const char *const starts[] = {"00", "7f", "80"};
    static const uint64_t wanted[] = {5, 1, 1};
    static const char *const texts[] = {FIRST, SECOND}, *const turned[] = {SECOND, FIRST};
    check_arena_t arena = {0};

    (void)state;
    holds(build(&arena, texts, 2), starts, wanted, 3);
    check_release(&arena);
    holds(build(&arena, turned, 2), starts, wanted, 3);
    check_release(&arena);
}

static void shared_in_the_middle_and_at_the_end(void **state)
{
    static const char *const starts[] = {"01", "02", "03", "04", "ff"};
    static const uint64_t wanted[] = {1, 9, 4, 2, 8};
    static const char *const texts[] = {
        "{\"revocations\":{\"01" TAIL "\":1,\"02" TAIL "\":7,\"ff" TAIL "\":8}}",
        "{\"revocations\":{\"02" TAIL "\":9,\"03" TAIL "\":3,\"ff" TAIL "\":2}}",
        "{\"revocations\":{}}",
        "{\"revocations\":{\"02" TAIL "\":8,\"03" TAIL "\":4,\"04" TAIL "\":2,\"ff" TAIL "\":5}}"};
    check_arena_t arena = {0};

    (void)state;
    holds(build(&arena, texts, 4), starts, wanted, 5);
    check_release(&arena);
}

/* One that is not in order is as good, and nothing of it is lost. */
static void one_that_is_not_in_order(void **state)
{
    static const char *const starts[] = {"00", "7f", "80"};
    static const uint64_t wanted[] = {6, 2, 1};
    static const char *const texts[] = {FIRST, SECOND,
                                        "{\"revocations\":{\"7f" TAIL "\":2,\"00" TAIL "\":6}}"};
    check_arena_t arena = {0};

    (void)state;
    holds(build(&arena, texts, 3), starts, wanted, 3);
    check_release(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_of_two_is_shared),
        cmocka_unit_test(shared_in_the_middle_and_at_the_end),
        cmocka_unit_test(one_that_is_not_in_order),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
