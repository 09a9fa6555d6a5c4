/*
 * Tokens that are kept: see access_token.h. An entry lives as long as its token
 * is published: when it is due and the last configuration did without it, it is
 * given up.
 *
 *     none --made--> good --due--> renewed, or retried until its end: --> ended
 *      ^  failed: retried with growing pauses                             |
 *      +------------------------------------------------------------------+
 *
 * A good one may come from the database instead: another relayd, or this one
 * before its last start, has made it.
 */

#include "access_token.h"

#include <pthread.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "access_token_row.h"
#include "log.h"
#include "service_account.h"

enum {
    WHY_MAX = 256,
    SCOPE_MAX = 2048,
    KEY_LEN = ACCESS_DIGEST_LEN,
    UUID_MAX = 37,
    AHEAD_S = 300, /* renewed so long before the end, or at half of a short life */
    PATIENCE_S = 5,
    PAUSE_FIRST_S = 1,
    PAUSE_MAX_S = 60
};

/* ---- hosts ---------------------------------------------------------------- */

access_host_t access_host_of(const json_t *host)
{
    const json_t *auth = json_object_get(host, "auth");
    const char *type = json_string_value(json_object_get(auth, "type"));
    const char *scope = json_string_value(json_object_get(auth, "scope"));

    return (access_host_t){.wanted = type != NULL && strcmp(type, "oauth-service-account") == 0,
                           .local = json_is_true(json_object_get(host, "local")),
                           .scope = scope != NULL ? scope : ""};
}

static bool no(char *why, size_t why_size, const char *text)
{
    snprintf(why, why_size, "%s", text);
    return false;
}

/* As it stands it goes into a header. */
static bool fits_header(const secret_t *value)
{
    for (size_t i = 0; i < value->len; i++) {
        if (value->bytes[i] <= ' ' || value->bytes[i] > '~') {
            return false;
        }
    }
    return true;
}

bool access_value_ok(const access_host_t *host, const secret_t *value, char *why, size_t why_size)
{
    if (host->wanted) {
        return service_account_check(value, host->local, why, why_size);
    }
    if (service_account_is(value)) {
        return no(why, why_size, "is a service account, and its host takes a key");
    }
    return fits_header(value) ||
           no(why, why_size, "has spaces, line feeds or characters that no key has");
}

/* ---- what is kept --------------------------------------------------------- */

typedef struct entry_s {
    struct entry_s *next;
    uint8_t key[KEY_LEN]; /* digest of workspace, account, scope, local */
    char workspace_id[UUID_MAX];
    char scope[SCOPE_MAX + 1];
    bool local;
    secret_t account;
    secret_t token;      /* none: there is no good one */
    time_t ends_s;       /* the token's end */
    time_t due_s;        /* renewed, or tried again, from then on */
    time_t tried_s;      /* the last time */
    long long pause_s;   /* after failures */
    unsigned long build; /* the last one that it was published with; 0: none */
    bool changed;        /* since access_tokens_renew() said so last */
    bool unwritten;      /* renewed by the janitor, and the database does not have it yet */
    char why[WHY_MAX];   /* of the last attempt; "": it was good */
} entry_t;

static entry_t *entries;
static unsigned long build = 1; /* of configurations: the one that is under way, */
static unsigned long built;     /* and the last one that is whole */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* Monotonic: a clock that is set does not age what is kept. */
static time_t now_s(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec;
}

static void key_of(const access_host_t *host, const secret_t *account, uint8_t key[KEY_LEN])
{
    crypto_hash_sha256_state state;
    const uint8_t local = host->local;

    crypto_hash_sha256_init(&state);
    crypto_hash_sha256_update(&state, (const uint8_t *)host->workspace_id,
                              strlen(host->workspace_id) + 1);
    crypto_hash_sha256_update(&state, &local, 1);
    crypto_hash_sha256_update(&state, (const uint8_t *)host->scope, strlen(host->scope) + 1);
    crypto_hash_sha256_update(&state, account->bytes, account->len);
    crypto_hash_sha256_final(&state, key);
}

static entry_t *entry_find(const uint8_t key[KEY_LEN])
{
    entry_t *entry = entries;

    while (entry != NULL && memcmp(entry->key, key, KEY_LEN) != 0) {
        entry = entry->next;
    }
    return entry;
}

static void entry_free(entry_t *entry)
{
    secret_free(&entry->account);
    secret_free(&entry->token);
    free(entry);
}

