/*
 * The canonical protocol into messages of Chat Completions requests. Called by
 * wire_openai_chat_codec_body.c.
 */

#include "wire_openai_chat_codec.h"

/*
 * Results come out as messages of their own, in front of what else the turn has.
 * A tool message holds text only: media of results follow behind the last of them
 * in a message of the user.
 *
 *   user turn [result, result, text] ─► tool, tool, (user: media of both), user
 */

#define FIRST(first) ((first) ? RELAY_SPAN("") : RELAY_SPAN(","))

static void separate(relay_chat_writing_t *writing)
{
    relay_buf_put(writing->out, FIRST(!writing->any));
    writing->any = true;
}

/* ---- parts --------------------------------------------------------------- */

static void note_block(relay_chat_writing_t *writing, const relay_block_t *block)
{
    relay_codec_drop_mark(writing->translation, block->mark, block->mark_place);
    relay_codec_drop_citations(writing->translation, block);
}

static void put_text_part(relay_chat_writing_t *writing, relay_span_t text)
{
    RELAY_PUT(writing->out, "{\"type\":\"text\",\"text\":");
    relay_codec_put_string(writing->out, text);
    RELAY_PUT(writing->out, "}");
}

static bool put_image(relay_chat_writing_t *writing, const relay_block_t *block)
{
    relay_buf_t *out = writing->out;

    if (block->media.source == RELAY_SOURCE_FILE) {
        return relay_codec_refuse_block(
            writing->translation, block,
            RELAY_SPAN("files are not known to the provider of this model"));
    }
    RELAY_PUT(out, "{\"type\":\"image_url\",\"image_url\":{\"url\":");
    if (block->media.source == RELAY_SOURCE_URL) {
        relay_codec_put_string(out, block->media.data);
    } else {
        relay_codec_put_data_url(out, &block->media);
    }
    relay_codec_put_text(out, RELAY_SPAN(",\"detail\":"), block->media.detail);
    RELAY_PUT(out, "}}");
    return true;
}

static bool put_document(relay_chat_writing_t *writing, const relay_block_t *block)
{
    relay_buf_t *out = writing->out;
    bool first = true;

    if (block->media.context.len != 0) {
        put_text_part(writing, block->media.context);
        RELAY_PUT(out, ",");
    }
    switch (block->media.source) {
    case RELAY_SOURCE_TEXT:
        put_text_part(writing, block->media.data);
        return true;
    case RELAY_SOURCE_BLOCKS:
        for (const relay_block_t *inner = block->content; inner != NULL; inner = inner->next) {
            relay_buf_put(out, FIRST(first));
            put_text_part(writing, inner->text);
            first = false;
        }
        return true;
    case RELAY_SOURCE_BASE64:
        RELAY_PUT(out, "{\"type\":\"file\",\"file\":{\"filename\":");
        relay_codec_put_string(out, block->media.name.len != 0 ? block->media.name
                                                               : RELAY_SPAN("document.pdf"));
        RELAY_PUT(out, ",\"file_data\":");
        relay_codec_put_data_url(out, &block->media);
        RELAY_PUT(out, "}}");
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
    case RELAY_BLOCK_OPAQUE:
        return block->content != NULL || block->essential;
    case RELAY_BLOCK_TOOL_RESULT:
    case RELAY_BLOCK_TOOL_CALL:
    case RELAY_BLOCK_THINKING:
    case RELAY_BLOCK_REDACTED:
        return false;
    case RELAY_BLOCK_DOCUMENT:
        return block->media.source != RELAY_SOURCE_BLOCKS || block->content != NULL;
    default:
        return true;
    }
}

static bool put_parts(relay_chat_writing_t *writing, const relay_block_t *blocks, bool *first);

static bool put_opaque(relay_chat_writing_t *writing, const relay_block_t *block, bool *first)
{
    if (block->content != NULL) {
        relay_codec_change_at(writing->translation, block->place);
        return put_parts(writing, block->content, first);
    }
    if (block->essential) {
        return relay_codec_refuse_block(
            writing->translation, block,
            RELAY_SPAN("content of this type is not supported by the provider of "
                       "this model"));
    }
    return true;
}

