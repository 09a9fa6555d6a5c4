
/*
 * The request of one attempt: its line, its headers with the provider's
 * credential, and its body (ngx_http_relay_content.c). Built afresh for each
 * attempt.
 */


#include "ngx_http_relay_content.h"
#include "ngx_http_relay_store.h"
#include "ngx_http_relay_translate.h"

#include "wire_headers.h"

#include <openssl/crypto.h>


/* requests up to this size are sent from one buffer */
#define NGX_HTTP_RELAY_COPY_MAX       16384

/* names and line ends of the headers of a signature */
#define NGX_HTTP_RELAY_SIGNED_ROOM    (sizeof("Authorization: " CRLF \
                                              "X-Amz-Date: " CRLF \
                                              "X-Amz-Security-Token: " CRLF))


/* what is put together, before it is written */

typedef struct {
    const relay_candidate_t          *candidate;
    const relay_host_t               *host;
    const relay_variant_t            *variant;     /* NULL: an unknown path */
    ngx_str_t                        *secret;
    ngx_http_relay_content_t         *content;
    relay_auth_header_t               auth;
    relay_sigv4_credentials_t         credentials;

    unsigned                          is_signed:1;
} ngx_http_relay_outgoing_t;


static ngx_int_t ngx_http_relay_put_request(ngx_http_relay_ctx_t *ctx,
    ngx_str_t *secret);
static void ngx_http_relay_outgoing(ngx_http_relay_ctx_t *ctx,
    ngx_http_relay_outgoing_t *out, ngx_http_relay_content_t *content,
    ngx_str_t *secret);
static size_t ngx_http_relay_header_size(ngx_http_relay_ctx_t *ctx,
    ngx_http_relay_outgoing_t *outgoing);
static ngx_str_t *ngx_http_relay_forwarded(ngx_http_relay_ctx_t *ctx);
static ngx_int_t ngx_http_relay_write_header(ngx_http_relay_ctx_t *ctx,
    ngx_http_relay_outgoing_t *outgoing, relay_buf_t *out,
    ngx_str_t *written);
static void ngx_http_relay_write_auth(ngx_http_relay_outgoing_t *outgoing,
    relay_buf_t *out, ngx_str_t *written);
static ngx_int_t ngx_http_relay_write_signature(ngx_http_relay_ctx_t *ctx,
    ngx_http_relay_outgoing_t *outgoing, relay_span_t target,
    relay_buf_t *out, ngx_str_t *written);
static relay_span_t ngx_http_relay_path(ngx_http_relay_ctx_t *ctx,
    ngx_http_relay_outgoing_t *outgoing);
static void ngx_http_relay_put_path(ngx_http_relay_ctx_t *ctx,
    ngx_http_relay_outgoing_t *outgoing, relay_buf_t *out);
static void ngx_http_relay_put_args(ngx_http_relay_ctx_t *ctx,
    ngx_http_relay_outgoing_t *outgoing, relay_buf_t *out);
static void ngx_http_relay_put_str(relay_buf_t *out, ngx_str_t *text);


/* a sealed secret is open for no longer than it takes to write it down */

