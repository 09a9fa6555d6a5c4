
/*
 * Endpoints of one worker: which address to connect to next, and connections
 * kept open between requests. Idle connections belong to the endpoint, that
 * is to a name, port and TLS profile; one limit holds for the whole worker,
 * and the longest idle connection goes first.
 */


#include "ngx_http_relay.h"

#include "address.h"


/* a failed address is passed over for this long while others are left */
#define NGX_HTTP_RELAY_ADDR_DOWN  10000


typedef struct {
    ngx_queue_t                  lru;       /* free list or by age */
    ngx_queue_t                  idle;      /* of the endpoint */
    ngx_connection_t            *connection;
    ngx_http_relay_endpoint_t   *endpoint;
    ngx_sockaddr_t               sockaddr;
    socklen_t                    socklen;
} ngx_http_relay_idle_t;


static ngx_int_t ngx_http_relay_addr_allowed(ngx_http_relay_endpoint_t *ep,
    struct sockaddr *sa);
static ngx_int_t ngx_http_relay_addr_known(ngx_http_relay_endpoint_t *ep,
    ngx_http_relay_idle_t *item);
static void ngx_http_relay_idle_handler(ngx_event_t *ev);
static void ngx_http_relay_idle_dummy_handler(ngx_event_t *ev);
static void ngx_http_relay_idle_drop(ngx_http_relay_idle_t *item);
static void ngx_http_relay_close(ngx_connection_t *c);


/* of this worker */

static ngx_queue_t  ngx_http_relay_idle_free;
static ngx_queue_t  ngx_http_relay_idle_used;
static ngx_msec_t   ngx_http_relay_idle_timeout;


ngx_int_t
ngx_http_relay_endpoint_init_worker(ngx_cycle_t *cycle,
    ngx_http_relay_main_conf_t *rmcf)
{
    ngx_uint_t                   i;
    ngx_http_relay_idle_t       *items;
    ngx_http_relay_endpoint_t  **ep;

    ngx_queue_init(&ngx_http_relay_idle_free);
    ngx_queue_init(&ngx_http_relay_idle_used);
    ngx_http_relay_idle_timeout = rmcf->keepalive_timeout;

    items = ngx_pcalloc(cycle->pool,
                        (rmcf->keepalive + 1) * sizeof(ngx_http_relay_idle_t));
    if (items == NULL) {
        return NGX_ERROR;
    }

    for (i = 0; i < rmcf->keepalive; i++) {
        ngx_queue_insert_tail(&ngx_http_relay_idle_free, &items[i].lru);
    }

    ep = rmcf->all.elts;

    for (i = 0; i < rmcf->all.nelts; i++) {
        ngx_http_relay_resolve_start(rmcf, ep[i]);
    }

    return NGX_OK;
}


void
ngx_http_relay_endpoint_exit_worker(ngx_http_relay_main_conf_t *rmcf)
{
    ngx_uint_t                   i;
    ngx_queue_t                 *q;
    ngx_http_relay_endpoint_t  **ep;

    while (!ngx_queue_empty(&ngx_http_relay_idle_used)) {
        q = ngx_queue_head(&ngx_http_relay_idle_used);

        ngx_http_relay_idle_drop(ngx_queue_data(q, ngx_http_relay_idle_t,
                                                lru));
    }

    ep = rmcf->all.elts;

    for (i = 0; i < rmcf->all.nelts; i++) {
        ngx_http_relay_resolve_stop(ep[i]);

        if (ep[i]->session) {
            ngx_ssl_free_session(ep[i]->session);
            ep[i]->session = NULL;
        }
    }
}


ngx_int_t
ngx_http_relay_endpoint_add_addr(ngx_http_relay_endpoint_t *ep,
    struct sockaddr *sa, socklen_t socklen)
{
    ngx_uint_t              i;
    ngx_http_relay_addr_t  *addr;

    for (i = 0; i < ep->naddrs; i++) {
        if (ngx_cmp_sockaddr(&ep->addrs[i].sockaddr.sockaddr,
                             ep->addrs[i].socklen, sa, socklen, 1)
            == NGX_OK)
        {
            return NGX_OK;
        }
    }

    if (ep->naddrs == NGX_HTTP_RELAY_ADDRS_MAX
        || socklen > (socklen_t) sizeof(ngx_sockaddr_t))
    {
        return NGX_OK;
    }

    addr = &ep->addrs[ep->naddrs++];

