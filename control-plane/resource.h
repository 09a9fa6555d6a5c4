/*
 * The nouns of the admin API: named things in a workspace with an id, a
 * version and members described by a schema. One engine for all of them:
 * listing with keyset cursors, reading, creating, merge-patching, replacing,
 * deleting; ETag, references, audit. What is special about a noun is in its
 * hooks, in a file of its own.
 *
 * Table of a kind (migrations/): id uuid, workspace_id uuid, name text, spec
 * jsonb, version bigint, created_at, updated_at, and columns of its own;
 * unique (workspace_id, name). A reference in spec is stored as the id and
 * shown as the name; `reference` has a row for each, which keeps what is
 * referred to from being deleted. Hosts and models are referred to, and stored,
 * by name, for most of them are the catalog's and have no row.
 */

#ifndef RELAY_RESOURCE_H
#define RELAY_RESOURCE_H

#include "http.h"

typedef struct resource_s resource_t;

enum { RESOURCE_COLUMNS_MAX = 16 };

/* One change as hooks see it; everything runs in the request's transaction. */
typedef struct {
    request_t *request;
    const resource_t *resource;
    char id[37];
    char name[257];
    char workspace_id[37]; /* "" for a thing of the installation */
    json_t *shown_before;  /* as answers showed it */
    json_t *before;        /* spec; NULL at creation */
    json_t *after;         /* spec, references as ids; NULL at deletion. Hooks may change it */
    const json_t *given;   /* the request's body, with write-only members */
    json_t *shown_once;    /* members that only this answer has (a minted key); hooks set it */
    const char *verb;      /* of the event: "created", "updated", "deleted", or the hook's own */
    long long revision;    /* of the configuration after this change; see change_revision() */

    /* Columns of the kind's own to write with the row: change_column(). */
    struct {
        const char *name;
        char *value; /* owned; NULL: SQL NULL */
    } columns[RESOURCE_COLUMNS_MAX];
    size_t ncolumns;
} change_t;

struct resource_s {
    const char *kind;   /* "provider_key": in events and references */
    const char *plural; /* "provider-keys": in paths and scopes */
    const char *title;  /* "ProviderKey" */
    const char *prefix; /* "pk": ids are pk_ + 32 hexadecimal digits of the UUID */
    const char *table;
    const schema_t *schema; /* of the whole resource: RESOURCE_BASE_FIELDS first */
    bool of_installation;   /* not of a workspace */
    bool published;         /* a change of it changes what workers serve */
    bool fixed_name;        /* given at creation only */

    /* Semantic checks and own columns, before the row is written (the row of `id` exists after). */
    bool (*check)(change_t *change);
    /* After the row is written: rows of other tables. */
    bool (*written)(change_t *change);
    /* Adds members to an answer; row has all columns of the table. */
    bool (*show)(request_t *request, const PGresult *row, int index, json_t *shown);
    /*
     * NULL: by id. Else what is stored for a reference to this kind: stored gets the text,
     * id the UUID of the row that must not disappear, or "". False: there is no such thing.
     */
    bool (*refer)(request_t *request, const char *id_or_name, char stored[257], char id[37]);
};

/* Members that every resource has; the first fields of its schema. */
#define RESOURCE_BASE_FIELDS                                                                       \
    {.name = "id", .type = FIELD_TEXT, .flags = FIELD_READ_ONLY, .description = "Identifier."},    \
        {.name = "name",                                                                           \
         .type = FIELD_TEXT,                                                                       \
         .flags = FIELD_REQUIRED,                                                                  \
         .min = 1,                                                                                 \
         .max = 64,                                                                                \
         .pattern = "^[A-Za-z0-9._/-]+$",                                                          \
         .description = "Name, unique among its kind in the workspace."},                          \
        {.name = "version",                                                                        \
         .type = FIELD_INTEGER,                                                                    \
         .flags = FIELD_READ_ONLY,                                                                 \
         .description = "Grows with each change; the ETag."},                                      \
        {.name = "created_at",                                                                     \
         .type = FIELD_TIME,                                                                       \
         .flags = FIELD_READ_ONLY,                                                                 \
         .description = "When it was made."},                                                      \
    {                                                                                              \
        .name = "updated_at", .type = FIELD_TIME, .flags = FIELD_READ_ONLY,                        \
        .description = "When it was last changed."                                                 \
    }

/* The handlers for routes whose data is a resource_t. */
bool resource_list(request_t *request, reply_t *reply);
bool resource_get(request_t *request, reply_t *reply);
bool resource_create(request_t *request, reply_t *reply);
bool resource_patch(request_t *request, reply_t *reply);
bool resource_replace(request_t *request, reply_t *reply); /* PUT by name: creates or replaces */
bool resource_delete(request_t *request, reply_t *reply);

/* Creates one from a document with names for references, as POST does. */
bool resource_make(request_t *request, const resource_t *resource, const json_t *document,
                   reply_t *reply);
/* Makes the one called by document's name what document says, whether there is one or not. */
bool resource_apply(request_t *request, const resource_t *resource, const json_t *document,
                    reply_t *reply);

/* As PATCH and DELETE do, for routes whose data is something else. */
bool resource_patch_of(request_t *request, const resource_t *resource, reply_t *reply);
bool resource_delete_of(request_t *request, const resource_t *resource, reply_t *reply);

/* What is stored of the one called name, with names for references; NULL: none, or a problem. */
json_t *resource_export(request_t *request, const resource_t *resource, const char *name);
/* What would be stored of a document: defaults filled in, nothing read-only or write-only. */
json_t *resource_normal(const resource_t *resource, const json_t *document);
/* Names of all there are, in order. NULL: problem. */
json_t *resource_names(request_t *request, const resource_t *resource);

