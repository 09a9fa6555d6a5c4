/*
 * The document of a workspace: its hosts and models as they are in effect,
 * provider keys, pools and policies, all by name. What depends on what this
 * version of the workers can do (a host, an offer) is left out where it does
 * not work, and said to be; anything else is for the reader to judge.
 * See document.h.
 */

#include "document.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "malloc_arena.h"
#include "resource.h"
#include "wire_variant.h"

/* Members of CONFIG.md; what else a resource has is for people. */
static const char *const host_members[] = {
    "base_url", "formats", "variables", "dialect",  "auth",         "headers",     "serves",
    "local",    "tls",     "echo",      "timeouts", "stream_usage", "passthrough", NULL};
static const char *const model_members[] = {
    "display_name", "owned_by", "created",           "context_tokens",   "output_tokens", "refuses",
    "thinking",     "aliases",  "reasoning_efforts", "reasoning_budget", "offers",        NULL};
static const char *const offer_members[] = {
    "host", "id", "formats", "output_tokens", "reasoning_efforts", "dialect", NULL};
static const char *const member_members[] = {"key", "weight", "priority", NULL};
static const char *const policy_members[] = {
    "pools", "allow", "deny", "hosts", "passthrough", "strict", "max_attempts", "timeouts", NULL};

static json_t *keep(const json_t *from, const char *const *members)
{
    json_t *kept = json_object();

    for (; *members != NULL; members++) {
        json_t *value = json_object_get(from, *members);
        if (value != NULL && !json_is_null(value)) {
            json_object_set(kept, *members, value);
        }
    }
    return kept;
}

const char *document_name_of(const document_workspace_t *workspace, const json_t *reference)
{
    const char *text = json_string_value(reference);
    const char *name =
        text != NULL ? json_string_value(json_object_get(workspace->names, text)) : NULL;

    return name != NULL ? name : text != NULL ? text : "";
}

const relay_host_t *document_host(const document_workspace_t *workspace, const char *name)
{
    return relay_config_find_host(workspace->reachable, relay_span(name, strlen(name)));
}

static bool read_names(document_build_t *build, document_workspace_t *workspace)
{
    PGresult *rows =
        document_query(build,
                       "SELECT id, name FROM host WHERE workspace_id = $1::uuid"
                       " UNION ALL SELECT id, name FROM provider_key WHERE workspace_id = $1::uuid"
                       " UNION ALL SELECT id, name FROM pool WHERE workspace_id = $1::uuid",
                       workspace->id);

    for (int i = 0; i < PQntuples(rows); i++) {
        json_object_set_new(workspace->names, PQgetvalue(rows, i, 0),
                            json_string(PQgetvalue(rows, i, 1)));
    }
    PQclear(rows);
    return rows != NULL;
}

/* A row of (name, spec, document of the catalog): the patch on the document, or the spec. */
static json_t *effective(const PGresult *rows, int index, bool *patched)
{
    json_t *spec = json_loads(PQgetvalue(rows, index, 1), 0, NULL), *entry;

    *patched = !PQgetisnull(rows, index, 2);
    if (spec == NULL || !*patched) {
        return spec;
    }
    entry = json_loads(PQgetvalue(rows, index, 2), 0, NULL);
    if (entry != NULL) {
        merge_patch(entry, spec);
    }
    json_decref(spec);
    return entry;
}

/* ---- hosts ---------------------------------------------------------------- */

/* Whether workers take this host as an entry of its own. */
static bool host_builds(const char *name, json_t *entry, relay_config_fault_t *fault)
{
    json_t *document = json_pack("{s:{s:O}}", "hosts", name, entry);
    char *text = document != NULL ? json_dumps(document, JSON_COMPACT) : NULL;
    relay_document_t list = {RELAY_SPAN("host"), relay_span(text, text != NULL ? strlen(text) : 0),
                             false};
    malloc_arena_t blocks = {NULL};
    relay_arena_t arena = malloc_arena(&blocks);
    bool good = text != NULL && relay_config_build(&arena, &list, 1, fault) != NULL;

    malloc_arena_release(&blocks);
    free(text);
    json_decref(document);
    return good;
}

