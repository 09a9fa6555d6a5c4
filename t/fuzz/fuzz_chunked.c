/*
 * The chunked decoder: whole and cut input give the same payload and end, and
 * both agree with a reader that sees the whole body at once. The input's first
 * byte picks the cuts. Run by `make fuzz`.
 */

#include "chunked.h"

#include <stdlib.h>

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

typedef struct {
    relay_chunked_status_t status;
    uint8_t *payload;
    size_t len;
    size_t left; /* input behind the end */
} result_t;

static void append(result_t *result, relay_span_t data)
{
    CHECK(data.len != 0);
    memcpy(result->payload + result->len, data.base, data.len);
    result->len += data.len;
}

static void feed(relay_chunked_t *chunked, relay_span_t piece, result_t *result)
{
    const uint8_t *base = piece.base, *end = piece.base + piece.len;
    relay_span_t data;

    while ((result->status = relay_chunked_next(chunked, &piece, &data)) == RELAY_CHUNKED_DATA) {
        CHECK(data.base >= base && data.base + data.len <= end);
        append(result, data);
    }
    CHECK(result->status != RELAY_CHUNKED_MORE || piece.len == 0);
    result->left = piece.len;
}

/* seed 0: in one piece. Pieces are copies that go at once. */
static result_t decode(relay_span_t input, uint32_t seed)
{
    result_t result = {RELAY_CHUNKED_MORE, malloc(input.len + 1), 0, 0};
    relay_chunked_t chunked;

    CHECK(result.payload != NULL);
    relay_chunked_init(&chunked);
    while (input.len != 0 && result.status == RELAY_CHUNKED_MORE) {
        size_t length = input.len;
        uint8_t *piece;
        if (seed != 0) {
            seed = seed * 1664525 + 1013904223;
            length = 1 + (seed >> 16) % 17;
            length = length < input.len ? length : input.len;
        }
        piece = malloc(length);
        CHECK(piece != NULL);
        memcpy(piece, input.base, length);
        feed(&chunked, relay_span(piece, length), &result);
        free(piece);
        input = relay_span_from(input, length);
    }
    result.left += input.len;
    return result;
}

/* ---- the reference ------------------------------------------------------- */

enum { IGNORED_MAX = 8192, DIGITS_MAX = 16 };

typedef struct {
    relay_span_t input;
    size_t at;
    size_t ignored;
} reader_t;

/* The end of a line of ignored text: true at CRLF, which is taken. */
static relay_chunked_status_t ignore_line(reader_t *reader, bool *empty)
{
    *empty = true;
    while (reader->at < reader->input.len) {
        uint8_t byte = reader->input.base[reader->at];
        if (byte == '\r') {
            if (reader->at + 1 == reader->input.len) {
                return RELAY_CHUNKED_MORE;
            }
            reader->at += 2;
            return reader->input.base[reader->at - 1] == '\n' ? RELAY_CHUNKED_END
                                                              : RELAY_CHUNKED_ERROR;
        }
        if ((byte < ' ' && byte != '\t') || byte == 0x7f || ++reader->ignored > IGNORED_MAX) {
            return RELAY_CHUNKED_ERROR;
        }
        *empty = false;
        reader->at++;
    }
    return RELAY_CHUNKED_MORE;
}

/* A size line; END when it is whole. */
static relay_chunked_status_t read_size(reader_t *reader, uint64_t *size)
{
    static const char hex[] = "0123456789abcdef";
    size_t digits = 0;
    bool empty;

    for (*size = 0; reader->at < reader->input.len; reader->at++, digits++) {
        int byte = reader->input.base[reader->at];
        const char *digit = memchr(hex, byte >= 'A' && byte <= 'F' ? byte + 32 : byte, 16);
        if (digit == NULL) {
            break;
        }
        *size = *size * 16 + (uint64_t)(digit - hex);
        if (digits == DIGITS_MAX || *size > UINT64_C(1) << 48) {
            return RELAY_CHUNKED_ERROR;
        }
    }
    if (reader->at == reader->input.len) {
        return RELAY_CHUNKED_MORE;
    }
    if (digits == 0) {
        return RELAY_CHUNKED_ERROR;
    }
    if (reader->input.base[reader->at] == ';') {
        reader->at++;
    } else if (reader->input.base[reader->at] != '\r') {
        return RELAY_CHUNKED_ERROR;
    }
    return ignore_line(reader, &empty);
}

static relay_chunked_status_t read_trailers(reader_t *reader)
{
    relay_chunked_status_t status;
    bool empty;

    do {
        status = ignore_line(reader, &empty);
    } while (status == RELAY_CHUNKED_END && !empty);
    return status;
}

/* The payload of one chunk and its CRLF. */
static relay_chunked_status_t read_data(reader_t *reader, uint64_t size, result_t *result)
{
    relay_span_t rest = relay_span_from(reader->input, reader->at);
    size_t length = size < rest.len ? (size_t)size : rest.len;

    if (length != 0) {
        append(result, relay_span(rest.base, length));
    }
    reader->at += length;
    for (size_t i = 0; i < 2; i++, reader->at++) {
        if (reader->at == reader->input.len) {
            return RELAY_CHUNKED_MORE;
        }
        if (reader->input.base[reader->at] != "\r\n"[i]) {
            return RELAY_CHUNKED_ERROR;
        }
    }
    return RELAY_CHUNKED_END;
}

static result_t reference(relay_span_t input)
{
    result_t result = {RELAY_CHUNKED_END, malloc(input.len + 1), 0, 0};
    reader_t reader = {input, 0, 0};
    uint64_t size = 1;

    CHECK(result.payload != NULL);
    while (result.status == RELAY_CHUNKED_END) {
        result.status = read_size(&reader, &size);
        if (result.status == RELAY_CHUNKED_END && size == 0) {
            result.status = read_trailers(&reader);
            break;
        }
        if (result.status == RELAY_CHUNKED_END) {
            result.status = read_data(&reader, size, &result);
        }
    }
    result.left = input.len - reader.at;
    return result;
}

static void check_same(const result_t *a, const result_t *b)
{
    CHECK(a->status == b->status && a->len == b->len);
    CHECK(memcmp(a->payload, b->payload, a->len) == 0);
    CHECK(a->status != RELAY_CHUNKED_END || a->left == b->left);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    relay_span_t input;
    result_t whole, cut, expected;

    if (size == 0) {
        return 0;
    }
    input = relay_span(data + 1, size - 1);
    whole = decode(input, 0);
    cut = decode(input, data[0] + 1u);
    expected = reference(input);
    check_same(&whole, &cut);
    check_same(&whole, &expected);
    free(whole.payload);
    free(cut.payload);
    free(expected.payload);
    return 0;
}
