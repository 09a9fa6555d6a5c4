/*
 * The base URL of a host, taken apart and checked. Stricter than RFC 3986: what
 * two programs could read differently is refused. Called by config_host.
 */

#ifndef RELAY_URL_H
#define RELAY_URL_H

#include "span.h"

enum { RELAY_URL_MAX = 2048, RELAY_HOST_NAME_MAX = 253 };

typedef struct {
    bool tls;
    relay_span_t host; /* as written: name, IPv4, or IPv6 without its brackets */
    bool bracketed;    /* it is IPv6 */
    uint16_t port;
    bool default_port; /* the scheme's own */
    relay_span_t path; /* no slash at the end; may be empty */
} relay_url_t;

/*
 * NULL, or what is wrong with text, as a sentence that does not repeat it (a URL
 * may hold a password). The parts point into text.
 */
const char *relay_url_parse(relay_span_t text, relay_url_t *url);

/* NULL, or what is wrong with a path: it must start with a slash and hold no
 * query, fragment, dot segment or byte that needs an escape. */
const char *relay_url_path_fault(relay_span_t path);

/* A DNS name (letters, digits, hyphens, dots), an IPv4 address, or, if ipv6 is
 * allowed, an IPv6 address without brackets. */
bool relay_host_name_ok(relay_span_t name, bool ipv6);

#endif
