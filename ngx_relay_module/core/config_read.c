/*
 * Documents, containers and values as configuration reads them: see
 * config_read.h. Called by config_doc, config_host and config_access.
 */

#include "config_read.h"
#include "config_text.h"

#include <stdio.h>

/* ---- documents ------------------------------------------------------------ */

/* True for , : [ and { (the brackets differ in one bit). */
static bool opens_value(uint8_t byte)
{
    return (byte == ',') | (byte == ':') | ((byte | 0x20) == '{');
}

enum { LANES = 16, ROUNDS_MAX = UINT8_MAX };

/*
 * The most tokens that text may have: every one but the first stands behind a
 * byte that opens a value. Counted in lanes of bytes, which compilers turn into
 * vectors: a tenth of the time of a build otherwise.
 */
static size_t count_values(relay_span_t text)
{
    size_t count = 1, i = 0;

    while (text.len - i >= LANES) {
        uint8_t sums[LANES] = {0};
        size_t rounds = (text.len - i) / LANES;
        rounds = rounds < ROUNDS_MAX ? rounds : ROUNDS_MAX;
        for (; rounds != 0; rounds--, i += LANES) {
            for (size_t j = 0; j < LANES; j++) {
                sums[j] = (uint8_t)(sums[j] + opens_value(text.base[i + j]));
            }
        }
        for (size_t j = 0; j < LANES; j++) {
            count += sums[j];
        }
    }
    for (; i < text.len; i++) {
        count += opens_value(text.base[i]);
    }
    return count;
}

/* A name that occurs twice: the tape is not whole, so it is made once more,
 * without that check, to tell the path. */
static bool refuse_duplicate(relay_config_reader_t *reader, relay_config_source_t *source,
                             size_t capacity, size_t offset)
{
    relay_json_fault_t fault;

    if (relay_json_tape(source->text, source->tokens, capacity, &source->count, false, &fault) ==
        RELAY_TAPE_OK) {
        for (uint32_t i = 0; i < source->count; i++) {
            if (source->tokens[i].offset == offset) {
                return relay_config_refuse(reader, (relay_config_node_t){source, i},
                                           "this name occurs twice in the same object");
            }
        }
    }
    return relay_config_refuse_offset(reader, source, offset,
                                      "this name occurs twice in the same object");
}

static bool refuse_json(relay_config_reader_t *reader, const relay_config_source_t *source,
                        const relay_json_fault_t *fault)
{
    relay_span_t text = relay_json_error_text(fault->error);
    char message[160];
    uint8_t byte = fault->offset < source->text.len ? source->text.base[fault->offset] : 0;

    if (fault->error == RELAY_JSON_SYNTAX && byte > ' ' && byte < 0x7f) {
        snprintf(message, sizeof(message), "%.*s: unexpected %c", (int)text.len,
                 (const char *)text.base, byte);
    } else {
        snprintf(message, sizeof(message), "%.*s", (int)text.len, (const char *)text.base);
    }
    return relay_config_refuse_offset(reader, source, fault->offset, message);
}

bool relay_config_open(relay_config_reader_t *reader, const relay_document_t *document,
                       relay_config_source_t *source)
{
    size_t capacity = 0;
    relay_json_fault_t fault;

    *source = (relay_config_source_t){.name = document->name,
                                      .text = document->text,
                                      .catalog = document->catalog,
                                      .workspace = RELAY_SPAN("default")};
    if (document->text.len <= RELAY_CONFIG_DOCUMENT_MAX) {
        capacity = count_values(document->text);
    }
    if (capacity == 0 || capacity > RELAY_CONFIG_VALUES_MAX) {
        return relay_config_refuse_offset(reader, source, 0, "the document is too large");
    }
    source->tokens = relay_config_scratch(reader, capacity, sizeof(relay_json_token_t));
    if (source->tokens == NULL) {
        return false;
    }
    if (relay_json_tape(source->text, source->tokens, capacity, &source->count, true, &fault) ==
        RELAY_TAPE_OK) {
        return true;
    }
    return fault.error == RELAY_JSON_DUPLICATE
               ? refuse_duplicate(reader, source, capacity, fault.offset)
               : refuse_json(reader, source, &fault);
}

