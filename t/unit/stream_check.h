/*
 * What streams have to look like to the strictest of their clients: lifecycle of
 * Messages, chunks of Chat Completions, sequence of Responses, chunks of Gemini. For
 * test_translate_*.c and the fuzz target; each function returns NULL, or what is wrong
 * with the text.
 */

#ifndef RELAY_TEST_STREAM_CHECK_H
#define RELAY_TEST_STREAM_CHECK_H

#include <stdlib.h>

#include "sse.h"
#include "wire_support.h"

typedef enum {
    STREAM_MESSAGES = 0,
    STREAM_CHAT,
    STREAM_RESPONSES,
    STREAM_GEMINI,
    STREAM_NOBODY /* a format without callers: one error */
} stream_format_t;

typedef struct {
    bool ended;   /* the terminal event of a good answer came */
    bool errored; /* an error was the last event */
    bool usage;   /* Chat: the usage chunk came */
    unsigned blocks;
    unsigned calls;
    char stop[RELAY_FINISH_MAX];
} stream_check_t;

#define STREAM_REQUIRE(condition, fault)                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            return (fault);                                                                        \
        }                                                                                          \
    } while (0)

static void *stream_check_resize(void *owner, void *block, size_t size)
{
    (void)owner;
    if (size == 0) {
        free(block);
        return NULL;
    }
    return realloc(block, size);
}

static relay_json_value_t stream_member(relay_json_value_t object, const char *name)
{
    relay_span_t key = relay_wire_cstring(name);
    relay_json_value_t value = {RELAY_JSON_ABSENT, {NULL, 0}};

    if (object.type == RELAY_JSON_OBJECT) {
        relay_json_members(object.text, &key, 1, &value);
    }
    return value;
}

static bool stream_is(relay_json_value_t value, const char *text)
{
    return relay_wire_is(value, relay_wire_cstring(text));
}

/* ---- Messages ------------------------------------------------------------- */

typedef struct {
    stream_check_t *check;
    bool started;
    bool open;
    bool delta_seen; /* message_delta */
    bool input;      /* the open call has had a fragment */
    bool signature;  /* the open thinking has had its signature */
    bool empty;      /* the open block has had nothing */
    char kind[32];
    uint64_t index; /* of the open block, or the next one */
} stream_messages_t;

static const char *stream_messages_usage(relay_json_value_t usage)
{
    static const char *const names[] = {"input_tokens", "output_tokens",
                                        "cache_creation_input_tokens", "cache_read_input_tokens"};
    uint64_t number;

    for (size_t i = 0; i < 4; i++) {
        STREAM_REQUIRE(relay_json_uint(stream_member(usage, names[i]), &number),
                       "usage lacks a number");
    }
    return NULL;
}

static const char *stream_messages_start(stream_messages_t *state, relay_json_value_t data)
{
    relay_json_value_t message = stream_member(data, "message");

    STREAM_REQUIRE(!state->started, "a second message_start");
    STREAM_REQUIRE(relay_wire_says(stream_member(message, "id")), "message_start without id");
    STREAM_REQUIRE(stream_is(stream_member(message, "role"), "assistant"), "role");
    STREAM_REQUIRE(stream_member(message, "model").type == RELAY_JSON_STRING, "model");
    STREAM_REQUIRE(stream_member(message, "content").type == RELAY_JSON_ARRAY, "content");
    STREAM_REQUIRE(stream_member(message, "stop_reason").type == RELAY_JSON_NULL, "stop_reason");
    state->started = true;
    return stream_messages_usage(stream_member(message, "usage"));
}