    ngx_memzero(addr, sizeof(ngx_http_relay_addr_t));
    ngx_memcpy(&addr->sockaddr, sa, socklen);

    addr->socklen = socklen;
    addr->text.data = addr->text_data;
    addr->text.len = ngx_sock_ntop(sa, socklen, addr->text_data,
                                   NGX_SOCKADDR_STRLEN, 1);

    return NGX_OK;
}


ngx_int_t
ngx_http_relay_endpoint_addr(ngx_http_relay_endpoint_t *ep, ngx_log_t *log,
    ngx_http_relay_addr_t *addr)
{
    ngx_uint_t              i;
    ngx_http_relay_addr_t  *known, *chosen;

    chosen = NULL;

    for (i = 0; i < ep->naddrs; i++) {
        known = &ep->addrs[ep->next++ % ep->naddrs];

        /* here, after resolution, and nowhere else: rebinding ends here */

        if (ngx_http_relay_addr_allowed(ep, &known->sockaddr.sockaddr)
            != NGX_OK)
        {
            ngx_log_error(NGX_LOG_ERR, log, 0,
                          "address %V of \"%V\" is not public; set \"local\" "
                          "on the host to allow it", &known->text, &ep->name);
            continue;
        }

        chosen = known;

        if (!known->down
            || ngx_current_msec - known->failed >= NGX_HTTP_RELAY_ADDR_DOWN)
        {
            known->down = 0;
            break;
        }
    }

    if (chosen == NULL) {
        return NGX_DECLINED;
    }

    *addr = *chosen;
    addr->text.data = addr->text_data;

    return NGX_OK;
}


void
ngx_http_relay_endpoint_down(ngx_http_relay_endpoint_t *ep,
    ngx_http_relay_addr_t *addr)
{
    ngx_uint_t  i;

    for (i = 0; i < ep->naddrs; i++) {
        if (ngx_cmp_sockaddr(&ep->addrs[i].sockaddr.sockaddr,
                             ep->addrs[i].socklen, &addr->sockaddr.sockaddr,
                             addr->socklen, 1)
            == NGX_OK)
        {
            ep->addrs[i].down = 1;
            ep->addrs[i].failed = ngx_current_msec;
            return;
        }
    }
}


static ngx_int_t
ngx_http_relay_addr_allowed(ngx_http_relay_endpoint_t *ep,
    struct sockaddr *sa)
{
    relay_span_t          bytes;
    struct sockaddr_in   *sin;
#if (NGX_HAVE_INET6)
    struct sockaddr_in6  *sin6;
#endif

    if (ep->local) {
        return NGX_OK;
    }

    switch (sa->sa_family) {

#if (NGX_HAVE_INET6)
    case AF_INET6:
        sin6 = (struct sockaddr_in6 *) sa;
        bytes = relay_span(&sin6->sin6_addr, 16);
        break;
#endif

    case AF_INET:
        sin = (struct sockaddr_in *) sa;
        bytes = relay_span(&sin->sin_addr, 4);
        break;

    default:
        return NGX_DECLINED;
    }

    return relay_address_public(bytes) ? NGX_OK : NGX_DECLINED;
}


ngx_int_t
ngx_http_relay_endpoint_reuse(ngx_peer_connection_t *pc,
    ngx_http_relay_endpoint_t *ep)
{
    ngx_queue_t            *q;
    ngx_connection_t       *c;
    ngx_http_relay_idle_t  *item;

    while (!ngx_queue_empty(&ep->idle)) {

        q = ngx_queue_head(&ep->idle);
        item = ngx_queue_data(q, ngx_http_relay_idle_t, idle);

        if (ngx_http_relay_addr_known(ep, item) != NGX_OK) {
            ngx_http_relay_idle_drop(item);
            continue;
        }

        ngx_queue_remove(&item->idle);
        ngx_queue_remove(&item->lru);
        ngx_queue_insert_head(&ngx_http_relay_idle_free, &item->lru);

        c = item->connection;

        ngx_log_debug1(NGX_LOG_DEBUG_HTTP, pc->log, 0,
                       "relay reuses connection %p", c);

        c->idle = 0;
        c->sent = 0;
        c->data = NULL;
        c->log = pc->log;
        c->read->log = pc->log;
        c->write->log = pc->log;
        c->pool->log = pc->log;

        if (c->read->timer_set) {
            ngx_del_timer(c->read);
        }

        pc->connection = c;
        pc->cached = 1;

        return NGX_DONE;
    }

    return NGX_DECLINED;
}


/* a name that moved must not be served over connections to its old place */

