/*
 * What requests, answers and streams of Responses have in common for the codec:
 * reasoning, calls, ids, words, usage.
 */

#include "wire_openai_responses_codec.h"
#include "wire_support.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

/* ---- reasoning ----------------------------------------------------------- */

static const struct {
    relay_span_t head;
    relay_block_kind_t kind;
} seals[] = {
    {RELAY_SPAN_INIT("relay1:thinking:"), RELAY_BLOCK_THINKING},
    {RELAY_SPAN_INIT("relay1:redacted:"), RELAY_BLOCK_REDACTED},
};

void relay_responses_put_sealed(relay_buf_t *out, relay_block_kind_t kind, relay_span_t text,
                                relay_span_t signature, relay_span_t signer)
{
    bool redacted = kind == RELAY_BLOCK_REDACTED;

    if (relay_span_eq(signer, RELAY_RESPONSES_SIGNER)) {
        relay_codec_put_string(out, redacted ? text : signature);
        return;
    }
    RELAY_PUT(out, "\"");
    relay_buf_put(out, seals[redacted ? 1 : 0].head);
    relay_buf_put(out, signer);
    RELAY_PUT(out, ":");
    relay_buf_put(out, redacted ? relay_span(NULL, 0) : signature);
    RELAY_PUT(out, ":");
    relay_buf_put(out, text);
    RELAY_PUT(out, "\"");
}

/* The part before the next colon; *rest becomes what is behind it. */
static relay_span_t next_part(relay_span_t *rest)
{
    const uint8_t *colon = rest->len != 0 ? memchr(rest->base, ':', rest->len) : NULL;
    relay_span_t part = *rest;

    if (colon != NULL) {
        part.len = (size_t)(colon - rest->base);
    }
    *rest = relay_span_from(*rest, part.len + (colon != NULL));
    return part;
}

void relay_responses_unseal(relay_span_t sealed, relay_block_t *block)
{
    for (size_t i = 0; i < COUNT(seals); i++) {
        relay_span_t rest;
        if (relay_span_starts(sealed, seals[i].head)) {
            rest = relay_span_from(sealed, seals[i].head.len);
            block->kind = seals[i].kind;
            block->signer = next_part(&rest);
            block->signature = next_part(&rest);
            block->text = rest;
            return;
        }
    }
    block->signer = RELAY_RESPONSES_SIGNER;
    block->signature = sealed;
}

/* The texts of a list of parts, a blank line between them. */
static relay_span_t joined_texts(relay_translation_t *translation, const relay_json_tree_t *tree,
                                 relay_json_node_t list)
{
    static const relay_span_t key = RELAY_SPAN_INIT("text"), between = RELAY_SPAN_INIT("\\n\\n");
    relay_json_node_t node, text, only = RELAY_JSON_NOWHERE;
    size_t size = 0, count = 0;
    relay_buf_t out;
    uint8_t *bytes;

    for (node = relay_json_first(tree, list); node != RELAY_JSON_NOWHERE;
         node = relay_json_next(tree, list, node)) {
        relay_json_pick(tree, node, &key, 1, &text);
        only = text;
        size += relay_json_content(tree, text).len + between.len;
        count++;
    }
    if (count <= 1) {
        return relay_json_content(tree, only);
    }
    bytes = relay_codec_new(translation, size);
    out = relay_buf(bytes, bytes != NULL ? size : 0);
    for (node = relay_json_first(tree, list); node != RELAY_JSON_NOWHERE;
         node = relay_json_next(tree, list, node)) {
        relay_json_pick(tree, node, &key, 1, &text);
        relay_buf_put(&out, out.len != 0 ? between : relay_span(NULL, 0));
        relay_buf_put(&out, relay_json_content(tree, text));
    }
    return relay_buf_span(&out);
}

