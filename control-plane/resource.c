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

enum { SQL_MAX = 2048, LIMIT_DEFAULT = 50, LIMIT_MAX = 500 };

static bool database_problem(request_t *request)
{
    return problem_set(&request->problem, PROBLEM_INTERNAL, "The database refused a statement.");
}

static bool memory_problem(request_t *request)
{
    return problem_set(&request->problem, PROBLEM_INTERNAL, "Out of memory.");
}

static const char *column(const PGresult *row, int index, const char *name)
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

static const resource_t *resource_of(const request_t *request)
{
    return request_route(request)->data;
}

static const char *workspace_of(const request_t *request, const resource_t *resource)
{
    return resource->of_installation ? NULL : request->workspace_id;
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

static json_t *spec_of_row(request_t *request, const PGresult *row, int index)
{
    const char *text = column(row, index, "spec");
    json_t *spec = text == NULL ? NULL : json_loads(text, 0, NULL);

    if (spec == NULL)
        problem_set(&request->problem, PROBLEM_INTERNAL, "A stored document cannot be read.");
    return spec;
}

json_t *resource_show(request_t *request, const resource_t *resource, const PGresult *row,
                      int index)
{
    char id[IDENTIFIER_MAX];
    json_t *spec = spec_of_row(request, row, index);

    if (spec == NULL || !references_show(request, resource->schema, spec)) {
        json_decref(spec);
        return NULL;
    }

    identifier_show(resource->prefix, column(row, index, "id"), id);
    json_t *shown =
        json_pack("{s:s, s:s, s:I, s:s, s:s}", "id", id, "name", column(row, index, "name"),
                  "version", (json_int_t)strtoll(column(row, index, "version"), NULL, 10),
                  "created_at", column(row, index, "shown_created_at"), "updated_at",
                  column(row, index, "shown_updated_at"));

    bool ok = shown != NULL && json_object_update_missing(shown, spec) == 0 &&
              (resource->show == NULL || resource->show(request, row, index, shown));
    json_decref(spec);

    if (ok)
        return shown;
    if (request->problem.code == PROBLEM_NONE)
        memory_problem(request);
    json_decref(shown);
    return NULL;
}

json_t *resource_time(const char *text)
{
    char shown[40];
    size_t len = strcspn(text, "+");

    if (len < 11 || len + 2 > sizeof(shown))
        return json_string(text);
    memcpy(shown, text, len);
    shown[10] = 'T';
    memcpy(shown + len, "Z", 2);
    return json_string(shown);
}

/* ---- rows ---- */

#define SHOWN_COLUMNS                                                                              \
    "*, " RESOURCE_TIME("created_at") " AS shown_created_at, " RESOURCE_TIME(                      \
        "updated_at") " AS shown_updated_at"

/* By id if it has the form of one, else by name. One row, or NULL with a problem. */
static PGresult *row_find(request_t *request, const resource_t *resource, const char *id_or_name,
                          bool lock)
{
    char sql[SQL_MAX], id[37];
    bool by_id = identifier_parse(resource->prefix, id_or_name, id);
    const char *workspace_id = workspace_of(request, resource);

    snprintf(sql, sizeof(sql), "SELECT " SHOWN_COLUMNS " FROM %s WHERE %s = $1%s%s%s",
             resource->table, by_id ? "id" : "name", by_id ? "::uuid" : "",
             workspace_id != NULL ? " AND workspace_id = $2::uuid" : "", lock ? " FOR UPDATE" : "");

    const char *const values[] = {by_id ? id : id_or_name, workspace_id};
    PGresult *row = session_query(request->session, sql, workspace_id != NULL ? 2 : 1, values);

    if (row == NULL)
        database_problem(request);
    return row;
}

static bool not_found(request_t *request, const resource_t *resource, const char *id_or_name)
{
    return problem_set(&request->problem, PROBLEM_NOT_FOUND, "There is no %s \"%.128s\".",
                       resource->kind, id_or_name);
}

bool resource_resolve(request_t *request, const char *kind, const char *id_or_name,
                      const char *pointer, char id[37])
{
    const resource_t *resource = resource_of_kind(kind);
    char sql[SQL_MAX], uuid[37];
    bool by_id = identifier_parse(resource->prefix, id_or_name, uuid);
    const char *workspace_id = workspace_of(request, resource);

    /* The lock keeps it from being deleted before this transaction refers to it. */
    snprintf(sql, sizeof(sql), "SELECT id FROM %s WHERE %s = $1%s%s FOR KEY SHARE", resource->table,
             by_id ? "id" : "name", by_id ? "::uuid" : "",
             workspace_id != NULL ? " AND workspace_id = $2::uuid" : "");

    const char *const values[] = {by_id ? uuid : id_or_name, workspace_id};
    PGresult *row = session_query(request->session, sql, workspace_id != NULL ? 2 : 1, values);
    if (row == NULL)
        return database_problem(request);

    bool found = PQntuples(row) == 1;
    if (found)
        snprintf(id, 37, "%s", PQgetvalue(row, 0, 0));
    PQclear(row);

    return found || problem_fault(&request->problem, pointer, "there is no %s \"%.128s\"",
                                  resource->kind, id_or_name);
}

/* ---- one change ---- */

void change_column(change_t *change, const char *name, const char *value)
{
    size_t i;

    for (i = 0; i < change->ncolumns && strcmp(change->columns[i].name, name) != 0; i++)
        ;
    if (i == RESOURCE_COLUMNS_MAX) {
        memory_problem(change->request);
        return;
    }
    if (i == change->ncolumns)
        change->ncolumns++;
    else
        free(change->columns[i].value);

    change->columns[i].name = name;
    change->columns[i].value = value == NULL ? NULL : strdup(value);
    if (value != NULL && change->columns[i].value == NULL)
        memory_problem(change->request);
}

long long change_revision(change_t *change)
{
    if (change->revision == 0)
        change->revision = publish_stamp(change->request->session);
    if (change->revision == 0)
        database_problem(change->request);
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

    snprintf(change->id, sizeof(change->id), "%s", column(row, 0, "id"));
    snprintf(change->name, sizeof(change->name), "%s", column(row, 0, "name"));

    change->before = spec_of_row(request, row, 0);
    change->shown_before = resource_show(request, change->resource, row, 0);
    change->after = json_deep_copy(change->before);

    return change->before != NULL && change->shown_before != NULL &&
           (change->after != NULL || memory_problem(request));
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

    bool ok = PQntuples(row) == 1
                  ? resource_matches(request, column(row, 0, "version")) && change_load(change, row)
                  : not_found(request, resource, request->target);
    PQclear(row);
    return ok;
}

/* ---- writing ---- */

typedef struct {
    char sql[SQL_MAX];
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
    return database_problem(request);
}

static bool row_write(change_t *change)
{
    statement_t statement = {.len = 0};
    char *spec = json_dumps(change->after, JSON_COMPACT);

    if (spec == NULL)
        return memory_problem(change->request);

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
        snprintf(reply->etag, sizeof(reply->etag), "%s", column(row, 0, "version"));
    PQclear(row);

    if (shown == NULL ||
        !event_write(request, change->workspace_id[0] ? change->workspace_id : NULL, change->verb,
                     resource->kind, shown_id, change->name, change->shown_before, shown)) {
        json_decref(shown);
        return database_problem(request);
    }

    if (change->shown_once != NULL)
        json_object_update(shown, change->shown_once);
    reply->body = shown;
    reply->status = request_route(request)->status;
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
    char sql[SQL_MAX], limit[24];
    const char *workspace_id = workspace_of(request, resource);

    snprintf(limit, sizeof(limit), "%zu", count);
    snprintf(sql, sizeof(sql),
             "SELECT " SHOWN_COLUMNS " FROM %s WHERE name COLLATE \"C\" > $1%s"
             " ORDER BY name COLLATE \"C\" LIMIT $2::bigint",
             resource->table, workspace_id != NULL ? " AND workspace_id = $3::uuid" : "");

    const char *const values[] = {name, limit, workspace_id};
    return session_query(request->session, sql, workspace_id != NULL ? 3 : 2, values);
}

bool resource_list(request_t *request, reply_t *reply)
{
    const resource_t *resource = resource_of(request);
    char name[CURSOR_MAX];
    size_t limit = resource_limit(request);

    if (limit == 0 || !cursor_read(request, name))
        return false;

    PGresult *rows = rows_after(request, resource, name, limit + 1);
    if (rows == NULL)
        return database_problem(request);

    size_t found = (size_t)PQntuples(rows);
    json_t *items = json_array(), *next = NULL;

    for (size_t i = 0; i < found && i < limit; i++)
        json_array_append_new(items, resource_show(request, resource, rows, (int)i));
    if (found > limit)
        next = cursor_of(column(rows, (int)limit - 1, "name"));
    PQclear(rows);

    reply->body =
        json_pack("{s:o, s:o}", "items", items, "next_cursor", next != NULL ? next : json_null());
    return request->problem.code == PROBLEM_NONE &&
           (reply->body != NULL || memory_problem(request));
}

bool resource_get(request_t *request, reply_t *reply)
{
    const resource_t *resource = resource_of(request);
    PGresult *row = row_find(request, resource, request->target, false);

    if (row == NULL)
        return false;

    if (PQntuples(row) == 1) {
        reply->body = resource_show(request, resource, row, 0);
        snprintf(reply->etag, sizeof(reply->etag), "%s", column(row, 0, "version"));
    } else {
        not_found(request, resource, request->target);
    }
    PQclear(row);
    return reply->body != NULL;
}

/* The path without the target at its end, which PUT has. */
static int collection_len(const request_t *request)
{
    const char *end = request->target == NULL ? NULL : strrchr(request->path, '/');

    return (int)(end == NULL ? strlen(request->path) : (size_t)(end - request->path));
}

bool resource_make(request_t *request, const resource_t *resource, const json_t *document,
                   reply_t *reply)
{
    change_t change;
    char shown_id[IDENTIFIER_MAX];

    change_begin(&change, request, resource);
    change.given = document;
    snprintf(change.name, sizeof(change.name), "%s",
             json_string_value(json_object_get(document, "name")));
    change.after = spec_of_document(resource->schema, document);

    bool ok = change.after != NULL && identifier_new(change.id) &&
              references_store(request, resource->schema, change.after) &&
              resource_close(&change, reply);
    if (ok) {
        identifier_show(resource->prefix, change.id, shown_id);
        reply->status = 201;
        snprintf(reply->location, sizeof(reply->location), "%.*s/%s", collection_len(request),
                 request->path, shown_id);
    } else if (request->problem.code == PROBLEM_NONE) {
        memory_problem(request);
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
    char sql[SQL_MAX];

    snprintf(sql, sizeof(sql), "DELETE FROM %s WHERE id = $1::uuid", change->resource->table);
    PGresult *done = SESSION_QUERY(change->request->session, sql, change->id);
    bool ok = done != NULL;
    PQclear(done);
    return ok || database_problem(change->request);
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

json_t *resource_export(request_t *request, const resource_t *resource, const char *name)
{
    PGresult *row = row_find(request, resource, name, false);
    json_t *spec = row != NULL && PQntuples(row) == 1 ? spec_of_row(request, row, 0) : NULL;

    PQclear(row);
    if (spec != NULL && !references_show(request, resource->schema, spec)) {
        json_decref(spec);
        spec = NULL;
    }
    return spec;
}

json_t *resource_names(request_t *request, const resource_t *resource)
{
    char sql[SQL_MAX];

    snprintf(sql, sizeof(sql),
             "SELECT name FROM %s WHERE workspace_id = $1::uuid ORDER BY name COLLATE \"C\"",
             resource->table);
    PGresult *rows = SESSION_QUERY(request->session, sql, request->workspace_id);
    json_t *names = rows == NULL ? NULL : json_array();

    for (int i = 0; names != NULL && i < PQntuples(rows); i++)
        json_array_append_new(names, json_string(PQgetvalue(rows, i, 0)));
    PQclear(rows);
    if (names == NULL)
        database_problem(request);
    return names;
}
