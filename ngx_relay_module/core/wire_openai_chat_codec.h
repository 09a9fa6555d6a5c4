/*
 * The parts of the codec of OpenAI Chat Completions: requests, whole answers,
 * streams. Internal to core/wire_openai_chat_codec*.c and wire_codecs.c.
 */

#ifndef RELAY_WIRE_OPENAI_CHAT_CODEC_H
#define RELAY_WIRE_OPENAI_CHAT_CODEC_H

#include "wire_openai_codec.h"

extern const relay_codec_t relay_codec_openai_chat;

/* One request being read. */
typedef struct {
    relay_translation_t *translation;
    const relay_json_tree_t *tree;
    relay_request_t *request;
    bool own; /* goes out in this format again: what is not understood stays as it is */
} relay_chat_reading_t;

/* One request being written. */
typedef struct {
    relay_translation_t *translation;
    const relay_request_t *request;
    relay_buf_t *out;
    bool own;       /* it came in this format */
    bool any;       /* a message is out */
    bool part;      /* a part of the media message is out */
    bool media_due; /* results since media_from have media that are not out */
    const relay_message_t *media_from;
} relay_chat_writing_t;

/* What the id of an answer begins with. */
#define RELAY_CHAT_ID RELAY_SPAN("chatcmpl-")

/* A tool's name, and an id that a user is told apart by, are at most so long. */
enum { RELAY_CHAT_NAME_MAX = 64 };

/* Bytes of state of the two stream machines. */
extern const size_t relay_chat_reader_size;
extern const size_t relay_chat_writer_size;

relay_error_code_t relay_chat_read_request(relay_translation_t *translation,
                                           const relay_json_tree_t *tree, relay_request_t *request);
relay_error_code_t relay_chat_write_request(relay_translation_t *translation,
                                            const relay_request_t *request, relay_buf_t *out);
relay_error_code_t relay_chat_read_response(relay_translation_t *translation,
                                            const relay_json_tree_t *tree,
                                            relay_response_t *response);
relay_error_code_t relay_chat_write_response(relay_translation_t *translation,
                                             const relay_response_t *response, relay_buf_t *out);
void relay_chat_read_event(relay_reader_t *reader, const relay_sse_item_t *item);
void relay_chat_write_event(relay_writer_t *writer, const relay_stream_event_t *event,
                            relay_buf_t *out);

/* Whether tools of free text go out as functions: what came in this format stays. */
static inline bool relay_chat_wraps(const relay_chat_writing_t *writing)
{
    return !writing->own && (writing->translation->target.flags & RELAY_TARGET_CUSTOM) == 0;
}

/* The list of messages into the request. */
bool relay_chat_read_messages(relay_chat_reading_t *reading, relay_json_node_t messages);

/* The messages of the request, without the brackets around them. */
bool relay_chat_write_messages(relay_chat_writing_t *writing);

/* Appends what a message's reasoning_content, reasoning and reasoning_details say; place
 * is the message's, NULL in an answer. */
bool relay_chat_read_reasoning(relay_translation_t *translation, const relay_json_tree_t *tree,
                               relay_json_node_t message, const relay_place_t *place,
                               relay_block_t ***tail);

/* Appends the entries of tool_calls; place is the message's, NULL in an answer. */
bool relay_chat_read_calls(relay_translation_t *translation, const relay_json_tree_t *tree,
                           relay_json_node_t calls, const relay_place_t *place,
                           relay_block_t ***tail);

/* The entry of reasoning_details for a block of thinking; index counts them. */
void relay_chat_put_detail(relay_buf_t *out, relay_block_kind_t kind, relay_span_t text,
                           relay_span_t signature, relay_span_t signer, size_t index);

/* stop reasons, both ways; END for a word that is not known, UNSET for none. */
relay_stop_t relay_chat_stop(relay_span_t word);
relay_span_t relay_chat_stop_word(relay_stop_t reason);

/* ,"service_tier":… of this format and of Responses; what they have no word for is
 * noted. */
void relay_openai_put_tier(relay_translation_t *translation, relay_buf_t *out, relay_tier_t tier);

void relay_chat_put_usage(relay_buf_t *out, const relay_usage_t *usage);

/* What an entry of annotations in a stream says; false if it is none of the web. */
bool relay_chat_read_annotation(relay_json_value_t entry, relay_citation_t *citation);
/* The image of an entry of images in a stream, as its BLOCK has it; false if it is none. */
bool relay_chat_read_image(relay_json_value_t entry, relay_stream_event_t *event);

/* An entry of images; index counts them. */
void relay_chat_put_image(relay_buf_t *out, const relay_media_t *media, size_t index);

/* The annotation for a citation of the web. */
void relay_chat_put_annotation(relay_buf_t *out, const relay_citation_t *citation);

#endif
