/*
 * OpenAI Chat Completions, and what compatible vendors make of it. Reached
 * through the registry only.
 */

#include "wire_echo.h"
#include "wire_openai.h"
#include "wire_support.h"

/* ---- requests ------------------------------------------------------------ */

static relay_json_value_t include_usage(relay_json_value_t stream_options)
{
    static const relay_span_t key = RELAY_SPAN_INIT("include_usage");
    relay_json_value_t value = {RELAY_JSON_ABSENT, {NULL, 0}};
    relay_json_fault_t fault;

    /* spelt twice or with escapes, it is for the provider to judge: not touched */
    if (stream_options.type == RELAY_JSON_OBJECT &&
        relay_json_scan(stream_options.text, &key, 1, &value, &fault) != RELAY_JSON_OK) {
        return (relay_json_value_t){RELAY_JSON_STRING, RELAY_SPAN("")};
    }
    return value;
}

static bool wants_usage(const relay_envelope_t *envelope)
{
    return include_usage(envelope->stream_options).type == RELAY_JSON_TRUE;
}

static relay_edit_t splice(const relay_envelope_t *envelope, const uint8_t *at, size_t removed,
                           relay_span_t text)
{
    return (relay_edit_t){
        .offset = (size_t)(at - envelope->body.base), .removed = removed, .text = text};
}

/* Behind the opening brace of the options. */
static relay_edit_t splice_member(const relay_envelope_t *envelope)
{
    relay_json_value_t options = envelope->stream_options;

    return splice(envelope, options.text.base + 1, 0,
                  relay_wire_says(options) ? RELAY_SPAN("\"include_usage\":true,")
                                           : RELAY_SPAN("\"include_usage\":true"));
}

/* The smallest change that makes include_usage true; false if there is none. */
static bool edit_options(const relay_envelope_t *envelope, relay_edit_t *edit)
{
    relay_json_value_t options = envelope->stream_options, value = include_usage(options);
    relay_span_t model = envelope->model.text;

    switch (options.type) {
    case RELAY_JSON_ABSENT:
        *edit = splice(envelope, model.base + model.len, 0,
                       RELAY_SPAN(",\"stream_options\":{\"include_usage\":true}"));
        return true;
    case RELAY_JSON_NULL:
        *edit = splice(envelope, options.text.base, options.text.len,
                       RELAY_SPAN("{\"include_usage\":true}"));
        return true;
    case RELAY_JSON_OBJECT:
        break;
    default:
        return false;
    }
    switch (value.type) {
    case RELAY_JSON_ABSENT:
        *edit = splice_member(envelope);
        return true;
    case RELAY_JSON_NULL:
    case RELAY_JSON_FALSE:
        *edit = splice(envelope, value.text.base, value.text.len, RELAY_SPAN("true"));
        return true;
    default:
        return false;
    }
}

static size_t edits(const relay_envelope_t *envelope, const relay_edit_options_t *options,
                    relay_edit_t edits[RELAY_EDITS_MAX], relay_buf_t *scratch)
{
    size_t count = relay_wire_edit_model(envelope, options->model, &edits[0], scratch) ? 1 : 0;

    if (!envelope->streaming || !options->ask_usage || !edit_options(envelope, &edits[count])) {
        return count;
    }
    if (count == 1 && edits[1].offset < edits[0].offset) {
        relay_edit_t model = edits[0];
        edits[0] = edits[1];
        edits[1] = model;
    }
    return count + 1;
}

/* ---- chunks -------------------------------------------------------------- */

enum {
    ID,
    OBJECT,
    CREATED,
    MODEL,
    CHOICES,
    USAGE,
    GROQ,
    ERROR,
    MESSAGE,
    TYPE,
    CODE,
    DETAIL,
    DATA_KEYS
};

