/*
 * One connection to Redis, synchronous, over a Unix socket, TCP or TLS:
 * hiredis formats commands and reads replies, the socket is this file's own
 * (Debian 12's hiredis has no TLS). Commands are collected and sent together;
 * replies come in the order of the commands.
 *
 * After any failure the connection is broken: close it. Called by
 * redis_store.c.
 */

#ifndef RELAY_REDIS_CONNECTION_H
#define RELAY_REDIS_CONNECTION_H

#include <hiredis/hiredis.h>

#include "span.h"

typedef struct {
    const char *url;      /* unix:/path, redis://[user[:password]@]host[:port][/db], rediss://… */
    const char *user;     /* counts before the URL's; NULL or "": none */
    const char *password; /* the same */
    const char *ca_file;  /* for rediss://; NULL or "": the system's */
    unsigned timeout_ms;  /* to connect, and for each piece that is read or written */
} redis_place_t;

typedef struct redis_connection_s redis_connection_t;

/* Connected, authenticated, in its database; or NULL with the reason, which holds no secret. */
redis_connection_t *redis_open(const redis_place_t *place, char *error, size_t error_size);
void redis_close(redis_connection_t *redis);

/* Adds a command to those that go out next. False: broken. */
bool redis_add(redis_connection_t *redis, const relay_span_t *words, size_t count);
/* Sends what was added and waits for the next reply, owned by the caller; NULL: broken. */
redisReply *redis_next(redis_connection_t *redis);
/* Takes `count` replies that say no more than that all is well. False: broken, or an error. */
bool redis_expect(redis_connection_t *redis, size_t count);

/* Why the last call failed. */
const char *redis_why(const redis_connection_t *redis);
/* For poll(): readable while nothing is asked means that the other side is gone. */
int redis_descriptor(const redis_connection_t *redis);

#endif
