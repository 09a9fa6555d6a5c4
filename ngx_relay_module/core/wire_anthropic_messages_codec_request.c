/*
 * Anthropic Messages requests into the canonical protocol. Called through the
 * codec; content blocks are in wire_anthropic_messages_codec_blocks.c.
 */

#include "wire_anthropic_messages_codec.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

/* ---- messages ------------------------------------------------------------ */

static bool read_role(relay_messages_reading_t *reading, relay_json_node_t node,
                      const relay_place_t *outer, relay_role_t *role)
{
    relay_place_t place = {outer, RELAY_SPAN("role"), RELAY_PLACE_NO_INDEX};

    if (relay_json_reads(reading->tree, node, RELAY_SPAN("user"))) {
        *role = RELAY_ROLE_USER;
    } else if (relay_json_reads(reading->tree, node, RELAY_SPAN("assistant"))) {
        *role = RELAY_ROLE_ASSISTANT;
    } else if (relay_json_reads(reading->tree, node, RELAY_SPAN("system"))) {
        *role = RELAY_ROLE_SYSTEM;
    } else if (node == RELAY_JSON_NOWHERE) {
        return relay_codec_missing(reading->translation, &place);
    } else {
        return relay_codec_refuse(reading->translation, &place,
                                  RELAY_SPAN("Input should be 'user' or 'assistant'"));
    }
    return true;
}

static bool read_message(relay_messages_reading_t *reading, relay_json_node_t node,
                         const relay_place_t *place, relay_message_t ***tail)
{
    enum { ROLE, CONTENT, KEYS };
    static const relay_span_t keys[KEYS] = {RELAY_SPAN_INIT("role"), RELAY_SPAN_INIT("content")};
    relay_place_t content = {place, RELAY_SPAN("content"), RELAY_PLACE_NO_INDEX};
    relay_json_node_t nodes[KEYS];
    relay_message_t *message;
    relay_block_t **blocks;
    relay_role_t role = RELAY_ROLE_USER;

    relay_json_pick(reading->tree, node, keys, KEYS, nodes);
    if (!read_role(reading, nodes[ROLE], place, &role)) {
        return false;
    }
    if (nodes[CONTENT] == RELAY_JSON_NOWHERE) {
        return relay_codec_missing(reading->translation, &content);
    }
    message = relay_codec_message(reading->translation, tail, role);
    if (message == NULL) {
        return false;
    }
    message->place = relay_codec_keep(reading->translation, place);
    message->listed = relay_json_type(reading->tree, nodes[CONTENT]) == RELAY_JSON_ARRAY;
    blocks = &message->blocks;
    reading->system = role == RELAY_ROLE_SYSTEM;
    return message->place != NULL &&
           relay_codec_extras(reading->translation, reading->tree, node, keys, KEYS, NULL, 0,
                              &message->extras) &&
           relay_messages_read_content(reading, nodes[CONTENT], message->place, keys[CONTENT],
                                       &blocks);
}

/* The system field is a message in front of the others. */
static bool read_system(relay_messages_reading_t *reading, relay_json_node_t system,
                        relay_message_t ***tail)
{
    relay_message_t *message;
    relay_block_t **blocks;

    if (relay_json_type(reading->tree, system) != RELAY_JSON_STRING &&
        relay_json_type(reading->tree, system) != RELAY_JSON_ARRAY) {
        return true;
    }
    message = relay_codec_message(reading->translation, tail, RELAY_ROLE_SYSTEM);
    if (message == NULL) {
        return false;
    }
    message->apart = true;
    message->listed = relay_json_type(reading->tree, system) == RELAY_JSON_ARRAY;
    blocks = &message->blocks;
    reading->system = true;
    return relay_messages_read_content(reading, system, NULL, RELAY_SPAN("system"), &blocks);
}