static const relay_span_t data_keys[DATA_KEYS] = {
    RELAY_SPAN_INIT("id"),     RELAY_SPAN_INIT("object"),  RELAY_SPAN_INIT("created"),
    RELAY_SPAN_INIT("model"),  RELAY_SPAN_INIT("choices"), RELAY_SPAN_INIT("usage"),
    RELAY_SPAN_INIT("x_groq"), RELAY_SPAN_INIT("error"),   RELAY_SPAN_INIT("message"),
    RELAY_SPAN_INIT("type"),   RELAY_SPAN_INIT("code"),    RELAY_SPAN_INIT("detail"),
};

/* The interface's own limit of n, and the width of the masks in relay_stream_t. */
enum { CHOICES_MAX = 128 };

/* What one chunk's choices hold. */
typedef struct {
    bool any;
    bool content;
    bool tool;
    bool finish;
    bool failed;
    relay_json_value_t reason; /* the last finish reason */
    relay_json_value_t error;  /* of a choice */
} choices_t;

static bool mentions_error(const relay_json_value_t *data, bool named)
{
    return named || relay_wire_is(data[OBJECT], RELAY_SPAN("error")) ||
           relay_wire_is(data[TYPE], RELAY_SPAN("error")) ||
           (data[ID].type == RELAY_JSON_ABSENT && data[CHOICES].type == RELAY_JSON_ABSENT &&
            data[USAGE].type == RELAY_JSON_ABSENT &&
            (relay_wire_says(data[MESSAGE]) || relay_wire_says(data[DETAIL])));
}

static bool read_error(const relay_json_value_t *data, bool named, relay_wire_error_t *error)
{
    relay_wire_error_members_t members = {.error = data[ERROR],
                                          .message = data[MESSAGE],
                                          .type = data[TYPE],
                                          .code = data[CODE],
                                          .detail = data[DETAIL],
                                          .flat = mentions_error(data, named)};

    return relay_wire_error_read(&members, error);
}

/* A delta, or the message of servers that send that instead. */
static void read_delta(relay_json_value_t delta, choices_t *found)
{
    enum { TOOL_CALLS, FUNCTION_CALL, KEYS = 11 };
    static const relay_span_t keys[KEYS] = {
        RELAY_SPAN_INIT("tool_calls"),
        RELAY_SPAN_INIT("function_call"),
        RELAY_SPAN_INIT("content"),
        RELAY_SPAN_INIT("refusal"),
        RELAY_SPAN_INIT("reasoning_content"),
        RELAY_SPAN_INIT("reasoning"),
        RELAY_SPAN_INIT("reasoning_details"),
        RELAY_SPAN_INIT("audio"),
        RELAY_SPAN_INIT("images"),
        RELAY_SPAN_INIT("annotations"),
        RELAY_SPAN_INIT("citations"),
    };
    relay_json_value_t values[KEYS];

    if (delta.type != RELAY_JSON_OBJECT) {
        return;
    }
    relay_json_members(delta.text, keys, KEYS, values);
    for (size_t i = 0; i < KEYS; i++) {
        found->content = found->content || relay_wire_says(values[i]);
    }
    found->tool = found->tool || relay_wire_says(values[TOOL_CALLS]) ||
                  relay_wire_says(values[FUNCTION_CALL]);
}

/* With n > 1 the choices end one by one. */
static void note_choice(relay_stream_t *stream, relay_json_value_t index_value, bool finished)
{
    uint64_t index = 0, bit;

    relay_json_uint(index_value, &index);
    if (index < CHOICES_MAX) {
        bit = UINT64_C(1) << (index & 63);
        stream->choices_seen[index >> 6] |= bit;
        stream->choices_done[index >> 6] |= finished ? bit : 0;
    }
}

/* The end of a choice: true if it has one. */
static bool note_end(choices_t *found, relay_json_value_t reason, relay_json_value_t error)
{
    if (relay_wire_says(error)) {
        found->error = error;
    }
    if (relay_wire_inner(reason).len == 0) {
        return false;
    }
    found->finish = true;
    found->failed = found->failed || relay_wire_is(reason, RELAY_SPAN("error"));
    found->reason = reason;
    return true;
}

