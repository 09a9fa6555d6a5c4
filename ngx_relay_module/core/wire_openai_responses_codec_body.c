/*
 * The canonical protocol into bodies of Responses requests: everything but the
 * input. Called through the codec.
 */

#include "wire_openai_responses_codec.h"

/* The API refuses limits below it. */
enum { LIMIT_MIN = 16 };

static bool given(relay_json_value_t value)
{
    return value.type != RELAY_JSON_ABSENT;
}

static bool has_flag(const relay_responses_writing_t *writing, unsigned flag)
{
    return (writing->translation->target.flags & flag) != 0;
}

static bool refuse_field(relay_responses_writing_t *writing, relay_field_t field)
{
    return relay_codec_unsupported_field(writing->translation, field);
}

/* ---- tools --------------------------------------------------------------- */

/* {"type":"grammar","grammar":{"definition","syntax"}}, which is flat here. */
static void put_grammar(relay_responses_writing_t *writing, relay_json_value_t grammar)
{
    static const relay_span_t keys[] = {RELAY_SPAN_INIT("grammar"), RELAY_SPAN_INIT("syntax"),
                                        RELAY_SPAN_INIT("definition")};
    relay_json_value_t outer[3] = {{0}}, inner[3] = {{0}};
    relay_buf_t *out = writing->out;

    if (grammar.type == RELAY_JSON_OBJECT) {
        relay_json_members(grammar.text, keys, 1, outer);
    }
    if (outer[0].type != RELAY_JSON_OBJECT) {
        relay_codec_put_value(out, RELAY_SPAN(",\"format\":"), grammar);
        return;
    }
    relay_json_members(outer[0].text, keys, 3, inner);
    RELAY_PUT(out, ",\"format\":{\"type\":\"grammar\"");
    relay_codec_put_value(out, RELAY_SPAN(",\"syntax\":"), inner[1]);
    relay_codec_put_value(out, RELAY_SPAN(",\"definition\":"), inner[2]);
    RELAY_PUT(out, "}");
}

/* Without `strict` the API would take it for true, and refuse schemas. */
static void put_function(relay_responses_writing_t *writing, const relay_tool_t *tool)
{
    bool strict =
        tool->strict.type == RELAY_JSON_TRUE && !has_flag(writing, RELAY_TARGET_NO_STRICT);
    relay_buf_t *out = writing->out;

    RELAY_PUT(out, ",\"parameters\":");
    relay_buf_put(out, tool->schema.type == RELAY_JSON_OBJECT && tool->schema.text.len > 2
                           ? tool->schema.text
                           : RELAY_SPAN("{\"type\":\"object\",\"properties\":{}}"));
    relay_buf_put(out, strict ? RELAY_SPAN(",\"strict\":true") : RELAY_SPAN(",\"strict\":false"));
}

static bool note_tool(relay_responses_writing_t *writing, const relay_tool_t *tool)
{
    relay_translation_t *translation = writing->translation;

    relay_codec_drop_mark(translation, tool->mark, tool->mark_place);
    if (tool->strict.type == RELAY_JSON_TRUE && has_flag(writing, RELAY_TARGET_NO_STRICT)) {
        relay_codec_drop_in(translation, tool->place, RELAY_FIELD_TOOL_STRICT);
    }
    return relay_codec_leave_tool(translation, tool);
}

static bool put_tool(relay_responses_writing_t *writing, const relay_tool_t *tool)
{
    relay_buf_t *out = writing->out;
    bool custom = tool->kind == RELAY_TOOL_CUSTOM;

    if (tool->kind == RELAY_TOOL_OPAQUE) {
        return relay_codec_refuse_tool(writing->translation, tool);
    }
    relay_buf_put(out, custom ? RELAY_SPAN("{\"type\":\"custom\",\"name\":")
                              : RELAY_SPAN("{\"type\":\"function\",\"name\":"));
    relay_codec_put_string(out, relay_codec_tool_name(writing->translation, tool->scope, tool->name,
                                                      false, RELAY_RESPONSES_NAME_MAX));
    relay_codec_put_text(out, RELAY_SPAN(",\"description\":"), tool->description);
    if (custom) {
        put_grammar(writing, tool->grammar);
    } else {
        put_function(writing, tool);
    }
    RELAY_PUT(out, "}");
    return note_tool(writing, tool);
}

