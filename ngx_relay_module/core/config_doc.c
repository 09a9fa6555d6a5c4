/*
 * Configuration documents as a whole: sections, names, lookups. The values are
 * read by config_host, config_model and config_access. Called by the adapter at
 * start, reload and whenever the store has another configuration, by relayctl,
 * by route.
 */

#include "config_doc.h"
#include "config_read.h"
#include "config_text.h"
#include "sort.h"

/* ---- sections ------------------------------------------------------------- */

typedef enum {
    HOSTS,
    MODELS,
    PROVIDER_KEYS,
    POOLS,
    POLICIES,
    RELAY_KEYS,
    REVOCATIONS,
    SECTIONS
} section_id_t;

/* In the order of reading: a section refers only to those before it. */
static const struct section_s {
    relay_span_t name;
    size_t max; /* entries, all documents together */
    size_t size;
    bool (*read)(relay_config_reader_t *reader, relay_config_node_t node, void *item);
    bool catalog; /* the catalog's documents may have it */
} sections[SECTIONS] = {
    [HOSTS] = {RELAY_SPAN_INIT("hosts"), RELAY_CONFIG_HOSTS_MAX, sizeof(relay_host_t),
               relay_config_read_host, true},
    [MODELS] = {RELAY_SPAN_INIT("models"), RELAY_CONFIG_MODELS_MAX, sizeof(relay_model_t),
                relay_config_read_model, true},
    [PROVIDER_KEYS] = {RELAY_SPAN_INIT("provider_keys"), RELAY_CONFIG_PROVIDER_KEYS_MAX,
                       sizeof(relay_provider_key_t), relay_config_read_provider_key, false},
    [POOLS] = {RELAY_SPAN_INIT("pools"), RELAY_CONFIG_POOLS_MAX, sizeof(relay_pool_t),
               relay_config_read_pool, false},
    [POLICIES] = {RELAY_SPAN_INIT("policies"), RELAY_CONFIG_POLICIES_MAX, sizeof(relay_policy_t),
                  relay_config_read_policy, false},
    [RELAY_KEYS] = {RELAY_SPAN_INIT("relay_keys"), RELAY_CONFIG_RELAY_KEYS_MAX,
                    sizeof(relay_relay_key_t), relay_config_read_relay_key, false},
    [REVOCATIONS] = {RELAY_SPAN_INIT("revocations"), RELAY_CONFIG_REVOCATIONS_MAX,
                     sizeof(relay_revocation_t), NULL, false}, /* its names are digests */
};

typedef relay_config_entry_t entry_t;
typedef relay_config_entries_t entries_t;

static bool refuse_section(relay_config_reader_t *reader, relay_config_node_t at,
                           relay_span_t given)
{
    relay_span_t known[SECTIONS + 1];
    size_t count = 0;

    for (size_t i = 0; i < SECTIONS; i++) {
        if (sections[i].catalog || !at.source->catalog) {
            known[count++] = sections[i].name;
        }
    }
    if (!at.source->catalog) {
        known[count++] = RELAY_SPAN("workspace");
    }
    return relay_config_unknown(reader, at, "section", given,
                                (relay_config_names_t){known, count, sizeof(known[0])});
}

static bool check_section(relay_config_reader_t *reader, relay_config_source_t *source,
                          relay_config_node_t value)
{
    relay_span_t written = relay_config_written(relay_config_key(value));
    relay_span_t name = relay_span(written.base + 1, written.len - 2);
    size_t i = 0;

    if (relay_span_eq(name, RELAY_SPAN("workspace")) && !source->catalog) {
        return relay_config_read_name(reader, value, NULL, &source->workspace);
    }
    while (i < SECTIONS && !relay_span_eq(name, sections[i].name)) {
        i++;
    }
    if (i == SECTIONS || (source->catalog && !sections[i].catalog)) {
        return refuse_section(reader, relay_config_key(value), name);
    }
    return relay_config_expect(reader, value, RELAY_JSON_OBJECT, "an object of named entries");
}

