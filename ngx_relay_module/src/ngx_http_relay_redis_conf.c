
/*
 * Where Redis is: the store's address from the configuration file, the
 * password by reference, addresses and the TLS context. Runs in the master.
 */


#include "ngx_http_relay.h"
#include "ngx_http_relay_redis.h"

#include <openssl/crypto.h>


#define NGX_HTTP_RELAY_REDIS_PORT          6379
#define NGX_HTTP_RELAY_REDIS_DATABASE_MAX  65535
#define NGX_HTTP_RELAY_REDIS_PASSWORD_MAX  4096
#define NGX_HTTP_RELAY_REDIS_HOSTS_MAX     (1024 * 1024)


static char *ngx_http_relay_redis_local_url(ngx_http_relay_redis_conf_t *conf,
    ngx_str_t *rest);
static char *ngx_http_relay_redis_remote_url(ngx_http_relay_redis_conf_t *conf,
    ngx_str_t *rest);
static char *ngx_http_relay_redis_host(ngx_http_relay_redis_conf_t *conf,
    ngx_str_t *rest);
static char *ngx_http_relay_redis_database(ngx_http_relay_redis_conf_t *conf,
    u_char *p, u_char *last);
static ngx_uint_t ngx_http_relay_redis_word(ngx_str_t *text,
    const char *others);
static ngx_int_t ngx_http_relay_redis_copy(ngx_pool_t *pool, ngx_str_t *text);
static void ngx_http_relay_redis_cleanse(void *data);
static ngx_int_t ngx_http_relay_redis_addresses(ngx_conf_t *cf,
    ngx_http_relay_redis_conf_t *conf);
static ngx_int_t ngx_http_relay_redis_socket(ngx_conf_t *cf,
    ngx_http_relay_redis_conf_t *conf);
static ngx_int_t ngx_http_relay_redis_hosts_file(ngx_conf_t *cf,
    ngx_http_relay_redis_conf_t *conf);
static ngx_int_t ngx_http_relay_redis_ask(ngx_conf_t *cf,
    ngx_http_relay_redis_conf_t *conf);
static void ngx_http_relay_redis_add_addr(ngx_http_relay_redis_conf_t *conf,
    struct sockaddr *sa, socklen_t socklen);
static ngx_int_t ngx_http_relay_redis_tls(ngx_conf_t *cf,
    ngx_http_relay_redis_conf_t *conf);


/* ---- the address -------------------------------------------------------- */


