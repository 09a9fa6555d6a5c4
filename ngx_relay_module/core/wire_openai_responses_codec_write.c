/*
 * The canonical protocol into input items of Responses requests. Called by
 * wire_openai_responses_codec_body.c.
 *
 *   a turn [text, text, call, text] ─► message, function_call, message
 *   thinking ─► reasoning, if it is this format's own
 */

#include "wire_openai_responses_codec.h"

static void separate(relay_responses_writing_t *writing)
{
    relay_buf_put(writing->out, writing->any ? RELAY_SPAN(",") : RELAY_SPAN(""));
    writing->any = true;
}

static void note_block(relay_responses_writing_t *writing, const relay_block_t *block)
{
    relay_codec_drop_mark(writing->translation, block->mark, block->mark_place);
    relay_codec_drop_citations(writing->translation, block);
}

/* ---- parts --------------------------------------------------------------- */

static void put_input_text(relay_responses_writing_t *writing, relay_span_t text)
{
    RELAY_PUT(writing->out, "{\"type\":\"input_text\",\"text\":");
    relay_codec_put_string(writing->out, text);
    RELAY_PUT(writing->out, "}");
}

static bool put_image(relay_responses_writing_t *writing, const relay_block_t *block)
{
    relay_buf_t *out = writing->out;

    if (block->media.source == RELAY_SOURCE_FILE) {
        return relay_codec_refuse_block(
            writing->translation, block,
            RELAY_SPAN("files are not known to the provider of this model"));
    }
    RELAY_PUT(out, "{\"type\":\"input_image\",\"image_url\":");
    if (block->media.source == RELAY_SOURCE_URL) {
        relay_codec_put_string(out, block->media.data);
    } else {
        relay_codec_put_data_url(out, &block->media);
    }
    RELAY_PUT(out, ",\"detail\":");
    relay_codec_put_string(out,
                           block->media.detail.len != 0 ? block->media.detail : RELAY_SPAN("auto"));
    RELAY_PUT(out, "}");
    return true;
}

static bool put_parts(relay_responses_writing_t *writing, const relay_message_t *message,
                      const relay_block_t *blocks, const relay_block_t *end, bool *first);

static bool put_document(relay_responses_writing_t *writing, const relay_block_t *block)
{
    relay_buf_t *out = writing->out;

    switch (block->media.source) {
    case RELAY_SOURCE_TEXT:
        put_input_text(writing, block->media.data);
        return true;
    case RELAY_SOURCE_URL:
        RELAY_PUT(out, "{\"type\":\"input_file\",\"file_url\":");
        relay_codec_put_string(out, block->media.data);
        RELAY_PUT(out, "}");
        return true;
    case RELAY_SOURCE_BASE64:
        RELAY_PUT(out, "{\"type\":\"input_file\",\"filename\":");
        relay_codec_put_string(out, block->media.name.len != 0 ? block->media.name
                                                               : RELAY_SPAN("document.pdf"));
        RELAY_PUT(out, ",\"file_data\":");
        relay_codec_put_data_url(out, &block->media);
        RELAY_PUT(out, "}");
        return true;
    default:
        return relay_codec_refuse_block(
            writing->translation, block,
            RELAY_SPAN("a document has to be in the request itself for the "
                       "provider of this model"));
    }
}

/* True if the block becomes a part of a message's content. */
static bool is_part(const relay_block_t *block)
{
    switch (block->kind) {
    case RELAY_BLOCK_TEXT:
    case RELAY_BLOCK_REFUSAL:
        return block->text.len != 0;
    case RELAY_BLOCK_OPAQUE:
        return block->content != NULL || block->essential;
    case RELAY_BLOCK_TOOL_RESULT:
    case RELAY_BLOCK_TOOL_CALL:
    case RELAY_BLOCK_THINKING:
    case RELAY_BLOCK_REDACTED:
        return false;
    default:
        return true;
    }
}

/* A part of the assistant's has types of its own. */
static void put_text(relay_responses_writing_t *writing, const relay_message_t *message,
                     const relay_block_t *block)
{
    relay_buf_t *out = writing->out;

    if (message->role != RELAY_ROLE_ASSISTANT) {
        put_input_text(writing, block->text);
    } else if (block->kind == RELAY_BLOCK_REFUSAL) {
        RELAY_PUT(out, "{\"type\":\"refusal\",\"refusal\":");
        relay_codec_put_string(out, block->text);
        RELAY_PUT(out, "}");
    } else {
        RELAY_PUT(out, "{\"type\":\"output_text\",\"text\":");
        relay_codec_put_string(out, block->text);
        RELAY_PUT(out, ",\"annotations\":[]}");
    }
}

