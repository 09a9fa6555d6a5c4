
/*
 * Which headers pass towards the caller: everything but what belongs to the
 * connection and what would steer this server or the caller's browser; and
 * what Relay adds. The way there is in ngx_http_relay_headers.c.
 */


#include "ngx_http_relay_headers.h"
#include "ngx_http_relay_translate.h"


static ngx_int_t ngx_http_relay_framing(ngx_http_relay_ctx_t *ctx,
    u_char *lowcase, size_t len, ngx_str_t *value);
static ngx_int_t ngx_http_relay_connection(ngx_http_relay_ctx_t *ctx,
    ngx_str_t *value);
static ngx_int_t ngx_http_relay_content_type(ngx_http_relay_ctx_t *ctx);
static relay_span_t ngx_http_relay_answer_header(
    ngx_http_relay_try_t *attempt, relay_span_t name);
static ngx_int_t ngx_http_relay_own_headers(ngx_http_relay_ctx_t *ctx);
static ngx_int_t ngx_http_relay_server_timing(ngx_http_relay_ctx_t *ctx);
static u_char *ngx_http_relay_milliseconds(u_char *p, uint64_t us);
static u_char *ngx_http_relay_digits(u_char *p, uint64_t number);


static ngx_str_t  ngx_http_relay_answer_names[] = {
    ngx_string("date"),
    ngx_string("server"),
    ngx_string("connection"),
    ngx_string("keep-alive"),
    ngx_string("proxy-connection"),
    ngx_string("proxy-authenticate"),
    ngx_string("www-authenticate"),
    ngx_string("te"),
    ngx_string("trailer"),
    ngx_string("upgrade"),
    ngx_string("status"),
    ngx_string("set-cookie"),
    ngx_string("set-cookie2"),
    ngx_string("location"),
    ngx_string("refresh"),
    ngx_string("alt-svc"),
    ngx_string("strict-transport-security"),
    ngx_string("public-key-pins"),
    ngx_string("report-to"),
    ngx_string("nel"),
    ngx_null_string
};

static ngx_str_t  ngx_http_relay_answer_prefixes[] = {
    ngx_string("x-accel-"),
    ngx_string("x-relay-"),
    ngx_null_string
};

static ngx_http_relay_names_t  ngx_http_relay_answer_dropped = {
    ngx_http_relay_answer_names, ngx_http_relay_answer_prefixes,
    NGX_HTTP_RELAY_UNCOUNTED, NGX_HTTP_RELAY_UNCOUNTED
};


ngx_int_t
ngx_http_relay_upstream_header(ngx_http_relay_ctx_t *ctx, ngx_str_t *name,
    ngx_str_t *value)
{
    ngx_int_t                 rc;
    ngx_http_relay_try_t     *attempt;
    ngx_http_relay_header_t  *header;

    attempt = &ctx->attempt;

    rc = ngx_http_relay_framing(ctx, name->data, name->len, value);

    if (rc != NGX_DECLINED) {
        return rc;
    }

    if (ngx_http_relay_listed(&ngx_http_relay_answer_dropped, name->data,
                              name->len,
                              ngx_http_relay_shape(name->data, name->len)))
    {
        return NGX_OK;
    }

    header = ngx_array_push(&attempt->headers);
    if (header == NULL) {
        return NGX_ERROR;
    }

    /* the name outlives the read buffer: see ngx_http_relay_remember() */

    header->name.len = name->len;
    header->name.data = ngx_pstrdup(ctx->request->pool, name);
    header->value = *value;

    return header->name.data ? NGX_OK : NGX_ERROR;
}


/* "Connection: x-foo" makes x-foo a header of the connection */

void
ngx_http_relay_drop_named(ngx_http_relay_try_t *attempt)
{
    ngx_uint_t                i, kept;
    ngx_http_relay_header_t  *h;

    if (attempt->connection.len == 0) {
        return;
    }

    h = attempt->headers.elts;
    kept = 0;

    for (i = 0; i < attempt->headers.nelts; i++) {
        if (!ngx_http_relay_lists(&attempt->connection, h[i].name.data,
                                  h[i].name.len))
        {
            h[kept++] = h[i];
        }
    }

    attempt->headers.nelts = kept;
}


/*
 * The headers that Relay acts on; NGX_DECLINED for any other. Two lengths, or
 * a coding that is not "chunked", make the answer's end ambiguous: refused.
 */

