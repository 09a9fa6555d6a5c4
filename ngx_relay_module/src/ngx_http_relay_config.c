
/*
 * relay.json to what a worker needs: the documents are read and validated by
 * core/config_doc, then secrets are resolved, TLS profiles are made and each
 * host is given its endpoint. Runs in the master, at start and at each reload;
 * any failure leaves the running configuration as it is.
 */


#include "ngx_http_relay.h"

#include <openssl/crypto.h>


#define NGX_HTTP_RELAY_DOCUMENT_MAX  (64 * 1024 * 1024)
#define NGX_HTTP_RELAY_SECRET_MAX    8192


static void *ngx_http_relay_arena_alloc(void *owner, size_t size);
static ngx_int_t ngx_http_relay_read_file(ngx_conf_t *cf, ngx_str_t *name,
    size_t max, ngx_str_t *text);
static ngx_int_t ngx_http_relay_build(ngx_conf_t *cf,
    ngx_http_relay_main_conf_t *rmcf, relay_document_t *documents);
static ngx_int_t ngx_http_relay_secrets(ngx_conf_t *cf,
    ngx_http_relay_main_conf_t *rmcf);
static ngx_int_t ngx_http_relay_secret(ngx_conf_t *cf,
    relay_provider_key_t *key, ngx_str_t *secret);
static ngx_int_t ngx_http_relay_secret_check(ngx_str_t *secret);
static void ngx_http_relay_cleanse(void *data);
static ngx_int_t ngx_http_relay_endpoints(ngx_conf_t *cf,
    ngx_http_relay_main_conf_t *rmcf);
static ngx_http_relay_endpoint_t *ngx_http_relay_endpoint_get(ngx_conf_t *cf,
    ngx_http_relay_main_conf_t *rmcf, const relay_host_t *host);
static ngx_int_t ngx_http_relay_endpoint_literal(ngx_conf_t *cf,
    ngx_http_relay_endpoint_t *ep);
static ngx_http_relay_tls_t *ngx_http_relay_tls_get(ngx_conf_t *cf,
    ngx_http_relay_main_conf_t *rmcf, const relay_host_t *host);
static ngx_int_t ngx_http_relay_tls_trust(ngx_conf_t *cf,
    ngx_http_relay_tls_t *tls);


/* where distributions keep the system's certificate authorities */

static ngx_str_t  ngx_http_relay_ca_files[] = {
    ngx_string("/etc/ssl/certs/ca-certificates.crt"),
    ngx_string("/etc/pki/tls/certs/ca-bundle.crt"),
    ngx_string("/etc/ssl/cert.pem"),
    ngx_null_string
};


char *
ngx_http_relay_config_load(ngx_conf_t *cf, ngx_http_relay_main_conf_t *rmcf)
{
    ngx_str_t         *files, text;
    ngx_uint_t         i;
    relay_document_t  *documents;

    files = rmcf->files->elts;

    documents = ngx_pcalloc(cf->temp_pool,
                            rmcf->files->nelts * sizeof(relay_document_t));
    if (documents == NULL) {
        return NGX_CONF_ERROR;
    }

    for (i = 0; i < rmcf->files->nelts; i++) {

        if (ngx_http_relay_read_file(cf, &files[i],
                                     NGX_HTTP_RELAY_DOCUMENT_MAX, &text)
            != NGX_OK)
        {
            return NGX_CONF_ERROR;
        }

        documents[i].name = ngx_http_relay_span(&files[i]);
        documents[i].text = ngx_http_relay_span(&text);
    }

    if (ngx_http_relay_build(cf, rmcf, documents) != NGX_OK
        || ngx_http_relay_secrets(cf, rmcf) != NGX_OK
        || ngx_http_relay_endpoints(cf, rmcf) != NGX_OK)
    {
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


static void *
ngx_http_relay_arena_alloc(void *owner, size_t size)
{
    return ngx_pcalloc(owner, size);
}


static ngx_int_t
ngx_http_relay_read_file(ngx_conf_t *cf, ngx_str_t *name, size_t max,
    ngx_str_t *text)
{
    ssize_t              n;
    ngx_int_t            rc;
    ngx_file_t           file;
    ngx_pool_cleanup_t  *cln;

    ngx_memzero(&file, sizeof(ngx_file_t));

    file.name = *name;
    file.log = cf->log;
    file.fd = ngx_open_file(name->data, NGX_FILE_RDONLY, NGX_FILE_OPEN, 0);

    if (file.fd == NGX_INVALID_FILE) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, ngx_errno,
                      ngx_open_file_n " \"%V\" failed", name);
        return NGX_ERROR;
    }

    rc = NGX_ERROR;

    if (ngx_fd_info(file.fd, &file.info) == NGX_FILE_ERROR) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, ngx_errno,
                      ngx_fd_info_n " \"%V\" failed", name);
        goto done;
    }

    if (!ngx_is_file(&file.info)) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "\"%V\" is not a regular file", name);
        goto done;
    }

    if (ngx_file_size(&file.info) > (off_t) max) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "\"%V\" is larger than %uz bytes", name, max);
        goto done;
    }

    text->len = (size_t) ngx_file_size(&file.info);

    /* the text may hold secrets */

    cln = ngx_pool_cleanup_add(cf->temp_pool, sizeof(ngx_str_t));
    text->data = ngx_palloc(cf->temp_pool, text->len + 1);
    if (cln == NULL || text->data == NULL) {
        goto done;
    }

    n = ngx_read_file(&file, text->data, text->len, 0);

    if (n != (ssize_t) text->len) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "\"%V\" changed while it was read", name);
        goto done;
    }

    *(ngx_str_t *) cln->data = *text;
    cln->handler = ngx_http_relay_cleanse;

    rc = NGX_OK;

