/*
 * OpenAI Responses. Reached through the registry only.
 */

#include "wire_echo.h"
#include "wire_openai.h"
#include "wire_support.h"

/* ---- reading a response object ------------------------------------------- */

/* The first RESPONSE_KEYS are a response's, the others occur in error bodies. */
enum {
    ID,
    CREATED,
    MODEL,
    STATUS,
    USAGE,
    ERROR,
    INCOMPLETE,
    RESPONSE_KEYS,
    BODY_OBJECT = RESPONSE_KEYS,
    BODY_MESSAGE,
    BODY_TYPE,
    BODY_CODE,
    BODY_DETAIL,
    BODY_RESPONSE,
    BODY_KEYS
};

static const relay_span_t body_keys[BODY_KEYS] = {
    RELAY_SPAN_INIT("id"),
    RELAY_SPAN_INIT("created_at"),
    RELAY_SPAN_INIT("model"),
    RELAY_SPAN_INIT("status"),
    RELAY_SPAN_INIT("usage"),
    RELAY_SPAN_INIT("error"),
    RELAY_SPAN_INIT("incomplete_details"),
    RELAY_SPAN_INIT("object"),
    RELAY_SPAN_INIT("message"),
    RELAY_SPAN_INIT("type"),
    RELAY_SPAN_INIT("code"),
    RELAY_SPAN_INIT("detail"),
    RELAY_SPAN_INIT("response"),
};

/* "completed", or why it is incomplete. */
static void read_finish(const relay_json_value_t *response, char *finish, size_t size)
{
    static const relay_span_t key = RELAY_SPAN_INIT("reason");
    relay_json_value_t details = response[INCOMPLETE], reason = {RELAY_JSON_ABSENT, {NULL, 0}};

    relay_wire_copy(response[STATUS], finish, size);
    if (details.type == RELAY_JSON_OBJECT) {
        relay_json_members(details.text, &key, 1, &reason);
        relay_wire_copy(reason, finish, size);
    }
}

static bool is_response(relay_json_value_t value, relay_json_value_t *response)
{
    return value.type == RELAY_JSON_OBJECT &&
           relay_json_members(value.text, body_keys, RESPONSE_KEYS, response);
}

static void remember(relay_stream_t *stream, const relay_json_value_t *response)
{
    uint64_t created;

    relay_wire_copy_once(response[ID], stream->id, sizeof(stream->id));
    relay_wire_copy_once(response[MODEL], stream->model, sizeof(stream->model));
    if (stream->created == 0 && relay_json_uint(response[CREATED], &created)) {
        stream->created = created;
    }
    relay_openai_usage(response[USAGE], &stream->usage);
}

/* ---- events -------------------------------------------------------------- */

enum { TYPE, SEQUENCE, RESPONSE, FAULT, CODE, MESSAGE, DETAIL, DATA_KEYS };

static const relay_span_t data_keys[DATA_KEYS] = {
    RELAY_SPAN_INIT("type"),     RELAY_SPAN_INIT("sequence_number"),
    RELAY_SPAN_INIT("response"), RELAY_SPAN_INIT("error"),
    RELAY_SPAN_INIT("code"),     RELAY_SPAN_INIT("message"),
    RELAY_SPAN_INIT("detail"),
};

typedef enum { KIND_OTHER, KIND_IDLE, KIND_PRELUDE, KIND_END, KIND_FAILED, KIND_ERROR } kind_t;

