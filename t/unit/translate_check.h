/*
 * Runs bodies and streams through a translation. For test_translate*.c and
 * test_wire_*_codec.c.
 */

#ifndef RELAY_TEST_TRANSLATE_CHECK_H
#define RELAY_TEST_TRANSLATE_CHECK_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "codec_support.h"
#include "stream_check.h"
#include "valgrind_check.h"

#define CHAT      "openai-chat"
#define MESSAGES  "anthropic-messages"
#define RESPONSES "openai-responses"

/* ---- memory ---------------------------------------------------------------- */

typedef struct translate_block_s {
    struct translate_block_s *next;
    max_align_t memory[];
} translate_block_t;

typedef struct {
    translate_block_t *blocks;
    size_t left; /* allocations until the arena is empty */
    relay_arena_t arena;
    relay_translation_t translation;
} translate_t;

static void *translate_allocate(void *owner, size_t size)
{
    translate_t *run = owner;
    translate_block_t *block;

    if (run->left == 0) {
        return NULL;
    }
    run->left--;
    block = calloc(1, sizeof(*block) + size);
    assert_non_null(block);
    block->next = run->blocks;
    run->blocks = block;
    return block->memory;
}

/* The codecs by name: what the caller speaks and what the upstream does. */
__attribute__((unused)) static void translate_open(translate_t *run, const char *caller,
                                                   const char *upstream)
{
    *run = (translate_t){.left = SIZE_MAX};
    run->arena = (relay_arena_t){translate_allocate, run};
    run->translation.arena = &run->arena;
    run->translation.caller = relay_codec_find(relay_wire_cstring(caller));
    run->translation.upstream = relay_codec_find(relay_wire_cstring(upstream));
    run->translation.request_id = RELAY_SPAN("r1");
    run->translation.created_s = 1700000000;
    assert_non_null(run->translation.caller);
    assert_non_null(run->translation.upstream);
}

__attribute__((unused)) static void translate_close(translate_t *run)
{
    while (run->blocks != NULL) {
        translate_block_t *next = run->blocks->next;
        free(run->blocks);
        run->blocks = next;
    }
}

__attribute__((unused)) static void translate_same(relay_span_t got, const char *want)
{
    if (!relay_span_eq(got, relay_wire_cstring(want))) {
        print_error("got  %.*s\nwant %s\n", (int)got.len, (const char *)got.base, want);
        fail();
    }
}

__attribute__((unused)) static void translate_has(relay_span_t text, const char *part)
{
    if (memmem(text.base, text.len, part, strlen(part)) == NULL) {
        print_error("no %s\nin %.*s\n", part, (int)text.len, (const char *)text.base);
        fail();
    }
}

__attribute__((unused)) static void translate_notes(const relay_translation_t *translation,
                                                    const char *want)
{
    char text[2048];
    relay_buf_t notes = relay_buf(text, sizeof(text));

    relay_translation_put_notes(translation, &notes);
    translate_same(relay_buf_span(&notes), want);
}

/* ---- bodies ----------------------------------------------------------------- */

/* A request that is good; notes "" for none. */
__attribute__((unused)) static void translate_request(const char *caller, const char *upstream,
                                                      relay_target_t target, const char *body,
                                                      const char *want, const char *notes)
{
    translate_t run;
    relay_span_t out = {NULL, 0};

    translate_open(&run, caller, upstream);
    run.translation.target = target;
    if (relay_translate_request(&run.translation, relay_wire_cstring(body), &out) !=
        RELAY_ERR_NONE) {
        print_error("%s\nrefused at %.*s: %.*s\n", body, (int)run.translation.error.param.len,
                    (const char *)run.translation.error.param.base,
                    (int)run.translation.error.message.len,
                    (const char *)run.translation.error.message.base);
        fail();
    }
    translate_same(out, want);
    translate_notes(&run.translation, notes);
    translate_close(&run);
}

/* A request that is refused: code, the field, and a part of the message. */
__attribute__((unused)) static void translate_refused(const char *caller, const char *upstream,
                                                      const char *body, relay_error_code_t code,
                                                      const char *param, const char *part)
{
    translate_t run;
    relay_span_t out;

    translate_open(&run, caller, upstream);
    assert_int_equal(relay_translate_request(&run.translation, relay_wire_cstring(body), &out),
                     code);
    translate_same(run.translation.error.param, param);
    translate_has(run.translation.error.message, part);
    translate_close(&run);
}

__attribute__((unused)) static void translate_response(const char *upstream, const char *caller,
                                                       const char *body, const char *want)
{
    translate_t run;
    relay_span_t out = {NULL, 0};

    translate_open(&run, caller, upstream);
    assert_int_equal(relay_translate_response(&run.translation, relay_wire_cstring(body), &out),
                     RELAY_ERR_NONE);
    translate_same(out, want);
    translate_close(&run);
}

