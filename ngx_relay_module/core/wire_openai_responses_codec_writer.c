/*
 * Canonical events into streams of Responses. Called through the codec, behind
 * relay_order_t: one block, which is one item here, is open at a time.
 *
 *   NONE ─ BLOCK ─► OPEN ─ first text, or a call ─► SHOWN ─ STOP ─► COMPLETE
 *     ▲               │ STOP                                          │
 *     └───────────────┴──────────── next BLOCK, FINISH, ERROR ────────┘
 *
 * An item is announced when it has something to say. That it is done goes out with
 * the event behind its end, which tells whether it was cut off.
 */

#include "wire_openai.h"
#include "wire_openai_chat_codec.h"
#include "wire_openai_responses_codec_item.h"
#include "wire_support.h"

const size_t relay_responses_writer_size = sizeof(relay_responses_writer_t);

/* ---- responses ----------------------------------------------------------- */

#define PUT_HEAD(writer, out, type)                                                                \
    do {                                                                                           \
        RELAY_PUT(out, "event: " type "\ndata: {\"type\":\"" type "\",\"sequence_number\":");      \
        relay_buf_put_u64(out, relay_responses_state(writer)->sequence++);                         \
    } while (0)

/* From the response's first brace to the value of its status. */
static void open_response(relay_writer_t *writer, relay_buf_t *out)
{
    const relay_responses_writer_t *state = relay_responses_state(writer);

    RELAY_PUT(out, ",\"response\":{\"id\":\"");
    relay_codec_put_answer_id(out, writer->translation, RELAY_RESPONSES_ID,
                              relay_span(state->id, state->id_len));
    RELAY_PUT(out, "\",\"object\":\"response\",\"created_at\":");
    relay_buf_put_u64(out, state->created_s);
    RELAY_PUT(out, ",\"background\":false,\"instructions\":null,\"max_output_tokens\":null,"
                   "\"model\":");
    relay_codec_put_string(out, relay_span(state->model, state->model_len));
    relay_responses_put_settings(out);
    RELAY_PUT(out, ",\"status\":");
}

#define IN_PROGRESS                                                                                \
    "\"in_progress\",\"error\":null,\"incomplete_details\":null,\"output\":[],\"usage\":null}}"    \
    "\n\n"

static uint16_t remember(uint8_t *to, size_t max, relay_span_t text, relay_span_t otherwise)
{
    text = text.len != 0 && text.len <= max ? text : otherwise;
    text.len = text.len <= max ? text.len : 0;
    if (text.len != 0) {
        memcpy(to, text.base, text.len);
    }
    return (uint16_t)text.len;
}

static void put_start(relay_writer_t *writer, relay_buf_t *out, const relay_stream_event_t *event)
{
    const relay_translation_t *translation = writer->translation;
    relay_responses_writer_t *state = relay_responses_state(writer);

    if (state->started) {
        return;
    }
    state->started = true;
    state->created_s = event->created_s != 0 ? event->created_s : translation->created_s;
    state->id_len = remember(state->id, RELAY_RESPONSES_ID_MAX, event->id, relay_span(NULL, 0));
    state->model_len =
        remember(state->model, RELAY_RESPONSES_MODEL_MAX, event->model, translation->model);
    PUT_HEAD(writer, out, "response.created");
    open_response(writer, out);
    RELAY_PUT(out, IN_PROGRESS);
    PUT_HEAD(writer, out, "response.in_progress");
    open_response(writer, out);
    RELAY_PUT(out, IN_PROGRESS);
}

/* ---- an item begins ------------------------------------------------------ */

static void put_part_added(relay_writer_t *writer, relay_buf_t *out)
{
    PUT_HEAD(writer, out, "response.content_part.added");
    relay_responses_put_place(writer, out);
    RELAY_PUT(out, ",\"content_index\":0,\"part\":");
    relay_responses_put_part(writer, out, false);
    RELAY_PUT(out, "}\n\n");
}

static void put_summary_added(relay_writer_t *writer, relay_buf_t *out)
{
    PUT_HEAD(writer, out, "response.reasoning_summary_part.added");
    relay_responses_put_place(writer, out);
    RELAY_PUT(out, ",\"summary_index\":0,\"part\":");
    relay_responses_put_summary(writer, out, false);
    RELAY_PUT(out, "}\n\n");
}

