
/*
 * Request bodies that came compressed: see ngx_http_relay_decode.c. Called by
 * what reads them.
 */


#ifndef _NGX_HTTP_RELAY_DECODE_H_INCLUDED_
#define _NGX_HTTP_RELAY_DECODE_H_INCLUDED_


#include "ngx_http_relay.h"


/*
 * Decodes ctx->body, if its header says that it is coded: NGX_OK, or the HTTP
 * status that says why it cannot be. NGX_AGAIN: a thread is at it, and then
 * comes ngx_http_relay_body_decoded() with one of these.
 */
ngx_int_t ngx_http_relay_decode(ngx_http_relay_ctx_t *ctx);

/* ngx_http_relay_body.c: goes on with the body, or ends the request */
void ngx_http_relay_body_decoded(ngx_http_relay_ctx_t *ctx, ngx_int_t rc);


#endif /* _NGX_HTTP_RELAY_DECODE_H_INCLUDED_ */
