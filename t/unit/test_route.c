/*
 * Routing: what a reference means, who may use it, in which order candidates
 * are tried, and what callers are told when there is none.
 */

#include "route.c"

#include "config_check.h"

/* ' stands for ". */
static const char base[] =
    "{'hosts': {"
    "  'a': {'base_url': 'https://a', 'formats': ['openai-chat', 'openai-responses'],"
    "        'serves': ['a-*', '*@a'], 'timeouts': {'connect_ms': 11, 'idle_ms': 12}},"
    "  'b': {'base_url': 'https://b', 'formats': ['openai-chat', 'anthropic-messages'],"
    "        'serves': ['v/*', 'listed*'], 'passthrough': true},"
    "  'c': {'base_url': 'https://c', 'formats': ['anthropic-messages'], 'passthrough': true},"
    "  'd': {'base_url': 'https://d', 'formats': ['openai-chat']},"
    "  'e': {'echo': true, 'serves': ['echo-*']}},"
    "'models': {"
    "  'm': {'offers': [{'host': 'a', 'id': 'up-a'}, {'host': 'b'}], 'aliases': ['alias', 'v/al']},"
    "  'n': {'offers': [{'host': 'c', 'id': 'up-c'}], 'owned_by': 'us', 'created': 5,"
    "        'display_name': 'N', 'type': 'embedding', 'context_tokens': 6, 'output_tokens': 7},"
    "  'two': {'offers': [{'host': 'b', 'id': 'two-chat', 'formats': ['openai-chat']},"
    "                     {'host': 'b', 'id': 'two-messages', 'formats': ['anthropic-messages']}]},"
    "  'listed-1': {'aliases': ['li']}, 'a-listed': {}, 'x@2024': {'offers': [{'host': 'a'}]},"
    "  'x': {'offers': [{'host': 'b', 'id': 'only-x'}]}, 'lost': {}, 'away': {'offers': "
    "  [{'host': 'd'}]},"
    "  'relay/echo': {'offers': [{'host': 'e'}]}, 'both': {'offers': [{'host': 'e'}, {'host': "
    "  'a'}]}},"
    "'provider_keys': {'ka': {'host': 'a', 'value': '1'}, 'kb': {'host': 'b', 'value': '2'},"
    "  'kc': {'host': 'c', 'value': '3'}, 'ka2': {'host': 'a', 'value': '4'}},"
    "'pools': {'p': {'members': ['ka', {'key': 'kb', 'priority': 1}]}, 'q': {'members': ['kc']},"
    "  'w': {'members': [{'key': 'ka', 'weight': 3}, {'key': 'ka2', 'weight': 1}]}},"
    "'policies': {"
    "  'all': {'pools': ['p', 'q'], 'passthrough': true, 'timeouts': {'idle_ms': 13}},"
    "  'some': {'pools': ['p'], 'allow': ['m', 'a-*', 'v/x*', '*@a'], 'deny': ['a-bad*', '*x9@a']},"
    "  'b': {'pools': ['p', 'q'], 'hosts': ['b', 'e']}, 'none': {},"
    "  'weighted': {'pools': ['w']}, 'one': {'pools': ['p', 'q'], 'max_attempts': 1},"
    "  'deny': {'pools': ['p', 'q'], 'deny': ['m*', 'n']}},"
    "'relay_keys': {"
    "  'all': {'policy': 'all', 'key': 'all-------------------'},"
    "  'some': {'policy': 'some', 'key': 'some-------------------'},"
    "  'b': {'policy': 'b', 'key': 'b-------------------'},"
    "  'none': {'policy': 'none', 'key': 'none-------------------'},"
    "  'weighted': {'policy': 'weighted', 'key': 'weighted-------------------'},"
    "  'one': {'policy': 'one', 'key': 'one-------------------'},"
    "  'deny': {'policy': 'deny', 'key': 'deny-------------------'},"
    "  'narrow': {'policy': 'all', 'key': 'narrow-------------------', 'models': ['n']}}}";

static check_arena_t arena;
static const relay_config_t *config;
static relay_plan_t plan;
static relay_error_t error;
static char text[1024];

static int set_up(void **state)
{
    char document[sizeof(base)];

    (void)state;
    for (size_t i = 0; i < sizeof(base); i++) {
        document[i] = (char)(base[i] == '\'' ? '"' : base[i]);
    }
    config = check_build(&arena, document);
    return 0;
}

static int activate(void **state)
{
    (void)state;
    for (size_t i = 0; i < config->nprovider_keys; i++) {
        config->provider_keys[i].active = true;
    }
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    check_release(&arena);
    return 0;
}

static const relay_relay_key_t *key_named(const char *name)
{
    for (size_t i = 0; i < config->nrelay_keys; i++) {
        if (relay_span_eq(config->relay_keys[i].name, check_text(name))) {
            return &config->relay_keys[i];
        }
    }
    fail();
    return NULL;
}

