/*
 * Catalog documents beside others: who replaces whom, and what is left out.
 * Documents are written with ' for ".
 */

#include "config_alias.c"

#include "config_check.h"

enum { DOCUMENTS_MAX = 4 };

/* What a test works with: documents, and what became of them. */
typedef struct {
    check_arena_t arena;
    char texts[DOCUMENTS_MAX][CHECK_DOCUMENT_MAX];
    relay_document_t documents[DOCUMENTS_MAX];
    size_t count;
    relay_config_fault_t fault;
    const relay_config_t *config;
} set_t;

static void add(set_t *set, const char *name, const char *written, bool catalog)
{
    char *text = set->texts[set->count];

    assert_true(set->count < DOCUMENTS_MAX);
    check_prepare(written, text);
    set->documents[set->count++] = (relay_document_t){check_text(name), check_text(text), catalog};
}

static bool build(set_t *set)
{
    relay_arena_t memory = {check_allocate, &set->arena};

    memset(&set->fault, 0x5a, sizeof(set->fault));
    set->config = relay_config_build(&memory, set->documents, set->count, &set->fault);
    return set->config != NULL;
}

static void finish(set_t *set)
{
    check_release(&set->arena);
    free(set);
}

/* A catalog and a document of one's own, in either order, that have to be good. */
static set_t *good(const char *catalog, const char *own, bool own_first)
{
    set_t *set = calloc(1, sizeof(*set));

    assert_non_null(set);
    if (own != NULL && own_first) {
        add(set, "own", own, false);
    }
    add(set, "catalog", catalog, true);
    if (own != NULL && !own_first) {
        add(set, "own", own, false);
    }
    if (!build(set)) {
        print_error("%s\n%s\n%zu:%zu: %s: %s\n", catalog, own != NULL ? own : "", set->fault.line,
                    set->fault.column, set->fault.path, set->fault.message);
        fail();
    }
    return set;
}

static void refused(const char *catalog, const char *own, const char *document, const char *path,
                    const char *message)
{
    set_t *set = calloc(1, sizeof(*set));

    assert_non_null(set);
    add(set, "catalog", catalog, true);
    if (own != NULL) {
        add(set, "own", own, false);
    }
    if (build(set)) {
        print_error("accepted: %s\n%s\n", catalog, own != NULL ? own : "");
        fail();
    }
    if (strcmp(set->fault.path, path) != 0 || strstr(set->fault.message, message) == NULL) {
        print_error("got  %s: %s\nwant %s: %s\n", set->fault.path, set->fault.message, path,
                    message);
        fail();
    }
    check_span(set->fault.document, document);
    finish(set);
}

static const relay_host_t *host(const set_t *set, const char *name)
{
    return relay_config_find_host(set->config, check_text(name));
}

static const relay_model_t *model(const set_t *set, const char *name)
{
    return relay_config_find_model(set->config, check_text(name));
}

static const relay_model_t *alias(const set_t *set, const char *name)
{
    return relay_config_find_alias(set->config, check_text(name));
}

/* The formats by name, as the registry has them. */
static uint32_t bit(const char *format)
{
    const relay_wire_t *wire = relay_wire_find(check_text(format));

    assert_non_null(wire);
    return UINT32_C(1) << wire->index;
}

static relay_span_t path_of(const relay_host_t *of, const char *format)
{
    const relay_wire_t *wire = relay_wire_find(check_text(format));

    assert_non_null(wire);
    assert_true(of->formats >> wire->index & 1);
    return of->paths[wire->index];
}

#define HOST(name, rest)                                                                           \
    "'" name "': {'base_url': 'https://" name                                                      \
    ".example/v1', 'formats': ['openai-chat', 'anthropic-messages'] " rest "}"

/* ---- who replaces whom ----------------------------------------------------- */

