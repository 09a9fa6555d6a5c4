/*
 * Provider keys: a team's own credentials at a host. A value is sealed to its
 * row, version and the origin it may be sent to, and never shown again; or it
 * stays where it is, and a reference says where.
 */

#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "access_token.h"
#include "host_origin.h"
#include "last_value.h"
#include "probe.h"
#include "relayd.h"
#include "resource_row.h"

enum { OVERLAP_MAX_S = 30 * 24 * 60 * 60, VERSION_TEXT = 24, TIME_TEXT = 32 };

static const char *const states[] = {"ready",      "stale",         "disabled", "moved",
                                     "unresolved", "undecryptable", NULL};

#define VALUE_FIELDS                                                                               \
    {.name = "value",                                                                              \
     .type = FIELD_TEXT,                                                                           \
     .flags = FIELD_WRITE_ONLY,                                                                    \
     .min = 0,                                                                                     \
     .max = SECRET_MAX,                                                                            \
     .pattern = "^[\t\n\r -~]*$",                                                                  \
     .description = "The credential, or the JSON document of a service account; never shown."      \
                    " Empty: the host needs none."},                                               \
    {                                                                                              \
        .name = "value_from", .type = FIELD_TEXT, .min = 5, .max = 1024,                           \
        .pattern = "^(env:|file:/|vault:).+$",                                                     \
        .description = "Where the credential is kept instead: env:NAME, file:/PATH or"             \
                       " vault:MOUNT/PATH#FIELD, read by relayd."                                  \
    }

static const field_t fields[] = {
    RESOURCE_BASE_FIELDS,
    {.name = "description", .type = FIELD_TEXT, .max = 1000, .description = "For people."},
    {.name = "host",
     .type = FIELD_REFERENCE,
     .flags = FIELD_REQUIRED,
     .refers_to = "host",
     .description = "The host that it is for."},
    VALUE_FIELDS,
    {.name = "disabled",
     .type = FIELD_BOOLEAN,
     .fallback = "false",
     .description = "Not used while true."},
    {.name = "state",
     .type = FIELD_TEXT,
     .flags = FIELD_READ_ONLY,
     .values = states,
     .description = "Whether it can be used. stale: with the last value of a reference that cannot"
                    " be read now."},
    {.name = "state_reason",
     .type = FIELD_TEXT,
     .flags = FIELD_READ_ONLY | FIELD_OPTIONAL_ANSWER,
     .description = "Why it cannot, or why its value is an old one."},
    {.name = "secret_version",
     .type = FIELD_INTEGER,
     .flags = FIELD_READ_ONLY,
     .description = "Grows with each value."},
    {.name = "origin",
     .type = FIELD_TEXT,
     .flags = FIELD_READ_ONLY | FIELD_NULLABLE,
     .description = "Where the value may be sent."},
    {.name = "previous_until",
     .type = FIELD_TIME,
     .flags = FIELD_READ_ONLY | FIELD_NULLABLE,
     .description = "After :rotate with an overlap: how long the value before is kept."},
};
static const schema_t schema = SCHEMA("ProviderKey", fields);

extern const resource_t provider_key_resource;

/* ---- what is stored now ---- */

typedef struct {
    char sealed[SECRET_MAX * 2];
    char origin[HOST_ORIGIN_MAX];
    long long secret_version;
} stored_t;

static bool stored_read(change_t *change, stored_t *stored)
{
    PGresult *row = SESSION_QUERY(change->request->session,
                                  "SELECT coalesce(sealed, ''), coalesce(origin, ''),"
                                  " secret_version FROM provider_key WHERE id = $1::uuid",
                                  change->id);
    bool ok = row != NULL && PQntuples(row) == 1;

    if (ok) {
        snprintf(stored->sealed, sizeof(stored->sealed), "%s", PQgetvalue(row, 0, 0));
        snprintf(stored->origin, sizeof(stored->origin), "%s", PQgetvalue(row, 0, 1));
        stored->secret_version = strtoll(PQgetvalue(row, 0, 2), NULL, 10);
    }
    PQclear(row);
    return ok || problem_set(&change->request->problem, PROBLEM_INTERNAL, "The key is gone.");
}

