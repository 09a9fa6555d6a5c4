/*
 * The life of a request: what exchange.h lists, step by step. Called by http.c,
 * in a thread that may block.
 */

#include "exchange.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include <openssl/crypto.h>

#include "json_body.h"
#include "idempotency.h"
#include "identifier.h"
#include "log.h"
#include "publish.h"
#include "relayd.h"

enum { LEASE_WAIT_MS = 3000, ATTEMPTS = 4, BODY_ROOM_FIRST = 4096, IF_MATCH_MAX = 512 };

#define PROBLEM(exchange) (&(exchange)->request.problem)

/* ---- what handlers ask for ---- */

const char *request_query(const request_t *request, const char *name)
{
    return target_query(&((const exchange_t *)request->exchange)->target, name);
}

const char *request_header(const request_t *request, const char *name)
{
    const exchange_t *exchange = request->exchange;

    return exchange->header(exchange->header_source, name);
}

const route_t *request_route(const request_t *request)
{
    return ((const exchange_t *)request->exchange)->route;
}

void request_end_session(request_t *request)
{
    database_return(request->session);
    request->session = NULL;
}

/* ---- transactions ---- */

typedef bool (*work_t)(exchange_t *exchange);

/* The words of whoever failed first stand, unless the database was the reason. */
static void blame_database(exchange_t *exchange)
{
    problem_t *problem = PROBLEM(exchange);
    const session_t *session = exchange->request.session;
    bool blunt = problem->code == PROBLEM_NONE || problem->code == PROBLEM_INTERNAL ||
                 problem->code == PROBLEM_UNAVAILABLE;

    if (session == NULL || !blunt)
        return;
    bool passes = session_failed_away(session) || session_failed_retry(session);
    if (session_error(session)->message[0] != '\0')
        log_event(passes ? LOG_WARN : LOG_ERROR, "a statement failed", "id", exchange->id,
                  "sqlstate", session_error(session)->sqlstate, "reason",
                  session_error(session)->message, NULL);
    if (passes) {
        *problem = (problem_t){.code = PROBLEM_NONE};
        problem_set(problem, PROBLEM_UNAVAILABLE, "%s Try again.",
                    session_failed_away(session) ? "The database does not answer."
                                                 : "Others changed the same at the same time.");
    }
}

/* An answer that was half made is given up. */
static void forget(exchange_t *exchange)
{
    json_decref(exchange->reply.body);
    free(exchange->reply.text);
    exchange->reply = (reply_t){.status = 0};
    exchange->replayed = false;
    exchange->request.problem = (problem_t){.code = PROBLEM_NONE};
}

/* Nothing was sent yet when a transaction does not begin: another connection may do. */
static bool open_session(exchange_t *exchange, const char *workspace_id)
{
    for (int attempt = 0; attempt < 2; attempt++) {
        session_t *session = database_lease(relayd.database, LEASE_WAIT_MS);
        if (session == NULL)
            break;
        exchange->request.session = session;
        if (session_begin(session, workspace_id))
            return true;
        blame_database(exchange);
        request_end_session(&exchange->request);
        if (PROBLEM(exchange)->code == PROBLEM_NONE)
            return problem_set(PROBLEM(exchange), PROBLEM_INTERNAL, "No transaction began.");
        forget(exchange);
    }
    return problem_set(PROBLEM(exchange), PROBLEM_UNAVAILABLE,
                       "The database cannot be reached. Try again.");
}

static bool commit(exchange_t *exchange)
{
    session_t *session = exchange->request.session;

    if (session_commit(session) || session_failed_retry(session))
        return !session_failed_retry(session);
    if (session_failed_away(session))
        return problem_set(PROBLEM(exchange), PROBLEM_UNAVAILABLE,
                           "The database was lost at the last moment: the change may have been"
                           " made or not. Read before you try again.");
    return problem_set(PROBLEM(exchange), PROBLEM_INTERNAL, "The change could not be committed.");
}

static void pause_before(int attempt)
{
    struct timespec pause = {.tv_nsec = (long)attempt * 20000000 + (long)(random() % 10000000)};

    nanosleep(&pause, NULL);
}

/* Runs work in a transaction; what lost against another transaction runs again. */
static bool transact(exchange_t *exchange, const char *workspace_id, bool commits, work_t work)
{
    for (int attempt = 1;; attempt++) {
        if (!open_session(exchange, workspace_id))
            return false;

        bool done =
            work(exchange) && (!commits || exchange->request.session == NULL || commit(exchange));
        bool again = !done && exchange->request.session != NULL && attempt < ATTEMPTS &&
                     session_failed_retry(exchange->request.session);
        if (!done && !again) {
            blame_database(exchange);
            problem_set(PROBLEM(exchange), PROBLEM_INTERNAL, "This went wrong here.");
        }
        request_end_session(&exchange->request);
        if (!again)
            return done;
        forget(exchange);
        pause_before(attempt);
    }
}