static void own_hosts_replace(void **state)
{
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        set_t *set = good(
            "{'hosts': {" HOST("a", "") ", " HOST(
                "b", "") "}, 'models': {"
                         "'m': {'offers': [{'host': 'a', 'id': 'up'}, {'host': 'b'}]},"
                         "'n': {'offers': [{'host': 'a', 'formats': ['anthropic-messages']}]}}}",
            "{'hosts': {'a': {'base_url': 'http://own', 'formats': ['openai-chat'],"
            "'local': true}}}",
            i != 0);
        assert_int_equal(set->config->nhosts, 2);
        check_span(host(set, "a")->server_name, "own");
        assert_true(host(set, "a")->local);
        assert_int_equal(set->config->nmodels, 1); /* nobody offers n any more */
        assert_int_equal(model(set, "m")->noffers, 2);
        assert_ptr_equal(model(set, "m")->offers[0].host, host(set, "a"));
        check_span(model(set, "m")->offers[0].upstream_id, "up");
        assert_int_equal(model(set, "m")->offers[0].formats, bit("openai-chat"));
        assert_int_equal(model(set, "m")->offers[1].formats,
                         bit("openai-chat") | bit("anthropic-messages"));
        finish(set);
    }
}

/* A replaced entry is not even looked at. */
static void replaced_entries_are_not_read(void **state)
{
    set_t *set = good("{'hosts': {'a': {'base_url': 5}}, 'models': {'m': {'offers': 5}}}",
                      "{'hosts': {" HOST("a", "") "}, 'models': {'m': {}}}", false);

    (void)state;
    assert_non_null(host(set, "a"));
    assert_int_equal(model(set, "m")->noffers, 0);
    finish(set);
}

static void own_models_replace(void **state)
{
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        set_t *set = good("{'hosts': {" HOST("a", "") "}, 'models': {"
                                                      "'m': {'display_name': 'Theirs', 'aliases': "
                                                      "['x'], 'offers': [{'host': 'a'}]}}}",
                          "{'models': {'m': {'display_name': 'Ours'}, 'o': {'aliases': ['y'],"
                          "'offers': [{'host': 'a'}]}}}",
                          i != 0);
        check_span(model(set, "m")->display_name, "Ours");
        assert_int_equal(model(set, "m")->noffers, 0);
        assert_null(alias(set, "x"));
        assert_ptr_equal(alias(set, "y"), model(set, "o"));
        finish(set);
    }
}

static void names_are_unique_within_each(void **state)
{
    (void)state;
    refused("{'hosts': {'a': {'echo': true}, 'a': {'echo': true}}}", NULL, "catalog", "hosts.a",
            "occurs twice");
    for (size_t i = 0; i < 2; i++) {
        set_t *set = calloc(1, sizeof(*set));
        assert_non_null(set);
        add(set, "one", "{'hosts': {'a': {'echo': true}}}", true);
        add(set, "two", "{'hosts': {'a': {'echo': true}}}", true);
        if (i != 0) {
            add(set, "own", "{'hosts': {'a': {'echo': true}}}", false); /* that is no excuse */
        }
        assert_false(build(set));
        check_span(set->fault.document, "two");
        assert_string_equal(set->fault.message, "this name occurs twice: see one, line 1");
        finish(set);
    }
}

/* ---- aliases ---------------------------------------------------------------- */

static void aliases_of_the_catalog_yield(void **state)
{
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        set_t *set = good(
            "{'hosts': {" HOST(
                "a", "") "}, 'models': {"
                         "'m': {'aliases': ['own', 'other', 'mine'], 'offers': [{'host': 'a'}]}}}",
            "{'models': {'own': {'aliases': ['other', 'third']}}}", i != 0);
        assert_non_null(model(set, "own"));
        assert_null(alias(set, "own"));
        assert_ptr_equal(alias(set, "other"), model(set, "own"));
        assert_ptr_equal(alias(set, "third"), model(set, "own"));
        assert_ptr_equal(alias(set, "mine"), model(set, "m"));
        assert_int_equal(set->config->naliases, 3);
        finish(set);
    }
}

