/*
 * Responses requests into the canonical protocol: everything but the input. Called
 * through the codec.
 */

#include "wire_openai_responses_codec.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

/* A value that is there and not null. */
static relay_json_value_t given(const relay_responses_reading_t *reading, relay_json_node_t node)
{
    return relay_json_type(reading->tree, node) == RELAY_JSON_NULL
               ? (relay_json_value_t){RELAY_JSON_ABSENT, {NULL, 0}}
               : relay_json_value(reading->tree, node);
}

/* ---- tools --------------------------------------------------------------- */

enum {
    T_TYPE,
    T_NAME,
    T_DESCRIPTION,
    T_PARAMETERS,
    T_STRICT,
    T_FORMAT,
    T_TOOLS,
    T_DEFER,
    T_EXECUTION,
    TOOL_KEYS
};

static const relay_span_t tool_keys[TOOL_KEYS] = {
    RELAY_SPAN_INIT("type"),       RELAY_SPAN_INIT("name"),          RELAY_SPAN_INIT("description"),
    RELAY_SPAN_INIT("parameters"), RELAY_SPAN_INIT("strict"),        RELAY_SPAN_INIT("format"),
    RELAY_SPAN_INIT("tools"),      RELAY_SPAN_INIT("defer_loading"), RELAY_SPAN_INIT("execution"),
};

/* The format of a custom tool, {"type","syntax","definition"} here, as others nest it. */
static bool read_grammar(relay_responses_reading_t *reading, relay_json_node_t node,
                         relay_json_value_t *grammar)
{
    static const relay_span_t keys[] = {RELAY_SPAN_INIT("syntax"), RELAY_SPAN_INIT("definition")};
    relay_json_value_t value = given(reading, node);
    relay_json_node_t nodes[2];
    relay_buf_t out;
    uint8_t *bytes;

    relay_json_pick(reading->tree, node, keys, 2, nodes);
    if (nodes[1] == RELAY_JSON_NOWHERE) {
        *grammar = value;
        return true;
    }
    bytes = relay_codec_new(reading->translation, value.text.len + 64);
    out = relay_buf(bytes, bytes != NULL ? value.text.len + 64 : 0);
    RELAY_PUT(&out, "{\"type\":\"grammar\",\"grammar\":{\"definition\":");
    relay_buf_put(&out, relay_json_value(reading->tree, nodes[1]).text);
    relay_codec_put_value(&out, RELAY_SPAN(",\"syntax\":"), given(reading, nodes[0]));
    RELAY_PUT(&out, "}}");
    *grammar = (relay_json_value_t){RELAY_JSON_OBJECT, relay_buf_span(&out)};
    return bytes != NULL;
}

static relay_tool_t *add_tool(relay_responses_reading_t *reading, relay_json_node_t node,
                              const relay_json_node_t *nodes, const relay_place_t *place,
                              relay_tool_kind_t kind)
{
    relay_tool_t *tool = relay_codec_tool(reading->translation, &reading->tools, kind);

    if (tool != NULL) {
        tool->place = place;
        tool->raw = relay_json_value(reading->tree, node).text;
        tool->type = relay_json_content(reading->tree, nodes[T_TYPE]);
        tool->description = relay_json_content(reading->tree, nodes[T_DESCRIPTION]);
        tool->schema = given(reading, nodes[T_PARAMETERS]);
    }
    return tool;
}

static bool read_function(relay_responses_reading_t *reading, relay_json_node_t node,
                          const relay_json_node_t *nodes, const relay_place_t *place,
                          relay_span_t scope)
{
    relay_place_t name = {place, RELAY_SPAN("name"), RELAY_PLACE_NO_INDEX};
    bool custom = relay_json_reads(reading->tree, nodes[T_TYPE], RELAY_SPAN("custom"));
    relay_tool_t *tool =
        add_tool(reading, node, nodes, place, custom ? RELAY_TOOL_CUSTOM : RELAY_TOOL_FUNCTION);

    if (tool == NULL || !read_grammar(reading, nodes[T_FORMAT], &tool->grammar)) {
        return false;
    }
    tool->scope = scope;
    tool->strict = given(reading, nodes[T_STRICT]);
    tool->deferred = relay_json_type(reading->tree, nodes[T_DEFER]) == RELAY_JSON_TRUE;
    return relay_openai_required(reading->translation, reading->tree, nodes[T_NAME], &name,
                                 &tool->name) &&
           relay_codec_extras(reading->translation, reading->tree, node, tool_keys, TOOL_KEYS, NULL,
                              0, &tool->extras);
}

