
/*
 * The cache of relay keys of one worker.
 *
 *               lookup                record
 *   (nothing) ─────────► being asked ────────► known ──┐ forgotten: asked again
 *       ▲                 │      │                ▲────┘
 *       │       no answer │      │ no such key    │ no answer: what was known
 *       └─────────────────┘      ▼                │ counts, here or on disk
 *       ▲                     unknown, for 2 s    │
 *       └────────────────────────┘    being asked ┘
 *
 * Everybody who asks for one key while it is being asked for waits for the same
 * answer. Known and unknown keys are two lists, each by last use and with a
 * bound of its own: guessing keys does not push out those that are in use.
 *
 * A store that left one lookup without an answer is silent until it says
 * something: meanwhile "no answer" is what everybody gets at once, and what
 * counts then is asked for again at the first lookup after the silence.
 *
 * Nothing that the store says is taken without the signature. A store that
 * shows an older record than the one that is known shows it in vain.
 */


#include "ngx_http_relay_keys.h"

#include "signature.h"

#include <openssl/rand.h>


#define NGX_HTTP_RELAY_KEYS_PREFIX_MAX  256


typedef struct ngx_http_relay_keys_item_s  ngx_http_relay_keys_item_t;

struct ngx_http_relay_keys_item_s {
    ngx_http_relay_keys_item_t      *next;        /* in its bucket */
    ngx_queue_t                      queue;       /* of known or unknown ones */
    relay_digest_t                   digest;
    ngx_http_relay_keys_t           *keys;

    ngx_http_relay_keys_entry_t     *entry;       /* NULL: not known */
    ngx_uint_t                       generation;  /* of the entry */
    ngx_msec_t                       answered;    /* by store or disk */

    ngx_queue_t                      waits;       /* while it is being asked */
    ngx_http_relay_redis_waiter_t   *waiter;
};


typedef struct {
    ngx_queue_t                      items;       /* the last used one first */
    ngx_uint_t                       count;
    ngx_uint_t                       max;
} ngx_http_relay_keys_list_t;


struct ngx_http_relay_keys_s {
    ngx_http_relay_keys_conf_t       conf;
    ngx_http_relay_redis_t          *redis;
    ngx_uint_t                       generation;

    ngx_http_relay_keys_item_t     **buckets;
    ngx_uint_t                       shift;       /* 64 - log2(buckets) */
    uint64_t                         seed;

    ngx_http_relay_keys_list_t       known;
    ngx_http_relay_keys_list_t       unknown;
    time_t                           complained;

    u_char                           text[NGX_HTTP_RELAY_KEYS_FILE_MAX];
    u_char                           file[NGX_HTTP_RELAY_KEYS_FILE_MAX];
};


static ngx_int_t ngx_http_relay_keys_ask(ngx_http_relay_keys_t *keys,
    ngx_http_relay_keys_item_t *item);
static void ngx_http_relay_keys_answer(void *data,
    ngx_http_relay_redis_result_e result,
    const ngx_http_relay_redis_reply_t *reply);
static ngx_int_t ngx_http_relay_keys_take(ngx_http_relay_keys_item_t *item,
    const ngx_http_relay_redis_reply_t *reply);
static ngx_int_t ngx_http_relay_keys_learn(ngx_http_relay_keys_item_t *item,
    relay_span_t record, relay_span_t signature);
static void ngx_http_relay_keys_compare(ngx_http_relay_keys_item_t *item,
    ngx_http_relay_keys_entry_t **entry, ngx_str_t *text);
static ngx_int_t ngx_http_relay_keys_fall_back(
    ngx_http_relay_keys_item_t *item);
static ngx_http_relay_keys_reading_e ngx_http_relay_keys_read(
    ngx_http_relay_keys_item_t *item, relay_span_t record,
    relay_span_t signature, ngx_http_relay_keys_entry_t **entry);
static ngx_http_relay_keys_entry_t *ngx_http_relay_keys_read_file(
    ngx_http_relay_keys_item_t *item, ngx_str_t *text);