static void put_choice_name(relay_responses_writing_t *writing, const relay_name_t *name)
{
    relay_buf_put(writing->out, name->custom ? RELAY_SPAN("{\"type\":\"custom\",\"name\":")
                                             : RELAY_SPAN("{\"type\":\"function\",\"name\":"));
    relay_codec_put_string(writing->out,
                           relay_codec_choice_name(writing->translation, writing->request, name,
                                                   false, RELAY_RESPONSES_NAME_MAX));
    RELAY_PUT(writing->out, "}");
}

static void put_allowed(relay_responses_writing_t *writing, const relay_tool_choice_t *choice)
{
    relay_buf_t *out = writing->out;

    relay_buf_put(out, choice->mode == RELAY_CHOICE_ALLOWED
                           ? RELAY_SPAN("{\"type\":\"allowed_tools\",\"mode\":\"auto\",\"tools\":[")
                           : RELAY_SPAN("{\"type\":\"allowed_tools\",\"mode\":\"required\","
                                        "\"tools\":["));
    for (const relay_name_t *name = choice->names; name != NULL; name = name->next) {
        put_choice_name(writing, name);
        relay_buf_put(out, name->next != NULL ? RELAY_SPAN(",") : RELAY_SPAN(""));
    }
    RELAY_PUT(out, "]}");
}

static bool put_choice(relay_responses_writing_t *writing, const relay_tool_choice_t *choice)
{
    relay_buf_t *out = writing->out;

    if (choice->mode == RELAY_CHOICE_UNSET) {
        return true;
    }
    RELAY_PUT(out, ",\"tool_choice\":");
    switch (choice->mode) {
    case RELAY_CHOICE_AUTO:
    case RELAY_CHOICE_NONE:
    case RELAY_CHOICE_REQUIRED:
        relay_codec_put_string(out, relay_openai_choice_word(choice->mode));
        return true;
    case RELAY_CHOICE_NAMED:
        put_choice_name(writing, choice->names);
        return true;
    case RELAY_CHOICE_ALLOWED:
    case RELAY_CHOICE_ALLOWED_REQUIRED:
        put_allowed(writing, choice);
        return true;
    default:
        return relay_codec_refuse_field(
            writing->translation, RELAY_FIELD_TOOL_CHOICE,
            RELAY_SPAN("this choice is not supported by the provider of this model"));
    }
}

/* Without tools a choice among them is refused upstream: it says nothing. */
static bool put_tools(relay_responses_writing_t *writing)
{
    const relay_request_t *request = writing->request;

    if (request->tools == NULL) {
        return true;
    }
    RELAY_PUT(writing->out, ",\"tools\":[");
    for (const relay_tool_t *tool = request->tools; tool != NULL; tool = tool->next) {
        relay_buf_put(writing->out, tool == request->tools ? RELAY_SPAN("") : RELAY_SPAN(","));
        if (!put_tool(writing, tool)) {
            return false;
        }
    }
    RELAY_PUT(writing->out, "]");
    relay_openai_put_parallel(writing->translation, writing->out, &request->tool_choice);
    return put_choice(writing, &request->tool_choice);
}

/* ---- sampling and limits ------------------------------------------------- */

