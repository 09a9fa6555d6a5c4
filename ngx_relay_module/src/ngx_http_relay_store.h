
/*
 * The store: a configuration that is published while nginx runs (STORE.md). A
 * worker looks at the head, fetches what it does not have, checks all of it,
 * and serves it from then on; what it cannot take it refuses whole.
 *
 *   ngx_http_relay_store_conf.c  directives, key files
 *   ngx_http_relay_store.c       one worker and the store
 *   ngx_http_relay_update.c      from a head to what is served
 *   ngx_http_relay_set.c         a head and its documents: read, check, build
 *   ngx_http_relay_disk.c        the last good set in relay_store_state
 *   ngx_http_relay_report.c      what a worker says of itself
 *   ngx_http_relay_task.c        work that must not hold up the event loop
 */


#ifndef _NGX_HTTP_RELAY_STORE_H_INCLUDED_
#define _NGX_HTTP_RELAY_STORE_H_INCLUDED_


#include "ngx_http_relay.h"
#include "ngx_http_relay_keys.h"
#include "ngx_http_relay_redis.h"

#include "config_head.h"
#include "key_ring.h"

#if (NGX_THREADS)
#include <ngx_thread_pool.h>
#endif


#define NGX_HTTP_RELAY_REASON_MAX   800

/* the signature's line and the payload */
#define NGX_HTTP_RELAY_HEAD_MAX     (RELAY_HEAD_MAX + 256)


/* ---- ngx_http_relay_task.c ---------------------------------------------- */

/*
 * work runs in a thread, done afterwards on the event loop; where there are no
 * threads, work runs in a turn of the loop. Neither is called from here.
 */

typedef struct {
    void                           (*work)(void *data);
    void                           (*done)(void *data);
    void                            *data;

#if (NGX_THREADS)
    ngx_thread_task_t                thread;
#endif
    ngx_event_t                      event;
} ngx_http_relay_task_t;


void ngx_http_relay_task_post(ngx_http_relay_store_t *store,
    ngx_http_relay_task_t *task);


/* ---- ngx_http_relay_set.c ----------------------------------------------- */

/* a document's bytes, shared by the sets that list it */

typedef struct {
    ngx_uint_t                       references;
    relay_digest_t                   digest;
    ngx_str_t                        text;
    unsigned                         checked:1;   /* it has that digest */
    unsigned                         wrong:1;     /* it has not */
} ngx_http_relay_blob_t;


typedef struct {
    ngx_uint_t                       references;
    ngx_pool_t                      *pool;
    ngx_str_t                        text;        /* the head as published */
    relay_head_t                     head;
    ngx_http_relay_blob_t          **blobs;       /* by document; NULL: missing */

    ngx_http_relay_snapshot_t       *snapshot;
    ngx_queue_t                      tls;         /* profiles it brings along */
    ngx_http_relay_store_t          *store;

    unsigned                         passing:1;   /* refused for what may pass:
                                                     to be tried again */
    u_char                           reason[NGX_HTTP_RELAY_REASON_MAX];
} ngx_http_relay_set_t;


/*
 * A set of a head's bytes: signature, form, deployment and revision are good.
 * NULL: no memory. Else look at set->reason, which is empty if it is accepted;
 * known: the deployment that must be, or empty; above: the revision that it
 * must exceed.
 */
ngx_http_relay_set_t *ngx_http_relay_set_create(ngx_http_relay_store_t *store,
    relay_span_t text, ngx_str_t *known, uint64_t above);
void ngx_http_relay_set_release(ngx_http_relay_set_t *set);

/* takes over the documents that both list */
void ngx_http_relay_set_share(ngx_http_relay_set_t *set,
    ngx_http_relay_set_t *other);
/* of one deployment, with the same documents: nothing is to be built */
ngx_uint_t ngx_http_relay_set_same(ngx_http_relay_set_t *set,
    ngx_http_relay_set_t *other);
ngx_http_relay_blob_t *ngx_http_relay_blob_create(const relay_digest_t *digest,
    relay_span_t text);

/*
 * Any thread: digests, then set->snapshot with its secrets; set->reason says
 * what is wrong.
 */
void ngx_http_relay_set_build(void *set);
/* event loop: whether TLS profiles are missing that set_profiles would make */
ngx_uint_t ngx_http_relay_set_needs_profiles(ngx_http_relay_set_t *set);
/* any thread */
void ngx_http_relay_set_profiles(void *set);
/* event loop: its profiles are known from now on */
void ngx_http_relay_set_add_profiles(ngx_http_relay_set_t *set);

