/*
 * The canonical protocol into the messages of Anthropic Messages requests. Called
 * by wire_anthropic_messages_codec_body.c.
 *
 * Messages of one side become one turn, what they hold in order, but results of
 * tools first:
 *
 *   system, developer in front ─► "system"
 *   tool, tool, user ─► user turn [result, result, text]
 *   assistant, assistant ─► assistant turn
 *   system behind others ─► a system message if the model takes it, else text
 *                           of the user's turn, marked
 */

#include "wire_anthropic_messages_codec.h"

typedef enum { SIDE_USER, SIDE_ASSISTANT, SIDE_SYSTEM } side_t;

static bool is_system(const relay_message_t *message)
{
    return message->role == RELAY_ROLE_SYSTEM || message->role == RELAY_ROLE_DEVELOPER;
}

static side_t side_of(const relay_messages_writing_t *writing, const relay_message_t *message)
{
    bool late =
        writing->own || (writing->translation->target.flags & RELAY_TARGET_LATE_SYSTEM) != 0;

    if (is_system(message)) {
        return late ? SIDE_SYSTEM : SIDE_USER;
    }
    return message->role == RELAY_ROLE_ASSISTANT ? SIDE_ASSISTANT : SIDE_USER;
}

/* ---- what is left of a block --------------------------------------------- */

/* Only thinking that its provider has signed may go back. */
static bool is_signed(const relay_block_t *block)
{
    bool ours = block->signer.len == 0 || relay_span_eq(block->signer, RELAY_MESSAGES_SIGNER);

    return block->kind == RELAY_BLOCK_REDACTED ? ours && block->signer.len != 0
                                               : ours && block->signature.len != 0;
}