static kind_t kind_of(relay_span_t type)
{
    static const struct {
        relay_span_t type;
        kind_t kind;
    } kinds[] = {
        {RELAY_SPAN_INIT("response.created"), KIND_PRELUDE},
        {RELAY_SPAN_INIT("response.in_progress"), KIND_PRELUDE},
        {RELAY_SPAN_INIT("response.queued"), KIND_PRELUDE},
        /* these open what their deltas fill */
        {RELAY_SPAN_INIT("response.output_item.added"), KIND_PRELUDE},
        {RELAY_SPAN_INIT("response.content_part.added"), KIND_PRELUDE},
        {RELAY_SPAN_INIT("response.reasoning_summary_part.added"), KIND_PRELUDE},
        {RELAY_SPAN_INIT("response.completed"), KIND_END},
        {RELAY_SPAN_INIT("response.incomplete"), KIND_END},
        {RELAY_SPAN_INIT("response.failed"), KIND_FAILED},
        {RELAY_SPAN_INIT("error"), KIND_ERROR},
    };

    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        if (relay_span_eq(type, kinds[i].type)) {
            return kinds[i].kind;
        }
    }
    /* keep-alives and vendors' own types do not belong to the answer */
    return relay_span_starts(type, RELAY_SPAN("response.")) ? KIND_OTHER : KIND_IDLE;
}

static relay_verdict_t failed(relay_stream_t *stream, const relay_json_value_t *data,
                              const relay_json_value_t *response)
{
    relay_wire_error_members_t members = {
        .error = data[FAULT], .message = data[MESSAGE], .code = data[CODE], .flat = true};
    relay_wire_error_t error;

    if (response[ERROR].type == RELAY_JSON_OBJECT) {
        members.error = response[ERROR];
    }
    relay_wire_error_read(&members, &error);
    return relay_wire_failed(stream, error.status);
}

static relay_verdict_t ended(relay_stream_t *stream, const relay_json_value_t *response)
{
    read_finish(response, stream->finish, sizeof(stream->finish));
    stream->finish_seen = true;
    stream->end_seen = true;
    return (relay_verdict_t){.class = RELAY_EVENT_END};
}

static relay_verdict_t other(relay_stream_t *stream, relay_span_t type)
{
    stream->content_seen = true;
    stream->tool_seen = stream->tool_seen ||
                        relay_span_starts(type, RELAY_SPAN("response.function_call_arguments.")) ||
                        relay_span_starts(type, RELAY_SPAN("response.custom_tool_call_input."));
    return (relay_verdict_t){.class = RELAY_EVENT_CONTENT};
}

static relay_verdict_t data_event(relay_stream_t *stream, const relay_json_value_t *data,
                                  relay_span_t name)
{
    relay_json_value_t response[RESPONSE_KEYS] = {0};
    relay_span_t type = relay_wire_inner(data[TYPE]).len != 0 ? relay_wire_inner(data[TYPE]) : name;
    uint64_t sequence;

    if (relay_wire_count(data[SEQUENCE], &sequence)) {
        stream->next_sequence = sequence + 1;
    }
    if (is_response(data[RESPONSE], response)) {
        stream->begun = true;
        remember(stream, response);
    }
    switch (type.len == 0 && relay_wire_says(data[FAULT]) ? KIND_ERROR : kind_of(type)) {
    case KIND_PRELUDE:
        return (relay_verdict_t){.class = RELAY_EVENT_PRELUDE};
    case KIND_END:
        return ended(stream, response);
    case KIND_FAILED:
    case KIND_ERROR:
        return failed(stream, data, response);
    case KIND_OTHER:
        return other(stream, type);
    case KIND_IDLE:
        break;
    }
    return (relay_verdict_t){.class = RELAY_EVENT_IDLE};
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
        return (relay_verdict_t){.class = RELAY_EVENT_IDLE};
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
    (void)out;
    return stream->end_seen;
}

/* ---- writing a response object ------------------------------------------- */

typedef struct {
    relay_span_t id;
    uint64_t created;
    relay_span_t model;
    relay_span_t status;
    relay_span_t incomplete_reason; /* may be empty */
    const relay_error_t *error;     /* may be NULL */
    relay_echo_text_t *text;        /* the output's text, NULL: no output yet */
    relay_span_t item_id;
    const relay_usage_t *usage; /* may be NULL */
} response_t;

