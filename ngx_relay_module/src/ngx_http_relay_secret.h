
/*
 * Secrets of provider keys: sealed ones (STORE.md) are opened for each attempt,
 * with what a worker has ready for it.
 */


#ifndef _NGX_HTTP_RELAY_SECRET_H_INCLUDED_
#define _NGX_HTTP_RELAY_SECRET_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include "config_doc.h"
#include "key_ring.h"
#include "seal.h"


#define NGX_HTTP_RELAY_SECRET_MAX   RELAY_CONFIG_SECRET_MAX

/* room for any secret that is opened */
#define NGX_HTTP_RELAY_SECRET_ROOM  NGX_HTTP_RELAY_SECRET_MAX


/*
 * Of one thread: a worker's event loop has its own in ngx_http_relay_store_t,
 * whoever builds a snapshot another.
 */

typedef struct {
    const relay_key_ring_t          *ring;        /* NULL: nothing opens */
    relay_seal_opener_t             *seal;
} ngx_http_relay_opener_t;


/*
 * ring may be NULL, and has to stay. NGX_ERROR: no memory; there is nothing to
 * free, and nothing opens.
 */
ngx_int_t ngx_http_relay_opener_init(ngx_http_relay_opener_t *opener,
    const relay_key_ring_t *ring);
void ngx_http_relay_opener_free(ngx_http_relay_opener_t *opener);

/* what a sealed provider key is bound to, as an opener takes it */
void ngx_http_relay_secret_place(const relay_provider_key_t *key,
    relay_buf_t *out);

/*
 * The secret of a sealed provider key, for one use: to be cleansed by the
 * caller. NGX_DECLINED: it does not open.
 */
ngx_int_t ngx_http_relay_secret_open(ngx_http_relay_opener_t *opener,
    const relay_provider_key_t *key, relay_span_t place, u_char *room,
    ngx_str_t *secret);

/* NGX_OK: it would open, and could be sent */
ngx_int_t ngx_http_relay_secret_try(ngx_http_relay_opener_t *opener,
    const relay_provider_key_t *key, relay_span_t place);
/* the same for one key alone; ring may be NULL */
ngx_int_t ngx_http_relay_secret_opens(const relay_key_ring_t *ring,
    const relay_provider_key_t *key);

/* NGX_OK: it may stand in a header's value */
ngx_int_t ngx_http_relay_secret_check(ngx_str_t *secret);


#endif /* _NGX_HTTP_RELAY_SECRET_H_INCLUDED_ */
