
/*
 * Threads for what takes milliseconds: see ngx_http_relay_offload.c. Called by
 * whatever may have to do with bodies of megabytes.
 */


#ifndef _NGX_HTTP_RELAY_OFFLOAD_H_INCLUDED_
#define _NGX_HTTP_RELAY_OFFLOAD_H_INCLUDED_


#include "ngx_http_relay.h"


/* giving back as much takes too long, too */
#define NGX_HTTP_RELAY_LARGE  (1024 * 1024)


typedef void (*ngx_http_relay_offload_pt)(ngx_http_relay_ctx_t *ctx);


/*
 * NGX_AGAIN: work is called in a thread, where it may use nothing of nginx but
 * pools that nobody else has, then done in the loop: not if nginx has given up
 * the request meanwhile. The request may also have ended well by then. What
 * work reads and writes must stay until it is over; memory of the request does.
 * NGX_DECLINED: there is no thread to be had, or one is at work for this request.
 */
ngx_int_t ngx_http_relay_offload(ngx_http_relay_ctx_t *ctx,
    ngx_http_relay_offload_pt work, ngx_http_relay_offload_pt done);
/* whether a thread is at work for this request */
ngx_uint_t ngx_http_relay_offloaded(ngx_http_relay_ctx_t *ctx);

/* destroys a pool that has no cleanup handlers; in a thread, if there is one */
void ngx_http_relay_discard(ngx_http_relay_main_conf_t *rmcf,
    ngx_pool_t *pool);

/* while nothing is sent or received, a caller who leaves is noticed */
void ngx_http_relay_watch_caller(ngx_http_request_t *r);


#endif /* _NGX_HTTP_RELAY_OFFLOAD_H_INCLUDED_ */
