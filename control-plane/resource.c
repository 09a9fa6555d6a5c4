/*
 * The engine behind every noun of the admin API: from a checked document to a
 * row and back. Names of tables and columns are literals of this program;
 * everything else travels as a parameter.
 */

#include "resource.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "identifier.h"
#include "publish.h"
#include "reference_row.h"
#include "resource_row.h"

static const resource_t *resource_of(const request_t *request)
{
    return request_route(request)->data;
}

/* ---- members ---- */

/* What is stored is what was given, less what the engine or the kind keeps elsewhere. */
static bool stored_member(const field_t *field)
{
    return (field->flags & (FIELD_READ_ONLY | FIELD_WRITE_ONLY)) == 0 &&
           strcmp(field->name, "name") != 0;
}

static json_t *spec_of_document(const schema_t *schema, const json_t *document)
{
    json_t *spec = json_object();

    for (size_t i = 0; i < schema->count; i++) {
        const field_t *field = &schema->fields[i];
        json_t *value = json_object_get(document, field->name);

        if (!stored_member(field))
            continue;
        if (value != NULL && !json_is_null(value))
            json_object_set_new(spec, field->name, json_deep_copy(value));
        else if (value == NULL && field->fallback != NULL)
            json_object_set_new(spec, field->name,
                                json_loads(field->fallback, JSON_DECODE_ANY, NULL));
    }

    return spec;
}

/* ---- one change ---- */

void change_column(change_t *change, const char *name, const char *value)
{
    size_t i;

    for (i = 0; i < change->ncolumns && strcmp(change->columns[i].name, name) != 0; i++)
        ;
    if (i == RESOURCE_COLUMNS_MAX) {
        row_memory_problem(change->request);
        return;
    }
    if (i == change->ncolumns)
        change->ncolumns++;
    else
        free(change->columns[i].value);

    change->columns[i].name = name;
    change->columns[i].value = value == NULL ? NULL : strdup(value);
    if (value != NULL && change->columns[i].value == NULL)
        row_memory_problem(change->request);
}

long long change_revision(change_t *change)
{
    if (change->revision == 0)
        change->revision = publish_stamp(change->request->session);
    if (change->revision == 0)
        row_database_problem(change->request);
    return change->revision;
}

void change_free(change_t *change)
{
    json_decref(change->shown_before);
    json_decref(change->before);
    json_decref(change->after);
    json_decref(change->shown_once);
    for (size_t i = 0; i < change->ncolumns; i++)
        free(change->columns[i].value);
}

void change_begin(change_t *change, request_t *request, const resource_t *resource)
{
    *change = (change_t){.request = request, .resource = resource, .given = request->body};
    snprintf(change->workspace_id, sizeof(change->workspace_id), "%s",
             resource->of_installation ? "" : request->workspace_id);
}

/* Takes the row of target into change, locked. */
static bool change_load(change_t *change, const PGresult *row)
{
    request_t *request = change->request;

    snprintf(change->id, sizeof(change->id), "%s", row_column(row, 0, "id"));
    snprintf(change->name, sizeof(change->name), "%s", row_column(row, 0, "name"));

    change->before = row_spec(request, row, 0);
    change->shown_before = resource_show(request, change->resource, row, 0);
    change->after = json_deep_copy(change->before);

    return change->before != NULL && change->shown_before != NULL &&
           (change->after != NULL || row_memory_problem(request));
}

/* If-Match: `*`, or a list of quoted versions. */
bool resource_matches(request_t *request, const char *version)
{
    const char *p = request->if_match;
    char wanted[32];

    if (p == NULL)
        return problem_set(&request->problem, PROBLEM_PRECONDITION_REQUIRED,
                           "Send If-Match with the ETag that you have read, or *.");
    if (strcmp(p, "*") == 0)
        return true;

    snprintf(wanted, sizeof(wanted), "\"%s\"", version);
    for (p = strstr(p, wanted); p != NULL; p = strstr(p + 1, wanted))
        if (p == request->if_match || p[-1] == ' ' || p[-1] == ',')
            return true;

    return problem_set(&request->problem, PROBLEM_STALE,
                       "It has changed since: it is at version %s.", version);
}

