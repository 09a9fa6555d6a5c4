/*
 * Route tables and schemas as an OpenAPI document. Called by system.c.
 */

#include "openapi.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "http.h"
#include "target.h"
#include "version.h"

/* ---- components/schemas ---- */

static void add_schema(json_t *schemas, const schema_t *schema, schema_use_t use);

/* Lists of a merge patch hold whole items, as at creation. */
static void add_nested(json_t *schemas, const field_t *field, schema_use_t use)
{
    if (field == NULL || !field_may_be(field, use))
        return;
    if (field->type == FIELD_OBJECT)
        add_schema(schemas, field->schema, use);
    else if (field->type == FIELD_LIST)
        add_nested(schemas, field->item, use == SCHEMA_PATCH ? SCHEMA_CREATE : use);
    else if (field->type == FIELD_MAP)
        add_nested(schemas, field->item, use);
}

static void add_schema(json_t *schemas, const schema_t *schema, schema_use_t use)
{
    char name[96];

    if (schema == NULL)
        return;
    snprintf(name, sizeof(name), "%s%s", schema->name, schema_suffix(use));
    if (json_object_get(schemas, name) != NULL)
        return;
    json_object_set_new(schemas, name, schema_json(schema, use));
    for (size_t i = 0; i < schema->count; i++)
        add_nested(schemas, &schema->fields[i], use);
}

static json_t *problem_schema(void)
{
    return json_pack(
        "{s:s, s:b, s:[s,s,s,s,s], s:{s:{s:s}, s:{s:s}, s:{s:s, s:i, s:i}, s:{s:s}, s:{s:s},"
        " s:{s:s, s:i, s:{s:s, s:b, s:[s,s], s:{s:{s:s}, s:{s:s}}}}}}",
        "type", "object", "additionalProperties", 0, "required", "type", "title", "status", "code",
        "detail", "properties", "type", "type", "string", "title", "type", "string", "status",
        "type", "integer", "minimum", 400, "maximum", 599, "code", "type", "string", "detail",
        "type", "string", "faults", "type", "array", "maxItems", PROBLEM_FAULTS_MAX, "items",
        "type", "object", "additionalProperties", 0, "required", "pointer", "message", "properties",
        "pointer", "type", "string", "message", "type", "string");
}

/* ---- parameters ---- */

static const struct {
    const char *name;
    const char *schema; /* JSON */
    const char *description;
} queries[] = {
    {"dry_run", "{\"type\": \"boolean\"}", "Do all of it, answer, and change nothing."},
    {"wait", "{\"type\": \"string\", \"enum\": [\"applied\"]}",
     "Answer when every live worker serves the change."},
    {"wait_ms", "{\"type\": \"integer\", \"minimum\": 1, \"maximum\": 60000, \"default\": 5000}",
     "How long to wait, in ms; then 504, with the change stored."},
    {"limit", "{\"type\": \"integer\", \"minimum\": 1, \"maximum\": 500, \"default\": 50}",
     "How many items at most."},
    {"cursor", "{\"type\": \"string\"}", "next_cursor of the page before."},
};

static json_t *parameter(const char *in, const char *name, bool required, const char *schema,
                         const char *description)
{
    json_t *json = json_pack("{s:s, s:s, s:b, s:o}", "in", in, "name", name, "required",
                             (int)required, "schema", json_loads(schema, 0, NULL));

    if (description != NULL)
        json_object_set_new(json, "description", json_string(description));
    return json;
}

static json_t *query_parameter(const char *name)
{
    for (size_t i = 0; i < sizeof(queries) / sizeof(queries[0]); i++)
        if (strcmp(queries[i].name, name) == 0)
            return parameter("query", name, false, queries[i].schema, queries[i].description);
    return parameter("query", name, false, "{\"type\": \"string\"}", NULL);
}

static json_t *parameters_json(const route_t *route)
{
    static const char text[] = "{\"type\": \"string\", \"minLength\": 1, \"maxLength\": 255}";
    json_t *list = json_array();
    const char *name;

    if (strstr(route->pattern, "{workspace}") != NULL)
        json_array_append_new(list, parameter("path", "workspace", true, text, "Its name or id."));
    if (strstr(route->pattern, "{id}") != NULL)
        json_array_append_new(list, parameter("path", "id", true, text, "The id or the name."));
    for (size_t i = 0; (name = target_query_name(route, i)) != NULL; i++)
        json_array_append_new(list, query_parameter(name));
    if ((route->flags & ROUTE_MATCH) != 0)
        json_array_append_new(list, parameter("header", "If-Match", strcmp(route->method, "PUT"),
                                              "{\"type\": \"string\"}",
                                              "The ETag of what was read, or *."));
    if ((route->flags & (ROUTE_CHANGES | ROUTE_OPEN)) == ROUTE_CHANGES)
        json_array_append_new(
            list, parameter("header", "Idempotency-Key", false,
                            "{\"type\": \"string\", \"minLength\": 1, \"maxLength\": 255}",
                            "Sent again with the same request, it is carried out once."));
    return list;
}

/* ---- bodies ---- */

static json_t *content(const char *media_type, json_t *schema)
{
    return json_pack("{s:{s:o}}", media_type, "schema", schema);
}

static json_t *request_json(const route_t *route)
{
    json_t *types = content("application/json", schema_reference(route->request, route->use));

    if (strcmp(route->method, "PATCH") == 0)
        json_object_set_new(
            types, "application/merge-patch+json",
            json_pack("{s:o}", "schema", schema_reference(route->request, route->use)));
    return json_pack("{s:b, s:o}", "required", 1, "content", types);
}

