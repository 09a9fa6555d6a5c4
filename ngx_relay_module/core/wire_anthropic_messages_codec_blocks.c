/*
 * Content blocks of Anthropic Messages into the canonical protocol, those of
 * requests and of answers. Called by the other parts of the codec.
 */

#include "wire_anthropic_messages_codec.h"
#include "wire_support.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

enum {
    B_TYPE,
    B_TEXT,
    B_CACHE,
    B_SOURCE,
    B_TITLE,
    B_CONTEXT,
    B_THINKING,
    B_SIGNATURE,
    B_DATA,
    B_ID,
    B_NAME,
    B_INPUT,
    B_TOOL_USE_ID,
    B_CONTENT,
    B_IS_ERROR,
    B_TOOL_NAME,
    B_CITATIONS, /* of text; of a document whether it is to be quoted */
    BLOCK_KEYS
};

static const relay_span_t block_keys[BLOCK_KEYS] = {
    RELAY_SPAN_INIT("type"),        RELAY_SPAN_INIT("text"),      RELAY_SPAN_INIT("cache_control"),
    RELAY_SPAN_INIT("source"),      RELAY_SPAN_INIT("title"),     RELAY_SPAN_INIT("context"),
    RELAY_SPAN_INIT("thinking"),    RELAY_SPAN_INIT("signature"), RELAY_SPAN_INIT("data"),
    RELAY_SPAN_INIT("id"),          RELAY_SPAN_INIT("name"),      RELAY_SPAN_INIT("input"),
    RELAY_SPAN_INIT("tool_use_id"), RELAY_SPAN_INIT("content"),   RELAY_SPAN_INIT("is_error"),
    RELAY_SPAN_INIT("tool_name"),   RELAY_SPAN_INIT("citations"),
};

/* How content of a type is taken where this format does not go on. */
typedef enum {
    KNOWN,    /* as kind says */
    OPTIONAL, /* opaque, may be left out: what the provider did itself */
    REFERENCE,
    SEARCH,
} treatment_t;

enum { TEXT_TYPE = 0 }; /* in the table */

static const struct {
    relay_span_t type;
    relay_block_kind_t kind;
    treatment_t treatment;
} types[] = {
    {RELAY_SPAN_INIT("text"), RELAY_BLOCK_TEXT, KNOWN},
    {RELAY_SPAN_INIT("tool_use"), RELAY_BLOCK_TOOL_CALL, KNOWN},
    {RELAY_SPAN_INIT("tool_result"), RELAY_BLOCK_TOOL_RESULT, KNOWN},
    {RELAY_SPAN_INIT("thinking"), RELAY_BLOCK_THINKING, KNOWN},
    {RELAY_SPAN_INIT("redacted_thinking"), RELAY_BLOCK_REDACTED, KNOWN},
    {RELAY_SPAN_INIT("image"), RELAY_BLOCK_IMAGE, KNOWN},
    {RELAY_SPAN_INIT("document"), RELAY_BLOCK_DOCUMENT, KNOWN},
    {RELAY_SPAN_INIT("tool_reference"), RELAY_BLOCK_OPAQUE, REFERENCE},
    {RELAY_SPAN_INIT("search_result"), RELAY_BLOCK_OPAQUE, SEARCH},
    {RELAY_SPAN_INIT("server_tool_use"), RELAY_BLOCK_OPAQUE, OPTIONAL},
    {RELAY_SPAN_INIT("web_search_tool_result"), RELAY_BLOCK_OPAQUE, OPTIONAL},
    {RELAY_SPAN_INIT("web_fetch_tool_result"), RELAY_BLOCK_OPAQUE, OPTIONAL},
    {RELAY_SPAN_INIT("code_execution_tool_result"), RELAY_BLOCK_OPAQUE, OPTIONAL},
    {RELAY_SPAN_INIT("bash_code_execution_tool_result"), RELAY_BLOCK_OPAQUE, OPTIONAL},
    {RELAY_SPAN_INIT("text_editor_code_execution_tool_result"), RELAY_BLOCK_OPAQUE, OPTIONAL},
    {RELAY_SPAN_INIT("tool_search_tool_result"), RELAY_BLOCK_OPAQUE, OPTIONAL},
    {RELAY_SPAN_INIT("fallback"), RELAY_BLOCK_OPAQUE, OPTIONAL},
};

