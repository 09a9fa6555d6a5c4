
/*
 * Work that would hold up the event loop, in a thread of nginx's pool: reading,
 * checking and building what the store has, and keeping it on disk. At most one
 * task of each kind is under way.
 */


#include "ngx_http_relay_store.h"


#if (NGX_THREADS)
static void ngx_http_relay_task_thread(void *data, ngx_log_t *log);
#endif
static void ngx_http_relay_task_inline(ngx_event_t *ev);
static void ngx_http_relay_task_done(ngx_event_t *ev);


void
ngx_http_relay_task_post(ngx_http_relay_store_t *store,
    ngx_http_relay_task_t *task)
{
#if (NGX_THREADS)

    task->thread.ctx = task;
    task->thread.handler = ngx_http_relay_task_thread;
    task->thread.event.data = task;
    task->thread.event.handler = ngx_http_relay_task_done;
    task->thread.event.log = store->cycle->log;
    task->thread.event.complete = 0;

    if (store->conf->threads
        && ngx_thread_task_post(store->conf->threads, &task->thread) == NGX_OK)
    {
        return;
    }

#endif

    /* slower for everybody, but done */

    task->event.data = task;
    task->event.handler = ngx_http_relay_task_inline;
    task->event.log = store->cycle->log;

    ngx_post_event(&task->event, &ngx_posted_next_events);
}


#if (NGX_THREADS)

static void
ngx_http_relay_task_thread(void *data, ngx_log_t *log)
{
    ngx_http_relay_task_t *task = data;

    task->work(task->data);
}

#endif


static void
ngx_http_relay_task_inline(ngx_event_t *ev)
{
    ngx_http_relay_task_t *task = ev->data;

    task->work(task->data);

    ngx_http_relay_task_done(ev);
}


static void
ngx_http_relay_task_done(ngx_event_t *ev)
{
    ngx_http_relay_task_t *task = ev->data;

    task->done(task->data);
}
