/* Hosts and models as catalog, patch and own entries; called by hosts.c and models.c. */

#include "overlay.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config_check.h"
#include "identifier.h"
#include "reference_row.h"
#include "resource_row.h"

enum { SQL_MAX = 1024, POINTER_MAX = 256 };
#define NUMBER_MAX 9007199254740992 /* 2^53: exact in every JSON reader */

const char *const overlay_sources[] = {"catalog", "patched", "own", NULL};

static const overlay_t *overlay_of(const request_t *request)
{
    return request_route(request)->data;
}

static json_t *parse(const PGresult *row, int index, int column)
{
    return PQgetisnull(row, index, column) ? NULL
                                           : json_loads(PQgetvalue(row, index, column), 0, NULL);
}

/* ---- what is in effect ---- */

static json_t *effective_of(const json_t *template, const json_t *spec)
{
    json_t *effective = json_deep_copy(template != NULL ? template : spec);

    if (template != NULL && spec != NULL)
        merge_patch(effective, spec);
    return effective;
}

/*
 * One row for each name that is in the catalog or the workspace: name, the
 * catalog's document, then the workspace's id, spec, template, version and times.
 * $1: workspace; `where` and its parameter $2 follow.
 */
static void select_sql(char sql[SQL_MAX], const overlay_t *overlay, const char *where)
{
    snprintf(sql, SQL_MAX,
             "SELECT coalesce(r.name, c.name), c.document, r.id, r.spec, r.template,"
             " coalesce(r.version, 0), " RESOURCE_TIME("r.created_at") ", " RESOURCE_TIME(
                 "r.updated_at") " FROM %s c FULL JOIN (SELECT * FROM %s WHERE workspace_id = "
                                 "$1::uuid) r"
                                 " ON r.name = c.name WHERE %s",
             overlay->catalog_table, overlay->resource->table, where);
}

enum { NAME, DOCUMENT, ID, SPEC, TEMPLATE, VERSION, CREATED, UPDATED };

static PGresult *find(request_t *request, const overlay_t *overlay, const char *id_or_name)
{
    char sql[SQL_MAX], id[37];
    bool by_id = identifier_parse(overlay->resource->prefix, id_or_name, id);

    select_sql(sql, overlay, by_id ? "r.id = $2::uuid" : "coalesce(r.name, c.name) = $2");
    PGresult *row =
        SESSION_QUERY(request->session, sql, request->workspace_id, by_id ? id : id_or_name);
    if (row == NULL)
        row_database_problem(request);
    return row;
}

json_t *overlay_effective(request_t *request, const overlay_t *overlay, const char *name)
{
    PGresult *row = find(request, overlay, name);
    json_t *effective = NULL;

    if (row != NULL && PQntuples(row) == 1) {
        json_t *template = parse(row, 0, DOCUMENT), *spec = parse(row, 0, SPEC);
        bool own = spec != NULL && PQgetisnull(row, 0, TEMPLATE);
        effective = effective_of(own ? NULL : template, spec);
        json_decref(template);
        json_decref(spec);
    }
    PQclear(row);
    return effective;
}

bool overlay_refer(request_t *request, const overlay_t *overlay, const char *id_or_name,
                   char stored[257], char id[37])
{
    PGresult *row = find(request, overlay, id_or_name);
    bool found = row != NULL && PQntuples(row) == 1;

    id[0] = '\0';
    if (found) {
        snprintf(stored, 257, "%s", PQgetvalue(row, 0, NAME));
        /* A patch may go: the catalog's entry stays. */
        if (!PQgetisnull(row, 0, ID) && PQgetisnull(row, 0, TEMPLATE))
            snprintf(id, 37, "%s", PQgetvalue(row, 0, ID));
    }
    PQclear(row);
    return found;
}

/* ---- answers ---- */

static bool add_effective(const schema_t *schema, json_t *shown, const json_t *template,
                          const json_t *spec, bool own)
{
    json_t *effective = effective_of(own ? NULL : template, spec);
    bool ok = effective != NULL && json_object_update_missing(shown, effective) == 0;

    json_object_set_new(shown, "source",
                        json_string(own            ? "own"
                                    : spec != NULL ? "patched"
                                                   : "catalog"));
    if (!own && spec != NULL) {
        json_object_set_new(shown, "template", row_in_order(schema, json_deep_copy(template)));
        json_object_set_new(shown, "patch", row_in_order(schema, json_deep_copy(spec)));
    }
    json_decref(effective);
    return ok;
}

