/*
 * The parts of the codec of Anthropic Messages: requests, whole answers, streams.
 * Internal to core/wire_anthropic_messages_codec*.c and wire_codecs.c.
 */

#ifndef RELAY_WIRE_ANTHROPIC_MESSAGES_CODEC_H
#define RELAY_WIRE_ANTHROPIC_MESSAGES_CODEC_H

#include "codec_support.h"

extern const relay_codec_t relay_codec_anthropic_messages;

/* What the id of an answer begins with. */
#define RELAY_MESSAGES_ID RELAY_SPAN("msg_")

/* A tool's name is at most so long; the limit of older models, which all take. */
enum { RELAY_MESSAGES_NAME_MAX = 64, RELAY_MESSAGES_ID_MAX = 128 };

/* Whose signatures these are, as formats call it that carry several. */
#define RELAY_MESSAGES_SIGNER RELAY_SPAN("anthropic-claude-v1")

/* One body being read. */
typedef struct {
    relay_translation_t *translation;
    const relay_json_tree_t *tree;
    bool answer; /* of a model: nothing in it is refused */
    bool system; /* what is read now is a system message: it has texts only */
} relay_messages_reading_t;

/* A request being written. */
typedef struct {
    relay_translation_t *translation;
    const relay_request_t *request;
    relay_buf_t *out;
    bool own;      /* it came in this format */
    bool thinking; /* the answer is to be thought about by a budget */
    uint64_t max_tokens;
    uint64_t budget_tokens;
} relay_messages_writing_t;

/* Bytes of state of the two stream machines. */
extern const size_t relay_messages_reader_size;
extern const size_t relay_messages_writer_size;

relay_error_code_t relay_messages_read_request(relay_translation_t *translation,
                                               const relay_json_tree_t *tree,
                                               relay_request_t *request);
relay_error_code_t relay_messages_write_request(relay_translation_t *translation,
                                                const relay_request_t *request, relay_buf_t *out);
relay_error_code_t relay_messages_read_response(relay_translation_t *translation,
                                                const relay_json_tree_t *tree,
                                                relay_response_t *response);
relay_error_code_t relay_messages_write_response(relay_translation_t *translation,
                                                 const relay_response_t *response,
                                                 relay_buf_t *out);
void relay_messages_read_event(relay_reader_t *reader, const relay_sse_item_t *item);
void relay_messages_write_event(relay_writer_t *writer, const relay_stream_event_t *event,
                                relay_buf_t *out);

/* Appends the blocks of a content: a string or a list. outer is what holds it. */
bool relay_messages_read_content(relay_messages_reading_t *reading, relay_json_node_t content,
                                 const relay_place_t *outer, relay_span_t name,
                                 relay_block_t ***tail);

/* ,"system":[…] and ,"messages":[…] */
bool relay_messages_write_messages(relay_messages_writing_t *writing);

/* ,"cache_control":{…} for a marker of any format that says something. */
void relay_messages_put_mark(relay_messages_writing_t *writing, relay_json_value_t mark);

/* True if some call that is waiting for its answer lacks the thinking before it. */
bool relay_messages_loop_unsigned(const relay_request_t *request);

/* Whether thinking of that signer is shown. A client sends it back, and a provider
 * that finds no signature of its own refuses it: see unsigned_thinking. */
bool relay_messages_shows(const relay_translation_t *translation, relay_span_t signer);

/* What is noted where an answer has an image: none of this format can. */
#define RELAY_MESSAGES_NO_IMAGE RELAY_SPAN("content.image")

/* What is noted where thinking is not shown. */
#define RELAY_MESSAGES_UNSIGNED RELAY_SPAN("content.thinking")

/* Stop reasons, both ways; END for a word that is not known, UNSET for none. */
relay_stop_t relay_messages_stop(relay_span_t word);
relay_span_t relay_messages_stop_word(relay_stop_t reason);

/* A tier that the format has no word for is noted. */
void relay_messages_put_usage(relay_translation_t *translation, relay_buf_t *out,
                              const relay_usage_t *usage);

/* A citation in this format. */
void relay_messages_put_citation(relay_buf_t *out, const relay_citation_t *citation);

/* The web address and title of a citation of this format. */
void relay_messages_read_citation(relay_json_value_t object, relay_citation_t *citation);

#endif
