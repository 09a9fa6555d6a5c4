/*
 * The hot path's view of a JSON body: one strict pass over the whole text that
 * returns the raw spans of the few members of the top-level object that Relay
 * acts on. Builds no tree, allocates nothing, follows RFC 8259 to the letter
 * (UTF-8 included), so that Relay and the provider cannot read the same bytes
 * as two different requests.
 *
 * Callers: the request envelope, the observers of answers and stream events.
 */

#ifndef RELAY_JSON_SCAN_H
#define RELAY_JSON_SCAN_H

#include "buf.h"
#include "span.h"

enum { RELAY_JSON_DEPTH_MAX = 256 };

typedef enum {
    RELAY_JSON_ABSENT = 0,
    RELAY_JSON_NULL,
    RELAY_JSON_FALSE,
    RELAY_JSON_TRUE,
    RELAY_JSON_NUMBER,
    RELAY_JSON_STRING,
    RELAY_JSON_ARRAY,
    RELAY_JSON_OBJECT
} relay_json_type_t;

typedef struct {
    relay_json_type_t type;
    relay_span_t text; /* the value as written, quotes or brackets included */
} relay_json_value_t;

typedef enum {
    RELAY_JSON_OK = 0,
    RELAY_JSON_SYNTAX,     /* not JSON at offset */
    RELAY_JSON_TRUNCATED,  /* the text ends inside a value; offset is its length */
    RELAY_JSON_DEPTH,      /* nested deeper than RELAY_JSON_DEPTH_MAX */
    RELAY_JSON_UTF8,       /* offset is the first byte that is not UTF-8 */
    RELAY_JSON_TYPE,       /* the top-level value is not an object */
    RELAY_JSON_DUPLICATE,  /* keys[key] occurs twice; offset is the second one */
    RELAY_JSON_ESCAPED_KEY /* keys[key] is spelt with an escape ("mod\u0065l") */
} relay_json_error_t;

typedef struct {
    relay_json_error_t error;
    size_t offset;
    size_t key; /* index into keys, for DUPLICATE and ESCAPED_KEY */
} relay_json_fault_t;

/*
 * Scans doc, an object with optional white space around it, and fills
 * values[i] with the member called keys[i] (ABSENT if there is none).
 * keys are plain ASCII without quotes and not empty, at most 32 of them. The whole document
 * is checked also behind the last wanted key. Returns fault->error.
 */
relay_json_error_t relay_json_scan(relay_span_t doc, const relay_span_t *keys, size_t nkeys,
                                   relay_json_value_t *values, relay_json_fault_t *fault);

/*
 * The same for text that relay_json_scan has accepted already (a value span it
 * returned): trusts the grammar, skips faster, duplicates: last one wins.
 * Returns false if object is not an object.
 */
bool relay_json_members(relay_span_t object, const relay_span_t *keys, size_t nkeys,
                        relay_json_value_t *values);

/*
 * Walks an array that a scan has accepted. *cursor starts at 0; returns false
 * after the last element.
 */
bool relay_json_element(relay_span_t array, size_t *cursor, relay_json_value_t *value);

/*
 * The same for an array of objects whose members are wanted, as those of
 * relay_json_members: one walk instead of two. Returns the element's type, ABSENT
 * after the last one; values are all ABSENT if it is not an object.
 */
relay_json_type_t relay_json_element_members(relay_span_t array, size_t *cursor,
                                             const relay_span_t *keys, size_t nkeys,
                                             relay_json_value_t *values);

/* True and *number set if value is a JSON integer in 0..2^63-1 (1e3 and 1.0 are not). */
bool relay_json_uint(relay_json_value_t value, uint64_t *number);

/* The text between the quotes if value is a string without escapes; false otherwise. */
bool relay_json_plain(relay_json_value_t value, relay_span_t *text);

/* Appends the decoded string value (surrogate pairs joined, lone surrogates as
 * U+FFFD); false if value is not a string. */
bool relay_json_decode(relay_json_value_t value, relay_buf_t *out);

/* "invalid JSON", "nested too deeply", …: a fixed English phrase for error. */
relay_span_t relay_json_error_text(relay_json_error_t error);

/* Length of the valid UTF-8 prefix of text (text.len if all of it is valid). */
size_t relay_utf8_valid(relay_span_t text);

#endif
