/*
 * What the wire formats have in common whatever their dialect: lenient reading
 * of what providers send, error shapes, the model splice, small writers.
 * Internal to core/wire_*.c.
 */

#ifndef RELAY_WIRE_SUPPORT_H
#define RELAY_WIRE_SUPPORT_H

#include "wire.h"

/* ---- reading JSON of providers ------------------------------------------- */

/*
 * Fills values from a whole JSON text: an object, or an array of one object (some
 * servers wrap errors so). Unlike a request, an answer with a key that occurs
 * twice is read, the last one wins. False if text is not JSON; values are then
 * all ABSENT.
 */
bool relay_wire_read(relay_span_t text, const relay_span_t *keys, size_t nkeys,
                     relay_json_value_t *values);

/*
 * The same for a whole answer that is passed on as it is: takes the text for
 * JSON if its brackets suggest it, at a fraction of the cost. What it reads out
 * of anything else is arbitrary, but within the text.
 */
bool relay_wire_glance(relay_span_t text, const relay_span_t *keys, size_t nkeys,
                       relay_json_value_t *values);

/* True if value is a string that reads literally `text`. */
bool relay_wire_is(relay_json_value_t value, relay_span_t text);

/* True if value says something: a string, array or object that is not empty, a
 * number, true. */
bool relay_wire_says(relay_json_value_t value);

/* Decodes a string that is not empty into out, cut to fit, NUL-terminated.
 * False, and out unchanged, for anything else. */
bool relay_wire_copy(relay_json_value_t value, char *out, size_t size);

/* The same, unless out holds something already. */
void relay_wire_copy_once(relay_json_value_t value, char *out, size_t size);

/* The text of a string value as written, without quotes; empty for other types. */
relay_span_t relay_wire_inner(relay_json_value_t value);

/* The tier of service that the word of any format means; *tier stays if it means none. */
void relay_wire_tier(relay_span_t word, relay_tier_t *tier);

/* A token counter: an integer up to 2^48. Others are not believed. */
bool relay_wire_count(relay_json_value_t value, uint64_t *number);

static inline relay_span_t relay_wire_cstring(const char *text)
{
    return relay_span(text, strlen(text));
}

/* ---- errors of providers ------------------------------------------------- */

/* The members of an object that may be, or hold, an error. */
typedef struct {
    relay_json_value_t error;
    relay_json_value_t message;
    relay_json_value_t type;
    relay_json_value_t code;
    relay_json_value_t detail;
    bool flat; /* the object itself is the error */
} relay_wire_error_members_t;

typedef struct {
    relay_span_t message; /* as written (escaped), or empty */
    relay_json_value_t type;
    relay_json_value_t code;
    unsigned status; /* HTTP status that fits */
} relay_wire_error_t;

/*
 * Reads any of the shapes that are in use: {"error":{…}}, {"error":"text"} with
 * a code beside it, a flat object, {"detail":…}. False if there is no error.
 */
bool relay_wire_error_read(const relay_wire_error_members_t *members, relay_wire_error_t *error);

/* The answer's error fields from error. */
void relay_wire_answer_error(relay_answer_t *answer, const relay_wire_error_t *error);

/* ---- events -------------------------------------------------------------- */

/* Verdict on data that is not JSON: whole garbage is passed on and means
 * nothing, an unterminated event is cut and hidden, an event named error is one. */
relay_verdict_t relay_wire_unreadable(relay_stream_t *stream, const relay_sse_item_t *item);

/* Marks the stream as failed. */
relay_verdict_t relay_wire_failed(relay_stream_t *stream, unsigned status);

/* True if data is the marker "[DONE]". */
bool relay_wire_done_marker(relay_span_t data);

/* ---- requests ------------------------------------------------------------ */

/*
 * The splice of the model's name; false if the body has it already. The text is
 * in scratch.
 */
bool relay_wire_edit_model(const relay_envelope_t *envelope, relay_span_t model, relay_edit_t *edit,
                           relay_buf_t *scratch);

/* `edits` of a format where only the model changes. */
size_t relay_wire_edits_model_only(const relay_envelope_t *envelope,
                                   const relay_edit_options_t *options,
                                   relay_edit_t edits[RELAY_EDITS_MAX], relay_buf_t *scratch);

/* `wants_usage` of a format whose streams always report it. */
bool relay_wire_wants_usage_always(const relay_envelope_t *envelope);

/* ---- writing ------------------------------------------------------------- */

/* The message of error, or the sentence of its code. */
relay_span_t relay_wire_message(const relay_error_t *error);

/* Text as a JSON string, or null if it is empty. */
void relay_wire_put_json_or_null(relay_buf_t *out, relay_span_t text);

#endif
