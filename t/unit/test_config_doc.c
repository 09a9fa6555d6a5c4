/*
 * Configuration documents as a whole: what is read, several of them, limits and
 * sizes, memory that runs out at any moment. What is refused is the subject of
 * test_config_read.c. Documents are written with ' for ".
 */

#include "config_doc.c"

#include "config_check.h"
#include "valgrind_check.h"

/* Sections that many documents begin with. */
#define A                                                                                          \
    "'hosts': {'a': {'base_url': 'https://h', 'formats': ['openai-chat']}, 'e': {'echo': true}}"
#define K                                                                                          \
    A ", 'provider_keys': {'k': {'host': 'a', 'value': 'x'}, "                                     \
      "'main-key': {'host': 'a', 'value': 'y'}}"
#define P   "'policies': {'x': {}}"
#define RLY "rly_01234567ABCDEFGHIJKLMNOPQRSTUVWXYZabcdef3bgdHc"
#define SHA "91d402d7f382f5209357649631365922853062107e48343f8fb493879924e6ef"

static const relay_config_t *build_document(check_arena_t *arena, const char *written)
{
    char document[CHECK_DOCUMENT_MAX];
    const relay_config_t *config;

    check_prepare(written, document);
    config = check_build(arena, document);
    memset(document, 'x', sizeof(document)); /* nothing may point here */
    return config;
}

static void show(const relay_config_fault_t *fault)
{
    print_error("%zu:%zu: %s: %s\n", fault->line, fault->column, fault->path, fault->message);
}

/* ---- what is read --------------------------------------------------------- */

#define FULL                                                                                       \
    "{\n"                                                                                          \
    "'$schema': 'any', '$comment': {'hosts': [1, 2]},\n"                                           \
    "'hosts': {'$comment': 'x',\n"                                                                 \
    " 'b': {'$comment': 1, 'base_url': 'https://API.Example.com:8443/v1/',\n"                      \
    "  'formats': {'openai-chat': '/chat', 'anthropic-messages': '/a/messages'},\n"                \
    "  'auth': {'header': 'X-Key', '$comment': null}, 'headers': {'X-One_2': 'two three'},\n"      \
    "  'local': true, 'passthrough': true, 'stream_usage': false,\n"                               \
    "  'tls': {'verify': false, 'ca_file': '/ca.pem', 'name': 'Other.example'},\n"                 \
    "  'timeouts': {'connect_ms': 1, 'first_token_ms': 2, 'idle_ms': 3, 'total_ms': 86400000},\n"  \
    "  'serves': ['b-*', '*@b']},\n"                                                               \
    " 'a': {'base_url': 'http://[::1]', 'formats': ['openai-chat', 'openai-embeddings']},\n"       \
    " 'echo': {'echo': true}},\n"                                                                  \
    "'models': {\n"                                                                                \
    " 'm\\u002d2': {'display_name': 'M \\u00e9', 'owned_by': 'us', 'created': 1700000000,\n"       \
    "  'context_tokens': 1000, 'output_tokens': 100, 'aliases': ['two', 'v/zwei'],\n"              \
    "  'offers': [{'host': 'b', 'id': 'up:2', 'formats': ['openai-chat']}, {'host': 'a'}]},\n"     \
    " 'm-1': {}, 'relay/echo': {'offers': [{'host': 'echo'}]}},\n"                                 \
    "'provider_keys': {\n"                                                                         \
    " 'k2': {'host': 'b', 'value': 'env:B_KEY', 'optional': true},\n"                              \
    " 'k1': {'host': 'a', 'value': ''}, 'k3': {'host': 'a', 'value': 'file:/k'},\n"                \
    " 'k0': {'host': 'a', 'value': 'sk-plain'}},\n"                                                \
    "'workspace': 'w', 'revocations': {\n"                                                         \
    " '00d402d7f382f5209357649631365922853062107e48343f8fb493879924e6e0': 1},\n"                   \
    "'pools': {'p': {'members': ['k1', {'key': 'k2', 'weight': 7, 'priority': 3}]}, 'q': {}},\n"   \
    "'policies': {'x': {'pools': ['q', 'p'], 'allow': ['m*'], 'deny': ['m-9'], 'hosts': ['?'],\n"  \
    "  'passthrough': true, 'strict': true, 'max_attempts': 16, 'timeouts': {'idle_ms': 5}}, "     \
    "'plain': {}},\n"                                                                              \
    "'relay_keys': {\n"                                                                            \
    " 'one': {'policy': 'x', 'key': 'rly_01234567ABCDEFGHIJKLMNOPQRSTUVWXYZabcdef3bgdHc',\n"       \
    "  'models': ['m-1'], 'expires_at': '2027-01-01T00:00:00Z', 'disabled': true},\n"              \
    " 'two': {'policy': 'plain', 'expires_at': null, 'sha256':\n"                                  \
    "  '00D402D7f382f5209357649631365922853062107e48343f8fb493879924e6ef'}}\n"                     \
    "}\n"