static ngx_int_t
ngx_http_relay_framing(ngx_http_relay_ctx_t *ctx, u_char *lowcase,
    size_t len, ngx_str_t *value)
{
    relay_span_t           name;
    ngx_http_relay_try_t  *attempt;

    attempt = &ctx->attempt;
    name = relay_span(lowcase, len);

    if (relay_span_eq(name, RELAY_SPAN("content-length"))) {

        if (attempt->has_length) {
            return NGX_ERROR;
        }

        attempt->has_length = 1;
        attempt->length = ngx_atoof(value->data, value->len);

        return (attempt->length == NGX_ERROR) ? NGX_ERROR : NGX_OK;
    }

    if (relay_span_eq(name, RELAY_SPAN("transfer-encoding"))) {

        if (attempt->chunked
            || !relay_span_case_eq(ngx_http_relay_span(value),
                                   RELAY_SPAN("chunked")))
        {
            return NGX_ERROR;
        }

        attempt->chunked = 1;
        return NGX_OK;
    }

    if (relay_span_eq(name, RELAY_SPAN("connection"))) {

        if (ngx_strlcasestrn(value->data, value->data + value->len,
                             (u_char *) "close", 5 - 1)
            != NULL)
        {
            attempt->close = 1;
        }

        return ngx_http_relay_connection(ctx, value);
    }

    if (relay_span_eq(name, RELAY_SPAN("content-type"))) {
        attempt->content_type = *value;
        return NGX_OK;
    }

    if (relay_span_eq(name, RELAY_SPAN("content-encoding"))) {

        if (!relay_span_case_eq(ngx_http_relay_span(value),
                                RELAY_SPAN("identity")))
        {
            attempt->content_encoding = *value;
        }

        return NGX_OK;
    }

    if (relay_span_eq(name, RELAY_SPAN("retry-after"))) {
        attempt->retry_after = *value;
        return NGX_OK;
    }

    return NGX_DECLINED;
}


/* several such headers are one list */

static ngx_int_t
ngx_http_relay_connection(ngx_http_relay_ctx_t *ctx, ngx_str_t *value)
{
    u_char     *p;
    ngx_str_t   list, *known;

    known = &ctx->attempt.connection;

    if (known->len == 0) {
        *known = *value;
        return NGX_OK;
    }

    list.len = known->len + 1 + value->len;
    list.data = ngx_pnalloc(ctx->request->pool, list.len);
    if (list.data == NULL) {
        return NGX_ERROR;
    }

    p = ngx_cpymem(list.data, known->data, known->len);
    *p++ = ',';
    ngx_memcpy(p, value->data, value->len);

    *known = list;

    return NGX_OK;
}


relay_span_t
ngx_http_relay_media_type(ngx_str_t *value)
{
    size_t   len;
    u_char  *end;

    len = value->len;

    end = len ? memchr(value->data, ';', len) : NULL;
    len = end ? (size_t) (end - value->data) : len;

    end = len ? memchr(value->data, ' ', len) : NULL;
    len = end ? (size_t) (end - value->data) : len;

    return relay_span(value->data, len);
}


ngx_uint_t
ngx_http_relay_retry_after(ngx_str_t *value)
{
    size_t     i;
    time_t     date;
    ngx_int_t  seconds;

    if (value->len == 0) {
        return 0;
    }

    for (i = 0; i < value->len && value->data[i] >= '0'
                && value->data[i] <= '9'; i++)
    { /* void */ }

    if (i) {
        seconds = ngx_atoi(value->data, i);

        if (seconds == NGX_ERROR) {
            return 60;
        }

        if (i < value->len && value->data[i] == '.') {
            seconds++;
        }

    } else {
        date = ngx_parse_http_time(value->data, value->len);

        if (date == NGX_ERROR) {
            return 0;
        }

        seconds = date - ngx_time();
    }

    return ngx_min(ngx_max(seconds, 1), 60);
}


