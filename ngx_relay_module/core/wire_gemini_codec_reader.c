/*
 * Streams of Gemini into canonical events. Called through the codec.
 *
 * A chunk is an answer of its own with some of the parts; a call comes whole.
 *
 *   text, thought ─► BLOCK if none of the kind is open, DELTA
 *   functionCall ─► BLOCK, DELTA, STOP      finishReason ─► kept: the last one counts
 *   close ─► FINISH, END if every candidate has its reason, else ERROR
 */

#include "wire_gemini.h"
#include "wire_gemini_codec.h"
#include "wire_support.h"

enum { EXPLANATION_MAX = 1024 };

typedef struct {
    bool seen;
    bool finished;    /* has its reason */
    bool tools;       /* it called one */
    bool prose;       /* a block of text or thinking is open: */
    uint8_t kind;     /* relay_block_kind_t */
    uint32_t block;   /* its number */
    uint32_t sources; /* how many have been told */
    relay_stop_t reason;
} choice_t;

typedef struct {
    uint32_t next_block;
    uint16_t explanation_len;
    choice_t choices[RELAY_STREAM_CHOICES_MAX];
    uint8_t explanation[EXPLANATION_MAX]; /* of candidate 0 */
} state_t;

const size_t relay_gemini_reader_size = sizeof(state_t);

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

/* The number is the HTTP status; where it is none, the word tells. */
static void failed(relay_reader_t *reader, relay_json_value_t object)
{
    enum { STATUS, DETAILS, KEYS };
    static const relay_span_t keys[KEYS] = {RELAY_SPAN_INIT("status"), RELAY_SPAN_INIT("details")};
    relay_wire_error_members_t members = {.error = object}, word = {.flat = true};
    relay_failure_t failure = {.error = {.code = RELAY_ERR_UPSTREAM_ERROR, .status = 502}};
    relay_json_value_t values[KEYS] = {0};
    relay_wire_error_t error, by_word;
    uint8_t bytes[RELAY_CODEC_ERROR_MAX];

    if (object.type == RELAY_JSON_OBJECT) {
        relay_json_members(object.text, keys, KEYS, values);
    }
    if (relay_wire_error_read(&members, &error)) {
        word.code = values[STATUS];
        relay_wire_error_read(&word, &by_word);
        failure.error.status = error.status != 502 ? error.status : by_word.status;
        failure.error.message = relay_codec_error_text(error.message, bytes);
    }
    failure.error.retry_after_s = relay_gemini_retry_after_s(values[DETAILS]);
    failure.code = relay_wire_inner(values[STATUS]);
    fail(reader, &failure);
}

/* ---- blocks -------------------------------------------------------------- */

static void stop_block(relay_reader_t *reader, unsigned choice, relay_block_kind_t kind,
                       unsigned block)
{
    relay_stream_event_t event = {
        .kind = RELAY_STREAM_STOP, .choice = choice, .block_kind = kind, .block = block};

    emit(reader, &event);
}

static void close_prose(relay_reader_t *reader, unsigned index)
{
    choice_t *choice = &state_of(reader)->choices[index];

    if (choice->prose) {
        choice->prose = false;
        stop_block(reader, index, (relay_block_kind_t)choice->kind, choice->block);
    }
}

static void open_prose(relay_reader_t *reader, unsigned index, relay_block_kind_t kind,
                       relay_span_t signer)
{
    state_t *state = state_of(reader);
    choice_t *choice = &state->choices[index];
    relay_stream_event_t event = {
        .kind = RELAY_STREAM_BLOCK, .choice = index, .block_kind = kind, .signer = signer};

    if (choice->prose && choice->kind == kind) {
        return;
    }
    close_prose(reader, index);
    choice->prose = true;
    choice->kind = (uint8_t)kind;
    choice->block = state->next_block++;
    event.block = choice->block;
    emit(reader, &event);
}