void ngx_http_relay_set_refuse(ngx_http_relay_set_t *set, const char *fmt, ...);
/* 64 lower-case hexadecimal digits */
u_char *ngx_http_relay_digest_hex(u_char *dst, const relay_digest_t *digest);


/* ---- ngx_http_relay_disk.c ---------------------------------------------- */

/* what is kept, not built yet: look at set->reason; NULL: there is nothing */
ngx_http_relay_set_t *ngx_http_relay_disk_load(ngx_http_relay_store_t *store);
/* any thread: keeps the set unless a newer one is there; data: a set */
void ngx_http_relay_disk_save(void *data);


/* ---- the configuration -------------------------------------------------- */

struct ngx_http_relay_store_conf_s {
    ngx_http_relay_redis_conf_t      redis;
    ngx_str_t                        prefix;
    ngx_str_t                        user;        /* over the one of the url */
    ngx_str_t                        node;
    ngx_str_t                        verify_file;
    ngx_str_t                        seal_file;
    ngx_path_t                      *state;       /* NULL: nothing is kept */
    relay_key_ring_t                *signers;     /* public halves */
    relay_key_ring_t                *dataplane;   /* in pages of its own */
#if (NGX_THREADS)
    ngx_thread_pool_t               *threads;
#endif
};


/* directives; those for texts have the offset in ngx_command_t.post */
char *ngx_http_relay_store_directive(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_relay_store_password(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_relay_store_text(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_relay_store_file(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_relay_store_state(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);


/* ---- one worker's view -------------------------------------------------- */

struct ngx_http_relay_store_s {
    ngx_http_relay_main_conf_t      *rmcf;
    ngx_http_relay_store_conf_t     *conf;
    ngx_cycle_t                     *cycle;
    ngx_http_relay_snapshot_t       *base;        /* of files alone */
    ngx_http_relay_redis_t          *redis;
    ngx_http_relay_redis_t          *subscriber;
    ngx_http_relay_keys_t           *keys;
    ngx_http_relay_opener_t          opener;      /* for attempts */

    ngx_http_relay_set_t            *served;      /* NULL: none yet */
    ngx_http_relay_set_t            *next;        /* on its way */
    ngx_http_relay_set_t            *refused;     /* the last one */
    ngx_str_t                        deployment;  /* empty: not known yet */
    uint64_t                         above;       /* what a revision must be */
    size_t                           fetching;    /* index of a document */
    ngx_uint_t                       outstanding; /* requests for documents */

    ngx_http_relay_task_t            task;        /* on next */
    ngx_http_relay_task_t            save;
    ngx_http_relay_set_t            *saving;
    ngx_event_t                      poll;
    ngx_event_t                      report;
    ngx_event_t                      step;        /* taking, turn by turn */

    unsigned                         whole:1;     /* its head is no step back:
                                                     a key it lacks is unknown */
    unsigned                         unheard:1;   /* changes may be missed */
    unsigned                         asking:1;    /* for the head */
    unsigned                         again:1;     /* and once more after */
};


/* ---- ngx_http_relay_store.c --------------------------------------------- */

/* looks at the head, now or when it can be done */
void ngx_http_relay_store_ask(ngx_http_relay_store_t *store);
/* its head is no step back: what it does not have is not there */
void ngx_http_relay_store_is_whole(ngx_http_relay_store_t *store);


/* ---- ngx_http_relay_update.c -------------------------------------------- */

void ngx_http_relay_update_init(ngx_http_relay_store_t *store);
/* the store has this head */
void ngx_http_relay_update(ngx_http_relay_store_t *store, relay_span_t text);
/* the deployment stays what it is, revisions only rise */
void ngx_http_relay_update_know(ngx_http_relay_store_t *store,
    ngx_http_relay_set_t *set, uint64_t above);
/* a set whose endpoints are taken is served from here on */
void ngx_http_relay_update_swap(ngx_http_relay_store_t *store,
    ngx_http_relay_set_t *set);
/* looks once more if a change was announced in between */
void ngx_http_relay_update_idle(ngx_http_relay_store_t *store);


/* ---- ngx_http_relay_report.c -------------------------------------------- */

#define NGX_HTTP_RELAY_REPORT_MS    5000

void ngx_http_relay_report(ngx_http_relay_store_t *store);
void ngx_http_relay_report_handler(ngx_event_t *ev);


#endif /* _NGX_HTTP_RELAY_STORE_H_INCLUDED_ */
