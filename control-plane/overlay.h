/*
 * Hosts and models: entries of the catalog, patches on them, and entries of a
 * workspace's own, under one roof. A patch is an RFC 7396 merge patch, kept as
 * it was given; the catalog may change under it.
 */

#ifndef RELAY_OVERLAY_H
#define RELAY_OVERLAY_H

#include "resource.h"

typedef struct {
    const resource_t *resource;
    const char *section; /* of config documents: "hosts" */
    const char *catalog_table;
    const char *built_in; /* a name that is the workers' own */
    /* Sections that an entry is checked beside, owned by the caller; may be NULL. */
    json_t *(*around)(request_t *request, const json_t *entry);
} overlay_t;

/* Members of answers that such kinds have besides those of the schema's own. */
#define OVERLAY_BASE_FIELDS(name_max_, name_pattern_)                                              \
    {.name = "id",                                                                                 \
     .type = FIELD_TEXT,                                                                           \
     .flags = FIELD_READ_ONLY | FIELD_OPTIONAL_ANSWER,                                             \
     .description = "Identifier; entries of the catalog have none until they are patched."},       \
        {.name = "name",                                                                           \
         .type = FIELD_TEXT,                                                                       \
         .flags = FIELD_REQUIRED | FIELD_IMMUTABLE,                                                \
         .min = 1,                                                                                 \
         .max = (name_max_),                                                                       \
         .pattern = (name_pattern_),                                                               \
         .description = "Name; other things refer to it, so it stays."},                           \
        {.name = "source",                                                                         \
         .type = FIELD_TEXT,                                                                       \
         .flags = FIELD_READ_ONLY,                                                                 \
         .values = overlay_sources,                                                                \
         .description = "catalog, patched (the catalog's with a patch) or own."},                  \
        {.name = "version",                                                                        \
         .type = FIELD_INTEGER,                                                                    \
         .flags = FIELD_READ_ONLY,                                                                 \
         .description = "Grows with each change; the ETag. 0: never changed here."},               \
        {.name = "created_at",                                                                     \
         .type = FIELD_TIME,                                                                       \
         .flags = FIELD_READ_ONLY | FIELD_OPTIONAL_ANSWER,                                         \
         .description = "When it was made or first patched."},                                     \
        {.name = "updated_at",                                                                     \
         .type = FIELD_TIME,                                                                       \
         .flags = FIELD_READ_ONLY | FIELD_OPTIONAL_ANSWER,                                         \
         .description = "When it was last changed."},                                              \
        {.name = "template",                                                                       \
         .type = FIELD_ANY,                                                                        \
         .flags = FIELD_READ_ONLY | FIELD_OPTIONAL_ANSWER,                                         \
         .description = "What the catalog has, where there is a patch."},                          \
    {                                                                                              \
        .name = "patch", .type = FIELD_ANY, .flags = FIELD_READ_ONLY | FIELD_OPTIONAL_ANSWER,      \
        .description = "The patch. The members beside it are template and patch together."         \
    }
extern const char *const overlay_sources[];

/* What is in effect under name, owned by the caller; NULL: nothing, and no problem set. */
json_t *overlay_effective(request_t *request, const overlay_t *overlay, const char *name);

/* What will be in effect after a change, owned by the caller. */
json_t *overlay_after(change_t *change, const overlay_t *overlay);

/* For the kind's resource_t and routes; the routes' data is an overlay_t. */
bool overlay_check(change_t *change, const overlay_t *overlay);
bool overlay_show(request_t *request, const overlay_t *overlay, const PGresult *row, int index,
                  json_t *shown);
bool overlay_refer(request_t *request, const overlay_t *overlay, const char *id_or_name,
                   char stored[257], char id[37]);
/* Whether the row of this name is a patch on the catalog rather than an entry of its own. */
bool overlay_is_patch(request_t *request, const resource_t *resource, const char *name);
bool overlay_list(request_t *request, reply_t *reply);
bool overlay_get(request_t *request, reply_t *reply);
bool overlay_create(request_t *request, reply_t *reply);
bool overlay_patch(request_t *request, reply_t *reply);
/* Makes patch the one on the catalog's entry, whatever was there. */
bool overlay_set_patch(request_t *request, const resource_t *resource, const char *name,
                       const json_t *patch, reply_t *reply);
bool overlay_delete(request_t *request, reply_t *reply);

#endif
