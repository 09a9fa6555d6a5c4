/*
 * What went wrong, as a value: application/problem+json (RFC 9457). Filled by
 * whoever finds the fault, written once at the edge (http.c).
 *
 * A problem has one code from the table in problem.c; faults in a document
 * come with JSON pointers (RFC 6901), as many as were found.
 */

#ifndef RELAY_PROBLEM_H
#define RELAY_PROBLEM_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

typedef enum {
    PROBLEM_NONE = 0,
    PROBLEM_INVALID_JSON,          /* 400 */
    PROBLEM_INVALID_REQUEST,       /* 400: query, header */
    PROBLEM_UNAUTHENTICATED,       /* 401 */
    PROBLEM_FORBIDDEN,             /* 403 */
    PROBLEM_NOT_FOUND,             /* 404 */
    PROBLEM_METHOD_NOT_ALLOWED,    /* 405, with Allow */
    PROBLEM_CONFLICT,              /* 409: name taken */
    PROBLEM_IN_USE,                /* 409: others refer to it */
    PROBLEM_IDEMPOTENCY_MISMATCH,  /* 409: the key was used with another body */
    PROBLEM_STALE,                 /* 412: If-Match does not match */
    PROBLEM_TOO_LARGE,             /* 413 */
    PROBLEM_MEDIA_TYPE,            /* 415 */
    PROBLEM_INVALID_DOCUMENT,      /* 422: faults with pointers */
    PROBLEM_PRECONDITION_REQUIRED, /* 428: If-Match is missing */
    PROBLEM_TOO_MANY_REQUESTS,     /* 429 */
    PROBLEM_INTERNAL,              /* 500 */
    PROBLEM_UNAVAILABLE,           /* 503: Postgres or Redis is away */
    PROBLEM_NOT_APPLIED            /* 504: wait=applied ran out of time; the change is stored */
} problem_code_t;

enum { PROBLEM_FAULTS_MAX = 20 };

typedef struct {
    problem_code_t code;
    char detail[512]; /* one sentence; never a secret */
    size_t nfaults;
    struct {
        char pointer[256]; /* "/members/0/key" */
        char message[256]; /* what was found, what was expected */
    } faults[PROBLEM_FAULTS_MAX];
} problem_t;

/* Sets code and detail unless a problem is there already. Returns false, to return at once. */
bool problem_set(problem_t *problem, problem_code_t code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Adds a fault, and the code INVALID_DOCUMENT. Returns false. */
bool problem_fault(problem_t *problem, const char *pointer, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

unsigned problem_status(problem_code_t code);
const char *problem_name(problem_code_t code); /* "in_use" */
/* {"type": "about:blank", "title", "status", "code", "detail", "faults": [{"pointer", "message"}]}
 */
json_t *problem_json(const problem_t *problem);

#endif