static void ngx_http_relay_keys_set(ngx_http_relay_keys_item_t *item,
    ngx_http_relay_keys_entry_t *entry);
static void ngx_http_relay_keys_settle(ngx_http_relay_keys_item_t *item,
    ngx_int_t rc);
static ngx_int_t ngx_http_relay_keys_cached(ngx_http_relay_keys_item_t *item,
    const relay_config_t *config, ngx_http_relay_keys_entry_t **entry);
static void ngx_http_relay_keys_complain(ngx_http_relay_keys_item_t *item,
    const char *what);
static ngx_http_relay_keys_item_t **ngx_http_relay_keys_find(
    ngx_http_relay_keys_t *keys, const relay_digest_t *digest);
static ngx_http_relay_keys_item_t *ngx_http_relay_keys_add(
    ngx_http_relay_keys_t *keys, const relay_digest_t *digest);
static ngx_http_relay_keys_list_t *ngx_http_relay_keys_list(
    ngx_http_relay_keys_item_t *item);
static void ngx_http_relay_keys_insert(ngx_http_relay_keys_item_t *item);
static void ngx_http_relay_keys_remove(ngx_http_relay_keys_item_t *item);
static void ngx_http_relay_keys_drop(ngx_http_relay_keys_item_t *item);


/* ---- life --------------------------------------------------------------- */


ngx_http_relay_keys_t *
ngx_http_relay_keys_create(ngx_cycle_t *cycle,
    const ngx_http_relay_keys_conf_t *conf, ngx_http_relay_redis_t *redis)
{
    size_t                  n;
    ngx_http_relay_keys_t  *keys;

    keys = ngx_calloc(sizeof(ngx_http_relay_keys_t), cycle->log);

    if (keys == NULL
        || conf->prefix.len > NGX_HTTP_RELAY_KEYS_PREFIX_MAX
        || conf->state.len > NGX_MAX_PATH)
    {
        ngx_free(keys);
        return NULL;
    }

    keys->conf = *conf;
    keys->redis = redis;
    keys->generation = 1;

    keys->known.max = conf->max ? conf->max : NGX_HTTP_RELAY_KEYS_MAX;
    keys->unknown.max = ngx_max(keys->known.max / 4, 1);

    if (conf->unknown_ms == 0) {
        keys->conf.unknown_ms = NGX_HTTP_RELAY_KEYS_UNKNOWN_MS;
    }

    ngx_queue_init(&keys->known.items);
    ngx_queue_init(&keys->unknown.items);

    keys->shift = 63;

    for (n = 2; n < keys->known.max; n <<= 1) {
        keys->shift--;
    }

    keys->buckets = ngx_calloc(n * sizeof(ngx_http_relay_keys_item_t *),
                               cycle->log);

    /* callers choose keys: how they fall into buckets is not theirs to know */

    if (keys->buckets == NULL
        || RAND_bytes((u_char *) &keys->seed, sizeof(uint64_t)) != 1)
    {
        ngx_free(keys->buckets);
        ngx_free(keys);
        return NULL;
    }

    keys->seed |= 1;

    return keys;
}


void
ngx_http_relay_keys_destroy(ngx_http_relay_keys_t *keys)
{
    ngx_uint_t                    i, n;
    ngx_queue_t                  *q;
    ngx_http_relay_keys_item_t   *item, *next;

    n = (ngx_uint_t) 1 << (64 - keys->shift);

    for (i = 0; i < n; i++) {
        for (item = keys->buckets[i]; item; item = next) {
            next = item->next;

            if (item->waiter) {
                ngx_http_relay_redis_cancel(item->waiter);
            }

            while (!ngx_queue_empty(&item->waits)) {
                q = ngx_queue_head(&item->waits);
                ngx_http_relay_keys_cancel(
                        ngx_queue_data(q, ngx_http_relay_keys_wait_t, queue));
            }

            if (item->entry) {
                ngx_http_relay_keys_release(item->entry);
            }

            ngx_free(item);
        }
    }

    ngx_free(keys->buckets);
    ngx_free(keys);
}


/* ---- looking up --------------------------------------------------------- */