bool relay_responses_read_reasoning(relay_translation_t *translation, const relay_json_tree_t *tree,
                                    relay_json_node_t item, relay_block_t ***tail)
{
    enum { SUMMARY, CONTENT, SEALED, KEYS };
    static const relay_span_t keys[KEYS] = {RELAY_SPAN_INIT("summary"), RELAY_SPAN_INIT("content"),
                                            RELAY_SPAN_INIT("encrypted_content")};
    relay_json_node_t nodes[KEYS];
    relay_span_t sealed, text;
    relay_block_t *block;

    relay_json_pick(tree, item, keys, KEYS, nodes);
    sealed = relay_json_content(tree, nodes[SEALED]);
    text = joined_texts(translation, tree, nodes[CONTENT]);
    text = text.len != 0 ? text : joined_texts(translation, tree, nodes[SUMMARY]);
    if (translation->error.code != RELAY_ERR_NONE) {
        return false;
    }
    if (sealed.len == 0 && text.len == 0) {
        return true;
    }
    block = relay_codec_block(translation, tail, RELAY_BLOCK_THINKING);
    if (block == NULL) {
        return false;
    }
    block->text = text;
    if (sealed.len != 0) {
        relay_responses_unseal(sealed, block);
    }
    return true;
}

/* ---- calls --------------------------------------------------------------- */

relay_responses_called_t relay_responses_called(const relay_translation_t *translation,
                                                relay_span_t name, relay_span_t scope,
                                                bool free_text)
{
    const relay_rename_t *renamed = relay_codec_renamed(translation, name);
    relay_responses_called_t called = {.kind = free_text ? RELAY_RESPONSES_CUSTOM
                                                         : RELAY_RESPONSES_FUNCTION,
                                       .name = name,
                                       .scope = scope};

    if (renamed != NULL) {
        called.name = renamed->original;
        called.scope = renamed->scope;
        called.wrapped = renamed->free_text && !free_text;
        called.kind = renamed->free_text ? RELAY_RESPONSES_CUSTOM : called.kind;
    }
    if (called.kind == RELAY_RESPONSES_FUNCTION &&
        relay_span_eq(called.scope, RELAY_RESPONSES_SEARCH) &&
        relay_span_eq(called.name, RELAY_RESPONSES_SEARCH)) {
        called.kind = RELAY_RESPONSES_TOOL_SEARCH;
    }
    return called;
}

void relay_responses_put_search(relay_translation_t *translation, relay_buf_t *out,
                                const relay_arguments_t *arguments)
{
    relay_codec_put_input(translation, out, arguments);
}

/* ---- ids ----------------------------------------------------------------- */

relay_span_t relay_responses_item_prefix(relay_block_kind_t kind, relay_responses_call_t call)
{
    switch (kind) {
    case RELAY_BLOCK_THINKING:
    case RELAY_BLOCK_REDACTED:
        return RELAY_SPAN("rs_");
    case RELAY_BLOCK_TOOL_CALL:
        return call == RELAY_RESPONSES_FUNCTION ? RELAY_SPAN("fc_")
               : call == RELAY_RESPONSES_CUSTOM ? RELAY_SPAN("ctc_")
                                                : RELAY_SPAN("tsc_");
    case RELAY_BLOCK_IMAGE:
        return RELAY_SPAN("ig_");
    default:
        return RELAY_SPAN("msg_");
    }
}

void relay_responses_put_item_id(relay_buf_t *out, const relay_translation_t *translation,
                                 relay_span_t prefix, uint64_t index)
{
    RELAY_PUT(out, "\"");
    relay_buf_put(out, prefix);
    relay_buf_put(out, translation->request_id);
    RELAY_PUT(out, "_");
    relay_buf_put_u64(out, index);
    RELAY_PUT(out, "\"");
}

/* ---- images -------------------------------------------------------------- */

bool relay_responses_shows(relay_translation_t *translation, const relay_media_t *media)
{
    if (media->source != RELAY_SOURCE_BASE64) {
        relay_codec_drop_name(translation, RELAY_SPAN("output.image_generation_call"));
    }
    return media->source == RELAY_SOURCE_BASE64;
}

void relay_responses_put_image_format(relay_buf_t *out, relay_span_t media_type)
{
    static const relay_span_t formats[] = {
        RELAY_SPAN_INIT("image/png"), RELAY_SPAN_INIT("image/jpeg"), RELAY_SPAN_INIT("image/webp")};

    for (size_t i = 0; i < COUNT(formats); i++) {
        if (relay_span_eq(media_type, formats[i])) {
            RELAY_PUT(out, ",\"output_format\":");
            relay_codec_put_string(out, relay_span_from(formats[i], RELAY_SPAN("image/").len));
        }
    }
}

/* ---- annotations --------------------------------------------------------- */

static void put_index(relay_buf_t *out, relay_json_value_t index)
{
    if (index.type == RELAY_JSON_NUMBER) {
        relay_buf_put(out, index.text);
    } else {
        RELAY_PUT(out, "0");
    }
}

