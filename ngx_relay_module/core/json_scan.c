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
    relay_json_value_t *values;
    size_t next; /* members tend to come in the order in which they are asked for */
} wanted_t;

static wanted_t wanted(const relay_span_t *keys, size_t count, relay_json_value_t *values)
{
    if (count != 0) {
        memset(values, 0, count * sizeof(*values)); /* RELAY_JSON_ABSENT */
    }
    return (wanted_t){keys, count, values, 0};
}

static inline bool same_eight(const uint8_t *a, const uint8_t *b)
{
    uint64_t x, y;

    memcpy(&x, a, sizeof(x));
    memcpy(&y, b, sizeof(y));
    return x == y;
}

static inline bool same_four(const uint8_t *a, const uint8_t *b)
{
    uint32_t x, y;

    memcpy(&x, a, sizeof(x));
    memcpy(&y, b, sizeof(y));
    return x == y;
}

/* Most keys have 4 to 16 bytes: the first and the last few, which may overlap, are all. */
static inline bool same_bytes(const uint8_t *a, const uint8_t *b, size_t len)
{
    if (len >= 8 && len <= 16) {
        return same_eight(a, b) && same_eight(a + len - 8, b + len - 8);
    }
    if (len >= 4 && len < 8) {
        return same_four(a, b) && same_four(a + len - 4, b + len - 4);
    }
    return memcmp(a, b, len) == 0;
}

static inline bool is_key(relay_span_t key, relay_span_t name)
{
    return key.len == name.len && key.base[0] == name.base[0] &&
           same_bytes(key.base, name.base, name.len);
}

/* From the next key on, then from the first. */
static size_t find_any(wanted_t *want, relay_span_t name)
{
    size_t i = want->next;

    for (size_t left = want->count; left != 0; left--, i++) {
        if (i == want->count) {
            i = 0;
        }
        if (is_key(want->keys[i], name)) {
            want->next = i + 1;
            return i;
        }
    }
    return want->count;
}

/* Index of the key written as string, quotes included; count if it is not wanted. */
static inline size_t find_plain(wanted_t *want, relay_span_t string)
{
    relay_span_t name = relay_span(string.base + 1, string.len - 2);

    if (want->next < want->count && is_key(want->keys[want->next], name)) {
        return want->next++;
    }
    return find_any(want, name);
}

static size_t find_escaped(wanted_t *want, relay_span_t string)
{
    size_t i = 0;

    while (i < want->count && !relay_json_spells(string, want->keys[i])) {
        i++;
    }
    return i;
}

/* ---- the strict scan ----------------------------------------------------- */

/*
 * What the grammar allows next inside nested containers, where an item is a
 * value in an array and `"key": value` in an object:
 *
 *   bracket ─► OPENED ─item──────► NEXT
 *              NEXT ───',' item──► NEXT
 *
 * An item that is a container itself leads to OPENED instead. A closing bracket
 * is allowed in both and leads to NEXT of the container around.
 */
typedef enum { OPENED, NEXT } state_t;

typedef struct {
    relay_json_nest_t nest;
    bool object; /* the innermost container is one */
    state_t state;
} path_t;

/* at: an opening bracket. */
static inline const uint8_t *take_bracket(relay_json_lex_t *lex, path_t *path, const uint8_t *at)
{
    path->state = OPENED;
    path->object = *at == '{';
    return relay_json_open(&path->nest, path->object) ? at + 1
                                                      : relay_json_fail(lex, at, RELAY_JSON_DEPTH);
}

/* at: where a value should begin. */
static inline const uint8_t *take_value(relay_json_lex_t *lex, path_t *path, const uint8_t *at)
{
    path->state = NEXT;
    if (*at == '"') {
        return relay_json_lex_string(lex, at);
    }
    return *at == '{' || *at == '[' ? take_bracket(lex, path, at) : relay_json_lex_word(lex, at);
}

/* Past a key's colon to the value; NULL if either is not there. */
static inline const uint8_t *take_colon(relay_json_lex_t *lex, const uint8_t *at)
{
    if (lex->end - at >= 2 && *at == ':' && at[1] > ' ') {
        return at + 1;
    }
    at = relay_json_lex_colon(lex, at);
    if (at != NULL) {
        at = relay_json_lex_space(at, lex->end);
    }
    return at != NULL && at == lex->end ? relay_json_unexpected(lex, at) : at;
}

