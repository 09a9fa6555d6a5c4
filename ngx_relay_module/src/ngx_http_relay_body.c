
/*
 * The request body, whole and in memory: read piece by piece so that a body
 * of unknown length costs what it is and never a file, and so that its limit
 * is answered in the caller's dialect; then inflated if it came compressed.
 */


#include "ngx_http_relay.h"

#include <zlib.h>
#include <zstd.h>


#define NGX_HTTP_RELAY_BODY_START  16384


static void ngx_http_relay_body_start(ngx_http_request_t *r);
static ngx_int_t ngx_http_relay_body_in_place(ngx_http_relay_ctx_t *ctx);
static void ngx_http_relay_body_read(ngx_http_request_t *r);
static ngx_int_t ngx_http_relay_body_take(ngx_http_relay_ctx_t *ctx);
static ngx_int_t ngx_http_relay_body_grow(ngx_http_relay_ctx_t *ctx,
    ngx_str_t *body, size_t *size, size_t more);
static void ngx_http_relay_body_failed(ngx_http_request_t *r, ngx_int_t rc);
static ngx_int_t ngx_http_relay_refuse_framing(ngx_http_request_t *r);
static ngx_int_t ngx_http_relay_body_decode(ngx_http_relay_ctx_t *ctx);
static ngx_int_t ngx_http_relay_inflate(ngx_http_relay_ctx_t *ctx,
    ngx_str_t *out);
static ngx_int_t ngx_http_relay_unzstd(ngx_http_relay_ctx_t *ctx,
    ngx_str_t *out);