static relay_provider_key_t *provider_key(const char *name)
{
    for (size_t i = 0; i < config->nprovider_keys; i++) {
        if (relay_span_eq(config->provider_keys[i].name, check_text(name))) {
            return &config->provider_keys[i];
        }
    }
    fail();
    return NULL;
}

static relay_error_code_t route(const char *key, const char *reference, const char *format)
{
    relay_buf_t scratch = relay_buf(text, sizeof(text));
    relay_error_code_t code;

    memset(&plan, 0x5a, sizeof(plan));
    code = relay_route_plan(config, key_named(key), check_text(reference),
                            relay_wire_find(check_text(format)), RELAY_OP_AUXILIARY, 42, &plan,
                            &scratch, &error);
    assert_true(code == RELAY_ERR_NONE ? plan.count != 0 : plan.count == 0);
    return code;
}

/* The plan as "key upstream,key upstream"; a host's name where there is no key. */
static void planned(const char *key, const char *reference, const char *format,
                    const char *expected)
{
    char got[1024] = "";
    relay_buf_t out = relay_buf(got, sizeof(got) - 1);

    if (route(key, reference, format) != RELAY_ERR_NONE) {
        print_error("%s: %.*s\n", reference, (int)error.message.len,
                    (const char *)error.message.base);
        fail();
    }
    for (size_t i = 0; i < plan.count; i++) {
        const relay_candidate_t *candidate = &plan.candidates[i];
        relay_buf_put(&out, i == 0 ? RELAY_SPAN("") : RELAY_SPAN(", "));
        relay_buf_put(&out, candidate->key != NULL ? candidate->key->name : candidate->host->name);
        RELAY_PUT(&out, " ");
        relay_buf_put(&out, candidate->upstream_model);
        assert_true(candidate->key == NULL || candidate->key->host == candidate->host);
        assert_ptr_equal(candidate->wire, relay_wire_find(check_text(format)));
    }
    assert_string_equal(got, expected);
}

static void refused(const char *key, const char *reference, const char *format,
                    relay_error_code_t code, const char *message)
{
    assert_int_equal(route(key, reference, format), code);
    assert_int_equal(error.code, code);
    check_span(error.message, message);
    check_span(error.param, "model");
    assert_int_equal(error.status, 0);
}

#define CHAT       "openai-chat"
#define RESPONSES  "openai-responses"
#define EMBEDDINGS "openai-embeddings"
#define MESSAGES   "anthropic-messages"

/* ---- references ------------------------------------------------------------ */

static void names_and_aliases(void **state)
{
    (void)state;
    planned("all", "m", CHAT, "ka up-a, kb m");
    check_span(plan.candidates[0].model, "m");
    planned("all", "alias", CHAT, "ka up-a, kb m");
    check_span(plan.candidates[0].model, "m");
    planned("all", "m", RESPONSES, "ka up-a");
    planned("all", "m", MESSAGES, "kb m");
    planned("all", "n", MESSAGES, "kc up-c");
}

static void vendors(void **state)
{
    (void)state;
    planned("all", "anyone/m", CHAT, "ka up-a, kb m");
    planned("all", "anyone/alias", CHAT, "ka up-a, kb m");
    planned("all", "v/al", CHAT, "ka up-a, kb m"); /* an alias as it stands */
    planned("all", "v/m", CHAT, "ka up-a, kb m");  /* a known model before a pattern */
    planned("all", "v/zz", CHAT, "kb v/zz");       /* a pattern, the whole name */
    planned("all", "v/w/m", CHAT, "kb v/w/m");     /* the first slash counts */
    planned("all", "x/relay/echo", CHAT, "e relay/echo");
    planned("all", "/m", CHAT, "ka up-a, kb m");
}

static void hosts_by_name(void **state)
{
    (void)state;
    planned("all", "m@b", CHAT, "kb m");
    planned("all", "m@a", CHAT, "ka up-a");
    planned("all", "alias@a", CHAT, "ka up-a");
    planned("all", "vendor/m@a", CHAT, "ka up-a");
    check_span(plan.candidates[0].model, "m");
    planned("all", "n@c", MESSAGES, "kc up-c");
    planned("all", "relay/echo@e", CHAT, "e relay/echo");
}

static void at_signs_in_names(void **state)
{
    (void)state;
    planned("all", "x@2024", CHAT, "ka x@2024");
    planned("all", "x@2024@a", CHAT, "ka x@2024");
    planned("all", "a-1@nowhere", CHAT, "ka a-1@nowhere"); /* no host: part of the name */
    planned("all", "x@b", CHAT, "kb only-x");
    assert_int_equal(route("all", "@a", CHAT), RELAY_ERR_MODEL_NOT_FOUND);
    assert_int_equal(route("all", "m@", CHAT), RELAY_ERR_MODEL_NOT_FOUND);
    assert_int_equal(route("all", "@", CHAT), RELAY_ERR_MODEL_NOT_FOUND);
}