static bool required(relay_messages_reading_t *reading, relay_json_node_t node,
                     const relay_place_t *outer, relay_span_t name, relay_span_t *text)
{
    relay_place_t place = {outer, name, RELAY_PLACE_NO_INDEX};

    *text = relay_json_content(reading->tree, node);
    if (relay_json_type(reading->tree, node) == RELAY_JSON_STRING || reading->answer) {
        return true;
    }
    return node == RELAY_JSON_NOWHERE
               ? relay_codec_missing(reading->translation, &place)
               : relay_codec_refuse(reading->translation, &place,
                                    RELAY_SPAN("Input should be a valid string"));
}

/* ---- citations ----------------------------------------------------------- */

void relay_messages_read_citation(relay_json_value_t object, relay_citation_t *citation)
{
    enum { URL, TITLE, DOCUMENT_TITLE, QUOTE, KEYS };
    static const relay_span_t keys[KEYS] = {RELAY_SPAN_INIT("url"), RELAY_SPAN_INIT("title"),
                                            RELAY_SPAN_INIT("document_title"),
                                            RELAY_SPAN_INIT("cited_text")};
    relay_json_value_t values[KEYS];

    *citation = (relay_citation_t){.raw = object.text};
    if (object.type == RELAY_JSON_OBJECT && relay_json_members(object.text, keys, KEYS, values)) {
        citation->url = relay_wire_inner(values[URL]);
        citation->title = relay_wire_inner(
            values[values[TITLE].type == RELAY_JSON_STRING ? TITLE : DOCUMENT_TITLE]);
        citation->quote = relay_wire_inner(values[QUOTE]);
    }
}

static bool read_citations(relay_messages_reading_t *reading, relay_json_node_t list,
                           relay_block_t *block)
{
    relay_citation_t **tail = &block->citations;
    relay_json_node_t each;

    if (relay_json_type(reading->tree, list) != RELAY_JSON_ARRAY) {
        return true;
    }
    for (each = relay_json_first(reading->tree, list); each != RELAY_JSON_NOWHERE;
         each = relay_json_next(reading->tree, list, each)) {
        *tail = relay_codec_new(reading->translation, sizeof(**tail));
        if (*tail == NULL) {
            return false;
        }
        relay_messages_read_citation(relay_json_value(reading->tree, each), *tail);
        tail = &(*tail)->next;
    }
    return true;
}

/* ---- media --------------------------------------------------------------- */

enum { S_TYPE, S_MEDIA_TYPE, S_DATA, S_URL, S_FILE_ID, S_CONTENT, SOURCE_KEYS };

static const relay_span_t source_keys[SOURCE_KEYS] = {
    RELAY_SPAN_INIT("type"), RELAY_SPAN_INIT("media_type"), RELAY_SPAN_INIT("data"),
    RELAY_SPAN_INIT("url"),  RELAY_SPAN_INIT("file_id"),    RELAY_SPAN_INIT("content")};

static bool read_source_blocks(relay_messages_reading_t *reading, relay_json_node_t content,
                               const relay_place_t *place, relay_block_t *block)
{
    relay_block_t **tail = &block->content;

    block->media.source = RELAY_SOURCE_BLOCKS;
    return relay_messages_read_content(reading, content, place, RELAY_SPAN("content"), &tail);
}

static bool check_image(relay_messages_reading_t *reading, const relay_place_t *place,
                        const relay_block_t *block)
{
    bool url = block->media.source == RELAY_SOURCE_URL;
    relay_place_t data = {place, url ? RELAY_SPAN("url") : RELAY_SPAN("data"),
                          RELAY_PLACE_NO_INDEX};

    return block->kind != RELAY_BLOCK_IMAGE || reading->answer ||
           relay_codec_is_image(&block->media) ||
           relay_codec_refuse(reading->translation, &data,
                              url ? RELAY_SPAN("this is not the URL of an image")
                                  : RELAY_SPAN("the data is not an image of the stated "
                                               "media_type"));
}

