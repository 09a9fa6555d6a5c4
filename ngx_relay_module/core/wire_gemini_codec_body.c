/*
 * The canonical protocol into bodies of Gemini requests: everything but the
 * contents. Called through the codec. Model and stream are in the path.
 */

#include "wire_gemini_codec.h"

enum { STOP_MAX = 5 };

static bool given(relay_json_value_t value)
{
    return value.type != RELAY_JSON_ABSENT;
}

static bool has_flag(const relay_gemini_writing_t *writing, unsigned flag)
{
    return (writing->translation->target.flags & flag) != 0;
}

static bool refuse_field(relay_gemini_writing_t *writing, relay_field_t field)
{
    return relay_codec_unsupported_field(writing->translation, field);
}

/* ---- tools --------------------------------------------------------------- */

/* A function without parameters says so by saying nothing. */
static bool put_parameters(relay_gemini_writing_t *writing, const relay_tool_t *tool)
{
    relay_buf_t *out = writing->out;
    bool lossy = false;

    if (tool->kind == RELAY_TOOL_CUSTOM) {
        RELAY_PUT(out, ",\"parameters\":{\"type\":\"OBJECT\",\"properties\":{\"input\":{\"type\":"
                       "\"STRING\"}},\"required\":[\"input\"]}");
        return true;
    }
    if (tool->schema.type != RELAY_JSON_OBJECT || tool->schema.text.len <= 2) {
        return true;
    }
    if (!has_flag(writing, RELAY_TARGET_OLD_SCHEMA)) {
        relay_codec_put_value(out, RELAY_SPAN(",\"parametersJsonSchema\":"), tool->schema);
        return true;
    }
    RELAY_PUT(out, ",\"parameters\":");
    if (!relay_gemini_put_schema(writing->translation, out, tool->schema, &lossy)) {
        return false;
    }
    if (lossy) {
        relay_codec_change(writing->translation, RELAY_FIELD_TOOLS);
    }
    return true;
}

static bool note_tool(relay_gemini_writing_t *writing, const relay_tool_t *tool)
{
    relay_translation_t *translation = writing->translation;

    relay_codec_drop_mark(translation, tool->mark, tool->mark_place);
    if (given(tool->grammar)) {
        relay_codec_drop_in(translation, tool->place, RELAY_FIELD_TOOL_GRAMMAR);
    }
    return relay_codec_leave_tool(translation, tool);
}

static bool put_tool(relay_gemini_writing_t *writing, const relay_tool_t *tool)
{
    relay_buf_t *out = writing->out;

    if (tool->kind == RELAY_TOOL_OPAQUE) {
        return relay_codec_refuse_tool(writing->translation, tool);
    }
    RELAY_PUT(out, "{\"name\":");
    relay_codec_put_string(out, relay_codec_tool_name(writing->translation, tool->scope, tool->name,
                                                      tool->kind == RELAY_TOOL_CUSTOM,
                                                      RELAY_GEMINI_NAME_MAX));
    relay_codec_put_text(out, RELAY_SPAN(",\"description\":"), tool->description);
    if (!put_parameters(writing, tool)) {
        return false;
    }
    RELAY_PUT(out, "}");
    return note_tool(writing, tool);
}

static bool named(const relay_name_t *names, const relay_tool_t *tool)
{
    while (names != NULL && !relay_codec_names(names, tool)) {
        names = names->next;
    }
    return names != NULL;
}

/* A free choice among some of the tools is made by leaving the others out. */
static bool is_offered(const relay_tool_choice_t *choice, const relay_tool_t *tool)
{
    return choice->mode != RELAY_CHOICE_ALLOWED || named(choice->names, tool);
}

