/*
 * Signatures of Gemini on their way through other formats, and those of others on
 * their way through this one. Called by the other parts of the codec.
 */

#include "wire_gemini_codec.h"

#define MARK "__thought__"

/* ---- in the id of a call ------------------------------------------------- */

static bool is_letter(uint8_t byte)
{
    return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
           (byte >= '0' && byte <= '9');
}

/* In the alphabet that ids have; 0 for what base64 has not. */
static uint8_t to_url(uint8_t byte)
{
    return byte == '+' || byte == '-'   ? '-'
           : byte == '/' || byte == '_' ? '_'
           : is_letter(byte)            ? byte
                                        : 0;
}

size_t relay_gemini_find(relay_span_t text, relay_span_t part)
{
    size_t at = 0;

    while (at + part.len <= text.len && !relay_span_starts(relay_span_from(text, at), part)) {
        at++;
    }
    return at + part.len <= text.len ? at : text.len;
}

size_t relay_gemini_signed_id_max(relay_span_t id, relay_span_t signature)
{
    return id.len + sizeof(MARK) + signature.len;
}

bool relay_gemini_put_signed_id(relay_buf_t *out, relay_span_t id, relay_span_t signature)
{
    size_t before = out->len;

    while (signature.len != 0 && signature.base[signature.len - 1] == '=') {
        signature.len--;
    }
    relay_buf_put(out, id);
    RELAY_PUT(out, MARK);
    for (size_t i = 0; i < signature.len; i++) {
        uint8_t byte = to_url(signature.base[i]);
        if (byte == 0) {
            out->len = before;
            return false;
        }
        relay_buf_put_byte(out, byte);
    }
    return true;
}

void relay_gemini_split_id(relay_span_t *id, relay_span_t *signature)
{
    relay_span_t mark = RELAY_SPAN(MARK);
    size_t head = relay_gemini_find(*id, mark);

    *signature = relay_span(NULL, 0);
    for (size_t i = head + mark.len; i < id->len; i++) {
        if (to_url(id->base[i]) != id->base[i]) {
            return; /* somebody else's id */
        }
    }
    if (head < id->len) {
        *signature = relay_span_from(*id, head + mark.len);
        id->len = head;
    }
}

void relay_gemini_put_id_signature(relay_buf_t *out, relay_span_t signature)
{
    relay_buf_put_byte(out, '"');
    for (size_t i = 0; i < signature.len; i++) {
        uint8_t byte = signature.base[i];
        relay_buf_put_byte(out, byte == '-' ? '+' : byte == '_' ? '/' : byte);
    }
    for (size_t i = signature.len; i % 4 != 0; i++) {
        relay_buf_put_byte(out, '=');
    }
    relay_buf_put_byte(out, '"');
}

/* ---- of other providers -------------------------------------------------- */

/*
 * base64 of "relay:" KIND ":" SIGNER ":" TEXT: clients take a signature apart and put
 * it together again as base64, so that nothing else would arrive.
 */
#define SEAL "relay:"

static void put_standard(relay_buf_t *out, relay_span_t bytes)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

    for (size_t i = 0; i < bytes.len; i += 3) {
        size_t left = bytes.len - i;
        uint32_t bits = (uint32_t)bytes.base[i] << 16;
        bits |= left > 1 ? (uint32_t)bytes.base[i + 1] << 8 : 0;
        bits |= left > 2 ? bytes.base[i + 2] : 0;
        relay_buf_put_byte(out, (uint8_t)digits[bits >> 18]);
        relay_buf_put_byte(out, (uint8_t)digits[bits >> 12 & 63]);
        relay_buf_put_byte(out, left > 1 ? (uint8_t)digits[bits >> 6 & 63] : '=');
        relay_buf_put_byte(out, left > 2 ? (uint8_t)digits[bits & 63] : '=');
    }
}

/* Three bytes of head at a time, so that text need not be copied behind it. */
void relay_gemini_put_sealed(relay_buf_t *out, relay_block_kind_t kind, relay_span_t signer,
                             relay_span_t text)
{
    uint8_t bytes[128];
    relay_buf_t head = relay_buf(bytes, sizeof(bytes));
    relay_span_t sealed;
    size_t taken;

    relay_buf_put(&head,
                  kind == RELAY_BLOCK_REDACTED ? RELAY_SPAN(SEAL "r:") : RELAY_SPAN(SEAL "t:"));
    relay_buf_put(&head, relay_span(signer.base, signer.len < 64 ? signer.len : 64));
    RELAY_PUT(&head, ":");
    for (taken = 0; head.len % 3 != 0 && taken < text.len; taken++) {
        relay_buf_put_byte(&head, text.base[taken]);
    }
    sealed = relay_buf_span(&head);
    relay_buf_put_byte(out, '"');
    put_standard(out, sealed);
    if (taken < text.len) {
        put_standard(out, relay_span_from(text, taken));
    }
    relay_buf_put_byte(out, '"');
}

/* What goes between quotes again as it is. */
static bool is_plain(relay_span_t text)
{
    for (size_t i = 0; i < text.len; i++) {
        uint8_t byte = text.base[i];
        if (byte < 0x20 || byte > 0x7e || byte == '"' || byte == '\\') {
            return false;
        }
    }
    return true;
}

bool relay_gemini_unseal(relay_translation_t *translation, relay_span_t signature,
                         relay_block_kind_t *kind, relay_span_t *signer, relay_span_t *text)
{
    relay_span_t mark = RELAY_SPAN(SEAL), opened;
    const uint8_t *colon;

    if (!relay_span_starts(signature, RELAY_SPAN("cmVsYXk6"))) {
        return false; /* the seal, in base64 */
    }
    opened = relay_codec_base64_text(translation, signature);
    if (!is_plain(opened) || opened.len < mark.len + 3 || opened.base[mark.len + 1] != ':') {
        return false;
    }
    *kind = opened.base[mark.len] == 'r' ? RELAY_BLOCK_REDACTED : RELAY_BLOCK_THINKING;
    opened = relay_span_from(opened, mark.len + 2);
    colon = memchr(opened.base, ':', opened.len);
    if (colon == NULL) {
        return false;
    }
    *signer = relay_span(opened.base, (size_t)(colon - opened.base));
    *text = relay_span_from(opened, signer->len + 1);
    return true;
}
