/*
 * Tool calls and media between formats: arguments in and out of strings, names
 * and ids that the other side can take, data URLs. See codec_support.h.
 */

#include "codec_support.h"

/* A buffer of that size in the arena; capacity 0 if it is empty. */
static relay_buf_t new_buf(relay_translation_t *translation, size_t size)
{
    uint8_t *bytes = relay_codec_new(translation, size);

    return relay_buf(bytes, bytes != NULL ? size : 0);
}

/* ---- arguments ----------------------------------------------------------- */

static bool is_space(uint8_t byte)
{
    return byte == ' ' || byte == '\n' || byte == '\r' || byte == '\t';
}

/* Puts a byte of JSON as part of a string's content. */
static void put_within(relay_buf_t *out, uint8_t byte)
{
    if (byte == '"' || byte == '\\') {
        relay_buf_put_byte(out, '\\');
    }
    relay_buf_put_byte(out, byte);
}

/* JSON that a scan has accepted: white space is outside strings only, and within
 * them nothing but quotes and backslashes needs an escape. */
static void put_compact(relay_buf_t *out, relay_span_t json)
{
    bool string = false;

    for (size_t i = 0; i < json.len; i++) {
        uint8_t byte = json.base[i];
        if (!string && is_space(byte)) {
            continue;
        }
        put_within(out, byte);
        if (string && byte == '\\' && i + 1 < json.len) {
            put_within(out, json.base[++i]);
        } else if (byte == '"') {
            string = !string;
        }
    }
}

void relay_codec_put_quoted(relay_buf_t *out, const relay_arguments_t *arguments)
{
    relay_buf_put_byte(out, '"');
    if (arguments->quoted) {
        relay_buf_put(out, arguments->text);
    } else {
        put_compact(out, arguments->text);
    }
    relay_buf_put_byte(out, '"');
}

/* The arguments as a JSON object; empty if they are none. */
static relay_span_t object_text(relay_translation_t *translation,
                                const relay_arguments_t *arguments)
{
    relay_span_t text = arguments->text;
    relay_json_fault_t fault;

    if (!arguments->quoted) {
        return text;
    }
    if (relay_codec_blank(text)) {
        return RELAY_SPAN("{}");
    }
    text = relay_codec_plain(translation, text);
    return relay_json_scan(text, NULL, 0, NULL, &fault) == RELAY_JSON_OK ? text
                                                                         : relay_span(NULL, 0);
}

bool relay_codec_put_object(relay_translation_t *translation, relay_buf_t *out,
                            const relay_arguments_t *arguments)
{
    relay_span_t text = object_text(translation, arguments);

    if (text.len == 0) {
        return false;
    }
    relay_buf_put(out, text);
    return true;
}

bool relay_codec_put_input(relay_translation_t *translation, relay_buf_t *out,
                           const relay_arguments_t *arguments)
{
    if (relay_codec_put_object(translation, out, arguments)) {
        return true;
    }
    RELAY_PUT(out, "{\"raw_arguments\":");
    relay_codec_put_quoted(out, arguments);
    RELAY_PUT(out, "}");
    return false;
}

void relay_codec_put_wrapped(relay_buf_t *out, relay_span_t text)
{
    RELAY_PUT(out, "{\"input\":");
    relay_codec_put_string(out, text);
    RELAY_PUT(out, "}");
}

void relay_codec_put_wrapped_quoted(relay_buf_t *out, relay_span_t text)
{
    RELAY_PUT(out, "\"{\\\"input\\\":\\\"");
    for (size_t i = 0; i < text.len; i++) {
        put_within(out, text.base[i]);
    }
    RELAY_PUT(out, "\\\"}\"");
}

