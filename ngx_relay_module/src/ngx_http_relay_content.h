
/*
 * The body of an attempt as its host takes it: see ngx_http_relay_content.c.
 * Called by the attempt and by what builds its request.
 */


#ifndef _NGX_HTTP_RELAY_CONTENT_H_INCLUDED_
#define _NGX_HTTP_RELAY_CONTENT_H_INCLUDED_


#include "ngx_http_relay.h"

#include "sigv4.h"


struct ngx_http_relay_content_s {
    const relay_candidate_t         *candidate;   /* whose it is, or NULL */
    ngx_str_t                       *body;        /* the caller's, or what was
                                                     written of it */
    relay_edit_t                     edits[RELAY_EDITS_MAX];
    size_t                           nedits;
    size_t                           length;      /* as sent */
    u_char                           hash[RELAY_SIGV4_HASH_LEN];

    relay_span_t                     betas;       /* that go into the body */
    relay_buf_t                      scratch;     /* texts of the edits */

    unsigned                         translated:1;
    unsigned                         hashed:1;
    unsigned                         failed:1;
};


/*
 * Before the first attempt: NGX_AGAIN: a thread prepares it, and then comes
 * ngx_http_relay_upstream_start(); NGX_OK: it may be called now.
 */
ngx_int_t ngx_http_relay_content_ahead(ngx_http_relay_ctx_t *ctx);
/*
 * For ctx->attempt, when it begins. NGX_AGAIN: a thread is at it, and then comes
 * ngx_http_relay_late(); else as ngx_http_relay_translate_request().
 */
ngx_int_t ngx_http_relay_content_prepare(ngx_http_relay_ctx_t *ctx);
/* ngx_http_relay_late.c: ctx->attempt begins, without a request to send */
ngx_int_t ngx_http_relay_late_begin(ngx_http_relay_ctx_t *ctx);
/* a thread is done: the request of ctx->attempt, if it is still waited for */
void ngx_http_relay_late(ngx_http_relay_ctx_t *ctx);
/*
 * The content of ctx->attempt, which is prepared: what a thread has made, or
 * `own`, made with scratch of RELAY_ENVELOPE_SCRATCH bytes. NULL: no memory.
 */
ngx_http_relay_content_t *ngx_http_relay_content_get(ngx_http_relay_ctx_t *ctx,
    ngx_http_relay_content_t *own, relay_buf_t *scratch);
/* tokens are counted where a model of the variant's `counter` would be */
ngx_uint_t ngx_http_relay_content_counts(ngx_http_relay_ctx_t *ctx,
    const relay_variant_t *variant);
/* content->hash of what is sent */
ngx_int_t ngx_http_relay_content_hash(ngx_http_relay_content_t *content);

/* what is sent: copied, or linked behind *last */
void ngx_http_relay_content_put(ngx_http_relay_content_t *content,
    relay_buf_t *out);
ngx_int_t ngx_http_relay_content_chain(ngx_http_relay_content_t *content,
    ngx_pool_t *pool, ngx_chain_t **last);


#endif /* _NGX_HTTP_RELAY_CONTENT_H_INCLUDED_ */
