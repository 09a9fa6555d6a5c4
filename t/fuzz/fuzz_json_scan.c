/*
 * The strict scan against an independent recursive reader, and the fast walks
 * against the scan. Run by `make fuzz`.
 */

#include "json_scan.h"

#include <stdlib.h>

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

/* ---- the reference: RFC 8259 as written, a byte at a time ---------------- */

typedef struct {
    const uint8_t *at;
    const uint8_t *end;
    int depth;
} text_t;

static bool value(text_t *text);

static int peek(const text_t *text)
{
    return text->at < text->end ? *text->at : -1;
}

static bool take(text_t *text, int byte)
{
    if (peek(text) != byte) {
        return false;
    }
    text->at++;
    return true;
}

static void space(text_t *text)
{
    while (take(text, ' ') || take(text, '\t') || take(text, '\n') || take(text, '\r')) {
    }
}

static bool word(text_t *text, const char *letters)
{
    while (*letters != '\0' && take(text, *letters)) {
        letters++;
    }
    return *letters == '\0';
}

static bool is_digit(int byte)
{
    return byte >= '0' && byte <= '9';
}

static bool digits(text_t *text)
{
    if (!is_digit(peek(text))) {
        return false;
    }
    while (is_digit(peek(text))) {
        text->at++;
    }
    return true;
}

static bool number(text_t *text)
{
    take(text, '-');
    if (!take(text, '0') && !digits(text)) {
        return false;
    }
    if (take(text, '.') && !digits(text)) {
        return false;
    }
    if (take(text, 'e') || take(text, 'E')) {
        if (!take(text, '+')) {
            take(text, '-');
        }
        return digits(text);
    }
    return true;
}

static bool is_hex(int byte)
{
    return is_digit(byte) || (byte >= 'a' && byte <= 'f') || (byte >= 'A' && byte <= 'F');
}

static bool escape(text_t *text)
{
    if (take(text, 'u')) {
        for (int i = 0; i < 4; i++) {
            if (!is_hex(peek(text))) {
                return false;
            }
            text->at++;
        }
        return true;
    }
    if (peek(text) < 1 || strchr("\"\\/bfnrt", peek(text)) == NULL) {
        return false;
    }
    text->at++;
    return true;
}

/* One UTF-8 character above U+007F, by its code point. */
static bool character(text_t *text)
{
    static const uint32_t lowest[] = {0, 0, 0x80, 0x800, 0x10000};
    int lead = peek(text);
    int length = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
    uint32_t code = (uint32_t)lead & (0x7fu >> length);

    if (lead < 0xc0 || lead > 0xf7 || text->end - text->at < length) {
        return false;
    }
    for (int i = 1; i < length; i++) {
        if (text->at[i] >> 6 != 2) {
            return false;
        }
        code = code << 6 | (text->at[i] & 0x3f);
    }
    text->at += length;
    return code >= lowest[length] && code < 0x110000 && (code < 0xd800 || code > 0xdfff);
}

static bool string(text_t *text)
{
    if (!take(text, '"')) {
        return false;
    }
    while (!take(text, '"')) {
        if (take(text, '\\')) {
            if (!escape(text)) {
                return false;
            }
        } else if (peek(text) >= 0x80) {
            if (!character(text)) {
                return false;
            }
        } else if (peek(text) < 0x20) {
            return false;
        } else {
            text->at++;
        }
    }
    return true;
}

static bool array(text_t *text)
{
    space(text);
    if (take(text, ']')) {
        return true;
    }
    do {
        if (!value(text)) {
            return false;
        }
    } while (take(text, ','));
    return take(text, ']');
}

static bool object(text_t *text)
{
    space(text);
    if (take(text, '}')) {
        return true;
    }
    do {
        space(text);
        if (!string(text)) {
            return false;
        }
        space(text);
        if (!take(text, ':') || !value(text)) {
            return false;
        }
    } while (take(text, ','));
    return take(text, '}');
}

static bool container(text_t *text)
{
    bool good;

    if (text->depth == RELAY_JSON_DEPTH_MAX) {
        return false;
    }
    text->depth++;
    good = take(text, '[') ? array(text) : take(text, '{') && object(text);
    text->depth--;
    return good;
}

/* With the white space around it. */
static bool value(text_t *text)
{
    bool good;

    space(text);
    switch (peek(text)) {
    case '[':
    case '{':
        good = container(text);
        break;
    case '"':
        good = string(text);
        break;
    case 't':
        good = word(text, "true");
        break;
    case 'f':
        good = word(text, "false");
        break;
    case 'n':
        good = word(text, "null");
        break;
    default:
        good = number(text);
        break;
    }
    space(text);
    return good;
}

static bool reference_accepts(relay_span_t doc)
{
    text_t text = {doc.base, doc.base + doc.len, 0};

    return value(&text) && text.at == text.end;
}

/* ---- the walks ----------------------------------------------------------- */

enum { KEYS = 5 };

static const relay_span_t keys[KEYS] = {
    RELAY_SPAN_INIT("a"),     RELAY_SPAN_INIT("model"), RELAY_SPAN_INIT("stream"),
    RELAY_SPAN_INIT("usage"), RELAY_SPAN_INIT("b"),
};

static void check_string(relay_json_value_t string_value)
{
    uint8_t *bytes = malloc(string_value.text.len);
    relay_buf_t measure = relay_buf(NULL, 0);
    relay_buf_t out = relay_buf(bytes, string_value.text.len);
    relay_span_t plain;

    CHECK(bytes != NULL);
    CHECK(relay_json_decode(string_value, &measure) && relay_json_decode(string_value, &out));
    CHECK(measure.len == out.len && relay_buf_ok(&out)); /* decoding never lengthens */
    CHECK(relay_utf8_valid(relay_buf_span(&out)) == out.len);
    if (relay_json_plain(string_value, &plain)) {
        CHECK(relay_span_eq(plain, relay_buf_span(&out)));
    }
    free(bytes);
}