static bool origin_of_host(change_t *change, char origin[HOST_ORIGIN_MAX])
{
    const char *host = json_string_value(json_object_get(change->after, "host"));
    json_t *effective = host_effective(change->request, host);
    bool ok = effective != NULL && host_origin(effective, origin);

    json_decref(effective);
    return ok || problem_fault(&change->request->problem, "/host",
                               "has no URL that could be used: fill it in first");
}

/* ---- a new value ---- */

static bool seal_value(change_t *change, const char *value, const char *version, const char *origin)
{
    secret_t secret = {.bytes = (unsigned char *)value, .len = strlen(value)};
    secret_place_t place = {.workspace_id = change->workspace_id,
                            .row_id = change->id,
                            .version = version,
                            .origin = origin};
    char *sealed = secret_seal(relayd.secrets, change->request->session, &place, &secret);

    if (sealed == NULL)
        return problem_set(&change->request->problem, PROBLEM_INTERNAL,
                           "The value could not be sealed.");
    change_column(change, "sealed", sealed);
    free(sealed);
    return true;
}

/* What goes into a header has no spaces; of what becomes an access token, it is the other way. */
static bool value_fits_host(change_t *change, const char *value)
{
    json_t *effective =
        host_effective(change->request, json_string_value(json_object_get(change->after, "host")));
    access_host_t host = access_host_of(effective);
    secret_t secret = {.bytes = (unsigned char *)value, .len = strlen(value)};
    char why[192];
    bool ok = access_value_ok(&host, &secret, why, sizeof(why));

    json_decref(effective);
    return ok || problem_fault(&change->request->problem, "/value", "%s", why);
}

/* Exactly one of value and value_from; the other one, if there was one, is gone. */
static bool take_value(change_t *change, const json_t *given, long long version_before)
{
    const char *value = json_string_value(json_object_get(given, "value"));
    const char *from = json_string_value(json_object_get(given, "value_from"));
    char version[VERSION_TEXT], origin[HOST_ORIGIN_MAX];
    problem_t *problem = &change->request->problem;

    if ((value != NULL) == (from != NULL))
        return problem_fault(problem, "/value", "give either value or value_from");
    if (from != NULL && !reference_ok(from, "/value_from", problem))
        return false;
    if (!origin_of_host(change, origin))
        return false;

    snprintf(version, sizeof(version), "%lld", version_before + 1);
    change_column(change, "secret_version", version);
    change_column(change, "origin", origin);

    if (value != NULL) {
        json_object_del(change->after, "value_from");
        change_column(change, "last_sealed", NULL);
        return value_fits_host(change, value) && seal_value(change, value, version, origin);
    }
    json_object_set_new(change->after, "value_from", json_string(from));
    change_column(change, "sealed", NULL);
    change_column(change, "last_sealed", NULL);
    return true;
}

static bool gives_value(const json_t *given)
{
    return json_is_string(json_object_get(given, "value")) ||
           json_is_string(json_object_get(given, "value_from"));
}

/* A key without a value is none. */
static bool takes_value_away(const json_t *given)
{
    return !gives_value(given) && (json_is_null(json_object_get(given, "value")) ||
                                   json_is_null(json_object_get(given, "value_from")));
}

static bool same_host(const change_t *change)
{
    return json_equal(json_object_get(change->before, "host"),
                      json_object_get(change->after, "host"));
}

/*
 * Without a new value the old one stays, unless this would send it somewhere
 * else. Where its host has gone is another matter: that shows as "moved".
 */
static bool keep_value(change_t *change, const stored_t *stored)
{
    char origin[HOST_ORIGIN_MAX];

    if (stored->sealed[0] != '\0' && same_host(change))
        return true;
    if (!origin_of_host(change, origin))
        return false;
    if (strcmp(origin, stored->origin) == 0)
        return true;
    if (stored->sealed[0] != '\0')
        return problem_fault(&change->request->problem, "/value",
                             "is sealed for %s; send it again to use it at %s", stored->origin,
                             origin);
    change_column(change, "origin", origin);
    return true;
}