static bool put_limit(relay_responses_writing_t *writing)
{
    const relay_request_t *request = writing->request;
    uint64_t max = writing->translation->target.output_tokens_max, limit = request->max_tokens;

    if (!request->limited) {
        return true;
    }
    if (limit == 0) {
        return relay_codec_refuse_field(
            writing->translation, RELAY_FIELD_MAX_TOKENS,
            RELAY_SPAN("0 is not supported by the provider of this model"));
    }
    limit = limit < LIMIT_MIN ? LIMIT_MIN : limit;
    limit = max != 0 && limit > max ? max : limit;
    if (limit != request->max_tokens) {
        relay_codec_change(writing->translation, RELAY_FIELD_MAX_TOKENS);
    }
    RELAY_PUT(writing->out, ",\"max_output_tokens\":");
    relay_buf_put_u64(writing->out, limit);
    return true;
}

static void put_sampled(relay_responses_writing_t *writing, relay_field_t field, relay_span_t name,
                        relay_json_value_t value)
{
    if (given(value) && has_flag(writing, RELAY_TARGET_NO_SAMPLING)) {
        relay_codec_drop(writing->translation, field);
        return;
    }
    relay_codec_put_value(writing->out, name, value);
}

/* What this format has no word for, and the answer would be another one without. */
static bool check_missing(relay_responses_writing_t *writing)
{
    const relay_request_t *request = writing->request;
    const struct {
        relay_field_t field;
        bool asked;
    } fields[] = {
        {RELAY_FIELD_TOP_K, given(request->top_k)},
        {RELAY_FIELD_FREQUENCY_PENALTY, relay_codec_nonzero(request->frequency_penalty)},
        {RELAY_FIELD_PRESENCE_PENALTY, relay_codec_nonzero(request->presence_penalty)},
        {RELAY_FIELD_LOGIT_BIAS,
         request->logit_bias.type == RELAY_JSON_OBJECT && request->logit_bias.text.len > 2},
        {RELAY_FIELD_COUNT_OF_CHOICES, request->choices > 1},
        {RELAY_FIELD_STOP, request->stop != NULL},
    };

    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
        if (fields[i].asked) {
            return refuse_field(writing, fields[i].field);
        }
    }
    if (given(request->seed)) {
        relay_codec_drop(writing->translation, RELAY_FIELD_SEED);
    }
    return true;
}

static bool wants_logprobs(relay_responses_writing_t *writing)
{
    return relay_codec_wants_logprobs(writing->translation, writing->request,
                                      writing->translation->caller->logprobs);
}

static bool put_sampling(relay_responses_writing_t *writing)
{
    const relay_request_t *request = writing->request;

    put_sampled(writing, RELAY_FIELD_TEMPERATURE, RELAY_SPAN(",\"temperature\":"),
                request->temperature);
    put_sampled(writing, RELAY_FIELD_TOP_P, RELAY_SPAN(",\"top_p\":"), request->top_p);
    if (wants_logprobs(writing)) {
        relay_codec_put_value(writing->out, RELAY_SPAN(",\"top_logprobs\":"),
                              request->top_logprobs);
    }
    return check_missing(writing) && put_limit(writing);
}

/* ---- reasoning and format ------------------------------------------------ */

static relay_effort_t effort(relay_responses_writing_t *writing)
{
    const relay_reasoning_t *reasoning = &writing->request->reasoning;

    if (reasoning->effort != RELAY_EFFORT_UNSET) {
        return reasoning->effort;
    }
    if (reasoning->mode == RELAY_THINKING_BUDGET) {
        relay_codec_change(writing->translation, RELAY_FIELD_THINKING);
        return relay_codec_effort_of(&writing->translation->target, reasoning->budget_tokens);
    }
    if (reasoning->mode == RELAY_THINKING_DISABLED || reasoning->mode == RELAY_THINKING_OPAQUE) {
        relay_codec_drop(writing->translation, RELAY_FIELD_THINKING);
    }
    return RELAY_EFFORT_UNSET;
}

