/*
 * The canonical protocol into the contents of Gemini requests. Called by
 * wire_gemini_codec_body.c.
 *
 * Messages of one side become one content, their parts in order, but results of
 * functions first: as many as the calls before them, with nothing between.
 *
 *   system, developer in front ─► "systemInstruction"
 *   tool, tool, user ─► user [functionResponse, functionResponse, text]
 *   assistant, assistant ─► model
 *   system behind others ─► text of the user, marked
 */

#include "wire_gemini_codec.h"

static bool is_system(const relay_message_t *message)
{
    return message->role == RELAY_ROLE_SYSTEM || message->role == RELAY_ROLE_DEVELOPER;
}

static bool is_model(const relay_message_t *message)
{
    return message->role == RELAY_ROLE_ASSISTANT;
}

static bool refuse_type(relay_gemini_writing_t *writing, const relay_block_t *block)
{
    return relay_codec_refuse_block(
        writing->translation, block,
        RELAY_SPAN("content of this type is not supported by the provider of this "
                   "model"));
}

/* ---- what is left of a block --------------------------------------------- */

static bool is_signed(const relay_block_t *block)
{
    return relay_span_eq(block->signer, RELAY_GEMINI_SIGNER) &&
           (block->kind == RELAY_BLOCK_REDACTED || block->signature.len != 0);
}

/* True if the block is written. */
static bool remains(const relay_gemini_writing_t *writing, const relay_block_t *block)
{
    if (writing->own) {
        return block->raw.len != 0;
    }
    switch (block->kind) {
    case RELAY_BLOCK_TEXT:
    case RELAY_BLOCK_REFUSAL:
        return block->text.len != 0;
    case RELAY_BLOCK_THINKING:
    case RELAY_BLOCK_REDACTED:
        return is_signed(block);
    case RELAY_BLOCK_OPAQUE:
        return block->content != NULL || block->essential;
    default:
        return true;
    }
}

static bool any_remains(const relay_gemini_writing_t *writing, const relay_message_t *message)
{
    const relay_block_t *block = message->blocks;

    while (block != NULL && !remains(writing, block)) {
        block = block->next;
    }
    return block != NULL;
}

static void note_lost(relay_gemini_writing_t *writing, const relay_block_t *block)
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
        break; /* empty text says nothing */
    }
}

static void note_block(relay_gemini_writing_t *writing, const relay_block_t *block)
{
    relay_codec_drop_mark(writing->translation, block->mark, block->mark_place);
    relay_codec_drop_citations(writing->translation, block);
}

/* ---- text and signatures ------------------------------------------------- */

static void separate(relay_gemini_writing_t *writing)
{
    relay_buf_put(writing->out, writing->part ? RELAY_SPAN(",") : RELAY_SPAN(""));
    writing->part = true;
}

static void put_text(relay_gemini_writing_t *writing, relay_span_t text, relay_span_t signature)
{
    separate(writing);
    RELAY_PUT(writing->out, "{\"text\":");
    relay_codec_put_string(writing->out, text);
    relay_codec_put_text(writing->out, RELAY_SPAN(",\"thoughtSignature\":"), signature);
    RELAY_PUT(writing->out, "}");
}

static void put_thought(relay_gemini_writing_t *writing, const relay_block_t *block)
{
    separate(writing);
    RELAY_PUT(writing->out, "{\"text\":");
    relay_codec_put_string(writing->out, block->text);
    RELAY_PUT(writing->out, ",\"thought\":true");
    relay_codec_put_text(writing->out, RELAY_SPAN(",\"thoughtSignature\":"), block->signature);
    RELAY_PUT(writing->out, "}");
}

/* The signature of a text was read apart from it. It was on the last part of a turn:
 * so it goes back on the last text of the message, if there is any. */
static const relay_block_t *first_carried(const relay_message_t *message)
{
    const relay_block_t *block = message->blocks;

    while (block != NULL && !(block->kind == RELAY_BLOCK_REDACTED && is_signed(block))) {
        block = block->next;
    }
    return block;
}

static const relay_block_t *carrier(const relay_message_t *message)
{
    const relay_block_t *last = NULL;

    for (const relay_block_t *block = message->blocks; block != NULL; block = block->next) {
        if (block->kind == RELAY_BLOCK_TEXT && block->text.len != 0) {
            last = block;
        }
    }
    return last;
}

static void put_signed_text(relay_gemini_writing_t *writing, const relay_message_t *message,
                            const relay_block_t *block)
{
    const relay_block_t *carried = first_carried(message);
    bool carries = carried != NULL && block == carrier(message);

    put_text(writing, block->text, carries ? carried->text : relay_span(NULL, 0));
    note_block(writing, block);
}