bool resource_open(request_t *request, const resource_t *resource, change_t *change)
{
    change_begin(change, request, resource);

    PGresult *row = row_find(request, resource, request->target, true);
    if (row == NULL)
        return false;

    bool ok = PQntuples(row) == 1 ? resource_matches(request, row_column(row, 0, "version")) &&
                                        change_load(change, row)
                                  : row_not_found(request, resource, request->target);
    PQclear(row);
    return ok;
}

/* ---- writing ---- */

typedef struct {
    char sql[RESOURCE_SQL_MAX];
    size_t len;
    const char *values[8 + RESOURCE_COLUMNS_MAX];
    size_t count;
} statement_t;

__attribute__((format(printf, 2, 3))) static void add(statement_t *statement, const char *format,
                                                      ...)
{
    va_list arguments;
    size_t space = sizeof(statement->sql) - statement->len;

    va_start(arguments, format);
    int n = vsnprintf(statement->sql + statement->len, space, format, arguments);
    va_end(arguments);
    statement->len += n < 0 ? 0 : (size_t)n < space ? (size_t)n : space - 1;
}

static void add_insert(statement_t *statement, const change_t *change, const char *spec)
{
    bool scoped = change->workspace_id[0] != '\0';

    add(statement, "INSERT INTO %s (id, name, spec%s", change->resource->table,
        scoped ? ", workspace_id" : "");
    for (size_t i = 0; i < change->ncolumns; i++)
        add(statement, ", %s", change->columns[i].name);

    add(statement, ") VALUES ($1, $2, $3");
    statement->values[0] = change->id;
    statement->values[1] = change->name;
    statement->values[2] = spec;
    statement->count = 3;
    if (scoped) {
        add(statement, ", $4");
        statement->values[statement->count++] = change->workspace_id;
    }
    for (size_t i = 0; i < change->ncolumns; i++) {
        statement->values[statement->count++] = change->columns[i].value;
        add(statement, ", $%zu", statement->count);
    }
    add(statement, ")");
}

static void add_update(statement_t *statement, const change_t *change, const char *spec)
{
    add(statement, "UPDATE %s SET name = $2, spec = $3, version = version + 1, updated_at = now()",
        change->resource->table);
    statement->values[0] = change->id;
    statement->values[1] = change->name;
    statement->values[2] = spec;
    statement->count = 3;

    for (size_t i = 0; i < change->ncolumns; i++) {
        statement->values[statement->count++] = change->columns[i].value;
        add(statement, ", %s = $%zu", change->columns[i].name, statement->count);
    }
    add(statement, " WHERE id = $1");
}

static bool write_failed(change_t *change)
{
    request_t *request = change->request;

    if (session_failed_unique(request->session))
        return problem_set(&request->problem, PROBLEM_CONFLICT, "There is a %s \"%s\" already.",
                           change->resource->kind, change->name);
    return row_database_problem(request);
}

static bool row_write(change_t *change)
{
    statement_t statement = {.len = 0};
    char *spec = json_dumps(change->after, JSON_COMPACT);

    if (spec == NULL)
        return row_memory_problem(change->request);

    if (change->before == NULL)
        add_insert(&statement, change, spec);
    else
        add_update(&statement, change, spec);

    PGresult *done =
        session_query(change->request->session, statement.sql, statement.count, statement.values);
    free(spec);

    bool ok = done != NULL;
    PQclear(done);
    return ok || write_failed(change);
}

/* Reads the row back, writes the event, and answers. */
static bool change_answer(change_t *change, reply_t *reply)
{
    request_t *request = change->request;
    const resource_t *resource = change->resource;
    char shown_id[IDENTIFIER_MAX];

    identifier_show(resource->prefix, change->id, shown_id);
    PGresult *row = row_find(request, resource, shown_id, false);
    if (row == NULL)
        return false;

    json_t *shown = PQntuples(row) == 1 ? resource_show(request, resource, row, 0) : NULL;
    if (shown != NULL)
        snprintf(reply->etag, sizeof(reply->etag), "%s", row_column(row, 0, "version"));
    PQclear(row);

    if (shown == NULL ||
        !event_write(request, change->workspace_id[0] ? change->workspace_id : NULL, change->verb,
                     resource->kind, shown_id, change->name, change->shown_before, shown)) {
        json_decref(shown);
        return row_database_problem(request);
    }

    if (change->shown_once != NULL)
        json_object_update(shown, change->shown_once);
    reply->body = shown;
    reply->shows_secret = change->shown_once != NULL;
    reply->changed = resource->published;
    reply->revision = change->revision;
    return true;
}

