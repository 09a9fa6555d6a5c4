
/*
 * The directives of the store, and what the master reads for the workers: the
 * keys that heads are verified with, and those that open provider keys.
 */


#include "ngx_http_relay_store.h"

#include <sys/mman.h>


#define NGX_HTTP_RELAY_KEY_FILE_MAX  65536
#define NGX_HTTP_RELAY_NODE_MAX      64


static ngx_int_t ngx_http_relay_store_node(ngx_conf_t *cf,
    ngx_http_relay_store_conf_t *scf);
static ngx_int_t ngx_http_relay_store_keys(ngx_conf_t *cf,
    ngx_http_relay_store_conf_t *scf);
static ngx_int_t ngx_http_relay_store_read_ring(ngx_conf_t *cf,
    ngx_str_t *file, relay_key_ring_t *ring);
static void ngx_http_relay_store_cleanse_ring(void *data);


ngx_http_relay_store_conf_t *
ngx_http_relay_store_create_conf(ngx_conf_t *cf)
{
    return ngx_pcalloc(cf->pool, sizeof(ngx_http_relay_store_conf_t));
}


char *
ngx_http_relay_store_directive(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_relay_main_conf_t *rmcf = conf;

    ngx_str_t                    *value;
    ngx_http_relay_store_conf_t  *scf;

    value = cf->args->elts;
    scf = rmcf->store_conf;

    if (scf->redis.url.len) {
        return "is duplicate";
    }

    return ngx_http_relay_redis_set_url(cf, &scf->redis, &value[1]);
}


char *
ngx_http_relay_store_password(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_relay_main_conf_t *rmcf = conf;

    ngx_str_t                    *value;
    ngx_http_relay_store_conf_t  *scf;

    value = cf->args->elts;
    scf = rmcf->store_conf;

    if (scf->redis.password.len) {
        return "is duplicate";
    }

    return ngx_http_relay_redis_set_password(cf, &scf->redis, &value[1]);
}


/* the texts: which one is in cmd->post */

char *
ngx_http_relay_store_text(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_relay_main_conf_t *rmcf = conf;

    ngx_str_t  *value, *text;

    value = cf->args->elts;
    text = (ngx_str_t *) ((u_char *) rmcf->store_conf
                          + (uintptr_t) cmd->post);

    if (text->data) {
        return "is duplicate";
    }

    *text = value[1];

    return NGX_CONF_OK;
}


