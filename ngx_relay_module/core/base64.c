/*
 * URL-safe base64: written and read strictly. Called for keys, signatures and
 * sealed secrets, in the worker and in the control plane.
 *
 * Some of what is read is secret: characters are looked up by arithmetic, not
 * in a table, so that no cache line tells which they were.
 */

#include "base64.h"

static uint8_t letter_of(unsigned six)
{
    if (six < 26) {
        return (uint8_t)('A' + six);
    }
    if (six < 52) {
        return (uint8_t)('a' + six - 26);
    }
    if (six < 62) {
        return (uint8_t)('0' + six - 52);
    }
    return six == 62 ? '-' : '_';
}

/* All ones if low <= byte <= high, else 0. */
static uint32_t between(uint32_t byte, uint32_t low, uint32_t high)
{
    return (((low - 1 - byte) & (byte - high - 1)) >> 31) * UINT32_MAX;
}

/* 64 for anything else than a character of the alphabet. */
static unsigned six_of(uint8_t byte)
{
    uint32_t upper = between(byte, 'A', 'Z');
    uint32_t lower = between(byte, 'a', 'z');
    uint32_t digit = between(byte, '0', '9');
    uint32_t dash = between(byte, '-', '-');
    uint32_t score = between(byte, '_', '_');
    uint32_t other = ~(upper | lower | digit | dash | score);

    return (upper & (byte - (uint32_t)'A')) | (lower & (byte - (uint32_t)'a' + 26)) |
           (digit & (byte - (uint32_t)'0' + 52)) | (dash & 62) | (score & 63) | (other & 64);
}

void relay_base64_put(relay_buf_t *out, relay_span_t bytes)
{
    uint32_t bits = 0;
    unsigned have = 0;

    for (size_t i = 0; i < bytes.len; i++) {
        bits = bits << 8 | bytes.base[i];
        for (have += 8; have >= 6; have -= 6) {
            relay_buf_put_byte(out, letter_of(bits >> (have - 6) & 63));
        }
    }
    if (have != 0) {
        relay_buf_put_byte(out, letter_of(bits << (6 - have) & 63));
    }
}

/* Writes the bytes of text; false if it is not base64. */
static bool decode(relay_span_t text, uint8_t *out)
{
    uint32_t bits = 0;
    unsigned have = 0, bad = 0;

    for (size_t i = 0; i < text.len; i++) {
        unsigned six = six_of(text.base[i]);
        bad |= six;
        bits = bits << 6 | (six & 63);
        have += 6;
        if (have >= 8) {
            have -= 8;
            *out++ = (uint8_t)(bits >> have);
        }
    }
    return (bad & 64) == 0 && (bits & ((1u << have) - 1)) == 0;
}

bool relay_base64_read(relay_span_t text, relay_buf_t *out)
{
    size_t len = text.len / 4 * 3 + text.len % 4 * 3 / 4;

    if (text.len % 4 == 1 || !relay_buf_ok(out) || len > out->capacity - out->len) {
        return false;
    }
    if (!decode(text, out->base + out->len)) {
        return false;
    }
    out->len += len;
    return true;
}

bool relay_base64_read_exactly(relay_span_t text, uint8_t *bytes, size_t len)
{
    return text.len == RELAY_BASE64_LEN(len) && decode(text, bytes);
}
