/*
 * What the formats of the Anthropic dialect share. Internal to core/wire_*.c.
 */

#ifndef RELAY_WIRE_ANTHROPIC_H
#define RELAY_WIRE_ANTHROPIC_H

#include "wire.h"

/* Position in the registry. */
enum { RELAY_WIRE_ANTHROPIC_MESSAGES = 3 };

extern const relay_dialect_t relay_dialect_anthropic;
extern const relay_wire_t relay_wire_anthropic_messages;

/* {"type":"error","error":{"type":…,"message":…},"request_id":…} */
void relay_anthropic_put_error(relay_buf_t *out, const relay_error_t *error,
                               relay_span_t request_id);

/*
 * Takes the counters of a usage object over into *usage: of every field the
 * last value that is not null stays, and the whole prompt is summed again.
 */
void relay_anthropic_usage(relay_json_value_t object, relay_usage_t *usage);

#endif
