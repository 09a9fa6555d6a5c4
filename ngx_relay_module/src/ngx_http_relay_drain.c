
/*
 * The end of a worker that is replaced. nginx lets it finish its requests for
 * worker_shutdown_timeout and then cuts every connection; a little before that,
 * whatever is still under way is ended here, so that a caller gets an error
 * event or an error, never a stream that just stops.
 *
 * nginx announces its exit to nobody: it is looked for while requests run.
 */


#include "ngx_http_relay.h"


#define NGX_HTTP_RELAY_DRAIN_POLL_MS    50
#define NGX_HTTP_RELAY_DRAIN_MARGIN_MS  100


static void ngx_http_relay_drain_handler(ngx_event_t *ev);
static void ngx_http_relay_drain_all(void);


/* of this worker */

static ngx_queue_t  ngx_http_relay_running;
static ngx_event_t  ngx_http_relay_drain_event;
static ngx_msec_t   ngx_http_relay_not_exiting;   /* when last seen */


void
ngx_http_relay_drain_init(ngx_cycle_t *cycle)
{
    /* the debug log names the descriptor of every timer's connection */

    static ngx_connection_t  none = { .fd = (ngx_socket_t) -1 };

    ngx_queue_init(&ngx_http_relay_running);

    ngx_memzero(&ngx_http_relay_drain_event, sizeof(ngx_event_t));

    ngx_http_relay_drain_event.handler = ngx_http_relay_drain_handler;
    ngx_http_relay_drain_event.data = &none;
    ngx_http_relay_drain_event.log = cycle->log;
    ngx_http_relay_drain_event.cancelable = 1;
}


void
ngx_http_relay_drain_add(ngx_http_relay_ctx_t *ctx)
{
    ngx_queue_insert_tail(&ngx_http_relay_running, &ctx->running);
    ctx->listed = 1;

    if (!ngx_http_relay_drain_event.timer_set) {
        ngx_http_relay_not_exiting = ngx_current_msec;
        ngx_add_timer(&ngx_http_relay_drain_event,
                      NGX_HTTP_RELAY_DRAIN_POLL_MS);
    }
}


void
ngx_http_relay_drain_remove(ngx_http_relay_ctx_t *ctx)
{
    if (ctx->listed) {
        ngx_queue_remove(&ctx->running);
        ctx->listed = 0;
    }
}


static void
ngx_http_relay_drain_handler(ngx_event_t *ev)
{
    ngx_msec_t        left;
    ngx_core_conf_t  *ccf;

    if (ngx_queue_empty(&ngx_http_relay_running)) {
        return;
    }

    if (!ngx_exiting) {
        ngx_http_relay_not_exiting = ngx_current_msec;
        ngx_add_timer(ev, NGX_HTTP_RELAY_DRAIN_POLL_MS);
        return;
    }

    ccf = (ngx_core_conf_t *) ngx_get_conf(ngx_cycle->conf_ctx,
                                           ngx_core_module);

    if (ccf->shutdown_timeout == 0) {
        return;
    }

    left = ccf->shutdown_timeout
           - ngx_min(ccf->shutdown_timeout,
                     ngx_current_msec - ngx_http_relay_not_exiting);

    if (left > NGX_HTTP_RELAY_DRAIN_MARGIN_MS) {
        ngx_add_timer(ev, left - NGX_HTTP_RELAY_DRAIN_MARGIN_MS);
        return;
    }

    ngx_http_relay_drain_all();
}


/* as if the provider had fallen silent, with no candidate left */

static void
ngx_http_relay_drain_all(void)
{
    ngx_queue_t           *q;
    ngx_connection_t      *c;
    ngx_http_upstream_t   *u;
    ngx_http_relay_ctx_t  *ctx;

    while (!ngx_queue_empty(&ngx_http_relay_running)) {

        q = ngx_queue_head(&ngx_http_relay_running);
        ctx = ngx_queue_data(q, ngx_http_relay_ctx_t, running);

        ngx_http_relay_drain_remove(ctx);

        u = ctx->request->upstream;
        c = u->peer.connection;

        if (c == NULL) {
            continue;
        }

        ctx->draining = 1;
        ctx->candidate = ctx->plan->count;
        u->peer.tries = 1;

        c->read->timedout = 1;
        c->read->handler(c->read);
    }
}
