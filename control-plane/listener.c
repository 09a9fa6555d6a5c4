/*
 * The socket, and the thread that lets connections in.
 */

#include "listener.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { BACKLOG = 256, OPEN_WAIT_MS = 100, SHORTAGE_PAUSE_MS = 20, UNIX_PATH_MAX_BYTES = 108 };

struct listener_s {
    int fd;
    char socket_path[UNIX_PATH_MAX_BYTES]; /* "" if it is none */
    size_t max;
    listener_take_t take;
    void *taker;
    pthread_t thread;
    bool runs;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    size_t open;
    unsigned long opened; /* ever */
    bool stopping;
};

/* ---- the socket ---- */

static int fail(int fd, char *error, size_t size, const char *listen, const char *why)
{
    snprintf(error, size, "listen (%s): %s", listen, why);
    if (fd >= 0)
        close(fd);
    return -1;
}

/* A socket that nobody answers on was left behind. */
static bool take_away_stale(const struct sockaddr_un *address)
{
    int probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool alive =
        probe >= 0 && connect(probe, (const struct sockaddr *)address, sizeof(*address)) == 0;
    struct stat status;

    if (probe >= 0)
        close(probe);
    if (alive)
        return false;
    if (lstat(address->sun_path, &status) == 0 && S_ISSOCK(status.st_mode))
        unlink(address->sun_path);
    return true;
}

static int listen_unix(listener_t *listener, const char *path, char *error, size_t size)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    memcpy(address.sun_path, path, strlen(path) + 1);
    if (!take_away_stale(&address))
        return fail(-1, error, size, path, "another program listens there");

    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) != 0 ||
        chmod(path, 0660) != 0 || listen(fd, BACKLOG) != 0)
        return fail(fd, error, size, path, strerror(errno));
    memcpy(listener->socket_path, path, strlen(path) + 1);
    return fd;
}

static bool is_loopback(const struct sockaddr *address)
{
    if (address->sa_family == AF_INET6)
        return IN6_IS_ADDR_LOOPBACK(
            &((const struct sockaddr_in6 *)(const void *)address)->sin6_addr);
    return ntohl(((const struct sockaddr_in *)(const void *)address)->sin_addr.s_addr) >> 24 == 127;
}

/* `127.0.0.1:8081`, `[::1]:8081`. */
static struct addrinfo *parse_address(const char *listen)
{
    struct addrinfo hints = {.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE,
                             .ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    const char *colon = strrchr(listen, ':');
    char host[64];
    size_t len = colon == NULL ? 0 : (size_t)(colon - listen);

    if (len == 0 || len >= sizeof(host))
        return NULL;
    bool brackets = listen[0] == '[' && listen[len - 1] == ']';
    snprintf(host, sizeof(host), "%.*s", (int)(brackets ? len - 2 : len),
             listen + (brackets ? 1 : 0));
    return getaddrinfo(host, colon + 1, &hints, &found) == 0 ? found : NULL;
}

static int listen_address(const char *listen_at, char *error, size_t size)
{
    struct addrinfo *address = parse_address(listen_at);
    int one = 1, fd = -1;

    if (address == NULL || (fd = socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0)) < 0 ||
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) != 0 ||
        bind(fd, address->ai_addr, address->ai_addrlen) != 0 || listen(fd, BACKLOG) != 0)
        fd = fail(fd, error, size, listen_at, strerror(errno));
    if (address != NULL)
        freeaddrinfo(address);
    return fd;
}

bool listener_place_ok(const char *listen, char *error, size_t error_size)
{
    bool local = strncmp(listen, "unix:", 5) == 0;
    struct addrinfo *address = local ? NULL : parse_address(listen);
    bool ok = local ? listen[5] == '/' && strlen(listen + 5) < UNIX_PATH_MAX_BYTES
                    : address != NULL && is_loopback(address->ai_addr);

    if (address != NULL)
        freeaddrinfo(address);
    if (!ok)
        fail(-1, error, error_size, listen,
             "expected unix:/path, of at most 107 bytes, or a loopback address and a port: relayd"
             " speaks plain HTTP, put nginx in front of it");
    return ok;
}

