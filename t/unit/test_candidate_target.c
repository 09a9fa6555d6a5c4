/* What configuration says of hosts, models and offers, as a codec is told it. */

#include "candidate_target.c"

#include "entry_check.h"

/* The members of a document that tests fill in. */
typedef struct {
    const char *host; /* behind base_url and formats; may be NULL, as all of them */
    const char *model;
    const char *offer;
} said_t;

static const char *or_nothing(const char *text)
{
    return text != NULL ? text : "";
}

static relay_target_t target_for(const said_t *said, const char *format, bool by_pattern,
                                 bool catalog)
{
    char document[2048];
    relay_candidate_t candidate = {.upstream_model = RELAY_SPAN("up")};
    relay_target_t target;
    entry_t *entry;

    snprintf(document, sizeof(document),
             "{'hosts': {'h': {'base_url': 'https://h', 'formats': ['openai-chat',"
             "'anthropic-messages', 'gemini'] %s}}, 'models': {'m': {'offers': [{'host': 'h' %s}]"
             "%s}}}",
             or_nothing(said->host), or_nothing(said->offer), or_nothing(said->model));
    entry = entry_good(document, catalog);
    candidate.host = entry_host(entry, "h");
    candidate.wire = entry_wire(format);
    if (!by_pattern) {
        candidate.offer = &relay_config_find_model(entry->config, RELAY_SPAN("m"))->offers[0];
        assert_ptr_equal(candidate.offer->model, &entry->config->models[0]);
    }
    target = relay_target_of(&candidate);
    check_span(target.model, "up");
    entry_free(entry);
    return target;
}

static void check_flags(const said_t *said, const char *format, unsigned flags)
{
    assert_int_equal(target_for(said, format, false, true).flags, flags);
    assert_int_equal(target_for(said, format, false, false).flags, flags);
}

#define CHAT(members) ", 'dialect': {'openai-chat': {" members "}}"

/* ---- dialects ------------------------------------------------------------- */

static void every_member_of_a_dialect(void **state)
{
    enum { BASE = RELAY_TARGET_NO_DEVELOPER };
    static const struct {
        const char *dialect;
        unsigned flags;
    } cases[] = {
        {"", BASE},
        {"'developer_role': true", 0},
        {"'developer_role': false", BASE},
        {"'mid_system': true", BASE | RELAY_TARGET_LATE_SYSTEM},
        {"'mid_system': false", BASE},
        {"'max_tokens_field': 'max_tokens'", BASE | RELAY_TARGET_OLD_LIMIT},
        {"'max_tokens_field': 'max_completion_tokens'", BASE},
        {"'adaptive_thinking': true", BASE | RELAY_TARGET_ADAPTIVE},
        {"'adaptive_thinking': false", BASE},
        {"'temperature': false", BASE | RELAY_TARGET_NO_SAMPLING},
        {"'temperature': true", BASE},
        {"'reasoning_effort': false", BASE | RELAY_TARGET_NO_EFFORT},
        {"'echo_reasoning': true", BASE | RELAY_TARGET_REASONING_BACK},
        {"'parallel_tools': false", BASE | RELAY_TARGET_NO_PARALLEL},
        {"'strict_tools': false", BASE | RELAY_TARGET_NO_STRICT},
        {"'signed_calls': true", BASE | RELAY_TARGET_SIGNED_CALLS},
        {"'json_schema': false", BASE | RELAY_TARGET_OLD_SCHEMA},
        {"'top_k': true", BASE | RELAY_TARGET_TOP_K},
        {"'top_k': true, 'strict_tools': false, 'developer_role': true",
         RELAY_TARGET_TOP_K | RELAY_TARGET_NO_STRICT},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char dialect[256];
        snprintf(dialect, sizeof(dialect), CHAT("%s"), cases[i].dialect);
        check_flags(&(said_t){.host = dialect}, "openai-chat", cases[i].flags);
        check_flags(&(said_t){.offer = dialect}, "openai-chat", cases[i].flags);
        check_flags(&(said_t){.host = dialect}, "gemini", BASE);
        check_flags(&(said_t){.offer = dialect}, "anthropic-messages", BASE);
    }
}

/* Each format has its own, whatever the order and the name. */
static void dialects_by_format(void **state)
{
    said_t said = {.host = ", 'dialect': {'vertex-gemini': {'top_k': true},"
                           "'anthropic-messages': {'strict_tools': false},"
                           "'openai-chat': {'developer_role': true}}"};

    (void)state;
    check_flags(&said, "openai-chat", 0);
    check_flags(&said, "gemini", RELAY_TARGET_NO_DEVELOPER | RELAY_TARGET_TOP_K);
    check_flags(&said, "anthropic-messages", RELAY_TARGET_NO_DEVELOPER | RELAY_TARGET_NO_STRICT);
}

