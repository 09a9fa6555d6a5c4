
/*
 * The body of an attempt: the caller's bytes, or what was translated of them,
 * with what the host wants spliced in or cut out, and its hash where requests are
 * signed.
 *
 *   ctx->body -> translate_write -> make (edits, length) -> hash -> request
 *
 * Long bodies are prepared in a thread: for the first attempt before there is a
 * connection, for later ones while it is being made (ngx_http_relay_late.c).
 * What fails there is done once more in the loop, which is where errors show.
 */


#include "ngx_http_relay_content.h"
#include "ngx_http_relay_offload.h"
#include "ngx_http_relay_translate.h"

#include "wire_headers.h"


/* longer ones take more than half a millisecond: to translate, to hash */
#define NGX_HTTP_RELAY_LONG_TO_TRANSLATE  (96 * 1024)
#define NGX_HTTP_RELAY_LONG_TO_HASH       (256 * 1024)

/* beta features of a caller that go into the body: names and quotes */
#define NGX_HTTP_RELAY_BETAS_MAX          4096


static void ngx_http_relay_content_ahead_done(ngx_http_relay_ctx_t *ctx);
static ngx_uint_t ngx_http_relay_content_long(ngx_http_relay_ctx_t *ctx,
    const relay_candidate_t *candidate);
static ngx_int_t ngx_http_relay_content_offload(ngx_http_relay_ctx_t *ctx,
    const relay_candidate_t *candidate, ngx_http_relay_offload_pt done);
static void ngx_http_relay_content_work(ngx_http_relay_ctx_t *ctx);
static const relay_variant_t *ngx_http_relay_content_variant(
    ngx_http_relay_ctx_t *ctx, const relay_candidate_t *candidate);
static ngx_int_t ngx_http_relay_content_begin(ngx_http_relay_ctx_t *ctx,
    ngx_http_relay_content_t *content, const relay_candidate_t *candidate,
    relay_buf_t *scratch);
static ngx_int_t ngx_http_relay_content_make(ngx_http_relay_ctx_t *ctx,
    ngx_http_relay_content_t *content);
static ngx_int_t ngx_http_relay_variant_edits(ngx_http_relay_ctx_t *ctx,
    ngx_http_relay_content_t *content, const relay_variant_t *variant);
static ngx_int_t ngx_http_relay_model_edits(ngx_http_relay_ctx_t *ctx,
    ngx_http_relay_content_t *content);
static ngx_int_t ngx_http_relay_betas(ngx_http_relay_ctx_t *ctx,
    ngx_http_relay_content_t *content);
static ngx_int_t ngx_http_relay_chain_span(ngx_pool_t *pool,
    ngx_chain_t ***last, relay_span_t text);


ngx_int_t
ngx_http_relay_content_ahead(ngx_http_relay_ctx_t *ctx)
{
    const relay_candidate_t  *candidate;

    if (ctx->candidate == ctx->plan->count) {
        return NGX_OK;
    }

    candidate = &ctx->plan->candidates[ctx->candidate];

    if (!ngx_http_relay_content_long(ctx, candidate)
        || ngx_http_relay_content_offload(ctx, candidate,
                                          ngx_http_relay_content_ahead_done)
           != NGX_AGAIN)
    {
        return NGX_OK;
    }

    ngx_http_relay_watch_caller(ctx->request);

    return NGX_AGAIN;
}


/* a host that cannot take it is passed over before there is a connection */

static void
ngx_http_relay_content_ahead_done(ngx_http_relay_ctx_t *ctx)
{
    if (ctx->content->translated
        && ngx_http_relay_translate_refused(ctx) == NGX_DECLINED)
    {
        ctx->attempt.candidate = ctx->content->candidate;
        ctx->candidate++;

        if (ngx_http_relay_content_ahead(ctx) == NGX_AGAIN) {
            return;
        }
    }

    ngx_http_relay_upstream_start(ctx->request);
}


ngx_int_t
ngx_http_relay_content_prepare(ngx_http_relay_ctx_t *ctx)
{
    const relay_candidate_t  *candidate;

    candidate = ctx->attempt.candidate;

    if (ngx_http_relay_content_long(ctx, candidate)) {

        /* one for a candidate that has failed meanwhile is over first */

        if (ngx_http_relay_offloaded(ctx)) {
            return NGX_AGAIN;
        }

        if ((ctx->content == NULL || ctx->content->candidate != candidate)
            && ngx_http_relay_content_offload(ctx, candidate,
                                              ngx_http_relay_late)
               == NGX_AGAIN)
        {
            return NGX_AGAIN;
        }
    }

    return ngx_http_relay_translate_request(ctx);
}


