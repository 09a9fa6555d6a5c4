/*
 * UTF-8 validation. Three twins that agree byte for byte: a scalar one for every
 * machine, and the range-lookup algorithm of Keiser and Lemire ("Validating
 * UTF-8 in less than one instruction per byte", 2021) where SSSE3 or AVX2 is there.
 * Called on every string of a request that holds a byte above 0x7f.
 */

#include "utf8.h"
#include "json_scan.h"

#if defined(__x86_64__) && defined(__GNUC__)
#define UTF8_SSSE3 1
#include <immintrin.h>
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
 * three lookups (first byte's nibbles, second byte's high nibble) share a bit.
 * Each table is called after what is looked up in it. */
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

static inline SSSE3 __m128i first_high(void)
{
    return _mm_setr_epi8(TOO_LONG, TOO_LONG, TOO_LONG, TOO_LONG, TOO_LONG, TOO_LONG, TOO_LONG,
                         TOO_LONG, BYTE(TWO_CONTINUATIONS), BYTE(TWO_CONTINUATIONS),
                         BYTE(TWO_CONTINUATIONS), BYTE(TWO_CONTINUATIONS), TOO_SHORT | OVERLONG_2,
                         TOO_SHORT, TOO_SHORT | OVERLONG_3 | SURROGATE,
                         TOO_SHORT | TOO_LARGE | TOO_LARGE_1000 | OVERLONG_4);
}

static inline SSSE3 __m128i first_low(void)
{
    const char large = BYTE(CARRY | TOO_LARGE | TOO_LARGE_1000);

    return _mm_setr_epi8(BYTE(CARRY | OVERLONG_3 | OVERLONG_2 | OVERLONG_4),
                         BYTE(CARRY | OVERLONG_2), BYTE(CARRY), BYTE(CARRY),
                         BYTE(CARRY | TOO_LARGE), large, large, large, large, large, large, large,
                         large, (char)(large | SURROGATE), large, large);
}

static inline SSSE3 __m128i second_high(void)
{
    const char common = BYTE(TOO_LONG | OVERLONG_2 | TWO_CONTINUATIONS);
    const char high = (char)(common | SURROGATE | TOO_LARGE);

    return _mm_setr_epi8(TOO_SHORT, TOO_SHORT, TOO_SHORT, TOO_SHORT, TOO_SHORT, TOO_SHORT,
                         TOO_SHORT, TOO_SHORT,
                         (char)(common | OVERLONG_3 | TOO_LARGE_1000 | OVERLONG_4),
                         (char)(common | OVERLONG_3 | TOO_LARGE), high, high, TOO_SHORT, TOO_SHORT,
                         TOO_SHORT, TOO_SHORT);
}

static inline SSSE3 __m128i high_nibbles(__m128i bytes)
{
    return _mm_and_si128(_mm_srli_epi16(bytes, 4), _mm_set1_epi8(0x0f));
}

static inline SSSE3 __m128i pair_faults(__m128i first, __m128i second)
{
    const __m128i low = _mm_and_si128(first, _mm_set1_epi8(0x0f));

    return _mm_and_si128(_mm_and_si128(_mm_shuffle_epi8(first_high(), high_nibbles(first)),
                                       _mm_shuffle_epi8(first_low(), low)),
                         _mm_shuffle_epi8(second_high(), high_nibbles(second)));
}

/* Non-zero where input, which follows previous, breaks the rules. */
static inline SSSE3 __m128i faults(__m128i input, __m128i previous)
{
    const __m128i pairs = pair_faults(_mm_alignr_epi8(input, previous, 15), input);
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

/* ---- the same, 32 bytes a step ------------------------------------------- */

#define AVX2 __attribute__((target("avx2")))

static inline AVX2 __m256i wide_high_nibbles(__m256i bytes)
{
    return _mm256_and_si256(_mm256_srli_epi16(bytes, 4), _mm256_set1_epi8(0x0f));
}

static inline AVX2 __m256i look_up(__m128i table, __m256i nibbles)
{
    return _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(table), nibbles);
}

static inline AVX2 __m256i wide_pair_faults(__m256i first, __m256i second)
{
    const __m256i low = _mm256_and_si256(first, _mm256_set1_epi8(0x0f));

    return _mm256_and_si256(_mm256_and_si256(look_up(first_high(), wide_high_nibbles(first)),
                                             look_up(first_low(), low)),
                            look_up(second_high(), wide_high_nibbles(second)));
}

static inline AVX2 __m256i wide_faults(__m256i input, __m256i previous)
{
    /* alignr works on halves: this is what precedes each half of input */
    const __m256i before = _mm256_permute2x128_si256(previous, input, 0x21);
    const __m256i pairs = wide_pair_faults(_mm256_alignr_epi8(input, before, 15), input);
    const __m256i third =
        _mm256_subs_epu8(_mm256_alignr_epi8(input, before, 14), _mm256_set1_epi8(0xe0 - 0x80));
    const __m256i fourth =
        _mm256_subs_epu8(_mm256_alignr_epi8(input, before, 13), _mm256_set1_epi8(0xf0 - 0x80));
    const __m256i must_continue =
        _mm256_and_si256(_mm256_or_si256(third, fourth), _mm256_set1_epi8(BYTE(0x80)));

    return _mm256_xor_si256(must_continue, pairs);
}

static inline AVX2 __m256i wide_load(const uint8_t *from)
{
    return _mm256_loadu_si256((const __m256i *)(const void *)from);
}

static inline AVX2 bool wide_is_zero(__m256i bytes)
{
    return _mm256_testz_si256(bytes, bytes) != 0;
}

static inline AVX2 bool wide_is_unfinished(__m256i bytes)
{
    return !is_zero(unfinished(_mm256_extracti128_si256(bytes, 1)));
}

/* 64 bytes. */
static inline AVX2 bool wide_block_is_valid(const uint8_t *from, __m256i *previous)
{
    const __m256i a = wide_load(from), b = wide_load(from + 32), before = *previous;

    *previous = b;
    if (_mm256_movemask_epi8(_mm256_or_si256(a, b)) == 0) {
        return !wide_is_unfinished(before);
    }
    return wide_is_zero(_mm256_or_si256(wide_faults(a, before), wide_faults(b, a)));
}

/* The less than 64 bytes that end a text of 64 or more. The last step reaches back into
 * what is known to be right, which stays so. */
static inline AVX2 bool wide_rest_is_valid(relay_span_t rest, __m256i previous)
{
    const uint8_t *end = rest.base + rest.len;
    const __m256i last = wide_load(end - 32);

    return (rest.len < 32 || wide_is_zero(wide_faults(wide_load(rest.base), previous))) &&
           wide_is_zero(wide_faults(last, wide_load(end - 64))) && !wide_is_unfinished(last);
}

/* text: 64 bytes or more. */
static AVX2 size_t valid_avx2(relay_span_t text)
{
    __m256i previous = _mm256_setzero_si256();
    size_t at = 0;

    while (text.len - at >= 64 && wide_block_is_valid(text.base + at, &previous)) {
        at += 64;
    }
    if (text.len - at < 64 && wide_rest_is_valid(relay_span_from(text, at), previous)) {
        return text.len;
    }
    return valid_scalar(text, character_start(text, at));
}

#endif

size_t relay_utf8_valid(relay_span_t text)
{
#if UTF8_SSSE3
    if (text.len >= 64 && __builtin_cpu_supports("avx2")) {
        return valid_avx2(text);
    }
    if (text.len >= 16 && __builtin_cpu_supports("ssse3")) {
        return valid_ssse3(text);
    }
#endif
    return valid_scalar(text, 0);
}