static void *alloc_from(relay_config_reader_t *reader, const relay_arena_t *arena, size_t count,
                        size_t size)
{
    void *memory = relay_arena_alloc(arena, (count != 0 ? count : 1) * size);

    if (memory == NULL) {
        relay_config_no_memory(reader);
    }
    return memory;
}

void *relay_config_alloc(relay_config_reader_t *reader, size_t count, size_t size)
{
    return alloc_from(reader, reader->arena, count, size);
}

void *relay_config_scratch(relay_config_reader_t *reader, size_t count, size_t size)
{
    return alloc_from(reader, reader->scratch, count, size);
}

/* ---- containers ----------------------------------------------------------- */

static const char *type_name(relay_json_type_t type)
{
    static const char *const names[] = {"nothing",  "null",     "false",    "true",
                                        "a number", "a string", "an array", "an object"};

    return names[type];
}

bool relay_config_expect(relay_config_reader_t *reader, relay_config_node_t node,
                         relay_json_type_t type, const char *expected)
{
    return relay_config_type(node) == type ||
           relay_config_refuse(reader, node, "expected %s, found %s", expected,
                               type_name(relay_config_type(node)));
}

/* Members that documents may carry anywhere for people and editors. */
static bool is_comment(relay_config_node_t key)
{
    relay_span_t written = relay_config_written(key);

    return relay_span_eq(written, RELAY_SPAN("\"$comment\"")) ||
           relay_span_eq(written, RELAY_SPAN("\"$schema\""));
}

bool relay_config_next(relay_config_node_t container, relay_config_node_t *value)
{
    const relay_json_token_t *outer = relay_config_token(container);
    bool object = outer->type == RELAY_JSON_OBJECT;
    uint32_t next = value->token == 0 ? container.token + 1 : relay_config_token(*value)->next;

    while (next < outer->next) {
        *value = (relay_config_node_t){container.source, next + object};
        if (!object || !is_comment(relay_config_key(*value))) {
            return true;
        }
        next = relay_config_token(*value)->next;
    }
    return false;
}

size_t relay_config_size(relay_config_node_t container)
{
    relay_config_node_t value = {0};
    size_t count = 0;

    while (relay_config_next(container, &value)) {
        count++;
    }
    return count;
}

/* names of fields never need an escape */
static bool is_called(relay_config_node_t value, const char *name)
{
    relay_span_t written = relay_config_written(relay_config_key(value));

    return written.len == strlen(name) + 2 && memcmp(written.base + 1, name, written.len - 2) == 0;
}

bool relay_config_member(relay_config_node_t object, const char *name, relay_config_node_t *value)
{
    *value = (relay_config_node_t){0};
    while (relay_config_next(object, value)) {
        if (is_called(*value, name)) {
            return true;
        }
    }
    return false;
}

int relay_config_compare(relay_span_t a, relay_span_t b)
{
    size_t shared = a.len < b.len ? a.len : b.len;
    int order = shared != 0 ? memcmp(a.base, b.base, shared) : 0;

    return order != 0 ? order : (a.len > b.len) - (a.len < b.len);
}

int relay_config_compare_places(relay_config_node_t a, relay_config_node_t b)
{
    int order = (a.source > b.source) - (a.source < b.source);

    return order != 0 ? order : (a.token > b.token) - (a.token < b.token);
}

const void *relay_config_lookup(relay_config_names_t names, relay_span_t name)
{
    size_t low = 0, high = names.count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const uint8_t *item = (const uint8_t *)names.base + middle * names.size;
        int order = relay_config_compare(name, *(const relay_span_t *)(const void *)item);
        if (order == 0) {
            return item;
        }
        low = order > 0 ? middle + 1 : low;
        high = order > 0 ? high : middle;
    }
    return NULL;
}

/* ---- values --------------------------------------------------------------- */

