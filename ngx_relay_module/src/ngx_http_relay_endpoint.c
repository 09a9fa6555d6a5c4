
/*
 * Endpoints of one worker: found or made for a snapshot, gone when no snapshot
 * leads to them any more; which address to connect to next; and connections
 * kept open between requests. Idle connections belong to the endpoint, that
 * is to a name, port and TLS profile; one limit holds for the whole worker,
 * and the longest idle connection goes first.
 */


#include "ngx_http_relay.h"

#include "address.h"


/* a failed address is passed over for this long while others are left */
#define NGX_HTTP_RELAY_ADDR_DOWN      10000

#define NGX_HTTP_RELAY_BUCKETS        1024

/* how long one turn of the event loop may be spent on retiring */
#define NGX_HTTP_RELAY_RETIRE_US      500

#define NGX_HTTP_RELAY_HOSTS_MAX      (64 * 1024 * 1024)


typedef struct {
    ngx_queue_t                  lru;       /* free list or by age */
    ngx_queue_t                  idle;      /* of the endpoint */
    ngx_connection_t            *connection;
    ngx_http_relay_endpoint_t   *endpoint;
    ngx_sockaddr_t               sockaddr;
    socklen_t                    socklen;
} ngx_http_relay_idle_t;


static ngx_int_t ngx_http_relay_endpoint_of(ngx_http_relay_main_conf_t *rmcf,
    const relay_host_t *host, ngx_str_t *hosts,
    ngx_http_relay_endpoint_t **found);
static ngx_http_relay_endpoint_t *ngx_http_relay_endpoint_create(
    const relay_host_t *host, ngx_http_relay_tls_t *tls, ngx_str_t *hosts);
static ngx_int_t ngx_http_relay_endpoint_literal(ngx_http_relay_endpoint_t *ep,
    ngx_str_t *hosts);
static void ngx_http_relay_read_hosts(ngx_str_t *hosts);
static void ngx_http_relay_retire_handler(ngx_event_t *ev);
static void ngx_http_relay_endpoint_close(ngx_http_relay_endpoint_t *ep);
static void ngx_http_relay_endpoint_free(ngx_http_relay_endpoint_t *ep);
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

static ngx_queue_t  ngx_http_relay_endpoints[NGX_HTTP_RELAY_BUCKETS];
static ngx_queue_t  ngx_http_relay_unused;     /* endpoints to retire */
static ngx_event_t  ngx_http_relay_retire;


ngx_int_t
ngx_http_relay_endpoint_init_worker(ngx_cycle_t *cycle,
    ngx_http_relay_main_conf_t *rmcf)
{
    ngx_uint_t              i;
    ngx_http_relay_idle_t  *items;

    ngx_queue_init(&ngx_http_relay_idle_free);
    ngx_queue_init(&ngx_http_relay_idle_used);
    ngx_http_relay_idle_timeout = rmcf->keepalive_timeout;

    ngx_queue_init(&ngx_http_relay_unused);

    for (i = 0; i < NGX_HTTP_RELAY_BUCKETS; i++) {
        ngx_queue_init(&ngx_http_relay_endpoints[i]);
    }

    ngx_http_relay_retire.handler = ngx_http_relay_retire_handler;
    ngx_http_relay_retire.log = cycle->log;

    items = ngx_pcalloc(cycle->pool,
                        (rmcf->keepalive + 1) * sizeof(ngx_http_relay_idle_t));
    if (items == NULL) {
        return NGX_ERROR;
    }

    for (i = 0; i < rmcf->keepalive; i++) {
        ngx_queue_insert_tail(&ngx_http_relay_idle_free, &items[i].lru);
    }

    return NGX_OK;
}


/* connections and timers go; the endpoints themselves go with the process */

void
ngx_http_relay_endpoint_exit_worker(void)
{
    ngx_uint_t    i;
    ngx_queue_t  *q, *bucket;

    for (i = 0; i <= NGX_HTTP_RELAY_BUCKETS; i++) {

        bucket = (i < NGX_HTTP_RELAY_BUCKETS) ? &ngx_http_relay_endpoints[i]
                                              : &ngx_http_relay_unused;

        for (q = ngx_queue_head(bucket);
             q != ngx_queue_sentinel(bucket);
             q = ngx_queue_next(q))
        {
            ngx_http_relay_endpoint_close(ngx_queue_data(q,
                                          ngx_http_relay_endpoint_t, queue));
        }
    }
}


/* hosts without a usable key cost nothing: no TLS, no DNS */

