
/*
 * What the files of the client of Redis share; nobody else includes this.
 */


#ifndef _NGX_HTTP_RELAY_REDIS_CONNECTION_H_INCLUDED_
#define _NGX_HTTP_RELAY_REDIS_CONNECTION_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_event_connect.h>

#include "ngx_http_relay_redis.h"


#define NGX_HTTP_RELAY_REDIS_ERROR_MAX  256


/*
 *   DOWN ──► RESOLVING ──► CONNECTING ──► HANDSHAKE ──► SIGNING_IN ──► READY
 *    ▲  └─ address known ──►┘  └─── plain text ───────────►┘             │
 *    └──── any failure, and again after a pause ◄────────────────────────┘
 */

typedef enum {
    NGX_HTTP_RELAY_REDIS_DOWN = 0,
    NGX_HTTP_RELAY_REDIS_RESOLVING,
    NGX_HTTP_RELAY_REDIS_CONNECTING,
    NGX_HTTP_RELAY_REDIS_HANDSHAKE,
    NGX_HTTP_RELAY_REDIS_SIGNING_IN,
    NGX_HTTP_RELAY_REDIS_READY
} ngx_http_relay_redis_step_e;


/* bytes between pos and last, in one block that grows */

typedef struct {
    u_char                          *start;
    u_char                          *pos;
    u_char                          *last;
    u_char                          *end;
} ngx_http_relay_redis_block_t;


/* one command without an answer, in the order in which they were sent */

struct ngx_http_relay_redis_waiter_s {
    ngx_queue_t                      queue;
    ngx_http_relay_redis_t          *redis;
    ngx_http_relay_redis_handler_pt  handler;     /* NULL: nobody waits */
    void                            *data;
    ngx_msec_t                       sent;
    ngx_event_t                      timer;
};


struct ngx_http_relay_redis_s {
    ngx_http_relay_redis_conf_t     *conf;
    ngx_str_t                        channel;     /* empty: for commands */
    ngx_http_relay_redis_events_t    events;
    ngx_log_t                        log;

    ngx_http_relay_redis_state_t     state;
    u_char                           error[NGX_HTTP_RELAY_REDIS_ERROR_MAX];

    ngx_http_relay_redis_step_e      step;
    ngx_uint_t                       signing_in;  /* answers still to come */
    ngx_msec_t                       received;    /* the last byte */

    ngx_http_relay_redis_addr_t      addrs[NGX_HTTP_RELAY_REDIS_ADDRS_MAX];
    ngx_uint_t                       naddrs;
    ngx_uint_t                       next;
    ngx_resolver_ctx_t              *question;
    ngx_peer_connection_t            peer;

    ngx_event_t                      retry;       /* after a pause */
    ngx_event_t                      watch;       /* for what takes too long */
    ngx_event_t                      flush;       /* at the end of this turn */
    ngx_msec_t                       pause;

    ngx_http_relay_redis_block_t     hello;       /* to sign in: secret */
    ngx_http_relay_redis_block_t     out;
    ngx_http_relay_redis_block_t     in;          /* starts with a reply */
    relay_resp_t                     resp;

    ngx_queue_t                      outstanding; /* waiters */
    ngx_queue_t                      unused;

    unsigned                         first:1;     /* nothing has failed yet */

    relay_resp_value_t               values[NGX_HTTP_RELAY_REDIS_VALUES_MAX];
};


/* ngx_http_relay_redis.c */

/* ends the connection, if any; the caller returns to the event loop */
void ngx_http_relay_redis_fail(ngx_http_relay_redis_t *redis,
    const char *fmt, ...);
/* signed in */
void ngx_http_relay_redis_ready(ngx_http_relay_redis_t *redis);
/* something has to be answered from now on */
void ngx_http_relay_redis_watch(ngx_http_relay_redis_t *redis);

/* ngx_http_relay_redis_command.c */

/* the connection is open: NGX_ERROR if there is no memory */
ngx_int_t ngx_http_relay_redis_sign_in(ngx_http_relay_redis_t *redis);
void ngx_http_relay_redis_read_handler(ngx_event_t *rev);
void ngx_http_relay_redis_write_handler(ngx_event_t *wev);
/* sends what is to be sent; false: it has failed */
ngx_uint_t ngx_http_relay_redis_send(ngx_http_relay_redis_t *redis);
/* forgets all that is half sent or half read */
void ngx_http_relay_redis_reset(ngx_http_relay_redis_t *redis);
/* tells all waiters that the connection is gone */
void ngx_http_relay_redis_abandon(ngx_http_relay_redis_t *redis);
void ngx_http_relay_redis_free_waiters(ngx_http_relay_redis_t *redis);


#endif /* _NGX_HTTP_RELAY_REDIS_CONNECTION_H_INCLUDED_ */
