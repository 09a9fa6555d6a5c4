/*
 * Resolving references, see reference.h. Called by provider_keys.c when a key is
 * shown or tested, by document_key.c when it is published.
 */

#include "reference.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "log.h"
#include "relayd.h"
#include "service_account.h"
#include "vault.h"

enum {
    REFERENCE_MAX = 1024,
    WHY_MAX = 256,
    BUCKETS = 1024,
    FAILED_FOR_S = 5,
    GONE_AFTER_S = 5, /* what is replaced may be missing for a moment */
    VARIABLE_MAX = 256
};

static bool no(char *why, size_t why_size, const char *text)
{
    snprintf(why, why_size, "%s", text);
    return false;
}

/* ---- the three kinds ------------------------------------------------------ */

static bool variable_ok(const char *name)
{
    size_t len = strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_");

    return len != 0 && len < VARIABLE_MAX && name[len] == '\0' && (name[0] < '0' || name[0] > '9');
}

/* relayd's own settings hold its keys: nobody may have one sent to a host. */
static const char *env_fault(const char *name)
{
    if (!variable_ok(name)) {
        return "needs the name of an environment variable behind env:";
    }
    return strncmp(name, "RELAY_", 6) == 0 ? "may not name a variable of Relay itself" : NULL;
}

/* What was in the environment: it is wiped there, a core image would have it. */
typedef struct variable_s {
    struct variable_s *next;
    secret_t value;
    char name[VARIABLE_MAX];
} variable_t;

static variable_t *variables;
static pthread_mutex_t variables_lock = PTHREAD_MUTEX_INITIALIZER;

/* Made if there is none; NULL: no memory. */
static variable_t *variable_of(const char *name)
{
    variable_t *variable = variables;

    while (variable != NULL && strcmp(variable->name, name) != 0) {
        variable = variable->next;
    }
    if (variable == NULL && (variable = calloc(1, sizeof(*variable))) != NULL) {
        snprintf(variable->name, sizeof(variable->name), "%s", name);
        variable->next = variables;
        variables = variable;
    }
    return variable;
}

static bool variable_read(const char *name, char *value, secret_t *secret)
{
    variable_t *variable = variable_of(name);
    secret_t moved = {NULL, 0};

    if (variable == NULL || (value[0] != '\0' && !secret_copy(&moved, value, strlen(value)))) {
        return false;
    }
    if (moved.bytes != NULL) {
        sodium_memzero(value, strlen(value));
        secret_free(&variable->value);
        variable->value = moved;
    }
    return secret_copy(secret, variable->value.len != 0 ? (const void *)variable->value.bytes : "",
                       variable->value.len);
}

static bool env_read(const char *name, secret_t *secret, bool *gone, char *why, size_t why_size)
{
    char *value = getenv(name);
    bool good;

    *gone = value == NULL;
    if (*gone) {
        snprintf(why, why_size, "the environment of relayd has no variable %s", name);
        return false;
    }
    pthread_mutex_lock(&variables_lock);
    good = variable_read(name, value, secret);
    pthread_mutex_unlock(&variables_lock);
    return good || no(why, why_size, "out of memory");
}

static const char *file_fault(const char *path)
{
    if (path[0] != '/' || path[1] == '\0') {
        return "needs an absolute path behind file:";
    }
    for (; *path != '\0'; path++) {
        if ((unsigned char)*path < ' ' || *path == 0x7f) {
            return "needs a path without control characters";
        }
    }
    return NULL;
}

/* Opened without waiting: a named pipe is refused, not waited for. */
static int file_open(const char *path, bool *gone, char *why, size_t why_size)
{
    int descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    struct stat info;

    if (descriptor < 0) {
        *gone = errno == ENOENT;
        snprintf(why, why_size, "relayd cannot read the file: %s", strerror(errno));
        return -1;
    }
    if (fstat(descriptor, &info) != 0 || !S_ISREG(info.st_mode)) {
        close(descriptor);
        no(why, why_size, "what stands there is no regular file");
        return -1;
    }
    return descriptor;
}

static bool read_all(int descriptor, secret_t *secret)
{
    size_t len = 0;
    ssize_t got;

    do {
        got = read(descriptor, secret->bytes + len, secret->len - len);
        len += got > 0 ? (size_t)got : 0;
    } while ((got > 0 && len < secret->len) || (got < 0 && errno == EINTR));
    secret->len = len;
    return got == 0;
}

