/*
 * The table of wire formats and the paths that lead to them: see wire.h. Adding
 * a format is one line in `wires` beside its own file.
 */

#include "wire_anthropic.h"
#include "wire_bedrock_converse.h"
#include "wire_echo.h"
#include "wire_embed.h"
#include "wire_gemini.h"
#include "wire_openai.h"

static const relay_wire_t *const wires[] = {
    &relay_wire_openai_chat,          &relay_wire_openai_responses,
    &relay_wire_openai_embeddings,    &relay_wire_anthropic_messages,
    &relay_wire_bedrock_converse,     &relay_wire_gemini,
    &relay_wire_gemini_embed,         &relay_wire_vertex_embed,
    &relay_wire_bedrock_titan_embed,  &relay_wire_cohere_embed,
    &relay_wire_vertex_embed_content,
};

/* The first one answers where nothing else tells. */
static const relay_dialect_t *const dialects[] = {
    &relay_dialect_openai,
    &relay_dialect_anthropic,
    &relay_dialect_gemini,
};

static const struct {
    relay_span_t path;
    const relay_wire_t *wire;
    relay_echo_writer_t *echo;
} auxiliaries[] = {
    {RELAY_SPAN_INIT("/responses/input_tokens"), &relay_wire_openai_responses,
     relay_echo_count_input},
    {RELAY_SPAN_INIT("/responses/compact"), &relay_wire_openai_responses, NULL},
    {RELAY_SPAN_INIT("/messages/count_tokens"), &relay_wire_anthropic_messages,
     relay_echo_count_messages},
};

/* What follows the name in "/models/NAME:method". A name may hold colons itself, so
 * methods that Relay has nothing to do with are listed, too. */
static const struct {
    relay_span_t name;
    relay_operation_t operation;
    bool streaming;
    const relay_wire_t *wire;
    relay_echo_writer_t *echo; /* NULL: the format's own if it generates */
} methods[] = {
    {RELAY_SPAN_INIT("generateContent"), RELAY_OP_GENERATE, false, &relay_wire_gemini, NULL},
    {RELAY_SPAN_INIT("streamGenerateContent"), RELAY_OP_GENERATE, true, &relay_wire_gemini, NULL},
    {RELAY_SPAN_INIT("countTokens"), RELAY_OP_AUXILIARY, false, &relay_wire_gemini,
     relay_gemini_echo_count},
    {RELAY_SPAN_INIT("embedContent"), RELAY_OP_NONE, false, &relay_wire_gemini, NULL},
    {RELAY_SPAN_INIT("batchEmbedContents"), RELAY_OP_NONE, false, &relay_wire_gemini, NULL},
    {RELAY_SPAN_INIT("asyncBatchEmbedContent"), RELAY_OP_NONE, false, &relay_wire_gemini, NULL},
    {RELAY_SPAN_INIT("batchGenerateContent"), RELAY_OP_NONE, false, &relay_wire_gemini, NULL},
    {RELAY_SPAN_INIT("predict"), RELAY_OP_NONE, false, &relay_wire_gemini, NULL},
    {RELAY_SPAN_INIT("predictLongRunning"), RELAY_OP_NONE, false, &relay_wire_gemini, NULL},
};

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

const relay_wire_t *relay_wire_at(unsigned index)
{
    return index < COUNT(wires) ? wires[index] : NULL;
}

const relay_wire_t *relay_wire_find(relay_span_t name)
{
    for (size_t i = 0; i < COUNT(wires); i++) {
        if (relay_span_eq(wires[i]->name, name)) {
            return wires[i];
        }
    }
    return NULL;
}

const relay_dialect_t *relay_dialect_at(unsigned index)
{
    return index < COUNT(dialects) ? dialects[index] : NULL;
}

/* ---- paths --------------------------------------------------------------- */

/* Takes whole segments, two bytes at least, off the front of *path. */
static inline bool take(relay_span_t *path, relay_span_t segments)
{
    /* most differ in the first letter: no call for those */
    if (path->len < segments.len || path->base[1] != segments.base[1]) {
        return false;
    }
    if (!relay_span_starts(*path, segments) ||
        (path->len > segments.len && path->base[segments.len] != '/')) {
        return false;
    }
    *path = relay_span_from(*path, segments.len);
    return true;
}

static const relay_dialect_t *take_dialect(relay_span_t *path)
{
    for (size_t i = 0; i < COUNT(dialects); i++) {
        if (take(path, dialects[i]->prefix)) {
            return dialects[i];
        }
    }
    return NULL;
}

/* A version that only one dialect has binds the path to it. */
static bool take_one_version(const relay_dialect_t **bound, relay_span_t *path)
{
    if (take(path, RELAY_SPAN("/v1"))) {
        return true;
    }
    for (size_t i = 0; i < COUNT(dialects); i++) {
        if ((*bound == NULL || *bound == dialects[i]) && dialects[i]->own_version.len != 0 &&
            take(path, dialects[i]->own_version)) {
            *bound = dialects[i];
            return true;
        }
    }
    return false;
}

