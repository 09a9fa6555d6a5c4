/*
 * The RESP2 parser: a sequence of replies whole and cut gives the same values
 * and the same end, and the values that a recursive reader of the whole text
 * gives. The input's first byte picks the cuts, its second the bounds. Run by
 * `make fuzz`.
 */

#include "resp.h"

#include <stdlib.h>

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

enum { VALUES_MAX = 64 };

typedef struct {
    relay_resp_value_t values[VALUES_MAX]; /* of the last reply that was whole */
    size_t count;
    size_t replies;
    size_t at; /* where the last whole reply ends */
    relay_resp_status_t last;
} result_t;

typedef struct {
    size_t values_max;
    size_t reply_max;
} bounds_t;

/* ---- the parser, whole or cut -------------------------------------------- */

static void take(relay_resp_t *resp, const relay_resp_value_t *values, result_t *result)
{
    CHECK(resp->count <= VALUES_MAX && resp->count != 0 && values[0].next == resp->count);
    memcpy(result->values, values, resp->count * sizeof(*values));
    result->count = resp->count;
    result->replies++;
    result->at += resp->at;
    relay_resp_reset(resp);
}

/* seed 0: in one piece. Pieces are copies that go at once. */
static void parse(relay_span_t input, uint32_t seed, bounds_t bounds, result_t *result)
{
    relay_resp_value_t *values = malloc((bounds.values_max + 1) * sizeof(*values));
    relay_resp_t resp;

    CHECK(values != NULL);
    memset(result, 0, sizeof(*result));
    relay_resp_init(&resp, values, bounds.values_max, bounds.reply_max);
    while (input.len != 0 && result->last != RELAY_RESP_SYNTAX &&
           result->last != RELAY_RESP_TOO_LONG) {
        size_t length = input.len;
        relay_span_t piece;
        uint8_t *copy;
        if (seed != 0) {
            seed = seed * 1664525 + 1013904223;
            length = 1 + (seed >> 16) % (seed >> 8 & 1 ? 3 : 40);
            length = length < input.len ? length : input.len;
        }
        copy = malloc(length);
        CHECK(copy != NULL);
        memcpy(copy, input.base, length);
        piece = relay_span(copy, length);
        while ((result->last = relay_resp_next(&resp, &piece)) == RELAY_RESP_END) {
            take(&resp, values, result);
        }
        CHECK(result->last != RELAY_RESP_MORE || piece.len == 0);
        CHECK(result->last != RELAY_RESP_MORE || resp.need <= bounds.reply_max);
        free(copy);
        input = relay_span_from(input, length);
    }
    free(values);
}

/* ---- the reference: recursive, over the whole text ----------------------- */

typedef struct {
    relay_span_t input; /* from the start of this reply */
    size_t at;
    bounds_t bounds;
    relay_resp_value_t *values;
    size_t count;
} reader_t;

/* A line without its CRLF. */
static relay_resp_status_t read_line(reader_t *reader, size_t max, relay_span_t *line)
{
    size_t start = reader->at;

    for (; reader->at < reader->input.len; reader->at++) {
        uint8_t byte = reader->input.base[reader->at];
        if (reader->at >= reader->bounds.reply_max) {
            return RELAY_RESP_TOO_LONG;
        }
        if (byte == '\n') {
            return RELAY_RESP_SYNTAX;
        }
        if (byte == '\r') {
            *line = relay_span(reader->input.base + start, reader->at - start);
            reader->at += 2;
            if (reader->at > reader->input.len) {
                return RELAY_RESP_MORE;
            }
            if (reader->at > reader->bounds.reply_max) {
                return RELAY_RESP_TOO_LONG;
            }
            return reader->input.base[reader->at - 1] == '\n' ? RELAY_RESP_END : RELAY_RESP_SYNTAX;
        }
        if (reader->at - start == max) {
            return RELAY_RESP_TOO_LONG;
        }
    }
    return RELAY_RESP_MORE;
}

/* How many bytes at the start of text may begin a number, and its value. */
static size_t number_prefix(relay_span_t text, int64_t *number)
{
    bool negative = text.len != 0 && text.base[0] == '-';
    size_t at = negative, digits = 0;
    unsigned __int128 value = 0, limit = (unsigned __int128)INT64_MAX + negative;

    for (; at < text.len && text.base[at] >= '0' && text.base[at] <= '9' && digits < 19;
         at++, digits++) {
        if (value * 10 + (text.base[at] - (unsigned)'0') > limit) {
            break;
        }
        value = value * 10 + (text.base[at] - (unsigned)'0');
    }
    *number = (int64_t)(negative ? 0 - (uint64_t)value : (uint64_t)value);
    return at;
}

/* A number and its CRLF: wrong at its first wrong byte, not at the line's end. */
static relay_resp_status_t read_number(reader_t *reader, int64_t *number)
{
    size_t bound =
        reader->bounds.reply_max < reader->input.len ? reader->bounds.reply_max : reader->input.len;
    relay_span_t rest = relay_span(reader->input.base + reader->at, bound - reader->at);
    size_t len = number_prefix(rest, number);
    size_t sign = rest.len != 0 && rest.base[0] == '-';

    reader->at += len;
    for (size_t i = 0; i < 2; i++, reader->at++) {
        if (reader->at == bound) {
            return bound == reader->input.len ? RELAY_RESP_MORE : RELAY_RESP_TOO_LONG;
        }
        if (reader->input.base[reader->at] != "\r\n"[i] || len == sign) {
            return RELAY_RESP_SYNTAX;
        }
    }
    return RELAY_RESP_END;
}