static ngx_uint_t
ngx_http_relay_content_long(ngx_http_relay_ctx_t *ctx,
    const relay_candidate_t *candidate)
{
    if (ngx_http_relay_translates(ctx, candidate)) {
        return ctx->body.len >= NGX_HTTP_RELAY_LONG_TO_TRANSLATE;
    }

    return candidate->host->auth_type == RELAY_AUTH_SIGV4
           && ctx->body.len >= NGX_HTTP_RELAY_LONG_TO_HASH;
}


static ngx_int_t
ngx_http_relay_content_offload(ngx_http_relay_ctx_t *ctx,
    const relay_candidate_t *candidate, ngx_http_relay_offload_pt done)
{
    u_char                    *p;
    relay_buf_t                scratch;
    ngx_http_relay_content_t  *content;

    content = ctx->content;

    if (content == NULL) {
        content = ngx_palloc(ctx->request->pool,
                             sizeof(ngx_http_relay_content_t));
        if (content == NULL) {
            return NGX_DECLINED;
        }

        content->candidate = NULL;
        ctx->content = content;
    }

    p = ngx_pnalloc(ctx->request->pool, RELAY_ENVELOPE_SCRATCH);
    if (p == NULL) {
        return NGX_DECLINED;
    }

    scratch = relay_buf(p, RELAY_ENVELOPE_SCRATCH);

    if (ngx_http_relay_content_begin(ctx, content, candidate, &scratch)
        != NGX_OK
        || (content->translated
            && ngx_http_relay_translate_prepare(ctx, candidate) != NGX_OK)
        || ngx_http_relay_offload(ctx, ngx_http_relay_content_work, done)
           != NGX_AGAIN)
    {
        content->candidate = NULL;
        return NGX_DECLINED;
    }

    return NGX_AGAIN;
}


/* in a thread */

static void
ngx_http_relay_content_work(ngx_http_relay_ctx_t *ctx)
{
    ngx_http_relay_content_t  *content;

    content = ctx->content;

    if (content->translated
        && ngx_http_relay_translate_write(ctx->translation) != RELAY_ERR_NONE)
    {
        return;
    }

    if (ngx_http_relay_content_make(ctx, content) != NGX_OK
        || (content->candidate->host->auth_type == RELAY_AUTH_SIGV4
            && ngx_http_relay_content_hash(content) != NGX_OK))
    {
        content->failed = 1;
    }
}


ngx_http_relay_content_t *
ngx_http_relay_content_get(ngx_http_relay_ctx_t *ctx,
    ngx_http_relay_content_t *own, relay_buf_t *scratch)
{
    const relay_candidate_t   *candidate;
    ngx_http_relay_content_t  *content;

    candidate = ctx->attempt.candidate;
    content = ctx->content;

    if (content && content->candidate == candidate && !content->failed
        && !ngx_http_relay_offloaded(ctx))
    {
        return content;
    }

    if (ngx_http_relay_content_begin(ctx, own, candidate, scratch) != NGX_OK
        || ngx_http_relay_content_make(ctx, own) != NGX_OK)
    {
        return NULL;
    }

    return own;
}


/* NULL: an unknown path */

static const relay_variant_t *
ngx_http_relay_content_variant(ngx_http_relay_ctx_t *ctx,
    const relay_candidate_t *candidate)
{
    return (ctx->match.operation == RELAY_OP_GENERATE
            || ctx->match.operation == RELAY_OP_AUXILIARY)
           ? candidate->host->variants[candidate->wire->index] : NULL;
}


/* all that takes memory of the request */

