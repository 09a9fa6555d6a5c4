/*
 * The items of a Responses stream and what is kept of them: see
 * wire_openai_responses_codec_item.h. Called by wire_openai_responses_codec_writer.c.
 */

#include "wire_openai_responses_codec_item.h"

/* What an item and its events are beside texts; how often they repeat these. */
enum { ITEM_ROOM = 2048, REPEATS = 4 };

/* ---- what is kept -------------------------------------------------------- */

relay_span_t relay_responses_kept_items(relay_writer_t *writer)
{
    return relay_span(writer->kept.base, relay_responses_state(writer)->items_len);
}

relay_span_t relay_responses_kept_head(relay_writer_t *writer)
{
    const relay_responses_writer_t *state = relay_responses_state(writer);

    return state->head_len == 0 ? relay_span(NULL, 0)
                                : relay_span(writer->kept.base + state->items_len, state->head_len);
}

relay_span_t relay_responses_kept_text(relay_writer_t *writer)
{
    const relay_responses_writer_t *state = relay_responses_state(writer);
    size_t from = state->items_len + state->head_len;

    return writer->kept.len == from ? relay_span(NULL, 0)
                                    : relay_span(writer->kept.base + from, writer->kept.len - from);
}

relay_span_t relay_responses_kept_logprobs(relay_writer_t *writer)
{
    return writer->aside.len == 0 ? relay_span(NULL, 0)
                                  : relay_span(writer->aside.base, writer->aside.len);
}

relay_span_t relay_responses_keep_logprobs(relay_writer_t *writer, relay_json_value_t list)
{
    relay_kept_t *aside = &writer->aside;
    relay_span_t comma = aside->len != 0 ? RELAY_SPAN(",") : RELAY_SPAN("");
    relay_buf_t out = relay_buf(NULL, 0);

    relay_codec_put_logprobs(&out, list, RELAY_SPAN("[]"));
    if (!relay_kept_room(aside, out.len + comma.len) || !relay_kept_put(aside, comma)) {
        writer->failed = true;
        return relay_span(NULL, 0);
    }
    out = relay_buf(aside->base + aside->len, out.len);
    relay_codec_put_logprobs(&out, list, RELAY_SPAN("[]"));
    aside->len += out.len;
    return relay_buf_span(&out);
}

void relay_responses_settle(relay_writer_t *writer)
{
    size_t items_len = relay_responses_state(writer)->items_len;

    writer->owed =
        items_len + REPEATS * (writer->kept.len - items_len + writer->aside.len) + ITEM_ROOM;
}

void relay_responses_keep_text(relay_writer_t *writer, relay_span_t text)
{
    if (!relay_kept_put(&writer->kept, text)) {
        writer->failed = true;
    }
}

/* Room for size more bytes of the head: the text moves up. NULL if there is none. */
static uint8_t *widen_head(relay_writer_t *writer, size_t size)
{
    relay_responses_writer_t *state = relay_responses_state(writer);
    relay_span_t text;
    uint8_t *at;

    if (!relay_kept_room(&writer->kept, size)) {
        writer->failed = true;
        return NULL;
    }
    text = relay_responses_kept_text(writer);
    at = writer->kept.base + state->items_len + state->head_len;
    if (text.len != 0) {
        memmove(at + size, at, text.len);
    }
    state->head_len += size;
    writer->kept.len += size;
    return at;
}

void relay_responses_keep_head(relay_writer_t *writer, relay_span_t text)
{
    uint8_t *at = text.len != 0 ? widen_head(writer, text.len) : NULL;

    if (at != NULL) {
        memcpy(at, text.base, text.len);
    }
}

void relay_responses_keep_annotation(relay_writer_t *writer, const relay_citation_t *citation)
{
    relay_span_t comma =
        relay_responses_state(writer)->head_len != 0 ? RELAY_SPAN(",") : RELAY_SPAN("");
    relay_buf_t out = relay_buf(NULL, 0);
    uint8_t *at;

    relay_responses_put_annotation(&out, citation);
    at = widen_head(writer, out.len + comma.len);
    if (at != NULL) {
        out = relay_buf(at, out.len + comma.len);
        relay_buf_put(&out, comma);
        relay_responses_put_annotation(&out, citation);
    }
}

/* ---- items --------------------------------------------------------------- */

static void put_item_id(relay_writer_t *writer, relay_buf_t *out)
{
    const relay_responses_writer_t *state = relay_responses_state(writer);

    relay_responses_put_item_id(out, writer->translation,
                                relay_responses_item_prefix(state->kind, state->call),
                                state->index);
}

/* ,"item_id":"…","output_index":N */
void relay_responses_put_place(relay_writer_t *writer, relay_buf_t *out)
{
    RELAY_PUT(out, ",\"item_id\":");
    put_item_id(writer, out);
    RELAY_PUT(out, ",\"output_index\":");
    relay_buf_put_u64(out, relay_responses_state(writer)->index);
}

/* The part of a message, or of its beginning. */
void relay_responses_put_part(relay_writer_t *writer, relay_buf_t *out, bool done)
{
    relay_span_t text = done ? relay_responses_kept_text(writer) : relay_span(NULL, 0);

    if (relay_responses_state(writer)->kind == RELAY_BLOCK_REFUSAL) {
        RELAY_PUT(out, "{\"type\":\"refusal\",\"refusal\":");
        relay_codec_put_string(out, text);
        RELAY_PUT(out, "}");
        return;
    }
    RELAY_PUT(out, "{\"type\":\"output_text\",\"text\":");
    relay_codec_put_string(out, text);
    RELAY_PUT(out, ",\"annotations\":[");
    relay_buf_put(out, done ? relay_responses_kept_head(writer) : relay_span(NULL, 0));
    RELAY_PUT(out, "],\"logprobs\":[");
    relay_buf_put(out, done ? relay_responses_kept_logprobs(writer) : relay_span(NULL, 0));
    RELAY_PUT(out, "]}");
}