static void put_carried(relay_gemini_writing_t *writing, const relay_message_t *message,
                        const relay_block_t *block)
{
    if (block != first_carried(message) || carrier(message) == NULL) {
        put_text(writing, relay_span(NULL, 0), block->text);
    }
}

/* ---- media --------------------------------------------------------------- */

/* What a URL points to has to be said; most say it at their end. */
static relay_span_t guess_type(relay_block_kind_t kind, relay_span_t url)
{
    static const struct {
        relay_span_t end;
        relay_span_t type;
    } types[] = {
        {RELAY_SPAN_INIT(".png"), RELAY_SPAN_INIT("image/png")},
        {RELAY_SPAN_INIT(".gif"), RELAY_SPAN_INIT("image/gif")},
        {RELAY_SPAN_INIT(".webp"), RELAY_SPAN_INIT("image/webp")},
        {RELAY_SPAN_INIT(".heic"), RELAY_SPAN_INIT("image/heic")},
        {RELAY_SPAN_INIT(".txt"), RELAY_SPAN_INIT("text/plain")},
    };
    const uint8_t *query = url.len != 0 ? memchr(url.base, '?', url.len) : NULL;

    url.len = query != NULL ? (size_t)(query - url.base) : url.len;
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        relay_span_t end = types[i].end;
        if (url.len > end.len && relay_span_case_eq(relay_span_from(url, url.len - end.len), end)) {
            return types[i].type;
        }
    }
    switch (kind) {
    case RELAY_BLOCK_IMAGE:
        return RELAY_SPAN("image/jpeg");
    case RELAY_BLOCK_AUDIO:
        return RELAY_SPAN("audio/mpeg");
    case RELAY_BLOCK_VIDEO:
        return RELAY_SPAN("video/mp4");
    default:
        return RELAY_SPAN("application/pdf");
    }
}

static void put_data(relay_gemini_writing_t *writing, const relay_block_t *block)
{
    const relay_media_t *media = &block->media;
    relay_buf_t *out = writing->out;
    bool url = media->source == RELAY_SOURCE_URL;

    separate(writing);
    relay_buf_put(out, url ? RELAY_SPAN("{\"fileData\":{\"mimeType\":")
                           : RELAY_SPAN("{\"inlineData\":{\"mimeType\":"));
    relay_buf_put_json(out, media->media_type.len != 0 ? media->media_type
                                                       : guess_type(block->kind, media->data));
    relay_buf_put(out, url ? RELAY_SPAN(",\"fileUri\":") : RELAY_SPAN(",\"data\":"));
    relay_codec_put_string(out, media->data);
    RELAY_PUT(out, "}}");
}

static bool put_block(relay_gemini_writing_t *writing, const relay_message_t *message,
                      const relay_block_t *block);

static bool put_inner(relay_gemini_writing_t *writing, const relay_message_t *message,
                      const relay_block_t *block)
{
    for (; block != NULL; block = block->next) {
        if (remains(writing, block) && !put_block(writing, message, block)) {
            return false;
        }
    }
    return true;
}

static bool put_media(relay_gemini_writing_t *writing, const relay_message_t *message,
                      const relay_block_t *block)
{
    const relay_media_t *media = &block->media;

    if (media->source == RELAY_SOURCE_FILE) {
        return relay_codec_refuse_block(
            writing->translation, block,
            RELAY_SPAN("files are not known to the provider of this model"));
    }
    if (media->detail.len != 0 && !relay_span_eq(media->detail, RELAY_SPAN("auto"))) {
        relay_codec_drop_in(writing->translation, block->place, RELAY_FIELD_DETAIL);
    }
    if (media->name.len != 0) {
        relay_codec_drop_in(writing->translation, block->place, RELAY_FIELD_FILENAME);
    }
    note_block(writing, block);
    if (media->context.len != 0) {
        put_text(writing, media->context, relay_span(NULL, 0));
    }
    switch (media->source) {
    case RELAY_SOURCE_TEXT:
        put_text(writing, media->data, relay_span(NULL, 0));
        return true;
    case RELAY_SOURCE_BLOCKS:
        return put_inner(writing, message, block->content);
    default:
        put_data(writing, block);
        return true;
    }
}

/* ---- calls --------------------------------------------------------------- */

static void put_id(relay_buf_t *out, relay_span_t id)
{
    if (id.len != 0) {
        RELAY_PUT(out, "\"id\":");
        relay_codec_put_string(out, id);
        RELAY_PUT(out, ",");
    }
}