static choices_t read_choices(relay_stream_t *stream, relay_json_value_t choices)
{
    enum { INDEX, DELTA, WHOLE, FINISH, FAULT, KEYS };
    static const relay_span_t keys[KEYS] = {
        RELAY_SPAN_INIT("index"), RELAY_SPAN_INIT("delta"), RELAY_SPAN_INIT("message"),
        RELAY_SPAN_INIT("finish_reason"), RELAY_SPAN_INIT("error")};
    choices_t found = {0};
    relay_json_value_t values[KEYS];
    relay_json_type_t type;
    size_t cursor = 0;

    while ((type = relay_json_element_members(choices.text, &cursor, keys, KEYS, values)) !=
           RELAY_JSON_ABSENT) {
        if (type != RELAY_JSON_OBJECT) {
            continue;
        }
        found.any = true;
        read_delta(values[DELTA], &found);
        read_delta(values[WHOLE], &found);
        note_choice(stream, values[INDEX], note_end(&found, values[FINISH], values[FAULT]));
    }
    return found;
}

/* True if the chunk reports usage, wherever. */
static bool read_usage(const relay_json_value_t *data, relay_usage_t *usage)
{
    static const relay_span_t key = RELAY_SPAN_INIT("usage");
    relay_json_value_t nested = {RELAY_JSON_ABSENT, {NULL, 0}};

    if (data[GROQ].type == RELAY_JSON_OBJECT) {
        relay_json_members(data[GROQ].text, &key, 1, &nested);
    }
    relay_openai_usage(nested, usage);
    relay_openai_usage(data[USAGE], usage);
    return data[USAGE].type == RELAY_JSON_OBJECT;
}

static void remember(relay_stream_t *stream, const relay_json_value_t *data, const choices_t *found)
{
    uint64_t created;

    relay_wire_copy_once(data[ID], stream->id, sizeof(stream->id));
    relay_wire_copy_once(data[MODEL], stream->model, sizeof(stream->model));
    if (stream->created == 0 && relay_json_uint(data[CREATED], &created)) {
        stream->created = created;
    }
    stream->begun = stream->begun || data[CHOICES].type != RELAY_JSON_ABSENT ||
                    data[USAGE].type == RELAY_JSON_OBJECT;
    stream->content_seen = stream->content_seen || found->content;
    stream->tool_seen = stream->tool_seen || found->tool;
    relay_wire_copy(found->reason, stream->finish, sizeof(stream->finish));
    stream->finish_seen = stream->finish[0] != '\0' &&
                          (stream->choices_seen[0] & ~stream->choices_done[0]) == 0 &&
                          (stream->choices_seen[1] & ~stream->choices_done[1]) == 0;
}

/*
 * A chunk that has usage but no choices is the answer to include_usage: the
 * client sees it once, if it asked. Once there is content it counts as content,
 * so that it neither commits an answer nor looks like a heart-beat after one.
 */
static relay_verdict_t chunk_verdict(relay_stream_t *stream, const relay_json_value_t *data,
                                     const choices_t *found, bool usage)
{
    relay_verdict_t verdict = {.class = RELAY_EVENT_IDLE};
    bool under_way = stream->content_seen || stream->finish[0] != '\0';

    if (usage && !found->any) {
        verdict.hide = stream->hide_usage || stream->usage_sent;
        stream->usage_sent = stream->usage_sent || !verdict.hide;
    }
    if (found->content || found->finish || (usage && under_way)) {
        verdict.class = RELAY_EVENT_CONTENT;
    } else if (data[CHOICES].type != RELAY_JSON_ABSENT || usage) {
        verdict.class = RELAY_EVENT_PRELUDE;
    }
    return verdict;
}

static relay_verdict_t chunk(relay_stream_t *stream, const relay_json_value_t *data, bool named)
{
    choices_t found = read_choices(stream, data[CHOICES]);
    bool usage = read_usage(data, &stream->usage);
    relay_wire_error_t error = {.status = 502};
    relay_wire_error_members_t of_choice = {.error = found.error};

    remember(stream, data, &found);
    if (read_error(data, named, &error) || relay_wire_error_read(&of_choice, &error)) {
        return relay_wire_failed(stream, error.status);
    }
    if (found.failed) {
        return relay_wire_failed(stream, 502);
    }
    return chunk_verdict(stream, data, &found, usage);
}

