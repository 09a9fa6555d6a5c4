
/*
 * Files to the first snapshot: the documents are read and validated by
 * core/config_doc, then secrets are resolved and TLS profiles are made. Runs in
 * the master, at start and at each reload; any failure leaves the running
 * configuration as it is.
 */


#include "ngx_http_relay.h"

#include <openssl/crypto.h>


static ngx_int_t ngx_http_relay_catalog_file(ngx_tree_ctx_t *tree,
    ngx_str_t *path);
static ngx_int_t ngx_http_relay_catalog_skip(ngx_tree_ctx_t *tree,
    ngx_str_t *path);
static int ngx_libc_cdecl ngx_http_relay_catalog_compare(const void *one,
    const void *two);
static ngx_int_t ngx_http_relay_add_file(ngx_conf_t *cf,
    ngx_http_relay_main_conf_t *rmcf, ngx_str_t *name, ngx_uint_t catalog);
static ngx_int_t ngx_http_relay_build(ngx_conf_t *cf,
    ngx_http_relay_main_conf_t *rmcf);
static void ngx_http_relay_release_current(void *data);
static ngx_int_t ngx_http_relay_secrets(ngx_conf_t *cf,
    ngx_http_relay_main_conf_t *rmcf);
static ngx_int_t ngx_http_relay_secret(ngx_conf_t *cf,
    ngx_http_relay_main_conf_t *rmcf, relay_provider_key_t *key);
static void ngx_http_relay_cleanse(void *data);
static ngx_int_t ngx_http_relay_profiles(ngx_conf_t *cf,
    ngx_http_relay_main_conf_t *rmcf);


