/*
 * Anthropic Messages. Reached through the registry only.
 */

#include "wire_anthropic.h"
#include "wire_echo.h"
#include "wire_gemini.h"
#include "wire_support.h"

/* ---- events -------------------------------------------------------------- */

enum { TYPE, MESSAGE, BLOCK, DELTA, USAGE, ERROR, CODE, DETAIL, DATA_KEYS };

static const relay_span_t data_keys[DATA_KEYS] = {
    RELAY_SPAN_INIT("type"),  RELAY_SPAN_INIT("message"), RELAY_SPAN_INIT("content_block"),
    RELAY_SPAN_INIT("delta"), RELAY_SPAN_INIT("usage"),   RELAY_SPAN_INIT("error"),
    RELAY_SPAN_INIT("code"),  RELAY_SPAN_INIT("detail"),
};

static relay_verdict_t verdict(relay_event_class_t class)
{
    return (relay_verdict_t){.class = class};
}

static relay_verdict_t message_start(relay_stream_t *stream, relay_json_value_t message)
{
    enum { ID, MODEL, USAGE, KEYS };
    static const relay_span_t keys[KEYS] = {RELAY_SPAN_INIT("id"), RELAY_SPAN_INIT("model"),
                                            RELAY_SPAN_INIT("usage")};
    relay_json_value_t values[KEYS];

    stream->begun = true;
    if (message.type == RELAY_JSON_OBJECT) {
        relay_json_members(message.text, keys, KEYS, values);
        relay_wire_copy_once(values[ID], stream->id, sizeof(stream->id));
        relay_wire_copy_once(values[MODEL], stream->model, sizeof(stream->model));
        relay_anthropic_usage(values[USAGE], &stream->usage);
    }
    return verdict(RELAY_EVENT_PRELUDE);
}

static relay_verdict_t content(relay_stream_t *stream)
{
    stream->content_seen = true;
    return verdict(RELAY_EVENT_CONTENT);
}

/* Text and thinking announce themselves empty; other blocks say something. */
static relay_verdict_t block_start(relay_stream_t *stream, relay_json_value_t block)
{
    enum { TYPE, TEXT, THINKING, KEYS };
    static const relay_span_t keys[KEYS] = {RELAY_SPAN_INIT("type"), RELAY_SPAN_INIT("text"),
                                            RELAY_SPAN_INIT("thinking")};
    relay_json_value_t values[KEYS] = {0};

    if (block.type == RELAY_JSON_OBJECT) {
        relay_json_members(block.text, keys, KEYS, values);
    }
    if ((relay_wire_is(values[TYPE], RELAY_SPAN("text")) && !relay_wire_says(values[TEXT])) ||
        (relay_wire_is(values[TYPE], RELAY_SPAN("thinking")) &&
         !relay_wire_says(values[THINKING]))) {
        return verdict(RELAY_EVENT_PRELUDE);
    }
    stream->tool_seen = stream->tool_seen || relay_wire_is(values[TYPE], RELAY_SPAN("tool_use"));
    return content(stream);
}

static relay_verdict_t message_delta(relay_stream_t *stream, relay_json_value_t delta,
                                     relay_json_value_t usage)
{
    static const relay_span_t key = RELAY_SPAN_INIT("stop_reason");
    relay_json_value_t reason = {RELAY_JSON_ABSENT, {NULL, 0}};

    relay_anthropic_usage(usage, &stream->usage);
    if (delta.type == RELAY_JSON_OBJECT) {
        relay_json_members(delta.text, &key, 1, &reason);
    }
    if (relay_wire_copy(reason, stream->finish, sizeof(stream->finish))) {
        stream->finish_seen = true;
    }
    return verdict(stream->content_seen || stream->finish_seen ? RELAY_EVENT_CONTENT
                                                               : RELAY_EVENT_PRELUDE);
}

static relay_verdict_t message_stop(relay_stream_t *stream)
{
    if (!stream->begun && !stream->content_seen) {
        return relay_wire_failed(stream, 502); /* the end of an answer that never began */
    }
    stream->end_seen = true;
    return verdict(RELAY_EVENT_END);
}

static relay_verdict_t failed(relay_stream_t *stream, const relay_json_value_t *data)
{
    relay_wire_error_members_t members = {
        .error = data[ERROR], .message = data[MESSAGE], .code = data[CODE], .flat = true};
    relay_wire_error_t error;

    relay_wire_error_read(&members, &error);
    return relay_wire_failed(stream, error.status);
}

typedef enum {
    OTHER,
    START,
    BLOCK_START,
    BLOCK_DELTA,
    BLOCK_STOP,
    FINISH,
    STOP,
    PING,
    FAULT
} kind_t;