static bool put_part(relay_chat_writing_t *writing, const relay_block_t *block)
{
    switch (block->kind) {
    case RELAY_BLOCK_IMAGE:
        return put_image(writing, block);
    case RELAY_BLOCK_DOCUMENT:
        return put_document(writing, block);
    case RELAY_BLOCK_AUDIO:
        return relay_openai_put_audio(writing->translation, writing->out, block);
    case RELAY_BLOCK_VIDEO:
        return relay_codec_refuse_block(
            writing->translation, block,
            RELAY_SPAN("video is not supported by the provider of this model"));
    default:
        put_text_part(writing, block->text);
        return true;
    }
}

static bool put_parts(relay_chat_writing_t *writing, const relay_block_t *blocks, bool *first)
{
    for (const relay_block_t *block = blocks; block != NULL; block = block->next) {
        if (!is_part(block)) {
            continue;
        }
        if (block->kind == RELAY_BLOCK_OPAQUE && !writing->own) {
            if (!put_opaque(writing, block, first)) {
                return false;
            }
            continue;
        }
        relay_buf_put(writing->out, FIRST(*first));
        *first = false;
        if (writing->own && block->raw.len != 0) {
            relay_buf_put(writing->out, block->raw);
        } else if (!put_part(writing, block)) {
            return false;
        } else if (!writing->own) {
            note_block(writing, block);
        }
    }
    return true;
}

/* ---- content ------------------------------------------------------------- */

/* The first part that is no text, or NULL. */
static const relay_block_t *other_part(const relay_block_t *block)
{
    while (block != NULL && (!is_part(block) || block->kind == RELAY_BLOCK_TEXT ||
                             block->kind == RELAY_BLOCK_REFUSAL)) {
        block = block->next;
    }
    return block;
}

static bool only_text(const relay_block_t *block)
{
    return other_part(block) == NULL;
}

static bool has_part(const relay_block_t *block)
{
    while (block != NULL && !is_part(block)) {
        block = block->next;
    }
    return block != NULL;
}

/* All text in one string: with nothing between, or a blank line. */
static void put_joined(relay_chat_writing_t *writing, const relay_block_t *blocks, bool apart)
{
    bool first = true;

    RELAY_PUT(writing->out, "\"");
    for (const relay_block_t *block = blocks; block != NULL; block = block->next) {
        if (is_part(block)) {
            relay_buf_put(writing->out, first || !apart ? RELAY_SPAN("") : RELAY_SPAN("\\n\\n"));
            relay_buf_put(writing->out, block->text);
            note_block(writing, block);
            first = false;
        }
    }
    RELAY_PUT(writing->out, "\"");
}

static bool put_list(relay_chat_writing_t *writing, const relay_block_t *blocks)
{
    bool first = true;

    RELAY_PUT(writing->out, "[");
    if (!put_parts(writing, blocks, &first)) {
        return false;
    }
    RELAY_PUT(writing->out, "]");
    return true;
}

static void put_head(relay_chat_writing_t *writing, const relay_message_t *message,
                     relay_span_t role)
{
    separate(writing);
    RELAY_PUT(writing->out, "{\"role\":\"");
    relay_buf_put(writing->out, role);
    RELAY_PUT(writing->out, "\"");
    relay_codec_put_text(writing->out, RELAY_SPAN(",\"name\":"), message->name);
}

static bool put_tail(relay_chat_writing_t *writing, const relay_message_t *message)
{
    if (writing->own) {
        relay_codec_put_extras(writing->out, message->extras);
    } else if (!relay_codec_leave(writing->translation, message->extras, message->place)) {
        return false;
    }
    RELAY_PUT(writing->out, "}");
    return true;
}

/* ---- each role ----------------------------------------------------------- */

