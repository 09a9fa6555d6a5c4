/*
 * Header lines: see header_line.h.
 *
 *   name [':' spaces value spaces] CR* LF
 *
 * A control, a space or DEL may not be in a name; NUL, and a CR that no LF
 * follows, may not be in a value. All else is for those who read the header.
 *
 * Both are read 16 bytes at a time by SSE2, which every x86-64 has; the rest,
 * and all of it elsewhere, byte by byte.
 */

#include "header_line.h"

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

/* What each byte becomes in a name; 0: it ends there. */
static const uint8_t name_bytes[256] = {
    /* clang-format off */
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x21, 0x22, 0x23, 0x24, 0x25, 0x26, 0x27, 0x28, 0x29, 0x2a, 0x2b, 0x2c, 0x2d, 0x2e, 0x2f,
    0x30, 0x31, 0x32, 0x33, 0x34, 0x35, 0x36, 0x37, 0x38, 0x39, 0x00, 0x3b, 0x3c, 0x3d, 0x3e, 0x3f,
    0x40, 0x61, 0x62, 0x63, 0x64, 0x65, 0x66, 0x67, 0x68, 0x69, 0x6a, 0x6b, 0x6c, 0x6d, 0x6e, 0x6f,
    0x70, 0x71, 0x72, 0x73, 0x74, 0x75, 0x76, 0x77, 0x78, 0x79, 0x7a, 0x5b, 0x5c, 0x5d, 0x5e, 0x5f,
    0x60, 0x61, 0x62, 0x63, 0x64, 0x65, 0x66, 0x67, 0x68, 0x69, 0x6a, 0x6b, 0x6c, 0x6d, 0x6e, 0x6f,
    0x70, 0x71, 0x72, 0x73, 0x74, 0x75, 0x76, 0x77, 0x78, 0x79, 0x7a, 0x7b, 0x7c, 0x7d, 0x7e, 0x00,
    0x80, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8a, 0x8b, 0x8c, 0x8d, 0x8e, 0x8f,
    0x90, 0x91, 0x92, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99, 0x9a, 0x9b, 0x9c, 0x9d, 0x9e, 0x9f,
    0xa0, 0xa1, 0xa2, 0xa3, 0xa4, 0xa5, 0xa6, 0xa7, 0xa8, 0xa9, 0xaa, 0xab, 0xac, 0xad, 0xae, 0xaf,
    0xb0, 0xb1, 0xb2, 0xb3, 0xb4, 0xb5, 0xb6, 0xb7, 0xb8, 0xb9, 0xba, 0xbb, 0xbc, 0xbd, 0xbe, 0xbf,
    0xc0, 0xc1, 0xc2, 0xc3, 0xc4, 0xc5, 0xc6, 0xc7, 0xc8, 0xc9, 0xca, 0xcb, 0xcc, 0xcd, 0xce, 0xcf,
    0xd0, 0xd1, 0xd2, 0xd3, 0xd4, 0xd5, 0xd6, 0xd7, 0xd8, 0xd9, 0xda, 0xdb, 0xdc, 0xdd, 0xde, 0xdf,
    0xe0, 0xe1, 0xe2, 0xe3, 0xe4, 0xe5, 0xe6, 0xe7, 0xe8, 0xe9, 0xea, 0xeb, 0xec, 0xed, 0xee, 0xef,
    0xf0, 0xf1, 0xf2, 0xf3, 0xf4, 0xf5, 0xf6, 0xf7, 0xf8, 0xf9, 0xfa, 0xfb, 0xfc, 0xfd, 0xfe, 0xff,
    /* clang-format on */
};

#if defined(__SSE2__)

enum { STEP = sizeof(__m128i) };

/* From STEP - n on: n bytes that are taken, and those that are not. */
static const uint8_t taken[2 * STEP] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
                                        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

static inline __m128i load(const uint8_t *from)
{
    return _mm_loadu_si128((const __m128i *)(const void *)from);
}

static inline __m128i equal(__m128i bytes, char byte)
{
    return _mm_cmpeq_epi8(bytes, _mm_set1_epi8(byte));
}

/* How many of the bytes are in front of the first that is marked. */
static inline unsigned before(__m128i marks)
{
    return (unsigned)__builtin_ctz((unsigned)_mm_movemask_epi8(marks) | 1U << STEP);
}

/* 0x20 where a capital letter is. */
static inline __m128i capitals(__m128i bytes)
{
    const __m128i from_lowest = _mm_sub_epi8(bytes, _mm_set1_epi8((char)('A' + 0x80)));
    const __m128i is_capital = _mm_cmplt_epi8(from_lowest, _mm_set1_epi8(-0x80 + 26));

    return _mm_and_si128(is_capital, _mm_set1_epi8(0x20));
}

