/*
 * Where relayd listens, and who is let in: as many connections at once as
 * there may be threads; others wait in the kernel's queue, not at a closed
 * door. Used by http.c.
 */

#ifndef RELAY_LISTENER_H
#define RELAY_LISTENER_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

typedef struct listener_s listener_t;

/* Takes over a connection; it was opened when listener_opened() is called for it. */
typedef void (*listener_take_t)(void *taker, int fd, const struct sockaddr *address,
                                socklen_t address_len);

/* "unix:/path" or a loopback address and a port. */
bool listener_place_ok(const char *listen, char *error, size_t error_size);
/* Listens; nobody is let in yet. NULL with words in error. */
listener_t *listener_new(const char *listen, size_t connections_max, char *error,
                         size_t error_size);
bool listener_start(listener_t *listener, listener_take_t take, void *taker);
void listener_opened(listener_t *listener);
void listener_closed(listener_t *listener);
/* Nobody is let in any more; a Unix socket is gone. */
void listener_stop(listener_t *listener);
void listener_free(listener_t *listener);

#endif
