/*
 * Streams of Bedrock Converse into canonical events, as server-sent events named
 * after their type (core/eventstream.h). Called through the codec.
 *
 *   messageStart ─► START              contentBlockStop ─► STOP
 *   contentBlockStart ─► BLOCK         messageStop ─► FINISH
 *   contentBlockDelta ─► BLOCK? DELTA  metadata ─► USAGE, END
 *   …Exception ─► ERROR
 *
 * Only tools announce their blocks: the first delta of any other kind opens its
 * block. An index whose deltas change their kind is another block from there on.
 */

#include "eventstream.h"
#include "wire_anthropic_messages_codec.h"
#include "wire_bedrock_converse.h"
#include "wire_bedrock_converse_codec.h"
#include "wire_support.h"

typedef struct {
    uint32_t index; /* the provider's */
    uint32_t block; /* ours */
    uint8_t kind;   /* relay_block_kind_t */
    bool open;
} entry_t;

typedef struct {
    bool tools; /* a call has begun */
    bool image; /* one is being gathered in what the reader keeps: */
    uint32_t image_index;
    relay_span_t image_type; /* one of ours */
    uint32_t next;           /* number of the next block */
    uint32_t turn;           /* entry to give up if none is free */
    entry_t entries[RELAY_TOOLS_OPEN_MAX];
} state_t;

const size_t relay_converse_reader_size = sizeof(state_t);

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

static void fail_with(relay_reader_t *reader, const relay_bedrock_exception_t *exception)
{
    uint8_t bytes[RELAY_CODEC_ERROR_MAX];
    relay_failure_t failure = {
        .error = {.code = RELAY_ERR_UPSTREAM_ERROR, .status = exception->status},
        .code = exception->type};

    failure.error.message = relay_codec_error_text(exception->message, bytes);
    fail(reader, &failure);
}

/* ---- blocks -------------------------------------------------------------- */

static void stop(relay_reader_t *reader, entry_t *entry)
{
    relay_stream_event_t event = {.kind = RELAY_STREAM_STOP,
                                  .block = entry->block,
                                  .block_kind = (relay_block_kind_t)entry->kind};

    if (entry->open) {
        entry->open = false;
        emit(reader, &event);
    }
}

static entry_t *find(state_t *state, uint32_t index)
{
    for (size_t i = 0; i < RELAY_TOOLS_OPEN_MAX; i++) {
        if (state->entries[i].open && state->entries[i].index == index) {
            return &state->entries[i];
        }
    }
    return NULL;
}

/* A free entry; if there is none, that of another block, which ends here. */
static entry_t *take_entry(relay_reader_t *reader)
{
    state_t *state = state_of(reader);
    entry_t *entry = NULL;

    for (size_t i = 0; i < RELAY_TOOLS_OPEN_MAX && entry == NULL; i++) {
        entry = state->entries[i].open ? NULL : &state->entries[i];
    }
    if (entry == NULL) {
        entry = &state->entries[state->turn++ % RELAY_TOOLS_OPEN_MAX];
        stop(reader, entry);
    }
    return entry;
}

/*
 * A signature comes behind all that it signs, and only the models of one vendor give
 * any: what others think must not be announced as signed. An id that names no vendor
 * may be theirs; a signature that comes anyway is handed on.
 */
static bool signs(const relay_reader_t *reader)
{
    const relay_translation_t *translation = reader->translation;
    relay_span_t model =
        translation->target.model.len != 0 ? translation->target.model : translation->model;

    return relay_codec_holds(model, RELAY_SPAN("anthropic")) ||
           relay_codec_holds(model, RELAY_SPAN("claude"));
}

/* Opens a block in place of the one that has the index; event says what it is. */
static entry_t *open_block(relay_reader_t *reader, uint32_t index, relay_stream_event_t event)
{
    state_t *state = state_of(reader);
    entry_t *entry = find(state, index);

    if (entry != NULL) {
        stop(reader, entry);
    }
    entry = take_entry(reader);
    *entry = (entry_t){
        .index = index, .block = state->next++, .kind = (uint8_t)event.block_kind, .open = true};
    event.kind = RELAY_STREAM_BLOCK;
    event.block = entry->block;
    if (event.block_kind == RELAY_BLOCK_REDACTED ||
        (event.block_kind == RELAY_BLOCK_THINKING && signs(reader))) {
        event.signer = RELAY_MESSAGES_SIGNER;
    }
    emit(reader, &event);
    return entry;
}

/* The block of that kind that has the index, opened if need be. */
static entry_t *ensure(relay_reader_t *reader, uint32_t index, relay_block_kind_t kind)
{
    entry_t *entry = find(state_of(reader), index);

    return entry != NULL && entry->kind == kind
               ? entry
               : open_block(reader, index, (relay_stream_event_t){.block_kind = kind});
}