static void hosts_are_read(void **state)
{
    check_arena_t arena = {0};
    const relay_config_t *config = build_document(&arena, FULL);
    const relay_host_t *b = relay_config_find_host(config, RELAY_SPAN("b"));

    (void)state;
    assert_int_equal(config->nhosts, 3);
    assert_non_null(b);
    assert_int_equal(b->index, 1);
    assert_ptr_equal(b, &config->hosts[1]);
    assert_true(b->tls && b->local && b->passthrough && !b->stream_usage && !b->echo);
    check_span(b->server_name, "api.example.com");
    check_span(b->authority, "api.example.com:8443");
    assert_int_equal(b->port, 8443);
    check_span(b->base_path, "/v1");
    assert_int_equal(b->formats, 1 << 0 | 1 << 3);
    check_span(b->paths[0], "/chat");
    check_span(b->paths[3], "/a/messages");
    check_span(b->auth_header, "x-key");
    check_span(b->auth_prefix, "");
    assert_int_equal(b->nheaders, 1);
    check_span(b->headers[0].name, "x-one_2");
    check_span(b->headers[0].value, "two three");
    assert_false(b->tls_verify);
    check_span(b->tls_ca_file, "/ca.pem");
    check_span(b->tls_name, "other.example");
    assert_int_equal(b->timeouts.connect_ms, 1);
    assert_int_equal(b->timeouts.first_token_ms, 2);
    assert_int_equal(b->timeouts.idle_ms, 3);
    assert_int_equal(b->timeouts.total_ms, 86400000);
    assert_int_equal(b->serves.count, 2);
    check_span(b->serves.items[1], "*@b");
    check_release(&arena);
}

static void hosts_have_defaults(void **state)
{
    check_arena_t arena = {0};
    const relay_config_t *config = build_document(&arena, FULL);
    const relay_host_t *a = &config->hosts[0], *echo = &config->hosts[2];

    (void)state;
    check_span(a->name, "a");
    check_span(a->server_name, "::1");
    check_span(a->authority, "[::1]");
    check_span(a->tls_name, "::1");
    check_span(a->base_path, "");
    assert_int_equal(a->port, 80);
    assert_true(!a->tls && !a->local && !a->passthrough && a->stream_usage && a->tls_verify);
    check_span(a->auth_header, "authorization");
    check_span(a->auth_prefix, "Bearer ");
    check_span(a->paths[0], "/chat/completions");
    check_span(a->paths[2], "/embeddings");
    assert_int_equal(a->paths[1].len, 0);
    assert_int_equal(a->timeouts.connect_ms, 0);
    assert_int_equal(a->serves.count, 0);
    assert_true(echo->echo);
    for (unsigned i = 0; relay_wire_at(i) != NULL; i++) {
        bool spoken = (echo->formats >> i & 1) != 0;
        assert_true(spoken == (relay_variant_of(relay_wire_at(i)) != NULL));
        assert_true(spoken == (echo->paths[i].len != 0));
    }
    assert_int_equal(config->necho_hosts, 1);
    assert_ptr_equal(config->echo_hosts[0], echo);
    assert_null(relay_config_find_host(config, RELAY_SPAN("c")));
    assert_null(relay_config_find_host(config, RELAY_SPAN("")));
    check_release(&arena);
}

