/*
 * The audit trail: one row for every change, in the change's own transaction,
 * and the routes that show it. Rows have what answers showed, never a secret.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "identifier.h"
#include "resource_row.h"

/* Columns of events_before(). */
enum { ID, AT, ACTOR, REQUEST_ID, VERB, KIND, OBJECT_ID, OBJECT_NAME, WORKSPACE, BEFORE, AFTER };

static char *text_of(const json_t *json)
{
    return json == NULL ? NULL : json_dumps(json, JSON_COMPACT | JSON_SORT_KEYS);
}

bool event_write(request_t *request, const char *workspace_id, const char *verb, const char *kind,
                 const char *id, const char *name, const json_t *before, const json_t *after)
{
    char event_id[37];
    char *was = text_of(before), *is = text_of(after);
    PGresult *done = NULL;

    if (identifier_new(event_id))
        done = SESSION_QUERY(
            request->session,
            "INSERT INTO event (id, workspace_id, actor, request_id, verb, kind, object_id,"
            " object_name, before, after) VALUES ($1::uuid, $2::uuid, $3, $4, $5, $6, $7, $8,"
            " $9::jsonb, $10::jsonb)",
            event_id, workspace_id, request->identity.id[0] ? request->identity.id : "relayd",
            request->id, verb, kind, id, name, was, is);

    free(was);
    free(is);

    bool ok = done != NULL;
    PQclear(done);
    return ok ||
           problem_set(&request->problem, PROBLEM_INTERNAL, "The event could not be recorded.");
}

/* ---- GET …/events ---- */

static const char *const event_queries[] = {"kind", "object", "actor", "verb", NULL};

static const field_t event_fields[] = {
    {"id", FIELD_TEXT, FIELD_READ_ONLY, .description = "Identifier; grows with time."},
    {"at", FIELD_TIME, FIELD_READ_ONLY, .description = "When it happened."},
    {"actor", FIELD_TEXT, FIELD_READ_ONLY, .description = "The API token, or relayd."},
    {"request_id", FIELD_TEXT, FIELD_READ_ONLY | FIELD_NULLABLE,
     .description = "By which request; null: by none, relayd saw it."},
    {"verb", FIELD_TEXT, FIELD_READ_ONLY, .description = "created, updated, deleted, revoked, …"},
    {"kind", FIELD_TEXT, FIELD_READ_ONLY, .description = "What was changed."},
    {"object", FIELD_TEXT, FIELD_READ_ONLY, .description = "Its identifier."},
    {"name", FIELD_TEXT, FIELD_READ_ONLY, .description = "Its name at that time."},
    {"workspace", FIELD_TEXT, FIELD_READ_ONLY | FIELD_NULLABLE,
     .description = "Where; null: a change of the installation."},
    {"before", FIELD_ANY, FIELD_READ_ONLY | FIELD_NULLABLE, .description = "As it was shown."},
    {"after", FIELD_ANY, FIELD_READ_ONLY | FIELD_NULLABLE, .description = "As it is shown."},
};
static const schema_t event_schema = SCHEMA("Event", event_fields);

/* Members as its kind's schema has them. */
static json_t *state_column(const PGresult *row, int index, int column)
{
    const resource_t *resource = resource_of_kind(PQgetvalue(row, index, KIND));

    if (PQgetisnull(row, index, column))
        return json_null();

    json_t *value = json_loads(PQgetvalue(row, index, column), JSON_DECODE_ANY, NULL);
    if (value == NULL)
        return json_null();
    return resource == NULL ? value : row_in_order(resource->schema, value);
}

