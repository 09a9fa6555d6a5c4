/* Pools: provider keys that stand in for each other. */

#include <stdio.h>

#include "resource.h"

static const char *const strategies[] = {"weighted", "priority", NULL};

static const field_t member_fields[] = {
    {.name = "key",
     .type = FIELD_REFERENCE,
     .flags = FIELD_REQUIRED,
     .refers_to = "provider_key",
     .description = "A provider key."},
    {.name = "weight",
     .type = FIELD_INTEGER,
     .min = 1,
     .max = 1000000,
     .description = "How often it comes before others of its priority; 1 if not given."},
    {.name = "priority",
     .type = FIELD_INTEGER,
     .min = 0,
     .max = 1000000,
     .description = "Lower ones are tried first; 0 if not given."},
};
static const schema_t member_schema = SCHEMA("PoolMember", member_fields);
static const field_t member_item = {
    .type = FIELD_OBJECT, .schema = &member_schema, .description = "A provider key in the pool."};

static const field_t fields[] = {
    RESOURCE_BASE_FIELDS,
    {.name = "description", .type = FIELD_TEXT, .max = 1000, .description = "For people."},
    {.name = "strategy",
     .type = FIELD_TEXT,
     .values = strategies,
     .fallback = "\"weighted\"",
     .description = "weighted: members of one priority are shuffled by weight. priority: they are"
                    " tried in the order in which they stand here."},
    {.name = "members",
     .type = FIELD_LIST,
     .max = 1000,
     .item = &member_item,
     .fallback = "[]",
     .description = "Its provider keys, each once."},
};
static const schema_t schema = SCHEMA("Pool", fields);

static bool check(change_t *change)
{
    json_t *members = json_object_get(change->after, "members");
    size_t count = json_array_size(members);
    json_t *seen = json_object();

    for (size_t i = 0; i < count; i++) {
        const char *key = json_string_value(json_object_get(json_array_get(members, i), "key"));
        if (json_object_get(seen, key) != NULL) {
            char pointer[64];
            snprintf(pointer, sizeof(pointer), "/members/%zu/key", i);
            problem_fault(&change->request->problem, pointer, "is in this pool already");
        }
        json_object_set_new(seen, key, json_true());
    }

    json_decref(seen);
    return change->request->problem.code == PROBLEM_NONE;
}

const resource_t pool_resource = {
    .kind = "pool",
    .plural = "pools",
    .title = "Pool",
    .prefix = "pool",
    .table = "pool",
    .schema = &schema,
    .published = true,
    .check = check,
};

static const route_t routes[] = {
    RESOURCE_ROUTES(&pool_resource, "pools", "Pool", "Pools", &schema)};
const route_table_t pool_routes = {routes, sizeof(routes) / sizeof(routes[0])};
