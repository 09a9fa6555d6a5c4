/*
 * The canonical protocol into bodies of Chat Completions requests: everything but
 * the messages. Called through the codec.
 */

#include "wire_openai_chat_codec.h"

enum { STOP_MAX = 4 };

static bool given(relay_json_value_t value)
{
    return value.type != RELAY_JSON_ABSENT;
}

static bool has_flag(const relay_chat_writing_t *writing, unsigned flag)
{
    return (writing->translation->target.flags & flag) != 0;
}

/* ---- tools --------------------------------------------------------------- */

/* A custom tool where the host takes none. */
static void put_wrapped_function(relay_chat_writing_t *writing, const relay_tool_t *tool)
{
    relay_buf_t *out = writing->out;

    RELAY_PUT(out, "{\"type\":\"function\",\"function\":{\"name\":");
    relay_codec_put_string(out, relay_codec_tool_name(writing->translation, tool->scope, tool->name,
                                                      true, RELAY_CHAT_NAME_MAX));
    relay_codec_put_text(out, RELAY_SPAN(",\"description\":"), tool->description);
    RELAY_PUT(out, ",\"parameters\":");
    relay_buf_put(out, RELAY_CODEC_WRAPPED_SCHEMA);
    RELAY_PUT(out, "}}");
    if (given(tool->grammar)) {
        relay_codec_drop_in(writing->translation, tool->place, RELAY_FIELD_TOOL_GRAMMAR);
    }
}

static void put_function(relay_chat_writing_t *writing, const relay_tool_t *tool)
{
    relay_buf_t *out = writing->out;
    bool custom = tool->kind == RELAY_TOOL_CUSTOM;

    relay_buf_put(out, custom ? RELAY_SPAN("{\"type\":\"custom\",\"custom\":{\"name\":")
                              : RELAY_SPAN("{\"type\":\"function\",\"function\":{\"name\":"));
    relay_codec_put_string(out, relay_codec_tool_name(writing->translation, tool->scope, tool->name,
                                                      false, RELAY_CHAT_NAME_MAX));
    relay_codec_put_text(out, RELAY_SPAN(",\"description\":"), tool->description);
    relay_codec_put_value(out, RELAY_SPAN(",\"parameters\":"), tool->schema);
    relay_codec_put_value(out, RELAY_SPAN(",\"format\":"), tool->grammar);
    if (!has_flag(writing, RELAY_TARGET_NO_STRICT)) {
        relay_codec_put_value(out, RELAY_SPAN(",\"strict\":"), tool->strict);
    }
    RELAY_PUT(out, "}}");
}

static bool note_tool(relay_chat_writing_t *writing, const relay_tool_t *tool)
{
    relay_codec_drop_mark(writing->translation, tool->mark, tool->mark_place);
    if (tool->strict.type == RELAY_JSON_TRUE && has_flag(writing, RELAY_TARGET_NO_STRICT)) {
        relay_codec_drop_in(writing->translation, tool->place, RELAY_FIELD_TOOL_STRICT);
    }
    return relay_codec_leave_tool(writing->translation, tool);
}

static bool put_tool(relay_chat_writing_t *writing, const relay_tool_t *tool)
{
    if (writing->own && tool->raw.len != 0) {
        relay_buf_put(writing->out, tool->raw);
        return true;
    }
    if (tool->kind == RELAY_TOOL_OPAQUE) {
        return relay_codec_refuse_tool(writing->translation, tool);
    }
    if (tool->kind == RELAY_TOOL_CUSTOM && relay_chat_wraps(writing)) {
        put_wrapped_function(writing, tool);
    } else {
        put_function(writing, tool);
    }
    return note_tool(writing, tool);
}

static void put_choice_name(relay_chat_writing_t *writing, const relay_name_t *name)
{
    bool wraps = relay_chat_wraps(writing);

    relay_buf_put(writing->out, name->custom && !wraps
                                    ? RELAY_SPAN("{\"type\":\"custom\",\"custom\":{\"name\":")
                                    : RELAY_SPAN("{\"type\":\"function\",\"function\":{\"name\":"));
    relay_codec_put_string(writing->out,
                           relay_codec_choice_name(writing->translation, writing->request, name,
                                                   wraps, RELAY_CHAT_NAME_MAX));
    RELAY_PUT(writing->out, "}}");
}

