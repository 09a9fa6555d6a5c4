/*
 * What operators and machines ask: is it alive, is it ready, how does it do,
 * what is it, what can it do. None of it needs a token.
 */

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "installation.h"
#include "metrics.h"
#include "migrate.h"
#include "openapi.h"
#include "publish.h"
#include "relayd.h"
#include "version.h"

enum { LEASE_WAIT_MS = 500 };

/* ---- /healthz, /readyz ---- */

static const field_t health_fields[] = {
    {.name = "status", .type = FIELD_TEXT, .flags = FIELD_READ_ONLY, .description = "ok"},
};
static const schema_t health_schema = SCHEMA("Health", health_fields);

static bool say_ok(request_t *request, reply_t *reply)
{
    (void)request;
    reply->body = json_pack("{s:s}", "status", "ok");
    return reply->body != NULL;
}

static bool database_answers(void)
{
    session_t *session = database_lease(relayd.database, LEASE_WAIT_MS);
    bool ok = session != NULL && session_begin(session, NULL);

    database_return(session);
    return ok;
}

static bool ready(request_t *request, reply_t *reply)
{
    bool database = database_answers(), redis = publisher_ready(relayd.publisher);

    if (database && redis)
        return say_ok(request, reply);
    return problem_set(&request->problem, PROBLEM_UNAVAILABLE, "Not ready: no answer from %s%s%s.",
                       database ? "" : "the database", database || redis ? "" : " and from ",
                       redis ? "" : "Redis");
}

/* ---- /metrics ---- */

static bool metrics(request_t *request, reply_t *reply)
{
    (void)request;
    reply->text = metrics_text();
    reply->media_type = "text/plain; version=0.0.4; charset=utf-8";
    return reply->text != NULL;
}

/* ---- /api/v1/version ---- */

static const char *const setup_states[] = {"open", "done", NULL};

static const field_t version_fields[] = {
    {.name = "version",
     .type = FIELD_TEXT,
     .flags = FIELD_READ_ONLY,
     .description = "Of this relayd."},
    {.name = "migration",
     .type = FIELD_TEXT,
     .flags = FIELD_READ_ONLY,
     .description = "The newest that it brings."},
    {.name = "public_url",
     .type = FIELD_TEXT,
     .flags = FIELD_READ_ONLY | FIELD_NULLABLE,
     .max = 2048,
     .description = "Base URL of the data plane as applications see it; null: not said."},
    {.name = "setup",
     .type = FIELD_TEXT,
     .flags = FIELD_READ_ONLY | FIELD_NULLABLE,
     .values = setup_states,
     .description = "Whether the set-up token still opens; null: the database does not answer."},
};
static const schema_t version_schema = SCHEMA("Version", version_fields);

static bool version(request_t *request, reply_t *reply)
{
    (void)request;
    reply->body = json_pack("{s:s, s:s}", "version", RELAY_VERSION, "migration",
                            migrations[migrations_count - 1].name);
    return reply->body != NULL && installation_show(reply->body);
}

/* ---- /api/v1/openapi.json ---- */

static json_t *document;

static void make_document(void)
{
    document = openapi_document();
}

/* Reference counts of jansson are atomic: many may answer with it at once. */
static bool openapi(request_t *request, reply_t *reply)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    (void)request;
    pthread_once(&once, make_document);
    reply->body = json_incref(document);
    return reply->body != NULL;
}

enum { PROBE = ROUTE_OPEN | ROUTE_NO_SESSION };

static const route_t routes[] = {
    {"GET", "/healthz", "getHealth", NULL, PROBE, say_ok, NULL, SCHEMA_CREATE, &health_schema, 200,
     NULL, "Whether relayd is alive", NULL},
    {"GET", "/readyz", "getReadiness", NULL, PROBE, ready, NULL, SCHEMA_CREATE, &health_schema, 200,
     NULL, "Whether relayd can do its work", NULL},
    {"GET", "/metrics", "getMetrics", NULL, PROBE | ROUTE_PLAIN, metrics, NULL, SCHEMA_CREATE, NULL,
     200, NULL, "Counters in Prometheus' text format", NULL},
    {"GET", "/api/v1/version", "getVersion", NULL, PROBE, version, NULL, SCHEMA_CREATE,
     &version_schema, 200, NULL, "Version of relayd", NULL},
    {"GET", "/api/v1/openapi.json", "getOpenApi", NULL, PROBE, openapi, NULL, SCHEMA_CREATE,
     &schema_anything, 200, NULL, "This document", NULL},
};
const route_table_t system_routes = {routes, sizeof(routes) / sizeof(routes[0])};
