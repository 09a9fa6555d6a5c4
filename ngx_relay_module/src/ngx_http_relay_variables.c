
/*
 * What log_format can see of a request. All are empty ("-" in a log) where
 * they say nothing.
 */


#include "ngx_http_relay_translate.h"


typedef enum {
    NGX_HTTP_RELAY_VAR_REQUEST_ID = 0,
    NGX_HTTP_RELAY_VAR_KEY_ID,
    NGX_HTTP_RELAY_VAR_POLICY,
    NGX_HTTP_RELAY_VAR_MODEL,
    NGX_HTTP_RELAY_VAR_HOST,
    NGX_HTTP_RELAY_VAR_ATTEMPTS,
    NGX_HTTP_RELAY_VAR_INPUT,
    NGX_HTTP_RELAY_VAR_OUTPUT,
    NGX_HTTP_RELAY_VAR_CACHED,
    NGX_HTTP_RELAY_VAR_FINISH,
    NGX_HTTP_RELAY_VAR_DROPPED,
    NGX_HTTP_RELAY_VAR_FIRST_TOKEN,
    NGX_HTTP_RELAY_VAR_OVERHEAD,
    NGX_HTTP_RELAY_VAR_THREAD,
    NGX_HTTP_RELAY_VAR_ERROR
} ngx_http_relay_variable_e;


