/*
 * The tokens of JSON: strings, numbers, literals, white space. Long strings
 * are what a request is made of, so their content is skipped 16 bytes a step
 * where SSE2 is there, 8 at a time elsewhere; both twins are always compiled
 * where they can be and must agree. No step reads past the end of the document.
 */

#include "json_lex.h"
#include "utf8.h"

const uint8_t *relay_json_fail(relay_json_lex_t *lex, const uint8_t *at, relay_json_error_t error)
{
    lex->at = at;
    lex->error = error;
    return NULL;
}

const uint8_t *relay_json_unexpected(relay_json_lex_t *lex, const uint8_t *at)
{
    return relay_json_fail(lex, at, at == lex->end ? RELAY_JSON_TRUNCATED : RELAY_JSON_SYNTAX);
}

/* ---- skipping ------------------------------------------------------------ */

static inline uint64_t repeat(uint8_t byte)
{
    return UINT64_C(0x0101010101010101) * byte;
}

/* Non-zero if a byte of eight is zero (may also be non-zero for bytes above 0x7f). */
static inline uint64_t zero_in(uint64_t eight)
{
    return (eight - repeat(1)) & repeat(0x80) & ~eight;
}

/*
 * First byte in [at, end) that is a quote, a backslash or a control; *high
 * gains bits if a byte above 0x7f lies before it.
 */
static const uint8_t *skip_plain_scalar(const uint8_t *at, const uint8_t *end, unsigned *high)
{
    while (end - at >= 8) {
        uint64_t eight;
        memcpy(&eight, at, 8);
        if ((zero_in(eight ^ repeat('"')) | zero_in(eight ^ repeat('\\')) |
             ((eight - repeat(0x20)) & ~eight & repeat(0x80))) != 0) {
            break;
        }
        *high |= (eight & repeat(0x80)) != 0;
        at += 8;
    }
    while (at < end && !relay_json_is_special(*at)) {
        *high |= *at >> 7;
        at++;
    }
    return at;
}

#if RELAY_JSON_SSE2

static const uint8_t *skip_plain_sse2(const uint8_t *at, const uint8_t *end, unsigned *high)
{
    while (end - at >= 16) {
        const __m128i bytes = relay_json_load(at);
        const unsigned high_bits = relay_json_bits(bytes);
        const unsigned found = relay_json_bits(relay_json_specials(bytes));
        if (found != 0) {
            *high |= high_bits & (found ^ (found - 1)); /* up to the first one found */
            return at + __builtin_ctz(found);
        }
        *high |= high_bits;
        at += 16;
    }
    return skip_plain_scalar(at, end, high);
}

#endif

static inline const uint8_t *skip_plain(const uint8_t *at, const uint8_t *end, unsigned *high)
{
#if RELAY_JSON_SSE2
    return skip_plain_sse2(at, end, high);
#else
    return skip_plain_scalar(at, end, high);
#endif
}

const uint8_t *relay_json_lex_spaces(const uint8_t *at, const uint8_t *end)
{
    while (at < end && (*at == ' ' || *at == '\n' || *at == '\r' || *at == '\t')) {
        at++;
    }
    return at;
}

/* ---- strings ------------------------------------------------------------- */

/* What may follow a backslash besides u. A table: text mixes them unpredictably. */
static const bool short_escapes[256] = {
    ['"'] = true, ['\\'] = true, ['/'] = true, ['b'] = true,
    ['f'] = true, ['n'] = true,  ['r'] = true, ['t'] = true,
};

static const bool hex_digits[256] = {
    ['0'] = true, ['1'] = true, ['2'] = true, ['3'] = true, ['4'] = true, ['5'] = true,
    ['6'] = true, ['7'] = true, ['8'] = true, ['9'] = true, ['a'] = true, ['b'] = true,
    ['c'] = true, ['d'] = true, ['e'] = true, ['f'] = true, ['A'] = true, ['B'] = true,
    ['C'] = true, ['D'] = true, ['E'] = true, ['F'] = true,
};

/* Length of the escape at the backslash `at`, 0 if it is wrong or cut. Lone
 * surrogates are grammatical. */
static inline size_t escape_length(const uint8_t *at, const uint8_t *end)
{
    if (end - at < 2) {
        return 0;
    }
    if (short_escapes[at[1]]) {
        return 2;
    }
    if (at[1] != 'u' || end - at < 6) {
        return 0;
    }
    return hex_digits[at[2]] && hex_digits[at[3]] && hex_digits[at[4]] && hex_digits[at[5]] ? 6 : 0;
}

/* The fault of the escape at the backslash `at`, whose length is 0. */
static const uint8_t *escape_fault(relay_json_lex_t *lex, const uint8_t *at)
{
    at++;
    if (at < lex->end && *at == 'u') {
        do {
            at++;
        } while (at < lex->end && hex_digits[*at]);
    }
    return relay_json_unexpected(lex, at);
}

/* Where the content of a string ends: its quote, a control, a wrong escape, or the end. */
static const uint8_t *pass_content(relay_json_lex_t *lex, const uint8_t *at, unsigned *high)
{
    for (;;) {
        size_t length;
        at = skip_plain(at, lex->end, high);
        if (at == lex->end || *at != '\\') {
            return at;
        }
        length = escape_length(at, lex->end);
        if (length == 0) {
            return at;
        }
        lex->escaped = true;
        at += length;
    }
}

#if RELAY_JSON_SSE2

/* The same; goes 64 bytes a step and takes all escapes of a step in one go, as
 * long texts have one in every few dozen bytes. */
