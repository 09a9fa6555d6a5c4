/* What the workers of the data plane say they serve. */

#include "relayd.h"

static const char *const states[] = {"applied", "refused", "leaving", NULL};

static const field_t fields[] = {
    {.name = "node", .type = FIELD_TEXT, .flags = FIELD_READ_ONLY, .description = "relay_node."},
    {.name = "worker",
     .type = FIELD_INTEGER,
     .flags = FIELD_READ_ONLY,
     .description = "The worker's number."},
    {.name = "pid", .type = FIELD_INTEGER, .flags = FIELD_READ_ONLY, .description = "Process."},
    {.name = "revision",
     .type = FIELD_INTEGER,
     .flags = FIELD_READ_ONLY,
     .description = "What it serves."},
    {.name = "state",
     .type = FIELD_TEXT,
     .flags = FIELD_READ_ONLY,
     .values = states,
     .description = "applied; refused: it kept what it had; leaving: it finishes its streams."},
    {.name = "refused_revision",
     .type = FIELD_INTEGER,
     .flags = FIELD_READ_ONLY | FIELD_OPTIONAL_ANSWER,
     .description = "What it did not take."},
    {.name = "reason",
     .type = FIELD_TEXT,
     .flags = FIELD_READ_ONLY | FIELD_OPTIONAL_ANSWER,
     .description = "Why not."},
    {.name = "at",
     .type = FIELD_INTEGER,
     .flags = FIELD_READ_ONLY,
     .description = "When it said so: seconds since 1970."},
    {.name = "version",
     .type = FIELD_TEXT,
     .flags = FIELD_READ_ONLY | FIELD_OPTIONAL_ANSWER,
     .description = "The module's version."},
};
static const schema_t schema = SCHEMA("Node", fields);

static bool list(request_t *request, reply_t *reply)
{
    json_t *nodes = publisher_nodes(relayd.publisher);

    if (nodes == NULL)
        return problem_set(&request->problem, PROBLEM_UNAVAILABLE, "Redis does not answer.");

    reply->body = json_pack("{s:o, s:n}", "items", nodes, "next_cursor");
    return reply->body != NULL;
}

static const route_t routes[] = {
    {"GET", "/api/v1/dataplane/nodes", "listNodes", "dataplane:read", ROUTE_LIST | ROUTE_NO_SESSION,
     list, NULL, SCHEMA_CREATE, &schema, 200, NULL,
     "List workers of the data plane and what they serve", NULL},
};
const route_table_t node_routes = {routes, sizeof(routes) / sizeof(routes[0])};
