/*
 * From rows to the documents that workers read: ngx_relay_module/STORE.md,
 * CONFIG.md. The same rows give the same bytes, so that what did not change
 * keeps its digest. Called by the publisher's thread.
 *
 *     document.c             the whole set, tried with the workers' own reader
 *     document_catalog.c     catalog/hosts, catalog/models/<vendor>: kept between builds
 *     document_workspace.c   workspace/<name>, its hosts and models
 *     document_key.c         its provider keys
 *     document_revocation.c  workspace/<name>/revocations/<n>
 */

#ifndef RELAY_DOCUMENT_H
#define RELAY_DOCUMENT_H

#include <jansson.h>

#include "config_head.h"
#include "database.h"
#include "secret.h"

typedef struct {
    char name[RELAY_HEAD_NAME_MAX + 1];
    char digest[2 * RELAY_DIGEST_LEN + 1];
    char *text;
    size_t len;
    bool catalog;
    bool borrowed; /* text is the source's */
    bool tried;    /* revocations that were good in an earlier build: nothing else refers to them */
} document_t;

typedef struct {
    document_t *items;
    size_t count;
    size_t capacity;
} documents_t;

void documents_free(documents_t *documents);
/* Takes text, which malloc made, also on failure. False: no memory, or a name that cannot be. */
bool documents_add(documents_t *documents, const char *name, char *text, bool catalog);
/* One whose text belongs to the source and whose digest is known. False: as before. */
bool documents_lend(documents_t *documents, const document_t *lent, const char *name,
                    const char *digest);
/* In hexadecimal. */
void document_digest(const char *text, size_t len, char digest[2 * RELAY_DIGEST_LEN + 1]);
/* Compact, with sorted members; takes the reference to json. */
bool documents_add_json(documents_t *documents, const char *name, json_t *json, bool catalog);

/* What builds keep from one to the next. */
typedef struct {
    secrets_t *secrets;
    documents_t catalog;
    char catalog_version[80];
    json_t *revocations; /* document's name → {mark, digest, text, tried}; NULL: none yet */
} document_source_t;
void document_source_free(document_source_t *source);

/* One build. */
typedef struct {
    document_source_t *source;
    session_t *session; /* in a transaction for all workspaces, all statements with one snapshot */
    documents_t documents;
    json_t *revocations; /* what the source keeps of this build, if it is good */
    size_t nrevocations; /* entries of them */
    json_t *inactive;    /* what was left out: [{workspace, kind, name, reason}] */
    size_t unresolved;   /* provider keys among it whose reference cannot be read */
    bool publishing;     /* what it makes is used: last values are kept with it */
    char why[1024];      /* why it failed */
} document_build_t;

/* False with why. Whatever comes out, document_build_free() it. */
bool documents_build(document_build_t *build);
void document_build_free(document_build_t *build);

/* ---- parts ---------------------------------------------------------------- */

/* Fills why, unless it is filled. Returns false. */
bool document_fail(document_build_t *build, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* The result of a statement, or NULL after document_fail(). */
PGresult *document_query(document_build_t *build, const char *sql, const char *value);
/* The reason of a provider key that is left out because somebody wants it so. */
#define DOCUMENT_KEY_DISABLED "it is disabled"

/* Notes something that is left out. */
void document_leave_out(document_build_t *build, const char *workspace, const char *kind,
                        const char *name, const char *reason);

bool document_catalog(document_build_t *build);

/* A workspace while its document is made. */
typedef struct {
    const char *id;
    const char *name;
    json_t *names;                   /* id → name of what references lead to */
    json_t *document;                /* what comes out */
    const relay_config_t *reachable; /* the hosts there are, its own and the catalog's */
} document_workspace_t;

bool document_workspace(document_build_t *build, const char *id, const char *name);
bool document_provider_keys(document_build_t *build, document_workspace_t *workspace);
bool document_revocations(document_build_t *build, const char *id, const char *name);
/* All documents of this build are good: those of revocations need not be tried again. */
void document_revocations_tried(document_build_t *build);

/* The name that a stored reference leads to. */
const char *document_name_of(const document_workspace_t *workspace, const json_t *reference);
/* A host that workers can reach; NULL: there is none. */
const relay_host_t *document_host(const document_workspace_t *workspace, const char *name);

#endif
