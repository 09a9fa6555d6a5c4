/*
 * The formats that can be translated: see translate.h. Adding one is a line in
 * `codecs` beside its own files. Where a host speaks several of them that are not
 * the caller's, the one that comes first is used: it says the most of what the
 * others can say. Of embeddings, the last two take only one text at a time.
 */

#include "wire_anthropic_messages_codec.h"
#include "wire_bedrock_converse_codec.h"
#include "wire_embed.h"
#include "wire_gemini_codec.h"
#include "wire_openai_chat_codec.h"
#include "wire_openai_responses_codec.h"

static const relay_codec_t *const codecs[] = {
    &relay_codec_anthropic_messages,   &relay_codec_gemini,
    &relay_codec_openai_chat,          &relay_codec_openai_responses,
    &relay_codec_bedrock_converse,     &relay_codec_openai_embeddings,
    &relay_codec_gemini_embed,         &relay_codec_vertex_embed,
    &relay_codec_cohere_embed,         &relay_codec_bedrock_titan_embed,
    &relay_codec_vertex_embed_content,
};

#define COUNT (sizeof(codecs) / sizeof(codecs[0]))

const relay_codec_t *relay_codec_at(unsigned index)
{
    return index < COUNT ? codecs[index] : NULL;
}

const relay_codec_t *relay_codec_of(const relay_wire_t *wire)
{
    for (size_t i = 0; i < COUNT; i++) {
        if (codecs[i]->wire == wire) {
            return codecs[i];
        }
    }
    return NULL;
}

const relay_codec_t *relay_codec_find(relay_span_t name)
{
    for (size_t i = 0; i < COUNT; i++) {
        if (relay_span_eq(codecs[i]->wire->name, name)) {
            return codecs[i];
        }
    }
    return NULL;
}

/* Messages and embeddings are not translated into each other, nor are embeddings for
 * callers of a format that only upstreams speak. */
static bool leads_to(const relay_codec_t *caller, const relay_codec_t *upstream)
{
    if (caller->embeddings == NULL || upstream->embeddings == NULL) {
        return caller != upstream && caller->embeddings == upstream->embeddings;
    }
    return caller->embeddings->read_request != NULL && upstream->embeddings->write_request != NULL;
}

uint32_t relay_codec_targets(const relay_wire_t *wire)
{
    const relay_codec_t *caller = relay_codec_of(wire);
    uint32_t targets = 0;

    if (caller == NULL) {
        return 0;
    }
    for (size_t i = 0; i < COUNT; i++) {
        targets |= leads_to(caller, codecs[i]) ? UINT32_C(1) << codecs[i]->wire->index : 0;
    }
    return targets;
}

const relay_wire_t *relay_codec_preferred(uint32_t formats)
{
    for (size_t i = 0; i < COUNT; i++) {
        if (formats >> codecs[i]->wire->index & 1) {
            return codecs[i]->wire;
        }
    }
    return NULL;
}
