
/*
 * Who asks: the relay key that a request presents, from files or from the
 * store. A key that this worker has not met yet is asked for; the request waits
 * for that as long as ngx_http_relay_keys.h lets it.
 *
 *   digest -> files -> store: known --------------> judged -> dispatched
 *                       |                             ^    -> refused
 *                       +-- asked for, request waits -+
 */


#include "ngx_http_relay_store.h"


struct ngx_http_relay_store_key_s {
    ngx_http_relay_ctx_t            *ctx;
    ngx_http_relay_keys_wait_t       wait;
    ngx_http_relay_keys_entry_t     *entry;       /* pinned */
    relay_relay_key_t                key;         /* as routing takes it */
};


static ngx_int_t ngx_http_relay_ask_store(ngx_http_relay_ctx_t *ctx,
    const relay_digest_t *digest);
static void ngx_http_relay_release_key(void *data);
static ngx_int_t ngx_http_relay_wait_key(ngx_http_relay_ctx_t *ctx);
static void ngx_http_relay_wait_key_cleanup(void *data);
static void ngx_http_relay_key_answered(ngx_http_relay_keys_wait_t *wait);
static void ngx_http_relay_key_handler(ngx_event_t *ev);
static ngx_int_t ngx_http_relay_judge_key(ngx_http_relay_ctx_t *ctx,
    ngx_int_t rc);
static ngx_int_t ngx_http_relay_admit(ngx_http_relay_ctx_t *ctx,
    const relay_relay_key_t *key);
static ngx_int_t ngx_http_relay_no_store(ngx_http_relay_ctx_t *ctx);


