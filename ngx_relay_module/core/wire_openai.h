/*
 * What the formats of the OpenAI dialect share. Internal to core/wire_*.c.
 */

#ifndef RELAY_WIRE_OPENAI_H
#define RELAY_WIRE_OPENAI_H

#include "wire.h"

/* Positions in the registry. */
enum {
    RELAY_WIRE_OPENAI_CHAT = 0,
    RELAY_WIRE_OPENAI_RESPONSES = 1,
    RELAY_WIRE_OPENAI_EMBEDDINGS = 2
};

extern const relay_dialect_t relay_dialect_openai;
extern const relay_wire_t relay_wire_openai_chat;
extern const relay_wire_t relay_wire_openai_responses;
extern const relay_wire_t relay_wire_openai_embeddings;

/*
 * Takes the counters of a usage object over into *usage: of every field the
 * last value that is not null stays. Reads both namings (prompt/completion and
 * input/output) and the extras of compatible vendors.
 */
void relay_openai_usage(relay_json_value_t object, relay_usage_t *usage);

/* {"message":…,"type":…,"param":…,"code":…} */
void relay_openai_put_error(relay_buf_t *out, const relay_error_t *error);

/* The `code` of the error body: what SDKs know, else Relay's own name. */
relay_span_t relay_openai_error_code(const relay_error_t *error);

#endif
