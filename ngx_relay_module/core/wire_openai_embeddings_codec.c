/*
 * The codec of OpenAI Embeddings, for callers: requests are read, answers are
 * written. Upstreams of this format get the caller's own bytes. Reached through
 * wire_codecs.c.
 */

#include "wire_embed.h"
#include "wire_openai.h"

enum { MODEL, INPUT, ENCODING, DIMENSIONS, USER, INPUT_TYPE, KEYS };

static const relay_span_t keys[KEYS] = {
    RELAY_SPAN_INIT("model"),      RELAY_SPAN_INIT("input"), RELAY_SPAN_INIT("encoding_format"),
    RELAY_SPAN_INIT("dimensions"), RELAY_SPAN_INIT("user"),  RELAY_SPAN_INIT("input_type")};

typedef struct {
    relay_translation_t *translation;
    const relay_json_tree_t *tree;
    relay_texts_t *texts;
} reading_t;

static bool refuse(const reading_t *reading, unsigned key, const char *message)
{
    const relay_place_t place = {NULL, keys[key], RELAY_PLACE_NO_INDEX};

    return relay_codec_refuse(reading->translation, &place, relay_span(message, strlen(message)));
}

/* ---- input --------------------------------------------------------------- */

static bool refuse_text(const reading_t *reading, relay_json_node_t node,
                        const relay_place_t *place)
{
    relay_span_t message = RELAY_SPAN("must be a string or an array of strings");

    if (relay_json_type(reading->tree, node) == RELAY_JSON_NUMBER ||
        relay_json_type(reading->tree, node) == RELAY_JSON_ARRAY) {
        message = RELAY_SPAN("tokens are not supported by the provider of this model: send text");
    } else if (relay_json_type(reading->tree, node) == RELAY_JSON_STRING) {
        message = RELAY_SPAN("must not be empty");
    }
    return relay_codec_refuse(reading->translation, place, message);
}

static bool add_text(const reading_t *reading, relay_json_node_t node, const relay_place_t *place,
                     relay_text_t ***tail)
{
    relay_span_t content = relay_json_content(reading->tree, node);
    relay_text_t *text;

    if (content.len == 0) {
        return refuse_text(reading, node, place);
    }
    text = relay_codec_new(reading->translation, sizeof(*text));
    if (text == NULL) {
        return false;
    }
    text->text = content;
    **tail = text;
    *tail = &text->next;
    reading->texts->count++;
    return true;
}

/* As many as the real endpoint takes. */
enum { INPUTS_MAX = 2048 };

static bool read_list(const reading_t *reading, relay_json_node_t list, relay_text_t ***tail)
{
    relay_place_t place = {NULL, keys[INPUT], 0};
    relay_json_node_t node = relay_json_first(reading->tree, list);

    if (node == RELAY_JSON_NOWHERE) {
        return refuse(reading, INPUT, "must not be empty");
    }
    if (relay_json_type(reading->tree, node) == RELAY_JSON_NUMBER) { /* the list is one input */
        place.index = RELAY_PLACE_NO_INDEX;
    }
    for (; node != RELAY_JSON_NOWHERE; node = relay_json_next(reading->tree, list, node)) {
        if (reading->texts->count == INPUTS_MAX) {
            return refuse(reading, INPUT, "must not have more than 2048 inputs");
        }
        if (!add_text(reading, node, &place, tail)) {
            return false;
        }
        place.index++;
    }
    return true;
}

static bool read_input(const reading_t *reading, relay_json_node_t node)
{
    const relay_place_t place = {NULL, keys[INPUT], RELAY_PLACE_NO_INDEX};
    relay_text_t **tail = &reading->texts->texts;

    switch (relay_json_type(reading->tree, node)) {
    case RELAY_JSON_ABSENT:
    case RELAY_JSON_NULL:
        return relay_codec_missing(reading->translation, &place);
    case RELAY_JSON_ARRAY:
        return read_list(reading, node, &tail);
    default:
        return add_text(reading, node, &place, &tail);
    }
}

/* ---- other members ------------------------------------------------------- */

static bool is_said(const reading_t *reading, relay_json_node_t node)
{
    return relay_json_type(reading->tree, node) > RELAY_JSON_NULL;
}

static bool read_encoding(const reading_t *reading, relay_json_node_t node)
{
    bool base64 = relay_json_reads(reading->tree, node, RELAY_SPAN("base64"));

    reading->translation->base64 = base64;
    return base64 || !is_said(reading, node) ||
           relay_json_reads(reading->tree, node, RELAY_SPAN("float")) ||
           refuse(reading, ENCODING, "must be 'float' or 'base64'");
}

