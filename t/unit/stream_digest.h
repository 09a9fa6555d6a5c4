/*
 * What a stream tells its client, in the same words whatever its format is, so that one
 * expectation serves every caller. For test_stream_*.c.
 *
 *   think(why|signature) text(Hello) refusal(no) call(f,{"a":1}) stop 11/3/5
 *
 * In the order in which blocks began; a call's fragments are put together by its index;
 * tokens are of the whole prompt, of these from the cache, of the answer. With an error
 * the end is "error(message)". A call of Messages that has no fragments is {} to its client.
 */

#ifndef RELAY_TEST_STREAM_DIGEST_H
#define RELAY_TEST_STREAM_DIGEST_H

#include "stream_check.h"

enum { DIGEST_PARTS = 32, DIGEST_TEXT = 2048, DIGEST_ERROR = 8192, DIGEST_ALL = 16384 };

typedef enum {
    DIGEST_THINK = 0,
    DIGEST_REDACTED,
    DIGEST_SAID,
    DIGEST_REFUSAL,
    DIGEST_CALL
} digest_kind_t;

typedef struct {
    digest_kind_t kind;
    uint64_t index; /* CALL: as the client counts */
    char head[256]; /* CALL: its name; THINK: what it is signed with */
    char id[256];   /* CALL */
    char text[DIGEST_TEXT];
    size_t len;
} digest_part_t;

typedef struct {
    stream_format_t format;
    digest_part_t parts[DIGEST_PARTS];
    size_t count;
    uint64_t tokens[3];
    char error[DIGEST_ERROR];
    char type[128]; /* of the error */
    char code[128];
} digest_t;

static void digest_copy(relay_json_value_t value, char *out, size_t size)
{
    relay_buf_t text = relay_buf(out, size - 1);

    if (value.type == RELAY_JSON_STRING) {
        relay_json_decode_content(relay_wire_inner(value), &text);
    }
    out[relay_buf_span(&text).len] = '\0';
}

static digest_part_t *digest_part(digest_t *digest, digest_kind_t kind, uint64_t index)
{
    digest_part_t *part;

    for (size_t i = digest->count; i > 0; i--) {
        part = &digest->parts[i - 1];
        if (part->kind == kind && part->index == index &&
            (kind == DIGEST_CALL || i == digest->count)) {
            return part;
        }
    }
    if (digest->count == DIGEST_PARTS) {
        abort();
    }
    part = &digest->parts[digest->count++];
    *part = (digest_part_t){.kind = kind, .index = index};
    return part;
}

static void digest_add(digest_part_t *part, relay_json_value_t value)
{
    relay_buf_t text = relay_buf(part->text + part->len, sizeof(part->text) - 1 - part->len);

    if (value.type == RELAY_JSON_STRING) {
        relay_json_decode_content(relay_wire_inner(value), &text);
    } else {
        relay_buf_put(&text, value.text);
    }
    part->len += relay_buf_span(&text).len;
}

/* Text of a kind that is told in pieces, unless it is empty. */
static void digest_say(digest_t *digest, digest_kind_t kind, relay_json_value_t value)
{
    if (value.type == RELAY_JSON_STRING && relay_wire_says(value)) {
        digest_add(digest_part(digest, kind, 0), value);
    }
}

static void digest_head(digest_part_t *part, relay_json_value_t id, relay_json_value_t name)
{
    digest_copy(id, part->id, sizeof(part->id));
    digest_copy(name, part->head, sizeof(part->head));
}

static void digest_sign(digest_t *digest, relay_json_value_t value)
{
    if (relay_wire_says(value)) {
        digest_copy(value, digest_part(digest, DIGEST_THINK, 0)->head, 256);
    }
}

static uint64_t digest_number(relay_json_value_t object, const char *name)
{
    uint64_t number = 0;

    relay_json_uint(stream_member(object, name), &number);
    return number;
}

static void digest_error(digest_t *digest, relay_json_value_t error, const char *type)
{
    digest_copy(stream_member(error, "message"), digest->error, sizeof(digest->error));
    digest_copy(stream_member(error, type), digest->type, sizeof(digest->type));
    digest_copy(stream_member(error, "code"), digest->code, sizeof(digest->code));
}

/* ---- of each format -------------------------------------------------------- */