static bool check_sections(relay_config_reader_t *reader, relay_config_source_t *source)
{
    relay_config_node_t top = {source, 0}, value = {0};

    if (!relay_config_expect(reader, top, RELAY_JSON_OBJECT, "an object")) {
        return false;
    }
    while (relay_config_next(top, &value)) {
        if (!check_section(reader, source, value)) {
            return false;
        }
    }
    return true;
}

/* The section of one document; false if it has none. */
static bool find_section(const relay_config_source_t *source, section_id_t id,
                         relay_config_node_t *section)
{
    return relay_config_member((relay_config_node_t){source, 0},
                               (const char *)sections[id].name.base, section);
}

static size_t count_entries(const relay_config_reader_t *reader, section_id_t id)
{
    relay_config_node_t section;
    size_t count = 0;

    for (size_t i = 0; i < reader->nsources; i++) {
        if (find_section(&reader->sources[i], id, &section)) {
            count += relay_config_size(section);
        }
    }
    return count;
}

static bool read_name(relay_config_reader_t *reader, section_id_t id, entry_t *entry)
{
    relay_config_node_t key = relay_config_key(entry->value);

    if (id == MODELS) {
        return relay_config_read_model_name(reader, key, &entry->name);
    }
    return relay_config_string(reader, key, 0, RELAY_CONFIG_VALUE_MAX, &entry->name) &&
           (relay_config_name_ok(entry->name) ||
            relay_config_refuse(reader, key,
                                "expected a name: 1 to %d letters, digits and any of . _ / -",
                                RELAY_CONFIG_NAME_MAX));
}

/* By name; of equal ones, the catalog's last; of equal ones, by place. */
static int compare_entries(const void *left, const void *right)
{
    const entry_t *a = left, *b = right;
    int order = relay_config_compare(a->name, b->name);

    if (order == 0) {
        order = a->value.source->catalog - b->value.source->catalog;
    }
    return order != 0 ? order : relay_config_compare_places(a->value, b->value);
}

static bool refuse_twice(relay_config_reader_t *reader, const entry_t *first, const entry_t *second,
                         const char *what)
{
    const relay_config_source_t *source = first->value.source;
    size_t line, column;

    relay_json_position(source->text, relay_config_token(first->value)->offset, &line, &column);
    return relay_config_refuse(reader, relay_config_key(second->value), "%s: see %.*s, line %zu",
                               what, (int)(source->name.len < 200 ? source->name.len : 200),
                               (const char *)source->name.base, line);
}

/* Names twice are refused, but an entry of the catalog gives way to another one. */
static bool settle_names(relay_config_reader_t *reader, entries_t *list)
{
    entry_t before = {0};
    size_t kept = 0;

    for (size_t i = 0; i < list->count; i++) {
        entry_t entry = list->entries[i];
        bool twice = i != 0 && relay_span_eq(before.name, entry.name);
        if (twice && before.value.source->catalog == entry.value.source->catalog) {
            return refuse_twice(reader, &before, &entry, "this name occurs twice");
        }
        if (!twice) {
            list->entries[kept++] = entry;
        }
        before = entry;
    }
    list->count = kept;
    return true;
}

static bool gather_document(relay_config_reader_t *reader, section_id_t id,
                            const relay_config_source_t *source, entries_t *list)
{
    relay_config_node_t section, value = {0};

    if (!find_section(source, id, &section)) {
        return true;
    }
    while (relay_config_next(section, &value)) {
        entry_t *entry = &list->entries[list->count];
        if (list->count == sections[id].max) {
            return relay_config_refuse(reader, relay_config_key(value), "more than %zu entries",
                                       sections[id].max);
        }
        entry->value = value;
        if (!read_name(reader, id, entry)) {
            return false;
        }
        list->count++;
    }
    return true;
}

