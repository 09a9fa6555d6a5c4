/*
 * An arena that counts, can fail, and is freed as a whole; configurations built
 * from texts in it. For the tests of configuration, of routing, of records.
 */

#ifndef RELAY_TEST_CONFIG_CHECK_H
#define RELAY_TEST_CONFIG_CHECK_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "config_doc.h"

typedef struct check_block_s {
    struct check_block_s *next;
    size_t size;
    max_align_t memory[];
} check_block_t;

typedef struct {
    check_block_t *blocks;
    size_t allocations;
    size_t fail_at; /* the allocation, from 1, that fails; 0: none */
} check_arena_t;

__attribute__((unused)) static void *check_allocate(void *owner, size_t size)
{
    check_arena_t *arena = owner;
    check_block_t *block;

    if (++arena->allocations == arena->fail_at) {
        return NULL;
    }
    block = calloc(1, sizeof(*block) + size);
    assert_non_null(block);
    block->size = size;
    block->next = arena->blocks;
    arena->blocks = block;
    return block->memory;
}

__attribute__((unused)) static void check_release(check_arena_t *arena)
{
    while (arena->blocks != NULL) {
        check_block_t *next = arena->blocks->next;
        free(arena->blocks);
        arena->blocks = next;
    }
    arena->allocations = 0;
}

__attribute__((unused)) static relay_span_t check_text(const char *string)
{
    return relay_span(string, strlen(string));
}

__attribute__((unused)) static void check_span(relay_span_t span, const char *expected)
{
    if (!relay_span_eq(span, relay_span(expected, strlen(expected)))) {
        print_error("got  \"%.*s\"\nwant \"%s\"\n", (int)span.len, (const char *)span.base,
                    expected);
        fail();
    }
}

/* Builds one document; names it "relay.json". */
__attribute__((unused)) static const relay_config_t *
check_try(check_arena_t *arena, const char *text, relay_config_fault_t *fault)
{
    relay_arena_t memory = {check_allocate, arena};
    relay_document_t document = {RELAY_SPAN("relay.json"), check_text(text), false};

    memset(fault, 0x5a, sizeof(*fault));
    return relay_config_build(&memory, &document, 1, fault);
}

/* The same for a document that has to be good; every provider key is active. */
__attribute__((unused)) static const relay_config_t *check_build(check_arena_t *arena,
                                                                 const char *text)
{
    relay_config_fault_t fault;
    const relay_config_t *config = check_try(arena, text, &fault);

    if (config == NULL) {
        print_error("%zu:%zu: %s: %s\n", fault.line, fault.column, fault.path, fault.message);
        fail();
    }
    for (size_t i = 0; i < config->nprovider_keys; i++) {
        config->provider_keys[i].active = true;
    }
    return config;
}

enum { CHECK_DOCUMENT_MAX = 16384 };

/*
 * Copies a document that is written with ' for ", and perhaps with ~ in front of
 * the place of a fault. Returns the offset of the mark, or the length of the document.
 */
__attribute__((unused)) static size_t check_prepare(const char *written,
                                                    char document[CHECK_DOCUMENT_MAX])
{
    size_t length = 0, mark = SIZE_MAX;

    for (; *written != '\0'; written++) {
        assert_true(length + 1 < CHECK_DOCUMENT_MAX);
        if (*written == '~') {
            mark = length;
        } else {
            document[length++] = *written == '\'' ? '"' : *written;
        }
    }
    document[length] = '\0';
    return mark != SIZE_MAX ? mark : length;
}

__attribute__((unused)) static const relay_config_t *check_build_two(check_arena_t *arena,
                                                                     const char *first,
                                                                     const char *second,
                                                                     relay_config_fault_t *fault)
{
    static char one[CHECK_DOCUMENT_MAX], two[CHECK_DOCUMENT_MAX];
    relay_arena_t memory = {check_allocate, arena};
    relay_document_t documents[2] = {{RELAY_SPAN("one.json"), {0}, false},
                                     {RELAY_SPAN("two.json"), {0}, false}};

    check_prepare(first, one);
    check_prepare(second, two);
    documents[0].text = check_text(one);
    documents[1].text = check_text(two);
    return relay_config_build(&memory, documents, 2, fault);
}

/* before, then part %zu times (with its number), then after */
__attribute__((unused)) static char *check_repeat(const char *before, const char *part,
                                                  size_t count, const char *after)
{
    size_t room = strlen(before) + (strlen(part) + 70) * count + strlen(after) + 1;
    char *text = malloc(room), *at = text;

    assert_non_null(text);
    at += snprintf(at, room, "%s", before);
    for (size_t i = 0; i < count; i++) {
        at += snprintf(at, room - (size_t)(at - text), "%s", i != 0 ? ", " : "");
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        at += snprintf(at, room - (size_t)(at - text), part, i);
#pragma GCC diagnostic pop
    }
    snprintf(at, room - (size_t)(at - text), "%s", after);
    for (at = text; *at != '\0'; at++) {
        *at = *at == '\'' ? '"' : *at;
    }
    return text;
}

#endif
