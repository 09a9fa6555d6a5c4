/*
 * How fast translation is on this machine, without nginx: bodies of requests in
 * MB/s, events of streams in microseconds, in both directions. Prints a table; run
 * by `make bench`, or by hand after `make build`:
 *
 *   cc -std=c11 -D_GNU_SOURCE -O2 -Ingx_relay_module/core t/bench/translate.c \
 *      build/librelay_core.a -lcrypto -o bench_translate
 *   bench_translate                          the table
 *   bench_translate "agent chat" 100         one of its lines, so many times: for a profiler
 *
 * Memory comes as in the worker: a pool for each request, thrown away behind it.
 */

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "sse.h"
#include "translate.h"
#include "wire_support.h"

enum {
    ROUNDS = 15,
    ROUND_NS = 4000000,
    EVENTS = 200,
    AGENT_BYTES = 60 * 1024,
    LONG_BYTES = 1024 * 1024,
    LONG_TEXT_BYTES = 40 * 1024,
    TOOLS = 24,
    STREAM_MAX = 256 * 1024,
    POOL_BYTES = 4096, /* of a block; what is longer comes from malloc */
    SCRATCH_BYTES = 65536
};

typedef enum { CHAT, MESSAGES } format_t;

static const char *const codecs[] = {"openai-chat", "anthropic-messages"};

static void fail(const char *what)
{
    fprintf(stderr, "bench_translate: %s\n", what);
    exit(1);
}

/* ---- memory ---------------------------------------------------------------- */

typedef struct block_s {
    struct block_s *next;
    max_align_t memory[];
} block_t;

typedef struct {
    block_t *blocks;
    uint8_t *at;
    size_t left;
    size_t taken; /* from malloc */
} pool_t;

static uint8_t *take(pool_t *pool, size_t size)
{
    block_t *block = malloc(sizeof(*block) + size);

    if (block == NULL) {
        fail("no memory");
    }
    block->next = pool->blocks;
    pool->blocks = block;
    pool->taken += size;
    return (uint8_t *)block->memory;
}

static void *allocate(void *owner, size_t size)
{
    size_t aligned = (size + 15) & ~(size_t)15;
    pool_t *pool = owner;
    uint8_t *memory;

    if (aligned >= POOL_BYTES) {
        return memset(take(pool, aligned), 0, size);
    }
    if (aligned > pool->left) {
        pool->at = take(pool, POOL_BYTES);
        pool->left = POOL_BYTES;
    }
    memory = pool->at;
    pool->at += aligned;
    pool->left -= aligned;
    return memset(memory, 0, size);
}

static void give_back(pool_t *pool)
{
    while (pool->blocks != NULL) {
        block_t *next = pool->blocks->next;
        free(pool->blocks);
        pool->blocks = next;
    }
    *pool = (pool_t){NULL, NULL, 0, 0};
}

static void *resize(void *owner, void *block, size_t size)
{
    (void)owner;
    if (size == 0) {
        free(block);
        return NULL;
    }
    return realloc(block, size);
}

static void begin(relay_translation_t *translation, const relay_arena_t *arena, format_t caller)
{
    *translation = (relay_translation_t){
        .arena = arena,
        .caller = relay_codec_find(relay_wire_cstring(codecs[caller])),
        .upstream = relay_codec_find(relay_wire_cstring(codecs[!caller])),
        .request_id = RELAY_SPAN("0123456789abcdef0123456789abcdef"),
        .created_s = 1790000000,
    };
}

/* ---- bodies ---------------------------------------------------------------- */

static const char *const prose[] = {
    "The first failure is the missing header \\\"config.h\\\"; everything after it follows. ",
    "Run the configure step again; it writes that file into the build folder.\\n",
    "Gut, und was hei\xc3\x9ft das f\xc3\xbcr den n\xc3\xa4"
    "chsten Schritt? ",
    "Then say in one line what you would do about it, and why the others do not matter. ",
};
static const char *const code[] = {
    "\\tif (buf->len < buf->capacity && text.len != 0) {\\n",
    "\\t\\tprintf(\\\"%s: %d\\\\n\\\", name, (int) value);\\n",
    "\\t}\\n\\treturn relay_span(buf->base, buf->len);\\n",
    "static const char *const words[] = {\\\"one\\\", \\\"two\\\"};\\n",
};

