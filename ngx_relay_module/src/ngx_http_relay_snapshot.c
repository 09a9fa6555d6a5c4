
/*
 * Snapshots: memory, references, building. Used by the master for relay_config
 * files, by ngx_http_relay_store.c in a worker.
 */


#include "ngx_http_relay.h"

#include <openssl/crypto.h>
#include <sys/mman.h>


/*
 * Memory comes in chunks that double up to a limit; more takes its own. They are
 * pages from the system, and go back there whole: each thread has a heap of its
 * own, and what one of them frees into it serves no other.
 */
#define NGX_HTTP_RELAY_CHUNK_MIN  16384
#define NGX_HTTP_RELAY_CHUNK_MAX  (1024 * 1024)


struct ngx_http_relay_chunk_s {
    ngx_http_relay_chunk_t          *next;
    size_t                           used;
    size_t                           size;
    max_align_t                      data[];
};


static void *ngx_http_relay_snapshot_arena(void *owner, size_t size);
static ngx_http_relay_chunk_t *ngx_http_relay_chunk_add(
    ngx_http_relay_snapshot_t *snapshot, size_t size);
static ngx_int_t ngx_http_relay_snapshot_rooms(
    ngx_http_relay_snapshot_t *snapshot);
static ngx_int_t ngx_http_relay_snapshot_places(
    ngx_http_relay_snapshot_t *snapshot);
static ngx_int_t ngx_http_relay_secret_known(
    ngx_http_relay_snapshot_t *snapshot, const ngx_http_relay_snapshot_t *base,
    relay_provider_key_t *key);
static const relay_provider_key_t *ngx_http_relay_snapshot_key(
    const ngx_http_relay_snapshot_t *snapshot, relay_span_t name);


ngx_http_relay_snapshot_t *
ngx_http_relay_snapshot_create(void)
{
    ngx_http_relay_snapshot_t  *snapshot;

    snapshot = ngx_calloc(sizeof(ngx_http_relay_snapshot_t), ngx_cycle->log);
    if (snapshot == NULL) {
        return NULL;
    }

    snapshot->references = 1;
    snapshot->chunk_size = NGX_HTTP_RELAY_CHUNK_MIN;

    return snapshot;
}


void
ngx_http_relay_snapshot_release(ngx_http_relay_snapshot_t *snapshot)
{
    ngx_uint_t               i;
    ngx_http_relay_chunk_t  *chunk, *next;

    if (--snapshot->references) {
        return;
    }

    ngx_http_relay_endpoints_release(snapshot);

    if (snapshot->secrets) {
        for (i = 0; i < snapshot->config->nprovider_keys; i++) {
            OPENSSL_cleanse(snapshot->secrets[i].data,
                            snapshot->secrets[i].len);
        }
    }

    for (chunk = snapshot->chunks; chunk; chunk = next) {
        next = chunk->next;
        (void) munmap(chunk, chunk->size + sizeof(ngx_http_relay_chunk_t));
    }

    ngx_free(snapshot);
}


/* zeroed and aligned for any type */

void *
ngx_http_relay_snapshot_alloc(ngx_http_relay_snapshot_t *snapshot, size_t size)
{
    u_char                  *p;
    ngx_http_relay_chunk_t  *chunk;

    size = ngx_align(size, sizeof(max_align_t));
    chunk = snapshot->chunks;

    if (chunk == NULL || chunk->size - chunk->used < size) {
        chunk = ngx_http_relay_chunk_add(snapshot, size);
        if (chunk == NULL) {
            return NULL;
        }
    }

    p = (u_char *) chunk->data + chunk->used;
    chunk->used += size;

    return p;
}


static ngx_http_relay_chunk_t *
ngx_http_relay_chunk_add(ngx_http_relay_snapshot_t *snapshot, size_t size)
{
    size_t                    room;
    ngx_http_relay_chunk_t   *chunk, **place;

    room = ngx_max(size + sizeof(ngx_http_relay_chunk_t),
                   snapshot->chunk_size);
    room = ngx_align(room, ngx_pagesize);

    chunk = mmap(NULL, room, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS,
                 -1, 0);
    if (chunk == MAP_FAILED) {
        return NULL;
    }

    chunk->size = room - sizeof(ngx_http_relay_chunk_t);
    place = &snapshot->chunks;

    if (room > snapshot->chunk_size && snapshot->chunks) {

        /* it is full at once: the one in use stays in front */

        place = &snapshot->chunks->next;

    } else if (snapshot->chunk_size < NGX_HTTP_RELAY_CHUNK_MAX) {
        snapshot->chunk_size *= 2;
    }

    chunk->next = *place;
    *place = chunk;

    return chunk;
}


static void *
ngx_http_relay_snapshot_arena(void *owner, size_t size)
{
    return ngx_http_relay_snapshot_alloc(owner, size);
}


