
/*
 * Answers that came whole: see ngx_http_relay_whole.c. And how a provider is
 * made to wait for us: ngx_http_relay_pause.c.
 */


#ifndef _NGX_HTTP_RELAY_WHOLE_H_INCLUDED_
#define _NGX_HTTP_RELAY_WHOLE_H_INCLUDED_


#include "ngx_http_relay.h"


/*
 * attempt.held is complete: as ngx_http_relay_hold(). NGX_AGAIN: a thread reads
 * it; when it has, attempt.answer is set, and process_header is called with
 * nothing that is new, to call this once more.
 */
ngx_int_t ngx_http_relay_whole(ngx_http_relay_ctx_t *ctx);

/*
 * Before the answer is committed, from process_header, which then returns
 * NGX_AGAIN: nothing is received, nothing is sent, no time is counted.
 */
void ngx_http_relay_pause(ngx_http_relay_ctx_t *ctx);
/* as if a byte had come: process_header is called, if the attempt is not over */
void ngx_http_relay_resume(ngx_http_relay_ctx_t *ctx);
/* the attempt is over, its connection as nginx made it */
void ngx_http_relay_pause_end(ngx_http_relay_ctx_t *ctx);
/*
 * process_header has taken in so many bytes and waits for more: a provider that
 * is fast waits for a turn of the loop, after every so many.
 */
void ngx_http_relay_take_turns(ngx_http_relay_ctx_t *ctx, size_t bytes);


#endif /* _NGX_HTTP_RELAY_WHOLE_H_INCLUDED_ */
