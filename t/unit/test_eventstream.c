/* AWS event streams as server-sent events: every message and how it is written, every
 * way to be broken, and that cuts do not matter. */

#include "eventstream.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "sse.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

enum { BYTES_MAX = 1 << 17 };

static relay_span_t text_of(const char *string)
{
    return relay_span(string, strlen(string));
}

/* ---- making messages ----------------------------------------------------- */

typedef struct {
    uint8_t bytes[BYTES_MAX];
    relay_buf_t out;
    size_t start; /* of the message in hand */
} stream_t;

static void put_number(relay_buf_t *out, uint32_t number, size_t size)
{
    while (size-- != 0) {
        relay_buf_put_byte(out, (uint8_t)(number >> 8 * size));
    }
}

static void set_number(uint8_t *at, uint32_t number)
{
    relay_buf_t out = relay_buf(at, 4);

    put_number(&out, number, 4);
}

static stream_t *new_stream(void)
{
    stream_t *stream = calloc(1, sizeof(*stream));

    assert_non_null(stream);
    stream->out = relay_buf(stream->bytes, sizeof(stream->bytes));
    stream->start = 0;
    return stream;
}

static void begin(stream_t *stream)
{
    stream->start = stream->out.len;
    relay_buf_put(&stream->out, relay_span("????????????", PRELUDE_LENGTH));
}

static void put_string(stream_t *stream, const char *name, const char *value)
{
    relay_buf_put_byte(&stream->out, (uint8_t)strlen(name));
    relay_buf_put(&stream->out, text_of(name));
    relay_buf_put_byte(&stream->out, HEADER_STRING);
    put_number(&stream->out, (uint32_t)strlen(value), 2);
    relay_buf_put(&stream->out, text_of(value));
}

/* Fills lengths and checksums in; the headers end here. */
static void finish(stream_t *stream, relay_span_t payload)
{
    uint8_t *message = stream->bytes + stream->start;
    size_t headers = stream->out.len - stream->start - PRELUDE_LENGTH, total;

    relay_buf_put(&stream->out, payload);
    total = stream->out.len - stream->start + CHECKSUM_LENGTH;
    set_number(message, (uint32_t)total);
    set_number(message + 4, (uint32_t)headers);
    set_number(message + 8, checksum(relay_span(message, 8)));
    put_number(&stream->out, checksum(relay_span(message, total - CHECKSUM_LENGTH)), 4);
    assert_true(relay_buf_ok(&stream->out));
}

/* kind: "event", "exception"; the type's header is named after it. */
static void add(stream_t *stream, const char *kind, const char *type, const char *payload)
{
    char name[32];

    snprintf(name, sizeof(name), ":%s-type", kind);
    begin(stream);
    put_string(stream, name, type);
    put_string(stream, ":content-type", "application/json");
    put_string(stream, ":message-type", kind);
    finish(stream, text_of(payload));
}

static void add_error(stream_t *stream, const char *code, const char *message)
{
    begin(stream);
    put_string(stream, ":message-type", "error");
    put_string(stream, ":error-code", code);
    put_string(stream, ":error-message", message);
    finish(stream, text_of(""));
}

/* An event whose payload spells text in base64. */
static void add_chunk(stream_t *stream, const char *text)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    char payload[4096];
    relay_buf_t out = relay_buf(payload, sizeof(payload) - 1);
    size_t len = strlen(text);

    RELAY_PUT(&out, "{\"bytes\":\"");
    for (size_t i = 0; i < len; i += 3) {
        uint32_t bits = 0;
        for (size_t j = 0; j < 3; j++) {
            bits = bits << 8 | (i + j < len ? (uint8_t)text[i + j] : 0);
        }
        for (size_t j = 0; j < 4; j++) {
            relay_buf_put_byte(&out,
                               i + j > len ? '=' : (uint8_t)digits[bits >> (18 - 6 * j) & 63]);
        }
    }
    RELAY_PUT(&out, "\",\"p\":\"abcdefgh\"}");
    assert_true(relay_buf_ok(&out));
    payload[out.len] = '\0';
    add(stream, "event", "chunk", payload);
}

/* ---- reading them -------------------------------------------------------- */

typedef struct {
    size_t live;   /* blocks that are not given back */
    size_t refuse; /* sizes from here on get no memory; 0: none */
} memory_t;

static void *resize(void *owner, void *block, size_t size)
{
    memory_t *memory = owner;

    if (size == 0) {
        memory->live--;
        free(block);
        return NULL;
    }
    if (memory->refuse != 0 && size >= memory->refuse) {
        return NULL;
    }
    memory->live += block == NULL ? 1 : 0;
    return realloc(block, size);
}

