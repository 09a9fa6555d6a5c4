/*
 * The decoder of AWS event streams: see eventstream.h.
 *
 *   0      total length, of all of it (integers are big-endian)
 *   4      length of the headers
 *   8      CRC-32 of the first 8 bytes
 *   12     headers: name length (1), name, type (1), value
 *   …      payload
 *   -4     CRC-32 of all before it
 *
 *   PRELUDE ── 12 bytes, checked ──► MESSAGE ── all bytes, checked ──► event, PRELUDE
 *      └── lengths or checksum wrong ──┴──► dead
 *
 * A message that a read holds whole is decoded where it is; of any other, what
 * came so far is carried.
 */

#include "eventstream.h"

enum {
    PRELUDE_LENGTH = 12,
    CHECKSUM_LENGTH = 4,
    CARRY_MIN = 1024,
    NAME_MAX = 128,  /* of an event; a longer one is none */
    FIELDS_ROOM = 32 /* "event: ", "data: ", line ends */
};

typedef enum {
    HEADER_TRUE = 0,
    HEADER_FALSE,
    HEADER_BYTE,
    HEADER_SHORT,
    HEADER_INTEGER,
    HEADER_LONG,
    HEADER_BYTES,
    HEADER_STRING,
    HEADER_TIMESTAMP,
    HEADER_UUID
} header_type_t;

/* What a message says around its payload; empty: nothing. */
typedef struct {
    relay_span_t message_type;
    relay_span_t event_type;
    relay_span_t exception_type;
    relay_span_t error_code;
    relay_span_t error_message;
    relay_span_t payload;
} message_t;

/* ---- numbers ------------------------------------------------------------- */

static uint32_t number_at(relay_span_t bytes, size_t at)
{
    const uint8_t *from = bytes.base + at;

    return (uint32_t)from[0] << 24 | (uint32_t)from[1] << 16 | (uint32_t)from[2] << 8 | from[3];
}

/* CRC-32 of IEEE 802.3, reflected, half a byte at a time. */
static uint32_t checksum(relay_span_t bytes)
{
    static const uint32_t halves[16] = {0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac,
                                        0x76dc4190, 0x6b6b51f4, 0x4db26158, 0x5005713c,
                                        0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c,
                                        0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c};
    uint32_t sum = 0xffffffff;

    for (size_t i = 0; i < bytes.len; i++) {
        sum ^= bytes.base[i];
        sum = sum >> 4 ^ halves[sum & 15];
        sum = sum >> 4 ^ halves[sum & 15];
    }
    return ~sum;
}

/* ---- life and death ------------------------------------------------------ */

void relay_eventstream_init(relay_eventstream_t *stream, relay_memory_t memory,
                            relay_framing_t framing, size_t message_max)
{
    *stream = (relay_eventstream_t){.memory = memory,
                                    .framing = framing,
                                    .message_max = message_max < RELAY_EVENTSTREAM_MESSAGE_MAX
                                                       ? message_max
                                                       : RELAY_EVENTSTREAM_MESSAGE_MAX};
}

void relay_eventstream_free(relay_eventstream_t *stream)
{
    relay_memory_t memory = stream->memory;

    if (stream->carry != NULL) {
        memory.resize(memory.owner, stream->carry, 0);
    }
    if (stream->text != NULL) {
        memory.resize(memory.owner, stream->text, 0);
    }
    relay_eventstream_init(stream, memory, stream->framing, stream->message_max);
}

static relay_eventstream_status_t die(relay_eventstream_t *stream,
                                      relay_eventstream_status_t status)
{
    stream->dead = status;
    return status;
}

/* Doubles a block until it holds size bytes. */
static bool room(relay_memory_t memory, uint8_t **block, size_t *capacity, size_t size)
{
    size_t grown = *capacity != 0 ? *capacity : CARRY_MIN;
    uint8_t *bytes;

    if (size <= *capacity) {
        return true;
    }
    while (grown < size) {
        grown *= 2;
    }
    bytes = memory.resize(memory.owner, *block, grown);
    if (bytes == NULL) {
        return false;
    }
    *block = bytes;
    *capacity = grown;
    return true;
}

/* ---- framing ------------------------------------------------------------- */

/*
 * The first `want` bytes of the pending message: where they are in the input, if
 * none of it is carried, or in the carry. The input is advanced only over what is
 * carried.
 */
