/*
 * Rows of resources: found, read, shown. Between the engine's own files
 * (resource*.c), reference_row.c and overlay.c.
 */

#ifndef RELAY_RESOURCE_ROW_H
#define RELAY_RESOURCE_ROW_H

#include "resource.h"

enum { RESOURCE_SQL_MAX = 2048 };

/* A row's columns, and its times as answers show them. */
#define RESOURCE_SHOWN_COLUMNS                                                                     \
    "*, " RESOURCE_TIME("created_at") " AS shown_created_at, " RESOURCE_TIME(                      \
        "updated_at") " AS shown_updated_at"

/* Both set the problem and return false. */
bool row_database_problem(request_t *request);
bool row_memory_problem(request_t *request);

/* The workspace that rows of this kind are looked for in; NULL: it is of the installation. */
const char *row_workspace(const request_t *request, const resource_t *resource);
/* NULL: SQL NULL, or no such column. */
const char *row_column(const PGresult *row, int index, const char *name);
/* By id if it has the form of one, else by name: one row or none. NULL: a problem. */
PGresult *row_find(request_t *request, const resource_t *resource, const char *id_or_name,
                   bool lock);
bool row_not_found(request_t *request, const resource_t *resource, const char *id_or_name);
json_t *row_spec(request_t *request, const PGresult *row, int index);

/* Whether a thing of this kind may be called so; a fault at /name if not. */
bool row_name_ok(request_t *request, const resource_t *resource, const char *name);
/* pointer, a slash, and name as RFC 6901 has it. */
void pointer_below(char *below, size_t size, const char *pointer, const char *name);
/* The same members in the order of the schema, nested ones too; takes the reference. */
json_t *row_in_order(const schema_t *schema, json_t *object);

#endif
