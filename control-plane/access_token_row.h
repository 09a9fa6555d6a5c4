/*
 * Access tokens in the database, for all relayd and the next start: sealed
 * under their workspace's data key, and known by the digest of what they were
 * made with. Called by access_token.c.
 */

#ifndef RELAY_ACCESS_TOKEN_ROW_H
#define RELAY_ACCESS_TOKEN_ROW_H

#include <stdint.h>

#include "secret.h"

enum { ACCESS_DIGEST_LEN = 32 };

typedef struct {
    secret_t token;
    long long due_s;  /* from now: when it is to be renewed; 0: it is time */
    long long ends_s; /* from now */
} access_token_row_t;

/* In the session's transaction. False: there is none that has not ended and opens. */
bool access_token_row_read(secrets_t *secrets, session_t *session, const char *workspace_id,
                           const uint8_t digest[ACCESS_DIGEST_LEN], access_token_row_t *row);
/* In the place of any other. False: the database failed, or it cannot be sealed. */
bool access_token_row_write(secrets_t *secrets, session_t *session, const char *workspace_id,
                            const uint8_t digest[ACCESS_DIGEST_LEN], const access_token_row_t *row);

#endif
