/*
 * Provider keys in a workspace's document: opened, and sealed again for the
 * data plane. A key that cannot be used is left out, and said to be: one
 * that does not open must not stop all others. See document.h.
 */

#include "document.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "access_token.h"
#include "json_scan.h"
#include "last_value.h"
#include "log.h"

enum { WHY_MAX = 256, ORIGIN_MAX = 384, SCOPE_MAX = 2048 };

/* A row, and what is known of it. */
typedef struct {
    const char *id;
    const char *name;
    const char *sealed; /* NULL: there is none */
    const char *last;   /* of a reference; NULL: there is none */
    const char *origin; /* what it is sealed for; NULL: not said */
    const char *version;
    json_t *spec;
    const relay_host_t *host;
    char host_origin[ORIGIN_MAX];
} provider_key_t;

enum { ROW_ID = 0, ROW_NAME, ROW_SPEC, ROW_SEALED, ROW_ORIGIN, ROW_VERSION, ROW_LAST };

static const char *text_at(const PGresult *rows, int index, int column)
{
    return PQgetisnull(rows, index, column) ? NULL : PQgetvalue(rows, index, column);
}

/* ---- whether it can be used ----------------------------------------------- */

static bool no(char why[WHY_MAX], const char *text)
{
    snprintf(why, WHY_MAX, "%s", text);
    return false;
}

static bool find_host(const document_workspace_t *workspace, provider_key_t *key, char why[WHY_MAX])
{
    const char *name = document_name_of(workspace, json_object_get(key->spec, "host"));

    key->host = document_host(workspace, name);
    if (key->host == NULL) {
        snprintf(why, WHY_MAX, "its host \"%.64s\" is none that this version can reach", name);
        return false;
    }
    if (key->host->echo) {
        return no(why, "its host is the built-in model, which takes no key");
    }
    snprintf(key->host_origin, sizeof(key->host_origin), "%.*s", (int)key->host->origin.len,
             (const char *)key->host->origin.base);
    if (key->origin != NULL && strcmp(key->origin, key->host_origin) != 0) {
        snprintf(why, WHY_MAX, "it was given for %.96s, and its host is at %.96s now", key->origin,
                 key->host_origin);
        return false;
    }
    return true;
}

/* What relayd cannot read now stays what it was when it was read last. */
static bool open_reference(document_build_t *build, const document_workspace_t *workspace,
                           const provider_key_t *key, const char *reference, secret_t *secret,
                           char why[WHY_MAX])
{
    last_value_t last = {workspace->id, key->id, reference,
                         key->origin != NULL ? key->origin : key->host_origin, key->last};

    last_value_adopt(build->source->secrets, build->session, &last);
    switch (reference_kept(reference, secret, why, WHY_MAX)) {
    case REFERENCE_READ:
        if (build->publishing &&
            !last_value_keep(build->source->secrets, build->session, &last, secret)) {
            return document_fail(build, "the value of a reference cannot be kept");
        }
        return true;
    case REFERENCE_STALE:
        return true;
    case REFERENCE_AWAY:
        build->unresolved++;
        return false;
    case REFERENCE_GONE:
        return build->publishing && !last_value_drop(build->session, &last)
                   ? document_fail(build, "the value of a reference cannot be given up")
                   : false;
    }
    return false;
}

static bool open_value(document_build_t *build, const document_workspace_t *workspace,
                       const provider_key_t *key, secret_t *secret, char why[WHY_MAX])
{
    const char *reference = json_string_value(json_object_get(key->spec, "value_from"));
    secret_place_t place = {workspace->id, key->id, key->version,
                            key->origin != NULL ? key->origin : key->host_origin};

    if (reference != NULL) {
        return open_reference(build, workspace, key, reference, secret, why);
    }
    if (key->sealed == NULL) {
        return no(why, "it has no value");
    }
    if (secret_open(build->source->secrets, build->session, &place, key->sealed, secret)) {
        return true;
    }
    log_event(LOG_ERROR, "a provider key does not open", "workspace", workspace->name,
              "provider_key", key->name, NULL);
    return no(why, "its value does not open with the keys that relayd has");
}

/* ---- access tokens -------------------------------------------------------- */

/* The catalog's hosts.NAME.auth.scope; "": there is none. */
static void catalog_scope(const document_build_t *build, const char *name,
                          char scope[SCOPE_MAX + 1])
{
    const document_t *catalog = &build->source->catalog.items[0];
    const relay_span_t path[] = {RELAY_SPAN("hosts"), relay_span(name, strlen(name)),
                                 RELAY_SPAN("auth"), RELAY_SPAN("scope")};
    relay_json_value_t value = {RELAY_JSON_OBJECT, relay_span(catalog->text, catalog->len)};
    relay_buf_t out = relay_buf(scope, SCOPE_MAX);
    bool found = true;

    for (size_t i = 0; found && i < sizeof(path) / sizeof(path[0]); i++) {
        found = relay_json_members(value.text, &path[i], 1, &value);
    }
    found = found && relay_json_decode(value, &out) && relay_buf_ok(&out);
    scope[found ? out.len : 0] = '\0';
}

