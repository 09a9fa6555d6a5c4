/*
 * Input items of Responses requests into the canonical protocol. Called by
 * wire_openai_responses_codec_request.c.
 *
 * Items of the assistant that follow each other become one message: text,
 * reasoning and calls are items here and blocks of a turn elsewhere.
 */

#include "wire_openai_responses_codec.h"
#include "wire_support.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

/* ---- parts of content ---------------------------------------------------- */

enum {
    P_TYPE,
    P_TEXT,
    P_REFUSAL,
    P_IMAGE_URL,
    P_FILE_ID,
    P_FILE_URL,
    P_FILE_DATA,
    P_FILENAME,
    P_DETAIL,
    P_AUDIO,
    P_BREAKPOINT,
    P_ANNOTATIONS,
    P_LOGPROBS,
    PART_KEYS
};

static const relay_span_t part_keys[PART_KEYS] = {
    RELAY_SPAN_INIT("type"),
    RELAY_SPAN_INIT("text"),
    RELAY_SPAN_INIT("refusal"),
    RELAY_SPAN_INIT("image_url"),
    RELAY_SPAN_INIT("file_id"),
    RELAY_SPAN_INIT("file_url"),
    RELAY_SPAN_INIT("file_data"),
    RELAY_SPAN_INIT("filename"),
    RELAY_SPAN_INIT("detail"),
    RELAY_SPAN_INIT("input_audio"),
    RELAY_SPAN_INIT("prompt_cache_breakpoint"),
    RELAY_SPAN_INIT("annotations"),
    RELAY_SPAN_INIT("logprobs"),
};

/* True if the part names a file at the provider instead of holding it. */
static bool read_file_id(relay_responses_reading_t *reading, const relay_json_node_t *nodes,
                         relay_media_t *media)
{
    relay_span_t id = relay_json_content(reading->tree, nodes[P_FILE_ID]);

    if (id.len != 0) {
        media->source = RELAY_SOURCE_FILE;
        media->data = id;
    }
    return id.len != 0;
}

static bool read_image(relay_responses_reading_t *reading, const relay_json_node_t *nodes,
                       const relay_place_t *outer, relay_block_t *block)
{
    relay_place_t place = {outer, RELAY_SPAN("image_url"), RELAY_PLACE_NO_INDEX};
    relay_span_t url;

    block->media.detail = relay_json_content(reading->tree, nodes[P_DETAIL]);
    if (read_file_id(reading, nodes, &block->media)) {
        return true;
    }
    if (!relay_openai_required(reading->translation, reading->tree, nodes[P_IMAGE_URL], &place,
                               &url)) {
        return false;
    }
    relay_openai_read_url(reading->translation, url, &block->media);
    return relay_codec_is_image(&block->media) ||
           relay_codec_refuse(reading->translation, &place,
                              RELAY_SPAN("this is not the URL of an image, nor an image of the "
                                         "stated type"));
}

static bool read_file(relay_responses_reading_t *reading, const relay_json_node_t *nodes,
                      const relay_place_t *outer, relay_block_t *block)
{
    relay_place_t place = {outer, RELAY_SPAN("file_data"), RELAY_PLACE_NO_INDEX};
    relay_span_t url = relay_json_content(reading->tree, nodes[P_FILE_URL]);

    block->media.name = relay_json_content(reading->tree, nodes[P_FILENAME]);
    if (read_file_id(reading, nodes, &block->media)) {
        return true;
    }
    if (url.len == 0 && !relay_openai_required(reading->translation, reading->tree,
                                               nodes[P_FILE_DATA], &place, &url)) {
        return false;
    }
    relay_openai_read_url(reading->translation, url, &block->media);
    if (block->media.source == RELAY_SOURCE_BASE64 &&
        relay_span_starts(block->media.media_type, RELAY_SPAN("image/"))) {
        block->kind = RELAY_BLOCK_IMAGE;
    }
    return true;
}

static bool read_annotations(relay_responses_reading_t *reading, relay_json_node_t list,
                             relay_block_t *text)
{
    relay_citation_t **tail = &text->citations, citation;
    relay_json_node_t each;

    for (each = relay_json_first(reading->tree, list); each != RELAY_JSON_NOWHERE;
         each = relay_json_next(reading->tree, list, each)) {
        if (!relay_responses_read_annotation(relay_json_value(reading->tree, each), &citation)) {
            continue;
        }
        *tail = relay_codec_new(reading->translation, sizeof(**tail));
        if (*tail == NULL) {
            return false;
        }
        **tail = citation;
        tail = &(*tail)->next;
    }
    return true;
}