static const char *stream_messages_block(stream_messages_t *state, relay_json_value_t data)
{
    relay_json_value_t block = stream_member(data, "content_block");
    uint64_t index;

    STREAM_REQUIRE(state->started && !state->delta_seen, "a block outside of the message");
    STREAM_REQUIRE(!state->open, "a block inside another one");
    STREAM_REQUIRE(relay_json_uint(stream_member(data, "index"), &index) && index == state->index,
                   "index of a block");
    STREAM_REQUIRE(relay_wire_copy(stream_member(block, "type"), state->kind, sizeof(state->kind)),
                   "a block without type");
    state->open = true;
    state->input = state->signature = false;
    state->empty = strcmp(state->kind, "text") == 0 || strcmp(state->kind, "thinking") == 0;
    state->check->blocks++;
    if (strcmp(state->kind, "tool_use") == 0) {
        STREAM_REQUIRE(relay_wire_says(stream_member(block, "id")), "a call without id");
        STREAM_REQUIRE(stream_member(block, "name").type == RELAY_JSON_STRING, "a call's name");
        STREAM_REQUIRE(stream_member(block, "input").type == RELAY_JSON_OBJECT, "a call's input");
        state->check->calls++;
        return NULL;
    }
    STREAM_REQUIRE(state->empty || strcmp(state->kind, "redacted_thinking") == 0,
                   "a block of unknown type");
    return NULL;
}

static const char *stream_messages_delta(stream_messages_t *state, relay_json_value_t data)
{
    relay_json_value_t delta = stream_member(data, "delta"), type = stream_member(delta, "type");
    uint64_t index;

    STREAM_REQUIRE(state->open, "a delta outside of a block");
    STREAM_REQUIRE(relay_json_uint(stream_member(data, "index"), &index) && index == state->index,
                   "index of a delta");
    STREAM_REQUIRE(!state->signature, "a delta behind the signature");
    state->empty = false;
    if (strcmp(state->kind, "text") == 0) {
        STREAM_REQUIRE(stream_is(type, "text_delta") || stream_is(type, "citations_delta"),
                       "a delta of text");
    } else if (strcmp(state->kind, "thinking") == 0) {
        state->signature = stream_is(type, "signature_delta");
        STREAM_REQUIRE(state->signature || stream_is(type, "thinking_delta"),
                       "a delta of thinking");
    } else {
        state->input = true;
        STREAM_REQUIRE(stream_is(type, "input_json_delta"), "a delta of a call");
        STREAM_REQUIRE(stream_member(delta, "partial_json").type == RELAY_JSON_STRING,
                       "partial_json");
    }
    return NULL;
}

static const char *stream_messages_stop_block(stream_messages_t *state, relay_json_value_t data)
{
    uint64_t index;

    STREAM_REQUIRE(state->open, "a stop without its block");
    STREAM_REQUIRE(relay_json_uint(stream_member(data, "index"), &index) && index == state->index,
                   "index of a stop");
    STREAM_REQUIRE(!state->empty, "an empty block");
    STREAM_REQUIRE(strcmp(state->kind, "tool_use") != 0 || state->input, "a call without input");
    state->open = false;
    state->index++;
    return NULL;
}

static const char *stream_messages_event(stream_messages_t *state, const relay_sse_item_t *item,
                                         relay_json_value_t data)
{
    relay_json_value_t type = stream_member(data, "type");

    STREAM_REQUIRE(relay_wire_is(type, item->name), "the name of an event is not its type");
    STREAM_REQUIRE(!state->check->ended && !state->check->errored, "an event behind the end");
    if (stream_is(type, "error")) {
        state->check->errored = true;
        return relay_wire_says(stream_member(stream_member(data, "error"), "message"))
                   ? NULL
                   : "an error without message";
    }
    if (stream_is(type, "ping")) {
        STREAM_REQUIRE(state->started, "a ping before the message");
        return NULL;
    }
    if (stream_is(type, "message_start")) {
        return stream_messages_start(state, data);
    }
    if (stream_is(type, "content_block_start")) {
        return stream_messages_block(state, data);
    }
    if (stream_is(type, "content_block_delta")) {
        return stream_messages_delta(state, data);
    }
    if (stream_is(type, "content_block_stop")) {
        return stream_messages_stop_block(state, data);
    }
    if (stream_is(type, "message_delta")) {
        STREAM_REQUIRE(state->started && !state->open && !state->delta_seen, "message_delta");
        STREAM_REQUIRE(relay_wire_copy(stream_member(stream_member(data, "delta"), "stop_reason"),
                                       state->check->stop, sizeof(state->check->stop)),
                       "no stop_reason");
        state->delta_seen = true;
        return stream_messages_usage(stream_member(data, "usage"));
    }
    STREAM_REQUIRE(stream_is(type, "message_stop"), "an event of unknown type");
    STREAM_REQUIRE(state->delta_seen, "message_stop before message_delta");
    state->check->ended = true;
    return NULL;
}

