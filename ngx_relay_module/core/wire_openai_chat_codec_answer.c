/*
 * Whole answers of Chat Completions into the canonical protocol and out of it.
 * Called through the codec.
 */

#include "wire_openai.h"
#include "wire_openai_chat_codec.h"
#include "wire_support.h"

typedef struct {
    relay_translation_t *translation;
    const relay_json_tree_t *tree;
} reading_t;

/* ---- reading ------------------------------------------------------------- */

static relay_block_t *add_text(reading_t *reading, relay_block_t ***tail, relay_block_kind_t kind,
                               relay_span_t text)
{
    relay_block_t *block = relay_codec_block(reading->translation, tail, kind);

    if (block != NULL) {
        block->text = text;
    }
    return block;
}

/* A typed part of the content: text, or thinking that holds text. */
static bool read_part(reading_t *reading, relay_json_node_t node, relay_block_t ***tail)
{
    static const relay_span_t keys[] = {RELAY_SPAN_INIT("text"), RELAY_SPAN_INIT("thinking")};
    relay_json_node_t nodes[2], inner[2], each;
    relay_span_t text;

    relay_json_pick(reading->tree, node, keys, 2, nodes);
    text = relay_json_content(reading->tree, nodes[0]);
    if (text.len != 0 && add_text(reading, tail, RELAY_BLOCK_TEXT, text) == NULL) {
        return false;
    }
    for (each = relay_json_first(reading->tree, nodes[1]); each != RELAY_JSON_NOWHERE;
         each = relay_json_next(reading->tree, nodes[1], each)) {
        relay_json_pick(reading->tree, each, keys, 2, inner);
        text = relay_json_content(reading->tree, inner[0]);
        if (text.len != 0 && add_text(reading, tail, RELAY_BLOCK_THINKING, text) == NULL) {
            return false;
        }
    }
    return true;
}

static bool read_annotations(reading_t *reading, relay_json_node_t list, relay_block_t *text)
{
    enum { TITLE, URL, START, END, KEYS };
    static const relay_span_t outer[] = {RELAY_SPAN_INIT("url_citation")};
    static const relay_span_t keys[KEYS] = {RELAY_SPAN_INIT("title"), RELAY_SPAN_INIT("url"),
                                            RELAY_SPAN_INIT("start_index"),
                                            RELAY_SPAN_INIT("end_index")};
    relay_json_node_t each, inner, nodes[KEYS];
    relay_citation_t **tail = &text->citations;

    for (each = relay_json_first(reading->tree, list); each != RELAY_JSON_NOWHERE;
         each = relay_json_next(reading->tree, list, each)) {
        relay_json_pick(reading->tree, each, outer, 1, &inner);
        relay_json_pick(reading->tree, inner, keys, KEYS, nodes);
        *tail = relay_codec_new(reading->translation, sizeof(**tail));
        if (*tail == NULL) {
            return false;
        }
        **tail = (relay_citation_t){.raw = relay_json_value(reading->tree, each).text,
                                    .url = relay_json_content(reading->tree, nodes[URL]),
                                    .title = relay_json_content(reading->tree, nodes[TITLE]),
                                    .from = relay_json_value(reading->tree, nodes[START]),
                                    .until = relay_json_value(reading->tree, nodes[END])};
        tail = &(*tail)->next;
    }
    return true;
}

enum { M_CONTENT, M_REFUSAL, M_CALLS, M_ANNOTATIONS, M_FUNCTION_CALL, M_IMAGES, MESSAGE_KEYS };

static const relay_span_t message_keys[MESSAGE_KEYS] = {
    RELAY_SPAN_INIT("content"),     RELAY_SPAN_INIT("refusal"),       RELAY_SPAN_INIT("tool_calls"),
    RELAY_SPAN_INIT("annotations"), RELAY_SPAN_INIT("function_call"), RELAY_SPAN_INIT("images")};