typedef struct {
    relay_eventstream_status_t status;
    bool ended; /* between messages */
    size_t count;
    char text[BYTES_MAX];
    size_t len;
} decoded_t;

static void feed(relay_eventstream_t *stream, relay_span_t piece, decoded_t *out)
{
    relay_span_t text;

    while ((out->status = relay_eventstream_next(stream, &piece, &text)) ==
           RELAY_EVENTSTREAM_EVENT) {
        assert_true(out->len + text.len < sizeof(out->text));
        memcpy(out->text + out->len, text.base, text.len);
        out->len += text.len;
        out->count++;
    }
    assert_true(out->status != RELAY_EVENTSTREAM_MORE || piece.len == 0);
}

/* In pieces of `step` bytes, each an exact copy that goes at once. */
static void decode(relay_span_t input, relay_framing_t framing, size_t max, size_t step,
                   decoded_t *out)
{
    memory_t memory = {0, 0};
    relay_eventstream_t stream;

    relay_eventstream_init(&stream, (relay_memory_t){resize, &memory}, framing, max);
    *out = (decoded_t){.status = RELAY_EVENTSTREAM_MORE};
    while (input.len != 0 && out->status == RELAY_EVENTSTREAM_MORE) {
        size_t length = input.len < step ? input.len : step;
        uint8_t *piece = malloc(length);
        assert_non_null(piece);
        memcpy(piece, input.base, length);
        feed(&stream, relay_span(piece, length), out);
        free(piece);
        input = relay_span_from(input, length);
    }
    out->ended = relay_eventstream_end(&stream);
    out->text[out->len] = '\0';
    relay_eventstream_free(&stream);
    assert_int_equal(memory.live, 0);
}

/* However it is cut, it reads so. */
static void check(const stream_t *stream, relay_framing_t framing, const char *expected)
{
    decoded_t *out = malloc(sizeof(*out));
    relay_span_t input = relay_buf_span(&stream->out);

    assert_non_null(out);
    for (size_t step = 1; step <= input.len; step += step < 150 ? 1 : 97) {
        decode(input, framing, BYTES_MAX, step, out);
        assert_int_equal(out->status, RELAY_EVENTSTREAM_MORE);
        assert_true(out->ended);
        assert_string_equal(out->text, expected);
    }
    free(out);
}

static void check_fails(relay_span_t input, size_t max, relay_eventstream_status_t status)
{
    decoded_t *out = malloc(sizeof(*out));

    assert_non_null(out);
    for (size_t step = 1; step <= input.len; step++) {
        decode(input, RELAY_FRAMING_EVENTSTREAM, max, step, out);
        assert_int_equal(out->status, status);
        assert_false(out->ended);
    }
    free(out);
}

/* ---- messages ------------------------------------------------------------ */

static void the_checksum_is_the_standard_one(void **state)
{
    (void)state;
    assert_int_equal(checksum(RELAY_SPAN("123456789")), 0xcbf43926);
    assert_int_equal(checksum(RELAY_SPAN("")), 0);
}

/* Bytes that this test's own writer did not make: the example of the protocol's
 * specification, a message without headers and payload. */
static void a_known_message_reads(void **state)
{
    static const uint8_t bytes[] = {0,    0,    0,    0x10, 0,    0,    0,    0,
                                    0x05, 0xc2, 0x48, 0xeb, 0x7d, 0x98, 0xc8, 0xff};
    stream_t *stream = new_stream();

    (void)state;
    relay_buf_put(&stream->out, relay_span(bytes, sizeof(bytes)));
    check(stream, RELAY_FRAMING_EVENTSTREAM, "data: {}\n\n");
    free(stream);
}

static void events_become_events(void **state)
{
    stream_t *stream = new_stream();

    (void)state;
    add(stream, "event", "initial-response", "");
    add(stream, "event", "messageStart", "{\"role\":\"assistant\",\"p\":\"abc\"}");
    add(stream, "event", "contentBlockDelta", "{\"delta\":{\"text\":\"\xc3\xa9\xe4\xbd\xa0\"}}");
    add(stream, "exception", "throttlingException", "{\"message\":\"Too many\"}");
    add(stream, "exception", "somethingElse", "{\"message\":\"odd\"}");
    add_error(stream, "InternalServerError", "boom \"1\"");
    check(stream, RELAY_FRAMING_EVENTSTREAM,
          "event: initial-response\ndata: {}\n\n"
          "event: messageStart\ndata: {\"role\":\"assistant\",\"p\":\"abc\"}\n\n"
          "event: contentBlockDelta\ndata: {\"delta\":{\"text\":\"\xc3\xa9\xe4\xbd\xa0\"}}\n\n"
          "event: throttlingException\ndata: {\"message\":\"Too many\"}\n\n"
          "event: error\ndata: {\"message\":\"odd\"}\n\n"
          "event: error\ndata: {\"message\":\"boom \\\"1\\\"\",\"__type\":\"InternalServerError\"}"
          "\n\n");
    free(stream);
}

