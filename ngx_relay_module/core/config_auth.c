/*
 * How a host wants to be shown a provider key, and the headers that it is sent
 * besides. Called by config_host.
 */

#include "config_read.h"
#include "config_text.h"

/* ---- names of headers ----------------------------------------------------- */

static void put_lower(relay_buf_t *out, relay_span_t text)
{
    for (size_t i = 0; i < text.len; i++) {
        uint8_t byte = text.base[i];
        relay_buf_put_byte(out, byte >= 'A' && byte <= 'Z' ? byte | 0x20 : byte);
    }
}

bool relay_config_read_header_name(relay_config_reader_t *reader, relay_config_node_t at,
                                   relay_span_t *name)
{
    relay_buf_t lower;
    char quoted[RELAY_CONFIG_QUOTE_MAX];

    if (!relay_config_string(reader, at, 0, RELAY_CONFIG_TEXT_MAX, name)) {
        return false;
    }
    if (!relay_config_header_name_ok(*name)) {
        return relay_config_refuse(reader, at,
                                   "expected a header name: 1 to 64 letters, digits and hyphens");
    }
    lower = relay_buf(relay_config_alloc(reader, name->len, 1), name->len);
    if (lower.base == NULL) {
        return false;
    }
    put_lower(&lower, *name);
    *name = relay_buf_span(&lower);
    return !relay_config_header_reserved(*name) ||
           relay_config_refuse(reader, at, "the header %s is set by Relay alone",
                               relay_config_quote(*name, quoted));
}

/* ---- the header of the credential ----------------------------------------- */

static bool read_auth_header(relay_config_reader_t *reader, relay_config_node_t value,
                             const relay_config_field_t *field, void *target)
{
    (void)field;
    return relay_config_expect(reader, value, RELAY_JSON_STRING, "a header name") &&
           relay_config_read_header_name(reader, value, target);
}

static bool read_auth_prefix(relay_config_reader_t *reader, relay_config_node_t value,
                             const relay_config_field_t *field, void *target)
{
    relay_span_t *prefix = target;

    (void)field;
    return relay_config_string(reader, value, 0, RELAY_CONFIG_TEXT_MAX, prefix) &&
           (relay_config_ascii(*prefix, true) ||
            relay_config_refuse(reader, value, "expected printable ASCII characters"));
}

/* Only "authorization" has a prefix unless it is said. */
static void default_header(relay_auth_header_t *auth)
{
    relay_span_t authorization = RELAY_SPAN("authorization");

    if (auth->header.len == 0) {
        auth->header = authorization;
    }
    if (auth->prefix.base == NULL) {
        auth->prefix =
            relay_span_eq(auth->header, authorization) ? RELAY_SPAN("Bearer ") : RELAY_SPAN("");
    }
}

/* ---- headers of formats --------------------------------------------------- */

static bool read_format_header(relay_config_reader_t *reader, relay_config_node_t value,
                               relay_host_t *host)
{
    static const relay_config_field_t fields[] = {
        {"header", read_auth_header, offsetof(relay_auth_header_t, header), 0, 0},
        {"prefix", read_auth_prefix, offsetof(relay_auth_header_t, prefix), 0, 0},
    };
    bool streams;
    const relay_variant_t *variant = relay_config_format(reader, relay_config_key(value), &streams);
    relay_auth_header_t auth = {{NULL, 0}, {NULL, 0}};

    if (variant == NULL) {
        return value.source->catalog;
    }
    if (!RELAY_CONFIG_OBJECT(reader, value, fields, &auth)) {
        return false;
    }
    if (auth.header.len == 0) {
        return relay_config_refuse(reader, value, "expected \"header\"");
    }
    default_header(&auth);
    host->auth_formats[variant->wire->index] = auth;
    return true;
}

static bool read_format_headers(relay_config_reader_t *reader, relay_config_node_t value,
                                const relay_config_field_t *field, void *target)
{
    relay_config_node_t item = {0};
    relay_host_t *host = target;

    (void)field;
    if (!relay_config_expect(reader, value, RELAY_JSON_OBJECT, "an object of headers by format")) {
        return false;
    }
    host->auth_formats =
        relay_config_alloc(reader, RELAY_FORMATS_MAX, sizeof(host->auth_formats[0]));
    while (host->auth_formats != NULL && relay_config_next(value, &item)) {
        if (!read_format_header(reader, item, host)) {
            return false;
        }
    }
    return host->auth_formats != NULL;
}

/* ---- ways ----------------------------------------------------------------- */

static const struct {
    relay_span_t name;
    relay_auth_type_t type;
    bool keyless;
} ways[] = {
    {RELAY_SPAN_INIT("header"), RELAY_AUTH_HEADER, false},
    {RELAY_SPAN_INIT("none"), RELAY_AUTH_HEADER, true},
    {RELAY_SPAN_INIT("sigv4"), RELAY_AUTH_SIGV4, false},
    {RELAY_SPAN_INIT("oauth-service-account"), RELAY_AUTH_OAUTH, false},
};

enum { WAYS = sizeof(ways) / sizeof(ways[0]) };

