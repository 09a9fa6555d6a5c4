/*
 * The pool of connections, transactions held to one workspace, and statements
 * with parameters and a time limit that holds even if the server says nothing.
 */

#include "database.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "log.h"

enum {
    CONNECT_TIMEOUT_S = 3,
    AWAY_PAUSE_MS = 200,    /* after a failure to connect, before the next attempt */
    ANSWER_GRACE_MS = 2000, /* beyond the server's own limit */
    OWNER_TIMEOUT_MS = 3600000,
    OWNER_LOCK_TIMEOUT_MS = 10000
};

struct session_s {
    database_t *database;
    session_t *next; /* idle ones, the last used first */
    PGconn *connection;
    bool broken;
    bool bypasses;
    bool owner; /* of the schema: not of the pool */
    database_error_t error;
};

struct database_s {
    char *dsn;
    size_t max;
    unsigned timeout_ms;
    pthread_mutex_t mutex;
    pthread_cond_t returned;
    bool ready;
    uint64_t away_until_ms;
    session_t *idle;
    size_t open, busy, waiting;
};

static uint64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* ---- errors ---- */

static const database_error_t no_error;

/* A server's message about data may quote it: only what stands before the colon is kept. */
static void keep_message(database_error_t *error, const char *message)
{
    size_t len = strcspn(message, strncmp(error->sqlstate, "22", 2) == 0 ? ":\n" : "\n");

    if (len >= sizeof(error->message))
        len = sizeof(error->message) - 1;
    memcpy(error->message, message, len);
    error->message[len] = '\0';
}

static void failed_connection(session_t *session, const char *message)
{
    session->error = no_error;
    keep_message(&session->error, message);
    session->broken = true;
}

static void failed_statement(session_t *session, const PGresult *result)
{
    const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    const char *constraint = PQresultErrorField(result, PG_DIAG_CONSTRAINT_NAME);
    const char *message = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
    database_error_t *error = &session->error;

    if (state == NULL) {
        failed_connection(session, PQerrorMessage(session->connection));
        return;
    }
    *error = no_error;
    snprintf(error->sqlstate, sizeof(error->sqlstate), "%s", state);
    snprintf(error->constraint, sizeof(error->constraint), "%s", constraint ? constraint : "");
    keep_message(error, message ? message : "");
    if (PQstatus(session->connection) != CONNECTION_OK)
        session->broken = true;
}

const database_error_t *session_error(const session_t *session)
{
    return &session->error;
}

static bool failed_with(const session_t *session, const char *sqlstate)
{
    return strncmp(session->error.sqlstate, sqlstate, strlen(sqlstate)) == 0;
}

bool session_failed_unique(const session_t *session)
{
    return failed_with(session, "23505");
}

bool session_failed_reference(const session_t *session)
{
    return failed_with(session, "23503");
}

bool session_failed_retry(const session_t *session)
{
    return failed_with(session, "40001") || failed_with(session, "40P01");
}

bool session_failed_away(const session_t *session)
{
    static const char *const states[] = {"57", "53", "55P03", "08", "25006"};

    for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++)
        if (failed_with(session, states[i]))
            return true;
    return session->broken;
}

PGconn *session_connection(session_t *session)
{
    return session->connection;
}

bool session_bypasses(const session_t *session)
{
    return session->bypasses;
}

/* ---- statements ---- */

static unsigned answer_limit_ms(const session_t *session)
{
    return session->owner ? OWNER_TIMEOUT_MS : session->database->timeout_ms + ANSWER_GRACE_MS;
}

/* Until libpq has a whole result; false: the connection is of no more use. */
static bool await_answer(session_t *session, uint64_t deadline_ms)
{
    while (PQisBusy(session->connection)) {
        struct pollfd fd = {.fd = PQsocket(session->connection), .events = POLLIN};
        uint64_t now = now_ms();
        int ready = now < deadline_ms ? poll(&fd, 1, (int)(deadline_ms - now)) : 0;

        if (ready < 0 && errno == EINTR)
            continue;
        if (ready <= 0) {
            failed_connection(session, "the server does not answer");
            return false;
        }
        if (PQconsumeInput(session->connection) != 1) {
            failed_connection(session, PQerrorMessage(session->connection));
            return false;
        }
    }
    return true;
}

static bool result_good(const PGresult *result)
{
    ExecStatusType status = PQresultStatus(result);

    return status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK;
}

/* The last result of what was sent, or the first that is an error. */
static PGresult *take_result(session_t *session)
{
    uint64_t deadline_ms = now_ms() + answer_limit_ms(session);
    PGresult *kept = NULL, *result;

    while (await_answer(session, deadline_ms) &&
           (result = PQgetResult(session->connection)) != NULL) {
        if (kept != NULL && !result_good(kept)) {
            PQclear(result);
            continue;
        }
        PQclear(kept);
        kept = result;
    }
    if (kept == NULL || session->broken) {
        if (!session->broken)
            failed_connection(session, PQerrorMessage(session->connection));
        PQclear(kept);
        return NULL;
    }
    if (result_good(kept))
        return kept;
    failed_statement(session, kept);
    PQclear(kept);
    return NULL;
}

