/*
 * Schemas between JSON Schema and Gemini's older dialect of it, a part of OpenAPI
 * 3.0. Called by the other parts of the codec.
 *
 *   {"type":["string","null"]} ◄─► {"type":"STRING","nullable":true}
 */

#include "wire_gemini_codec.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

/* A schema that refers to itself is unrolled so far; and one schema so often. */
enum { REFERENCE_DEPTH_MAX = 6, REFERENCES_MAX = 256, TOKENS_MAX = 1 << 16 };

typedef enum {
    AS_IS,
    TYPE,
    NULLABLE,
    SCHEMA,  /* a schema */
    SCHEMAS, /* a list of them */
    NAMED,   /* an object of them */
    NUMBER,  /* which the older dialect may have as a string */
    FORMAT,
    ENUM,
    CONSTANT,
    REFERENCE,
    MEANINGLESS, /* to the other dialect, and no constraint */
    LOST         /* a constraint that the older dialect does not have */
} treatment_t;

typedef struct {
    relay_span_t name;
    treatment_t old;    /* on its way from the older dialect */
    treatment_t modern; /* on its way into it */
} keyword_t;

static const keyword_t keywords[] = {
    {RELAY_SPAN_INIT("type"), TYPE, TYPE},
    {RELAY_SPAN_INIT("nullable"), NULLABLE, AS_IS},
    {RELAY_SPAN_INIT("properties"), NAMED, NAMED},
    {RELAY_SPAN_INIT("items"), SCHEMA, SCHEMA},
    {RELAY_SPAN_INIT("anyOf"), SCHEMAS, SCHEMAS},
    {RELAY_SPAN_INIT("oneOf"), SCHEMAS, SCHEMAS},
    {RELAY_SPAN_INIT("allOf"), SCHEMAS, LOST},
    {RELAY_SPAN_INIT("prefixItems"), SCHEMAS, LOST},
    {RELAY_SPAN_INIT("additionalProperties"), SCHEMA, LOST},
    {RELAY_SPAN_INIT("defs"), NAMED, MEANINGLESS},
    {RELAY_SPAN_INIT("$defs"), NAMED, MEANINGLESS},
    {RELAY_SPAN_INIT("definitions"), NAMED, MEANINGLESS},
    {RELAY_SPAN_INIT("$ref"), AS_IS, REFERENCE},
    {RELAY_SPAN_INIT("enum"), AS_IS, ENUM},
    {RELAY_SPAN_INIT("const"), AS_IS, CONSTANT},
    {RELAY_SPAN_INIT("format"), FORMAT, FORMAT},
    {RELAY_SPAN_INIT("minItems"), NUMBER, AS_IS},
    {RELAY_SPAN_INIT("maxItems"), NUMBER, AS_IS},
    {RELAY_SPAN_INIT("minLength"), NUMBER, AS_IS},
    {RELAY_SPAN_INIT("maxLength"), NUMBER, AS_IS},
    {RELAY_SPAN_INIT("minProperties"), NUMBER, AS_IS},
    {RELAY_SPAN_INIT("maxProperties"), NUMBER, AS_IS},
    {RELAY_SPAN_INIT("propertyOrdering"), MEANINGLESS, AS_IS},
    {RELAY_SPAN_INIT("title"), AS_IS, AS_IS},
    {RELAY_SPAN_INIT("description"), AS_IS, AS_IS},
    {RELAY_SPAN_INIT("required"), AS_IS, AS_IS},
    {RELAY_SPAN_INIT("default"), AS_IS, AS_IS},
    {RELAY_SPAN_INIT("example"), AS_IS, AS_IS},
    {RELAY_SPAN_INIT("minimum"), AS_IS, AS_IS},
    {RELAY_SPAN_INIT("maximum"), AS_IS, AS_IS},
    {RELAY_SPAN_INIT("pattern"), AS_IS, AS_IS},
    {RELAY_SPAN_INIT("$schema"), AS_IS, MEANINGLESS},
    {RELAY_SPAN_INIT("$id"), AS_IS, MEANINGLESS},
    {RELAY_SPAN_INIT("$comment"), AS_IS, MEANINGLESS},
    {RELAY_SPAN_INIT("examples"), AS_IS, MEANINGLESS},
    {RELAY_SPAN_INIT("strict"), AS_IS, MEANINGLESS},
};

