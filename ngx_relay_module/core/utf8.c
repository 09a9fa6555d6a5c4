/*
 * UTF-8 validation. Two twins that agree byte for byte: a scalar one for every
 * machine, and the range-lookup algorithm of Keiser and Lemire ("Validating
 * UTF-8 in less than one instruction per byte", 2021) where SSSE3 is there.
 * Called on every string of a request that holds a byte above 0x7f.
 */

#include "utf8.h"
#include "json_scan.h"

#if defined(__x86_64__) && defined(__GNUC__)
#define UTF8_SSSE3 1
#include <tmmintrin.h>
#else
#define UTF8_SSSE3 0
#endif

static bool is_continuation(uint8_t byte)
{
    return (byte & 0xc0) == 0x80;
}

/* Length that a lead byte announces; 0 if no character starts with it. */
static size_t announced(uint8_t lead)
{
    if (lead < 0x80) {
        return 1;
    }
    if (lead < 0xc2 || lead > 0xf4) {
        return 0;
    }
    return lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
}

/* The second byte carries all rules on overlong forms, surrogates and the upper bound. */
static bool second_fits(uint8_t lead, uint8_t second)
{
    switch (lead) {
    case 0xe0:
        return second >= 0xa0 && second <= 0xbf;
    case 0xed:
        return second >= 0x80 && second <= 0x9f;
    case 0xf0:
        return second >= 0x90 && second <= 0xbf;
    case 0xf4:
        return second >= 0x80 && second <= 0x8f;
    default:
        return is_continuation(second);
    }
}

/* How many bytes of the first character are there and right; *wanted is its whole length. */
static size_t matched(relay_span_t text, size_t *wanted)
{
    size_t n = 1;

    *wanted = text.len != 0 ? announced(text.base[0]) : 0;
    if (*wanted == 0) {
        return 0;
    }
    if (*wanted > 1 && text.len > 1 && !second_fits(text.base[0], text.base[1])) {
        return 1;
    }
    while (n < *wanted && n < text.len && is_continuation(text.base[n])) {
        n++;
    }
    return n;
}

size_t relay_utf8_character(relay_span_t text)
{
    size_t wanted;

    return matched(text, &wanted) == wanted ? wanted : 0;
}

bool relay_utf8_incomplete(relay_span_t text)
{
    size_t wanted;
    size_t have = matched(text, &wanted);

    return have == text.len && have < wanted;
}

size_t relay_utf8_put(uint8_t out[4], uint32_t code)
{
    if (code < 0x80) {
        out[0] = (uint8_t)code;
        return 1;
    }
    if (code < 0x800) {
        out[0] = (uint8_t)(0xc0 | code >> 6);
        out[1] = (uint8_t)(0x80 | (code & 0x3f));
        return 2;
    }
    if (code < 0x10000) {
        out[0] = (uint8_t)(0xe0 | code >> 12);
        out[1] = (uint8_t)(0x80 | (code >> 6 & 0x3f));
        out[2] = (uint8_t)(0x80 | (code & 0x3f));
        return 3;
    }
    out[0] = (uint8_t)(0xf0 | code >> 18);
    out[1] = (uint8_t)(0x80 | (code >> 12 & 0x3f));
    out[2] = (uint8_t)(0x80 | (code >> 6 & 0x3f));
    out[3] = (uint8_t)(0x80 | (code & 0x3f));
    return 4;
}

/* First position at or after `at` where eight bytes are not all ASCII, or fewer are left. */
static size_t skip_ascii(relay_span_t text, size_t at)
{
    while (text.len - at >= 8) {
        uint64_t eight;
        memcpy(&eight, text.base + at, 8);
        if ((eight & UINT64_C(0x8080808080808080)) != 0) {
            break;
        }
        at += 8;
    }
    return at;
}

static size_t valid_scalar(relay_span_t text, size_t at)
{
    while (at < text.len) {
        const uint8_t *from = text.base + at;
        size_t length;
        if (*from < 0x80) {
            at = skip_ascii(text, at + 1);
            continue;
        }
        /* most of the world's two-byte text, without the general rules */
        if (*from >= 0xc2 && *from <= 0xdf && text.len - at >= 2 && is_continuation(from[1])) {
            at += 2;
            continue;
        }
        length = relay_utf8_character(relay_span_from(text, at));
        if (length == 0) {
            break;
        }
        at += length;
    }
    return at;
}

