/*
 * Relay-key records: noted in the outbox with the change, signed and sent by
 * the publisher. An outbox row says only that a digest's record may have
 * changed; what it is now stands in relay_key, so that the order of rows does
 * not matter. Called by relay_keys.c and publish_pass.c.
 */

#include "publisher.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "identifier.h"
#include "key_record.h"
#include "log.h"
#include "signature.h"

enum { NUMBER_MAX = 24 };

/* ---- with the change ------------------------------------------------------ */

long long publish_stamp(session_t *session)
{
    PGresult *row = session_query(session,
                                  "WITH stamped AS (UPDATE installation"
                                  " SET revision = revision + 1 RETURNING revision)"
                                  " SELECT revision, pg_notify('relay_changes', revision::text)"
                                  " FROM stamped",
                                  0, NULL);
    long long revision =
        row != NULL && PQntuples(row) == 1 ? strtoll(PQgetvalue(row, 0, 0), NULL, 10) : 0;

    PQclear(row);
    return revision;
}

static bool run(session_t *session, const char *sql, const char *id, long long revision)
{
    char number[NUMBER_MAX];
    PGresult *done;

    snprintf(number, sizeof(number), "%lld", revision);
    done = SESSION_QUERY(session, sql, id, number);
    PQclear(done);
    return done != NULL;
}

/* Both digests that a row has, as d(digest). */
#define DIGESTS_OF_ROW                                                                             \
    " FROM relay_key k CROSS JOIN LATERAL (VALUES (k.digest), (k.previous_digest)) d(digest)"      \
    " WHERE k.id = $1::uuid AND d.digest IS NOT NULL"

bool publish_relay_key(session_t *session, const char *relay_key_id, long long revision)
{
    return run(session, "UPDATE relay_key SET revision = $2::bigint WHERE id = $1::uuid",
               relay_key_id, revision) &&
           run(session,
               "INSERT INTO outbox (workspace_id, digest, relay_key_id, revision)"
               " SELECT k.workspace_id, d.digest, k.id, $2::bigint" DIGESTS_OF_ROW,
               relay_key_id, revision);
}

/* Of two revocations of one digest, the later revision and the later end count. */
#define REVOKE_LATEST                                                                              \
    " ON CONFLICT (workspace_id, digest) DO UPDATE SET"                                            \
    " revision = greatest(revocation.revision, excluded.revision),"                                \
    " expires_at = CASE WHEN revocation.expires_at IS NULL OR excluded.expires_at IS NULL"         \
    " THEN NULL ELSE greatest(revocation.expires_at, excluded.expires_at) END"

/*
 * The row is still as it was: its expires_at bounds every record that it ever
 * had, later ends than now's have been noted before. The outbox gets both
 * digests, for a rotation may take one of them from the row.
 */
bool publish_void_relay_key(session_t *session, const char *relay_key_id, long long revision,
                            bool gone)
{
    (void)gone; /* what becomes of the stored record, the row will say when it is sent */
    return run(session,
               "INSERT INTO revocation (workspace_id, digest, revision, expires_at)"
               " SELECT k.workspace_id, d.digest, $2::bigint, k.expires_at" DIGESTS_OF_ROW
                   REVOKE_LATEST,
               relay_key_id, revision) &&
           run(session,
               "INSERT INTO outbox (workspace_id, digest, relay_key_id, revision)"
               " SELECT k.workspace_id, d.digest, NULL, $2::bigint" DIGESTS_OF_ROW,
               relay_key_id, revision);
}

bool publish_revocation(session_t *session, const char *workspace_id, const char *digest,
                        long long revision, const char *expires_at)
{
    char number[NUMBER_MAX];
    PGresult *noted, *queued = NULL;

    snprintf(number, sizeof(number), "%lld", revision);
    noted = SESSION_QUERY(
        session,
        "INSERT INTO revocation (workspace_id, digest, revision, expires_at)"
        " VALUES ($1::uuid, decode($2, 'hex'), $3::bigint, $4::timestamptz)" REVOKE_LATEST,
        workspace_id, digest, number, expires_at);
    if (noted != NULL) {
        queued = SESSION_QUERY(session,
                               "INSERT INTO outbox (workspace_id, digest, revision)"
                               " VALUES ($1::uuid, decode($2, 'hex'), $3::bigint)",
                               workspace_id, digest, number);
    }
    PQclear(noted);
    PQclear(queued);
    return queued != NULL;
}

