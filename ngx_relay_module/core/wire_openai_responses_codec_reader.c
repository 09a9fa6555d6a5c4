/*
 * Streams of Responses into canonical events. Called through the codec.
 *
 * An item is known by its output_index, a part of a message by its content_index
 * besides. Each is a block here, begun by what it says first:
 *
 *   output_item.added (a call), or the first delta ─► BLOCK
 *   deltas ─► DELTA
 *   output_item.done ─► what no delta has said, STOP
 *
 * The last event repeats the output: items that had no events of their own are
 * taken from there.
 */

#include "wire_openai.h"
#include "wire_openai_responses_codec.h"
#include "wire_support.h"

/* Of one answer; parts at once. No provider gives so many. */
enum { ITEMS_MAX = 512, PARTS_MAX = 64 };

typedef struct {
    uint32_t item; /* output_index */
    uint32_t part; /* content_index; 0 of items without parts */
    uint32_t block;
    uint32_t paragraph; /* THINKING: index of the summary's part in hand */
    uint8_t kind;       /* relay_block_kind_t */
    bool free_text;
    bool said; /* it has had a text */
} slot_t;

typedef struct {
    uint32_t next_block;
    uint32_t open; /* of slots */
    bool calls;
    uint8_t done[ITEMS_MAX / 8];
    slot_t slots[PARTS_MAX];
} state_t;

const size_t relay_responses_reader_size = sizeof(state_t);

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

/* ---- blocks -------------------------------------------------------------- */

static slot_t *find(relay_reader_t *reader, uint64_t item, uint64_t part)
{
    state_t *state = state_of(reader);

    for (uint32_t i = 0; i < state->open; i++) {
        if (state->slots[i].item == item && state->slots[i].part == part) {
            return &state->slots[i];
        }
    }
    return NULL;
}

static bool is_done(relay_reader_t *reader, uint64_t item)
{
    return item < ITEMS_MAX && (state_of(reader)->done[item / 8] >> (item % 8) & 1) != 0;
}

/* What a block begins with. */
typedef struct {
    relay_block_kind_t kind;
    relay_span_t id;
    relay_span_t name;
    relay_span_t scope;
    relay_span_t signer;
    relay_span_t text; /* REDACTED */
    relay_span_t raw;  /* OPAQUE */
    relay_span_t type;
    bool free_text;
} begin_t;

/* The slot of a part, with its block begun; NULL if the item is done, or there are
 * too many, which ends the stream. */
static slot_t *ensure(relay_reader_t *reader, uint64_t item, uint64_t part, const begin_t *begin)
{
    state_t *state = state_of(reader);
    slot_t *slot = find(reader, item, part);
    relay_stream_event_t event = {.kind = RELAY_STREAM_BLOCK,
                                  .block_kind = begin->kind,
                                  .id = begin->id,
                                  .name = begin->name,
                                  .scope = begin->scope,
                                  .signer = begin->signer,
                                  .text = begin->text,
                                  .raw = begin->raw,
                                  .type = begin->type,
                                  .free_text = begin->free_text};

    if (slot != NULL || is_done(reader, item) || reader->over) {
        return slot;
    }
    if (item >= ITEMS_MAX || state->open == PARTS_MAX) {
        fail_cut(reader);
        return NULL;
    }
    slot = &state->slots[state->open++];
    *slot = (slot_t){.item = (uint32_t)item,
                     .part = (uint32_t)part,
                     .block = state->next_block++,
                     .kind = (uint8_t)begin->kind,
                     .free_text = begin->free_text};
    state->calls = state->calls || begin->kind == RELAY_BLOCK_TOOL_CALL;
    event.block = slot->block;
    emit(reader, &event);
    return slot;
}

static relay_stream_event_t delta_of(const slot_t *slot)
{
    return (relay_stream_event_t){.kind = RELAY_STREAM_DELTA,
                                  .block = slot->block,
                                  .block_kind = (relay_block_kind_t)slot->kind,
                                  .free_text = slot->free_text};
}

/* Whether a list of logprobs has any. */
static bool is_likely(relay_json_value_t list)
{
    return list.type == RELAY_JSON_ARRAY && list.text.len > 2 && relay_wire_says(list);
}