static const struct {
    relay_span_t type;
    relay_block_kind_t kind;
} part_kinds[] = {
    {RELAY_SPAN_INIT("input_text"), RELAY_BLOCK_TEXT},
    {RELAY_SPAN_INIT("output_text"), RELAY_BLOCK_TEXT},
    {RELAY_SPAN_INIT("input_image"), RELAY_BLOCK_IMAGE},
    {RELAY_SPAN_INIT("input_file"), RELAY_BLOCK_DOCUMENT},
    {RELAY_SPAN_INIT("input_audio"), RELAY_BLOCK_AUDIO},
    {RELAY_SPAN_INIT("refusal"), RELAY_BLOCK_REFUSAL},
    {RELAY_SPAN_INIT("text"), RELAY_BLOCK_TEXT}, /* of clients that share their histories */
};

static relay_block_kind_t part_kind(const relay_responses_reading_t *reading,
                                    relay_json_node_t type)
{
    for (size_t i = 0; i < COUNT(part_kinds); i++) {
        if (relay_json_reads(reading->tree, type, part_kinds[i].type)) {
            return part_kinds[i].kind;
        }
    }
    return RELAY_BLOCK_OPAQUE;
}

static bool read_part_body(relay_responses_reading_t *reading, const relay_json_node_t *nodes,
                           const relay_place_t *place, relay_block_t *block)
{
    relay_place_t text = {place, RELAY_SPAN("text"), RELAY_PLACE_NO_INDEX};
    relay_place_t refusal = {place, RELAY_SPAN("refusal"), RELAY_PLACE_NO_INDEX};

    switch (block->kind) {
    case RELAY_BLOCK_TEXT:
        return relay_openai_required(reading->translation, reading->tree, nodes[P_TEXT], &text,
                                     &block->text) &&
               read_annotations(reading, nodes[P_ANNOTATIONS], block);
    case RELAY_BLOCK_REFUSAL:
        return relay_openai_required(reading->translation, reading->tree, nodes[P_REFUSAL],
                                     &refusal, &block->text);
    case RELAY_BLOCK_IMAGE:
        return read_image(reading, nodes, place, block);
    case RELAY_BLOCK_AUDIO:
        return relay_openai_read_audio(reading->translation, reading->tree, nodes[P_AUDIO], place,
                                       block);
    case RELAY_BLOCK_DOCUMENT:
        return read_file(reading, nodes, place, block);
    default:
        block->type = relay_json_content(reading->tree, nodes[P_TYPE]);
        block->essential = true;
        return true;
    }
}

static bool read_part(void *owner, relay_json_node_t node, const relay_place_t *place,
                      relay_block_t ***tail)
{
    relay_responses_reading_t *reading = owner;
    relay_place_t type = {place, RELAY_SPAN("type"), RELAY_PLACE_NO_INDEX};
    relay_json_node_t nodes[PART_KEYS];
    relay_block_t *block;

    if (relay_json_type(reading->tree, node) != RELAY_JSON_OBJECT) {
        return relay_codec_refuse(reading->translation, place,
                                  RELAY_SPAN("a content part must be an object"));
    }
    relay_json_pick(reading->tree, node, part_keys, PART_KEYS, nodes);
    if (relay_json_type(reading->tree, nodes[P_TYPE]) != RELAY_JSON_STRING) {
        return relay_codec_missing(reading->translation, &type);
    }
    block = relay_codec_block(reading->translation, tail, part_kind(reading, nodes[P_TYPE]));
    if (block == NULL) {
        return false;
    }
    block->place = relay_codec_keep(reading->translation, place);
    block->mark = relay_json_value(reading->tree, nodes[P_BREAKPOINT]);
    if (block->mark.type != RELAY_JSON_ABSENT) {
        block->mark_place =
            relay_codec_member(reading->translation, block->place, part_keys[P_BREAKPOINT]);
    }
    return reading->translation->error.code == RELAY_ERR_NONE &&
           read_part_body(reading, nodes, place, block) &&
           relay_codec_extras(reading->translation, reading->tree, node, part_keys, PART_KEYS, NULL,
                              0, &block->extras);
}

