
/*
 * An attempt whose content is still being prepared in a thread when nginx asks
 * for it: peer.get must not wait, so the connection is made meanwhile, and the
 * request is sent when both are there. The first attempt never comes here.
 *
 *   peer.get -> connect -> TLS -> "send": late_output says NGX_AGAIN
 *       |                                     |
 *       +-> thread -> ngx_http_relay_late: request -> late_output
 *                                          refused -> next candidate
 */


#include "ngx_http_relay_content.h"
#include "ngx_http_relay_translate.h"


static ngx_int_t ngx_http_relay_late_write(ngx_http_relay_ctx_t *ctx);
static ngx_int_t ngx_http_relay_late_output(void *data, ngx_chain_t *in);


/* something to send, for nginx: it is never read */

ngx_int_t
ngx_http_relay_late_begin(ngx_http_relay_ctx_t *ctx)
{
    ngx_buf_t            *b;
    ngx_chain_t          *cl;
    ngx_http_request_t   *r;
    ngx_http_upstream_t  *u;

    r = ctx->request;
    u = r->upstream;

    b = ngx_calloc_buf(r->pool);
    cl = ngx_alloc_chain_link(r->pool);

    if (b == NULL || cl == NULL) {
        return NGX_ERROR;
    }

    b->flush = 1;

    cl->buf = b;
    cl->next = NULL;

    u->request_bufs = cl;
    u->output.output_filter = ngx_http_relay_late_output;
    u->output.filter_ctx = ctx;

    return NGX_OK;
}


void
ngx_http_relay_late(ngx_http_relay_ctx_t *ctx)
{
    ngx_int_t              rc;
    ngx_http_request_t    *r;
    ngx_http_upstream_t   *u;
    ngx_http_relay_try_t  *attempt;

    r = ctx->request;
    u = r->upstream;
    attempt = &ctx->attempt;

    if (!attempt->late) {

        /* it has failed before its content was there */

        return;
    }

    rc = ngx_http_relay_content_prepare(ctx);

    if (rc == NGX_AGAIN) {

        /* that was for another candidate: now it is this one's turn */

        return;
    }

    attempt->late = 0;

    if (rc == NGX_OK) {
        rc = ngx_http_relay_late_write(ctx);
    }

    if (rc != NGX_OK) {
        attempt->unsent = 1;
        attempt->failure = (rc == NGX_DECLINED) ? RELAY_ERR_NONE
                                                : RELAY_ERR_INTERNAL;
    }

    /* else the connection is not there yet, and nginx will send by itself */

    if (u->request_sent) {
        u->write_event_handler(r, u);
    }
}


static ngx_int_t
ngx_http_relay_late_write(ngx_http_relay_ctx_t *ctx)
{
    ngx_http_upstream_t  *u;

    u = ctx->request->upstream;

    if (ngx_http_relay_build_request(ctx) != NGX_OK) {
        return NGX_ERROR;
    }

    if (ctx->sent_us == 0) {
        ctx->sent_us = ngx_http_relay_now_us();
    }

    if (u->request_sent) {

        /* nginx has taken what was there in place of it */

        ctx->attempt.late_bufs = u->request_bufs;
    }

    return NGX_OK;
}


/* in place of ngx_chain_writer(), for all attempts after the first late one */

static ngx_int_t
ngx_http_relay_late_output(void *data, ngx_chain_t *in)
{
    ngx_http_relay_ctx_t *ctx = data;

    ngx_http_relay_try_t  *attempt;

    attempt = &ctx->attempt;

    if (attempt->late) {
        return NGX_AGAIN;
    }

    if (attempt->unsent) {
        return NGX_ERROR;
    }

    if (attempt->late_bufs) {
        in = attempt->late_bufs;
        attempt->late_bufs = NULL;
    }

    return ngx_chain_writer(&ctx->request->upstream->writer, in);
}
