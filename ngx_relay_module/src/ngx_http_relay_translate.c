
/*
 * Attempts at hosts that speak another format than the caller. The request is
 * written anew from the client's bytes for each of them; the answer goes back
 * whole, or event by event as it comes (ngx_http_relay_translate_stream.c).
 * What to write is decided in core (translate.h); here are memory, threads and
 * headers.
 *
 *   ctx->body -> translate_request -> attempt
 *   caller <- held <- translate_whole <- attempt
 *
 * One translation is kept per request, and its memory is a pool of its own, so
 * that a second attempt does not add to the first.
 */


#include "ngx_http_relay_offload.h"
#include "ngx_http_relay_translate.h"

#include "candidate_target.h"
#include "wire_headers.h"


#define NGX_HTTP_RELAY_NOTES_MAX     2048

/* for the tree and the text of bodies that are translated by the worker itself */
#define NGX_HTTP_RELAY_WORK_SIZE     (384 * 1024)

/* what an answer needs of its request is a few names */
#define NGX_HTTP_RELAY_SETTLED_POOL  1024


static void ngx_http_relay_translated_answer(
    ngx_http_relay_translated_t *translated, const relay_arena_t *work);
static ngx_uint_t ngx_http_relay_work_open(relay_arena_t *arena);
static void ngx_http_relay_work_close(void);
static void *ngx_http_relay_work_alloc(void *owner, size_t size);
static ngx_int_t ngx_http_relay_thread_work_open(
    ngx_http_relay_translated_t *translated, relay_arena_t *arena);
static void ngx_http_relay_thread_work_close(
    ngx_http_relay_translated_t *translated);
static void ngx_http_relay_translated_write(
    ngx_http_relay_translated_t *translated, const relay_arena_t *work);
static ngx_http_relay_translated_t *ngx_http_relay_translated_create(
    ngx_http_relay_ctx_t *ctx);
static void ngx_http_relay_translated_cleanup(void *data);
static void ngx_http_relay_translated_discard(
    ngx_http_relay_translated_t *translated, ngx_pool_t *pool);
static ngx_int_t ngx_http_relay_translated_renew(
    ngx_http_relay_translated_t *translated, size_t size);
static void *ngx_http_relay_translated_alloc(void *owner, size_t size);
static ngx_uint_t ngx_http_relay_strict(ngx_http_request_t *r);
static ngx_int_t ngx_http_relay_note_refusal(ngx_http_relay_ctx_t *ctx,
    relay_error_t *error);
static ngx_int_t ngx_http_relay_translate_forward(ngx_http_relay_ctx_t *ctx);
static void ngx_http_relay_drop_owned(ngx_http_relay_ctx_t *ctx,
    const relay_dialect_t *dialect);
static ngx_uint_t ngx_http_relay_stays(ngx_http_relay_ctx_t *ctx,
    relay_span_t name);


/*
 * Memory of one translation, kept by the worker: malloc() gives and takes back
 * pages for every request otherwise.  Not for threads.
 */

static struct {
    u_char                          *data;
    size_t                           used;
    ngx_pool_t                      *more;
} ngx_http_relay_work;


ngx_uint_t
ngx_http_relay_translates(ngx_http_relay_ctx_t *ctx,
    const relay_candidate_t *candidate)
{
    return ctx->match.operation == RELAY_OP_GENERATE
           && candidate->wire != ctx->match.wire;
}


ngx_int_t
ngx_http_relay_translate_request(ngx_http_relay_ctx_t *ctx)
{
    ngx_int_t                     rc;
    relay_arena_t                 work;
    const relay_candidate_t      *candidate;
    ngx_http_relay_translated_t  *translated;

    candidate = ctx->attempt.candidate;

    if (!ngx_http_relay_translates(ctx, candidate)) {
        return NGX_OK;
    }

    translated = ctx->translation;

    if (translated == NULL || translated->candidate != candidate
        || !translated->done)
    {
        if (ngx_http_relay_translate_prepare(ctx, candidate) != NGX_OK
            || !ngx_http_relay_work_open(&work))
        {
            return NGX_ERROR;
        }

        translated = ctx->translation;
        ngx_http_relay_translated_write(translated, &work);
    }

    rc = ngx_http_relay_translate_refused(ctx);

    ngx_http_relay_work_close();

    if (rc != NGX_OK || ngx_http_relay_translate_forward(ctx) != NGX_OK) {
        return rc ? rc : NGX_ERROR;
    }

    ctx->attempt.translated = translated;

    return NGX_OK;
}


