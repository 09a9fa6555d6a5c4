/* From what configuration knows of an upstream to what a codec is told: see the header. */

#include "candidate_target.h"

#include "codec_support.h"

/* What goes with RELAY_TARGET_NO_SAMPLING. */
#define SAMPLING                                                                                   \
    (RELAY_REFUSED(RELAY_FIELD_TEMPERATURE) | RELAY_REFUSED(RELAY_FIELD_TOP_P) |                   \
     RELAY_REFUSED(RELAY_FIELD_TOP_K))

/* What is said here counts before what was said before. */
static void apply(relay_target_t *target, relay_traits_t traits)
{
    target->flags = (target->flags & ~traits.known) | traits.flags;
}

static relay_traits_t traits_of(const relay_format_traits_t *traits, const relay_wire_t *wire)
{
    uint32_t bit = UINT32_C(1) << wire->index;
    unsigned before = 0;

    if ((traits->formats & bit) == 0) {
        return (relay_traits_t){0, 0};
    }
    for (uint32_t rest = traits->formats & (bit - 1); rest != 0; rest &= rest - 1) {
        before++;
    }
    return traits->items[before];
}

/* Both ways of saying it become both, so that a codec may look at either. */
static void settle_sampling(relay_target_t *target, relay_traits_t offer)
{
    if (offer.known & ~offer.flags & RELAY_TARGET_NO_SAMPLING) {
        target->refused &= ~SAMPLING;
    } else if (target->flags & RELAY_TARGET_NO_SAMPLING) {
        target->refused |= SAMPLING;
    }
}

/* Budgets that efforts stand for, where the model's bounds cut them. */
static void bound_budgets(relay_target_t *target, const relay_model_t *model)
{
    relay_target_t usual = {.flags = 0};

    for (unsigned i = RELAY_EFFORT_MINIMAL; i < RELAY_EFFORTS; i++) {
        uint64_t budget = relay_codec_budget(&usual, (relay_effort_t)i);
        if (model->budget_max != 0 && budget > model->budget_max) {
            target->budget_tokens[i] = model->budget_max;
        } else if (budget < model->budget_min) {
            target->budget_tokens[i] = model->budget_min;
        }
    }
}

static void apply_model(relay_target_t *target, const relay_model_t *model)
{
    apply(target, model->traits);
    target->refused = model->refuses;
    target->efforts = model->efforts;
    target->output_tokens_max = model->output_tokens;
    bound_budgets(target, model);
}

static void apply_offer(relay_target_t *target, const relay_offer_t *offer,
                        const relay_wire_t *wire)
{
    relay_traits_t traits = traits_of(&offer->traits, wire);

    apply_model(target, offer->model);
    apply(target, traits);
    if (offer->efforts != 0) {
        target->efforts = offer->efforts;
    }
    if (offer->output_tokens != 0) {
        target->output_tokens_max = offer->output_tokens;
    }
    settle_sampling(target, traits);
}

relay_target_t relay_target_of(const relay_candidate_t *candidate)
{
    /* Every upstream knows the system role; of the developer's, many say nothing. */
    const relay_variant_t *variant = candidate->host->variants[candidate->wire->index];
    relay_target_t target = {.model = candidate->upstream_model,
                             .flags = RELAY_TARGET_NO_DEVELOPER};

    apply(&target, traits_of(&candidate->host->traits, candidate->wire));
    if (candidate->offer != NULL) {
        apply_offer(&target, candidate->offer, candidate->wire);
    } else {
        settle_sampling(&target, (relay_traits_t){0, 0});
    }
    if (variant != NULL) {
        target.refused |= variant->refuses;
    }
    return target;
}
