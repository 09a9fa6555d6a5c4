/*
 * The daemon's log: one JSON object a line on standard error, written with one
 * call so that lines of several threads do not mix. Everybody calls it.
 */

#include "log.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "utf8.h"

enum { LINE_MAX_BYTES = 4096, TEXT_MAX_BYTES = 512 };

typedef struct {
    char bytes[LINE_MAX_BYTES];
    size_t len;
} line_t;

static atomic_int threshold = LOG_INFO;

void log_set_level(log_level_t level)
{
    atomic_store(&threshold, (int)level);
}

/* Room is kept for what closes the line. */
static void put(line_t *line, const char *bytes, size_t len)
{
    if (len > sizeof(line->bytes) - 4 - line->len)
        return;
    memcpy(line->bytes + line->len, bytes, len);
    line->len += len;
}

static void put_literal(line_t *line, const char *text)
{
    put(line, text, strlen(text));
}

/* One character of text, escaped; returns how many bytes of it that were. */
static size_t put_character(line_t *line, relay_span_t text)
{
    unsigned char byte = text.base[0];
    size_t len = relay_utf8_character(text);
    char escape[8];

    if (len == 0) {
        put_literal(line, "\\ufffd");
        return 1;
    }
    if (byte == '"' || byte == '\\') {
        escape[0] = '\\';
        escape[1] = (char)byte;
        put(line, escape, 2);
    } else if (byte < 0x20 || byte == 0x7f) {
        snprintf(escape, sizeof(escape), "\\u%04x", byte);
        put(line, escape, 6);
    } else {
        put(line, (const char *)text.base, len);
    }
    return len;
}

static void put_text(line_t *line, const char *value)
{
    size_t len = strlen(value);
    relay_span_t text =
        relay_span((const uint8_t *)value, len < TEXT_MAX_BYTES ? len : TEXT_MAX_BYTES);

    put_literal(line, "\"");
    while (text.len != 0) {
        size_t taken = put_character(line, text);
        text = relay_span(text.base + taken, text.len - taken);
    }
    if (len > TEXT_MAX_BYTES)
        put_literal(line, "…");
    put_literal(line, "\"");
}

static void put_pair(line_t *line, const char *name, const char *value)
{
    if (line->len + 6 * TEXT_MAX_BYTES > sizeof(line->bytes) &&
        line->len + 6 * strlen(value) + strlen(name) + 16 > sizeof(line->bytes))
        return; /* whole pairs only */
    put_literal(line, line->len == 1 ? "" : ",");
    put_text(line, name);
    put_literal(line, ":");
    put_text(line, value);
}

static void put_time(line_t *line)
{
    struct timespec now;
    struct tm utc;
    char text[40], date[24];

    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &utc);
    strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S", &utc);
    snprintf(text, sizeof(text), "%s.%03ldZ", date, now.tv_nsec / 1000000);
    put_pair(line, "at", text);
}

void log_event(log_level_t level, const char *message, ...)
{
    static const char *const levels[] = {"debug", "info", "warn", "error"};
    line_t line = {.len = 0};
    const char *name;
    va_list pairs;

    if ((int)level < atomic_load(&threshold))
        return;

    put_literal(&line, "{");
    put_time(&line);
    put_pair(&line, "level", levels[level]);
    put_pair(&line, "message", message);

    va_start(pairs, message);
    while ((name = va_arg(pairs, const char *)) != NULL) {
        const char *value = va_arg(pairs, const char *);
        if (value != NULL)
            put_pair(&line, name, value);
    }
    va_end(pairs);

    memcpy(line.bytes + line.len, "}\n", 2);
    if (write(STDERR_FILENO, line.bytes, line.len + 2) < 0)
        return; /* there is nobody left to tell */
}