static void patterns(void **state)
{
    (void)state;
    planned("all", "a-new", CHAT, "ka a-new");
    check_span(plan.candidates[0].model, "a-new");
    planned("all", "a-new@a", CHAT, "ka a-new");
    planned("all", "free/name:1@a", CHAT, "ka free/name:1"); /* "*@a" */
    check_span(plan.candidates[0].model, "free/name:1");
    planned("all", "n@a", CHAT, "ka n"); /* no offer there, but its pattern takes it */
    planned("all", "q/n@a", CHAT, "ka q/n");
    check_span(plan.candidates[0].model, "n");
    planned("all", "echo-1", CHAT, "e echo-1");
    assert_int_equal(route("all", "free", CHAT), RELAY_ERR_MODEL_NOT_FOUND);
    assert_int_equal(route("all", "free@b", CHAT), RELAY_ERR_MODEL_NOT_FOUND);
    assert_int_equal(route("all", "n@b", MESSAGES), RELAY_ERR_MODEL_NOT_FOUND);
}

static void models_without_offers(void **state)
{
    (void)state;
    planned("all", "listed-1", CHAT, "kb listed-1");
    planned("all", "li", CHAT, "kb listed-1");
    planned("all", "z/listed-1", CHAT, "kb listed-1");
    planned("all", "li@b", CHAT, "kb listed-1");
    refused("all", "lost", CHAT, RELAY_ERR_MODEL_NOT_FOUND,
            "Model \"lost\" is not served by any host of policy \"all\".");
}

static void lists(void **state)
{
    (void)state;
    planned("all", "a-1,m@b", CHAT, "ka a-1, kb m");
    planned("all", "m@b, a-1 ,m", CHAT, "kb m, ka a-1, ka up-a");
    planned("all", "m,m,alias", CHAT, "ka up-a, kb m");
    planned("all", "nothing,m", CHAT, "ka up-a, kb m");
    planned("all", "n,m", CHAT, "ka up-a, kb m"); /* n has another format only */
    planned("all", ",, m ,", CHAT, "ka up-a, kb m");
    planned("all", "m,relay/echo,a-1", CHAT, "ka up-a, kb m, e relay/echo");
    planned("all", "a-1,a-2,a-3,a-4,a-5", CHAT, "ka a-1, ka a-2, ka a-3, ka a-4");
    refused("all", "", CHAT, RELAY_ERR_MODEL_NOT_FOUND,
            "Model \"\" does not exist here. The list of models names those that this key can "
            "use.");
    refused("all", " , ", CHAT, RELAY_ERR_MODEL_NOT_FOUND,
            "Model \" , \" does not exist here. The list of models names those that this key can "
            "use.");
}

/* Of several errors, the one that came furthest. */
static void errors_of_lists(void **state)
{
    (void)state;
    assert_int_equal(route("all", "zzz,yyy", CHAT), RELAY_ERR_MODEL_NOT_FOUND);
    refused("narrow", "zzz,m", CHAT, RELAY_ERR_MODEL_NOT_ALLOWED,
            "Model \"m\" is not allowed for relay key \"narrow\".");
    assert_int_equal(route("narrow", "m,n,zzz", CHAT), RELAY_ERR_FORMAT_UNAVAILABLE);
}

static void names_that_cannot_be(void **state)
{
    (void)state;
    refused("all", "a-\"x", CHAT, RELAY_ERR_MODEL_NOT_FOUND,
            "Model \"a-\"x\" does not exist here. The list of models names those that this key "
            "can use.");
    assert_int_equal(route("all", "a- x", CHAT), RELAY_ERR_MODEL_NOT_FOUND);
    assert_int_equal(route("all", "a-\xc3\xa9", CHAT), RELAY_ERR_MODEL_NOT_FOUND);
    assert_int_equal(route("all", "a-\\n", CHAT), RELAY_ERR_MODEL_NOT_FOUND);
    assert_int_equal(route("all", "\"/m", CHAT), RELAY_ERR_MODEL_NOT_FOUND);
}

/* ---- formats --------------------------------------------------------------- */

static void offers_by_format(void **state)
{
    (void)state;
    planned("all", "two", CHAT, "kb two-chat");
    planned("all", "two", MESSAGES, "kb two-messages");
    planned("all", "two@b", MESSAGES, "kb two-messages");
    refused("all", "two", RESPONSES, RELAY_ERR_FORMAT_UNAVAILABLE,
            "Model \"two\" is not offered as openai-responses (/responses). It is offered as "
            "openai-chat (/chat/completions), anthropic-messages (/messages): use that endpoint.");
    refused("all", "n", CHAT, RELAY_ERR_FORMAT_UNAVAILABLE,
            "Model \"n\" is not offered as openai-chat (/chat/completions). It is offered as "
            "anthropic-messages (/messages): use that endpoint.");
    assert_int_equal(route("all", "a-1", MESSAGES), RELAY_ERR_FORMAT_UNAVAILABLE);
    assert_int_equal(route("all", "m@a", MESSAGES), RELAY_ERR_FORMAT_UNAVAILABLE);
}

