/*
 * The whole configuration of a workspace as one document: export, plan, apply.
 * Sections are maps from names to what POST takes, less what is read-only;
 * `host_patches` and `model_patches` are patches on the catalog. What export
 * gives, apply takes without changing anything. Secrets are not exported: a
 * provider key without `value` keeps the one that is there.
 */

#include <stdio.h>
#include <string.h>

#include "overlay.h"
#include "resource_row.h"

extern const resource_t host_resource, model_resource, provider_key_resource, pool_resource,
    policy_resource, relay_key_resource;

/* In the order in which they refer to each other. */
static const struct {
    const char *section;
    const resource_t *resource;
    const char *patches; /* section of patches on the catalog, or NULL */
} sections[] = {
    {"hosts", &host_resource, "host_patches"},
    {"models", &model_resource, "model_patches"},
    {"provider_keys", &provider_key_resource, NULL},
    {"pools", &pool_resource, NULL},
    {"policies", &policy_resource, NULL},
    {"relay_keys", &relay_key_resource, NULL},
};
enum {
    SECTIONS = sizeof(sections) / sizeof(sections[0]),
    POINTER_MAX = sizeof(((problem_t *)0)->faults[0].pointer)
};

static const field_t any_item = {.type = FIELD_ANY, .description = "As POST takes it."};

#define SECTION_FIELD(name_)                                                                       \
    {                                                                                              \
        .name = (name_), .type = FIELD_MAP, .max = 100000, .item = &any_item,                      \
        .description = "By name."                                                                  \
    }

static const field_t fields[] = {
    SECTION_FIELD("hosts"),         SECTION_FIELD("host_patches"),  SECTION_FIELD("models"),
    SECTION_FIELD("model_patches"), SECTION_FIELD("provider_keys"), SECTION_FIELD("pools"),
    SECTION_FIELD("policies"),      SECTION_FIELD("relay_keys"),
};
static const schema_t schema = SCHEMA("Configuration", fields);

static const char *const verbs[] = {"create", "update", "delete", NULL};
static const field_t step_fields[] = {
    {.name = "verb",
     .type = FIELD_TEXT,
     .flags = FIELD_READ_ONLY,
     .values = verbs,
     .description = "What happens to it."},
    {.name = "section",
     .type = FIELD_TEXT,
     .flags = FIELD_READ_ONLY,
     .description = "Where it is."},
    {.name = "name", .type = FIELD_TEXT, .flags = FIELD_READ_ONLY, .description = "Which it is."},
    {.name = "before",
     .type = FIELD_ANY,
     .flags = FIELD_READ_ONLY | FIELD_NULLABLE,
     .description = "What it was."},
    {.name = "after",
     .type = FIELD_ANY,
     .flags = FIELD_READ_ONLY | FIELD_NULLABLE,
     .description = "What it becomes; never a secret."},
};
static const schema_t step_schema = SCHEMA("ConfigurationStep", step_fields);
static const field_t step_item = {
    .type = FIELD_OBJECT, .schema = &step_schema, .description = "One change."};
static const field_t minted_item = {.type = FIELD_TEXT, .description = "The key, shown once."};
static const field_t outcome_fields[] = {
    {.name = "steps",
     .type = FIELD_LIST,
     .flags = FIELD_READ_ONLY,
     .max = 1000000,
     .item = &step_item,
     .description = "All changes, in order."},
    {.name = "minted",
     .type = FIELD_MAP,
     .flags = FIELD_READ_ONLY | FIELD_OPTIONAL_ANSWER,
     .max = 100000,
     .item = &minted_item,
     .description = "Relay keys that were made, by name."},
};
static const schema_t outcome_schema = SCHEMA("ConfigurationOutcome", outcome_fields);

/* ---- export ---- */

static bool export_section(request_t *request, size_t number, json_t *document)
{
    const resource_t *resource = sections[number].resource;
    const char *patches = sections[number].patches;
    json_t *names = resource_names(request, resource), *name;
    size_t i;

    json_array_foreach(names, i, name)
    {
        const char *text = json_string_value(name);
        const char *section = patches != NULL && overlay_is_patch(request, resource, text)
                                  ? patches
                                  : sections[number].section;
        json_t *entries = json_object_get(document, section);

        if (entries == NULL) {
            json_object_set_new(document, section, json_object());
            entries = json_object_get(document, section);
        }
        if (json_object_set_new(entries, text, resource_export(request, resource, text)) != 0)
            problem_set(&request->problem, PROBLEM_INTERNAL, "\"%s\" cannot be exported.", text);
    }
    json_decref(names);
    return request->problem.code == PROBLEM_NONE;
}

