/*
 * libmicrohttpd and nothing else knows it: a thread for each connection (handlers
 * block: they wait for databases, workers, providers),
 * bytes in, replies out, one line in the log for each request.
 *
 *     on_target ─► on_access: head ─► on_access: body… ─► on_access: run ─► on_completed
 *
 * A request that is refused by its head is read to its end all the same, so
 * that whoever still writes gets to see the answer.
 */

#include "http.h"

#include <malloc.h>
#include <microhttpd.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <openssl/crypto.h>

#include "exchange.h"
#include "listener.h"
#include "log.h"
#include "metrics.h"
#include "relayd.h"

enum {
    MEMORY_LIMIT = 64 * 1024, /* for a head; of a size that is mapped, and gone when it is freed */
    IDLE_S = 75,              /* longer than nginx keeps a connection to us: 60 s */
    STACK_BYTES = 1024 * 1024,
    DISCARD_MAX = 4 * HTTP_BODY_MAX,
    STOP_AFTER_S = 8,
    CONNECTIONS_SPARE = 64 /* those that are closed and not yet cleared away */
};

struct http_s {
    struct MHD_Daemon *daemon;
    listener_t *listener;
    atomic_uint under_way;
    atomic_bool stopping;
};

typedef struct {
    exchange_t exchange;
    http_t *http;
    char *target;
    bool begun, refused, answered;
    size_t discarded;
    struct timespec started;
} visit_t;

/* ---- the answer ---- */

/* What was sent may have been a secret that is shown once. */
static void cleanse_and_free(void *bytes)
{
    if (bytes != NULL)
        OPENSSL_cleanse(bytes, malloc_usable_size(bytes));
    free(bytes);
}

static struct MHD_Response *response_of(reply_t *reply)
{
    char *text = reply->text;

    if (reply->body != NULL)
        text = json_dumps(reply->body, JSON_COMPACT);
    else
        reply->text = NULL; /* it belongs to the response now */
    if (text == NULL)
        return MHD_create_response_from_buffer(0, "", MHD_RESPMEM_PERSISTENT);

    struct MHD_Response *response =
        MHD_create_response_from_buffer_with_free_callback(strlen(text), text, cleanse_and_free);
    if (response == NULL)
        cleanse_and_free(text);
    return response;
}

static void header(struct MHD_Response *response, const char *name, const char *value)
{
    if (value != NULL && value[0] != '\0' &&
        MHD_add_response_header(response, name, value) != MHD_YES)
        log_event(LOG_ERROR, "a header could not be set", "header", name, NULL);
}

static void number_header(struct MHD_Response *response, const char *name, long long value)
{
    char text[24];

    snprintf(text, sizeof(text), "%lld", value);
    if (value != 0)
        header(response, name, text);
}

static void etag_header(struct MHD_Response *response, const char *etag)
{
    char quoted[64];

    snprintf(quoted, sizeof(quoted), "\"%s\"", etag);
    if (etag[0] != '\0')
        header(response, "ETag", quoted);
}

static const char *media_type(const reply_t *reply)
{
    if (reply->media_type != NULL)
        return reply->media_type;
    return reply->body != NULL ? "application/json" : NULL;
}

static void set_headers(struct MHD_Response *response, const visit_t *visit)
{
    const exchange_t *exchange = &visit->exchange;
    const reply_t *reply = &exchange->reply;

    header(response, "Content-Type", media_type(reply));
    header(response, "Cache-Control", "no-store");
    header(response, "X-Content-Type-Options", "nosniff");
    header(response, "X-Request-Id", exchange->id);
    header(response, "Location", reply->location);
    header(response, "Allow", reply->status == 405 ? reply->allow : NULL);
    header(response, "WWW-Authenticate", reply->status == 401 ? "Bearer" : NULL);
    header(response, "Idempotency-Replayed", exchange->replayed ? "true" : NULL);
    header(response, "dry_run", exchange->request.dry_run ? "true" : NULL);
    header(response, "Connection", atomic_load(&visit->http->stopping) ? "close" : NULL);
    etag_header(response, reply->etag);
    number_header(response, "Retry-After", reply->retry_after_s);
    number_header(response, "Relay-Revision", exchange->revision);
}

static enum MHD_Result answer(struct MHD_Connection *connection, visit_t *visit)
{
    struct MHD_Response *response = response_of(&visit->exchange.reply);