/* ---- head: parameters and headers ---- */

static bool read_boolean(exchange_t *exchange, const char *name, bool *value)
{
    const char *given = target_query(&exchange->target, name);

    *value = given != NULL && strcmp(given, "true") == 0;
    return given == NULL || *value || strcmp(given, "false") == 0 ||
           problem_set(PROBLEM(exchange), PROBLEM_INVALID_REQUEST,
                       "The query parameter %s is true or false.", name);
}

static bool read_wait(exchange_t *exchange)
{
    request_t *request = &exchange->request;
    const char *wait = target_query(&exchange->target, "wait");
    const char *ms = target_query(&exchange->target, "wait_ms");
    char *end = NULL;

    request->wait_applied = wait != NULL;
    request->wait_ms = EXCHANGE_WAIT_MS;
    if (wait != NULL && strcmp(wait, "applied") != 0)
        return problem_set(PROBLEM(exchange), PROBLEM_INVALID_REQUEST,
                           "The query parameter wait is applied, if it is there.");
    if (ms == NULL)
        return true;

    long value = strtol(ms, &end, 10);
    if (strspn(ms, "0123456789") != strlen(ms) || strlen(ms) > 6 || value < 1 ||
        value > EXCHANGE_WAIT_MAX_MS)
        return problem_set(PROBLEM(exchange), PROBLEM_INVALID_REQUEST,
                           "The query parameter wait_ms is a number from 1 to %d.",
                           EXCHANGE_WAIT_MAX_MS);
    request->wait_ms = (unsigned)value;
    return true;
}

static bool read_parameters(exchange_t *exchange)
{
    return target_check_queries(&exchange->target, exchange->route, PROBLEM(exchange)) &&
           read_boolean(exchange, "dry_run", &exchange->request.dry_run) && read_wait(exchange);
}

/* `application/json`, perhaps with a charset, which can only be UTF-8. */
static bool is_media_type(const char *value, const char *wanted)
{
    size_t len = strlen(wanted);

    if (strncasecmp(value, wanted, len) != 0)
        return false;
    value += len;
    value += strspn(value, " \t");
    if (*value == '\0')
        return true;
    if (*value != ';')
        return false;
    value += 1 + strspn(value + 1, " \t");
    return strcasecmp(value, "charset=utf-8") == 0 || strcasecmp(value, "charset=\"utf-8\"") == 0;
}

static bool check_media_type(exchange_t *exchange)
{
    const char *given = request_header(&exchange->request, "content-type");
    bool patch = strcmp(exchange->route->method, "PATCH") == 0;

    if (exchange->route->request == NULL)
        return true;
    if (given != NULL && (is_media_type(given, "application/json") ||
                          (patch && is_media_type(given, "application/merge-patch+json"))))
        return true;
    return problem_set(PROBLEM(exchange), PROBLEM_MEDIA_TYPE, "Send Content-Type: %s.",
                       patch ? "application/merge-patch+json or application/json"
                             : "application/json");
}

static bool check_length(exchange_t *exchange)
{
    const char *length = request_header(&exchange->request, "content-length");

    if (length == NULL || strtoull(length, NULL, 10) <= HTTP_BODY_MAX)
        return true;
    return problem_set(PROBLEM(exchange), PROBLEM_TOO_LARGE, "The body is longer than %d bytes.",
                       HTTP_BODY_MAX);
}

static bool read_idempotency_key(exchange_t *exchange)
{
    const char *key = request_header(&exchange->request, "idempotency-key");

    if (key == NULL)
        return true;
    if ((exchange->route->flags & (ROUTE_CHANGES | ROUTE_OPEN)) != ROUTE_CHANGES)
        return problem_set(PROBLEM(exchange), PROBLEM_INVALID_REQUEST,
                           "This takes no Idempotency-Key.");
    if (!idempotency_key_ok(key))
        return problem_set(PROBLEM(exchange), PROBLEM_INVALID_REQUEST,
                           "An Idempotency-Key is 1 to 255 printable ASCII characters.");
    exchange->request.idempotency_key = key;
    return true;
}

static bool read_headers(exchange_t *exchange)
{
    const char *if_match = request_header(&exchange->request, "if-match");

    if (if_match != NULL && strlen(if_match) > IF_MATCH_MAX)
        return problem_set(PROBLEM(exchange), PROBLEM_INVALID_REQUEST, "If-Match is too long.");
    exchange->request.if_match = if_match;
    return check_length(exchange) && check_media_type(exchange) && read_idempotency_key(exchange);
}

