/*
 * Gemini generateContent, whole and as a stream of server-sent events (alt=sse).
 * Reached through the registry only.
 */

#include "wire_echo.h"
#include "wire_gemini.h"
#include "wire_support.h"

/* ---- requests ------------------------------------------------------------ */

/* The model is in the path: see relay_variant_put_path. */
static size_t edits(const relay_envelope_t *envelope, const relay_edit_options_t *options,
                    relay_edit_t edits[RELAY_EDITS_MAX], relay_buf_t *scratch)
{
    (void)envelope;
    (void)options;
    (void)edits;
    (void)scratch;
    return 0;
}

/* ---- what chunks and whole answers share --------------------------------- */

enum { CANDIDATES, FEEDBACK, USAGE, MODEL, ID, ERROR, DATA_KEYS };

static const relay_span_t data_keys[DATA_KEYS] = {
    RELAY_SPAN_INIT("candidates"),    RELAY_SPAN_INIT("promptFeedback"),
    RELAY_SPAN_INIT("usageMetadata"), RELAY_SPAN_INIT("modelVersion"),
    RELAY_SPAN_INIT("responseId"),    RELAY_SPAN_INIT("error"),
};

/* The width of the masks in relay_stream_t. */
enum { CANDIDATES_MAX = 128 };

static relay_json_value_t member(relay_json_value_t object, relay_span_t key)
{
    relay_json_value_t value = {RELAY_JSON_ABSENT, {NULL, 0}};

    if (object.type == RELAY_JSON_OBJECT) {
        relay_json_members(object.text, &key, 1, &value);
    }
    return value;
}

/* "47s", "1.5s": whole seconds, upwards; 0 if it says none. */
static unsigned delay_s(relay_json_value_t value)
{
    relay_span_t text = relay_wire_inner(value);
    unsigned seconds = 0;
    size_t i = 0;

    for (; i < text.len && text.base[i] >= '0' && text.base[i] <= '9' && seconds < 100000; i++) {
        seconds = seconds * 10 + (unsigned)(text.base[i] - '0');
    }
    return i < text.len && text.base[i] == '.' ? seconds + 1 : seconds;
}

unsigned relay_gemini_retry_after_s(relay_json_value_t details)
{
    static const relay_span_t key = RELAY_SPAN_INIT("retryDelay");
    relay_json_value_t value;
    size_t cursor = 0;

    while (details.type == RELAY_JSON_ARRAY &&
           relay_json_element_members(details.text, &cursor, &key, 1, &value) !=
               RELAY_JSON_ABSENT) {
        if (delay_s(value) != 0) {
            return delay_s(value);
        }
    }
    return 0;
}

/* A refused key comes as a bad request, and only a detail tells. */
static bool key_refused(relay_json_value_t details, relay_json_value_t *reason)
{
    relay_json_value_t detail;
    size_t cursor = 0;

    while (details.type == RELAY_JSON_ARRAY && relay_json_element(details.text, &cursor, &detail)) {
        *reason = member(detail, RELAY_SPAN("reason"));
        if (relay_wire_is(*reason, RELAY_SPAN("API_KEY_INVALID"))) {
            return true;
        }
    }
    return false;
}

/* The word for the kind of error is what others call its type. */
static bool read_error(relay_json_value_t object, relay_wire_error_t *error)
{
    enum { MESSAGE, WORD, CODE, DETAILS, KEYS };
    static const relay_span_t keys[KEYS] = {RELAY_SPAN_INIT("message"), RELAY_SPAN_INIT("status"),
                                            RELAY_SPAN_INIT("code"), RELAY_SPAN_INIT("details")};
    relay_json_value_t values[KEYS], reason;
    relay_wire_error_members_t members = {.error = object};

    if (object.type == RELAY_JSON_OBJECT) {
        relay_json_members(object.text, keys, KEYS, values);
        members = (relay_wire_error_members_t){
            .message = values[MESSAGE], .type = values[WORD], .code = values[CODE], .flat = true};
    }
    if (!relay_wire_error_read(&members, error)) {
        return false;
    }
    if (object.type == RELAY_JSON_OBJECT && key_refused(values[DETAILS], &reason)) {
        error->type = reason;
        error->status = 401;
    }
    return true;
}

/* ---- chunks -------------------------------------------------------------- */

/* What one chunk's candidates hold. */
typedef struct {
    bool any;
    bool content;
    bool tool;
    bool finish;
    relay_json_value_t reason; /* the last one */
} candidates_t;