static bool read_content(reading_t *reading, const relay_json_node_t *nodes, relay_block_t ***tail)
{
    relay_json_node_t content = nodes[M_CONTENT], each;
    relay_span_t text = relay_json_content(reading->tree, content);
    relay_block_t *block;

    if (text.len != 0) {
        block = add_text(reading, tail, RELAY_BLOCK_TEXT, text);
        return block != NULL && read_annotations(reading, nodes[M_ANNOTATIONS], block);
    }
    for (each = relay_json_first(reading->tree, content); each != RELAY_JSON_NOWHERE;
         each = relay_json_next(reading->tree, content, each)) {
        if (!read_part(reading, each, tail)) {
            return false;
        }
    }
    return true;
}

static bool read_image(reading_t *reading, relay_span_t url, relay_block_t ***tail)
{
    relay_media_t media = {.source = RELAY_SOURCE_URL, .data = url};
    relay_block_t *block;

    relay_codec_data_url(reading->translation, url, &media);
    if (media.data.len == 0) {
        return true;
    }
    block = relay_codec_block(reading->translation, tail, RELAY_BLOCK_IMAGE);
    if (block != NULL) {
        block->media = media;
    }
    return block != NULL;
}

static bool read_images(reading_t *reading, relay_json_node_t list, relay_block_t ***tail)
{
    static const relay_span_t outer[] = {RELAY_SPAN_INIT("image_url")};
    static const relay_span_t key[] = {RELAY_SPAN_INIT("url")};
    relay_json_node_t each, inner, url;

    for (each = relay_json_first(reading->tree, list); each != RELAY_JSON_NOWHERE;
         each = relay_json_next(reading->tree, list, each)) {
        relay_json_pick(reading->tree, each, outer, 1, &inner);
        relay_json_pick(reading->tree, inner, key, 1, &url);
        if (!read_image(reading, relay_json_content(reading->tree, url), tail)) {
            return false;
        }
    }
    return true;
}

/* The deprecated single call. */
static bool read_old_call(reading_t *reading, relay_json_node_t call, relay_block_t ***tail)
{
    static const relay_span_t keys[] = {RELAY_SPAN_INIT("name"), RELAY_SPAN_INIT("arguments")};
    relay_json_node_t nodes[2];
    relay_block_t *block;

    if (relay_json_type(reading->tree, call) != RELAY_JSON_OBJECT) {
        return true;
    }
    relay_json_pick(reading->tree, call, keys, 2, nodes);
    block = relay_codec_block(reading->translation, tail, RELAY_BLOCK_TOOL_CALL);
    if (block != NULL) {
        block->call.name = relay_json_content(reading->tree, nodes[0]);
        block->call.id = block->call.name;
        block->call.arguments = (relay_arguments_t){
            .text = relay_json_content(reading->tree, nodes[1]), .quoted = true};
    }
    return block != NULL;
}

static bool read_message(reading_t *reading, relay_json_node_t message, relay_choice_t *choice)
{
    relay_json_node_t nodes[MESSAGE_KEYS];
    relay_block_t **tail = &choice->blocks;
    relay_span_t refusal;

    relay_json_pick(reading->tree, message, message_keys, MESSAGE_KEYS, nodes);
    if (!relay_chat_read_reasoning(reading->translation, reading->tree, message, NULL, &tail) ||
        !read_content(reading, nodes, &tail) || !read_images(reading, nodes[M_IMAGES], &tail)) {
        return false;
    }
    refusal = relay_json_content(reading->tree, nodes[M_REFUSAL]);
    if (refusal.len != 0 && add_text(reading, &tail, RELAY_BLOCK_REFUSAL, refusal) == NULL) {
        return false;
    }
    return relay_chat_read_calls(reading->translation, reading->tree, nodes[M_CALLS], NULL,
                                 &tail) &&
           read_old_call(reading, nodes[M_FUNCTION_CALL], &tail);
}

/* Those of the text and of the refusal, each a list. */
static void read_logprobs(const reading_t *reading, relay_json_node_t node, relay_block_t *block)
{
    static const relay_span_t keys[] = {RELAY_SPAN_INIT("content"), RELAY_SPAN_INIT("refusal")};
    relay_json_node_t lists[2];
    bool given[2] = {false, false};

    relay_json_pick(reading->tree, node, keys, 2, lists);
    for (; block != NULL; block = block->next) {
        bool refusal = block->kind == RELAY_BLOCK_REFUSAL;
        if ((refusal || block->kind == RELAY_BLOCK_TEXT) && !given[refusal] &&
            relay_json_type(reading->tree, lists[refusal]) == RELAY_JSON_ARRAY) {
            block->logprobs = relay_json_value(reading->tree, lists[refusal]);
            given[refusal] = true;
        }
    }
}

