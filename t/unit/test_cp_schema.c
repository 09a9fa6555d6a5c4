/* Tables against documents: every kind of fault with its pointer, and the same tables as schemas.
 */

#include "schema.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const char *const colours[] = {"red", "green", NULL};
static const field_t inner_fields[] = {
    {.name = "key", .type = FIELD_TEXT, .flags = FIELD_REQUIRED},
    {.name = "weight", .type = FIELD_INTEGER, .min = 1, .max = 10},
};
static const schema_t inner = SCHEMA("Inner", inner_fields);
static const field_t inner_item = {.type = FIELD_OBJECT, .schema = &inner};
static const field_t text_item = {.type = FIELD_TEXT, .min = 1, .max = 3};

static const field_t fields[] = {
    {.name = "id", .type = FIELD_TEXT, .flags = FIELD_READ_ONLY},
    {.name = "once", .type = FIELD_TEXT, .flags = FIELD_READ_ONLY | FIELD_OPTIONAL_ANSWER},
    {.name = "name", .type = FIELD_TEXT, .flags = FIELD_REQUIRED, .pattern = "^[a-z/~]+$"},
    {.name = "kind", .type = FIELD_TEXT, .flags = FIELD_IMMUTABLE},
    {.name = "secret", .type = FIELD_TEXT, .flags = FIELD_WRITE_ONLY},
    {.name = "colour", .type = FIELD_TEXT, .values = colours},
    {.name = "short", .type = FIELD_TEXT, .min = 2, .max = 4},
    {.name = "lines", .type = FIELD_TEXT, .flags = FIELD_LINES},
    {.name = "count", .type = FIELD_INTEGER, .min = -5, .max = 5},
    {.name = "on", .type = FIELD_BOOLEAN},
    {.name = "at", .type = FIELD_TIME, .flags = FIELD_NULLABLE},
    {.name = "pool", .type = FIELD_REFERENCE, .refers_to = "pool"},
    {.name = "inner", .type = FIELD_OBJECT, .schema = &inner},
    {.name = "list", .type = FIELD_LIST, .max = 2, .item = &inner_item},
    {.name = "map", .type = FIELD_MAP, .item = &text_item},
    {.name = "any", .type = FIELD_ANY},
};
static const schema_t schema = SCHEMA("Thing", fields);