bool relay_responses_read_content(relay_responses_reading_t *reading, relay_json_node_t content,
                                  const relay_place_t *at, relay_block_t ***tail)
{
    return relay_openai_read_content(reading->translation, reading->tree, content, at, read_part,
                                     reading, tail);
}

/* ---- items --------------------------------------------------------------- */

enum {
    I_TYPE,
    I_ID,
    I_STATUS,
    I_ROLE,
    I_CONTENT,
    I_CALL_ID,
    I_NAME,
    I_NAMESPACE,
    I_ARGUMENTS,
    I_INPUT,
    I_OUTPUT,
    I_TOOLS,
    I_EXECUTION,
    I_SUMMARY,
    I_SEALED,
    ITEM_KEYS
};

static const relay_span_t item_keys[ITEM_KEYS] = {
    RELAY_SPAN_INIT("type"),
    RELAY_SPAN_INIT("id"),
    RELAY_SPAN_INIT("status"),
    RELAY_SPAN_INIT("role"),
    RELAY_SPAN_INIT("content"),
    RELAY_SPAN_INIT("call_id"),
    RELAY_SPAN_INIT("name"),
    RELAY_SPAN_INIT("namespace"),
    RELAY_SPAN_INIT("arguments"),
    RELAY_SPAN_INIT("input"),
    RELAY_SPAN_INIT("output"),
    RELAY_SPAN_INIT("tools"),
    RELAY_SPAN_INIT("execution"),
    RELAY_SPAN_INIT("summary"),
    RELAY_SPAN_INIT("encrypted_content"),
};

/* The list of messages as far as it is read. */
typedef struct {
    relay_responses_reading_t *reading;
    relay_message_t **tail;
    relay_message_t *turn;  /* the assistant's, if it is the last one */
    relay_block_t **blocks; /* where its next block goes */
} list_t;

/* One item in hand. */
typedef struct {
    relay_json_node_t node;
    relay_json_node_t nodes[ITEM_KEYS];
    const relay_place_t *place;
} item_t;

static relay_message_t *add_message(list_t *list, const item_t *item, relay_role_t role)
{
    relay_message_t *message = relay_codec_message(list->reading->translation, &list->tail, role);

    if (message != NULL) {
        message->place = item->place;
        list->turn = role == RELAY_ROLE_ASSISTANT ? message : NULL;
        list->blocks = &message->blocks;
    }
    return message;
}

/* Where a block of the assistant's goes: into the turn before it if there is one. */
static relay_message_t *turn(list_t *list, const item_t *item)
{
    return list->turn != NULL ? list->turn : add_message(list, item, RELAY_ROLE_ASSISTANT);
}

static bool read_extras(list_t *list, const item_t *item, relay_member_t **extras)
{
    while (*extras != NULL) {
        extras = &(*extras)->next;
    }
    return relay_codec_extras(list->reading->translation, list->reading->tree, item->node,
                              item_keys, ITEM_KEYS, NULL, 0, extras);
}

static bool read_role(list_t *list, const item_t *item, relay_role_t *role)
{
    static const struct {
        relay_span_t word;
        relay_role_t role;
    } roles[] = {
        {RELAY_SPAN_INIT("user"), RELAY_ROLE_USER},
        {RELAY_SPAN_INIT("assistant"), RELAY_ROLE_ASSISTANT},
        {RELAY_SPAN_INIT("developer"), RELAY_ROLE_DEVELOPER},
        {RELAY_SPAN_INIT("system"), RELAY_ROLE_SYSTEM},
    };
    relay_place_t place = {item->place, RELAY_SPAN("role"), RELAY_PLACE_NO_INDEX};
    relay_translation_t *translation = list->reading->translation;

    for (size_t i = 0; i < COUNT(roles); i++) {
        if (relay_json_reads(list->reading->tree, item->nodes[I_ROLE], roles[i].word)) {
            *role = roles[i].role;
            return true;
        }
    }
    return item->nodes[I_ROLE] == RELAY_JSON_NOWHERE
               ? relay_codec_missing(translation, &place)
               : relay_codec_refuse(translation, &place,
                                    RELAY_SPAN("supported roles are 'user', 'assistant', "
                                               "'developer' and 'system'"));
}