/* Models of this format that do not reason refuse to be asked for it. */
static bool put_reasoning(relay_responses_writing_t *writing)
{
    bool summary = relay_span_eq(writing->request->reasoning.summary, RELAY_SPAN("summarized"));
    relay_effort_t level = effort(writing);

    if (level != RELAY_EFFORT_UNSET && has_flag(writing, RELAY_TARGET_NO_EFFORT)) {
        relay_codec_drop(writing->translation,
                         writing->request->reasoning.effort != RELAY_EFFORT_UNSET
                             ? RELAY_FIELD_EFFORT
                             : RELAY_FIELD_THINKING);
        level = RELAY_EFFORT_UNSET;
    }
    if (level != RELAY_EFFORT_UNSET) {
        RELAY_PUT(writing->out, ",\"reasoning\":{\"effort\":\"");
        relay_buf_put(writing->out, relay_codec_effort_word(level));
        relay_buf_put(writing->out,
                      summary ? RELAY_SPAN("\",\"summary\":\"auto\"}") : RELAY_SPAN("\"}"));
    } else if (summary) {
        RELAY_PUT(writing->out, ",\"reasoning\":{\"summary\":\"auto\"}");
    }
    return summary || (level != RELAY_EFFORT_UNSET && level != RELAY_EFFORT_NONE);
}

/* Nothing is stored there: reasoning comes along to be sent back. */
static void put_include(relay_responses_writing_t *writing, bool reasons)
{
    bool logprobs = wants_logprobs(writing);

    if (reasons) {
        RELAY_PUT(writing->out, ",\"include\":[\"reasoning.encrypted_content\"");
        relay_buf_put(writing->out, logprobs ? RELAY_SPAN(",\"message.output_text.logprobs\"]")
                                             : RELAY_SPAN("]"));
    } else if (logprobs) {
        RELAY_PUT(writing->out, ",\"include\":[\"message.output_text.logprobs\"]");
    }
}

/* A format without `strict` of its own means it. */
static void put_schema(relay_buf_t *out, const relay_format_t *format)
{
    RELAY_PUT(out, "\"format\":{\"type\":\"json_schema\",\"name\":");
    relay_codec_put_string(out, format->name.len != 0 ? format->name : RELAY_SPAN("answer"));
    relay_codec_put_text(out, RELAY_SPAN(",\"description\":"), format->description);
    relay_codec_put_value(out, RELAY_SPAN(",\"schema\":"), format->schema);
    if (!given(format->strict)) {
        RELAY_PUT(out, ",\"strict\":true");
    }
    relay_codec_put_value(out, RELAY_SPAN(",\"strict\":"), format->strict);
    RELAY_PUT(out, "}");
}

static void put_text(relay_responses_writing_t *writing)
{
    const relay_request_t *request = writing->request;
    relay_buf_t *out = writing->out;
    bool format =
        request->format.mode == RELAY_FORMAT_SCHEMA || request->format.mode == RELAY_FORMAT_JSON;

    if (!format && request->verbosity.len == 0) {
        return;
    }
    RELAY_PUT(out, ",\"text\":{");
    if (request->format.mode == RELAY_FORMAT_SCHEMA) {
        put_schema(out, &request->format);
    } else if (format) {
        RELAY_PUT(out, "\"format\":{\"type\":\"json_object\"}");
    }
    if (request->verbosity.len != 0) {
        relay_buf_put(out, format ? RELAY_SPAN(",\"verbosity\":") : RELAY_SPAN("\"verbosity\":"));
        relay_codec_put_string(out, request->verbosity);
    }
    RELAY_PUT(out, "}");
}

/* ---- labels -------------------------------------------------------------- */

static void put_labels(relay_responses_writing_t *writing)
{
    const relay_request_t *request = writing->request;

    relay_openai_put_user(writing->translation, writing->out, request->user);
    if (!relay_span_eq(request->service_tier, RELAY_SPAN("auto"))) {
        relay_codec_put_text(writing->out, RELAY_SPAN(",\"service_tier\":"), request->service_tier);
    }
    if (given(request->metadata)) {
        relay_codec_drop(writing->translation, RELAY_FIELD_METADATA);
    }
}

