/* Workspaces: what separates teams. One of them, `default`, is there from the start. */

#include "resource.h"

static const field_t fields[] = {
    RESOURCE_BASE_FIELDS,
    {.name = "description", .type = FIELD_TEXT, .max = 1000, .description = "For people."},
};
static const schema_t schema = SCHEMA("Workspace", fields);

const resource_t workspace_resource = {
    .kind = "workspace",
    .plural = "workspaces",
    .title = "Workspace",
    .prefix = "ws",
    .table = "workspace",
    .schema = &schema,
    .of_installation = true,
    .fixed_name = true,
};

static const route_t routes[] = {
    {"GET", "/api/v1/workspaces", "listWorkspaces", "workspaces:read", ROUTE_LIST, resource_list,
     NULL, SCHEMA_CREATE, &schema, 200, NULL, "List workspaces", &workspace_resource},
    {"GET", "/api/v1/workspaces/{id}", "getWorkspace", "workspaces:read", 0, resource_get, NULL,
     SCHEMA_CREATE, &schema, 200, NULL, "Read a workspace", &workspace_resource},
    {"PATCH", "/api/v1/workspaces/{id}", "updateWorkspace", "workspaces:admin",
     ROUTE_CHANGES | ROUTE_MATCH, resource_patch, &schema, SCHEMA_PATCH, &schema, 200, NULL,
     "Change a workspace", &workspace_resource},
};
const route_table_t workspace_routes = {routes, sizeof(routes) / sizeof(routes[0])};