/* What a name or a payload holds cannot begin a line of its own. */
static void line_ends_do_not_break_the_framing(void **state)
{
    stream_t *stream = new_stream();

    (void)state;
    add(stream, "event", "a\ndata: x", "{\n  \"text\": 1\r\n}\n\ndata: {}");
    check(stream, RELAY_FRAMING_EVENTSTREAM,
          "event: a data: x\ndata: {   \"text\": 1  }  data: {}\n\n");
    free(stream);
}

static void every_type_of_header_is_skipped(void **state)
{
    static const struct {
        header_type_t type;
        size_t size;
    } types[] = {{HEADER_TRUE, 0},      {HEADER_FALSE, 0},     {HEADER_BYTE, 1},
                 {HEADER_SHORT, 2},     {HEADER_INTEGER, 4},   {HEADER_LONG, 8},
                 {HEADER_BYTES, 2 + 3}, {HEADER_TIMESTAMP, 8}, {HEADER_UUID, 16}};
    stream_t *stream = new_stream();

    (void)state;
    begin(stream);
    for (size_t i = 0; i < COUNT(types); i++) {
        /* also where such a header has a name that matters as a string */
        relay_buf_put_byte(&stream->out, 11);
        RELAY_PUT(&stream->out, ":event-type");
        relay_buf_put_byte(&stream->out, (uint8_t)types[i].type);
        if (types[i].type == HEADER_BYTES) {
            put_number(&stream->out, 3, 2);
            RELAY_PUT(&stream->out, "abc");
        } else {
            relay_buf_put(&stream->out, relay_span("0123456789abcdef", types[i].size));
        }
    }
    put_string(stream, ":message-type", "event");
    put_string(stream, ":event-type", "metadata");
    finish(stream, RELAY_SPAN("{}"));
    check(stream, RELAY_FRAMING_EVENTSTREAM, "event: metadata\ndata: {}\n\n");
    free(stream);
}

static void a_long_name_is_none(void **state)
{
    char name[NAME_MAX + 2], expected[NAME_MAX + 64];
    stream_t *stream = new_stream();

    (void)state;
    memset(name, 'n', sizeof(name));
    name[NAME_MAX + 1] = '\0';
    add(stream, "event", name, "1");
    check(stream, RELAY_FRAMING_EVENTSTREAM, "data: 1\n\n");
    free(stream);
    stream = new_stream();
    name[NAME_MAX] = '\0';
    add(stream, "event", name, "1");
    snprintf(expected, sizeof(expected), "event: %s\ndata: 1\n\n", name);
    check(stream, RELAY_FRAMING_EVENTSTREAM, expected);
    free(stream);
}

/* ---- payloads in base64 -------------------------------------------------- */

static void bytes_are_decoded(void **state)
{
    stream_t *stream = new_stream();

    (void)state;
    add_chunk(stream, "{\"type\":\"message_start\"}");
    add_chunk(stream, "{\"type\":\"content_block_delta\",\"text\":\"\xf0\x9f\x87\xb3\"}");
    add_chunk(stream, "{\"type\":\"ping\" }");
    add_chunk(stream, "{\"type\":\"ping\"  }");
    add_chunk(stream, "{\n\"type\":\"ping\"}");
    add_chunk(stream, "[1]");
    add(stream, "event", "chunk", "{\"bytes\":\"\"}");
    /* "~~~?" holds the digits that JSON may escape: fn5+Pw== */
    add(stream, "event", "chunk", "{\"bytes\":\"fn5\\u002bPw\\u003d=\"}");
    add(stream, "event", "chunk", "{\"bytes\":\"Pz8\\/\"}");
    add(stream, "event", "other", "{\"p\":1}");
    add(stream, "event", "chunk", "not JSON");
    check(stream, RELAY_FRAMING_EVENTSTREAM_BYTES,
          "event: message_start\ndata: {\"type\":\"message_start\"}\n\n"
          "event: content_block_delta\ndata: {\"type\":\"content_block_delta\","
          "\"text\":\"\xf0\x9f\x87\xb3\"}\n\n"
          "event: ping\ndata: {\"type\":\"ping\" }\n\n"
          "event: ping\ndata: {\"type\":\"ping\"  }\n\n"
          "event: ping\ndata: { \"type\":\"ping\"}\n\n"
          "data: [1]\n\n"
          "data: {}\n\n"
          "data: ~~~?\n\n"
          "data: ???\n\n"
          "event: other\ndata: {\"p\":1}\n\n"
          "event: chunk\ndata: not JSON\n\n");
    free(stream);
}

