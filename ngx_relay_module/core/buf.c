/*
 * Bounded output buffers. Every writer of core puts its bytes through here:
 * error bodies, model lists, spliced requests, decoded strings.
 */

#include "buf.h"
#include "utf8.h"

void relay_buf_put_rest(relay_buf_t *buf, relay_span_t text)
{
    if (buf->len < buf->capacity && text.len != 0) {
        size_t room = buf->capacity - buf->len;
        memcpy(buf->base + buf->len, text.base, text.len < room ? text.len : room);
    }
    buf->len += text.len;
}

void relay_buf_put_u64(relay_buf_t *buf, uint64_t value)
{
    uint8_t digits[20];
    size_t at = sizeof(digits);

    do {
        digits[--at] = (uint8_t)('0' + value % 10);
        value /= 10;
    } while (value != 0);
    relay_buf_put(buf, relay_span(digits + at, sizeof(digits) - at));
}

/* True for ASCII that stands for itself inside a JSON string. */
static bool stands_for_itself(uint8_t byte)
{
    return byte >= 0x20 && byte < 0x80 && byte != '"' && byte != '\\';
}

static void put_escaped(relay_buf_t *buf, uint8_t byte)
{
    static const char hex[] = "0123456789abcdef";
    static const char from[] = "\"\\\b\f\n\r\t";
    static const char letter[] = "\"\\bfnrt";
    const char *short_form = memchr(from, byte, sizeof(from) - 1);

    relay_buf_put_byte(buf, '\\');
    if (short_form != NULL) {
        relay_buf_put_byte(buf, (uint8_t)letter[short_form - from]);
        return;
    }
    RELAY_PUT(buf, "u00");
    relay_buf_put_byte(buf, (uint8_t)hex[byte >> 4]);
    relay_buf_put_byte(buf, (uint8_t)hex[byte & 15]);
}

/* Puts the first character of text, which does not stand for itself; returns
 * how many bytes of text it took. */
static size_t put_character(relay_buf_t *buf, relay_span_t text)
{
    size_t length;

    if (text.base[0] < 0x80) {
        put_escaped(buf, text.base[0]);
        return 1;
    }
    length = relay_utf8_character(text);
    if (length == 0) {
        RELAY_PUT(buf, "\xef\xbf\xbd");
        return 1;
    }
    relay_buf_put(buf, relay_span(text.base, length));
    return length;
}

void relay_buf_put_json(relay_buf_t *buf, relay_span_t text)
{
    size_t at = 0;

    relay_buf_put_byte(buf, '"');
    while (at < text.len) {
        size_t start = at;
        while (at < text.len && stands_for_itself(text.base[at])) {
            at++;
        }
        relay_buf_put(buf, relay_span(text.base + start, at - start));
        if (at < text.len) {
            at += put_character(buf, relay_span_from(text, at));
        }
    }
    relay_buf_put_byte(buf, '"');
}
