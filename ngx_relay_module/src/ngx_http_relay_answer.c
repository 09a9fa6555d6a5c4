
/*
 * Answers that Relay gives itself: errors in the caller's dialect, model
 * lists, the echo model, and the last word after every candidate has failed.
 */


#include "ngx_http_relay.h"

#include "wire_headers.h"


static ngx_int_t ngx_http_relay_send(ngx_http_request_t *r, ngx_uint_t status,
    const char *type, ngx_str_t *body);
static ngx_int_t ngx_http_relay_write_error(ngx_http_relay_ctx_t *ctx,
    relay_error_t *error, ngx_str_t *body);
static ngx_int_t ngx_http_relay_add_allow(ngx_http_relay_ctx_t *ctx);
static ngx_int_t ngx_http_relay_prefix_models(ngx_http_relay_ctx_t *ctx,
    relay_model_view_t *views, size_t count);
static ngx_int_t ngx_http_relay_one_model(ngx_http_relay_ctx_t *ctx,
    relay_model_view_t *views, size_t count, ngx_str_t *body);
static ngx_int_t ngx_http_relay_list_models(ngx_http_relay_ctx_t *ctx,
    relay_model_view_t *views, size_t count, ngx_str_t *body);


ngx_int_t
ngx_http_relay_refuse_code(ngx_http_request_t *r, relay_error_code_t code)
{
    relay_error_t  error;

    ngx_memzero(&error, sizeof(relay_error_t));
    error.code = code;

    return ngx_http_relay_refuse(r, &error);
}


