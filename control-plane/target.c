/*
 * Paths, routes and query parameters. Called by exchange.c; openapi.c asks it
 * what a route takes.
 */

#include "target.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "nearest.h"
#include "utf8.h"

/* ---- percent-decoding ---- */

static int hex_value(char digit)
{
    if (digit >= '0' && digit <= '9')
        return digit - '0';
    if (digit >= 'a' && digit <= 'f')
        return digit - 'a' + 10;
    return digit >= 'A' && digit <= 'F' ? digit - 'A' + 10 : -1;
}

static bool is_text(const char *text)
{
    relay_span_t rest = relay_span((const uint8_t *)text, strlen(text));

    while (rest.len != 0) {
        size_t len = relay_utf8_character(rest);
        if (len == 0 || rest.base[0] < 0x20 || rest.base[0] == 0x7f)
            return false;
        rest = relay_span(rest.base + len, rest.len - len);
    }
    return true;
}

static bool decode(char *text, bool plus_is_space)
{
    char *out = text;

    for (const char *in = text; *in != '\0'; in++) {
        if (*in == '+' && plus_is_space) {
            *out++ = ' ';
        } else if (*in != '%') {
            *out++ = *in;
        } else {
            int high = hex_value(in[1]), low = high < 0 ? -1 : hex_value(in[2]);
            if (low < 0 || (high == 0 && low == 0))
                return false;
            *out++ = (char)(high << 4 | low);
            in += 2;
        }
    }
    *out = '\0';
    return is_text(text);
}

/* ---- reading ---- */

static bool read_query(target_t *target, char *name, problem_t *problem)
{
    char *value = strchr(name, '=');

    if (value != NULL)
        *value++ = '\0';
    if (!decode(name, true) || (value != NULL && !decode(value, true)))
        return problem_set(problem, PROBLEM_INVALID_REQUEST,
                           "A query parameter is not percent-encoded UTF-8 text.");
    if (target_query(target, name) != NULL)
        return problem_set(problem, PROBLEM_INVALID_REQUEST,
                           "The query parameter %.64s is there twice.", name);
    if (target->nqueries == HTTP_QUERY_MAX)
        return problem_set(problem, PROBLEM_INVALID_REQUEST,
                           "There are more than %d query parameters.", HTTP_QUERY_MAX);

    target->queries[target->nqueries].name = name;
    target->queries[target->nqueries++].value = value == NULL ? "" : value;
    return true;
}

static bool read_queries(target_t *target, char *text, problem_t *problem)
{
    while (text != NULL) {
        char *next = strchr(text, '&');
        if (next != NULL)
            *next++ = '\0';
        if (*text != '\0' && !read_query(target, text, problem))
            return false;
        text = next;
    }
    return true;
}

static bool no_route(problem_t *problem)
{
    return problem_set(problem, PROBLEM_NOT_FOUND, "There is nothing under this path.");
}

static bool read_segments(target_t *target, char *path, problem_t *problem)
{
    while (path != NULL) {
        char *next = strchr(path, '/');
        if (next != NULL)
            *next++ = '\0';
        if (target->nsegments == HTTP_SEGMENTS_MAX || *path == '\0')
            return no_route(problem);
        target->segments[target->nsegments++] = path;
        path = next;
    }
    return true;
}

bool target_read(target_t *target, const char *sent, problem_t *problem)
{
    size_t len = strlen(sent);

    target->nsegments = target->nqueries = 0;
    target->workspace = target->id = NULL;
    if (len >= sizeof(target->text))
        return problem_set(problem, PROBLEM_INVALID_REQUEST, "The URL is longer than %d bytes.",
                           TARGET_MAX - 1);
    memcpy(target->text, sent, len + 1);
    if (target->text[0] != '/')
        return no_route(problem);

    char *query = strchr(target->text, '?');
    if (query != NULL)
        *query++ = '\0';
    return read_segments(target, target->text + 1, problem) && read_queries(target, query, problem);
}

/* ---- routes ---- */

/* `{id}` takes a segment without a colon, `{id}:verb` one that ends with it: a colon inside
 * a name is sent encoded. Anything else is literal. */
static bool segment_matches(const char *pattern, size_t len, const char *segment)
{
    const char *close = memchr(pattern, '}', len);

    if (pattern[0] != '{' || close == NULL)
        return strlen(segment) == len && memcmp(pattern, segment, len) == 0;

    const char *verb = close + 1, *colon = strrchr(segment, ':');
    size_t verb_len = (size_t)(pattern + len - verb);
    if (verb_len == 0)
        return colon == NULL;
    return colon != NULL && colon != segment && strlen(colon) == verb_len &&
           memcmp(colon, verb, verb_len) == 0;
}

