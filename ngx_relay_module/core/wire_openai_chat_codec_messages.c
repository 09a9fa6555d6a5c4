/*
 * Messages of Chat Completions requests into the canonical protocol. Called by
 * wire_openai_chat_codec_request.c.
 */

#include "wire_openai_chat_codec.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

/* ---- parts of content ---------------------------------------------------- */

enum {
    P_TYPE,
    P_TEXT,
    P_REFUSAL,
    P_IMAGE,
    P_AUDIO,
    P_FILE,
    P_VIDEO,
    P_CACHE,
    P_BREAKPOINT,
    PART_KEYS
};

static const relay_span_t part_keys[PART_KEYS] = {
    RELAY_SPAN_INIT("type"),
    RELAY_SPAN_INIT("text"),
    RELAY_SPAN_INIT("refusal"),
    RELAY_SPAN_INIT("image_url"),
    RELAY_SPAN_INIT("input_audio"),
    RELAY_SPAN_INIT("file"),
    RELAY_SPAN_INIT("video_url"),
    RELAY_SPAN_INIT("cache_control"),
    RELAY_SPAN_INIT("prompt_cache_breakpoint"),
};

/* {"url":…,"detail":…}; a bare string is taken for the URL, as many servers do. */
static bool read_image(relay_chat_reading_t *reading, relay_json_node_t node,
                       const relay_place_t *place, relay_block_t *block)
{
    static const relay_span_t keys[] = {RELAY_SPAN_INIT("url"), RELAY_SPAN_INIT("detail")};
    relay_place_t inner = {place,
                           block->kind == RELAY_BLOCK_VIDEO ? RELAY_SPAN("video_url.url")
                                                            : RELAY_SPAN("image_url.url"),
                           RELAY_PLACE_NO_INDEX};
    relay_json_node_t nodes[2];
    relay_span_t url;

    relay_json_pick(reading->tree, node, keys, 2, nodes);
    if (relay_json_type(reading->tree, node) == RELAY_JSON_STRING) {
        nodes[0] = node;
    }
    if (!relay_openai_required(reading->translation, reading->tree, nodes[0], &inner, &url)) {
        return false;
    }
    relay_openai_read_url(reading->translation, url, &block->media);
    block->media.detail = relay_json_content(reading->tree, nodes[1]);
    return block->kind != RELAY_BLOCK_IMAGE || relay_codec_is_image(&block->media) ||
           relay_codec_refuse(reading->translation, &inner,
                              RELAY_SPAN("this is not the URL of an image, nor an image of the "
                                         "stated type"));
}

static bool read_file(relay_chat_reading_t *reading, relay_json_node_t node,
                      const relay_place_t *place, relay_block_t *block)
{
    enum { ID, NAME, DATA, KEYS };
    static const relay_span_t keys[KEYS] = {RELAY_SPAN_INIT("file_id"), RELAY_SPAN_INIT("filename"),
                                            RELAY_SPAN_INIT("file_data")};
    relay_place_t inner = {place, RELAY_SPAN("file.file_data"), RELAY_PLACE_NO_INDEX};
    relay_json_node_t nodes[KEYS];
    relay_span_t data;

    relay_json_pick(reading->tree, node, keys, KEYS, nodes);
    block->media.name = relay_json_content(reading->tree, nodes[NAME]);
    if (relay_json_content(reading->tree, nodes[ID]).len != 0) {
        block->media.source = RELAY_SOURCE_FILE;
        block->media.data = relay_json_content(reading->tree, nodes[ID]);
        return true;
    }
    if (!relay_openai_required(reading->translation, reading->tree, nodes[DATA], &inner, &data)) {
        return false;
    }
    relay_openai_read_url(reading->translation, data, &block->media);
    if (block->media.source == RELAY_SOURCE_BASE64 &&
        relay_span_starts(block->media.media_type, RELAY_SPAN("image/"))) {
        block->kind = RELAY_BLOCK_IMAGE;
    }
    return true;
}