/* ---- Chat Completions ------------------------------------------------------ */

enum { STREAM_CHOICES = 128, STREAM_CALLS = 256 };

typedef struct {
    stream_check_t *check;
    char id[256];
    bool greeted[STREAM_CHOICES];
    bool finished[STREAM_CHOICES];
    unsigned calls[STREAM_CHOICES];
} stream_chat_t;

static const char *stream_chat_calls(stream_chat_t *state, uint64_t choice, relay_json_value_t list)
{
    relay_json_value_t call, function;
    size_t cursor = 0;
    uint64_t index;

    while (list.type == RELAY_JSON_ARRAY && relay_json_element(list.text, &cursor, &call)) {
        STREAM_REQUIRE(relay_json_uint(stream_member(call, "index"), &index), "a call's index");
        function = stream_member(call, "function");
        function = function.type == RELAY_JSON_OBJECT ? function : stream_member(call, "custom");
        STREAM_REQUIRE(function.type == RELAY_JSON_OBJECT, "a call without function");
        if (index == state->calls[choice]) {
            STREAM_REQUIRE(relay_wire_says(stream_member(call, "id")), "a call without id");
            STREAM_REQUIRE(relay_wire_says(stream_member(call, "type")), "a call without type");
            STREAM_REQUIRE(stream_member(function, "name").type == RELAY_JSON_STRING,
                           "a call without name");
            state->calls[choice]++;
            state->check->calls++;
        } else {
            STREAM_REQUIRE(index < state->calls[choice], "an index was left out");
            STREAM_REQUIRE(stream_member(call, "id").type == RELAY_JSON_ABSENT, "a second id");
        }
    }
    return NULL;
}

static const char *stream_chat_choice(stream_chat_t *state, relay_json_value_t choice)
{
    relay_json_value_t delta = stream_member(choice, "delta");
    relay_json_value_t finish = stream_member(choice, "finish_reason");
    uint64_t index;

    STREAM_REQUIRE(relay_json_uint(stream_member(choice, "index"), &index) &&
                       index < STREAM_CHOICES,
                   "index of a choice");
    STREAM_REQUIRE(delta.type == RELAY_JSON_OBJECT, "a choice without delta");
    STREAM_REQUIRE(!state->finished[index], "a choice went on behind its finish");
    if (!state->greeted[index]) {
        STREAM_REQUIRE(stream_is(stream_member(delta, "role"), "assistant"), "no role at first");
        state->greeted[index] = true;
    }
    if (finish.type != RELAY_JSON_NULL) {
        STREAM_REQUIRE(relay_wire_copy(finish, state->check->stop, sizeof(state->check->stop)),
                       "finish_reason");
        state->finished[index] = true;
    }
    return stream_chat_calls(state, index, stream_member(delta, "tool_calls"));
}