static void put_texts(relay_buf_t *out, const char *const texts[4], size_t size)
{
    size_t end = out->len + size;

    for (unsigned i = 0; out->len < end; i++) {
        relay_buf_put(out, relay_wire_cstring(texts[i % 4]));
    }
}

static void put_number(relay_buf_t *out, const char *before, unsigned number, const char *behind)
{
    relay_buf_put(out, relay_wire_cstring(before));
    relay_buf_put_u64(out, number);
    relay_buf_put(out, relay_wire_cstring(behind));
}

static void put_schema(relay_buf_t *out)
{
    RELAY_PUT(out, "{\"type\":\"object\",\"properties\":{"
                   "\"file_path\":{\"type\":\"string\",\"description\":\"The absolute path of the "
                   "file to work on\"},"
                   "\"offset\":{\"type\":\"integer\",\"description\":\"The line to start from\","
                   "\"minimum\":0},"
                   "\"mode\":{\"type\":\"string\",\"enum\":[\"read\",\"write\",\"append\"]},"
                   "\"edits\":{\"type\":\"array\",\"items\":{\"type\":\"object\",\"properties\":{"
                   "\"old\":{\"type\":\"string\"},\"new\":{\"type\":\"string\"}},"
                   "\"required\":[\"old\",\"new\"]}}},"
                   "\"required\":[\"file_path\"],\"additionalProperties\":false}");
}

static void put_tools(relay_buf_t *out, format_t format)
{
    RELAY_PUT(out, ",\"tools\":[");
    for (unsigned i = 0; i < TOOLS; i++) {
        RELAY_PUT(out, "{");
        relay_buf_put(out, format == CHAT ? RELAY_SPAN("\"type\":\"function\",\"function\":{")
                                          : RELAY_SPAN(""));
        put_number(out, "\"name\":\"tool_", i, "\",\"description\":\"");
        put_texts(out, prose, 200);
        relay_buf_put(out, format == CHAT ? RELAY_SPAN("\",\"parameters\":")
                                          : RELAY_SPAN("\",\"input_schema\":"));
        put_schema(out);
        relay_buf_put(out, format == CHAT ? RELAY_SPAN("}},") : RELAY_SPAN("},"));
    }
    out->len--;
    RELAY_PUT(out, "]");
}

static void put_message(relay_buf_t *out, format_t format, const char *role, size_t size)
{
    RELAY_PUT(out, "{\"role\":\"");
    relay_buf_put(out, relay_wire_cstring(role));
    relay_buf_put(out, format == CHAT
                           ? RELAY_SPAN("\",\"content\":\"")
                           : RELAY_SPAN("\",\"content\":[{\"type\":\"text\",\"text\":\""));
    put_texts(out, prose, size);
    relay_buf_put(out, format == CHAT ? RELAY_SPAN("\"},") : RELAY_SPAN("\"}]},"));
}

/* A call with a remark before it, and what the tool said. */
static void put_call(relay_buf_t *out, format_t format, unsigned number)
{
    if (format == CHAT) {
        RELAY_PUT(out,
                  "{\"role\":\"assistant\",\"content\":\"I will look at it.\",\"tool_calls\":[");
        put_number(out, "{\"id\":\"call_", number, "\",\"type\":\"function\",\"function\":{");
        put_number(out, "\"name\":\"tool_", number % TOOLS,
                   "\",\"arguments\":\"{\\\"file_path\\\":");
        RELAY_PUT(out, "\\\"/home/user/src/main.c\\\",\\\"offset\\\":120,\\\"edits\\\":[{"
                       "\\\"old\\\":\\\"a\\\\tb\\\",\\\"new\\\":\\\"c\\\"}]}\"}}]},");
        put_number(out, "{\"role\":\"tool\",\"tool_call_id\":\"call_", number, "\",\"content\":\"");
        put_texts(out, code, 1500);
        RELAY_PUT(out, "\"},");
        return;
    }
    RELAY_PUT(out,
              "{\"role\":\"assistant\",\"content\":[{\"type\":\"text\",\"text\":\"I will look at "
              "it.\"},");
    put_number(out, "{\"type\":\"tool_use\",\"id\":\"toolu_", number, "\",");
    put_number(out, "\"name\":\"tool_", number % TOOLS, "\",\"input\":{\"file_path\":");
    RELAY_PUT(out, "\"/home/user/src/main.c\",\"offset\":120,\"edits\":[{"
                   "\"old\":\"a\\tb\",\"new\":\"c\"}]}}]},");
    put_number(out,
               "{\"role\":\"user\",\"content\":[{\"type\":\"tool_result\",\"tool_use_id\":\"toolu_",
               number, "\",\"content\":[{\"type\":\"text\",\"text\":\"");
    put_texts(out, code, 1500);
    RELAY_PUT(out, "\"}]}]},");
}

