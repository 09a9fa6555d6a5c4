/* Taking base URLs apart: see url.h. */

#include "url.h"

static bool is_digit(uint8_t byte)
{
    return byte >= '0' && byte <= '9';
}

static bool is_letter(uint8_t byte)
{
    uint8_t letter = byte | 0x20;

    return letter >= 'a' && letter <= 'z';
}

static bool is_hex(uint8_t byte)
{
    uint8_t letter = byte | 0x20;

    return is_digit(byte) || (letter >= 'a' && letter <= 'f');
}

/* Index of the first byte in text, or text.len. */
static size_t find(relay_span_t text, uint8_t byte)
{
    const uint8_t *at = text.len != 0 ? memchr(text.base, byte, text.len) : NULL;

    return at != NULL ? (size_t)(at - text.base) : text.len;
}

/* Cuts text at its first `byte`: returns what stands before it and leaves what
 * stands behind it in *text (empty if there is none). */
static relay_span_t cut(relay_span_t *text, uint8_t byte)
{
    size_t at = find(*text, byte);
    relay_span_t head = relay_span(text->base, at);

    *text = at < text->len ? relay_span_from(*text, at + 1) : relay_span(NULL, 0);
    return head;
}

/* ---- host names and addresses -------------------------------------------- */

/* Decimal without leading zeros, at most max. */
static bool is_number(relay_span_t text, unsigned max)
{
    unsigned value = 0;

    if (text.len == 0 || text.len > 5 || (text.len > 1 && text.base[0] == '0')) {
        return false;
    }
    for (size_t i = 0; i < text.len; i++) {
        if (!is_digit(text.base[i])) {
            return false;
        }
        value = value * 10 + (text.base[i] - (unsigned)'0');
    }
    return value <= max;
}

static bool is_ipv4(relay_span_t text)
{
    for (size_t part = 0; part < 3; part++) {
        if (find(text, '.') == text.len || !is_number(cut(&text, '.'), 255)) {
            return false;
        }
    }
    return is_number(text, 255);
}

static bool is_group(relay_span_t text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (!is_hex(text.base[i])) {
            return false;
        }
    }
    return text.len >= 1 && text.len <= 4;
}

/* Groups separated by colons; an IPv4 address counts as two and may only come
 * last. Returns how many, or 9 if it is not that. */
static unsigned count_groups(relay_span_t text, bool last)
{
    unsigned count = 0;

    while (text.len != 0) {
        bool more = find(text, ':') < text.len;
        relay_span_t group = cut(&text, ':');
        if (more && text.len == 0) {
            return 9;
        }
        if (last && !more && is_ipv4(group)) {
            count += 2;
        } else if (is_group(group)) {
            count++;
        } else {
            return 9;
        }
    }
    return count < 9 ? count : 9;
}

static bool is_ipv6(relay_span_t text)
{
    for (size_t i = 0; i + 1 < text.len; i++) {
        if (text.base[i] == ':' && text.base[i + 1] == ':') {
            return count_groups(relay_span(text.base, i), false) +
                       count_groups(relay_span_from(text, i + 2), true) <
                   8;
        }
    }
    return count_groups(text, true) == 8;
}

static bool is_label(relay_span_t text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (!is_letter(text.base[i]) && !is_digit(text.base[i]) && text.base[i] != '-') {
            return false;
        }
    }
    return text.len >= 1 && text.len <= 63 && text.base[0] != '-' && text.base[text.len - 1] != '-';
}

/* What resolvers may take for an address in an odd spelling: 127.1, 0x7f.1 */
static bool looks_numeric(relay_span_t label)
{
    bool hex = label.len >= 2 && label.base[0] == '0' && (label.base[1] | 0x20) == 'x';

    for (size_t i = hex ? 2 : 0; i < label.len; i++) {
        if (hex ? !is_hex(label.base[i]) : !is_digit(label.base[i])) {
            return false;
        }
    }
    return true;
}

static bool is_dns_name(relay_span_t text)
{
    relay_span_t label = relay_span(NULL, 0);
    bool more = text.len <= RELAY_HOST_NAME_MAX;

    if (!more) {
        return false;
    }
    while (more) {
        more = find(text, '.') < text.len;
        label = cut(&text, '.');
        if (!is_label(label)) {
            return false;
        }
    }
    return !looks_numeric(label);
}

bool relay_host_name_ok(relay_span_t name, bool ipv6)
{
    return is_ipv4(name) || is_dns_name(name) || (ipv6 && is_ipv6(name));
}

/* ---- paths --------------------------------------------------------------- */

/* pchar of RFC 3986 and the slash. */
static bool is_path_byte(uint8_t byte)
{
    return is_letter(byte) || is_digit(byte) ||
           (byte != 0 && strchr("-._~!$&'()*+,;=:@%/", byte) != NULL);
}

