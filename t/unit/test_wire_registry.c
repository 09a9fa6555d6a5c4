/* The table of formats, and which path leads to which operation. */

#include "wire_registry.c"

#include "wire_check.h"

static relay_match_t match_path(const char *path, const relay_dialect_t *hint)
{
    relay_match_t match;

    memset(&match, 0xff, sizeof(match));
    relay_wire_match(check_text(path), hint, &match);
    assert_non_null(match.dialect);
    return match;
}

static void formats_have_their_places(void **state)
{
    static const char *const names[] = {
        "openai-chat",         "openai-responses", "openai-embeddings",   "anthropic-messages",
        "bedrock-converse",    "gemini",           "gemini-embed",        "vertex-embed",
        "bedrock-titan-embed", "cohere-embed",     "vertex-embed-content"};

    (void)state;
    for (unsigned i = 0; i < 11; i++) {
        const relay_wire_t *wire = relay_wire_find(check_text(names[i]));
        assert_non_null(wire);
        assert_int_equal(wire->index, i);
        assert_ptr_equal(relay_wire_at(i), wire);
        assert_non_null(wire->dialect);
        assert_true(wire->edits != NULL && wire->wants_usage != NULL && wire->event != NULL &&
                    wire->close != NULL && wire->error_event != NULL && wire->answer != NULL &&
                    wire->echo != NULL);
    }
    assert_null(relay_wire_at(11));
    assert_null(relay_wire_find(RELAY_SPAN("openai")));
    assert_null(relay_dialect_at(3));
    check_span(relay_dialect_at(2)->key_header, "x-goog-api-key");
    check_span(relay_dialect_at(2)->key_query, "key");
    assert_int_equal(relay_dialect_at(0)->key_header.len + relay_dialect_at(1)->key_query.len, 0);
    check_span(relay_dialect_at(0)->request_id_header, "x-request-id");
    check_span(relay_dialect_at(1)->request_id_header, "request-id");
    check_span(relay_dialect_at(1)->marker_header, "anthropic-version");
    assert_false(relay_wire_find(RELAY_SPAN("openai-embeddings"))->streams);
}

