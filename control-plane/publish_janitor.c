/*
 * What the publisher must not wait for, in a thread of its own: references are
 * read again and access tokens renewed (others may take seconds), and what has
 * expired is swept out. A change takes a revision like any other. See publisher.h.
 */

#include "publisher.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "access_token.h"
#include "identifier.h"
#include "log.h"
#include "reference.h"
#include "relayd.h"

enum {
    LEASE_MS = 2000,
    SWEEP_EVERY_S = 600,
    RETRY_S = 5,
    RETRY_FIRST_S = 1,
    LEARN_AFTER_S = 60 /* tokens are renewed 300 s before their end */
};

/* Any number that nobody else takes: who has it renews access tokens. */
#define LOCK_NUMBER "7236830194052"

static bool run(session_t *session, const char *sql, const char *value)
{
    PGresult *done = session_query(session, sql, value != NULL ? 1 : 0, &value);

    PQclear(done);
    return done != NULL;
}

static time_t now_s(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec;
}

/* ---- references ----------------------------------------------------------- */

/* What the thread knows from one round to the next. */
typedef struct {
    publisher_t *publisher;
    json_t *changed;   /* references with a new value that is not recorded yet */
    json_t *failing;   /* those that could not be read */
    json_t *stale;     /* those whose last value is in use, as a set */
    json_t *events;    /* [reference, verb, reason] that are not on record yet */
    long long pause_s; /* before they are tried again; 0: there are none */
    time_t retry_at;   /* when that is */
    time_t refresh_at; /* all of them */
    bool new_tokens;   /* access tokens that are not recorded yet */
    time_t foreign_at; /* since then another relayd has published last; 0: this one */
    time_t sweep_at;
} janitor_t;

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

/* On record once for each outage, and its end. */
static void note_state(janitor_t *janitor, const char *reference, reference_state_t state,
                       const char *why)
{
    bool was_stale = json_object_get(janitor->stale, reference) != NULL;
    bool is_stale = state == REFERENCE_STALE;

    if (is_stale && !was_stale) {
        json_object_set_new(janitor->stale, reference, json_true());
    } else if (!is_stale && was_stale) {
        json_object_del(janitor->stale, reference);
    }
    if (is_stale != was_stale && state != REFERENCE_GONE) { /* then it is left out: an event, too */
        json_array_append_new(janitor->events, json_pack("[s, s, s]", reference,
                                                         is_stale ? "stale" : "read again", why));
    }
}

static void refresh_one(janitor_t *janitor, json_t *reference)
{
    const char *text = json_string_value(reference);
    reference_state_t state;
    char why[256];

    if (reference_refresh(text, &state, why, sizeof(why))) {
        if (state == REFERENCE_READ) {
            log_event(LOG_INFO, "a reference has a new value", "reference", text, NULL);
        }
        json_array_append(janitor->changed, reference);
    }
    if (state != REFERENCE_READ) {
        json_array_append(janitor->failing, reference);
    }
    note_state(janitor, text, state, why);
}

/* Vault may be back soon or be away for hours: it is asked again more and more seldom. */
static void set_pause(janitor_t *janitor, bool all)
{
    long long most_s = janitor->publisher->relayd->settings.reference_refresh_s;

    if (json_array_size(janitor->failing) == 0) {
        janitor->pause_s = 0;
    } else if (janitor->pause_s == 0) {
        janitor->pause_s = RETRY_FIRST_S;
    } else if (!all) {
        janitor->pause_s *= 2;
    }
    janitor->pause_s = janitor->pause_s < most_s ? janitor->pause_s : most_s;
    janitor->retry_at = now_s() + (time_t)janitor->pause_s;
}

/* All of these are read again. */
static void refresh(janitor_t *janitor, json_t *references, bool all)
{
    json_t *reference;
    size_t i;

    json_decref(janitor->failing);
    janitor->failing = json_array();
    json_array_foreach(references, i, reference)
    {
        if (atomic_load(&janitor->publisher->stopping)) {
            return;
        }
        refresh_one(janitor, reference);
    }
    set_pause(janitor, all);
}

static access_store_t store_of(publisher_t *publisher, session_t *session)
{
    return (access_store_t){publisher->source.secrets, session, true};
}