static const relay_wire_t *format_of(const char *name)
{
    bool streams;
    const relay_variant_t *variant =
        name != NULL ? relay_variant_find(relay_span(name, strlen(name)), &streams) : NULL;

    return variant != NULL ? variant->wire : NULL;
}

static bool format_known(const char *name)
{
    return format_of(name) != NULL;
}

/* Of an entry of the catalog, formats that the workers do not speak do not count. */
static void drop_unknown_formats(json_t *formats)
{
    const char *name;
    json_t *value;
    void *next;

    json_object_foreach_safe(formats, next, name, value)
    {
        if (!format_known(name)) {
            json_object_del(formats, name);
        }
    }
    for (size_t i = json_array_size(formats); i-- > 0;) {
        name = json_string_value(json_array_get(formats, i));
        if (!format_known(name)) {
            json_array_remove(formats, i);
        }
    }
}

/* The same for formats that cannot be used here: "hosts.NAME.formats.FORMAT". */
static bool drop_faulty_format(json_t *formats, const relay_config_fault_t *fault)
{
    const char *at = strstr(fault->path, ".formats."), *name;
    json_t *value;
    void *next;

    if (at == NULL || strstr(fault->path, ".auth.formats.") != NULL ||
        json_object_size(formats) < 2) {
        return false;
    }
    at += strlen(".formats.");
    json_object_foreach_safe(formats, next, name, value)
    {
        size_t len = strlen(name);
        if (strncmp(at, name, len) == 0 && (at[len] == '\0' || at[len] == '.')) {
            return json_object_del(formats, name) == 0;
        }
    }
    return false;
}

static bool fit_host(const char *name, json_t *entry, bool patched, relay_config_fault_t *fault)
{
    json_t *formats = json_object_get(entry, "formats");
    bool good;

    if (patched) {
        drop_unknown_formats(formats);
        drop_unknown_formats(json_object_get(entry, "dialect"));
        drop_unknown_formats(json_object_get(json_object_get(entry, "auth"), "formats"));
    }
    do {
        good = host_builds(name, entry, fault);
    } while (!good && patched && drop_faulty_format(formats, fault));
    return good;
}

static bool add_host(document_build_t *build, document_workspace_t *workspace, json_t *hosts,
                     const PGresult *rows, int index)
{
    relay_config_fault_t fault = {.message = "out of memory"};
    const char *name = PQgetvalue(rows, index, 0);
    bool patched, good = true;
    json_t *whole = effective(rows, index, &patched);
    json_t *entry = keep(whole, host_members);

    if (fit_host(name, entry, patched, &fault)) {
        good = json_object_set(hosts, name, entry) == 0;
    } else {
        document_leave_out(build, workspace->name, "host", name, fault.message);
    }
    json_decref(entry);
    json_decref(whole);
    return good;
}

static bool add_hosts(document_build_t *build, document_workspace_t *workspace)
{
    PGresult *rows = document_query(build,
                                    "SELECT r.name, r.spec, c.document FROM host r"
                                    " LEFT JOIN catalog_host c ON c.name = r.template"
                                    " WHERE r.workspace_id = $1::uuid ORDER BY r.name",
                                    workspace->id);
    json_t *hosts = json_object();
    bool good = rows != NULL;

    for (int i = 0; good && i < PQntuples(rows); i++) {
        good = add_host(build, workspace, hosts, rows, i);
    }
    PQclear(rows);
    return json_object_set_new(workspace->document, "hosts", hosts) == 0 && good;
}