static relay_eventstream_status_t gather(relay_eventstream_t *stream, relay_span_t *input,
                                         size_t want, relay_span_t *bytes)
{
    size_t missing = want > stream->carry_len ? want - stream->carry_len : 0;

    if (stream->carry_len == 0 && input->len >= want) {
        *bytes = relay_span(input->base, want);
        return RELAY_EVENTSTREAM_EVENT;
    }
    missing = missing < input->len ? missing : input->len;
    if (!room(stream->memory, &stream->carry, &stream->carry_capacity,
              stream->carry_len + missing)) {
        return RELAY_EVENTSTREAM_MEMORY;
    }
    if (missing != 0) {
        memcpy(stream->carry + stream->carry_len, input->base, missing);
        stream->carry_len += missing;
        *input = relay_span_from(*input, missing);
    }
    *bytes = relay_span(stream->carry, want);
    return stream->carry_len >= want ? RELAY_EVENTSTREAM_EVENT : RELAY_EVENTSTREAM_MORE;
}

static relay_eventstream_status_t check_prelude(const relay_eventstream_t *stream,
                                                relay_span_t prelude)
{
    size_t total = number_at(prelude, 0), headers = number_at(prelude, 4);
    const size_t around = PRELUDE_LENGTH + CHECKSUM_LENGTH;

    if (total < around || headers > total - around || headers > RELAY_EVENTSTREAM_HEADERS_MAX ||
        checksum(relay_span(prelude.base, 8)) != number_at(prelude, 8)) {
        return RELAY_EVENTSTREAM_INVALID;
    }
    return total > stream->message_max ? RELAY_EVENTSTREAM_TOO_LONG : RELAY_EVENTSTREAM_EVENT;
}

static relay_eventstream_status_t take(relay_eventstream_t *stream, relay_span_t *input,
                                       relay_span_t *message)
{
    relay_eventstream_status_t status = gather(stream, input, PRELUDE_LENGTH, message);
    bool carried;

    if (status == RELAY_EVENTSTREAM_EVENT) {
        status = check_prelude(stream, *message);
    }
    if (status == RELAY_EVENTSTREAM_EVENT) {
        status = gather(stream, input, number_at(*message, 0), message);
    }
    if (status != RELAY_EVENTSTREAM_EVENT) {
        return status;
    }
    carried = stream->carry_len != 0;
    stream->carry_len = 0; /* its bytes stay until the next call */
    if (!carried) {
        *input = relay_span_from(*input, message->len);
    }
    return checksum(relay_span(message->base, message->len - CHECKSUM_LENGTH)) ==
                   number_at(*message, message->len - CHECKSUM_LENGTH)
               ? RELAY_EVENTSTREAM_EVENT
               : RELAY_EVENTSTREAM_INVALID;
}

/* ---- headers ------------------------------------------------------------- */

static bool take_bytes(relay_span_t *from, size_t len, relay_span_t *bytes)
{
    if (from->len < len) {
        return false;
    }
    *bytes = relay_span(from->base, len);
    *from = relay_span_from(*from, len);
    return true;
}

static bool take_byte(relay_span_t *from, uint8_t *byte)
{
    relay_span_t bytes;

    if (!take_bytes(from, 1, &bytes)) {
        return false;
    }
    *byte = bytes.base[0];
    return true;
}

static bool take_counted(relay_span_t *from, relay_span_t *bytes)
{
    relay_span_t length;

    return take_bytes(from, 2, &length) &&
           take_bytes(from, (size_t)length.base[0] << 8 | length.base[1], bytes);
}

static bool take_value(relay_span_t *from, uint8_t type, relay_span_t *value)
{
    switch ((header_type_t)type) {
    case HEADER_TRUE:
    case HEADER_FALSE:
        return take_bytes(from, 0, value);
    case HEADER_BYTE:
        return take_bytes(from, 1, value);
    case HEADER_SHORT:
        return take_bytes(from, 2, value);
    case HEADER_INTEGER:
        return take_bytes(from, 4, value);
    case HEADER_LONG:
    case HEADER_TIMESTAMP:
        return take_bytes(from, 8, value);
    case HEADER_BYTES:
    case HEADER_STRING:
        return take_counted(from, value);
    case HEADER_UUID:
        return take_bytes(from, 16, value);
    }
    return false;
}

static void note_header(message_t *message, relay_span_t name, relay_span_t value)
{
    const struct {
        relay_span_t name;
        relay_span_t *value;
    } known[] = {
        {RELAY_SPAN(":message-type"), &message->message_type},
        {RELAY_SPAN(":event-type"), &message->event_type},
        {RELAY_SPAN(":exception-type"), &message->exception_type},
        {RELAY_SPAN(":error-code"), &message->error_code},
        {RELAY_SPAN(":error-message"), &message->error_message},
    };

    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if (relay_span_eq(name, known[i].name)) {
            *known[i].value = value;
        }
    }
}

