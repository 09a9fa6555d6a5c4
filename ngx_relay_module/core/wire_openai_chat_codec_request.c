/*
 * Chat Completions requests into the canonical protocol: everything but the
 * messages. Called through the codec.
 */

#include "wire_openai_chat_codec.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

/* ---- tools --------------------------------------------------------------- */

/* What describes a tool: node, at tool->place. */
static bool read_function(relay_chat_reading_t *reading, relay_json_node_t node, relay_tool_t *tool)
{
    enum { NAME, DESCRIPTION, PARAMETERS, STRICT, GRAMMAR, KEYS };
    static const relay_span_t keys[KEYS] = {RELAY_SPAN_INIT("name"), RELAY_SPAN_INIT("description"),
                                            RELAY_SPAN_INIT("parameters"),
                                            RELAY_SPAN_INIT("strict"), RELAY_SPAN_INIT("format")};
    relay_place_t place = {tool->place, RELAY_SPAN("name"), RELAY_PLACE_NO_INDEX};
    relay_json_node_t nodes[KEYS];

    relay_json_pick(reading->tree, node, keys, KEYS, nodes);
    tool->description = relay_json_content(reading->tree, nodes[DESCRIPTION]);
    if (relay_json_type(reading->tree, nodes[PARAMETERS]) != RELAY_JSON_NULL) {
        tool->schema = relay_json_value(reading->tree, nodes[PARAMETERS]);
    }
    if (relay_json_type(reading->tree, nodes[STRICT]) != RELAY_JSON_NULL) {
        tool->strict = relay_json_value(reading->tree, nodes[STRICT]);
    }
    tool->grammar = relay_json_value(reading->tree, nodes[GRAMMAR]);
    return relay_openai_required(reading->translation, reading->tree, nodes[NAME], &place,
                                 &tool->name) &&
           relay_codec_extras(reading->translation, reading->tree, node, keys, KEYS, NULL, 0,
                              &tool->extras);
}

static bool read_tool(relay_chat_reading_t *reading, relay_json_node_t node,
                      const relay_place_t *place, relay_tool_t ***tail)
{
    enum { TYPE, FUNCTION, CUSTOM, CACHE, KEYS };
    static const relay_span_t keys[KEYS] = {RELAY_SPAN_INIT("type"), RELAY_SPAN_INIT("function"),
                                            RELAY_SPAN_INIT("custom"),
                                            RELAY_SPAN_INIT("cache_control")};
    static const unsigned described[] = {
        [RELAY_TOOL_FUNCTION] = FUNCTION, [RELAY_TOOL_CUSTOM] = CUSTOM, [RELAY_TOOL_OPAQUE] = TYPE};
    relay_json_node_t nodes[KEYS];
    relay_tool_kind_t kind = RELAY_TOOL_OPAQUE;
    const relay_place_t *outer;
    relay_tool_t *tool;

    if (relay_json_type(reading->tree, node) != RELAY_JSON_OBJECT) {
        return relay_codec_refuse(reading->translation, place,
                                  RELAY_SPAN("a tool must be an object"));
    }
    relay_json_pick(reading->tree, node, keys, KEYS, nodes);
    if (relay_json_reads(reading->tree, nodes[TYPE], RELAY_SPAN("function"))) {
        kind = RELAY_TOOL_FUNCTION;
    } else if (relay_json_reads(reading->tree, nodes[TYPE], RELAY_SPAN("custom"))) {
        kind = RELAY_TOOL_CUSTOM;
    }
    outer = relay_codec_keep(reading->translation, place);
    tool = relay_codec_tool(reading->translation, tail, kind);
    if (outer == NULL || tool == NULL) {
        return false;
    }
    tool->place = relay_codec_member(reading->translation, outer, keys[described[kind]]);
    tool->mark_place = relay_codec_member(reading->translation, outer, keys[CACHE]);
    tool->raw = relay_json_value(reading->tree, node).text;
    tool->type = relay_json_content(reading->tree, nodes[TYPE]);
    tool->mark = relay_json_value(reading->tree, nodes[CACHE]);
    return kind == RELAY_TOOL_OPAQUE ||
           (read_function(reading, nodes[described[kind]], tool) &&
            relay_codec_leave_rest(reading->translation, reading->tree, node, keys, KEYS, place));
}

