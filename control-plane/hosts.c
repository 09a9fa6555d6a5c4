/* Hosts: where models are served. The catalog's, patched or not, and a workspace's own. */

#include <stdio.h>
#include <string.h>

#include "host_origin.h"
#include "overlay.h"
#include "policy_fields.h"
#include "url.h"

enum { BASE_URL_MAX = 4096, VARIABLE_MAX = 64 + 1 };

static const field_t glob_item = {
    .type = FIELD_TEXT, .min = 1, .max = 256, .description = "A pattern of model names."};
static const field_t header_item = {
    .type = FIELD_TEXT, .max = 4096, .description = "The header's value."};

static const field_t variable_item = {
    .type = FIELD_TEXT, .min = 1, .max = 4096, .description = "The variable's value."};

static const field_t auth_fields[] = {
    {.name = "type",
     .type = FIELD_TEXT,
     .description = "header, none, sigv4, oauth-service-account, or another way."},
    {.name = "header", .type = FIELD_TEXT, .description = "The header that the key goes into."},
    {.name = "prefix",
     .type = FIELD_TEXT,
     .min = 0,
     .max = 256,
     .description = "What stands before the key."},
    {.name = "formats",
     .type = FIELD_ANY,
     .description = "Formats for which the key goes elsewhere: header and prefix of each."},
    {.name = "service", .type = FIELD_TEXT, .description = "What signatures are for."},
    {.name = "region",
     .type = FIELD_TEXT,
     .description = "Where signatures are for; by default the variable region."},
    {.name = "scope",
     .type = FIELD_TEXT,
     .max = 2048,
     .description = "Of the catalog: what a token is for."},
    {.name = "token_url",
     .type = FIELD_TEXT,
     .max = 2048,
     .description = "Of the catalog: who gives tokens."},
};
static const schema_t auth_schema = SCHEMA("HostAuth", auth_fields);

static const field_t tls_fields[] = {
    {.name = "verify", .type = FIELD_BOOLEAN, .description = "Checks the certificate."},
    {.name = "ca_file",
     .type = FIELD_TEXT,
     .max = 4096,
     .description = "Certificates trusted instead of the system's: a file where nginx runs."},
    {.name = "name", .type = FIELD_TEXT, .description = "Name for SNI and in the certificate."},
};
static const schema_t tls_schema = SCHEMA("HostTls", tls_fields);

static const field_t fields[] = {
    OVERLAY_BASE_FIELDS(64, "^[A-Za-z0-9._/-]+$"),
    {.name = "base_url",
     .type = FIELD_TEXT,
     .min = 1,
     .max = 2048,
     .description = "http:// or https://, name, port, path."},
    {.name = "base_url_for",
     .type = FIELD_ANY,
     .description = "Base URLs instead of that, by variable, by the variable's value."},
    {.name = "formats",
     .type = FIELD_ANY,
     .description = "The formats it speaks: an array, or an object with their paths."},
    {.name = "variables",
     .type = FIELD_MAP,
     .max = 32,
     .item = &variable_item,
     .description = "What stands for {name} in its URL, paths and headers."},
    {.name = "dialect",
     .type = FIELD_ANY,
     .description = "How it deviates inside a format, by format."},
    {.name = "auth",
     .type = FIELD_OBJECT,
     .schema = &auth_schema,
     .description = "How it is given the key."},
    {.name = "headers",
     .type = FIELD_MAP,
     .max = 64,
     .item = &header_item,
     .description = "Sent on every attempt unless the caller sent one of that name."},
    {.name = "serves",
     .type = FIELD_LIST,
     .max = 1000,
     .item = &glob_item,
     .description = "Model names that need no entry."},
    {.name = "passthrough",
     .type = FIELD_BOOLEAN,
     .description = "Takes paths Relay does not know."},
    {.name = "stream_usage",
     .type = FIELD_BOOLEAN,
     .description = "Has to be asked for usage in a stream."},
    {.name = "local",
     .type = FIELD_BOOLEAN,
     .description = "May have a private or loopback address."},
    {.name = "echo", .type = FIELD_BOOLEAN, .description = "The built-in model."},
    {.name = "tls",
     .type = FIELD_OBJECT,
     .schema = &tls_schema,
     .description = "How it is checked."},
    {.name = "timeouts",
     .type = FIELD_OBJECT,
     .schema = &timeout_schema,
     .description = "In milliseconds."},
    {.name = "facts", .type = FIELD_ANY, .description = "What the catalog knows besides."},
};
static const schema_t schema = SCHEMA("Host", fields);

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

const resource_t host_resource = {
    .kind = "host",
    .plural = "hosts",
    .title = "Host",
    .prefix = "host",
    .table = "host",
    .schema = &schema,
    .published = true,
    .fixed_name = true,
    .check = check,
    .show = show,
    .refer = refer,
};

