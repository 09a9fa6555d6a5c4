
/*
 * One worker and the store: connections, what is heard, and looking at the head
 * every 2 s. What is said on the channel only makes that happen sooner. What
 * becomes of a head is in ngx_http_relay_update.c.
 */


#include "ngx_http_relay_store.h"


#define NGX_HTTP_RELAY_POLL_MS        2000
#define NGX_HTTP_RELAY_HEAD_MS        1000


static ngx_int_t ngx_http_relay_store_connect(ngx_http_relay_store_t *store);
static ngx_int_t ngx_http_relay_store_load(ngx_http_relay_store_t *store);
static ngx_int_t ngx_http_relay_store_serve_kept(
    ngx_http_relay_store_t *store, ngx_http_relay_set_t *set);
static void ngx_http_relay_store_connected(void *data);
static void ngx_http_relay_store_subscribed(void *data);
static void ngx_http_relay_store_message(void *data, relay_span_t text);
static void ngx_http_relay_store_poll_handler(ngx_event_t *ev);
static void ngx_http_relay_store_head(void *data,
    ngx_http_relay_redis_result_e result,
    const ngx_http_relay_redis_reply_t *reply);


ngx_int_t
ngx_http_relay_store_init_worker(ngx_cycle_t *cycle,
    ngx_http_relay_main_conf_t *rmcf)
{
    ngx_http_relay_store_t  *store;

    if (rmcf->store_conf == NULL) {
        return NGX_OK;
    }

    store = ngx_pcalloc(cycle->pool, sizeof(ngx_http_relay_store_t));
    if (store == NULL) {
        return NGX_ERROR;
    }

    store->rmcf = rmcf;
    store->conf = rmcf->store_conf;
    store->cycle = cycle;
    store->base = ngx_http_relay_snapshot_pin(rmcf->snapshot);

    ngx_http_relay_update_init(store);

    store->poll.handler = ngx_http_relay_store_poll_handler;
    store->poll.data = store;
    store->poll.log = cycle->log;
    store->poll.cancelable = 1;

    store->report.handler = ngx_http_relay_report_handler;
    store->report.data = store;
    store->report.log = cycle->log;
    store->report.cancelable = 1;

    if (ngx_http_relay_opener_init(&store->opener, store->conf->dataplane)
        != NGX_OK
        || ngx_http_relay_store_connect(store) != NGX_OK
        || ngx_http_relay_store_load(store) != NGX_OK)
    {
        return NGX_ERROR;
    }

    ngx_add_timer(&store->poll, NGX_HTTP_RELAY_POLL_MS);
    ngx_add_timer(&store->report, NGX_HTTP_RELAY_REPORT_MS);

    rmcf->store = store;

    return NGX_OK;
}


static ngx_int_t
ngx_http_relay_store_connect(ngx_http_relay_store_t *store)
{
    ngx_str_t                      channel;
    ngx_http_relay_keys_conf_t     keys;
    ngx_http_relay_redis_events_t  events;

    ngx_memzero(&events, sizeof(ngx_http_relay_redis_events_t));

    events.connected = ngx_http_relay_store_connected;
    events.data = store;

    store->redis = ngx_http_relay_redis_create(store->cycle,
                                               &store->conf->redis, NULL,
                                               &events);

    channel.len = store->conf->prefix.len + sizeof("changes") - 1;
    channel.data = ngx_pnalloc(store->cycle->pool, channel.len);
    if (channel.data == NULL) {
        return NGX_ERROR;
    }

    ngx_sprintf(channel.data, "%Vchanges", &store->conf->prefix);

    events.connected = ngx_http_relay_store_subscribed;
    events.message = ngx_http_relay_store_message;

    store->subscriber = ngx_http_relay_redis_create(store->cycle,
                                                    &store->conf->redis,
                                                    &channel, &events);

    if (store->redis == NULL || store->subscriber == NULL) {
        return NGX_ERROR;
    }

    ngx_memzero(&keys, sizeof(ngx_http_relay_keys_conf_t));

    keys.prefix = store->conf->prefix;
    keys.signers = store->conf->signers;

    if (store->conf->state) {
        keys.state = store->conf->state->name;
    }

    store->keys = ngx_http_relay_keys_create(store->cycle, &keys,
                                             store->redis);

    return store->keys ? NGX_OK : NGX_ERROR;
}


/* before the first request, and without the store */

static ngx_int_t
ngx_http_relay_store_load(ngx_http_relay_store_t *store)
{
    ngx_http_relay_set_t  *set;

    set = ngx_http_relay_disk_load(store);

    if (set == NULL) {
        return NGX_OK;
    }

    if (set->head.revision) {

        /* signed: whatever else is wrong, what was served is known */

        ngx_http_relay_update_know(store, set, set->head.revision - 1);
    }

    if (set->reason[0] == '\0') {
        set->snapshot = ngx_http_relay_snapshot_create();

        if (set->snapshot == NULL) {
            return NGX_ERROR;
        }

        ngx_http_relay_set_build(set);
    }

    if (set->reason[0] == '\0') {
        ngx_http_relay_set_profiles(set);
    }

    if (set->reason[0] == '\0') {
        return ngx_http_relay_store_serve_kept(store, set);
    }

    ngx_log_error(NGX_LOG_ERR, store->cycle->log, 0,
                  "what is kept in \"%V\" is not served: %s",
                  &store->conf->state->name, set->reason);

    ngx_http_relay_set_release(set);

    return NGX_OK;
}


