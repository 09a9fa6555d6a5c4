/*
 * Walking a tape: see json_tree.h. Callers: core/wire_*_codec.c.
 */

#include "json_tree.h"
#include "json_lex.h"

relay_span_t relay_json_content(const relay_json_tree_t *tree, relay_json_node_t node)
{
    const relay_json_token_t *token;

    if (relay_json_type(tree, node) != RELAY_JSON_STRING) {
        return relay_span(NULL, 0);
    }
    token = &tree->tokens[node];
    return relay_span(tree->text.base + token->offset + 1, token->length - 2);
}

static bool has_escape(relay_span_t text)
{
    return text.len != 0 && memchr(text.base, '\\', text.len) != NULL;
}

bool relay_json_reads(const relay_json_tree_t *tree, relay_json_node_t node, relay_span_t plain)
{
    relay_span_t text = relay_json_content(tree, node);

    if (relay_json_type(tree, node) != RELAY_JSON_STRING) {
        return false;
    }
    return relay_span_eq(text, plain) ||
           (has_escape(text) && relay_json_spells(relay_json_value(tree, node).text, plain));
}

relay_json_node_t relay_json_first(const relay_json_tree_t *tree, relay_json_node_t container)
{
    relay_json_type_t type = relay_json_type(tree, container);

    if ((type != RELAY_JSON_ARRAY && type != RELAY_JSON_OBJECT) ||
        tree->tokens[container].next == container + 1) {
        return RELAY_JSON_NOWHERE;
    }
    return container + 1;
}

relay_json_node_t relay_json_next(const relay_json_tree_t *tree, relay_json_node_t container,
                                  relay_json_node_t child)
{
    bool object = relay_json_type(tree, container) == RELAY_JSON_OBJECT;
    relay_json_node_t next = tree->tokens[object ? child + 1 : child].next;

    return next < tree->tokens[container].next ? next : RELAY_JSON_NOWHERE;
}

size_t relay_json_key(const relay_json_tree_t *tree, relay_json_node_t key,
                      const relay_span_t *keys, size_t nkeys)
{
    relay_span_t text = relay_json_content(tree, key);

    /* most names differ in length or in their first letter: no call for those */
    for (size_t i = 0; i < nkeys; i++) {
        if (keys[i].len == text.len && keys[i].base[0] == text.base[0] &&
            memcmp(keys[i].base, text.base, text.len) == 0) {
            return i;
        }
    }
    for (size_t i = 0; has_escape(text) && i < nkeys; i++) {
        if (relay_json_reads(tree, key, keys[i])) {
            return i;
        }
    }
    return nkeys;
}

void relay_json_pick(const relay_json_tree_t *tree, relay_json_node_t node,
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
        size_t i = relay_json_key(tree, key, keys, nkeys);
        if (i < nkeys) {
            nodes[i] = key + 1;
        }
    }
}

void relay_json_decode_content(relay_span_t content, relay_buf_t *out)
{
    const uint8_t *at = content.base, *end = content.len != 0 ? at + content.len : at;

    while (at < end) {
        const uint8_t *escape = memchr(at, '\\', (size_t)(end - at));
        uint8_t decoded[4];
        size_t plain = (size_t)((escape != NULL ? escape : end) - at);

        relay_buf_put(out, relay_span(at, plain));
        at += plain;
        if (at < end) {
            size_t length = relay_json_decode_step(&at, end, decoded);
            relay_buf_put(out, relay_span(decoded, length));
        }
    }
}
