/*
 * A request's body as a JSON document, read strictly: one value, no member
 * twice, no NUL, bounded depth, numbers that fit.
 */

#ifndef RELAY_JSON_BODY_H
#define RELAY_JSON_BODY_H

#include "problem.h"

enum { JSON_BODY_DEPTH_MAX = 64 };

/* NULL: the problem says where (line and column) and what, without quoting the text. */
json_t *json_body_read(const char *text, size_t len, problem_t *problem);

#endif
