/*
 * How fast the core primitives are on this machine: the strict scan on bodies
 * as clients send them, and split + scan per stream event. Prints a table; run
 * by `make bench` or by hand:
 *
 *   cc -std=c11 -D_GNU_SOURCE -O2 -Ingx_relay_module/core t/bench/bench_json_scan.c \
 *      ngx_relay_module/core/{buf,utf8,json_lex,json_value,json_scan,sse}.c -o bench_json_scan
 */

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "json_scan.h"
#include "sse.h"

enum { ROUNDS = 15, EVENTS = 400, EVENT_TEXT_BYTES = 44 };

static const relay_span_t keys[] = {
    RELAY_SPAN_INIT("model"),
    RELAY_SPAN_INIT("stream"),
    RELAY_SPAN_INIT("stream_options"),
    RELAY_SPAN_INIT("max_tokens"),
    RELAY_SPAN_INIT("max_completion_tokens"),
    RELAY_SPAN_INIT("max_output_tokens"),
};
static const relay_span_t event_keys[] = {
    RELAY_SPAN_INIT("id"),      RELAY_SPAN_INIT("model"), RELAY_SPAN_INIT("created"),
    RELAY_SPAN_INIT("choices"), RELAY_SPAN_INIT("usage"), RELAY_SPAN_INIT("error"),
};

enum {
    KEYS = sizeof(keys) / sizeof(keys[0]),
    EVENT_KEYS = sizeof(event_keys) / sizeof(event_keys[0])
};

typedef enum { ASCII, MIXED, IMAGE, NUMBERS } kind_t;

static double now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static void put_text(relay_buf_t *out, kind_t kind)
{
    if (kind == MIXED) {
        RELAY_PUT(out, "Die Gr\u00f6\u00dfe h\u00e4ngt davon ab: "
                       "\u043e\u0442\u0432\u0435\u0442 \u043d\u0430 "
                       "\u0432\u043e\u043f\u0440\u043e\u0441, and then plain words go on.\\n");
    } else {
        RELAY_PUT(out, "The answer depends on what the caller \\\"means\\\" by it, so we ask.\\n");
    }
}

