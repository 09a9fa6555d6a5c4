/*
 * relayctl translate: one body or stream from standard input, in another wire
 * format on standard output, by the code that nginx runs. For whoever reports a
 * translation that is wrong, and for the tests.
 */

#include "malloc_arena.h"
#include "relayctl.h"
#include "relayctl_translate.h"
#include "translate.h"

#include <errno.h>
#include <stdio.h>

enum { BODY_MAX = 64 << 20, READ_SIZE = 64 << 10, EVENT_MAX = 16 << 20 };

typedef struct {
    const relay_codec_t *from;
    const relay_codec_t *to;
    const char *model;
    bool response;
    bool stream;
    bool usage;
    bool strict;
} options_t;

static const relay_codec_t *find_format(const char *name)
{
    return relay_codec_find(relay_span(name, strlen(name)));
}

static void list_formats(void)
{
    fputs("Formats:", stderr);
    for (unsigned i = 0; relay_codec_at(i) != NULL; i++) {
        relay_span_t name = relay_codec_at(i)->wire->name;
        fprintf(stderr, " %.*s", (int)name.len, (const char *)name.base);
    }
    fputc('\n', stderr);
}

/* NULL, or the word that is wrong. */
static const char *read_flag(options_t *options, const char *word)
{
    bool *flag = strcmp(word, "--response") == 0 ? &options->response
                 : strcmp(word, "--stream") == 0 ? &options->stream
                 : strcmp(word, "--usage") == 0  ? &options->usage
                 : strcmp(word, "--strict") == 0 ? &options->strict
                                                 : NULL;

    if (flag == NULL) {
        return word;
    }
    *flag = true;
    return NULL;
}

static const char *read_options(int count, char **words, options_t *options)
{
    for (int i = 0; i < count; i++) {
        const char *value = i + 1 < count ? words[i + 1] : "";
        if (strcmp(words[i], "--model") == 0 && value[0] != '\0') {
            options->model = value;
            i++;
        } else if (strcmp(words[i], "--from") == 0 || strcmp(words[i], "--to") == 0) {
            const relay_codec_t *codec = find_format(value);
            if (codec == NULL) {
                return words[i];
            }
            *(words[i][2] == 'f' ? &options->from : &options->to) = codec;
            i++;
        } else if (read_flag(options, words[i]) != NULL) {
            return words[i];
        }
    }
    return NULL;
}

/* ---- input and output ---------------------------------------------------- */

static bool read_all(uint8_t **body, size_t *length)
{
    size_t capacity = READ_SIZE, got;

    *body = malloc(capacity);
    *length = 0;
    while (*body != NULL && (got = fread(*body + *length, 1, capacity - *length, stdin)) != 0) {
        *length += got;
        if (*length == capacity) {
            uint8_t *grown = capacity < BODY_MAX ? realloc(*body, 2 * capacity) : NULL;
            if (grown == NULL) {
                return false;
            }
            *body = grown;
            capacity *= 2;
        }
    }
    return *body != NULL && !ferror(stdin);
}

static int print(relay_span_t text)
{
    if (text.len != 0 && fwrite(text.base, 1, text.len, stdout) != text.len) {
        return relayctl_complain("cannot write to standard output", strerror(errno));
    }
    return EXIT_OK;
}

static void print_notes(const relay_translation_t *translation)
{
    char text[4096];
    relay_buf_t notes = relay_buf(text, sizeof(text));
    relay_span_t names;

    relay_translation_put_notes(translation, &notes);
    names = relay_buf_span(&notes);
    if (names.len != 0) {
        fprintf(stderr, "dropped: %.*s\n", (int)names.len, (const char *)names.base);
    }
}

/* The error as the caller would get it. */
static int print_error(const relay_translation_t *translation)
{
    char text[8192];
    relay_buf_t out = relay_buf(text, sizeof(text));

    translation->caller->wire->dialect->error(&out, &translation->error, RELAY_SPAN(""));
    print(relay_buf_span(&out));
    fputc('\n', stdout);
    relayctl_finish(EXIT_OK);
    return EXIT_REFUSED;
}

/* ---- whole bodies -------------------------------------------------------- */

