/*
 * The first things of a new installation; called by main(). It makes what a
 * user would make through the admin API, by the same engine, with its events.
 */

#include "bootstrap.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "relayd.h"
#include "resource.h"

extern const resource_t provider_key_resource, pool_resource, policy_resource, relay_key_resource;

enum { WAIT_MS = 15000 };

static bool apply(request_t *request, const resource_t *resource, json_t *document, json_t **answer)
{
    reply_t reply = {.status = 0};
    bool ok = document != NULL && resource_apply(request, resource, document, &reply);

    json_decref(document);
    if (ok && answer != NULL)
        *answer = reply.body;
    else
        json_decref(reply.body);
    return ok;
}

static bool exists(request_t *request, const resource_t *resource, const char *name)
{
    json_t *spec = resource_export(request, resource, name);

    json_decref(spec);
    return spec != NULL;
}

/* ---- provider keys ---- */

/* Hosts that take one key in one header, at one place. */
static PGresult *hosts_with_variables(request_t *request)
{
    return SESSION_QUERY(request->session,
                         "SELECT name, variable FROM catalog_host,"
                         " jsonb_array_elements_text(document #> '{facts,env}')"
                         " WITH ORDINALITY AS e (variable, place)"
                         " WHERE jsonb_array_length(document #> '{facts,env}') = 1"
                         " AND coalesce(document #>> '{auth,type}', 'header') = 'header'"
                         " AND document ->> 'base_url' NOT LIKE $1 ORDER BY name",
                         "%{%");
}

static bool add_provider_key(request_t *request, const char *host, const char *variable)
{
    if (exists(request, &provider_key_resource, host))
        return true;
    return apply(
        request, &provider_key_resource,
        json_pack("{s:s, s:s, s:s+}", "name", host, "host", host, "value_from", "env:", variable),
        NULL);
}

/* Two hosts may share a variable (a region's twin): the first by name has it. */
static bool add_provider_keys(request_t *request, json_t *members)
{
    PGresult *rows = hosts_with_variables(request);
    json_t *used = json_object();
    bool ok = rows != NULL;

    for (int i = 0; ok && i < PQntuples(rows); i++) {
        const char *host = PQgetvalue(rows, i, 0), *variable = PQgetvalue(rows, i, 1);
        const char *value = getenv(variable);

        if (value == NULL || value[0] == '\0' || json_object_get(used, variable) != NULL)
            continue;
        json_object_set_new(used, variable, json_true());
        ok = add_provider_key(request, host, variable);
        json_array_append_new(members, json_pack("{s:s}", "key", host));
        printf("provider_key %s %s\n", host, variable);
    }

    PQclear(rows);
    json_decref(used);
    return ok;
}

/* ---- pool, policy, relay key ---- */

static bool is_member(const json_t *members, const char *key)
{
    const json_t *member;
    size_t i;

    json_array_foreach((json_t *)members, i,
                       member) if (strcmp(json_string_value(json_object_get(member, "key")), key) ==
                                   0) return true;
    return false;
}

static bool add_pool(request_t *request, const json_t *members)
{
    json_t *pool = resource_export(request, &pool_resource, "default"), *member;
    json_t *now = json_object_get(pool, "members");
    bool is_new = pool == NULL, changed = is_new;
    size_t i;

    if (is_new) {
        pool = json_pack("{s:[]}", "members");
        now = json_object_get(pool, "members");
    }
    json_array_foreach((json_t *)members, i, member)
    {
        if (is_member(now, json_string_value(json_object_get(member, "key"))))
            continue;
        json_array_append(now, member);
        changed = true;
    }

    json_object_set_new(pool, "name", json_string("default"));
    if (changed)
        return apply(request, &pool_resource, pool, NULL);
    json_decref(pool);
    return true;
}

static bool add_policy(request_t *request)
{
    if (exists(request, &policy_resource, "default"))
        return true;
    return apply(
        request, &policy_resource,
        json_pack("{s:s, s:[s], s:b}", "name", "default", "pools", "default", "passthrough", true),
        NULL);
}

static bool add_relay_key(request_t *request)
{
    json_t *names = resource_names(request, &relay_key_resource), *answer = NULL;
    bool ok = names != NULL;

    if (ok && json_array_size(names) == 0) {
        ok = apply(request, &relay_key_resource,
                   json_pack("{s:s, s:s}", "name", "first", "policy", "default"), &answer);
        if (ok)
            printf("relay_key %s\n", json_string_value(json_object_get(answer, "key")));
        json_decref(answer);
    }
    json_decref(names);
    return ok;
}

/* ---- */

static bool add_all(request_t *request)
{
    json_t *members = json_array();
    bool ok = add_provider_keys(request, members) && add_pool(request, members) &&
              add_policy(request) && add_relay_key(request);

    json_decref(members);
    return ok;
}

static bool find_workspace(request_t *request)
{
    PGresult *row =
        SESSION_QUERY(request->session, "SELECT id FROM workspace WHERE name = $1", "default");
    bool ok = row != NULL && PQntuples(row) == 1;

    if (ok)
        snprintf(request->workspace_id, sizeof(request->workspace_id), "%s", PQgetvalue(row, 0, 0));
    PQclear(row);
    return ok;
}

static int complain(const request_t *request)
{
    fprintf(stderr, "relayd: bootstrap: %s",
            request->problem.detail[0] ? request->problem.detail
                                       : session_error(request->session)->message);
    for (size_t i = 0; i < request->problem.nfaults; i++)
        fprintf(stderr, " %s: %s", request->problem.faults[i].pointer,
                request->problem.faults[i].message);
    fputc('\n', stderr);
    return 1;
}

int bootstrap_run(struct relayd_s *relayd)
{
    request_t request = {.method = "POST", .path = "/bootstrap", .id = "bootstrap"};
    int status = 0;

    request.session = database_lease(relayd->database, WAIT_MS);
    if (request.session == NULL) {
        fprintf(stderr, "relayd: bootstrap: Postgres does not answer\n");
        return 1;
    }

    bool found = session_begin(request.session, NULL) && find_workspace(&request);
    session_rollback(request.session);
    if (!found || !session_begin(request.session, request.workspace_id) || !add_all(&request) ||
        !session_commit(request.session))
        status = complain(&request);

    database_return(request.session);
    return status;
}