/* NULL: no memory. */
static entry_t *entry_make(const access_host_t *host, const secret_t *account,
                           const uint8_t key[KEY_LEN])
{
    bool fits = strlen(host->scope) <= SCOPE_MAX && strlen(host->workspace_id) < UUID_MAX;
    entry_t *entry = fits ? calloc(1, sizeof(*entry)) : NULL;

    if (entry == NULL || !secret_copy(&entry->account, account->bytes, account->len)) {
        free(entry);
        return NULL;
    }
    memcpy(entry->key, key, KEY_LEN);
    snprintf(entry->scope, sizeof(entry->scope), "%s", host->scope);
    snprintf(entry->workspace_id, sizeof(entry->workspace_id), "%s", host->workspace_id);
    entry->local = host->local;
    entry->next = entries;
    entries = entry;
    return entry;
}

/* A token that has ended is none. */
static bool entry_good(entry_t *entry)
{
    if (entry->token.bytes != NULL && now_s() >= entry->ends_s) {
        secret_free(&entry->token);
        entry->changed = true;
    }
    return entry->token.bytes != NULL;
}

/* ---- one attempt ---------------------------------------------------------- */

typedef struct {
    secret_t token;
    long long lives_s;
    char why[WHY_MAX];
    bool good;
} attempt_t;

/* Without the lock: an endpoint may take seconds. */
static void attempt_make(attempt_t *attempt, const secret_t *account, const char *scope, bool local)
{
    *attempt = (attempt_t){.good = false};
    attempt->good = service_account_token(account, scope, local, &attempt->token, &attempt->lives_s,
                                          attempt->why, sizeof(attempt->why));
}

static void entry_failed(entry_t *entry, const char *why)
{
    if (strcmp(entry->why, why) != 0) {
        log_event(LOG_WARN,
                  entry->token.bytes != NULL
                      ? "an access token cannot be renewed; the last one stays in use to its end"
                      : "an access token cannot be made",
                  "reason", why, NULL);
    }
    snprintf(entry->why, sizeof(entry->why), "%s", why);
    entry->pause_s = entry->pause_s == 0 ? PAUSE_FIRST_S : entry->pause_s * 2;
    entry->pause_s = entry->pause_s < PAUSE_MAX_S ? entry->pause_s : PAUSE_MAX_S;
    entry->due_s = now_s() + entry->pause_s;
}

/* The first token of all changes nothing: whoever asked for it takes it. */
static void entry_keep(entry_t *entry, attempt_t *attempt)
{
    bool first = entry->tried_s == 0;
    long long ahead_s = attempt->lives_s / 2 < AHEAD_S ? attempt->lives_s / 2 : AHEAD_S;

    entry->tried_s = now_s();
    if (!attempt->good) {
        entry_failed(entry, attempt->why);
        return;
    }
    secret_free(&entry->token);
    entry->token = attempt->token;
    attempt->token = (secret_t){NULL, 0};
    entry->ends_s = now_s() + (time_t)attempt->lives_s;
    entry->due_s = entry->ends_s - (time_t)ahead_s;
    entry->pause_s = 0;
    entry->why[0] = '\0';
    entry->changed = entry->changed || !first;
}

/* ---- the database's ------------------------------------------------------- */

static bool same(const secret_t *a, const secret_t *b)
{
    return a->bytes != NULL && b->bytes != NULL && a->len == b->len &&
           sodium_memcmp(a->bytes, b->bytes, a->len) == 0;
}

/* Whether another relayd's is the better one: who has none takes any. */
static bool prefers(entry_t *entry, const access_token_row_t *row)
{
    return !entry_good(entry) || (row->due_s > 0 && !same(&entry->token, &row->token));
}

static void entry_adopt(entry_t *entry, access_token_row_t *row)
{
    secret_free(&entry->token);
    entry->token = row->token;
    row->token = (secret_t){NULL, 0};
    entry->tried_s = now_s();
    entry->ends_s = now_s() + (time_t)row->ends_s;
    entry->due_s = now_s() + (time_t)row->due_s;
    entry->pause_s = 0;
    entry->why[0] = '\0';
    entry->unwritten = false;
}

static void adopt(const access_host_t *host, const access_store_t *store, const secret_t *account,
                  const uint8_t key[KEY_LEN])
{
    access_token_row_t row;
    entry_t *entry;

    if (!access_token_row_read(store->secrets, store->session, host->workspace_id, key, &row)) {
        return;
    }
    pthread_mutex_lock(&lock);
    entry = entry_find(key);
    if (entry == NULL) {
        entry = entry_make(host, account, key);
    }
    if (entry != NULL && prefers(entry, &row)) {
        entry_adopt(entry, &row);
    }
    pthread_mutex_unlock(&lock);
    secret_free(&row.token);
}

void access_token_adopt(const access_host_t *host, const access_store_t *store,
                        const secret_t *account)
{
    uint8_t key[KEY_LEN];

    if (host->wanted && account->len != 0) {
        key_of(host, account, key);
        adopt(host, store, account, key);
    }
}