ngx_int_t
ngx_http_relay_refuse(ngx_http_request_t *r, relay_error_t *error)
{
    ngx_int_t              rc;
    ngx_str_t              body;
    ngx_uint_t             status;
    ngx_http_relay_ctx_t  *ctx;

    ctx = ngx_http_relay_ctx(r);
    ctx->error = error->code;

    if (r->headers_in.expect && !r->expect_tested) {

        /* the client waits to be told to send its body: it need not */

        r->expect_tested = 1;
        r->keepalive = 0;
    }

    rc = ngx_http_discard_request_body(r);

    if (rc != NGX_OK) {
        return rc;
    }

    if (ngx_http_relay_write_error(ctx, error, &body) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    status = ctx->match.dialect->status(error);

    if (ngx_http_relay_set_headers(ctx, NULL, status, error->retry_after_s)
        != NGX_OK
        || (status == NGX_HTTP_NOT_ALLOWED
            && ngx_http_relay_add_allow(ctx) != NGX_OK))
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return ngx_http_relay_send(r, status, "application/json", &body);
}


/* the methods that the path takes; unknown ones pass with any */

static ngx_int_t
ngx_http_relay_add_allow(ngx_http_relay_ctx_t *ctx)
{
    ngx_str_t  value;

    if (ctx->match.operation == RELAY_OP_NONE) {
        ngx_str_set(&value, "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");

    } else if (ctx->match.get) {
        ngx_str_set(&value, "GET, HEAD, OPTIONS");

    } else {
        ngx_str_set(&value, "POST, OPTIONS");
    }

    return ngx_http_relay_add_header(ctx->request, "allow",
                                     sizeof("allow") - 1, &value);
}


static ngx_int_t
ngx_http_relay_write_error(ngx_http_relay_ctx_t *ctx, relay_error_t *error,
    ngx_str_t *body)
{
    relay_buf_t              out;
    const relay_dialect_t   *dialect;

    dialect = ctx->match.dialect;

    out = relay_buf(NULL, 0);
    dialect->error(&out, error, ngx_http_relay_span(&ctx->request_id));

    body->data = ngx_pnalloc(ctx->request->pool, out.len + 1);
    if (body->data == NULL) {
        return NGX_ERROR;
    }

    out = relay_buf(body->data, out.len);
    dialect->error(&out, error, ngx_http_relay_span(&ctx->request_id));

    body->len = out.len;

    return NGX_OK;
}


ngx_int_t
ngx_http_relay_send_json(ngx_http_request_t *r, ngx_uint_t status,
    ngx_str_t *body)
{
    ngx_http_relay_ctx_t  *ctx;

    ctx = ngx_http_relay_ctx(r);

    if (ngx_http_relay_set_headers(ctx, NULL, status, 0) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return ngx_http_relay_send(r, status, "application/json", body);
}


ngx_int_t
ngx_http_relay_wrap(ngx_http_relay_ctx_t *ctx, ngx_str_t *body)
{
    u_char  *p;

    if (!ctx->as_list) {
        return NGX_OK;
    }

    p = ngx_pnalloc(ctx->request->pool, body->len + 2);
    if (p == NULL) {
        return NGX_ERROR;
    }

    p[0] = '[';
    ngx_memcpy(p + 1, body->data, body->len);
    p[body->len + 1] = ']';

    body->data = p;
    body->len += 2;

    return NGX_OK;
}


static ngx_int_t
ngx_http_relay_send(ngx_http_request_t *r, ngx_uint_t status,
    const char *type, ngx_str_t *body)
{
    ngx_int_t     rc;
    ngx_buf_t    *b;
    ngx_chain_t   out;

    if (ngx_http_relay_wrap(ngx_http_relay_ctx(r), body) != NGX_OK) {
        return NGX_ERROR;
    }

    r->headers_out.status = status;
    r->headers_out.content_length_n = body->len;
    r->headers_out.content_type.data = (u_char *) type;
    r->headers_out.content_type.len = ngx_strlen(type);
    r->headers_out.content_type_len = r->headers_out.content_type.len;
    r->headers_out.content_type_lowcase = NULL;

    rc = ngx_http_send_header(r);

    if (rc == NGX_ERROR || rc > NGX_OK || r->header_only) {
        return rc;
    }

    b = ngx_calloc_buf(r->pool);
    if (b == NULL) {
        return NGX_ERROR;
    }

    b->pos = body->data;
    b->last = body->data + body->len;
    b->memory = body->len ? 1 : 0;
    b->last_buf = 1;
    b->last_in_chain = 1;

    out.buf = b;
    out.next = NULL;

    return ngx_http_output_filter(r, &out);
}


ngx_int_t
ngx_http_relay_send_empty(ngx_http_request_t *r, ngx_uint_t status)
{
    ngx_int_t              rc;
    ngx_http_relay_ctx_t  *ctx;

    ctx = ngx_http_relay_ctx(r);

    rc = ngx_http_discard_request_body(r);

    if (rc != NGX_OK) {
        return rc;
    }

    if (ngx_http_relay_set_headers(ctx, NULL, status, 0) != NGX_OK
        || (status == NGX_HTTP_NO_CONTENT
            && ngx_http_relay_add_allow(ctx) != NGX_OK))
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    r->headers_out.status = status;
    r->headers_out.content_length_n = 0;
    r->header_only = 1;

    return ngx_http_send_header(r);
}


ngx_int_t
ngx_http_relay_send_models(ngx_http_request_t *r)
{
    size_t                       count;
    ngx_int_t                    rc;
    ngx_str_t                    body;
    relay_model_view_t          *views;
    ngx_http_relay_ctx_t        *ctx;

    ctx = ngx_http_relay_ctx(r);

    rc = ngx_http_discard_request_body(r);

    if (rc != NGX_OK) {
        return rc;
    }

    count = ctx->snapshot->config->nmodels;

    views = ngx_palloc(r->pool, (count + 1) * sizeof(relay_model_view_t));
    if (views == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    count = relay_route_models(ctx->snapshot->config, ctx->key,
                               ctx->match.dialect, views, count);

    if (ngx_http_relay_prefix_models(ctx, views, count) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    rc = (ctx->match.operation == RELAY_OP_MODEL)
         ? ngx_http_relay_one_model(ctx, views, count, &body)
         : ngx_http_relay_list_models(ctx, views, count, &body);

    if (rc != NGX_OK) {
        return (rc == NGX_ERROR) ? NGX_HTTP_INTERNAL_SERVER_ERROR : NGX_OK;
    }

    return ngx_http_relay_send_json(r, NGX_HTTP_OK, &body);
}


/* for clients that would not show them under their own names */

static ngx_int_t
ngx_http_relay_prefix_models(ngx_http_relay_ctx_t *ctx,
    relay_model_view_t *views, size_t count)
{
    u_char              *p;
    size_t               i;
    relay_span_t         agent, prefix;
    ngx_http_request_t  *r;

    r = ctx->request;

    if (r->headers_in.user_agent == NULL) {
        return NGX_OK;
    }

    agent = ngx_http_relay_span(&r->headers_in.user_agent->value);

    for (i = 0; i < count; i++) {

        prefix = relay_wire_listed_prefix(ctx->match.dialect, agent,
                                          views[i].id);
        if (prefix.len == 0) {
            continue;
        }

        p = ngx_pnalloc(r->pool, prefix.len + views[i].id.len);
        if (p == NULL) {
            return NGX_ERROR;
        }

        ngx_memcpy(p, prefix.base, prefix.len);
        ngx_memcpy(p + prefix.len, views[i].id.base, views[i].id.len);

        views[i].id = relay_span(p, prefix.len + views[i].id.len);
    }

    return NGX_OK;
}


/* NGX_DONE: an error was sent instead */

static ngx_int_t
ngx_http_relay_one_model(ngx_http_relay_ctx_t *ctx, relay_model_view_t *views,
    size_t count, ngx_str_t *body)
{
    u_char                 *dst, *src, *id;
    size_t                  i, len;
    relay_buf_t             out;
    relay_error_t           error;
    ngx_http_request_t     *r;
    const relay_dialect_t  *dialect;

    r = ctx->request;
    dialect = ctx->match.dialect;

    id = ngx_pnalloc(r->pool, ctx->match.rest.len + 1);
    if (id == NULL) {
        return NGX_ERROR;
    }

    dst = id;
    src = (u_char *) ctx->match.rest.base;
    ngx_unescape_uri(&dst, &src, ctx->match.rest.len, 0);
    len = dst - id;

    for (i = 0; i < count; i++) {

        if (!relay_span_eq(views[i].id, relay_span(id, len))) {
            continue;
        }

        out = relay_buf(NULL, 0);
        dialect->model(&out, &views[i]);

        body->data = ngx_pnalloc(r->pool, out.len + 1);
        if (body->data == NULL) {
            return NGX_ERROR;
        }

        out = relay_buf(body->data, out.len);
        dialect->model(&out, &views[i]);
        body->len = out.len;

        return NGX_OK;
    }

    ngx_memzero(&error, sizeof(relay_error_t));
    error.code = RELAY_ERR_MODEL_NOT_FOUND;
    error.param = RELAY_SPAN("model");

    return (ngx_http_relay_refuse(r, &error) == NGX_ERROR) ? NGX_ERROR
                                                           : NGX_DONE;
}


static ngx_int_t
ngx_http_relay_list_models(ngx_http_relay_ctx_t *ctx,
    relay_model_view_t *views, size_t count, ngx_str_t *body)
{
    relay_buf_t             out;
    relay_span_t            query;
    relay_error_t           error;
    ngx_http_request_t     *r;
    const relay_dialect_t  *dialect;

    r = ctx->request;
    dialect = ctx->match.dialect;
    query = ngx_http_relay_span(&r->args);

    ngx_memzero(&error, sizeof(relay_error_t));
    out = relay_buf(NULL, 0);

    if (dialect->model_list(&out, views, count, query, &error)
        != RELAY_ERR_NONE)
    {
        return (ngx_http_relay_refuse(r, &error) == NGX_ERROR) ? NGX_ERROR
                                                               : NGX_DONE;
    }

    body->data = ngx_pnalloc(r->pool, out.len + 1);
    if (body->data == NULL) {
        return NGX_ERROR;
    }

    out = relay_buf(body->data, out.len);
    (void) dialect->model_list(&out, views, count, query, &error);
    body->len = out.len;

    return NGX_OK;
}


ngx_int_t
ngx_http_relay_send_echo(ngx_http_request_t *r)
{
    ngx_str_t              body;
    const char            *type;
    relay_buf_t            out;
    relay_span_t           usage_key;
    relay_echo_t           echo;
    relay_json_value_t     include_usage;
    const relay_wire_t    *wire;
    ngx_http_relay_ctx_t  *ctx;

    ctx = ngx_http_relay_ctx(r);
    wire = ctx->plan->candidates[0].wire;

    if (ctx->match.echo == NULL) {
        return ngx_http_relay_refuse_code(r, RELAY_ERR_FORMAT_UNAVAILABLE);
    }

    ctx->attempt.candidate = &ctx->plan->candidates[0];
    ctx->attempts = 1;
    ctx->first_token = ngx_current_msec;

    usage_key = RELAY_SPAN("include_usage");
    include_usage.type = RELAY_JSON_ABSENT;

    if (ctx->envelope.stream_options.type == RELAY_JSON_OBJECT) {
        (void) relay_json_members(ctx->envelope.stream_options.text,
                                  &usage_key, 1, &include_usage);
    }

    echo.tokens = 0;
    echo.body = ctx->envelope.body;
    echo.model = ngx_http_relay_span(&ctx->model);
    echo.id = relay_span(ctx->request_id_data, NGX_HTTP_RELAY_REQUEST_ID_LEN);
    echo.created_s = ngx_time();
    echo.streaming = ctx->envelope.streaming && wire->streams
                     && ctx->match.operation == RELAY_OP_GENERATE;
    echo.include_usage = (include_usage.type == RELAY_JSON_TRUE);

    out = relay_buf(NULL, 0);
    ctx->match.echo(&out, &echo, &ctx->usage);

    body.data = ngx_pnalloc(r->pool, out.len + 1);
    if (body.data == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    out = relay_buf(body.data, out.len);
    ctx->match.echo(&out, &echo, &ctx->usage);
    body.len = out.len;

    type = echo.streaming ? "text/event-stream; charset=utf-8"
                          : "application/json";

    if (ngx_http_relay_set_headers(ctx, NULL, NGX_HTTP_OK, 0) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return ngx_http_relay_send(r, NGX_HTTP_OK, type, &body);
}


/* of the host that would be asked to generate */

ngx_int_t
ngx_http_relay_send_estimate(ngx_http_request_t *r)
{
    ngx_str_t              body;
    relay_buf_t            out;
    relay_echo_t           echo;
    relay_usage_t          usage;
    ngx_http_relay_ctx_t  *ctx;

    static ngx_str_t  yes = ngx_string("1");

    ctx = ngx_http_relay_ctx(r);

    ngx_memzero(&echo, sizeof(relay_echo_t));
    echo.body = ctx->envelope.body;
    echo.tokens = ctx->estimate;

    ctx->attempt.candidate = &ctx->plan->candidates[0];

    out = relay_buf(NULL, 0);
    ctx->match.echo(&out, &echo, &usage);

    body.data = ngx_pnalloc(r->pool, out.len + 1);
    if (body.data == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    out = relay_buf(body.data, out.len);
    ctx->match.echo(&out, &echo, &usage);
    body.len = out.len;

    if (ngx_http_relay_add_header(r, "x-relay-estimated",
                                  sizeof("x-relay-estimated") - 1, &yes)
        != NGX_OK)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return ngx_http_relay_send_json(r, NGX_HTTP_OK, &body);
}


/*
 * Every candidate has failed. A provider's own words are worth more than ours,
 * and the last ones more than earlier ones; words about our key are not the
 * caller's business.
 */

ngx_int_t
ngx_http_relay_last_word(ngx_http_relay_ctx_t *ctx,
    ngx_http_relay_last_word_t *word)
{
    relay_error_t              error;
    ngx_http_relay_failure_t  *failure;

    failure = &ctx->failure;

    ngx_memzero(word, sizeof(ngx_http_relay_last_word_t));
    ngx_memzero(&error, sizeof(relay_error_t));

    error.code = ctx->last ? ctx->last : RELAY_ERR_UPSTREAM_UNREACHABLE;

    if (ctx->last == RELAY_ERR_NONE && ctx->refusal.code) {

        /* no host could be asked what the caller asks */

        error = ctx->refusal;
    }

    if (failure->status) {
        error.code = failure->reworded ? failure->code
                                       : RELAY_ERR_UPSTREAM_STATUS;
        error.status = failure->status;
        error.message = ngx_http_relay_span(&failure->message);

        word->retry_after = failure->retry_after;
        word->headers = &failure->headers;
        word->body = failure->body;

        ctx->attempt.candidate = failure->candidate;
    }

    word->code = error.code;
    word->status = ctx->match.dialect->status(&error);
    word->own = (word->body.len == 0 && !failure->reworded);

    return (word->body.len == 0)
           ? ngx_http_relay_write_error(ctx, &error, &word->body) : NGX_OK;
}


ngx_int_t
ngx_http_relay_send_last_word(ngx_http_relay_ctx_t *ctx)
{
    ngx_int_t                   rc;
    ngx_http_relay_last_word_t  word;

    if (ngx_http_relay_last_word(ctx, &word) != NGX_OK) {
        return NGX_ERROR;
    }

    ctx->error = word.own ? word.code : RELAY_ERR_NONE;

    if (ngx_http_relay_set_headers(ctx, word.headers, word.status,
                                   word.retry_after)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    rc = ngx_http_relay_send(ctx->request, word.status, "application/json",
                             &word.body);

    /* the headers are out: for the log it is an error, whoever worded it */

    ctx->error = word.code;

    return rc;
}
