/*
 * The canonical protocol into bodies of Bedrock Converse requests: everything but
 * the messages. Called through the codec. The model and whether to stream are in
 * the path, not in the body.
 */

#include "wire_anthropic_messages_codec.h"
#include "wire_bedrock_converse_codec.h"

/* The least that a thinking budget may be, and what is left for the answer behind
 * one if the caller sets no limit. */
enum { BUDGET_MIN_TOKENS = 1024, BEHIND_BUDGET_TOKENS = 4096 };

static bool given(relay_json_value_t value)
{
    return value.type != RELAY_JSON_ABSENT;
}

static bool refuse_field(relay_converse_writing_t *writing, relay_field_t field)
{
    return relay_codec_unsupported_field(writing->translation, field);
}

/* ---- limits and thinking ------------------------------------------------- */

/* Without a limit the provider uses the model's own. */
static void find_limit(relay_converse_writing_t *writing)
{
    const relay_request_t *request = writing->request;
    uint64_t max = writing->translation->target.output_tokens_max;

    writing->limited = request->limited;
    writing->max_tokens = request->max_tokens;
    if (request->limited && max != 0 && request->max_tokens > max) {
        writing->max_tokens = max;
        relay_codec_change(writing->translation, RELAY_FIELD_MAX_TOKENS);
    }
}

static bool tool_forced(const relay_request_t *request)
{
    relay_choice_mode_t mode = request->tool_choice.mode;

    return request->tools != NULL && (mode == RELAY_CHOICE_REQUIRED || mode == RELAY_CHOICE_NAMED ||
                                      mode == RELAY_CHOICE_ALLOWED_REQUIRED);
}

/* A budget that the caller names goes to every model but those that decide
 * themselves; an effort stands for one where the catalog says so. */
static uint64_t wanted_budget(const relay_converse_writing_t *writing)
{
    const relay_reasoning_t *reasoning = &writing->request->reasoning;
    bool by_budget = relay_converse_flag(writing, RELAY_TARGET_BUDGET);

    if (reasoning->mode == RELAY_THINKING_BUDGET) {
        return by_budget || !relay_converse_flag(writing, RELAY_TARGET_ADAPTIVE)
                   ? reasoning->budget_tokens
                   : 0;
    }
    return by_budget && reasoning->effort > RELAY_EFFORT_NONE
               ? relay_codec_budget(&writing->translation->target, reasoning->effort)
               : 0;
}

/* The field by which the caller asked to think. */
static relay_field_t thinking_field(const relay_converse_writing_t *writing)
{
    return writing->request->reasoning.mode == RELAY_THINKING_BUDGET ? RELAY_FIELD_THINKING
                                                                     : RELAY_FIELD_EFFORT;
}

/*
 * A budget is at least BUDGET_MIN_TOKENS and below max_tokens; it goes with no
 * forced tool, and with no call in the history that lacks the thinking before it.
 * Where that cannot be, there is no thinking.
 */
static void find_budget(relay_converse_writing_t *writing)
{
    uint64_t budget = wanted_budget(writing);

    if (budget == 0) {
        return;
    }
    if (writing->limited && budget >= writing->max_tokens) {
        budget = writing->max_tokens - 1;
    }
    budget = budget < BUDGET_MIN_TOKENS ? BUDGET_MIN_TOKENS : budget;
    if ((writing->limited && budget >= writing->max_tokens) || tool_forced(writing->request) ||
        relay_messages_loop_unsigned(writing->request)) {
        relay_codec_drop(writing->translation, thinking_field(writing));
        return;
    }
    if (!writing->limited) {
        writing->limited = true;
        writing->max_tokens = budget + BEHIND_BUDGET_TOKENS;
    }
    if (budget != writing->request->reasoning.budget_tokens) {
        relay_codec_change(writing->translation, thinking_field(writing));
    }
    writing->budget_tokens = budget;
    writing->thinking = true;
}

