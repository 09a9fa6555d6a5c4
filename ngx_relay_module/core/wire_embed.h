/*
 * The formats of embeddings that Relay speaks to upstreams only: no path of a
 * caller leads to them. A format's file holds its relay_wire_t and its codec; here
 * is where they are, and what they share: none of them streams. Internal to
 * core/wire_*.c.
 */

#ifndef RELAY_WIRE_EMBED_H
#define RELAY_WIRE_EMBED_H

#include "embeddings.h"
#include "wire.h"

/* Positions in the registry. */
enum {
    RELAY_WIRE_GEMINI_EMBED = 6,
    RELAY_WIRE_VERTEX_EMBED = 7,
    RELAY_WIRE_BEDROCK_TITAN_EMBED = 8,
    RELAY_WIRE_COHERE_EMBED = 9,
    RELAY_WIRE_VERTEX_EMBED_CONTENT = 10
};

extern const relay_wire_t relay_wire_gemini_embed;
extern const relay_wire_t relay_wire_vertex_embed;
extern const relay_wire_t relay_wire_vertex_embed_content;
extern const relay_wire_t relay_wire_bedrock_titan_embed;
extern const relay_wire_t relay_wire_cohere_embed;

extern const relay_codec_t relay_codec_openai_embeddings;
extern const relay_codec_t relay_codec_gemini_embed;
extern const relay_codec_t relay_codec_vertex_embed;
extern const relay_codec_t relay_codec_vertex_embed_content;
extern const relay_codec_t relay_codec_bedrock_titan_embed;
extern const relay_codec_t relay_codec_cohere_embed;

/* ---- wires --------------------------------------------------------------- */

/* `event` and `close` of a format without streams: nothing is read, no end is a
 * good one. */
relay_verdict_t relay_embed_event(relay_stream_t *stream, const relay_sse_item_t *item,
                                  relay_buf_t *before);
bool relay_embed_close(relay_stream_t *stream, relay_buf_t *out);
void relay_embed_error_event(relay_stream_t *stream, relay_buf_t *out, const relay_error_t *error,
                             relay_span_t request_id);

/* The usage of an answer by the echo model to such a request. */
relay_usage_t relay_embed_echo_usage(const relay_echo_t *echo);

#define RELAY_EMBED_WIRE                                                                           \
    .streams = false, .edits = relay_wire_edits_model_only,                                        \
    .wants_usage = relay_wire_wants_usage_always, .event = relay_embed_event,                      \
    .close = relay_embed_close, .error_event = relay_embed_error_event

/* ---- codecs -------------------------------------------------------------- */

/* The task of a vector as Google's formats call it; empty for UNSET. */
relay_span_t relay_embed_google_task(relay_purpose_t purpose);

/* For a format that takes one text: false, with the error filled, if there are more. */
bool relay_embed_is_one(relay_translation_t *translation, const relay_texts_t *texts);

/* The name that the upstream knows the model by as a JSON string, prefix before it:
 * the target's, else the caller's. */
void relay_embed_put_model(relay_buf_t *out, relay_translation_t *translation, relay_span_t prefix,
                           const relay_texts_t *texts);

/* An answer that is not JSON, or without its list. Always the error's code. */
relay_error_code_t relay_embed_unreadable(relay_translation_t *translation);

#endif
