/*
 * OpenAI Embeddings: whole answers only. Reached through the registry only.
 */

#include "float_vector.h"
#include "wire_openai.h"
#include "wire_support.h"

/* ---- streams do not exist ------------------------------------------------ */

static relay_verdict_t event(relay_stream_t *stream, const relay_sse_item_t *item,
                             relay_buf_t *before)
{
    (void)stream;
    (void)item;
    (void)before;
    return (relay_verdict_t){.class = RELAY_EVENT_IDLE};
}

static bool close_stream(relay_stream_t *stream, relay_buf_t *out)
{
    (void)stream;
    (void)out;
    return false;
}

static void error_event(relay_stream_t *stream, relay_buf_t *out, const relay_error_t *error,
                        relay_span_t request_id)
{
    relay_wire_openai_chat.error_event(stream, out, error, request_id);
}

/* ---- whole answers ------------------------------------------------------- */

enum { OBJECT, DATA, USAGE, ERROR, MESSAGE, TYPE, CODE, DETAIL, ANSWER_KEYS };

static const relay_span_t answer_keys[ANSWER_KEYS] = {
    RELAY_SPAN_INIT("object"), RELAY_SPAN_INIT("data"),    RELAY_SPAN_INIT("usage"),
    RELAY_SPAN_INIT("error"),  RELAY_SPAN_INIT("message"), RELAY_SPAN_INIT("type"),
    RELAY_SPAN_INIT("code"),   RELAY_SPAN_INIT("detail"),
};

/* Some vendors give only a total: there is nothing but a prompt. */
static void read_total(relay_json_value_t object, relay_usage_t *usage)
{
    static const relay_span_t key = RELAY_SPAN_INIT("total_tokens");
    relay_json_value_t total = {RELAY_JSON_ABSENT, {NULL, 0}};

    if (usage->input_tokens == 0 && object.type == RELAY_JSON_OBJECT) {
        relay_json_members(object.text, &key, 1, &total);
        relay_wire_count(total, &usage->input_tokens);
    }
}

static void answer(relay_span_t body, relay_answer_t *answer)
{
    relay_json_value_t values[ANSWER_KEYS];
    relay_wire_error_members_t members;
    relay_wire_error_t error;

    memset(answer, 0, sizeof(*answer));
    if (!relay_wire_glance(body, answer_keys, ANSWER_KEYS, values)) {
        return;
    }
    relay_openai_usage(values[USAGE], &answer->usage);
    read_total(values[USAGE], &answer->usage);
    members = (relay_wire_error_members_t){.error = values[ERROR],
                                           .message = values[MESSAGE],
                                           .type = values[TYPE],
                                           .code = values[CODE],
                                           .detail = values[DETAIL]};
    members.flat = relay_wire_is(values[OBJECT], RELAY_SPAN("error")) ||
                   (values[DATA].type == RELAY_JSON_ABSENT &&
                    (relay_wire_says(values[MESSAGE]) || relay_wire_says(values[DETAIL])));
    if (relay_wire_error_read(&members, &error)) {
        relay_wire_answer_error(answer, &error);
    }
}

/* ---- echo ---------------------------------------------------------------- */

/* As many inputs as the real endpoint takes. */
enum { DIMENSIONS = 8, INPUTS_MAX = 2048 };

/*
 * A vector's components are multiples of 1/1024 between -1 and 1, so that they
 * are exact both as a decimal fraction and as a 32-bit float.
 */
static uint64_t hash(relay_span_t text)
{
    uint64_t sum = UINT64_C(0xcbf29ce484222325); /* FNV-1a */

    for (size_t i = 0; i < text.len; i++) {
        sum = (sum ^ text.base[i]) * UINT64_C(0x100000001b3);
    }
    return sum;
}

static int component(uint64_t seed, unsigned dimension)
{
    uint64_t mixed = (seed + dimension) * UINT64_C(0x9e3779b97f4a7c15); /* Fibonacci hashing */

    return (int)((mixed >> 32) % 2049) - 1024;
}