static bool read_messages(relay_messages_reading_t *reading, relay_json_node_t messages,
                          relay_message_t ***tail)
{
    relay_place_t place = {NULL, RELAY_SPAN("messages"), RELAY_PLACE_NO_INDEX};
    relay_json_node_t node;

    if (relay_json_type(reading->tree, messages) != RELAY_JSON_ARRAY) {
        return messages == RELAY_JSON_NOWHERE
                   ? relay_codec_missing(reading->translation, &place)
                   : relay_codec_refuse(reading->translation, &place,
                                        RELAY_SPAN("Input should be a valid list"));
    }
    for (node = relay_json_first(reading->tree, messages); node != RELAY_JSON_NOWHERE;
         node = relay_json_next(reading->tree, messages, node)) {
        place.index++;
        if (!read_message(reading, node, &place, tail)) {
            return false;
        }
    }
    return true;
}

/* ---- tools --------------------------------------------------------------- */

enum { T_TYPE, T_NAME, T_DESCRIPTION, T_SCHEMA, T_STRICT, T_DEFER, T_CACHE, TOOL_KEYS };

static const relay_span_t tool_keys[TOOL_KEYS] = {
    RELAY_SPAN_INIT("type"),          RELAY_SPAN_INIT("name"),   RELAY_SPAN_INIT("description"),
    RELAY_SPAN_INIT("input_schema"),  RELAY_SPAN_INIT("strict"), RELAY_SPAN_INIT("defer_loading"),
    RELAY_SPAN_INIT("cache_control"),
};

static relay_json_value_t given(const relay_messages_reading_t *reading, relay_json_node_t node)
{
    return relay_json_type(reading->tree, node) == RELAY_JSON_NULL
               ? (relay_json_value_t){RELAY_JSON_ABSENT, {NULL, 0}}
               : relay_json_value(reading->tree, node);
}

/* A tool with a type of its own is run, or described, by the provider. */
static bool is_own_tool(const relay_messages_reading_t *reading, const relay_json_node_t *nodes)
{
    return relay_json_type(reading->tree, nodes[T_TYPE]) != RELAY_JSON_STRING ||
           relay_json_reads(reading->tree, nodes[T_TYPE], RELAY_SPAN("custom"));
}

static bool keep_tool(relay_messages_reading_t *reading, const relay_place_t *place,
                      relay_tool_t *tool)
{
    relay_translation_t *translation = reading->translation;
    const relay_place_t *kept = relay_codec_keep(translation, place);

    tool->place = tool->kind == RELAY_TOOL_OPAQUE
                      ? relay_codec_member(translation, kept, tool_keys[T_TYPE])
                      : kept;
    tool->mark_place = relay_codec_member(translation, kept, tool_keys[T_CACHE]);
    return translation->error.code == RELAY_ERR_NONE;
}

static bool read_tool(relay_messages_reading_t *reading, relay_json_node_t node,
                      const relay_place_t *outer, relay_tool_t ***tail)
{
    relay_place_t place = {outer, RELAY_SPAN("name"), RELAY_PLACE_NO_INDEX};
    relay_json_node_t nodes[TOOL_KEYS];
    relay_tool_t *tool;

    relay_json_pick(reading->tree, node, tool_keys, TOOL_KEYS, nodes);
    tool = relay_codec_tool(reading->translation, tail,
                            is_own_tool(reading, nodes) ? RELAY_TOOL_FUNCTION : RELAY_TOOL_OPAQUE);
    if (tool == NULL) {
        return false;
    }
    tool->raw = relay_json_value(reading->tree, node).text;
    tool->type = relay_json_content(reading->tree, nodes[T_TYPE]);
    tool->name = relay_json_content(reading->tree, nodes[T_NAME]);
    tool->description = relay_json_content(reading->tree, nodes[T_DESCRIPTION]);
    tool->schema = given(reading, nodes[T_SCHEMA]);
    tool->strict = given(reading, nodes[T_STRICT]);
    tool->mark = given(reading, nodes[T_CACHE]);
    tool->deferred = relay_json_type(reading->tree, nodes[T_DEFER]) == RELAY_JSON_TRUE;
    if (tool->name.len == 0) {
        return relay_codec_missing(reading->translation, &place);
    }
    if (!keep_tool(reading, outer, tool)) {
        return false;
    }
    return tool->kind == RELAY_TOOL_OPAQUE ||
           relay_codec_extras(reading->translation, reading->tree, node, tool_keys, TOOL_KEYS, NULL,
                              0, &tool->extras);
}

