/*
 * Hosts as they are in effect: the catalog's entry with a workspace's patch on
 * it, or an entry of the workspace's own. For those who refer to hosts.
 */

#ifndef RELAY_HOST_ORIGIN_H
#define RELAY_HOST_ORIGIN_H

#include "resource.h"

enum { HOST_ORIGIN_MAX = 320 };

/* The config document's entry, the variables of its base_url filled in, owned by the
 * caller; NULL: there is no such host, no problem set. */
json_t *host_effective(request_t *request, const char *name);

/* text with the values of the host's variables; what has none stays in its braces. False: too long.
 */
bool host_fill(const json_t *host, const char *text, char *filled, size_t size);

/* `scheme://name:port` of its base_url; false: there is none, or it cannot be used. */
bool host_origin(const json_t *effective, char origin[HOST_ORIGIN_MAX]);

#endif