/* A base URL that ends in the version is often given to a client that adds it
 * again: the second one is dropped. */
static bool take_version(const relay_dialect_t **bound, relay_span_t *path)
{
    return take_one_version(bound, path) && (take_one_version(bound, path) || true);
}

/* Whether the first segment is a version of any kind: "/v3", "/v1beta", "/v2.1". */
static bool has_version(relay_span_t path)
{
    size_t at = 3;

    if (path.len < at || path.base[0] != '/' || path.base[1] != 'v' || path.base[2] < '0' ||
        path.base[2] > '9') {
        return false;
    }
    while (at < path.len && path.base[at] != '/') {
        uint8_t byte = path.base[at++];
        if (byte != '.' && (byte < '0' || byte > '9') && (byte < 'a' || byte > 'z')) {
            return false;
        }
    }
    return true;
}

static relay_span_t without_slash(relay_span_t path)
{
    return path.len != 0 && path.base[path.len - 1] == '/' ? relay_span(path.base, path.len - 1)
                                                           : path;
}

static bool match_models(relay_match_t *match, relay_span_t path)
{
    relay_span_t models = RELAY_SPAN("/models");

    if (!take(&path, models)) {
        return false;
    }
    match->get = true;
    match->operation = path.len > 1 ? RELAY_OP_MODEL : RELAY_OP_MODEL_LIST;
    match->rest = path.len > 1 ? relay_span_from(path, 1) : models;
    return true;
}

/* A bare path decides its dialect; under a prefix only that dialect's count. */
static bool accept(relay_match_t *match, relay_operation_t operation, const relay_wire_t *wire,
                   relay_echo_writer_t *echo, relay_span_t path)
{
    if (match->explicit_dialect && match->dialect != wire->dialect) {
        return false;
    }
    match->dialect = wire->dialect;
    match->operation = operation;
    match->wire = wire;
    match->echo = echo;
    match->rest = path;
    return true;
}

/* "{model}" in the path of a format stands for a name, and is none. */
static bool names_model(relay_span_t path)
{
    return memchr(path.base, '{', path.len) != NULL;
}

static bool match_wires(relay_match_t *match, relay_span_t path)
{
    for (size_t i = 0; i < COUNT(wires); i++) {
        if (relay_span_eq(path, wires[i]->path) && !names_model(path)) {
            return accept(match, RELAY_OP_GENERATE, wires[i], wires[i]->echo, path);
        }
    }
    for (size_t i = 0; i < COUNT(auxiliaries); i++) {
        if (relay_span_eq(path, auxiliaries[i].path)) {
            return accept(match, RELAY_OP_AUXILIARY, auxiliaries[i].wire, auxiliaries[i].echo,
                          path);
        }
    }
    return false;
}

/* The character at *at, percent-decoded; advances *at. */
static uint8_t path_byte(relay_span_t path, size_t *at)
{
    uint8_t byte = path.base[(*at)++];
    unsigned value = 0;

    if (byte != '%' || path.len - *at < 2) {
        return byte;
    }
    for (size_t i = 0; i < 2; i++) {
        uint8_t digit = path.base[*at + i];
        uint8_t letter = digit | 0x20;
        if (digit >= '0' && digit <= '9') {
            value = value * 16 + (digit - '0');
        } else if (letter >= 'a' && letter <= 'f') {
            value = value * 16 + (letter - 'a') + 10;
        } else {
            return byte;
        }
    }
    *at += 2;
    return (uint8_t)value;
}

/* A segment "." or "..", however written: the path would climb out of the
 * version that it is sent under. */
static bool climbs(relay_span_t path)
{
    size_t dots = 0;
    bool only_dots = true;

    for (size_t at = 0; at < path.len;) {
        uint8_t byte = path_byte(path, &at);
        if (byte == '/' || byte == '\\') {
            if (only_dots && (dots == 1 || dots == 2)) {
                return true;
            }
            dots = 0;
            only_dots = true;
        } else if (byte == '.') {
            dots++;
        } else {
            only_dots = false;
        }
    }
    return only_dots && (dots == 1 || dots == 2);
}

/* What stands before ":method", the colon percent-encoded or not. */
static bool take_method(relay_span_t text, relay_span_t method, relay_span_t *name)
{
    relay_span_t colon = RELAY_SPAN(":"), encoded = RELAY_SPAN("%3a");

    if (text.len <= method.len ||
        !relay_span_eq(relay_span_from(text, text.len - method.len), method)) {
        return false;
    }
    text.len -= method.len;
    if (relay_span_eq(relay_span_from(text, text.len - colon.len), colon)) {
        *name = relay_span(text.base, text.len - colon.len);
        return true;
    }
    if (text.len < encoded.len ||
        !relay_span_case_eq(relay_span_from(text, text.len - encoded.len), encoded)) {
        return false;
    }
    *name = relay_span(text.base, text.len - encoded.len);
    return true;
}

