/*
 * Streams of Anthropic Messages into canonical events. Called through the codec.
 *
 *   message_start ─► START          content_block_stop ─► STOP
 *   content_block_start ─► BLOCK    message_delta ─► USAGE, FINISH
 *   content_block_delta ─► DELTA    message_stop ─► END
 *
 * One block is open at a time; a start without the stop before it closes that one.
 */

#include "wire_anthropic.h"
#include "wire_anthropic_messages_codec.h"
#include "wire_support.h"

typedef struct {
    bool open;
    bool tools;     /* a call has begun */
    uint8_t kind;   /* relay_block_kind_t of the open block */
    uint32_t block; /* its number, or that of the next one */
} state_t;

const size_t relay_messages_reader_size = sizeof(state_t);

static state_t *state_of(relay_reader_t *reader)
{
    return (state_t *)(void *)reader->state;
}

static void emit(relay_reader_t *reader, const relay_stream_event_t *event)
{
    reader->emit(reader->owner, event);
}

/* ---- the end ------------------------------------------------------------- */

static void fail(relay_reader_t *reader, const relay_failure_t *failure)
{
    relay_stream_event_t event = {.kind = RELAY_STREAM_ERROR, .failure = failure};

    reader->over = true;
    emit(reader, &event);
}

static void fail_cut(relay_reader_t *reader)
{
    relay_failure_t failure = {.error = {.code = RELAY_ERR_UPSTREAM_CUT}};

    fail(reader, &failure);
}

static void end(relay_reader_t *reader)
{
    relay_stream_event_t event = {.kind = RELAY_STREAM_END, .usage = &reader->usage};

    reader->over = true;
    emit(reader, &event);
}

/* ---- blocks -------------------------------------------------------------- */

static void stop_block(relay_reader_t *reader)
{
    state_t *state = state_of(reader);
    relay_stream_event_t event = {.kind = RELAY_STREAM_STOP,
                                  .block = state->block,
                                  .block_kind = (relay_block_kind_t)state->kind};

    if (state->open) {
        state->open = false;
        state->block++;
        emit(reader, &event);
    }
}

static relay_stream_event_t delta(relay_reader_t *reader)
{
    state_t *state = state_of(reader);

    return (relay_stream_event_t){.kind = RELAY_STREAM_DELTA,
                                  .block = state->block,
                                  .block_kind = (relay_block_kind_t)state->kind};
}

static void put_text(relay_reader_t *reader, relay_span_t text)
{
    relay_stream_event_t event = delta(reader);

    if (text.len != 0) {
        event.text = text;
        if (event.block_kind == RELAY_BLOCK_THINKING) {
            event.signer = RELAY_MESSAGES_SIGNER;
        }
        emit(reader, &event);
    }
}

static void put_signature(relay_reader_t *reader, relay_span_t signature)
{
    relay_stream_event_t event = delta(reader);

    if (signature.len != 0) {
        event.signature = signature;
        event.signer = RELAY_MESSAGES_SIGNER;
        emit(reader, &event);
    }
}

/* Arguments that came whole with the start: their quotes need escapes. */
static void put_input(relay_reader_t *reader, relay_json_value_t input)
{
    relay_arguments_t arguments = {.text = input.text};
    relay_buf_t measure = relay_buf(NULL, 0), out;

    if (input.type != RELAY_JSON_OBJECT || !relay_wire_says(input)) {
        return;
    }
    relay_codec_put_quoted(&measure, &arguments);
    reader->kept.len = 0;
    if (!relay_kept_room(&reader->kept, measure.len)) {
        fail_cut(reader);
        return;
    }
    out = relay_buf(reader->kept.base, measure.len);
    relay_codec_put_quoted(&out, &arguments);
    put_text(reader, relay_span(reader->kept.base + 1, measure.len - 2));
}

enum { B_TYPE, B_TEXT, B_THINKING, B_SIGNATURE, B_DATA, B_ID, B_NAME, B_INPUT, BLOCK_KEYS };