void relay_responses_put_summary(relay_writer_t *writer, relay_buf_t *out, bool done)
{
    RELAY_PUT(out, "{\"type\":\"summary_text\",\"text\":");
    relay_codec_put_string(out, done ? relay_responses_kept_text(writer) : relay_span(NULL, 0));
    RELAY_PUT(out, "}");
}

static void put_reasoning(relay_writer_t *writer, relay_buf_t *out, bool done)
{
    const relay_responses_writer_t *state = relay_responses_state(writer);

    RELAY_PUT(out, ",\"type\":\"reasoning\",\"summary\":[");
    if (done && state->kind == RELAY_BLOCK_THINKING && relay_responses_kept_text(writer).len != 0) {
        relay_responses_put_summary(writer, out, true);
    }
    RELAY_PUT(out, "]");
    if (done && (state->kind == RELAY_BLOCK_REDACTED || state->head_len != 0)) {
        RELAY_PUT(out, ",\"encrypted_content\":");
        relay_responses_put_sealed(out, state->kind, relay_responses_kept_text(writer),
                                   relay_responses_kept_head(writer),
                                   relay_span(state->signer, state->signer_len));
    }
    RELAY_PUT(out, "}");
}

static void put_call(relay_writer_t *writer, relay_buf_t *out, relay_span_t status, bool done)
{
    relay_arguments_t arguments = {
        .text = done ? relay_responses_kept_text(writer) : relay_span(NULL, 0), .quoted = true};

    switch (relay_responses_state(writer)->call) {
    case RELAY_RESPONSES_CUSTOM:
        RELAY_PUT(out, ",\"type\":\"custom_tool_call\",\"status\":");
        break;
    case RELAY_RESPONSES_TOOL_SEARCH:
        RELAY_PUT(out, ",\"type\":\"tool_search_call\",\"execution\":\"client\",\"status\":");
        break;
    default:
        RELAY_PUT(out, ",\"type\":\"function_call\",\"status\":");
        break;
    }
    relay_codec_put_string(out, status);
    relay_buf_put(out, relay_responses_kept_head(writer));
    if (relay_responses_state(writer)->call == RELAY_RESPONSES_TOOL_SEARCH) {
        RELAY_PUT(out, ",\"arguments\":");
        relay_responses_put_search(writer->translation, out, &arguments);
    } else {
        relay_buf_put(out, relay_responses_state(writer)->call == RELAY_RESPONSES_CUSTOM
                               ? RELAY_SPAN(",\"input\":")
                               : RELAY_SPAN(",\"arguments\":"));
        relay_codec_put_string(out, arguments.text);
    }
    RELAY_PUT(out, "}");
}

static void put_image(relay_writer_t *writer, relay_buf_t *out, bool done)
{
    relay_buf_put(out, done ? RELAY_SPAN(",\"type\":\"image_generation_call\",\"status\":"
                                         "\"completed\"")
                            : RELAY_SPAN(",\"type\":\"image_generation_call\",\"status\":"
                                         "\"in_progress\""));
    relay_buf_put(out, relay_responses_kept_head(writer));
    RELAY_PUT(out, ",\"result\":");
    relay_codec_put_string_or_null(out,
                                   done ? relay_responses_kept_text(writer) : relay_span(NULL, 0));
    RELAY_PUT(out, "}");
}

static void put_message(relay_writer_t *writer, relay_buf_t *out, relay_span_t status, bool done)
{
    RELAY_PUT(out, ",\"type\":\"message\",\"status\":");
    relay_codec_put_string(out, status);
    RELAY_PUT(out, ",\"role\":\"assistant\",\"content\":[");
    if (done) {
        relay_responses_put_part(writer, out, true);
    }
    RELAY_PUT(out, "]}");
}

void relay_responses_put_item(relay_writer_t *writer, relay_buf_t *out, relay_span_t status,
                              bool done)
{
    if (relay_responses_state(writer)->kind == RELAY_BLOCK_OPAQUE) {
        relay_buf_put(out, relay_responses_kept_text(writer));
        return;
    }
    RELAY_PUT(out, "{\"id\":");
    put_item_id(writer, out);
    switch (relay_responses_state(writer)->kind) {
    case RELAY_BLOCK_THINKING:
    case RELAY_BLOCK_REDACTED:
        put_reasoning(writer, out, done);
        break;
    case RELAY_BLOCK_TOOL_CALL:
        put_call(writer, out, status, done);
        break;
    case RELAY_BLOCK_IMAGE:
        put_image(writer, out, done);
        break;
    default:
        put_message(writer, out, status, done);
        break;
    }
}

/* ---- an item is done ------------------------------------------------------ */

/* The item as it went out takes the place of its parts. */
void relay_responses_keep_item(relay_writer_t *writer, relay_span_t status)
{
    relay_responses_writer_t *state = relay_responses_state(writer);
    relay_kept_t *kept = &writer->kept;
    relay_buf_t out = relay_buf(NULL, 0);
    uint8_t *at;

    relay_responses_put_item(writer, &out, status, true);
    if (!relay_kept_room(kept, out.len + 1)) {
        writer->failed = true;
        return;
    }
    at = kept->base + kept->len;
    out = relay_buf(at, out.len + 1);
    relay_buf_put(&out, state->items_len != 0 ? RELAY_SPAN(",") : RELAY_SPAN(""));
    relay_responses_put_item(writer, &out, status, true);
    memmove(kept->base + state->items_len, at, out.len);
    state->items_len += out.len;
    state->head_len = 0;
    kept->len = state->items_len;
    writer->aside.len = 0;
}