static void show(relay_writer_t *writer, relay_buf_t *out)
{
    relay_responses_writer_t *state = relay_responses_state(writer);

    if (state->phase != RELAY_ITEM_OPEN) {
        return;
    }
    state->phase = RELAY_ITEM_SHOWN;
    PUT_HEAD(writer, out, "response.output_item.added");
    RELAY_PUT(out, ",\"output_index\":");
    relay_buf_put_u64(out, state->index);
    RELAY_PUT(out, ",\"item\":");
    relay_responses_put_item(writer, out, RELAY_SPAN("in_progress"), false);
    RELAY_PUT(out, "}\n\n");
    if (state->kind == RELAY_BLOCK_TEXT || state->kind == RELAY_BLOCK_REFUSAL) {
        put_part_added(writer, out);
    }
}

/* A fragment; summary and part come from ensure. */
static void put_delta(relay_writer_t *writer, relay_buf_t *out, relay_span_t text,
                      relay_span_t logprobs)
{
    const relay_responses_writer_t *state = relay_responses_state(writer);

    switch (state->kind) {
    case RELAY_BLOCK_THINKING:
        PUT_HEAD(writer, out, "response.reasoning_summary_text.delta");
        break;
    case RELAY_BLOCK_REFUSAL:
        PUT_HEAD(writer, out, "response.refusal.delta");
        break;
    case RELAY_BLOCK_TOOL_CALL:
        if (state->call == RELAY_RESPONSES_CUSTOM) {
            PUT_HEAD(writer, out, "response.custom_tool_call_input.delta");
        } else {
            PUT_HEAD(writer, out, "response.function_call_arguments.delta");
        }
        break;
    default:
        PUT_HEAD(writer, out, "response.output_text.delta");
        break;
    }
    relay_responses_put_place(writer, out);
    relay_buf_put(out, state->kind == RELAY_BLOCK_THINKING    ? RELAY_SPAN(",\"summary_index\":0")
                       : state->kind == RELAY_BLOCK_TOOL_CALL ? RELAY_SPAN("")
                                                              : RELAY_SPAN(",\"content_index\":0"));
    RELAY_PUT(out, ",\"delta\":");
    relay_codec_put_string(out, text);
    if (state->kind == RELAY_BLOCK_TEXT) {
        RELAY_PUT(out, ",\"logprobs\":[");
        relay_buf_put(out, logprobs);
        RELAY_PUT(out, "]");
    }
    RELAY_PUT(out, "}\n\n");
}

static void keep_call(relay_writer_t *writer, const relay_stream_event_t *event,
                      const relay_responses_called_t *called)
{
    uint8_t number[32];
    relay_buf_t index = relay_buf(number, sizeof(number));

    if (called->kind != RELAY_RESPONSES_TOOL_SEARCH) {
        relay_responses_keep_head(writer, RELAY_SPAN(",\"name\":\""));
        relay_responses_keep_head(writer, called->name);
        relay_responses_keep_head(writer, RELAY_SPAN("\""));
        relay_responses_state(writer)->name_len = relay_responses_state(writer)->head_len;
    }
    relay_responses_keep_head(writer, RELAY_SPAN(",\"call_id\":\""));
    if (event->id.len != 0) {
        relay_responses_keep_head(writer, event->id);
    } else {
        RELAY_PUT(&index, "_");
        relay_buf_put_u64(&index, relay_responses_state(writer)->index);
        relay_responses_keep_head(writer, RELAY_SPAN("call_"));
        relay_responses_keep_head(writer, writer->translation->request_id);
        relay_responses_keep_head(writer, relay_buf_span(&index));
    }
    if (called->kind != RELAY_RESPONSES_TOOL_SEARCH && called->scope.len != 0) {
        relay_responses_keep_head(writer, RELAY_SPAN("\",\"namespace\":\""));
        relay_responses_keep_head(writer, called->scope);
    }
    relay_responses_keep_head(writer, RELAY_SPAN("\""));
}