static void auth_prefixes(void **state)
{
    check_arena_t arena = {0};
    const relay_config_t *config = build_document(
        &arena,
        "{'hosts': {"
        "'a': {'base_url': 'http://h', 'formats': ['openai-chat'], 'auth': {'prefix': ''}},"
        "'b': {'base_url': 'http://h', 'formats': ['openai-chat'], 'auth': {'prefix': 'Key '}},"
        "'c': {'base_url': 'http://h', 'formats': ['openai-chat'],"
        "      'auth': {'header': 'x-api-key', 'prefix': 'Key '}},"
        "'d': {'base_url': 'http://h', 'formats': ['openai-chat'],"
        "      'auth': {'header': 'AUTHORIZATION'}}}}");

    (void)state;
    check_span(config->hosts[0].auth_prefix, "");
    check_span(config->hosts[1].auth_prefix, "Key ");
    check_span(config->hosts[2].auth_prefix, "Key ");
    check_span(config->hosts[2].auth_header, "x-api-key");
    check_span(config->hosts[3].auth_prefix, "Bearer ");
    check_span(config->hosts[3].auth_header, "authorization");
    check_release(&arena);
}

static void models_are_read(void **state)
{
    check_arena_t arena = {0};
    const relay_config_t *config = build_document(&arena, FULL);
    const relay_model_t *model = relay_config_find_model(config, RELAY_SPAN("m-2"));

    (void)state;
    assert_int_equal(config->nmodels, 3);
    assert_non_null(model);
    check_span(model->display_name, "M \xc3\xa9");
    check_span(model->owned_by, "us");
    assert_int_equal(model->created_s, 1700000000);
    assert_int_equal(model->context_tokens, 1000);
    assert_int_equal(model->output_tokens, 100);
    assert_int_equal(model->noffers, 2);
    assert_ptr_equal(model->offers[0].host, &config->hosts[1]);
    check_span(model->offers[0].upstream_id, "up:2");
    assert_int_equal(model->offers[0].formats, 1);
    assert_ptr_equal(model->offers[1].host, &config->hosts[0]);
    check_span(model->offers[1].upstream_id, "m-2");
    assert_int_equal(model->offers[1].formats, 1 << 0 | 1 << 2);
    assert_int_equal(config->naliases, 2);
    assert_ptr_equal(relay_config_find_alias(config, RELAY_SPAN("two")), model);
    assert_ptr_equal(relay_config_find_alias(config, RELAY_SPAN("v/zwei")), model);
    assert_null(relay_config_find_alias(config, RELAY_SPAN("m-2")));
    assert_null(relay_config_find_model(config, RELAY_SPAN("two")));
    assert_int_equal(relay_config_find_model(config, RELAY_SPAN("m-1"))->noffers, 0);
    check_release(&arena);
}

static void keys_pools_and_policies_are_read(void **state)
{
    check_arena_t arena = {0};
    const relay_config_t *config = build_document(&arena, FULL);
    const relay_provider_key_t *keys = config->provider_keys;
    const relay_policy_t *plain = &config->policies[0], *x = &config->policies[1];

    (void)state;
    assert_int_equal(config->nprovider_keys, 4);
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(keys[i].index, i);
    }
    assert_int_equal(keys[0].secret_kind, RELAY_SECRET_PLAIN);
    check_span(keys[0].secret, "sk-plain");
    assert_int_equal(keys[1].secret_kind, RELAY_SECRET_PLAIN);
    check_span(keys[1].secret, "");
    assert_int_equal(keys[2].secret_kind, RELAY_SECRET_ENV);
    check_span(keys[2].secret, "B_KEY");
    assert_true(keys[2].optional && !keys[1].optional);
    assert_int_equal(keys[3].secret_kind, RELAY_SECRET_FILE);
    check_span(keys[3].secret, "/k");
    assert_int_equal(config->npools, 2);
    assert_int_equal(config->pools[0].nmembers, 2);
    assert_ptr_equal(config->pools[0].members[0].key, &keys[1]);
    assert_int_equal(config->pools[0].members[0].weight, 1);
    assert_int_equal(config->pools[0].members[0].priority, 0);
    assert_ptr_equal(config->pools[0].members[1].key, &keys[2]);
    assert_int_equal(config->pools[0].members[1].weight, 7);
    assert_int_equal(config->pools[0].members[1].priority, 3);
    assert_int_equal(config->npolicies, 2);
    assert_ptr_equal(x->pools[0], &config->pools[1]);
    assert_ptr_equal(x->pools[1], &config->pools[0]);
    assert_int_equal(x->allow.count, 1);
    check_span(x->deny.items[0], "m-9");
    check_span(x->hosts.items[0], "?");
    assert_true(x->passthrough && !plain->passthrough);
    assert_true(x->strict && !plain->strict);
    assert_int_equal(x->max_attempts, 16);
    assert_int_equal(x->timeouts.idle_ms, 5);
    assert_int_equal(plain->max_attempts, 4);
    assert_int_equal(plain->npools, 0);
    check_span(plain->allow.items[0], "*");
    check_span(plain->hosts.items[0], "*");
    assert_int_equal(plain->deny.count, 0);
    check_release(&arena);
}

