
/*
 * A provider that is made to wait, before its answer is committed: for a thread,
 * or for the worker's other requests. nginx reads its answer in a loop of its
 * own, and process_header cannot end that loop but by an answer; so for as long
 * as we want, the connection says that nothing has come. To go on, it says once
 * that one byte has, which calls process_header.
 *
 *   process_header -> pause: recv says NGX_AGAIN -> nginx waits
 *   resume -> nginx's read handler -> recv: one byte -> process_header
 */


#include "ngx_http_relay_whole.h"


/* of an answer that is held: about half a millisecond's work */
#define NGX_HTTP_RELAY_HELD_TURN  (512 * 1024)


static ssize_t ngx_http_relay_recv_nothing(ngx_connection_t *c, u_char *buf,
    size_t size);
static ssize_t ngx_http_relay_recv_wake(ngx_connection_t *c, u_char *buf,
    size_t size);
static void ngx_http_relay_send_nothing(ngx_http_request_t *r,
    ngx_http_upstream_t *u);
static void ngx_http_relay_turn_handler(ngx_event_t *ev);


void
ngx_http_relay_pause(ngx_http_relay_ctx_t *ctx)
{
    ngx_connection_t      *c;
    ngx_http_upstream_t   *u;
    ngx_http_relay_try_t  *attempt;

    attempt = &ctx->attempt;
    u = ctx->request->upstream;
    c = u->peer.connection;

    attempt->recv = c->recv;
    attempt->send = u->write_event_handler;

    c->recv = ngx_http_relay_recv_nothing;
    u->write_event_handler = ngx_http_relay_send_nothing;

    if (c->read->timer_set) {
        ngx_del_timer(c->read);
    }

    if (c->write->timer_set) {
        ngx_del_timer(c->write);
    }
}


void
ngx_http_relay_resume(ngx_http_relay_ctx_t *ctx)
{
    ngx_http_request_t   *r;
    ngx_http_upstream_t  *u;

    if (ctx->attempt.recv == NULL) {
        return;
    }

    r = ctx->request;
    u = r->upstream;

    u->peer.connection->recv = ngx_http_relay_recv_wake;
    u->read_event_handler(r, u);
}


void
ngx_http_relay_pause_end(ngx_http_relay_ctx_t *ctx)
{
    ngx_http_upstream_t   *u;
    ngx_http_relay_try_t  *attempt;

    attempt = &ctx->attempt;
    u = ctx->request->upstream;

    if (attempt->recv == NULL) {
        return;
    }

    u->peer.connection->recv = attempt->recv;
    attempt->recv = NULL;

    if (attempt->send) {
        u->write_event_handler = attempt->send;
        attempt->send = NULL;
    }

    if (ctx->yield.posted) {
        ngx_delete_posted_event(&ctx->yield);
    }
}


static ssize_t
ngx_http_relay_recv_nothing(ngx_connection_t *c, u_char *buf, size_t size)
{
    return NGX_AGAIN;
}


/* process_header leaves room for it, and takes it back */

static ssize_t
ngx_http_relay_recv_wake(ngx_connection_t *c, u_char *buf, size_t size)
{
    ngx_http_request_t    *r;
    ngx_http_relay_ctx_t  *ctx;

    r = c->data;

    ctx = ngx_http_relay_ctx(r);

    ngx_http_relay_pause_end(ctx);

    ctx->attempt.woken = 1;

    r->upstream->state->bytes_received--;

    *buf = '\0';

    return 1;
}


static void
ngx_http_relay_send_nothing(ngx_http_request_t *r, ngx_http_upstream_t *u)
{
    /* what is left of a request is not sent to one who has answered */
}


void
ngx_http_relay_take_turns(ngx_http_relay_ctx_t *ctx, size_t bytes)
{
    ngx_connection_t  *c;

    c = ctx->request->upstream->peer.connection;

    ctx->turn_size += bytes;

    if (ctx->turn_size < NGX_HTTP_RELAY_HELD_TURN || !c->read->ready) {
        return;
    }

    ctx->turn_size = 0;

    ctx->attempt.recv = c->recv;
    c->recv = ngx_http_relay_recv_nothing;

    ctx->yield.handler = ngx_http_relay_turn_handler;
    ctx->yield.data = ctx;
    ctx->yield.log = c->log;

    ngx_post_event(&ctx->yield, &ngx_posted_next_events);
}


static void
ngx_http_relay_turn_handler(ngx_event_t *ev)
{
    ngx_connection_t      *c;
    ngx_http_relay_ctx_t  *ctx;

    ctx = ev->data;
    c = ctx->request->connection;

    ngx_http_set_log_request(c->log, ctx->request);

    ngx_http_relay_resume(ctx);
    ngx_http_run_posted_requests(c);
}