/* ---- permissions ------------------------------------------------------------ */

static void policies(void **state)
{
    (void)state;
    planned("some", "m", CHAT, "ka up-a, kb m");
    planned("some", "alias", CHAT, "ka up-a, kb m"); /* the model's name counts */
    planned("some", "a-1", CHAT, "ka a-1");
    planned("some", "v/x1", CHAT, "kb v/x1");
    planned("some", "free@a", CHAT, "ka free"); /* as given, since it came by pattern */
    refused("some", "v/y", CHAT, RELAY_ERR_MODEL_NOT_ALLOWED,
            "Model \"v/y\" is not allowed by policy \"some\".");
    refused("some", "a-bad", CHAT, RELAY_ERR_MODEL_NOT_ALLOWED,
            "Model \"a-bad\" is not allowed by policy \"some\".");
    assert_int_equal(route("some", "a-bad@a", CHAT), RELAY_ERR_MODEL_NOT_ALLOWED);
    assert_int_equal(route("some", "x9@a", CHAT), RELAY_ERR_MODEL_NOT_ALLOWED);
    assert_int_equal(route("some", "relay/echo", CHAT), RELAY_ERR_MODEL_NOT_ALLOWED);
    assert_int_equal(route("some", "two", CHAT), RELAY_ERR_MODEL_NOT_ALLOWED);
    refused("deny", "alias", CHAT, RELAY_ERR_MODEL_NOT_ALLOWED,
            "Model \"alias\" is not allowed by policy \"deny\".");
    assert_int_equal(route("deny", "q/m@a", CHAT), RELAY_ERR_MODEL_NOT_ALLOWED);
    assert_int_equal(route("deny", "n@a", CHAT), RELAY_ERR_MODEL_NOT_ALLOWED);
    assert_int_equal(route("deny", "v/n@a", CHAT), RELAY_ERR_MODEL_NOT_ALLOWED);
    /* what does not exist is not forbidden, too */
    assert_int_equal(route("some", "zzz", CHAT), RELAY_ERR_MODEL_NOT_FOUND);
}

static void models_of_keys(void **state)
{
    (void)state;
    planned("narrow", "n", MESSAGES, "kc up-c");
    refused("narrow", "m", CHAT, RELAY_ERR_MODEL_NOT_ALLOWED,
            "Model \"m\" is not allowed for relay key \"narrow\".");
}

static void hosts_of_policies(void **state)
{
    (void)state;
    planned("b", "m", CHAT, "kb m");
    planned("b", "relay/echo", CHAT, "e relay/echo");
    refused("b", "n", MESSAGES, RELAY_ERR_MODEL_NOT_FOUND,
            "Model \"n\" is not served by any host of policy \"b\".");
    assert_int_equal(route("b", "m@a", CHAT), RELAY_ERR_MODEL_NOT_FOUND);
    refused("all", "away", CHAT, RELAY_ERR_MODEL_NOT_FOUND,
            "Model \"away\" is not served by any host of policy \"all\".");
}

/* ---- order ------------------------------------------------------------------ */

static unsigned first_times(const char *key, size_t runs)
{
    unsigned times = 0;
    relay_buf_t scratch = relay_buf(text, sizeof(text));

    for (uint64_t random = 0; random < runs; random++) {
        assert_int_equal(relay_route_plan(config, key_named("weighted"), RELAY_SPAN("m"),
                                          relay_wire_at(0), RELAY_OP_AUXILIARY, random, &plan,
                                          &scratch, &error),
                         RELAY_ERR_NONE);
        assert_int_equal(plan.count, 2);
        assert_ptr_not_equal(plan.candidates[0].key, plan.candidates[1].key);
        times += relay_span_eq(plan.candidates[0].key->name, check_text(key));
    }
    return times;
}

/* 3 : 1 of 10,000, standard deviation 43 */
static void weights(void **state)
{
    unsigned times = first_times("ka", 10000);

    (void)state;
    assert_in_range(times, 7500 - 220, 7500 + 220);
    assert_int_equal(times, first_times("ka", 10000)); /* the same numbers, the same plans */
}

static void priorities(void **state)
{
    relay_buf_t scratch = relay_buf(text, sizeof(text));

    (void)state;
    for (uint64_t random = 0; random < 200; random++) {
        assert_int_equal(relay_route_plan(config, key_named("all"), RELAY_SPAN("m"),
                                          relay_wire_at(0), RELAY_OP_AUXILIARY, random, &plan,
                                          &scratch, &error),
                         RELAY_ERR_NONE);
        assert_int_equal(plan.count, 2);
        check_span(plan.candidates[0].key->name, "ka");
    }
}

static void attempts(void **state)
{
    (void)state;
    planned("one", "m", CHAT, "ka up-a");
    planned("one", "m,relay/echo", CHAT, "ka up-a");
}

