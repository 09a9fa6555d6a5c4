
/*
 * The request body, whole and in memory: read piece by piece so that a body
 * of unknown length costs what it is and never a file, and so that its limit
 * is answered in the caller's dialect; then inflated if it came compressed
 * (ngx_http_relay_decode.c).
 */


#include "ngx_http_relay_decode.h"
#include "ngx_http_relay_offload.h"

#define NGX_HTTP_RELAY_BODY_START  16384


static void ngx_http_relay_body_start(ngx_http_request_t *r);
static ngx_int_t ngx_http_relay_body_in_place(ngx_http_relay_ctx_t *ctx);
static void ngx_http_relay_body_read(ngx_http_request_t *r);
static ngx_int_t ngx_http_relay_body_take(ngx_http_relay_ctx_t *ctx);
static ngx_int_t ngx_http_relay_body_grow(ngx_http_relay_ctx_t *ctx,
    size_t more);
static ngx_pool_t *ngx_http_relay_body_pool(ngx_http_relay_ctx_t *ctx,
    size_t size);
static void ngx_http_relay_body_cleanup(void *data);
static void ngx_http_relay_body_failed(ngx_http_request_t *r, ngx_int_t rc);
static ngx_int_t ngx_http_relay_refuse_framing(ngx_http_request_t *r);


ngx_int_t
ngx_http_relay_read_body(ngx_http_request_t *r)
{
    ngx_int_t                   rc;
    ngx_http_relay_loc_conf_t  *rlcf;

    rlcf = ngx_http_get_module_loc_conf(r, ngx_relay_module);

    if (r->headers_in.content_length_n > (off_t) rlcf->max_body_size) {
        return ngx_http_relay_refuse_code(r, RELAY_ERR_BODY_TOO_LARGE);
    }

    r->request_body_no_buffering = 1;

    rc = ngx_http_read_client_request_body(r, ngx_http_relay_body_start);

    if (rc >= NGX_HTTP_SPECIAL_RESPONSE) {

        return (rc == NGX_HTTP_BAD_REQUEST && !r->connection->error)
               ? ngx_http_relay_refuse_framing(r) : rc;
    }

    return NGX_DONE;
}


static void
ngx_http_relay_body_start(ngx_http_request_t *r)
{
    r->read_event_handler = ngx_http_relay_body_read;
    r->write_event_handler = ngx_http_request_empty_handler;

    if (ngx_http_relay_body_in_place(ngx_http_relay_ctx(r)) != NGX_OK) {
        ngx_http_finalize_request(r, NGX_HTTP_INTERNAL_SERVER_ERROR);
        return;
    }

    ngx_http_relay_body_read(r);
}


/*
 * A body whose length is known is read into its place: after the first piece
 * nginx's read buffer is the rest of ctx->body, so that nothing is copied.
 * Over HTTP/2, and for chunked bodies, nginx's buffer stays its own.
 */

static ngx_int_t
ngx_http_relay_body_in_place(ngx_http_relay_ctx_t *ctx)
{
    ngx_buf_t                *b;
    ngx_http_request_t       *r;
    ngx_http_request_body_t  *rb;

    r = ctx->request;
    rb = r->request_body;

    if (!r->reading_body || r->headers_in.chunked
        || r->http_version >= NGX_HTTP_VERSION_20)
    {
        return NGX_OK;
    }

    if (ngx_http_relay_body_take(ctx) != NGX_OK
        || ngx_http_relay_body_grow(ctx, (size_t) rb->rest) != NGX_OK)
    {
        return NGX_ERROR;
    }

    b = rb->buf;

    if (b == NULL || b->pos != b->last) {
        return NGX_OK;
    }

    b->start = ctx->body.data + ctx->body.len;
    b->pos = b->start;
    b->last = b->start;
    b->end = b->start + rb->rest;

    return NGX_OK;
}


static void
ngx_http_relay_body_read(ngx_http_request_t *r)
{
    ngx_int_t              rc;
    ngx_http_relay_ctx_t  *ctx;

    ctx = ngx_http_relay_ctx(r);

    for ( ;; ) {

        rc = ngx_http_relay_body_take(ctx);

        if (rc != NGX_OK) {
            ngx_http_relay_body_failed(r, rc);
            return;
        }

        if (!r->reading_body) {
            break;
        }

        rc = ngx_http_read_unbuffered_request_body(r);

        if (rc >= NGX_HTTP_SPECIAL_RESPONSE) {
            ngx_http_relay_body_failed(r, rc);
            return;
        }

        if (rc == NGX_AGAIN && r->request_body->bufs == NULL) {
            return;
        }
    }

    /* tries may now be repeated, and the client may be watched for leaving */

    r->request_body_no_buffering = 0;
    r->read_event_handler = ngx_http_block_reading;

    rc = ngx_http_relay_decode(ctx);

    if (rc == NGX_AGAIN) {
        ngx_http_relay_watch_caller(r);
        return;
    }

    ngx_http_relay_body_decoded(ctx, rc);
}


void
ngx_http_relay_body_decoded(ngx_http_relay_ctx_t *ctx, ngx_int_t rc)
{
    ngx_http_request_t  *r;

    r = ctx->request;

    if (rc != NGX_OK) {
        ngx_http_relay_body_failed(r, rc);
        return;
    }

    ctx->received_us = ngx_http_relay_now_us();

    ngx_http_relay_body_done(r);
}


/* moves what nginx has read to ctx->body; a lone buffer is used in place */

