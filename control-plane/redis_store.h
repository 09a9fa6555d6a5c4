/*
 * The store of ngx_relay_module/STORE.md, from the side that writes it. Calls
 * that put or remove are collected and sent together: store_settle() waits
 * until Redis has taken them. After a failure the store is broken: close it.
 * Called by publish*.c.
 */

#ifndef RELAY_REDIS_STORE_H
#define RELAY_REDIS_STORE_H

#include <jansson.h>

#include "redis_connection.h"

typedef struct redis_store_s redis_store_t;

/* NULL with the reason in error. prefix is copied. */
redis_store_t *store_open(const redis_place_t *place, const char *prefix, char *error,
                          size_t error_size);
void store_close(redis_store_t *store);
const char *store_why(const redis_store_t *store);
int store_descriptor(const redis_store_t *store);

bool store_ping(redis_store_t *store);

/* The head as it is there, owned by the caller; NULL and true: there is none. */
bool store_head(redis_store_t *store, char **text, size_t *len);
/* What the head says it is, not verified; 0: there is none. */
bool store_revision(redis_store_t *store, long long *revision);
/* Whether all of these documents are there. */
bool store_has_documents(redis_store_t *store, const char *const *digests, size_t count, bool *all);

bool store_put_document(redis_store_t *store, const char *digest, relay_span_t text);
/*
 * The head and what comes with it, at once or not at all: documents that only
 * the head before had go after an hour, workers get a hint.
 */
bool store_put_head(redis_store_t *store, relay_span_t head, long long revision,
                    const char *const *dropped, size_t ndropped);

/* expires_at_s: the record goes a day after it; 0: never. hint: workers drop it from their caches.
 */
bool store_put_key(redis_store_t *store, const char *digest, relay_span_t record,
                   relay_span_t signature, long long expires_at_s, bool hint);
bool store_remove_key(redis_store_t *store, const char *digest);

bool store_settle(redis_store_t *store);

/* What workers wrote about themselves, as an array; NULL: broken. */
json_t *store_nodes(redis_store_t *store);

#endif
