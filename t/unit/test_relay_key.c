/* Relay keys: the format, its checksum, digests, and what is refused. */

#include "relay_key.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

/* Made by other implementations: CRC-32 of zlib, SHA-256 of Python's hashlib. */
static const char good[] = "rly_01234567ABCDEFGHIJKLMNOPQRSTUVWXYZabcdef3bgdHc";
static const char good_sha256[] =
    "91d402d7f382f5209357649631365922853062107e48343f8fb493879924e6ef";

static relay_span_t text(const char *string)
{
    return relay_span(string, strlen(string));
}

static void assert_digest(const relay_digest_t *digest, const char *expected)
{
    char hex[2 * RELAY_DIGEST_LEN + 1];

    for (size_t i = 0; i < RELAY_DIGEST_LEN; i++) {
        snprintf(hex + 2 * i, 3, "%02x", digest->bytes[i]);
    }
    assert_string_equal(hex, expected);
}

static void minted_from_known_numbers(void **state)
{
    uint8_t random[RELAY_KEY_RANDOM_LEN], key[RELAY_KEY_LEN + 1] = {0};

    (void)state;
    for (size_t i = 0; i < sizeof(random); i++) {
        random[i] = (uint8_t)i;
    }
    relay_key_mint(random, key);
    assert_string_equal((char *)key, "rly_hI0O8zY6Itnkc4SToLqAkc5QdjYer68SlnjwhhKr1fwwiy");
    assert_int_equal(random[39], 39);
    memset(random, 0xff, sizeof(random));
    relay_key_mint(random, key);
    assert_string_equal((char *)key, "rly_VGG4O52ZGk2KmjMpjQ6Un7MhAPqC0MSK0SOdbOB83URCvV");
    memset(random, 0, sizeof(random));
    relay_key_mint(random, key);
    assert_memory_equal(key, "rly_0000000000000000000000000000000000000000", 44);
}

/* 40 places of 3,000 keys: each digit about 1,935 times, standard deviation 44. */
static void digits_are_equally_likely(void **state)
{
    unsigned seen[BASE] = {0};
    relay_digest_t digest;
    uint8_t key[RELAY_KEY_LEN];

    (void)state;
    for (uint32_t i = 0; i < 3000; i++) {
        uint8_t random[2 * RELAY_DIGEST_LEN];
        uint32_t number = 2 * i;
        SHA256((uint8_t *)&number, sizeof(number), random);
        number++;
        SHA256((uint8_t *)&number, sizeof(number), random + RELAY_DIGEST_LEN);
        relay_key_mint(random, key);
        assert_true(relay_key_digest(relay_span(key, sizeof(key)), &digest));
        for (size_t j = PREFIX_LEN; j < CHECKED_LEN; j++) {
            seen[strchr(digits, key[j]) - digits]++;
        }
    }
    for (size_t i = 0; i < BASE; i++) {
        assert_in_range(seen[i], 1935 - 250, 1935 + 250);
    }
}

static void known_key_and_digest(void **state)
{
    relay_digest_t digest;

    (void)state;
    assert_true(relay_key_digest(text(good), &digest));
    assert_digest(&digest, good_sha256);
    assert_true(
        relay_key_digest(text("rly_00010645xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx000Yu4"), &digest));
}

static void sk_prefix_is_not_part_of_the_key(void **state)
{
    char prefixed[80];
    relay_digest_t digest;

    (void)state;
    snprintf(prefixed, sizeof(prefixed), "sk-%s", good);
    assert_true(relay_key_digest(text(prefixed), &digest));
    assert_digest(&digest, good_sha256);
    assert_memory_equal(relay_key_public_id(text(prefixed)).base, "01234567", 8);
    snprintf(prefixed, sizeof(prefixed), "sk-sk-%s", good);
    assert_true(relay_key_digest(text(prefixed), &digest)); /* a plain key of its own */
    assert_int_equal(relay_key_public_id(text(prefixed)).len, 0);
}

static void a_changed_character_is_noticed(void **state)
{
    char changed[RELAY_KEY_LEN + 1];
    relay_digest_t digest;

    (void)state;
    for (size_t i = PREFIX_LEN; i < RELAY_KEY_LEN; i++) {
        for (size_t j = 0; j < BASE; j++) {
            memcpy(changed, good, sizeof(changed));
            changed[i] = digits[j];
            assert_int_equal(relay_key_digest(text(changed), &digest), digits[j] == good[i]);
        }
        changed[i] = '-';
        assert_false(relay_key_digest(text(changed), &digest));
        changed[i] = '\0';
        assert_false(relay_key_digest(relay_span(changed, RELAY_KEY_LEN), &digest));
        assert_int_equal(relay_key_public_id(relay_span(changed, RELAY_KEY_LEN)).len, 0);
    }
}

