
/*
 * A request with a model, whose body is there: what it says, which candidates may
 * answer it, and the answers that need none. Long bodies are looked through in a
 * thread.
 *
 *   body -> read (envelope) -> plan -> content -> attempts
 *                                +---> estimate, echo
 */


#include "ngx_http_relay_content.h"
#include "ngx_http_relay_offload.h"

#include "token_estimate.h"


/* longer ones may take more than half a millisecond */
#define NGX_HTTP_RELAY_LONG_TO_READ      (512 * 1024)
#define NGX_HTTP_RELAY_LONG_TO_ESTIMATE  (256 * 1024)


/* what reading the body gives, beside ctx->envelope */

struct ngx_http_relay_read_s {
    relay_error_code_t               code;
    relay_error_t                    error;
    relay_buf_t                      scratch;
    u_char                           text[RELAY_ENVELOPE_SCRATCH];
};


static ngx_int_t ngx_http_relay_model_offload(ngx_http_relay_ctx_t *ctx);
static void ngx_http_relay_model_work(ngx_http_relay_ctx_t *ctx);
static void ngx_http_relay_model_done(ngx_http_relay_ctx_t *ctx);
static void ngx_http_relay_model_read(ngx_http_relay_ctx_t *ctx,
    ngx_http_relay_read_t *read);
static void ngx_http_relay_model_plan(ngx_http_relay_ctx_t *ctx,
    ngx_http_relay_read_t *read);
static ngx_int_t ngx_http_relay_model_name(ngx_http_relay_ctx_t *ctx);
static ngx_uint_t ngx_http_relay_estimates(ngx_http_relay_ctx_t *ctx,
    relay_error_t *error);
static void ngx_http_relay_estimate(ngx_http_relay_ctx_t *ctx);
static void ngx_http_relay_estimate_work(ngx_http_relay_ctx_t *ctx);
static void ngx_http_relay_estimate_done(ngx_http_relay_ctx_t *ctx);


void
ngx_http_relay_model(ngx_http_relay_ctx_t *ctx)
{
    ngx_http_relay_read_t  read;

    if (ctx->body.len >= NGX_HTTP_RELAY_LONG_TO_READ
        && ngx_http_relay_model_offload(ctx) == NGX_AGAIN)
    {
        return;
    }

    ngx_http_relay_model_read(ctx, &read);
    ngx_http_relay_model_plan(ctx, &read);
}


static ngx_int_t
ngx_http_relay_model_offload(ngx_http_relay_ctx_t *ctx)
{
    ctx->read = ngx_palloc(ctx->request->pool, sizeof(ngx_http_relay_read_t));

    if (ctx->read == NULL
        || ngx_http_relay_offload(ctx, ngx_http_relay_model_work,
                                  ngx_http_relay_model_done)
           != NGX_AGAIN)
    {
        return NGX_DECLINED;
    }

    ngx_http_relay_watch_caller(ctx->request);

    return NGX_AGAIN;
}


static void
ngx_http_relay_model_work(ngx_http_relay_ctx_t *ctx)
{
    ngx_http_relay_model_read(ctx, ctx->read);
}


static void
ngx_http_relay_model_done(ngx_http_relay_ctx_t *ctx)
{
    ngx_http_relay_model_plan(ctx, ctx->read);
}


/* in the loop or in a thread */

static void
ngx_http_relay_model_read(ngx_http_relay_ctx_t *ctx,
    ngx_http_relay_read_t *read)
{
    relay_span_t  body;

    body = ngx_http_relay_span(&ctx->body);

    ngx_memzero(&read->error, sizeof(relay_error_t));
    read->scratch = relay_buf(read->text, sizeof(read->text));

    if (ctx->match.model.len) {
        read->code = relay_envelope_read_path(body, ctx->match.model,
                                              ctx->match.streaming,
                                              &ctx->envelope, &read->scratch,
                                              &read->error);
        return;
    }

    read->code = relay_envelope_read(body, &ctx->envelope, &read->scratch,
                                     &read->error);
}


