/*
 * Signing and verifying over libcrypto's Ed25519. The control plane signs heads
 * and records of relay keys; workers verify them, from the store and from disk.
 */

#include "signature.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>

/* `<purpose>` NUL `<bytes>` in scratch; base is NULL if it does not fit. */
static relay_span_t message_of(relay_span_t purpose, relay_span_t bytes, relay_buf_t *scratch)
{
    size_t before = scratch->len;

    relay_buf_put(scratch, purpose);
    relay_buf_put_byte(scratch, 0);
    relay_buf_put(scratch, bytes);
    if (!relay_buf_ok(scratch)) {
        scratch->len = before;
        return relay_span(NULL, 0);
    }
    return relay_span(scratch->base + before, scratch->len - before);
}

/* ---- verifying ----------------------------------------------------------- */

/* The key that signature names, and its bytes; NULL if it is not one of ring's. */
static const relay_ring_key_t *read_signature(const relay_key_ring_t *ring, relay_span_t signature,
                                              uint8_t bytes[RELAY_SIGNATURE_LEN])
{
    const uint8_t *space = signature.len != 0 ? memchr(signature.base, ' ', signature.len) : NULL;
    relay_span_t id;

    if (space == NULL) {
        return NULL;
    }
    id = relay_span(signature.base, (size_t)(space - signature.base));
    if (!relay_base64_read_exactly(relay_span_from(signature, id.len + 1), bytes,
                                   RELAY_SIGNATURE_LEN)) {
        return NULL;
    }
    return relay_key_ring_find(ring, id);
}

static bool verify(const uint8_t *public_key, relay_span_t message, const uint8_t *signature)
{
    EVP_PKEY *key =
        EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, public_key, RELAY_KEY_RING_KEY_LEN);
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    bool good =
        key != NULL && context != NULL &&
        EVP_DigestVerifyInit(context, NULL, NULL, NULL, key) == 1 &&
        EVP_DigestVerify(context, signature, RELAY_SIGNATURE_LEN, message.base, message.len) == 1;

    EVP_MD_CTX_free(context);
    EVP_PKEY_free(key);
    return good;
}

bool relay_signature_verify(const relay_key_ring_t *ring, relay_span_t purpose, relay_span_t bytes,
                            relay_span_t signature, relay_buf_t *scratch)
{
    uint8_t raw[RELAY_SIGNATURE_LEN];
    const relay_ring_key_t *key = read_signature(ring, signature, raw);
    size_t before = scratch->len;
    relay_span_t message = message_of(purpose, bytes, scratch);

    scratch->len = before;
    return key != NULL && message.base != NULL && verify(key->bytes, message, raw);
}

/* ---- signing ------------------------------------------------------------- */

static bool sign(const uint8_t *private_key, relay_span_t message, uint8_t *signature)
{
    EVP_PKEY *key =
        EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, private_key, RELAY_KEY_RING_KEY_LEN);
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    size_t len = RELAY_SIGNATURE_LEN;
    bool good = key != NULL && context != NULL &&
                EVP_DigestSignInit(context, NULL, NULL, NULL, key) == 1 &&
                EVP_DigestSign(context, signature, &len, message.base, message.len) == 1 &&
                len == RELAY_SIGNATURE_LEN;

    EVP_MD_CTX_free(context);
    EVP_PKEY_free(key);
    return good;
}

bool relay_signature_sign(const relay_ring_key_t *key, relay_span_t purpose, relay_span_t bytes,
                          relay_buf_t *scratch, relay_buf_t *out)
{
    uint8_t raw[RELAY_SIGNATURE_LEN];
    size_t scratch_before = scratch->len, before = out->len;
    relay_span_t message = message_of(purpose, bytes, scratch);

    scratch->len = scratch_before;
    if (message.base == NULL || !sign(key->bytes, message, raw)) {
        return false;
    }
    relay_buf_put(out, relay_ring_key_id(key));
    relay_buf_put_byte(out, ' ');
    relay_base64_put(out, relay_span(raw, sizeof(raw)));
    if (!relay_buf_ok(out)) {
        out->len = before;
        return false;
    }
    return true;
}

bool relay_signature_public(const uint8_t private_key[RELAY_KEY_RING_KEY_LEN],
                            uint8_t public_key[RELAY_KEY_RING_KEY_LEN])
{
    EVP_PKEY *key =
        EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, private_key, RELAY_KEY_RING_KEY_LEN);
    size_t len = RELAY_KEY_RING_KEY_LEN;
    bool good = key != NULL && EVP_PKEY_get_raw_public_key(key, public_key, &len) == 1 &&
                len == RELAY_KEY_RING_KEY_LEN;

    EVP_PKEY_free(key);
    return good;
}

bool relay_signature_split(relay_span_t text, relay_span_t *signature, relay_span_t *payload)
{
    const uint8_t *end = text.len != 0 ? memchr(text.base, '\n', text.len) : NULL;

    if (end == NULL) {
        return false;
    }
    *signature = relay_span(text.base, (size_t)(end - text.base));
    *payload = relay_span_from(text, signature->len + 1);
    return true;
}