ngx_int_t
ngx_http_relay_keys_lookup(ngx_http_relay_keys_t *keys,
    const relay_digest_t *digest, const relay_config_t *config,
    ngx_http_relay_keys_wait_t *wait, ngx_http_relay_keys_entry_t **entry)
{
    ngx_int_t                    rc;
    ngx_http_relay_keys_item_t  *item;

    item = *ngx_http_relay_keys_find(keys, digest);

    if (item == NULL) {
        item = ngx_http_relay_keys_add(keys, digest);
        if (item == NULL) {
            return NGX_ERROR;
        }

    } else if (item->waiter == NULL) {
        rc = ngx_http_relay_keys_cached(item, config, entry);

        if (rc != NGX_AGAIN) {
            return rc;
        }

        ngx_http_relay_keys_remove(item);
    }

    if (item->waiter == NULL
        && ngx_http_relay_keys_ask(keys, item) != NGX_AGAIN)
    {
        rc = ngx_http_relay_keys_fall_back(item);

        if (rc != NGX_OK) {
            ngx_http_relay_keys_drop(item);
            return rc;
        }

        ngx_http_relay_keys_insert(item);
        return ngx_http_relay_keys_judge(&keys->conf.state, item->entry, config,
                                         entry);
    }

    wait->config = config;
    wait->waiting = 1;
    ngx_queue_insert_tail(&item->waits, &wait->queue);

    return NGX_AGAIN;
}


/*
 * NGX_AGAIN: the store is to be asked. A revoked record is as good as an
 * unknown key: the store may have a newer one, but is not asked all the time.
 */

static ngx_int_t
ngx_http_relay_keys_cached(ngx_http_relay_keys_item_t *item,
    const relay_config_t *config, ngx_http_relay_keys_entry_t **entry)
{
    ngx_http_relay_keys_t  *keys;

    keys = item->keys;

    if (item->generation != keys->generation) {
        return NGX_AGAIN;
    }

    if ((item->entry == NULL || ngx_http_relay_keys_void(item->entry, config))
        && ngx_current_msec - item->answered >= keys->conf.unknown_ms)
    {
        return NGX_AGAIN;
    }

    ngx_http_relay_keys_remove(item);
    ngx_http_relay_keys_insert(item);

    if (item->entry == NULL) {
        return NGX_DECLINED;
    }

    return ngx_http_relay_keys_judge(&keys->conf.state, item->entry, config,
                                     entry);
}


void
ngx_http_relay_keys_cancel(ngx_http_relay_keys_wait_t *wait)
{
    if (wait->waiting) {
        wait->waiting = 0;
        ngx_queue_remove(&wait->queue);
    }
}


void
ngx_http_relay_keys_forget(ngx_http_relay_keys_t *keys,
    const relay_digest_t *digest)
{
    ngx_http_relay_keys_item_t  *item;

    item = *ngx_http_relay_keys_find(keys, digest);

    if (item) {
        item->generation = 0;
    }
}


void
ngx_http_relay_keys_forget_all(ngx_http_relay_keys_t *keys)
{
    keys->generation++;
}


/* ---- the store's answer ------------------------------------------------- */


/* NGX_BUSY: no answer is to be expected, and nobody is to wait for one */

static ngx_int_t
ngx_http_relay_keys_ask(ngx_http_relay_keys_t *keys,
    ngx_http_relay_keys_item_t *item)
{
    u_char        *p, name[NGX_HTTP_RELAY_KEYS_PREFIX_MAX + sizeof("key:")
                           + 2 * RELAY_DIGEST_LEN];
    relay_span_t   command[4];

    if (ngx_http_relay_redis_state(keys->redis)->silent) {
        return NGX_BUSY;
    }

    p = ngx_cpymem(name, keys->conf.prefix.data, keys->conf.prefix.len);
    p = ngx_cpymem(p, "key:", sizeof("key:") - 1);
    p = ngx_hex_dump(p, item->digest.bytes, RELAY_DIGEST_LEN);

    command[0] = RELAY_SPAN("HMGET");
    command[1] = relay_span(name, p - name);
    command[2] = RELAY_SPAN("record");
    command[3] = RELAY_SPAN("signature");

    /* what changes from here on is not in the answer that will come */

    item->generation = keys->generation;

    item->waiter = ngx_http_relay_redis_command(keys->redis, command, 4,
                                                keys->conf.timeout_ms,
                                                ngx_http_relay_keys_answer,
                                                item);

    return item->waiter ? NGX_AGAIN : NGX_BUSY;
}


