/*
 * The publisher's inside, shared by publish*.c:
 *
 *     publish.c          the thread, and what handlers ask
 *     publish_pass.c     one pass: compare, build, sign, push
 *     publish_head.c     the signed head
 *     publish_key.c      relay-key records and their outbox
 *     publish_janitor.c  a second thread for what takes long: references,
 *                        access tokens, expired rows
 */

#ifndef RELAY_PUBLISHER_H
#define RELAY_PUBLISHER_H

#include <pthread.h>
#include <stdatomic.h>

#include "document.h"
#include "publish.h"
#include "redis_store.h"
#include "signer.h"

enum { PUBLISH_WHY_MAX = 1200 };

struct publisher_s {
    struct relayd_s *relayd;
    pthread_t thread, janitor;
    atomic_bool stopping;
    atomic_bool learning; /* the next pass builds what another relayd has published */
    int wake;             /* eventfd */
    int janitor_wake;
    signer_t *signer;

    /* of the thread alone */
    session_t *session;
    redis_store_t *store;
    document_source_t source;
    bool compared;         /* what Redis had when relayd started is known to be what it should be */
    long long outbox_gone; /* rows that left the outbox since it was last vacuumed */
    long long failed_revision; /* does not build: not tried again; 0: none */
    long long known_refused;   /* highest revision whose refusal by a node is on record */

    /* for handlers, too */
    pthread_mutex_t lock;
    long long published; /* the revision that this process saw in Redis; 0: none */
    long long built;     /* the one whose documents are as it builds them itself; 0: none */
    char fault[PUBLISH_WHY_MAX];
    char store_fault[PUBLISH_WHY_MAX];
    char database_fault[PUBLISH_WHY_MAX];
    json_t *inactive;

    pthread_mutex_t watch_lock;
    redis_store_t *watch; /* the handlers' connection */
};

/* ---- publish.c ------------------------------------------------------------ */

/* A connection to Redis, or NULL with store_fault set. */
redis_store_t *publisher_connect(publisher_t *publisher);
/* Sets one of the three faults, and logs it if it is a new one; "": all is well. */
void publisher_set_fault(publisher_t *publisher, char fault[PUBLISH_WHY_MAX], const char *what,
                         const char *why);

/* ---- publish_pass.c ------------------------------------------------------- */

typedef enum {
    PASS_DONE,  /* Redis has what the database has, or nobody can change that */
    PASS_BUSY,  /* another relayd is at it */
    PASS_FAILED /* the database or Redis is away */
} pass_t;

/* One pass, over the publisher's session and store, which it opens as needed. */
pass_t publish_pass(publisher_t *publisher);
/* Gives up session and store. */
void publish_disconnect(publisher_t *publisher);

/* ---- publish_head.c ------------------------------------------------------- */

/* What Redis has for a head; head points into text and blocks. */
typedef struct {
    char *text;
    bool ours; /* signed by us, for this deployment */
    relay_head_t head;
    struct malloc_block_s *blocks;
} stored_head_t;

/* False: Redis is broken. A head that is missing, forged or another's is not `ours`. */
bool stored_head_read(publisher_t *publisher, const char *deployment, stored_head_t *stored);
void stored_head_free(stored_head_t *stored);
/* Whether it lists these documents and no others. */
bool stored_head_lists(const stored_head_t *stored, const documents_t *documents);
/* Whether all documents that it lists are in Redis. False: broken. */
bool stored_head_complete(publisher_t *publisher, const stored_head_t *stored, bool *complete);

/* Documents that Redis lacks, then the head. whole: as if Redis had none. */
bool publish_documents(publisher_t *publisher, const char *deployment, long long revision,
                       const documents_t *documents, const stored_head_t *stored, bool whole);

/* ---- publish_key.c -------------------------------------------------------- */

/* In a transaction: what the outbox has goes to Redis and leaves the outbox. */
bool publish_outbox(publisher_t *publisher, session_t *session);
/* Every relay key that there is. */
bool publish_all_keys(publisher_t *publisher, session_t *session);

/* ---- publish_janitor.c ---------------------------------------------------- */

void *publish_janitor(void *publisher);

#endif