bool resource_close(change_t *change, reply_t *reply)
{
    const resource_t *resource = change->resource;
    request_t *request = change->request;

    if (change->verb == NULL)
        change->verb = change->before == NULL ? "created" : "updated";
    if (!row_name_ok(request, resource, change->name))
        return false;

    /* A revision taken first orders this change before it is seen by anyone. */
    if (resource->published && change_revision(change) == 0)
        return false;
    if (resource->check != NULL && !resource->check(change))
        return false;
    if (request->problem.code != PROBLEM_NONE || !row_write(change))
        return false;
    if (change->workspace_id[0] != '\0' && !references_record(change, change->after))
        return false;
    if (resource->written != NULL && !resource->written(change))
        return false;

    return change_answer(change, reply);
}

/* ---- handlers ---- */

/* Where a new one is: beside the others of its kind. PUT's path ends with a target. */
static void locate(const change_t *change, reply_t *reply)
{
    const request_t *request = change->request;
    const char *end = request->target == NULL ? NULL : strrchr(request->path, '/');
    size_t len = end == NULL ? strlen(request->path) : (size_t)(end - request->path);
    char id[IDENTIFIER_MAX];

    identifier_show(change->resource->prefix, change->id, id);
    if (change->resource->of_installation)
        snprintf(reply->location, sizeof(reply->location), "/api/v1/%s/%s",
                 change->resource->plural, id);
    else
        snprintf(reply->location, sizeof(reply->location), "%.*s/%s", (int)len, request->path, id);
}

bool resource_make(request_t *request, const resource_t *resource, const json_t *document,
                   reply_t *reply)
{
    change_t change;

    change_begin(&change, request, resource);
    change.given = document;
    snprintf(change.name, sizeof(change.name), "%s",
             json_string_value(json_object_get(document, "name")));
    change.after = spec_of_document(resource->schema, document);

    bool ok = change.after != NULL && identifier_new(change.id) &&
              references_store(request, resource->schema, change.after) &&
              resource_close(&change, reply);
    if (ok) {
        reply->status = 201;
        locate(&change, reply);
    } else if (request->problem.code == PROBLEM_NONE) {
        row_memory_problem(request);
    }
    change_free(&change);
    return ok;
}

bool resource_create(request_t *request, reply_t *reply)
{
    return resource_make(request, resource_of(request), request->body, reply);
}

/* RFC 7396. */
void merge_patch(json_t *target, const json_t *patch)
{
    const char *name;
    json_t *value;

    json_object_foreach((json_t *)patch, name, value)
    {
        if (json_is_null(value)) {
            json_object_del(target, name);
        } else if (json_is_object(value)) {
            json_t *below = json_object_get(target, name);
            if (!json_is_object(below)) {
                json_object_set_new(target, name, json_object());
                below = json_object_get(target, name);
            }
            merge_patch(below, value);
        } else {
            json_object_set_new(target, name, json_deep_copy(value));
        }
    }
}

/* document: the whole resource as it shall be, with names for references. */
static bool change_apply(change_t *change, const json_t *document, reply_t *reply)
{
    request_t *request = change->request;
    const resource_t *resource = change->resource;
    const char *name = json_string_value(json_object_get(document, "name"));

    if (resource->fixed_name && name != NULL && strcmp(name, change->name) != 0)
        return problem_fault(&request->problem, "/name", "a %s keeps its name", resource->kind);
    if (name != NULL)
        snprintf(change->name, sizeof(change->name), "%s", name);

    json_decref(change->after);
    change->after = spec_of_document(resource->schema, document);
    return change->after != NULL && references_store(request, resource->schema, change->after) &&
           resource_close(change, reply);
}