static void
ngx_http_relay_keys_answer(void *data, ngx_http_relay_redis_result_e result,
    const ngx_http_relay_redis_reply_t *reply)
{
    ngx_http_relay_keys_item_t *item = data;

    ngx_int_t  rc;

    item->waiter = NULL;

    rc = reply ? ngx_http_relay_keys_take(item, reply) : NGX_BUSY;

    if (rc == NGX_BUSY) {
        rc = ngx_http_relay_keys_fall_back(item);
    }

    ngx_http_relay_keys_settle(item, rc);
}


/* NGX_OK, NGX_DECLINED, NGX_ERROR; NGX_BUSY: that was no answer */

static ngx_int_t
ngx_http_relay_keys_take(ngx_http_relay_keys_item_t *item,
    const ngx_http_relay_redis_reply_t *reply)
{
    const relay_resp_value_t  *values;

    values = reply->values;

    if (values[0].type != RELAY_RESP_ARRAY || reply->count != 3) {
        ngx_http_relay_keys_complain(item,
                                     "the store does not answer as it should");
        return NGX_BUSY;
    }

    if (values[1].type == RELAY_RESP_NULL && values[2].type == RELAY_RESP_NULL)
    {
        ngx_http_relay_keys_set(item, NULL);
        return NGX_DECLINED;
    }

    /* what is no string has an empty text, which nobody signs */

    return ngx_http_relay_keys_learn(item,
                                     relay_resp_text(reply->start, &values[1]),
                                     relay_resp_text(reply->start, &values[2]));
}


static ngx_int_t
ngx_http_relay_keys_learn(ngx_http_relay_keys_item_t *item,
    relay_span_t record, relay_span_t signature)
{
    ngx_str_t                     text;
    relay_buf_t                   out;
    ngx_http_relay_keys_t        *keys;
    ngx_http_relay_keys_entry_t  *entry;

    keys = item->keys;

    switch (ngx_http_relay_keys_read(item, record, signature, &entry)) {

    case NGX_HTTP_RELAY_KEYS_GOOD:
        break;

    case NGX_HTTP_RELAY_KEYS_FORGED:

        /* as good as no answer, but for a key that nothing is known of */

        if (ngx_http_relay_keys_fall_back(item) == NGX_OK) {
            return NGX_OK;
        }

        /* fall through */

    case NGX_HTTP_RELAY_KEYS_UNREADABLE:

        /* it may be restricted now in a way that we do not know: no way back */

        ngx_http_relay_keys_set(item, NULL);
        ngx_http_relay_keys_disk_delete(&keys->conf.state, &item->digest);
        return NGX_DECLINED;

    default: /* NGX_HTTP_RELAY_KEYS_MEMORY */
        return NGX_ERROR;
    }

    out = relay_buf(keys->text, sizeof(keys->text));
    relay_buf_put(&out, signature);
    relay_buf_put_byte(&out, LF);
    relay_buf_put(&out, record);

    text.data = keys->text;
    text.len = relay_buf_ok(&out) ? out.len : 0;

    ngx_http_relay_keys_compare(item, &entry, &text);
    ngx_http_relay_keys_set(item, entry);

    return NGX_OK;
}


/* with what is known already: the higher revision counts, and is on disk */