static void the_offer_counts_before_the_model_and_that_before_the_host(void **state)
{
    enum { BASE = RELAY_TARGET_NO_DEVELOPER };
    said_t said = {.host = CHAT("'adaptive_thinking': true, 'strict_tools': false"),
                   .model = ", 'thinking': 'budget'"};

    (void)state;
    check_flags(&said, "openai-chat", BASE | RELAY_TARGET_NO_STRICT | RELAY_TARGET_BUDGET);
    assert_int_equal(target_for(&said, "openai-chat", true, false).flags,
                     BASE | RELAY_TARGET_NO_STRICT | RELAY_TARGET_ADAPTIVE);
    said.offer = CHAT("'adaptive_thinking': true, 'strict_tools': true");
    check_flags(&said, "openai-chat", BASE | RELAY_TARGET_ADAPTIVE);
    check_flags(&(said_t){.model = ", 'thinking': 'adaptive'"}, "gemini",
                BASE | RELAY_TARGET_ADAPTIVE);
    said = (said_t){.host = CHAT("'adaptive_thinking': true"), .model = ", 'thinking': 'effort'"};
    check_flags(&said, "openai-chat", BASE);
}

/* ---- models --------------------------------------------------------------- */

static void every_field_that_can_be_refused(void **state)
{
#define FIELD(name) RELAY_REFUSED(RELAY_FIELD_##name)
    static const struct {
        const char *name;
        uint64_t fields;
    } cases[] = {
        {"frequency_penalty", FIELD(FREQUENCY_PENALTY)},
        {"logit_bias", FIELD(LOGIT_BIAS)},
        {"logprobs", FIELD(LOGPROBS) | FIELD(TOP_LOGPROBS)},
        {"metadata", FIELD(METADATA)},
        {"parallel_tools", FIELD(PARALLEL)},
        {"presence_penalty", FIELD(PRESENCE_PENALTY)},
        {"reasoning", FIELD(EFFORT) | FIELD(THINKING)},
        {"seed", FIELD(SEED)},
        {"service_tier", FIELD(SERVICE_TIER)},
        {"stop", FIELD(STOP)},
        {"temperature", FIELD(TEMPERATURE)},
        {"top_k", FIELD(TOP_K)},
        {"top_p", FIELD(TOP_P)},
        {"user", FIELD(USER)},
        {"verbosity", FIELD(VERBOSITY)},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char model[128];
        said_t said = {.model = model};
        snprintf(model, sizeof(model), ", 'refuses': ['%s']", cases[i].name);
        assert_true(target_for(&said, "openai-chat", false, i % 2 != 0).refused == cases[i].fields);
    }
    assert_true(
        target_for(&(said_t){.model = ", 'refuses': ['seed', 'stop']"}, "gemini", false, false)
            .refused == (FIELD(SEED) | FIELD(STOP)));
    assert_true(target_for(&(said_t){.model = NULL}, "gemini", false, false).refused == 0);
#undef FIELD
}

/* What a host or an offer says of sampling is the same, said by format. */
static void sampling_by_format(void **state)
{
    said_t said = {.host = CHAT("'temperature': false")};

    (void)state;
    assert_true(target_for(&said, "openai-chat", false, false).refused == SAMPLING);
    assert_true(target_for(&said, "openai-chat", true, false).refused == SAMPLING);
    assert_true(target_for(&said, "gemini", false, false).refused == 0);
    said = (said_t){.offer = CHAT("'temperature': true"),
                    .model = ", 'refuses': ['temperature', 'top_p', 'top_k', 'seed']"};
    assert_true(target_for(&said, "openai-chat", false, false).refused ==
                RELAY_REFUSED(RELAY_FIELD_SEED));
    assert_true(target_for(&said, "gemini", false, false).refused ==
                (SAMPLING | RELAY_REFUSED(RELAY_FIELD_SEED)));
}

/* A platform that serves a vendor's format may lack what only the vendor has. */
static void what_a_variant_refuses(void **state)
{
    entry_t *entry = entry_good("{'hosts': {'h': {'base_url': 'https://h', 'formats':"
                                "['vertex-gemini']}}}",
                                false);
    relay_candidate_t candidate = {.host = entry_host(entry, "h"), .wire = entry_wire("gemini")};

    (void)state;
    assert_true(relay_target_of(&candidate).refused == RELAY_REFUSED(RELAY_FIELD_SERVICE_TIER));
    entry_free(entry);
}

static void limits(void **state)
{
    said_t said = {.model = ", 'output_tokens': 100, 'reasoning_efforts': ['low', 'max']"};
    relay_target_t target = target_for(&said, "gemini", false, true);

    (void)state;
    assert_int_equal(target.output_tokens_max, 100);
    assert_int_equal(target.efforts, 1 << RELAY_EFFORT_LOW | 1 << RELAY_EFFORT_MAX);
    said.offer = ", 'output_tokens': 200, 'reasoning_efforts': ['none', 'minimal', 'medium',"
                 "'high', 'xhigh']";
    target = target_for(&said, "gemini", false, false);
    assert_int_equal(target.output_tokens_max, 200);
    assert_int_equal(target.efforts, 1 << RELAY_EFFORT_NONE | 1 << RELAY_EFFORT_MINIMAL |
                                         1 << RELAY_EFFORT_MEDIUM | 1 << RELAY_EFFORT_HIGH |
                                         1 << RELAY_EFFORT_XHIGH);
    target = target_for(&said, "gemini", true, false);
    assert_int_equal(target.output_tokens_max + target.efforts, 0);
}

