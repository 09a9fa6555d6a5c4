/*
 * What streams have to look like to the strictest of Gemini's clients. Part of
 * stream_check.h, which includes it.
 */

#ifndef RELAY_TEST_STREAM_CHECK_GEMINI_H
#define RELAY_TEST_STREAM_CHECK_GEMINI_H

typedef struct {
    stream_check_t *check;
    char id[256];
} stream_gemini_t;

static const char *stream_gemini_call(stream_gemini_t *state, relay_json_value_t call)
{
    STREAM_REQUIRE(call.type == RELAY_JSON_OBJECT, "a part that says nothing");
    STREAM_REQUIRE(relay_wire_says(stream_member(call, "id")), "a call without id");
    STREAM_REQUIRE(stream_member(call, "name").type == RELAY_JSON_STRING, "a call without name");
    STREAM_REQUIRE(stream_member(call, "args").type == RELAY_JSON_OBJECT, "a call's args");
    state->check->calls++;
    return NULL;
}

/* An image: its data, or where it is. */
static const char *stream_gemini_media(relay_json_value_t media, const char *what)
{
    STREAM_REQUIRE(relay_wire_says(stream_member(media, "mimeType")), "an image without type");
    STREAM_REQUIRE(relay_wire_says(stream_member(media, what)), "an image without data");
    return NULL;
}

static const char *stream_gemini_part(stream_gemini_t *state, relay_json_value_t part)
{
    relay_json_value_t signature = stream_member(part, "thoughtSignature");
    relay_json_value_t data = stream_member(part, "inlineData");
    relay_json_value_t file = stream_member(part, "fileData");

    STREAM_REQUIRE(part.type == RELAY_JSON_OBJECT, "a part that is no object");
    STREAM_REQUIRE(signature.type == RELAY_JSON_ABSENT || relay_wire_says(signature), "signature");
    state->check->blocks++;
    if (data.type == RELAY_JSON_OBJECT || file.type == RELAY_JSON_OBJECT) {
        return data.type == RELAY_JSON_OBJECT ? stream_gemini_media(data, "data")
                                              : stream_gemini_media(file, "fileUri");
    }
    return stream_member(part, "text").type == RELAY_JSON_STRING
               ? NULL
               : stream_gemini_call(state, stream_member(part, "functionCall"));
}

static const char *stream_gemini_candidate(stream_gemini_t *state, relay_json_value_t candidate)
{
    relay_json_value_t content = stream_member(candidate, "content"), part;
    relay_json_value_t parts = stream_member(content, "parts");
    relay_json_value_t finish = stream_member(candidate, "finishReason");
    uint64_t index;
    size_t cursor = 0;
    const char *fault = NULL;

    STREAM_REQUIRE(relay_json_uint(stream_member(candidate, "index"), &index) && index == 0,
                   "index of a candidate");
    STREAM_REQUIRE(stream_is(stream_member(content, "role"), "model"), "role");
    STREAM_REQUIRE(parts.type == RELAY_JSON_ARRAY && relay_wire_says(parts), "parts");
    while (fault == NULL && relay_json_element(parts.text, &cursor, &part)) {
        fault = stream_gemini_part(state, part);
    }
    if (finish.type != RELAY_JSON_ABSENT) {
        STREAM_REQUIRE(relay_wire_copy(finish, state->check->stop, sizeof(state->check->stop)),
                       "finishReason");
        state->check->ended = true;
    }
    return fault;
}

static const char *stream_gemini_usage(stream_gemini_t *state, relay_json_value_t usage)
{
    static const char *const counts[] = {"promptTokenCount", "totalTokenCount"};
    uint64_t number;

    for (size_t i = 0; i < 2; i++) {
        STREAM_REQUIRE(relay_json_uint(stream_member(usage, counts[i]), &number), "usageMetadata");
    }
    state->check->usage = true;
    return NULL;
}

static const char *stream_gemini_error(stream_check_t *check, relay_json_value_t error)
{
    uint64_t code;

    STREAM_REQUIRE(relay_json_uint(stream_member(error, "code"), &code) && code >= 400, "code");
    STREAM_REQUIRE(relay_wire_says(stream_member(error, "message")), "an error without message");
    STREAM_REQUIRE(relay_wire_says(stream_member(error, "status")), "an error without status");
    check->errored = true;
    return NULL;
}

static const char *stream_gemini_event(stream_gemini_t *state, const relay_sse_item_t *item,
                                       relay_json_value_t data)
{
    relay_json_value_t candidates = stream_member(data, "candidates"), candidate;
    relay_json_value_t error = stream_member(data, "error");
    char id[256] = "";
    size_t cursor = 0;
    const char *fault;

    STREAM_REQUIRE(item->name.len == 0, "a chunk has no name");
    STREAM_REQUIRE(!state->check->ended && !state->check->errored, "a chunk behind the end");
    if (error.type == RELAY_JSON_OBJECT) {
        return stream_gemini_error(state->check, error);
    }
    STREAM_REQUIRE(relay_wire_copy(stream_member(data, "responseId"), id, sizeof(id)), "no id");
    STREAM_REQUIRE(state->id[0] == '\0' || strcmp(id, state->id) == 0, "the id changed");
    memcpy(state->id, id, sizeof(id));
    STREAM_REQUIRE(stream_member(data, "modelVersion").type == RELAY_JSON_STRING, "modelVersion");
    STREAM_REQUIRE(candidates.type == RELAY_JSON_ARRAY &&
                       relay_json_element(candidates.text, &cursor, &candidate),
                   "candidates");
    fault = stream_gemini_candidate(state, candidate);
    STREAM_REQUIRE(fault == NULL, fault);
    STREAM_REQUIRE(!relay_json_element(candidates.text, &cursor, &candidate), "two candidates");
    return state->check->ended ? stream_gemini_usage(state, stream_member(data, "usageMetadata"))
                               : NULL;
}

#endif
