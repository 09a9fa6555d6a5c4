/*
 * The codec of Gemini generateContent: its table. Reached through wire_codecs.c.
 */

#include "wire_gemini.h"
#include "wire_gemini_codec.h"

#define CONFIG "generationConfig."

static const relay_span_t fields[RELAY_FIELDS] = {
    [RELAY_FIELD_MODEL] = RELAY_SPAN_INIT("model"),
    [RELAY_FIELD_MESSAGES] = RELAY_SPAN_INIT("contents"),
    [RELAY_FIELD_SYSTEM] = RELAY_SPAN_INIT("systemInstruction"),
    [RELAY_FIELD_FILENAME] = RELAY_SPAN_INIT("displayName"),
    [RELAY_FIELD_TOOLS] = RELAY_SPAN_INIT("tools"),
    [RELAY_FIELD_TOOL_CHOICE] = RELAY_SPAN_INIT("toolConfig"),
    [RELAY_FIELD_MAX_TOKENS] = RELAY_SPAN_INIT(CONFIG "maxOutputTokens"),
    [RELAY_FIELD_TEMPERATURE] = RELAY_SPAN_INIT(CONFIG "temperature"),
    [RELAY_FIELD_TOP_P] = RELAY_SPAN_INIT(CONFIG "topP"),
    [RELAY_FIELD_TOP_K] = RELAY_SPAN_INIT(CONFIG "topK"),
    [RELAY_FIELD_FREQUENCY_PENALTY] = RELAY_SPAN_INIT(CONFIG "frequencyPenalty"),
    [RELAY_FIELD_PRESENCE_PENALTY] = RELAY_SPAN_INIT(CONFIG "presencePenalty"),
    [RELAY_FIELD_SEED] = RELAY_SPAN_INIT(CONFIG "seed"),
    [RELAY_FIELD_COUNT_OF_CHOICES] = RELAY_SPAN_INIT(CONFIG "candidateCount"),
    [RELAY_FIELD_LOGPROBS] = RELAY_SPAN_INIT(CONFIG "responseLogprobs"),
    [RELAY_FIELD_TOP_LOGPROBS] = RELAY_SPAN_INIT(CONFIG "logprobs"),
    [RELAY_FIELD_STOP] = RELAY_SPAN_INIT(CONFIG "stopSequences"),
    [RELAY_FIELD_EFFORT] = RELAY_SPAN_INIT(CONFIG "thinkingConfig"),
    [RELAY_FIELD_THINKING] = RELAY_SPAN_INIT(CONFIG "thinkingConfig"),
    [RELAY_FIELD_FORMAT] = RELAY_SPAN_INIT(CONFIG "responseMimeType"),
    [RELAY_FIELD_METADATA] = RELAY_SPAN_INIT("labels"),
    [RELAY_FIELD_SERVICE_TIER] = RELAY_SPAN_INIT("serviceTier"),
};

const relay_codec_t relay_codec_gemini = {
    .wire = &relay_wire_gemini,
    .fields = fields,
    .serial = true,
    .read_request = relay_gemini_read_request,
    .write_request = relay_gemini_write_request,
    .read_response = relay_gemini_read_response,
    .write_response = relay_gemini_write_response,
    .logprobs = true,
    .reader_size = &relay_gemini_reader_size,
    .writer_size = &relay_gemini_writer_size,
    .read_event = relay_gemini_read_event,
    .write_event = relay_gemini_write_event,
};
