/*
 * JSON text 16 and 64 bytes at a time: one bit of a mask for each byte that
 * matters. By SSE2, which every x86-64 has, and 64 bytes also by AVX2 where the
 * machine that runs has it. Internal to core/json_*.c, which do the same a byte
 * at a time where RELAY_JSON_SSE2 is 0.
 */

#ifndef RELAY_JSON_BLOCK_H
#define RELAY_JSON_BLOCK_H

#include <stdbool.h>
#include <stdint.h>

#if defined(__SSE2__)
#define RELAY_JSON_SSE2 1
#include <immintrin.h>
#else
#define RELAY_JSON_SSE2 0
#endif

/* Where it is, BMI and BMI2 are: relay_json_has_avx2() asks. */
#define RELAY_JSON_AVX2 __attribute__((target("avx2,bmi,bmi2")))

/* Quote, backslash or control: what text between quotes does not hold as it is. */
static inline bool relay_json_is_special(uint8_t byte)
{
    return byte == '"' || byte == '\\' || byte < 0x20;
}

#if RELAY_JSON_SSE2

static inline __m128i relay_json_load(const uint8_t *from)
{
    return _mm_loadu_si128((const __m128i *)(const void *)from);
}

static inline __m128i relay_json_equal(__m128i bytes, char byte)
{
    return _mm_cmpeq_epi8(bytes, _mm_set1_epi8(byte));
}

static inline unsigned relay_json_bits(__m128i bytes)
{
    return (unsigned)_mm_movemask_epi8(bytes);
}

static inline __m128i relay_json_specials(__m128i bytes)
{
    const __m128i control = _mm_cmpeq_epi8(_mm_min_epu8(bytes, _mm_set1_epi8(0x1f)), bytes);

    return _mm_or_si128(_mm_or_si128(relay_json_equal(bytes, '"'), relay_json_equal(bytes, '\\')),
                        control);
}

/* What ends a number or a literal: white space, a comma, a closing bracket. Brackets
 * differ in one bit, 0x20. */
static inline __m128i relay_json_word_ends(__m128i bytes)
{
    const __m128i space = _mm_cmpeq_epi8(_mm_min_epu8(bytes, _mm_set1_epi8(' ')), bytes);
    const __m128i closing = relay_json_equal(_mm_or_si128(bytes, _mm_set1_epi8(0x20)), '}');

    return _mm_or_si128(_mm_or_si128(space, closing), relay_json_equal(bytes, ','));
}

static inline bool relay_json_has_avx2(void)
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi2");
}

/* Quotes, backslashes and controls of the 64 bytes at `from`; *high gains bits
 * if one of them is above 0x7f. */
typedef uint64_t (*relay_json_read_specials_t)(const uint8_t *from, unsigned *high);

static inline uint64_t relay_json_specials_sse2(const uint8_t *from, unsigned *high)
{
    uint64_t bits = 0;

#pragma GCC unroll 4
    for (unsigned i = 0; i < 64; i += 16) {
        const __m128i bytes = relay_json_load(from + i);
        *high |= relay_json_bits(bytes);
        bits |= (uint64_t)relay_json_bits(relay_json_specials(bytes)) << i;
    }
    return bits;
}

static inline RELAY_JSON_AVX2 uint64_t relay_json_specials_avx2(const uint8_t *from, unsigned *high)
{
    __m256i all = _mm256_setzero_si256();
    uint64_t bits = 0;

#pragma GCC unroll 2
    for (unsigned i = 0; i < 64; i += 32) {
        const __m256i bytes = _mm256_loadu_si256((const __m256i *)(const void *)(from + i));
        const __m256i control =
            _mm256_cmpeq_epi8(_mm256_min_epu8(bytes, _mm256_set1_epi8(0x1f)), bytes);
        const __m256i quotes = _mm256_or_si256(_mm256_cmpeq_epi8(bytes, _mm256_set1_epi8('"')),
                                               _mm256_cmpeq_epi8(bytes, _mm256_set1_epi8('\\')));
        all = _mm256_or_si256(all, bytes);
        bits |= (uint64_t)(uint32_t)_mm256_movemask_epi8(_mm256_or_si256(quotes, control)) << i;
    }
    *high |= (unsigned)_mm256_movemask_epi8(all);
    return bits;
}

/* What tells the structure of 64 bytes: quotes, backslashes, brackets of any kind. */
typedef struct {
    uint64_t quotes;
    uint64_t slashes;
    uint64_t brackets;
} relay_json_marks_t;

typedef relay_json_marks_t (*relay_json_read_marks_t)(const uint8_t *from);

/* Both brackets differ from both braces in one bit, 0x20. */
static inline relay_json_marks_t relay_json_marks_sse2(const uint8_t *from)
{
    relay_json_marks_t marks = {0, 0, 0};

#pragma GCC unroll 4
    for (unsigned i = 0; i < 64; i += 16) {
        const __m128i bytes = relay_json_load(from + i);
        const __m128i folded = _mm_or_si128(bytes, _mm_set1_epi8(0x20));
        const __m128i brackets =
            _mm_or_si128(relay_json_equal(folded, '{'), relay_json_equal(folded, '}'));
        marks.quotes |= (uint64_t)relay_json_bits(relay_json_equal(bytes, '"')) << i;
        marks.slashes |= (uint64_t)relay_json_bits(relay_json_equal(bytes, '\\')) << i;
        marks.brackets |= (uint64_t)relay_json_bits(brackets) << i;
    }
    return marks;
}

static inline RELAY_JSON_AVX2 relay_json_marks_t relay_json_marks_avx2(const uint8_t *from)
{
    relay_json_marks_t marks = {0, 0, 0};

#pragma GCC unroll 2
    for (unsigned i = 0; i < 64; i += 32) {
        const __m256i bytes = _mm256_loadu_si256((const __m256i *)(const void *)(from + i));
        const __m256i folded = _mm256_or_si256(bytes, _mm256_set1_epi8(0x20));
        const __m256i quotes = _mm256_cmpeq_epi8(bytes, _mm256_set1_epi8('"'));
        const __m256i slashes = _mm256_cmpeq_epi8(bytes, _mm256_set1_epi8('\\'));
        const __m256i brackets = _mm256_or_si256(_mm256_cmpeq_epi8(folded, _mm256_set1_epi8('{')),
                                                 _mm256_cmpeq_epi8(folded, _mm256_set1_epi8('}')));
        marks.quotes |= (uint64_t)(uint32_t)_mm256_movemask_epi8(quotes) << i;
        marks.slashes |= (uint64_t)(uint32_t)_mm256_movemask_epi8(slashes) << i;
        marks.brackets |= (uint64_t)(uint32_t)_mm256_movemask_epi8(brackets) << i;
    }
    return marks;
}

#endif

#endif