/* All hosts that workers will have, with their origins: read by their own reader. */
static bool find_reachable(document_build_t *build, document_workspace_t *workspace,
                           const relay_arena_t *arena)
{
    const document_t *catalog = &build->source->catalog.items[0];
    char *text = json_dumps(workspace->document, JSON_COMPACT);
    relay_document_t list[] = {
        {relay_span(catalog->name, strlen(catalog->name)), relay_span(catalog->text, catalog->len),
         true},
        {RELAY_SPAN("workspace"), relay_span(text, text != NULL ? strlen(text) : 0), false}};
    relay_config_fault_t fault = {.message = "out of memory"};

    if (text != NULL) {
        workspace->reachable = relay_config_build(arena, list, 2, &fault);
    }
    free(text);
    return workspace->reachable != NULL ||
           document_fail(build, "workspace/%s: %s: %s", workspace->name, fault.path, fault.message);
}

/* ---- models --------------------------------------------------------------- */

static bool format_fits(const relay_host_t *host, const char *name)
{
    const relay_wire_t *wire = format_of(name);

    return wire != NULL && (host->formats >> wire->index & 1) != 0;
}

/* NULL: nobody can use it. */
static json_t *fit_offer(const document_workspace_t *workspace, const json_t *given)
{
    const char *name = document_name_of(workspace, json_object_get(given, "host"));
    const relay_host_t *host = document_host(workspace, name);
    json_t *offer, *formats;
    size_t before;

    if (host == NULL) {
        return NULL;
    }
    offer = keep(given, offer_members);
    json_object_set_new(offer, "host", json_string(name));
    drop_unknown_formats(json_object_get(offer, "dialect"));
    formats = json_object_get(offer, "formats");
    before = json_array_size(formats);
    for (size_t i = before; i-- > 0;) {
        if (!format_fits(host, json_string_value(json_array_get(formats, i)))) {
            json_array_remove(formats, i);
        }
    }
    if (before != 0 && json_array_size(formats) == 0) {
        json_decref(offer);
        return NULL;
    }
    return offer;
}

/* False: it had offers, and none is left. */
static bool fit_offers(const document_workspace_t *workspace, json_t *entry)
{
    json_t *given = json_object_get(entry, "offers"), *offers = json_array(), *offer, *fitting;
    size_t i, count = json_array_size(given);

    json_array_foreach(given, i, offer)
    {
        fitting = fit_offer(workspace, offer);
        if (fitting != NULL) {
            json_array_append_new(offers, fitting);
        }
    }
    i = json_array_size(offers);
    if (given != NULL) {
        json_object_set(entry, "offers", offers);
    }
    json_decref(offers);
    return count == 0 || i != 0;
}

static bool add_model(document_build_t *build, document_workspace_t *workspace, json_t *models,
                      const PGresult *rows, int index)
{
    const char *name = PQgetvalue(rows, index, 0);
    bool patched, good = true;
    json_t *whole = effective(rows, index, &patched);
    json_t *entry = keep(whole, model_members);

    if (fit_offers(workspace, entry)) {
        good = json_object_set(models, name, entry) == 0;
    } else {
        document_leave_out(build, workspace->name, "model", name,
                           "none of the hosts that offer it can be reached by this version");
    }
    json_decref(entry);
    json_decref(whole);
    return good;
}

static bool add_models(document_build_t *build, document_workspace_t *workspace)
{
    PGresult *rows = document_query(build,
                                    "SELECT r.name, r.spec, c.document FROM model r"
                                    " LEFT JOIN catalog_model c ON c.name = r.template"
                                    " WHERE r.workspace_id = $1::uuid ORDER BY r.name",
                                    workspace->id);
    json_t *models = json_object();
    bool good = rows != NULL;

    for (int i = 0; good && i < PQntuples(rows); i++) {
        good = add_model(build, workspace, models, rows, i);
    }
    PQclear(rows);
    return json_object_set_new(workspace->document, "models", models) == 0 && good;
}

/* ---- pools and policies --------------------------------------------------- */

