/*
 * The parts of the codec of Bedrock Converse: requests are written, whole answers
 * and streams are read. The reverse is not there, as no caller speaks the format:
 * reading a request and writing an answer are refused, a stream to write is one
 * error. Internal to core/wire_bedrock_converse_codec*.c and wire_codecs.c.
 */

#ifndef RELAY_WIRE_BEDROCK_CONVERSE_CODEC_H
#define RELAY_WIRE_BEDROCK_CONVERSE_CODEC_H

#include "codec_support.h"

extern const relay_codec_t relay_codec_bedrock_converse;

enum { RELAY_CONVERSE_NAME_MAX = 64, RELAY_CONVERSE_ID_MAX = 64 };

/* A request being written. */
typedef struct {
    relay_translation_t *translation;
    const relay_request_t *request;
    relay_buf_t *out;
    unsigned documents; /* so far: their names must differ */
    bool thinking;      /* the answer is to be thought about by a budget */
    bool limited;       /* max_tokens is written */
    uint64_t max_tokens;
    uint64_t budget_tokens;
} relay_converse_writing_t;

static inline bool relay_converse_flag(const relay_converse_writing_t *writing, unsigned flag)
{
    return (writing->translation->target.flags & flag) != 0;
}

/* Bytes of state of the two stream machines. */
extern const size_t relay_converse_reader_size;

relay_error_code_t relay_converse_write_request(relay_translation_t *translation,
                                                const relay_request_t *request, relay_buf_t *out);
relay_error_code_t relay_converse_read_response(relay_translation_t *translation,
                                                const relay_json_tree_t *tree,
                                                relay_response_t *response);
void relay_converse_read_event(relay_reader_t *reader, const relay_sse_item_t *item);

/* "system":[…], and "messages":[…], the first only if there is something in it. */
bool relay_converse_write_messages(relay_converse_writing_t *writing);

/* {"image":…} or {"document":…} */
bool relay_converse_put_media(relay_converse_writing_t *writing, const relay_block_t *block);

/* The media type of an image in an answer, by the format's word for it. */
relay_span_t relay_converse_image_type(relay_span_t format);

/* {"cachePoint":…} for a marker that says something, at place, with `before` in front. */
void relay_converse_put_mark(relay_converse_writing_t *writing, relay_span_t before,
                             relay_json_value_t mark, const relay_place_t *place);

/* Stop reasons; END for a word that is not known, UNSET for none. */
relay_stop_t relay_converse_stop(relay_span_t word);

/* The stop sequence that matched, of additionalModelResponseFields. */
relay_span_t relay_converse_sequence(relay_json_value_t fields);

/* The web address, title and quote of a citation of this format. */
void relay_converse_read_citation(relay_json_value_t object, relay_citation_t *citation);

#endif