static kind_t kind_of(relay_span_t type)
{
    static const struct {
        relay_span_t type;
        kind_t kind;
    } kinds[] = {
        {RELAY_SPAN_INIT("content_block_delta"), BLOCK_DELTA},
        {RELAY_SPAN_INIT("message_start"), START},
        {RELAY_SPAN_INIT("content_block_start"), BLOCK_START},
        {RELAY_SPAN_INIT("content_block_stop"), BLOCK_STOP},
        {RELAY_SPAN_INIT("message_delta"), FINISH},
        {RELAY_SPAN_INIT("message_stop"), STOP},
        {RELAY_SPAN_INIT("ping"), PING},
        {RELAY_SPAN_INIT("error"), FAULT},
    };

    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        if (relay_span_eq(type, kinds[i].type)) {
            return kinds[i].kind;
        }
    }
    return OTHER;
}

static relay_verdict_t data_event(relay_stream_t *stream, const relay_json_value_t *data,
                                  relay_span_t name)
{
    relay_span_t type = relay_wire_inner(data[TYPE]).len != 0 ? relay_wire_inner(data[TYPE]) : name;

    switch (type.len == 0 && relay_wire_says(data[ERROR]) ? FAULT : kind_of(type)) {
    case START:
        return message_start(stream, data[MESSAGE]);
    case BLOCK_START:
        return block_start(stream, data[BLOCK]);
    case BLOCK_DELTA:
        return content(stream);
    case FINISH:
        return message_delta(stream, data[DELTA], data[USAGE]);
    case STOP:
        return message_stop(stream);
    case FAULT:
        return failed(stream, data);
    case PING:
        return verdict(RELAY_EVENT_IDLE);
    case BLOCK_STOP: /* of a block that held nothing, it holds nothing either */
        return verdict(stream->content_seen ? RELAY_EVENT_CONTENT : RELAY_EVENT_PRELUDE);
    case OTHER: /* a new type must neither commit an answer nor let a live one look idle */
        break;
    }
    return verdict(stream->content_seen ? RELAY_EVENT_CONTENT : RELAY_EVENT_IDLE);
}

static relay_verdict_t event(relay_stream_t *stream, const relay_sse_item_t *item,
                             relay_buf_t *before)
{
    relay_json_value_t data[DATA_KEYS];

    (void)before;
    if (stream->end_seen || stream->error_seen) {
        return (relay_verdict_t){.class = RELAY_EVENT_IDLE, .hide = true};
    }
    if (!item->has_data) {
        return verdict(RELAY_EVENT_IDLE);
    }
    if (relay_wire_done_marker(item->data)) {
        /* not of this format: its clients would take it for broken JSON */
        return (relay_verdict_t){.class = RELAY_EVENT_IDLE, .hide = true};
    }
    if (!relay_wire_read(item->data, data_keys, DATA_KEYS, data)) {
        return relay_wire_unreadable(stream, item);
    }
    return data_event(stream, data, item->name);
}

static bool close_stream(relay_stream_t *stream, relay_buf_t *out)
{
    if (stream->end_seen) {
        return true;
    }
    if (!stream->finish_seen || stream->error_seen) {
        return false;
    }
    RELAY_PUT(out, "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n");
    stream->end_seen = true;
    return true;
}

static void error_event(relay_stream_t *stream, relay_buf_t *out, const relay_error_t *error,
                        relay_span_t request_id)
{
    RELAY_PUT(out, "event: error\ndata: ");
    relay_anthropic_put_error(out, error, request_id);
    RELAY_PUT(out, "\n\n");
    stream->error_seen = true;
}

/* ---- whole answers ------------------------------------------------------- */

/* A platform that serves the format may answer with errors of its own. */
static unsigned delay_of_platform(relay_json_value_t error)
{
    static const relay_span_t key = RELAY_SPAN_INIT("details");
    relay_json_value_t details;

    if (error.type != RELAY_JSON_OBJECT) {
        return 0;
    }
    relay_json_members(error.text, &key, 1, &details);
    return relay_gemini_retry_after_s(details);
}

static void answer(relay_span_t body, relay_answer_t *answer)
{
    enum { TYPE, STOP_REASON, USAGE, ERROR, MESSAGE, CODE, DETAIL, CONTENT, TOKENS, KEYS };
    static const relay_span_t keys[KEYS] = {
        RELAY_SPAN_INIT("type"),   RELAY_SPAN_INIT("stop_reason"), RELAY_SPAN_INIT("usage"),
        RELAY_SPAN_INIT("error"),  RELAY_SPAN_INIT("message"),     RELAY_SPAN_INIT("code"),
        RELAY_SPAN_INIT("detail"), RELAY_SPAN_INIT("content"),     RELAY_SPAN_INIT("input_tokens"),
    };
    relay_json_value_t values[KEYS];
    relay_wire_error_members_t members = {0};
    relay_wire_error_t error;

    memset(answer, 0, sizeof(*answer));
    if (!relay_wire_glance(body, keys, KEYS, values)) {
        return;
    }
    relay_anthropic_usage(values[USAGE], &answer->usage);
    relay_wire_copy(values[STOP_REASON], answer->finish, sizeof(answer->finish));
    members.error = values[ERROR];
    members.message = values[MESSAGE];
    members.code = values[CODE];
    members.detail = values[DETAIL];
    members.flat =
        relay_wire_is(values[TYPE], RELAY_SPAN("error")) ||
        (values[CONTENT].type == RELAY_JSON_ABSENT && values[TOKENS].type == RELAY_JSON_ABSENT &&
         (relay_wire_says(values[MESSAGE]) || relay_wire_says(values[DETAIL])));
    if (relay_wire_error_read(&members, &error)) {
        relay_wire_answer_error(answer, &error);
        answer->retry_after_s = delay_of_platform(values[ERROR]);
    }
}