static bool put_part(relay_responses_writing_t *writing, const relay_message_t *message,
                     const relay_block_t *block)
{
    switch (block->kind) {
    case RELAY_BLOCK_TEXT:
    case RELAY_BLOCK_REFUSAL:
        put_text(writing, message, block);
        return true;
    case RELAY_BLOCK_IMAGE:
        return put_image(writing, block);
    case RELAY_BLOCK_DOCUMENT:
        return put_document(writing, block);
    case RELAY_BLOCK_AUDIO:
        return relay_openai_put_audio(writing->translation, writing->out, block);
    default:
        return relay_codec_refuse_block(
            writing->translation, block,
            RELAY_SPAN("content of this type is not supported by the provider of "
                       "this model"));
    }
}

/* What holds other content and is none itself: that content. */
static const relay_block_t *inside(const relay_block_t *block)
{
    bool document =
        block->kind == RELAY_BLOCK_DOCUMENT && block->media.source == RELAY_SOURCE_BLOCKS;

    return document || block->kind == RELAY_BLOCK_OPAQUE ? block->content : NULL;
}

/* What a caller says of a document is a text in front of it. */
static void put_context(relay_responses_writing_t *writing, const relay_block_t *block, bool *first)
{
    if (block->media.context.len != 0) {
        relay_buf_put(writing->out, *first ? RELAY_SPAN("") : RELAY_SPAN(","));
        *first = false;
        put_input_text(writing, block->media.context);
    }
}

static bool put_parts(relay_responses_writing_t *writing, const relay_message_t *message,
                      const relay_block_t *blocks, const relay_block_t *end, bool *first)
{
    for (const relay_block_t *block = blocks; block != end; block = block->next) {
        if (inside(block) != NULL) {
            relay_codec_change_at(writing->translation, block->place);
            note_block(writing, block);
            put_context(writing, block, first);
            if (!put_parts(writing, message, inside(block), NULL, first)) {
                return false;
            }
            continue;
        }
        if (!is_part(block)) {
            continue;
        }
        put_context(writing, block, first);
        relay_buf_put(writing->out, *first ? RELAY_SPAN("") : RELAY_SPAN(","));
        *first = false;
        note_block(writing, block);
        if (!put_part(writing, message, block)) {
            return false;
        }
    }
    return true;
}

/* ---- items --------------------------------------------------------------- */

static relay_span_t role_of(const relay_responses_writing_t *writing,
                            const relay_message_t *message)
{
    switch (message->role) {
    case RELAY_ROLE_ASSISTANT:
        return RELAY_SPAN("assistant");
    case RELAY_ROLE_SYSTEM:
        return RELAY_SPAN("system");
    case RELAY_ROLE_DEVELOPER:
        return (writing->translation->target.flags & RELAY_TARGET_NO_DEVELOPER) != 0
                   ? RELAY_SPAN("system")
                   : RELAY_SPAN("developer");
    default:
        return RELAY_SPAN("user");
    }
}

/* The blocks from block to end as one message; nothing if none of them is a part. */
static bool put_message(relay_responses_writing_t *writing, const relay_message_t *message,
                        const relay_block_t *block, const relay_block_t *end)
{
    bool first = true;

    while (block != end && !is_part(block)) {
        block = block->next;
    }
    if (block == end) {
        return true;
    }
    separate(writing);
    RELAY_PUT(writing->out, "{\"type\":\"message\",\"role\":");
    relay_codec_put_string(writing->out, role_of(writing, message));
    RELAY_PUT(writing->out, ",\"content\":[");
    if (!put_parts(writing, message, block, end, &first)) {
        return false;
    }
    RELAY_PUT(writing->out, "]}");
    return true;
}

static void put_call_id(relay_responses_writing_t *writing, relay_span_t id)
{
    RELAY_PUT(writing->out, ",\"call_id\":");
    relay_codec_put_string(writing->out,
                           relay_codec_call_id(writing->translation, id, RELAY_RESPONSES_NAME_MAX));
}

static void put_call(relay_responses_writing_t *writing, const relay_block_t *block)
{
    const relay_call_t *call = &block->call;
    relay_buf_t *out = writing->out;

    separate(writing);
    relay_buf_put(out, call->free_text ? RELAY_SPAN("{\"type\":\"custom_tool_call\"")
                                       : RELAY_SPAN("{\"type\":\"function_call\""));
    put_call_id(writing, call->id);
    RELAY_PUT(out, ",\"name\":");
    relay_codec_put_string(out, relay_codec_tool_name(writing->translation, call->scope, call->name,
                                                      false, RELAY_RESPONSES_NAME_MAX));
    relay_buf_put(out, call->free_text ? RELAY_SPAN(",\"input\":") : RELAY_SPAN(",\"arguments\":"));
    if (call->arguments.quoted && call->arguments.text.len == 0 && !call->free_text) {
        RELAY_PUT(out, "\"{}\"");
    } else {
        relay_codec_put_quoted(out, &call->arguments);
    }
    RELAY_PUT(out, "}");
    note_block(writing, block);
}