/* With a right checksum, too. */
static void other_characters_are_refused(void **state)
{
    relay_digest_t digest;

    (void)state;
    for (unsigned byte = 0; byte < 256; byte++) {
        uint8_t key[RELAY_KEY_LEN];
        memcpy(key, good, sizeof(key));
        key[PREFIX_LEN] = (uint8_t)byte;
        write_checksum(key, key + CHECKED_LEN);
        assert_int_equal(relay_key_digest(relay_span(key, sizeof(key)), &digest),
                         byte != 0 && strchr(digits, (int)byte) != NULL);
    }
}

static void lengths_of_minted_keys(void **state)
{
    char longer[RELAY_KEY_LEN + 2];
    relay_digest_t digest;

    (void)state;
    for (size_t i = 0; i < RELAY_KEY_LEN; i++) {
        assert_false(relay_key_digest(relay_span(good, i), &digest));
    }
    snprintf(longer, sizeof(longer), "%sc", good);
    assert_false(relay_key_digest(text(longer), &digest));
    assert_false(relay_key_digest(relay_span(NULL, 0), &digest));
}

static void other_keys(void **state)
{
    char key[300];
    relay_digest_t digest, same;

    (void)state;
    assert_true(relay_key_digest(text("a-plain-key-of-20-ch"), &digest));
    assert_digest(&digest, "2111f7d5b567b992a9be80f32278ef8d1a2940abcbfe1fe35277836329acef01");
    assert_int_equal(relay_key_public_id(text("a-plain-key-of-20-ch")).len, 0);
    memset(key, '~', sizeof(key));
    assert_false(relay_key_digest(relay_span(key, 19), &digest));
    assert_true(relay_key_digest(relay_span(key, 20), &digest));
    assert_true(relay_key_digest(relay_span(key, 256), &digest));
    assert_false(relay_key_digest(relay_span(key, 257), &digest));
    for (unsigned byte = 0; byte < 256; byte++) {
        key[10] = (char)byte;
        assert_int_equal(relay_key_digest(relay_span(key, 30), &same), byte > 0x20 && byte < 0x7f);
    }
}

static void public_ids(void **state)
{
    (void)state;
    assert_int_equal(relay_key_public_id(text(good)).len, RELAY_KEY_ID_LEN);
    assert_memory_equal(relay_key_public_id(text(good)).base, "01234567", 8);
    assert_int_equal(relay_key_public_id(relay_span(good, 49)).len, 0);
    assert_int_equal(relay_key_public_id(relay_span(NULL, 0)).len, 0);
}

static void digests_compare_and_parse(void **state)
{
    relay_digest_t a, b;
    char upper[65];

    (void)state;
    assert_true(relay_digest_parse(text(good_sha256), &a));
    assert_digest(&a, good_sha256);
    for (size_t i = 0; i < sizeof(upper); i++) {
        upper[i] = (char)(good_sha256[i] >= 'a' ? good_sha256[i] - 32 : good_sha256[i]);
    }
    assert_true(relay_digest_parse(text(upper), &b));
    assert_true(relay_digest_eq(&a, &b));
    for (size_t i = 0; i < RELAY_DIGEST_LEN; i++) {
        b = a;
        b.bytes[i] ^= 1;
        assert_false(relay_digest_eq(&a, &b));
    }
    assert_false(relay_digest_parse(relay_span(good_sha256, 63), &a));
    assert_false(relay_digest_parse(relay_span(good_sha256, 65), &a));
    for (unsigned byte = 0; byte < 256; byte++) {
        bool hex = byte != 0 && strchr("0123456789abcdefABCDEF", (int)byte) != NULL;
        upper[17] = (char)byte;
        assert_int_equal(relay_digest_parse(relay_span(upper, 64), &b), hex);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(minted_from_known_numbers),
        cmocka_unit_test(digits_are_equally_likely),
        cmocka_unit_test(known_key_and_digest),
        cmocka_unit_test(sk_prefix_is_not_part_of_the_key),
        cmocka_unit_test(a_changed_character_is_noticed),
        cmocka_unit_test(other_characters_are_refused),
        cmocka_unit_test(lengths_of_minted_keys),
        cmocka_unit_test(other_keys),
        cmocka_unit_test(public_ids),
        cmocka_unit_test(digests_compare_and_parse),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