/* Models k, m and n of the catalog; an own model takes the name of m. */
static void models_of_the_catalog_yield_to_aliases(void **state)
{
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        set_t *set =
            good("{'hosts': {" HOST(
                     "a", "") "}, 'models': {"
                              "'k': {'aliases': ['kk'], 'offers': [{'host': 'a'}]},"
                              "'m': {'aliases': ['mm'], 'offers': [{'host': 'a'}]},"
                              "'n': {'aliases': ['nn', 'm2'], 'offers': [{'host': 'a'}]}}}",
                 "{'models': {'l': {'aliases': ['m']}, 'z': {'aliases': ['zz']}}}", i != 0);
        assert_int_equal(set->config->nmodels, 4);
        assert_null(model(set, "m"));
        assert_null(alias(set, "mm"));
        assert_ptr_equal(alias(set, "m"), model(set, "l"));
        assert_ptr_equal(alias(set, "kk"), model(set, "k"));
        assert_ptr_equal(alias(set, "nn"), model(set, "n"));
        assert_ptr_equal(alias(set, "m2"), model(set, "n"));
        assert_ptr_equal(alias(set, "zz"), model(set, "z"));
        check_span(model(set, "n")->offers[0].host->name, "a");
        finish(set);
    }
}

static void aliases_are_unique_within_each(void **state)
{
    (void)state;
    refused("{'hosts': {" HOST("a", "") "}, 'models': {"
                                        "'m': {'aliases': ['x'], 'offers': [{'host': 'a'}]},"
                                        "'n': {'aliases': ['x'], 'offers': [{'host': 'a'}]}}}",
            NULL, "catalog", "models.n.aliases[0]", "the alias \"x\" occurs twice");
    refused("{'hosts': {" HOST("a", "") "}, 'models': {"
                                        "'m': {'aliases': ['x'], 'offers': [{'host': 'a'}]},"
                                        "'n': {'aliases': ['x'], 'offers': [{'host': 'a'}]}}}",
            "{'models': {'o': {'aliases': ['x']}}}", "catalog", "models.n.aliases[0]",
            "the alias \"x\" occurs twice");
    refused("{'hosts': {" HOST("a", "") "}, 'models': {"
                                        "'m': {'aliases': ['n'], 'offers': [{'host': 'a'}]},"
                                        "'n': {'offers': [{'host': 'a'}]}}}",
            NULL, "catalog", "models.m.aliases[0]", "there is a model \"n\" already");
    refused("{}", "{'models': {'m': {'aliases': ['n']}, 'n': {}}}", "own", "models.m.aliases[0]",
            "there is a model \"n\" already");
    refused("{'hosts': {" HOST("a", "") "}, 'models': {'m': {'offers': [{'host': 'a'}]}}}",
            "{'models': {'n': {'aliases': ['m']}, 'o': {'aliases': ['m']}}}", "own",
            "models.o.aliases[0]", "the alias \"m\" occurs twice");
}

/* An alias of a model that is left out is nobody's. */
static void models_that_are_left_out_take_no_names(void **state)
{
    set_t *set = good(
        "{'hosts': {" HOST("a", "") "}, 'models': {"
                                    "'gone': {'aliases': ['x']},"
                                    "'m': {'aliases': ['x', 'gone'], 'offers': [{'host': 'a'}]}}}",
        NULL, false);

    (void)state;
    assert_null(model(set, "gone"));
    assert_ptr_equal(alias(set, "x"), model(set, "m"));
    assert_ptr_equal(alias(set, "gone"), model(set, "m"));
    finish(set);
}

/* ---- formats ----------------------------------------------------------------- */

