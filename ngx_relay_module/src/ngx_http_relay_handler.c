
/*
 * The content handler: what is asked, by whom, and who may answer. Decides
 * before the body is read whatever the header decides.
 *
 *   match path -> authenticate -> read body -> model -> attempts
 */


#include "ngx_http_relay.h"

#include <openssl/rand.h>


static ngx_http_relay_ctx_t *ngx_http_relay_create_ctx(ngx_http_request_t *r);
static ngx_int_t ngx_http_relay_pin(ngx_http_relay_ctx_t *ctx);
static void ngx_http_relay_unpin(void *data);
static ngx_int_t ngx_http_relay_request_id(ngx_http_relay_ctx_t *ctx);
static void ngx_http_relay_hex(u_char *to, u_char *bytes, size_t len);
static void ngx_http_relay_route_path(ngx_http_relay_ctx_t *ctx);
static relay_span_t ngx_http_relay_raw_path(ngx_http_request_t *r);
static relay_span_t ngx_http_relay_strip_location(ngx_http_request_t *r,
    relay_span_t path);
static const relay_dialect_t *ngx_http_relay_hint(ngx_http_request_t *r);
static ngx_int_t ngx_http_relay_refused_by_nginx(ngx_http_request_t *r);
static ngx_int_t ngx_http_relay_greeting(ngx_http_relay_ctx_t *ctx);
static ngx_uint_t ngx_http_relay_dot_segments(relay_span_t path);
static ngx_uint_t ngx_http_relay_is_json_request(ngx_http_request_t *r);
static void ngx_http_relay_pass_unknown(ngx_http_relay_ctx_t *ctx);


