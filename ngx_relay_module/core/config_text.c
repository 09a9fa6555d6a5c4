/* What texts in configuration documents may look like: see config_text.h. */

#include "config_text.h"
#include "config_doc.h"

static bool is_digit(uint8_t byte)
{
    return byte >= '0' && byte <= '9';
}

static bool is_alphanumeric(uint8_t byte)
{
    uint8_t letter = byte | 0x20;

    return is_digit(byte) || (letter >= 'a' && letter <= 'z');
}

/* True if text is letters, digits and bytes of `others` only. */
static bool only(relay_span_t text, const char *others)
{
    for (size_t i = 0; i < text.len; i++) {
        uint8_t byte = text.base[i];
        if (!is_alphanumeric(byte) && (byte == 0 || strchr(others, byte) == NULL)) {
            return false;
        }
    }
    return true;
}

bool relay_config_name_ok(relay_span_t name)
{
    return name.len >= 1 && name.len <= RELAY_CONFIG_NAME_MAX && only(name, "._/-");
}

bool relay_model_name_ok(relay_span_t name)
{
    for (size_t i = 0; i < name.len; i++) {
        uint8_t byte = name.base[i];
        if (byte <= ' ' || byte >= 0x7f || strchr(",\"'\\", byte) != NULL) {
            return false;
        }
    }
    return name.len >= 1 && name.len <= RELAY_MODEL_NAME_MAX;
}

bool relay_config_printable(relay_span_t text)
{
    for (size_t i = 0; i < text.len; i++) {
        uint8_t byte = text.base[i];
        bool c1 = byte == 0xc2 && i + 1 < text.len && text.base[i + 1] < 0xa0;
        if (byte < ' ' || byte == 0x7f || c1) {
            return false;
        }
    }
    return true;
}

bool relay_config_ascii(relay_span_t text, bool spaces)
{
    for (size_t i = 0; i < text.len; i++) {
        if (text.base[i] < (spaces ? ' ' : '!') || text.base[i] >= 0x7f) {
            return false;
        }
    }
    return true;
}

bool relay_config_header_name_ok(relay_span_t name)
{
    return name.len >= 1 && name.len <= RELAY_CONFIG_NAME_MAX && only(name, "!#$%&'*+-.^_`|~");
}

bool relay_config_header_reserved(relay_span_t name)
{
    static const relay_span_t reserved[] = {
        RELAY_SPAN_INIT("host"),
        RELAY_SPAN_INIT("content-length"),
        RELAY_SPAN_INIT("transfer-encoding"),
        RELAY_SPAN_INIT("connection"),
        RELAY_SPAN_INIT("keep-alive"),
        RELAY_SPAN_INIT("proxy-connection"),
        RELAY_SPAN_INIT("te"),
        RELAY_SPAN_INIT("trailer"),
        RELAY_SPAN_INIT("upgrade"),
        RELAY_SPAN_INIT("expect"),
        RELAY_SPAN_INIT("accept-encoding"),
    };

    for (size_t i = 0; i < sizeof(reserved) / sizeof(reserved[0]); i++) {
        if (relay_span_eq(name, reserved[i])) {
            return true;
        }
    }
    return false;
}

bool relay_config_variable_ok(relay_span_t name)
{
    return name.len >= 1 && !is_digit(name.base[0]) && only(name, "_");
}

bool relay_config_digest(relay_span_t text, relay_digest_t *digest)
{
    for (size_t i = 0; i < text.len; i++) {
        if (text.base[i] >= 'A' && text.base[i] <= 'F') {
            return false;
        }
    }
    return relay_digest_parse(text, digest);
}

/* ---- times --------------------------------------------------------------- */

/* Takes a number of exactly `count` digits, and `after` behind it unless that is 0. */
static bool take(relay_span_t *text, size_t count, char after, unsigned *number)
{
    size_t whole = count + (after != 0);

    *number = 0;
    if (text->len < whole || (after != 0 && text->base[count] != (uint8_t)after)) {
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        if (!is_digit(text->base[i])) {
            return false;
        }
        *number = *number * 10 + (text->base[i] - (unsigned)'0');
    }
    *text = relay_span_from(*text, whole);
    return true;
}

static unsigned days_of(unsigned year, unsigned month)
{
    static const unsigned days[12] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

    return days[month - 1] + (month == 2 && leap);
}

static bool take_date(relay_span_t *text, uint64_t *days)
{
    unsigned year, month, day;

    if (!take(text, 4, '-', &year) || !take(text, 2, '-', &month) || !take(text, 2, 'T', &day) ||
        year < 1970 || month < 1 || month > 12 || day < 1 || day > days_of(year, month)) {
        return false;
    }
    *days = day - 1;
    for (unsigned m = 1; m < month; m++) {
        *days += days_of(year, m);
    }
    for (unsigned y = 1970; y < year; y++) {
        *days += 337 + days_of(y, 2);
    }
    return true;
}

static void skip_fraction(relay_span_t *text)
{
    size_t at = 1;

    if (text->len < 2 || text->base[0] != '.' || !is_digit(text->base[1])) {
        return;
    }
    while (at < text->len && is_digit(text->base[at])) {
        at++;
    }
    *text = relay_span_from(*text, at);
}

/* "Z" or "+01:30", at the end of the text. */
static bool read_offset(relay_span_t text, int64_t *seconds)
{
    unsigned hours, minutes;
    bool east = text.len != 0 && text.base[0] == '+';

    *seconds = 0;
    if (text.len == 1) {
        return text.base[0] == 'Z';
    }
    if (text.len != 6 || (!east && text.base[0] != '-')) {
        return false;
    }
    text = relay_span_from(text, 1);
    if (!take(&text, 2, ':', &hours) || !take(&text, 2, 0, &minutes) || hours > 23 ||
        minutes > 59) {
        return false;
    }
    *seconds = (int64_t)(hours * 3600 + minutes * 60) * (east ? 1 : -1);
    return true;
}

bool relay_config_time(relay_span_t text, uint64_t *seconds)
{
    uint64_t days;
    unsigned hour, minute, second;
    int64_t offset, sum;

    if (!take_date(&text, &days) || !take(&text, 2, ':', &hour) || !take(&text, 2, ':', &minute) ||
        !take(&text, 2, 0, &second) || hour > 23 || minute > 59 || second > 59) {
        return false;
    }
    skip_fraction(&text);
    if (!read_offset(text, &offset)) {
        return false;
    }
    sum = (int64_t)(days * 86400 + hour * 3600 + minute * 60 + second) - offset;
    *seconds = sum > 0 ? (uint64_t)sum : 0;
    return sum > 0;
}