static ngx_int_t
ngx_http_relay_body_take(ngx_http_relay_ctx_t *ctx)
{
    size_t                      n;
    ngx_buf_t                  *b;
    ngx_chain_t                *cl, *next;
    ngx_http_request_t         *r;
    ngx_http_relay_loc_conf_t  *rlcf;

    r = ctx->request;

    if (r->request_body == NULL) {
        return NGX_OK;
    }

    cl = r->request_body->bufs;

    if (cl && cl->next == NULL && !r->reading_body && ctx->body.len == 0
        && ngx_buf_in_memory(cl->buf))
    {
        ctx->body.data = cl->buf->pos;
        ctx->body.len = cl->buf->last - cl->buf->pos;

        rlcf = ngx_http_get_module_loc_conf(r, ngx_relay_module);

        return (ctx->body.len > rlcf->max_body_size)
               ? NGX_HTTP_REQUEST_ENTITY_TOO_LARGE : NGX_OK;
    }

    for (/* void */; cl; cl = next) {

        next = cl->next;
        b = cl->buf;
        n = ngx_buf_in_memory(b) ? (size_t) (b->last - b->pos) : 0;

        if (n) {

            if (ngx_http_relay_body_grow(ctx, n) != NGX_OK) {
                return NGX_HTTP_REQUEST_ENTITY_TOO_LARGE;
            }

            if (b->pos != ctx->body.data + ctx->body.len) {
                ngx_memcpy(ctx->body.data + ctx->body.len, b->pos, n);
            }

            ctx->body.len += n;
            b->pos = b->last;
        }

        ngx_free_chain(r->pool, cl);
    }

    r->request_body->bufs = NULL;

    return NGX_OK;
}


/* room for `more` bytes behind ctx->body, within relay_max_body_size */

static ngx_int_t
ngx_http_relay_body_grow(ngx_http_relay_ctx_t *ctx, size_t more)
{
    u_char                     *p;
    size_t                      wanted;
    ngx_str_t                  *body;
    ngx_pool_t                 *pool, *old;
    ngx_http_request_t         *r;
    ngx_http_relay_loc_conf_t  *rlcf;

    r = ctx->request;
    body = &ctx->body;
    rlcf = ngx_http_get_module_loc_conf(r, ngx_relay_module);

    if (more > rlcf->max_body_size - body->len) {
        return NGX_DECLINED;
    }

    if (more <= ctx->body_size - body->len) {
        return NGX_OK;
    }

    if (ctx->body_size == 0 && r->headers_in.content_length_n > 0) {
        wanted = (size_t) r->headers_in.content_length_n;

    } else {
        wanted = ngx_max(ctx->body_size * 2, NGX_HTTP_RELAY_BODY_START);
    }

    wanted = ngx_max(wanted, body->len + more);
    wanted = ngx_min(wanted, rlcf->max_body_size);

    old = ngx_http_relay_body_pool(ctx, ctx->body_size);
    pool = ngx_http_relay_body_pool(ctx, wanted);
    p = pool ? ngx_pnalloc(pool, wanted) : NULL;

    if (p == NULL) {
        return NGX_ERROR;
    }

    if (body->data) {
        ngx_memcpy(p, body->data, body->len);
        (void) ngx_pfree(old, body->data);
    }

    body->data = p;
    ctx->body_size = wanted;

    return NGX_OK;
}


/* a large body has a pool of its own, so that a thread can give it back */

static ngx_pool_t *
ngx_http_relay_body_pool(ngx_http_relay_ctx_t *ctx, size_t size)
{
    ngx_pool_t          *pool;
    ngx_pool_cleanup_t  *cln;

    pool = ctx->request->pool;

    if (size < NGX_HTTP_RELAY_LARGE) {
        return pool;
    }

    if (ctx->body_pool == NULL) {

        cln = ngx_pool_cleanup_add(pool, 0);
        if (cln == NULL) {
            return NULL;
        }

        ctx->body_pool = ngx_create_pool(NGX_MIN_POOL_SIZE, pool->log);

        if (ctx->body_pool) {
            cln->handler = ngx_http_relay_body_cleanup;
            cln->data = ctx;
        }
    }

    return ctx->body_pool;
}


static void
ngx_http_relay_body_cleanup(void *data)
{
    ngx_http_relay_ctx_t *ctx = data;

    ngx_http_relay_discard(ctx->rmcf, ctx->body_pool);
}


/* rc is an HTTP status, from nginx or from us */

static void
ngx_http_relay_body_failed(ngx_http_request_t *r, ngx_int_t rc)
{
    relay_error_code_t  code;

    switch (rc) {

    case NGX_HTTP_REQUEST_ENTITY_TOO_LARGE:
        code = RELAY_ERR_BODY_TOO_LARGE;
        break;

    case NGX_HTTP_REQUEST_TIME_OUT:
        code = RELAY_ERR_BODY_TIMEOUT;
        r->keepalive = 0;
        break;

    case NGX_HTTP_UNSUPPORTED_MEDIA_TYPE:
        code = RELAY_ERR_CONTENT_ENCODING;
        break;

    case NGX_HTTP_BAD_REQUEST:

        if (!r->connection->error) {
            ngx_http_finalize_request(r, ngx_http_relay_refuse_framing(r));
            return;
        }

        /* the client is gone */

        /* fall through */

    default:
        ngx_http_finalize_request(r, rc);
        return;
    }

    /* a timed out connection would not be written to */

    r->connection->timedout = 0;
    r->connection->read->timedout = 0;

    ngx_http_finalize_request(r, ngx_http_relay_refuse_code(r, code));
}


static ngx_int_t
ngx_http_relay_refuse_framing(ngx_http_request_t *r)
{
    relay_error_t  error;

    ngx_memzero(&error, sizeof(relay_error_t));

    error.code = RELAY_ERR_INVALID_REQUEST;
    error.message = RELAY_SPAN("The request body's chunked framing is "
                               "invalid.");
    r->keepalive = 0;

    return ngx_http_relay_refuse(r, &error);
}