ngx_int_t
ngx_http_relay_handler(ngx_http_request_t *r)
{
    ngx_int_t              rc;
    ngx_http_relay_ctx_t  *ctx;

    if (r != r->main) {
        return NGX_HTTP_NOT_FOUND;
    }

    ctx = ngx_http_relay_create_ctx(r);
    if (ctx == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ngx_http_relay_route_path(ctx);

    rc = ngx_http_relay_greeting(ctx);

    if (rc != NGX_DECLINED) {
        return rc;
    }

    rc = ngx_http_relay_authenticate(ctx);

    return (rc == NGX_DECLINED) ? ngx_http_relay_dispatch(ctx) : rc;
}


static ngx_http_relay_ctx_t *
ngx_http_relay_create_ctx(ngx_http_request_t *r)
{
    ngx_http_relay_ctx_t  *ctx;

    /* what is not zeroed is filled before it is read */

    ctx = ngx_palloc(r->pool, sizeof(ngx_http_relay_ctx_t));
    if (ctx == NULL) {
        return NULL;
    }

    ngx_memzero(ctx, offsetof(ngx_http_relay_ctx_t, stream));

    ctx->conf = ngx_palloc(r->pool, sizeof(ngx_http_upstream_conf_t));
    if (ctx->conf == NULL) {
        return NULL;
    }

    ctx->request = r;
    ctx->rmcf = ngx_http_get_module_main_conf(r, ngx_relay_module);

    if (ngx_http_relay_pin(ctx) != NGX_OK) {
        return NULL;
    }

    ctx->received_us = ngx_http_relay_now_us();

    if (ngx_http_relay_request_id(ctx) != NGX_OK) {
        return NULL;
    }

    ngx_http_set_ctx(r, ctx, ngx_relay_module);

    return ctx;
}


/* until the log is written, which names things of the snapshot */

static ngx_int_t
ngx_http_relay_pin(ngx_http_relay_ctx_t *ctx)
{
    ngx_pool_cleanup_t  *cln;

    cln = ngx_pool_cleanup_add(ctx->request->pool, 0);
    if (cln == NULL) {
        return NGX_ERROR;
    }

    ctx->snapshot = ngx_http_relay_snapshot_pin(ctx->rmcf->snapshot);

    cln->handler = ngx_http_relay_unpin;
    cln->data = ctx;

    return NGX_OK;
}


static void
ngx_http_relay_unpin(void *data)
{
    ngx_http_relay_ctx_t *ctx = data;

    ngx_http_relay_snapshot_release(ctx->snapshot);
}


/* the caller's own x-relay-request-id if it is harmless, else a new one */

static ngx_int_t
ngx_http_relay_request_id(ngx_http_relay_ctx_t *ctx)
{
    size_t            i;
    u_char            ch, random[NGX_HTTP_RELAY_REQUEST_ID_LEN / 2];
    ngx_table_elt_t  *h;

    if (ngx_http_relay_random(random, sizeof(random)) != NGX_OK) {
        return NGX_ERROR;
    }

    ngx_http_relay_hex(ctx->request_id_data, random, sizeof(random));

    ctx->request_id.data = ctx->request_id_data;
    ctx->request_id.len = NGX_HTTP_RELAY_REQUEST_ID_LEN;

    h = ngx_http_relay_request_header(ctx->request, "x-relay-request-id",
                                      sizeof("x-relay-request-id") - 1);

    if (h == NULL || h->value.len == 0 || h->value.len > 64) {
        return NGX_OK;
    }

    for (i = 0; i < h->value.len; i++) {
        ch = h->value.data[i];

        if (!((ch >= '0' && ch <= '9') || ch == '_' || ch == '-'
              || ((ch | 0x20) >= 'a' && (ch | 0x20) <= 'z')))
        {
            return NGX_OK;
        }
    }

    ctx->request_id = h->value;

    return NGX_OK;
}


/*
 * Random bytes as hexadecimal digits, in no order that matters: eight bytes a
 * step, first the digits of their lower halves. len is a multiple of eight.
 */

static void
ngx_http_relay_hex(u_char *to, u_char *bytes, size_t len)
{
    size_t     i;
    uint64_t   eight, letters, halves[2];

    const uint64_t  each = 0x0101010101010101;

    for (/* void */; len; len -= 8, bytes += 8) {

        ngx_memcpy(&eight, bytes, 8);

        halves[0] = eight & each * 0x0f;
        halves[1] = eight >> 4 & each * 0x0f;

        for (i = 0; i < 2; i++) {
            letters = (halves[i] + each * 6) >> 4 & each;
            halves[i] += each * '0' + letters * ('a' - '0' - 10);
        }

        to = ngx_cpymem(to, halves, 16);
    }
}


/* from a store of random bytes, filled 4 KB at a time, one per worker */

ngx_int_t
ngx_http_relay_random(u_char *bytes, size_t len)
{
    static u_char      store[4096];
    static size_t      left;
    static ngx_pid_t   owner;

    if (left < len || owner != ngx_pid) {

        if (RAND_bytes(store, sizeof(store)) != 1) {
            return NGX_ERROR;
        }

        left = sizeof(store);
        owner = ngx_pid;
    }

    left -= len;
    ngx_memcpy(bytes, store + left, len);
    ngx_memzero(store + left, len);

    return NGX_OK;
}


static void
ngx_http_relay_route_path(ngx_http_relay_ctx_t *ctx)
{
    relay_match_t           match;
    relay_span_t            path, stripped;
    ngx_http_request_t     *r;
    const relay_dialect_t  *hint;

    r = ctx->request;

    path = ngx_http_relay_raw_path(r);
    hint = ngx_http_relay_hint(r);

    relay_wire_match(path, hint, &ctx->match);

    if (ctx->match.operation == RELAY_OP_NONE && ctx->match.rest.len == 0) {

        /* "location /llm/": the caller's base URL ends there */

        stripped = ngx_http_relay_strip_location(r, path);
        ctx->root = stripped.len == 0
                    || relay_span_eq(stripped, RELAY_SPAN("/"));

        if (stripped.len != path.len) {
            relay_wire_match(stripped, hint, &match);
            ctx->match = match;
        }
    }

    if (r->args.len) {
        ctx->args.data = r->args.data - 1;
        ctx->args.len = r->args.len + 1;
    }

    if (ctx->match.streaming
        && relay_wire_wants_list(ctx->match.dialect,
                                 ngx_http_relay_span(&r->args)))
    {
        /* a list of one whole answer is a good list */

        ctx->match.streaming = 0;
        ctx->as_list = 1;
    }
}


/* as sent, %2F and all, but for the doubled slashes of pasted base URLs */

static relay_span_t
ngx_http_relay_raw_path(ngx_http_request_t *r)
{
    size_t       i, len;
    u_char      *p, *path, *last;
    ngx_uint_t   doubled;

    p = r->unparsed_uri.data;
    doubled = 0;

    for (len = 0; len < r->unparsed_uri.len && p[len] != '?'
                  && p[len] != '#'; len++)
    {
        if (p[len] == '/' && len && p[len - 1] == '/') {
            doubled = 1;
        }
    }

    if (!doubled) {
        return relay_span(p, len);
    }

    path = ngx_pnalloc(r->pool, len);
    if (path == NULL) {
        return relay_span(p, len);
    }

    last = path;

    for (i = 0; i < len; i++) {
        if (p[i] != '/' || last == path || last[-1] != '/') {
            *last++ = p[i];
        }
    }

    return relay_span(path, last - path);
}


static relay_span_t
ngx_http_relay_strip_location(ngx_http_request_t *r, relay_span_t path)
{
    size_t                     len;
    relay_span_t               name;
    ngx_http_core_loc_conf_t  *clcf;

    clcf = ngx_http_get_module_loc_conf(r, ngx_http_core_module);

    len = clcf->name.len;

    if (len && clcf->name.data[len - 1] == '/') {
        len--;
    }

    name = relay_span(clcf->name.data, len);

    if (len == 0 || clcf->exact_match || !relay_span_starts(path, name)) {
        return path;
    }

    return relay_span_from(path, len);
}


/* the dialect whose marker the request carries */

static const relay_dialect_t *
ngx_http_relay_hint(ngx_http_request_t *r)
{
    unsigned                i;
    relay_span_t            marker;
    const relay_dialect_t  *dialect;

    for (i = 0; (dialect = relay_dialect_at(i)) != NULL; i++) {
        marker = dialect->marker_header;

        if (marker.len && ngx_http_relay_sent_by_client(r, marker) == NGX_OK) {
            return dialect;
        }
    }

    return NULL;
}


/*
 * Requests that nginx itself turns down, sent here by error_page so that they
 * too are answered in the caller's dialect: config/relay_server.conf.
 */

static ngx_int_t
ngx_http_relay_refused_by_nginx(ngx_http_request_t *r)
{
    relay_error_t  error;

    ngx_memzero(&error, sizeof(relay_error_t));

    error.code = RELAY_ERR_INVALID_REQUEST;
    error.status = r->err_status;

    switch (r->err_status) {

    case NGX_HTTP_REQUEST_ENTITY_TOO_LARGE:
        error.code = RELAY_ERR_BODY_TOO_LARGE;
        break;

    case NGX_HTTP_REQUEST_TIME_OUT:
        error.code = RELAY_ERR_BODY_TIMEOUT;
        break;

    case NGX_HTTP_REQUEST_URI_TOO_LARGE:
        error.message = RELAY_SPAN("The request line is too long.");
        break;

    case 431:
        error.message = RELAY_SPAN("A request header is too large.");
        break;

    case NGX_HTTP_NOT_ALLOWED:
        error.code = RELAY_ERR_METHOD_NOT_ALLOWED;
        break;

    case NGX_HTTP_INTERNAL_SERVER_ERROR:
        error.code = RELAY_ERR_INTERNAL;
        break;
    }

    r->err_status = 0;

    return ngx_http_relay_refuse(r, &error);
}


/* what needs no key: probes of the base URL, preflights, upgrades */

static ngx_int_t
ngx_http_relay_greeting(ngx_http_relay_ctx_t *ctx)
{
    ngx_http_request_t  *r;

    r = ctx->request;

    if (r->internal && r->err_status >= NGX_HTTP_BAD_REQUEST) {
        return ngx_http_relay_refused_by_nginx(r);
    }

    if (r->method == NGX_HTTP_OPTIONS) {
        return ngx_http_relay_send_empty(r, NGX_HTTP_NO_CONTENT);
    }

    if (ctx->root && (r->method & (NGX_HTTP_GET|NGX_HTTP_HEAD))) {
        return ngx_http_relay_send_empty(r, NGX_HTTP_OK);
    }

    if (r->headers_in.upgrade
        && ngx_http_relay_request_header(r, "sec-websocket-key",
                                         sizeof("sec-websocket-key") - 1))
    {
        return ngx_http_relay_refuse_code(r, RELAY_ERR_UPGRADE_REQUIRED);
    }

    return NGX_DECLINED;
}


ngx_int_t
ngx_http_relay_dispatch(ngx_http_relay_ctx_t *ctx)
{
    ngx_uint_t           allowed;
    ngx_http_request_t  *r;

    r = ctx->request;

    if (ctx->match.operation != RELAY_OP_NONE) {

        allowed = ctx->match.get ? (NGX_HTTP_GET|NGX_HTTP_HEAD)
                                 : NGX_HTTP_POST;

        if (!(r->method & allowed)) {
            return ngx_http_relay_refuse_code(r,
                                              RELAY_ERR_METHOD_NOT_ALLOWED);
        }
    }

    switch (ctx->match.operation) {

    case RELAY_OP_MODEL_LIST:
    case RELAY_OP_MODEL:
        return ngx_http_relay_send_models(r);

    case RELAY_OP_GENERATE:
    case RELAY_OP_AUXILIARY:

        if (!ngx_http_relay_is_json_request(r)) {
            return ngx_http_relay_refuse_code(r, RELAY_ERR_CONTENT_TYPE);
        }

        break;

    default:

        if (ctx->match.rest.len == 0
            || !ctx->key->policy->passthrough
            || ngx_http_relay_dot_segments(ctx->match.rest))
        {
            return ngx_http_relay_refuse_code(r, RELAY_ERR_PATH_NOT_FOUND);
        }
    }

    return ngx_http_relay_read_body(r);
}


/* a missing type is taken for JSON; curl's default for -d is not */

static ngx_uint_t
ngx_http_relay_is_json_request(ngx_http_request_t *r)
{
    relay_span_t  media;

    if (r->headers_in.content_type == NULL) {
        return 1;
    }

    media = ngx_http_relay_media_type(&r->headers_in.content_type->value);

    return relay_span_case_eq(media, RELAY_SPAN("application/json"))
           || (media.len > 5
               && relay_span_case_eq(relay_span_from(media, media.len - 5),
                                     RELAY_SPAN("+json")));
}


/* "/../" in any spelling would leave the provider's base path */

static ngx_uint_t
ngx_http_relay_dot_segments(relay_span_t path)
{
    size_t       i, dots;
    ngx_uint_t   start, other;

    start = 1;
    dots = 0;
    other = 0;

    for (i = 0; i <= path.len; i++) {

        if (i == path.len || path.base[i] == '/' || path.base[i] == '\\') {

            if (!start && !other && (dots == 1 || dots == 2)) {
                return 1;
            }

            start = 1;
            dots = 0;
            other = 0;
            continue;
        }

        start = 0;

        if (path.base[i] == '.') {
            dots++;

        } else if (path.len - i >= 3
                   && ngx_strncasecmp((u_char *) path.base + i,
                                      (u_char *) "%2e", 3)
                      == 0)
        {
            dots++;
            i += 2;

        } else {
            other = 1;
        }
    }

    return 0;
}


void
ngx_http_relay_body_done(ngx_http_request_t *r)
{
    ngx_http_relay_ctx_t  *ctx;

    ctx = ngx_http_relay_ctx(r);

    if (ctx->match.operation == RELAY_OP_NONE) {
        ngx_http_relay_pass_unknown(ctx);
        return;
    }

    ngx_http_relay_model(ctx);
}


static void
ngx_http_relay_pass_unknown(ngx_http_relay_ctx_t *ctx)
{
    uint64_t             random;
    relay_plan_t         plan;
    relay_error_t        error;
    ngx_http_request_t  *r;

    r = ctx->request;

    ngx_memzero(&error, sizeof(relay_error_t));

    if (ngx_http_relay_random((u_char *) &random, sizeof(random)) != NGX_OK) {
        ngx_http_finalize_request(r, NGX_HTTP_INTERNAL_SERVER_ERROR);
        return;
    }

    if (relay_route_passthrough(ctx->snapshot->config, ctx->key,
                                ctx->match.dialect, random, &plan, &error)
        != RELAY_ERR_NONE)
    {
        ngx_http_finalize_request(r, ngx_http_relay_refuse(r, &error));
        return;
    }

    if (ngx_http_relay_keep_plan(ctx, &plan) != NGX_OK) {
        ngx_http_finalize_request(r, NGX_HTTP_INTERNAL_SERVER_ERROR);
        return;
    }

    ngx_http_relay_upstream_start(r);
}