/* The caller's own if it is harmless in a log and a header. */
static void name_request(exchange_t *exchange)
{
    const char *given = exchange->header(exchange->header_source, "x-request-id");
    size_t len = given == NULL ? 0
                               : strspn(given, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqr"
                                               "stuvwxyz0123456789._-");
    char uuid[37] = "00000000-0000-0000-0000-000000000000";

    if (len >= 1 && len <= EXCHANGE_ID_MAX && given[len] == '\0') {
        memcpy(exchange->id, given, len + 1);
        return;
    }
    (void)identifier_new(uuid); /* without randomness the name is dull, no more */
    identifier_show("req", uuid, exchange->id);
}

/* ---- head: who asks, and where ---- */

static bool no_workspace(exchange_t *exchange)
{
    return problem_set(PROBLEM(exchange), PROBLEM_NOT_FOUND,
                       "There is no workspace \"%.64s\" for this token.",
                       exchange->request.workspace);
}

/* One that is not there and one that is not for this token look alike. */
static bool resolve_workspace(exchange_t *exchange)
{
    request_t *request = &exchange->request;
    char id[37];
    bool by_id;

    if (request->workspace == NULL)
        return true;

    by_id = identifier_parse("ws", request->workspace, id);
    PGresult *row = SESSION_QUERY(request->session,
                                  by_id ? "SELECT id FROM workspace WHERE id = $1::uuid"
                                        : "SELECT id FROM workspace WHERE name = $1",
                                  by_id ? id : request->workspace);
    if (row == NULL)
        return false;
    if (PQntuples(row) == 1)
        snprintf(request->workspace_id, sizeof(request->workspace_id), "%s", PQgetvalue(row, 0, 0));
    PQclear(row);

    if (request->workspace_id[0] == '\0' ||
        (request->identity.workspace_id[0] != '\0' &&
         strcmp(request->identity.workspace_id, request->workspace_id) != 0))
        return no_workspace(exchange);
    return true;
}

static bool identify(exchange_t *exchange)
{
    request_t *request = &exchange->request;
    const char *scope = exchange->route->scope;

    request->workspace_id[0] = '\0';
    if (!auth_identify(request->session, request_header(request, "authorization"),
                       &request->identity, &request->problem) ||
        !resolve_workspace(exchange))
        return false;

    return auth_allows(&request->identity, scope,
                       request->workspace_id[0] != '\0' ? request->workspace_id : NULL) ||
           problem_set(&request->problem, PROBLEM_FORBIDDEN,
                       "This token may not do that: it takes %s.", scope);
}

static bool find_route(exchange_t *exchange)
{
    request_t *request = &exchange->request;

    exchange->route =
        target_route(&exchange->target, exchange->method, exchange->reply.allow, PROBLEM(exchange));
    request->workspace = exchange->target.workspace;
    request->target = exchange->target.id;
    return exchange->route != NULL;
}

bool exchange_head(exchange_t *exchange, const char *method, const char *target)
{
    request_t *request = &exchange->request;

    request->exchange = exchange;
    snprintf(exchange->method, sizeof(exchange->method), "%s", method);
    snprintf(exchange->path, sizeof(exchange->path), "%.*s", (int)strcspn(target, "?"), target);
    request->method = exchange->method;
    request->path = exchange->path;
    request->id = exchange->id;
    name_request(exchange);

    if (!target_read(&exchange->target, target, PROBLEM(exchange)) || !find_route(exchange) ||
        !read_parameters(exchange) || !read_headers(exchange))
        return false;
    return (exchange->route->flags & ROUTE_OPEN) != 0 || transact(exchange, NULL, true, identify);
}

/* ---- body ---- */

static bool make_room(exchange_t *exchange, size_t wanted)
{
    size_t room = exchange->body_room == 0 ? BODY_ROOM_FIRST : exchange->body_room;

    while (room < wanted)
        room *= 2;
    if (room == exchange->body_room)
        return true;

    char *body = malloc(room);
    if (body == NULL)
        return false;
    if (exchange->body_len != 0)
        memcpy(body, exchange->body, exchange->body_len);
    if (exchange->body != NULL)
        OPENSSL_cleanse(exchange->body, exchange->body_room);
    free(exchange->body);
    exchange->body = body;
    exchange->body_room = room;
    return true;
}

bool exchange_body(exchange_t *exchange, const char *bytes, size_t len)
{
    if (exchange->body_len + len > HTTP_BODY_MAX)
        return problem_set(PROBLEM(exchange), PROBLEM_TOO_LARGE,
                           "The body is longer than %d bytes.", HTTP_BODY_MAX);
    if (!make_room(exchange, exchange->body_len + len))
        return problem_set(PROBLEM(exchange), PROBLEM_INTERNAL, "Out of memory.");
    memcpy(exchange->body + exchange->body_len, bytes, len);
    exchange->body_len += len;
    return true;
}

