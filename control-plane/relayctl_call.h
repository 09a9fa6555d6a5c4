/* relayctl's calls of the admin API. */

#ifndef RELAYCTL_CALL_H
#define RELAYCTL_CALL_H

#include <jansson.h>
#include <stdbool.h>

#include "relayctl_context.h"

typedef struct {
    long status;
    json_t *body; /* NULL: none */
    char etag[64];
} relayctl_answer_t;

/*
 * path: below /api/v1, `{workspace}` in it is filled in. body may be NULL;
 * if_match: NULL for none. False with a complaint, for people, when the call
 * failed or was refused; answer->body is the caller's either way.
 */
bool relayctl_call(const relayctl_context_t *context, const char *method, const char *path,
                   const json_t *body, const char *if_match, relayctl_answer_t *answer);

/* name for a path's segment: what needs it percent-encoded; size at least 3 * len + 1. */
void relayctl_encode(const char *name, char *encoded, size_t size);

#endif