static int translate_body(relay_translation_t *translation, const options_t *options)
{
    uint8_t *body = NULL;
    size_t length = 0;
    relay_span_t out = {NULL, 0};
    relay_error_code_t code;
    int status = EXIT_REFUSED;

    if (!read_all(&body, &length)) {
        relayctl_complain("cannot read standard input", "at most 64 MB");
        free(body);
        return EXIT_REFUSED;
    }
    code = options->response ? relay_translate_response(translation, relay_span(body, length), &out)
                             : relay_translate_request(translation, relay_span(body, length), &out);
    if (code != RELAY_ERR_NONE) {
        status = print_error(translation);
    } else {
        print_notes(translation);
        status = print(out);
    }
    free(body);
    return status == EXIT_OK ? relayctl_finish(EXIT_OK) : status;
}

/* ---- streams ------------------------------------------------------------- */

static void *resize(void *owner, void *block, size_t size)
{
    (void)owner;
    if (size == 0) {
        free(block);
        return NULL;
    }
    return realloc(block, size);
}

/* Prints what is there, and enlarges the buffer if that is not enough. */
static bool flush_output(relay_output_t *output, size_t size)
{
    uint8_t *grown;

    if (print(relay_buf_span(&output->buf)) != EXIT_OK) {
        return false;
    }
    output->buf.len = 0;
    if (size <= output->buf.capacity) {
        return true;
    }
    grown = realloc(output->buf.base, size);
    if (grown == NULL) {
        return false;
    }
    output->buf = relay_buf(grown, size);
    return true;
}

static void feed(relay_stream_translation_t *stream, relay_sse_t *sse, relay_span_t input)
{
    relay_sse_item_t item;
    relay_sse_status_t status;

    while ((status = relay_sse_next(sse, &input, &item)) != RELAY_SSE_MORE) {
        if (status == RELAY_SSE_EVENT) {
            relay_stream_item(stream, &item);
        } else if (status != RELAY_SSE_BLANK) {
            relay_error_t error = {.code = RELAY_ERR_UPSTREAM_INVALID};
            relay_stream_fail(stream, &error);
            return;
        }
    }
}

static void run_stream(relay_stream_translation_t *stream)
{
    static uint8_t bytes[READ_SIZE];
    relay_sse_t sse;
    relay_sse_item_t item;
    size_t got;

    relay_sse_init(&sse, (relay_memory_t){resize, NULL}, EVENT_MAX);
    while ((got = fread(bytes, 1, sizeof(bytes), stdin)) != 0) {
        feed(stream, &sse, relay_span(bytes, got));
    }
    if (relay_sse_finish(&sse, &item) == RELAY_SSE_EVENT) {
        relay_stream_item(stream, &item);
    }
    relay_stream_close(stream);
    relay_sse_free(&sse);
}

static int translate_stream(relay_translation_t *translation)
{
    static relay_stream_translation_t stream;
    relay_output_t output = {.room = flush_output};
    relay_stream_options_t options = {.translation = translation,
                                      .output = &output,
                                      .memory = {resize, NULL},
                                      .kept_max = RELAY_KEPT_MAX};
    bool failed;

    failed = !relay_stream_open(&stream, &options);
    if (!failed) {
        run_stream(&stream);
        failed = !flush_output(&output, 0) || stream.failed;
    }
    relay_stream_free(&stream);
    free(output.buf.base);
    return relayctl_finish(failed ? EXIT_REFUSED : EXIT_OK);
}

int relayctl_translate(int count, char **words)
{
    options_t options = {.model = ""};
    malloc_arena_t blocks = {NULL};
    relay_arena_t arena = malloc_arena(&blocks);
    relay_translation_t translation = {.arena = &arena, .request_id = RELAY_SPAN("0")};
    const char *wrong = read_options(count, words, &options);
    int status;

    if (wrong != NULL || options.from == NULL || options.to == NULL) {
        list_formats();
        return relayctl_usage("translate takes --from FORMAT --to FORMAT [--response] [--stream] "
                              "[--usage] [--strict] [--model NAME]",
                              wrong != NULL ? wrong : "");
    }
    translation.caller = options.response ? options.to : options.from;
    translation.upstream = options.response ? options.from : options.to;
    translation.strict = options.strict;
    translation.usage_wanted = options.usage;
    translation.target.model = relay_span(options.model, strlen(options.model));
    status = options.response && options.stream ? translate_stream(&translation)
                                                : translate_body(&translation, &options);
    malloc_arena_release(&blocks);
    return status;
}
