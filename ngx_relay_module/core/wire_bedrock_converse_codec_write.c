/*
 * The canonical protocol into the messages of Bedrock Converse requests. Called by
 * wire_bedrock_converse_codec_body.c.
 *
 * Turns must alternate: messages of one side become one, what they hold in order,
 * but results of tools first. A cache marker becomes a block of its own behind the
 * block that it was on.
 *
 *   system, developer in front ─► "system"
 *   tool, tool, user ─► user turn [toolResult, toolResult, text]
 *   system behind others ─► text of the user's turn, marked
 */

#include "wire_anthropic_messages_codec.h"
#include "wire_bedrock_converse_codec.h"

static bool is_system(const relay_message_t *message)
{
    return message->role == RELAY_ROLE_SYSTEM || message->role == RELAY_ROLE_DEVELOPER;
}

static bool is_assistant(const relay_message_t *message)
{
    return message->role == RELAY_ROLE_ASSISTANT;
}

/* ---- what is left of a block --------------------------------------------- */

/* The models that sign are the same here as at their maker's own service, and take
 * each other's signatures. */
static bool is_signed(const relay_block_t *block)
{
    bool ours = block->signer.len == 0 || relay_span_eq(block->signer, RELAY_MESSAGES_SIGNER);

    return block->kind == RELAY_BLOCK_REDACTED ? ours && block->signer.len != 0
                                               : ours && block->signature.len != 0;
}

/* True if the block is written. */
static bool remains(const relay_block_t *block)
{
    switch (block->kind) {
    case RELAY_BLOCK_TEXT:
    case RELAY_BLOCK_REFUSAL:
        return !relay_codec_blank(block->text);
    case RELAY_BLOCK_THINKING:
    case RELAY_BLOCK_REDACTED:
        return is_signed(block);
    case RELAY_BLOCK_OPAQUE:
        return block->content != NULL || block->essential;
    default:
        return true;
    }
}

static bool any_remains(const relay_message_t *message)
{
    const relay_block_t *block = message->blocks;

    while (block != NULL && !remains(block)) {
        block = block->next;
    }
    return block != NULL;
}

static void note_lost(relay_converse_writing_t *writing, const relay_block_t *block)
{
    switch (block->kind) {
    case RELAY_BLOCK_THINKING:
    case RELAY_BLOCK_REDACTED:
        relay_codec_drop_at(writing->translation, block->thought_place);
        break;
    case RELAY_BLOCK_OPAQUE:
        relay_codec_drop_at(writing->translation, block->place);
        break;
    default:
        break; /* blank text says nothing */
    }
}

/* ---- cache markers ------------------------------------------------------- */

static bool is_mark(relay_json_value_t mark)
{
    return mark.type == RELAY_JSON_OBJECT || mark.type == RELAY_JSON_TRUE;
}

void relay_converse_put_mark(relay_converse_writing_t *writing, relay_span_t before,
                             relay_json_value_t mark, const relay_place_t *place)
{
    static const relay_span_t key = RELAY_SPAN_INIT("ttl");
    relay_json_value_t ttl = {RELAY_JSON_ABSENT, {NULL, 0}};

    if (!is_mark(mark)) {
        return;
    }
    if ((writing->translation->target.refused & RELAY_REFUSED(RELAY_FIELD_MARK)) != 0) {
        relay_codec_drop_at(writing->translation, place);
        return;
    }
    if (mark.type == RELAY_JSON_OBJECT) {
        relay_json_members(mark.text, &key, 1, &ttl);
    }
    relay_buf_put(writing->out, before);
    RELAY_PUT(writing->out, "{\"cachePoint\":{\"type\":\"default\"");
    if (ttl.type == RELAY_JSON_STRING) {
        relay_codec_put_value(writing->out, RELAY_SPAN(",\"ttl\":"), ttl);
    }
    RELAY_PUT(writing->out, "}}");
}

/* A result cannot hold a marker: one inside it counts for the whole. */
static void put_mark_of(relay_converse_writing_t *writing, const relay_block_t *block)
{
    const relay_block_t *marked = is_mark(block->mark) ? block : block->content;

    while (marked != NULL && !is_mark(marked->mark)) {
        marked = marked->next;
    }
    if (marked != NULL) {
        relay_converse_put_mark(writing, RELAY_SPAN(","), marked->mark, marked->mark_place);
    }
}

/* ---- blocks -------------------------------------------------------------- */

static void put_text(relay_converse_writing_t *writing, const relay_block_t *block)
{
    relay_codec_drop_citations(writing->translation, block);
    RELAY_PUT(writing->out, "{\"text\":");
    relay_codec_put_string(writing->out, block->text);
    RELAY_PUT(writing->out, "}");
}