/* A text and how likely it was, if the provider tells. */
static void say_likely(relay_reader_t *reader, slot_t *slot, relay_span_t text,
                       relay_json_value_t logprobs)
{
    bool likely = is_likely(logprobs);
    relay_stream_event_t event;

    if (slot == NULL || (text.len == 0 && !likely)) {
        return;
    }
    event = delta_of(slot);
    event.text = text;
    if (likely) {
        event.logprobs = logprobs;
    }
    slot->said = true;
    emit(reader, &event);
}

static void say(relay_reader_t *reader, slot_t *slot, relay_span_t text)
{
    say_likely(reader, slot, text, (relay_json_value_t){RELAY_JSON_ABSENT, {NULL, 0}});
}

/* All blocks of an item are complete; it has no others. */
static void stop_item(relay_reader_t *reader, uint64_t item)
{
    state_t *state = state_of(reader);
    uint32_t kept = 0;

    for (uint32_t i = 0; i < state->open; i++) {
        slot_t *slot = &state->slots[i];
        relay_stream_event_t event = {.kind = RELAY_STREAM_STOP,
                                      .block = slot->block,
                                      .block_kind = (relay_block_kind_t)slot->kind};
        if (slot->item == item) {
            emit(reader, &event);
        } else {
            state->slots[kept++] = *slot;
        }
    }
    state->open = kept;
    if (item < ITEMS_MAX) {
        state->done[item / 8] |= (uint8_t)(1 << item % 8);
    }
}

/* ---- events -------------------------------------------------------------- */

enum {
    E_TYPE,
    E_RESPONSE,
    E_ERROR,
    E_CODE,
    E_MESSAGE,
    E_DETAIL,
    E_OUTPUT_INDEX,
    E_CONTENT_INDEX,
    E_SUMMARY_INDEX,
    E_DELTA,
    E_ITEM,
    E_ANNOTATION,
    E_LOGPROBS,
    DATA_KEYS
};

static const relay_span_t data_keys[DATA_KEYS] = {
    RELAY_SPAN_INIT("type"),          RELAY_SPAN_INIT("response"),
    RELAY_SPAN_INIT("error"),         RELAY_SPAN_INIT("code"),
    RELAY_SPAN_INIT("message"),       RELAY_SPAN_INIT("detail"),
    RELAY_SPAN_INIT("output_index"),  RELAY_SPAN_INIT("content_index"),
    RELAY_SPAN_INIT("summary_index"), RELAY_SPAN_INIT("delta"),
    RELAY_SPAN_INIT("item"),          RELAY_SPAN_INIT("annotation"),
    RELAY_SPAN_INIT("logprobs"),
};

static uint64_t index_in(relay_json_value_t value)
{
    uint64_t index = 0;

    relay_json_uint(value, &index);
    return index <= UINT32_MAX ? index : UINT32_MAX;
}

static void text_delta(relay_reader_t *reader, const relay_json_value_t *data,
                       relay_block_kind_t kind)
{
    begin_t begin = {.kind = kind};
    relay_span_t text = relay_wire_inner(data[E_DELTA]);

    if (text.len != 0 || is_likely(data[E_LOGPROBS])) {
        say_likely(
            reader,
            ensure(reader, index_in(data[E_OUTPUT_INDEX]), index_in(data[E_CONTENT_INDEX]), &begin),
            text, data[E_LOGPROBS]);
    }
}

/* Parts of a summary are paragraphs of one block. */
static void reasoning_delta(relay_reader_t *reader, const relay_json_value_t *data,
                            uint64_t paragraph)
{
    begin_t begin = {.kind = RELAY_BLOCK_THINKING, .signer = RELAY_RESPONSES_SIGNER};
    relay_span_t text = relay_wire_inner(data[E_DELTA]);
    slot_t *slot = text.len != 0 ? ensure(reader, index_in(data[E_OUTPUT_INDEX]), 0, &begin) : NULL;

    if (slot == NULL) {
        return;
    }
    if (slot->said && slot->paragraph != paragraph) {
        say(reader, slot, RELAY_SPAN("\\n\\n"));
    }
    slot->paragraph = (uint32_t)paragraph;
    say(reader, slot, text);
}

static void call_delta(relay_reader_t *reader, const relay_json_value_t *data)
{
    say(reader, find(reader, index_in(data[E_OUTPUT_INDEX]), 0), relay_wire_inner(data[E_DELTA]));
}