static json_t *event_show(const PGresult *row, int index)
{
    char id[IDENTIFIER_MAX];
    bool of_workspace = !PQgetisnull(row, index, WORKSPACE);
    const char *request = PQgetvalue(row, index, REQUEST_ID);

    identifier_show("ev", PQgetvalue(row, index, ID), id);
    return json_pack("{s:s, s:s, s:s, s:s?, s:s, s:s, s:s, s:s, s:s?, s:o, s:o}", "id", id, "at",
                     PQgetvalue(row, index, AT), "actor", PQgetvalue(row, index, ACTOR),
                     "request_id", request[0] != '\0' ? request : NULL, "verb",
                     PQgetvalue(row, index, VERB), "kind", PQgetvalue(row, index, KIND), "object",
                     PQgetvalue(row, index, OBJECT_ID), "name", PQgetvalue(row, index, OBJECT_NAME),
                     "workspace", of_workspace ? PQgetvalue(row, index, WORKSPACE) : NULL, "before",
                     state_column(row, index, BEFORE), "after", state_column(row, index, AFTER));
}

/* Of the request's workspace; without one, of all and of the installation. */
static PGresult *events_before(request_t *request, const char *cursor, size_t count)
{
    char limit[24];

    snprintf(limit, sizeof(limit), "%zu", count);
    return SESSION_QUERY(
        request->session,
        "SELECT e.id, " RESOURCE_TIME(
            "e.at") ", actor, request_id, verb, kind, object_id,"
                    " object_name, w.name, before, after"
                    " FROM event e LEFT JOIN workspace w ON w.id = e.workspace_id"
                    " WHERE ($1::text IS NULL OR e.workspace_id = $1::uuid) AND e.id < $2::uuid"
                    " AND ($4::text IS NULL OR kind = $4)"
                    " AND ($5::text IS NULL OR $5 IN (object_id, object_name))"
                    " AND ($6::text IS NULL OR actor = $6) AND ($7::text IS NULL OR verb = $7)"
                    " ORDER BY e.id DESC LIMIT $3::bigint",
        request->workspace_id[0] != '\0' ? request->workspace_id : NULL, cursor, limit,
        request_query(request, "kind"), request_query(request, "object"),
        request_query(request, "actor"), request_query(request, "verb"));
}

static bool event_list(request_t *request, reply_t *reply)
{
    char cursor[37] = "ffffffff-ffff-ffff-ffff-ffffffffffff", next[IDENTIFIER_MAX] = "";
    const char *given = request_query(request, "cursor");
    size_t count = resource_limit(request);

    if (count == 0)
        return false;
    if (given != NULL && !identifier_parse("ev", given, cursor))
        return problem_set(&request->problem, PROBLEM_INVALID_REQUEST,
                           "The query parameter cursor is none that a list gave.");

    PGresult *rows = events_before(request, cursor, count + 1);
    if (rows == NULL)
        return problem_set(&request->problem, PROBLEM_INTERNAL, "Events could not be read.");

    json_t *items = json_array();
    size_t found = (size_t)PQntuples(rows);

    for (size_t i = 0; i < found && i < count; i++)
        json_array_append_new(items, event_show(rows, (int)i));
    if (found > count)
        identifier_show("ev", PQgetvalue(rows, (int)count - 1, ID), next);
    PQclear(rows);

    reply->body = json_pack("{s:o, s:s?}", "items", items, "next_cursor", next[0] ? next : NULL);
    return reply->body != NULL ||
           problem_set(&request->problem, PROBLEM_INTERNAL, "Out of memory.");
}

static const route_t routes[] = {
    {"GET", "/api/v1/workspaces/{workspace}/events", "listEvents", "events:read", ROUTE_LIST,
     event_list, NULL, SCHEMA_CREATE, &event_schema, 200, event_queries,
     "List changes, the newest first", NULL},
    {"GET", "/api/v1/events", "listAllEvents", "events:read", ROUTE_LIST, event_list, NULL,
     SCHEMA_CREATE, &event_schema, 200, event_queries,
     "List changes of the installation and of all workspaces, the newest first", NULL},
};
const route_table_t event_routes = {routes, sizeof(routes) / sizeof(routes[0])};
