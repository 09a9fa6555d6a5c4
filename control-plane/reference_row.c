/*
 * References between resources; called by resource.c alone. A document is
 * walked beside its schema, and each FIELD_REFERENCE in it visited.
 */

#include "reference_row.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "identifier.h"

enum { POINTER_MAX = 256, USERS_SHOWN_MAX = 5 };

typedef struct {
    request_t *request;
    /* What replaces the text at pointer; NULL: leave it. Sets the request's problem on a fault. */
    json_t *(*visit)(void *owner, const field_t *field, const char *text, const char *pointer);
    void *owner;
    bool failed;
} walk_t;

static json_t *walk_value(walk_t *walk, const field_t *field, json_t *value, const char *pointer);

static void walk_schema(walk_t *walk, const schema_t *schema, json_t *object, const char *pointer)
{
    char below[POINTER_MAX];

    for (size_t i = 0; i < schema->count; i++) {
        const field_t *field = &schema->fields[i];
        json_t *value = json_object_get(object, field->name);
        if (value == NULL)
            continue;

        snprintf(below, sizeof(below), "%s/%s", pointer, field->name);
        json_t *other = walk_value(walk, field, value, below);
        if (other != NULL && json_object_set_new(object, field->name, other) != 0)
            walk->failed = true;
    }
}

static void walk_list(walk_t *walk, const field_t *item, json_t *list, const char *pointer)
{
    char below[POINTER_MAX];

    for (size_t i = 0; i < json_array_size(list); i++) {
        snprintf(below, sizeof(below), "%s/%zu", pointer, i);
        json_t *other = walk_value(walk, item, json_array_get(list, i), below);
        if (other != NULL && json_array_set_new(list, i, other) != 0)
            walk->failed = true;
    }
}

static void walk_map(walk_t *walk, const field_t *item, json_t *map, const char *pointer)
{
    char below[POINTER_MAX];
    const char *name;
    json_t *value;

    json_object_foreach(map, name, value)
    {
        snprintf(below, sizeof(below), "%s/%s", pointer, name);
        json_t *other = walk_value(walk, item, value, below);
        if (other != NULL && json_object_set_new(map, name, other) != 0)
            walk->failed = true;
    }
}

static json_t *walk_value(walk_t *walk, const field_t *field, json_t *value, const char *pointer)
{
    if (json_is_null(value))
        return NULL;

    switch (field->type) {
    case FIELD_REFERENCE:
        return walk->visit(walk->owner, field, json_string_value(value), pointer);
    case FIELD_OBJECT:
        walk_schema(walk, field->schema, value, pointer);
        return NULL;
    case FIELD_LIST:
        walk_list(walk, field->item, value, pointer);
        return NULL;
    case FIELD_MAP:
        walk_map(walk, field->item, value, pointer);
        return NULL;
    default:
        return NULL;
    }
}

static bool walk_run(walk_t *walk, const schema_t *schema, json_t *spec)
{
    walk_schema(walk, schema, spec, "");

    if (walk->failed)
        problem_set(&walk->request->problem, PROBLEM_INTERNAL, "Out of memory.");
    return !walk->failed && walk->request->problem.code == PROBLEM_NONE;
}

/* ---- names → what is stored ---- */

static json_t *store_visit(void *owner, const field_t *field, const char *text, const char *pointer)
{
    request_t *request = owner;
    const resource_t *kind = resource_of_kind(field->refers_to);
    char stored[257], id[37];

    if (kind->refer == NULL) {
        if (!resource_resolve(request, field->refers_to, text, pointer, stored))
            return NULL;
    } else if (!kind->refer(request, text, stored, id)) {
        problem_fault(&request->problem, pointer, "there is no %s \"%s\"", kind->kind, text);
        return NULL;
    }

    return json_string(stored);
}

bool references_store(request_t *request, const schema_t *schema, json_t *spec)
{
    walk_t walk = {.request = request, .visit = store_visit, .owner = request};

    return walk_run(&walk, schema, spec);
}

/* ---- what is stored → names ---- */

