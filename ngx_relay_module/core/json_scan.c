/*
 * The strict scan of a whole document and the fast walks over text that it has
 * accepted. Callers: the request envelope (every request), the observers (every
 * stream event and answer).
 */

#include "json_lex.h"

/* ---- the members a caller asks for --------------------------------------- */

typedef struct {
    const relay_span_t *keys;
    size_t count;
    uint64_t lengths; /* bit n: some key is n bytes long (63 stands for more) */
    relay_json_value_t *values;
} wanted_t;

static uint64_t length_bit(size_t length)
{
    return UINT64_C(1) << (length < 63 ? length : 63);
}

static wanted_t wanted(const relay_span_t *keys, size_t count, relay_json_value_t *values)
{
    wanted_t want = {keys, count, 0, values};

    for (size_t i = 0; i < count; i++) {
        want.lengths |= length_bit(keys[i].len);
        values[i] = (relay_json_value_t){RELAY_JSON_ABSENT, {NULL, 0}};
    }
    return want;
}

/* Index of the key written as string, quotes included; count if it is not wanted. */
static size_t find_plain(const wanted_t *want, relay_span_t string)
{
    relay_span_t name = relay_span(string.base + 1, string.len - 2);
    size_t i = 0;

    if ((want->lengths & length_bit(name.len)) == 0) {
        return want->count;
    }
    while (i < want->count && !relay_span_eq(want->keys[i], name)) {
        i++;
    }
    return i;
}

static size_t find_escaped(const wanted_t *want, relay_span_t string)
{
    size_t i = 0;

    while (i < want->count && !relay_json_spells(string, want->keys[i])) {
        i++;
    }
    return i;
}

/* ---- the strict scan ----------------------------------------------------- */

/*
 * What the grammar allows next inside nested containers:
 *
 *   '[' ─► FIRST_VALUE ─value─► NEXT ─','─► VALUE (array) or KEY (object)
 *   '{' ─► FIRST_KEY ──key:───► VALUE ─value─► NEXT
 *
 * A closing bracket is allowed in FIRST_VALUE, FIRST_KEY and NEXT; it leads to
 * NEXT of the container around.
 */
typedef enum { FIRST_VALUE, VALUE, FIRST_KEY, KEY, NEXT } state_t;

static const uint8_t *lex_key(relay_json_lex_t *lex, const uint8_t *at)
{
    if (*at != '"') {
        return relay_json_unexpected(lex, at);
    }
    at = relay_json_lex_string(lex, at);
    return at != NULL ? relay_json_lex_colon(lex, at) : NULL;
}

/* at: what follows a value, or the bracket that closes an empty container. */
static const uint8_t *close_or_comma(relay_json_lex_t *lex, relay_json_nest_t *nest,
                                     const uint8_t *at, state_t *state)
{
    bool object = relay_json_in_object(nest);

    if (*at == ',') {
        *state = object ? KEY : VALUE;
        return at + 1;
    }
    if (*at != (object ? '}' : ']')) {
        return relay_json_unexpected(lex, at);
    }
    nest->depth--;
    *state = NEXT;
    return at + 1;
}

static const uint8_t *open_or_scalar(relay_json_lex_t *lex, relay_json_nest_t *nest,
                                     const uint8_t *at, state_t *state)
{
    relay_json_type_t type;

    if (*at == '{' || *at == '[') {
        *state = *at == '{' ? FIRST_KEY : FIRST_VALUE;
        return relay_json_open(nest, *at == '{') ? at + 1
                                                 : relay_json_fail(lex, at, RELAY_JSON_DEPTH);
    }
    *state = NEXT;
    return relay_json_lex_scalar(lex, at, &type);
}

static const uint8_t *step(relay_json_lex_t *lex, relay_json_nest_t *nest, const uint8_t *at,
                           state_t *state)
{
    switch (*state) {
    case FIRST_VALUE:
        if (*at == ']') {
            break;
        }
        return open_or_scalar(lex, nest, at, state);
    case VALUE:
        return open_or_scalar(lex, nest, at, state);
    case FIRST_KEY:
        if (*at == '}') {
            break;
        }
        *state = VALUE;
        return lex_key(lex, at);
    case KEY:
        *state = VALUE;
        return lex_key(lex, at);
    case NEXT:
        break;
    }
    return close_or_comma(lex, nest, at, state);
}

/* at: an opening bracket inside `depth` open containers. Ends behind its closing one. */
static const uint8_t *skip_container(relay_json_lex_t *lex, const uint8_t *at, unsigned depth)
{
    relay_json_nest_t nest = {.depth = depth};
    state_t state = VALUE;

    at = open_or_scalar(lex, &nest, at, &state);
    while (at != NULL && nest.depth > depth) {
        at = relay_json_lex_space(at, lex->end);
        if (at == lex->end) {
            return relay_json_unexpected(lex, at);
        }
        at = step(lex, &nest, at, &state);
    }
    return at;
}

