/* Writing the store of ngx_relay_module/STORE.md: see redis_store.h. */

#include "redis_store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    PREFIX_MAX = 128,
    KEY_MAX = PREFIX_MAX + 96,
    NUMBER_MAX = 24,
    PENDING_MAX = 4096,        /* replies that may be outstanding */
    DROPPED_FOR_S = 60 * 60,   /* how long a document outlives the last head that has it */
    EXPIRED_FOR_S = 24 * 3600, /* the same for a relay key */
    REVISION_WITHIN = 1024,    /* bytes of a head in which its revision stands */
    NODE_MAX = 4096,
    NODES_MAX = 10000
};

struct redis_store_s {
    redis_connection_t *redis;
    size_t pending;
    char prefix[PREFIX_MAX];
};

static relay_span_t word(const char *text)
{
    return relay_span(text, strlen(text));
}

static const char *key_of(const redis_store_t *store, const char *kind, const char *name,
                          char key[KEY_MAX])
{
    snprintf(key, KEY_MAX, "%s%s%s", store->prefix, kind, name);
    return key;
}

redis_store_t *store_open(const redis_place_t *place, const char *prefix, char *error,
                          size_t error_size)
{
    redis_store_t *store = calloc(1, sizeof(*store));

    if (store == NULL || strlen(prefix) >= sizeof(store->prefix)) {
        snprintf(error, error_size, "%s",
                 store == NULL ? "out of memory" : "the prefix is too long");
        free(store);
        return NULL;
    }
    memcpy(store->prefix, prefix, strlen(prefix) + 1);
    store->redis = redis_open(place, error, error_size);
    if (store->redis == NULL) {
        free(store);
        return NULL;
    }
    return store;
}

void store_close(redis_store_t *store)
{
    if (store != NULL) {
        redis_close(store->redis);
        free(store);
    }
}

const char *store_why(const redis_store_t *store)
{
    return redis_why(store->redis);
}

int store_descriptor(const redis_store_t *store)
{
    return redis_descriptor(store->redis);
}

/* ---- commands ------------------------------------------------------------- */

bool store_settle(redis_store_t *store)
{
    size_t pending = store->pending;

    store->pending = 0;
    return redis_expect(store->redis, pending);
}

static bool put(redis_store_t *store, const relay_span_t *words, size_t count)
{
    if (store->pending >= PENDING_MAX && !store_settle(store)) {
        return false;
    }
    store->pending++;
    return redis_add(store->redis, words, count);
}

#define PUT(store, ...)                                                                            \
    put((store), (const relay_span_t[]){__VA_ARGS__},                                              \
        sizeof((relay_span_t[]){__VA_ARGS__}) / sizeof(relay_span_t))

/* A command whose reply is wanted; NULL: broken, or an error. */
static redisReply *ask(redis_store_t *store, const relay_span_t *words, size_t count)
{
    redisReply *reply = NULL;

    if (store_settle(store) && redis_add(store->redis, words, count)) {
        reply = redis_next(store->redis);
    }
    if (reply != NULL && reply->type == REDIS_REPLY_ERROR) {
        freeReplyObject(reply);
        return NULL;
    }
    return reply;
}

#define ASK(store, ...)                                                                            \
    ask((store), (const relay_span_t[]){__VA_ARGS__},                                              \
        sizeof((relay_span_t[]){__VA_ARGS__}) / sizeof(relay_span_t))

bool store_ping(redis_store_t *store)
{
    redisReply *reply = ASK(store, RELAY_SPAN("PING"));

    freeReplyObject(reply);
    return reply != NULL;
}

/* ---- the head ------------------------------------------------------------- */

bool store_head(redis_store_t *store, char **text, size_t *len)
{
    char key[KEY_MAX];
    redisReply *reply = ASK(store, RELAY_SPAN("GET"), word(key_of(store, "head", "", key)));
    bool good = reply != NULL;

    *text = NULL;
    *len = 0;
    if (good && reply->type == REDIS_REPLY_STRING) {
        *text = malloc(reply->len + 1);
        good = *text != NULL;
    }
    if (*text != NULL) {
        memcpy(*text, reply->str, reply->len);
        (*text)[reply->len] = '\0';
        *len = reply->len;
    }
    freeReplyObject(reply);
    return good;
}

bool store_revision(redis_store_t *store, long long *revision)
{
    char key[KEY_MAX], last[NUMBER_MAX];
    redisReply *reply;
    const char *at;

    snprintf(last, sizeof(last), "%d", REVISION_WITHIN - 1);
    reply = ASK(store, RELAY_SPAN("GETRANGE"), word(key_of(store, "head", "", key)),
                RELAY_SPAN("0"), word(last));
    *revision = 0;
    if (reply != NULL && reply->type == REDIS_REPLY_STRING) {
        at = strstr(reply->str, "\"revision\":");
        *revision = at != NULL ? strtoll(at + strlen("\"revision\":"), NULL, 10) : 0;
    }
    freeReplyObject(reply);
    return reply != NULL;
}