/* "." or "..", also percent-encoded. */
static bool is_dot_segment(relay_span_t segment)
{
    size_t dots = 0;

    for (size_t i = 0; i < segment.len; dots++) {
        if (segment.base[i] == '.') {
            i++;
        } else if (segment.len - i >= 3 && segment.base[i] == '%' && segment.base[i + 1] == '2' &&
                   (segment.base[i + 2] | 0x20) == 'e') {
            i += 3;
        } else {
            return false;
        }
    }
    return dots == 1 || dots == 2;
}

static bool has_dot_segment(relay_span_t path)
{
    while (path.len != 0) {
        if (is_dot_segment(cut(&path, '/'))) {
            return true;
        }
    }
    return false;
}

const char *relay_url_path_fault(relay_span_t path)
{
    for (size_t i = 0; i < path.len; i++) {
        uint8_t byte = path.base[i];
        if (byte == '?' || byte == '#') {
            return "a path has no query (?) and no fragment (#)";
        }
        if (!is_path_byte(byte)) {
            return "the path holds a character that is not allowed in a URL";
        }
        if (byte == '%' &&
            (path.len - i < 3 || !is_hex(path.base[i + 1]) || !is_hex(path.base[i + 2]))) {
            return "in a path, % is followed by two hexadecimal digits";
        }
    }
    if (path.len == 0 || path.base[0] != '/') {
        return "a path starts with a slash";
    }
    return has_dot_segment(path) ? "the path holds a segment \".\" or \"..\"" : NULL;
}

/* ---- the whole ----------------------------------------------------------- */

static bool take_scheme(relay_span_t *text, bool *tls)
{
    relay_span_t https = RELAY_SPAN("https://");
    relay_span_t http = RELAY_SPAN("http://");
    relay_span_t start = relay_span(text->base, text->len < https.len ? text->len : https.len);

    *tls = relay_span_case_eq(start, https);
    if (*tls) {
        *text = relay_span_from(*text, https.len);
        return true;
    }
    start.len = start.len < http.len ? start.len : http.len;
    if (!relay_span_case_eq(start, http)) {
        return false;
    }
    *text = relay_span_from(*text, http.len);
    return true;
}

static const char *read_port(relay_span_t text, relay_url_t *url)
{
    unsigned port = 0;

    if (!is_number(text, 65535) || text.base[0] == '0') {
        return "the port is a number from 1 to 65535";
    }
    for (size_t i = 0; i < text.len; i++) {
        port = port * 10 + (text.base[i] - (unsigned)'0');
    }
    url->default_port = port == url->port;
    url->port = (uint16_t)port;
    return NULL;
}

/* authority: what stands between the scheme and the path. */
static const char *read_authority(relay_span_t authority, relay_url_t *url)
{
    bool port_follows;

    if (find(authority, '@') < authority.len) {
        return "a base URL holds no user name or password: credentials are provider keys";
    }
    url->bracketed = authority.len != 0 && authority.base[0] == '[';
    if (url->bracketed) {
        size_t end = find(authority, ']');
        if (end == authority.len || !is_ipv6(relay_span(authority.base + 1, end - 1))) {
            return "expected an IPv6 address in the brackets";
        }
        url->host = relay_span(authority.base + 1, end - 1);
        authority = relay_span_from(authority, end + 1);
        if (authority.len != 0 && authority.base[0] != ':') {
            return "only a port may follow the brackets";
        }
        return authority.len == 0 ? NULL : read_port(relay_span_from(authority, 1), url);
    }
    port_follows = find(authority, ':') < authority.len;
    url->host = cut(&authority, ':');
    if (!relay_host_name_ok(url->host, false)) {
        return "expected a host name of letters, digits, hyphens and dots, or an IP address";
    }
    return port_follows ? read_port(authority, url) : NULL;
}

const char *relay_url_parse(relay_span_t text, relay_url_t *url)
{
    size_t end = 0;
    const char *fault;

    *url = (relay_url_t){.default_port = true};
    if (text.len > RELAY_URL_MAX) {
        return "a base URL has at most 2048 characters";
    }
    if (!take_scheme(&text, &url->tls)) {
        return "a base URL starts with https:// or http://";
    }
    url->port = url->tls ? 443 : 80;
    while (end < text.len && strchr("/?#\\", text.base[end]) == NULL) {
        end++;
    }
    fault = read_authority(relay_span(text.base, end), url);
    if (fault != NULL || end == text.len) {
        return fault;
    }
    url->path = relay_span_from(text, end);
    fault = relay_url_path_fault(url->path);
    while (url->path.len != 0 && url->path.base[url->path.len - 1] == '/') {
        url->path.len--;
    }
    return fault;
}