static json_t *show_entry(const overlay_t *overlay, const PGresult *row, int index)
{
    json_t *template = parse(row, index, DOCUMENT), *spec = parse(row, index, SPEC);
    bool own = spec != NULL && PQgetisnull(row, index, TEMPLATE);
    json_t *shown = json_pack("{s:s, s:I}", "name", PQgetvalue(row, index, NAME), "version",
                              (json_int_t)strtoll(PQgetvalue(row, index, VERSION), NULL, 10));

    if (spec != NULL) {
        char id[IDENTIFIER_MAX];
        identifier_show(overlay->resource->prefix, PQgetvalue(row, index, ID), id);
        json_object_set_new(shown, "id", json_string(id));
        json_object_set_new(shown, "created_at", json_string(PQgetvalue(row, index, CREATED)));
        json_object_set_new(shown, "updated_at", json_string(PQgetvalue(row, index, UPDATED)));
    }
    add_effective(overlay->resource->schema, shown, template, spec, own);
    json_decref(template);
    json_decref(spec);
    return row_in_order(overlay->resource->schema, shown);
}

/* The engine has put the spec's members in already: of a patch, they are not the entry's. */
bool overlay_show(request_t *request, const overlay_t *overlay, const PGresult *row, int index,
                  json_t *shown)
{
    int number = PQfnumber(row, "template");
    json_t *spec = parse(row, index, PQfnumber(row, "spec")), *template = NULL;
    bool own = PQgetisnull(row, index, number);
    const char *name;
    json_t *value;

    if (!own) {
        char sql[SQL_MAX];
        snprintf(sql, sizeof(sql), "SELECT document FROM %s WHERE name = $1",
                 overlay->catalog_table);
        PGresult *entry = SESSION_QUERY(request->session, sql, PQgetvalue(row, index, number));
        if (entry != NULL && PQntuples(entry) == 1)
            template = parse(entry, 0, 0);
        PQclear(entry);
        json_object_foreach(spec, name, value) json_object_del(shown, name);
    }

    /* Gone from the catalog: what is left is the patch. */
    bool ok =
        add_effective(overlay->resource->schema, shown, template, spec, own || template == NULL);
    json_decref(template);
    json_decref(spec);
    return ok;
}

bool overlay_get(request_t *request, reply_t *reply)
{
    const overlay_t *overlay = overlay_of(request);
    PGresult *row = find(request, overlay, request->target);

    if (row == NULL)
        return false;

    if (PQntuples(row) == 1) {
        reply->body = show_entry(overlay, row, 0);
        snprintf(reply->etag, sizeof(reply->etag), "%s", PQgetvalue(row, 0, VERSION));
    } else {
        problem_set(&request->problem, PROBLEM_NOT_FOUND, "There is no %s \"%.128s\".",
                    overlay->resource->kind, request->target);
    }
    PQclear(row);
    return reply->body != NULL;
}

bool overlay_list(request_t *request, reply_t *reply)
{
    const overlay_t *overlay = overlay_of(request);
    char sql[SQL_MAX], after[CURSOR_MAX], limit_text[24];
    size_t limit = resource_limit(request);

    if (limit == 0 || !cursor_read(request, after))
        return false;

    snprintf(limit_text, sizeof(limit_text), "%zu", limit + 1);
    select_sql(sql, overlay,
               "coalesce(r.name, c.name) COLLATE \"C\" > $2"
               " ORDER BY coalesce(r.name, c.name) COLLATE \"C\" LIMIT $3::bigint");
    PGresult *rows = SESSION_QUERY(request->session, sql, request->workspace_id, after, limit_text);
    if (rows == NULL)
        return row_database_problem(request);

    json_t *items = json_array(), *next = json_null();
    size_t found = (size_t)PQntuples(rows);
    for (size_t i = 0; i < found && i < limit; i++)
        json_array_append_new(items, show_entry(overlay, rows, (int)i));
    if (found > limit)
        next = cursor_of(PQgetvalue(rows, (int)limit - 1, NAME));
    PQclear(rows);

    reply->body = json_pack("{s:o, s:o}", "items", items, "next_cursor", next);
    return reply->body != NULL;
}