static bool put_system(relay_chat_writing_t *writing, const relay_message_t *message)
{
    bool developer = message->role == RELAY_ROLE_DEVELOPER &&
                     (writing->translation->target.flags & RELAY_TARGET_NO_DEVELOPER) == 0;

    if (!only_text(message->blocks)) {
        return relay_codec_refuse_block(writing->translation, other_part(message->blocks),
                                        RELAY_SPAN("a system message holds text only"));
    }
    put_head(writing, message, developer ? RELAY_SPAN("developer") : RELAY_SPAN("system"));
    RELAY_PUT(writing->out, ",\"content\":");
    if (writing->own && message->listed) {
        if (!put_list(writing, message->blocks)) {
            return false;
        }
    } else {
        put_joined(writing, message->blocks, true);
    }
    return put_tail(writing, message);
}

static bool is_media(const relay_block_t *block)
{
    return block->kind == RELAY_BLOCK_IMAGE || block->kind == RELAY_BLOCK_AUDIO ||
           block->kind == RELAY_BLOCK_VIDEO ||
           (block->kind == RELAY_BLOCK_DOCUMENT && block->media.source != RELAY_SOURCE_TEXT);
}

/* Text that stands in a tool message; media follow later. */
static void put_result_text(relay_chat_writing_t *writing, const relay_block_t *blocks)
{
    bool first = true;

    for (const relay_block_t *block = blocks; block != NULL; block = block->next) {
        relay_span_t text = block->kind == RELAY_BLOCK_DOCUMENT ? block->media.data : block->text;
        if (block->kind == RELAY_BLOCK_OPAQUE) {
            relay_codec_change_at(writing->translation, block->place);
            put_result_text(writing, block->content);
        } else if (is_media(block)) {
            writing->media_due = true;
            relay_codec_change_at(writing->translation, block->place);
        } else if (text.len != 0) {
            relay_buf_put(writing->out, first ? RELAY_SPAN("") : RELAY_SPAN("\\n"));
            relay_buf_put(writing->out, block->media.context);
            relay_buf_put(writing->out,
                          block->media.context.len != 0 ? RELAY_SPAN("\\n") : RELAY_SPAN(""));
            relay_buf_put(writing->out, text);
            note_block(writing, block);
            first = false;
        }
    }
}

static bool put_result(relay_chat_writing_t *writing, const relay_message_t *message,
                       const relay_block_t *result)
{
    relay_buf_t *out = writing->out;

    separate(writing);
    RELAY_PUT(out, "{\"role\":\"tool\",\"tool_call_id\":");
    relay_codec_put_string(out, result->call.id);
    RELAY_PUT(out, ",\"content\":");
    if (writing->own && message->listed) {
        return put_list(writing, result->content) && put_tail(writing, message);
    }
    RELAY_PUT(out, "\"");
    if (result->call.failed) {
        RELAY_PUT(out, "Error: ");
        relay_codec_change_at(writing->translation, result->place);
    }
    put_result_text(writing, result->content);
    RELAY_PUT(out, "\"");
    if (!writing->own) {
        note_block(writing, result);
    }
    if (message->role == RELAY_ROLE_TOOL) {
        return put_tail(writing, message);
    }
    RELAY_PUT(out, "}");
    return true;
}

static bool put_result_media(relay_chat_writing_t *writing, const relay_block_t *result)
{
    bool said = false;

    for (const relay_block_t *block = result->content; block != NULL; block = block->next) {
        if (!is_media(block)) {
            continue;
        }
        relay_buf_put(writing->out, FIRST(!writing->part));
        if (!said) {
            RELAY_PUT(writing->out, "{\"type\":\"text\",\"text\":\"Result of the tool call ");
            relay_buf_put(writing->out, result->call.id);
            RELAY_PUT(writing->out, ":\"},");
        }
        said = true;
        writing->part = true;
        if (!put_part(writing, block)) {
            return false;
        }
    }
    return true;
}