static void bytes_that_are_no_base64_are_refused(void **state)
{
    static const char *const bad[] = {"{\"bytes\":\"e\"}",    "{\"bytes\":\"e30\\n\"}",
                                      "{\"bytes\":\"e3_9\"}", "{\"bytes\":\"e30===\"}",
                                      "{\"bytes\":\"=\"}",    "{\"bytes\":\"e3=0\"}"};
    decoded_t *out = malloc(sizeof(*out));

    (void)state;
    assert_non_null(out);
    for (size_t i = 0; i < COUNT(bad); i++) {
        stream_t *stream = new_stream();
        add(stream, "event", "chunk", bad[i]);
        decode(relay_buf_span(&stream->out), RELAY_FRAMING_EVENTSTREAM_BYTES, BYTES_MAX, 7, out);
        assert_int_equal(out->status, RELAY_EVENTSTREAM_INVALID);
        free(stream);
    }
    free(out);
}

static void exceptions_become_errors_of_messages(void **state)
{
    static const struct {
        const char *name, *payload, *type, *message;
    } cases[] = {
        {"throttlingException", "{\"message\":\"slow \\\"down\\\"\"}", "rate_limit_error",
         "slow \\\"down\\\""},
        {"validationException", "{\"message\":\"bad\"}", "invalid_request_error", "bad"},
        {"serviceUnavailableException", "{\"Message\":\"busy\"}", "overloaded_error", "busy"},
        {"modelTimeoutException", "{\"message\":\"late\"}", "timeout_error", "late"},
        {"internalServerException", "{\"message\":\"oops\"}", "api_error", "oops"},
        {"modelStreamErrorException",
         "{\"message\":\"m\",\"originalStatusCode\":429,\"originalMessage\":\"x\"}",
         "rate_limit_error", "m"},
        {"modelStreamErrorException", "{\"originalMessage\":\"x\"}", "api_error", "x"},
        {"accessDeniedException", "<html>", "permission_error", NULL},
        {"", "{}", "api_error", NULL},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        relay_span_t own = relay_error_sentence(RELAY_ERR_UPSTREAM_ERROR);
        stream_t *stream = new_stream();
        char expected[512];
        add(stream, "exception", cases[i].name, cases[i].payload);
        snprintf(expected, sizeof(expected),
                 "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"%s\","
                 "\"message\":\"%.*s\"},\"request_id\":null}\n\n",
                 cases[i].type,
                 (int)(cases[i].message != NULL ? strlen(cases[i].message) : own.len),
                 cases[i].message != NULL ? cases[i].message : (const char *)own.base);
        check(stream, RELAY_FRAMING_EVENTSTREAM_BYTES, expected);
        free(stream);
    }
}

static void errors_become_errors_of_messages(void **state)
{
    stream_t *stream = new_stream();

    (void)state;
    add_error(stream, "ServiceUnavailable", "try again");
    check(stream, RELAY_FRAMING_EVENTSTREAM_BYTES,
          "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\","
          "\"message\":\"try again\"},\"request_id\":null}\n\n");
    free(stream);
}

/* ---- broken streams ------------------------------------------------------ */