static bool path_matches(const char *pattern, const target_t *target)
{
    size_t i = 0;

    for (const char *p = pattern; *p == '/'; i++) {
        size_t len = strcspn(++p, "/");
        if (i == target->nsegments || !segment_matches(p, len, target->segments[i]))
            return false;
        p += len;
    }
    return i == target->nsegments;
}

static bool take_value(const char **value, char *segment, problem_t *problem)
{
    char *colon = strrchr(segment, ':');

    if (colon != NULL)
        *colon = '\0';
    *value = segment;
    if (!decode(segment, false) || strlen(segment) >= HTTP_SEGMENT_MAX)
        return problem_set(problem, PROBLEM_INVALID_REQUEST,
                           "A part of the path is not percent-encoded UTF-8 text of at most %d"
                           " bytes.",
                           HTTP_SEGMENT_MAX - 1);
    return true;
}

static bool take_values(const char *pattern, target_t *target, problem_t *problem)
{
    size_t i = 0;

    for (const char *p = pattern; *p == '/'; i++) {
        size_t len = strcspn(++p, "/");
        bool workspace = strncmp(p, "{workspace}", 11) == 0;
        if (p[0] == '{' &&
            !take_value(workspace ? &target->workspace : &target->id, target->segments[i], problem))
            return false;
        p += len;
    }
    return true;
}

static void add_allowed(char allow[TARGET_ALLOW_MAX], const char *method)
{
    size_t len = strlen(allow);

    snprintf(allow + len, TARGET_ALLOW_MAX - len, "%s%s%s", len == 0 ? "" : ", ", method,
             strcmp(method, "GET") == 0 ? ", HEAD" : "");
}

const route_t *target_route(target_t *target, const char *method, char allow[TARGET_ALLOW_MAX],
                            problem_t *problem)
{
    const char *wanted = strcmp(method, "HEAD") == 0 ? "GET" : method;

    allow[0] = '\0';
    for (size_t i = 0; i < route_tables_count; i++)
        for (size_t j = 0; j < route_tables[i]->count; j++) {
            const route_t *route = &route_tables[i]->routes[j];
            if (!path_matches(route->pattern, target))
                continue;
            if (strcmp(route->method, wanted) == 0)
                return take_values(route->pattern, target, problem) ? route : NULL;
            add_allowed(allow, route->method);
        }

    if (allow[0] == '\0')
        no_route(problem);
    else
        problem_set(problem, PROBLEM_METHOD_NOT_ALLOWED, "This path takes %s.", allow);
    return NULL;
}

/* ---- query parameters ---- */

const char *target_query_name(const void *list, size_t i)
{
    static const char *const of_changes[] = {"dry_run", "wait", "wait_ms"};
    static const char *const of_lists[] = {"limit", "cursor"};
    const route_t *route = list;
    size_t changes = (route->flags & ROUTE_CHANGES) != 0 ? 3 : 0;
    size_t lists = (route->flags & ROUTE_LIST) != 0 ? 2 : 0;

    if (i < changes)
        return of_changes[i];
    if (i < changes + lists)
        return of_lists[i - changes];
    return route->queries == NULL ? NULL : route->queries[i - changes - lists];
}

static bool takes_query(const route_t *route, const char *name)
{
    const char *known;

    for (size_t i = 0; (known = target_query_name(route, i)) != NULL; i++)
        if (strcmp(known, name) == 0)
            return true;
    return false;
}

bool target_check_queries(const target_t *target, const route_t *route, problem_t *problem)
{
    for (size_t i = 0; i < target->nqueries; i++) {
        const char *name = target->queries[i].name;
        if (takes_query(route, name))
            continue;
        const char *known = nearest(name, target_query_name, route);
        return problem_set(problem, PROBLEM_INVALID_REQUEST,
                           "There is no query parameter \"%.64s\" here%s%s%s.", name,
                           known != NULL ? "; did you mean \"" : "", known != NULL ? known : "",
                           known != NULL ? "\"?" : "");
    }
    return true;
}

const char *target_query(const target_t *target, const char *name)
{
    for (size_t i = 0; i < target->nqueries; i++)
        if (strcmp(target->queries[i].name, name) == 0)
            return target->queries[i].value;
    return NULL;
}
