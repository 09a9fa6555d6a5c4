/*
 * Gemini requests into the canonical protocol. Called through the codec; parts are
 * in wire_gemini_codec_parts.c. Model and stream come with the path.
 */

#include "wire_gemini_codec.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

enum { CHOICES_MAX = 128 };

/* ---- contents ------------------------------------------------------------ */

static bool read_role(relay_gemini_reading_t *reading, relay_json_node_t node,
                      const relay_place_t *outer, relay_role_t *role)
{
    relay_place_t place = {outer, RELAY_SPAN("role"), RELAY_PLACE_NO_INDEX};

    if (relay_json_reads(reading->tree, node, RELAY_SPAN("model"))) {
        *role = RELAY_ROLE_ASSISTANT;
        return true;
    }
    *role = RELAY_ROLE_USER;
    return relay_json_content(reading->tree, node).len == 0 || reading->own ||
           relay_json_reads(reading->tree, node, RELAY_SPAN("user")) ||
           relay_json_reads(reading->tree, node, RELAY_SPAN("function")) ||
           relay_codec_refuse(reading->translation, &place,
                              RELAY_SPAN("Please use a valid role: user, model."));
}

enum { C_PARTS, C_ROLE, CONTENT_KEYS };

static const relay_span_t content_keys[CONTENT_KEYS] = {RELAY_SPAN_INIT("parts"),
                                                        RELAY_SPAN_INIT("role")};

/*
 * Clients send back an answer that they have streamed as they got it: each chunk a
 * content of its own. For other formats these are one message; of the user's each
 * stays what it is.
 */
static relay_message_t *message_of(relay_gemini_reading_t *reading, relay_role_t role,
                                   const relay_place_t *place, relay_message_t ***tail)
{
    relay_message_t *message = reading->turn;

    if (message != NULL && role == RELAY_ROLE_ASSISTANT) {
        return message;
    }
    if (!relay_gemini_end_turn(reading)) {
        return NULL;
    }
    message = relay_codec_message(reading->translation, tail, role);
    if (message == NULL) {
        return NULL;
    }
    message->place = place;
    message->listed = true;
    if (reading->messages == NULL) {
        reading->messages = message;
    }
    if (role == RELAY_ROLE_ASSISTANT && !reading->own) {
        reading->turn = message;
        reading->turn_tail = &message->blocks;
        reading->turn_extras = &message->extras;
    }
    return message;
}

static bool read_message(relay_gemini_reading_t *reading, relay_json_node_t node,
                         relay_json_node_t parts, const relay_place_t *place,
                         relay_message_t *message)
{
    relay_block_t **blocks = &message->blocks;

    return relay_gemini_extras(reading, node, content_keys, reading->own ? C_ROLE : CONTENT_KEYS,
                               NULL, 0, relay_span(NULL, 0), &message->extras) &&
           relay_gemini_read_parts(reading, parts, place, &blocks);
}

static bool continue_turn(relay_gemini_reading_t *reading, relay_json_node_t node,
                          relay_json_node_t parts, const relay_place_t *place)
{
    if (!relay_gemini_extras(reading, node, content_keys, CONTENT_KEYS, NULL, 0,
                             relay_span(NULL, 0), reading->turn_extras)) {
        return false;
    }
    while (*reading->turn_extras != NULL) { /* only once over those of all contents */
        reading->turn_extras = &(*reading->turn_extras)->next;
    }
    return relay_gemini_read_parts(reading, parts, place, &reading->turn_tail);
}

static bool read_content(relay_gemini_reading_t *reading, relay_json_node_t node,
                         const relay_place_t *place, relay_message_t ***tail)
{
    relay_json_node_t nodes[CONTENT_KEYS];
    relay_message_t *message;
    relay_role_t role;

    relay_gemini_pick(reading->tree, node, content_keys, CONTENT_KEYS, nodes);
    if (!read_role(reading, nodes[C_ROLE], place, &role)) {
        return false;
    }
    message = message_of(reading, role, place, tail);
    if (message == NULL) {
        return false;
    }
    return reading->turn != NULL ? continue_turn(reading, node, nodes[C_PARTS], place)
                                 : read_message(reading, node, nodes[C_PARTS], place, message);
}