/* True if the block is written. */
static bool remains(const relay_messages_writing_t *writing, const relay_block_t *block)
{
    if (writing->own && block->raw.len != 0) {
        return true;
    }
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

static bool any_in(const relay_messages_writing_t *writing, const relay_block_t *blocks)
{
    while (blocks != NULL && !remains(writing, blocks)) {
        blocks = blocks->next;
    }
    return blocks != NULL;
}

static bool any_remains(const relay_messages_writing_t *writing, const relay_message_t *message)
{
    return any_in(writing, message->blocks);
}

/* ---- blocks -------------------------------------------------------------- */

/* Any format's marker means: cache up to here. The lifetime is kept if it has one. */
void relay_messages_put_mark(relay_messages_writing_t *writing, relay_json_value_t mark)
{
    static const relay_span_t key = RELAY_SPAN_INIT("ttl");
    relay_json_value_t ttl = {RELAY_JSON_ABSENT, {NULL, 0}};

    if (mark.type != RELAY_JSON_OBJECT && mark.type != RELAY_JSON_TRUE) {
        return;
    }
    if (mark.type == RELAY_JSON_OBJECT) {
        relay_json_members(mark.text, &key, 1, &ttl);
    }
    RELAY_PUT(writing->out, ",\"cache_control\":{\"type\":\"ephemeral\"");
    if (ttl.type == RELAY_JSON_STRING) {
        relay_codec_put_value(writing->out, RELAY_SPAN(",\"ttl\":"), ttl);
    }
    RELAY_PUT(writing->out, "}");
}

static void put_text(relay_messages_writing_t *writing, relay_span_t text, relay_json_value_t mark)
{
    RELAY_PUT(writing->out, "{\"type\":\"text\",\"text\":");
    relay_codec_put_string(writing->out, text);
    relay_messages_put_mark(writing, mark);
    RELAY_PUT(writing->out, "}");
}

static bool known_image(relay_span_t type)
{
    return relay_span_eq(type, RELAY_SPAN("image/png")) ||
           relay_span_eq(type, RELAY_SPAN("image/jpeg")) ||
           relay_span_eq(type, RELAY_SPAN("image/gif")) ||
           relay_span_eq(type, RELAY_SPAN("image/webp"));
}

static void put_source(relay_buf_t *out, const relay_media_t *media)
{
    if (media->source == RELAY_SOURCE_URL) {
        RELAY_PUT(out, "\"source\":{\"type\":\"url\",\"url\":");
    } else {
        relay_buf_put(out, media->source == RELAY_SOURCE_TEXT
                               ? RELAY_SPAN("\"source\":{\"type\":\"text\",\"media_type\":")
                               : RELAY_SPAN("\"source\":{\"type\":\"base64\",\"media_type\":"));
        relay_codec_put_string(out, media->media_type);
        RELAY_PUT(out, ",\"data\":");
    }
    relay_codec_put_string(out, media->data);
    RELAY_PUT(out, "}");
}

static bool put_image(relay_messages_writing_t *writing, const relay_block_t *block)
{
    const relay_media_t *media = &block->media;

    if (media->source == RELAY_SOURCE_FILE) {
        return relay_codec_refuse_block(
            writing->translation, block,
            RELAY_SPAN("files are not known to the provider of this model"));
    }
    if (media->source == RELAY_SOURCE_BASE64 && !known_image(media->media_type)) {
        return relay_codec_refuse_block(writing->translation, block,
                                        RELAY_SPAN("an image must be PNG, JPEG, GIF or WebP"));
    }
    if (media->detail.len != 0 && !relay_span_eq(media->detail, RELAY_SPAN("auto"))) {
        relay_codec_drop_in(writing->translation, block->place, RELAY_FIELD_DETAIL);
    }
    RELAY_PUT(writing->out, "{\"type\":\"image\",");
    put_source(writing->out, media);
    relay_messages_put_mark(writing, block->mark);
    RELAY_PUT(writing->out, "}");
    return true;
}

/* A text file that came as base64 goes on as text. */
static bool put_text_document(relay_messages_writing_t *writing, const relay_block_t *block)
{
    relay_span_t text = relay_codec_base64_text(writing->translation, block->media.data);
    relay_buf_t *out = writing->out;

    if (text.len == 0 || relay_utf8_valid(text) != text.len) {
        return relay_codec_refuse_block(writing->translation, block,
                                        RELAY_SPAN("the data is not text in base64 and UTF-8"));
    }
    RELAY_PUT(out, "{\"type\":\"document\",\"source\":{\"type\":\"text\",\"media_type\":"
                   "\"text/plain\",\"data\":");
    relay_buf_put_json(out, text);
    RELAY_PUT(out, "}");
    relay_codec_put_text(out, RELAY_SPAN(",\"title\":"), block->media.name);
    relay_messages_put_mark(writing, block->mark);
    RELAY_PUT(out, "}");
    return true;
}

static bool put_document(relay_messages_writing_t *writing, const relay_block_t *block)
{
    relay_media_t media = block->media;
    bool pdf = relay_span_eq(media.media_type, RELAY_SPAN("application/pdf"));

    if (media.source == RELAY_SOURCE_FILE || media.source == RELAY_SOURCE_BLOCKS) {
        return relay_codec_refuse_block(
            writing->translation, block,
            RELAY_SPAN("a document has to be in the request itself for the "
                       "provider of this model"));
    }
    if (media.source == RELAY_SOURCE_BASE64 &&
        relay_span_starts(media.media_type, RELAY_SPAN("text/"))) {
        return put_text_document(writing, block);
    }
    if (media.source == RELAY_SOURCE_BASE64 && !pdf) {
        return relay_codec_refuse_block(
            writing->translation, block,
            RELAY_SPAN("a document must be PDF or text for the provider of this "
                       "model"));
    }
    if (media.source == RELAY_SOURCE_TEXT && media.media_type.len == 0) {
        media.media_type = RELAY_SPAN("text/plain");
    }
    RELAY_PUT(writing->out, "{\"type\":\"document\",");
    put_source(writing->out, &media);
    relay_codec_put_text(writing->out, RELAY_SPAN(",\"title\":"), media.name);
    relay_codec_put_text(writing->out, RELAY_SPAN(",\"context\":"), media.context);
    relay_messages_put_mark(writing, block->mark);
    RELAY_PUT(writing->out, "}");
    return true;
}

static bool put_call(relay_messages_writing_t *writing, const relay_block_t *block)
{
    const relay_call_t *call = &block->call;
    relay_translation_t *translation = writing->translation;
    relay_buf_t *out = writing->out;

    RELAY_PUT(out, "{\"type\":\"tool_use\",\"id\":");
    relay_codec_put_string(out, relay_codec_call_id(translation, call->id, RELAY_MESSAGES_ID_MAX));
    RELAY_PUT(out, ",\"name\":");
    relay_codec_put_string(out, relay_codec_tool_name(translation, call->scope, call->name,
                                                      call->free_text, RELAY_MESSAGES_NAME_MAX));
    RELAY_PUT(out, ",\"input\":");
    if (call->free_text) {
        relay_codec_put_wrapped(out, call->arguments.text);
    } else if (!relay_codec_put_input(translation, out, &call->arguments)) {
        relay_codec_change_at(translation, block->place);
    }
    relay_messages_put_mark(writing, block->mark);
    RELAY_PUT(out, "}");
    return true;
}

static bool put_block(relay_messages_writing_t *writing, const relay_block_t *block, bool *first);

static bool put_result(relay_messages_writing_t *writing, const relay_block_t *block)
{
    relay_buf_t *out = writing->out;
    bool first = true;

    RELAY_PUT(out, "{\"type\":\"tool_result\",\"tool_use_id\":");
    relay_codec_put_string(
        out, relay_codec_call_id(writing->translation, block->call.id, RELAY_MESSAGES_ID_MAX));
    if (any_in(writing, block->content)) {
        RELAY_PUT(out, ",\"content\":[");
        for (const relay_block_t *inner = block->content; inner != NULL; inner = inner->next) {
            if (remains(writing, inner) && !put_block(writing, inner, &first)) {
                return false;
            }
        }
        RELAY_PUT(out, "]");
    }
    relay_buf_put(out, block->call.failed ? RELAY_SPAN(",\"is_error\":true") : RELAY_SPAN(""));
    relay_messages_put_mark(writing, block->mark);
    RELAY_PUT(out, "}");
    return true;
}

static void put_thinking(relay_messages_writing_t *writing, const relay_block_t *block)
{
    relay_buf_t *out = writing->out;

    if (block->kind == RELAY_BLOCK_REDACTED) {
        RELAY_PUT(out, "{\"type\":\"redacted_thinking\",\"data\":");
        relay_codec_put_string(out, block->text);
    } else {
        RELAY_PUT(out, "{\"type\":\"thinking\",\"thinking\":");
        relay_codec_put_string(out, block->text);
        RELAY_PUT(out, ",\"signature\":");
        relay_codec_put_string(out, block->signature);
    }
    RELAY_PUT(out, "}");
}

static void note_lost(relay_messages_writing_t *writing, const relay_block_t *block)
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

static bool put_opaque(relay_messages_writing_t *writing, const relay_block_t *block, bool *first)
{
    if (block->content == NULL) {
        return relay_codec_refuse_block(
            writing->translation, block,
            RELAY_SPAN("content of this type is not supported by the provider of "
                       "this model"));
    }
    relay_codec_change_at(writing->translation, block->place);
    for (const relay_block_t *inner = block->content; inner != NULL; inner = inner->next) {
        if (remains(writing, inner) && !put_block(writing, inner, first)) {
            return false;
        }
    }
    return true;
}

static bool put_kind(relay_messages_writing_t *writing, const relay_block_t *block)
{
    switch (block->kind) {
    case RELAY_BLOCK_TEXT:
    case RELAY_BLOCK_REFUSAL:
        relay_codec_drop_citations(writing->translation, block);
        put_text(writing, block->text, block->mark);
        return true;
    case RELAY_BLOCK_IMAGE:
        return put_image(writing, block);
    case RELAY_BLOCK_DOCUMENT:
        return put_document(writing, block);
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
            RELAY_SPAN("content of this type is not supported by the provider of "
                       "this model"));
    }
}