/* For actions (`:rotate`): reads the target for update into change, If-Match checked. */
bool resource_open(request_t *request, const resource_t *resource, change_t *change);
/* Writes it back as a new version with an event, and answers with it. */
bool resource_close(change_t *change, reply_t *reply);
/* For kinds that make rows in their own way: an empty change, before `after` is set. */
void change_begin(change_t *change, request_t *request, const resource_t *resource);
/* If-Match against a version; false with a problem: missing, or another version. */
bool resource_matches(request_t *request, const char *version);
/* RFC 7396, into target. */
void merge_patch(json_t *target, const json_t *patch);
/* Writes value (copied; NULL: SQL NULL) into a column named by a literal. */
void change_column(change_t *change, const char *name, const char *value);
/* The revision that this change's transaction makes; 0: the problem is set. */
long long change_revision(change_t *change);
/* Gives up what a change holds, whether it was closed or not. */
void change_free(change_t *change);

/* The row with this UUID as answers show it: base members, spec, the kind's own. NULL: problem. */
json_t *resource_show(request_t *request, const resource_t *resource, const PGresult *row,
                      int index);

/* id or name → UUID; a fault at pointer if there is none. Any kind, this workspace. */
bool resource_resolve(request_t *request, const char *kind, const char *id_or_name,
                      const char *pointer, char id[37]);

/*
 * Writes an audit row in the request's transaction: `before` and `after` as
 * they are shown, NULL where there is none. Never give it a secret.
 */
bool event_write(request_t *request, const char *workspace_id, const char *verb, const char *kind,
                 const char *id, const char *name, const json_t *before, const json_t *after);

/* The cursor of a list in the order of names: the last name that was shown, "" at first. */
enum { CURSOR_MAX = 1024 };
bool cursor_read(request_t *request, char name[CURSOR_MAX]);
json_t *cursor_of(const char *name);
/* limit of a list: 1 to 500, 50 if not given; 0: the problem is set. */
size_t resource_limit(request_t *request);
/* A timestamptz column as answers show it. */
#define RESOURCE_TIME(column)                                                                      \
    "to_char(" column " AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')"

/* A timestamptz as libpq gives it (sessions are in UTC), as answers show it; null for NULL. */
json_t *resource_time(const PGresult *row, int index, const char *column);

extern const resource_t *const resources[];
extern const size_t resources_count;
const resource_t *resource_of_kind(const char *kind);

/* The five routes of a resource, for a noun's route table. */
#define RESOURCE_ROUTES(resource_, plural_, Title_, Titles_, schema_)                              \
    {"GET",          "/api/v1/workspaces/{workspace}/" plural_,                                    \
     "list" Titles_, plural_ ":read",                                                              \
     ROUTE_LIST,     resource_list,                                                                \
     NULL,           SCHEMA_CREATE,                                                                \
     (schema_),      200,                                                                          \
     NULL,           "List " plural_,                                                              \
     (resource_)},                                                                                 \
        {"POST",                                                                                   \
         "/api/v1/workspaces/{workspace}/" plural_,                                                \
         "create" Title_,                                                                          \
         plural_ ":write",                                                                         \
         ROUTE_CHANGES,                                                                            \
         resource_create,                                                                          \
         (schema_),                                                                                \
         SCHEMA_CREATE,                                                                            \
         (schema_),                                                                                \
         201,                                                                                      \
         NULL,                                                                                     \
         "Create one of " plural_,                                                                 \
         (resource_)},                                                                             \
        {"GET",                                                                                    \
         "/api/v1/workspaces/{workspace}/" plural_ "/{id}",                                        \
         "get" Title_,                                                                             \
         plural_ ":read",                                                                          \
         0,                                                                                        \
         resource_get,                                                                             \
         NULL,                                                                                     \
         SCHEMA_CREATE,                                                                            \
         (schema_),                                                                                \
         200,                                                                                      \
         NULL,                                                                                     \
         "Read one of " plural_,                                                                   \
         (resource_)},                                                                             \
        {"PATCH",                                                                                  \
         "/api/v1/workspaces/{workspace}/" plural_ "/{id}",                                        \
         "update" Title_,                                                                          \
         plural_ ":write",                                                                         \
         ROUTE_CHANGES | ROUTE_MATCH,                                                              \
         resource_patch,                                                                           \
         (schema_),                                                                                \
         SCHEMA_PATCH,                                                                             \
         (schema_),                                                                                \
         200,                                                                                      \
         NULL,                                                                                     \
         "Change members of one of " plural_,                                                      \
         (resource_)},                                                                             \
        {"PUT",                                                                                    \
         "/api/v1/workspaces/{workspace}/" plural_ "/{id}",                                        \
         "replace" Title_,                                                                         \
         plural_ ":write",                                                                         \
         ROUTE_CHANGES | ROUTE_MATCH,                                                              \
         resource_replace,                                                                         \
         (schema_),                                                                                \
         SCHEMA_CREATE,                                                                            \
         (schema_),                                                                                \
         200,                                                                                      \
         NULL,                                                                                     \
         "Replace one of " plural_,                                                                \
         (resource_)},                                                                             \
    {                                                                                              \
        "DELETE", "/api/v1/workspaces/{workspace}/" plural_ "/{id}", "delete" Title_,              \
            plural_ ":write", ROUTE_CHANGES | ROUTE_MATCH, resource_delete, NULL, SCHEMA_CREATE,   \
            NULL, 204, NULL, "Delete one of " plural_, (resource_)                                 \
    }

#endif