static void begin_call(relay_writer_t *writer, relay_buf_t *out, const relay_stream_event_t *event)
{
    relay_responses_called_t called =
        relay_responses_called(writer->translation, event->name, event->scope, event->free_text);
    relay_responses_writer_t *state = relay_responses_state(writer);

    state->call = called.kind;
    state->wrapped = called.wrapped;
    keep_call(writer, event, &called);
    if (!writer->failed) {
        show(writer, out);
    }
}

static void begin_image(relay_writer_t *writer, relay_buf_t *out, const relay_stream_event_t *event)
{
    const relay_media_t media = relay_codec_event_media(event);
    uint8_t bytes[64];
    relay_buf_t format = relay_buf(bytes, sizeof(bytes));

    if (!relay_responses_shows(writer->translation, &media)) {
        return;
    }
    relay_responses_put_image_format(&format, media.media_type);
    relay_responses_keep_head(writer, relay_buf_span(&format));
    relay_responses_keep_text(writer, media.data);
    show(writer, out);
    PUT_HEAD(writer, out, "response.image_generation_call.in_progress");
    relay_responses_put_place(writer, out);
    RELAY_PUT(out, "}\n\n");
}

/* On one line, whatever lines its event had. */
static void keep_raw(relay_writer_t *writer, relay_span_t raw)
{
    size_t from = 0;

    for (size_t i = 0; i <= raw.len; i++) {
        if (i == raw.len || raw.base[i] == '\n' || raw.base[i] == '\r') {
            relay_responses_keep_text(writer, relay_span(raw.base + from, i - from));
            from = i + 1;
        }
    }
}

static void begin_item(relay_writer_t *writer, relay_buf_t *out, const relay_stream_event_t *event)
{
    relay_responses_writer_t *state = relay_responses_state(writer);
    bool own = writer->translation->upstream == &relay_codec_openai_responses;

    state->kind = event->block_kind;
    state->phase = RELAY_ITEM_OPEN;
    state->notes = 0;
    state->signer_len =
        remember(state->signer, RELAY_RESPONSES_SIGNER_MAX, event->signer, relay_span(NULL, 0));
    switch (event->block_kind) {
    case RELAY_BLOCK_TOOL_CALL:
        begin_call(writer, out, event);
        break;
    case RELAY_BLOCK_REDACTED:
        relay_responses_keep_text(writer, event->text);
        show(writer, out);
        break;
    case RELAY_BLOCK_IMAGE:
        begin_image(writer, out, event);
        break;
    case RELAY_BLOCK_OPAQUE: /* no client of this format knows another one's */
        if (own && event->raw.len != 0) {
            keep_raw(writer, event->raw);
            show(writer, out);
        }
        break;
    default:
        break;
    }
}

/* ---- an item goes on ----------------------------------------------------- */

static void put_citation(relay_writer_t *writer, relay_buf_t *out, const relay_citation_t *citation)
{
    if (citation->url.len == 0) {
        return;
    }
    show(writer, out);
    PUT_HEAD(writer, out, "response.output_text.annotation.added");
    relay_responses_put_place(writer, out);
    RELAY_PUT(out, ",\"content_index\":0,\"annotation_index\":");
    relay_buf_put_u64(out, relay_responses_state(writer)->notes++);
    RELAY_PUT(out, ",\"annotation\":");
    relay_responses_put_annotation(out, citation);
    RELAY_PUT(out, "}\n\n");
    relay_responses_keep_annotation(writer, citation);
}

static void take_signature(relay_writer_t *writer, relay_buf_t *out,
                           const relay_stream_event_t *event)
{
    relay_responses_writer_t *state = relay_responses_state(writer);

    show(writer, out);
    if (event->signer.len != 0) {
        state->signer_len =
            remember(state->signer, RELAY_RESPONSES_SIGNER_MAX, event->signer, relay_span(NULL, 0));
    }
    relay_responses_keep_head(writer, event->signature);
}

static void take_part(relay_writer_t *writer, relay_buf_t *out, relay_span_t text,
                      relay_json_value_t logprobs)
{
    relay_responses_writer_t *state = relay_responses_state(writer);
    bool first = relay_responses_kept_text(writer).len == 0;
    relay_span_t entries = {NULL, 0};
    bool likely = logprobs.type == RELAY_JSON_ARRAY && state->kind == RELAY_BLOCK_TEXT;
    bool whole = state->kind == RELAY_BLOCK_TOOL_CALL &&
                 (state->wrapped || state->call == RELAY_RESPONSES_TOOL_SEARCH);

    if (text.len == 0 && !likely) {
        return;
    }
    show(writer, out);
    if (state->kind == RELAY_BLOCK_THINKING && first) {
        put_summary_added(writer, out);
    }
    relay_responses_keep_text(writer, text);
    if (likely) {
        entries = relay_responses_keep_logprobs(writer, logprobs);
    }
    if (!whole) {
        put_delta(writer, out, text, entries);
    }
}