/* Pointers of all faults, with a space after each. */
static const char *faults(schema_use_t use, const char *text)
{
    static char pointers[4096];
    problem_t problem = {.code = PROBLEM_NONE};
    json_t *document = json_loads(text, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
    size_t len = 0;

    assert_non_null(document);
    bool good = schema_check(&schema, use, document, &problem);
    pointers[0] = '\0';
    for (size_t i = 0; i < problem.nfaults; i++)
        len += (size_t)snprintf(pointers + len, sizeof(pointers) - len, "%s ",
                                problem.faults[i].pointer);
    assert_int_equal(good, problem.nfaults == 0);
    assert_int_equal(good ? PROBLEM_NONE : PROBLEM_INVALID_DOCUMENT, problem.code);
    json_decref(document);
    return pointers;
}

static const char *value(const char *name, const char *text)
{
    char document[1024];

    snprintf(document, sizeof(document), "{\"name\": \"a\", \"%s\": %s}", name, text);
    return faults(SCHEMA_CREATE, document);
}

#define GOOD(name, text) assert_string_equal(value(name, text), "")
#define BAD(name, text)  assert_string_equal(value(name, text), "/" name " ")

static void documents(void **state)
{
    (void)state;
    assert_string_equal(faults(SCHEMA_CREATE, "{\"name\": \"a\"}"), "");
    assert_string_equal(faults(SCHEMA_CREATE, "{}"), "/name ");
    assert_string_equal(faults(SCHEMA_CREATE, "{\"name\": \"a\", \"nme\": 1}"), "/nme ");
    assert_string_equal(faults(SCHEMA_CREATE, "{\"name\": \"a\", \"id\": \"x\"}"), "/id ");
    assert_string_equal(faults(SCHEMA_CREATE, "{\"name\": \"a\", \"kind\": \"x\"}"), "");
    assert_string_equal(faults(SCHEMA_CREATE, "[]"), " ");
    assert_string_equal(faults(SCHEMA_CREATE, "null"), " ");
}

static void texts(void **state)
{
    (void)state;
    GOOD("short", "\"ab\"");
    GOOD("short", "\"äöü€\""); /* characters, not bytes */
    BAD("short", "\"a\"");
    BAD("short", "\"abcde\"");
    BAD("short", "1");
    BAD("short", "null");
    BAD("secret", "\"\"");
    BAD("secret", "\"a\\nb\"");
    BAD("secret", "\"a\\u007f\"");
    BAD("secret", "\"a\\u0085\"");
    GOOD("lines", "\"a\\nb\\tc\"");
    BAD("lines", "\"a\\u0001b\"");
    GOOD("colour", "\"red\"");
    BAD("colour", "\"blue\"");
    GOOD("pool", "\"a\"");
    BAD("pool", "{}");
    assert_string_equal(faults(SCHEMA_CREATE, "{\"name\": \"a b\"}"), "/name ");
    assert_string_equal(faults(SCHEMA_CREATE, "{\"name\": \"a\\nb\"}"), "/name ");
}

static void long_texts(void **state)
{
    char text[300] = "\"";

    (void)state;
    memset(text + 1, 'x', 256);
    memcpy(text + 257, "\"", 2);
    GOOD("secret", text);
    memcpy(text + 257, "x\"", 3);
    BAD("secret", text);
}

static void numbers(void **state)
{
    (void)state;
    GOOD("count", "-5");
    GOOD("count", "5");
    BAD("count", "6");
    BAD("count", "-6");
    BAD("count", "1.0");
    BAD("count", "\"1\"");
    GOOD("on", "true");
    GOOD("on", "false");
    BAD("on", "0");
    BAD("on", "null");
}

static void times(void **state)
{
    (void)state;
    GOOD("at", "null");
    GOOD("at", "\"2030-01-31T23:59:59Z\"");
    GOOD("at", "\"2030-01-31T23:59:59.123456789+05:30\"");
    GOOD("at", "\"2028-02-29T00:00:00Z\"");
    BAD("at", "\"2030-02-29T00:00:00Z\"");
    BAD("at", "\"2030-04-31T00:00:00Z\"");
    BAD("at", "\"2030-13-01T00:00:00Z\"");
    BAD("at", "\"2030-00-01T00:00:00Z\"");
    BAD("at", "\"2030-01-01T24:00:00Z\"");
    BAD("at", "\"2030-01-01T00:60:00Z\"");
    BAD("at", "\"2030-01-01 00:00:00Z\"");
    BAD("at", "\"2030-01-01T00:00:00\"");
    BAD("at", "\"2030-01-01T00:00:00.Z\"");
    BAD("at", "\"2030-01-01T00:00:00Z \"");
    BAD("at", "\"2030-01-01T00:00:00+24:00\"");
    BAD("at", "\"2030-01-01\"");
    BAD("at", "1893456000");
}

static void nested(void **state)
{
    (void)state;
    GOOD("inner", "{\"key\": \"k\", \"weight\": 10}");
    assert_string_equal(value("inner", "{\"weight\": 11}"), "/inner/weight /inner/key ");
    assert_string_equal(value("list", "[{\"key\": \"k\"}, {\"key\": 1, \"x\": 1}]"),
                        "/list/1/key /list/1/x ");
    BAD("list", "[{\"key\": \"a\"}, {\"key\": \"b\"}, {\"key\": \"c\"}]");
    BAD("list", "{}");
    GOOD("map", "{\"a\": \"x\"}");
    assert_string_equal(value("map", "{\"a/b~c\": \"long\"}"), "/map/a~1b~0c ");
    assert_string_equal(value("map", "{\"\": \"x\"}"), "/map/ ");
    GOOD("any", "[null, {\"a\": 1.5}]");
}

static void patches(void **state)
{
    (void)state;
    assert_string_equal(faults(SCHEMA_PATCH, "{}"), "");
    assert_string_equal(faults(SCHEMA_PATCH, "{\"colour\": null, \"inner\": null}"), "");
    assert_string_equal(faults(SCHEMA_PATCH, "{\"name\": null}"), "/name ");
    assert_string_equal(faults(SCHEMA_PATCH, "{\"kind\": \"x\"}"), "/kind ");
    assert_string_equal(faults(SCHEMA_PATCH, "{\"id\": \"x\"}"), "/id ");
    assert_string_equal(faults(SCHEMA_PATCH, "{\"secret\": \"x\"}"), "");
    assert_string_equal(faults(SCHEMA_PATCH, "{\"inner\": {\"weight\": 1}}"), "");
    assert_string_equal(faults(SCHEMA_PATCH, "{\"inner\": {\"weight\": null}}"), "");
    assert_string_equal(faults(SCHEMA_PATCH, "{\"map\": {\"a\": null}}"), "");
    /* A list is not merged: its items are whole. */
    assert_string_equal(faults(SCHEMA_PATCH, "{\"list\": [{\"weight\": 1}]}"), "/list/0/key ");
    assert_string_equal(faults(SCHEMA_PATCH, "{\"list\": [{\"key\": null}]}"), "/list/0/key ");
}

static void answers(void **state)
{
    (void)state;
    assert_string_equal(faults(SCHEMA_ANSWER, "{\"id\": \"x\", \"name\": \"a\"}"), "");
    assert_string_equal(faults(SCHEMA_ANSWER, "{\"name\": \"a\"}"), "/id ");
    assert_string_equal(
        faults(SCHEMA_ANSWER, "{\"id\": \"x\", \"name\": \"a\", \"secret\": \"s\"}"), "/secret ");
    assert_string_equal(faults(SCHEMA_ANSWER, "{\"id\": \"x\", \"name\": \"a\", \"once\": \"s\"}"),
                        "");
}

static void words(void **state)
{
    problem_t problem = {.code = PROBLEM_NONE};
    json_t *document =
        json_loads("{\"name\": \"a\", \"colur\": 1, \"secret\": 1, \"idd\": 1}", 0, NULL);

    (void)state;
    assert_false(schema_check(&schema, SCHEMA_CREATE, document, &problem));
    assert_int_equal(problem.nfaults, 3);
    assert_non_null(strstr(problem.faults[0].message, "\"colour\""));
    assert_string_equal(problem.faults[1].message, "is an integer, expected a text");
    assert_null(strstr(problem.faults[2].message, "\"id\"")); /* it may not be given either */
    json_decref(document);
}

static void open_schema(void **state)
{
    problem_t problem = {.code = PROBLEM_NONE};
    json_t *document = json_loads("{\"whatever\": [1]}", 0, NULL);

    (void)state;
    assert_true(schema_check(&schema_anything, SCHEMA_CREATE, document, &problem));
    json_decref(document);
}

static json_t *property(json_t *json, const char *name)
{
    return json_object_get(json_object_get(json, "properties"), name);
}

static void assert_json(const json_t *json, const char *wanted)
{
    char *text = json_dumps(json, JSON_COMPACT | JSON_SORT_KEYS);

    assert_string_equal(text != NULL ? text : "none", wanted);
    free(text);
}

static void as_json_schema(void **state)
{
    json_t *create = schema_json(&schema, SCHEMA_CREATE),
           *patch = schema_json(&schema, SCHEMA_PATCH);
    json_t *answer = schema_json(&schema, SCHEMA_ANSWER);

    (void)state;
    assert_true(json_is_false(json_object_get(create, "additionalProperties")));
    assert_json(json_object_get(create, "required"), "[\"name\"]");
    assert_json(json_object_get(answer, "required"), "[\"id\",\"name\"]");
    assert_null(json_object_get(patch, "required"));
    assert_null(property(create, "id"));
    assert_null(property(answer, "secret"));
    assert_null(property(patch, "kind"));
    assert_json(property(create, "count"), "{\"maximum\":5,\"minimum\":-5,\"type\":\"integer\"}");
    assert_json(property(create, "inner"), "{\"$ref\":\"#/components/schemas/InnerCreate\"}");
    assert_json(property(patch, "inner"),
                "{\"anyOf\":[{\"$ref\":\"#/components/schemas/InnerPatch\"}"
                ",{\"type\":\"null\"}]}");
    assert_json(property(create, "at"),
                "{\"format\":\"date-time\",\"type\":[\"string\",\"null\"]}");
    assert_json(property(create, "colour"), "{\"enum\":[\"red\",\"green\"],\"type\":\"string\"}");
    assert_string_equal(json_string_value(json_object_get(property(create, "name"), "pattern")),
                        "^[a-z/~]+$");
    assert_json(json_object_get(property(patch, "list"), "items"),
                "{\"$ref\":\"#/components/schemas/InnerCreate\"}");
    json_decref(create);
    json_decref(patch);
    json_decref(answer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(documents),      cmocka_unit_test(texts),
        cmocka_unit_test(long_texts),     cmocka_unit_test(numbers),
        cmocka_unit_test(times),          cmocka_unit_test(nested),
        cmocka_unit_test(patches),        cmocka_unit_test(answers),
        cmocka_unit_test(words),          cmocka_unit_test(open_schema),
        cmocka_unit_test(as_json_schema),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