static void timeouts(void **state)
{
    const relay_timeouts_t *limits = &plan.candidates[0].timeouts;

    (void)state;
    planned("all", "m@a", CHAT, "ka up-a");
    assert_int_equal(limits->connect_ms, 11);
    assert_int_equal(limits->first_token_ms, 120000);
    assert_int_equal(limits->idle_ms, 13);
    assert_int_equal(limits->total_ms, 1800000);
    assert_int_equal(route("weighted", "m@a", RESPONSES), RELAY_ERR_NONE);
    assert_int_equal(limits->idle_ms, 12);
    planned("all", "m@b", CHAT, "kb m");
    assert_int_equal(limits->connect_ms, 5000);
}

/* Sixteen tiers and more: the plan stays inside its array, the order exact. */
static void many_members(void **state)
{
    enum { MEMBERS = 40 };
    static relay_host_t host;
    static relay_provider_key_t keys[MEMBERS];
    static relay_pool_member_t members[MEMBERS];
    relay_span_t star = RELAY_SPAN("*");
    relay_globs_t any = {&star, 1};
    relay_pool_t pool = {RELAY_SPAN("p"), members, MEMBERS};
    const relay_pool_t *pools[] = {&pool, &pool};
    relay_policy_t policy = {RELAY_SPAN("x"), pools, 2, any, {0}, any, true, false, 99, {0}};
    relay_relay_key_t key = {.policy = &policy, .models = any};
    relay_config_t own = {.hosts = &host, .nhosts = 1};
    relay_buf_t scratch = relay_buf(text, sizeof(text));

    (void)state;
    host =
        (relay_host_t){.name = RELAY_SPAN("h"), .formats = 1, .serves = any, .passthrough = true};
    for (size_t i = 0; i < MEMBERS; i++) {
        keys[i] = (relay_provider_key_t){.index = i, .host = &host, .active = true};
        members[i] = (relay_pool_member_t){&keys[i], 1 + i % 3, (uint32_t)(MEMBERS - i) / 4};
    }
    for (uint64_t random = 0; random < 50; random++) {
        assert_int_equal(relay_route_plan(&own, &key, RELAY_SPAN("m"), relay_wire_at(0),
                                          RELAY_OP_GENERATE, random, &plan, &scratch, &error),
                         RELAY_ERR_NONE);
        assert_int_equal(plan.count, RELAY_CANDIDATES_MAX);
        for (size_t i = 1; i < plan.count; i++) {
            assert_true(members[plan.candidates[i - 1].key->index].priority <=
                        members[plan.candidates[i].key->index].priority);
            for (size_t j = 0; j < i; j++) {
                assert_ptr_not_equal(plan.candidates[i].key, plan.candidates[j].key);
            }
        }
        assert_int_equal(
            relay_route_passthrough(&own, &key, relay_dialect_at(0), random, &plan, &error),
            RELAY_ERR_NONE);
        assert_int_equal(plan.count, RELAY_CANDIDATES_MAX);
    }
}

/* ---- provider keys ----------------------------------------------------------- */

static void inactive_keys(void **state)
{
    (void)state;
    provider_key("ka")->active = false;
    planned("all", "m", CHAT, "kb m");
    provider_key("kb")->active = false;
    refused("all", "m", CHAT, RELAY_ERR_NO_PROVIDER_KEY,
            "Model \"m\" has no provider key: policy \"all\" needs one for a, b.");
    refused("all", "m", RESPONSES, RELAY_ERR_NO_PROVIDER_KEY,
            "Model \"m\" has no provider key: policy \"all\" needs one for a.");
    provider_key("ka2")->active = false;
    refused("weighted", "m", RESPONSES, RELAY_ERR_NO_PROVIDER_KEY,
            "Model \"m\" has no provider key: policy \"weighted\" needs one for a.");
    provider_key("ka2")->active = true;
    planned("weighted", "m", RESPONSES, "ka2 up-a");
    planned("all", "relay/echo", CHAT, "e relay/echo");
}

/* Callers get a few hosts named, each once. */
static void many_hosts_without_keys(void **state)
{
    static const char document[] =
        "{\"hosts\": {%s}, \"provider_keys\": {%s}, \"pools\": {\"p\": {\"members\": [%s]}},"
        "\"policies\": {\"x\": {\"pools\": [\"p\"]}}, \"relay_keys\": {\"k\": {\"policy\": "
        "\"x\", \"key\": \"k-------------------\"}}}";
    char hosts[1024] = "", keys[1024] = "", members[256] = "", whole[4096];
    relay_buf_t scratch = relay_buf(text, sizeof(text));
    check_arena_t own_arena = {0};
    relay_config_fault_t fault;
    const relay_config_t *own;

    (void)state;
    for (int i = 0; i < 12; i++) {
        size_t at = strlen(keys);
        snprintf(keys + at, sizeof(keys) - at, "%s\"k%d\": {\"host\": \"h%d\", \"value\": \"\"}",
                 i != 0 ? "," : "", i, i / 2);
        at = strlen(members);
        snprintf(members + at, sizeof(members) - at, "%s\"k%d\"", i != 0 ? "," : "", i);
        at = strlen(hosts);
        snprintf(hosts + at, sizeof(hosts) - at,
                 "%s\"h%d\": {\"base_url\": \"http://h\", \"formats\": [\"openai-chat\"], "
                 "\"serves\": [\"*\"]}",
                 i != 0 ? "," : "", i);
    }
    snprintf(whole, sizeof(whole), document, hosts, keys, members);
    own = check_try(&own_arena, whole, &fault);
    assert_non_null(own);
    assert_int_equal(relay_route_plan(own, &own->relay_keys[0], RELAY_SPAN("m"), relay_wire_at(0),
                                      false, 1, &plan, &scratch, &error),
                     RELAY_ERR_NO_PROVIDER_KEY);
    check_span(error.message,
               "Model \"m\" has no provider key: policy \"x\" needs one for h0, h1, h2, h3.");
    check_release(&own_arena);
}