static relay_stream_event_t delta(const entry_t *entry)
{
    return (relay_stream_event_t){.kind = RELAY_STREAM_DELTA,
                                  .block = entry->block,
                                  .block_kind = (relay_block_kind_t)entry->kind};
}

static void put_text(relay_reader_t *reader, uint32_t index, relay_block_kind_t kind,
                     relay_span_t text)
{
    relay_stream_event_t event;

    if (text.len == 0) {
        return;
    }
    event = delta(ensure(reader, index, kind));
    event.text = text;
    if (kind == RELAY_BLOCK_THINKING && signs(reader)) {
        event.signer = RELAY_MESSAGES_SIGNER;
    }
    emit(reader, &event);
}

static void put_signature(relay_reader_t *reader, uint32_t index, relay_span_t signature)
{
    relay_stream_event_t event;

    if (signature.len == 0) {
        return;
    }
    event = delta(ensure(reader, index, RELAY_BLOCK_THINKING));
    event.signature = signature;
    event.signer = RELAY_MESSAGES_SIGNER;
    emit(reader, &event);
}

/* It comes whole. */
static void put_redacted(relay_reader_t *reader, uint32_t index, relay_span_t data)
{
    if (data.len != 0) {
        stop(reader,
             open_block(reader, index,
                        (relay_stream_event_t){.block_kind = RELAY_BLOCK_REDACTED, .text = data}));
    }
}

static void put_reasoning(relay_reader_t *reader, uint32_t index, relay_json_value_t object)
{
    enum { TEXT, SIGNATURE, REDACTED, KEYS };
    static const relay_span_t keys[KEYS] = {RELAY_SPAN_INIT("text"), RELAY_SPAN_INIT("signature"),
                                            RELAY_SPAN_INIT("redactedContent")};
    relay_json_value_t values[KEYS];

    if (object.type == RELAY_JSON_OBJECT && relay_json_members(object.text, keys, KEYS, values)) {
        put_text(reader, index, RELAY_BLOCK_THINKING, relay_wire_inner(values[TEXT]));
        put_signature(reader, index, relay_wire_inner(values[SIGNATURE]));
        put_redacted(reader, index, relay_wire_inner(values[REDACTED]));
    }
}

/* ---- images: whole, as nobody takes them in pieces ----------------------- */

static void end_image(relay_reader_t *reader)
{
    state_t *state = state_of(reader);
    relay_stream_event_t event = {.block_kind = RELAY_BLOCK_IMAGE, .type = state->image_type};

    if (state->image && reader->kept.len != 0) {
        event.text = relay_span(reader->kept.base, reader->kept.len);
        stop(reader, open_block(reader, state->image_index, event));
    }
    state->image = false;
    reader->kept.len = 0;
}

static void begin_image(relay_reader_t *reader, uint32_t index, relay_json_value_t object)
{
    static const relay_span_t key = RELAY_SPAN_INIT("format");
    state_t *state = state_of(reader);
    relay_json_value_t format = {RELAY_JSON_ABSENT, {NULL, 0}};

    end_image(reader);
    relay_json_members(object.text, &key, 1, &format);
    state->image = true;
    state->image_index = index;
    state->image_type = relay_converse_image_type(relay_wire_inner(format));
}

/* Base64 of bytes that go on is base64 only if it has no padding. */
static bool may_go_on(const relay_kept_t *kept)
{
    return kept->len % 4 == 0 && (kept->len == 0 || kept->base[kept->len - 1] != '=');
}

static void put_image(relay_reader_t *reader, uint32_t index, relay_json_value_t object)
{
    static const relay_span_t outer = RELAY_SPAN_INIT("source"), key = RELAY_SPAN_INIT("bytes");
    relay_json_value_t source = {RELAY_JSON_ABSENT, {NULL, 0}}, bytes = source;
    const relay_failure_t broken = {
        .error = {.code = RELAY_ERR_UPSTREAM_INVALID,
                  .message = RELAY_SPAN("The provider's image cannot be put together.")}};

    relay_json_members(object.text, &outer, 1, &source);
    if (source.type == RELAY_JSON_OBJECT) {
        relay_json_members(source.text, &key, 1, &bytes);
    }
    if (relay_wire_inner(bytes).len == 0) {
        return;
    }
    if (!state_of(reader)->image || state_of(reader)->image_index != index) {
        begin_image(reader, index, (relay_json_value_t){RELAY_JSON_OBJECT, RELAY_SPAN("{}")});
    }
    if (!may_go_on(&reader->kept) || !relay_kept_put(&reader->kept, relay_wire_inner(bytes))) {
        fail(reader, &broken);
    }
}

