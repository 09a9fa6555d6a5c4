/*
 * Walking a tape (json_tape.h): a document whose values are reached by node, the
 * index of a token. For readers that need a value's members without scanning its
 * text again. Callers: core/wire_*_codec.c.
 */

#ifndef RELAY_JSON_TREE_H
#define RELAY_JSON_TREE_H

#include "json_tape.h"

typedef struct {
    relay_span_t text;
    const relay_json_token_t *tokens;
    size_t count;
} relay_json_tree_t;

typedef uint32_t relay_json_node_t;

/* No node: what a missing member is. Every function below takes it. */
#define RELAY_JSON_NOWHERE UINT32_MAX

static inline relay_json_type_t relay_json_type(const relay_json_tree_t *tree,
                                                relay_json_node_t node)
{
    return node == RELAY_JSON_NOWHERE ? RELAY_JSON_ABSENT
                                      : (relay_json_type_t)tree->tokens[node].type;
}

static inline relay_json_value_t relay_json_value(const relay_json_tree_t *tree,
                                                  relay_json_node_t node)
{
    return node == RELAY_JSON_NOWHERE ? (relay_json_value_t){RELAY_JSON_ABSENT, {NULL, 0}}
                                      : relay_tape_value(tree->text, &tree->tokens[node]);
}

/* The content of a string as written; empty for every other type. */
relay_span_t relay_json_content(const relay_json_tree_t *tree, relay_json_node_t node);

/* True if node is a string that reads `plain`, however it is spelt. */
bool relay_json_reads(const relay_json_tree_t *tree, relay_json_node_t node, relay_span_t plain);

/*
 * Children: elements of an array, keys of an object (their value is node + 1).
 *
 *     for (node = relay_json_first(tree, array); node != RELAY_JSON_NOWHERE;
 *          node = relay_json_next(tree, array, node))
 */
relay_json_node_t relay_json_first(const relay_json_tree_t *tree, relay_json_node_t container);
relay_json_node_t relay_json_next(const relay_json_tree_t *tree, relay_json_node_t container,
                                  relay_json_node_t child);

/*
 * nodes[i] becomes the value of the member called keys[i] (the last one if it
 * occurs twice), or NOWHERE: all of them if node is no object.
 */
void relay_json_pick(const relay_json_tree_t *tree, relay_json_node_t node,
                     const relay_span_t *keys, size_t nkeys, relay_json_node_t *nodes);

/* Index of the key in keys, or nkeys. */
size_t relay_json_key(const relay_json_tree_t *tree, relay_json_node_t key,
                      const relay_span_t *keys, size_t nkeys);

/* Decodes the content of a string, which need not have quotes around it. */
void relay_json_decode_content(relay_span_t content, relay_buf_t *out);

#endif
