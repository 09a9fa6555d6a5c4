/*
 * The publisher's thread, and what handlers ask of it: see publish.h. Handlers
 * have a connection to Redis of their own, one at a time, so that nobody waits
 * for a pass.
 */

#include "publisher.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "access_token.h"
#include "log.h"
#include "reference.h"
#include "relayd.h"

enum {
    TICK_MS = 5000,   /* a pass at least so often */
    BUSY_MS = 200,    /* after another relayd's pass */
    FAILED_MS = 1000, /* after a failure */
    REDIS_MS = 2000,  /* to connect, and for each answer */
    POLL_MS = 10,     /* between looks at Redis while a handler waits */
    NODE_DEAD_S = 20
};

/* ---- faults --------------------------------------------------------------- */

void publisher_set_fault(publisher_t *publisher, char fault[PUBLISH_WHY_MAX], const char *what,
                         const char *why)
{
    bool is_new;

    pthread_mutex_lock(&publisher->lock);
    is_new = strncmp(fault, why, PUBLISH_WHY_MAX - 1) != 0;
    if (is_new) {
        snprintf(fault, PUBLISH_WHY_MAX, "%s", why);
    }
    pthread_mutex_unlock(&publisher->lock);
    if (is_new && why[0] != '\0') {
        log_event(LOG_ERROR, what, "reason", why, NULL);
    } else if (is_new) {
        log_event(LOG_INFO, "all is well again", "with", what, NULL);
    }
}

redis_store_t *publisher_connect(publisher_t *publisher)
{
    const settings_t *settings = &publisher->relayd->settings;
    redis_place_t place = {settings->redis_url, settings->redis_user, settings->redis_password,
                           settings->redis_ca_file, REDIS_MS};
    char why[PUBLISH_WHY_MAX];
    redis_store_t *store = store_open(&place, settings->redis_prefix, why, sizeof(why));

    if (store == NULL) {
        publisher_set_fault(publisher, publisher->store_fault, "Redis cannot be used", why);
    }
    return store;
}

/* ---- the thread ----------------------------------------------------------- */

static void clear_wake(int descriptor)
{
    uint64_t count;

    (void)!read(descriptor, &count, sizeof(count));
}

/* Until somebody wakes it, Postgres has a notification, Redis hangs up, or the time is over. */
static void wait_for_work(publisher_t *publisher, int timeout_ms)
{
    struct pollfd waiting[3] = {{publisher->wake, POLLIN, 0}, {-1, POLLIN, 0}, {-1, POLLIN, 0}};

    if (publisher->session != NULL) {
        waiting[1].fd = PQsocket(session_connection(publisher->session));
    }
    if (publisher->store != NULL) {
        waiting[2].fd = store_descriptor(publisher->store);
    }
    poll(waiting, 3, timeout_ms);
    clear_wake(publisher->wake);
    if (waiting[2].revents != 0) { /* nothing was asked: only the end can have come */
        store_close(publisher->store);
        publisher->store = NULL;
    }
}

static void *publish_thread(void *data)
{
    publisher_t *publisher = data;

    while (!atomic_load(&publisher->stopping)) {
        switch (publish_pass(publisher)) {
        case PASS_DONE:
            wait_for_work(publisher, TICK_MS);
            break;
        case PASS_BUSY:
            wait_for_work(publisher, BUSY_MS);
            break;
        case PASS_FAILED:
            wait_for_work(publisher, FAILED_MS);
            break;
        }
    }
    publish_disconnect(publisher);
    return NULL;
}

/* ---- starting and stopping ------------------------------------------------ */

static void publisher_free(publisher_t *publisher)
{
    if (publisher->wake >= 0) {
        close(publisher->wake);
    }
    if (publisher->janitor_wake >= 0) {
        close(publisher->janitor_wake);
    }
    store_close(publisher->watch);
    document_source_free(&publisher->source);
    json_decref(publisher->inactive);
    signer_free(publisher->signer);
    pthread_mutex_destroy(&publisher->lock);
    pthread_mutex_destroy(&publisher->watch_lock);
    free(publisher);
}

static publisher_t *publisher_make(struct relayd_s *relayd)
{
    publisher_t *publisher = calloc(1, sizeof(*publisher));

    if (publisher == NULL) {
        return NULL;
    }
    publisher->relayd = relayd;
    publisher->source.secrets = relayd->secrets;
    publisher->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    publisher->janitor_wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    pthread_mutex_init(&publisher->lock, NULL);
    pthread_mutex_init(&publisher->watch_lock, NULL);
    return publisher;
}