static bool put_call(relay_converse_writing_t *writing, const relay_block_t *block)
{
    const relay_call_t *call = &block->call;
    relay_translation_t *translation = writing->translation;
    relay_buf_t *out = writing->out;

    RELAY_PUT(out, "{\"toolUse\":{\"toolUseId\":");
    relay_codec_put_string(out, relay_codec_call_id(translation, call->id, RELAY_CONVERSE_ID_MAX));
    RELAY_PUT(out, ",\"name\":");
    relay_codec_put_string(out, relay_codec_tool_name(translation, call->scope, call->name,
                                                      call->free_text, RELAY_CONVERSE_NAME_MAX));
    RELAY_PUT(out, ",\"input\":");
    if (call->free_text) {
        relay_codec_put_wrapped(out, call->arguments.text);
    } else if (!relay_codec_put_input(translation, out, &call->arguments)) {
        relay_codec_change_at(translation, block->place);
    }
    RELAY_PUT(out, "}}");
    return true;
}

static bool put_block(relay_converse_writing_t *writing, const relay_block_t *block, bool *first);

static bool put_inner(relay_converse_writing_t *writing, const relay_block_t *block, bool *first)
{
    for (const relay_block_t *inner = block->content; inner != NULL; inner = inner->next) {
        if (!remains(inner)) {
            note_lost(writing, inner);
        } else if (!put_block(writing, inner, first)) {
            return false;
        }
    }
    return true;
}

/* That a result is good goes unsaid: only some models take the field. */
static bool put_result(relay_converse_writing_t *writing, const relay_block_t *block)
{
    relay_buf_t *out = writing->out;
    bool first = true;

    RELAY_PUT(out, "{\"toolResult\":{\"toolUseId\":");
    relay_codec_put_string(
        out, relay_codec_call_id(writing->translation, block->call.id, RELAY_CONVERSE_ID_MAX));
    RELAY_PUT(out, ",\"content\":[");
    if (!put_inner(writing, block, &first)) {
        return false;
    }
    relay_buf_put(out,
                  block->call.failed ? RELAY_SPAN("],\"status\":\"error\"}}") : RELAY_SPAN("]}}"));
    return true;
}

static void put_thinking(relay_converse_writing_t *writing, const relay_block_t *block)
{
    relay_buf_t *out = writing->out;

    if (block->kind == RELAY_BLOCK_REDACTED) {
        RELAY_PUT(out, "{\"reasoningContent\":{\"redactedContent\":");
        relay_codec_put_string(out, block->text);
        RELAY_PUT(out, "}}");
        return;
    }
    RELAY_PUT(out, "{\"reasoningContent\":{\"reasoningText\":{\"text\":");
    relay_codec_put_string(out, block->text);
    RELAY_PUT(out, ",\"signature\":");
    relay_codec_put_string(out, block->signature);
    RELAY_PUT(out, "}}}");
}

static bool put_kind(relay_converse_writing_t *writing, const relay_block_t *block)
{
    switch (block->kind) {
    case RELAY_BLOCK_TEXT:
    case RELAY_BLOCK_REFUSAL:
        put_text(writing, block);
        return true;
    case RELAY_BLOCK_IMAGE:
    case RELAY_BLOCK_DOCUMENT:
        return relay_converse_put_media(writing, block);
    case RELAY_BLOCK_TOOL_CALL:
        return put_call(writing, block);
    case RELAY_BLOCK_TOOL_RESULT:
        return put_result(writing, block);
    case RELAY_BLOCK_THINKING:
    case RELAY_BLOCK_REDACTED:
        put_thinking(writing, block);
        return true;
    default:
        return relay_codec_refuse_block(
            writing->translation, block,
            RELAY_SPAN("content of this type is not supported by the provider of this model"));
    }
}

/* What only another format knows goes as what says the same, if anything does. */
static bool put_block(relay_converse_writing_t *writing, const relay_block_t *block, bool *first)
{
    if (block->kind == RELAY_BLOCK_OPAQUE && block->content != NULL) {
        relay_codec_change_at(writing->translation, block->place);
        return put_inner(writing, block, first);
    }
    relay_buf_put(writing->out, *first ? RELAY_SPAN("") : RELAY_SPAN(","));
    *first = false;
    return put_kind(writing, block);
}

/* ---- turns --------------------------------------------------------------- */

static bool put_marked_system(relay_converse_writing_t *writing, const relay_message_t *message,
                              bool *first)
{
    for (const relay_block_t *block = message->blocks; block != NULL; block = block->next) {
        if (!remains(block)) {
            continue;
        }
        if (block->kind != RELAY_BLOCK_TEXT) { /* media has its place in a turn of the user */
            if (!put_block(writing, block, first)) {
                return false;
            }
            continue;
        }
        relay_buf_put(writing->out, *first ? RELAY_SPAN("") : RELAY_SPAN(","));
        *first = false;
        RELAY_PUT(writing->out, "{\"text\":\"<system>\\n");
        relay_buf_put(writing->out, block->text);
        RELAY_PUT(writing->out, "\\n</system>\"}");
        relay_converse_put_mark(writing, RELAY_SPAN(","), block->mark, block->mark_place);
    }
    relay_codec_change(writing->translation, RELAY_FIELD_SYSTEM);
    return true;
}