static void take_text(relay_writer_t *writer, relay_buf_t *out, relay_span_t text)
{
    take_part(writer, out, text, (relay_json_value_t){RELAY_JSON_ABSENT, {NULL, 0}});
}

static void go_on(relay_writer_t *writer, relay_buf_t *out, const relay_stream_event_t *event)
{
    relay_responses_writer_t *state = relay_responses_state(writer);

    if ((state->phase != RELAY_ITEM_OPEN && state->phase != RELAY_ITEM_SHOWN) ||
        state->kind == RELAY_BLOCK_OPAQUE || state->kind == RELAY_BLOCK_REDACTED ||
        state->kind == RELAY_BLOCK_IMAGE) {
        return;
    }
    if (event->citation != NULL) {
        if (state->kind == RELAY_BLOCK_TEXT) {
            put_citation(writer, out, event->citation);
        }
        return;
    }
    take_part(writer, out, event->text, event->logprobs);
    if (event->signature.len != 0 && state->kind == RELAY_BLOCK_THINKING) {
        take_signature(writer, out, event);
    }
}

/* ---- an item ends -------------------------------------------------------- */

/* The text of a custom tool that came as {"input":…}; other JSON as it is. */
static void unwrap(relay_writer_t *writer)
{
    relay_arguments_t arguments = {.text = relay_responses_kept_text(writer), .quoted = true};
    relay_responses_writer_t *state = relay_responses_state(writer);
    size_t from = state->items_len + state->head_len;
    relay_span_t text;

    if (arguments.text.len != 0 && relay_codec_unwrap(writer->translation, &arguments, &text)) {
        memmove(writer->kept.base + from, text.base, text.len);
        writer->kept.len = from + text.len;
    }
}

/* A function without arguments has an empty object. */
static void complete_call(relay_writer_t *writer, relay_buf_t *out)
{
    relay_responses_writer_t *state = relay_responses_state(writer);

    if (state->wrapped) {
        unwrap(writer);
        if (relay_responses_kept_text(writer).len != 0) {
            put_delta(writer, out, relay_responses_kept_text(writer), relay_span(NULL, 0));
        }
    } else if (state->call == RELAY_RESPONSES_FUNCTION &&
               relay_responses_kept_text(writer).len == 0) {
        take_text(writer, out, RELAY_SPAN("{}"));
    }
}

static void put_call_done(relay_writer_t *writer, relay_buf_t *out)
{
    switch (relay_responses_state(writer)->call) {
    case RELAY_RESPONSES_CUSTOM:
        PUT_HEAD(writer, out, "response.custom_tool_call_input.done");
        relay_responses_put_place(writer, out);
        RELAY_PUT(out, ",\"input\":");
        break;
    case RELAY_RESPONSES_FUNCTION:
        PUT_HEAD(writer, out, "response.function_call_arguments.done");
        relay_responses_put_place(writer, out);
        relay_buf_put(out, relay_span(relay_responses_kept_head(writer).base,
                                      relay_responses_state(writer)->name_len));
        RELAY_PUT(out, ",\"arguments\":");
        break;
    default:
        return;
    }
    relay_codec_put_string(out, relay_responses_kept_text(writer));
    RELAY_PUT(out, "}\n\n");
}

static void put_summary_done(relay_writer_t *writer, relay_buf_t *out)
{
    if (relay_responses_kept_text(writer).len == 0) {
        return;
    }
    PUT_HEAD(writer, out, "response.reasoning_summary_text.done");
    relay_responses_put_place(writer, out);
    RELAY_PUT(out, ",\"summary_index\":0,\"text\":");
    relay_codec_put_string(out, relay_responses_kept_text(writer));
    RELAY_PUT(out, "}\n\n");
    PUT_HEAD(writer, out, "response.reasoning_summary_part.done");
    relay_responses_put_place(writer, out);
    RELAY_PUT(out, ",\"summary_index\":0,\"part\":");
    relay_responses_put_summary(writer, out, true);
    RELAY_PUT(out, "}\n\n");
}