/* NULL for a word that is in no list. */
static const keyword_t *find(const relay_json_tree_t *tree, relay_json_node_t key)
{
    for (size_t i = 0; i < COUNT(keywords); i++) {
        if (relay_gemini_key(tree, key, &keywords[i].name, 1) == 0) {
            return &keywords[i];
        }
    }
    return NULL;
}

typedef struct {
    const relay_json_tree_t *tree;
    relay_buf_t *out;
    bool modern; /* into the older dialect */
    bool lossy;
    unsigned depth;      /* of references that are being put in place */
    unsigned references; /* so far */
} writing_t;

static void put_schema(writing_t *writing, relay_json_node_t node);

static relay_json_node_t member(const relay_json_tree_t *tree, relay_json_node_t node,
                                relay_span_t name)
{
    relay_json_node_t found;

    relay_gemini_pick(tree, node, &name, 1, &found);
    return found;
}

/* ---- what both directions share ------------------------------------------ */

static void open_member(writing_t *writing, relay_span_t name, bool *any)
{
    relay_buf_put(writing->out, *any ? RELAY_SPAN(",\"") : RELAY_SPAN("\""));
    relay_buf_put(writing->out, name);
    RELAY_PUT(writing->out, "\":");
    *any = true;
}

static void put_raw(writing_t *writing, relay_json_node_t node)
{
    relay_buf_put(writing->out, relay_json_value(writing->tree, node).text);
}

static void put_cased(writing_t *writing, relay_span_t word)
{
    relay_buf_put_byte(writing->out, '"');
    for (size_t i = 0; i < word.len; i++) {
        uint8_t byte = word.base[i];
        if (writing->modern && byte >= 'a' && byte <= 'z') {
            byte = (uint8_t)(byte - 'a' + 'A');
        } else if (!writing->modern && byte >= 'A' && byte <= 'Z') {
            byte = (uint8_t)(byte - 'A' + 'a');
        }
        relay_buf_put_byte(writing->out, byte);
    }
    relay_buf_put_byte(writing->out, '"');
}

/* The members of an object whose values are schemas: names are the caller's own. */
static void put_named(writing_t *writing, relay_json_node_t object)
{
    relay_json_node_t key;
    bool any = false;

    RELAY_PUT(writing->out, "{");
    for (key = relay_json_first(writing->tree, object); key != RELAY_JSON_NOWHERE;
         key = relay_json_next(writing->tree, object, key)) {
        open_member(writing, relay_json_content(writing->tree, key), &any);
        put_schema(writing, key + 1);
    }
    RELAY_PUT(writing->out, "}");
}

static bool says_null(const relay_json_tree_t *tree, relay_json_node_t schema)
{
    return relay_json_reads(tree, member(tree, schema, RELAY_SPAN("type")), RELAY_SPAN("null"));
}

/* The older dialect has no type of null: it is said beside the list. */
static void put_list(writing_t *writing, relay_json_node_t list)
{
    relay_json_node_t each;
    bool any = false;

    RELAY_PUT(writing->out, "[");
    for (each = relay_json_first(writing->tree, list); each != RELAY_JSON_NOWHERE;
         each = relay_json_next(writing->tree, list, each)) {
        if (writing->modern && says_null(writing->tree, each)) {
            continue;
        }
        relay_buf_put(writing->out, any ? RELAY_SPAN(",") : RELAY_SPAN(""));
        any = true;
        put_schema(writing, each);
    }
    RELAY_PUT(writing->out, "]");
}

static bool list_has_null(const relay_json_tree_t *tree, relay_json_node_t list)
{
    relay_json_node_t each;

    for (each = relay_json_first(tree, list); each != RELAY_JSON_NOWHERE;
         each = relay_json_next(tree, list, each)) {
        if (relay_json_reads(tree, each, RELAY_SPAN("null")) || says_null(tree, each)) {
            return true;
        }
    }
    return false;
}

static bool is_container(const relay_json_tree_t *tree, relay_json_node_t node,
                         treatment_t treatment)
{
    relay_json_type_t type = relay_json_type(tree, node);

    return treatment == SCHEMAS ? type == RELAY_JSON_ARRAY : type == RELAY_JSON_OBJECT;
}

/* ---- out of the older dialect -------------------------------------------- */

