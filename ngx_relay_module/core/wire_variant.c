/*
 * The table of variants, their paths, and how a body becomes one of theirs: see
 * wire_variant.h. Adding a variant is one entry in `variants`.
 */

#include "wire_variant.h"
#include "target.h"
#include "wire_anthropic.h"
#include "wire_bedrock_converse.h"
#include "wire_embed.h"
#include "wire_gemini.h"
#include "wire_openai.h"

static const relay_variant_t variants[] = {
    {
        .name = RELAY_SPAN_INIT("openai-chat"),
        .wire = &relay_wire_openai_chat,
        .path = RELAY_SPAN_INIT("/chat/completions"),
    },
    {
        .name = RELAY_SPAN_INIT("openai-responses"),
        .wire = &relay_wire_openai_responses,
        .path = RELAY_SPAN_INIT("/responses"),
    },
    {
        .name = RELAY_SPAN_INIT("openai-embeddings"),
        .wire = &relay_wire_openai_embeddings,
        .path = RELAY_SPAN_INIT("/embeddings"),
    },
    {
        .name = RELAY_SPAN_INIT("anthropic-messages"),
        .wire = &relay_wire_anthropic_messages,
        .path = RELAY_SPAN_INIT("/messages"),
    },
    {
        .name = RELAY_SPAN_INIT("bedrock-converse"),
        .wire = &relay_wire_bedrock_converse,
        .path = RELAY_SPAN_INIT("/model/{model}/converse"),
        .stream_path = RELAY_SPAN_INIT("/model/{model}/converse-stream"),
        .framing = RELAY_FRAMING_EVENTSTREAM,
        .model_in_path = true,
        .stream_in_path = true,
    },
    {
        .name = RELAY_SPAN_INIT("gemini"),
        .wire = &relay_wire_gemini,
        .path = RELAY_SPAN_INIT("/models/{model}:generateContent"),
        .stream_path = RELAY_SPAN_INIT("/models/{model}:streamGenerateContent?alt=sse"),
        .model_in_path = true,
        .stream_in_path = true,
    },
    {
        .name = RELAY_SPAN_INIT("vertex-gemini"),
        .wire = &relay_wire_gemini,
        .path = RELAY_SPAN_INIT("/publishers/google/models/{model}:generateContent"),
        .stream_path =
            RELAY_SPAN_INIT("/publishers/google/models/{model}:streamGenerateContent?alt=sse"),
        .model_in_path = true,
        .stream_in_path = true,
        .refuses = RELAY_REFUSED(RELAY_FIELD_SERVICE_TIER), /* a header there */
    },
    {
        .name = RELAY_SPAN_INIT("vertex-anthropic"),
        .wire = &relay_wire_anthropic_messages,
        .path = RELAY_SPAN_INIT("/publishers/anthropic/models/{model}:rawPredict"),
        .stream_path = RELAY_SPAN_INIT("/publishers/anthropic/models/{model}:streamRawPredict"),
        .platform = &relay_dialect_gemini,
        .model_in_path = true,
        .version = RELAY_SPAN_INIT("vertex-2023-10-16"),
        .counter = RELAY_SPAN_INIT("count-tokens"),
    },
    {
        .name = RELAY_SPAN_INIT("bedrock-invoke"),
        .wire = &relay_wire_anthropic_messages,
        .path = RELAY_SPAN_INIT("/model/{model}/invoke"),
        .stream_path = RELAY_SPAN_INIT("/model/{model}/invoke-with-response-stream"),
        .framing = RELAY_FRAMING_EVENTSTREAM_BYTES,
        .platform = &relay_dialect_bedrock,
        .model_in_path = true,
        .stream_in_path = true,
        .betas_in_body = true,
        .version = RELAY_SPAN_INIT("bedrock-2023-05-31"),
    },
    /* the model in the path is the deployment; the one in the body goes unread */
    {
        .name = RELAY_SPAN_INIT("azure-openai"),
        .wire = &relay_wire_openai_chat,
        .path =
            RELAY_SPAN_INIT("/openai/deployments/{model}/chat/completions?api-version=2024-10-21"),
    },
    {
        .name = RELAY_SPAN_INIT("azure-openai-embeddings"),
        .wire = &relay_wire_openai_embeddings,
        .path = RELAY_SPAN_INIT("/openai/deployments/{model}/embeddings?api-version=2024-10-21"),
    },
    {
        .name = RELAY_SPAN_INIT("gemini-embed"),
        .wire = &relay_wire_gemini_embed,
        .path = RELAY_SPAN_INIT("/models/{model}:batchEmbedContents"),
        .model_in_path = true,
    },
    {
        .name = RELAY_SPAN_INIT("vertex-embed"),
        .wire = &relay_wire_vertex_embed,
        .path = RELAY_SPAN_INIT("/publishers/google/models/{model}:predict"),
        .model_in_path = true,
    },
    {
        .name = RELAY_SPAN_INIT("vertex-embed-content"),
        .wire = &relay_wire_vertex_embed_content,
        .path = RELAY_SPAN_INIT("/publishers/google/models/{model}:embedContent"),
        .model_in_path = true,
    },
    {
        .name = RELAY_SPAN_INIT("bedrock-titan-embed"),
        .wire = &relay_wire_bedrock_titan_embed,
        .path = RELAY_SPAN_INIT("/model/{model}/invoke"),
        .model_in_path = true,
    },
    {
        .name = RELAY_SPAN_INIT("cohere-embed"),
        .wire = &relay_wire_cohere_embed,
        .path = RELAY_SPAN_INIT("/v2/embed"),
    },
    {
        .name = RELAY_SPAN_INIT("bedrock-cohere-embed"),
        .wire = &relay_wire_cohere_embed,
        .path = RELAY_SPAN_INIT("/model/{model}/invoke"),
        .platform = &relay_dialect_bedrock,
        .model_in_path = true,
        .tokens_header = RELAY_SPAN_INIT("x-amzn-bedrock-input-token-count"),
    },
};

