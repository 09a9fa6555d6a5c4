/*
 * Relay keys: minting, checking, digests. Called by relayctl (mint), by
 * config_doc (keys in documents) and by the adapter for every request.
 */

/* for SHA256_Init and its like, see digest_of(); before any OpenSSL header */
#define OPENSSL_SUPPRESS_DEPRECATED

#include "relay_key.h"

#include <openssl/crypto.h>
#include <openssl/sha.h>

static const char digits[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

enum { BASE = sizeof(digits) - 1, PREFIX_LEN = 4, CHECKSUM_LEN = 6 };
enum { CHECKED_LEN = RELAY_KEY_LEN - CHECKSUM_LEN };
enum { RANDOM_DIGITS = CHECKED_LEN - PREFIX_LEN };

static relay_span_t prefix(void)
{
    return RELAY_SPAN("rly_");
}

/* IEEE 802.3, four bits at a time: keys are too short for a larger table to pay. */
static uint32_t crc32_ieee(const uint8_t *bytes, size_t len)
{
    static const uint32_t table[16] = {
        0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac, 0x76dc4190, 0x6b6b51f4,
        0x4db26158, 0x5005713c, 0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c,
        0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c,
    };
    uint32_t crc = UINT32_MAX;

    for (size_t i = 0; i < len; i++) {
        crc ^= bytes[i];
        crc = crc >> 4 ^ table[crc & 15];
        crc = crc >> 4 ^ table[crc & 15];
    }
    return ~crc;
}

/* Big-endian, padded with '0'; 62^6 is more than 2^32. */
static void write_checksum(const uint8_t *checked, uint8_t out[CHECKSUM_LEN])
{
    uint32_t crc = crc32_ieee(checked, CHECKED_LEN);

    for (size_t i = CHECKSUM_LEN; i-- > 0;) {
        out[i] = (uint8_t)digits[crc % BASE];
        crc /= BASE;
    }
}

/* number /= BASE, big-endian in place; returns the remainder. */
static unsigned divide(uint8_t number[RELAY_KEY_RANDOM_LEN])
{
    unsigned rest = 0;

    for (size_t i = 0; i < RELAY_KEY_RANDOM_LEN; i++) {
        unsigned part = rest << 8 | number[i];
        number[i] = (uint8_t)(part / BASE);
        rest = part % BASE;
    }
    return rest;
}

/*
 * The random bytes are one number of 320 bits and the key's 40 random digits
 * are that number modulo 62^40. No byte is ever rejected, and as 62^40 is less
 * than 2^239, no key is more likely than another by more than one part in 2^81.
 */
void relay_key_mint(const uint8_t *random, uint8_t key[RELAY_KEY_LEN])
{
    uint8_t number[RELAY_KEY_RANDOM_LEN];

    memcpy(number, random, sizeof(number));
    memcpy(key, prefix().base, PREFIX_LEN);
    for (size_t i = 0; i < RANDOM_DIGITS; i++) {
        key[PREFIX_LEN + i] = (uint8_t)digits[divide(number)];
    }
    write_checksum(key, key + CHECKED_LEN);
    OPENSSL_cleanse(number, sizeof(number));
}

/* ---- reading ------------------------------------------------------------- */

static bool is_base62(uint8_t byte)
{
    return (byte >= '0' && byte <= '9') || (byte >= 'A' && byte <= 'Z') ||
           (byte >= 'a' && byte <= 'z');
}

/* Without the "sk-" that some tools insist on. */
static relay_span_t bare(relay_span_t presented)
{
    relay_span_t sk = RELAY_SPAN("sk-");

    if (relay_span_starts(presented, sk) &&
        relay_span_starts(relay_span_from(presented, sk.len), prefix())) {
        return relay_span_from(presented, sk.len);
    }
    return presented;
}

/* key starts with the prefix. */
static bool is_intact(relay_span_t key)
{
    uint8_t checksum[CHECKSUM_LEN];

    if (key.len != RELAY_KEY_LEN) {
        return false;
    }
    for (size_t i = PREFIX_LEN; i < RELAY_KEY_LEN; i++) {
        if (!is_base62(key.base[i])) {
            return false;
        }
    }
    write_checksum(key.base, checksum);
    return memcmp(checksum, key.base + CHECKED_LEN, CHECKSUM_LEN) == 0;
}

static bool is_other(relay_span_t key)
{
    if (key.len < RELAY_KEY_OTHER_MIN || key.len > RELAY_KEY_MAX) {
        return false;
    }
    for (size_t i = 0; i < key.len; i++) {
        if (key.base[i] <= ' ' || key.base[i] >= 0x7f) {
            return false;
        }
    }
    return true;
}

/*
 * OpenSSL 3 deprecates these in favour of calls that look the algorithm up for
 * every digest: several times the cost of hashing a key, on every request.
 */
static void digest_of(relay_span_t key, relay_digest_t *digest)
{
    SHA256_CTX context;

    SHA256_Init(&context);
    SHA256_Update(&context, key.base, key.len);
    SHA256_Final(digest->bytes, &context);
}

bool relay_key_digest(relay_span_t presented, relay_digest_t *digest)
{
    relay_span_t key = bare(presented);

    if (relay_span_starts(key, prefix()) ? !is_intact(key) : !is_other(key)) {
        return false;
    }
    digest_of(key, digest);
    return true;
}

relay_span_t relay_key_public_id(relay_span_t key)
{
    key = bare(key);
    if (!relay_span_starts(key, prefix()) || !is_intact(key)) {
        return relay_span(NULL, 0);
    }
    return relay_span(key.base + PREFIX_LEN, RELAY_KEY_ID_LEN);
}

bool relay_digest_eq(const relay_digest_t *a, const relay_digest_t *b)
{
    return CRYPTO_memcmp(a->bytes, b->bytes, RELAY_DIGEST_LEN) == 0;
}

/*
 * A hexadecimal digit's value and one, 0 for anything else. A table: digits come
 * without any order, and a branch on one is guessed wrongly half the time.
 */
static const uint8_t hex_values[UINT8_MAX + 1] = {
    ['0'] = 1,  ['1'] = 2,  ['2'] = 3,  ['3'] = 4,  ['4'] = 5,  ['5'] = 6,  ['6'] = 7,  ['7'] = 8,
    ['8'] = 9,  ['9'] = 10, ['a'] = 11, ['b'] = 12, ['c'] = 13, ['d'] = 14, ['e'] = 15, ['f'] = 16,
    ['A'] = 11, ['B'] = 12, ['C'] = 13, ['D'] = 14, ['E'] = 15, ['F'] = 16,
};

bool relay_digest_parse(relay_span_t hex, relay_digest_t *digest)
{
    if (hex.len != 2 * RELAY_DIGEST_LEN) {
        return false;
    }
    for (size_t i = 0; i < RELAY_DIGEST_LEN; i++) {
        unsigned high = hex_values[hex.base[2 * i]];
        unsigned low = hex_values[hex.base[2 * i + 1]];
        if (high == 0 || low == 0) {
            return false;
        }
        digest->bytes[i] = (uint8_t)((high - 1) << 4 | (low - 1));
    }
    return true;
}
