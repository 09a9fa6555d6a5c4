/*
 * Requests by route and status, latencies, the pool, the revision. http.c
 * counts, system.c shows.
 */

#include "metrics.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "publish.h"
#include "relayd.h"

enum { ROUTES_MAX = 256, LEASE_WAIT_MS = 100 };

static const unsigned statuses[] = {200, 201, 202, 204, 400, 401, 403, 404, 405, 409,
                                    412, 413, 415, 422, 428, 429, 500, 503, 504};
enum { STATUSES = sizeof(statuses) / sizeof(statuses[0]) };

static const struct {
    uint64_t us;
    const char *le; /* in seconds */
} buckets[] = {{1000, "0.001"},  {5000, "0.005"},  {10000, "0.01"},     {50000, "0.05"},
               {100000, "0.1"},  {500000, "0.5"},  {1000000, "1"},      {5000000, "5"},
               {10000000, "10"}, {30000000, "30"}, {UINT64_MAX, "+Inf"}};
enum { BUCKETS = sizeof(buckets) / sizeof(buckets[0]) };

/* Row 0 is for requests without a route. */
static struct {
    atomic_ullong by_status[STATUSES + 1]; /* the last: any other */
    atomic_ullong by_bucket[BUCKETS];
    atomic_ullong us;
} rows[ROUTES_MAX + 1];

static size_t row_of(const route_t *route)
{
    size_t row = 1;

    for (size_t i = 0; route != NULL && i < route_tables_count; i++) {
        const route_t *first = route_tables[i]->routes;
        if (route >= first && route < first + route_tables[i]->count) {
            row += (size_t)(route - first);
            return row <= ROUTES_MAX ? row : 0;
        }
        row += route_tables[i]->count;
    }
    return 0;
}

void metrics_count(const route_t *route, unsigned status, uint64_t microseconds)
{
    size_t row = row_of(route), s = 0, b = 0;

    while (s < STATUSES && statuses[s] != status)
        s++;
    while (microseconds > buckets[b].us)
        b++;
    atomic_fetch_add(&rows[row].by_status[s], 1);
    atomic_fetch_add(&rows[row].by_bucket[b], 1);
    atomic_fetch_add(&rows[row].us, microseconds);
}

/* ---- the page ---- */

static void heading(FILE *out, const char *name, const char *type, const char *help)
{
    fprintf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void gauge(FILE *out, const char *name, const char *help, long long value)
{
    heading(out, name, "gauge", help);
    fprintf(out, "%s %lld\n", name, value);
}

static void show_statuses(FILE *out, size_t row, const char *operation)
{
    for (size_t s = 0; s <= STATUSES; s++) {
        unsigned long long count = atomic_load(&rows[row].by_status[s]);
        char status[8] = "other";
        if (s < STATUSES)
            snprintf(status, sizeof(status), "%u", statuses[s]);
        if (count != 0)
            fprintf(out, "relayd_requests_total{operation=\"%s\",status=\"%s\"} %llu\n", operation,
                    status, count);
    }
}

static void show_latency(FILE *out, size_t row, const char *operation)
{
    unsigned long long below = 0;
    static const char name[] = "relayd_request_seconds";

    for (size_t b = 0; b < BUCKETS; b++)
        below += atomic_load(&rows[row].by_bucket[b]);
    if (below == 0)
        return;

    below = 0;
    for (size_t b = 0; b < BUCKETS; b++) {
        below += atomic_load(&rows[row].by_bucket[b]);
        fprintf(out, "%s_bucket{operation=\"%s\",le=\"%s\"} %llu\n", name, operation, buckets[b].le,
                below);
    }
    fprintf(out, "%s_sum{operation=\"%s\"} %.6f\n", name, operation,
            (double)atomic_load(&rows[row].us) / 1e6);
    fprintf(out, "%s_count{operation=\"%s\"} %llu\n", name, operation, below);
}

typedef void (*show_t)(FILE *out, size_t row, const char *operation);

static void each_route(FILE *out, show_t show)
{
    size_t row = 1;

    show(out, 0, "none");
    for (size_t i = 0; i < route_tables_count; i++)
        for (size_t j = 0; j < route_tables[i]->count && row <= ROUTES_MAX; j++)
            show(out, row++, route_tables[i]->routes[j].operation);
}

static void show_database(FILE *out)
{
    database_counts_t counts = database_counts(relayd.database);

    gauge(out, "relayd_database_connections_max", "Connections the pool may open.",
          (long long)counts.max);
    gauge(out, "relayd_database_connections", "Connections that are open.", (long long)counts.open);
    gauge(out, "relayd_database_connections_busy", "Connections in use.", (long long)counts.busy);
    gauge(out, "relayd_database_waiting", "Requests that wait for a connection.",
          (long long)counts.waiting);
}

/* -1: the database does not say. */
static long long revision_stored(void)
{
    session_t *session = database_lease(relayd.database, LEASE_WAIT_MS);
    long long revision = -1;

    if (session != NULL && session_begin(session, NULL)) {
        PGresult *row = session_query(session, "SELECT revision FROM installation", 0, NULL);
        if (row != NULL && PQntuples(row) == 1)
            revision = strtoll(PQgetvalue(row, 0, 0), NULL, 10);
        PQclear(row);
    }
    database_return(session);
    return revision;
}

char *metrics_text(void)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    long long revision = revision_stored();

    if (out == NULL)
        return NULL;

    heading(out, "relayd_requests_total", "counter", "Answers by operation and status.");
    each_route(out, show_statuses);
    heading(out, "relayd_request_seconds", "histogram", "Time to the answer by operation.");
    each_route(out, show_latency);
    show_database(out);
    gauge(out, "relayd_database_up", "Whether the database answers.", revision >= 0);
    if (revision >= 0)
        gauge(out, "relayd_revision", "Revision of the configuration.", revision);
    gauge(out, "relayd_redis_up", "Whether Redis answers.", publisher_ready(relayd.publisher));
    if (fclose(out) == 0)
        return text;
    free(text);
    return NULL;
}