bool relay_codec_unwrap(relay_translation_t *translation, const relay_arguments_t *arguments,
                        relay_span_t *text)
{
    static const relay_span_t key = RELAY_SPAN_INIT("input");
    relay_span_t object = object_text(translation, arguments);
    relay_json_value_t value = {RELAY_JSON_ABSENT, {NULL, 0}};

    if (object.len == 0 || !relay_json_members(object, &key, 1, &value) ||
        value.type != RELAY_JSON_STRING) {
        return false;
    }
    *text = relay_span(value.text.base + 1, value.text.len - 2);
    return true;
}

/* ---- names --------------------------------------------------------------- */

static bool is_name_byte(uint8_t byte)
{
    return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
           (byte >= '0' && byte <= '9') || byte == '_' || byte == '-';
}

static bool is_name(relay_span_t text, size_t max)
{
    for (size_t i = 0; i < text.len; i++) {
        if (!is_name_byte(text.base[i])) {
            return false;
        }
    }
    return text.len != 0 && text.len <= max;
}

/* FNV-1a. */
static uint32_t hash(uint32_t seed, relay_span_t text)
{
    for (size_t i = 0; i < text.len; i++) {
        seed = (seed ^ text.base[i]) * UINT32_C(16777619);
    }
    return seed;
}

static void put_hash(relay_buf_t *out, uint32_t value)
{
    static const char digits[] = "0123456789abcdef";

    for (int shift = 28; shift >= 0; shift -= 4) {
        relay_buf_put_byte(out, (uint8_t)digits[value >> shift & 15]);
    }
}

/* Names are at most 128 bytes in any format. */
enum { NAME_MAX_LEN = 128, HASH_LEN = 9 };

/* scope__name_hash with what does not fit replaced and cut. */
static relay_span_t fit(relay_translation_t *translation, relay_span_t scope, relay_span_t name,
                        size_t max)
{
    relay_span_t parts[3] = {scope, RELAY_SPAN("__"), name};
    uint8_t *bytes = relay_codec_new(translation, NAME_MAX_LEN + HASH_LEN);
    relay_buf_t out = relay_buf(bytes, bytes != NULL ? NAME_MAX_LEN + HASH_LEN : 0);
    uint32_t sum = UINT32_C(2166136261);

    max = max < NAME_MAX_LEN ? max : NAME_MAX_LEN;
    for (size_t part = scope.len != 0 ? 0 : 2; part < 3; part++) {
        sum = hash(sum, parts[part]);
        for (size_t i = 0; i < parts[part].len && out.len < max - HASH_LEN; i++) {
            uint8_t byte = parts[part].base[i];
            relay_buf_put_byte(&out, is_name_byte(byte) ? byte : '_');
        }
    }
    RELAY_PUT(&out, "_");
    put_hash(&out, sum);
    return relay_buf_span(&out);
}

static relay_span_t scoped(relay_translation_t *translation, relay_span_t scope, relay_span_t name)
{
    uint8_t *bytes = relay_codec_new(translation, scope.len + 2 + name.len);
    relay_buf_t out = relay_buf(bytes, bytes != NULL ? scope.len + 2 + name.len : 0);

    relay_buf_put(&out, scope);
    RELAY_PUT(&out, "__");
    relay_buf_put(&out, name);
    return relay_buf_span(&out);
}

static relay_span_t sent_name(relay_translation_t *translation, relay_span_t scope,
                              relay_span_t name, size_t max)
{
    relay_span_t whole = scope.len != 0 ? scoped(translation, scope, name) : name;

    return is_name(whole, max) ? whole : fit(translation, scope, name, max);
}

relay_span_t relay_codec_tool_name(relay_translation_t *translation, relay_span_t scope,
                                   relay_span_t name, bool free_text, size_t max)
{
    relay_rename_t **at = &translation->renames;

    if (scope.len == 0 && !free_text && is_name(name, max)) {
        return name;
    }
    for (; *at != NULL; at = &(*at)->next) {
        if (relay_span_eq((*at)->original, name) && relay_span_eq((*at)->scope, scope)) {
            return (*at)->sent;
        }
    }
    *at = relay_codec_new(translation, sizeof(**at));
    if (*at == NULL) {
        return name;
    }
    (*at)->original = name;
    (*at)->scope = scope;
    (*at)->sent = sent_name(translation, scope, name, max);
    (*at)->free_text = free_text;
    return (*at)->sent;
}

