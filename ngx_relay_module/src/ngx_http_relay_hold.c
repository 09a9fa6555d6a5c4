
/*
 * Deciding about an answer whose header is known. Until commit nothing reaches
 * the client; after it no further try is made.
 *
 *   header --+-- error status to fail over on ---> FAILED --> next candidate
 *            |                                        (body remembered)
 *            +-- events --> STREAM --+-- error first ------> next candidate
 *            |                       +-- content ----------> commit
 *            +-- body ----> WHOLE ---+-- cut, too slow ----> next candidate
 *            |                       +-- complete ---------> commit
 *            +-- anything else ---> OPAQUE ----------------> commit
 */


#include "ngx_http_relay_translate.h"
#include "ngx_http_relay_whole.h"


/* a length that is announced is allocated at once only up to this */
#define NGX_HTTP_RELAY_TRUSTED_LENGTH  (1024 * 1024)


static ngx_uint_t ngx_http_relay_is_stream(ngx_http_relay_try_t *attempt);
static ngx_int_t ngx_http_relay_unreadable(ngx_http_relay_ctx_t *ctx);
static ngx_uint_t ngx_http_relay_fails_over(ngx_http_relay_ctx_t *ctx,
    ngx_uint_t status);
static ngx_int_t ngx_http_relay_hold_payload(ngx_http_relay_ctx_t *ctx,
    relay_span_t payload);
static ngx_int_t ngx_http_relay_hold_body(ngx_http_relay_ctx_t *ctx,
    relay_span_t payload, size_t max);
static ngx_int_t ngx_http_relay_let_go(ngx_http_relay_ctx_t *ctx,
    relay_span_t payload);
static ngx_int_t ngx_http_relay_held(ngx_http_relay_ctx_t *ctx);
static ngx_int_t ngx_http_relay_remember(ngx_http_relay_ctx_t *ctx,
    ngx_uint_t status, ngx_str_t *body);
static ngx_int_t ngx_http_relay_remember_message(ngx_http_relay_ctx_t *ctx,
    relay_span_t body);
static ngx_int_t ngx_http_relay_release_failure(ngx_http_relay_ctx_t *ctx);
static ngx_int_t ngx_http_relay_pend(ngx_http_relay_ctx_t *ctx);
static ngx_int_t ngx_http_relay_commit(ngx_http_relay_ctx_t *ctx,
    ngx_uint_t retry_after);
static ngx_int_t ngx_http_relay_commit_answer(ngx_http_relay_ctx_t *ctx);


/* what kind of answer it is: see the diagram above */

ngx_int_t
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

    if (ctx->match.operation == RELAY_OP_NONE) {
        return NGX_OK;
    }

    if (status >= 400 && attempt->length == -1 && !attempt->chunked) {

        /* with no end but the connection's, it is not worth waiting for */

        return NGX_DECLINED;
    }

    if (attempt->content_encoding.len) {
        return ctx->attempt.translated ? ngx_http_relay_unreadable(ctx)
                                       : NGX_OK;
    }

    if (status < 300 && ngx_http_relay_is_stream(attempt)) {
        attempt->mode = NGX_HTTP_RELAY_STREAM;
        return NGX_OK;
    }

    rlcf = ngx_http_get_module_loc_conf(r, ngx_relay_module);

    if (attempt->chunked
        || (attempt->length >= 0
            && attempt->length <= (off_t) rlcf->max_response_size))
    {
        attempt->mode = NGX_HTTP_RELAY_WHOLE;
        return NGX_OK;
    }

    return ctx->attempt.translated ? ngx_http_relay_unreadable(ctx) : NGX_OK;
}


/* binary events only from a host whose format has them; else they are bytes */