/* Of an entry, to be written; false: it has no token, or no memory. */
static bool row_of(entry_t *entry, access_token_row_t *row)
{
    *row = (access_token_row_t){.due_s = (long long)(entry->due_s - now_s()),
                                .ends_s = (long long)(entry->ends_s - now_s())};
    return entry_good(entry) && secret_copy(&row->token, entry->token.bytes, entry->token.len);
}

/* What is published is in the database. */
static bool keep(const access_host_t *host, const access_store_t *store, const uint8_t key[KEY_LEN])
{
    access_token_row_t there, row = {.due_s = 0};
    entry_t *entry;
    bool found, kept = true;

    found = access_token_row_read(store->secrets, store->session, host->workspace_id, key, &there);
    pthread_mutex_lock(&lock);
    entry = entry_find(key);
    if (entry == NULL || !row_of(entry, &row) || (found && same(&there.token, &row.token))) {
        secret_free(&row.token);
    }
    pthread_mutex_unlock(&lock);
    if (row.token.bytes != NULL) {
        kept =
            access_token_row_write(store->secrets, store->session, host->workspace_id, key, &row);
    }
    secret_free(&row.token);
    secret_free(&there.token);
    return kept;
}

/* ---- taking one ----------------------------------------------------------- */

/* A failure is tried again by who can wait for it. */
static bool fresh_enough(entry_t *entry, bool patient)
{
    return entry_good(entry) ||
           (entry->tried_s != 0 && (!patient || now_s() < entry->tried_s + PATIENCE_S));
}

/* False: it has to be made first. */
static bool take_kept(const uint8_t key[KEY_LEN], bool patient, bool publishing, secret_t *token,
                      char *why, size_t why_size)
{
    entry_t *entry;
    bool fresh;

    pthread_mutex_lock(&lock);
    entry = entry_find(key);
    fresh = entry != NULL && fresh_enough(entry, patient);
    if (fresh) {
        entry->build = publishing ? build : entry->build;
        snprintf(why, why_size, "%s", entry->token.bytes != NULL ? "out of memory" : entry->why);
        if (entry->token.bytes != NULL) {
            (void)secret_copy(token, entry->token.bytes, entry->token.len);
        }
    }
    pthread_mutex_unlock(&lock);
    return fresh;
}

static void make_kept(const access_host_t *host, const secret_t *account,
                      const uint8_t key[KEY_LEN])
{
    attempt_t attempt;
    entry_t *entry;

    attempt_make(&attempt, account, host->scope, host->local);
    pthread_mutex_lock(&lock);
    entry = entry_find(key);
    if (entry == NULL) {
        entry = entry_make(host, account, key);
    }
    if (entry != NULL) {
        entry_keep(entry, &attempt);
    }
    pthread_mutex_unlock(&lock);
    secret_free(&attempt.token);
}

/* store: the publisher's, which does not wait; else NULL. */
static bool replace(const access_host_t *host, const access_store_t *store, secret_t *secret,
                    char *why, size_t why_size)
{
    bool publishing = store != NULL && store->writes;
    secret_t token = {NULL, 0};
    uint8_t key[KEY_LEN];

    snprintf(why, why_size, "out of memory");
    key_of(host, secret, key);
    if (store != NULL) {
        adopt(host, store, secret, key);
    }
    if (!take_kept(key, store == NULL, publishing, &token, why, why_size)) {
        make_kept(host, secret, key);
        take_kept(key, false, publishing, &token, why, why_size);
    }
    if (publishing && token.bytes != NULL && !keep(host, store, key)) {
        snprintf(why, why_size, "its access token cannot be kept");
        secret_free(&token);
    }
    secret_free(secret);
    *secret = token;
    return token.bytes != NULL;
}

static bool take(const access_host_t *host, const access_store_t *store, secret_t *secret,
                 char *why, size_t why_size)
{
    int len = snprintf(why, why_size, "its value ");

    if (host->wanted) {
        return replace(host, store, secret, why, why_size);
    }
    if (access_value_ok(host, secret, why + len, why_size - (size_t)len)) {
        return true;
    }
    secret_free(secret);
    return false;
}

bool access_token_take(const access_host_t *host, secret_t *secret, char *why, size_t why_size)
{
    return take(host, NULL, secret, why, why_size);
}

bool access_token_publish(const access_host_t *host, const access_store_t *store, secret_t *secret,
                          char *why, size_t why_size)
{
    return take(host, store, secret, why, why_size);
}

/* ---- renewing ------------------------------------------------------------- */

void access_tokens_built(void)
{
    pthread_mutex_lock(&lock);
    built = build++;
    pthread_mutex_unlock(&lock);
}