static bool read_opaque(relay_responses_reading_t *reading, relay_json_node_t node,
                        const relay_json_node_t *nodes, const relay_place_t *place)
{
    relay_tool_t *tool = add_tool(reading, node, nodes, place, RELAY_TOOL_OPAQUE);

    if (tool == NULL) {
        return false;
    }
    tool->place = relay_codec_member(reading->translation, place, tool_keys[T_TYPE]);
    return tool->place != NULL;
}

/* The search by which a client finds its own tools: a function to others. */
static bool read_search(relay_responses_reading_t *reading, relay_json_node_t node,
                        const relay_json_node_t *nodes, const relay_place_t *place)
{
    bool client = relay_json_reads(reading->tree, nodes[T_EXECUTION], RELAY_SPAN("client"));
    relay_tool_t *tool;

    if (!client) {
        return read_opaque(reading, node, nodes, place);
    }
    tool = add_tool(reading, node, nodes, place, RELAY_TOOL_FUNCTION);
    if (tool != NULL) {
        tool->name = RELAY_RESPONSES_SEARCH;
        tool->scope = RELAY_RESPONSES_SEARCH;
    }
    return tool != NULL;
}

static bool read_namespace(relay_responses_reading_t *reading, const relay_json_node_t *nodes,
                           const relay_place_t *outer)
{
    relay_place_t name = {outer, RELAY_SPAN("name"), RELAY_PLACE_NO_INDEX};
    relay_place_t place = {outer, RELAY_SPAN("tools"), RELAY_PLACE_NO_INDEX};
    relay_json_node_t inner[TOOL_KEYS], node;
    const relay_place_t *kept;
    relay_span_t scope;

    if (!relay_openai_required(reading->translation, reading->tree, nodes[T_NAME], &name, &scope)) {
        return false;
    }
    if (relay_json_content(reading->tree, nodes[T_DESCRIPTION]).len != 0) {
        relay_place_t description = {outer, tool_keys[T_DESCRIPTION], RELAY_PLACE_NO_INDEX};
        relay_codec_drop_at(reading->translation, &description);
    }
    for (node = relay_json_first(reading->tree, nodes[T_TOOLS]); node != RELAY_JSON_NOWHERE;
         node = relay_json_next(reading->tree, nodes[T_TOOLS], node)) {
        place.index++;
        relay_json_pick(reading->tree, node, tool_keys, TOOL_KEYS, inner);
        kept = relay_codec_keep(reading->translation, &place);
        if (kept == NULL || !read_function(reading, node, inner, kept, scope)) {
            return false;
        }
    }
    return true;
}

static bool read_tool(relay_responses_reading_t *reading, relay_json_node_t node,
                      const relay_place_t *place)
{
    relay_json_node_t nodes[TOOL_KEYS];

    if (relay_json_type(reading->tree, node) != RELAY_JSON_OBJECT) {
        return relay_codec_refuse(reading->translation, place,
                                  RELAY_SPAN("a tool must be an object"));
    }
    relay_json_pick(reading->tree, node, tool_keys, TOOL_KEYS, nodes);
    if (relay_json_reads(reading->tree, nodes[T_TYPE], RELAY_SPAN("function")) ||
        relay_json_reads(reading->tree, nodes[T_TYPE], RELAY_SPAN("custom"))) {
        return read_function(reading, node, nodes, place, relay_span(NULL, 0));
    }
    if (relay_json_reads(reading->tree, nodes[T_TYPE], RELAY_SPAN("namespace"))) {
        return read_namespace(reading, nodes, place);
    }
    if (relay_json_reads(reading->tree, nodes[T_TYPE], RELAY_RESPONSES_SEARCH)) {
        return read_search(reading, node, nodes, place);
    }
    return read_opaque(reading, node, nodes, place);
}