static json_t *show_visit(void *owner, const field_t *field, const char *text, const char *pointer)
{
    request_t *request = owner;
    const resource_t *kind = resource_of_kind(field->refers_to);
    char sql[128];
    (void)pointer;

    if (kind->refer != NULL)
        return NULL;

    snprintf(sql, sizeof(sql), "SELECT name FROM %s WHERE id = $1::uuid", kind->table);
    PGresult *row = SESSION_QUERY(request->session, sql, text);
    json_t *name = row != NULL && PQntuples(row) == 1 ? json_string(PQgetvalue(row, 0, 0)) : NULL;
    PQclear(row);
    return name;
}

bool references_show(request_t *request, const schema_t *schema, json_t *spec)
{
    walk_t walk = {.request = request, .visit = show_visit, .owner = request};

    return walk_run(&walk, schema, spec);
}

/* ---- rows ---- */

static bool record_one(change_t *change, const char *kind, const char *id)
{
    PGresult *done =
        SESSION_QUERY(change->request->session,
                      "INSERT INTO reference (workspace_id, from_kind, from_id, to_kind, to_id)"
                      " VALUES ($1::uuid, $2, $3::uuid, $4, $5::uuid) ON CONFLICT DO NOTHING",
                      change->workspace_id, change->resource->kind, change->id, kind, id);

    bool ok = done != NULL;
    PQclear(done);
    return ok || problem_set(&change->request->problem, PROBLEM_INTERNAL,
                             "The reference could not be recorded.");
}

static json_t *record_visit(void *owner, const field_t *field, const char *text,
                            const char *pointer)
{
    change_t *change = owner;
    const resource_t *kind = resource_of_kind(field->refers_to);
    char stored[257], id[37] = "";
    (void)pointer;

    if (kind->refer == NULL)
        record_one(change, field->refers_to, text);
    else if (kind->refer(change->request, text, stored, id) && id[0] != '\0')
        record_one(change, field->refers_to, id);

    return NULL;
}

bool references_record(change_t *change, const json_t *spec)
{
    PGresult *done = SESSION_QUERY(change->request->session,
                                   "DELETE FROM reference WHERE from_id = $1::uuid", change->id);
    if (done == NULL)
        return problem_set(&change->request->problem, PROBLEM_INTERNAL,
                           "References could not be recorded.");
    PQclear(done);

    if (spec == NULL)
        return true;

    walk_t walk = {.request = change->request, .visit = record_visit, .owner = change};
    return walk_run(&walk, change->resource->schema, (json_t *)spec);
}

static void user_name(session_t *session, const char *kind, const char *id, char *text, size_t size)
{
    const resource_t *resource = resource_of_kind(kind);
    char sql[128];

    snprintf(text, size, "%s %s", kind, id);
    if (resource == NULL)
        return;

    snprintf(sql, sizeof(sql), "SELECT name FROM %s WHERE id = $1::uuid", resource->table);
    PGresult *row = SESSION_QUERY(session, sql, id);
    if (row != NULL && PQntuples(row) == 1)
        snprintf(text, size, "%s \"%s\"", kind, PQgetvalue(row, 0, 0));
    PQclear(row);
}

bool references_none_left(change_t *change)
{
    request_t *request = change->request;
    char users[400] = "";
    size_t len = 0;

    PGresult *rows = SESSION_QUERY(request->session,
                                   "SELECT from_kind, from_id FROM reference"
                                   " WHERE to_id = $1::uuid ORDER BY from_id LIMIT 6",
                                   change->id);
    if (rows == NULL)
        return problem_set(&request->problem, PROBLEM_INTERNAL, "References could not be read.");

    int count = PQntuples(rows);
    for (int i = 0; i < count && i < USERS_SHOWN_MAX && len < sizeof(users); i++) {
        char user[160];
        user_name(request->session, PQgetvalue(rows, i, 0), PQgetvalue(rows, i, 1), user,
                  sizeof(user));
        int n = snprintf(users + len, sizeof(users) - len, "%s%s", i > 0 ? ", " : "", user);
        len += n > 0 ? (size_t)n : 0;
    }
    PQclear(rows);

    return count == 0 ||
           problem_set(&request->problem, PROBLEM_IN_USE, "\"%s\" is in use by %s%s.", change->name,
                       users, count > USERS_SHOWN_MAX ? " and others" : "");
}