static void stop_thread(publisher_t *publisher, pthread_t thread)
{
    uint64_t one = 1;

    atomic_store(&publisher->stopping, true);
    (void)!write(publisher->wake, &one, sizeof(one));
    (void)!write(publisher->janitor_wake, &one, sizeof(one));
    pthread_join(thread, NULL);
}

static bool start_threads(publisher_t *publisher)
{
    if (publisher->wake < 0 || publisher->janitor_wake < 0 ||
        pthread_create(&publisher->thread, NULL, publish_thread, publisher) != 0) {
        return false;
    }
    if (pthread_create(&publisher->janitor, NULL, publish_janitor, publisher) != 0) {
        stop_thread(publisher, publisher->thread);
        return false;
    }
    return true;
}

publisher_t *publisher_start(struct relayd_s *relayd, char *error, size_t error_size)
{
    publisher_t *publisher = publisher_make(relayd);

    if (publisher == NULL) {
        snprintf(error, error_size, "out of memory");
        return NULL;
    }
    signal(SIGPIPE, SIG_IGN); /* TLS writes without MSG_NOSIGNAL */
    publisher->signer = signer_new(relayd->settings.signing_key, error, error_size);
    if (publisher->signer != NULL && start_threads(publisher)) {
        return publisher;
    }
    if (publisher->signer != NULL) {
        snprintf(error, error_size, "the publisher's threads cannot start");
    }
    publisher_free(publisher);
    return NULL;
}

void publisher_stop(publisher_t *publisher)
{
    if (publisher == NULL) {
        return;
    }
    stop_thread(publisher, publisher->janitor);
    stop_thread(publisher, publisher->thread);
    references_forget(0);
    access_tokens_forget();
    publisher_free(publisher);
}

void publisher_wake(publisher_t *publisher)
{
    uint64_t one = 1;

    if (publisher != NULL) {
        (void)!write(publisher->wake, &one, sizeof(one));
    }
}

/* ---- what handlers ask ---------------------------------------------------- */

/* Under watch_lock: the handlers' connection, whole; NULL: Redis is away. */
static redis_store_t *watch(publisher_t *publisher)
{
    struct pollfd hung_up = {-1, POLLIN, 0};

    if (publisher->watch != NULL) {
        hung_up.fd = store_descriptor(publisher->watch);
        if (poll(&hung_up, 1, 0) != 0) {
            store_close(publisher->watch);
            publisher->watch = NULL;
        }
    }
    if (publisher->watch == NULL) {
        publisher->watch = publisher_connect(publisher);
    }
    return publisher->watch;
}

static void give_up_watch(publisher_t *publisher)
{
    store_close(publisher->watch);
    publisher->watch = NULL;
}

/* 0: unknown. */
static long long revision_in_store(publisher_t *publisher)
{
    redis_store_t *store;
    long long revision = 0;

    pthread_mutex_lock(&publisher->watch_lock);
    store = watch(publisher);
    if (store != NULL && !store_revision(store, &revision)) {
        give_up_watch(publisher);
    }
    pthread_mutex_unlock(&publisher->watch_lock);
    return revision;
}

json_t *publisher_nodes(publisher_t *publisher)
{
    redis_store_t *store;
    json_t *nodes = NULL;

    pthread_mutex_lock(&publisher->watch_lock);
    store = watch(publisher);
    if (store != NULL) {
        nodes = store_nodes(store);
        if (nodes == NULL) {
            give_up_watch(publisher);
        }
    }
    pthread_mutex_unlock(&publisher->watch_lock);
    return nodes;
}

bool publisher_ready(publisher_t *publisher)
{
    redis_store_t *store;
    bool answers;

    pthread_mutex_lock(&publisher->watch_lock);
    store = watch(publisher);
    answers = store != NULL && store_ping(store);
    if (store != NULL && !answers) {
        give_up_watch(publisher);
    }
    pthread_mutex_unlock(&publisher->watch_lock);
    return answers;
}

static json_t *text_or_null(const char *text)
{
    return text[0] != '\0' ? json_string(text) : json_null();
}