static const char *stream_chat_head(stream_chat_t *state, relay_json_value_t data)
{
    char id[256] = "";
    uint64_t created;

    STREAM_REQUIRE(relay_wire_copy(stream_member(data, "id"), id, sizeof(id)), "no id");
    STREAM_REQUIRE(state->id[0] == '\0' || strcmp(id, state->id) == 0, "the id changed");
    memcpy(state->id, id, sizeof(id));
    STREAM_REQUIRE(stream_is(stream_member(data, "object"), "chat.completion.chunk"), "object");
    STREAM_REQUIRE(relay_json_uint(stream_member(data, "created"), &created), "created");
    STREAM_REQUIRE(stream_member(data, "model").type == RELAY_JSON_STRING, "model");
    STREAM_REQUIRE(stream_member(data, "choices").type == RELAY_JSON_ARRAY, "choices");
    return NULL;
}

static const char *stream_chat_event(stream_chat_t *state, const relay_sse_item_t *item,
                                     relay_json_value_t data)
{
    relay_json_value_t choices = stream_member(data, "choices"), choice;
    const char *fault;
    size_t cursor = 0;

    STREAM_REQUIRE(item->name.len == 0, "a chunk has no name");
    STREAM_REQUIRE(!state->check->ended && !state->check->errored, "a chunk behind the end");
    if (stream_member(data, "error").type == RELAY_JSON_OBJECT) {
        state->check->errored = true;
        return relay_wire_says(stream_member(stream_member(data, "error"), "message"))
                   ? NULL
                   : "an error without message";
    }
    fault = stream_chat_head(state, data);
    STREAM_REQUIRE(!state->check->usage, "a chunk behind the usage");
    while (fault == NULL && relay_json_element(choices.text, &cursor, &choice)) {
        fault = stream_chat_choice(state, choice);
    }
    if (stream_member(data, "usage").type == RELAY_JSON_OBJECT) {
        STREAM_REQUIRE(!relay_wire_says(choices), "usage beside choices");
        STREAM_REQUIRE(state->finished[0], "usage before the finish");
        state->check->usage = true;
    }
    return fault;
}

/* ---- Responses ------------------------------------------------------------- */

typedef struct {
    char *base;
    size_t len;
} stream_text_t;

static void stream_add(stream_text_t *text, relay_span_t more)
{
    text->base = realloc(text->base, text->len + more.len + 1);
    if (more.len != 0) {
        memcpy(text->base + text->len, more.base, more.len);
    }
    text->len += more.len;
}

static bool stream_reads(const stream_text_t *text, relay_json_value_t value)
{
    return value.type == RELAY_JSON_STRING &&
           relay_span_eq(relay_span(text->base, text->len), relay_wire_inner(value));
}

typedef enum {
    STREAM_PART_NONE = 0,
    STREAM_PART_OPEN,
    STREAM_PART_SAID,
    STREAM_PART_DONE
} stream_part_t;

typedef struct {
    stream_check_t *check;
    uint64_t sequence;
    uint64_t index; /* of the open item, or the next one */
    bool open;
    bool call;          /* the open item is one whose arguments are told */
    stream_part_t part; /* of the open item */
    char kind[64];
    char id[512];        /* of the open item */
    char response[512];  /* the answer's id */
    stream_text_t text;  /* what the deltas of the open item said */
    stream_text_t items; /* as they were done */
} stream_responses_t;

static const char *stream_responses_head(stream_responses_t *state, relay_json_value_t data)
{
    static const char *const lists[] = {"output", "tools"};
    relay_json_value_t response = stream_member(data, "response");
    char id[512] = "";
    uint64_t created;

    STREAM_REQUIRE(relay_wire_copy(stream_member(response, "id"), id, sizeof(id)), "no id");
    STREAM_REQUIRE(state->response[0] == '\0' || strcmp(id, state->response) == 0,
                   "the id changed");
    memcpy(state->response, id, sizeof(id));
    STREAM_REQUIRE(strncmp(id, "resp_", 5) == 0, "an id of another kind");
    STREAM_REQUIRE(stream_is(stream_member(response, "object"), "response"), "object");
    STREAM_REQUIRE(relay_json_uint(stream_member(response, "created_at"), &created), "created_at");
    STREAM_REQUIRE(stream_member(response, "model").type == RELAY_JSON_STRING, "model");
    STREAM_REQUIRE(stream_member(response, "status").type == RELAY_JSON_STRING, "status");
    for (size_t i = 0; i < 2; i++) {
        STREAM_REQUIRE(stream_member(response, lists[i]).type == RELAY_JSON_ARRAY, lists[i]);
    }
    return NULL;
}

