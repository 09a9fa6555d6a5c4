
/*
 * One request's passage through ngx_http_upstream: waiting for a name, the
 * limits of each try, the answer's header, and the end. What becomes of an
 * answer is decided in ngx_http_relay_hold.c.
 */


#include "ngx_http_relay_translate.h"
#include "ngx_http_relay_whole.h"

#include "header_line.h"


#define NGX_HTTP_RELAY_READ_MIN  4096


static ngx_http_relay_endpoint_t *ngx_http_relay_unresolved(
    ngx_http_relay_ctx_t *ctx);
static void ngx_http_relay_wait_handler(ngx_event_t *ev);
static void ngx_http_relay_wait_cleanup(void *data);
static ngx_int_t ngx_http_relay_wait(ngx_http_relay_ctx_t *ctx,
    ngx_http_relay_endpoint_t *ep);
static void ngx_http_relay_begin(ngx_http_relay_ctx_t *ctx);
static void ngx_http_relay_cleanup(void *data);
static ngx_int_t ngx_http_relay_create_request(ngx_http_request_t *r);
static ngx_int_t ngx_http_relay_reinit_request(ngx_http_request_t *r);
static void ngx_http_relay_abort_request(ngx_http_request_t *r);
static ngx_int_t ngx_http_relay_process_header(ngx_http_request_t *r);
static ngx_int_t ngx_http_relay_take_in(ngx_http_relay_ctx_t *ctx);
static ngx_int_t ngx_http_relay_read_header(ngx_http_relay_ctx_t *ctx);
static void ngx_http_relay_forget_header(ngx_http_relay_ctx_t *ctx);
static ngx_int_t ngx_http_relay_header_lines(ngx_http_relay_ctx_t *ctx);
static ngx_int_t ngx_http_relay_header_done(ngx_http_relay_ctx_t *ctx);
static void ngx_http_relay_finalize_request(ngx_http_request_t *r,
    ngx_int_t rc);
static ngx_int_t ngx_http_relay_finish_answer(ngx_http_relay_ctx_t *ctx,
    ngx_int_t rc);
static ngx_int_t ngx_http_relay_finish_failure(ngx_http_relay_ctx_t *ctx,
    ngx_int_t rc);
static void ngx_http_relay_keep_client(ngx_http_relay_ctx_t *ctx);
static void ngx_http_relay_keep_client_handler(ngx_event_t *ev);


void
ngx_http_relay_upstream_start(ngx_http_request_t *r)
{
    ngx_http_relay_ctx_t       *ctx;
    ngx_http_relay_endpoint_t  *ep;

    ctx = ngx_http_relay_ctx(r);
    ep = ngx_http_relay_unresolved(ctx);

    if (ep == NULL) {
        ngx_http_relay_begin(ctx);
        return;
    }

    if (ngx_http_relay_wait(ctx, ep) != NGX_OK) {
        ngx_http_finalize_request(r, NGX_HTTP_INTERNAL_SERVER_ERROR);
    }
}


/*
 * A candidate's endpoint whose name server has not answered yet; or has, but
 * there is no other candidate, so that asking once more is all that is left.
 */

static ngx_http_relay_endpoint_t *
ngx_http_relay_unresolved(ngx_http_relay_ctx_t *ctx)
{
    size_t                      i;
    ngx_http_relay_endpoint_t  *ep;

    if (ctx->rmcf->resolver == NULL) {
        return NULL;
    }

    for (i = 0; i < ctx->plan->count; i++) {
        ep = ctx->snapshot->endpoints[ctx->plan->candidates[i].host->index];

        if (ep && ep->naddrs == 0 && !ep->literal
            && (!ep->answered || (ctx->plan->count == 1 && !ctx->waited)))
        {
            return ep;
        }
    }

    return NULL;
}


/* only for a name that has never been resolved, and bounded */