static json_t *answer_content(const route_t *route)
{
    json_t *item;

    if ((route->flags & ROUTE_PLAIN) != 0)
        return content("text/plain", json_pack("{s:s}", "type", "string"));
    item = schema_reference(route->answer, SCHEMA_ANSWER);
    if ((route->flags & ROUTE_LIST) == 0)
        return content("application/json", item);
    return content("application/json",
                   json_pack("{s:s, s:b, s:[s,s], s:{s:{s:s, s:o}, s:{s:[s,s]}}}", "type", "object",
                             "additionalProperties", 0, "required", "items", "next_cursor",
                             "properties", "items", "type", "array", "items", item, "next_cursor",
                             "type", "string", "null"));
}

static json_t *header_json(const char *type, const char *description)
{
    return json_pack("{s:s, s:{s:s}}", "description", description, "schema", "type", type);
}

static json_t *headers_json(const route_t *route)
{
    json_t *headers = json_object();

    json_object_set_new(headers, "X-Request-Id", header_json("string", "Names the request."));
    if ((route->flags & (ROUTE_LIST | ROUTE_OPEN | ROUTE_NO_SESSION)) == 0)
        json_object_set_new(headers, "ETag", header_json("string", "The version, for If-Match."));
    if ((route->flags & ROUTE_CHANGES) == 0)
        return headers;
    json_object_set_new(headers, "Relay-Revision",
                        header_json("integer", "Revision of the configuration that this made."));
    json_object_set_new(headers, "Idempotency-Replayed",
                        header_json("boolean", "The answer of before."));
    json_object_set_new(headers, "dry_run", header_json("boolean", "Nothing was changed."));
    return headers;
}

static json_t *success_json(const route_t *route)
{
    json_t *json =
        json_pack("{s:s, s:o}", "description", route->summary, "headers", headers_json(route));

    if (route->answer != NULL || (route->flags & ROUTE_PLAIN) != 0)
        json_object_set_new(json, "content", answer_content(route));
    return json;
}

static void add_problem(json_t *responses, const char *status)
{
    json_object_set_new(responses, status,
                        json_pack("{s:s}", "$ref", "#/components/responses/Problem"));
}

static json_t *responses_json(const route_t *route)
{
    char status[16];
    json_t *responses = json_object();

    snprintf(status, sizeof(status), "%u", route->status);
    json_object_set_new(responses, status, success_json(route));
    /* PUT replaces or makes. */
    if (strcmp(route->method, "PUT") == 0)
        json_object_set_new(responses, route->status == 200 ? "201" : "200", success_json(route));

    add_problem(responses, "400");
    if ((route->flags & ROUTE_OPEN) == 0) {
        add_problem(responses, "401");
        add_problem(responses, "403");
    }
    if (strchr(route->pattern, '{') != NULL)
        add_problem(responses, "404");
    if (route->request != NULL)
        add_problem(responses, "422");
    if ((route->flags & ROUTE_CHANGES) != 0)
        add_problem(responses, "409");
    if ((route->flags & ROUTE_MATCH) != 0) {
        add_problem(responses, "412");
        add_problem(responses, "428");
    }
    add_problem(responses, "default");
    return responses;
}

/* ---- operations ---- */

static json_t *operation_json(const route_t *route)
{
    json_t *operation = json_pack(
        "{s:s, s:s, s:o, s:o, s:o}", "operationId", route->operation, "summary", route->summary,
        "parameters", parameters_json(route), "responses", responses_json(route), "security",
        (route->flags & ROUTE_OPEN) != 0 ? json_array() : json_pack("[{s:[]}]", "token"));

    if (route->request != NULL)
        json_object_set_new(operation, "requestBody", request_json(route));
    if (route->scope != NULL)
        json_object_set_new(operation, "x-scope", json_string(route->scope));
    return operation;
}

static void add_operation(json_t *paths, const route_t *route)
{
    char method[16];
    size_t len = 0;
    json_t *path = json_object_get(paths, route->pattern);

    for (; len < sizeof(method) - 1 && route->method[len] != '\0'; len++)
        method[len] = (char)(route->method[len] | 0x20);
    method[len] = '\0';
    if (path == NULL) {
        json_object_set_new(paths, route->pattern, json_object());
        path = json_object_get(paths, route->pattern);
    }
    json_object_set_new(path, method, operation_json(route));
}

static json_t *info_json(void)
{
    return json_pack("{s:s, s:s, s:s}", "title", "Relay admin API", "version", RELAY_VERSION,
                     "description",
                     "Configures Relay. Names and ids are interchangeable in paths and"
                     " references. Changes take If-Match with the ETag that was read.");
}

json_t *openapi_document(void)
{
    json_t *paths = json_object(), *schemas = json_object();

    json_object_set_new(schemas, "Problem", problem_schema());
    for (size_t i = 0; i < route_tables_count; i++)
        for (size_t j = 0; j < route_tables[i]->count; j++) {
            const route_t *route = &route_tables[i]->routes[j];
            add_operation(paths, route);
            add_schema(schemas, route->request, route->use);
            add_schema(schemas, route->answer, SCHEMA_ANSWER);
        }

    return json_pack("{s:s, s:s, s:o, s:[{s:s}], s:o, s:{s:o, s:{s:{s:s, s:o}}, s:{s:{s:s, s:s}}}}",
                     "openapi", "3.1.0", "jsonSchemaDialect",
                     "https://json-schema.org/draft/2020-12/schema", "info", info_json(), "servers",
                     "url", "/", "paths", paths, "components", "schemas", schemas, "responses",
                     "Problem", "description", "What went wrong (RFC 9457).", "content",
                     content("application/problem+json",
                             json_pack("{s:s}", "$ref", "#/components/schemas/Problem")),
                     "securitySchemes", "token", "type", "http", "scheme", "bearer");
}
