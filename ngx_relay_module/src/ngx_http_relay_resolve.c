
/*
 * Names to addresses, off the request path: every endpoint in use is resolved
 * when it is made and again when its answer grows old. An answer that
 * cannot be renewed stays in use. Requests meet this file only when a name has
 * never been resolved: then they wait in the endpoint's queue, and
 * ngx_http_relay_upstream.c bounds that wait.
 */


#include "ngx_http_relay.h"


#define NGX_HTTP_RELAY_REFRESH_MIN    1000
#define NGX_HTTP_RELAY_REFRESH_MAX    300000
#define NGX_HTTP_RELAY_REFRESH_RETRY  2000

#define NGX_HTTP_RELAY_NAMESERVERS    4


static ngx_int_t ngx_http_relay_resolv_conf(ngx_conf_t *cf,
    ngx_http_relay_main_conf_t *rmcf);
static void ngx_http_relay_refresh_handler(ngx_event_t *ev);
static void ngx_http_relay_resolved(ngx_resolver_ctx_t *rctx);
static void ngx_http_relay_take_addrs(ngx_http_relay_endpoint_t *ep,
    ngx_resolver_ctx_t *rctx);
static void ngx_http_relay_wake(ngx_http_relay_endpoint_t *ep);
static ngx_uint_t ngx_http_relay_word(u_char **p, u_char *last,
    ngx_str_t *word);


/* the http block's resolver, else the name servers of /etc/resolv.conf */

ngx_int_t
ngx_http_relay_resolver(ngx_conf_t *cf, ngx_http_relay_main_conf_t *rmcf)
{
    ngx_http_core_loc_conf_t  *clcf;

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    rmcf->resolver_timeout = (clcf->resolver_timeout == NGX_CONF_UNSET_MSEC)
                             ? 5000 : clcf->resolver_timeout;

    if (clcf->resolver && clcf->resolver->connections.nelts) {
        rmcf->resolver = clcf->resolver;
        return NGX_OK;
    }

    return ngx_http_relay_resolv_conf(cf, rmcf);
}


static ngx_int_t
ngx_http_relay_resolv_conf(ngx_conf_t *cf, ngx_http_relay_main_conf_t *rmcf)
{
    FILE        *f;
    char         line[512];
    u_char      *p, *last, *text;
    ngx_str_t    names[NGX_HTTP_RELAY_NAMESERVERS + 1], word;
    ngx_uint_t   n;

    f = fopen("/etc/resolv.conf", "re");
    if (f == NULL) {
        return NGX_OK;
    }

    n = 0;

    while (n < NGX_HTTP_RELAY_NAMESERVERS
           && fgets(line, sizeof(line), f) != NULL)
    {
        p = (u_char *) line;
        last = p + ngx_strlen(line);

        if (!ngx_http_relay_word(&p, last, &word)
            || word.len != sizeof("nameserver") - 1
            || ngx_strncmp(word.data, "nameserver", word.len) != 0
            || !ngx_http_relay_word(&p, last, &word)
            || ngx_strlchr(word.data, word.data + word.len, '%') != NULL)
        {
            continue;
        }

        text = ngx_pnalloc(cf->pool, word.len + 3);
        if (text == NULL) {
            fclose(f);
            return NGX_ERROR;
        }

        names[n].data = text;

        if (ngx_strlchr(word.data, word.data + word.len, ':') != NULL) {
            names[n].len = ngx_sprintf(text, "[%V]", &word) - text;

        } else {
            names[n].len = ngx_sprintf(text, "%V", &word) - text;
        }

        n++;
    }

    fclose(f);

    if (n == 0) {
        return NGX_OK;
    }

    rmcf->resolver = ngx_resolver_create(cf, names, n);

    return rmcf->resolver ? NGX_OK : NGX_ERROR;
}


/* lines of "address name name...", as in hosts(5) */

void
ngx_http_relay_resolve_hosts(ngx_http_relay_endpoint_t *ep, ngx_str_t *text)
{
    u_char          *p, *last, *end;
    ngx_str_t        address, name;
    ngx_sockaddr_t   sa;
    socklen_t        socklen;

    end = text->data + text->len;

    for (p = text->data; p < end; p = last + 1) {

        last = ngx_strlchr(p, end, LF);
        if (last == NULL) {
            last = end;
        }

        if (!ngx_http_relay_word(&p, last, &address)) {
            continue;
        }

        ngx_memzero(&sa, sizeof(ngx_sockaddr_t));

        sa.sockaddr_in.sin_addr.s_addr = ngx_inet_addr(address.data,
                                                       address.len);
        if (sa.sockaddr_in.sin_addr.s_addr == INADDR_NONE) {
            continue;
        }

        sa.sockaddr_in.sin_family = AF_INET;
        sa.sockaddr_in.sin_port = htons(ep->port);
        socklen = sizeof(struct sockaddr_in);

        while (ngx_http_relay_word(&p, last, &name)) {

            if (name.len == ep->name.len
                && ngx_strncasecmp(name.data, ep->name.data, name.len) == 0)
            {
                ep->literal = 1;
                (void) ngx_http_relay_endpoint_add_addr(ep, &sa.sockaddr,
                                                        socklen);
                break;
            }
        }
    }
}


/* the next word before a comment; false at the end */

static ngx_uint_t
ngx_http_relay_word(u_char **p, u_char *last, ngx_str_t *word)
{
    u_char  *s;

    for (s = *p; s < last && (*s == ' ' || *s == '\t'); s++) { /* void */ }

    word->data = s;

    while (s < last && *s > ' ' && *s != '#') {
        s++;
    }

    word->len = s - word->data;
    *p = s;

    return word->len != 0;
}