static void put_allowed(relay_gemini_writing_t *writing, const relay_name_t *names)
{
    bool any = false;

    for (; names != NULL; names = names->next) {
        relay_buf_put(writing->out,
                      any ? RELAY_SPAN(",") : RELAY_SPAN(",\"allowedFunctionNames\":["));
        relay_codec_put_string(writing->out,
                               relay_codec_choice_name(writing->translation, writing->request,
                                                       names, true, RELAY_GEMINI_NAME_MAX));
        any = true;
    }
    relay_buf_put(writing->out, any ? RELAY_SPAN("]") : RELAY_SPAN(""));
}

/* Arguments that are sure to fit are a mode here, not a property of a tool. */
static bool wants_valid(relay_gemini_writing_t *writing)
{
    for (const relay_tool_t *tool = writing->request->tools; tool != NULL; tool = tool->next) {
        if (tool->strict.type == RELAY_JSON_TRUE) {
            if (!has_flag(writing, RELAY_TARGET_NO_STRICT)) {
                return true;
            }
            relay_codec_drop_in(writing->translation, tool->place, RELAY_FIELD_TOOL_STRICT);
        }
    }
    return false;
}

static relay_span_t mode_of(relay_gemini_writing_t *writing, relay_choice_mode_t mode)
{
    bool valid = wants_valid(writing);

    switch (mode) {
    case RELAY_CHOICE_NONE:
        return RELAY_SPAN("NONE");
    case RELAY_CHOICE_REQUIRED:
    case RELAY_CHOICE_NAMED:
    case RELAY_CHOICE_ALLOWED_REQUIRED:
        return RELAY_SPAN("ANY"); /* what it calls is valid */
    case RELAY_CHOICE_UNSET:
        return valid ? RELAY_SPAN("VALIDATED") : RELAY_SPAN("");
    default:
        return valid ? RELAY_SPAN("VALIDATED") : RELAY_SPAN("AUTO");
    }
}

static bool put_choice(relay_gemini_writing_t *writing)
{
    const relay_tool_choice_t *choice = &writing->request->tool_choice;
    relay_span_t mode = mode_of(writing, choice->mode);

    if (choice->mode == RELAY_CHOICE_OPAQUE) {
        return refuse_field(writing, RELAY_FIELD_TOOL_CHOICE);
    }
    if (choice->parallel.type == RELAY_JSON_FALSE && choice->mode != RELAY_CHOICE_NONE) {
        relay_codec_drop(writing->translation, RELAY_FIELD_PARALLEL);
    }
    if (mode.len == 0) {
        return true;
    }
    RELAY_PUT(writing->out, ",\"toolConfig\":{\"functionCallingConfig\":{\"mode\":");
    relay_codec_put_string(writing->out, mode);
    if (choice->mode == RELAY_CHOICE_NAMED || choice->mode == RELAY_CHOICE_ALLOWED_REQUIRED) {
        put_allowed(writing, choice->names);
    }
    RELAY_PUT(writing->out, "}}");
    return true;
}

static bool put_tools(relay_gemini_writing_t *writing)
{
    const relay_request_t *request = writing->request;
    bool any = false;

    for (const relay_tool_t *tool = request->tools; tool != NULL; tool = tool->next) {
        if (!is_offered(&request->tool_choice, tool)) {
            continue;
        }
        relay_buf_put(writing->out, any ? RELAY_SPAN(",")
                                        : RELAY_SPAN(",\"tools\":[{\"functionDeclarations\":["));
        any = true;
        if (!put_tool(writing, tool)) {
            return false;
        }
    }
    if (!any) {
        return true; /* a choice among none says nothing */
    }
    RELAY_PUT(writing->out, "]}]");
    return put_choice(writing);
}

/* ---- sampling and limits ------------------------------------------------- */

/* Members of generationConfig: the first opens it. */
static void put_name(relay_gemini_writing_t *writing, relay_span_t name)
{
    relay_buf_put(writing->out,
                  writing->part ? RELAY_SPAN(",\"") : RELAY_SPAN(",\"generationConfig\":{\""));
    relay_buf_put(writing->out, name);
    RELAY_PUT(writing->out, "\":");
    writing->part = true;
}