static void digest_messages(digest_t *digest, relay_json_value_t data)
{
    relay_json_value_t block = stream_member(data, "content_block"), part;
    relay_json_value_t delta = stream_member(data, "delta"), usage = stream_member(data, "usage");
    uint64_t index = digest_number(data, "index");

    if (stream_is(stream_member(block, "type"), "tool_use")) {
        digest_head(digest_part(digest, DIGEST_CALL, index), stream_member(block, "id"),
                    stream_member(block, "name"));
    }
    digest_say(digest, DIGEST_REDACTED, stream_member(block, "data"));
    digest_say(digest, DIGEST_SAID, stream_member(delta, "text"));
    digest_say(digest, DIGEST_THINK, stream_member(delta, "thinking"));
    digest_sign(digest, stream_member(delta, "signature"));
    part = stream_member(delta, "partial_json");
    if (part.type == RELAY_JSON_STRING) {
        digest_add(digest_part(digest, DIGEST_CALL, index), part);
    }
    if (usage.type == RELAY_JSON_OBJECT) {
        digest->tokens[1] = digest_number(usage, "cache_read_input_tokens");
        digest->tokens[0] = digest_number(usage, "input_tokens") + digest->tokens[1] +
                            digest_number(usage, "cache_creation_input_tokens");
        digest->tokens[2] = digest_number(usage, "output_tokens");
    }
    if (stream_is(stream_member(data, "type"), "error")) {
        digest_error(digest, stream_member(data, "error"), "type");
    }
}

static void digest_chat_calls(digest_t *digest, relay_json_value_t list)
{
    relay_json_value_t call, function;
    size_t cursor = 0;

    while (list.type == RELAY_JSON_ARRAY && relay_json_element(list.text, &cursor, &call)) {
        digest_part_t *part = digest_part(digest, DIGEST_CALL, digest_number(call, "index"));
        function = stream_member(call, "function");
        if (relay_wire_says(stream_member(call, "id"))) {
            digest_head(part, stream_member(call, "id"), stream_member(function, "name"));
        }
        digest_add(part, stream_member(function, "arguments"));
    }
}

static void digest_chat_delta(digest_t *digest, relay_json_value_t delta)
{
    relay_json_value_t list = stream_member(delta, "reasoning_details"), detail;
    size_t cursor = 0;

    digest_say(digest, DIGEST_THINK, stream_member(delta, "reasoning_content"));
    while (list.type == RELAY_JSON_ARRAY && relay_json_element(list.text, &cursor, &detail)) {
        digest_sign(digest, stream_member(detail, "signature"));
        digest_say(digest, DIGEST_REDACTED, stream_member(detail, "data"));
    }
    digest_say(digest, DIGEST_SAID, stream_member(delta, "content"));
    digest_say(digest, DIGEST_REFUSAL, stream_member(delta, "refusal"));
    digest_chat_calls(digest, stream_member(delta, "tool_calls"));
}

static void digest_chat(digest_t *digest, relay_json_value_t data)
{
    relay_json_value_t list = stream_member(data, "choices"), choice;
    relay_json_value_t usage = stream_member(data, "usage");
    size_t cursor = 0;

    while (list.type == RELAY_JSON_ARRAY && relay_json_element(list.text, &cursor, &choice)) {
        digest_chat_delta(digest, stream_member(choice, "delta"));
    }
    if (usage.type == RELAY_JSON_OBJECT) {
        digest->tokens[0] = digest_number(usage, "prompt_tokens");
        digest->tokens[1] =
            digest_number(stream_member(usage, "prompt_tokens_details"), "cached_tokens");
        digest->tokens[2] = digest_number(usage, "completion_tokens");
    }
    if (stream_member(data, "error").type == RELAY_JSON_OBJECT) {
        digest_error(digest, stream_member(data, "error"), "type");
    }
}

static void digest_responses_delta(digest_t *digest, relay_json_value_t data)
{
    relay_json_value_t type = stream_member(data, "type"), delta = stream_member(data, "delta");

    if (stream_is(type, "response.output_text.delta")) {
        digest_say(digest, DIGEST_SAID, delta);
    } else if (stream_is(type, "response.refusal.delta")) {
        digest_say(digest, DIGEST_REFUSAL, delta);
    } else if (stream_is(type, "response.reasoning_summary_text.delta")) {
        digest_say(digest, DIGEST_THINK, delta);
    } else if (stream_is(type, "response.function_call_arguments.delta")) {
        digest_add(digest_part(digest, DIGEST_CALL, digest_number(data, "output_index")), delta);
    }
}

static void digest_responses(digest_t *digest, relay_json_value_t data)
{
    relay_json_value_t type = stream_member(data, "type"), item = stream_member(data, "item");
    relay_json_value_t response = stream_member(data, "response");
    relay_json_value_t usage = stream_member(response, "usage");

    if (stream_is(type, "response.output_item.added") &&
        stream_is(stream_member(item, "type"), "function_call")) {
        digest_head(digest_part(digest, DIGEST_CALL, digest_number(data, "output_index")),
                    stream_member(item, "call_id"), stream_member(item, "name"));
    }
    if (stream_is(type, "response.output_item.done") &&
        stream_is(stream_member(item, "type"), "reasoning")) {
        digest_sign(digest, stream_member(item, "encrypted_content"));
    }
    digest_responses_delta(digest, data);
    if (usage.type == RELAY_JSON_OBJECT) {
        digest->tokens[0] = digest_number(usage, "input_tokens");
        digest->tokens[1] =
            digest_number(stream_member(usage, "input_tokens_details"), "cached_tokens");
        digest->tokens[2] = digest_number(usage, "output_tokens");
    }
    if (stream_is(type, "response.failed")) {
        digest_error(digest, stream_member(response, "error"), "type");
    }
}

