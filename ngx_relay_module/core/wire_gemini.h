/*
 * The Gemini dialect and its one format, generateContent. Internal to
 * core/wire_*.c.
 */

#ifndef RELAY_WIRE_GEMINI_H
#define RELAY_WIRE_GEMINI_H

#include "wire.h"

/* Position in the registry. */
enum { RELAY_WIRE_GEMINI = 5 };

extern const relay_dialect_t relay_dialect_gemini;
extern const relay_wire_t relay_wire_gemini;

/* {"error":{"code":…,"message":…,"status":…,"details":[…]}} */
void relay_gemini_put_error(relay_buf_t *out, const relay_error_t *error);

/* Seconds of the delay that the details of an error name, rounded up; 0 if none does. */
unsigned relay_gemini_retry_after_s(relay_json_value_t details);

/*
 * Takes the counters of a usageMetadata object over into *usage. They are
 * cumulative and may come one by one: of every counter the last value stays.
 */
void relay_gemini_usage(relay_json_value_t object, relay_usage_t *usage);

/* Answer of the echo model to countTokens. */
relay_echo_writer_t relay_gemini_echo_count;

#endif