static bool read_headers(relay_span_t headers, message_t *message)
{
    relay_span_t name, value;
    uint8_t length, type;

    while (headers.len != 0) {
        if (!take_byte(&headers, &length) || !take_bytes(&headers, length, &name) ||
            !take_byte(&headers, &type) || !take_value(&headers, type, &value)) {
            return false;
        }
        if (type == HEADER_STRING) {
            note_header(message, name, value);
        }
    }
    return true;
}

static bool read_message(relay_span_t bytes, message_t *message)
{
    size_t headers = number_at(bytes, 4);
    relay_span_t inside =
        relay_span(bytes.base + PRELUDE_LENGTH, bytes.len - PRELUDE_LENGTH - CHECKSUM_LENGTH);

    *message = (message_t){.payload = relay_span_from(inside, headers)};
    return read_headers(relay_span(inside.base, headers), message);
}

/* ---- text ---------------------------------------------------------------- */

/* On one line, whatever the text holds. */
static void put_line(relay_buf_t *out, relay_span_t text)
{
    size_t at = out->len;

    relay_buf_put(out, text);
    for (; at < out->len && at < out->capacity; at++) {
        if (out->base[at] == '\n' || out->base[at] == '\r') {
            out->base[at] = ' ';
        }
    }
}

static void put_event(relay_buf_t *out, relay_span_t name, relay_span_t data)
{
    if (name.len != 0 && name.len <= NAME_MAX) {
        RELAY_PUT(out, "event: ");
        put_line(out, name);
        RELAY_PUT(out, "\n");
    }
    RELAY_PUT(out, "data: ");
    put_line(out, data.len != 0 ? data : RELAY_SPAN("{}"));
    RELAY_PUT(out, "\n\n");
}

static bool text_room(relay_eventstream_t *stream, size_t size)
{
    return room(stream->memory, &stream->text, &stream->text_capacity, size);
}

static relay_eventstream_status_t write_event(relay_eventstream_t *stream, relay_span_t name,
                                              relay_span_t data, relay_span_t *text)
{
    relay_buf_t out;

    if (!text_room(stream, data.len + NAME_MAX + FIELDS_ROOM)) {
        return RELAY_EVENTSTREAM_MEMORY;
    }
    out = relay_buf(stream->text, stream->text_capacity);
    put_event(&out, name, data);
    *text = relay_buf_span(&out);
    return RELAY_EVENTSTREAM_EVENT;
}

/* ---- payloads in base64 -------------------------------------------------- */

static int digit(uint8_t byte)
{
    if (byte >= 'A' && byte <= 'Z') {
        return byte - 'A';
    }
    if (byte >= 'a' && byte <= 'z') {
        return byte - 'a' + 26;
    }
    if (byte >= '0' && byte <= '9') {
        return byte - '0' + 52;
    }
    return byte == '+' ? 62 : byte == '/' ? 63 : -1;
}

/* Base64 of the standard alphabet, padded or not, becomes what it spells, in its
 * own place. */
static bool decode_base64(uint8_t *bytes, size_t *len)
{
    size_t end = *len, put = 0;
    uint32_t bits = 0;

    while (end != 0 && *len - end < 2 && bytes[end - 1] == '=') {
        end--;
    }
    if (end % 4 == 1 || (end != *len && *len % 4 != 0)) {
        return false;
    }
    for (size_t i = 0; i < end; i++) {
        int value = digit(bytes[i]);
        if (value < 0) {
            return false;
        }
        bits = bits << 6 | (uint32_t)value;
        if (i % 4 != 0) {
            bytes[put++] = (uint8_t)(bits >> (6 - 2 * (i % 4)));
        }
    }
    *len = put;
    return true;
}

/* The member "type" of data, if that is an object. */
static relay_span_t type_of(relay_span_t data)
{
    static const relay_span_t key = RELAY_SPAN_INIT("type");
    relay_json_value_t value;
    relay_json_fault_t fault;
    relay_span_t type = {NULL, 0};

    if (relay_json_scan(data, &key, 1, &value, &fault) == RELAY_JSON_OK) {
        relay_json_plain(value, &type);
    }
    return type;
}

