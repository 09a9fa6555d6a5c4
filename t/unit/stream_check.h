/*
 * What streams have to look like to the strictest of their clients: lifecycle of
 * Messages, chunks of Chat Completions. For test_translate_*.c and the fuzz
 * target; each function returns NULL, or what is wrong with the text.
 */

#ifndef RELAY_TEST_STREAM_CHECK_H
#define RELAY_TEST_STREAM_CHECK_H

#include <stdlib.h>

#include "sse.h"
#include "wire_support.h"

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

enum { STREAM_CHOICES = 8, STREAM_CALLS = 256 };

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

/* ---- either ----------------------------------------------------------------- */

static const char *stream_check_item(const relay_sse_item_t *item, stream_messages_t *messages,
                                     stream_chat_t *chat)
{
    relay_json_value_t data = {RELAY_JSON_OBJECT, item->data};
    relay_json_fault_t fault;

    STREAM_REQUIRE(item->has_data, "an event without data");
    if (chat->check != NULL && relay_wire_done_marker(item->data)) {
        STREAM_REQUIRE(!chat->check->ended && !chat->check->errored, "[DONE] behind the end");
        STREAM_REQUIRE(chat->finished[0], "[DONE] without a finish");
        chat->check->ended = true;
        return NULL;
    }
    STREAM_REQUIRE(relay_json_scan(item->data, NULL, 0, NULL, &fault) == RELAY_JSON_OK,
                   "data that is not JSON");
    return chat->check != NULL ? stream_chat_event(chat, item, data)
                               : stream_messages_event(messages, item, data);
}

/* `chat` picks the format. */
__attribute__((unused)) static const char *stream_check(relay_span_t text, bool chat,
                                                        stream_check_t *check)
{
    stream_messages_t of_messages = {.check = check};
    stream_chat_t of_chat = {.check = chat ? check : NULL};
    relay_sse_t sse;
    relay_sse_item_t item;
    relay_sse_status_t status;
    const char *fault = NULL;

    memset(check, 0, sizeof(*check));
    relay_sse_init(&sse, (relay_memory_t){stream_check_resize, NULL}, SIZE_MAX / 4);
    while (fault == NULL && (status = relay_sse_next(&sse, &text, &item)) != RELAY_SSE_MORE) {
        if (status == RELAY_SSE_EVENT) {
            fault = stream_check_item(&item, &of_messages, &of_chat);
        } else if (status != RELAY_SSE_BLANK) {
            fault = "framing";
        }
    }
    if (fault == NULL && relay_sse_pending(&sse)) {
        fault = "an event without its end";
    }
    relay_sse_free(&sse);
    return fault;
}

#endif
