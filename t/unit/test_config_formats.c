/* Formats of hosts: variants, paths of streams, variables. */

#include "config_formats.c"

#include "entry_check.h"

static bool speaks(const relay_host_t *host, const char *format)
{
    return (host->formats >> entry_wire(format)->index & 1) != 0;
}

/* Of a host: the variant of a format, its path and that of its streams. */
static void check_format(const relay_host_t *host, const char *format, const char *variant,
                         const char *path, const char *streams)
{
    unsigned i = entry_wire(format)->index;

    assert_true(speaks(host, format));
    check_span(host->variants[i]->name, variant);
    check_span(host->paths[i], path);
    check_span(host->stream_paths[i], streams);
}

#define HOST(rest) "{'hosts': {'h': {'base_url': 'https://h/v1', " rest "}}}"

/* ---- variants ------------------------------------------------------------- */

static void formats_have_their_own_paths(void **state)
{
    static const char *const documents[] = {
        HOST("'formats': ['openai-chat', 'gemini', 'bedrock-converse']"),
        HOST("'formats': {'openai-chat': {}, 'gemini': {}, 'bedrock-converse': {}}"),
        HOST("'formats': {'openai-chat': {}, 'gemini-stream': {}, 'bedrock-converse-stream': {}}"),
    };

    (void)state;
    for (size_t i = 0; i < 2 * sizeof(documents) / sizeof(documents[0]); i++) {
        entry_t *entry = entry_good(documents[i / 2], i % 2 != 0);
        const relay_host_t *h = entry_host(entry, "h");
        check_format(h, "openai-chat", "openai-chat", "/chat/completions", "/chat/completions");
        check_format(h, "gemini", "gemini", "/models/{model}:generateContent",
                     "/models/{model}:streamGenerateContent?alt=sse");
        check_format(h, "bedrock-converse", "bedrock-converse", "/model/{model}/converse",
                     "/model/{model}/converse-stream");
        assert_false(speaks(h, "anthropic-messages"));
        entry_free(entry);
    }
}

static void the_plain_format_wins(void **state)
{
    static const char *const documents[] = {
        HOST("'formats': {'anthropic-messages': '/m', 'bedrock-invoke': '/i/{model}',"
             "'bedrock-invoke-stream': '/s/{model}'}"),
        HOST("'formats': {'bedrock-invoke-stream': '/s/{model}', 'bedrock-invoke': '/i/{model}',"
             "'anthropic-messages': '/m'}"),
    };
    entry_t *entry;

    (void)state;
    for (size_t i = 0; i < 4; i++) {
        entry = entry_good(documents[i / 2], i % 2 != 0);
        check_format(entry_host(entry, "h"), "anthropic-messages", "anthropic-messages", "/m",
                     "/m");
        entry_free(entry);
    }
    entry = entry_good(HOST("'formats': {'bedrock-invoke-stream': '/s/{model}?x=1&y=/',"
                            "'bedrock-invoke': '/i/{model}'}"),
                       false);
    check_format(entry_host(entry, "h"), "anthropic-messages", "bedrock-invoke", "/i/{model}",
                 "/s/{model}?x=1&y=/");
    entry_free(entry);
}

static void one_variant_of_a_format(void **state)
{
    const char *two = HOST("'formats': {'bedrock-invoke': {}, 'vertex-anthropic': {}}");
    entry_t *entry = entry_good(two, true);

    (void)state;
    check_span(entry_host(entry, "h")->variants[entry_wire("anthropic-messages")->index]->name,
               "bedrock-invoke");
    entry_free(entry);
    entry_refused(two, false, "hosts.h.formats.vertex-anthropic",
                  "this is the format \"bedrock-invoke\", which is there already");
    entry_refused(HOST("'formats': ['bedrock-invoke', 'vertex-anthropic']"), false,
                  "hosts.h.formats[1]", "is there already");
    entry_refused(HOST("'formats': ['bedrock-invok']"), false, "hosts.h.formats[0]",
                  "there is no format \"bedrock-invok\"; did you mean \"bedrock-invoke\"?");
}

/* A format that cannot be used makes way for a variant that can. */
static void a_variant_in_place_of_what_is_elsewhere(void **state)
{
    entry_t *entry = entry_good(HOST("'formats': {'bedrock-invoke': {}, 'anthropic-messages':"
                                     "{'base_url': 'https://elsewhere', 'path': '/m'}}"),
                                true);

    (void)state;
    check_format(entry_host(entry, "h"), "anthropic-messages", "bedrock-invoke",
                 "/model/{model}/invoke", "/model/{model}/invoke-with-response-stream");
    entry_free(entry);
}