/* The deprecated list holds what is inside a tool. */
static bool read_old_function(relay_chat_reading_t *reading, relay_json_node_t node,
                              const relay_place_t *place, relay_tool_t ***tail)
{
    relay_tool_t *tool = relay_codec_tool(reading->translation, tail, RELAY_TOOL_FUNCTION);

    if (tool == NULL) {
        return false;
    }
    tool->place = relay_codec_keep(reading->translation, place);
    reading->translation->old_calls = true;
    return tool->place != NULL && read_function(reading, node, tool);
}

static bool read_tools(relay_chat_reading_t *reading, relay_json_node_t tools, relay_span_t name,
                       bool (*read_one)(relay_chat_reading_t *, relay_json_node_t,
                                        const relay_place_t *, relay_tool_t ***))
{
    relay_place_t place = {NULL, name, RELAY_PLACE_NO_INDEX};
    relay_tool_t **tail = &reading->request->tools;
    relay_json_node_t node;

    while (*tail != NULL) {
        tail = &(*tail)->next;
    }
    if (!relay_codec_is_list(reading->translation, reading->tree, tools, &place)) {
        return false;
    }
    for (node = relay_json_first(reading->tree, tools); node != RELAY_JSON_NOWHERE;
         node = relay_json_next(reading->tree, tools, node)) {
        place.index++;
        if (!read_one(reading, node, &place, &tail)) {
            return false;
        }
    }
    return true;
}

/* The name in {"function":{"name":…}} or {"custom":{"name":…}}. */
static bool read_choice_name(relay_chat_reading_t *reading, relay_json_node_t node,
                             relay_name_t ***tail)
{
    static const relay_span_t keys[] = {RELAY_SPAN_INIT("function"), RELAY_SPAN_INIT("custom"),
                                        RELAY_SPAN_INIT("name")};
    relay_json_node_t nodes[3], inner[3];
    relay_name_t *name;
    bool custom;

    relay_json_pick(reading->tree, node, keys, 3, nodes);
    custom = nodes[0] == RELAY_JSON_NOWHERE && nodes[1] != RELAY_JSON_NOWHERE;
    relay_json_pick(reading->tree, custom ? nodes[1] : nodes[0], keys, 3, inner);
    if (nodes[0] == RELAY_JSON_NOWHERE && nodes[1] == RELAY_JSON_NOWHERE) {
        inner[2] = nodes[2]; /* the deprecated form, and some clients */
    }
    if (relay_json_content(reading->tree, inner[2]).len == 0) {
        return relay_codec_refuse_field(reading->translation, RELAY_FIELD_TOOL_CHOICE,
                                        RELAY_SPAN("this field must name a tool"));
    }
    name =
        relay_codec_name(reading->translation, tail, relay_json_content(reading->tree, inner[2]));
    if (name != NULL) {
        name->custom = custom;
    }
    return name != NULL;
}

static bool read_allowed(relay_chat_reading_t *reading, relay_json_node_t node)
{
    static const relay_span_t keys[] = {RELAY_SPAN_INIT("mode"), RELAY_SPAN_INIT("tools")};
    relay_tool_choice_t *choice = &reading->request->tool_choice;
    relay_name_t **tail = &choice->names;
    relay_json_node_t nodes[2], tool;

    relay_json_pick(reading->tree, node, keys, 2, nodes);
    choice->mode = relay_json_reads(reading->tree, nodes[0], RELAY_SPAN("required"))
                       ? RELAY_CHOICE_ALLOWED_REQUIRED
                       : RELAY_CHOICE_ALLOWED;
    for (tool = relay_json_first(reading->tree, nodes[1]); tool != RELAY_JSON_NOWHERE;
         tool = relay_json_next(reading->tree, nodes[1], tool)) {
        if (!read_choice_name(reading, tool, &tail)) {
            return false;
        }
    }
    return true;
}

