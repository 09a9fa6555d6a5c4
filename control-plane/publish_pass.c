/*
 * One pass of the publisher: compares what the database has with what Redis
 * has, and brings Redis into line. See publisher.h.
 *
 * All of the database is read in one transaction with one snapshot. Of several
 * relayd, an advisory lock lets one pass at a time. In Redis, records of relay
 * keys come first, documents next, the head last: whoever sees a head can get
 * all that belongs to it.
 */

#include "publisher.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "access_token.h"
#include "identifier.h"
#include "log.h"
#include "relayd.h"

enum { LEASE_MS = 1000, DEPLOYMENT_MAX = 40, OUTBOX_GONE_MAX = 5000 };

/* Any number that nobody else takes. */
#define LOCK_NUMBER "7236830194051"

/* ---- connections ---------------------------------------------------------- */

static bool run(session_t *session, const char *sql)
{
    PGresult *done = session_query(session, sql, 0, NULL);

    PQclear(done);
    return done != NULL;
}

static bool need_session(publisher_t *publisher)
{
    if (publisher->session != NULL) {
        return true;
    }
    publisher->session = database_lease(publisher->relayd->database, LEASE_MS);
    return publisher->session != NULL &&
           run(publisher->session, "SET SESSION CHARACTERISTICS AS TRANSACTION"
                                   " ISOLATION LEVEL REPEATABLE READ") &&
           run(publisher->session, "LISTEN relay_changes");
}

/* As it came: others lease it next. */
static void give_session(publisher_t *publisher)
{
    session_t *session = publisher->session;

    publisher->session = NULL;
    if (session == NULL) {
        return;
    }
    session_rollback(session);
    (void)(run(session, "UNLISTEN *") && run(session, "SELECT pg_advisory_unlock_all()") &&
           run(session, "SET SESSION CHARACTERISTICS AS TRANSACTION"
                        " ISOLATION LEVEL READ COMMITTED"));
    database_return(session);
}

static void give_store(publisher_t *publisher)
{
    store_close(publisher->store);
    publisher->store = NULL;
}

void publish_disconnect(publisher_t *publisher)
{
    give_session(publisher);
    give_store(publisher);
}

static pass_t database_failed(publisher_t *publisher)
{
    const char *why = publisher->session != NULL ? session_error(publisher->session)->message
                                                 : "no connection to the database";

    publisher_set_fault(publisher, publisher->database_fault, "the database cannot be read",
                        why[0] != '\0' ? why : "a statement failed");
    give_session(publisher);
    return PASS_FAILED;
}

static pass_t store_failed(publisher_t *publisher)
{
    if (publisher->store != NULL) {
        publisher_set_fault(publisher, publisher->store_fault, "Redis cannot be used",
                            store_why(publisher->store));
        give_store(publisher);
    }
    return PASS_FAILED;
}

/* What came on the channel while nobody listened is answered by this pass. */
static void drain_notifications(publisher_t *publisher)
{
    PGconn *connection = session_connection(publisher->session);
    PGnotify *notification;

    PQconsumeInput(connection);
    while ((notification = PQnotifies(connection)) != NULL) {
        PQfreemem(notification);
    }
}

/* ---- what is to be done --------------------------------------------------- */

typedef struct {
    publisher_t *publisher;
    session_t *session;
    char deployment[DEPLOYMENT_MAX];
    long long revision; /* the database's */
    stored_head_t stored;
    bool lost;       /* Redis has forgotten what it had: all relay keys go again */
    bool incomplete; /* a document of its head is not there */
    bool store_broken;
} pass_state_t;

static bool read_installation(pass_state_t *pass)
{
    PGresult *row = session_query(pass->session, "SELECT id, revision FROM installation", 0, NULL);
    bool good = row != NULL && PQntuples(row) == 1;

    if (good) {
        snprintf(pass->deployment, sizeof(pass->deployment), "%s", PQgetvalue(row, 0, 0));
        pass->revision = strtoll(PQgetvalue(row, 0, 1), NULL, 10);
    }
    PQclear(row);
    return good;
}

