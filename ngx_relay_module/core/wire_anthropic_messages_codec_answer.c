/*
 * Whole answers of Anthropic Messages into the canonical protocol and out of it,
 * and what streams share with them. Called through the codec.
 */

#include "wire_anthropic.h"
#include "wire_anthropic_messages_codec.h"
#include "wire_support.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

/* ---- words --------------------------------------------------------------- */

static const struct {
    relay_span_t word;
    relay_stop_t reason;
} stops[] = {
    {RELAY_SPAN_INIT("end_turn"), RELAY_STOP_END},
    {RELAY_SPAN_INIT("max_tokens"), RELAY_STOP_LENGTH},
    {RELAY_SPAN_INIT("tool_use"), RELAY_STOP_TOOLS},
    {RELAY_SPAN_INIT("stop_sequence"), RELAY_STOP_SEQUENCE},
    {RELAY_SPAN_INIT("refusal"), RELAY_STOP_REFUSAL},
    {RELAY_SPAN_INIT("pause_turn"), RELAY_STOP_PAUSE},
    {RELAY_SPAN_INIT("model_context_window_exceeded"), RELAY_STOP_CONTEXT},
};

relay_stop_t relay_messages_stop(relay_span_t word)
{
    for (size_t i = 0; i < COUNT(stops); i++) {
        if (relay_span_eq(word, stops[i].word)) {
            return stops[i].reason;
        }
    }
    return word.len != 0 ? RELAY_STOP_END : RELAY_STOP_UNSET;
}

relay_span_t relay_messages_stop_word(relay_stop_t reason)
{
    for (size_t i = 0; i < COUNT(stops); i++) {
        if (reason == stops[i].reason) {
            return stops[i].word;
        }
    }
    return RELAY_SPAN("end_turn");
}

bool relay_messages_shows(const relay_translation_t *translation, relay_span_t signer)
{
    return translation->unsigned_thinking || relay_span_eq(signer, RELAY_MESSAGES_SIGNER);
}

/* The fresh input alone: this format counts the cache apart. */
static void put_lifetimes(relay_buf_t *out, const relay_usage_t *usage)
{
    RELAY_PUT(out, ",\"cache_creation\":{\"ephemeral_5m_input_tokens\":");
    relay_buf_put_u64(out, usage->cache_write_tokens - usage->cache_write_1h_tokens);
    RELAY_PUT(out, ",\"ephemeral_1h_input_tokens\":");
    relay_buf_put_u64(out, usage->cache_write_1h_tokens);
    RELAY_PUT(out, "}");
}

static void put_tier(relay_translation_t *translation, relay_buf_t *out, relay_tier_t tier)
{
    switch (tier) {
    case RELAY_TIER_UNKNOWN:
        break;
    case RELAY_TIER_STANDARD:
        RELAY_PUT(out, ",\"service_tier\":\"standard\"");
        break;
    case RELAY_TIER_PRIORITY:
        RELAY_PUT(out, ",\"service_tier\":\"priority\"");
        break;
    case RELAY_TIER_BATCH:
        RELAY_PUT(out, ",\"service_tier\":\"batch\"");
        break;
    case RELAY_TIER_FLEX:
    case RELAY_TIER_RESERVED:
        relay_codec_drop_name(translation, RELAY_SPAN("usage.service_tier"));
        break;
    }
}

void relay_messages_put_usage(relay_translation_t *translation, relay_buf_t *out,
                              const relay_usage_t *usage)
{
    RELAY_PUT(out, "{\"input_tokens\":");
    relay_buf_put_u64(out, usage->input_tokens - usage->cached_tokens - usage->cache_write_tokens);
    RELAY_PUT(out, ",\"cache_creation_input_tokens\":");
    relay_buf_put_u64(out, usage->cache_write_tokens);
    RELAY_PUT(out, ",\"cache_read_input_tokens\":");
    relay_buf_put_u64(out, usage->cached_tokens);
    RELAY_PUT(out, ",\"output_tokens\":");
    relay_buf_put_u64(out, usage->output_tokens);
    RELAY_PUT(out, ",\"output_tokens_details\":{\"thinking_tokens\":");
    relay_buf_put_u64(out, usage->reasoning_tokens);
    RELAY_PUT(out, "}");
    if (usage->lifetimes_known) {
        put_lifetimes(out, usage);
    }
    put_tier(translation, out, usage->tier);
    RELAY_PUT(out, "}");
}

void relay_messages_put_citation(relay_buf_t *out, const relay_citation_t *citation)
{
    RELAY_PUT(out, "{\"type\":\"web_search_result_location\",\"url\":");
    relay_codec_put_string(out, citation->url);
    RELAY_PUT(out, ",\"title\":");
    relay_codec_put_string_or_null(out, citation->title);
    RELAY_PUT(out, ",\"encrypted_index\":\"\",\"cited_text\":");
    relay_codec_put_string(out, citation->quote);
    RELAY_PUT(out, "}");
}