static bool read_tool_choice(relay_chat_reading_t *reading, relay_json_node_t node)
{
    static const struct {
        relay_span_t word;
        relay_choice_mode_t mode;
    } words[] = {
        {RELAY_SPAN_INIT("auto"), RELAY_CHOICE_AUTO},
        {RELAY_SPAN_INIT("none"), RELAY_CHOICE_NONE},
        {RELAY_SPAN_INIT("required"), RELAY_CHOICE_REQUIRED},
        {RELAY_SPAN_INIT("any"), RELAY_CHOICE_REQUIRED},
    };
    static const relay_span_t keys[] = {RELAY_SPAN_INIT("allowed_tools")};
    relay_tool_choice_t *choice = &reading->request->tool_choice;
    relay_name_t **tail = &choice->names;
    relay_json_node_t allowed;

    choice->value = relay_json_value(reading->tree, node);
    if (choice->value.type == RELAY_JSON_ABSENT || choice->value.type == RELAY_JSON_NULL) {
        return true;
    }
    for (size_t i = 0; i < COUNT(words); i++) {
        if (relay_json_reads(reading->tree, node, words[i].word)) {
            choice->mode = words[i].mode;
            return true;
        }
    }
    relay_json_pick(reading->tree, node, keys, 1, &allowed);
    if (allowed != RELAY_JSON_NOWHERE) {
        return read_allowed(reading, allowed);
    }
    choice->mode = RELAY_CHOICE_NAMED;
    return read_choice_name(reading, node, &tail);
}

/* ---- the rest ------------------------------------------------------------ */

enum {
    R_MODEL,
    R_MESSAGES,
    R_STREAM,
    R_STREAM_OPTIONS,
    R_MAX_TOKENS,
    R_MAX_COMPLETION_TOKENS,
    R_TEMPERATURE,
    R_TOP_P,
    R_TOP_K,
    R_FREQUENCY_PENALTY,
    R_PRESENCE_PENALTY,
    R_LOGIT_BIAS,
    R_SEED,
    R_N,
    R_LOGPROBS,
    R_TOP_LOGPROBS,
    R_STOP,
    R_TOOLS,
    R_TOOL_CHOICE,
    R_PARALLEL,
    R_FUNCTIONS,
    R_FUNCTION_CALL,
    R_RESPONSE_FORMAT,
    R_EFFORT,
    R_VERBOSITY,
    R_METADATA,
    R_USER,
    R_SAFETY_IDENTIFIER,
    R_SERVICE_TIER,
    R_MODALITIES,
    REQUEST_KEYS
};

static const relay_span_t request_keys[REQUEST_KEYS] = {
    RELAY_SPAN_INIT("model"),
    RELAY_SPAN_INIT("messages"),
    RELAY_SPAN_INIT("stream"),
    RELAY_SPAN_INIT("stream_options"),
    RELAY_SPAN_INIT("max_tokens"),
    RELAY_SPAN_INIT("max_completion_tokens"),
    RELAY_SPAN_INIT("temperature"),
    RELAY_SPAN_INIT("top_p"),
    RELAY_SPAN_INIT("top_k"),
    RELAY_SPAN_INIT("frequency_penalty"),
    RELAY_SPAN_INIT("presence_penalty"),
    RELAY_SPAN_INIT("logit_bias"),
    RELAY_SPAN_INIT("seed"),
    RELAY_SPAN_INIT("n"),
    RELAY_SPAN_INIT("logprobs"),
    RELAY_SPAN_INIT("top_logprobs"),
    RELAY_SPAN_INIT("stop"),
    RELAY_SPAN_INIT("tools"),
    RELAY_SPAN_INIT("tool_choice"),
    RELAY_SPAN_INIT("parallel_tool_calls"),
    RELAY_SPAN_INIT("functions"),
    RELAY_SPAN_INIT("function_call"),
    RELAY_SPAN_INIT("response_format"),
    RELAY_SPAN_INIT("reasoning_effort"),
    RELAY_SPAN_INIT("verbosity"),
    RELAY_SPAN_INIT("metadata"),
    RELAY_SPAN_INIT("user"),
    RELAY_SPAN_INIT("safety_identifier"),
    RELAY_SPAN_INIT("service_tier"),
    RELAY_SPAN_INIT("modalities"),
};