static relay_resp_status_t read_value(reader_t *reader, size_t depth);

static relay_resp_status_t read_array(reader_t *reader, relay_resp_value_t *array, int64_t length,
                                      size_t depth)
{
    relay_resp_status_t status = RELAY_RESP_END;

    array->type = RELAY_RESP_ARRAY;
    array->integer = length;
    if (length != 0 && (depth == RELAY_RESP_DEPTH_MAX ||
                        (uint64_t)length > reader->bounds.values_max - reader->count)) {
        return RELAY_RESP_TOO_LONG;
    }
    for (; length > 0 && status == RELAY_RESP_END; length--) {
        status = read_value(reader, depth + 1);
    }
    return status;
}

static relay_resp_status_t read_bulk(reader_t *reader, relay_resp_value_t *string, int64_t length)
{
    string->type = RELAY_RESP_STRING;
    string->offset = reader->at;
    string->length = (size_t)length;
    if ((unsigned __int128)reader->at + (uint64_t)length + 2 > reader->bounds.reply_max) {
        return RELAY_RESP_TOO_LONG;
    }
    reader->at += (size_t)length;
    for (size_t i = 0; i < 2; i++, reader->at++) {
        if (reader->at >= reader->input.len) {
            return RELAY_RESP_MORE;
        }
        if (reader->input.base[reader->at] != "\r\n"[i]) {
            return RELAY_RESP_SYNTAX;
        }
    }
    return RELAY_RESP_END;
}

static relay_resp_status_t read_text(reader_t *reader, relay_resp_value_t *value, uint8_t type)
{
    relay_span_t line;
    relay_resp_status_t status;

    value->type = type == '+' ? RELAY_RESP_STATUS : RELAY_RESP_ERROR;
    value->offset = reader->at;
    status = read_line(reader, RELAY_RESP_LINE_MAX, &line);
    value->length = status == RELAY_RESP_END ? line.len : 0;
    return status;
}

static relay_resp_status_t read_counted(reader_t *reader, relay_resp_value_t *value, uint8_t type,
                                        size_t depth)
{
    int64_t number;
    relay_resp_status_t status;

    value->offset = reader->at;
    status = read_number(reader, &number);
    if (status != RELAY_RESP_END) {
        return status;
    }
    if (type == ':') {
        value->type = RELAY_RESP_INTEGER;
        value->integer = number;
        return RELAY_RESP_END;
    }
    if (reader->input.base[value->offset] == '-') {
        value->type = RELAY_RESP_NULL;
        return number == -1 ? RELAY_RESP_END : RELAY_RESP_SYNTAX;
    }
    return type == '*' ? read_array(reader, value, number, depth)
                       : read_bulk(reader, value, number);
}

static relay_resp_status_t read_value(reader_t *reader, size_t depth)
{
    relay_resp_value_t *value = &reader->values[reader->count];
    relay_resp_status_t status;
    uint8_t type;

    if (reader->at == reader->input.len) {
        return RELAY_RESP_MORE;
    }
    if (reader->at == reader->bounds.reply_max) {
        return RELAY_RESP_TOO_LONG;
    }
    type = reader->input.base[reader->at++];
    if (type != '+' && type != '-' && type != ':' && type != '$' && type != '*') {
        return RELAY_RESP_SYNTAX;
    }
    if (reader->count == reader->bounds.values_max) {
        return RELAY_RESP_TOO_LONG;
    }
    memset(value, 0, sizeof(*value));
    reader->count++;
    status = type == '+' || type == '-' ? read_text(reader, value, type)
                                        : read_counted(reader, value, type, depth);
    value->next = (uint32_t)reader->count;
    return status;
}

static void reference(relay_span_t input, bounds_t bounds, result_t *result)
{
    relay_resp_value_t values[VALUES_MAX];

    memset(result, 0, sizeof(*result));
    for (;;) {
        reader_t reader = {relay_span_from(input, result->at), 0, bounds, values, 0};
        result->last = read_value(&reader, 0);
        if (result->last != RELAY_RESP_END) {
            return;
        }
        memcpy(result->values, values, reader.count * sizeof(values[0]));
        result->count = reader.count;
        result->replies++;
        result->at += reader.at;
    }
}

/* ---- comparing ----------------------------------------------------------- */

static bool same_value(const relay_resp_value_t *a, const relay_resp_value_t *b)
{
    bool has_text =
        a->type == RELAY_RESP_STATUS || a->type == RELAY_RESP_ERROR || a->type == RELAY_RESP_STRING;

    return a->type == b->type && a->next == b->next && a->integer == b->integer &&
           (!has_text || (a->offset == b->offset && a->length == b->length));
}

static void check_same(const result_t *a, const result_t *b)
{
    CHECK(a->last == b->last && a->count == b->count && a->replies == b->replies && a->at == b->at);
    for (size_t i = 0; i < a->count; i++) {
        CHECK(same_value(&a->values[i], &b->values[i]));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static result_t whole, cut, expected;
    bounds_t bounds = {VALUES_MAX, 1 << 20};
    relay_span_t input;

    if (size < 2) {
        return 0;
    }
    if (data[1] >= 128) {
        bounds.values_max = data[1] & 7;
        bounds.reply_max = 2 * (data[1] - 127u);
    }
    input = relay_span(data + 2, size - 2);
    parse(input, 0, bounds, &whole);
    parse(input, data[0] + 1u, bounds, &cut);
    reference(input, bounds, &expected);
    check_same(&whole, &cut);
    check_same(&whole, &expected);
    return 0;
}
