/*
 * An arena of malloc: blocks that are freed together. For programs, which have
 * no pool; each allocation is a block of its own, so that checkers of memory see
 * where it ends. Called by relayctl and by fuzz targets.
 *
 *     malloc_arena_t blocks = {NULL};
 *     relay_arena_t arena = malloc_arena(&blocks);
 *     ...
 *     malloc_arena_release(&blocks);
 */

#ifndef RELAY_MALLOC_ARENA_H
#define RELAY_MALLOC_ARENA_H

#include "arena.h"

#include <stddef.h>
#include <stdlib.h>

typedef struct malloc_block_s {
    struct malloc_block_s *next;
    max_align_t memory[];
} malloc_block_t;

typedef struct {
    malloc_block_t *blocks;
} malloc_arena_t;

static inline void *malloc_arena_allocate(void *owner, size_t size)
{
    malloc_arena_t *arena = owner;
    malloc_block_t *block =
        size <= SIZE_MAX - sizeof(malloc_block_t) ? calloc(1, sizeof(malloc_block_t) + size) : NULL;

    if (block == NULL) {
        return NULL;
    }
    block->next = arena->blocks;
    arena->blocks = block;
    return block->memory;
}

static inline relay_arena_t malloc_arena(malloc_arena_t *arena)
{
    return (relay_arena_t){malloc_arena_allocate, arena};
}

static inline void malloc_arena_release(malloc_arena_t *arena)
{
    while (arena->blocks != NULL) {
        malloc_block_t *next = arena->blocks->next;
        free(arena->blocks);
        arena->blocks = next;
    }
}

#endif