static const struct {
    relay_span_t type;
    relay_block_kind_t kind;
} part_kinds[] = {
    {RELAY_SPAN_INIT("text"), RELAY_BLOCK_TEXT},
    {RELAY_SPAN_INIT("image_url"), RELAY_BLOCK_IMAGE},
    {RELAY_SPAN_INIT("file"), RELAY_BLOCK_DOCUMENT},
    {RELAY_SPAN_INIT("input_audio"), RELAY_BLOCK_AUDIO},
    {RELAY_SPAN_INIT("video_url"), RELAY_BLOCK_VIDEO},
    {RELAY_SPAN_INIT("refusal"), RELAY_BLOCK_REFUSAL},
    /* of other formats, sent by clients that share their histories */
    {RELAY_SPAN_INIT("input_text"), RELAY_BLOCK_TEXT},
    {RELAY_SPAN_INIT("output_text"), RELAY_BLOCK_TEXT},
};

static relay_block_kind_t part_kind(const relay_chat_reading_t *reading, relay_json_node_t type)
{
    for (size_t i = 0; i < COUNT(part_kinds); i++) {
        if (relay_json_reads(reading->tree, type, part_kinds[i].type)) {
            return part_kinds[i].kind;
        }
    }
    return RELAY_BLOCK_OPAQUE;
}

static bool read_part_body(relay_chat_reading_t *reading, const relay_json_node_t *nodes,
                           const relay_place_t *place, relay_block_t *block)
{
    relay_place_t text = {place, RELAY_SPAN("text"), RELAY_PLACE_NO_INDEX};
    relay_place_t refusal = {place, RELAY_SPAN("refusal"), RELAY_PLACE_NO_INDEX};

    switch (block->kind) {
    case RELAY_BLOCK_TEXT:
        return relay_openai_required(reading->translation, reading->tree, nodes[P_TEXT], &text,
                                     &block->text);
    case RELAY_BLOCK_REFUSAL:
        return relay_openai_required(reading->translation, reading->tree, nodes[P_REFUSAL],
                                     &refusal, &block->text);
    case RELAY_BLOCK_IMAGE:
        return read_image(reading, nodes[P_IMAGE], place, block);
    case RELAY_BLOCK_VIDEO:
        return read_image(reading, nodes[P_VIDEO], place, block);
    case RELAY_BLOCK_AUDIO:
        return relay_openai_read_audio(reading->translation, reading->tree, nodes[P_AUDIO], place,
                                       block);
    case RELAY_BLOCK_DOCUMENT:
        return read_file(reading, nodes[P_FILE], place, block);
    default:
        block->type = relay_json_content(reading->tree, nodes[P_TYPE]);
        block->essential = true;
        return true;
    }
}

static bool read_mark(relay_chat_reading_t *reading, const relay_json_node_t *nodes,
                      relay_block_t *block)
{
    unsigned key = nodes[P_CACHE] != RELAY_JSON_NOWHERE ? P_CACHE : P_BREAKPOINT;

    block->mark = relay_json_value(reading->tree, nodes[key]);
    if (block->mark.type == RELAY_JSON_ABSENT) {
        return true;
    }
    block->mark_place = relay_codec_member(reading->translation, block->place, part_keys[key]);
    return block->mark_place != NULL;
}

static bool read_part(void *owner, relay_json_node_t node, const relay_place_t *place,
                      relay_block_t ***tail)
{
    relay_chat_reading_t *reading = owner;
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
    block->raw = relay_json_value(reading->tree, node).text;
    return block->place != NULL && read_mark(reading, nodes, block) &&
           read_part_body(reading, nodes, place, block) &&
           relay_codec_extras(reading->translation, reading->tree, node, part_keys, PART_KEYS, NULL,
                              0, &block->extras);
}

static bool read_content(relay_chat_reading_t *reading, relay_json_node_t content,
                         const relay_place_t *outer, relay_block_t ***tail)
{
    relay_place_t place = {outer, RELAY_SPAN("content"), RELAY_PLACE_NO_INDEX};

    return relay_openai_read_content(reading->translation, reading->tree, content, &place,
                                     read_part, reading, tail);
}

/* ---- messages ------------------------------------------------------------ */