static bool read_store(pass_state_t *pass)
{
    publisher_t *publisher = pass->publisher;
    bool complete = true;
    long long there;

    if (!stored_head_read(publisher, pass->deployment, &pass->stored) ||
        (pass->stored.ours && !stored_head_complete(publisher, &pass->stored, &complete))) {
        pass->store_broken = true;
        return false;
    }
    there = (long long)pass->stored.head.revision;
    pass->incomplete = !complete;
    pass->lost = !pass->stored.ours || there < publisher->published ||
                 (!publisher->compared && there < pass->revision);
    return true;
}

/* The database is an older copy: its revisions have to pass those that workers know. */
static bool catch_up(pass_state_t *pass)
{
    char number[24];
    PGresult *done;

    if (!pass->stored.ours || (long long)pass->stored.head.revision <= pass->revision) {
        return true;
    }
    snprintf(number, sizeof(number), "%lld", (long long)pass->stored.head.revision);
    log_event(LOG_WARN, "Redis has a later revision than the database: the database catches up",
              "revision", number, NULL);
    done = SESSION_QUERY(pass->session, "UPDATE installation SET revision = $1::bigint", number);
    PQclear(done);
    pass->revision = done != NULL ? publish_stamp(pass->session) : 0;
    pass->lost = true;
    return pass->revision != 0;
}

/* ---- events --------------------------------------------------------------- */

/* A row of the audit trail that no request made. */
static bool write_event(pass_state_t *pass, const char *verb, const char *kind, const char *object,
                        json_t *after)
{
    char id[37];
    char *text = after != NULL ? json_dumps(after, JSON_COMPACT | JSON_SORT_KEYS) : NULL;
    PGresult *done = NULL;

    if (text != NULL && identifier_new(id)) {
        done = SESSION_QUERY(pass->session,
                             "INSERT INTO event (id, actor, request_id, verb, kind, object_id,"
                             " object_name, after) VALUES ($1::uuid, 'relayd', '', $2, $3, $4, $4,"
                             " $5::jsonb)",
                             id, verb, kind, object, text);
    }
    free(text);
    json_decref(after);
    PQclear(done);
    return done != NULL;
}

/* Something in the place of our head, or an older one of ours: not our doing. */
static bool report_store(pass_state_t *pass)
{
    publisher_t *publisher = pass->publisher;
    bool replaced = pass->stored.text != NULL && !pass->stored.ours;
    bool older = pass->stored.ours && publisher->published > 0 &&
                 (long long)pass->stored.head.revision < publisher->published;

    if (!replaced && !older) {
        return true;
    }
    log_event(LOG_WARN, "the head in Redis was not written by this deployment, or is an old one",
              "found", replaced ? "foreign" : "older", NULL);
    return write_event(pass, "refused", "store", "head",
                       json_pack("{s:s, s:I, s:I}", "found", replaced ? "foreign" : "older",
                                 "revision", (json_int_t)pass->stored.head.revision, "published",
                                 (json_int_t)publisher->published));
}

static long long refused_by(const json_t *node)
{
    const char *state = json_string_value(json_object_get(node, "state"));

    return strcmp(state, "refused") == 0
               ? json_integer_value(json_object_get(node, "refused_revision"))
               : 0;
}

/* A refusal by a worker is on record once for each revision. */
static bool report_nodes(pass_state_t *pass)
{
    json_t *nodes = store_nodes(pass->publisher->store), *node;
    bool good = nodes != NULL;
    size_t i;

    pass->store_broken = nodes == NULL;
    json_array_foreach(nodes, i, node)
    {
        const char *name = json_string_value(json_object_get(node, "node"));
        long long refused = refused_by(node);
        if (!good || refused <= pass->publisher->known_refused) {
            continue;
        }
        pass->publisher->known_refused = refused;
        log_event(LOG_WARN, "a worker refused a revision", "node", name, "reason",
                  json_string_value(json_object_get(node, "reason")), NULL);
        good = write_event(pass, "refused", "node", name, json_deep_copy(node));
    }
    json_decref(nodes);
    return good;
}