static bool read_tools(relay_messages_reading_t *reading, relay_json_node_t tools,
                       relay_request_t *request)
{
    relay_place_t place = {NULL, RELAY_SPAN("tools"), RELAY_PLACE_NO_INDEX};
    relay_tool_t **tail = &request->tools;
    relay_json_node_t node;

    if (!relay_codec_is_list(reading->translation, reading->tree, tools, &place)) {
        return false;
    }
    for (node = relay_json_first(reading->tree, tools); node != RELAY_JSON_NOWHERE;
         node = relay_json_next(reading->tree, tools, node)) {
        place.index++;
        if (!read_tool(reading, node, &place, &tail)) {
            return false;
        }
    }
    return true;
}

static bool read_tool_choice(relay_messages_reading_t *reading, relay_json_node_t node,
                             relay_tool_choice_t *choice)
{
    enum { TYPE, NAME, ALONE, KEYS };
    static const struct {
        relay_span_t word;
        relay_choice_mode_t mode;
    } words[] = {
        {RELAY_SPAN_INIT("auto"), RELAY_CHOICE_AUTO},
        {RELAY_SPAN_INIT("any"), RELAY_CHOICE_REQUIRED},
        {RELAY_SPAN_INIT("none"), RELAY_CHOICE_NONE},
        {RELAY_SPAN_INIT("tool"), RELAY_CHOICE_NAMED},
    };
    static const relay_span_t keys[KEYS] = {RELAY_SPAN_INIT("type"), RELAY_SPAN_INIT("name"),
                                            RELAY_SPAN_INIT("disable_parallel_tool_use")};
    relay_json_node_t nodes[KEYS];
    relay_name_t **tail = &choice->names;

    relay_json_pick(reading->tree, node, keys, KEYS, nodes);
    choice->value = given(reading, node);
    for (size_t i = 0; i < COUNT(words); i++) {
        if (relay_json_reads(reading->tree, nodes[TYPE], words[i].word)) {
            choice->mode = words[i].mode;
        }
    }
    if (choice->value.type != RELAY_JSON_ABSENT && choice->mode == RELAY_CHOICE_UNSET) {
        choice->mode = RELAY_CHOICE_OPAQUE;
    }
    if (relay_json_type(reading->tree, nodes[ALONE]) == RELAY_JSON_TRUE) {
        choice->parallel = (relay_json_value_t){RELAY_JSON_FALSE, RELAY_SPAN("false")};
    }
    if (choice->mode != RELAY_CHOICE_NAMED) {
        return relay_codec_leave_rest_of(reading->translation, reading->tree, node, keys, KEYS,
                                         RELAY_SPAN("tool_choice"));
    }
    if (relay_json_content(reading->tree, nodes[NAME]).len == 0) {
        return relay_codec_refuse_field(reading->translation, RELAY_FIELD_TOOL_CHOICE,
                                        RELAY_SPAN("this field must name a tool"));
    }
    return relay_codec_name(reading->translation, &tail,
                            relay_json_content(reading->tree, nodes[NAME])) != NULL;
}

/* ---- the rest ------------------------------------------------------------ */

enum {
    R_MODEL,
    R_MESSAGES,
    R_SYSTEM,
    R_MAX_TOKENS,
    R_STREAM,
    R_TEMPERATURE,
    R_TOP_P,
    R_TOP_K,
    R_STOP,
    R_TOOLS,
    R_TOOL_CHOICE,
    R_COMPOUND, /* those behind it are written back whole to their own format */
    R_THINKING = R_COMPOUND,
    R_OUTPUT_CONFIG,
    R_OUTPUT_FORMAT,
    R_METADATA,
    R_SERVICE_TIER,
    REQUEST_KEYS
};