static void put_allowed(relay_chat_writing_t *writing, const relay_tool_choice_t *choice)
{
    relay_buf_t *out = writing->out;

    RELAY_PUT(out, "{\"type\":\"allowed_tools\",\"allowed_tools\":{\"mode\":");
    relay_buf_put(out, choice->mode == RELAY_CHOICE_ALLOWED
                           ? RELAY_SPAN("\"auto\",\"tools\":[")
                           : RELAY_SPAN("\"required\",\"tools\":["));
    for (const relay_name_t *name = choice->names; name != NULL; name = name->next) {
        put_choice_name(writing, name);
        relay_buf_put(out, name->next != NULL ? RELAY_SPAN(",") : RELAY_SPAN("]}}"));
    }
    relay_buf_put(out, choice->names == NULL ? RELAY_SPAN("]}}") : RELAY_SPAN(""));
}

static bool put_choice(relay_chat_writing_t *writing, const relay_tool_choice_t *choice)
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
static bool put_tools(relay_chat_writing_t *writing)
{
    const relay_request_t *request = writing->request;
    relay_buf_t *out = writing->out;

    if (request->tools == NULL) {
        return true;
    }
    RELAY_PUT(out, ",\"tools\":[");
    for (const relay_tool_t *tool = request->tools; tool != NULL; tool = tool->next) {
        relay_buf_put(out, tool == request->tools ? RELAY_SPAN("") : RELAY_SPAN(","));
        if (!put_tool(writing, tool)) {
            return false;
        }
    }
    RELAY_PUT(out, "]");
    relay_openai_put_parallel(writing->translation, out, &request->tool_choice);
    return put_choice(writing, &request->tool_choice);
}

/* ---- sampling and limits ------------------------------------------------- */

static bool put_limit(relay_chat_writing_t *writing)
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
    if (max != 0 && limit > max) {
        limit = max;
        relay_codec_change(writing->translation, RELAY_FIELD_MAX_TOKENS);
    }
    relay_buf_put(writing->out, has_flag(writing, RELAY_TARGET_OLD_LIMIT)
                                    ? RELAY_SPAN(",\"max_tokens\":")
                                    : RELAY_SPAN(",\"max_completion_tokens\":"));
    relay_buf_put_u64(writing->out, limit);
    return true;
}

static void put_sampled(relay_chat_writing_t *writing, relay_field_t field, relay_span_t name,
                        relay_json_value_t value)
{
    if (given(value) && has_flag(writing, RELAY_TARGET_NO_SAMPLING)) {
        relay_codec_drop(writing->translation, field);
        return;
    }
    relay_codec_put_value(writing->out, name, value);
}

static bool put_stop(relay_chat_writing_t *writing)
{
    unsigned count = 0;

    for (const relay_name_t *stop = writing->request->stop; stop != NULL; stop = stop->next) {
        relay_buf_put(writing->out, count++ == 0 ? RELAY_SPAN(",\"stop\":[") : RELAY_SPAN(","));
        relay_codec_put_string(writing->out, stop->name);
    }
    relay_buf_put(writing->out, count != 0 ? RELAY_SPAN("]") : RELAY_SPAN(""));
    return count <= STOP_MAX || writing->own ||
           relay_codec_refuse_field(
               writing->translation, RELAY_FIELD_STOP,
               RELAY_SPAN("the provider of this model takes at most 4 stop sequences"));
}

static bool put_sampling(relay_chat_writing_t *writing)
{
    const relay_request_t *request = writing->request;
    relay_buf_t *out = writing->out;

    put_sampled(writing, RELAY_FIELD_TEMPERATURE, RELAY_SPAN(",\"temperature\":"),
                request->temperature);
    put_sampled(writing, RELAY_FIELD_TOP_P, RELAY_SPAN(",\"top_p\":"), request->top_p);
    if (given(request->top_k) && !has_flag(writing, RELAY_TARGET_TOP_K) && !writing->own) {
        return relay_codec_unsupported_field(writing->translation, RELAY_FIELD_TOP_K);
    }
    relay_codec_put_value(out, RELAY_SPAN(",\"top_k\":"), request->top_k);
    relay_codec_put_value(out, RELAY_SPAN(",\"frequency_penalty\":"), request->frequency_penalty);
    relay_codec_put_value(out, RELAY_SPAN(",\"presence_penalty\":"), request->presence_penalty);
    relay_codec_put_value(out, RELAY_SPAN(",\"logit_bias\":"), request->logit_bias);
    relay_codec_put_value(out, RELAY_SPAN(",\"seed\":"), request->seed);
    if (writing->own || relay_codec_wants_logprobs(writing->translation, request,
                                                   writing->translation->caller->logprobs)) {
        relay_codec_put_value(out, RELAY_SPAN(",\"logprobs\":"), request->logprobs);
        relay_codec_put_value(out, RELAY_SPAN(",\"top_logprobs\":"), request->top_logprobs);
    }
    if (request->choices > 1) {
        RELAY_PUT(out, ",\"n\":");
        relay_buf_put_u64(out, request->choices);
    }
    return put_limit(writing) && put_stop(writing);
}

