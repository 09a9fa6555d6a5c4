/*
 * Estimates of tokens: see token_estimate.h.
 *
 *            quote                 quote
 *   outside ───────► inside a string ─────► outside, the string is counted
 */

#include "token_estimate.h"

enum {
    BYTES_A_TOKEN = 4,
    MEDIA_MIN = 1024,   /* a string of this length without a space is media */
    MEDIA_TOKENS = 1500 /* an image of a megapixel, two pages of a document */
};

typedef struct {
    uint64_t ascii;
    uint64_t others; /* characters beyond ASCII */
    bool spaced;
} counted_t;

static void count_byte(counted_t *counted, uint8_t byte)
{
    if (byte < 0x80) {
        counted->ascii++;
        counted->spaced = counted->spaced || byte == ' ' || byte == '\\';
    } else if (byte >= 0xc0) { /* the first byte of a character */
        counted->others++;
    }
}

static uint64_t tokens_of(const counted_t *counted)
{
    if (counted->ascii >= MEDIA_MIN && !counted->spaced && counted->others == 0) {
        return MEDIA_TOKENS;
    }
    return (counted->ascii + BYTES_A_TOKEN - 1) / BYTES_A_TOKEN + counted->others;
}

uint64_t relay_token_estimate(relay_span_t json)
{
    counted_t counted = {0};
    bool inside = false;
    uint64_t tokens = 0;

    for (size_t i = 0; i < json.len; i++) {
        uint8_t byte = json.base[i];
        if (byte == '"') {
            tokens += inside ? tokens_of(&counted) : 0;
            counted = (counted_t){0};
            inside = !inside;
        } else if (inside) {
            count_byte(&counted, byte);
            if (byte == '\\' && i + 1 < json.len) {
                i++; /* an escape is one character */
            }
        }
    }
    return tokens != 0 ? tokens : 1;
}