static void unknown_formats_are_skipped(void **state)
{
    set_t *set = good(
        "{'hosts': {"
        "'a': {'base_url': 'https://h', 'formats': ['openai-chat', 'telepathy', 'openai-chats']},"
        "'b': {'base_url': 'https://h', 'formats': {'telepathy': {'x': [1]}, 'openai-chat': '/c',"
        "'smoke': 7}},"
        "'c': {'base_url': 'https://h', 'formats': {'openai-chat': '/{place}/c',"
        "'openai-embeddings': '/e'}}},"
        "'models': {'m': {'offers': ["
        "{'host': 'a', 'formats': ['telepathy', 'openai-chat']},"
        "{'host': 'b', 'formats': ['telepathy']},"
        "{'host': 'b', 'formats': []},"
        "{'host': 'b', 'formats': ['anthropic-messages']},"
        "{'host': 'b', 'formats': ['anthropic-messages', 'openai-chat']}]},"
        "'n': {'offers': [{'host': 'b', 'formats': ['telepathy']}]}}}",
        NULL, false);

    (void)state;
    assert_int_equal(host(set, "a")->formats, bit("openai-chat"));
    assert_int_equal(host(set, "b")->formats, bit("openai-chat"));
    check_span(path_of(host(set, "b"), "openai-chat"), "/c");
    assert_int_equal(host(set, "c")->formats, bit("openai-embeddings"));
    assert_int_equal(model(set, "m")->noffers, 2);
    assert_ptr_equal(model(set, "m")->offers[0].host, host(set, "a"));
    assert_int_equal(model(set, "m")->offers[0].formats, bit("openai-chat"));
    assert_ptr_equal(model(set, "m")->offers[1].host, host(set, "b"));
    assert_int_equal(model(set, "m")->offers[1].formats, bit("openai-chat"));
    assert_null(model(set, "n"));
    finish(set);
    refused("{'hosts': {'a': {'base_url': 'https://h', 'formats': [5]}}}", NULL, "catalog",
            "hosts.a.formats[0]", "expected a string");
    refused("{'hosts': {'a': {'base_url': 'https://h', 'formats': {'openai-chat': '/a b'}}}}", NULL,
            "catalog", "hosts.a.formats.openai-chat", "not allowed in a URL");
    refused("{}", "{'hosts': {'a': {'base_url': 'https://h', 'formats': {'telepathy': '/t'}}}}",
            "own", "hosts.a.formats.telepathy", "there is no format");
    refused("{}", "{'hosts': {'a': {'base_url': 'https://h', 'formats': {'openai-chat': '/{m}'}}}}",
            "own", "hosts.a.formats.openai-chat", "have no \"m\"");
}

#define TWO(base, chat, rest)                                                                      \
    "{'hosts': {'a': {'base_url': '" base "', 'formats': {'openai-chat': " chat                    \
    ", 'openai-embeddings': '/embed', 'anthropic-messages': {}} " rest "}}}"

static void formats_are_folded(void **state)
{
    static const struct {
        const char *base;
        const char *document;
        const char *chat;
        const char *embeddings;
        const char *messages;
    } cases[] = {
        {"/v1", TWO("https://h/v1", "{'base_url': 'https://h/v1'}", ""), "/chat/completions",
         "/embed", "/messages"},
        {"/v1", TWO("https://h/v1", "{'base_url': 'HTTPS://H:443/v1/deep/', 'path': '/c'}", ""),
         "/deep/c", "/embed", "/messages"},
        {"/v1", TWO("https://h/v1", "{'path': '/c'}", ""), "/c", "/embed", "/messages"},
        {"", TWO("https://h/v1", "{'base_url': 'https://h/v2', 'path': '/c'}", ""), "/v2/c",
         "/v1/embed", "/v1/messages"},
        {"", TWO("https://h/v1", "{'base_url': 'https://h', 'path': '/c'}", ""), "/c", "/v1/embed",
         "/v1/messages"},
        {"", TWO("https://h/v1", "{'base_url': 'https://h/v11', 'path': '/c'}", ""), "/v11/c",
         "/v1/embed", "/v1/messages"},
        {"", TWO("http://h:8080", "{'base_url': 'http://h:8080/x'}", ""), "/x/chat/completions",
         "/embed", "/messages"},
        {"/v1",
         TWO("https://h/v1", "{'path': '/c', 'base_url': 'https://h/v1/d'}",
             ", 'passthrough':true"),
         "/d/c", "/embed", "/messages"},
    };

    (void)state;
    for (size_t i = 0; i < 2 * sizeof(cases) / sizeof(cases[0]); i++) {
        bool catalog = i % 2 == 0; /* it is the same for everyone */
        set_t *set = calloc(1, sizeof(*set));
        assert_non_null(set);
        add(set, "d", cases[i / 2].document, catalog);
        assert_true(build(set));
        check_span(host(set, "a")->base_path, cases[i / 2].base);
        check_span(path_of(host(set, "a"), "openai-chat"), cases[i / 2].chat);
        check_span(path_of(host(set, "a"), "openai-embeddings"), cases[i / 2].embeddings);
        check_span(path_of(host(set, "a"), "anthropic-messages"), cases[i / 2].messages);
        finish(set);
    }
}