/* The media of all results since `from`, in a message of the user. */
static bool put_due_media(relay_chat_writing_t *writing, const relay_message_t *end)
{
    if (!writing->media_due) {
        writing->media_from = NULL;
        return true;
    }
    separate(writing);
    RELAY_PUT(writing->out, "{\"role\":\"user\",\"content\":[");
    writing->part = false;
    for (const relay_message_t *message = writing->media_from; message != end;
         message = message->next) {
        for (const relay_block_t *block = message->blocks; block != NULL; block = block->next) {
            if (block->kind == RELAY_BLOCK_TOOL_RESULT && !put_result_media(writing, block)) {
                return false;
            }
        }
    }
    RELAY_PUT(writing->out, "]}");
    writing->media_due = false;
    writing->media_from = NULL;
    return true;
}

static bool put_results(relay_chat_writing_t *writing, const relay_message_t *message)
{
    for (const relay_block_t *block = message->blocks; block != NULL; block = block->next) {
        if (block->kind != RELAY_BLOCK_TOOL_RESULT) {
            continue;
        }
        if (writing->media_from == NULL) {
            writing->media_from = message;
        }
        if (!put_result(writing, message, block)) {
            return false;
        }
    }
    return true;
}

static bool put_user(relay_chat_writing_t *writing, const relay_message_t *message)
{
    const relay_block_t *block = message->blocks;
    bool single;

    if (!put_results(writing, message)) {
        return false;
    }
    if (message->role == RELAY_ROLE_TOOL || (block != NULL && !has_part(block))) {
        return true;
    }
    if (!put_due_media(writing, message->next)) {
        return false;
    }
    while (block != NULL && !is_part(block)) {
        block = block->next;
    }
    single = block == NULL || (block->kind == RELAY_BLOCK_TEXT && !has_part(block->next));
    put_head(writing, message, RELAY_SPAN("user"));
    RELAY_PUT(writing->out, ",\"content\":");
    if (single && !(writing->own && message->listed)) {
        put_joined(writing, block, false);
    } else if (!put_list(writing, block)) {
        return false;
    }
    return put_tail(writing, message);
}

/* ---- the assistant ------------------------------------------------------- */

/* What is in a call of either kind, from its name on. */
static void put_called(relay_chat_writing_t *writing, const relay_call_t *call, bool wrapped)
{
    relay_buf_t *out = writing->out;

    relay_codec_put_string(out, relay_codec_tool_name(writing->translation, call->scope, call->name,
                                                      wrapped, RELAY_CHAT_NAME_MAX));
    relay_buf_put(out, call->free_text && !wrapped ? RELAY_SPAN(",\"input\":")
                                                   : RELAY_SPAN(",\"arguments\":"));
    if (wrapped) {
        relay_codec_put_wrapped_quoted(out, call->arguments.text);
    } else {
        relay_codec_put_quoted(out, &call->arguments);
    }
}

static void put_call(relay_chat_writing_t *writing, const relay_block_t *block)
{
    relay_buf_t *out = writing->out;
    bool wrapped = block->call.free_text && relay_chat_wraps(writing);

    RELAY_PUT(out, "{\"id\":");
    relay_codec_put_string(out, block->call.id);
    RELAY_PUT(out, ",\"type\":\"");
    relay_buf_put(out, block->call.free_text && !wrapped
                           ? RELAY_SPAN("custom\",\"custom\":{\"name\":")
                           : RELAY_SPAN("function\",\"function\":{\"name\":"));
    put_called(writing, &block->call, wrapped);
    RELAY_PUT(out, "}}");
}

static bool put_calls(relay_chat_writing_t *writing, const relay_message_t *message)
{
    bool any = false;

    for (const relay_block_t *block = message->blocks; block != NULL; block = block->next) {
        if (block->kind != RELAY_BLOCK_TOOL_CALL) {
            if (any && is_part(block)) {
                relay_codec_change_at(writing->translation, block->place); /* not in its place */
            }
            continue;
        }
        relay_buf_put(writing->out, any ? RELAY_SPAN(",") : RELAY_SPAN(",\"tool_calls\":["));
        any = true;
        if (writing->own && block->raw.len != 0) {
            relay_buf_put(writing->out, block->raw);
        } else {
            put_call(writing, block);
            note_block(writing, block);
        }
    }
    relay_buf_put(writing->out, any ? RELAY_SPAN("]") : RELAY_SPAN(""));
    return true;
}

