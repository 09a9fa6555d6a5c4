/*
 * From a model reference to an ordered list of candidates: see route.h. Called
 * by the adapter for every request, before anything is sent.
 *
 *   reference "a,b@h"  ->  targets "a", "b" at h    what is meant
 *   target             ->  choices                  pool members that offer it
 *   choices            ->  candidates               by priority, shuffled by weight
 */

#include "route.h"

#include "translate.h"

const relay_timeouts_t relay_timeouts_default = {
    .connect_ms = 5000, .first_token_ms = 120000, .idle_ms = 120000, .total_ms = 1800000};

/* What one reference means. */
typedef struct {
    relay_span_t given;         /* as the caller wrote it */
    relay_span_t asked;         /* the same without @host */
    relay_span_t name;          /* Relay's name for it: the model's, else as asked */
    const relay_model_t *model; /* NULL: only patterns may know the name */
    const relay_host_t *only;   /* NULL: any host */
    bool by_pattern;            /* offered through `serves`, not by entries */
} target_t;

/* How a host serves a target. */
typedef struct {
    const relay_wire_t *wire;   /* NULL: it does not */
    const relay_offer_t *offer; /* NULL: by pattern */
    relay_span_t upstream_model;
} served_t;

/* A pool member that can be tried. */
typedef struct {
    const relay_pool_member_t *member;
    served_t served;
} choice_t;

typedef struct {
    const relay_config_t *config;
    const relay_relay_key_t *key;
    const relay_policy_t *policy;
    const relay_wire_t *wire; /* NULL for an unknown path of a dialect */
    const relay_dialect_t *dialect;
    uint32_t targets; /* formats that the request can be translated into */
    bool auxiliary;   /* no generation: not for hosts that have nothing else */
    uint64_t random;
    relay_plan_t *plan;
    size_t limit; /* of candidates */
} planner_t;

/* ---- what a reference means ----------------------------------------------- */

static const relay_model_t *find_known(const relay_config_t *config, relay_span_t name)
{
    const relay_model_t *model = relay_config_find_model(config, name);

    return model != NULL ? model : relay_config_find_alias(config, name);
}

/* The text behind the first slash; empty if there is none. */
static relay_span_t behind_vendor(relay_span_t name)
{
    const uint8_t *slash = name.len != 0 ? memchr(name.base, '/', name.len) : NULL;

    return slash != NULL ? relay_span_from(name, (size_t)(slash - name.base) + 1)
                         : relay_span(NULL, 0);
}

/* The host behind the last @, or NULL; *name is then what stands before it. */
static const relay_host_t *take_host(const relay_config_t *config, relay_span_t *name)
{
    size_t at = name->len;
    const relay_host_t *host;

    while (at > 0 && name->base[at - 1] != '@') {
        at--;
    }
    host = at > 0 ? relay_config_find_host(config, relay_span_from(*name, at)) : NULL;
    if (host != NULL) {
        name->len = at - 1;
    }
    return host;
}

static bool has_offer(const relay_model_t *model, const relay_host_t *host)
{
    for (size_t i = 0; i < model->noffers; i++) {
        if (host == NULL || model->offers[i].host == host) {
            return true;
        }
    }
    return false;
}

static target_t resolve(const relay_config_t *config, relay_span_t given)
{
    target_t target = {.given = given, .asked = given, .model = find_known(config, given)};

    if (target.model == NULL) {
        target.only = take_host(config, &target.asked);
        target.model = target.only != NULL ? find_known(config, target.asked) : NULL;
    }
    if (target.model == NULL) {
        target.model = find_known(config, behind_vendor(target.asked));
    }
    target.name = target.model != NULL ? target.model->name : target.asked;
    target.by_pattern = target.model == NULL || !has_offer(target.model, target.only);
    return target;
}

/* ---- where it is offered -------------------------------------------------- */

/* The name under which host serves the target by pattern; empty if it does not. */
static relay_span_t served_as(const relay_host_t *host, const target_t *target)
{
    const relay_globs_t *globs = &host->serves;

    if (target->only == NULL) {
        return relay_globs_match(globs, target->name) ? target->name : relay_span(NULL, 0);
    }
    if (relay_globs_match(globs, target->asked)) {
        return target->asked;
    }
    if (relay_globs_match(globs, target->name)) {
        return target->name;
    }
    return relay_globs_match(globs, target->given) ? target->asked : relay_span(NULL, 0);
}

/*
 * The formats in which host offers the target, 0 if it does not; *upstream is
 * its name there, *from the offer, of the first one in one of the formats `wanted`.
 */