static void put_message(relay_buf_t *out, kind_t kind, size_t room)
{
    size_t end = out->len + (room < 900 ? room : 900);

    RELAY_PUT(out, "{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"");
    while (out->len < end) {
        put_text(out, kind);
    }
    RELAY_PUT(out, "\"}]}");
}

static void put_image(relay_buf_t *out, size_t size)
{
    RELAY_PUT(out, "{\"role\":\"user\",\"content\":[{\"type\":\"image_url\",\"image_url\":{\"url\":"
                   "\"data:image/png;base64,");
    while (out->len < size) {
        relay_buf_put_byte(out, (uint8_t)('A' + out->len * 7 % 26));
    }
    RELAY_PUT(out, "\"}}]}");
}

static void put_numbers(relay_buf_t *out, size_t size)
{
    RELAY_PUT(out, "[0");
    while (out->len < size) {
        relay_buf_put_byte(out, ',');
        relay_buf_put_u64(out, out->len * 2654435761u % 100000);
    }
    RELAY_PUT(out, "]");
}

static void put_body(relay_buf_t *out, kind_t kind, size_t size)
{
    bool first = true;

    RELAY_PUT(out, "{\"model\":\"some-model\",\"stream\":true,\"temperature\":0.7,\"messages\":[");
    if (kind == IMAGE) {
        put_image(out, size);
    } else if (kind == NUMBERS) {
        put_numbers(out, size);
    }
    while (out->len < size) {
        if (!first) {
            relay_buf_put_byte(out, ',');
        }
        first = false;
        put_message(out, kind, size - out->len);
    }
    RELAY_PUT(out, "],\"max_tokens\":1024}");
}

static double scan_ns(relay_span_t body, unsigned times)
{
    relay_json_value_t values[KEYS];
    relay_json_fault_t fault;
    double start = now_ns();

    for (unsigned i = 0; i < times; i++) {
        if (relay_json_scan(body, keys, KEYS, values, &fault) != RELAY_JSON_OK) {
            fprintf(stderr, "scan failed at %zu\n", fault.offset);
            exit(1);
        }
    }
    return (now_ns() - start) / times;
}

static double best_scan_ns(relay_span_t body)
{
    unsigned times = (unsigned)(8000000 / body.len) + 1;
    double best = 1e30;

    for (int round = 0; round < ROUNDS; round++) {
        double ns = scan_ns(body, times);
        best = ns < best ? ns : best;
    }
    return best;
}

static void bench_body(const char *name, kind_t kind, size_t size)
{
    relay_buf_t out = relay_buf(malloc(size + 4096), size + 4096);
    double ns;

    if (out.base == NULL) {
        exit(1);
    }
    put_body(&out, kind, size);
    ns = best_scan_ns(relay_buf_span(&out));
    printf("scan  %-8s %8zu B  %9.0f ns  %7.0f MB/s\n", name, out.len, ns,
           (double)out.len / ns * 1e3);
    free(out.base);
}

/* ---- stream events ------------------------------------------------------- */

static void *resize(void *owner, void *block, size_t size)
{
    (void)owner;
    if (size == 0) {
        free(block);
        return NULL;
    }
    return realloc(block, size);
}

static void put_event(relay_buf_t *out, size_t text)
{
    RELAY_PUT(out, "data: {\"id\":\"chatcmpl-0123456789\",\"object\":\"chat.completion.chunk\","
                   "\"created\":1700000000,\"model\":\"some-model\",\"choices\":[{\"index\":0,"
                   "\"delta\":{\"content\":\"");
    for (size_t i = 0; i < text; i++) {
        relay_buf_put_byte(out, (uint8_t)('a' + i % 26));
    }
    RELAY_PUT(out, "\"},\"finish_reason\":null}],\"usage\":null}\n\n");
}

static unsigned split(relay_sse_t *sse, relay_span_t input, bool scan)
{
    relay_json_value_t values[EVENT_KEYS];
    relay_json_fault_t fault;
    relay_sse_item_t item;
    unsigned events = 0;

    while (relay_sse_next(sse, &input, &item) == RELAY_SSE_EVENT) {
        if (scan &&
            relay_json_scan(item.data, event_keys, EVENT_KEYS, values, &fault) != RELAY_JSON_OK) {
            exit(1);
        }
        events++;
    }
    return events;
}

static double best_event_ns(relay_span_t stream, bool scan)
{
    relay_memory_t memory = {resize, NULL};
    double best = 1e30;
    relay_sse_t sse;

    relay_sse_init(&sse, memory, 1 << 20);
    for (int round = 0; round < ROUNDS; round++) {
        double start = now_ns();
        unsigned events = 0;
        double ns;
        for (int i = 0; i < 50; i++) {
            events += split(&sse, stream, scan);
        }
        ns = (now_ns() - start) / events;
        best = ns < best ? ns : best;
    }
    relay_sse_free(&sse);
    return best;
}

static void bench_events(size_t text)
{
    size_t capacity = EVENTS * (text + 256);
    relay_buf_t out = relay_buf(malloc(capacity), capacity);

    if (out.base == NULL) {
        exit(1);
    }
    for (int i = 0; i < EVENTS; i++) {
        put_event(&out, text);
    }
    printf("event %zu B: split %.0f ns, split + scan %.0f ns\n", out.len / EVENTS,
           best_event_ns(relay_buf_span(&out), false), best_event_ns(relay_buf_span(&out), true));
    free(out.base);
}

int main(void)
{
    static const size_t sizes[] = {2048, 100 * 1024, 1024 * 1024};

    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        bench_body("ascii", ASCII, sizes[i]);
        bench_body("mixed", MIXED, sizes[i]);
        bench_body("image", IMAGE, sizes[i]);
        bench_body("numbers", NUMBERS, sizes[i]);
    }
    bench_events(EVENT_TEXT_BYTES);
    return 0;
}