/*
 * The signature of the call, or of the thinking that led to it. Models that insist on
 * one take this word from calls that others have made, on the first of a turn.
 */
static void put_call_signature(relay_gemini_writing_t *writing, const relay_block_t *block,
                               relay_span_t signature)
{
    bool insists = (writing->translation->target.flags & RELAY_TARGET_SIGNED_CALLS) != 0;

    if (signature.len != 0) {
        RELAY_PUT(writing->out, ",\"thoughtSignature\":");
        relay_gemini_put_id_signature(writing->out, signature);
    } else if (is_signed(block)) {
        relay_codec_put_text(writing->out, RELAY_SPAN(",\"thoughtSignature\":"), block->signature);
    } else if (insists && !writing->call) {
        RELAY_PUT(writing->out, ",\"thoughtSignature\":\"skip_thought_signature_validator\"");
    }
    writing->call = true;
}

static bool put_call(relay_gemini_writing_t *writing, const relay_block_t *block)
{
    const relay_call_t *call = &block->call;
    relay_span_t id = call->id, signature;
    relay_buf_t *out = writing->out;

    relay_gemini_split_id(&id, &signature);
    separate(writing);
    RELAY_PUT(out, "{\"functionCall\":{");
    put_id(out, id);
    RELAY_PUT(out, "\"name\":");
    relay_codec_put_string(out, relay_codec_tool_name(writing->translation, call->scope, call->name,
                                                      call->free_text, RELAY_GEMINI_NAME_MAX));
    RELAY_PUT(out, ",\"args\":");
    if (call->free_text) {
        relay_codec_put_wrapped(out, call->arguments.text);
    } else if (!relay_codec_put_input(writing->translation, out, &call->arguments)) {
        relay_codec_change_at(writing->translation, block->place);
    }
    RELAY_PUT(out, "}");
    put_call_signature(writing, block, signature);
    RELAY_PUT(out, "}");
    note_block(writing, block);
    return true;
}

/* ---- results ------------------------------------------------------------- */

static bool is_media(const relay_block_t *block)
{
    return block->kind == RELAY_BLOCK_IMAGE || block->kind == RELAY_BLOCK_AUDIO ||
           block->kind == RELAY_BLOCK_VIDEO ||
           (block->kind == RELAY_BLOCK_DOCUMENT && block->media.source != RELAY_SOURCE_TEXT);
}

static relay_span_t text_of(const relay_block_t *block)
{
    return block->kind == RELAY_BLOCK_DOCUMENT ? block->media.data : block->text;
}

static void put_result_text(relay_gemini_writing_t *writing, const relay_block_t *blocks, bool *any)
{
    for (const relay_block_t *block = blocks; block != NULL; block = block->next) {
        if (block->kind == RELAY_BLOCK_OPAQUE) {
            relay_codec_change_at(writing->translation, block->place);
            put_result_text(writing, block->content, any);
        } else if (!is_media(block) && text_of(block).len != 0) {
            relay_buf_put(writing->out, *any ? RELAY_SPAN("\\n") : RELAY_SPAN(""));
            relay_buf_put(writing->out, block->media.context);
            relay_buf_put(writing->out,
                          block->media.context.len != 0 ? RELAY_SPAN("\\n") : RELAY_SPAN(""));
            relay_buf_put(writing->out, text_of(block));
            note_block(writing, block);
            *any = true;
        }
    }
}

/*
 * A result that is one JSON object, in plain; else empty. A member "$ref" would be
 * taken for a reference to one of the parts.
 */
static relay_span_t object_of(relay_gemini_writing_t *writing, const relay_block_t *result)
{
    const relay_block_t *only = result->content;
    relay_json_fault_t fault;
    relay_span_t text;

    if (only == NULL || only->next != NULL || only->kind != RELAY_BLOCK_TEXT ||
        result->call.failed || only->text.len < 2 ||
        (only->text.base[0] != '{' && only->text.base[0] != ' ' && only->text.base[0] != '\\')) {
        return relay_span(NULL, 0);
    }
    text = relay_codec_plain(writing->translation, only->text);
    if (relay_json_scan(text, NULL, 0, NULL, &fault) != RELAY_JSON_OK ||
        relay_gemini_find(text, RELAY_SPAN("\"$ref\"")) < text.len) {
        return relay_span(NULL, 0);
    }
    return text;
}