static bool read_source(relay_messages_reading_t *reading, relay_json_node_t source,
                        const relay_place_t *outer, relay_block_t *block)
{
    const relay_place_t *place =
        relay_codec_member(reading->translation, outer, block_keys[B_SOURCE]);
    relay_media_t *media = &block->media;
    relay_json_node_t nodes[SOURCE_KEYS];

    if (relay_json_type(reading->tree, source) != RELAY_JSON_OBJECT) {
        return relay_codec_missing(reading->translation, place);
    }
    if (place == NULL) {
        return false;
    }
    relay_json_pick(reading->tree, source, source_keys, SOURCE_KEYS, nodes);
    if (!reading->answer && !relay_codec_leave_rest(reading->translation, reading->tree, source,
                                                    source_keys, SOURCE_KEYS, place)) {
        return false;
    }
    media->media_type = relay_codec_plain(reading->translation,
                                          relay_json_content(reading->tree, nodes[S_MEDIA_TYPE]));
    if (relay_json_reads(reading->tree, nodes[S_TYPE], RELAY_SPAN("url"))) {
        media->source = RELAY_SOURCE_URL;
        return required(reading, nodes[S_URL], place, RELAY_SPAN("url"), &media->data) &&
               check_image(reading, place, block);
    }
    if (relay_json_reads(reading->tree, nodes[S_TYPE], RELAY_SPAN("file"))) {
        media->source = RELAY_SOURCE_FILE;
        return required(reading, nodes[S_FILE_ID], place, RELAY_SPAN("file_id"), &media->data);
    }
    if (relay_json_reads(reading->tree, nodes[S_TYPE], RELAY_SPAN("content"))) {
        return read_source_blocks(reading, nodes[S_CONTENT], place, block);
    }
    media->source = relay_json_reads(reading->tree, nodes[S_TYPE], RELAY_SPAN("text"))
                        ? RELAY_SOURCE_TEXT
                        : RELAY_SOURCE_BASE64;
    return required(reading, nodes[S_DATA], place, RELAY_SPAN("data"), &media->data) &&
           check_image(reading, place, block);
}

/* ---- what only this format knows ----------------------------------------- */

/* Text that stands for a block elsewhere: up to three pieces. */
static bool stand_in(relay_messages_reading_t *reading, relay_block_t ***tail, relay_span_t a,
                     relay_span_t b, relay_span_t c)
{
    relay_block_t *block = relay_codec_block(reading->translation, tail, RELAY_BLOCK_TEXT);
    uint8_t *bytes = relay_codec_new(reading->translation, a.len + b.len + c.len + 1);
    relay_buf_t text = relay_buf(bytes, bytes != NULL ? a.len + b.len + c.len : 0);

    relay_buf_put(&text, a);
    relay_buf_put(&text, b);
    relay_buf_put(&text, c);
    if (block != NULL) {
        block->text = relay_buf_span(&text);
    }
    return block != NULL && bytes != NULL;
}

/* In the words of this format's own servers: agents look for the type and do without it. */
static bool refuse_tag(relay_messages_reading_t *reading, relay_span_t tag,
                       const relay_place_t *place)
{
    enum { SIZE = 256, TAG_MAX = 128 };
    uint8_t *bytes = relay_codec_new(reading->translation, SIZE);
    relay_buf_t out = relay_buf(bytes, bytes != NULL ? SIZE : 0);

    RELAY_PUT(&out, "Input tag '");
    relay_buf_put(&out, tag.len <= TAG_MAX ? tag : RELAY_SPAN("..."));
    RELAY_PUT(&out, "' found using 'type' does not match any of the expected tags");
    return relay_codec_refuse(reading->translation, place, relay_buf_span(&out));
}

static bool read_opaque(relay_messages_reading_t *reading, const relay_json_node_t *nodes,
                        const relay_place_t *place, treatment_t treatment, relay_block_t *block)
{
    relay_block_t **tail = &block->content;
    relay_span_t title = relay_json_content(reading->tree, nodes[B_TITLE]);

    block->type = relay_json_content(reading->tree, nodes[B_TYPE]);
    switch (treatment) {
    case REFERENCE:
        return stand_in(reading, &tail, RELAY_SPAN("The tool "),
                        relay_json_content(reading->tree, nodes[B_TOOL_NAME]),
                        RELAY_SPAN(" can be called now."));
    case SEARCH:
        return stand_in(reading, &tail, title, RELAY_SPAN("\\n"),
                        relay_json_content(reading->tree, nodes[B_SOURCE])) &&
               relay_messages_read_content(reading, nodes[B_CONTENT], place, RELAY_SPAN("content"),
                                           &tail);
    case OPTIONAL:
        return true;
    case KNOWN:
        block->essential = !reading->answer;
        return true;
    }
    return true;
}

