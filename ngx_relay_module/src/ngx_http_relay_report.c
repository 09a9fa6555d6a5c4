
/*
 * What a worker tells the store about itself: one field of `nodes`, written
 * when a head was taken or refused, and every few seconds.
 */


#include "ngx_http_relay_store.h"


#define NGX_HTTP_RELAY_REPORT_SIZE  8192
#define NGX_HTTP_RELAY_FIELD_SIZE   256


static void ngx_http_relay_report_field(ngx_http_relay_store_t *store,
    relay_buf_t *out);
static void ngx_http_relay_report_value(ngx_http_relay_store_t *store,
    relay_buf_t *out);
static void ngx_http_relay_report_reason(ngx_http_relay_store_t *store,
    relay_buf_t *out);


void
ngx_http_relay_report_handler(ngx_event_t *ev)
{
    ngx_http_relay_store_t *store = ev->data;

    ngx_http_relay_report(store);

    ngx_add_timer(ev, NGX_HTTP_RELAY_REPORT_MS);
}


void
ngx_http_relay_report(ngx_http_relay_store_t *store)
{
    u_char        name[NGX_HTTP_RELAY_FIELD_SIZE];
    u_char        field[NGX_HTTP_RELAY_FIELD_SIZE];
    u_char        value[NGX_HTTP_RELAY_REPORT_SIZE];
    relay_buf_t   out;
    relay_span_t  command[4];

    command[0] = RELAY_SPAN("HSET");

    out = relay_buf(name, sizeof(name));
    relay_buf_put(&out, ngx_http_relay_span(&store->conf->prefix));
    RELAY_PUT(&out, "nodes");
    command[1] = relay_buf_span(&out);

    out = relay_buf(field, sizeof(field));
    ngx_http_relay_report_field(store, &out);
    command[2] = relay_buf_span(&out);

    out = relay_buf(value, sizeof(value));
    ngx_http_relay_report_value(store, &out);

    if (!relay_buf_ok(&out)) {
        return;
    }

    command[3] = relay_buf_span(&out);

    (void) ngx_http_relay_redis_command(store->redis, command, 4, 0, NULL,
                                        NULL);
}


/* a worker that leaves has one of its own: another has its number already */

static void
ngx_http_relay_report_field(ngx_http_relay_store_t *store, relay_buf_t *out)
{
    relay_buf_put(out, ngx_http_relay_span(&store->conf->node));
    RELAY_PUT(out, "/");
    relay_buf_put_u64(out, ngx_worker);

    if (ngx_exiting) {
        RELAY_PUT(out, "/");
        relay_buf_put_u64(out, ngx_pid);
    }
}


static void
ngx_http_relay_report_value(ngx_http_relay_store_t *store, relay_buf_t *out)
{
    RELAY_PUT(out, "{\"node\":");
    relay_buf_put_json(out, ngx_http_relay_span(&store->conf->node));
    RELAY_PUT(out, ",\"worker\":");
    relay_buf_put_u64(out, ngx_worker);
    RELAY_PUT(out, ",\"pid\":");
    relay_buf_put_u64(out, ngx_pid);
    RELAY_PUT(out, ",\"revision\":");
    relay_buf_put_u64(out, store->rmcf->snapshot->revision);

    if (ngx_exiting) {
        RELAY_PUT(out, ",\"state\":\"leaving\"");

    } else if (store->refused) {
        RELAY_PUT(out, ",\"state\":\"refused\"");

    } else {
        RELAY_PUT(out, ",\"state\":\"applied\"");
    }

    ngx_http_relay_report_reason(store, out);

    RELAY_PUT(out, ",\"at\":");
    relay_buf_put_u64(out, ngx_time());
    RELAY_PUT(out, ",\"version\":\"" NGX_HTTP_RELAY_VERSION "\"}");
}


/* why it was refused; of what is served, what is without use */

static void
ngx_http_relay_report_reason(ngx_http_relay_store_t *store, relay_buf_t *out)
{
    u_char                     *p, text[256];
    ngx_str_t                   name;
    ngx_http_relay_snapshot_t  *snapshot;

    if (store->refused) {

        if (store->refused->head.revision) {
            RELAY_PUT(out, ",\"refused_revision\":");
            relay_buf_put_u64(out, store->refused->head.revision);
        }

        RELAY_PUT(out, ",\"reason\":");
        relay_buf_put_json(out, relay_span(store->refused->reason,
                                         ngx_strlen(store->refused->reason)));
        return;
    }

    snapshot = store->rmcf->snapshot;

    if (snapshot->unopened) {
        name.data = (u_char *) snapshot->unopened_name.base;
        name.len = snapshot->unopened_name.len;

        p = ngx_slprintf(text, text + sizeof(text),
                         "%ui provider key(s) do not open and are without "
                         "use, the first is \"%V\"", snapshot->unopened,
                         &name);

        RELAY_PUT(out, ",\"reason\":");
        relay_buf_put_json(out, relay_span(text, p - text));
    }
}
