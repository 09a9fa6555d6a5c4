/*
 * Bedrock Converse. Reached through the registry only.
 *
 *   messageStart (contentBlockStart? contentBlockDelta* contentBlockStop)*
 *   messageStop metadata            a good answer: usage comes last
 *   … <name>Exception               any other
 *
 * Text and reasoning have no contentBlockStart.
 */

#include "eventstream.h"
#include "wire_bedrock_converse.h"
#include "wire_echo.h"
#include "wire_support.h"

/* ---- usage --------------------------------------------------------------- */

/* What was written with the one-hour lifetime, of a list by lifetime. */
static void read_lifetimes(relay_json_value_t list, relay_usage_t *usage)
{
    enum { TTL, TOKENS, KEYS };
    static const relay_span_t keys[KEYS] = {RELAY_SPAN_INIT("ttl"), RELAY_SPAN_INIT("inputTokens")};
    relay_json_value_t values[KEYS];
    size_t cursor = 0;

    if (list.type != RELAY_JSON_ARRAY) {
        return;
    }
    usage->lifetimes_known = true;
    while (relay_json_element_members(list.text, &cursor, keys, KEYS, values) !=
           RELAY_JSON_ABSENT) {
        if (relay_wire_is(values[TTL], RELAY_SPAN("1h"))) {
            relay_wire_count(values[TOKENS], &usage->cache_write_1h_tokens);
        }
    }
}

void relay_bedrock_usage(relay_json_value_t object, relay_usage_t *usage)
{
    enum { INPUT, OUTPUT, READ, WRITE, LIFETIMES, KEYS };
    static const relay_span_t keys[KEYS] = {
        RELAY_SPAN_INIT("inputTokens"), RELAY_SPAN_INIT("outputTokens"),
        RELAY_SPAN_INIT("cacheReadInputTokens"), RELAY_SPAN_INIT("cacheWriteInputTokens"),
        RELAY_SPAN_INIT("cacheDetails")};
    relay_json_value_t values[KEYS];
    uint64_t fresh = usage->input_tokens - usage->cached_tokens - usage->cache_write_tokens;

    if (object.type != RELAY_JSON_OBJECT || !relay_json_members(object.text, keys, KEYS, values)) {
        return;
    }
    for (size_t i = INPUT; i <= WRITE; i++) {
        usage->known = usage->known || values[i].type == RELAY_JSON_NUMBER;
    }
    relay_wire_count(values[INPUT], &fresh);
    relay_wire_count(values[OUTPUT], &usage->output_tokens);
    relay_wire_count(values[READ], &usage->cached_tokens);
    relay_wire_count(values[WRITE], &usage->cache_write_tokens);
    read_lifetimes(values[LIFETIMES], usage);
    usage->input_tokens = fresh + usage->cached_tokens + usage->cache_write_tokens;
    if (usage->cache_write_1h_tokens > usage->cache_write_tokens) {
        usage->cache_write_1h_tokens = usage->cache_write_tokens;
    }
}

/* ---- events -------------------------------------------------------------- */

enum { START, REASON, USAGE, DATA_KEYS };

static const relay_span_t data_keys[DATA_KEYS] = {
    RELAY_SPAN_INIT("start"), RELAY_SPAN_INIT("stopReason"), RELAY_SPAN_INIT("usage")};

static relay_verdict_t verdict(relay_event_class_t class)
{
    return (relay_verdict_t){.class = class};
}

static relay_verdict_t message_start(relay_stream_t *stream)
{
    stream->begun = true;
    return verdict(RELAY_EVENT_PRELUDE);
}

static relay_verdict_t content(relay_stream_t *stream)
{
    stream->content_seen = true;
    return verdict(RELAY_EVENT_CONTENT);
}

static relay_verdict_t block_start(relay_stream_t *stream, relay_json_value_t start)
{
    static const relay_span_t key = RELAY_SPAN_INIT("toolUse");
    relay_json_value_t call = {RELAY_JSON_ABSENT, {NULL, 0}};

    if (!relay_wire_says(start)) {
        return verdict(RELAY_EVENT_PRELUDE);
    }
    if (start.type == RELAY_JSON_OBJECT) {
        relay_json_members(start.text, &key, 1, &call);
    }
    stream->tool_seen = stream->tool_seen || call.type == RELAY_JSON_OBJECT;
    return content(stream);
}

