
/*
 * The provider's answer, from its first byte to the decision: pass it on, or
 * try the next candidate. Until ngx_http_relay_commit() nothing reaches the
 * client; after it no further try is made.
 *
 *   HEADER --+-- error status to fail over on ---> FAILED --> next candidate
 *            |                                        (body remembered)
 *            +-- events --> STREAM --+-- error first ------> next candidate
 *            |                       +-- content ----------> commit
 *            +-- body ----> WHOLE ---+-- cut, too slow ----> next candidate
 *            |                       +-- complete ---------> commit
 *            +-- anything else ---> OPAQUE ----------------> commit
 */


#include "ngx_http_relay.h"


#define NGX_HTTP_RELAY_READ_MIN        4096

/* a length that is announced is allocated at once only up to this */
#define NGX_HTTP_RELAY_TRUSTED_LENGTH  (1024 * 1024)


static void ngx_http_relay_wait_handler(ngx_event_t *ev);
static void ngx_http_relay_wait_cleanup(void *data);
static ngx_int_t ngx_http_relay_wait(ngx_http_relay_ctx_t *ctx,
    ngx_http_relay_endpoint_t *ep);
static void ngx_http_relay_begin(ngx_http_relay_ctx_t *ctx);
static ngx_int_t ngx_http_relay_create_request(ngx_http_request_t *r);
static ngx_int_t ngx_http_relay_reinit_request(ngx_http_request_t *r);
static void ngx_http_relay_abort_request(ngx_http_request_t *r);
static ngx_int_t ngx_http_relay_process_header(ngx_http_request_t *r);
static ngx_int_t ngx_http_relay_read_header(ngx_http_relay_ctx_t *ctx);
static ngx_int_t ngx_http_relay_header_lines(ngx_http_relay_ctx_t *ctx);
static ngx_int_t ngx_http_relay_header_done(ngx_http_relay_ctx_t *ctx);
static ngx_int_t ngx_http_relay_judge(ngx_http_relay_ctx_t *ctx);
static ngx_uint_t ngx_http_relay_fails_over(ngx_http_relay_ctx_t *ctx,
    ngx_uint_t status);
static ngx_uint_t ngx_http_relay_is_event_stream(ngx_str_t *type);
static ngx_int_t ngx_http_relay_hold(ngx_http_relay_ctx_t *ctx,
    relay_span_t raw);
static ngx_int_t ngx_http_relay_hold_body(ngx_http_relay_ctx_t *ctx,
    relay_span_t payload, size_t max);
static ngx_int_t ngx_http_relay_held(ngx_http_relay_ctx_t *ctx);
static ngx_int_t ngx_http_relay_fail(ngx_http_relay_ctx_t *ctx,
    ngx_str_t *body);
static ngx_int_t ngx_http_relay_release_whole(ngx_http_relay_ctx_t *ctx);
static ngx_int_t ngx_http_relay_commit(ngx_http_relay_ctx_t *ctx);
static ngx_int_t ngx_http_relay_copy_headers(ngx_http_relay_ctx_t *ctx);
static void ngx_http_relay_finalize_request(ngx_http_request_t *r,
    ngx_int_t rc);


void
ngx_http_relay_upstream_start(ngx_http_request_t *r)
{
    ngx_int_t                   rc;
    ngx_http_relay_ctx_t       *ctx;
    ngx_http_relay_endpoint_t  *ep;

    ctx = ngx_http_relay_ctx(r);
    ep = ctx->rmcf->endpoints[ctx->plan.candidates[0].host->index];

    if (ep == NULL || ep->naddrs || ep->literal
        || ctx->rmcf->resolver == NULL)
    {
        ngx_http_relay_begin(ctx);
        return;
    }

    rc = ngx_http_relay_wait(ctx, ep);

    if (rc != NGX_OK) {
        ngx_http_finalize_request(r, NGX_HTTP_INTERNAL_SERVER_ERROR);
    }
}


/* only for a name that has never been resolved, and bounded */