static void annotation(relay_reader_t *reader, uint64_t item, uint64_t part,
                       relay_json_value_t object)
{
    begin_t begin = {.kind = RELAY_BLOCK_TEXT};
    relay_citation_t citation;
    relay_stream_event_t event;
    slot_t *slot;

    if (!relay_responses_read_annotation(object, &citation)) {
        return;
    }
    slot = ensure(reader, item, part, &begin);
    if (slot != NULL && slot->kind == RELAY_BLOCK_TEXT) {
        event = delta_of(slot);
        event.citation = &citation;
        emit(reader, &event);
    }
}

/* ---- items --------------------------------------------------------------- */

enum {
    I_TYPE,
    I_CALL_ID,
    I_NAME,
    I_NAMESPACE,
    I_ARGUMENTS,
    I_INPUT,
    I_CONTENT,
    I_SUMMARY,
    I_SEALED,
    ITEM_KEYS
};

static const relay_span_t item_keys[ITEM_KEYS] = {
    RELAY_SPAN_INIT("type"),
    RELAY_SPAN_INIT("call_id"),
    RELAY_SPAN_INIT("name"),
    RELAY_SPAN_INIT("namespace"),
    RELAY_SPAN_INIT("arguments"),
    RELAY_SPAN_INIT("input"),
    RELAY_SPAN_INIT("content"),
    RELAY_SPAN_INIT("summary"),
    RELAY_SPAN_INIT("encrypted_content"),
};

static bool is_call(const relay_json_value_t *item, bool *custom)
{
    *custom = relay_wire_is(item[I_TYPE], RELAY_SPAN("custom_tool_call"));
    return *custom || relay_wire_is(item[I_TYPE], RELAY_SPAN("function_call"));
}

static slot_t *ensure_call(relay_reader_t *reader, uint64_t index, const relay_json_value_t *item,
                           bool custom)
{
    begin_t begin = {.kind = RELAY_BLOCK_TOOL_CALL,
                     .id = relay_wire_inner(item[I_CALL_ID]),
                     .name = relay_wire_inner(item[I_NAME]),
                     .scope = relay_wire_inner(item[I_NAMESPACE]),
                     .free_text = custom};

    return ensure(reader, index, 0, &begin);
}

static void item_added(relay_reader_t *reader, uint64_t index, const relay_json_value_t *item)
{
    bool custom;

    if (is_call(item, &custom)) {
        ensure_call(reader, index, item, custom);
    }
}

static void call_done(relay_reader_t *reader, uint64_t index, const relay_json_value_t *item,
                      bool custom)
{
    slot_t *slot = ensure_call(reader, index, item, custom);

    if (slot != NULL && !slot->said) {
        say(reader, slot, relay_wire_inner(item[custom ? I_INPUT : I_ARGUMENTS]));
    }
}

static void message_done(relay_reader_t *reader, uint64_t index, relay_json_value_t content)
{
    enum { TEXT, REFUSAL, ANNOTATIONS, LOGPROBS, KEYS };
    static const relay_span_t keys[KEYS] = {RELAY_SPAN_INIT("text"), RELAY_SPAN_INIT("refusal"),
                                            RELAY_SPAN_INIT("annotations"),
                                            RELAY_SPAN_INIT("logprobs")};
    relay_json_value_t values[KEYS], each;
    size_t cursor = 0, inner = 0;
    uint64_t part = 0;

    while (content.type == RELAY_JSON_ARRAY &&
           relay_json_element_members(content.text, &cursor, keys, KEYS, values) !=
               RELAY_JSON_ABSENT) {
        bool refusal = values[REFUSAL].type == RELAY_JSON_STRING;
        begin_t begin = {.kind = refusal ? RELAY_BLOCK_REFUSAL : RELAY_BLOCK_TEXT};
        relay_span_t text = relay_wire_inner(values[refusal ? REFUSAL : TEXT]);
        if (text.len != 0 && find(reader, index, part) == NULL) {
            say_likely(reader, ensure(reader, index, part, &begin), text, values[LOGPROBS]);
            inner = 0;
            while (values[ANNOTATIONS].type == RELAY_JSON_ARRAY &&
                   relay_json_element(values[ANNOTATIONS].text, &inner, &each)) {
                annotation(reader, index, part, each);
            }
        }
        part++;
    }
}