bool relay_codec_names(const relay_name_t *name, const relay_tool_t *tool)
{
    return relay_span_eq(name->name, tool->name) &&
           (name->scope.len == 0 || relay_span_eq(name->scope, tool->scope));
}

const relay_tool_t *relay_codec_chosen(const relay_request_t *request, const relay_name_t *name)
{
    const relay_tool_t *found = NULL;

    for (const relay_tool_t *tool = request->tools; tool != NULL; tool = tool->next) {
        if (!relay_codec_names(name, tool)) {
            continue;
        }
        if (relay_span_eq(name->scope, tool->scope)) {
            return tool;
        }
        found = found != NULL ? found : tool;
    }
    return found;
}

relay_span_t relay_codec_choice_name(relay_translation_t *translation,
                                     const relay_request_t *request, const relay_name_t *name,
                                     bool wraps, size_t max)
{
    const relay_tool_t *tool = relay_codec_chosen(request, name);
    bool custom = tool != NULL ? tool->kind == RELAY_TOOL_CUSTOM : name->custom;

    return relay_codec_tool_name(translation, tool != NULL ? tool->scope : name->scope, name->name,
                                 wraps && custom, max);
}

relay_span_t relay_codec_call_id(relay_translation_t *translation, relay_span_t id, size_t max)
{
    return is_name(id, max) ? id : fit(translation, relay_span(NULL, 0), id, max);
}

const relay_rename_t *relay_codec_renamed(const relay_translation_t *translation, relay_span_t sent)
{
    const relay_rename_t *rename = translation->renames;

    while (rename != NULL && !relay_span_eq(rename->sent, sent)) {
        rename = rename->next;
    }
    return rename;
}

/* ---- media --------------------------------------------------------------- */

bool relay_codec_data_url(relay_translation_t *translation, relay_span_t url, relay_media_t *media)
{
    relay_span_t head = RELAY_SPAN("data:"), mark = RELAY_SPAN("base64");
    const uint8_t *comma, *semicolon;

    if (url.len < head.len || !relay_span_case_eq(relay_span(url.base, head.len), head)) {
        return false;
    }
    url = relay_span_from(url, head.len);
    comma = memchr(url.base, ',', url.len);
    if (comma == NULL) {
        return false;
    }
    head = relay_span(url.base, (size_t)(comma - url.base));
    if (head.len <= mark.len ||
        !relay_span_case_eq(relay_span_from(head, head.len - mark.len), mark)) {
        return false;
    }
    semicolon = memchr(head.base, ';', head.len);
    if (semicolon == NULL) {
        return false;
    }
    media->source = RELAY_SOURCE_BASE64;
    media->media_type =
        relay_codec_plain(translation, relay_span(head.base, (size_t)(semicolon - head.base)));
    media->data = relay_span_from(url, head.len + 1);
    return true;
}

void relay_codec_put_data_url(relay_buf_t *out, const relay_media_t *media)
{
    RELAY_PUT(out, "\"data:");
    relay_buf_put(out, media->media_type.len != 0 ? media->media_type
                                                  : RELAY_SPAN("application/octet-stream"));
    RELAY_PUT(out, ";base64,");
    relay_buf_put(out, media->data);
    RELAY_PUT(out, "\"");
}

void relay_codec_put_media_url(relay_buf_t *out, const relay_media_t *media)
{
    if (media->source == RELAY_SOURCE_BASE64) {
        relay_codec_put_data_url(out, media);
    } else {
        relay_codec_put_string(out, media->data);
    }
}

