/*
 * Ed25519 signatures over `<purpose>` NUL `<bytes>`: nothing that is signed for
 * one purpose serves another. Written as `<key id> <base64 of 64 bytes>`. The
 * control plane signs, workers verify.
 *
 * Ed25519 reads its message twice, so that libcrypto wants it in one piece:
 * scratch takes RELAY_SIGNATURE_ROOM() bytes, and what is too long for it does
 * not verify.
 */

#ifndef RELAY_SIGNATURE_H
#define RELAY_SIGNATURE_H

#include "base64.h"
#include "buf.h"
#include "key_ring.h"
#include "span.h"

#define RELAY_PURPOSE_HEAD "relay-head-1"
#define RELAY_PURPOSE_KEY  "relay-key-1"

enum { RELAY_SIGNATURE_LEN = 64 };
enum {
    RELAY_SIGNATURE_TEXT_MAX = RELAY_KEY_RING_ID_MAX + 1 + RELAY_BASE64_LEN(RELAY_SIGNATURE_LEN)
};

#define RELAY_SIGNATURE_ROOM(purpose, bytes) ((purpose).len + 1 + (bytes).len)

/* ring holds public halves; signature is the whole text form. */
bool relay_signature_verify(const relay_key_ring_t *ring, relay_span_t purpose, relay_span_t bytes,
                            relay_span_t signature, relay_buf_t *scratch);

/* Appends the text form, at most RELAY_SIGNATURE_TEXT_MAX bytes; key->bytes is
 * the private half (the 32-byte seed of RFC 8032). */
bool relay_signature_sign(const relay_ring_key_t *key, relay_span_t purpose, relay_span_t bytes,
                          relay_buf_t *scratch, relay_buf_t *out);

/* The public half of a private one. */
bool relay_signature_public(const uint8_t private_key[RELAY_KEY_RING_KEY_LEN],
                            uint8_t public_key[RELAY_KEY_RING_KEY_LEN]);

/*
 * Splits text in the form `<signature>` LF `<payload>`, as heads and files of
 * relay keys are written; false if there is no line feed.
 */
bool relay_signature_split(relay_span_t text, relay_span_t *signature, relay_span_t *payload);

#endif
