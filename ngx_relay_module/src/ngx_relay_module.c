
/*
 * Directives, configuration life cycle and worker life cycle.
 */


#include "ngx_http_relay.h"
#include "ngx_http_relay_store.h"

#include <malloc.h>
#include <sys/prctl.h>


/* allocations of this size are given back when they are freed */
#define NGX_HTTP_RELAY_MALLOC_LARGE  (1024 * 1024)

/* what is free at the end of a heap stays for the next request */
#define NGX_HTTP_RELAY_MALLOC_KEPT   (2 * 1024 * 1024)


static void *ngx_http_relay_create_main_conf(ngx_conf_t *cf);
static char *ngx_http_relay_init_main_conf(ngx_conf_t *cf, void *conf);
static void *ngx_http_relay_create_loc_conf(ngx_conf_t *cf);
static char *ngx_http_relay_merge_loc_conf(ngx_conf_t *cf, void *parent,
    void *child);
static char *ngx_http_relay_pass(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static ngx_int_t ngx_http_relay_postconfiguration(ngx_conf_t *cf);
static ngx_int_t ngx_http_relay_threads(ngx_conf_t *cf,
    ngx_http_relay_main_conf_t *rmcf);
static ngx_int_t ngx_http_relay_upstream_conf(ngx_conf_t *cf,
    ngx_http_relay_main_conf_t *rmcf);
static ngx_int_t ngx_http_relay_init_process(ngx_cycle_t *cycle);
static void ngx_http_relay_limit_malloc(void);
static void ngx_http_relay_exit_process(ngx_cycle_t *cycle);


static ngx_command_t  ngx_http_relay_commands[] = {

    { ngx_string("relay_config"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_http_relay_config_file,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("relay_catalog"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_http_relay_config_catalog,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("relay_store"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_http_relay_store_directive,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("relay_store_user"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_http_relay_store_text,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      (void *) offsetof(ngx_http_relay_store_conf_t, user) },

    { ngx_string("relay_store_password"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_http_relay_store_password,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("relay_store_prefix"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_http_relay_store_text,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      (void *) offsetof(ngx_http_relay_store_conf_t, prefix) },

    { ngx_string("relay_store_ca_file"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_http_relay_store_file,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      (void *) offsetof(ngx_http_relay_store_conf_t, redis.ca_file) },

    { ngx_string("relay_store_verify_keys"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_http_relay_store_file,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      (void *) offsetof(ngx_http_relay_store_conf_t, verify_file) },

    { ngx_string("relay_store_seal_keys"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_http_relay_store_file,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      (void *) offsetof(ngx_http_relay_store_conf_t, seal_file) },

    { ngx_string("relay_store_state"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_http_relay_store_state,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("relay_node"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_http_relay_store_text,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      (void *) offsetof(ngx_http_relay_store_conf_t, node) },

    { ngx_string("relay_pass"),
      NGX_HTTP_LOC_CONF|NGX_CONF_NOARGS,
      ngx_http_relay_pass,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("relay_max_body_size"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_size_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_relay_loc_conf_t, max_body_size),
      NULL },

    { ngx_string("relay_max_response_size"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_size_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_relay_loc_conf_t, max_response_size),
      NULL },

    { ngx_string("relay_stream_keepalive"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_msec_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_relay_loc_conf_t, stream_keepalive),
      NULL },

    { ngx_string("relay_keepalive"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_num_slot,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_relay_main_conf_t, keepalive),
      NULL },

    { ngx_string("relay_keepalive_timeout"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_msec_slot,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_relay_main_conf_t, keepalive_timeout),
      NULL },

    { ngx_string("relay_core_dumps"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_FLAG,
      ngx_conf_set_flag_slot,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_relay_main_conf_t, core_dumps),
      NULL },

    { ngx_string("relay_thread_pool"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_str_slot,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_relay_main_conf_t, thread_pool),
      NULL },

      ngx_null_command
};


static ngx_http_module_t  ngx_relay_module_ctx = {
    ngx_http_relay_add_variables,          /* preconfiguration */
    ngx_http_relay_postconfiguration,      /* postconfiguration */

    ngx_http_relay_create_main_conf,       /* create main configuration */
    ngx_http_relay_init_main_conf,         /* init main configuration */

    NULL,                                  /* create server configuration */
    NULL,                                  /* merge server configuration */

    ngx_http_relay_create_loc_conf,        /* create location configuration */
    ngx_http_relay_merge_loc_conf          /* merge location configuration */
};


ngx_module_t  ngx_relay_module = {
    NGX_MODULE_V1,
    &ngx_relay_module_ctx,                 /* module context */
    ngx_http_relay_commands,               /* module directives */
    NGX_HTTP_MODULE,                       /* module type */
    NULL,                                  /* init master */
    NULL,                                  /* init module */
    ngx_http_relay_init_process,           /* init process */
    NULL,                                  /* init thread */
    NULL,                                  /* exit thread */
    ngx_http_relay_exit_process,           /* exit process */
    NULL,                                  /* exit master */
    NGX_MODULE_V1_PADDING
};


static void *
ngx_http_relay_create_main_conf(ngx_conf_t *cf)
{
    ngx_http_relay_main_conf_t  *rmcf;

    rmcf = ngx_pcalloc(cf->pool, sizeof(ngx_http_relay_main_conf_t));
    if (rmcf == NULL) {
        return NULL;
    }

    rmcf->keepalive = NGX_CONF_UNSET_UINT;
    rmcf->keepalive_timeout = NGX_CONF_UNSET_MSEC;
    rmcf->core_dumps = NGX_CONF_UNSET;

    ngx_queue_init(&rmcf->tls);

    rmcf->documents = ngx_array_create(cf->pool, 4, sizeof(relay_document_t));
    rmcf->store_conf = ngx_http_relay_store_create_conf(cf);

    if (rmcf->documents == NULL || rmcf->store_conf == NULL) {
        return NULL;
    }

    return rmcf;
}


static char *
ngx_http_relay_init_main_conf(ngx_conf_t *cf, void *conf)
{
    ngx_http_relay_main_conf_t  *rmcf = conf;

    ngx_conf_init_uint_value(rmcf->keepalive, 512);
    ngx_conf_init_msec_value(rmcf->keepalive_timeout, 60000);
    ngx_conf_init_value(rmcf->core_dumps, 0);

    return NGX_CONF_OK;
}


static void *
ngx_http_relay_create_loc_conf(ngx_conf_t *cf)
{
    ngx_http_relay_loc_conf_t  *rlcf;

    rlcf = ngx_pcalloc(cf->pool, sizeof(ngx_http_relay_loc_conf_t));
    if (rlcf == NULL) {
        return NULL;
    }

    /*
     * set by ngx_pcalloc():
     *
     *     rlcf->pass = 0;
     */

    rlcf->max_body_size = NGX_CONF_UNSET_SIZE;
    rlcf->max_response_size = NGX_CONF_UNSET_SIZE;
    rlcf->stream_keepalive = NGX_CONF_UNSET_MSEC;

    return rlcf;
}


static char *
ngx_http_relay_merge_loc_conf(ngx_conf_t *cf, void *parent, void *child)
{
    ngx_http_relay_loc_conf_t  *prev = parent;
    ngx_http_relay_loc_conf_t  *conf = child;

    ngx_http_core_loc_conf_t  *clcf;
    ngx_http_core_srv_conf_t  *cscf;

    ngx_conf_merge_size_value(conf->max_body_size, prev->max_body_size,
                              32 * 1024 * 1024);
    ngx_conf_merge_size_value(conf->max_response_size,
                              prev->max_response_size, 32 * 1024 * 1024);
    ngx_conf_merge_msec_value(conf->stream_keepalive,
                              prev->stream_keepalive, 15000);

    if (!conf->pass) {
        return NGX_CONF_OK;
    }

    /*
     * The core's own limit answers with an HTML page before the handler runs;
     * relay_max_body_size is checked by us and answered in the caller's form.
     */

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    clcf->client_max_body_size = 0;

    /*
     * Only the first piece of a body is to land in nginx's buffer: the rest is
     * read into its place, and what a larger one takes is copied there.
     */

    clcf->client_body_buffer_size = 16384;

    /* SDKs send names such as session_id, and values of 8 KB */

    cscf = ngx_http_conf_get_module_srv_conf(cf, ngx_http_core_module);

    cscf->underscores_in_headers = 1;
    cscf->large_client_header_buffers.size =
                      ngx_max(cscf->large_client_header_buffers.size, 16384);

    return NGX_CONF_OK;
}


static char *
ngx_http_relay_pass(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_relay_loc_conf_t  *rlcf = conf;

    ngx_http_core_loc_conf_t    *clcf;
    ngx_http_relay_main_conf_t  *rmcf;

    if (rlcf->pass) {
        return "is duplicate";
    }

    rlcf->pass = 1;

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);
    clcf->handler = ngx_http_relay_handler;

    rmcf = ngx_http_conf_get_module_main_conf(cf, ngx_relay_module);
    rmcf->enabled = 1;

    return NGX_CONF_OK;
}


static ngx_int_t
ngx_http_relay_postconfiguration(ngx_conf_t *cf)
{
    ngx_http_relay_main_conf_t  *rmcf;

    rmcf = ngx_http_conf_get_module_main_conf(cf, ngx_relay_module);

    if (rmcf->documents->nelts == 0 && rmcf->store_conf->redis.url.len == 0) {

        if (rmcf->enabled) {
            ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                          "\"relay_pass\" needs a \"relay_config\" directive "
                          "in the http block, or a \"relay_store\"");
            return NGX_ERROR;
        }

        return NGX_OK;
    }

    if (ngx_http_relay_threads(cf, rmcf) != NGX_OK
        || ngx_http_relay_upstream_conf(cf, rmcf) != NGX_OK
        || ngx_http_relay_resolver(cf, rmcf) != NGX_OK
        || ngx_http_relay_store_init_conf(cf, rmcf) != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_http_relay_config_load(cf, rmcf);
}


/* without threads, by nginx's build or by choice, the worker does all itself */

static ngx_int_t
ngx_http_relay_threads(ngx_conf_t *cf, ngx_http_relay_main_conf_t *rmcf)
{
    ngx_str_t  *name;

    name = &rmcf->thread_pool;

    if (name->len == 3 && ngx_strncmp(name->data, "off", 3) == 0) {
        return NGX_OK;
    }

#if (NGX_THREADS)

    rmcf->threads = ngx_thread_pool_add(cf, name->len ? name : NULL);

    return rmcf->threads ? NGX_OK : NGX_ERROR;

#else

    if (name->len) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "\"relay_thread_pool\" needs an nginx that was built "
                      "with threads");
        return NGX_ERROR;
    }

    return NGX_OK;

#endif
}


/* the part of ngx_http_upstream_conf_t that is the same for every try */

static ngx_int_t
ngx_http_relay_upstream_conf(ngx_conf_t *cf, ngx_http_relay_main_conf_t *rmcf)
{
    ngx_hash_init_t            hash;
    ngx_http_upstream_conf_t  *conf, parent;

    static ngx_str_t  none[] = { ngx_null_string };

    rmcf->upstream.host.data = (u_char *) "relay";
    rmcf->upstream.host.len = sizeof("relay") - 1;
    rmcf->upstream.peer.init = ngx_http_relay_peer_init;

    conf = &rmcf->upstream_conf;

    conf->upstream = &rmcf->upstream;
    conf->buffer_size = 16384;
    conf->send_lowat = 0;
    conf->send_timeout = 60000;
    conf->connect_timeout = 5000;
    conf->read_timeout = 60000;
    conf->buffering = 0;
    conf->ignore_client_abort = 0;
    conf->module = rmcf->upstream.host;

    conf->next_upstream = NGX_HTTP_UPSTREAM_FT_ERROR
                          |NGX_HTTP_UPSTREAM_FT_TIMEOUT
                          |NGX_HTTP_UPSTREAM_FT_INVALID_HEADER
                          |NGX_HTTP_UPSTREAM_FT_NON_IDEMPOTENT;

    /* a provider must never steer this server through X-Accel-* headers */

    conf->ignore_headers = NGX_HTTP_UPSTREAM_IGN_XA_REDIRECT
                           |NGX_HTTP_UPSTREAM_IGN_XA_EXPIRES
                           |NGX_HTTP_UPSTREAM_IGN_EXPIRES
                           |NGX_HTTP_UPSTREAM_IGN_CACHE_CONTROL
                           |NGX_HTTP_UPSTREAM_IGN_SET_COOKIE
                           |NGX_HTTP_UPSTREAM_IGN_XA_LIMIT_RATE
                           |NGX_HTTP_UPSTREAM_IGN_XA_BUFFERING
                           |NGX_HTTP_UPSTREAM_IGN_XA_CHARSET
                           |NGX_HTTP_UPSTREAM_IGN_VARY;

    conf->ssl_server_name = 1;
    conf->ssl_session_reuse = 1;

    conf->hide_headers = NGX_CONF_UNSET_PTR;
    conf->pass_headers = NGX_CONF_UNSET_PTR;

    ngx_memzero(&parent, sizeof(ngx_http_upstream_conf_t));
    parent.hide_headers = NGX_CONF_UNSET_PTR;
    parent.pass_headers = NGX_CONF_UNSET_PTR;

    hash.max_size = 512;
    hash.bucket_size = ngx_align(64, ngx_cacheline_size);
    hash.name = "relay_hide_headers_hash";

    return ngx_http_upstream_hide_headers_hash(cf, conf, &parent, none, &hash);
}


static ngx_int_t
ngx_http_relay_init_process(ngx_cycle_t *cycle)
{
    ngx_http_relay_main_conf_t  *rmcf;

    rmcf = ngx_http_cycle_get_module_main_conf(cycle, ngx_relay_module);

    if (rmcf == NULL || rmcf->snapshot == NULL) {
        return NGX_OK;
    }

    /* secrets are in the memory of each: no core file, no ptrace */

    if (!rmcf->core_dumps && ngx_process != NGX_PROCESS_SINGLE
        && prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == -1)
    {
        ngx_log_error(NGX_LOG_WARN, cycle->log, ngx_errno,
                      "prctl(PR_SET_DUMPABLE) failed");
    }

    if (ngx_process != NGX_PROCESS_WORKER && ngx_process != NGX_PROCESS_SINGLE)
    {
        ngx_http_relay_store_forget_keys(rmcf);
        return NGX_OK;
    }

    ngx_http_relay_limit_malloc();
    ngx_http_relay_drain_init(cycle);

    if (ngx_http_relay_endpoint_init_worker(cycle, rmcf) != NGX_OK
        || ngx_http_relay_endpoints_take(rmcf, rmcf->snapshot, 0) != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_http_relay_store_init_worker(cycle, rmcf);
}


/*
 * Each thread has a heap of its own. Left to itself, malloc() learns from the
 * first long body to keep as much of all of them.
 */

static void
ngx_http_relay_limit_malloc(void)
{
#if (defined M_MMAP_THRESHOLD && defined M_TRIM_THRESHOLD)

    (void) mallopt(M_MMAP_THRESHOLD, NGX_HTTP_RELAY_MALLOC_LARGE);
    (void) mallopt(M_TRIM_THRESHOLD, NGX_HTTP_RELAY_MALLOC_KEPT);

#endif
}


static void
ngx_http_relay_exit_process(ngx_cycle_t *cycle)
{
    ngx_http_relay_main_conf_t  *rmcf;

    if (ngx_process != NGX_PROCESS_WORKER && ngx_process != NGX_PROCESS_SINGLE)
    {
        return;
    }

    rmcf = ngx_http_cycle_get_module_main_conf(cycle, ngx_relay_module);

    if (rmcf && rmcf->snapshot) {
        ngx_http_relay_store_exit_worker(rmcf->store);
        ngx_http_relay_endpoint_exit_worker();
    }
}