static bool put_block(relay_messages_writing_t *writing, const relay_block_t *block, bool *first)
{
    if (block->kind == RELAY_BLOCK_OPAQUE && !writing->own) {
        return put_opaque(writing, block, first);
    }
    relay_buf_put(writing->out, *first ? RELAY_SPAN("") : RELAY_SPAN(","));
    *first = false;
    if (writing->own && block->raw.len != 0) {
        relay_buf_put(writing->out, block->raw);
        return true;
    }
    return put_kind(writing, block);
}

/* ---- turns --------------------------------------------------------------- */

static bool put_marked_system(relay_messages_writing_t *writing, const relay_message_t *message,
                              bool *first)
{
    for (const relay_block_t *block = message->blocks; block != NULL; block = block->next) {
        if (!remains(writing, block)) {
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
        RELAY_PUT(writing->out, "{\"type\":\"text\",\"text\":\"<system>\\n");
        relay_buf_put(writing->out, block->text);
        RELAY_PUT(writing->out, "\\n</system>\"");
        relay_messages_put_mark(writing, block->mark);
        RELAY_PUT(writing->out, "}");
    }
    relay_codec_change(writing->translation, RELAY_FIELD_SYSTEM);
    return true;
}

/* The results of a message, or all else of it. */
static bool put_some(relay_messages_writing_t *writing, const relay_message_t *message,
                     bool results, bool *first)
{
    for (const relay_block_t *block = message->blocks; block != NULL; block = block->next) {
        if ((block->kind == RELAY_BLOCK_TOOL_RESULT) != results) {
            continue;
        }
        if (!remains(writing, block)) {
            note_lost(writing, block);
        } else if (!put_block(writing, block, first)) {
            return false;
        }
    }
    return true;
}

static bool put_turn_content(relay_messages_writing_t *writing, const relay_message_t *from,
                             const relay_message_t *end)
{
    bool first = true;

    for (const relay_message_t *message = from; message != end; message = message->next) {
        if (!put_some(writing, message, true, &first)) {
            return false;
        }
    }
    for (const relay_message_t *message = from; message != end; message = message->next) {
        bool marked = is_system(message) && side_of(writing, message) == SIDE_USER;
        if (!(marked ? put_marked_system(writing, message, &first)
                     : put_some(writing, message, false, &first)) ||
            (!writing->own && !relay_codec_leave_message(writing->translation, message))) {
            return false;
        }
    }
    return true;
}

static bool put_turn(relay_messages_writing_t *writing, const relay_message_t *from,
                     const relay_message_t *end, side_t side)
{
    relay_buf_t *out = writing->out;

    relay_buf_put(out, side == SIDE_USER ? RELAY_SPAN("{\"role\":\"user\",\"content\":[")
                       : side == SIDE_ASSISTANT
                           ? RELAY_SPAN("{\"role\":\"assistant\",\"content\":[")
                           : RELAY_SPAN("{\"role\":\"system\",\"content\":["));
    if (!put_turn_content(writing, from, end)) {
        return false;
    }
    RELAY_PUT(out, "]");
    if (writing->own) {
        relay_codec_put_extras(out, from->extras);
    }
    RELAY_PUT(out, "}");
    return true;
}

/* Where the turn that begins with `from` ends: at the next message of another side
 * that has something to say. */
static const relay_message_t *turn_end(const relay_messages_writing_t *writing,
                                       const relay_message_t *from)
{
    const relay_message_t *message = from->next;

    if (writing->own) {
        return message; /* the format merges by itself */
    }
    while (message != NULL && (!any_remains(writing, message) ||
                               side_of(writing, message) == side_of(writing, from))) {
        message = message->next;
    }
    return message;
}

static bool put_turns(relay_messages_writing_t *writing, const relay_message_t *message)
{
    bool any = false;

    while (message != NULL) {
        const relay_message_t *end = turn_end(writing, message);
        if (!any_remains(writing, message) && !writing->own) {
            for (const relay_block_t *block = message->blocks; block != NULL; block = block->next) {
                note_lost(writing, block);
            }
            message = message->next;
            continue;
        }
        relay_buf_put(writing->out, any ? RELAY_SPAN(",") : RELAY_SPAN(""));
        any = true;
        if (!put_turn(writing, message, end, side_of(writing, message))) {
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
static const relay_message_t *system_end(relay_messages_writing_t *writing)
{
    const relay_message_t *message = writing->request->messages, *last = NULL;

    if (writing->own) {
        return message != NULL && message->apart ? message->next : message;
    }
    while (message != NULL && is_system(message)) {
        last = message;
        message = message->next;
    }
    return message != NULL || last == NULL || last->apart ? message : last;
}

static bool put_system(relay_messages_writing_t *writing, const relay_message_t *end)
{
    bool first = true, json = writing->request->format.mode == RELAY_FORMAT_JSON;
    const relay_message_t *from = writing->request->messages;
    relay_buf_t *out = writing->out;

    if (from == end && !json) {
        return true;
    }
    RELAY_PUT(out, ",\"system\":[");
    for (const relay_message_t *message = from; message != end; message = message->next) {
        if (!put_some(writing, message, false, &first) ||
            (!writing->own && !relay_codec_leave_message(writing->translation, message))) {
            return false;
        }
    }
    if (json) {
        relay_buf_put(out, first ? RELAY_SPAN("") : RELAY_SPAN(","));
        RELAY_PUT(out, "{\"type\":\"text\",\"text\":\"Answer with one JSON object and nothing "
                       "else: no code fence, no text around it.\"}");
        relay_codec_change(writing->translation, RELAY_FIELD_FORMAT);
    }
    RELAY_PUT(out, "]");
    return true;
}

bool relay_messages_write_messages(relay_messages_writing_t *writing)
{
    const relay_message_t *end = system_end(writing);

    if (!put_system(writing, end)) {
        return false;
    }
    RELAY_PUT(writing->out, ",\"messages\":[");
    if (!put_turns(writing, end)) {
        return false;
    }
    RELAY_PUT(writing->out, "]");
    return true;
}

bool relay_messages_loop_unsigned(const relay_request_t *request)
{
    bool unsigned_call = false;

    for (const relay_message_t *message = request->messages; message != NULL;
         message = message->next) {
        bool thought = false, spoke = message->role == RELAY_ROLE_USER;
        for (const relay_block_t *block = message->blocks; block != NULL; block = block->next) {
            thought =
                thought ||
                ((block->kind == RELAY_BLOCK_THINKING || block->kind == RELAY_BLOCK_REDACTED) &&
                 is_signed(block));
            spoke = spoke && block->kind != RELAY_BLOCK_TOOL_RESULT;
            if (block->kind == RELAY_BLOCK_TOOL_CALL) {
                unsigned_call = unsigned_call || !thought;
            }
        }
        unsigned_call = unsigned_call && !spoke;
    }
    return unsigned_call;
}
