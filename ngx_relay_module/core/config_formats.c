/*
 * The formats of a host: which it speaks, in which variant, under which paths.
 * Called by config_host, when the host's URL and variables are known.
 *
 * Several names may mean one format: the plain one, a variant, and for either
 * the path of its streams alone ("NAME-stream"). A slot gathers what is said of
 * one format; the plain name wins over a variant.
 */

#include "config_read.h"
#include "url.h"

/* A path: under the host's base path, or from the root on. */
typedef struct {
    relay_span_t text; /* empty: not said */
    bool rooted;
} path_t;

typedef struct {
    const relay_variant_t *variant; /* NULL: the host does not speak the format */
    relay_config_node_t at;         /* what named it first */
    bool said[2];                   /* by [false]: its name, [true]: that of its streams */
    path_t paths[2];                /* the same; not said, or empty: the variant's own */
} slot_t;

typedef struct {
    relay_config_reader_t *reader;
    relay_host_t *host;
    slot_t slots[RELAY_FORMATS_MAX];
} formats_t;

/* ---- paths ---------------------------------------------------------------- */

/* Bytes of a path with something harmless in place of {model}. */
static relay_span_t without_model(relay_span_t path, uint8_t room[RELAY_URL_MAX])
{
    relay_span_t model = RELAY_SPAN("{model}");
    relay_buf_t out = relay_buf(room, RELAY_URL_MAX);

    while (path.len != 0) {
        bool here = relay_span_starts(path, model);
        relay_buf_put_byte(&out, here ? 'm' : path.base[0]);
        path = relay_span_from(path, here ? model.len : 1);
    }
    return relay_buf_span(&out);
}

/* NULL, or what is wrong with a path, behind which a query may stand. */
static const char *path_fault(relay_span_t path)
{
    uint8_t room[RELAY_URL_MAX], *mark;
    relay_span_t plain = without_model(path, room);
    size_t rest;

    if (plain.len != 0 && memchr(room, '#', plain.len) != NULL) {
        return "a path has no fragment (#)";
    }
    mark = plain.len != 0 ? memchr(room, '?', plain.len) : NULL;
    if (mark == NULL || mark == room) {
        return relay_url_path_fault(plain);
    }
    rest = plain.len - (size_t)(mark - room);
    if (memchr(mark + 1, '?', rest - 1) != NULL) {
        return "a path has one query (?) at most";
    }
    plain.len -= rest;
    *mark = '/'; /* a query is checked as a path is */
    return relay_url_path_fault(plain) != NULL ? relay_url_path_fault(plain)
                                               : relay_url_path_fault(relay_span(mark, rest));
}

