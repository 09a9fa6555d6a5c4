/*
 * The signed head: reading what Redis has of it, with the same distrust as the
 * workers, and writing the next one behind its documents. See publisher.h.
 */

#include "publisher.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "malloc_arena.h"
#include "signature.h"

static relay_span_t span_of(const char *text)
{
    return relay_span(text, strlen(text));
}

/* ---- what Redis has ------------------------------------------------------- */

static bool verified(const signer_t *signer, relay_span_t payload, relay_span_t signature)
{
    relay_span_t purpose = RELAY_SPAN(RELAY_PURPOSE_HEAD);
    size_t room = RELAY_SIGNATURE_ROOM(purpose, payload);
    uint8_t *bytes = payload.len <= RELAY_HEAD_MAX ? malloc(room) : NULL;
    relay_buf_t scratch = relay_buf(bytes, room);
    bool good = bytes != NULL && relay_signature_verify(signer_public(signer), purpose, payload,
                                                        signature, &scratch);

    free(bytes);
    return good;
}

static bool read_head(const signer_t *signer, relay_span_t text, const char *deployment,
                      stored_head_t *stored)
{
    malloc_arena_t blocks = {NULL};
    relay_arena_t arena = malloc_arena(&blocks);
    relay_span_t signature, payload;
    relay_config_fault_t fault;
    bool good = relay_signature_split(text, &signature, &payload) &&
                verified(signer, payload, signature) &&
                relay_head_read(&arena, payload, &stored->head, &fault) &&
                relay_span_eq(stored->head.deployment, span_of(deployment));

    stored->blocks = blocks.blocks;
    return good;
}

bool stored_head_read(publisher_t *publisher, const char *deployment, stored_head_t *stored)
{
    size_t len;

    *stored = (stored_head_t){.text = NULL};
    if (!store_head(publisher->store, &stored->text, &len)) {
        return false;
    }
    stored->ours = stored->text != NULL &&
                   read_head(publisher->signer, relay_span(stored->text, len), deployment, stored);
    if (!stored->ours) {
        stored->head = (relay_head_t){.revision = 0};
    }
    return true;
}

void stored_head_free(stored_head_t *stored)
{
    malloc_arena_t blocks = {stored->blocks};

    malloc_arena_release(&blocks);
    free(stored->text);
    *stored = (stored_head_t){.text = NULL};
}

static void digest_text(const relay_digest_t *digest, char text[2 * RELAY_DIGEST_LEN + 1])
{
    sodium_bin2hex(text, 2 * RELAY_DIGEST_LEN + 1, digest->bytes, sizeof(digest->bytes));
}

/* Whether the stored head has a document of this digest. */
static bool has_digest(const stored_head_t *stored, const char *digest)
{
    char text[2 * RELAY_DIGEST_LEN + 1];

    for (size_t i = 0; i < stored->head.ndocuments; i++) {
        digest_text(&stored->head.documents[i].digest, text);
        if (strcmp(text, digest) == 0) {
            return true;
        }
    }
    return false;
}

bool stored_head_lists(const stored_head_t *stored, const documents_t *documents)
{
    char digest[2 * RELAY_DIGEST_LEN + 1];

    if (stored->head.ndocuments != documents->count) {
        return false;
    }
    for (size_t i = 0; i < documents->count; i++) { /* both are sorted by name */
        const relay_head_document_t *there = &stored->head.documents[i];
        digest_text(&there->digest, digest);
        if (!relay_span_eq(there->name, span_of(documents->items[i].name)) ||
            strcmp(digest, documents->items[i].digest) != 0) {
            return false;
        }
    }
    return true;
}

bool stored_head_complete(publisher_t *publisher, const stored_head_t *stored, bool *complete)
{
    size_t count = stored->head.ndocuments;
    char(*digests)[2 * RELAY_DIGEST_LEN + 1] = calloc(count + 1, sizeof(digests[0]));
    const char **list = calloc(count + 1, sizeof(list[0]));
    bool good = digests != NULL && list != NULL;

    for (size_t i = 0; good && i < count; i++) {
        digest_text(&stored->head.documents[i].digest, digests[i]);
        list[i] = digests[i];
    }
    good = good && store_has_documents(publisher->store, list, count, complete);
    free(digests);
    free(list);
    return good;
}

/* ---- the next one --------------------------------------------------------- */

