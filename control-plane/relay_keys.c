/*
 * Relay keys: what applications authenticate with. A key is shown once, only
 * its digest is kept. Every change gives its record a new revision and voids
 * older ones, so that no copy of an earlier record opens what is closed now.
 */

#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "config_check.h"
#include "identifier.h"
#include "key_record.h"
#include "malloc_arena.h"
#include "publish.h"
#include "relay_key.h"
#include "resource_row.h"
#include "token.h"

enum {
    OVERLAP_MAX_S = 30 * 24 * 60 * 60,
    DIGEST_TEXT = 2 + 2 * RELAY_DIGEST_LEN + 1,
    TIME_TEXT = 32
};

extern const schema_t relay_key_schema;
extern const resource_t relay_key_resource;

static const field_t glob_item = {.type = FIELD_TEXT,
                                  .min = 1,
                                  .max = 256,
                                  .description = "A pattern: * is any run of characters, ? one."};
static const field_t tag_item = {.type = FIELD_TEXT, .max = 256, .description = "A tag's value."};
static const char *const states[] = {"active", "disabled", "expired", "revoked", NULL};

static const field_t fields[] = {
    RESOURCE_BASE_FIELDS,
    {.name = "description", .type = FIELD_TEXT, .max = 1000, .description = "For people."},
    {.name = "policy",
     .type = FIELD_REFERENCE,
     .flags = FIELD_REQUIRED,
     .refers_to = "policy",
     .description = "What the key may do."},
    {.name = "models",
     .type = FIELD_LIST,
     .max = 1000,
     .item = &glob_item,
     .fallback = "[\"*\"]",
     .description = "Models that it may use, of those that the policy allows."},
    {.name = "expires_at",
     .type = FIELD_TIME,
     .flags = FIELD_NULLABLE,
     .description = "The time from which it is refused."},
    {.name = "disabled",
     .type = FIELD_BOOLEAN,
     .fallback = "false",
     .description = "Refused while true."},
    {.name = "tags",
     .type = FIELD_MAP,
     .max = 64,
     .item = &tag_item,
     .description = "For reports."},
    {.name = "public_id",
     .type = FIELD_TEXT,
     .flags = FIELD_READ_ONLY,
     .description = "The eight characters behind rly_, by which a key is recognised."},
    {.name = "state",
     .type = FIELD_TEXT,
     .flags = FIELD_READ_ONLY,
     .values = states,
     .description = "Whether it is accepted now, and why not."},
    {.name = "revoked_at",
     .type = FIELD_TIME,
     .flags = FIELD_READ_ONLY | FIELD_NULLABLE,
     .description = "When it was revoked."},
    {.name = "previous_until",
     .type = FIELD_TIME,
     .flags = FIELD_READ_ONLY | FIELD_NULLABLE,
     .description = "After :rotate with an overlap: how long the key before is accepted."},
    {.name = "key",
     .type = FIELD_TEXT,
     .flags = FIELD_READ_ONLY | FIELD_OPTIONAL_ANSWER,
     .description = "The key itself; in the answer to its creation and rotation only."},
};
const schema_t relay_key_schema = SCHEMA("RelayKey", fields);

/* ---- minting ---- */

static bool mint(change_t *change)
{
    uint8_t random[RELAY_KEY_RANDOM_LEN], key[RELAY_KEY_LEN];
    char digest_text[DIGEST_TEXT], public_id[RELAY_KEY_ID_LEN + 1];
    relay_digest_t digest;
    relay_span_t span = relay_span(key, sizeof(key));

    if (RAND_bytes(random, sizeof(random)) != 1)
        return problem_set(&change->request->problem, PROBLEM_INTERNAL, "No randomness.");

    relay_key_mint(random, key);
    relay_key_digest(span, &digest);
    bytea_text(digest.bytes, sizeof(digest.bytes), digest_text);
    snprintf(public_id, sizeof(public_id), "%.*s", RELAY_KEY_ID_LEN,
             (const char *)relay_key_public_id(span).base);

    change_column(change, "digest", digest_text);
    change_column(change, "public_id", public_id);
    change->shown_once = json_pack("{s:s%}", "key", (const char *)key, (size_t)RELAY_KEY_LEN);

    OPENSSL_cleanse(random, sizeof(random));
    OPENSSL_cleanse(key, sizeof(key));
    return true;
}