/* The word for an effort that this format knows; empty if it is not said so. */
static relay_span_t effort_word(relay_converse_writing_t *writing)
{
    relay_effort_t effort = writing->request->reasoning.effort;

    if (effort <= RELAY_EFFORT_NONE || relay_converse_flag(writing, RELAY_TARGET_BUDGET)) {
        return relay_span(NULL, 0);
    }
    if (relay_converse_flag(writing, RELAY_TARGET_NO_EFFORT)) {
        relay_codec_drop(writing->translation, RELAY_FIELD_EFFORT);
        return relay_span(NULL, 0);
    }
    if (effort == RELAY_EFFORT_MINIMAL) {
        relay_codec_change(writing->translation, RELAY_FIELD_EFFORT);
        effort = RELAY_EFFORT_LOW;
    }
    return relay_codec_effort_word(effort);
}

/* ---- inferenceConfig ----------------------------------------------------- */

/* Begins an object with its first member, or goes on with the next one. */
static void begin(relay_buf_t *out, bool *any, relay_span_t open)
{
    relay_buf_put(out, *any ? RELAY_SPAN(",") : open);
    *any = true;
}

static void end(relay_buf_t *out, bool any)
{
    relay_buf_put(out, any ? RELAY_SPAN("}") : RELAY_SPAN(""));
}

static void put_stop(relay_converse_writing_t *writing, bool *any)
{
    bool list = false;

    for (const relay_name_t *stop = writing->request->stop; stop != NULL; stop = stop->next) {
        if (relay_codec_blank(stop->name)) {
            relay_codec_change(writing->translation, RELAY_FIELD_STOP);
            continue;
        }
        if (!list) {
            begin(writing->out, any, RELAY_SPAN(",\"inferenceConfig\":{"));
            RELAY_PUT(writing->out, "\"stopSequences\":[");
        }
        relay_buf_put(writing->out, list ? RELAY_SPAN(",") : RELAY_SPAN(""));
        relay_codec_put_string(writing->out, stop->name);
        list = true;
    }
    relay_buf_put(writing->out, list ? RELAY_SPAN("]") : RELAY_SPAN(""));
}

/* A number of inferenceConfig; `kept` false: it does not arrive. */
static void put_number(relay_converse_writing_t *writing, relay_field_t field, relay_span_t name,
                       relay_json_value_t value, bool kept, bool *any)
{
    if (!given(value)) {
        return;
    }
    if (!kept) {
        relay_codec_drop(writing->translation, field);
        return;
    }
    begin(writing->out, any, RELAY_SPAN(",\"inferenceConfig\":{"));
    relay_codec_put_value(writing->out, name, value);
}

