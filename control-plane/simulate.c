/*
 * "This key asks for this model now: which candidates, and why?" Answered with
 * the documents that workers read and the function that workers call; for the
 * why, once more for each member of a pool by itself.
 */

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "document.h"
#include "malloc_arena.h"
#include "relayd.h"
#include "resource_row.h"
#include "route.h"

enum { SCRATCH = 4096, LEASE_MS = 2000, NAME_LEN = 257 };

/* ---- what is asked, what is answered ---- */

static const field_t fields[] = {
    {.name = "relay_key",
     .type = FIELD_TEXT,
     .min = 1,
     .max = 64,
     .description = "Name or id of the relay key; or give a policy."},
    {.name = "policy",
     .type = FIELD_TEXT,
     .min = 1,
     .max = 64,
     .description = "Name or id of the policy, as a key without limits of its own would use it."},
    {.name = "model",
     .type = FIELD_TEXT,
     .flags = FIELD_REQUIRED,
     .min = 1,
     .max = 2048,
     .description = "What the caller writes: a name, alias, name@host, or several with commas."},
    {.name = "format",
     .type = FIELD_TEXT,
     .min = 1,
     .max = 64,
     .description = "The wire format of the request; if not given, the first that Relay knows."},
};
static const schema_t schema = SCHEMA("Simulation", fields);

static const field_t candidate_fields[] = {
    {.name = "host", .type = FIELD_TEXT, .flags = FIELD_READ_ONLY, .description = "Where."},
    {.name = "provider_key",
     .type = FIELD_TEXT,
     .flags = FIELD_READ_ONLY | FIELD_NULLABLE,
     .description = "With which key; null at the built-in model."},
    {.name = "model", .type = FIELD_TEXT, .flags = FIELD_READ_ONLY, .description = "The model."},
    {.name = "upstream_model",
     .type = FIELD_TEXT,
     .flags = FIELD_READ_ONLY,
     .description = "Its name at the host."},
    {.name = "format",
     .type = FIELD_TEXT,
     .flags = FIELD_READ_ONLY,
     .description = "The format that the host is spoken to in."},
};
static const schema_t candidate_schema = SCHEMA("Candidate", candidate_fields);
static const field_t candidate_item = {
    .type = FIELD_OBJECT, .schema = &candidate_schema, .description = "One attempt."};
static const field_t reason_item = {.type = FIELD_TEXT, .description = "A sentence."};
static const field_t answer_fields[] = {
    {.name = "allowed",
     .type = FIELD_BOOLEAN,
     .flags = FIELD_READ_ONLY,
     .description = "Whether the request would be tried at all."},
    {.name = "verdict",
     .type = FIELD_TEXT,
     .flags = FIELD_READ_ONLY,
     .description = "In one sentence; if it is refused, what the caller would read."},
    {.name = "code",
     .type = FIELD_TEXT,
     .flags = FIELD_READ_ONLY | FIELD_NULLABLE,
     .description = "x-relay-error of the refusal."},
    {.name = "policy", .type = FIELD_TEXT, .flags = FIELD_READ_ONLY, .description = "The policy."},
    {.name = "candidates",
     .type = FIELD_LIST,
     .flags = FIELD_READ_ONLY,
     .max = RELAY_CANDIDATES_MAX,
     .item = &candidate_item,
     .description = "In the order of this draw: weights shuffle equals of one priority."},
    {.name = "reasons",
     .type = FIELD_LIST,
     .flags = FIELD_READ_ONLY,
     .max = 100000,
     .item = &reason_item,
     .description = "For each member of the policy's pools, why it takes part or not."},
};
static const schema_t answer_schema = SCHEMA("SimulationOutcome", answer_fields);

/* ---- the workers' view ---- */

typedef struct {
    malloc_arena_t blocks;
    const relay_config_t *config;
    json_t *inactive;
} view_t;

/* What builds keep; one at a time. */
static document_source_t source;
static pthread_mutex_t source_lock = PTHREAD_MUTEX_INITIALIZER;

static const char echo[] = "{\"hosts\": {\"relay\": {\"echo\": true}},"
                           " \"models\": {\"relay/echo\": {\"offers\": [{\"host\": \"relay\"}]}}}";

/* Of other workspaces nothing is known here. */
static bool concerns(const document_t *document, const char *workspace)
{
    return document->catalog || (strncmp(document->name, "workspace/", 10) == 0 &&
                                 strcmp(document->name + 10, workspace) == 0);
}

