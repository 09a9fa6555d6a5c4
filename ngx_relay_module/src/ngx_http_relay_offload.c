
/*
 * Work on one request that would hold up the event loop, in a thread of nginx's
 * pool. The request is held for as long as the thread is at it, whatever becomes
 * of the request meanwhile: the thread reads the caller's body where it is.
 *
 *   offload -> work, in the thread -> done, in the loop
 *                                  -> nginx's end of a request that was given up
 */


#include "ngx_http_relay_offload.h"


#if (NGX_THREADS)

/* a thread that is at it for longer is worth an alert */
#define NGX_HTTP_RELAY_OFFLOAD_MS  60000


struct ngx_http_relay_offload_s {
    ngx_http_relay_ctx_t            *ctx;
    ngx_thread_task_t                task;

    ngx_http_relay_offload_pt        work;
    ngx_http_relay_offload_pt        done;
    uint64_t                         us;          /* the last one took */

    unsigned                         running:1;
    unsigned                         given_up:1;  /* nginx has ended the request */
};


/* a pool of megabytes on its way to the kernel, which takes a while for each */

typedef struct {
    ngx_thread_task_t                task;
    ngx_pool_t                      *pool;
} ngx_http_relay_discarded_t;


static ngx_http_relay_offload_t *ngx_http_relay_offload_create(
    ngx_http_relay_ctx_t *ctx);
static void ngx_http_relay_offload_cleanup(void *data);
static void ngx_http_relay_offload_thread(void *data, ngx_log_t *log);
static void ngx_http_relay_offload_event(ngx_event_t *ev);
static void ngx_http_relay_discard_thread(void *data, ngx_log_t *log);
static void ngx_http_relay_discard_event(ngx_event_t *ev);

#endif


ngx_int_t
ngx_http_relay_offload(ngx_http_relay_ctx_t *ctx,
    ngx_http_relay_offload_pt work, ngx_http_relay_offload_pt done)
{
#if (NGX_THREADS)

    ngx_http_request_t        *r;
    ngx_http_relay_offload_t  *offload;

    if (ctx->rmcf->threads == NULL) {
        return NGX_DECLINED;
    }

    r = ctx->request;
    offload = ctx->offload ? ctx->offload : ngx_http_relay_offload_create(ctx);

    if (offload == NULL || offload->running || offload->given_up) {
        return NGX_DECLINED;
    }

    offload->work = work;
    offload->done = done;
    offload->task.event.log = r->connection->log;

    if (ngx_thread_task_post(ctx->rmcf->threads, &offload->task) != NGX_OK) {
        return NGX_DECLINED;
    }

    offload->running = 1;

    /* without a timer a worker that is to exit would not wait for it */

    ngx_add_timer(&offload->task.event, NGX_HTTP_RELAY_OFFLOAD_MS);

    /* `blocked` keeps a request that is given up, `count` one that ends well */

    r->main->blocked++;
    r->main->count++;

    return NGX_AGAIN;

#else

    return NGX_DECLINED;

#endif
}


ngx_uint_t
ngx_http_relay_offloaded(ngx_http_relay_ctx_t *ctx)
{
#if (NGX_THREADS)
    return ctx->offload && ctx->offload->running;
#else
    return 0;
#endif
}


#if (NGX_THREADS)

static ngx_http_relay_offload_t *
ngx_http_relay_offload_create(ngx_http_relay_ctx_t *ctx)
{
    ngx_http_cleanup_t        *cln;
    ngx_http_relay_offload_t  *offload;

    offload = ngx_pcalloc(ctx->request->pool, sizeof(ngx_http_relay_offload_t));
    cln = ngx_http_cleanup_add(ctx->request, 0);

    if (offload == NULL || cln == NULL) {
        return NULL;
    }

    cln->handler = ngx_http_relay_offload_cleanup;
    cln->data = offload;

    offload->ctx = ctx;
    offload->task.ctx = offload;
    offload->task.handler = ngx_http_relay_offload_thread;
    offload->task.event.data = offload;
    offload->task.event.handler = ngx_http_relay_offload_event;

    ctx->offload = offload;

    return offload;
}


static void
ngx_http_relay_offload_cleanup(void *data)
{
    ngx_http_relay_offload_t *offload = data;

    offload->given_up = 1;
}


static void
ngx_http_relay_offload_thread(void *data, ngx_log_t *log)
{
    ngx_http_relay_offload_t *offload = data;

    uint64_t  start_us;

    start_us = ngx_http_relay_now_us();

    offload->work(offload->ctx);

    offload->us = ngx_http_relay_now_us() - start_us;
}


static void
ngx_http_relay_offload_event(ngx_event_t *ev)
{
    ngx_http_relay_offload_t *offload = ev->data;

    ngx_connection_t      *c;
    ngx_http_request_t    *r;
    ngx_http_relay_ctx_t  *ctx;

    ctx = offload->ctx;
    r = ctx->request;
    c = r->connection;

    ngx_http_set_log_request(c->log, r);

    if (ev->timedout) {
        ngx_log_error(NGX_LOG_ALERT, c->log, 0,
                      "work in a thread takes too long");
        ev->timedout = 0;
        return;
    }

    if (ev->timer_set) {
        ngx_del_timer(ev);
    }

    ngx_log_debug1(NGX_LOG_DEBUG_HTTP, c->log, 0,
                   "relay thread took %uL us", offload->us);

    offload->running = 0;
    ctx->thread_us += offload->us;

    r->main->blocked--;

    if (offload->given_up) {

        /* nginx has left a handler here that frees it */

        r->write_event_handler(r);

    } else {
        offload->done(ctx);
        ngx_http_finalize_request(r, NGX_DONE);
    }

    ngx_http_run_posted_requests(c);
}

#endif


void
ngx_http_relay_watch_caller(ngx_http_request_t *r)
{
    r->read_event_handler = ngx_http_test_reading;
    r->write_event_handler = ngx_http_request_empty_handler;
}


void
ngx_http_relay_discard(ngx_http_relay_main_conf_t *rmcf, ngx_pool_t *pool)
{
#if (NGX_THREADS)

    ngx_http_relay_discarded_t  *discarded;

    if (rmcf->threads) {

        /* the log of a request does not last as long */

        pool->log = ngx_cycle->log;

        discarded = ngx_calloc(sizeof(ngx_http_relay_discarded_t), pool->log);

        if (discarded) {
            discarded->pool = pool;
            discarded->task.ctx = discarded;
            discarded->task.handler = ngx_http_relay_discard_thread;
            discarded->task.event.data = discarded;
            discarded->task.event.handler = ngx_http_relay_discard_event;
            discarded->task.event.log = pool->log;

            if (ngx_thread_task_post(rmcf->threads, &discarded->task)
                == NGX_OK)
            {
                return;
            }

            ngx_free(discarded);
        }
    }

#endif

    ngx_destroy_pool(pool);
}


#if (NGX_THREADS)

static void
ngx_http_relay_discard_thread(void *data, ngx_log_t *log)
{
    ngx_http_relay_discarded_t *discarded = data;

    ngx_destroy_pool(discarded->pool);
}


static void
ngx_http_relay_discard_event(ngx_event_t *ev)
{
    ngx_free(ev->data);
}

#endif