#define COUNT (sizeof(variants) / sizeof(variants[0]))

const relay_variant_t *relay_variant_at(unsigned index)
{
    return index < COUNT ? &variants[index] : NULL;
}

const relay_variant_t *relay_variant_of(const relay_wire_t *wire)
{
    for (size_t i = 0; i < COUNT; i++) {
        if (variants[i].wire == wire && relay_span_eq(variants[i].name, wire->name)) {
            return &variants[i];
        }
    }
    return NULL;
}

const relay_variant_t *relay_variant_find(relay_span_t name, bool *streams)
{
    relay_span_t suffix = RELAY_SPAN("-stream");

    for (size_t i = 0; i < COUNT; i++) {
        const relay_variant_t *variant = &variants[i];
        *streams = name.len > variant->name.len;
        if (relay_span_eq(name, variant->name)) {
            return variant;
        }
        if (variant->stream_path.len != 0 && relay_span_starts(name, variant->name) &&
            relay_span_eq(relay_span_from(name, variant->name.len), suffix)) {
            return variant;
        }
    }
    *streams = false;
    return NULL;
}

/* ---- paths --------------------------------------------------------------- */

static bool is_plain(uint8_t byte)
{
    return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
           (byte >= '0' && byte <= '9') || byte == '-' || byte == '.' || byte == '_' ||
           byte == '~' || byte == '@';
}

static void put_encoded(relay_buf_t *out, uint8_t byte)
{
    static const char digits[] = "0123456789ABCDEF";

    RELAY_PUT(out, "%");
    relay_buf_put_byte(out, (uint8_t)digits[byte >> 4]);
    relay_buf_put_byte(out, (uint8_t)digits[byte & 15]);
}

/* A name of dots alone would be a step up the path, however it is encoded once. */
static bool is_step(relay_span_t name)
{
    return relay_span_eq(name, RELAY_SPAN(".")) || relay_span_eq(name, RELAY_SPAN(".."));
}