static bool build_config(view_t *view, const documents_t *documents, const char *workspace)
{
    relay_document_t *texts = calloc(documents->count + 1, sizeof(*texts));
    relay_arena_t arena = malloc_arena(&view->blocks);
    relay_config_fault_t fault;
    size_t count = 0;

    if (texts == NULL)
        return false;
    for (size_t i = 0; i < documents->count; i++)
        if (concerns(&documents->items[i], workspace))
            texts[count++] =
                (relay_document_t){.name = relay_span((const uint8_t *)documents->items[i].name,
                                                      strlen(documents->items[i].name)),
                                   .text = relay_span((const uint8_t *)documents->items[i].text,
                                                      documents->items[i].len),
                                   .catalog = documents->items[i].catalog};
    texts[count++] = (relay_document_t){.name = RELAY_SPAN("echo"), .text = RELAY_SPAN(echo)};

    view->config = relay_config_build(&arena, texts, count, &fault);
    free(texts);

    /* As far as can be told here, every key that was published opens. */
    for (size_t i = 0; view->config != NULL && i < view->config->nprovider_keys; i++)
        view->config->provider_keys[i].active = true;
    return view->config != NULL;
}

static bool view_open(request_t *request, view_t *view, const char *workspace)
{
    session_t *session = database_lease(relayd.database, LEASE_MS);
    bool ok = false;

    *view = (view_t){.config = NULL};
    if (session == NULL)
        return problem_set(&request->problem, PROBLEM_UNAVAILABLE, "The database is busy.");

    pthread_mutex_lock(&source_lock);
    source.secrets = relayd.secrets;
    document_build_t build = {.source = &source, .session = session};
    if (session_begin(session, NULL) && documents_build(&build))
        ok = build_config(view, &build.documents, workspace);
    view->inactive = json_incref(build.inactive);
    if (!ok)
        problem_set(&request->problem, PROBLEM_UNAVAILABLE,
                    "The configuration cannot be built: %s.", build.why);
    document_build_free(&build);
    pthread_mutex_unlock(&source_lock);

    session_rollback(session);
    database_return(session);
    return ok;
}

static void view_close(view_t *view)
{
    malloc_arena_release(&view->blocks);
    json_decref(view->inactive);
}

/* ---- who asks ---- */

typedef struct {
    relay_relay_key_t key;
    relay_policy_t policy; /* a copy, for one member at a time */
    const relay_wire_t *wire;
    relay_span_t model;
    relay_span_t globs[1000];
    char policy_name[NAME_LEN];
    char workspace[NAME_LEN];
    const char *fault; /* why the relay key itself opens nothing, or "" */
    json_t *spec;      /* the relay key as it is shown; holds the globs */
} asker_t;

/* Why the key opens nothing by itself, or "". */
static const char *state_fault(const char *state)
{
    if (strcmp(state, "active") == 0)
        return "";
    return strcmp(state, "disabled") == 0  ? "The relay key is disabled."
           : strcmp(state, "expired") == 0 ? "The relay key has expired."
                                           : "The relay key was revoked.";
}

static bool key_take(asker_t *asker, const json_t *shown)
{
    const char *state = json_string_value(json_object_get(shown, "state"));
    json_t *pattern;
    size_t i;

    asker->spec = json_deep_copy(shown);
    snprintf(asker->policy_name, NAME_LEN, "%s",
             json_string_value(json_object_get(asker->spec, "policy")));
    json_array_foreach(json_object_get(asker->spec, "models"), i, pattern) asker->globs[i] =
        relay_span((const uint8_t *)json_string_value(pattern), json_string_length(pattern));
    asker->key.models = (relay_globs_t){asker->globs, i};
    asker->fault = state_fault(state);
    return true;
}

static bool policy_of_key(request_t *request, const char *name, asker_t *asker)
{
    extern const resource_t relay_key_resource;
    PGresult *row = row_find(request, &relay_key_resource, name, false);
    json_t *shown = row != NULL && PQntuples(row) == 1
                        ? resource_show(request, &relay_key_resource, row, 0)
                        : NULL;

    PQclear(row);
    bool ok = shown != NULL ? key_take(asker, shown)
                            : problem_fault(&request->problem, "/relay_key",
                                            "there is no relay_key \"%s\"", name);
    json_decref(shown);
    return ok;
}