bool relay_responses_read_tools(relay_responses_reading_t *reading, relay_json_node_t tools,
                                const relay_place_t *at)
{
    const relay_place_t *kept;
    relay_place_t place = *at;
    relay_json_node_t node;

    if (!relay_codec_is_list(reading->translation, reading->tree, tools, &place)) {
        return false;
    }
    for (node = relay_json_first(reading->tree, tools); node != RELAY_JSON_NOWHERE;
         node = relay_json_next(reading->tree, tools, node)) {
        place.index++;
        kept = relay_codec_keep(reading->translation, &place);
        if (kept == NULL || !read_tool(reading, node, kept)) {
            return false;
        }
    }
    return true;
}

static bool is_search(const relay_tool_t *tool)
{
    return tool->kind == RELAY_TOOL_OPAQUE &&
           relay_span_starts(tool->type, RELAY_SPAN("web_search"));
}

static bool stays_offline(const relay_tool_t *tool)
{
    static const relay_span_t key = RELAY_SPAN_INIT("external_web_access");
    relay_json_value_t access = {RELAY_JSON_ABSENT, {NULL, 0}};

    relay_json_members(tool->raw, &key, 1, &access);
    return access.type == RELAY_JSON_FALSE;
}

/*
 * A web search that may not reach the web can be done without, and so can one that
 * is offered beside tools of the caller's own, as coding agents always do. After the
 * whole input, which can bring tools.
 */
static void drop_searches(relay_responses_reading_t *reading)
{
    relay_tool_t **at = &reading->request->tools;
    const relay_tool_t *own = *at;

    while (own != NULL && own->kind == RELAY_TOOL_OPAQUE) {
        own = own->next;
    }
    while (*at != NULL) {
        if (is_search(*at) && (own != NULL || stays_offline(*at))) {
            relay_codec_drop_at(reading->translation, (*at)->place);
            *at = (*at)->next;
        } else {
            at = &(*at)->next;
        }
    }
}

/* ---- the choice among them ----------------------------------------------- */

enum { C_TYPE, C_NAME, C_NAMESPACE, C_MODE, C_TOOLS, CHOICE_KEYS };

static const relay_span_t choice_keys[CHOICE_KEYS] = {
    RELAY_SPAN_INIT("type"), RELAY_SPAN_INIT("name"), RELAY_SPAN_INIT("namespace"),
    RELAY_SPAN_INIT("mode"), RELAY_SPAN_INIT("tools")};

/* {"type":"function","name":…} or {"type":"custom","name":…}; false for others. */
static bool read_choice_name(relay_responses_reading_t *reading, const relay_json_node_t *nodes,
                             relay_name_t ***tail)
{
    bool custom = relay_json_reads(reading->tree, nodes[C_TYPE], RELAY_SPAN("custom"));
    relay_span_t text = relay_json_content(reading->tree, nodes[C_NAME]);
    relay_name_t *name;

    if ((!custom && !relay_json_reads(reading->tree, nodes[C_TYPE], RELAY_SPAN("function"))) ||
        text.len == 0) {
        return false;
    }
    name = relay_codec_name(reading->translation, tail, text);
    if (name != NULL) {
        name->scope = relay_json_content(reading->tree, nodes[C_NAMESPACE]);
        name->custom = custom;
    }
    return name != NULL;
}

static bool read_allowed(relay_responses_reading_t *reading, const relay_json_node_t *nodes)
{
    relay_tool_choice_t *choice = &reading->request->tool_choice;
    relay_json_node_t inner[CHOICE_KEYS], node;
    relay_name_t **tail = &choice->names;

    choice->mode = relay_json_reads(reading->tree, nodes[C_MODE], RELAY_SPAN("required"))
                       ? RELAY_CHOICE_ALLOWED_REQUIRED
                       : RELAY_CHOICE_ALLOWED;
    for (node = relay_json_first(reading->tree, nodes[C_TOOLS]); node != RELAY_JSON_NOWHERE;
         node = relay_json_next(reading->tree, nodes[C_TOOLS], node)) {
        relay_json_pick(reading->tree, node, choice_keys, CHOICE_KEYS, inner);
        if (!read_choice_name(reading, inner, &tail)) {
            choice->mode = RELAY_CHOICE_OPAQUE;
        }
    }
    return reading->translation->error.code == RELAY_ERR_NONE;
}

