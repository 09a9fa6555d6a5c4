/* Floats to and from text: see float_vector.h. */

#include "float_vector.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- base64 -------------------------------------------------------------- */

static void put_group(relay_buf_t *out, const uint8_t *bytes, size_t count)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    uint32_t group = (uint32_t)bytes[0] << 16;
    uint8_t text[4];

    group |= count > 1 ? (uint32_t)bytes[1] << 8 : 0;
    group |= count > 2 ? bytes[2] : 0;
    for (size_t i = 0; i < sizeof(text); i++) {
        text[i] = i <= count ? (uint8_t)digits[group >> (18 - 6 * i) & 63] : '=';
    }
    relay_buf_put(out, relay_span(text, sizeof(text)));
}

void relay_vector_put_base64(relay_buf_t *out, relay_span_t bytes)
{
    for (size_t i = 0; i < bytes.len; i += 3) {
        put_group(out, bytes.base + i, bytes.len - i < 3 ? bytes.len - i : 3);
    }
}

/* -1: no digit of base64. */
static int digit_of(uint8_t byte)
{
    if (byte >= 'A' && byte <= 'Z') {
        return byte - 'A';
    }
    if (byte >= 'a' && byte <= 'z') {
        return byte - 'a' + 26;
    }
    if (byte >= '0' && byte <= '9') {
        return byte - '0' + 52;
    }
    return byte == '+' ? 62 : byte == '/' ? 63 : -1;
}

/* Floats in base64, being read. */
typedef struct {
    relay_span_t rest;
    uint32_t bits; /* the lowest `have` of them wait */
    unsigned have;
    bool broken;
} unpacking_t;

/* What may follow the first "=". */
static bool is_padding(relay_span_t text)
{
    return text.len == 0 || relay_span_eq(text, RELAY_SPAN("="));
}

static bool next_byte(unpacking_t *unpacking, uint8_t *byte)
{
    while (unpacking->have < 8 && unpacking->rest.len != 0) {
        uint8_t next = unpacking->rest.base[0];
        int digit = digit_of(next);
        unpacking->rest = relay_span_from(unpacking->rest, 1);
        if (next == '\\') { /* "\/" */
            continue;
        }
        if (digit < 0) {
            unpacking->broken = next != '=' || !is_padding(unpacking->rest);
            unpacking->rest.len = 0;
            break;
        }
        unpacking->bits = unpacking->bits << 6 | (uint32_t)digit;
        unpacking->have += 6;
    }
    if (unpacking->have < 8) {
        return false;
    }
    unpacking->have -= 8;
    *byte = (uint8_t)(unpacking->bits >> unpacking->have);
    return true;
}

/* False at the end, broken if that is none. */
static bool next_float(unpacking_t *unpacking, float *number)
{
    uint32_t bits = 0;
    uint8_t byte;

    for (unsigned i = 0; i < 4; i++) {
        if (!next_byte(unpacking, &byte)) {
            unpacking->broken = unpacking->broken || i != 0;
            return false;
        }
        bits |= (uint32_t)byte << 8 * i;
    }
    memcpy(number, &bits, sizeof(*number));
    unpacking->broken = unpacking->broken || !isfinite(*number);
    return !unpacking->broken;
}

static void put_number(relay_buf_t *out, float number)
{
    char text[32];
    int len = 0;

    for (int digits = 6; digits <= 9; digits++) { /* 9 tell any two floats apart */
        len = snprintf(text, sizeof(text), "%.*g", digits, (double)number);
        if (strtof(text, NULL) == number) {
            break;
        }
    }
    relay_buf_put(out, relay_span(text, (size_t)len));
}

bool relay_vector_unpack(relay_span_t packed, relay_buf_t *out)
{
    unpacking_t unpacking = {.rest = packed};
    bool any = false;
    float number;

    RELAY_PUT(out, "[");
    while (next_float(&unpacking, &number)) {
        relay_buf_put(out, any ? RELAY_SPAN(",") : relay_span(NULL, 0));
        put_number(out, number);
        any = true;
    }
    RELAY_PUT(out, "]");
    return any && !unpacking.broken;
}

/* ---- numbers in decimal -------------------------------------------------- */

static bool is_digit(uint8_t byte)
{
    return byte >= '0' && byte <= '9';
}

static bool is_space(uint8_t byte)
{
    return byte == ' ' || byte == '\n' || byte == '\r' || byte == '\t';
}

/* An array of numbers, being read; what it holds obeys the grammar. */
typedef struct {
    const uint8_t *at;
    const uint8_t *end; /* the closing bracket */
} reading_t;

static reading_t open_array(relay_span_t array)
{
    return (reading_t){array.base + 1, array.base + array.len - 1};
}

/* To the first byte of the next number; false at the end. */
static bool next_number(reading_t *reading)
{
    while (reading->at < reading->end && (is_space(*reading->at) || *reading->at == ',')) {
        reading->at++;
    }
    return reading->at < reading->end;
}