static void put_citation(relay_reader_t *reader, uint32_t index, relay_json_value_t object)
{
    relay_stream_event_t event;
    relay_citation_t citation;

    if (object.type == RELAY_JSON_OBJECT) {
        relay_converse_read_citation(object, &citation);
        event = delta(ensure(reader, index, RELAY_BLOCK_TEXT));
        event.citation = &citation;
        emit(reader, &event);
    }
}

/* A fragment of arguments belongs to a call that was announced, or to nothing. */
static void put_input(relay_reader_t *reader, uint32_t index, relay_json_value_t object)
{
    static const relay_span_t key = RELAY_SPAN_INIT("input");
    entry_t *entry = find(state_of(reader), index);
    relay_json_value_t input;

    if (entry != NULL && entry->kind == RELAY_BLOCK_TOOL_CALL && object.type == RELAY_JSON_OBJECT &&
        relay_json_members(object.text, &key, 1, &input)) {
        put_text(reader, index, RELAY_BLOCK_TOOL_CALL, relay_wire_inner(input));
    }
}

static void block_delta(relay_reader_t *reader, uint32_t index, relay_json_value_t object)
{
    enum { TEXT, CALL, REASONING, CITATION, IMAGE, KEYS };
    static const relay_span_t keys[KEYS] = {RELAY_SPAN_INIT("text"), RELAY_SPAN_INIT("toolUse"),
                                            RELAY_SPAN_INIT("reasoningContent"),
                                            RELAY_SPAN_INIT("citation"), RELAY_SPAN_INIT("image")};
    relay_json_value_t values[KEYS];

    if (object.type == RELAY_JSON_OBJECT && relay_json_members(object.text, keys, KEYS, values)) {
        put_text(reader, index, RELAY_BLOCK_TEXT, relay_wire_inner(values[TEXT]));
        put_citation(reader, index, values[CITATION]);
        put_input(reader, index, values[CALL]);
        put_reasoning(reader, index, values[REASONING]);
        if (values[IMAGE].type == RELAY_JSON_OBJECT) {
            put_image(reader, index, values[IMAGE]);
        }
    }
}

/* A tool that the provider runs itself is none of the caller's calls. */
static void block_start(relay_reader_t *reader, uint32_t index, relay_json_value_t start)
{
    enum { CALL, IMAGE, STARTS };
    static const relay_span_t starts[STARTS] = {RELAY_SPAN_INIT("toolUse"),
                                                RELAY_SPAN_INIT("image")};
    enum { ID, NAME, TYPE, KEYS };
    static const relay_span_t keys[KEYS] = {RELAY_SPAN_INIT("toolUseId"), RELAY_SPAN_INIT("name"),
                                            RELAY_SPAN_INIT("type")};
    relay_stream_event_t event = {.block_kind = RELAY_BLOCK_OPAQUE, .raw = start.text};
    relay_json_value_t begun[STARTS], values[KEYS];

    if (start.type != RELAY_JSON_OBJECT || !relay_wire_says(start) ||
        !relay_json_members(start.text, starts, STARTS, begun)) {
        return;
    }
    if (begun[IMAGE].type == RELAY_JSON_OBJECT) {
        begin_image(reader, index, begun[IMAGE]);
        return;
    }
    if (begun[CALL].type == RELAY_JSON_OBJECT &&
        relay_json_members(begun[CALL].text, keys, KEYS, values) &&
        !relay_wire_is(values[TYPE], RELAY_SPAN("server_tool_use"))) {
        state_of(reader)->tools = true;
        event = (relay_stream_event_t){.block_kind = RELAY_BLOCK_TOOL_CALL,
                                       .id = relay_wire_inner(values[ID]),
                                       .name = relay_wire_inner(values[NAME])};
    }
    open_block(reader, index, event);
}

static void block_stop(relay_reader_t *reader, uint32_t index)
{
    entry_t *entry = find(state_of(reader), index);

    if (state_of(reader)->image && state_of(reader)->image_index == index) {
        end_image(reader);
    } else if (entry != NULL) {
        stop(reader, entry);
    }
}

/* ---- the message --------------------------------------------------------- */

static void message_start(relay_reader_t *reader)
{
    relay_stream_event_t event = {.kind = RELAY_STREAM_START, .usage = &reader->usage};

    if (!reader->started) {
        reader->started = true;
        emit(reader, &event);
    }
}