static bool gather(relay_config_reader_t *reader, section_id_t id, entries_t *list)
{
    size_t count = count_entries(reader, id);

    count = count < sections[id].max ? count : sections[id].max;
    list->entries = relay_config_scratch(reader, count, sizeof(list->entries[0]));
    list->count = 0;
    for (size_t i = 0; list->entries != NULL && i < reader->nsources; i++) {
        if (!gather_document(reader, id, &reader->sources[i], list)) {
            return false;
        }
    }
    if (list->entries == NULL) {
        return false;
    }
    relay_sort(list->entries, list->count, sizeof(list->entries[0]), compare_entries);
    return settle_names(reader, list);
}

/* Remembers a host of the catalog that was left out. */
static bool note_absent(relay_config_reader_t *reader, const entries_t *list, relay_span_t name)
{
    if (reader->absent == NULL) {
        reader->absent = relay_config_scratch(reader, list->count, sizeof(reader->absent[0]));
    }
    if (reader->absent == NULL) {
        return false;
    }
    reader->absent[reader->nabsent++] = (relay_config_absent_t){name, reader->leave_out};
    return true;
}

/*
 * The entries of a section as an array of its structures, sorted by name, each
 * with its name first. Those that are left out leave the list, too.
 */
static bool read_entries(relay_config_reader_t *reader, section_id_t id, entries_t *list,
                         void *items)
{
    size_t kept = 0;

    for (size_t i = 0; i < list->count; i++) {
        uint8_t *item = (uint8_t *)items + kept * sections[id].size;
        relay_span_t name = list->entries[i].name;
        reader->leave_out = NULL;
        *(relay_span_t *)(void *)item = name;
        if (!sections[id].read(reader, list->entries[i].value, item)) {
            return false;
        }
        if (reader->leave_out == NULL) {
            list->entries[kept++] = list->entries[i];
            continue;
        }
        memset(item, 0, sections[id].size);
        if (id == HOSTS && !note_absent(reader, list, name)) {
            return false;
        }
    }
    list->count = kept;
    return true;
}

