/*
 * The echo model's text: see wire_echo.h.
 */

#include "wire_echo.h"
#include "wire_support.h"

static const relay_json_value_t greeting = {RELAY_JSON_STRING,
                                            RELAY_SPAN_INIT("\"Hello from Relay.\"")};

/* ---- where the text is --------------------------------------------------- */

static relay_json_value_t member(relay_json_value_t object, relay_span_t key)
{
    relay_json_value_t value = {RELAY_JSON_ABSENT, {NULL, 0}};

    if (object.type == RELAY_JSON_OBJECT) {
        relay_json_members(object.text, &key, 1, &value);
    }
    return value;
}

/* The content of the last message of the user; messages may be a plain string. */
static relay_json_value_t last_user(relay_json_value_t messages)
{
    relay_json_value_t content = messages, message;
    size_t cursor = 0;

    if (messages.type != RELAY_JSON_ARRAY) {
        return content;
    }
    content.type = RELAY_JSON_ABSENT;
    while (relay_json_element(messages.text, &cursor, &message)) {
        if (relay_wire_is(member(message, RELAY_SPAN("role")), RELAY_SPAN("user"))) {
            content = member(message, RELAY_SPAN("content"));
        }
    }
    return content;
}

/* The next string of the content, without quotes. */
static bool next_string(relay_echo_text_t *text)
{
    relay_json_value_t part, type;

    if (text->content.type == RELAY_JSON_STRING && !text->started) {
        text->started = true;
        text->rest = relay_wire_inner(text->content);
        return true;
    }
    if (text->content.type != RELAY_JSON_ARRAY) {
        return false;
    }
    while (relay_json_element(text->content.text, &text->cursor, &part)) {
        type = member(part, RELAY_SPAN("type"));
        if (relay_wire_is(type, RELAY_SPAN("text")) ||
            relay_wire_is(type, RELAY_SPAN("input_text"))) {
            text->rest = relay_wire_inner(member(part, RELAY_SPAN("text")));
            return true;
        }
    }
    return false;
}

/* ---- characters ---------------------------------------------------------- */

/* The value of the \uXXXX that text starts with, 0 if it does not. */
static unsigned unit_value(relay_span_t text)
{
    unsigned value = 0;

    if (text.len < 6 || text.base[0] != '\\' || text.base[1] != 'u') {
        return 0;
    }
    for (size_t i = 2; i < 6; i++) {
        unsigned byte = text.base[i];
        value = value << 4 | ((byte <= '9' ? byte - '0' : (byte | 0x20) - 'a' + 10) & 15);
    }
    return value;
}

/* Takes one character off the front of *text, an escape or a surrogate pair as
 * a whole. Half a pair is no character and becomes the replacement. */
static relay_span_t take_character(relay_span_t *text)
{
    relay_span_t character = *text;
    unsigned unit = unit_value(*text);
    unsigned low = unit != 0 ? unit_value(relay_span_from(*text, 6)) : 0;
    uint8_t first = text->base[0];

    if (unit >= 0xd800 && unit < 0xdc00 && low >= 0xdc00 && low < 0xe000) {
        character.len = 12;
    } else if (first == '\\') {
        character.len = text->len > 1 && text->base[1] == 'u' ? 6 : 2;
    } else {
        character.len = first < 0x80 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
    }
    if (character.len > text->len) {
        character.len = text->len;
    }
    *text = relay_span_from(*text, character.len);
    if (character.len == 6 && unit >= 0xd800 && unit < 0xe000) {
        return RELAY_SPAN("\\ufffd");
    }
    return character;
}

static bool next_character(relay_echo_text_t *text, relay_span_t *character)
{
    while (text->rest.len == 0) {
        if (!next_string(text)) {
            return false;
        }
    }
    *character = take_character(&text->rest);
    text->given += character->len;
    return text->given <= text->max;
}

/* ---- the text's length --------------------------------------------------- */

static void rewind_text(relay_echo_text_t *text)
{
    text->cursor = 0;
    text->rest = relay_span(NULL, 0);
    text->started = false;
    text->given = 0;
}

/* Length, whether it is cut, and from that the size of a piece: a few words in
 * a short text, and never more than some hundred pieces. */
static void measure(relay_echo_text_t *text)
{
    relay_span_t character;

    rewind_text(text);
    text->length = 0;
    while (next_character(text, &character)) {
        text->length += character.len;
    }
    text->cut = text->given > text->max;
    text->target = text->length / 64 > 4 ? text->length / 64 : 4;
    rewind_text(text);
}

/* ---- tokens -------------------------------------------------------------- */

