/*
 * What requests of Chat Completions and of Responses have in common: content that
 * is a string or a list of parts, some of the parts, some of the fields. Internal
 * to core/wire_openai_*_codec*.c.
 */

#ifndef RELAY_WIRE_OPENAI_CODEC_H
#define RELAY_WIRE_OPENAI_CODEC_H

#include "codec_support.h"

/* ---- reading ------------------------------------------------------------- */

/* A string that has to be there. */
bool relay_openai_required(relay_translation_t *translation, const relay_json_tree_t *tree,
                           relay_json_node_t node, const relay_place_t *place, relay_span_t *text);

/* A data URL, or any other. */
void relay_openai_read_url(relay_translation_t *translation, relay_span_t url,
                           relay_media_t *media);

/* {"data":…,"format":…}, which is "input_audio" of the part at place. */
bool relay_openai_read_audio(relay_translation_t *translation, const relay_json_tree_t *tree,
                             relay_json_node_t node, const relay_place_t *place,
                             relay_block_t *block);

/* Appends the block of a part; place is not kept yet. */
typedef bool relay_openai_read_part_t(void *reading, relay_json_node_t part,
                                      const relay_place_t *place, relay_block_t ***tail);

/* Appends the blocks of a content, which is at `at`: a string, a list of parts, or
 * nothing. */
bool relay_openai_read_content(relay_translation_t *translation, const relay_json_tree_t *tree,
                               relay_json_node_t content, const relay_place_t *at,
                               relay_openai_read_part_t *read_part, void *reading,
                               relay_block_t ***tail);

/* ---- writing ------------------------------------------------------------- */

/* {"type":"input_audio",…} */
bool relay_openai_put_audio(relay_translation_t *translation, relay_buf_t *out,
                            const relay_block_t *block);

/* ,"user":… with the hash of an id that is too long for the field, which is noted. */
void relay_openai_put_user(relay_translation_t *translation, relay_buf_t *out, relay_span_t user);

/* ,"parallel_tool_calls":… where it says something and the target takes it. */
void relay_openai_put_parallel(relay_translation_t *translation, relay_buf_t *out,
                               const relay_tool_choice_t *choice);

/* The word for a choice that names no tool: "auto", "none", "required", or empty. */
relay_span_t relay_openai_choice_word(relay_choice_mode_t mode);

#endif