static bool read_message(list_t *list, const item_t *item)
{
    relay_place_t place = {item->place, RELAY_SPAN("content"), RELAY_PLACE_NO_INDEX};
    relay_role_t role = RELAY_ROLE_USER;
    relay_message_t *message;

    if (!read_role(list, item, &role)) {
        return false;
    }
    message = role == RELAY_ROLE_ASSISTANT ? turn(list, item) : add_message(list, item, role);
    return message != NULL &&
           relay_responses_read_content(list->reading, item->nodes[I_CONTENT], &place,
                                        &list->blocks) &&
           read_extras(list, item, &message->extras);
}

/* What only its provider can read goes before what anybody can. */
static bool say_where(list_t *list, const item_t *item, relay_block_t *block)
{
    const relay_json_tree_t *tree = list->reading->tree;
    unsigned key = relay_json_content(tree, item->nodes[I_SEALED]).len != 0 ? I_SEALED
                   : relay_json_first(tree, item->nodes[I_CONTENT]) != RELAY_JSON_NOWHERE
                       ? I_CONTENT
                       : I_SUMMARY;

    block->place = item->place;
    block->thought_place =
        relay_codec_member(list->reading->translation, item->place, item_keys[key]);
    return block->thought_place != NULL;
}

static bool read_reasoning(list_t *list, const item_t *item)
{
    relay_block_t **first = turn(list, item) != NULL ? list->blocks : NULL;

    return first != NULL &&
           relay_responses_read_reasoning(list->reading->translation, list->reading->tree,
                                          item->node, &list->blocks) &&
           (*first == NULL || say_where(list, item, *first));
}

static relay_block_t *add_call(list_t *list, const item_t *item)
{
    relay_place_t id = {item->place, RELAY_SPAN("call_id"), RELAY_PLACE_NO_INDEX};
    relay_message_t *message = turn(list, item);
    relay_block_t *block;

    if (message == NULL || !read_extras(list, item, &message->extras)) {
        return NULL;
    }
    block = relay_codec_block(list->reading->translation, &list->blocks, RELAY_BLOCK_TOOL_CALL);
    if (block == NULL || !relay_openai_required(list->reading->translation, list->reading->tree,
                                                item->nodes[I_CALL_ID], &id, &block->call.id)) {
        return NULL;
    }
    block->place = item->place;
    return block;
}

/* Some clients send the arguments as an object. */
static relay_arguments_t read_arguments(list_t *list, relay_json_node_t node)
{
    const relay_json_tree_t *tree = list->reading->tree;
    relay_arguments_t arguments = {.text = relay_json_content(tree, node), .quoted = true};

    if (relay_json_type(tree, node) == RELAY_JSON_OBJECT) {
        arguments.text = relay_json_value(tree, node).text;
        arguments.quoted = false;
    }
    return arguments;
}

static bool read_function_call(list_t *list, const item_t *item)
{
    relay_place_t name = {item->place, RELAY_SPAN("name"), RELAY_PLACE_NO_INDEX};
    relay_block_t *block = add_call(list, item);

    if (block == NULL) {
        return false;
    }
    block->call.scope = relay_json_content(list->reading->tree, item->nodes[I_NAMESPACE]);
    block->call.arguments = read_arguments(list, item->nodes[I_ARGUMENTS]);
    return relay_openai_required(list->reading->translation, list->reading->tree,
                                 item->nodes[I_NAME], &name, &block->call.name);
}

static bool read_custom_call(list_t *list, const item_t *item)
{
    relay_place_t name = {item->place, RELAY_SPAN("name"), RELAY_PLACE_NO_INDEX};
    relay_place_t input = {item->place, RELAY_SPAN("input"), RELAY_PLACE_NO_INDEX};
    relay_block_t *block = add_call(list, item);

    if (block == NULL) {
        return false;
    }
    block->call.free_text = true;
    block->call.arguments.quoted = true;
    block->call.scope = relay_json_content(list->reading->tree, item->nodes[I_NAMESPACE]);
    return relay_openai_required(list->reading->translation, list->reading->tree,
                                 item->nodes[I_NAME], &name, &block->call.name) &&
           relay_openai_required(list->reading->translation, list->reading->tree,
                                 item->nodes[I_INPUT], &input, &block->call.arguments.text);
}

