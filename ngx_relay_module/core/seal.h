/*
 * Secrets at rest: AES-256-GCM under a key of a ring. A sealed secret is text,
 *
 *     <key id>.<base64 of nonce (12 bytes), ciphertext, tag (16 bytes)>
 *
 * and is bound to its place by additional data: a sequence of parts, each
 * preceded by its length in 4 bytes, big endian, so that ("ab", "c") and
 * ("a", "bc") differ. The control plane seals, workers open for each attempt.
 *
 * A failure is one answer for every cause, leaves nothing of the plain text
 * behind and appends nothing.
 */

#ifndef RELAY_SEAL_H
#define RELAY_SEAL_H

#include "buf.h"
#include "key_ring.h"
#include "span.h"

enum { RELAY_SEAL_NONCE_LEN = 12, RELAY_SEAL_TAG_LEN = 16 };
enum { RELAY_SEAL_OVERHEAD = RELAY_SEAL_NONCE_LEN + RELAY_SEAL_TAG_LEN };

/* What a secret is bound to. */
typedef struct {
    const relay_span_t *parts;
    size_t count;
} relay_seal_data_t;

/*
 * Appends the sealed text of plain. A nonce must never be used twice with one
 * key: RELAY_SEAL_NONCE_LEN fresh random bytes. scratch takes
 * plain.len + RELAY_SEAL_OVERHEAD bytes, none of them secret.
 */
bool relay_seal(const relay_ring_key_t *key, const uint8_t nonce[RELAY_SEAL_NONCE_LEN],
                relay_seal_data_t data, relay_span_t plain, relay_buf_t *scratch, relay_buf_t *out);

/*
 * Appends the plain text of sealed. out needs relay_seal_open_room(sealed)
 * bytes, more than the plain text has: what is not plain text is cleansed.
 */
bool relay_seal_open(const relay_key_ring_t *ring, relay_seal_data_t data, relay_span_t sealed,
                     relay_buf_t *out);

size_t relay_seal_open_room(relay_span_t sealed);

/* The id before the dot, or empty if sealed does not start with one: for
 * telling "sealed under another key" from "does not open". */
relay_span_t relay_seal_key_id(relay_span_t sealed);

/*
 * The same on bytes and a bare key, for whoever stores them in another form:
 * nonce, ciphertext, tag. relay_seal_bytes writes plain.len +
 * RELAY_SEAL_OVERHEAD bytes, relay_seal_open_bytes sealed.len -
 * RELAY_SEAL_OVERHEAD; plain may be sealed.base + RELAY_SEAL_NONCE_LEN.
 */
bool relay_seal_bytes(const uint8_t key[RELAY_KEY_RING_KEY_LEN],
                      const uint8_t nonce[RELAY_SEAL_NONCE_LEN], relay_seal_data_t data,
                      relay_span_t plain, uint8_t *sealed);
bool relay_seal_open_bytes(const uint8_t key[RELAY_KEY_RING_KEY_LEN], relay_seal_data_t data,
                           relay_span_t sealed, uint8_t *plain);

/*
 * For whoever opens many secrets: the same at half of its cost, with a context
 * of libcrypto that has looked up the cipher once and for all. It has the key
 * only while it opens a secret, and no plain text afterwards. Any number of
 * threads may each have one of their own; a single one is for one at a time. It
 * is libcrypto's memory: relay_seal_opener_free cleanses it and gives it back.
 */
typedef struct evp_cipher_ctx_st relay_seal_opener_t;

/* NULL: no memory. */
relay_seal_opener_t *relay_seal_opener_create(void);
/* opener may be NULL. */
void relay_seal_opener_free(relay_seal_opener_t *opener);

/* As relay_seal_open_bytes; data is what relay_seal_data_put made of the parts. */
bool relay_seal_open_with(relay_seal_opener_t *opener, const uint8_t key[RELAY_KEY_RING_KEY_LEN],
                          relay_span_t data, relay_span_t sealed, uint8_t *plain);

/* Appends the parts as they are bound: each behind its length. */
void relay_seal_data_put(relay_seal_data_t data, relay_buf_t *out);

#endif