static bool policy_by_name(request_t *request, const char *name, asker_t *asker)
{
    PGresult *row;
    char id[37];

    if (!resource_resolve(request, "policy", name, "/policy", id))
        return false;
    row = SESSION_QUERY(request->session, "SELECT name FROM policy WHERE id = $1::uuid", id);
    if (row != NULL && PQntuples(row) == 1)
        snprintf(asker->policy_name, NAME_LEN, "%s", PQgetvalue(row, 0, 0));
    PQclear(row);
    asker->globs[0] = RELAY_SPAN("*");
    asker->key.models = (relay_globs_t){asker->globs, 1};
    asker->fault = "";
    return true;
}

static const char *text_of(const request_t *request, const char *name)
{
    return json_string_value(json_object_get(request->body, name));
}

static bool workspace_of(request_t *request, asker_t *asker)
{
    PGresult *row = SESSION_QUERY(
        request->session, "SELECT name FROM workspace WHERE id = $1::uuid", request->workspace_id);
    bool ok = row != NULL && PQntuples(row) == 1;

    if (ok)
        snprintf(asker->workspace, NAME_LEN, "%s", PQgetvalue(row, 0, 0));
    PQclear(row);
    return ok;
}

/* All that the request's own transaction is needed for. */
static bool asker_read(request_t *request, asker_t *asker)
{
    const char *key = text_of(request, "relay_key"), *policy = text_of(request, "policy");
    const char *format = text_of(request, "format"), *model = text_of(request, "model");

    if ((key == NULL) == (policy == NULL))
        return problem_fault(&request->problem, "/relay_key", "give a relay_key or a policy");
    if (!workspace_of(request, asker) || !(key != NULL ? policy_of_key(request, key, asker)
                                                       : policy_by_name(request, policy, asker)))
        return false;

    asker->model = relay_span((const uint8_t *)model, strlen(model));
    asker->wire = format != NULL
                      ? relay_wire_find(relay_span((const uint8_t *)format, strlen(format)))
                      : relay_wire_at(0);
    return asker->wire != NULL ||
           problem_fault(&request->problem, "/format", "there is no format \"%s\"", format);
}

static bool asker_find_policy(request_t *request, const relay_config_t *config, asker_t *asker)
{
    asker->key.policy = relay_config_find_policy(
        config, relay_span((const uint8_t *)asker->policy_name, strlen(asker->policy_name)));
    return asker->key.policy != NULL ||
           problem_set(&request->problem, PROBLEM_CONFLICT,
                       "The policy \"%s\" is not part of what is published.", asker->policy_name);
}

/* ---- answers ---- */

static json_t *span_json(relay_span_t span)
{
    return json_stringn((const char *)span.base, span.len);
}

static json_t *candidates_json(const relay_plan_t *plan)
{
    json_t *list = json_array();

    for (size_t i = 0; i < plan->count; i++) {
        const relay_candidate_t *candidate = &plan->candidates[i];
        json_array_append_new(
            list, json_pack("{s:o, s:o, s:o, s:o, s:o}", "host", span_json(candidate->host->name),
                            "provider_key",
                            candidate->key == NULL ? json_null() : span_json(candidate->key->name),
                            "model", span_json(candidate->model), "upstream_model",
                            span_json(candidate->upstream_model), "format",
                            span_json(candidate->wire->name)));
    }
    return list;
}

