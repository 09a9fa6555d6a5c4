/*
 * Applies migrations and makes what every installation has. Called by relayd.c
 * at the start, and again until the database is there.
 */

#include "migrate.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/sha.h>

#include "identifier.h"
#include "log.h"

#define LOCK_NUMBER "7164928301" /* any number that others do not use */

typedef struct {
    session_t *session;
    char *why;
    size_t why_size;
    bool refused;
} run_t;

static bool refuse(run_t *run, const char *format, const char *name)
{
    run->refused = true;
    snprintf(run->why, run->why_size, format, name);
    return false;
}

/* Statements without parameters, any number of them. */
static bool execute(run_t *run, const char *what, const char *sql)
{
    PGresult *result = PQexec(session_connection(run->session), sql);
    ExecStatusType status = PQresultStatus(result);
    bool ok = status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK;

    if (!ok) {
        const char *message = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
        const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
        run->refused = state != NULL && strncmp(state, "57", 2) != 0 &&
                       strncmp(state, "55P03", 5) != 0 && strncmp(state, "40", 2) != 0;
        snprintf(run->why, run->why_size, "%s: %s", what,
                 message != NULL ? message : "the connection broke");
    }
    PQclear(result);
    return ok;
}

static bool query_failed(run_t *run, const char *what)
{
    run->refused = !session_failed_away(run->session) && !session_failed_retry(run->session);
    snprintf(run->why, run->why_size, "%s: %s", what, session_error(run->session)->message);
    return false;
}

/* ---- what there is ---- */

static void digest_of(const migration_t *migration, char hex[65])
{
    uint8_t digest[SHA256_DIGEST_LENGTH];

    SHA256((const uint8_t *)migration->text, migration->len, digest);
    for (size_t i = 0; i < sizeof(digest); i++)
        snprintf(hex + 2 * i, 3, "%02x", digest[i]);
}

static bool is_compatible(const migration_t *migration)
{
    return strncmp(migration->text, MIGRATION_COMPATIBLE, strlen(MIGRATION_COMPATIBLE)) == 0;
}

static const migration_t *find(const migration_t *list, size_t count, long number)
{
    for (size_t i = 0; i < count; i++)
        if (strtol(list[i].name, NULL, 10) == number)
            return &list[i];
    return NULL;
}

/* Row of schema_migration: number, name, sha256, compatible. */
static bool check_row(run_t *run, const migration_t *list, size_t count, const PGresult *rows,
                      int row)
{
    const migration_t *ours = find(list, count, strtol(PQgetvalue(rows, row, 0), NULL, 10));
    const char *name = PQgetvalue(rows, row, 1);
    char hex[65];

    if (ours == NULL)
        return PQgetvalue(rows, row, 3)[0] == 't' ||
               refuse(run,
                      "the database has the migration %.100s of a newer relayd, with which this"
                      " one does not work; start the newer one",
                      name);
    digest_of(ours, hex);
    return strcmp(hex, PQgetvalue(rows, row, 2)) == 0 ||
           refuse(run, "the migration %.100s was changed after it had been applied", name);
}

static bool check_applied(run_t *run, const migration_t *list, size_t count, long *last)
{
    PGresult *rows = session_query(
        run->session, "SELECT number, name, sha256, compatible FROM schema_migration ORDER BY 1", 0,
        NULL);
    bool ok = true;

    if (rows == NULL)
        return query_failed(run, "schema_migration");
    *last = 0;
    for (int row = 0; ok && row < PQntuples(rows); row++) {
        ok = check_row(run, list, count, rows, row);
        *last = strtol(PQgetvalue(rows, row, 0), NULL, 10);
    }
    PQclear(rows);
    return ok;
}

/* ---- migrations ---- */

static bool apply(run_t *run, const migration_t *migration)
{
    char number[16], hex[65];

    log_event(LOG_INFO, "applying a migration", "migration", migration->name, NULL);
    if (!execute(run, migration->name, migration->text))
        return false;

    snprintf(number, sizeof(number), "%ld", strtol(migration->name, NULL, 10));
    digest_of(migration, hex);
    PGresult *done =
        SESSION_QUERY(run->session,
                      "INSERT INTO schema_migration (number, name, sha256, compatible)"
                      " VALUES ($1::integer, $2, $3, $4::boolean)",
                      number, migration->name, hex, is_compatible(migration) ? "true" : "false");
    PQclear(done);
    return done != NULL || query_failed(run, "schema_migration");
}

