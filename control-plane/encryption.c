/*
 * Rotation of what secrets at rest are sealed with, while everything runs. After
 * a new master key was put first into RELAY_MASTER_KEY and relayd restarted:
 * :rotate-master, then the old one can be removed from the ring.
 */

#include "relayd.h"
#include "resource.h"

static const field_t fields[] = {
    {.name = "rotated",
     .type = FIELD_BOOLEAN,
     .flags = FIELD_READ_ONLY,
     .description = "Everything is sealed with the new key."},
};
static const schema_t schema = SCHEMA("EncryptionRotation", fields);

static bool done(request_t *request, reply_t *reply, const char *workspace_id, const char *what)
{
    if (!event_write(request, workspace_id, "rotated", "encryption", what, what, NULL, NULL))
        return false;
    reply->body = json_pack("{s:b}", "rotated", true);
    return reply->body != NULL ||
           problem_set(&request->problem, PROBLEM_INTERNAL, "Out of memory.");
}

static bool rotate_master(request_t *request, reply_t *reply)
{
    return secrets_rotate_master(relayd.secrets, request->session, &request->problem) &&
           done(request, reply, NULL, "master_key");
}

static bool rotate_data_key(request_t *request, reply_t *reply)
{
    return secrets_rotate_data_key(relayd.secrets, request->session, request->workspace_id,
                                   &request->problem) &&
           done(request, reply, request->workspace_id, "data_key");
}

static const route_t routes[] = {
    {"POST", "/api/v1/encryption:rotate-master", "rotateMasterKey", "encryption:admin",
     ROUTE_CHANGES, rotate_master, NULL, SCHEMA_CREATE, &schema, 200, NULL,
     "Wrap all data keys with the first master key", NULL},
    {"POST", "/api/v1/workspaces/{workspace}/encryption:rotate-data-key", "rotateDataKey",
     "encryption:admin", ROUTE_CHANGES, rotate_data_key, NULL, SCHEMA_CREATE, &schema, 200, NULL,
     "Make a new data key and seal all provider keys again", NULL},
};
const route_table_t encryption_routes = {routes, sizeof(routes) / sizeof(routes[0])};