/* The texts of a list as paragraphs; none if it has been told already. */
static void paragraphs(relay_reader_t *reader, uint64_t index, relay_json_value_t list)
{
    static const relay_span_t key = RELAY_SPAN_INIT("text");
    relay_json_value_t data[DATA_KEYS] = {{0}}, text;
    size_t cursor = 0;
    uint64_t paragraph = 0;
    uint8_t digits[24];
    relay_buf_t number = relay_buf(digits, sizeof(digits));

    relay_buf_put_u64(&number, index);
    data[E_OUTPUT_INDEX] = (relay_json_value_t){RELAY_JSON_NUMBER, relay_buf_span(&number)};
    while (list.type == RELAY_JSON_ARRAY &&
           relay_json_element_members(list.text, &cursor, &key, 1, &text) != RELAY_JSON_ABSENT) {
        data[E_DELTA] = text;
        reasoning_delta(reader, data, paragraph++);
    }
}

static void reasoning_done(relay_reader_t *reader, uint64_t index, const relay_json_value_t *item)
{
    relay_block_t sealed = {.kind = RELAY_BLOCK_THINKING};
    relay_span_t text = relay_wire_inner(item[I_SEALED]);
    relay_stream_event_t event;
    begin_t begin = {.kind = RELAY_BLOCK_THINKING};
    slot_t *slot;

    if (find(reader, index, 0) == NULL) {
        paragraphs(reader, index, item[I_CONTENT]);
    }
    if (find(reader, index, 0) == NULL) {
        paragraphs(reader, index, item[I_SUMMARY]);
    }
    if (text.len == 0) {
        return;
    }
    relay_responses_unseal(text, &sealed);
    begin.kind = sealed.kind;
    begin.signer = sealed.signer;
    begin.text = sealed.kind == RELAY_BLOCK_REDACTED ? sealed.text : relay_span(NULL, 0);
    slot = ensure(reader, index, 0, &begin);
    if (slot != NULL && sealed.signature.len != 0) {
        event = delta_of(slot);
        event.signature = sealed.signature;
        event.signer = sealed.signer;
        emit(reader, &event);
    }
}

static void opaque_done(relay_reader_t *reader, uint64_t index, const relay_json_value_t *item,
                        relay_span_t raw)
{
    begin_t begin = {
        .kind = RELAY_BLOCK_OPAQUE, .raw = raw, .type = relay_wire_inner(item[I_TYPE])};

    ensure(reader, index, 0, &begin);
}

static void item_done(relay_reader_t *reader, uint64_t index, const relay_json_value_t *item,
                      relay_span_t raw)
{
    bool custom;

    if (is_done(reader, index)) {
        return;
    }
    if (is_call(item, &custom)) {
        call_done(reader, index, item, custom);
    } else if (relay_wire_is(item[I_TYPE], RELAY_SPAN("message"))) {
        message_done(reader, index, item[I_CONTENT]);
    } else if (relay_wire_is(item[I_TYPE], RELAY_SPAN("reasoning"))) {
        reasoning_done(reader, index, item);
    } else {
        opaque_done(reader, index, item, raw);
    }
    stop_item(reader, index);
}

/* ---- the response -------------------------------------------------------- */

enum {
    R_ID,
    R_MODEL,
    R_CREATED,
    R_STATUS,
    R_USAGE,
    R_ERROR,
    R_INCOMPLETE,
    R_OUTPUT,
    R_TIER,
    RESPONSE_KEYS
};

static const relay_span_t response_keys[RESPONSE_KEYS] = {
    RELAY_SPAN_INIT("id"),
    RELAY_SPAN_INIT("model"),
    RELAY_SPAN_INIT("created_at"),
    RELAY_SPAN_INIT("status"),
    RELAY_SPAN_INIT("usage"),
    RELAY_SPAN_INIT("error"),
    RELAY_SPAN_INIT("incomplete_details"),
    RELAY_SPAN_INIT("output"),
    RELAY_SPAN_INIT("service_tier"),
};