/* The value is another one: so is its version, and the configuration's revision. */
static bool record_changes(publisher_t *publisher, session_t *session, const json_t *changed)
{
    access_store_t store = store_of(publisher, session);
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
    good = good && access_tokens_write(&store) && publish_stamp(session) != 0 &&
           session_commit(session);
    if (!good) {
        session_rollback(session);
    }
    return good;
}

static bool write_event(session_t *session, const PGresult *rows, int index, const char *verb,
                        const char *reason)
{
    char id[37], shown[IDENTIFIER_MAX];
    const char *state = strcmp(verb, "stale") == 0 ? "stale" : "ready";
    PGresult *done = NULL;

    identifier_show("pk", PQgetvalue(rows, index, 1), shown);
    if (identifier_new(id)) {
        done = SESSION_QUERY(session,
                             "INSERT INTO event (id, workspace_id, actor, request_id, verb, kind,"
                             " object_id, object_name, after) VALUES ($1::uuid, $2::uuid, 'relayd',"
                             " '', $3, 'provider_key', $4, $5,"
                             " jsonb_strip_nulls(jsonb_build_object('state', $6::text,"
                             " 'state_reason', nullif($7, ''))))",
                             id, PQgetvalue(rows, index, 0), verb, shown,
                             PQgetvalue(rows, index, 2), state, reason);
    }
    PQclear(done);
    return done != NULL;
}

/* One for each provider key that has the reference. */
static bool write_events_of(session_t *session, const json_t *event)
{
    const char *reference = json_string_value(json_array_get(event, 0));
    PGresult *rows = SESSION_QUERY(session,
                                   "SELECT workspace_id, id, name FROM provider_key"
                                   " WHERE spec ->> 'value_from' = $1",
                                   reference);
    bool good = rows != NULL;

    for (int i = 0; good && i < PQntuples(rows); i++) {
        good = write_event(session, rows, i, json_string_value(json_array_get(event, 1)),
                           json_string_value(json_array_get(event, 2)));
    }
    PQclear(rows);
    return good;
}

static bool record_events(janitor_t *janitor, session_t *session)
{
    bool good = json_array_size(janitor->events) == 0 || session_begin(session, NULL);
    json_t *event;
    size_t i;

    if (json_array_size(janitor->events) == 0) {
        return true;
    }
    json_array_foreach(janitor->events, i, event)
    {
        good = good && write_events_of(session, event);
    }
    if (good && session_commit(session)) {
        json_array_clear(janitor->events);
        return true;
    }
    session_rollback(session);
    return false;
}

/* What could not be recorded is kept for the next round. */
static bool record(janitor_t *janitor, session_t *session)
{
    bool good = json_array_size(janitor->changed) == 0 && !janitor->new_tokens;

    if (!good && record_changes(janitor->publisher, session, janitor->changed)) {
        access_tokens_written();
        json_array_clear(janitor->changed);
        janitor->new_tokens = false;
        publisher_wake(janitor->publisher);
        good = true;
    }
    return good;
}

/* All of them when it is their time, else those that failed. */
static bool refresh_references(janitor_t *janitor, session_t *session)
{
    long long every_s = janitor->publisher->relayd->settings.reference_refresh_s;
    bool all = now_s() >= janitor->refresh_at;
    json_t *references;

    if (!all && (janitor->pause_s == 0 || now_s() < janitor->retry_at)) {
        return true;
    }
    references = all ? references_in_use(session) : json_incref(janitor->failing);
    if (references == NULL) {
        return false;
    }
    refresh(janitor, references, all);
    json_decref(references);
    if (all) {
        janitor->refresh_at = now_s() + every_s;
        references_forget(every_s * 3 + 60);
    }
    return true;
}

/* ---- access tokens -------------------------------------------------------- */

/* Of all relayd one renews, and what it renews is everybody's. It ends with the session, too. */
static bool lock_tokens(session_t *session)
{
    PGresult *row = session_query(session, "SELECT pg_try_advisory_lock(" LOCK_NUMBER ")", 0, NULL);
    bool locked = row != NULL && PQgetvalue(row, 0, 0)[0] == 't';

    PQclear(row);
    return locked;
}

static void unlock_tokens(session_t *session)
{
    (void)run(session, "SELECT pg_advisory_unlock(" LOCK_NUMBER ")", NULL);
}