bool relay_responses_read_choice(relay_responses_reading_t *reading, relay_json_node_t node)
{
    static const struct {
        relay_span_t word;
        relay_choice_mode_t mode;
    } words[] = {
        {RELAY_SPAN_INIT("auto"), RELAY_CHOICE_AUTO},
        {RELAY_SPAN_INIT("none"), RELAY_CHOICE_NONE},
        {RELAY_SPAN_INIT("required"), RELAY_CHOICE_REQUIRED},
    };
    relay_tool_choice_t *choice = &reading->request->tool_choice;
    relay_name_t **tail = &choice->names;
    relay_json_node_t nodes[CHOICE_KEYS];

    choice->value = given(reading, node);
    if (choice->value.type == RELAY_JSON_ABSENT) {
        return true;
    }
    for (size_t i = 0; i < COUNT(words); i++) {
        if (relay_json_reads(reading->tree, node, words[i].word)) {
            choice->mode = words[i].mode;
            return true;
        }
    }
    relay_json_pick(reading->tree, node, choice_keys, CHOICE_KEYS, nodes);
    if (relay_json_reads(reading->tree, nodes[C_TYPE], RELAY_SPAN("allowed_tools"))) {
        return read_allowed(reading, nodes);
    }
    choice->mode =
        read_choice_name(reading, nodes, &tail) ? RELAY_CHOICE_NAMED : RELAY_CHOICE_OPAQUE;
    return reading->translation->error.code == RELAY_ERR_NONE;
}

/* ---- the rest ------------------------------------------------------------ */

/*
 * Those from OWN_KEYS on stay as they are if the request goes out in this format
 * again: a model and what its catalog entry may forbid are all that changes.
 */
enum {
    R_MODEL,
    R_STREAM,
    R_MAX_TOKENS,
    R_TEMPERATURE,
    R_TOP_P,
    R_REASONING,
    OWN_KEYS,
    R_INPUT = OWN_KEYS,
    R_INSTRUCTIONS,
    R_TOOLS,
    R_TOOL_CHOICE,
    R_PARALLEL,
    R_TOP_LOGPROBS,
    R_INCLUDE,
    R_TEXT,
    R_METADATA,
    R_USER,
    R_SAFETY_IDENTIFIER,
    R_SERVICE_TIER,
    R_STREAM_OPTIONS,
    R_STORE,
    R_BACKGROUND,
    R_PREVIOUS,
    R_CONVERSATION,
    R_PROMPT,
    R_TRUNCATION,
    REQUEST_KEYS
};

static const relay_span_t request_keys[REQUEST_KEYS] = {
    RELAY_SPAN_INIT("model"),
    RELAY_SPAN_INIT("stream"),
    RELAY_SPAN_INIT("max_output_tokens"),
    RELAY_SPAN_INIT("temperature"),
    RELAY_SPAN_INIT("top_p"),
    RELAY_SPAN_INIT("reasoning"),
    RELAY_SPAN_INIT("input"),
    RELAY_SPAN_INIT("instructions"),
    RELAY_SPAN_INIT("tools"),
    RELAY_SPAN_INIT("tool_choice"),
    RELAY_SPAN_INIT("parallel_tool_calls"),
    RELAY_SPAN_INIT("top_logprobs"),
    RELAY_SPAN_INIT("include"),
    RELAY_SPAN_INIT("text"),
    RELAY_SPAN_INIT("metadata"),
    RELAY_SPAN_INIT("user"),
    RELAY_SPAN_INIT("safety_identifier"),
    RELAY_SPAN_INIT("service_tier"),
    RELAY_SPAN_INIT("stream_options"),
    RELAY_SPAN_INIT("store"),
    RELAY_SPAN_INIT("background"),
    RELAY_SPAN_INIT("previous_response_id"),
    RELAY_SPAN_INIT("conversation"),
    RELAY_SPAN_INIT("prompt"),
    RELAY_SPAN_INIT("truncation"),
};

static bool refuse_key(relay_responses_reading_t *reading, unsigned key, relay_span_t message)
{
    relay_place_t place = {NULL, request_keys[key], RELAY_PLACE_NO_INDEX};

    return relay_codec_refuse(reading->translation, &place, message);
}