ngx_int_t
ngx_http_relay_snapshot_build(ngx_http_relay_snapshot_t *snapshot,
    const relay_document_t *documents, size_t count,
    relay_config_fault_t *fault)
{
    relay_arena_t  arena;

    arena.allocate = ngx_http_relay_snapshot_arena;
    arena.owner = snapshot;

    snapshot->config = relay_config_build(&arena, documents, count, fault);

    if (snapshot->config == NULL) {
        return NGX_ERROR;
    }

    if (ngx_http_relay_snapshot_rooms(snapshot) != NGX_OK
        || ngx_http_relay_snapshot_places(snapshot) != NGX_OK)
    {
        fault->document = relay_span(NULL, 0);
        ngx_memcpy(fault->message, "no memory", sizeof("no memory"));
        return NGX_ERROR;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_relay_snapshot_rooms(ngx_http_relay_snapshot_t *snapshot)
{
    size_t  keys;

    keys = snapshot->config->nprovider_keys + 1;

    snapshot->secrets = ngx_http_relay_snapshot_alloc(snapshot,
                                                 keys * sizeof(ngx_str_t));

    snapshot->places = ngx_http_relay_snapshot_alloc(snapshot,
                                                 keys * sizeof(relay_span_t));

    snapshot->endpoints = ngx_http_relay_snapshot_alloc(snapshot,
                         (snapshot->config->nhosts + 1)
                         * sizeof(ngx_http_relay_endpoint_t *));

    return (snapshot->secrets && snapshot->places && snapshot->endpoints)
           ? NGX_OK : NGX_ERROR;
}


static ngx_int_t
ngx_http_relay_snapshot_places(ngx_http_relay_snapshot_t *snapshot)
{
    size_t                       i;
    relay_buf_t                  place;
    const relay_provider_key_t  *key;

    for (i = 0; i < snapshot->config->nprovider_keys; i++) {
        key = &snapshot->config->provider_keys[i];

        if (key->secret_kind != RELAY_SECRET_SEALED) {
            continue;
        }

        place = relay_buf(NULL, 0);
        ngx_http_relay_secret_place(key, &place);

        place.base = ngx_http_relay_snapshot_alloc(snapshot, place.len);
        if (place.base == NULL) {
            return NGX_ERROR;
        }

        place.capacity = place.len;
        place.len = 0;
        ngx_http_relay_secret_place(key, &place);

        snapshot->places[key->index] = relay_buf_span(&place);
    }

    return NGX_OK;
}


void
ngx_http_relay_snapshot_secrets(ngx_http_relay_snapshot_t *snapshot,
    const ngx_http_relay_snapshot_t *base, const relay_key_ring_t *ring)
{
    size_t                    i;
    ngx_int_t                 rc;
    relay_provider_key_t     *key;
    ngx_http_relay_opener_t   opener;

    /* where there is no memory for it, no sealed secret opens */

    (void) ngx_http_relay_opener_init(&opener, ring);

    for (i = 0; i < snapshot->config->nprovider_keys; i++) {
        key = &snapshot->config->provider_keys[i];

        rc = (key->secret_kind == RELAY_SECRET_SEALED)
             ? ngx_http_relay_secret_try(&opener, key,
                                         snapshot->places[key->index])
             : ngx_http_relay_secret_known(snapshot, base, key);

        if (rc == NGX_OK) {
            key->active = 1;
            continue;
        }

        if (rc == NGX_DECLINED && snapshot->unopened++ == 0) {
            snapshot->unopened_name = key->name;
        }
    }

    ngx_http_relay_opener_free(&opener);
}


/*
 * NGX_OK: a file's, resolved by the master, or that of a host that needs none;
 * NGX_DONE: a file's optional one that was not there.
 */

static ngx_int_t
ngx_http_relay_secret_known(ngx_http_relay_snapshot_t *snapshot,
    const ngx_http_relay_snapshot_t *base, relay_provider_key_t *key)
{
    ngx_str_t                   *secret;
    const ngx_str_t             *from;
    const relay_provider_key_t  *known;

    known = ngx_http_relay_snapshot_key(base, key->name);

    if (known == NULL) {

        /* a store's keys are sealed: anything else is not to be trusted */

        return (key->secret_kind == RELAY_SECRET_PLAIN && key->secret.len == 0)
               ? NGX_OK : NGX_DECLINED;
    }

    if (!known->active) {
        return NGX_DONE;
    }

    from = &base->secrets[known->index];
    secret = &snapshot->secrets[key->index];

    if (from->len == 0) {
        return NGX_OK;
    }

    secret->data = ngx_http_relay_snapshot_alloc(snapshot, from->len);
    if (secret->data == NULL) {
        return NGX_DECLINED;
    }

    ngx_memcpy(secret->data, from->data, from->len);
    secret->len = from->len;

    return NGX_OK;
}


static const relay_provider_key_t *
ngx_http_relay_snapshot_key(const ngx_http_relay_snapshot_t *snapshot,
    relay_span_t name)
{
    int                          order;
    size_t                       low, high, middle;
    const relay_provider_key_t  *key;

    low = 0;
    high = snapshot->config->nprovider_keys;

    while (low < high) {
        middle = low + (high - low) / 2;
        key = &snapshot->config->provider_keys[middle];

        order = ngx_memn2cmp((u_char *) key->name.base, (u_char *) name.base,
                             key->name.len, name.len);
        if (order == 0) {
            return key;
        }

        if (order < 0) {
            low = middle + 1;

        } else {
            high = middle;
        }
    }

    return NULL;
}
