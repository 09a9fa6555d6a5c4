/* Header lines: against a plain state machine that goes byte by byte, as
 * nginx's parser does, and with a start of the text alone. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "header_line.h"

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                        \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

enum { START, NAME, BEFORE, VALUE, BEHIND, ALMOST, EMPTY, IGNORED };

typedef struct {
    size_t used, name_start, name_end, value_start, value_end;
} reference_t;

static bool ends_header_text(uint8_t byte)
{
    return byte <= ' ' || byte == 0x7f;
}

static relay_header_status_t reference(const uint8_t *text, size_t length, reference_t *line)
{
    int state = START;

    for (size_t i = 0; i < length; i++) {
        const uint8_t byte = text[i];
        line->used = i + 1;
        switch (state) {
        case START:
            line->name_start = i;
            if (byte == '\r') {
                state = EMPTY;
            } else if (byte == '\n') {
                return RELAY_HEADER_END;
            } else if (ends_header_text(byte) || byte == ':') {
                return RELAY_HEADER_ERROR;
            } else {
                state = NAME;
            }
            break;
        case NAME:
            line->name_end = line->value_start = line->value_end = i;
            if (byte == ':') {
                line->value_start = line->value_end = i + 1;
                state = BEFORE;
            } else if (byte == '\r') {
                state = ALMOST;
            } else if (byte == '\n') {
                return RELAY_HEADER_LINE;
            } else if (byte == '/' && i - line->name_start == 4 &&
                       memcmp(text + line->name_start, "HTTP", 4) == 0) {
                state = IGNORED;
            } else if (ends_header_text(byte)) {
                return RELAY_HEADER_ERROR;
            }
            break;
        case BEFORE:
            line->value_start = line->value_end = i;
            if (byte == ' ') {
                break;
            }
            state = VALUE;
            /* fall through */
        case VALUE:
        case BEHIND:
            if (byte == 0) {
                return RELAY_HEADER_ERROR;
            }
            if (byte == '\r' || byte == '\n') {
                line->value_end = state == VALUE ? i : line->value_end;
                state = ALMOST;
                if (byte == '\n') {
                    return RELAY_HEADER_LINE;
                }
            } else if (byte != ' ') {
                state = VALUE;
            } else if (state == VALUE) {
                line->value_end = i;
                state = BEHIND;
            }
            break;
        case ALMOST:
            if (byte != '\r') {
                return byte == '\n' ? RELAY_HEADER_LINE : RELAY_HEADER_ERROR;
            }
            break;
        case EMPTY:
            return byte == '\n' ? RELAY_HEADER_END : RELAY_HEADER_ERROR;
        case IGNORED:
            state = byte == '\n' ? START : IGNORED;
            break;
        }
    }
    return RELAY_HEADER_MORE;
}

static bool is_lowered(const uint8_t *original, relay_span_t name)
{
    for (size_t i = 0; i < name.len; i++) {
        uint8_t byte = original[i];
        if (name.base[i] != (byte >= 'A' && byte <= 'Z' ? byte | 0x20 : byte)) {
            return false;
        }
    }
    return true;
}

/* Takes one line of an exact copy; returns how many bytes it had. */
static size_t check_line(const uint8_t *text, size_t length, relay_header_status_t *status)
{
    uint8_t *copy = malloc(length + 1), *at = copy + 1;
    reference_t line = {0};
    relay_span_t name, value;

    CHECK(copy != NULL);
    if (length != 0) {
        memcpy(at, text, length);
    }
    *status = relay_header_line(&at, copy + 1 + length, &name, &value);
    CHECK(*status == reference(text, length, &line));
    if (*status == RELAY_HEADER_MORE) {
        CHECK(at == copy + 1);
    } else if (*status != RELAY_HEADER_ERROR) {
        CHECK((size_t)(at - copy - 1) == line.used);
    }
    if (*status == RELAY_HEADER_LINE) {
        CHECK(name.base == copy + 1 + line.name_start);
        CHECK(name.len == line.name_end - line.name_start);
        CHECK(is_lowered(text + line.name_start, name));
        CHECK(value.len == line.value_end - line.value_start);
        CHECK(value.len == 0 || value.base == copy + 1 + line.value_start);
        CHECK(value.len == 0 || memcmp(value.base, text + line.value_start, value.len) == 0);
    }
    free(copy);
    return line.used;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    relay_header_status_t status = RELAY_HEADER_LINE, part;
    size_t from = 0;

    while (status == RELAY_HEADER_LINE) {
        size_t used = check_line(data + from, size - from, &status);
        check_line(data + from, used / 2, &part);
        from += used;
    }
    return 0;
}