/* One of ways, or one that the catalog knows and this version does not. */
static bool read_auth_type(relay_config_reader_t *reader, relay_config_node_t value,
                           const relay_config_field_t *field, void *target)
{
    uint8_t room[RELAY_CONFIG_NAME_MAX];
    relay_buf_t text = relay_buf(room, sizeof(room));
    bool read = relay_config_passing(value, &text);
    relay_host_t *host = target;
    size_t i = 0;

    (void)field;
    while (i < WAYS && !(read && relay_span_eq(relay_buf_span(&text), ways[i].name))) {
        i++;
    }
    if (i < WAYS) {
        host->auth_type = ways[i].type;
        host->keyless = ways[i].keyless;
        return true;
    }
    if (value.source->catalog && relay_config_type(value) == RELAY_JSON_STRING) {
        reader->leave_out = "its way to authenticate is not supported";
        return true;
    }
    return relay_config_refuse(reader, value,
                               "expected \"header\", \"none\", \"sigv4\" or "
                               "\"oauth-service-account\"");
}

static bool read_word(relay_config_reader_t *reader, relay_config_node_t value,
                      const relay_config_field_t *field, void *target)
{
    relay_span_t *word = target;

    (void)field;
    return relay_config_string(reader, value, 1, RELAY_CONFIG_NAME_MAX, word) &&
           (relay_config_name_ok(*word) ||
            relay_config_refuse(reader, value, "expected letters, digits and hyphens"));
}

/* For other programs. */
static bool read_nothing(relay_config_reader_t *reader, relay_config_node_t value,
                         const relay_config_field_t *field, void *target)
{
    (void)field;
    (void)target;
    return relay_config_expect(reader, value, RELAY_JSON_STRING, "a string");
}

/* Of an unknown way to authenticate, the other members are not known either. */
bool relay_config_read_auth(relay_config_reader_t *reader, relay_config_node_t value,
                            const relay_config_field_t *field, void *target)
{
    static const relay_config_field_t fields[] = {
        {"type", read_auth_type, 0, 0, 0},
        {"header", read_auth_header, offsetof(relay_host_t, auth_header), 0, 0},
        {"prefix", read_auth_prefix, offsetof(relay_host_t, auth_prefix), 0, 0},
        {"formats", read_format_headers, 0, 0, 0},
        {"service", read_word, offsetof(relay_host_t, auth_service), 0, 0},
        {"region", read_word, offsetof(relay_host_t, auth_region), 0, 0},
        {"scope", read_nothing, 0, 0, 0},
        {"token_url", read_nothing, 0, 0, 0},
    };
    const char *before = reader->leave_out;
    relay_config_node_t type;

    if (relay_config_type(value) == RELAY_JSON_OBJECT &&
        relay_config_member(value, "type", &type)) {
        if (!read_auth_type(reader, type, field, target)) {
            return false;
        }
        if (reader->leave_out != before) {
            return true;
        }
    }
    return RELAY_CONFIG_OBJECT(reader, value, fields, target);
}

/* A signature is for one service in one region. */
static bool finish_signature(relay_config_reader_t *reader, relay_config_node_t auth,
                             relay_host_t *host)
{
    if (host->auth_service.len == 0) {
        return relay_config_refuse(reader, auth, "expected \"service\": what signatures are for");
    }
    if (host->auth_region.len == 0) {
        host->auth_region = relay_config_variable(reader, RELAY_SPAN("region"));
    }
    if (host->auth_region.len != 0) {
        return true;
    }
    reader->leave_out = "the region of its signatures is not known";
    return auth.source->catalog ||
           relay_config_refuse(reader, auth,
                               "expected \"region\", here or in the host's \"variables\"");
}

/* ---- beside other headers ------------------------------------------------- */

static bool carries_key(const relay_host_t *host, relay_span_t name)
{
    bool carries = relay_span_eq(name, host->auth_header);

    for (unsigned i = 0; host->auth_formats != NULL && i < RELAY_FORMATS_MAX; i++) {
        carries = carries || relay_span_eq(name, host->auth_formats[i].header);
    }
    return carries;
}

/* A header of the provider key cannot be a fixed one, too. */
static bool check_headers(relay_config_reader_t *reader, relay_config_node_t node,
                          const relay_host_t *host)
{
    relay_config_node_t headers, item = {0};

    if (!relay_config_member(node, "headers", &headers)) {
        return true;
    }
    for (size_t i = 0; relay_config_next(headers, &item); i++) {
        if (carries_key(host, host->headers[i].name)) {
            return relay_config_refuse(reader, relay_config_key(item),
                                       "this header carries the provider key (\"auth\")");
        }
    }
    return true;
}

bool relay_config_finish_auth(relay_config_reader_t *reader, relay_config_node_t node,
                              relay_host_t *host)
{
    relay_auth_header_t auth = {host->auth_header, host->auth_prefix};
    relay_config_node_t at;

    default_header(&auth);
    host->auth_header = auth.header;
    host->auth_prefix = auth.prefix;
    if (host->auth_type == RELAY_AUTH_SIGV4 &&
        (!relay_config_member(node, "auth", &at) || !finish_signature(reader, at, host))) {
        return false;
    }
    return check_headers(reader, node, host);
}
