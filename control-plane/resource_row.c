/*
 * Rows of resources: found, read, shown. Called by the engine's other files;
 * see resource_row.h.
 */

#include "resource_row.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "identifier.h"
#include "reference_row.h"

bool row_database_problem(request_t *request)
{
    return problem_set(&request->problem, PROBLEM_INTERNAL, "The database refused a statement.");
}

bool row_memory_problem(request_t *request)
{
    return problem_set(&request->problem, PROBLEM_INTERNAL, "Out of memory.");
}

const char *row_column(const PGresult *row, int index, const char *name)
{
    int number = PQfnumber(row, name);

    return number < 0 || PQgetisnull(row, index, number) ? NULL : PQgetvalue(row, index, number);
}

const resource_t *resource_of_kind(const char *kind)
{
    for (size_t i = 0; i < resources_count; i++)
        if (strcmp(resources[i]->kind, kind) == 0)
            return resources[i];
    return NULL;
}

const char *row_workspace(const request_t *request, const resource_t *resource)
{
    return resource->of_installation ? NULL : request->workspace_id;
}

/* ---- names ---- */

/* A path's `.` and `..` never arrive, and what looks like an id is looked up as one. */
bool row_name_ok(request_t *request, const resource_t *resource, const char *name)
{
    char id[37];

    if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return problem_fault(&request->problem, "/name", "is a path's, not a name");
    if (identifier_parse(resource->prefix, name, id))
        return problem_fault(&request->problem, "/name", "has the form of an id");
    return true;
}

/* ---- pointers ---- */

void pointer_below(char *below, size_t size, const char *pointer, const char *name)
{
    size_t len = (size_t)snprintf(below, size, "%s/", pointer);

    for (; *name != '\0' && len + 3 < size; name++) {
        if (*name == '~' || *name == '/')
            below[len++] = '~';
        below[len++] = *name == '~' ? '0' : *name == '/' ? '1' : *name;
    }
    below[len < size ? len : size - 1] = '\0';
}

/* ---- order ---- */

/* The database sorts members by length: people read them as the schema has them. */
static json_t *value_in_order(const field_t *field, json_t *value)
{
    if (field->type == FIELD_OBJECT && json_is_object(value))
        return row_in_order(field->schema, value);
    if (field->type == FIELD_LIST && field->item != NULL && field->item->type == FIELD_OBJECT)
        for (size_t i = 0; i < json_array_size(value); i++)
            json_array_set_new(value, i,
                               value_in_order(field->item, json_incref(json_array_get(value, i))));
    return value;
}

json_t *row_in_order(const schema_t *schema, json_t *object)
{
    json_t *ordered = json_is_object(object) ? json_object() : NULL;

    if (ordered == NULL)
        return object;
    for (size_t i = 0; i < schema->count; i++) {
        const field_t *field = &schema->fields[i];
        json_t *value = json_object_get(object, field->name);
        if (value != NULL)
            json_object_set_new(ordered, field->name, value_in_order(field, json_incref(value)));
    }
    json_object_update_missing(ordered, object);
    json_decref(object);
    return ordered;
}

/* ---- answers ---- */

json_t *row_spec(request_t *request, const PGresult *row, int index)
{
    const char *text = row_column(row, index, "spec");
    json_t *spec = text == NULL ? NULL : json_loads(text, 0, NULL);

    if (spec == NULL)
        problem_set(&request->problem, PROBLEM_INTERNAL, "A stored document cannot be read.");
    return spec;
}

json_t *resource_show(request_t *request, const resource_t *resource, const PGresult *row,
                      int index)
{
    char id[IDENTIFIER_MAX];
    json_t *spec = row_spec(request, row, index);

    if (spec == NULL || !references_show(request, resource->schema, spec)) {
        json_decref(spec);
        return NULL;
    }

    identifier_show(resource->prefix, row_column(row, index, "id"), id);
    json_t *shown =
        json_pack("{s:s, s:s, s:I, s:s, s:s}", "id", id, "name", row_column(row, index, "name"),
                  "version", (json_int_t)strtoll(row_column(row, index, "version"), NULL, 10),
                  "created_at", row_column(row, index, "shown_created_at"), "updated_at",
                  row_column(row, index, "shown_updated_at"));

    bool ok = shown != NULL && json_object_update_missing(shown, spec) == 0 &&
              (resource->show == NULL || resource->show(request, row, index, shown));
    json_decref(spec);

    if (ok)
        return row_in_order(resource->schema, shown);
    if (request->problem.code == PROBLEM_NONE)
        row_memory_problem(request);
    json_decref(shown);
    return NULL;
}

json_t *resource_time(const PGresult *row, int index, const char *column)
{
    const char *text = row_column(row, index, column);
    size_t len = text == NULL ? 0 : strcspn(text, "+");
    char shown[40];

    if (text == NULL)
        return json_null();
    if (len < 11 || len + 2 > sizeof(shown))
        return json_string(text);
    memcpy(shown, text, len);
    shown[10] = 'T';
    memcpy(shown + len, "Z", 2);
    return json_string(shown);
}

/* ---- rows ---- */

/* By id if it has the form of one, else by name. One row, or NULL with a problem. */
PGresult *row_find(request_t *request, const resource_t *resource, const char *id_or_name,
                   bool lock)
{
    char sql[RESOURCE_SQL_MAX], id[37];
    bool by_id = identifier_parse(resource->prefix, id_or_name, id);
    const char *workspace_id = row_workspace(request, resource);

    snprintf(sql, sizeof(sql), "SELECT " RESOURCE_SHOWN_COLUMNS " FROM %s WHERE %s = $1%s%s%s",
             resource->table, by_id ? "id" : "name", by_id ? "::uuid" : "",
             workspace_id != NULL ? " AND workspace_id = $2::uuid" : "", lock ? " FOR UPDATE" : "");

    const char *const values[] = {by_id ? id : id_or_name, workspace_id};
    PGresult *row = session_query(request->session, sql, workspace_id != NULL ? 2 : 1, values);

    if (row == NULL)
        row_database_problem(request);
    return row;
}

bool row_not_found(request_t *request, const resource_t *resource, const char *id_or_name)
{
    return problem_set(&request->problem, PROBLEM_NOT_FOUND, "There is no %s \"%.128s\".",
                       resource->kind, id_or_name);
}

bool resource_resolve(request_t *request, const char *kind, const char *id_or_name,
                      const char *pointer, char id[37])
{
    const resource_t *resource = resource_of_kind(kind);
    char sql[RESOURCE_SQL_MAX], uuid[37];
    bool by_id = identifier_parse(resource->prefix, id_or_name, uuid);
    const char *workspace_id = row_workspace(request, resource);

    /* The lock keeps it from being deleted before this transaction refers to it. */
    snprintf(sql, sizeof(sql), "SELECT id FROM %s WHERE %s = $1%s%s FOR KEY SHARE", resource->table,
             by_id ? "id" : "name", by_id ? "::uuid" : "",
             workspace_id != NULL ? " AND workspace_id = $2::uuid" : "");

    const char *const values[] = {by_id ? uuid : id_or_name, workspace_id};
    PGresult *row = session_query(request->session, sql, workspace_id != NULL ? 2 : 1, values);
    if (row == NULL)
        return row_database_problem(request);

    bool found = PQntuples(row) == 1;
    if (found)
        snprintf(id, 37, "%s", PQgetvalue(row, 0, 0));
    PQclear(row);

    return found || problem_fault(&request->problem, pointer, "there is no %s \"%.128s\"",
                                  resource->kind, id_or_name);
}
