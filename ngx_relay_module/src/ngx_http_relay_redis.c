
/*
 * Connections to Redis: opened, watched, opened again.
 *
 * Our own and not hiredis: the one that Debian 12 has, 0.14, knows no TLS, no
 * timeout, neither of a connect nor of a command, and no way to take back a
 * command; it builds each reply as a tree on the heap and reads 16 KB a call.
 * What is left of it would be its parser, and core/resp is that.
 */


#include "ngx_http_relay_redis_connection.h"


/* until the connection is signed in */
#define NGX_HTTP_RELAY_REDIS_CONNECT_MS   2000

/*
 * The connection is given up when the oldest command has waited for so long
 * and nothing came in meanwhile, or when its answer, coming in bit by bit,
 * takes longer than the second.
 */
#define NGX_HTTP_RELAY_REDIS_SILENCE_MS   1000
#define NGX_HTTP_RELAY_REDIS_ANSWER_MS    30000

/* after so long without a byte we ask whether anybody is there */
#define NGX_HTTP_RELAY_REDIS_QUIET_MS     10000

/* between attempts: doubled each time, up to the second, and up to a half more;
 * a connection that lasted as long as the third was a good one */
#define NGX_HTTP_RELAY_REDIS_PAUSE_MS     50
#define NGX_HTTP_RELAY_REDIS_PAUSE_MAX    2000
#define NGX_HTTP_RELAY_REDIS_GOOD_MS      2000


static void ngx_http_relay_redis_retry_handler(ngx_event_t *ev);
static void ngx_http_relay_redis_resolve(ngx_http_relay_redis_t *redis);
static void ngx_http_relay_redis_resolved(ngx_resolver_ctx_t *rctx);
static void ngx_http_relay_redis_connect(ngx_http_relay_redis_t *redis);
static void ngx_http_relay_redis_connect_handler(ngx_event_t *ev);
static void ngx_http_relay_redis_connected(ngx_http_relay_redis_t *redis);
static void ngx_http_relay_redis_handshake(ngx_http_relay_redis_t *redis);
static void ngx_http_relay_redis_handshake_handler(ngx_connection_t *c);
static const char *ngx_http_relay_redis_verify(ngx_http_relay_redis_t *redis,
    ngx_connection_t *c);
static void ngx_http_relay_redis_opened(ngx_http_relay_redis_t *redis);
static void ngx_http_relay_redis_watch_handler(ngx_event_t *ev);
static void ngx_http_relay_redis_ping(ngx_http_relay_redis_t *redis);
static void ngx_http_relay_redis_flush_handler(ngx_event_t *ev);
static ngx_msec_t ngx_http_relay_redis_next_pause(
    ngx_http_relay_redis_t *redis);
static void ngx_http_relay_redis_close(ngx_http_relay_redis_t *redis);
static void ngx_http_relay_redis_close_connection(ngx_connection_t *c);
static void ngx_http_relay_redis_stop_event(ngx_event_t *ev);


ngx_http_relay_redis_t *
ngx_http_relay_redis_create(ngx_cycle_t *cycle,
    ngx_http_relay_redis_conf_t *conf, ngx_str_t *channel,
    ngx_http_relay_redis_events_t *events)
{
    ngx_http_relay_redis_t  *redis;

    redis = ngx_calloc(sizeof(ngx_http_relay_redis_t), cycle->log);
    if (redis == NULL) {
        return NULL;
    }

    redis->conf = conf;
    redis->log = *cycle->log;
    redis->first = 1;
    redis->pause = NGX_HTTP_RELAY_REDIS_PAUSE_MS;
    redis->received = ngx_current_msec;
    redis->state.since = ngx_current_msec;
    redis->state.error.data = redis->error;

    if (channel) {
        redis->channel = *channel;
    }

    if (events) {
        redis->events = *events;
    }

    redis->naddrs = conf->naddrs;
    ngx_memcpy(redis->addrs, conf->addrs, sizeof(redis->addrs));

    ngx_queue_init(&redis->outstanding);
    ngx_queue_init(&redis->unused);

    relay_resp_init(&redis->resp, redis->values,
                    NGX_HTTP_RELAY_REDIS_VALUES_MAX,
                    NGX_HTTP_RELAY_REDIS_REPLY_MAX);

    /* a worker that is asked to exit does not wait for these */

    redis->retry.handler = ngx_http_relay_redis_retry_handler;
    redis->retry.data = redis;
    redis->retry.log = &redis->log;
    redis->retry.cancelable = 1;

    redis->watch.handler = ngx_http_relay_redis_watch_handler;
    redis->watch.data = redis;
    redis->watch.log = &redis->log;
    redis->watch.cancelable = 1;

    redis->flush.handler = ngx_http_relay_redis_flush_handler;
    redis->flush.data = redis;
    redis->flush.log = &redis->log;

    ngx_post_event(&redis->retry, &ngx_posted_events);

    return redis;
}


