/*
 * Log probabilities of Gemini into the canonical protocol, which has them as Chat
 * Completions does, and out of it:
 *
 *   {"chosenCandidates":[T…],"topCandidates":[{"candidates":[T…]}…]}, where T is
 *   {"token":"a","logProbability":-0.1}: two lists side by side
 *       ◄─► [{"token":"a","logprob":-0.1,"bytes":[97],"top_logprobs":[…]}…]
 */

#include "wire_gemini_codec.h"

/* ---- reading ------------------------------------------------------------- */

enum { TOKEN, LIKELY, TOKEN_KEYS };

static const relay_span_t token_keys[TOKEN_KEYS] = {RELAY_SPAN_INIT("token"),
                                                    RELAY_SPAN_INIT("logProbability")};

/* The bytes of a token, whose text has escapes, a piece at a time. */
static void put_bytes(relay_buf_t *out, relay_span_t token)
{
    enum { PIECE = 64, ESCAPES = 12 }; /* the longest escape: a pair of \uXXXX */
    bool any = false;

    RELAY_PUT(out, "[");
    while (token.len != 0) {
        size_t size = relay_codec_boundary(token, PIECE);
        uint8_t bytes[PIECE + ESCAPES];
        relay_buf_t plain = relay_buf(bytes, sizeof(bytes));
        relay_json_decode_content(relay_span(token.base, size), &plain);
        for (size_t i = 0; i < relay_buf_span(&plain).len; i++) {
            relay_buf_put(out, any ? RELAY_SPAN(",") : RELAY_SPAN(""));
            relay_buf_put_u64(out, bytes[i]);
            any = true;
        }
        token = relay_span_from(token, size);
    }
    RELAY_PUT(out, "]");
}

/* From its brace to the value of its bytes, a comma in front unless it is the first;
 * false, and nothing, for what is none. */
static bool put_token(relay_buf_t *out, const relay_json_value_t *values, bool first)
{
    if (values[TOKEN].type != RELAY_JSON_STRING || values[LIKELY].type != RELAY_JSON_NUMBER) {
        return false;
    }
    relay_buf_put(out, first ? RELAY_SPAN("{\"token\":") : RELAY_SPAN(",{\"token\":"));
    relay_buf_put(out, values[TOKEN].text);
    RELAY_PUT(out, ",\"logprob\":");
    relay_buf_put(out, values[LIKELY].text);
    RELAY_PUT(out, ",\"bytes\":");
    put_bytes(out, relay_span(values[TOKEN].text.base + 1, values[TOKEN].text.len - 2));
    return true;
}

static void put_top(relay_buf_t *out, relay_json_value_t list)
{
    relay_json_value_t values[TOKEN_KEYS];
    bool first = true;
    size_t cursor = 0;

    RELAY_PUT(out, ",\"top_logprobs\":[");
    while (list.type == RELAY_JSON_ARRAY &&
           relay_json_element_members(list.text, &cursor, token_keys, TOKEN_KEYS, values) !=
               RELAY_JSON_ABSENT) {
        if (put_token(out, values, first)) {
            RELAY_PUT(out, "}");
            first = false;
        }
    }
    RELAY_PUT(out, "]}");
}

/* The list of what was chosen at each step, beside that of what it was chosen from. */
static bool put_steps(relay_buf_t *out, relay_span_t chosen, relay_json_value_t from)
{
    static const relay_span_t candidates = RELAY_SPAN_INIT("candidates");
    relay_json_value_t values[TOKEN_KEYS], top;
    size_t cursor = 0, beside = 0;
    bool first = true;

    while (relay_json_element_members(chosen, &cursor, token_keys, TOKEN_KEYS, values) !=
           RELAY_JSON_ABSENT) {
        top = (relay_json_value_t){RELAY_JSON_ABSENT, {NULL, 0}};
        if (from.type == RELAY_JSON_ARRAY) {
            relay_json_element_members(from.text, &beside, &candidates, 1, &top);
        }
        if (put_token(out, values, first)) {
            put_top(out, top);
            first = false;
        }
    }
    return !first;
}

bool relay_gemini_put_likely(relay_buf_t *out, relay_json_value_t result)
{
    enum { CHOSEN, TOP, KEYS };
    static const relay_span_t keys[KEYS] = {RELAY_SPAN_INIT("chosenCandidates"),
                                            RELAY_SPAN_INIT("topCandidates")};
    relay_json_value_t lists[KEYS];
    bool any;

    if (result.type != RELAY_JSON_OBJECT || !relay_json_members(result.text, keys, KEYS, lists) ||
        lists[CHOSEN].type != RELAY_JSON_ARRAY) {
        return false;
    }
    RELAY_PUT(out, "[");
    any = put_steps(out, lists[CHOSEN].text, lists[TOP]);
    RELAY_PUT(out, "]");
    return any;
}

/* ---- writing ------------------------------------------------------------- */

enum { K_TOKEN, K_LOGPROB, K_TOP, KEYS };

static const relay_span_t keys[KEYS] = {RELAY_SPAN_INIT("token"), RELAY_SPAN_INIT("logprob"),
                                        RELAY_SPAN_INIT("top_logprobs")};

static bool put_candidate(relay_buf_t *out, const relay_json_value_t *values, bool first)
{
    if (values[K_TOKEN].type != RELAY_JSON_STRING || values[K_LOGPROB].type != RELAY_JSON_NUMBER) {
        return false;
    }
    relay_buf_put(out, first ? RELAY_SPAN("{\"token\":") : RELAY_SPAN(",{\"token\":"));
    relay_buf_put(out, values[K_TOKEN].text);
    RELAY_PUT(out, ",\"logProbability\":");
    relay_buf_put(out, values[K_LOGPROB].text);
    RELAY_PUT(out, "}");
    return true;
}

/* What was chosen at each step; true if anything is out. */
static bool put_chosen(relay_buf_t *out, relay_json_value_t list, bool any)
{
    relay_json_value_t values[KEYS];
    size_t cursor = 0;

    while (relay_json_element_members(list.text, &cursor, keys, KEYS, values) !=
           RELAY_JSON_ABSENT) {
        any = put_candidate(out, values, !any) || any;
    }
    return any;
}

/* What it was chosen from. */
static bool put_tops(relay_buf_t *out, relay_json_value_t list, bool any)
{
    relay_json_value_t values[KEYS];
    size_t cursor = 0;

    while (relay_json_element_members(list.text, &cursor, keys, KEYS, values) !=
           RELAY_JSON_ABSENT) {
        relay_buf_put(out,
                      any ? RELAY_SPAN(",{\"candidates\":[") : RELAY_SPAN("{\"candidates\":["));
        if (values[K_TOP].type == RELAY_JSON_ARRAY) {
            put_chosen(out, values[K_TOP], false);
        }
        RELAY_PUT(out, "]}");
        any = true;
    }
    return any;
}

static void put_lists(relay_buf_t *out, const relay_block_t *block,
                      bool (*put)(relay_buf_t *out, relay_json_value_t list, bool any))
{
    for (bool any = false; block != NULL; block = block->next) {
        if (block->logprobs.type == RELAY_JSON_ARRAY) {
            any = put(out, block->logprobs, any);
        }
    }
}

void relay_gemini_put_logprobs(relay_buf_t *out, const relay_block_t *blocks)
{
    RELAY_PUT(out, ",\"logprobsResult\":{\"chosenCandidates\":[");
    put_lists(out, blocks, put_chosen);
    RELAY_PUT(out, "],\"topCandidates\":[");
    put_lists(out, blocks, put_tops);
    RELAY_PUT(out, "]}");
}
