/*
 * The head of a published configuration: which revision it is, and of which
 * documents it is made (see STORE.md). Its signature is checked before. Read by
 * the adapter whenever the store has another one.
 */

#ifndef RELAY_CONFIG_HEAD_H
#define RELAY_CONFIG_HEAD_H

#include "config_doc.h"

enum {
    RELAY_HEAD_MAX = 1024 * 1024,              /* bytes of the payload */
    RELAY_HEAD_NAME_MAX = 192,                 /* of a document's name */
    RELAY_HEAD_DOCUMENTS_BYTES_MAX = 256 << 20 /* of all documents together */
};

typedef struct {
    relay_span_t name; /* segments of A-Z a-z 0-9 . _ - with slashes between; none is . or .. */
    relay_digest_t digest;
    size_t bytes; /* 1 to RELAY_CONFIG_DOCUMENT_MAX */
    bool catalog; /* the name starts with catalog/: for relay_document_t */
} relay_head_document_t;

typedef struct {
    relay_span_t deployment;
    uint64_t revision; /* from 1 */
    uint64_t issued_at_s;
    const relay_head_document_t *documents; /* as written; names are unique */
    size_t ndocuments;                      /* 1 to RELAY_CONFIG_DOCUMENTS_MAX */
    uint64_t bytes;                         /* of all documents */
} relay_head_t;

/*
 * Everything in *head lives in the arena. False with *fault filled (its document
 * is empty) on the first error; members that are not known are one.
 */
bool relay_head_read(const relay_arena_t *arena, relay_span_t payload, relay_head_t *head,
                     relay_config_fault_t *fault);

#endif