static inline __attribute__((always_inline)) const uint8_t *
pass_content_blocks(relay_json_lex_t *lex, const uint8_t *at, unsigned *high,
                    relay_json_read_specials_t read_specials)
{
    while (lex->end - at >= 64) {
        uint64_t found = read_specials(at, high);
        size_t next = 64;
        for (; found != 0; lex->escaped = true) {
            const unsigned i = (unsigned)__builtin_ctzll(found);
            size_t length = 2;
            if (at[i] != '\\') {
                return at + i;
            }
            if (i == 63 || !short_escapes[at[i + 1]]) {
                length = escape_length(at + i, lex->end);
                next = i + length > 64 ? i + length : 64;
            }
            if (length == 0) {
                return at + i;
            }
            found &= ~UINT64_C(3) << i; /* none is left in front of it */
        }
        at += next;
    }
    return pass_content(lex, at, high);
}

static const uint8_t *pass_content_blocks_sse2(relay_json_lex_t *lex, const uint8_t *at,
                                               unsigned *high)
{
    return pass_content_blocks(lex, at, high, relay_json_specials_sse2);
}

static RELAY_JSON_AVX2 const uint8_t *pass_content_blocks_avx2(relay_json_lex_t *lex,
                                                               const uint8_t *at, unsigned *high)
{
    return pass_content_blocks(lex, at, high, relay_json_specials_avx2);
}

#endif

static const uint8_t *pass_long_content(relay_json_lex_t *lex, const uint8_t *at, unsigned *high)
{
#if RELAY_JSON_SSE2
    return relay_json_has_avx2() ? pass_content_blocks_avx2(lex, at, high)
                                 : pass_content_blocks_sse2(lex, at, high);
#else
    return pass_content(lex, at, high);
#endif
}

/* False, with the fault set, if [from, to) is not UTF-8. A character cut by the
 * end of the document is a truncation, not bad UTF-8. */
static bool check_utf8(relay_json_lex_t *lex, const uint8_t *from, const uint8_t *to)
{
    relay_span_t text = relay_span(from, (size_t)(to - from));
    size_t valid = relay_utf8_valid(text);

    if (valid == text.len) {
        return true;
    }
    if (to == lex->end && relay_utf8_incomplete(relay_span_from(text, valid))) {
        relay_json_fail(lex, lex->end, RELAY_JSON_TRUNCATED);
    } else {
        relay_json_fail(lex, from + valid, RELAY_JSON_UTF8);
    }
    return false;
}

const uint8_t *relay_json_lex_long_string(relay_json_lex_t *lex, const uint8_t *at)
{
    const uint8_t *start = at + 1;
    unsigned high = 0;

    lex->escaped = false;
    at = pass_long_content(lex, start, &high);
    /* bad UTF-8 comes before whatever else is wrong */
    if (high != 0 && !check_utf8(lex, start, at)) {
        return NULL;
    }
    if (at < lex->end && *at == '"') {
        return at + 1;
    }
    return at < lex->end && *at == '\\' ? escape_fault(lex, at) : relay_json_unexpected(lex, at);
}

/* ---- numbers and literals ------------------------------------------------ */

static bool is_digit(uint8_t byte)
{
    return (uint8_t)(byte - '0') < 10;
}

/* One digit or more. */
static const uint8_t *lex_digits(relay_json_lex_t *lex, const uint8_t *at)
{
    if (at == lex->end || !is_digit(*at)) {
        return relay_json_unexpected(lex, at);
    }
    do {
        at++;
    } while (at < lex->end && is_digit(*at));
    return at;
}

static const uint8_t *lex_exponent(relay_json_lex_t *lex, const uint8_t *at)
{
    if (at < lex->end && (*at == '+' || *at == '-')) {
        at++;
    }
    return lex_digits(lex, at);
}

/* A digit behind a leading zero is left for the caller, who finds no separator. */
static const uint8_t *lex_number(relay_json_lex_t *lex, const uint8_t *at)
{
    if (*at == '-') {
        at++;
    }
    at = at < lex->end && *at == '0' ? at + 1 : lex_digits(lex, at);
    if (at != NULL && at < lex->end && *at == '.') {
        at = lex_digits(lex, at + 1);
    }
    if (at != NULL && at < lex->end && (*at | 0x20) == 'e') {
        at = lex_exponent(lex, at + 1);
    }
    return at;
}

static const uint8_t *lex_literal(relay_json_lex_t *lex, const uint8_t *at, const char *word)
{
    for (; *word != '\0'; word++, at++) {
        if (at == lex->end || *at != (uint8_t)*word) {
            return relay_json_unexpected(lex, at);
        }
    }
    return at;
}

const uint8_t *relay_json_lex_word(relay_json_lex_t *lex, const uint8_t *at)
{
    if (at == lex->end) {
        return relay_json_unexpected(lex, at);
    }
    switch (*at) {
    case 't':
        lex->type = RELAY_JSON_TRUE;
        return lex_literal(lex, at, "true");
    case 'f':
        lex->type = RELAY_JSON_FALSE;
        return lex_literal(lex, at, "false");
    case 'n':
        lex->type = RELAY_JSON_NULL;
        return lex_literal(lex, at, "null");
    case '-':
    case '0':
    case '1':
    case '2':
    case '3':
    case '4':
    case '5':
    case '6':
    case '7':
    case '8':
    case '9':
        lex->type = RELAY_JSON_NUMBER;
        return lex_number(lex, at);
    default:
        return relay_json_unexpected(lex, at);
    }
}