static void echo_hosts(void **state)
{
    (void)state;
    planned("none", "relay/echo", CHAT, "e relay/echo");
    assert_null(plan.candidates[0].key);
    assert_true(plan.candidates[0].host->echo);
    assert_int_equal(plan.candidates[0].timeouts.total_ms, 1800000);
    planned("none", "relay/echo", MESSAGES, "e relay/echo");
    planned("all", "both", CHAT, "ka both, e both"); /* keys first */
    planned("none", "both", CHAT, "e both");
    refused("none", "m", CHAT, RELAY_ERR_MODEL_NOT_FOUND,
            "Model \"m\" is not served by any host of policy \"none\".");
}

/* ---- messages ----------------------------------------------------------------- */

static void messages_follow_what_is_in_scratch(void **state)
{
    char room[80];
    relay_buf_t scratch = relay_buf(room, sizeof(room));

    (void)state;
    RELAY_PUT(&scratch, "before");
    assert_int_equal(relay_route_plan(config, key_named("all"), RELAY_SPAN("lost"),
                                      relay_wire_at(0), RELAY_OP_AUXILIARY, 1, &plan, &scratch,
                                      &error),
                     RELAY_ERR_MODEL_NOT_FOUND);
    check_span(error.message, "Model \"lost\" is not served by any host of policy \"all\".");
    assert_int_equal(relay_route_plan(config, key_named("all"), RELAY_SPAN("lost"),
                                      relay_wire_at(0), RELAY_OP_AUXILIARY, 1, &plan, &scratch,
                                      &error),
                     RELAY_ERR_MODEL_NOT_FOUND);
    assert_true(error.message.len < 40); /* cut, not written behind the end */
}

/* ---- other formats ----------------------------------------------------------------- */

/* The plan as "key format,key format". */
static void translated(const char *key, const char *reference, const char *format,
                       const char *expected)
{
    relay_buf_t scratch = relay_buf(text, sizeof(text));
    char got[512] = "";
    relay_buf_t out = relay_buf(got, sizeof(got) - 1);

    assert_int_equal(relay_route_plan(config, key_named(key), check_text(reference),
                                      relay_wire_find(check_text(format)), RELAY_OP_GENERATE, 42,
                                      &plan, &scratch, &error),
                     RELAY_ERR_NONE);
    for (size_t i = 0; i < plan.count; i++) {
        relay_buf_put(&out, i == 0 ? RELAY_SPAN("") : RELAY_SPAN(","));
        relay_buf_put(&out, plan.candidates[i].key->name);
        RELAY_PUT(&out, " ");
        relay_buf_put(&out, plan.candidates[i].wire->name);
    }
    assert_string_equal(got, expected);
}

static void other_formats(void **state)
{
    relay_buf_t scratch = relay_buf(text, sizeof(text));

    (void)state;
    translated("all", "n", "openai-chat", "kc anthropic-messages");
    check_span(plan.candidates[0].upstream_model, "up-c");
    assert_ptr_equal(plan.candidates[0].offer,
                     &relay_config_find_model(config, RELAY_SPAN("n"))->offers[0]);
    /* the caller's own format wherever there is one, in the order of the pool */
    translated("all", "m", "openai-chat", "ka openai-chat,kb openai-chat");
    translated("all", "m", "anthropic-messages", "ka openai-chat,kb anthropic-messages");
    /* of several offers the one in the format that is used */
    translated("all", "two", "anthropic-messages", "kb anthropic-messages");
    check_span(plan.candidates[0].upstream_model, "two-messages");
    /* by pattern */
    translated("all", "a-new", "anthropic-messages", "ka openai-chat");
    assert_null(plan.candidates[0].offer);
    /* what has no codec stays what it is */
    assert_int_equal(relay_route_plan(config, key_named("all"), RELAY_SPAN("n"),
                                      relay_wire_find(RELAY_SPAN("openai-embeddings")),
                                      RELAY_OP_GENERATE, 42, &plan, &scratch, &error),
                     RELAY_ERR_FORMAT_UNAVAILABLE);
}

/* ---- unknown paths --------------------------------------------------------------- */