/* ---- changes ---- */

static json_t *template_of(request_t *request, const overlay_t *overlay, const char *name)
{
    char sql[SQL_MAX];

    snprintf(sql, sizeof(sql), "SELECT document FROM %s WHERE name = $1", overlay->catalog_table);
    PGresult *row = SESSION_QUERY(request->session, sql, name);
    json_t *template = row != NULL && PQntuples(row) == 1 ? parse(row, 0, 0) : NULL;
    PQclear(row);
    return template;
}

bool overlay_is_patch(request_t *request, const resource_t *resource, const char *name)
{
    char sql[SQL_MAX];

    snprintf(sql, sizeof(sql),
             "SELECT 1 FROM %s WHERE workspace_id = $1::uuid AND name = $2"
             " AND template IS NOT NULL",
             resource->table);
    PGresult *row = SESSION_QUERY(request->session, sql, request->workspace_id, name);
    bool patch = row != NULL && PQntuples(row) == 1;
    PQclear(row);
    return patch;
}

/* Whether the row of this change is a patch: said by its column, or by this change. */
static bool is_patch(change_t *change)
{
    for (size_t i = 0; i < change->ncolumns; i++)
        if (strcmp(change->columns[i].name, "template") == 0)
            return change->columns[i].value != NULL;

    return overlay_is_patch(change->request, change->resource, change->name);
}

json_t *overlay_after(change_t *change, const overlay_t *overlay)
{
    json_t *template =
        is_patch(change) ? template_of(change->request, overlay, change->name) : NULL;
    json_t *effective = effective_of(template, change->after);

    json_decref(template);
    return effective;
}

/*
 * Members that are described elsewhere may have any number: the database would
 * write a large one with all its digits, as no JSON reader takes it.
 */
static bool numbers_ok(request_t *request, const json_t *value, const char *pointer)
{
    char below[POINTER_MAX];
    const char *name;
    json_t *item;
    size_t i;
    bool ok = true;

    if (json_is_integer(value) ? llabs(json_integer_value(value)) > NUMBER_MAX
                               : fabs(json_real_value(value)) > NUMBER_MAX)
        return problem_fault(&request->problem, pointer, "is a number beyond 2^53: use a text");
    json_array_foreach(value, i, item)
    {
        snprintf(below, sizeof(below), "%s/%zu", pointer, i);
        ok = numbers_ok(request, item, below) && ok;
    }
    json_object_foreach((json_t *)value, name, item)
    {
        pointer_below(below, sizeof(below), pointer, name);
        ok = numbers_ok(request, item, below) && ok;
    }
    return ok;
}

bool overlay_check(change_t *change, const overlay_t *overlay)
{
    request_t *request = change->request;

    if (change->after == NULL)
        return true;
    if (!numbers_ok(request, change->after, ""))
        return false;

    json_t *template = template_of(request, overlay, change->name);
    bool patch = template != NULL && is_patch(change);
    json_t *effective = effective_of(patch ? template : NULL, change->after);
    json_t *around = overlay->around == NULL ? NULL : overlay->around(request, effective);

    if (template == NULL && change->ncolumns > 0 && is_patch(change))
        problem_fault(&request->problem, "", "the catalog has no %s \"%s\" to patch",
                      overlay->resource->kind, change->name);
    if (change->before == NULL && strcmp(change->name, overlay->built_in) == 0)
        problem_set(&request->problem, PROBLEM_CONFLICT, "The %s \"%s\" is built in.",
                    overlay->resource->kind, change->name);
    bool ok = effective != NULL && request->problem.code == PROBLEM_NONE &&
              config_check_entry(overlay->section, change->name, effective, around, patch,
                                 &request->problem);
    if (ok && template != NULL && !patch && change->before == NULL)
        ok = problem_set(&request->problem, PROBLEM_CONFLICT,
                         "The catalog has a %s \"%s\": PATCH it to change it.",
                         overlay->resource->kind, change->name);
    json_decref(around);
    json_decref(effective);
    json_decref(template);
    return ok;
}

