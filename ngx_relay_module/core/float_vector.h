/*
 * Vectors of 32-bit floats in the two forms in which they travel: a JSON array of
 * numbers, and base64 (the standard alphabet, padded) of the floats one behind the
 * other, the lowest byte first. Called by core/embeddings.c.
 *
 * Functions return false if the vector is empty or holds anything else than numbers,
 * those that make floats of them also where one is none of 32 bits or not finite. What
 * is in the buffer then is of no use.
 */

#ifndef RELAY_FLOAT_VECTOR_H
#define RELAY_FLOAT_VECTOR_H

#include "buf.h"
#include "span.h"

/* An array that a JSON scan has accepted, without white space. Numbers stay as
 * they are written. */
bool relay_vector_copy(relay_span_t array, relay_buf_t *out);

/* The same array as base64, without quotes. */
bool relay_vector_pack(relay_span_t array, relay_buf_t *out);

/* Base64 as an array, each number with as many digits as tell it from its
 * neighbours. `packed` is the content of a JSON string; padding may be missing. */
bool relay_vector_unpack(relay_span_t packed, relay_buf_t *out);

/* Base64 as base64: checked, escapes resolved, padded. */
bool relay_vector_repack(relay_span_t packed, relay_buf_t *out);

/* Any bytes in base64. */
void relay_vector_put_base64(relay_buf_t *out, relay_span_t bytes);

#endif