static ngx_int_t
ngx_http_relay_addr_known(ngx_http_relay_endpoint_t *ep,
    ngx_http_relay_idle_t *item)
{
    ngx_uint_t  i;

    for (i = 0; i < ep->naddrs; i++) {
        if (ngx_cmp_sockaddr(&ep->addrs[i].sockaddr.sockaddr,
                             ep->addrs[i].socklen, &item->sockaddr.sockaddr,
                             item->socklen, 1)
            == NGX_OK)
        {
            return NGX_OK;
        }
    }

    return NGX_DECLINED;
}


void
ngx_http_relay_endpoint_keep(ngx_peer_connection_t *pc,
    ngx_http_relay_endpoint_t *ep)
{
    ngx_queue_t            *q;
    ngx_connection_t       *c;
    ngx_http_relay_idle_t  *item;

    c = pc->connection;

    if (c == NULL
        || c->read->eof
        || c->read->error
        || c->read->timedout
        || c->write->error
        || c->write->timedout
        || ngx_terminate
        || ngx_exiting)
    {
        return;
    }

    if (ngx_handle_read_event(c->read, 0) != NGX_OK) {
        return;
    }

    if (ngx_queue_empty(&ngx_http_relay_idle_free)) {

        if (ngx_queue_empty(&ngx_http_relay_idle_used)) {
            /* relay_keepalive 0 */
            return;
        }

        q = ngx_queue_last(&ngx_http_relay_idle_used);
        ngx_http_relay_idle_drop(ngx_queue_data(q, ngx_http_relay_idle_t,
                                                lru));
    }

    q = ngx_queue_head(&ngx_http_relay_idle_free);
    item = ngx_queue_data(q, ngx_http_relay_idle_t, lru);

    ngx_queue_remove(&item->lru);
    ngx_queue_insert_head(&ngx_http_relay_idle_used, &item->lru);
    ngx_queue_insert_head(&ep->idle, &item->idle);

    item->connection = c;
    item->endpoint = ep;
    item->socklen = pc->socklen;
    ngx_memcpy(&item->sockaddr, pc->sockaddr, pc->socklen);

    pc->connection = NULL;

    c->read->delayed = 0;
    ngx_add_timer(c->read, ngx_http_relay_idle_timeout);

    if (c->write->timer_set) {
        ngx_del_timer(c->write);
    }

    c->write->handler = ngx_http_relay_idle_dummy_handler;
    c->read->handler = ngx_http_relay_idle_handler;

    c->data = item;
    c->idle = 1;
    c->log = ngx_cycle->log;
    c->read->log = ngx_cycle->log;
    c->write->log = ngx_cycle->log;
    c->pool->log = ngx_cycle->log;

    if (c->read->ready) {
        ngx_http_relay_idle_handler(c->read);
    }
}


static void
ngx_http_relay_idle_dummy_handler(ngx_event_t *ev)
{
    ngx_log_debug0(NGX_LOG_DEBUG_HTTP, ev->log, 0, "relay idle write");
}


/* anything readable on an idle connection ends it, TLS tickets excepted */

static void
ngx_http_relay_idle_handler(ngx_event_t *ev)
{
    int                n;
    char               buf[1];
    ngx_connection_t  *c;

    c = ev->data;

    if (c->close || c->read->timedout) {
        goto close;
    }

    n = recv(c->fd, buf, 1, MSG_PEEK);

    if (n == -1 && ngx_socket_errno == NGX_EAGAIN) {
        ev->ready = 0;

        if (ngx_handle_read_event(c->read, 0) != NGX_OK) {
            goto close;
        }

        return;
    }

close:

    ngx_http_relay_idle_drop(c->data);
}


static void
ngx_http_relay_idle_drop(ngx_http_relay_idle_t *item)
{
    ngx_queue_remove(&item->idle);
    ngx_queue_remove(&item->lru);
    ngx_queue_insert_head(&ngx_http_relay_idle_free, &item->lru);

    ngx_http_relay_close(item->connection);
    item->connection = NULL;
}


static void
ngx_http_relay_close(ngx_connection_t *c)
{
    if (c->ssl) {
        c->ssl->no_wait_shutdown = 1;
        c->ssl->no_send_shutdown = 1;

        if (ngx_ssl_shutdown(c) == NGX_AGAIN) {
            c->ssl->handler = ngx_http_relay_close;
            return;
        }
    }

    ngx_destroy_pool(c->pool);
    ngx_close_connection(c);
}
