/*
 * The codec of OpenAI Chat Completions: its table. Reached through wire_codecs.c.
 */

#include "wire_openai.h"
#include "wire_openai_chat_codec.h"

static const relay_span_t fields[RELAY_FIELDS] = {
    [RELAY_FIELD_MODEL] = RELAY_SPAN_INIT("model"),
    [RELAY_FIELD_MESSAGES] = RELAY_SPAN_INIT("messages"),
    [RELAY_FIELD_SYSTEM] = RELAY_SPAN_INIT("messages"),
    [RELAY_FIELD_NAME] = RELAY_SPAN_INIT("messages.name"),
    [RELAY_FIELD_DETAIL] = RELAY_SPAN_INIT("image_url.detail"),
    [RELAY_FIELD_FILENAME] = RELAY_SPAN_INIT("file.filename"),
    [RELAY_FIELD_TOOLS] = RELAY_SPAN_INIT("tools"),
    [RELAY_FIELD_TOOL_STRICT] = RELAY_SPAN_INIT("strict"),
    [RELAY_FIELD_TOOL_GRAMMAR] = RELAY_SPAN_INIT("format"),
    [RELAY_FIELD_TOOL_CHOICE] = RELAY_SPAN_INIT("tool_choice"),
    [RELAY_FIELD_PARALLEL] = RELAY_SPAN_INIT("parallel_tool_calls"),
    [RELAY_FIELD_MAX_TOKENS] = RELAY_SPAN_INIT("max_completion_tokens"),
    [RELAY_FIELD_TEMPERATURE] = RELAY_SPAN_INIT("temperature"),
    [RELAY_FIELD_TOP_P] = RELAY_SPAN_INIT("top_p"),
    [RELAY_FIELD_TOP_K] = RELAY_SPAN_INIT("top_k"),
    [RELAY_FIELD_FREQUENCY_PENALTY] = RELAY_SPAN_INIT("frequency_penalty"),
    [RELAY_FIELD_PRESENCE_PENALTY] = RELAY_SPAN_INIT("presence_penalty"),
    [RELAY_FIELD_LOGIT_BIAS] = RELAY_SPAN_INIT("logit_bias"),
    [RELAY_FIELD_SEED] = RELAY_SPAN_INIT("seed"),
    [RELAY_FIELD_COUNT_OF_CHOICES] = RELAY_SPAN_INIT("n"),
    [RELAY_FIELD_LOGPROBS] = RELAY_SPAN_INIT("logprobs"),
    [RELAY_FIELD_TOP_LOGPROBS] = RELAY_SPAN_INIT("top_logprobs"),
    [RELAY_FIELD_STOP] = RELAY_SPAN_INIT("stop"),
    [RELAY_FIELD_EFFORT] = RELAY_SPAN_INIT("reasoning_effort"),
    [RELAY_FIELD_THINKING] = RELAY_SPAN_INIT("reasoning_effort"),
    [RELAY_FIELD_FORMAT] = RELAY_SPAN_INIT("response_format"),
    [RELAY_FIELD_FORMAT_NAME] = RELAY_SPAN_INIT("response_format.json_schema.name"),
    [RELAY_FIELD_FORMAT_DESCRIPTION] = RELAY_SPAN_INIT("response_format.json_schema.description"),
    [RELAY_FIELD_VERBOSITY] = RELAY_SPAN_INIT("verbosity"),
    [RELAY_FIELD_METADATA] = RELAY_SPAN_INIT("metadata"),
    [RELAY_FIELD_USER] = RELAY_SPAN_INIT("user"),
    [RELAY_FIELD_SERVICE_TIER] = RELAY_SPAN_INIT("service_tier"),
};

const relay_codec_t relay_codec_openai_chat = {
    .wire = &relay_wire_openai_chat,
    .fields = fields,
    .read_request = relay_chat_read_request,
    .write_request = relay_chat_write_request,
    .read_response = relay_chat_read_response,
    .write_response = relay_chat_write_response,
    .logprobs = true,
    .reader_size = &relay_chat_reader_size,
    .writer_size = &relay_chat_writer_size,
    .read_event = relay_chat_read_event,
    .write_event = relay_chat_write_event,
};