static void open_body(relay_buf_t *out, format_t format, size_t system)
{
    RELAY_PUT(out, "{\"model\":\"bench\",\"max_tokens\":8192,\"temperature\":0.7,\"stream\":true,");
    relay_buf_put(out, format == CHAT
                           ? RELAY_SPAN("\"stream_options\":{\"include_usage\":true},\"messages\":["
                                        "{\"role\":\"system\",\"content\":\"")
                           : RELAY_SPAN("\"system\":[{\"type\":\"text\",\"text\":\""));
    put_texts(out, prose, system);
    relay_buf_put(out, format == CHAT ? RELAY_SPAN("\"},") : RELAY_SPAN("\"}],\"messages\":["));
}

/* As coding agents send: many tools, calls and their results, short texts. */
static void put_agent(relay_buf_t *out, format_t format)
{
    open_body(out, format, 6000);
    put_message(out, format, "user", 400);
    for (unsigned i = 0; out->len + 20000 < AGENT_BYTES; i++) {
        put_call(out, format, i);
    }
    put_message(out, format, "assistant", 300);
    put_message(out, format, "user", 300);
    out->len--;
    RELAY_PUT(out, "]");
    put_tools(out, format);
    RELAY_PUT(out, "}");
}

static void put_long(relay_buf_t *out, format_t format)
{
    open_body(out, format, 400);
    for (unsigned i = 0; out->len + LONG_TEXT_BYTES < LONG_BYTES; i++) {
        put_message(out, format, i % 2 ? "assistant" : "user", LONG_TEXT_BYTES);
    }
    put_message(out, format, "user", 300);
    out->len--;
    RELAY_PUT(out, "]}");
}

static relay_span_t make_body(void (*put)(relay_buf_t *, format_t), format_t format)
{
    size_t capacity = 2 * LONG_BYTES;
    relay_buf_t out = relay_buf(malloc(capacity), capacity);

    if (out.base == NULL) {
        fail("no memory");
    }
    put(&out, format);
    return relay_buf_span(&out);
}

/* ---- streams ---------------------------------------------------------------- */

static void put_chunk(relay_buf_t *out, const char *delta, const char *finish)
{
    RELAY_PUT(out,
              "data: {\"id\":\"chatcmpl-0123456789\",\"object\":\"chat.completion.chunk\","
              "\"created\":1790000000,\"model\":\"bench\",\"service_tier\":\"default\","
              "\"system_fingerprint\":\"fp_0123456789\",\"choices\":[{\"index\":0,\"delta\":{");
    relay_buf_put(out, relay_wire_cstring(delta));
    RELAY_PUT(out, "},\"logprobs\":null,\"finish_reason\":");
    relay_buf_put(out, relay_wire_cstring(finish));
    RELAY_PUT(out, "}],\"usage\":null}\n\n");
}