static ngx_int_t
ngx_http_relay_content_begin(ngx_http_relay_ctx_t *ctx,
    ngx_http_relay_content_t *content, const relay_candidate_t *candidate,
    relay_buf_t *scratch)
{
    size_t                  size;
    u_char                 *p;
    const relay_variant_t  *variant;

    content->candidate = candidate;
    content->translated = ngx_http_relay_translates(ctx, candidate);
    content->nedits = 0;
    content->hashed = 0;
    content->failed = 0;
    content->betas = relay_span(NULL, 0);
    content->scratch = *scratch;

    variant = ngx_http_relay_content_variant(ctx, candidate);

    if (variant == NULL || !variant->model_in_path) {
        return NGX_OK;
    }

    if (variant->betas_in_body
        && ngx_http_relay_betas(ctx, content) != NGX_OK)
    {
        return NGX_ERROR;
    }

    size = 5 * content->betas.len + RELAY_ENVELOPE_SCRATCH;

    p = ngx_pnalloc(ctx->request->pool, size);
    if (p == NULL) {
        return NGX_ERROR;
    }

    content->scratch = relay_buf(p, size);

    return NGX_OK;
}


/* after what is translated was written; in the loop or in a thread */

static ngx_int_t
ngx_http_relay_content_make(ngx_http_relay_ctx_t *ctx,
    ngx_http_relay_content_t *content)
{
    size_t                  i;
    ngx_int_t               rc;
    const relay_variant_t  *variant;

    content->body = content->translated ? &ctx->translation->body : &ctx->body;

    variant = ngx_http_relay_content_variant(ctx, content->candidate);
    rc = NGX_OK;

    if (variant && variant->model_in_path) {
        rc = ngx_http_relay_variant_edits(ctx, content, variant);

    } else if (variant && !content->translated) {
        rc = ngx_http_relay_model_edits(ctx, content);
    }

    content->length = content->body->len;

    for (i = 0; i < content->nedits; i++) {
        content->length = content->length - content->edits[i].removed
                          + content->edits[i].text.len;
    }

    return rc;
}


static ngx_int_t
ngx_http_relay_model_edits(ngx_http_relay_ctx_t *ctx,
    ngx_http_relay_content_t *content)
{
    relay_edit_options_t      options;
    const relay_candidate_t  *candidate;

    candidate = content->candidate;

    options.model = candidate->upstream_model;
    options.ask_usage = candidate->host->stream_usage
                        && ctx->match.operation == RELAY_OP_GENERATE;

    content->nedits = candidate->wire->edits(&ctx->envelope, &options,
                                             content->edits,
                                             &content->scratch);

    return relay_buf_ok(&content->scratch) ? NGX_OK : NGX_ERROR;
}


/* the model goes from the body to the path, and what else the variant wants */

static ngx_int_t
ngx_http_relay_variant_edits(ngx_http_relay_ctx_t *ctx,
    ngx_http_relay_content_t *content, const relay_variant_t *variant)
{
    relay_error_t      error;
    relay_envelope_t   envelope;

    envelope = ctx->envelope;

    if (content->translated) {

        ngx_memzero(&error, sizeof(relay_error_t));

        /* of ours, so it is valid; of the model only its place matters */

        if (relay_envelope_read_path(ngx_http_relay_span(content->body),
                                     RELAY_SPAN("model"),
                                     ctx->envelope.streaming, &envelope,
                                     &content->scratch, &error)
            != RELAY_ERR_NONE)
        {
            return NGX_ERROR;
        }
    }

    content->nedits = ngx_http_relay_content_counts(ctx, variant)
                      ? relay_variant_counter_edits(variant, &envelope,
                                           content->candidate->upstream_model,
                                           content->edits, &content->scratch)
                      : relay_variant_edits(variant, &envelope, content->betas,
                                           content->edits, &content->scratch);

    return relay_buf_ok(&content->scratch) ? NGX_OK : NGX_ERROR;
}


ngx_uint_t
ngx_http_relay_content_counts(ngx_http_relay_ctx_t *ctx,
    const relay_variant_t *variant)
{
    return ctx->match.operation == RELAY_OP_AUXILIARY && variant->counter.len;
}


/* all that the caller names, however many headers they are in */