char *
ngx_http_relay_config_file(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_relay_main_conf_t *rmcf = conf;

    ngx_str_t  *value;

    value = cf->args->elts;

    if (ngx_conf_full_name(cf->cycle, &value[1], 1) != NGX_OK
        || ngx_http_relay_add_file(cf, rmcf, &value[1], 0) != NGX_OK)
    {
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


/* one file, or every *.json below a folder, in the order of their names */

char *
ngx_http_relay_config_catalog(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_relay_main_conf_t *rmcf = conf;

    ngx_str_t        *value;
    ngx_uint_t        i;
    ngx_array_t       names;
    ngx_tree_ctx_t    tree;
    ngx_file_info_t   info;

    value = cf->args->elts;

    if (ngx_conf_full_name(cf->cycle, &value[1], 1) != NGX_OK
        || ngx_array_init(&names, cf->pool, 64, sizeof(ngx_str_t)) != NGX_OK)
    {
        return NGX_CONF_ERROR;
    }

    if (ngx_file_info(value[1].data, &info) == NGX_FILE_ERROR
        || !ngx_is_dir(&info))
    {
        return (ngx_http_relay_add_file(cf, rmcf, &value[1], 1) == NGX_OK)
               ? NGX_CONF_OK : NGX_CONF_ERROR;
    }

    ngx_memzero(&tree, sizeof(ngx_tree_ctx_t));

    tree.file_handler = ngx_http_relay_catalog_file;
    tree.pre_tree_handler = ngx_http_relay_catalog_skip;
    tree.post_tree_handler = ngx_http_relay_catalog_skip;
    tree.spec_handler = ngx_http_relay_catalog_skip;
    tree.data = &names;
    tree.log = cf->log;

    if (ngx_walk_tree(&tree, &value[1]) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    value = names.elts;

    ngx_qsort(value, names.nelts, sizeof(ngx_str_t),
              ngx_http_relay_catalog_compare);

    for (i = 0; i < names.nelts; i++) {
        if (ngx_http_relay_add_file(cf, rmcf, &value[i], 1) != NGX_OK) {
            return NGX_CONF_ERROR;
        }
    }

    return NGX_CONF_OK;
}


static ngx_int_t
ngx_http_relay_catalog_file(ngx_tree_ctx_t *tree, ngx_str_t *path)
{
    u_char       *last;
    ngx_str_t    *name;
    ngx_array_t  *names;

    names = tree->data;
    last = path->data + path->len;

    if (path->len < sizeof(".json")
        || ngx_strncmp(last - 5, ".json", 5) != 0
        || (path->len > sizeof(".schema.json")
            && ngx_strncmp(last - 12, ".schema.json", 12) == 0))
    {
        return NGX_OK;
    }

    name = ngx_array_push(names);
    if (name == NULL) {
        return NGX_ABORT;
    }

    name->len = path->len;
    name->data = ngx_pnalloc(names->pool, path->len + 1);
    if (name->data == NULL) {
        return NGX_ABORT;
    }

    (void) ngx_cpystrn(name->data, path->data, path->len + 1);

    return NGX_OK;
}


static ngx_int_t
ngx_http_relay_catalog_skip(ngx_tree_ctx_t *tree, ngx_str_t *path)
{
    return NGX_OK;
}


static int ngx_libc_cdecl
ngx_http_relay_catalog_compare(const void *one, const void *two)
{
    const ngx_str_t  *a = one, *b = two;

    return ngx_strcmp(a->data, b->data);
}


static ngx_int_t
ngx_http_relay_add_file(ngx_conf_t *cf, ngx_http_relay_main_conf_t *rmcf,
    ngx_str_t *name, ngx_uint_t catalog)
{
    relay_document_t  *document;

    document = ngx_array_push(rmcf->documents);
    if (document == NULL) {
        return NGX_ERROR;
    }

    ngx_memzero(document, sizeof(relay_document_t));

    document->name = ngx_http_relay_span(name);
    document->catalog = catalog;

    return NGX_OK;
}


ngx_int_t
ngx_http_relay_config_load(ngx_conf_t *cf, ngx_http_relay_main_conf_t *rmcf)
{
    ngx_str_t          name, text;
    ngx_uint_t         i;
    ngx_pool_t        *pool;
    relay_document_t  *documents;

    /* a store's documents are merged with these, again and again */

    pool = rmcf->store_conf ? cf->pool : cf->temp_pool;
    documents = rmcf->documents->elts;

    for (i = 0; i < rmcf->documents->nelts; i++) {

        name.data = (u_char *) documents[i].name.base;
        name.len = documents[i].name.len;

        if (ngx_http_relay_read_file(cf, pool, &name,
                                     NGX_HTTP_RELAY_DOCUMENT_MAX, &text)
            != NGX_OK)
        {
            return NGX_ERROR;
        }

        documents[i].text = ngx_http_relay_span(&text);
    }

    if (ngx_http_relay_build(cf, rmcf) != NGX_OK
        || ngx_http_relay_secrets(cf, rmcf) != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_http_relay_profiles(cf, rmcf);
}


/* a file that may hold secrets: its text is cleansed with the pool */

ngx_int_t
ngx_http_relay_read_file(ngx_conf_t *cf, ngx_pool_t *pool, ngx_str_t *name,
    size_t max, ngx_str_t *text)
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

    cln = ngx_pool_cleanup_add(pool, sizeof(ngx_str_t));
    text->data = ngx_palloc(pool, text->len + 1);
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
ngx_http_relay_build(ngx_conf_t *cf, ngx_http_relay_main_conf_t *rmcf)
{
    ngx_str_t              name;
    ngx_pool_cleanup_t    *cln;
    relay_config_fault_t  *fault;

    fault = ngx_pcalloc(cf->temp_pool, sizeof(relay_config_fault_t));
    cln = ngx_pool_cleanup_add(cf->pool, 0);

    if (fault == NULL || cln == NULL) {
        return NGX_ERROR;
    }

    rmcf->snapshot = ngx_http_relay_snapshot_create();
    if (rmcf->snapshot == NULL) {
        return NGX_ERROR;
    }

    cln->handler = ngx_http_relay_release_current;
    cln->data = rmcf;

    if (ngx_http_relay_snapshot_build(rmcf->snapshot, rmcf->documents->elts,
                                      rmcf->documents->nelts, fault)
        == NGX_OK)
    {
        return NGX_OK;
    }

    name.data = (u_char *) fault->document.base;
    name.len = fault->document.len;

    ngx_log_error(NGX_LOG_EMERG, cf->log, 0, "%V:%uz:%uz: %s%s%s", &name,
                  fault->line, fault->column, fault->path,
                  fault->path[0] ? ": " : "", fault->message);

    return NGX_ERROR;
}


/* in the master or in a worker: whichever is the current one by then */

static void
ngx_http_relay_release_current(void *data)
{
    ngx_http_relay_main_conf_t *rmcf = data;

    ngx_http_relay_snapshot_release(rmcf->snapshot);
}


static ngx_int_t
ngx_http_relay_secrets(ngx_conf_t *cf, ngx_http_relay_main_conf_t *rmcf)
{
    ngx_str_t              name;
    ngx_uint_t             i;
    relay_provider_key_t  *key;

    for (i = 0; i < rmcf->snapshot->config->nprovider_keys; i++) {
        key = &rmcf->snapshot->config->provider_keys[i];

        switch (ngx_http_relay_secret(cf, rmcf, key)) {

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
ngx_http_relay_secret(ngx_conf_t *cf, ngx_http_relay_main_conf_t *rmcf,
    relay_provider_key_t *key)
{
    char       *env;
    u_char     *name;
    ngx_str_t   text, source, *secret;

    source.data = (u_char *) key->secret.base;
    source.len = key->secret.len;

    name = ngx_pnalloc(cf->temp_pool, source.len + 1);
    if (name == NULL) {
        return NGX_ERROR;
    }

    (void) ngx_cpystrn(name, source.data, source.len + 1);

    switch (key->secret_kind) {

    case RELAY_SECRET_SEALED:
        return ngx_http_relay_secret_opens(
                   ngx_http_relay_store_ring(rmcf), key);

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

        if (ngx_http_relay_read_file(cf, cf->temp_pool, &source,
                                     NGX_HTTP_RELAY_SECRET_MAX, &text)
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

    secret = &rmcf->snapshot->secrets[key->index];

    secret->data = ngx_http_relay_snapshot_alloc(rmcf->snapshot,
                                                 text.len + 1);
    if (secret->data == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(secret->data, text.data, text.len);
    secret->len = text.len;

    return NGX_OK;
}


static void
ngx_http_relay_cleanse(void *data)
{
    ngx_str_t  *secret = data;

    OPENSSL_cleanse(secret->data, secret->len);
}


/* for the hosts that have a key: a certificate that is missing is an error */

static ngx_int_t
ngx_http_relay_profiles(ngx_conf_t *cf, ngx_http_relay_main_conf_t *rmcf)
{
    ngx_uint_t                   i;
    const relay_host_t          *host;
    const relay_provider_key_t  *key;

    for (i = 0; i < rmcf->snapshot->config->nprovider_keys; i++) {
        key = &rmcf->snapshot->config->provider_keys[i];
        host = key->host;

        if (key->active && host->tls
            && ngx_http_relay_tls_prepare(cf, rmcf, host->tls_verify,
                                          host->tls_ca_file)
               != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}