/* jansson keeps members in the order in which they were added: the revision comes early. */
static char *head_payload(const char *deployment, long long revision, const documents_t *documents)
{
    json_t *list = json_array(), *head;
    char *text = NULL;

    for (size_t i = 0; i < documents->count; i++) {
        const document_t *document = &documents->items[i];
        json_array_append_new(list,
                              json_pack("{s:s, s:s, s:I}", "name", document->name, "sha256",
                                        document->digest, "bytes", (json_int_t)document->len));
    }
    head = json_pack("{s:s, s:I, s:I, s:o}", "deployment", deployment, "revision",
                     (json_int_t)revision, "issued_at", (json_int_t)time(NULL), "documents", list);
    if (head != NULL) {
        text = json_dumps(head, JSON_COMPACT);
    }
    json_decref(head);
    return text;
}

/* `<signature>` LF `<payload>` of its own; NULL: it cannot be signed. */
static char *sign_head(const signer_t *signer, const char *payload, size_t *len)
{
    relay_span_t purpose = RELAY_SPAN(RELAY_PURPOSE_HEAD), bytes = span_of(payload);
    size_t size = RELAY_SIGNATURE_TEXT_MAX + 1 + bytes.len;
    char *text = malloc(size), *room = malloc(RELAY_SIGNATURE_ROOM(purpose, bytes));
    relay_buf_t out = relay_buf(text, size);
    relay_buf_t scratch = relay_buf(room, RELAY_SIGNATURE_ROOM(purpose, bytes));
    bool good = text != NULL && room != NULL && signer_sign(signer, purpose, bytes, &scratch, &out);

    if (good) {
        relay_buf_put_byte(&out, '\n');
        relay_buf_put(&out, bytes);
    }
    free(room);
    if (!good || !relay_buf_ok(&out)) {
        free(text);
        return NULL;
    }
    *len = out.len;
    return text;
}

static bool put_documents(publisher_t *publisher, const documents_t *documents,
                          const stored_head_t *stored, bool whole)
{
    bool good = true;

    for (size_t i = 0; good && i < documents->count; i++) {
        const document_t *document = &documents->items[i];
        if (whole || !has_digest(stored, document->digest)) {
            good = store_put_document(publisher->store, document->digest,
                                      relay_span(document->text, document->len));
        }
    }
    return good && store_settle(publisher->store);
}

static bool is_among(const documents_t *documents, const char *digest)
{
    for (size_t i = 0; i < documents->count; i++) {
        if (strcmp(documents->items[i].digest, digest) == 0) {
            return true;
        }
    }
    return false;
}

/* Digests that the stored head has and the next one has not. */
static size_t find_dropped(const stored_head_t *stored, const documents_t *documents,
                           char (*digests)[2 * RELAY_DIGEST_LEN + 1], const char **list)
{
    size_t count = 0;

    for (size_t i = 0; i < stored->head.ndocuments; i++) {
        digest_text(&stored->head.documents[i].digest, digests[count]);
        if (!is_among(documents, digests[count])) {
            list[count] = digests[count];
            count++;
        }
    }
    return count;
}

static bool put_head(publisher_t *publisher, relay_span_t head, long long revision,
                     const documents_t *documents, const stored_head_t *stored)
{
    size_t count = stored->head.ndocuments;
    char(*digests)[2 * RELAY_DIGEST_LEN + 1] = calloc(count + 1, sizeof(digests[0]));
    const char **dropped = calloc(count + 1, sizeof(dropped[0]));
    bool good = digests != NULL && dropped != NULL;

    if (good) {
        count = find_dropped(stored, documents, digests, dropped);
        good = store_put_head(publisher->store, head, revision, dropped, count);
    }
    free(digests);
    free(dropped);
    return good;
}

bool publish_documents(publisher_t *publisher, const char *deployment, long long revision,
                       const documents_t *documents, const stored_head_t *stored, bool whole)
{
    char *payload = head_payload(deployment, revision, documents), *head = NULL;
    size_t len = 0;
    bool good;

    if (payload != NULL) {
        head = sign_head(publisher->signer, payload, &len);
    }
    good = head != NULL && put_documents(publisher, documents, stored, whole) &&
           put_head(publisher, relay_span(head, len), revision, documents, stored);
    free(payload);
    free(head);
    return good;
}