static void relay_keys_are_read(void **state)
{
    check_arena_t arena = {0};
    const relay_config_t *config = build_document(&arena, FULL);
    const relay_relay_key_t *one, *two;
    relay_digest_t digest;

    (void)state;
    assert_true(relay_key_digest(
        RELAY_SPAN("sk-rly_01234567ABCDEFGHIJKLMNOPQRSTUVWXYZabcdef3bgdHc"), &digest));
    one = relay_config_find_key(config, &digest);
    assert_non_null(one);
    check_span(one->name, "one");
    check_span(one->policy->name, "x");
    check_span(one->models.items[0], "m-1");
    assert_int_equal(one->expires_at_s, 1798761600);
    assert_true(one->disabled);
    digest.bytes[0] = 0;
    two = relay_config_find_key(config, &digest);
    assert_non_null(two);
    check_span(two->name, "two");
    check_span(two->models.items[0], "*");
    assert_int_equal(two->expires_at_s, 0);
    assert_false(two->disabled);
    digest.bytes[0] = 1;
    assert_null(relay_config_find_key(config, &digest));
    check_release(&arena);
}

static void origins(void **state)
{
    static const struct {
        const char *base_url;
        const char *origin;
        const char *authority;
        const char *server_name;
    } cases[] = {
        {"https://API.Example.com/v1", "https://api.example.com:443", "api.example.com",
         "api.example.com"},
        {"https://h:443", "https://h:443", "h", "h"},
        {"https://h:80", "https://h:80", "h:80", "h"},
        {"HTTP://h", "http://h:80", "h", "h"},
        {"http://127.0.0.1:65535/", "http://127.0.0.1:65535", "127.0.0.1:65535", "127.0.0.1"},
        {"https://[2001:DB8::1]", "https://[2001:db8::1]:443", "[2001:db8::1]", "2001:db8::1"},
        {"https://[::1]:8", "https://[::1]:8", "[::1]:8", "::1"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        check_arena_t arena = {0};
        char text[512];
        const relay_config_t *config;
        snprintf(text, sizeof(text),
                 "{'hosts': {'a': {'base_url': '%s', 'formats': ['openai-chat']}, "
                 "'e': {'echo': true}}}",
                 cases[i].base_url);
        config = build_document(&arena, text);
        check_span(config->hosts[0].origin, cases[i].origin);
        check_span(config->hosts[0].authority, cases[i].authority);
        check_span(config->hosts[0].server_name, cases[i].server_name);
        check_span(config->hosts[1].origin, "");
        check_release(&arena);
    }
}

static void policies_are_found(void **state)
{
    check_arena_t arena = {0};
    const relay_config_t *config = build_document(&arena, FULL);

    (void)state;
    assert_ptr_equal(relay_config_find_policy(config, RELAY_SPAN("x")), &config->policies[1]);
    assert_ptr_equal(relay_config_find_policy(config, RELAY_SPAN("plain")), &config->policies[0]);
    assert_null(relay_config_find_policy(config, RELAY_SPAN("y")));
    assert_null(relay_config_find_policy(config, RELAY_SPAN("")));
    check_release(&arena);
}

static void nothing_is_needed(void **state)
{
    static const char *const documents[] = {"{}", " {\n} ", "{'hosts': {}, 'models': {}}",
                                            "{'relay_keys': {}}", "{'pools': {'p': {}}}"};
    relay_digest_t digest = {{0}};

    (void)state;
    for (size_t i = 0; i < sizeof(documents) / sizeof(documents[0]); i++) {
        check_arena_t arena = {0};
        const relay_config_t *config = build_document(&arena, documents[i]);
        assert_null(relay_config_find_key(config, &digest));
        assert_null(relay_config_find_model(config, RELAY_SPAN("m")));
        assert_null(relay_config_find_alias(config, RELAY_SPAN("m")));
        assert_null(relay_config_find_policy(config, RELAY_SPAN("m")));
        assert_int_equal(relay_config_revoked_before(config, &digest), 0);
        check_release(&arena);
    }
}

static void the_same_key_in_two_pools(void **state)
{
    check_arena_t arena = {0};
    const relay_config_t *config = build_document(
        &arena, "{" K ", 'pools': {'p': {'members': ['k']}, 'q': {'members': ['k', 'main-key']}}}");

    (void)state;
    assert_ptr_equal(config->pools[0].members[0].key, config->pools[1].members[0].key);
    check_release(&arena);
}

/* A plain relay key leaves its digest, no more. */
static void plain_relay_keys_are_not_kept(void **state)
{
    check_arena_t arena = {0};
    size_t found = 0;

    (void)state;
    build_document(&arena, "{" P ", 'relay_keys': {'a': {'policy': 'x', 'key': '" RLY "'}}}");
    for (check_block_t *block = arena.blocks; block != NULL; block = block->next) {
        found += memmem(block->memory, block->size, RLY, 8) != NULL;
    }
    assert_int_equal(found, 0);
    check_release(&arena);
}

/* ---- several documents ---------------------------------------------------- */

static void documents_are_merged(void **state)
{
    check_arena_t arena = {0};
    relay_config_fault_t fault;
    const relay_config_t *config =
        check_build_two(&arena,
                        "{'relay_keys': {'r': {'policy': 'x', 'sha256': '" SHA "'}}, "
                        "'models': {'m': {'offers': [{'host': 'a'}, {'host': 'b'}]}},"
                        "'hosts': {'b': {'echo': true}}}",
                        "{" A ", " P ", 'models': {'l': {}}}", &fault);

    (void)state;
    assert_non_null(config);
    assert_int_equal(config->nhosts, 3);
    assert_int_equal(config->nmodels, 2);
    check_span(config->models[1].offers[1].host->name, "b");
    check_span(config->relay_keys[0].policy->name, "x");
    check_release(&arena);
}

static void names_are_unique_across_documents(void **state)
{
    check_arena_t arena = {0};
    relay_config_fault_t fault;

    (void)state;
    assert_null(check_build_two(&arena, "{\n'hosts': {\n\n'b': {'echo': true}}}",
                                "{'hosts': {'a': {'echo': true},\n 'b': {'echo': true}}}", &fault));
    check_span(fault.document, "two.json");
    assert_int_equal(fault.line, 2);
    assert_int_equal(fault.column, 2);
    assert_string_equal(fault.path, "hosts.b");
    assert_string_equal(fault.message, "this name occurs twice: see one.json, line 4");
    assert_null(
        check_build_two(&arena, "{" P ", 'relay_keys': {'z': {'policy': 'x', 'key': '" RLY "'}}}",
                        "{'relay_keys': {'a': {'policy': 'x', 'sha256': '" SHA "'}}}", &fault));
    check_span(fault.document, "two.json");
    assert_string_equal(fault.path, "relay_keys.a");
    assert_null(check_build_two(&arena, "{'models': {'m': {'aliases': ['x']}}}",
                                "{'models': {'a': {'aliases': ['x']}}}", &fault));
    check_span(fault.document, "two.json");
    assert_string_equal(fault.path, "models.a.aliases[0]");
    assert_null(check_build_two(&arena, "{'models': {'m': {'aliases': ['x']}}}",
                                "{'models': {'x': {}}}", &fault));
    check_span(fault.document, "one.json");
    check_release(&arena);
}

static void number_of_documents(void **state)
{
    static relay_document_t documents[1001];
    check_arena_t arena = {0};
    relay_arena_t memory = {check_allocate, &arena};
    relay_config_fault_t fault;

    (void)state;
    for (size_t i = 0; i < 1001; i++) {
        documents[i] = (relay_document_t){RELAY_SPAN("d"), RELAY_SPAN("{}"), false};
    }
    documents[1000].name = RELAY_SPAN("last");
    assert_non_null(relay_config_build(&memory, documents, 0, &fault));
    assert_non_null(relay_config_build(&memory, documents, 1000, &fault));
    assert_null(relay_config_build(&memory, documents, 1001, &fault));
    check_span(fault.document, "last");
    assert_string_equal(fault.message, "too many documents");
    check_release(&arena);
}

/* ---- limits and sizes ------------------------------------------------------ */

static void limit(const char *before, const char *part, size_t count, const char *after,
                  const char *message)
{
    for (size_t i = 0; i < 2; i++) {
        char *text = check_repeat(before, part, count + i, after);
        check_arena_t arena = {0};
        relay_config_fault_t fault;
        const relay_config_t *config = check_try(&arena, text, &fault);
        if ((config != NULL) != (i == 0)) {
            print_error("%s, %zu\n", part, count + i);
            show(&fault);
            fail();
        }
        assert_true(config != NULL || strstr(fault.message, message) != NULL);
        check_release(&arena);
        free(text);
    }
}

static void limits(void **state)
{
    (void)state;
    limit("{'hosts': {", "'h%zu': {'echo': true}", 10000, "}}", "more than 10000 entries");
    limit("{'pools': {", "'p%zu': {}", 10000, "}}", "more than 10000 entries");
    limit("{'policies': {", "'p%zu': {}", 10000, "}}", "more than 10000 entries");
    limit("{'models': {", "'m%zu': {}", 100000, "}}", "more than 100000 entries");
    limit("{" A ", 'provider_keys': {", "'k%zu': {'host': 'a', 'value': ''}", 10000, "}}",
          "more than 10000 entries");
    limit("{'policies': {'x': {'allow': [", "'m%zu'", 1000, "]}}}", "more than 1000 patterns");
    limit("{'models': {'m': {'aliases': [", "'m%zu'", 256, "]}}}", "more than 256 aliases");
    limit("{" A ", 'models': {'m': {'offers': [", "{'host': 'a', 'id': 'm%zu'}", 256, "]}}}",
          "more than 256 offers");
    limit("{'hosts': {'a': {'base_url': 'http://h', 'formats': ['openai-chat'], 'headers': {",
          "'x%zu': ''", 64, "}}}}", "more than 64 headers");
    limit("{'pools': {'p': {}}, 'policies': {'x': {'pools': [", "'p'", 64, "]}}}",
          "more than 64 pools");
}

static void lengths(void **state)
{
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        char name[300] = {0}, text[4096];
        check_arena_t arena = {0};
        relay_config_fault_t fault;
        memset(name, 'n', 64 + i);
        snprintf(text, sizeof(text), "{\"hosts\": {\"%s\": {\"echo\": true}}}", name);
        assert_int_equal(check_try(&arena, text, &fault) == NULL, i);
        memset(name, 'n', 256 + i);
        snprintf(text, sizeof(text), "{\"models\": {\"%s\": {}}}", name);
        assert_int_equal(check_try(&arena, text, &fault) == NULL, i);
        assert_true(i == 0 || strstr(fault.path, "nnn...") != NULL);
        snprintf(text, sizeof(text), "{\"models\": {\"m\": {\"owned_by\": \"%s\"}}}", name);
        assert_int_equal(check_try(&arena, text, &fault) == NULL, i);
        assert_true(i == 0 || strstr(fault.message, "longer than 256 bytes") != NULL);
        check_release(&arena);
    }
}