/* Chunks without news have a part of empty text. */
static void read_part(relay_json_value_t part, candidates_t *found)
{
    enum { TEXT, CALL, SIGNATURE, KEYS };
    static const relay_span_t keys[KEYS] = {RELAY_SPAN_INIT("text"),
                                            RELAY_SPAN_INIT("functionCall"),
                                            RELAY_SPAN_INIT("thoughtSignature")};
    relay_json_value_t values[KEYS];

    if (part.type != RELAY_JSON_OBJECT) {
        return;
    }
    relay_json_members(part.text, keys, KEYS, values);
    found->tool = found->tool || values[CALL].type == RELAY_JSON_OBJECT;
    found->content = found->content || relay_wire_says(values[TEXT]) ||
                     relay_wire_says(values[SIGNATURE]) ||
                     (values[TEXT].type == RELAY_JSON_ABSENT && relay_wire_says(part));
}

static void read_content(relay_json_value_t content, candidates_t *found)
{
    relay_json_value_t parts = member(content, RELAY_SPAN("parts")), part;
    size_t cursor = 0;

    while (parts.type == RELAY_JSON_ARRAY && relay_json_element(parts.text, &cursor, &part)) {
        read_part(part, found);
    }
}

static void note_candidate(relay_stream_t *stream, relay_json_value_t index_value, bool finished)
{
    uint64_t index = 0, bit;

    relay_json_uint(index_value, &index);
    if (index < CANDIDATES_MAX) {
        bit = UINT64_C(1) << (index & 63);
        stream->choices_seen[index >> 6] |= bit;
        stream->choices_done[index >> 6] |= finished ? bit : 0;
    }
}

static candidates_t read_candidates(relay_stream_t *stream, relay_json_value_t candidates)
{
    enum { INDEX, CONTENT, FINISH, KEYS };
    static const relay_span_t keys[KEYS] = {RELAY_SPAN_INIT("index"), RELAY_SPAN_INIT("content"),
                                            RELAY_SPAN_INIT("finishReason")};
    candidates_t found = {0};
    relay_json_value_t values[KEYS];
    relay_json_type_t type;
    size_t cursor = 0;

    while (candidates.type == RELAY_JSON_ARRAY &&
           (type = relay_json_element_members(candidates.text, &cursor, keys, KEYS, values)) !=
               RELAY_JSON_ABSENT) {
        bool finished = relay_wire_inner(values[FINISH]).len != 0;
        if (type != RELAY_JSON_OBJECT) {
            continue;
        }
        found.any = true;
        read_content(values[CONTENT], &found);
        note_candidate(stream, values[INDEX], finished);
        if (finished) {
            found.finish = true;
            found.reason = values[FINISH];
        }
    }
    return found;
}

/* A blocked prompt has no candidates: the block is the whole answer. */
static relay_json_value_t block_reason(const relay_json_value_t *data)
{
    return member(data[FEEDBACK], RELAY_SPAN("blockReason"));
}

static void remember(relay_stream_t *stream, const relay_json_value_t *data,
                     const candidates_t *found)
{
    relay_wire_copy_once(data[ID], stream->id, sizeof(stream->id));
    relay_wire_copy_once(data[MODEL], stream->model, sizeof(stream->model));
    relay_gemini_usage(data[USAGE], &stream->usage);
    stream->begun = stream->begun || found->any;
    stream->content_seen = stream->content_seen || found->content;
    stream->tool_seen = stream->tool_seen || found->tool;
    relay_wire_copy(found->reason, stream->finish, sizeof(stream->finish));
    stream->finish_seen = stream->finish[0] != '\0' &&
                          (stream->choices_seen[0] & ~stream->choices_done[0]) == 0 &&
                          (stream->choices_seen[1] & ~stream->choices_done[1]) == 0;
}

static relay_verdict_t chunk(relay_stream_t *stream, const relay_json_value_t *data)
{
    candidates_t found = read_candidates(stream, data[CANDIDATES]);
    bool under_way = stream->content_seen || stream->finish[0] != '\0';
    bool usage = data[USAGE].type == RELAY_JSON_OBJECT;
    relay_wire_error_t error;

    if (!found.any && relay_wire_inner(block_reason(data)).len != 0) {
        found.any = found.finish = true;
        found.reason = block_reason(data);
    }
    remember(stream, data, &found);
    if (read_error(data[ERROR], &error)) {
        return relay_wire_failed(stream, error.status);
    }
    if (found.content || found.finish || (under_way && (found.any || usage))) {
        return (relay_verdict_t){.class = RELAY_EVENT_CONTENT};
    }
    return (relay_verdict_t){.class = found.any || usage || data[FEEDBACK].type == RELAY_JSON_OBJECT
                                          ? RELAY_EVENT_PRELUDE
                                          : RELAY_EVENT_IDLE};
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
    return chunk(stream, data);
}