static void
ngx_http_relay_keys_compare(ngx_http_relay_keys_item_t *item,
    ngx_http_relay_keys_entry_t **entry, ngx_str_t *text)
{
    ngx_str_t                     file;
    ngx_http_relay_keys_t        *keys;
    ngx_http_relay_keys_entry_t  *stored, *newest;

    keys = item->keys;
    newest = *entry;
    stored = NULL;

    file.data = keys->file;
    file.len = 0;

    if (ngx_http_relay_keys_disk_read(&keys->conf.state, &item->digest, &file)
        == NGX_OK
        && (file.len != text->len
            || ngx_memcmp(file.data, text->data, file.len) != 0))
    {
        stored = ngx_http_relay_keys_read_file(item, &file);

        if (stored && stored->record.revision > newest->record.revision) {
            newest = stored;
        }

        file.len = 0;
    }

    if (item->entry && item->entry->record.revision > newest->record.revision)
    {
        newest = item->entry;
    }

    if (newest != *entry) {
        ngx_http_relay_keys_complain(item,
                                     "the store has an older record of it");

    } else if (file.len == 0 && text->len) {
        ngx_http_relay_keys_disk_write(&keys->conf.state, &item->digest, text);
    }

    newest->refs++;
    ngx_http_relay_keys_release(*entry);

    if (stored) {
        ngx_http_relay_keys_release(stored);
    }

    *entry = newest;
}


/*
 * NGX_OK: item->entry is what was known before, and the next lookup asks the
 * store again; NGX_BUSY: nothing was known.
 */

static ngx_int_t
ngx_http_relay_keys_fall_back(ngx_http_relay_keys_item_t *item)
{
    ngx_str_t                     file;
    ngx_http_relay_keys_entry_t  *entry;

    if (item->entry) {
        item->generation = 0;
        return NGX_OK;
    }

    file.data = item->keys->file;

    if (ngx_http_relay_keys_disk_read(&item->keys->conf.state, &item->digest,
                                      &file)
        != NGX_OK)
    {
        return NGX_BUSY;
    }

    entry = ngx_http_relay_keys_read_file(item, &file);

    if (entry == NULL) {
        return NGX_BUSY;
    }

    ngx_http_relay_keys_set(item, entry);
    item->generation = 0;

    return NGX_OK;
}


/* takes over entry */

static void
ngx_http_relay_keys_set(ngx_http_relay_keys_item_t *item,
    ngx_http_relay_keys_entry_t *entry)
{
    if (item->entry) {
        ngx_http_relay_keys_release(item->entry);
    }

    item->entry = entry;
    item->answered = ngx_current_msec;
}


/* tells everybody who waits; whoever is told may look up, cancel or release */

static void
ngx_http_relay_keys_settle(ngx_http_relay_keys_item_t *item, ngx_int_t rc)
{
    ngx_queue_t                  *q, waits;
    ngx_http_relay_keys_t        *keys;
    ngx_http_relay_keys_wait_t   *wait;
    ngx_http_relay_keys_entry_t  *entry;

    keys = item->keys;
    entry = (rc == NGX_OK) ? item->entry : NULL;

    if (entry) {
        entry->refs++;
    }

    ngx_queue_init(&waits);

    if (!ngx_queue_empty(&item->waits)) {
        ngx_queue_add(&waits, &item->waits);
        ngx_queue_init(&item->waits);
    }

    if (rc == NGX_OK || rc == NGX_DECLINED) {
        ngx_http_relay_keys_insert(item);

    } else {
        ngx_http_relay_keys_drop(item);
    }

    while (!ngx_queue_empty(&waits)) {
        q = ngx_queue_head(&waits);
        wait = ngx_queue_data(q, ngx_http_relay_keys_wait_t, queue);

        ngx_http_relay_keys_cancel(wait);

        wait->entry = NULL;
        wait->rc = entry ? ngx_http_relay_keys_judge(&keys->conf.state, entry,
                                                     wait->config,
                                                     &wait->entry)
                         : rc;
        wait->handler(wait);
    }

    if (entry) {
        ngx_http_relay_keys_release(entry);
    }
}


/* ---- records ------------------------------------------------------------ */


static ngx_http_relay_keys_reading_e
ngx_http_relay_keys_read(ngx_http_relay_keys_item_t *item, relay_span_t record,
    relay_span_t signature, ngx_http_relay_keys_entry_t **entry)
{
    relay_config_fault_t           fault;
    ngx_http_relay_keys_reading_e  reading;

    reading = ngx_http_relay_keys_record_read(item->keys->conf.signers,
                                              &item->digest, record, signature,
                                              entry, &fault);

    if (reading != NGX_HTTP_RELAY_KEYS_GOOD) {
        ngx_http_relay_keys_complain(item, fault.message);
    }

    return reading;
}


