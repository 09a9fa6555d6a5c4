
/*
 * From a head to what is served. A head with the documents that are served is
 * only a new number for them. Of others, one set at a time is on its way:
 *
 *                 head has changed
 *   IDLE --------------------------------> FETCH documents that are not here
 *    ^                                       |
 *    |  refused, whole: what was served,     v
 *    |  is served                          BUILD in a thread: digests, form
 *    |                                       |
 *    |                                       v
 *    +------- TAKE endpoints, a little <-- PROFILES in a thread, if it brings
 *      swap   in each turn of the loop       new ways of checking certificates
 *
 * Then it is kept on disk, in a thread as well.
 */


#include "ngx_http_relay_store.h"


#define NGX_HTTP_RELAY_DOCUMENT_MS    10000

/* documents that are asked for at the same time */
#define NGX_HTTP_RELAY_FETCH_MAX      8

/* how long one turn of the event loop may be spent on taking endpoints */
#define NGX_HTTP_RELAY_STEP_US        800


typedef struct {
    ngx_http_relay_set_t            *set;
    size_t                           index;
} ngx_http_relay_fetch_t;


static void ngx_http_relay_update_unchanged(ngx_http_relay_store_t *store);
static void ngx_http_relay_update_keep(ngx_http_relay_store_t *store,
    ngx_http_relay_set_t *set);
static ngx_uint_t ngx_http_relay_update_is(ngx_http_relay_set_t *set,
    relay_span_t text);
static void ngx_http_relay_update_fetch(ngx_http_relay_store_t *store);
static ngx_int_t ngx_http_relay_update_fetch_one(
    ngx_http_relay_store_t *store, size_t index);
static void ngx_http_relay_update_document(void *data,
    ngx_http_relay_redis_result_e result,
    const ngx_http_relay_redis_reply_t *reply);
static void ngx_http_relay_update_built(void *data);
static void ngx_http_relay_update_profiled(void *data);
static void ngx_http_relay_update_step_handler(ngx_event_t *ev);
static void ngx_http_relay_update_log_unopened(ngx_http_relay_store_t *store);
static void ngx_http_relay_update_refuse(ngx_http_relay_store_t *store,
    ngx_http_relay_set_t *set);
static void ngx_http_relay_update_save(ngx_http_relay_store_t *store);
static void ngx_http_relay_update_saved(void *data);


void
ngx_http_relay_update_init(ngx_http_relay_store_t *store)
{
    store->step.handler = ngx_http_relay_update_step_handler;
    store->step.data = store;
    store->step.log = store->cycle->log;
}


void
ngx_http_relay_update(ngx_http_relay_store_t *store,
    relay_span_t text)
{
    ngx_http_relay_set_t  *set;

    if (ngx_http_relay_update_is(store->served, text)) {
        ngx_http_relay_update_unchanged(store);
        return;
    }

    if (ngx_http_relay_update_is(store->refused, text)
        && !store->refused->passing)
    {
        return;
    }

    if (text.len > NGX_HTTP_RELAY_HEAD_MAX) {
        text.len = NGX_HTTP_RELAY_HEAD_MAX;
    }

    set = ngx_http_relay_set_create(store, text, &store->deployment,
                                    store->above);
    if (set == NULL) {
        return;
    }

    if (ngx_http_relay_set_same(set, store->served)
        && set->head.revision == store->served->head.revision)
    {
        /* signed once more */

        ngx_http_relay_set_share(set, store->served);
        ngx_http_relay_set_release(store->served);
        store->served = set;

        ngx_http_relay_update_unchanged(store);
        return;
    }

    if (set->reason[0]) {
        store->whole = 0;
        ngx_http_relay_update_refuse(store, set);
        return;
    }

    ngx_http_relay_store_is_whole(store);

    ngx_http_relay_set_share(set, store->served);

    if (ngx_http_relay_set_same(set, store->served)
        && store->rmcf->snapshot->unopened == 0)
    {
        ngx_http_relay_update_keep(store, set);
        return;
    }

    ngx_http_relay_set_share(set, store->refused);

    store->next = set;
    store->fetching = 0;

    ngx_http_relay_update_fetch(store);
}


static void
ngx_http_relay_update_unchanged(ngx_http_relay_store_t *store)
{
    ngx_http_relay_store_is_whole(store);

    if (store->refused) {

        /* what was refused is gone from the store */

        ngx_http_relay_set_release(store->refused);
        store->refused = NULL;

        ngx_http_relay_report(store);
    }
}


/*
 * The documents that are served, under a later revision. All else that the
 * configuration was built from, files and their secrets, is the master's and
 * stays as long as the worker; only a key that did not open is tried again, by
 * building.
 */

static void
ngx_http_relay_update_keep(ngx_http_relay_store_t *store,
    ngx_http_relay_set_t *set)
{
    ngx_log_error(NGX_LOG_NOTICE, store->cycle->log, 0,
                  "revision %uL is served, with the documents of %uL",
                  set->head.revision, store->served->head.revision);

    ngx_http_relay_set_release(store->served);
    ngx_http_relay_set_release(store->refused);

    store->served = set;
    store->refused = NULL;
    store->rmcf->snapshot->revision = set->head.revision;

    ngx_http_relay_update_know(store, set, set->head.revision);
    ngx_http_relay_report(store);
    ngx_http_relay_update_save(store);
}


