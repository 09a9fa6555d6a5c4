/*
 * Hosts of a configuration document: where requests can go, in which formats,
 * with which headers. Called by config_doc, and by whoever refers to a host.
 */

#include "config_read.h"
#include "config_text.h"
#include "url.h"

/* Appends to a text under construction and lower-cases it on the way. */
static void put_lower(relay_buf_t *out, relay_span_t text)
{
    for (size_t i = 0; i < text.len; i++) {
        uint8_t byte = text.base[i];
        relay_buf_put_byte(out, byte >= 'A' && byte <= 'Z' ? byte | 0x20 : byte);
    }
}

/* ---- base URL ------------------------------------------------------------- */

enum { ORIGIN_ROOM = 16 }; /* scheme, brackets, colon, port */

/*
 * One text, https://name:port, holds origin, authority and name: the port stands
 * in the authority unless it is the scheme's own, the brackets of an IPv6
 * address in both but not in the name.
 */
static bool take_url(relay_config_reader_t *reader, relay_host_t *host, const relay_url_t *url)
{
    size_t room = url->host.len + ORIGIN_ROOM, start, length;
    relay_buf_t out = relay_buf(relay_config_alloc(reader, room, 1), room);

    if (out.base == NULL) {
        return false;
    }
    relay_buf_put(&out, url->tls ? RELAY_SPAN("https://") : RELAY_SPAN("http://"));
    start = out.len;
    relay_buf_put(&out, url->bracketed ? RELAY_SPAN("[") : RELAY_SPAN(""));
    put_lower(&out, url->host);
    relay_buf_put(&out, url->bracketed ? RELAY_SPAN("]") : RELAY_SPAN(""));
    length = out.len - start;
    RELAY_PUT(&out, ":");
    relay_buf_put_u64(&out, url->port);
    host->tls = url->tls;
    host->port = url->port;
    host->origin = relay_buf_span(&out);
    host->authority = url->default_port ? relay_span(out.base + start, length)
                                        : relay_span_from(host->origin, start);
    host->server_name = relay_span(out.base + start + url->bracketed, url->host.len);
    host->base_path = url->path; /* of the copied string */
    return true;
}

/* A placeholder such as {region}, in the catalog. */
static bool has_placeholder(relay_config_node_t at, relay_span_t text)
{
    return at.source->catalog && text.len != 0 && memchr(text.base, '{', text.len) != NULL;
}

static bool read_base_url(relay_config_reader_t *reader, relay_config_node_t value,
                          const relay_config_field_t *field, void *target)
{
    relay_span_t text;
    relay_url_t url;
    const char *fault;

    (void)field;
    if (!relay_config_string(reader, value, 0, RELAY_CONFIG_VALUE_MAX, &text)) {
        return false;
    }
    if (has_placeholder(value, text)) {
        reader->leave_out = "its base URL has a placeholder";
        return true;
    }
    fault = relay_url_parse(text, &url);
    return fault != NULL ? relay_config_refuse(reader, value, "%s", fault)
                         : take_url(reader, target, &url);
}

/* ---- formats -------------------------------------------------------------- */

static uint32_t all_formats(void)
{
    uint32_t formats = 0;

    for (unsigned i = 0; i < RELAY_FORMATS_MAX && relay_wire_at(i) != NULL; i++) {
        formats |= UINT32_C(1) << i;
    }
    return formats;
}

static void default_paths(relay_host_t *host)
{
    for (unsigned i = 0; i < RELAY_FORMATS_MAX && relay_wire_at(i) != NULL; i++) {
        if (host->formats >> i & 1 && host->paths[i].len == 0) {
            host->paths[i] = relay_wire_at(i)->path;
        }
    }
}

/* What a host says of one format. */
typedef struct {
    relay_span_t path;     /* empty: the format's own */
    relay_span_t base_url; /* empty: the host's */
} endpoint_t;

static bool read_path(relay_config_reader_t *reader, relay_config_node_t value,
                      const relay_config_field_t *field, void *target)
{
    relay_span_t *path = target;
    const char *fault;

    (void)field;
    if (!relay_config_string(reader, value, 0, RELAY_URL_MAX, path)) {
        return false;
    }
    fault = has_placeholder(value, *path) ? NULL : relay_url_path_fault(*path);
    return fault == NULL || relay_config_refuse(reader, value, "%s", fault);
}