static void put_chat_stream(relay_buf_t *out, bool calls)
{
    put_chunk(out, "\"role\":\"assistant\",\"content\":\"\",\"refusal\":null", "null");
    if (calls) {
        put_chunk(out,
                  "\"tool_calls\":[{\"index\":0,\"id\":\"call_0123456789\",\"type\":\"function\","
                  "\"function\":{\"name\":\"tool_1\",\"arguments\":\"\"}}]",
                  "null");
        put_chunk(out, "\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":\"[0\"}}]",
                  "null");
    }
    for (unsigned i = 0; i < EVENTS; i++) {
        put_chunk(
            out,
            calls ? "\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":\",\\\"token\\\"\"}}]"
                  : "\"content\":\" token by token\"",
            "null");
    }
    if (calls) {
        put_chunk(out, "\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":\"]\"}}]", "null");
    }
    put_chunk(out, "", calls ? "\"tool_calls\"" : "\"stop\"");
    RELAY_PUT(out, "data: {\"id\":\"chatcmpl-0123456789\",\"object\":\"chat.completion.chunk\","
                   "\"created\":1790000000,\"model\":\"bench\",\"choices\":[],\"usage\":{"
                   "\"prompt_tokens\":512,\"completion_tokens\":200,\"total_tokens\":712}}\n\n"
                   "data: [DONE]\n\n");
}

static void put_fragment(relay_buf_t *out, bool calls, const char *text)
{
    RELAY_PUT(out,
              "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,"
              "\"delta\":{\"type\":\"");
    relay_buf_put(out, calls ? RELAY_SPAN("input_json_delta\",\"partial_json\":\"")
                             : RELAY_SPAN("text_delta\",\"text\":\""));
    relay_buf_put(out, relay_wire_cstring(text));
    RELAY_PUT(out, "\"}}\n\n");
}

static void put_messages_stream(relay_buf_t *out, bool calls)
{
    RELAY_PUT(out,
              "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":"
              "\"msg_0123456789\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"bench\","
              "\"content\":[],\"stop_reason\":null,\"stop_sequence\":null,\"usage\":{"
              "\"input_tokens\":512,\"output_tokens\":1}}}\n\n"
              "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,"
              "\"content_block\":");
    relay_buf_put(out, calls ? RELAY_SPAN("{\"type\":\"tool_use\",\"id\":\"toolu_0123456789\","
                                          "\"name\":\"tool_1\",\"input\":{}}}\n\n")
                             : RELAY_SPAN("{\"type\":\"text\",\"text\":\"\"}}\n\n"));
    put_fragment(out, calls, calls ? "[0" : "Begin");
    for (unsigned i = 0; i < EVENTS; i++) {
        put_fragment(out, calls, calls ? ",\\\"token\\\"" : " token by token");
    }
    put_fragment(out, calls, calls ? "]" : " end");
    RELAY_PUT(
        out, "event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":0}\n\n"
             "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":");
    relay_buf_put(out, calls ? RELAY_SPAN("\"tool_use\"") : RELAY_SPAN("\"end_turn\""));
    RELAY_PUT(out, ",\"stop_sequence\":null},\"usage\":{\"output_tokens\":200}}\n\n"
                   "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n");
}

/* The stream of an upstream, and its items, which point into it. */
static size_t make_items(format_t upstream, bool calls, relay_sse_item_t **items)
{
    relay_buf_t out = relay_buf(malloc(STREAM_MAX), STREAM_MAX);
    relay_span_t input;
    relay_sse_t splitter;
    size_t count = 0;

    *items = calloc(EVENTS + 16, sizeof(**items));
    if (out.base == NULL || *items == NULL) {
        fail("no memory");
    }
    (upstream == CHAT ? put_chat_stream : put_messages_stream)(&out, calls);
    input = relay_buf_span(&out);
    relay_sse_init(&splitter, (relay_memory_t){resize, NULL}, STREAM_MAX);
    while (count < EVENTS + 16 &&
           relay_sse_next(&splitter, &input, &(*items)[count]) == RELAY_SSE_EVENT) {
        count++;
    }
    relay_sse_free(&splitter);
    return count;
}

/* ---- what is measured -------------------------------------------------------- */

typedef struct {
    const char *name; /* what is read, in which format: translated into the other one */
    format_t caller;
    void (*put)(relay_buf_t *, format_t); /* of a request */
    bool calls;                           /* of a stream: argument fragments, not text */
    relay_span_t body;
    relay_sse_item_t *items;
    size_t nitems;
    size_t taken; /* memory of one translation */
} case_t;