/* ---- streams ----------------------------------------------------------------- */

typedef struct {
    relay_output_t output;
    relay_event_class_t heaviest;
    bool failed;
    unsigned status;
    relay_usage_t usage;
} translate_stream_t;

static bool translate_room(relay_output_t *output, size_t size)
{
    output->buf.base = realloc(output->buf.base, output->buf.len + size);
    output->buf.capacity = output->buf.len + size;
    assert_non_null(output->buf.base);
    return true;
}

static void translate_item(relay_stream_translation_t *stream, translate_stream_t *result,
                           const relay_sse_item_t *item)
{
    relay_event_class_t class =
        item != NULL ? relay_stream_item(stream, item) : relay_stream_close(stream);

    result->heaviest = class > result->heaviest ? class : result->heaviest;
}

static void translate_feed(relay_stream_translation_t *stream, translate_stream_t *result,
                           relay_sse_t *sse, relay_span_t input)
{
    relay_sse_item_t item;
    relay_sse_status_t status;

    while ((status = relay_sse_next(sse, &input, &item)) != RELAY_SSE_MORE) {
        assert_true(status == RELAY_SSE_EVENT || status == RELAY_SSE_BLANK);
        if (status == RELAY_SSE_EVENT) {
            translate_item(stream, result, &item);
        }
    }
}

/* In two parts, cut at `cut`; 0: a byte at a time. */
static translate_stream_t translate_run(relay_translation_t *translation, relay_span_t text,
                                        size_t cut, size_t kept_max)
{
    translate_stream_t result = {.output = {.room = translate_room}};
    relay_stream_translation_t *stream = malloc(sizeof(*stream));
    relay_stream_options_t options = {.translation = translation,
                                      .output = &result.output,
                                      .memory = {stream_check_resize, NULL},
                                      .kept_max = kept_max};
    relay_sse_t sse;
    relay_sse_item_t item;

    assert_non_null(stream);
    relay_sse_init(&sse, options.memory, 1 << 20);
    assert_true(relay_stream_open(stream, &options));
    for (size_t at = 0; at < text.len;) {
        size_t size = cut == 0 ? 1 : at == 0 && cut < text.len ? cut : text.len - at;
        translate_feed(stream, &result, &sse, relay_span(text.base + at, size));
        at += size;
    }
    if (relay_sse_finish(&sse, &item) == RELAY_SSE_EVENT) {
        translate_item(stream, &result, &item);
    }
    translate_item(stream, &result, NULL);
    result.failed = stream->failed;
    result.status = stream->status;
    result.usage = stream->reader.usage;
    relay_sse_free(&sse);
    relay_stream_free(stream);
    free(stream);
    return result;
}

/* The whole stream, checked by the validator, the same for every cut (under valgrind, which
 * is slow, for some of them); free it. */
__attribute__((unused)) static translate_stream_t
translate_stream(relay_translation_t *translation, const char *text, stream_check_t *check)
{
    relay_span_t input = relay_wire_cstring(text);
    translate_stream_t whole = translate_run(translation, input, input.len, 1 << 20);
    const char *fault = stream_check(relay_buf_span(&whole.output.buf),
                                     stream_format(translation->caller->wire), check);

    if (fault != NULL) {
        print_error("%s in\n%.*s\n", fault, (int)whole.output.buf.len,
                    (const char *)whole.output.buf.base);
        fail();
    }
    assert_true(check->ended != check->errored);
    assert_int_equal(whole.failed, check->errored);
    for (size_t cut = 0; cut < input.len; cut += check_cut_step()) {
        translate_stream_t other = translate_run(translation, input, cut, 1 << 20);
        assert_true(
            relay_span_eq(relay_buf_span(&whole.output.buf), relay_buf_span(&other.output.buf)));
        free(other.output.buf.base);
    }
    return whole;
}

/* The values of a member of the deltas, one behind the other: "text", "partial_json". */
__attribute__((unused)) static void translate_gather(const translate_stream_t *run,
                                                     const char *before, char *out, size_t size)
{
    relay_span_t text = relay_buf_span(&run->output.buf);
    const uint8_t *at = text.base, *end = text.base + text.len;
    relay_buf_t gathered = relay_buf(out, size - 1);

    while ((at = memmem(at, (size_t)(end - at), before, strlen(before))) != NULL) {
        const uint8_t *from = at + strlen(before);
        for (at = from; *at != '"'; at += *at == '\\' ? 2 : 1) {
        }
        relay_json_decode_content(relay_span(from, (size_t)(at - from)), &gathered);
    }
    out[relay_buf_span(&gathered).len] = '\0';
}

#endif
