/*
 * What requests of Chat Completions and of Responses have in common: see
 * wire_openai_codec.h.
 */

#include "wire_openai_codec.h"

#include <openssl/sha.h>

/* An id by which a user is told apart is at most so long. */
enum { USER_MAX_LEN = 64 };

/* ---- reading ------------------------------------------------------------- */

bool relay_openai_required(relay_translation_t *translation, const relay_json_tree_t *tree,
                           relay_json_node_t node, const relay_place_t *place, relay_span_t *text)
{
    switch (relay_json_type(tree, node)) {
    case RELAY_JSON_STRING:
        *text = relay_json_content(tree, node);
        return true;
    case RELAY_JSON_ABSENT:
        return relay_codec_missing(translation, place);
    default:
        return relay_codec_refuse(translation, place, RELAY_SPAN("this field must be a string"));
    }
}

void relay_openai_read_url(relay_translation_t *translation, relay_span_t url, relay_media_t *media)
{
    if (!relay_codec_data_url(translation, url, media)) {
        media->source = RELAY_SOURCE_URL;
        media->data = url;
    }
}

bool relay_openai_read_audio(relay_translation_t *translation, const relay_json_tree_t *tree,
                             relay_json_node_t node, const relay_place_t *place,
                             relay_block_t *block)
{
    static const relay_span_t keys[] = {RELAY_SPAN_INIT("data"), RELAY_SPAN_INIT("format")};
    relay_place_t data = {place, RELAY_SPAN("input_audio.data"), RELAY_PLACE_NO_INDEX};
    relay_json_node_t nodes[2];

    relay_json_pick(tree, node, keys, 2, nodes);
    block->media.source = RELAY_SOURCE_BASE64;
    block->media.media_type = relay_json_reads(tree, nodes[1], RELAY_SPAN("mp3"))
                                  ? RELAY_SPAN("audio/mpeg")
                                  : RELAY_SPAN("audio/wav");
    return relay_openai_required(translation, tree, nodes[0], &data, &block->media.data);
}

static bool read_text(relay_translation_t *translation, relay_span_t text,
                      const relay_place_t *place, relay_block_t ***tail)
{
    relay_block_t *block;

    if (text.len == 0) {
        return true;
    }
    block = relay_codec_block(translation, tail, RELAY_BLOCK_TEXT);
    if (block == NULL) {
        return false;
    }
    block->text = text;
    block->place = relay_codec_keep(translation, place);
    return block->place != NULL;
}

bool relay_openai_read_content(relay_translation_t *translation, const relay_json_tree_t *tree,
                               relay_json_node_t content, const relay_place_t *at,
                               relay_openai_read_part_t *read_part, void *reading,
                               relay_block_t ***tail)
{
    relay_place_t place = *at;
    relay_json_node_t part;

    switch (relay_json_type(tree, content)) {
    case RELAY_JSON_ABSENT:
    case RELAY_JSON_NULL:
        return true;
    case RELAY_JSON_STRING:
        return read_text(translation, relay_json_content(tree, content), &place, tail);
    case RELAY_JSON_ARRAY:
        break;
    default:
        return relay_codec_refuse(translation, &place,
                                  RELAY_SPAN("this field must be a string or a list of parts"));
    }
    for (part = relay_json_first(tree, content); part != RELAY_JSON_NOWHERE;
         part = relay_json_next(tree, content, part)) {
        place.index++;
        if (!read_part(reading, part, &place, tail)) {
            return false;
        }
    }
    return true;
}

/* ---- writing ------------------------------------------------------------- */

bool relay_openai_put_audio(relay_translation_t *translation, relay_buf_t *out,
                            const relay_block_t *block)
{
    bool mp3 = relay_span_eq(block->media.media_type, RELAY_SPAN("audio/mpeg")) ||
               relay_span_eq(block->media.media_type, RELAY_SPAN("audio/mp3"));

    if (block->media.source != RELAY_SOURCE_BASE64) {
        return relay_codec_refuse_block(translation, block,
                                        RELAY_SPAN("audio has to be in the request itself"));
    }
    RELAY_PUT(out, "{\"type\":\"input_audio\",\"input_audio\":{\"data\":");
    relay_codec_put_string(out, block->media.data);
    relay_buf_put(out,
                  mp3 ? RELAY_SPAN(",\"format\":\"mp3\"}}") : RELAY_SPAN(",\"format\":\"wav\"}}"));
    return true;
}

void relay_openai_put_user(relay_translation_t *translation, relay_buf_t *out, relay_span_t user)
{
    static const char digits[] = "0123456789abcdef";
    uint8_t hash[SHA256_DIGEST_LENGTH];

    if (user.len <= USER_MAX_LEN) {
        relay_codec_put_text(out, RELAY_SPAN(",\"user\":"), user);
        return;
    }
    SHA256(user.base, user.len, hash);
    RELAY_PUT(out, ",\"user\":\"");
    for (size_t i = 0; i < sizeof(hash); i++) {
        relay_buf_put_byte(out, (uint8_t)digits[hash[i] >> 4]);
        relay_buf_put_byte(out, (uint8_t)digits[hash[i] & 15]);
    }
    RELAY_PUT(out, "\"");
    relay_codec_change(translation, RELAY_FIELD_USER);
}

void relay_openai_put_parallel(relay_translation_t *translation, relay_buf_t *out,
                               const relay_tool_choice_t *choice)
{
    if (choice->parallel.type == RELAY_JSON_ABSENT || choice->mode == RELAY_CHOICE_NONE) {
        return;
    }
    if ((translation->target.flags & RELAY_TARGET_NO_PARALLEL) != 0) {
        relay_codec_drop(translation, RELAY_FIELD_PARALLEL);
    } else {
        relay_codec_put_value(out, RELAY_SPAN(",\"parallel_tool_calls\":"), choice->parallel);
    }
}

relay_span_t relay_openai_choice_word(relay_choice_mode_t mode)
{
    switch (mode) {
    case RELAY_CHOICE_AUTO:
        return RELAY_SPAN("auto");
    case RELAY_CHOICE_NONE:
        return RELAY_SPAN("none");
    case RELAY_CHOICE_REQUIRED:
        return RELAY_SPAN("required");
    default:
        return relay_span(NULL, 0);
    }
}