static ngx_int_t
ngx_http_relay_wait(ngx_http_relay_ctx_t *ctx, ngx_http_relay_endpoint_t *ep)
{
    ngx_http_cleanup_t  *cln;
    ngx_http_request_t  *r;

    r = ctx->request;

    if (!ctx->waited) {

        cln = ngx_http_cleanup_add(r, 0);
        if (cln == NULL) {
            return NGX_ERROR;
        }

        cln->handler = ngx_http_relay_wait_cleanup;
        cln->data = ctx;

        ctx->wait.handler = ngx_http_relay_wait_handler;
        ctx->wait.data = ctx;
        ctx->wait.log = r->connection->log;

        ngx_add_timer(&ctx->wait, ctx->plan->candidates[0].timeouts.connect_ms);

        r->read_event_handler = ngx_http_test_reading;
        r->write_event_handler = ngx_http_request_empty_handler;
    }

    ctx->waited = 1;

    ngx_queue_insert_tail(&ep->waiters, &ctx->waiting);
    ctx->queued = 1;

    if (!ep->resolving) {

        if (ep->refresh.timer_set) {
            ngx_del_timer(&ep->refresh);
        }

        ngx_post_event(&ep->refresh, &ngx_posted_events);
    }

    return NGX_OK;
}


static void
ngx_http_relay_wait_handler(ngx_event_t *ev)
{
    ngx_connection_t           *c;
    ngx_http_relay_ctx_t       *ctx;
    ngx_http_relay_endpoint_t  *ep;

    ctx = ev->data;
    c = ctx->request->connection;

    ngx_http_set_log_request(c->log, ctx->request);

    ep = ev->timedout ? NULL : ngx_http_relay_unresolved(ctx);

    if (ep) {
        (void) ngx_http_relay_wait(ctx, ep);
        return;
    }

    ngx_http_relay_wait_cleanup(ctx);
    ngx_http_relay_begin(ctx);
    ngx_http_run_posted_requests(c);
}


static void
ngx_http_relay_wait_cleanup(void *data)
{
    ngx_http_relay_ctx_t *ctx = data;

    if (ctx->queued) {
        ngx_queue_remove(&ctx->waiting);
        ctx->queued = 0;
    }

    if (ctx->wait.timer_set) {
        ngx_del_timer(&ctx->wait);
    }

    if (ctx->wait.posted) {
        ngx_delete_posted_event(&ctx->wait);
    }
}


static void
ngx_http_relay_begin(ngx_http_relay_ctx_t *ctx)
{
    ngx_pool_cleanup_t   *cln;
    ngx_http_request_t   *r;
    ngx_http_upstream_t  *u;

    r = ctx->request;
    cln = ngx_pool_cleanup_add(r->pool, 0);

    if (cln == NULL
        || ngx_http_relay_forward_headers(ctx) != NGX_OK
        || ngx_http_upstream_create(r) != NGX_OK)
    {
        ngx_http_finalize_request(r, NGX_HTTP_INTERNAL_SERVER_ERROR);
        return;
    }

    cln->handler = ngx_http_relay_cleanup;
    cln->data = ctx;

    u = r->upstream;

    ngx_str_set(&u->schema, "relay://");
    u->output.tag = (ngx_buf_tag_t) &ngx_relay_module;

    /* limits differ by try, so each request owns its configuration */

    *ctx->conf = ctx->rmcf->upstream_conf;
    u->conf = ctx->conf;

    if (ctx->match.operation == RELAY_OP_NONE
        && !(r->method & (NGX_HTTP_GET|NGX_HTTP_HEAD)))
    {
        /*
         * Unknown, it may not be safe to repeat once it was sent; nor then to
         * send over a connection that the provider may be closing.
         */

        ctx->once = 1;
        ctx->conf->next_upstream &= ~NGX_HTTP_UPSTREAM_FT_NON_IDEMPOTENT;
    }

    u->create_request = ngx_http_relay_create_request;
    u->reinit_request = ngx_http_relay_reinit_request;
    u->process_header = ngx_http_relay_process_header;
    u->abort_request = ngx_http_relay_abort_request;
    u->finalize_request = ngx_http_relay_finalize_request;

    u->input_filter_init = ngx_http_relay_input_filter_init;
    u->input_filter = ngx_http_relay_input_filter;
    u->input_filter_ctx = ctx;

    u->buffering = 0;
    u->accel = 1;

    ngx_http_relay_drain_add(ctx);

    ngx_http_upstream_init(r);
}


/* what the pool does not give back by itself, whatever the end */

static void
ngx_http_relay_cleanup(void *data)
{
    ngx_http_relay_ctx_t *ctx = data;

    if (ctx->yield.posted) {
        ngx_delete_posted_event(&ctx->yield);
    }

    ngx_http_relay_silence_end(ctx);
    ngx_http_relay_stream_reset(ctx);
}


