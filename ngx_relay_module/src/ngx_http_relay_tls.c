
/*
 * TLS profiles: one SSL_CTX for each way of checking certificates. Those that
 * relay_config files need are made by the master and last as long as the
 * cycle; others come with snapshots from the store and go when no endpoint uses
 * them any more.
 */


#include "ngx_http_relay.h"


static ngx_int_t ngx_http_relay_tls_trust(ngx_http_relay_tls_t *tls,
    ngx_str_t *prefix);
static ngx_int_t ngx_http_relay_tls_authorities(ngx_http_relay_tls_t *tls,
    ngx_str_t *prefix, ngx_str_t *file);


/* where distributions keep the system's certificate authorities */

static ngx_str_t  ngx_http_relay_ca_files[] = {
    ngx_string("/etc/ssl/certs/ca-certificates.crt"),
    ngx_string("/etc/pki/tls/certs/ca-bundle.crt"),
    ngx_string("/etc/ssl/cert.pem"),
    ngx_null_string
};


ngx_http_relay_tls_t *
ngx_http_relay_tls_find(ngx_queue_t *profiles, ngx_uint_t verify,
    relay_span_t ca_file)
{
    ngx_queue_t           *q;
    ngx_http_relay_tls_t  *tls;

    for (q = ngx_queue_head(profiles);
         q != ngx_queue_sentinel(profiles);
         q = ngx_queue_next(q))
    {
        tls = ngx_queue_data(q, ngx_http_relay_tls_t, queue);

        if (tls->verify == (ngx_flag_t) verify
            && relay_span_eq(ngx_http_relay_span(&tls->ca_file), ca_file))
        {
            return tls;
        }
    }

    return NULL;
}


/* may run in a thread: it touches nothing but what it makes */

ngx_http_relay_tls_t *
ngx_http_relay_tls_create(ngx_str_t *prefix, ngx_uint_t verify,
    relay_span_t ca_file, ngx_log_t *log)
{
    ngx_http_relay_tls_t  *tls;

    tls = ngx_calloc(sizeof(ngx_http_relay_tls_t) + ca_file.len, log);
    if (tls == NULL) {
        return NULL;
    }

    tls->verify = verify;
    tls->ca_file.len = ca_file.len;
    tls->ca_file.data = (u_char *) tls + sizeof(ngx_http_relay_tls_t);

    if (ca_file.len) {
        ngx_memcpy(tls->ca_file.data, ca_file.base, ca_file.len);
    }

    tls->ssl.log = log;

    if (ngx_ssl_create(&tls->ssl, NGX_SSL_TLSv1_2|NGX_SSL_TLSv1_3, NULL)
        != NGX_OK)
    {
        ngx_free(tls);
        return NULL;
    }

    /* without this, TLS 1.3 tickets never reach save_session */

    if (ngx_ssl_client_session_cache(NULL, &tls->ssl, 1) != NGX_OK
        || (verify && ngx_http_relay_tls_trust(tls, prefix) != NGX_OK))
    {
        ngx_http_relay_tls_free(tls);
        return NULL;
    }

    return tls;
}


void
ngx_http_relay_tls_free(void *data)
{
    ngx_http_relay_tls_t *tls = data;

    ngx_ssl_cleanup_ctx(&tls->ssl);
    ngx_free(tls);
}


static ngx_int_t
ngx_http_relay_tls_trust(ngx_http_relay_tls_t *tls, ngx_str_t *prefix)
{
    ngx_str_t   file;
    ngx_uint_t  i;

    if (tls->ca_file.len) {
        return ngx_http_relay_tls_authorities(tls, prefix, &tls->ca_file);
    }

    for (i = 0; ngx_http_relay_ca_files[i].len; i++) {
        file = ngx_http_relay_ca_files[i];

        if (access((char *) file.data, R_OK) == 0) {
            return ngx_http_relay_tls_authorities(tls, prefix, &file);
        }
    }

    ngx_log_error(NGX_LOG_EMERG, tls->ssl.log, 0,
                  "no certificate authorities found; install the package "
                  "\"ca-certificates\" or set \"tls\": {\"ca_file\": ...}");

    return NGX_ERROR;
}


/*
 * Not ngx_ssl_trusted_certificate(): it wants a configuration being read. A
 * relative name is below nginx.conf's folder.
 */

static ngx_int_t
ngx_http_relay_tls_authorities(ngx_http_relay_tls_t *tls, ngx_str_t *prefix,
    ngx_str_t *file)
{
    u_char  *last, *end, name[NGX_MAX_PATH];

    last = name;
    end = name + NGX_MAX_PATH - 1;

    if (file->data[0] != '/') {
        last = ngx_slprintf(last, end, "%V", prefix);
    }

    last = ngx_slprintf(last, end, "%V", file);
    *last = '\0';

    SSL_CTX_set_verify_depth(tls->ssl.ctx, 4);

    if (SSL_CTX_load_verify_locations(tls->ssl.ctx, (char *) name, NULL) == 0) {
        ngx_ssl_error(NGX_LOG_EMERG, tls->ssl.log, 0,
                      "SSL_CTX_load_verify_locations(\"%s\") failed", name);
        return NGX_ERROR;
    }

    /* a success may leave errors in the queue */

    ERR_clear_error();

    return NGX_OK;
}


/* those that the master can make; an error for "nginx -t" if it cannot */

ngx_int_t
ngx_http_relay_tls_prepare(ngx_conf_t *cf, ngx_http_relay_main_conf_t *rmcf,
    ngx_uint_t verify, relay_span_t ca_file)
{
    ngx_pool_cleanup_t    *cln;
    ngx_http_relay_tls_t  *tls;

    if (ngx_http_relay_tls_find(&rmcf->tls, verify, ca_file)) {
        return NGX_OK;
    }

    cln = ngx_pool_cleanup_add(cf->pool, 0);
    if (cln == NULL) {
        return NGX_ERROR;
    }

    tls = ngx_http_relay_tls_create(&cf->cycle->conf_prefix, verify, ca_file,
                                    cf->log);
    if (tls == NULL) {
        return NGX_ERROR;
    }

    cln->handler = ngx_http_relay_tls_free;
    cln->data = tls;

    tls->users = 1;

    ngx_queue_insert_tail(&rmcf->tls, &tls->queue);

    return NGX_OK;
}


/*
 * Frees profiles that no endpoint uses. Not while a set is on its way: what it
 * found is to be there still when it is taken.
 */

void
ngx_http_relay_tls_sweep(ngx_http_relay_main_conf_t *rmcf)
{
    ngx_queue_t           *q, *next;
    ngx_http_relay_tls_t  *tls;

    for (q = ngx_queue_head(&rmcf->tls);
         q != ngx_queue_sentinel(&rmcf->tls);
         q = next)
    {
        next = ngx_queue_next(q);
        tls = ngx_queue_data(q, ngx_http_relay_tls_t, queue);

        if (tls->users == 0) {
            ngx_queue_remove(q);
            ngx_http_relay_tls_free(tls);
        }
    }
}