/* item stands alone as JSON of its type. */
static void check_value(relay_json_value_t item)
{
    relay_json_type_t type = item.type;
    uint64_t number_value;

    CHECK(reference_accepts(item.text));
    CHECK((item.text.base[0] == '"') == (type == RELAY_JSON_STRING));
    CHECK((item.text.base[0] == '[') == (type == RELAY_JSON_ARRAY));
    CHECK((item.text.base[0] == '{') == (type == RELAY_JSON_OBJECT));
    if (type == RELAY_JSON_STRING) {
        check_string(item);
    }
    CHECK(!relay_json_uint(item, &number_value) || type == RELAY_JSON_NUMBER);
}

static void check_array(relay_span_t text)
{
    relay_json_value_t item, members[KEYS];
    size_t cursor = 0, other = 0, covered = 2;

    while (relay_json_element(text, &cursor, &item)) {
        CHECK(relay_json_element_members(text, &other, keys, KEYS, members) == item.type);
        CHECK(other == cursor);
        check_value(item);
        covered += item.text.len;
    }
    CHECK(relay_json_element_members(text, &other, keys, KEYS, members) == RELAY_JSON_ABSENT);
    CHECK(covered <= text.len);
}

static void check_accepted(relay_span_t doc)
{
    relay_json_value_t scanned[KEYS], walked[KEYS];
    relay_json_fault_t fault;
    size_t start = 0;

    while (doc.base[start] != '{') {
        start++;
    }
    CHECK(relay_json_members(relay_span_from(doc, start), keys, KEYS, walked));
    if (relay_json_scan(doc, keys, KEYS, scanned, &fault) != RELAY_JSON_OK) {
        CHECK(fault.error == RELAY_JSON_DUPLICATE || fault.error == RELAY_JSON_ESCAPED_KEY);
        CHECK(fault.key < KEYS && doc.base[fault.offset] == '"');
        CHECK(walked[fault.key].type != RELAY_JSON_ABSENT);
        return;
    }
    for (size_t i = 0; i < KEYS; i++) {
        CHECK(scanned[i].type == walked[i].type);
        CHECK(scanned[i].text.base == walked[i].text.base);
        CHECK(scanned[i].text.len == walked[i].text.len);
        if (scanned[i].type != RELAY_JSON_ABSENT) {
            check_value(scanned[i]);
        }
        if (scanned[i].type == RELAY_JSON_ARRAY) {
            check_array(scanned[i].text);
        }
    }
}

/* Text that no scan has accepted may yield nonsense, but no bad read and an end. */
static void check_walks_are_safe(relay_span_t text)
{
    relay_json_value_t values[KEYS];
    relay_json_value_t item = {RELAY_JSON_STRING, text};
    relay_buf_t out = relay_buf(NULL, 0);
    size_t cursor = 0, last = 0;

    relay_json_members(text, keys, KEYS, values);
    while (relay_json_element(text, &cursor, &item)) {
        CHECK(cursor > last);
        last = cursor;
        relay_json_decode(item, &out);
    }
    cursor = last = 0;
    while (relay_json_element_members(text, &cursor, keys, KEYS, values) != RELAY_JSON_ABSENT) {
        CHECK(cursor > last);
        last = cursor;
    }
    item = (relay_json_value_t){RELAY_JSON_STRING, text};
    CHECK(relay_json_decode(item, &out));
}

static void check_fault(relay_span_t doc, const relay_json_fault_t *fault)
{
    CHECK(fault->offset <= doc.len);
    switch (fault->error) {
    case RELAY_JSON_TRUNCATED:
        CHECK(fault->offset == doc.len);
        break;
    case RELAY_JSON_UTF8:
        CHECK(doc.base[fault->offset] >= 0x80);
        break;
    case RELAY_JSON_DEPTH:
        CHECK(doc.base[fault->offset] == '[' || doc.base[fault->offset] == '{');
        break;
    default:
        CHECK(fault->error == RELAY_JSON_SYNTAX && fault->offset < doc.len);
        break;
    }
}

/* What comes before a fault is the beginning of something good. */
static void check_prefix(relay_span_t doc, size_t length)
{
    uint8_t *copy = malloc(length != 0 ? length : 1);
    relay_json_fault_t fault;

    CHECK(copy != NULL);
    if (length != 0) {
        memcpy(copy, doc.base, length);
    }
    relay_json_scan(relay_span(copy, length), NULL, 0, NULL, &fault);
    CHECK(fault.error == RELAY_JSON_TRUNCATED || fault.error == RELAY_JSON_OK ||
          fault.error == RELAY_JSON_TYPE);
    free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    relay_span_t doc = relay_span(data, size);
    relay_json_fault_t fault;
    relay_json_error_t error = relay_json_scan(doc, NULL, 0, NULL, &fault);

    CHECK(error == fault.error);
    check_walks_are_safe(doc);
    if (size == 0) {
        CHECK(error == RELAY_JSON_TRUNCATED);
        return 0;
    }
    CHECK((error == RELAY_JSON_OK || error == RELAY_JSON_TYPE) == reference_accepts(doc));
    if (error == RELAY_JSON_OK) {
        check_accepted(doc);
    } else if (error != RELAY_JSON_TYPE) {
        check_fault(doc, &fault);
        check_prefix(doc, fault.offset);
    }
    return 0;
}