/* ---- the end ------------------------------------------------------------- */

/* What every chunk of one answer repeats. */
typedef struct {
    relay_span_t id;
    uint64_t created;
    relay_span_t model;
} head_t;

static void put_head(relay_buf_t *out, const head_t *head, relay_span_t object)
{
    RELAY_PUT(out, "{\"id\":");
    relay_buf_put_json(out, head->id);
    RELAY_PUT(out, ",\"object\":");
    relay_buf_put_json(out, object);
    RELAY_PUT(out, ",\"created\":");
    relay_buf_put_u64(out, head->created);
    RELAY_PUT(out, ",\"model\":");
    relay_buf_put_json(out, head->model);
}

static void put_chunk_head(relay_buf_t *out, const head_t *head)
{
    RELAY_PUT(out, "data: ");
    put_head(out, head, RELAY_SPAN("chat.completion.chunk"));
}

/* True for the choices that have begun and lack a finish reason. */
static bool choice_open(const relay_stream_t *stream, size_t index)
{
    uint64_t open = stream->choices_seen[index >> 6] & ~stream->choices_done[index >> 6];

    return (open >> (index & 63) & 1) != 0;
}

static void put_choice_finish(relay_buf_t *out, size_t index, relay_span_t reason)
{
    RELAY_PUT(out, "{\"index\":");
    relay_buf_put_u64(out, index);
    RELAY_PUT(out, ",\"delta\":{},\"logprobs\":null,\"finish_reason\":\"");
    relay_buf_put(out, reason);
    RELAY_PUT(out, "\"}");
}

/* The finish chunk that the provider forgot, for every choice that lacks one. */
static void put_finish(relay_stream_t *stream, relay_buf_t *out)
{
    relay_span_t reason = stream->tool_seen ? RELAY_SPAN("tool_calls") : RELAY_SPAN("stop");
    head_t head = {relay_wire_cstring(stream->id), stream->created,
                   relay_wire_cstring(stream->model)};
    bool any = false;

    put_chunk_head(out, &head);
    RELAY_PUT(out, ",\"choices\":[");
    for (size_t index = 0; index < CHOICES_MAX; index++) {
        if (choice_open(stream, index)) {
            relay_buf_put(out, any ? RELAY_SPAN(",") : RELAY_SPAN(""));
            put_choice_finish(out, index, reason);
            any = true;
        }
    }
    if (!any) {
        put_choice_finish(out, 0, reason);
    }
    RELAY_PUT(out, "]}\n\n");
    memcpy(stream->finish, reason.base, reason.len);
    stream->finish[reason.len] = '\0';
}

static bool lacks_finish(const relay_stream_t *stream)
{
    for (size_t index = 0; index < CHOICES_MAX; index++) {
        if (choice_open(stream, index)) {
            return true;
        }
    }
    return stream->finish[0] == '\0';
}

static relay_verdict_t done(relay_stream_t *stream, relay_buf_t *before)
{
    if (!stream->begun) {
        return relay_wire_failed(stream, 502); /* the end of an answer that never began */
    }
    if (lacks_finish(stream)) {
        put_finish(stream, before);
    }
    stream->finish_seen = true;
    stream->end_seen = true;
    return (relay_verdict_t){.class = RELAY_EVENT_END};
}

static relay_verdict_t event(relay_stream_t *stream, const relay_sse_item_t *item,
                             relay_buf_t *before)
{
    relay_json_value_t data[DATA_KEYS];

    if (stream->end_seen || stream->error_seen) {
        return (relay_verdict_t){.class = RELAY_EVENT_IDLE, .hide = true};
    }
    if (!item->has_data) {
        return (relay_verdict_t){.class = RELAY_EVENT_IDLE};
    }
    if (relay_wire_done_marker(item->data)) {
        return done(stream, before);
    }
    if (!relay_wire_read(item->data, data_keys, DATA_KEYS, data)) {
        return relay_wire_unreadable(stream, item);
    }
    return chunk(stream, data, relay_span_eq(item->name, RELAY_SPAN("error")));
}