void
ngx_http_relay_resolve_start(ngx_http_relay_main_conf_t *rmcf,
    ngx_http_relay_endpoint_t *ep)
{
    if (ep->literal || ep->refresh.handler) {
        return;
    }

    ep->refresh.handler = ngx_http_relay_refresh_handler;
    ep->refresh.data = ep;
    ep->refresh.log = ngx_cycle->log;
    ep->refresh.cancelable = 1;

    ngx_post_event(&ep->refresh, &ngx_posted_events);
}


void
ngx_http_relay_resolve_stop(ngx_http_relay_endpoint_t *ep)
{
    if (ep->refresh.posted) {
        ngx_delete_posted_event(&ep->refresh);
    }

    if (ep->refresh.timer_set) {
        ngx_del_timer(&ep->refresh);
    }

    if (ep->question) {
        ngx_resolve_name_done(ep->question);
        ep->question = NULL;
    }
}


static void
ngx_http_relay_refresh_handler(ngx_event_t *ev)
{
    ngx_http_relay_endpoint_t *ep = ev->data;

    ngx_resolver_ctx_t          *rctx, temp;
    ngx_http_relay_main_conf_t  *rmcf;

    rmcf = ngx_http_cycle_get_module_main_conf(ngx_cycle, ngx_relay_module);

    if (rmcf == NULL || ngx_exiting || ep->resolving) {
        return;
    }

    if (rmcf->resolver == NULL) {
        ngx_log_error(NGX_LOG_ERR, ev->log, 0,
                      "no name server to resolve \"%V\": set \"resolver\" or "
                      "add one to /etc/resolv.conf", &ep->name);
        ngx_http_relay_wake(ep);
        return;
    }

    temp.name = ep->name;

    rctx = ngx_resolve_start(rmcf->resolver, &temp);

    if (rctx == NULL || rctx == NGX_NO_RESOLVER) {
        goto failed;
    }

    rctx->name = ep->name;
    rctx->handler = ngx_http_relay_resolved;
    rctx->data = ep;
    rctx->timeout = rmcf->resolver_timeout;
    rctx->cancelable = 1;

    /* the answer may come at once */

    ep->resolving = 1;
    ep->question = rctx;

    if (ngx_resolve_name(rctx) == NGX_OK) {
        return;
    }

    ep->resolving = 0;
    ep->question = NULL;

failed:

    ngx_add_timer(&ep->refresh, NGX_HTTP_RELAY_REFRESH_RETRY);
    ngx_http_relay_wake(ep);
}


static void
ngx_http_relay_resolved(ngx_resolver_ctx_t *rctx)
{
    ngx_http_relay_endpoint_t *ep = rctx->data;

    time_t      left;
    ngx_msec_t  next;

    ep->resolving = 0;
    ep->question = NULL;
    ep->answered = 1;
    next = NGX_HTTP_RELAY_REFRESH_RETRY;

    if (rctx->state || rctx->naddrs == 0) {
        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                      "\"%V\" could not be resolved (%i: %s), %s", &ep->name,
                      rctx->state, ngx_resolver_strerror(rctx->state),
                      ep->naddrs ? "its last addresses stay in use"
                                 : "it has no address yet");

    } else {
        ngx_http_relay_take_addrs(ep, rctx);

        left = rctx->valid - ngx_time();
        next = (left > 0) ? (ngx_msec_t) left * 1000 : 0;
        next = ngx_max(next, NGX_HTTP_RELAY_REFRESH_MIN);
        next = ngx_min(next, NGX_HTTP_RELAY_REFRESH_MAX);
    }

    ngx_resolve_name_done(rctx);

    if (!ngx_exiting) {
        ngx_add_timer(&ep->refresh, next);
    }

    ngx_http_relay_wake(ep);
}


/* IPv6 addresses are used only where there is no other */

static void
ngx_http_relay_take_addrs(ngx_http_relay_endpoint_t *ep,
    ngx_resolver_ctx_t *rctx)
{
    ngx_uint_t       i, pass;
    ngx_sockaddr_t   sa;

    ep->naddrs = 0;

    for (pass = 0; pass < 2 && ep->naddrs == 0; pass++) {

        for (i = 0; i < rctx->naddrs; i++) {

            if ((rctx->addrs[i].sockaddr->sa_family == AF_INET) != (pass == 0)
                || rctx->addrs[i].socklen > (socklen_t) sizeof(sa))
            {
                continue;
            }

            ngx_memzero(&sa, sizeof(ngx_sockaddr_t));
            ngx_memcpy(&sa, rctx->addrs[i].sockaddr, rctx->addrs[i].socklen);
            ngx_inet_set_port(&sa.sockaddr, ep->port);

            (void) ngx_http_relay_endpoint_add_addr(ep, &sa.sockaddr,
                                                    rctx->addrs[i].socklen);
        }
    }
}


static void
ngx_http_relay_wake(ngx_http_relay_endpoint_t *ep)
{
    ngx_queue_t           *q;
    ngx_http_relay_ctx_t  *ctx;

    while (!ngx_queue_empty(&ep->waiters)) {
        q = ngx_queue_head(&ep->waiters);
        ctx = ngx_queue_data(q, ngx_http_relay_ctx_t, waiting);

        ngx_queue_remove(&ctx->waiting);
        ctx->queued = 0;

        /* posted: the request may end in there and take this loop with it */

        ngx_post_event(&ctx->wait, &ngx_posted_events);
    }
}