/* What needs an answer, or a template, that is stored at the provider. */
static bool check_state(relay_responses_reading_t *reading, const relay_json_node_t *nodes)
{
    static const unsigned stored[] = {R_PREVIOUS, R_CONVERSATION, R_PROMPT};

    for (size_t i = 0; i < COUNT(stored); i++) {
        if (given(reading, nodes[stored[i]]).type != RELAY_JSON_ABSENT) {
            return refuse_key(reading, stored[i],
                              RELAY_SPAN("the provider of this model keeps no state: send the "
                                         "whole conversation in input"));
        }
    }
    if (relay_json_type(reading->tree, nodes[R_BACKGROUND]) == RELAY_JSON_TRUE) {
        return refuse_key(reading, R_BACKGROUND,
                          RELAY_SPAN("the provider of this model gives its answers at once only"));
    }
    if (relay_json_reads(reading->tree, nodes[R_TRUNCATION], RELAY_SPAN("auto"))) {
        return refuse_key(reading, R_TRUNCATION,
                          RELAY_SPAN("the provider of this model does not shorten the input"));
    }
    if (relay_json_type(reading->tree, nodes[R_STORE]) == RELAY_JSON_TRUE) {
        relay_codec_drop_name(reading->translation, request_keys[R_STORE]);
    }
    return true;
}

static bool read_number(relay_responses_reading_t *reading, relay_json_node_t node,
                        relay_field_t field, relay_json_value_t *number)
{
    *number = given(reading, node);
    return number->type == RELAY_JSON_ABSENT || number->type == RELAY_JSON_NUMBER ||
           relay_codec_refuse_field(reading->translation, field,
                                    RELAY_SPAN("this field must be a number"));
}

static bool read_sampling(relay_responses_reading_t *reading, const relay_json_node_t *nodes)
{
    relay_request_t *request = reading->request;
    relay_json_value_t limit = given(reading, nodes[R_MAX_TOKENS]);

    request->limited = limit.type != RELAY_JSON_ABSENT;
    if (request->limited && !relay_json_uint(limit, &request->max_tokens)) {
        return relay_codec_refuse_field(reading->translation, RELAY_FIELD_MAX_TOKENS,
                                        RELAY_SPAN("this field must be a whole number"));
    }
    return read_number(reading, nodes[R_TEMPERATURE], RELAY_FIELD_TEMPERATURE,
                       &request->temperature) &&
           read_number(reading, nodes[R_TOP_P], RELAY_FIELD_TOP_P, &request->top_p);
}

/* Encrypted reasoning is always given. Other values are about hosted tools. */
static bool read_include(relay_responses_reading_t *reading, const relay_json_node_t *nodes)
{
    static const relay_json_value_t wanted = {RELAY_JSON_TRUE, RELAY_SPAN_INIT("true")};
    relay_json_node_t node;

    if (!read_number(reading, nodes[R_TOP_LOGPROBS], RELAY_FIELD_TOP_LOGPROBS,
                     &reading->request->top_logprobs)) {
        return false;
    }
    if (!relay_codec_nonzero(reading->request->top_logprobs)) {
        reading->request->top_logprobs = (relay_json_value_t){RELAY_JSON_ABSENT, {NULL, 0}};
    } else {
        reading->request->logprobs = wanted;
        if (!relay_codec_say(reading->translation, RELAY_FIELD_LOGPROBS,
                             request_keys[R_TOP_LOGPROBS])) {
            return false;
        }
    }
    for (node = relay_json_first(reading->tree, nodes[R_INCLUDE]); node != RELAY_JSON_NOWHERE;
         node = relay_json_next(reading->tree, nodes[R_INCLUDE], node)) {
        if (relay_json_reads(reading->tree, node, RELAY_SPAN("message.output_text.logprobs"))) {
            reading->request->logprobs = wanted;
        } else if (!relay_json_reads(reading->tree, node,
                                     RELAY_SPAN("reasoning.encrypted_content"))) {
            relay_codec_drop_name(reading->translation, request_keys[R_INCLUDE]);
        }
    }
    return true;
}