static bool accept_method(relay_match_t *match, size_t row, relay_span_t path, relay_span_t name)
{
    const relay_wire_t *wire = methods[row].wire;
    relay_operation_t operation = name.len != 0 ? methods[row].operation : RELAY_OP_NONE;

    if (!accept(match, operation, wire,
                operation == RELAY_OP_GENERATE ? wire->echo : methods[row].echo, path)) {
        return false;
    }
    if (operation == RELAY_OP_NONE) {
        match->wire = NULL;
        match->echo = NULL;
        match->rest.len = climbs(path) ? 0 : path.len;
        return true;
    }
    match->model = name;
    match->method = methods[row].name;
    match->streaming = methods[row].streaming;
    return true;
}

static bool match_methods(relay_match_t *match, relay_span_t path)
{
    relay_span_t text = path, name;

    if (!take(&text, RELAY_SPAN("/models")) || text.len < 2) {
        return false;
    }
    text = relay_span_from(text, 1);
    for (size_t i = 0; i < COUNT(methods); i++) {
        if (take_method(text, methods[i].name, &name)) {
            return accept_method(match, i, path, name);
        }
    }
    return false;
}

void relay_wire_match(relay_span_t path, const relay_dialect_t *hint, relay_match_t *match)
{
    const relay_dialect_t *named = take_dialect(&path), *bound = named;
    bool versioned = take_version(&bound, &path);

    *match = (relay_match_t){.dialect = bound != NULL  ? bound
                                        : hint != NULL ? hint
                                                       : dialects[0],
                             .explicit_dialect = bound != NULL};
    if (!versioned && (named == NULL || has_version(path))) {
        return;
    }
    if (match_methods(match, without_slash(path)) || match_models(match, without_slash(path)) ||
        match_wires(match, without_slash(path))) {
        return;
    }
    if (path.len > 1 && !climbs(path)) {
        match->rest = path;
    }
}

/* ---- queries ------------------------------------------------------------- */

/* Takes the next "name=value" off a query; false at its end. */
static bool take_pair(relay_span_t *query, relay_span_t *pair)
{
    const uint8_t *end = query->len != 0 ? memchr(query->base, '&', query->len) : NULL;
    size_t length = end != NULL ? (size_t)(end - query->base) : query->len;

    if (query->len == 0) {
        return false;
    }
    *pair = relay_span(query->base, length);
    *query = relay_span_from(*query, end != NULL ? length + 1 : length);
    return true;
}

bool relay_wire_query(relay_span_t query, relay_span_t name, relay_span_t *value)
{
    relay_span_t pair;

    while (take_pair(&query, &pair)) {
        if (relay_span_starts(pair, name) && (pair.len == name.len || pair.base[name.len] == '=')) {
            *value = relay_span_from(pair, pair.len == name.len ? name.len : name.len + 1);
            return true;
        }
    }
    return false;
}

/* Where the parameter that starts at `at` ends. */
static size_t parameter_end(relay_span_t line, size_t at)
{
    while (at < line.len && line.base[at] != '&' && line.base[at] != ' ') {
        at++;
    }
    return at;
}

/* The length of "name=" if the parameter is one that may hold a key, else that of all. */
static size_t shown_of(relay_span_t parameter)
{
    for (size_t i = 0; i < COUNT(dialects); i++) {
        relay_span_t name = dialects[i]->key_query;
        if (name.len != 0 && relay_span_starts(parameter, name) && parameter.len > name.len &&
            parameter.base[name.len] == '=') {
            return name.len + 1;
        }
    }
    return parameter.len;
}

static size_t line_end(relay_span_t text)
{
    size_t at = 0;

    while (at < text.len && text.base[at] != '\r' && text.base[at] != '\n') {
        at++;
    }
    return at;
}

void relay_wire_put_redacted(relay_buf_t *out, relay_span_t line)
{
    const uint8_t *question;
    size_t at, end;

    line.len = line_end(line);
    question = line.len != 0 ? memchr(line.base, '?', line.len) : NULL;
    at = question != NULL ? (size_t)(question - line.base) + 1 : line.len;
    relay_buf_put(out, relay_span(line.base, at));
    for (; at < line.len; at = end) {
        size_t shown;
        end = parameter_end(line, at);
        shown = shown_of(relay_span(line.base + at, end - at));
        relay_buf_put(out, relay_span(line.base + at, shown));
        relay_buf_put(out, shown < end - at ? RELAY_SPAN("***") : relay_span(NULL, 0));
        if (end < line.len) {
            relay_buf_put_byte(out, line.base[end++]);
        }
    }
}

bool relay_wire_wants_list(const relay_dialect_t *dialect, relay_span_t query)
{
    relay_span_t pair;

    while (take_pair(&query, &pair)) {
        if (relay_span_eq(pair, dialect->events_query)) {
            return false;
        }
    }
    return dialect->events_query.len != 0;
}
