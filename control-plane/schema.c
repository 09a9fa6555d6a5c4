/*
 * Checks documents against the tables of schema.h: every fault that there is,
 * each with its JSON pointer. Called by http's pipeline for requests, by nouns
 * for what merging made, by tests for answers.
 */

#include "schema.h"

#include <pthread.h>
#include <regex.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "nearest.h"
#include "utf8.h"

enum { POINTER_MAX = 1024, DEPTH_MAX = 32, PATTERNS_MAX = 128 };

static const long long integer_max = 9007199254740991; /* exact in every JSON reader */

const schema_t schema_anything = {.name = "Anything", .open = true};

/* Where in the document we are. */
typedef struct {
    problem_t *problem;
    schema_use_t use;
    char pointer[POINTER_MAX];
    size_t len;
    unsigned depth;
} place_t;

static void check_value(place_t *place, const field_t *field, const json_t *value);
static void check_object(place_t *place, const schema_t *schema, const json_t *object);

/* ---- fields ---- */

void field_limits(const field_t *field, long long *min, long long *max)
{
    *min = field->min;
    *max = field->max;
    if (*min != 0 || *max != 0)
        return;

    switch (field->type) {
    case FIELD_TEXT:
    case FIELD_REFERENCE:
        *min = SCHEMA_TEXT_MIN;
        *max = SCHEMA_TEXT_MAX;
        break;
    case FIELD_LIST:
    case FIELD_MAP:
        *max = SCHEMA_ITEMS_MAX;
        break;
    default:
        *max = integer_max;
        break;
    }
}

bool field_may_be(const field_t *field, schema_use_t use)
{
    unsigned refused = use == SCHEMA_ANSWER  ? FIELD_WRITE_ONLY
                       : use == SCHEMA_PATCH ? FIELD_READ_ONLY | FIELD_IMMUTABLE
                                             : FIELD_READ_ONLY;

    return (field->flags & refused) == 0;
}

bool field_must_be(const field_t *field, schema_use_t use)
{
    if (use == SCHEMA_PATCH || !field_may_be(field, use))
        return false;
    if (use == SCHEMA_CREATE)
        return (field->flags & FIELD_REQUIRED) != 0;
    return (field->flags & (FIELD_REQUIRED | FIELD_READ_ONLY)) != 0 &&
           (field->flags & FIELD_OPTIONAL_ANSWER) == 0;
}

static bool takes_null(const field_t *field, schema_use_t use)
{
    if ((field->flags & FIELD_NULLABLE) != 0)
        return true;
    return use == SCHEMA_PATCH && (field->flags & FIELD_REQUIRED) == 0; /* null removes it */
}

/* ---- pointers (RFC 6901) ---- */

static void put_byte(place_t *place, char byte)
{
    if (place->len < POINTER_MAX - 1)
        place->pointer[place->len++] = byte;
    place->pointer[place->len] = '\0';
}

static size_t enter(place_t *place, const char *name)
{
    size_t before = place->len;

    put_byte(place, '/');
    for (const char *p = name; *p != '\0'; p++) {
        if (*p == '~' || *p == '/')
            put_byte(place, '~');
        put_byte(place, *p == '~' ? '0' : *p == '/' ? '1' : *p);
    }
    place->depth++;
    return before;
}

static size_t enter_index(place_t *place, size_t index)
{
    char name[24];

    snprintf(name, sizeof(name), "%zu", index);
    return enter(place, name);
}

static void leave(place_t *place, size_t before)
{
    place->len = before;
    place->pointer[before] = '\0';
    place->depth--;
}

#define FAULT(place, ...) problem_fault((place)->problem, (place)->pointer, __VA_ARGS__)

/* ---- texts ---- */

/* Compiled once; tables have a fixed number of patterns. */
static const regex_t *compiled(const char *pattern)
{
    static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    static struct {
        const char *pattern;
        regex_t regex;
    } cache[PATTERNS_MAX];
    const regex_t *found = NULL;
    size_t i;

    pthread_mutex_lock(&mutex);
    for (i = 0; i < PATTERNS_MAX && cache[i].pattern != NULL; i++)
        if (strcmp(cache[i].pattern, pattern) == 0)
            break;
    if (i < PATTERNS_MAX && cache[i].pattern == NULL &&
        regcomp(&cache[i].regex, pattern, REG_EXTENDED | REG_NOSUB) == 0)
        cache[i].pattern = pattern;
    if (i < PATTERNS_MAX && cache[i].pattern != NULL)
        found = &cache[i].regex;
    pthread_mutex_unlock(&mutex);
    return found;
}

static bool matches(const char *pattern, const char *text)
{
    const regex_t *regex = compiled(pattern);

    return regex != NULL && regexec(regex, text, 0, NULL, 0) == 0;
}

/* Characters, not bytes; -1 if one of them is a control character. */
static long long count_characters(const char *text, bool lines)
{
    relay_span_t rest = relay_span((const uint8_t *)text, strlen(text));
    long long count = 0;

    for (; rest.len != 0; count++) {
        size_t len = relay_utf8_character(rest);
        uint8_t byte = rest.base[0];
        bool c1 = len == 2 && byte == 0xc2 && rest.base[1] < 0xa0;
        if (len == 0 || c1 || byte == 0x7f ||
            (byte < 0x20 && !(lines && (byte == '\n' || byte == '\t' || byte == '\r'))))
            return -1;
        rest = relay_span(rest.base + len, rest.len - len);
    }
    return count;
}

