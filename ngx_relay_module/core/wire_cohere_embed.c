/*
 * Cohere's embed: its own API, and as a variant the same bodies by Bedrock's
 * InvokeModel. Reached through the registries only.
 */

#include "wire_bedrock_converse.h"
#include "wire_embed.h"
#include "wire_support.h"

/* ---- requests ------------------------------------------------------------ */

/* The format wants to be told: most vectors are made to be found. */
static relay_span_t input_type(relay_purpose_t purpose)
{
    static const relay_span_t words[RELAY_PURPOSES] = {
        [RELAY_PURPOSE_UNSET] = RELAY_SPAN_INIT("search_document"),
        [RELAY_PURPOSE_DOCUMENT] = RELAY_SPAN_INIT("search_document"),
        [RELAY_PURPOSE_QUERY] = RELAY_SPAN_INIT("search_query"),
        [RELAY_PURPOSE_CLASSIFICATION] = RELAY_SPAN_INIT("classification"),
        [RELAY_PURPOSE_CLUSTERING] = RELAY_SPAN_INIT("clustering"),
        [RELAY_PURPOSE_SIMILARITY] = RELAY_SPAN_INIT("clustering"),
    };

    return words[purpose];
}

/* Without "truncate" what is too long would be cut in silence. */
static relay_error_code_t write_request(relay_translation_t *translation,
                                        const relay_texts_t *texts, relay_buf_t *out)
{
    const relay_text_t *text = texts->texts;

    RELAY_PUT(out, "{\"model\":");
    relay_embed_put_model(out, translation, relay_span(NULL, 0), texts);
    RELAY_PUT(out, ",\"texts\":[");
    for (; text != NULL; text = text->next) {
        relay_codec_put_string(out, text->text);
        relay_buf_put(out, text->next != NULL ? RELAY_SPAN(",") : relay_span(NULL, 0));
    }
    RELAY_PUT(out, "]");
    relay_codec_put_text(out, RELAY_SPAN(",\"input_type\":"), input_type(texts->purpose));
    relay_codec_put_value(out, RELAY_SPAN(",\"output_dimension\":"), texts->dimensions);
    RELAY_PUT(out, ",\"embedding_types\":[\"float\"],\"truncate\":\"NONE\"}");
    return translation->error.code;
}

/* ---- answers ------------------------------------------------------------- */

enum { EMBEDDINGS, META, ANSWER_KEYS };

static const relay_span_t answer_keys[ANSWER_KEYS] = {RELAY_SPAN_INIT("embeddings"),
                                                      RELAY_SPAN_INIT("meta")};

static relay_json_value_t member(relay_json_value_t object, relay_span_t key)
{
    relay_json_value_t value = {RELAY_JSON_ABSENT, {NULL, 0}};

    if (object.type == RELAY_JSON_OBJECT) {
        relay_json_members(object.text, &key, 1, &value);
    }
    return value;
}

/* Bedrock tells it in a header instead: relay_variant_t.tokens_header. */
static void read_usage(relay_json_value_t meta, relay_usage_t *usage)
{
    relay_json_value_t units = member(meta, RELAY_SPAN("billed_units"));

    usage->known =
        relay_wire_count(member(units, RELAY_SPAN("input_tokens")), &usage->input_tokens);
}

/* The older form has the vectors themselves where the newer one has them by type. */
static relay_json_value_t find_list(relay_json_value_t embeddings)
{
    relay_json_value_t list = embeddings;

    if (embeddings.type == RELAY_JSON_OBJECT) {
        list = member(embeddings, RELAY_SPAN("float"));
        list = list.type == RELAY_JSON_ARRAY ? list : member(embeddings, RELAY_SPAN("base64"));
    }
    return list;
}