/* Calls are calls, whatever the word at the end says. */
static relay_stop_t stop_of(const relay_choice_t *choice, relay_span_t word)
{
    relay_stop_t reason = relay_chat_stop(word);

    if (reason != RELAY_STOP_END && reason != RELAY_STOP_UNSET) {
        return reason;
    }
    for (const relay_block_t *block = choice->blocks; block != NULL; block = block->next) {
        if (block->kind == RELAY_BLOCK_TOOL_CALL) {
            return RELAY_STOP_TOOLS;
        }
    }
    return RELAY_STOP_END;
}

static relay_choice_t *read_choice(reading_t *reading, relay_json_node_t node)
{
    enum { INDEX, MESSAGE, FINISH, LOGPROBS, KEYS };
    static const relay_span_t keys[KEYS] = {RELAY_SPAN_INIT("index"), RELAY_SPAN_INIT("message"),
                                            RELAY_SPAN_INIT("finish_reason"),
                                            RELAY_SPAN_INIT("logprobs")};
    relay_choice_t *choice = relay_codec_new(reading->translation, sizeof(*choice));
    relay_json_node_t nodes[KEYS];
    uint64_t index = 0;

    if (choice == NULL) {
        return NULL;
    }
    relay_json_pick(reading->tree, node, keys, KEYS, nodes);
    relay_json_uint(relay_json_value(reading->tree, nodes[INDEX]), &index);
    choice->index = (unsigned)(index < 128 ? index : 127);
    if (!read_message(reading, nodes[MESSAGE], choice)) {
        return NULL;
    }
    read_logprobs(reading, nodes[LOGPROBS], choice->blocks);
    choice->ending.reason = stop_of(choice, relay_json_content(reading->tree, nodes[FINISH]));
    return choice;
}

enum { A_ID, A_MODEL, A_CREATED, A_CHOICES, A_USAGE, A_TIER, A_GROQ, ANSWER_KEYS };

static const relay_span_t answer_keys[ANSWER_KEYS] = {
    RELAY_SPAN_INIT("id"),      RELAY_SPAN_INIT("model"), RELAY_SPAN_INIT("created"),
    RELAY_SPAN_INIT("choices"), RELAY_SPAN_INIT("usage"), RELAY_SPAN_INIT("service_tier"),
    RELAY_SPAN_INIT("x_groq")};

static void read_head(reading_t *reading, const relay_json_node_t *nodes,
                      relay_response_t *response)
{
    static const relay_span_t keys[] = {RELAY_SPAN_INIT("usage")};
    relay_json_node_t nested;

    response->origin = &relay_codec_openai_chat;
    response->id = relay_json_content(reading->tree, nodes[A_ID]);
    response->model = relay_json_content(reading->tree, nodes[A_MODEL]);
    relay_wire_tier(relay_json_content(reading->tree, nodes[A_TIER]), &response->usage.tier);
    relay_json_uint(relay_json_value(reading->tree, nodes[A_CREATED]), &response->created_s);
    relay_json_pick(reading->tree, nodes[A_GROQ], keys, 1, &nested);
    relay_openai_usage(relay_json_value(reading->tree, nested), &response->usage);
    relay_openai_usage(relay_json_value(reading->tree, nodes[A_USAGE]), &response->usage);
}

