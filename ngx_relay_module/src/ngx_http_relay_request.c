
/*
 * The request of one attempt: its line, its headers with the provider's
 * credential, and the body with what has to be spliced in it. Built afresh for
 * each attempt, from the client's bytes or from what was translated of them.
 */


#include "ngx_http_relay_store.h"
#include "ngx_http_relay_translate.h"

#include "sigv4.h"
#include "wire_headers.h"

#include <openssl/crypto.h>


/* requests up to this size are sent from one buffer */
#define NGX_HTTP_RELAY_COPY_MAX       16384

/* beta features of a caller that go into the body: names and quotes */
#define NGX_HTTP_RELAY_BETAS_MAX      4096

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
    ngx_str_t                        *body;
    relay_edit_t                      edits[RELAY_EDITS_MAX];
    size_t                            nedits;
    size_t                            length;      /* of the body as sent */
    relay_auth_header_t               auth;
    relay_sigv4_credentials_t         credentials;

    unsigned                          is_signed:1;
} ngx_http_relay_outgoing_t;


static ngx_int_t ngx_http_relay_put_request(ngx_http_relay_ctx_t *ctx,
    ngx_str_t *secret);
static void ngx_http_relay_outgoing(ngx_http_relay_ctx_t *ctx,
    ngx_http_relay_outgoing_t *out, ngx_str_t *secret);
static ngx_int_t ngx_http_relay_edits(ngx_http_relay_ctx_t *ctx,
    ngx_http_relay_outgoing_t *outgoing, relay_buf_t *scratch);
static ngx_int_t ngx_http_relay_variant_edits(ngx_http_relay_ctx_t *ctx,
    ngx_http_relay_outgoing_t *outgoing);
static ngx_int_t ngx_http_relay_betas(ngx_http_relay_ctx_t *ctx,
    ngx_http_relay_outgoing_t *outgoing, relay_buf_t *betas);
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
static ngx_int_t ngx_http_relay_hash_body(ngx_http_relay_ctx_t *ctx,
    ngx_http_relay_outgoing_t *outgoing, u_char *hash);
static relay_span_t ngx_http_relay_path(ngx_http_relay_ctx_t *ctx,
    ngx_http_relay_outgoing_t *outgoing);
static void ngx_http_relay_put_path(ngx_http_relay_ctx_t *ctx,
    ngx_http_relay_outgoing_t *outgoing, relay_buf_t *out);
static void ngx_http_relay_put_args(ngx_http_relay_ctx_t *ctx,
    ngx_http_relay_outgoing_t *outgoing, relay_buf_t *out);
static void ngx_http_relay_put_str(relay_buf_t *out, ngx_str_t *text);
static void ngx_http_relay_put_body(ngx_str_t *body, relay_buf_t *out,
    relay_edit_t *edits, size_t nedits);
static ngx_int_t ngx_http_relay_chain_body(ngx_pool_t *pool, ngx_str_t *body,
    ngx_chain_t **last, relay_edit_t *edits, size_t nedits);
static ngx_int_t ngx_http_relay_chain_span(ngx_pool_t *pool,
    ngx_chain_t ***last, relay_span_t text);


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
    ngx_http_relay_outgoing_t   outgoing;

    r = ctx->request;

    ngx_http_relay_outgoing(ctx, &outgoing, secret);

    scratch = relay_buf(text, sizeof(text));

    if (ngx_http_relay_edits(ctx, &outgoing, &scratch) != NGX_OK) {
        return NGX_ERROR;
    }

    size = ngx_http_relay_header_size(ctx, &outgoing);
    copied = (size + outgoing.length <= NGX_HTTP_RELAY_COPY_MAX);

    if (copied) {
        size += outgoing.length;
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
        ngx_http_relay_put_body(outgoing.body, &out, outgoing.edits,
                                outgoing.nedits);
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

    if (copied || outgoing.length == 0) {
        b->flush = 1;
        return NGX_OK;
    }

    return ngx_http_relay_chain_body(r->pool, outgoing.body, &cl->next,
                                     outgoing.edits, outgoing.nedits);
}


