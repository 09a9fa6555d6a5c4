/*
 * The parts of the codec of OpenAI Responses: requests, whole answers, streams.
 * Internal to core/wire_openai_responses_codec*.c and wire_codecs.c.
 */

#ifndef RELAY_WIRE_OPENAI_RESPONSES_CODEC_H
#define RELAY_WIRE_OPENAI_RESPONSES_CODEC_H

#include "wire_openai_codec.h"

extern const relay_codec_t relay_codec_openai_responses;

/* What the id of an answer begins with. */
#define RELAY_RESPONSES_ID RELAY_SPAN("resp_")

/* A tool's name, and the id of a call, are at most so long. */
enum { RELAY_RESPONSES_NAME_MAX = 64 };

/* Whose encrypted reasoning this format's own is, as formats call it that carry several. */
#define RELAY_RESPONSES_SIGNER RELAY_SPAN("openai-responses-v1")

/*
 * The tool by which a client finds others has an item type of its own here. Other
 * formats see a function; it is told apart by this scope on the way back.
 */
#define RELAY_RESPONSES_SEARCH RELAY_SPAN("tool_search")

/* One request being read. */
typedef struct {
    relay_translation_t *translation;
    const relay_json_tree_t *tree;
    relay_request_t *request;
    relay_tool_t **tools; /* where the next tool goes: input items bring some, too */
    bool own;             /* goes out in this format again: what is not understood stays as it is */
} relay_responses_reading_t;

/* One request being written. */
typedef struct {
    relay_translation_t *translation;
    const relay_request_t *request;
    relay_buf_t *out;
    bool any; /* an item is out */
} relay_responses_writing_t;

/* Bytes of state of the two stream machines. */
extern const size_t relay_responses_reader_size;
extern const size_t relay_responses_writer_size;

relay_error_code_t relay_responses_read_request(relay_translation_t *translation,
                                                const relay_json_tree_t *tree,
                                                relay_request_t *request);
relay_error_code_t relay_responses_write_request(relay_translation_t *translation,
                                                 const relay_request_t *request, relay_buf_t *out);
relay_error_code_t relay_responses_read_response(relay_translation_t *translation,
                                                 const relay_json_tree_t *tree,
                                                 relay_response_t *response);
relay_error_code_t relay_responses_write_response(relay_translation_t *translation,
                                                  const relay_response_t *response,
                                                  relay_buf_t *out);
void relay_responses_read_event(relay_reader_t *reader, const relay_sse_item_t *item);
void relay_responses_write_event(relay_writer_t *writer, const relay_stream_event_t *event,
                                 relay_buf_t *out);

/* ---- requests ------------------------------------------------------------ */

/* `input` into the messages of the request: a string or a list of items. */
bool relay_responses_read_input(relay_responses_reading_t *reading, relay_json_node_t input);

/* Appends the blocks of a content: a string or a list of parts, at place. */
bool relay_responses_read_content(relay_responses_reading_t *reading, relay_json_node_t content,
                                  const relay_place_t *place, relay_block_t ***tail);

/* Appends a list of tools, at place. */
bool relay_responses_read_tools(relay_responses_reading_t *reading, relay_json_node_t tools,
                                const relay_place_t *place);

bool relay_responses_read_choice(relay_responses_reading_t *reading, relay_json_node_t node);

/* The items of the request, without the brackets around them. */
bool relay_responses_write_input(relay_responses_writing_t *writing);

/* ---- reasoning ----------------------------------------------------------- */

/*
 * encrypted_content carries what a client has to send back, whoever made it: this
 * format's own as it is, that of others with their name and, since clients may
 * leave a summary out, their text:
 *
 *   relay1:thinking:SIGNER:SIGNATURE:TEXT
 *   relay1:redacted:SIGNER::DATA
 */
void relay_responses_put_sealed(relay_buf_t *out, relay_block_kind_t kind, relay_span_t text,
                                relay_span_t signature, relay_span_t signer);

/* The other way: kind, signature, signer and, of others, text. */
void relay_responses_unseal(relay_span_t sealed, relay_block_t *block);

/* Appends what a reasoning item says. */
bool relay_responses_read_reasoning(relay_translation_t *translation, const relay_json_tree_t *tree,
                                    relay_json_node_t item, relay_block_t ***tail);

/* ---- answers ------------------------------------------------------------- */

/* A call of the answer in this format's words. */
typedef enum {
    RELAY_RESPONSES_FUNCTION = 0,
    RELAY_RESPONSES_CUSTOM,
    RELAY_RESPONSES_TOOL_SEARCH
} relay_responses_call_t;

/* What the upstream calls name is to the caller; wrapped: its text comes in an object. */
typedef struct {
    relay_responses_call_t kind;
    relay_span_t name;
    relay_span_t scope;
    bool wrapped;
} relay_responses_called_t;

relay_responses_called_t relay_responses_called(const relay_translation_t *translation,
                                                relay_span_t name, relay_span_t scope,
                                                bool free_text);

/* "rs_", "ig_", "msg_", "fc_", "ctc_", "tsc_" */
relay_span_t relay_responses_item_prefix(relay_block_kind_t kind, relay_responses_call_t call);

/* "PREFIXREQUEST_INDEX": the id of an item, with its quotes. */
void relay_responses_put_item_id(relay_buf_t *out, const relay_translation_t *translation,
                                 relay_span_t prefix, uint64_t index);

/* The arguments that are the object of an item, whatever the model wrote. */
void relay_responses_put_search(relay_translation_t *translation, relay_buf_t *out,
                                const relay_arguments_t *arguments);

/* Whether an answer of this format can have the image, which is noted if not: it has
 * no URLs of them. */
bool relay_responses_shows(relay_translation_t *translation, const relay_media_t *media);
/* ,"output_format":… of an image; nothing for types that the format does not have. */
void relay_responses_put_image_format(relay_buf_t *out, relay_span_t media_type);

/* The annotation for a citation of the web. */
void relay_responses_put_annotation(relay_buf_t *out, const relay_citation_t *citation);

/* What an annotation says; false if it is not of the web. */
bool relay_responses_read_annotation(relay_json_value_t object, relay_citation_t *citation);

/* How the answer ended: "completed" or "incomplete", and why the latter. `said`: the
 * answer tells of its refusal itself. */
relay_span_t relay_responses_status(relay_stop_t reason, bool said);
relay_span_t relay_responses_incomplete(relay_stop_t reason);

/* The other way; calls: there are some. */
relay_stop_t relay_responses_stop(relay_span_t status, relay_span_t incomplete, bool calls);

/* The settings that every response has, from ,"parallel_tool_calls" on. */
void relay_responses_put_settings(relay_buf_t *out);
void relay_responses_put_usage(relay_buf_t *out, const relay_usage_t *usage);

#endif