static void *ngx_http_relay_zalloc(void *opaque, u_int items, u_int size);
static void ngx_http_relay_zfree(void *opaque, void *address);


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
        || ngx_http_relay_body_grow(ctx, &ctx->body, &ctx->body_size,
                                    (size_t) rb->rest)
           != NGX_OK)
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

    rc = ngx_http_relay_body_decode(ctx);

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

            if (ngx_http_relay_body_grow(ctx, &ctx->body, &ctx->body_size, n)
                != NGX_OK)
            {
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


/* room for `more` bytes behind body, within relay_max_body_size */

static ngx_int_t
ngx_http_relay_body_grow(ngx_http_relay_ctx_t *ctx, ngx_str_t *body,
    size_t *size, size_t more)
{
    u_char                     *p;
    size_t                      wanted;
    ngx_http_relay_loc_conf_t  *rlcf;

    rlcf = ngx_http_get_module_loc_conf(ctx->request, ngx_relay_module);

    if (more > rlcf->max_body_size - body->len) {
        return NGX_DECLINED;
    }

    if (more <= *size - body->len) {
        return NGX_OK;
    }

    if (*size == 0 && body == &ctx->body
        && ctx->request->headers_in.content_length_n > 0)
    {
        wanted = (size_t) ctx->request->headers_in.content_length_n;

    } else {
        wanted = ngx_max(*size * 2, NGX_HTTP_RELAY_BODY_START);
    }

    wanted = ngx_max(wanted, body->len + more);
    wanted = ngx_min(wanted, rlcf->max_body_size);

    p = ngx_pnalloc(ctx->request->pool, wanted);
    if (p == NULL) {
        return NGX_ERROR;
    }

    if (body->data) {
        ngx_memcpy(p, body->data, body->len);
        (void) ngx_pfree(ctx->request->pool, body->data);
    }

    body->data = p;
    *size = wanted;

    return NGX_OK;
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


static ngx_int_t
ngx_http_relay_body_decode(ngx_http_relay_ctx_t *ctx)
{
    ngx_int_t         rc;
    ngx_str_t         decoded;
    relay_span_t      coding;
    ngx_table_elt_t  *h;

    h = ngx_http_relay_request_header(ctx->request, "content-encoding",
                                      sizeof("content-encoding") - 1);

    if (h == NULL || ctx->body.len == 0
        || ctx->match.operation == RELAY_OP_NONE)
    {
        return NGX_OK;
    }

    coding = ngx_http_relay_span(&h->value);
    ngx_str_null(&decoded);

    if (relay_span_case_eq(coding, RELAY_SPAN("identity"))) {
        return NGX_OK;
    }

    if (relay_span_case_eq(coding, RELAY_SPAN("gzip"))
        || relay_span_case_eq(coding, RELAY_SPAN("deflate")))
    {
        rc = ngx_http_relay_inflate(ctx, &decoded);

    } else if (relay_span_case_eq(coding, RELAY_SPAN("zstd"))) {
        rc = ngx_http_relay_unzstd(ctx, &decoded);

    } else {
        rc = NGX_HTTP_UNSUPPORTED_MEDIA_TYPE;
    }

    ctx->body = decoded;
    ctx->inflating = 1;

    return rc;
}


static ngx_int_t
ngx_http_relay_inflate(ngx_http_relay_ctx_t *ctx, ngx_str_t *out)
{
    int         rc;
    size_t      size;
    z_stream    zs;
    ngx_int_t   grown;

    ngx_memzero(&zs, sizeof(z_stream));

    zs.zalloc = ngx_http_relay_zalloc;
    zs.zfree = ngx_http_relay_zfree;
    zs.opaque = ctx->request->pool;
    zs.next_in = ctx->body.data;
    zs.avail_in = ctx->body.len;

    /* 32: gzip or zlib, told apart by their headers */

    if (inflateInit2(&zs, MAX_WBITS + 32) != Z_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    size = 0;
    rc = Z_OK;

    do {
        grown = ngx_http_relay_body_grow(ctx, out, &size, 1);

        if (grown != NGX_OK) {
            break;
        }

        zs.next_out = out->data + out->len;
        zs.avail_out = size - out->len;

        rc = inflate(&zs, Z_NO_FLUSH);

        out->len = size - zs.avail_out;

    } while (rc == Z_OK);

    (void) inflateEnd(&zs);

    if (grown == NGX_DECLINED) {
        return NGX_HTTP_REQUEST_ENTITY_TOO_LARGE;
    }

    if (grown != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return (rc == Z_STREAM_END && zs.avail_in == 0)
           ? NGX_OK : NGX_HTTP_UNSUPPORTED_MEDIA_TYPE;
}


static ngx_int_t
ngx_http_relay_unzstd(ngx_http_relay_ctx_t *ctx, ngx_str_t *out)
{
    size_t           left, size;
    ngx_int_t        rc;
    ZSTD_DStream    *zs;
    ZSTD_inBuffer    in;
    ZSTD_outBuffer   to;

    zs = ZSTD_createDStream();
    if (zs == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    /* a window that no honest client needs would be allocated up front */

    (void) ZSTD_DCtx_setParameter(zs, ZSTD_d_windowLogMax, 25);

    in.src = ctx->body.data;
    in.size = ctx->body.len;
    in.pos = 0;

    size = 0;
    rc = NGX_HTTP_UNSUPPORTED_MEDIA_TYPE;

    for ( ;; ) {

        switch (ngx_http_relay_body_grow(ctx, out, &size, 1)) {
        case NGX_OK:
            break;
        case NGX_DECLINED:
            rc = NGX_HTTP_REQUEST_ENTITY_TOO_LARGE;
            goto done;
        default:
            rc = NGX_HTTP_INTERNAL_SERVER_ERROR;
            goto done;
        }

        to.dst = out->data;
        to.size = size;
        to.pos = out->len;

        left = ZSTD_decompressStream(zs, &to, &in);

        if (ZSTD_isError(left)) {
            break;
        }

        out->len = to.pos;

        if (left == 0 && in.pos == in.size) {
            rc = NGX_OK;
            break;
        }

        if (in.pos == in.size && to.pos < to.size) {
            /* cut short */
            break;
        }
    }

done:

    (void) ZSTD_freeDStream(zs);

    return rc;
}


static void *
ngx_http_relay_zalloc(void *opaque, u_int items, u_int size)
{
    return ngx_palloc(opaque, items * size);
}


static void
ngx_http_relay_zfree(void *opaque, void *address)
{
    (void) ngx_pfree(opaque, address);
}