static ngx_int_t
ngx_http_relay_create_request(ngx_http_request_t *r)
{
    /* built in peer.get */

    r->upstream->request_bufs = NULL;

    return NGX_OK;
}


static ngx_int_t
ngx_http_relay_reinit_request(ngx_http_request_t *r)
{
    /* done in peer.get: nginx does not come here after a failed connect */

    return NGX_OK;
}


static void
ngx_http_relay_abort_request(ngx_http_request_t *r)
{
    ngx_log_debug0(NGX_LOG_DEBUG_HTTP, r->connection->log, 0,
                   "relay abort request");
}


/*
 * Before the answer nginx arms read_timeout once, when the request is sent,
 * and lets it run through every read: it is the limit of the first token.
 */

void
ngx_http_relay_set_timers(ngx_http_relay_ctx_t *ctx)
{
    ngx_msec_t               left, spent;
    const relay_timeouts_t  *limits;

    limits = &ctx->attempt.candidate->timeouts;

    spent = ngx_current_msec - ctx->begun;
    left = (spent < limits->total_ms) ? limits->total_ms - spent : 1;

    ctx->conf->connect_timeout = ngx_min((ngx_msec_t) limits->connect_ms, left);
    ctx->conf->read_timeout = ngx_min((ngx_msec_t) limits->first_token_ms,
                                     left);
    ctx->conf->send_timeout = ngx_min((ngx_msec_t) limits->first_token_ms,
                                     left);
}


static ngx_int_t
ngx_http_relay_process_header(ngx_http_request_t *r)
{
    ngx_int_t              rc;
    ngx_http_upstream_t   *u;
    ngx_http_relay_ctx_t  *ctx;
    ngx_http_relay_try_t  *attempt;

    u = r->upstream;
    ctx = ngx_http_relay_ctx(r);
    attempt = &ctx->attempt;

    attempt->received = 1;

    if (attempt->woken) {
        attempt->woken = 0;
        u->buffer.last--;
    }

    if (attempt->late || attempt->unsent) {

        /* an answer to nothing */

        attempt->failure = RELAY_ERR_UPSTREAM_INVALID;
        return ngx_http_relay_fail(ctx, NULL);
    }

    if (attempt->answer) {
        rc = ngx_http_relay_whole(ctx);

    } else {
        ctx->entered_us = ngx_http_relay_now_us();
        rc = ngx_http_relay_take_in(ctx);
    }

    if (rc == NGX_OK) {
        return NGX_OK;
    }

    if (attempt->body_start) {
        u->buffer.pos = attempt->body_start;
        u->buffer.last = attempt->body_start;
    }

    return (rc == NGX_ABORT) ? ngx_http_relay_fail(ctx, NULL) : rc;
}


/* what nginx has read; as ngx_http_relay_hold() */

static ngx_int_t
ngx_http_relay_take_in(ngx_http_relay_ctx_t *ctx)
{
    ngx_int_t              rc;
    ngx_str_t              none;
    ngx_buf_t             *b;
    relay_span_t           raw;
    ngx_http_relay_try_t  *attempt;

    attempt = &ctx->attempt;
    b = &ctx->request->upstream->buffer;

    if (!attempt->header_done) {

        rc = ngx_http_relay_read_header(ctx);

        if (rc == NGX_OK) {
            rc = ngx_http_relay_judge(ctx);
        }

        if (rc == NGX_DECLINED) {
            ngx_str_null(&none);
            return ngx_http_relay_reword(ctx, &none);
        }

        if (rc != NGX_OK) {
            return rc;
        }
    }

    raw = relay_span(b->pos, b->last - b->pos);

    rc = ngx_http_relay_hold(ctx, raw);

    if (rc == NGX_AGAIN && !attempt->recv) {
        ngx_http_relay_take_turns(ctx, raw.len);
    }

    return rc;
}


/* NGX_OK: the header is whole; NGX_AGAIN; NGX_ABORT: the try has failed */

