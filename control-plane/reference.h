/*
 * References to secrets that are kept elsewhere: `env:NAME`, `file:/PATH`,
 * `vault:MOUNT/PATH#FIELD` (KV version 2). Resolved ones are kept in locked
 * memory, and read again every settings.reference_refresh_s by the publisher's
 * janitor.
 */

#ifndef RELAY_REFERENCE_H
#define RELAY_REFERENCE_H

#include "secret.h"

/* What the last attempt to read it came to. */
typedef enum {
    REFERENCE_READ,  /* there is a value, and it is what stands there */
    REFERENCE_STALE, /* it cannot be read, and its last value is in use */
    REFERENCE_AWAY,  /* it cannot be read, and there is no value */
    REFERENCE_GONE   /* what it names has been removed, and so is its value */
} reference_state_t;

/*
 * The value, for who can wait: a failure is tried again after some seconds.
 * secret is {NULL, 0} without one. why: words for people, but for READ.
 */
reference_state_t reference_resolve(const char *reference, secret_t *secret, char *why,
                                    size_t why_size);
/* As that, for who must not wait: what was read once is not read again, not even a failure. */
reference_state_t reference_kept(const char *reference, secret_t *secret, char *why,
                                 size_t why_size);

/* False, with a fault at pointer: not a reference that can be resolved here. */
bool reference_ok(const char *reference, const char *pointer, problem_t *problem);

/*
 * A value that an earlier process read (last_value.h) counts until the
 * reference is read, for references that lack one: who asks without waiting
 * gets it before the first attempt. Not for one that is gone.
 */
bool reference_lacks_value(const char *reference);
void reference_adopt(const char *reference, const secret_t *secret);

/*
 * For the janitor alone: reads it again, whatever is kept. True if the value
 * became another one, or none, since the last call, be it by somebody else's. A
 * value that can no longer be read stays in use, and the log says so: an outage
 * of Vault must not take working keys away. What is removed for some seconds is
 * gone.
 */
bool reference_refresh(const char *reference, reference_state_t *state, char *why, size_t why_size);

/* Gives up what nobody asked for in that time; 0: all. */
void references_forget(long long unused_for_s);

#endif