/* In the catalog, *usable is false for a path with a variable that has no value. */
static bool read_path(relay_config_reader_t *reader, relay_config_node_t value, relay_span_t *path,
                      bool *usable)
{
    const char *fault;

    if (!relay_config_filled(reader, value, path, usable)) {
        return false;
    }
    fault = *usable ? path_fault(*path) : NULL;
    return fault == NULL || relay_config_refuse(reader, value, "%s", fault);
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

static bool is_below(relay_span_t path, relay_span_t base)
{
    return relay_span_starts(path, base) && path.len > base.len && path.base[base.len] == '/';
}

/* ---- base URLs of formats ------------------------------------------------- */

/* NULL, or why a format cannot be under this URL. A host without a URL of its own is
 * refused anyway. */
static const char *base_fault(const relay_host_t *host, const relay_url_t *url)
{
    if (host->server_name.len == 0) {
        return NULL;
    }
    return url->tls != host->tls || url->port != host->port ||
                   !relay_span_case_eq(url->host, host->server_name)
               ? "the base URL of a format has scheme, name and port of the host's"
               : NULL;
}

/*
 * A format under a base URL of its own becomes a path like any other: under the
 * host's base path, or from the root on; a host that passes unknown paths on needs
 * its base path. In the catalog, *usable is false for what cannot be.
 */
static bool fold(formats_t *formats, relay_config_node_t at, path_t *path, bool *usable)
{
    const relay_host_t *host = formats->host;
    relay_span_t text, whole;
    relay_url_t url;
    const char *why;

    if (!relay_config_filled(formats->reader, at, &text, usable)) {
        return false;
    }
    if (!*usable) {
        return true;
    }
    why = relay_url_parse(text, &url);
    if (why != NULL) {
        return relay_config_refuse(formats->reader, at, "%s", why);
    }
    if (!join(formats->reader, url.path, path->text, &whole)) {
        return false;
    }
    path->rooted = !is_below(whole, host->base_path);
    path->text = path->rooted ? whole : relay_span_from(whole, host->base_path.len);
    why = base_fault(host, &url);
    if (why == NULL && path->rooted && host->passthrough) {
        why = "with \"passthrough\", all formats are below the base URL of the host";
    }
    *usable = why == NULL;
    return *usable || at.source->catalog || relay_config_refuse(formats->reader, at, "%s", why);
}

/* What a host says of one name. */
typedef struct {
    relay_config_node_t path; /* source NULL: nothing */
    relay_config_node_t base_url;
} endpoint_t;

static bool read_node(relay_config_reader_t *reader, relay_config_node_t value,
                      const relay_config_field_t *field, void *target)
{
    (void)field;
    *(relay_config_node_t *)target = value;
    return relay_config_expect(reader, value, RELAY_JSON_STRING, "a string");
}

static bool read_endpoint(relay_config_reader_t *reader, relay_config_node_t value,
                          endpoint_t *endpoint)
{
    static const relay_config_field_t fields[] = {
        {"path", read_node, offsetof(endpoint_t, path), 0, 0},
        {"base_url", read_node, offsetof(endpoint_t, base_url), 0, 0},
    };

    *endpoint = (endpoint_t){{0}, {0}};
    if (relay_config_type(value) == RELAY_JSON_STRING) {
        endpoint->path = value;
        return true;
    }
    return relay_config_expect(reader, value, RELAY_JSON_OBJECT,
                               "a path, or an object with \"path\" and \"base_url\"") &&
           RELAY_CONFIG_OBJECT(reader, value, fields, endpoint);
}

/* The path that value gives; own: what it is if nothing is said of it. */
static bool find_path(formats_t *formats, relay_config_node_t value, relay_span_t own, path_t *path,
                      bool *usable)
{
    endpoint_t endpoint;

    *path = (path_t){own, false};
    *usable = true;
    if (!read_endpoint(formats->reader, value, &endpoint)) {
        return false;
    }
    if (endpoint.path.source != NULL &&
        !read_path(formats->reader, endpoint.path, &path->text, usable)) {
        return false;
    }
    return !*usable || endpoint.base_url.source == NULL ||
           fold(formats, endpoint.base_url, path, usable);
}

/* ---- slots ---------------------------------------------------------------- */

static bool is_plain(const relay_variant_t *variant)
{
    return relay_span_eq(variant->name, variant->wire->name);
}

static relay_span_t own_path(const relay_variant_t *variant, bool streams)
{
    return streams && variant->stream_path.len != 0 ? variant->stream_path : variant->path;
}

/* The slot for a variant, or *slot NULL if another name of its format counts. */
static bool take_slot(formats_t *formats, relay_config_node_t at, const relay_variant_t *variant,
                      slot_t **slot)
{
    slot_t *found = &formats->slots[variant->wire->index];
    char quoted[RELAY_CONFIG_QUOTE_MAX];

    *slot = found;
    if (found->variant == variant) {
        return true;
    }
    if (found->variant == NULL || is_plain(variant)) {
        *found = (slot_t){.variant = variant, .at = at};
        return true;
    }
    *slot = NULL;
    return is_plain(found->variant) || at.source->catalog ||
           relay_config_refuse(formats->reader, at, "this is the format %s, which is there already",
                               relay_config_quote(found->variant->name, quoted));
}

/* name: where the format is named; value: what is said of it, or the name again. */
static bool add_format(formats_t *formats, relay_config_node_t name, relay_config_node_t value)
{
    const relay_variant_t *variant;
    bool streams, usable = true;
    path_t path = {0};
    slot_t *slot;

    variant = relay_config_format(formats->reader, name, &streams);
    if (variant == NULL) {
        return name.source->catalog;
    }
    path.text = own_path(variant, streams);
    if (value.token != name.token && !find_path(formats, value, path.text, &path, &usable)) {
        return false;
    }
    if (!usable) {
        return true;
    }
    if (!take_slot(formats, name, variant, &slot)) {
        return false;
    }
    if (slot != NULL) {
        slot->said[streams] = true;
        slot->paths[streams] = path;
    }
    return true;
}

static bool add_formats(formats_t *formats, relay_config_node_t value)
{
    bool array = relay_config_type(value) == RELAY_JSON_ARRAY;
    relay_config_node_t item = {0};

    if (!array && !relay_config_expect(formats->reader, value, RELAY_JSON_OBJECT,
                                       "an array of formats, or an object of formats and their "
                                       "paths")) {
        return false;
    }
    while (relay_config_next(value, &item)) {
        if (array && !relay_config_expect(formats->reader, item, RELAY_JSON_STRING, "a string")) {
            return false;
        }
        if (!add_format(formats, array ? item : relay_config_key(item), item)) {
            return false;
        }
    }
    return true;
}

/* ---- the path that is not said -------------------------------------------- */

/*
 * From what is said of the one, the other: the same if the variant has one path
 * for both, else with the end that the variant gives it. False if it does not have
 * the end that the variant gives.
 */
static bool derive(relay_config_reader_t *reader, const relay_variant_t *variant, bool streams,
                   const path_t *said, path_t *path, bool *known)
{
    relay_span_t end = own_path(variant, !streams), other = own_path(variant, streams);
    size_t before = said->text.len - (said->text.len < end.len ? said->text.len : end.len);
    relay_span_t tail = relay_span_from(said->text, before);

    *known = true;
    *path = *said;
    if (relay_span_eq(end, other)) {
        return true;
    }
    *known = relay_span_eq(tail, end);
    return !*known || join(reader, relay_span(said->text.base, before), other, &path->text);
}

/* Both paths of a slot; in the catalog, the format is not spoken if one is not known. */
static bool complete(formats_t *formats, slot_t *slot)
{
    bool streams = !slot->said[true], known;
    char quoted[RELAY_CONFIG_QUOTE_MAX];

    if (slot->variant == NULL || (slot->said[false] && slot->said[true])) {
        return true;
    }
    if (!derive(formats->reader, slot->variant, streams, &slot->paths[!streams],
                &slot->paths[streams], &known)) {
        return false;
    }
    if (!known && !slot->at.source->catalog) {
        return relay_config_refuse(formats->reader, slot->at,
                                   streams
                                       ? "streams have another path: say it, too, as the format "
                                         "named %s with -stream behind it"
                                       : "answers that are no streams have another path: say "
                                         "it, too, as the format %s",
                                   relay_config_quote(slot->variant->name, quoted));
    }
    if (!known) {
        slot->variant = NULL;
    }
    return true;
}

/* ---- into the host -------------------------------------------------------- */

static bool any_rooted(const formats_t *formats)
{
    for (unsigned i = 0; i < RELAY_FORMATS_MAX; i++) {
        const slot_t *slot = &formats->slots[i];
        if (slot->variant != NULL && (slot->paths[0].rooted || slot->paths[1].rooted)) {
            return true;
        }
    }
    return false;
}

static bool put_path(relay_config_reader_t *reader, relay_span_t base, const path_t *path,
                     relay_span_t *into)
{
    return join(reader, path->rooted ? relay_span(NULL, 0) : base, path->text, into);
}

static bool put_formats(formats_t *formats)
{
    relay_host_t *host = formats->host;
    relay_span_t base = relay_span(NULL, 0);

    if (any_rooted(formats)) { /* all of them are, then */
        base = host->base_path;
        host->base_path = relay_span(NULL, 0);
    }
    for (unsigned i = 0; i < RELAY_FORMATS_MAX; i++) {
        const slot_t *slot = &formats->slots[i];
        if (slot->variant == NULL) {
            continue;
        }
        host->formats |= UINT32_C(1) << i;
        host->variants[i] = slot->variant;
        if (!put_path(formats->reader, base, &slot->paths[false], &host->paths[i]) ||
            !put_path(formats->reader, base, &slot->paths[true], &host->stream_paths[i])) {
            return false;
        }
    }
    return true;
}

bool relay_config_read_formats(relay_config_reader_t *reader, relay_config_node_t value,
                               relay_host_t *host)
{
    formats_t formats = {.reader = reader, .host = host};

    if (!add_formats(&formats, value)) {
        return false;
    }
    for (unsigned i = 0; i < RELAY_FORMATS_MAX; i++) {
        if (!complete(&formats, &formats.slots[i])) {
            return false;
        }
    }
    return put_formats(&formats) &&
           (host->formats != 0 || value.source->catalog ||
            relay_config_refuse(reader, value, "expected at least one format"));
}

void relay_config_all_formats(relay_host_t *host)
{
    for (unsigned i = 0; i < RELAY_FORMATS_MAX && relay_wire_at(i) != NULL; i++) {
        const relay_variant_t *variant = relay_variant_of(relay_wire_at(i));
        if (variant == NULL) {
            continue;
        }
        host->formats |= UINT32_C(1) << i;
        host->variants[i] = variant;
        host->paths[i] = own_path(variant, false);
        host->stream_paths[i] = own_path(variant, true);
    }
}
