/*
 * The installation's signing keys: signatures as core/signature.h has them, but
 * made by libsodium from an expanded key. After Redis has lost its data a
 * million records are signed anew, and this takes a fifth of the time.
 * Called by publish*.c.
 */

#ifndef RELAY_SIGNER_H
#define RELAY_SIGNER_H

#include "buf.h"
#include "key_ring.h"

typedef struct signer_s signer_t; /* in locked memory, not in core images */

/* ring: lines `<key id> <base64 of a 32-byte seed>`; the first key signs. NULL with a message. */
signer_t *signer_new(const char *ring, char *error, size_t error_size);
void signer_free(signer_t *signer);

/* Appends `<key id> <base64>`; scratch takes RELAY_SIGNATURE_ROOM(purpose, bytes) bytes. */
bool signer_sign(const signer_t *signer, relay_span_t purpose, relay_span_t bytes,
                 relay_buf_t *scratch, relay_buf_t *out);

/* The public halves of all keys. */
const relay_key_ring_t *signer_public(const signer_t *signer);

#endif