ngx_int_t
ngx_http_relay_authenticate(ngx_http_relay_ctx_t *ctx)
{
    relay_span_t              presented;
    relay_digest_t            digest;
    const relay_relay_key_t  *key;

    if (ngx_http_relay_presented_key(ctx, &presented) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (!relay_key_digest(presented, &digest)) {
        return ngx_http_relay_refuse_code(ctx->request,
                                          RELAY_ERR_INVALID_RELAY_KEY);
    }

    key = relay_config_find_key(ctx->snapshot->config, &digest);

    if (key == NULL && ctx->rmcf->store) {
        return ngx_http_relay_ask_store(ctx, &digest);
    }

    return ngx_http_relay_admit(ctx, key);
}


static ngx_int_t
ngx_http_relay_ask_store(ngx_http_relay_ctx_t *ctx,
    const relay_digest_t *digest)
{
    ngx_int_t                    rc;
    ngx_pool_cleanup_t          *cln;
    ngx_http_request_t          *r;
    ngx_http_relay_store_t      *store;
    ngx_http_relay_store_key_t  *known;

    r = ctx->request;
    store = ctx->rmcf->store;

    if (ctx->snapshot->revision == 0) {

        /* nothing was published yet, or nothing of it could be had */

        return ngx_http_relay_no_store(ctx);
    }

    cln = ngx_pool_cleanup_add(r->pool, sizeof(ngx_http_relay_store_key_t));
    if (cln == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    known = cln->data;
    ngx_memzero(known, sizeof(ngx_http_relay_store_key_t));

    known->ctx = ctx;
    known->wait.handler = ngx_http_relay_key_answered;
    known->wait.data = known;

    ctx->store_key = known;
    cln->handler = ngx_http_relay_release_key;

    rc = ngx_http_relay_keys_lookup(store->keys, digest,
                                    ctx->snapshot->config, &known->wait,
                                    &known->entry);

    return (rc == NGX_AGAIN) ? ngx_http_relay_wait_key(ctx)
                             : ngx_http_relay_judge_key(ctx, rc);
}


/* after the log is written: it has the key's name */

static void
ngx_http_relay_release_key(void *data)
{
    ngx_http_relay_store_key_t *known = data;

    ngx_http_relay_keys_cancel(&known->wait);

    if (known->entry) {
        ngx_http_relay_keys_release(known->entry);
        known->entry = NULL;
    }
}


static ngx_int_t
ngx_http_relay_wait_key(ngx_http_relay_ctx_t *ctx)
{
    ngx_http_cleanup_t  *cln;
    ngx_http_request_t  *r;

    r = ctx->request;

    cln = ngx_http_cleanup_add(r, 0);
    if (cln == NULL) {
        ngx_http_relay_keys_cancel(&ctx->store_key->wait);
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    cln->handler = ngx_http_relay_wait_key_cleanup;
    cln->data = ctx;

    ctx->wait.handler = ngx_http_relay_key_handler;
    ctx->wait.data = ctx;
    ctx->wait.log = r->connection->log;

    r->read_event_handler = ngx_http_test_reading;
    r->write_event_handler = ngx_http_request_empty_handler;

    r->main->count++;

    return NGX_DONE;
}


/* the caller has gone, or the wait is over */

static void
ngx_http_relay_wait_key_cleanup(void *data)
{
    ngx_http_relay_ctx_t *ctx = data;

    ngx_http_relay_keys_cancel(&ctx->store_key->wait);

    if (ctx->wait.handler == ngx_http_relay_key_handler && ctx->wait.posted) {
        ngx_delete_posted_event(&ctx->wait);
    }
}


/* posted: the request may end there, and others wait for the same answer */

static void
ngx_http_relay_key_answered(ngx_http_relay_keys_wait_t *wait)
{
    ngx_http_relay_store_key_t *known = wait->data;

    known->entry = wait->entry;

    ngx_post_event(&known->ctx->wait, &ngx_posted_events);
}


static void
ngx_http_relay_key_handler(ngx_event_t *ev)
{
    ngx_int_t              rc;
    ngx_connection_t      *c;
    ngx_http_request_t    *r;
    ngx_http_relay_ctx_t  *ctx;

    ctx = ev->data;
    r = ctx->request;
    c = r->connection;

    ngx_http_set_log_request(c->log, r);

    /* nothing was decided yet: what counts is what is served now */

    ngx_http_relay_snapshot_release(ctx->snapshot);
    ctx->snapshot = ngx_http_relay_snapshot_pin(ctx->rmcf->snapshot);

    r->read_event_handler = ngx_http_block_reading;

    rc = ngx_http_relay_judge_key(ctx, ctx->store_key->wait.rc);

    if (rc == NGX_DECLINED) {
        rc = ngx_http_relay_dispatch(ctx);
    }

    ngx_http_finalize_request(r, rc);
    ngx_http_run_posted_requests(c);
}


/* rc: as from ngx_http_relay_keys_lookup() */

static ngx_int_t
ngx_http_relay_judge_key(ngx_http_relay_ctx_t *ctx, ngx_int_t rc)
{
    const relay_policy_t        *policy;
    const relay_key_record_t    *record;
    ngx_http_relay_store_key_t  *known;

    switch (rc) {

    case NGX_OK:
        break;

    case NGX_DECLINED:

        if (ctx->rmcf->store->whole) {
            return ngx_http_relay_admit(ctx, NULL);
        }

        /* it may have lost the key with all the rest */

        /* fall through */

    case NGX_BUSY:
        return ngx_http_relay_no_store(ctx);

    default:
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    known = ctx->store_key;
    record = &known->entry->record;

    if (record->revision < relay_config_revoked_before(ctx->snapshot->config,
                                                       &record->digest))
    {
        return ngx_http_relay_admit(ctx, NULL);
    }

    policy = relay_config_find_policy(ctx->snapshot->config, record->policy);

    if (policy == NULL) {

        /* of a revision that is still on its way, or nowhere */

        return (record->revision > ctx->snapshot->revision)
               ? ngx_http_relay_no_store(ctx)
               : ngx_http_relay_admit(ctx, NULL);
    }

    known->key = relay_key_of_record(record, policy);

    return ngx_http_relay_admit(ctx, &known->key);
}


/* unknown, disabled, expired: one answer for all */

static ngx_int_t
ngx_http_relay_admit(ngx_http_relay_ctx_t *ctx, const relay_relay_key_t *key)
{
    if (key == NULL || key->disabled
        || (key->expires_at_s && key->expires_at_s <= (uint64_t) ngx_time()))
    {
        return ngx_http_relay_refuse_code(ctx->request,
                                          RELAY_ERR_INVALID_RELAY_KEY);
    }

    ctx->key = key;

    return NGX_DECLINED;
}


static ngx_int_t
ngx_http_relay_no_store(ngx_http_relay_ctx_t *ctx)
{
    relay_error_t  error;

    ngx_memzero(&error, sizeof(relay_error_t));

    error.code = RELAY_ERR_STORE_UNAVAILABLE;
    error.retry_after_s = 1;

    return ngx_http_relay_refuse(ctx->request, &error);
}
