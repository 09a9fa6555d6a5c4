/*
 * What mock_provider.c answers with: a completion of 1 KB and streams of 200 events,
 * in the format of Chat Completions and in that of Messages.
 */

#ifndef RELAY_BENCH_MOCK_ANSWERS_H
#define RELAY_BENCH_MOCK_ANSWERS_H

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

enum { EVENTS = 200, EVENT_MAX = 1024, ANSWER_MAX = 4096, STREAM_MAX = 128 * 1024 };

typedef enum { CHAT, MESSAGES, FORMATS } format_t;

static const char *const own_headers[FORMATS] = {
    "x-request-id: req_0123456789abcdef0123456789abcdef\r\n"
    "openai-processing-ms: 12\r\n"
    "x-ratelimit-limit-requests: 10000\r\n"
    "x-ratelimit-remaining-requests: 9999\r\n",
    "request-id: req_0123456789abcdef01234567\r\n"
    "anthropic-organization-id: 01234567-89ab-cdef-0123-456789abcdef\r\n"
    "anthropic-ratelimit-requests-limit: 10000\r\n"
    "anthropic-ratelimit-requests-remaining: 9999\r\n",
};

/* The head of a response; `what` is the header that tells its length. */
static size_t put_head(char *out, size_t room, format_t format, const char *type, const char *what)
{
    return (size_t)snprintf(out, room,
                            "HTTP/1.1 200 OK\r\n"
                            "Date: Sun, 01 Nov 2026 12:00:00 GMT\r\n"
                            "Content-Type: %s\r\n"
                            "%s\r\n"
                            "%s\r\n",
                            type, what, own_headers[format]);
}

/* ---- whole answers ---------------------------------------------------------- */

static size_t put_completion(char *out, size_t room, const char *text)
{
    return (size_t)snprintf(
        out, room,
        "{\"id\":\"chatcmpl-bench0123456789\",\"object\":\"chat.completion\",\"created\":"
        "1790000000,"
        "\"model\":\"bench\",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\","
        "\"content\":\"%s\",\"refusal\":null,\"annotations\":[]},\"logprobs\":null,"
        "\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":512,\"completion_tokens\":128,"
        "\"total_tokens\":640,\"prompt_tokens_details\":{\"cached_tokens\":0},"
        "\"completion_tokens_details\":{\"reasoning_tokens\":0}},\"system_fingerprint\":null}",
        text);
}

static size_t put_message(char *out, size_t room, const char *text)
{
    return (size_t)snprintf(
        out, room,
        "{\"id\":\"msg_bench0123456789\",\"type\":\"message\",\"role\":\"assistant\","
        "\"model\":\"bench\",\"content\":[{\"type\":\"text\",\"text\":\"%s\"}],"
        "\"stop_reason\":\"end_turn\",\"stop_sequence\":null,\"usage\":{\"input_tokens\":512,"
        "\"cache_creation_input_tokens\":0,\"cache_read_input_tokens\":0,"
        "\"output_tokens\":128,\"service_tier\":\"standard\"}}",
        text);
}

static size_t put_answer(char *out, size_t room, format_t format)
{
    static const char sentence[] = "A relay takes the baton, runs its leg and hands it on. ";
    char body[2048], text[1024] = "", length[64];
    size_t len;

    for (size_t used = 0; used + sizeof(sentence) < 640; used += sizeof(sentence) - 1) {
        memcpy(text + used, sentence, sizeof(sentence));
    }
    len = (format == CHAT ? put_completion : put_message)(body, sizeof(body), text);
    snprintf(length, sizeof(length), "Content-Length: %zu", len);
    len = put_head(out, room, format, "application/json", length);
    return len + (size_t)snprintf(out + len, room - len, "%s", body);
}

/* ---- streams ---------------------------------------------------------------- */

/* One chunk with one event. */
static size_t put_chunk(char *out, size_t room, const char *data)
{
    return (size_t)snprintf(out, room, "%zx\r\n%s\r\n", strlen(data), data);
}