static bool export_all(request_t *request, reply_t *reply)
{
    json_t *document = json_object();

    for (size_t i = 0; i < SECTIONS; i++)
        if (!export_section(request, i, document)) {
            json_decref(document);
            return false;
        }
    reply->body = document;
    return true;
}

/* ---- apply ---- */

typedef struct {
    request_t *request;
    reply_t *reply;
    json_t *steps;
    json_t *minted;
} apply_t;

/* A fault in one entry, seen from the whole document. */
static void prefix_faults(problem_t *problem, const char *section, const char *name)
{
    for (size_t i = 0; i < problem->nfaults; i++) {
        char below[POINTER_MAX], pointer[2 * POINTER_MAX], prefix[80];
        snprintf(prefix, sizeof(prefix), "/%s", section);
        pointer_below(below, sizeof(below), prefix, name);
        snprintf(pointer, sizeof(pointer), "%s%s", below, problem->faults[i].pointer);
        snprintf(problem->faults[i].pointer, POINTER_MAX, "%.*s", POINTER_MAX - 1, pointer);
    }
}

static bool add_step(apply_t *apply, const char *verb, const char *section, const char *name,
                     const json_t *before, const json_t *after)
{
    json_t *step = json_pack("{s:s, s:s, s:s, s:O?, s:O?}", "verb", verb, "section", section,
                             "name", name, "before", before, "after", after);

    return json_array_append_new(apply->steps, step) == 0 ||
           problem_set(&apply->request->problem, PROBLEM_INTERNAL, "Out of memory.");
}

/* A value that is given cannot be compared with what is sealed: it counts as new. */
static bool differs(const json_t *before, const json_t *after, const json_t *document)
{
    return before == NULL || json_object_get(document, "value") != NULL ||
           !json_equal((json_t *)before, (json_t *)after);
}

/* The answer to one entry is kept only for what it shows once. */
static void take_reply(apply_t *apply, const char *name, reply_t *one)
{
    json_t *key = json_object_get(one->body, "key");

    if (json_is_string(key))
        json_object_set(apply->minted, name, key);
    apply->reply->changed |= one->changed;
    if (one->revision > apply->reply->revision)
        apply->reply->revision = one->revision;
    apply->reply->shows_secret |= one->shows_secret;
    json_decref(one->body);
}

static bool apply_entry(apply_t *apply, const resource_t *resource, const char *section,
                        const char *name, const json_t *entry)
{
    request_t *request = apply->request;
    json_t *document = json_is_object(entry) ? json_deep_copy(entry) : NULL;
    reply_t one = {.status = 0};
    bool ok;

    if (document == NULL)
        return problem_fault(&request->problem, "", "shall be an object");

    const char *named = json_string_value(json_object_get(document, "name"));
    if (named != NULL && strcmp(named, name) != 0)
        problem_fault(&request->problem, "/name", "differs from the name of the entry");
    json_object_set_new(document, "name", json_string(name));
    ok = schema_check(resource->schema, SCHEMA_CREATE, document, &request->problem);

    json_t *before = ok ? resource_export(request, resource, name) : NULL;
    json_t *after = ok ? resource_normal(resource, document) : NULL;
    if (ok && json_object_get(document, "value") == NULL &&
        json_object_get(document, "value_from") == NULL && before != NULL &&
        json_object_get(before, "value_from") != NULL)
        json_object_set(after, "value_from", json_object_get(before, "value_from"));
    if (ok && differs(before, after, document)) {
        ok = resource_apply(request, resource, document, &one) &&
             add_step(apply, before == NULL ? "create" : "update", section, name, before, after);
        take_reply(apply, name, &one);
    }
    json_decref(before);
    json_decref(after);
    json_decref(document);
    return ok;
}

static bool apply_patch(apply_t *apply, const resource_t *resource, const char *section,
                        const char *name, const json_t *patch)
{
    request_t *request = apply->request;
    json_t *before = resource_export(request, resource, name);
    reply_t one = {.status = 0};
    bool ok = true;

    if (!json_is_object(patch))
        ok = problem_fault(&request->problem, "", "shall be an object");
    else if (before == NULL || !json_equal(before, (json_t *)patch))
        ok = schema_check(resource->schema, SCHEMA_PATCH, patch, &request->problem) &&
             overlay_set_patch(request, resource, name, patch, &one) &&
             add_step(apply, before == NULL ? "create" : "update", section, name, before, patch);
    take_reply(apply, name, &one);
    json_decref(before);
    return ok;
}

/* What the catalog has is changed by patches, which stand elsewhere in the document. */
static bool not_patched(apply_t *apply, size_t number, const char *name)
{
    const char *patches = sections[number].patches;

    return patches == NULL || !overlay_is_patch(apply->request, sections[number].resource, name) ||
           problem_set(&apply->request->problem, PROBLEM_CONFLICT,
                       "The catalog has a %s \"%s\": a patch of it goes into %s.",
                       sections[number].resource->kind, name, patches);
}