/* ---- reasoning and format ------------------------------------------------ */

static relay_effort_t effort(relay_chat_writing_t *writing)
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

static void put_effort(relay_chat_writing_t *writing)
{
    relay_effort_t level = effort(writing);

    if (level == RELAY_EFFORT_UNSET) {
        return;
    }
    if (has_flag(writing, RELAY_TARGET_NO_EFFORT)) {
        relay_codec_drop(writing->translation,
                         writing->request->reasoning.effort != RELAY_EFFORT_UNSET
                             ? RELAY_FIELD_EFFORT
                             : RELAY_FIELD_THINKING);
        return;
    }
    RELAY_PUT(writing->out, ",\"reasoning_effort\":\"");
    relay_buf_put(writing->out, relay_codec_effort_word(level));
    RELAY_PUT(writing->out, "\"");
}

/* A format without `strict` of its own means it. */
static void put_schema(relay_chat_writing_t *writing, const relay_format_t *format)
{
    relay_buf_t *out = writing->out;

    RELAY_PUT(out, ",\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{\"name\":");
    relay_codec_put_string(out, format->name.len != 0 ? format->name : RELAY_SPAN("answer"));
    relay_codec_put_text(out, RELAY_SPAN(",\"description\":"), format->description);
    relay_codec_put_value(out, RELAY_SPAN(",\"schema\":"), format->schema);
    if (!writing->own && !given(format->strict)) {
        RELAY_PUT(out, ",\"strict\":true");
    }
    relay_codec_put_value(out, RELAY_SPAN(",\"strict\":"), format->strict);
    RELAY_PUT(out, "}}");
}

static void put_format(relay_chat_writing_t *writing)
{
    switch (writing->request->format.mode) {
    case RELAY_FORMAT_SCHEMA:
        put_schema(writing, &writing->request->format);
        break;
    case RELAY_FORMAT_JSON:
        RELAY_PUT(writing->out, ",\"response_format\":{\"type\":\"json_object\"}");
        break;
    default:
        break;
    }
}

/* ---- labels -------------------------------------------------------------- */

static void put_labels(relay_chat_writing_t *writing)
{
    const relay_request_t *request = writing->request;

    if (writing->own) {
        relay_codec_put_text(writing->out, RELAY_SPAN(",\"user\":"), request->user);
    } else {
        relay_openai_put_user(writing->translation, writing->out, request->user);
    }
    if (writing->own || !relay_span_eq(request->service_tier, RELAY_SPAN("auto"))) {
        relay_codec_put_text(writing->out, RELAY_SPAN(",\"service_tier\":"), request->service_tier);
    }
    relay_codec_put_text(writing->out, RELAY_SPAN(",\"verbosity\":"), request->verbosity);
    if (writing->own) {
        relay_codec_put_value(writing->out, RELAY_SPAN(",\"metadata\":"), request->metadata);
        return;
    }
    if (given(request->metadata)) {
        relay_codec_drop(writing->translation, RELAY_FIELD_METADATA);
    }
}

static void put_model(relay_chat_writing_t *writing)
{
    relay_span_t model = writing->translation->target.model;

    RELAY_PUT(writing->out, "{\"model\":");
    if (model.len != 0) {
        relay_buf_put_json(writing->out, model);
    } else {
        relay_codec_put_string(writing->out, writing->request->model);
    }
}

/* Usage is always asked for: it is metered whether the caller wants it or not. */
static void put_stream(relay_chat_writing_t *writing)
{
    if (writing->request->stream) {
        RELAY_PUT(writing->out, ",\"stream\":true,\"stream_options\":{\"include_usage\":true}");
    }
}

relay_error_code_t relay_chat_write_request(relay_translation_t *translation,
                                            const relay_request_t *request, relay_buf_t *out)
{
    relay_chat_writing_t writing = {.translation = translation, .request = request, .out = out};

    writing.own = relay_codec_own(request->origin, &relay_codec_openai_chat);
    put_model(&writing);
    RELAY_PUT(out, ",\"messages\":[");
    if (!relay_chat_write_messages(&writing)) {
        return translation->error.code;
    }
    RELAY_PUT(out, "]");
    if (!put_tools(&writing) || !put_sampling(&writing)) {
        return translation->error.code;
    }
    put_effort(&writing);
    put_format(&writing);
    put_labels(&writing);
    put_stream(&writing);
    if (writing.own) {
        relay_codec_put_extras(out, request->extras);
    } else if (!relay_codec_leave(translation, request->extras, NULL)) {
        return translation->error.code;
    }
    RELAY_PUT(out, "}");
    return translation->error.code;
}
