
/*
 * What goes out to the client after an answer is accepted: events as they
 * complete, or bytes as they come. Events are released whole, so that an error
 * of ours never lands inside half of one of the provider's.
 *
 * Output is collected in blocks that nginx hands back when they are sent;
 * nothing is allocated per event, and the provider is read no further while
 * the client does not take what is there.
 */


#include "ngx_http_relay_translate.h"


/* a finish for each of 128 choices, or an error event (wire.h) */
#define NGX_HTTP_RELAY_OWN_TEXT  16384


static void *ngx_http_relay_resize(void *owner, void *block, size_t size);
static ngx_int_t ngx_http_relay_feed_frames(ngx_http_relay_ctx_t *ctx,
    relay_span_t data);
static ngx_int_t ngx_http_relay_feed_events(ngx_http_relay_ctx_t *ctx,
    relay_span_t data);
static ngx_int_t ngx_http_relay_item(ngx_http_relay_ctx_t *ctx,
    relay_sse_status_t status, relay_sse_item_t *item);
static ngx_uint_t ngx_http_relay_ends_in_cr(relay_span_t raw);
static ngx_int_t ngx_http_relay_blank(ngx_http_relay_ctx_t *ctx,
    relay_span_t raw);
static ngx_int_t ngx_http_relay_keep_error(ngx_http_relay_ctx_t *ctx,
    relay_span_t data);
static ngx_int_t ngx_http_relay_last_item(ngx_http_relay_ctx_t *ctx);
static ngx_buf_t *ngx_http_relay_block(ngx_http_relay_ctx_t *ctx);
static void ngx_http_relay_append(ngx_http_relay_ctx_t *ctx, ngx_chain_t *cl);
static void ngx_http_relay_idle_limit(ngx_http_relay_ctx_t *ctx);
static void ngx_http_relay_yield(ngx_http_relay_ctx_t *ctx, size_t bytes);
static void ngx_http_relay_yield_handler(ngx_event_t *ev);


ngx_int_t
ngx_http_relay_stream_begin(ngx_http_relay_ctx_t *ctx)
{
    const relay_wire_t  *wire;

    wire = ctx->attempt.candidate->wire;

    ngx_memzero(&ctx->stream, sizeof(relay_stream_t));

    ctx->stream.wire = wire;
    ctx->stream.hide_usage = ctx->match.operation == RELAY_OP_GENERATE
                             && wire->streams
                             && !wire->wants_usage(&ctx->envelope);

    if (!ctx->splitter) {
        relay_memory_t  memory = { ngx_http_relay_resize,
                                   ctx->request->connection->log };

        relay_sse_init(&ctx->sse, memory, NGX_HTTP_RELAY_EVENT_MAX);
        ctx->splitter = 1;
    }

    return NGX_OK;
}


/* gives a failed try's output back, and the splitter's memory */

void
ngx_http_relay_stream_reset(ngx_http_relay_ctx_t *ctx)
{
    if (ctx->splitter) {
        relay_sse_free(&ctx->sse);
        ctx->splitter = 0;
    }

    if (ctx->frames) {
        relay_eventstream_free(ctx->frames);
        ctx->frames = NULL;
    }

    if (ctx->pending) {
        ctx->pending_tail->next = ctx->request->upstream->free_bufs;
        ctx->request->upstream->free_bufs = ctx->pending;
    }

    ctx->pending = NULL;
    ctx->pending_size = 0;
    ctx->ended = 0;
    ctx->first_token = 0;
    ctx->finished = 0;
}


static void *
ngx_http_relay_resize(void *owner, void *block, size_t size)
{
    if (size == 0) {
        ngx_free(block);
        return NULL;
    }

    return realloc(block, size);
}


ngx_int_t
ngx_http_relay_stream_feed(ngx_http_relay_ctx_t *ctx, relay_span_t data)
{
    return ctx->attempt.framed ? ngx_http_relay_feed_frames(ctx, data)
                               : ngx_http_relay_feed_events(ctx, data);
}


/* binary events become those of a text stream, and go the same way */