/* With the revision that publishes them, before another relayd may renew. */
static bool renew_tokens(janitor_t *janitor, session_t *session)
{
    access_store_t store = store_of(janitor->publisher, session);
    bool good;

    if (access_tokens_due_s() != 0 || !lock_tokens(session)) {
        return true;
    }
    if (access_tokens_renew(&store, &janitor->publisher->stopping)) {
        log_event(LOG_INFO, "access tokens are new", NULL);
        janitor->new_tokens = true;
    }
    good = record(janitor, session);
    unlock_tokens(session);
    return good;
}

/* Whether anybody has some. */
static bool tokens_in_use(session_t *session)
{
    PGresult *row = NULL;
    bool any;

    if (session_begin(session, NULL)) {
        row = session_query(session, "SELECT FROM access_token LIMIT 1", 0, NULL);
    }
    any = row != NULL && PQntuples(row) != 0;
    PQclear(row);
    session_rollback(session);
    return any;
}

/* Since when has another relayd published last: is it long enough to look after its work? */
static bool foreign_for_long(janitor_t *janitor)
{
    publisher_t *publisher = janitor->publisher;
    bool foreign;

    pthread_mutex_lock(&publisher->lock);
    foreign = publisher->published != publisher->built;
    pthread_mutex_unlock(&publisher->lock);
    janitor->foreign_at = !foreign ? 0 : janitor->foreign_at == 0 ? now_s() : janitor->foreign_at;
    return foreign && now_s() >= janitor->foreign_at + LEARN_AFTER_S;
}

/*
 * Another relayd may have published a service account that this one knows
 * nothing of, and may be gone when its token has to be renewed. Who builds what
 * is published knows all that is in it.
 */
static void learn_tokens(janitor_t *janitor, session_t *session)
{
    if (foreign_for_long(janitor) && tokens_in_use(session)) {
        janitor->foreign_at = 0;
        atomic_store(&janitor->publisher->learning, true);
        publisher_wake(janitor->publisher);
    }
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
                run(session, "DELETE FROM access_token WHERE ends_at < now()", NULL) &&
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

static void wait_s(publisher_t *publisher, long long seconds)
{
    struct pollfd waiting = {publisher->janitor_wake, POLLIN, 0};
    uint64_t count;

    if (!atomic_load(&publisher->stopping)) {
        poll(&waiting, 1, (int)(seconds < 86400 ? seconds : 86400) * 1000);
        (void)!read(publisher->janitor_wake, &count, sizeof(count));
    }
}

static bool sweep(janitor_t *janitor, session_t *session)
{
    if (now_s() < janitor->sweep_at) {
        return true;
    }
    janitor->sweep_at = now_s() + SWEEP_EVERY_S;
    return sweep_kept(session) && sweep_revocations(janitor->publisher, session);
}

static bool work(janitor_t *janitor)
{
    session_t *session = database_lease(janitor->publisher->relayd->database, LEASE_MS);
    bool good = session != NULL && renew_tokens(janitor, session) &&
                refresh_references(janitor, session) && record(janitor, session) &&
                record_events(janitor, session) && sweep(janitor, session);

    if (good) {
        learn_tokens(janitor, session);
    }
    database_return(session);
    return good;
}

static long long sooner(long long one_s, long long other_s)
{
    return other_s >= 0 && other_s < one_s ? other_s : one_s;
}

/* Until the next round. */
static long long idle_s(const janitor_t *janitor)
{
    long long left_s = (long long)(janitor->refresh_at - now_s());
    long long tokens_s = access_tokens_due_s();

    if (janitor->pause_s != 0) {
        left_s = sooner(left_s, (long long)(janitor->retry_at - now_s()));
    }
    left_s = sooner(sooner(left_s, tokens_s), LEARN_AFTER_S);
    return left_s > 1 ? left_s : 1;
}

void *publish_janitor(void *data)
{
    janitor_t janitor = {.publisher = data,
                         .changed = json_array(),
                         .failing = json_array(),
                         .stale = json_object(),
                         .events = json_array()};

    while (!atomic_load(&janitor.publisher->stopping)) {
        bool good = work(&janitor);
        wait_s(janitor.publisher, good ? idle_s(&janitor) : RETRY_S);
    }
    json_decref(janitor.changed);
    json_decref(janitor.failing);
    json_decref(janitor.stale);
    json_decref(janitor.events);
    return NULL;
}