static bool read_contents(relay_gemini_reading_t *reading, relay_json_node_t contents,
                          relay_message_t ***tail)
{
    relay_place_t place = {NULL, RELAY_SPAN("contents"), RELAY_PLACE_NO_INDEX};
    relay_json_node_t node = relay_gemini_first(reading->tree, contents);
    const relay_place_t *kept;

    if (contents == RELAY_JSON_NOWHERE && !reading->own) {
        return relay_codec_missing(reading->translation, &place);
    }
    for (; node != RELAY_JSON_NOWHERE; node = relay_gemini_next(reading->tree, contents, node)) {
        place.index += relay_gemini_step(reading->tree, contents);
        if (relay_json_type(reading->tree, node) != RELAY_JSON_OBJECT) {
            return relay_codec_refuse(reading->translation, &place,
                                      RELAY_SPAN("a content must be an object"));
        }
        kept = relay_codec_keep(reading->translation, &place);
        if (kept == NULL || !read_content(reading, node, kept, tail)) {
            return false;
        }
    }
    return relay_gemini_end_turn(reading);
}

/* The instruction is a message in front of the others. */
static bool read_system(relay_gemini_reading_t *reading, relay_json_node_t system,
                        relay_request_t *request, relay_message_t ***tail)
{
    relay_json_node_t nodes[CONTENT_KEYS];
    const relay_place_t *place;
    relay_message_t *message;
    relay_block_t **blocks;

    if (system == RELAY_JSON_NOWHERE || relay_json_type(reading->tree, system) == RELAY_JSON_NULL) {
        return true;
    }
    place =
        relay_codec_member(reading->translation, NULL, relay_gemini_spelt(reading->tree, system));
    if (place == NULL) {
        return false;
    }
    message = relay_codec_message(reading->translation, tail, RELAY_ROLE_SYSTEM);
    if (message == NULL) {
        return false;
    }
    message->apart = true;
    message->listed = true;
    blocks = &message->blocks;
    if (!relay_gemini_extras(reading, system, content_keys, CONTENT_KEYS, NULL, 0, place->name,
                             &request->extras)) {
        return false;
    }
    if (relay_json_type(reading->tree, system) == RELAY_JSON_STRING) {
        relay_block_t *block = relay_codec_block(reading->translation, &blocks, RELAY_BLOCK_TEXT);
        if (block != NULL) {
            block->text = relay_json_content(reading->tree, system);
            block->place = place;
        }
        return block != NULL;
    }
    relay_gemini_pick(reading->tree, system, content_keys, CONTENT_KEYS, nodes);
    return relay_gemini_read_parts(reading, nodes[C_PARTS], place, &blocks);
}

/* ---- tools --------------------------------------------------------------- */

static bool read_function(relay_gemini_reading_t *reading, relay_json_node_t node,
                          const relay_place_t *at, relay_tool_t ***tail)
{
    enum { NAME, DESCRIPTION, PARAMETERS, JSON_SCHEMA, KEYS };
    static const relay_span_t keys[KEYS] = {RELAY_SPAN_INIT("name"), RELAY_SPAN_INIT("description"),
                                            RELAY_SPAN_INIT("parameters"),
                                            RELAY_SPAN_INIT("parametersJsonSchema")};
    const relay_place_t *place = relay_codec_keep(reading->translation, at);
    relay_tool_t *tool = relay_codec_tool(reading->translation, tail, RELAY_TOOL_FUNCTION);
    relay_place_t name = {place, keys[NAME], RELAY_PLACE_NO_INDEX};
    relay_json_node_t nodes[KEYS];

    if (tool == NULL || place == NULL) {
        return false;
    }
    relay_gemini_pick(reading->tree, node, keys, KEYS, nodes);
    tool->place = place;
    tool->raw = relay_json_value(reading->tree, node).text;
    tool->name = relay_json_content(reading->tree, nodes[NAME]);
    tool->description = relay_json_content(reading->tree, nodes[DESCRIPTION]);
    tool->schema = relay_gemini_given(reading->tree, nodes[JSON_SCHEMA]);
    if (tool->name.len == 0) {
        return relay_codec_missing(reading->translation, &name);
    }
    return (relay_json_type(reading->tree, nodes[PARAMETERS]) != RELAY_JSON_OBJECT ||
            relay_gemini_read_schema(reading, nodes[PARAMETERS], &tool->schema)) &&
           relay_gemini_extras(reading, node, keys, KEYS, NULL, 0, relay_span(NULL, 0),
                               &tool->extras);
}

