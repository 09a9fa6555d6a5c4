/*
 * Settings of the installation as a whole: GET and PATCH /api/v1/settings; and
 * what of it anybody may know.
 */

#include "installation.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "relayd.h"
#include "resource.h"

static const field_t fields[] = {
    {.name = "public_url",
     .type = FIELD_TEXT,
     .flags = FIELD_NULLABLE,
     .min = 8,
     .max = 2048,
     .pattern = "^https?://[][A-Za-z0-9.:_~%/-]+$",
     .description = "Base URL of the data plane as applications see it; for snippets."},
    {.name = "keep_events_days",
     .type = FIELD_INTEGER,
     .flags = FIELD_NULLABLE,
     .min = 1,
     .max = 36500,
     .description = "Events older than this are deleted; null: never."},
};
static const schema_t schema = SCHEMA("Settings", fields);

static PGresult *read_row(request_t *request, bool lock)
{
    PGresult *row = SESSION_QUERY(request->session,
                                  lock ? "SELECT settings, settings_version, id FROM installation"
                                         " WHERE $1 = '' FOR UPDATE"
                                       : "SELECT settings, settings_version, id FROM installation"
                                         " WHERE $1 = ''",
                                  "");
    if (row == NULL || PQntuples(row) != 1) {
        PQclear(row);
        problem_set(&request->problem, PROBLEM_INTERNAL, "The settings cannot be read.");
        return NULL;
    }
    return row;
}

static bool get(request_t *request, reply_t *reply)
{
    PGresult *row = read_row(request, false);

    if (row == NULL)
        return false;
    reply->body = json_loads(PQgetvalue(row, 0, 0), 0, NULL);
    snprintf(reply->etag, sizeof(reply->etag), "%s", PQgetvalue(row, 0, 1));
    PQclear(row);
    return reply->body != NULL;
}

static bool write_row(request_t *request, const char *id, const json_t *before, const json_t *after,
                      reply_t *reply)
{
    char *text = json_dumps(after, JSON_COMPACT);
    PGresult *done = text == NULL ? NULL
                                  : SESSION_QUERY(request->session,
                                                  "UPDATE installation SET settings = $1::jsonb,"
                                                  " settings_version = settings_version + 1"
                                                  " RETURNING settings_version",
                                                  text);
    bool ok = done != NULL && PQntuples(done) == 1;

    if (ok)
        snprintf(reply->etag, sizeof(reply->etag), "%s", PQgetvalue(done, 0, 0));
    PQclear(done);
    free(text);
    if (!ok)
        return problem_set(&request->problem, PROBLEM_INTERNAL, "The settings were not written.");
    return event_write(request, NULL, "updated", "settings", id, "settings", before, after);
}

static bool patch(request_t *request, reply_t *reply)
{
    PGresult *row = read_row(request, true);

    if (row == NULL)
        return false;

    json_t *before = json_loads(PQgetvalue(row, 0, 0), 0, NULL);
    json_t *after = json_deep_copy(before);
    bool ok = before != NULL && resource_matches(request, PQgetvalue(row, 0, 1));
    if (ok) {
        merge_patch(after, request->body);
        ok = write_row(request, PQgetvalue(row, 0, 2), before, after, reply);
    }
    PQclear(row);
    json_decref(before);

    if (ok)
        reply->body = after;
    else
        json_decref(after);
    return ok;
}

/* ---- what anybody may know ---- */

enum { LEASE_WAIT_MS = 500 };

static json_t *text_or_null(const char *text)
{
    return text == NULL || text[0] == '\0' ? json_null() : json_string(text);
}

/* Set-up is open while it was not done, and there is a token to do it with. */
static const char *setup_state(const char *done)
{
    const char *token = relayd.settings.setup_token;

    return done[0] == 't' || token == NULL || token[0] == '\0' ? "done" : "open";
}

bool installation_show(json_t *shown)
{
    session_t *session = database_lease(relayd.database, LEASE_WAIT_MS);
    json_t *url = text_or_null(relayd.settings.public_url), *setup = json_null();
    PGresult *row = NULL;

    if (session != NULL && session_begin(session, NULL))
        row = session_query(session,
                            "SELECT setup_done_at IS NOT NULL, settings ->> 'public_url'"
                            " FROM installation",
                            0, NULL);
    if (row != NULL && PQntuples(row) == 1) {
        setup = json_string(setup_state(PQgetvalue(row, 0, 0)));
        if (!PQgetisnull(row, 0, 1)) {
            json_decref(url);
            url = json_string(PQgetvalue(row, 0, 1));
        }
    }
    PQclear(row);
    database_return(session);
    return json_object_set_new(shown, "public_url", url) == 0 &&
           json_object_set_new(shown, "setup", setup) == 0;
}

static const route_t routes[] = {
    {"GET", "/api/v1/settings", "getSettings", "settings:read", 0, get, NULL, SCHEMA_CREATE,
     &schema, 200, NULL, "Read settings of the installation", NULL},
    {"PATCH", "/api/v1/settings", "updateSettings", "settings:admin", ROUTE_CHANGES | ROUTE_MATCH,
     patch, &schema, SCHEMA_PATCH, &schema, 200, NULL, "Change settings of the installation", NULL},
};
const route_table_t installation_routes = {routes, sizeof(routes) / sizeof(routes[0])};