static uint32_t offered(const relay_host_t *host, const target_t *target, uint32_t wanted,
                        relay_span_t *upstream, const relay_offer_t **from)
{
    uint32_t formats = 0;

    *from = NULL;
    if (target->only != NULL && target->only != host) {
        return 0;
    }
    if (target->by_pattern) {
        *upstream = served_as(host, target);
        return upstream->len != 0 ? host->formats : 0;
    }
    for (size_t i = 0; i < target->model->noffers && !(formats & wanted); i++) {
        const relay_offer_t *offer = &target->model->offers[i];
        if (offer->host == host) {
            formats |= offer->formats;
            *upstream = offer->upstream_id;
            *from = offer;
        }
    }
    return formats;
}

static bool has_auxiliaries(const relay_host_t *host, const relay_wire_t *wire)
{
    const relay_variant_t *variant = host->variants[wire->index];

    return host->echo || variant == relay_variant_of(wire) || variant->counter.len != 0;
}

/* In the caller's format, else in the one to be preferred among the others. */
static served_t serve(const planner_t *planner, const relay_host_t *host, const target_t *target)
{
    served_t served = {.wire = NULL};
    uint32_t own = UINT32_C(1) << planner->wire->index, formats;

    if (offered(host, target, own, &served.upstream_model, &served.offer) & own) {
        served.wire =
            planner->auxiliary && !has_auxiliaries(host, planner->wire) ? NULL : planner->wire;
    } else if (planner->targets != 0) {
        formats = offered(host, target, planner->targets, &served.upstream_model, &served.offer);
        served.wire = relay_codec_preferred(formats & planner->targets);
    }
    return served;
}

static bool host_allowed(const relay_policy_t *policy, const relay_host_t *host)
{
    return relay_globs_match(&policy->hosts, host->name);
}

/* ---- who may use it ------------------------------------------------------- */

static bool matches(const relay_globs_t *globs, const target_t *target)
{
    return relay_globs_match(globs, target->name) ||
           (target->by_pattern &&
            (relay_globs_match(globs, target->asked) || relay_globs_match(globs, target->given)));
}

static bool policy_allows(const relay_policy_t *policy, const target_t *target)
{
    return matches(&policy->allow, target) && !matches(&policy->deny, target);
}

static bool key_allows(const relay_relay_key_t *key, const target_t *target)
{
    return policy_allows(key->policy, target) && matches(&key->models, target);
}

/* ---- candidates ----------------------------------------------------------- */

static uint32_t first_set(uint32_t a, uint32_t b, uint32_t c)
{
    return a != 0 ? a : b != 0 ? b : c;
}

static relay_timeouts_t timeouts_of(const relay_policy_t *policy, const relay_host_t *host)
{
    const relay_timeouts_t *p = &policy->timeouts, *h = &host->timeouts;
    const relay_timeouts_t *d = &relay_timeouts_default;

    return (relay_timeouts_t){
        .connect_ms = first_set(p->connect_ms, h->connect_ms, d->connect_ms),
        .first_token_ms = first_set(p->first_token_ms, h->first_token_ms, d->first_token_ms),
        .idle_ms = first_set(p->idle_ms, h->idle_ms, d->idle_ms),
        .total_ms = first_set(p->total_ms, h->total_ms, d->total_ms),
    };
}

static bool is_full(const planner_t *planner)
{
    return planner->plan->count >= planner->limit;
}

/* Any format of the dialect that host speaks, or NULL. */
static const relay_wire_t *wire_of(const relay_dialect_t *dialect, const relay_host_t *host)
{
    const relay_wire_t *wire;

    for (unsigned i = 0; (wire = relay_wire_at(i)) != NULL; i++) {
        if (wire->dialect == dialect && host->formats >> i & 1) {
            return wire;
        }
    }
    return NULL;
}

/* Unless it is in the plan already. */
static void add(planner_t *planner, const relay_host_t *host, const relay_provider_key_t *key,
                relay_span_t model, const served_t *served)
{
    relay_plan_t *plan = planner->plan;

    for (size_t i = 0; i < plan->count; i++) {
        const relay_candidate_t *other = &plan->candidates[i];
        if (other->host == host && other->key == key &&
            relay_span_eq(other->upstream_model, served->upstream_model)) {
            return;
        }
    }
    plan->candidates[plan->count++] = (relay_candidate_t){
        .host = host,
        .key = key,
        .wire = served->wire,
        .offer = served->offer,
        .model = model,
        .upstream_model = served->upstream_model,
        .timeouts = timeouts_of(planner->policy, host),
    };
}

