/*
 * Streams of Chat Completions into canonical events. Called through the codec.
 *
 * Chunks say nothing of blocks: one begins with the first fragment of its kind.
 *
 *   no block ─► text, reasoning, refusal ─► another of them, or a tool: STOP, BLOCK
 *   tools stay open, their fragments may mix, until the choice has its finish
 */

#include "wire_openai.h"
#include "wire_openai_chat_codec.h"
#include "wire_support.h"

typedef struct {
    bool seen;
    bool finished;
    bool tools;     /* it called one */
    bool prose;     /* a block of text, reasoning or refusal is open: */
    uint8_t kind;   /* relay_block_kind_t */
    uint32_t block; /* its number */
    int16_t last;   /* index into tools of the call that spoke last; -1 */
} choice_t;

typedef struct {
    uint8_t choice;
    bool closed;
    bool free_text;
    uint32_t index; /* as the provider counts */
    uint32_t id;    /* hash of its id; 0: none yet */
    uint32_t block;
} tool_t;

typedef struct {
    uint32_t next_block;
    uint32_t tools;
    choice_t choices[RELAY_STREAM_CHOICES_MAX];
    tool_t tool[RELAY_TOOLS_OPEN_MAX];
} state_t;

const size_t relay_chat_reader_size = sizeof(state_t);

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

static void fail_as(relay_reader_t *reader, const relay_wire_error_t *error)
{
    uint8_t bytes[RELAY_CODEC_ERROR_MAX];
    relay_failure_t failure = {.error = {.code = RELAY_ERR_UPSTREAM_ERROR, .status = error->status},
                               .code = relay_wire_inner(error->code)};

    failure.error.message = relay_codec_error_text(error->message, bytes);
    fail(reader, &failure);
}

