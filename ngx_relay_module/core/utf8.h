/*
 * UTF-8 by the character (RFC 3629: no overlong forms, no surrogates, nothing
 * above U+10FFFF). The whole-text check, relay_utf8_valid, is declared in
 * json_scan.h. Callers: the JSON files, buf.
 */

#ifndef RELAY_UTF8_H
#define RELAY_UTF8_H

#include "span.h"

/* Bytes of the first character of text, 0 if it is not a whole UTF-8 character. */
size_t relay_utf8_character(relay_span_t text);

/* True if text is the beginning of one character and no more (never for an empty text). */
bool relay_utf8_incomplete(relay_span_t text);

/* Writes code, below 0x110000, as 1 to 4 bytes; returns how many. */
size_t relay_utf8_put(uint8_t out[4], uint32_t code);

#endif