static void put_model(relay_buf_t *out, relay_span_t model)
{
    for (size_t i = 0; i < model.len; i++) {
        if (is_step(model)) {
            RELAY_PUT(out, "%252E");
        } else if (is_plain(model.base[i])) {
            relay_buf_put_byte(out, model.base[i]);
        } else {
            put_encoded(out, model.base[i]);
        }
    }
}

void relay_variant_put_path(relay_buf_t *out, relay_span_t path, relay_span_t model)
{
    relay_span_t mark = RELAY_SPAN("{model}");

    while (path.len != 0) {
        if (relay_span_starts(path, mark)) {
            put_model(out, model);
            path = relay_span_from(path, mark.len);
        } else {
            relay_buf_put_byte(out, *path.base);
            path = relay_span_from(path, 1);
        }
    }
}

void relay_variant_put_method(relay_buf_t *out, relay_span_t path, relay_span_t model,
                              relay_span_t method)
{
    size_t colon = path.len;

    while (colon != 0 && path.base[colon - 1] != ':') {
        colon--;
    }
    relay_variant_put_path(out, relay_span(path.base, colon != 0 ? colon : path.len), model);
    relay_buf_put(out, method);
}

/* ---- bodies -------------------------------------------------------------- */

/* A stretch of the body between its braces; from == to: none. */
typedef struct {
    size_t from;
    size_t to;
    bool alone; /* no member before or behind it */
} stretch_t;

static bool is_space(uint8_t byte)
{
    return byte == ' ' || byte == '\n' || byte == '\r' || byte == '\t';
}

/* Where the white space before, or from, `at` ends. */
static size_t space_before(relay_span_t body, size_t at)
{
    while (at != 0 && is_space(body.base[at - 1])) {
        at--;
    }
    return at;
}

static size_t space_from(relay_span_t body, size_t at)
{
    while (at != body.len && is_space(body.base[at])) {
        at++;
    }
    return at;
}

/* A member from its key's quote to the end of its value; keys are written plainly,
 * or relay_envelope_read would not have taken the body. */
static stretch_t member(relay_span_t body, relay_span_t key, relay_json_value_t value)
{
    stretch_t member = {0};
    size_t colon;

    if (value.type == RELAY_JSON_ABSENT) {
        return member;
    }
    member.to = (size_t)(value.text.base - body.base) + value.text.len;
    colon = space_before(body, (size_t)(value.text.base - body.base)) - 1;
    member.from = space_before(body, colon) - key.len - 2;
    return member;
}

static bool is_none(stretch_t stretch)
{
    return stretch.from == stretch.to;
}

/* Makes one of two that only a comma parts; puts them in order else. */
static void arrange(relay_span_t body, stretch_t *first, stretch_t *second)
{
    stretch_t swap = *first;
    size_t comma;

    if (is_none(*first) || (!is_none(*second) && second->from < first->from)) {
        *first = *second;
        *second = swap;
    }
    comma = space_from(body, first->to);
    if (!is_none(*second) && body.base[comma] == ',' &&
        space_from(body, comma + 1) == second->from) {
        first->to = second->to;
        *second = (stretch_t){0};
    }
}

/* The comma that goes with it: the one behind, or that before the last member. */
static void take_comma(relay_span_t body, stretch_t *stretch)
{
    size_t behind = space_from(body, stretch->to), before = space_before(body, stretch->from);

    if (is_none(*stretch)) {
        return;
    }
    if (body.base[behind] == ',') {
        stretch->to = space_from(body, behind + 1);
    } else if (body.base[before - 1] == ',') {
        stretch->from = before - 1;
    } else {
        stretch->alone = true;
    }
}