static ngx_int_t
ngx_http_relay_read_header(ngx_http_relay_ctx_t *ctx)
{
    ngx_int_t              rc;
    ngx_http_request_t    *r;
    ngx_http_upstream_t   *u;
    ngx_http_relay_try_t  *attempt;

    r = ctx->request;
    u = r->upstream;
    attempt = &ctx->attempt;

    for ( ;; ) {

        rc = NGX_OK;

        if (attempt->status.end == NULL) {
            rc = ngx_http_parse_status_line(r, &u->buffer, &attempt->status);
        }

        if (rc == NGX_OK) {
            rc = ngx_http_relay_header_lines(ctx);
        }

        if (rc == NGX_OK
            && attempt->status.code >= 100
            && attempt->status.code < 200
            && attempt->status.code != 101)
        {
            ngx_http_relay_forget_header(ctx);
            continue;
        }

        break;
    }

    if (rc == NGX_AGAIN && u->buffer.last < u->buffer.end) {
        return NGX_AGAIN;
    }

    if (rc != NGX_OK || attempt->status.code == 101
        || attempt->status.code < 100
        || (attempt->chunked && attempt->has_length))
    {
        ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                      "upstream sent an invalid or oversized header");

        attempt->failure = RELAY_ERR_UPSTREAM_INVALID;
        return NGX_ABORT;
    }

    return ngx_http_relay_header_done(ctx);
}


/* a 1xx: the answer proper is still to come */

static void
ngx_http_relay_forget_header(ngx_http_relay_ctx_t *ctx)
{
    ngx_http_relay_try_t  *attempt;

    attempt = &ctx->attempt;

    ngx_memzero(&attempt->status, sizeof(ngx_http_status_t));

    attempt->headers.nelts = 0;

    ngx_str_null(&attempt->content_type);
    ngx_str_null(&attempt->content_encoding);
    ngx_str_null(&attempt->retry_after);
    ngx_str_null(&attempt->connection);

    attempt->length = 0;
    attempt->has_length = 0;
    attempt->chunked = 0;
    attempt->close = 0;

    ctx->request->state = 0;
}


static ngx_int_t
ngx_http_relay_header_lines(ngx_http_relay_ctx_t *ctx)
{
    ngx_buf_t     *b;
    ngx_str_t      name, value;
    relay_span_t   key, text;

    b = &ctx->request->upstream->buffer;

    for ( ;; ) {

        switch (relay_header_line(&b->pos, b->last, &key, &text)) {

        case RELAY_HEADER_LINE:
            break;

        case RELAY_HEADER_END:
            return NGX_OK;

        case RELAY_HEADER_MORE:
            return NGX_AGAIN;

        default: /* RELAY_HEADER_ERROR */
            return NGX_ERROR;
        }

        name.data = (u_char *) key.base;
        name.len = key.len;
        value.data = (u_char *) text.base;
        value.len = text.len;

        if (ngx_http_relay_upstream_header(ctx, &name, &value) != NGX_OK) {
            return NGX_ERROR;
        }
    }
}


/* the header stays where it is; bodies are read behind it, into enough room */

static ngx_int_t
ngx_http_relay_header_done(ngx_http_relay_ctx_t *ctx)
{
    size_t                 rest;
    u_char                *p;
    ngx_buf_t             *b;
    ngx_http_relay_try_t  *attempt;

    attempt = &ctx->attempt;
    b = &ctx->request->upstream->buffer;

    attempt->header_done = 1;

    ngx_http_relay_drop_named(attempt);

    ngx_http_relay_told(attempt);

    if (attempt->translated) {
        attempt->translated->translation.told_tokens = attempt->told_tokens;
        ngx_http_relay_translate_headers(ctx);
    }

    if (b->end - b->pos < NGX_HTTP_RELAY_READ_MIN) {

        rest = b->last - b->pos;

        p = ngx_palloc(ctx->request->pool, ctx->conf->buffer_size);
        if (p == NULL) {
            return NGX_ERROR;
        }

        b->last = ngx_cpymem(p, b->pos, rest);
        b->start = p;
        b->pos = p;
        b->end = p + ctx->conf->buffer_size;
    }

    attempt->body_start = b->pos;

    return NGX_OK;
}


/*
 * Runs once, whatever the end: rc is 0 for a complete answer, 499 for a client
 * that has gone, 502 or 504 when tries are used up or the provider is lost.
 */