/* Any value, at `depth` open containers. */
static const uint8_t *scan_value(relay_json_lex_t *lex, const uint8_t *at, unsigned depth,
                                 relay_json_value_t *value)
{
    const uint8_t *start = relay_json_lex_space(at, lex->end);

    if (start < lex->end && (*start == '{' || *start == '[')) {
        value->type = *start == '{' ? RELAY_JSON_OBJECT : RELAY_JSON_ARRAY;
        at = skip_container(lex, start, depth);
    } else {
        at = relay_json_lex_scalar(lex, start, &value->type);
    }
    if (at != NULL) {
        value->text = relay_span(start, (size_t)(at - start));
    }
    return at;
}

/* Index of the wanted key that string spells, want->count if none; false if it is refused. */
static bool match_key(relay_json_lex_t *lex, const wanted_t *want, relay_span_t string,
                      size_t *index)
{
    bool escaped = lex->escaped;

    *index = escaped ? find_escaped(want, string) : find_plain(want, string);
    if (*index == want->count) {
        return true;
    }
    if (want->values[*index].type != RELAY_JSON_ABSENT) {
        relay_json_fail(lex, string.base, RELAY_JSON_DUPLICATE);
        return false;
    }
    if (escaped) {
        relay_json_fail(lex, string.base, RELAY_JSON_ESCAPED_KEY);
        return false;
    }
    return true;
}

/* at: the quote of a key of the top-level object. *index: the key's, also on refusal. */
static const uint8_t *scan_member(relay_json_lex_t *lex, const wanted_t *want, const uint8_t *at,
                                  size_t *index)
{
    relay_json_value_t value = {RELAY_JSON_ABSENT, {NULL, 0}};
    const uint8_t *end;

    if (at == lex->end || *at != '"') {
        return relay_json_unexpected(lex, at);
    }
    end = relay_json_lex_string(lex, at);
    if (end == NULL || !match_key(lex, want, relay_span(at, (size_t)(end - at)), index)) {
        return NULL;
    }
    at = relay_json_lex_colon(lex, end);
    if (at != NULL) {
        at = scan_value(lex, at, 1, &value);
    }
    if (at != NULL && *index < want->count) {
        want->values[*index] = value;
    }
    return at;
}

/* at: behind the opening brace of the top-level object. */
static const uint8_t *scan_object(relay_json_lex_t *lex, const wanted_t *want, const uint8_t *at,
                                  size_t *index)
{
    at = relay_json_lex_space(at, lex->end);
    if (at < lex->end && *at == '}') {
        return at + 1;
    }
    for (;;) {
        at = scan_member(lex, want, at, index);
        if (at == NULL) {
            return NULL;
        }
        at = relay_json_lex_space(at, lex->end);
        if (at == lex->end || *at != ',') {
            break;
        }
        at = relay_json_lex_space(at + 1, lex->end);
    }
    return at < lex->end && *at == '}' ? at + 1 : relay_json_unexpected(lex, at);
}

/* Something else than an object: TYPE if it is JSON at all. */
static const uint8_t *scan_other(relay_json_lex_t *lex, const uint8_t *at)
{
    relay_json_value_t value;
    const uint8_t *end = scan_value(lex, at, 0, &value);

    if (end == NULL) {
        return NULL;
    }
    end = relay_json_lex_space(end, lex->end);
    return end == lex->end ? relay_json_fail(lex, at, RELAY_JSON_TYPE)
                           : relay_json_fail(lex, end, RELAY_JSON_SYNTAX);
}

static const uint8_t *scan_document(relay_json_lex_t *lex, const wanted_t *want, const uint8_t *at,
                                    size_t *index)
{
    at = relay_json_lex_space(at, lex->end);
    if (at == lex->end || *at != '{') {
        return scan_other(lex, at);
    }
    at = scan_object(lex, want, at + 1, index);
    if (at == NULL) {
        return NULL;
    }
    at = relay_json_lex_space(at, lex->end);
    return at == lex->end ? at : relay_json_fail(lex, at, RELAY_JSON_SYNTAX);
}

relay_json_error_t relay_json_scan(relay_span_t doc, const relay_span_t *keys, size_t nkeys,
                                   relay_json_value_t *values, relay_json_fault_t *fault)
{
    wanted_t want = wanted(keys, nkeys, values);
    relay_json_lex_t lex = {.error = RELAY_JSON_OK};
    size_t index = 0;

    *fault = (relay_json_fault_t){RELAY_JSON_OK, 0, 0};
    if (doc.len == 0) {
        fault->error = RELAY_JSON_TRUNCATED;
        return fault->error;
    }
    lex.end = doc.base + doc.len;
    if (scan_document(&lex, &want, doc.base, &index) == NULL) {
        fault->error = lex.error;
        fault->offset = (size_t)(lex.at - doc.base);
        fault->key = index < nkeys ? index : 0;
    }
    return fault->error;
}

