/*
 * The canonical protocol into bodies of Anthropic Messages requests: everything
 * but the messages. Called through the codec.
 */

#include "wire_anthropic_messages_codec.h"

/* What the format requires and the caller need not say, if the catalog does not
 * know the model's own limit; and the least that a thinking budget may be. */
enum { DEFAULT_MAX_TOKENS = 32000, BUDGET_MIN_TOKENS = 1024 };

static bool given(relay_json_value_t value)
{
    return value.type != RELAY_JSON_ABSENT;
}

static bool has_flag(const relay_messages_writing_t *writing, unsigned flag)
{
    return (writing->translation->target.flags & flag) != 0;
}

/* ---- limits and thinking ------------------------------------------------- */

static void find_limit(relay_messages_writing_t *writing)
{
    const relay_request_t *request = writing->request;
    uint64_t max = writing->translation->target.output_tokens_max;

    if (!request->limited) {
        writing->max_tokens = max != 0 ? max : DEFAULT_MAX_TOKENS;
    } else if (max != 0 && request->max_tokens > max) {
        writing->max_tokens = max;
        relay_codec_change(writing->translation, RELAY_FIELD_MAX_TOKENS);
    } else {
        writing->max_tokens = request->max_tokens;
    }
}

static bool tool_forced(const relay_request_t *request)
{
    relay_choice_mode_t mode = request->tool_choice.mode;

    return request->tools != NULL && (mode == RELAY_CHOICE_REQUIRED || mode == RELAY_CHOICE_NAMED ||
                                      mode == RELAY_CHOICE_ALLOWED_REQUIRED);
}

static uint64_t wanted_budget(const relay_messages_writing_t *writing)
{
    const relay_reasoning_t *reasoning = &writing->request->reasoning;

    if (reasoning->mode == RELAY_THINKING_BUDGET) {
        return reasoning->budget_tokens;
    }
    return reasoning->effort > RELAY_EFFORT_NONE
               ? relay_codec_budget(&writing->translation->target, reasoning->effort)
               : 0;
}

/* Where thinking does not go by a budget, one means no more than to think. */
static void note_mode(relay_messages_writing_t *writing)
{
    const relay_reasoning_t *reasoning = &writing->request->reasoning;
    bool adaptive = has_flag(writing, RELAY_TARGET_ADAPTIVE);

    if (reasoning->effort != RELAY_EFFORT_UNSET) {
        return;
    }
    if (reasoning->mode == RELAY_THINKING_BUDGET && adaptive) {
        relay_codec_change(writing->translation, RELAY_FIELD_THINKING);
    } else if (reasoning->mode == RELAY_THINKING_BUDGET ||
               (reasoning->mode == RELAY_THINKING_ADAPTIVE && !adaptive)) {
        relay_codec_drop(writing->translation, RELAY_FIELD_THINKING);
    }
}

/*
 * A budget is at least BUDGET_MIN_TOKENS and below max_tokens; it goes with no
 * forced tool, and with no call in the history that lacks the thinking before it.
 * Where that cannot be, there is no thinking.
 */
static void find_budget(relay_messages_writing_t *writing)
{
    uint64_t budget = wanted_budget(writing);

    if (budget == 0 || !has_flag(writing, RELAY_TARGET_BUDGET)) {
        note_mode(writing);
        return;
    }
    if (budget >= writing->max_tokens) {
        budget = writing->max_tokens - 1;
    }
    budget = budget < BUDGET_MIN_TOKENS ? BUDGET_MIN_TOKENS : budget;
    if (budget >= writing->max_tokens || tool_forced(writing->request) ||
        relay_messages_loop_unsigned(writing->request)) {
        relay_codec_drop(writing->translation, RELAY_FIELD_EFFORT);
        return;
    }
    relay_codec_change(writing->translation, RELAY_FIELD_EFFORT);
    writing->budget_tokens = budget;
    writing->thinking = true;
}

static void put_thinking(relay_messages_writing_t *writing)
{
    const relay_reasoning_t *reasoning = &writing->request->reasoning;
    bool off = reasoning->effort == RELAY_EFFORT_NONE || reasoning->mode == RELAY_THINKING_DISABLED;
    bool wanted = reasoning->effort > RELAY_EFFORT_NONE ||
                  reasoning->mode == RELAY_THINKING_ADAPTIVE ||
                  reasoning->mode == RELAY_THINKING_BUDGET;

    if (writing->thinking) {
        RELAY_PUT(writing->out, ",\"thinking\":{\"type\":\"enabled\",\"budget_tokens\":");
        relay_buf_put_u64(writing->out, writing->budget_tokens);
        RELAY_PUT(writing->out, "}");
    } else if (off) {
        RELAY_PUT(writing->out, ",\"thinking\":{\"type\":\"disabled\"}");
    } else if (wanted && has_flag(writing, RELAY_TARGET_ADAPTIVE)) {
        RELAY_PUT(writing->out, ",\"thinking\":{\"type\":\"adaptive\",\"display\":\"summarized\"}");
    }
}