static bool read_endpoint(relay_config_reader_t *reader, relay_config_node_t value,
                          endpoint_t *endpoint)
{
    static const relay_config_field_t fields[] = {
        {"path", read_path, offsetof(endpoint_t, path), 0, 0},
        {"base_url", relay_config_read_text, offsetof(endpoint_t, base_url), 1, RELAY_URL_MAX},
    };

    if (relay_config_type(value) == RELAY_JSON_STRING) {
        return read_path(reader, value, NULL, &endpoint->path);
    }
    return relay_config_expect(reader, value, RELAY_JSON_OBJECT,
                               "a path, or an object with \"path\" and \"base_url\"") &&
           RELAY_CONFIG_OBJECT(reader, value, fields, endpoint);
}

/* a and b one after the other. */
static bool join(relay_config_reader_t *reader, relay_span_t a, relay_span_t b,
                 relay_span_t *joined)
{
    relay_buf_t out;

    if (a.len == 0) {
        *joined = b;
        return true;
    }
    out = relay_buf(relay_config_alloc(reader, a.len + b.len, 1), a.len + b.len);
    if (out.base == NULL) {
        return false;
    }
    relay_buf_put(&out, a);
    relay_buf_put(&out, b);
    *joined = relay_buf_span(&out);
    return true;
}

/* The host's paths from the root on, base_path included. */
static bool root_paths(relay_config_reader_t *reader, relay_host_t *host)
{
    for (unsigned i = 0; i < RELAY_FORMATS_MAX; i++) {
        if (host->paths[i].len != 0 &&
            !join(reader, host->base_path, host->paths[i], &host->paths[i])) {
            return false;
        }
    }
    host->base_path = relay_span(NULL, 0);
    return true;
}

static bool read_format(relay_config_reader_t *reader, relay_config_node_t value,
                        relay_host_t *host)
{
    const relay_wire_t *wire = relay_config_format(reader, relay_config_key(value));
    endpoint_t endpoint = {0};

    if (wire == NULL) {
        return value.source->catalog;
    }
    if (!read_endpoint(reader, value, &endpoint)) {
        return false;
    }
    if (!has_placeholder(value, endpoint.path)) {
        host->formats |= UINT32_C(1) << wire->index;
        host->paths[wire->index] = endpoint.path;
    }
    return true;
}

static bool read_host_formats(relay_config_reader_t *reader, relay_config_node_t value,
                              const relay_config_field_t *field, void *target)
{
    relay_host_t *host = target;
    relay_config_node_t item = {0};

    (void)field;
    if (relay_config_type(value) == RELAY_JSON_ARRAY) {
        return relay_config_formats(reader, value, &host->formats);
    }
    if (!relay_config_expect(reader, value, RELAY_JSON_OBJECT,
                             "an array of formats, or an object of formats and their paths")) {
        return false;
    }
    while (relay_config_next(value, &item)) {
        if (!read_format(reader, item, host)) {
            return false;
        }
    }
    return host->formats != 0 || value.source->catalog ||
           relay_config_refuse(reader, value, "expected at least one format");
}

static bool is_below(relay_span_t path, relay_span_t base)
{
    return relay_span_starts(path, base) && path.len > base.len && path.base[base.len] == '/';
}

/*
 * A format under a base URL of its own becomes a path like any other. If that is
 * not below base_path, all paths of the host start at the root instead; a host
 * that passes unknown paths on needs its base_path. *why is NULL, or why it
 * cannot be; false only after a fault.
 */
static bool fold(relay_config_reader_t *reader, relay_host_t *host, const relay_url_t *url,
                 unsigned index, relay_span_t path, const char **why)
{
    relay_span_t whole;

    *why = NULL;
    if (url->tls != host->tls || url->port != host->port ||
        !relay_span_case_eq(url->host, host->server_name)) {
        *why = "the base URL of a format has scheme, name and port of the host's";
        return true;
    }
    if (!join(reader, url->path, path, &whole)) {
        return false;
    }
    if (!is_below(whole, host->base_path)) {
        *why = host->passthrough
                   ? "with \"passthrough\", all formats are below the base URL of the host"
                   : NULL;
        if (*why != NULL || !root_paths(reader, host)) {
            return *why != NULL;
        }
    }
    host->paths[index] = relay_span_from(whole, host->base_path.len);
    return true;
}

