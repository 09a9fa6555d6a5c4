/*
 * What chunks of Chat Completions have beside their text: citations and images.
 * Called by wire_openai_chat_codec_reader.c.
 */

#include "wire_openai_chat_codec.h"
#include "wire_support.h"

static relay_json_value_t member(relay_json_value_t object, relay_span_t key)
{
    relay_json_value_t value = {RELAY_JSON_ABSENT, {NULL, 0}};

    if (object.type == RELAY_JSON_OBJECT) {
        relay_json_members(object.text, &key, 1, &value);
    }
    return value;
}

bool relay_chat_read_annotation(relay_json_value_t entry, relay_citation_t *citation)
{
    enum { TITLE, URL, START, END, KEYS };
    static const relay_span_t keys[KEYS] = {RELAY_SPAN_INIT("title"), RELAY_SPAN_INIT("url"),
                                            RELAY_SPAN_INIT("start_index"),
                                            RELAY_SPAN_INIT("end_index")};
    relay_json_value_t object = member(entry, RELAY_SPAN("url_citation")), values[KEYS];

    if (object.type != RELAY_JSON_OBJECT || !relay_json_members(object.text, keys, KEYS, values)) {
        return false;
    }
    *citation = (relay_citation_t){.raw = entry.text,
                                   .url = relay_wire_inner(values[URL]),
                                   .title = relay_wire_inner(values[TITLE]),
                                   .from = values[START],
                                   .until = values[END]};
    return true;
}

bool relay_chat_read_image(relay_json_value_t entry, relay_stream_event_t *event)
{
    relay_span_t head = RELAY_SPAN("data:"), mark = RELAY_SPAN(";base64,");
    relay_json_value_t object = member(entry, RELAY_SPAN("image_url"));
    relay_span_t url = relay_wire_inner(member(object, RELAY_SPAN("url")));
    size_t at = head.len;

    *event = (relay_stream_event_t){.block_kind = RELAY_BLOCK_IMAGE};
    if (!relay_span_starts(url, head)) {
        event->raw = url;
        return url.len != 0;
    }
    while (at < url.len && url.base[at] != ';') {
        at++;
    }
    event->type = relay_span(url.base + head.len, at - head.len);
    event->text = relay_span_from(url, at);
    if (!relay_span_starts(event->text, mark)) {
        return false;
    }
    event->text = relay_span_from(event->text, mark.len);
    return event->text.len != 0;
}