json_t *publisher_status(publisher_t *publisher)
{
    json_t *status;

    pthread_mutex_lock(&publisher->lock);
    status = json_pack(
        "{s:I, s:o, s:o, s:o, s:o}", "revision", (json_int_t)publisher->published, "fault",
        text_or_null(publisher->fault), "store", text_or_null(publisher->store_fault), "database",
        text_or_null(publisher->database_fault), "inactive",
        publisher->inactive != NULL ? json_deep_copy(publisher->inactive) : json_array());
    pthread_mutex_unlock(&publisher->lock);
    return status;
}

/* ---- waiting -------------------------------------------------------------- */

static long long now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (long long)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void pause_ms(long long milliseconds)
{
    struct timespec pause = {milliseconds / 1000, milliseconds % 1000 * 1000000};

    nanosleep(&pause, NULL);
}

/* Another relayd may have published it: then Redis knows more than this process. */
static bool is_published(publisher_t *publisher, long long revision)
{
    bool known;

    pthread_mutex_lock(&publisher->lock);
    known = publisher->published >= revision;
    pthread_mutex_unlock(&publisher->lock);
    return known || revision_in_store(publisher) >= revision;
}

bool publisher_wait_published(publisher_t *publisher, long long revision, unsigned timeout_ms)
{
    long long deadline = now_ms() + timeout_ms;

    while (!is_published(publisher, revision)) {
        if (now_ms() >= deadline) {
            return false;
        }
        pause_ms(POLL_MS);
    }
    return true;
}

typedef enum { APPLIED, NOT_YET, REFUSED } applied_t;

static bool is_alive(const json_t *node)
{
    json_int_t at = json_integer_value(json_object_get(node, "at"));

    return at >= (json_int_t)time(NULL) - NODE_DEAD_S &&
           strcmp(json_string_value(json_object_get(node, "state")), "leaving") != 0;
}

/* why gets who has not, or who refused, and the reason. */
static applied_t node_applied(const json_t *node, long long revision, char *why, size_t why_size)
{
    const char *name = json_string_value(json_object_get(node, "node"));
    const char *reason = json_string_value(json_object_get(node, "reason"));
    long long worker = json_integer_value(json_object_get(node, "worker"));

    if (!is_alive(node) || json_integer_value(json_object_get(node, "revision")) >= revision) {
        return APPLIED;
    }
    if (json_integer_value(json_object_get(node, "refused_revision")) >= revision) {
        snprintf(why, why_size, "%s, worker %lld, refused it: %s", name, worker,
                 reason != NULL ? reason : "no reason given");
        return REFUSED;
    }
    snprintf(why, why_size, "%s, worker %lld, does not serve it yet", name, worker);
    return NOT_YET;
}

static applied_t all_applied(publisher_t *publisher, long long revision, char *why, size_t why_size)
{
    json_t *nodes = publisher_nodes(publisher), *node;
    applied_t outcome = APPLIED;
    size_t i;

    if (nodes == NULL) {
        snprintf(why, why_size, "Redis does not answer");
        return NOT_YET;
    }
    json_array_foreach(nodes, i, node)
    {
        applied_t one = outcome == REFUSED ? APPLIED : node_applied(node, revision, why, why_size);
        outcome = one != APPLIED ? one : outcome;
    }
    json_decref(nodes);
    return outcome;
}

/* What stands in the way of publishing, if anything is known. */
static void why_not_published(publisher_t *publisher, char *why, size_t why_size)
{
    pthread_mutex_lock(&publisher->lock);
    snprintf(why, why_size, "%s",
             publisher->fault[0] != '\0'            ? publisher->fault
             : publisher->store_fault[0] != '\0'    ? publisher->store_fault
             : publisher->database_fault[0] != '\0' ? publisher->database_fault
                                                    : "it is not published yet");
    pthread_mutex_unlock(&publisher->lock);
}

bool publisher_wait_applied(publisher_t *publisher, long long revision, unsigned timeout_ms,
                            char *why, size_t why_size)
{
    long long deadline = now_ms() + timeout_ms;
    applied_t outcome;

    if (!publisher_wait_published(publisher, revision, timeout_ms)) {
        why_not_published(publisher, why, why_size);
        return false;
    }
    while ((outcome = all_applied(publisher, revision, why, why_size)) == NOT_YET) {
        if (now_ms() >= deadline) {
            return false;
        }
        pause_ms(POLL_MS);
    }
    return outcome == APPLIED;
}
