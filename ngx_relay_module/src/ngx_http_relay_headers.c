
/*
 * Which headers pass towards the provider: everything but credentials,
 * cookies, what belongs to the connection, and what describes the caller's
 * network. The way back is in ngx_http_relay_answer_headers.c.
 */


#include "ngx_http_relay_headers.h"


static ngx_uint_t ngx_http_relay_request_drops(ngx_http_relay_ctx_t *ctx,
    ngx_table_elt_t *h, uint64_t auth_shapes);
static uint64_t ngx_http_relay_auth_shapes(relay_plan_t *plan);
static ngx_uint_t ngx_http_relay_is_auth(relay_plan_t *plan,
    relay_span_t name);
static ngx_uint_t ngx_http_relay_is_connection(ngx_table_elt_t *h);
static ngx_uint_t ngx_http_relay_connection_names(ngx_http_request_t *r,
    ngx_table_elt_t *header);
static ngx_table_elt_t *ngx_http_relay_next_header(ngx_list_part_t **part,
    ngx_uint_t *i);
static void ngx_http_relay_count_names(ngx_http_relay_names_t *list);


/* those that most requests have come first: searches end there */

static ngx_str_t  ngx_http_relay_request_names[] = {
    /* written anew */
    ngx_string("host"),
    ngx_string("content-length"),
    ngx_string("accept-encoding"),
    /* credentials */
    ngx_string("authorization"),
    ngx_string("x-api-key"),
    ngx_string("api-key"),
    ngx_string("x-goog-api-key"),
    ngx_string("proxy-authorization"),
    ngx_string("cookie"),
    ngx_string("cookie2"),
    /* of this connection */
    ngx_string("connection"),
    ngx_string("keep-alive"),
    ngx_string("proxy-connection"),
    ngx_string("te"),
    ngx_string("trailer"),
    ngx_string("transfer-encoding"),
    ngx_string("upgrade"),
    ngx_string("expect"),
    ngx_string("http2-settings"),
    /* of the caller's network */
    ngx_string("forwarded"),
    ngx_string("x-real-ip"),
    ngx_null_string
};

static ngx_str_t  ngx_http_relay_request_prefixes[] = {
    ngx_string("x-relay-"),
    ngx_string("x-forwarded-"),
    ngx_string("x-accel-"),
    ngx_null_string
};

static ngx_http_relay_names_t  ngx_http_relay_request_dropped = {
    ngx_http_relay_request_names, ngx_http_relay_request_prefixes,
    NGX_HTTP_RELAY_UNCOUNTED, NGX_HTTP_RELAY_UNCOUNTED
};


ngx_int_t
ngx_http_relay_forward_headers(ngx_http_relay_ctx_t *ctx)
{
    u_char              *p;
    size_t               len;
    uint64_t             auth_shapes;
    ngx_list_part_t     *part;
    ngx_table_elt_t     *h, *last;
    ngx_http_request_t  *r;

    r = ctx->request;

    /* room for all of them: to tell which pass costs more than the room */

    len = 0;
    ctx->named = 0;

    for (part = &r->headers_in.headers.part; part; part = part->next) {

        h = part->elts;
        last = h + part->nelts;

        for (/* void */; h < last; h++) {
            len += h->key.len + sizeof(": ") - 1
                   + h->value.len + sizeof(CRLF) - 1;

            if (ngx_http_relay_is_connection(h)
                && !relay_span_case_eq(ngx_http_relay_span(&h->value),
                                       RELAY_SPAN("keep-alive")))
            {
                ctx->named = 1;
            }
        }
    }

    p = ngx_pnalloc(r->pool, len + 1);
    if (p == NULL) {
        return NGX_ERROR;
    }

    ctx->forward.data = p;

    auth_shapes = ngx_http_relay_auth_shapes(ctx->plan);

    for (part = &r->headers_in.headers.part; part; part = part->next) {

        h = part->elts;
        last = h + part->nelts;

        for (/* void */; h < last; h++) {

            if (ngx_http_relay_request_drops(ctx, h, auth_shapes)) {
                continue;
            }

            p = ngx_cpymem(p, h->key.data, h->key.len);
            p = ngx_cpymem(p, ": ", 2);
            p = ngx_cpymem(p, h->value.data, h->value.len);
            p = ngx_cpymem(p, CRLF, 2);
        }
    }

    ctx->forward.len = p - ctx->forward.data;

    return NGX_OK;
}


static ngx_uint_t
ngx_http_relay_request_drops(ngx_http_relay_ctx_t *ctx, ngx_table_elt_t *h,
    uint64_t auth_shapes)
{
    uint64_t      shape;
    relay_span_t  name;

    if (h->hash == 0 || h->key.len == 0) {
        return 1;
    }

    name = relay_span(h->lowcase_key, h->key.len);
    shape = ngx_http_relay_shape(name.base, name.len);

    return ngx_http_relay_listed(&ngx_http_relay_request_dropped,
                                 h->lowcase_key, h->key.len, shape)
           || (ctx->named && ngx_http_relay_connection_names(ctx->request, h))
           || (ctx->inflating
               && relay_span_eq(name, RELAY_SPAN("content-encoding")))
           || ((shape & auth_shapes)
               && ngx_http_relay_is_auth(ctx->plan, name));
}