static bool read_functions(relay_gemini_reading_t *reading, relay_json_node_t list,
                           const relay_place_t *outer, relay_tool_t ***tail)
{
    relay_place_t place = {outer, relay_gemini_spelt(reading->tree, list), RELAY_PLACE_NO_INDEX};
    relay_json_node_t node = relay_gemini_first(reading->tree, list);

    for (; node != RELAY_JSON_NOWHERE; node = relay_gemini_next(reading->tree, list, node)) {
        place.index += relay_gemini_step(reading->tree, list);
        if (!read_function(reading, node, &place, tail)) {
            return false;
        }
    }
    return true;
}

static bool read_opaque_tool(relay_gemini_reading_t *reading, relay_json_node_t key,
                             const relay_place_t *outer, relay_tool_t ***tail)
{
    relay_tool_t *tool = relay_codec_tool(reading->translation, tail, RELAY_TOOL_OPAQUE);

    if (tool == NULL) {
        return false;
    }
    tool->name = tool->type = relay_json_content(reading->tree, key);
    tool->place = relay_codec_member(reading->translation, outer, tool->name);
    return tool->place != NULL;
}

/* All else in a tool is run by the provider. */
static bool read_tool(relay_gemini_reading_t *reading, relay_json_node_t object,
                      const relay_place_t *place, relay_tool_t ***tail)
{
    static const relay_span_t declarations[] = {RELAY_SPAN_INIT("functionDeclarations")};
    const relay_json_tree_t *tree = reading->tree;
    relay_json_node_t key;
    bool good = true;

    if (relay_json_type(tree, object) != RELAY_JSON_OBJECT) {
        return relay_codec_refuse(reading->translation, place,
                                  RELAY_SPAN("a tool must be an object"));
    }
    for (key = relay_json_first(tree, object); key != RELAY_JSON_NOWHERE && good;
         key = relay_json_next(tree, object, key)) {
        if (relay_gemini_key(tree, key, declarations, 1) == 0) {
            good = read_functions(reading, key + 1, place, tail);
        } else if (relay_json_type(tree, key + 1) != RELAY_JSON_NULL) {
            good = read_opaque_tool(reading, key, place, tail);
        }
    }
    return good;
}

static bool read_tools(relay_gemini_reading_t *reading, relay_json_node_t tools,
                       relay_request_t *request)
{
    relay_place_t place = {NULL, RELAY_SPAN("tools"), RELAY_PLACE_NO_INDEX};
    relay_tool_t **tail = &request->tools;
    const relay_place_t *kept;
    relay_json_node_t node;

    for (node = relay_gemini_first(reading->tree, tools); node != RELAY_JSON_NOWHERE;
         node = relay_gemini_next(reading->tree, tools, node)) {
        place.index += relay_gemini_step(reading->tree, tools);
        kept = relay_codec_keep(reading->translation, &place);
        if (kept == NULL || !read_tool(reading, node, kept, &tail)) {
            return false;
        }
    }
    return true;
}

static relay_choice_mode_t mode_of(const relay_gemini_reading_t *reading, relay_json_node_t node,
                                   const relay_name_t *names)
{
    bool named = names != NULL, one = named && names->next == NULL;

    if (relay_json_reads(reading->tree, node, RELAY_SPAN("ANY"))) {
        return one     ? RELAY_CHOICE_NAMED
               : named ? RELAY_CHOICE_ALLOWED_REQUIRED
                       : RELAY_CHOICE_REQUIRED;
    }
    if (relay_json_reads(reading->tree, node, RELAY_SPAN("NONE"))) {
        return RELAY_CHOICE_NONE;
    }
    if (relay_json_reads(reading->tree, node, RELAY_SPAN("AUTO")) ||
        relay_json_reads(reading->tree, node, RELAY_SPAN("VALIDATED"))) {
        return named ? RELAY_CHOICE_ALLOWED : RELAY_CHOICE_AUTO;
    }
    return node == RELAY_JSON_NOWHERE ||
                   relay_json_reads(reading->tree, node, RELAY_SPAN("MODE_UNSPECIFIED"))
               ? RELAY_CHOICE_UNSET
               : RELAY_CHOICE_OPAQUE;
}

