/*
 * What formats of embeddings have in common: see wire_embed.h.
 */

#include "wire_embed.h"
#include "wire_support.h"

/* ---- streams do not exist ------------------------------------------------ */

relay_verdict_t relay_embed_event(relay_stream_t *stream, const relay_sse_item_t *item,
                                  relay_buf_t *before)
{
    (void)stream;
    (void)item;
    (void)before;
    return (relay_verdict_t){.class = RELAY_EVENT_IDLE};
}

bool relay_embed_close(relay_stream_t *stream, relay_buf_t *out)
{
    (void)stream;
    (void)out;
    return false;
}

void relay_embed_error_event(relay_stream_t *stream, relay_buf_t *out, const relay_error_t *error,
                             relay_span_t request_id)
{
    RELAY_PUT(out, "data: ");
    stream->wire->dialect->error(out, error, request_id);
    RELAY_PUT(out, "\n\n");
    stream->error_seen = true;
}

/* ---- echo ---------------------------------------------------------------- */

relay_usage_t relay_embed_echo_usage(const relay_echo_t *echo)
{
    return (relay_usage_t){.known = true, .input_tokens = echo->body.len / 4 + 1};
}

/* ---- codecs -------------------------------------------------------------- */

relay_span_t relay_embed_google_task(relay_purpose_t purpose)
{
    static const relay_span_t tasks[RELAY_PURPOSES] = {
        [RELAY_PURPOSE_DOCUMENT] = RELAY_SPAN_INIT("RETRIEVAL_DOCUMENT"),
        [RELAY_PURPOSE_QUERY] = RELAY_SPAN_INIT("RETRIEVAL_QUERY"),
        [RELAY_PURPOSE_CLASSIFICATION] = RELAY_SPAN_INIT("CLASSIFICATION"),
        [RELAY_PURPOSE_CLUSTERING] = RELAY_SPAN_INIT("CLUSTERING"),
        [RELAY_PURPOSE_SIMILARITY] = RELAY_SPAN_INIT("SEMANTIC_SIMILARITY"),
    };

    return tasks[purpose];
}

bool relay_embed_is_one(relay_translation_t *translation, const relay_texts_t *texts)
{
    static const relay_place_t place = {NULL, RELAY_SPAN_INIT("input"), RELAY_PLACE_NO_INDEX};

    if (texts->count == 1) {
        return true;
    }
    relay_codec_refuse(translation, &place,
                       RELAY_SPAN("the provider of this model takes one input per request"));
    return false;
}

void relay_embed_put_model(relay_buf_t *out, relay_translation_t *translation, relay_span_t prefix,
                           const relay_texts_t *texts)
{
    relay_span_t model = translation->target.model;
    uint8_t *bytes;
    relay_buf_t plain;

    RELAY_PUT(out, "\"");
    relay_buf_put(out, prefix);
    if (model.len == 0) {
        relay_buf_put(out, texts->model);
        RELAY_PUT(out, "\"");
        return;
    }
    plain = relay_buf(NULL, 0);
    relay_buf_put_json(&plain, model);
    bytes = relay_codec_new(translation, plain.len);
    plain = relay_buf(bytes, bytes != NULL ? plain.len : 0);
    relay_buf_put_json(&plain, model);
    relay_buf_put(out, relay_span_from(relay_buf_span(&plain), bytes != NULL)); /* its quote */
}

relay_error_code_t relay_embed_unreadable(relay_translation_t *translation)
{
    relay_codec_invalid(translation, RELAY_SPAN("The provider's answer has no embeddings."));
    return translation->error.code;
}