#if UTF8_SSSE3

#define SSSE3 __attribute__((target("ssse3")))

/* What is wrong with a pair of neighbouring bytes; a pair is wrong where all
 * three lookups (first byte's nibbles, second byte's high nibble) share a bit. */
enum {
    TOO_SHORT = 1 << 0,      /* lead, then no continuation */
    TOO_LONG = 1 << 1,       /* ASCII, then a continuation */
    OVERLONG_3 = 1 << 2,     /* e0 80..9f */
    TOO_LARGE = 1 << 3,      /* f4 90.. and f5..ff */
    SURROGATE = 1 << 4,      /* ed a0..bf */
    OVERLONG_2 = 1 << 5,     /* c0, c1 */
    TOO_LARGE_1000 = 1 << 6, /* f5..ff 80..8f */
    OVERLONG_4 = 1 << 6,     /* f0 80..8f */
    TWO_CONTINUATIONS = 1 << 7,
    CARRY = TOO_SHORT | TOO_LONG | TWO_CONTINUATIONS /* decided by high nibbles alone */
};

#define BYTE(bits) ((char)(unsigned char)(bits))

static inline SSSE3 __m128i high_nibbles(__m128i bytes)
{
    return _mm_and_si128(_mm_srli_epi16(bytes, 4), _mm_set1_epi8(0x0f));
}

static inline SSSE3 __m128i first_high(__m128i first)
{
    const __m128i table = _mm_setr_epi8(
        TOO_LONG, TOO_LONG, TOO_LONG, TOO_LONG, TOO_LONG, TOO_LONG, TOO_LONG, TOO_LONG,
        BYTE(TWO_CONTINUATIONS), BYTE(TWO_CONTINUATIONS), BYTE(TWO_CONTINUATIONS),
        BYTE(TWO_CONTINUATIONS), TOO_SHORT | OVERLONG_2, TOO_SHORT,
        TOO_SHORT | OVERLONG_3 | SURROGATE, TOO_SHORT | TOO_LARGE | TOO_LARGE_1000 | OVERLONG_4);

    return _mm_shuffle_epi8(table, high_nibbles(first));
}

static inline SSSE3 __m128i first_low(__m128i first)
{
    const char large = BYTE(CARRY | TOO_LARGE | TOO_LARGE_1000);
    const __m128i table =
        _mm_setr_epi8(BYTE(CARRY | OVERLONG_3 | OVERLONG_2 | OVERLONG_4), BYTE(CARRY | OVERLONG_2),
                      BYTE(CARRY), BYTE(CARRY), BYTE(CARRY | TOO_LARGE), large, large, large, large,
                      large, large, large, large, (char)(large | SURROGATE), large, large);

    return _mm_shuffle_epi8(table, _mm_and_si128(first, _mm_set1_epi8(0x0f)));
}

static inline SSSE3 __m128i second_high(__m128i second)
{
    const char common = BYTE(TOO_LONG | OVERLONG_2 | TWO_CONTINUATIONS);
    const char high = (char)(common | SURROGATE | TOO_LARGE);
    const __m128i table =
        _mm_setr_epi8(TOO_SHORT, TOO_SHORT, TOO_SHORT, TOO_SHORT, TOO_SHORT, TOO_SHORT, TOO_SHORT,
                      TOO_SHORT, (char)(common | OVERLONG_3 | TOO_LARGE_1000 | OVERLONG_4),
                      (char)(common | OVERLONG_3 | TOO_LARGE), high, high, TOO_SHORT, TOO_SHORT,
                      TOO_SHORT, TOO_SHORT);

    return _mm_shuffle_epi8(table, high_nibbles(second));
}

