/*
 * Any bytes as a request for embeddings and as an answer, for every upstream of
 * another format. What is accepted comes out as JSON, the same each time, and a
 * vector says the same in both of its forms. The first byte picks the upstream.
 * Run by `make fuzz`.
 */

#include "embeddings.h"
#include "float_vector.h"

#include <stdlib.h>

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

enum { ARENA_MAX = 8 << 20 };

/* ---- memory ---------------------------------------------------------------- */

typedef struct block_s {
    struct block_s *next;
    max_align_t memory[];
} block_t;

static void *allocate(void *owner, size_t size)
{
    block_t **blocks = owner;
    block_t *block = size < ARENA_MAX ? calloc(1, sizeof(*block) + size) : NULL;

    if (block == NULL) {
        return NULL;
    }
    block->next = *blocks;
    *blocks = block;
    return block->memory;
}

static void release(block_t *blocks)
{
    while (blocks != NULL) {
        block_t *next = blocks->next;
        free(blocks);
        blocks = next;
    }
}

/* ---- bodies ----------------------------------------------------------------- */

static void check_json(relay_span_t text)
{
    relay_json_fault_t fault;

    CHECK(relay_json_scan(text, NULL, 0, NULL, &fault) == RELAY_JSON_OK);
}

static void check_error(const relay_translation_t *translation)
{
    uint8_t bytes[16384];
    relay_buf_t out = relay_buf(bytes, sizeof(bytes));

    CHECK(translation->error.code != RELAY_ERR_NONE);
    translation->caller->wire->dialect->error(&out, &translation->error, RELAY_SPAN("0"));
    if (relay_buf_ok(&out)) {
        check_json(relay_buf_span(&out));
    }
}

static void check_request(relay_translation_t *translation, relay_span_t body)
{
    relay_span_t out, again;

    if (relay_translate_request(translation, body, &out) != RELAY_ERR_NONE) {
        check_error(translation);
        return;
    }
    check_json(out);
    CHECK(translation->texts != 0);
    CHECK(relay_translate_request(translation, body, &again) == RELAY_ERR_NONE);
    CHECK(relay_span_eq(out, again));
}

/* The vectors of an answer to a caller, all in base64. */
static void put_packed(relay_span_t answer, bool packed, relay_buf_t *out)
{
    static const relay_span_t data_key = RELAY_SPAN_INIT("data");
    static const relay_span_t key = RELAY_SPAN_INIT("embedding");
    relay_json_value_t data, vector;
    size_t cursor = 0;

    CHECK(relay_json_members(answer, &data_key, 1, &data) && data.type == RELAY_JSON_ARRAY);
    while (relay_json_element_members(data.text, &cursor, &key, 1, &vector) != RELAY_JSON_ABSENT) {
        CHECK(vector.type == (packed ? RELAY_JSON_STRING : RELAY_JSON_ARRAY));
        if (packed) {
            relay_buf_put(out, relay_span(vector.text.base + 1, vector.text.len - 2));
        } else {
            CHECK(relay_vector_pack(vector.text, out));
        }
        RELAY_PUT(out, ",");
    }
}

static void check_same(relay_span_t numbers, relay_span_t packed)
{
    size_t size = 8 * numbers.len + packed.len;
    relay_buf_t one = relay_buf(malloc(size), size), other = relay_buf(malloc(size), size);

    CHECK(one.base != NULL && other.base != NULL);
    put_packed(numbers, false, &one);
    put_packed(packed, true, &other);
    CHECK(relay_buf_ok(&one) && relay_span_eq(relay_buf_span(&one), relay_buf_span(&other)));
    free(one.base);
    free(other.base);
}

static void check_response(relay_translation_t *translation, relay_span_t body)
{
    relay_span_t numbers, packed;

    translation->texts = 0;
    translation->base64 = false;
    if (relay_translate_response(translation, body, &numbers) != RELAY_ERR_NONE) {
        check_error(translation);
        return;
    }
    check_json(numbers);
    translation->base64 = true; /* a number may be beyond what a float holds */
    if (relay_translate_response(translation, body, &packed) == RELAY_ERR_NONE) {
        check_json(packed);
        check_same(numbers, packed);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const names[] = {"gemini-embed", "vertex-embed", "bedrock-titan-embed",
                                        "cohere-embed", "vertex-embed-content"};
    block_t *blocks = NULL;
    relay_arena_t arena = {allocate, &blocks};
    relay_translation_t translation = {.arena = &arena, .model = RELAY_SPAN("m")};
    const char *name;

    if (size == 0) {
        return 0;
    }
    name = names[data[0] % 5];
    translation.caller = relay_codec_find(RELAY_SPAN("openai-embeddings"));
    translation.upstream = relay_codec_find(relay_span(name, strlen(name)));
    translation.strict = data[0] & 4;
    check_request(&translation, relay_span(data + 1, size - 1));
    check_response(&translation, relay_span(data + 1, size - 1));
    release(blocks);
    return 0;
}