/* ---- reading ------------------------------------------------------------- */

enum { A_ID, A_MODEL, A_CONTENT, A_STOP, A_SEQUENCE, A_DETAILS, A_USAGE, ANSWER_KEYS };

static const relay_span_t answer_keys[ANSWER_KEYS] = {RELAY_SPAN_INIT("id"),
                                                      RELAY_SPAN_INIT("model"),
                                                      RELAY_SPAN_INIT("content"),
                                                      RELAY_SPAN_INIT("stop_reason"),
                                                      RELAY_SPAN_INIT("stop_sequence"),
                                                      RELAY_SPAN_INIT("stop_details"),
                                                      RELAY_SPAN_INIT("usage")};

static void read_ending(const relay_json_tree_t *tree, const relay_json_node_t *nodes,
                        relay_choice_t *choice)
{
    static const relay_span_t keys[] = {RELAY_SPAN_INIT("explanation")};
    relay_json_node_t explanation;

    relay_json_pick(tree, nodes[A_DETAILS], keys, 1, &explanation);
    choice->ending.sequence = relay_json_content(tree, nodes[A_SEQUENCE]);
    choice->ending.explanation = relay_json_content(tree, explanation);
    choice->ending.reason = relay_messages_stop(relay_json_content(tree, nodes[A_STOP]));
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

relay_error_code_t relay_messages_read_response(relay_translation_t *translation,
                                                const relay_json_tree_t *tree,
                                                relay_response_t *response)
{
    relay_messages_reading_t reading = {.translation = translation, .tree = tree, .answer = true};
    relay_choice_t *choice = relay_codec_new(translation, sizeof(*choice));
    relay_json_node_t nodes[ANSWER_KEYS];
    relay_block_t **tail;

    relay_json_pick(tree, 0, answer_keys, ANSWER_KEYS, nodes);
    if (relay_json_type(tree, nodes[A_CONTENT]) != RELAY_JSON_ARRAY) {
        relay_codec_invalid(translation, RELAY_SPAN("The provider's answer has no content."));
    }
    if (choice == NULL || translation->error.code != RELAY_ERR_NONE) {
        return translation->error.code;
    }
    response->origin = &relay_codec_anthropic_messages;
    response->id = relay_json_content(tree, nodes[A_ID]);
    response->model = relay_json_content(tree, nodes[A_MODEL]);
    response->choices = choice;
    relay_anthropic_usage(relay_json_value(tree, nodes[A_USAGE]), &response->usage);
    tail = &choice->blocks;
    if (!relay_messages_read_content(&reading, nodes[A_CONTENT], NULL, RELAY_SPAN("content"),
                                     &tail)) {
        relay_error_code_t code = translation->error.code;
        return code == RELAY_ERR_INTERNAL ? code
                                          : (translation->error.code = RELAY_ERR_UPSTREAM_INVALID);
    }
    read_ending(tree, nodes, choice);
    return translation->error.code;
}

/* ---- writing ------------------------------------------------------------- */

typedef struct {
    relay_translation_t *translation;
    const relay_response_t *response;
    relay_buf_t *out;
    bool own;
    bool any; /* a block is out */
} writing_t;

static void separate(writing_t *writing)
{
    relay_buf_put(writing->out, writing->any ? RELAY_SPAN(",") : RELAY_SPAN(""));
    writing->any = true;
}

static void put_citations(writing_t *writing, const relay_citation_t *citation)
{
    bool any = false;

    for (; citation != NULL; citation = citation->next) {
        if (citation->url.len != 0) {
            relay_buf_put(writing->out, any ? RELAY_SPAN(",") : RELAY_SPAN(",\"citations\":["));
            relay_messages_put_citation(writing->out, citation);
            any = true;
        }
    }
    relay_buf_put(writing->out, any ? RELAY_SPAN("]") : RELAY_SPAN(""));
}

static void put_text(writing_t *writing, const relay_block_t *block)
{
    if (block->text.len == 0) {
        return;
    }
    separate(writing);
    RELAY_PUT(writing->out, "{\"type\":\"text\",\"text\":");
    relay_codec_put_string(writing->out, block->text);
    put_citations(writing, block->citations);
    RELAY_PUT(writing->out, "}");
}

static void put_call(writing_t *writing, const relay_call_t *call, size_t index)
{
    const relay_rename_t *renamed = relay_codec_renamed(writing->translation, call->name);
    relay_buf_t *out = writing->out;

    separate(writing);
    RELAY_PUT(out, "{\"type\":\"tool_use\",\"id\":\"");
    if (call->id.len != 0) {
        relay_buf_put(out, call->id);
    } else {
        RELAY_PUT(out, "toolu_");
        relay_buf_put(out, writing->translation->request_id);
        RELAY_PUT(out, "_");
        relay_buf_put_u64(out, index);
    }
    RELAY_PUT(out, "\",\"name\":");
    relay_codec_put_string(out, renamed != NULL ? renamed->original : call->name);
    RELAY_PUT(out, ",\"input\":");
    if (call->free_text) {
        relay_codec_put_wrapped(out, call->arguments.text);
    } else {
        relay_codec_put_input(writing->translation, out, &call->arguments);
    }
    RELAY_PUT(out, "}");
}

static void put_thinking(writing_t *writing, const relay_block_t *block)
{
    if (!relay_messages_shows(writing->translation,
                              block->signature.len != 0 ? block->signer : relay_span(NULL, 0))) {
        relay_codec_drop_name(writing->translation, RELAY_MESSAGES_UNSIGNED);
        return;
    }
    separate(writing);
    RELAY_PUT(writing->out, "{\"type\":\"thinking\",\"thinking\":");
    relay_codec_put_string(writing->out, block->text);
    RELAY_PUT(writing->out, ",\"signature\":");
    relay_codec_put_string(writing->out, block->signature);
    RELAY_PUT(writing->out, "}");
}

static void put_block(writing_t *writing, const relay_block_t *block, size_t index)
{
    if (writing->own && block->raw.len != 0) {
        separate(writing);
        relay_buf_put(writing->out, block->raw);
        return;
    }
    switch (block->kind) {
    case RELAY_BLOCK_TEXT:
    case RELAY_BLOCK_REFUSAL:
        put_text(writing, block);
        break;
    case RELAY_BLOCK_TOOL_CALL:
        put_call(writing, &block->call, index);
        break;
    case RELAY_BLOCK_THINKING:
        put_thinking(writing, block);
        break;
    case RELAY_BLOCK_REDACTED:
        if (!relay_messages_shows(writing->translation, block->signer)) {
            relay_codec_drop_name(writing->translation, RELAY_MESSAGES_UNSIGNED);
            break;
        }
        separate(writing);
        RELAY_PUT(writing->out, "{\"type\":\"redacted_thinking\",\"data\":");
        relay_codec_put_string(writing->out, block->text);
        RELAY_PUT(writing->out, "}");
        break;
    case RELAY_BLOCK_IMAGE:
        relay_codec_drop_name(writing->translation, RELAY_MESSAGES_NO_IMAGE);
        break;
    default:
        break; /* no client of this format would know what to do with it */
    }
}

static relay_ending_t ending_of(const relay_choice_t *choice)
{
    relay_ending_t ending = choice->ending;

    for (const relay_block_t *block = choice->blocks; block != NULL; block = block->next) {
        if (block->kind == RELAY_BLOCK_REFUSAL) {
            ending.reason = RELAY_STOP_REFUSAL;
        }
    }
    return ending;
}

static void put_ending(writing_t *writing, const relay_ending_t *ending)
{
    relay_buf_t *out = writing->out;

    RELAY_PUT(out, "],\"stop_reason\":\"");
    relay_buf_put(out, relay_messages_stop_word(ending->reason));
    RELAY_PUT(out, "\",\"stop_sequence\":");
    relay_codec_put_string_or_null(out, ending->sequence);
    if (ending->explanation.len != 0) {
        RELAY_PUT(out, ",\"stop_details\":{\"type\":\"refusal\",\"category\":null,"
                       "\"explanation\":");
        relay_codec_put_string(out, ending->explanation);
        RELAY_PUT(out, "}");
    }
}

relay_error_code_t relay_messages_write_response(relay_translation_t *translation,
                                                 const relay_response_t *response, relay_buf_t *out)
{
    writing_t writing = {.translation = translation, .response = response, .out = out};
    relay_ending_t ending = ending_of(response->choices);
    size_t index = 0;

    writing.own = relay_codec_own(response->origin, &relay_codec_anthropic_messages);
    RELAY_PUT(out, "{\"id\":\"");
    relay_codec_put_answer_id(out, translation, RELAY_MESSAGES_ID, response->id);
    RELAY_PUT(out, "\",\"type\":\"message\",\"role\":\"assistant\",\"model\":");
    relay_codec_put_string(out, response->model);
    RELAY_PUT(out, ",\"content\":[");
    for (const relay_block_t *block = response->choices->blocks; block != NULL;
         block = block->next) {
        put_block(&writing, block, index++);
    }
    put_ending(&writing, &ending);
    RELAY_PUT(out, ",\"usage\":");
    relay_messages_put_usage(translation, out, &response->usage);
    RELAY_PUT(out, "}");
    return translation->error.code;
}
