
/*
 * One try at a candidate. Everything that differs between candidates is made
 * in peer.get, for the first try as for every later one: nginx skips
 * reinit_request after a failed connect, so that a request built only there
 * would carry one provider's key to another.
 *
 *   get -> connect -> TLS -> request -> process_header ... free
 *    ^                                                      |
 *    +------ next candidate, or the same one afresh <-------+
 */


#include "ngx_http_relay_content.h"
#include "ngx_http_relay_whole.h"


#define NGX_HTTP_RELAY_REQUESTS_MAX   100000


static ngx_int_t ngx_http_relay_peer_get(ngx_peer_connection_t *pc,
    void *data);
static ngx_int_t ngx_http_relay_next_candidate(ngx_http_relay_ctx_t *ctx);
static ngx_int_t ngx_http_relay_try_begin(ngx_http_relay_ctx_t *ctx);
static void ngx_http_relay_peer_free(ngx_peer_connection_t *pc, void *data,
    ngx_uint_t state);
static void ngx_http_relay_try_failed(ngx_peer_connection_t *pc,
    ngx_http_relay_ctx_t *ctx);
static ngx_int_t ngx_http_relay_set_session(ngx_peer_connection_t *pc,
    void *data);
static void ngx_http_relay_save_session(ngx_peer_connection_t *pc,
    void *data);


ngx_int_t
ngx_http_relay_peer_init(ngx_http_request_t *r,
    ngx_http_upstream_srv_conf_t *us)
{
    ngx_http_relay_ctx_t   *ctx;
    ngx_peer_connection_t  *pc;

    ctx = ngx_http_relay_ctx(r);

    pc = &r->upstream->peer;

    pc->data = ctx;
    pc->get = ngx_http_relay_peer_get;
    pc->free = ngx_http_relay_peer_free;
    pc->set_session = ngx_http_relay_set_session;
    pc->save_session = ngx_http_relay_save_session;
    pc->tries = ctx->plan->count;

    return NGX_OK;
}


static ngx_int_t
ngx_http_relay_peer_get(ngx_peer_connection_t *pc, void *data)
{
    ngx_http_relay_ctx_t *ctx = data;

    ngx_int_t                   rc;
    ngx_http_relay_try_t       *attempt;
    ngx_http_relay_endpoint_t  *ep;

    pc->cached = 0;
    pc->connection = NULL;

    rc = ngx_http_relay_next_candidate(ctx);

    if (rc == NGX_DECLINED) {
        pc->tries = 0;
        return NGX_BUSY;
    }

    if (rc != NGX_OK || ngx_http_relay_try_begin(ctx) != NGX_OK) {
        return NGX_ERROR;
    }

    attempt = &ctx->attempt;
    ep = attempt->endpoint;

    pc->sockaddr = &attempt->addr.sockaddr.sockaddr;
    pc->socklen = attempt->addr.socklen;
    pc->name = &attempt->addr.text;

    ngx_log_debug2(NGX_LOG_DEBUG_HTTP, pc->log, 0,
                   "relay attempt %ui at %V", ctx->attempts, pc->name);

    if (!ctx->fresh && !ctx->once
        && ngx_http_relay_endpoint_reuse(pc, ep) == NGX_DONE)
    {
        return NGX_DONE;
    }

    ctx->fresh = 0;

    return NGX_OK;
}


/*
 * Leaves ctx->attempt at the next candidate that has an address to connect to;
 * NGX_DECLINED: there is none, or no time is left.
 */

static ngx_int_t
ngx_http_relay_next_candidate(ngx_http_relay_ctx_t *ctx)
{
    ngx_int_t                  rc;
    ngx_http_relay_try_t      *attempt;
    const relay_candidate_t   *candidate;

    ngx_http_relay_stream_reset(ctx);

    attempt = &ctx->attempt;

    if (ctx->begun == 0) {
        ctx->begun = ngx_current_msec;
    }

    while (ctx->candidate < ctx->plan->count) {

        candidate = &ctx->plan->candidates[ctx->candidate];

        if (ngx_current_msec - ctx->begun >= candidate->timeouts.total_ms) {
            ctx->last = RELAY_ERR_UPSTREAM_TIMEOUT;
            return NGX_DECLINED;
        }

        ngx_memzero(attempt, sizeof(ngx_http_relay_try_t));

        attempt->candidate = candidate;
        attempt->endpoint = ctx->snapshot->endpoints[candidate->host->index];

        rc = ngx_http_relay_content_prepare(ctx);

        if (rc == NGX_DECLINED) {
            ctx->fresh = 0;
            ctx->candidate++;
            continue;
        }

        if (rc != NGX_OK && rc != NGX_AGAIN) {
            return rc;
        }

        attempt->late = (rc == NGX_AGAIN);

        if (!ctx->fresh) {
            ctx->attempts++;
        }

        /* the echo model has no endpoint: it answers only as first choice */

        if (attempt->endpoint
            && ngx_http_relay_endpoint_addr(attempt->endpoint,
                                            ctx->request->connection->log,
                                            &attempt->addr)
               == NGX_OK)
        {
            return ngx_array_init(&attempt->headers, ctx->request->pool, 16,
                                  sizeof(ngx_http_relay_header_t));
        }

        ctx->last = RELAY_ERR_UPSTREAM_UNREACHABLE;
        ctx->fresh = 0;
        ctx->candidate++;
    }

    return NGX_DECLINED;
}


