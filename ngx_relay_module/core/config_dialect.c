/*
 * How upstreams differ inside a format, as configuration documents say it: by
 * format for hosts ("dialect") and for what they offer, for a model in all formats
 * ("refuses", "thinking", "reasoning_efforts"). Called by config_host and
 * config_model; what it fills is read by candidate_target.c.
 */

#include "config_read.h"
#include "target.h"

/* ---- texts of a known kind ------------------------------------------------ */

/* What a word stands for. */
typedef struct {
    relay_span_t name;
    unsigned value;
} word_t;

typedef struct {
    const word_t *items;
    size_t count;
    const char *what;
} words_t;

#define WORDS(words, what) ((words_t){(words), sizeof(words) / sizeof((words)[0]), (what)})

static bool read_word(relay_config_reader_t *reader, relay_config_node_t value, words_t words,
                      unsigned *number)
{
    const word_t *word = relay_config_reference(
        reader, value, words.what,
        (relay_config_names_t){words.items, words.count, sizeof(words.items[0])});

    if (word != NULL) {
        *number = word->value;
    }
    return word != NULL;
}

/* ---- members of a dialect ------------------------------------------------- */

/* A boolean that decides the flag in min. It is set where the member is true if max
 * has it, too, else where the member is false: see YES and NO. */
static bool read_trait(relay_config_reader_t *reader, relay_config_node_t value,
                       const relay_config_field_t *field, void *target)
{
    relay_traits_t *traits = target;
    uint32_t decided = (uint32_t)field->min, when_true = (uint32_t)field->max;
    bool set;

    if (!relay_config_read_flag(reader, value, field, &set)) {
        return false;
    }
    traits->known |= decided;
    traits->flags = (traits->flags & ~decided) | (set ? when_true : decided & ~when_true);
    return true;
}

/* True only: an upstream that does not think as it sees fit may think in other ways. */
static bool read_adaptive(relay_config_reader_t *reader, relay_config_node_t value,
                          const relay_config_field_t *field, void *target)
{
    relay_traits_t *traits = target;
    bool set;

    if (!relay_config_read_flag(reader, value, field, &set)) {
        return false;
    }
    traits->known |= RELAY_TARGET_ADAPTIVE | (set ? RELAY_TARGET_BUDGET : 0);
    traits->flags |= set ? RELAY_TARGET_ADAPTIVE : 0;
    return true;
}

static bool read_limit(relay_config_reader_t *reader, relay_config_node_t value,
                       const relay_config_field_t *field, void *target)
{
    static const word_t names[] = {
        {RELAY_SPAN_INIT("max_completion_tokens"), 0},
        {RELAY_SPAN_INIT("max_tokens"), RELAY_TARGET_OLD_LIMIT},
    };
    relay_traits_t *traits = target;
    unsigned flag;

    (void)field;
    if (!read_word(reader, value, WORDS(names, "member for the limit"), &flag)) {
        return false;
    }
    traits->known |= RELAY_TARGET_OLD_LIMIT;
    traits->flags |= flag;
    return true;
}

#define YES(name, flag)                                                                            \
    {                                                                                              \
        (name), read_trait, 0, (flag), (flag)                                                      \
    }
#define NO(name, flag)                                                                             \
    {                                                                                              \
        (name), read_trait, 0, (flag), 0                                                           \
    }

static const relay_config_field_t traits_fields[] = {
    {"adaptive_thinking", read_adaptive, 0, 0, 0},
    YES("custom_tools", RELAY_TARGET_CUSTOM),
    NO("developer_role", RELAY_TARGET_NO_DEVELOPER),
    YES("echo_reasoning", RELAY_TARGET_REASONING_BACK),
    NO("json_schema", RELAY_TARGET_OLD_SCHEMA),
    YES("logprobs", RELAY_TARGET_LOGPROBS),
    {"max_tokens_field", read_limit, 0, 0, 0},
    YES("mid_system", RELAY_TARGET_LATE_SYSTEM),
    NO("parallel_tools", RELAY_TARGET_NO_PARALLEL),
    NO("reasoning_effort", RELAY_TARGET_NO_EFFORT),
    YES("signed_calls", RELAY_TARGET_SIGNED_CALLS),
    NO("strict_tools", RELAY_TARGET_NO_STRICT),
    NO("temperature", RELAY_TARGET_NO_SAMPLING),
    YES("top_k", RELAY_TARGET_TOP_K),
};

/* ---- dialects by format --------------------------------------------------- */

static bool read_format_traits(relay_config_reader_t *reader, relay_config_node_t value,
                               relay_traits_t by_format[RELAY_FORMATS_MAX])
{
    bool streams;
    const relay_variant_t *variant = relay_config_format(reader, relay_config_key(value), &streams);

    if (variant == NULL) {
        return value.source->catalog;
    }
    return RELAY_CONFIG_OBJECT(reader, value, traits_fields, &by_format[variant->wire->index]);
}

/* Only those of which something is said are kept: offers are many. */
static bool keep_traits(relay_config_reader_t *reader,
                        const relay_traits_t by_format[RELAY_FORMATS_MAX],
                        relay_format_traits_t *traits)
{
    relay_traits_t *items;
    size_t count = 0;

    for (unsigned i = 0; i < RELAY_FORMATS_MAX; i++) {
        count += by_format[i].known != 0;
    }
    items = relay_config_alloc(reader, count, sizeof(items[0]));
    traits->items = items;
    for (unsigned i = 0; items != NULL && i < RELAY_FORMATS_MAX; i++) {
        if (by_format[i].known != 0) {
            traits->formats |= UINT32_C(1) << i;
            *items++ = by_format[i];
        }
    }
    return traits->items != NULL;
}

