/*
 * Names in two spellings, and lists that may be one value: how Gemini's bodies are
 * read. Called by the other parts of the codec.
 */

#include "wire_gemini_codec.h"

/* ---- names --------------------------------------------------------------- */

/* "inline_data" reads "inlineData"; so does "inlineData". */
static bool same_name(relay_span_t text, relay_span_t camel)
{
    size_t at = 0;

    for (size_t i = 0; i < camel.len; i++) {
        uint8_t wanted = camel.base[i];
        if (at < text.len && text.base[at] == '_' && wanted >= 'A' && wanted <= 'Z') {
            wanted = (uint8_t)(wanted - 'A' + 'a');
            at++;
        }
        if (at >= text.len || text.base[at++] != wanted) {
            return false;
        }
    }
    return at == text.len;
}

size_t relay_gemini_key(const relay_json_tree_t *tree, relay_json_node_t key,
                        const relay_span_t *keys, size_t nkeys)
{
    relay_span_t text = relay_json_content(tree, key);
    size_t i = relay_json_key(tree, key, keys, nkeys);

    if (i < nkeys) {
        return i;
    }
    for (i = 0; i < nkeys && !same_name(text, keys[i]);) {
        i++;
    }
    return i;
}

void relay_gemini_pick(const relay_json_tree_t *tree, relay_json_node_t node,
                       const relay_span_t *keys, size_t nkeys, relay_json_node_t *nodes)
{
    relay_json_node_t key;

    for (size_t i = 0; i < nkeys; i++) {
        nodes[i] = RELAY_JSON_NOWHERE;
    }
    if (relay_json_type(tree, node) != RELAY_JSON_OBJECT) {
        return;
    }
    for (key = relay_json_first(tree, node); key != RELAY_JSON_NOWHERE;
         key = relay_json_next(tree, node, key)) {
        size_t i = relay_gemini_key(tree, key, keys, nkeys);
        if (i < nkeys) {
            nodes[i] = key + 1;
        }
    }
}

relay_span_t relay_gemini_spelt(const relay_json_tree_t *tree, relay_json_node_t node)
{
    return relay_json_content(tree, node - 1);
}

relay_json_value_t relay_gemini_given(const relay_json_tree_t *tree, relay_json_node_t node)
{
    return relay_json_type(tree, node) == RELAY_JSON_NULL
               ? (relay_json_value_t){RELAY_JSON_ABSENT, {NULL, 0}}
               : relay_json_value(tree, node);
}

/* ---- lists --------------------------------------------------------------- */

relay_json_node_t relay_gemini_first(const relay_json_tree_t *tree, relay_json_node_t list)
{
    switch (relay_json_type(tree, list)) {
    case RELAY_JSON_ARRAY:
        return relay_json_first(tree, list);
    case RELAY_JSON_NULL:
        return RELAY_JSON_NOWHERE;
    default:
        return list;
    }
}

int relay_gemini_step(const relay_json_tree_t *tree, relay_json_node_t list)
{
    return relay_json_type(tree, list) == RELAY_JSON_ARRAY ? 1 : 0;
}

relay_json_node_t relay_gemini_next(const relay_json_tree_t *tree, relay_json_node_t list,
                                    relay_json_node_t element)
{
    return element == list ? RELAY_JSON_NOWHERE : relay_json_next(tree, list, element);
}

/* ---- what nobody maps ---------------------------------------------------- */

static relay_span_t join(relay_gemini_reading_t *reading, relay_span_t prefix, relay_span_t name)
{
    size_t size = prefix.len + 1 + name.len;
    uint8_t *bytes;
    relay_buf_t text;

    if (prefix.len == 0) {
        return name;
    }
    bytes = relay_codec_new(reading->translation, size);
    text = relay_buf(bytes, bytes != NULL ? size : 0);
    relay_buf_put(&text, prefix);
    RELAY_PUT(&text, ".");
    relay_buf_put(&text, name);
    return relay_buf_span(&text);
}

bool relay_gemini_extras(relay_gemini_reading_t *reading, relay_json_node_t object,
                         const relay_span_t *keys, size_t nkeys, const relay_span_t *essentials,
                         size_t nessentials, relay_span_t prefix, relay_member_t **list)
{
    const relay_json_tree_t *tree = reading->tree;
    relay_json_node_t key;

    while (*list != NULL) {
        list = &(*list)->next;
    }
    if (relay_json_type(tree, object) != RELAY_JSON_OBJECT) {
        return true;
    }
    for (key = relay_json_first(tree, object); key != RELAY_JSON_NOWHERE;
         key = relay_json_next(tree, object, key)) {
        if (relay_gemini_key(tree, key, keys, nkeys) < nkeys ||
            relay_json_type(tree, key + 1) == RELAY_JSON_NULL) {
            continue;
        }
        *list = relay_codec_new(reading->translation, sizeof(**list));
        if (*list == NULL) {
            return false;
        }
        (*list)->name = join(reading, prefix, relay_json_content(tree, key));
        (*list)->value = relay_json_value(tree, key + 1);
        (*list)->essential = relay_gemini_key(tree, key, essentials, nessentials) < nessentials;
        list = &(*list)->next;
    }
    return true;
}