/* The word for an effort that this format knows; empty if it is not said so. */
static relay_span_t effort_word(relay_messages_writing_t *writing)
{
    relay_effort_t effort = writing->request->reasoning.effort;

    if (effort <= RELAY_EFFORT_NONE || has_flag(writing, RELAY_TARGET_BUDGET)) {
        return relay_span(NULL, 0);
    }
    if (has_flag(writing, RELAY_TARGET_NO_EFFORT)) {
        relay_codec_drop(writing->translation, RELAY_FIELD_EFFORT);
        return relay_span(NULL, 0);
    }
    if (effort == RELAY_EFFORT_MINIMAL) {
        relay_codec_change(writing->translation, RELAY_FIELD_EFFORT);
        effort = RELAY_EFFORT_LOW;
    }
    return relay_codec_effort_word(effort);
}

static void put_output_config(relay_messages_writing_t *writing)
{
    const relay_format_t *format = &writing->request->format;
    relay_span_t effort = effort_word(writing);
    bool schema = format->mode == RELAY_FORMAT_SCHEMA;
    relay_buf_t *out = writing->out;

    if (effort.len == 0 && !schema) {
        return;
    }
    RELAY_PUT(out, ",\"output_config\":{");
    if (effort.len != 0) {
        RELAY_PUT(out, "\"effort\":\"");
        relay_buf_put(out, effort);
        relay_buf_put(out, schema ? RELAY_SPAN("\",") : RELAY_SPAN("\""));
    }
    if (schema) {
        RELAY_PUT(out, "\"format\":{\"type\":\"json_schema\",\"schema\":");
        relay_buf_put(out, format->schema.text);
        RELAY_PUT(out, "}");
    }
    RELAY_PUT(out, "}");
    if (schema && format->description.len != 0) {
        relay_codec_drop(writing->translation, RELAY_FIELD_FORMAT_DESCRIPTION);
    }
}

/* ---- sampling ------------------------------------------------------------ */

static bool refuse_field(relay_messages_writing_t *writing, relay_field_t field)
{
    return relay_codec_unsupported_field(writing->translation, field);
}

/* Thinking by a budget goes with the default temperature only. */
static bool put_sampling(relay_messages_writing_t *writing)
{
    const relay_request_t *request = writing->request;
    bool none = has_flag(writing, RELAY_TARGET_NO_SAMPLING);
    bool top_p = given(request->top_p) && !none &&
                 (!writing->thinking || relay_codec_above(request->top_p, 0.9499999));

    if (relay_codec_above(request->temperature, 1) && !none && !writing->thinking) {
        return relay_codec_refuse_field(
            writing->translation, RELAY_FIELD_TEMPERATURE,
            RELAY_SPAN("the provider of this model takes values from 0 to 1"));
    }
    if (given(request->temperature) && !none && !writing->thinking) {
        relay_codec_put_value(writing->out, RELAY_SPAN(",\"temperature\":"), request->temperature);
    } else if (given(request->temperature)) {
        relay_codec_drop(writing->translation, RELAY_FIELD_TEMPERATURE);
    }
    if (top_p) {
        relay_codec_put_value(writing->out, RELAY_SPAN(",\"top_p\":"), request->top_p);
    } else if (given(request->top_p)) {
        relay_codec_drop(writing->translation, RELAY_FIELD_TOP_P);
    }
    if (given(request->top_k) && (none || writing->thinking)) {
        relay_codec_drop(writing->translation, RELAY_FIELD_TOP_K);
    } else {
        relay_codec_put_value(writing->out, RELAY_SPAN(",\"top_k\":"), request->top_k);
    }
    return true;
}