static void put_text_done(relay_writer_t *writer, relay_buf_t *out)
{
    bool refusal = relay_responses_state(writer)->kind == RELAY_BLOCK_REFUSAL;

    if (refusal) {
        PUT_HEAD(writer, out, "response.refusal.done");
    } else {
        PUT_HEAD(writer, out, "response.output_text.done");
    }
    relay_responses_put_place(writer, out);
    relay_buf_put(out, refusal ? RELAY_SPAN(",\"content_index\":0,\"refusal\":")
                               : RELAY_SPAN(",\"content_index\":0,\"text\":"));
    relay_codec_put_string(out, relay_responses_kept_text(writer));
    if (!refusal) {
        RELAY_PUT(out, ",\"logprobs\":[");
        relay_buf_put(out, relay_responses_kept_logprobs(writer));
        RELAY_PUT(out, "]");
    }
    RELAY_PUT(out, "}\n\n");
    PUT_HEAD(writer, out, "response.content_part.done");
    relay_responses_put_place(writer, out);
    RELAY_PUT(out, ",\"content_index\":0,\"part\":");
    relay_responses_put_part(writer, out, true);
    RELAY_PUT(out, "}\n\n");
}

static void put_parts_done(relay_writer_t *writer, relay_buf_t *out)
{
    switch (relay_responses_state(writer)->kind) {
    case RELAY_BLOCK_TOOL_CALL:
        put_call_done(writer, out);
        break;
    case RELAY_BLOCK_THINKING:
        put_summary_done(writer, out);
        break;
    case RELAY_BLOCK_TEXT:
    case RELAY_BLOCK_REFUSAL:
        put_text_done(writer, out);
        break;
    case RELAY_BLOCK_IMAGE:
        PUT_HEAD(writer, out, "response.image_generation_call.completed");
        relay_responses_put_place(writer, out);
        RELAY_PUT(out, "}\n\n");
        break;
    default:
        break;
    }
}

static void finish_item(relay_writer_t *writer, relay_buf_t *out, relay_span_t status)
{
    relay_responses_writer_t *state = relay_responses_state(writer);

    if (state->phase == RELAY_ITEM_COMPLETE) {
        if (state->kind == RELAY_BLOCK_TOOL_CALL) {
            complete_call(writer, out);
        }
        put_parts_done(writer, out);
        PUT_HEAD(writer, out, "response.output_item.done");
        RELAY_PUT(out, ",\"output_index\":");
        relay_buf_put_u64(out, state->index);
        RELAY_PUT(out, ",\"item\":");
        relay_responses_put_item(writer, out, status, true);
        RELAY_PUT(out, "}\n\n");
        relay_responses_keep_item(writer, status);
        state->refused = state->refused || state->kind == RELAY_BLOCK_REFUSAL;
        state->index++;
    }
    state->phase = RELAY_ITEM_NONE;
}

/* ---- the end ------------------------------------------------------------- */

static void put_finish(relay_writer_t *writer, relay_buf_t *out, const relay_ending_t *ending)
{
    static const relay_stream_event_t refusal = {.kind = RELAY_STREAM_BLOCK,
                                                 .block_kind = RELAY_BLOCK_REFUSAL};
    relay_responses_writer_t *state = relay_responses_state(writer);

    finish_item(writer, out, relay_responses_status(ending->reason, true));
    state->reason = ending->reason;
    if (ending->reason == RELAY_STOP_REFUSAL && ending->explanation.len != 0 && !state->refused) {
        begin_item(writer, out, &refusal);
        take_text(writer, out, ending->explanation);
        state->phase = RELAY_ITEM_COMPLETE;
        finish_item(writer, out, RELAY_SPAN("completed"));
    }
}