static bool check(change_t *change)
{
    stored_t stored = {.secret_version = 0};
    bool ok;

    if (change->after == NULL)
        return true;
    if (change->before == NULL)
        return take_value(change, change->given, 0);
    if (takes_value_away(change->given))
        return problem_fault(&change->request->problem,
                             json_is_null(json_object_get(change->given, "value")) ? "/value"
                                                                                   : "/value_from",
                             "cannot be taken away: give another one");
    if (!stored_read(change, &stored))
        return false;

    /* PUT without either keeps what is there, too: a value cannot be read back to be sent. */
    if (json_object_get(change->after, "value_from") == NULL &&
        json_object_get(change->before, "value_from") != NULL && !gives_value(change->given))
        json_object_set(change->after, "value_from", json_object_get(change->before, "value_from"));

    ok = gives_value(change->given) ? take_value(change, change->given, stored.secret_version)
                                    : keep_value(change, &stored);
    OPENSSL_cleanse(&stored, sizeof(stored));
    return ok;
}

/* ---- what answers show ---- */

/* The host's URL was changed since: what is sealed for one place does not go to another. */
static bool moved(request_t *request, const json_t *shown, const char *sealed_for, char *why,
                  size_t why_size)
{
    char origin[HOST_ORIGIN_MAX] = "nowhere";
    json_t *host = host_effective(request, json_string_value(json_object_get(shown, "host")));
    bool same = host != NULL && host_origin(host, origin) && strcmp(origin, sealed_for) == 0;

    json_decref(host);
    if (!same)
        snprintf(why, why_size, "The value is for %s and the host is at %s now: send it again.",
                 sealed_for, origin);
    return !same;
}

static bool open_row(request_t *request, const PGresult *row, int index, const char *sealed_for,
                     secret_t *secret)
{
    secret_place_t place = {.workspace_id = request->workspace_id,
                            .row_id = PQgetvalue(row, index, PQfnumber(row, "id")),
                            .version = PQgetvalue(row, index, PQfnumber(row, "secret_version")),
                            .origin = sealed_for};

    return secret_open(relayd.secrets, request->session, &place,
                       PQgetvalue(row, index, PQfnumber(row, "sealed")), secret);
}

/* Of a row with these columns. */
static reference_state_t read_reference(request_t *request, const char *id, const char *reference,
                                        const char *origin, const char *last_sealed,
                                        secret_t *secret, char *why, size_t why_size)
{
    last_value_t last = {request->workspace_id, id, reference, origin, last_sealed};

    last_value_adopt(relayd.secrets, request->session, &last);
    return reference_resolve(reference, secret, why, why_size);
}

/* The access that a host gives, and what other relayd know of it. */
static access_host_t access_of(request_t *request, const json_t *effective, const secret_t *secret)
{
    access_store_t store = {.secrets = relayd.secrets, .session = request->session};
    access_host_t host = access_host_of(effective);

    host.workspace_id = request->workspace_id;
    access_token_adopt(&host, &store, secret);
    return host;
}

/* What its host takes can be had of it: the secret, or a token in its place. */
static bool usable(request_t *request, const json_t *shown, secret_t *secret, char *why,
                   size_t why_size)
{
    json_t *effective = host_effective(request, json_string_value(json_object_get(shown, "host")));
    access_host_t host = access_of(request, effective, secret);
    bool ok = access_token_take(&host, secret, why, why_size);

    json_decref(effective);
    return ok;
}

