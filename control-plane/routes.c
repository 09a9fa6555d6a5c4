/*
 * What there is in the admin API, one line for each noun. A noun's file has its
 * routes and, if the resource engine serves it, its resource.
 */

#include "http.h"
#include "resource.h"

/* clang-format off */

/* In the order of the OpenAPI document. */
#define ROUTES(one)               \
    one(system_routes)            \
    one(setup_routes)             \
    one(installation_routes)      \
    one(api_token_routes)         \
    one(workspace_routes)         \
    one(host_routes)              \
    one(model_routes)             \
    one(provider_key_routes)      \
    one(pool_routes)              \
    one(policy_routes)            \
    one(simulate_routes)          \
    one(relay_key_routes)         \
    one(configuration_routes)     \
    one(encryption_routes)        \
    one(event_routes)             \
    one(node_routes)

#define RESOURCES(one)             \
    one(workspace_resource)        \
    one(api_token_resource)        \
    one(host_resource)             \
    one(model_resource)            \
    one(provider_key_resource)     \
    one(pool_resource)             \
    one(policy_resource)           \
    one(relay_key_resource)

/* clang-format on */

#define DECLARE_ROUTES(name)   extern const route_table_t name;
#define DECLARE_RESOURCE(name) extern const resource_t name;
#define ADDRESS(name)          &name,

ROUTES(DECLARE_ROUTES)
RESOURCES(DECLARE_RESOURCE)

const route_table_t *const route_tables[] = {ROUTES(ADDRESS)};
const size_t route_tables_count = sizeof(route_tables) / sizeof(route_tables[0]);

const resource_t *const resources[] = {RESOURCES(ADDRESS)};
const size_t resources_count = sizeof(resources) / sizeof(resources[0]);
