/*
 * The codec of Anthropic Messages: its table. Reached through wire_codecs.c.
 */

#include "wire_anthropic.h"
#include "wire_anthropic_messages_codec.h"

static const relay_span_t fields[RELAY_FIELDS] = {
    [RELAY_FIELD_MODEL] = RELAY_SPAN_INIT("model"),
    [RELAY_FIELD_MESSAGES] = RELAY_SPAN_INIT("messages"),
    [RELAY_FIELD_SYSTEM] = RELAY_SPAN_INIT("messages.role"),
    [RELAY_FIELD_CITATIONS] = RELAY_SPAN_INIT("citations"),
    [RELAY_FIELD_FILENAME] = RELAY_SPAN_INIT("title"),
    [RELAY_FIELD_CONTEXT] = RELAY_SPAN_INIT("context"),
    [RELAY_FIELD_TOOLS] = RELAY_SPAN_INIT("tools"),
    [RELAY_FIELD_TOOL_STRICT] = RELAY_SPAN_INIT("strict"),
    [RELAY_FIELD_TOOL_DEFERRED] = RELAY_SPAN_INIT("defer_loading"),
    [RELAY_FIELD_TOOL_CHOICE] = RELAY_SPAN_INIT("tool_choice"),
    [RELAY_FIELD_PARALLEL] = RELAY_SPAN_INIT("tool_choice.disable_parallel_tool_use"),
    [RELAY_FIELD_MAX_TOKENS] = RELAY_SPAN_INIT("max_tokens"),
    [RELAY_FIELD_TEMPERATURE] = RELAY_SPAN_INIT("temperature"),
    [RELAY_FIELD_TOP_P] = RELAY_SPAN_INIT("top_p"),
    [RELAY_FIELD_TOP_K] = RELAY_SPAN_INIT("top_k"),
    [RELAY_FIELD_STOP] = RELAY_SPAN_INIT("stop_sequences"),
    [RELAY_FIELD_EFFORT] = RELAY_SPAN_INIT("output_config.effort"),
    [RELAY_FIELD_THINKING] = RELAY_SPAN_INIT("thinking"),
    [RELAY_FIELD_FORMAT] = RELAY_SPAN_INIT("output_config.format"),
    [RELAY_FIELD_METADATA] = RELAY_SPAN_INIT("metadata"),
    [RELAY_FIELD_USER] = RELAY_SPAN_INIT("metadata.user_id"),
    [RELAY_FIELD_SERVICE_TIER] = RELAY_SPAN_INIT("service_tier"),
};

/* Clients take the numbers out of these sentences, and shorten what they send by the
 * difference. */
static void put_too_long(relay_buf_t *out, const relay_overflow_t *overflow, relay_span_t message)
{
    bool fits = overflow->input_tokens <= overflow->max_tokens;

    if (relay_codec_holds(message, RELAY_SPAN(" tokens > ")) ||
        relay_codec_holds(message, RELAY_SPAN("exceed context limit: "))) {
        relay_buf_put(out, message);
        return;
    }
    if (overflow->max_tokens != 0 && fits) {
        RELAY_PUT(out, "input length and `max_tokens` exceed context limit: ");
        relay_buf_put_u64(out, overflow->input_tokens);
        RELAY_PUT(out, " + ");
        relay_buf_put_u64(out, overflow->output_tokens);
        RELAY_PUT(out, " > ");
        relay_buf_put_u64(out, overflow->max_tokens);
        RELAY_PUT(out, ", decrease input length or `max_tokens` and try again");
    } else {
        RELAY_PUT(out, "prompt is too long");
    }
    if (overflow->max_tokens != 0 && !fits) {
        RELAY_PUT(out, ": ");
        relay_buf_put_u64(out, overflow->input_tokens);
        RELAY_PUT(out, " tokens > ");
        relay_buf_put_u64(out, overflow->max_tokens);
        RELAY_PUT(out, " maximum");
    }
    if (message.len != 0) {
        RELAY_PUT(out, " (");
        relay_buf_put(out, message);
        RELAY_PUT(out, ")");
    }
}

const relay_codec_t relay_codec_anthropic_messages = {
    .wire = &relay_wire_anthropic_messages,
    .fields = fields,
    .serial = true,
    .indexed = true,
    .put_too_long = put_too_long,
    .unsupported = RELAY_SPAN_INIT("Extra inputs are not permitted"),
    .read_request = relay_messages_read_request,
    .write_request = relay_messages_write_request,
    .read_response = relay_messages_read_response,
    .write_response = relay_messages_write_response,
    .reader_size = &relay_messages_reader_size,
    .writer_size = &relay_messages_writer_size,
    .read_event = relay_messages_read_event,
    .write_event = relay_messages_write_event,
};
