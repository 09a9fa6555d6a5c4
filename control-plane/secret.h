/*
 * Secrets at rest. The master key (a ring with ids, so that it can rotate)
 * wraps one data key per workspace; a data key seals the provider keys of its
 * workspace. Additional data binds a ciphertext to workspace, row, version and
 * the origin it may be sent to: moved or re-pointed, it does not open.
 *
 * For the data plane a secret is sealed once more, under a key that opens
 * nothing in the database (ngx_relay_module/STORE.md).
 */

#ifndef RELAY_SECRET_H
#define RELAY_SECRET_H

#include "database.h"
#include "problem.h"

enum { SECRET_MAX = 8192 };

/* Made by this file alone: locked memory, not in core images. {NULL, 0}: none. */
typedef struct {
    unsigned char *bytes; /* owned; cleansed by secret_free */
    size_t len;
} secret_t;
void secret_free(secret_t *secret);
/* A copy; false: no memory. */
bool secret_copy(secret_t *secret, const void *bytes, size_t len);

typedef struct secrets_s secrets_t; /* the rings; locked memory, not in core images */

/* Texts with lines `<key id> <base64 of 32 bytes>`; the first line's key seals. */
secrets_t *secrets_new(const char *master_ring, const char *dataplane_ring, char *error,
                       size_t error_size);
void secrets_free(secrets_t *secrets);

typedef struct {
    const char *workspace_id;
    const char *row_id;
    const char *version; /* decimal: grows with each value; or what stands in its place */
    const char *origin;  /* scheme://name:port */
} secret_place_t;

/* In the place of a version, with a reference behind it: the last value that it had. */
#define SECRET_VERSION_LAST "last of "

/* Base64 text for the database. The workspace's data key is made if there is none. */
char *secret_seal(secrets_t *secrets, session_t *session, const secret_place_t *place,
                  const secret_t *secret);
/* False if it does not open: wrong place, lost key, changed bytes. */
bool secret_open(secrets_t *secrets, session_t *session, const secret_place_t *place,
                 const char *sealed, secret_t *secret);
/* For a config document: `<key id>.<base64>`. Additional data as STORE.md. */
char *secret_seal_for_dataplane(secrets_t *secrets, const char *workspace_name,
                                const char *key_name, const char *version, const char *origin,
                                const secret_t *secret);

/* Wraps data keys anew under the first master key; or makes a new data key and reseals rows. */
bool secrets_rotate_master(secrets_t *secrets, session_t *session, problem_t *problem);
bool secrets_rotate_data_key(secrets_t *secrets, session_t *session, const char *workspace_id,
                             problem_t *problem);

#endif
