/*
 * Who asks: API tokens, what they may do. Called by http.c for every request
 * that is not open to all.
 */

#include "auth.h"

#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "identifier.h"
#include "token.h"

static bool refuse(problem_t *problem)
{
    return problem_set(problem, PROBLEM_UNAUTHENTICATED,
                       "Send Authorization: Bearer with an API token that is valid.");
}

static role_t role_of(const char *text)
{
    if (strcmp(text, "admin") == 0)
        return ROLE_ADMIN;
    return strcmp(text, "editor") == 0 ? ROLE_EDITOR : ROLE_VIEWER;
}

static void scopes_read(identity_t *identity, const char *spec)
{
    json_t *document = json_loads(spec, 0, NULL), *value;
    size_t i;

    json_array_foreach(json_object_get(document, "scopes"), i, value)
    {
        if (identity->nscopes < AUTH_SCOPES_MAX)
            snprintf(identity->scopes[identity->nscopes++], sizeof(identity->scopes[0]), "%s",
                     json_string_value(value));
    }
    json_decref(document);
}

static void identity_read(identity_t *identity, const PGresult *row)
{
    *identity = (identity_t){.kind = IDENTITY_TOKEN, .role = role_of(PQgetvalue(row, 0, 3))};

    identifier_show("tok", PQgetvalue(row, 0, 0), identity->id);
    snprintf(identity->name, sizeof(identity->name), "%s", PQgetvalue(row, 0, 1));
    snprintf(identity->workspace_id, sizeof(identity->workspace_id), "%s", PQgetvalue(row, 0, 2));
    scopes_read(identity, PQgetvalue(row, 0, 4));
}

/* Written once a minute at most: reading shall not cost a write each time. */
static bool mark_used(session_t *session, const char *uuid)
{
    PGresult *done = SESSION_QUERY(session,
                                   "UPDATE api_token SET last_used_at = now() WHERE id = $1::uuid"
                                   " AND (last_used_at IS NULL"
                                   " OR last_used_at < now() - interval '1 minute')",
                                   uuid);
    bool ok = done != NULL;
    PQclear(done);
    return ok;
}

bool auth_identify(session_t *session, const char *authorization, identity_t *identity,
                   problem_t *problem)
{
    char digest[TOKEN_DIGEST_TEXT];

    *identity = (identity_t){.kind = IDENTITY_NONE};
    if (authorization == NULL || strncasecmp(authorization, "Bearer ", 7) != 0 ||
        !token_digest(authorization + 7, digest))
        return refuse(problem);

    /* By digest: how long the comparison takes says nothing about a token. */
    PGresult *row = SESSION_QUERY(session,
                                  "SELECT id, name, coalesce(workspace_id::text, ''),"
                                  " spec ->> 'role', spec FROM api_token"
                                  " WHERE digest = $1::bytea AND revoked_at IS NULL"
                                  " AND (expires_at IS NULL OR expires_at > now())",
                                  digest);
    if (row == NULL)
        return problem_set(problem, PROBLEM_UNAVAILABLE, "The database does not answer.");

    bool known = PQntuples(row) == 1;
    if (known) {
        identity_read(identity, row);
        known = mark_used(session, PQgetvalue(row, 0, 0));
    }
    PQclear(row);
    return known || refuse(problem);
}

/* ---- scopes ---- */

static role_t role_needed(const char *action)
{
    if (strcmp(action, "read") == 0)
        return ROLE_VIEWER;
    return strcmp(action, "write") == 0 ? ROLE_EDITOR : ROLE_ADMIN;
}

/* "pools:write" covers pools:write and pools:read; "pools:*" all of pools; "*" everything. */
static bool scope_covers(const char *held, const char *noun, size_t noun_len, const char *action)
{
    if (strcmp(held, "*") == 0)
        return true;
    if (strncmp(held, noun, noun_len) != 0 || held[noun_len] != ':')
        return false;

    held += noun_len + 1;
    return strcmp(held, "*") == 0 || strcmp(held, action) == 0 ||
           (strcmp(held, "write") == 0 && strcmp(action, "read") == 0);
}

bool auth_covers(const identity_t *identity, const char *scope)
{
    const char *action = strchr(scope, ':');
    size_t noun_len = action == NULL ? strlen(scope) : (size_t)(action++ - scope);

    if (identity->nscopes == 0)
        return true;

    for (unsigned i = 0; i < identity->nscopes; i++)
        if (scope_covers(identity->scopes[i], scope, noun_len, action == NULL ? "" : action))
            return true;
    return false;
}

bool auth_allows(const identity_t *identity, const char *scope, const char *workspace_id)
{
    const char *action = strchr(scope, ':');
    bool everywhere = identity->workspace_id[0] == '\0';

    if (identity->kind != IDENTITY_TOKEN || action == NULL ||
        identity->role < role_needed(action + 1))
        return false;
    if (!everywhere && (workspace_id == NULL || strcmp(identity->workspace_id, workspace_id) != 0))
        return false;

    return auth_covers(identity, scope);
}