static void digest_gemini_part(digest_t *digest, relay_json_value_t part)
{
    relay_json_value_t call = stream_member(part, "functionCall");
    bool thought = stream_member(part, "thought").type == RELAY_JSON_TRUE;

    if (call.type == RELAY_JSON_OBJECT) {
        digest_part_t *put = digest_part(digest, DIGEST_CALL, digest->count);
        digest_head(put, stream_member(call, "id"), stream_member(call, "name"));
        digest_add(put, stream_member(call, "args"));
        return;
    }
    digest_say(digest, thought ? DIGEST_THINK : DIGEST_SAID, stream_member(part, "text"));
    if (thought) {
        digest_sign(digest, stream_member(part, "thoughtSignature"));
    }
}

static void digest_gemini(digest_t *digest, relay_json_value_t data)
{
    relay_json_value_t list = stream_member(data, "candidates"), candidate, part, parts;
    relay_json_value_t usage = stream_member(data, "usageMetadata");
    size_t cursor = 0, inner = 0;

    if (list.type == RELAY_JSON_ARRAY && relay_json_element(list.text, &cursor, &candidate)) {
        parts = stream_member(stream_member(candidate, "content"), "parts");
        while (parts.type == RELAY_JSON_ARRAY && relay_json_element(parts.text, &inner, &part)) {
            digest_gemini_part(digest, part);
        }
    }
    if (usage.type == RELAY_JSON_OBJECT) {
        digest->tokens[0] = digest_number(usage, "promptTokenCount");
        digest->tokens[1] = digest_number(usage, "cachedContentTokenCount");
        digest->tokens[2] = digest_number(usage, "candidatesTokenCount") +
                            digest_number(usage, "thoughtsTokenCount");
    }
    if (stream_member(data, "error").type == RELAY_JSON_OBJECT) {
        digest_error(digest, stream_member(data, "error"), "status");
    }
}

/* ---- the whole --------------------------------------------------------------- */

static void digest_read(relay_span_t text, stream_format_t format, digest_t *digest)
{
    static void (*const read[])(digest_t *,
                                relay_json_value_t) = {[STREAM_MESSAGES] = digest_messages,
                                                       [STREAM_CHAT] = digest_chat,
                                                       [STREAM_RESPONSES] = digest_responses,
                                                       [STREAM_GEMINI] = digest_gemini};
    relay_sse_t sse;
    relay_sse_item_t item;
    relay_sse_status_t status;

    memset(digest, 0, sizeof(*digest));
    digest->format = format;
    relay_sse_init(&sse, (relay_memory_t){stream_check_resize, NULL}, SIZE_MAX / 4);
    while ((status = relay_sse_next(&sse, &text, &item)) != RELAY_SSE_MORE) {
        if (status == RELAY_SSE_EVENT && item.has_data && !relay_wire_done_marker(item.data)) {
            read[format](digest, (relay_json_value_t){RELAY_JSON_OBJECT, item.data});
        }
    }
    relay_sse_free(&sse);
}

/* signatures: whether they are told; some are made anew for a format, and differ. */
static void digest_put(const digest_t *digest, const stream_check_t *check, bool signatures,
                       char *out, size_t size)
{
    static const char *const words[] = {[DIGEST_THINK] = "think",
                                        [DIGEST_REDACTED] = "redacted",
                                        [DIGEST_SAID] = "text",
                                        [DIGEST_REFUSAL] = "refusal",
                                        [DIGEST_CALL] = "call"};
    int len = 0;

    out[0] = '\0';
    for (size_t i = 0; i < digest->count && (size_t)len < size; i++) {
        const digest_part_t *part = &digest->parts[i];
        bool call = part->kind == DIGEST_CALL;
        bool none = call && part->len == 0 && digest->format == STREAM_MESSAGES;
        bool sign = signatures && part->kind == DIGEST_THINK;
        len += snprintf(out + len, size - (size_t)len, "%s(%s%s%s%s%s) ", words[part->kind],
                        call ? part->head : "", call ? "," : "", none ? "{}" : part->text,
                        sign ? "|" : "", sign ? part->head : "");
    }
    if ((size_t)len >= size) {
        abort();
    }
    if (check->errored) {
        snprintf(out + len, size - (size_t)len, "error(%s)", digest->error);
    } else {
        snprintf(out + len, size - (size_t)len, "%s %llu/%llu/%llu", check->stop,
                 (unsigned long long)digest->tokens[0], (unsigned long long)digest->tokens[1],
                 (unsigned long long)digest->tokens[2]);
    }
}

#endif
