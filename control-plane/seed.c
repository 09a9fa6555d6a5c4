/*
 * Seeding the catalog, see seed.h. The document is what `relayctl catalog
 * compile` writes: {"hosts": {…}, "models": {…}}. Postgres takes it apart: one
 * statement for a table.
 */

#include "seed.h"

#include <pthread.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "identifier.h"
#include "log.h"
#include "publish.h"

/* RELAY_CATALOG names the file; a NUL makes a text of it. */
__asm__(".section .rodata\n"
        ".global relay_catalog\n"
        ".balign 16\n"
        "relay_catalog:\n"
        ".incbin \"" RELAY_CATALOG "\"\n"
        ".global relay_catalog_end\n"
        "relay_catalog_end:\n"
        ".byte 0\n"
        ".previous\n");

extern const char relay_catalog[];
extern const char relay_catalog_end[];

static char version[2 * crypto_hash_sha256_BYTES + 1];

static void set_version(void)
{
    unsigned char digest[crypto_hash_sha256_BYTES];

    crypto_hash_sha256(digest, (const unsigned char *)relay_catalog,
                       (unsigned long long)(relay_catalog_end - relay_catalog));
    sodium_bin2hex(version, sizeof(version), digest, sizeof(digest));
}

const char *seed_catalog_version(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, set_version);
    return version;
}

static bool run(session_t *session, const char *sql, const char *value)
{
    PGresult *done = session_query(session, sql, value != NULL ? 1 : 0, &value);

    PQclear(done);
    return done != NULL;
}

static bool make_installation(session_t *session)
{
    char id[37];

    return identifier_new(id) && run(session,
                                     "INSERT INTO installation (id) VALUES ($1::uuid)"
                                     " ON CONFLICT (only_one) DO NOTHING",
                                     id);
}

/* The row stays locked: of several relayd that start at once, one seeds. */
static bool is_seeded(session_t *session, bool *seeded)
{
    PGresult *row = SESSION_QUERY(session,
                                  "SELECT catalog_version IS NOT DISTINCT FROM $1"
                                  " FROM installation FOR UPDATE",
                                  seed_catalog_version());
    bool found = row != NULL && PQntuples(row) == 1;

    *seeded = found && PQgetvalue(row, 0, 0)[0] == 't';
    PQclear(row);
    return found;
}

static bool fill(session_t *session)
{
    return run(session, "DELETE FROM catalog_host", NULL) &&
           run(session, "DELETE FROM catalog_model", NULL) &&
           run(session,
               "INSERT INTO catalog_host (name, document)"
               " SELECT key, value FROM jsonb_each($1::jsonb -> 'hosts')",
               relay_catalog) &&
           run(session,
               "INSERT INTO catalog_model (name, vendor, document)"
               " SELECT key, coalesce(value ->> 'owned_by', 'other'), value"
               " FROM jsonb_each($1::jsonb -> 'models')",
               relay_catalog) &&
           run(session, "UPDATE installation SET catalog_version = $1", seed_catalog_version());
}

bool seed_catalog(session_t *session)
{
    bool seeded;

    if (!make_installation(session) || !is_seeded(session, &seeded)) {
        return false;
    }
    if (seeded) {
        return true;
    }
    if (!fill(session) || publish_stamp(session) == 0) {
        return false;
    }
    log_event(LOG_INFO, "the catalog was seeded", "version", seed_catalog_version(), NULL);
    return true;
}