static ngx_uint_t
ngx_http_relay_is_stream(ngx_http_relay_try_t *attempt)
{
    relay_span_t              type;
    const relay_variant_t    *variant;
    const relay_candidate_t  *candidate;

    type = ngx_http_relay_media_type(&attempt->content_type);
    candidate = attempt->candidate;
    variant = candidate->host->variants[candidate->wire->index];

    attempt->framed = variant != NULL
                      && variant->framing != RELAY_FRAMING_SSE
                      && relay_span_case_eq(type,
                              RELAY_SPAN("application/vnd.amazon.eventstream"));

    return attempt->framed
           || relay_span_case_eq(type, RELAY_SPAN("text/event-stream"));
}


/* what cannot be read cannot be translated, and must not pass as it is */

static ngx_int_t
ngx_http_relay_unreadable(ngx_http_relay_ctx_t *ctx)
{
    ngx_http_relay_try_t  *attempt;

    attempt = &ctx->attempt;

    if (attempt->status.code >= 400) {
        return NGX_DECLINED;
    }

    attempt->failure = RELAY_ERR_UPSTREAM_INVALID;

    return NGX_ABORT;
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


ngx_int_t
ngx_http_relay_hold(ngx_http_relay_ctx_t *ctx, relay_span_t raw)
{
    ngx_int_t                rc;
    relay_span_t             payload;
    ngx_http_relay_try_t    *attempt;
    relay_chunked_status_t   status;

    attempt = &ctx->attempt;

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

        rc = ngx_http_relay_hold_payload(ctx, payload);

        if (rc != NGX_OK) {
            return rc;
        }
    }

    return ngx_http_relay_held(ctx);
}


static ngx_int_t
ngx_http_relay_hold_payload(ngx_http_relay_ctx_t *ctx, relay_span_t payload)
{
    ngx_int_t                   rc;
    ngx_http_relay_loc_conf_t  *rlcf;

    switch (ctx->attempt.mode) {

    case NGX_HTTP_RELAY_STREAM:
        return ngx_http_relay_stream_feed(ctx, payload);

    case NGX_HTTP_RELAY_WHOLE:

        rlcf = ngx_http_get_module_loc_conf(ctx->request, ngx_relay_module);

        rc = ngx_http_relay_hold_body(ctx, payload, rlcf->max_response_size);

        return (rc == NGX_DECLINED) ? ngx_http_relay_let_go(ctx, payload) : rc;

    case NGX_HTTP_RELAY_FAILED:

        rc = ngx_http_relay_hold_body(ctx, payload,
                                      NGX_HTTP_RELAY_ERROR_HOLD);

        /* an error too long to keep is reported without its text */

        return (rc == NGX_DECLINED) ? NGX_ABORT : rc;

    default:
        return ngx_http_relay_emit(ctx, payload);
    }
}


/* too long to hold: what is there goes out, the rest follows as it comes */

static ngx_int_t
ngx_http_relay_let_go(ngx_http_relay_ctx_t *ctx, relay_span_t payload)
{
    ngx_http_relay_try_t  *attempt;

    attempt = &ctx->attempt;

    if (attempt->translated) {
        attempt->failure = RELAY_ERR_UPSTREAM_INVALID;
        return NGX_ABORT;
    }

    attempt->mode = NGX_HTTP_RELAY_OPAQUE;

    if (ngx_http_relay_emit(ctx, ngx_http_relay_span(&attempt->held))
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_http_relay_emit(ctx, payload);
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
            return ngx_http_relay_commit_answer(ctx);
        }

        if (attempt->complete) {
            attempt->failure = RELAY_ERR_UPSTREAM_CUT;
            return NGX_ABORT;
        }

        return NGX_AGAIN;

    case NGX_HTTP_RELAY_WHOLE:
        return attempt->complete ? ngx_http_relay_whole(ctx)
                                 : NGX_AGAIN;

    default:
        return ngx_http_relay_commit_answer(ctx);
    }
}


/* the try is over: its answer is kept in case that no other says more */