static void put_betas(relay_buf_t *out, relay_span_t betas)
{
    bool any = false;

    RELAY_PUT(out, "\"anthropic_beta\":[");
    while (betas.len != 0) {
        const uint8_t *comma = memchr(betas.base, ',', betas.len);
        size_t length = comma != NULL ? (size_t)(comma - betas.base) : betas.len;
        relay_span_t item = relay_span(betas.base, length);
        size_t from = space_from(item, 0), to = space_before(item, item.len);
        if (from < to) {
            relay_buf_put(out, any ? RELAY_SPAN(",") : relay_span(NULL, 0));
            relay_buf_put_json(out, relay_span(item.base + from, to - from));
            any = true;
        }
        betas = relay_span_from(betas, comma != NULL ? length + 1 : length);
    }
    RELAY_PUT(out, "]");
}

/* What the variant wants in the body and the caller did not put there. */
static void put_members(relay_buf_t *out, const relay_variant_t *variant, relay_span_t object,
                        relay_span_t betas)
{
    enum { VERSION, BETAS, KEYS };
    static const relay_span_t keys[KEYS] = {RELAY_SPAN_INIT("anthropic_version"),
                                            RELAY_SPAN_INIT("anthropic_beta")};
    relay_json_value_t values[KEYS];
    size_t start = out->len;

    relay_json_members(object, keys, KEYS, values);
    if (variant->version.len != 0 && values[VERSION].type == RELAY_JSON_ABSENT) {
        RELAY_PUT(out, "\"anthropic_version\":");
        relay_buf_put_json(out, variant->version);
    }
    if (variant->betas_in_body && betas.len != 0 && values[BETAS].type == RELAY_JSON_ABSENT) {
        relay_buf_put(out, out->len != start ? RELAY_SPAN(",") : relay_span(NULL, 0));
        put_betas(out, betas);
    }
}

static size_t take_out(stretch_t stretch, relay_edit_t *edit)
{
    if (is_none(stretch)) {
        return 0;
    }
    *edit = (relay_edit_t){.offset = stretch.from, .removed = stretch.to - stretch.from};
    return 1;
}

/* The edit that puts them behind the opening brace; `empty`: nothing stays behind them. */
static size_t put_in(const relay_variant_t *variant, relay_span_t body, relay_span_t betas,
                     bool empty, relay_edit_t *edit, relay_buf_t *scratch)
{
    size_t brace = space_from(body, 0), from = relay_buf_span(scratch).len;

    put_members(scratch, variant, relay_span_from(body, brace), betas);
    if (scratch->len == from) {
        return 0;
    }
    empty = empty || body.base[space_from(body, brace + 1)] == '}';
    relay_buf_put(scratch, empty ? relay_span(NULL, 0) : RELAY_SPAN(","));
    *edit =
        (relay_edit_t){.offset = brace + 1, .text = relay_span_from(relay_buf_span(scratch), from)};
    return 1;
}

size_t relay_variant_edits(const relay_variant_t *variant, const relay_envelope_t *envelope,
                           relay_span_t betas, relay_edit_t edits[RELAY_EDITS_MAX],
                           relay_buf_t *scratch)
{
    relay_span_t body = envelope->body;
    stretch_t first = {0}, second = {0};
    size_t count;

    if (variant->model_in_path) {
        first = member(body, RELAY_SPAN("model"), envelope->model);
    }
    if (variant->stream_in_path) {
        second = member(body, RELAY_SPAN("stream"), envelope->stream);
    }
    arrange(body, &first, &second);
    take_comma(body, &first);
    take_comma(body, &second);
    count = put_in(variant, body, betas, first.alone, &edits[0], scratch);
    count += take_out(first, &edits[count]);
    return count + take_out(second, &edits[count]);
}

size_t relay_variant_counter_edits(const relay_variant_t *variant, const relay_envelope_t *envelope,
                                   relay_span_t model, relay_edit_t edits[RELAY_EDITS_MAX],
                                   relay_buf_t *scratch)
{
    relay_edit_options_t options = {.model = model};
    size_t count = put_in(variant, envelope->body, relay_span(NULL, 0), false, &edits[0], scratch);

    return count + variant->wire->edits(envelope, &options, &edits[count], scratch);
}
