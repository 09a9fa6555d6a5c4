/* Models: what callers ask for. The catalog's, patched or not, and a workspace's own. */

#include <string.h>

#include "host_origin.h"
#include "overlay.h"

static const field_t alias_item = {
    .type = FIELD_TEXT, .min = 1, .max = 256, .description = "Another name."};
static const field_t format_item = {
    .type = FIELD_TEXT, .min = 1, .max = 64, .description = "A wire format."};

static const field_t offer_fields[] = {
    {.name = "host",
     .type = FIELD_REFERENCE,
     .flags = FIELD_REQUIRED,
     .refers_to = "host",
     .description = "Who has it."},
    {.name = "id",
     .type = FIELD_TEXT,
     .min = 1,
     .max = 256,
     .description = "Its name there; the model's name if not given."},
    {.name = "formats",
     .type = FIELD_LIST,
     .max = 32,
     .item = &format_item,
     .description = "Formats in which it is offered there."},
    {.name = "pricing", .type = FIELD_ANY, .description = "What it costs there."},
    {.name = "facts", .type = FIELD_ANY, .description = "What the catalog knows besides."},
};
static const schema_t offer_schema = SCHEMA("Offer", offer_fields);
static const field_t offer_item = {
    .type = FIELD_OBJECT, .schema = &offer_schema, .description = "A host that has it."};

static const field_t fields[] = {
    OVERLAY_BASE_FIELDS(256, "^[!#-+.-\\[\\]-~-]+$"),
    {.name = "display_name", .type = FIELD_TEXT, .max = 256, .description = "For people."},
    {.name = "owned_by", .type = FIELD_TEXT, .max = 256, .description = "Shown in model lists."},
    {.name = "created",
     .type = FIELD_INTEGER,
     .min = 0,
     .max = 9007199254740992LL,
     .description = "Seconds since 1970."},
    {.name = "context_tokens",
     .type = FIELD_INTEGER,
     .min = 1,
     .max = 9007199254740992LL,
     .description = "Size of the context."},
    {.name = "output_tokens",
     .type = FIELD_INTEGER,
     .min = 1,
     .max = 9007199254740992LL,
     .description = "Longest answer."},
    {.name = "aliases",
     .type = FIELD_LIST,
     .max = 256,
     .item = &alias_item,
     .description = "Other names for it."},
    {.name = "offers",
     .type = FIELD_LIST,
     .max = 256,
     .item = &offer_item,
     .description = "Who has it; without any, the hosts that serve its name."},
    {.name = "facts", .type = FIELD_ANY, .description = "What the catalog knows besides."},
};
static const schema_t schema = SCHEMA("Model", fields);

static const overlay_t overlay;

static bool check(change_t *change)
{
    return overlay_check(change, &overlay);
}

static bool show(request_t *request, const PGresult *row, int index, json_t *shown)
{
    return overlay_show(request, &overlay, row, index, shown);
}

static bool refer(request_t *request, const char *id_or_name, char stored[257], char id[37])
{
    return overlay_refer(request, &overlay, id_or_name, stored, id);
}

const resource_t model_resource = {
    .kind = "model",
    .plural = "models",
    .title = "Model",
    .prefix = "model",
    .table = "model",
    .schema = &schema,
    .published = true,
    .fixed_name = true,
    .check = check,
    .show = show,
    .refer = refer,
};

/* The hosts of its offers, as they are. */
static json_t *hosts_around(request_t *request, const json_t *entry)
{
    json_t *hosts = json_object(), *offer;
    size_t i;

    json_array_foreach(json_object_get(entry, "offers"), i, offer)
    {
        const char *name = json_string_value(json_object_get(offer, "host"));
        json_t *host = name == NULL ? NULL : host_effective(request, name);
        if (host != NULL)
            json_object_set_new(hosts, name, host);
    }
    return json_pack("{s:o}", "hosts", hosts);
}

static const overlay_t overlay = {.resource = &model_resource,
                                  .section = "models",
                                  .catalog_table = "catalog_model",
                                  .around = hosts_around};

#define PATH "/api/v1/workspaces/{workspace}/models"

static const route_t routes[] = {
    {"GET", PATH, "listModels", "models:read", ROUTE_LIST, overlay_list, NULL, SCHEMA_CREATE,
     &schema, 200, NULL, "List models, the catalog's and your own", &overlay},
    {"POST", PATH, "createModel", "models:write", ROUTE_CHANGES, overlay_create, &schema,
     SCHEMA_CREATE, &schema, 201, NULL, "Add a model of your own", &overlay},
    {"GET", PATH "/{id}", "getModel", "models:read", 0, overlay_get, NULL, SCHEMA_CREATE, &schema,
     200, NULL, "Read a model", &overlay},
    {"PATCH", PATH "/{id}", "updateModel", "models:write", ROUTE_CHANGES | ROUTE_MATCH,
     overlay_patch, &schema, SCHEMA_PATCH, &schema, 200, NULL,
     "Change a model, or patch one of the catalog", &overlay},
    {"DELETE", PATH "/{id}", "deleteModel", "models:write", ROUTE_CHANGES | ROUTE_MATCH,
     overlay_delete, NULL, SCHEMA_CREATE, NULL, 204, NULL, "Delete your model, or your patch",
     &overlay},
};
const route_table_t model_routes = {routes, sizeof(routes) / sizeof(routes[0])};