/* Several formats elsewhere: what was folded first moves along. */
static void formats_are_folded_together(void **state)
{
    set_t *set = good("{'hosts': {'a': {'base_url': 'https://h/v1', 'formats': {"
                      "'openai-embeddings': {'base_url': 'https://h/v1/x', 'path': '/e'},"
                      "'openai-chat': {'base_url': 'https://h/v2', 'path': '/c'},"
                      "'anthropic-messages': {'base_url': 'https://h/v3', 'path': '/m'},"
                      "'openai-responses': '/r'}}}}",
                      NULL, false);
    const relay_host_t *a = host(set, "a");

    (void)state;
    check_span(a->base_path, "");
    check_span(path_of(a, "openai-embeddings"), "/v1/x/e");
    check_span(path_of(a, "openai-chat"), "/v2/c");
    check_span(path_of(a, "anthropic-messages"), "/v3/m");
    check_span(path_of(a, "openai-responses"), "/v1/r");
    finish(set);
}

static void formats_that_cannot_be_folded(void **state)
{
    static const struct {
        const char *document;
        const char *message;
    } cases[] = {
        {TWO("https://h/v1", "{'base_url': 'https://other/v1'}", ""), "scheme, name and port"},
        {TWO("https://h/v1", "{'base_url': 'http://h/v1'}", ""), "scheme, name and port"},
        {TWO("https://h/v1", "{'base_url': 'https://h:444/v1'}", ""), "scheme, name and port"},
        {TWO("https://h/v1", "{'base_url': 'http://h:443/v1'}", ""), "scheme, name and port"},
        {TWO("https://h/v1", "{'base_url': 'https://{region}.h/v1'}", ""), "have no \"region\""},
        {TWO("https://h/v1", "{'base_url': 'https://h/v2'}", ", 'passthrough': true"),
         "below the base URL"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        set_t *set = good(cases[i].document, NULL, false);
        const relay_host_t *a = host(set, "a");
        assert_int_equal(a->formats, bit("openai-embeddings") | bit("anthropic-messages"));
        check_span(a->base_path, "/v1");
        check_span(path_of(a, "openai-embeddings"), "/embed");
        finish(set);
        refused("{}", cases[i].document, "own", "hosts.a.formats.openai-chat.base_url",
                cases[i].message);
    }
    refused(TWO("https://h", "{'base_url': 'h'}", ""), NULL, "catalog",
            "hosts.a.formats.openai-chat.base_url", "starts with https://");
    refused(TWO("https://h", "{'url': 'https://h'}", ""), NULL, "catalog",
            "hosts.a.formats.openai-chat.url", "there is no member \"url\"");
    refused(TWO("https://h", "5", ""), NULL, "catalog", "hosts.a.formats.openai-chat",
            "expected a path, or an object");
    refused(TWO("https://h", "{'path': ''}", ""), NULL, "catalog",
            "hosts.a.formats.openai-chat.path", "starts with a slash");
}

/* ---- what is left out --------------------------------------------------------- */

#define OUT(host)                                                                                  \
    "{'hosts': {" HOST(                                                                            \
        "a", "") ", 'out': {" host "}}, 'models': {"                                               \
                 "'m': {'offers': [{'host': 'out', 'formats': ['openai-chat']}, {'host': 'a'}]},"  \
                 "'n': {'offers': [{'host': 'out', 'id': 'x'}]}}}"

static const struct {
    const char *catalog;
    const char *why;
} left_out[] = {
    {OUT("'base_url': 'https://{region}.h', 'formats': ['openai-chat']"), "has a placeholder"},
    {OUT("'formats': {'openai-chat': {'base_url': 'https://h/x'}}, 'base_url': 'https://h/{v}'"),
     "has a placeholder"},
    {OUT("'base_url': 'https://h', 'formats': ['openai-chat'],"
         "'auth': {'service': [1], 'type': 'oci-signature'}"),
     "authenticate"},
    {OUT("'base_url': 'https://h', 'formats': ['openai-chat'],"
         "'auth': {'service': 'x', 'type': 'sigv4'}"),
     "the region of its signatures is not known"},
    {OUT("'base_url': 'https://h', 'formats': ['openai-chat'], 'headers': {'x': 'a{b}'}"),
     "has a placeholder"},
    {OUT("'base_url': 'https://h', 'formats': ['telepathy']"), "no format"},
    {OUT("'base_url': 'https://h', 'formats': {}"), "no format"},
    {OUT("'base_url': 'https://h', 'formats': {'openai-chat': {'base_url': 'https://i'}}"),
     "no format"},
};

static void hosts_are_left_out(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(left_out) / sizeof(left_out[0]); i++) {
        set_t *set = good(left_out[i].catalog, NULL, false);
        assert_int_equal(set->config->nhosts, 1);
        assert_null(host(set, "out"));
        assert_int_equal(host(set, "a")->index, 0);
        assert_int_equal(set->config->nmodels, 1);
        assert_int_equal(model(set, "m")->noffers, 1);
        assert_ptr_equal(model(set, "m")->offers[0].host, host(set, "a"));
        finish(set);
    }
}

