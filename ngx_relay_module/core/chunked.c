/*
 * The chunked decoder of answers from providers (RFC 9112 §7.1). Callers: the
 * upstream reader, one decoder per answer.
 *
 *   SIZE_START ─digit─► SIZE ─';'─► EXTENSION
 *       ▲                │ CR          │ CR
 *       │                └──► SIZE_LF ◄┘
 *       │            size > 0 │     │ size 0
 *       │                     ▼     ▼
 *       └─DATA_LF◄─DATA_CR◄─DATA  TRAILER_START ─CR─► END_LF ─► END
 *                                   ▲   │ other
 *                          TRAILER_LF   ▼
 *                                   └─TRAILER
 *
 * Any other byte leads to FAILED, which stays.
 */

#include "chunked.h"

typedef enum {
    SIZE_START = 0, /* relay_chunked_init zeroes the decoder */
    SIZE,
    EXTENSION,
    SIZE_LF,
    DATA,
    DATA_CR,
    DATA_LF,
    TRAILER_START,
    TRAILER,
    TRAILER_LF,
    END_LF,
    END,
    FAILED
} state_t;

enum { IGNORED_MAX = 8 * 1024, DIGITS_MAX = 16 };

static const uint64_t size_max = UINT64_C(1) << 48;

static int hex_value(uint8_t byte)
{
    if (byte >= '0' && byte <= '9') {
        return byte - '0';
    }
    byte |= 0x20;
    return byte >= 'a' && byte <= 'f' ? byte - 'a' + 10 : -1;
}

static state_t after_digit(relay_chunked_t *chunked, uint8_t byte)
{
    int digit = hex_value(byte);

    if (digit < 0 || chunked->digits == DIGITS_MAX) {
        return FAILED;
    }
    chunked->digits++;
    chunked->size = chunked->size << 4 | (uint64_t)digit;
    return chunked->size <= size_max ? SIZE : FAILED;
}

static state_t after_size(relay_chunked_t *chunked, uint8_t byte)
{
    switch (byte) {
    case '\r':
        return SIZE_LF;
    case ';':
        return EXTENSION;
    default:
        return after_digit(chunked, byte);
    }
}

/* Text of an extension or a trailer: counted, not kept. */
static state_t after_ignored(relay_chunked_t *chunked, uint8_t byte, state_t same, state_t at_cr)
{
    if (byte == '\r') {
        return at_cr;
    }
    if ((byte < 0x20 && byte != '\t') || byte == 0x7f || chunked->ignored == IGNORED_MAX) {
        return FAILED;
    }
    chunked->ignored++;
    return same;
}

/* The state after one byte of framing. */
static state_t step(relay_chunked_t *chunked, uint8_t byte)
{
    switch ((state_t)chunked->state) {
    case SIZE_START:
        return after_digit(chunked, byte);
    case SIZE:
        return after_size(chunked, byte);
    case EXTENSION:
        return after_ignored(chunked, byte, EXTENSION, SIZE_LF);
    case SIZE_LF:
        chunked->digits = 0;
        return byte != '\n' ? FAILED : chunked->size != 0 ? DATA : TRAILER_START;
    case DATA_CR:
        return byte == '\r' ? DATA_LF : FAILED;
    case DATA_LF:
        return byte == '\n' ? SIZE_START : FAILED;
    case TRAILER_START:
        return after_ignored(chunked, byte, TRAILER, END_LF);
    case TRAILER:
        return after_ignored(chunked, byte, TRAILER, TRAILER_LF);
    case TRAILER_LF:
        return byte == '\n' ? TRAILER_START : FAILED;
    case END_LF:
        return byte == '\n' ? END : FAILED;
    case DATA:
    case END:
    case FAILED:
        break;
    }
    return FAILED;
}

static relay_span_t take_data(relay_chunked_t *chunked, relay_span_t *input)
{
    size_t length = chunked->size < input->len ? (size_t)chunked->size : input->len;
    relay_span_t data = relay_span(input->base, length);

    *input = relay_span_from(*input, length);
    chunked->size -= length;
    if (chunked->size == 0) {
        chunked->state = DATA_CR;
    }
    return data;
}

relay_chunked_status_t relay_chunked_next(relay_chunked_t *chunked, relay_span_t *input,
                                          relay_span_t *data)
{
    *data = relay_span(NULL, 0);
    while (chunked->state < END && input->len != 0) {
        if (chunked->state == DATA) {
            *data = take_data(chunked, input);
            return RELAY_CHUNKED_DATA;
        }
        chunked->state = step(chunked, input->base[0]);
        if (chunked->state != FAILED) {
            *input = relay_span_from(*input, 1);
        }
    }
    switch ((state_t)chunked->state) {
    case END:
        return RELAY_CHUNKED_END;
    case FAILED:
        return RELAY_CHUNKED_ERROR;
    default:
        return RELAY_CHUNKED_MORE;
    }
}