static void message_stop(relay_reader_t *reader, relay_json_value_t reason,
                         relay_json_value_t fields)
{
    state_t *state = state_of(reader);
    relay_stream_event_t event = {
        .kind = RELAY_STREAM_FINISH,
        .ending = {.reason = relay_converse_stop(relay_wire_inner(reason)),
                   .sequence = relay_converse_sequence(fields)}};

    if (!reader->started) {
        fail_cut(reader); /* the end of an answer that never began */
        return;
    }
    end_image(reader);
    for (size_t i = 0; i < RELAY_TOOLS_OPEN_MAX; i++) {
        stop(reader, &state->entries[i]);
    }
    if (event.ending.reason == RELAY_STOP_END || event.ending.reason == RELAY_STOP_UNSET) {
        event.ending.reason = state->tools ? RELAY_STOP_TOOLS : RELAY_STOP_END;
    }
    reader->finished = true;
    emit(reader, &event);
}

static void metadata(relay_reader_t *reader, relay_json_value_t usage, relay_json_value_t tier)
{
    static const relay_span_t key = RELAY_SPAN_INIT("type");
    relay_json_value_t word = {RELAY_JSON_ABSENT, {NULL, 0}};
    relay_stream_event_t event = {.kind = RELAY_STREAM_USAGE, .usage = &reader->usage};

    if (tier.type == RELAY_JSON_OBJECT) {
        relay_json_members(tier.text, &key, 1, &word);
        relay_wire_tier(relay_wire_inner(word), &reader->usage.tier);
    }
    if (usage.type == RELAY_JSON_OBJECT && reader->started) {
        relay_bedrock_usage(usage, &reader->usage);
        emit(reader, &event);
    }
    if (reader->finished) {
        end(reader);
    }
}

/* ---- events -------------------------------------------------------------- */

enum { K_INDEX, K_START, K_DELTA, K_REASON, K_FIELDS, K_USAGE, K_TIER, DATA_KEYS };

static const relay_span_t data_keys[DATA_KEYS] = {RELAY_SPAN_INIT("contentBlockIndex"),
                                                  RELAY_SPAN_INIT("start"),
                                                  RELAY_SPAN_INIT("delta"),
                                                  RELAY_SPAN_INIT("stopReason"),
                                                  RELAY_SPAN_INIT("additionalModelResponseFields"),
                                                  RELAY_SPAN_INIT("usage"),
                                                  RELAY_SPAN_INIT("serviceTier")};

static bool is(relay_span_t type, const char *word)
{
    return type.len == strlen(word) && memcmp(type.base, word, type.len) == 0;
}

static uint32_t index_of(relay_json_value_t value)
{
    uint64_t index = 0;

    return relay_json_uint(value, &index) && index <= UINT32_MAX ? (uint32_t)index : 0;
}

static void read_block_event(relay_reader_t *reader, relay_span_t name,
                             const relay_json_value_t *data)
{
    uint32_t index = index_of(data[K_INDEX]);

    if (reader->finished) {
        return;
    }
    message_start(reader);
    if (is(name, "contentBlockDelta")) {
        block_delta(reader, index, data[K_DELTA]);
    } else if (is(name, "contentBlockStart")) {
        block_start(reader, index, data[K_START]);
    } else {
        block_stop(reader, index);
    }
}

static void read_data(relay_reader_t *reader, relay_span_t name, const relay_json_value_t *data)
{
    if (is(name, "contentBlockDelta") || is(name, "contentBlockStart") ||
        is(name, "contentBlockStop")) {
        read_block_event(reader, name, data);
    } else if (is(name, "messageStart")) {
        message_start(reader);
    } else if (is(name, "messageStop")) {
        if (!reader->finished) {
            message_stop(reader, data[K_REASON], data[K_FIELDS]);
        }
    } else if (is(name, "metadata")) {
        metadata(reader, data[K_USAGE], data[K_TIER]);
    }
}

static void read_end(relay_reader_t *reader)
{
    if (reader->finished) {
        end(reader);
    } else {
        fail_cut(reader);
    }
}

void relay_converse_read_event(relay_reader_t *reader, const relay_sse_item_t *item)
{
    relay_json_value_t data[DATA_KEYS] = {0};
    relay_bedrock_exception_t exception;

    if (reader->over) {
        return;
    }
    if (item == NULL) {
        read_end(reader);
    } else if (!item->has_data) {
        return;
    } else if (item->terminated &&
               (item->name.len == 0 || relay_eventstream_is_failure(item->name)) &&
               relay_bedrock_exception_read(item->name, item->data, &exception)) {
        fail_with(reader, &exception);
    } else if (relay_wire_read(item->data, data_keys, DATA_KEYS, data)) {
        read_data(reader, item->name, data);
    }
}