static void budgets_stay_within_bounds(void **state)
{
    said_t said = {.model = ", 'reasoning_budget': {'min': 4000, 'max': 24576}"};
    relay_target_t target = target_for(&said, "gemini", false, false), usual = {.flags = 0};

    (void)state;
    assert_int_equal(relay_codec_budget(&target, RELAY_EFFORT_LOW), 4000);
    assert_int_equal(relay_codec_budget(&target, RELAY_EFFORT_MEDIUM),
                     relay_codec_budget(&usual, RELAY_EFFORT_MEDIUM));
    assert_int_equal(relay_codec_budget(&target, RELAY_EFFORT_MAX), 24576);
    said.model = NULL;
    target = target_for(&said, "gemini", false, false);
    for (unsigned i = 0; i < RELAY_EFFORTS; i++) {
        assert_int_equal(target.budget_tokens[i], 0);
    }
}

/* ---- what is refused ------------------------------------------------------ */

#define MODEL(members) "{'models': {'m': {" members "}}}"
#define HOST(members)                                                                              \
    "{'hosts': {'h': {'base_url': 'https://h', 'formats': ['openai-chat'], " members "}}}"

static void bad_documents(void **state)
{
    (void)state;
    entry_refused(HOST("'dialect': {'openai-chat': {'store': true}}"), true,
                  "hosts.h.dialect.openai-chat.store", "there is no member \"store\"");
    entry_refused(HOST("'dialect': {'openai-chat': {'top_k': 1}}"), true,
                  "hosts.h.dialect.openai-chat.top_k", "expected true or false");
    entry_refused(HOST("'dialect': {'openai-chat': {'adaptive_thinking': null}}"), true,
                  "hosts.h.dialect.openai-chat.adaptive_thinking", "expected true or false");
    entry_refused(HOST("'dialect': {'openai-chat': {'max_tokens_field': 'max'}}"), true,
                  "hosts.h.dialect.openai-chat.max_tokens_field",
                  "there is no member for the limit \"max\"");
    entry_refused(HOST("'dialect': {'telepathy': {}}"), false, "hosts.h.dialect.telepathy",
                  "there is no format");
    entry_refused(HOST("'dialect': []"), true, "hosts.h.dialect",
                  "expected an object of dialects by format");
    entry_refused("{'hosts': {'e': {'echo': true, 'dialect': {}}}}", false, "hosts.e.dialect",
                  "takes no such member");
    entry_refused(MODEL("'refuses': ['temprature']"), false, "models.m.refuses[0]",
                  "did you mean \"temperature\"?");
    entry_refused(MODEL("'refuses': 'temperature'"), false, "models.m.refuses",
                  "expected an array of fields");
    entry_refused(MODEL("'thinking': 'deep'"), false, "models.m.thinking",
                  "there is no way to think \"deep\"");
    entry_refused(MODEL("'reasoning_efforts': ['default']"), false, "models.m.reasoning_efforts[0]",
                  "there is no effort \"default\"");
    entry_refused(MODEL("'reasoning_efforts': {}"), false, "models.m.reasoning_efforts",
                  "expected an array of efforts");
    entry_refused(MODEL("'reasoning_budget': {'min': 2, 'max': 1}"), false,
                  "models.m.reasoning_budget", "\"min\" is above \"max\"");
    entry_refused(MODEL("'reasoning_budget': {'max': 0}"), false, "models.m.reasoning_budget.max",
                  "expected a whole number from 1");
}

static void the_catalog_may_know_other_formats(void **state)
{
    entry_t *entry = entry_good(HOST("'dialect': {'telepathy': 5, 'openai-chat': {}}"), true);

    (void)state;
    assert_int_equal(entry_host(entry, "h")->traits.formats, 0);
    entry_free(entry);
}

static void memory_may_run_out(void **state)
{
    (void)state;
    entry_without_memory("{'hosts': {'h': {'base_url': 'https://h', 'formats': ['openai-chat'],"
                         "'dialect': {'openai-chat': {'top_k': true}}}}, 'models': {'m': {"
                         "'refuses': ['seed'], 'thinking': 'budget', 'offers': [{'host': 'h',"
                         "'dialect': {'openai-chat': {'top_k': false}}}]}}}",
                         false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_member_of_a_dialect),
        cmocka_unit_test(dialects_by_format),
        cmocka_unit_test(the_offer_counts_before_the_model_and_that_before_the_host),
        cmocka_unit_test(every_field_that_can_be_refused),
        cmocka_unit_test(sampling_by_format),
        cmocka_unit_test(what_a_variant_refuses),
        cmocka_unit_test(limits),
        cmocka_unit_test(budgets_stay_within_bounds),
        cmocka_unit_test(bad_documents),
        cmocka_unit_test(the_catalog_may_know_other_formats),
        cmocka_unit_test(memory_may_run_out),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