relay_error_code_t relay_chat_read_response(relay_translation_t *translation,
                                            const relay_json_tree_t *tree,
                                            relay_response_t *response)
{
    reading_t reading = {translation, tree};
    relay_json_node_t nodes[ANSWER_KEYS], node;
    relay_choice_t **tail = &response->choices;

    relay_json_pick(tree, 0, answer_keys, ANSWER_KEYS, nodes);
    read_head(&reading, nodes, response);
    for (node = relay_json_first(tree, nodes[A_CHOICES]); node != RELAY_JSON_NOWHERE;
         node = relay_json_next(tree, nodes[A_CHOICES], node)) {
        *tail = read_choice(&reading, node);
        if (*tail == NULL) {
            return translation->error.code;
        }
        tail = &(*tail)->next;
    }
    if (response->choices == NULL) {
        relay_codec_invalid(translation, RELAY_SPAN("The provider's answer has no choices."));
    }
    return translation->error.code;
}

/* ---- writing ------------------------------------------------------------- */

typedef struct {
    relay_translation_t *translation;
    const relay_response_t *response;
    relay_buf_t *out;
} writing_t;

/* The texts of one kind of block as one string; null if there are none. */
static bool put_texts(writing_t *writing, const relay_choice_t *choice, relay_block_kind_t kind)
{
    bool any = false;

    for (const relay_block_t *block = choice->blocks; block != NULL; block = block->next) {
        if (block->kind == kind) {
            relay_buf_put(writing->out, any ? RELAY_SPAN("") : RELAY_SPAN("\""));
            relay_buf_put(writing->out, block->text);
            any = true;
        }
    }
    relay_buf_put(writing->out, any ? RELAY_SPAN("\"") : RELAY_SPAN("null"));
    return any;
}

static bool has(const relay_choice_t *choice, relay_block_kind_t kind)
{
    const relay_block_t *block = choice->blocks;

    while (block != NULL && block->kind != kind) {
        block = block->next;
    }
    return block != NULL;
}

/* The plain field for those who show it, the details for those who send them back. */
static void put_reasoning(writing_t *writing, const relay_choice_t *choice)
{
    size_t count = 0;

    if (has(choice, RELAY_BLOCK_THINKING)) {
        RELAY_PUT(writing->out, ",\"reasoning_content\":");
        put_texts(writing, choice, RELAY_BLOCK_THINKING);
    }
    for (const relay_block_t *block = choice->blocks; block != NULL; block = block->next) {
        if (block->kind == RELAY_BLOCK_REDACTED ||
            (block->kind == RELAY_BLOCK_THINKING && block->signature.len != 0)) {
            relay_buf_put(writing->out,
                          count == 0 ? RELAY_SPAN(",\"reasoning_details\":[") : RELAY_SPAN(","));
            relay_chat_put_detail(writing->out, block->kind, block->text, block->signature,
                                  block->signer, count++);
        }
    }
    relay_buf_put(writing->out, count != 0 ? RELAY_SPAN("]") : RELAY_SPAN(""));
}

static void put_index(relay_buf_t *out, relay_json_value_t index)
{
    if (index.type == RELAY_JSON_NUMBER) {
        relay_buf_put(out, index.text);
    } else {
        RELAY_PUT(out, "0");
    }
}

void relay_chat_put_annotation(relay_buf_t *out, const relay_citation_t *citation)
{
    RELAY_PUT(out, "{\"type\":\"url_citation\",\"url_citation\":{\"start_index\":");
    put_index(out, citation->from);
    RELAY_PUT(out, ",\"end_index\":");
    put_index(out, citation->until);
    RELAY_PUT(out, ",\"title\":");
    relay_codec_put_string(out, citation->title);
    RELAY_PUT(out, ",\"url\":");
    relay_codec_put_string(out, citation->url);
    RELAY_PUT(out, "}}");
}

void relay_chat_put_image(relay_buf_t *out, const relay_media_t *media, size_t index)
{
    RELAY_PUT(out, "{\"type\":\"image_url\",\"image_url\":{\"url\":");
    relay_codec_put_media_url(out, media);
    RELAY_PUT(out, "},\"index\":");
    relay_buf_put_u64(out, index);
    RELAY_PUT(out, "}");
}

/* A member that hosts of this format agree upon, though its vendor has none. */
static void put_images(writing_t *writing, const relay_choice_t *choice)
{
    size_t count = 0;

    for (const relay_block_t *block = choice->blocks; block != NULL; block = block->next) {
        if (block->kind == RELAY_BLOCK_IMAGE) {
            relay_buf_put(writing->out, count == 0 ? RELAY_SPAN(",\"images\":[") : RELAY_SPAN(","));
            relay_chat_put_image(writing->out, &block->media, count++);
        }
    }
    relay_buf_put(writing->out, count != 0 ? RELAY_SPAN("]") : RELAY_SPAN(""));
}