/* at: where an item should begin. */
static inline const uint8_t *take_item(relay_json_lex_t *lex, path_t *path, const uint8_t *at)
{
    if (path->object) {
        if (*at != '"') {
            return relay_json_unexpected(lex, at);
        }
        at = relay_json_lex_string(lex, at);
        if (at == NULL || (at = take_colon(lex, at)) == NULL) {
            return NULL;
        }
    }
    return take_value(lex, path, at);
}

/* at: what should be the closing bracket. */
static const uint8_t *take_end(relay_json_lex_t *lex, path_t *path, const uint8_t *at)
{
    if (*at != (path->object ? '}' : ']')) {
        return relay_json_unexpected(lex, at);
    }
    path->nest.depth--;
    path->object = path->nest.depth != 0 && relay_json_in_object(&path->nest);
    path->state = NEXT;
    return at + 1;
}

static inline const uint8_t *step(relay_json_lex_t *lex, path_t *path, const uint8_t *at)
{
    switch (path->state) {
    case OPENED:
        if (*at == '}' || *at == ']') {
            return take_end(lex, path, at);
        }
        break;
    case NEXT:
        if (*at != ',') {
            return take_end(lex, path, at);
        }
        at = relay_json_lex_space(at + 1, lex->end);
        if (at == lex->end) {
            return relay_json_unexpected(lex, at);
        }
        break;
    }
    return take_item(lex, path, at);
}

/* at: an opening bracket inside `depth` open containers. Ends behind its closing one. */
static const uint8_t *skip_container(relay_json_lex_t *lex, const uint8_t *at, unsigned depth)
{
    path_t path = {.nest = {.depth = depth}};

    at = take_bracket(lex, &path, at);
    while (at != NULL && path.nest.depth > depth) {
        at = relay_json_lex_space(at, lex->end);
        if (at == lex->end) {
            return relay_json_unexpected(lex, at);
        }
        at = step(lex, &path, at);
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
        at = relay_json_lex_scalar(lex, start);
        value->type = lex->type;
    }
    if (at != NULL) {
        value->text = relay_span(start, (size_t)(at - start));
    }
    return at;
}

/* Index of the wanted key that string spells, want->count if none; false if it is refused. */
static bool match_key(relay_json_lex_t *lex, wanted_t *want, relay_span_t string, size_t *index)
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
static const uint8_t *scan_member(relay_json_lex_t *lex, wanted_t *want, const uint8_t *at,
                                  size_t *index)
{
    relay_json_value_t other, *value;
    const uint8_t *end;

    if (at == lex->end || *at != '"') {
        return relay_json_unexpected(lex, at);
    }
    end = relay_json_lex_string(lex, at);
    if (end == NULL || !match_key(lex, want, relay_span(at, (size_t)(end - at)), index)) {
        return NULL;
    }
    at = relay_json_lex_colon(lex, end);
    if (at == NULL) {
        return NULL;
    }
    value = *index < want->count ? &want->values[*index] : &other;
    at = scan_value(lex, at, 1, value); /* in place: a copy would wait for what it has stored */
    if (at == NULL) {
        value->type = RELAY_JSON_ABSENT;
    }
    return at;
}