/* What comes next in its place has nothing of what was left out. */
static void nothing_of_it_stays(void **state)
{
    set_t *set = good("{'hosts': {"
                      "'a': {'base_url': 'https://{x}.h', 'formats': {'openai-embeddings': '/e'},"
                      "'local': true, 'auth': {'type': 'none', 'header': 'x-key'},"
                      "'serves': ['*'], 'headers': {'x': 'y'}, 'timeouts': {'idle_ms': 1}},"
                      "'b': {'base_url': 'https://b', 'formats': ['openai-chat']}},"
                      "'models': {'k': {'context_tokens': 5, 'offers': [{'host': 'a'}]},"
                      "'m': {'offers': [{'host': 'a', 'id': 'x'}, {'host': 'b'}]}}}",
                      NULL, false);
    const relay_host_t *b = host(set, "b");

    (void)state;
    assert_false(b->local || b->keyless);
    assert_int_equal(b->formats, bit("openai-chat"));
    check_span(b->auth_header, "authorization");
    assert_int_equal(b->serves.count + b->nheaders + b->timeouts.idle_ms, 0);
    assert_int_equal(model(set, "m")->context_tokens, 0);
    assert_int_equal(model(set, "m")->noffers, 1);
    check_span(model(set, "m")->offers[0].upstream_id, "m");
    finish(set);
}

static void who_needs_a_host_is_told(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(left_out) / sizeof(left_out[0]); i++) {
        refused(left_out[i].catalog, "{'provider_keys': {'k': {'host': 'out', 'value': ''}}}",
                "own", "provider_keys.k.host", left_out[i].why);
        refused(left_out[i].catalog, "{'models': {'o': {'offers': [{'host': 'out'}]}}}", "own",
                "models.o.offers[0].host", "the catalog's host of this name cannot be used");
        refused(left_out[i].catalog, "{'provider_keys': {'k': {'host': 'outt', 'value': ''}}}",
                "own", "provider_keys.k.host", "there is no host \"outt\"");
    }
}

static void a_host_that_is_described_again(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(left_out) / sizeof(left_out[0]); i++) {
        set_t *set = good(left_out[i].catalog,
                          "{'hosts': {'out': {'base_url': 'https://eu.h', 'formats':"
                          "['openai-chat']}}, 'provider_keys': {'k': {'host': 'out', 'value':''}}}",
                          i % 2 != 0);
        assert_int_equal(set->config->nhosts, 2);
        assert_int_equal(host(set, "out")->index, 1);
        assert_int_equal(model(set, "m")->noffers, 2);
        check_span(model(set, "n")->offers[0].upstream_id, "x");
        finish(set);
    }
}

