
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


#include "ngx_http_relay_store.h"
#include "ngx_http_relay_translate.h"

#include <openssl/crypto.h>


/* requests up to this size are sent from one buffer */
#define NGX_HTTP_RELAY_COPY_MAX       16384

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
static ngx_int_t ngx_http_relay_build_request(ngx_http_relay_ctx_t *ctx);
static ngx_int_t ngx_http_relay_put_request(ngx_http_relay_ctx_t *ctx,
    ngx_str_t *secret);
static size_t ngx_http_relay_edits(ngx_http_relay_ctx_t *ctx,
    relay_edit_t *edits, relay_buf_t *scratch);
static size_t ngx_http_relay_header_size(ngx_http_relay_ctx_t *ctx,
    ngx_str_t *secret);
static void ngx_http_relay_write_header(ngx_http_relay_ctx_t *ctx,
    ngx_str_t *secret, relay_buf_t *out, size_t content_length,
    ngx_str_t *written);
static void ngx_http_relay_put_path(ngx_http_relay_ctx_t *ctx,
    relay_buf_t *out);
static void ngx_http_relay_put_str(relay_buf_t *out, ngx_str_t *text);
static ngx_str_t *ngx_http_relay_forwarded(ngx_http_relay_ctx_t *ctx);
static ngx_int_t ngx_http_relay_chain_body(ngx_pool_t *pool, ngx_str_t *body,
    ngx_chain_t **last, relay_edit_t *edits, size_t nedits);
static ngx_int_t ngx_http_relay_chain_span(ngx_pool_t *pool,
    ngx_chain_t ***last, relay_span_t text);
static void ngx_http_relay_put_body(ngx_str_t *body, relay_buf_t *out,
    relay_edit_t *edits, size_t nedits);
