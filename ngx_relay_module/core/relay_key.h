/*
 * Relay keys: `rly_` + 8 characters public id + 32 characters secret + 6
 * characters base62 CRC-32 of everything before it. An `sk-` in front is
 * accepted for tools that insist on it and is not part of the key. Only the
 * SHA-256 of the key is ever stored.
 *
 * Module-only configurations may hold keys of other shapes (plain strings of
 * 20 to 256 printable characters): they have no checksum and no public id.
 */

#ifndef RELAY_KEY_H
#define RELAY_KEY_H

#include "buf.h"
#include "span.h"

enum {
    RELAY_KEY_LEN = 50,
    RELAY_KEY_ID_LEN = 8,
    RELAY_KEY_RANDOM_LEN = 40, /* random bytes that relay_key_mint takes */
    RELAY_KEY_OTHER_MIN = 20,
    RELAY_KEY_MAX = 256,
    RELAY_DIGEST_LEN = 32
};

typedef struct {
    uint8_t bytes[RELAY_DIGEST_LEN];
} relay_digest_t;

/* Writes RELAY_KEY_LEN characters (no NUL) from RELAY_KEY_RANDOM_LEN random bytes. */
void relay_key_mint(const uint8_t *random, uint8_t key[RELAY_KEY_LEN]);

/*
 * The digest under which presented is looked up; false if it cannot be a key
 * (length, characters, checksum of an rly_ key). Costs one SHA-256.
 */
bool relay_key_digest(relay_span_t presented, relay_digest_t *digest);

/* The public id of an rly_ key, or empty. */
relay_span_t relay_key_public_id(relay_span_t key);

/* Compares in constant time. */
bool relay_digest_eq(const relay_digest_t *a, const relay_digest_t *b);

/* 64 hexadecimal digits, either case. */
bool relay_digest_parse(relay_span_t hex, relay_digest_t *digest);

#endif