/* scope: room for what it points to. */
static access_host_t host_access(const document_build_t *build,
                                 const document_workspace_t *workspace, const provider_key_t *key,
                                 char scope[SCOPE_MAX + 1])
{
    const char *name = document_name_of(workspace, json_object_get(key->spec, "host"));
    const json_t *own = json_object_get(json_object_get(workspace->document, "hosts"), name);

    if (own != NULL) {
        access_host_t host = access_host_of(own);
        host.workspace_id = workspace->id;
        return host;
    }
    catalog_scope(build, name, scope);
    return (access_host_t){.workspace_id = workspace->id,
                           .wanted = key->host->auth_type == RELAY_AUTH_OAUTH,
                           .local = key->host->local,
                           .scope = scope};
}

/* What workers shall have of it: a service account stays here. */
static bool make_token(document_build_t *build, const document_workspace_t *workspace,
                       const provider_key_t *key, secret_t *secret, char why[WHY_MAX])
{
    char scope[SCOPE_MAX + 1];
    access_host_t host = host_access(build, workspace, key, scope);
    access_store_t store = {build->source->secrets, build->session, build->publishing};

    if ((secret->len == 0 && !host.wanted) ||
        access_token_publish(&host, &store, secret, why, WHY_MAX)) {
        return true;
    }
    build->unresolved += host.wanted;
    return false;
}

/* ---- its entry ------------------------------------------------------------ */

static json_t *sealed_entry(document_build_t *build, const document_workspace_t *workspace,
                            const provider_key_t *key, const secret_t *secret)
{
    char *sealed = secret_seal_for_dataplane(build->source->secrets, workspace->name, key->name,
                                             key->version, key->host_origin, secret);
    json_t *entry = sealed == NULL ? NULL
                                   : json_pack("{s:s%, s:s, s:I}", "host", key->host->name.base,
                                               key->host->name.len, "sealed", sealed, "version",
                                               (json_int_t)strtoll(key->version, NULL, 10));

    free(sealed);
    return entry;
}

/* An empty value is no secret: the host needs none. */
static json_t *entry_of(document_build_t *build, const document_workspace_t *workspace,
                        const provider_key_t *key, char why[WHY_MAX])
{
    secret_t secret = {NULL, 0};
    json_t *entry = NULL;

    if (!open_value(build, workspace, key, &secret, why) ||
        !make_token(build, workspace, key, &secret, why)) {
        secret_free(&secret);
        return NULL;
    }
    entry = secret.len != 0 ? sealed_entry(build, workspace, key, &secret)
                            : json_pack("{s:s%, s:s}", "host", key->host->name.base,
                                        key->host->name.len, "value", "");
    secret_free(&secret);
    if (entry == NULL) {
        no(why, "it cannot be sealed for the workers");
    }
    return entry;
}

static bool add_key(document_build_t *build, const document_workspace_t *workspace, json_t *keys,
                    provider_key_t *key)
{
    char why[WHY_MAX] = "";
    json_t *entry = NULL;

    if (json_is_true(json_object_get(key->spec, "disabled"))) {
        no(why, DOCUMENT_KEY_DISABLED);
    } else if (find_host(workspace, key, why)) {
        entry = entry_of(build, workspace, key, why);
    }
    if (entry != NULL) {
        return json_object_set_new(keys, key->name, entry) == 0;
    }
    document_leave_out(build, workspace->name, "provider_key", key->name, why);
    return build->why[0] == '\0';
}

static bool add_row(document_build_t *build, const document_workspace_t *workspace, json_t *keys,
                    const PGresult *rows, int index)
{
    provider_key_t key = {.id = PQgetvalue(rows, index, ROW_ID),
                          .name = PQgetvalue(rows, index, ROW_NAME),
                          .sealed = text_at(rows, index, ROW_SEALED),
                          .origin = text_at(rows, index, ROW_ORIGIN),
                          .version = PQgetvalue(rows, index, ROW_VERSION),
                          .last = text_at(rows, index, ROW_LAST),
                          .spec = json_loads(PQgetvalue(rows, index, ROW_SPEC), 0, NULL)};
    bool good = key.spec != NULL && add_key(build, workspace, keys, &key);

    json_decref(key.spec);
    return good;
}

bool document_provider_keys(document_build_t *build, document_workspace_t *workspace)
{
    PGresult *rows = document_query(build,
                                    "SELECT id, name, spec, sealed, origin, secret_version,"
                                    " last_sealed FROM provider_key WHERE workspace_id = $1::uuid",
                                    workspace->id);
    json_t *keys = json_object();
    bool good = rows != NULL;

    for (int i = 0; good && i < PQntuples(rows); i++) {
        good = add_row(build, workspace, keys, rows, i);
    }
    PQclear(rows);
    return json_object_set_new(workspace->document, "provider_keys", keys) == 0 && good;
}
