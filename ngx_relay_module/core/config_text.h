/*
 * What names, headers and times in configuration documents may look like.
 * Internal to core/config_*.c.
 */

#ifndef RELAY_CONFIG_TEXT_H
#define RELAY_CONFIG_TEXT_H

#include "relay_key.h"
#include "span.h"

/* Printable, UTF-8 allowed: no control character of any kind. */
bool relay_config_printable(relay_span_t text);

/* Printable ASCII; with or without spaces. */
bool relay_config_ascii(relay_span_t text, bool spaces);

/* A token of RFC 9110. */
bool relay_config_header_name_ok(relay_span_t name);

/* Headers that belong to the connection or are written by Relay itself; name in
 * lower case. */
bool relay_config_header_reserved(relay_span_t name);

/* A letter or underscore, then letters, digits and underscores. */
bool relay_config_variable_ok(relay_span_t name);

/* 64 hexadecimal digits in lower case. */
bool relay_config_digest(relay_span_t text, relay_digest_t *digest);

/* RFC 3339: 2027-01-01T00:00:00Z, with an optional fraction (ignored) and any
 * offset from UTC. Years 1970 to 9999. */
bool relay_config_time(relay_span_t text, uint64_t *seconds);

#endif
