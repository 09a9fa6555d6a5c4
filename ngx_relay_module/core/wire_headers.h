/*
 * What single vendors' servers and clients do by headers: those that mean nothing
 * to anybody else and stay behind where a request or an answer changes its format,
 * and clients that want something of their own. Called by the adapter.
 */

#ifndef RELAY_WIRE_HEADERS_H
#define RELAY_WIRE_HEADERS_H

#include "wire.h"

/* Whether the header belongs to that dialect. The name is in any case. */
bool relay_wire_owns_header(const relay_dialect_t *dialect, relay_span_t name);

/*
 * What has to stand before a model's id for a client that lists nothing but models
 * of its vendor; empty for any other client and id. References take it as a
 * vendor's name (route.h). user_agent may be empty.
 */
relay_span_t relay_wire_listed_prefix(const relay_dialect_t *dialect, relay_span_t user_agent,
                                      relay_span_t id);

/* The header in which callers of the format name beta features, or empty. */
relay_span_t relay_wire_beta_header(const relay_wire_t *wire);

#endif