/* The codes that a response object's error may have. */
static relay_span_t response_error_code(const relay_error_t *error)
{
    switch (relay_dialect_openai.status(error)) {
    case 429:
        return RELAY_SPAN("rate_limit_exceeded");
    case 503:
    case 529:
        return RELAY_SPAN("server_is_overloaded");
    default:
        return RELAY_SPAN("server_error");
    }
}

static void put_error(relay_buf_t *out, const relay_error_t *error)
{
    if (error == NULL) {
        RELAY_PUT(out, "null");
        return;
    }
    RELAY_PUT(out, "{\"code\":");
    relay_buf_put_json(out, response_error_code(error));
    RELAY_PUT(out, ",\"message\":");
    relay_buf_put_json(out, relay_wire_message(error));
    RELAY_PUT(out, "}");
}

static void put_incomplete(relay_buf_t *out, relay_span_t reason)
{
    if (reason.len == 0) {
        RELAY_PUT(out, "null");
        return;
    }
    RELAY_PUT(out, "{\"reason\":");
    relay_buf_put_json(out, reason);
    RELAY_PUT(out, "}");
}

static void put_usage(relay_buf_t *out, const relay_usage_t *usage)
{
    if (usage == NULL) {
        RELAY_PUT(out, "null");
        return;
    }
    RELAY_PUT(out, "{\"input_tokens\":");
    relay_buf_put_u64(out, usage->input_tokens);
    RELAY_PUT(out, ",\"input_tokens_details\":{\"cached_tokens\":0},\"output_tokens\":");
    relay_buf_put_u64(out, usage->output_tokens);
    RELAY_PUT(out, ",\"output_tokens_details\":{\"reasoning_tokens\":0},\"total_tokens\":");
    relay_buf_put_u64(out, usage->input_tokens + usage->output_tokens);
    RELAY_PUT(out, "}");
}

/* text NULL: an empty string. */
static void put_part(relay_buf_t *out, relay_echo_text_t *text)
{
    RELAY_PUT(out, "{\"type\":\"output_text\",\"text\":");
    if (text != NULL) {
        relay_echo_put(text, out);
    } else {
        RELAY_PUT(out, "\"\"");
    }
    RELAY_PUT(out, ",\"annotations\":[],\"logprobs\":[]}");
}

static void put_item(relay_buf_t *out, relay_span_t id, relay_span_t status,
                     relay_echo_text_t *text)
{
    RELAY_PUT(out, "{\"id\":");
    relay_buf_put_json(out, id);
    RELAY_PUT(out, ",\"type\":\"message\",\"status\":");
    relay_buf_put_json(out, status);
    RELAY_PUT(out, ",\"role\":\"assistant\",\"content\":[");
    if (text != NULL) {
        put_part(out, text);
    }
    RELAY_PUT(out, "]}");
}

static void put_response(relay_buf_t *out, const response_t *response)
{
    RELAY_PUT(out, "{\"id\":");
    relay_buf_put_json(out, response->id);
    RELAY_PUT(out, ",\"object\":\"response\",\"created_at\":");
    relay_buf_put_u64(out, response->created);
    RELAY_PUT(out, ",\"status\":");
    relay_buf_put_json(out, response->status);
    RELAY_PUT(out, ",\"background\":false,\"error\":");
    put_error(out, response->error);
    RELAY_PUT(out, ",\"incomplete_details\":");
    put_incomplete(out, response->incomplete_reason);
    RELAY_PUT(out, ",\"instructions\":null,\"max_output_tokens\":null,\"model\":");
    relay_buf_put_json(out, response->model);
    RELAY_PUT(out, ",\"output\":[");
    if (response->text != NULL) {
        put_item(out, response->item_id, response->status, response->text);
    }
    RELAY_PUT(out, "],\"parallel_tool_calls\":true,\"previous_response_id\":null,"
                   "\"reasoning\":{\"effort\":null,\"summary\":null},\"store\":false,"
                   "\"temperature\":null,\"text\":{\"format\":{\"type\":\"text\"}},"
                   "\"tool_choice\":\"auto\",\"tools\":[],\"top_p\":null,"
                   "\"truncation\":\"disabled\",\"usage\":");
    put_usage(out, response->usage);
    RELAY_PUT(out, ",\"user\":null,\"metadata\":{}}");
}