/* What would change the answer is refused, hints are dropped by name. */
static bool leave_fields(relay_messages_writing_t *writing)
{
    const relay_request_t *request = writing->request;
    relay_translation_t *translation = writing->translation;

    if (request->choices > 1) {
        return refuse_field(writing, RELAY_FIELD_COUNT_OF_CHOICES);
    }
    if (request->logprobs.type == RELAY_JSON_TRUE) {
        return refuse_field(writing, RELAY_FIELD_LOGPROBS);
    }
    if (relay_codec_nonzero(request->top_logprobs)) {
        return refuse_field(writing, RELAY_FIELD_TOP_LOGPROBS);
    }
    if (relay_codec_nonzero(request->frequency_penalty)) {
        return refuse_field(writing, RELAY_FIELD_FREQUENCY_PENALTY);
    }
    if (relay_codec_nonzero(request->presence_penalty)) {
        return refuse_field(writing, RELAY_FIELD_PRESENCE_PENALTY);
    }
    if (request->logit_bias.text.len > 2) {
        return refuse_field(writing, RELAY_FIELD_LOGIT_BIAS);
    }
    if (given(request->seed)) {
        relay_codec_drop(translation, RELAY_FIELD_SEED);
    }
    if (request->verbosity.len != 0) {
        relay_codec_drop(translation, RELAY_FIELD_VERBOSITY);
    }
    if (given(request->metadata)) {
        relay_codec_drop(translation, RELAY_FIELD_METADATA);
    }
    if (relay_span_eq(request->service_tier, RELAY_SPAN("priority"))) {
        relay_codec_change(translation, RELAY_FIELD_SERVICE_TIER); /* if the account has it */
    } else if (!relay_codec_usual_tier(request->service_tier)) {
        relay_codec_drop(translation, RELAY_FIELD_SERVICE_TIER);
    }
    return relay_codec_leave(translation, request->extras, NULL);
}

/* ---- stop sequences ------------------------------------------------------ */

static void put_stop(relay_messages_writing_t *writing)
{
    bool any = false;

    for (const relay_name_t *stop = writing->request->stop; stop != NULL; stop = stop->next) {
        if (relay_codec_blank(stop->name) && !writing->own) {
            relay_codec_change(writing->translation, RELAY_FIELD_STOP);
            continue;
        }
        relay_buf_put(writing->out, any ? RELAY_SPAN(",") : RELAY_SPAN(",\"stop_sequences\":["));
        relay_codec_put_string(writing->out, stop->name);
        any = true;
    }
    relay_buf_put(writing->out, any ? RELAY_SPAN("]") : RELAY_SPAN(""));
}

/* ---- tools --------------------------------------------------------------- */

static relay_span_t schema_of(const relay_tool_t *tool)
{
    if (tool->kind == RELAY_TOOL_CUSTOM) {
        return RELAY_CODEC_WRAPPED_SCHEMA;
    }
    return tool->schema.type == RELAY_JSON_OBJECT && tool->schema.text.len > 2
               ? tool->schema.text
               : RELAY_SPAN("{\"type\":\"object\"}");
}

static bool note_tool(relay_messages_writing_t *writing, const relay_tool_t *tool)
{
    relay_translation_t *translation = writing->translation;

    if (given(tool->grammar)) {
        relay_codec_drop_in(translation, tool->place, RELAY_FIELD_TOOL_GRAMMAR);
    }
    if (tool->strict.type == RELAY_JSON_TRUE && has_flag(writing, RELAY_TARGET_NO_STRICT)) {
        relay_codec_drop_in(translation, tool->place, RELAY_FIELD_TOOL_STRICT);
    }
    return relay_codec_leave_tool(translation, tool);
}

static bool put_tool(relay_messages_writing_t *writing, const relay_tool_t *tool)
{
    relay_buf_t *out = writing->out;

    if (writing->own && tool->raw.len != 0) {
        relay_buf_put(out, tool->raw);
        return true;
    }
    if (tool->kind == RELAY_TOOL_OPAQUE) {
        return relay_codec_refuse_tool(writing->translation, tool);
    }
    RELAY_PUT(out, "{\"name\":");
    relay_codec_put_string(out, relay_codec_tool_name(writing->translation, tool->scope, tool->name,
                                                      tool->kind == RELAY_TOOL_CUSTOM,
                                                      RELAY_MESSAGES_NAME_MAX));
    relay_codec_put_text(out, RELAY_SPAN(",\"description\":"), tool->description);
    RELAY_PUT(out, ",\"input_schema\":");
    relay_buf_put(out, schema_of(tool));
    if (tool->strict.type == RELAY_JSON_TRUE && !has_flag(writing, RELAY_TARGET_NO_STRICT)) {
        RELAY_PUT(out, ",\"strict\":true");
    }
    relay_messages_put_mark(writing, tool->mark);
    RELAY_PUT(out, "}");
    return note_tool(writing, tool);
}

/* A choice among some of the tools is made by leaving the others out. */
static bool is_allowed(const relay_tool_choice_t *choice, const relay_tool_t *tool)
{
    if (choice->mode != RELAY_CHOICE_ALLOWED && choice->mode != RELAY_CHOICE_ALLOWED_REQUIRED) {
        return true;
    }
    for (const relay_name_t *name = choice->names; name != NULL; name = name->next) {
        if (relay_codec_names(name, tool)) {
            return true;
        }
    }
    return false;
}

