
/*
 * A client of Redis for one worker. A connection is kept open and opened again
 * when it is lost; commands are pipelined over it, all of one turn of the loop
 * in one write, and each is answered by a callback. A subscriber is a
 * connection of its own that hands on the messages of one channel.
 *
 *   ngx_http_relay_redis.c          connections: open, sign in, watch, close
 *   ngx_http_relay_redis_command.c  commands, waiters, reading and writing
 *   ngx_http_relay_redis_conf.c     the address, the password, TLS
 *
 * Called by the store (documents, nodes, the channel of changes) and by the
 * cache of relay keys.
 */


#ifndef _NGX_HTTP_RELAY_REDIS_H_INCLUDED_
#define _NGX_HTTP_RELAY_REDIS_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>

#include "resp.h"


#define NGX_HTTP_RELAY_REDIS_TIMEOUT     50
#define NGX_HTTP_RELAY_REDIS_ADDRS_MAX   8

/* a document of 64 MB and what frames it */
#define NGX_HTTP_RELAY_REDIS_REPLY_MAX   (64 * 1024 * 1024 + 1024)
#define NGX_HTTP_RELAY_REDIS_VALUES_MAX  1024


typedef struct ngx_http_relay_redis_s  ngx_http_relay_redis_t;
typedef struct ngx_http_relay_redis_waiter_s  ngx_http_relay_redis_waiter_t;


typedef struct {
    ngx_sockaddr_t                   sockaddr;
    socklen_t                        socklen;
} ngx_http_relay_redis_addr_t;


/*
 * Where the store is and how to sign in there. Lives as long as the
 * configuration; connections point to it.
 */

typedef struct {
    ngx_str_t                        url;         /* as written: no secret */
    ngx_str_t                        name;        /* host, or socket's path */
    in_port_t                        port;
    ngx_str_t                        user;        /* empty: the default user */
    ngx_str_t                        password;    /* empty: none; cleansed */
    ngx_uint_t                       database;

    ngx_str_t                        ca_file;     /* empty: the system's */
    ngx_str_t                        tls_name;    /* empty: name */
    ngx_ssl_t                       *ssl;         /* NULL: plain text */

    ngx_resolver_t                  *resolver;    /* NULL: at configuration */
    ngx_msec_t                       resolver_timeout;

    /* NULL if they come from the resolver */
    ngx_http_relay_redis_addr_t      addrs[NGX_HTTP_RELAY_REDIS_ADDRS_MAX];
    ngx_uint_t                       naddrs;

    unsigned                         local:1;     /* a Unix socket */
    unsigned                         tls:1;
    unsigned                         tls_literal:1;  /* tls_name: an address */
} ngx_http_relay_redis_conf_t;


/* what became of a command */

typedef enum {
    NGX_HTTP_RELAY_REDIS_REPLY = 0,  /* reply is set; it may be an error */
    NGX_HTTP_RELAY_REDIS_TIMEDOUT,   /* it may still be carried out */
    NGX_HTTP_RELAY_REDIS_LOST        /* the connection is gone: as well */
} ngx_http_relay_redis_result_e;


/* valid only during the callback; texts: relay_resp_text(reply->start, ...) */

typedef struct {
    const u_char                    *start;
    const relay_resp_value_t        *values;      /* the first: reply itself */
    ngx_uint_t                       count;
} ngx_http_relay_redis_reply_t;


/* reply is NULL unless result is NGX_HTTP_RELAY_REDIS_REPLY */

typedef void (*ngx_http_relay_redis_handler_pt)(void *data,
    ngx_http_relay_redis_result_e result,
    const ngx_http_relay_redis_reply_t *reply);


/*
 * What the owner of a connection is told. All are called from the event loop,
 * never from within a function of this file.
 */

typedef struct {
    /* signed in, or subscribed: messages before this one were missed */
    void                           (*connected)(void *data);
    /* was connected, is no more */
    void                           (*lost)(void *data);
    /* a subscriber's; valid only during the call */
    void                           (*message)(void *data, relay_span_t text);
    void                            *data;
} ngx_http_relay_redis_events_t;