/* Messages and paths are cut between characters and always terminated. */
static void long_names_in_messages(void **state)
{
    char text[2048] = "{\"hosts\": {\"a\": {\"";
    check_arena_t arena = {0};
    relay_config_fault_t fault;

    (void)state;
    for (size_t i = 0; i < 200; i++) {
        strncat(text, "\xe2\x82\xac", sizeof(text) - strlen(text) - 1);
    }
    strncat(text, "\": 1}}}", sizeof(text) - strlen(text) - 1);
    assert_null(check_try(&arena, text, &fault));
    assert_true(strlen(fault.path) < 100 && strlen(fault.message) < 300);
    assert_int_equal(relay_utf8_valid(check_text(fault.path)), strlen(fault.path));
    assert_int_equal(relay_utf8_valid(check_text(fault.message)), strlen(fault.message));
    assert_non_null(strstr(fault.message, "...\""));
    check_release(&arena);
}

static void documents_too_large(void **state)
{
    enum { VALUES = 8 * 1000 * 1000 };
    uint8_t *commas = malloc(VALUES);
    check_arena_t arena = {0};
    relay_arena_t memory = {check_allocate, &arena};
    relay_document_t document = {RELAY_SPAN("d"), {commas, 64 * 1024 * 1024 + 1}, false};
    relay_config_fault_t fault;

    (void)state;
    assert_non_null(commas);
    memset(commas, ',', VALUES);
    assert_null(relay_config_build(&memory, &document, 1, &fault)); /* it is not looked at */
    assert_string_equal(fault.message, "the document is too large");
    document.text.len = VALUES; /* commas stand between one value more */
    assert_null(relay_config_build(&memory, &document, 1, &fault));
    assert_string_equal(fault.message, "the document is too large");
    document.text.len = VALUES - 1;
    assert_null(relay_config_build(&memory, &document, 1, &fault));
    assert_string_equal(fault.message, "invalid JSON: unexpected ,");
    check_release(&arena);
    free(commas);
}