static void put_number(relay_gemini_writing_t *writing, relay_span_t name, relay_json_value_t value)
{
    if (given(value)) {
        put_name(writing, name);
        relay_buf_put(writing->out, value.text);
    }
}

static void put_count(relay_gemini_writing_t *writing, relay_span_t name, uint64_t count)
{
    put_name(writing, name);
    relay_buf_put_u64(writing->out, count);
}

static void put_sampled(relay_gemini_writing_t *writing, relay_field_t field, relay_span_t name,
                        relay_json_value_t value)
{
    if (given(value) && has_flag(writing, RELAY_TARGET_NO_SAMPLING)) {
        relay_codec_drop(writing->translation, field);
    } else {
        put_number(writing, name, value);
    }
}

static bool put_limit(relay_gemini_writing_t *writing)
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
    put_count(writing, RELAY_SPAN("maxOutputTokens"), limit);
    return true;
}

static bool put_stop(relay_gemini_writing_t *writing)
{
    unsigned count = 0;

    for (const relay_name_t *stop = writing->request->stop; stop != NULL; stop = stop->next) {
        if (stop->name.len == 0) {
            relay_codec_change(writing->translation, RELAY_FIELD_STOP);
            continue;
        }
        if (count++ == 0) {
            put_name(writing, RELAY_SPAN("stopSequences"));
        }
        relay_buf_put(writing->out, count == 1 ? RELAY_SPAN("[") : RELAY_SPAN(","));
        relay_codec_put_string(writing->out, stop->name);
    }
    relay_buf_put(writing->out, count != 0 ? RELAY_SPAN("]") : RELAY_SPAN(""));
    return count <= STOP_MAX ||
           relay_codec_refuse_field(
               writing->translation, RELAY_FIELD_STOP,
               RELAY_SPAN("the provider of this model takes at most 5 stop sequences"));
}

/* A seed is of 32 bits here. */
static void put_seed(relay_gemini_writing_t *writing)
{
    if (relay_codec_above(writing->request->seed, INT32_MAX)) {
        relay_codec_drop(writing->translation, RELAY_FIELD_SEED);
    } else {
        put_number(writing, RELAY_SPAN("seed"), writing->request->seed);
    }
}

/* Most hosts refuse to be asked for them, and all in a stream. */
static void put_logprobs(relay_gemini_writing_t *writing)
{
    const relay_request_t *request = writing->request;
    bool gives = (writing->translation->target.flags & RELAY_TARGET_LOGPROBS) != 0 &&
                 writing->translation->caller->logprobs && !request->stream;

    if (!relay_codec_wants_logprobs(writing->translation, request, writing->own || gives)) {
        return;
    }
    put_number(writing, RELAY_SPAN("responseLogprobs"), request->logprobs);
    if (writing->own || relay_codec_nonzero(request->top_logprobs)) {
        put_number(writing, RELAY_SPAN("logprobs"), request->top_logprobs);
    }
}

static bool put_sampling(relay_gemini_writing_t *writing)
{
    const relay_request_t *request = writing->request;

    put_sampled(writing, RELAY_FIELD_TEMPERATURE, RELAY_SPAN("temperature"), request->temperature);
    put_sampled(writing, RELAY_FIELD_TOP_P, RELAY_SPAN("topP"), request->top_p);
    put_sampled(writing, RELAY_FIELD_TOP_K, RELAY_SPAN("topK"), request->top_k);
    put_number(writing, RELAY_SPAN("presencePenalty"), request->presence_penalty);
    put_number(writing, RELAY_SPAN("frequencyPenalty"), request->frequency_penalty);
    put_seed(writing);
    if (request->choices > 1) {
        put_count(writing, RELAY_SPAN("candidateCount"), request->choices);
    }
    put_logprobs(writing);
    return put_limit(writing) && put_stop(writing);
}

/* ---- thinking and format ------------------------------------------------- */