static bool apply_section(apply_t *apply, size_t number, bool patches)
{
    const resource_t *resource = sections[number].resource;
    const char *section = patches ? sections[number].patches : sections[number].section;
    json_t *entries = json_object_get(apply->request->body, section), *entry;
    const char *name;

    json_object_foreach(entries, name, entry)
    {
        bool ok = patches ? apply_patch(apply, resource, section, name, entry)
                          : not_patched(apply, number, name) &&
                                apply_entry(apply, resource, section, name, entry);
        if (!ok) {
            prefix_faults(&apply->request->problem, section, name);
            return false;
        }
    }
    return true;
}

/* ---- ?prune=true: what the document does not have goes ---- */

static bool has(const json_t *document, const char *section, const char *name)
{
    return section != NULL && json_object_get(json_object_get(document, section), name) != NULL;
}

static bool prune_one(apply_t *apply, size_t number, const char *name)
{
    request_t *request = apply->request;
    const char *target = request->target, *if_match = request->if_match;
    json_t *before = resource_export(request, sections[number].resource, name);
    const char *section = sections[number].patches != NULL &&
                                  overlay_is_patch(request, sections[number].resource, name)
                              ? sections[number].patches
                              : sections[number].section;
    reply_t one = {.status = 0};

    request->target = name;
    request->if_match = "*";
    bool ok = resource_delete_of(request, sections[number].resource, &one) &&
              add_step(apply, "delete", section, name, before, NULL);
    request->target = target;
    request->if_match = if_match;

    take_reply(apply, name, &one);
    json_decref(before);
    return ok;
}

static bool prune_section(apply_t *apply, size_t number)
{
    json_t *names = resource_names(apply->request, sections[number].resource), *name;
    bool ok = names != NULL;
    size_t i;

    json_array_foreach(names, i, name)
    {
        const char *text = json_string_value(name);
        if (ok && !has(apply->request->body, sections[number].section, text) &&
            !has(apply->request->body, sections[number].patches, text))
            ok = prune_one(apply, number, text);
    }
    json_decref(names);
    return ok;
}

static bool read_prune(request_t *request, bool *prune)
{
    const char *given = request_query(request, "prune");

    *prune = given != NULL && strcmp(given, "true") == 0;
    return given == NULL || *prune || strcmp(given, "false") == 0 ||
           problem_set(&request->problem, PROBLEM_INVALID_REQUEST,
                       "The query parameter prune is true or false.");
}

static bool apply_all(request_t *request, reply_t *reply)
{
    apply_t apply = {request, reply, json_array(), json_object()};
    bool prune, ok = read_prune(request, &prune);

    for (size_t i = 0; ok && i < SECTIONS; i++)
        ok = (sections[i].patches == NULL || apply_section(&apply, i, true)) &&
             apply_section(&apply, i, false);
    for (size_t i = 0; ok && prune && i < SECTIONS; i++)
        ok = prune_section(&apply, SECTIONS - 1 - i);

    if (ok && json_object_size(apply.minted) > 0)
        reply->body = json_pack("{s:O, s:O}", "steps", apply.steps, "minted", apply.minted);
    else if (ok)
        reply->body = json_pack("{s:O}", "steps", apply.steps);
    json_decref(apply.steps);
    json_decref(apply.minted);
    return ok;
}

/* The same, on a transaction that is not committed; a key minted in it will never exist. */
static bool plan_all(request_t *request, reply_t *reply)
{
    bool ok = apply_all(request, reply);

    json_object_del(reply->body, "minted");
    reply->changed = false;
    return ok;
}

#define PATH "/api/v1/workspaces/{workspace}/configuration"

static const char *const queries[] = {"prune", NULL};

static const route_t routes[] = {
    {"GET", PATH, "exportConfiguration", "configuration:read", 0, export_all, NULL, SCHEMA_CREATE,
     &schema, 200, NULL, "The whole configuration as one document", NULL},
    {"POST", PATH ":plan", "planConfiguration", "configuration:write", 0, plan_all, &schema,
     SCHEMA_CREATE, &outcome_schema, 200, queries, "What :apply would change", NULL},
    {"POST", PATH ":apply", "applyConfiguration", "configuration:write", ROUTE_CHANGES, apply_all,
     &schema, SCHEMA_CREATE, &outcome_schema, 200, queries,
     "Make the configuration what the document says", NULL},
};
const route_table_t configuration_routes = {routes, sizeof(routes) / sizeof(routes[0])};
