/*
 * Token counts of one answer, in classes that do not overlap where prices
 * differ. Every wire format maps its own counters onto these.
 */

#ifndef RELAY_USAGE_H
#define RELAY_USAGE_H

#include <stdbool.h>
#include <stdint.h>

/* How fast, and at what price, an answer was made. */
typedef enum {
    RELAY_TIER_UNKNOWN = 0,
    RELAY_TIER_STANDARD,
    RELAY_TIER_FLEX,     /* later, for less */
    RELAY_TIER_PRIORITY, /* sooner, for more */
    RELAY_TIER_RESERVED, /* by capacity that is paid for already */
    RELAY_TIER_BATCH
} relay_tier_t;

typedef struct {
    bool known;                  /* any counter has been reported */
    uint64_t input_tokens;       /* the whole prompt: fresh + read from cache + written to cache */
    uint64_t cached_tokens;      /* of input: read from the prompt cache */
    uint64_t cache_write_tokens; /* of input: written to it, all lifetimes */
    uint64_t cache_write_1h_tokens; /* of cache_write: with the one-hour lifetime */
    bool lifetimes_known;           /* how much of cache_write is of either lifetime was told */
    relay_tier_t tier;
    uint64_t output_tokens;    /* everything generated, reasoning included */
    uint64_t reasoning_tokens; /* of output */
} relay_usage_t;

#endif
