/*
 * API tokens: who may use the admin API. A token belongs to one workspace or,
 * without one, to the whole installation; nobody can make a token that may do
 * more than the one it is made with.
 */

#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>

#include "identifier.h"
#include "resource.h"
#include "token.h"

static const char *const roles[] = {"viewer", "editor", "admin", NULL};

static const field_t scope_item = {
    .type = FIELD_TEXT,
    .min = 1,
    .max = 47,
    .pattern = "^([a-z-]+:(read|write|admin|[*])|[*])$",
    .description = "A noun and what may be done to it: pools:write, relay-keys:*, or * alone."};

static const field_t fields[] = {
    RESOURCE_BASE_FIELDS,
    {.name = "role",
     .type = FIELD_TEXT,
     .flags = FIELD_REQUIRED,
     .values = roles,
     .description = "viewer reads, editor changes, admin also manages tokens and secrets."},
    {.name = "scopes",
     .type = FIELD_LIST,
     .max = AUTH_SCOPES_MAX,
     .item = &scope_item,
     .fallback = "[]",
     .description = "Narrows the role to these; empty: all that the role may."},
    {.name = "workspace",
     .type = FIELD_REFERENCE,
     .flags = FIELD_IMMUTABLE,
     .refers_to = "workspace",
     .description = "The only workspace it is for; without one, every workspace."},
    {.name = "expires_at",
     .type = FIELD_TIME,
     .flags = FIELD_NULLABLE,
     .description = "The time from which it is refused."},
    {.name = "last_used_at",
     .type = FIELD_TIME,
     .flags = FIELD_READ_ONLY | FIELD_NULLABLE,
     .description = "To the minute."},
    {.name = "revoked_at",
     .type = FIELD_TIME,
     .flags = FIELD_READ_ONLY | FIELD_NULLABLE,
     .description = "When it was revoked."},
    {.name = "token",
     .type = FIELD_TEXT,
     .flags = FIELD_READ_ONLY | FIELD_OPTIONAL_ANSWER,
     .description = "The token itself; in the answer to its creation only."},
};
const schema_t api_token_schema = SCHEMA("ApiToken", fields);

static role_t role_named(const char *name)
{
    return strcmp(name, "admin") == 0    ? ROLE_ADMIN
           : strcmp(name, "editor") == 0 ? ROLE_EDITOR
                                         : ROLE_VIEWER;
}

/* A maker with a narrower reach than what is made would be a way around it. */
static bool within_maker(change_t *change)
{
    const identity_t *maker = &change->request->identity;
    const json_t *spec = change->after != NULL ? change->after : change->before;
    const char *workspace = json_string_value(json_object_get(spec, "workspace"));
    const char *role = json_string_value(json_object_get(spec, "role"));
    problem_t *problem = &change->request->problem;
    const json_t *scope;
    size_t i;

    if (maker->kind == IDENTITY_NONE)
        return true; /* set-up */
    if (role_named(role) > maker->role)
        return problem_set(problem, PROBLEM_FORBIDDEN, "Your own role is lower than %s.", role);
    if (maker->workspace_id[0] != '\0' &&
        (workspace == NULL || strcmp(workspace, maker->workspace_id) != 0))
        return problem_set(problem, PROBLEM_FORBIDDEN, "Your own token is for one workspace.");
    if (maker->nscopes > 0 && json_array_size(json_object_get(spec, "scopes")) == 0)
        return problem_set(problem, PROBLEM_FORBIDDEN, "Your own token is limited to scopes.");

    json_array_foreach(json_object_get(spec, "scopes"), i, scope)
    {
        const char *text = json_string_value(scope);
        if (maker->nscopes > 0 && !auth_covers(maker, text))
            return problem_set(problem, PROBLEM_FORBIDDEN, "Your own token does not cover %s.",
                               text);
    }
    return true;
}

/* ---- the last one that may do everything ---- */

/* Set-up is open once: without such a token nobody gets in again. */
#define USABLE_ADMIN                                                                               \
    " revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now())"                           \
    " AND workspace_id IS NULL AND spec ->> 'role' = 'admin'"                                      \
    " AND (jsonb_array_length(coalesce(spec -> 'scopes', '[]')) = 0 OR spec -> 'scopes' ? '*')"

static bool all_scopes(const json_t *scopes)
{
    for (size_t i = 0; i < json_array_size(scopes); i++)
        if (strcmp(json_string_value(json_array_get(scopes, i)), "*") == 0)
            return true;
    return json_array_size(scopes) == 0;
}

/* Whether the change leaves it such a token, but for its end. */
static bool stays_admin(const change_t *change)
{
    const json_t *spec = change->after;

    return spec != NULL && (change->verb == NULL || strcmp(change->verb, "revoked") != 0) &&
           strcmp(json_string_value(json_object_get(spec, "role")), "admin") == 0 &&
           json_string_value(json_object_get(spec, "workspace")) == NULL &&
           all_scopes(json_object_get(spec, "scopes"));
}

/* One at a time: of two requests that each take one of the last two, the second sees the first. */
static bool lock_tokens(session_t *session)
{
    PGresult *row = session_query(session, "SELECT FROM installation FOR UPDATE", 0, NULL);
    bool locked = row != NULL;

    PQclear(row);
    return locked;
}

