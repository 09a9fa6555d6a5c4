/*
 * Gemini's batchEmbedContents. Reached through the registries only.
 */

#include "wire_embed.h"
#include "wire_gemini.h"
#include "wire_support.h"

/* ---- requests ------------------------------------------------------------ */

static relay_error_code_t write_request(relay_translation_t *translation,
                                        const relay_texts_t *texts, relay_buf_t *out)
{
    const relay_text_t *text = texts->texts;

    RELAY_PUT(out, "{\"requests\":[");
    for (; text != NULL; text = text->next) {
        RELAY_PUT(out, "{\"model\":");
        relay_embed_put_model(out, translation, RELAY_SPAN("models/"), texts);
        RELAY_PUT(out, ",\"content\":{\"parts\":[{\"text\":");
        relay_codec_put_string(out, text->text);
        RELAY_PUT(out, "}]}");
        relay_codec_put_text(out, RELAY_SPAN(",\"taskType\":"),
                             relay_embed_google_task(texts->purpose));
        relay_codec_put_value(out, RELAY_SPAN(",\"outputDimensionality\":"), texts->dimensions);
        relay_buf_put(out, text->next != NULL ? RELAY_SPAN("},") : RELAY_SPAN("}"));
    }
    RELAY_PUT(out, "]}");
    return translation->error.code;
}

/* ---- answers ------------------------------------------------------------- */

/* One more vector for each element of list that has "values". */
static relay_error_code_t read_values(relay_translation_t *translation, relay_json_value_t list,
                                      relay_vectors_t *vectors)
{
    static const relay_span_t key = RELAY_SPAN_INIT("values");
    relay_vector_t **tail = &vectors->vectors;
    relay_json_value_t values;
    size_t cursor = 0;

    while (relay_json_element_members(list.text, &cursor, &key, 1, &values) != RELAY_JSON_ABSENT) {
        if (!relay_vectors_add(translation, vectors, &tail, values)) {
            break;
        }
    }
    return translation->error.code;
}

enum { EMBEDDINGS, USAGE, ANSWER_KEYS };

static const relay_span_t answer_keys[ANSWER_KEYS] = {RELAY_SPAN_INIT("embeddings"),
                                                      RELAY_SPAN_INIT("usageMetadata")};

static relay_error_code_t read_response(relay_translation_t *translation, relay_span_t body,
                                        relay_vectors_t *vectors)
{
    relay_json_value_t values[ANSWER_KEYS];

    if (!relay_wire_read(body, answer_keys, ANSWER_KEYS, values) ||
        values[EMBEDDINGS].type != RELAY_JSON_ARRAY) {
        return relay_embed_unreadable(translation);
    }
    relay_gemini_usage(values[USAGE], &vectors->usage);
    return read_values(translation, values[EMBEDDINGS], vectors);
}

/* Errors and usage are where the dialect has them. */
static void answer(relay_span_t body, relay_answer_t *answer)
{
    relay_wire_gemini.answer(body, answer);
}

static void echo(relay_buf_t *out, const relay_echo_t *echo, relay_usage_t *usage)
{
    *usage = relay_embed_echo_usage(echo);
    RELAY_PUT(out, "{\"embeddings\":[{\"values\":[1]}],\"usageMetadata\":{\"promptTokenCount\":");
    relay_buf_put_u64(out, usage->input_tokens);
    RELAY_PUT(out, "}}");
}

const relay_wire_t relay_wire_gemini_embed = {
    .name = RELAY_SPAN_INIT("gemini-embed"),
    .index = RELAY_WIRE_GEMINI_EMBED,
    .dialect = &relay_dialect_gemini,
    .path = RELAY_SPAN_INIT("models/{model}:batchEmbedContents"),
    RELAY_EMBED_WIRE,
    .answer = answer,
    .echo = echo,
};

static const struct relay_embedding_codec_s embeddings = {
    .write_request = write_request,
    .read_response = read_response,
};

const relay_codec_t relay_codec_gemini_embed = {
    .wire = &relay_wire_gemini_embed,
    .embeddings = &embeddings,
    RELAY_EMBEDDING_CODEC,
};
