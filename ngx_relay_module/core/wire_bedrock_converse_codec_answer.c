/*
 * Whole answers of Bedrock Converse into the canonical protocol, and what streams
 * share with them. Called through the codec.
 */

#include "wire_anthropic_messages_codec.h"
#include "wire_bedrock_converse.h"
#include "wire_bedrock_converse_codec.h"
#include "wire_support.h"

/* ---- words --------------------------------------------------------------- */

relay_stop_t relay_converse_stop(relay_span_t word)
{
    static const struct {
        relay_span_t word;
        relay_stop_t reason;
    } stops[] = {
        {RELAY_SPAN_INIT("end_turn"), RELAY_STOP_END},
        {RELAY_SPAN_INIT("tool_use"), RELAY_STOP_TOOLS},
        {RELAY_SPAN_INIT("max_tokens"), RELAY_STOP_LENGTH},
        {RELAY_SPAN_INIT("stop_sequence"), RELAY_STOP_SEQUENCE},
        {RELAY_SPAN_INIT("guardrail_intervened"), RELAY_STOP_REFUSAL},
        {RELAY_SPAN_INIT("content_filtered"), RELAY_STOP_REFUSAL},
        {RELAY_SPAN_INIT("model_context_window_exceeded"), RELAY_STOP_CONTEXT},
    };

    for (size_t i = 0; i < sizeof(stops) / sizeof(stops[0]); i++) {
        if (relay_span_eq(word, stops[i].word)) {
            return stops[i].reason;
        }
    }
    return word.len != 0 ? RELAY_STOP_END : RELAY_STOP_UNSET;
}

static relay_json_value_t member(relay_json_value_t object, relay_span_t key)
{
    relay_json_value_t value = {RELAY_JSON_ABSENT, {NULL, 0}};

    if (object.type == RELAY_JSON_OBJECT) {
        relay_json_members(object.text, &key, 1, &value);
    }
    return value;
}

relay_span_t relay_converse_sequence(relay_json_value_t fields)
{
    return relay_wire_inner(member(fields, RELAY_SPAN("stop_sequence")));
}

static relay_span_t quote_of(relay_json_value_t list)
{
    static const relay_span_t key = RELAY_SPAN_INIT("text");
    relay_json_value_t text = {RELAY_JSON_ABSENT, {NULL, 0}};
    size_t cursor = 0;

    if (list.type == RELAY_JSON_ARRAY) {
        relay_json_element_members(list.text, &cursor, &key, 1, &text);
    }
    return relay_wire_inner(text);
}

void relay_converse_read_citation(relay_json_value_t object, relay_citation_t *citation)
{
    enum { TITLE, SOURCE, LOCATION, KEYS };
    static const relay_span_t keys[KEYS] = {
        RELAY_SPAN_INIT("title"), RELAY_SPAN_INIT("sourceContent"), RELAY_SPAN_INIT("location")};
    relay_json_value_t values[KEYS];

    *citation = (relay_citation_t){.raw = object.text};
    if (object.type == RELAY_JSON_OBJECT && relay_json_members(object.text, keys, KEYS, values)) {
        relay_json_value_t web = member(values[LOCATION], RELAY_SPAN("web"));
        citation->url = relay_wire_inner(member(web, RELAY_SPAN("url")));
        citation->title = relay_wire_inner(values[TITLE]);
        citation->quote = quote_of(values[SOURCE]);
    }
}

/* ---- blocks -------------------------------------------------------------- */

typedef struct {
    relay_translation_t *translation;
    const relay_json_tree_t *tree;
    relay_block_t **tail;
} reading_t;

static relay_block_t *add(reading_t *reading, relay_block_kind_t kind)
{
    return relay_codec_block(reading->translation, &reading->tail, kind);
}

static relay_json_node_t node_of(const relay_json_tree_t *tree, relay_json_node_t object,
                                 relay_span_t key)
{
    relay_json_node_t node;

    relay_json_pick(tree, object, &key, 1, &node);
    return node;
}

static bool read_call(reading_t *reading, relay_json_node_t object)
{
    enum { ID, NAME, INPUT, KEYS };
    static const relay_span_t keys[KEYS] = {RELAY_SPAN_INIT("toolUseId"), RELAY_SPAN_INIT("name"),
                                            RELAY_SPAN_INIT("input")};
    relay_block_t *block = add(reading, RELAY_BLOCK_TOOL_CALL);
    relay_json_node_t nodes[KEYS];

    if (block == NULL) {
        return false;
    }
    relay_json_pick(reading->tree, object, keys, KEYS, nodes);
    block->call.id = relay_json_content(reading->tree, nodes[ID]);
    block->call.name = relay_json_content(reading->tree, nodes[NAME]);
    block->call.arguments.text = relay_json_type(reading->tree, nodes[INPUT]) == RELAY_JSON_OBJECT
                                     ? relay_json_value(reading->tree, nodes[INPUT]).text
                                     : RELAY_SPAN("{}");
    return true;
}