static bool file_read(const char *path, secret_t *secret, bool *gone, char *why, size_t why_size)
{
    int descriptor = file_open(path, gone, why, why_size);
    bool whole;

    if (descriptor < 0) {
        return false;
    }
    *secret = (secret_t){sodium_malloc(SECRET_MAX + 2), SECRET_MAX + 2};
    whole = secret->bytes != NULL && read_all(descriptor, secret);
    close(descriptor);
    if (!whole) {
        return no(why, why_size, "the file is longer than a secret can be, or cannot be read");
    }
    if (secret->len != 0 && secret->bytes[secret->len - 1] == '\n') {
        secret->len--;
    }
    return true;
}

static const char *vault_fault(const char *path)
{
    const char *fault = vault_path_fault(path);

    if (fault != NULL) {
        return fault;
    }
    return relayd.settings.vault_addr == NULL || relayd.settings.vault_addr[0] == '\0'
               ? "needs a Vault: set RELAY_VAULT_ADDR and RELAY_VAULT_TOKEN for relayd"
               : NULL;
}

static bool vault_kind_read(const char *path, secret_t *secret, bool *gone, char *why,
                            size_t why_size)
{
    const char *token = relayd.settings.vault_token;
    const char *ca_file = relayd.settings.vault_ca_file;
    vault_t vault = {relayd.settings.vault_addr, token != NULL ? token : "",
                     ca_file != NULL ? ca_file : ""};

    return vault_read(&vault, path, secret, gone, why, why_size);
}

static const struct kind_s {
    const char *prefix;
    const char *(*fault)(const char *rest); /* NULL, or a phrase behind "the reference" */
    /* False with words; *gone, which is false before: what it names has been removed. */
    bool (*read)(const char *rest, secret_t *secret, bool *gone, char *why, size_t why_size);
} kinds[] = {
    {"env:", env_fault, env_read},
    {"file:", file_fault, file_read},
    {"vault:", vault_fault, vault_kind_read},
};

static const struct kind_s *kind_of(const char *reference)
{
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        if (strncmp(reference, kinds[i].prefix, strlen(kinds[i].prefix)) == 0) {
            return &kinds[i];
        }
    }
    return NULL;
}

static const char *reference_fault(const char *reference)
{
    const struct kind_s *kind = kind_of(reference);

    if (kind == NULL) {
        return "starts with env:, file: or vault:";
    }
    return strlen(reference) > REFERENCE_MAX ? "is too long"
                                             : kind->fault(reference + strlen(kind->prefix));
}

bool reference_ok(const char *reference, const char *pointer, problem_t *problem)
{
    const char *fault = reference_fault(reference);

    return fault == NULL || problem_fault(problem, pointer, "a reference %s", fault);
}

/* It will stand in a header, unless it is a JSON document that becomes an access token. */
static bool check_value(const secret_t *secret, char *why, size_t why_size)
{
    if (secret->len == 0 || secret->len > SECRET_MAX) {
        return no(why, why_size,
                  secret->len == 0 ? "what it leads to is empty"
                                   : "what it leads to is too long for a key");
    }
    if (service_account_is(secret)) {
        return true; /* whether the host takes it is access_token.c's to say */
    }
    for (size_t i = 0; i < secret->len; i++) {
        if (secret->bytes[i] <= ' ' || secret->bytes[i] > '~') {
            return no(why, why_size,
                      "what it leads to has spaces, line feeds or characters that no key has");
        }
    }
    return true;
}

static bool read_now(const char *reference, secret_t *secret, bool *gone, char *why,
                     size_t why_size)
{
    const char *fault = reference_fault(reference);
    const struct kind_s *kind = kind_of(reference);

    *secret = (secret_t){NULL, 0};
    *gone = false;
    if (fault != NULL) {
        snprintf(why, why_size, "a reference %s", fault);
        return false;
    }
    if (kind->read(reference + strlen(kind->prefix), secret, gone, why, why_size) &&
        check_value(secret, why, why_size)) {
        return true;
    }
    secret_free(secret);
    return false;
}

