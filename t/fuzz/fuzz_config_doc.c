/*
 * Any bytes as configuration: one document, or several with NUL between them;
 * one that begins with the byte 1 is the catalog's. What is accepted is used by every lookup and by
 * routing; what is refused has a fault that can be shown. Run by `make fuzz`.
 */

#include "../../control-plane/malloc_arena.h"
#include "route.h"

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

enum { DOCUMENTS_MAX = 4, TRIED_MAX = 8 };

/* Copies without spare bytes, so that reads past their end are noticed. */
static size_t split(const uint8_t *data, size_t size, relay_document_t documents[DOCUMENTS_MAX])
{
    size_t count = 0;

    while (count < DOCUMENTS_MAX) {
        const uint8_t *end = size != 0 ? memchr(data, 0, size) : NULL;
        size_t length = end != NULL && count + 1 < DOCUMENTS_MAX ? (size_t)(end - data) : size;
        bool catalog = length != 0 && data[0] == 1;
        size_t text = length - catalog;
        uint8_t *copy = malloc(text != 0 ? text : 1);
        CHECK(copy != NULL);
        if (text != 0) {
            memcpy(copy, data + catalog, text);
        }
        documents[count++] = (relay_document_t){RELAY_SPAN("d"), relay_span(copy, text), catalog};
        if (length == size) {
            break;
        }
        data += length + 1;
        size -= length + 1;
    }
    return count;
}

static void check_fault(const relay_config_fault_t *fault, const relay_document_t *documents,
                        size_t count)
{
    size_t longest = 0;

    for (size_t i = 0; i < count; i++) {
        longest = documents[i].text.len > longest ? documents[i].text.len : longest;
    }
    CHECK(fault->line >= 1 && fault->line <= longest + 1);
    CHECK(fault->column >= 1 && fault->column <= longest + 1);
    CHECK(fault->message[0] != '\0');
    CHECK(memchr(fault->message, 0, sizeof(fault->message)) != NULL);
    CHECK(memchr(fault->path, 0, sizeof(fault->path)) != NULL);
    CHECK(relay_utf8_valid(relay_span(fault->path, strlen(fault->path))) == strlen(fault->path));
    CHECK(relay_utf8_valid(relay_span(fault->message, strlen(fault->message))) ==
          strlen(fault->message));
}

/* ---- using what was accepted ------------------------------------------------- */

static size_t first(size_t count)
{
    return count < TRIED_MAX ? count : TRIED_MAX;
}

static void check_plan(const relay_relay_key_t *key, const relay_plan_t *plan)
{
    CHECK(plan->count >= 1 && plan->count <= key->policy->max_attempts);
    for (size_t i = 0; i < plan->count; i++) {
        const relay_candidate_t *candidate = &plan->candidates[i];
        CHECK(candidate->host->formats >> candidate->wire->index & 1);
        CHECK((candidate->key == NULL) == candidate->host->echo);
        CHECK(candidate->timeouts.connect_ms != 0 && candidate->timeouts.total_ms != 0);
    }
}

static void plan_reference(const relay_config_t *config, const relay_relay_key_t *key,
                           relay_span_t reference, unsigned format)
{
    char room[1024];
    relay_buf_t scratch = relay_buf(room, sizeof(room));
    relay_plan_t plan;
    relay_error_t error = {0};

    if (relay_route_plan(config, key, reference, relay_wire_at(format),
                         reference.len & 1 ? RELAY_OP_GENERATE : RELAY_OP_AUXILIARY, reference.len,
                         &plan, &scratch, &error) == RELAY_ERR_NONE) {
        check_plan(key, &plan);
    } else {
        CHECK(plan.count == 0 && error.code != RELAY_ERR_NONE && error.message.len != 0);
    }
}

static void plan_name(const relay_config_t *config, const relay_relay_key_t *key, relay_span_t name)
{
    for (unsigned format = 0; relay_wire_at(format) != NULL; format++) {
        plan_reference(config, key, name, format);
    }
    for (size_t i = 0; i < first(config->nhosts); i++) {
        char room[512];
        relay_buf_t reference = relay_buf(room, sizeof(room));
        RELAY_PUT(&reference, "v/");
        relay_buf_put(&reference, name);
        RELAY_PUT(&reference, "@");
        relay_buf_put(&reference, config->hosts[i].name);
        RELAY_PUT(&reference, ", ");
        relay_buf_put(&reference, name);
        plan_reference(config, key, relay_buf_span(&reference), 0);
    }
}