ngx_int_t
ngx_http_relay_add_header(ngx_http_request_t *r, const char *name, size_t len,
    ngx_str_t *value)
{
    ngx_table_elt_t  *h;

    h = ngx_list_push(&r->headers_out.headers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    h->hash = 1;
    h->key.data = (u_char *) name;
    h->key.len = len;
    h->value = *value;
    h->lowcase_key = (u_char *) name;
#if (nginx_version >= 1023000)
    h->next = NULL;
#endif

    return NGX_OK;
}


ngx_int_t
ngx_http_relay_set_headers(ngx_http_relay_ctx_t *ctx, ngx_array_t *headers,
    ngx_uint_t status, ngx_uint_t retry_after)
{
    ngx_str_t                 value;
    ngx_uint_t                i, has_id;
    relay_span_t              id;
    ngx_http_request_t       *r;
    ngx_http_relay_header_t  *h;

    static ngx_str_t  yes = ngx_string("true");
    static ngx_str_t  no = ngx_string("false");

    r = ctx->request;
    id = ctx->match.dialect->request_id_header;
    has_id = 0;

    h = headers ? headers->elts : NULL;

    for (i = 0; headers && i < headers->nelts; i++) {

        if (relay_span_eq(ngx_http_relay_span(&h[i].name), id)) {
            has_id = 1;
        }

        if (ngx_http_relay_add_header(r, (char *) h[i].name.data,
                                      h[i].name.len, &h[i].value)
            != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    if (!has_id
        && ngx_http_relay_add_header(r, (const char *) id.base, id.len,
                                     &ctx->request_id)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    /* a 429 without it is final to some SDKs, and long ones make them give up */

    if (status == 429 || status == 503) {
        retry_after = retry_after ? retry_after : 1;
    }

    /* a provider's error in other words: SDKs of the caller know only theirs */

    if (status >= NGX_HTTP_BAD_REQUEST && ctx->failure.reworded
        && ngx_http_relay_add_header(r, "x-should-retry",
                                     sizeof("x-should-retry") - 1,
                                     ctx->failure.retry ? &yes : &no)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (retry_after) {
        value.data = ngx_pnalloc(r->pool, NGX_INT_T_LEN);
        if (value.data == NULL) {
            return NGX_ERROR;
        }

        value.len = ngx_sprintf(value.data, "%ui", retry_after) - value.data;

        if (ngx_http_relay_add_header(r, "retry-after",
                                      sizeof("retry-after") - 1, &value)
            != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    if (ctx->committed && ngx_http_relay_content_type(ctx) != NGX_OK) {
        return NGX_ERROR;
    }

    r->headers_out.status = status;

    return ngx_http_relay_own_headers(ctx);
}


static ngx_int_t
ngx_http_relay_content_type(ngx_http_relay_ctx_t *ctx)
{
    ngx_http_request_t    *r;
    ngx_http_relay_try_t  *attempt;

    static ngx_str_t  no = ngx_string("no");
    static ngx_str_t  no_cache = ngx_string("no-cache");

    r = ctx->request;
    attempt = &ctx->attempt;

    r->headers_out.content_type = attempt->content_type;
    r->headers_out.content_type_len = attempt->content_type.len;
    r->headers_out.content_type_lowcase = NULL;

    if (attempt->content_encoding.len) {

        if (ngx_http_relay_add_header(r, "content-encoding",
                                      sizeof("content-encoding") - 1,
                                      &attempt->content_encoding)
            != NGX_OK)
        {
            return NGX_ERROR;
        }

        /* keeps gzip and friends away from it */

        r->headers_out.content_encoding = (ngx_table_elt_t *)
                                   r->headers_out.headers.last->elts
                                   + r->headers_out.headers.last->nelts - 1;
    }

    if (attempt->mode != NGX_HTTP_RELAY_STREAM) {
        return NGX_OK;
    }

    /* for proxies in front of this one */

    if (ngx_http_relay_add_header(r, "x-accel-buffering",
                                  sizeof("x-accel-buffering") - 1, &no)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (ngx_http_relay_answer_header(attempt, RELAY_SPAN("cache-control")).base)
    {
        return NGX_OK;
    }

    return ngx_http_relay_add_header(r, "cache-control",
                                     sizeof("cache-control") - 1, &no_cache);
}


/* what a platform says of its answer in headers, and nowhere else */

void
ngx_http_relay_told(ngx_http_relay_try_t *attempt)
{
    bool                      key_refused;
    off_t                     tokens;
    relay_span_t              told;
    const relay_wire_t       *wire;
    const relay_dialect_t    *dialect;
    const relay_variant_t    *variant;

    wire = attempt->candidate->wire;
    variant = attempt->candidate->host->variants[wire->index];

    if (variant == NULL) {
        return;
    }

    told = ngx_http_relay_answer_header(attempt, variant->tokens_header);

    if (told.len) {
        tokens = ngx_atoof((u_char *) told.base, told.len);
        attempt->told_tokens = (tokens == NGX_ERROR) ? 0 : tokens;
    }

    dialect = variant->platform ? variant->platform : wire->dialect;
    told = ngx_http_relay_answer_header(attempt, dialect->error_header);

    if (told.len) {
        attempt->told_error = dialect->error_name(told, &key_refused);
        attempt->key_refused = key_refused;
    }
}


/* empty, if there is none, or none is asked for */

static relay_span_t
ngx_http_relay_answer_header(ngx_http_relay_try_t *attempt, relay_span_t name)
{
    ngx_uint_t                i;
    ngx_http_relay_header_t  *h;

    h = attempt->headers.elts;

    for (i = 0; name.len && i < attempt->headers.nelts; i++) {
        if (relay_span_eq(ngx_http_relay_span(&h[i].name), name)) {
            return ngx_http_relay_span(&h[i].value);
        }
    }

    return relay_span(NULL, 0);
}


static ngx_int_t
ngx_http_relay_own_headers(ngx_http_relay_ctx_t *ctx)
{
    ngx_str_t                 value;
    ngx_http_request_t       *r;
    const relay_candidate_t  *candidate;

    r = ctx->request;

    if (ngx_http_relay_add_header(r, "x-relay-request-id",
                                  sizeof("x-relay-request-id") - 1,
                                  &ctx->request_id)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (ctx->error) {
        value.data = (u_char *) relay_error_name(ctx->error).base;
        value.len = relay_error_name(ctx->error).len;

        if (ngx_http_relay_add_header(r, "x-relay-error",
                                      sizeof("x-relay-error") - 1, &value)
            != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    candidate = ctx->attempt.candidate;

    if (candidate == NULL) {
        return NGX_OK;
    }

    if (ngx_http_relay_translate_notes(ctx, r->pool, &value) != NGX_OK
        || (value.len
            && ngx_http_relay_add_header(r, "x-relay-dropped",
                                         sizeof("x-relay-dropped") - 1, &value)
               != NGX_OK))
    {
        return NGX_ERROR;
    }

    value.data = (u_char *) candidate->host->name.base;
    value.len = candidate->host->name.len;

    if (ngx_http_relay_add_header(r, "x-relay-host",
                                  sizeof("x-relay-host") - 1, &value)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    value.data = (u_char *) candidate->model.base;
    value.len = candidate->model.len;

    if (value.len
        && ngx_http_relay_add_header(r, "x-relay-model",
                                     sizeof("x-relay-model") - 1, &value)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    value.data = ngx_pnalloc(r->pool, NGX_INT_T_LEN);
    if (value.data == NULL) {
        return NGX_ERROR;
    }

    value.len = ngx_http_relay_digits(value.data, ctx->attempts) - value.data;

    if (ngx_http_relay_add_header(r, "x-relay-attempts",
                                  sizeof("x-relay-attempts") - 1, &value)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_http_relay_server_timing(ctx);
}


/* what Relay took, and what it waited for, in milliseconds */

static ngx_int_t
ngx_http_relay_server_timing(ngx_http_relay_ctx_t *ctx)
{
    u_char     *p;
    uint64_t    own_us, waited_us;
    ngx_str_t   value;

    own_us = ctx->cost_us;
    waited_us = 0;

    if (ctx->sent_us) {
        own_us += ctx->sent_us - ctx->received_us;
        waited_us = ngx_http_relay_now_us() - ctx->sent_us;
        waited_us -= ngx_min(waited_us, ctx->cost_us);
    }

    p = ngx_pnalloc(ctx->request->pool,
                    sizeof("relay;dur=.123, upstream;dur=.123")
                    + 2 * NGX_INT64_LEN);
    if (p == NULL) {
        return NGX_ERROR;
    }

    value.data = p;

    p = ngx_cpymem(p, "relay;dur=", sizeof("relay;dur=") - 1);
    p = ngx_http_relay_milliseconds(p, own_us);
    p = ngx_cpymem(p, ", upstream;dur=", sizeof(", upstream;dur=") - 1);
    p = ngx_http_relay_milliseconds(p, waited_us);

    value.len = p - value.data;

    return ngx_http_relay_add_header(ctx->request, "server-timing",
                                     sizeof("server-timing") - 1, &value);
}


/* "1.234" */

static u_char *
ngx_http_relay_milliseconds(u_char *p, uint64_t us)
{
    p = ngx_http_relay_digits(p, us / 1000);

    *p++ = '.';
    *p++ = (u_char) ('0' + us / 100 % 10);
    *p++ = (u_char) ('0' + us / 10 % 10);
    *p++ = (u_char) ('0' + us % 10);

    return p;
}


/* each answer has three numbers: ngx_sprintf() would be half of their cost */

static u_char *
ngx_http_relay_digits(u_char *p, uint64_t number)
{
    u_char  *digit, digits[NGX_INT64_LEN];

    digit = digits + sizeof(digits);

    do {
        *--digit = (u_char) ('0' + number % 10);
        number /= 10;
    } while (number);

    return ngx_cpymem(p, digit, digits + sizeof(digits) - digit);
}