static void put_end(relay_writer_t *writer, relay_buf_t *out, const relay_usage_t *usage)
{
    const relay_responses_writer_t *state = relay_responses_state(writer);
    relay_span_t status = relay_responses_status(state->reason, state->refused);
    bool incomplete = relay_span_eq(status, RELAY_SPAN("incomplete"));

    if (incomplete) {
        PUT_HEAD(writer, out, "response.incomplete");
    } else {
        PUT_HEAD(writer, out, "response.completed");
    }
    open_response(writer, out);
    relay_codec_put_string(out, status);
    RELAY_PUT(out, ",\"error\":null,\"incomplete_details\":");
    if (incomplete) {
        RELAY_PUT(out, "{\"reason\":");
        relay_codec_put_string(out, relay_responses_incomplete(state->reason));
        RELAY_PUT(out, "}");
    } else {
        RELAY_PUT(out, "null");
    }
    RELAY_PUT(out, ",\"output\":[");
    relay_buf_put(out, relay_responses_kept_items(writer));
    RELAY_PUT(out, "],\"usage\":");
    relay_responses_put_usage(out, usage);
    relay_openai_put_tier(writer->translation, out, usage->tier);
    RELAY_PUT(out, "}}\n\n");
}

/* The codes that clients of this format act upon; the provider's own if it is one. One of
 * the server is worth another try to them, which an error of the request is not. */
static relay_span_t error_code(const relay_failure_t *failure)
{
    unsigned status = relay_dialect_openai.status(&failure->error);

    static const relay_span_t known[] = {
        RELAY_SPAN_INIT("context_length_exceeded"), RELAY_SPAN_INIT("insufficient_quota"),
        RELAY_SPAN_INIT("invalid_prompt"),          RELAY_SPAN_INIT("rate_limit_exceeded"),
        RELAY_SPAN_INIT("server_is_overloaded"),    RELAY_SPAN_INIT("slow_down"),
    };

    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if (relay_span_eq(failure->code, known[i])) {
            return known[i];
        }
    }
    switch (status) {
    case 429:
        return RELAY_SPAN("rate_limit_exceeded");
    case 503:
    case 529:
        return RELAY_SPAN("server_is_overloaded");
    default:
        return status < 500 ? RELAY_SPAN("invalid_prompt") : RELAY_SPAN("server_error");
    }
}

static void put_error(relay_writer_t *writer, relay_buf_t *out, const relay_failure_t *failure)
{
    static const relay_stream_event_t start = {.kind = RELAY_STREAM_START};

    put_start(writer, out, &start);
    if (!writer->failed) {
        finish_item(writer, out, RELAY_SPAN("completed"));
    }
    PUT_HEAD(writer, out, "response.failed");
    open_response(writer, out);
    RELAY_PUT(out, "\"failed\",\"error\":{\"code\":");
    relay_buf_put_json(out, error_code(failure));
    RELAY_PUT(out, ",\"message\":");
    relay_buf_put_json(out, relay_wire_message(&failure->error));
    RELAY_PUT(out, "},\"incomplete_details\":null,\"output\":[],\"usage\":null}}\n\n");
}

static void end_block(relay_writer_t *writer)
{
    relay_responses_writer_t *state = relay_responses_state(writer);

    state->phase = state->phase == RELAY_ITEM_SHOWN ? RELAY_ITEM_COMPLETE : RELAY_ITEM_NONE;
}

void relay_responses_write_event(relay_writer_t *writer, const relay_stream_event_t *event,
                                 relay_buf_t *out)
{
    switch (event->kind) {
    case RELAY_STREAM_START:
        put_start(writer, out, event);
        break;
    case RELAY_STREAM_BLOCK:
        finish_item(writer, out, RELAY_SPAN("completed"));
        begin_item(writer, out, event);
        break;
    case RELAY_STREAM_DELTA:
        go_on(writer, out, event);
        break;
    case RELAY_STREAM_STOP:
        end_block(writer);
        break;
    case RELAY_STREAM_FINISH:
        put_finish(writer, out, &event->ending);
        break;
    case RELAY_STREAM_USAGE:
        break; /* in the last event */
    case RELAY_STREAM_END:
        put_end(writer, out, event->usage);
        break;
    case RELAY_STREAM_PING: /* one line end: an empty line would be an empty event */
        RELAY_PUT(out, ": ping\n");
        break;
    case RELAY_STREAM_ERROR:
        put_error(writer, out, event->failure);
        break;
    }
    relay_responses_settle(writer);
}
