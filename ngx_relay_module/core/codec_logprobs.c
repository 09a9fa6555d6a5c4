/*
 * Log probabilities of tokens as Chat Completions and Responses have them: see
 * codec_support.h.
 */

#include "codec_support.h"

enum { TOKEN, LOGPROB, BYTES, TOP, KEYS };

static const relay_span_t keys[KEYS] = {RELAY_SPAN_INIT("token"), RELAY_SPAN_INIT("logprob"),
                                        RELAY_SPAN_INIT("bytes"), RELAY_SPAN_INIT("top_logprobs")};

/* On one line, whatever lines the provider's had. */
static void put_bytes(relay_buf_t *out, relay_json_value_t list, relay_span_t no_bytes)
{
    relay_json_value_t byte;
    size_t cursor = 0;

    if (list.type != RELAY_JSON_ARRAY) {
        relay_buf_put(out, no_bytes);
        return;
    }
    RELAY_PUT(out, "[");
    for (bool any = false; relay_json_element(list.text, &cursor, &byte); any = true) {
        relay_buf_put(out, any ? RELAY_SPAN(",") : RELAY_SPAN(""));
        relay_buf_put(out, byte.type == RELAY_JSON_NUMBER ? byte.text : RELAY_SPAN("0"));
    }
    RELAY_PUT(out, "]");
}

/* From its brace to the value of its bytes, a comma in front unless it is the first;
 * false, and nothing, for what is none. */
static bool put_token(relay_buf_t *out, const relay_json_value_t *values, relay_span_t no_bytes,
                      bool first)
{
    if (values[TOKEN].type != RELAY_JSON_STRING || values[LOGPROB].type != RELAY_JSON_NUMBER) {
        return false;
    }
    relay_buf_put(out, first ? RELAY_SPAN("{\"token\":") : RELAY_SPAN(",{\"token\":"));
    relay_buf_put(out, values[TOKEN].text);
    RELAY_PUT(out, ",\"logprob\":");
    relay_buf_put(out, values[LOGPROB].text);
    RELAY_PUT(out, ",\"bytes\":");
    put_bytes(out, values[BYTES], no_bytes);
    return true;
}

static void put_top(relay_buf_t *out, relay_json_value_t list, relay_span_t no_bytes)
{
    relay_json_value_t values[KEYS];
    bool first = true;
    size_t cursor = 0;

    RELAY_PUT(out, ",\"top_logprobs\":[");
    while (list.type == RELAY_JSON_ARRAY &&
           relay_json_element_members(list.text, &cursor, keys, KEYS, values) !=
               RELAY_JSON_ABSENT) {
        if (put_token(out, values, no_bytes, first)) {
            RELAY_PUT(out, "}");
            first = false;
        }
    }
    RELAY_PUT(out, "]}");
}

void relay_codec_put_logprobs(relay_buf_t *out, relay_json_value_t list, relay_span_t no_bytes)
{
    relay_json_value_t values[KEYS];
    bool first = true;
    size_t cursor = 0;

    while (list.type == RELAY_JSON_ARRAY &&
           relay_json_element_members(list.text, &cursor, keys, KEYS, values) !=
               RELAY_JSON_ABSENT) {
        if (put_token(out, values, no_bytes, first)) {
            put_top(out, values[TOP], no_bytes);
            first = false;
        }
    }
}