/* There is no terminal event: the end of the connection is one, if every
 * candidate has its reason. */
static bool close_stream(relay_stream_t *stream, relay_buf_t *out)
{
    (void)out;
    stream->end_seen = stream->end_seen || (stream->finish_seen && !stream->error_seen);
    return stream->end_seen;
}

static void error_event(relay_stream_t *stream, relay_buf_t *out, const relay_error_t *error,
                        relay_span_t request_id)
{
    (void)request_id;
    RELAY_PUT(out, "data: ");
    relay_gemini_put_error(out, error);
    RELAY_PUT(out, "\n\n");
    stream->error_seen = true;
}

/* ---- whole answers ------------------------------------------------------- */

static void answer(relay_span_t body, relay_answer_t *answer)
{
    relay_json_value_t data[DATA_KEYS], reason, candidate;
    relay_wire_error_t error;
    size_t cursor = 0;

    memset(answer, 0, sizeof(*answer));
    if (!relay_wire_glance(body, data_keys, DATA_KEYS, data)) {
        return;
    }
    relay_gemini_usage(data[USAGE], &answer->usage);
    relay_wire_copy(block_reason(data), answer->finish, sizeof(answer->finish));
    while (data[CANDIDATES].type == RELAY_JSON_ARRAY &&
           relay_json_element(data[CANDIDATES].text, &cursor, &candidate)) {
        reason = member(candidate, RELAY_SPAN("finishReason"));
        relay_wire_copy(reason, answer->finish, sizeof(answer->finish));
    }
    if (read_error(data[ERROR], &error)) {
        relay_wire_answer_error(answer, &error);
        answer->key_refused = relay_wire_is(error.type, RELAY_SPAN("API_KEY_INVALID"));
        answer->retry_after_s =
            relay_gemini_retry_after_s(member(data[ERROR], RELAY_SPAN("details")));
    }
}

/* ---- echo ---------------------------------------------------------------- */

/* The parts of the user's last message, each a text of its own to wire_echo.h. */
typedef struct {
    relay_json_value_t parts;
    size_t cursor;
    bool open;    /* text is being read */
    bool any;     /* some text came */
    bool cut;     /* the text was longer than the maximum */
    size_t given; /* escaped bytes so far */
    relay_echo_text_t text;
} walk_t;

static void open_walk(walk_t *walk, relay_span_t body)
{
    relay_span_t key = RELAY_SPAN("contents");
    relay_json_value_t contents, content, role;
    size_t cursor = 0;

    memset(walk, 0, sizeof(*walk));
    relay_wire_read(body, &key, 1, &contents);
    while (contents.type == RELAY_JSON_ARRAY &&
           relay_json_element(contents.text, &cursor, &content)) {
        role = member(content, RELAY_SPAN("role"));
        if (role.type == RELAY_JSON_ABSENT || relay_wire_is(role, RELAY_SPAN("user"))) {
            walk->parts = member(content, RELAY_SPAN("parts"));
        }
    }
}

/* A part, or the greeting where there is no text at all. */
static bool open_part(walk_t *walk)
{
    relay_json_value_t part = {RELAY_JSON_ABSENT, RELAY_SPAN("{}")};
    relay_usage_t usage;

    while (walk->parts.type == RELAY_JSON_ARRAY &&
           relay_json_element(walk->parts.text, &walk->cursor, &part)) {
        if (relay_wire_inner(member(part, RELAY_SPAN("text"))).len != 0) {
            relay_echo_open(&walk->text, part.text, RELAY_SPAN("text"), &usage);
            return walk->any = true;
        }
    }
    if (!walk->any) {
        relay_echo_open(&walk->text, RELAY_SPAN("{}"), RELAY_SPAN("text"), &usage);
        return walk->any = true;
    }
    return false;
}

static bool next_piece(walk_t *walk, relay_span_t *piece)
{
    while (!walk->cut) {
        walk->open = walk->open || open_part(walk);
        if (!walk->open) {
            return false;
        }
        if (relay_echo_next(&walk->text, piece)) {
            walk->given += piece->len;
            walk->cut = walk->given > RELAY_ECHO_TEXT_MAX;
            return !walk->cut;
        }
        walk->open = false;
        walk->cut = walk->text.cut;
    }
    return false;
}