/* Reads a section into config->FIELD; its entries stay in list. */
#define READ_SECTION(reader, config, id, field, list)                                              \
    (gather((reader), (id), (list)) &&                                                             \
     ((config)->field = relay_config_alloc((reader), (list)->count, sections[id].size)) != NULL && \
     read_entries((reader), (id), (list), (config)->field) &&                                      \
     ((config)->n##field = (list)->count, true))

/* ---- echo hosts ----------------------------------------------------------- */

static bool list_echo_hosts(relay_config_reader_t *reader, relay_config_t *config)
{
    size_t count = 0;

    for (size_t i = 0; i < config->nhosts; i++) {
        count += config->hosts[i].echo;
    }
    config->echo_hosts = relay_config_alloc(reader, count, sizeof(config->echo_hosts[0]));
    for (size_t i = 0; config->echo_hosts != NULL && i < config->nhosts; i++) {
        if (config->hosts[i].echo) {
            config->echo_hosts[config->necho_hosts++] = &config->hosts[i];
        }
    }
    return config->echo_hosts != NULL;
}

/* ---- relay keys ----------------------------------------------------------- */

static int compare_keys(const void *left, const void *right)
{
    const relay_relay_key_t *a = left, *b = right;

    return memcmp(a->digest.bytes, b->digest.bytes, RELAY_DIGEST_LEN);
}

static const entry_t *entry_of(const entries_t *list, relay_span_t name)
{
    return relay_config_lookup(
        (relay_config_names_t){list->entries, list->count, sizeof(list->entries[0])}, name);
}

/* The later one is the one to complain about, whatever the order of the names. */
static bool refuse_same_key(relay_config_reader_t *reader, const entry_t *a, const entry_t *b)
{
    bool in_order = relay_config_compare_places(a->value, b->value) < 0;

    return refuse_twice(reader, in_order ? a : b, in_order ? b : a,
                        "the same key has another name");
}

static bool sort_keys(relay_config_reader_t *reader, relay_config_t *config, const entries_t *list)
{
    relay_relay_key_t *keys = config->relay_keys;

    relay_sort(keys, config->nrelay_keys, sizeof(keys[0]), compare_keys);
    for (size_t i = 1; i < config->nrelay_keys; i++) {
        if (relay_digest_eq(&keys[i - 1].digest, &keys[i].digest)) {
            return refuse_same_key(reader, entry_of(list, keys[i - 1].name),
                                   entry_of(list, keys[i].name));
        }
    }
    return true;
}

/* ---- revocations ---------------------------------------------------------- */

/* By digest; of equal ones, the highest revision first. */
static int compare_revocations(const void *left, const void *right)
{
    const relay_revocation_t *a = left, *b = right;
    int order = memcmp(a->digest.bytes, b->digest.bytes, RELAY_DIGEST_LEN);

    return order != 0 ? order : (a->revision < b->revision) - (a->revision > b->revision);
}

/* What a document has of them, and how far it was read. */
typedef struct {
    relay_config_node_t section, value;
    relay_revocation_t next;
} run_t;

/* Merges runs by digest: a heap of those that are not at their end, the least on top. */
typedef struct {
    relay_config_reader_t *reader;
    run_t **heap;
    size_t count;
} merge_t;

static void sink_run(merge_t *merge, size_t root)
{
    run_t **heap = merge->heap, *run = heap[root];

    for (size_t child = 2 * root + 1; child < merge->count; child = 2 * root + 1) {
        if (child + 1 < merge->count &&
            compare_revocations(&heap[child + 1]->next, &heap[child]->next) < 0) {
            child++;
        }
        if (compare_revocations(&run->next, &heap[child]->next) <= 0) {
            break;
        }
        heap[root] = heap[child];
        root = child;
    }
    heap[root] = run;
}

/* The run's next one into run->next; *more is false at its end. */
static bool read_revocation(relay_config_reader_t *reader, run_t *run, bool *more)
{
    *more = relay_config_next(run->section, &run->value);
    return !*more || (relay_config_read_digest(reader, relay_config_key(run->value), NULL,
                                               &run->next.digest) &&
                      relay_config_number(reader, run->value, 1, RELAY_CONFIG_NUMBER_MAX,
                                          &run->next.revision));
}

/* All documents at their first one. */
static bool begin_merge(merge_t *merge)
{
    relay_config_reader_t *reader = merge->reader;
    run_t *runs = relay_config_scratch(reader, reader->nsources, sizeof(runs[0]));
    bool more;

    if (runs == NULL) {
        return false;
    }
    merge->heap = relay_config_scratch(reader, reader->nsources, sizeof(merge->heap[0]));
    for (size_t i = 0; merge->heap != NULL && i < reader->nsources; i++) {
        runs[i].value = (relay_config_node_t){0};
        if (!find_section(&reader->sources[i], REVOCATIONS, &runs[i].section)) {
            continue;
        }
        if (!read_revocation(reader, &runs[i], &more)) {
            return false;
        }
        if (more) {
            merge->heap[merge->count++] = &runs[i];
        }
    }
    for (size_t root = merge->count / 2; root-- > 0;) {
        sink_run(merge, root);
    }
    return merge->heap != NULL;
}

/* Takes the least. */
static bool take_revocation(merge_t *merge, relay_config_t *config, bool *sorted)
{
    relay_revocation_t *list = config->revocations;
    run_t *run = merge->heap[0];
    size_t count = config->nrevocations;
    bool more;

    if (count == RELAY_CONFIG_REVOCATIONS_MAX) {
        return relay_config_refuse(merge->reader, relay_config_key(run->value),
                                   "more than %d entries", RELAY_CONFIG_REVOCATIONS_MAX);
    }
    list[config->nrevocations++] = run->next;
    *sorted = *sorted && (count == 0 || compare_revocations(&list[count - 1], &run->next) <= 0);
    if (!read_revocation(merge->reader, run, &more)) {
        return false;
    }
    if (!more) {
        merge->heap[0] = merge->heap[--merge->count];
    }
    if (merge->count != 0) {
        sink_run(merge, 0);
    }
    return true;
}

/* Of equal digests, the first stays. */
static void drop_repeated(relay_config_t *config)
{
    relay_revocation_t *list = config->revocations;
    size_t kept = 0;

    for (size_t i = 0; i < config->nrevocations; i++) {
        if (kept == 0 ||
            memcmp(&list[kept - 1].digest, &list[i].digest, sizeof(list[i].digest)) != 0) {
            list[kept++] = list[i];
        }
    }
    config->nrevocations = kept;
}

/* Documents are sorted as a rule, and merging them costs a third of sorting all. */
static bool read_revocations(relay_config_reader_t *reader, relay_config_t *config)
{
    size_t count = count_entries(reader, REVOCATIONS);
    merge_t merge = {.reader = reader};
    bool sorted = true;

    count = count < RELAY_CONFIG_REVOCATIONS_MAX ? count : RELAY_CONFIG_REVOCATIONS_MAX;
    config->revocations = relay_config_alloc(reader, count, sizeof(config->revocations[0]));
    if (config->revocations == NULL || !begin_merge(&merge)) {
        return false;
    }
    while (merge.count != 0) {
        if (!take_revocation(&merge, config, &sorted)) {
            return false;
        }
    }
    if (!sorted) {
        relay_sort(config->revocations, config->nrevocations, sizeof(config->revocations[0]),
                   compare_revocations);
    }
    drop_repeated(config);
    return true;
}

/* ---- the whole ------------------------------------------------------------ */

/* Models have their places for good now. */
static void link_offers(relay_config_t *config)
{
    for (size_t i = 0; i < config->nmodels; i++) {
        relay_model_t *model = &config->models[i];
        for (size_t j = 0; j < model->noffers; j++) {
            model->offers[j].model = model;
        }
    }
}

static bool open_documents(relay_config_reader_t *reader, const relay_document_t *documents,
                           size_t count)
{
    reader->sources = relay_config_scratch(reader, count, sizeof(reader->sources[0]));
    if (reader->sources == NULL) {
        return false;
    }
    for (; reader->nsources < count; reader->nsources++) {
        relay_config_source_t *source = &reader->sources[reader->nsources];
        if (!relay_config_open(reader, &documents[reader->nsources], source) ||
            !check_sections(reader, source)) {
            return false;
        }
    }
    return true;
}

static bool build(relay_config_reader_t *reader, relay_config_t *config)
{
    entries_t list, models;

    if (!READ_SECTION(reader, config, HOSTS, hosts, &list) || !list_echo_hosts(reader, config) ||
        !READ_SECTION(reader, config, MODELS, models, &models) ||
        !relay_config_read_aliases(reader, config, &models) ||
        !READ_SECTION(reader, config, PROVIDER_KEYS, provider_keys, &list)) {
        return false;
    }
    link_offers(config);
    reader->marks = relay_config_scratch(reader, config->nprovider_keys, sizeof(reader->marks[0]));
    return reader->marks != NULL && READ_SECTION(reader, config, POOLS, pools, &list) &&
           READ_SECTION(reader, config, POLICIES, policies, &list) &&
           READ_SECTION(reader, config, RELAY_KEYS, relay_keys, &list) &&
           sort_keys(reader, config, &list) && read_revocations(reader, config);
}

const relay_config_t *relay_config_build(const relay_arena_t *arena,
                                         const relay_document_t *documents, size_t count,
                                         relay_config_fault_t *fault)
{
    relay_config_reader_t reader = {.arena = arena, .scratch = arena, .fault = fault};
    relay_config_t *config = relay_config_alloc(&reader, 1, sizeof(*config));

    if (config == NULL) {
        return NULL;
    }
    reader.config = config;
    if (count > RELAY_CONFIG_DOCUMENTS_MAX) {
        relay_config_source_t extra = {.name = documents[RELAY_CONFIG_DOCUMENTS_MAX].name};
        relay_config_refuse_offset(&reader, &extra, 0, "too many documents");
        return NULL;
    }
    return open_documents(&reader, documents, count) && build(&reader, config) ? config : NULL;
}

/* ---- lookups -------------------------------------------------------------- */

/* Bytes i to i + 8 as a number: written out, compilers make one load of it. */
static uint64_t word(const relay_digest_t *digest, size_t i)
{
    const uint8_t *at = digest->bytes + i;

    return (uint64_t)at[0] << 56 | (uint64_t)at[1] << 48 | (uint64_t)at[2] << 40 |
           (uint64_t)at[3] << 32 | (uint64_t)at[4] << 24 | (uint64_t)at[5] << 16 |
           (uint64_t)at[6] << 8 | (uint64_t)at[7];
}

/* 1 if a <= b, else 0, in the same time whatever their bytes: b - a does not borrow. */
static size_t not_above(const relay_digest_t *a, const relay_digest_t *b)
{
    uint64_t borrow = 0;

    for (size_t i = RELAY_DIGEST_LEN; i > 0; i -= 8) {
        uint64_t x = word(b, i - 8), y = word(a, i - 8);
        uint64_t rest = x - y - borrow;

        borrow = ((~x & y) | ((~x | y) & rest)) >> 63;
    }
    return (size_t)(borrow ^ 1);
}

/* The number of steps depends on the number of keys alone. */
const relay_relay_key_t *relay_config_find_key(const relay_config_t *config,
                                               const relay_digest_t *digest)
{
    const relay_relay_key_t *keys = config->relay_keys;
    size_t base = 0;

    if (config->nrelay_keys == 0) {
        return NULL;
    }
    for (size_t left = config->nrelay_keys; left > 1;) {
        size_t half = left / 2;
        base += half * not_above(&keys[base + half].digest, digest);
        left -= half;
    }
    return relay_digest_eq(&keys[base].digest, digest) ? &keys[base] : NULL;
}

const relay_model_t *relay_config_find_model(const relay_config_t *config, relay_span_t name)
{
    return relay_config_lookup(
        (relay_config_names_t){config->models, config->nmodels, sizeof(config->models[0])}, name);
}

const relay_model_t *relay_config_find_alias(const relay_config_t *config, relay_span_t name)
{
    const struct relay_alias_s *alias = relay_config_lookup(
        (relay_config_names_t){config->aliases, config->naliases, sizeof(config->aliases[0])},
        name);

    return alias != NULL ? alias->model : NULL;
}

const relay_host_t *relay_config_find_host(const relay_config_t *config, relay_span_t name)
{
    return relay_config_lookup(
        (relay_config_names_t){config->hosts, config->nhosts, sizeof(config->hosts[0])}, name);
}

const relay_policy_t *relay_config_find_policy(const relay_config_t *config, relay_span_t name)
{
    return relay_config_lookup(
        (relay_config_names_t){config->policies, config->npolicies, sizeof(config->policies[0])},
        name);
}

uint64_t relay_config_revoked_before(const relay_config_t *config, const relay_digest_t *digest)
{
    size_t low = 0, high = config->nrevocations;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const relay_revocation_t *revocation = &config->revocations[middle];
        int order = memcmp(digest->bytes, revocation->digest.bytes, RELAY_DIGEST_LEN);
        if (order == 0) {
            return revocation->revision;
        }
        low = order > 0 ? middle + 1 : low;
        high = order > 0 ? high : middle;
    }
    return 0;
}
