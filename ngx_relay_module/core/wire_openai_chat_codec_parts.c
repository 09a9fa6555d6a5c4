/*
 * What requests, answers and streams of Chat Completions have in common for the
 * codec: tool calls, reasoning, words, usage.
 */

#include "wire_openai_chat_codec.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

/* ---- tool calls ---------------------------------------------------------- */

/* Clients that collect a stream keep its index. */
enum { C_ID, C_TYPE, C_FUNCTION, C_CUSTOM, C_INDEX, CALL_KEYS };

static const relay_span_t call_keys[CALL_KEYS] = {
    RELAY_SPAN_INIT("id"), RELAY_SPAN_INIT("type"), RELAY_SPAN_INIT("function"),
    RELAY_SPAN_INIT("custom"), RELAY_SPAN_INIT("index")};

/* Some servers send the arguments as an object; null means none. */
static void read_arguments(const relay_json_tree_t *tree, relay_json_node_t node,
                           relay_arguments_t *arguments)
{
    if (relay_json_type(tree, node) == RELAY_JSON_OBJECT) {
        *arguments = (relay_arguments_t){.text = relay_json_value(tree, node).text};
    } else {
        *arguments = (relay_arguments_t){.text = relay_json_content(tree, node), .quoted = true};
    }
}

static bool name_missing(relay_translation_t *translation, const relay_block_t *call)
{
    relay_place_t place = {
        call->place, call->call.free_text ? RELAY_SPAN("custom.name") : RELAY_SPAN("function.name"),
        RELAY_PLACE_NO_INDEX};

    return relay_codec_missing(translation, &place);
}

static bool read_call(relay_translation_t *translation, const relay_json_tree_t *tree,
                      relay_json_node_t node, const relay_place_t *place, relay_block_t ***tail)
{
    static const relay_span_t keys[] = {RELAY_SPAN_INIT("name"), RELAY_SPAN_INIT("arguments"),
                                        RELAY_SPAN_INIT("input")};
    relay_json_node_t nodes[CALL_KEYS], inner[3];
    relay_block_t *block;

    relay_json_pick(tree, node, call_keys, CALL_KEYS, nodes);
    block = relay_codec_block(translation, tail, RELAY_BLOCK_TOOL_CALL);
    if (block == NULL) {
        return false;
    }
    block->raw = relay_json_value(tree, node).text;
    block->call.free_text = relay_json_type(tree, nodes[C_CUSTOM]) == RELAY_JSON_OBJECT;
    relay_json_pick(tree, nodes[block->call.free_text ? C_CUSTOM : C_FUNCTION], keys, 3, inner);
    block->call.id = relay_json_content(tree, nodes[C_ID]);
    block->call.name = relay_json_content(tree, inner[0]);
    read_arguments(tree, inner[block->call.free_text ? 2 : 1], &block->call.arguments);
    if (place->outer == NULL) {
        return true; /* of an answer: never refused for what the model says */
    }
    block->place = relay_codec_keep(translation, place);
    return block->place != NULL &&
           relay_codec_leave_rest(translation, tree, node, call_keys, CALL_KEYS, place) &&
           (block->call.name.len != 0 || name_missing(translation, block));
}

bool relay_chat_read_calls(relay_translation_t *translation, const relay_json_tree_t *tree,
                           relay_json_node_t calls, const relay_place_t *outer,
                           relay_block_t ***tail)
{
    relay_place_t place = {outer, RELAY_SPAN("tool_calls"), RELAY_PLACE_NO_INDEX};
    relay_json_node_t node;

    if (outer != NULL && !relay_codec_is_list(translation, tree, calls, &place)) {
        return false;
    }
    for (node = relay_json_first(tree, calls); node != RELAY_JSON_NOWHERE;
         node = relay_json_next(tree, calls, node)) {
        place.index++;
        if (!read_call(translation, tree, node, &place, tail)) {
            return false;
        }
    }
    return true;
}

/* ---- reasoning ----------------------------------------------------------- */

enum { D_TEXT, D_SUMMARY, D_DATA, D_SIGNATURE, D_FORMAT, D_INDEX, DETAIL_KEYS };

static const relay_span_t detail_keys[DETAIL_KEYS] = {
    RELAY_SPAN_INIT("text"),      RELAY_SPAN_INIT("summary"), RELAY_SPAN_INIT("data"),
    RELAY_SPAN_INIT("signature"), RELAY_SPAN_INIT("format"),  RELAY_SPAN_INIT("index")};

static relay_span_t detail_text(const relay_json_tree_t *tree, const relay_json_node_t *nodes)
{
    relay_span_t text = relay_json_content(tree, nodes[D_TEXT]);

    return text.len != 0 ? text : relay_json_content(tree, nodes[D_SUMMARY]);
}

/*
 * Entries of one index are fragments of one block, as a client has collected them
 * from a stream. Returns the first entry behind those of `first`, and the length of
 * their text.
 */