/* A row that does not open is shown as such: skipped, it would look as if all were well. */
static const char *judge_state(request_t *request, const PGresult *row, int index,
                               const json_t *shown, secret_t *secret, char *why, size_t why_size)
{
    const char *from = json_string_value(json_object_get(shown, "value_from"));
    const char *sealed_for = PQgetvalue(row, index, PQfnumber(row, "origin"));
    char stale[256] = "";

    if (from != NULL) {
        reference_state_t state = read_reference(
            request, PQgetvalue(row, index, PQfnumber(row, "id")), from, sealed_for,
            PQgetvalue(row, index, PQfnumber(row, "last_sealed")), secret, why, why_size);
        if (state == REFERENCE_AWAY || state == REFERENCE_GONE)
            return "unresolved";
        snprintf(stale, sizeof(stale), "%s", state == REFERENCE_STALE ? why : "");
        why[0] = '\0';
    }
    if (from == NULL && !open_row(request, row, index, sealed_for, secret)) {
        snprintf(why, why_size, "The stored value does not open with the keys that relayd has.");
        return "undecryptable";
    }
    if (from == NULL && moved(request, shown, sealed_for, why, why_size))
        return "moved";
    if (json_is_true(json_object_get(shown, "disabled")))
        return "disabled";
    if (!usable(request, shown, secret, why, why_size))
        return "unresolved";
    snprintf(why, why_size, "%s", stale);
    return stale[0] != '\0' ? "stale" : "ready";
}

static const char *state_of(request_t *request, const PGresult *row, int index, const json_t *shown,
                            char *why, size_t why_size)
{
    secret_t secret = {.bytes = NULL};
    const char *state = judge_state(request, row, index, shown, &secret, why, why_size);

    secret_free(&secret);
    return state;
}

static bool show(request_t *request, const PGresult *row, int index, json_t *shown)
{
    char why[256] = "";
    const char *state = state_of(request, row, index, shown, why, sizeof(why));
    int origin = PQfnumber(row, "origin");

    json_object_set_new(shown, "state", json_string(state));
    if (strcmp(state, "ready") != 0 && why[0] != '\0')
        json_object_set_new(shown, "state_reason", json_string(why));
    json_object_set_new(
        shown, "secret_version",
        json_integer(strtoll(PQgetvalue(row, index, PQfnumber(row, "secret_version")), NULL, 10)));
    json_object_set_new(shown, "origin",
                        PQgetisnull(row, index, origin)
                            ? json_null()
                            : json_string(PQgetvalue(row, index, origin)));
    return json_object_set_new(shown, "previous_until",
                               resource_time(row, index, "previous_until")) == 0;
}

const resource_t provider_key_resource = {
    .kind = "provider_key",
    .plural = "provider-keys",
    .title = "ProviderKey",
    .prefix = "pk",
    .table = "provider_key",
    .schema = &schema,
    .published = true,
    .check = check,
    .show = show,
};

/* ---- :rotate ---- */

static const field_t rotate_fields[] = {
    VALUE_FIELDS,
    {.name = "overlap_s",
     .type = FIELD_INTEGER,
     .min = 0,
     .max = OVERLAP_MAX_S,
     .description = "How long the value before is kept for :rollback; 0 if not given."},
};
static const schema_t rotate_schema = SCHEMA("ProviderKeyRotation", rotate_fields);

static void keep_previous(change_t *change, const stored_t *stored, long long overlap_s)
{
    char version[VERSION_TEXT], until[TIME_TEXT];
    time_t end = time(NULL) + overlap_s;
    bool keep = overlap_s > 0 && stored->sealed[0] != '\0';
    struct tm tm;

    snprintf(version, sizeof(version), "%lld", stored->secret_version);
    strftime(until, sizeof(until), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&end, &tm));
    change_column(change, "previous_sealed", keep ? stored->sealed : NULL);
    change_column(change, "previous_version", keep ? version : NULL);
    change_column(change, "previous_until", keep ? until : NULL);
}

static bool rotate(request_t *request, reply_t *reply)
{
    stored_t stored = {.secret_version = 0};
    change_t change;
    bool ok =
        resource_open(request, &provider_key_resource, &change) && stored_read(&change, &stored);

    if (ok) {
        change.verb = "rotated";
        keep_previous(&change, &stored,
                      json_integer_value(json_object_get(request->body, "overlap_s")));
        if (!gives_value(request->body))
            ok = problem_fault(&request->problem, "/value", "give either value or value_from");
        ok = ok && resource_close(&change, reply);
    }
    OPENSSL_cleanse(&stored, sizeof(stored));
    change_free(&change);
    return ok;
}

/* ---- :rollback ---- */