static inline uint8_t *pass_name_steps(uint8_t *at, uint8_t *end)
{
    unsigned count = STEP;

    while (count == STEP && end - at >= STEP) {
        const __m128i bytes = load(at);
        const __m128i blank = _mm_cmpeq_epi8(_mm_min_epu8(bytes, _mm_set1_epi8(' ')), bytes);
        const __m128i other = _mm_or_si128(equal(bytes, ':'), equal(bytes, 0x7f));
        count = before(_mm_or_si128(blank, other));
        const __m128i lower = _mm_and_si128(capitals(bytes), load(taken + STEP - count));
        _mm_storeu_si128((__m128i *)(void *)at, _mm_or_si128(bytes, lower));
        at += count;
    }
    return at;
}

static inline uint8_t *pass_text_steps(uint8_t *at, uint8_t *end)
{
    unsigned count = STEP;

    while (count == STEP && end - at >= STEP) {
        const __m128i bytes = load(at);
        const __m128i breaks = _mm_or_si128(equal(bytes, '\r'), equal(bytes, '\n'));
        count = before(_mm_or_si128(breaks, equal(bytes, 0)));
        at += count;
    }
    return at;
}

#else

static inline uint8_t *pass_name_steps(uint8_t *at, uint8_t *end)
{
    (void)end;
    return at;
}

static inline uint8_t *pass_text_steps(uint8_t *at, uint8_t *end)
{
    (void)end;
    return at;
}

#endif

/* Lowers the letters in front of the byte that ends the name, or of `end`. */
static inline uint8_t *pass_name(uint8_t *at, uint8_t *end)
{
    uint8_t lower;

    at = pass_name_steps(at, end);
    while (at < end && (lower = name_bytes[*at]) != 0) {
        *at++ = lower;
    }
    return at;
}

/* To the first CR, LF or NUL, or to `end`. */
static inline uint8_t *pass_text(uint8_t *at, uint8_t *end)
{
    at = pass_text_steps(at, end);
    while (at < end && *at != '\r' && *at != '\n' && *at != '\0') {
        at++;
    }
    return at;
}

/* at: the first CR of those in front of the line feed, or that itself. */
static relay_header_status_t pass_end(uint8_t **at, uint8_t *end)
{
    uint8_t *last = *at;

    while (last < end && *last == '\r') {
        last++;
    }
    if (last == end) {
        return RELAY_HEADER_MORE;
    }
    *at = last + 1;
    return *last == '\n' ? RELAY_HEADER_LINE : RELAY_HEADER_ERROR;
}

static relay_header_status_t take_empty(uint8_t **at, uint8_t *end)
{
    uint8_t *next = *at;

    if (*next == '\r' && ++next == end) {
        return RELAY_HEADER_MORE;
    }
    *at = next + 1;
    return *next == '\n' ? RELAY_HEADER_END : RELAY_HEADER_ERROR;
}

/* at: behind the colon. */
static relay_header_status_t take_value(uint8_t **at, uint8_t *end, relay_span_t *value)
{
    uint8_t *start = *at, *stop;

    while (start < end && *start == ' ') {
        start++;
    }
    stop = pass_text(start, end);
    if (stop == end) {
        return RELAY_HEADER_MORE;
    }
    if (*stop == '\0') {
        return RELAY_HEADER_ERROR;
    }
    *at = stop;
    while (stop > start && stop[-1] == ' ') {
        stop--;
    }
    *value = relay_span(start, (size_t)(stop - start));
    return pass_end(at, end);
}

/* "HTTP/1.1 200 OK": some servers send it between headers. */
static bool repeats_status(const uint8_t *at, const uint8_t *end)
{
    return end - at >= 5 && memcmp(at, "HTTP/", 5) == 0;
}

static relay_header_status_t take_line(uint8_t **at, uint8_t *end, relay_span_t *name,
                                       relay_span_t *value)
{
    uint8_t *start = *at, *stop;

    if (*start == '\r' || *start == '\n') {
        return take_empty(at, end);
    }
    stop = pass_name(start, end);
    *name = relay_span(start, (size_t)(stop - start));
    if (stop == end) {
        return RELAY_HEADER_MORE;
    }
    *at = stop;
    if (*stop == ':' && stop > start) {
        *at = stop + 1;
        return take_value(at, end, value);
    }
    *value = relay_span(stop, 0);
    return *stop == '\r' || *stop == '\n' ? pass_end(at, end) : RELAY_HEADER_ERROR;
}

relay_header_status_t relay_header_line(uint8_t **at, uint8_t *end, relay_span_t *name,
                                        relay_span_t *value)
{
    uint8_t *next = *at;
    relay_header_status_t status;

    while (repeats_status(next, end)) {
        next = memchr(next, '\n', (size_t)(end - next));
        if (next == NULL) {
            return RELAY_HEADER_MORE;
        }
        next++;
    }
    if (next == end) {
        return RELAY_HEADER_MORE;
    }
    status = take_line(&next, end, name, value);
    if (status != RELAY_HEADER_MORE) {
        *at = next;
    }
    return status;
}
