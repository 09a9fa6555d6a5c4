/*
 * Variables of a host: what stands for {region}, {project} and the like in its
 * URLs, paths and headers. Called by the other readers of hosts.
 */

#include "config_read.h"
#include "config_text.h"
#include "sort.h"
#include "url.h"

/* ---- values --------------------------------------------------------------- */

static bool is_model(relay_span_t name)
{
    return relay_span_eq(name, RELAY_SPAN("model"));
}

static bool read_variable(relay_config_reader_t *reader, relay_config_node_t value,
                          relay_config_variable_t *variable)
{
    relay_config_node_t key = relay_config_key(value);

    if (!relay_config_string(reader, key, 0, RELAY_CONFIG_VALUE_MAX, &variable->name) ||
        !relay_config_string(reader, value, 1, RELAY_CONFIG_VALUE_MAX, &variable->value)) {
        return false;
    }
    if (!relay_config_variable_ok(variable->name) || variable->name.len > RELAY_CONFIG_NAME_MAX) {
        return relay_config_refuse(reader, key,
                                   "expected the name of a variable: up to %d letters, digits "
                                   "and _",
                                   RELAY_CONFIG_NAME_MAX);
    }
    if (is_model(variable->name)) {
        return relay_config_refuse(reader, key, "{model} is the model of each request");
    }
    return relay_config_ascii(variable->value, false) ||
           relay_config_refuse(reader, value, "expected printable characters without spaces");
}

static int compare_variables(const void *left, const void *right)
{
    const relay_config_variable_t *a = left, *b = right;

    return relay_config_compare(a->name, b->name);
}

bool relay_config_read_variables(relay_config_reader_t *reader, relay_config_node_t host)
{
    relay_config_node_t object, item = {0};
    relay_config_variable_t *variables;
    size_t count;

    reader->variables = NULL;
    reader->nvariables = 0;
    if (relay_config_type(host) != RELAY_JSON_OBJECT ||
        !relay_config_member(host, "variables", &object)) {
        return true;
    }
    if (!relay_config_expect(reader, object, RELAY_JSON_OBJECT, "an object of values by name")) {
        return false;
    }
    count = relay_config_size(object);
    if (count > RELAY_CONFIG_VARIABLES_MAX) {
        return relay_config_refuse(reader, object, "more than %d variables",
                                   RELAY_CONFIG_VARIABLES_MAX);
    }
    variables = relay_config_alloc(reader, count, sizeof(variables[0]));
    for (size_t i = 0; variables != NULL && relay_config_next(object, &item); i++) {
        if (!read_variable(reader, item, &variables[i])) {
            return false;
        }
    }
    if (variables == NULL) {
        return false;
    }
    relay_sort(variables, count, sizeof(variables[0]), compare_variables);
    reader->variables = variables;
    reader->nvariables = count;
    return true;
}

relay_span_t relay_config_variable(const relay_config_reader_t *reader, relay_span_t name)
{
    const relay_config_variable_t *found = relay_config_lookup(
        (relay_config_names_t){reader->variables, reader->nvariables, sizeof(reader->variables[0])},
        name);

    return found != NULL ? found->value : relay_span(NULL, 0);
}

/* ---- texts ---------------------------------------------------------------- */

/* The name of the placeholder that starts at i; empty if none does. */
static relay_span_t placeholder(relay_span_t text, size_t i)
{
    const uint8_t *end;
    relay_span_t name;

    if (text.base[i] != '{') {
        return relay_span(NULL, 0);
    }
    end = memchr(text.base + i, '}', text.len - i);
    if (end == NULL) {
        return relay_span(NULL, 0);
    }
    name = relay_span(text.base + i + 1, (size_t)(end - text.base) - i - 1);
    return relay_config_variable_ok(name) ? name : relay_span(NULL, 0);
}

bool relay_config_unset(const relay_config_reader_t *reader, relay_span_t text, relay_span_t *name)
{
    for (size_t i = 0; i < text.len; i++) {
        *name = placeholder(text, i);
        if (name->len != 0 && !is_model(*name) && relay_config_variable(reader, *name).len == 0) {
            return true;
        }
    }
    return false;
}

static void put_filled(const relay_config_reader_t *reader, relay_span_t text, relay_buf_t *out)
{
    for (size_t i = 0; i < text.len;) {
        relay_span_t name = placeholder(text, i);
        relay_span_t value = relay_config_variable(reader, name);
        if (value.len != 0) {
            relay_buf_put(out, value);
            i += name.len + 2;
        } else {
            relay_buf_put_byte(out, text.base[i++]);
        }
    }
}

bool relay_config_fill(relay_config_reader_t *reader, relay_span_t text, relay_span_t *filled)
{
    relay_buf_t out = relay_buf(NULL, 0);

    *filled = text;
    if (text.len == 0 || memchr(text.base, '{', text.len) == NULL) {
        return true;
    }
    put_filled(reader, text, &out);
    out = relay_buf(relay_config_alloc(reader, out.len, 1), out.len);
    if (out.base == NULL) {
        return false;
    }
    put_filled(reader, text, &out);
    *filled = relay_buf_span(&out);
    return true;
}

bool relay_config_filled(relay_config_reader_t *reader, relay_config_node_t value,
                         relay_span_t *text, bool *usable)
{
    char quoted[RELAY_CONFIG_QUOTE_MAX];
    relay_span_t unset, written;

    *usable = true;
    if (!relay_config_string(reader, value, 0, RELAY_URL_MAX, &written)) {
        return false;
    }
    if (relay_config_unset(reader, written, &unset)) {
        *usable = false;
        return value.source->catalog ||
               relay_config_refuse(reader, value, "the host's \"variables\" have no %s",
                                   relay_config_quote(unset, quoted));
    }
    return relay_config_fill(reader, written, text) &&
           (text->len <= RELAY_URL_MAX ||
            relay_config_refuse(reader, value, "longer than %d bytes", RELAY_URL_MAX));
}