/* The value before as a request would give it. NULL: there is none, or it does not open. */
static json_t *previous_value(change_t *change)
{
    PGresult *row = SESSION_QUERY(change->request->session,
                                  "SELECT previous_sealed, previous_version, origin"
                                  " FROM provider_key WHERE id = $1::uuid"
                                  " AND previous_sealed IS NOT NULL AND previous_until > now()",
                                  change->id);
    secret_t secret = {.bytes = NULL};
    json_t *given = NULL;

    if (row != NULL && PQntuples(row) == 1) {
        secret_place_t place = {.workspace_id = change->workspace_id,
                                .row_id = change->id,
                                .version = PQgetvalue(row, 0, 1),
                                .origin = PQgetvalue(row, 0, 2)};
        if (secret_open(relayd.secrets, change->request->session, &place, PQgetvalue(row, 0, 0),
                        &secret))
            given = json_pack("{s:s%}", "value", (const char *)secret.bytes, secret.len);
    }
    secret_free(&secret);
    PQclear(row);
    return given;
}

/* jansson's copy is not left in the heap. */
static void forget(json_t *given)
{
    const char *value = json_string_value(json_object_get(given, "value"));

    if (value != NULL)
        OPENSSL_cleanse((char *)value, strlen(value));
    json_decref(given);
}

static bool rollback(request_t *request, reply_t *reply)
{
    change_t change;
    json_t *given = NULL;
    bool ok = resource_open(request, &provider_key_resource, &change);

    if (ok) {
        given = previous_value(&change);
        ok = given != NULL || problem_set(&request->problem, PROBLEM_CONFLICT,
                                          "There is no value before that is still kept.");
    }
    if (ok) {
        change.verb = "rolled back";
        change.given = given;
        change_column(&change, "previous_sealed", NULL);
        change_column(&change, "previous_version", NULL);
        change_column(&change, "previous_until", NULL);
        ok = resource_close(&change, reply);
    }
    forget(given);
    change_free(&change);
    return ok;
}

/* ---- :disable, :enable ---- */

static bool set_disabled(request_t *request, reply_t *reply, bool disabled)
{
    change_t change;
    bool ok = resource_open(request, &provider_key_resource, &change);

    if (ok) {
        change.verb = disabled ? "disabled" : "enabled";
        json_object_set_new(change.after, "disabled", json_boolean(disabled));
        change.given = NULL;
        ok = resource_close(&change, reply);
    }
    change_free(&change);
    return ok;
}

static bool disable(request_t *request, reply_t *reply)
{
    return set_disabled(request, reply, true);
}

static bool enable(request_t *request, reply_t *reply)
{
    return set_disabled(request, reply, false);
}

/* ---- :test ---- */

static const field_t test_fields[] = {
    {.name = "ok",
     .type = FIELD_BOOLEAN,
     .flags = FIELD_READ_ONLY,
     .description = "The host took the key."},
    {.name = "outcome",
     .type = FIELD_TEXT,
     .flags = FIELD_READ_ONLY,
     .description = "accepted, refused, limited, unreachable, unexpected or unavailable."},
    {.name = "message",
     .type = FIELD_TEXT,
     .flags = FIELD_READ_ONLY,
     .description = "What happened, in plain words."},
    {.name = "status",
     .type = FIELD_INTEGER,
     .flags = FIELD_READ_ONLY | FIELD_NULLABLE,
     .description = "The host's HTTP status."},
    {.name = "latency_ms",
     .type = FIELD_INTEGER,
     .flags = FIELD_READ_ONLY,
     .description = "How long it took."},
};
static const schema_t test_schema = SCHEMA("ProviderKeyTest", test_fields);

static bool secret_of_row(request_t *request, const PGresult *row, const json_t *spec,
                          secret_t *secret, char *why, size_t why_size)
{
    const char *from = json_string_value(json_object_get(spec, "value_from"));
    secret_place_t place = {.workspace_id = request->workspace_id,
                            .row_id = PQgetvalue(row, 0, 0),
                            .version = PQgetvalue(row, 0, 3),
                            .origin = PQgetvalue(row, 0, 4)};

    if (from != NULL) {
        read_reference(request, place.row_id, from, place.origin, PQgetvalue(row, 0, 5), secret,
                       why, why_size);
        return secret->bytes != NULL;
    }
    snprintf(why, why_size, "The stored value does not open with the keys that relayd has.");
    return secret_open(relayd.secrets, request->session, &place, PQgetvalue(row, 0, 2), secret);
}