static void end(relay_reader_t *reader)
{
    relay_stream_event_t event = {.kind = RELAY_STREAM_END, .usage = &reader->usage};

    reader->over = true;
    emit(reader, &event);
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

static void begin_prose(relay_reader_t *reader, unsigned index, relay_block_kind_t kind,
                        relay_span_t signer)
{
    state_t *state = state_of(reader);
    choice_t *choice = &state->choices[index];
    relay_stream_event_t event = {
        .kind = RELAY_STREAM_BLOCK, .choice = index, .block_kind = kind, .signer = signer};

    close_prose(reader, index);
    choice->prose = true;
    choice->kind = (uint8_t)kind;
    choice->block = state->next_block++;
    event.block = choice->block;
    emit(reader, &event);
}

/* Apart from begin_prose: an event is not for nothing, and most find theirs open. */
static void open_prose(relay_reader_t *reader, unsigned index, relay_block_kind_t kind,
                       relay_span_t signer)
{
    const choice_t *choice = &state_of(reader)->choices[index];

    if (!choice->prose || choice->kind != kind) {
        begin_prose(reader, index, kind, signer);
    }
}

static relay_stream_event_t delta(const relay_reader_t *reader, unsigned choice)
{
    const choice_t *of = &((const state_t *)(const void *)reader->state)->choices[choice];

    return (relay_stream_event_t){.kind = RELAY_STREAM_DELTA,
                                  .choice = choice,
                                  .block = of->block,
                                  .block_kind = (relay_block_kind_t)of->kind};
}

/* A part of a block: its text, and how likely that was, if the provider tells. */
typedef struct {
    relay_block_kind_t kind;
    relay_span_t text;
    relay_span_t signer;
    relay_json_value_t logprobs;
} prose_t;

static void put_part(relay_reader_t *reader, unsigned choice, const prose_t *part)
{
    bool likely = part->logprobs.type == RELAY_JSON_ARRAY && relay_wire_says(part->logprobs);
    relay_stream_event_t event;

    if (part->text.len == 0 && !likely) {
        return;
    }
    open_prose(reader, choice, part->kind, part->signer);
    event = delta(reader, choice);
    event.text = part->text;
    if (likely) {
        event.logprobs = part->logprobs;
    }
    emit(reader, &event);
}

static void put_prose(relay_reader_t *reader, unsigned choice, relay_block_kind_t kind,
                      relay_span_t text, relay_span_t signer)
{
    put_part(reader, choice, &(prose_t){.kind = kind, .text = text, .signer = signer});
}

/* ---- reasoning ----------------------------------------------------------- */

/* A block that comes whole, with what is in `event`. */
static void put_whole(relay_reader_t *reader, unsigned index, relay_stream_event_t event)
{
    close_prose(reader, index);
    event.kind = RELAY_STREAM_BLOCK;
    event.choice = index;
    event.block = state_of(reader)->next_block++;
    emit(reader, &event);
    stop_block(reader, index, event.block_kind, event.block);
}

static void redacted(relay_reader_t *reader, unsigned index, relay_span_t data, relay_span_t signer)
{
    put_whole(
        reader, index,
        (relay_stream_event_t){.block_kind = RELAY_BLOCK_REDACTED, .text = data, .signer = signer});
}

/* One entry of reasoning_details; its text counts only if no plain field has it. */
static void detail(relay_reader_t *reader, unsigned choice, relay_json_value_t entry, bool plain)
{
    enum { TEXT, SUMMARY, DATA, SIGNATURE, SIGNER, KEYS };
    static const relay_span_t keys[KEYS] = {RELAY_SPAN_INIT("text"), RELAY_SPAN_INIT("summary"),
                                            RELAY_SPAN_INIT("data"), RELAY_SPAN_INIT("signature"),
                                            RELAY_SPAN_INIT("format")};
    relay_json_value_t values[KEYS];
    relay_stream_event_t event;

    if (entry.type != RELAY_JSON_OBJECT || !relay_json_members(entry.text, keys, KEYS, values)) {
        return;
    }
    if (relay_wire_says(values[DATA])) {
        redacted(reader, choice, relay_wire_inner(values[DATA]), relay_wire_inner(values[SIGNER]));
        return;
    }
    if (!plain) {
        put_prose(reader, choice, RELAY_BLOCK_THINKING, relay_wire_inner(values[TEXT]),
                  relay_wire_inner(values[SIGNER]));
        put_prose(reader, choice, RELAY_BLOCK_THINKING, relay_wire_inner(values[SUMMARY]),
                  relay_wire_inner(values[SIGNER]));
    }
    if (relay_wire_says(values[SIGNATURE])) {
        open_prose(reader, choice, RELAY_BLOCK_THINKING, relay_wire_inner(values[SIGNER]));
        event = delta(reader, choice);
        event.signature = relay_wire_inner(values[SIGNATURE]);
        event.signer = relay_wire_inner(values[SIGNER]);
        emit(reader, &event);
        close_prose(reader, choice); /* nothing follows a signature */
    }
}

/* ---- tools --------------------------------------------------------------- */

static uint32_t hash(relay_span_t text)
{
    uint32_t sum = UINT32_C(2166136261);

    for (size_t i = 0; i < text.len; i++) {
        sum = (sum ^ text.base[i]) * UINT32_C(16777619);
    }
    return text.len == 0 ? 0 : sum | 1;
}

/*
 * The call that a fragment belongs to, -1 for a new one: by index, unless its id
 * is another than the last of that index; without an index by id, else the last.
 */
static int find_tool(const state_t *state, unsigned choice, relay_json_value_t index_value,
                     uint32_t id)
{
    uint64_t index;
    bool indexed = relay_json_uint(index_value, &index);

    if (!indexed && id == 0) {
        return state->choices[choice].last;
    }
    for (int i = (int)state->tools - 1; i >= 0; i--) {
        const tool_t *tool = &state->tool[i];
        if (tool->choice != choice || (indexed && tool->index != index)) {
            continue;
        }
        if (id == 0 || tool->id == id || (indexed && tool->id == 0)) {
            return i;
        }
        if (indexed) {
            return -1;
        }
    }
    return -1;
}

typedef struct {
    relay_span_t id;
    relay_span_t name;
    relay_json_value_t arguments;
    bool free_text;
} fragment_t;

static void begin_tool(relay_reader_t *reader, unsigned choice, uint32_t index,
                       const fragment_t *fragment)
{
    state_t *state = state_of(reader);
    tool_t *tool = &state->tool[state->tools];
    relay_stream_event_t event = {.kind = RELAY_STREAM_BLOCK,
                                  .choice = choice,
                                  .block = state->next_block,
                                  .block_kind = RELAY_BLOCK_TOOL_CALL,
                                  .id = fragment->id,
                                  .name = fragment->name,
                                  .free_text = fragment->free_text};

    close_prose(reader, choice);
    *tool = (tool_t){.choice = (uint8_t)choice,
                     .index = index,
                     .id = hash(fragment->id),
                     .block = state->next_block++,
                     .free_text = fragment->free_text};
    state->choices[choice].tools = true;
    state->choices[choice].last = (int16_t)state->tools++;
    emit(reader, &event);
}

/* A whole object instead of a string: an object's text needs its quotes escaped. */
static relay_span_t quote_object(relay_reader_t *reader, relay_json_value_t object)
{
    const relay_failure_t too_long = {
        .error = {.code = RELAY_ERR_UPSTREAM_INVALID,
                  .message = RELAY_SPAN("The arguments of a tool call are too long.")}};
    relay_arguments_t arguments = {.text = object.text};
    relay_buf_t measure = relay_buf(NULL, 0), out;

    relay_codec_put_quoted(&measure, &arguments);
    reader->kept.len = 0;
    if (!relay_kept_room(&reader->kept, measure.len)) {
        fail(reader, &too_long);
        return relay_span(NULL, 0);
    }
    out = relay_buf(reader->kept.base, measure.len);
    relay_codec_put_quoted(&out, &arguments);
    return relay_span(reader->kept.base + 1, measure.len - 2);
}

static void continue_tool(relay_reader_t *reader, unsigned choice, int at,
                          const fragment_t *fragment)
{
    state_t *state = state_of(reader);
    tool_t *tool = &state->tool[at];
    relay_stream_event_t event = {.kind = RELAY_STREAM_DELTA,
                                  .choice = choice,
                                  .block = tool->block,
                                  .block_kind = RELAY_BLOCK_TOOL_CALL,
                                  .free_text = tool->free_text};

    state->choices[choice].last = (int16_t)at;
    if (tool->id == 0) {
        tool->id = hash(fragment->id);
    }
    event.text = fragment->arguments.type == RELAY_JSON_OBJECT
                     ? quote_object(reader, fragment->arguments)
                     : relay_wire_inner(fragment->arguments);
    if (event.text.len != 0 && !tool->closed) {
        emit(reader, &event);
    }
}

static void read_function(relay_json_value_t object, fragment_t *fragment)
{
    enum { ARGUMENTS, INPUT, NAME, KEYS };
    static const relay_span_t keys[KEYS] = {RELAY_SPAN_INIT("arguments"), RELAY_SPAN_INIT("input"),
                                            RELAY_SPAN_INIT("name")};
    relay_json_value_t values[KEYS];

    if (object.type == RELAY_JSON_OBJECT && relay_json_members(object.text, keys, KEYS, values)) {
        fragment->name = relay_wire_inner(values[NAME]);
        fragment->arguments = values[fragment->free_text ? INPUT : ARGUMENTS];
    }
}

/* In the order in which fragments have them. */
enum { T_INDEX, T_FUNCTION, T_ID, T_CUSTOM, TOOL_KEYS };

static const relay_span_t tool_keys[TOOL_KEYS] = {RELAY_SPAN_INIT("index"),
                                                  RELAY_SPAN_INIT("function"),
                                                  RELAY_SPAN_INIT("id"), RELAY_SPAN_INIT("custom")};

static void tool_fragment(relay_reader_t *reader, unsigned choice, const relay_json_value_t *values)
{
    state_t *state = state_of(reader);
    fragment_t fragment = {.id = relay_wire_inner(values[T_ID]),
                           .free_text = values[T_CUSTOM].type == RELAY_JSON_OBJECT};
    int at = find_tool(state, choice, values[T_INDEX], hash(fragment.id));
    uint64_t index = state->tools;

    read_function(values[fragment.free_text ? T_CUSTOM : T_FUNCTION], &fragment);
    if (at < 0) {
        if (state->tools == RELAY_TOOLS_OPEN_MAX) {
            fail_cut(reader);
            return;
        }
        relay_json_uint(values[T_INDEX], &index);
        at = (int)state->tools;
        begin_tool(reader, choice, (uint32_t)index, &fragment);
    }
    continue_tool(reader, choice, at, &fragment);
}

static void close_tools(relay_reader_t *reader, unsigned choice)
{
    state_t *state = state_of(reader);

    for (uint32_t i = 0; i < state->tools; i++) {
        tool_t *tool = &state->tool[i];
        if (tool->choice == choice && !tool->closed) {
            tool->closed = true;
            stop_block(reader, choice, RELAY_BLOCK_TOOL_CALL, tool->block);
        }
    }
}

/* ---- deltas -------------------------------------------------------------- */

enum {
    D_CONTENT,
    D_TOOL_CALLS,
    D_REFUSAL,
    D_REASONING_CONTENT,
    D_REASONING,
    D_DETAILS,
    D_FUNCTION_CALL,
    D_ANNOTATIONS,
    D_IMAGES,
    DELTA_KEYS
};

static const relay_span_t delta_keys[DELTA_KEYS] = {
    RELAY_SPAN_INIT("content"),       RELAY_SPAN_INIT("tool_calls"),
    RELAY_SPAN_INIT("refusal"),       RELAY_SPAN_INIT("reasoning_content"),
    RELAY_SPAN_INIT("reasoning"),     RELAY_SPAN_INIT("reasoning_details"),
    RELAY_SPAN_INIT("function_call"), RELAY_SPAN_INIT("annotations"),
    RELAY_SPAN_INIT("images"),
};

/* Whose reasoning it is, if the details beside the plain field tell. */
static relay_span_t signer_of(relay_json_value_t details)
{
    static const relay_span_t key = RELAY_SPAN_INIT("format");
    relay_json_value_t value = {RELAY_JSON_ABSENT, {NULL, 0}};
    size_t cursor = 0;

    if (details.type == RELAY_JSON_ARRAY) {
        relay_json_element_members(details.text, &cursor, &key, 1, &value);
    }
    return relay_wire_inner(value);
}

static void reasoning(relay_reader_t *reader, unsigned choice, const relay_json_value_t *values)
{
    relay_span_t plain = relay_wire_inner(values[D_REASONING_CONTENT]);
    relay_json_value_t entry;
    size_t cursor = 0;

    plain = plain.len != 0 ? plain : relay_wire_inner(values[D_REASONING]);
    put_prose(reader, choice, RELAY_BLOCK_THINKING, plain, signer_of(values[D_DETAILS]));
    while (values[D_DETAILS].type == RELAY_JSON_ARRAY &&
           relay_json_element(values[D_DETAILS].text, &cursor, &entry)) {
        detail(reader, choice, entry, plain.len != 0);
    }
}

/* Whether a list may have another element: most have one, with its bracket behind it. */
static bool may_have_more(relay_json_value_t list, size_t cursor)
{
    return list.type == RELAY_JSON_ARRAY && cursor + 1 < list.text.len;
}

/* Typed parts instead of a string: {"type":"text",…} and {"type":"thinking",…}. */
static void typed_content(relay_reader_t *reader, unsigned choice, relay_json_value_t list)
{
    static const relay_span_t keys[] = {RELAY_SPAN_INIT("text"), RELAY_SPAN_INIT("thinking")};
    relay_json_value_t values[2], inner[2];
    size_t cursor = 0, deeper = 0;

    while (relay_json_element_members(list.text, &cursor, keys, 2, values) != RELAY_JSON_ABSENT) {
        put_part(reader, choice, &(prose_t){.text = relay_wire_inner(values[0])});
        deeper = 0;
        while (values[1].type == RELAY_JSON_ARRAY &&
               relay_json_element_members(values[1].text, &deeper, keys, 2, inner) !=
                   RELAY_JSON_ABSENT) {
            put_part(reader, choice,
                     &(prose_t){.kind = RELAY_BLOCK_THINKING, .text = relay_wire_inner(inner[0])});
        }
    }
}

static void annotations(relay_reader_t *reader, unsigned choice, relay_json_value_t list)
{
    relay_citation_t citation;
    relay_json_value_t entry;
    size_t cursor = 0;

    while (list.type == RELAY_JSON_ARRAY && relay_json_element(list.text, &cursor, &entry)) {
        relay_stream_event_t event;
        if (relay_chat_read_annotation(entry, &citation)) {
            open_prose(reader, choice, RELAY_BLOCK_TEXT, relay_span(NULL, 0));
            event = delta(reader, choice);
            event.citation = &citation;
            emit(reader, &event);
        }
    }
}

static void images(relay_reader_t *reader, unsigned choice, relay_json_value_t list)
{
    relay_stream_event_t event;
    relay_json_value_t entry;
    size_t cursor = 0;

    while (list.type == RELAY_JSON_ARRAY && relay_json_element(list.text, &cursor, &entry)) {
        if (relay_chat_read_image(entry, &event)) {
            put_whole(reader, choice, event);
        }
    }
}

static void tool_calls(relay_reader_t *reader, unsigned choice, relay_json_value_t list)
{
    relay_json_value_t values[TOOL_KEYS];
    relay_json_type_t type;
    size_t cursor = 0;

    while (may_have_more(list, cursor) && !reader->over &&
           (type = relay_json_element_members(list.text, &cursor, tool_keys, TOOL_KEYS, values)) !=
               RELAY_JSON_ABSENT) {
        if (type == RELAY_JSON_OBJECT) {
            tool_fragment(reader, choice, values);
        }
    }
}

/* Text and refusal with the lists of logprobs beside them. */
static void content(relay_reader_t *reader, unsigned choice, const relay_json_value_t *values,
                    relay_json_value_t logprobs)
{
    static const relay_span_t keys[] = {RELAY_SPAN_INIT("content"), RELAY_SPAN_INIT("refusal")};
    relay_json_value_t lists[2] = {{RELAY_JSON_ABSENT, {NULL, 0}}, {RELAY_JSON_ABSENT, {NULL, 0}}};

    if (logprobs.type == RELAY_JSON_OBJECT) {
        relay_json_members(logprobs.text, keys, 2, lists);
    }
    if (values[D_CONTENT].type == RELAY_JSON_ARRAY) {
        typed_content(reader, choice, values[D_CONTENT]);
    }
    put_part(reader, choice,
             &(prose_t){.kind = RELAY_BLOCK_TEXT,
                        .text = relay_wire_inner(values[D_CONTENT]),
                        .logprobs = lists[0]});
    put_part(reader, choice,
             &(prose_t){.kind = RELAY_BLOCK_REFUSAL,
                        .text = relay_wire_inner(values[D_REFUSAL]),
                        .logprobs = lists[1]});
}

static void read_delta(relay_reader_t *reader, unsigned choice, relay_json_value_t object,
                       relay_json_value_t logprobs)
{
    relay_json_value_t values[DELTA_KEYS], old[TOOL_KEYS] = {0};

    if (object.type != RELAY_JSON_OBJECT ||
        !relay_json_members(object.text, delta_keys, DELTA_KEYS, values)) {
        return;
    }
    reasoning(reader, choice, values);
    content(reader, choice, values, logprobs);
    annotations(reader, choice, values[D_ANNOTATIONS]);
    images(reader, choice, values[D_IMAGES]);
    tool_calls(reader, choice, values[D_TOOL_CALLS]);
    if (values[D_FUNCTION_CALL].type == RELAY_JSON_OBJECT && !reader->over) {
        old[T_FUNCTION] = values[D_FUNCTION_CALL];
        tool_fragment(reader, choice, old);
    }
}

/* ---- chunks -------------------------------------------------------------- */

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

static void finish(relay_reader_t *reader, unsigned index, relay_stop_t reason)
{
    state_t *state = state_of(reader);
    choice_t *choice = &state->choices[index];
    relay_stream_event_t event = {.kind = RELAY_STREAM_FINISH, .choice = index};

    close_prose(reader, index);
    close_tools(reader, index);
    if (reason == RELAY_STOP_END || reason == RELAY_STOP_UNSET) {
        reason = choice->tools ? RELAY_STOP_TOOLS : RELAY_STOP_END;
    }
    choice->finished = true;
    reader->finished = all_finished(state);
    event.ending.reason = reason;
    emit(reader, &event);
}

/* In the order in which they come, as those of chunks. */
enum { H_INDEX, H_DELTA, H_LOGPROBS, H_FINISH, H_WHOLE, H_FAULT, CHOICE_KEYS };

static const relay_span_t choice_keys[CHOICE_KEYS] = {
    RELAY_SPAN_INIT("index"),         RELAY_SPAN_INIT("delta"),   RELAY_SPAN_INIT("logprobs"),
    RELAY_SPAN_INIT("finish_reason"), RELAY_SPAN_INIT("message"), RELAY_SPAN_INIT("error")};

static void fail_choice(relay_reader_t *reader, relay_json_value_t fault)
{
    relay_wire_error_members_t members = {.error = fault};
    relay_wire_error_t error;

    if (!relay_wire_error_read(&members, &error)) {
        error.status = 502;
    }
    fail_as(reader, &error);
}

/* False if the chunk says that the answer failed. */
static bool read_choice(relay_reader_t *reader, const relay_json_value_t *values)
{
    state_t *state = state_of(reader);
    const relay_json_value_t none = {RELAY_JSON_ABSENT, {NULL, 0}};
    uint64_t index = 0;

    if (values[H_FAULT].type == RELAY_JSON_OBJECT ||
        (values[H_FAULT].type == RELAY_JSON_STRING && relay_wire_says(values[H_FAULT])) ||
        relay_wire_is(values[H_FINISH], RELAY_SPAN("error"))) {
        fail_choice(reader, values[H_FAULT]);
        return false;
    }
    relay_json_uint(values[H_INDEX], &index);
    if (index >= RELAY_STREAM_CHOICES_MAX || state->choices[index].finished) {
        return true;
    }
    if (!state->choices[index].seen) {
        state->choices[index].seen = true;
        state->choices[index].last = -1;
        reader->finished = false;
    }
    read_delta(reader, (unsigned)index, values[H_DELTA], values[H_LOGPROBS]);
    if (!reader->over) {
        read_delta(reader, (unsigned)index, values[H_WHOLE],
                   values[H_DELTA].type == RELAY_JSON_OBJECT ? none : values[H_LOGPROBS]);
    }
    if (!reader->over && relay_wire_inner(values[H_FINISH]).len != 0) {
        finish(reader, (unsigned)index, relay_chat_stop(relay_wire_inner(values[H_FINISH])));
    }
    return !reader->over;
}

/* In the order in which they come, which finds each at once; K_FINGERPRINT and
 * K_PADDING say nothing, but are in every chunk. */
enum {
    K_ID,
    K_OBJECT,
    K_CREATED,
    K_MODEL,
    K_TIER,
    K_FINGERPRINT,
    K_CHOICES,
    K_USAGE,
    K_PADDING,
    K_GROQ,
    K_ERROR,
    K_MESSAGE,
    K_TYPE,
    K_CODE,
    K_DETAIL,
    CHUNK_KEYS
};

static const relay_span_t chunk_keys[CHUNK_KEYS] = {
    RELAY_SPAN_INIT("id"),           RELAY_SPAN_INIT("object"),
    RELAY_SPAN_INIT("created"),      RELAY_SPAN_INIT("model"),
    RELAY_SPAN_INIT("service_tier"), RELAY_SPAN_INIT("system_fingerprint"),
    RELAY_SPAN_INIT("choices"),      RELAY_SPAN_INIT("usage"),
    RELAY_SPAN_INIT("obfuscation"),  RELAY_SPAN_INIT("x_groq"),
    RELAY_SPAN_INIT("error"),        RELAY_SPAN_INIT("message"),
    RELAY_SPAN_INIT("type"),         RELAY_SPAN_INIT("code"),
    RELAY_SPAN_INIT("detail"),
};

static bool read_error(const relay_json_value_t *data, bool named, relay_wire_error_t *error)
{
    relay_wire_error_members_t members = {.error = data[K_ERROR],
                                          .message = data[K_MESSAGE],
                                          .type = data[K_TYPE],
                                          .code = data[K_CODE],
                                          .detail = data[K_DETAIL]};

    members.flat =
        named || relay_wire_is(data[K_OBJECT], RELAY_SPAN("error")) ||
        relay_wire_is(data[K_TYPE], RELAY_SPAN("error")) ||
        (data[K_ID].type == RELAY_JSON_ABSENT && data[K_CHOICES].type == RELAY_JSON_ABSENT &&
         data[K_USAGE].type == RELAY_JSON_ABSENT &&
         (relay_wire_says(data[K_MESSAGE]) || relay_wire_says(data[K_DETAIL])));
    return relay_wire_error_read(&members, error);
}

/* A first chunk without choices may lack the id, too. */
static void start(relay_reader_t *reader, const relay_json_value_t *data)
{
    relay_stream_event_t event = {.kind = RELAY_STREAM_START,
                                  .id = relay_wire_inner(data[K_ID]),
                                  .model = relay_wire_inner(data[K_MODEL]),
                                  .usage = &reader->usage};

    if (relay_wire_says(data[K_CHOICES]) || data[K_USAGE].type == RELAY_JSON_OBJECT) {
        reader->started = true;
        relay_wire_tier(relay_wire_inner(data[K_TIER]), &reader->usage.tier);
        relay_json_uint(data[K_CREATED], &event.created_s);
        emit(reader, &event);
    }
}

static void read_usage(relay_reader_t *reader, const relay_json_value_t *data)
{
    static const relay_span_t key = RELAY_SPAN_INIT("usage");
    relay_stream_event_t event = {.kind = RELAY_STREAM_USAGE, .usage = &reader->usage};
    relay_json_value_t nested = {RELAY_JSON_ABSENT, {NULL, 0}};

    if (data[K_GROQ].type == RELAY_JSON_OBJECT) {
        relay_json_members(data[K_GROQ].text, &key, 1, &nested);
    }
    if (nested.type != RELAY_JSON_OBJECT && data[K_USAGE].type != RELAY_JSON_OBJECT) {
        return;
    }
    relay_openai_usage(nested, &reader->usage);
    relay_openai_usage(data[K_USAGE], &reader->usage);
    emit(reader, &event);
}

static void read_chunk(relay_reader_t *reader, const relay_json_value_t *data, bool named)
{
    relay_json_value_t values[CHOICE_KEYS];
    relay_wire_error_t error;
    relay_json_type_t type;
    size_t cursor = 0;

    if (read_error(data, named, &error)) {
        fail_as(reader, &error);
        return;
    }
    if (!reader->started) {
        start(reader, data);
    }
    while (may_have_more(data[K_CHOICES], cursor) &&
           (type = relay_json_element_members(data[K_CHOICES].text, &cursor, choice_keys,
                                              CHOICE_KEYS, values)) != RELAY_JSON_ABSENT) {
        if (type == RELAY_JSON_OBJECT && !read_choice(reader, values)) {
            return;
        }
    }
    if (data[K_USAGE].type == RELAY_JSON_OBJECT || data[K_GROQ].type == RELAY_JSON_OBJECT) {
        read_usage(reader, data);
    }
}

/* "[DONE]": the finish that a provider forgot is made up, but no answer is. */
static void done(relay_reader_t *reader)
{
    state_t *state = state_of(reader);

    if (!reader->started) {
        fail_cut(reader);
        return;
    }
    for (unsigned i = 0; i < RELAY_STREAM_CHOICES_MAX; i++) {
        if ((state->choices[i].seen || i == 0) && !state->choices[i].finished) {
            finish(reader, i, RELAY_STOP_UNSET);
        }
    }
    end(reader);
}

void relay_chat_read_event(relay_reader_t *reader, const relay_sse_item_t *item)
{
    relay_json_value_t data[CHUNK_KEYS];
    bool named;

    if (reader->over) {
        return;
    }
    if (item == NULL) {
        if (reader->finished) {
            done(reader);
        } else {
            fail_cut(reader);
        }
        return;
    }
    named = relay_span_eq(item->name, RELAY_SPAN("error"));
    if (!item->has_data) {
        return;
    }
    if (relay_wire_done_marker(item->data)) {
        done(reader);
    } else if (relay_wire_read(item->data, chunk_keys, CHUNK_KEYS, data)) {
        read_chunk(reader, data, named);
    } else if (named && item->terminated) {
        relay_wire_error_t error = {.status = 502};
        fail_as(reader, &error);
    }
}
