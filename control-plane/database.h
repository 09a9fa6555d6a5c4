/*
 * PostgreSQL: a pool of connections and statements with parameters.
 *
 * Values never become part of a statement's text. A leased connection belongs
 * to one thread; every statement of a request runs in one transaction, opened
 * for one workspace, which row-level security holds it to.
 */

#ifndef RELAY_DATABASE_H
#define RELAY_DATABASE_H

#include <libpq-fe.h>
#include <stdbool.h>
#include <stddef.h>

typedef struct database_s database_t; /* the pool */
typedef struct session_s session_t;   /* one leased connection */

/*
 * dsn: a libpq connection string or URI. Nothing is connected yet. NULL: no memory.
 *
 * Row-level security does not hold superusers and roles with BYPASSRLS. When
 * the DSN's role is one, transactions run as the role relay_app, which is
 * neither; migrate() makes it. Other roles are held as they are, the owner of
 * the tables too (FORCE ROW LEVEL SECURITY).
 */
#define DATABASE_HELD_ROLE "relay_app"

database_t *database_new(const char *dsn, size_t connections_max, unsigned statement_timeout_ms);
void database_free(database_t *database);

/* Waits up to wait_ms for a connection; NULL when there is none or the server is away. */
session_t *database_lease(database_t *database, unsigned wait_ms);
/*
 * Until database_open() says that the schema is there, database_lease() gives
 * nothing. Who makes it uses a connection of its own, as the DSN's role and
 * without a limit of time for statements.
 */
void database_open(database_t *database);
session_t *database_lease_owner(database_t *database);
/* Whether row-level security passes the DSN's role by. */
bool session_bypasses(const session_t *session);
/* Rolls back what is open. A broken connection is dropped, not reused. */
void database_return(session_t *session);

/*
 * workspace_id: a UUID to which row-level security limits the transaction;
 * NULL: all workspaces (migrations, publishing, authentication).
 */
bool session_begin(session_t *session, const char *workspace_id);
bool session_commit(session_t *session);
void session_rollback(session_t *session);

/*
 * One statement with text parameters ($1…), NULL for SQL NULL. The result is
 * the caller's (PQclear); NULL on any error, which session_error() describes.
 */
PGresult *session_query(session_t *session, const char *sql, size_t count,
                        const char *const values[]) __attribute__((warn_unused_result));
#define SESSION_QUERY(session, sql, ...)                                                           \
    session_query((session), (sql), sizeof((const char *[]){__VA_ARGS__}) / sizeof(char *),        \
                  (const char *const[]){__VA_ARGS__})

typedef struct {
    char sqlstate[6];    /* "" when the connection failed */
    char constraint[64]; /* of the violation, or "" */
    char message[256];   /* for the log; never for a client */
} database_error_t;
const database_error_t *session_error(const session_t *session);
/* A violation of a unique index; a row that others refer to. */
bool session_failed_unique(const session_t *session);
bool session_failed_reference(const session_t *session);
/* The server cannot be reached, stops, or did not answer in time: 503, not 500. */
bool session_failed_away(const session_t *session);
/* Worth repeating as a whole: serialisation failure or deadlock. */
bool session_failed_retry(const session_t *session);

typedef struct {
    size_t max, open, busy, waiting;
} database_counts_t;
database_counts_t database_counts(database_t *database);

/* For libpq calls that this interface does not have. */
PGconn *session_connection(session_t *session);

#endif
