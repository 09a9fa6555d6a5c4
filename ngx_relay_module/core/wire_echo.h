/*
 * The text that the built-in echo model answers with: what the last user
 * message says, in pieces, straight out of the request. The text stays escaped
 * as the caller wrote it, so it goes into any JSON string unchanged. And its way
 * of counting tokens. Internal to core/wire_*.c.
 */

#ifndef RELAY_WIRE_ECHO_H
#define RELAY_WIRE_ECHO_H

#include "wire.h"

/* What the echo model answers at most in all choices, as escaped bytes: a longer
 * text is cut like at a token limit. A piece holds at most RELAY_ECHO_PIECE_MAX. */
enum {
    RELAY_ECHO_TEXT_MAX = 65536,
    RELAY_ECHO_PIECE_MAX = 4096 + 12,
    RELAY_ECHO_ID_MAX = 128,
    RELAY_ECHO_CHOICES_MAX = 128
};

typedef struct {
    relay_json_value_t content; /* a string, or parts */
    size_t cursor;              /* in the parts */
    relay_span_t rest;          /* of the string being read */
    bool started;
    size_t given;  /* escaped bytes so far */
    size_t max;    /* of a choice */
    size_t length; /* of the whole text, escaped, at most max */
    size_t target; /* size of a piece */
    bool cut;      /* the text was longer than the maximum */
    size_t piece_len;
    uint8_t piece[RELAY_ECHO_PIECE_MAX];
} relay_echo_text_t;

/*
 * Finds the text in the member `input` of body: a string, or an array of
 * messages. *usage gets the estimate: one token for four bytes.
 */
void relay_echo_open(relay_echo_text_t *text, relay_span_t body, relay_span_t input,
                     relay_usage_t *usage);

/*
 * The same where several answers may be asked for, all of them of this text:
 * returns how many, from the member `choices` of body (a number outside of 1 to
 * RELAY_ECHO_CHOICES_MAX becomes the nearer one). *usage is that of all.
 */
size_t relay_echo_open_choices(relay_echo_text_t *text, relay_span_t body, relay_span_t input,
                               relay_span_t choices, relay_usage_t *usage);

/* The next piece, whole characters only; it lives until the next call. False at
 * the end, which also rewinds. */
bool relay_echo_next(relay_echo_text_t *text, relay_span_t *piece);

/* prefix and the request's id, written into bytes. */
relay_span_t relay_echo_id(relay_span_t prefix, const relay_echo_t *echo,
                           uint8_t bytes[RELAY_ECHO_ID_MAX]);

/* All of it as one JSON string with its quotes. */
void relay_echo_put(relay_echo_text_t *text, relay_buf_t *out);

/* Answer to "how many tokens is this?" what the usage of its answer would say;
 * *usage stays unknown: nothing was generated. */
relay_echo_writer_t relay_echo_count_input;
relay_echo_writer_t relay_echo_count_messages;

#endif