static void members_of_a_pool(void **state)
{
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        char *keys = check_repeat("{" A ", 'provider_keys': {",
                                  "'k%zu': {'host': 'a', 'value': ''}", 1001, "}}");
        char *pools = check_repeat("{'pools': {'p': {'members': [", "'k%zu'", 1000 + i, "]}}}");
        check_arena_t arena = {0};
        relay_arena_t memory = {check_allocate, &arena};
        relay_document_t documents[] = {{RELAY_SPAN("k"), check_text(keys), false},
                                        {RELAY_SPAN("p"), check_text(pools), false}};
        relay_config_fault_t fault;
        assert_int_equal(relay_config_build(&memory, documents, 2, &fault) == NULL, i);
        assert_true(i == 0 || strcmp(fault.message, "more than 1000 members") == 0);
        check_release(&arena);
        free(keys);
        free(pools);
    }
}

static void digest_of(size_t i, relay_digest_t *digest)
{
    char key[32];

    snprintf(key, sizeof(key), "a-plain-relay-key-%09zu", i);
    assert_true(relay_key_digest(check_text(key), digest));
}

/* 100,000 relay keys, 5,000 models with two aliases each: every one is found. */
static void many_entries(void **state)
{
    const size_t count = check_fewer(100000), models_count = check_fewer(5000);
    char *keys = check_repeat("{'policies': {'x': {}}, 'relay_keys': {",
                              "'key-%1$zu': {'policy': 'x', 'key': 'a-plain-relay-key-%1$09zu'}",
                              count, "}}");
    char *models = check_repeat("{'hosts': {'e': {'echo': true}}, 'models': {",
                                "'v/model-%1$zu': {'offers': [{'host': 'e'}], "
                                "'aliases': ['model-%1$zu', 'm%1$zu']}",
                                models_count, "}}");
    check_arena_t arena = {0};
    relay_arena_t memory = {check_allocate, &arena};
    relay_document_t documents[] = {{RELAY_SPAN("k"), check_text(keys), false},
                                    {RELAY_SPAN("m"), check_text(models), false}};
    relay_config_fault_t fault;
    const relay_config_t *config = relay_config_build(&memory, documents, 2, &fault);
    relay_digest_t digest;
    char name[64];

    (void)state;
    assert_non_null(config);
    free(keys);
    free(models);
    assert_int_equal(config->nrelay_keys, count);
    for (size_t i = 0; i < count; i += i < 1000 ? 1 : 37) {
        digest_of(i, &digest);
        const relay_relay_key_t *key = relay_config_find_key(config, &digest);
        assert_non_null(key);
        snprintf(name, sizeof(name), "key-%zu", i);
        check_span(key->name, name);
        digest.bytes[i % RELAY_DIGEST_LEN] ^= 1;
        assert_null(relay_config_find_key(config, &digest));
    }
    for (size_t i = 0; i < models_count; i++) {
        snprintf(name, sizeof(name), "v/model-%zu", i);
        const relay_model_t *model = relay_config_find_model(config, check_text(name));
        assert_non_null(model);
        assert_ptr_equal(relay_config_find_alias(config, check_text(name + 2)), model);
        snprintf(name, sizeof(name), "m%zu", i);
        assert_ptr_equal(relay_config_find_alias(config, check_text(name)), model);
        assert_null(relay_config_find_model(config, check_text(name)));
    }
    check_release(&arena);
}