static const overlay_t overlay = {.resource = &host_resource,
                                  .section = "hosts",
                                  .catalog_table = "catalog_host",
                                  .built_in = "relay"};

/* The value of the placeholder that text starts with, and its length; NULL: none. */
static const char *value_at(const json_t *variables, const char *text, size_t *len)
{
    const char *end = *text == '{' ? strchr(text, '}') : NULL;
    char name[VARIABLE_MAX];

    if (end == NULL || (size_t)(end - text) > sizeof(name))
        return NULL;

    snprintf(name, sizeof(name), "%.*s", (int)(end - text - 1), text + 1);
    *len = (size_t)(end - text) + 1;
    return json_string_value(json_object_get(variables, name));
}

bool host_fill(const json_t *host, const char *text, char *filled, size_t size)
{
    const json_t *variables = json_object_get(host, "variables");
    size_t used = 0, len;

    while (*text != '\0') {
        const char *value = value_at(variables, text, &len);
        int n = snprintf(filled + used, size - used, "%.*s", value == NULL ? 1 : (int)size,
                         value == NULL ? text : value);
        used += (size_t)n;
        if (used >= size)
            return false;
        text += value == NULL ? 1 : len;
    }
    filled[used] = '\0';
    return true;
}

/* Instead of base_url, where a variable has a certain value; NULL: no. */
static const char *base_url_for(const json_t *host)
{
    json_t *variables = json_object_get(host, "variables"), *urls;
    const char *name, *found = NULL;

    json_object_foreach(json_object_get(host, "base_url_for"), name, urls)
    {
        const char *value = json_string_value(json_object_get(variables, name));
        const char *url = value != NULL ? json_string_value(json_object_get(urls, value)) : NULL;
        found = url != NULL ? url : found;
    }
    return found;
}

/* The base URL with the values of its variables, as the workers read it. */
static void fill_base_url(json_t *host)
{
    const char *text = base_url_for(host);
    char filled[BASE_URL_MAX];

    if (text == NULL)
        text = json_string_value(json_object_get(host, "base_url"));
    if (text != NULL && host_fill(host, text, filled, sizeof(filled)))
        json_object_set_new(host, "base_url", json_string(filled));
}

json_t *host_effective(request_t *request, const char *name)
{
    json_t *host = overlay_effective(request, &overlay, name);

    fill_base_url(host);
    return host;
}

/* As relay_host_t.origin. */
bool host_origin(const json_t *effective, char origin[HOST_ORIGIN_MAX])
{
    const char *text = json_string_value(json_object_get(effective, "base_url"));
    relay_url_t url;
    int n;

    if (text == NULL || relay_url_parse(relay_span((const uint8_t *)text, strlen(text)), &url))
        return false;

    n = snprintf(origin, HOST_ORIGIN_MAX, "%s://%s%.*s%s:%u", url.tls ? "https" : "http",
                 url.bracketed ? "[" : "", (int)url.host.len, (const char *)url.host.base,
                 url.bracketed ? "]" : "", url.port);
    for (char *p = origin; *p != '\0'; p++)
        if (*p >= 'A' && *p <= 'Z')
            *p = (char)(*p - 'A' + 'a');
    return n > 0 && n < HOST_ORIGIN_MAX;
}

#define PATH "/api/v1/workspaces/{workspace}/hosts"

static const route_t routes[] = {
    {"GET", PATH, "listHosts", "hosts:read", ROUTE_LIST, overlay_list, NULL, SCHEMA_CREATE, &schema,
     200, NULL, "List hosts, the catalog's and your own", &overlay},
    {"POST", PATH, "createHost", "hosts:write", ROUTE_CHANGES, overlay_create, &schema,
     SCHEMA_CREATE, &schema, 201, NULL, "Add a host of your own", &overlay},
    {"GET", PATH "/{id}", "getHost", "hosts:read", 0, overlay_get, NULL, SCHEMA_CREATE, &schema,
     200, NULL, "Read a host", &overlay},
    {"PATCH", PATH "/{id}", "updateHost", "hosts:write", ROUTE_CHANGES | ROUTE_MATCH, overlay_patch,
     &schema, SCHEMA_PATCH, &schema, 200, NULL, "Change a host, or patch one of the catalog",
     &overlay},
    {"DELETE", PATH "/{id}", "deleteHost", "hosts:write", ROUTE_CHANGES | ROUTE_MATCH,
     overlay_delete, NULL, SCHEMA_CREATE, NULL, 204, NULL, "Delete your host, or your patch",
     &overlay},
};
const route_table_t host_routes = {routes, sizeof(routes) / sizeof(routes[0])};