void
ngx_http_relay_redis_destroy(ngx_http_relay_redis_t *redis)
{
    ngx_http_relay_redis_close(redis);

    ngx_http_relay_redis_stop_event(&redis->retry);
    ngx_http_relay_redis_stop_event(&redis->flush);

    ngx_http_relay_redis_free_waiters(redis);
    ngx_free(redis);
}


const ngx_http_relay_redis_state_t *
ngx_http_relay_redis_state(ngx_http_relay_redis_t *redis)
{
    return &redis->state;
}


/* ---- opening ------------------------------------------------------------ */


static void
ngx_http_relay_redis_retry_handler(ngx_event_t *ev)
{
    ngx_http_relay_redis_t *redis = ev->data;

    ngx_add_timer(&redis->watch, NGX_HTTP_RELAY_REDIS_CONNECT_MS);

    if (redis->conf->naddrs) {
        ngx_http_relay_redis_connect(redis);
        return;
    }

    ngx_http_relay_redis_resolve(redis);
}


static void
ngx_http_relay_redis_resolve(ngx_http_relay_redis_t *redis)
{
    ngx_resolver_ctx_t  *rctx, temp;

    temp.name = redis->conf->name;

    rctx = ngx_resolve_start(redis->conf->resolver, &temp);

    if (rctx == NULL || rctx == NGX_NO_RESOLVER) {
        ngx_http_relay_redis_fail(redis, "no name server to ask for \"%V\"",
                                  &redis->conf->name);
        return;
    }

    rctx->name = redis->conf->name;
    rctx->handler = ngx_http_relay_redis_resolved;
    rctx->data = redis;
    rctx->timeout = redis->conf->resolver_timeout;
    rctx->cancelable = 1;

    redis->step = NGX_HTTP_RELAY_REDIS_RESOLVING;
    redis->question = rctx;

    /* the handler may have been called when this returns */

    if (ngx_resolve_name(rctx) != NGX_OK) {
        redis->question = NULL;
        ngx_http_relay_redis_fail(redis, "\"%V\" could not be resolved",
                                  &redis->conf->name);
    }
}


static void
ngx_http_relay_redis_resolved(ngx_resolver_ctx_t *rctx)
{
    ngx_http_relay_redis_t *redis = rctx->data;

    ngx_int_t                     state;
    ngx_uint_t                    i;
    ngx_http_relay_redis_addr_t  *addr;

    state = rctx->state;

    if (state == NGX_OK && rctx->naddrs) {
        redis->naddrs = 0;

        for (i = 0; i < rctx->naddrs
                    && redis->naddrs < NGX_HTTP_RELAY_REDIS_ADDRS_MAX; i++)
        {
            if (rctx->addrs[i].socklen > (socklen_t) sizeof(ngx_sockaddr_t)) {
                continue;
            }

            addr = &redis->addrs[redis->naddrs++];

            ngx_memcpy(&addr->sockaddr, rctx->addrs[i].sockaddr,
                       rctx->addrs[i].socklen);
            addr->socklen = rctx->addrs[i].socklen;

            ngx_inet_set_port(&addr->sockaddr.sockaddr, redis->conf->port);
        }
    }

    redis->question = NULL;
    ngx_resolve_name_done(rctx);

    /* without an answer the addresses of the last one are tried again */

    if (redis->naddrs == 0) {
        ngx_http_relay_redis_fail(redis, "\"%V\" could not be resolved (%s)",
                                  &redis->conf->name,
                                  ngx_resolver_strerror(state));
        return;
    }

    ngx_http_relay_redis_connect(redis);
}