static relay_error_code_t pass(const char *key, unsigned dialect)
{
    return relay_route_passthrough(config, key_named(key), relay_dialect_at(dialect), 7, &plan,
                                   &error);
}

static void passthrough(void **state)
{
    (void)state;
    assert_int_equal(pass("all", 0), RELAY_ERR_NONE);
    assert_int_equal(plan.count, 1);
    check_span(plan.candidates[0].host->name, "b");
    check_span(plan.candidates[0].wire->name, CHAT);
    assert_int_equal(plan.candidates[0].upstream_model.len, 0);
    assert_int_equal(plan.candidates[0].timeouts.idle_ms, 13);
    assert_int_equal(pass("all", 1), RELAY_ERR_NONE);
    assert_int_equal(plan.count, 2); /* by pools: p before q */
    check_span(plan.candidates[0].host->name, "b");
    check_span(plan.candidates[0].wire->name, MESSAGES);
    check_span(plan.candidates[1].host->name, "c");
}

static void passthrough_refused(void **state)
{
    (void)state;
    assert_int_equal(pass("b", 0), RELAY_ERR_PATH_NOT_FOUND); /* the policy does not */
    assert_int_equal(error.code, RELAY_ERR_PATH_NOT_FOUND);
    assert_int_equal(plan.count, 0);
    assert_int_equal(pass("none", 0), RELAY_ERR_PATH_NOT_FOUND);
    provider_key("kb")->active = false;
    assert_int_equal(pass("all", 0), RELAY_ERR_NO_PROVIDER_KEY);
    assert_int_equal(error.code, RELAY_ERR_NO_PROVIDER_KEY);
    assert_int_equal(pass("all", 1), RELAY_ERR_NONE);
    check_span(plan.candidates[0].host->name, "c");
}

/* ---- listing ------------------------------------------------------------------------ */

static void listed(const char *key, unsigned dialect, const char *expected)
{
    relay_model_view_t views[16];
    size_t count = relay_route_models(config, key_named(key), relay_dialect_at(dialect), views, 16);
    char got[512] = "";
    relay_buf_t out = relay_buf(got, sizeof(got) - 1);

    for (size_t i = 0; i < count; i++) {
        relay_buf_put(&out, i == 0 ? RELAY_SPAN("") : RELAY_SPAN(" "));
        relay_buf_put(&out, views[i].id);
    }
    assert_string_equal(got, expected);
}

static void models_are_listed(void **state)
{
    (void)state;
    /* what is offered in another format only can be reached, too */
    listed("all", 0, "a-listed both listed-1 m n relay/echo two x x@2024");
    listed("all", 1, "a-listed both listed-1 m n relay/echo two x x@2024");
    listed("b", 0, "both listed-1 m relay/echo two x");
    listed("some", 0, "a-listed m");
    listed("narrow", 1, "n");
    listed("narrow", 0, "n");
    listed("none", 0, "both relay/echo");
    provider_key("kb")->active = false;
    listed("all", 0, "a-listed both m n relay/echo x@2024");
    provider_key("kc")->active = false;
    listed("all", 0, "a-listed both m relay/echo x@2024");
}

/* Of a key that is in no document, only the policy is one of the configuration. */
static void keys_from_elsewhere(void **state)
{
    const relay_span_t star = RELAY_SPAN("*"), narrow = RELAY_SPAN("n");
    relay_relay_key_t key = {.name = RELAY_SPAN("rk"), .models = {&star, 1}};
    relay_buf_t scratch = relay_buf(text, sizeof(text));

    (void)state;
    key.policy = relay_config_find_policy(config, RELAY_SPAN("all"));
    assert_non_null(key.policy);
    assert_int_equal(relay_route_plan(config, &key, RELAY_SPAN("m"), relay_wire_at(0),
                                      RELAY_OP_AUXILIARY, 1, &plan, &scratch, &error),
                     RELAY_ERR_NONE);
    check_span(plan.candidates[0].key->name, "ka");
    assert_int_equal(relay_route_models(config, &key, relay_dialect_at(0), NULL, 0), 9);
    key.models.items = &narrow;
    assert_int_equal(relay_route_plan(config, &key, RELAY_SPAN("m"), relay_wire_at(0),
                                      RELAY_OP_AUXILIARY, 1, &plan, &scratch, &error),
                     RELAY_ERR_MODEL_NOT_ALLOWED);
    assert_non_null(memmem(error.message.base, error.message.len, "relay key \"rk\"", 14));
}

/* 700 models of a catalog at three hosts: what a policy without limits lists is
 * what its pools can reach, with keys that are active. */