/* Any event may be the first one that arrives. */
static void start(relay_reader_t *reader, const relay_json_value_t *response)
{
    relay_stream_event_t event = {.kind = RELAY_STREAM_START,
                                  .id = relay_wire_inner(response[R_ID]),
                                  .model = relay_wire_inner(response[R_MODEL]),
                                  .usage = &reader->usage};

    if (!reader->started) {
        reader->started = true;
        relay_json_uint(response[R_CREATED], &event.created_s);
        emit(reader, &event);
    }
}

static void read_output(relay_reader_t *reader, relay_json_value_t output)
{
    relay_json_value_t item[ITEM_KEYS], element;
    size_t cursor = 0;
    uint64_t index = 0;

    while (output.type == RELAY_JSON_ARRAY && relay_json_element(output.text, &cursor, &element)) {
        if (element.type == RELAY_JSON_OBJECT &&
            relay_json_members(element.text, item_keys, ITEM_KEYS, item)) {
            item_done(reader, index, item, element.text);
        }
        index++;
    }
}

/* The tier is known at the end: before, it is the one that was asked for. */
static void put_usage(relay_reader_t *reader, relay_json_value_t usage, relay_json_value_t tier)
{
    relay_stream_event_t event = {.kind = RELAY_STREAM_USAGE, .usage = &reader->usage};

    relay_wire_tier(relay_wire_inner(tier), &reader->usage.tier);
    if (usage.type == RELAY_JSON_OBJECT) {
        relay_openai_usage(usage, &reader->usage);
        emit(reader, &event);
    }
}

static void complete(relay_reader_t *reader, const relay_json_value_t *response,
                     relay_span_t status)
{
    static const relay_span_t key = RELAY_SPAN_INIT("reason");
    relay_json_value_t reason = {RELAY_JSON_ABSENT, {NULL, 0}};
    relay_stream_event_t finish = {.kind = RELAY_STREAM_FINISH};
    relay_stream_event_t end = {.kind = RELAY_STREAM_END, .usage = &reader->usage};
    state_t *state = state_of(reader);

    read_output(reader, response[R_OUTPUT]);
    if (reader->over) {
        return;
    }
    while (state->open != 0) {
        stop_item(reader, state->slots[0].item);
    }
    if (response[R_INCOMPLETE].type == RELAY_JSON_OBJECT) {
        relay_json_members(response[R_INCOMPLETE].text, &key, 1, &reason);
    }
    finish.ending.reason = relay_responses_stop(status, relay_wire_inner(reason), state->calls);
    reader->finished = true;
    emit(reader, &finish);
    put_usage(reader, response[R_USAGE], response[R_TIER]);
    reader->over = true;
    emit(reader, &end);
}

static void failed(relay_reader_t *reader, const relay_json_value_t *data,
                   const relay_json_value_t *response)
{
    relay_wire_error_members_t members = {.error = data[E_ERROR],
                                          .message = data[E_MESSAGE],
                                          .code = data[E_CODE],
                                          .detail = data[E_DETAIL],
                                          .flat = true};
    relay_wire_error_t error = {.status = 502};

    if (response[R_ERROR].type == RELAY_JSON_OBJECT) {
        members.error = response[R_ERROR];
    }
    relay_openai_usage(response[R_USAGE], &reader->usage);
    relay_wire_error_read(&members, &error);
    fail_as(reader, &error);
}

static void response_event(relay_reader_t *reader, relay_span_t type,
                           const relay_json_value_t *data, const relay_json_value_t *response)
{
    if (relay_span_eq(type, RELAY_SPAN("response.completed"))) {
        complete(reader, response, RELAY_SPAN("completed"));
    } else if (relay_span_eq(type, RELAY_SPAN("response.incomplete"))) {
        complete(reader, response, RELAY_SPAN("incomplete"));
    } else if (relay_span_eq(type, RELAY_SPAN("response.failed")) ||
               relay_span_eq(type, RELAY_SPAN("response.cancelled"))) {
        failed(reader, data, response);
    }
}

/* ---- which event it is ---------------------------------------------------- */

typedef enum { OTHER = 0, ADDED, DONE, TEXT, REFUSAL, SUMMARY, REASONING, CALL, ANNOTATION } kind_t;