/* The digits here, as many as count; *scale: how often the number is to be taken by ten. */
static void take_digits(reading_t *reading, bool fraction, uint64_t *digits, int *scale)
{
    for (; reading->at < reading->end && is_digit(*reading->at); reading->at++) {
        bool kept = *digits < UINT64_C(100000000000000000);
        if (kept) {
            *digits = *digits * 10 + (*reading->at - '0');
        }
        *scale += kept ? -(int)fraction : (int)!fraction;
    }
}

static int take_exponent(reading_t *reading)
{
    int exponent = 0, sign = 1;

    if (reading->at == reading->end || (*reading->at | 0x20) != 'e') {
        return 0;
    }
    reading->at++;
    if (reading->at < reading->end && (*reading->at == '-' || *reading->at == '+')) {
        sign = *reading->at++ == '-' ? -1 : 1;
    }
    for (; reading->at < reading->end && is_digit(*reading->at); reading->at++) {
        exponent = exponent < 100000 ? exponent * 10 + (*reading->at - '0') : exponent;
    }
    return sign * exponent;
}

#define FLOAT_MAX 0x1.fffffep127
/* Far above it, and far below what a step can make overflow. */
#define BEYOND 1e100

/* Times ten to the power of scale: each step adds less to the error than a
 * thousand-millionth of what a float can tell. */
static double scaled(double number, int scale)
{
    static const double powers[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                    1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                                    1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
    const int most = sizeof(powers) / sizeof(powers[0]) - 1;

    while (scale < 0 && number != 0) {
        int step = -scale < most ? -scale : most;
        number /= powers[step];
        scale += step;
    }
    while (scale > 0 && number != 0 && number < BEYOND) {
        int step = scale < most ? scale : most;
        number *= powers[step];
        scale -= step;
    }
    return scale > 0 && number != 0 ? BEYOND : number;
}

static bool take_float(reading_t *reading, float *number)
{
    bool negative = *reading->at == '-';
    uint64_t digits = 0;
    int scale = 0;
    double value;

    reading->at += negative;
    if (reading->at == reading->end || !is_digit(*reading->at)) {
        return false;
    }
    take_digits(reading, false, &digits, &scale);
    if (reading->at < reading->end && *reading->at == '.') {
        reading->at++;
        take_digits(reading, true, &digits, &scale);
    }
    value = scaled((double)digits, scale + take_exponent(reading));
    if (value >= 0x1.ffffffp127) { /* half a step above the largest float */
        return false;
    }
    value = value < FLOAT_MAX ? value : FLOAT_MAX;
    *number = (float)(negative ? -value : value);
    return true;
}

/* ---- packing ------------------------------------------------------------- */

enum { BLOCK_FLOATS = 48, BLOCK_SIZE = 4 * BLOCK_FLOATS }; /* whole groups of base64 */

typedef struct {
    uint8_t bytes[BLOCK_SIZE];
    size_t len;
    bool any;
} packing_t;

static void pack(packing_t *packing, float number, relay_buf_t *out)
{
    uint32_t bits;

    memcpy(&bits, &number, sizeof(bits));
    for (unsigned i = 0; i < 4; i++) {
        packing->bytes[packing->len++] = (uint8_t)(bits >> 8 * i);
    }
    packing->any = true;
    if (packing->len == BLOCK_SIZE) {
        relay_vector_put_base64(out, relay_span(packing->bytes, packing->len));
        packing->len = 0;
    }
}

bool relay_vector_pack(relay_span_t array, relay_buf_t *out)
{
    reading_t reading = open_array(array);
    packing_t packing = {.len = 0};
    float number;

    while (next_number(&reading)) {
        if (!take_float(&reading, &number)) {
            return false;
        }
        pack(&packing, number, out);
    }
    relay_vector_put_base64(out, relay_span(packing.bytes, packing.len));
    return packing.any;
}

bool relay_vector_repack(relay_span_t packed, relay_buf_t *out)
{
    unpacking_t unpacking = {.rest = packed};
    packing_t packing = {.len = 0};
    float number;

    while (next_float(&unpacking, &number)) {
        pack(&packing, number, out);
    }
    relay_vector_put_base64(out, relay_span(packing.bytes, packing.len));
    return packing.any && !unpacking.broken;
}

/* ---- copying ------------------------------------------------------------- */

static bool take_text(reading_t *reading, relay_span_t *text)
{
    const uint8_t *from = reading->at;

    if (*from != '-' && !is_digit(*from)) {
        return false;
    }
    while (reading->at < reading->end && *reading->at != ',' && !is_space(*reading->at)) {
        reading->at++;
    }
    *text = relay_span(from, (size_t)(reading->at - from));
    return true;
}

bool relay_vector_copy(relay_span_t array, relay_buf_t *out)
{
    reading_t reading = open_array(array);
    relay_span_t text;
    bool any = false;

    RELAY_PUT(out, "[");
    while (next_number(&reading)) {
        if (!take_text(&reading, &text)) {
            return false;
        }
        relay_buf_put(out, any ? RELAY_SPAN(",") : relay_span(NULL, 0));
        relay_buf_put(out, text);
        any = true;
    }
    RELAY_PUT(out, "]");
    return any;
}