ngx_int_t
ngx_http_relay_endpoints_take(ngx_http_relay_main_conf_t *rmcf,
    ngx_http_relay_snapshot_t *snapshot, uint64_t until_us)
{
    ngx_int_t                     rc;
    ngx_str_t                     hosts;
    const relay_config_t         *config;
    const relay_provider_key_t   *key;
    ngx_http_relay_endpoint_t   **place;

    rc = NGX_OK;
    config = snapshot->config;
    ngx_str_null(&hosts);

    while (snapshot->taken < config->nprovider_keys) {

        key = &config->provider_keys[snapshot->taken];
        place = &snapshot->endpoints[key->host->index];

        if (key->active && !key->host->echo && *place == NULL) {

            rc = ngx_http_relay_endpoint_of(rmcf, key->host, &hosts, place);

            if (rc != NGX_OK) {
                break;
            }
        }

        snapshot->taken++;

        if (until_us && ngx_http_relay_now_us() >= until_us
            && snapshot->taken < config->nprovider_keys)
        {
            rc = NGX_AGAIN;
            break;
        }
    }

    if (hosts.data) {
        ngx_free(hosts.data);
    }

    return rc;
}


static ngx_int_t
ngx_http_relay_endpoint_of(ngx_http_relay_main_conf_t *rmcf,
    const relay_host_t *host, ngx_str_t *hosts,
    ngx_http_relay_endpoint_t **found)
{
    uint32_t                    hash;
    ngx_queue_t                *q, *bucket;
    ngx_http_relay_tls_t       *tls;
    ngx_http_relay_endpoint_t  *ep;

    tls = NULL;

    if (host->tls) {
        tls = ngx_http_relay_tls_find(&rmcf->tls, host->tls_verify,
                                      host->tls_ca_file);
        if (tls == NULL) {
            return NGX_ERROR;
        }
    }

    hash = ngx_murmur_hash2((u_char *) host->server_name.base,
                            host->server_name.len)
           + host->port;

    bucket = &ngx_http_relay_endpoints[hash % NGX_HTTP_RELAY_BUCKETS];

    for (q = ngx_queue_head(bucket);
         q != ngx_queue_sentinel(bucket);
         q = ngx_queue_next(q))
    {
        ep = ngx_queue_data(q, ngx_http_relay_endpoint_t, queue);

        if (ep->hash == hash
            && ep->port == host->port
            && ep->tls == tls
            && ep->local == host->local
            && relay_span_eq(ngx_http_relay_span(&ep->name),
                             host->server_name)
            && relay_span_eq(ngx_http_relay_span(&ep->tls_name),
                             host->tls_name))
        {
            goto done;
        }
    }

    ep = ngx_http_relay_endpoint_create(host, tls, hosts);
    if (ep == NULL) {
        return NGX_ERROR;
    }

    ep->hash = hash;
    ngx_queue_insert_tail(bucket, &ep->queue);

    ngx_http_relay_resolve_start(rmcf, ep);

done:

    ep->users++;
    *found = ep;

    return NGX_OK;
}


static ngx_http_relay_endpoint_t *
ngx_http_relay_endpoint_create(const relay_host_t *host,
    ngx_http_relay_tls_t *tls, ngx_str_t *hosts)
{
    u_char                     *p;
    ngx_http_relay_endpoint_t  *ep;

    ep = ngx_calloc(sizeof(ngx_http_relay_endpoint_t) + host->server_name.len
                    + host->tls_name.len, ngx_cycle->log);
    if (ep == NULL) {
        return NULL;
    }

    ngx_queue_init(&ep->idle);
    ngx_queue_init(&ep->waiters);

    p = (u_char *) ep + sizeof(ngx_http_relay_endpoint_t);

    ep->name.data = p;
    ep->name.len = host->server_name.len;
    p = ngx_cpymem(p, host->server_name.base, host->server_name.len);

    ep->tls_name.data = p;
    ep->tls_name.len = host->tls_name.len;

    if (host->tls_name.len) {
        ngx_memcpy(p, host->tls_name.base, host->tls_name.len);
    }

    ep->port = host->port;
    ep->tls = tls;
    ep->local = host->local;

    if (ngx_http_relay_endpoint_literal(ep, hosts) != NGX_OK) {
        ngx_free(ep);
        return NULL;
    }

    if (tls) {
        tls->users++;
    }

    return ep;
}


/* addresses that need no name server: literals and /etc/hosts */