/* Every bit of a message is under a checksum. */
static void a_flipped_bit_is_seen(void **state)
{
    stream_t *stream = new_stream();
    decoded_t *out = malloc(sizeof(*out));

    (void)state;
    assert_non_null(out);
    add(stream, "event", "messageStop", "{\"stopReason\":\"end_turn\"}");
    for (size_t bit = 0; bit < 8 * stream->out.len; bit++) {
        stream->bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        decode(relay_buf_span(&stream->out), RELAY_FRAMING_EVENTSTREAM, BYTES_MAX, BYTES_MAX, out);
        assert_int_equal(out->status, RELAY_EVENTSTREAM_INVALID);
        assert_int_equal(out->count, 0);
        stream->bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    free(out);
    free(stream);
}

/* Lengths that cannot be, under good checksums: told by the prelude alone. */
static void lengths_that_lie_are_refused(void **state)
{
    static const struct {
        uint32_t total, headers;
        relay_eventstream_status_t status;
    } cases[] = {
        {0, 0, RELAY_EVENTSTREAM_INVALID},
        {15, 0, RELAY_EVENTSTREAM_INVALID},
        {20, 5, RELAY_EVENTSTREAM_INVALID},
        {20, 0xffffffff, RELAY_EVENTSTREAM_INVALID},
        {RELAY_EVENTSTREAM_HEADERS_MAX + 17, RELAY_EVENTSTREAM_HEADERS_MAX + 1,
         RELAY_EVENTSTREAM_INVALID},
        {1025, 0, RELAY_EVENTSTREAM_TOO_LONG},
        {0xffffffff, 0, RELAY_EVENTSTREAM_TOO_LONG},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        uint8_t bytes[PRELUDE_LENGTH];
        set_number(bytes, cases[i].total);
        set_number(bytes + 4, cases[i].headers);
        set_number(bytes + 8, checksum(relay_span(bytes, 8)));
        check_fails(relay_span(bytes, sizeof(bytes)), 1024, cases[i].status);
    }
}

static void headers_that_overrun_are_refused(void **state)
{
    static const struct {
        const char *bytes;
        size_t len;
    } cases[] = {
        {"\x05", 1},
        {"\x01n", 2},
        {"\x01n\x07", 3},
        {"\x01n\x07\x00", 4},
        {"\x01n\x07\x00\x02x", 6},
        {"\x01n\x06\xff\xffx", 6},
        {"\x01n\x04\x00\x00\x00", 6},
        {"\x01n\x0a", 3},
        {"\x01n\x09"
         "0123456789abcde",
         18},
        {"\x01n\x02", 3},
        {"\x01n\x03x", 4},
        {"\x01n\x05"
         "1234567",
         10},
        {"\x01n\x08"
         "1234567",
         10},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        stream_t *stream = new_stream();
        begin(stream);
        relay_buf_put(&stream->out, relay_span(cases[i].bytes, cases[i].len));
        finish(stream, RELAY_SPAN("{}"));
        check_fails(relay_buf_span(&stream->out), BYTES_MAX, RELAY_EVENTSTREAM_INVALID);
        free(stream);
    }
}

/* Everything before the last byte is a cut: in a prelude, in a header, anywhere. */
static void a_cut_is_seen_at_the_end(void **state)
{
    stream_t *stream = new_stream();
    decoded_t *out = malloc(sizeof(*out));
    size_t first;

    (void)state;
    assert_non_null(out);
    add(stream, "event", "messageStart", "{}");
    first = stream->out.len;
    add(stream, "event", "messageStop", "{}");
    for (size_t len = 0; len <= stream->out.len; len++) {
        decode(relay_span(stream->bytes, len), RELAY_FRAMING_EVENTSTREAM, BYTES_MAX, 1 + len / 2,
               out);
        assert_int_equal(out->status, RELAY_EVENTSTREAM_MORE);
        assert_int_equal(out->ended, len == 0 || len == first || len == stream->out.len);
        assert_int_equal(out->count, len < first ? 0 : len < stream->out.len ? 1 : 2);
    }
    free(out);
    free(stream);
}

/* What came whole before a broken message is handed out; after it nothing is. */
static void a_failure_stays(void **state)
{
    memory_t memory = {0, 0};
    relay_eventstream_t decoder;
    stream_t *stream = new_stream();
    relay_span_t input, text;

    (void)state;
    add(stream, "event", "a", "1");
    add(stream, "event", "b", "2");
    stream->bytes[stream->out.len - 1] ^= 1;
    add(stream, "event", "c", "3");
    input = relay_buf_span(&stream->out);
    relay_eventstream_init(&decoder, (relay_memory_t){resize, &memory}, RELAY_FRAMING_EVENTSTREAM,
                           BYTES_MAX);
    assert_int_equal(relay_eventstream_next(&decoder, &input, &text), RELAY_EVENTSTREAM_EVENT);
    assert_true(relay_span_eq(text, RELAY_SPAN("event: a\ndata: 1\n\n")));
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(relay_eventstream_next(&decoder, &input, &text),
                         RELAY_EVENTSTREAM_INVALID);
        assert_false(relay_eventstream_end(&decoder));
    }
    relay_eventstream_free(&decoder);
    assert_true(relay_eventstream_end(&decoder));
    free(stream);
}