/* Non-zero where input, which follows previous, breaks the rules. */
static inline SSSE3 __m128i faults(__m128i input, __m128i previous)
{
    const __m128i first = _mm_alignr_epi8(input, previous, 15);
    const __m128i pairs =
        _mm_and_si128(_mm_and_si128(first_high(first), first_low(first)), second_high(input));
    const __m128i third =
        _mm_subs_epu8(_mm_alignr_epi8(input, previous, 14), _mm_set1_epi8(0xe0 - 0x80));
    const __m128i fourth =
        _mm_subs_epu8(_mm_alignr_epi8(input, previous, 13), _mm_set1_epi8(0xf0 - 0x80));
    const __m128i must_continue =
        _mm_and_si128(_mm_or_si128(third, fourth), _mm_set1_epi8(BYTE(0x80)));

    /* two continuations in a row are right exactly where a third or fourth byte is due */
    return _mm_xor_si128(must_continue, pairs);
}

static inline SSSE3 __m128i load(const uint8_t *from)
{
    return _mm_loadu_si128((const __m128i *)(const void *)from);
}

/* Non-zero if bytes end inside a character. */
static inline SSSE3 __m128i unfinished(__m128i bytes)
{
    const __m128i highest = _mm_setr_epi8(-1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1,
                                          BYTE(0xef), BYTE(0xdf), BYTE(0xbf));

    return _mm_subs_epu8(bytes, highest);
}

static inline SSSE3 bool is_zero(__m128i bytes)
{
    return _mm_movemask_epi8(_mm_cmpeq_epi8(bytes, _mm_setzero_si128())) == 0xffff;
}

/* True if the 64 bytes at `from` break no rule after *previous, which then becomes their last 16.
 */
static inline SSSE3 bool block_is_valid(const uint8_t *from, __m128i *previous)
{
    const __m128i a = load(from), b = load(from + 16), c = load(from + 32), d = load(from + 48);
    const __m128i any = _mm_or_si128(_mm_or_si128(a, b), _mm_or_si128(c, d));
    __m128i wrong;

    if (_mm_movemask_epi8(any) == 0) {
        wrong = unfinished(*previous);
    } else {
        wrong = _mm_or_si128(_mm_or_si128(faults(a, *previous), faults(b, a)),
                             _mm_or_si128(faults(c, b), faults(d, c)));
    }
    if (!is_zero(wrong)) {
        return false;
    }
    *previous = d;
    return true;
}

/* The same for 16 bytes. */
static inline SSSE3 bool step_is_valid(const uint8_t *from, __m128i *previous)
{
    const __m128i bytes = load(from);
    const __m128i wrong = faults(bytes, *previous);

    if (!is_zero(wrong)) {
        return false;
    }
    *previous = bytes;
    return true;
}

/* `at` is valid up to a character that may reach over it: back to where that character starts. */
static size_t character_start(relay_span_t text, size_t at)
{
    for (size_t back = 1; back <= 3 && back <= at; back++) {
        if (!is_continuation(text.base[at - back])) {
            return at - back;
        }
    }
    return at;
}

/* The same for less than 16 bytes that end the text: zeros behind them end any character. */
static inline SSSE3 bool rest_is_valid(relay_span_t rest, __m128i *previous)
{
    uint8_t padded[16] = {0};

    memcpy(padded, rest.base, rest.len);
    return step_is_valid(padded, previous);
}

/* Finds out by vector; the scalar twin finds the place of a fault. */
static SSSE3 size_t valid_ssse3(relay_span_t text)
{
    __m128i previous = _mm_setzero_si128();
    size_t at = 0;

    while (text.len - at >= 64 && block_is_valid(text.base + at, &previous)) {
        at += 64;
    }
    while (text.len - at >= 16 && step_is_valid(text.base + at, &previous)) {
        at += 16;
    }
    if (text.len - at < 16 && rest_is_valid(relay_span_from(text, at), &previous)) {
        return text.len;
    }
    return valid_scalar(text, character_start(text, at));
}

#endif

size_t relay_utf8_valid(relay_span_t text)
{
#if UTF8_SSSE3
    if (text.len >= 16 && __builtin_cpu_supports("ssse3")) {
        return valid_ssse3(text);
    }
#endif
    return valid_scalar(text, 0);
}