/* Whether the caller wants to see the thoughts that it asks for. */
static relay_span_t shown(const relay_reasoning_t *reasoning)
{
    bool hidden = relay_span_eq(reasoning->summary, RELAY_SPAN("omitted")) ||
                  relay_span_eq(reasoning->summary, RELAY_SPAN("none"));

    return hidden ? RELAY_SPAN("}") : RELAY_SPAN(",\"includeThoughts\":true}");
}

static void put_budget(relay_gemini_writing_t *writing, uint64_t tokens)
{
    put_name(writing, RELAY_SPAN("thinkingConfig"));
    RELAY_PUT(writing->out, "{\"thinkingBudget\":");
    relay_buf_put_u64(writing->out, tokens);
    relay_buf_put(writing->out,
                  tokens == 0 ? RELAY_SPAN("}") : shown(&writing->request->reasoning));
}

static void put_level(relay_gemini_writing_t *writing, relay_effort_t effort, relay_field_t field)
{
    static const relay_span_t words[RELAY_EFFORTS] = {
        [RELAY_EFFORT_MINIMAL] = RELAY_SPAN_INIT("{\"thinkingLevel\":\"MINIMAL\""),
        [RELAY_EFFORT_LOW] = RELAY_SPAN_INIT("{\"thinkingLevel\":\"LOW\""),
        [RELAY_EFFORT_MEDIUM] = RELAY_SPAN_INIT("{\"thinkingLevel\":\"MEDIUM\""),
        [RELAY_EFFORT_HIGH] = RELAY_SPAN_INIT("{\"thinkingLevel\":\"HIGH\""),
    };

    if (effort > RELAY_EFFORT_HIGH) {
        effort = RELAY_EFFORT_HIGH;
        relay_codec_change(writing->translation, field);
    }
    put_name(writing, RELAY_SPAN("thinkingConfig"));
    relay_buf_put(writing->out, words[effort]);
    relay_buf_put(writing->out, shown(&writing->request->reasoning));
}

static void put_effort(relay_gemini_writing_t *writing)
{
    relay_effort_t effort = writing->request->reasoning.effort;

    if (has_flag(writing, RELAY_TARGET_NO_EFFORT)) {
        relay_codec_drop(writing->translation, RELAY_FIELD_EFFORT);
    } else if (effort == RELAY_EFFORT_NONE) {
        put_budget(writing, 0);
    } else if (has_flag(writing, RELAY_TARGET_BUDGET)) {
        put_budget(writing, relay_codec_budget(&writing->translation->target, effort));
        relay_codec_change(writing->translation, RELAY_FIELD_EFFORT);
    } else {
        put_level(writing, effort, RELAY_FIELD_EFFORT);
    }
}

static void put_mode(relay_gemini_writing_t *writing)
{
    const relay_reasoning_t *reasoning = &writing->request->reasoning;
    const relay_target_t *target = &writing->translation->target;

    switch (reasoning->mode) {
    case RELAY_THINKING_DISABLED:
        put_budget(writing, 0);
        break;
    case RELAY_THINKING_BUDGET:
        if (has_flag(writing, RELAY_TARGET_BUDGET)) {
            put_budget(writing, reasoning->budget_tokens);
            break;
        }
        relay_codec_change(writing->translation, RELAY_FIELD_THINKING);
        put_level(writing, relay_codec_effort_of(target, reasoning->budget_tokens),
                  RELAY_FIELD_THINKING);
        break;
    case RELAY_THINKING_ADAPTIVE:
        put_name(writing, RELAY_SPAN("thinkingConfig"));
        relay_buf_put(writing->out, has_flag(writing, RELAY_TARGET_BUDGET)
                                        ? RELAY_SPAN("{\"thinkingBudget\":-1}")
                                        : RELAY_SPAN("{\"includeThoughts\":true}"));
        break;
    case RELAY_THINKING_OPAQUE:
        relay_codec_drop(writing->translation, RELAY_FIELD_THINKING);
        break;
    default:
        break;
    }
}