static void
ngx_http_relay_redis_connect(ngx_http_relay_redis_t *redis)
{
    ngx_int_t                     rc;
    ngx_uint_t                    level;
    ngx_connection_t             *c;
    ngx_peer_connection_t        *pc;
    ngx_http_relay_redis_addr_t  *addr;

    redis->step = NGX_HTTP_RELAY_REDIS_CONNECTING;

    addr = &redis->addrs[redis->next++ % redis->naddrs];
    pc = &redis->peer;

    ngx_memzero(pc, sizeof(ngx_peer_connection_t));

    pc->get = ngx_event_get_peer;
    pc->sockaddr = &addr->sockaddr.sockaddr;
    pc->socklen = addr->socklen;
    pc->name = &redis->conf->url;
    pc->log = &redis->log;
    pc->log_error = NGX_ERROR_ERR;

    /* it would log a socket that is not there as critical, and we log it, too */

    level = redis->log.log_level;

    if (!(level & NGX_LOG_DEBUG_ALL)) {
        redis->log.log_level = NGX_LOG_ALERT;
    }

    ngx_set_socket_errno(0);

    rc = ngx_event_connect_peer(pc);

    redis->log.log_level = level;

    if (rc != NGX_OK && rc != NGX_AGAIN) {
        ngx_http_relay_redis_fail(redis, "connect() failed: %s",
                                  strerror(ngx_socket_errno));
        return;
    }

    c = pc->connection;

    c->data = redis;
    c->log = &redis->log;
    c->read->handler = ngx_http_relay_redis_connect_handler;
    c->write->handler = ngx_http_relay_redis_connect_handler;

    c->pool = ngx_create_pool(1024, &redis->log);
    if (c->pool == NULL) {
        ngx_http_relay_redis_fail(redis, "no memory");
        return;
    }

    if (rc == NGX_OK) {
        ngx_http_relay_redis_connected(redis);
    }
}


static void
ngx_http_relay_redis_connect_handler(ngx_event_t *ev)
{
    int                      err;
    socklen_t                len;
    ngx_connection_t        *c;
    ngx_http_relay_redis_t  *redis;

    c = ev->data;
    redis = c->data;

    err = 0;
    len = sizeof(int);

    if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, (void *) &err, &len) == -1) {
        err = ngx_socket_errno;
    }

    if (err) {
        ngx_http_relay_redis_fail(redis, "connect() failed: %s",
                                  strerror(err));
        return;
    }

    if (ev->write) {
        ngx_http_relay_redis_connected(redis);
    }
}


static void
ngx_http_relay_redis_connected(ngx_http_relay_redis_t *redis)
{
    ngx_connection_t  *c;

    c = redis->peer.connection;

    if (!redis->conf->local && ngx_tcp_nodelay(c) != NGX_OK) {
        ngx_http_relay_redis_fail(redis, "setsockopt() failed");
        return;
    }

    if (redis->conf->ssl) {
        ngx_http_relay_redis_handshake(redis);
        return;
    }

    ngx_http_relay_redis_opened(redis);
}


static void
ngx_http_relay_redis_handshake(ngx_http_relay_redis_t *redis)
{
    ngx_connection_t             *c;
    ngx_http_relay_redis_conf_t  *conf;

    c = redis->peer.connection;
    conf = redis->conf;
    redis->step = NGX_HTTP_RELAY_REDIS_HANDSHAKE;

    if (ngx_ssl_create_connection(conf->ssl, c,
                                  NGX_SSL_BUFFER|NGX_SSL_CLIENT)
        != NGX_OK)
    {
        ngx_http_relay_redis_fail(redis, "no memory");
        return;
    }

    /* an address is no server name */

    if (!conf->tls_literal
        && SSL_set_tlsext_host_name(c->ssl->connection,
                                    (char *) conf->tls_name.data)
           == 0)
    {
        ngx_http_relay_redis_fail(redis, "the server name is not valid");
        return;
    }

    if (ngx_ssl_handshake(c) == NGX_AGAIN) {
        c->ssl->handler = ngx_http_relay_redis_handshake_handler;
        return;
    }

    ngx_http_relay_redis_handshake_handler(c);
}


static void
ngx_http_relay_redis_handshake_handler(ngx_connection_t *c)
{
    ngx_http_relay_redis_t *redis = c->data;

    const char  *fault;

    if (!c->ssl->handshaked) {
        ngx_http_relay_redis_fail(redis, "the TLS handshake failed");
        return;
    }

    fault = ngx_http_relay_redis_verify(redis, c);

    if (fault) {
        ngx_http_relay_redis_fail(redis, "the certificate is not valid: %s",
                                  fault);
        return;
    }

    ngx_http_relay_redis_opened(redis);
}