static kind_t kind_of(relay_span_t type)
{
    static const struct {
        relay_span_t type;
        kind_t kind;
    } kinds[] = {
        {RELAY_SPAN_INIT("response.output_text.delta"), TEXT},
        {RELAY_SPAN_INIT("response.function_call_arguments.delta"), CALL},
        {RELAY_SPAN_INIT("response.reasoning_summary_text.delta"), SUMMARY},
        {RELAY_SPAN_INIT("response.custom_tool_call_input.delta"), CALL},
        {RELAY_SPAN_INIT("response.reasoning_text.delta"), REASONING},
        {RELAY_SPAN_INIT("response.output_item.added"), ADDED},
        {RELAY_SPAN_INIT("response.output_item.done"), DONE},
        {RELAY_SPAN_INIT("response.refusal.delta"), REFUSAL},
        {RELAY_SPAN_INIT("response.output_text.annotation.added"), ANNOTATION},
    };

    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        if (relay_span_eq(type, kinds[i].type)) {
            return kinds[i].kind;
        }
    }
    return OTHER;
}

static void item_event(relay_reader_t *reader, const relay_json_value_t *data, bool done)
{
    relay_json_value_t item[ITEM_KEYS];
    uint64_t index = index_in(data[E_OUTPUT_INDEX]);

    if (data[E_ITEM].type != RELAY_JSON_OBJECT ||
        !relay_json_members(data[E_ITEM].text, item_keys, ITEM_KEYS, item)) {
        return;
    }
    if (done) {
        item_done(reader, index, item, data[E_ITEM].text);
    } else {
        item_added(reader, index, item);
    }
}

static void output_event(relay_reader_t *reader, kind_t kind, const relay_json_value_t *data)
{
    switch (kind) {
    case ADDED:
    case DONE:
        item_event(reader, data, kind == DONE);
        break;
    case TEXT:
        text_delta(reader, data, RELAY_BLOCK_TEXT);
        break;
    case REFUSAL:
        text_delta(reader, data, RELAY_BLOCK_REFUSAL);
        break;
    case SUMMARY:
        reasoning_delta(reader, data, index_in(data[E_SUMMARY_INDEX]));
        break;
    case REASONING:
        reasoning_delta(reader, data, index_in(data[E_CONTENT_INDEX]));
        break;
    case CALL:
        call_delta(reader, data);
        break;
    default:
        annotation(reader, index_in(data[E_OUTPUT_INDEX]), index_in(data[E_CONTENT_INDEX]),
                   data[E_ANNOTATION]);
        break;
    }
}

static void read_data(relay_reader_t *reader, const relay_json_value_t *data, relay_span_t name)
{
    relay_json_value_t response[RESPONSE_KEYS] = {{0}};
    relay_span_t type =
        relay_wire_inner(data[E_TYPE]).len != 0 ? relay_wire_inner(data[E_TYPE]) : name;
    kind_t kind = kind_of(type);

    if (data[E_RESPONSE].type == RELAY_JSON_OBJECT) {
        relay_json_members(data[E_RESPONSE].text, response_keys, RESPONSE_KEYS, response);
    }
    if (relay_span_eq(type, RELAY_SPAN("error")) ||
        (type.len == 0 && relay_wire_says(data[E_ERROR]))) {
        failed(reader, data, response);
        return;
    }
    if (data[E_RESPONSE].type == RELAY_JSON_OBJECT || kind != OTHER) {
        start(reader, response);
    }
    if (kind != OTHER) {
        output_event(reader, kind, data);
    } else if (data[E_RESPONSE].type == RELAY_JSON_OBJECT) {
        response_event(reader, type, data, response);
    } else if (relay_span_eq(type, RELAY_SPAN("keepalive"))) {
        relay_stream_event_t ping = {.kind = RELAY_STREAM_PING};
        emit(reader, &ping);
    }
}

void relay_responses_read_event(relay_reader_t *reader, const relay_sse_item_t *item)
{
    relay_json_value_t data[DATA_KEYS];
    relay_wire_error_t error = {.status = 502};

    if (reader->over) {
        return;
    }
    if (item == NULL) {
        fail_cut(reader); /* the end of a good answer is an event */
        return;
    }
    if (!item->has_data) {
        return;
    }
    if (relay_wire_read(item->data, data_keys, DATA_KEYS, data)) {
        read_data(reader, data, item->name);
    } else if (relay_span_eq(item->name, RELAY_SPAN("error")) && item->terminated) {
        fail_as(reader, &error);
    }
}
