/*
 * The request target: a path that is looked up in the route tables, and query
 * parameters. Percent-decoding is strict: what is not two hexadecimal digits,
 * not UTF-8 or a control character is refused, as is a parameter that is there
 * twice.
 */

#ifndef RELAY_TARGET_H
#define RELAY_TARGET_H

#include "http.h"

enum { TARGET_MAX = 8192, TARGET_ALLOW_MAX = 64 };

typedef struct {
    char text[TARGET_MAX];             /* decoded in place; all else points into it */
    char *segments[HTTP_SEGMENTS_MAX]; /* as sent: a route decides what is a value */
    size_t nsegments;
    struct {
        const char *name, *value;
    } queries[HTTP_QUERY_MAX];
    size_t nqueries;
    const char *workspace, *id; /* set by target_route() */
} target_t;

bool target_read(target_t *target, const char *sent, problem_t *problem);

/*
 * The route of a path, HEAD being GET. NULL: a problem is set, NOT_FOUND or
 * METHOD_NOT_ALLOWED, for which allow lists the methods there are.
 */
const route_t *target_route(target_t *target, const char *method, char allow[TARGET_ALLOW_MAX],
                            problem_t *problem);

/* Whether all parameters are ones that the route takes. */
bool target_check_queries(const target_t *target, const route_t *route, problem_t *problem);

const char *target_query(const target_t *target, const char *name);

/* The i-th name of a parameter that the route takes, NULL after the last. */
const char *target_query_name(const void *route, size_t i);

#endif