bool relay_config_read_dialect(relay_config_reader_t *reader, relay_config_node_t value,
                               const relay_config_field_t *field, void *target)
{
    relay_traits_t by_format[RELAY_FORMATS_MAX] = {{0, 0}};
    relay_config_node_t item = {0};

    (void)field;
    if (!relay_config_expect(reader, value, RELAY_JSON_OBJECT, "an object of dialects by format")) {
        return false;
    }
    while (relay_config_next(value, &item)) {
        if (!read_format_traits(reader, item, by_format)) {
            return false;
        }
    }
    return keep_traits(reader, by_format, target);
}

/* ---- models --------------------------------------------------------------- */

/* Sorted by name, as all words are. */
static const struct refusable_s {
    relay_span_t name;
    uint64_t fields;
} refusable[] = {
    {RELAY_SPAN_INIT("frequency_penalty"), RELAY_REFUSED(RELAY_FIELD_FREQUENCY_PENALTY)},
    {RELAY_SPAN_INIT("logit_bias"), RELAY_REFUSED(RELAY_FIELD_LOGIT_BIAS)},
    {RELAY_SPAN_INIT("logprobs"),
     RELAY_REFUSED(RELAY_FIELD_LOGPROBS) | RELAY_REFUSED(RELAY_FIELD_TOP_LOGPROBS)},
    {RELAY_SPAN_INIT("metadata"), RELAY_REFUSED(RELAY_FIELD_METADATA)},
    {RELAY_SPAN_INIT("parallel_tools"), RELAY_REFUSED(RELAY_FIELD_PARALLEL)},
    {RELAY_SPAN_INIT("presence_penalty"), RELAY_REFUSED(RELAY_FIELD_PRESENCE_PENALTY)},
    {RELAY_SPAN_INIT("reasoning"),
     RELAY_REFUSED(RELAY_FIELD_EFFORT) | RELAY_REFUSED(RELAY_FIELD_THINKING)},
    {RELAY_SPAN_INIT("seed"), RELAY_REFUSED(RELAY_FIELD_SEED)},
    {RELAY_SPAN_INIT("service_tier"), RELAY_REFUSED(RELAY_FIELD_SERVICE_TIER)},
    {RELAY_SPAN_INIT("stop"), RELAY_REFUSED(RELAY_FIELD_STOP)},
    {RELAY_SPAN_INIT("temperature"), RELAY_REFUSED(RELAY_FIELD_TEMPERATURE)},
    {RELAY_SPAN_INIT("top_k"), RELAY_REFUSED(RELAY_FIELD_TOP_K)},
    {RELAY_SPAN_INIT("top_p"), RELAY_REFUSED(RELAY_FIELD_TOP_P)},
    {RELAY_SPAN_INIT("user"), RELAY_REFUSED(RELAY_FIELD_USER)},
    {RELAY_SPAN_INIT("verbosity"), RELAY_REFUSED(RELAY_FIELD_VERBOSITY)},
};

bool relay_config_read_refuses(relay_config_reader_t *reader, relay_config_node_t value,
                               const relay_config_field_t *field, void *target)
{
    relay_config_names_t names = {refusable, sizeof(refusable) / sizeof(refusable[0]),
                                  sizeof(refusable[0])};
    relay_config_node_t item = {0};
    uint64_t *fields = target;

    (void)field;
    if (!relay_config_expect(reader, value, RELAY_JSON_ARRAY, "an array of fields")) {
        return false;
    }
    while (relay_config_next(value, &item)) {
        const struct refusable_s *found =
            relay_config_reference(reader, item, "field that can be left out", names);
        if (found == NULL) {
            return false;
        }
        *fields |= found->fields;
    }
    return true;
}

bool relay_config_read_thinking(relay_config_reader_t *reader, relay_config_node_t value,
                                const relay_config_field_t *field, void *target)
{
    static const word_t ways[] = {
        {RELAY_SPAN_INIT("adaptive"), RELAY_TARGET_ADAPTIVE},
        {RELAY_SPAN_INIT("budget"), RELAY_TARGET_BUDGET},
        {RELAY_SPAN_INIT("effort"), 0},
    };
    relay_traits_t *traits = target;
    unsigned flags;

    (void)field;
    if (!read_word(reader, value, WORDS(ways, "way to think"), &flags)) {
        return false;
    }
    *traits = (relay_traits_t){RELAY_TARGET_ADAPTIVE | RELAY_TARGET_BUDGET, flags};
    return true;
}

bool relay_config_read_efforts(relay_config_reader_t *reader, relay_config_node_t value,
                               const relay_config_field_t *field, void *target)
{
    static const word_t efforts[] = {
        {RELAY_SPAN_INIT("high"), RELAY_EFFORT_HIGH},
        {RELAY_SPAN_INIT("low"), RELAY_EFFORT_LOW},
        {RELAY_SPAN_INIT("max"), RELAY_EFFORT_MAX},
        {RELAY_SPAN_INIT("medium"), RELAY_EFFORT_MEDIUM},
        {RELAY_SPAN_INIT("minimal"), RELAY_EFFORT_MINIMAL},
        {RELAY_SPAN_INIT("none"), RELAY_EFFORT_NONE},
        {RELAY_SPAN_INIT("xhigh"), RELAY_EFFORT_XHIGH},
    };
    relay_config_node_t item = {0};
    uint32_t *bits = target;
    unsigned effort;

    (void)field;
    if (!relay_config_expect(reader, value, RELAY_JSON_ARRAY, "an array of efforts")) {
        return false;
    }
    while (relay_config_next(value, &item)) {
        if (!read_word(reader, item, WORDS(efforts, "effort"), &effort)) {
            return false;
        }
        *bits |= UINT32_C(1) << effort;
    }
    return true;
}