static void put_model(relay_responses_writing_t *writing)
{
    relay_span_t model = writing->translation->target.model;

    RELAY_PUT(writing->out, "{\"model\":");
    if (model.len != 0) {
        relay_buf_put_json(writing->out, model);
    } else {
        relay_codec_put_string(writing->out, writing->request->model);
    }
}

/* The system prompt that another format keeps apart. */
static void put_instructions(relay_responses_writing_t *writing)
{
    bool any = false;

    for (const relay_message_t *message = writing->request->messages;
         message != NULL && message->apart; message = message->next) {
        for (const relay_block_t *block = message->blocks; block != NULL; block = block->next) {
            relay_codec_drop_mark(writing->translation, block->mark, block->mark_place);
            if (block->kind == RELAY_BLOCK_TEXT && block->text.len != 0) {
                relay_buf_put(writing->out,
                              any ? RELAY_SPAN("\\n\\n") : RELAY_SPAN(",\"instructions\":\""));
                relay_buf_put(writing->out, block->text);
                any = true;
            }
        }
    }
    relay_buf_put(writing->out, any ? RELAY_SPAN("\"") : RELAY_SPAN(""));
}

/* ---- the same format ----------------------------------------------------- */

static void put_own_reasoning(relay_responses_writing_t *writing)
{
    const relay_reasoning_t *reasoning = &writing->request->reasoning;

    if (reasoning->effort != RELAY_EFFORT_UNSET && has_flag(writing, RELAY_TARGET_NO_EFFORT)) {
        relay_codec_drop(writing->translation, RELAY_FIELD_EFFORT);
        return;
    }
    relay_codec_put_value(writing->out, RELAY_SPAN(",\"reasoning\":"), reasoning->value);
}

/* All but what the model's catalog entry may change is as it was. */
static void put_own(relay_responses_writing_t *writing)
{
    const relay_request_t *request = writing->request;
    uint64_t max = writing->translation->target.output_tokens_max;
    bool clamped = max != 0 && request->max_tokens > max;

    put_sampled(writing, RELAY_FIELD_TEMPERATURE, RELAY_SPAN(",\"temperature\":"),
                request->temperature);
    put_sampled(writing, RELAY_FIELD_TOP_P, RELAY_SPAN(",\"top_p\":"), request->top_p);
    if (request->limited) {
        RELAY_PUT(writing->out, ",\"max_output_tokens\":");
        relay_buf_put_u64(writing->out, clamped ? max : request->max_tokens);
    }
    if (request->limited && clamped) {
        relay_codec_change(writing->translation, RELAY_FIELD_MAX_TOKENS);
    }
    put_own_reasoning(writing);
    relay_codec_put_extras(writing->out, request->extras);
}

static bool put_foreign(relay_responses_writing_t *writing)
{
    put_instructions(writing);
    RELAY_PUT(writing->out, ",\"input\":[");
    if (!relay_responses_write_input(writing)) {
        return false;
    }
    RELAY_PUT(writing->out, "]");
    if (!put_tools(writing) || !put_sampling(writing)) {
        return false;
    }
    put_include(writing, put_reasoning(writing));
    put_text(writing);
    put_labels(writing);
    RELAY_PUT(writing->out, ",\"store\":false");
    return relay_codec_leave(writing->translation, writing->request->extras, NULL);
}

relay_error_code_t relay_responses_write_request(relay_translation_t *translation,
                                                 const relay_request_t *request, relay_buf_t *out)
{
    relay_responses_writing_t writing = {
        .translation = translation, .request = request, .out = out};

    put_model(&writing);
    if (relay_codec_own(request->origin, &relay_codec_openai_responses)) {
        put_own(&writing);
    } else if (!put_foreign(&writing)) {
        return translation->error.code;
    }
    relay_buf_put(out, request->stream ? RELAY_SPAN(",\"stream\":true") : RELAY_SPAN(""));
    RELAY_PUT(out, "}");
    return translation->error.code;
}