ngx_int_t
ngx_http_relay_build_request(ngx_http_relay_ctx_t *ctx)
{
    u_char                       room[NGX_HTTP_RELAY_SECRET_ROOM];
    ngx_int_t                    rc;
    ngx_str_t                    secret;
    const relay_provider_key_t  *key;

    key = ctx->attempt.candidate->key;

    if (key->secret_kind != RELAY_SECRET_SEALED) {
        return ngx_http_relay_put_request(ctx,
                                       &ctx->snapshot->secrets[key->index]);
    }

    if (ctx->rmcf->store == NULL
        || ngx_http_relay_secret_open(&ctx->rmcf->store->opener, key,
                                      ctx->snapshot->places[key->index], room,
                                      &secret)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    rc = ngx_http_relay_put_request(ctx, &secret);

    OPENSSL_cleanse(room, secret.len);

    return rc;
}


/*
 * u->request_bufs: header, then the body with its splices. nginx rewinds each
 * buffer to `start`, so start is always the first byte to send.
 */

static ngx_int_t
ngx_http_relay_put_request(ngx_http_relay_ctx_t *ctx, ngx_str_t *secret)
{
    size_t                      size;
    u_char                     *p, text[RELAY_ENVELOPE_SCRATCH];
    ngx_buf_t                  *b;
    ngx_int_t                   rc;
    relay_buf_t                 scratch, out;
    ngx_uint_t                  copied;
    ngx_chain_t                *cl;
    ngx_pool_cleanup_t         *cln;
    ngx_http_request_t         *r;
    ngx_http_relay_content_t    own, *content;
    ngx_http_relay_outgoing_t   outgoing;

    r = ctx->request;

    scratch = relay_buf(text, sizeof(text));

    content = ngx_http_relay_content_get(ctx, &own, &scratch);
    if (content == NULL) {
        return NGX_ERROR;
    }

    ngx_http_relay_outgoing(ctx, &outgoing, content, secret);

    size = ngx_http_relay_header_size(ctx, &outgoing);
    copied = (size + content->length <= NGX_HTTP_RELAY_COPY_MAX);

    if (copied) {
        size += content->length;
    }

    cln = ngx_pool_cleanup_add(r->pool, sizeof(ngx_str_t));
    b = ngx_calloc_buf(r->pool);
    cl = ngx_alloc_chain_link(r->pool);
    p = ngx_pnalloc(r->pool, size);

    if (cln == NULL || b == NULL || cl == NULL || p == NULL) {
        return NGX_ERROR;
    }

    out = relay_buf(p, size);
    rc = ngx_http_relay_write_header(ctx, &outgoing, &out, cln->data);

    cln->handler = ngx_http_relay_cleanse_key;
    ctx->attempt.request = cln->data;

    if (copied) {
        ngx_http_relay_content_put(content, &out);
    }

    if (rc != NGX_OK || !relay_buf_ok(&out)) {
        return NGX_ERROR;
    }

    b->start = p;
    b->pos = p;
    b->last = p + out.len;
    b->end = b->last;
    b->temporary = 1;

    cl->buf = b;
    cl->next = NULL;

    r->upstream->request_bufs = cl;

    if (copied || content->length == 0) {
        b->flush = 1;
        return NGX_OK;
    }

    return ngx_http_relay_content_chain(content, r->pool, &cl->next);
}


static void
ngx_http_relay_outgoing(ngx_http_relay_ctx_t *ctx,
    ngx_http_relay_outgoing_t *out, ngx_http_relay_content_t *content,
    ngx_str_t *secret)
{
    const relay_wire_t  *wire;

    wire = ctx->attempt.candidate->wire;

    out->candidate = ctx->attempt.candidate;
    out->host = out->candidate->host;
    out->variant = (ctx->match.operation == RELAY_OP_NONE)
                   ? NULL : out->host->variants[wire->index];
    out->secret = secret;
    out->content = content;
    out->auth = relay_host_auth(out->host, wire);

    /* a host of signatures may take bearer keys, too: they look different */

    out->is_signed = out->host->auth_type == RELAY_AUTH_SIGV4
                     && relay_sigv4_credentials(ngx_http_relay_span(secret),
                                                &out->credentials);
}


/* room for what ngx_http_relay_write_header() writes */

static size_t
ngx_http_relay_header_size(ngx_http_relay_ctx_t *ctx,
    ngx_http_relay_outgoing_t *outgoing)
{
    size_t               i, size;
    const relay_host_t  *host;

    host = outgoing->host;

    size = sizeof("  HTTP/1.1" CRLF "Host: " CRLF ": " CRLF
                  "Accept-Encoding: identity" CRLF "Content-Length: " CRLF
                  CRLF)
           + NGX_INT64_LEN + ctx->request->method_name.len
           + host->base_path.len + ctx->match.rest.len + ctx->args.len
           + host->authority.len + ngx_http_relay_forwarded(ctx)->len;

    if (outgoing->variant) {

        /* each byte of the model may be encoded, a dot even twice */

        size += ngx_http_relay_path(ctx, outgoing).len
                + 5 * outgoing->candidate->upstream_model.len
                + ctx->match.method.len + outgoing->variant->counter.len;
    }

    if (outgoing->is_signed) {
        size += RELAY_SIGV4_AUTHORIZATION_MAX + RELAY_SIGV4_DATE_LEN
                + NGX_HTTP_RELAY_SIGNED_ROOM
                + outgoing->credentials.session_token.len;

    } else {
        size += outgoing->auth.header.len + outgoing->auth.prefix.len
                + outgoing->secret->len;
    }

    for (i = 0; i < host->nheaders; i++) {
        size += host->headers[i].name.len + host->headers[i].value.len
                + sizeof(": " CRLF) - 1;
    }

    return size;
}


static ngx_str_t *
ngx_http_relay_forwarded(ngx_http_relay_ctx_t *ctx)
{
    return ctx->attempt.translated ? &ctx->attempt.translated->forward
                                   : &ctx->forward;
}


/* written: becomes the place of the secret in what is written */

static ngx_int_t
ngx_http_relay_write_header(ngx_http_relay_ctx_t *ctx,
    ngx_http_relay_outgoing_t *outgoing, relay_buf_t *out, ngx_str_t *written)
{
    size_t               i, start;
    relay_span_t         target;
    ngx_http_request_t  *r;
    const relay_host_t  *host;

    r = ctx->request;
    host = outgoing->host;

    ngx_http_relay_put_str(out, &r->method_name);
    RELAY_PUT(out, " ");

    start = out->len;
    relay_buf_put(out, host->base_path);
    ngx_http_relay_put_path(ctx, outgoing, out);
    target = relay_span_from(relay_buf_span(out), start);

    RELAY_PUT(out, " HTTP/1.1" CRLF "Host: ");
    relay_buf_put(out, host->authority);
    RELAY_PUT(out, CRLF);

    written->data = NULL;
    written->len = 0;

    if (outgoing->is_signed) {

        if (ngx_http_relay_write_signature(ctx, outgoing, target, out, written)
            != NGX_OK)
        {
            return NGX_ERROR;
        }

    } else if (outgoing->secret->len) {
        ngx_http_relay_write_auth(outgoing, out, written);
    }

    RELAY_PUT(out, "Accept-Encoding: identity" CRLF);

    if (outgoing->content->length
        || !(r->method & (NGX_HTTP_GET|NGX_HTTP_HEAD|NGX_HTTP_DELETE)))
    {
        RELAY_PUT(out, "Content-Length: ");
        relay_buf_put_u64(out, outgoing->content->length);
        RELAY_PUT(out, CRLF);
    }

    ngx_http_relay_put_str(out, ngx_http_relay_forwarded(ctx));

    for (i = 0; i < host->nheaders; i++) {

        if (ctx->attempt.translated == NULL
            && ngx_http_relay_sent_by_client(r, host->headers[i].name)
               == NGX_OK)
        {
            continue;
        }

        relay_buf_put(out, host->headers[i].name);
        RELAY_PUT(out, ": ");
        relay_buf_put(out, host->headers[i].value);
        RELAY_PUT(out, CRLF);
    }

    RELAY_PUT(out, CRLF);

    return NGX_OK;
}


static void
ngx_http_relay_write_auth(ngx_http_relay_outgoing_t *outgoing,
    relay_buf_t *out, ngx_str_t *written)
{
    relay_buf_put(out, outgoing->auth.header);
    RELAY_PUT(out, ": ");
    relay_buf_put(out, outgoing->auth.prefix);

    written->data = out->base + relay_buf_span(out).len;
    ngx_http_relay_put_str(out, outgoing->secret);
    written->len = out->base + relay_buf_span(out).len - written->data;

    RELAY_PUT(out, CRLF);
}


static ngx_int_t
ngx_http_relay_write_signature(ngx_http_relay_ctx_t *ctx,
    ngx_http_relay_outgoing_t *outgoing, relay_span_t target,
    relay_buf_t *out, ngx_str_t *written)
{
    u_char                  *question, date_text[RELAY_SIGV4_DATE_LEN];
    relay_buf_t              date;
    relay_span_t             token;
    relay_sigv4_request_t    request;

    if (ngx_http_relay_content_hash(outgoing->content) != NGX_OK) {
        return NGX_ERROR;
    }

    ngx_memzero(&request, sizeof(relay_sigv4_request_t));

    request.method = ngx_http_relay_span(&ctx->request->method_name);
    request.path = target;
    request.host = outgoing->host->authority;
    request.body_hash = relay_span(outgoing->content->hash,
                                   RELAY_SIGV4_HASH_LEN);
    request.region = outgoing->host->auth_region;
    request.service = outgoing->host->auth_service;
    request.time_s = ngx_time();

    question = ngx_strlchr((u_char *) target.base,
                           (u_char *) target.base + target.len, '?');
    if (question) {
        request.path.len = question - target.base;
        request.query = relay_span_from(target, request.path.len + 1);
    }

    RELAY_PUT(out, "Authorization: ");

    date = relay_buf(date_text, sizeof(date_text));

    if (!relay_sigv4_sign(&request, &outgoing->credentials, out, &date)) {
        return NGX_ERROR;
    }

    RELAY_PUT(out, CRLF "X-Amz-Date: ");
    relay_buf_put(out, relay_buf_span(&date));
    RELAY_PUT(out, CRLF);

    token = outgoing->credentials.session_token;

    if (token.len) {
        RELAY_PUT(out, "X-Amz-Security-Token: ");

        written->data = out->base + relay_buf_span(out).len;
        relay_buf_put(out, token);
        written->len = out->base + relay_buf_span(out).len - written->data;

        RELAY_PUT(out, CRLF);
    }

    return NGX_OK;
}


/* the host's path for what is asked, as configured */

static relay_span_t
ngx_http_relay_path(ngx_http_relay_ctx_t *ctx,
    ngx_http_relay_outgoing_t *outgoing)
{
    const relay_wire_t  *wire;

    wire = outgoing->candidate->wire;

    return (ctx->match.operation == RELAY_OP_GENERATE
            && ctx->envelope.streaming)
           ? outgoing->host->stream_paths[wire->index]
           : outgoing->host->paths[wire->index];
}


/* below the host's path for the format, what the caller has below ours */

static void
ngx_http_relay_put_path(ngx_http_relay_ctx_t *ctx,
    ngx_http_relay_outgoing_t *outgoing, relay_buf_t *out)
{
    relay_span_t              path;
    const relay_candidate_t  *candidate;

    if (outgoing->variant == NULL) {
        relay_buf_put(out, ctx->match.rest);
        ngx_http_relay_put_str(out, &ctx->args);
        return;
    }

    candidate = outgoing->candidate;
    path = ngx_http_relay_path(ctx, outgoing);

    if (ngx_http_relay_content_counts(ctx, outgoing->variant)) {
        relay_variant_put_path(out, path, outgoing->variant->counter);
        return;
    }

    if (ctx->match.operation == RELAY_OP_AUXILIARY && ctx->match.model.len) {
        relay_variant_put_method(out, path, candidate->upstream_model,
                                 ctx->match.method);

    } else if (path.len && memchr(path.base, '{', path.len)) {
        relay_variant_put_path(out, path, candidate->upstream_model);

    } else {
        relay_buf_put(out, path);
    }

    if (ctx->match.operation != RELAY_OP_GENERATE && ctx->match.model.len == 0)
    {
        relay_buf_put(out, relay_span_from(ctx->match.rest,
                                           candidate->wire->path.len));
    }

    ngx_http_relay_put_args(ctx, outgoing, out);
}


/*
 * The caller's parameters are for the format as its vendor serves it. A path
 * with a query of its own takes those that it does not have itself.
 */

static void
ngx_http_relay_put_args(ngx_http_relay_ctx_t *ctx,
    ngx_http_relay_outgoing_t *outgoing, relay_buf_t *out)
{
    u_char        *question, *p, *last, *end, *equals;
    relay_span_t   path, query, name, value;

    if (ctx->args.len == 0 || ctx->attempt.translated
        || outgoing->variant != relay_variant_of(outgoing->candidate->wire))
    {
        return;
    }

    path = ngx_http_relay_path(ctx, outgoing);
    question = path.len ? memchr(path.base, '?', path.len) : NULL;

    if (question == NULL) {
        ngx_http_relay_put_str(out, &ctx->args);
        return;
    }

    query = relay_span_from(path, question + 1 - path.base);
    last = ctx->args.data + ctx->args.len;

    for (p = ctx->args.data + 1; p < last; p = end + 1) {

        end = ngx_strlchr(p, last, '&');
        end = end ? end : last;

        equals = ngx_strlchr(p, end, '=');
        name = relay_span(p, (equals ? equals : end) - p);

        if (!relay_wire_query(query, name, &value)) {
            RELAY_PUT(out, "&");
            relay_buf_put(out, relay_span(p, end - p));
        }
    }
}


static void
ngx_http_relay_put_str(relay_buf_t *out, ngx_str_t *text)
{
    relay_buf_put(out, ngx_http_relay_span(text));
}


void
ngx_http_relay_cleanse_key(void *data)
{
    ngx_str_t  *key = data;

    OPENSSL_cleanse(key->data, key->len);
    key->len = 0;
}
