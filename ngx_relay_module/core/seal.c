/*
 * Sealing and opening secrets, over libcrypto's AES-256-GCM. The control plane
 * seals for the database and for workers; workers open for each attempt.
 */

#include "seal.h"

#include "base64.h"

#include <limits.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>

/* What libcrypto counts in an int; far more than any secret. */
enum { LEN_MAX = INT_MAX / 2 };

/* The additional data, part by part. */
static bool bind(EVP_CIPHER_CTX *context, relay_seal_data_t data)
{
    int written;

    for (size_t i = 0; i < data.count; i++) {
        size_t len = data.parts[i].len;
        uint8_t prefix[4] = {(uint8_t)(len >> 24), (uint8_t)(len >> 16), (uint8_t)(len >> 8),
                             (uint8_t)len};
        if (len > LEN_MAX || !EVP_CipherUpdate(context, NULL, &written, prefix, sizeof(prefix)) ||
            (len != 0 &&
             !EVP_CipherUpdate(context, NULL, &written, data.parts[i].base, (int)len))) {
            return false;
        }
    }
    return true;
}

static EVP_CIPHER_CTX *begin(const uint8_t *key, const uint8_t *nonce, relay_seal_data_t data,
                             bool sealing)
{
    EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();

    if (context != NULL &&
        EVP_CipherInit_ex(context, EVP_aes_256_gcm(), NULL, key, nonce, sealing) &&
        bind(context, data)) {
        return context;
    }
    EVP_CIPHER_CTX_free(context);
    return NULL;
}

static bool run(EVP_CIPHER_CTX *context, relay_span_t in, uint8_t *out)
{
    int written = 0;

    return in.len == 0 || (EVP_CipherUpdate(context, out, &written, in.base, (int)in.len) &&
                           (size_t)written == in.len);
}

bool relay_seal_bytes(const uint8_t key[RELAY_KEY_RING_KEY_LEN],
                      const uint8_t nonce[RELAY_SEAL_NONCE_LEN], relay_seal_data_t data,
                      relay_span_t plain, uint8_t *sealed)
{
    uint8_t *tag = sealed + RELAY_SEAL_NONCE_LEN + plain.len;
    EVP_CIPHER_CTX *context = plain.len <= LEN_MAX ? begin(key, nonce, data, true) : NULL;
    int written;
    bool good;

    good = context != NULL && run(context, plain, sealed + RELAY_SEAL_NONCE_LEN) &&
           EVP_CipherFinal_ex(context, tag, &written) &&
           EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_GCM_GET_TAG, RELAY_SEAL_TAG_LEN, tag);
    EVP_CIPHER_CTX_free(context);
    memmove(sealed, nonce, RELAY_SEAL_NONCE_LEN);
    return good;
}

bool relay_seal_open_bytes(const uint8_t key[RELAY_KEY_RING_KEY_LEN], relay_seal_data_t data,
                           relay_span_t sealed, uint8_t *plain)
{
    uint8_t tag[RELAY_SEAL_TAG_LEN], none;
    EVP_CIPHER_CTX *context;
    relay_span_t text;
    int written;
    bool good;

    if (sealed.len < RELAY_SEAL_OVERHEAD || sealed.len > LEN_MAX) {
        return false;
    }
    text = relay_span(sealed.base + RELAY_SEAL_NONCE_LEN, sealed.len - RELAY_SEAL_OVERHEAD);
    memcpy(tag, text.base + text.len, sizeof(tag));
    context = begin(key, sealed.base, data, false);
    good = context != NULL && run(context, text, plain) &&
           EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_GCM_SET_TAG, RELAY_SEAL_TAG_LEN, tag) &&
           EVP_CipherFinal_ex(context, &none, &written) > 0;
    EVP_CIPHER_CTX_free(context);
    if (!good) {
        OPENSSL_cleanse(plain, text.len);
    }
    return good;
}

/* ---- as text ------------------------------------------------------------- */

bool relay_seal(const relay_ring_key_t *key, const uint8_t nonce[RELAY_SEAL_NONCE_LEN],
                relay_seal_data_t data, relay_span_t plain, relay_buf_t *scratch, relay_buf_t *out)
{
    uint8_t *sealed = scratch->base + scratch->len;
    size_t len = plain.len + RELAY_SEAL_OVERHEAD;
    size_t before = out->len;

    if (!relay_buf_ok(scratch) || len > scratch->capacity - scratch->len ||
        !relay_seal_bytes(key->bytes, nonce, data, plain, sealed)) {
        return false;
    }
    relay_buf_put(out, relay_ring_key_id(key));
    relay_buf_put_byte(out, '.');
    relay_base64_put(out, relay_span(sealed, len));
    if (!relay_buf_ok(out)) {
        out->len = before;
        return false;
    }
    return true;
}

relay_span_t relay_seal_key_id(relay_span_t sealed)
{
    const uint8_t *dot = sealed.len != 0 ? memchr(sealed.base, '.', sealed.len) : NULL;
    relay_span_t id = relay_span(sealed.base, dot != NULL ? (size_t)(dot - sealed.base) : 0);

    return relay_key_ring_id_ok(id) ? id : relay_span(NULL, 0);
}

size_t relay_seal_open_room(relay_span_t sealed)
{
    relay_span_t id = relay_seal_key_id(sealed);

    return id.len != 0 ? (sealed.len - id.len - 1) / 4 * 3 + 3 : 0;
}

/* In the place that the plain text is to have, and then moved to its start. */
bool relay_seal_open(const relay_key_ring_t *ring, relay_seal_data_t data, relay_span_t sealed,
                     relay_buf_t *out)
{
    relay_span_t id = relay_seal_key_id(sealed);
    const relay_ring_key_t *key = relay_key_ring_find(ring, id);
    size_t before = out->len, len;
    uint8_t *at;

    if (key == NULL || !relay_base64_read(relay_span_from(sealed, id.len + 1), out)) {
        return false;
    }
    at = out->base + before;
    len = out->len - before;
    out->len = before;
    if (!relay_seal_open_bytes(key->bytes, data, relay_span(at, len), at + RELAY_SEAL_NONCE_LEN)) {
        return false;
    }
    len -= RELAY_SEAL_OVERHEAD;
    memmove(at, at + RELAY_SEAL_NONCE_LEN, len);
    OPENSSL_cleanse(at + len, RELAY_SEAL_OVERHEAD);
    out->len = before + len;
    return true;
}
