/*
 * The request that load.c sends: a conversation as agents have it, with quotes,
 * line feeds and some text that is not ASCII, under the headers of an SDK. The same
 * conversation is one of Chat Completions and one of Messages.
 */

#ifndef RELAY_BENCH_LOAD_REQUEST_H
#define RELAY_BENCH_LOAD_REQUEST_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    REQUEST_HEAD_MAX = 16384,
    TURN_SLACK = 150, /* bytes around a turn's text, or of one sentence */
    TURN_MAX = 2048
};

typedef struct {
    uint16_t port;
    const char *key; /* the bearer token */
    const char *model;
    bool messages;    /* Messages instead of Chat Completions */
    size_t body;      /* bytes, 512 at least */
    bool stream;      /* asks for a stream */
    unsigned pace_us; /* of one event every so often; 0: all at once */
} load_request_t;

static const char *const turns[] = {
    "Please look at the build log below and say what fails first.\\n\\n```\\nmake: *** [all] Error"
    " 2\\n```\\n",
    "The first failure is the missing header \\\"config.h\\\"; everything after it follows from "
    "it. ",
    "Gut, und was hei\xc3\x9ft das f\xc3\xbcr den n\xc3\xa4"
    "chsten Schritt? \xe6\xac\xa1\xe3\x81\xab"
    "\xe4\xbd\x95\xe3\x82\x92\xe3\x81\x99\xe3\x81\xb9\xe3\x81\x8d\xe3\x81\xa7\xe3\x81\x99\xe3\x81"
    "\x8b? ",
    "Run the configure step again; it writes that file into the build folder.\\n- then run make\\n",
};

static size_t put_turn(char *out, size_t room, unsigned turn, size_t bytes)
{
    size_t len = (size_t)snprintf(out, room, "{\"role\":\"%s\",\"content\":\"",
                                  turn % 2 ? "assistant" : "user");

    do {
        len += (size_t)snprintf(out + len, room - len, "%s", turns[turn % 4]);
    } while (len + TURN_SLACK < bytes);
    return len + (size_t)snprintf(out + len, room - len, "\"},");
}

/* The last turn makes the body exactly as long as it is to be. */
static size_t put_last_turn(char *out, size_t room, size_t bytes)
{
    static const char words[] = "and then say in one line what you would do about it, ";
    static const char tail[] = "\"}],\"temperature\":0.7,\"max_tokens\":1024}";
    size_t len = (size_t)snprintf(out, room, "{\"role\":\"user\",\"content\":\"");

    for (size_t i = 0; len + sizeof(tail) - 1 < bytes; i++) {
        out[len++] = words[i % (sizeof(words) - 1)];
    }
    return len + (size_t)snprintf(out + len, room - len, "%s", tail);
}

/* A conversation; turns grow with it, to at most TURN_MAX. */
static size_t put_body(const load_request_t *what, char *out, size_t room)
{
    size_t len, turn_bytes = what->body / 5 < TURN_MAX ? what->body / 5 : TURN_MAX;
    char pace[64] = "";

    if (what->pace_us > 0) {
        snprintf(pace, sizeof(pace),
                 what->messages ? "\"metadata\":{\"user_id\":\"every-%u-us\"},"
                                : "\"user\":\"every-%u-us\",",
                 what->pace_us);
    }
    len = (size_t)snprintf(out, room, "{\"model\":\"%s\",%s%s\"messages\":[", what->model,
                           what->stream ? "\"stream\":true," : "", pace);
    for (unsigned turn = 0; len + turn_bytes + 2 * TURN_SLACK < what->body; turn++) {
        len += put_turn(out + len, room - len, turn, turn_bytes);
    }
    return len + put_last_turn(out + len, room - len, what->body - len);
}

/* NULL without memory. */
static char *make_request(const load_request_t *what, size_t *len)
{
    size_t room = what->body + 8192, body_len;
    char *body = malloc(room), *request = malloc(room + REQUEST_HEAD_MAX);

    if (body == NULL || request == NULL) {
        free(body);
        free(request);
        return NULL;
    }
    body_len = put_body(what, body, room);
    *len = (size_t)snprintf(request, REQUEST_HEAD_MAX,
                            "POST /v1/%s HTTP/1.1\r\n"
                            "Host: 127.0.0.1:%u\r\n"
                            "Accept: application/json\r\n"
                            "User-Agent: OpenAI/JS 6.49.0\r\n"
                            "X-Stainless-Retry-Count: 0\r\n"
                            "X-Stainless-Lang: js\r\n"
                            "X-Stainless-Package-Version: 6.49.0\r\n"
                            "X-Stainless-OS: Linux\r\n"
                            "X-Stainless-Arch: x64\r\n"
                            "X-Stainless-Runtime: node\r\n"
                            "X-Stainless-Runtime-Version: v20.20.2\r\n"
                            "Authorization: Bearer %s\r\n"
                            "Content-Type: application/json\r\n"
                            "Content-Length: %zu\r\n"
                            "\r\n",
                            what->messages ? "messages" : "chat/completions", what->port, what->key,
                            body_len);
    memcpy(request + *len, body, body_len);
    *len += body_len;
    free(body);
    return request;
}

#endif