/* Few keys, so that every shape of the search is met. */
static void every_number_of_keys(void **state)
{
    (void)state;
    for (size_t count = 0; count < 40; count++) {
        char *text = check_repeat(
            "{'policies': {'x': {}}, 'relay_keys': {",
            "'key-%1$zu': {'policy': 'x', 'key': 'a-plain-relay-key-%1$09zu'}", count, "}}");
        check_arena_t arena = {0};
        const relay_config_t *config = check_build(&arena, text);
        for (size_t i = 0; i < 40; i++) {
            relay_digest_t digest;
            digest_of(i, &digest);
            assert_int_equal(relay_config_find_key(config, &digest) != NULL, i < count);
        }
        check_release(&arena);
        free(text);
    }
}

/* ---- memory that runs out -------------------------------------------------- */

static void memory_may_run_out_at_any_moment(void **state)
{
    char document[CHECK_DOCUMENT_MAX];
    check_arena_t arena = {0};
    relay_config_fault_t fault;
    size_t needed, fail_at = 0;

    (void)state;
    check_prepare(FULL, document);
    assert_non_null(check_try(&arena, document, &fault));
    needed = arena.allocations;
    check_release(&arena);
    assert_true(needed > 50);
    while (++fail_at <= needed) {
        arena.fail_at = fail_at;
        assert_null(check_try(&arena, document, &fault));
        assert_string_equal(fault.message, "out of memory");
        assert_string_equal(fault.path, "");
        assert_int_equal(arena.allocations, fail_at);
        check_release(&arena);
    }
    arena.fail_at = fail_at;
    assert_non_null(check_try(&arena, document, &fault));
    check_release(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hosts_are_read),
        cmocka_unit_test(hosts_have_defaults),
        cmocka_unit_test(auth_prefixes),
        cmocka_unit_test(models_are_read),
        cmocka_unit_test(keys_pools_and_policies_are_read),
        cmocka_unit_test(relay_keys_are_read),
        cmocka_unit_test(origins),
        cmocka_unit_test(policies_are_found),
        cmocka_unit_test(nothing_is_needed),
        cmocka_unit_test(the_same_key_in_two_pools),
        cmocka_unit_test(plain_relay_keys_are_not_kept),
        cmocka_unit_test(documents_are_merged),
        cmocka_unit_test(names_are_unique_across_documents),
        cmocka_unit_test(number_of_documents),
        cmocka_unit_test(limits),
        cmocka_unit_test(lengths),
        cmocka_unit_test(long_names_in_messages),
        cmocka_unit_test(documents_too_large),
        cmocka_unit_test(members_of_a_pool),
        cmocka_unit_test(many_entries),
        cmocka_unit_test(every_number_of_keys),
        cmocka_unit_test(memory_may_run_out_at_any_moment),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
