/*
 * From what the caller asked for to an ordered list of candidates: a pure
 * function of configuration, relay key, model reference, format and a random
 * number.
 *
 * A model reference is `name`, an alias, `vendor/name` (a model's full name or
 * the name behind the first slash), `name@host`, or several of these separated
 * by commas, tried in order.
 */

#ifndef RELAY_ROUTE_H
#define RELAY_ROUTE_H

#include "config_doc.h"
#include "error.h"

enum { RELAY_CANDIDATES_MAX = 16 };

typedef struct {
    const relay_host_t *host;
    const relay_provider_key_t *key; /* NULL for an echo host */
    const relay_wire_t *wire;        /* the host's: the caller's own, or one to translate into */
    const relay_offer_t *offer;      /* NULL: served by pattern, or an unknown path */
    relay_span_t model;              /* Relay's name for it */
    relay_span_t upstream_model;     /* the host's */
    relay_timeouts_t timeouts;       /* effective: policy over host over default; never 0 */
} relay_candidate_t;

/* The candidates are at the end: a copy needs no more than count of them. */
typedef struct {
    size_t count;
    relay_candidate_t candidates[RELAY_CANDIDATES_MAX];
} relay_plan_t;

/* The defaults under host and policy: 5 s, 120 s, 120 s, 1,800 s. */
extern const relay_timeouts_t relay_timeouts_default;

/*
 * A host that offers the model in the caller's format is asked in that. To
 * GENERATE, any other one that can be translated into is a candidate, too
 * (relay_codec_targets). AUXILIARY operations are for hosts that speak the format
 * as its vendor does, or in a variant that counts tokens (relay_variant_t.counter):
 * others have nothing but generation.
 *
 * RELAY_ERR_NONE and at least one candidate, or MODEL_NOT_FOUND,
 * MODEL_NOT_ALLOWED, FORMAT_UNAVAILABLE, NO_PROVIDER_KEY with *error filled
 * (message in scratch, param "model"). Within one pool, priority orders tiers
 * and weights shuffle each tier (`random` seeds it); the count never exceeds
 * the policy's max_attempts. upstream_model may point into `reference`.
 */
relay_error_code_t relay_route_plan(const relay_config_t *config, const relay_relay_key_t *key,
                                    relay_span_t reference, const relay_wire_t *wire,
                                    relay_operation_t operation, uint64_t random,
                                    relay_plan_t *plan, relay_buf_t *scratch, relay_error_t *error);

/*
 * Candidates for an unknown path of a dialect: hosts marked `passthrough` that
 * speak one of its formats. PATH_NOT_FOUND unless the policy allows it.
 */
relay_error_code_t relay_route_passthrough(const relay_config_t *config,
                                           const relay_relay_key_t *key,
                                           const relay_dialect_t *dialect, uint64_t random,
                                           relay_plan_t *plan, relay_error_t *error);

/*
 * The models that key can reach in any of the dialect's formats, as they are or
 * translated, sorted by name, up to capacity; returns how many there are. Globs of `serves` name no
 * model and are not listed.
 */
size_t relay_route_models(const relay_config_t *config, const relay_relay_key_t *key,
                          const relay_dialect_t *dialect, relay_model_view_t *views,
                          size_t capacity);

#endif
