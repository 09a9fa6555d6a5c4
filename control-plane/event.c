/*
 * The audit trail: one row for every change, in the change's own transaction,
 * and the routes that show it. Rows have what answers showed, never a secret.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "identifier.h"
#include "resource.h"

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
    {"request_id", FIELD_TEXT, FIELD_READ_ONLY, .description = "x-request-id of the request."},
    {"verb", FIELD_TEXT, FIELD_READ_ONLY, .description = "created, updated, deleted, revoked, …"},
    {"kind", FIELD_TEXT, FIELD_READ_ONLY, .description = "What was changed."},
    {"object", FIELD_TEXT, FIELD_READ_ONLY, .description = "Its identifier."},
    {"name", FIELD_TEXT, FIELD_READ_ONLY, .description = "Its name at that time."},
    {"before", FIELD_ANY, FIELD_READ_ONLY | FIELD_NULLABLE, .description = "As it was shown."},
    {"after", FIELD_ANY, FIELD_READ_ONLY | FIELD_NULLABLE, .description = "As it is shown."},
};
static const schema_t event_schema = SCHEMA("Event", event_fields);

static json_t *json_column(const PGresult *row, int index, int column)
{
    if (PQgetisnull(row, index, column))
        return json_null();

    json_t *value = json_loads(PQgetvalue(row, index, column), JSON_DECODE_ANY, NULL);
    return value != NULL ? value : json_null();
}

static json_t *event_show(const PGresult *row, int index)
{
    char id[IDENTIFIER_MAX];

    identifier_show("ev", PQgetvalue(row, index, 0), id);
    return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:o, s:o}", "id", id, "at",
                     PQgetvalue(row, index, 1), "actor", PQgetvalue(row, index, 2), "request_id",
                     PQgetvalue(row, index, 3), "verb", PQgetvalue(row, index, 4), "kind",
                     PQgetvalue(row, index, 5), "object", PQgetvalue(row, index, 6), "name",
                     PQgetvalue(row, index, 7), "before", json_column(row, index, 8), "after",
                     json_column(row, index, 9));
}

static bool event_list(request_t *request, reply_t *reply)
{
    char cursor[37] = "ffffffff-ffff-ffff-ffff-ffffffffffff", limit[16];
    const char *given = request_query(request, "cursor");
    size_t count = resource_limit(request);

    if (count == 0)
        return false;
    if (given != NULL && !identifier_parse("ev", given, cursor))
        return problem_set(&request->problem, PROBLEM_INVALID_REQUEST,
                           "The query parameter cursor is none that a list gave.");

    snprintf(limit, sizeof(limit), "%zu", count + 1);
    PGresult *rows = SESSION_QUERY(
        request->session,
        "SELECT id, " RESOURCE_TIME(
            "at") ", actor, request_id, verb, kind, object_id,"
                  " object_name, before, after FROM event"
                  " WHERE workspace_id = $1::uuid AND id < $2::uuid"
                  " AND ($4::text IS NULL OR kind = $4) AND ($5::text IS NULL OR $5 IN (object_id, "
                  "object_name))"
                  " AND ($6::text IS NULL OR actor = $6) AND ($7::text IS NULL OR verb = $7)"
                  " ORDER BY id DESC LIMIT $3::bigint",
        request->workspace_id, cursor, limit, request_query(request, "kind"),
        request_query(request, "object"), request_query(request, "actor"),
        request_query(request, "verb"));
    if (rows == NULL)
        return problem_set(&request->problem, PROBLEM_INTERNAL, "Events could not be read.");

    json_t *items = json_array();
    size_t found = (size_t)PQntuples(rows);
    char next[IDENTIFIER_MAX] = "";

    for (size_t i = 0; i < found && i < count; i++)
        json_array_append_new(items, event_show(rows, (int)i));
    if (found > count)
        identifier_show("ev", PQgetvalue(rows, (int)count - 1, 0), next);
    PQclear(rows);

    reply->body = json_pack("{s:o, s:s?}", "items", items, "next_cursor", next[0] ? next : NULL);
    return reply->body != NULL ||
           problem_set(&request->problem, PROBLEM_INTERNAL, "Out of memory.");
}

static const route_t routes[] = {
    {"GET", "/api/v1/workspaces/{workspace}/events", "listEvents", "events:read", ROUTE_LIST,
     event_list, NULL, SCHEMA_CREATE, &event_schema, 200, event_queries,
     "List changes, the newest first", NULL},
};
const route_table_t event_routes = {routes, sizeof(routes) / sizeof(routes[0])};