/* ---- what is kept --------------------------------------------------------- */

/*
 *     unread ──reading──► read ◄──► stale ──removed for GONE_AFTER_S──► gone
 *       │  ▲                          ▲                                 │
 *       │  └── adopted ───────────────┘ (a value of an earlier process) │
 *       └──► away ◄──────────────────────────────── reading ────────────┘
 *
 * What a reading finds moves it; only read and stale have a secret.
 */
typedef struct entry_s {
    struct entry_s *next;
    secret_t secret;   /* none: it never resolved, or is gone */
    char why[WHY_MAX]; /* of the last attempt; "": it was good */
    time_t until_s;    /* a failure is tried again from then on; 0: never read */
    time_t gone_at_s;  /* since then each attempt said that it is removed; 0: not so */
    time_t used_s;
    bool adopted; /* not read in this process, but by one before */
    bool changed; /* since reference_refresh said so last */
    char reference[];
} entry_t;

static entry_t *buckets[BUCKETS];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* Monotonic: a clock that is set does not age what is kept. */
static time_t now_s(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec;
}

/* Made if there is none; NULL: no memory. */
static entry_t *entry_of(const char *reference)
{
    unsigned hash = 2166136261u;
    entry_t **bucket, *entry;

    for (const char *at = reference; *at != '\0'; at++) {
        hash = (hash ^ (unsigned char)*at) * 16777619u;
    }
    bucket = &buckets[hash % BUCKETS];
    for (entry = *bucket; entry != NULL; entry = entry->next) {
        if (strcmp(entry->reference, reference) == 0) {
            return entry;
        }
    }
    entry = calloc(1, sizeof(*entry) + strlen(reference) + 1);
    if (entry != NULL) {
        memcpy(entry->reference, reference, strlen(reference) + 1);
        entry->next = *bucket;
        *bucket = entry;
    }
    return entry;
}

static bool same(const secret_t *a, const secret_t *b)
{
    return a->bytes != NULL && a->len == b->len && sodium_memcmp(a->bytes, b->bytes, a->len) == 0;
}

static bool is_gone(const entry_t *entry)
{
    return entry->gone_at_s != 0 && now_s() >= entry->gone_at_s + GONE_AFTER_S;
}

static void entry_failed(entry_t *entry, bool gone, const char *why)
{
    entry->gone_at_s = !gone ? 0 : entry->gone_at_s == 0 ? now_s() : entry->gone_at_s;
    if (entry->secret.bytes != NULL && is_gone(entry)) {
        secret_free(&entry->secret);
        entry->changed = true;
        log_event(LOG_WARN, "what a reference named is gone, and so is its value", "reference",
                  entry->reference, "reason", why, NULL);
    } else if (strcmp(entry->why, why) != 0) {
        log_event(LOG_WARN,
                  entry->secret.bytes != NULL
                      ? "a reference can no longer be read; its last value stays in use"
                      : "a reference cannot be read",
                  "reference", entry->reference, "reason", why, NULL);
    }
    snprintf(entry->why, sizeof(entry->why), "%s", why);
}

/* The first reading of all changes nothing. */
static void entry_read(entry_t *entry, secret_t *secret)
{
    entry->why[0] = '\0';
    entry->gone_at_s = 0;
    if (same(&entry->secret, secret)) {
        return;
    }
    entry->changed = entry->changed || entry->until_s != 0;
    secret_free(&entry->secret);
    entry->secret = *secret;
    *secret = (secret_t){NULL, 0};
}

/* Read without the lock: Vault may take seconds. */
static void read_again(const char *reference)
{
    char why[WHY_MAX] = "";
    secret_t secret;
    bool gone, good = read_now(reference, &secret, &gone, why, sizeof(why));
    entry_t *entry;

    pthread_mutex_lock(&lock);
    entry = entry_of(reference);
    if (entry != NULL && good) {
        entry_read(entry, &secret);
    } else if (entry != NULL) {
        entry_failed(entry, gone, why);
    }
    if (entry != NULL) {
        entry->adopted = false;
        entry->until_s = now_s() + FAILED_FOR_S;
    }
    pthread_mutex_unlock(&lock);
    secret_free(&secret);
}

