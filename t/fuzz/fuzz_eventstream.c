/*
 * The decoder of AWS event streams: cut input gives the events and the end of uncut
 * input, what comes out is one server-sent event for each message, and memory keeps
 * its bound. The first byte picks the framing, the cuts and whether the checksums are
 * set right first, without which hardly an input would get behind them. Run by
 * `make fuzz`.
 */

#include "eventstream.h"
#include "sse.h"

#include <stdlib.h>

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

enum { MESSAGE_MAX = 4096, PRELUDE = 12, AROUND = 16, BLOCK_MAX = 8 * MESSAGE_MAX };

/* ---- checksums ----------------------------------------------------------- */

static uint32_t checksum(const uint8_t *bytes, size_t len)
{
    uint32_t sum = 0xffffffff;

    for (size_t i = 0; i < len; i++) {
        sum ^= bytes[i];
        for (int bit = 0; bit < 8; bit++) {
            sum = sum >> 1 ^ (sum & 1 ? 0xedb88320 : 0);
        }
    }
    return ~sum;
}

static uint32_t number_at(const uint8_t *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static void set_number(uint8_t *at, uint32_t number)
{
    for (int i = 0; i < 4; i++) {
        at[i] = (uint8_t)(number >> (24 - 8 * i));
    }
}

/* Of every message whose lengths can be. */
static void mend(uint8_t *bytes, size_t len)
{
    while (len >= AROUND) {
        size_t total = number_at(bytes);
        set_number(bytes + 8, checksum(bytes, 8));
        if (total < AROUND || total > len) {
            return;
        }
        set_number(bytes + total - 4, checksum(bytes, total - 4));
        bytes += total;
        len -= total;
    }
}

/* ---- one run ------------------------------------------------------------- */

typedef struct {
    relay_eventstream_status_t status;
    bool ended;
    size_t events;
    uint8_t *text;
    size_t len;
} run_t;

static void *resize(void *owner, void *block, size_t size)
{
    (void)owner;
    CHECK(size <= BLOCK_MAX);
    if (size == 0) {
        free(block);
        return NULL;
    }
    return realloc(block, size);
}

/* One event with data, whole, and nothing else. */
static void check_event(relay_span_t text)
{
    relay_sse_t sse;
    relay_sse_item_t item;

    relay_sse_init(&sse, (relay_memory_t){resize, NULL}, BLOCK_MAX);
    CHECK(relay_sse_next(&sse, &text, &item) == RELAY_SSE_EVENT);
    CHECK(item.has_data && item.terminated && item.data.len != 0);
    CHECK(text.len == 0 && !relay_sse_pending(&sse));
    relay_sse_free(&sse);
}

static void feed(relay_eventstream_t *stream, relay_span_t piece, run_t *run)
{
    relay_span_t text;

    while ((run->status = relay_eventstream_next(stream, &piece, &text)) ==
           RELAY_EVENTSTREAM_EVENT) {
        check_event(text);
        run->text = realloc(run->text, run->len + text.len);
        CHECK(run->text != NULL);
        memcpy(run->text + run->len, text.base, text.len);
        run->len += text.len;
        run->events++;
    }
    CHECK(run->status != RELAY_EVENTSTREAM_MORE || piece.len == 0);
    CHECK(run->status != RELAY_EVENTSTREAM_MEMORY);
}

/* seed 0: in one piece. Pieces are copies that go at once. */
static run_t decode(relay_span_t input, relay_framing_t framing, uint32_t seed)
{
    relay_eventstream_t stream;
    run_t run = {RELAY_EVENTSTREAM_MORE, false, 0, NULL, 0};

    relay_eventstream_init(&stream, (relay_memory_t){resize, NULL}, framing, MESSAGE_MAX);
    while (input.len != 0 && run.status == RELAY_EVENTSTREAM_MORE) {
        size_t length = input.len;
        uint8_t *piece;
        if (seed != 0) {
            seed = seed * 1664525 + 1013904223;
            length = 1 + (seed >> 16) % 41;
            length = length < input.len ? length : input.len;
        }
        piece = malloc(length);
        CHECK(piece != NULL);
        memcpy(piece, input.base, length);
        feed(&stream, relay_span(piece, length), &run);
        free(piece);
        input = relay_span_from(input, length);
    }
    run.ended = relay_eventstream_end(&stream);
    CHECK(!run.ended || run.status == RELAY_EVENTSTREAM_MORE);
    relay_eventstream_free(&stream);
    return run;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    relay_framing_t framing;
    relay_span_t input;
    uint8_t *bytes;
    run_t whole, cut;

    if (size == 0) {
        return 0;
    }
    framing = data[0] & 1 ? RELAY_FRAMING_EVENTSTREAM_BYTES : RELAY_FRAMING_EVENTSTREAM;
    bytes = malloc(size);
    CHECK(bytes != NULL);
    memcpy(bytes, data + 1, size - 1);
    if (data[0] & 2) {
        mend(bytes, size - 1);
    }
    input = relay_span(bytes, size - 1);
    whole = decode(input, framing, 0);
    cut = decode(input, framing, 1u + (data[0] >> 2));
    CHECK(whole.status == cut.status && whole.ended == cut.ended && whole.events == cut.events);
    CHECK(relay_span_eq(relay_span(whole.text, whole.len), relay_span(cut.text, cut.len)));
    free(whole.text);
    free(cut.text);
    free(bytes);
    return 0;
}
