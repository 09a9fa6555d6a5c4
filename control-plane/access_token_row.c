/*
 * Rows of access_token: see access_token_row.h. Times are the database's, so
 * that clocks of several machines need not agree.
 */

#include "access_token_row.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

enum { DIGEST_TEXT = 2 * ACCESS_DIGEST_LEN + 1, NUMBER_MAX = 24 };

static secret_place_t place_of(const char *workspace_id, const char *digest)
{
    return (secret_place_t){workspace_id, digest, "access token", ""};
}

static bool take_row(secrets_t *secrets, session_t *session, const PGresult *found,
                     const char *workspace_id, const char *digest, access_token_row_t *row)
{
    secret_place_t place = place_of(workspace_id, digest);

    row->due_s = strtoll(PQgetvalue(found, 0, 1), NULL, 10);
    row->ends_s = strtoll(PQgetvalue(found, 0, 2), NULL, 10);
    row->due_s = row->due_s > 0 ? row->due_s : 0;
    return row->ends_s > 0 &&
           secret_open(secrets, session, &place, PQgetvalue(found, 0, 0), &row->token);
}

bool access_token_row_read(secrets_t *secrets, session_t *session, const char *workspace_id,
                           const uint8_t digest[ACCESS_DIGEST_LEN], access_token_row_t *row)
{
    char text[DIGEST_TEXT];
    PGresult *found;
    bool good;

    *row = (access_token_row_t){.due_s = 0};
    sodium_bin2hex(text, sizeof(text), digest, ACCESS_DIGEST_LEN);
    found = SESSION_QUERY(session,
                          "SELECT sealed,"
                          " floor(extract(epoch FROM due_at - clock_timestamp()))::bigint,"
                          " floor(extract(epoch FROM ends_at - clock_timestamp()))::bigint"
                          " FROM access_token"
                          " WHERE workspace_id = $1::uuid AND digest = decode($2, 'hex')",
                          workspace_id, text);
    good = found != NULL && PQntuples(found) == 1 &&
           take_row(secrets, session, found, workspace_id, text, row);
    PQclear(found);
    return good;
}

bool access_token_row_write(secrets_t *secrets, session_t *session, const char *workspace_id,
                            const uint8_t digest[ACCESS_DIGEST_LEN], const access_token_row_t *row)
{
    char text[DIGEST_TEXT], due[NUMBER_MAX], ends[NUMBER_MAX], *sealed;
    secret_place_t place = place_of(workspace_id, text);
    PGresult *done = NULL;

    sodium_bin2hex(text, sizeof(text), digest, ACCESS_DIGEST_LEN);
    snprintf(due, sizeof(due), "%lld", row->due_s);
    snprintf(ends, sizeof(ends), "%lld", row->ends_s);
    sealed = secret_seal(secrets, session, &place, &row->token);
    if (sealed != NULL) {
        done = SESSION_QUERY(session,
                             "INSERT INTO access_token (workspace_id, digest, sealed, due_at,"
                             " ends_at) VALUES ($1::uuid, decode($2, 'hex'), $3,"
                             " clock_timestamp() + $4::bigint * interval '1 second',"
                             " clock_timestamp() + $5::bigint * interval '1 second')"
                             " ON CONFLICT (workspace_id, digest) DO UPDATE"
                             " SET sealed = excluded.sealed, due_at = excluded.due_at,"
                             " ends_at = excluded.ends_at",
                             workspace_id, text, sealed, due, ends);
    }
    free(sealed);
    PQclear(done);
    return done != NULL;
}