char *
ngx_http_relay_redis_set_url(ngx_conf_t *cf, ngx_http_relay_redis_conf_t *conf,
    ngx_str_t *url)
{
    char       *rv;
    size_t      skip;
    ngx_str_t   rest;

    conf->url = *url;
    conf->local = (ngx_strncmp(url->data, "unix:", 5) == 0);
    conf->tls = (ngx_strncmp(url->data, "rediss://", 9) == 0);

    if (conf->local) {
        skip = 5;

    } else if (conf->tls) {
        skip = 9;

    } else if (ngx_strncmp(url->data, "redis://", 8) == 0) {
        skip = 8;

    } else {
        return "takes unix:/path, redis://host or rediss://host";
    }

    rest.data = url->data + skip;
    rest.len = url->len - skip;

    rv = conf->local ? ngx_http_relay_redis_local_url(conf, &rest)
                     : ngx_http_relay_redis_remote_url(conf, &rest);

    if (rv != NGX_CONF_OK) {
        return rv;
    }

    /* both end up in calls that take C strings */

    if (ngx_http_relay_redis_copy(cf->pool, &conf->name) != NGX_OK
        || ngx_http_relay_redis_copy(cf->pool, &conf->user) != NGX_OK)
    {
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


/* /path[:database] */

static char *
ngx_http_relay_redis_local_url(ngx_http_relay_redis_conf_t *conf,
    ngx_str_t *rest)
{
    u_char  *p, *last;

    last = rest->data + rest->len;

    for (p = last; p > rest->data && p[-1] >= '0' && p[-1] <= '9'; p--) {
        /* void */
    }

    if (p < last && p > rest->data && p[-1] == ':') {

        if (ngx_http_relay_redis_database(conf, p, last) != NGX_CONF_OK) {
            return "has an invalid database number";
        }

        rest->len = p - 1 - rest->data;
    }

    if (rest->len < 2 || rest->data[0] != '/') {
        return "needs the full path of a socket after \"unix:\"";
    }

    if (rest->len >= sizeof(((struct sockaddr_un *) 0)->sun_path)) {
        return "has a path that is too long for a socket";
    }

    conf->name = *rest;

    return NGX_CONF_OK;
}


/* [user@]host[:port][/database] */

static char *
ngx_http_relay_redis_remote_url(ngx_http_relay_redis_conf_t *conf,
    ngx_str_t *rest)
{
    u_char  *p, *last;

    last = rest->data + rest->len;

    for (p = last; p > rest->data && p[-1] != '@'; p--) { /* void */ }

    if (p > rest->data) {
        conf->user.data = rest->data;
        conf->user.len = p - 1 - rest->data;

        if (ngx_strlchr(rest->data, p, ':') != NULL) {
            return "holds a password: it has to be given by reference";
        }

        if (!ngx_http_relay_redis_word(&conf->user, "._-+=")) {
            return "has an invalid user";
        }

        rest->data = p;
        rest->len = last - p;
    }

    p = ngx_strlchr(rest->data, last, '/');

    if (p) {
        if (p + 1 < last
            && ngx_http_relay_redis_database(conf, p + 1, last) != NGX_CONF_OK)
        {
            return "has an invalid database number";
        }

        rest->len = p - rest->data;
    }

    return ngx_http_relay_redis_host(conf, rest);
}


/* host[:port] or [address][:port] */

static char *
ngx_http_relay_redis_host(ngx_http_relay_redis_conf_t *conf, ngx_str_t *rest)
{
    u_char     *p, *last;
    ngx_int_t   port;

    last = rest->data + rest->len;
    conf->port = NGX_HTTP_RELAY_REDIS_PORT;

    if (rest->len && rest->data[0] == '[') {
        p = ngx_strlchr(rest->data, last, ']');
        if (p == NULL) {
            return "has an invalid host";
        }

        conf->name.data = rest->data + 1;
        conf->name.len = p - conf->name.data;
        p++;

        if (!ngx_http_relay_redis_word(&conf->name, ":.")) {
            return "has an invalid host";
        }

    } else {
        p = ngx_strlchr(rest->data, last, ':');
        p = p ? p : last;

        conf->name.data = rest->data;
        conf->name.len = p - rest->data;

        if (!ngx_http_relay_redis_word(&conf->name, ".-_")) {
            return "has an invalid host";
        }
    }

    if (p == last) {
        return NGX_CONF_OK;
    }

    port = (*p == ':') ? ngx_atoi(p + 1, last - p - 1) : NGX_ERROR;

    if (port < 1 || port > 65535) {
        return "has an invalid port";
    }

    conf->port = (in_port_t) port;

    return NGX_CONF_OK;
}


static char *
ngx_http_relay_redis_database(ngx_http_relay_redis_conf_t *conf, u_char *p,
    u_char *last)
{
    ngx_int_t  n;

    n = ngx_atoi(p, last - p);

    if (n == NGX_ERROR || n > NGX_HTTP_RELAY_REDIS_DATABASE_MAX) {
        return NGX_CONF_ERROR;
    }

    conf->database = n;

    return NGX_CONF_OK;
}


/* letters, digits and others, at least one of them */

static ngx_uint_t
ngx_http_relay_redis_word(ngx_str_t *text, const char *others)
{
    u_char  ch;
    size_t  i;

    for (i = 0; i < text->len; i++) {
        ch = text->data[i];

        if ((ch >= '0' && ch <= '9')
            || (ch >= 'A' && ch <= 'Z')
            || (ch >= 'a' && ch <= 'z')
            || (ch && ngx_strchr(others, ch)))
        {
            continue;
        }

        return 0;
    }

    return text->len != 0;
}


/* with a zero behind it */

static ngx_int_t
ngx_http_relay_redis_copy(ngx_pool_t *pool, ngx_str_t *text)
{
    u_char  *p;

    p = ngx_pnalloc(pool, text->len + 1);
    if (p == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(p, text->data, text->len);
    p[text->len] = '\0';
    text->data = p;

    return NGX_OK;
}


/* ---- the password ------------------------------------------------------- */


char *
ngx_http_relay_redis_set_password(ngx_conf_t *cf,
    ngx_http_relay_redis_conf_t *conf, ngx_str_t *reference)
{
    char                *env;
    ngx_str_t            name, text;
    ngx_pool_cleanup_t  *cln;

    if (ngx_strncmp(reference->data, "env:", 4) == 0) {

        env = getenv((char *) reference->data + 4);
        if (env == NULL) {
            return "names an environment variable that is not set";
        }

        text.data = (u_char *) env;
        text.len = ngx_strlen(env);

    } else if (ngx_strncmp(reference->data, "file:/", 6) == 0) {

        name.data = reference->data + 5;
        name.len = reference->len - 5;

        if (ngx_http_relay_read_file(cf, cf->temp_pool, &name,
                                     NGX_HTTP_RELAY_REDIS_PASSWORD_MAX, &text)
            != NGX_OK)
        {
            return NGX_CONF_ERROR;
        }

    } else {
        return "takes env:NAME or file:/PATH, never the password itself";
    }

    while (text.len && (text.data[text.len - 1] == LF
                        || text.data[text.len - 1] == CR))
    {
        text.len--;
    }

    if (text.len == 0 || text.len > NGX_HTTP_RELAY_REDIS_PASSWORD_MAX) {
        return "leads to a password that is empty or too long";
    }

    cln = ngx_pool_cleanup_add(cf->pool, 0);
    if (cln == NULL || ngx_http_relay_redis_copy(cf->pool, &text) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    conf->password = text;

    cln->handler = ngx_http_relay_redis_cleanse;
    cln->data = &conf->password;

    return NGX_CONF_OK;
}


static void
ngx_http_relay_redis_cleanse(void *data)
{
    ngx_str_t  *secret = data;

    OPENSSL_cleanse(secret->data, secret->len);
}


/* ---- addresses and TLS -------------------------------------------------- */


ngx_int_t
ngx_http_relay_redis_init_conf(ngx_conf_t *cf,
    ngx_http_relay_redis_conf_t *conf)
{
    if (ngx_http_relay_redis_addresses(cf, conf) != NGX_OK) {
        return NGX_ERROR;
    }

    return conf->tls ? ngx_http_relay_redis_tls(cf, conf) : NGX_OK;
}


/*
 * An address as it stands, else /etc/hosts; any other name is left to the
 * resolver. Only if there is none the system is asked, now and once.
 */

static ngx_int_t
ngx_http_relay_redis_addresses(ngx_conf_t *cf,
    ngx_http_relay_redis_conf_t *conf)
{
    ngx_int_t   rc;
    ngx_addr_t  addr;

    if (conf->local) {
        return ngx_http_relay_redis_socket(cf, conf);
    }

    rc = ngx_parse_addr(cf->temp_pool, &addr, conf->name.data, conf->name.len);

    if (rc == NGX_ERROR) {
        return NGX_ERROR;
    }

    if (rc == NGX_OK) {
        ngx_inet_set_port(addr.sockaddr, conf->port);
        ngx_http_relay_redis_add_addr(conf, addr.sockaddr, addr.socklen);
        return NGX_OK;
    }

    if (ngx_http_relay_redis_hosts_file(cf, conf) != NGX_OK) {
        return NGX_ERROR;
    }

    if (conf->naddrs || conf->resolver) {
        return NGX_OK;
    }

    return ngx_http_relay_redis_ask(cf, conf);
}


static ngx_int_t
ngx_http_relay_redis_socket(ngx_conf_t *cf, ngx_http_relay_redis_conf_t *conf)
{
    struct sockaddr_un  sa;

    ngx_memzero(&sa, sizeof(struct sockaddr_un));

    sa.sun_family = AF_UNIX;
    (void) ngx_cpystrn((u_char *) sa.sun_path, conf->name.data,
                       sizeof(sa.sun_path));

    ngx_http_relay_redis_add_addr(conf, (struct sockaddr *) &sa,
                                  sizeof(struct sockaddr_un));

    return NGX_OK;
}


static ngx_int_t
ngx_http_relay_redis_hosts_file(ngx_conf_t *cf,
    ngx_http_relay_redis_conf_t *conf)
{
    ngx_str_t                   text;
    ngx_uint_t                  i;
    ngx_http_relay_endpoint_t  *ep;

    static ngx_str_t  file = ngx_string("/etc/hosts");

    if (access((char *) file.data, R_OK) != 0) {
        return NGX_OK;
    }

    /* an endpoint that lives no longer than this function */

    ep = ngx_pcalloc(cf->temp_pool, sizeof(ngx_http_relay_endpoint_t));
    if (ep == NULL) {
        return NGX_ERROR;
    }

    ep->name = conf->name;
    ep->port = conf->port;

    if (ngx_http_relay_read_file(cf, cf->temp_pool, &file,
                                 NGX_HTTP_RELAY_REDIS_HOSTS_MAX, &text)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    ngx_http_relay_resolve_hosts(ep, &text);

    for (i = 0; i < ep->naddrs; i++) {
        ngx_http_relay_redis_add_addr(conf, &ep->addrs[i].sockaddr.sockaddr,
                                      ep->addrs[i].socklen);
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_relay_redis_ask(ngx_conf_t *cf, ngx_http_relay_redis_conf_t *conf)
{
    ngx_url_t   u;
    ngx_uint_t  i;

    ngx_memzero(&u, sizeof(ngx_url_t));

    u.url = conf->name;
    u.default_port = conf->port;

    if (ngx_parse_url(cf->pool, &u) != NGX_OK) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0, "%s in the store's address "
                      "\"%V\"", u.err ? u.err : "no memory", &conf->url);
        return NGX_ERROR;
    }

    for (i = 0; i < u.naddrs; i++) {
        ngx_http_relay_redis_add_addr(conf, u.addrs[i].sockaddr,
                                      u.addrs[i].socklen);
    }

    return NGX_OK;
}


static void
ngx_http_relay_redis_add_addr(ngx_http_relay_redis_conf_t *conf,
    struct sockaddr *sa, socklen_t socklen)
{
    ngx_http_relay_redis_addr_t  *addr;

    if (conf->naddrs == NGX_HTTP_RELAY_REDIS_ADDRS_MAX
        || socklen > (socklen_t) sizeof(ngx_sockaddr_t))
    {
        return;
    }

    addr = &conf->addrs[conf->naddrs++];

    ngx_memcpy(&addr->sockaddr, sa, socklen);
    addr->socklen = socklen;
}


static ngx_int_t
ngx_http_relay_redis_tls(ngx_conf_t *cf, ngx_http_relay_redis_conf_t *conf)
{
    ngx_int_t              rc;
    ngx_addr_t             addr;
    ngx_pool_cleanup_t    *cln;
    ngx_http_relay_tls_t  *tls;

    if (conf->tls_name.len == 0) {
        conf->tls_name = conf->name;
    }

    if (ngx_http_relay_redis_copy(cf->pool, &conf->tls_name) != NGX_OK) {
        return NGX_ERROR;
    }

    rc = ngx_parse_addr(cf->temp_pool, &addr, conf->tls_name.data,
                        conf->tls_name.len);

    if (rc == NGX_ERROR) {
        return NGX_ERROR;
    }

    conf->tls_literal = (rc == NGX_OK);

    cln = ngx_pool_cleanup_add(cf->pool, 0);
    if (cln == NULL) {
        return NGX_ERROR;
    }

    tls = ngx_http_relay_tls_create(&cf->cycle->conf_prefix, 1,
                                    ngx_http_relay_span(&conf->ca_file),
                                    cf->log);
    if (tls == NULL) {
        return NGX_ERROR;
    }

    cln->handler = ngx_http_relay_tls_free;
    cln->data = tls;

    conf->ssl = &tls->ssl;

    return NGX_OK;
}