/* "outer.name", each as it is spelt; the name alone of a member of the body. */
static relay_span_t path_of(relay_gemini_reading_t *reading, relay_json_node_t outer,
                            relay_json_node_t node)
{
    relay_span_t name = relay_gemini_spelt(reading->tree, node), before;
    uint8_t *bytes;
    relay_buf_t path;

    if (outer == RELAY_JSON_NOWHERE) {
        return name;
    }
    before = relay_gemini_spelt(reading->tree, outer);
    bytes = relay_codec_new(reading->translation, before.len + 1 + name.len);
    path = relay_buf(bytes, bytes != NULL ? before.len + 1 + name.len : 0);
    relay_buf_put(&path, before);
    RELAY_PUT(&path, ".");
    relay_buf_put(&path, name);
    return relay_buf_span(&path);
}

/* What nobody maps of an object, under its whole name. */
static bool extras_of(relay_gemini_reading_t *reading, relay_json_node_t outer,
                      relay_json_node_t node, const relay_span_t *keys, size_t nkeys,
                      relay_request_t *request)
{
    return relay_json_type(reading->tree, node) != RELAY_JSON_OBJECT ||
           relay_gemini_extras(reading, node, keys, nkeys, NULL, 0, path_of(reading, outer, node),
                               &request->extras);
}

static bool read_tool_config(relay_gemini_reading_t *reading, relay_json_node_t config,
                             relay_request_t *request)
{
    static const relay_span_t outer[] = {RELAY_SPAN_INIT("functionCallingConfig")};
    static const relay_span_t keys[] = {RELAY_SPAN_INIT("mode"),
                                        RELAY_SPAN_INIT("allowedFunctionNames")};
    relay_tool_choice_t *choice = &request->tool_choice;
    relay_name_t **tail = &choice->names;
    relay_json_node_t calling, nodes[2], each;

    relay_gemini_pick(reading->tree, config, outer, 1, &calling);
    relay_gemini_pick(reading->tree, calling, keys, 2, nodes);
    choice->value = relay_gemini_given(reading->tree, config);
    for (each = relay_gemini_first(reading->tree, nodes[1]); each != RELAY_JSON_NOWHERE;
         each = relay_gemini_next(reading->tree, nodes[1], each)) {
        if (relay_codec_name(reading->translation, &tail,
                             relay_json_content(reading->tree, each)) == NULL) {
            return false;
        }
    }
    choice->mode = mode_of(reading, nodes[0], choice->names);
    if (relay_json_reads(reading->tree, nodes[0], RELAY_SPAN("VALIDATED"))) {
        relay_codec_change(reading->translation, RELAY_FIELD_TOOL_CHOICE);
    }
    return extras_of(reading, config, calling, keys, 2, request) &&
           extras_of(reading, RELAY_JSON_NOWHERE, config, outer, 1, request);
}

/* ---- generationConfig ---------------------------------------------------- */

enum {
    G_TEMPERATURE,
    G_TOP_P,
    G_TOP_K,
    G_COUNT,
    G_MAX_TOKENS,
    G_STOP,
    G_SEED,
    G_PRESENCE,
    G_FREQUENCY,
    G_MIME_TYPE,
    G_SCHEMA,
    G_JSON_SCHEMA,
    G_JSON_SCHEMA_OLD,
    G_LOGPROBS,
    G_TOP_LOGPROBS,
    G_THINKING,
    G_MODALITIES,
    CONFIG_KEYS
};

