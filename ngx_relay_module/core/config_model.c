/*
 * Models of a configuration document: their names, and who offers them. Called
 * by config_doc.
 */

#include "config_read.h"
#include "config_text.h"

/* ---- models --------------------------------------------------------------- */

bool relay_config_read_model_name(relay_config_reader_t *reader, relay_config_node_t at,
                                  relay_span_t *name)
{
    return relay_config_string(reader, at, 0, RELAY_CONFIG_VALUE_MAX, name) &&
           (relay_model_name_ok(*name) ||
            relay_config_refuse(reader, at,
                                "expected a model name: 1 to %d printable ASCII characters "
                                "without spaces, commas, quotes and backslashes",
                                RELAY_MODEL_NAME_MAX));
}

static bool read_upstream_id(relay_config_reader_t *reader, relay_config_node_t value,
                             const relay_config_field_t *field, void *target)
{
    (void)field;
    return relay_config_read_model_name(reader, value, target);
}

static bool read_offer_host(relay_config_reader_t *reader, relay_config_node_t value,
                            const relay_config_field_t *field, void *target)
{
    (void)field;
    return relay_config_host_reference(reader, value, target);
}

static bool read_offer_formats(relay_config_reader_t *reader, relay_config_node_t value,
                               const relay_config_field_t *field, void *target)
{
    (void)field;
    return relay_config_expect(reader, value, RELAY_JSON_ARRAY, "an array of formats") &&
           relay_config_formats(reader, value, target);
}

static bool check_offer_formats(relay_config_reader_t *reader, relay_config_node_t value,
                                const relay_offer_t *offer)
{
    uint32_t foreign = offer->formats & ~offer->host->formats;
    char host[RELAY_CONFIG_QUOTE_MAX], format[RELAY_CONFIG_QUOTE_MAX];
    unsigned i = 0;

    if (foreign == 0) {
        return true;
    }
    while (!(foreign >> i & 1)) {
        i++;
    }
    return relay_config_refuse(reader, value, "the host %s does not speak the format %s",
                               relay_config_quote(offer->host->name, host),
                               relay_config_quote(relay_wire_at(i)->name, format));
}

/* In the catalog, an offer that cannot be used is left with no formats. */
static bool finish_offer(relay_config_reader_t *reader, relay_config_node_t node,
                         const relay_model_t *model, relay_offer_t *offer)
{
    relay_config_node_t value;
    bool chosen = relay_config_member(node, "formats", &value);

    if (offer->host == NULL) {
        offer->formats = 0;
        return relay_config_member(node, "host", &value) ||
               relay_config_refuse(reader, node, "expected \"host\"");
    }
    if (chosen && !node.source->catalog && !check_offer_formats(reader, value, offer)) {
        return false;
    }
    offer->formats = chosen ? offer->formats & offer->host->formats : offer->host->formats;
    offer->upstream_id = offer->upstream_id.len != 0 ? offer->upstream_id : model->name;
    return true;
}

static bool read_offer(relay_config_reader_t *reader, relay_config_node_t node,
                       const relay_model_t *model, relay_offer_t *offer)
{
    static const relay_config_field_t fields[] = {
        {"host", read_offer_host, offsetof(relay_offer_t, host), 0, 0},
        {"id", read_upstream_id, offsetof(relay_offer_t, upstream_id), 0, 0},
        {"formats", read_offer_formats, offsetof(relay_offer_t, formats), 0, 0},
        {"output_tokens", relay_config_read_u64, offsetof(relay_offer_t, output_tokens), 1,
         RELAY_CONFIG_NUMBER_MAX},
        {"reasoning_efforts", relay_config_read_efforts, offsetof(relay_offer_t, efforts), 0, 0},
        {"dialect", relay_config_read_dialect, offsetof(relay_offer_t, traits), 0, 0},
        {"pricing", relay_config_read_aside, 0, 0, 0},
        {"facts", relay_config_read_aside, 0, 0, 0},
    };

    *offer = (relay_offer_t){0};
    return RELAY_CONFIG_OBJECT(reader, node, fields, offer) &&
           finish_offer(reader, node, model, offer);
}

