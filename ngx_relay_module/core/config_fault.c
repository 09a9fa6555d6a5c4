/*
 * What is wrong in a configuration document, where, and what was probably
 * meant: see config_read.h. Runs once, before the document is refused.
 */

#include "config_read.h"
#include "utf8.h"

#include <stdarg.h>
#include <stdio.h>

/* ---- where ---------------------------------------------------------------- */

/* For messages: as much of text as fits into limit bytes of whole characters. */
static relay_span_t shorten(relay_span_t text, size_t limit)
{
    if (text.len > limit) {
        text.len = relay_utf8_valid(relay_span(text.base, limit));
    }
    return text;
}

static bool is_identifier(relay_span_t text)
{
    for (size_t i = 0; i < text.len; i++) {
        uint8_t byte = text.base[i], letter = byte | 0x20;
        if (!(letter >= 'a' && letter <= 'z') && !(byte >= '0' && byte <= '9') && byte != '_' &&
            byte != '-' && byte != '$') {
            return false;
        }
    }
    return text.len != 0;
}

/* .name, or ["name"] if it has other characters; as written, so never a control. */
static void put_name(relay_buf_t *path, relay_span_t written)
{
    relay_span_t name = relay_span(written.base + 1, written.len - 2);
    bool plain = is_identifier(name);

    if (!plain || path->len != 0) {
        relay_buf_put(path, plain ? RELAY_SPAN(".") : RELAY_SPAN("[\""));
    }
    relay_buf_put(path, shorten(name, RELAY_CONFIG_NAME_MAX));
    if (name.len > RELAY_CONFIG_NAME_MAX) {
        RELAY_PUT(path, "...");
    }
    relay_buf_put(path, plain ? RELAY_SPAN("") : RELAY_SPAN("\"]"));
}

static void put_index(relay_buf_t *path, size_t index)
{
    RELAY_PUT(path, "[");
    relay_buf_put_u64(path, index);
    RELAY_PUT(path, "]");
}

/* One step from *container towards target: puts it and moves *container. True
 * if target is the name of a member: there the path ends. */
static bool step(const relay_config_source_t *source, uint32_t *container, uint32_t target,
                 relay_buf_t *path)
{
    bool object = source->tokens[*container].type == RELAY_JSON_OBJECT;
    uint32_t value = *container + 1 + object;
    size_t index = 0;

    while (source->tokens[value].next <= target) {
        value = source->tokens[value].next + object;
        index++;
    }
    *container = value;
    if (object) {
        put_name(path, relay_config_written((relay_config_node_t){source, value - 1}));
    } else {
        put_index(path, index);
    }
    return target < value;
}

static void put_path(relay_config_node_t at, relay_buf_t *path)
{
    uint32_t container = 0;

    while (container != at.token) {
        if (step(at.source, &container, at.token, path)) {
            return;
        }
    }
}

/* The fault's texts are zeroed before; whatever was cut stays whole characters. */
static void finish_text(char *text, size_t size)
{
    size_t valid = relay_utf8_valid(relay_span(text, strlen(text)));

    memset(text + valid, 0, size - valid);
}

static void locate(relay_config_reader_t *reader, const relay_config_source_t *source,
                   size_t offset)
{
    relay_config_fault_t *fault = reader->fault;

    memset(fault, 0, sizeof(*fault));
    fault->document = source->name;
    relay_json_position(source->text, offset, &fault->line, &fault->column);
}

bool relay_config_refuse(relay_config_reader_t *reader, relay_config_node_t at, const char *format,
                         ...)
{
    relay_config_fault_t *fault = reader->fault;
    relay_buf_t path = relay_buf(fault->path, sizeof(fault->path) - 1);
    va_list arguments;

    locate(reader, at.source, relay_config_token(at)->offset);
    put_path(at, &path);
    finish_text(fault->path, sizeof(fault->path));
    va_start(arguments, format);
    vsnprintf(fault->message, sizeof(fault->message), format, arguments);
    va_end(arguments);
    finish_text(fault->message, sizeof(fault->message));
    return false;
}

bool relay_config_refuse_offset(relay_config_reader_t *reader, const relay_config_source_t *source,
                                size_t offset, const char *message)
{
    locate(reader, source, offset);
    snprintf(reader->fault->message, sizeof(reader->fault->message), "%s", message);
    return false;
}

void relay_config_no_memory(relay_config_reader_t *reader)
{
    memset(reader->fault, 0, sizeof(*reader->fault));
    reader->fault->line = 1;
    reader->fault->column = 1;
    snprintf(reader->fault->message, sizeof(reader->fault->message), "out of memory");
}