static relay_verdict_t message_stop(relay_stream_t *stream, relay_json_value_t reason)
{
    if (!stream->begun && !stream->content_seen) {
        return relay_wire_failed(stream, 502); /* the end of an answer that never began */
    }
    stream->finish_seen = true;
    relay_wire_copy(reason, stream->finish, sizeof(stream->finish));
    return verdict(RELAY_EVENT_CONTENT);
}

static relay_verdict_t metadata(relay_stream_t *stream, relay_json_value_t usage)
{
    relay_bedrock_usage(usage, &stream->usage);
    if (!stream->finish_seen) {
        return verdict(stream->content_seen ? RELAY_EVENT_CONTENT : RELAY_EVENT_PRELUDE);
    }
    stream->end_seen = true;
    return verdict(RELAY_EVENT_END);
}

typedef enum {
    KIND_OTHER,
    KIND_START,
    KIND_BLOCK_START,
    KIND_BLOCK_DELTA,
    KIND_BLOCK_STOP,
    KIND_STOP,
    KIND_METADATA
} kind_t;

static kind_t kind_of(relay_span_t name)
{
    static const struct {
        relay_span_t name;
        kind_t kind;
    } kinds[] = {
        {RELAY_SPAN_INIT("contentBlockDelta"), KIND_BLOCK_DELTA},
        {RELAY_SPAN_INIT("messageStart"), KIND_START},
        {RELAY_SPAN_INIT("contentBlockStart"), KIND_BLOCK_START},
        {RELAY_SPAN_INIT("contentBlockStop"), KIND_BLOCK_STOP},
        {RELAY_SPAN_INIT("messageStop"), KIND_STOP},
        {RELAY_SPAN_INIT("metadata"), KIND_METADATA},
    };

    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        if (relay_span_eq(name, kinds[i].name)) {
            return kinds[i].kind;
        }
    }
    return KIND_OTHER;
}

static relay_verdict_t data_event(relay_stream_t *stream, relay_span_t name,
                                  const relay_json_value_t *data)
{
    switch (kind_of(name)) {
    case KIND_START:
        return message_start(stream);
    case KIND_BLOCK_START:
        return block_start(stream, data[START]);
    case KIND_BLOCK_DELTA:
        return content(stream);
    case KIND_STOP:
        return message_stop(stream, data[REASON]);
    case KIND_METADATA:
        return metadata(stream, data[USAGE]);
    case KIND_BLOCK_STOP: /* of a block that held nothing, it holds nothing either */
        return verdict(stream->content_seen ? RELAY_EVENT_CONTENT : RELAY_EVENT_PRELUDE);
    case KIND_OTHER: /* a new type must neither commit an answer nor let a live one look idle */
        break;
    }
    return verdict(stream->content_seen ? RELAY_EVENT_CONTENT : RELAY_EVENT_IDLE);
}

/* An exception says so by its name; an event without a name by having a message. */
static bool is_failure(const relay_sse_item_t *item, relay_bedrock_exception_t *exception)
{
    return item->terminated && (item->name.len == 0 || relay_eventstream_is_failure(item->name)) &&
           relay_bedrock_exception_read(item->name, item->data, exception);
}

static relay_verdict_t event(relay_stream_t *stream, const relay_sse_item_t *item,
                             relay_buf_t *before)
{
    relay_json_value_t data[DATA_KEYS];
    relay_bedrock_exception_t exception;

    (void)before;
    if (stream->end_seen || stream->error_seen) {
        return (relay_verdict_t){.class = RELAY_EVENT_IDLE, .hide = true};
    }
    if (!item->has_data) {
        return verdict(RELAY_EVENT_IDLE);
    }
    if (is_failure(item, &exception)) {
        return relay_wire_failed(stream, exception.status);
    }
    if (!relay_wire_read(item->data, data_keys, DATA_KEYS, data)) {
        return relay_wire_unreadable(stream, item);
    }
    return data_event(stream, item->name, data);
}

/* Nothing is owed behind the reason: only the usage is missing then. */
static bool close_stream(relay_stream_t *stream, relay_buf_t *out)
{
    (void)out;
    stream->end_seen = stream->end_seen || (stream->finish_seen && !stream->error_seen);
    return stream->end_seen;
}

static void error_event(relay_stream_t *stream, relay_buf_t *out, const relay_error_t *error,
                        relay_span_t request_id)
{
    RELAY_PUT(out, "event: error\ndata: ");
    relay_dialect_bedrock.error(out, error, request_id);
    RELAY_PUT(out, "\n\n");
    stream->error_seen = true;
}

/* ---- whole answers ------------------------------------------------------- */