static bool read_document(exchange_t *exchange)
{
    const route_t *route = exchange->route;

    if (route->request == NULL)
        return exchange->body_len == 0 ||
               problem_set(PROBLEM(exchange), PROBLEM_INVALID_REQUEST, "This takes no body.");
    exchange->document = json_body_read(exchange->body == NULL ? "" : exchange->body,
                                        exchange->body_len, PROBLEM(exchange));
    exchange->request.body = exchange->document;
    return exchange->document != NULL &&
           schema_check(route->request, route->use, exchange->document, PROBLEM(exchange));
}

/* ---- the handler ---- */

static bool call_handler(exchange_t *exchange)
{
    request_t *request = &exchange->request;
    reply_t *reply = &exchange->reply;

    if (!exchange->route->handler(request, reply)) {
        problem_set(&request->problem, PROBLEM_INTERNAL, "This went wrong here.");
        return false;
    }
    if (request->problem.code != PROBLEM_NONE)
        return false;
    if (reply->status == 0)
        reply->status = exchange->route->status;
    return true;
}

static bool stamp(exchange_t *exchange)
{
    reply_t *reply = &exchange->reply;

    if ((exchange->route->flags & ROUTE_CHANGES) == 0 || !reply->changed ||
        exchange->request.dry_run || reply->revision != 0)
        return true;
    reply->revision = publish_stamp(exchange->request.session);
    return reply->revision != 0;
}

static bool run_in_transaction(exchange_t *exchange)
{
    bool keyed = exchange->request.idempotency_key != NULL && !exchange->request.dry_run;

    if (keyed && !idempotency_begin(exchange))
        return false;
    if (exchange->replayed)
        return true;
    return call_handler(exchange) && stamp(exchange) && (!keyed || idempotency_keep(exchange));
}

/* A token of one workspace sees no other, on routes without a workspace too. */
static const char *held_to(const exchange_t *exchange)
{
    const request_t *request = &exchange->request;

    if (request->workspace_id[0] != '\0')
        return request->workspace_id;
    return request->identity.workspace_id[0] != '\0' ? request->identity.workspace_id : NULL;
}

static bool run_route(exchange_t *exchange)
{
    bool commits = (exchange->route->flags & ROUTE_CHANGES) != 0 && !exchange->request.dry_run;

    if ((exchange->route->flags & ROUTE_NO_SESSION) != 0)
        return call_handler(exchange);
    return transact(exchange, held_to(exchange), commits, run_in_transaction);
}

/* ---- after the commit ---- */

static bool wait_applied(exchange_t *exchange)
{
    char why[256] = "";

    if (!exchange->request.wait_applied || exchange->revision == 0 ||
        publisher_wait_applied(relayd.publisher, exchange->revision, exchange->request.wait_ms, why,
                               sizeof(why)))
        return true;
    return problem_set(PROBLEM(exchange), PROBLEM_NOT_APPLIED,
                       "The change is stored as revision %lld but not served by every worker"
                       " yet%s%s.",
                       exchange->revision, why[0] != '\0' ? ": " : "", why);
}

static bool publish(exchange_t *exchange)
{
    const reply_t *reply = &exchange->reply;

    if ((exchange->route->flags & ROUTE_CHANGES) == 0 || exchange->request.dry_run ||
        !reply->changed)
        return true;
    exchange->revision = reply->revision;
    if (!exchange->replayed)
        publisher_wake(relayd.publisher);
    return wait_applied(exchange);
}

void exchange_run(exchange_t *exchange)
{
    bool ok = PROBLEM(exchange)->code == PROBLEM_NONE && read_document(exchange) &&
              run_route(exchange) && publish(exchange);

    if (!ok)
        exchange_answer_problem(exchange);
}

void exchange_answer_problem(exchange_t *exchange)
{
    reply_t *reply = &exchange->reply;
    problem_t *problem = PROBLEM(exchange);

    problem_set(problem, PROBLEM_INTERNAL, "This went wrong here.");
    if (problem->code == PROBLEM_INTERNAL)
        log_event(LOG_ERROR, "internal fault", "id", exchange->id, "path", exchange->path, "reason",
                  problem->detail, NULL);

    json_decref(reply->body);
    free(reply->text);
    reply->text = NULL;
    reply->body = problem_json(problem);
    reply->media_type = "application/problem+json";
    reply->status = problem_status(problem->code);
    if (problem->code != PROBLEM_NOT_APPLIED)
        reply->etag[0] = reply->location[0] = '\0';
    if (problem->code == PROBLEM_UNAVAILABLE && reply->retry_after_s == 0)
        reply->retry_after_s = 1;
}

void exchange_free(exchange_t *exchange)
{
    json_decref(exchange->reply.body);
    free(exchange->reply.text);
    json_decref(exchange->document);
    if (exchange->body != NULL)
        OPENSSL_cleanse(exchange->body, exchange->body_room);
    free(exchange->body);
}