/*
 * silent: whether whoever asks can expect an answer, besides being connected.
 *
 *               a waiter timed out, and no byte came since it asked
 *   answering ──────────────────────────────────────────────────────► silent
 *       ▲                       the next byte                            │
 *       └────────────────────────────────────────────────────────────────┘
 *
 * A lost connection ends nothing of it: the next one has to answer first. In
 * silence there is always something to be answered, the command that timed out
 * or how we sign in, so nobody has to ask just to end it. Commands are taken in
 * silence, too; those who would hold a request for one look here before.
 */

typedef struct {
    ngx_str_t                        error;       /* empty: none yet */
    ngx_msec_t                       since;       /* it has been so */
    ngx_uint_t                       outstanding; /* commands, now */
    ngx_uint_t                       commands;    /* ever */
    ngx_uint_t                       timeouts;    /* of waiters */
    ngx_uint_t                       connects;    /* that succeeded */
    ngx_uint_t                       failures;    /* lost or not established */
    unsigned                         connected:1;
    unsigned                         silent:1;
} ngx_http_relay_redis_state_t;


/*
 * At configuration time.
 *
 * url: unix:/path[:database], redis://[user@]host[:port][/database] or
 * rediss://... with TLS. A password has no place in it. NGX_CONF_OK, or what
 * is wrong with it.
 */

char *ngx_http_relay_redis_set_url(ngx_conf_t *cf,
    ngx_http_relay_redis_conf_t *conf, ngx_str_t *url);

/* reference: env:NAME or file:/PATH. NGX_CONF_OK, or what is wrong with it. */

char *ngx_http_relay_redis_set_password(ngx_conf_t *cf,
    ngx_http_relay_redis_conf_t *conf, ngx_str_t *reference);

/*
 * When url, password, ca_file, tls_name and resolver are set: addresses that
 * need no name server, and the TLS context. Logs what is wrong.
 */

ngx_int_t ngx_http_relay_redis_init_conf(ngx_conf_t *cf,
    ngx_http_relay_redis_conf_t *conf);


/*
 * In a worker, at init_process. channel: NULL, or the one to subscribe to.
 * events is copied; it may be NULL, as may each of its functions. Begins to
 * connect in the first turn of the loop. NULL: no memory.
 */

ngx_http_relay_redis_t *ngx_http_relay_redis_create(ngx_cycle_t *cycle,
    ngx_http_relay_redis_conf_t *conf, ngx_str_t *channel,
    ngx_http_relay_redis_events_t *events);

/* At exit_process: closes; no callback is called any more. */

void ngx_http_relay_redis_destroy(ngx_http_relay_redis_t *redis);

const ngx_http_relay_redis_state_t *ngx_http_relay_redis_state(
    ngx_http_relay_redis_t *redis);


/*
 * Sends a command over a connection that is no subscriber. The handler is
 * called exactly once, later, never from here, with data; timeout_ms 0 means
 * NGX_HTTP_RELAY_REDIS_TIMEOUT. handler may be NULL: nobody waits, and there is
 * no timeout. The arguments are copied.
 *
 * NULL: not connected, or too much is under way, or no memory; then the
 * handler is not called. While the very first connection is being opened,
 * commands wait for it. A command that timed out may still be carried out.
 */

ngx_http_relay_redis_waiter_t *ngx_http_relay_redis_command(
    ngx_http_relay_redis_t *redis, const relay_span_t *arguments,
    ngx_uint_t count, ngx_msec_t timeout_ms,
    ngx_http_relay_redis_handler_pt handler, void *data);

/*
 * The handler will not be called. Only before it was called: afterwards the
 * waiter is not the caller's any more.
 */

void ngx_http_relay_redis_cancel(ngx_http_relay_redis_waiter_t *waiter);


#endif /* _NGX_HTTP_RELAY_REDIS_H_INCLUDED_ */