static void read_failure(relay_span_t body, relay_answer_t *answer)
{
    const relay_span_t nameless = {NULL, 0};
    relay_buf_t type = relay_buf(answer->error_type, sizeof(answer->error_type) - 1);
    relay_bedrock_exception_t exception;

    if (relay_bedrock_exception_read(nameless, body, &exception)) {
        answer->is_error = true;
        answer->message = exception.message;
        answer->key_refused = exception.status == 401;
        relay_buf_put(&type, exception.type);
        answer->error_type[relay_buf_span(&type).len] = '\0';
    }
}

static void answer(relay_span_t body, relay_answer_t *answer)
{
    enum { REASON, USAGE, OUTPUT, KEYS };
    static const relay_span_t keys[KEYS] = {RELAY_SPAN_INIT("stopReason"), RELAY_SPAN_INIT("usage"),
                                            RELAY_SPAN_INIT("output")};
    relay_json_value_t values[KEYS];

    memset(answer, 0, sizeof(*answer));
    if (!relay_wire_glance(body, keys, KEYS, values)) {
        return;
    }
    relay_bedrock_usage(values[USAGE], &answer->usage);
    relay_wire_copy(values[REASON], answer->finish, sizeof(answer->finish));
    if (values[OUTPUT].type == RELAY_JSON_ABSENT) {
        read_failure(body, answer);
    }
}

/* ---- echo ---------------------------------------------------------------- */

static void put_usage(relay_buf_t *out, const relay_usage_t *usage)
{
    RELAY_PUT(out, "\"usage\":{\"inputTokens\":");
    relay_buf_put_u64(out, usage->input_tokens);
    RELAY_PUT(out, ",\"outputTokens\":");
    relay_buf_put_u64(out, usage->output_tokens);
    RELAY_PUT(out, ",\"totalTokens\":");
    relay_buf_put_u64(out, usage->input_tokens + usage->output_tokens);
    RELAY_PUT(out, "}");
}

static relay_span_t stop_reason(const relay_echo_text_t *text)
{
    return text->cut ? RELAY_SPAN("max_tokens") : RELAY_SPAN("end_turn");
}

static void echo_stream(relay_buf_t *out, relay_echo_text_t *text, const relay_usage_t *usage)
{
    relay_span_t piece;

    RELAY_PUT(out, "event: messageStart\ndata: {\"role\":\"assistant\"}\n\n");
    while (relay_echo_next(text, &piece)) {
        RELAY_PUT(out, "event: contentBlockDelta\ndata: {\"contentBlockIndex\":0,"
                       "\"delta\":{\"text\":\"");
        relay_buf_put(out, piece);
        RELAY_PUT(out, "\"}}\n\n");
    }
    RELAY_PUT(out, "event: contentBlockStop\ndata: {\"contentBlockIndex\":0}\n\n"
                   "event: messageStop\ndata: {\"stopReason\":");
    relay_buf_put_json(out, stop_reason(text));
    RELAY_PUT(out, "}\n\nevent: metadata\ndata: {");
    put_usage(out, usage);
    RELAY_PUT(out, "}\n\n");
}

static void echo(relay_buf_t *out, const relay_echo_t *echo, relay_usage_t *usage)
{
    relay_echo_text_t text;

    relay_echo_open(&text, echo->body, RELAY_SPAN("messages"), usage);
    if (echo->streaming) {
        echo_stream(out, &text, usage);
        return;
    }
    RELAY_PUT(out, "{\"output\":{\"message\":{\"role\":\"assistant\",\"content\":[{\"text\":");
    relay_echo_put(&text, out);
    RELAY_PUT(out, "}]}},\"stopReason\":");
    relay_buf_put_json(out, stop_reason(&text));
    RELAY_PUT(out, ",");
    put_usage(out, usage);
    RELAY_PUT(out, "}");
}

/*
 * The path is that of upstreams, less the slash that every path of a caller
 * begins with: so none is ever taken for it.
 */
const relay_wire_t relay_wire_bedrock_converse = {
    .name = RELAY_SPAN_INIT("bedrock-converse"),
    .index = RELAY_WIRE_BEDROCK_CONVERSE,
    .dialect = &relay_dialect_bedrock,
    .path = RELAY_SPAN_INIT("model/{model}/converse"),
    .streams = true,
    .edits = relay_wire_edits_model_only,
    .wants_usage = relay_wire_wants_usage_always,
    .event = event,
    .close = close_stream,
    .error_event = error_event,
    .answer = answer,
    .echo = echo,
};