static void
ngx_http_relay_finalize_request(ngx_http_request_t *r, ngx_int_t rc)
{
    ngx_int_t              whole;
    ngx_http_relay_ctx_t  *ctx;

    ctx = ngx_http_relay_ctx(r);

    ngx_http_relay_drain_remove(ctx);
    ngx_http_relay_silence_end(ctx);

    if (ctx->yield.posted) {
        ngx_delete_posted_event(&ctx->yield);
    }

    if (rc == NGX_HTTP_CLIENT_CLOSED_REQUEST
        || rc == NGX_HTTP_REQUEST_TIME_OUT
        || rc == NGX_ERROR
        || r->connection->error)
    {
        return;
    }

    whole = r->upstream->header_sent ? ngx_http_relay_finish_answer(ctx, rc)
                                     : ngx_http_relay_finish_failure(ctx, rc);

    if (whole == NGX_OK && rc >= NGX_HTTP_SPECIAL_RESPONSE) {
        ngx_http_relay_keep_client(ctx);
    }
}


/* NGX_OK: what the client got is whole; NGX_DECLINED: it is cut */

static ngx_int_t
ngx_http_relay_finish_answer(ngx_http_relay_ctx_t *ctx, ngx_int_t rc)
{
    relay_error_code_t   why;
    ngx_http_request_t  *r;

    r = ctx->request;

    if (ctx->attempt.mode != NGX_HTTP_RELAY_STREAM || r->header_only) {

        if (rc != NGX_OK) {
            ctx->error = RELAY_ERR_UPSTREAM_CUT;
        }

        return (rc == NGX_OK) ? NGX_OK : NGX_DECLINED;
    }

    why = RELAY_ERR_UPSTREAM_CUT;

    if (ctx->draining) {
        why = RELAY_ERR_SHUTTING_DOWN;

    } else if (rc == NGX_HTTP_GATEWAY_TIME_OUT) {
        why = RELAY_ERR_UPSTREAM_TIMEOUT;

    } else if (ctx->attempt.failure) {
        why = ctx->attempt.failure;
    }

    /* after a complete answer nginx sends the last buffer itself */

    if (ngx_http_relay_stream_end(ctx, why, rc != NGX_OK) == NGX_ERROR) {
        r->connection->error = 1;
        return NGX_DECLINED;
    }

    return NGX_OK;
}


/* the same where nothing was sent: every candidate has failed */

static ngx_int_t
ngx_http_relay_finish_failure(ngx_http_relay_ctx_t *ctx, ngx_int_t rc)
{
    ngx_http_request_t  *r;

    r = ctx->request;

    if (rc == NGX_HTTP_GATEWAY_TIME_OUT) {
        ctx->last = RELAY_ERR_UPSTREAM_TIMEOUT;
    }

    if (rc == NGX_HTTP_INTERNAL_SERVER_ERROR || ctx->draining) {
        ctx->last = ctx->draining ? RELAY_ERR_SHUTTING_DOWN
                                  : RELAY_ERR_INTERNAL;
        ctx->failure.status = 0;
    }

    if (r->method == NGX_HTTP_HEAD) {

        /* nginx ends these by force: then the answer says so */

        r->keepalive = 0;
    }

    if (rc == NGX_OK || ngx_http_relay_send_last_word(ctx) == NGX_ERROR) {
        return NGX_DECLINED;
    }

    r->upstream->header_sent = 1;

    return r->header_only ? NGX_DECLINED : NGX_OK;
}


/*
 * The answer is whole, but nginx holds it for cut: when its callback is over,
 * it will clear r->keepalive and give up the request, and so close, without a
 * word, a connection that the answer's header said would stay. The request is
 * held until after that, and the connection is kept then. Where the client has
 * not taken all of the answer yet, nginx goes on sending it, and keeps the
 * connection at the end of that.
 */

static void
ngx_http_relay_keep_client(ngx_http_relay_ctx_t *ctx)
{
    ngx_http_request_t  *r;

    r = ctx->request;

    if (!r->keepalive || r->http_version >= NGX_HTTP_VERSION_20) {
        return;
    }

    r->main->count++;

    ctx->yield.handler = ngx_http_relay_keep_client_handler;
    ctx->yield.data = ctx;
    ctx->yield.log = r->connection->log;

    ngx_post_event(&ctx->yield, &ngx_posted_events);
}


static void
ngx_http_relay_keep_client_handler(ngx_event_t *ev)
{
    ngx_connection_t      *c;
    ngx_http_request_t    *r;
    ngx_http_relay_ctx_t  *ctx;

    ctx = ev->data;
    r = ctx->request;
    c = r->connection;

    ngx_http_set_log_request(c->log, r);

    r->keepalive = !c->error;

    ngx_http_finalize_request(r, NGX_DONE);
    ngx_http_run_posted_requests(c);
}
