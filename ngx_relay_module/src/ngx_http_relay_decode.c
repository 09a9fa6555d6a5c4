
/*
 * Request bodies that came compressed, whole and in memory again. What a few
 * hundred bytes become is not known before, so each body begins in the loop, and
 * goes on in a thread if it turns out to be long.
 */


#include "ngx_http_relay_decode.h"
#include "ngx_http_relay_offload.h"

#include <zlib.h>
#include <zstd.h>


#define NGX_HTTP_RELAY_DECODE_START  16384

/* as much as half a millisecond gives */
#define NGX_HTTP_RELAY_LONG_DECODED  (256 * 1024)

/* a window that no honest client needs would be allocated up front */
#define NGX_HTTP_RELAY_WINDOW_LOG    25


/* NGX_AGAIN: limit is reached; else as ngx_http_relay_decode() */

typedef ngx_int_t (*ngx_http_relay_decode_pt)(
    ngx_http_relay_decoder_t *decoder, size_t limit);


struct ngx_http_relay_decoder_s {
    ngx_http_relay_decode_pt         decode;
    ngx_http_relay_main_conf_t      *rmcf;
    ngx_pool_t                      *pool;        /* its own: a thread uses it */

    ngx_str_t                        out;
    size_t                           size;
    size_t                           max;
    ngx_int_t                        rc;          /* of a thread */

    z_stream                         zs;
    ZSTD_DStream                    *zstd;
    ZSTD_inBuffer                    in;

    unsigned                         inflating:1; /* zs is open */
};


static ngx_http_relay_decode_pt ngx_http_relay_decoding(
    ngx_http_relay_ctx_t *ctx, ngx_int_t *rc);
static ngx_int_t ngx_http_relay_decoder_create(ngx_http_relay_ctx_t *ctx,
    ngx_http_relay_decode_pt decode);
static void ngx_http_relay_decoder_close(ngx_http_relay_decoder_t *decoder);
static void ngx_http_relay_decoder_cleanup(void *data);
static void ngx_http_relay_decode_work(ngx_http_relay_ctx_t *ctx);
static void ngx_http_relay_decode_done(ngx_http_relay_ctx_t *ctx);
static ngx_int_t ngx_http_relay_decode_end(ngx_http_relay_ctx_t *ctx,
    ngx_int_t rc);
static ngx_int_t ngx_http_relay_decode_room(ngx_http_relay_decoder_t *decoder);
static ngx_int_t ngx_http_relay_inflate(ngx_http_relay_decoder_t *decoder,
    size_t limit);
static ngx_int_t ngx_http_relay_unzstd(ngx_http_relay_decoder_t *decoder,
    size_t limit);
static void *ngx_http_relay_zalloc(void *opaque, u_int items, u_int size);
static void ngx_http_relay_zfree(void *opaque, void *address);