/* event: TYPE, data: {"type":"TYPE","sequence_number":N — the rest of the object
 * is the caller's. */
static void put_event_head(relay_buf_t *out, relay_span_t type, uint64_t *sequence)
{
    RELAY_PUT(out, "event: ");
    relay_buf_put(out, type);
    RELAY_PUT(out, "\ndata: {\"type\":");
    relay_buf_put_json(out, type);
    RELAY_PUT(out, ",\"sequence_number\":");
    relay_buf_put_u64(out, (*sequence)++);
}

static void put_response_event(relay_buf_t *out, relay_span_t type, uint64_t *sequence,
                               const response_t *response)
{
    put_event_head(out, type, sequence);
    RELAY_PUT(out, ",\"response\":");
    put_response(out, response);
    RELAY_PUT(out, "}\n\n");
}

static void error_event(relay_stream_t *stream, relay_buf_t *out, const relay_error_t *error,
                        relay_span_t request_id)
{
    uint8_t made_up[RELAY_ECHO_ID_MAX];
    relay_echo_t request = {.id = request_id};
    response_t response = {.id = relay_wire_cstring(stream->id),
                           .created = stream->created,
                           .model = relay_wire_cstring(stream->model),
                           .status = RELAY_SPAN("failed"),
                           .error = error};

    if (response.id.len == 0) {
        response.id = relay_echo_id(RELAY_SPAN("resp_"), &request, made_up);
    }
    put_response_event(out, RELAY_SPAN("response.failed"), &stream->next_sequence, &response);
    stream->error_seen = true;
}

/* ---- whole answers ------------------------------------------------------- */

static bool answer_error(const relay_json_value_t *body, relay_wire_error_t *error)
{
    bool bare = body[ID].type == RELAY_JSON_ABSENT && body[BODY_OBJECT].type == RELAY_JSON_ABSENT;
    relay_wire_error_members_t members = {.error = body[ERROR],
                                          .message = body[BODY_MESSAGE],
                                          .type = body[BODY_TYPE],
                                          .code = body[BODY_CODE],
                                          .detail = body[BODY_DETAIL]};

    members.flat =
        relay_wire_is(body[BODY_OBJECT], RELAY_SPAN("error")) ||
        relay_wire_is(body[BODY_TYPE], RELAY_SPAN("error")) ||
        relay_wire_is(body[STATUS], RELAY_SPAN("failed")) ||
        (bare && (relay_wire_says(body[BODY_MESSAGE]) || relay_wire_says(body[BODY_DETAIL])));
    return relay_wire_error_read(&members, error);
}

static void answer(relay_span_t body, relay_answer_t *answer)
{
    relay_json_value_t values[BODY_KEYS];
    relay_wire_error_t error;

    memset(answer, 0, sizeof(*answer));
    if (!relay_wire_glance(body, body_keys, BODY_KEYS, values)) {
        return;
    }
    /* the data of a final event holds the response one level down */
    is_response(values[BODY_RESPONSE], values);
    relay_openai_usage(values[USAGE], &answer->usage);
    read_finish(values, answer->finish, sizeof(answer->finish));
    if (answer_error(values, &error)) {
        relay_wire_answer_error(answer, &error);
    }
}

/* ---- echo ---------------------------------------------------------------- */

static void put_place(relay_buf_t *out, relay_span_t item_id)
{
    RELAY_PUT(out, ",\"item_id\":");
    relay_buf_put_json(out, item_id);
    RELAY_PUT(out, ",\"output_index\":0,\"content_index\":0");
}