/* 1: this one and no other is such a token; 0: not so; -1: the database failed. */
static int is_last_admin(change_t *change)
{
    session_t *session = change->request->session;
    PGresult *row = !lock_tokens(session)
                        ? NULL
                        : SESSION_QUERY(session,
                                        "SELECT count(*) = 1 AND bool_and(id = $1::uuid)"
                                        " FROM api_token WHERE" USABLE_ADMIN,
                                        change->id);
    int last = row == NULL ? -1 : PQgetvalue(row, 0, 0)[0] == 't';

    PQclear(row);
    return last;
}

/* 1: an end that is not there or has not come; 0: it has; -1: the database failed. */
static int not_ended(change_t *change)
{
    PGresult *row =
        SESSION_QUERY(change->request->session, "SELECT coalesce($1::timestamptz > now(), true)",
                      json_string_value(json_object_get(change->after, "expires_at")));
    int good = row == NULL ? -1 : PQgetvalue(row, 0, 0)[0] == 't';

    PQclear(row);
    return good;
}

static bool leaves_an_admin(change_t *change)
{
    problem_t *problem = &change->request->problem;
    int stays = change->before == NULL ? 1 : stays_admin(change) ? not_ended(change) : 0;
    int last = stays != 0 ? 0 : is_last_admin(change);

    if (stays < 0 || last < 0)
        return problem_set(problem, PROBLEM_UNAVAILABLE, "The database does not answer.");
    return last == 0 ||
           problem_set(problem, PROBLEM_CONFLICT,
                       "\"%s\" is the last token that may do everything: without it nobody could"
                       " manage this installation. Make another admin token first.",
                       change->name);
}

static bool check(change_t *change)
{
    char token[TOKEN_TEXT], digest[TOKEN_DIGEST_TEXT];

    if (!within_maker(change) || !leaves_an_admin(change))
        return false;
    if (change->after == NULL)
        return true;

    change_column(change, "expires_at",
                  json_string_value(json_object_get(change->after, "expires_at")));
    change_column(change, "workspace_id",
                  json_string_value(json_object_get(change->after, "workspace")));

    if (change->before == NULL) {
        if (!token_mint(token, digest))
            return problem_set(&change->request->problem, PROBLEM_INTERNAL, "No randomness.");
        change_column(change, "digest", digest);
        change->shown_once = json_pack("{s:s}", "token", token);
        OPENSSL_cleanse(token, sizeof(token));
    }
    return true;
}

static bool show(request_t *request, const PGresult *row, int index, json_t *shown)
{
    (void)request;
    return json_object_set_new(shown, "last_used_at", resource_time(row, index, "last_used_at")) ==
               0 &&
           json_object_set_new(shown, "revoked_at", resource_time(row, index, "revoked_at")) == 0;
}

const resource_t api_token_resource = {
    .kind = "api_token",
    .plural = "api-tokens",
    .title = "ApiToken",
    .prefix = "tok",
    .table = "api_token",
    .schema = &api_token_schema,
    .of_installation = true,
    .check = check,
    .show = show,
};

/* ---- :revoke ---- */

static bool revoke(request_t *request, reply_t *reply)
{
    change_t change;
    bool ok = resource_open(request, &api_token_resource, &change);

    if (ok) {
        change.verb = "revoked";
        change_column(&change, "revoked_at", "now");
        ok = resource_close(&change, reply);
    }
    change_free(&change);
    return ok;
}

#define PATH "/api/v1/api-tokens"

static const route_t routes[] = {
    {"GET", PATH, "listApiTokens", "api-tokens:admin", ROUTE_LIST, resource_list, NULL,
     SCHEMA_CREATE, &api_token_schema, 200, NULL, "List API tokens", &api_token_resource},
    {"POST", PATH, "createApiToken", "api-tokens:admin", ROUTE_CHANGES, resource_create,
     &api_token_schema, SCHEMA_CREATE, &api_token_schema, 201, NULL,
     "Create an API token, shown once", &api_token_resource},
    {"GET", PATH "/{id}", "getApiToken", "api-tokens:admin", 0, resource_get, NULL, SCHEMA_CREATE,
     &api_token_schema, 200, NULL, "Read an API token", &api_token_resource},
    {"PATCH", PATH "/{id}", "updateApiToken", "api-tokens:admin", ROUTE_CHANGES | ROUTE_MATCH,
     resource_patch, &api_token_schema, SCHEMA_PATCH, &api_token_schema, 200, NULL,
     "Change an API token", &api_token_resource},
    {"POST", PATH "/{id}:revoke", "revokeApiToken", "api-tokens:admin", ROUTE_CHANGES | ROUTE_MATCH,
     revoke, NULL, SCHEMA_CREATE, &api_token_schema, 200, NULL, "Refuse an API token from now on",
     &api_token_resource},
    {"DELETE", PATH "/{id}", "deleteApiToken", "api-tokens:admin", ROUTE_CHANGES | ROUTE_MATCH,
     resource_delete, NULL, SCHEMA_CREATE, NULL, 204, NULL, "Delete an API token",
     &api_token_resource},
};
const route_table_t api_token_routes = {routes, sizeof(routes) / sizeof(routes[0])};
