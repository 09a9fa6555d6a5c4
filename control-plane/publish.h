/*
 * From the database to the workers: documents, head, relay-key records, all as
 * ngx_relay_module/STORE.md says. One thread does it; handlers only wake it.
 */

#ifndef RELAY_PUBLISH_H
#define RELAY_PUBLISH_H

#include "database.h"
#include "problem.h"
#include "secret.h"

struct relayd_s;
typedef struct publisher_s publisher_t;

publisher_t *publisher_start(struct relayd_s *relayd, char *error, size_t error_size);
void publisher_stop(publisher_t *publisher);

/*
 * In the transaction of a change: takes the next revision (a row lock orders
 * changes, so revisions are committed in order). Returns it, 0 on error.
 */
long long publish_stamp(session_t *session);
/* After the commit: publish now what the database has. */
void publisher_wake(publisher_t *publisher);
/* Until Redis holds a head of at least this revision; false after timeout_ms. */
bool publisher_wait_published(publisher_t *publisher, long long revision, unsigned timeout_ms);
/* Until every live worker serves it; false after timeout_ms, or when one refused (why says). */
bool publisher_wait_applied(publisher_t *publisher, long long revision, unsigned timeout_ms,
                            char *why, size_t why_size);

/* In the transaction of a change to one relay key: its record goes out after the commit. */
bool publish_relay_key(session_t *session, const char *relay_key_id, long long revision);

/*
 * In the transaction of a change, before the row is written: records of both
 * its digests that are older than revision are void from now on (`revocation`).
 * gone: the stored records are removed, too; publish_relay_key() does that for
 * a row that is revoked, and for a digest that it no longer has.
 */
bool publish_void_relay_key(session_t *session, const char *relay_key_id, long long revision,
                            bool gone);

/* [{node, worker, pid, revision, state, reason, at, …}]; NULL when Redis is away. */
json_t *publisher_nodes(publisher_t *publisher);
/* Whether Redis answers; for /readyz. */
bool publisher_ready(publisher_t *publisher);

#endif