done:

    if (ngx_close_file(file.fd) == NGX_FILE_ERROR) {
        ngx_log_error(NGX_LOG_ALERT, cf->log, ngx_errno,
                      ngx_close_file_n " \"%V\" failed", name);
    }

    return rc;
}


static ngx_int_t
ngx_http_relay_build(ngx_conf_t *cf, ngx_http_relay_main_conf_t *rmcf,
    relay_document_t *documents)
{
    ngx_str_t              name;
    relay_arena_t          arena;
    relay_config_fault_t  *fault;

    fault = ngx_pcalloc(cf->temp_pool, sizeof(relay_config_fault_t));
    if (fault == NULL) {
        return NGX_ERROR;
    }

    arena.allocate = ngx_http_relay_arena_alloc;
    arena.owner = cf->pool;

    rmcf->config = relay_config_build(&arena, documents, rmcf->files->nelts,
                                      fault);

    if (rmcf->config) {
        return NGX_OK;
    }

    name.data = (u_char *) fault->document.base;
    name.len = fault->document.len;

    ngx_log_error(NGX_LOG_EMERG, cf->log, 0, "%V:%uz:%uz: %s%s%s", &name,
                  fault->line, fault->column, fault->path,
                  fault->path[0] ? ": " : "", fault->message);

    return NGX_ERROR;
}