static relay_eventstream_status_t write_bytes(relay_eventstream_t *stream, relay_json_value_t value,
                                              relay_span_t *text)
{
    /* what is decoded lies behind the event that it becomes */
    const size_t behind = value.text.len + NAME_MAX + FIELDS_ROOM;
    relay_span_t data;
    relay_buf_t out;

    if (!text_room(stream, behind + value.text.len)) {
        return RELAY_EVENTSTREAM_MEMORY;
    }
    out = relay_buf(stream->text + behind, value.text.len);
    relay_json_decode(value, &out);
    if (!relay_buf_ok(&out) || !decode_base64(out.base, &out.len)) {
        return RELAY_EVENTSTREAM_INVALID;
    }
    data = relay_buf_span(&out);
    out = relay_buf(stream->text, behind);
    put_event(&out, type_of(data), data);
    *text = relay_buf_span(&out);
    return RELAY_EVENTSTREAM_EVENT;
}

static bool has_bytes(relay_span_t payload, relay_json_value_t *value)
{
    static const relay_span_t key = RELAY_SPAN_INIT("bytes");
    relay_json_fault_t fault;

    return relay_json_scan(payload, &key, 1, value, &fault) == RELAY_JSON_OK &&
           value->type == RELAY_JSON_STRING;
}

/* ---- failures ------------------------------------------------------------ */

/* A name that does not tell that it is a failure's would pass for an event's. */
static relay_span_t exception_name(relay_span_t type)
{
    return relay_eventstream_is_failure(type) && type.len <= NAME_MAX ? type : RELAY_SPAN("error");
}

static void put_code_error(relay_buf_t *out, const message_t *message)
{
    RELAY_PUT(out, "event: error\ndata: {\"message\":");
    relay_buf_put_json(out, message->error_message);
    RELAY_PUT(out, ",\"__type\":");
    relay_buf_put_json(out, message->error_code);
    RELAY_PUT(out, "}\n\n");
}

/* Where the events are of another format, so is the error. */
static void put_bytes_error(relay_buf_t *out, const message_t *message)
{
    RELAY_PUT(out, "event: error\ndata: ");
    relay_eventstream_put_error(
        out, message->exception_type.len != 0 ? message->exception_type : message->error_code,
        message->payload, message->error_message);
    RELAY_PUT(out, "\n\n");
}

static relay_eventstream_status_t write_error(relay_eventstream_t *stream, const message_t *message,
                                              void (*put)(relay_buf_t *, const message_t *),
                                              relay_span_t *text)
{
    relay_buf_t out = relay_buf(NULL, 0);

    put(&out, message);
    if (!text_room(stream, out.len)) {
        return RELAY_EVENTSTREAM_MEMORY;
    }
    out = relay_buf(stream->text, stream->text_capacity);
    put(&out, message);
    *text = relay_buf_span(&out);
    return RELAY_EVENTSTREAM_EVENT;
}

/* ---- messages ------------------------------------------------------------ */

static relay_eventstream_status_t write_message(relay_eventstream_t *stream,
                                                const message_t *message, relay_span_t *text)
{
    bool in_bytes = stream->framing == RELAY_FRAMING_EVENTSTREAM_BYTES;
    bool exception = relay_span_eq(message->message_type, RELAY_SPAN("exception"));
    bool error = relay_span_eq(message->message_type, RELAY_SPAN("error"));
    relay_json_value_t value;

    if (in_bytes && (exception || error)) {
        return write_error(stream, message, put_bytes_error, text);
    }
    if (error) {
        return write_error(stream, message, put_code_error, text);
    }
    if (exception) {
        return write_event(stream, exception_name(message->exception_type), message->payload, text);
    }
    if (in_bytes && has_bytes(message->payload, &value)) {
        return write_bytes(stream, value, text);
    }
    return write_event(stream, message->event_type, message->payload, text);
}

relay_eventstream_status_t relay_eventstream_next(relay_eventstream_t *stream, relay_span_t *input,
                                                  relay_span_t *text)
{
    relay_eventstream_status_t status = stream->dead;
    relay_span_t bytes;
    message_t message;

    if (status != RELAY_EVENTSTREAM_MORE) {
        return status;
    }
    status = take(stream, input, &bytes);
    if (status == RELAY_EVENTSTREAM_EVENT) {
        status = read_message(bytes, &message) ? write_message(stream, &message, text)
                                               : RELAY_EVENTSTREAM_INVALID;
    }
    return status > RELAY_EVENTSTREAM_EVENT ? die(stream, status) : status;
}