/* Thinking by a budget goes with the default temperature only. */
static bool put_inference(relay_converse_writing_t *writing)
{
    const relay_request_t *request = writing->request;
    bool sampling = !relay_converse_flag(writing, RELAY_TARGET_NO_SAMPLING);
    bool any = false;

    if (relay_codec_above(request->temperature, 1) && sampling && !writing->thinking) {
        return relay_codec_refuse_field(
            writing->translation, RELAY_FIELD_TEMPERATURE,
            RELAY_SPAN("the provider of this model takes values from 0 to 1"));
    }
    if (writing->limited) {
        begin(writing->out, &any, RELAY_SPAN(",\"inferenceConfig\":{"));
        RELAY_PUT(writing->out, "\"maxTokens\":");
        relay_buf_put_u64(writing->out, writing->max_tokens);
    }
    put_number(writing, RELAY_FIELD_TEMPERATURE, RELAY_SPAN("\"temperature\":"),
               request->temperature, sampling && !writing->thinking, &any);
    put_number(writing, RELAY_FIELD_TOP_P, RELAY_SPAN("\"topP\":"), request->top_p,
               sampling && (!writing->thinking || relay_codec_above(request->top_p, 0.9499999)),
               &any);
    put_stop(writing, &any);
    end(writing->out, any);
    return true;
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

static bool note_tool(relay_converse_writing_t *writing, const relay_tool_t *tool)
{
    relay_translation_t *translation = writing->translation;

    if (given(tool->grammar)) {
        relay_codec_drop_in(translation, tool->place, RELAY_FIELD_TOOL_GRAMMAR);
    }
    if (tool->strict.type == RELAY_JSON_TRUE &&
        relay_converse_flag(writing, RELAY_TARGET_NO_STRICT)) {
        relay_codec_drop_in(translation, tool->place, RELAY_FIELD_TOOL_STRICT);
    }
    return relay_codec_leave_tool(translation, tool);
}

static bool put_tool(relay_converse_writing_t *writing, const relay_tool_t *tool)
{
    relay_buf_t *out = writing->out;

    if (tool->kind == RELAY_TOOL_OPAQUE) {
        return relay_codec_refuse_tool(writing->translation, tool);
    }
    RELAY_PUT(out, "{\"toolSpec\":{\"name\":");
    relay_codec_put_string(out, relay_codec_tool_name(writing->translation, tool->scope, tool->name,
                                                      tool->kind == RELAY_TOOL_CUSTOM,
                                                      RELAY_CONVERSE_NAME_MAX));
    relay_codec_put_text(out, RELAY_SPAN(",\"description\":"), tool->description);
    RELAY_PUT(out, ",\"inputSchema\":{\"json\":");
    relay_buf_put(out, schema_of(tool));
    RELAY_PUT(out, "}");
    if (tool->strict.type == RELAY_JSON_TRUE &&
        !relay_converse_flag(writing, RELAY_TARGET_NO_STRICT)) {
        RELAY_PUT(out, ",\"strict\":true");
    }
    RELAY_PUT(out, "}}");
    relay_converse_put_mark(writing, RELAY_SPAN(","), tool->mark, tool->mark_place);
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

/* The first call in the history, or NULL. */
static const relay_block_t *first_call(const relay_request_t *request)
{
    for (const relay_message_t *message = request->messages; message != NULL;
         message = message->next) {
        for (const relay_block_t *block = message->blocks; block != NULL; block = block->next) {
            if (block->kind == RELAY_BLOCK_TOOL_CALL) {
                return block;
            }
        }
    }
    return NULL;
}

/* Calls in the history are refused where there are no tools: the first one's tool
 * stands for them. */
static void put_stand_in(relay_converse_writing_t *writing, const relay_block_t *block)
{
    const relay_call_t *call = &block->call;

    RELAY_PUT(writing->out, ",\"toolConfig\":{\"tools\":[{\"toolSpec\":{\"name\":");
    relay_codec_put_string(writing->out,
                           relay_codec_tool_name(writing->translation, call->scope, call->name,
                                                 call->free_text, RELAY_CONVERSE_NAME_MAX));
    RELAY_PUT(writing->out, ",\"description\":\"Not available any more.\","
                            "\"inputSchema\":{\"json\":{\"type\":\"object\"}}}}]}");
    relay_codec_change_at(writing->translation, block->place);
}

/* There is no word for "none": the tools are left out, or shown without a choice if
 * the history needs them. */
static bool put_choice(relay_converse_writing_t *writing, const relay_tool_choice_t *choice)
{
    relay_buf_t *out = writing->out;

    if (choice->parallel.type == RELAY_JSON_FALSE) {
        relay_codec_drop(writing->translation, RELAY_FIELD_PARALLEL);
    }
    switch (choice->mode) {
    case RELAY_CHOICE_UNSET:
        return true;
    case RELAY_CHOICE_NONE:
        relay_codec_drop(writing->translation, RELAY_FIELD_TOOL_CHOICE);
        return true;
    case RELAY_CHOICE_REQUIRED:
    case RELAY_CHOICE_ALLOWED_REQUIRED:
        RELAY_PUT(out, ",\"toolChoice\":{\"any\":{}}");
        return true;
    case RELAY_CHOICE_NAMED:
        RELAY_PUT(out, ",\"toolChoice\":{\"tool\":{\"name\":");
        relay_codec_put_string(out, relay_codec_choice_name(writing->translation, writing->request,
                                                            choice->names, true,
                                                            RELAY_CONVERSE_NAME_MAX));
        RELAY_PUT(out, "}}");
        return true;
    case RELAY_CHOICE_OPAQUE:
        return refuse_field(writing, RELAY_FIELD_TOOL_CHOICE);
    default:
        RELAY_PUT(out, ",\"toolChoice\":{\"auto\":{}}");
        return true;
    }
}

static bool put_tools(relay_converse_writing_t *writing)
{
    const relay_request_t *request = writing->request;
    const relay_block_t *call = first_call(request);
    bool hidden = request->tool_choice.mode == RELAY_CHOICE_NONE && call == NULL, any = false;

    for (const relay_tool_t *tool = request->tools; tool != NULL && !hidden; tool = tool->next) {
        if (!is_allowed(&request->tool_choice, tool)) {
            continue;
        }
        relay_buf_put(writing->out,
                      any ? RELAY_SPAN(",") : RELAY_SPAN(",\"toolConfig\":{\"tools\":["));
        any = true;
        if (!put_tool(writing, tool)) {
            return false;
        }
    }
    if (any) {
        RELAY_PUT(writing->out, "]");
        if (!put_choice(writing, &request->tool_choice)) {
            return false;
        }
        RELAY_PUT(writing->out, "}");
    } else if (call != NULL) {
        put_stand_in(writing, call);
    } else if (hidden && request->tools != NULL) {
        relay_codec_change(writing->translation, RELAY_FIELD_TOOL_CHOICE);
    }
    return true;
}

/* ---- additionalModelRequestFields ---------------------------------------- */

static const relay_span_t adaptive_mode = RELAY_SPAN_INIT("{\"type\":\"adaptive\"");

/* What to do about thinking where it is not by a budget, without its closing bracket;
 * empty: nothing is said. */
static relay_span_t thinking_mode(const relay_converse_writing_t *writing)
{
    const relay_reasoning_t *reasoning = &writing->request->reasoning;
    bool adaptive = relay_converse_flag(writing, RELAY_TARGET_ADAPTIVE);
    bool thinks = adaptive || relay_converse_flag(writing, RELAY_TARGET_BUDGET);

    if (reasoning->effort == RELAY_EFFORT_NONE || reasoning->mode == RELAY_THINKING_DISABLED) {
        return thinks ? RELAY_SPAN("{\"type\":\"disabled\"") : relay_span(NULL, 0);
    }
    if ((adaptive &&
         (reasoning->effort > RELAY_EFFORT_NONE || reasoning->mode == RELAY_THINKING_BUDGET)) ||
        (reasoning->mode == RELAY_THINKING_ADAPTIVE && (adaptive || !thinks))) {
        return adaptive_mode;
    }
    return relay_span(NULL, 0);
}

/* Notes what a mode of thinking becomes that the model does not have. */
static void note_mode(relay_converse_writing_t *writing, relay_span_t mode)
{
    relay_thinking_mode_t asked = writing->request->reasoning.mode;

    if (asked == RELAY_THINKING_OPAQUE || (asked == RELAY_THINKING_ADAPTIVE && mode.len == 0)) {
        relay_codec_drop(writing->translation, RELAY_FIELD_THINKING);
    } else if (asked == RELAY_THINKING_BUDGET && mode.len != 0) {
        relay_codec_change(writing->translation, RELAY_FIELD_THINKING);
    }
}

/* Some models show what they think only if they are asked to; others stop for this word. */
static void put_thinking(relay_converse_writing_t *writing, relay_span_t mode)
{
    bool omitted = relay_span_eq(writing->request->reasoning.summary, RELAY_SPAN("omitted"));
    bool adaptive = !writing->thinking && relay_span_eq(mode, adaptive_mode);
    relay_buf_t *out = writing->out;

    RELAY_PUT(out, "\"thinking\":");
    if (writing->thinking) {
        RELAY_PUT(out, "{\"type\":\"enabled\",\"budget_tokens\":");
        relay_buf_put_u64(out, writing->budget_tokens);
    } else {
        relay_buf_put(out, mode);
    }
    if (omitted && (writing->thinking || adaptive)) {
        RELAY_PUT(out, ",\"display\":\"omitted\"");
    } else if (adaptive) {
        RELAY_PUT(out, ",\"display\":\"summarized\"");
    }
    RELAY_PUT(out, "}");
}

static void put_additional(relay_converse_writing_t *writing)
{
    static const relay_span_t open = RELAY_SPAN_INIT(",\"additionalModelRequestFields\":{");
    const relay_request_t *request = writing->request;
    relay_span_t mode = writing->thinking ? relay_span(NULL, 0) : thinking_mode(writing);
    bool any = false;

    if (given(request->top_k) &&
        (writing->thinking || relay_converse_flag(writing, RELAY_TARGET_NO_SAMPLING))) {
        relay_codec_drop(writing->translation, RELAY_FIELD_TOP_K);
    } else if (given(request->top_k)) {
        begin(writing->out, &any, open);
        relay_codec_put_value(writing->out, RELAY_SPAN("\"top_k\":"), request->top_k);
    }
    if (!writing->thinking) {
        note_mode(writing, mode);
    }
    if (writing->thinking || mode.len != 0) {
        begin(writing->out, &any, open);
        put_thinking(writing, mode);
    }
    end(writing->out, any);
    if (request->stop != NULL) {
        /* models that tell which sequence matched tell it there; others ignore this */
        RELAY_PUT(writing->out, ",\"additionalModelResponseFieldPaths\":[\"/stop_sequence\"]");
    }
}

/* ---- outputConfig -------------------------------------------------------- */

/* The schema is JSON inside a string. */
static void put_schema(relay_converse_writing_t *writing, const relay_format_t *format)
{
    relay_arguments_t schema = {.text = format->schema.text};
    relay_buf_t *out = writing->out;

    RELAY_PUT(out, "\"textFormat\":{\"type\":\"json_schema\",\"structure\":{\"jsonSchema\":{"
                   "\"schema\":");
    relay_codec_put_quoted(out, &schema);
    relay_codec_put_text(out, RELAY_SPAN(",\"name\":"), format->name);
    relay_codec_put_text(out, RELAY_SPAN(",\"description\":"), format->description);
    RELAY_PUT(out, "}}}");
}

static void put_output(relay_converse_writing_t *writing)
{
    static const relay_span_t open = RELAY_SPAN_INIT(",\"outputConfig\":{");
    const relay_format_t *format = &writing->request->format;
    relay_span_t effort = effort_word(writing);
    bool any = false;

    if (format->mode == RELAY_FORMAT_SCHEMA) {
        begin(writing->out, &any, open);
        put_schema(writing, format);
    }
    if (effort.len != 0) {
        begin(writing->out, &any, open);
        RELAY_PUT(writing->out, "\"effort\":");
        relay_codec_put_string(writing->out, effort);
    }
    end(writing->out, any);
}

/* ---- the rest ------------------------------------------------------------ */

static void put_tier(relay_converse_writing_t *writing)
{
    relay_span_t tier = relay_codec_tier(writing->translation, writing->request);

    if (tier.len != 0) {
        RELAY_PUT(writing->out, ",\"serviceTier\":{\"type\":");
        relay_codec_put_string(writing->out, tier);
        RELAY_PUT(writing->out, "}");
    }
}

static bool leave_hints(relay_converse_writing_t *writing)
{
    const relay_request_t *request = writing->request;
    relay_translation_t *translation = writing->translation;

    if (given(request->seed)) {
        relay_codec_drop(translation, RELAY_FIELD_SEED);
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
    return relay_codec_leave(translation, request->extras, NULL);
}

/* What would change the answer is refused, hints are dropped by name. */
static bool leave_fields(relay_converse_writing_t *writing)
{
    const relay_request_t *request = writing->request;

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
    return leave_hints(writing);
}

relay_error_code_t relay_converse_write_request(relay_translation_t *translation,
                                                const relay_request_t *request, relay_buf_t *out)
{
    relay_converse_writing_t writing = {.translation = translation, .request = request, .out = out};

    find_limit(&writing);
    find_budget(&writing);
    RELAY_PUT(out, "{");
    if (relay_converse_write_messages(&writing) && put_inference(&writing) && put_tools(&writing)) {
        put_additional(&writing);
        put_output(&writing);
        put_tier(&writing);
        leave_fields(&writing);
        RELAY_PUT(out, "}");
    }
    return translation->error.code;
}
