/*
 * Edit distance over short names. Called where names are refused: settings,
 * members of documents, query parameters.
 */

#include "nearest.h"

#include <string.h>

enum { NAME_MAX_BYTES = 64 };

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Levenshtein's, one row at a time. Longer names are far from everything. */
static size_t distance(const char *a, const char *b)
{
    size_t row[NAME_MAX_BYTES + 1], a_len = strlen(a), b_len = strlen(b);

    if (a_len > NAME_MAX_BYTES || b_len > NAME_MAX_BYTES)
        return NAME_MAX_BYTES;

    for (size_t j = 0; j <= b_len; j++)
        row[j] = j;
    for (size_t i = 1; i <= a_len; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= b_len; j++) {
            size_t above = row[j];
            row[j] = least(least(above, row[j - 1]) + 1, diagonal + (a[i - 1] != b[j - 1]));
            diagonal = above;
        }
    }
    return row[b_len];
}

const char *nearest(const char *wanted, nearest_name_t name, const void *list)
{
    const char *best = NULL, *candidate;
    size_t best_distance = strlen(wanted) / 3 + 1;

    for (size_t i = 0; (candidate = name(list, i)) != NULL; i++) {
        size_t d = distance(wanted, candidate);
        if (d < best_distance || (d == best_distance && best == NULL)) {
            best = candidate;
            best_distance = d;
        }
    }
    return best;
}