relay_media_t relay_codec_event_media(const relay_stream_event_t *event)
{
    bool url = event->raw.len != 0;

    return (relay_media_t){.source = url ? RELAY_SOURCE_URL : RELAY_SOURCE_BASE64,
                           .data = url ? event->raw : event->text,
                           .media_type = event->type};
}

bool relay_codec_looks_like(relay_span_t media_type, relay_span_t data)
{
    /* the first bytes of each format, in base64; a slash may be escaped */
    static const struct {
        relay_span_t type;
        relay_span_t begins;
        relay_span_t or_begins;
    } signatures[] = {
        {RELAY_SPAN_INIT("image/png"), RELAY_SPAN_INIT("iVBORw0KGg"),
         RELAY_SPAN_INIT("iVBORw0KGg")},
        {RELAY_SPAN_INIT("image/jpeg"), RELAY_SPAN_INIT("/9j/"), RELAY_SPAN_INIT("\\/9j\\/")},
        {RELAY_SPAN_INIT("image/gif"), RELAY_SPAN_INIT("R0lGOD"), RELAY_SPAN_INIT("R0lGOD")},
        {RELAY_SPAN_INIT("image/webp"), RELAY_SPAN_INIT("UklGR"), RELAY_SPAN_INIT("UklGR")},
        {RELAY_SPAN_INIT("application/pdf"), RELAY_SPAN_INIT("JVBER"), RELAY_SPAN_INIT("JVBER")},
    };

    for (size_t i = 0; i < sizeof(signatures) / sizeof(signatures[0]); i++) {
        if (relay_span_eq(media_type, signatures[i].type)) {
            return relay_span_starts(data, signatures[i].begins) ||
                   relay_span_starts(data, signatures[i].or_begins);
        }
    }
    return true;
}

/* Slashes may be escaped. */
static bool is_address(relay_span_t url)
{
    static const relay_span_t schemes[] = {RELAY_SPAN_INIT("https:"), RELAY_SPAN_INIT("http:"),
                                           RELAY_SPAN_INIT("gs:"), RELAY_SPAN_INIT("s3:")};

    for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++) {
        if (url.len > schemes[i].len &&
            relay_span_case_eq(relay_span(url.base, schemes[i].len), schemes[i])) {
            return true;
        }
    }
    return false;
}

bool relay_codec_is_image(const relay_media_t *media)
{
    const relay_span_t prefix = RELAY_SPAN("image/");
    relay_span_t type = media->media_type;

    switch (media->source) {
    case RELAY_SOURCE_BASE64:
        return media->data.len != 0 && type.len > prefix.len &&
               relay_span_case_eq(relay_span(type.base, prefix.len), prefix) &&
               relay_codec_looks_like(type, media->data);
    case RELAY_SOURCE_URL:
        return is_address(media->data);
    default:
        return true;
    }
}

/* ---- base64 text --------------------------------------------------------- */

static int base64_value(uint8_t byte)
{
    if (byte >= 'A' && byte <= 'Z') {
        return byte - 'A';
    }
    if (byte >= 'a' && byte <= 'z') {
        return byte - 'a' + 26;
    }
    if (byte >= '0' && byte <= '9') {
        return byte - '0' + 52;
    }
    return byte == '+' ? 62 : byte == '/' ? 63 : -1;
}

relay_span_t relay_codec_base64_text(relay_translation_t *translation, relay_span_t data)
{
    relay_span_t text = relay_codec_plain(translation, data);
    relay_buf_t out = new_buf(translation, text.len / 4 * 3 + 3);
    uint32_t bits = 0;
    unsigned have = 0;

    for (size_t i = 0; i < text.len && text.base[i] != '='; i++) {
        int value = base64_value(text.base[i]);
        if (value < 0) {
            return relay_span(NULL, 0);
        }
        bits = bits << 6 | (uint32_t)value;
        have += 6;
        if (have >= 8) {
            have -= 8;
            relay_buf_put_byte(&out, (uint8_t)(bits >> have));
        }
    }
    return relay_buf_span(&out);
}