static void own_documents_are_read_strictly(void **state)
{
    (void)state;
    refused("{}", "{'hosts': {'a': {'base_url': 'https://{r}.h', 'formats': ['openai-chat']}}}",
            "own", "hosts.a.base_url", "have no \"r\"");
    refused("{}",
            "{'hosts': {'a': {'base_url': 'https://h', 'formats': ['openai-chat'],"
            "'auth': {'type': 'oci-signature'}}}}",
            "own", "hosts.a.auth.type", "expected \"header\", \"none\", \"sigv4\" or");
    refused("{}", "{'hosts': {'a': {'base_url': 'https://h', 'formats': {}}}}", "own",
            "hosts.a.formats", "expected at least one format");
}

static void the_catalog_is_read_strictly(void **state)
{
    (void)state;
    refused("{'hosts': {" HOST("a", ", 'colour': 1") "}}", NULL, "catalog", "hosts.a.colour",
            "there is no member");
    refused("{'hosts': {'a': {'base_url': 'https://h'}}}", NULL, "catalog", "hosts.a",
            "expected \"formats\"");
    refused("{'hosts': {'a': {'formats': ['openai-chat']}}}", NULL, "catalog", "hosts.a",
            "expected \"base_url\"");
    refused("{'hosts': {'a': {'base_url': 'h', 'formats': ['openai-chat']}}}", NULL, "catalog",
            "hosts.a.base_url", "starts with https://");
    refused("{'hosts': {" HOST("a", ", 'auth': {'type': 5}") "}}", NULL, "catalog",
            "hosts.a.auth.type", "expected \"header\", \"none\", \"sigv4\" or");
    refused("{'models': {'m': {'offers': [{'host': 'a'}]}}}", NULL, "catalog",
            "models.m.offers[0].host", "there is no host \"a\"");
    refused("{'models': {'m': {'offers': [{'id': 'a'}]}}}", NULL, "catalog", "models.m.offers[0]",
            "expected \"host\"");
    refused("{'pools': {}}", NULL, "catalog", "pools",
            "there is no section \"pools\"; known: hosts, models");
    refused("{'workspace': 'x'}", NULL, "catalog", "workspace", "there is no section");
    refused("{'revocations': {}}", NULL, "catalog", "revocations", "there is no section");
    refused("{'relay_keys': {}}", NULL, "catalog", "relay_keys", "there is no section");
}

static void models_without_offers(void **state)
{
    set_t *set = good("{'models': {'m': {}, 'n': {'offers': []}}}",
                      "{'models': {'o': {}, 'p': {'offers': []}}}", false);

    (void)state;
    assert_int_equal(set->config->nmodels, 2);
    assert_non_null(model(set, "o"));
    assert_non_null(model(set, "p"));
    finish(set);
}

/* ---- facts and prices ----------------------------------------------------------- */

static void facts_and_pricing_mean_nothing(void **state)
{
#define FACTS                                                                                      \
    "{'hosts': {" HOST(                                                                            \
        "a", ", 'facts': {'x': [{'y': 1}]}") ", 'e': {'echo': true, 'facts': {}}},"                \
                                             "'models': {'m': {'facts': {'hosts': {}}, 'offers': " \
                                             "[{'host': 'a', 'pricing': {'z': '1'},"               \
                                             "'facts': {}}]}}}"
    set_t *set = good(FACTS, NULL, false);

    (void)state;
    assert_int_equal(model(set, "m")->noffers, 1);
    finish(set);
    set = good("{}", FACTS, false);
    assert_int_equal(model(set, "m")->noffers, 1);
    finish(set);
    refused("{'hosts': {" HOST("a", ", 'facts': []") "}}", NULL, "catalog", "hosts.a.facts",
            "expected an object");
    refused("{'models': {'m': {'facts': 'x'}}}", NULL, "catalog", "models.m.facts",
            "expected an object");
    refused("{'hosts': {" HOST("a", "") "}, 'models': {'m': {'offers': [{'host': 'a',"
                                        "'pricing': 1}]}}}",
            NULL, "catalog", "models.m.offers[0].pricing", "expected an object");
    refused("{'hosts': {" HOST("a", "") "}, 'models': {'m': {'offers': [{'host': 'a',"
                                        "'facts': null}]}}}",
            NULL, "catalog", "models.m.offers[0].facts", "expected an object");
    refused("{'hosts': {" HOST("a", ", 'pricing': {}") "}}", NULL, "catalog", "hosts.a.pricing",
            "there is no member");
    refused("{}", "{'policies': {'p': {'facts': {}}}}", "own", "policies.p.facts",
            "there is no member");
}