static const char *stream_responses_place(stream_responses_t *state, relay_json_value_t data)
{
    char id[512] = "";
    uint64_t index;

    STREAM_REQUIRE(state->open, "an event outside of its item");
    STREAM_REQUIRE(relay_json_uint(stream_member(data, "output_index"), &index) &&
                       index == state->index,
                   "output_index");
    STREAM_REQUIRE(relay_wire_copy(stream_member(data, "item_id"), id, sizeof(id)), "item_id");
    STREAM_REQUIRE(strcmp(id, state->id) == 0, "the id of an item changed");
    return NULL;
}

/* Members that clients of an item read. */
static const char *stream_responses_members(stream_responses_t *state, relay_json_value_t item)
{
    bool search = strcmp(state->kind, "tool_search_call") == 0;
    bool custom = strcmp(state->kind, "custom_tool_call") == 0;

    if (strcmp(state->kind, "message") == 0) {
        STREAM_REQUIRE(stream_is(stream_member(item, "role"), "assistant"), "role");
        STREAM_REQUIRE(stream_member(item, "content").type == RELAY_JSON_ARRAY, "content");
        STREAM_REQUIRE(relay_wire_says(stream_member(item, "status")), "status of an item");
    } else if (strcmp(state->kind, "reasoning") == 0) {
        STREAM_REQUIRE(stream_member(item, "summary").type == RELAY_JSON_ARRAY, "summary");
    } else if (search && !stream_is(stream_member(item, "execution"), "client")) {
        return NULL; /* the provider's own search: nobody answers it */
    } else if (search || custom || strcmp(state->kind, "function_call") == 0) {
        STREAM_REQUIRE(relay_wire_says(stream_member(item, "call_id")), "a call without id");
        STREAM_REQUIRE(search || stream_member(item, "name").type == RELAY_JSON_STRING,
                       "a call without name");
        STREAM_REQUIRE(relay_wire_says(stream_member(item, "status")), "status of an item");
        STREAM_REQUIRE(stream_member(item, custom ? "input" : "arguments").type ==
                           (search ? RELAY_JSON_OBJECT : RELAY_JSON_STRING),
                       "arguments");
        state->call = !search;
    }
    return NULL;
}

static const char *stream_responses_added(stream_responses_t *state, relay_json_value_t data)
{
    relay_json_value_t item = stream_member(data, "item");
    uint64_t index;

    STREAM_REQUIRE(!state->open, "an item inside another one");
    STREAM_REQUIRE(relay_json_uint(stream_member(data, "output_index"), &index) &&
                       index == state->index,
                   "output_index of an item");
    STREAM_REQUIRE(item.type == RELAY_JSON_OBJECT, "an item that is no object");
    state->kind[0] = state->id[0] = '\0';
    relay_wire_copy(stream_member(item, "type"), state->kind, sizeof(state->kind));
    relay_wire_copy(stream_member(item, "id"), state->id, sizeof(state->id));
    state->open = true;
    state->call = false;
    state->part = STREAM_PART_NONE;
    state->text.len = 0;
    state->check->blocks++;
    state->check->calls += strstr(state->kind, "_call") != NULL;
    return stream_responses_members(state, item);
}