/* The results of a message, or all else of it. */
static bool put_some(relay_converse_writing_t *writing, const relay_message_t *message,
                     bool results, bool *first)
{
    for (const relay_block_t *block = message->blocks; block != NULL; block = block->next) {
        if ((block->kind == RELAY_BLOCK_TOOL_RESULT) != results) {
            continue;
        }
        if (!remains(block)) {
            note_lost(writing, block);
            continue;
        }
        if (!put_block(writing, block, first)) {
            return false;
        }
        if (!*first) {
            put_mark_of(writing, block);
        }
    }
    return true;
}

static bool put_turn(relay_converse_writing_t *writing, const relay_message_t *from,
                     const relay_message_t *end)
{
    bool first = true;

    relay_buf_put(writing->out, is_assistant(from)
                                    ? RELAY_SPAN("{\"role\":\"assistant\",\"content\":[")
                                    : RELAY_SPAN("{\"role\":\"user\",\"content\":["));
    for (const relay_message_t *message = from; message != end; message = message->next) {
        if (!put_some(writing, message, true, &first)) {
            return false;
        }
    }
    for (const relay_message_t *message = from; message != end; message = message->next) {
        if (is_system(message)) {
            if (!put_marked_system(writing, message, &first)) {
                return false;
            }
        } else if (!put_some(writing, message, false, &first)) {
            return false;
        }
        if (!relay_codec_leave_message(writing->translation, message)) {
            return false;
        }
    }
    RELAY_PUT(writing->out, "]}");
    return true;
}

/* Where the turn that begins with `from` ends: at the next message of the other side
 * that has something to say. */
static const relay_message_t *turn_end(const relay_message_t *from)
{
    const relay_message_t *message = from->next;

    while (message != NULL &&
           (!any_remains(message) || is_assistant(message) == is_assistant(from))) {
        message = message->next;
    }
    return message;
}

static bool put_turns(relay_converse_writing_t *writing, const relay_message_t *message)
{
    bool any = false;

    while (message != NULL) {
        const relay_message_t *end = turn_end(message);
        if (!any_remains(message)) {
            for (const relay_block_t *block = message->blocks; block != NULL; block = block->next) {
                note_lost(writing, block);
            }
            message = message->next;
            continue;
        }
        relay_buf_put(writing->out, any ? RELAY_SPAN(",") : RELAY_SPAN(""));
        any = true;
        if (!put_turn(writing, message, end)) {
            return false;
        }
        message = end;
    }
    return any || relay_codec_refuse_field(writing->translation, RELAY_FIELD_MESSAGES,
                                           RELAY_SPAN("at least one message is required"));
}

/* ---- system -------------------------------------------------------------- */

/* The messages in front that go into the system field end here. Without any other
 * message the last of them has to speak as the user. */
static const relay_message_t *system_end(const relay_converse_writing_t *writing)
{
    const relay_message_t *message = writing->request->messages, *last = NULL;

    while (message != NULL && is_system(message)) {
        last = message;
        message = message->next;
    }
    return message != NULL || last == NULL || last->apart ? message : last;
}

static bool put_system(relay_converse_writing_t *writing, const relay_message_t *end)
{
    bool first = true;

    for (const relay_message_t *message = writing->request->messages; message != end;
         message = message->next) {
        if (!put_some(writing, message, false, &first) ||
            !relay_codec_leave_message(writing->translation, message)) {
            return false;
        }
    }
    if (writing->request->format.mode == RELAY_FORMAT_JSON) {
        relay_buf_put(writing->out, first ? RELAY_SPAN("") : RELAY_SPAN(","));
        RELAY_PUT(writing->out, "{\"text\":\"Answer with one JSON object and nothing else: no code "
                                "fence, no text around it.\"}");
        relay_codec_change(writing->translation, RELAY_FIELD_FORMAT);
    }
    return true;
}

bool relay_converse_write_messages(relay_converse_writing_t *writing)
{
    static const relay_span_t open = RELAY_SPAN_INIT("\"system\":[");
    const relay_message_t *end = system_end(writing);
    size_t before = writing->out->len;

    relay_buf_put(writing->out, open);
    if (!put_system(writing, end)) {
        return false;
    }
    if (writing->out->len == before + open.len) {
        writing->out->len = before; /* there is none */
    } else {
        RELAY_PUT(writing->out, "],");
    }
    RELAY_PUT(writing->out, "\"messages\":[");
    if (!put_turns(writing, end)) {
        return false;
    }
    RELAY_PUT(writing->out, "]");
    return true;
}