static const relay_span_t config_keys[CONFIG_KEYS] = {
    RELAY_SPAN_INIT("temperature"),
    RELAY_SPAN_INIT("topP"),
    RELAY_SPAN_INIT("topK"),
    RELAY_SPAN_INIT("candidateCount"),
    RELAY_SPAN_INIT("maxOutputTokens"),
    RELAY_SPAN_INIT("stopSequences"),
    RELAY_SPAN_INIT("seed"),
    RELAY_SPAN_INIT("presencePenalty"),
    RELAY_SPAN_INIT("frequencyPenalty"),
    RELAY_SPAN_INIT("responseMimeType"),
    RELAY_SPAN_INIT("responseSchema"),
    RELAY_SPAN_INIT("responseJsonSchema"),
    RELAY_SPAN_INIT("_responseJsonSchema"),
    RELAY_SPAN_INIT("responseLogprobs"),
    RELAY_SPAN_INIT("logprobs"),
    RELAY_SPAN_INIT("thinkingConfig"),
    RELAY_SPAN_INIT("responseModalities"),
};

/* What the answer would sound or look like. */
static const relay_span_t config_essentials[] = {RELAY_SPAN_INIT("speechConfig"),
                                                 RELAY_SPAN_INIT("imageConfig")};

static bool read_number(relay_gemini_reading_t *reading, relay_json_node_t node,
                        relay_field_t field, relay_json_value_t *number)
{
    *number = relay_gemini_given(reading->tree, node);
    return number->type == RELAY_JSON_ABSENT || number->type == RELAY_JSON_NUMBER ||
           relay_codec_refuse_field(reading->translation, field,
                                    RELAY_SPAN("this field must be a number"));
}

static bool read_whole(relay_gemini_reading_t *reading, relay_json_node_t node, relay_field_t field,
                       uint64_t *number)
{
    relay_json_value_t value = relay_gemini_given(reading->tree, node);

    return value.type == RELAY_JSON_ABSENT || relay_json_uint(value, number) ||
           relay_codec_refuse_field(reading->translation, field,
                                    RELAY_SPAN("this field must be a whole number"));
}

