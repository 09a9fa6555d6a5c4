
/*
 * Sets: a head and the documents that it lists, from the store or from disk.
 * Nothing is believed: not the head before its signature is checked, not a
 * document before its digest is.
 */


#include "ngx_http_relay_store.h"

#include "seal.h"
#include "signature.h"

#include <openssl/sha.h>


static void *ngx_http_relay_set_arena(void *owner, size_t size);
static ngx_int_t ngx_http_relay_set_verify(ngx_http_relay_set_t *set,
    relay_span_t *payload);
static void ngx_http_relay_set_judge(ngx_http_relay_set_t *set,
    ngx_str_t *known, uint64_t above);
static void ngx_http_relay_blob_release(ngx_http_relay_blob_t *blob);
static ngx_int_t ngx_http_relay_set_check(ngx_http_relay_set_t *set);
static relay_document_t *ngx_http_relay_set_documents(
    ngx_http_relay_set_t *set, size_t *count);
static void ngx_http_relay_set_fault(ngx_http_relay_set_t *set,
    const relay_config_fault_t *fault);


ngx_http_relay_set_t *
ngx_http_relay_set_create(ngx_http_relay_store_t *store, relay_span_t text,
    ngx_str_t *known, uint64_t above)
{
    ngx_pool_t            *pool;
    relay_span_t           payload;
    relay_arena_t          arena;
    ngx_http_relay_set_t  *set;
    relay_config_fault_t   fault;

    pool = ngx_create_pool(4096, store->cycle->log);
    if (pool == NULL) {
        return NULL;
    }

    set = ngx_pcalloc(pool, sizeof(ngx_http_relay_set_t));
    if (set == NULL) {
        goto failed;
    }

    set->references = 1;
    set->pool = pool;
    set->store = store;
    ngx_queue_init(&set->tls);

    set->text.len = text.len;
    set->text.data = ngx_pnalloc(pool, text.len + 1);
    if (set->text.data == NULL) {
        goto failed;
    }

    ngx_memcpy(set->text.data, text.base, text.len);

    if (ngx_http_relay_set_verify(set, &payload) != NGX_OK) {
        return set;
    }

    arena.allocate = ngx_http_relay_set_arena;
    arena.owner = pool;

    ngx_memzero(&fault, sizeof(relay_config_fault_t));

    if (!relay_head_read(&arena, payload, &set->head, &fault)) {
        fault.document = RELAY_SPAN("head");
        ngx_http_relay_set_fault(set, &fault);
        return set;
    }

    ngx_http_relay_set_judge(set, known, above);

    set->blobs = ngx_pcalloc(pool, set->head.ndocuments
                                   * sizeof(ngx_http_relay_blob_t *));
    if (set->blobs == NULL) {
        goto failed;
    }

    return set;

failed:

    ngx_destroy_pool(pool);

    return NULL;
}


static void *
ngx_http_relay_set_arena(void *owner, size_t size)
{
    return ngx_pcalloc(owner, size);
}


static ngx_int_t
ngx_http_relay_set_verify(ngx_http_relay_set_t *set, relay_span_t *payload)
{
    size_t        room;
    relay_buf_t   scratch;
    relay_span_t  purpose, signature;

    purpose = RELAY_SPAN(RELAY_PURPOSE_HEAD);

    if (!relay_signature_split(ngx_http_relay_span(&set->text), &signature,
                               payload))
    {
        ngx_http_relay_set_refuse(set, "the head has no signature");
        return NGX_DECLINED;
    }

    room = RELAY_SIGNATURE_ROOM(purpose, *payload);
    scratch = relay_buf(ngx_pnalloc(set->pool, room), room);

    if (scratch.base == NULL
        || !relay_signature_verify(set->store->conf->signers, purpose,
                                   *payload, signature, &scratch))
    {
        ngx_http_relay_set_refuse(set, "the signature of the head is not one "
                                       "of relay_store_verify_keys");
        return NGX_DECLINED;
    }

    return NGX_OK;
}


static void
ngx_http_relay_set_judge(ngx_http_relay_set_t *set, ngx_str_t *known,
    uint64_t above)
{
    ngx_str_t  deployment;

    deployment.data = (u_char *) set->head.deployment.base;
    deployment.len = set->head.deployment.len;

    if (known->len
        && !relay_span_eq(ngx_http_relay_span(known), set->head.deployment))
    {
        ngx_http_relay_set_refuse(set, "the head belongs to deployment \"%V\", "
                                       "this worker to \"%V\"", &deployment,
                                  known);
        return;
    }

    if (set->head.revision <= above) {
        ngx_http_relay_set_refuse(set, "revision %uL is not newer than %uL, "
                                       "which is served",
                                  set->head.revision, above);
    }
}