bool resource_patch_of(request_t *request, const resource_t *resource, reply_t *reply)
{
    change_t change;
    bool ok = false;

    if (resource_open(request, resource, &change)) {
        json_t *document = json_deep_copy(change.before);
        if (document != NULL && references_show(request, resource->schema, document)) {
            json_object_set_new(document, "name", json_string(change.name));
            merge_patch(document, request->body);
            ok = schema_check(resource->schema, SCHEMA_CREATE, document, &request->problem) &&
                 change_apply(&change, document, reply);
        }
        json_decref(document);
    }
    change_free(&change);
    return ok;
}

bool resource_patch(request_t *request, reply_t *reply)
{
    return resource_patch_of(request, resource_of(request), reply);
}

static bool row_exists(request_t *request, const resource_t *resource, bool *exists)
{
    PGresult *row = row_find(request, resource, request->target, false);

    *exists = row != NULL && PQntuples(row) == 1;
    PQclear(row);
    return row != NULL;
}

bool resource_replace(request_t *request, reply_t *reply)
{
    const resource_t *resource = resource_of(request);
    const char *name = json_string_value(json_object_get(request->body, "name"));
    bool exists, ok;
    change_t change;

    if (!row_exists(request, resource, &exists))
        return false;

    if (!exists) {
        if (request->if_match != NULL)
            return problem_set(&request->problem, PROBLEM_STALE, "There is no %s \"%.128s\".",
                               resource->kind, request->target);
        if (strcmp(name, request->target) != 0)
            return problem_fault(&request->problem, "/name",
                                 "differs from the name in the path, \"%.128s\"", request->target);
        return resource_make(request, resource, request->body, reply);
    }

    ok = resource_open(request, resource, &change) && change_apply(&change, request->body, reply);
    change_free(&change);
    return ok;
}

bool resource_apply(request_t *request, const resource_t *resource, const json_t *document,
                    reply_t *reply)
{
    const char *target = request->target, *if_match = request->if_match;
    bool exists, ok;
    change_t change;

    request->target = json_string_value(json_object_get(document, "name"));
    request->if_match = "*";

    ok = row_exists(request, resource, &exists);
    if (ok && !exists) {
        ok = resource_make(request, resource, document, reply);
    } else if (ok) {
        ok = resource_open(request, resource, &change);
        change.given = document;
        ok = ok && change_apply(&change, document, reply);
        change_free(&change);
    }

    request->target = target;
    request->if_match = if_match;
    return ok;
}

static bool row_delete(change_t *change)
{
    char sql[RESOURCE_SQL_MAX];

    snprintf(sql, sizeof(sql), "DELETE FROM %s WHERE id = $1::uuid", change->resource->table);
    PGresult *done = SESSION_QUERY(change->request->session, sql, change->id);
    bool ok = done != NULL;
    PQclear(done);
    return ok || row_database_problem(change->request);
}

bool resource_delete_of(request_t *request, const resource_t *resource, reply_t *reply)
{
    char shown_id[IDENTIFIER_MAX];
    change_t change;

    bool ok = resource_open(request, resource, &change);
    json_decref(change.after);
    change.after = NULL;
    change.verb = "deleted";

    ok = ok && (!resource->published || change_revision(&change) != 0) &&
         references_none_left(&change) && (resource->check == NULL || resource->check(&change)) &&
         (change.workspace_id[0] == '\0' || references_record(&change, NULL)) &&
         row_delete(&change);
    if (ok) {
        identifier_show(resource->prefix, change.id, shown_id);
        ok = event_write(request, change.workspace_id[0] ? change.workspace_id : NULL, "deleted",
                         resource->kind, shown_id, change.name, change.shown_before, NULL);
        reply->status = 204;
        reply->changed = resource->published;
        reply->revision = change.revision;
    }
    change_free(&change);
    return ok;
}

bool resource_delete(request_t *request, reply_t *reply)
{
    return resource_delete_of(request, resource_of(request), reply);
}

/* ---- the whole configuration (configuration.c) ---- */

json_t *resource_normal(const resource_t *resource, const json_t *document)
{
    return spec_of_document(resource->schema, document);
}
