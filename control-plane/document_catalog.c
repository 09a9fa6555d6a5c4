/*
 * The catalog's documents: what workers need of it. Facts and prices are for
 * people and for accounting, and most of its bytes. Built once for each version
 * of the catalog. See document.h.
 */

#include "document.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void strip(json_t *entry)
{
    json_t *offer;
    size_t i;

    json_object_del(entry, "facts");
    json_array_foreach(json_object_get(entry, "offers"), i, offer)
    {
        json_object_del(offer, "facts");
        json_object_del(offer, "pricing");
    }
}

static bool add_entry(document_build_t *build, json_t *entries, const char *name,
                      const char *document)
{
    json_t *entry = json_loads(document, 0, NULL);

    if (entry == NULL) {
        return document_fail(build, "the catalog's entry \"%s\" cannot be read", name);
    }
    strip(entry);
    return json_object_set_new(entries, name, entry) == 0 || document_fail(build, "out of memory");
}

static bool add_hosts(document_build_t *build)
{
    PGresult *rows = document_query(build, "SELECT name, document FROM catalog_host", NULL);
    json_t *hosts = json_object();
    bool good = rows != NULL;

    for (int i = 0; good && i < PQntuples(rows); i++) {
        good = add_entry(build, hosts, PQgetvalue(rows, i, 0), PQgetvalue(rows, i, 1));
    }
    PQclear(rows);
    return documents_add_json(&build->source->catalog, "catalog/hosts",
                              json_pack("{s:o}", "hosts", hosts), true) &&
           good;
}

/* `catalog/models/` and what a document's name may have of the vendor's. */
static void vendor_name(const char *vendor, char name[RELAY_HEAD_NAME_MAX + 1])
{
    int len = snprintf(name, RELAY_HEAD_NAME_MAX + 1, "catalog/models/%.128s", vendor);

    for (char *at = name + strlen("catalog/models/"); at < name + len; at++) {
        bool good = (*at >= 'a' && *at <= 'z') || (*at >= 'A' && *at <= 'Z') ||
                    (*at >= '0' && *at <= '9') || *at == '-' || *at == '_';
        *at = good ? *at : '-';
    }
}

/* Models by the name of the document that they go to. */
static json_t *group_models(document_build_t *build, const PGresult *rows)
{
    json_t *groups = json_object();
    char name[RELAY_HEAD_NAME_MAX + 1];
    bool good = groups != NULL;

    for (int i = 0; good && i < PQntuples(rows); i++) {
        json_t *models;
        vendor_name(PQgetvalue(rows, i, 0), name);
        models = json_object_get(groups, name);
        if (models == NULL) {
            models = json_object();
            json_object_set_new(groups, name, models);
        }
        good = add_entry(build, models, PQgetvalue(rows, i, 1), PQgetvalue(rows, i, 2));
    }
    if (!good) {
        json_decref(groups);
        return NULL;
    }
    return groups;
}

static bool add_models(document_build_t *build)
{
    PGresult *rows =
        document_query(build, "SELECT vendor, name, document FROM catalog_model", NULL);
    json_t *groups = rows != NULL ? group_models(build, rows) : NULL, *models;
    bool good = groups != NULL;
    const char *name;

    PQclear(rows);
    json_object_foreach(groups, name, models)
    {
        good = good && documents_add_json(&build->source->catalog, name,
                                          json_pack("{s:O}", "models", models), true);
    }
    json_decref(groups);
    return good;
}

bool document_catalog(document_build_t *build)
{
    document_source_t *source = build->source;
    PGresult *row =
        document_query(build, "SELECT coalesce(catalog_version, 'none') FROM installation", NULL);
    const char *version = row != NULL && PQntuples(row) == 1 ? PQgetvalue(row, 0, 0) : "";
    bool good = true;

    if (version[0] == '\0' || strcmp(version, source->catalog_version) != 0) {
        documents_free(&source->catalog);
        source->catalog_version[0] = '\0';
        good = row != NULL && add_hosts(build) && add_models(build);
    }
    if (good) {
        snprintf(source->catalog_version, sizeof(source->catalog_version), "%s", version);
    }
    PQclear(row);
    return good || document_fail(build, "out of memory");
}
