/*
 * The other names that models go by. Called by config_doc when all models are
 * known.
 *
 * In the same set of documents, own or catalog, every name occurs once. Between
 * the two, the own documents have their way: an alias of the catalog yields to
 * any own name, a model of the catalog yields to an own alias.
 */

#include "config_read.h"
#include "sort.h"

typedef struct {
    relay_span_t name;
    size_t model;             /* index */
    relay_config_node_t node; /* where it stands */
} given_t;

typedef struct {
    given_t *items;
    size_t count;
} given_list_t;

static bool is_catalog(const relay_config_entries_t *models, size_t index)
{
    return models->entries[index].value.source->catalog;
}

static size_t count_aliases(const relay_config_entries_t *models)
{
    relay_config_node_t aliases;
    size_t count = 0;

    for (size_t i = 0; i < models->count; i++) {
        if (relay_config_member(models->entries[i].value, "aliases", &aliases)) {
            count += relay_config_size(aliases);
        }
    }
    return count;
}

static bool gather(relay_config_reader_t *reader, const relay_config_entries_t *models,
                   given_list_t *list)
{
    relay_config_node_t aliases;

    list->count = 0;
    list->items = relay_config_scratch(reader, count_aliases(models), sizeof(list->items[0]));
    for (size_t i = 0; list->items != NULL && i < models->count; i++) {
        relay_config_node_t item = {0};
        if (!relay_config_member(models->entries[i].value, "aliases", &aliases)) {
            continue;
        }
        while (relay_config_next(aliases, &item)) {
            given_t *given = &list->items[list->count++];
            *given = (given_t){.model = i, .node = item};
            if (!relay_config_read_model_name(reader, item, &given->name)) {
                return false;
            }
        }
    }
    return list->items != NULL;
}

static bool refuse_name(relay_config_reader_t *reader, const given_t *given)
{
    char quoted[RELAY_CONFIG_QUOTE_MAX];

    return relay_config_refuse(reader, given->node, "there is a model %s already",
                               relay_config_quote(given->name, quoted));
}

/* ---- models that yield ----------------------------------------------------- */

enum { GONE = 1 };

/* Marks the models of the catalog whose names own aliases take. */
static bool mark_models(relay_config_reader_t *reader, const relay_config_entries_t *models,
                        const given_list_t *list, uint8_t *marks, size_t *gone)
{
    for (size_t i = 0; i < list->count; i++) {
        const given_t *given = &list->items[i];
        const relay_model_t *model = relay_config_find_model(reader->config, given->name);
        size_t index = model != NULL ? (size_t)(model - reader->config->models) : 0;
        if (model == NULL || is_catalog(models, given->model)) {
            continue;
        }
        if (!is_catalog(models, index)) {
            return refuse_name(reader, given);
        }
        *gone += marks[index] != GONE;
        marks[index] = GONE;
    }
    return true;
}

/* Takes marked models out; `model` of the aliases follows, those of marked ones go. */
static bool take_out(relay_config_reader_t *reader, relay_config_t *config,
                     relay_config_entries_t *models, given_list_t *list, const uint8_t *marks)
{
    size_t *places = relay_config_scratch(reader, models->count, sizeof(places[0]));
    size_t kept = 0;

    if (places == NULL) {
        return false;
    }
    for (size_t i = 0; i < models->count; i++) {
        places[i] = kept;
        if (marks[i] != GONE) {
            config->models[kept] = config->models[i];
            models->entries[kept++] = models->entries[i];
        }
    }
    config->nmodels = models->count = kept;
    kept = 0;
    for (size_t i = 0; i < list->count; i++) {
        given_t given = list->items[i];
        if (marks[given.model] != GONE) {
            given.model = places[given.model];
            list->items[kept++] = given;
        }
    }
    list->count = kept;
    return true;
}

static bool yield_models(relay_config_reader_t *reader, relay_config_t *config,
                         relay_config_entries_t *models, given_list_t *list)
{
    uint8_t *marks = relay_config_scratch(reader, models->count, 1);
    size_t gone = 0;

    if (marks == NULL || !mark_models(reader, models, list, marks, &gone)) {
        return false;
    }
    return gone == 0 || take_out(reader, config, models, list, marks);
}

/* ---- aliases that yield ----------------------------------------------------- */

/* Takes out the aliases of the catalog that are names of own models. */
static bool yield_to_models(relay_config_reader_t *reader, const relay_config_entries_t *models,
                            given_list_t *list)
{
    size_t kept = 0;

    for (size_t i = 0; i < list->count; i++) {
        const given_t *given = &list->items[i];
        const relay_model_t *model = relay_config_find_model(reader->config, given->name);
        if (model == NULL) {
            list->items[kept++] = *given;
        } else if (is_catalog(models, (size_t)(model - reader->config->models))) {
            return refuse_name(reader, given);
        }
    }
    list->count = kept;
    return true;
}

/* By name; of equal ones, the catalog's last; of equal ones, by place. */
static int compare_given(const void *left, const void *right)
{
    const given_t *a = left, *b = right;
    int order = relay_config_compare(a->name, b->name);

    if (order == 0) {
        order = a->node.source->catalog - b->node.source->catalog;
    }
    return order != 0 ? order : relay_config_compare_places(a->node, b->node);
}

static bool settle(relay_config_reader_t *reader, relay_config_t *config, const given_list_t *list)
{
    char quoted[RELAY_CONFIG_QUOTE_MAX];

    for (size_t i = 0; i < list->count; i++) {
        const given_t *given = &list->items[i], *before = i != 0 ? given - 1 : NULL;
        bool twice = before != NULL && relay_span_eq(before->name, given->name);
        if (twice && before->node.source->catalog == given->node.source->catalog) {
            return relay_config_refuse(reader, given->node, "the alias %s occurs twice",
                                       relay_config_quote(given->name, quoted));
        }
        if (!twice) {
            config->aliases[config->naliases].name = given->name;
            config->aliases[config->naliases++].model = &config->models[given->model];
        }
    }
    return true;
}

bool relay_config_read_aliases(relay_config_reader_t *reader, relay_config_t *config,
                               relay_config_entries_t *models)
{
    given_list_t list;

    if (!gather(reader, models, &list) || !yield_models(reader, config, models, &list) ||
        !yield_to_models(reader, models, &list)) {
        return false;
    }
    config->aliases = relay_config_alloc(reader, list.count, sizeof(config->aliases[0]));
    if (config->aliases == NULL) {
        return false;
    }
    relay_sort(list.items, list.count, sizeof(list.items[0]), compare_given);
    return settle(reader, config, &list);
}