static ngx_int_t
ngx_http_relay_wait(ngx_http_relay_ctx_t *ctx, ngx_http_relay_endpoint_t *ep)
{
    ngx_http_cleanup_t  *cln;
    ngx_http_request_t  *r;

    r = ctx->request;

    cln = ngx_http_cleanup_add(r, 0);
    if (cln == NULL) {
        return NGX_ERROR;
    }

    cln->handler = ngx_http_relay_wait_cleanup;
    cln->data = ctx;

    ctx->wait.handler = ngx_http_relay_wait_handler;
    ctx->wait.data = ctx;
    ctx->wait.log = r->connection->log;

    ngx_queue_insert_tail(&ep->waiters, &ctx->waiting);
    ctx->queued = 1;

    ngx_add_timer(&ctx->wait, ctx->plan.candidates[0].timeouts.connect_ms);

    r->read_event_handler = ngx_http_test_reading;
    r->write_event_handler = ngx_http_request_empty_handler;

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
    ngx_connection_t      *c;
    ngx_http_relay_ctx_t  *ctx;

    ctx = ev->data;
    c = ctx->request->connection;

    ngx_http_set_log_request(c->log, ctx->request);

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
    ngx_http_request_t   *r;
    ngx_http_upstream_t  *u;

    r = ctx->request;

    if (ngx_http_relay_forward_headers(ctx) != NGX_OK
        || ngx_http_upstream_create(r) != NGX_OK)
    {
        ngx_http_finalize_request(r, NGX_HTTP_INTERNAL_SERVER_ERROR);
        return;
    }

    u = r->upstream;

    ngx_str_set(&u->schema, "relay://");
    u->output.tag = (ngx_buf_tag_t) &ngx_relay_module;

    /* limits differ by try, so each request owns its configuration */

    ctx->conf = ctx->rmcf->upstream_conf;
    u->conf = &ctx->conf;

    if (ctx->match.operation == RELAY_OP_NONE
        && !(r->method & (NGX_HTTP_GET|NGX_HTTP_HEAD)))
    {
        /*
         * Unknown, it may not be safe to repeat once it was sent; nor then to
         * send over a connection that the provider may be closing.
         */

        ctx->once = 1;
        ctx->conf.next_upstream &= ~NGX_HTTP_UPSTREAM_FT_NON_IDEMPOTENT;
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

    ngx_http_upstream_init(r);
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

    ctx->conf.connect_timeout = ngx_min((ngx_msec_t) limits->connect_ms, left);
    ctx->conf.read_timeout = ngx_min((ngx_msec_t) limits->first_token_ms,
                                     left);
    ctx->conf.send_timeout = ngx_min((ngx_msec_t) limits->first_token_ms,
                                     left);
}


static ngx_int_t
ngx_http_relay_process_header(ngx_http_request_t *r)
{
    ngx_int_t              rc;
    relay_span_t           raw;
    ngx_http_upstream_t   *u;
    ngx_http_relay_ctx_t  *ctx;
    ngx_http_relay_try_t  *attempt;

    u = r->upstream;
    ctx = ngx_http_relay_ctx(r);
    attempt = &ctx->attempt;

    attempt->received = 1;
    ctx->entered_us = ngx_http_relay_now_us();

    if (!attempt->header_done) {

        rc = ngx_http_relay_read_header(ctx);

        if (rc == NGX_OK) {
            rc = ngx_http_relay_judge(ctx);
        }

        if (rc == NGX_ABORT) {
            return ngx_http_relay_fail(ctx, NULL);
        }

        if (rc != NGX_OK) {
            return rc;
        }
    }

    raw = relay_span(u->buffer.pos, u->buffer.last - u->buffer.pos);

    rc = ngx_http_relay_hold(ctx, raw);

    if (rc == NGX_OK) {
        return NGX_OK;
    }

    u->buffer.pos = attempt->body_start;
    u->buffer.last = attempt->body_start;

    return (rc == NGX_ABORT) ? ngx_http_relay_fail(ctx, NULL) : rc;
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
            /* 1xx: the answer proper is still to come */

            ngx_memzero(&attempt->status, sizeof(ngx_http_status_t));
            attempt->headers.nelts = 0;
            r->state = 0;
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


static ngx_int_t
ngx_http_relay_header_lines(ngx_http_relay_ctx_t *ctx)
{
    ngx_int_t            rc;
    ngx_str_t            name, value;
    ngx_http_request_t  *r;

    r = ctx->request;

    for ( ;; ) {

        rc = ngx_http_parse_header_line(r, &r->upstream->buffer, 1);

        if (rc == NGX_HTTP_PARSE_HEADER_DONE) {
            return NGX_OK;
        }

        if (rc != NGX_OK) {
            return (rc == NGX_AGAIN) ? NGX_AGAIN : NGX_ERROR;
        }

        name.data = r->header_name_start;
        name.len = r->header_name_end - r->header_name_start;
        value.data = r->header_start;
        value.len = r->header_end - r->header_start;

        if (name.len == 0
            || ngx_http_relay_upstream_header(ctx, &name, &value) != NGX_OK)
        {
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

    if (b->end - b->pos < NGX_HTTP_RELAY_READ_MIN) {

        rest = b->last - b->pos;

        p = ngx_palloc(ctx->request->pool, ctx->conf.buffer_size);
        if (p == NULL) {
            return NGX_ERROR;
        }

        b->last = ngx_cpymem(p, b->pos, rest);
        b->start = p;
        b->pos = p;
        b->end = p + ctx->conf.buffer_size;
    }

    attempt->body_start = b->pos;

    return NGX_OK;
}


/* what kind of answer it is: see the diagram above */

static ngx_int_t
ngx_http_relay_judge(ngx_http_relay_ctx_t *ctx)
{
    ngx_uint_t                  status;
    ngx_http_request_t         *r;
    ngx_http_relay_try_t       *attempt;
    ngx_http_relay_loc_conf_t  *rlcf;

    r = ctx->request;
    attempt = &ctx->attempt;
    status = attempt->status.code;

    if (attempt->status.http_version < NGX_HTTP_VERSION_11) {
        attempt->close = 1;
    }

    if (r->method == NGX_HTTP_HEAD || status == 204 || status == 304) {
        attempt->chunked = 0;
        attempt->has_length = 1;
        attempt->length = 0;
    }

    relay_chunked_init(&attempt->decoder);

    if (!attempt->has_length) {
        attempt->length = -1;
    }

    attempt->total = attempt->length;

    if (ngx_http_relay_fails_over(ctx, status)) {
        attempt->mode = NGX_HTTP_RELAY_FAILED;
        attempt->failure = (status >= 401 && status <= 403)
                           ? RELAY_ERR_UPSTREAM_KEY
                           : RELAY_ERR_UPSTREAM_STATUS;

        return (attempt->length == -1 && !attempt->chunked)
               ? NGX_ABORT : NGX_OK;
    }

    if (status >= 300 && status < 400 && status != 304) {

        /* never followed, never handed on: it would carry the key away */

        attempt->failure = RELAY_ERR_UPSTREAM_STATUS;
        return NGX_ABORT;
    }

    attempt->mode = NGX_HTTP_RELAY_OPAQUE;

    if (ctx->match.operation == RELAY_OP_NONE
        || attempt->content_encoding.len)
    {
        return NGX_OK;
    }

    if (status < 300 && ngx_http_relay_is_event_stream(&attempt->content_type))
    {
        attempt->mode = NGX_HTTP_RELAY_STREAM;
        return NGX_OK;
    }

    rlcf = ngx_http_get_module_loc_conf(r, ngx_relay_module);

    if (attempt->chunked
        || (attempt->length >= 0
            && attempt->length <= (off_t) rlcf->max_response_size))
    {
        attempt->mode = NGX_HTTP_RELAY_WHOLE;
    }

    return NGX_OK;
}


static ngx_uint_t
ngx_http_relay_fails_over(ngx_http_relay_ctx_t *ctx, ngx_uint_t status)
{
    switch (status) {

    case 401:
    case 402:
    case 403:
    case 429:
        return 1;

    case 408:
        return ctx->match.operation != RELAY_OP_NONE;

    default:
        return status >= 500 && ctx->match.operation != RELAY_OP_NONE;
    }
}


static ngx_uint_t
ngx_http_relay_is_event_stream(ngx_str_t *type)
{
    size_t        len;
    relay_span_t  media;

    for (len = 0; len < type->len && type->data[len] != ';'
                  && type->data[len] != ' '; len++)
    { /* void */ }

    media = relay_span(type->data, len);

    return relay_span_case_eq(media, RELAY_SPAN("text/event-stream"));
}


/*
 * NGX_OK: committed; NGX_AGAIN: more is needed; NGX_ABORT: the try has failed;
 * else what process_header returns.
 */

static ngx_int_t
ngx_http_relay_hold(ngx_http_relay_ctx_t *ctx, relay_span_t raw)
{
    ngx_int_t                   rc;
    relay_span_t                payload;
    ngx_http_relay_try_t       *attempt;
    relay_chunked_status_t      status;
    ngx_http_relay_loc_conf_t  *rlcf;

    attempt = &ctx->attempt;
    rlcf = ngx_http_get_module_loc_conf(ctx->request, ngx_relay_module);

    for ( ;; ) {

        status = ngx_http_relay_payload(attempt, &raw, &payload);

        if (status == RELAY_CHUNKED_MORE) {
            break;
        }

        if (status == RELAY_CHUNKED_ERROR) {
            attempt->failure = RELAY_ERR_UPSTREAM_INVALID;
            return NGX_ABORT;
        }

        if (status == RELAY_CHUNKED_END) {
            attempt->complete = 1;
            ctx->request->upstream->keepalive = !attempt->close
                                                && raw.len == 0;
            break;
        }

        switch (attempt->mode) {

        case NGX_HTTP_RELAY_STREAM:
            rc = ngx_http_relay_stream_feed(ctx, payload);
            break;

        case NGX_HTTP_RELAY_WHOLE:
            rc = ngx_http_relay_hold_body(ctx, payload,
                                          rlcf->max_response_size);
            break;

        case NGX_HTTP_RELAY_FAILED:
            rc = ngx_http_relay_hold_body(ctx, payload,
                                          NGX_HTTP_RELAY_ERROR_HOLD);

            /* an error too long to keep is reported without its text */
            rc = (rc == NGX_DECLINED) ? NGX_ABORT : rc;
            break;

        default:
            rc = ngx_http_relay_emit(ctx, payload);
        }

        if (rc == NGX_DECLINED) {

            /* too long to hold: what is there goes out, the rest follows */

            attempt->mode = NGX_HTTP_RELAY_OPAQUE;

            if (ngx_http_relay_emit(ctx, ngx_http_relay_span(&attempt->held))
                != NGX_OK
                || ngx_http_relay_emit(ctx, payload) != NGX_OK)
            {
                return NGX_ERROR;
            }

            rc = NGX_OK;
        }

        if (rc != NGX_OK) {
            return rc;
        }
    }

    return ngx_http_relay_held(ctx);
}


/* NGX_DECLINED: more than max */

static ngx_int_t
ngx_http_relay_hold_body(ngx_http_relay_ctx_t *ctx, relay_span_t payload,
    size_t max)
{
    size_t                 size;
    u_char                *p;
    ngx_http_relay_try_t  *attempt;

    attempt = &ctx->attempt;

    if (payload.len > max - attempt->held.len) {
        return NGX_DECLINED;
    }

    if (payload.len > attempt->held_size - attempt->held.len) {

        if (attempt->total > 0
            && attempt->total <= NGX_HTTP_RELAY_TRUSTED_LENGTH)
        {
            size = (size_t) attempt->total;

        } else {
            size = ngx_max(attempt->held_size * 2,
                           attempt->held.len + payload.len);
            size = ngx_max(size, NGX_HTTP_RELAY_BLOCK);
        }

        p = ngx_pnalloc(ctx->request->pool, size);
        if (p == NULL) {
            return NGX_ERROR;
        }

        if (attempt->held.data) {
            ngx_memcpy(p, attempt->held.data, attempt->held.len);
            (void) ngx_pfree(ctx->request->pool, attempt->held.data);
        }

        attempt->held.data = p;
        attempt->held_size = size;
    }

    ngx_memcpy(attempt->held.data + attempt->held.len, payload.base,
               payload.len);
    attempt->held.len += payload.len;

    return NGX_OK;
}


/* all that has come so far is taken in: is it time to decide? */

static ngx_int_t
ngx_http_relay_held(ngx_http_relay_ctx_t *ctx)
{
    ngx_http_relay_try_t  *attempt;

    attempt = &ctx->attempt;

    switch (attempt->mode) {

    case NGX_HTTP_RELAY_FAILED:
        return attempt->complete ? ngx_http_relay_fail(ctx, &attempt->held)
                                 : NGX_AGAIN;

    case NGX_HTTP_RELAY_STREAM:

        if (ctx->stream.content_seen || ctx->stream.finish_seen
            || ctx->stream.end_seen
            || ctx->pending_size > NGX_HTTP_RELAY_STREAM_HOLD)
        {
            return ngx_http_relay_commit(ctx);
        }

        if (attempt->complete) {
            attempt->failure = RELAY_ERR_UPSTREAM_CUT;
            return NGX_ABORT;
        }

        return NGX_AGAIN;

    case NGX_HTTP_RELAY_WHOLE:
        return attempt->complete ? ngx_http_relay_release_whole(ctx)
                                 : NGX_AGAIN;

    default:
        return ngx_http_relay_commit(ctx);
    }
}


/* the try is over: its answer is remembered if it says more than others */

static ngx_int_t
ngx_http_relay_fail(ngx_http_relay_ctx_t *ctx, ngx_str_t *body)
{
    ngx_uint_t             status;
    ngx_http_relay_try_t  *attempt;

    static ngx_str_t  none = ngx_null_string;

    attempt = &ctx->attempt;
    status = 0;

    if (attempt->failure == RELAY_ERR_UPSTREAM_STATUS
        && attempt->status.code >= 400)
    {
        status = attempt->status.code;

    } else if (attempt->failure == RELAY_ERR_UPSTREAM_ERROR) {

        /* the event's data, kept by ngx_http_relay_stream.c */

        status = ctx->stream.error_status;
        body = &attempt->held;
        ngx_str_set(&attempt->content_type, "application/json");
    }

    if (status && !attempt->remembered
        && ngx_http_relay_remember(ctx, status, body ? body : &none)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    attempt->remembered = 1;

    return NGX_HTTP_UPSTREAM_INVALID_HEADER;
}


ngx_int_t
ngx_http_relay_remember(ngx_http_relay_ctx_t *ctx, ngx_uint_t status,
    ngx_str_t *body)
{
    ngx_uint_t                 i;
    ngx_pool_t                *pool;
    ngx_http_relay_try_t      *attempt;
    ngx_http_relay_header_t   *from, *to;
    ngx_http_relay_failure_t  *failure;

    pool = ctx->request->pool;
    attempt = &ctx->attempt;
    failure = &ctx->failure;

    failure->status = status;
    failure->candidate = attempt->candidate;
    failure->retry_after = ngx_http_relay_retry_after(&attempt->retry_after);
    failure->body = *body;

    /* the read buffer is the next try's */

    failure->content_type.len = attempt->content_type.len;
    failure->content_type.data = ngx_pstrdup(pool, &attempt->content_type);

    if (failure->content_type.data == NULL
        || ngx_array_init(&failure->headers, pool, attempt->headers.nelts + 1,
                          sizeof(ngx_http_relay_header_t))
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    from = attempt->headers.elts;

    for (i = 0; i < attempt->headers.nelts; i++) {

        to = ngx_array_push(&failure->headers);
        if (to == NULL) {
            return NGX_ERROR;
        }

        to->name = from[i].name;
        to->value.len = from[i].value.len;
        to->value.data = ngx_pstrdup(pool, &from[i].value);

        if (to->value.data == NULL) {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_relay_release_whole(ngx_http_relay_ctx_t *ctx)
{
    ngx_buf_t             *b;
    ngx_chain_t           *cl;
    relay_answer_t         answer;
    ngx_http_relay_try_t  *attempt;

    attempt = &ctx->attempt;

    if (ctx->match.operation == RELAY_OP_GENERATE) {

        attempt->candidate->wire->answer(ngx_http_relay_span(&attempt->held),
                                         &answer);

        ctx->usage = answer.usage;
        ngx_memcpy(ctx->finish, answer.finish, RELAY_FINISH_MAX);
    }

    ctx->first_token = ngx_current_msec;

    if (attempt->held.len) {
        b = ngx_calloc_buf(ctx->request->pool);
        cl = ngx_alloc_chain_link(ctx->request->pool);

        if (b == NULL || cl == NULL) {
            return NGX_ERROR;
        }

        b->start = attempt->held.data;
        b->pos = b->start;
        b->last = b->start + attempt->held.len;
        b->end = b->last;
        b->memory = 1;
        b->tag = ctx->request->upstream->output.tag;

        cl->buf = b;
        cl->next = NULL;

        ctx->pending = cl;
        ctx->pending_tail = cl;
    }

    return ngx_http_relay_commit(ctx);
}


static ngx_int_t
ngx_http_relay_commit(ngx_http_relay_ctx_t *ctx)
{
    ngx_uint_t             retry_after;
    ngx_http_upstream_t   *u;
    ngx_http_relay_try_t  *attempt;

    u = ctx->request->upstream;
    attempt = &ctx->attempt;

    ctx->committed = 1;
    ctx->cost_us += ngx_http_relay_now_us() - ctx->entered_us;
    ctx->alive = ngx_current_msec;
    ctx->progress = ngx_current_msec;

    retry_after = ngx_http_relay_retry_after(&attempt->retry_after);

    if (ngx_http_relay_copy_headers(ctx) != NGX_OK
        || ngx_http_relay_set_headers(ctx, &attempt->headers,
                                      attempt->status.code, retry_after)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    u->headers_in.status_n = attempt->status.code;
    u->headers_in.content_length_n = -1;

    if (attempt->mode == NGX_HTTP_RELAY_WHOLE) {
        u->headers_in.content_length_n = attempt->held.len;

    } else if (attempt->mode == NGX_HTTP_RELAY_OPAQUE && !attempt->chunked) {
        u->headers_in.content_length_n = attempt->total;
    }

    /*
     * nginx calls the filter at once only if the buffer is not empty; what is
     * to be sent waits in ctx->pending, so one byte is left in the buffer to
     * get that call. Later reads start behind the header.
     */

    u->buffer.start = attempt->body_start;
    u->buffer.pos = u->buffer.start;
    u->buffer.last = u->buffer.start;

    if (ctx->pending || attempt->complete) {
        u->buffer.last++;
        ctx->primed = 1;
    }

    return NGX_OK;
}


/* the log phase still reads them when the buffer has been used again */

static ngx_int_t
ngx_http_relay_copy_headers(ngx_http_relay_ctx_t *ctx)
{
    u_char                *type;
    ngx_http_relay_try_t  *attempt;

    attempt = &ctx->attempt;

    /* header values stay in place: reads start behind them (body_start) */

    if (attempt->content_type.len == 0) {
        return NGX_OK;
    }

    type = ngx_pstrdup(ctx->request->pool, &attempt->content_type);
    if (type == NULL) {
        return NGX_ERROR;
    }

    attempt->content_type.data = type;

    return NGX_OK;
}


/*
 * Runs once, whatever the end: rc is 0 for a complete answer, 499 for a client
 * that has gone, 502 or 504 when tries are used up or the provider is lost.
 */

static void
ngx_http_relay_finalize_request(ngx_http_request_t *r, ngx_int_t rc)
{
    relay_error_code_t     why;
    ngx_http_upstream_t   *u;
    ngx_http_relay_ctx_t  *ctx;

    u = r->upstream;
    ctx = ngx_http_relay_ctx(r);

    if (rc == NGX_HTTP_CLIENT_CLOSED_REQUEST
        || rc == NGX_HTTP_REQUEST_TIME_OUT
        || rc == NGX_ERROR
        || r->connection->error)
    {
        return;
    }

    if (!u->header_sent) {

        if (rc == NGX_HTTP_GATEWAY_TIME_OUT
            && ctx->last != RELAY_ERR_UPSTREAM_TIMEOUT)
        {
            ctx->last = RELAY_ERR_UPSTREAM_TIMEOUT;
        }

        if (rc == NGX_HTTP_INTERNAL_SERVER_ERROR) {
            ctx->last = RELAY_ERR_INTERNAL;
            ctx->failure.status = 0;
        }

        if (rc != NGX_OK && ngx_http_relay_send_failure(ctx) != NGX_ERROR) {
            u->header_sent = 1;
        }

        return;
    }

    if (ctx->attempt.mode != NGX_HTTP_RELAY_STREAM || r->header_only) {

        if (rc != NGX_OK) {
            ctx->error = RELAY_ERR_UPSTREAM_CUT;
        }

        return;
    }

    why = RELAY_ERR_UPSTREAM_CUT;

    if (rc == NGX_HTTP_GATEWAY_TIME_OUT) {
        why = RELAY_ERR_UPSTREAM_TIMEOUT;

    } else if (ctx->attempt.failure) {
        why = ctx->attempt.failure;
    }

    /* after a complete answer nginx sends the last buffer itself */

    if (ngx_http_relay_stream_end(ctx, why, rc != NGX_OK) == NGX_ERROR) {
        r->connection->error = 1;
    }
}
