/* Policies: which models a relay key may use, through which pools. */

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

const resource_t policy_resource = {
    .kind = "policy",
    .plural = "policies",
    .title = "Policy",
    .prefix = "pol",
    .table = "policy",
    .schema = &policy_schema,
    .published = true,
};

static const route_t routes[] = {
    RESOURCE_ROUTES(&policy_resource, "policies", "Policy", &policy_schema)};
const route_table_t policy_routes = {routes, sizeof(routes) / sizeof(routes[0])};