static ngx_int_t ngx_http_relay_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_relay_variable_line(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_relay_variable_span(ngx_http_variable_value_t *v,
    relay_span_t text);
static ngx_int_t ngx_http_relay_variable_number(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uint64_t number);
static ngx_int_t ngx_http_relay_variable_none(ngx_http_variable_value_t *v);
static ngx_int_t ngx_http_relay_variable_usage(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_relay_variable_time(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);


static ngx_http_variable_t  ngx_http_relay_vars[] = {

    { ngx_string("relay_request_id"), NULL, ngx_http_relay_variable,
      NGX_HTTP_RELAY_VAR_REQUEST_ID, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("relay_request_line"), NULL, ngx_http_relay_variable_line,
      0, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("relay_key_id"), NULL, ngx_http_relay_variable,
      NGX_HTTP_RELAY_VAR_KEY_ID, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("relay_policy"), NULL, ngx_http_relay_variable,
      NGX_HTTP_RELAY_VAR_POLICY, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("relay_model"), NULL, ngx_http_relay_variable,
      NGX_HTTP_RELAY_VAR_MODEL, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("relay_host"), NULL, ngx_http_relay_variable,
      NGX_HTTP_RELAY_VAR_HOST, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("relay_attempts"), NULL, ngx_http_relay_variable,
      NGX_HTTP_RELAY_VAR_ATTEMPTS, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("relay_input_tokens"), NULL, ngx_http_relay_variable_usage,
      NGX_HTTP_RELAY_VAR_INPUT, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("relay_output_tokens"), NULL, ngx_http_relay_variable_usage,
      NGX_HTTP_RELAY_VAR_OUTPUT, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("relay_cached_tokens"), NULL, ngx_http_relay_variable_usage,
      NGX_HTTP_RELAY_VAR_CACHED, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("relay_finish_reason"), NULL, ngx_http_relay_variable,
      NGX_HTTP_RELAY_VAR_FINISH, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("relay_dropped"), NULL, ngx_http_relay_variable,
      NGX_HTTP_RELAY_VAR_DROPPED, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("relay_first_token_ms"), NULL, ngx_http_relay_variable_time,
      NGX_HTTP_RELAY_VAR_FIRST_TOKEN, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("relay_overhead_us"), NULL, ngx_http_relay_variable_time,
      NGX_HTTP_RELAY_VAR_OVERHEAD, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("relay_thread_us"), NULL, ngx_http_relay_variable_time,
      NGX_HTTP_RELAY_VAR_THREAD, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("relay_error"), NULL, ngx_http_relay_variable,
      NGX_HTTP_RELAY_VAR_ERROR, NGX_HTTP_VAR_NOCACHEABLE, 0 },

      ngx_http_null_variable
};


ngx_int_t
ngx_http_relay_add_variables(ngx_conf_t *cf)
{
    ngx_http_variable_t  *var, *v;

    for (v = ngx_http_relay_vars; v->name.len; v++) {

        var = ngx_http_add_variable(cf, &v->name, v->flags);
        if (var == NULL) {
            return NGX_ERROR;
        }

        var->get_handler = v->get_handler;
        var->data = v->data;
    }

    return NGX_OK;
}


uint64_t
ngx_http_relay_now_us(void)
{
    struct timespec  ts;

    (void) clock_gettime(CLOCK_MONOTONIC, &ts);

    return (uint64_t) ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}


static ngx_int_t
ngx_http_relay_variable(ngx_http_request_t *r, ngx_http_variable_value_t *v,
    uintptr_t data)
{
    ngx_str_t                 dropped;
    relay_span_t              finish;
    ngx_http_relay_ctx_t     *ctx;
    const relay_candidate_t  *candidate;

    ctx = ngx_http_relay_ctx(r);

    if (ctx == NULL) {
        return ngx_http_relay_variable_none(v);
    }

    candidate = ctx->attempt.candidate;

    switch (data) {

    case NGX_HTTP_RELAY_VAR_REQUEST_ID:
        return ngx_http_relay_variable_span(v,
                                       ngx_http_relay_span(&ctx->request_id));

    case NGX_HTTP_RELAY_VAR_KEY_ID:
        return ctx->key ? ngx_http_relay_variable_span(v, ctx->key->name)
                        : ngx_http_relay_variable_none(v);

    case NGX_HTTP_RELAY_VAR_POLICY:
        return ctx->key ? ngx_http_relay_variable_span(v,
                                                      ctx->key->policy->name)
                        : ngx_http_relay_variable_none(v);

    case NGX_HTTP_RELAY_VAR_MODEL:
        return ngx_http_relay_variable_span(v, candidate ? candidate->model
                                          : ngx_http_relay_span(&ctx->model));

    case NGX_HTTP_RELAY_VAR_HOST:
        return candidate
               ? ngx_http_relay_variable_span(v, candidate->host->name)
               : ngx_http_relay_variable_none(v);

    case NGX_HTTP_RELAY_VAR_ATTEMPTS:
        return ngx_http_relay_variable_number(r, v, ctx->attempts);

    case NGX_HTTP_RELAY_VAR_FINISH:

        finish = (ctx->attempt.mode == NGX_HTTP_RELAY_STREAM)
                 ? relay_span(ctx->stream.finish,
                              ngx_strlen(ctx->stream.finish))
                 : relay_span(ctx->finish, ngx_strlen(ctx->finish));

        return ngx_http_relay_variable_span(v, finish);

    case NGX_HTTP_RELAY_VAR_DROPPED:

        if (ngx_http_relay_translate_notes(ctx, r->pool, &dropped) != NGX_OK) {
            return NGX_ERROR;
        }

        return dropped.len
               ? ngx_http_relay_variable_span(v, ngx_http_relay_span(&dropped))
               : ngx_http_relay_variable_none(v);

    default: /* NGX_HTTP_RELAY_VAR_ERROR */
        return ctx->error
               ? ngx_http_relay_variable_span(v, relay_error_name(ctx->error))
               : ngx_http_relay_variable_none(v);
    }
}


static ngx_int_t
ngx_http_relay_variable_usage(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    uint64_t               number;
    relay_usage_t         *usage;
    ngx_http_relay_ctx_t  *ctx;

    ctx = ngx_http_relay_ctx(r);

    if (ctx == NULL) {
        return ngx_http_relay_variable_none(v);
    }

    usage = (ctx->attempt.mode == NGX_HTTP_RELAY_STREAM) ? &ctx->stream.usage
                                                         : &ctx->usage;

    if (!usage->known) {
        return ngx_http_relay_variable_none(v);
    }

    switch (data) {

    case NGX_HTTP_RELAY_VAR_INPUT:
        number = usage->input_tokens;
        break;

    case NGX_HTTP_RELAY_VAR_OUTPUT:
        number = usage->output_tokens;
        break;

    default: /* NGX_HTTP_RELAY_VAR_CACHED */
        number = usage->cached_tokens;
    }

    return ngx_http_relay_variable_number(r, v, number);
}


/*
 * First token: from the first attempt to the first content, failed tries
 * included. Overhead: what this process took between having the whole request
 * and dispatching it, and over the answer until its release; not the waiting.
 */

static ngx_int_t
ngx_http_relay_variable_time(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    uint64_t               overhead_us;
    ngx_http_relay_ctx_t  *ctx;

    ctx = ngx_http_relay_ctx(r);

    if (ctx == NULL) {
        return ngx_http_relay_variable_none(v);
    }

    if (data == NGX_HTTP_RELAY_VAR_FIRST_TOKEN) {

        if (ctx->first_token == 0 || ctx->begun == 0) {
            return ngx_http_relay_variable_none(v);
        }

        return ngx_http_relay_variable_number(r, v,
                                              ctx->first_token - ctx->begun);
    }

    if (data == NGX_HTTP_RELAY_VAR_THREAD) {
        return ctx->thread_us
               ? ngx_http_relay_variable_number(r, v, ctx->thread_us)
               : ngx_http_relay_variable_none(v);
    }

    if (ctx->sent_us == 0) {
        return ngx_http_relay_variable_none(v);
    }

    overhead_us = ctx->sent_us - ctx->received_us + ctx->cost_us;

    return ngx_http_relay_variable_number(r, v, overhead_us);
}


/*
 * Also of a request that nginx turned down before Relay saw it, of which there
 * may be no more than its first bytes.
 */

static ngx_int_t
ngx_http_relay_variable_line(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    size_t        size;
    u_char       *p;
    relay_buf_t   out;
    relay_span_t  line;

    line = ngx_http_relay_span(&r->request_line);

    if (line.len == 0) {

        if (r->request_start == NULL || r->header_in == NULL
            || r->request_start > r->header_in->last)
        {
            return ngx_http_relay_variable_none(v);
        }

        line = relay_span(r->request_start,
                          r->header_in->last - r->request_start);
    }

    out = relay_buf(NULL, 0);
    relay_wire_put_redacted(&out, line);
    size = out.len;

    p = ngx_pnalloc(r->pool, size + 1);
    if (p == NULL) {
        return NGX_ERROR;
    }

    out = relay_buf(p, size);
    relay_wire_put_redacted(&out, line);

    return ngx_http_relay_variable_span(v, relay_buf_span(&out));
}


static ngx_int_t
ngx_http_relay_variable_span(ngx_http_variable_value_t *v, relay_span_t text)
{
    if (text.len == 0) {
        return ngx_http_relay_variable_none(v);
    }

    v->len = text.len;
    v->data = (u_char *) text.base;
    v->valid = 1;
    v->no_cacheable = 0;
    v->not_found = 0;

    return NGX_OK;
}


static ngx_int_t
ngx_http_relay_variable_number(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uint64_t number)
{
    u_char  *p;

    p = ngx_pnalloc(r->pool, NGX_INT64_LEN);
    if (p == NULL) {
        return NGX_ERROR;
    }

    return ngx_http_relay_variable_span(v,
                        relay_span(p, ngx_sprintf(p, "%uL", number) - p));
}


static ngx_int_t
ngx_http_relay_variable_none(ngx_http_variable_value_t *v)
{
    v->not_found = 1;

    return NGX_OK;
}