/* ---- records -------------------------------------------------------------- */

enum {
    ROW_DIGEST = 0,
    ROW_ID,
    ROW_REVISION,
    ROW_NAME,
    ROW_SPEC,
    ROW_WORKSPACE,
    ROW_POLICY,
    ROW_EXPIRES,
    ROW_EXPIRES_S
};

/* Of k (a row of relay_key) and d(digest, until): the record that it makes. */
#define RECORD_COLUMNS                                                                             \
    " encode(d.digest, 'hex'), k.id, k.revision, k.name, k.spec, w.name, p.name,"                  \
    " to_char(d.until AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"'),"                      \
    " extract(epoch FROM d.until)::bigint"
#define RECORD_TABLES                                                                              \
    " LEFT JOIN workspace w ON w.id = k.workspace_id"                                              \
    " LEFT JOIN policy p ON p.id = (k.spec ->> 'policy')::uuid"

static const char *text_at(const PGresult *rows, int index, int column)
{
    return PQgetisnull(rows, index, column) ? NULL : PQgetvalue(rows, index, column);
}

static void copy_members(json_t *record, const json_t *spec)
{
    static const char *const members[] = {"models", "disabled", "tags"};

    for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++) {
        json_t *value = json_object_get(spec, members[i]);
        if (value != NULL && !json_is_null(value)) {
            json_object_set(record, members[i], value);
        }
    }
}

/* As text of its own; NULL: the row makes none. */
static char *record_text(const PGresult *rows, int index)
{
    json_t *spec = json_loads(PQgetvalue(rows, index, ROW_SPEC), 0, NULL), *record;
    char id[IDENTIFIER_MAX], *text = NULL;
    const char *expires = text_at(rows, index, ROW_EXPIRES);

    identifier_show("rk", PQgetvalue(rows, index, ROW_ID), id);
    record = json_pack(
        "{s:s, s:s, s:s, s:s, s:s, s:I, s:s*}", "sha256", PQgetvalue(rows, index, ROW_DIGEST), "id",
        id, "name", PQgetvalue(rows, index, ROW_NAME), "workspace",
        PQgetvalue(rows, index, ROW_WORKSPACE), "policy", PQgetvalue(rows, index, ROW_POLICY),
        "revision", (json_int_t)strtoll(PQgetvalue(rows, index, ROW_REVISION), NULL, 10),
        "expires_at", expires);
    if (record != NULL && spec != NULL) {
        copy_members(record, spec);
        text = json_dumps(record, JSON_COMPACT | JSON_SORT_KEYS);
    }
    json_decref(spec);
    json_decref(record);
    return text;
}

static bool put_record(publisher_t *publisher, const PGresult *rows, int index, bool hint)
{
    const char *digest = PQgetvalue(rows, index, ROW_DIGEST);
    const char *expires = text_at(rows, index, ROW_EXPIRES_S);
    char signature[RELAY_SIGNATURE_TEXT_MAX];
    uint8_t room[RELAY_KEY_RECORD_MAX + sizeof(RELAY_PURPOSE_KEY) + 1];
    char *text = record_text(rows, index);
    relay_span_t record = relay_span(text, text != NULL ? strlen(text) : 0);
    relay_buf_t scratch = relay_buf(room, sizeof(room));
    relay_buf_t out = relay_buf(signature, sizeof(signature));
    bool good = true;

    if (text != NULL && record.len <= RELAY_KEY_RECORD_MAX &&
        signer_sign(publisher->signer, RELAY_SPAN(RELAY_PURPOSE_KEY), record, &scratch, &out)) {
        good = store_put_key(publisher->store, digest, record, relay_buf_span(&out),
                             expires != NULL ? strtoll(expires, NULL, 10) : 0, hint);
    } else {
        log_event(LOG_ERROR, "a relay key makes no record", "relay_key",
                  PQgetvalue(rows, index, ROW_NAME), NULL);
    }
    free(text);
    return good;
}