static void catalogs_are_listed(void **state)
{
    enum { MODELS = 700 };
    static char catalog[MODELS * 64 + 1024];
    static const char own[] = "{\"provider_keys\":{\"k0\":{\"host\":\"h0\",\"value\":\"x\"},"
                              "\"k1\":{\"host\":\"h1\",\"value\":\"x\"}},"
                              "\"pools\":{\"p\":{\"members\":[\"k0\",\"k1\"]}},\"policies\":{"
                              "\"all\":{\"pools\":[\"p\"]}}}";
    const relay_span_t star = RELAY_SPAN("*");
    relay_document_t documents[] = {{RELAY_SPAN("c"), {0}, true}, {RELAY_SPAN("o"), {0}, false}};
    relay_relay_key_t key = {.models = {&star, 1}};
    check_arena_t blocks = {0};
    relay_arena_t memory = {check_allocate, &blocks};
    relay_config_fault_t fault;
    const relay_config_t *built;
    size_t at = 0;

    (void)state;
    at += (size_t)snprintf(catalog, sizeof(catalog), "{\"hosts\":{");
    for (size_t i = 0; i < 3; i++) {
        at += (size_t)snprintf(catalog + at, sizeof(catalog) - at,
                               "%s\"h%zu\":{\"base_url\":\"https://h%zu\",\"formats\":"
                               "[\"openai-chat\"]}",
                               i != 0 ? "," : "", i, i);
    }
    at += (size_t)snprintf(catalog + at, sizeof(catalog) - at, "},\"models\":{");
    for (size_t i = 0; i < MODELS; i++) {
        at += (size_t)snprintf(catalog + at, sizeof(catalog) - at,
                               "%s\"m%zu\":{\"offers\":[{\"host\":\"h%zu\"}]}", i != 0 ? "," : "",
                               i, i % 3);
    }
    snprintf(catalog + at, sizeof(catalog) - at, "}}");
    documents[0].text = check_text(catalog);
    documents[1].text = check_text(own);
    built = relay_config_build(&memory, documents, 2, &fault);
    assert_non_null(built);
    key.policy = relay_config_find_policy(built, RELAY_SPAN("all"));
    built->provider_keys[0].active = true;
    assert_int_equal(relay_route_models(built, &key, relay_dialect_at(0), NULL, 0), 234);
    built->provider_keys[1].active = true;
    assert_int_equal(relay_route_models(built, &key, relay_dialect_at(0), NULL, 0), 467);
    built->provider_keys[0].active = false;
    assert_int_equal(relay_route_models(built, &key, relay_dialect_at(0), NULL, 0), 233);
    check_release(&blocks);
}

static void listing_has_a_capacity(void **state)
{
    relay_model_view_t views[3];

    (void)state;
    memset(views, 0, sizeof(views));
    assert_int_equal(relay_route_models(config, key_named("all"), relay_dialect_at(0), views, 2),
                     9);
    check_span(views[1].id, "both");
    assert_null(views[2].id.base);
    assert_int_equal(relay_route_models(config, key_named("all"), relay_dialect_at(0), NULL, 0), 9);
    assert_int_equal(relay_route_models(config, key_named("narrow"), relay_dialect_at(1), views, 3),
                     1);
    check_span(views[0].id, "n");
    check_span(views[0].display_name, "N");
    check_span(views[0].owned_by, "us");
    check_span(views[0].type, "embedding");
    assert_int_equal(views[0].created_s, 5);
    assert_int_equal(views[0].context_tokens, 6);
    assert_int_equal(views[0].output_tokens, 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(names_and_aliases, activate),
        cmocka_unit_test_setup(vendors, activate),
        cmocka_unit_test_setup(hosts_by_name, activate),
        cmocka_unit_test_setup(at_signs_in_names, activate),
        cmocka_unit_test_setup(patterns, activate),
        cmocka_unit_test_setup(models_without_offers, activate),
        cmocka_unit_test_setup(lists, activate),
        cmocka_unit_test_setup(errors_of_lists, activate),
        cmocka_unit_test_setup(names_that_cannot_be, activate),
        cmocka_unit_test_setup(offers_by_format, activate),
        cmocka_unit_test_setup(policies, activate),
        cmocka_unit_test_setup(models_of_keys, activate),
        cmocka_unit_test_setup(hosts_of_policies, activate),
        cmocka_unit_test_setup(weights, activate),
        cmocka_unit_test_setup(priorities, activate),
        cmocka_unit_test_setup(attempts, activate),
        cmocka_unit_test_setup(timeouts, activate),
        cmocka_unit_test_setup(many_members, activate),
        cmocka_unit_test_setup(inactive_keys, activate),
        cmocka_unit_test_setup(many_hosts_without_keys, activate),
        cmocka_unit_test_setup(echo_hosts, activate),
        cmocka_unit_test_setup(messages_follow_what_is_in_scratch, activate),
        cmocka_unit_test_setup(other_formats, activate),
        cmocka_unit_test_setup(passthrough, activate),
        cmocka_unit_test_setup(passthrough_refused, activate),
        cmocka_unit_test_setup(models_are_listed, activate),
        cmocka_unit_test_setup(listing_has_a_capacity, activate),
        cmocka_unit_test_setup(keys_from_elsewhere, activate),
        cmocka_unit_test(catalogs_are_listed),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