char *
ngx_http_relay_store_file(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_str_t  *value;

    value = cf->args->elts;

    if (ngx_conf_full_name(cf->cycle, &value[1], 1) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    return ngx_http_relay_store_text(cf, cmd, conf);
}


/* nginx makes the folder, and gives it to the workers' user */

char *
ngx_http_relay_store_state(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_relay_main_conf_t *rmcf = conf;

    ngx_str_t   *value;
    ngx_path_t  *path;

    value = cf->args->elts;

    if (rmcf->store_conf->state) {
        return "is duplicate";
    }

    path = ngx_pcalloc(cf->pool, sizeof(ngx_path_t));
    if (path == NULL) {
        return NGX_CONF_ERROR;
    }

    path->name = value[1];

    if (path->name.len > 1 && path->name.data[path->name.len - 1] == '/') {
        path->name.len--;
        path->name.data[path->name.len] = '\0';
    }

    if (ngx_conf_full_name(cf->cycle, &path->name, 0) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    path->conf_file = cf->conf_file->file.name.data;
    path->line = cf->conf_file->line;

    if (ngx_add_path(cf, &path) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    rmcf->store_conf->state = path;

    return NGX_CONF_OK;
}


ngx_int_t
ngx_http_relay_store_init_conf(ngx_conf_t *cf,
    ngx_http_relay_main_conf_t *rmcf)
{
    ngx_http_relay_store_conf_t  *scf;

    scf = rmcf->store_conf;

    if (scf->redis.url.len == 0) {
        rmcf->store_conf = NULL;
        return NGX_OK;
    }

    if (scf->prefix.data == NULL) {
        ngx_str_set(&scf->prefix, "relay:");
    }

    if (ngx_http_relay_store_node(cf, scf) != NGX_OK
        || ngx_http_relay_store_keys(cf, scf) != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (scf->user.len) {
        scf->redis.user = scf->user;
    }

    scf->redis.resolver = rmcf->resolver;
    scf->redis.resolver_timeout = rmcf->resolver_timeout;

    if (ngx_http_relay_redis_init_conf(cf, &scf->redis) != NGX_OK) {
        return NGX_ERROR;
    }

    /* reading 140 certificates takes long: once, and not in a worker */

    if (ngx_http_relay_tls_prepare(cf, rmcf, 1, relay_span(NULL, 0))
        != NGX_OK)
    {
        return NGX_ERROR;
    }

#if (NGX_THREADS)

    scf->threads = ngx_thread_pool_add(cf, NULL);
    if (scf->threads == NULL) {
        return NGX_ERROR;
    }

#endif

    return NGX_OK;
}


/* it becomes part of a field's name, with a slash behind it */

static ngx_int_t
ngx_http_relay_store_node(ngx_conf_t *cf, ngx_http_relay_store_conf_t *scf)
{
    u_char      ch;
    ngx_uint_t  i, given;

    given = (scf->node.data != NULL);

    if (!given) {
        scf->node = cf->cycle->hostname;
    }

    for (i = 0; i < scf->node.len; i++) {
        ch = scf->node.data[i];

        if (ch <= ' ' || ch >= 0x7f || ch == '/' || ch == '"' || ch == '\\') {
            break;
        }
    }

    if (scf->node.len == 0 || scf->node.len > NGX_HTTP_RELAY_NODE_MAX
        || i < scf->node.len)
    {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "%s \"%V\" is no name of a node: 1 to %d printable "
                      "characters without spaces, quotes and slashes; "
                      "set \"relay_node\"",
                      given ? "\"relay_node\"" : "the name of this host",
                      &scf->node, NGX_HTTP_RELAY_NODE_MAX);
        return NGX_ERROR;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_relay_store_keys(ngx_conf_t *cf, ngx_http_relay_store_conf_t *scf)
{
    size_t               size;
    ngx_pool_cleanup_t  *cln;

    if (scf->verify_file.len == 0) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "\"relay_store\" needs \"relay_store_verify_keys\"");
        return NGX_ERROR;
    }

    scf->signers = ngx_pcalloc(cf->pool, sizeof(relay_key_ring_t));
    if (scf->signers == NULL
        || ngx_http_relay_store_read_ring(cf, &scf->verify_file, scf->signers)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (scf->seal_file.len == 0) {
        return NGX_OK;
    }

    /* pages of its own, that no core file holds */

    size = ngx_align(sizeof(relay_key_ring_t), ngx_pagesize);

    cln = ngx_pool_cleanup_add(cf->pool, 0);
    if (cln == NULL) {
        return NGX_ERROR;
    }

    scf->dataplane = mmap(NULL, size, PROT_READ|PROT_WRITE,
                          MAP_PRIVATE|MAP_ANONYMOUS, -1, 0);

    if (scf->dataplane == MAP_FAILED) {
        scf->dataplane = NULL;
        ngx_log_error(NGX_LOG_EMERG, cf->log, ngx_errno, "mmap() failed");
        return NGX_ERROR;
    }

    cln->handler = ngx_http_relay_store_cleanse_ring;
    cln->data = scf;

#ifdef MADV_DONTDUMP

    if (madvise(scf->dataplane, size, MADV_DONTDUMP) == -1) {
        ngx_log_error(NGX_LOG_WARN, cf->log, ngx_errno,
                      "madvise(MADV_DONTDUMP) failed");
    }

#endif

    return ngx_http_relay_store_read_ring(cf, &scf->seal_file, scf->dataplane);
}


static ngx_int_t
ngx_http_relay_store_read_ring(ngx_conf_t *cf, ngx_str_t *file,
    relay_key_ring_t *ring)
{
    size_t       line;
    ngx_str_t    text;
    const char  *message;

    if (ngx_http_relay_read_file(cf, cf->temp_pool, file,
                                 NGX_HTTP_RELAY_KEY_FILE_MAX, &text)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (!relay_key_ring_read(ngx_http_relay_span(&text), ring, &line,
                             &message))
    {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0, "%V:%uz: %s", file, line,
                      message);
        return NGX_ERROR;
    }

    return NGX_OK;
}


static void
ngx_http_relay_store_cleanse_ring(void *data)
{
    ngx_http_relay_store_conf_t *scf = data;

    if (scf->dataplane) {
        relay_key_ring_cleanse(scf->dataplane);

        (void) munmap(scf->dataplane,
                      ngx_align(sizeof(relay_key_ring_t), ngx_pagesize));
        scf->dataplane = NULL;
    }
}


/* for processes that open nothing: they forget the keys at once */

void
ngx_http_relay_store_forget_keys(ngx_http_relay_main_conf_t *rmcf)
{
    if (rmcf->store_conf) {
        ngx_http_relay_store_cleanse_ring(rmcf->store_conf);
    }
}


const relay_key_ring_t *
ngx_http_relay_store_ring(ngx_http_relay_main_conf_t *rmcf)
{
    return rmcf->store_conf ? rmcf->store_conf->dataplane : NULL;
}