static void echo_text_events(relay_buf_t *out, relay_span_t item_id, relay_echo_text_t *text,
                             uint64_t *sequence)
{
    relay_span_t piece;

    put_event_head(out, RELAY_SPAN("response.content_part.added"), sequence);
    put_place(out, item_id);
    RELAY_PUT(out, ",\"part\":");
    put_part(out, NULL);
    RELAY_PUT(out, "}\n\n");
    while (relay_echo_next(text, &piece)) {
        put_event_head(out, RELAY_SPAN("response.output_text.delta"), sequence);
        put_place(out, item_id);
        RELAY_PUT(out, ",\"delta\":\"");
        relay_buf_put(out, piece);
        RELAY_PUT(out, "\",\"logprobs\":[]}\n\n");
    }
    put_event_head(out, RELAY_SPAN("response.output_text.done"), sequence);
    put_place(out, item_id);
    RELAY_PUT(out, ",\"text\":");
    relay_echo_put(text, out);
    RELAY_PUT(out, ",\"logprobs\":[]}\n\n");
    put_event_head(out, RELAY_SPAN("response.content_part.done"), sequence);
    put_place(out, item_id);
    RELAY_PUT(out, ",\"part\":");
    put_part(out, text);
    RELAY_PUT(out, "}\n\n");
}

static void put_item_event(relay_buf_t *out, relay_span_t type, uint64_t *sequence,
                           const response_t *response, relay_echo_text_t *text)
{
    put_event_head(out, type, sequence);
    RELAY_PUT(out, ",\"output_index\":0,\"item\":");
    put_item(out, response->item_id, response->status, text);
    RELAY_PUT(out, "}\n\n");
}

static void echo_stream(relay_buf_t *out, const response_t *last)
{
    response_t first = *last;
    uint64_t sequence = 0;

    first.status = RELAY_SPAN("in_progress");
    first.incomplete_reason = relay_span(NULL, 0);
    first.text = NULL;
    first.usage = NULL;
    put_response_event(out, RELAY_SPAN("response.created"), &sequence, &first);
    put_response_event(out, RELAY_SPAN("response.in_progress"), &sequence, &first);
    put_item_event(out, RELAY_SPAN("response.output_item.added"), &sequence, &first, NULL);
    echo_text_events(out, last->item_id, last->text, &sequence);
    put_item_event(out, RELAY_SPAN("response.output_item.done"), &sequence, last, last->text);
    put_response_event(out,
                       last->incomplete_reason.len != 0 ? RELAY_SPAN("response.incomplete")
                                                        : RELAY_SPAN("response.completed"),
                       &sequence, last);
}

static void echo(relay_buf_t *out, const relay_echo_t *echo, relay_usage_t *usage)
{
    uint8_t id[RELAY_ECHO_ID_MAX], item_id[RELAY_ECHO_ID_MAX];
    relay_echo_text_t text;
    response_t response = {.id = relay_echo_id(RELAY_SPAN("resp_"), echo, id),
                           .created = echo->created_s,
                           .model = echo->model,
                           .status = RELAY_SPAN("completed"),
                           .text = &text,
                           .item_id = relay_echo_id(RELAY_SPAN("msg_"), echo, item_id),
                           .usage = usage};

    relay_echo_open(&text, echo->body, RELAY_SPAN("input"), usage);
    if (text.cut) {
        response.status = RELAY_SPAN("incomplete");
        response.incomplete_reason = RELAY_SPAN("max_output_tokens");
    }
    if (echo->streaming) {
        echo_stream(out, &response);
    } else {
        put_response(out, &response);
    }
}

const relay_wire_t relay_wire_openai_responses = {
    .name = RELAY_SPAN_INIT("openai-responses"),
    .index = RELAY_WIRE_OPENAI_RESPONSES,
    .dialect = &relay_dialect_openai,
    .path = RELAY_SPAN_INIT("/responses"),
    .streams = true,
    .keep_alive = RELAY_SPAN_INIT(": ping\n"),
    .edits = relay_wire_edits_model_only,
    .wants_usage = relay_wire_wants_usage_always,
    .event = event,
    .close = close_stream,
    .error_event = error_event,
    .answer = answer,
    .echo = echo,
};