static void ngx_http_relay_cleanse_key(void *data);


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

        rc = ngx_http_relay_translate_request(ctx);

        if (rc == NGX_DECLINED) {
            ctx->fresh = 0;
            ctx->candidate++;
            continue;
        }

        if (rc != NGX_OK) {
            return rc;
        }

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

    if (ngx_http_relay_stream_begin(ctx) != NGX_OK
        || ngx_http_relay_build_request(ctx) != NGX_OK)
    {
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


/* a sealed secret is open for no longer than it takes to write it down */

static ngx_int_t
ngx_http_relay_build_request(ngx_http_relay_ctx_t *ctx)
{
    u_char                       room[NGX_HTTP_RELAY_SECRET_ROOM];
    ngx_int_t                    rc;
    ngx_str_t                    secret;
    const relay_provider_key_t  *key;

    key = ctx->attempt.candidate->key;

    if (key->secret_kind != RELAY_SECRET_SEALED) {
        return ngx_http_relay_put_request(ctx,
                                       &ctx->snapshot->secrets[key->index]);
    }

    if (ctx->rmcf->store == NULL
        || ngx_http_relay_secret_open(&ctx->rmcf->store->opener, key,
                                      ctx->snapshot->places[key->index], room,
                                      &secret)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    rc = ngx_http_relay_put_request(ctx, &secret);

    OPENSSL_cleanse(room, secret.len);

    return rc;
}


/*
 * u->request_bufs from the client's original bytes: header, then the body with
 * its splices. nginx rewinds each buffer to `start`, so start is always the
 * first byte to send.
 */

static ngx_int_t
ngx_http_relay_put_request(ngx_http_relay_ctx_t *ctx, ngx_str_t *secret)
{
    size_t               i, nedits, length, size;
    u_char              *p, text[RELAY_ENVELOPE_SCRATCH];
    ngx_str_t           *body;
    ngx_buf_t           *b;
    relay_buf_t          scratch, out;
    relay_edit_t         edits[RELAY_EDITS_MAX];
    ngx_uint_t           copied;
    ngx_chain_t         *cl;
    ngx_pool_cleanup_t  *cln;
    ngx_http_request_t  *r;

    r = ctx->request;

    scratch = relay_buf(text, sizeof(text));
    nedits = ngx_http_relay_edits(ctx, edits, &scratch);

    if (!relay_buf_ok(&scratch)) {
        return NGX_ERROR;
    }

    body = ctx->attempt.translated ? &ctx->attempt.translated->body
                                   : &ctx->body;
    length = body->len;

    for (i = 0; i < nedits; i++) {
        length = length - edits[i].removed + edits[i].text.len;
    }

    size = ngx_http_relay_header_size(ctx, secret);
    copied = (size + length <= NGX_HTTP_RELAY_COPY_MAX);

    if (copied) {
        size += length;
    }

    cln = ngx_pool_cleanup_add(r->pool, sizeof(ngx_str_t));
    b = ngx_calloc_buf(r->pool);
    cl = ngx_alloc_chain_link(r->pool);
    p = ngx_pnalloc(r->pool, size);

    if (cln == NULL || b == NULL || cl == NULL || p == NULL) {
        return NGX_ERROR;
    }

    out = relay_buf(p, size);
    ngx_http_relay_write_header(ctx, secret, &out, length, cln->data);

    cln->handler = ngx_http_relay_cleanse_key;
    ctx->attempt.request = cln->data;

    if (copied) {
        ngx_http_relay_put_body(body, &out, edits, nedits);
    }

    if (!relay_buf_ok(&out)) {
        return NGX_ERROR;
    }

    b->start = p;
    b->pos = p;
    b->last = p + out.len;
    b->end = b->last;
    b->temporary = 1;

    cl->buf = b;
    cl->next = NULL;

    r->upstream->request_bufs = cl;

    if (copied || length == 0) {
        b->flush = 1;
        return NGX_OK;
    }

    return ngx_http_relay_chain_body(r->pool, body, &cl->next, edits, nedits);
}


static size_t
ngx_http_relay_edits(ngx_http_relay_ctx_t *ctx, relay_edit_t *edits,
    relay_buf_t *scratch)
{
    relay_edit_options_t      options;
    const relay_candidate_t  *candidate;

    if ((ctx->match.operation != RELAY_OP_GENERATE
         && ctx->match.operation != RELAY_OP_AUXILIARY)
        || ctx->attempt.translated)
    {
        return 0;
    }

    candidate = ctx->attempt.candidate;

    options.model = candidate->upstream_model;
    options.ask_usage = candidate->host->stream_usage
                        && ctx->match.operation == RELAY_OP_GENERATE;

    return candidate->wire->edits(&ctx->envelope, &options, edits, scratch);
}


/* room for what ngx_http_relay_write_header() writes */

static size_t
ngx_http_relay_header_size(ngx_http_relay_ctx_t *ctx, ngx_str_t *secret)
{
    size_t                    i, size;
    const relay_host_t       *host;
    const relay_candidate_t  *candidate;

    candidate = ctx->attempt.candidate;
    host = candidate->host;

    size = sizeof("  HTTP/1.1" CRLF "Host: " CRLF ": " CRLF
                  "Accept-Encoding: identity" CRLF "Content-Length: " CRLF
                  CRLF)
           + NGX_INT64_LEN + ctx->request->method_name.len
           + host->base_path.len + ctx->match.rest.len + ctx->args.len
           + host->authority.len + host->auth_header.len
           + host->auth_prefix.len + secret->len
           + ngx_http_relay_forwarded(ctx)->len;

    if (ctx->match.operation != RELAY_OP_NONE) {
        size += host->paths[candidate->wire->index].len;
    }

    for (i = 0; i < host->nheaders; i++) {
        size += host->headers[i].name.len + host->headers[i].value.len
                + sizeof(": " CRLF) - 1;
    }

    return size;
}


static ngx_str_t *
ngx_http_relay_forwarded(ngx_http_relay_ctx_t *ctx)
{
    return ctx->attempt.translated ? &ctx->attempt.translated->forward
                                   : &ctx->forward;
}


/* written: becomes the place of the secret in what is written */

static void
ngx_http_relay_write_header(ngx_http_relay_ctx_t *ctx, ngx_str_t *secret,
    relay_buf_t *out, size_t content_length, ngx_str_t *written)
{
    size_t                    i;
    ngx_http_request_t       *r;
    const relay_host_t       *host;
    const relay_candidate_t  *candidate;

    r = ctx->request;
    candidate = ctx->attempt.candidate;
    host = candidate->host;

    ngx_http_relay_put_str(out, &r->method_name);
    RELAY_PUT(out, " ");
    relay_buf_put(out, host->base_path);

    ngx_http_relay_put_path(ctx, out);

    if (ctx->attempt.translated == NULL) {
        ngx_http_relay_put_str(out, &ctx->args);
    }

    RELAY_PUT(out, " HTTP/1.1" CRLF "Host: ");
    relay_buf_put(out, host->authority);
    RELAY_PUT(out, CRLF);

    written->data = NULL;
    written->len = 0;

    if (secret->len) {
        relay_buf_put(out, host->auth_header);
        RELAY_PUT(out, ": ");
        relay_buf_put(out, host->auth_prefix);

        written->data = out->base + relay_buf_span(out).len;
        ngx_http_relay_put_str(out, secret);
        written->len = out->base + relay_buf_span(out).len - written->data;

        RELAY_PUT(out, CRLF);
    }

    RELAY_PUT(out, "Accept-Encoding: identity" CRLF);

    if (content_length
        || !(r->method & (NGX_HTTP_GET|NGX_HTTP_HEAD|NGX_HTTP_DELETE)))
    {
        RELAY_PUT(out, "Content-Length: ");
        relay_buf_put_u64(out, content_length);
        RELAY_PUT(out, CRLF);
    }

    ngx_http_relay_put_str(out, ngx_http_relay_forwarded(ctx));

    for (i = 0; i < host->nheaders; i++) {

        if (ctx->attempt.translated == NULL
            && ngx_http_relay_sent_by_client(r, host->headers[i].name)
               == NGX_OK)
        {
            continue;
        }

        relay_buf_put(out, host->headers[i].name);
        RELAY_PUT(out, ": ");
        relay_buf_put(out, host->headers[i].value);
        RELAY_PUT(out, CRLF);
    }

    RELAY_PUT(out, CRLF);
}


/* below the host's path for the format, what the caller has below ours */

static void
ngx_http_relay_put_path(ngx_http_relay_ctx_t *ctx, relay_buf_t *out)
{
    relay_span_t         rest;
    const relay_wire_t  *wire;

    rest = ctx->match.rest;

    if (ctx->match.operation != RELAY_OP_NONE) {
        wire = ctx->attempt.candidate->wire;

        relay_buf_put(out, ctx->attempt.candidate->host->paths[wire->index]);
        rest = relay_span_from(rest, wire->path.len);
    }

    if (ctx->match.operation != RELAY_OP_GENERATE) {
        relay_buf_put(out, rest);
    }
}


static void
ngx_http_relay_put_str(relay_buf_t *out, ngx_str_t *text)
{
    relay_buf_put(out, ngx_http_relay_span(text));
}


static void
ngx_http_relay_put_body(ngx_str_t *body, relay_buf_t *out,
    relay_edit_t *edits, size_t nedits)
{
    size_t  i, offset;

    offset = 0;

    for (i = 0; i < nedits; i++) {
        relay_buf_put(out, relay_span(body->data + offset,
                                      edits[i].offset - offset));
        relay_buf_put(out, edits[i].text);
        offset = edits[i].offset + edits[i].removed;
    }

    relay_buf_put(out, relay_span(body->data + offset,
                                  body->len - offset));
}


/* the same without a copy of the body */

static ngx_int_t
ngx_http_relay_chain_body(ngx_pool_t *pool, ngx_str_t *body,
    ngx_chain_t **last, relay_edit_t *edits, size_t nedits)
{
    u_char  *text;
    size_t   i, offset;

    offset = 0;

    for (i = 0; i < nedits; i++) {

        if (ngx_http_relay_chain_span(pool, &last,
                                      relay_span(body->data + offset,
                                                 edits[i].offset - offset))
            != NGX_OK)
        {
            return NGX_ERROR;
        }

        /* the edit's text lives on our caller's stack */

        text = ngx_pnalloc(pool, edits[i].text.len + 1);
        if (text == NULL) {
            return NGX_ERROR;
        }

        ngx_memcpy(text, edits[i].text.base, edits[i].text.len);

        if (ngx_http_relay_chain_span(pool, &last,
                                      relay_span(text, edits[i].text.len))
            != NGX_OK)
        {
            return NGX_ERROR;
        }

        offset = edits[i].offset + edits[i].removed;
    }

    return ngx_http_relay_chain_span(pool, &last,
                                     relay_span(body->data + offset,
                                                body->len - offset));
}


static ngx_int_t
ngx_http_relay_chain_span(ngx_pool_t *pool, ngx_chain_t ***last,
    relay_span_t text)
{
    ngx_buf_t    *b;
    ngx_chain_t  *cl;

    if (text.len == 0) {
        return NGX_OK;
    }

    b = ngx_calloc_buf(pool);
    cl = ngx_alloc_chain_link(pool);

    if (b == NULL || cl == NULL) {
        return NGX_ERROR;
    }

    b->start = (u_char *) text.base;
    b->pos = b->start;
    b->last = b->start + text.len;
    b->end = b->last;
    b->temporary = 1;

    cl->buf = b;
    cl->next = NULL;

    **last = cl;
    *last = &cl->next;

    return NGX_OK;
}


static void
ngx_http_relay_cleanse_key(void *data)
{
    ngx_str_t  *key = data;

    OPENSSL_cleanse(key->data, key->len);
    key->len = 0;
}