static void put_annotations(writing_t *writing, const relay_choice_t *choice)
{
    bool any = false;

    RELAY_PUT(writing->out, ",\"annotations\":[");
    for (const relay_block_t *block = choice->blocks; block != NULL; block = block->next) {
        for (const relay_citation_t *each = block->citations; each != NULL; each = each->next) {
            if (each->url.len != 0) {
                relay_buf_put(writing->out, any ? RELAY_SPAN(",") : RELAY_SPAN(""));
                relay_chat_put_annotation(writing->out, each);
                any = true;
            }
        }
    }
    RELAY_PUT(writing->out, "]");
}

/* Broken arguments go through as they are: they are the model's words. */
static void put_arguments(writing_t *writing, const relay_call_t *call)
{
    if (call->arguments.quoted && call->arguments.text.len == 0 && !call->free_text) {
        RELAY_PUT(writing->out, "\"{}\"");
    } else {
        relay_codec_put_quoted(writing->out, &call->arguments);
    }
}

static void put_call(writing_t *writing, const relay_call_t *call, size_t index)
{
    const relay_rename_t *renamed = relay_codec_renamed(writing->translation, call->name);
    relay_span_t name = renamed != NULL ? renamed->original : call->name, text;
    bool custom = call->free_text || (renamed != NULL && renamed->free_text);
    relay_buf_t *out = writing->out;

    RELAY_PUT(out, "{\"id\":\"");
    relay_buf_put(out, call->id.len != 0 ? call->id : RELAY_SPAN("call_"));
    if (call->id.len == 0) {
        relay_buf_put(out, writing->translation->request_id);
        RELAY_PUT(out, "_");
        relay_buf_put_u64(out, index);
    }
    relay_buf_put(out, custom ? RELAY_SPAN("\",\"type\":\"custom\",\"custom\":{\"name\":")
                              : RELAY_SPAN("\",\"type\":\"function\",\"function\":{\"name\":"));
    relay_codec_put_string(out, name);
    relay_buf_put(out, custom ? RELAY_SPAN(",\"input\":") : RELAY_SPAN(",\"arguments\":"));
    if (custom && !call->free_text &&
        relay_codec_unwrap(writing->translation, &call->arguments, &text)) {
        relay_codec_put_string(out, text);
    } else {
        put_arguments(writing, call);
    }
    RELAY_PUT(out, "}}");
}

/* A caller of the deprecated kind knows one call, without an id. */
static void put_old_call(writing_t *writing, const relay_choice_t *choice)
{
    const relay_block_t *block = choice->blocks;

    while (block->kind != RELAY_BLOCK_TOOL_CALL) {
        block = block->next;
    }
    RELAY_PUT(writing->out, ",\"function_call\":{\"name\":");
    relay_codec_put_string(writing->out, block->call.name);
    RELAY_PUT(writing->out, ",\"arguments\":");
    put_arguments(writing, &block->call);
    RELAY_PUT(writing->out, "}");
}

static void put_calls(writing_t *writing, const relay_choice_t *choice)
{
    size_t count = 0;

    if (!has(choice, RELAY_BLOCK_TOOL_CALL)) {
        return;
    }
    if (writing->translation->old_calls) {
        put_old_call(writing, choice);
        return;
    }
    for (const relay_block_t *block = choice->blocks; block != NULL; block = block->next) {
        if (block->kind == RELAY_BLOCK_TOOL_CALL) {
            relay_buf_put(writing->out,
                          count == 0 ? RELAY_SPAN(",\"tool_calls\":[") : RELAY_SPAN(","));
            put_call(writing, &block->call, count++);
        }
    }
    RELAY_PUT(writing->out, "]");
}