/* ---- blocks -------------------------------------------------------------- */

static bool read_call(relay_messages_reading_t *reading, const relay_json_node_t *nodes,
                      const relay_place_t *place, relay_block_t *block)
{
    relay_call_t *call = &block->call;
    relay_place_t input = {place, RELAY_SPAN("input"), RELAY_PLACE_NO_INDEX};

    call->arguments.text = relay_json_type(reading->tree, nodes[B_INPUT]) == RELAY_JSON_OBJECT
                               ? relay_json_value(reading->tree, nodes[B_INPUT]).text
                               : RELAY_SPAN("{}");
    if (nodes[B_INPUT] != RELAY_JSON_NOWHERE && !reading->answer &&
        relay_json_type(reading->tree, nodes[B_INPUT]) != RELAY_JSON_OBJECT) {
        return relay_codec_refuse(reading->translation, &input,
                                  RELAY_SPAN("Input should be a valid dictionary"));
    }
    return required(reading, nodes[B_ID], place, RELAY_SPAN("id"), &call->id) &&
           required(reading, nodes[B_NAME], place, RELAY_SPAN("name"), &call->name);
}

static bool read_result(relay_messages_reading_t *reading, const relay_json_node_t *nodes,
                        const relay_place_t *place, relay_block_t *block)
{
    relay_block_t **tail = &block->content;

    block->call.failed = relay_json_type(reading->tree, nodes[B_IS_ERROR]) == RELAY_JSON_TRUE;
    return required(reading, nodes[B_TOOL_USE_ID], place, RELAY_SPAN("tool_use_id"),
                    &block->call.id) &&
           relay_messages_read_content(reading, nodes[B_CONTENT], place, RELAY_SPAN("content"),
                                       &tail);
}

static bool is_cited(const relay_messages_reading_t *reading, relay_json_node_t citations)
{
    static const relay_span_t keys[] = {RELAY_SPAN_INIT("enabled")};
    relay_json_node_t enabled;

    relay_json_pick(reading->tree, citations, keys, 1, &enabled);
    return relay_json_type(reading->tree, enabled) == RELAY_JSON_TRUE;
}

static bool read_body(relay_messages_reading_t *reading, const relay_json_node_t *nodes,
                      const relay_place_t *place, treatment_t treatment, relay_block_t *block)
{
    switch (block->kind) {
    case RELAY_BLOCK_TEXT:
        return required(reading, nodes[B_TEXT], place, RELAY_SPAN("text"), &block->text) &&
               read_citations(reading, nodes[B_CITATIONS], block);
    case RELAY_BLOCK_THINKING:
        block->signature = relay_json_content(reading->tree, nodes[B_SIGNATURE]);
        block->signer = RELAY_MESSAGES_SIGNER;
        return required(reading, nodes[B_THINKING], place, RELAY_SPAN("thinking"), &block->text);
    case RELAY_BLOCK_REDACTED:
        block->signer = RELAY_MESSAGES_SIGNER;
        return required(reading, nodes[B_DATA], place, RELAY_SPAN("data"), &block->text);
    case RELAY_BLOCK_TOOL_CALL:
        return read_call(reading, nodes, place, block);
    case RELAY_BLOCK_TOOL_RESULT:
        return read_result(reading, nodes, place, block);
    case RELAY_BLOCK_IMAGE:
    case RELAY_BLOCK_DOCUMENT:
        block->media.name = relay_json_content(reading->tree, nodes[B_TITLE]);
        block->media.context = relay_json_content(reading->tree, nodes[B_CONTEXT]);
        block->media.cited = is_cited(reading, nodes[B_CITATIONS]);
        return read_source(reading, nodes[B_SOURCE], place, block);
    default:
        return read_opaque(reading, nodes, place, treatment, block);
    }
}

/* Of a request for a format that takes no blocks of this one as they are. */
static bool is_foreign(const relay_messages_reading_t *reading)
{
    return !reading->answer &&
           !relay_codec_own(reading->translation->caller, reading->translation->upstream);
}