void
ngx_http_relay_set_release(ngx_http_relay_set_t *set)
{
    size_t                 i;
    ngx_queue_t           *q;
    ngx_http_relay_tls_t  *tls;

    if (set == NULL || --set->references) {
        return;
    }

    for (i = 0; set->blobs && i < set->head.ndocuments; i++) {
        if (set->blobs[i]) {
            ngx_http_relay_blob_release(set->blobs[i]);
        }
    }

    while (!ngx_queue_empty(&set->tls)) {
        q = ngx_queue_head(&set->tls);
        ngx_queue_remove(q);

        tls = ngx_queue_data(q, ngx_http_relay_tls_t, queue);
        ngx_http_relay_tls_free(tls);
    }

    if (set->snapshot) {
        ngx_http_relay_snapshot_release(set->snapshot);
    }

    ngx_destroy_pool(set->pool);
}


void
ngx_http_relay_set_refuse(ngx_http_relay_set_t *set, const char *fmt, ...)
{
    u_char   *p;
    va_list   args;

    if (set->reason[0]) {
        /* the first one counts */
        return;
    }

    va_start(args, fmt);
    p = ngx_vslprintf(set->reason,
                      set->reason + NGX_HTTP_RELAY_REASON_MAX - 1, fmt, args);
    va_end(args);

    *p = '\0';
}


ngx_http_relay_blob_t *
ngx_http_relay_blob_create(const relay_digest_t *digest, relay_span_t text)
{
    ngx_http_relay_blob_t  *blob;

    blob = ngx_alloc(sizeof(ngx_http_relay_blob_t) + text.len, ngx_cycle->log);
    if (blob == NULL) {
        return NULL;
    }

    ngx_memzero(blob, sizeof(ngx_http_relay_blob_t));

    blob->references = 1;
    blob->digest = *digest;
    blob->text.len = text.len;
    blob->text.data = (u_char *) blob + sizeof(ngx_http_relay_blob_t);

    if (text.base) {
        ngx_memcpy(blob->text.data, text.base, text.len);
    }

    return blob;
}


static void
ngx_http_relay_blob_release(ngx_http_relay_blob_t *blob)
{
    if (--blob->references == 0) {
        ngx_free(blob);
    }
}


void
ngx_http_relay_set_share(ngx_http_relay_set_t *set,
    ngx_http_relay_set_t *other)
{
    size_t                  i, j, n, at;
    ngx_http_relay_blob_t  *blob;

    if (other == NULL || other->blobs == NULL) {
        return;
    }

    /* both have mostly the same order */

    at = 0;
    n = other->head.ndocuments;

    for (i = 0; i < set->head.ndocuments; i++) {

        for (j = 0; j < n && set->blobs[i] == NULL; j++) {

            blob = other->blobs[(at + j) % n];

            if (blob && !blob->wrong
                && blob->text.len == set->head.documents[i].bytes
                && ngx_memcmp(&blob->digest, &set->head.documents[i].digest,
                              sizeof(relay_digest_t))
                   == 0)
            {
                blob->references++;
                set->blobs[i] = blob;
                at = (at + j + 1) % n;
            }
        }
    }
}


ngx_uint_t
ngx_http_relay_set_same(ngx_http_relay_set_t *set, ngx_http_relay_set_t *other)
{
    size_t                        i;
    const relay_head_document_t  *a, *b;

    if (set->blobs == NULL || other == NULL
        || set->head.ndocuments != other->head.ndocuments
        || !relay_span_eq(set->head.deployment, other->head.deployment))
    {
        return 0;
    }

    for (i = 0; i < set->head.ndocuments; i++) {
        a = &set->head.documents[i];
        b = &other->head.documents[i];

        if (!relay_span_eq(a->name, b->name)
            || a->bytes != b->bytes
            || !relay_digest_eq(&a->digest, &b->digest))
        {
            return 0;
        }
    }

    return 1;
}


void
ngx_http_relay_set_build(void *data)
{
    ngx_http_relay_set_t *set = data;

    size_t                 count;
    relay_document_t      *documents;
    relay_config_fault_t   fault;

    if (ngx_http_relay_set_check(set) != NGX_OK) {
        return;
    }

    documents = ngx_http_relay_set_documents(set, &count);
    if (documents == NULL) {
        set->passing = 1;
        ngx_http_relay_set_refuse(set, "no memory");
        return;
    }

    ngx_memzero(&fault, sizeof(relay_config_fault_t));

    if (ngx_http_relay_snapshot_build(set->snapshot, documents, count, &fault)
        == NGX_OK)
    {
        set->snapshot->revision = set->head.revision;

        ngx_http_relay_snapshot_secrets(set->snapshot,
                                        set->store->base,
                                        set->store->conf->dataplane);
    } else {
        ngx_http_relay_set_fault(set, &fault);
    }

    ngx_free(documents);
}