static ngx_int_t
ngx_http_relay_store_serve_kept(ngx_http_relay_store_t *store,
    ngx_http_relay_set_t *set)
{
    ngx_http_relay_set_add_profiles(set);

    if (ngx_http_relay_endpoints_take(store->rmcf, set->snapshot, 0)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    ngx_http_relay_update_swap(store, set);

    return NGX_OK;
}


void
ngx_http_relay_store_exit_worker(ngx_http_relay_store_t *store)
{
    if (store == NULL) {
        return;
    }

    ngx_http_relay_keys_destroy(store->keys);
    ngx_http_relay_redis_destroy(store->subscriber);
    ngx_http_relay_redis_destroy(store->redis);
    ngx_http_relay_opener_free(&store->opener);

    if (store->poll.timer_set) {
        ngx_del_timer(&store->poll);
    }

    if (store->report.timer_set) {
        ngx_del_timer(&store->report);
    }
}


static void
ngx_http_relay_store_connected(void *data)
{
    ngx_http_relay_store_t *store = data;

    ngx_http_relay_report(store);
    ngx_http_relay_store_ask(store);
}


/*
 * What was said meanwhile was not heard. Keys are looked up again, but not in a
 * store that came back empty: its head tells.
 */

static void
ngx_http_relay_store_subscribed(void *data)
{
    ngx_http_relay_store_t *store = data;

    store->unheard = 1;

    ngx_http_relay_store_ask(store);
}


/* the store is there with all that it had, as far as can be told */

void
ngx_http_relay_store_is_whole(ngx_http_relay_store_t *store)
{
    store->whole = 1;

    if (store->unheard) {
        store->unheard = 0;
        ngx_http_relay_keys_forget_all(store->keys);
    }
}


/* "head <revision>", "key <sha256>" */

static void
ngx_http_relay_store_message(void *data, relay_span_t text)
{
    ngx_http_relay_store_t *store = data;

    relay_digest_t  digest;

    if (relay_span_starts(text, RELAY_SPAN("head "))) {
        ngx_http_relay_store_ask(store);
        return;
    }

    if (relay_span_starts(text, RELAY_SPAN("key "))
        && relay_digest_parse(relay_span_from(text, 4), &digest))
    {
        ngx_http_relay_keys_forget(store->keys, &digest);
    }
}


static void
ngx_http_relay_store_poll_handler(ngx_event_t *ev)
{
    ngx_http_relay_store_t *store = ev->data;

    if (ngx_exiting) {

        /* for what is under way this configuration is good enough */

        ngx_http_relay_report(store);
        return;
    }

    ngx_http_relay_store_ask(store);
    ngx_add_timer(ev, NGX_HTTP_RELAY_POLL_MS);
}


void
ngx_http_relay_store_ask(ngx_http_relay_store_t *store)
{
    u_char        *p, name[256];
    relay_span_t   command[2];

    if (store->asking || store->next) {
        store->again = 1;
        return;
    }

    if (ngx_exiting) {
        return;
    }

    p = ngx_slprintf(name, name + sizeof(name), "%Vhead",
                     &store->conf->prefix);

    command[0] = RELAY_SPAN("GET");
    command[1] = relay_span(name, p - name);

    store->asking = (ngx_http_relay_redis_command(store->redis, command, 2,
                                                  NGX_HTTP_RELAY_HEAD_MS,
                                                  ngx_http_relay_store_head,
                                                  store)
                     != NULL);
}


static void
ngx_http_relay_store_head(void *data, ngx_http_relay_redis_result_e result,
    const ngx_http_relay_redis_reply_t *reply)
{
    ngx_http_relay_store_t *store = data;

    ngx_str_t  text;

    store->asking = 0;

    if (result == NGX_HTTP_RELAY_REDIS_REPLY && !ngx_exiting) {

        switch (reply->values[0].type) {

        case RELAY_RESP_STRING:
            ngx_http_relay_update(store,
                           relay_resp_text(reply->start, &reply->values[0]));
            break;

        case RELAY_RESP_ERROR:
            text.data = (u_char *) reply->start + reply->values[0].offset;
            text.len = reply->values[0].length;

            ngx_log_error(NGX_LOG_ERR, store->cycle->log, 0,
                          "the store does not tell its head: %V", &text);
            break;

        default:
            store->whole = 0;
        }
    }

    if (store->next == NULL) {
        ngx_http_relay_update_idle(store);
    }
}