static void
ngx_http_relay_outgoing(ngx_http_relay_ctx_t *ctx,
    ngx_http_relay_outgoing_t *out, ngx_str_t *secret)
{
    const relay_wire_t  *wire;

    wire = ctx->attempt.candidate->wire;

    out->candidate = ctx->attempt.candidate;
    out->host = out->candidate->host;
    out->variant = (ctx->match.operation == RELAY_OP_NONE)
                   ? NULL : out->host->variants[wire->index];
    out->secret = secret;
    out->body = ctx->attempt.translated ? &ctx->attempt.translated->body
                                        : &ctx->body;
    out->nedits = 0;
    out->auth = relay_host_auth(out->host, wire);

    /* a host of signatures may take bearer keys, too: they look different */

    out->is_signed = out->host->auth_type == RELAY_AUTH_SIGV4
                     && relay_sigv4_credentials(ngx_http_relay_span(secret),
                                                &out->credentials);
}


static ngx_int_t
ngx_http_relay_edits(ngx_http_relay_ctx_t *ctx,
    ngx_http_relay_outgoing_t *outgoing, relay_buf_t *scratch)
{
    size_t                 i;
    relay_edit_options_t   options;

    if (ctx->match.operation == RELAY_OP_GENERATE
        || ctx->match.operation == RELAY_OP_AUXILIARY)
    {
        if (outgoing->variant->model_in_path) {

            if (ngx_http_relay_variant_edits(ctx, outgoing) != NGX_OK) {
                return NGX_ERROR;
            }

        } else if (ctx->attempt.translated == NULL) {

            options.model = outgoing->candidate->upstream_model;
            options.ask_usage = outgoing->host->stream_usage
                                && ctx->match.operation == RELAY_OP_GENERATE;

            outgoing->nedits = outgoing->candidate->wire->edits(&ctx->envelope,
                                                                &options,
                                                                outgoing->edits,
                                                                scratch);

            if (!relay_buf_ok(scratch)) {
                return NGX_ERROR;
            }
        }
    }

    outgoing->length = outgoing->body->len;

    for (i = 0; i < outgoing->nedits; i++) {
        outgoing->length = outgoing->length - outgoing->edits[i].removed
                           + outgoing->edits[i].text.len;
    }

    return NGX_OK;
}


/* the model goes from the body to the path, and what else the variant wants */

static ngx_int_t
ngx_http_relay_variant_edits(ngx_http_relay_ctx_t *ctx,
    ngx_http_relay_outgoing_t *outgoing)
{
    size_t             size;
    u_char            *p;
    relay_buf_t        betas, scratch;
    relay_error_t      error;
    relay_envelope_t   envelope;

    betas = relay_buf(NULL, 0);

    if (outgoing->variant->betas_in_body
        && ngx_http_relay_betas(ctx, outgoing, &betas) != NGX_OK)
    {
        return NGX_ERROR;
    }

    size = 5 * betas.len + RELAY_ENVELOPE_SCRATCH;

    p = ngx_pnalloc(ctx->request->pool, size);
    if (p == NULL) {
        return NGX_ERROR;
    }

    scratch = relay_buf(p, size);
    envelope = ctx->envelope;

    if (ctx->attempt.translated) {

        ngx_memzero(&error, sizeof(relay_error_t));

        /* of ours, so it is valid; of the model only its place matters */

        if (relay_envelope_read_path(ngx_http_relay_span(outgoing->body),
                                     RELAY_SPAN("model"),
                                     ctx->envelope.streaming, &envelope,
                                     &scratch, &error)
            != RELAY_ERR_NONE)
        {
            return NGX_ERROR;
        }
    }

    outgoing->nedits = relay_variant_edits(outgoing->variant, &envelope,
                                           relay_buf_span(&betas),
                                           outgoing->edits, &scratch);

    return relay_buf_ok(&scratch) ? NGX_OK : NGX_ERROR;
}


/* all that the caller names, however many headers they are in */