/* One token for four bytes, as everywhere in the echo model. */
static uint64_t estimate(size_t bytes)
{
    return bytes < 4 ? 1 : (bytes + 3) / 4;
}

static uint64_t estimate_input(relay_span_t body)
{
    enum { KEYS = 3 };
    static const relay_span_t keys[KEYS] = {RELAY_SPAN_INIT("contents"),
                                            RELAY_SPAN_INIT("systemInstruction"),
                                            RELAY_SPAN_INIT("tools")};
    relay_json_value_t values[KEYS];
    size_t bytes = 0;

    relay_wire_read(body, keys, KEYS, values);
    for (size_t i = 0; i < KEYS; i++) {
        bytes += relay_wire_says(values[i]) ? values[i].text.len : 0;
    }
    return estimate(bytes);
}

#define PUT_HEAD(out)                                                                              \
    RELAY_PUT(out, "{\"candidates\":[{\"content\":{\"role\":\"model\",\"parts\":[{\"text\":\"")

static void put_tail(relay_buf_t *out, const relay_echo_t *echo)
{
    RELAY_PUT(out, ",\"modelVersion\":");
    relay_buf_put_json(out, echo->model);
    RELAY_PUT(out, ",\"responseId\":");
    relay_buf_put_json(out, echo->id);
    RELAY_PUT(out, "}");
}

/* What stands behind the last text. */
static void put_finish(relay_buf_t *out, const relay_echo_t *echo, const walk_t *walk,
                       const relay_usage_t *usage)
{
    RELAY_PUT(out, "\"}]},\"finishReason\":\"");
    relay_buf_put(out, walk->cut ? RELAY_SPAN("MAX_TOKENS") : RELAY_SPAN("STOP"));
    RELAY_PUT(out, "\",\"index\":0}],\"usageMetadata\":{\"promptTokenCount\":");
    relay_buf_put_u64(out, usage->input_tokens);
    RELAY_PUT(out, ",\"candidatesTokenCount\":");
    relay_buf_put_u64(out, usage->output_tokens);
    RELAY_PUT(out, ",\"totalTokenCount\":");
    relay_buf_put_u64(out, usage->input_tokens + usage->output_tokens);
    RELAY_PUT(out, "}");
    put_tail(out, echo);
}

static void put_piece(relay_buf_t *out, const relay_echo_t *echo, relay_span_t piece)
{
    if (!echo->streaming) {
        relay_buf_put(out, piece);
        return;
    }
    RELAY_PUT(out, "data: ");
    PUT_HEAD(out);
    relay_buf_put(out, piece);
    RELAY_PUT(out, "\"}]},\"index\":0}]");
    put_tail(out, echo);
    RELAY_PUT(out, "\n\n");
}

static void echo(relay_buf_t *out, const relay_echo_t *echo, relay_usage_t *usage)
{
    relay_span_t piece;
    size_t bytes = 0;
    walk_t walk;

    open_walk(&walk, echo->body);
    if (!echo->streaming) {
        PUT_HEAD(out);
    }
    while (next_piece(&walk, &piece)) {
        put_piece(out, echo, piece);
        bytes += piece.len;
    }
    *usage = (relay_usage_t){.known = true,
                             .input_tokens = estimate_input(echo->body),
                             .output_tokens = estimate(bytes)};
    if (echo->streaming) {
        RELAY_PUT(out, "data: ");
        PUT_HEAD(out);
    }
    put_finish(out, echo, &walk, usage);
    if (echo->streaming) {
        RELAY_PUT(out, "\n\n");
    }
}

void relay_gemini_echo_count(relay_buf_t *out, const relay_echo_t *echo, relay_usage_t *usage)
{
    *usage = (relay_usage_t){.known = false};
    RELAY_PUT(out, "{\"totalTokens\":");
    relay_buf_put_u64(out, echo->tokens != 0 ? echo->tokens : estimate_input(echo->body));
    RELAY_PUT(out, "}");
}

const relay_wire_t relay_wire_gemini = {
    .name = RELAY_SPAN_INIT("gemini"),
    .index = RELAY_WIRE_GEMINI,
    .dialect = &relay_dialect_gemini,
    .path = RELAY_SPAN_INIT("/models/{model}:generateContent"),
    .streams = true,
    .keep_alive = RELAY_SPAN_INIT("\n"),
    .edits = edits,
    .wants_usage = relay_wire_wants_usage_always,
    .event = event,
    .close = close_stream,
    .error_event = error_event,
    .answer = answer,
    .echo = echo,
};