/* splitmix64: the next of the sequence that `random` seeds. */
static uint64_t next_random(uint64_t *random)
{
    uint64_t z = *random += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

/* The sum of weights in the lowest priority that is left, and which that is. */
static uint64_t lowest_tier(const choice_t *choices, size_t count, uint32_t *priority)
{
    uint64_t sum = 0;

    *priority = UINT32_MAX;
    for (size_t i = 0; i < count; i++) {
        const relay_pool_member_t *member = choices[i].member;
        if (member->priority < *priority) {
            *priority = member->priority;
            sum = 0;
        }
        sum += member->priority == *priority ? member->weight : 0;
    }
    return sum;
}

/*
 * The index of the choice to try next; count is not 0. Weights sum up to less
 * than 2^30, so the remainder favours nobody by more than one part in 2^34.
 */
static size_t draw(uint64_t *random, const choice_t *choices, size_t count)
{
    uint32_t priority;
    uint64_t sum = lowest_tier(choices, count, &priority);
    uint64_t place = sum != 0 ? next_random(random) % sum : 0;
    size_t drawn = 0;

    for (size_t i = 0; i < count; i++) {
        const relay_pool_member_t *member = choices[i].member;
        if (member->priority != priority) {
            continue;
        }
        drawn = i;
        if (place < member->weight) {
            break;
        }
        place -= member->weight;
    }
    return drawn;
}

/* Moves choices into the plan until there is none left or no room. */
static void add_choices(planner_t *planner, choice_t *choices, size_t count, relay_span_t model)
{
    while (count != 0 && !is_full(planner)) {
        size_t i = draw(&planner->random, choices, count);
        const relay_provider_key_t *key = choices[i].member->key;
        add(planner, key->host, key, model, &choices[i].served);
        choices[i] = choices[--count];
    }
}

/* ---- one target ----------------------------------------------------------- */

static void plan_pool(planner_t *planner, const target_t *target, const relay_pool_t *pool)
{
    choice_t choices[RELAY_CONFIG_MEMBERS_MAX];
    size_t count = 0;

    for (size_t i = 0; i < pool->nmembers && count < RELAY_CONFIG_MEMBERS_MAX; i++) {
        const relay_pool_member_t *member = &pool->members[i];
        const relay_host_t *host = member->key->host;
        if (member->key->active && host_allowed(planner->policy, host)) {
            choices[count] = (choice_t){member, serve(planner, host, target)};
            count += choices[count].served.wire != NULL;
        }
    }
    add_choices(planner, choices, count, target->name);
}

/* An echo host always answers, as it is asked: nothing is planned behind it. */
static void plan_echo(planner_t *planner, const target_t *target)
{
    for (size_t i = 0; i < planner->config->necho_hosts && !is_full(planner); i++) {
        const relay_host_t *host = planner->config->echo_hosts[i];
        served_t served = serve(planner, host, target);
        if (served.wire == planner->wire && host_allowed(planner->policy, host)) {
            add(planner, host, NULL, target->name, &served);
            planner->limit = planner->plan->count;
        }
    }
}

static void plan_target(planner_t *planner, const target_t *target)
{
    const relay_policy_t *policy = planner->policy;

    for (size_t i = 0; i < policy->npools && !is_full(planner); i++) {
        plan_pool(planner, target, policy->pools[i]);
    }
    plan_echo(planner, target);
}

/* ---- why there is no candidate -------------------------------------------- */

/* How far a target came; a later stage says more. */
typedef enum { UNKNOWN, DENIED, UNSERVED, OTHER_FORMAT, NO_KEY } stage_t;

enum { NAMED_HOSTS_MAX = 4 };

typedef struct {
    stage_t stage;
    target_t target;
    uint32_t formats; /* in which the policy's hosts offer it */
    const relay_host_t *keyless[NAMED_HOSTS_MAX];
    size_t nkeyless;
} failure_t;

static bool is_known(const relay_config_t *config, const target_t *target)
{
    const relay_offer_t *offer;
    relay_span_t upstream;

    for (size_t i = 0; i < config->nhosts; i++) {
        if (offered(&config->hosts[i], target, 0, &upstream, &offer) != 0) {
            return true;
        }
    }
    return target->model != NULL && target->only == NULL;
}

static void name_keyless(failure_t *failure, const relay_host_t *host)
{
    for (size_t i = 0; i < failure->nkeyless; i++) {
        if (failure->keyless[i] == host) {
            return;
        }
    }
    if (failure->nkeyless < NAMED_HOSTS_MAX) {
        failure->keyless[failure->nkeyless++] = host;
    }
}

static void look_at_host(const planner_t *planner, failure_t *failure, const relay_host_t *host)
{
    uint32_t wanted = UINT32_C(1) << planner->wire->index | planner->targets;
    const relay_offer_t *offer;
    relay_span_t upstream;
    uint32_t formats = offered(host, &failure->target, 0, &upstream, &offer);

    if (formats != 0 && host_allowed(planner->policy, host)) {
        failure->formats |= formats;
        if (formats & wanted && (!planner->auxiliary || has_auxiliaries(host, planner->wire))) {
            name_keyless(failure, host);
        }
    }
}

static void look_at_hosts(const planner_t *planner, failure_t *failure)
{
    const relay_policy_t *policy = planner->policy;

    for (size_t i = 0; i < policy->npools; i++) {
        for (size_t j = 0; j < policy->pools[i]->nmembers; j++) {
            look_at_host(planner, failure, policy->pools[i]->members[j].key->host);
        }
    }
    for (size_t i = 0; i < planner->config->necho_hosts; i++) {
        look_at_host(planner, failure, planner->config->echo_hosts[i]);
    }
}

static failure_t diagnose(const planner_t *planner, const target_t *target)
{
    failure_t failure = {.stage = UNKNOWN, .target = *target};

    if (!relay_model_name_ok(target->given) || !is_known(planner->config, target)) {
        return failure;
    }
    if (!key_allows(planner->key, target)) {
        failure.stage = DENIED;
        return failure;
    }
    look_at_hosts(planner, &failure);
    failure.stage = failure.nkeyless != 0 ? NO_KEY : failure.formats != 0 ? OTHER_FORMAT : UNSERVED;
    return failure;
}

static void put_quoted(relay_buf_t *out, relay_span_t name)
{
    RELAY_PUT(out, "\"");
    relay_buf_put(out, name);
    RELAY_PUT(out, "\"");
}

static void put_format(relay_buf_t *out, const relay_wire_t *wire)
{
    relay_buf_put(out, wire->name);
    RELAY_PUT(out, " (");
    relay_buf_put(out, wire->path);
    RELAY_PUT(out, ")");
}

static void put_formats(relay_buf_t *out, uint32_t formats)
{
    bool first = true;

    for (unsigned i = 0; i < RELAY_FORMATS_MAX && relay_wire_at(i) != NULL; i++) {
        if (formats >> i & 1) {
            relay_buf_put(out, first ? RELAY_SPAN("") : RELAY_SPAN(", "));
            put_format(out, relay_wire_at(i));
            first = false;
        }
    }
}

static void put_keyless(relay_buf_t *out, const failure_t *failure)
{
    for (size_t i = 0; i < failure->nkeyless; i++) {
        relay_buf_put(out, i == 0 ? RELAY_SPAN("") : RELAY_SPAN(", "));
        relay_buf_put(out, failure->keyless[i]->name);
    }
}

static void put_reason(relay_buf_t *out, const planner_t *planner, const failure_t *failure)
{
    switch (failure->stage) {
    case UNKNOWN:
        RELAY_PUT(out, " does not exist here. The list of models names those that this key can "
                       "use.");
        return;
    case DENIED:
        if (!policy_allows(planner->policy, &failure->target)) {
            RELAY_PUT(out, " is not allowed by policy ");
            put_quoted(out, planner->policy->name);
        } else {
            RELAY_PUT(out, " is not allowed for relay key ");
            put_quoted(out, planner->key->name);
        }
        RELAY_PUT(out, ".");
        return;
    case UNSERVED:
        RELAY_PUT(out, " is not served by any host of policy ");
        put_quoted(out, planner->policy->name);
        RELAY_PUT(out, ".");
        return;
    case OTHER_FORMAT:
        RELAY_PUT(out, " is not offered as ");
        put_format(out, planner->wire);
        RELAY_PUT(out, ". It is offered as ");
        put_formats(out, failure->formats);
        RELAY_PUT(out, ": use that endpoint.");
        return;
    case NO_KEY:
        RELAY_PUT(out, " has no provider key: policy ");
        put_quoted(out, planner->policy->name);
        RELAY_PUT(out, " needs one for ");
        put_keyless(out, failure);
        RELAY_PUT(out, ".");
        return;
    }
}

static relay_error_code_t fail(const planner_t *planner, const failure_t *failure,
                               relay_buf_t *scratch, relay_error_t *error)
{
    static const relay_error_code_t codes[] = {
        [UNKNOWN] = RELAY_ERR_MODEL_NOT_FOUND,         [DENIED] = RELAY_ERR_MODEL_NOT_ALLOWED,
        [UNSERVED] = RELAY_ERR_MODEL_NOT_FOUND,        [NO_KEY] = RELAY_ERR_NO_PROVIDER_KEY,
        [OTHER_FORMAT] = RELAY_ERR_FORMAT_UNAVAILABLE,
    };
    relay_span_t before = relay_buf_span(scratch);

    RELAY_PUT(scratch, "Model ");
    put_quoted(scratch, failure->target.given);
    put_reason(scratch, planner, failure);
    *error = (relay_error_t){
        .code = codes[failure->stage],
        .message = relay_span_from(relay_buf_span(scratch), before.len),
        .param = RELAY_SPAN("model"),
    };
    return error->code;
}

/* ---- a reference ---------------------------------------------------------- */

static relay_span_t trim(relay_span_t text)
{
    while (text.len != 0 && text.base[0] == ' ') {
        text = relay_span_from(text, 1);
    }
    while (text.len != 0 && text.base[text.len - 1] == ' ') {
        text.len--;
    }
    return text;
}

/* The next reference of a list, without the spaces around it; false at the end. */
static bool next_reference(relay_span_t *list, relay_span_t *reference)
{
    const uint8_t *comma = list->len != 0 ? memchr(list->base, ',', list->len) : NULL;
    size_t length = comma != NULL ? (size_t)(comma - list->base) : list->len;

    if (list->len == 0) {
        return false;
    }
    *reference = trim(relay_span(list->base, length));
    *list = comma != NULL ? relay_span_from(*list, length + 1) : relay_span(NULL, 0);
    return true;
}

relay_error_code_t relay_route_plan(const relay_config_t *config, const relay_relay_key_t *key,
                                    relay_span_t reference, const relay_wire_t *wire,
                                    relay_operation_t operation, uint64_t random,
                                    relay_plan_t *plan, relay_buf_t *scratch, relay_error_t *error)
{
    uint32_t targets = operation == RELAY_OP_GENERATE ? relay_codec_targets(wire) : 0;
    planner_t planner = {config,
                         key,
                         key->policy,
                         wire,
                         wire->dialect,
                         targets,
                         operation == RELAY_OP_AUXILIARY,
                         random,
                         plan,
                         0};
    failure_t failure = {.stage = UNKNOWN, .target = {.given = reference}};
    relay_span_t list = reference, given;

    plan->count = 0;
    planner.limit = key->policy->max_attempts < RELAY_CANDIDATES_MAX ? key->policy->max_attempts
                                                                     : RELAY_CANDIDATES_MAX;
    while (!is_full(&planner) && next_reference(&list, &given)) {
        target_t target = resolve(config, given);
        if (relay_model_name_ok(given) && key_allows(key, &target)) {
            plan_target(&planner, &target);
        }
    }
    if (plan->count != 0) {
        return RELAY_ERR_NONE;
    }
    for (list = reference; next_reference(&list, &given);) {
        target_t target = resolve(config, given);
        failure_t other = diagnose(&planner, &target);
        failure = other.stage > failure.stage ? other : failure;
    }
    return fail(&planner, &failure, scratch, error);
}

/* ---- unknown paths -------------------------------------------------------- */

/* Passing hosts of a pool, with a key; *keyless is set if one lacks that. */
static void pass_pool(planner_t *planner, const relay_pool_t *pool, bool *keyless)
{
    choice_t choices[RELAY_CONFIG_MEMBERS_MAX];
    size_t count = 0;

    for (size_t i = 0; i < pool->nmembers && count < RELAY_CONFIG_MEMBERS_MAX; i++) {
        const relay_pool_member_t *member = &pool->members[i];
        const relay_host_t *host = member->key->host;
        served_t served = {.wire = wire_of(planner->dialect, host)};
        if (!host->passthrough || served.wire == NULL || !host_allowed(planner->policy, host)) {
            continue;
        }
        if (member->key->active) {
            choices[count++] = (choice_t){member, served};
        } else {
            *keyless = true;
        }
    }
    add_choices(planner, choices, count, relay_span(NULL, 0));
}

relay_error_code_t relay_route_passthrough(const relay_config_t *config,
                                           const relay_relay_key_t *key,
                                           const relay_dialect_t *dialect, uint64_t random,
                                           relay_plan_t *plan, relay_error_t *error)
{
    const relay_policy_t *policy = key->policy;
    planner_t planner = {config, key,   policy, NULL, dialect,
                         0,      false, random, plan, policy->max_attempts};
    bool keyless = false;

    plan->count = 0;
    *error = (relay_error_t){.code = RELAY_ERR_PATH_NOT_FOUND};
    if (!policy->passthrough) {
        return error->code;
    }
    if (planner.limit > RELAY_CANDIDATES_MAX) {
        planner.limit = RELAY_CANDIDATES_MAX;
    }
    for (size_t i = 0; i < policy->npools && !is_full(&planner); i++) {
        pass_pool(&planner, policy->pools[i], &keyless);
    }
    error->code = plan->count != 0 ? RELAY_ERR_NONE
                  : keyless        ? RELAY_ERR_NO_PROVIDER_KEY
                                   : RELAY_ERR_PATH_NOT_FOUND;
    return error->code;
}

/* ---- listing -------------------------------------------------------------- */

enum { WORD_BITS = 64 };

/* Hosts that a key can reach with a format of the dialect, one bit for each. */
typedef struct {
    uint64_t bits[RELAY_CONFIG_HOSTS_MAX / WORD_BITS + 1];
    uint32_t formats;
} reach_t;

static void reach_host(reach_t *reach, const relay_policy_t *policy, const relay_host_t *host)
{
    if (host->formats & reach->formats && host_allowed(policy, host)) {
        reach->bits[host->index / WORD_BITS] |= UINT64_C(1) << host->index % WORD_BITS;
    }
}

static reach_t reach_of(const relay_config_t *config, const relay_policy_t *policy,
                        const relay_dialect_t *dialect)
{
    reach_t reach = {.formats = 0};

    for (unsigned i = 0; i < RELAY_FORMATS_MAX && relay_wire_at(i) != NULL; i++) {
        if (relay_wire_at(i)->dialect == dialect) {
            reach.formats |= UINT32_C(1) << i | relay_codec_targets(relay_wire_at(i));
        }
    }
    for (size_t i = 0; i < policy->npools; i++) {
        for (size_t j = 0; j < policy->pools[i]->nmembers; j++) {
            const relay_provider_key_t *key = policy->pools[i]->members[j].key;
            if (key->active) {
                reach_host(&reach, policy, key->host);
            }
        }
    }
    for (size_t i = 0; i < config->necho_hosts; i++) {
        reach_host(&reach, policy, config->echo_hosts[i]);
    }
    return reach;
}

static bool is_reached(const reach_t *reach, const relay_host_t *host)
{
    return reach->bits[host->index / WORD_BITS] >> host->index % WORD_BITS & 1;
}

static bool can_reach(const relay_config_t *config, const reach_t *reach, const target_t *target)
{
    const relay_model_t *model = target->model;

    for (size_t i = 0; i < model->noffers; i++) {
        if (model->offers[i].formats & reach->formats && is_reached(reach, model->offers[i].host)) {
            return true;
        }
    }
    for (size_t i = 0; model->noffers == 0 && i < config->nhosts; i++) {
        if (is_reached(reach, &config->hosts[i]) && served_as(&config->hosts[i], target).len != 0) {
            return true;
        }
    }
    return false;
}

static relay_model_view_t view_of(const relay_model_t *model)
{
    return (relay_model_view_t){
        .id = model->name,
        .display_name = model->display_name,
        .owned_by = model->owned_by,
        .type = model->type,
        .created_s = model->created_s,
        .context_tokens = model->context_tokens,
        .output_tokens = model->output_tokens,
    };
}

size_t relay_route_models(const relay_config_t *config, const relay_relay_key_t *key,
                          const relay_dialect_t *dialect, relay_model_view_t *views,
                          size_t capacity)
{
    reach_t reach = reach_of(config, key->policy, dialect);
    size_t count = 0;

    for (size_t i = 0; i < config->nmodels; i++) {
        const relay_model_t *model = &config->models[i];
        target_t target = {.given = model->name,
                           .asked = model->name,
                           .name = model->name,
                           .model = model,
                           .by_pattern = model->noffers == 0};
        if (!key_allows(key, &target) || !can_reach(config, &reach, &target)) {
            continue;
        }
        if (count < capacity) {
            views[count] = view_of(model);
        }
        count++;
    }
    return count;
}