static bool close_stream(relay_stream_t *stream, relay_buf_t *out)
{
    if (stream->end_seen) {
        return true;
    }
    if (!stream->finish_seen || stream->error_seen) {
        return false;
    }
    RELAY_PUT(out, "data: [DONE]\n\n");
    stream->end_seen = true;
    return true;
}

static void error_event(relay_stream_t *stream, relay_buf_t *out, const relay_error_t *error,
                        relay_span_t request_id)
{
    (void)request_id;
    RELAY_PUT(out, "data: {\"error\":");
    relay_openai_put_error(out, error);
    RELAY_PUT(out, "}\n\n");
    stream->error_seen = true;
}

/* ---- whole answers ------------------------------------------------------- */

/* Of a whole answer only the ends of its choices matter. */
static choices_t read_ends(relay_json_value_t choices)
{
    enum { FINISH, FAULT, KEYS };
    static const relay_span_t keys[KEYS] = {RELAY_SPAN_INIT("finish_reason"),
                                            RELAY_SPAN_INIT("error")};
    choices_t found = {0};
    relay_json_value_t values[KEYS];
    size_t cursor = 0;

    while (relay_json_element_members(choices.text, &cursor, keys, KEYS, values) !=
           RELAY_JSON_ABSENT) {
        note_end(&found, values[FINISH], values[FAULT]);
    }
    return found;
}

static void answer(relay_span_t body, relay_answer_t *answer)
{
    relay_json_value_t data[DATA_KEYS];
    relay_wire_error_members_t of_choice = {0};
    relay_wire_error_t error;
    choices_t found;

    memset(answer, 0, sizeof(*answer));
    if (!relay_wire_glance(body, data_keys, DATA_KEYS, data)) {
        return;
    }
    found = read_ends(data[CHOICES]);
    read_usage(data, &answer->usage);
    relay_wire_copy(found.reason, answer->finish, sizeof(answer->finish));
    of_choice.error = found.error;
    if (read_error(data, false, &error) || relay_wire_error_read(&of_choice, &error)) {
        relay_wire_answer_error(answer, &error);
    }
    answer->is_error = answer->is_error || found.failed;
}

/* ---- echo ---------------------------------------------------------------- */

static void put_usage(relay_buf_t *out, const relay_usage_t *usage)
{
    RELAY_PUT(out, "{\"prompt_tokens\":");
    relay_buf_put_u64(out, usage->input_tokens);
    RELAY_PUT(out, ",\"completion_tokens\":");
    relay_buf_put_u64(out, usage->output_tokens);
    RELAY_PUT(out, ",\"total_tokens\":");
    relay_buf_put_u64(out, usage->input_tokens + usage->output_tokens);
    RELAY_PUT(out, ",\"prompt_tokens_details\":{\"cached_tokens\":0},"
                   "\"completion_tokens_details\":{\"reasoning_tokens\":0}}");
}

static relay_span_t finish_reason(const relay_echo_text_t *text)
{
    return text->cut ? RELAY_SPAN("length") : RELAY_SPAN("stop");
}

static void echo_choice(relay_buf_t *out, size_t index, relay_echo_text_t *text)
{
    RELAY_PUT(out, "{\"index\":");
    relay_buf_put_u64(out, index);
    RELAY_PUT(out, ",\"message\":{\"role\":\"assistant\",\"content\":");
    relay_echo_put(text, out);
    RELAY_PUT(out, ",\"refusal\":null,\"annotations\":[]},\"logprobs\":null,"
                   "\"finish_reason\":\"");
    relay_buf_put(out, finish_reason(text));
    RELAY_PUT(out, "\"}");
}

static void echo_whole(relay_buf_t *out, const head_t *head, relay_echo_text_t *text,
                       size_t choices, const relay_usage_t *usage)
{
    put_head(out, head, RELAY_SPAN("chat.completion"));
    RELAY_PUT(out, ",\"choices\":[");
    for (size_t i = 0; i < choices; i++) {
        if (i != 0) {
            RELAY_PUT(out, ",");
        }
        echo_choice(out, i, text);
    }
    RELAY_PUT(out, "],\"usage\":");
    put_usage(out, usage);
    RELAY_PUT(out, "}");
}