static bool read_offers(relay_config_reader_t *reader, relay_config_node_t value,
                        const relay_config_field_t *field, void *target)
{
    relay_model_t *model = target;
    relay_config_node_t item = {0};
    size_t count;

    (void)field;
    if (!relay_config_expect(reader, value, RELAY_JSON_ARRAY, "an array of offers")) {
        return false;
    }
    count = relay_config_size(value);
    if (count > RELAY_CONFIG_OFFERS_MAX) {
        return relay_config_refuse(reader, value, "more than %d offers", RELAY_CONFIG_OFFERS_MAX);
    }
    model->offers = relay_config_alloc(reader, count, sizeof(model->offers[0]));
    while (model->offers != NULL && relay_config_next(value, &item)) {
        relay_offer_t *offer = &model->offers[model->noffers];
        if (!read_offer(reader, item, model, offer)) {
            return false;
        }
        model->noffers += offer->formats != 0;
    }
    return model->offers != NULL;
}

/* Bounds of a budget for thinking; the target is the model. */
static bool read_budget(relay_config_reader_t *reader, relay_config_node_t value,
                        const relay_config_field_t *field, void *target)
{
    static const relay_config_field_t fields[] = {
        {"min", relay_config_read_u64, offsetof(relay_model_t, budget_min), 0,
         RELAY_CONFIG_NUMBER_MAX},
        {"max", relay_config_read_u64, offsetof(relay_model_t, budget_max), 1,
         RELAY_CONFIG_NUMBER_MAX},
    };
    const relay_model_t *model = target;

    (void)field;
    return RELAY_CONFIG_OBJECT(reader, value, fields, target) &&
           (model->budget_max == 0 || model->budget_min <= model->budget_max ||
            relay_config_refuse(reader, value, "\"min\" is above \"max\""));
}

/* Aliases are gathered when all models are known: see config_alias.c. */
static bool check_aliases(relay_config_reader_t *reader, relay_config_node_t value,
                          const relay_config_field_t *field, void *target)
{
    size_t count = relay_config_type(value) == RELAY_JSON_ARRAY ? relay_config_size(value) : 0;

    (void)field;
    (void)target;
    if (!relay_config_expect(reader, value, RELAY_JSON_ARRAY, "an array of model names")) {
        return false;
    }
    return count <= RELAY_CONFIG_ALIASES_MAX ||
           relay_config_refuse(reader, value, "more than %d aliases", RELAY_CONFIG_ALIASES_MAX);
}

bool relay_config_read_model(relay_config_reader_t *reader, relay_config_node_t node, void *target)
{
    static const relay_config_field_t fields[] = {
        {"display_name", relay_config_read_text, offsetof(relay_model_t, display_name), 1,
         RELAY_CONFIG_TEXT_MAX},
        {"owned_by", relay_config_read_text, offsetof(relay_model_t, owned_by), 1,
         RELAY_CONFIG_TEXT_MAX},
        {"type", relay_config_read_name, offsetof(relay_model_t, type), 0, 0},
        {"created", relay_config_read_u64, offsetof(relay_model_t, created_s), 0,
         RELAY_CONFIG_NUMBER_MAX},
        {"context_tokens", relay_config_read_u64, offsetof(relay_model_t, context_tokens), 1,
         RELAY_CONFIG_NUMBER_MAX},
        {"output_tokens", relay_config_read_u64, offsetof(relay_model_t, output_tokens), 1,
         RELAY_CONFIG_NUMBER_MAX},
        {"refuses", relay_config_read_refuses, offsetof(relay_model_t, refuses), 0, 0},
        {"thinking", relay_config_read_thinking, offsetof(relay_model_t, traits), 0, 0},
        {"reasoning_efforts", relay_config_read_efforts, offsetof(relay_model_t, efforts), 0, 0},
        {"reasoning_budget", read_budget, 0, 0, 0},
        {"aliases", check_aliases, 0, 0, 0},
        {"offers", read_offers, 0, 0, 0},
        {"facts", relay_config_read_aside, 0, 0, 0},
    };
    const relay_model_t *model = target;

    if (!RELAY_CONFIG_OBJECT(reader, node, fields, target)) {
        return false;
    }
    if (node.source->catalog && model->noffers == 0) {
        reader->leave_out = "nobody offers it";
    }
    return true;
}