bool relay_config_string(relay_config_reader_t *reader, relay_config_node_t node, size_t min,
                         size_t max, relay_span_t *text)
{
    relay_json_value_t value = relay_tape_value(node.source->text, relay_config_token(node));
    relay_buf_t out = relay_buf(NULL, 0);

    if (!relay_config_expect(reader, node, RELAY_JSON_STRING, "a string")) {
        return false;
    }
    relay_json_decode(value, &out);
    if (out.len < min || out.len > max) {
        return relay_config_refuse(reader, node,
                                   out.len < min ? "expected at least %zu characters"
                                                 : "longer than %zu bytes",
                                   out.len < min ? min : max);
    }
    out = relay_buf(relay_config_alloc(reader, out.len, 1), out.len);
    if (out.base == NULL) {
        return false;
    }
    relay_json_decode(value, &out);
    *text = relay_buf_span(&out);
    return true;
}

bool relay_config_passing(relay_config_node_t node, relay_buf_t *room)
{
    return relay_json_decode(relay_tape_value(node.source->text, relay_config_token(node)), room) &&
           relay_buf_ok(room);
}

bool relay_config_number(relay_config_reader_t *reader, relay_config_node_t node, uint64_t min,
                         uint64_t max, uint64_t *number)
{
    relay_json_value_t value = relay_tape_value(node.source->text, relay_config_token(node));
    int shown = value.text.len < 24 ? (int)value.text.len : 24;

    if (!relay_config_expect(reader, node, RELAY_JSON_NUMBER, "a number")) {
        return false;
    }
    if (!relay_json_uint(value, number) || *number < min || *number > max) {
        return relay_config_refuse(
            reader, node, "expected a whole number from %llu to %llu, found %.*s",
            (unsigned long long)min, (unsigned long long)max, shown, (const char *)value.text.base);
    }
    return true;
}

static bool refuse_member(relay_config_reader_t *reader, relay_config_node_t value,
                          relay_config_fields_t fields)
{
    relay_span_t known[32];
    relay_span_t given = relay_config_written(relay_config_key(value));
    size_t count = fields.count < 32 ? fields.count : 32;

    for (size_t i = 0; i < count; i++) {
        known[i] = relay_span(fields.items[i].name, strlen(fields.items[i].name));
    }
    return relay_config_unknown(reader, relay_config_key(value), "member",
                                relay_span(given.base + 1, given.len - 2),
                                (relay_config_names_t){known, count, sizeof(known[0])});
}

static const relay_config_field_t *find_field(relay_config_fields_t fields,
                                              relay_config_node_t value)
{
    const relay_config_field_t *field = fields.items, *end = field + fields.count;

    while (field != end && !is_called(value, field->name)) {
        field++;
    }
    return field != end ? field : NULL;
}

static bool is_ignorable(const relay_globs_t *names, relay_config_node_t value)
{
    uint8_t room[RELAY_CONFIG_NAME_MAX];
    relay_buf_t name = relay_buf(room, sizeof(room));

    if (names == NULL || !relay_config_passing(relay_config_key(value), &name)) {
        return false;
    }
    for (size_t i = 0; i < names->count; i++) {
        if (relay_span_eq(relay_buf_span(&name), names->items[i])) {
            return true;
        }
    }
    return false;
}

bool relay_config_object(relay_config_reader_t *reader, relay_config_node_t node,
                         relay_config_fields_t fields, const relay_globs_t *ignorable, void *target)
{
    relay_config_node_t value = {0};

    if (!relay_config_expect(reader, node, RELAY_JSON_OBJECT, "an object")) {
        return false;
    }
    while (relay_config_next(node, &value)) {
        const relay_config_field_t *field = find_field(fields, value);
        if (field == NULL && is_ignorable(ignorable, value)) {
            continue;
        }
        if (field == NULL) {
            return refuse_member(reader, value, fields);
        }
        if (!field->read(reader, value, field, (uint8_t *)target + field->offset)) {
            return false;
        }
    }
    return true;
}