static const relay_span_t block_keys[BLOCK_KEYS] = {
    RELAY_SPAN_INIT("type"),      RELAY_SPAN_INIT("text"), RELAY_SPAN_INIT("thinking"),
    RELAY_SPAN_INIT("signature"), RELAY_SPAN_INIT("data"), RELAY_SPAN_INIT("id"),
    RELAY_SPAN_INIT("name"),      RELAY_SPAN_INIT("input")};

static relay_block_kind_t kind_of(relay_json_value_t type)
{
    if (relay_wire_is(type, RELAY_SPAN("text"))) {
        return RELAY_BLOCK_TEXT;
    }
    if (relay_wire_is(type, RELAY_SPAN("thinking"))) {
        return RELAY_BLOCK_THINKING;
    }
    if (relay_wire_is(type, RELAY_SPAN("tool_use"))) {
        return RELAY_BLOCK_TOOL_CALL;
    }
    return relay_wire_is(type, RELAY_SPAN("redacted_thinking")) ? RELAY_BLOCK_REDACTED
                                                                : RELAY_BLOCK_OPAQUE;
}

static void announce(relay_reader_t *reader, relay_json_value_t object,
                     const relay_json_value_t *values)
{
    state_t *state = state_of(reader);
    relay_stream_event_t event = {.kind = RELAY_STREAM_BLOCK,
                                  .block = state->block,
                                  .block_kind = (relay_block_kind_t)state->kind,
                                  .type = relay_wire_inner(values[B_TYPE]),
                                  .raw = object.text};

    switch (event.block_kind) {
    case RELAY_BLOCK_TOOL_CALL:
        event.id = relay_wire_inner(values[B_ID]);
        event.name = relay_wire_inner(values[B_NAME]);
        break;
    case RELAY_BLOCK_REDACTED:
        event.text = relay_wire_inner(values[B_DATA]);
        event.signer = RELAY_MESSAGES_SIGNER;
        break;
    case RELAY_BLOCK_THINKING:
        event.signer = RELAY_MESSAGES_SIGNER;
        break;
    default:
        break;
    }
    emit(reader, &event);
}

static void block_start(relay_reader_t *reader, relay_json_value_t object)
{
    state_t *state = state_of(reader);
    relay_json_value_t values[BLOCK_KEYS];

    stop_block(reader);
    if (object.type != RELAY_JSON_OBJECT ||
        !relay_json_members(object.text, block_keys, BLOCK_KEYS, values)) {
        return;
    }
    state->open = true;
    state->kind = (uint8_t)kind_of(values[B_TYPE]);
    state->tools = state->tools || state->kind == RELAY_BLOCK_TOOL_CALL;
    announce(reader, object, values);
    switch (state->kind) {
    case RELAY_BLOCK_TEXT:
        put_text(reader, relay_wire_inner(values[B_TEXT]));
        break;
    case RELAY_BLOCK_THINKING:
        put_text(reader, relay_wire_inner(values[B_THINKING]));
        put_signature(reader, relay_wire_inner(values[B_SIGNATURE]));
        break;
    case RELAY_BLOCK_TOOL_CALL:
        put_input(reader, values[B_INPUT]);
        break;
    default:
        break;
    }
}

static void put_citation(relay_reader_t *reader, relay_json_value_t object)
{
    relay_stream_event_t event = delta(reader);
    relay_citation_t citation;

    relay_messages_read_citation(object, &citation);
    event.citation = &citation;
    emit(reader, &event);
}

static void put_opaque(relay_reader_t *reader, relay_json_value_t object)
{
    relay_stream_event_t event = delta(reader);

    event.raw = object.text;
    emit(reader, &event);
}