static relay_error_code_t read_response(relay_translation_t *translation, relay_span_t body,
                                        relay_vectors_t *vectors)
{
    relay_vector_t **tail = &vectors->vectors;
    relay_json_value_t values[ANSWER_KEYS], list, vector;
    size_t cursor = 0;

    relay_wire_read(body, answer_keys, ANSWER_KEYS, values);
    list = find_list(values[EMBEDDINGS]);
    if (list.type != RELAY_JSON_ARRAY) {
        return relay_embed_unreadable(translation);
    }
    read_usage(values[META], &vectors->usage);
    while (relay_json_element(list.text, &cursor, &vector) &&
           relay_vectors_add(translation, vectors, &tail, vector)) {
    }
    return translation->error.code;
}

static void answer(relay_span_t body, relay_answer_t *answer)
{
    relay_json_value_t values[ANSWER_KEYS];

    memset(answer, 0, sizeof(*answer));
    relay_wire_glance(body, answer_keys, ANSWER_KEYS, values);
    if (values[EMBEDDINGS].type == RELAY_JSON_ABSENT) {
        relay_wire_bedrock_converse.answer(body, answer); /* both have a message at the top */
    }
    read_usage(values[META], &answer->usage);
}

static void echo(relay_buf_t *out, const relay_echo_t *echo, relay_usage_t *usage)
{
    *usage = relay_embed_echo_usage(echo);
    RELAY_PUT(out, "{\"embeddings\":{\"float\":[[1]]},\"meta\":{\"billed_units\":{"
                   "\"input_tokens\":");
    relay_buf_put_u64(out, usage->input_tokens);
    RELAY_PUT(out, "}}}");
}

/* ---- what Relay would say ------------------------------------------------ */

static unsigned dialect_status(const relay_error_t *error)
{
    return error->status != 0 ? error->status
                              : relay_error_class_status(relay_error_class(error->code));
}

static void put_error(relay_buf_t *out, const relay_error_t *error, relay_span_t request_id)
{
    (void)request_id;
    RELAY_PUT(out, "{\"message\":");
    relay_buf_put_json(out, relay_wire_message(error));
    RELAY_PUT(out, "}");
}

static void put_model(relay_buf_t *out, const relay_model_view_t *model)
{
    RELAY_PUT(out, "{\"name\":");
    relay_buf_put_json(out, model->id);
    RELAY_PUT(out, "}");
}

static relay_error_code_t put_models(relay_buf_t *out, const relay_model_view_t *models,
                                     size_t count, relay_span_t query, relay_error_t *error)
{
    (void)query;
    (void)error;
    RELAY_PUT(out, "{\"models\":[");
    for (size_t i = 0; i < count; i++) {
        relay_buf_put(out, i != 0 ? RELAY_SPAN(",") : relay_span(NULL, 0));
        put_model(out, &models[i]);
    }
    RELAY_PUT(out, "]}");
    return RELAY_ERR_NONE;
}

/* Not in the registry's list of dialects: no caller speaks it. */
static const relay_dialect_t dialect = {
    .name = RELAY_SPAN_INIT("cohere"),
    .prefix = RELAY_SPAN_INIT("/cohere"),
    .request_id_header = RELAY_SPAN_INIT("x-debug-trace-id"),
    .status = dialect_status,
    .error = put_error,
    .model_list = put_models,
    .model = put_model,
};

const relay_wire_t relay_wire_cohere_embed = {
    .name = RELAY_SPAN_INIT("cohere-embed"),
    .index = RELAY_WIRE_COHERE_EMBED,
    .dialect = &dialect,
    .path = RELAY_SPAN_INIT("v2/embed"),
    RELAY_EMBED_WIRE,
    .answer = answer,
    .echo = echo,
};

static const struct relay_embedding_codec_s embeddings = {
    .write_request = write_request,
    .read_response = read_response,
};

const relay_codec_t relay_codec_cohere_embed = {
    .wire = &relay_wire_cohere_embed,
    .embeddings = &embeddings,
    RELAY_EMBEDDING_CODEC,
};