static ngx_int_t
ngx_http_relay_try_begin(ngx_http_relay_ctx_t *ctx)
{
    ngx_http_request_t         *r;
    ngx_http_upstream_t        *u;
    ngx_http_relay_endpoint_t  *ep;

    r = ctx->request;
    u = r->upstream;
    ep = ctx->attempt.endpoint;

    /* the parsers of the answer's header keep their state in the request */

    r->state = 0;

    u->keepalive = 0;
    u->ssl = (ep->tls != NULL);

    if (ep->tls) {
        u->ssl_name = ep->tls_name;
        u->conf->ssl = &ep->tls->ssl;
        u->conf->ssl_verify = ep->tls->verify;
    }

    ngx_http_relay_set_timers(ctx);

    if (ngx_http_relay_stream_begin(ctx) != NGX_OK) {
        return NGX_ERROR;
    }

    if (ctx->attempt.late) {
        return ngx_http_relay_late_begin(ctx);
    }

    if (ngx_http_relay_build_request(ctx) != NGX_OK) {
        return NGX_ERROR;
    }

    if (ctx->sent_us == 0) {
        ctx->sent_us = ngx_http_relay_now_us();
    }

    return NGX_OK;
}


static void
ngx_http_relay_peer_free(ngx_peer_connection_t *pc, void *data,
    ngx_uint_t state)
{
    ngx_http_relay_ctx_t *ctx = data;

    ngx_http_upstream_t   *u;
    ngx_http_relay_try_t  *attempt;

    u = ctx->request->upstream;
    attempt = &ctx->attempt;

    ngx_http_relay_pause_end(ctx);

    /* a try can fail by its answer and leave a good connection */

    if (u->keepalive
        && u->request_body_sent
        && pc->connection
        && pc->connection->requests < NGX_HTTP_RELAY_REQUESTS_MAX)
    {
        ngx_http_relay_endpoint_keep(pc, attempt->endpoint);
    }

    /* what was sent is not needed any more, and holds the provider's key */

    if (attempt->request) {
        ngx_http_relay_cleanse_key(attempt->request);
        attempt->request = NULL;
    }

    /* a thread that still prepares it has nobody to prepare it for */

    attempt->late = 0;

    if (state & NGX_PEER_FAILED) {
        ngx_http_relay_try_failed(pc, ctx);
    }

    if (pc->tries) {
        pc->tries--;
    }
}


static void
ngx_http_relay_try_failed(ngx_peer_connection_t *pc, ngx_http_relay_ctx_t *ctx)
{
    ngx_uint_t             timedout;
    ngx_connection_t      *c;
    ngx_http_upstream_t   *u;
    ngx_http_relay_try_t  *attempt;

    u = ctx->request->upstream;
    c = pc->connection;
    attempt = &ctx->attempt;

    if (attempt->unsent && attempt->failure == RELAY_ERR_NONE) {

        /* refused: the provider has heard nothing */

        ctx->attempts--;
        ctx->fresh = 0;
        ctx->candidate++;
        return;
    }

    timedout = c && (c->read->timedout || c->write->timedout);

    if (attempt->failure == RELAY_ERR_NONE) {

        if (timedout) {
            attempt->failure = RELAY_ERR_UPSTREAM_TIMEOUT;

        } else if (!u->request_sent) {
            attempt->failure = RELAY_ERR_UPSTREAM_UNREACHABLE;

        } else {
            attempt->failure = RELAY_ERR_UPSTREAM_CUT;
        }
    }

    if (!u->request_sent) {
        ngx_http_relay_endpoint_down(attempt->endpoint, &attempt->addr);
    }

    ctx->last = attempt->failure;

    /*
     * A pooled connection that the provider had closed says nothing about the
     * provider: the same candidate again, once, over a new connection. nginx
     * gives the try back for it.
     */

    if (pc->cached && !attempt->received && !timedout) {
        ctx->fresh = 1;
        return;
    }

    ctx->candidate++;
}


static ngx_int_t
ngx_http_relay_set_session(ngx_peer_connection_t *pc, void *data)
{
    ngx_http_relay_ctx_t *ctx = data;

    return ngx_ssl_set_session(pc->connection, ctx->attempt.endpoint->session);
}


static void
ngx_http_relay_save_session(ngx_peer_connection_t *pc, void *data)
{
    ngx_http_relay_ctx_t *ctx = data;

    ngx_ssl_session_t          *session, *old;
    ngx_http_relay_endpoint_t  *ep;

    session = ngx_ssl_get_session(pc->connection);

    if (session == NULL) {
        return;
    }

    ep = ctx->attempt.endpoint;
    old = ep->session;
    ep->session = session;

    if (old) {
        ngx_ssl_free_session(old);
    }
}
