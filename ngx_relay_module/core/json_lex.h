/*
 * The tokens of JSON (RFC 8259 §2, §6, §7), shared by the scanner and the tape
 * so that both accept exactly the same texts. Internal to core/json_*.c.
 *
 * Positions are pointers into the document. A function returns the position
 * behind what it read, or NULL with `error` and `at` set.
 */

#ifndef RELAY_JSON_LEX_H
#define RELAY_JSON_LEX_H

#include "json_block.h"
#include "json_scan.h"

typedef struct {
    const uint8_t *end; /* of the document */
    const uint8_t *at;  /* where the fault is */
    relay_json_error_t error;
    relay_json_type_t type; /* of the last scalar */
    bool escaped;           /* the last string held a backslash */
} relay_json_lex_t;

/* Always NULL, for `return relay_json_fail(...)`. */
const uint8_t *relay_json_fail(relay_json_lex_t *lex, const uint8_t *at, relay_json_error_t error);

/* The byte at `at` is not what the grammar wants: TRUNCATED at the end, else SYNTAX. */
const uint8_t *relay_json_unexpected(relay_json_lex_t *lex, const uint8_t *at);

/* at: the opening quote. */
const uint8_t *relay_json_lex_long_string(relay_json_lex_t *lex, const uint8_t *at);

static inline const uint8_t *relay_json_lex_string(relay_json_lex_t *lex, const uint8_t *at)
{
#if RELAY_JSON_SSE2
    /* keys and most values are ASCII, plain, and shorter than this: no call for those */
    if (lex->end - at > 16) {
        const __m128i bytes = relay_json_load(at + 1);
        const unsigned found = relay_json_bits(relay_json_specials(bytes));
        const unsigned before = found ^ (found - 1);
        const uint8_t *stop = at + 1 + (found != 0 ? __builtin_ctz(found) : 0);
        if (found != 0 && *stop == '"' && (relay_json_bits(bytes) & before) == 0) {
            lex->escaped = false;
            return stop + 1;
        }
    }
#endif
    return relay_json_lex_long_string(lex, at);
}

/* A number, true, false or null. `at` may be the end. */
const uint8_t *relay_json_lex_word(relay_json_lex_t *lex, const uint8_t *at);

/* Any value but an array or object. `at` may be the end. */
static inline const uint8_t *relay_json_lex_scalar(relay_json_lex_t *lex, const uint8_t *at)
{
    if (at < lex->end && *at == '"') {
        lex->type = RELAY_JSON_STRING;
        return relay_json_lex_string(lex, at);
    }
    return relay_json_lex_word(lex, at);
}

const uint8_t *relay_json_lex_spaces(const uint8_t *at, const uint8_t *end);

static inline const uint8_t *relay_json_lex_space(const uint8_t *at, const uint8_t *end)
{
    /* compact JSON has none: keep the usual case to one comparison */
    return at < end && *at <= ' ' ? relay_json_lex_spaces(at, end) : at;
}

/* A key with the colon behind it. */
static inline const uint8_t *relay_json_lex_colon(relay_json_lex_t *lex, const uint8_t *at)
{
    at = relay_json_lex_space(at, lex->end);
    return at < lex->end && *at == ':' ? at + 1 : relay_json_unexpected(lex, at);
}

/*
 * Decodes one character of a string's content [*at, end), which is not empty,
 * into UTF-8: at most 4 bytes, returns how many. Raw bytes come one at a time.
 */
size_t relay_json_decode_step(const uint8_t **at, const uint8_t *end, uint8_t out[4]);

/*
 * Order of two strings as written, quotes included, by their decoded bytes:
 * negative, 0, positive.
 */
int relay_json_compare(relay_span_t a, relay_span_t b);

/* The same with plain text, for equality only. */
bool relay_json_spells(relay_span_t string, relay_span_t plain);

/*
 * One bit for each open container: 1 for an object. The grammar needs nothing
 * else of the path, so nesting costs no recursion.
 */
typedef struct {
    uint64_t bits[RELAY_JSON_DEPTH_MAX / 64];
    unsigned depth;
} relay_json_nest_t;

/* False if it would be deeper than RELAY_JSON_DEPTH_MAX. */
static inline bool relay_json_open(relay_json_nest_t *nest, bool object)
{
    uint64_t bit = UINT64_C(1) << (nest->depth & 63);
    uint64_t *word;

    if (nest->depth == RELAY_JSON_DEPTH_MAX) {
        return false;
    }
    word = &nest->bits[nest->depth >> 6];
    *word = object ? *word | bit : *word & ~bit;
    nest->depth++;
    return true;
}

/* Is the innermost container an object? */
static inline bool relay_json_in_object(const relay_json_nest_t *nest)
{
    unsigned index = nest->depth - 1;

    return (nest->bits[index >> 6] >> (index & 63) & 1) != 0;
}

#endif