/* ---- what workers take ---- */

enum { POINTER_MAX = 256 };

/* A record as publish_key.c makes it; what is not given by the spec is as long as it can be. */
static char *record_like(const change_t *change)
{
    char digest[2 * RELAY_DIGEST_LEN + 1], name[65];

    memset(digest, '0', sizeof(digest) - 1);
    memset(name, 'n', sizeof(name) - 1);
    digest[sizeof(digest) - 1] = name[sizeof(name) - 1] = '\0';
    json_t *record = json_pack("{s:s, s:s, s:s, s:s, s:s, s:I, s:s, s:O*, s:O*}", "sha256", digest,
                               "id", name, "name", change->name, "workspace", name, "policy", name,
                               "revision", (json_int_t)1, "expires_at", "2030-01-31T00:00:00Z",
                               "models", json_object_get(change->after, "models"), "tags",
                               json_object_get(change->after, "tags"));
    char *text = record == NULL ? NULL : json_dumps(record, JSON_COMPACT);

    json_decref(record);
    return text;
}

/* What workers would refuse is refused here, by their own reader. */
static bool record_ok(change_t *change)
{
    malloc_arena_t blocks = {NULL};
    relay_arena_t arena = malloc_arena(&blocks);
    char *text = record_like(change), pointer[POINTER_MAX];
    relay_span_t span = relay_span((const uint8_t *)text, text == NULL ? 0 : strlen(text));
    problem_t *problem = &change->request->problem;
    relay_config_fault_t fault = {.line = 0};
    relay_key_record_t record;
    bool ok = text != NULL || row_memory_problem(change->request);

    if (ok && span.len > RELAY_KEY_RECORD_MAX) {
        ok = problem_fault(problem, "", "models and tags are longer than a key may carry");
    } else if (ok && !relay_key_record_read(&arena, span, &record, &fault)) {
        config_check_pointer(fault.path, 0, pointer, sizeof(pointer));
        ok = problem_fault(problem, pointer, "%s", fault.message);
    }
    malloc_arena_release(&blocks);
    free(text);
    return ok;
}

/* ---- hooks ---- */

/* Records of the key's digests that are older than this change are void; gone: without a new one.
 */
static bool void_records(change_t *change, bool gone)
{
    return publish_void_relay_key(change->request->session, change->id, change->revision, gone) ||
           problem_set(&change->request->problem, PROBLEM_INTERNAL,
                       "The key's records could not be voided.");
}

static bool check(change_t *change)
{
    char revision[24];

    if (change->after == NULL)
        return void_records(change, true);
    if (!record_ok(change))
        return false;

    snprintf(revision, sizeof(revision), "%lld", change->revision);
    change_column(change, "revision", revision);
    change_column(change, "expires_at",
                  json_string_value(json_object_get(change->after, "expires_at")));

    if (change->before == NULL)
        return mint(change);
    return void_records(change, false);
}

static bool written(change_t *change)
{
    return publish_relay_key(change->request->session, change->id, change->revision) ||
           problem_set(&change->request->problem, PROBLEM_INTERNAL,
                       "The key could not be handed to the publisher.");
}

/* Times in one format and one zone compare as texts. */
static const char *state_of(const PGresult *row, int index, const json_t *shown)
{
    char now[TIME_TEXT];
    time_t seconds = time(NULL);
    struct tm tm;
    int expires = PQfnumber(row, "expires_at");

    strftime(now, sizeof(now), "%Y-%m-%d %H:%M:%S", gmtime_r(&seconds, &tm));
    if (!PQgetisnull(row, index, PQfnumber(row, "revoked_at")))
        return "revoked";
    if (!PQgetisnull(row, index, expires) && strcmp(PQgetvalue(row, index, expires), now) <= 0)
        return "expired";
    return json_is_true(json_object_get(shown, "disabled")) ? "disabled" : "active";
}

