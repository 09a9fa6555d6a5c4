/* Copies into the caller's allocator; used wherever text must outlive its read buffer. */

#include "arena.h"

relay_span_t relay_arena_copy(const relay_arena_t *arena, relay_span_t text)
{
    uint8_t *copy = relay_arena_alloc(arena, text.len != 0 ? text.len : 1);

    if (copy == NULL) {
        return relay_span(NULL, 0);
    }
    if (text.len != 0) {
        memcpy(copy, text.base, text.len);
    }
    return relay_span(copy, text.len);
}