static bool read_dimensions(const reading_t *reading, relay_json_node_t node)
{
    relay_json_value_t value = relay_json_value(reading->tree, node);
    uint64_t number = 0;

    if (!is_said(reading, node)) {
        return true;
    }
    if (!relay_json_uint(value, &number) || number == 0) {
        return refuse(reading, DIMENSIONS, "must be a positive integer");
    }
    reading->texts->dimensions = value;
    return true;
}

/* Not of OpenAI, but of compatible vendors, in their words. */
static void read_purpose(const reading_t *reading, relay_json_node_t node)
{
    static const struct {
        relay_span_t word;
        relay_purpose_t purpose;
    } words[] = {
        {RELAY_SPAN_INIT("document"), RELAY_PURPOSE_DOCUMENT},
        {RELAY_SPAN_INIT("passage"), RELAY_PURPOSE_DOCUMENT},
        {RELAY_SPAN_INIT("search_document"), RELAY_PURPOSE_DOCUMENT},
        {RELAY_SPAN_INIT("query"), RELAY_PURPOSE_QUERY},
        {RELAY_SPAN_INIT("search_query"), RELAY_PURPOSE_QUERY},
        {RELAY_SPAN_INIT("classification"), RELAY_PURPOSE_CLASSIFICATION},
        {RELAY_SPAN_INIT("clustering"), RELAY_PURPOSE_CLUSTERING},
        {RELAY_SPAN_INIT("semantic_similarity"), RELAY_PURPOSE_SIMILARITY},
    };

    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (relay_json_reads(reading->tree, node, words[i].word)) {
            reading->texts->purpose = words[i].purpose;
            return;
        }
    }
    if (is_said(reading, node)) {
        relay_codec_drop_name(reading->translation, keys[INPUT_TYPE]);
    }
}

/* No upstream of another format has a place for them. */
static bool leave_rest(const reading_t *reading, relay_json_node_t user)
{
    relay_member_t *extras = NULL;

    if (is_said(reading, user)) {
        relay_codec_drop(reading->translation, RELAY_FIELD_USER);
    }
    return relay_codec_extras(reading->translation, reading->tree, 0, keys, KEYS, NULL, 0,
                              &extras) &&
           relay_codec_leave(reading->translation, extras, NULL);
}

static relay_error_code_t read_request(relay_translation_t *translation,
                                       const relay_json_tree_t *tree, relay_texts_t *texts)
{
    reading_t reading = {translation, tree, texts};
    relay_json_node_t nodes[KEYS];

    relay_json_pick(tree, 0, keys, KEYS, nodes);
    texts->model = relay_json_content(tree, nodes[MODEL]);
    if (!read_input(&reading, nodes[INPUT]) || !read_encoding(&reading, nodes[ENCODING]) ||
        !read_dimensions(&reading, nodes[DIMENSIONS]) || !leave_rest(&reading, nodes[USER])) {
        return translation->error.code;
    }
    read_purpose(&reading, nodes[INPUT_TYPE]);
    return translation->error.code;
}

/* ---- answers ------------------------------------------------------------- */

/* Clients add up the counters unasked: a provider that gives none counts as 0. */
static void put_usage(relay_buf_t *out, const relay_usage_t *usage)
{
    RELAY_PUT(out, ",\"usage\":{\"prompt_tokens\":");
    relay_buf_put_u64(out, usage->input_tokens);
    RELAY_PUT(out, ",\"total_tokens\":");
    relay_buf_put_u64(out, usage->input_tokens);
    RELAY_PUT(out, "}");
}

static relay_error_code_t write_response(relay_translation_t *translation,
                                         const relay_vectors_t *vectors, relay_buf_t *out)
{
    const relay_vector_t *vector = vectors->vectors;

    RELAY_PUT(out, "{\"object\":\"list\",\"data\":[");
    for (uint64_t index = 0; vector != NULL; vector = vector->next, index++) {
        relay_buf_put(out, index != 0 ? RELAY_SPAN(",") : relay_span(NULL, 0));
        RELAY_PUT(out, "{\"object\":\"embedding\",\"index\":");
        relay_buf_put_u64(out, index);
        RELAY_PUT(out, ",\"embedding\":");
        if (!relay_vector_put(translation, vector, translation->base64, out)) {
            return translation->error.code;
        }
        RELAY_PUT(out, "}");
    }
    RELAY_PUT(out, "],\"model\":");
    relay_codec_put_string(out, translation->model);
    put_usage(out, &vectors->usage);
    RELAY_PUT(out, "}");
    return RELAY_ERR_NONE;
}

static const struct relay_embedding_codec_s embeddings = {
    .read_request = read_request,
    .write_response = write_response,
};

const relay_codec_t relay_codec_openai_embeddings = {
    .wire = &relay_wire_openai_embeddings,
    .embeddings = &embeddings,
    RELAY_EMBEDDING_CODEC,
};