static ngx_int_t
ngx_http_relay_endpoint_literal(ngx_http_relay_endpoint_t *ep,
    ngx_str_t *hosts)
{
    ngx_int_t    rc;
    ngx_addr_t   addr;
    ngx_pool_t  *pool;

    pool = ngx_create_pool(512, ngx_cycle->log);
    if (pool == NULL) {
        return NGX_ERROR;
    }

    rc = ngx_parse_addr(pool, &addr, ep->name.data, ep->name.len);

    if (rc == NGX_OK) {
        ep->literal = 1;
        ngx_inet_set_port(addr.sockaddr, ep->port);

        rc = ngx_http_relay_endpoint_add_addr(ep, addr.sockaddr, addr.socklen);

    } else if (rc == NGX_DECLINED) {

        if (hosts->data == NULL) {
            ngx_http_relay_read_hosts(hosts);
        }

        ngx_http_relay_resolve_hosts(ep, hosts);

        rc = NGX_OK;
    }

    ngx_destroy_pool(pool);

    return rc;
}


/* empty if it cannot be read: names then come from name servers alone */

static void
ngx_http_relay_read_hosts(ngx_str_t *hosts)
{
    off_t            size;
    ssize_t          n;
    ngx_fd_t         fd;
    ngx_file_info_t  info;

    fd = ngx_open_file("/etc/hosts", NGX_FILE_RDONLY, NGX_FILE_OPEN, 0);

    if (fd == NGX_INVALID_FILE) {
        return;
    }

    size = 0;

    if (ngx_fd_info(fd, &info) != NGX_FILE_ERROR && ngx_is_file(&info)) {
        size = ngx_min(ngx_file_size(&info), NGX_HTTP_RELAY_HOSTS_MAX);
    }

    hosts->data = ngx_alloc(size + 1, ngx_cycle->log);

    if (hosts->data) {
        n = ngx_read_fd(fd, hosts->data, size);
        hosts->len = (n > 0) ? (size_t) n : 0;
    }

    (void) ngx_close_file(fd);
}


/* those that no snapshot leads to any more are retired a little later */

void
ngx_http_relay_endpoints_release(ngx_http_relay_snapshot_t *snapshot)
{
    size_t                      i;
    ngx_http_relay_endpoint_t  *ep;

    if (snapshot->taken == 0) {
        return;
    }

    for (i = 0; i < snapshot->config->nhosts; i++) {
        ep = snapshot->endpoints[i];

        if (ep && --ep->users == 0) {
            ngx_queue_remove(&ep->queue);
            ngx_queue_insert_tail(&ngx_http_relay_unused, &ep->queue);
        }
    }

    if (!ngx_queue_empty(&ngx_http_relay_unused)
        && !ngx_http_relay_retire.posted)
    {
        ngx_post_event(&ngx_http_relay_retire, &ngx_posted_next_events);
    }
}


static void
ngx_http_relay_retire_handler(ngx_event_t *ev)
{
    uint64_t                    until_us;
    ngx_queue_t                *q;
    ngx_http_relay_endpoint_t  *ep;

    until_us = ngx_http_relay_now_us() + NGX_HTTP_RELAY_RETIRE_US;

    while (!ngx_queue_empty(&ngx_http_relay_unused)) {

        if (ngx_http_relay_now_us() >= until_us) {
            ngx_post_event(ev, &ngx_posted_next_events);
            return;
        }

        q = ngx_queue_head(&ngx_http_relay_unused);
        ep = ngx_queue_data(q, ngx_http_relay_endpoint_t, queue);

        ngx_queue_remove(q);

        ngx_http_relay_endpoint_close(ep);
        ngx_http_relay_endpoint_free(ep);
    }
}


static void
ngx_http_relay_endpoint_close(ngx_http_relay_endpoint_t *ep)
{
    ngx_queue_t  *q;

    while (!ngx_queue_empty(&ep->idle)) {
        q = ngx_queue_head(&ep->idle);

        ngx_http_relay_idle_drop(ngx_queue_data(q, ngx_http_relay_idle_t,
                                                idle));
    }

    ngx_http_relay_resolve_stop(ep);

    if (ep->session) {
        ngx_ssl_free_session(ep->session);
        ep->session = NULL;
    }
}


static void
ngx_http_relay_endpoint_free(ngx_http_relay_endpoint_t *ep)
{
    ngx_log_debug2(NGX_LOG_DEBUG_HTTP, ngx_cycle->log, 0,
                   "relay endpoint %V:%d is retired", &ep->name,
                   (int) ep->port);

    if (ep->tls) {
        ep->tls->users--;
    }

    ngx_free(ep);
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