PGresult *session_query(session_t *session, const char *sql, size_t count,
                        const char *const values[])
{
    if (session->broken)
        return NULL;
    session->error = no_error;
    if (PQsendQueryParams(session->connection, sql, (int)count, NULL, values, NULL, NULL, 0) == 1)
        return take_result(session);
    failed_connection(session, PQerrorMessage(session->connection));
    return NULL;
}

static bool run(session_t *session, const char *sql)
{
    PGresult *result = session_query(session, sql, 0, NULL);

    PQclear(result);
    return result != NULL;
}

/* ---- transactions ---- */

bool session_begin(session_t *session, const char *workspace_id)
{
    char timeout[16];

    if (!run(session, "BEGIN"))
        return false;

    snprintf(timeout, sizeof(timeout), "%u", session->owner ? 0 : session->database->timeout_ms);
    const char *const values[] = {workspace_id != NULL ? workspace_id : "",
                                  workspace_id == NULL ? "on" : "off", timeout, DATABASE_HELD_ROLE};
    bool held = session->bypasses && !session->owner;
    PGresult *done = session_query(
        session,
        held ? "SELECT set_config('relay.workspace', $1, true), set_config('relay.all', $2, true),"
               " set_config('statement_timeout', $3, true), set_config('role', $4, true)"
             : "SELECT set_config('relay.workspace', $1, true), set_config('relay.all', $2, true),"
               " set_config('statement_timeout', $3, true)",
        held ? 4 : 3, values);
    PQclear(done);
    return done != NULL;
}

/* The COMMIT of a transaction that has failed succeeds, as a ROLLBACK. */
bool session_commit(session_t *session)
{
    PGresult *result = session_query(session, "COMMIT", 0, NULL);
    bool committed = result != NULL && strcmp(PQcmdStatus(result), "COMMIT") == 0;

    PQclear(result);
    return committed;
}

/* What failed before stays the error. */
void session_rollback(session_t *session)
{
    database_error_t error = session->error;

    if (!session->broken && PQtransactionStatus(session->connection) != PQTRANS_IDLE)
        (void)run(session, "ROLLBACK");
    if (!session->broken)
        session->error = error;
}

/* ---- one connection ---- */

static void quiet(void *unused, const PGresult *notice)
{
    const char *message = PQresultErrorField(notice, PG_DIAG_MESSAGE_PRIMARY);

    (void)unused;
    log_event(LOG_DEBUG, "notice from the database", "notice", message, NULL);
}

/* Defaults stand before the DSN, which may say otherwise; what must be stands after it. */
static PGconn *connect_to(const char *dsn)
{
    char timeout[16];
    const char *const names[] = {
        "connect_timeout",  "application_name", "keepalives_idle", "keepalives_interval",
        "keepalives_count", "dbname",           "client_encoding", NULL};
    const char *const values[] = {timeout, "relayd", "30", "10", "3", dsn, "UTF8", NULL};

    snprintf(timeout, sizeof(timeout), "%d", CONNECT_TIMEOUT_S);
    return PQconnectdbParams(names, values, 1);
}

static bool prepare_connection(session_t *session)
{
    char lock_timeout[16];

    PQsetNoticeReceiver(session->connection, quiet, NULL);
    snprintf(lock_timeout, sizeof(lock_timeout), "%u",
             session->owner ? OWNER_LOCK_TIMEOUT_MS : session->database->timeout_ms);
    PGresult *row =
        SESSION_QUERY(session,
                      "SELECT rolsuper OR rolbypassrls, set_config('lock_timeout', $1, false),"
                      " set_config('idle_in_transaction_session_timeout', '60000', false),"
                      " set_config('TimeZone', 'UTC', false), set_config('DateStyle', 'ISO', false)"
                      " FROM pg_roles WHERE rolname = current_user",
                      lock_timeout);
    bool ok = row != NULL && PQntuples(row) == 1;

    session->bypasses = ok && PQgetvalue(row, 0, 0)[0] == 't';
    PQclear(row);
    return ok;
}

static void session_free(session_t *session)
{
    PQfinish(session->connection);
    free(session);
}

static session_t *session_connect(database_t *database, bool owner)
{
    session_t *session = calloc(1, sizeof(*session));

    if (session == NULL)
        return NULL;
    session->database = database;
    session->owner = owner;
    session->connection = connect_to(database->dsn);
    if (PQstatus(session->connection) != CONNECTION_OK)
        failed_connection(session, PQerrorMessage(session->connection));
    else if (prepare_connection(session))
        return session;

    log_event(LOG_WARN, "cannot connect to the database", "reason", session->error.message, NULL);
    session_free(session);
    return NULL;
}