/* at: the base URL of the format; path: what stands below it. */
static bool fold_format(relay_config_reader_t *reader, relay_config_node_t at, unsigned index,
                        relay_span_t path, relay_host_t *host)
{
    relay_span_t text;
    relay_url_t url;
    const char *why;

    if (!relay_config_string(reader, at, 0, RELAY_URL_MAX, &text)) {
        return false;
    }
    if (has_placeholder(at, text)) {
        host->formats &= ~(UINT32_C(1) << index);
        return true;
    }
    why = relay_url_parse(text, &url);
    if (why != NULL) {
        return relay_config_refuse(reader, at, "%s", why);
    }
    if (!fold(reader, host, &url, index, path, &why)) {
        return false;
    }
    if (why != NULL && at.source->catalog) {
        host->formats &= ~(UINT32_C(1) << index);
    }
    return why == NULL || at.source->catalog || relay_config_refuse(reader, at, "%s", why);
}

static bool fold_formats(relay_config_reader_t *reader, relay_config_node_t node,
                         relay_host_t *host)
{
    relay_config_node_t formats, item = {0}, base_url;
    relay_span_t paths[RELAY_FORMATS_MAX];

    memcpy(paths, host->paths, sizeof(paths)); /* folding one may change the others */
    if (!relay_config_member(node, "formats", &formats)) {
        return true;
    }
    while (relay_config_type(formats) == RELAY_JSON_OBJECT && relay_config_next(formats, &item)) {
        const relay_wire_t *wire = relay_config_format(reader, relay_config_key(item));
        if (wire == NULL || !(host->formats >> wire->index & 1) ||
            relay_config_type(item) != RELAY_JSON_OBJECT ||
            !relay_config_member(item, "base_url", &base_url)) {
            continue;
        }
        if (!fold_format(reader, base_url, wire->index, paths[wire->index], host)) {
            return false;
        }
    }
    return true;
}

/* ---- headers -------------------------------------------------------------- */