/* The call may take seconds: nothing of the database is held meanwhile. */
static bool test_row(request_t *request, PGresult *row, reply_t *reply)
{
    json_t *spec = json_loads(PQgetvalue(row, 0, 1), 0, NULL);
    json_t *host = host_effective(request, json_string_value(json_object_get(spec, "host")));
    probe_t probe = {.outcome = "unavailable"};
    secret_t secret = {.bytes = NULL};
    access_host_t access = {.wanted = false};
    bool opened = false;

    if (host == NULL)
        snprintf(probe.message, sizeof(probe.message), "Its host is gone.");
    else if (!moved(request, spec, PQgetvalue(row, 0, 4), probe.message, sizeof(probe.message)))
        opened = secret_of_row(request, row, spec, &secret, probe.message, sizeof(probe.message));
    if (opened)
        access = access_of(request, host, &secret);
    PQclear(row);
    request_end_session(request);

    if (opened)
        opened = access_token_take(&access, &secret, probe.message, sizeof(probe.message));
    if (opened)
        probe_key(host, &secret, &probe);
    secret_free(&secret);
    json_decref(host);
    json_decref(spec);

    reply->body =
        json_pack("{s:b, s:s, s:s, s:o, s:I}", "ok", strcmp(probe.outcome, "accepted") == 0,
                  "outcome", probe.outcome, "message", probe.message, "status",
                  probe.status > 0 ? json_integer(probe.status) : json_null(), "latency_ms",
                  (json_int_t)probe.latency_ms);
    return reply->body != NULL;
}

static bool test(request_t *request, reply_t *reply)
{
    char id[37];

    if (!resource_resolve(request, "provider_key", request->target, "", id)) {
        request->problem = (problem_t){.code = PROBLEM_NONE};
        return row_not_found(request, &provider_key_resource, request->target);
    }

    PGresult *row = SESSION_QUERY(request->session,
                                  "SELECT id, spec, coalesce(sealed, ''), secret_version, origin,"
                                  " last_sealed FROM provider_key WHERE id = $1::uuid",
                                  id);
    if (row != NULL && PQntuples(row) == 1)
        return test_row(request, row, reply) || row_memory_problem(request);
    PQclear(row);
    return row_database_problem(request);
}

#define PATH "/api/v1/workspaces/{workspace}/provider-keys/{id}"

static const route_t routes[] = {
    RESOURCE_ROUTES(&provider_key_resource, "provider-keys", "ProviderKey", "ProviderKeys",
                    &schema),
    {"POST", PATH ":test", "testProviderKey", "provider-keys:write", 0, test, NULL, SCHEMA_CREATE,
     &test_schema, 200, NULL, "Call the host with it and say what happened", NULL},
    {"POST", PATH ":rotate", "rotateProviderKey", "provider-keys:write",
     ROUTE_CHANGES | ROUTE_MATCH, rotate, &rotate_schema, SCHEMA_CREATE, &schema, 200, NULL,
     "Give it a new value", NULL},
    {"POST", PATH ":rollback", "rollBackProviderKey", "provider-keys:write",
     ROUTE_CHANGES | ROUTE_MATCH, rollback, NULL, SCHEMA_CREATE, &schema, 200, NULL,
     "Take back the value before, while it is kept", NULL},
    {"POST", PATH ":disable", "disableProviderKey", "provider-keys:write",
     ROUTE_CHANGES | ROUTE_MATCH, disable, NULL, SCHEMA_CREATE, &schema, 200, NULL,
     "Do not use it for now", NULL},
    {"POST", PATH ":enable", "enableProviderKey", "provider-keys:write",
     ROUTE_CHANGES | ROUTE_MATCH, enable, NULL, SCHEMA_CREATE, &schema, 200, NULL, "Use it again",
     NULL},
};
const route_table_t provider_key_routes = {routes, sizeof(routes) / sizeof(routes[0])};