static bool only_text(const relay_block_t *block)
{
    for (; block != NULL; block = block->next) {
        if (is_part(block) && block->kind != RELAY_BLOCK_TEXT) {
            return false;
        }
    }
    return true;
}

/* What a tool said: one string where it is one text. */
static bool put_output(relay_responses_writing_t *writing, const relay_message_t *message,
                       const relay_block_t *result)
{
    relay_buf_t *out = writing->out;
    bool first = true;

    if (result->content != NULL && result->content->next == NULL && only_text(result->content) &&
        !result->call.failed) {
        relay_codec_put_string(out, result->content->text);
        note_block(writing, result->content);
        return true;
    }
    if (result->content == NULL && !result->call.failed) {
        RELAY_PUT(out, "\"\"");
        return true;
    }
    RELAY_PUT(out, "[");
    if (result->call.failed) {
        put_input_text(writing, RELAY_SPAN("Error:"));
        relay_codec_change_at(writing->translation, result->place);
        first = false;
    }
    if (!put_parts(writing, message, result->content, NULL, &first)) {
        return false;
    }
    RELAY_PUT(out, "]");
    return true;
}

static bool put_result(relay_responses_writing_t *writing, const relay_message_t *message,
                       const relay_block_t *result)
{
    separate(writing);
    relay_buf_put(writing->out, result->call.free_text
                                    ? RELAY_SPAN("{\"type\":\"custom_tool_call_output\"")
                                    : RELAY_SPAN("{\"type\":\"function_call_output\""));
    put_call_id(writing, result->call.id);
    RELAY_PUT(writing->out, ",\"output\":");
    if (!put_output(writing, message, result)) {
        return false;
    }
    note_block(writing, result);
    RELAY_PUT(writing->out, "}");
    return true;
}

/* Reasoning goes back to the vendor that has encrypted it, to no other. */
static void put_reasoning(relay_responses_writing_t *writing, const relay_block_t *block)
{
    relay_buf_t *out = writing->out;
    bool redacted = block->kind == RELAY_BLOCK_REDACTED;

    if (!relay_span_eq(block->signer, RELAY_RESPONSES_SIGNER) ||
        (!redacted && block->signature.len == 0)) {
        relay_codec_drop_at(writing->translation, block->thought_place);
        return;
    }
    separate(writing);
    RELAY_PUT(out, "{\"type\":\"reasoning\",\"summary\":[");
    if (!redacted && block->text.len != 0) {
        RELAY_PUT(out, "{\"type\":\"summary_text\",\"text\":");
        relay_codec_put_string(out, block->text);
        RELAY_PUT(out, "}");
    }
    RELAY_PUT(out, "],\"encrypted_content\":");
    relay_responses_put_sealed(out, block->kind, block->text, block->signature, block->signer);
    RELAY_PUT(out, "}");
}

/* A block that is an item of its own; it ends the message before it. */
static bool put_item(relay_responses_writing_t *writing, const relay_message_t *message,
                     const relay_block_t *block)
{
    switch (block->kind) {
    case RELAY_BLOCK_TOOL_CALL:
        put_call(writing, block);
        return true;
    case RELAY_BLOCK_TOOL_RESULT:
        return put_result(writing, message, block);
    case RELAY_BLOCK_THINKING:
    case RELAY_BLOCK_REDACTED:
        put_reasoning(writing, block);
        return true;
    default: /* OPAQUE: left out */
        relay_codec_drop_at(writing->translation, block->place);
        return true;
    }
}

static bool is_item(const relay_block_t *block)
{
    return !is_part(block) && block->kind != RELAY_BLOCK_TEXT && block->kind != RELAY_BLOCK_REFUSAL;
}

static bool put_turn(relay_responses_writing_t *writing, const relay_message_t *message)
{
    const relay_block_t *from = message->blocks, *block;

    for (block = message->blocks; block != NULL; block = block->next) {
        if (is_item(block)) {
            if (!put_message(writing, message, from, block) || !put_item(writing, message, block)) {
                return false;
            }
            from = block->next;
        }
    }
    return put_message(writing, message, from, NULL);
}

bool relay_responses_write_input(relay_responses_writing_t *writing)
{
    for (const relay_message_t *message = writing->request->messages; message != NULL;
         message = message->next) {
        if (message->apart) {
            continue; /* instructions */
        }
        if (!put_turn(writing, message) ||
            !relay_codec_leave_message(writing->translation, message)) {
            return false;
        }
    }
    return true;
}