bool store_put_head(redis_store_t *store, relay_span_t head, long long revision,
                    const char *const *dropped, size_t ndropped)
{
    char key[KEY_MAX], limit[NUMBER_MAX], hint[NUMBER_MAX + 8];
    bool good = PUT(store, RELAY_SPAN("MULTI")) &&
                PUT(store, RELAY_SPAN("SET"), word(key_of(store, "head", "", key)), head);

    snprintf(limit, sizeof(limit), "%d", DROPPED_FOR_S);
    snprintf(hint, sizeof(hint), "head %lld", revision);
    for (size_t i = 0; good && i < ndropped; i++) {
        good = PUT(store, RELAY_SPAN("EXPIRE"), word(key_of(store, "document:", dropped[i], key)),
                   word(limit));
    }
    return good &&
           PUT(store, RELAY_SPAN("PUBLISH"), word(key_of(store, "changes", "", key)), word(hint)) &&
           PUT(store, RELAY_SPAN("EXEC")) && store_settle(store);
}

/* ---- documents ------------------------------------------------------------ */

bool store_put_document(redis_store_t *store, const char *digest, relay_span_t text)
{
    char key[KEY_MAX];

    return PUT(store, RELAY_SPAN("SET"), word(key_of(store, "document:", digest, key)), text);
}

bool store_has_documents(redis_store_t *store, const char *const *digests, size_t count, bool *all)
{
    char key[KEY_MAX];
    bool good = store_settle(store);
    size_t asked = 0;

    *all = true;
    for (; good && asked < count; asked++) {
        relay_span_t words[] = {RELAY_SPAN("EXISTS"),
                                word(key_of(store, "document:", digests[asked], key))};
        good = redis_add(store->redis, words, 2);
    }
    for (; good && asked > 0; asked--) {
        redisReply *reply = redis_next(store->redis);
        good = reply != NULL && reply->type == REDIS_REPLY_INTEGER;
        *all = *all && good && reply->integer == 1;
        freeReplyObject(reply);
    }
    return good;
}

/* ---- relay keys ----------------------------------------------------------- */

static bool put_hint(redis_store_t *store, const char *digest)
{
    char key[KEY_MAX], hint[KEY_MAX];

    snprintf(hint, sizeof(hint), "key %s", digest);
    return PUT(store, RELAY_SPAN("PUBLISH"), word(key_of(store, "changes", "", key)), word(hint));
}

bool store_put_key(redis_store_t *store, const char *digest, relay_span_t record,
                   relay_span_t signature, long long expires_at_s, bool hint)
{
    char key[KEY_MAX], limit[NUMBER_MAX];
    relay_span_t name = word(key_of(store, "key:", digest, key));
    bool good = PUT(store, RELAY_SPAN("HSET"), name, RELAY_SPAN("record"), record,
                    RELAY_SPAN("signature"), signature);

    snprintf(limit, sizeof(limit), "%lld", expires_at_s + EXPIRED_FOR_S);
    good = good && (expires_at_s != 0 ? PUT(store, RELAY_SPAN("EXPIREAT"), name, word(limit))
                                      : PUT(store, RELAY_SPAN("PERSIST"), name));
    return good && (!hint || put_hint(store, digest));
}

bool store_remove_key(redis_store_t *store, const char *digest)
{
    char key[KEY_MAX];

    return PUT(store, RELAY_SPAN("DEL"), word(key_of(store, "key:", digest, key))) &&
           put_hint(store, digest);
}

/* ---- nodes ---------------------------------------------------------------- */

/* One node's line, or NULL: whoever can write to the store can write anything there. */
static json_t *read_node(const redisReply *text)
{
    json_t *node = NULL;

    if (text->type == REDIS_REPLY_STRING && text->len <= NODE_MAX) {
        node = json_loadb(text->str, text->len, JSON_REJECT_DUPLICATES, NULL);
    }
    if (json_is_string(json_object_get(node, "node")) &&
        json_is_string(json_object_get(node, "state")) &&
        json_is_integer(json_object_get(node, "worker")) &&
        json_is_integer(json_object_get(node, "revision")) &&
        json_is_integer(json_object_get(node, "at"))) {
        return node;
    }
    json_decref(node);
    return NULL;
}

static int compare_nodes(const void *left, const void *right)
{
    json_t *const *a = left, *const *b = right;
    int order = strcmp(json_string_value(json_object_get(*a, "node")),
                       json_string_value(json_object_get(*b, "node")));
    json_int_t first = json_integer_value(json_object_get(*a, "worker"));
    json_int_t second = json_integer_value(json_object_get(*b, "worker"));

    return order != 0 ? order : (first > second) - (first < second);
}

/* By name and worker: HGETALL has no order. */
static json_t *sorted(json_t **list, size_t count)
{
    json_t *nodes = json_array();

    qsort(list, count, sizeof(list[0]), compare_nodes);
    for (size_t i = 0; i < count; i++) {
        json_array_append_new(nodes, list[i]);
    }
    return nodes;
}

json_t *store_nodes(redis_store_t *store)
{
    char key[KEY_MAX];
    redisReply *reply = ASK(store, RELAY_SPAN("HGETALL"), word(key_of(store, "nodes", "", key)));
    size_t elements = reply != NULL && reply->type == REDIS_REPLY_ARRAY ? reply->elements : 0;
    json_t **list = elements <= 2 * NODES_MAX ? calloc(elements / 2 + 1, sizeof(list[0])) : NULL;
    json_t *nodes = NULL;
    size_t count = 0;

    for (size_t i = 1; list != NULL && i < elements; i += 2) {
        list[count] = read_node(reply->element[i]);
        count += list[count] != NULL;
    }
    if (reply != NULL && list != NULL) {
        nodes = sorted(list, count);
    }
    free(list);
    freeReplyObject(reply);
    return nodes;
}