ngx_int_t
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

        /* a good status with an error inside; its text was kept aside */

        status = ctx->stream.error_seen ? ctx->stream.error_status
                                        : NGX_HTTP_BAD_GATEWAY;
        body = &attempt->held;
    }

    if (status
        && ngx_http_relay_remember(ctx, status, body ? body : &none) != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (ctx->candidate + 1 < ctx->plan->count) {
        return NGX_HTTP_UPSTREAM_INVALID_HEADER;
    }

    ctx->last = attempt->failure;

    return ngx_http_relay_release_failure(ctx);
}


/* an error that is nobody's fault but the caller's, in words that SDKs read */

ngx_int_t
ngx_http_relay_reword(ngx_http_relay_ctx_t *ctx, ngx_str_t *body)
{
    if (ngx_http_relay_remember(ctx, ctx->attempt.status.code, body)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_http_relay_release_failure(ctx);
}


/*
 * The last candidate has failed by its answer: what is to be said takes the
 * place of that answer. (Where no answer came, nginx ends the request, and
 * ngx_http_relay_finalize_request() says it.)
 */

static ngx_int_t
ngx_http_relay_release_failure(ngx_http_relay_ctx_t *ctx)
{
    ngx_int_t                    rc;
    ngx_http_relay_try_t        *attempt;
    ngx_http_relay_last_word_t   word;

    attempt = &ctx->attempt;

    if (ngx_http_relay_last_word(ctx, &word) != NGX_OK) {
        return NGX_ERROR;
    }

    ngx_http_relay_stream_reset(ctx);

    if (attempt->body_start == NULL) {
        attempt->body_start = ctx->request->upstream->buffer.start;
    }

    attempt->mode = NGX_HTTP_RELAY_WHOLE;
    attempt->complete = 1;
    attempt->held = word.body;
    attempt->status.code = word.status;
    attempt->retry_after.len = 0;

    ngx_str_set(&attempt->content_type, "application/json");
    ngx_str_null(&attempt->content_encoding);

    if (word.headers) {
        attempt->headers = *word.headers;

    } else {
        attempt->headers.nelts = 0;
    }

    ctx->error = word.own ? word.code : RELAY_ERR_NONE;

    rc = ngx_http_relay_pend(ctx);

    if (rc == NGX_OK) {
        rc = ngx_http_relay_commit(ctx, word.retry_after);
    }

    ctx->error = word.code;

    return rc;
}


/* errors of another format, or of a platform that serves the caller's */

ngx_uint_t
ngx_http_relay_rewords(ngx_http_relay_ctx_t *ctx)
{
    const relay_wire_t  *wire;

    wire = ctx->attempt.candidate->wire;

    return ctx->attempt.translated
           || (ctx->match.operation != RELAY_OP_NONE
               && ctx->attempt.candidate->host->variants[wire->index]->platform
                  != NULL);
}


static ngx_int_t
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

    ngx_memzero(failure, sizeof(ngx_http_relay_failure_t));

    failure->status = status;
    failure->candidate = attempt->candidate;
    failure->retry_after = ngx_http_relay_retry_after(&attempt->retry_after);
    failure->body = *body;

    if (ngx_http_relay_remember_message(ctx, ngx_http_relay_span(body))
        != NGX_OK
        || (ngx_http_relay_rewords(ctx)
            && ngx_http_relay_translate_failure(ctx, failure) != NGX_OK)
        || ngx_array_init(&failure->headers, pool, attempt->headers.nelts + 1,
                          sizeof(ngx_http_relay_header_t))
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    /* the read buffer is the next try's */

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


/*
 * A body that is JSON reaches the caller as it is; an event out of a stream
 * only if it looks the same outside of one. What the provider said is kept in
 * any case.
 */

static ngx_int_t
ngx_http_relay_remember_message(ngx_http_relay_ctx_t *ctx, relay_span_t body)
{
    relay_buf_t                out;
    relay_span_t               key;
    relay_answer_t             answer;
    relay_json_fault_t         fault;
    relay_json_value_t         error, quoted;
    ngx_http_relay_failure_t  *failure;

    failure = &ctx->failure;
    key = RELAY_SPAN("error");
    error.type = RELAY_JSON_ABSENT;

    if (relay_json_scan(body, &key, 1, &error, &fault) != RELAY_JSON_OK
        || (ctx->stream.error_seen && error.type != RELAY_JSON_OBJECT))
    {
        failure->body.len = 0;
    }

    ctx->attempt.candidate->wire->answer(body, &answer);

    if (failure->retry_after == 0 && answer.retry_after_s) {
        failure->retry_after = ngx_min(answer.retry_after_s, 60);
    }

    if (answer.message.len == 0 || ngx_http_relay_rewords(ctx)) {
        return NGX_OK;
    }

    /* between quotes in body */

    quoted.type = RELAY_JSON_STRING;
    quoted.text = relay_span(answer.message.base - 1, answer.message.len + 2);

    failure->message.data = ngx_pnalloc(ctx->request->pool,
                                        answer.message.len);
    if (failure->message.data == NULL) {
        return NGX_ERROR;
    }

    out = relay_buf(failure->message.data, answer.message.len);

    if (relay_json_decode(quoted, &out)) {
        failure->message.len = relay_buf_span(&out).len;
    }

    return NGX_OK;
}


/* the held body, in place, to the pending output */

static ngx_int_t
ngx_http_relay_pend(ngx_http_relay_ctx_t *ctx)
{
    ngx_buf_t    *b;
    ngx_str_t    *held;
    ngx_chain_t  *cl;

    held = &ctx->attempt.held;

    if (held->len == 0) {
        return NGX_OK;
    }

    if (ngx_http_relay_wrap(ctx, held) != NGX_OK) {
        return NGX_ERROR;
    }

    b = ngx_calloc_buf(ctx->request->pool);
    cl = ngx_alloc_chain_link(ctx->request->pool);

    if (b == NULL || cl == NULL) {
        return NGX_ERROR;
    }

    b->start = held->data;
    b->pos = b->start;
    b->last = b->start + held->len;
    b->end = b->last;
    b->memory = 1;
    b->tag = ctx->request->upstream->output.tag;

    cl->buf = b;
    cl->next = NULL;

    ctx->pending = cl;
    ctx->pending_tail = cl;

    return NGX_OK;
}


ngx_int_t
ngx_http_relay_commit_whole(ngx_http_relay_ctx_t *ctx)
{
    if (ngx_http_relay_pend(ctx) != NGX_OK) {
        return NGX_ERROR;
    }

    return ngx_http_relay_commit_answer(ctx);
}


static ngx_int_t
ngx_http_relay_commit_answer(ngx_http_relay_ctx_t *ctx)
{
    ngx_str_t  *value;

    value = &ctx->attempt.retry_after;

    return ngx_http_relay_commit(ctx, ngx_http_relay_retry_after(value));
}


static ngx_int_t
ngx_http_relay_commit(ngx_http_relay_ctx_t *ctx, ngx_uint_t retry_after)
{
    ngx_http_upstream_t   *u;
    ngx_http_relay_try_t  *attempt;

    u = ctx->request->upstream;
    attempt = &ctx->attempt;

    ctx->committed = 1;
    ctx->cost_us += ngx_http_relay_now_us() - ctx->entered_us;
    ctx->progress = ngx_current_msec;

    if (attempt->mode == NGX_HTTP_RELAY_STREAM
        && (attempt->translated || attempt->framed))
    {
        ngx_str_set(&attempt->content_type, "text/event-stream; charset=utf-8");
    }

    if (attempt->mode == NGX_HTTP_RELAY_STREAM) {
        ngx_http_relay_silence_begin(ctx);
    }

    if (attempt->translated && attempt->mode == NGX_HTTP_RELAY_STREAM) {
        if (ngx_http_relay_translate_settle(ctx) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    if (ngx_http_relay_set_headers(ctx, &attempt->headers,
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
     * get that call. Later reads start behind the header, whose values are
     * still read when the answer is logged.
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