static bool read_reasoning(relay_responses_reading_t *reading, relay_json_node_t node)
{
    enum { EFFORT, SUMMARY, OLD_SUMMARY, KEYS };
    static const relay_span_t keys[KEYS] = {RELAY_SPAN_INIT("effort"), RELAY_SPAN_INIT("summary"),
                                            RELAY_SPAN_INIT("generate_summary")};
    relay_place_t place = {NULL, request_keys[R_REASONING], RELAY_PLACE_NO_INDEX};
    relay_reasoning_t *reasoning = &reading->request->reasoning;
    relay_member_t *rest = NULL;
    relay_json_node_t nodes[KEYS];
    relay_span_t word;

    relay_json_pick(reading->tree, node, keys, KEYS, nodes);
    reasoning->value = given(reading, node);
    reasoning->summary =
        relay_json_content(reading->tree, given(reading, nodes[SUMMARY]).type != RELAY_JSON_ABSENT
                                              ? nodes[SUMMARY]
                                              : nodes[OLD_SUMMARY]);
    word = relay_json_content(reading->tree, nodes[EFFORT]);
    reasoning->effort = relay_codec_effort(word);
    if (word.len != 0 && reasoning->effort == RELAY_EFFORT_UNSET) {
        return relay_codec_refuse_field(
            reading->translation, RELAY_FIELD_EFFORT,
            RELAY_SPAN("this field must be one of none, minimal, low, medium, high, xhigh "
                       "and max"));
    }
    return reading->own || (relay_codec_extras(reading->translation, reading->tree, node, keys,
                                               KEYS, NULL, 0, &rest) &&
                            relay_codec_leave(reading->translation, rest, &place));
}

static bool read_format(relay_responses_reading_t *reading, relay_json_node_t node)
{
    enum { TYPE, NAME, DESCRIPTION, SCHEMA, STRICT, KEYS };
    static const relay_span_t keys[KEYS] = {RELAY_SPAN_INIT("type"), RELAY_SPAN_INIT("name"),
                                            RELAY_SPAN_INIT("description"),
                                            RELAY_SPAN_INIT("schema"), RELAY_SPAN_INIT("strict")};
    relay_format_t *format = &reading->request->format;
    relay_json_node_t nodes[KEYS];

    relay_json_pick(reading->tree, node, keys, KEYS, nodes);
    if (nodes[TYPE] == RELAY_JSON_NOWHERE) {
        return true;
    }
    if (relay_json_reads(reading->tree, nodes[TYPE], RELAY_SPAN("text"))) {
        format->mode = RELAY_FORMAT_TEXT;
        return true;
    }
    if (relay_json_reads(reading->tree, nodes[TYPE], RELAY_SPAN("json_object"))) {
        format->mode = RELAY_FORMAT_JSON;
        return true;
    }
    if (!relay_json_reads(reading->tree, nodes[TYPE], RELAY_SPAN("json_schema")) ||
        relay_json_type(reading->tree, nodes[SCHEMA]) != RELAY_JSON_OBJECT) {
        return relay_codec_refuse_field(
            reading->translation, RELAY_FIELD_FORMAT,
            RELAY_SPAN("this field must be of type text, json_object, or json_schema with a "
                       "schema"));
    }
    format->mode = RELAY_FORMAT_SCHEMA;
    format->name = relay_json_content(reading->tree, nodes[NAME]);
    format->description = relay_json_content(reading->tree, nodes[DESCRIPTION]);
    format->schema = relay_json_value(reading->tree, nodes[SCHEMA]);
    format->strict = given(reading, nodes[STRICT]);
    return relay_codec_leave_rest_of(reading->translation, reading->tree, node, keys, KEYS,
                                     RELAY_SPAN("text.format"));
}

static bool read_text(relay_responses_reading_t *reading, relay_json_node_t node)
{
    static const relay_span_t keys[] = {RELAY_SPAN_INIT("format"), RELAY_SPAN_INIT("verbosity")};
    relay_json_node_t nodes[2];

    relay_json_pick(reading->tree, node, keys, 2, nodes);
    reading->request->verbosity = relay_json_content(reading->tree, nodes[1]);
    return relay_codec_leave_rest_of(reading->translation, reading->tree, node, keys, 2,
                                     request_keys[R_TEXT]) &&
           read_format(reading, nodes[0]);
}