/* An idle connection to a server that went away has something to read: the end. */
static bool still_good(session_t *session)
{
    struct pollfd fd = {.fd = PQsocket(session->connection), .events = POLLIN};

    if (poll(&fd, 1, 0) == 0)
        return true;
    return PQconsumeInput(session->connection) == 1 &&
           PQstatus(session->connection) == CONNECTION_OK && poll(&fd, 1, 0) == 0;
}

/* ---- the pool ---- */

database_t *database_new(const char *dsn, size_t connections_max, unsigned statement_timeout_ms)
{
    database_t *database = calloc(1, sizeof(*database));
    pthread_condattr_t attributes;

    if (database == NULL || (database->dsn = strdup(dsn)) == NULL) {
        free(database);
        return NULL;
    }
    database->max = connections_max;
    database->timeout_ms = statement_timeout_ms;
    pthread_mutex_init(&database->mutex, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&database->returned, &attributes);
    pthread_condattr_destroy(&attributes);
    return database;
}

void database_free(database_t *database)
{
    if (database == NULL)
        return;
    while (database->idle != NULL) {
        session_t *session = database->idle;
        database->idle = session->next;
        session_free(session);
    }
    pthread_cond_destroy(&database->returned);
    pthread_mutex_destroy(&database->mutex);
    explicit_bzero(database->dsn, strlen(database->dsn));
    free(database->dsn);
    free(database);
}

void database_open(database_t *database)
{
    pthread_mutex_lock(&database->mutex);
    database->ready = true;
    pthread_mutex_unlock(&database->mutex);
}

static struct timespec monotonic(uint64_t ms)
{
    return (struct timespec){.tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000) * 1000000};
}

/* Under the mutex: until there is an idle connection or room for a new one. */
static bool await_place(database_t *database, uint64_t deadline_ms)
{
    struct timespec deadline = monotonic(deadline_ms);
    int timed_out = 0;

    database->waiting++;
    while (database->idle == NULL && database->open >= database->max && timed_out == 0)
        timed_out = pthread_cond_timedwait(&database->returned, &database->mutex, &deadline);
    database->waiting--;
    return database->idle != NULL || database->open < database->max;
}

/* Under the mutex. *room: there was none, but one more may be opened; it is counted already. */
static session_t *take_place(database_t *database, uint64_t deadline_ms, bool *room)
{
    session_t *session = NULL;

    *room = false;
    if (!database->ready || !await_place(database, deadline_ms))
        return NULL;

    session = database->idle;
    if (session != NULL) {
        database->idle = session->next;
    } else {
        if (now_ms() < database->away_until_ms)
            return NULL;
        database->open++;
        *room = true;
    }
    database->busy++;
    return session;
}

static void give_up_place(database_t *database, bool away)
{
    pthread_mutex_lock(&database->mutex);
    database->open--;
    database->busy--;
    if (away)
        database->away_until_ms = now_ms() + AWAY_PAUSE_MS;
    pthread_cond_signal(&database->returned);
    pthread_mutex_unlock(&database->mutex);
}

session_t *database_lease(database_t *database, unsigned wait_ms)
{
    uint64_t deadline_ms = now_ms() + wait_ms;

    for (;;) {
        bool room;
        pthread_mutex_lock(&database->mutex);
        session_t *session = take_place(database, deadline_ms, &room);
        pthread_mutex_unlock(&database->mutex);

        if (session == NULL && !room)
            return NULL;
        if (session != NULL && still_good(session)) {
            session->error = no_error;
            return session;
        }
        if (session != NULL) {
            session_free(session);
            give_up_place(database, false);
            continue;
        }
        session = session_connect(database, false);
        if (session == NULL)
            give_up_place(database, true);
        return session;
    }
}

session_t *database_lease_owner(database_t *database)
{
    return session_connect(database, true);
}

void database_return(session_t *session)
{
    if (session == NULL)
        return;

    database_t *database = session->database;
    session_rollback(session);
    if (session->owner) {
        session_free(session);
        return;
    }
    if (session->broken || PQtransactionStatus(session->connection) != PQTRANS_IDLE) {
        session_free(session);
        give_up_place(database, false);
        return;
    }
    pthread_mutex_lock(&database->mutex);
    session->next = database->idle;
    database->idle = session;
    database->busy--;
    pthread_cond_signal(&database->returned);
    pthread_mutex_unlock(&database->mutex);
}

database_counts_t database_counts(database_t *database)
{
    pthread_mutex_lock(&database->mutex);
    database_counts_t counts = {database->max, database->open, database->busy, database->waiting};
    pthread_mutex_unlock(&database->mutex);
    return counts;
}
