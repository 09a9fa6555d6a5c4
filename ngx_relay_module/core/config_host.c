/*
 * Hosts and models of a configuration document: where requests can go, in which
 * formats, under which names. Called by config_doc.
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

static void put_authority(relay_buf_t *out, const relay_host_t *host, const relay_url_t *url)
{
    relay_buf_put(out, url->bracketed ? RELAY_SPAN("[") : RELAY_SPAN(""));
    relay_buf_put(out, host->server_name);
    relay_buf_put(out, url->bracketed ? RELAY_SPAN("]") : RELAY_SPAN(""));
    if (!url->default_port) {
        RELAY_PUT(out, ":");
        relay_buf_put_u64(out, url->port);
    }
}

enum { AUTHORITY_ROOM = 8 }; /* brackets, colon, port */

static bool take_url(relay_config_reader_t *reader, relay_host_t *host, const relay_url_t *url)
{
    relay_buf_t name = relay_buf(relay_config_alloc(reader, url->host.len, 1), url->host.len);
    relay_buf_t authority;

    if (name.base == NULL) {
        return false;
    }
    put_lower(&name, url->host);
    host->tls = url->tls;
    host->server_name = relay_buf_span(&name);
    host->port = url->port;
    host->base_path = url->path; /* of the copied string */
    authority = relay_buf(relay_config_alloc(reader, name.len + AUTHORITY_ROOM, 1),
                          name.len + AUTHORITY_ROOM);
    if (authority.base == NULL) {
        return false;
    }
    put_authority(&authority, host, url);
    host->authority = relay_buf_span(&authority);
    return true;
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

static bool read_format_path(relay_config_reader_t *reader, relay_config_node_t value,
                             relay_host_t *host)
{
    relay_span_t name, path;
    const relay_wire_t *wire;
    const char *fault;

    if (!relay_config_string(reader, relay_config_key(value), 0, RELAY_URL_MAX, &name) ||
        !relay_config_string(reader, value, 0, RELAY_URL_MAX, &path)) {
        return false;
    }
    wire = relay_config_format(reader, relay_config_key(value), name);
    if (wire == NULL) {
        return false;
    }
    fault = relay_url_path_fault(path);
    if (fault != NULL) {
        return relay_config_refuse(reader, value, "%s", fault);
    }
    host->formats |= UINT32_C(1) << wire->index;
    host->paths[wire->index] = path;
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
        if (!read_format_path(reader, item, host)) {
            return false;
        }
    }
    return host->formats != 0 || relay_config_refuse(reader, value, "expected at least one format");
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

static bool read_auth(relay_config_reader_t *reader, relay_config_node_t value,
                      const relay_config_field_t *field, void *target)
{
    static const relay_config_field_t fields[] = {
        {"header", read_auth_header, offsetof(relay_host_t, auth_header), 0, 0},
        {"prefix", read_auth_prefix, offsetof(relay_host_t, auth_prefix), 0, 0},
    };

    (void)field;
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

    if (host->server_name.len == 0) {
        return relay_config_refuse(reader, relay_config_key(node),
                                   "expected \"base_url\" (or \"echo\": true)");
    }
    if (host->formats == 0) {
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

/* ---- models --------------------------------------------------------------- */

bool relay_config_read_model_name(relay_config_reader_t *reader, relay_config_node_t at,
                                  relay_span_t *name)
{
    return relay_config_string(reader, at, 0, RELAY_CONFIG_VALUE_MAX, name) &&
           (relay_model_name_ok(*name) ||
            relay_config_refuse(reader, at,
                                "expected a model name: 1 to %d printable ASCII characters "
                                "without spaces, commas, quotes and backslashes",
                                RELAY_MODEL_NAME_MAX));
}

static bool read_upstream_id(relay_config_reader_t *reader, relay_config_node_t value,
                             const relay_config_field_t *field, void *target)
{
    (void)field;
    return relay_config_read_model_name(reader, value, target);
}

static bool read_offer_host(relay_config_reader_t *reader, relay_config_node_t value,
                            const relay_config_field_t *field, void *target)
{
    const relay_config_t *config = reader->config;
    const relay_host_t **host = target;

    (void)field;
    *host = relay_config_reference(
        reader, value, "host",
        (relay_config_names_t){config->hosts, config->nhosts, sizeof(config->hosts[0])});
    return *host != NULL;
}

static bool read_offer_formats(relay_config_reader_t *reader, relay_config_node_t value,
                               const relay_config_field_t *field, void *target)
{
    (void)field;
    return relay_config_expect(reader, value, RELAY_JSON_ARRAY, "an array of formats") &&
           relay_config_formats(reader, value, target);
}

static bool check_offer_formats(relay_config_reader_t *reader, relay_config_node_t value,
                                const relay_offer_t *offer)
{
    uint32_t foreign = offer->formats & ~offer->host->formats;
    char host[RELAY_CONFIG_QUOTE_MAX], format[RELAY_CONFIG_QUOTE_MAX];
    unsigned i = 0;

    if (foreign == 0) {
        return true;
    }
    while (!(foreign >> i & 1)) {
        i++;
    }
    return relay_config_refuse(reader, value, "the host %s does not speak the format %s",
                               relay_config_quote(offer->host->name, host),
                               relay_config_quote(relay_wire_at(i)->name, format));
}

static bool read_offer(relay_config_reader_t *reader, relay_config_node_t node,
                       const relay_model_t *model, relay_offer_t *offer)
{
    static const relay_config_field_t fields[] = {
        {"host", read_offer_host, offsetof(relay_offer_t, host), 0, 0},
        {"id", read_upstream_id, offsetof(relay_offer_t, upstream_id), 0, 0},
        {"formats", read_offer_formats, offsetof(relay_offer_t, formats), 0, 0},
    };
    relay_config_node_t value;

    if (!RELAY_CONFIG_OBJECT(reader, node, fields, offer)) {
        return false;
    }
    if (offer->host == NULL) {
        return relay_config_refuse(reader, node, "expected \"host\"");
    }
    if (relay_config_member(node, "formats", &value) &&
        !check_offer_formats(reader, value, offer)) {
        return false;
    }
    offer->formats = offer->formats != 0 ? offer->formats : offer->host->formats;
    offer->upstream_id = offer->upstream_id.len != 0 ? offer->upstream_id : model->name;
    return true;
}

static bool read_offers(relay_config_reader_t *reader, relay_config_node_t value,
                        const relay_config_field_t *field, void *target)
{
    relay_model_t *model = target;
    relay_config_node_t item = {0};

    (void)field;
    if (!relay_config_expect(reader, value, RELAY_JSON_ARRAY, "an array of offers")) {
        return false;
    }
    model->noffers = relay_config_size(value);
    if (model->noffers > RELAY_CONFIG_OFFERS_MAX) {
        return relay_config_refuse(reader, value, "more than %d offers", RELAY_CONFIG_OFFERS_MAX);
    }
    model->offers = relay_config_alloc(reader, model->noffers, sizeof(model->offers[0]));
    for (size_t i = 0; model->offers != NULL && relay_config_next(value, &item); i++) {
        if (!read_offer(reader, item, model, &model->offers[i])) {
            return false;
        }
    }
    return model->offers != NULL;
}

/* Aliases are gathered when all models are known: see config_doc.c. */
static bool check_aliases(relay_config_reader_t *reader, relay_config_node_t value,
                          const relay_config_field_t *field, void *target)
{
    size_t count = relay_config_type(value) == RELAY_JSON_ARRAY ? relay_config_size(value) : 0;

    (void)field;
    (void)target;
    if (!relay_config_expect(reader, value, RELAY_JSON_ARRAY, "an array of model names")) {
        return false;
    }
    return count <= RELAY_CONFIG_ALIASES_MAX ||
           relay_config_refuse(reader, value, "more than %d aliases", RELAY_CONFIG_ALIASES_MAX);
}

bool relay_config_read_model(relay_config_reader_t *reader, relay_config_node_t node, void *target)
{
    static const relay_config_field_t fields[] = {
        {"display_name", relay_config_read_text, offsetof(relay_model_t, display_name), 1,
         RELAY_CONFIG_TEXT_MAX},
        {"owned_by", relay_config_read_text, offsetof(relay_model_t, owned_by), 1,
         RELAY_CONFIG_TEXT_MAX},
        {"created", relay_config_read_u64, offsetof(relay_model_t, created_s), 0,
         RELAY_CONFIG_NUMBER_MAX},
        {"context_tokens", relay_config_read_u64, offsetof(relay_model_t, context_tokens), 1,
         RELAY_CONFIG_NUMBER_MAX},
        {"output_tokens", relay_config_read_u64, offsetof(relay_model_t, output_tokens), 1,
         RELAY_CONFIG_NUMBER_MAX},
        {"aliases", check_aliases, 0, 0, 0},
        {"offers", read_offers, 0, 0, 0},
    };

    return RELAY_CONFIG_OBJECT(reader, node, fields, target);
}