static bool put_result(relay_gemini_writing_t *writing, const relay_block_t *block)
{
    const relay_call_t *call = &block->call;
    relay_span_t id = call->id, signature, object = object_of(writing, block);
    relay_buf_t *out = writing->out;
    bool any = false;

    relay_gemini_split_id(&id, &signature);
    separate(writing);
    RELAY_PUT(out, "{\"functionResponse\":{");
    put_id(out, id);
    RELAY_PUT(out, "\"name\":");
    relay_codec_put_string(out, relay_codec_tool_name(writing->translation, call->scope, call->name,
                                                      false, RELAY_GEMINI_NAME_MAX));
    RELAY_PUT(out, ",\"response\":");
    if (object.len != 0) {
        relay_buf_put(out, object);
    } else {
        relay_buf_put(out,
                      call->failed ? RELAY_SPAN("{\"error\":\"") : RELAY_SPAN("{\"result\":\""));
        put_result_text(writing, block->content, &any);
        RELAY_PUT(out, "\"}");
    }
    RELAY_PUT(out, "}}");
    note_block(writing, block);
    return true;
}

/* A function's answer is JSON: media follow behind the last of them. */
static bool put_result_media(relay_gemini_writing_t *writing, const relay_message_t *message,
                             const relay_block_t *result)
{
    bool said = false;

    for (const relay_block_t *block = result->content; block != NULL; block = block->next) {
        if (!is_media(block)) {
            continue;
        }
        if (!said) {
            relay_span_t id = result->call.id, signature;
            relay_gemini_split_id(&id, &signature);
            separate(writing);
            RELAY_PUT(writing->out, "{\"text\":\"Result of the tool call ");
            relay_buf_put(writing->out, id);
            RELAY_PUT(writing->out, ":\"}");
            relay_codec_change_at(writing->translation, block->place);
        }
        said = true;
        if (!put_media(writing, message, block)) {
            return false;
        }
    }
    return true;
}

/* ---- parts --------------------------------------------------------------- */

static bool put_opaque(relay_gemini_writing_t *writing, const relay_message_t *message,
                       const relay_block_t *block)
{
    if (block->content == NULL) {
        return refuse_type(writing, block);
    }
    relay_codec_change_at(writing->translation, block->place);
    return put_inner(writing, message, block->content);
}

static bool put_block(relay_gemini_writing_t *writing, const relay_message_t *message,
                      const relay_block_t *block)
{
    if (writing->own) {
        separate(writing);
        relay_buf_put(writing->out, block->raw);
        return true;
    }
    switch (block->kind) {
    case RELAY_BLOCK_TEXT:
    case RELAY_BLOCK_REFUSAL:
        put_signed_text(writing, message, block);
        return true;
    case RELAY_BLOCK_THINKING:
        put_thought(writing, block);
        return true;
    case RELAY_BLOCK_REDACTED:
        put_carried(writing, message, block);
        return true;
    case RELAY_BLOCK_TOOL_CALL:
        return put_call(writing, block);
    case RELAY_BLOCK_TOOL_RESULT:
        return put_result(writing, block);
    case RELAY_BLOCK_OPAQUE:
        return put_opaque(writing, message, block);
    default:
        return put_media(writing, message, block);
    }
}

/* ---- turns --------------------------------------------------------------- */

static bool put_marked_system(relay_gemini_writing_t *writing, const relay_message_t *message)
{
    for (const relay_block_t *block = message->blocks; block != NULL; block = block->next) {
        if (!remains(writing, block)) {
            continue;
        }
        if (block->kind != RELAY_BLOCK_TEXT) { /* media has its place in a turn of the user */
            if (!put_block(writing, message, block)) {
                return false;
            }
            continue;
        }
        separate(writing);
        RELAY_PUT(writing->out, "{\"text\":\"<system>\\n");
        relay_buf_put(writing->out, block->text);
        RELAY_PUT(writing->out, "\\n</system>\"}");
        note_block(writing, block);
    }
    relay_codec_change(writing->translation, RELAY_FIELD_SYSTEM);
    return true;
}

static bool put_results(relay_gemini_writing_t *writing, const relay_message_t *message)
{
    for (const relay_block_t *block = message->blocks; block != NULL; block = block->next) {
        if (block->kind == RELAY_BLOCK_TOOL_RESULT && !put_block(writing, message, block)) {
            return false;
        }
    }
    return true;
}

/* All of a message but its results. */
static bool put_rest(relay_gemini_writing_t *writing, const relay_message_t *message)
{
    for (const relay_block_t *block = message->blocks; block != NULL; block = block->next) {
        if (block->kind == RELAY_BLOCK_TOOL_RESULT) {
            continue;
        }
        if (!remains(writing, block)) {
            note_lost(writing, block);
        } else if (!put_block(writing, message, block)) {
            return false;
        }
    }
    return true;
}

