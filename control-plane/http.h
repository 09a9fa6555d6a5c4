/*
 * HTTP for handlers: a request that is complete, a reply that is a value.
 * libmicrohttpd stays behind this header.
 */

#ifndef RELAY_HTTP_H
#define RELAY_HTTP_H

#include "auth.h"
#include "database.h"
#include "problem.h"
#include "schema.h"

enum {
    HTTP_SEGMENTS_MAX = 12,
    HTTP_SEGMENT_MAX = 256,
    HTTP_BODY_MAX = 8 * 1024 * 1024, /* a whole configuration in one document */
    HTTP_QUERY_MAX = 16
};

typedef struct request_s {
    const char *method;
    const char *path;
    const char *id; /* x-request-id of the answer */

    /* what the route's pattern had in braces, decoded */
    const char *workspace; /* {workspace}: id or name as written; NULL in routes without */
    const char *target;    /* {id} */

    const json_t *body; /* checked against the route's schema; NULL if there is none */
    const char *if_match;
    const char *idempotency_key;
    bool dry_run;
    bool wait_applied;
    unsigned wait_ms;

    identity_t identity;   /* who asks; kind IDENTITY_NONE on open routes */
    char workspace_id[37]; /* resolved from `workspace`; "" if none */

    session_t *session; /* in a transaction of that workspace; NULL on routes that need none */
    problem_t problem;

    void *exchange; /* http's own: exchange.h */
} request_t;

/* NULL if the query does not have it. */
const char *request_query(const request_t *request, const char *name);
const char *request_header(const request_t *request, const char *name);
/*
 * Gives up the transaction and its connection, before something slow that
 * needs neither (a call to a provider). Not for routes that change something.
 */
void request_end_session(request_t *request);

typedef struct {
    unsigned status;
    json_t *body;           /* owned; NULL: none */
    char *text;             /* owned, instead of body */
    const char *media_type; /* of text */
    char etag[48];          /* without quotes; "" = none */
    char location[256];
    char allow[64];
    unsigned retry_after_s;
    bool changed;       /* configuration was changed: publish after the commit */
    long long revision; /* of that change, taken with publish_stamp(); 0: http.c takes it */
    bool shows_secret;  /* body shows something once, in members that its schema marks
                           FIELD_OPTIONAL_ANSWER: they are not kept for Idempotency-Key */
} reply_t;

/* Fills *reply and returns true, or fills request->problem and returns false (then: rollback). */
typedef bool (*handler_t)(request_t *request, reply_t *reply);

typedef enum {
    ROUTE_OPEN = 1,       /* no authentication: health, version, set-up, OpenAPI */
    ROUTE_NO_SESSION = 2, /* no database transaction */
    ROUTE_CHANGES = 4,    /* takes Idempotency-Key, dry_run and wait; committed if the handler
                             returns true. Without this flag nothing is committed */
    ROUTE_MATCH = 8,      /* If-Match is mandatory */
    ROUTE_LIST = 16,      /* takes limit, cursor; answers {"items": [], "next_cursor"} */
    ROUTE_PLAIN = 32      /* the answer is not JSON */
} route_flags_t;

typedef struct {
    const char *method;
    const char *pattern;   /* "/api/v1/workspaces/{workspace}/pools/{id}:test" */
    const char *operation; /* operationId: "testPool" */
    const char *scope;     /* "pools:write"; NULL on open routes */
    unsigned flags;
    handler_t handler;
    const schema_t *request; /* NULL: takes no body */
    schema_use_t use;
    const schema_t *answer;     /* NULL: no body */
    unsigned status;            /* of success */
    const char *const *queries; /* names of further query parameters, NULL-terminated; NULL: none */
    const char *summary;
    const void *data; /* the handler's: its resource_t */
} route_t;
const route_t *request_route(const request_t *request);

/* A list of tables; each noun's file exports one. In routes.c. */
typedef struct {
    const route_t *routes;
    size_t count;
} route_table_t;
extern const route_table_t *const route_tables[];
extern const size_t route_tables_count;

typedef struct http_s http_t;
struct relayd_s;

/* listen: "unix:/path", or a loopback address and a port. */
http_t *http_start(struct relayd_s *relayd, const char *listen, char *error, size_t error_size);
/* Requests under way are finished. */
void http_stop(http_t *http);

#endif
