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

/* What stands before a part of the additional data. */
static void write_prefix(uint8_t prefix[4], size_t len)
{
    for (size_t i = 4; i-- > 0; len >>= 8) {
        prefix[i] = (uint8_t)len;
    }
}

static bool feed(EVP_CIPHER_CTX *context, relay_span_t data)
{
    int written;

    return data.len == 0 || (data.len <= LEN_MAX &&
                             EVP_CipherUpdate(context, NULL, &written, data.base, (int)data.len));
}

/* The additional data, part by part. */
static bool bind(EVP_CIPHER_CTX *context, relay_seal_data_t data)
{
    for (size_t i = 0; i < data.count; i++) {
        uint8_t prefix[4];
        write_prefix(prefix, data.parts[i].len);
        if (!feed(context, relay_span(prefix, sizeof(prefix))) || !feed(context, data.parts[i])) {
            return false;
        }
    }
    return true;
}

static EVP_CIPHER_CTX *begin(const uint8_t *key, const uint8_t *nonce, bool sealing)
{
    EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();

    if (context != NULL &&
        EVP_CipherInit_ex(context, EVP_aes_256_gcm(), NULL, key, nonce, sealing)) {
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
    EVP_CIPHER_CTX *context = plain.len <= LEN_MAX ? begin(key, nonce, true) : NULL;
    int written;
    bool good;

    good = context != NULL && bind(context, data) &&
           run(context, plain, sealed + RELAY_SEAL_NONCE_LEN) &&
           EVP_CipherFinal_ex(context, tag, &written) &&
           EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_GCM_GET_TAG, RELAY_SEAL_TAG_LEN, tag);
    EVP_CIPHER_CTX_free(context);
    memmove(sealed, nonce, RELAY_SEAL_NONCE_LEN);
    return good;
}

static bool openable(relay_span_t sealed)
{
    return sealed.len >= RELAY_SEAL_OVERHEAD && sealed.len <= LEN_MAX;
}

/* ready: context has key, nonce and additional data. */
static bool open_text(EVP_CIPHER_CTX *context, bool ready, relay_span_t sealed, uint8_t *plain)
{
    size_t len = sealed.len - RELAY_SEAL_OVERHEAD;
    relay_span_t text = relay_span(sealed.base + RELAY_SEAL_NONCE_LEN, len);
    uint8_t tag[RELAY_SEAL_TAG_LEN], none;
    int written;

    memcpy(tag, text.base + text.len, sizeof(tag));
    if (ready && run(context, text, plain) &&
        EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_GCM_SET_TAG, RELAY_SEAL_TAG_LEN, tag) &&
        EVP_CipherFinal_ex(context, &none, &written) > 0) {
        return true;
    }
    OPENSSL_cleanse(plain, text.len);
    return false;
}

bool relay_seal_open_bytes(const uint8_t key[RELAY_KEY_RING_KEY_LEN], relay_seal_data_t data,
                           relay_span_t sealed, uint8_t *plain)
{
    EVP_CIPHER_CTX *context;
    bool good;

    if (!openable(sealed)) {
        return false;
    }
    context = begin(key, sealed.base, false);
    good = open_text(context, context != NULL && bind(context, data), sealed, plain);
    EVP_CIPHER_CTX_free(context);
    return good;
}

/* ---- with an opener ------------------------------------------------------ */

/* What an opener is keyed with while it opens nothing. */
static const uint8_t no_key[RELAY_KEY_RING_KEY_LEN];

relay_seal_opener_t *relay_seal_opener_create(void)
{
    return begin(no_key, NULL, false);
}

void relay_seal_opener_free(relay_seal_opener_t *opener)
{
    EVP_CIPHER_CTX_free(opener);
}

void relay_seal_data_put(relay_seal_data_t data, relay_buf_t *out)
{
    for (size_t i = 0; i < data.count; i++) {
        uint8_t prefix[4];
        write_prefix(prefix, data.parts[i].len);
        relay_buf_put(out, relay_span(prefix, sizeof(prefix)));
        relay_buf_put(out, data.parts[i]);
    }
}

/*
 * Another key takes the place of all that was made of the one before, for less
 * than a context that is made and freed. Should that fail, nothing is left that
 * opens.
 */
static void forget_key(relay_seal_opener_t *opener)
{
    if (!EVP_CipherInit_ex(opener, NULL, NULL, no_key, NULL, false)) {
        (void)EVP_CIPHER_CTX_reset(opener);
    }
}

bool relay_seal_open_with(relay_seal_opener_t *opener, const uint8_t key[RELAY_KEY_RING_KEY_LEN],
                          relay_span_t data, relay_span_t sealed, uint8_t *plain)
{
    bool ready, good;

    if (!openable(sealed)) {
        return false;
    }
    ready = EVP_CipherInit_ex(opener, NULL, NULL, key, sealed.base, false) && feed(opener, data);
    good = open_text(opener, ready, sealed, plain);
    forget_key(opener);
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