static bool put_media_of_results(relay_gemini_writing_t *writing, const relay_message_t *message)
{
    for (const relay_block_t *block = message->blocks; block != NULL; block = block->next) {
        if (block->kind == RELAY_BLOCK_TOOL_RESULT && !put_result_media(writing, message, block)) {
            return false;
        }
    }
    return true;
}

static bool put_turn_parts(relay_gemini_writing_t *writing, const relay_message_t *from,
                           const relay_message_t *end)
{
    const relay_message_t *message;

    for (message = from; message != end; message = message->next) {
        if (!put_results(writing, message)) {
            return false;
        }
    }
    for (message = from; message != end; message = message->next) {
        if (!put_media_of_results(writing, message)) {
            return false;
        }
    }
    for (message = from; message != end; message = message->next) {
        if (!(is_system(message) ? put_marked_system(writing, message)
                                 : put_rest(writing, message)) ||
            !relay_codec_leave_message(writing->translation, message)) {
            return false;
        }
    }
    return true;
}

/* As it was: every part in its place. */
static bool put_own_turn(relay_gemini_writing_t *writing, const relay_message_t *message)
{
    RELAY_PUT(writing->out, "{\"parts\":[");
    put_inner(writing, message, message->blocks);
    RELAY_PUT(writing->out, "]");
    relay_codec_put_extras(writing->out, message->extras);
    RELAY_PUT(writing->out, "}");
    return true;
}

static bool put_turn(relay_gemini_writing_t *writing, const relay_message_t *from,
                     const relay_message_t *end)
{
    writing->part = false;
    writing->call = false;
    if (writing->own) {
        return put_own_turn(writing, from);
    }
    relay_buf_put(writing->out, is_model(from) ? RELAY_SPAN("{\"role\":\"model\",\"parts\":[")
                                               : RELAY_SPAN("{\"role\":\"user\",\"parts\":["));
    if (!put_turn_parts(writing, from, end)) {
        return false;
    }
    RELAY_PUT(writing->out, "]}");
    return true;
}

/* Where the turn that begins with `from` ends: at the next message of the other side
 * that has something to say. */
static const relay_message_t *turn_end(const relay_gemini_writing_t *writing,
                                       const relay_message_t *from)
{
    const relay_message_t *message = from->next;

    while (!writing->own && message != NULL &&
           (!any_remains(writing, message) || is_model(message) == is_model(from))) {
        message = message->next;
    }
    return message;
}

static bool put_turns(relay_gemini_writing_t *writing, const relay_message_t *message)
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
        if (!put_turn(writing, message, end)) {
            return false;
        }
        message = end;
    }
    return any || writing->own ||
           relay_codec_refuse_field(writing->translation, RELAY_FIELD_MESSAGES,
                                    RELAY_SPAN("at least one message is required"));
}

/* ---- system -------------------------------------------------------------- */

/* The messages in front that go into the instruction end here. Without any other
 * message the last of them has to speak as the user. */
static const relay_message_t *system_end(const relay_gemini_writing_t *writing)
{
    const relay_message_t *message = writing->request->messages, *last = NULL;

    if (writing->own) {
        return message; /* the instruction is an extra */
    }
    while (message != NULL && is_system(message)) {
        last = message;
        message = message->next;
    }
    return message != NULL || last == NULL || last->apart ? message : last;
}

static bool put_system(relay_gemini_writing_t *writing, const relay_message_t *end)
{
    writing->part = false;
    for (const relay_message_t *message = writing->request->messages; message != end;
         message = message->next) {
        if (any_remains(writing, message) && !writing->part) {
            RELAY_PUT(writing->out, "\"systemInstruction\":{\"parts\":[");
        }
        if (!put_rest(writing, message) ||
            !relay_codec_leave_message(writing->translation, message)) {
            return false;
        }
    }
    relay_buf_put(writing->out, writing->part ? RELAY_SPAN("]},") : RELAY_SPAN(""));
    return true;
}

bool relay_gemini_write_contents(relay_gemini_writing_t *writing)
{
    const relay_message_t *end = system_end(writing);

    if (!put_system(writing, end)) {
        return false;
    }
    RELAY_PUT(writing->out, "\"contents\":[");
    if (!put_turns(writing, end)) {
        return false;
    }
    RELAY_PUT(writing->out, "]");
    return true;
}
