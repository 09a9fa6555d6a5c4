
/*
 * Opening sealed secrets. Used by the master for provider keys of files, by
 * whoever builds a snapshot to see what opens, by ngx_http_relay_attempt.c.
 */


#include "ngx_http_relay_secret.h"

#include <openssl/crypto.h>


/* five parts of bounded length: names, a number, an origin */
#define NGX_HTTP_RELAY_PLACE_MAX  1024


ngx_int_t
ngx_http_relay_opener_init(ngx_http_relay_opener_t *opener,
    const relay_key_ring_t *ring)
{
    opener->ring = NULL;
    opener->seal = NULL;

    if (ring == NULL) {
        return NGX_OK;
    }

    opener->seal = relay_seal_opener_create();
    if (opener->seal == NULL) {
        return NGX_ERROR;
    }

    opener->ring = ring;

    return NGX_OK;
}


void
ngx_http_relay_opener_free(ngx_http_relay_opener_t *opener)
{
    relay_seal_opener_free(opener->seal);

    opener->ring = NULL;
    opener->seal = NULL;
}


/* workspace, name, version and origin: it opens nowhere else */

void
ngx_http_relay_secret_place(const relay_provider_key_t *key, relay_buf_t *out)
{
    u_char             version[NGX_INT64_LEN];
    relay_span_t       parts[5];
    relay_seal_data_t  data;

    parts[0] = RELAY_SPAN("relay-dataplane-1");
    parts[1] = key->workspace;
    parts[2] = key->name;
    parts[3] = relay_span(version, ngx_sprintf(version, "%uL", key->version)
                                   - version);
    parts[4] = key->host->origin;

    data.parts = parts;
    data.count = 5;

    relay_seal_data_put(data, out);
}


ngx_int_t
ngx_http_relay_secret_open(ngx_http_relay_opener_t *opener,
    const relay_provider_key_t *key, relay_span_t place, u_char *room,
    ngx_str_t *secret)
{
    const relay_ring_key_t  *with;

    with = opener->ring ? relay_key_ring_find(opener->ring, key->sealing_key)
                        : NULL;

    if (with == NULL
        || key->secret.len < RELAY_SEAL_OVERHEAD
        || key->secret.len - RELAY_SEAL_OVERHEAD > NGX_HTTP_RELAY_SECRET_ROOM
        || !relay_seal_open_with(opener->seal, with->bytes, place,
                                 key->secret, room))
    {
        return NGX_DECLINED;
    }

    secret->data = room;
    secret->len = key->secret.len - RELAY_SEAL_OVERHEAD;

    return NGX_OK;
}


ngx_int_t
ngx_http_relay_secret_try(ngx_http_relay_opener_t *opener,
    const relay_provider_key_t *key, relay_span_t place)
{
    u_char     room[NGX_HTTP_RELAY_SECRET_ROOM];
    ngx_int_t  rc;
    ngx_str_t  secret;

    rc = ngx_http_relay_secret_open(opener, key, place, room, &secret);

    if (rc == NGX_OK) {
        rc = (ngx_http_relay_secret_check(&secret) == NGX_OK && secret.len)
             ? NGX_OK : NGX_DECLINED;

        OPENSSL_cleanse(room, secret.len);
    }

    return rc;
}


ngx_int_t
ngx_http_relay_secret_opens(const relay_key_ring_t *ring,
    const relay_provider_key_t *key)
{
    u_char                   text[NGX_HTTP_RELAY_PLACE_MAX];
    ngx_int_t                rc;
    relay_buf_t              place;
    ngx_http_relay_opener_t  opener;

    place = relay_buf(text, sizeof(text));
    ngx_http_relay_secret_place(key, &place);

    if (!relay_buf_ok(&place)
        || ngx_http_relay_opener_init(&opener, ring) != NGX_OK)
    {
        return NGX_ERROR;
    }

    rc = ngx_http_relay_secret_try(&opener, key, relay_buf_span(&place));

    ngx_http_relay_opener_free(&opener);

    return rc;
}


ngx_int_t
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
