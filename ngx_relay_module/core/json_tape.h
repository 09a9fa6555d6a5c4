/*
 * A whole JSON document as a flat array of tokens over its text: for
 * configuration documents and, later, translation. Strings stay as written.
 */

#ifndef RELAY_JSON_TAPE_H
#define RELAY_JSON_TAPE_H

#include "json_scan.h"

/* 16 bytes. A container's children follow it directly; `next` is the index of
 * the token after its last descendant. In an object, tokens alternate key
 * (a STRING), value. */
typedef struct {
    uint32_t offset; /* of the first byte of the value as written (for a string: its quote) */
    uint32_t length; /* as written */
    uint32_t next;
    uint16_t type;  /* relay_json_type_t */
    uint16_t depth; /* 0 for the top-level value */
} relay_json_token_t;

typedef enum {
    RELAY_TAPE_OK = 0,
    RELAY_TAPE_JSON, /* fault says why */
    RELAY_TAPE_FULL  /* more than `capacity` tokens; fault->offset says where */
} relay_tape_status_t;

/*
 * Fills tokens[0..*count) with the tape of doc (any JSON value, at most
 * UINT32_MAX bytes; the same strict grammar as relay_json_scan). With
 * `unique_keys`, a key that occurs twice in one object is RELAY_JSON_DUPLICATE
 * (keys compare decoded) at the second one's offset.
 */
relay_tape_status_t relay_json_tape(relay_span_t doc, relay_json_token_t *tokens, size_t capacity,
                                    size_t *count, bool unique_keys, relay_json_fault_t *fault);

static inline relay_json_value_t relay_tape_value(relay_span_t doc, const relay_json_token_t *token)
{
    return (relay_json_value_t){(relay_json_type_t)token->type,
                                relay_span(doc.base + token->offset, token->length)};
}

/* Line and column, both from 1, of offset in doc; columns count bytes. */
void relay_json_position(relay_span_t doc, size_t offset, size_t *line, size_t *column);

#endif