/* The delta in three parts: JSON text, content, JSON text. */
static void echo_chunk(relay_buf_t *out, const head_t *head, size_t index,
                       const relay_span_t delta[3], relay_span_t reason, bool with_usage)
{
    put_chunk_head(out, head);
    RELAY_PUT(out, ",\"choices\":[{\"index\":");
    relay_buf_put_u64(out, index);
    RELAY_PUT(out, ",\"delta\":");
    for (size_t i = 0; i < 3; i++) {
        relay_buf_put(out, delta[i]);
    }
    RELAY_PUT(out, ",\"logprobs\":null,\"finish_reason\":");
    relay_wire_put_json_or_null(out, reason);
    RELAY_PUT(out, "}]");
    if (with_usage) {
        RELAY_PUT(out, ",\"usage\":null");
    }
    RELAY_PUT(out, "}\n\n");
}

/* One such chunk for every choice: they speak in turn. */
static void echo_chunks(relay_buf_t *out, const head_t *head, size_t choices,
                        const relay_span_t delta[3], relay_span_t reason, bool with_usage)
{
    for (size_t i = 0; i < choices; i++) {
        echo_chunk(out, head, i, delta, reason, with_usage);
    }
}

static void echo_usage_chunk(relay_buf_t *out, const head_t *head, const relay_usage_t *usage)
{
    put_chunk_head(out, head);
    RELAY_PUT(out, ",\"choices\":[],\"usage\":");
    put_usage(out, usage);
    RELAY_PUT(out, "}\n\n");
}

static void echo_stream(relay_buf_t *out, const head_t *head, relay_echo_text_t *text,
                        size_t choices, const relay_usage_t *usage, bool with_usage)
{
    relay_span_t first[3] = {
        RELAY_SPAN("{\"role\":\"assistant\",\"content\":\"\",\"refusal\":null}")};
    relay_span_t piece[3] = {RELAY_SPAN("{\"content\":\""), {NULL, 0}, RELAY_SPAN("\"}")};
    relay_span_t last[3] = {RELAY_SPAN("{}")};

    echo_chunks(out, head, choices, first, relay_span(NULL, 0), with_usage);
    while (relay_echo_next(text, &piece[1])) {
        echo_chunks(out, head, choices, piece, relay_span(NULL, 0), with_usage);
    }
    echo_chunks(out, head, choices, last, finish_reason(text), with_usage);
    if (with_usage) {
        echo_usage_chunk(out, head, usage);
    }
    RELAY_PUT(out, "data: [DONE]\n\n");
}

static void echo(relay_buf_t *out, const relay_echo_t *echo, relay_usage_t *usage)
{
    uint8_t id[RELAY_ECHO_ID_MAX];
    head_t head = {relay_echo_id(RELAY_SPAN("chatcmpl-"), echo, id), echo->created_s, echo->model};
    relay_echo_text_t text;
    size_t choices =
        relay_echo_open_choices(&text, echo->body, RELAY_SPAN("messages"), RELAY_SPAN("n"), usage);

    if (echo->streaming) {
        echo_stream(out, &head, &text, choices, usage, echo->include_usage);
    } else {
        echo_whole(out, &head, &text, choices, usage);
    }
}

const relay_wire_t relay_wire_openai_chat = {
    .name = RELAY_SPAN_INIT("openai-chat"),
    .index = RELAY_WIRE_OPENAI_CHAT,
    .dialect = &relay_dialect_openai,
    .path = RELAY_SPAN_INIT("/chat/completions"),
    .streams = true,
    .keep_alive = RELAY_SPAN_INIT(": ping\n"),
    .edits = edits,
    .wants_usage = wants_usage,
    .event = event,
    .close = close_stream,
    .error_event = error_event,
    .answer = answer,
    .echo = echo,
};
