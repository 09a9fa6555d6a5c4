/* Ed25519 signatures with libsodium: see signer.h. */

#include "signer.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "base64.h"
#include "signature.h"

struct signer_s {
    relay_key_ring_t seeds; /* the first one signs */
    relay_key_ring_t public_keys;
    unsigned char expanded[crypto_sign_SECRETKEYBYTES]; /* of the first one */
};

static void expand(signer_t *signer)
{
    unsigned char secret[crypto_sign_SECRETKEYBYTES];

    signer->public_keys = signer->seeds;
    for (size_t i = signer->seeds.count; i-- > 0;) {
        crypto_sign_seed_keypair(signer->public_keys.keys[i].bytes, secret,
                                 signer->seeds.keys[i].bytes);
    }
    memcpy(signer->expanded, secret, sizeof(secret)); /* the last one made: the first key's */
    sodium_memzero(secret, sizeof(secret));
}

signer_t *signer_new(const char *ring, char *error, size_t error_size)
{
    const size_t align = 64;
    size_t size = (sizeof(signer_t) + align - 1) / align * align, line = 0;
    signer_t *signer = sodium_init() < 0 ? NULL : sodium_malloc(size);
    const char *message = "";

    if (signer == NULL) {
        snprintf(error, error_size, "no locked memory for the signing key");
        return NULL;
    }
    if (!relay_key_ring_read(relay_span(ring, strlen(ring)), &signer->seeds, &line, &message)) {
        snprintf(error, error_size, "the signing key, line %zu: %s", line, message);
        sodium_free(signer);
        return NULL;
    }
    expand(signer);
    return signer;
}

void signer_free(signer_t *signer)
{
    sodium_free(signer);
}

bool signer_sign(const signer_t *signer, relay_span_t purpose, relay_span_t bytes,
                 relay_buf_t *scratch, relay_buf_t *out)
{
    unsigned char signature[crypto_sign_BYTES];
    size_t before = scratch->len;

    relay_buf_put(scratch, purpose);
    relay_buf_put_byte(scratch, 0);
    relay_buf_put(scratch, bytes);
    if (!relay_buf_ok(scratch)) {
        scratch->len = before;
        return false;
    }
    crypto_sign_detached(signature, NULL, scratch->base + before, scratch->len - before,
                         signer->expanded);
    scratch->len = before;
    relay_buf_put(out, relay_ring_key_id(&signer->seeds.keys[0]));
    relay_buf_put_byte(out, ' ');
    relay_base64_put(out, relay_span(signature, sizeof(signature)));
    return relay_buf_ok(out);
}

const relay_key_ring_t *signer_public(const signer_t *signer)
{
    return &signer->public_keys;
}