static bool listed(const char *const *values, const char *text)
{
    for (size_t i = 0; values[i] != NULL; i++)
        if (strcmp(values[i], text) == 0)
            return true;
    return false;
}

static void fault_of_values(place_t *place, const char *const *values)
{
    char known[200] = "";
    size_t len = 0;

    for (size_t i = 0; values[i] != NULL && len < sizeof(known); i++)
        len += (size_t)snprintf(known + len, sizeof(known) - len, "%s\"%s\"", i == 0 ? "" : ", ",
                                values[i]);
    FAULT(place, "expected one of %s", known);
}

/* What was found is not quoted: it may be a secret. */
static void check_text(place_t *place, const field_t *field, const char *text)
{
    long long min, max, count = count_characters(text, (field->flags & FIELD_LINES) != 0);

    field_limits(field, &min, &max);
    if (count < 0)
        FAULT(place, "has a control character");
    else if (count < min || count > max)
        FAULT(place, "has %lld characters, expected %lld to %lld", count, min, max);
    else if (field->values != NULL && !listed(field->values, text))
        fault_of_values(place, field->values);
    else if (field->pattern != NULL && !matches(field->pattern, text))
        FAULT(place, "does not have the form %s", field->pattern);
}

/* ---- times ---- */

static bool digits(const char **text, size_t count, int *value)
{
    *value = 0;
    for (size_t i = 0; i < count; i++, (*text)++) {
        if (**text < '0' || **text > '9')
            return false;
        *value = *value * 10 + (**text - '0');
    }
    return true;
}

static bool one_of(const char **text, const char *characters)
{
    if (**text == '\0' || strchr(characters, **text) == NULL)
        return false;
    (*text)++;
    return true;
}

static bool is_date(const char **text)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    int year, month, day;

    if (!digits(text, 4, &year) || !one_of(text, "-") || !digits(text, 2, &month) ||
        !one_of(text, "-") || !digits(text, 2, &day) || month < 1 || month > 12)
        return false;

    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return year >= 1970 && day >= 1 && day <= days[month - 1] + (month == 2 && leap);
}

static bool is_offset(const char **text)
{
    int hours, minutes;

    if (one_of(text, "Z"))
        return true;
    return one_of(text, "+-") && digits(text, 2, &hours) && one_of(text, ":") &&
           digits(text, 2, &minutes) && hours < 16 && minutes < 60; /* as the database takes them */
}

static bool is_time(const char *text)
{
    int hours, minutes, seconds, fraction;

    if (!is_date(&text) || !one_of(&text, "T") || !digits(&text, 2, &hours) ||
        !one_of(&text, ":") || !digits(&text, 2, &minutes) || !one_of(&text, ":") ||
        !digits(&text, 2, &seconds) || hours > 23 || minutes > 59 || seconds > 59)
        return false;
    if (one_of(&text, ".")) {
        size_t count = strspn(text, "0123456789");
        if (count == 0 || count > 9 || !digits(&text, count, &fraction))
            return false;
    }
    return is_offset(&text) && *text == '\0';
}

/* ---- values ---- */

static const char *type_name(const json_t *value)
{
    static const char *const names[] = {
        [JSON_OBJECT] = "an object",   [JSON_ARRAY] = "a list",    [JSON_STRING] = "a text",
        [JSON_INTEGER] = "an integer", [JSON_REAL] = "a fraction", [JSON_TRUE] = "true",
        [JSON_FALSE] = "false",        [JSON_NULL] = "null"};

    return names[json_typeof(value)];
}

static const struct {
    json_type json;
    const char *name;
} expected[] = {
    [FIELD_TEXT] = {JSON_STRING, "a text"},
    [FIELD_INTEGER] = {JSON_INTEGER, "an integer"},
    [FIELD_BOOLEAN] = {JSON_TRUE, "true or false"},
    [FIELD_TIME] = {JSON_STRING, "a time as in \"2030-01-31T00:00:00Z\""},
    [FIELD_REFERENCE] = {JSON_STRING, "a name or an id"},
    [FIELD_OBJECT] = {JSON_OBJECT, "an object"},
    [FIELD_LIST] = {JSON_ARRAY, "a list"},
    [FIELD_MAP] = {JSON_OBJECT, "an object"},
};

static bool has_type(const field_t *field, const json_t *value)
{
    if (field->type == FIELD_ANY)
        return true;
    if (field->type == FIELD_BOOLEAN)
        return json_is_boolean(value);
    return json_typeof(value) == expected[field->type].json;
}

static void check_count(place_t *place, const field_t *field, size_t count)
{
    long long min, max;

    field_limits(field, &min, &max);
    if ((long long)count < min || (long long)count > max)
        FAULT(place, "has %zu entries, expected %lld to %lld", count, min, max);
}