static ngx_int_t
ngx_http_relay_betas(ngx_http_relay_ctx_t *ctx,
    ngx_http_relay_outgoing_t *outgoing, relay_buf_t *betas)
{
    u_char           *p;
    relay_span_t      name;
    ngx_uint_t        i;
    ngx_list_part_t  *part;
    ngx_table_elt_t  *h;

    name = relay_wire_beta_header(outgoing->candidate->wire);

    if (name.len == 0 || ctx->attempt.translated) {
        return NGX_OK;
    }

    p = ngx_pnalloc(ctx->request->pool, NGX_HTTP_RELAY_BETAS_MAX);
    if (p == NULL) {
        return NGX_ERROR;
    }

    *betas = relay_buf(p, NGX_HTTP_RELAY_BETAS_MAX);

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

            if (betas->len) {
                RELAY_PUT(betas, ",");
            }

            ngx_http_relay_put_str(betas, &h[i].value);
        }
    }

    return relay_buf_ok(betas) ? NGX_OK : NGX_ERROR;
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
                + ctx->match.method.len;
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

    if (outgoing->length
        || !(r->method & (NGX_HTTP_GET|NGX_HTTP_HEAD|NGX_HTTP_DELETE)))
    {
        RELAY_PUT(out, "Content-Length: ");
        relay_buf_put_u64(out, outgoing->length);
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
    u_char                  *question, hash[RELAY_SIGV4_HASH_LEN],
                             date_text[RELAY_SIGV4_DATE_LEN];
    relay_buf_t              date;
    relay_span_t             token;
    relay_sigv4_request_t    request;

    if (ngx_http_relay_hash_body(ctx, outgoing, hash) != NGX_OK) {
        return NGX_ERROR;
    }

    ngx_memzero(&request, sizeof(relay_sigv4_request_t));

    request.method = ngx_http_relay_span(&ctx->request->method_name);
    request.path = target;
    request.host = outgoing->host->authority;
    request.body_hash = relay_span(hash, sizeof(hash));
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


static ngx_int_t
ngx_http_relay_hash_body(ngx_http_relay_ctx_t *ctx,
    ngx_http_relay_outgoing_t *outgoing, u_char *hash)
{
    size_t         i, n, offset;
    relay_span_t   body, pieces[2 * RELAY_EDITS_MAX + 1];
    relay_edit_t  *edit;

    body = ngx_http_relay_span(outgoing->body);
    offset = 0;
    n = 0;

    for (i = 0; i < outgoing->nedits; i++) {
        edit = &outgoing->edits[i];

        pieces[n++] = relay_span(body.base + offset, edit->offset - offset);
        pieces[n++] = edit->text;
        offset = edit->offset + edit->removed;
    }

    pieces[n++] = relay_span_from(body, offset);

    return relay_sigv4_hash(pieces, n, hash) ? NGX_OK : NGX_ERROR;
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


static void
ngx_http_relay_put_body(ngx_str_t *body, relay_buf_t *out,
    relay_edit_t *edits, size_t nedits)
{
    size_t  i, offset;

    offset = 0;

    for (i = 0; i < nedits; i++) {
        relay_buf_put(out, relay_span(body->data + offset,
                                      edits[i].offset - offset));
        relay_buf_put(out, edits[i].text);
        offset = edits[i].offset + edits[i].removed;
    }

    relay_buf_put(out, relay_span(body->data + offset,
                                  body->len - offset));
}


/* the same without a copy of the body */

static ngx_int_t
ngx_http_relay_chain_body(ngx_pool_t *pool, ngx_str_t *body,
    ngx_chain_t **last, relay_edit_t *edits, size_t nedits)
{
    u_char  *text;
    size_t   i, offset;

    offset = 0;

    for (i = 0; i < nedits; i++) {

        if (ngx_http_relay_chain_span(pool, &last,
                                      relay_span(body->data + offset,
                                                 edits[i].offset - offset))
            != NGX_OK)
        {
            return NGX_ERROR;
        }

        /* the edit's text lives on our caller's stack */

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
                                     relay_span(body->data + offset,
                                                body->len - offset));
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


void
ngx_http_relay_cleanse_key(void *data)
{
    ngx_str_t  *key = data;

    OPENSSL_cleanse(key->data, key->len);
    key->len = 0;
}