/* at: behind the opening brace of the top-level object. */
static const uint8_t *scan_object(relay_json_lex_t *lex, wanted_t *want, const uint8_t *at,
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

static const uint8_t *scan_document(relay_json_lex_t *lex, wanted_t *want, const uint8_t *at,
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

static const uint8_t *pass_long_string(const uint8_t *at, const uint8_t *end)
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

#if RELAY_JSON_SSE2

/* The same; looks at the first 32 bytes itself. */
static const uint8_t *pass_medium_string(const uint8_t *at, const uint8_t *end)
{
    if (end - at > 32) {
        const unsigned first = relay_json_bits(relay_json_equal(relay_json_load(at + 1), '"'));
        const unsigned second = relay_json_bits(relay_json_equal(relay_json_load(at + 17), '"'));
        const unsigned quotes = first | second << 16;
        const uint8_t *quote = at + 1 + (quotes != 0 ? __builtin_ctz(quotes) : 0);
        if (quotes != 0 && quote[-1] != '\\') {
            return quote + 1;
        }
    }
    return pass_long_string(at, end);
}

#endif

/* at: the opening quote. Ends behind the closing one. */
static inline const uint8_t *pass_string(const uint8_t *at, const uint8_t *end)
{
#if RELAY_JSON_SSE2
    /* no search for keys and other short strings */
    if (end - at > 16) {
        const unsigned quotes = relay_json_bits(relay_json_equal(relay_json_load(at + 1), '"'));
        if (quotes != 0) {
            const uint8_t *quote = at + 1 + __builtin_ctz(quotes);
            return quote[-1] != '\\' ? quote + 1 : pass_long_string(at, end);
        }
    }
    return pass_medium_string(at, end);
#else
    return pass_long_string(at, end);
#endif
}

static inline bool opens(uint8_t bracket)
{
    return bracket == '{' || bracket == '[';
}

/* at: outside of strings, `depth` containers deep. Ends behind the bracket that closes all. */
static const uint8_t *pass_container_scalar(const uint8_t *at, const uint8_t *end, size_t depth)
{
    while (at < end) {
        if (*at == '"') {
            at = pass_string(at, end);
            continue;
        }
        if (opens(*at)) {
            depth++;
        } else if ((*at == '}' || *at == ']') && --depth == 0) {
            return at + 1;
        }
        at++;
    }
    return end;
}

static inline bool is_word_end(uint8_t byte)
{
    return byte <= ' ' || byte == ',' || byte == ']' || byte == '}';
}

#if RELAY_JSON_SSE2

/* The bytes behind the first, third, ... of a run of backslashes. */
static inline uint64_t escaped_bits(uint64_t slashes)
{
    const uint64_t even = UINT64_C(0x5555555555555555);
    const uint64_t behind = slashes << 1;
    const uint64_t odd_starts = slashes & ~even & ~behind;

    return (even ^ (odd_starts + slashes) << 1) & behind;
}

/* Each bit becomes the parity of those up to it. */
static inline uint64_t parity_bits(uint64_t bits)
{
#pragma GCC unroll 6
    for (unsigned step = 1; step < 64; step *= 2) {
        bits ^= bits << step;
    }
    return bits;
}

/* The same, 64 bytes a step; each step begins outside of strings. */
static inline __attribute__((always_inline)) const uint8_t *
pass_container_blocks(const uint8_t *at, const uint8_t *end, relay_json_read_marks_t read_marks)
{
    size_t depth = 0;

    while (end - at >= 64) {
        relay_json_marks_t marks = read_marks(at);
        const uint64_t quotes = marks.quotes & ~escaped_bits(marks.slashes);
        const uint64_t strings = parity_bits(quotes);
        for (uint64_t brackets = marks.brackets & ~strings; brackets != 0;
             brackets &= brackets - 1) {
            const uint8_t *bracket = at + __builtin_ctzll(brackets);
            depth = opens(*bracket) ? depth + 1 : depth - 1;
            if (depth == 0) {
                return bracket + 1;
            }
        }
        at = strings >> 63 ? pass_long_string(at + 63 - __builtin_clzll(quotes), end) : at + 64;
    }
    return pass_container_scalar(at, end, depth);
}

static const uint8_t *pass_container_sse2(const uint8_t *at, const uint8_t *end)
{
    return pass_container_blocks(at, end, relay_json_marks_sse2);
}

static RELAY_JSON_AVX2 const uint8_t *pass_container_avx2(const uint8_t *at, const uint8_t *end)
{
    return pass_container_blocks(at, end, relay_json_marks_avx2);
}

#endif

/* at: an opening bracket. Ends behind the one that closes it. */
static inline const uint8_t *pass_container(const uint8_t *at, const uint8_t *end)
{
#if RELAY_JSON_SSE2
    return relay_json_has_avx2() ? pass_container_avx2(at, end) : pass_container_sse2(at, end);
#else
    return pass_container_scalar(at, end, 0);
#endif
}

static inline const uint8_t *pass_word(const uint8_t *at, const uint8_t *end)
{
#if RELAY_JSON_SSE2
    if (end - at >= 16) {
        const unsigned found = relay_json_bits(relay_json_word_ends(relay_json_load(at)));
        if (found != 0) {
            return at + __builtin_ctz(found);
        }
    }
#endif
    while (at < end && !is_word_end(*at)) {
        at++;
    }
    return at;
}

static relay_json_type_t type_of_word(uint8_t first)
{
    switch (first) {
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
static inline const uint8_t *pass_value(const uint8_t *at, const uint8_t *end,
                                        relay_json_value_t *value)
{
    const uint8_t *start = at;

    if (*at == '"') {
        value->type = RELAY_JSON_STRING;
        at = pass_string(at, end);
    } else if (opens(*at)) {
        value->type = *at == '{' ? RELAY_JSON_OBJECT : RELAY_JSON_ARRAY;
        at = pass_container(at, end);
    } else {
        value->type = type_of_word(*at);
        at = pass_word(at, end);
    }
    value->text = relay_span(start, (size_t)(at - start));
    return at;
}

/* What is between members and elements; any control is taken for white space. */
static const bool separators[256] = {
    /* clang-format off */
    true, true, true, true, true, true, true, true, true, true, true, true, true, true, true, true,
    true, true, true, true, true, true, true, true, true, true, true, true, true, true, true, true,
    /* clang-format on */
    [' '] = true,
    [','] = true,
    [':'] = true,
};

static const uint8_t *pass_separators(const uint8_t *at, const uint8_t *end)
{
    while (at < end && separators[*at]) {
        at++;
    }
    return at;
}

/* The same, where `mark` with nothing around it is the usual case. */
static inline const uint8_t *pass_separator(const uint8_t *at, const uint8_t *end, uint8_t mark)
{
    if (end - at >= 2 && *at == mark && !separators[at[1]]) {
        return at + 1;
    }
    return pass_separators(at, end);
}

static size_t find_member(wanted_t *want, relay_span_t string)
{
    size_t index = find_plain(want, string);

    return index == want->count && memchr(string.base, '\\', string.len) != NULL
               ? find_escaped(want, string)
               : index;
}

/* at: behind an object's opening brace. Ends at its closing one. */
static const uint8_t *pass_members(wanted_t *want, const uint8_t *at, const uint8_t *end)
{
    at = pass_separators(at, end);
    while (at < end && *at == '"') {
        relay_json_value_t other;
        const uint8_t *behind = pass_string(at, end);
        relay_span_t key = relay_span(at, (size_t)(behind - at));
        size_t index;
        at = pass_separator(behind, end, ':');
        if (at == end || key.len < 2) {
            break;
        }
        index = find_member(want, key);
        at = pass_value(at, end, index < want->count ? &want->values[index] : &other);
        at = pass_separator(at, end, ',');
    }
    return at;
}

bool relay_json_members(relay_span_t object, const relay_span_t *keys, size_t nkeys,
                        relay_json_value_t *values)
{
    wanted_t want = wanted(keys, nkeys, values);

    if (object.len == 0 || *object.base != '{') {
        return false;
    }
    pass_members(&want, object.base + 1, object.base + object.len);
    return true;
}

/* The element at or behind *cursor; NULL after the last. */
static const uint8_t *next_element(relay_span_t array, size_t cursor)
{
    const uint8_t *at, *end;

    if (array.len == 0 || *array.base != '[' || cursor >= array.len) {
        return NULL;
    }
    end = array.base + array.len;
    at = pass_separators(array.base + (cursor != 0 ? cursor : 1), end);
    return at == end || *at == ']' ? NULL : at;
}

bool relay_json_element(relay_span_t array, size_t *cursor, relay_json_value_t *value)
{
    const uint8_t *at = next_element(array, *cursor);

    if (at == NULL) {
        return false;
    }
    at = pass_value(at, array.base + array.len, value);
    *cursor = (size_t)(at - array.base);
    return value->text.len != 0;
}

relay_json_type_t relay_json_element_members(relay_span_t array, size_t *cursor,
                                             const relay_span_t *keys, size_t nkeys,
                                             relay_json_value_t *values)
{
    wanted_t want = wanted(keys, nkeys, values);
    const uint8_t *at = next_element(array, *cursor);
    relay_json_value_t other;

    if (at == NULL || *at != '{') {
        return relay_json_element(array, cursor, &other) ? other.type : RELAY_JSON_ABSENT;
    }
    at = pass_members(&want, at + 1, array.base + array.len);
    *cursor = (size_t)(at - array.base) + 1; /* behind the brace */
    return RELAY_JSON_OBJECT;
}