/* NULL, or what is wrong with its certificate */

static const char *
ngx_http_relay_redis_verify(ngx_http_relay_redis_t *redis,
    ngx_connection_t *c)
{
    int    match;
    long   rc;
    X509  *cert;

    rc = SSL_get_verify_result(c->ssl->connection);

    if (rc != X509_V_OK) {
        return X509_verify_cert_error_string(rc);
    }

    if (!redis->conf->tls_literal) {
        return ngx_ssl_check_host(c, &redis->conf->tls_name) == NGX_OK
               ? NULL : "it is for another name";
    }

    cert = SSL_get_peer_certificate(c->ssl->connection);
    if (cert == NULL) {
        return "there is none";
    }

    match = X509_check_ip_asc(cert, (char *) redis->conf->tls_name.data, 0);

    X509_free(cert);

    return match == 1 ? NULL : "it is for another address";
}


static void
ngx_http_relay_redis_opened(ngx_http_relay_redis_t *redis)
{
    ngx_connection_t  *c;

    c = redis->peer.connection;

    c->read->handler = ngx_http_relay_redis_read_handler;
    c->write->handler = ngx_http_relay_redis_write_handler;

    redis->step = NGX_HTTP_RELAY_REDIS_SIGNING_IN;

    if (ngx_http_relay_redis_sign_in(redis) != NGX_OK) {
        ngx_http_relay_redis_fail(redis, "no memory");
        return;
    }

    /* what the handshake has read already will not be announced again */

    if (ngx_http_relay_redis_send(redis) && c->read->ready) {
        ngx_post_event(c->read, &ngx_posted_events);
    }
}


void
ngx_http_relay_redis_ready(ngx_http_relay_redis_t *redis)
{
    redis->step = NGX_HTTP_RELAY_REDIS_READY;
    redis->first = 0;

    redis->state.connected = 1;
    redis->state.connects++;
    redis->state.since = ngx_current_msec;

    if (redis->state.error.len) {
        ngx_log_error(NGX_LOG_NOTICE, ngx_cycle->log, 0,
                      "store \"%V\": connected again", &redis->conf->url);
    }

    redis->log.log_level = ngx_cycle->log->log_level;

    ngx_http_relay_redis_watch(redis);
    ngx_post_event(&redis->flush, &ngx_posted_events);

    if (redis->events.connected) {
        redis->events.connected(redis->events.data);
    }
}


/* ---- watching ----------------------------------------------------------- */


void
ngx_http_relay_redis_watch(ngx_http_relay_redis_t *redis)
{
    ngx_msec_int_t  left;

    left = redis->watch.timer_set
           ? (ngx_msec_int_t) (redis->watch.timer.key - ngx_current_msec)
           : NGX_HTTP_RELAY_REDIS_QUIET_MS;

    if (left > NGX_HTTP_RELAY_REDIS_SILENCE_MS) {
        ngx_add_timer(&redis->watch, NGX_HTTP_RELAY_REDIS_SILENCE_MS);
    }
}


static void
ngx_http_relay_redis_watch_handler(ngx_event_t *ev)
{
    ngx_http_relay_redis_t *redis = ev->data;

    ngx_msec_t                      now, waited, silent;
    ngx_queue_t                    *q;
    ngx_http_relay_redis_waiter_t  *oldest;

    if (redis->step != NGX_HTTP_RELAY_REDIS_READY) {
        ngx_http_relay_redis_fail(redis, "not connected within %d ms",
                                  NGX_HTTP_RELAY_REDIS_CONNECT_MS);
        return;
    }

    now = ngx_current_msec;
    silent = now - redis->received;

    if (ngx_queue_empty(&redis->outstanding)) {

        if (silent >= NGX_HTTP_RELAY_REDIS_QUIET_MS) {
            ngx_http_relay_redis_ping(redis);
            silent = 0;
        }

        ngx_add_timer(ev, ngx_queue_empty(&redis->outstanding)
                          ? NGX_HTTP_RELAY_REDIS_QUIET_MS - silent
                          : NGX_HTTP_RELAY_REDIS_SILENCE_MS);
        return;
    }

    q = ngx_queue_head(&redis->outstanding);
    oldest = ngx_queue_data(q, ngx_http_relay_redis_waiter_t, queue);

    waited = now - oldest->sent;
    silent = ngx_min(silent, waited);

    if (silent >= NGX_HTTP_RELAY_REDIS_SILENCE_MS
        || waited >= NGX_HTTP_RELAY_REDIS_ANSWER_MS)
    {
        ngx_http_relay_redis_fail(redis, "no answer within %M ms", waited);
        return;
    }

    ngx_add_timer(ev, NGX_HTTP_RELAY_REDIS_SILENCE_MS - silent);
}