bool overlay_create(request_t *request, reply_t *reply)
{
    return resource_make(request, overlay_of(request)->resource, request->body, reply);
}

/* One patch that does what `first` and then `second` do: nulls are kept. */
static void compose(json_t *first, const json_t *second)
{
    const char *name;
    json_t *value;

    json_object_foreach((json_t *)second, name, value)
    {
        json_t *below = json_object_get(first, name);
        if (json_is_object(below) && json_is_object(value))
            compose(below, value);
        else
            json_object_set_new(first, name, json_deep_copy(value));
    }
}

static bool patch_first_time(request_t *request, const overlay_t *overlay, reply_t *reply)
{
    change_t change;
    bool ok = resource_matches(request, "0");

    change_begin(&change, request, overlay->resource);
    snprintf(change.name, sizeof(change.name), "%s", request->target);
    change.after = json_deep_copy(request->body);
    change.verb = "patched";
    change_column(&change, "template", request->target);

    ok = ok && change.after != NULL && identifier_new(change.id) &&
         references_store(request, overlay->resource->schema, change.after) &&
         resource_close(&change, reply);
    change_free(&change);
    return ok;
}

static bool patch_again(request_t *request, const overlay_t *overlay, reply_t *reply)
{
    change_t change;
    bool ok = resource_open(request, overlay->resource, &change);

    if (ok) {
        change.verb = "patched";
        compose(change.after, request->body);
        ok = references_store(request, overlay->resource->schema, change.after) &&
             resource_close(&change, reply);
    }
    change_free(&change);
    return ok;
}

bool overlay_set_patch(request_t *request, const resource_t *resource, const char *name,
                       const json_t *patch, reply_t *reply)
{
    const char *target = request->target, *if_match = request->if_match;
    json_t *before = resource_export(request, resource, name);
    change_t change;
    bool ok;

    request->target = name;
    request->if_match = "*";
    if (before != NULL) {
        ok = resource_open(request, resource, &change);
    } else {
        change_begin(&change, request, resource);
        snprintf(change.name, sizeof(change.name), "%s", name);
        ok = identifier_new(change.id);
    }

    change.verb = "patched";
    change_column(&change, "template", name);
    json_decref(change.after);
    change.after = json_deep_copy(patch);
    ok = ok && references_store(request, resource->schema, change.after) &&
         resource_close(&change, reply);

    change_free(&change);
    json_decref(before);
    request->target = target;
    request->if_match = if_match;
    return ok;
}

bool overlay_patch(request_t *request, reply_t *reply)
{
    const overlay_t *overlay = overlay_of(request);
    PGresult *row = find(request, overlay, request->target);
    bool found, mine, patched;

    if (row == NULL)
        return false;
    found = PQntuples(row) == 1;
    mine = found && !PQgetisnull(row, 0, ID);
    patched = found && !PQgetisnull(row, 0, TEMPLATE);
    PQclear(row);

    if (!found)
        return problem_set(&request->problem, PROBLEM_NOT_FOUND, "There is no %s \"%.128s\".",
                           overlay->resource->kind, request->target);
    if (!mine)
        return patch_first_time(request, overlay, reply);
    if (patched)
        return patch_again(request, overlay, reply);
    return resource_patch_of(request, overlay->resource, reply);
}

/* An own entry goes; of a patched one, the patch. */
bool overlay_delete(request_t *request, reply_t *reply)
{
    const overlay_t *overlay = overlay_of(request);
    PGresult *row = find(request, overlay, request->target);
    bool of_catalog = row != NULL && PQntuples(row) == 1 && PQgetisnull(row, 0, ID);

    PQclear(row);
    if (of_catalog)
        return problem_set(&request->problem, PROBLEM_CONFLICT,
                           "\"%.128s\" is the catalog's: it cannot be deleted. A policy can deny"
                           " it.",
                           request->target);
    return resource_delete_of(request, overlay->resource, reply);
}