/* Only what the client did itself can go on at another provider. */
static bool read_search_call(list_t *list, const item_t *item)
{
    relay_block_t *block = add_call(list, item);

    if (block == NULL) {
        return false;
    }
    block->call.name = RELAY_RESPONSES_SEARCH;
    block->call.scope = RELAY_RESPONSES_SEARCH;
    block->call.arguments = read_arguments(list, item->nodes[I_ARGUMENTS]);
    return true;
}

static relay_block_t *add_result(list_t *list, const item_t *item)
{
    relay_place_t id = {item->place, RELAY_SPAN("call_id"), RELAY_PLACE_NO_INDEX};
    relay_message_t *message = add_message(list, item, RELAY_ROLE_TOOL);
    relay_block_t *block;

    if (message == NULL || !read_extras(list, item, &message->extras)) {
        return NULL;
    }
    block = relay_codec_block(list->reading->translation, &list->blocks, RELAY_BLOCK_TOOL_RESULT);
    if (block == NULL || !relay_openai_required(list->reading->translation, list->reading->tree,
                                                item->nodes[I_CALL_ID], &id, &block->call.id)) {
        return NULL;
    }
    block->place = item->place;
    return block;
}

static bool read_call_output(list_t *list, const item_t *item)
{
    relay_place_t place = {item->place, RELAY_SPAN("output"), RELAY_PLACE_NO_INDEX};
    relay_block_t *block = add_result(list, item), **tail;

    if (block == NULL) {
        return false;
    }
    tail = &block->content;
    return relay_responses_read_content(list->reading, item->nodes[I_OUTPUT], &place, &tail);
}

/* Tools that were found are known from here on; their names are the result. */
static bool read_search_output(list_t *list, const item_t *item)
{
    relay_place_t place = {item->place, RELAY_SPAN("tools"), RELAY_PLACE_NO_INDEX};
    relay_block_t *block = add_result(list, item), *text, **tail;
    relay_tool_t **found = list->reading->tools;
    relay_buf_t out = relay_buf(NULL, 0);

    if (block == NULL || !relay_responses_read_tools(list->reading, item->nodes[I_TOOLS], &place)) {
        return false;
    }
    tail = &block->content;
    text = relay_codec_block(list->reading->translation, &tail, RELAY_BLOCK_TEXT);
    for (int i = 0; text != NULL && i < 2; i++) {
        RELAY_PUT(&out, "Tools found:");
        for (const relay_tool_t *tool = *found; tool != NULL; tool = tool->next) {
            relay_buf_put(&out, tool == *found ? RELAY_SPAN(" ") : RELAY_SPAN(", "));
            relay_buf_put(&out, relay_codec_tool_name(list->reading->translation, tool->scope,
                                                      tool->name, tool->kind == RELAY_TOOL_CUSTOM,
                                                      RELAY_RESPONSES_NAME_MAX));
        }
        if (i == 0) {
            uint8_t *bytes = relay_codec_new(list->reading->translation, out.len);
            out = relay_buf(bytes, bytes != NULL ? out.len : 0);
        }
    }
    if (text != NULL) {
        text->text = relay_buf_span(&out);
    }
    return list->reading->translation->error.code == RELAY_ERR_NONE;
}

static bool read_more_tools(list_t *list, const item_t *item)
{
    relay_place_t place = {item->place, RELAY_SPAN("tools"), RELAY_PLACE_NO_INDEX};

    return relay_responses_read_tools(list->reading, item->nodes[I_TOOLS], &place);
}

/* What the provider did itself: the answer that came of it follows. */
static bool read_done_by_provider(list_t *list, const item_t *item)
{
    relay_block_t *block;

    if (turn(list, item) == NULL) {
        return false;
    }
    block = relay_codec_block(list->reading->translation, &list->blocks, RELAY_BLOCK_OPAQUE);
    if (block != NULL) {
        block->type = relay_json_content(list->reading->tree, item->nodes[I_TYPE]);
        block->place =
            relay_codec_member(list->reading->translation, item->place, item_keys[I_TYPE]);
    }
    return block != NULL && block->place != NULL;
}

static bool refuse_reference(list_t *list, const item_t *item)
{
    return relay_codec_refuse(list->reading->translation, item->place,
                              RELAY_SPAN("an item_reference needs state that the provider of this "
                                         "model does not have: send the item itself"));
}

static bool refuse_item(list_t *list, const item_t *item)
{
    relay_place_t place = {item->place, RELAY_SPAN("type"), RELAY_PLACE_NO_INDEX};

    return relay_codec_refuse(list->reading->translation, &place,
                              RELAY_SPAN("an item of this type is not supported by the provider of "
                                         "this model"));
}