enum {
    M_ROLE,
    M_CONTENT,
    M_NAME,
    M_REFUSAL,
    M_TOOL_CALLS,
    M_TOOL_CALL_ID,
    M_FUNCTION_CALL,
    M_REASONING_KEYS, /* those behind it are read as reasoning */
    M_REASONING_CONTENT = M_REASONING_KEYS,
    M_REASONING,
    M_REASONING_DETAILS,
    MESSAGE_KEYS
};

static const relay_span_t message_keys[MESSAGE_KEYS] = {
    RELAY_SPAN_INIT("role"),          RELAY_SPAN_INIT("content"),
    RELAY_SPAN_INIT("name"),          RELAY_SPAN_INIT("refusal"),
    RELAY_SPAN_INIT("tool_calls"),    RELAY_SPAN_INIT("tool_call_id"),
    RELAY_SPAN_INIT("function_call"), RELAY_SPAN_INIT("reasoning_content"),
    RELAY_SPAN_INIT("reasoning"),     RELAY_SPAN_INIT("reasoning_details"),
};

static bool read_role(relay_chat_reading_t *reading, relay_json_node_t node,
                      const relay_place_t *outer, relay_role_t *role)
{
    static const struct {
        relay_span_t word;
        relay_role_t role;
    } roles[] = {
        {RELAY_SPAN_INIT("user"), RELAY_ROLE_USER},
        {RELAY_SPAN_INIT("assistant"), RELAY_ROLE_ASSISTANT},
        {RELAY_SPAN_INIT("tool"), RELAY_ROLE_TOOL},
        {RELAY_SPAN_INIT("system"), RELAY_ROLE_SYSTEM},
        {RELAY_SPAN_INIT("developer"), RELAY_ROLE_DEVELOPER},
        {RELAY_SPAN_INIT("function"), RELAY_ROLE_TOOL},
    };
    relay_place_t place = {outer, RELAY_SPAN("role"), RELAY_PLACE_NO_INDEX};

    for (size_t i = 0; i < COUNT(roles); i++) {
        if (relay_json_reads(reading->tree, node, roles[i].word)) {
            *role = roles[i].role;
            return true;
        }
    }
    return node == RELAY_JSON_NOWHERE
               ? relay_codec_missing(reading->translation, &place)
               : relay_codec_refuse(reading->translation, &place,
                                    RELAY_SPAN("supported roles are 'system', 'developer', "
                                               "'user', 'assistant', 'tool' and 'function'"));
}

/* The deprecated form has no id: the name stands for it. */
static bool read_old_call(relay_chat_reading_t *reading, relay_json_node_t node,
                          const relay_place_t *outer, relay_block_t ***tail)
{
    static const relay_span_t keys[] = {RELAY_SPAN_INIT("name"), RELAY_SPAN_INIT("arguments")};
    relay_json_node_t nodes[2];
    relay_block_t *block;

    if (relay_json_type(reading->tree, node) != RELAY_JSON_OBJECT) {
        return true;
    }
    block = relay_codec_block(reading->translation, tail, RELAY_BLOCK_TOOL_CALL);
    if (block == NULL) {
        return false;
    }
    relay_json_pick(reading->tree, node, keys, 2, nodes);
    block->call.name = relay_json_content(reading->tree, nodes[0]);
    block->call.id = block->call.name;
    block->call.arguments =
        (relay_arguments_t){.text = relay_json_content(reading->tree, nodes[1]), .quoted = true};
    block->place = relay_codec_member(reading->translation, outer, message_keys[M_FUNCTION_CALL]);
    return block->place != NULL;
}

static bool read_assistant(relay_chat_reading_t *reading, relay_json_node_t node,
                           const relay_json_node_t *nodes, const relay_place_t *place,
                           relay_message_t *message)
{
    relay_block_t **tail = &message->blocks, *block;
    relay_span_t refusal = relay_json_content(reading->tree, nodes[M_REFUSAL]);

    if (!reading->own &&
        !relay_chat_read_reasoning(reading->translation, reading->tree, node, place, &tail)) {
        return false;
    }
    if (!read_content(reading, nodes[M_CONTENT], place, &tail)) {
        return false;
    }
    if (refusal.len != 0) {
        block = relay_codec_block(reading->translation, &tail, RELAY_BLOCK_REFUSAL);
        if (block == NULL) {
            return false;
        }
        block->text = refusal;
        block->place = place;
    }
    return relay_chat_read_calls(reading->translation, reading->tree, nodes[M_TOOL_CALLS], place,
                                 &tail) &&
           read_old_call(reading, nodes[M_FUNCTION_CALL], place, &tail);
}

