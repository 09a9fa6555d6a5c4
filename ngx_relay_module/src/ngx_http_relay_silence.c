
/*
 * Signs of life of our own: a stream that is silent while the model thinks is
 * cut by proxies on the way that know no better. Sent between events only, and
 * only once the answer has begun, since they would commit it.
 *
 *   commit -> timer -> output since? -> later
 *                   -> client behind? -> later
 *                   -> else keep-alive -> later ... end
 */


#include "ngx_http_relay.h"


static void ngx_http_relay_silence_handler(ngx_event_t *ev);
static ngx_uint_t ngx_http_relay_may_speak(ngx_http_relay_ctx_t *ctx);


void
ngx_http_relay_silence_begin(ngx_http_relay_ctx_t *ctx)
{
    ngx_http_relay_loc_conf_t  *rlcf;

    rlcf = ngx_http_get_module_loc_conf(ctx->request, ngx_relay_module);

    if (rlcf->stream_keepalive == 0
        || ctx->match.operation != RELAY_OP_GENERATE
        || ctx->match.wire->keep_alive.len == 0)
    {
        return;
    }

    ctx->spoken = ngx_current_msec;

    ctx->silence.handler = ngx_http_relay_silence_handler;
    ctx->silence.data = ctx;
    ctx->silence.log = ctx->request->connection->log;

    ngx_add_timer(&ctx->silence, rlcf->stream_keepalive);
}


void
ngx_http_relay_silence_end(ngx_http_relay_ctx_t *ctx)
{
    if (ctx->silence.timer_set) {
        ngx_del_timer(&ctx->silence);
    }
}


static void
ngx_http_relay_silence_handler(ngx_event_t *ev)
{
    ngx_msec_t                  silent;
    ngx_connection_t           *c;
    ngx_http_request_t         *r;
    ngx_http_relay_ctx_t       *ctx;
    ngx_http_relay_loc_conf_t  *rlcf;

    ctx = ev->data;
    r = ctx->request;
    c = r->connection;

    ngx_http_set_log_request(c->log, r);

    rlcf = ngx_http_get_module_loc_conf(r, ngx_relay_module);
    silent = ngx_current_msec - ctx->spoken;

    if (silent < rlcf->stream_keepalive) {
        ngx_add_timer(ev, rlcf->stream_keepalive - silent);
        return;
    }

    ngx_add_timer(ev, rlcf->stream_keepalive);

    if (!ngx_http_relay_may_speak(ctx)
        || ngx_http_relay_emit(ctx, ctx->match.wire->keep_alive) != NGX_OK)
    {
        return;
    }

    ngx_http_relay_hand_on(ctx);

    /* may end the request, and with it this event */

    r->write_event_handler(r);

    ngx_http_run_posted_requests(c);
}


/* whole events are out, none waits, and there is more to come */

static ngx_uint_t
ngx_http_relay_may_speak(ngx_http_relay_ctx_t *ctx)
{
    ngx_http_upstream_t  *u;

    u = ctx->request->upstream;

    return !ctx->ended && !ctx->stream.end_seen && !ctx->passed_cr
           && ctx->pending == NULL
           && u->out_bufs == NULL && u->busy_bufs == NULL
           && !ctx->request->connection->error;
}