static void put_old_type(writing_t *writing, relay_json_node_t schema, relay_json_node_t type,
                         bool *any)
{
    relay_json_node_t nullable = member(writing->tree, schema, RELAY_SPAN("nullable"));
    relay_span_t word = relay_json_content(writing->tree, type);

    if (relay_span_eq(word, RELAY_SPAN("TYPE_UNSPECIFIED"))) {
        return;
    }
    open_member(writing, RELAY_SPAN("type"), any);
    if (word.len == 0) {
        put_raw(writing, type);
    } else if (relay_json_type(writing->tree, nullable) == RELAY_JSON_TRUE) {
        RELAY_PUT(writing->out, "[");
        put_cased(writing, word);
        RELAY_PUT(writing->out, ",\"null\"]");
    } else {
        put_cased(writing, word);
    }
}

static void put_count(writing_t *writing, relay_json_node_t node)
{
    relay_span_t text = relay_json_content(writing->tree, node);
    uint64_t number;

    if (relay_json_uint((relay_json_value_t){RELAY_JSON_NUMBER, text}, &number)) {
        relay_buf_put_u64(writing->out, number);
    } else {
        put_raw(writing, node);
    }
}

static void put_old_member(writing_t *writing, relay_json_node_t schema, relay_json_node_t key,
                           bool *any)
{
    const keyword_t *keyword = find(writing->tree, key);
    treatment_t treatment = keyword != NULL ? keyword->old : AS_IS;
    relay_json_node_t value = key + 1;

    if (treatment == TYPE) {
        put_old_type(writing, schema, value, any);
        return;
    }
    if (treatment == NULLABLE || treatment == MEANINGLESS ||
        (treatment == FORMAT && relay_json_reads(writing->tree, value, RELAY_SPAN("enum")))) {
        return;
    }
    open_member(writing, keyword != NULL ? keyword->name : relay_json_content(writing->tree, key),
                any);
    if (treatment == NUMBER) {
        put_count(writing, value);
    } else if (treatment == SCHEMA) {
        put_schema(writing, value);
    } else if (treatment == NAMED && is_container(writing->tree, value, treatment)) {
        put_named(writing, value);
    } else if (treatment == SCHEMAS && is_container(writing->tree, value, treatment)) {
        put_list(writing, value);
    } else {
        put_raw(writing, value);
    }
}

/* ---- into the older dialect ---------------------------------------------- */

/* One type, or one beside null; of several each is a schema of its own. */
static void put_types(writing_t *writing, relay_json_node_t list, bool *any)
{
    relay_json_node_t each, only = RELAY_JSON_NOWHERE;
    unsigned count = 0;

    for (each = relay_json_first(writing->tree, list); each != RELAY_JSON_NOWHERE;
         each = relay_json_next(writing->tree, list, each)) {
        if (!relay_json_reads(writing->tree, each, RELAY_SPAN("null"))) {
            only = each;
            count++;
        }
    }
    if (count == 1) {
        open_member(writing, RELAY_SPAN("type"), any);
        put_cased(writing, relay_json_content(writing->tree, only));
        return;
    }
    open_member(writing, RELAY_SPAN("anyOf"), any);
    RELAY_PUT(writing->out, "[");
    for (each = relay_json_first(writing->tree, list); each != RELAY_JSON_NOWHERE;
         each = relay_json_next(writing->tree, list, each)) {
        if (!relay_json_reads(writing->tree, each, RELAY_SPAN("null"))) {
            RELAY_PUT(writing->out, "{\"type\":");
            put_cased(writing, relay_json_content(writing->tree, each));
            relay_buf_put(writing->out, --count != 0 ? RELAY_SPAN("},") : RELAY_SPAN("}"));
        }
    }
    RELAY_PUT(writing->out, "]");
}

static void put_type(writing_t *writing, relay_json_node_t type, bool *any)
{
    if (relay_json_type(writing->tree, type) == RELAY_JSON_ARRAY) {
        put_types(writing, type, any);
    } else if (relay_json_reads(writing->tree, type, RELAY_SPAN("null"))) {
        writing->lossy = true;
    } else {
        open_member(writing, RELAY_SPAN("type"), any);
        put_cased(writing, relay_json_content(writing->tree, type));
    }
}

