
/*
 * Records of relay keys, from the store or from disk: their signature, their
 * digest, and the memory that they live in. One allocation holds most of them.
 */


#include "ngx_http_relay_keys.h"

#include "signature.h"


/* room in an entry besides the record's own text: its arrays */
#define NGX_HTTP_RELAY_KEYS_ENTRY_ROOM  256


typedef struct ngx_http_relay_keys_block_s  ngx_http_relay_keys_block_t;

/* memory behind it; two words, so that any type may follow */

struct ngx_http_relay_keys_block_s {
    ngx_http_relay_keys_block_t     *next;
    void                            *unused;
};


typedef struct {
    ngx_http_relay_keys_entry_t      entry;       /* first: what others see */
    u_char                          *pos;         /* of the memory behind it */
    u_char                          *end;
    ngx_http_relay_keys_block_t     *blocks;      /* when that is used up */
} ngx_http_relay_keys_known_t;


static ngx_http_relay_keys_known_t *ngx_http_relay_keys_known(size_t room);
static void *ngx_http_relay_keys_alloc(void *owner, size_t size);


/* a worker checks one signature at a time */

static u_char  ngx_http_relay_keys_scratch[NGX_HTTP_RELAY_KEYS_FILE_MAX];


ngx_http_relay_keys_reading_e
ngx_http_relay_keys_record_read(const relay_key_ring_t *signers,
    const relay_digest_t *digest, relay_span_t record, relay_span_t signature,
    ngx_http_relay_keys_entry_t **entry, relay_config_fault_t *fault)
{
    u_char                        *message;
    relay_buf_t                    scratch;
    relay_arena_t                  arena;
    ngx_http_relay_keys_known_t   *known;

    message = (u_char *) fault->message;
    scratch = relay_buf(ngx_http_relay_keys_scratch,
                        sizeof(ngx_http_relay_keys_scratch));

    if (record.len > RELAY_KEY_RECORD_MAX
        || !relay_signature_verify(signers, RELAY_SPAN(RELAY_PURPOSE_KEY),
                                   record, signature, &scratch))
    {
        (void) ngx_sprintf(message, "its record has no good signature%Z");
        return NGX_HTTP_RELAY_KEYS_FORGED;
    }

    known = ngx_http_relay_keys_known(record.len);
    if (known == NULL) {
        (void) ngx_sprintf(message, "no memory for its record%Z");
        return NGX_HTTP_RELAY_KEYS_MEMORY;
    }

    arena.allocate = ngx_http_relay_keys_alloc;
    arena.owner = known;

    if (!relay_key_record_read(&arena, record, &known->entry.record, fault)) {
        ngx_http_relay_keys_release(&known->entry);
        return NGX_HTTP_RELAY_KEYS_UNREADABLE;
    }

    if (!relay_digest_eq(&known->entry.record.digest, digest)) {
        (void) ngx_sprintf(message, "its record is that of another key%Z");
        ngx_http_relay_keys_release(&known->entry);
        return NGX_HTTP_RELAY_KEYS_FORGED;
    }

    *entry = &known->entry;

    return NGX_HTTP_RELAY_KEYS_GOOD;
}


ngx_uint_t
ngx_http_relay_keys_void(ngx_http_relay_keys_entry_t *entry,
    const relay_config_t *config)
{
    return entry->record.revision
           < relay_config_revoked_before(config, &entry->record.digest);
}


ngx_int_t
ngx_http_relay_keys_judge(ngx_str_t *state, ngx_http_relay_keys_entry_t *entry,
    const relay_config_t *config, ngx_http_relay_keys_entry_t **result)
{
    if (ngx_http_relay_keys_void(entry, config)) {
        ngx_http_relay_keys_disk_delete(state, &entry->record.digest);
        return NGX_DECLINED;
    }

    entry->refs++;
    *result = entry;

    return NGX_OK;
}


static ngx_http_relay_keys_known_t *
ngx_http_relay_keys_known(size_t room)
{
    ngx_http_relay_keys_known_t  *known;

    room += NGX_HTTP_RELAY_KEYS_ENTRY_ROOM;

    known = ngx_calloc(sizeof(ngx_http_relay_keys_known_t) + room,
                       ngx_cycle->log);
    if (known == NULL) {
        return NULL;
    }

    known->entry.refs = 1;
    known->pos = (u_char *) known + sizeof(ngx_http_relay_keys_known_t);
    known->end = known->pos + room;

    return known;
}


static void *
ngx_http_relay_keys_alloc(void *owner, size_t size)
{
    ngx_http_relay_keys_known_t *known = owner;

    u_char                       *p;
    ngx_http_relay_keys_block_t  *block;

    p = ngx_align_ptr(known->pos, 2 * sizeof(void *));

    if (p <= known->end && size <= (size_t) (known->end - p)) {
        known->pos = p + size;
        return p;
    }

    block = ngx_calloc(sizeof(ngx_http_relay_keys_block_t) + size,
                       ngx_cycle->log);
    if (block == NULL) {
        return NULL;
    }

    block->next = known->blocks;
    known->blocks = block;

    return (u_char *) block + sizeof(ngx_http_relay_keys_block_t);
}


void
ngx_http_relay_keys_release(ngx_http_relay_keys_entry_t *entry)
{
    ngx_http_relay_keys_block_t  *block, *next;
    ngx_http_relay_keys_known_t  *known;

    if (--entry->refs) {
        return;
    }

    known = (ngx_http_relay_keys_known_t *) entry;

    for (block = known->blocks; block; block = next) {
        next = block->next;
        ngx_free(block);
    }

    ngx_free(known);
}