bool relay_config_read_flag(relay_config_reader_t *reader, relay_config_node_t value,
                            const relay_config_field_t *field, void *target)
{
    relay_json_type_t type = relay_config_type(value);

    (void)field;
    if (type != RELAY_JSON_TRUE && type != RELAY_JSON_FALSE) {
        return relay_config_refuse(reader, value, "expected true or false, found %s",
                                   type_name(type));
    }
    *(bool *)target = type == RELAY_JSON_TRUE;
    return true;
}

bool relay_config_read_u32(relay_config_reader_t *reader, relay_config_node_t value,
                           const relay_config_field_t *field, void *target)
{
    uint64_t number;

    if (!relay_config_number(reader, value, field->min, field->max, &number)) {
        return false;
    }
    *(uint32_t *)target = (uint32_t)number;
    return true;
}

bool relay_config_read_u64(relay_config_reader_t *reader, relay_config_node_t value,
                           const relay_config_field_t *field, void *target)
{
    return relay_config_number(reader, value, field->min, field->max, target);
}

bool relay_config_read_text(relay_config_reader_t *reader, relay_config_node_t value,
                            const relay_config_field_t *field, void *target)
{
    relay_span_t *text = target;

    return relay_config_string(reader, value, field->min, field->max, text) &&
           (relay_config_printable(*text) ||
            relay_config_refuse(reader, value, "holds a control character"));
}

static bool read_glob(relay_config_reader_t *reader, relay_config_node_t value, relay_span_t *glob)
{
    return relay_config_string(reader, value, 1, RELAY_CONFIG_TEXT_MAX, glob) &&
           (relay_config_ascii(*glob, false) ||
            relay_config_refuse(reader, value,
                                "expected a pattern of printable characters without spaces"));
}

bool relay_config_read_globs(relay_config_reader_t *reader, relay_config_node_t value,
                             const relay_config_field_t *field, void *target)
{
    relay_globs_t *globs = target;
    relay_config_node_t item = {0};
    relay_span_t *items;

    (void)field;
    if (!relay_config_expect(reader, value, RELAY_JSON_ARRAY, "an array of patterns")) {
        return false;
    }
    globs->count = relay_config_size(value);
    if (globs->count > RELAY_CONFIG_GLOBS_MAX) {
        return relay_config_refuse(reader, value, "more than %d patterns", RELAY_CONFIG_GLOBS_MAX);
    }
    items = relay_config_alloc(reader, globs->count, sizeof(items[0]));
    globs->items = items;
    for (size_t i = 0; items != NULL && relay_config_next(value, &item); i++) {
        if (!read_glob(reader, item, &items[i])) {
            return false;
        }
    }
    return items != NULL;
}

bool relay_config_read_timeouts(relay_config_reader_t *reader, relay_config_node_t value,
                                const relay_config_field_t *field, void *target)
{
#define TIMEOUT(name)                                                                              \
    {                                                                                              \
#name, relay_config_read_u32, offsetof(relay_timeouts_t, name), 1,                         \
            RELAY_CONFIG_TIMEOUT_MAX_MS                                                            \
    }
    static const relay_config_field_t fields[] = {TIMEOUT(connect_ms), TIMEOUT(first_token_ms),
                                                  TIMEOUT(idle_ms), TIMEOUT(total_ms)};
#undef TIMEOUT

    (void)field;
    return RELAY_CONFIG_OBJECT(reader, value, fields, target);
}

bool relay_config_read_time(relay_config_reader_t *reader, relay_config_node_t value,
                            const relay_config_field_t *field, void *target)
{
    uint8_t room[64];
    relay_buf_t text = relay_buf(room, sizeof(room));

    (void)field;
    if (relay_config_type(value) == RELAY_JSON_NULL) {
        return true;
    }
    return (relay_config_passing(value, &text) &&
            relay_config_time(relay_buf_span(&text), target)) ||
           relay_config_refuse(reader, value,
                               "expected a time such as \"2027-01-01T00:00:00Z\", or null");
}