static case_t cases[] = {
    {.name = "agent chat", .caller = CHAT, .put = put_agent},
    {.name = "agent messages", .caller = MESSAGES, .put = put_agent},
    {.name = "long chat", .caller = CHAT, .put = put_long},
    {.name = "long messages", .caller = MESSAGES, .put = put_long},
    {.name = "text chat", .caller = MESSAGES},
    {.name = "text messages", .caller = CHAT},
    {.name = "calls chat", .caller = MESSAGES, .calls = true},
    {.name = "calls messages", .caller = CHAT, .calls = true},
};

enum { CASES = sizeof(cases) / sizeof(cases[0]) };

static void translate_request(case_t *of)
{
    pool_t pool = {NULL, NULL, 0, 0};
    relay_arena_t arena = {allocate, &pool};
    relay_translation_t translation;
    relay_span_t request;

    begin(&translation, &arena, of->caller);
    if (relay_translate_request(&translation, of->body, &request) != RELAY_ERR_NONE) {
        fail("a request was refused");
    }
    of->taken = pool.taken;
    give_back(&pool);
}

static bool no_room(relay_output_t *output, size_t size)
{
    (void)output;
    (void)size;
    return false;
}

/* Every item lands at the start of the output, as if it was sent at once. */
static void translate_stream(case_t *of)
{
    static uint8_t scratch[SCRATCH_BYTES];
    static relay_stream_translation_t stream;
    pool_t pool = {NULL, NULL, 0, 0};
    relay_arena_t arena = {allocate, &pool};
    relay_output_t output = {.buf = relay_buf(scratch, sizeof(scratch)), .room = no_room};
    relay_translation_t translation;
    size_t written = 0;

    begin(&translation, &arena, of->caller);
    if (!relay_stream_open(&stream, &(relay_stream_options_t){.translation = &translation,
                                                              .output = &output,
                                                              .memory = {resize, NULL},
                                                              .kept_max = SCRATCH_BYTES})) {
        fail("no memory for a stream");
    }
    for (size_t i = 0; i < of->nitems; i++) {
        output.buf.len = 0;
        relay_stream_item(&stream, &of->items[i]);
        written += output.buf.len;
    }
    if (!stream.over || stream.failed || written < EVENTS * 64) {
        fail("a stream was not translated");
    }
    relay_stream_free(&stream);
    give_back(&pool);
}

static void run(case_t *of, unsigned long times)
{
    for (unsigned long i = 0; i < times; i++) {
        (of->put != NULL ? translate_request : translate_stream)(of);
    }
}

static void prepare(case_t *of)
{
    if (of->put != NULL) {
        of->body = make_body(of->put, of->caller);
    } else {
        of->nitems = make_items(!of->caller, of->calls, &of->items);
    }
}

static double now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

/* CPU time of one run; the best round is the one that nothing disturbed. */
static double best_ns(case_t *of)
{
    double start = now_ns(), best = 1e30;
    unsigned long times;

    run(of, 1);
    times = 1 + (unsigned long)(ROUND_NS / (now_ns() - start + 1));
    for (int round = 0; round < ROUNDS; round++) {
        double ns;
        start = now_ns();
        run(of, times);
        ns = (now_ns() - start) / (double)times;
        best = ns < best ? ns : best;
    }
    return best;
}

static void measure(case_t *of)
{
    double ns = best_ns(of);

    if (of->put != NULL) {
        printf("request %-15s %8zu B %9.1f us %8.0f MB/s, %zu KB of memory\n", of->name,
               of->body.len, ns / 1e3, (double)of->body.len / ns * 1e3, of->taken / 1024);
    } else {
        printf("stream  %-15s %8zu events %8.3f us each\n", of->name, of->nitems,
               ns / 1e3 / (double)of->nitems);
    }
}

int main(int argc, char **argv)
{
    unsigned long times = argc == 3 ? strtoul(argv[2], NULL, 10) : 0;
    bool any = false;

    for (size_t i = 0; i < CASES; i++) {
        if (argc == 3 && strcmp(cases[i].name, argv[1]) != 0) {
            continue;
        }
        any = true;
        prepare(&cases[i]);
        if (argc == 3) {
            run(&cases[i], times);
        } else {
            measure(&cases[i]);
        }
    }
    if (!any || argc == 2) {
        fail("usage: bench_translate [NAME TIMES]");
    }
    return 0;
}
