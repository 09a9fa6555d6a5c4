/*
 * Values of references that outlive a process: see last_value.h.
 */

#include "last_value.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

enum { VERSION_MAX = 1100 };

static void version_of(const last_value_t *last, char version[VERSION_MAX])
{
    snprintf(version, VERSION_MAX, SECRET_VERSION_LAST "%s", last->reference);
}

static bool is_there(const last_value_t *last)
{
    return last->sealed != NULL && last->sealed[0] != '\0';
}

static bool last_value_open(secrets_t *secrets, session_t *session, const last_value_t *last,
                            secret_t *secret)
{
    char version[VERSION_MAX];
    secret_place_t place = {last->workspace_id, last->row_id, version, last->origin};

    version_of(last, version);
    *secret = (secret_t){NULL, 0};
    return is_there(last) && secret_open(secrets, session, &place, last->sealed, secret);
}

void last_value_adopt(secrets_t *secrets, session_t *session, const last_value_t *last)
{
    secret_t secret;

    if (is_there(last) && reference_lacks_value(last->reference) &&
        last_value_open(secrets, session, last, &secret)) {
        reference_adopt(last->reference, &secret);
        secret_free(&secret);
    }
}

static bool write(session_t *session, const last_value_t *last, const char *sealed)
{
    PGresult *done =
        SESSION_QUERY(session, "UPDATE provider_key SET last_sealed = $2 WHERE id = $1::uuid",
                      last->row_id, sealed);

    PQclear(done);
    return done != NULL;
}

bool last_value_keep(secrets_t *secrets, session_t *session, const last_value_t *last,
                     const secret_t *secret)
{
    char version[VERSION_MAX], *sealed;
    secret_place_t place = {last->workspace_id, last->row_id, version, last->origin};
    secret_t there;
    bool same = last_value_open(secrets, session, last, &there) && there.len == secret->len &&
                sodium_memcmp(there.bytes, secret->bytes, secret->len) == 0;
    bool good;

    secret_free(&there);
    if (same) {
        return true;
    }
    version_of(last, version);
    sealed = secret_seal(secrets, session, &place, secret);
    good = sealed != NULL && write(session, last, sealed);
    free(sealed);
    return good;
}

bool last_value_drop(session_t *session, const last_value_t *last)
{
    return !is_there(last) || write(session, last, NULL);
}