bool relay_config_read_name(relay_config_reader_t *reader, relay_config_node_t value,
                            const relay_config_field_t *field, void *target)
{
    relay_span_t *name = target;

    (void)field;
    return relay_config_string(reader, value, 0, RELAY_CONFIG_VALUE_MAX, name) &&
           (relay_config_name_ok(*name) ||
            relay_config_refuse(reader, value,
                                "expected a name: 1 to %d letters, digits and any of . _ / -",
                                RELAY_CONFIG_NAME_MAX));
}

bool relay_config_read_digest(relay_config_reader_t *reader, relay_config_node_t value,
                              const relay_config_field_t *field, void *target)
{
    uint8_t room[2 * RELAY_DIGEST_LEN];
    relay_buf_t text = relay_buf(room, sizeof(room));

    (void)field;
    return (relay_config_passing(value, &text) &&
            relay_config_digest(relay_buf_span(&text), target)) ||
           relay_config_refuse(reader, value,
                               "expected a string of 64 hexadecimal digits in lower case");
}

bool relay_config_read_aside(relay_config_reader_t *reader, relay_config_node_t value,
                             const relay_config_field_t *field, void *target)
{
    (void)field;
    (void)target;
    return relay_config_expect(reader, value, RELAY_JSON_OBJECT, "an object");
}

relay_globs_t relay_config_everything(void)
{
    static const relay_span_t star[] = {RELAY_SPAN_INIT("*")};

    return (relay_globs_t){star, 1};
}

/* ---- references ----------------------------------------------------------- */

/* With the names that there are. */
static void refuse_format(relay_config_reader_t *reader, relay_config_node_t at, relay_span_t given)
{
    relay_span_t known[2 * RELAY_FORMATS_MAX];
    size_t count = 0;

    while (count < sizeof(known) / sizeof(known[0]) && relay_variant_at((unsigned)count) != NULL) {
        known[count] = relay_variant_at((unsigned)count)->name;
        count++;
    }
    relay_config_unknown(reader, at, "format", given,
                         (relay_config_names_t){known, count, sizeof(known[0])});
}

const relay_variant_t *relay_config_format(relay_config_reader_t *reader, relay_config_node_t at,
                                           bool *streams)
{
    uint8_t room[RELAY_CONFIG_NAME_MAX + 1]; /* what is longer is no format's name */
    relay_buf_t name = relay_buf(room, sizeof(room));
    const relay_variant_t *variant = NULL;

    *streams = false;
    if (relay_config_passing(at, &name)) {
        variant = relay_variant_find(relay_buf_span(&name), streams);
    }
    if (variant == NULL && !at.source->catalog) {
        refuse_format(reader, at, relay_buf_span(&name));
    }
    return variant;
}

bool relay_config_formats(relay_config_reader_t *reader, relay_config_node_t array,
                          uint32_t *formats)
{
    relay_config_node_t item = {0};

    *formats = 0;
    while (relay_config_next(array, &item)) {
        const relay_variant_t *variant;
        bool streams;
        if (!relay_config_expect(reader, item, RELAY_JSON_STRING, "a string")) {
            return false;
        }
        variant = relay_config_format(reader, item, &streams);
        if (variant == NULL && !array.source->catalog) {
            return false;
        }
        *formats |= variant != NULL ? UINT32_C(1) << variant->wire->index : 0;
    }
    return *formats != 0 || array.source->catalog ||
           relay_config_refuse(reader, array, "expected at least one format");
}

const void *relay_config_reference(relay_config_reader_t *reader, relay_config_node_t node,
                                   const char *what, relay_config_names_t names)
{
    uint8_t room[RELAY_MODEL_NAME_MAX]; /* nothing of it is kept */
    relay_buf_t name = relay_buf(room, sizeof(room));
    const void *found = NULL;

    if (!relay_config_expect(reader, node, RELAY_JSON_STRING, "a string")) {
        return NULL;
    }
    relay_json_decode(relay_tape_value(node.source->text, relay_config_token(node)), &name);
    if (relay_buf_ok(&name)) {
        found = relay_config_lookup(names, relay_buf_span(&name));
    }
    if (found == NULL) {
        relay_config_unknown(reader, node, what, relay_buf_span(&name), names);
    }
    return found;
}