static uint64_t estimate(size_t bytes)
{
    return bytes < 4 ? 1 : (bytes + 3) / 4;
}

/* What a request has the model read: its input and what stands beside it. */
static uint64_t estimate_input(relay_span_t body, relay_span_t input)
{
    enum { KEYS = 4 };
    const relay_span_t keys[KEYS] = {input, RELAY_SPAN("system"), RELAY_SPAN("instructions"),
                                     RELAY_SPAN("tools")};
    relay_json_value_t values[KEYS];
    size_t bytes = 0;

    relay_wire_read(body, keys, KEYS, values);
    for (size_t i = 0; i < KEYS; i++) {
        bytes += relay_wire_says(values[i]) ? values[i].text.len : 0;
    }
    return estimate(bytes);
}

void relay_echo_count_input(relay_buf_t *out, const relay_echo_t *echo, relay_usage_t *usage)
{
    *usage = (relay_usage_t){.known = false};
    RELAY_PUT(out, "{\"object\":\"response.input_tokens\",\"input_tokens\":");
    relay_buf_put_u64(out, echo->tokens != 0 ? echo->tokens
                                             : estimate_input(echo->body, RELAY_SPAN("input")));
    RELAY_PUT(out, "}");
}

void relay_echo_count_messages(relay_buf_t *out, const relay_echo_t *echo, relay_usage_t *usage)
{
    *usage = (relay_usage_t){.known = false};
    RELAY_PUT(out, "{\"input_tokens\":");
    relay_buf_put_u64(out, echo->tokens != 0 ? echo->tokens
                                             : estimate_input(echo->body, RELAY_SPAN("messages")));
    RELAY_PUT(out, "}");
}

/* ---- pieces -------------------------------------------------------------- */

static void open_text(relay_echo_text_t *text, relay_span_t body, relay_span_t input, size_t max)
{
    relay_json_value_t messages;

    memset(text, 0, sizeof(*text));
    text->max = max;
    relay_wire_read(body, &input, 1, &messages);
    text->content = last_user(messages);
    measure(text);
    if (text->length == 0) {
        text->content = greeting;
        measure(text);
    }
}

size_t relay_echo_open_choices(relay_echo_text_t *text, relay_span_t body, relay_span_t input,
                               relay_span_t choices, relay_usage_t *usage)
{
    relay_json_value_t value;
    uint64_t count = 1;

    relay_wire_read(body, &choices, 1, &value);
    relay_json_uint(value, &count);
    count = count < 1 ? 1 : count < RELAY_ECHO_CHOICES_MAX ? count : RELAY_ECHO_CHOICES_MAX;
    open_text(text, body, input, RELAY_ECHO_TEXT_MAX / count);
    *usage = (relay_usage_t){.known = true,
                             .input_tokens = estimate_input(body, input),
                             .output_tokens = count * estimate(text->length)};
    return count;
}

void relay_echo_open(relay_echo_text_t *text, relay_span_t body, relay_span_t input,
                     relay_usage_t *usage)
{
    open_text(text, body, input, RELAY_ECHO_TEXT_MAX);
    *usage = (relay_usage_t){.known = true,
                             .input_tokens = estimate_input(body, input),
                             .output_tokens = estimate(text->length)};
}

/* A piece ends behind a space once it has its size, or when it is four times as
 * long without one. */
static bool piece_ends(const relay_echo_text_t *text)
{
    return text->piece_len >= text->target &&
           (text->piece[text->piece_len - 1] == ' ' || text->piece_len >= 4 * text->target);
}

bool relay_echo_next(relay_echo_text_t *text, relay_span_t *piece)
{
    relay_span_t character;

    text->piece_len = 0;
    while (!piece_ends(text) && next_character(text, &character)) {
        memcpy(text->piece + text->piece_len, character.base, character.len);
        text->piece_len += character.len;
    }
    *piece = relay_span(text->piece, text->piece_len);
    if (text->piece_len == 0) {
        rewind_text(text);
    }
    return text->piece_len != 0;
}

void relay_echo_put(relay_echo_text_t *text, relay_buf_t *out)
{
    relay_span_t piece;

    RELAY_PUT(out, "\"");
    while (relay_echo_next(text, &piece)) {
        relay_buf_put(out, piece);
    }
    RELAY_PUT(out, "\"");
}

relay_span_t relay_echo_id(relay_span_t prefix, const relay_echo_t *echo,
                           uint8_t bytes[RELAY_ECHO_ID_MAX])
{
    relay_buf_t id = relay_buf(bytes, RELAY_ECHO_ID_MAX);

    relay_buf_put(&id, prefix);
    relay_buf_put(&id, echo->id);
    return relay_buf_span(&id);
}