/* Only strings can be listed. */
static void put_enum(writing_t *writing, relay_json_node_t list, bool *any)
{
    relay_json_node_t each;
    bool first = true;

    for (each = relay_gemini_first(writing->tree, list); each != RELAY_JSON_NOWHERE;
         each = relay_gemini_next(writing->tree, list, each)) {
        if (relay_json_type(writing->tree, each) != RELAY_JSON_STRING) {
            writing->lossy = true;
            continue;
        }
        if (first) {
            open_member(writing, RELAY_SPAN("enum"), any);
        }
        relay_buf_put(writing->out, first ? RELAY_SPAN("[") : RELAY_SPAN(","));
        put_raw(writing, each);
        first = false;
    }
    relay_buf_put(writing->out, first ? RELAY_SPAN("") : RELAY_SPAN("]"));
}

static void put_format(writing_t *writing, relay_json_node_t node, bool *any)
{
    static const relay_span_t known[] = {
        RELAY_SPAN_INIT("date-time"), RELAY_SPAN_INIT("enum"),  RELAY_SPAN_INIT("int32"),
        RELAY_SPAN_INIT("int64"),     RELAY_SPAN_INIT("float"), RELAY_SPAN_INIT("double"),
    };

    for (size_t i = 0; i < COUNT(known); i++) {
        if (relay_json_reads(writing->tree, node, known[i])) {
            open_member(writing, RELAY_SPAN("format"), any);
            put_raw(writing, node);
            return;
        }
    }
    writing->lossy = true;
}

/* The node that "#/$defs/name" points to. */
static relay_json_node_t resolve(const relay_json_tree_t *tree, relay_span_t pointer)
{
    relay_json_node_t node = 0;

    if (!relay_span_starts(pointer, RELAY_SPAN("#"))) {
        return RELAY_JSON_NOWHERE;
    }
    pointer = relay_span_from(pointer, 1);
    while (pointer.len != 0 && node != RELAY_JSON_NOWHERE) {
        const uint8_t *slash;
        relay_span_t name;
        pointer = relay_span_from(pointer, 1);
        slash = pointer.len != 0 ? memchr(pointer.base, '/', pointer.len) : NULL;
        name =
            relay_span(pointer.base, slash != NULL ? (size_t)(slash - pointer.base) : pointer.len);
        pointer = relay_span_from(pointer, name.len);
        relay_json_pick(tree, node, &name, 1, &node);
    }
    return node;
}

static void put_members(writing_t *writing, relay_json_node_t schema, bool *any);

/* What is referred to, in place of the reference; not for ever. */
static void put_reference(writing_t *writing, relay_json_node_t node, bool *any)
{
    relay_json_node_t target = resolve(writing->tree, relay_json_content(writing->tree, node));

    if (target == RELAY_JSON_NOWHERE || writing->depth == REFERENCE_DEPTH_MAX ||
        writing->references == REFERENCES_MAX) {
        writing->lossy = true;
        open_member(writing, RELAY_SPAN("type"), any);
        RELAY_PUT(writing->out, "\"OBJECT\"");
        return;
    }
    writing->depth++;
    writing->references++;
    put_members(writing, target, any);
    writing->depth--;
}

static void put_constant(writing_t *writing, relay_json_node_t schema, relay_json_node_t value,
                         bool *any)
{
    bool typed = member(writing->tree, schema, RELAY_SPAN("type")) != RELAY_JSON_NOWHERE;

    if (!typed && relay_json_type(writing->tree, value) == RELAY_JSON_STRING) {
        open_member(writing, RELAY_SPAN("type"), any);
        RELAY_PUT(writing->out, "\"STRING\"");
    }
    put_enum(writing, value, any);
}

static void put_modern_member(writing_t *writing, relay_json_node_t schema, relay_json_node_t key,
                              bool *any)
{
    const keyword_t *keyword = find(writing->tree, key);
    treatment_t treatment = keyword != NULL ? keyword->modern : LOST;
    relay_json_node_t value = key + 1;
    bool fits = is_container(writing->tree, value, treatment);

    switch (treatment) {
    case TYPE:
        put_type(writing, value, any);
        break;
    case REFERENCE:
        put_reference(writing, value, any);
        break;
    case ENUM:
        put_enum(writing, value, any);
        break;
    case CONSTANT:
        put_constant(writing, schema, value, any);
        break;
    case FORMAT:
        put_format(writing, value, any);
        break;
    case SCHEMA:
    case NAMED:
        if (fits &&
            (treatment == SCHEMA || relay_json_first(writing->tree, value) != RELAY_JSON_NOWHERE)) {
            open_member(writing, keyword->name, any);
            (treatment == NAMED ? put_named : put_schema)(writing, value);
        }
        break;
    case SCHEMAS:
        if (fits) {
            open_member(writing, RELAY_SPAN("anyOf"), any);
            put_list(writing, value);
        }
        break;
    case AS_IS:
        open_member(writing, keyword->name, any);
        put_raw(writing, value);
        break;
    case MEANINGLESS:
        break;
    default:
        writing->lossy = true;
        break;
    }
}

