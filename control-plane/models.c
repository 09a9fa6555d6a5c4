/* Models: what callers ask for. The catalog's, patched or not, and a workspace's own. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host_origin.h"
#include "overlay.h"
#include "resource_row.h"

static const field_t alias_item = {
    .type = FIELD_TEXT, .min = 1, .max = 256, .description = "Another name."};
static const field_t format_item = {
    .type = FIELD_TEXT, .min = 1, .max = 64, .description = "A wire format."};

static const field_t word_item = {
    .type = FIELD_TEXT, .min = 1, .max = 64, .description = "A word of CONFIG.md."};

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
    {.name = "output_tokens",
     .type = FIELD_INTEGER,
     .min = 1,
     .max = 9007199254740992LL,
     .description = "Longest answer there."},
    {.name = "reasoning_efforts",
     .type = FIELD_LIST,
     .max = 16,
     .item = &word_item,
     .description = "Efforts that it knows there."},
    {.name = "dialect",
     .type = FIELD_ANY,
     .description = "How it deviates there inside a format, by format."},
    {.name = "pricing", .type = FIELD_ANY, .description = "What it costs there."},
    {.name = "facts", .type = FIELD_ANY, .description = "What the catalog knows besides."},
};
static const schema_t offer_schema = SCHEMA("Offer", offer_fields);
static const field_t offer_item = {
    .type = FIELD_OBJECT, .schema = &offer_schema, .description = "A host that has it."};

static const field_t fields[] = {
    OVERLAY_BASE_FIELDS(256, "^([!#-&(-+.-[^-~-]|\\])+$"),
    {.name = "display_name", .type = FIELD_TEXT, .max = 256, .description = "For people."},
    {.name = "owned_by", .type = FIELD_TEXT, .max = 256, .description = "Shown in model lists."},
    {.name = "type",
     .type = FIELD_TEXT,
     .min = 1,
     .max = 64,
     .pattern = "^[A-Za-z0-9._/-]+$",
     .description = "What it is for: chat if not given, embedding, or another word."},
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
    {.name = "refuses",
     .type = FIELD_LIST,
     .max = 64,
     .item = &word_item,
     .description = "Fields of a request that it does not take."},
    {.name = "thinking",
     .type = FIELD_TEXT,
     .description = "How it is told to think: budget, adaptive or effort."},
    {.name = "reasoning_efforts",
     .type = FIELD_LIST,
     .max = 16,
     .item = &word_item,
     .description = "Efforts that it knows."},
    {.name = "reasoning_budget",
     .type = FIELD_ANY,
     .description = "Bounds of a budget for thinking: min and max."},
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

/* All names that the model answers to. */
static json_t *names_of(const change_t *change, const json_t *effective)
{
    json_t *names = json_pack("[s]", change->name), *alias;
    size_t i;

    json_array_foreach(json_object_get(effective, "aliases"), i, alias)
        json_array_append(names, alias);
    return names;
}

/* Among the models of a workspace, its own and those that it patched, a name leads to one. */
static PGresult *taken(request_t *request, const change_t *change, const char *names)
{
    return SESSION_QUERY(
        request->session,
        "SELECT mine.place - 1, o.name FROM (SELECT r.name, coalesce(r.spec -> 'aliases',"
        " c.document -> 'aliases', '[]') AS aliases FROM model r"
        " LEFT JOIN catalog_model c ON c.name = r.template"
        " WHERE r.workspace_id = $1::uuid AND r.name <> $2) o,"
        " jsonb_array_elements_text($3::jsonb) WITH ORDINALITY AS mine (name, place)"
        " WHERE mine.name = o.name OR (jsonb_typeof(o.aliases) = 'array'"
        " AND o.aliases ? mine.name) LIMIT 1",
        change->workspace_id, change->name, names);
}

static bool names_free(change_t *change)
{
    request_t *request = change->request;
    json_t *effective = overlay_after(change, &overlay);
    json_t *names = names_of(change, effective);
    char *text = json_dumps(names, JSON_COMPACT), pointer[64] = "/name";
    PGresult *rows = text == NULL ? NULL : taken(request, change, text);
    bool ok = rows != NULL || row_database_problem(request);

    if (ok && PQntuples(rows) == 1) {
        long place = strtol(PQgetvalue(rows, 0, 0), NULL, 10);
        if (place > 0)
            snprintf(pointer, sizeof(pointer), "/aliases/%ld", place - 1);
        ok = problem_fault(&request->problem, pointer, "the model \"%.200s\" has this name",
                           PQgetvalue(rows, 0, 1));
    }
    PQclear(rows);
    free(text);
    json_decref(names);
    json_decref(effective);
    return ok;
}

static bool check(change_t *change)
{
    return overlay_check(change, &overlay) && (change->after == NULL || names_free(change));
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
                                  .built_in = "relay/echo",
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