/* Where a request has the block, its marker, and what it has thought. */
static bool read_places(relay_messages_reading_t *reading, const relay_json_node_t *nodes,
                        const relay_place_t *place, relay_block_t *block)
{
    relay_translation_t *translation = reading->translation;
    bool redacted = block->kind == RELAY_BLOCK_REDACTED;

    block->place = relay_codec_keep(translation, place);
    if (relay_json_type(reading->tree, nodes[B_CACHE]) == RELAY_JSON_OBJECT) {
        block->mark = relay_json_value(reading->tree, nodes[B_CACHE]);
        block->mark_place = relay_codec_member(translation, block->place, block_keys[B_CACHE]);
    }
    if (redacted || block->kind == RELAY_BLOCK_THINKING) {
        block->thought_place = relay_codec_member(translation, block->place,
                                                  block_keys[redacted ? B_DATA : B_THINKING]);
    }
    return translation->error.code == RELAY_ERR_NONE;
}

static bool has_citations(const relay_block_t *block)
{
    return block->kind == RELAY_BLOCK_TEXT || block->kind == RELAY_BLOCK_DOCUMENT;
}

static bool read_block(relay_messages_reading_t *reading, relay_json_node_t node,
                       const relay_place_t *place, relay_block_t ***tail)
{
    relay_json_node_t nodes[BLOCK_KEYS];
    relay_place_t type = {place, RELAY_SPAN("type"), RELAY_PLACE_NO_INDEX};
    relay_block_t *block;
    size_t i = 0;

    relay_json_pick(reading->tree, node, block_keys, BLOCK_KEYS, nodes);
    if (relay_json_type(reading->tree, nodes[B_TYPE]) != RELAY_JSON_STRING) {
        return relay_codec_missing(reading->translation, &type);
    }
    while (i < COUNT(types) && !relay_json_reads(reading->tree, nodes[B_TYPE], types[i].type)) {
        i++;
    }
    if (is_foreign(reading) && (i == COUNT(types) || (reading->system && i != TEXT_TYPE))) {
        return refuse_tag(reading, relay_json_content(reading->tree, nodes[B_TYPE]), place);
    }
    block = relay_codec_block(reading->translation, tail,
                              i < COUNT(types) ? types[i].kind : RELAY_BLOCK_OPAQUE);
    if (block == NULL) {
        return false;
    }
    block->raw = relay_json_value(reading->tree, node).text;
    if (!reading->answer && !read_places(reading, nodes, place, block)) {
        return false;
    }
    if (block->kind != RELAY_BLOCK_OPAQUE &&
        !relay_codec_extras(reading->translation, reading->tree, node, block_keys,
                            has_citations(block) ? BLOCK_KEYS : B_CITATIONS, NULL, 0,
                            &block->extras)) {
        return false;
    }
    return read_body(reading, nodes, reading->answer ? place : block->place,
                     i < COUNT(types) ? types[i].treatment : KNOWN, block);
}

bool relay_messages_read_content(relay_messages_reading_t *reading, relay_json_node_t content,
                                 const relay_place_t *outer, relay_span_t name,
                                 relay_block_t ***tail)
{
    relay_place_t place = {outer, name, RELAY_PLACE_NO_INDEX};
    relay_json_node_t node;
    relay_block_t *block;

    switch (relay_json_type(reading->tree, content)) {
    case RELAY_JSON_STRING:
        block = relay_codec_block(reading->translation, tail, RELAY_BLOCK_TEXT);
        if (block == NULL) {
            return false;
        }
        block->text = relay_json_content(reading->tree, content);
        block->place = relay_codec_keep(reading->translation, &place);
        return block->place != NULL;
    case RELAY_JSON_ARRAY:
        break;
    case RELAY_JSON_ABSENT:
    case RELAY_JSON_NULL:
        return true;
    default:
        return relay_codec_refuse(reading->translation, &place,
                                  RELAY_SPAN("Input should be a valid string or list"));
    }
    for (node = relay_json_first(reading->tree, content); node != RELAY_JSON_NOWHERE;
         node = relay_json_next(reading->tree, content, node)) {
        place.index++;
        if (!read_block(reading, node, &place, tail)) {
            return false;
        }
    }
    return true;
}