static ngx_int_t
ngx_http_relay_feed_frames(ngx_http_relay_ctx_t *ctx, relay_span_t data)
{
    ngx_int_t                    rc;
    relay_span_t                 text;
    const relay_candidate_t     *candidate;
    relay_eventstream_status_t   status;

    if (ctx->frames == NULL) {
        relay_memory_t  memory = { ngx_http_relay_resize,
                                   ctx->request->connection->log };

        ctx->frames = ngx_palloc(ctx->request->pool,
                                 sizeof(relay_eventstream_t));
        if (ctx->frames == NULL) {
            return NGX_ERROR;
        }

        candidate = ctx->attempt.candidate;

        relay_eventstream_init(ctx->frames, memory,
             candidate->host->variants[candidate->wire->index]->framing,
             NGX_HTTP_RELAY_EVENT_MAX);
    }

    for ( ;; ) {

        status = relay_eventstream_next(ctx->frames, &data, &text);

        switch (status) {

        case RELAY_EVENTSTREAM_MORE:
            return NGX_OK;

        case RELAY_EVENTSTREAM_EVENT:
            break;

        case RELAY_EVENTSTREAM_MEMORY:
            return NGX_ERROR;

        default: /* RELAY_EVENTSTREAM_INVALID, RELAY_EVENTSTREAM_TOO_LONG */
            ctx->attempt.failure = RELAY_ERR_UPSTREAM_INVALID;
            return NGX_ABORT;
        }

        rc = ngx_http_relay_feed_events(ctx, text);

        if (rc != NGX_OK) {
            return rc;
        }
    }
}


static ngx_int_t
ngx_http_relay_feed_events(ngx_http_relay_ctx_t *ctx, relay_span_t data)
{
    ngx_int_t           rc;
    relay_sse_item_t    item;
    relay_sse_status_t  status;

    for ( ;; ) {

        status = relay_sse_next(&ctx->sse, &data, &item);

        switch (status) {

        case RELAY_SSE_MORE:
            return NGX_OK;

        case RELAY_SSE_TOO_LONG:
            ctx->attempt.failure = RELAY_ERR_UPSTREAM_INVALID;
            return NGX_ABORT;

        case RELAY_SSE_MEMORY:
            return NGX_ERROR;

        default:
            break;
        }

        rc = ngx_http_relay_item(ctx, status, &item);

        if (rc != NGX_OK) {
            return rc;
        }
    }
}


static ngx_int_t
ngx_http_relay_item(ngx_http_relay_ctx_t *ctx, relay_sse_status_t status,
    relay_sse_item_t *item)
{
    u_char            text[NGX_HTTP_RELAY_OWN_TEXT];
    relay_buf_t       before;
    relay_verdict_t   verdict;

    before = relay_buf(text, sizeof(text));

    if (status == RELAY_SSE_BLANK) {
        return ngx_http_relay_blank(ctx, item->raw);
    }

    /* nothing follows the end, whatever a provider may still say */

    if (ctx->ended || ctx->stream.end_seen) {
        ctx->passed_cr = 0;
        return NGX_OK;
    }

    if (ctx->attempt.translated) {
        verdict.hide = 1;

        if (ngx_http_relay_translate_item(ctx, item, &verdict.class) != NGX_OK)
        {
            return NGX_ERROR;
        }

    } else {
        verdict = ctx->stream.wire->event(&ctx->stream, item, &before);
    }

    if (verdict.class != RELAY_EVENT_IDLE) {
        ctx->progress = ngx_current_msec;
    }

    if (verdict.class == RELAY_EVENT_CONTENT && ctx->first_token == 0) {
        ctx->first_token = ngx_current_msec;
    }

    if (verdict.class == RELAY_EVENT_ERROR) {

        if (!ctx->committed) {
            return ngx_http_relay_keep_error(ctx, item->data);
        }

        ctx->error = RELAY_ERR_UPSTREAM_ERROR;
        ctx->ended = 1;
    }

    if (!ctx->stream.finish_seen && !ctx->ended) {

        /* with several choices, one may end before another begins */

        ctx->finished = 0;

    } else if (ctx->finished == 0) {
        ctx->finished = ngx_current_msec;
    }

    if (before.len
        && (!relay_buf_ok(&before)
            || ngx_http_relay_emit(ctx, relay_buf_span(&before)) != NGX_OK))
    {
        return NGX_ERROR;
    }

    ctx->hidden_cr = verdict.hide && ngx_http_relay_ends_in_cr(item->raw);
    ctx->passed_cr = !verdict.hide && ngx_http_relay_ends_in_cr(item->raw);

    return verdict.hide ? NGX_OK : ngx_http_relay_emit(ctx, item->raw);
}


static ngx_uint_t
ngx_http_relay_ends_in_cr(relay_span_t raw)
{
    return raw.len && raw.base[raw.len - 1] == CR;
}