ngx_int_t
ngx_http_relay_decode(ngx_http_relay_ctx_t *ctx)
{
    ngx_int_t                  rc;
    ngx_http_relay_decode_pt   decode;

    decode = ngx_http_relay_decoding(ctx, &rc);

    if (decode == NULL) {
        return rc;
    }

    if (ngx_http_relay_decoder_create(ctx, decode) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    rc = decode(ctx->decoder, NGX_HTTP_RELAY_LONG_DECODED);

    if (rc == NGX_AGAIN) {

        if (ngx_http_relay_offload(ctx, ngx_http_relay_decode_work,
                                   ngx_http_relay_decode_done)
            == NGX_AGAIN)
        {
            return NGX_AGAIN;
        }

        rc = decode(ctx->decoder, NGX_MAX_SIZE_T_VALUE);
    }

    return ngx_http_relay_decode_end(ctx, rc);
}


/* NULL: nothing to decode, or not to be: rc says so */

static ngx_http_relay_decode_pt
ngx_http_relay_decoding(ngx_http_relay_ctx_t *ctx, ngx_int_t *rc)
{
    relay_span_t      coding;
    ngx_table_elt_t  *h;

    *rc = NGX_OK;

    h = ngx_http_relay_request_header(ctx->request, "content-encoding",
                                      sizeof("content-encoding") - 1);

    if (h == NULL || ctx->body.len == 0
        || ctx->match.operation == RELAY_OP_NONE)
    {
        return NULL;
    }

    coding = ngx_http_relay_span(&h->value);

    if (relay_span_case_eq(coding, RELAY_SPAN("identity"))) {
        return NULL;
    }

    if (relay_span_case_eq(coding, RELAY_SPAN("gzip"))
        || relay_span_case_eq(coding, RELAY_SPAN("deflate")))
    {
        return ngx_http_relay_inflate;
    }

    if (relay_span_case_eq(coding, RELAY_SPAN("zstd"))) {
        return ngx_http_relay_unzstd;
    }

    *rc = NGX_HTTP_UNSUPPORTED_MEDIA_TYPE;

    return NULL;
}


static ngx_int_t
ngx_http_relay_decoder_create(ngx_http_relay_ctx_t *ctx,
    ngx_http_relay_decode_pt decode)
{
    ngx_pool_cleanup_t         *cln;
    ngx_http_request_t         *r;
    ngx_http_relay_decoder_t   *decoder;
    ngx_http_relay_loc_conf_t  *rlcf;

    r = ctx->request;
    rlcf = ngx_http_get_module_loc_conf(r, ngx_relay_module);

    decoder = ngx_pcalloc(r->pool, sizeof(ngx_http_relay_decoder_t));
    cln = ngx_pool_cleanup_add(r->pool, 0);

    if (decoder == NULL || cln == NULL) {
        return NGX_ERROR;
    }

    cln->handler = ngx_http_relay_decoder_cleanup;
    cln->data = decoder;

    ctx->decoder = decoder;
    decoder->decode = decode;
    decoder->rmcf = ctx->rmcf;
    decoder->max = rlcf->max_body_size;

    decoder->pool = ngx_create_pool(NGX_HTTP_RELAY_BLOCK, r->connection->log);
    if (decoder->pool == NULL) {
        return NGX_ERROR;
    }

    if (decode == ngx_http_relay_unzstd) {

        decoder->in.src = ctx->body.data;
        decoder->in.size = ctx->body.len;
        decoder->zstd = ZSTD_createDStream();

        if (decoder->zstd == NULL) {
            return NGX_ERROR;
        }

        (void) ZSTD_DCtx_setParameter(decoder->zstd, ZSTD_d_windowLogMax,
                                      NGX_HTTP_RELAY_WINDOW_LOG);
        return NGX_OK;
    }

    decoder->zs.zalloc = ngx_http_relay_zalloc;
    decoder->zs.zfree = ngx_http_relay_zfree;
    decoder->zs.opaque = decoder->pool;
    decoder->zs.next_in = ctx->body.data;
    decoder->zs.avail_in = ctx->body.len;

    /* 32: gzip or zlib, told apart by their headers */

    if (inflateInit2(&decoder->zs, MAX_WBITS + 32) != Z_OK) {
        return NGX_ERROR;
    }

    decoder->inflating = 1;

    return NGX_OK;
}


static void
ngx_http_relay_decoder_close(ngx_http_relay_decoder_t *decoder)
{
    if (decoder->inflating) {
        (void) inflateEnd(&decoder->zs);
        decoder->inflating = 0;
    }

    if (decoder->zstd) {
        (void) ZSTD_freeDStream(decoder->zstd);
        decoder->zstd = NULL;
    }
}


static void
ngx_http_relay_decoder_cleanup(void *data)
{
    ngx_http_relay_decoder_t *decoder = data;

    ngx_http_relay_decoder_close(decoder);

    if (decoder->pool == NULL) {
        return;
    }

    if (decoder->size >= NGX_HTTP_RELAY_LARGE) {
        ngx_http_relay_discard(decoder->rmcf, decoder->pool);

    } else {
        ngx_destroy_pool(decoder->pool);
    }
}


static void
ngx_http_relay_decode_work(ngx_http_relay_ctx_t *ctx)
{
    ngx_http_relay_decoder_t  *decoder;

    decoder = ctx->decoder;

    decoder->rc = decoder->decode(decoder, NGX_MAX_SIZE_T_VALUE);
}


static void
ngx_http_relay_decode_done(ngx_http_relay_ctx_t *ctx)
{
    ngx_int_t  rc;

    rc = ngx_http_relay_decode_end(ctx, ctx->decoder->rc);

    ngx_http_relay_body_decoded(ctx, rc);
}


static ngx_int_t
ngx_http_relay_decode_end(ngx_http_relay_ctx_t *ctx, ngx_int_t rc)
{
    ngx_http_relay_decoder_close(ctx->decoder);

    ctx->body = ctx->decoder->out;
    ctx->inflating = 1;

    return rc;
}


/* room for at least one more byte, within relay_max_body_size */

static ngx_int_t
ngx_http_relay_decode_room(ngx_http_relay_decoder_t *decoder)
{
    size_t      wanted;
    u_char     *p;
    ngx_str_t  *out;

    out = &decoder->out;

    if (out->len < decoder->size) {
        return NGX_OK;
    }

    if (out->len == decoder->max) {
        return NGX_HTTP_REQUEST_ENTITY_TOO_LARGE;
    }

    wanted = ngx_max(decoder->size * 2, NGX_HTTP_RELAY_DECODE_START);
    wanted = ngx_min(wanted, decoder->max);

    p = ngx_pnalloc(decoder->pool, wanted);
    if (p == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (out->data) {
        ngx_memcpy(p, out->data, out->len);
        (void) ngx_pfree(decoder->pool, out->data);
    }

    out->data = p;
    decoder->size = wanted;

    return NGX_OK;
}


static ngx_int_t
ngx_http_relay_inflate(ngx_http_relay_decoder_t *decoder, size_t limit)
{
    int         rc;
    z_stream   *zs;
    ngx_int_t   room;
    ngx_str_t  *out;

    zs = &decoder->zs;
    out = &decoder->out;

    do {
        if (out->len >= limit) {
            return NGX_AGAIN;
        }

        room = ngx_http_relay_decode_room(decoder);

        if (room != NGX_OK) {
            return room;
        }

        zs->next_out = out->data + out->len;
        zs->avail_out = decoder->size - out->len;

        rc = inflate(zs, Z_NO_FLUSH);

        out->len = decoder->size - zs->avail_out;

    } while (rc == Z_OK);

    return (rc == Z_STREAM_END && zs->avail_in == 0)
           ? NGX_OK : NGX_HTTP_UNSUPPORTED_MEDIA_TYPE;
}


static ngx_int_t
ngx_http_relay_unzstd(ngx_http_relay_decoder_t *decoder, size_t limit)
{
    size_t           left;
    ngx_int_t        room;
    ngx_str_t       *out;
    ZSTD_inBuffer   *in;
    ZSTD_outBuffer   to;

    out = &decoder->out;
    in = &decoder->in;

    for ( ;; ) {

        if (out->len >= limit) {
            return NGX_AGAIN;
        }

        room = ngx_http_relay_decode_room(decoder);

        if (room != NGX_OK) {
            return room;
        }

        to.dst = out->data;
        to.size = decoder->size;
        to.pos = out->len;

        left = ZSTD_decompressStream(decoder->zstd, &to, in);

        if (ZSTD_isError(left)) {
            return NGX_HTTP_UNSUPPORTED_MEDIA_TYPE;
        }

        out->len = to.pos;

        if (left == 0 && in->pos == in->size) {
            return NGX_OK;
        }

        if (in->pos == in->size && to.pos < to.size) {

            /* cut short */

            return NGX_HTTP_UNSUPPORTED_MEDIA_TYPE;
        }
    }
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
