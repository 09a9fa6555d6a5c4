
/*
 * Answers that came whole: what they report, whether they are errors behind a
 * good status, and what they are in the caller's format. Long ones are read in a
 * thread, while the provider's connection waits (ngx_http_relay_pause.c).
 *
 *   held -> [thread: report, translate] -> check -> commit
 *                                            +----> next candidate
 */


#include "ngx_http_relay_offload.h"
#include "ngx_http_relay_translate.h"
#include "ngx_http_relay_whole.h"


/* longer ones take more than half a millisecond: to translate, to look through */
#define NGX_HTTP_RELAY_LONG_TO_TRANSLATE  (96 * 1024)
#define NGX_HTTP_RELAY_LONG_TO_READ       (1024 * 1024)


static ngx_uint_t ngx_http_relay_is_json(ngx_str_t *body);
static ngx_int_t ngx_http_relay_whole_error(ngx_http_relay_ctx_t *ctx);
static ngx_int_t ngx_http_relay_whole_offload(ngx_http_relay_ctx_t *ctx);
static void ngx_http_relay_whole_work(ngx_http_relay_ctx_t *ctx);
static ngx_uint_t ngx_http_relay_whole_failed(ngx_http_relay_ctx_t *ctx,
    relay_answer_t *answer);


ngx_int_t
ngx_http_relay_whole(ngx_http_relay_ctx_t *ctx)
{
    ngx_int_t              rc;
    relay_answer_t         own, *answer;
    ngx_http_relay_try_t  *attempt;

    attempt = &ctx->attempt;

    if (attempt->status.code >= 400) {

        rc = ngx_http_relay_whole_error(ctx);

        if (rc != NGX_DECLINED) {
            return rc;
        }
    }

    if (ctx->match.operation == RELAY_OP_GENERATE) {

        if (ngx_http_relay_whole_offload(ctx) == NGX_AGAIN) {
            return NGX_AGAIN;
        }

        answer = attempt->answer;

        if (answer == NULL) {
            answer = &own;
            attempt->candidate->wire->answer(
                                   ngx_http_relay_span(&attempt->held), answer);
        }

        if (ngx_http_relay_whole_failed(ctx, answer)) {
            attempt->failure = RELAY_ERR_UPSTREAM_ERROR;
            return ngx_http_relay_fail(ctx, &attempt->held);
        }

        ctx->usage = answer->usage;

        if (!ctx->usage.known && attempt->told_tokens) {
            ctx->usage.known = 1;
            ctx->usage.input_tokens = attempt->told_tokens;
        }

        ngx_memcpy(ctx->finish, answer->finish, RELAY_FINISH_MAX);
    }

    if (attempt->translated) {
        rc = ngx_http_relay_translate_whole(ctx);

        if (rc != NGX_OK) {
            return (rc == NGX_ABORT) ? ngx_http_relay_fail(ctx, NULL)
                                     : NGX_ERROR;
        }
    }

    ctx->first_token = ngx_current_msec;

    return ngx_http_relay_commit_whole(ctx);
}


/* NGX_DECLINED: it passes as it is */

static ngx_int_t
ngx_http_relay_whole_error(ngx_http_relay_ctx_t *ctx)
{
    relay_answer_t         answer;
    ngx_http_relay_try_t  *attempt;

    attempt = &ctx->attempt;

    if (attempt->status.code == NGX_HTTP_BAD_REQUEST) {

        attempt->candidate->wire->answer(ngx_http_relay_span(&attempt->held),
                                         &answer);

        if (answer.key_refused || attempt->key_refused) {
            attempt->failure = RELAY_ERR_UPSTREAM_KEY;
            return ngx_http_relay_fail(ctx, NULL);
        }
    }

    return (ngx_http_relay_rewords(ctx)
            || !ngx_http_relay_is_json(&attempt->held))
           ? ngx_http_relay_reword(ctx, &attempt->held) : NGX_DECLINED;
}


static ngx_uint_t
ngx_http_relay_is_json(ngx_str_t *body)
{
    relay_json_fault_t  fault;

    return relay_json_scan(ngx_http_relay_span(body), NULL, 0, NULL, &fault)
           == RELAY_JSON_OK;
}


/* errors behind a good status are worth another candidate, if there is one */

static ngx_uint_t
ngx_http_relay_whole_failed(ngx_http_relay_ctx_t *ctx, relay_answer_t *answer)
{
    return answer->is_error && ctx->attempt.status.code < 300
           && ctx->candidate + 1 < ctx->plan->count;
}


static ngx_int_t
ngx_http_relay_whole_offload(ngx_http_relay_ctx_t *ctx)
{
    size_t                 min;
    relay_answer_t        *answer;
    ngx_http_relay_try_t  *attempt;

    attempt = &ctx->attempt;

    min = attempt->translated ? NGX_HTTP_RELAY_LONG_TO_TRANSLATE
                              : NGX_HTTP_RELAY_LONG_TO_READ;

    if (attempt->answer || attempt->held.len < min) {
        return NGX_DECLINED;
    }

    answer = ngx_palloc(ctx->request->pool, sizeof(relay_answer_t));
    if (answer == NULL) {
        return NGX_DECLINED;
    }

    attempt->answer = answer;

    if (ngx_http_relay_offload(ctx, ngx_http_relay_whole_work,
                               ngx_http_relay_resume)
        != NGX_AGAIN)
    {
        attempt->answer = NULL;
        return NGX_DECLINED;
    }

    ngx_http_relay_pause(ctx);

    return NGX_AGAIN;
}


/* in a thread */

static void
ngx_http_relay_whole_work(ngx_http_relay_ctx_t *ctx)
{
    ngx_http_relay_try_t  *attempt;

    attempt = &ctx->attempt;

    attempt->candidate->wire->answer(ngx_http_relay_span(&attempt->held),
                                     attempt->answer);

    if (attempt->translated
        && !ngx_http_relay_whole_failed(ctx, attempt->answer))
    {
        ngx_http_relay_translate_answer(ctx);
    }
}
