/*
 * Headers that mean something to one vendor's servers or clients alone. They
 * stay behind where a request or an answer changes its format. Called by the
 * adapter for translated attempts.
 */

#ifndef RELAY_WIRE_HEADERS_H
#define RELAY_WIRE_HEADERS_H

#include "wire.h"

/* Whether the header belongs to that dialect. The name is in any case. */
bool relay_wire_owns_header(const relay_dialect_t *dialect, relay_span_t name);

#endif
