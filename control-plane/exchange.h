/*
 * One request from its head to its answer, without a word about sockets. What
 * happens, in this order:
 *
 *     head   target → route → query → headers → who asks → workspace → scope
 *     body   JSON → schema → transaction { Idempotency-Key → handler → revision
 *            → answer kept } → publish → wait=applied
 *
 * http.c brings the bytes and carries the answer away. A problem at any step
 * ends it; exchange_answer() makes a reply of the problem.
 */

#ifndef RELAY_EXCHANGE_H
#define RELAY_EXCHANGE_H

#include "http.h"
#include "target.h"

enum { EXCHANGE_ID_MAX = 64, EXCHANGE_WAIT_MS = 5000, EXCHANGE_WAIT_MAX_MS = 60000 };

/* Headers of the request, by name in lower case; NULL: not there. */
typedef const char *(*exchange_header_t)(void *source, const char *name);

typedef struct {
    request_t request;
    reply_t reply;
    const route_t *route; /* NULL: there is none */
    target_t target;
    char method[16];
    char path[TARGET_MAX]; /* as sent, without the query */
    char id[EXCHANGE_ID_MAX + 1];
    exchange_header_t header;
    void *header_source;

    char *body; /* as sent; owned, cleansed */
    size_t body_len, body_room;
    json_t *document;

    long long revision; /* of the change that was made, or 0 */
    bool replayed;
} exchange_t;

/* All that can be decided before the body is read. False: a problem is set. */
bool exchange_head(exchange_t *exchange, const char *method, const char *target);
/* A piece of the body. False: a problem is set. */
bool exchange_body(exchange_t *exchange, const char *bytes, size_t len);
/* The rest. Afterwards the reply is there, whatever happened. */
void exchange_run(exchange_t *exchange);
/* A reply for the problem that is set. */
void exchange_answer_problem(exchange_t *exchange);
void exchange_free(exchange_t *exchange);

#endif
