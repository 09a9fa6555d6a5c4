/*
 * The formats that can be translated: see translate.h. Adding one is a line in
 * `codecs` beside its own files.
 */

#include "wire_anthropic_messages_codec.h"
#include "wire_openai_chat_codec.h"

static const relay_codec_t *const codecs[] = {
    &relay_codec_openai_chat,
    &relay_codec_anthropic_messages,
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