/* ---- paths of streams ----------------------------------------------------- */

static void the_other_path_is_derived(void **state)
{
    static const struct {
        const char *formats;
        const char *path;
        const char *streams;
    } cases[] = {
        {"{'gemini': '/google/models/{model}:generateContent'}",
         "/google/models/{model}:generateContent",
         "/google/models/{model}:streamGenerateContent?alt=sse"},
        {"{'gemini-stream': '/google/models/{model}:streamGenerateContent?alt=sse'}",
         "/google/models/{model}:generateContent",
         "/google/models/{model}:streamGenerateContent?alt=sse"},
        {"{'gemini': {'base_url': 'https://h/v2'}}", "/v2/models/{model}:generateContent",
         "/v2/models/{model}:streamGenerateContent?alt=sse"},
        {"{'gemini': {'base_url': 'https://h/v2'}, 'gemini-stream': '/s'}",
         "/v2/models/{model}:generateContent", "/v1/s"},
        {"{'gemini': {'base_url': 'https://h/v1/x', 'path': '/g'}, 'gemini-stream': '/s'}", "/x/g",
         "/s"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char document[1024];
        entry_t *entry;
        snprintf(document, sizeof(document), HOST("'formats': %s"), cases[i].formats);
        entry = entry_good(document, i % 2 != 0);
        check_format(entry_host(entry, "h"), "gemini", "gemini", cases[i].path, cases[i].streams);
        entry_free(entry);
    }
}

static void a_path_that_cannot_be_derived(void **state)
{
    entry_t *entry =
        entry_good(HOST("'formats': {'openai-chat': {}, 'gemini': '/generate/{model}'}"), true);

    (void)state;
    assert_false(speaks(entry_host(entry, "h"), "gemini"));
    assert_true(speaks(entry_host(entry, "h"), "openai-chat"));
    entry_free(entry);
    entry_refused(HOST("'formats': {'gemini': '/generate/{model}'}"), false,
                  "hosts.h.formats.gemini", "streams have another path");
    entry_refused(HOST("'formats': {'gemini-stream': '/generate/{model}'}"), false,
                  "hosts.h.formats.gemini-stream", "that are no streams have another path");
}

static void paths_are_checked(void **state)
{
    static const struct {
        const char *path;
        const char *message;
    } cases[] = {
        {"x", "starts with a slash"},
        {"?x", "no query"},
        {"/x?a?b", "one query"},
        {"/x#y", "no fragment"},
        {"/x?a b", "not allowed in a URL"},
        {"/{model}/../x", "segment"},
        {"/x?%zz", "hexadecimal"},
        {"/{mod-el}", "not allowed in a URL"},
        {"/{other}", "have no \"other\""},
        {"/x/{model", "not allowed in a URL"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char document[256];
        snprintf(document, sizeof(document), HOST("'formats': {'openai-chat': '%s'}"),
                 cases[i].path);
        entry_refused(document, false, "hosts.h.formats.openai-chat", cases[i].message);
    }
}

/* ---- variables ------------------------------------------------------------ */

#define REGIONAL(variables)                                                                        \
    "{'hosts': {'r': {'headers': {'x-place': '{ in {region} }'}, 'base_url': "                     \
    "'https://api.{region}.h.example/{project}', 'formats': {'openai-chat': "                      \
    "'/{project}/{model}/chat?v={version}', 'openai-embeddings': {'base_url': "                    \
    "'https://api.{region}.h.example', 'path': '/{project}/embed'}}, 'variables': {" variables     \
    "}}}}"
#define ALL "'region': 'eu-1', 'project': 'p', 'version': '2'"

static void variables_are_filled_in(void **state)
{
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        entry_t *entry = entry_good(REGIONAL(ALL ", 'unused': '{region}'"), i != 0);
        const relay_host_t *r = entry_host(entry, "r");
        check_span(r->origin, "https://api.eu-1.h.example:443");
        check_span(r->base_path, "/p");
        check_format(r, "openai-chat", "openai-chat", "/p/{model}/chat?v=2", "/p/{model}/chat?v=2");
        check_format(r, "openai-embeddings", "openai-embeddings", "/embed", "/embed");
        check_span(r->headers[0].value, "{ in eu-1 }");
        entry_free(entry);
    }
}

static void variables_without_a_value(void **state)
{
    entry_t *entry = entry_good(REGIONAL("'region': 'eu-1', 'project': 'p'"), true);

    (void)state;
    assert_true(speaks(entry_host(entry, "r"), "openai-embeddings"));
    assert_false(speaks(entry_host(entry, "r"), "openai-chat"));
    entry_free(entry);
    entry = entry_good(REGIONAL("'version': '2', 'project': 'p'"), true);
    assert_null(entry_host(entry, "r"));
    entry_free(entry);
    entry_refused(REGIONAL("'region': 'eu-1', 'project': 'p'"), false,
                  "hosts.r.formats.openai-chat", "the host's \"variables\" have no \"version\"");
    entry_refused(REGIONAL("'region': 'eu-1', 'version': '2'"), false, "hosts.r.base_url",
                  "the host's \"variables\" have no \"project\"");
    entry_refused(HOST("'formats': ['openai-chat'], 'headers': {'x': 'a {secret}'}"), false,
                  "hosts.h.headers.x", "has a placeholder without a value");
}

#define ELSEWHERE(variables)                                                                       \
    "{'hosts': {'r': {'base_url': 'https://{place}.h.example/v1', 'base_url_for': {'place': "      \
    "{'everywhere': 'https://h.example/v2', 'union': 'https://{place}.rep.example'}}, "            \
    "'formats': ['openai-chat'], 'variables': {" variables "}}}}"

static void values_have_base_urls_of_their_own(void **state)
{
    static const char *const cases[][3] = {
        {ELSEWHERE("'place': 'eu-1'"), "https://eu-1.h.example:443", "/v1"},
        {ELSEWHERE("'place': 'everywhere'"), "https://h.example:443", "/v2"},
        {ELSEWHERE("'place': 'union'"), "https://union.rep.example:443", ""},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        entry_t *entry = entry_good(cases[i][0], true);
        check_span(entry_host(entry, "r")->origin, cases[i][1]);
        check_span(entry_host(entry, "r")->base_path, cases[i][2]);
        entry_free(entry);
    }
    entry_t *entry = entry_good(ELSEWHERE("'other': 'everywhere'"), true);
    assert_null(entry_host(entry, "r"));
    entry_free(entry);
    entry_refused(HOST("'base_url_for': 5"), false, "hosts.h.base_url_for", "an object");
    entry_refused(HOST("'base_url_for': {'a': 'x'}"), true, "hosts.h.base_url_for.a", "an object");
    entry_refused(HOST("'base_url_for': {'a': {'b': 1}}"), false, "hosts.h.base_url_for.a.b",
                  "a base URL");
    entry_refused(HOST("'variables': {'a': 'b'}, 'base_url_for': {'a': {'b': 'ftp://x'}}"), false,
                  "hosts.h.base_url_for.a.b", "http");
}

static void variables_are_checked(void **state)
{
    (void)state;
    entry_refused(HOST("'variables': 5"), false, "hosts.h.variables",
                  "expected an object of values by name");
    entry_refused(HOST("'variables': {'a-b': 'x'}"), false, "hosts.h.variables.a-b",
                  "expected the name of a variable");
    entry_refused(HOST("'variables': {'model': 'x'}"), false, "hosts.h.variables.model",
                  "is the model of each request");
    entry_refused(HOST("'variables': {'a': 'x y'}"), true, "hosts.h.variables.a", "without spaces");
    entry_refused(HOST("'variables': {'a': ''}"), true, "hosts.h.variables.a", "at least 1");
    entry_refused("{'hosts': {'e': {'echo': true, 'variables': {}}}}", false, "hosts.e.variables",
                  "takes no such member");
    /* what a variable brings in is checked as if it stood there */
    entry_refused(REGIONAL("'region': 'evil.example/', 'project': '../p', 'version': '2'"), false,
                  "hosts.r.base_url", "segment");
}

static void memory_may_run_out(void **state)
{
    (void)state;
    entry_without_memory(REGIONAL(ALL), false);
    entry_without_memory(HOST("'formats': {'gemini': '/x/models/{model}:generateContent',"
                              "'openai-chat': {'base_url': 'https://h/v2'}}"),
                         true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(formats_have_their_own_paths),
        cmocka_unit_test(the_plain_format_wins),
        cmocka_unit_test(one_variant_of_a_format),
        cmocka_unit_test(a_variant_in_place_of_what_is_elsewhere),
        cmocka_unit_test(the_other_path_is_derived),
        cmocka_unit_test(a_path_that_cannot_be_derived),
        cmocka_unit_test(paths_are_checked),
        cmocka_unit_test(variables_are_filled_in),
        cmocka_unit_test(values_have_base_urls_of_their_own),
        cmocka_unit_test(variables_without_a_value),
        cmocka_unit_test(variables_are_checked),
        cmocka_unit_test(memory_may_run_out),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