listener_t *listener_new(const char *listen, size_t connections_max, char *error, size_t error_size)
{
    listener_t *listener = calloc(1, sizeof(*listener));
    pthread_condattr_t attributes;

    if (listener == NULL || !listener_place_ok(listen, error, error_size)) {
        free(listener);
        return NULL;
    }
    listener->max = connections_max;
    listener->fd = strncmp(listen, "unix:", 5) == 0
                       ? listen_unix(listener, listen + 5, error, error_size)
                       : listen_address(listen, error, error_size);
    if (listener->fd < 0) {
        free(listener);
        return NULL;
    }
    pthread_mutex_init(&listener->mutex, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&listener->changed, &attributes);
    pthread_condattr_destroy(&attributes);
    return listener;
}

/* ---- letting in ---- */

void listener_opened(listener_t *listener)
{
    pthread_mutex_lock(&listener->mutex);
    listener->open++;
    listener->opened++;
    pthread_cond_signal(&listener->changed);
    pthread_mutex_unlock(&listener->mutex);
}

void listener_closed(listener_t *listener)
{
    pthread_mutex_lock(&listener->mutex);
    listener->open--;
    pthread_cond_signal(&listener->changed);
    pthread_mutex_unlock(&listener->mutex);
}

static bool await_place(listener_t *listener)
{
    pthread_mutex_lock(&listener->mutex);
    while (listener->open >= listener->max && !listener->stopping)
        pthread_cond_wait(&listener->changed, &listener->mutex);
    bool goes_on = !listener->stopping;
    pthread_mutex_unlock(&listener->mutex);
    return goes_on;
}

/* So that the count is right before the next one. One that never opens was given up. */
static void await_opened(listener_t *listener, unsigned long before)
{
    struct timespec until;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += OPEN_WAIT_MS * 1000000L;
    until.tv_sec += until.tv_nsec / 1000000000L;
    until.tv_nsec %= 1000000000L;

    pthread_mutex_lock(&listener->mutex);
    while (listener->opened == before && !listener->stopping &&
           pthread_cond_timedwait(&listener->changed, &listener->mutex, &until) == 0)
        ;
    pthread_mutex_unlock(&listener->mutex);
}

static void *let_in(void *cls)
{
    listener_t *listener = cls;
    struct timespec pause = {.tv_nsec = SHORTAGE_PAUSE_MS * 1000000L};

    while (await_place(listener)) {
        struct sockaddr_storage address = {.ss_family = AF_UNSPEC};
        socklen_t len = sizeof(address);
        unsigned long before = listener->opened; /* only this thread makes it grow */
        int fd = accept4(listener->fd, (struct sockaddr *)&address, &len, SOCK_CLOEXEC);

        if (fd >= 0) {
            listener->take(listener->taker, fd, (const struct sockaddr *)&address, len);
            await_opened(listener, before);
        } else if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
            nanosleep(&pause, NULL);
        }
    }
    return NULL;
}

bool listener_start(listener_t *listener, listener_take_t take, void *taker)
{
    listener->take = take;
    listener->taker = taker;
    listener->runs = pthread_create(&listener->thread, NULL, let_in, listener) == 0;
    return listener->runs;
}

/* Shutting the socket down wakes accept4(). */
void listener_stop(listener_t *listener)
{
    pthread_mutex_lock(&listener->mutex);
    listener->stopping = true;
    pthread_cond_broadcast(&listener->changed);
    pthread_mutex_unlock(&listener->mutex);
    shutdown(listener->fd, SHUT_RDWR);
    if (listener->runs)
        pthread_join(listener->thread, NULL);
    listener->runs = false;
    close(listener->fd);
    if (listener->socket_path[0] != '\0')
        unlink(listener->socket_path);
}

void listener_free(listener_t *listener)
{
    pthread_cond_destroy(&listener->changed);
    pthread_mutex_destroy(&listener->mutex);
    free(listener);
}
