/*
 * Where core gets memory from: the caller's allocator. nginx hands in a pool,
 * tests hand in malloc, so core owns nothing and frees nothing.
 */

#ifndef RELAY_ARENA_H
#define RELAY_ARENA_H

#include "span.h"

typedef struct {
    /* Returns size zeroed bytes aligned for any type, or NULL. */
    void *(*allocate)(void *owner, size_t size);
    void *owner;
} relay_arena_t;

static inline void *relay_arena_alloc(const relay_arena_t *arena, size_t size)
{
    return arena->allocate(arena->owner, size);
}

/* A copy of text that lives as long as the arena; base is NULL on failure
 * (an empty text is copied as one readable byte, so NULL always means failure). */
relay_span_t relay_arena_copy(const relay_arena_t *arena, relay_span_t text);

/*
 * One resizable block, for state machines that must keep a bounded tail of
 * their input between reads (sse, for one). resize follows realloc: NULL block
 * allocates, size 0 frees and returns NULL, failure returns NULL and leaves
 * the block as it was.
 */
typedef struct {
    void *(*resize)(void *owner, void *block, size_t size);
    void *owner;
} relay_memory_t;

#endif