/* Without them the answer would be another one. */
static const relay_span_t essentials[] = {
    RELAY_SPAN_INIT("audio"),
    RELAY_SPAN_INIT("prediction"),
    RELAY_SPAN_INIT("web_search_options"),
    RELAY_SPAN_INIT("plugins"),
};

/* A value that is there and not null. */
static relay_json_value_t given(const relay_chat_reading_t *reading, relay_json_node_t node)
{
    return relay_json_type(reading->tree, node) == RELAY_JSON_NULL
               ? (relay_json_value_t){RELAY_JSON_ABSENT, {NULL, 0}}
               : relay_json_value(reading->tree, node);
}

static bool read_number(relay_chat_reading_t *reading, relay_json_node_t node, relay_field_t field,
                        relay_json_value_t *number)
{
    *number = given(reading, node);
    return number->type == RELAY_JSON_ABSENT || number->type == RELAY_JSON_NUMBER ||
           relay_codec_refuse_field(reading->translation, field,
                                    RELAY_SPAN("this field must be a number"));
}

/* Of both names the smaller number counts. */
static bool read_limit(relay_chat_reading_t *reading, relay_json_node_t node, relay_span_t name)
{
    relay_place_t place = {NULL, name, RELAY_PLACE_NO_INDEX};
    relay_json_value_t value = given(reading, node);
    uint64_t tokens;

    if (value.type == RELAY_JSON_ABSENT) {
        return true;
    }
    if (!relay_json_uint(value, &tokens)) {
        return relay_codec_refuse(reading->translation, &place,
                                  RELAY_SPAN("this field must be a whole number"));
    }
    if (reading->request->limited && tokens >= reading->request->max_tokens) {
        return true;
    }
    reading->request->max_tokens = tokens;
    reading->request->limited = true;
    return relay_codec_say(reading->translation, RELAY_FIELD_MAX_TOKENS, name);
}

static bool read_stop(relay_chat_reading_t *reading, relay_json_node_t node)
{
    relay_name_t **tail = &reading->request->stop;
    relay_json_node_t each;

    if (relay_json_type(reading->tree, node) == RELAY_JSON_STRING) {
        return relay_codec_name(reading->translation, &tail,
                                relay_json_content(reading->tree, node)) != NULL;
    }
    if (!relay_codec_is_list_of(reading->translation, reading->tree, node, RELAY_FIELD_STOP)) {
        return false;
    }
    for (each = relay_json_first(reading->tree, node); each != RELAY_JSON_NOWHERE;
         each = relay_json_next(reading->tree, node, each)) {
        if (relay_json_type(reading->tree, each) != RELAY_JSON_STRING) {
            return relay_codec_refuse_field(reading->translation, RELAY_FIELD_STOP,
                                            RELAY_SPAN("this field must hold strings"));
        }
        if (relay_codec_name(reading->translation, &tail,
                             relay_json_content(reading->tree, each)) == NULL) {
            return false;
        }
    }
    return true;
}

static bool read_format(relay_chat_reading_t *reading, relay_json_node_t node)
{
    enum { TYPE, SCHEMA_OBJECT, KEYS };
    enum { NAME, DESCRIPTION, SCHEMA, STRICT, INNER };
    static const relay_span_t keys[KEYS] = {RELAY_SPAN_INIT("type"),
                                            RELAY_SPAN_INIT("json_schema")};
    static const relay_span_t inner_keys[INNER] = {
        RELAY_SPAN_INIT("name"), RELAY_SPAN_INIT("description"), RELAY_SPAN_INIT("schema"),
        RELAY_SPAN_INIT("strict")};
    relay_format_t *format = &reading->request->format;
    relay_json_node_t nodes[KEYS], inner[INNER];

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
    relay_json_pick(reading->tree, nodes[SCHEMA_OBJECT], inner_keys, INNER, inner);
    if (!relay_json_reads(reading->tree, nodes[TYPE], RELAY_SPAN("json_schema")) ||
        relay_json_type(reading->tree, inner[SCHEMA]) != RELAY_JSON_OBJECT) {
        return relay_codec_refuse_field(
            reading->translation, RELAY_FIELD_FORMAT,
            RELAY_SPAN("this field must be of type text, json_object, or json_schema with a "
                       "schema"));
    }
    format->mode = RELAY_FORMAT_SCHEMA;
    format->name = relay_json_content(reading->tree, inner[NAME]);
    format->description = relay_json_content(reading->tree, inner[DESCRIPTION]);
    format->schema = relay_json_value(reading->tree, inner[SCHEMA]);
    format->strict = given(reading, inner[STRICT]);
    return relay_codec_leave_rest_of(reading->translation, reading->tree, nodes[SCHEMA_OBJECT],
                                     inner_keys, INNER, RELAY_SPAN("response_format.json_schema"));
}

