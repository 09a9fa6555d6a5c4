/*
 * Images and documents in Bedrock Converse requests, and what images of answers are.
 * Called by wire_bedrock_converse_codec_{write,answer,reader}.c.
 */

#include "wire_bedrock_converse_codec.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

typedef struct {
    relay_span_t type;
    relay_span_t format;
} format_t;

static const format_t images[] = {
    {RELAY_SPAN_INIT("image/png"), RELAY_SPAN_INIT("png")},
    {RELAY_SPAN_INIT("image/jpeg"), RELAY_SPAN_INIT("jpeg")},
    {RELAY_SPAN_INIT("image/jpg"), RELAY_SPAN_INIT("jpeg")},
    {RELAY_SPAN_INIT("image/gif"), RELAY_SPAN_INIT("gif")},
    {RELAY_SPAN_INIT("image/webp"), RELAY_SPAN_INIT("webp")},
};

static const format_t documents[] = {
    {RELAY_SPAN_INIT("application/pdf"), RELAY_SPAN_INIT("pdf")},
    {RELAY_SPAN_INIT("text/plain"), RELAY_SPAN_INIT("txt")},
    {RELAY_SPAN_INIT("text/markdown"), RELAY_SPAN_INIT("md")},
    {RELAY_SPAN_INIT("text/html"), RELAY_SPAN_INIT("html")},
    {RELAY_SPAN_INIT("text/csv"), RELAY_SPAN_INIT("csv")},
    {RELAY_SPAN_INIT("application/msword"), RELAY_SPAN_INIT("doc")},
    {RELAY_SPAN_INIT("application/vnd.ms-excel"), RELAY_SPAN_INIT("xls")},
    {RELAY_SPAN_INIT("application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
     RELAY_SPAN_INIT("docx")},
    {RELAY_SPAN_INIT("application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
     RELAY_SPAN_INIT("xlsx")},
};

/* Empty for a type that the format does not know. */
static relay_span_t format_of(const format_t *formats, size_t count, relay_span_t type)
{
    for (size_t i = 0; i < count; i++) {
        if (relay_span_eq(type, formats[i].type)) {
            return formats[i].format;
        }
    }
    return relay_span(NULL, 0);
}

relay_span_t relay_converse_image_type(relay_span_t format)
{
    for (size_t i = 0; i < COUNT(images); i++) {
        if (relay_span_eq(format, images[i].format)) {
            return images[i].type;
        }
    }
    return RELAY_SPAN("image/png");
}

/* ---- images -------------------------------------------------------------- */

static bool put_image(relay_converse_writing_t *writing, const relay_block_t *block)
{
    relay_span_t format = format_of(images, COUNT(images), block->media.media_type);
    relay_buf_t *out = writing->out;

    if (block->media.source != RELAY_SOURCE_BASE64) {
        return relay_codec_refuse_block(
            writing->translation, block,
            RELAY_SPAN("an image has to be in the request itself, in base64, for the provider of "
                       "this model"));
    }
    if (format.len == 0) {
        return relay_codec_refuse_block(writing->translation, block,
                                        RELAY_SPAN("an image must be PNG, JPEG, GIF or WebP"));
    }
    if (block->media.detail.len != 0 && !relay_span_eq(block->media.detail, RELAY_SPAN("auto"))) {
        relay_codec_drop_in(writing->translation, block->place, RELAY_FIELD_DETAIL);
    }
    RELAY_PUT(out, "{\"image\":{\"format\":");
    relay_codec_put_string(out, format);
    RELAY_PUT(out, ",\"source\":{\"bytes\":");
    relay_codec_put_string(out, block->media.data);
    RELAY_PUT(out, "}}}");
    return true;
}

/* ---- documents ----------------------------------------------------------- */

enum { NAME_MAX = 128, ENDING_MAX = 5 };

static bool is_name_byte(uint8_t byte)
{
    return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
           (byte >= '0' && byte <= '9') || byte == '(' || byte == ')' || byte == '[' || byte == ']';
}

/* Without the ending that tells what the format says already. */
static relay_span_t stem(relay_span_t name)
{
    for (size_t i = 1; i <= ENDING_MAX && i < name.len; i++) {
        if (name.base[name.len - i] == '.') {
            return relay_span(name.base, name.len - i);
        }
    }
    return name;
}

/*
 * Letters, digits, brackets and single hyphens are all that a name may have, and no
 * two may be the same: so each gets its number.
 */
static void put_name(relay_converse_writing_t *writing, const relay_block_t *block)
{
    relay_span_t given = block->media.name;
    relay_span_t name = stem(relay_codec_plain(writing->translation, given));
    relay_buf_t *out = writing->out;
    bool hyphen = true, any = false;

    name.len = name.len < NAME_MAX ? name.len : NAME_MAX;
    RELAY_PUT(out, ",\"name\":\"");
    for (size_t i = 0; i < name.len; i++) {
        if (is_name_byte(name.base[i])) {
            relay_buf_put_byte(out, name.base[i]);
            hyphen = false;
            any = true;
        } else if (!hyphen) {
            relay_buf_put_byte(out, '-');
            hyphen = true;
        }
    }
    relay_buf_put(out, any ? RELAY_SPAN("") : RELAY_SPAN("document"));
    relay_buf_put(out, any && hyphen ? RELAY_SPAN("") : RELAY_SPAN("-"));
    relay_buf_put_u64(out, ++writing->documents);
    RELAY_PUT(out, "\"");
    if (given.len != 0) {
        relay_codec_change_in(writing->translation, block->place, RELAY_FIELD_FILENAME);
    }
}

/* Documents made of blocks: of text alone. */
static bool put_blocks(relay_converse_writing_t *writing, const relay_block_t *block)
{
    bool any = false;

    RELAY_PUT(writing->out, "\"content\":[");
    for (const relay_block_t *inner = block->content; inner != NULL; inner = inner->next) {
        if (inner->kind != RELAY_BLOCK_TEXT) {
            return relay_codec_refuse_block(
                writing->translation, block,
                RELAY_SPAN("a document may only hold text for the provider of this model"));
        }
        relay_buf_put(writing->out, any ? RELAY_SPAN(",{\"text\":") : RELAY_SPAN("{\"text\":"));
        relay_codec_put_string(writing->out, inner->text);
        RELAY_PUT(writing->out, "}");
        any = true;
    }
    RELAY_PUT(writing->out, "]");
    return true;
}

static bool put_source(relay_converse_writing_t *writing, const relay_block_t *block)
{
    switch (block->media.source) {
    case RELAY_SOURCE_BASE64:
        RELAY_PUT(writing->out, "\"bytes\":");
        relay_codec_put_string(writing->out, block->media.data);
        return true;
    case RELAY_SOURCE_TEXT:
        RELAY_PUT(writing->out, "\"text\":");
        relay_codec_put_string(writing->out, block->media.data);
        return true;
    default:
        return put_blocks(writing, block);
    }
}

static bool put_document(relay_converse_writing_t *writing, const relay_block_t *block)
{
    const relay_media_t *media = &block->media;
    relay_span_t format = media->source == RELAY_SOURCE_BASE64
                              ? format_of(documents, COUNT(documents), media->media_type)
                              : RELAY_SPAN("txt");

    if (media->source == RELAY_SOURCE_FILE || media->source == RELAY_SOURCE_URL) {
        return relay_codec_refuse_block(
            writing->translation, block,
            RELAY_SPAN("a document has to be in the request itself for the provider of this "
                       "model"));
    }
    if (format.len == 0) {
        return relay_codec_refuse_block(
            writing->translation, block,
            RELAY_SPAN("a document must be PDF, text, CSV, HTML, Markdown, Word or Excel for the "
                       "provider of this model"));
    }
    RELAY_PUT(writing->out, "{\"document\":{\"format\":");
    relay_codec_put_string(writing->out, format);
    put_name(writing, block);
    RELAY_PUT(writing->out, ",\"source\":{");
    if (!put_source(writing, block)) {
        return false;
    }
    RELAY_PUT(writing->out, "}");
    relay_codec_put_text(writing->out, RELAY_SPAN(",\"context\":"), media->context);
    relay_buf_put(writing->out, media->cited ? RELAY_SPAN(",\"citations\":{\"enabled\":true}}}")
                                             : RELAY_SPAN("}}"));
    return true;
}

bool relay_converse_put_media(relay_converse_writing_t *writing, const relay_block_t *block)
{
    return block->kind == RELAY_BLOCK_IMAGE ? put_image(writing, block)
                                            : put_document(writing, block);
}