/* where a provider takes its key, the caller has no say */

static uint64_t
ngx_http_relay_auth_shapes(relay_plan_t *plan)
{
    size_t        i;
    uint64_t      shapes;
    relay_span_t  name;

    shapes = 0;

    for (i = 0; i < plan->count; i++) {
        name = relay_host_auth(plan->candidates[i].host,
                               plan->candidates[i].wire).header;

        if (name.len) {
            shapes |= ngx_http_relay_shape(name.base, name.len);
        }
    }

    return shapes;
}


static ngx_uint_t
ngx_http_relay_is_auth(relay_plan_t *plan, relay_span_t name)
{
    size_t  i;

    for (i = 0; i < plan->count; i++) {
        if (relay_span_eq(name, relay_host_auth(plan->candidates[i].host,
                                                plan->candidates[i].wire)
                                .header))
        {
            return 1;
        }
    }

    return 0;
}


/* one of several, maybe */

static ngx_uint_t
ngx_http_relay_is_connection(ngx_table_elt_t *h)
{
    return h->key.len == sizeof("connection") - 1
           && ngx_memcmp(h->lowcase_key, "connection",
                         sizeof("connection") - 1)
              == 0;
}


static ngx_uint_t
ngx_http_relay_connection_names(ngx_http_request_t *r, ngx_table_elt_t *header)
{
    ngx_uint_t        i;
    ngx_list_part_t  *part;
    ngx_table_elt_t  *h;

    part = &r->headers_in.headers.part;
    i = 0;

    while ((h = ngx_http_relay_next_header(&part, &i)) != NULL) {

        if (ngx_http_relay_is_connection(h)
            && ngx_http_relay_lists(&h->value, header->key.data,
                                    header->key.len))
        {
            return 1;
        }
    }

    return 0;
}


ngx_uint_t
ngx_http_relay_lists(ngx_str_t *tokens, u_char *name, size_t len)
{
    u_char  *p, *last, *start;

    p = tokens->data;
    last = p + tokens->len;

    while (p < last) {

        while (p < last && (*p == ' ' || *p == '\t' || *p == ',')) {
            p++;
        }

        start = p;

        while (p < last && *p != ',' && *p != ' ' && *p != '\t') {
            p++;
        }

        if ((size_t) (p - start) == len
            && len
            && ngx_strncasecmp(start, name, len) == 0)
        {
            return 1;
        }
    }

    return 0;
}


ngx_table_elt_t *
ngx_http_relay_request_header(ngx_http_request_t *r, const char *name,
    size_t len)
{
    ngx_list_part_t  *part;
    ngx_table_elt_t  *h, *last;

    for (part = &r->headers_in.headers.part; part; part = part->next) {

        h = part->elts;
        last = h + part->nelts;

        for (/* void */; h < last; h++) {

            if (h->key.len == len
                && h->lowcase_key[0] == (u_char) name[0]
                && h->hash
                && ngx_memcmp(h->lowcase_key, name, len) == 0)
            {
                return h;
            }
        }
    }

    return NULL;
}


/* walks the request's headers; *i starts at 0 in the first part; NULL: no more */

static ngx_table_elt_t *
ngx_http_relay_next_header(ngx_list_part_t **part, ngx_uint_t *i)
{
    ngx_table_elt_t  *h;

    while (*i >= (*part)->nelts) {

        if ((*part)->next == NULL) {
            return NULL;
        }

        *part = (*part)->next;
        *i = 0;
    }

    h = (*part)->elts;

    return &h[(*i)++];
}


ngx_int_t
ngx_http_relay_sent_by_client(ngx_http_request_t *r, relay_span_t name)
{
    return ngx_http_relay_request_header(r, (const char *) name.base, name.len)
           ? NGX_OK : NGX_DECLINED;
}


ngx_uint_t
ngx_http_relay_search(ngx_http_relay_names_t *list, u_char *name, size_t len)
{
    ngx_str_t  *s;

    if (list->shapes == NGX_HTTP_RELAY_UNCOUNTED) {
        ngx_http_relay_count_names(list);
    }

    for (s = list->names; s->len; s++) {
        if (s->len == len && s->data[0] == name[0]
            && ngx_memcmp(s->data, name, len) == 0)
        {
            return 1;
        }
    }

    if (name[0] != 'x') {
        return 0;
    }

    for (s = list->prefixes; s->len; s++) {
        if (len >= s->len && ngx_memcmp(s->data, name, s->len) == 0) {
            return 1;
        }
    }

    return 0;
}


static void
ngx_http_relay_count_names(ngx_http_relay_names_t *list)
{
    ngx_str_t  *s;

    list->shapes = 0;
    list->fifths = 0;

    for (s = list->names; s->len; s++) {
        list->shapes |= ngx_http_relay_shape(s->data, s->len);
    }

    for (s = list->prefixes; s->len; s++) {
        list->fifths |= (uint64_t) 1 << (s->data[4] & 63);
    }
}