static ngx_uint_t
ngx_http_relay_update_is(ngx_http_relay_set_t *set, relay_span_t text)
{
    return set && relay_span_eq(ngx_http_relay_span(&set->text), text);
}


/* asks for what is missing, then goes on or gives up */

static void
ngx_http_relay_update_fetch(ngx_http_relay_store_t *store)
{
    ngx_http_relay_set_t  *set;

    set = store->next;

    while (set->reason[0] == '\0'
           && store->fetching < set->head.ndocuments
           && store->outstanding < NGX_HTTP_RELAY_FETCH_MAX)
    {
        if (set->blobs[store->fetching] == NULL
            && ngx_http_relay_update_fetch_one(store, store->fetching)
               != NGX_OK)
        {
            set->passing = 1;
            ngx_http_relay_set_refuse(set, "the store cannot be asked for "
                                           "documents");
            break;
        }

        store->fetching++;
    }

    if (store->outstanding) {
        return;
    }

    if (set->reason[0]) {
        ngx_http_relay_update_refuse(store, set);
        return;
    }

    set->snapshot = ngx_http_relay_snapshot_create();

    if (set->snapshot == NULL) {
        set->passing = 1;
        ngx_http_relay_set_refuse(set, "no memory");
        ngx_http_relay_update_refuse(store, set);
        return;
    }

    store->task.work = ngx_http_relay_set_build;
    store->task.done = ngx_http_relay_update_built;
    store->task.data = set;

    ngx_http_relay_task_post(store, &store->task);
}


static ngx_int_t
ngx_http_relay_update_fetch_one(ngx_http_relay_store_t *store, size_t index)
{
    u_char                  *p, name[256];
    relay_span_t             command[2];
    ngx_http_relay_fetch_t  *fetch;

    fetch = ngx_palloc(store->next->pool, sizeof(ngx_http_relay_fetch_t));
    if (fetch == NULL) {
        return NGX_ERROR;
    }

    fetch->set = store->next;
    fetch->index = index;

    p = ngx_slprintf(name, name + sizeof(name) - 2 * RELAY_DIGEST_LEN,
                     "%Vdocument:", &store->conf->prefix);
    p = ngx_http_relay_digest_hex(p,
                                  &store->next->head.documents[index].digest);

    command[0] = RELAY_SPAN("GET");
    command[1] = relay_span(name, p - name);

    if (ngx_http_relay_redis_command(store->redis, command, 2,
                                     NGX_HTTP_RELAY_DOCUMENT_MS,
                                     ngx_http_relay_update_document, fetch)
        == NULL)
    {
        return NGX_ERROR;
    }

    store->outstanding++;

    return NGX_OK;
}


static void
ngx_http_relay_update_document(void *data,
    ngx_http_relay_redis_result_e result,
    const ngx_http_relay_redis_reply_t *reply)
{
    ngx_http_relay_fetch_t *fetch = data;

    ngx_str_t                     name;
    relay_span_t                  text;
    ngx_http_relay_set_t         *set;
    ngx_http_relay_store_t       *store;
    const relay_head_document_t  *document;

    set = fetch->set;
    store = set->store;
    document = &set->head.documents[fetch->index];

    store->outstanding--;

    name.data = (u_char *) document->name.base;
    name.len = document->name.len;

    if (result != NGX_HTTP_RELAY_REDIS_REPLY
        || reply->values[0].type == RELAY_RESP_ERROR)
    {
        set->passing = 1;
        ngx_http_relay_set_refuse(set, "%V could not be fetched", &name);

    } else if (reply->values[0].type != RELAY_RESP_STRING) {
        set->passing = 1;
        ngx_http_relay_set_refuse(set, "%V is not in the store", &name);

    } else {
        text = relay_resp_text(reply->start, &reply->values[0]);

        if (text.len == document->bytes) {
            set->blobs[fetch->index] =
                        ngx_http_relay_blob_create(&document->digest, text);
        }

        if (set->blobs[fetch->index] == NULL) {
            set->passing = 1;
            ngx_http_relay_set_refuse(set, "%V has %uz bytes, not the %uz "
                                           "that the head lists", &name,
                                      text.len, document->bytes);
        }
    }

    ngx_http_relay_update_fetch(store);
}


static void
ngx_http_relay_update_built(void *data)
{
    ngx_http_relay_set_t *set = data;

    ngx_http_relay_store_t  *store;

    store = set->store;

    if (set->reason[0]) {
        ngx_http_relay_update_refuse(store, set);
        return;
    }

    if (!ngx_http_relay_set_needs_profiles(set)) {
        ngx_http_relay_update_step_handler(&store->step);
        return;
    }

    store->task.work = ngx_http_relay_set_profiles;
    store->task.done = ngx_http_relay_update_profiled;

    ngx_http_relay_task_post(store, &store->task);
}