/* ---- echo ---------------------------------------------------------------- */

static void put_usage(relay_buf_t *out, uint64_t input, uint64_t output)
{
    RELAY_PUT(out, "{\"input_tokens\":");
    relay_buf_put_u64(out, input);
    RELAY_PUT(out, ",\"cache_creation_input_tokens\":0,\"cache_read_input_tokens\":0,"
                   "\"output_tokens\":");
    relay_buf_put_u64(out, output);
    RELAY_PUT(out, "}");
}

static relay_span_t stop_reason(const relay_echo_text_t *text)
{
    return text->cut ? RELAY_SPAN("max_tokens") : RELAY_SPAN("end_turn");
}

/* text NULL: the message as it starts, without content and reason. */
static void put_message(relay_buf_t *out, const relay_echo_t *echo, relay_echo_text_t *text,
                        const relay_usage_t *usage)
{
    uint8_t id[RELAY_ECHO_ID_MAX];

    RELAY_PUT(out, "{\"id\":");
    relay_buf_put_json(out, relay_echo_id(RELAY_SPAN("msg_"), echo, id));
    RELAY_PUT(out, ",\"type\":\"message\",\"role\":\"assistant\",\"model\":");
    relay_buf_put_json(out, echo->model);
    RELAY_PUT(out, ",\"content\":[");
    if (text != NULL) {
        RELAY_PUT(out, "{\"type\":\"text\",\"text\":");
        relay_echo_put(text, out);
        RELAY_PUT(out, "}");
    }
    RELAY_PUT(out, "],\"stop_reason\":");
    relay_wire_put_json_or_null(out, text != NULL ? stop_reason(text) : relay_span(NULL, 0));
    RELAY_PUT(out, ",\"stop_sequence\":null,\"usage\":");
    put_usage(out, usage->input_tokens, text != NULL ? usage->output_tokens : 1);
    RELAY_PUT(out, "}");
}

static void put_event_head(relay_buf_t *out, relay_span_t type)
{
    RELAY_PUT(out, "event: ");
    relay_buf_put(out, type);
    RELAY_PUT(out, "\ndata: {\"type\":");
    relay_buf_put_json(out, type);
}

static void echo_block(relay_buf_t *out, relay_echo_text_t *text)
{
    relay_span_t piece;

    put_event_head(out, RELAY_SPAN("content_block_start"));
    RELAY_PUT(out, ",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n");
    while (relay_echo_next(text, &piece)) {
        put_event_head(out, RELAY_SPAN("content_block_delta"));
        RELAY_PUT(out, ",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"");
        relay_buf_put(out, piece);
        RELAY_PUT(out, "\"}}\n\n");
    }
    put_event_head(out, RELAY_SPAN("content_block_stop"));
    RELAY_PUT(out, ",\"index\":0}\n\n");
}

static void echo_stream(relay_buf_t *out, const relay_echo_t *echo, relay_echo_text_t *text,
                        const relay_usage_t *usage)
{
    put_event_head(out, RELAY_SPAN("message_start"));
    RELAY_PUT(out, ",\"message\":");
    put_message(out, echo, NULL, usage);
    RELAY_PUT(out, "}\n\n");
    echo_block(out, text);
    put_event_head(out, RELAY_SPAN("message_delta"));
    RELAY_PUT(out, ",\"delta\":{\"stop_reason\":");
    relay_buf_put_json(out, stop_reason(text));
    RELAY_PUT(out, ",\"stop_sequence\":null},\"usage\":");
    put_usage(out, usage->input_tokens, usage->output_tokens);
    RELAY_PUT(out, "}\n\n");
    put_event_head(out, RELAY_SPAN("message_stop"));
    RELAY_PUT(out, "}\n\n");
}

static void echo(relay_buf_t *out, const relay_echo_t *echo, relay_usage_t *usage)
{
    relay_echo_text_t text;

    relay_echo_open(&text, echo->body, RELAY_SPAN("messages"), usage);
    if (echo->streaming) {
        echo_stream(out, echo, &text, usage);
    } else {
        put_message(out, echo, &text, usage);
    }
}

const relay_wire_t relay_wire_anthropic_messages = {
    .name = RELAY_SPAN_INIT("anthropic-messages"),
    .index = RELAY_WIRE_ANTHROPIC_MESSAGES,
    .dialect = &relay_dialect_anthropic,
    .path = RELAY_SPAN_INIT("/messages"),
    .streams = true,
    .keep_alive = RELAY_SPAN_INIT("event: ping\ndata: {\"type\":\"ping\"}\n\n"),
    .edits = relay_wire_edits_model_only,
    .wants_usage = relay_wire_wants_usage_always,
    .event = event,
    .close = close_stream,
    .error_event = error_event,
    .answer = answer,
    .echo = echo,
};