/* A message of exactly the bound passes, one byte more does not. */
static void the_bound_is_exact(void **state)
{
    stream_t *stream = new_stream();
    decoded_t *out = malloc(sizeof(*out));

    (void)state;
    assert_non_null(out);
    add(stream, "event", "a", "{\"text\":\"0123456789\"}");
    decode(relay_buf_span(&stream->out), RELAY_FRAMING_EVENTSTREAM, stream->out.len, 5, out);
    assert_int_equal(out->status, RELAY_EVENTSTREAM_MORE);
    assert_int_equal(out->count, 1);
    check_fails(relay_buf_span(&stream->out), stream->out.len - 1, RELAY_EVENTSTREAM_TOO_LONG);
    free(out);
    free(stream);
}

static relay_eventstream_status_t last_status(const stream_t *stream, relay_framing_t framing,
                                              size_t refuse, size_t step)
{
    memory_t memory = {0, refuse};
    relay_eventstream_status_t status = RELAY_EVENTSTREAM_MORE;
    relay_eventstream_t decoder;
    relay_span_t text;

    relay_eventstream_init(&decoder, (relay_memory_t){resize, &memory}, framing, BYTES_MAX);
    for (size_t at = 0; at < stream->out.len && status <= RELAY_EVENTSTREAM_EVENT; at += step) {
        size_t left = stream->out.len - at;
        relay_span_t input = relay_span(stream->bytes + at, left < step ? left : step);
        do {
            status = relay_eventstream_next(&decoder, &input, &text);
        } while (status == RELAY_EVENTSTREAM_EVENT);
    }
    relay_eventstream_free(&decoder);
    assert_int_equal(memory.live, 0);
    return status;
}

static void memory_that_is_out_is_reported(void **state)
{
    stream_t *stream = new_stream();

    (void)state;
    add(stream, "event", "a", "{}");
    assert_int_equal(last_status(stream, RELAY_FRAMING_EVENTSTREAM, 1, 10),
                     RELAY_EVENTSTREAM_MEMORY); /* of the carry */
    assert_int_equal(last_status(stream, RELAY_FRAMING_EVENTSTREAM, 1, BYTES_MAX),
                     RELAY_EVENTSTREAM_MEMORY); /* of the text */
    free(stream);
    stream = new_stream();
    add_chunk(stream, "{\"type\":\"ping\"}");
    assert_int_equal(last_status(stream, RELAY_FRAMING_EVENTSTREAM_BYTES, 1, BYTES_MAX),
                     RELAY_EVENTSTREAM_MEMORY);
    free(stream);
    stream = new_stream();
    add_error(stream, "InternalFailure", "x");
    assert_int_equal(last_status(stream, RELAY_FRAMING_EVENTSTREAM, 1, BYTES_MAX),
                     RELAY_EVENTSTREAM_MEMORY);
    free(stream);
}

/* A message that announces much and sends little takes little. */
static void memory_grows_with_what_came(void **state)
{
    stream_t *stream = new_stream();

    (void)state;
    begin(stream);
    stream->out.len += 60000;
    finish(stream, RELAY_SPAN(""));
    stream->out.len = 2000;
    assert_int_equal(last_status(stream, RELAY_FRAMING_EVENTSTREAM, 4096, 100),
                     RELAY_EVENTSTREAM_MORE);
    free(stream);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_checksum_is_the_standard_one),
        cmocka_unit_test(a_known_message_reads),
        cmocka_unit_test(events_become_events),
        cmocka_unit_test(line_ends_do_not_break_the_framing),
        cmocka_unit_test(every_type_of_header_is_skipped),
        cmocka_unit_test(a_long_name_is_none),
        cmocka_unit_test(bytes_are_decoded),
        cmocka_unit_test(bytes_that_are_no_base64_are_refused),
        cmocka_unit_test(exceptions_become_errors_of_messages),
        cmocka_unit_test(errors_become_errors_of_messages),
        cmocka_unit_test(a_flipped_bit_is_seen),
        cmocka_unit_test(lengths_that_lie_are_refused),
        cmocka_unit_test(headers_that_overrun_are_refused),
        cmocka_unit_test(a_cut_is_seen_at_the_end),
        cmocka_unit_test(a_failure_stays),
        cmocka_unit_test(the_bound_is_exact),
        cmocka_unit_test(memory_that_is_out_is_reported),
        cmocka_unit_test(memory_grows_with_what_came),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