static ngx_http_relay_keys_entry_t *
ngx_http_relay_keys_read_file(ngx_http_relay_keys_item_t *item,
    ngx_str_t *text)
{
    relay_span_t                  record, signature;
    ngx_http_relay_keys_entry_t  *entry;

    if (!relay_signature_split(relay_span(text->data, text->len), &signature,
                               &record)
        || ngx_http_relay_keys_read(item, record, signature, &entry)
           != NGX_HTTP_RELAY_KEYS_GOOD)
    {
        return NULL;
    }

    return entry;
}


/* whoever can make us write lines gets one a second */

static void
ngx_http_relay_keys_complain(ngx_http_relay_keys_item_t *item,
    const char *what)
{
    u_char  hex[2 * RELAY_DIGEST_LEN];

    if (item->keys->complained == ngx_time()) {
        return;
    }

    item->keys->complained = ngx_time();

    (void) ngx_hex_dump(hex, item->digest.bytes, RELAY_DIGEST_LEN);

    ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0, "relay key %*s: %s",
                  sizeof(hex), hex, what);
}


/* ---- items -------------------------------------------------------------- */


/* where it is, or would be */

static ngx_http_relay_keys_item_t **
ngx_http_relay_keys_find(ngx_http_relay_keys_t *keys,
    const relay_digest_t *digest)
{
    uint64_t                      hash;
    ngx_http_relay_keys_item_t  **itemp;

    ngx_memcpy(&hash, digest->bytes, sizeof(uint64_t));

    itemp = &keys->buckets[(hash * keys->seed) >> keys->shift];

    while (*itemp && !relay_digest_eq(&(*itemp)->digest, digest)) {
        itemp = &(*itemp)->next;
    }

    return itemp;
}


static ngx_http_relay_keys_item_t *
ngx_http_relay_keys_add(ngx_http_relay_keys_t *keys,
    const relay_digest_t *digest)
{
    ngx_http_relay_keys_item_t  *item;

    item = ngx_calloc(sizeof(ngx_http_relay_keys_item_t), ngx_cycle->log);
    if (item == NULL) {
        return NULL;
    }

    item->digest = *digest;
    item->keys = keys;
    ngx_queue_init(&item->waits);

    *ngx_http_relay_keys_find(keys, digest) = item;

    return item;
}


static ngx_http_relay_keys_list_t *
ngx_http_relay_keys_list(ngx_http_relay_keys_item_t *item)
{
    return item->entry ? &item->keys->known : &item->keys->unknown;
}


/* as the last used one of its list, which may push out the first */

static void
ngx_http_relay_keys_insert(ngx_http_relay_keys_item_t *item)
{
    ngx_queue_t                 *q;
    ngx_http_relay_keys_item_t  *oldest;
    ngx_http_relay_keys_list_t  *list;

    list = ngx_http_relay_keys_list(item);

    ngx_queue_insert_head(&list->items, &item->queue);

    if (++list->count <= list->max) {
        return;
    }

    q = ngx_queue_last(&list->items);
    oldest = ngx_queue_data(q, ngx_http_relay_keys_item_t, queue);

    ngx_http_relay_keys_remove(oldest);
    ngx_http_relay_keys_drop(oldest);
}


/* from its list: while it is being asked it cannot be pushed out */

static void
ngx_http_relay_keys_remove(ngx_http_relay_keys_item_t *item)
{
    ngx_queue_remove(&item->queue);
    ngx_http_relay_keys_list(item)->count--;
}


static void
ngx_http_relay_keys_drop(ngx_http_relay_keys_item_t *item)
{
    *ngx_http_relay_keys_find(item->keys, &item->digest) = item->next;

    if (item->entry) {
        ngx_http_relay_keys_release(item->entry);
    }

    ngx_free(item);
}