static bool show(request_t *request, const PGresult *row, int index, json_t *shown)
{
    (void)request;
    json_object_set_new(shown, "public_id",
                        json_string(PQgetvalue(row, index, PQfnumber(row, "public_id"))));
    json_object_set_new(shown, "state", json_string(state_of(row, index, shown)));
    json_object_set_new(shown, "revoked_at", resource_time(row, index, "revoked_at"));
    return json_object_set_new(shown, "previous_until",
                               resource_time(row, index, "previous_until")) == 0;
}

const resource_t relay_key_resource = {
    .kind = "relay_key",
    .plural = "relay-keys",
    .title = "RelayKey",
    .prefix = "rk",
    .table = "relay_key",
    .schema = &relay_key_schema,
    .published = true,
    .check = check,
    .written = written,
    .show = show,
};

/* ---- :revoke ---- */

static bool revoke(request_t *request, reply_t *reply)
{
    change_t change;
    bool ok = resource_open(request, &relay_key_resource, &change);

    if (ok) {
        change.verb = "revoked";
        change_column(&change, "revoked_at", "now");
        change_column(&change, "previous_digest", NULL);
        change_column(&change, "previous_until", NULL);
        ok = resource_close(&change, reply);
    }
    change_free(&change);
    return ok;
}

/* ---- :rotate ---- */

static const field_t rotate_fields[] = {
    {.name = "overlap_s",
     .type = FIELD_INTEGER,
     .max = OVERLAP_MAX_S,
     .min = 0,
     .description = "How long the key before is accepted besides the new one; 0 if not given."},
};
static const schema_t rotate_schema = SCHEMA("RelayKeyRotation", rotate_fields);

static bool digest_now(change_t *change, char digest[DIGEST_TEXT], bool *revoked)
{
    PGresult *row = SESSION_QUERY(change->request->session,
                                  "SELECT digest, revoked_at IS NOT NULL FROM relay_key"
                                  " WHERE id = $1::uuid",
                                  change->id);
    bool ok = row != NULL && PQntuples(row) == 1;

    if (ok) {
        snprintf(digest, DIGEST_TEXT, "%s", PQgetvalue(row, 0, 0));
        *revoked = PQgetvalue(row, 0, 1)[0] == 't';
    }
    PQclear(row);
    return ok || problem_set(&change->request->problem, PROBLEM_INTERNAL, "The key is gone.");
}

static bool rotate_change(change_t *change, long long overlap_s)
{
    char digest[DIGEST_TEXT], until[TIME_TEXT];
    time_t end = time(NULL) + overlap_s;
    struct tm tm;
    bool revoked = false;

    if (!digest_now(change, digest, &revoked))
        return false;
    if (revoked)
        return problem_set(&change->request->problem, PROBLEM_CONFLICT,
                           "A key that was revoked stays so. Make a new one.");

    change->verb = "rotated";
    strftime(until, sizeof(until), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&end, &tm));
    change_column(change, "previous_digest", overlap_s > 0 ? digest : NULL);
    change_column(change, "previous_until", overlap_s > 0 ? until : NULL);
    return mint(change);
}

static bool rotate(request_t *request, reply_t *reply)
{
    change_t change;
    long long overlap_s = json_integer_value(json_object_get(request->body, "overlap_s"));
    bool ok = resource_open(request, &relay_key_resource, &change) &&
              rotate_change(&change, overlap_s) && resource_close(&change, reply);

    change_free(&change);
    return ok;
}

/* ---- :introspect ---- */

static const field_t introspect_fields[] = {
    {.name = "key",
     .type = FIELD_TEXT,
     .flags = FIELD_REQUIRED | FIELD_WRITE_ONLY,
     .min = 1,
     .max = RELAY_KEY_MAX,
     .description = "The key as an application presents it."},
};
static const schema_t introspect_schema = SCHEMA("RelayKeyIntrospection", introspect_fields);

