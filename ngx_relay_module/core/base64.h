/*
 * Base64 with the URL-safe alphabet and without padding (RFC 4648, section 5),
 * read strictly: every byte string has exactly one spelling. Keys, signatures
 * and sealed secrets are written so.
 */

#ifndef RELAY_BASE64_H
#define RELAY_BASE64_H

#include "buf.h"
#include "span.h"

/* Characters that len bytes take; usable in constant expressions. */
#define RELAY_BASE64_LEN(len) (((len)*4 + 2) / 3)

void relay_base64_put(relay_buf_t *out, relay_span_t bytes);

/*
 * Appends the bytes that text spells. False, and nothing appended, if text is
 * not base64 (another alphabet, padding, white space, bits left over) or the
 * bytes do not fit.
 */
bool relay_base64_read(relay_span_t text, relay_buf_t *out);

/* The same for exactly len bytes; what bytes hold after a failure is undefined. */
bool relay_base64_read_exactly(relay_span_t text, uint8_t *bytes, size_t len);

#endif