/* Padding that hides the lengths of deltas. */
static void note_obfuscation(relay_responses_reading_t *reading, relay_json_node_t options)
{
    static const relay_span_t keys[] = {RELAY_SPAN_INIT("include_obfuscation")};
    relay_json_node_t node;

    relay_json_pick(reading->tree, options, keys, 1, &node);
    if (relay_json_type(reading->tree, node) == RELAY_JSON_TRUE) {
        relay_codec_drop_name(reading->translation,
                              RELAY_SPAN("stream_options.include_obfuscation"));
    }
}

static bool read_labels(relay_responses_reading_t *reading, const relay_json_node_t *nodes)
{
    relay_request_t *request = reading->request;
    relay_span_t safety = relay_json_content(reading->tree, nodes[R_SAFETY_IDENTIFIER]);

    note_obfuscation(reading, nodes[R_STREAM_OPTIONS]);
    request->metadata = given(reading, nodes[R_METADATA]);
    request->user = relay_json_content(reading->tree, nodes[R_USER]);
    if (safety.len != 0 && request->user.len != 0) {
        relay_codec_drop(reading->translation, RELAY_FIELD_USER); /* there is one person */
    }
    request->service_tier = relay_json_content(reading->tree, nodes[R_SERVICE_TIER]);
    if (safety.len == 0) {
        return true;
    }
    request->user = safety;
    return relay_codec_say(reading->translation, RELAY_FIELD_USER,
                           request_keys[R_SAFETY_IDENTIFIER]);
}

static bool read_instructions(relay_responses_reading_t *reading, relay_json_node_t node)
{
    relay_place_t place = {NULL, request_keys[R_INSTRUCTIONS], RELAY_PLACE_NO_INDEX};
    relay_message_t **tail = &reading->request->messages, *message;
    relay_block_t **blocks;

    if (given(reading, node).type == RELAY_JSON_ABSENT ||
        (relay_json_type(reading->tree, node) == RELAY_JSON_STRING &&
         relay_json_content(reading->tree, node).len == 0)) {
        return true;
    }
    message = relay_codec_message(reading->translation, &tail, RELAY_ROLE_SYSTEM);
    if (message == NULL) {
        return false;
    }
    message->apart = true;
    blocks = &message->blocks;
    return relay_responses_read_content(reading, node, &place, &blocks);
}

static bool read_foreign(relay_responses_reading_t *reading, const relay_json_node_t *nodes)
{
    relay_place_t tools = {NULL, request_keys[R_TOOLS], RELAY_PLACE_NO_INDEX};

    reading->request->tool_choice.parallel = given(reading, nodes[R_PARALLEL]);
    if (!read_labels(reading, nodes) || !check_state(reading, nodes) ||
        !read_instructions(reading, nodes[R_INSTRUCTIONS]) ||
        !relay_responses_read_tools(reading, nodes[R_TOOLS], &tools) ||
        !relay_responses_read_input(reading, nodes[R_INPUT])) {
        return false;
    }
    drop_searches(reading);
    return relay_responses_read_choice(reading, nodes[R_TOOL_CHOICE]) &&
           read_include(reading, nodes) && read_text(reading, nodes[R_TEXT]);
}

relay_error_code_t relay_responses_read_request(relay_translation_t *translation,
                                                const relay_json_tree_t *tree,
                                                relay_request_t *request)
{
    relay_responses_reading_t reading = {
        .translation = translation,
        .tree = tree,
        .request = request,
        .tools = &request->tools,
        .own = relay_codec_own(translation->caller, translation->upstream)};
    relay_json_node_t nodes[REQUEST_KEYS];

    request->origin = &relay_codec_openai_responses;
    relay_json_pick(tree, 0, request_keys, REQUEST_KEYS, nodes);
    request->model = relay_json_content(tree, nodes[R_MODEL]);
    request->stream = relay_json_type(tree, nodes[R_STREAM]) == RELAY_JSON_TRUE;
    request->usage_wanted = true;
    if (relay_codec_extras(translation, tree, 0, request_keys,
                           reading.own ? OWN_KEYS : REQUEST_KEYS, NULL, 0, &request->extras) &&
        read_sampling(&reading, nodes) && read_reasoning(&reading, nodes[R_REASONING]) &&
        !reading.own) {
        read_foreign(&reading, nodes);
    }
    return translation->error.code;
}