/* ---- authentication --------------------------------------------------------------- */

static void hosts_without_keys(void **state)
{
    set_t *set =
        good("{'hosts': {" HOST("a", ", 'auth': {'type': 'none'}") ", " HOST(
                 "b", ", 'auth': {'header': 'X-Key', 'type': 'header'}") "}}",
             "{'provider_keys': {'k': {'host': 'a'}, 'l': {'host': 'a', 'value': 'x'}}}", false);

    (void)state;
    assert_true(host(set, "a")->keyless && !host(set, "b")->keyless);
    check_span(host(set, "a")->auth_header, "authorization");
    check_span(host(set, "a")->auth_prefix, "Bearer ");
    check_span(host(set, "b")->auth_header, "x-key");
    check_span(set->config->provider_keys[0].secret, "");
    assert_int_equal(set->config->provider_keys[0].secret_kind, RELAY_SECRET_PLAIN);
    check_span(set->config->provider_keys[1].secret, "x");
    finish(set);
    refused("{'hosts': {" HOST("a", "") "}}", "{'provider_keys': {'k': {'host': 'a'}}}", "own",
            "provider_keys.k", "expected \"value\"");
}

/* ---- memory that runs out ----------------------------------------------------------- */

static void memory_may_run_out_at_any_moment(void **state)
{
    set_t *set = good(
        "{'hosts': {" HOST(
            "a", "") ", 'out': {'base_url': 'https://{x}',"
                     "'formats': ['openai-chat']}, 'b': {'base_url': 'https://h/v1', 'formats':"
                     "{'openai-embeddings': '/e', 'openai-chat': {'base_url': 'https://h/v2'}}}},"
                     "'models': {'k': {'offers': [{'host': 'a'}]},"
                     "'m': {'aliases': ['x', 'y'], 'offers': [{'host': 'a'}, {'host': 'out'}]}}}",
        "{'models': {'o': {'aliases': ['x', 'k']}}}", false);
    size_t needed = set->arena.allocations;

    (void)state;
    assert_true(needed > 30);
    for (size_t fail_at = 1; fail_at <= needed; fail_at++) {
        check_release(&set->arena);
        set->arena.fail_at = fail_at;
        assert_false(build(set));
        assert_string_equal(set->fault.message, "out of memory");
        assert_int_equal(set->arena.allocations, fail_at);
    }
    finish(set);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(own_hosts_replace),
        cmocka_unit_test(replaced_entries_are_not_read),
        cmocka_unit_test(own_models_replace),
        cmocka_unit_test(names_are_unique_within_each),
        cmocka_unit_test(aliases_of_the_catalog_yield),
        cmocka_unit_test(models_of_the_catalog_yield_to_aliases),
        cmocka_unit_test(aliases_are_unique_within_each),
        cmocka_unit_test(models_that_are_left_out_take_no_names),
        cmocka_unit_test(unknown_formats_are_skipped),
        cmocka_unit_test(formats_are_folded),
        cmocka_unit_test(formats_are_folded_together),
        cmocka_unit_test(formats_that_cannot_be_folded),
        cmocka_unit_test(hosts_are_left_out),
        cmocka_unit_test(nothing_of_it_stays),
        cmocka_unit_test(who_needs_a_host_is_told),
        cmocka_unit_test(a_host_that_is_described_again),
        cmocka_unit_test(own_documents_are_read_strictly),
        cmocka_unit_test(the_catalog_is_read_strictly),
        cmocka_unit_test(models_without_offers),
        cmocka_unit_test(facts_and_pricing_mean_nothing),
        cmocka_unit_test(hosts_without_keys),
        cmocka_unit_test(memory_may_run_out_at_any_moment),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