static bool has_call(const relay_block_t *block)
{
    while (block != NULL && block->kind != RELAY_BLOCK_TOOL_CALL) {
        block = block->next;
    }
    return block != NULL;
}

static bool wants_reasoning(const relay_chat_writing_t *writing)
{
    return (writing->translation->target.flags & RELAY_TARGET_REASONING_BACK) != 0;
}

/* What is lost of it: all, or what only its provider can read. */
static void note_reasoning(relay_chat_writing_t *writing, const relay_message_t *message)
{
    for (const relay_block_t *block = message->blocks; block != NULL; block = block->next) {
        if (block->kind == RELAY_BLOCK_REDACTED ||
            (block->kind == RELAY_BLOCK_THINKING &&
             (!wants_reasoning(writing) || block->signature.len != 0))) {
            relay_codec_drop_at(writing->translation, block->thought_place);
        }
    }
}

/* Reasoning goes back only where the host wants it: others refuse or ignore it. */
static void put_reasoning(relay_chat_writing_t *writing, const relay_message_t *message)
{
    bool any = false;

    note_reasoning(writing, message);
    for (const relay_block_t *block = message->blocks; block != NULL && wants_reasoning(writing);
         block = block->next) {
        if (block->kind == RELAY_BLOCK_THINKING && block->text.len != 0) {
            relay_buf_put(writing->out,
                          any ? RELAY_SPAN("") : RELAY_SPAN(",\"reasoning_content\":\""));
            relay_buf_put(writing->out, block->text);
            any = true;
        }
    }
    relay_buf_put(writing->out, any ? RELAY_SPAN("\"") : RELAY_SPAN(""));
}

/* Media do not come from a model in this format; text in all else. */
static bool put_assistant_content(relay_chat_writing_t *writing, const relay_message_t *message)
{
    if (!has_part(message->blocks)) {
        RELAY_PUT(writing->out, "null");
        return true;
    }
    if (only_text(message->blocks) && !(writing->own && message->listed)) {
        put_joined(writing, message->blocks, false);
        return true;
    }
    return put_list(writing, message->blocks);
}

static bool put_assistant(relay_chat_writing_t *writing, const relay_message_t *message)
{
    if (!writing->own && !has_part(message->blocks) && !has_call(message->blocks)) {
        note_reasoning(writing, message);
        return true;
    }
    put_head(writing, message, RELAY_SPAN("assistant"));
    RELAY_PUT(writing->out, ",\"content\":");
    if (!put_assistant_content(writing, message)) {
        return false;
    }
    if (!writing->own) {
        put_reasoning(writing, message);
    }
    return put_calls(writing, message) && put_tail(writing, message);
}

/* ---- all of them --------------------------------------------------------- */

/* Content that only another format knows, and that can be done without. */
static void note_opaque(relay_chat_writing_t *writing, const relay_message_t *message)
{
    for (const relay_block_t *block = message->blocks; block != NULL; block = block->next) {
        if (block->kind == RELAY_BLOCK_OPAQUE && !is_part(block)) {
            relay_codec_drop_at(writing->translation, block->place);
        }
    }
}

bool relay_chat_write_messages(relay_chat_writing_t *writing)
{
    for (const relay_message_t *message = writing->request->messages; message != NULL;
         message = message->next) {
        bool user = message->role == RELAY_ROLE_USER || message->role == RELAY_ROLE_TOOL;
        bool good;

        note_opaque(writing, message);
        if (!user && !put_due_media(writing, message)) {
            return false;
        }
        good = user                                    ? put_user(writing, message)
               : message->role == RELAY_ROLE_ASSISTANT ? put_assistant(writing, message)
                                                       : put_system(writing, message);
        if (!good) {
            return false;
        }
    }
    return put_due_media(writing, NULL);
}