static relay_json_node_t run_end(const relay_json_tree_t *tree, relay_json_node_t list,
                                 relay_json_node_t first, size_t *length)
{
    relay_json_node_t nodes[DETAIL_KEYS], node = first;
    relay_json_value_t index;

    relay_json_pick(tree, first, detail_keys, DETAIL_KEYS, nodes);
    index = relay_json_value(tree, nodes[D_INDEX]);
    *length = 0;
    do {
        *length += detail_text(tree, nodes).len;
        node = relay_json_next(tree, list, node);
        if (node == RELAY_JSON_NOWHERE || index.type != RELAY_JSON_NUMBER) {
            return node;
        }
        relay_json_pick(tree, node, detail_keys, DETAIL_KEYS, nodes);
    } while (relay_span_eq(relay_json_value(tree, nodes[D_INDEX]).text, index.text) &&
             nodes[D_DATA] == RELAY_JSON_NOWHERE);
    return node;
}

static bool read_run(relay_translation_t *translation, const relay_json_tree_t *tree,
                     relay_json_node_t list, relay_json_node_t node, relay_json_node_t end,
                     size_t length, relay_block_t *block)
{
    uint8_t *bytes = relay_codec_new(translation, length + 1);
    relay_buf_t text = relay_buf(bytes, bytes != NULL ? length : 0);
    relay_json_node_t nodes[DETAIL_KEYS];

    for (; node != end; node = relay_json_next(tree, list, node)) {
        relay_json_pick(tree, node, detail_keys, DETAIL_KEYS, nodes);
        relay_buf_put(&text, detail_text(tree, nodes));
        if (relay_json_content(tree, nodes[D_SIGNATURE]).len != 0) {
            block->signature = relay_json_content(tree, nodes[D_SIGNATURE]);
        }
        if (relay_json_content(tree, nodes[D_FORMAT]).len != 0) {
            block->signer = relay_json_content(tree, nodes[D_FORMAT]);
        }
    }
    block->text = relay_buf_span(&text);
    return bytes != NULL;
}

/* *node becomes the entry behind those that were read. */
static bool read_detail(relay_translation_t *translation, const relay_json_tree_t *tree,
                        relay_json_node_t list, relay_json_node_t *node, relay_block_t ***tail)
{
    relay_json_node_t nodes[DETAIL_KEYS], first = *node;
    relay_span_t data;
    relay_block_t *block;
    size_t length;

    relay_json_pick(tree, first, detail_keys, DETAIL_KEYS, nodes);
    data = relay_json_content(tree, nodes[D_DATA]);
    block = relay_codec_block(translation, tail,
                              data.len != 0 ? RELAY_BLOCK_REDACTED : RELAY_BLOCK_THINKING);
    if (block == NULL) {
        return false;
    }
    if (data.len != 0) {
        block->text = data;
        block->signer = relay_json_content(tree, nodes[D_FORMAT]);
        *node = relay_json_next(tree, list, first);
        return true;
    }
    *node = run_end(tree, list, first, &length);
    return read_run(translation, tree, list, first, *node, length, block);
}

static bool say_where(relay_translation_t *translation, const relay_place_t *outer,
                      relay_span_t name, relay_block_t *block)
{
    const relay_place_t *place = relay_codec_member(translation, outer, name);

    for (; block != NULL; block = block->next) {
        block->place = place;
        block->thought_place = place;
    }
    return place != NULL;
}

/* The details repeat the plain field: it counts only without them, or for a
 * single signature that came without its text. */
bool relay_chat_read_reasoning(relay_translation_t *translation, const relay_json_tree_t *tree,
                               relay_json_node_t message, const relay_place_t *outer,
                               relay_block_t ***tail)
{
    enum { CONTENT, REASONING, DETAILS, KEYS };
    static const relay_span_t keys[KEYS] = {RELAY_SPAN_INIT("reasoning_content"),
                                            RELAY_SPAN_INIT("reasoning"),
                                            RELAY_SPAN_INIT("reasoning_details")};
    relay_json_node_t nodes[KEYS], node;
    relay_block_t **first = *tail;
    relay_span_t plain;
    unsigned key;

    relay_json_pick(tree, message, keys, KEYS, nodes);
    node = relay_json_first(tree, nodes[DETAILS]);
    while (node != RELAY_JSON_NOWHERE) {
        if (!read_detail(translation, tree, nodes[DETAILS], &node, tail)) {
            return false;
        }
    }
    plain = relay_json_content(tree, nodes[CONTENT]);
    key = *first != NULL ? DETAILS : plain.len != 0 ? CONTENT : REASONING;
    plain = plain.len != 0 ? plain : relay_json_content(tree, nodes[REASONING]);
    if (plain.len != 0 && *first == NULL &&
        relay_codec_block(translation, tail, RELAY_BLOCK_THINKING) == NULL) {
        return false;
    }
    if (*first != NULL && (*first)->next == NULL && (*first)->kind == RELAY_BLOCK_THINKING &&
        (*first)->text.len == 0) {
        (*first)->text = plain;
    }
    return outer == NULL || *first == NULL || say_where(translation, outer, keys[key], *first);
}

