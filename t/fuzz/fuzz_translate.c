/*
 * Any bytes through every pair of formats: as a request, as a whole answer, as a
 * stream. What comes out is well-formed; a stream is what its strictest clients
 * take, has one end, and is the same however its input was cut. The first byte
 * picks the formats (the caller's in its lower half), the second the options, the
 * third the cuts. Run by `make fuzz`.
 */

#include "../unit/stream_check.h"
#include "translate.h"

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

enum { EVENT_MAX = 1 << 16, KEPT_MAX = 1 << 16, ARENA_MAX = 8 << 20 };

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

/* ---- whole bodies ----------------------------------------------------------- */

static void check_error(const relay_translation_t *translation)
{
    uint8_t bytes[16384];
    relay_buf_t out = relay_buf(bytes, sizeof(bytes));
    relay_json_fault_t fault;

    translation->caller->wire->dialect->error(&out, &translation->error, RELAY_SPAN("0"));
    CHECK(!relay_buf_ok(&out) ||
          relay_json_scan(relay_buf_span(&out), NULL, 0, NULL, &fault) == RELAY_JSON_OK);
}

static void check_json(relay_span_t text)
{
    relay_json_fault_t fault;

    CHECK(relay_json_scan(text, NULL, 0, NULL, &fault) == RELAY_JSON_OK);
}

static void check_bodies(relay_translation_t *translation, relay_span_t body)
{
    uint8_t bytes[1024];
    relay_buf_t notes = relay_buf(bytes, sizeof(bytes));
    relay_span_t out, again;

    if (relay_translate_request(translation, body, &out) == RELAY_ERR_NONE) {
        check_json(out);
        CHECK(relay_translate_request(translation, body, &again) == RELAY_ERR_NONE);
        CHECK(relay_span_eq(out, again));
    } else {
        check_error(translation);
    }
    relay_translation_put_notes(translation, &notes);
    if (relay_translate_response(translation, body, &out) == RELAY_ERR_NONE) {
        check_json(out);
    } else {
        check_error(translation);
    }
    out = relay_translate_error(translation, body, 429, RELAY_SPAN("0"));
    CHECK(out.len == 0 || (check_json(out), true));
}

/* ---- streams ----------------------------------------------------------------- */

static bool room(relay_output_t *output, size_t size)
{
    uint8_t *base = realloc(output->buf.base, output->buf.len + size);

    CHECK(base != NULL);
    output->buf.base = base;
    output->buf.capacity = output->buf.len + size;
    return true;
}

static void feed(relay_stream_translation_t *stream, relay_sse_t *sse, relay_span_t input)
{
    relay_sse_item_t item;
    relay_sse_status_t status;

    while ((status = relay_sse_next(sse, &input, &item)) == RELAY_SSE_EVENT ||
           status == RELAY_SSE_BLANK) {
        if (status == RELAY_SSE_EVENT) {
            relay_stream_item(stream, &item);
        }
    }
}

/* Pieces of pseudo-random size up to `step`; 0: all at once. */
static relay_buf_t run_stream(relay_translation_t *translation, relay_span_t text, uint8_t step)
{
    relay_stream_translation_t stream;
    relay_output_t output = {.room = room};
    relay_stream_options_t options = {.translation = translation,
                                      .output = &output,
                                      .memory = {stream_check_resize, NULL},
                                      .kept_max = KEPT_MAX};
    relay_sse_t sse;
    relay_sse_item_t item;
    uint32_t random = step;

    relay_sse_init(&sse, options.memory, EVENT_MAX);
    if (!relay_stream_open(&stream, &options)) {
        abort();
    }
    while (text.len != 0) {
        size_t size = text.len;
        uint8_t *piece;
        random = random * 1664525 + 1013904223;
        if (step != 0 && size > 1 + (random >> 16) % step) {
            size = 1 + (random >> 16) % step;
        }
        piece = malloc(size);
        CHECK(piece != NULL);
        memcpy(piece, text.base, size);
        feed(&stream, &sse, relay_span(piece, size));
        free(piece);
        text = relay_span_from(text, size);
    }
    if (relay_sse_finish(&sse, &item) == RELAY_SSE_EVENT) {
        relay_stream_item(&stream, &item);
    }
    relay_stream_close(&stream);
    CHECK(stream.over && relay_buf_ok(&output.buf));
    relay_sse_free(&sse);
    relay_stream_free(&stream);
    return output.buf;
}

static void check_streams(relay_translation_t *translation, relay_span_t text, uint8_t step)
{
    relay_buf_t whole = run_stream(translation, text, 0);
    relay_buf_t cut = run_stream(translation, text, step != 0 ? step : 1);
    stream_check_t check;

    CHECK(relay_span_eq(relay_buf_span(&whole), relay_buf_span(&cut)));
    CHECK(stream_check(relay_buf_span(&whole), stream_format(translation->caller->wire), &check) ==
          NULL);
    CHECK(check.ended != check.errored);
    free(whole.base);
    free(cut.base);
}

/* In their own order, which the corpus goes by. */
static const relay_codec_t *codec_at(unsigned number)
{
    unsigned count = 0;

    while (relay_codec_at(count) != NULL) {
        count++;
    }
    return relay_codec_at(number % count);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    block_t *blocks = NULL;
    relay_arena_t arena = {allocate, &blocks};
    relay_translation_t translation = {.arena = &arena, .request_id = RELAY_SPAN("0")};
    bool embeddings;
    relay_span_t text;

    if (size < 3) {
        return 0;
    }
    text = relay_span(data + 3, size - 3);
    translation.caller = codec_at(data[0] & 15);
    translation.upstream = codec_at(data[0] >> 4);
    embeddings = translation.caller->embeddings != NULL;
    if (embeddings != (translation.upstream->embeddings != NULL)) {
        return 0; /* nobody asks for this */
    }
    translation.usage_wanted = (data[1] & 1) != 0;
    translation.unsigned_thinking = (data[1] & 2) != 0;
    translation.old_calls = (data[1] & 4) != 0;
    translation.target.flags = (data[1] & 8) != 0 ? RELAY_TARGET_BUDGET : RELAY_TARGET_ADAPTIVE;
    translation.strict = (data[1] & 16) != 0;
    translation.target.flags |= (data[1] & 32) != 0 ? RELAY_TARGET_CUSTOM : 0;
    translation.target.model = (data[1] & 64) != 0 ? RELAY_SPAN("anthropic.x") : RELAY_SPAN("");
    if (!embeddings) {
        check_streams(&translation, text, data[2]);
    }
    check_bodies(&translation, text);
    release(blocks);
    return 0;
}
