
/*
 * The relay key as a request presents it: in a header of ours, as a bearer
 * token, in the header or the query parameter of a vendor. One in the query is
 * taken out of it, out of what goes to the provider, and out of the texts that
 * nginx logs.
 */


#include "ngx_http_relay.h"


static relay_span_t ngx_http_relay_key_of_headers(ngx_http_request_t *r);
static relay_span_t ngx_http_relay_bearer(ngx_str_t *value);
static ngx_int_t ngx_http_relay_key_of_query(ngx_http_relay_ctx_t *ctx,
    relay_span_t *key);
static ngx_int_t ngx_http_relay_decode_key(ngx_pool_t *pool,
    relay_span_t value, relay_span_t *key);
static ngx_int_t ngx_http_relay_strip_args(ngx_http_relay_ctx_t *ctx,
    relay_span_t name);
static void ngx_http_relay_blank(ngx_str_t *text, ngx_str_t *secret);


ngx_int_t
ngx_http_relay_presented_key(ngx_http_relay_ctx_t *ctx, relay_span_t *key)
{
    relay_span_t  of_query;

    *key = ngx_http_relay_key_of_headers(ctx->request);

    if (ctx->args.len == 0 || ctx->match.dialect->key_query.len == 0) {
        return NGX_OK;
    }

    of_query = relay_span(NULL, 0);

    if (ngx_http_relay_key_of_query(ctx, &of_query) != NGX_OK) {
        return NGX_ERROR;
    }

    if (key->len == 0) {
        *key = of_query;
    }

    return NGX_OK;
}


static relay_span_t
ngx_http_relay_key_of_headers(ngx_http_request_t *r)
{
    unsigned                i;
    relay_span_t            key, name;
    ngx_table_elt_t        *h;
    const relay_dialect_t  *dialect;

    h = ngx_http_relay_request_header(r, "x-relay-key",
                                      sizeof("x-relay-key") - 1);

    if (h) {
        return ngx_http_relay_span(&h->value);
    }

    h = ngx_http_relay_request_header(r, "authorization",
                                      sizeof("authorization") - 1);

    key = h ? ngx_http_relay_bearer(&h->value) : relay_span(NULL, 0);

    if (key.len) {
        return key;
    }

    h = ngx_http_relay_request_header(r, "x-api-key",
                                      sizeof("x-api-key") - 1);

    for (i = 0; h == NULL && (dialect = relay_dialect_at(i)) != NULL; i++) {
        name = dialect->key_header;

        if (name.len) {
            h = ngx_http_relay_request_header(r, (const char *) name.base,
                                              name.len);
        }
    }

    return h ? ngx_http_relay_span(&h->value) : relay_span(NULL, 0);
}


/* what follows "Bearer ", or nothing */

static relay_span_t
ngx_http_relay_bearer(ngx_str_t *value)
{
    relay_span_t  key;

    if (value->len <= sizeof("Bearer ") - 1
        || ngx_strncasecmp(value->data, (u_char *) "Bearer ",
                           sizeof("Bearer ") - 1)
           != 0)
    {
        return relay_span(NULL, 0);
    }

    key = relay_span_from(ngx_http_relay_span(value), sizeof("Bearer ") - 1);

    while (key.len && key.base[0] == ' ') {
        key = relay_span_from(key, 1);
    }

    return key;
}


static ngx_int_t
ngx_http_relay_key_of_query(ngx_http_relay_ctx_t *ctx, relay_span_t *key)
{
    ngx_str_t            secret;
    relay_span_t         name, value;
    ngx_http_request_t  *r;

    r = ctx->request;
    name = ctx->match.dialect->key_query;

    if (!relay_wire_query(ngx_http_relay_span(&r->args), name, &value)) {
        return NGX_OK;
    }

    secret.len = value.len;
    secret.data = ngx_pnalloc(r->pool, value.len + 1);

    if (secret.data == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(secret.data, value.base, value.len);

    if (ngx_http_relay_decode_key(r->pool, value, key) != NGX_OK
        || ngx_http_relay_strip_args(ctx, name) != NGX_OK)
    {
        return NGX_ERROR;
    }

    ngx_http_relay_blank(&r->request_line, &secret);
    ngx_http_relay_blank(&r->unparsed_uri, &secret);
    ngx_http_relay_blank(&r->args, &secret);

    return NGX_OK;
}


static ngx_int_t
ngx_http_relay_decode_key(ngx_pool_t *pool, relay_span_t value,
    relay_span_t *key)
{
    u_char  *p, *dst, *src;

    p = ngx_pnalloc(pool, value.len + 1);
    if (p == NULL) {
        return NGX_ERROR;
    }

    dst = p;
    src = (u_char *) value.base;

    ngx_unescape_uri(&dst, &src, value.len, 0);

    *key = relay_span(p, dst - p);

    return NGX_OK;
}


/* ctx->args without the parameters of that name; a copy: r->args is blanked */

static ngx_int_t
ngx_http_relay_strip_args(ngx_http_relay_ctx_t *ctx, relay_span_t name)
{
    u_char        *p, *q, *last, *end;
    relay_span_t   value;
    ngx_str_t      kept;

    kept.data = ngx_pnalloc(ctx->request->pool, ctx->args.len + 1);
    if (kept.data == NULL) {
        return NGX_ERROR;
    }

    q = kept.data;
    last = ctx->args.data + ctx->args.len;

    for (p = ctx->args.data + 1; p < last; p = end + 1) {

        end = ngx_strlchr(p, last, '&');
        end = end ? end : last;

        if (end == p || relay_wire_query(relay_span(p, end - p), name, &value))
        {
            continue;
        }

        *q = (q == kept.data) ? '?' : '&';
        q = ngx_cpymem(q + 1, p, end - p);
    }

    kept.len = q - kept.data;
    ctx->args = kept;

    return NGX_OK;
}


static void
ngx_http_relay_blank(ngx_str_t *text, ngx_str_t *secret)
{
    u_char  *p, *last;

    p = text->data;
    last = text->data + text->len;

    while (secret->len && (size_t) (last - p) >= secret->len) {

        p = memmem(p, last - p, secret->data, secret->len);
        if (p == NULL) {
            return;
        }

        ngx_memset(p, '*', secret->len);
        p += secret->len;
    }
}