/* The item's texts are what its deltas said. */
static const char *stream_responses_done(stream_responses_t *state, relay_json_value_t data)
{
    relay_json_value_t item = stream_member(data, "item");
    char id[512] = "", kind[64] = "";
    uint64_t index;

    STREAM_REQUIRE(state->open, "an item done twice");
    STREAM_REQUIRE(relay_json_uint(stream_member(data, "output_index"), &index) &&
                       index == state->index,
                   "output_index of an item that is done");
    relay_wire_copy(stream_member(item, "type"), kind, sizeof(kind));
    relay_wire_copy(stream_member(item, "id"), id, sizeof(id));
    STREAM_REQUIRE(strcmp(id, state->id) == 0 && strcmp(kind, state->kind) == 0,
                   "another item is done");
    STREAM_REQUIRE(state->part == STREAM_PART_NONE || state->part == STREAM_PART_DONE,
                   "a part is not done");
    STREAM_REQUIRE(strcmp(kind, "image_generation_call") != 0 ||
                       relay_wire_says(stream_member(item, "result")),
                   "an image without its data");
    STREAM_REQUIRE(strcmp(kind, "message") != 0 || state->part == STREAM_PART_DONE,
                   "a message without a part");
    if (state->call) {
        bool custom = strcmp(kind, "custom_tool_call") == 0;
        STREAM_REQUIRE(
            stream_reads(&state->text, stream_member(item, custom ? "input" : "arguments")),
            "the arguments are not what was told");
        STREAM_REQUIRE(state->part == STREAM_PART_DONE, "arguments that were not done");
    }
    stream_add(&state->items, state->items.len != 0 ? RELAY_SPAN(",") : RELAY_SPAN(""));
    stream_add(&state->items, item.text);
    state->open = false;
    state->index++;
    return stream_responses_members(state, item);
}

/* The text of a part, whatever its kind. */
static relay_json_value_t stream_responses_part_text(relay_json_value_t part)
{
    relay_json_value_t refusal = stream_member(part, "refusal");

    return refusal.type == RELAY_JSON_STRING ? refusal : stream_member(part, "text");
}

static const char *stream_responses_part(stream_responses_t *state, relay_json_value_t data,
                                         bool added)
{
    relay_json_value_t part = stream_member(data, "part");
    bool text = stream_is(stream_member(part, "type"), "output_text");
    relay_json_value_t said = stream_responses_part_text(part);

    STREAM_REQUIRE(!text || (stream_member(part, "annotations").type == RELAY_JSON_ARRAY &&
                             stream_member(part, "logprobs").type == RELAY_JSON_ARRAY),
                   "a part without annotations or logprobs");
    STREAM_REQUIRE(state->part == (added ? STREAM_PART_NONE : STREAM_PART_SAID), "order of a part");
    state->part = added ? STREAM_PART_OPEN : STREAM_PART_DONE;
    STREAM_REQUIRE(stream_reads(&state->text, said), "a part is not what was told");
    return NULL;
}

static const char *stream_responses_delta(stream_responses_t *state, relay_json_value_t data)
{
    relay_json_value_t delta = stream_member(data, "delta");

    STREAM_REQUIRE(delta.type == RELAY_JSON_STRING, "a delta that is no text");
    STREAM_REQUIRE(state->part == (state->call ? STREAM_PART_NONE : STREAM_PART_OPEN),
                   "a delta outside of its part");
    stream_add(&state->text, relay_wire_inner(delta));
    return NULL;
}

/* …text.done, …arguments.done, …input.done, …refusal.done */
static const char *stream_responses_said(stream_responses_t *state, relay_json_value_t data)
{
    static const char *const names[] = {"text", "arguments", "input", "refusal"};
    bool found = false;

    for (size_t i = 0; i < 4; i++) {
        relay_json_value_t value = stream_member(data, names[i]);
        if (value.type == RELAY_JSON_STRING) {
            STREAM_REQUIRE(stream_reads(&state->text, value), "the whole is not its deltas");
            found = true;
        }
    }
    STREAM_REQUIRE(found, "done without its text");
    STREAM_REQUIRE(state->part == (state->call ? STREAM_PART_NONE : STREAM_PART_OPEN),
                   "done before it began");
    state->part = state->call ? STREAM_PART_DONE : STREAM_PART_SAID;
    return NULL;
}

