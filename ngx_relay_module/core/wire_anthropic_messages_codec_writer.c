/*
 * Canonical events into streams of Anthropic Messages. Called through the codec,
 * behind relay_order_t: one block is open at a time.
 *
 * A block is announced when it has something to say, so that none is empty; calls
 * are at once. How the answer ended goes out with its usage, at the end.
 */

#include "wire_anthropic.h"
#include "wire_anthropic_messages_codec.h"

enum { SEQUENCE_MAX = 256, EXPLANATION_MAX = 1024 };

typedef struct {
    bool open;      /* content_block_start is out */
    bool arguments; /* of the open call some are out */
    bool free_text; /* the open call is of a custom tool: its text goes into an object */
    bool shown;     /* the thinking under way is */
    bool sealed;    /* it has its signature: nothing follows */
    bool refused;   /* a refusal has been written */
    bool noted;     /* that thinking was left out */
    uint32_t index; /* of the open block, or the next one */
    uint16_t sequence_len;
    uint16_t explanation_len;
    relay_stop_t reason;
    uint8_t sequence[SEQUENCE_MAX];
    uint8_t explanation[EXPLANATION_MAX];
} state_t;

const size_t relay_messages_writer_size = sizeof(state_t);

static state_t *state_of(relay_writer_t *writer)
{
    return (state_t *)(void *)writer->state;
}

/* ---- events -------------------------------------------------------------- */

#define PUT_HEAD(out, type) RELAY_PUT(out, "event: " type "\ndata: {\"type\":\"" type "\"")

static void put_start(relay_writer_t *writer, relay_buf_t *out, const relay_stream_event_t *event)
{
    const relay_translation_t *translation = writer->translation;

    PUT_HEAD(out, "message_start");
    RELAY_PUT(out, ",\"message\":{\"id\":\"");
    relay_codec_put_answer_id(out, translation, RELAY_MESSAGES_ID, event->id);
    RELAY_PUT(out, "\",\"type\":\"message\",\"role\":\"assistant\",\"model\":");
    relay_codec_put_string(out, event->model.len != 0 ? event->model : translation->model);
    RELAY_PUT(out, ",\"content\":[],\"stop_reason\":null,\"stop_sequence\":null,\"usage\":");
    relay_messages_put_usage(writer->translation, out, event->usage);
    RELAY_PUT(out, "}}\n\n");
}

static void open_block(relay_writer_t *writer, relay_buf_t *out)
{
    PUT_HEAD(out, "content_block_start");
    RELAY_PUT(out, ",\"index\":");
    relay_buf_put_u64(out, state_of(writer)->index);
    RELAY_PUT(out, ",\"content_block\":");
    state_of(writer)->open = true;
}

static void open_delta(relay_writer_t *writer, relay_buf_t *out)
{
    PUT_HEAD(out, "content_block_delta");
    RELAY_PUT(out, ",\"index\":");
    relay_buf_put_u64(out, state_of(writer)->index);
    RELAY_PUT(out, ",\"delta\":");
}

static void close_block(relay_writer_t *writer, relay_buf_t *out)
{
    state_t *state = state_of(writer);

    if (!state->open) {
        return;
    }
    PUT_HEAD(out, "content_block_stop");
    RELAY_PUT(out, ",\"index\":");
    relay_buf_put_u64(out, state->index++);
    RELAY_PUT(out, "}\n\n");
    state->open = false;
}

/* ---- text and thinking --------------------------------------------------- */

static void ensure_text(relay_writer_t *writer, relay_buf_t *out)
{
    if (!state_of(writer)->open) {
        open_block(writer, out);
        RELAY_PUT(out, "{\"type\":\"text\",\"text\":\"\"}}\n\n");
    }
}

static void put_text(relay_writer_t *writer, relay_buf_t *out, const relay_stream_event_t *event)
{
    state_t *state = state_of(writer);

    state->refused = state->refused || event->block_kind == RELAY_BLOCK_REFUSAL;
    if (event->citation != NULL ? event->citation->url.len == 0 : event->text.len == 0) {
        return;
    }
    ensure_text(writer, out);
    open_delta(writer, out);
    if (event->citation != NULL) {
        RELAY_PUT(out, "{\"type\":\"citations_delta\",\"citation\":");
        relay_messages_put_citation(out, event->citation);
    } else {
        RELAY_PUT(out, "{\"type\":\"text_delta\",\"text\":");
        relay_codec_put_string(out, event->text);
    }
    RELAY_PUT(out, "}}\n\n");
}