/* Members whose key is left out are, too. By the strategy "priority", order is priority. */
static json_t *pool_entry(const document_workspace_t *workspace, const json_t *spec)
{
    const json_t *keys = json_object_get(workspace->document, "provider_keys");
    const char *strategy = json_string_value(json_object_get(spec, "strategy"));
    bool ordered = strategy != NULL && strcmp(strategy, "priority") == 0;
    json_t *members = json_array(), *given;
    size_t i;

    json_array_foreach(json_object_get(spec, "members"), i, given)
    {
        const char *name = document_name_of(workspace, json_object_get(given, "key"));
        json_t *member = keep(given, member_members);
        json_object_set_new(member, "key", json_string(name));
        if (ordered) {
            json_object_set_new(member, "priority", json_integer((json_int_t)i));
        }
        if (json_object_get(keys, name) != NULL) {
            json_array_append(members, member);
        }
        json_decref(member);
    }
    return json_pack("{s:o}", "members", members);
}

static json_t *policy_entry(const document_workspace_t *workspace, const json_t *spec)
{
    json_t *entry = keep(spec, policy_members), *names = json_array(), *pool;
    size_t i;

    json_array_foreach(json_object_get(entry, "pools"), i, pool)
    {
        json_array_append_new(names, json_string(document_name_of(workspace, pool)));
    }
    json_object_set_new(entry, "pools", names);
    return entry;
}

typedef json_t *(*entry_t)(const document_workspace_t *workspace, const json_t *spec);

static bool add_section(document_build_t *build, document_workspace_t *workspace, const char *sql,
                        const char *section, entry_t entry)
{
    PGresult *rows = document_query(build, sql, workspace->id);
    json_t *entries = json_object();
    bool good = rows != NULL;

    for (int i = 0; good && i < PQntuples(rows); i++) {
        json_t *spec = json_loads(PQgetvalue(rows, i, 1), 0, NULL);
        good = spec != NULL &&
               json_object_set_new(entries, PQgetvalue(rows, i, 0), entry(workspace, spec)) == 0;
        json_decref(spec);
    }
    PQclear(rows);
    return json_object_set_new(workspace->document, section, entries) == 0 && good;
}

static bool add_access(document_build_t *build, document_workspace_t *workspace)
{
    return document_provider_keys(build, workspace) &&
           add_section(build, workspace,
                       "SELECT name, spec FROM pool WHERE workspace_id = $1::uuid", "pools",
                       pool_entry) &&
           add_section(build, workspace,
                       "SELECT name, spec FROM policy WHERE workspace_id = $1::uuid", "policies",
                       policy_entry);
}

/* ---- the document --------------------------------------------------------- */

/* As config_head.h: a head is refused whole for the name of one document. */
static bool check_name(document_build_t *build, const char *name)
{
    const char *at = name;
    bool good = true;

    while (good && *at != '\0') {
        size_t len = strcspn(at, "/");
        good = len != 0 && (len > 2 || strspn(at, ".") < len) && strcmp(at + len, "/") != 0;
        at += len + (at[len] == '/');
    }
    return good || document_fail(build, "workspace \"%s\": no document can have this name", name);
}

bool document_workspace(document_build_t *build, const char *id, const char *name)
{
    document_workspace_t workspace = {.id = id,
                                      .name = name,
                                      .names = json_object(),
                                      .document = json_pack("{s:s}", "workspace", name)};
    malloc_arena_t blocks = {NULL};
    relay_arena_t arena = malloc_arena(&blocks);
    char title[RELAY_HEAD_NAME_MAX + 1];
    bool good = check_name(build, name) && read_names(build, &workspace) &&
                add_hosts(build, &workspace) && find_reachable(build, &workspace, &arena) &&
                add_models(build, &workspace) && add_access(build, &workspace);

    snprintf(title, sizeof(title), "workspace/%.160s", name);
    if (good) {
        good = documents_add_json(&build->documents, title, json_incref(workspace.document), false);
    }
    malloc_arena_release(&blocks);
    json_decref(workspace.names);
    json_decref(workspace.document);
    return good || document_fail(build, "workspace/%s: a row cannot be read", name);
}