static void
ngx_http_relay_model_plan(ngx_http_relay_ctx_t *ctx,
    ngx_http_relay_read_t *read)
{
    uint64_t             random;
    relay_plan_t         plan;
    relay_error_t       *error;
    ngx_http_request_t  *r;

    r = ctx->request;
    error = &read->error;

    if (read->code != RELAY_ERR_NONE) {
        ngx_http_finalize_request(r, ngx_http_relay_refuse(r, error));
        return;
    }

    if (ngx_http_relay_random((u_char *) &random, sizeof(random)) != NGX_OK
        || ngx_http_relay_model_name(ctx) != NGX_OK)
    {
        ngx_http_finalize_request(r, NGX_HTTP_INTERNAL_SERVER_ERROR);
        return;
    }

    read->scratch = relay_buf(read->text, sizeof(read->text));

    if (relay_route_plan(ctx->snapshot->config, ctx->key,
                         ctx->envelope.model_name, ctx->match.wire,
                         ctx->match.operation, random, &plan, &read->scratch,
                         error)
        != RELAY_ERR_NONE)
    {
        if (ngx_http_relay_estimates(ctx, error)) {
            ngx_http_relay_estimate(ctx);
            return;
        }

        ngx_http_finalize_request(r, ngx_http_relay_refuse(r, error));
        return;
    }

    if (ngx_http_relay_keep_plan(ctx, &plan) != NGX_OK) {
        ngx_http_finalize_request(r, NGX_HTTP_INTERNAL_SERVER_ERROR);
        return;
    }

    if (ctx->plan->candidates[0].host->echo) {
        ngx_http_finalize_request(r, ngx_http_relay_send_echo(r));
        return;
    }

    if (ngx_http_relay_content_ahead(ctx) != NGX_AGAIN) {
        ngx_http_relay_upstream_start(r);
    }
}


/* of a plan, only the candidates that there are */

ngx_int_t
ngx_http_relay_keep_plan(ngx_http_relay_ctx_t *ctx, const relay_plan_t *plan)
{
    size_t  size;

    size = offsetof(relay_plan_t, candidates)
           + plan->count * sizeof(relay_candidate_t);

    ctx->plan = ngx_palloc(ctx->request->pool, size);
    if (ctx->plan == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(ctx->plan, plan, size);

    return NGX_OK;
}


/* the name outlives what it was read into: in the log, in the plan */

static ngx_int_t
ngx_http_relay_model_name(ngx_http_relay_ctx_t *ctx)
{
    ctx->model.len = ctx->envelope.model_name.len;
    ctx->model.data = ngx_pnalloc(ctx->request->pool, ctx->model.len + 1);

    if (ctx->model.data == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(ctx->model.data, ctx->envelope.model_name.base,
               ctx->model.len);
    ctx->envelope.model_name = ngx_http_relay_span(&ctx->model);

    return NGX_OK;
}


/*
 * Tokens are to be counted for a model whose hosts do not count them, and could
 * generate: an estimate is better than nothing.
 */

static ngx_uint_t
ngx_http_relay_estimates(ngx_http_relay_ctx_t *ctx, relay_error_t *error)
{
    u_char         text[RELAY_ENVELOPE_SCRATCH];
    relay_buf_t    scratch;
    relay_plan_t   plan;
    relay_error_t  ignored;

    if (error->code != RELAY_ERR_FORMAT_UNAVAILABLE
        || ctx->match.operation != RELAY_OP_AUXILIARY
        || ctx->match.echo == NULL)
    {
        return 0;
    }

    scratch = relay_buf(text, sizeof(text));

    return relay_route_plan(ctx->snapshot->config, ctx->key,
                            ctx->envelope.model_name, ctx->match.wire,
                            RELAY_OP_GENERATE, 0, &plan, &scratch, &ignored)
           == RELAY_ERR_NONE
           && ngx_http_relay_keep_plan(ctx, &plan) == NGX_OK;
}


static void
ngx_http_relay_estimate(ngx_http_relay_ctx_t *ctx)
{
    if (ctx->body.len >= NGX_HTTP_RELAY_LONG_TO_ESTIMATE
        && ngx_http_relay_offload(ctx, ngx_http_relay_estimate_work,
                                  ngx_http_relay_estimate_done)
           == NGX_AGAIN)
    {
        ngx_http_relay_watch_caller(ctx->request);
        return;
    }

    ngx_http_relay_estimate_work(ctx);
    ngx_http_relay_estimate_done(ctx);
}


static void
ngx_http_relay_estimate_work(ngx_http_relay_ctx_t *ctx)
{
    ctx->estimate = relay_token_estimate(ctx->envelope.body);
}


static void
ngx_http_relay_estimate_done(ngx_http_relay_ctx_t *ctx)
{
    ngx_http_request_t  *r;

    r = ctx->request;

    ngx_http_finalize_request(r, ngx_http_relay_send_estimate(r));
}