static bool read_reasoning_effort(relay_chat_reading_t *reading, relay_json_node_t node)
{
    relay_span_t word = relay_json_content(reading->tree, node);

    if (word.len == 0) {
        return true;
    }
    reading->request->reasoning.effort = relay_codec_effort(word);
    return reading->request->reasoning.effort != RELAY_EFFORT_UNSET ||
           relay_codec_refuse_field(
               reading->translation, RELAY_FIELD_EFFORT,
               RELAY_SPAN("this field must be one of none, minimal, low, medium, high, xhigh "
                          "and max"));
}

/* The text modality goes without saying. */
static bool read_modalities(relay_chat_reading_t *reading, relay_json_node_t node)
{
    relay_place_t place = {NULL, RELAY_SPAN("modalities"), RELAY_PLACE_NO_INDEX};
    relay_json_node_t each;
    relay_member_t *member;

    for (each = relay_json_first(reading->tree, node); each != RELAY_JSON_NOWHERE && !reading->own;
         each = relay_json_next(reading->tree, node, each)) {
        if (!relay_json_reads(reading->tree, each, RELAY_SPAN("text"))) {
            return relay_codec_refuse(
                reading->translation, &place,
                RELAY_SPAN("only text is supported by the provider of this model"));
        }
    }
    if (!reading->own || relay_json_type(reading->tree, node) != RELAY_JSON_ARRAY) {
        return true;
    }
    member = relay_codec_new(reading->translation, sizeof(*member));
    if (member != NULL) {
        *member = (relay_member_t){.next = reading->request->extras,
                                   .name = request_keys[R_MODALITIES],
                                   .value = relay_json_value(reading->tree, node)};
        reading->request->extras = member;
    }
    return member != NULL;
}

static bool read_stream(relay_chat_reading_t *reading, const relay_json_node_t *nodes)
{
    enum { USAGE, OBFUSCATION, KEYS };
    static const relay_span_t keys[KEYS] = {RELAY_SPAN_INIT("include_usage"),
                                            RELAY_SPAN_INIT("include_obfuscation")};
    relay_json_node_t options[KEYS];

    reading->request->stream = relay_json_type(reading->tree, nodes[R_STREAM]) == RELAY_JSON_TRUE;
    relay_json_pick(reading->tree, nodes[R_STREAM_OPTIONS], keys, KEYS, options);
    reading->request->usage_wanted =
        relay_json_type(reading->tree, options[USAGE]) == RELAY_JSON_TRUE;
    if (relay_json_type(reading->tree, options[OBFUSCATION]) == RELAY_JSON_TRUE) {
        relay_codec_drop_name(reading->translation,
                              RELAY_SPAN("stream_options.include_obfuscation"));
    }
    return true;
}