static relay_stream_event_t delta(relay_reader_t *reader, unsigned index)
{
    const choice_t *choice = &state_of(reader)->choices[index];

    return (relay_stream_event_t){.kind = RELAY_STREAM_DELTA,
                                  .choice = index,
                                  .block = choice->block,
                                  .block_kind = (relay_block_kind_t)choice->kind};
}

static void put_prose(relay_reader_t *reader, unsigned choice, relay_block_kind_t kind,
                      relay_span_t text, relay_span_t signer)
{
    relay_stream_event_t event;

    if (text.len != 0) {
        open_prose(reader, choice, kind, signer);
        event = delta(reader, choice);
        event.text = text;
        emit(reader, &event);
    }
}

/* A block that comes whole, with what is in `event`. */
static void put_whole(relay_reader_t *reader, unsigned choice, relay_stream_event_t event)
{
    state_t *state = state_of(reader);

    close_prose(reader, choice);
    event.kind = RELAY_STREAM_BLOCK;
    event.choice = choice;
    event.block = state->next_block++;
    emit(reader, &event);
    stop_block(reader, choice, event.block_kind, event.block);
}

/* ---- parts --------------------------------------------------------------- */

enum { P_TEXT, P_THOUGHT, P_SIGNATURE, P_CALL, PART_KEYS };

static const relay_span_t part_keys[PART_KEYS] = {
    RELAY_SPAN_INIT("text"), RELAY_SPAN_INIT("thought"), RELAY_SPAN_INIT("thoughtSignature"),
    RELAY_SPAN_INIT("functionCall")};

static void thought(relay_reader_t *reader, unsigned choice, const relay_json_value_t *values)
{
    relay_span_t signature = relay_wire_inner(values[P_SIGNATURE]);
    relay_span_t signer = signature.len != 0 ? RELAY_GEMINI_SIGNER : relay_span(NULL, 0);
    relay_stream_event_t event;

    put_prose(reader, choice, RELAY_BLOCK_THINKING, relay_wire_inner(values[P_TEXT]), signer);
    if (signature.len != 0) {
        open_prose(reader, choice, RELAY_BLOCK_THINKING, signer);
        event = delta(reader, choice);
        event.signature = signature;
        event.signer = signer;
        emit(reader, &event);
        close_prose(reader, choice); /* nothing follows a signature */
    }
}

static void text(relay_reader_t *reader, unsigned choice, const relay_json_value_t *values)
{
    relay_span_t signature = relay_wire_inner(values[P_SIGNATURE]);

    put_prose(reader, choice, RELAY_BLOCK_TEXT, relay_wire_inner(values[P_TEXT]),
              relay_span(NULL, 0));
    if (signature.len != 0) {
        put_whole(reader, choice,
                  (relay_stream_event_t){.block_kind = RELAY_BLOCK_REDACTED,
                                         .text = signature,
                                         .signer = RELAY_GEMINI_SIGNER});
    }
}

/*
 * The id of a call with its signature in it, in what the reader keeps. A call without
 * an id gets one of its block: the writer's own would not hold the signature.
 */
static relay_span_t signed_id(relay_reader_t *reader, relay_span_t id, relay_span_t signature)
{
    uint8_t bytes[32];
    relay_buf_t made = relay_buf(bytes, sizeof(bytes)), plain, out;
    size_t size;

    if (signature.len == 0) {
        return id;
    }
    if (id.len == 0) {
        RELAY_PUT(&made, "call_");
        relay_buf_put_u64(&made, state_of(reader)->next_block);
        id = relay_buf_span(&made);
    }
    size = relay_gemini_signed_id_max(id, signature);
    reader->kept.len = 0;
    if (!relay_kept_room(&reader->kept, signature.len + size)) {
        return relay_span(NULL, 0);
    }
    plain = relay_buf(reader->kept.base, signature.len);
    relay_json_decode_content(signature, &plain);
    out = relay_buf(reader->kept.base + signature.len, size);
    if (!relay_gemini_put_signed_id(&out, id, relay_buf_span(&plain))) {
        relay_buf_put(&out, id);
    }
    return relay_buf_span(&out);
}

