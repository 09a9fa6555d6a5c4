/*
 * The codec of Bedrock Converse: its table, and what it says where it would have
 * to speak to a caller. Reached through wire_codecs.c.
 */

#include "wire_bedrock_converse.h"
#include "wire_bedrock_converse_codec.h"

static const relay_span_t fields[RELAY_FIELDS] = {
    [RELAY_FIELD_MESSAGES] = RELAY_SPAN_INIT("messages"),
    [RELAY_FIELD_SYSTEM] = RELAY_SPAN_INIT("system"),
    [RELAY_FIELD_CITATIONS] = RELAY_SPAN_INIT("citationsContent"),
    [RELAY_FIELD_FILENAME] = RELAY_SPAN_INIT("document.name"),
    [RELAY_FIELD_CONTEXT] = RELAY_SPAN_INIT("document.context"),
    [RELAY_FIELD_TOOLS] = RELAY_SPAN_INIT("toolConfig.tools"),
    [RELAY_FIELD_TOOL_STRICT] = RELAY_SPAN_INIT("toolSpec.strict"),
    [RELAY_FIELD_TOOL_CHOICE] = RELAY_SPAN_INIT("toolConfig.toolChoice"),
    [RELAY_FIELD_MAX_TOKENS] = RELAY_SPAN_INIT("inferenceConfig.maxTokens"),
    [RELAY_FIELD_TEMPERATURE] = RELAY_SPAN_INIT("inferenceConfig.temperature"),
    [RELAY_FIELD_TOP_P] = RELAY_SPAN_INIT("inferenceConfig.topP"),
    [RELAY_FIELD_TOP_K] = RELAY_SPAN_INIT("additionalModelRequestFields.top_k"),
    [RELAY_FIELD_STOP] = RELAY_SPAN_INIT("inferenceConfig.stopSequences"),
    [RELAY_FIELD_EFFORT] = RELAY_SPAN_INIT("outputConfig.effort"),
    [RELAY_FIELD_THINKING] = RELAY_SPAN_INIT("additionalModelRequestFields.thinking"),
    [RELAY_FIELD_FORMAT] = RELAY_SPAN_INIT("outputConfig.textFormat"),
    [RELAY_FIELD_METADATA] = RELAY_SPAN_INIT("requestMetadata"),
    [RELAY_FIELD_SERVICE_TIER] = RELAY_SPAN_INIT("serviceTier"),
};

/* ---- the reverse --------------------------------------------------------- */

static relay_error_code_t read_request(relay_translation_t *translation,
                                       const relay_json_tree_t *tree, relay_request_t *request)
{
    (void)tree;
    request->origin = &relay_codec_bedrock_converse;
    relay_codec_refuse(translation, NULL, RELAY_SPAN("requests of this format are not accepted"));
    return translation->error.code;
}

static relay_error_code_t write_response(relay_translation_t *translation,
                                         const relay_response_t *response, relay_buf_t *out)
{
    (void)response;
    (void)out;
    relay_codec_refuse(translation, NULL, RELAY_SPAN("answers of this format are not written"));
    return translation->error.code;
}

/* The first event ends the stream: its caller turns a failed writer into an error. */
static void write_event(relay_writer_t *writer, const relay_stream_event_t *event, relay_buf_t *out)
{
    if (event->kind != RELAY_STREAM_ERROR) {
        writer->failed = true;
        return;
    }
    RELAY_PUT(out, "event: error\ndata: ");
    relay_dialect_bedrock.error(out, &event->failure->error, relay_span(NULL, 0));
    RELAY_PUT(out, "\n\n");
}

const relay_codec_t relay_codec_bedrock_converse = {
    .wire = &relay_wire_bedrock_converse,
    .fields = fields,
    .read_request = read_request,
    .write_request = relay_converse_write_request,
    .read_response = relay_converse_read_response,
    .write_response = write_response,
    .reader_size = &relay_converse_reader_size,
    .read_event = relay_converse_read_event,
    .write_event = write_event,
};
