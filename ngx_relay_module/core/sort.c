/* Heapsort: see sort.h. */

#include "sort.h"

#include <string.h>

typedef struct {
    unsigned char *base;
    size_t size;
    int (*compare)(const void *, const void *);
} heap_t;

static unsigned char *item(const heap_t *heap, size_t index)
{
    return heap->base + index * heap->size;
}

static void swap(const heap_t *heap, size_t a, size_t b)
{
    unsigned char kept[64];
    unsigned char *x = item(heap, a), *y = item(heap, b);

    for (size_t left = heap->size; left != 0;) {
        size_t part = left < sizeof(kept) ? left : sizeof(kept);
        memcpy(kept, x, part);
        memcpy(x, y, part);
        memcpy(y, kept, part);
        x += part;
        y += part;
        left -= part;
    }
}

/* Lets items[root] sink to its place among items[root..count). */
static void sink(const heap_t *heap, size_t root, size_t count)
{
    for (size_t child = 2 * root + 1; child < count; child = 2 * root + 1) {
        if (child + 1 < count && heap->compare(item(heap, child), item(heap, child + 1)) < 0) {
            child++;
        }
        if (heap->compare(item(heap, root), item(heap, child)) >= 0) {
            return;
        }
        swap(heap, root, child);
        root = child;
    }
}

void relay_sort(void *base, size_t count, size_t size, int (*compare)(const void *, const void *))
{
    heap_t heap = {base, size, compare};

    for (size_t root = count / 2; root-- > 0;) {
        sink(&heap, root, count);
    }
    for (size_t last = count; last-- > 1;) {
        swap(&heap, 0, last);
        sink(&heap, 0, last);
    }
}
