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

/*
 * The same for a digest by itself, 64 hexadecimal digits: its records that are
 * older than revision are void until expires_at (RFC 3339; NULL: for good), and
 * the store's is brought into line with the row, or removed if no row has it.
 */
bool publish_revocation(session_t *session, const char *workspace_id, const char *digest,
                        long long revision, const char *expires_at);

/*
 * What the publisher knows: {"revision": what Redis holds, 0: unknown,
 * "fault": why the last set was not published or null, "store": why Redis
 * cannot be used or null, "database": the same, "inactive": [{"workspace",
 * "kind", "name", "reason"}]}: things that are left out of what was published.
 * NULL: no memory.
 */
json_t *publisher_status(publisher_t *publisher);

/* [{node, worker, pid, revision, state, reason, at, …}]; NULL when Redis is away. */
json_t *publisher_nodes(publisher_t *publisher);
/* Whether Redis answers; for /readyz. A set that is not published is no reason to be taken
 * out of service: it is mended through the admin API. publisher_status() tells of it. */
bool publisher_ready(publisher_t *publisher);

#endif