static void say(json_t *reasons, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void say(json_t *reasons, const char *format, ...)
{
    char text[1024];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    json_array_append_new(reasons, json_string(text));
}

/* The pool of one member, and the policy with nothing but this pool. */
static void explain_member(const relay_config_t *config, const asker_t *asker,
                           const relay_pool_t *pool, const relay_pool_member_t *member,
                           json_t *reasons)
{
    char scratch_text[SCRATCH];
    relay_pool_t alone = {
        .name = pool->name, .members = (relay_pool_member_t *)member, .nmembers = 1};
    const relay_pool_t *pools[] = {&alone};
    relay_policy_t policy = *asker->key.policy;
    relay_relay_key_t key = asker->key;
    relay_buf_t scratch = relay_buf(scratch_text, SCRATCH);
    relay_error_t error;
    relay_plan_t plan;

    policy.pools = pools;
    policy.npools = 1;
    key.policy = &policy;
    relay_error_code_t code = relay_route_plan(config, &key, asker->model, asker->wire,
                                               RELAY_OP_GENERATE, 0, &plan, &scratch, &error);
    if (code == RELAY_ERR_NONE)
        say(reasons, "pool %.*s: %.*s takes part: %.*s as \"%.*s\", priority %u, weight %u",
            (int)pool->name.len, pool->name.base, (int)member->key->name.len,
            member->key->name.base, (int)member->key->host->name.len, member->key->host->name.base,
            (int)plan.candidates[0].upstream_model.len, plan.candidates[0].upstream_model.base,
            member->priority, member->weight);
    else
        say(reasons, "pool %.*s: %.*s does not: %.*s", (int)pool->name.len, pool->name.base,
            (int)member->key->name.len, member->key->name.base, (int)error.message.len,
            error.message.base);
}

static void explain_inactive(const view_t *view, const char *workspace, json_t *reasons)
{
    json_t *entry;
    size_t i;

    json_array_foreach(
        view->inactive, i,
        entry) if (strcmp(json_string_value(json_object_get(entry, "workspace")), workspace) == 0)
        say(reasons, "%s %s is left out: %s", json_string_value(json_object_get(entry, "kind")),
            json_string_value(json_object_get(entry, "name")),
            json_string_value(json_object_get(entry, "reason")));
}

static json_t *reasons_json(const view_t *view, const asker_t *asker)
{
    const relay_policy_t *policy = asker->key.policy;
    json_t *reasons = json_array();

    for (size_t i = 0; i < policy->npools; i++)
        for (size_t j = 0; j < policy->pools[i]->nmembers; j++)
            explain_member(view->config, asker, policy->pools[i], &policy->pools[i]->members[j],
                           reasons);
    explain_inactive(view, asker->workspace, reasons);
    return reasons;
}

static void put_verdict(const asker_t *asker, const relay_plan_t *plan, const relay_error_t *error,
                        char *verdict, size_t size)
{
    relay_span_t sentence =
        error->message.len > 0 ? error->message : relay_error_sentence(error->code);

    if (asker->fault[0] != '\0')
        snprintf(verdict, size, "%s", asker->fault);
    else if (error->code != RELAY_ERR_NONE)
        snprintf(verdict, size, "%.*s", (int)sentence.len, sentence.base);
    else
        snprintf(verdict, size, "It would be tried at %zu candidate%s.", plan->count,
                 plan->count == 1 ? "" : "s");
}

static json_t *answer_of(const view_t *view, const asker_t *asker, uint64_t random)
{
    char scratch_text[SCRATCH], verdict[SCRATCH];
    relay_buf_t scratch = relay_buf(scratch_text, sizeof(scratch_text));
    relay_error_t error = {.code = RELAY_ERR_NONE};
    relay_plan_t plan = {.count = 0};

    error.code = relay_route_plan(view->config, &asker->key, asker->model, asker->wire,
                                  RELAY_OP_GENERATE, random, &plan, &scratch, &error);
    put_verdict(asker, &plan, &error, verdict, sizeof(verdict));
    relay_error_code_t code = asker->fault[0] != '\0' ? RELAY_ERR_INVALID_RELAY_KEY : error.code;

    return json_pack("{s:b, s:s, s:o, s:s, s:o, s:o}", "allowed", code == RELAY_ERR_NONE, "verdict",
                     verdict, "code",
                     code == RELAY_ERR_NONE ? json_null() : span_json(relay_error_name(code)),
                     "policy", asker->policy_name, "candidates",
                     code == RELAY_ERR_NONE ? candidates_json(&plan) : json_array(), "reasons",
                     reasons_json(view, asker));
}

/* The view needs a connection of its own: nobody holds one while waiting for another. */
static bool simulate(request_t *request, reply_t *reply)
{
    asker_t *asker = calloc(1, sizeof(*asker));
    struct timespec now;
    view_t view = {.config = NULL};
    bool ok = asker != NULL ? asker_read(request, asker) : row_memory_problem(request);

    clock_gettime(CLOCK_MONOTONIC, &now);
    if (ok) {
        request_end_session(request);
        ok = view_open(request, &view, asker->workspace) &&
             asker_find_policy(request, view.config, asker);
    }
    if (ok)
        reply->body = answer_of(&view, asker, (uint64_t)now.tv_nsec);

    view_close(&view);
    if (asker != NULL)
        json_decref(asker->spec);
    free(asker);
    return reply->body != NULL;
}

static const route_t routes[] = {
    {"POST", "/api/v1/workspaces/{workspace}/policies:simulate", "simulate", "policies:read", 0,
     simulate, &schema, SCHEMA_CREATE, &answer_schema, 200, NULL,
     "Which candidates a request would have, and why", NULL},
};
const route_table_t simulate_routes = {routes, sizeof(routes) / sizeof(routes[0])};