static reference_state_t state_of(const entry_t *entry)
{
    if (entry->secret.bytes != NULL) {
        return entry->why[0] != '\0' ? REFERENCE_STALE : REFERENCE_READ;
    }
    return is_gone(entry) ? REFERENCE_GONE : REFERENCE_AWAY;
}

bool reference_refresh(const char *reference, reference_state_t *state, char *why, size_t why_size)
{
    entry_t *entry;
    bool changed = false;

    *state = REFERENCE_AWAY;
    snprintf(why, why_size, "out of memory");
    read_again(reference);
    pthread_mutex_lock(&lock);
    entry = entry_of(reference);
    if (entry != NULL) {
        *state = state_of(entry);
        snprintf(why, why_size, "%s", entry->why);
        changed = entry->changed;
        entry->changed = false;
        entry->used_s = now_s();
    }
    pthread_mutex_unlock(&lock);
    return changed;
}

bool reference_lacks_value(const char *reference)
{
    const entry_t *entry;
    bool lacks;

    pthread_mutex_lock(&lock);
    entry = entry_of(reference);
    lacks = entry != NULL && entry->secret.bytes == NULL && !is_gone(entry);
    pthread_mutex_unlock(&lock);
    return lacks;
}

void reference_adopt(const char *reference, const secret_t *secret)
{
    entry_t *entry;

    pthread_mutex_lock(&lock);
    entry = entry_of(reference);
    if (entry != NULL && entry->secret.bytes == NULL && !is_gone(entry) &&
        secret_copy(&entry->secret, secret->bytes, secret->len)) {
        entry->adopted = entry->until_s == 0;
        entry->until_s = entry->until_s == 0 ? now_s() : entry->until_s;
        entry->used_s = now_s();
    }
    pthread_mutex_unlock(&lock);
}

/* Whether what is kept will do. A failure is tried again by who can wait for it. */
static bool fresh_enough(const entry_t *entry, bool patient)
{
    return entry->until_s != 0 && (!patient || (entry->secret.bytes != NULL && !entry->adopted) ||
                                   now_s() < entry->until_s);
}

/* False: it has to be read first. */
static bool take_kept(const char *reference, secret_t *secret, char *why, size_t why_size,
                      bool patient, reference_state_t *state)
{
    entry_t *entry;
    bool fresh;

    pthread_mutex_lock(&lock);
    entry = entry_of(reference);
    fresh = entry != NULL && fresh_enough(entry, patient);
    if (fresh) {
        entry->used_s = now_s();
        *state = state_of(entry);
        snprintf(why, why_size, "%s", entry->why);
        if (entry->secret.bytes != NULL &&
            !secret_copy(secret, entry->secret.bytes, entry->secret.len)) {
            *state = REFERENCE_AWAY;
            snprintf(why, why_size, "out of memory");
        }
    }
    pthread_mutex_unlock(&lock);
    return fresh;
}

static reference_state_t resolve(const char *reference, secret_t *secret, char *why,
                                 size_t why_size, bool patient)
{
    reference_state_t state = REFERENCE_AWAY;

    *secret = (secret_t){NULL, 0};
    snprintf(why, why_size, "out of memory");
    if (!take_kept(reference, secret, why, why_size, patient, &state)) {
        read_again(reference);
        take_kept(reference, secret, why, why_size, false, &state);
    }
    return state;
}

reference_state_t reference_resolve(const char *reference, secret_t *secret, char *why,
                                    size_t why_size)
{
    return resolve(reference, secret, why, why_size, true);
}

reference_state_t reference_kept(const char *reference, secret_t *secret, char *why,
                                 size_t why_size)
{
    return resolve(reference, secret, why, why_size, false);
}

static void drop_unused(entry_t **bucket, time_t before_s)
{
    while (*bucket != NULL) {
        entry_t *entry = *bucket;
        if (entry->used_s > before_s) {
            bucket = &entry->next;
            continue;
        }
        *bucket = entry->next;
        secret_free(&entry->secret);
        free(entry);
    }
}

void references_forget(long long unused_for_s)
{
    pthread_mutex_lock(&lock);
    for (size_t i = 0; i < BUCKETS; i++) {
        drop_unused(&buckets[i], now_s() - (time_t)unused_for_s);
    }
    pthread_mutex_unlock(&lock);
}