static const char *stream_responses_within(stream_responses_t *state, relay_json_value_t data,
                                           const char *type)
{
    size_t len = strlen(type);
    const char *fault = stream_responses_place(state, data);

    STREAM_REQUIRE(fault == NULL, fault);
    if (strstr(type, "_part.added") != NULL || strstr(type, "_part.done") != NULL) {
        return stream_responses_part(state, data, strcmp(type + len - 6, ".added") == 0);
    }
    if (strcmp(type, "response.output_text.annotation.added") == 0) {
        STREAM_REQUIRE(stream_member(data, "annotation").type == RELAY_JSON_OBJECT, "annotation");
        return NULL;
    }
    if (strcmp(type + len - 6, ".delta") == 0) {
        return stream_responses_delta(state, data);
    }
    if (strcmp(state->kind, "image_generation_call") == 0) {
        STREAM_REQUIRE(strncmp(type, "response.image_generation_call.", 31) == 0,
                       "an event of another item");
        return NULL;
    }
    STREAM_REQUIRE(strcmp(type + len - 5, ".done") == 0, "an event of unknown type");
    return stream_responses_said(state, data);
}

static const char *stream_responses_end(stream_responses_t *state, relay_json_value_t data,
                                        const char *type)
{
    static const char *const counts[] = {"input_tokens", "output_tokens", "total_tokens"};
    relay_json_value_t response = stream_member(data, "response");
    relay_json_value_t usage = stream_member(response, "usage");
    relay_json_value_t output = stream_member(response, "output");
    uint64_t number;

    if (strcmp(type, "response.failed") == 0) {
        STREAM_REQUIRE(relay_wire_says(stream_member(stream_member(response, "error"), "message")),
                       "an error without message");
        STREAM_REQUIRE(relay_wire_says(stream_member(stream_member(response, "error"), "code")),
                       "an error without code");
        state->check->errored = true;
        return NULL;
    }
    STREAM_REQUIRE(!state->open, "the end inside an item");
    STREAM_REQUIRE(output.text.len == state->items.len + 2 &&
                       relay_span_eq(relay_span(output.text.base + 1, output.text.len - 2),
                                     relay_span(state->items.base, state->items.len)),
                   "the output is not the items that were done");
    for (size_t i = 0; i < 3; i++) {
        STREAM_REQUIRE(relay_json_uint(stream_member(usage, counts[i]), &number), "usage");
    }
    relay_wire_copy(stream_member(response, "status"), state->check->stop,
                    sizeof(state->check->stop));
    relay_wire_copy(stream_member(stream_member(response, "incomplete_details"), "reason"),
                    state->check->stop, sizeof(state->check->stop));
    state->check->ended = true;
    state->check->usage = true;
    return NULL;
}

static const char *stream_responses_event(stream_responses_t *state, const relay_sse_item_t *item,
                                          relay_json_value_t data)
{
    static const char *const first[] = {"response.created", "response.in_progress"};
    char type[128] = "";
    uint64_t sequence;
    const char *fault;

    relay_wire_copy(stream_member(data, "type"), type, sizeof(type));
    STREAM_REQUIRE(relay_span_eq(item->name, relay_wire_cstring(type)),
                   "the name of an event is not its type");
    STREAM_REQUIRE(!state->check->ended && !state->check->errored, "an event behind the end");
    STREAM_REQUIRE(relay_json_uint(stream_member(data, "sequence_number"), &sequence) &&
                       sequence == state->sequence,
                   "sequence_number");
    state->sequence++;
    if (sequence < 2) {
        STREAM_REQUIRE(strcmp(type, first[sequence]) == 0, "how the stream begins");
        return stream_responses_head(state, data);
    }
    if (strcmp(type, "response.completed") == 0 || strcmp(type, "response.incomplete") == 0 ||
        strcmp(type, "response.failed") == 0) {
        fault = stream_responses_head(state, data);
        return fault != NULL ? fault : stream_responses_end(state, data, type);
    }
    if (strcmp(type, "response.output_item.added") == 0) {
        return stream_responses_added(state, data);
    }
    return strcmp(type, "response.output_item.done") == 0
               ? stream_responses_done(state, data)
               : stream_responses_within(state, data, type);
}