    if (response == NULL)
        return MHD_NO;
    set_headers(response, visit);
    visit->answered = true;
    enum MHD_Result queued = MHD_queue_response(connection, visit->exchange.reply.status, response);
    MHD_destroy_response(response);
    return queued;
}

static enum MHD_Result answer_problem(struct MHD_Connection *connection, visit_t *visit)
{
    exchange_answer_problem(&visit->exchange);
    return answer(connection, visit);
}

/* ---- the request ---- */

static const char *find_header(void *connection, const char *name)
{
    return MHD_lookup_connection_value(connection, MHD_HEADER_KIND, name);
}

static void *on_target(void *cls, const char *target, struct MHD_Connection *connection)
{
    http_t *http = cls;
    visit_t *visit = calloc(1, sizeof(*visit));

    if (visit == NULL)
        return NULL;
    visit->http = http;
    visit->target = strdup(target);
    visit->exchange.header = find_header;
    visit->exchange.header_source = connection;
    clock_gettime(CLOCK_MONOTONIC, &visit->started);
    atomic_fetch_add(&http->under_way, 1);
    return visit;
}

/* Somebody who asks first whether to send a body is told at once; so is who announces too much. */
static enum MHD_Result begin(struct MHD_Connection *connection, visit_t *visit, const char *method)
{
    exchange_t *exchange = &visit->exchange;

    visit->begun = true;
    visit->refused = !exchange_head(exchange, method, visit->target);
    if (visit->refused && (exchange->request.problem.code == PROBLEM_TOO_LARGE ||
                           find_header(connection, "expect") != NULL))
        return answer_problem(connection, visit);
    return MHD_YES;
}

static enum MHD_Result take_body(visit_t *visit, const char *bytes, size_t *len)
{
    if (!visit->refused)
        visit->refused = !exchange_body(&visit->exchange, bytes, *len);
    if (visit->refused)
        visit->discarded += *len;
    *len = 0;
    return visit->discarded > DISCARD_MAX ? MHD_NO : MHD_YES;
}

static enum MHD_Result on_access(void *cls, struct MHD_Connection *connection, const char *url,
                                 const char *method, const char *version, const char *bytes,
                                 size_t *len, void **state)
{
    visit_t *visit = *state;

    (void)cls, (void)url, (void)version;
    if (visit == NULL || visit->target == NULL)
        return MHD_NO;
    if (!visit->begun)
        return begin(connection, visit, method);
    if (*len != 0)
        return take_body(visit, bytes, len);
    if (visit->answered)
        return MHD_YES;
    if (visit->refused)
        return answer_problem(connection, visit);
    exchange_run(&visit->exchange);
    return answer(connection, visit);
}

/* ---- afterwards ---- */

static uint64_t microseconds_since(const struct timespec *started)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)((now.tv_sec - started->tv_sec) * 1000000 +
                      (now.tv_nsec - started->tv_nsec) / 1000);
}

/* Probes come every few seconds. */
static log_level_t level_of(const exchange_t *exchange)
{
    bool probe =
        exchange->route != NULL && (exchange->route->flags & (ROUTE_OPEN | ROUTE_NO_SESSION)) ==
                                       (ROUTE_OPEN | ROUTE_NO_SESSION);

    return probe && exchange->reply.status < 500 ? LOG_DEBUG : LOG_INFO;
}

static void log_visit(const visit_t *visit, uint64_t microseconds, bool whole)
{
    const exchange_t *exchange = &visit->exchange;
    char status[16], ms[32], revision[24] = "";

    snprintf(status, sizeof(status), "%u", exchange->reply.status);
    snprintf(ms, sizeof(ms), "%.1f", (double)microseconds / 1000);
    if (exchange->revision != 0)
        snprintf(revision, sizeof(revision), "%lld", exchange->revision);
    log_event(level_of(exchange), "request", "id", exchange->id, "method", exchange->method, "path",
              exchange->path, "operation",
              exchange->route != NULL ? exchange->route->operation : NULL, "status",
              visit->answered ? status : "none", "ms", ms, "token",
              exchange->request.identity.id[0] != '\0' ? exchange->request.identity.id : NULL,
              "revision", revision[0] != '\0' ? revision : NULL, "ended",
              whole ? NULL : "the client went away", NULL);
}