/* ---- walks over accepted text -------------------------------------------- */

/* True if the byte at `at` is escaped; text before `start` is not looked at. */
static bool is_escaped(const uint8_t *start, const uint8_t *at)
{
    const uint8_t *slash = at;

    while (slash > start && slash[-1] == '\\') {
        slash--;
    }
    return ((at - slash) & 1) != 0;
}

/* at: the opening quote. Ends behind the closing one. */
static const uint8_t *pass_string(const uint8_t *at, const uint8_t *end)
{
    const uint8_t *start = at + 1;

    /* quotes are rarer than anything else worth stopping at */
    for (at = start; at < end; at++) {
        at = memchr(at, '"', (size_t)(end - at));
        if (at == NULL) {
            break;
        }
        if (!is_escaped(start, at)) {
            return at + 1;
        }
    }
    return end;
}

/* at: an opening bracket. Ends behind the one that closes it. */
static const uint8_t *pass_container(const uint8_t *at, const uint8_t *end)
{
    size_t depth = 0;

    for (;;) {
        at = relay_json_find_structure(at, end);
        if (at == end) {
            return end;
        }
        if (*at == '"') {
            at = pass_string(at, end);
            continue;
        }
        depth = (*at | 0x20) == '{' ? depth + 1 : depth - 1;
        at++;
        if (depth == 0) {
            return at;
        }
    }
}

static const uint8_t *pass_atom(const uint8_t *at, const uint8_t *end)
{
    while (at<end && * at> ' ' && *at != ',' && *at != ']' && *at != '}') {
        at++;
    }
    return at;
}

static relay_json_type_t type_of(uint8_t first)
{
    switch (first) {
    case '"':
        return RELAY_JSON_STRING;
    case '[':
        return RELAY_JSON_ARRAY;
    case '{':
        return RELAY_JSON_OBJECT;
    case 't':
        return RELAY_JSON_TRUE;
    case 'f':
        return RELAY_JSON_FALSE;
    case 'n':
        return RELAY_JSON_NULL;
    default:
        return RELAY_JSON_NUMBER;
    }
}

/* at: the first byte of a value. */
static const uint8_t *pass_value(const uint8_t *at, const uint8_t *end, relay_json_value_t *value)
{
    const uint8_t *start = at;

    value->type = type_of(*at);
    switch (value->type) {
    case RELAY_JSON_STRING:
        at = pass_string(at, end);
        break;
    case RELAY_JSON_ARRAY:
    case RELAY_JSON_OBJECT:
        at = pass_container(at, end);
        break;
    default:
        at = pass_atom(at, end);
        break;
    }
    value->text = relay_span(start, (size_t)(at - start));
    return at;
}

/* Past white space and the separators between members and elements. */
static const uint8_t *pass_separator(const uint8_t *at, const uint8_t *end)
{
    while (at < end && (*at <= ' ' || *at == ',' || *at == ':')) {
        at++;
    }
    return at;
}

bool relay_json_members(relay_span_t object, const relay_span_t *keys, size_t nkeys,
                        relay_json_value_t *values)
{
    wanted_t want = wanted(keys, nkeys, values);
    const uint8_t *at, *end;

    if (object.len == 0 || *object.base != '{') {
        return false;
    }
    end = object.base + object.len;
    at = pass_separator(object.base + 1, end);
    while (at < end && *at == '"') {
        relay_json_value_t key, value;
        size_t index;
        at = pass_separator(pass_value(at, end, &key), end);
        if (at == end || key.text.len < 2) {
            break;
        }
        at = pass_separator(pass_value(at, end, &value), end);
        index = memchr(key.text.base, '\\', key.text.len) == NULL ? find_plain(&want, key.text)
                                                                  : find_escaped(&want, key.text);
        if (index < nkeys) {
            values[index] = value;
        }
    }
    return true;
}

bool relay_json_element(relay_span_t array, size_t *cursor, relay_json_value_t *value)
{
    const uint8_t *at, *end;

    if (array.len == 0 || *array.base != '[' || *cursor >= array.len) {
        return false;
    }
    end = array.base + array.len;
    at = pass_separator(array.base + (*cursor != 0 ? *cursor : 1), end);
    if (at == end || *at == ']') {
        return false;
    }
    at = pass_value(at, end, value);
    *cursor = (size_t)(at - array.base);
    return value->text.len != 0;
}