static void put_message(writing_t *writing, const relay_choice_t *choice)
{
    bool refusal = has(choice, RELAY_BLOCK_REFUSAL);
    relay_buf_t *out = writing->out;

    RELAY_PUT(out, "{\"role\":\"assistant\",\"content\":");
    if (!has(choice, RELAY_BLOCK_TEXT) && !refusal && !has(choice, RELAY_BLOCK_TOOL_CALL)) {
        RELAY_PUT(out, "\"\"");
    } else {
        put_texts(writing, choice, RELAY_BLOCK_TEXT);
    }
    RELAY_PUT(out, ",\"refusal\":");
    if (refusal) {
        put_texts(writing, choice, RELAY_BLOCK_REFUSAL);
    } else {
        relay_codec_put_string_or_null(out, choice->ending.explanation);
    }
    put_annotations(writing, choice);
    put_reasoning(writing, choice);
    put_images(writing, choice);
    put_calls(writing, choice);
    RELAY_PUT(out, "}");
}

static bool is_likely(const relay_block_t *block, relay_block_kind_t kind)
{
    return block->kind == kind && block->logprobs.type == RELAY_JSON_ARRAY;
}

/* The lists of one kind of block as one; null if there are none. */
static void put_likely(relay_buf_t *out, const relay_block_t *block, relay_block_kind_t kind)
{
    bool any = false;

    for (; block != NULL; block = block->next) {
        if (is_likely(block, kind)) {
            relay_buf_put(out, any ? RELAY_SPAN(",") : RELAY_SPAN("["));
            relay_codec_put_logprobs(out, block->logprobs, RELAY_SPAN("null"));
            any = true;
        }
    }
    relay_buf_put(out, any ? RELAY_SPAN("]") : RELAY_SPAN("null"));
}

static void put_logprobs(relay_buf_t *out, const relay_block_t *blocks)
{
    const relay_block_t *block = blocks;

    while (block != NULL && !is_likely(block, block->kind)) {
        block = block->next;
    }
    if (block == NULL) {
        RELAY_PUT(out, "null");
        return;
    }
    RELAY_PUT(out, "{\"content\":");
    put_likely(out, blocks, RELAY_BLOCK_TEXT);
    RELAY_PUT(out, ",\"refusal\":");
    put_likely(out, blocks, RELAY_BLOCK_REFUSAL);
    RELAY_PUT(out, "}");
}

static void put_choice(writing_t *writing, const relay_choice_t *choice)
{
    relay_buf_t *out = writing->out;
    bool old = writing->translation->old_calls && choice->ending.reason == RELAY_STOP_TOOLS;

    RELAY_PUT(out, "{\"index\":");
    relay_buf_put_u64(out, choice->index);
    RELAY_PUT(out, ",\"message\":");
    put_message(writing, choice);
    RELAY_PUT(out, ",\"logprobs\":");
    put_logprobs(out, choice->blocks);
    RELAY_PUT(out, ",\"finish_reason\":\"");
    relay_buf_put(out,
                  old ? RELAY_SPAN("function_call") : relay_chat_stop_word(choice->ending.reason));
    RELAY_PUT(out, "\"}");
}

relay_error_code_t relay_chat_write_response(relay_translation_t *translation,
                                             const relay_response_t *response, relay_buf_t *out)
{
    writing_t writing = {translation, response, out};

    RELAY_PUT(out, "{\"id\":\"");
    relay_codec_put_answer_id(out, translation, RELAY_CHAT_ID, response->id);
    RELAY_PUT(out, "\",\"object\":\"chat.completion\",\"created\":");
    relay_buf_put_u64(out, response->created_s);
    RELAY_PUT(out, ",\"model\":");
    relay_codec_put_string(out, response->model);
    RELAY_PUT(out, ",\"choices\":[");
    for (const relay_choice_t *choice = response->choices; choice != NULL; choice = choice->next) {
        put_choice(&writing, choice);
        relay_buf_put(out, choice->next != NULL ? RELAY_SPAN(",") : RELAY_SPAN(""));
    }
    RELAY_PUT(out, "],\"usage\":");
    relay_chat_put_usage(out, &response->usage);
    relay_openai_put_tier(translation, out, response->usage.tier);
    RELAY_PUT(out, "}");
    return translation->error.code;
}