static bool put_choice_mode(relay_messages_writing_t *writing, const relay_tool_choice_t *choice)
{
    relay_buf_t *out = writing->out;

    switch (choice->mode) {
    case RELAY_CHOICE_NONE:
        RELAY_PUT(out, ",\"tool_choice\":{\"type\":\"none\"");
        return true;
    case RELAY_CHOICE_REQUIRED:
    case RELAY_CHOICE_ALLOWED_REQUIRED:
        RELAY_PUT(out, ",\"tool_choice\":{\"type\":\"any\"");
        return true;
    case RELAY_CHOICE_NAMED:
        RELAY_PUT(out, ",\"tool_choice\":{\"type\":\"tool\",\"name\":");
        relay_codec_put_string(out, relay_codec_choice_name(writing->translation, writing->request,
                                                            choice->names, true,
                                                            RELAY_MESSAGES_NAME_MAX));
        return true;
    case RELAY_CHOICE_OPAQUE:
        return refuse_field(writing, RELAY_FIELD_TOOL_CHOICE);
    default:
        RELAY_PUT(out, ",\"tool_choice\":{\"type\":\"auto\"");
        return true;
    }
}

/* Whether calls may be parallel is a part of the choice; not of "none". */
static bool put_choice(relay_messages_writing_t *writing)
{
    const relay_tool_choice_t *choice = &writing->request->tool_choice;
    bool alone = choice->parallel.type == RELAY_JSON_FALSE && choice->mode != RELAY_CHOICE_NONE;

    if (choice->mode == RELAY_CHOICE_UNSET && !alone) {
        return true;
    }
    if (!put_choice_mode(writing, choice)) {
        return false;
    }
    relay_buf_put(writing->out,
                  alone ? RELAY_SPAN(",\"disable_parallel_tool_use\":true}") : RELAY_SPAN("}"));
    return true;
}

static bool put_tools(relay_messages_writing_t *writing)
{
    const relay_request_t *request = writing->request;
    bool any = false;

    for (const relay_tool_t *tool = request->tools; tool != NULL; tool = tool->next) {
        if (!is_allowed(&request->tool_choice, tool)) {
            continue;
        }
        relay_buf_put(writing->out, any ? RELAY_SPAN(",") : RELAY_SPAN(",\"tools\":["));
        any = true;
        if (!put_tool(writing, tool)) {
            return false;
        }
    }
    if (!any) {
        return true; /* a choice among none says nothing */
    }
    RELAY_PUT(writing->out, "]");
    if (writing->own) {
        relay_codec_put_value(writing->out, RELAY_SPAN(",\"tool_choice\":"),
                              request->tool_choice.value);
        return true;
    }
    return put_choice(writing);
}

/* ---- the body ------------------------------------------------------------ */

static void put_head(relay_messages_writing_t *writing)
{
    relay_span_t model = writing->translation->target.model;

    RELAY_PUT(writing->out, "{\"model\":");
    if (model.len != 0) {
        relay_buf_put_json(writing->out, model);
    } else {
        relay_codec_put_string(writing->out, writing->request->model);
    }
    RELAY_PUT(writing->out, ",\"max_tokens\":");
    relay_buf_put_u64(writing->out, writing->max_tokens);
}

static bool put_rest(relay_messages_writing_t *writing)
{
    const relay_request_t *request = writing->request;
    relay_buf_t *out = writing->out;

    if (!put_tools(writing) || !put_sampling(writing)) {
        return false;
    }
    put_stop(writing);
    relay_buf_put(out, request->stream ? RELAY_SPAN(",\"stream\":true") : RELAY_SPAN(""));
    if (writing->own) {
        relay_codec_put_extras(out, request->extras);
        return true;
    }
    put_thinking(writing);
    put_output_config(writing);
    if (request->user.len != 0) {
        RELAY_PUT(out, ",\"metadata\":{\"user_id\":");
        relay_codec_put_string(out, request->user);
        RELAY_PUT(out, "}");
    }
    return leave_fields(writing);
}

relay_error_code_t relay_messages_write_request(relay_translation_t *translation,
                                                const relay_request_t *request, relay_buf_t *out)
{
    relay_messages_writing_t writing = {.translation = translation, .request = request, .out = out};

    writing.own = relay_codec_own(request->origin, &relay_codec_anthropic_messages);
    find_limit(&writing);
    find_budget(&writing);
    put_head(&writing);
    if (relay_messages_write_messages(&writing) && put_rest(&writing)) {
        RELAY_PUT(out, "}");
    }
    return translation->error.code;
}
