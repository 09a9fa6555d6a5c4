/*
 * References to secrets that are kept elsewhere: `env:NAME`, `file:/PATH`,
 * `vault:MOUNT/PATH#FIELD`. Resolved ones are kept in locked memory, and read
 * again every settings.reference_refresh_s by the publisher's janitor;
 * secret_resolve() of secret.h asks here.
 */

#ifndef RELAY_REFERENCE_H
#define RELAY_REFERENCE_H

#include "secret.h"

/* As secret_resolve(), for who must not wait: what was read once is not read again, not even a
 * failure. */
bool reference_kept(const char *reference, secret_t *secret, char *why, size_t why_size);

/*
 * For the janitor alone: reads it again, whatever is kept. True if the value
 * became another one since the last call, be it by a call of secret_resolve();
 * *failed says whether it could not be read. A value that can no longer be read
 * stays in use, and the log says so: an outage of Vault must not take working
 * keys away.
 */
bool reference_refresh(const char *reference, bool *failed);

/* Gives up what nobody asked for in that time; 0: all. */
void references_forget(long long unused_for_s);

#endif