/* Every way to write a path that leads somewhere. */
static void endpoints_are_found(void **state)
{
    static const struct {
        const char *path;
        const char *wire;
        relay_operation_t operation;
        const char *dialect;
        bool explicit_dialect;
        const char *rest;
    } cases[] = {
        {"/v1/chat/completions", "openai-chat", RELAY_OP_GENERATE, "openai", false,
         "/chat/completions"},
        {"/openai/v1/chat/completions", "openai-chat", RELAY_OP_GENERATE, "openai", true,
         "/chat/completions"},
        {"/openai/chat/completions", "openai-chat", RELAY_OP_GENERATE, "openai", true,
         "/chat/completions"},
        {"/v1/v1/chat/completions", "openai-chat", RELAY_OP_GENERATE, "openai", false,
         "/chat/completions"},
        {"/openai/v1/v1/responses/", "openai-responses", RELAY_OP_GENERATE, "openai", true,
         "/responses"},
        {"/v1/embeddings/", "openai-embeddings", RELAY_OP_GENERATE, "openai", false, "/embeddings"},
        {"/v1/messages", "anthropic-messages", RELAY_OP_GENERATE, "anthropic", false, "/messages"},
        {"/anthropic/v1/messages", "anthropic-messages", RELAY_OP_GENERATE, "anthropic", true,
         "/messages"},
        {"/anthropic/messages", "anthropic-messages", RELAY_OP_GENERATE, "anthropic", true,
         "/messages"},
        {"/v1/responses/input_tokens", "openai-responses", RELAY_OP_AUXILIARY, "openai", false,
         "/responses/input_tokens"},
        {"/openai/v1/responses/compact", "openai-responses", RELAY_OP_AUXILIARY, "openai", true,
         "/responses/compact"},
        {"/v1/messages/count_tokens", "anthropic-messages", RELAY_OP_AUXILIARY, "anthropic", false,
         "/messages/count_tokens"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        /* a header never overrules such a path */
        for (unsigned hint = 0; hint < 4; hint++) {
            relay_match_t match = match_path(cases[i].path, relay_dialect_at(hint));
            assert_int_equal(match.operation, cases[i].operation);
            check_span(match.wire->name, cases[i].wire);
            check_span(match.dialect->name, cases[i].dialect);
            assert_int_equal(match.explicit_dialect, cases[i].explicit_dialect);
            assert_false(match.get || match.streaming);
            assert_int_equal(match.model.len + match.method.len, 0);
            check_span(match.rest, cases[i].rest);
            if (match.operation == RELAY_OP_GENERATE) {
                assert_ptr_equal(match.echo, match.wire->echo);
            }
        }
    }
}

/* The built-in model counts tokens, and cannot compact. */
static void auxiliaries_have_their_own_echo(void **state)
{
    (void)state;
    assert_ptr_equal(match_path("/v1/responses/input_tokens", NULL).echo, relay_echo_count_input);
    assert_ptr_equal(match_path("/v1/messages/count_tokens", NULL).echo, relay_echo_count_messages);
    assert_null(match_path("/v1/responses/compact", NULL).echo);
    assert_null(match_path("/v1/models", NULL).echo);
    assert_null(match_path("/v1/files", NULL).echo);
}

static void shared_paths_follow_the_hint(void **state)
{
    relay_match_t match = match_path("/v1/models", NULL);

    (void)state;
    assert_int_equal(match.operation, RELAY_OP_MODEL_LIST);
    assert_true(match.get);
    assert_null(match.wire);
    check_span(match.dialect->name, "openai");
    match = match_path("/v1/models/", &relay_dialect_anthropic);
    assert_int_equal(match.operation, RELAY_OP_MODEL_LIST);
    check_span(match.dialect->name, "anthropic");
    match = match_path("/openai/v1/models", &relay_dialect_anthropic);
    check_span(match.dialect->name, "openai");
    assert_true(match.explicit_dialect);
    match = match_path("/v1/files", &relay_dialect_anthropic);
    assert_int_equal(match.operation, RELAY_OP_NONE);
    check_span(match.dialect->name, "anthropic");
}

static void model_ids_keep_their_bytes(void **state)
{
    static const struct {
        const char *path;
        const char *id;
    } cases[] = {
        {"/v1/models/fable-3", "fable-3"},
        {"/openai/v1/models/org%2Ffable%3A3", "org%2Ffable%3A3"},
        {"/openai/models/org/fable:3/", "org/fable:3"},
        {"/anthropic/v1/models/saga-4", "saga-4"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        relay_match_t match = match_path(cases[i].path, NULL);
        assert_int_equal(match.operation, RELAY_OP_MODEL);
        assert_true(match.get);
        check_span(match.rest, cases[i].id);
    }
}

static void other_paths_are_nothing_of_ours(void **state)
{
    static const struct {
        const char *path;
        const char *dialect;
        const char *rest;
    } cases[] = {
        {"/", "openai", ""},
        {"/health", "openai", ""},
        {"/chat/completions", "openai", ""},
        {"/v1", "openai", ""},
        {"/v1/", "openai", ""},
        {"/v1alpha/models", "openai", ""},
        {"/v11/models", "openai", ""},
        {"/openaix/v1/models", "openai", ""},
        {"/openai", "openai", ""},
        {"/anthropic/", "anthropic", ""},
        /* another version is not put under ours */
        {"/anthropic/v3beta", "anthropic", ""},
        {"/anthropic/v3beta/files", "anthropic", ""},
        {"/anthropic/v1beta/messages", "anthropic", ""},
        {"/openai/v2/chat/completions", "openai", ""},
        {"/openai/v2.1/files", "openai", ""},
        {"/openai/v1alpha2/files", "openai", ""},
        /* what only looks like one is a name */
        {"/openai/files", "openai", "/files"},
        {"/openai/vector_stores/v2", "openai", "/vector_stores/v2"},
        {"/openai/v", "openai", "/v"},
        {"/openai/v2-files", "openai", "/v2-files"},
        {"/openai/vx1", "openai", "/vx1"},
        /* under a version of ours the caller may write what he likes */
        {"/v1/v3beta/files", "openai", "/v3beta/files"},
        {"/openai/v1/v2/files", "openai", "/v2/files"},
        {"/anthropic/v1/chat/completions", "anthropic", "/chat/completions"},
        {"/openai/v1/messages", "openai", "/messages"},
        {"/openai/v1/messages/count_tokens", "openai", "/messages/count_tokens"},
        {"/v1/responses/resp_1/cancel", "openai", "/responses/resp_1/cancel"},
        {"/v1/files/a%2Fb%3Ac/", "openai", "/files/a%2Fb%3Ac/"},
        {"/openai/v1/chat%2Fcompletions", "openai", "/chat%2Fcompletions"},
        {"/anthropic/v1/messages/batches", "anthropic", "/messages/batches"},
        {"/v1/modelsx", "openai", "/modelsx"},
        {"/v1/files/..x/.y", "openai", "/files/..x/.y"},
        {"/v1/files/%zz%2", "openai", "/files/%zz%2"},
        /* the path of a format that is a pattern is no path */
        {"/v1/model/{model}/converse", "openai", "/model/{model}/converse"},
        /* a version that one dialect alone has binds to it */
        {"/v1beta", "gemini", ""},
        {"/v1beta/files", "gemini", "/files"},
        {"/v1beta/chat/completions", "gemini", "/chat/completions"},
        {"/gemini/v1/messages", "gemini", "/messages"},
        {"/gemini/v1beta/tunedModels", "gemini", "/tunedModels"},
        {"/gemini/v1alpha/models/m:generateContent", "gemini", ""},
        {"/openai/v1beta/models", "openai", ""},
        {"/openai/v1/v1beta/models", "openai", "/v1beta/models"},
        /* methods that are not Relay's, and one without a name */
        {"/v1beta/models/m:embedContent", "gemini", "/models/m:embedContent"},
        {"/v1/models/m:batchEmbedContents", "gemini", "/models/m:batchEmbedContents"},
        {"/gemini/models/m:predict/", "gemini", "/models/m:predict"},
        {"/v1beta/models/..:predict/../x:predict", "gemini", ""},
        {"/v1beta/models/:generateContent", "gemini", "/models/:generateContent"},
        {"/v1beta/models/%3AgenerateContent", "gemini", "/models/%3AgenerateContent"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        relay_match_t match = match_path(cases[i].path, NULL);
        assert_int_equal(match.operation, RELAY_OP_NONE);
        assert_null(match.wire);
        check_span(match.dialect->name, cases[i].dialect);
        check_span(match.rest, cases[i].rest);
    }
}

static void paths_may_name_model_and_method(void **state)
{
    static const struct {
        const char *path;
        const char *model;
        const char *method;
        relay_operation_t operation;
        bool streaming;
        bool explicit_dialect;
    } cases[] = {
        {"/gemini/v1beta/models/saga-4:generateContent", "saga-4", "generateContent",
         RELAY_OP_GENERATE, false, true},
        {"/gemini/v1/models/saga-4:streamGenerateContent", "saga-4", "streamGenerateContent",
         RELAY_OP_GENERATE, true, true},
        {"/gemini/models/saga-4:countTokens", "saga-4", "countTokens", RELAY_OP_AUXILIARY, false,
         true},
        {"/v1beta/models/saga-4:generateContent/", "saga-4", "generateContent", RELAY_OP_GENERATE,
         false, true},
        {"/v1beta/v1beta/models/saga-4:generateContent", "saga-4", "generateContent",
         RELAY_OP_GENERATE, false, true},
        {"/v1/v1beta/models/saga-4:generateContent", "saga-4", "generateContent", RELAY_OP_GENERATE,
         false, true},
        {"/v1/models/saga-4:streamGenerateContent", "saga-4", "streamGenerateContent",
         RELAY_OP_GENERATE, true, false},
        /* names with colons, slashes, hosts; a colon that is encoded */
        {"/v1beta/models/fable:3b:generateContent", "fable:3b", "generateContent",
         RELAY_OP_GENERATE, false, true},
        {"/v1beta/models/org/fable@host:countTokens", "org/fable@host", "countTokens",
         RELAY_OP_AUXILIARY, false, true},
        {"/v1beta/models/org%2Ffable%3AgenerateContent", "org%2Ffable", "generateContent",
         RELAY_OP_GENERATE, false, true},
        {"/v1beta/models/a%3astreamGenerateContent", "a", "streamGenerateContent",
         RELAY_OP_GENERATE, true, true},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        for (unsigned hint = 0; hint < 4; hint++) {
            relay_match_t match = match_path(cases[i].path, relay_dialect_at(hint));
            assert_int_equal(match.operation, cases[i].operation);
            check_span(match.dialect->name, "gemini");
            check_span(match.wire->name, "gemini");
            check_span(match.model, cases[i].model);
            check_span(match.method, cases[i].method);
            assert_int_equal(match.streaming, cases[i].streaming);
            assert_int_equal(match.explicit_dialect, cases[i].explicit_dialect);
            assert_false(match.get);
            assert_true(relay_span_starts(match.rest, RELAY_SPAN("/models/")));
            assert_true(match.echo == (match.operation == RELAY_OP_GENERATE
                                           ? match.wire->echo
                                           : relay_gemini_echo_count));
        }
    }
}

/* What looks like a method elsewhere is part of a name. */
static void other_colons_belong_to_the_name(void **state)
{
    static const struct {
        const char *path;
        const char *dialect;
        const char *id;
    } cases[] = {
        {"/openai/v1/models/saga:generateContent", "openai", "saga:generateContent"},
        {"/gemini/v1beta/models/fable:3b", "gemini", "fable:3b"},
        {"/v1beta/models/generateContent", "gemini", "generateContent"},
        {"/v1beta/models/xgenerateContent", "gemini", "xgenerateContent"},
        {"/v1/models/fable:3b", "openai", "fable:3b"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        relay_match_t match = match_path(cases[i].path, NULL);
        assert_int_equal(match.operation, RELAY_OP_MODEL);
        assert_true(match.get);
        check_span(match.dialect->name, cases[i].dialect);
        check_span(match.rest, cases[i].id);
        assert_int_equal(match.model.len, 0);
    }
    check_span(match_path("/v1beta/models/", NULL).dialect->name, "gemini");
    assert_int_equal(match_path("/v1beta/models/", NULL).operation, RELAY_OP_MODEL_LIST);
    assert_int_equal(match_path("/gemini/models", NULL).operation, RELAY_OP_MODEL_LIST);
    check_span(match_path("/v1/models", &relay_dialect_gemini).dialect->name, "gemini");
}

static void a_query_gives_its_first_parameter(void **state)
{
    relay_span_t query = RELAY_SPAN("alt=sse&keys=1&key&x=a%20b&alt=json"), value;

    (void)state;
    assert_true(relay_wire_query(query, RELAY_SPAN("alt"), &value));
    check_span(value, "sse");
    assert_true(relay_wire_query(query, RELAY_SPAN("key"), &value));
    assert_int_equal(value.len, 0);
    assert_true(relay_wire_query(query, RELAY_SPAN("x"), &value));
    check_span(value, "a%20b");
    assert_false(relay_wire_query(query, RELAY_SPAN("y"), &value));
    assert_false(relay_wire_query(relay_span(NULL, 0), RELAY_SPAN("key"), &value));
}

static void no_path_climbs_out_of_the_version(void **state)
{
    static const char *const paths[] = {
        "/v1/../admin",        "/v1/files/..",       "/v1/files/./x",
        "/openai/v1/%2e%2E/x", "/openai/.%2e",       "/v1/files%2f..%2Fx",
        "/v1/files\\..\\x",    "/v1/files%5c%2e%2e", "/anthropic/v1/.",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        relay_match_t match = match_path(paths[i], NULL);
        assert_int_equal(match.operation, RELAY_OP_NONE);
        assert_int_equal(match.rest.len, 0);
    }
}

static void check_redacted(const char *line, const char *want)
{
    char text[256];
    relay_buf_t out = relay_buf(text, sizeof(text));

    relay_wire_put_redacted(&out, check_text(line));
    assert_true(relay_buf_ok(&out));
    check_span(relay_buf_span(&out), want);
}

static void keys_are_not_for_logs(void **state)
{
    (void)state;
    check_redacted("POST /v1beta/models/m:generateContent?key=rly_1 HTTP/1.1",
                   "POST /v1beta/models/m:generateContent?key=*** HTTP/1.1");
    check_redacted("POST /x?alt=sse&key=a%20b&key=c&y=key=d HTTP/2.0",
                   "POST /x?alt=sse&key=***&key=***&y=key=d HTTP/2.0");
    check_redacted("GET /x?key=?&key=/ b?key=c", "GET /x?key=***&key=*** b?key=c");
    check_redacted("GET /key=1?keys=2&monkey=3&key&key= HTTP/1.1",
                   "GET /key=1?keys=2&monkey=3&key&key= HTTP/1.1");
    check_redacted("GET /x?key=unfinished", "GET /x?key=***");
    check_redacted("GET /x HTTP/1.1\r\nx-api-key: secret", "GET /x HTTP/1.1");
    check_redacted("GET /\nx?key=a", "GET /");
    check_redacted("GET /x?", "GET /x?");
    check_redacted("", "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(formats_have_their_places),
        cmocka_unit_test(endpoints_are_found),
        cmocka_unit_test(auxiliaries_have_their_own_echo),
        cmocka_unit_test(shared_paths_follow_the_hint),
        cmocka_unit_test(model_ids_keep_their_bytes),
        cmocka_unit_test(other_paths_are_nothing_of_ours),
        cmocka_unit_test(paths_may_name_model_and_method),
        cmocka_unit_test(other_colons_belong_to_the_name),
        cmocka_unit_test(a_query_gives_its_first_parameter),
        cmocka_unit_test(no_path_climbs_out_of_the_version),
        cmocka_unit_test(keys_are_not_for_logs),
    };

    return cmocka_run_group_tests_name("wire_registry", tests, NULL, NULL);
}