/* Once: a note is looked for among the others. */
static void note_unsigned(relay_writer_t *writer)
{
    if (!state_of(writer)->noted) {
        state_of(writer)->noted = true;
        relay_codec_drop_name(writer->translation, RELAY_MESSAGES_UNSIGNED);
    }
}

static void put_thinking(relay_writer_t *writer, relay_buf_t *out,
                         const relay_stream_event_t *event)
{
    bool late = event->signature.len != 0 &&
                relay_messages_shows(writer->translation, event->signer); /* it was kept back */

    if (!state_of(writer)->shown && (event->text.len != 0 || !late)) {
        note_unsigned(writer);
    }
    if ((!state_of(writer)->shown && !late) || state_of(writer)->sealed) {
        return;
    }
    if (!state_of(writer)->open) {
        open_block(writer, out);
        RELAY_PUT(out, "{\"type\":\"thinking\",\"thinking\":\"\",\"signature\":\"\"}}\n\n");
    }
    if (event->text.len != 0 && state_of(writer)->shown) {
        open_delta(writer, out);
        RELAY_PUT(out, "{\"type\":\"thinking_delta\",\"thinking\":");
        relay_codec_put_string(out, event->text);
        RELAY_PUT(out, "}}\n\n");
    }
    if (event->signature.len != 0) {
        state_of(writer)->sealed = true;
        open_delta(writer, out);
        RELAY_PUT(out, "{\"type\":\"signature_delta\",\"signature\":");
        relay_codec_put_string(out, event->signature);
        RELAY_PUT(out, "}}\n\n");
    }
}

static void put_redacted(relay_writer_t *writer, relay_buf_t *out,
                         const relay_stream_event_t *event)
{
    open_block(writer, out);
    RELAY_PUT(out, "{\"type\":\"redacted_thinking\",\"data\":");
    relay_codec_put_string(out, event->text);
    RELAY_PUT(out, "}}\n\n");
}

/* ---- calls --------------------------------------------------------------- */

static void put_call(relay_writer_t *writer, relay_buf_t *out, const relay_stream_event_t *event)
{
    const relay_rename_t *renamed = relay_codec_renamed(writer->translation, event->name);
    state_t *state = state_of(writer);

    state->arguments = false;
    state->free_text = event->free_text;
    open_block(writer, out);
    RELAY_PUT(out, "{\"type\":\"tool_use\",\"id\":\"");
    if (event->id.len != 0) {
        relay_buf_put(out, event->id);
    } else {
        RELAY_PUT(out, "toolu_");
        relay_buf_put(out, writer->translation->request_id);
        RELAY_PUT(out, "_");
        relay_buf_put_u64(out, state->index);
    }
    RELAY_PUT(out, "\",\"name\":");
    relay_codec_put_string(out, renamed != NULL ? renamed->original : event->name);
    RELAY_PUT(out, ",\"input\":{}}}\n\n");
}

static void put_json(relay_writer_t *writer, relay_buf_t *out, relay_span_t text)
{
    open_delta(writer, out);
    RELAY_PUT(out, "{\"type\":\"input_json_delta\",\"partial_json\":");
    relay_codec_put_string(out, text);
    RELAY_PUT(out, "}}\n\n");
    state_of(writer)->arguments = true;
}

/* Text that is escaped already, escaped again: as a string inside the JSON of the
 * fragment. */
static void put_text_fragment(relay_writer_t *writer, relay_buf_t *out, relay_span_t text)
{
    if (!state_of(writer)->arguments) {
        put_json(writer, out, RELAY_SPAN("{\\\"input\\\":\\\""));
    }
    open_delta(writer, out);
    RELAY_PUT(out, "{\"type\":\"input_json_delta\",\"partial_json\":");
    relay_buf_put_json(out, text);
    RELAY_PUT(out, "}}\n\n");
}

static void end_call(relay_writer_t *writer, relay_buf_t *out)
{
    state_t *state = state_of(writer);

    if (state->free_text) {
        if (!state->arguments) {
            put_json(writer, out, RELAY_SPAN("{\\\"input\\\":\\\""));
        }
        put_json(writer, out, RELAY_SPAN("\\\"}"));
    } else if (!state->arguments) {
        put_json(writer, out, relay_span(NULL, 0));
    }
}

/* ---- blocks -------------------------------------------------------------- */