static const struct {
    relay_span_t type;
    bool (*read)(list_t *list, const item_t *item);
} kinds[] = {
    {RELAY_SPAN_INIT("message"), read_message},
    {RELAY_SPAN_INIT("reasoning"), read_reasoning},
    {RELAY_SPAN_INIT("function_call"), read_function_call},
    {RELAY_SPAN_INIT("function_call_output"), read_call_output},
    {RELAY_SPAN_INIT("custom_tool_call"), read_custom_call},
    {RELAY_SPAN_INIT("custom_tool_call_output"), read_call_output},
    {RELAY_SPAN_INIT("tool_search_call"), read_search_call},
    {RELAY_SPAN_INIT("tool_search_output"), read_search_output},
    {RELAY_SPAN_INIT("additional_tools"), read_more_tools},
    {RELAY_SPAN_INIT("web_search_call"), read_done_by_provider},
    {RELAY_SPAN_INIT("file_search_call"), read_done_by_provider},
    {RELAY_SPAN_INIT("code_interpreter_call"), read_done_by_provider},
    {RELAY_SPAN_INIT("image_generation_call"), read_done_by_provider},
    {RELAY_SPAN_INIT("mcp_list_tools"), read_done_by_provider},
    {RELAY_SPAN_INIT("mcp_call"), read_done_by_provider},
    {RELAY_SPAN_INIT("item_reference"), refuse_reference},
};

static bool read_item(list_t *list, relay_json_node_t node, const relay_place_t *place)
{
    const relay_json_tree_t *tree = list->reading->tree;
    item_t item = {.node = node, .place = relay_codec_keep(list->reading->translation, place)};

    if (item.place == NULL) {
        return false;
    }
    if (relay_json_type(tree, node) != RELAY_JSON_OBJECT) {
        return relay_codec_refuse(list->reading->translation, place,
                                  RELAY_SPAN("an item must be an object"));
    }
    relay_json_pick(tree, node, item_keys, ITEM_KEYS, item.nodes);
    if (relay_json_type(tree, item.nodes[I_TYPE]) != RELAY_JSON_STRING) {
        /* messages may lack a type, references too */
        return item.nodes[I_ROLE] == RELAY_JSON_NOWHERE && item.nodes[I_ID] != RELAY_JSON_NOWHERE
                   ? refuse_reference(list, &item)
                   : read_message(list, &item);
    }
    for (size_t i = 0; i < COUNT(kinds); i++) {
        if (relay_json_reads(tree, item.nodes[I_TYPE], kinds[i].type)) {
            return kinds[i].read(list, &item);
        }
    }
    return refuse_item(list, &item);
}

static bool read_string(list_t *list, relay_json_node_t input)
{
    relay_message_t *message =
        relay_codec_message(list->reading->translation, &list->tail, RELAY_ROLE_USER);
    relay_block_t **tail = message != NULL ? &message->blocks : NULL;
    relay_place_t place = {NULL, RELAY_SPAN("input"), RELAY_PLACE_NO_INDEX};

    return message != NULL && relay_responses_read_content(list->reading, input, &place, &tail);
}

bool relay_responses_read_input(relay_responses_reading_t *reading, relay_json_node_t input)
{
    relay_place_t place = {NULL, RELAY_SPAN("input"), RELAY_PLACE_NO_INDEX};
    list_t list = {.reading = reading, .tail = &reading->request->messages};
    relay_json_node_t node;

    while (*list.tail != NULL) {
        list.tail = &(*list.tail)->next;
    }
    switch (relay_json_type(reading->tree, input)) {
    case RELAY_JSON_STRING:
        return read_string(&list, input);
    case RELAY_JSON_ARRAY:
        break;
    case RELAY_JSON_ABSENT:
    case RELAY_JSON_NULL:
        return relay_codec_missing(reading->translation, &place);
    default:
        return relay_codec_refuse(reading->translation, &place,
                                  RELAY_SPAN("this field must be a string or a list of items"));
    }
    for (node = relay_json_first(reading->tree, input); node != RELAY_JSON_NOWHERE;
         node = relay_json_next(reading->tree, input, node)) {
        place.index++;
        if (!read_item(&list, node, &place)) {
            return false;
        }
    }
    return true;
}
