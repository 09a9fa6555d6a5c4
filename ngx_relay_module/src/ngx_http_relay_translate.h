
/*
 * Attempts in another format than the caller's: see ngx_http_relay_translate.c.
 * Called by the attempt, by what decides about an answer, and by the stream.
 */


#ifndef _NGX_HTTP_RELAY_TRANSLATE_H_INCLUDED_
#define _NGX_HTTP_RELAY_TRANSLATE_H_INCLUDED_


#include "ngx_http_relay.h"

#include "translate.h"


/* of a request; renewed by each attempt that needs it */

struct ngx_http_relay_translated_s {
    ngx_http_relay_ctx_t            *ctx;
    ngx_pool_t                      *pool;        /* of the attempt */
    relay_arena_t                    arena;       /* the same, for core */

    ngx_pool_t                      *work;        /* of a thread, or NULL */

    const relay_candidate_t         *candidate;   /* for whom */
    relay_error_code_t               code;        /* what came of it, when done */
    ngx_str_t                        body;        /* what is sent */
    ngx_str_t                        forward;     /* request headers that pass */

    relay_error_code_t               answer_code; /* the same of a whole answer */
    ngx_str_t                        answer;

    relay_translation_t              translation;
    relay_output_t                   output;
    relay_stream_translation_t      *stream;      /* NULL: none so far */

    unsigned                         done:1;      /* written, or refused */
    unsigned                         answered:1;
    unsigned                         streaming:1; /* stream is open */
};


/* whether the candidate speaks another format than the caller */
ngx_uint_t ngx_http_relay_translates(ngx_http_relay_ctx_t *ctx,
    const relay_candidate_t *candidate);
/* ctx->translation is ready to be written: for the candidate, in a thread */
ngx_int_t ngx_http_relay_translate_prepare(ngx_http_relay_ctx_t *ctx,
    const relay_candidate_t *candidate);
relay_error_code_t ngx_http_relay_translate_write(
    ngx_http_relay_translated_t *translated);
/*
 * What was written in ctx->translation: NGX_OK; NGX_DECLINED: it cannot be said
 * in that format, ctx->refusal says why; NGX_ERROR: no memory.
 */
ngx_int_t ngx_http_relay_translate_refused(ngx_http_relay_ctx_t *ctx);
/*
 * Writes the request of ctx->attempt, if its candidate speaks another format:
 * attempt.translated is set then. Not written anew if it was for the same
 * candidate. NGX_OK, or as ngx_http_relay_translate_refused().
 */
ngx_int_t ngx_http_relay_translate_request(ngx_http_relay_ctx_t *ctx);
/* drops headers of the answer that mean nothing to the caller */
void ngx_http_relay_translate_headers(ngx_http_relay_ctx_t *ctx);
/* what did not arrive as the caller wrote it, or empty */
ngx_int_t ngx_http_relay_translate_notes(ngx_http_relay_ctx_t *ctx,
    ngx_pool_t *pool, ngx_str_t *value);
/* in a thread: what ngx_http_relay_translate_whole() then finds done */
void ngx_http_relay_translate_answer(ngx_http_relay_ctx_t *ctx);
/* attempt.held, a whole answer; NGX_ABORT: attempt.failure is set; NGX_ERROR */
ngx_int_t ngx_http_relay_translate_whole(ngx_http_relay_ctx_t *ctx);

/* what a provider's error, failure->status and ->body, is in the caller's words */
ngx_int_t ngx_http_relay_translate_failure(ngx_http_relay_ctx_t *ctx,
    ngx_http_relay_failure_t *failure);
/* the stream is committed: gives back what only the request needed */
ngx_int_t ngx_http_relay_translate_settle(ngx_http_relay_ctx_t *ctx);

/* what an item becomes lands in the pending output: NGX_OK, NGX_ERROR */
ngx_int_t ngx_http_relay_translate_item(ngx_http_relay_ctx_t *ctx,
    relay_sse_item_t *item, relay_event_class_t *class);
ngx_int_t ngx_http_relay_translate_ping(ngx_http_relay_ctx_t *ctx);
/* the provider is gone: a good end if there is one to be had, else an error */
ngx_int_t ngx_http_relay_translate_end(ngx_http_relay_ctx_t *ctx,
    relay_error_code_t why);


#endif /* _NGX_HTTP_RELAY_TRANSLATE_H_INCLUDED_ */