static bool read_stop(relay_gemini_reading_t *reading, relay_json_node_t list,
                      relay_request_t *request)
{
    relay_name_t **tail = &request->stop;
    relay_json_node_t each;

    for (each = relay_gemini_first(reading->tree, list); each != RELAY_JSON_NOWHERE;
         each = relay_gemini_next(reading->tree, list, each)) {
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

static bool read_limits(relay_gemini_reading_t *reading, const relay_json_node_t *nodes,
                        relay_request_t *request)
{
    relay_translation_t *translation = reading->translation;

    request->limited =
        relay_gemini_given(reading->tree, nodes[G_MAX_TOKENS]).type != RELAY_JSON_ABSENT;
    if (!read_whole(reading, nodes[G_MAX_TOKENS], RELAY_FIELD_MAX_TOKENS, &request->max_tokens) ||
        !read_whole(reading, nodes[G_COUNT], RELAY_FIELD_COUNT_OF_CHOICES, &request->choices)) {
        return false;
    }
    if (request->choices > CHOICES_MAX || (request->choices > 1 && translation->stream)) {
        return relay_codec_refuse_field(
            translation, RELAY_FIELD_COUNT_OF_CHOICES,
            RELAY_SPAN("a stream has one candidate, and an answer at most 128"));
    }
    return read_stop(reading, nodes[G_STOP], request);
}

static bool read_sampling(relay_gemini_reading_t *reading, const relay_json_node_t *nodes,
                          relay_request_t *request)
{
    request->seed = relay_gemini_given(reading->tree, nodes[G_SEED]);
    request->logprobs = relay_gemini_given(reading->tree, nodes[G_LOGPROBS]);
    return read_number(reading, nodes[G_TEMPERATURE], RELAY_FIELD_TEMPERATURE,
                       &request->temperature) &&
           read_number(reading, nodes[G_TOP_P], RELAY_FIELD_TOP_P, &request->top_p) &&
           read_number(reading, nodes[G_TOP_K], RELAY_FIELD_TOP_K, &request->top_k) &&
           read_number(reading, nodes[G_PRESENCE], RELAY_FIELD_PRESENCE_PENALTY,
                       &request->presence_penalty) &&
           read_number(reading, nodes[G_FREQUENCY], RELAY_FIELD_FREQUENCY_PENALTY,
                       &request->frequency_penalty) &&
           read_number(reading, nodes[G_TOP_LOGPROBS], RELAY_FIELD_TOP_LOGPROBS,
                       &request->top_logprobs) &&
           read_limits(reading, nodes, request);
}

static relay_effort_t level(const relay_gemini_reading_t *reading, relay_json_node_t node)
{
    uint8_t bytes[16];
    relay_buf_t word = relay_buf(bytes, sizeof(bytes));
    relay_span_t text = relay_json_content(reading->tree, node);

    for (size_t i = 0; i < text.len; i++) {
        uint8_t byte = text.base[i];
        relay_buf_put_byte(&word, byte >= 'A' && byte <= 'Z' ? byte - 'A' + 'a' : byte);
    }
    return relay_codec_effort(relay_buf_span(&word));
}

/* A budget of -1 leaves it to the model. */
static bool read_thinking(relay_gemini_reading_t *reading, relay_json_node_t config,
                          relay_json_node_t node, relay_request_t *request)
{
    enum { BUDGET, LEVEL, INCLUDE, KEYS };
    static const relay_span_t keys[KEYS] = {RELAY_SPAN_INIT("thinkingBudget"),
                                            RELAY_SPAN_INIT("thinkingLevel"),
                                            RELAY_SPAN_INIT("includeThoughts")};
    relay_reasoning_t *reasoning = &request->reasoning;
    relay_json_node_t nodes[KEYS];
    relay_json_value_t budget;

    relay_gemini_pick(reading->tree, node, keys, KEYS, nodes);
    reasoning->value = relay_gemini_given(reading->tree, node);
    reasoning->effort = level(reading, nodes[LEVEL]);
    if (relay_json_type(reading->tree, nodes[INCLUDE]) == RELAY_JSON_TRUE) {
        reasoning->summary = RELAY_SPAN("auto");
    }
    if (!extras_of(reading, config, node, keys, KEYS, request)) {
        return false;
    }
    budget = relay_gemini_given(reading->tree, nodes[BUDGET]);
    if (budget.type == RELAY_JSON_ABSENT) {
        return true;
    }
    if (relay_span_eq(budget.text, RELAY_SPAN("-1"))) {
        reasoning->mode = RELAY_THINKING_ADAPTIVE;
        return true;
    }
    if (!relay_json_uint(budget, &reasoning->budget_tokens)) {
        return relay_codec_refuse_field(reading->translation, RELAY_FIELD_THINKING,
                                        RELAY_SPAN("thinkingBudget must be a whole number"));
    }
    reasoning->mode =
        reasoning->budget_tokens == 0 ? RELAY_THINKING_DISABLED : RELAY_THINKING_BUDGET;
    return true;
}

/* A schema says nothing without the type that it is for. */
static void drop_schema(relay_gemini_reading_t *reading, relay_json_node_t config,
                        const relay_json_node_t *nodes)
{
    for (unsigned key = G_SCHEMA; key <= G_JSON_SCHEMA_OLD; key++) {
        if (relay_gemini_given(reading->tree, nodes[key]).type != RELAY_JSON_ABSENT) {
            relay_codec_drop_name(reading->translation, path_of(reading, config, nodes[key]));
        }
    }
}

static bool read_format(relay_gemini_reading_t *reading, relay_json_node_t config,
                        const relay_json_node_t *nodes, relay_format_t *format)
{
    relay_json_node_t type = nodes[G_MIME_TYPE];
    relay_json_node_t json = nodes[G_JSON_SCHEMA] != RELAY_JSON_NOWHERE ? nodes[G_JSON_SCHEMA]
                                                                        : nodes[G_JSON_SCHEMA_OLD];

    if (relay_json_content(reading->tree, type).len == 0 ||
        relay_json_reads(reading->tree, type, RELAY_SPAN("text/plain"))) {
        drop_schema(reading, config, nodes);
        return true;
    }
    if (!relay_json_reads(reading->tree, type, RELAY_SPAN("application/json"))) {
        return relay_codec_refuse_field(
            reading->translation, RELAY_FIELD_FORMAT,
            RELAY_SPAN("only text/plain and application/json are supported by the provider of "
                       "this model"));
    }
    format->mode = RELAY_FORMAT_JSON;
    if (relay_json_type(reading->tree, json) == RELAY_JSON_OBJECT) {
        format->mode = RELAY_FORMAT_SCHEMA;
        format->schema = relay_json_value(reading->tree, json);
    } else if (relay_json_type(reading->tree, nodes[G_SCHEMA]) == RELAY_JSON_OBJECT) {
        format->mode = RELAY_FORMAT_SCHEMA;
        return relay_gemini_read_schema(reading, nodes[G_SCHEMA], &format->schema);
    }
    return true;
}

/* Text goes without saying. */
static bool read_modalities(relay_gemini_reading_t *reading, relay_json_node_t config,
                            relay_json_node_t list)
{
    relay_place_t place = {NULL, relay_span(NULL, 0), RELAY_PLACE_NO_INDEX};
    relay_json_node_t each;

    for (each = relay_gemini_first(reading->tree, list); each != RELAY_JSON_NOWHERE;
         each = relay_gemini_next(reading->tree, list, each)) {
        relay_span_t word = relay_json_content(reading->tree, each);
        if (!relay_span_case_eq(word, RELAY_SPAN("text"))) {
            place.name = path_of(reading, config, list);
            return relay_codec_refuse(
                reading->translation, &place,
                RELAY_SPAN("only text is supported by the provider of this model"));
        }
    }
    return true;
}

/* Notes and errors call every field as this request spells it. */
static bool say_config(relay_gemini_reading_t *reading, relay_json_node_t config,
                       const relay_json_node_t *nodes)
{
    static const struct {
        unsigned key;
        relay_field_t field;
    } words[] = {
        {G_TEMPERATURE, RELAY_FIELD_TEMPERATURE},
        {G_TOP_P, RELAY_FIELD_TOP_P},
        {G_TOP_K, RELAY_FIELD_TOP_K},
        {G_COUNT, RELAY_FIELD_COUNT_OF_CHOICES},
        {G_MAX_TOKENS, RELAY_FIELD_MAX_TOKENS},
        {G_STOP, RELAY_FIELD_STOP},
        {G_SEED, RELAY_FIELD_SEED},
        {G_PRESENCE, RELAY_FIELD_PRESENCE_PENALTY},
        {G_FREQUENCY, RELAY_FIELD_FREQUENCY_PENALTY},
        {G_MIME_TYPE, RELAY_FIELD_FORMAT},
        {G_LOGPROBS, RELAY_FIELD_LOGPROBS},
        {G_TOP_LOGPROBS, RELAY_FIELD_TOP_LOGPROBS},
        {G_THINKING, RELAY_FIELD_THINKING},
        {G_THINKING, RELAY_FIELD_EFFORT},
    };

    for (size_t i = 0; i < COUNT(words); i++) {
        relay_json_node_t node = nodes[words[i].key];
        if (node != RELAY_JSON_NOWHERE && !relay_codec_say(reading->translation, words[i].field,
                                                           path_of(reading, config, node))) {
            return false;
        }
    }
    return true;
}

static bool read_config(relay_gemini_reading_t *reading, relay_json_node_t config,
                        relay_request_t *request)
{
    relay_json_node_t nodes[CONFIG_KEYS];

    if (relay_json_type(reading->tree, config) != RELAY_JSON_OBJECT) {
        return true;
    }
    relay_gemini_pick(reading->tree, config, config_keys, CONFIG_KEYS, nodes);
    return say_config(reading, config, nodes) && read_sampling(reading, nodes, request) &&
           read_thinking(reading, config, nodes[G_THINKING], request) &&
           read_format(reading, config, nodes, &request->format) &&
           read_modalities(reading, config, nodes[G_MODALITIES]) &&
           relay_gemini_extras(reading, config, config_keys, CONFIG_KEYS, config_essentials,
                               COUNT(config_essentials), relay_gemini_spelt(reading->tree, config),
                               &request->extras);
}

/* ---- the body ------------------------------------------------------------ */

enum {
    R_CONTENTS,
    R_COMPOUND, /* those behind it are written back whole to their own format */
    R_SYSTEM = R_COMPOUND,
    R_TOOLS,
    R_TOOL_CONFIG,
    R_CONFIG,
    R_LABELS,
    R_SERVICE_TIER,
    R_MODEL,
    REQUEST_KEYS
};

static const relay_span_t request_keys[REQUEST_KEYS] = {
    RELAY_SPAN_INIT("contents"),
    RELAY_SPAN_INIT("systemInstruction"),
    RELAY_SPAN_INIT("tools"),
    RELAY_SPAN_INIT("toolConfig"),
    RELAY_SPAN_INIT("generationConfig"),
    RELAY_SPAN_INIT("labels"),
    RELAY_SPAN_INIT("serviceTier"),
    RELAY_SPAN_INIT("model"),
};

/* Without it the answer would be to another prompt. */
static const relay_span_t essentials[] = {RELAY_SPAN_INIT("cachedContent")};

/* Some clients repeat the model of the path: "models/…". */
static relay_span_t read_model(const relay_json_tree_t *tree, relay_json_node_t node)
{
    relay_span_t model = relay_json_content(tree, node), prefix = RELAY_SPAN("models/");

    return relay_span_starts(model, prefix) ? relay_span_from(model, prefix.len) : model;
}

static relay_span_t read_tier(const relay_json_tree_t *tree, relay_json_node_t node)
{
    if (relay_json_reads(tree, node, RELAY_SPAN("unspecified"))) {
        return relay_span(NULL, 0);
    }
    return relay_json_reads(tree, node, RELAY_SPAN("standard")) ? RELAY_SPAN("default")
                                                                : relay_json_content(tree, node);
}

static bool say_words(relay_gemini_reading_t *reading, const relay_json_node_t *nodes)
{
    static const struct {
        unsigned key;
        relay_field_t field;
    } words[] = {
        {R_SYSTEM, RELAY_FIELD_SYSTEM},
        {R_TOOL_CONFIG, RELAY_FIELD_TOOL_CHOICE},
        {R_SERVICE_TIER, RELAY_FIELD_SERVICE_TIER},
    };

    for (size_t i = 0; i < COUNT(words); i++) {
        relay_json_node_t node = nodes[words[i].key];
        if (node != RELAY_JSON_NOWHERE &&
            !relay_codec_say(reading->translation, words[i].field,
                             relay_gemini_spelt(reading->tree, node))) {
            return false;
        }
    }
    return true;
}

relay_error_code_t relay_gemini_read_request(relay_translation_t *translation,
                                             const relay_json_tree_t *tree,
                                             relay_request_t *request)
{
    relay_gemini_reading_t reading = {.translation = translation, .tree = tree};
    relay_message_t **tail = &request->messages;
    relay_json_node_t nodes[REQUEST_KEYS];

    reading.own = relay_codec_own(translation->caller, translation->upstream);
    request->origin = &relay_codec_gemini;
    request->usage_wanted = true;
    relay_gemini_pick(tree, 0, request_keys, REQUEST_KEYS, nodes);
    request->model =
        translation->model.len != 0 ? translation->model : read_model(tree, nodes[R_MODEL]);
    request->service_tier = read_tier(tree, nodes[R_SERVICE_TIER]);
    request->metadata = relay_gemini_given(tree, nodes[R_LABELS]);
    if (!relay_gemini_extras(&reading, 0, request_keys, reading.own ? R_COMPOUND : REQUEST_KEYS,
                             essentials, COUNT(essentials), relay_span(NULL, 0),
                             &request->extras) ||
        (!reading.own && !read_system(&reading, nodes[R_SYSTEM], request, &tail)) ||
        !read_contents(&reading, nodes[R_CONTENTS], &tail) || reading.own) {
        return translation->error.code;
    }
    if (say_words(&reading, nodes) && read_tools(&reading, nodes[R_TOOLS], request) &&
        read_tool_config(&reading, nodes[R_TOOL_CONFIG], request)) {
        read_config(&reading, nodes[R_CONFIG], request);
    }
    return translation->error.code;
}
