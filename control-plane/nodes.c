/* What the workers of the data plane say they serve. */

#include <stdio.h>
#include <string.h>

#include "relayd.h"
#include "resource.h"

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

/* Whoever can write to the store can write anything there: what is known and well-formed counts. */
static json_t *known_members(const json_t *node)
{
    json_t *known = json_object();
    problem_t faults = {.code = PROBLEM_NONE};

    for (size_t i = 0; i < schema.count; i++) {
        json_t *value = json_object_get(node, schema.fields[i].name);
        if (value != NULL)
            json_object_set(known, schema.fields[i].name, value);
    }
    if (schema_check(&schema, SCHEMA_ANSWER, known, &faults))
        return known;
    json_decref(known);
    return NULL;
}

/* They come in the order of node and worker. */
static void place_of(const json_t *node, char place[CURSOR_MAX])
{
    snprintf(place, CURSOR_MAX, "%s/%lld", json_string_value(json_object_get(node, "node")),
             (long long)json_integer_value(json_object_get(node, "worker")));
}

static bool list(request_t *request, reply_t *reply)
{
    json_t *nodes = publisher_nodes(relayd.publisher), *items = json_array(), *next = NULL, *node;
    char after[CURSOR_MAX], place[CURSOR_MAX] = "";
    size_t i, limit = resource_limit(request);
    bool passed = request_query(request, "cursor") == NULL;

    if (nodes == NULL)
        problem_set(&request->problem, PROBLEM_UNAVAILABLE, "Redis does not answer.");
    if (limit == 0 || nodes == NULL || !cursor_read(request, after)) {
        json_decref(nodes);
        json_decref(items);
        return false;
    }

    json_array_foreach(nodes, i, node)
    {
        json_t *known = known_members(node);
        if (known != NULL && passed && json_array_size(items) == limit && next == NULL)
            next = cursor_of(place);
        if (known != NULL && passed && next == NULL) {
            place_of(known, place);
            json_array_append(items, known);
        } else if (known != NULL && !passed) {
            place_of(known, place);
            passed = strcmp(place, after) == 0;
        }
        json_decref(known);
    }
    json_decref(nodes);

    reply->body =
        json_pack("{s:o, s:o}", "items", items, "next_cursor", next != NULL ? next : json_null());
    return reply->body != NULL;
}

static const route_t routes[] = {
    {"GET", "/api/v1/dataplane/nodes", "listNodes", "dataplane:read", ROUTE_LIST | ROUTE_NO_SESSION,
     list, NULL, SCHEMA_CREATE, &schema, 200, NULL,
     "List workers of the data plane and what they serve", NULL},
};
const route_table_t node_routes = {routes, sizeof(routes) / sizeof(routes[0])};