static bool read_reasoning(reading_t *reading, relay_json_node_t object)
{
    const relay_json_tree_t *tree = reading->tree;
    relay_json_node_t redacted = node_of(tree, object, RELAY_SPAN("redactedContent"));
    relay_json_node_t text = node_of(tree, object, RELAY_SPAN("reasoningText"));
    relay_block_t *block =
        add(reading, redacted != RELAY_JSON_NOWHERE ? RELAY_BLOCK_REDACTED : RELAY_BLOCK_THINKING);

    if (block == NULL) {
        return false;
    }
    if (redacted != RELAY_JSON_NOWHERE) {
        block->text = relay_json_content(tree, redacted);
    } else {
        block->text = relay_json_content(tree, node_of(tree, text, RELAY_SPAN("text")));
        block->signature = relay_json_content(tree, node_of(tree, text, RELAY_SPAN("signature")));
    }
    if (redacted != RELAY_JSON_NOWHERE || block->signature.len != 0) {
        block->signer = RELAY_MESSAGES_SIGNER;
    }
    return true;
}

static bool read_text(reading_t *reading, relay_json_node_t text)
{
    relay_block_t *block;

    if (relay_json_content(reading->tree, text).len == 0) {
        return true;
    }
    block = add(reading, RELAY_BLOCK_TEXT);
    if (block != NULL) {
        block->text = relay_json_content(reading->tree, text);
    }
    return block != NULL;
}

static bool read_citations(reading_t *reading, relay_json_node_t list, relay_citation_t **tail)
{
    for (relay_json_node_t each = relay_json_first(reading->tree, list); each != RELAY_JSON_NOWHERE;
         each = relay_json_next(reading->tree, list, each)) {
        *tail = relay_codec_new(reading->translation, sizeof(**tail));
        if (*tail == NULL) {
            return false;
        }
        relay_converse_read_citation(relay_json_value(reading->tree, each), *tail);
        tail = &(*tail)->next;
    }
    return true;
}

/* Texts and what they quote, which goes to the first of them. */
static bool read_cited(reading_t *reading, relay_json_node_t object)
{
    const relay_json_tree_t *tree = reading->tree;
    relay_json_node_t list = node_of(tree, object, RELAY_SPAN("content"));
    relay_json_node_t citations = node_of(tree, object, RELAY_SPAN("citations"));
    relay_block_t **first = reading->tail;

    if (relay_json_type(tree, list) != RELAY_JSON_ARRAY) {
        return true;
    }
    for (relay_json_node_t each = relay_json_first(tree, list); each != RELAY_JSON_NOWHERE;
         each = relay_json_next(tree, list, each)) {
        if (!read_text(reading, node_of(tree, each, RELAY_SPAN("text")))) {
            return false;
        }
    }
    return *first == NULL || relay_json_type(tree, citations) != RELAY_JSON_ARRAY ||
           read_citations(reading, citations, &(*first)->citations);
}

static bool read_image(reading_t *reading, relay_json_node_t object)
{
    const relay_json_tree_t *tree = reading->tree;
    relay_json_node_t source = node_of(tree, object, RELAY_SPAN("source"));
    relay_span_t data = relay_json_content(tree, node_of(tree, source, RELAY_SPAN("bytes")));
    relay_block_t *block = add(reading, data.len != 0 ? RELAY_BLOCK_IMAGE : RELAY_BLOCK_OPAQUE);

    if (block != NULL) {
        block->type = RELAY_SPAN("image");
        block->media.data = data;
        block->media.media_type = relay_converse_image_type(
            relay_json_content(tree, node_of(tree, object, RELAY_SPAN("format"))));
    }
    return block != NULL;
}

static bool read_other(reading_t *reading, relay_json_node_t node)
{
    relay_json_node_t key = relay_json_first(reading->tree, node);
    relay_block_t *block = add(reading, RELAY_BLOCK_OPAQUE);

    if (block != NULL) {
        block->raw = relay_json_value(reading->tree, node).text;
        block->type = relay_json_content(reading->tree, key);
    }
    return block != NULL;
}