/* value / 1024 in decimal: one digit and ten places. */
static void put_fraction(relay_buf_t *out, int value)
{
    uint64_t size = (uint64_t)(value < 0 ? -value : value);
    uint64_t places = size % 1024 * UINT64_C(9765625);

    if (value < 0) {
        RELAY_PUT(out, "-");
    }
    relay_buf_put_u64(out, size / 1024);
    RELAY_PUT(out, ".");
    for (uint64_t unit = UINT64_C(1000000000); unit != 0; unit /= 10) {
        relay_buf_put_byte(out, (uint8_t)('0' + places / unit % 10));
    }
}

static void put_floats(relay_buf_t *out, uint64_t seed)
{
    RELAY_PUT(out, "[");
    for (unsigned i = 0; i < DIMENSIONS; i++) {
        if (i != 0) {
            RELAY_PUT(out, ",");
        }
        put_fraction(out, component(seed, i));
    }
    RELAY_PUT(out, "]");
}

static void store_float(uint8_t bytes[4], int value)
{
    float number = (float)value / 1024.0f;
    uint32_t bits;

    memcpy(&bits, &number, sizeof(bits));
    for (unsigned i = 0; i < 4; i++) {
        bytes[i] = (uint8_t)(bits >> 8 * i);
    }
}

static void put_packed(relay_buf_t *out, uint64_t seed)
{
    uint8_t bytes[DIMENSIONS * 4];

    for (unsigned i = 0; i < DIMENSIONS; i++) {
        store_float(bytes + 4 * i, component(seed, i));
    }
    RELAY_PUT(out, "\"");
    relay_vector_put_base64(out, relay_span(bytes, sizeof(bytes)));
    RELAY_PUT(out, "\"");
}

static void put_embedding(relay_buf_t *out, relay_json_value_t input, size_t index, bool packed)
{
    if (index != 0) {
        RELAY_PUT(out, ",");
    }
    RELAY_PUT(out, "{\"object\":\"embedding\",\"index\":");
    relay_buf_put_u64(out, index);
    RELAY_PUT(out, ",\"embedding\":");
    if (packed) {
        put_packed(out, hash(input.text));
    } else {
        put_floats(out, hash(input.text));
    }
    RELAY_PUT(out, "}");
}

/* A string or an array of token numbers is one input, any other array many. */
static void put_embeddings(relay_buf_t *out, relay_json_value_t input, bool packed)
{
    relay_json_value_t element;
    size_t cursor = 0, index = 0;

    if (input.type != RELAY_JSON_ARRAY) {
        put_embedding(out, input, 0, packed);
        return;
    }
    while (index < INPUTS_MAX && relay_json_element(input.text, &cursor, &element)) {
        if (index == 0 && element.type == RELAY_JSON_NUMBER) {
            put_embedding(out, input, 0, packed);
            return;
        }
        put_embedding(out, element, index++, packed);
    }
}

static void echo(relay_buf_t *out, const relay_echo_t *echo, relay_usage_t *usage)
{
    enum { INPUT, ENCODING, KEYS };
    static const relay_span_t keys[KEYS] = {RELAY_SPAN_INIT("input"),
                                            RELAY_SPAN_INIT("encoding_format")};
    relay_json_value_t values[KEYS];

    relay_wire_read(echo->body, keys, KEYS, values);
    *usage = (relay_usage_t){.known = true, .input_tokens = values[INPUT].text.len / 4 + 1};
    RELAY_PUT(out, "{\"object\":\"list\",\"data\":[");
    put_embeddings(out, values[INPUT], relay_wire_is(values[ENCODING], RELAY_SPAN("base64")));
    RELAY_PUT(out, "],\"model\":");
    relay_buf_put_json(out, echo->model);
    RELAY_PUT(out, ",\"usage\":{\"prompt_tokens\":");
    relay_buf_put_u64(out, usage->input_tokens);
    RELAY_PUT(out, ",\"total_tokens\":");
    relay_buf_put_u64(out, usage->input_tokens);
    RELAY_PUT(out, "}}");
}

const relay_wire_t relay_wire_openai_embeddings = {
    .name = RELAY_SPAN_INIT("openai-embeddings"),
    .index = RELAY_WIRE_OPENAI_EMBEDDINGS,
    .dialect = &relay_dialect_openai,
    .path = RELAY_SPAN_INIT("/embeddings"),
    .streams = false,
    .edits = relay_wire_edits_model_only,
    .wants_usage = relay_wire_wants_usage_always,
    .event = event,
    .close = close_stream,
    .error_event = error_event,
    .answer = answer,
    .echo = echo,
};