static void block_delta(relay_reader_t *reader, relay_json_value_t object)
{
    enum { TYPE, TEXT, JSON, THINKING, SIGNATURE, CITATION, KEYS }; /* TYPE: found, not searched */
    static const relay_span_t keys[KEYS] = {
        RELAY_SPAN_INIT("type"),     RELAY_SPAN_INIT("text"),      RELAY_SPAN_INIT("partial_json"),
        RELAY_SPAN_INIT("thinking"), RELAY_SPAN_INIT("signature"), RELAY_SPAN_INIT("citation")};
    relay_json_value_t values[KEYS];
    state_t *state = state_of(reader);

    if (!state->open || object.type != RELAY_JSON_OBJECT ||
        !relay_json_members(object.text, keys, KEYS, values)) {
        return;
    }
    switch (state->kind) {
    case RELAY_BLOCK_TEXT:
        put_text(reader, relay_wire_inner(values[TEXT]));
        if (values[CITATION].type == RELAY_JSON_OBJECT) {
            put_citation(reader, values[CITATION]);
        }
        break;
    case RELAY_BLOCK_THINKING:
        put_text(reader, relay_wire_inner(values[THINKING]));
        put_signature(reader, relay_wire_inner(values[SIGNATURE]));
        break;
    case RELAY_BLOCK_TOOL_CALL:
        put_text(reader, relay_wire_inner(values[JSON]));
        break;
    default:
        put_opaque(reader, object);
        break;
    }
}

/* ---- the message --------------------------------------------------------- */

static void message_start(relay_reader_t *reader, relay_json_value_t message)
{
    enum { ID, MODEL, USAGE, KEYS };
    static const relay_span_t keys[KEYS] = {RELAY_SPAN_INIT("id"), RELAY_SPAN_INIT("model"),
                                            RELAY_SPAN_INIT("usage")};
    relay_json_value_t values[KEYS] = {0};
    relay_stream_event_t event = {.kind = RELAY_STREAM_START, .usage = &reader->usage};

    if (reader->started) {
        return;
    }
    if (message.type == RELAY_JSON_OBJECT) {
        relay_json_members(message.text, keys, KEYS, values);
    }
    relay_anthropic_usage(values[USAGE], &reader->usage);
    event.id = relay_wire_inner(values[ID]);
    event.model = relay_wire_inner(values[MODEL]);
    reader->started = true;
    emit(reader, &event);
}

static relay_span_t explanation(relay_json_value_t details)
{
    static const relay_span_t key = RELAY_SPAN_INIT("explanation");
    relay_json_value_t value = {RELAY_JSON_ABSENT, {NULL, 0}};

    if (details.type == RELAY_JSON_OBJECT) {
        relay_json_members(details.text, &key, 1, &value);
    }
    return relay_wire_inner(value);
}

static void finish(relay_reader_t *reader, relay_ending_t ending)
{
    relay_stream_event_t event = {.kind = RELAY_STREAM_FINISH, .ending = ending};

    if (reader->finished) {
        return;
    }
    stop_block(reader);
    if (ending.reason == RELAY_STOP_END || ending.reason == RELAY_STOP_UNSET) {
        event.ending.reason = state_of(reader)->tools ? RELAY_STOP_TOOLS : RELAY_STOP_END;
    }
    reader->finished = true;
    emit(reader, &event);
}

static void message_delta(relay_reader_t *reader, relay_json_value_t object,
                          relay_json_value_t usage)
{
    enum { REASON, SEQUENCE, DETAILS, KEYS };
    static const relay_span_t keys[KEYS] = {RELAY_SPAN_INIT("stop_reason"),
                                            RELAY_SPAN_INIT("stop_sequence"),
                                            RELAY_SPAN_INIT("stop_details")};
    relay_json_value_t values[KEYS] = {0};
    relay_stream_event_t event = {.kind = RELAY_STREAM_USAGE, .usage = &reader->usage};

    if (usage.type == RELAY_JSON_OBJECT) {
        relay_anthropic_usage(usage, &reader->usage);
        emit(reader, &event);
    }
    if (object.type == RELAY_JSON_OBJECT) {
        relay_json_members(object.text, keys, KEYS, values);
    }
    if (relay_wire_says(values[REASON])) {
        finish(reader,
               (relay_ending_t){.reason = relay_messages_stop(relay_wire_inner(values[REASON])),
                                .sequence = relay_wire_inner(values[SEQUENCE]),
                                .explanation = explanation(values[DETAILS])});
    }
}