static bool read_result(relay_chat_reading_t *reading, const relay_json_node_t *nodes,
                        const relay_place_t *outer, relay_message_t *message)
{
    relay_place_t place = {outer, RELAY_SPAN("tool_call_id"), RELAY_PLACE_NO_INDEX};
    relay_block_t **tail = &message->blocks, **content;
    relay_block_t *block = relay_codec_block(reading->translation, &tail, RELAY_BLOCK_TOOL_RESULT);
    bool old = nodes[M_TOOL_CALL_ID] == RELAY_JSON_NOWHERE && message->name.len != 0;

    if (block == NULL) {
        return false;
    }
    block->place = relay_codec_member(reading->translation, outer, message_keys[M_CONTENT]);
    if (block->place == NULL) {
        return false;
    }
    block->call.name = message->name;
    block->call.id = message->name;
    if (!old && !relay_openai_required(reading->translation, reading->tree, nodes[M_TOOL_CALL_ID],
                                       &place, &block->call.id)) {
        return false;
    }
    message->name = relay_span(NULL, 0);
    content = &block->content;
    return read_content(reading, nodes[M_CONTENT], outer, &content);
}

static bool read_message(relay_chat_reading_t *reading, relay_json_node_t node,
                         const relay_place_t *place, relay_message_t ***tail)
{
    relay_json_node_t nodes[MESSAGE_KEYS];
    relay_message_t *message;
    relay_block_t **blocks;
    relay_role_t role = RELAY_ROLE_USER;

    if (relay_json_type(reading->tree, node) != RELAY_JSON_OBJECT) {
        return relay_codec_refuse(reading->translation, place,
                                  RELAY_SPAN("a message must be an object"));
    }
    relay_json_pick(reading->tree, node, message_keys, MESSAGE_KEYS, nodes);
    if (!read_role(reading, nodes[M_ROLE], place, &role)) {
        return false;
    }
    message = relay_codec_message(reading->translation, tail, role);
    if (message == NULL ||
        !relay_codec_extras(reading->translation, reading->tree, node, message_keys,
                            reading->own ? M_REASONING_KEYS : MESSAGE_KEYS, NULL, 0,
                            &message->extras)) {
        return false;
    }
    message->place = relay_codec_keep(reading->translation, place);
    if (message->place == NULL) {
        return false;
    }
    message->name = relay_json_content(reading->tree, nodes[M_NAME]);
    message->listed = relay_json_type(reading->tree, nodes[M_CONTENT]) == RELAY_JSON_ARRAY;
    blocks = &message->blocks;
    switch (role) {
    case RELAY_ROLE_ASSISTANT:
        return read_assistant(reading, node, nodes, message->place, message);
    case RELAY_ROLE_TOOL:
        return read_result(reading, nodes, message->place, message);
    default:
        return read_content(reading, nodes[M_CONTENT], message->place, &blocks);
    }
}

bool relay_chat_read_messages(relay_chat_reading_t *reading, relay_json_node_t messages)
{
    relay_place_t place = {NULL, RELAY_SPAN("messages"), RELAY_PLACE_NO_INDEX};
    relay_message_t **tail = &reading->request->messages;
    relay_json_node_t node;

    if (relay_json_type(reading->tree, messages) != RELAY_JSON_ARRAY) {
        return messages == RELAY_JSON_NOWHERE
                   ? relay_codec_missing(reading->translation, &place)
                   : relay_codec_refuse(reading->translation, &place,
                                        RELAY_SPAN("this field must be a list of messages"));
    }
    for (node = relay_json_first(reading->tree, messages); node != RELAY_JSON_NOWHERE;
         node = relay_json_next(reading->tree, messages, node)) {
        place.index++;
        if (!read_message(reading, node, &place, &tail)) {
            return false;
        }
    }
    return true;
}