static const relay_span_t request_keys[REQUEST_KEYS] = {
    RELAY_SPAN_INIT("model"),          RELAY_SPAN_INIT("messages"),
    RELAY_SPAN_INIT("system"),         RELAY_SPAN_INIT("max_tokens"),
    RELAY_SPAN_INIT("stream"),         RELAY_SPAN_INIT("temperature"),
    RELAY_SPAN_INIT("top_p"),          RELAY_SPAN_INIT("top_k"),
    RELAY_SPAN_INIT("stop_sequences"), RELAY_SPAN_INIT("tools"),
    RELAY_SPAN_INIT("tool_choice"),    RELAY_SPAN_INIT("thinking"),
    RELAY_SPAN_INIT("output_config"),  RELAY_SPAN_INIT("output_format"),
    RELAY_SPAN_INIT("metadata"),       RELAY_SPAN_INIT("service_tier"),
};

/* Without them the answer would be another one. */
static const relay_span_t essentials[] = {
    RELAY_SPAN_INIT("container"), RELAY_SPAN_INIT("mcp_servers"), RELAY_SPAN_INIT("thread")};

static bool read_thinking(relay_messages_reading_t *reading, relay_json_node_t node,
                          relay_reasoning_t *reasoning)
{
    enum { TYPE, BUDGET, DISPLAY, KEYS };
    static const relay_span_t keys[KEYS] = {
        RELAY_SPAN_INIT("type"), RELAY_SPAN_INIT("budget_tokens"), RELAY_SPAN_INIT("display")};
    relay_json_node_t nodes[KEYS];

    relay_json_pick(reading->tree, node, keys, KEYS, nodes);
    reasoning->value = given(reading, node);
    reasoning->summary = relay_json_content(reading->tree, nodes[DISPLAY]);
    if (nodes[TYPE] == RELAY_JSON_NOWHERE) {
        return true;
    }
    if (!relay_codec_leave_rest_of(reading->translation, reading->tree, node, keys, KEYS,
                                   request_keys[R_THINKING])) {
        return false;
    }
    if (relay_json_reads(reading->tree, nodes[TYPE], RELAY_SPAN("disabled"))) {
        reasoning->mode = RELAY_THINKING_DISABLED;
    } else if (relay_json_reads(reading->tree, nodes[TYPE], RELAY_SPAN("adaptive"))) {
        reasoning->mode = RELAY_THINKING_ADAPTIVE;
    } else if (relay_json_reads(reading->tree, nodes[TYPE], RELAY_SPAN("enabled"))) {
        reasoning->mode = RELAY_THINKING_BUDGET;
        return relay_json_uint(relay_json_value(reading->tree, nodes[BUDGET]),
                               &reasoning->budget_tokens) ||
               relay_codec_refuse_field(reading->translation, RELAY_FIELD_THINKING,
                                        RELAY_SPAN("budget_tokens should be a valid integer"));
    } else {
        reasoning->mode = RELAY_THINKING_OPAQUE;
    }
    return true;
}

static bool read_format(relay_messages_reading_t *reading, relay_json_node_t node,
                        relay_format_t *format)
{
    enum { TYPE, SCHEMA, KEYS };
    static const relay_span_t keys[KEYS] = {RELAY_SPAN_INIT("type"), RELAY_SPAN_INIT("schema")};
    relay_json_node_t nodes[KEYS];

    relay_json_pick(reading->tree, node, keys, KEYS, nodes);
    if (nodes[TYPE] == RELAY_JSON_NOWHERE) {
        return true;
    }
    if (relay_json_type(reading->tree, nodes[SCHEMA]) != RELAY_JSON_OBJECT) {
        return relay_codec_refuse_field(reading->translation, RELAY_FIELD_FORMAT,
                                        RELAY_SPAN("a format must have a schema"));
    }
    format->mode = RELAY_FORMAT_SCHEMA;
    format->schema = relay_json_value(reading->tree, nodes[SCHEMA]);
    return true;
}

