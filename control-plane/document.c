/* The set of documents as a whole: see document.h. */

#include "document.h"

#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "malloc_arena.h"

/* ---- a list of documents -------------------------------------------------- */

static void document_clear(document_t *document)
{
    if (!document->borrowed) {
        free(document->text);
    }
}

void documents_free(documents_t *documents)
{
    for (size_t i = 0; i < documents->count; i++) {
        document_clear(&documents->items[i]);
    }
    free(documents->items);
    *documents = (documents_t){NULL, 0, 0};
}

static bool documents_grow(documents_t *documents)
{
    size_t capacity = documents->capacity != 0 ? documents->capacity * 2 : 64;
    document_t *items;

    if (documents->count < documents->capacity) {
        return true;
    }
    items = realloc(documents->items, capacity * sizeof(items[0]));
    if (items != NULL) {
        documents->items = items;
        documents->capacity = capacity;
    }
    return items != NULL;
}

void document_digest(const char *text, size_t len, char digest[2 * RELAY_DIGEST_LEN + 1])
{
    unsigned char bytes[RELAY_DIGEST_LEN];

    crypto_hash_sha256(bytes, (const unsigned char *)text, len);
    sodium_bin2hex(digest, 2 * RELAY_DIGEST_LEN + 1, bytes, sizeof(bytes));
}

bool documents_lend(documents_t *documents, const document_t *lent, const char *name,
                    const char *digest)
{
    document_t *document;

    if (strlen(name) > RELAY_HEAD_NAME_MAX || !documents_grow(documents)) {
        return false;
    }
    document = &documents->items[documents->count++];
    *document = *lent;
    document->borrowed = true;
    memcpy(document->name, name, strlen(name) + 1);
    snprintf(document->digest, sizeof(document->digest), "%s", digest);
    return true;
}

bool documents_add(documents_t *documents, const char *name, char *text, bool catalog)
{
    document_t *document;

    if (text == NULL || strlen(name) > RELAY_HEAD_NAME_MAX || !documents_grow(documents)) {
        free(text);
        return false;
    }
    document = &documents->items[documents->count++];
    *document = (document_t){.text = text, .len = strlen(text), .catalog = catalog};
    memcpy(document->name, name, strlen(name) + 1);
    document_digest(text, document->len, document->digest);
    return true;
}

bool documents_add_json(documents_t *documents, const char *name, json_t *json, bool catalog)
{
    char *text = json != NULL ? json_dumps(json, JSON_COMPACT | JSON_SORT_KEYS) : NULL;

    json_decref(json);
    return documents_add(documents, name, text, catalog);
}

/* ---- what parts share ----------------------------------------------------- */

bool document_fail(document_build_t *build, const char *format, ...)
{
    va_list arguments;

    if (build->why[0] == '\0') {
        va_start(arguments, format);
        vsnprintf(build->why, sizeof(build->why), format, arguments);
        va_end(arguments);
    }
    return false;
}

PGresult *document_query(document_build_t *build, const char *sql, const char *value)
{
    PGresult *result = session_query(build->session, sql, value != NULL ? 1 : 0, &value);

    if (result == NULL) {
        document_fail(build, "the database: %s", session_error(build->session)->message);
    }
    return result;
}

void document_leave_out(document_build_t *build, const char *workspace, const char *kind,
                        const char *name, const char *reason)
{
    json_t *entry = json_pack("{s:s, s:s, s:s, s:s}", "workspace", workspace, "kind", kind, "name",
                              name, "reason", reason);

    if (entry != NULL) {
        json_array_append_new(build->inactive, entry);
    }
}

/* ---- a build -------------------------------------------------------------- */

void document_source_free(document_source_t *source)
{
    documents_free(&source->catalog);
    json_decref(source->revocations);
    source->revocations = NULL;
}

void document_build_free(document_build_t *build)
{
    documents_free(&build->documents);
    json_decref(build->inactive);
    json_decref(build->revocations);
    build->inactive = NULL;
    build->revocations = NULL;
}

static bool borrow_catalog(document_build_t *build)
{
    const documents_t *catalog = &build->source->catalog;

    for (size_t i = 0; i < catalog->count; i++) {
        if (!documents_grow(&build->documents)) {
            return document_fail(build, "out of memory");
        }
        build->documents.items[build->documents.count] = catalog->items[i];
        build->documents.items[build->documents.count++].borrowed = true;
    }
    return true;
}

static bool build_workspaces(document_build_t *build)
{
    PGresult *rows = document_query(build, "SELECT id, name FROM workspace ORDER BY name", NULL);
    bool good = rows != NULL;

    for (int i = 0; good && i < PQntuples(rows); i++) {
        good = document_workspace(build, PQgetvalue(rows, i, 0), PQgetvalue(rows, i, 1)) &&
               document_revocations(build, PQgetvalue(rows, i, 0), PQgetvalue(rows, i, 1));
    }
    PQclear(rows);
    return good;
}

static int compare_names(const void *left, const void *right)
{
    const document_t *a = left, *b = right;

    return strcmp(a->name, b->name);
}

static bool refuse(document_build_t *build, const relay_config_fault_t *fault)
{
    return document_fail(build, "%.*s:%zu:%zu: %s%s%s", (int)fault->document.len,
                         (const char *)fault->document.base, fault->line, fault->column,
                         fault->path, fault->path[0] != '\0' ? ": " : "", fault->message);
}

/* What trying some of the documents does not tell. */
static bool check_totals(document_build_t *build)
{
    if (build->documents.count > RELAY_CONFIG_DOCUMENTS_MAX) {
        return document_fail(build, "more than %d documents", RELAY_CONFIG_DOCUMENTS_MAX);
    }
    return build->nrevocations <= RELAY_CONFIG_REVOCATIONS_MAX ||
           document_fail(build, "more than %d revocations", RELAY_CONFIG_REVOCATIONS_MAX);
}

/*
 * As a worker will do it: what does not build here would be refused there. But
 * for revocations that were tried before: they are the most by far.
 */
static bool try_all(document_build_t *build)
{
    const documents_t *documents = &build->documents;
    relay_document_t *list = calloc(documents->count + 1, sizeof(list[0]));
    malloc_arena_t blocks = {NULL};
    relay_arena_t arena = malloc_arena(&blocks);
    relay_config_fault_t fault;
    size_t count = 0;
    bool good = list != NULL || document_fail(build, "out of memory");

    for (size_t i = 0; good && i < documents->count; i++) {
        const document_t *document = &documents->items[i];
        if (!document->tried) {
            list[count++] =
                (relay_document_t){relay_span(document->name, strlen(document->name)),
                                   relay_span(document->text, document->len), document->catalog};
        }
    }
    good = good && check_totals(build) &&
           (relay_config_build(&arena, list, count, &fault) != NULL || refuse(build, &fault));
    malloc_arena_release(&blocks);
    free(list);
    return good;
}

bool documents_build(document_build_t *build)
{
    build->why[0] = '\0';
    build->inactive = json_array();
    build->revocations = json_object();
    if (!document_catalog(build) || !borrow_catalog(build) || !build_workspaces(build)) {
        return document_fail(build, "out of memory");
    }
    json_decref(build->source->revocations);
    build->source->revocations = json_incref(build->revocations);
    qsort(build->documents.items, build->documents.count, sizeof(build->documents.items[0]),
          compare_names);
    if (!try_all(build)) {
        return false;
    }
    document_revocations_tried(build);
    return true;
}
