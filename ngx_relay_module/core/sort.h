/*
 * Sorting without memory of its own (qsort of the C library may allocate).
 * Callers: the readers of configuration documents.
 */

#ifndef RELAY_SORT_H
#define RELAY_SORT_H

#include <stddef.h>

/* compare as for qsort. n log n in the worst case; not stable. */
void relay_sort(void *base, size_t count, size_t size, int (*compare)(const void *, const void *));

#endif