static ngx_int_t
ngx_http_relay_betas(ngx_http_relay_ctx_t *ctx,
    ngx_http_relay_content_t *content)
{
    u_char           *p;
    relay_buf_t       betas;
    relay_span_t      name;
    ngx_uint_t        i;
    ngx_list_part_t  *part;
    ngx_table_elt_t  *h;

    name = relay_wire_beta_header(content->candidate->wire);

    if (name.len == 0 || content->translated) {
        return NGX_OK;
    }

    p = ngx_pnalloc(ctx->request->pool, NGX_HTTP_RELAY_BETAS_MAX);
    if (p == NULL) {
        return NGX_ERROR;
    }

    betas = relay_buf(p, NGX_HTTP_RELAY_BETAS_MAX);

    for (part = &ctx->request->headers_in.headers.part; part;
         part = part->next)
    {
        h = part->elts;

        for (i = 0; i < part->nelts; i++) {
            if (!relay_span_eq(relay_span(h[i].lowcase_key, h[i].key.len),
                               name))
            {
                continue;
            }

            if (betas.len) {
                RELAY_PUT(&betas, ",");
            }

            relay_buf_put(&betas, ngx_http_relay_span(&h[i].value));
        }
    }

    content->betas = relay_buf_span(&betas);

    return relay_buf_ok(&betas) ? NGX_OK : NGX_ERROR;
}


ngx_int_t
ngx_http_relay_content_hash(ngx_http_relay_content_t *content)
{
    size_t         i, n, offset;
    relay_span_t   body, pieces[2 * RELAY_EDITS_MAX + 1];
    relay_edit_t  *edit;

    if (content->hashed) {
        return NGX_OK;
    }

    body = ngx_http_relay_span(content->body);
    offset = 0;
    n = 0;

    for (i = 0; i < content->nedits; i++) {
        edit = &content->edits[i];

        pieces[n++] = relay_span(body.base + offset, edit->offset - offset);
        pieces[n++] = edit->text;
        offset = edit->offset + edit->removed;
    }

    pieces[n++] = relay_span_from(body, offset);

    content->hashed = relay_sigv4_hash(pieces, n, content->hash);

    return content->hashed ? NGX_OK : NGX_ERROR;
}


void
ngx_http_relay_content_put(ngx_http_relay_content_t *content, relay_buf_t *out)
{
    size_t         i, offset;
    relay_edit_t  *edits;
    relay_span_t   body;

    body = ngx_http_relay_span(content->body);
    edits = content->edits;
    offset = 0;

    for (i = 0; i < content->nedits; i++) {
        relay_buf_put(out, relay_span(body.base + offset,
                                      edits[i].offset - offset));
        relay_buf_put(out, edits[i].text);
        offset = edits[i].offset + edits[i].removed;
    }

    relay_buf_put(out, relay_span_from(body, offset));
}


/* the same without a copy of the body */

ngx_int_t
ngx_http_relay_content_chain(ngx_http_relay_content_t *content,
    ngx_pool_t *pool, ngx_chain_t **last)
{
    u_char        *text;
    size_t         i, offset;
    relay_edit_t  *edits;
    relay_span_t   body;

    body = ngx_http_relay_span(content->body);
    edits = content->edits;
    offset = 0;

    for (i = 0; i < content->nedits; i++) {

        if (ngx_http_relay_chain_span(pool, &last,
                                      relay_span(body.base + offset,
                                                 edits[i].offset - offset))
            != NGX_OK)
        {
            return NGX_ERROR;
        }

        /* the edit's text may live on our caller's stack */

        text = ngx_pnalloc(pool, edits[i].text.len + 1);
        if (text == NULL) {
            return NGX_ERROR;
        }

        ngx_memcpy(text, edits[i].text.base, edits[i].text.len);

        if (ngx_http_relay_chain_span(pool, &last,
                                      relay_span(text, edits[i].text.len))
            != NGX_OK)
        {
            return NGX_ERROR;
        }

        offset = edits[i].offset + edits[i].removed;
    }

    return ngx_http_relay_chain_span(pool, &last,
                                     relay_span_from(body, offset));
}


static ngx_int_t
ngx_http_relay_chain_span(ngx_pool_t *pool, ngx_chain_t ***last,
    relay_span_t text)
{
    ngx_buf_t    *b;
    ngx_chain_t  *cl;

    if (text.len == 0) {
        return NGX_OK;
    }

    b = ngx_calloc_buf(pool);
    cl = ngx_alloc_chain_link(pool);

    if (b == NULL || cl == NULL) {
        return NGX_ERROR;
    }

    b->start = (u_char *) text.base;
    b->pos = b->start;
    b->last = b->start + text.len;
    b->end = b->last;
    b->temporary = 1;

    cl->buf = b;
    cl->next = NULL;

    **last = cl;
    *last = &cl->next;

    return NGX_OK;
}