/* An end without a reason is one of a whole answer all the same. */
static void message_stop(relay_reader_t *reader)
{
    if (!reader->started) {
        fail_cut(reader);
        return;
    }
    finish(reader, (relay_ending_t){.reason = RELAY_STOP_UNSET});
    end(reader);
}

static void failed(relay_reader_t *reader, const relay_wire_error_members_t *members)
{
    uint8_t bytes[RELAY_CODEC_ERROR_MAX];
    relay_failure_t failure = {.error = {.code = RELAY_ERR_UPSTREAM_ERROR, .status = 502}};
    relay_wire_error_t error;

    if (relay_wire_error_read(members, &error)) {
        failure.error.status = error.status;
        failure.error.message = relay_codec_error_text(error.message, bytes);
        failure.code = relay_wire_inner(error.code);
    }
    fail(reader, &failure);
}

/* ---- events -------------------------------------------------------------- */

/* In the order in which they come, which finds each at once; K_INDEX is not needed. */
enum { K_TYPE, K_INDEX, K_DELTA, K_USAGE, K_BLOCK, K_MESSAGE, K_ERROR, K_CODE, DATA_KEYS };

static const relay_span_t data_keys[DATA_KEYS] = {
    RELAY_SPAN_INIT("type"),  RELAY_SPAN_INIT("index"),         RELAY_SPAN_INIT("delta"),
    RELAY_SPAN_INIT("usage"), RELAY_SPAN_INIT("content_block"), RELAY_SPAN_INIT("message"),
    RELAY_SPAN_INIT("error"), RELAY_SPAN_INIT("code")};

static bool is(relay_span_t type, const char *word)
{
    return type.len == strlen(word) && memcmp(type.base, word, type.len) == 0;
}

static void ping(relay_reader_t *reader)
{
    relay_stream_event_t event = {.kind = RELAY_STREAM_PING};

    emit(reader, &event);
}

static void read_data(relay_reader_t *reader, const relay_json_value_t *data, relay_span_t name)
{
    relay_wire_error_members_t members = {
        .error = data[K_ERROR], .message = data[K_MESSAGE], .code = data[K_CODE], .flat = true};
    relay_span_t type = relay_wire_inner(data[K_TYPE]);

    type = type.len != 0 ? type : name;
    if (is(type, "content_block_delta")) {
        block_delta(reader, data[K_DELTA]);
    } else if (is(type, "message_start")) {
        message_start(reader, data[K_MESSAGE]);
    } else if (is(type, "content_block_start")) {
        if (!reader->finished) {
            message_start(reader, (relay_json_value_t){RELAY_JSON_ABSENT, {NULL, 0}});
            block_start(reader, data[K_BLOCK]);
        }
    } else if (is(type, "content_block_stop")) {
        stop_block(reader);
    } else if (is(type, "message_delta")) {
        message_start(reader, (relay_json_value_t){RELAY_JSON_ABSENT, {NULL, 0}});
        message_delta(reader, data[K_DELTA], data[K_USAGE]);
    } else if (is(type, "message_stop")) {
        message_stop(reader);
    } else if (is(type, "error") || (type.len == 0 && relay_wire_says(data[K_ERROR]))) {
        failed(reader, &members);
    } else if (is(type, "ping")) {
        ping(reader);
    }
}

void relay_messages_read_event(relay_reader_t *reader, const relay_sse_item_t *item)
{
    relay_json_value_t data[DATA_KEYS] = {0};

    if (reader->over) {
        return;
    }
    if (item == NULL) {
        if (reader->finished) {
            end(reader);
        } else {
            fail_cut(reader);
        }
        return;
    }
    if (!item->has_data || relay_wire_done_marker(item->data)) {
        return;
    }
    if (relay_wire_read(item->data, data_keys, DATA_KEYS, data)) {
        read_data(reader, data, item->name);
    } else if (item->terminated && is(item->name, "error")) {
        failed(reader, &(relay_wire_error_members_t){.flat = true});
    }
}
