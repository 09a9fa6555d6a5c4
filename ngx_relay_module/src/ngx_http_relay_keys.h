
/*
 * The relay keys that a worker knows: a bounded cache, by digest, of records
 * from the store whose signature was checked. When the store does not answer,
 * what was known before counts, in memory or on disk, where each record is
 * written when it is learnt.
 *
 *   ngx_http_relay_keys.c         the cache, and asking the store
 *   ngx_http_relay_keys_record.c  entries: checked, read, freed
 *   ngx_http_relay_keys_disk.c    files of records
 *
 * Called by the handler (lookup) and by the store (forget).
 */


#ifndef _NGX_HTTP_RELAY_KEYS_H_INCLUDED_
#define _NGX_HTTP_RELAY_KEYS_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include "config_doc.h"
#include "key_record.h"
#include "key_ring.h"
#include "ngx_http_relay_redis.h"


#define NGX_HTTP_RELAY_KEYS_MAX          100000
#define NGX_HTTP_RELAY_KEYS_UNKNOWN_MS   2000

/* a file of a record: signature, line feed, record */
#define NGX_HTTP_RELAY_KEYS_FILE_MAX     (RELAY_KEY_RECORD_MAX + 256)


typedef struct ngx_http_relay_keys_s  ngx_http_relay_keys_t;
typedef struct ngx_http_relay_keys_wait_s  ngx_http_relay_keys_wait_t;


typedef struct {
    ngx_str_t                        prefix;      /* "relay:" */
    ngx_str_t                        state;       /* directory; empty: none */
    ngx_uint_t                       max;         /* entries; 0: the default */
    ngx_msec_t                       unknown_ms;  /* 0: the default */
    ngx_msec_t                       timeout_ms;  /* of the store; 0: 50 */
    const relay_key_ring_t          *signers;     /* public halves */
} ngx_http_relay_keys_conf_t;


/*
 * One known key. It is pinned by whoever got it: the record stays where it is
 * until ngx_http_relay_keys_release(), also when the cache has dropped it.
 */

typedef struct {
    relay_key_record_t               record;
    ngx_uint_t                       refs;
} ngx_http_relay_keys_entry_t;


/*
 * What a lookup that takes time needs, in the caller's own memory. handler is
 * called once, from the event loop, with rc and entry set as below.
 */

struct ngx_http_relay_keys_wait_s {
    void                           (*handler)(ngx_http_relay_keys_wait_t *wait);
    void                            *data;

    ngx_int_t                        rc;
    ngx_http_relay_keys_entry_t     *entry;

    const relay_config_t            *config;      /* as given to the lookup */
    ngx_queue_t                      queue;
    unsigned                         waiting:1;
};


/* In a worker. conf is copied. redis: the one for commands. NULL: no memory. */

ngx_http_relay_keys_t *ngx_http_relay_keys_create(ngx_cycle_t *cycle,
    const ngx_http_relay_keys_conf_t *conf, ngx_http_relay_redis_t *redis);

/* At exit_process, before redis is destroyed. No handler is called any more. */

void ngx_http_relay_keys_destroy(ngx_http_relay_keys_t *keys);


/*
 * config: the caller's snapshot, for revocations, pinned until the handler was
 * called; a record that it revokes is as one that is not there. Whether the key
 * has expired, is disabled or has a policy that exists is for the caller to see
 * in entry->record.
 *
 *   NGX_OK        *entry is set and pinned
 *   NGX_DECLINED  there is no such key
 *   NGX_AGAIN     wait->handler will be called, with one of the others in rc
 *   NGX_BUSY      the store cannot be asked, or is silent as
 *                 ngx_http_relay_redis.h has it, and nothing is known: 503
 *   NGX_ERROR     no memory
 */

ngx_int_t ngx_http_relay_keys_lookup(ngx_http_relay_keys_t *keys,
    const relay_digest_t *digest, const relay_config_t *config,
    ngx_http_relay_keys_wait_t *wait, ngx_http_relay_keys_entry_t **entry);

/* The wait's handler will not be called; harmless if it is not waiting. */

void ngx_http_relay_keys_cancel(ngx_http_relay_keys_wait_t *wait);

void ngx_http_relay_keys_release(ngx_http_relay_keys_entry_t *entry);

/*
 * The key, or any key, may have changed: the next lookup asks the store. The
 * second is for when the channel of changes was not heard for a while.
 */

void ngx_http_relay_keys_forget(ngx_http_relay_keys_t *keys,
    const relay_digest_t *digest);
void ngx_http_relay_keys_forget_all(ngx_http_relay_keys_t *keys);


/*
 * The rest is for ngx_http_relay_keys.c only.
 *
 * ngx_http_relay_keys_record.c: a record with one reference in *entry, or in
 * fault->message what is wrong with it.
 */

typedef enum {
    NGX_HTTP_RELAY_KEYS_GOOD = 0,
    NGX_HTTP_RELAY_KEYS_FORGED,      /* not signed by us, or for another key */
    NGX_HTTP_RELAY_KEYS_UNREADABLE,  /* signed, but not understood */
    NGX_HTTP_RELAY_KEYS_MEMORY
} ngx_http_relay_keys_reading_e;


ngx_http_relay_keys_reading_e ngx_http_relay_keys_record_read(
    const relay_key_ring_t *signers, const relay_digest_t *digest,
    relay_span_t record, relay_span_t signature,
    ngx_http_relay_keys_entry_t **entry, relay_config_fault_t *fault);


/* whether config revokes it */
ngx_uint_t ngx_http_relay_keys_void(ngx_http_relay_keys_entry_t *entry,
    const relay_config_t *config);
/* NGX_OK with *result pinned; NGX_DECLINED: revoked, and gone from disk */
ngx_int_t ngx_http_relay_keys_judge(ngx_str_t *state,
    ngx_http_relay_keys_entry_t *entry, const relay_config_t *config,
    ngx_http_relay_keys_entry_t **result);


/* ngx_http_relay_keys_disk.c */

/* into text->data, at most NGX_HTTP_RELAY_KEYS_FILE_MAX; else NGX_DECLINED */
ngx_int_t ngx_http_relay_keys_disk_read(ngx_str_t *state,
    const relay_digest_t *digest, ngx_str_t *text);
void ngx_http_relay_keys_disk_write(ngx_str_t *state,
    const relay_digest_t *digest, ngx_str_t *text);
void ngx_http_relay_keys_disk_delete(ngx_str_t *state,
    const relay_digest_t *digest);


#endif /* _NGX_HTTP_RELAY_KEYS_H_INCLUDED_ */
