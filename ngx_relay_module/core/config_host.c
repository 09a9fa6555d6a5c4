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

static bool read_base_url(relay_config_reader_t *reader, relay_config_node_t value,
                          const relay_config_field_t *field, void *target)
{
    relay_span_t text;
    relay_url_t url;
    const char *fault;
    bool usable;

    (void)field;
    if (reader->base_url_for.source != NULL) {
        value = reader->base_url_for;
    }
    if (!relay_config_filled(reader, value, &text, &usable)) {
        return false;
    }
    if (!usable) {
        reader->leave_out = "its base URL has a placeholder without a value in \"variables\"";
        return true;
    }
    fault = relay_url_parse(text, &url);
    return fault != NULL ? relay_config_refuse(reader, value, "%s", fault)
                         : take_url(reader, target, &url);
}

/* The URLs for values of one variable: {"global": "https://…"}. */
static bool find_for_variable(relay_config_reader_t *reader, relay_config_node_t urls)
{
    relay_config_node_t item = {0};
    relay_span_t name, value, wanted;

    if (!relay_config_expect(reader, urls, RELAY_JSON_OBJECT, "an object of base URLs by value") ||
        !relay_config_string(reader, relay_config_key(urls), 0, RELAY_CONFIG_VALUE_MAX, &name)) {
        return false;
    }
    wanted = relay_config_variable(reader, name);
    while (relay_config_next(urls, &item)) {
        if (!relay_config_expect(reader, item, RELAY_JSON_STRING, "a base URL") ||
            !relay_config_string(reader, relay_config_key(item), 0, RELAY_CONFIG_VALUE_MAX,
                                 &value)) {
            return false;
        }
        if (wanted.len != 0 && relay_span_eq(value, wanted)) {
            reader->base_url_for = item;
        }
    }
    return true;
}

/* Where a host is somewhere else for one value of a variable than for the others. */
static bool find_base_url(relay_config_reader_t *reader, relay_config_node_t host)
{
    relay_config_node_t object, item = {0};

    reader->base_url_for = (relay_config_node_t){0};
    if (relay_config_type(host) != RELAY_JSON_OBJECT ||
        !relay_config_member(host, "base_url_for", &object)) {
        return true;
    }
    if (!relay_config_expect(reader, object, RELAY_JSON_OBJECT, "an object of URLs by variable")) {
        return false;
    }
    while (relay_config_next(object, &item)) {
        if (!find_for_variable(reader, item)) {
            return false;
        }
    }
    return true;
}

/* ---- headers -------------------------------------------------------------- */

/* False after a fault; a header of the catalog without a value takes its host along. */
static bool fill_header(relay_config_reader_t *reader, relay_config_node_t value,
                        relay_header_t *header)
{
    relay_span_t unset;

    if (!relay_config_unset(reader, header->value, &unset)) {
        return relay_config_fill(reader, header->value, &header->value);
    }
    reader->leave_out = "a header has a placeholder without a value in \"variables\"";
    return value.source->catalog || relay_config_refuse(reader, value, "%s", reader->leave_out);
}

/* A value may hold a credential: no message repeats it. */
static bool read_header(relay_config_reader_t *reader, relay_config_node_t value,
                        const relay_host_t *host, relay_header_t *header)
{
    const relay_header_t *other = host->headers;

    if (!relay_config_read_header_name(reader, relay_config_key(value), &header->name) ||
        !relay_config_string(reader, value, 0, RELAY_CONFIG_VALUE_MAX, &header->value)) {
        return false;
    }
    if (!relay_config_ascii(header->value, true)) {
        return relay_config_refuse(reader, value, "expected printable ASCII characters");
    }
    while (other != header && !relay_span_eq(other->name, header->name)) {
        other++;
    }
    if (other != header) {
        return relay_config_refuse(reader, relay_config_key(value), "this header occurs twice");
    }
    return fill_header(reader, value, header);
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

/* Read before or behind the others: they depend on each other. */
static bool read_apart(relay_config_reader_t *reader, relay_config_node_t value,
                       const relay_config_field_t *field, void *target)
{
    (void)reader;
    (void)value;
    (void)field;
    (void)target;
    return true;
}

static const relay_config_field_t host_fields[] = {
    {"base_url", read_base_url, 0, 0, 0},
    {"echo", relay_config_read_flag, offsetof(relay_host_t, echo), 0, 0},
    {"formats", read_apart, 0, 0, 0},
    {"variables", read_apart, 0, 0, 0},
    {"base_url_for", read_apart, 0, 0, 0},
    {"auth", relay_config_read_auth, 0, 0, 0},
    {"headers", read_headers, 0, 0, 0},
    {"dialect", relay_config_read_dialect, offsetof(relay_host_t, traits), 0, 0},
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
    static const char *const network[] = {"base_url",  "auth",         "headers",     "local",
                                          "tls",       "stream_usage", "passthrough", "timeouts",
                                          "variables", "dialect",      "base_url_for"};
    relay_config_node_t value;

    for (size_t i = 0; i < sizeof(network) / sizeof(network[0]); i++) {
        if (relay_config_member(node, network[i], &value)) {
            return relay_config_refuse(reader, relay_config_key(value),
                                       "a host with \"echo\" has no network and takes no such "
                                       "member");
        }
    }
    if (relay_config_member(node, "formats", &value)) {
        return relay_config_read_formats(reader, value, host);
    }
    relay_config_all_formats(host);
    return true;
}

static bool finish_host(relay_config_reader_t *reader, relay_config_node_t node, relay_host_t *host)
{
    relay_config_node_t value;
    bool formats = relay_config_member(node, "formats", &value);

    if (reader->leave_out != NULL) {
        return true;
    }
    if (formats && !relay_config_read_formats(reader, value, host)) {
        return false;
    }
    if (host->server_name.len == 0) {
        return relay_config_refuse(reader, relay_config_key(node),
                                   "expected \"base_url\" (or \"echo\": true)");
    }
    if (!formats) {
        return relay_config_refuse(reader, relay_config_key(node), "expected \"formats\"");
    }
    if (!host->tls && relay_config_member(node, "tls", &value)) {
        return relay_config_refuse(reader, relay_config_key(value),
                                   "the base URL starts with http://: there is no TLS");
    }
    if (host->tls_name.len == 0) {
        host->tls_name = host->server_name;
    }
    if (host->formats == 0) {
        reader->leave_out = "it speaks no format that is supported";
        return true;
    }
    return relay_config_finish_auth(reader, node, host);
}

bool relay_config_read_host(relay_config_reader_t *reader, relay_config_node_t node, void *target)
{
    relay_host_t *host = target;

    host->index = (size_t)(host - reader->config->hosts);
    host->stream_usage = true;
    host->tls_verify = true;
    if (!relay_config_read_variables(reader, node) || !find_base_url(reader, node) ||
        !RELAY_CONFIG_OBJECT(reader, node, host_fields, host)) {
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