static void begin_block(relay_writer_t *writer, relay_buf_t *out, const relay_stream_event_t *event)
{
    close_block(writer, out);
    state_of(writer)->sealed = false;
    state_of(writer)->shown = relay_messages_shows(writer->translation, event->signer);
    if (event->block_kind == RELAY_BLOCK_TOOL_CALL) {
        put_call(writer, out, event);
    } else if (event->block_kind == RELAY_BLOCK_REDACTED && state_of(writer)->shown) {
        put_redacted(writer, out, event);
    } else if (event->block_kind == RELAY_BLOCK_REDACTED) {
        note_unsigned(writer);
    } else if (event->block_kind == RELAY_BLOCK_IMAGE) {
        relay_codec_drop_name(writer->translation, RELAY_MESSAGES_NO_IMAGE);
    }
}

static void put_delta(relay_writer_t *writer, relay_buf_t *out, const relay_stream_event_t *event)
{
    switch (event->block_kind) {
    case RELAY_BLOCK_TEXT:
    case RELAY_BLOCK_REFUSAL:
        put_text(writer, out, event);
        break;
    case RELAY_BLOCK_THINKING:
        put_thinking(writer, out, event);
        break;
    case RELAY_BLOCK_TOOL_CALL:
        if (state_of(writer)->free_text) {
            put_text_fragment(writer, out, event->text);
        } else {
            put_json(writer, out, event->text);
        }
        break;
    default:
        break; /* no client of this format would know what to do with it */
    }
}

static void end_block(relay_writer_t *writer, relay_buf_t *out, const relay_stream_event_t *event)
{
    if (event->block_kind == RELAY_BLOCK_TOOL_CALL && state_of(writer)->open) {
        end_call(writer, out);
    }
    close_block(writer, out);
}

/* ---- the end ------------------------------------------------------------- */

/* A text that does not fit is left out whole: half an escape would be worse. */
static uint16_t keep(uint8_t *to, size_t size, relay_span_t text)
{
    if (text.len == 0 || text.len > size) {
        return 0;
    }
    memcpy(to, text.base, text.len);
    return (uint16_t)text.len;
}

static void note_ending(relay_writer_t *writer, relay_buf_t *out, const relay_ending_t *ending)
{
    state_t *state = state_of(writer);

    close_block(writer, out);
    state->reason = state->refused ? RELAY_STOP_REFUSAL : ending->reason;
    state->sequence_len = keep(state->sequence, SEQUENCE_MAX, ending->sequence);
    state->explanation_len = keep(state->explanation, EXPLANATION_MAX, ending->explanation);
}

static void put_end(relay_writer_t *writer, relay_buf_t *out, const relay_usage_t *usage)
{
    state_t *state = state_of(writer);

    PUT_HEAD(out, "message_delta");
    RELAY_PUT(out, ",\"delta\":{\"stop_reason\":\"");
    relay_buf_put(out, relay_messages_stop_word(state->reason));
    RELAY_PUT(out, "\",\"stop_sequence\":");
    relay_codec_put_string_or_null(out, relay_span(state->sequence, state->sequence_len));
    if (state->explanation_len != 0) {
        RELAY_PUT(out, ",\"stop_details\":{\"type\":\"refusal\",\"category\":null,"
                       "\"explanation\":");
        relay_codec_put_string(out, relay_span(state->explanation, state->explanation_len));
        RELAY_PUT(out, "}");
    }
    RELAY_PUT(out, "},\"usage\":");
    relay_messages_put_usage(writer->translation, out, usage);
    RELAY_PUT(out, "}\n\n");
    PUT_HEAD(out, "message_stop");
    RELAY_PUT(out, "}\n\n");
}

static void put_error(relay_writer_t *writer, relay_buf_t *out, const relay_failure_t *failure)
{
    RELAY_PUT(out, "event: error\ndata: ");
    relay_anthropic_put_error(out, &failure->error, writer->translation->request_id);
    RELAY_PUT(out, "\n\n");
}

void relay_messages_write_event(relay_writer_t *writer, const relay_stream_event_t *event,
                                relay_buf_t *out)
{
    switch (event->kind) {
    case RELAY_STREAM_START:
        put_start(writer, out, event);
        break;
    case RELAY_STREAM_BLOCK:
        begin_block(writer, out, event);
        break;
    case RELAY_STREAM_DELTA:
        put_delta(writer, out, event);
        break;
    case RELAY_STREAM_STOP:
        end_block(writer, out, event);
        break;
    case RELAY_STREAM_FINISH:
        note_ending(writer, out, &event->ending);
        break;
    case RELAY_STREAM_USAGE:
        break; /* goes out at the end */
    case RELAY_STREAM_END:
        put_end(writer, out, event->usage);
        break;
    case RELAY_STREAM_PING:
        PUT_HEAD(out, "ping");
        RELAY_PUT(out, "}\n\n");
        break;
    case RELAY_STREAM_ERROR:
        put_error(writer, out, event->failure);
        break;
    }
}