static ngx_int_t
ngx_http_relay_secrets(ngx_conf_t *cf, ngx_http_relay_main_conf_t *rmcf)
{
    ngx_str_t              name;
    ngx_uint_t             i;
    relay_provider_key_t  *key;

    rmcf->secrets = ngx_pcalloc(cf->pool, (rmcf->config->nprovider_keys + 1)
                                          * sizeof(ngx_str_t));
    if (rmcf->secrets == NULL) {
        return NGX_ERROR;
    }

    for (i = 0; i < rmcf->config->nprovider_keys; i++) {
        key = &rmcf->config->provider_keys[i];

        switch (ngx_http_relay_secret(cf, key, &rmcf->secrets[i])) {

        case NGX_OK:
            key->active = 1;
            break;

        case NGX_DECLINED:

            if (key->optional) {
                break;
            }

            name.data = (u_char *) key->name.base;
            name.len = key->name.len;

            ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                          "provider_keys.%V: its reference cannot be resolved; "
                          "set \"optional\": true to start without it", &name);

            /* fall through */

        default:
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


/* NGX_DECLINED: the reference leads nowhere */

static ngx_int_t
ngx_http_relay_secret(ngx_conf_t *cf, relay_provider_key_t *key,
    ngx_str_t *secret)
{
    char                *env;
    u_char              *name;
    ngx_str_t            text, source;
    ngx_pool_cleanup_t  *cln;

    source.data = (u_char *) key->secret.base;
    source.len = key->secret.len;

    name = ngx_pnalloc(cf->temp_pool, source.len + 1);
    if (name == NULL) {
        return NGX_ERROR;
    }

    (void) ngx_cpystrn(name, source.data, source.len + 1);

    switch (key->secret_kind) {

    case RELAY_SECRET_ENV:

        env = getenv((char *) name);
        if (env == NULL || env[0] == '\0') {
            return NGX_DECLINED;
        }

        text.data = (u_char *) env;
        text.len = ngx_strlen(env);
        break;

    case RELAY_SECRET_FILE:

        source.data = name;

        if (access((char *) name, F_OK) == -1) {
            return NGX_DECLINED;
        }

        if (ngx_http_relay_read_file(cf, &source, NGX_HTTP_RELAY_SECRET_MAX,
                                     &text)
            != NGX_OK)
        {
            return NGX_ERROR;
        }

        break;

    default:
        text = source;
    }

    while (text.len && (text.data[text.len - 1] == LF
                        || text.data[text.len - 1] == CR))
    {
        text.len--;
    }

    if (text.len == 0 && key->secret_kind == RELAY_SECRET_FILE) {

        /* without it requests would go out with no credential at all */

        return NGX_DECLINED;
    }

    if (ngx_http_relay_secret_check(&text) != NGX_OK) {
        text.data = (u_char *) key->name.base;
        text.len = key->name.len;

        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "provider_keys.%V: a secret is at most %d printable "
                      "characters without line breaks", &text,
                      NGX_HTTP_RELAY_SECRET_MAX);
        return NGX_ERROR;
    }

    cln = ngx_pool_cleanup_add(cf->pool, sizeof(ngx_str_t));
    if (cln == NULL) {
        return NGX_ERROR;
    }

    secret->data = ngx_pstrdup(cf->pool, &text);
    if (secret->data == NULL) {
        return NGX_ERROR;
    }

    secret->len = text.len;

    *(ngx_str_t *) cln->data = *secret;
    cln->handler = ngx_http_relay_cleanse;

    return NGX_OK;
}


/* what may stand in a header value */

static ngx_int_t
ngx_http_relay_secret_check(ngx_str_t *secret)
{
    size_t  i;

    if (secret->len > NGX_HTTP_RELAY_SECRET_MAX) {
        return NGX_ERROR;
    }

    for (i = 0; i < secret->len; i++) {
        if (secret->data[i] <= ' ' || secret->data[i] >= 0x7f) {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


static void
ngx_http_relay_cleanse(void *data)
{
    ngx_str_t  *secret = data;

    OPENSSL_cleanse(secret->data, secret->len);
}


static ngx_int_t
ngx_http_relay_endpoints(ngx_conf_t *cf, ngx_http_relay_main_conf_t *rmcf)
{
    ngx_uint_t             i;
    const relay_host_t    *host;
    relay_provider_key_t  *key;

    rmcf->endpoints = ngx_pcalloc(cf->pool, (rmcf->config->nhosts + 1)
                                          * sizeof(ngx_http_relay_endpoint_t *));
    if (rmcf->endpoints == NULL) {
        return NGX_ERROR;
    }

    for (i = 0; i < rmcf->config->nprovider_keys; i++) {
        key = &rmcf->config->provider_keys[i];
        host = key->host;

        /* hosts without a usable key cost nothing: no TLS, no DNS */

        if (!key->active || host->echo || rmcf->endpoints[host->index]) {
            continue;
        }

        rmcf->endpoints[host->index] = ngx_http_relay_endpoint_get(cf, rmcf,
                                                                   host);
        if (rmcf->endpoints[host->index] == NULL) {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


static ngx_http_relay_endpoint_t *
ngx_http_relay_endpoint_get(ngx_conf_t *cf, ngx_http_relay_main_conf_t *rmcf,
    const relay_host_t *host)
{
    ngx_uint_t                   i;
    ngx_http_relay_tls_t        *tls;
    ngx_http_relay_endpoint_t   *ep, **epp;

    tls = NULL;

    if (host->tls) {
        tls = ngx_http_relay_tls_get(cf, rmcf, host);
        if (tls == NULL) {
            return NULL;
        }
    }

    epp = rmcf->all.elts;

    for (i = 0; i < rmcf->all.nelts; i++) {
        ep = epp[i];

        if (ep->port == host->port
            && ep->tls == tls
            && ep->local == host->local
            && relay_span_eq(ngx_http_relay_span(&ep->name),
                             host->server_name)
            && relay_span_eq(ngx_http_relay_span(&ep->tls_name),
                             host->tls_name))
        {
            return ep;
        }
    }

    ep = ngx_pcalloc(cf->pool, sizeof(ngx_http_relay_endpoint_t));
    epp = ngx_array_push(&rmcf->all);
    if (ep == NULL || epp == NULL) {
        return NULL;
    }

    *epp = ep;

    ngx_queue_init(&ep->idle);
    ngx_queue_init(&ep->waiters);

    ep->name.data = (u_char *) host->server_name.base;
    ep->name.len = host->server_name.len;
    ep->tls_name.data = (u_char *) host->tls_name.base;
    ep->tls_name.len = host->tls_name.len;
    ep->port = host->port;
    ep->tls = tls;
    ep->local = host->local;

    if (ngx_http_relay_endpoint_literal(cf, ep) != NGX_OK) {
        return NULL;
    }

    return ep;
}


/* addresses that need no name server: literals and /etc/hosts */

static ngx_int_t
ngx_http_relay_endpoint_literal(ngx_conf_t *cf, ngx_http_relay_endpoint_t *ep)
{
    ngx_int_t   rc;
    ngx_str_t   hosts;
    ngx_addr_t  addr;

    static ngx_str_t  file = ngx_string("/etc/hosts");

    rc = ngx_parse_addr(cf->temp_pool, &addr, ep->name.data, ep->name.len);

    if (rc == NGX_ERROR) {
        return NGX_ERROR;
    }

    if (rc == NGX_OK) {
        ep->literal = 1;
        ngx_inet_set_port(addr.sockaddr, ep->port);

        return ngx_http_relay_endpoint_add_addr(ep, addr.sockaddr,
                                                addr.socklen);
    }

    if (access((char *) file.data, R_OK) == 0
        && ngx_http_relay_read_file(cf, &file, NGX_HTTP_RELAY_DOCUMENT_MAX,
                                    &hosts)
           == NGX_OK)
    {
        return ngx_http_relay_resolve_hosts_file(ep, &hosts);
    }

    return NGX_OK;
}


static ngx_http_relay_tls_t *
ngx_http_relay_tls_get(ngx_conf_t *cf, ngx_http_relay_main_conf_t *rmcf,
    const relay_host_t *host)
{
    ngx_queue_t           *q;
    ngx_pool_cleanup_t    *cln;
    ngx_http_relay_tls_t  *tls;

    for (q = ngx_queue_head(&rmcf->tls);
         q != ngx_queue_sentinel(&rmcf->tls);
         q = ngx_queue_next(q))
    {
        tls = ngx_queue_data(q, ngx_http_relay_tls_t, queue);

        if (tls->verify == host->tls_verify
            && relay_span_eq(ngx_http_relay_span(&tls->ca_file),
                             host->tls_ca_file))
        {
            return tls;
        }
    }

    tls = ngx_pcalloc(cf->pool, sizeof(ngx_http_relay_tls_t));
    if (tls == NULL) {
        return NULL;
    }

    tls->verify = host->tls_verify;
    tls->ca_file.data = (u_char *) host->tls_ca_file.base;
    tls->ca_file.len = host->tls_ca_file.len;
    tls->ssl.log = cf->log;

    if (ngx_ssl_create(&tls->ssl,
                       NGX_SSL_TLSv1_2|NGX_SSL_TLSv1_3, NULL)
        != NGX_OK)
    {
        return NULL;
    }

    cln = ngx_pool_cleanup_add(cf->pool, 0);
    if (cln == NULL) {
        ngx_ssl_cleanup_ctx(&tls->ssl);
        return NULL;
    }

    cln->handler = ngx_ssl_cleanup_ctx;
    cln->data = &tls->ssl;

    /* without this, TLS 1.3 tickets never reach save_session */

    if (ngx_ssl_client_session_cache(cf, &tls->ssl, 1) != NGX_OK) {
        return NULL;
    }

    if (tls->verify && ngx_http_relay_tls_trust(cf, tls) != NGX_OK) {
        return NULL;
    }

    ngx_queue_insert_tail(&rmcf->tls, &tls->queue);

    return tls;
}


static ngx_int_t
ngx_http_relay_tls_trust(ngx_conf_t *cf, ngx_http_relay_tls_t *tls)
{
    ngx_str_t   file;
    ngx_uint_t  i;

    if (tls->ca_file.len) {
        file.len = tls->ca_file.len;
        file.data = ngx_pnalloc(cf->pool, file.len + 1);
        if (file.data == NULL) {
            return NGX_ERROR;
        }

        (void) ngx_cpystrn(file.data, tls->ca_file.data, file.len + 1);

        return ngx_ssl_trusted_certificate(cf, &tls->ssl, &file, 4);
    }

    for (i = 0; ngx_http_relay_ca_files[i].len; i++) {
        file = ngx_http_relay_ca_files[i];

        if (access((char *) file.data, R_OK) == 0) {
            return ngx_ssl_trusted_certificate(cf, &tls->ssl, &file, 4);
        }
    }

    ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                  "no certificate authorities found; install the package "
                  "\"ca-certificates\" or set \"tls\": {\"ca_file\": ...}");

    return NGX_ERROR;
}