/* Members of output_config that are not understood, under their full names. */
static bool read_output_extras(relay_messages_reading_t *reading, relay_json_node_t node,
                               const relay_span_t *keys, size_t nkeys, relay_request_t *request)
{
    relay_member_t *list = NULL, **tail = &request->extras;

    if (!relay_codec_extras(reading->translation, reading->tree, node, keys, nkeys, NULL, 0,
                            &list)) {
        return false;
    }
    for (relay_member_t *member = list; member != NULL; member = member->next) {
        uint8_t *bytes = relay_codec_new(reading->translation, member->name.len + 16);
        relay_buf_t name = relay_buf(bytes, bytes != NULL ? member->name.len + 16 : 0);
        RELAY_PUT(&name, "output_config.");
        relay_buf_put(&name, member->name);
        member->name = relay_buf_span(&name);
    }
    while (*tail != NULL) {
        tail = &(*tail)->next;
    }
    *tail = list;
    return true;
}

static bool read_output(relay_messages_reading_t *reading, const relay_json_node_t *nodes,
                        relay_request_t *request)
{
    enum { EFFORT, FORMAT, KEYS };
    static const relay_span_t keys[KEYS] = {RELAY_SPAN_INIT("effort"), RELAY_SPAN_INIT("format")};
    relay_json_node_t inner[KEYS];
    relay_span_t word;

    relay_json_pick(reading->tree, nodes[R_OUTPUT_CONFIG], keys, KEYS, inner);
    word = relay_json_content(reading->tree, inner[EFFORT]);
    request->reasoning.effort = relay_codec_effort(word);
    if (word.len != 0 && request->reasoning.effort == RELAY_EFFORT_UNSET) {
        return relay_codec_refuse_field(
            reading->translation, RELAY_FIELD_EFFORT,
            RELAY_SPAN("Input should be 'low', 'medium', 'high', 'xhigh' or 'max'"));
    }
    if (inner[FORMAT] == RELAY_JSON_NOWHERE && nodes[R_OUTPUT_FORMAT] != RELAY_JSON_NOWHERE &&
        !relay_codec_say(reading->translation, RELAY_FIELD_FORMAT, request_keys[R_OUTPUT_FORMAT])) {
        return false;
    }
    return read_format(reading, nodes[R_OUTPUT_FORMAT], &request->format) &&
           read_format(reading, inner[FORMAT], &request->format) &&
           read_output_extras(reading, nodes[R_OUTPUT_CONFIG], keys, KEYS, request);
}

static bool read_metadata(relay_messages_reading_t *reading, relay_json_node_t node,
                          relay_request_t *request)
{
    static const relay_span_t keys[] = {RELAY_SPAN_INIT("user_id")};
    relay_json_node_t user;

    relay_json_pick(reading->tree, node, keys, 1, &user);
    request->user = relay_json_content(reading->tree, user);
    return relay_codec_leave_rest_of(reading->translation, reading->tree, node, keys, 1,
                                     request_keys[R_METADATA]);
}

static bool read_number(relay_messages_reading_t *reading, relay_json_node_t node,
                        relay_field_t field, relay_json_value_t *number)
{
    *number = given(reading, node);
    return number->type == RELAY_JSON_ABSENT || number->type == RELAY_JSON_NUMBER ||
           relay_codec_refuse_field(reading->translation, field,
                                    RELAY_SPAN("Input should be a valid number"));
}

