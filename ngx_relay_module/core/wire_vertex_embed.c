/*
 * Predictions of Vertex's text embedding models. Errors and tasks are Gemini's,
 * the rest is not. Reached through the registries only.
 */

#include "wire_embed.h"
#include "wire_gemini.h"
#include "wire_support.h"

/* ---- requests ------------------------------------------------------------ */

/* Without the parameter what is too long would be cut in silence. */
static relay_error_code_t write_request(relay_translation_t *translation,
                                        const relay_texts_t *texts, relay_buf_t *out)
{
    const relay_text_t *text = texts->texts;

    RELAY_PUT(out, "{\"instances\":[");
    for (; text != NULL; text = text->next) {
        RELAY_PUT(out, "{\"content\":");
        relay_codec_put_string(out, text->text);
        relay_codec_put_text(out, RELAY_SPAN(",\"task_type\":"),
                             relay_embed_google_task(texts->purpose));
        relay_buf_put(out, text->next != NULL ? RELAY_SPAN("},") : RELAY_SPAN("}"));
    }
    RELAY_PUT(out, "],\"parameters\":{\"autoTruncate\":false");
    relay_codec_put_value(out, RELAY_SPAN(",\"outputDimensionality\":"), texts->dimensions);
    RELAY_PUT(out, "}}");
    return translation->error.code;
}

/* ---- answers ------------------------------------------------------------- */

/* Of one prediction. */
typedef struct {
    relay_json_value_t values;
    relay_json_value_t count;
} prediction_t;

/* The members of an object that are wanted; all ABSENT for anything else. */
static void pick(relay_json_value_t object, const relay_span_t *keys, size_t nkeys,
                 relay_json_value_t *values)
{
    memset(values, 0, nkeys * sizeof(values[0]));
    if (object.type == RELAY_JSON_OBJECT) {
        relay_json_members(object.text, keys, nkeys, values);
    }
}

static bool next_prediction(relay_json_value_t list, size_t *cursor, prediction_t *prediction)
{
    enum { VALUES, STATISTICS, KEYS };
    static const relay_span_t outer = RELAY_SPAN_INIT("embeddings");
    static const relay_span_t keys[KEYS] = {RELAY_SPAN_INIT("values"),
                                            RELAY_SPAN_INIT("statistics")};
    static const relay_span_t count = RELAY_SPAN_INIT("token_count");
    relay_json_value_t embeddings, values[KEYS];

    if (list.type != RELAY_JSON_ARRAY ||
        relay_json_element_members(list.text, cursor, &outer, 1, &embeddings) ==
            RELAY_JSON_ABSENT) {
        return false;
    }
    pick(embeddings, keys, KEYS, values);
    prediction->values = values[VALUES];
    pick(values[STATISTICS], &count, 1, &prediction->count);
    return true;
}

static const relay_span_t predictions_key = RELAY_SPAN_INIT("predictions");

static void add_usage(const prediction_t *prediction, relay_usage_t *usage)
{
    uint64_t tokens;

    if (relay_wire_count(prediction->count, &tokens)) {
        usage->known = true;
        usage->input_tokens += tokens;
    }
}

static relay_error_code_t read_response(relay_translation_t *translation, relay_span_t body,
                                        relay_vectors_t *vectors)
{
    relay_vector_t **tail = &vectors->vectors;
    relay_json_value_t list;
    prediction_t prediction;
    size_t cursor = 0;

    if (!relay_wire_read(body, &predictions_key, 1, &list) || list.type != RELAY_JSON_ARRAY) {
        return relay_embed_unreadable(translation);
    }
    while (next_prediction(list, &cursor, &prediction) &&
           relay_vectors_add(translation, vectors, &tail, prediction.values)) {
        add_usage(&prediction, &vectors->usage);
    }
    return translation->error.code;
}

static void answer(relay_span_t body, relay_answer_t *answer)
{
    relay_json_value_t list;
    prediction_t prediction;
    size_t cursor = 0;

    relay_wire_gemini.answer(body, answer);
    relay_wire_glance(body, &predictions_key, 1, &list);
    while (next_prediction(list, &cursor, &prediction)) {
        add_usage(&prediction, &answer->usage);
    }
}

static void echo(relay_buf_t *out, const relay_echo_t *echo, relay_usage_t *usage)
{
    *usage = relay_embed_echo_usage(echo);
    RELAY_PUT(out, "{\"predictions\":[{\"embeddings\":{\"values\":[1],\"statistics\":"
                   "{\"truncated\":false,\"token_count\":");
    relay_buf_put_u64(out, usage->input_tokens);
    RELAY_PUT(out, "}}}]}");
}

const relay_wire_t relay_wire_vertex_embed = {
    .name = RELAY_SPAN_INIT("vertex-embed"),
    .index = RELAY_WIRE_VERTEX_EMBED,
    .dialect = &relay_dialect_gemini,
    .path = RELAY_SPAN_INIT("publishers/google/models/{model}:predict"),
    RELAY_EMBED_WIRE,
    .answer = answer,
    .echo = echo,
};

static const struct relay_embedding_codec_s embeddings = {
    .write_request = write_request,
    .read_response = read_response,
};

const relay_codec_t relay_codec_vertex_embed = {
    .wire = &relay_wire_vertex_embed,
    .embeddings = &embeddings,
    RELAY_EMBEDDING_CODEC,
};
