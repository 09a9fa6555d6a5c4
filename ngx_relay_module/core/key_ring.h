/*
 * A few 32-byte keys by id: the data-plane keys that provider secrets are
 * sealed under (seal.h), the public or private halves of signing keys
 * (signature.h). Read from text with lines `<key id> <base64 of 32 bytes>`;
 * empty lines and lines that start with `#` are skipped. The first key is the
 * one to seal or sign with, the others are those that it follows.
 */

#ifndef RELAY_KEY_RING_H
#define RELAY_KEY_RING_H

#include "span.h"

enum { RELAY_KEY_RING_MAX = 16, RELAY_KEY_RING_ID_MAX = 32, RELAY_KEY_RING_KEY_LEN = 32 };

typedef struct {
    uint8_t bytes[RELAY_KEY_RING_KEY_LEN];
    uint8_t id[RELAY_KEY_RING_ID_MAX];
    size_t id_len;
} relay_ring_key_t;

/* Holds its keys itself: copied by assignment, cleansed by the owner. */
typedef struct {
    relay_ring_key_t keys[RELAY_KEY_RING_MAX];
    size_t count;
} relay_key_ring_t;

/*
 * At least one key, no id twice. On a failure false, with *line the line at
 * fault (0: the text has no key) and *message what was expected; the ring is
 * empty and cleansed. A message never holds a key's text.
 */
bool relay_key_ring_read(relay_span_t text, relay_key_ring_t *ring, size_t *line,
                         const char **message);

/* NULL if there is none of that id. */
const relay_ring_key_t *relay_key_ring_find(const relay_key_ring_t *ring, relay_span_t id);

void relay_key_ring_cleanse(relay_key_ring_t *ring);

/* 1 to RELAY_KEY_RING_ID_MAX of A-Z a-z 0-9 _ - */
bool relay_key_ring_id_ok(relay_span_t id);

static inline relay_span_t relay_ring_key_id(const relay_ring_key_t *key)
{
    return relay_span(key->id, key->id_len);
}

#endif