static size_t put_chat_event(char *out, size_t room, const char *text, const char *finish)
{
    char data[EVENT_MAX], delta[128] = "";

    if (text != NULL) {
        snprintf(delta, sizeof(delta), "\"content\":\"%s\"", text);
    }
    snprintf(data, sizeof(data),
             "data: {\"id\":\"chatcmpl-bench0123456789\",\"object\":\"chat.completion.chunk\","
             "\"created\":1790000000,\"model\":\"bench\",\"choices\":[{\"index\":0,\"delta\":{%s},"
             "\"logprobs\":null,\"finish_reason\":%s}]}\n\n",
             delta, finish);
    return put_chunk(out, room, data);
}

static size_t put_messages_event(char *out, size_t room, const char *type, const char *rest)
{
    char data[EVENT_MAX];

    snprintf(data, sizeof(data), "event: %s\ndata: {\"type\":\"%s\"%s}\n\n", type, type, rest);
    return put_chunk(out, room, data);
}

/* One of the 200. */
static size_t put_event(char *out, size_t room, format_t format, const char *text)
{
    char rest[256];

    if (format == CHAT) {
        return put_chat_event(out, room, text, "null");
    }
    snprintf(rest, sizeof(rest), ",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"%s\"}",
             text);
    return put_messages_event(out, room, "content_block_delta", rest);
}

/* The head, and what comes before the 200 events. */
static size_t put_start(char *out, size_t room, format_t format)
{
    size_t len = put_head(out, room, format, "text/event-stream; charset=utf-8",
                          "Transfer-Encoding: chunked");

    if (format == MESSAGES) {
        len += put_messages_event(
            out + len, room - len, "message_start",
            ",\"message\":{\"id\":\"msg_bench0123456789\",\"type\":\"message\","
            "\"role\":\"assistant\",\"model\":\"bench\",\"content\":[],\"stop_reason\":null,"
            "\"stop_sequence\":null,\"usage\":{\"input_tokens\":512,\"output_tokens\":1}}");
        len += put_messages_event(out + len, room - len, "content_block_start",
                                  ",\"index\":0,\"content_block\":{\"type\":\"text\","
                                  "\"text\":\"\"}");
    }
    return len;
}

static size_t put_chat_end(char *out, size_t room, bool usage)
{
    size_t len = put_chat_event(out, room, NULL, "\"stop\"");

    if (usage) {
        len += put_chunk(
            out + len, room - len,
            "data: {\"id\":\"chatcmpl-bench0123456789\",\"object\":\"chat.completion.chunk\","
            "\"created\":1790000000,\"model\":\"bench\",\"choices\":[],\"usage\":{"
            "\"prompt_tokens\":512,\"completion_tokens\":200,\"total_tokens\":712}}\n\n");
    }
    return len + put_chunk(out + len, room - len, "data: [DONE]\n\n");
}

static size_t put_messages_end(char *out, size_t room)
{
    size_t len = put_messages_event(out, room, "content_block_stop", ",\"index\":0");

    len += put_messages_event(out + len, room - len, "message_delta",
                              ",\"delta\":{\"stop_reason\":\"end_turn\",\"stop_sequence\":null},"
                              "\"usage\":{\"output_tokens\":200}");
    return len + put_messages_event(out + len, room - len, "message_stop", "");
}

/* What follows the 200 events. */
static size_t put_end(char *out, size_t room, format_t format, bool usage)
{
    size_t len = format == CHAT ? put_chat_end(out, room, usage) : put_messages_end(out, room);

    return len + (size_t)snprintf(out + len, room - len, "0\r\n\r\n");
}

static size_t put_stream(char *out, size_t room, format_t format, bool usage)
{
    size_t len = put_start(out, room, format);
    char text[32];

    for (unsigned i = 0; i < EVENTS; i++) {
        snprintf(text, sizeof(text), " token %010u", i);
        len += put_event(out + len, room - len, format, text);
    }
    return len + put_end(out + len, room - len, format, usage);
}

#endif
