/*
 * What the codecs of embeddings share, and how they keep out of the way of
 * messages: see embeddings.h.
 */

#include "embeddings.h"

#include "float_vector.h"

const relay_span_t relay_embedding_fields[RELAY_FIELDS] = {
    [RELAY_FIELD_MODEL] = RELAY_SPAN_INIT("model"),
    [RELAY_FIELD_USER] = RELAY_SPAN_INIT("user"),
};

/* ---- vectors ------------------------------------------------------------- */

bool relay_vectors_add(relay_translation_t *translation, relay_vectors_t *vectors,
                       relay_vector_t ***tail, relay_json_value_t value)
{
    relay_vector_t *vector;

    if (value.type != RELAY_JSON_ARRAY && value.type != RELAY_JSON_STRING) {
        return relay_codec_invalid(translation,
                                   RELAY_SPAN("The provider's answer lacks an embedding."));
    }
    vector = relay_codec_new(translation, sizeof(*vector));
    if (vector == NULL) {
        return false;
    }
    if (value.type == RELAY_JSON_ARRAY) {
        vector->numbers = value;
    } else {
        vector->packed = relay_span(value.text.base + 1, value.text.len - 2);
    }
    **tail = vector;
    *tail = &vector->next;
    vectors->count++;
    return true;
}

bool relay_vector_put(relay_translation_t *translation, const relay_vector_t *vector, bool base64,
                      relay_buf_t *out)
{
    bool given = vector->numbers.type == RELAY_JSON_ABSENT, good;

    if (base64) {
        RELAY_PUT(out, "\"");
        good = given ? relay_vector_repack(vector->packed, out)
                     : relay_vector_pack(vector->numbers.text, out);
        RELAY_PUT(out, "\"");
    } else {
        good = given ? relay_vector_unpack(vector->packed, out)
                     : relay_vector_copy(vector->numbers.text, out);
    }
    return good ||
           relay_codec_invalid(translation, RELAY_SPAN("The provider's answer has an embedding "
                                                       "that is no list of numbers."));
}

/* ---- messages ------------------------------------------------------------ */

static relay_error_code_t refuse_request(relay_translation_t *translation)
{
    relay_codec_refuse(translation, NULL,
                       RELAY_SPAN("messages and embeddings are not translated into each other"));
    return translation->error.code;
}

static relay_error_code_t refuse_answer(relay_translation_t *translation)
{
    relay_codec_invalid(translation,
                        RELAY_SPAN("Messages and embeddings are not translated into each other."));
    return translation->error.code;
}

relay_error_code_t relay_embedding_read_request(relay_translation_t *translation,
                                                const relay_json_tree_t *tree,
                                                relay_request_t *request)
{
    (void)tree;
    (void)request;
    return refuse_request(translation);
}

relay_error_code_t relay_embedding_write_request(relay_translation_t *translation,
                                                 const relay_request_t *request, relay_buf_t *out)
{
    (void)request;
    (void)out;
    return refuse_request(translation);
}

relay_error_code_t relay_embedding_read_response(relay_translation_t *translation,
                                                 const relay_json_tree_t *tree,
                                                 relay_response_t *response)
{
    (void)tree;
    (void)response;
    return refuse_answer(translation);
}

relay_error_code_t relay_embedding_write_response(relay_translation_t *translation,
                                                  const relay_response_t *response,
                                                  relay_buf_t *out)
{
    (void)response;
    (void)out;
    return refuse_answer(translation);
}

/* Embeddings do not stream: whatever does is none. */
void relay_embedding_read_event(relay_reader_t *reader, const relay_sse_item_t *item)
{
    relay_failure_t failure = {.error = {.code = RELAY_ERR_UPSTREAM_INVALID}};
    relay_stream_event_t event = {.kind = RELAY_STREAM_ERROR, .failure = &failure};

    (void)item;
    if (!reader->over) {
        reader->over = true;
        reader->emit(reader->owner, &event);
    }
}

/* The first event ends the stream: its caller turns a failed writer into an error. */
void relay_embedding_write_event(relay_writer_t *writer, const relay_stream_event_t *event,
                                 relay_buf_t *out)
{
    if (event->kind != RELAY_STREAM_ERROR) {
        writer->failed = true;
        return;
    }
    RELAY_PUT(out, "data: ");
    writer->translation->caller->wire->dialect->error(out, &event->failure->error,
                                                      relay_span(NULL, 0));
    RELAY_PUT(out, "\n\n");
}