static void check_integer(place_t *place, const field_t *field, long long value)
{
    long long min, max;

    field_limits(field, &min, &max);
    if (value < min || value > max)
        FAULT(place, "is %lld, expected %lld to %lld", value, min, max);
}

/* Lists are not merged: what a patch has is the whole list. */
static void check_list(place_t *place, const field_t *field, const json_t *list)
{
    schema_use_t use = place->use;

    check_count(place, field, json_array_size(list));
    if (use == SCHEMA_PATCH)
        place->use = SCHEMA_CREATE;
    for (size_t i = 0; field->item != NULL && i < json_array_size(list); i++) {
        size_t before = enter_index(place, i);
        check_value(place, field->item, json_array_get(list, i));
        leave(place, before);
    }
    place->use = use;
}

static void check_map(place_t *place, const field_t *field, const json_t *map)
{
    const char *name;
    json_t *value;

    check_count(place, field, json_object_size(map));
    json_object_foreach((json_t *)map, name, value)
    {
        size_t before = enter(place, name);
        long long count = count_characters(name, false);
        if (count < 1 || count > SCHEMA_NAME_MAX)
            FAULT(place, "this name is not 1 to %d characters, none of them control characters",
                  SCHEMA_NAME_MAX);
        else if (field->item != NULL && !(place->use == SCHEMA_PATCH && json_is_null(value)))
            check_value(place, field->item, value);
        leave(place, before);
    }
}

static void check_value(place_t *place, const field_t *field, const json_t *value)
{
    if (json_is_null(value) && takes_null(field, place->use))
        return;
    if (!has_type(field, value)) {
        FAULT(place, "is %s, expected %s", type_name(value), expected[field->type].name);
        return;
    }
    if (place->depth > DEPTH_MAX) {
        FAULT(place, "is nested too deeply");
        return;
    }

    switch (field->type) {
    case FIELD_TEXT:
    case FIELD_REFERENCE:
        check_text(place, field, json_string_value(value));
        break;
    case FIELD_INTEGER:
        check_integer(place, field, json_integer_value(value));
        break;
    case FIELD_TIME:
        if (!is_time(json_string_value(value)))
            FAULT(place, "is no time, expected one as in \"2030-01-31T00:00:00Z\"");
        break;
    case FIELD_OBJECT:
        check_object(place, field->schema, value);
        break;
    case FIELD_LIST:
        check_list(place, field, value);
        break;
    case FIELD_MAP:
        check_map(place, field, value);
        break;
    case FIELD_BOOLEAN:
    case FIELD_ANY:
        break;
    }
}

/* ---- objects ---- */

typedef struct {
    const schema_t *schema;
    schema_use_t use;
} members_t;

/* Names of members that may be given; others are passed over as "". */
static const char *member_name(const void *list, size_t i)
{
    const members_t *members = list;

    if (i >= members->schema->count)
        return NULL;
    const field_t *field = &members->schema->fields[i];
    return field_may_be(field, members->use) ? field->name : "";
}

static const field_t *find_field(const schema_t *schema, const char *name)
{
    for (size_t i = 0; i < schema->count; i++)
        if (strcmp(schema->fields[i].name, name) == 0)
            return &schema->fields[i];
    return NULL;
}

static void fault_of_member(place_t *place, const schema_t *schema, const char *name)
{
    members_t members = {schema, place->use};
    const char *known = nearest(name, member_name, &members);

    if (known != NULL && known[0] != '\0')
        FAULT(place, "there is no such member; did you mean \"%s\"?", known);
    else
        FAULT(place, "there is no such member");
}

static void check_member(place_t *place, const schema_t *schema, const char *name,
                         const json_t *value)
{
    const field_t *field = find_field(schema, name);

    if (field == NULL && schema->open)
        return;
    if (field == NULL)
        fault_of_member(place, schema, name);
    else if (field_may_be(field, place->use))
        check_value(place, field, value);
    else if (place->use == SCHEMA_ANSWER)
        FAULT(place, "is write-only");
    else if ((field->flags & FIELD_READ_ONLY) != 0)
        FAULT(place, "is read-only: leave it out");
    else
        FAULT(place, "can be given at creation only");
}

static void check_object(place_t *place, const schema_t *schema, const json_t *object)
{
    const char *name;
    json_t *value;

    json_object_foreach((json_t *)object, name, value)
    {
        size_t before = enter(place, name);
        check_member(place, schema, name, value);
        leave(place, before);
    }

    for (size_t i = 0; i < schema->count; i++) {
        const field_t *field = &schema->fields[i];
        if (!field_must_be(field, place->use) || json_object_get(object, field->name) != NULL)
            continue;
        size_t before = enter(place, field->name);
        FAULT(place, "is missing");
        leave(place, before);
    }
}

bool schema_check(const schema_t *schema, schema_use_t use, const json_t *document,
                  problem_t *problem)
{
    place_t place = {.problem = problem, .use = use};
    size_t before = problem->nfaults;

    if (!json_is_object(document))
        return FAULT(&place, "is %s, expected an object", type_name(document));
    check_object(&place, schema, document);
    return problem->nfaults == before && problem->code == PROBLEM_NONE;
}