static ngx_int_t
ngx_http_relay_set_check(ngx_http_relay_set_t *set)
{
    size_t                        i;
    ngx_str_t                     name;
    relay_digest_t                digest;
    ngx_http_relay_blob_t        *blob;
    const relay_head_document_t  *document;

    for (i = 0; i < set->head.ndocuments; i++) {
        document = &set->head.documents[i];
        blob = set->blobs[i];

        if (blob->checked) {
            continue;
        }

        SHA256(blob->text.data, blob->text.len, digest.bytes);

        if (blob->text.len != document->bytes
            || ngx_memcmp(&digest, &document->digest, sizeof(digest)) != 0)
        {
            name.data = (u_char *) document->name.base;
            name.len = document->name.len;

            blob->wrong = 1;
            set->passing = 1;
            ngx_http_relay_set_refuse(set, "%V is not the document that the "
                                           "head lists", &name);
            return NGX_DECLINED;
        }

        blob->checked = 1;
    }

    return NGX_OK;
}


/* files first */

static relay_document_t *
ngx_http_relay_set_documents(ngx_http_relay_set_t *set, size_t *count)
{
    size_t             i, n;
    ngx_array_t       *files;
    relay_document_t  *documents;

    files = set->store->rmcf->documents;
    n = files->nelts;

    *count = n + set->head.ndocuments;

    documents = ngx_calloc(*count * sizeof(relay_document_t), ngx_cycle->log);
    if (documents == NULL) {
        return NULL;
    }

    if (n) {
        ngx_memcpy(documents, files->elts, n * sizeof(relay_document_t));
    }

    for (i = 0; i < set->head.ndocuments; i++) {
        documents[n + i].name = set->head.documents[i].name;
        documents[n + i].catalog = set->head.documents[i].catalog;
        documents[n + i].text = ngx_http_relay_span(&set->blobs[i]->text);
    }

    return documents;
}


static void
ngx_http_relay_set_fault(ngx_http_relay_set_t *set,
    const relay_config_fault_t *fault)
{
    ngx_str_t  name;

    name.data = (u_char *) fault->document.base;
    name.len = fault->document.len;

    ngx_http_relay_set_refuse(set, "%V:%uz:%uz: %s%s%s", &name, fault->line,
                              fault->column, fault->path,
                              fault->path[0] ? ": " : "", fault->message);
}


ngx_uint_t
ngx_http_relay_set_needs_profiles(ngx_http_relay_set_t *set)
{
    size_t                       i;
    const relay_host_t          *host;
    const relay_config_t        *config;
    const relay_provider_key_t  *key;

    config = set->snapshot->config;

    for (i = 0; i < config->nprovider_keys; i++) {
        key = &config->provider_keys[i];
        host = key->host;

        if (key->active && host->tls
            && ngx_http_relay_tls_find(&set->store->rmcf->tls,
                                       host->tls_verify, host->tls_ca_file)
               == NULL)
        {
            return 1;
        }
    }

    return 0;
}


void
ngx_http_relay_set_profiles(void *data)
{
    ngx_http_relay_set_t *set = data;

    size_t                       i;
    ngx_log_t                    quiet;
    ngx_str_t                    name, file;
    const relay_host_t          *host;
    const relay_config_t        *config;
    ngx_http_relay_tls_t        *tls;
    ngx_http_relay_store_t      *store;
    const relay_provider_key_t  *key;

    store = set->store;
    config = set->snapshot->config;

    /* what is wrong is in the reason, which is logged once */

    quiet = *store->cycle->log;
    quiet.log_level = 0;

    for (i = 0; i < config->nprovider_keys; i++) {
        key = &config->provider_keys[i];
        host = key->host;

        if (!key->active || !host->tls
            || ngx_http_relay_tls_find(&store->rmcf->tls, host->tls_verify,
                                       host->tls_ca_file)
            || ngx_http_relay_tls_find(&set->tls, host->tls_verify,
                                       host->tls_ca_file))
        {
            continue;
        }

        tls = ngx_http_relay_tls_create(&store->cycle->conf_prefix,
                                        host->tls_verify, host->tls_ca_file,
                                        &quiet);
        if (tls == NULL) {
            name.data = (u_char *) host->name.base;
            name.len = host->name.len;

            set->passing = 1;
            file.data = (u_char *) host->tls_ca_file.base;
            file.len = host->tls_ca_file.len;

            ngx_http_relay_set_refuse(set, "hosts.%V.tls: no certificate "
                                           "authorities can be read from "
                                           "\"%V\"", &name, &file);
            return;
        }

        tls->ssl.log = store->cycle->log;

        ngx_queue_insert_tail(&set->tls, &tls->queue);
    }
}


void
ngx_http_relay_set_add_profiles(ngx_http_relay_set_t *set)
{
    ngx_queue_t  *q;

    while (!ngx_queue_empty(&set->tls)) {
        q = ngx_queue_head(&set->tls);
        ngx_queue_remove(q);
        ngx_queue_insert_tail(&set->store->rmcf->tls, q);
    }
}


u_char *
ngx_http_relay_digest_hex(u_char *dst, const relay_digest_t *digest)
{
    return ngx_hex_dump(dst, (u_char *) digest->bytes, RELAY_DIGEST_LEN);
}