/* A block has one key, which is its type. */
static bool read_block(reading_t *reading, relay_json_node_t node)
{
    enum { TEXT, CALL, REASONING, CITED, IMAGE, KEYS };
    static const relay_span_t keys[KEYS] = {
        RELAY_SPAN_INIT("text"), RELAY_SPAN_INIT("toolUse"), RELAY_SPAN_INIT("reasoningContent"),
        RELAY_SPAN_INIT("citationsContent"), RELAY_SPAN_INIT("image")};
    const relay_json_tree_t *tree = reading->tree;
    relay_json_node_t nodes[KEYS];

    if (relay_json_type(tree, node) != RELAY_JSON_OBJECT) {
        return true;
    }
    relay_json_pick(tree, node, keys, KEYS, nodes);
    if (nodes[TEXT] != RELAY_JSON_NOWHERE) {
        return read_text(reading, nodes[TEXT]);
    }
    if (nodes[CALL] != RELAY_JSON_NOWHERE &&
        !relay_json_reads(tree, node_of(tree, nodes[CALL], RELAY_SPAN("type")),
                          RELAY_SPAN("server_tool_use"))) {
        return read_call(reading, nodes[CALL]);
    }
    if (nodes[REASONING] != RELAY_JSON_NOWHERE) {
        return read_reasoning(reading, nodes[REASONING]);
    }
    if (nodes[CITED] != RELAY_JSON_NOWHERE) {
        return read_cited(reading, nodes[CITED]);
    }
    if (nodes[IMAGE] != RELAY_JSON_NOWHERE) {
        return read_image(reading, nodes[IMAGE]);
    }
    return read_other(reading, node);
}

/* ---- the answer ---------------------------------------------------------- */

enum { A_OUTPUT, A_STOP, A_USAGE, A_FIELDS, A_TIER, ANSWER_KEYS };

static const relay_span_t answer_keys[ANSWER_KEYS] = {
    RELAY_SPAN_INIT("output"), RELAY_SPAN_INIT("stopReason"), RELAY_SPAN_INIT("usage"),
    RELAY_SPAN_INIT("additionalModelResponseFields"), RELAY_SPAN_INIT("serviceTier")};

static void read_ending(const relay_json_tree_t *tree, const relay_json_node_t *nodes,
                        relay_choice_t *choice)
{
    choice->ending.reason = relay_converse_stop(relay_json_content(tree, nodes[A_STOP]));
    choice->ending.sequence = relay_converse_sequence(relay_json_value(tree, nodes[A_FIELDS]));
    if (choice->ending.reason != RELAY_STOP_END && choice->ending.reason != RELAY_STOP_UNSET) {
        return;
    }
    choice->ending.reason = RELAY_STOP_END;
    for (const relay_block_t *block = choice->blocks; block != NULL; block = block->next) {
        if (block->kind == RELAY_BLOCK_TOOL_CALL) {
            choice->ending.reason = RELAY_STOP_TOOLS;
        }
    }
}

relay_error_code_t relay_converse_read_response(relay_translation_t *translation,
                                                const relay_json_tree_t *tree,
                                                relay_response_t *response)
{
    relay_choice_t *choice = relay_codec_new(translation, sizeof(*choice));
    reading_t reading = {.translation = translation, .tree = tree};
    relay_json_node_t nodes[ANSWER_KEYS], message, content;

    relay_json_pick(tree, 0, answer_keys, ANSWER_KEYS, nodes);
    message = node_of(tree, nodes[A_OUTPUT], RELAY_SPAN("message"));
    content = node_of(tree, message, RELAY_SPAN("content"));
    if (relay_json_type(tree, content) != RELAY_JSON_ARRAY) {
        relay_codec_invalid(translation, RELAY_SPAN("The provider's answer has no content."));
    }
    if (choice == NULL || translation->error.code != RELAY_ERR_NONE) {
        return translation->error.code;
    }
    response->origin = &relay_codec_bedrock_converse;
    response->choices = choice;
    relay_wire_tier(relay_json_content(tree, node_of(tree, nodes[A_TIER], RELAY_SPAN("type"))),
                    &response->usage.tier);
    relay_bedrock_usage(relay_json_value(tree, nodes[A_USAGE]), &response->usage);
    reading.tail = &choice->blocks;
    for (relay_json_node_t node = relay_json_first(tree, content); node != RELAY_JSON_NOWHERE;
         node = relay_json_next(tree, content, node)) {
        if (!read_block(&reading, node)) {
            return translation->error.code;
        }
    }
    read_ending(tree, nodes, choice);
    return translation->error.code;
}