/* Arguments as a fragment: their quotes need escapes. */
static void put_args(relay_reader_t *reader, relay_stream_event_t *event, relay_json_value_t args)
{
    relay_arguments_t arguments = {.text = args.text};
    relay_buf_t measure = relay_buf(NULL, 0), out;

    if (args.type != RELAY_JSON_OBJECT || !relay_wire_says(args)) {
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
    event->kind = RELAY_STREAM_DELTA;
    event->text = relay_span(reader->kept.base + 1, measure.len - 2);
    emit(reader, event);
}

static void call(relay_reader_t *reader, unsigned choice, const relay_json_value_t *part)
{
    enum { ID, NAME, ARGS, KEYS };
    static const relay_span_t keys[KEYS] = {RELAY_SPAN_INIT("id"), RELAY_SPAN_INIT("name"),
                                            RELAY_SPAN_INIT("args")};
    state_t *state = state_of(reader);
    relay_json_value_t values[KEYS];
    relay_stream_event_t event = {
        .kind = RELAY_STREAM_BLOCK, .choice = choice, .block_kind = RELAY_BLOCK_TOOL_CALL};

    close_prose(reader, choice);
    relay_json_members(part[P_CALL].text, keys, KEYS, values);
    event.name = relay_wire_inner(values[NAME]);
    event.id = signed_id(reader, relay_wire_inner(values[ID]), relay_wire_inner(part[P_SIGNATURE]));
    event.block = state->next_block++;
    state->choices[choice].tools = true;
    emit(reader, &event);
    event.id = event.name = relay_span(NULL, 0);
    put_args(reader, &event, values[ARGS]);
    if (!reader->over) {
        stop_block(reader, choice, RELAY_BLOCK_TOOL_CALL, event.block);
    }
}

/* An image; false if it is none. */
static bool image(relay_reader_t *reader, unsigned choice, relay_json_value_t part)
{
    enum { TYPE, DATA, URI, KEYS };
    static const relay_span_t keys[KEYS] = {RELAY_SPAN_INIT("mimeType"), RELAY_SPAN_INIT("data"),
                                            RELAY_SPAN_INIT("fileUri")};
    static const relay_span_t holders[] = {RELAY_SPAN_INIT("inlineData"),
                                           RELAY_SPAN_INIT("fileData")};
    relay_json_value_t media[2], values[KEYS];
    relay_stream_event_t event = {.block_kind = RELAY_BLOCK_IMAGE};
    bool file;

    relay_json_members(part.text, holders, 2, media);
    file = media[0].type != RELAY_JSON_OBJECT;
    if (media[file].type != RELAY_JSON_OBJECT ||
        !relay_json_members(media[file].text, keys, KEYS, values)) {
        return false;
    }
    event.type = relay_wire_inner(values[TYPE]);
    event.text = file ? relay_span(NULL, 0) : relay_wire_inner(values[DATA]);
    event.raw = file ? relay_wire_inner(values[URI]) : relay_span(NULL, 0);
    if (relay_gemini_media_kind(event.type) != RELAY_BLOCK_IMAGE ||
        event.text.len + event.raw.len == 0) {
        return false;
    }
    put_whole(reader, choice, event);
    return true;
}

static void read_part(relay_reader_t *reader, unsigned choice, relay_json_value_t part)
{
    relay_json_value_t values[PART_KEYS];

    if (part.type != RELAY_JSON_OBJECT ||
        !relay_json_members(part.text, part_keys, PART_KEYS, values)) {
        return;
    }
    if (values[P_CALL].type == RELAY_JSON_OBJECT) {
        call(reader, choice, values);
    } else if (values[P_THOUGHT].type == RELAY_JSON_TRUE) {
        thought(reader, choice, values);
    } else if (values[P_TEXT].type == RELAY_JSON_STRING || relay_wire_says(values[P_SIGNATURE])) {
        text(reader, choice, values);
    } else if (relay_wire_says(part) && !image(reader, choice, part)) {
        put_whole(reader, choice,
                  (relay_stream_event_t){.block_kind = RELAY_BLOCK_OPAQUE,
                                         .type = RELAY_SPAN("part"),
                                         .raw = part.text});
    }
}

/* ---- sources ------------------------------------------------------------- */

static void put_source(relay_reader_t *reader, unsigned index, relay_json_value_t object)
{
    enum { URI, TITLE, KEYS };
    static const relay_span_t keys[KEYS] = {RELAY_SPAN_INIT("uri"), RELAY_SPAN_INIT("title")};
    relay_json_value_t values[KEYS];
    relay_citation_t citation = {.raw = object.text};
    relay_stream_event_t event;

    if (object.type != RELAY_JSON_OBJECT || !relay_json_members(object.text, keys, KEYS, values) ||
        !relay_wire_says(values[URI])) {
        return;
    }
    citation.url = relay_wire_inner(values[URI]);
    citation.title = relay_wire_inner(values[TITLE]);
    event = delta(reader, index);
    event.citation = &citation;
    emit(reader, &event);
}

/* The list grows from chunk to chunk. A source without a text says nothing. */
static void read_sources(relay_reader_t *reader, unsigned index, relay_json_value_t metadata)
{
    static const relay_span_t chunks = RELAY_SPAN_INIT("groundingChunks"),
                              web = RELAY_SPAN_INIT("web");
    choice_t *choice = &state_of(reader)->choices[index];
    relay_json_value_t list, source;
    uint32_t count = 0;
    size_t cursor = 0;

    if (metadata.type != RELAY_JSON_OBJECT ||
        !relay_json_members(metadata.text, &chunks, 1, &list) || list.type != RELAY_JSON_ARRAY ||
        !choice->prose || choice->kind != RELAY_BLOCK_TEXT) {
        return;
    }
    while (relay_json_element_members(list.text, &cursor, &web, 1, &source) != RELAY_JSON_ABSENT) {
        if (count++ >= choice->sources) {
            put_source(reader, index, source);
        }
    }
    choice->sources = count > choice->sources ? count : choice->sources;
}

/* ---- log probabilities --------------------------------------------------- */

/* Of the text that the chunk has brought. */
static void read_logprobs(relay_reader_t *reader, unsigned index, relay_json_value_t result)
{
    const choice_t *choice = &state_of(reader)->choices[index];
    relay_buf_t measure = relay_buf(NULL, 0), out;
    relay_stream_event_t event;

    if (!relay_gemini_put_likely(&measure, result) || !choice->prose ||
        choice->kind != RELAY_BLOCK_TEXT) {
        return;
    }
    reader->kept.len = 0;
    if (!relay_kept_room(&reader->kept, measure.len)) {
        fail_cut(reader);
        return;
    }
    out = relay_buf(reader->kept.base, measure.len);
    relay_gemini_put_likely(&out, result);
    event = delta(reader, index);
    event.logprobs = (relay_json_value_t){RELAY_JSON_ARRAY, relay_buf_span(&out)};
    emit(reader, &event);
}

/* ---- candidates ---------------------------------------------------------- */

static bool all_finished(const state_t *state)
{
    bool any = false;

    for (size_t i = 0; i < RELAY_STREAM_CHOICES_MAX; i++) {
        if (state->choices[i].seen && !state->choices[i].finished) {
            return false;
        }
        any = any || state->choices[i].seen;
    }
    return any;
}

/* A text that does not fit is left out whole: half an escape would be worse. */
static void note_finish(relay_reader_t *reader, unsigned index, relay_stop_t reason,
                        relay_span_t explanation)
{
    state_t *state = state_of(reader);

    state->choices[index].finished = true;
    state->choices[index].reason = reason;
    if (index == 0 && reason == RELAY_STOP_REFUSAL && explanation.len != 0 &&
        explanation.len <= EXPLANATION_MAX) {
        memcpy(state->explanation, explanation.base, explanation.len);
        state->explanation_len = (uint16_t)explanation.len;
    }
}

enum { C_INDEX, C_CONTENT, C_FINISH, C_MESSAGE, C_GROUNDING, C_LOGPROBS, CANDIDATE_KEYS };

static const relay_span_t candidate_keys[CANDIDATE_KEYS] = {RELAY_SPAN_INIT("index"),
                                                            RELAY_SPAN_INIT("content"),
                                                            RELAY_SPAN_INIT("finishReason"),
                                                            RELAY_SPAN_INIT("finishMessage"),
                                                            RELAY_SPAN_INIT("groundingMetadata"),
                                                            RELAY_SPAN_INIT("logprobsResult")};

static void read_content(relay_reader_t *reader, unsigned choice, relay_json_value_t content)
{
    static const relay_span_t key = RELAY_SPAN_INIT("parts");
    relay_json_value_t parts = {RELAY_JSON_ABSENT, {NULL, 0}}, part;
    size_t cursor = 0;

    if (content.type == RELAY_JSON_OBJECT) {
        relay_json_members(content.text, &key, 1, &parts);
    }
    while (parts.type == RELAY_JSON_ARRAY && !reader->over &&
           relay_json_element(parts.text, &cursor, &part)) {
        read_part(reader, choice, part);
    }
}

static void read_candidate(relay_reader_t *reader, const relay_json_value_t *values)
{
    state_t *state = state_of(reader);
    relay_span_t word = relay_wire_inner(values[C_FINISH]);
    uint64_t index = 0;

    relay_json_uint(values[C_INDEX], &index);
    if (index >= RELAY_STREAM_CHOICES_MAX) {
        return;
    }
    state->choices[index].seen = true;
    read_content(reader, (unsigned)index, values[C_CONTENT]);
    if (reader->over) {
        return;
    }
    if (values[C_LOGPROBS].type == RELAY_JSON_OBJECT) {
        read_logprobs(reader, (unsigned)index, values[C_LOGPROBS]);
    }
    read_sources(reader, (unsigned)index, values[C_GROUNDING]);
    if (word.len != 0) {
        note_finish(reader, (unsigned)index, relay_gemini_stop(word),
                    relay_wire_inner(values[C_MESSAGE]));
    }
}

/* ---- chunks -------------------------------------------------------------- */

enum { K_CANDIDATES, K_FEEDBACK, K_USAGE, K_MODEL, K_ID, K_ERROR, CHUNK_KEYS };

static const relay_span_t chunk_keys[CHUNK_KEYS] = {
    RELAY_SPAN_INIT("candidates"),    RELAY_SPAN_INIT("promptFeedback"),
    RELAY_SPAN_INIT("usageMetadata"), RELAY_SPAN_INIT("modelVersion"),
    RELAY_SPAN_INIT("responseId"),    RELAY_SPAN_INIT("error"),
};

static void start(relay_reader_t *reader, const relay_json_value_t *data)
{
    relay_stream_event_t event = {.kind = RELAY_STREAM_START,
                                  .id = relay_wire_inner(data[K_ID]),
                                  .model = relay_wire_inner(data[K_MODEL]),
                                  .usage = &reader->usage};

    if (!reader->started &&
        (relay_wire_says(data[K_CANDIDATES]) || relay_wire_says(data[K_FEEDBACK]) ||
         data[K_USAGE].type == RELAY_JSON_OBJECT)) {
        reader->started = true;
        emit(reader, &event);
    }
}

/* A prompt that was refused has no candidates. */
static void read_feedback(relay_reader_t *reader, relay_json_value_t feedback)
{
    enum { REASON, MESSAGE, KEYS };
    static const relay_span_t keys[KEYS] = {RELAY_SPAN_INIT("blockReason"),
                                            RELAY_SPAN_INIT("blockReasonMessage")};
    relay_json_value_t values[KEYS];

    if (feedback.type == RELAY_JSON_OBJECT &&
        relay_json_members(feedback.text, keys, KEYS, values) && relay_wire_says(values[REASON]) &&
        !state_of(reader)->choices[0].seen) {
        state_of(reader)->choices[0].seen = true;
        note_finish(reader, 0, RELAY_STOP_REFUSAL, relay_wire_inner(values[MESSAGE]));
    }
}

static void tell_usage(relay_reader_t *reader, relay_json_value_t usage)
{
    relay_stream_event_t event = {.kind = RELAY_STREAM_USAGE, .usage = &reader->usage};

    if (usage.type == RELAY_JSON_OBJECT) {
        emit(reader, &event);
    }
}

static void read_chunk(relay_reader_t *reader, const relay_json_value_t *data)
{
    relay_json_value_t values[CANDIDATE_KEYS];
    relay_json_type_t type;
    size_t cursor = 0;

    if (relay_wire_says(data[K_ERROR])) {
        failed(reader, data[K_ERROR]);
        return;
    }
    relay_gemini_usage(data[K_USAGE], &reader->usage);
    start(reader, data);
    while (data[K_CANDIDATES].type == RELAY_JSON_ARRAY && !reader->over &&
           (type = relay_json_element_members(data[K_CANDIDATES].text, &cursor, candidate_keys,
                                              CANDIDATE_KEYS, values)) != RELAY_JSON_ABSENT) {
        if (type == RELAY_JSON_OBJECT) {
            read_candidate(reader, values);
        }
    }
    if (!reader->over) {
        read_feedback(reader, data[K_FEEDBACK]);
        tell_usage(reader, data[K_USAGE]);
        reader->finished = all_finished(state_of(reader));
    }
}

static void finish(relay_reader_t *reader, unsigned index)
{
    state_t *state = state_of(reader);
    choice_t *choice = &state->choices[index];
    relay_stream_event_t event = {.kind = RELAY_STREAM_FINISH, .choice = index};

    close_prose(reader, index);
    event.ending.reason = choice->reason;
    if (choice->reason == RELAY_STOP_END || choice->reason == RELAY_STOP_UNSET) {
        event.ending.reason = choice->tools ? RELAY_STOP_TOOLS : RELAY_STOP_END;
    }
    if (index == 0 && choice->reason == RELAY_STOP_REFUSAL) {
        event.ending.explanation = relay_span(state->explanation, state->explanation_len);
    }
    emit(reader, &event);
}

/* The connection is closed: there is no other end. Every answer has a first candidate. */
static void closed(relay_reader_t *reader)
{
    relay_stream_event_t event = {.kind = RELAY_STREAM_END, .usage = &reader->usage};

    if (!reader->finished) {
        fail_cut(reader);
        return;
    }
    for (unsigned i = 0; i < RELAY_STREAM_CHOICES_MAX; i++) {
        if (i == 0 || state_of(reader)->choices[i].seen) {
            finish(reader, i);
        }
    }
    reader->over = true;
    emit(reader, &event);
}

void relay_gemini_read_event(relay_reader_t *reader, const relay_sse_item_t *item)
{
    relay_json_value_t data[CHUNK_KEYS];

    if (reader->over) {
        return;
    }
    if (item == NULL) {
        closed(reader);
    } else if (item->has_data && relay_wire_read(item->data, chunk_keys, CHUNK_KEYS, data)) {
        read_chunk(reader, data);
    } else if (item->terminated && relay_span_eq(item->name, RELAY_SPAN("error"))) {
        failed(reader, (relay_json_value_t){RELAY_JSON_ABSENT, {NULL, 0}});
    }
}