const char *relay_config_quote(relay_span_t text, char quoted[RELAY_CONFIG_QUOTE_MAX])
{
    relay_span_t shown = shorten(text, RELAY_CONFIG_NAME_MAX);
    relay_buf_t out = relay_buf(quoted, RELAY_CONFIG_QUOTE_MAX - 1);

    memset(quoted, 0, RELAY_CONFIG_QUOTE_MAX);
    RELAY_PUT(&out, "\"");
    for (size_t i = 0; i < shown.len; i++) {
        uint8_t byte = shown.base[i];
        relay_buf_put_byte(&out, byte < ' ' || byte == 0x7f ? '?' : byte);
    }
    relay_buf_put(&out, shown.len < text.len ? RELAY_SPAN("...\"") : RELAY_SPAN("\""));
    return quoted;
}

relay_config_node_t relay_config_key(relay_config_node_t value)
{
    return (relay_config_node_t){value.source, value.token - 1};
}

/* ---- what was meant ------------------------------------------------------- */

static uint8_t folded(uint8_t byte)
{
    return byte >= 'A' && byte <= 'Z' ? byte | 0x20 : byte;
}

static unsigned least(unsigned a, unsigned b)
{
    return a < b ? a : b;
}

/*
 * Insertions, deletions, replacements and swaps of neighbours that turn a into
 * b (optimal string alignment); neither is longer than RELAY_CONFIG_NAME_MAX.
 */
static unsigned distance(relay_span_t a, relay_span_t b)
{
    unsigned rows[3][RELAY_CONFIG_NAME_MAX + 1] = {{0}};

    for (unsigned j = 0; j <= b.len; j++) {
        rows[0][j] = j;
    }
    for (size_t i = 1; i <= a.len; i++) {
        unsigned *row = rows[i % 3];
        const unsigned *above = rows[(i + 2) % 3], *before = rows[(i + 1) % 3];
        row[0] = (unsigned)i;
        for (size_t j = 1; j <= b.len; j++) {
            uint8_t x = folded(a.base[i - 1]), y = folded(b.base[j - 1]);
            row[j] = least(least(above[j], row[j - 1]) + 1, above[j - 1] + (x != y));
            if (i > 1 && j > 1 && x == folded(b.base[j - 2]) && folded(a.base[i - 2]) == y) {
                row[j] = least(row[j], before[j - 2] + 1);
            }
        }
    }
    return rows[a.len % 3][b.len];
}

static relay_span_t name_at(relay_config_names_t names, size_t index)
{
    const uint8_t *item = (const uint8_t *)names.base + index * names.size;

    return *(const relay_span_t *)(const void *)item;
}

/* How far a name is from what was given; a missing or extra end counts as one step. */
static unsigned far_from(relay_span_t given, relay_span_t name)
{
    if (name.len > RELAY_CONFIG_NAME_MAX) {
        return UINT32_MAX;
    }
    if (given.len >= 3 && (relay_span_starts(name, given) || relay_span_starts(given, name))) {
        return 1;
    }
    return distance(given, name);
}

/* The nearest name, or an empty span if none comes near. */
static relay_span_t nearest(relay_span_t given, relay_config_names_t names)
{
    relay_span_t found = relay_span(NULL, 0);
    unsigned best = (unsigned)(given.len < 4 ? 2 : 2 + given.len / 4); /* and nearer */

    if (given.len > RELAY_CONFIG_NAME_MAX) {
        return found;
    }
    for (size_t i = 0; i < names.count; i++) {
        relay_span_t name = name_at(names, i);
        unsigned far = far_from(given, name);
        if (far < best && far < name.len) {
            found = name;
            best = far;
        }
    }
    return found;
}

enum { LISTED_MAX = 16 };

static void list_names(relay_buf_t *out, relay_config_names_t names)
{
    size_t listed = names.count < LISTED_MAX ? names.count : LISTED_MAX;
    char quoted[RELAY_CONFIG_QUOTE_MAX];

    relay_buf_put(out, names.count != 0 ? RELAY_SPAN("known: ") : RELAY_SPAN("there are none"));
    for (size_t i = 0; i < listed; i++) {
        const char *name = relay_config_quote(name_at(names, i), quoted);
        if (i != 0) {
            RELAY_PUT(out, ", ");
        }
        relay_buf_put(out, relay_span(name + 1, strlen(name) - 2));
    }
    if (listed < names.count) {
        RELAY_PUT(out, " and ");
        relay_buf_put_u64(out, names.count - listed);
        RELAY_PUT(out, " more");
    }
}

bool relay_config_unknown(relay_config_reader_t *reader, relay_config_node_t at, const char *what,
                          relay_span_t given, relay_config_names_t names)
{
    relay_span_t meant = nearest(given, names);
    char quoted[RELAY_CONFIG_QUOTE_MAX], other[RELAY_CONFIG_QUOTE_MAX];
    char list[384] = "";
    relay_buf_t out = relay_buf(list, sizeof(list) - 1);

    if (meant.len != 0) {
        return relay_config_refuse(reader, at, "there is no %s %s; did you mean %s?", what,
                                   relay_config_quote(given, quoted),
                                   relay_config_quote(meant, other));
    }
    list_names(&out, names);
    return relay_config_refuse(reader, at, "there is no %s %s; %s", what,
                               relay_config_quote(given, quoted), list);
}