void relay_chat_put_detail(relay_buf_t *out, relay_block_kind_t kind, relay_span_t text,
                           relay_span_t signature, relay_span_t signer, size_t index)
{
    if (kind == RELAY_BLOCK_REDACTED) {
        RELAY_PUT(out, "{\"type\":\"reasoning.encrypted\",\"data\":");
        relay_codec_put_string(out, text);
    } else {
        RELAY_PUT(out, "{\"type\":\"reasoning.text\"");
        relay_codec_put_text(out, RELAY_SPAN(",\"text\":"), text);
        relay_codec_put_text(out, RELAY_SPAN(",\"signature\":"), signature);
    }
    relay_codec_put_text(out, RELAY_SPAN(",\"format\":"), signer);
    RELAY_PUT(out, ",\"index\":");
    relay_buf_put_u64(out, index);
    RELAY_PUT(out, "}");
}

/* ---- words --------------------------------------------------------------- */

relay_stop_t relay_chat_stop(relay_span_t word)
{
    static const struct {
        relay_span_t word;
        relay_stop_t reason;
    } words[] = {
        {RELAY_SPAN_INIT("stop"), RELAY_STOP_END},
        {RELAY_SPAN_INIT("tool_calls"), RELAY_STOP_TOOLS},
        {RELAY_SPAN_INIT("length"), RELAY_STOP_LENGTH},
        {RELAY_SPAN_INIT("content_filter"), RELAY_STOP_REFUSAL},
        {RELAY_SPAN_INIT("function_call"), RELAY_STOP_TOOLS},
        {RELAY_SPAN_INIT("eos"), RELAY_STOP_END},
        {RELAY_SPAN_INIT("model_length"), RELAY_STOP_LENGTH},
    };

    for (size_t i = 0; i < COUNT(words); i++) {
        if (relay_span_eq(word, words[i].word)) {
            return words[i].reason;
        }
    }
    return word.len != 0 ? RELAY_STOP_END : RELAY_STOP_UNSET;
}

relay_span_t relay_chat_stop_word(relay_stop_t reason)
{
    switch (reason) {
    case RELAY_STOP_LENGTH:
    case RELAY_STOP_CONTEXT:
        return RELAY_SPAN("length");
    case RELAY_STOP_TOOLS:
        return RELAY_SPAN("tool_calls");
    case RELAY_STOP_REFUSAL:
        return RELAY_SPAN("content_filter");
    default:
        return RELAY_SPAN("stop");
    }
}

/* ---- usage --------------------------------------------------------------- */

void relay_openai_put_tier(relay_translation_t *translation, relay_buf_t *out, relay_tier_t tier)
{
    static const relay_span_t words[] = {
        [RELAY_TIER_UNKNOWN] = RELAY_SPAN_INIT(""),
        [RELAY_TIER_STANDARD] = RELAY_SPAN_INIT("default"),
        [RELAY_TIER_FLEX] = RELAY_SPAN_INIT("flex"),
        [RELAY_TIER_PRIORITY] = RELAY_SPAN_INIT("priority"),
        [RELAY_TIER_RESERVED] = RELAY_SPAN_INIT("scale"),
        [RELAY_TIER_BATCH] = RELAY_SPAN_INIT(""),
    };

    if (tier == RELAY_TIER_BATCH) {
        relay_codec_drop_name(translation, RELAY_SPAN("service_tier"));
    }
    relay_codec_put_text(out, RELAY_SPAN(",\"service_tier\":"), words[tier]);
}

void relay_chat_put_usage(relay_buf_t *out, const relay_usage_t *usage)
{
    RELAY_PUT(out, "{\"prompt_tokens\":");
    relay_buf_put_u64(out, usage->input_tokens);
    RELAY_PUT(out, ",\"completion_tokens\":");
    relay_buf_put_u64(out, usage->output_tokens);
    RELAY_PUT(out, ",\"total_tokens\":");
    relay_buf_put_u64(out, usage->input_tokens + usage->output_tokens);
    RELAY_PUT(out, ",\"prompt_tokens_details\":{\"cached_tokens\":");
    relay_buf_put_u64(out, usage->cached_tokens);
    RELAY_PUT(out, ",\"cache_write_tokens\":");
    relay_buf_put_u64(out, usage->cache_write_tokens);
    RELAY_PUT(out, "},\"completion_tokens_details\":{\"reasoning_tokens\":");
    relay_buf_put_u64(out, usage->reasoning_tokens);
    RELAY_PUT(out, "}}");
}
