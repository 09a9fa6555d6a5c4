/*
 * The table of wire formats and the paths that lead to them: see wire.h. Adding
 * a format is one line in `wires` beside its own file.
 */

#include "wire_anthropic.h"
#include "wire_echo.h"
#include "wire_openai.h"

static const relay_wire_t *const wires[] = {
    &relay_wire_openai_chat,
    &relay_wire_openai_responses,
    &relay_wire_openai_embeddings,
    &relay_wire_anthropic_messages,
};

/* The first one answers where nothing else tells. */
static const relay_dialect_t *const dialects[] = {
    &relay_dialect_openai,
    &relay_dialect_anthropic,
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

/* A base URL that ends in the version is often given to a client that adds it
 * again: the second one is dropped. */
static bool take_version(relay_span_t *path)
{
    relay_span_t version = RELAY_SPAN("/v1");

    return take(path, version) && (take(path, version) || true);
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

static bool match_wires(relay_match_t *match, relay_span_t path)
{
    for (size_t i = 0; i < COUNT(wires); i++) {
        if (relay_span_eq(path, wires[i]->path)) {
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

void relay_wire_match(relay_span_t path, const relay_dialect_t *hint, relay_match_t *match)
{
    const relay_dialect_t *named = take_dialect(&path);
    bool versioned = take_version(&path);

    *match = (relay_match_t){.dialect = named != NULL  ? named
                                        : hint != NULL ? hint
                                                       : dialects[0],
                             .explicit_dialect = named != NULL};
    if (!versioned && (named == NULL || has_version(path))) {
        return;
    }
    if (match_models(match, without_slash(path)) || match_wires(match, without_slash(path))) {
        return;
    }
    if (path.len > 1 && !climbs(path)) {
        match->rest = path;
    }
}