static bool is_published(const entry_t *entry)
{
    return entry->build != 0 && entry->build >= built;
}

/* Under the lock. */
static void drop_unpublished(void)
{
    for (entry_t **at = &entries; *at != NULL;) {
        entry_t *entry = *at;
        if (is_published(entry) || entry->due_s > now_s()) {
            at = &entry->next;
            continue;
        }
        *at = entry->next;
        entry_free(entry);
    }
}

/* A copy of the next one that is due. False: there is none, or no memory. */
static bool next_due(entry_t *copy)
{
    entry_t *entry;
    bool found;

    pthread_mutex_lock(&lock);
    drop_unpublished();
    entry = entries;
    while (entry != NULL && entry->due_s > now_s()) {
        entry = entry->next;
    }
    if (entry != NULL) {
        *copy = *entry;
        copy->account = copy->token = (secret_t){NULL, 0};
    }
    found = entry != NULL && secret_copy(&copy->account, entry->account.bytes, entry->account.len);
    pthread_mutex_unlock(&lock);
    return found;
}

/* Another relayd may have done it. */
static bool renewed_elsewhere(const access_store_t *store, const entry_t *due)
{
    access_host_t host = {due->workspace_id, true, due->local, due->scope};
    const entry_t *entry;
    bool fresh;

    if (session_begin(store->session, NULL)) {
        adopt(&host, store, &due->account, due->key);
    }
    session_rollback(store->session);
    pthread_mutex_lock(&lock);
    entry = entry_find(due->key);
    fresh = entry == NULL || entry->due_s > now_s();
    pthread_mutex_unlock(&lock);
    return fresh;
}

static void renew(const entry_t *due)
{
    attempt_t attempt;
    entry_t *entry;

    attempt_make(&attempt, &due->account, due->scope, due->local);
    pthread_mutex_lock(&lock);
    entry = entry_find(due->key);
    if (entry != NULL) {
        entry_keep(entry, &attempt);
        entry->unwritten = entry->unwritten || attempt.good;
    }
    pthread_mutex_unlock(&lock);
    secret_free(&attempt.token);
}

/* Says so once. A token that has ended is another one, too. */
static bool any_changed(void)
{
    bool changed = false;

    pthread_mutex_lock(&lock);
    for (entry_t *entry = entries; entry != NULL; entry = entry->next) {
        (void)entry_good(entry);
        changed = changed || (entry->changed && is_published(entry));
        entry->changed = false;
    }
    pthread_mutex_unlock(&lock);
    return changed;
}

bool access_tokens_renew(const access_store_t *store, atomic_bool *stopping)
{
    entry_t due;

    while (!atomic_load(stopping) && next_due(&due)) {
        if (!renewed_elsewhere(store, &due)) {
            renew(&due);
        }
        secret_free(&due.account);
    }
    return any_changed();
}

/* A copy of the first one from position that is not written yet. */
static bool next_unwritten(size_t *position, entry_t *copy, access_token_row_t *row)
{
    entry_t *entry;
    size_t at = 0;
    bool found = false;

    pthread_mutex_lock(&lock);
    for (entry = entries; entry != NULL && !found; entry = entry->next) {
        if (at++ < *position || !entry->unwritten) {
            continue;
        }
        found = row_of(entry, row);
        *copy = *entry;
    }
    *position = at;
    pthread_mutex_unlock(&lock);
    copy->account = copy->token = (secret_t){NULL, 0};
    return found;
}

bool access_tokens_write(const access_store_t *store)
{
    access_token_row_t row;
    size_t position = 0;
    entry_t entry;
    bool good = true;

    while (good && next_unwritten(&position, &entry, &row)) {
        good = access_token_row_write(store->secrets, store->session, entry.workspace_id, entry.key,
                                      &row);
        secret_free(&row.token);
    }
    return good;
}

void access_tokens_written(void)
{
    pthread_mutex_lock(&lock);
    for (entry_t *entry = entries; entry != NULL; entry = entry->next) {
        entry->unwritten = false;
    }
    pthread_mutex_unlock(&lock);
}

long long access_tokens_due_s(void)
{
    long long least_s = -1;

    pthread_mutex_lock(&lock);
    for (const entry_t *entry = entries; entry != NULL; entry = entry->next) {
        long long left_s = (long long)(entry->due_s - now_s());
        left_s = left_s > 0 ? left_s : 0;
        least_s = least_s < 0 || left_s < least_s ? left_s : least_s;
    }
    pthread_mutex_unlock(&lock);
    return least_s;
}

void access_tokens_forget(void)
{
    pthread_mutex_lock(&lock);
    while (entries != NULL) {
        entry_t *entry = entries;
        entries = entry->next;
        entry_free(entry);
    }
    pthread_mutex_unlock(&lock);
}