/* A header's name, in lower case. */
static bool read_header_name(relay_config_reader_t *reader, relay_config_node_t at,
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

static bool read_auth_header(relay_config_reader_t *reader, relay_config_node_t value,
                             const relay_config_field_t *field, void *target)
{
    (void)field;
    return relay_config_expect(reader, value, RELAY_JSON_STRING, "a header name") &&
           read_header_name(reader, value, target);
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

/* "header", "none", or a way that the catalog knows and this version does not. */
static bool read_auth_type(relay_config_reader_t *reader, relay_config_node_t value,
                           const relay_config_field_t *field, void *target)
{
    uint8_t room[RELAY_CONFIG_NAME_MAX];
    relay_buf_t text = relay_buf(room, sizeof(room));
    bool known = relay_config_passing(value, &text);
    relay_host_t *host = target;

    (void)field;
    host->keyless = known && relay_span_eq(relay_buf_span(&text), RELAY_SPAN("none"));
    known = host->keyless || (known && relay_span_eq(relay_buf_span(&text), RELAY_SPAN("header")));
    if (!known && value.source->catalog && relay_config_type(value) == RELAY_JSON_STRING) {
        reader->leave_out = "its way to authenticate is not supported";
        return true;
    }
    return known || relay_config_refuse(reader, value, "expected \"header\" or \"none\"");
}

/* Of an unknown way to authenticate, the other members are not known either. */
static bool read_auth(relay_config_reader_t *reader, relay_config_node_t value,
                      const relay_config_field_t *field, void *target)
{
    static const relay_config_field_t fields[] = {
        {"type", read_auth_type, 0, 0, 0},
        {"header", read_auth_header, offsetof(relay_host_t, auth_header), 0, 0},
        {"prefix", read_auth_prefix, offsetof(relay_host_t, auth_prefix), 0, 0},
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

/* A value may hold a credential: no message repeats it. */
static bool read_header(relay_config_reader_t *reader, relay_config_node_t value,
                        const relay_host_t *host, relay_header_t *header)
{
    const relay_header_t *other = host->headers;

    if (!read_header_name(reader, relay_config_key(value), &header->name) ||
        !relay_config_string(reader, value, 0, RELAY_CONFIG_VALUE_MAX, &header->value)) {
        return false;
    }
    if (!relay_config_ascii(header->value, true)) {
        return relay_config_refuse(reader, value, "expected printable ASCII characters");
    }
    while (other != header && !relay_span_eq(other->name, header->name)) {
        other++;
    }
    return other == header ||
           relay_config_refuse(reader, relay_config_key(value), "this header occurs twice");
}

static bool read_headers(relay_config_reader_t *reader, relay_config_node_t value,
                         const relay_config_field_t *field, void *target)
{
    relay_host_t *host = target;
    relay_config_node_t item = {0};

    (void)field;
    if (!relay_config_expect(reader, value, RELAY_JSON_OBJECT, "an object of header values")) {
        return false;
    }
    host->nheaders = relay_config_size(value);
    if (host->nheaders > RELAY_CONFIG_HEADERS_MAX) {
        return relay_config_refuse(reader, value, "more than %d headers", RELAY_CONFIG_HEADERS_MAX);
    }
    host->headers = relay_config_alloc(reader, host->nheaders, sizeof(host->headers[0]));
    for (size_t i = 0; host->headers != NULL && relay_config_next(value, &item); i++) {
        if (!read_header(reader, item, host, &host->headers[i])) {
            return false;
        }
    }
    return host->headers != NULL;
}

/* The header of the provider key cannot be a fixed one, too. */
static bool check_headers(relay_config_reader_t *reader, relay_config_node_t node,
                          const relay_host_t *host)
{
    relay_config_node_t headers, item = {0};

    if (!relay_config_member(node, "headers", &headers)) {
        return true;
    }
    for (size_t i = 0; relay_config_next(headers, &item); i++) {
        if (relay_span_eq(host->headers[i].name, host->auth_header)) {
            return relay_config_refuse(reader, relay_config_key(item),
                                       "this header carries the provider key (\"auth\")");
        }
    }
    return true;
}

static void default_auth(relay_host_t *host)
{
    relay_span_t authorization = RELAY_SPAN("authorization");

    if (host->auth_header.len == 0) {
        host->auth_header = authorization;
    }
    if (host->auth_prefix.base == NULL) {
        host->auth_prefix = relay_span_eq(host->auth_header, authorization) ? RELAY_SPAN("Bearer ")
                                                                            : RELAY_SPAN("");
    }
}

/* ---- TLS ------------------------------------------------------------------ */

static bool read_tls_name(relay_config_reader_t *reader, relay_config_node_t value,
                          const relay_config_field_t *field, void *target)
{
    relay_span_t *name = target, text;
    relay_buf_t lower;

    (void)field;
    if (!relay_config_string(reader, value, 0, RELAY_CONFIG_TEXT_MAX, &text)) {
        return false;
    }
    if (!relay_host_name_ok(text, true)) {
        return relay_config_refuse(reader, value, "expected a host name or an IP address");
    }
    lower = relay_buf(relay_config_alloc(reader, text.len, 1), text.len);
    if (lower.base == NULL) {
        return false;
    }
    put_lower(&lower, text);
    *name = relay_buf_span(&lower);
    return true;
}

static bool read_tls(relay_config_reader_t *reader, relay_config_node_t value,
                     const relay_config_field_t *field, void *target)
{
    static const relay_config_field_t fields[] = {
        {"verify", relay_config_read_flag, offsetof(relay_host_t, tls_verify), 0, 0},
        {"ca_file", relay_config_read_text, offsetof(relay_host_t, tls_ca_file), 1,
         RELAY_CONFIG_VALUE_MAX},
        {"name", read_tls_name, offsetof(relay_host_t, tls_name), 0, 0},
    };

    (void)field;
    return RELAY_CONFIG_OBJECT(reader, value, fields, target);
}

/* ---- hosts ---------------------------------------------------------------- */

static const relay_config_field_t host_fields[] = {
    {"base_url", read_base_url, 0, 0, 0},
    {"echo", relay_config_read_flag, offsetof(relay_host_t, echo), 0, 0},
    {"formats", read_host_formats, 0, 0, 0},
    {"auth", read_auth, 0, 0, 0},
    {"headers", read_headers, 0, 0, 0},
    {"local", relay_config_read_flag, offsetof(relay_host_t, local), 0, 0},
    {"passthrough", relay_config_read_flag, offsetof(relay_host_t, passthrough), 0, 0},
    {"stream_usage", relay_config_read_flag, offsetof(relay_host_t, stream_usage), 0, 0},
    {"tls", read_tls, 0, 0, 0},
    {"timeouts", relay_config_read_timeouts, offsetof(relay_host_t, timeouts), 0, 0},
    {"serves", relay_config_read_globs, offsetof(relay_host_t, serves), 0, 0},
    {"facts", relay_config_read_aside, 0, 0, 0},
};

/* Nothing of the network has a meaning for the built-in model. */
static bool finish_echo(relay_config_reader_t *reader, relay_config_node_t node, relay_host_t *host)
{
    static const char *const network[] = {"base_url", "auth",         "headers",     "local",
                                          "tls",      "stream_usage", "passthrough", "timeouts"};
    relay_config_node_t value;

    for (size_t i = 0; i < sizeof(network) / sizeof(network[0]); i++) {
        if (relay_config_member(node, network[i], &value)) {
            return relay_config_refuse(reader, relay_config_key(value),
                                       "a host with \"echo\" has no network and takes no such "
                                       "member");
        }
    }
    if (host->formats == 0) {
        host->formats = all_formats();
    }
    default_paths(host);
    return true;
}

static bool finish_host(relay_config_reader_t *reader, relay_config_node_t node, relay_host_t *host)
{
    relay_config_node_t value;

    if (reader->leave_out != NULL) {
        return true;
    }
    if (host->server_name.len == 0) {
        return relay_config_refuse(reader, relay_config_key(node),
                                   "expected \"base_url\" (or \"echo\": true)");
    }
    if (!relay_config_member(node, "formats", &value)) {
        return relay_config_refuse(reader, relay_config_key(node), "expected \"formats\"");
    }
    if (!host->tls && relay_config_member(node, "tls", &value)) {
        return relay_config_refuse(reader, relay_config_key(value),
                                   "the base URL starts with http://: there is no TLS");
    }
    if (host->tls_name.len == 0) {
        host->tls_name = host->server_name;
    }
    default_paths(host);
    default_auth(host);
    if (!fold_formats(reader, node, host)) {
        return false;
    }
    if (host->formats == 0) {
        reader->leave_out = "it speaks no format that is supported";
        return true;
    }
    return check_headers(reader, node, host);
}

bool relay_config_read_host(relay_config_reader_t *reader, relay_config_node_t node, void *target)
{
    relay_host_t *host = target;

    host->index = (size_t)(host - reader->config->hosts);
    host->stream_usage = true;
    host->tls_verify = true;
    if (!RELAY_CONFIG_OBJECT(reader, node, host_fields, host)) {
        return false;
    }
    return host->echo ? finish_echo(reader, node, host) : finish_host(reader, node, host);
}

/* ---- references to hosts -------------------------------------------------- */

/* Why the catalog's host of this name cannot be used; NULL if there is none. */
static const char *why_absent(const relay_config_reader_t *reader, relay_config_node_t node)
{
    uint8_t room[RELAY_CONFIG_NAME_MAX];
    relay_buf_t name = relay_buf(room, sizeof(room));
    relay_config_names_t names = {reader->absent, reader->nabsent, sizeof(reader->absent[0])};
    const relay_config_absent_t *absent = NULL;

    if (relay_config_passing(node, &name)) {
        absent = relay_config_lookup(names, relay_buf_span(&name));
    }
    return absent != NULL ? absent->why : NULL;
}

bool relay_config_host_reference(relay_config_reader_t *reader, relay_config_node_t node,
                                 const relay_host_t **host)
{
    const relay_config_t *config = reader->config;
    const char *why = reader->nabsent != 0 ? why_absent(reader, node) : NULL;

    *host = NULL;
    if (why != NULL) {
        return node.source->catalog ||
               relay_config_refuse(reader, node,
                                   "the catalog's host of this name cannot be used: %s; describe "
                                   "it under \"hosts\" as you have it",
                                   why);
    }
    *host = relay_config_reference(
        reader, node, "host",
        (relay_config_names_t){config->hosts, config->nhosts, sizeof(config->hosts[0])});
    return *host != NULL;
}