static bool apply_all(run_t *run, const migration_t *list, size_t count)
{
    long last = 0;

    if (!execute(run, "schema_migration",
                 "CREATE TABLE IF NOT EXISTS schema_migration (number integer PRIMARY KEY,"
                 " name text NOT NULL, sha256 text NOT NULL, compatible boolean NOT NULL,"
                 " applied_at timestamptz NOT NULL DEFAULT now())") ||
        !check_applied(run, list, count, &last))
        return false;

    for (size_t i = 0; i < count; i++) {
        long number = strtol(list[i].name, NULL, 10);
        if (number > last && !apply(run, &list[i]))
            return false;
        last = number > last ? number : last;
    }
    return true;
}

/* ---- the role that row-level security holds ---- */

/* Another database of the same server may make it at this moment: its lock is not ours. */
static const char make_role[] =
    "DO $$ BEGIN"
    " IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '" DATABASE_HELD_ROLE "') THEN"
    "  CREATE ROLE " DATABASE_HELD_ROLE " NOLOGIN NOSUPERUSER NOBYPASSRLS;"
    " END IF;"
    " IF NOT pg_has_role(current_user, '" DATABASE_HELD_ROLE "', 'MEMBER') THEN"
    "  EXECUTE format('GRANT " DATABASE_HELD_ROLE " TO %I', current_user);"
    " END IF;"
    " IF EXISTS (SELECT FROM pg_roles WHERE rolname = '" DATABASE_HELD_ROLE "'"
    "            AND (rolsuper OR rolbypassrls)) THEN"
    "  RAISE EXCEPTION 'the role " DATABASE_HELD_ROLE " bypasses row-level security itself';"
    " END IF;"
    " EXECUTE format('GRANT USAGE ON SCHEMA %I TO " DATABASE_HELD_ROLE "', current_schema());"
    " EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA %I "
    "TO " DATABASE_HELD_ROLE "', current_schema());"
    " EXECUTE format('GRANT USAGE ON ALL SEQUENCES IN SCHEMA %I TO " DATABASE_HELD_ROLE
    "', current_schema());"
    " REVOKE INSERT, UPDATE, DELETE ON schema_migration FROM " DATABASE_HELD_ROLE ";"
    "END $$";

static bool make_held_role(run_t *run)
{
    return !session_bypasses(run->session) ||
           execute(run, "making the role " DATABASE_HELD_ROLE, make_role);
}

/* ---- what every installation has ---- */

static bool make_installation(run_t *run)
{
    char id[37], workspace_id[37];

    if (!identifier_new(id) || !identifier_new(workspace_id))
        return refuse(run, "%s", "the system gives no random bytes");

    PGresult *done = SESSION_QUERY(
        run->session, "INSERT INTO installation (id) VALUES ($1::uuid) ON CONFLICT DO NOTHING", id);
    bool ok = done != NULL;
    PQclear(done);
    done = !ok ? NULL
               : SESSION_QUERY(run->session,
                               "INSERT INTO workspace (id, name) SELECT $1::uuid, 'default'"
                               " WHERE NOT EXISTS (SELECT FROM workspace)",
                               workspace_id);
    PQclear(done);
    return done != NULL || query_failed(run, "making the installation");
}

/* ---- all of it ---- */

static bool run_all(run_t *run, const migration_t *list, size_t count)
{
    if (!session_begin(run->session, NULL))
        return query_failed(run, "beginning");
    return execute(run, "advisory lock", "SELECT pg_advisory_xact_lock(" LOCK_NUMBER ")") &&
           apply_all(run, list, count) && make_held_role(run) && make_installation(run) &&
           (session_commit(run->session) || query_failed(run, "committing"));
}

migrate_result_t migrate(database_t *database, char *why, size_t why_size)
{
    run_t run = {.session = database_lease_owner(database), .why = why, .why_size = why_size};

    if (run.session == NULL) {
        snprintf(why, why_size, "the database cannot be reached");
        return MIGRATE_AWAY;
    }
    bool done = run_all(&run, migrations, migrations_count);
    database_return(run.session);
    return done ? MIGRATE_DONE : run.refused ? MIGRATE_REFUSED : MIGRATE_AWAY;
}