static void use_key(const relay_config_t *config, const relay_relay_key_t *key)
{
    relay_model_view_t views[TRIED_MAX];
    relay_plan_t plan;
    relay_error_t error;

    CHECK(relay_config_find_key(config, &key->digest) == key);
    for (size_t i = 0; i < first(config->nmodels); i++) {
        plan_name(config, key, config->models[i].name);
    }
    for (size_t i = 0; i < first(config->naliases); i++) {
        plan_name(config, key, config->aliases[i].name);
    }
    for (unsigned i = 0; relay_dialect_at(i) != NULL; i++) {
        CHECK(relay_route_models(config, key, relay_dialect_at(i), views, TRIED_MAX) <=
              config->nmodels);
        if (relay_route_passthrough(config, key, relay_dialect_at(i), i, &plan, &error) ==
            RELAY_ERR_NONE) {
            check_plan(key, &plan);
        }
    }
}

static void check_provider_key(relay_provider_key_t *key)
{
    bool sealed = key->secret_kind == RELAY_SECRET_SEALED;

    CHECK(key->host != NULL && !key->host->echo);
    CHECK(relay_config_name_ok(key->workspace));
    CHECK(sealed == (key->version != 0) && sealed == (key->sealing_key.len != 0));
    CHECK(!sealed || key->secret.len >= RELAY_CONFIG_SEALED_OVERHEAD);
    key->active = key->index % 3 != 2;
}

static void check_host(const relay_host_t *host)
{
    CHECK(host->echo == (host->origin.len == 0));
    for (unsigned i = 0; relay_wire_at(i) != NULL; i++) {
        CHECK(!(host->formats >> i & 1) ||
              (host->paths[i].len != 0 && host->paths[i].base[0] == '/'));
    }
}

static void check_revocations(const relay_config_t *config)
{
    for (size_t i = 0; i < config->nrevocations; i++) {
        const relay_revocation_t *revocation = &config->revocations[i];
        CHECK(relay_config_revoked_before(config, &revocation->digest) == revocation->revision);
        CHECK(revocation->revision != 0);
    }
}

static void check_models(const relay_config_t *config)
{
    for (size_t i = 0; i < config->nmodels; i++) {
        const relay_model_t *model = &config->models[i];
        for (size_t j = 0; j < model->noffers; j++) {
            const relay_offer_t *offer = &model->offers[j];
            CHECK(offer->host == relay_config_find_host(config, offer->host->name));
            CHECK(offer->formats != 0 && (offer->formats & ~offer->host->formats) == 0);
        }
    }
}

static void use(const relay_config_t *config)
{
    for (size_t i = 0; i < config->nprovider_keys; i++) {
        check_provider_key(&config->provider_keys[i]);
    }
    for (size_t i = 0; i < config->npolicies; i++) {
        CHECK(relay_config_find_policy(config, config->policies[i].name) == &config->policies[i]);
    }
    check_revocations(config);
    check_models(config);
    for (size_t i = 0; i < config->nmodels; i++) {
        CHECK(relay_config_find_model(config, config->models[i].name) == &config->models[i]);
    }
    for (size_t i = 0; i < config->naliases; i++) {
        CHECK(relay_config_find_alias(config, config->aliases[i].name) == config->aliases[i].model);
    }
    for (size_t i = 0; i < config->nhosts; i++) {
        CHECK(relay_config_find_host(config, config->hosts[i].name) == &config->hosts[i]);
        CHECK(config->hosts[i].index == i && config->hosts[i].formats != 0);
        check_host(&config->hosts[i]);
    }
    for (size_t i = 0; i < first(config->nrelay_keys); i++) {
        use_key(config, &config->relay_keys[i]);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    relay_document_t documents[DOCUMENTS_MAX];
    size_t count = split(data, size, documents);
    malloc_arena_t blocks = {NULL};
    relay_arena_t arena = malloc_arena(&blocks);
    relay_config_fault_t fault;
    const relay_config_t *config = relay_config_build(&arena, documents, count, &fault);

    if (config == NULL) {
        check_fault(&fault, documents, count);
    }
    for (size_t i = 0; i < count; i++) {
        free((void *)(uintptr_t)documents[i].text.base);
    }
    if (config != NULL) {
        use(config); /* which must not point into the documents */
    }
    malloc_arena_release(&blocks);
    return 0;
}