static const field_t introspected_fields[] = {
    {.name = "known",
     .type = FIELD_BOOLEAN,
     .flags = FIELD_READ_ONLY,
     .description = "Whether this workspace has it."},
    {.name = "active",
     .type = FIELD_BOOLEAN,
     .flags = FIELD_READ_ONLY,
     .description = "Whether it is accepted now."},
    {.name = "previous",
     .type = FIELD_BOOLEAN,
     .flags = FIELD_READ_ONLY,
     .description = "It is the one before a rotation."},
    {.name = "relay_key",
     .type = FIELD_OBJECT,
     .flags = FIELD_READ_ONLY | FIELD_OPTIONAL_ANSWER,
     .schema = &relay_key_schema,
     .description = "The key's entry."},
};
static const schema_t introspected_schema = SCHEMA("RelayKeyIntrospected", introspected_fields);

static PGresult *row_of_digest(request_t *request, const char *digest)
{
    return SESSION_QUERY(
        request->session,
        "SELECT *, " RESOURCE_TIME("created_at") " AS shown_created_at, " RESOURCE_TIME(
            "updated_at") " AS shown_updated_at,"
                          " digest <> $1::bytea AS by_previous,"
                          " previous_until > now() AS previous_good FROM relay_key"
                          " WHERE workspace_id = $2::uuid"
                          " AND (digest = $1::bytea OR previous_digest = $1::bytea)",
        digest, request->workspace_id);
}

static json_t *introspected(request_t *request, const PGresult *row)
{
    bool previous = PQgetvalue(row, 0, PQfnumber(row, "by_previous"))[0] == 't';
    bool good = !previous || PQgetvalue(row, 0, PQfnumber(row, "previous_good"))[0] == 't';
    json_t *shown = resource_show(request, &relay_key_resource, row, 0);

    if (shown == NULL)
        return NULL;

    const char *state = json_string_value(json_object_get(shown, "state"));
    bool active = good && strcmp(state, "active") == 0;
    return json_pack("{s:b, s:b, s:b, s:o}", "known", true, "active", active, "previous", previous,
                     "relay_key", shown);
}

static bool introspect(request_t *request, reply_t *reply)
{
    const char *key = json_string_value(json_object_get(request->body, "key"));
    char digest_text[DIGEST_TEXT];
    relay_digest_t digest;
    PGresult *row = NULL;

    if (relay_key_digest(relay_span(key, strlen(key)), &digest)) {
        bytea_text(digest.bytes, sizeof(digest.bytes), digest_text);
        row = row_of_digest(request, digest_text);
        if (row == NULL)
            return problem_set(&request->problem, PROBLEM_INTERNAL, "The keys cannot be read.");
    }

    if (row != NULL && PQntuples(row) == 1)
        reply->body = introspected(request, row);
    else
        reply->body =
            json_pack("{s:b, s:b, s:b}", "known", false, "active", false, "previous", false);
    PQclear(row);
    return reply->body != NULL;
}

#define PATH "/api/v1/workspaces/{workspace}/relay-keys"

static const route_t routes[] = {
    RESOURCE_ROUTES(&relay_key_resource, "relay-keys", "RelayKey", "RelayKeys", &relay_key_schema),
    {"POST", PATH "/{id}:rotate", "rotateRelayKey", "relay-keys:write", ROUTE_CHANGES | ROUTE_MATCH,
     rotate, &rotate_schema, SCHEMA_CREATE, &relay_key_schema, 200, NULL,
     "Give it a new key, shown once", NULL},
    {"POST", PATH "/{id}:revoke", "revokeRelayKey", "relay-keys:write", ROUTE_CHANGES | ROUTE_MATCH,
     revoke, NULL, SCHEMA_CREATE, &relay_key_schema, 200, NULL, "Refuse it from now on", NULL},
    {"POST", PATH ":introspect", "introspectRelayKey", "relay-keys:read", 0, introspect,
     &introspect_schema, SCHEMA_CREATE, &introspected_schema, 200, NULL,
     "Tell what a key is, without keeping it", NULL},
};
const route_table_t relay_key_routes = {routes, sizeof(routes) / sizeof(routes[0])};