void relay_responses_put_annotation(relay_buf_t *out, const relay_citation_t *citation)
{
    RELAY_PUT(out, "{\"type\":\"url_citation\",\"start_index\":");
    put_index(out, citation->from);
    RELAY_PUT(out, ",\"end_index\":");
    put_index(out, citation->until);
    RELAY_PUT(out, ",\"title\":");
    relay_codec_put_string(out, citation->title);
    RELAY_PUT(out, ",\"url\":");
    relay_codec_put_string(out, citation->url);
    RELAY_PUT(out, "}");
}

bool relay_responses_read_annotation(relay_json_value_t object, relay_citation_t *citation)
{
    enum { URL, TITLE, START, END, KEYS };
    static const relay_span_t keys[KEYS] = {RELAY_SPAN_INIT("url"), RELAY_SPAN_INIT("title"),
                                            RELAY_SPAN_INIT("start_index"),
                                            RELAY_SPAN_INIT("end_index")};
    relay_json_value_t values[KEYS];

    if (object.type != RELAY_JSON_OBJECT || !relay_json_members(object.text, keys, KEYS, values) ||
        relay_wire_inner(values[URL]).len == 0) {
        return false;
    }
    *citation = (relay_citation_t){.raw = object.text,
                                   .url = relay_wire_inner(values[URL]),
                                   .title = relay_wire_inner(values[TITLE]),
                                   .from = values[START],
                                   .until = values[END]};
    return true;
}

/* ---- words --------------------------------------------------------------- */

relay_span_t relay_responses_incomplete(relay_stop_t reason)
{
    return reason == RELAY_STOP_REFUSAL ? RELAY_SPAN("content_filter")
                                        : RELAY_SPAN("max_output_tokens");
}

relay_span_t relay_responses_status(relay_stop_t reason, bool said)
{
    switch (reason) {
    case RELAY_STOP_LENGTH:
    case RELAY_STOP_CONTEXT:
        return RELAY_SPAN("incomplete");
    case RELAY_STOP_REFUSAL:
        return said ? RELAY_SPAN("completed") : RELAY_SPAN("incomplete");
    default:
        return RELAY_SPAN("completed");
    }
}

relay_stop_t relay_responses_stop(relay_span_t status, relay_span_t incomplete, bool calls)
{
    if (relay_span_eq(status, RELAY_SPAN("incomplete"))) {
        if (relay_span_eq(incomplete, RELAY_SPAN("max_output_tokens"))) {
            return RELAY_STOP_LENGTH;
        }
        if (relay_span_eq(incomplete, RELAY_SPAN("content_filter"))) {
            return RELAY_STOP_REFUSAL;
        }
    }
    return calls ? RELAY_STOP_TOOLS : RELAY_STOP_END;
}

/* ---- what every response has --------------------------------------------- */

void relay_responses_put_settings(relay_buf_t *out)
{
    RELAY_PUT(out, ",\"parallel_tool_calls\":true,\"previous_response_id\":null,"
                   "\"reasoning\":{\"effort\":null,\"summary\":null},\"store\":false,"
                   "\"temperature\":null,\"text\":{\"format\":{\"type\":\"text\"}},"
                   "\"tool_choice\":\"auto\",\"tools\":[],\"top_p\":null,"
                   "\"truncation\":\"disabled\",\"user\":null,\"metadata\":{}");
}

void relay_responses_put_usage(relay_buf_t *out, const relay_usage_t *usage)
{
    RELAY_PUT(out, "{\"input_tokens\":");
    relay_buf_put_u64(out, usage->input_tokens);
    RELAY_PUT(out, ",\"input_tokens_details\":{\"cached_tokens\":");
    relay_buf_put_u64(out, usage->cached_tokens);
    RELAY_PUT(out, ",\"cache_write_tokens\":");
    relay_buf_put_u64(out, usage->cache_write_tokens);
    RELAY_PUT(out, "},\"output_tokens\":");
    relay_buf_put_u64(out, usage->output_tokens);
    RELAY_PUT(out, ",\"output_tokens_details\":{\"reasoning_tokens\":");
    relay_buf_put_u64(out, usage->reasoning_tokens);
    RELAY_PUT(out, "},\"total_tokens\":");
    relay_buf_put_u64(out, usage->input_tokens + usage->output_tokens);
    RELAY_PUT(out, "}");
}
