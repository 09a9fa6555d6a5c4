/*
 * "Did you mean": the name of a list that is nearest to one that is in none.
 */

#ifndef RELAY_NEAREST_H
#define RELAY_NEAREST_H

#include <stddef.h>

/* Returns the i-th name to compare with, NULL after the last. */
typedef const char *(*nearest_name_t)(const void *list, size_t i);

/* NULL if none is near: more than about a third of its letters differ. */
const char *nearest(const char *wanted, nearest_name_t name, const void *list);

#endif