#include "stream_check_gemini.h"

/* ---- any of them ------------------------------------------------------------ */

typedef struct {
    stream_format_t format;
    stream_messages_t messages;
    stream_chat_t chat;
    stream_responses_t responses;
    stream_gemini_t gemini;
} stream_state_t;

static const char *stream_check_done(stream_chat_t *chat)
{
    STREAM_REQUIRE(!chat->check->ended && !chat->check->errored, "[DONE] behind the end");
    STREAM_REQUIRE(chat->finished[0], "[DONE] without a finish");
    chat->check->ended = true;
    return NULL;
}

static const char *stream_check_item(const relay_sse_item_t *item, stream_state_t *state)
{
    relay_json_value_t data = {RELAY_JSON_OBJECT, item->data};
    relay_json_fault_t fault;

    STREAM_REQUIRE(item->has_data, "an event without data");
    if (state->format == STREAM_CHAT && relay_wire_done_marker(item->data)) {
        return stream_check_done(&state->chat);
    }
    STREAM_REQUIRE(relay_json_scan(item->data, NULL, 0, NULL, &fault) == RELAY_JSON_OK,
                   "data that is not JSON");
    switch (state->format) {
    case STREAM_CHAT:
        return stream_chat_event(&state->chat, item, data);
    case STREAM_RESPONSES:
        return stream_responses_event(&state->responses, item, data);
    case STREAM_GEMINI:
        return stream_gemini_event(&state->gemini, item, data);
    case STREAM_NOBODY:
        STREAM_REQUIRE(!state->gemini.check->errored, "something behind the error");
        state->gemini.check->errored = true;
        return NULL;
    default:
        return stream_messages_event(&state->messages, item, data);
    }
}

/* The format that is checked for answers in `wire`. */
__attribute__((unused)) static stream_format_t stream_format(const relay_wire_t *wire)
{
    static const char *const names[] = {[STREAM_MESSAGES] = "anthropic-messages",
                                        [STREAM_CHAT] = "openai-chat",
                                        [STREAM_RESPONSES] = "openai-responses",
                                        [STREAM_GEMINI] = "gemini"};
    unsigned format = 0;

    while (format < STREAM_NOBODY &&
           !relay_span_eq(wire->name, relay_wire_cstring(names[format]))) {
        format++;
    }
    return (stream_format_t)format;
}

__attribute__((unused)) static const char *stream_check(relay_span_t text, stream_format_t format,
                                                        stream_check_t *check)
{
    stream_state_t state = {.format = format,
                            .messages = {.check = check},
                            .chat = {.check = check},
                            .responses = {.check = check},
                            .gemini = {.check = check}};
    relay_sse_t sse;
    relay_sse_item_t item;
    relay_sse_status_t status;
    const char *fault = NULL;

    memset(check, 0, sizeof(*check));
    relay_sse_init(&sse, (relay_memory_t){stream_check_resize, NULL}, SIZE_MAX / 4);
    while (fault == NULL && (status = relay_sse_next(&sse, &text, &item)) != RELAY_SSE_MORE) {
        if (status == RELAY_SSE_EVENT) {
            fault = stream_check_item(&item, &state);
        } else if (status != RELAY_SSE_BLANK) {
            fault = "framing";
        }
    }
    if (fault == NULL && relay_sse_pending(&sse)) {
        fault = "an event without its end";
    }
    relay_sse_free(&sse);
    free(state.responses.text.base);
    free(state.responses.items.base);
    return fault;
}

#endif
