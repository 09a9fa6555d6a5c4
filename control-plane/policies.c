/* Policies: which models a relay key may use, through which pools. */

#include <stdio.h>

#include "config_check.h"
#include "policy_fields.h"
#include "resource.h"

static const field_t pool_item = {
    .type = FIELD_REFERENCE, .refers_to = "pool", .description = "A pool."};
static const field_t glob_item = {.type = FIELD_TEXT,
                                  .min = 1,
                                  .max = 256,
                                  .description = "A pattern: * is any run of characters, ? one."};

static const field_t timeout_fields[] = {TIMEOUT_FIELDS};
const schema_t timeout_schema = SCHEMA("Timeouts", timeout_fields);

static const field_t fields[] = {
    RESOURCE_BASE_FIELDS,
    {.name = "description", .type = FIELD_TEXT, .max = 1000, .description = "For people."},
    {.name = "pools",
     .type = FIELD_LIST,
     .max = 64,
     .item = &pool_item,
     .fallback = "[]",
     .description = "Tried in this order."},
    {.name = "allow",
     .type = FIELD_LIST,
     .max = 1000,
     .item = &glob_item,
     .fallback = "[\"*\"]",
     .description = "Models that may be used."},
    {.name = "deny",
     .type = FIELD_LIST,
     .max = 1000,
     .item = &glob_item,
     .fallback = "[]",
     .description = "Models that may not, even if allowed."},
    {.name = "hosts",
     .type = FIELD_LIST,
     .max = 1000,
     .item = &glob_item,
     .fallback = "[\"*\"]",
     .description = "Hosts that may be used."},
    {.name = "passthrough",
     .type = FIELD_BOOLEAN,
     .fallback = "false",
     .description = "Paths that Relay does not know go to hosts that take them."},
    {.name = "strict",
     .type = FIELD_BOOLEAN,
     .fallback = "false",
     .description = "Requests of which a translation would drop something are refused."},
    {.name = "max_attempts",
     .type = FIELD_INTEGER,
     .min = 1,
     .max = 16,
     .fallback = "4",
     .description = "Attempts for one request."},
    {.name = "timeouts",
     .type = FIELD_OBJECT,
     .schema = &timeout_schema,
     .description = "Over those of the host, in milliseconds."},
};
const schema_t policy_schema = SCHEMA("Policy", fields);

static bool no_pool_twice(change_t *change)
{
    json_t *seen = json_object(), *pool;
    char pointer[64];
    size_t i;

    json_array_foreach(json_object_get(change->after, "pools"), i, pool)
    {
        if (json_object_get(seen, json_string_value(pool)) != NULL) {
            snprintf(pointer, sizeof(pointer), "/pools/%zu", i);
            problem_fault(&change->request->problem, pointer, "is in this policy already");
        }
        json_object_set_new(seen, json_string_value(pool), json_true());
    }
    json_decref(seen);
    return change->request->problem.code == PROBLEM_NONE;
}

/* As workers read it; its pools are references, which are checked already. */
static bool check(change_t *change)
{
    json_t *entry = json_copy(change->after);

    if (entry == NULL)
        return true;
    json_object_del(entry, "pools");
    json_object_del(entry, "description");
    bool ok = no_pool_twice(change) && config_check_entry("policies", change->name, entry, NULL,
                                                          false, &change->request->problem);
    json_decref(entry);
    return ok;
}

const resource_t policy_resource = {
    .kind = "policy",
    .plural = "policies",
    .title = "Policy",
    .prefix = "pol",
    .table = "policy",
    .schema = &policy_schema,
    .published = true,
    .fixed_name = true, /* the records of relay keys have it */
    .check = check,
};

static const route_t routes[] = {
    RESOURCE_ROUTES(&policy_resource, "policies", "Policy", "Policies", &policy_schema)};
const route_table_t policy_routes = {routes, sizeof(routes) / sizeof(routes[0])};
