/*
 * What a value span says: integers, plain and escaped strings, and the
 * comparison of keys by their decoded text. Spans come from a strict scan; a
 * broken one yields nonsense but no read outside it.
 */

#include "json_lex.h"
#include "utf8.h"

bool relay_json_uint(relay_json_value_t value, uint64_t *number)
{
    uint64_t sum = 0;

    if (value.type != RELAY_JSON_NUMBER || value.text.len == 0) {
        return false;
    }
    for (size_t i = 0; i < value.text.len; i++) {
        unsigned digit = (unsigned)value.text.base[i] - '0';
        /* eighteen digits fit, whatever they are */
        if (digit > 9 || (i >= 18 && sum > ((uint64_t)INT64_MAX - digit) / 10)) {
            return false;
        }
        sum = sum * 10 + digit;
    }
    *number = sum;
    return true;
}

/* Without the quotes; empty if there are none. */
static relay_span_t content(relay_span_t string)
{
    return string.len >= 2 ? relay_span(string.base + 1, string.len - 2) : relay_span(NULL, 0);
}

static bool is_plain(relay_span_t text)
{
    return text.len == 0 || memchr(text.base, '\\', text.len) == NULL;
}

bool relay_json_plain(relay_json_value_t value, relay_span_t *text)
{
    relay_span_t inner = content(value.text);

    if (value.type != RELAY_JSON_STRING || !is_plain(inner)) {
        return false;
    }
    *text = inner;
    return true;
}

/* ---- escapes ------------------------------------------------------------- */

static unsigned hex_value(uint8_t byte)
{
    return byte <= '9' ? byte - (unsigned)'0' : (byte | 0x20u) - 'a' + 10;
}

/* True and *code set if [at, end) starts with \uXXXX. */
static bool read_unit(const uint8_t *at, const uint8_t *end, uint32_t *code)
{
    if (end - at < 6 || at[0] != '\\' || at[1] != 'u') {
        return false;
    }
    *code = (hex_value(at[2]) & 15) << 12 | (hex_value(at[3]) & 15) << 8 |
            (hex_value(at[4]) & 15) << 4 | (hex_value(at[5]) & 15);
    return true;
}

/* at: a \uXXXX; a high surrogate takes the low one behind it along. */
static size_t decode_unicode(const uint8_t **at, const uint8_t *end, uint8_t out[4])
{
    uint32_t code = 0xfffd, low = 0;

    if (!read_unit(*at, end, &code)) {
        *at = end;
        return relay_utf8_put(out, code);
    }
    *at += 6;
    if (code < 0xd800 || code > 0xdfff) {
        return relay_utf8_put(out, code);
    }
    if (code < 0xdc00 && read_unit(*at, end, &low) && low >= 0xdc00 && low <= 0xdfff) {
        *at += 6;
        return relay_utf8_put(out, 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00));
    }
    return relay_utf8_put(out, 0xfffd);
}

static uint8_t short_escape(uint8_t letter)
{
    switch (letter) {
    case 'b':
        return '\b';
    case 'f':
        return '\f';
    case 'n':
        return '\n';
    case 'r':
        return '\r';
    case 't':
        return '\t';
    default:
        return letter; /* quote, backslash, slash */
    }
}

size_t relay_json_decode_step(const uint8_t **at, const uint8_t *end, uint8_t out[4])
{
    const uint8_t *from = *at;

    if (*from == '\\' && end - from >= 2) {
        if (from[1] == 'u') {
            return decode_unicode(at, end, out);
        }
        out[0] = short_escape(from[1]);
        *at = from + 2;
        return 1;
    }
    out[0] = *from;
    *at = from + 1;
    return 1;
}

bool relay_json_decode(relay_json_value_t value, relay_buf_t *out)
{
    relay_span_t text = content(value.text);
    const uint8_t *at = text.base;
    const uint8_t *end = text.len != 0 ? at + text.len : at;

    if (value.type != RELAY_JSON_STRING) {
        return false;
    }
    while (at < end) {
        const uint8_t *run = memchr(at, '\\', (size_t)(end - at));
        uint8_t decoded[4];
        run = run != NULL ? run : end;
        relay_buf_put(out, relay_span(at, (size_t)(run - at)));
        at = run;
        if (at < end) {
            size_t length = relay_json_decode_step(&at, end, decoded);
            relay_buf_put(out, relay_span(decoded, length));
        }
    }
    return true;
}

/* ---- keys ---------------------------------------------------------------- */

/* The decoded bytes of a string, one at a time. */
typedef struct {
    const uint8_t *at;
    const uint8_t *end;
    uint8_t bytes[4];
    size_t used;
    size_t have;
} reader_t;

static reader_t reader(relay_span_t text)
{
    return (reader_t){.at = text.base, .end = text.len != 0 ? text.base + text.len : text.base};
}

/* -1 at the end. */
static int next_byte(reader_t *from)
{
    if (from->used == from->have) {
        if (from->at == from->end) {
            return -1;
        }
        from->have = relay_json_decode_step(&from->at, from->end, from->bytes);
        from->used = 0;
    }
    return from->bytes[from->used++];
}

static int compare_plain(relay_span_t a, relay_span_t b)
{
    size_t shared = a.len < b.len ? a.len : b.len;
    int order = shared != 0 ? memcmp(a.base, b.base, shared) : 0;

    return order != 0 ? order : (a.len > b.len) - (a.len < b.len);
}

int relay_json_compare(relay_span_t a, relay_span_t b)
{
    reader_t left = reader(content(a)), right = reader(content(b));
    int x, y;

    if (is_plain(content(a)) && is_plain(content(b))) {
        return compare_plain(content(a), content(b));
    }
    do {
        x = next_byte(&left);
        y = next_byte(&right);
    } while (x == y && x >= 0);
    return x - y;
}

bool relay_json_spells(relay_span_t string, relay_span_t plain)
{
    reader_t from = reader(content(string));

    for (size_t i = 0; i < plain.len; i++) {
        if (next_byte(&from) != plain.base[i]) {
            return false;
        }
    }
    return next_byte(&from) < 0;
}

relay_span_t relay_json_error_text(relay_json_error_t error)
{
    switch (error) {
    case RELAY_JSON_OK:
        return RELAY_SPAN("valid JSON");
    case RELAY_JSON_SYNTAX:
        return RELAY_SPAN("invalid JSON");
    case RELAY_JSON_TRUNCATED:
        return RELAY_SPAN("JSON ends too early");
    case RELAY_JSON_DEPTH:
        return RELAY_SPAN("JSON is nested too deeply");
    case RELAY_JSON_UTF8:
        return RELAY_SPAN("text is not valid UTF-8");
    case RELAY_JSON_TYPE:
        return RELAY_SPAN("expected a JSON object");
    case RELAY_JSON_DUPLICATE:
        return RELAY_SPAN("key occurs more than once");
    case RELAY_JSON_ESCAPED_KEY:
        return RELAY_SPAN("key is written with an escape");
    }
    return RELAY_SPAN("invalid JSON");
}
