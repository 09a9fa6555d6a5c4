
/*
 * Snapshots: one configuration with what a worker needs to serve it. Immutable
 * once it is current, counted by reference: a request pins the one that it
 * began with, and the last to let go frees it. A snapshot may be built in any
 * thread; everything else here belongs to the worker's event loop.
 *
 *   create -> build (master, or a thread) -> take (endpoints) -> current
 *                                                 pinned, released -> freed
 */


#ifndef _NGX_HTTP_RELAY_SNAPSHOT_H_INCLUDED_
#define _NGX_HTTP_RELAY_SNAPSHOT_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include "config_doc.h"
#include "key_ring.h"

#include "ngx_http_relay_secret.h"


#define NGX_HTTP_RELAY_DOCUMENT_MAX  RELAY_CONFIG_DOCUMENT_MAX


typedef struct ngx_http_relay_endpoint_s   ngx_http_relay_endpoint_t;
typedef struct ngx_http_relay_chunk_s      ngx_http_relay_chunk_t;
typedef struct ngx_http_relay_snapshot_s   ngx_http_relay_snapshot_t;


struct ngx_http_relay_snapshot_s {
    ngx_uint_t                       references;
    const relay_config_t            *config;
    ngx_str_t                       *secrets;     /* by provider key index;
                                                     empty if it is sealed */
    relay_span_t                    *places;      /* by the same: what a sealed
                                                     one is bound to */
    ngx_http_relay_endpoint_t      **endpoints;   /* by host index; NULL where
                                                     no active key leads */
    size_t                           taken;       /* keys whose host was seen */
    uint64_t                         revision;    /* 0: of files alone */

    /* provider keys whose secret does not open, and the first of them */
    ngx_uint_t                       unopened;
    relay_span_t                     unopened_name;

    ngx_http_relay_chunk_t          *chunks;      /* what it is made of */
    size_t                           chunk_size;  /* of the next one */
};


/* with one reference; NULL: no memory */
ngx_http_relay_snapshot_t *ngx_http_relay_snapshot_create(void);

/*
 * Reads the documents into snapshot->config and makes room for secrets. All
 * provider keys are still inactive. NGX_ERROR: see fault.
 */
ngx_int_t ngx_http_relay_snapshot_build(ngx_http_relay_snapshot_t *snapshot,
    const relay_document_t *documents, size_t count,
    relay_config_fault_t *fault);

void *ngx_http_relay_snapshot_alloc(ngx_http_relay_snapshot_t *snapshot,
    size_t size);

/*
 * The secrets of a configuration that comes from the store: those that files
 * have brought along are in base, sealed ones must open; the others are without
 * use.
 */
void ngx_http_relay_snapshot_secrets(ngx_http_relay_snapshot_t *snapshot,
    const ngx_http_relay_snapshot_t *base, const relay_key_ring_t *ring);

/* for whoever keeps a pointer into it */
static ngx_inline ngx_http_relay_snapshot_t *
ngx_http_relay_snapshot_pin(ngx_http_relay_snapshot_t *snapshot)
{
    snapshot->references++;

    return snapshot;
}

void ngx_http_relay_snapshot_release(ngx_http_relay_snapshot_t *snapshot);


#endif /* _NGX_HTTP_RELAY_SNAPSHOT_H_INCLUDED_ */
