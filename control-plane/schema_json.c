/*
 * The tables of schema.h as JSON Schema 2020-12. Called by openapi.c.
 */

#include "schema.h"

#include <stdio.h>
#include <string.h>

/* What schema_check() refuses in texts that have no pattern of their own. */
static const char no_control[] = "^[^\\x00-\\x1f\\x7f-\\x9f]*$";

static json_t *field_json(const field_t *field, schema_use_t use);

const char *schema_suffix(schema_use_t use)
{
    return use == SCHEMA_CREATE ? "Create" : use == SCHEMA_PATCH ? "Patch" : "";
}

json_t *schema_reference(const schema_t *schema, schema_use_t use)
{
    return json_pack("{s:s++}", "$ref", "#/components/schemas/", schema->name, schema_suffix(use));
}

static void set_limits(json_t *json, const field_t *field, const char *min_name,
                       const char *max_name)
{
    long long min, max;

    field_limits(field, &min, &max);
    json_object_set_new(json, min_name, json_integer(min));
    json_object_set_new(json, max_name, json_integer(max));
}

static json_t *text_json(const field_t *field)
{
    json_t *json = json_pack("{s:s}", "type", "string");

    if (field->values != NULL) {
        json_t *values = json_array();
        for (size_t i = 0; field->values[i] != NULL; i++)
            json_array_append_new(values, json_string(field->values[i]));
        json_object_set_new(json, "enum", values);
        return json;
    }
    set_limits(json, field, "minLength", "maxLength");
    if (field->pattern != NULL)
        json_object_set_new(json, "pattern", json_string(field->pattern));
    else if ((field->flags & FIELD_LINES) == 0)
        json_object_set_new(json, "pattern", json_string(no_control));
    return json;
}

static json_t *integer_json(const field_t *field)
{
    json_t *json = json_pack("{s:s}", "type", "integer");

    set_limits(json, field, "minimum", "maximum");
    return json;
}

static json_t *list_json(const field_t *field, schema_use_t use)
{
    json_t *json = json_pack("{s:s}", "type", "array");

    set_limits(json, field, "minItems", "maxItems");
    if (field->item != NULL)
        json_object_set_new(json, "items",
                            field_json(field->item, use == SCHEMA_PATCH ? SCHEMA_CREATE : use));
    return json;
}

static json_t *nullable(json_t *json)
{
    json_t *type = json_object_get(json, "type");

    if (json_is_string(type) && json_object_get(json, "enum") == NULL) {
        json_object_set_new(json, "type", json_pack("[O, s]", type, "null"));
        return json;
    }
    return json_pack("{s:[o, {s:s}]}", "anyOf", json, "type", "null");
}

static json_t *map_json(const field_t *field, schema_use_t use)
{
    json_t *json = json_pack("{s:s, s:{s:i, s:i}}", "type", "object", "propertyNames", "minLength",
                             1, "maxLength", SCHEMA_NAME_MAX);

    set_limits(json, field, "minProperties", "maxProperties");
    if (field->item == NULL)
        return json;
    json_t *value = field_json(field->item, use);
    bool has_null = (field->item->flags & FIELD_NULLABLE) != 0 || use != SCHEMA_PATCH;
    json_object_set_new(json, "additionalProperties", has_null ? value : nullable(value));
    return json;
}

static json_t *type_json(const field_t *field, schema_use_t use)
{
    switch (field->type) {
    case FIELD_TEXT:
    case FIELD_REFERENCE:
        return text_json(field);
    case FIELD_INTEGER:
        return integer_json(field);
    case FIELD_BOOLEAN:
        return json_pack("{s:s}", "type", "boolean");
    case FIELD_TIME:
        return json_pack("{s:s, s:s}", "type", "string", "format", "date-time");
    case FIELD_OBJECT:
        return schema_reference(field->schema, use);
    case FIELD_LIST:
        return list_json(field, use);
    case FIELD_MAP:
        return map_json(field, use);
    case FIELD_ANY:
        break;
    }
    return json_object();
}

static void describe(json_t *json, const field_t *field, schema_use_t use)
{
    if (field->description != NULL)
        json_object_set_new(json, "description", json_string(field->description));
    if (field->refers_to != NULL)
        json_object_set_new(json, "x-refers-to", json_string(field->refers_to));
    if (field->fallback != NULL && use == SCHEMA_CREATE)
        json_object_set_new(json, "default", json_loads(field->fallback, JSON_DECODE_ANY, NULL));
    if ((field->flags & FIELD_WRITE_ONLY) != 0)
        json_object_set_new(json, "writeOnly", json_true());
    if ((field->flags & FIELD_READ_ONLY) != 0)
        json_object_set_new(json, "readOnly", json_true());
    if ((field->flags & FIELD_IMMUTABLE) != 0)
        json_object_set_new(json, "x-immutable", json_true());
}

static json_t *field_json(const field_t *field, schema_use_t use)
{
    json_t *json = type_json(field, use);
    bool removable =
        use == SCHEMA_PATCH && (field->flags & FIELD_REQUIRED) == 0 && field->name != NULL;

    if (((field->flags & FIELD_NULLABLE) != 0 || removable) && field->type != FIELD_ANY)
        json = nullable(json);
    describe(json, field, use);
    return json;
}

json_t *schema_json(const schema_t *schema, schema_use_t use)
{
    json_t *properties = json_object(), *required = json_array();

    for (size_t i = 0; i < schema->count; i++) {
        const field_t *field = &schema->fields[i];
        if (!field_may_be(field, use))
            continue;
        json_object_set_new(properties, field->name, field_json(field, use));
        if (field_must_be(field, use))
            json_array_append_new(required, json_string(field->name));
    }

    json_t *json = json_pack("{s:s, s:o, s:b}", "type", "object", "properties", properties,
                             "additionalProperties", schema->open);
    if (json_array_size(required) != 0)
        json_object_set(json, "required", required);
    json_decref(required);
    return json;
}
