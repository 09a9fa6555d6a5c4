/*
 * Reading resources: lists with keyset cursors, single ones, and all of a kind
 * for the configuration's document. See resource.h.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "reference_row.h"
#include "resource_row.h"

enum { LIMIT_DEFAULT = 50, LIMIT_MAX = 500 };

size_t resource_limit(request_t *request)
{
    const char *text = request_query(request, "limit");
    char *end;

    if (text == NULL)
        return LIMIT_DEFAULT;

    unsigned long limit = strtoul(text, &end, 10);
    if (*text < '0' || *text > '9' || *end != '\0' || limit < 1 || limit > LIMIT_MAX) {
        problem_set(&request->problem, PROBLEM_INVALID_REQUEST,
                    "The query parameter limit is a number from 1 to %d.", LIMIT_MAX);
        return 0;
    }
    return limit;
}

/* Lists are in the order of names; the cursor is the last name that was shown, in hexadecimal. */
bool cursor_read(request_t *request, char name[CURSOR_MAX])
{
    const char *text = request_query(request, "cursor");
    size_t len = text == NULL ? 0 : strlen(text);

    name[0] = '\0';
    if (len % 2 != 0 || len / 2 >= CURSOR_MAX)
        goto invalid;

    for (size_t i = 0; i < len / 2; i++) {
        unsigned byte;
        char pair[3] = {text[2 * i], text[2 * i + 1], '\0'};
        if (strspn(pair, "0123456789abcdef") != 2 || sscanf(pair, "%2x", &byte) != 1 || byte == 0)
            goto invalid;
        name[i] = (char)byte;
    }
    name[len / 2] = '\0';
    return true;

invalid:
    return problem_set(&request->problem, PROBLEM_INVALID_REQUEST,
                       "The query parameter cursor is none that a list gave.");
}

json_t *cursor_of(const char *name)
{
    char text[2 * CURSOR_MAX] = "";
    size_t len = strlen(name);

    for (size_t i = 0; i < len && 2 * i + 2 < sizeof(text); i++)
        snprintf(text + 2 * i, 3, "%02x", (unsigned char)name[i]);
    return json_string(text);
}

static PGresult *rows_after(request_t *request, const resource_t *resource, const char *name,
                            size_t count)
{
    char sql[RESOURCE_SQL_MAX], limit[24];
    const char *workspace_id = row_workspace(request, resource);

    snprintf(limit, sizeof(limit), "%zu", count);
    snprintf(sql, sizeof(sql),
             "SELECT " RESOURCE_SHOWN_COLUMNS " FROM %s WHERE name COLLATE \"C\" > $1%s"
             " ORDER BY name COLLATE \"C\" LIMIT $2::bigint",
             resource->table, workspace_id != NULL ? " AND workspace_id = $3::uuid" : "");

    const char *const values[] = {name, limit, workspace_id};
    return session_query(request->session, sql, workspace_id != NULL ? 3 : 2, values);
}

bool resource_list(request_t *request, reply_t *reply)
{
    const resource_t *resource = request_route(request)->data;
    char name[CURSOR_MAX];
    size_t limit = resource_limit(request);

    if (limit == 0 || !cursor_read(request, name))
        return false;

    PGresult *rows = rows_after(request, resource, name, limit + 1);
    if (rows == NULL)
        return row_database_problem(request);

    size_t found = (size_t)PQntuples(rows);
    json_t *items = json_array(), *next = NULL;

    for (size_t i = 0; i < found && i < limit; i++)
        json_array_append_new(items, resource_show(request, resource, rows, (int)i));
    if (found > limit)
        next = cursor_of(row_column(rows, (int)limit - 1, "name"));
    PQclear(rows);

    reply->body =
        json_pack("{s:o, s:o}", "items", items, "next_cursor", next != NULL ? next : json_null());
    return request->problem.code == PROBLEM_NONE &&
           (reply->body != NULL || row_memory_problem(request));
}

bool resource_get(request_t *request, reply_t *reply)
{
    const resource_t *resource = request_route(request)->data;
    PGresult *row = row_find(request, resource, request->target, false);

    if (row == NULL)
        return false;

    if (PQntuples(row) == 1) {
        reply->body = resource_show(request, resource, row, 0);
        snprintf(reply->etag, sizeof(reply->etag), "%s", row_column(row, 0, "version"));
    } else {
        row_not_found(request, resource, request->target);
    }
    PQclear(row);
    return reply->body != NULL;
}

/* ---- the whole configuration (configuration.c) ---- */

json_t *resource_export(request_t *request, const resource_t *resource, const char *name)
{
    PGresult *row = row_find(request, resource, name, false);
    json_t *spec = row != NULL && PQntuples(row) == 1 ? row_spec(request, row, 0) : NULL;

    PQclear(row);
    if (spec != NULL && !references_show(request, resource->schema, spec)) {
        json_decref(spec);
        spec = NULL;
    }
    return row_in_order(resource->schema, spec);
}

json_t *resource_names(request_t *request, const resource_t *resource)
{
    char sql[RESOURCE_SQL_MAX];

    snprintf(sql, sizeof(sql),
             "SELECT name FROM %s WHERE workspace_id = $1::uuid ORDER BY name COLLATE \"C\"",
             resource->table);
    PGresult *rows = SESSION_QUERY(request->session, sql, request->workspace_id);
    json_t *names = rows == NULL ? NULL : json_array();

    for (int i = 0; names != NULL && i < PQntuples(rows); i++)
        json_array_append_new(names, json_string(PQgetvalue(rows, i, 0)));
    PQclear(rows);
    if (names == NULL)
        row_database_problem(request);
    return names;
}