/* null as one of the types, or of the alternatives. */
static bool may_be_null(const relay_json_tree_t *tree, relay_json_node_t schema)
{
    return member(tree, schema, RELAY_SPAN("nullable")) == RELAY_JSON_NOWHERE &&
           (list_has_null(tree, member(tree, schema, RELAY_SPAN("type"))) ||
            list_has_null(tree, member(tree, schema, RELAY_SPAN("anyOf"))) ||
            list_has_null(tree, member(tree, schema, RELAY_SPAN("oneOf"))));
}

/* A list has to say of what. */
static void complete(writing_t *writing, relay_json_node_t schema, bool *any)
{
    const relay_json_tree_t *tree = writing->tree;

    if (may_be_null(tree, schema)) {
        open_member(writing, RELAY_SPAN("nullable"), any);
        RELAY_PUT(writing->out, "true");
    }
    if (relay_json_reads(tree, member(tree, schema, RELAY_SPAN("type")), RELAY_SPAN("array")) &&
        relay_json_type(tree, member(tree, schema, RELAY_SPAN("items"))) != RELAY_JSON_OBJECT) {
        open_member(writing, RELAY_SPAN("items"), any);
        RELAY_PUT(writing->out, "{\"type\":\"STRING\"}");
        writing->lossy = true;
    }
}

/* ---- schemas ------------------------------------------------------------- */

static void put_members(writing_t *writing, relay_json_node_t schema, bool *any)
{
    relay_json_node_t key;

    if (relay_json_type(writing->tree, schema) != RELAY_JSON_OBJECT) {
        return;
    }
    for (key = relay_json_first(writing->tree, schema); key != RELAY_JSON_NOWHERE;
         key = relay_json_next(writing->tree, schema, key)) {
        if (writing->modern) {
            put_modern_member(writing, schema, key, any);
        } else {
            put_old_member(writing, schema, key, any);
        }
    }
    if (writing->modern) {
        complete(writing, schema, any);
    }
}

static void put_schema(writing_t *writing, relay_json_node_t node)
{
    bool any = false;

    if (relay_json_type(writing->tree, node) != RELAY_JSON_OBJECT && !writing->modern) {
        put_raw(writing, node);
        return;
    }
    RELAY_PUT(writing->out, "{");
    put_members(writing, node, &any);
    RELAY_PUT(writing->out, "}");
}

bool relay_gemini_read_schema(relay_gemini_reading_t *reading, relay_json_node_t node,
                              relay_json_value_t *schema)
{
    relay_buf_t out = relay_buf(NULL, 0);
    writing_t writing = {.tree = reading->tree, .out = &out};
    uint8_t *bytes;

    put_schema(&writing, node);
    bytes = relay_codec_new(reading->translation, out.len);
    if (bytes == NULL) {
        return false;
    }
    out = relay_buf(bytes, out.len);
    put_schema(&writing, node);
    *schema = (relay_json_value_t){relay_json_type(reading->tree, node), relay_buf_span(&out)};
    return true;
}

bool relay_gemini_put_schema(relay_translation_t *translation, relay_buf_t *out,
                             relay_json_value_t schema, bool *lossy)
{
    size_t capacity = schema.text.len / 2 + 2;
    relay_json_token_t *tokens;
    relay_json_tree_t tree;
    relay_json_fault_t fault;
    writing_t writing = {.tree = &tree, .out = out, .modern = true};

    capacity = capacity < TOKENS_MAX ? capacity : TOKENS_MAX;
    tokens = relay_codec_new(translation, capacity * sizeof(*tokens));
    tree = (relay_json_tree_t){.text = schema.text, .tokens = tokens};
    if (tokens == NULL) {
        return false;
    }
    if (relay_json_tape(schema.text, tokens, capacity, &tree.count, false, &fault) !=
        RELAY_TAPE_OK) {
        return relay_codec_refuse_field(translation, RELAY_FIELD_TOOLS,
                                        RELAY_SPAN("the schema is too large"));
    }
    put_schema(&writing, 0);
    *lossy = writing.lossy;
    return true;
}