static bool read_stop(relay_messages_reading_t *reading, relay_json_node_t list,
                      relay_request_t *request)
{
    relay_name_t **tail = &request->stop;
    relay_json_node_t each;

    if (!relay_codec_is_list_of(reading->translation, reading->tree, list, RELAY_FIELD_STOP)) {
        return false;
    }
    for (each = relay_json_first(reading->tree, list); each != RELAY_JSON_NOWHERE;
         each = relay_json_next(reading->tree, list, each)) {
        if (relay_json_type(reading->tree, each) != RELAY_JSON_STRING) {
            return relay_codec_refuse_field(reading->translation, RELAY_FIELD_STOP,
                                            RELAY_SPAN("Input should be a list of strings"));
        }
        if (relay_codec_name(reading->translation, &tail,
                             relay_json_content(reading->tree, each)) == NULL) {
            return false;
        }
    }
    return true;
}

static bool read_limit(relay_messages_reading_t *reading, relay_json_node_t node,
                       relay_request_t *request)
{
    relay_place_t place = {NULL, request_keys[R_MAX_TOKENS], RELAY_PLACE_NO_INDEX};

    if (node == RELAY_JSON_NOWHERE) {
        return relay_codec_missing(reading->translation, &place);
    }
    request->limited = true;
    return relay_json_uint(relay_json_value(reading->tree, node), &request->max_tokens) ||
           relay_codec_refuse(reading->translation, &place,
                              RELAY_SPAN("Input should be a valid integer"));
}

/* The usual one is what others call the default; "auto" is better where there is more. */
static relay_span_t read_tier(const relay_messages_reading_t *reading, relay_json_node_t node)
{
    return relay_json_reads(reading->tree, node, RELAY_SPAN("standard_only"))
               ? RELAY_SPAN("default")
               : relay_json_content(reading->tree, node);
}

static bool read_fields(relay_messages_reading_t *reading, const relay_json_node_t *nodes,
                        relay_request_t *request)
{
    request->model = relay_json_content(reading->tree, nodes[R_MODEL]);
    request->stream = relay_json_type(reading->tree, nodes[R_STREAM]) == RELAY_JSON_TRUE;
    request->usage_wanted = true;
    request->service_tier = read_tier(reading, nodes[R_SERVICE_TIER]);
    return read_limit(reading, nodes[R_MAX_TOKENS], request) &&
           read_number(reading, nodes[R_TEMPERATURE], RELAY_FIELD_TEMPERATURE,
                       &request->temperature) &&
           read_number(reading, nodes[R_TOP_P], RELAY_FIELD_TOP_P, &request->top_p) &&
           read_number(reading, nodes[R_TOP_K], RELAY_FIELD_TOP_K, &request->top_k) &&
           read_stop(reading, nodes[R_STOP], request) &&
           read_tools(reading, nodes[R_TOOLS], request) &&
           read_tool_choice(reading, nodes[R_TOOL_CHOICE], &request->tool_choice);
}

relay_error_code_t relay_messages_read_request(relay_translation_t *translation,
                                               const relay_json_tree_t *tree,
                                               relay_request_t *request)
{
    relay_messages_reading_t reading = {.translation = translation, .tree = tree};
    bool own = relay_codec_own(translation->caller, translation->upstream);
    relay_message_t **tail = &request->messages;
    relay_json_node_t nodes[REQUEST_KEYS];

    request->origin = &relay_codec_anthropic_messages;
    relay_json_pick(tree, 0, request_keys, REQUEST_KEYS, nodes);
    if (!relay_codec_extras(translation, tree, 0, request_keys, own ? R_COMPOUND : REQUEST_KEYS,
                            essentials, COUNT(essentials), &request->extras) ||
        !read_system(&reading, nodes[R_SYSTEM], &tail) ||
        !read_messages(&reading, nodes[R_MESSAGES], &tail) ||
        !read_fields(&reading, nodes, request) || own) {
        return translation->error.code;
    }
    if (read_thinking(&reading, nodes[R_THINKING], &request->reasoning) &&
        read_output(&reading, nodes, request)) {
        read_metadata(&reading, nodes[R_METADATA], request);
    }
    return translation->error.code;
}
