/*
 * Amazon Titan text embeddings by Bedrock's InvokeModel: one text per request.
 * Reached through the registries only.
 */

#include "wire_bedrock_converse.h"
#include "wire_embed.h"
#include "wire_support.h"

/* ---- requests ------------------------------------------------------------ */

/* The older model refuses any member but the text: nothing is sent unasked. */
static relay_error_code_t write_request(relay_translation_t *translation,
                                        const relay_texts_t *texts, relay_buf_t *out)
{
    if (!relay_embed_is_one(translation, texts)) {
        return translation->error.code;
    }
    if (texts->purpose != RELAY_PURPOSE_UNSET) {
        relay_codec_drop_name(translation, RELAY_SPAN("input_type"));
    }
    RELAY_PUT(out, "{\"inputText\":");
    relay_codec_put_string(out, texts->texts->text);
    relay_codec_put_value(out, RELAY_SPAN(",\"dimensions\":"), texts->dimensions);
    RELAY_PUT(out, "}");
    return translation->error.code;
}

/* ---- answers ------------------------------------------------------------- */

enum { EMBEDDING, COUNT, ANSWER_KEYS };

static const relay_span_t answer_keys[ANSWER_KEYS] = {RELAY_SPAN_INIT("embedding"),
                                                      RELAY_SPAN_INIT("inputTextTokenCount")};

static void read_usage(relay_json_value_t count, relay_usage_t *usage)
{
    usage->known = relay_wire_count(count, &usage->input_tokens);
}

static relay_error_code_t read_response(relay_translation_t *translation, relay_span_t body,
                                        relay_vectors_t *vectors)
{
    relay_vector_t **tail = &vectors->vectors;
    relay_json_value_t values[ANSWER_KEYS];

    if (!relay_wire_read(body, answer_keys, ANSWER_KEYS, values) ||
        values[EMBEDDING].type != RELAY_JSON_ARRAY) {
        return relay_embed_unreadable(translation);
    }
    read_usage(values[COUNT], &vectors->usage);
    relay_vectors_add(translation, vectors, &tail, values[EMBEDDING]);
    return translation->error.code;
}

static void answer(relay_span_t body, relay_answer_t *answer)
{
    relay_json_value_t values[ANSWER_KEYS];

    memset(answer, 0, sizeof(*answer));
    relay_wire_glance(body, answer_keys, ANSWER_KEYS, values);
    if (values[EMBEDDING].type == RELAY_JSON_ABSENT) {
        relay_wire_bedrock_converse.answer(body, answer); /* all of Bedrock has its errors */
    }
    read_usage(values[COUNT], &answer->usage);
}

static void echo(relay_buf_t *out, const relay_echo_t *echo, relay_usage_t *usage)
{
    *usage = relay_embed_echo_usage(echo);
    RELAY_PUT(out, "{\"embedding\":[1],\"inputTextTokenCount\":");
    relay_buf_put_u64(out, usage->input_tokens);
    RELAY_PUT(out, "}");
}

const relay_wire_t relay_wire_bedrock_titan_embed = {
    .name = RELAY_SPAN_INIT("bedrock-titan-embed"),
    .index = RELAY_WIRE_BEDROCK_TITAN_EMBED,
    .dialect = &relay_dialect_bedrock,
    .path = RELAY_SPAN_INIT("model/{model}/invoke"),
    RELAY_EMBED_WIRE,
    .answer = answer,
    .echo = echo,
};

static const struct relay_embedding_codec_s embeddings = {
    .write_request = write_request,
    .read_response = read_response,
};

const relay_codec_t relay_codec_bedrock_titan_embed = {
    .wire = &relay_wire_bedrock_titan_embed,
    .embeddings = &embeddings,
    RELAY_EMBEDDING_CODEC,
};