static void
ngx_http_relay_redis_ping(ngx_http_relay_redis_t *redis)
{
    const relay_span_t  ping[] = { RELAY_SPAN_INIT("PING") };

    (void) ngx_http_relay_redis_command(redis, ping, 1, 0, NULL, NULL);
}


static void
ngx_http_relay_redis_flush_handler(ngx_event_t *ev)
{
    (void) ngx_http_relay_redis_send(ev->data);
}


/* ---- ending ------------------------------------------------------------- */


void
ngx_http_relay_redis_fail(ngx_http_relay_redis_t *redis, const char *fmt, ...)
{
    u_char     *p, text[NGX_HTTP_RELAY_REDIS_ERROR_MAX];
    va_list     args;
    ngx_str_t   error;
    ngx_uint_t  connected;

    va_start(args, fmt);
    p = ngx_vslprintf(text, text + sizeof(text), fmt, args);
    va_end(args);

    error.data = text;
    error.len = p - text;

    connected = redis->state.connected;

    /* as long as it stays down, one line for each cause is enough */

    if (connected
        || error.len != redis->state.error.len
        || ngx_memcmp(error.data, redis->state.error.data, error.len) != 0)
    {
        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0, "store \"%V\": %V",
                      &redis->conf->url, &error);

    } else if (!(redis->log.log_level & NGX_LOG_DEBUG_ALL)) {
        redis->log.log_level = NGX_LOG_ALERT;
    }

    ngx_memcpy(redis->error, text, error.len);
    redis->state.error.len = error.len;
    redis->state.failures++;

    ngx_add_timer(&redis->retry, ngx_http_relay_redis_next_pause(redis));

    ngx_http_relay_redis_close(redis);

    redis->first = 0;

    /* from here on others act on what they are told */

    ngx_http_relay_redis_abandon(redis);

    if (connected && redis->events.lost) {
        redis->events.lost(redis->events.data);
    }
}


static ngx_msec_t
ngx_http_relay_redis_next_pause(ngx_http_relay_redis_t *redis)
{
    ngx_msec_t  pause;

    if (redis->state.connected
        && ngx_current_msec - redis->state.since
           >= NGX_HTTP_RELAY_REDIS_GOOD_MS)
    {
        redis->pause = NGX_HTTP_RELAY_REDIS_PAUSE_MS;
    }

    pause = redis->pause;

    redis->pause = ngx_min(2 * pause, NGX_HTTP_RELAY_REDIS_PAUSE_MAX);

    return pause + ngx_random() % (pause / 2 + 1);
}


static void
ngx_http_relay_redis_close(ngx_http_relay_redis_t *redis)
{
    ngx_connection_t  *c;

    if (redis->question) {
        ngx_resolve_name_done(redis->question);
        redis->question = NULL;
    }

    c = redis->peer.connection;
    redis->peer.connection = NULL;

    if (c) {
        ngx_http_relay_redis_close_connection(c);
    }

    ngx_http_relay_redis_stop_event(&redis->watch);
    ngx_http_relay_redis_reset(redis);

    redis->step = NGX_HTTP_RELAY_REDIS_DOWN;

    if (redis->state.connected) {
        redis->state.connected = 0;
        redis->state.since = ngx_current_msec;
    }
}


static void
ngx_http_relay_redis_close_connection(ngx_connection_t *c)
{
    ngx_pool_t  *pool;

    /* both: OpenSSL then sends nothing and waits for nothing */

    if (c->ssl) {
        c->ssl->no_wait_shutdown = 1;
        c->ssl->no_send_shutdown = 1;

        (void) ngx_ssl_shutdown(c);
    }

    pool = c->pool;

    ngx_close_connection(c);

    if (pool) {
        ngx_destroy_pool(pool);
    }
}


static void
ngx_http_relay_redis_stop_event(ngx_event_t *ev)
{
    if (ev->posted) {
        ngx_delete_posted_event(ev);
    }

    if (ev->timer_set) {
        ngx_del_timer(ev);
    }
}