static void on_completed(void *cls, struct MHD_Connection *connection, void **state,
                         enum MHD_RequestTerminationCode how)
{
    http_t *http = cls;
    visit_t *visit = *state;

    (void)connection;
    *state = NULL;
    if (visit == NULL)
        return;
    if (visit->begun) {
        uint64_t microseconds = microseconds_since(&visit->started);
        metrics_count(visit->exchange.route, visit->exchange.reply.status, microseconds);
        log_visit(visit, microseconds, how == MHD_REQUEST_TERMINATED_COMPLETED_OK);
    }
    exchange_free(&visit->exchange);
    free(visit->target);
    free(visit);
    atomic_fetch_sub(&http->under_way, 1);
}

/* Targets are decoded by target.c, strictly. */
static size_t keep_escaped(void *cls, struct MHD_Connection *connection, char *text)
{
    (void)cls, (void)connection;
    return strlen(text);
}

static void log_library(void *cls, const char *format, va_list values)
{
    char text[256];

    (void)cls;
    vsnprintf(text, sizeof(text), format, values);
    text[strcspn(text, "\n")] = '\0';
    log_event(LOG_DEBUG, "libmicrohttpd", "says", text, NULL);
}

/* ---- start and stop ---- */

static void on_connection(void *cls, struct MHD_Connection *connection, void **state,
                          enum MHD_ConnectionNotificationCode what)
{
    http_t *http = cls;

    (void)connection, (void)state;
    if (what == MHD_CONNECTION_NOTIFY_STARTED)
        listener_opened(http->listener);
    else
        listener_closed(http->listener);
}

static void take_connection(void *taker, int fd, const struct sockaddr *address, socklen_t len)
{
    http_t *http = taker;

    (void)MHD_add_connection(http->daemon, fd, address, len); /* closes it if it cannot */
}

/* No limit by address: all callers are on this machine, most of them nginx. */
static struct MHD_Daemon *start_daemon(http_t *http, unsigned connections)
{
    unsigned flags = MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_THREAD_PER_CONNECTION |
                     MHD_USE_POLL | MHD_USE_NO_LISTEN_SOCKET | MHD_USE_ITC | MHD_USE_ERROR_LOG;

    return MHD_start_daemon(
        flags, 0, NULL, NULL, on_access, http, MHD_OPTION_EXTERNAL_LOGGER, log_library, NULL,
        MHD_OPTION_NOTIFY_CONNECTION, on_connection, http, MHD_OPTION_URI_LOG_CALLBACK, on_target,
        http, MHD_OPTION_NOTIFY_COMPLETED, on_completed, http, MHD_OPTION_UNESCAPE_CALLBACK,
        keep_escaped, NULL, MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)MEMORY_LIMIT,
        MHD_OPTION_CONNECTION_LIMIT, connections + CONNECTIONS_SPARE, MHD_OPTION_CONNECTION_TIMEOUT,
        (unsigned)IDLE_S, MHD_OPTION_THREAD_STACK_SIZE, (size_t)STACK_BYTES, MHD_OPTION_END);
}

static http_t *give_up(http_t *http, char *error, size_t error_size)
{
    snprintf(error, error_size, "libmicrohttpd did not start");
    if (http->daemon != NULL)
        MHD_stop_daemon(http->daemon);
    listener_stop(http->listener);
    listener_free(http->listener);
    free(http);
    return NULL;
}

http_t *http_start(struct relayd_s *daemon, const char *listen, char *error, size_t error_size)
{
    size_t threads = (size_t)daemon->settings.threads;
    listener_t *listener = listener_new(listen, threads, error, error_size);
    http_t *http = listener == NULL ? NULL : calloc(1, sizeof(*http));

    if (http == NULL)
        return NULL;
    http->listener = listener;
    http->daemon = start_daemon(http, (unsigned)threads);
    if (http->daemon == NULL || !listener_start(listener, take_connection, http))
        return give_up(http, error, error_size);
    return http;
}

static void await_end(http_t *http)
{
    struct timespec pause = {.tv_nsec = 10000000};

    for (int i = 0; i < STOP_AFTER_S * 100 && atomic_load(&http->under_way) != 0; i++)
        nanosleep(&pause, NULL);
}

void http_stop(http_t *http)
{
    atomic_store(&http->stopping, true);
    listener_stop(http->listener);
    await_end(http);
    MHD_stop_daemon(http->daemon);
    listener_free(http->listener);
    free(http);
}