static void put_thinking(relay_gemini_writing_t *writing)
{
    const relay_reasoning_t *reasoning = &writing->request->reasoning;

    if (reasoning->effort != RELAY_EFFORT_UNSET && reasoning->mode != RELAY_THINKING_DISABLED) {
        put_effort(writing);
    } else if (reasoning->mode != RELAY_THINKING_UNSET &&
               has_flag(writing, RELAY_TARGET_NO_EFFORT)) {
        relay_codec_drop(writing->translation, RELAY_FIELD_THINKING);
    } else {
        put_mode(writing);
    }
}

static bool put_format(relay_gemini_writing_t *writing)
{
    const relay_format_t *format = &writing->request->format;
    bool lossy = false;

    if (format->mode != RELAY_FORMAT_JSON && format->mode != RELAY_FORMAT_SCHEMA) {
        return true;
    }
    put_name(writing, RELAY_SPAN("responseMimeType"));
    RELAY_PUT(writing->out, "\"application/json\"");
    if (format->description.len != 0) {
        relay_codec_drop(writing->translation, RELAY_FIELD_FORMAT_DESCRIPTION);
    }
    if (format->mode == RELAY_FORMAT_JSON) {
        return true;
    }
    if (!has_flag(writing, RELAY_TARGET_OLD_SCHEMA)) {
        put_name(writing, RELAY_SPAN("responseJsonSchema"));
        relay_buf_put(writing->out, format->schema.text);
        return true;
    }
    put_name(writing, RELAY_SPAN("responseSchema"));
    if (!relay_gemini_put_schema(writing->translation, writing->out, format->schema, &lossy)) {
        return false;
    }
    if (lossy) {
        relay_codec_change(writing->translation, RELAY_FIELD_FORMAT);
    }
    return true;
}

/* ---- the body ------------------------------------------------------------ */

/* What would change the answer is refused, hints are dropped by name. */
static bool leave_fields(relay_gemini_writing_t *writing)
{
    const relay_request_t *request = writing->request;
    relay_translation_t *translation = writing->translation;

    if (request->logit_bias.text.len > 2) {
        return refuse_field(writing, RELAY_FIELD_LOGIT_BIAS);
    }
    if (request->verbosity.len != 0) {
        relay_codec_drop(translation, RELAY_FIELD_VERBOSITY);
    }
    if (given(request->metadata)) {
        relay_codec_drop(translation, RELAY_FIELD_METADATA);
    }
    if (request->user.len != 0) {
        relay_codec_drop(translation, RELAY_FIELD_USER);
    }
    relay_codec_put_text(writing->out, RELAY_SPAN(",\"serviceTier\":"),
                         relay_codec_tier(translation, request));
    return relay_codec_leave(translation, request->extras, NULL);
}

static bool put_config(relay_gemini_writing_t *writing)
{
    writing->part = false;
    if (!put_sampling(writing)) {
        return false;
    }
    put_thinking(writing);
    if (!put_format(writing)) {
        return false;
    }
    relay_buf_put(writing->out, writing->part ? RELAY_SPAN("}") : RELAY_SPAN(""));
    return true;
}

relay_error_code_t relay_gemini_write_request(relay_translation_t *translation,
                                              const relay_request_t *request, relay_buf_t *out)
{
    relay_gemini_writing_t writing = {.translation = translation, .request = request, .out = out};

    writing.own = relay_codec_own(request->origin, &relay_codec_gemini);
    RELAY_PUT(out, "{");
    if (!relay_gemini_write_contents(&writing)) {
        return translation->error.code;
    }
    if (writing.own) {
        relay_codec_put_extras(out, request->extras);
    } else if (!put_tools(&writing) || !put_config(&writing) || !leave_fields(&writing)) {
        return translation->error.code;
    }
    RELAY_PUT(out, "}");
    return translation->error.code;
}