static bool has_entry(const json_t *entries, const json_t *wanted)
{
    for (size_t i = 0; i < json_array_size(entries); i++) {
        if (json_equal(json_array_get(entries, i), wanted)) {
            return true;
        }
    }
    return false;
}

/* Who disables one is on record already. */
static bool worth_an_event(const pass_state_t *pass, const json_t *entry)
{
    const char *kind = json_string_value(json_object_get(entry, "kind"));
    const char *reason = json_string_value(json_object_get(entry, "reason"));

    return strcmp(kind, "provider_key") == 0 && strcmp(reason, DOCUMENT_KEY_DISABLED) != 0 &&
           !has_entry(pass->publisher->inactive, entry);
}

/* A provider key that cannot be used may be somebody's doing: on record once, and at each start. */
static bool report_left_out(pass_state_t *pass, const json_t *inactive)
{
    bool good = true;

    for (size_t i = 0; good && i < json_array_size(inactive); i++) {
        json_t *entry = json_array_get(inactive, i);
        const char *name = json_string_value(json_object_get(entry, "name"));
        if (worth_an_event(pass, entry)) {
            good = write_event(pass, "left out", "provider_key", name, json_incref(entry));
        }
    }
    return good;
}

/* ---- documents ------------------------------------------------------------ */

/* The janitor has new tokens to look after, perhaps. */
static void keep_built(publisher_t *publisher, long long revision)
{
    uint64_t one = 1;

    pthread_mutex_lock(&publisher->lock);
    publisher->built = revision;
    pthread_mutex_unlock(&publisher->lock);
    (void)!write(publisher->janitor_wake, &one, sizeof(one));
}

static void keep_inactive(publisher_t *publisher, document_build_t *build)
{
    pthread_mutex_lock(&publisher->lock);
    json_decref(publisher->inactive);
    publisher->inactive = json_incref(build->inactive);
    pthread_mutex_unlock(&publisher->lock);
}

static bool publish_built(pass_state_t *pass, document_build_t *build)
{
    publisher_t *publisher = pass->publisher;
    bool same = (long long)pass->stored.head.revision == pass->revision;
    char number[24];

    if (same && !pass->lost && !pass->incomplete) {
        /* Built anew after a start. A reference that is away for now is no reason to change, nor is
         * what looks different from here than from where it was published. */
        if (stored_head_lists(&pass->stored, &build->documents) || build->unresolved != 0 ||
            publisher->compared) {
            return true;
        }
    }
    if (pass->revision == 0 || (same && !stored_head_lists(&pass->stored, &build->documents))) {
        pass->revision = publish_stamp(pass->session);
        if (pass->revision == 0) {
            return false;
        }
    }
    if (!publish_documents(publisher, pass->deployment, pass->revision, &build->documents,
                           &pass->stored, pass->lost || pass->incomplete)) {
        pass->store_broken = true;
        return false;
    }
    snprintf(number, sizeof(number), "%lld", pass->revision);
    log_event(LOG_INFO, "published", "revision", number, NULL);
    return true;
}

static bool build_and_publish(pass_state_t *pass)
{
    publisher_t *publisher = pass->publisher;
    document_build_t build = {
        .source = &publisher->source, .session = pass->session, .publishing = true};
    bool good = documents_build(&build);

    if (good) {
        access_tokens_built();
        publisher->failed_revision = 0;
        publisher_set_fault(publisher, publisher->fault, "the configuration", "");
        good = report_left_out(pass, build.inactive) && publish_built(pass, &build);
        keep_inactive(publisher, &build);
        keep_built(publisher, good ? pass->revision : 0);
        atomic_store(&publisher->learning, false);
    } else if (session_error(pass->session)->message[0] == '\0') {
        /* The rows make no configuration: that is not for this pass to mend. */
        publisher->failed_revision = pass->revision;
        publisher_set_fault(publisher, publisher->fault, "the configuration is not published",
                            build.why);
        good = true;
    }
    document_build_free(&build);
    return good;
}

