/*
 * Vertex's embedContent, for Gemini's newer embedding models, which are not to be
 * had by predictions (wire_vertex_embed.c): one text per request. Errors, tasks and
 * usage are Gemini's. Reached through the registries only.
 */

#include "wire_embed.h"
#include "wire_gemini.h"
#include "wire_support.h"

/* ---- requests ------------------------------------------------------------ */

/* Without autoTruncate what is too long would be cut in silence. */
static relay_error_code_t write_request(relay_translation_t *translation,
                                        const relay_texts_t *texts, relay_buf_t *out)
{
    if (!relay_embed_is_one(translation, texts)) {
        return translation->error.code;
    }
    RELAY_PUT(out, "{\"content\":{\"role\":\"user\",\"parts\":[{\"text\":");
    relay_codec_put_string(out, texts->texts->text);
    RELAY_PUT(out, "}]},\"embedContentConfig\":{\"autoTruncate\":false");
    relay_codec_put_text(out, RELAY_SPAN(",\"taskType\":"),
                         relay_embed_google_task(texts->purpose));
    relay_codec_put_value(out, RELAY_SPAN(",\"outputDimensionality\":"), texts->dimensions);
    RELAY_PUT(out, "}}");
    return translation->error.code;
}

/* ---- answers ------------------------------------------------------------- */

enum { EMBEDDING, USAGE, ANSWER_KEYS };

static const relay_span_t answer_keys[ANSWER_KEYS] = {RELAY_SPAN_INIT("embedding"),
                                                      RELAY_SPAN_INIT("usageMetadata")};

static relay_error_code_t read_response(relay_translation_t *translation, relay_span_t body,
                                        relay_vectors_t *vectors)
{
    static const relay_span_t key = RELAY_SPAN_INIT("values");
    relay_vector_t **tail = &vectors->vectors;
    relay_json_value_t answer[ANSWER_KEYS], values;

    if (!relay_wire_read(body, answer_keys, ANSWER_KEYS, answer) ||
        answer[EMBEDDING].type != RELAY_JSON_OBJECT) {
        return relay_embed_unreadable(translation);
    }
    relay_gemini_usage(answer[USAGE], &vectors->usage);
    relay_json_members(answer[EMBEDDING].text, &key, 1, &values);
    relay_vectors_add(translation, vectors, &tail, values);
    return translation->error.code;
}

static void answer(relay_span_t body, relay_answer_t *answer)
{
    relay_wire_gemini.answer(body, answer);
}

static void echo(relay_buf_t *out, const relay_echo_t *echo, relay_usage_t *usage)
{
    *usage = relay_embed_echo_usage(echo);
    RELAY_PUT(out, "{\"embedding\":{\"values\":[1]},\"usageMetadata\":{\"promptTokenCount\":");
    relay_buf_put_u64(out, usage->input_tokens);
    RELAY_PUT(out, "}}");
}

const relay_wire_t relay_wire_vertex_embed_content = {
    .name = RELAY_SPAN_INIT("vertex-embed-content"),
    .index = RELAY_WIRE_VERTEX_EMBED_CONTENT,
    .dialect = &relay_dialect_gemini,
    .path = RELAY_SPAN_INIT("publishers/google/models/{model}:embedContent"),
    RELAY_EMBED_WIRE,
    .answer = answer,
    .echo = echo,
};

static const struct relay_embedding_codec_s embeddings = {
    .write_request = write_request,
    .read_response = read_response,
};

const relay_codec_t relay_codec_vertex_embed_content = {
    .wire = &relay_wire_vertex_embed_content,
    .embeddings = &embeddings,
    RELAY_EMBEDDING_CODEC,
};