/*
 * A comment or an empty line. A line feed may be the rest of a CRLF that two
 * reads tore apart: it goes where the event before it went.
 */

static ngx_int_t
ngx_http_relay_blank(ngx_http_relay_ctx_t *ctx, relay_span_t raw)
{
    ngx_uint_t  rest;

    if (ctx->attempt.translated) {
        return (raw.base[0] == ':') ? ngx_http_relay_translate_ping(ctx)
                                    : NGX_OK;
    }

    rest = raw.len == 1 && raw.base[0] == LF;

    if ((rest && ctx->hidden_cr)
        || ((ctx->ended || ctx->stream.end_seen) && !(rest && ctx->passed_cr)))
    {
        ctx->hidden_cr = 0;
        return NGX_OK;
    }

    ctx->hidden_cr = 0;
    ctx->passed_cr = ngx_http_relay_ends_in_cr(raw);

    return ngx_http_relay_emit(ctx, raw);
}


/* nothing is out yet: the try fails, and its error may be the one to report */

static ngx_int_t
ngx_http_relay_keep_error(ngx_http_relay_ctx_t *ctx, relay_span_t data)
{
    ngx_str_t  *held;

    ctx->attempt.failure = RELAY_ERR_UPSTREAM_ERROR;

    held = &ctx->attempt.held;

    if (data.len == 0 || data.len > NGX_HTTP_RELAY_ERROR_HOLD) {
        return NGX_ABORT;
    }

    held->data = ngx_pnalloc(ctx->request->pool, data.len);
    if (held->data == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(held->data, data.base, data.len);
    held->len = data.len;

    return NGX_ABORT;
}


ngx_int_t
ngx_http_relay_emit(ngx_http_relay_ctx_t *ctx, relay_span_t text)
{
    size_t      n;
    ngx_buf_t  *b;

    ctx->pending_size += text.len;

    while (text.len) {

        b = ngx_http_relay_block(ctx);
        if (b == NULL) {
            return NGX_ERROR;
        }

        n = ngx_min(text.len, (size_t) (b->end - b->last));

        b->last = ngx_cpymem(b->last, text.base, n);
        text = relay_span_from(text, n);
    }

    return NGX_OK;
}


static void
ngx_http_relay_append(ngx_http_relay_ctx_t *ctx, ngx_chain_t *cl)
{
    cl->next = NULL;

    if (ctx->pending) {
        ctx->pending_tail->next = cl;

    } else {
        ctx->pending = cl;
    }

    ctx->pending_tail = cl;
}


/* the last pending block if it has room, else a recycled or a new one */

static ngx_buf_t *
ngx_http_relay_block(ngx_http_relay_ctx_t *ctx)
{
    size_t                size;
    ngx_buf_t            *b;
    ngx_chain_t          *cl;
    ngx_http_upstream_t  *u;

    u = ctx->request->upstream;

    if (ctx->pending && ctx->pending_tail->buf->last
                        < ctx->pending_tail->buf->end)
    {
        return ctx->pending_tail->buf;
    }

    cl = u->free_bufs;

    if (cl) {
        u->free_bufs = cl->next;
        b = cl->buf;
        b->pos = b->start;
        b->last = b->start;
        b->flush = 0;

    } else {
        size = (ctx->attempt.mode == NGX_HTTP_RELAY_OPAQUE)
               ? ctx->conf->buffer_size : NGX_HTTP_RELAY_BLOCK;

        b = ngx_create_temp_buf(ctx->request->pool, size);
        cl = ngx_alloc_chain_link(ctx->request->pool);

        if (b == NULL || cl == NULL) {
            return NULL;
        }

        b->tag = u->output.tag;
        cl->buf = b;
    }

    ngx_http_relay_append(ctx, cl);

    return b;
}


ngx_int_t
ngx_http_relay_input_filter_init(void *data)
{
    ngx_http_relay_ctx_t *ctx = data;

    ngx_http_upstream_t  *u;

    u = ctx->request->upstream;

    /*
     * To nginx the length is only "done" or "not done"; how an answer is
     * framed, and whether its end was a cut, is known here.
     */

    if (ctx->attempt.complete) {
        u->length = 0;

    } else if (ctx->attempt.mode == NGX_HTTP_RELAY_OPAQUE
               && ctx->attempt.length == -1
               && !ctx->attempt.chunked)
    {
        u->length = -1;

    } else {
        u->length = 1;
    }

    ngx_http_relay_idle_limit(ctx);

    return NGX_OK;
}


ngx_int_t
ngx_http_relay_input_filter(void *data, ssize_t bytes)
{
    ngx_http_relay_ctx_t *ctx = data;

    ngx_int_t                rc;
    relay_span_t             raw, payload;
    ngx_http_upstream_t     *u;
    relay_chunked_status_t   status;

    u = ctx->request->upstream;

    if (ctx->primed) {

        /* the byte that process_header left only to get here */

        ctx->primed = 0;
        ngx_http_relay_hand_on(ctx);

        return NGX_OK;
    }

    raw = relay_span(u->buffer.last, bytes);
    u->buffer.last += bytes;

    if (u->error || u->length == 0) {
        return NGX_OK;
    }

    for ( ;; ) {

        status = ngx_http_relay_payload(&ctx->attempt, &raw, &payload);

        if (status == RELAY_CHUNKED_MORE) {
            break;
        }

        if (status == RELAY_CHUNKED_END) {
            ctx->attempt.complete = 1;
            u->length = 0;
            u->keepalive = !ctx->attempt.close && raw.len == 0;
            break;
        }

        if (status == RELAY_CHUNKED_ERROR) {
            ctx->attempt.failure = RELAY_ERR_UPSTREAM_INVALID;
            u->error = 1;
            break;
        }

        rc = (ctx->attempt.mode == NGX_HTTP_RELAY_STREAM)
             ? ngx_http_relay_stream_feed(ctx, payload)
             : ngx_http_relay_emit(ctx, payload);

        if (rc == NGX_ERROR) {
            return NGX_ERROR;
        }

        if (rc == NGX_ABORT) {
            u->error = 1;
            break;
        }
    }

    ngx_http_relay_hand_on(ctx);
    ngx_http_relay_idle_limit(ctx);
    ngx_http_relay_yield(ctx, bytes);

    return NGX_OK;
}


/*
 * nginx reads on for as long as a provider has bytes and the client takes
 * them. A pair of fast ones would keep the worker to themselves.
 */

static void
ngx_http_relay_yield(ngx_http_relay_ctx_t *ctx, size_t bytes)
{
    ngx_connection_t     *c;
    ngx_http_upstream_t  *u;

    u = ctx->request->upstream;
    c = u->peer.connection;

    ctx->turn_size += bytes;

    if (ctx->turn_size < NGX_HTTP_RELAY_TURN
        || u->length == 0 || u->error || !c->read->ready)
    {
        return;
    }

    ctx->turn_size = 0;

    /* ends nginx's loop; the handler puts it back */

    c->read->ready = 0;

    ctx->yield.handler = ngx_http_relay_yield_handler;
    ctx->yield.data = ctx;
    ctx->yield.log = c->log;

    ngx_post_event(&ctx->yield, &ngx_posted_next_events);
}


static void
ngx_http_relay_yield_handler(ngx_event_t *ev)
{
    ngx_connection_t      *c;
    ngx_http_relay_ctx_t  *ctx;

    ctx = ev->data;
    c = ctx->request->upstream->peer.connection;

    if (c) {
        c->read->ready = 1;
        c->read->handler(c->read);
    }
}


relay_chunked_status_t
ngx_http_relay_payload(ngx_http_relay_try_t *attempt, relay_span_t *raw,
    relay_span_t *data)
{
    size_t  n;

    if (attempt->chunked) {
        return relay_chunked_next(&attempt->decoder, raw, data);
    }

    if (attempt->length == 0) {
        return RELAY_CHUNKED_END;
    }

    if (raw->len == 0) {
        return RELAY_CHUNKED_MORE;
    }

    n = raw->len;

    if (attempt->length > 0) {
        n = (size_t) ngx_min((off_t) n, attempt->length);
        attempt->length -= n;
    }

    *data = relay_span(raw->base, n);
    *raw = relay_span_from(*raw, n);

    return RELAY_CHUNKED_DATA;
}


void
ngx_http_relay_hand_on(ngx_http_relay_ctx_t *ctx)
{
    ngx_chain_t          **ll;
    ngx_http_upstream_t   *u;

    if (ctx->pending == NULL) {
        return;
    }

    u = ctx->request->upstream;

    for (ll = &u->out_bufs; *ll; ll = &(*ll)->next) { /* void */ }

    *ll = ctx->pending;

    ctx->pending_tail->buf->flush = 1;

    ctx->pending = NULL;
    ctx->pending_size = 0;
    ctx->spoken = ngx_current_msec;
}


/*
 * The limit until the next read, from whichever ends first: silence, silence
 * of everything but keep-alives, the total, or the stretch that a provider
 * gets between saying that it is done and being done.
 */

static void
ngx_http_relay_idle_limit(ngx_http_relay_ctx_t *ctx)
{
    ngx_msec_int_t            left, armed;
    ngx_connection_t         *c;
    ngx_http_upstream_t      *u;
    const relay_timeouts_t   *limits;

    u = ctx->request->upstream;
    c = u->peer.connection;
    limits = &ctx->attempt.candidate->timeouts;

    left = limits->idle_ms;

    if (ctx->attempt.mode == NGX_HTTP_RELAY_STREAM) {
        left = ngx_min(left, (ngx_msec_int_t)
                             (ctx->progress - ngx_current_msec)
                             + (ngx_msec_int_t) limits->idle_ms
                               * NGX_HTTP_RELAY_STALL_FACTOR);
    }

    left = ngx_min(left, (ngx_msec_int_t) (ctx->begun - ngx_current_msec)
                         + (ngx_msec_int_t) limits->total_ms);

    if (ctx->finished) {
        left = ngx_min(left, (ngx_msec_int_t)
                             (ctx->finished - ngx_current_msec)
                             + ((ctx->stream.end_seen || ctx->ended)
                                ? NGX_HTTP_RELAY_DRAIN_MS
                                : NGX_HTTP_RELAY_FINISH_MS));
    }

    u->conf->read_timeout = ngx_max(left, 1);

    if (c == NULL || !c->read->timer_set) {
        return;
    }

    /*
     * nginx leaves an armed timer alone if the change is under 300 ms, which
     * is nothing to a limit of minutes and much to one of a second.
     */

    armed = (ngx_msec_int_t) (c->read->timer.key - ngx_current_msec);

    if (armed > left || left - armed > left / 16) {
        ngx_del_timer(c->read);
    }
}


ngx_int_t
ngx_http_relay_stream_end(ngx_http_relay_ctx_t *ctx, relay_error_code_t why,
    ngx_uint_t last)
{
    u_char          text[NGX_HTTP_RELAY_OWN_TEXT];
    ngx_buf_t      *b;
    relay_buf_t     out;
    ngx_chain_t    *cl;
    relay_error_t   error;
    relay_stream_t *stream;

    stream = &ctx->stream;

    if (ngx_http_relay_last_item(ctx) != NGX_OK) {
        return NGX_ERROR;
    }

    out = relay_buf(text, sizeof(text));

    if (ctx->attempt.translated) {

        if (ngx_http_relay_translate_end(ctx, why) != NGX_OK) {
            return NGX_ERROR;
        }

    } else if (!ctx->ended && !stream->wire->close(stream, &out)
        && !stream->error_seen)
    {
        ngx_memzero(&error, sizeof(relay_error_t));
        error.code = why;
        ctx->error = why;

        out = relay_buf(text, sizeof(text));
        stream->wire->error_event(stream, &out, &error,
                                  ngx_http_relay_span(&ctx->request_id));
    }

    ctx->ended = 1;

    if (!relay_buf_ok(&out)
        || ngx_http_relay_emit(ctx, relay_buf_span(&out)) != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (last) {
        b = ngx_calloc_buf(ctx->request->pool);
        cl = ngx_alloc_chain_link(ctx->request->pool);

        if (b == NULL || cl == NULL) {
            return NGX_ERROR;
        }

        b->last_buf = 1;
        cl->buf = b;

        ngx_http_relay_append(ctx, cl);
    }

    cl = ctx->pending;

    if (cl == NULL) {
        return NGX_OK;
    }

    ctx->pending = NULL;

    return ngx_http_output_filter(ctx->request, cl);
}


/*
 * Some servers leave out the blank line after their last event. It counts if
 * its data is whole (the wire hides it if not); what goes out is terminated.
 */

static ngx_int_t
ngx_http_relay_last_item(ngx_http_relay_ctx_t *ctx)
{
    size_t             before;
    relay_sse_item_t   item;

    if (relay_sse_finish(&ctx->sse, &item) != RELAY_SSE_EVENT) {
        return NGX_OK;
    }

    before = ctx->pending_size;

    if (ngx_http_relay_item(ctx, RELAY_SSE_EVENT, &item) != NGX_OK) {
        return NGX_ERROR;
    }

    return (ctx->pending_size == before || ctx->attempt.translated)
           ? NGX_OK : ngx_http_relay_emit(ctx, RELAY_SPAN("\n\n"));
}