static bool publish_set(pass_state_t *pass)
{
    publisher_t *publisher = pass->publisher;
    bool current = (long long)pass->stored.head.revision == pass->revision && pass->revision != 0;

    if (current && publisher->compared && !pass->lost && !pass->incomplete &&
        !atomic_load(&publisher->learning)) {
        return true;
    }
    if (publisher->failed_revision == pass->revision && pass->revision != 0) {
        return true;
    }
    return build_and_publish(pass);
}

/* ---- the pass ------------------------------------------------------------- */

static bool publish_in_transaction(pass_state_t *pass)
{
    publisher_t *publisher = pass->publisher;

    if (!read_installation(pass) || !read_store(pass) || !report_store(pass) || !catch_up(pass)) {
        return false;
    }
    if ((pass->lost && !publish_all_keys(publisher, pass->session)) ||
        !publish_outbox(publisher, pass->session)) {
        pass->store_broken = session_error(pass->session)->message[0] == '\0';
        return false;
    }
    return publish_set(pass) && report_nodes(pass);
}

static void keep_published(publisher_t *publisher, long long revision)
{
    pthread_mutex_lock(&publisher->lock);
    publisher->published = revision;
    pthread_mutex_unlock(&publisher->lock);
}

static pass_t run_pass(publisher_t *publisher)
{
    pass_state_t pass = {.publisher = publisher, .session = publisher->session};
    bool good = session_begin(pass.session, NULL) && publish_in_transaction(&pass);

    good = good && session_commit(pass.session);
    stored_head_free(&pass.stored);
    if (!good && session_failed_retry(pass.session)) {
        return PASS_BUSY;
    }
    if (!good) {
        return pass.store_broken ? store_failed(publisher) : database_failed(publisher);
    }
    if (publisher->failed_revision != pass.revision) {
        publisher->compared = true;
        keep_published(publisher, pass.revision);
    }
    publisher_set_fault(publisher, publisher->database_fault, "the database", "");
    publisher_set_fault(publisher, publisher->store_fault, "Redis", "");
    return PASS_DONE;
}

static bool lock(publisher_t *publisher, bool *locked)
{
    PGresult *row =
        session_query(publisher->session, "SELECT pg_try_advisory_lock(" LOCK_NUMBER ")", 0, NULL);

    *locked = row != NULL && PQgetvalue(row, 0, 0)[0] == 't';
    PQclear(row);
    return row != NULL;
}

/*
 * Rows that left the outbox are in the way of every pass until they are swept,
 * a hundred thousand of them for milliseconds; autovacuum comes once a minute.
 * Where the server does not let us, that has to do.
 */
static void sweep_outbox(publisher_t *publisher)
{
    if (publisher->outbox_gone >= OUTBOX_GONE_MAX) {
        publisher->outbox_gone = 0;
        (void)run(publisher->session, "VACUUM outbox");
    }
}

pass_t publish_pass(publisher_t *publisher)
{
    pass_t outcome;
    bool locked;

    if (!need_session(publisher)) {
        return database_failed(publisher);
    }
    if (publisher->store == NULL) {
        publisher->store = publisher_connect(publisher);
    }
    if (publisher->store == NULL) {
        return PASS_FAILED;
    }
    drain_notifications(publisher);
    if (!lock(publisher, &locked)) {
        return database_failed(publisher);
    }
    if (!locked) {
        return PASS_BUSY;
    }
    outcome = run_pass(publisher);
    if (publisher->session != NULL) {
        session_rollback(publisher->session);
        if (!run(publisher->session, "SELECT pg_advisory_unlock(" LOCK_NUMBER ")")) {
            return database_failed(publisher);
        }
        sweep_outbox(publisher);
    }
    return outcome;
}