/* A digest that no row has, or whose policy is gone, has no record. */
static bool put_row(publisher_t *publisher, const PGresult *rows, int index, bool hint)
{
    if (text_at(rows, index, ROW_ID) == NULL || text_at(rows, index, ROW_POLICY) == NULL ||
        text_at(rows, index, ROW_WORKSPACE) == NULL) {
        return store_remove_key(publisher->store, PQgetvalue(rows, index, ROW_DIGEST));
    }
    return put_record(publisher, rows, index, hint);
}

static bool put_rows(publisher_t *publisher, const PGresult *rows, bool hint)
{
    bool good = true;

    for (int i = 0; good && i < PQntuples(rows); i++) {
        good = put_row(publisher, rows, i, hint);
    }
    return good && store_settle(publisher->store);
}

/* ---- the outbox ----------------------------------------------------------- */

/* The last of the next rows, or "": there are none. False: the database failed. */
static bool next_rows(session_t *session, char last[NUMBER_MAX])
{
    PGresult *row = session_query(session,
                                  "SELECT max(position) FROM"
                                  " (SELECT position FROM outbox ORDER BY position LIMIT 5000) o",
                                  0, NULL);
    bool good = row != NULL;

    snprintf(last, NUMBER_MAX, "%s", good ? PQgetvalue(row, 0, 0) : "");
    PQclear(row);
    return good;
}

static PGresult *changed_records(session_t *session, const char *last)
{
    return SESSION_QUERY(
        session,
        "SELECT encode(o.digest, 'hex'), r.* FROM"
        " (SELECT DISTINCT digest FROM outbox WHERE position <= $1::bigint) o"
        " LEFT JOIN LATERAL (SELECT k.id, k.revision, k.name, k.spec, w.name, p.name,"
        " to_char(d.until AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"'),"
        " extract(epoch FROM d.until)::bigint"
        " FROM (SELECT id, expires_at AS until FROM relay_key WHERE digest = o.digest"
        " UNION ALL SELECT id, least(previous_until, expires_at) FROM relay_key"
        " WHERE previous_digest = o.digest AND previous_until > now() LIMIT 1) d"
        " JOIN relay_key k ON k.id = d.id AND k.revoked_at IS NULL" RECORD_TABLES ") r ON true",
        last);
}

static bool forget_rows(publisher_t *publisher, session_t *session, const char *last)
{
    PGresult *done =
        SESSION_QUERY(session, "DELETE FROM outbox WHERE position <= $1::bigint", last);

    publisher->outbox_gone += done != NULL ? strtoll(PQcmdTuples(done), NULL, 10) : 0;
    PQclear(done);
    return done != NULL;
}

bool publish_outbox(publisher_t *publisher, session_t *session)
{
    char last[NUMBER_MAX];
    bool good = next_rows(session, last);

    while (good && last[0] != '\0') {
        PGresult *rows = changed_records(session, last);
        good = rows != NULL && put_rows(publisher, rows, true) &&
               forget_rows(publisher, session, last) && next_rows(session, last);
        PQclear(rows);
    }
    return good;
}

/* ---- all of them ---------------------------------------------------------- */

static PGresult *records_after(session_t *session, const char *id)
{
    return SESSION_QUERY(session,
                         "SELECT" RECORD_COLUMNS " FROM (SELECT * FROM relay_key"
                         " WHERE id > $1::uuid AND revoked_at IS NULL ORDER BY id LIMIT 5000) k"
                         " JOIN LATERAL (VALUES (k.digest, k.expires_at),"
                         " (k.previous_digest, least(k.previous_until, k.expires_at)))"
                         " d(digest, until) ON d.digest IS NOT NULL" RECORD_TABLES " ORDER BY k.id",
                         id);
}

bool publish_all_keys(publisher_t *publisher, session_t *session)
{
    char id[37] = "00000000-0000-0000-0000-000000000000", count[NUMBER_MAX];
    long long sent = 0;
    int found = 1;

    while (found > 0) {
        PGresult *rows = records_after(session, id);
        bool good = rows != NULL && put_rows(publisher, rows, false);
        found = PQntuples(rows);
        if (good && found > 0) {
            snprintf(id, sizeof(id), "%s", PQgetvalue(rows, found - 1, ROW_ID));
        }
        sent += found;
        PQclear(rows);
        if (!good) {
            return false;
        }
    }
    snprintf(count, sizeof(count), "%lld", sent);
    log_event(LOG_INFO, "all relay keys were written to Redis", "count", count, NULL);
    return true;
}
