/*
 * The codec of OpenAI Responses: its table. Reached through wire_codecs.c.
 */

#include "wire_openai_responses_codec.h"
#include "wire_openai.h"

static const relay_span_t fields[RELAY_FIELDS] = {
    [RELAY_FIELD_MODEL] = RELAY_SPAN_INIT("model"),
    [RELAY_FIELD_MESSAGES] = RELAY_SPAN_INIT("input"),
    [RELAY_FIELD_SYSTEM] = RELAY_SPAN_INIT("input.role"),
    [RELAY_FIELD_CITATIONS] = RELAY_SPAN_INIT("annotations"),
    [RELAY_FIELD_DETAIL] = RELAY_SPAN_INIT("detail"),
    [RELAY_FIELD_FILENAME] = RELAY_SPAN_INIT("filename"),
    [RELAY_FIELD_TOOLS] = RELAY_SPAN_INIT("tools"),
    [RELAY_FIELD_TOOL_STRICT] = RELAY_SPAN_INIT("strict"),
    [RELAY_FIELD_TOOL_DEFERRED] = RELAY_SPAN_INIT("defer_loading"),
    [RELAY_FIELD_TOOL_GRAMMAR] = RELAY_SPAN_INIT("format"),
    [RELAY_FIELD_TOOL_CHOICE] = RELAY_SPAN_INIT("tool_choice"),
    [RELAY_FIELD_PARALLEL] = RELAY_SPAN_INIT("parallel_tool_calls"),
    [RELAY_FIELD_MAX_TOKENS] = RELAY_SPAN_INIT("max_output_tokens"),
    [RELAY_FIELD_TEMPERATURE] = RELAY_SPAN_INIT("temperature"),
    [RELAY_FIELD_TOP_P] = RELAY_SPAN_INIT("top_p"),
    [RELAY_FIELD_LOGPROBS] = RELAY_SPAN_INIT("include"),
    [RELAY_FIELD_TOP_LOGPROBS] = RELAY_SPAN_INIT("top_logprobs"),
    [RELAY_FIELD_EFFORT] = RELAY_SPAN_INIT("reasoning.effort"),
    [RELAY_FIELD_THINKING] = RELAY_SPAN_INIT("reasoning"),
    [RELAY_FIELD_FORMAT] = RELAY_SPAN_INIT("text.format"),
    [RELAY_FIELD_FORMAT_NAME] = RELAY_SPAN_INIT("text.format.name"),
    [RELAY_FIELD_FORMAT_DESCRIPTION] = RELAY_SPAN_INIT("text.format.description"),
    [RELAY_FIELD_VERBOSITY] = RELAY_SPAN_INIT("text.verbosity"),
    [RELAY_FIELD_METADATA] = RELAY_SPAN_INIT("metadata"),
    [RELAY_FIELD_USER] = RELAY_SPAN_INIT("user"),
    [RELAY_FIELD_SERVICE_TIER] = RELAY_SPAN_INIT("service_tier"),
};

const relay_codec_t relay_codec_openai_responses = {
    .wire = &relay_wire_openai_responses,
    .fields = fields,
    .serial = true,
    .read_request = relay_responses_read_request,
    .write_request = relay_responses_write_request,
    .read_response = relay_responses_read_response,
    .write_response = relay_responses_write_response,
    .logprobs = true,
    .reader_size = &relay_responses_reader_size,
    .writer_size = &relay_responses_writer_size,
    .read_event = relay_responses_read_event,
    .write_event = relay_responses_write_event,
};
