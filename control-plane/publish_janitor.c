/*
 * What the publisher must not wait for, in a thread of its own: references are
 * read again (Vault may take seconds), and what has expired is swept out. A
 * change takes a revision like any other. See publisher.h.
 */

#include "publisher.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "log.h"
#include "reference.h"
#include "relayd.h"

enum { LEASE_MS = 2000, SWEEP_EVERY_S = 600, RETRY_S = 5 };

static bool run(session_t *session, const char *sql, const char *value)
{
    PGresult *done = session_query(session, sql, value != NULL ? 1 : 0, &value);

    PQclear(done);
    return done != NULL;
}

/* ---- references ----------------------------------------------------------- */

/* All that are in use; the transaction is over when they are read. NULL: the database is away. */
static json_t *references_in_use(session_t *session)
{
    PGresult *rows = NULL;
    json_t *list = NULL;

    if (session_begin(session, NULL)) {
        rows = session_query(session,
                             "SELECT DISTINCT spec ->> 'value_from' FROM provider_key"
                             " WHERE spec ->> 'value_from' IS NOT NULL",
                             0, NULL);
    }
    if (rows != NULL) {
        list = json_array();
    }
    for (int i = 0; i < PQntuples(rows); i++) {
        json_array_append_new(list, json_string(PQgetvalue(rows, i, 0)));
    }
    PQclear(rows);
    session_rollback(session);
    return list;
}

/* Those whose value is another one now go into changed. */
static void refresh(const publisher_t *publisher, const json_t *references, json_t *changed)
{
    json_t *reference;
    size_t i;

    json_array_foreach(references, i, reference)
    {
        const char *text = json_string_value(reference);
        if (atomic_load(&publisher->stopping)) {
            return;
        }
        if (reference_refresh(text)) {
            log_event(LOG_INFO, "a reference has a new value", "reference", text, NULL);
            json_array_append(changed, reference);
        }
    }
}

/* The value is another one: so is its version, and the configuration's revision. */
static bool record_changes(session_t *session, const json_t *changed)
{
    json_t *reference;
    size_t i;
    bool good = session_begin(session, NULL);

    json_array_foreach(changed, i, reference)
    {
        good = good && run(session,
                           "UPDATE provider_key SET secret_version = secret_version + 1"
                           " WHERE spec ->> 'value_from' = $1",
                           json_string_value(reference));
    }
    good = good && publish_stamp(session) != 0 && session_commit(session);
    if (!good) {
        session_rollback(session);
    }
    return good;
}

/* changed keeps what could not be recorded yet. */
static bool refresh_references(publisher_t *publisher, session_t *session, json_t *changed)
{
    json_t *references = references_in_use(session);
    bool good = references != NULL;

    if (good) {
        refresh(publisher, references, changed);
    }
    json_decref(references);
    references_forget(publisher->relayd->settings.reference_refresh_s * 3 + 60);
    if (good && json_array_size(changed) != 0) {
        good = record_changes(session, changed);
        if (good) {
            json_array_clear(changed);
            publisher_wake(publisher);
        }
    }
    return good;
}

/* ---- what has expired ----------------------------------------------------- */

/* Values that nobody may go back to; events that are older than the settings keep them. */
static bool sweep_kept(session_t *session)
{
    bool good = session_begin(session, NULL) &&
                run(session,
                    "UPDATE provider_key SET previous_sealed = NULL, previous_version = NULL,"
                    " previous_until = NULL WHERE previous_until < now()",
                    NULL) &&
                run(session,
                    "DELETE FROM event USING installation i WHERE"
                    " at < now() - (i.settings ->> 'keep_events_days')::integer"
                    " * interval '1 day'",
                    NULL) &&
                session_commit(session);

    if (!good) {
        session_rollback(session);
    }
    return good;
}

/* A revocation outlives the records that it voids by a day. */
static bool sweep_revocations(publisher_t *publisher, session_t *session)
{
    PGresult *done = NULL;
    bool any, good;

    /* The installation's row first, as changes do: they meet on revocation_segment. */
    if (session_begin(session, NULL) && run(session, "SELECT FROM installation FOR UPDATE", NULL)) {
        done = session_query(
            session, "DELETE FROM revocation WHERE expires_at < now() - interval '1 day'", 0, NULL);
    }
    any = done != NULL && strcmp(PQcmdTuples(done), "0") != 0;
    good = done != NULL && (!any || publish_stamp(session) != 0) && session_commit(session);
    PQclear(done);
    if (!good) {
        session_rollback(session);
    } else if (any) {
        publisher_wake(publisher);
    }
    return good;
}

/* ---- the thread ----------------------------------------------------------- */

static time_t now_s(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec;
}

static void wait_s(publisher_t *publisher, long long seconds)
{
    struct pollfd waiting = {publisher->janitor_wake, POLLIN, 0};

    if (!atomic_load(&publisher->stopping)) {
        poll(&waiting, 1, (int)(seconds < 86400 ? seconds : 86400) * 1000);
    }
}

static bool work(publisher_t *publisher, json_t *changed, time_t *sweep_at)
{
    session_t *session = database_lease(publisher->relayd->database, LEASE_MS);
    bool good = session != NULL && refresh_references(publisher, session, changed);

    if (good && now_s() >= *sweep_at) {
        good = sweep_kept(session) && sweep_revocations(publisher, session);
        *sweep_at = now_s() + SWEEP_EVERY_S;
    }
    database_return(session);
    return good;
}

void *publish_janitor(void *data)
{
    publisher_t *publisher = data;
    long long every_s = publisher->relayd->settings.reference_refresh_s;
    json_t *changed = json_array();
    time_t sweep_at = 0;

    every_s = every_s < 1 ? 1 : every_s;
    while (!atomic_load(&publisher->stopping)) {
        wait_s(publisher, work(publisher, changed, &sweep_at) ? every_s : RETRY_S);
    }
    json_decref(changed);
    return NULL;
}