static bool read_sampling(relay_chat_reading_t *reading, const relay_json_node_t *nodes)
{
    relay_request_t *request = reading->request;
    relay_json_value_t n = given(reading, nodes[R_N]);

    request->logit_bias = given(reading, nodes[R_LOGIT_BIAS]);
    request->seed = given(reading, nodes[R_SEED]);
    request->logprobs = given(reading, nodes[R_LOGPROBS]);
    if (n.type != RELAY_JSON_ABSENT && (!relay_json_uint(n, &request->choices) ||
                                        request->choices == 0 || request->choices > 128)) {
        return relay_codec_refuse_field(reading->translation, RELAY_FIELD_COUNT_OF_CHOICES,
                                        RELAY_SPAN("this field must be from 1 to 128"));
    }
    return read_number(reading, nodes[R_TEMPERATURE], RELAY_FIELD_TEMPERATURE,
                       &request->temperature) &&
           read_number(reading, nodes[R_TOP_P], RELAY_FIELD_TOP_P, &request->top_p) &&
           read_number(reading, nodes[R_TOP_K], RELAY_FIELD_TOP_K, &request->top_k) &&
           read_number(reading, nodes[R_FREQUENCY_PENALTY], RELAY_FIELD_FREQUENCY_PENALTY,
                       &request->frequency_penalty) &&
           read_number(reading, nodes[R_PRESENCE_PENALTY], RELAY_FIELD_PRESENCE_PENALTY,
                       &request->presence_penalty) &&
           read_number(reading, nodes[R_TOP_LOGPROBS], RELAY_FIELD_TOP_LOGPROBS,
                       &request->top_logprobs) &&
           read_limit(reading, nodes[R_MAX_TOKENS], request_keys[R_MAX_TOKENS]) &&
           read_limit(reading, nodes[R_MAX_COMPLETION_TOKENS],
                      request_keys[R_MAX_COMPLETION_TOKENS]) &&
           read_stop(reading, nodes[R_STOP]);
}

static bool read_all_tools(relay_chat_reading_t *reading, const relay_json_node_t *nodes)
{
    relay_tool_choice_t *choice = &reading->request->tool_choice;

    choice->parallel = given(reading, nodes[R_PARALLEL]);
    if (!read_tools(reading, nodes[R_TOOLS], request_keys[R_TOOLS], read_tool) ||
        !read_tools(reading, nodes[R_FUNCTIONS], request_keys[R_FUNCTIONS], read_old_function)) {
        return false;
    }
    if (nodes[R_TOOL_CHOICE] != RELAY_JSON_NOWHERE ||
        nodes[R_FUNCTION_CALL] == RELAY_JSON_NOWHERE) {
        return read_tool_choice(reading, nodes[R_TOOL_CHOICE]);
    }
    return relay_codec_say(reading->translation, RELAY_FIELD_TOOL_CHOICE,
                           request_keys[R_FUNCTION_CALL]) &&
           read_tool_choice(reading, nodes[R_FUNCTION_CALL]);
}

static bool read_labels(relay_chat_reading_t *reading, const relay_json_node_t *nodes)
{
    relay_request_t *request = reading->request;
    relay_span_t safety = relay_json_content(reading->tree, nodes[R_SAFETY_IDENTIFIER]);

    request->model = relay_json_content(reading->tree, nodes[R_MODEL]);
    request->verbosity = relay_json_content(reading->tree, nodes[R_VERBOSITY]);
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

relay_error_code_t relay_chat_read_request(relay_translation_t *translation,
                                           const relay_json_tree_t *tree, relay_request_t *request)
{
    relay_chat_reading_t reading = {translation, tree, request,
                                    relay_codec_own(translation->caller, translation->upstream)};
    relay_json_node_t nodes[REQUEST_KEYS];

    request->origin = &relay_codec_openai_chat;
    relay_json_pick(tree, 0, request_keys, REQUEST_KEYS, nodes);
    if (read_labels(&reading, nodes) &&
        relay_codec_extras(translation, tree, 0, request_keys, REQUEST_KEYS, essentials,
                           COUNT(essentials), &request->extras) &&
        read_stream(&reading, nodes) && relay_chat_read_messages(&reading, nodes[R_MESSAGES]) &&
        read_all_tools(&reading, nodes) && read_sampling(&reading, nodes) &&
        read_format(&reading, nodes[R_RESPONSE_FORMAT]) &&
        read_reasoning_effort(&reading, nodes[R_EFFORT])) {
        read_modalities(&reading, nodes[R_MODALITIES]);
    }
    return translation->error.code;
}
