/*
 * The first token: POST /api/v1/setup, opened once by the set-up token that
 * relayd was started with. There is no default password and no other way in.
 */

#include <openssl/crypto.h>
#include <string.h>

#include "relayd.h"
#include "resource.h"

extern const resource_t api_token_resource;
extern const schema_t api_token_schema;

static const field_t fields[] = {
    {.name = "setup_token",
     .type = FIELD_TEXT,
     .flags = FIELD_REQUIRED | FIELD_WRITE_ONLY,
     .min = 1,
     .max = 256,
     .description = "What relayd was started with (RELAY_SETUP_TOKEN)."},
    {.name = "name",
     .type = FIELD_TEXT,
     .min = 1,
     .max = 64,
     .pattern = "^[A-Za-z0-9._/-]+$",
     .description = "Name of the first API token; admin if not given."},
};
static const schema_t schema = SCHEMA("Setup", fields);

static bool token_matches(const char *given)
{
    const char *wanted = relayd.settings.setup_token;
    size_t len = wanted == NULL ? 0 : strlen(wanted);

    return len > 0 && strlen(given) == len && CRYPTO_memcmp(given, wanted, len) == 0;
}

/* The row's lock lets one of several requests win. */
static bool claim(request_t *request)
{
    PGresult *done = SESSION_QUERY(request->session,
                                   "UPDATE installation SET setup_done_at = now()"
                                   " WHERE setup_done_at IS NULL AND $1 = $1 RETURNING id",
                                   "");
    bool won = done != NULL && PQntuples(done) == 1;

    PQclear(done);
    return won || problem_set(&request->problem, PROBLEM_CONFLICT,
                              "Set-up was done before. Use the API token that it gave.");
}

static bool setup(request_t *request, reply_t *reply)
{
    const char *name = json_string_value(json_object_get(request->body, "name"));

    if (!token_matches(json_string_value(json_object_get(request->body, "setup_token"))))
        return problem_set(&request->problem, PROBLEM_UNAUTHENTICATED,
                           "This is not the set-up token.");
    if (!claim(request))
        return false;

    json_t *document = json_pack("{s:s, s:s, s:[]}", "name", name != NULL ? name : "admin", "role",
                                 "admin", "scopes");
    bool ok = resource_make(request, &api_token_resource, document, reply);
    json_decref(document);
    return ok;
}

static const route_t routes[] = {
    {"POST", "/api/v1/setup", "setUp", NULL, ROUTE_OPEN | ROUTE_CHANGES, setup, &schema,
     SCHEMA_CREATE, &api_token_schema, 201, NULL, "Make the first API token, once", NULL},
};
const route_table_t setup_routes = {routes, sizeof(routes) / sizeof(routes[0])};
