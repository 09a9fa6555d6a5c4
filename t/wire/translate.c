/*
 * Many translations in one process, for the table of fields (t/wire/table,
 * t/wire_table.t): a thousand starts of relayctl would take most of a minute.
 *
 * A line of standard input is one job, a line of standard output its outcome,
 * both of fields between tabs:
 *
 *     request | strict | answer, format read, format written, JSON in one line
 *     code of the error or "none", its param, its message, notes, JSON
 */

#include "translate.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LINE_MAX_BYTES = 1 << 20, MEMORY_BYTES = 64 << 20, NOTES_MAX_BYTES = 8192, JOB_FIELDS = 4 };

typedef struct {
    _Alignas(16) uint8_t bytes[MEMORY_BYTES];
    size_t used;
} memory_t;

static memory_t memory;

static void *allocate(void *owner, size_t size)
{
    memory_t *from = owner;
    size_t rounded = (size + 15) & ~(size_t)15;
    void *block = from->bytes + from->used;

    if (rounded < size || rounded > MEMORY_BYTES - from->used) {
        return NULL;
    }
    from->used += rounded;
    return memset(block, 0, size);
}

/* Tabs and line ends stand for themselves only between fields and lines. */
static void print_field(relay_span_t text, char end)
{
    for (size_t i = 0; i < text.len; i++) {
        int byte = text.base[i];
        putchar(byte == '\t' || byte == '\n' || byte == '\r' ? ' ' : byte);
    }
    putchar(end);
}

static void print_outcome(const relay_translation_t *translation, relay_span_t body)
{
    char text[NOTES_MAX_BYTES];
    relay_buf_t notes = relay_buf(text, sizeof(text));
    const relay_error_t *error = &translation->error;
    relay_span_t code =
        error->code == RELAY_ERR_NONE ? RELAY_SPAN("none") : relay_error_name(error->code);

    relay_translation_put_notes(translation, &notes);
    print_field(code, '\t');
    print_field(error->param, '\t');
    print_field(error->message, '\t');
    print_field(relay_buf_span(&notes), '\t');
    print_field(error->code == RELAY_ERR_NONE ? body : RELAY_SPAN("null"), '\n');
}

static const relay_codec_t *find(const char *name)
{
    return relay_codec_find(relay_span(name, strlen(name)));
}

static bool run(char *const *job)
{
    relay_arena_t arena = {allocate, &memory};
    bool answer = strcmp(job[0], "answer") == 0;
    const relay_codec_t *from = find(job[1]), *to = find(job[2]);
    relay_translation_t translation = {.arena = &arena,
                                       .caller = answer ? to : from,
                                       .upstream = answer ? from : to,
                                       .strict = strcmp(job[0], "strict") == 0,
                                       .request_id = RELAY_SPAN("0"),
                                       .model = RELAY_SPAN("model")};
    relay_span_t body = relay_span(job[3], strlen(job[3])), out = {NULL, 0};

    if (from == NULL || to == NULL) {
        return false;
    }
    memory.used = 0;
    if (answer) {
        relay_translate_response(&translation, body, &out);
    } else {
        relay_translate_request(&translation, body, &out);
    }
    print_outcome(&translation, out);
    return true;
}

/* The fields of a line, in place. */
static bool split(char *line, char **job)
{
    line[strcspn(line, "\n")] = '\0';
    for (int i = 0; i < JOB_FIELDS; i++) {
        job[i] = line;
        line += strcspn(line, "\t");
        if (*line == '\0') {
            return i == JOB_FIELDS - 1;
        }
        *line++ = '\0';
    }
    return false;
}

int main(void)
{
    static char line[LINE_MAX_BYTES];
    char *job[JOB_FIELDS];

    while (fgets(line, sizeof(line), stdin) != NULL) {
        if (!split(line, job) || !run(job)) {
            fprintf(stderr, "not a job: %s\n", job[0]);
            return EXIT_FAILURE;
        }
    }
    return fflush(stdout) == 0 && !ferror(stdin) ? EXIT_SUCCESS : EXIT_FAILURE;
}