/* all that the writing needs: it may run in a thread */

ngx_int_t
ngx_http_relay_translate_prepare(ngx_http_relay_ctx_t *ctx,
    const relay_candidate_t *candidate)
{
    relay_translation_t          *translation;
    ngx_http_relay_translated_t  *translated;

    translated = ctx->translation;

    if (translated == NULL) {
        translated = ngx_http_relay_translated_create(ctx);
        if (translated == NULL) {
            return NGX_ERROR;
        }
    }

    if (ngx_http_relay_translated_renew(translated, NGX_HTTP_RELAY_BLOCK)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    translated->candidate = candidate;
    translated->done = 0;
    translated->answered = 0;
    translation = &translated->translation;

    ngx_memzero(translation, sizeof(relay_translation_t));

    translation->arena = &translated->arena;
    translation->caller = relay_codec_of(ctx->match.wire);
    translation->upstream = relay_codec_of(candidate->wire);
    translation->target = relay_target_of(candidate);
    translation->stream = ctx->match.streaming;
    translation->model = ngx_http_relay_span(&ctx->model);
    translation->strict = ctx->key->policy->strict
                          || ngx_http_relay_strict(ctx->request);
    translation->request_id = relay_span(ctx->request_id_data,
                                         NGX_HTTP_RELAY_REQUEST_ID_LEN);
    translation->created_s = ngx_time();

    return NGX_OK;
}


/* what it takes is given back in the thread, too, but for what a refusal says */

relay_error_code_t
ngx_http_relay_translate_write(ngx_http_relay_translated_t *translated)
{
    relay_arena_t  work;

    if (ngx_http_relay_thread_work_open(translated, &work) != NGX_OK) {
        translated->code = RELAY_ERR_INTERNAL;
        return translated->code;
    }

    ngx_http_relay_translated_write(translated, &work);

    if (translated->code == RELAY_ERR_NONE) {
        ngx_http_relay_thread_work_close(translated);
    }

    return translated->code;
}


/* only what is sent, and a few names, outlive `work`; a refusal is read first */

static void
ngx_http_relay_translated_write(ngx_http_relay_translated_t *translated,
    const relay_arena_t *work)
{
    u_char               *p;
    relay_span_t          written;
    relay_translation_t  *translation;

    translation = &translated->translation;
    translation->arena = work;

    translated->done = 1;
    translated->code = relay_translate_request(translation,
                                  ngx_http_relay_span(&translated->ctx->body),
                                  &written);

    translation->arena = &translated->arena;

    if (translated->code != RELAY_ERR_NONE) {
        return;
    }

    p = ngx_pnalloc(translated->pool, written.len);

    if (p == NULL || !relay_translation_keep(translation, &translated->arena)) {
        translated->code = RELAY_ERR_INTERNAL;
        translation->error.code = RELAY_ERR_INTERNAL;
        return;
    }

    ngx_memcpy(p, written.base, written.len);

    translated->body.data = p;
    translated->body.len = written.len;
}


ngx_int_t
ngx_http_relay_translate_refused(ngx_http_relay_ctx_t *ctx)
{
    ngx_http_relay_translated_t  *translated;

    translated = ctx->translation;

    return (translated->code == RELAY_ERR_NONE)
           ? NGX_OK
           : ngx_http_relay_note_refusal(ctx, &translated->translation.error);
}


static ngx_uint_t
ngx_http_relay_work_open(relay_arena_t *arena)
{
    if (ngx_http_relay_work.data == NULL) {
        ngx_http_relay_work.data = ngx_alloc(NGX_HTTP_RELAY_WORK_SIZE,
                                             ngx_cycle->log);
        if (ngx_http_relay_work.data == NULL) {
            return 0;
        }
    }

    ngx_http_relay_work.used = 0;

    arena->allocate = ngx_http_relay_work_alloc;
    arena->owner = NULL;

    return 1;
}


static void
ngx_http_relay_work_close(void)
{
    if (ngx_http_relay_work.more) {
        ngx_destroy_pool(ngx_http_relay_work.more);
        ngx_http_relay_work.more = NULL;
    }
}


static void *
ngx_http_relay_work_alloc(void *owner, size_t size)
{
    u_char  *p;

    size = ngx_align(size, 16);

    if (size <= NGX_HTTP_RELAY_WORK_SIZE - ngx_http_relay_work.used) {
        p = ngx_http_relay_work.data + ngx_http_relay_work.used;
        ngx_http_relay_work.used += size;
        ngx_memzero(p, size);
        return p;
    }

    if (ngx_http_relay_work.more == NULL) {
        ngx_http_relay_work.more = ngx_create_pool(NGX_HTTP_RELAY_BLOCK,
                                                   ngx_cycle->log);
        if (ngx_http_relay_work.more == NULL) {
            return NULL;
        }
    }

    return ngx_pcalloc(ngx_http_relay_work.more, size);
}


/* the same for a thread */

static ngx_int_t
ngx_http_relay_thread_work_open(ngx_http_relay_translated_t *translated,
    relay_arena_t *arena)
{
    ngx_log_t  *log;

    log = translated->ctx->request->connection->log;

    translated->work = ngx_create_pool(NGX_HTTP_RELAY_BLOCK, log);
    if (translated->work == NULL) {
        return NGX_ERROR;
    }

    arena->allocate = ngx_http_relay_translated_alloc;
    arena->owner = translated->work;

    return NGX_OK;
}


static void
ngx_http_relay_thread_work_close(ngx_http_relay_translated_t *translated)
{
    ngx_destroy_pool(translated->work);
    translated->work = NULL;
}


static ngx_http_relay_translated_t *
ngx_http_relay_translated_create(ngx_http_relay_ctx_t *ctx)
{
    ngx_pool_cleanup_t           *cln;
    ngx_http_relay_translated_t  *translated;

    cln = ngx_pool_cleanup_add(ctx->request->pool, 0);
    translated = ngx_palloc(ctx->request->pool,
                            sizeof(ngx_http_relay_translated_t));

    if (cln == NULL || translated == NULL) {
        return NULL;
    }

    translated->ctx = ctx;
    translated->pool = NULL;
    translated->work = NULL;
    translated->stream = NULL;
    translated->streaming = 0;

    ngx_str_null(&translated->body);
    ngx_str_null(&translated->answer);

    cln->handler = ngx_http_relay_translated_cleanup;
    cln->data = translated;

    ctx->translation = translated;

    return translated;
}


static void
ngx_http_relay_translated_cleanup(void *data)
{
    ngx_http_relay_translated_t *translated = data;

    if (translated->streaming) {
        relay_stream_free(translated->stream);
        translated->streaming = 0;
    }

    if (translated->work) {
        ngx_http_relay_thread_work_close(translated);
    }

    if (translated->pool) {
        ngx_http_relay_translated_discard(translated, translated->pool);
        translated->pool = NULL;
    }
}


static void
ngx_http_relay_translated_discard(ngx_http_relay_translated_t *translated,
    ngx_pool_t *pool)
{
    if (translated->body.len + translated->answer.len >= NGX_HTTP_RELAY_LARGE) {
        ngx_http_relay_discard(translated->ctx->rmcf, pool);

    } else {
        ngx_destroy_pool(pool);
    }

    ngx_str_null(&translated->body);
    ngx_str_null(&translated->answer);
}


/* what the attempt before has used is given back */

static ngx_int_t
ngx_http_relay_translated_renew(ngx_http_relay_translated_t *translated,
    size_t size)
{
    ngx_http_relay_translated_cleanup(translated);

    translated->pool = ngx_create_pool(size,
                                  translated->ctx->request->connection->log);
    if (translated->pool == NULL) {
        return NGX_ERROR;
    }

    translated->arena.allocate = ngx_http_relay_translated_alloc;
    translated->arena.owner = translated->pool;

    return NGX_OK;
}


static void *
ngx_http_relay_translated_alloc(void *owner, size_t size)
{
    return ngx_pcalloc(owner, size);
}


static ngx_uint_t
ngx_http_relay_strict(ngx_http_request_t *r)
{
    ngx_table_elt_t  *h;

    h = ngx_http_relay_request_header(r, "x-relay-strict",
                                      sizeof("x-relay-strict") - 1);

    return h != NULL
           && (relay_span_eq(ngx_http_relay_span(&h->value), RELAY_SPAN("1"))
               || relay_span_case_eq(ngx_http_relay_span(&h->value),
                                     RELAY_SPAN("true")));
}


/* NGX_DECLINED: the candidate cannot take it; why is kept for the caller */

static ngx_int_t
ngx_http_relay_note_refusal(ngx_http_relay_ctx_t *ctx, relay_error_t *error)
{
    size_t          len;
    u_char         *p;
    relay_error_t  *kept;

    if (error->code == RELAY_ERR_INTERNAL) {
        return NGX_ERROR;
    }

    if (ctx->refusal.code) {
        return NGX_DECLINED;
    }

    /* the attempt's memory does not last */

    len = error->message.len + error->param.len;

    p = ngx_pnalloc(ctx->request->pool, len + 1);
    if (p == NULL) {
        return NGX_ERROR;
    }

    kept = &ctx->refusal;
    *kept = *error;

    kept->message.base = p;
    p = ngx_cpymem(p, error->message.base, error->message.len);
    kept->param.base = p;
    ngx_memcpy(p, error->param.base, error->param.len);

    return NGX_DECLINED;
}


/*
 * The headers that pass, but for those that only the caller's vendor
 * understands, and with the type of the body that is sent.
 */

static ngx_int_t
ngx_http_relay_translate_forward(ngx_http_relay_ctx_t *ctx)
{
    u_char                       *p, *last, *line, *end;
    ngx_str_t                    *forward;
    relay_span_t                  name;
    ngx_http_relay_translated_t  *translated;

    static ngx_str_t  type = ngx_string("content-type: application/json" CRLF);

    translated = ctx->translation;
    forward = &translated->forward;

    p = ngx_pnalloc(translated->pool, ctx->forward.len + type.len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    forward->data = p;
    last = ctx->forward.data + ctx->forward.len;

    for (line = ctx->forward.data; line < last; line = end) {

        end = ngx_strlchr(line, last, LF);
        end = end ? end + 1 : last;

        name = relay_span(line, ngx_strlchr(line, end, ':') - line);

        if (!ngx_http_relay_stays(ctx, name)) {
            p = ngx_cpymem(p, line, end - line);
        }
    }

    p = ngx_cpymem(p, type.data, type.len);
    forward->len = p - forward->data;

    return NGX_OK;
}


static ngx_uint_t
ngx_http_relay_stays(ngx_http_relay_ctx_t *ctx, relay_span_t name)
{
    return relay_span_case_eq(name, RELAY_SPAN("content-type"))
           || relay_span_case_eq(name, RELAY_SPAN("accept"))
           || relay_wire_owns_header(ctx->match.dialect, name);
}


/* of the provider's answer, those that only its own clients understand go */

void
ngx_http_relay_translate_headers(ngx_http_relay_ctx_t *ctx)
{
    const relay_wire_t       *wire;
    const relay_candidate_t  *candidate;

    candidate = ctx->attempt.candidate;
    wire = candidate->wire;

    ngx_http_relay_drop_owned(ctx, wire->dialect);
    ngx_http_relay_drop_owned(ctx, candidate->host->variants[wire->index]
                                   ->platform);
}


static void
ngx_http_relay_drop_owned(ngx_http_relay_ctx_t *ctx,
    const relay_dialect_t *dialect)
{
    ngx_uint_t                i, kept;
    ngx_http_relay_try_t     *attempt;
    ngx_http_relay_header_t  *h;

    if (dialect == NULL || dialect == ctx->match.dialect) {
        return;
    }

    attempt = &ctx->attempt;

    h = attempt->headers.elts;
    kept = 0;

    for (i = 0; i < attempt->headers.nelts; i++) {
        if (!relay_wire_owns_header(dialect, ngx_http_relay_span(&h[i].name))) {
            h[kept++] = h[i];
        }
    }

    attempt->headers.nelts = kept;
}


ngx_int_t
ngx_http_relay_translate_notes(ngx_http_relay_ctx_t *ctx, ngx_pool_t *pool,
    ngx_str_t *value)
{
    relay_buf_t           out;
    relay_translation_t  *translation;

    ngx_str_null(value);

    if (ctx->attempt.translated == NULL) {
        return NGX_OK;
    }

    translation = &ctx->attempt.translated->translation;

    if (translation->notes == NULL) {
        return NGX_OK;
    }

    value->data = ngx_pnalloc(pool, NGX_HTTP_RELAY_NOTES_MAX);
    if (value->data == NULL) {
        return NGX_ERROR;
    }

    out = relay_buf(value->data, NGX_HTTP_RELAY_NOTES_MAX);
    relay_translation_put_notes(translation, &out);
    value->len = relay_buf_span(&out).len;

    return NGX_OK;
}


ngx_int_t
ngx_http_relay_translate_settle(ngx_http_relay_ctx_t *ctx)
{
    ngx_int_t                     rc;
    ngx_pool_t                   *old;
    ngx_http_relay_translated_t  *translated;

    translated = ctx->attempt.translated;

    if (!ctx->request->upstream->request_body_sent) {

        /* some of it is still to be sent */

        return NGX_OK;
    }

    old = translated->pool;

    translated->pool = ngx_create_pool(NGX_HTTP_RELAY_SETTLED_POOL,
                                       ctx->request->connection->log);
    if (translated->pool == NULL) {
        translated->pool = old;
        return NGX_ERROR;
    }

    translated->arena.owner = translated->pool;

    rc = relay_translation_keep(&translated->translation, &translated->arena)
         ? NGX_OK : NGX_ERROR;

    ngx_str_null(&translated->forward);

    ngx_http_relay_translated_discard(translated, old);

    return rc;
}


/* the held body becomes the caller's; NGX_ABORT: it is none, or an error */

ngx_int_t
ngx_http_relay_translate_whole(ngx_http_relay_ctx_t *ctx)
{
    relay_arena_t                 work;
    ngx_http_relay_try_t         *attempt;
    ngx_http_relay_translated_t  *translated;

    attempt = &ctx->attempt;
    translated = attempt->translated;

    if (!translated->answered) {

        if (!ngx_http_relay_work_open(&work)) {
            return NGX_ERROR;
        }

        ngx_http_relay_translated_answer(translated, &work);
        ngx_http_relay_work_close();
    }

    if (translated->answer_code != RELAY_ERR_NONE) {
        attempt->failure = translated->answer_code;
        return (attempt->failure == RELAY_ERR_INTERNAL) ? NGX_ERROR
                                                        : NGX_ABORT;
    }

    attempt->held = translated->answer;

    ngx_str_set(&attempt->content_type, "application/json");

    return NGX_OK;
}


void
ngx_http_relay_translate_answer(ngx_http_relay_ctx_t *ctx)
{
    relay_arena_t                 work;
    ngx_http_relay_translated_t  *translated;

    translated = ctx->attempt.translated;

    if (ngx_http_relay_thread_work_open(translated, &work) == NGX_OK) {
        ngx_http_relay_translated_answer(translated, &work);
        ngx_http_relay_thread_work_close(translated);
    }
}


static void
ngx_http_relay_translated_answer(ngx_http_relay_translated_t *translated,
    const relay_arena_t *work)
{
    u_char               *p;
    relay_span_t          response;
    relay_translation_t  *translation;

    translation = &translated->translation;
    translation->arena = work;

    translated->answered = 1;
    translated->answer_code = relay_translate_response(translation,
                       ngx_http_relay_span(&translated->ctx->attempt.held),
                       &response);

    /* an answer may have added to the notes */

    if (!relay_translation_keep(translation, &translated->arena)) {
        translated->answer_code = RELAY_ERR_INTERNAL;
    }

    if (translated->answer_code != RELAY_ERR_NONE) {
        return;
    }

    p = ngx_pnalloc(translated->pool, response.len);
    if (p == NULL) {
        translated->answer_code = RELAY_ERR_INTERNAL;
        return;
    }

    ngx_memcpy(p, response.base, response.len);

    translated->answer.data = p;
    translated->answer.len = response.len;
}


/* the texts are copied: the attempt's memory is the next one's */

ngx_int_t
ngx_http_relay_translate_failure(ngx_http_relay_ctx_t *ctx,
    ngx_http_relay_failure_t *failure)
{
    relay_arena_t         arena;
    relay_failure_t       said;
    relay_translation_t  *translation, own;

    translation = ctx->attempt.translated
                  ? &ctx->attempt.translated->translation : &own;

    if (ctx->attempt.translated == NULL) {

        /* the caller's own format, by a platform with errors of its own */

        arena.allocate = ngx_http_relay_translated_alloc;
        arena.owner = ctx->request->pool;

        ngx_memzero(&own, sizeof(relay_translation_t));
        own.arena = &arena;
        own.caller = relay_codec_of(ctx->match.wire);
        own.upstream = own.caller;
    }

    translation->told_error = ctx->attempt.told_error;

    said = relay_translate_failure(translation,
                                   ngx_http_relay_span(&failure->body),
                                   failure->status);

    failure->reworded = 1;
    failure->code = said.error.code;
    failure->status = said.error.status;
    failure->retry = said.retry;
    failure->body.len = 0;

    if (said.error.message.len == 0) {
        return NGX_OK;
    }

    failure->message.len = said.error.message.len;
    failure->message.data = ngx_pnalloc(ctx->request->pool,
                                        failure->message.len);
    if (failure->message.data == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(failure->message.data, said.error.message.base,
               failure->message.len);

    return NGX_OK;
}