static void
ngx_http_relay_update_profiled(void *data)
{
    ngx_http_relay_set_t *set = data;

    if (set->reason[0]) {
        ngx_http_relay_update_refuse(set->store, set);
        return;
    }

    ngx_http_relay_set_add_profiles(set);
    ngx_http_relay_update_step_handler(&set->store->step);
}


static void
ngx_http_relay_update_step_handler(ngx_event_t *ev)
{
    ngx_http_relay_store_t *store = ev->data;

    ngx_http_relay_set_t  *set;

    set = store->next;

    switch (ngx_http_relay_endpoints_take(store->rmcf, set->snapshot,
                                          ngx_http_relay_now_us()
                                          + NGX_HTTP_RELAY_STEP_US))
    {
    case NGX_OK:
        store->next = NULL;
        ngx_http_relay_update_swap(store, set);
        ngx_http_relay_update_save(store);
        ngx_http_relay_update_idle(store);
        return;

    case NGX_AGAIN:
        ngx_post_event(ev, &ngx_posted_next_events);
        return;

    default:
        set->passing = 1;
        ngx_http_relay_set_refuse(set, "no memory");
        ngx_http_relay_update_refuse(store, set);
    }
}


/* the deployment stays what it is, revisions only rise */

void
ngx_http_relay_update_know(ngx_http_relay_store_t *store,
    ngx_http_relay_set_t *set, uint64_t above)
{
    if (store->deployment.len == 0) {
        store->deployment.data = ngx_pnalloc(store->cycle->pool,
                                             set->head.deployment.len + 1);

        if (store->deployment.data) {
            store->deployment.len = set->head.deployment.len;
            ngx_memcpy(store->deployment.data, set->head.deployment.base,
                       store->deployment.len);
        }
    }

    store->above = above;
}


/* from here on new requests meet it */

void
ngx_http_relay_update_swap(ngx_http_relay_store_t *store,
    ngx_http_relay_set_t *set)
{
    ngx_http_relay_snapshot_release(store->rmcf->snapshot);

    store->rmcf->snapshot = set->snapshot;
    set->snapshot = NULL;

    ngx_http_relay_set_release(store->served);
    ngx_http_relay_set_release(store->refused);

    store->served = set;
    store->refused = NULL;

    ngx_http_relay_update_know(store, set, set->head.revision);
    ngx_http_relay_tls_sweep(store->rmcf);

    ngx_log_error(NGX_LOG_NOTICE, store->cycle->log, 0,
                  "revision %uL is served", set->head.revision);

    ngx_http_relay_update_log_unopened(store);

    ngx_http_relay_report(store);
}


static void
ngx_http_relay_update_log_unopened(ngx_http_relay_store_t *store)
{
    ngx_str_t                   name;
    ngx_http_relay_snapshot_t  *snapshot;

    snapshot = store->rmcf->snapshot;

    if (snapshot->unopened) {
        name.data = (u_char *) snapshot->unopened_name.base;
        name.len = snapshot->unopened_name.len;

        ngx_log_error(NGX_LOG_ERR, store->cycle->log, 0,
                      "revision %uL: %ui provider key(s) do not open with "
                      "relay_store_seal_keys and are without use, the first "
                      "is \"%V\"", snapshot->revision, snapshot->unopened,
                      &name);
    }
}


static void
ngx_http_relay_update_refuse(ngx_http_relay_store_t *store,
    ngx_http_relay_set_t *set)
{
    ngx_http_relay_set_t  *old;

    if (set->snapshot) {
        ngx_http_relay_snapshot_release(set->snapshot);
        set->snapshot = NULL;
    }

    old = store->refused;

    if (old == NULL
        || ngx_strcmp(old->reason, set->reason) != 0
        || !ngx_http_relay_update_is(old, ngx_http_relay_span(&set->text)))
    {
        ngx_log_error(NGX_LOG_ERR, store->cycle->log, 0,
                      "the store's head is refused, revision %uL stays: %s",
                      store->rmcf->snapshot->revision, set->reason);
    }

    ngx_http_relay_set_release(old);

    store->refused = set;
    store->next = NULL;

    ngx_http_relay_report(store);
    ngx_http_relay_update_idle(store);
}


/* a change may have been announced in between */

void
ngx_http_relay_update_idle(ngx_http_relay_store_t *store)
{
    if (store->again) {
        store->again = 0;
        ngx_http_relay_store_ask(store);
    }
}


static void
ngx_http_relay_update_save(ngx_http_relay_store_t *store)
{
    if (store->conf->state == NULL || store->saving) {
        return;
    }

    store->saving = store->served;
    store->saving->references++;

    store->save.work = ngx_http_relay_disk_save;
    store->save.done = ngx_http_relay_update_saved;
    store->save.data = store->saving;

    ngx_http_relay_task_post(store, &store->save);
}


static void
ngx_http_relay_update_saved(void *data)
{
    ngx_http_relay_set_t *set = data;

    ngx_http_relay_store_t  *store;

    store = set->store;

    store->saving = NULL;

    if (set != store->served) {
        ngx_http_relay_update_save(store);
    }

    ngx_http_relay_set_release(set);
}
