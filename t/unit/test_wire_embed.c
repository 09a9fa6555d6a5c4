/* Formats of embeddings for upstreams: what their answers say, errors, variants. */

#include "wire_embed.c"

#include "wire_check.h"
#include "wire_variant.h"

static const relay_wire_t *const wires[] = {
    &relay_wire_gemini_embed, &relay_wire_vertex_embed, &relay_wire_bedrock_titan_embed,
    &relay_wire_cohere_embed, &relay_wire_vertex_embed_content};

enum { WIRES = sizeof(wires) / sizeof(wires[0]) };

static relay_answer_t answer_of(const relay_wire_t *wire, const char *body)
{
    relay_answer_t answer;

    memset(&answer, 0xff, sizeof(answer));
    wire->answer(check_text(body), &answer);
    return answer;
}

static void check_tokens(const relay_wire_t *wire, const char *body, bool known, uint64_t tokens)
{
    relay_answer_t answer = answer_of(wire, body);
    relay_usage_t want = {.known = known, .input_tokens = tokens};

    check_usage(&answer.usage, &want);
    assert_false(answer.is_error);
    assert_string_equal(answer.finish, "");
}

static void usage_is_read(void **state)
{
    (void)state;
    check_tokens(&relay_wire_gemini_embed,
                 "{\"embeddings\":[{\"values\":[0.5]}],\"usageMetadata\":{\"promptTokenCount\":7,"
                 "\"totalTokenCount\":7}}",
                 true, 7);
    check_tokens(&relay_wire_gemini_embed, "{\"embeddings\":[{\"values\":[0.5]}]}", false, 0);
    check_tokens(&relay_wire_vertex_embed,
                 "{\"predictions\":[{\"embeddings\":{\"statistics\":{\"truncated\":false,"
                 "\"token_count\":6},\"values\":[0.5]}},{\"embeddings\":{\"values\":[1],"
                 "\"statistics\":{\"token_count\":4}}}]}",
                 true, 10);
    check_tokens(&relay_wire_vertex_embed,
                 "{\"predictions\":[{\"embeddings\":{\"values\":[1],\"statistics\":5}},7,{},"
                 "{\"embeddings\":[]}]}",
                 false, 0);
    check_tokens(&relay_wire_vertex_embed, "{\"predictions\":{}}", false, 0);
    check_tokens(&relay_wire_vertex_embed_content,
                 "{\"embedding\":{\"values\":[0.5]},\"truncated\":false,\"usageMetadata\":{"
                 "\"promptTokenCount\":9,\"totalTokenCount\":9}}",
                 true, 9);
    check_tokens(&relay_wire_vertex_embed_content, "{\"embedding\":{\"values\":[0.5]}}", false, 0);
    check_tokens(&relay_wire_bedrock_titan_embed,
                 "{\"embedding\":[0.5],\"inputTextTokenCount\":3,\"message\":null}", true, 3);
    check_tokens(&relay_wire_bedrock_titan_embed, "{\"embedding\":[0.5]}", false, 0);
    check_tokens(&relay_wire_cohere_embed,
                 "{\"embeddings\":{\"float\":[[0.5]]},\"meta\":{\"billed_units\":"
                 "{\"input_tokens\":2}}}",
                 true, 2);
    check_tokens(&relay_wire_cohere_embed, "{\"embeddings\":[[0.5]],\"meta\":{}}", false, 0);
    check_tokens(&relay_wire_cohere_embed, "{\"embeddings\":[[0.5]]}", false, 0);
}

static void errors_are_read(void **state)
{
    static const char google[] = "{\"error\":{\"code\":429,\"message\":\"Slow.\",\"status\":"
                                 "\"RESOURCE_EXHAUSTED\"}}";
    static const char flat[] = "{\"message\":\"Slow.\"}";
    static const char *const bodies[WIRES] = {google, google, flat, flat, google};
    relay_answer_t answer;

    (void)state;
    for (size_t i = 0; i < WIRES; i++) {
        answer = answer_of(wires[i], bodies[i]);
        assert_true(answer.is_error);
        check_span(answer.message, "Slow.");
        assert_false(answer.key_refused);
    }
    answer = answer_of(&relay_wire_gemini_embed,
                       "{\"error\":{\"code\":400,\"message\":\"No.\",\"status\":"
                       "\"INVALID_ARGUMENT\",\"details\":[{\"@type\":"
                       "\"type.googleapis.com/google.rpc.ErrorInfo\",\"reason\":"
                       "\"API_KEY_INVALID\"}]}}");
    assert_true(answer.is_error && answer.key_refused);
    answer = answer_of(&relay_wire_bedrock_titan_embed,
                       "{\"message\":\"No.\",\"__type\":\"UnrecognizedClientException\"}");
    assert_true(answer.is_error && answer.key_refused);
}

static void anything_may_come(void **state)
{
    static const char *const bodies[] = {"",    "[]",           "<html>",  "{\"embeddings\":",
                                         "{",   "{\"meta\":1}", "[1,2,3]", "{\"predictions\":[[[",
                                         "null"};

    (void)state;
    for (size_t i = 0; i < WIRES; i++) {
        for (size_t k = 0; k < sizeof(bodies) / sizeof(bodies[0]); k++) {
            relay_answer_t answer = answer_of(wires[i], bodies[k]);
            assert_false(answer.is_error);
            assert_int_equal(answer.message.len, 0);
            assert_int_equal(answer.usage.input_tokens, 0);
        }
    }
}

static void nothing_streams(void **state)
{
    (void)state;
    for (size_t i = 0; i < WIRES; i++) {
        uint8_t bytes[2048];
        relay_buf_t out = relay_buf(bytes, sizeof(bytes));
        relay_error_t error = {.code = RELAY_ERR_UPSTREAM_CUT};
        check_run_t *run = malloc(sizeof(*run));
        assert_non_null(run);
        assert_false(wires[i]->streams);
        check_run(run, wires[i], false, RELAY_SPAN("data: {\"x\":1}\n\ndata: [DONE]\n\n"), 9, 9);
        assert_string_equal(run->classes, "ii");
        assert_false(run->closed);
        wires[i]->error_event(&run->stream, &out, &error, RELAY_SPAN("r1"));
        assert_true(relay_buf_ok(&out) && run->stream.error_seen);
        assert_true(relay_span_starts(relay_buf_span(&out), RELAY_SPAN("data: {")));
        check_json(relay_span(bytes + 6, out.len - 8));
        free(run);
    }
}

/* No path of a caller leads to them, however it is written. */
static void no_path_leads_to_them(void **state)
{
    static const char *const paths[] = {"/v1/v2/embed",
                                        "/v2/embed",
                                        "/v1/model/m/invoke",
                                        "/v1/model/{model}/invoke",
                                        "/v1beta/models/{model}:batchEmbedContents",
                                        "/v1/publishers/google/models/{model}:predict",
                                        "/v1/publishers/google/models/{model}:embedContent",
                                        "/cohere/v2/embed"};

    (void)state;
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        relay_match_t match;
        relay_wire_match(check_text(paths[i]), NULL, &match);
        assert_int_equal(match.operation, RELAY_OP_NONE);
        assert_null(match.wire);
    }
}

static void answers_of_the_echo_model_are_read_back(void **state)
{
    (void)state;
    for (size_t i = 0; i < WIRES; i++) {
        relay_echo_t echo = {.body = RELAY_SPAN("{\"input\":\"hello\"}")};
        char bytes[512];
        relay_buf_t out = relay_buf(bytes, sizeof(bytes) - 1);
        relay_usage_t usage;
        wires[i]->echo(&out, &echo, &usage);
        check_json(relay_buf_span(&out));
        bytes[out.len] = '\0';
        assert_int_equal(usage.input_tokens, 5);
        check_tokens(wires[i], bytes, true, 5);
    }
}

static void check_variant(const char *name, const relay_wire_t *wire, const char *path,
                          bool model_in_path)
{
    bool streams;
    const relay_variant_t *variant = relay_variant_find(check_text(name), &streams);

    assert_non_null(variant);
    assert_ptr_equal(variant->wire, wire);
    check_span(variant->path, path);
    assert_int_equal(variant->stream_path.len, 0);
    assert_int_equal(variant->model_in_path, model_in_path);
}

static void they_have_their_paths(void **state)
{
    (void)state;
    check_variant("gemini-embed", &relay_wire_gemini_embed, "/models/{model}:batchEmbedContents",
                  true);
    check_variant("vertex-embed", &relay_wire_vertex_embed,
                  "/publishers/google/models/{model}:predict", true);
    check_variant("vertex-embed-content", &relay_wire_vertex_embed_content,
                  "/publishers/google/models/{model}:embedContent", true);
    check_variant("bedrock-titan-embed", &relay_wire_bedrock_titan_embed, "/model/{model}/invoke",
                  true);
    check_variant("cohere-embed", &relay_wire_cohere_embed, "/v2/embed", false);
    check_variant("bedrock-cohere-embed", &relay_wire_cohere_embed, "/model/{model}/invoke", true);
    for (size_t i = 0; i < WIRES; i++) {
        assert_ptr_equal(relay_wire_at(wires[i]->index), wires[i]);
    }
}

static void the_dialect_speaks(void **state)
{
    const relay_dialect_t *dialect = relay_wire_cohere_embed.dialect;
    relay_model_view_t views[2] = {{.id = RELAY_SPAN("a")}, {.id = RELAY_SPAN("b\"")}};
    relay_error_t error = {.code = RELAY_ERR_INVALID_FIELD, .message = RELAY_SPAN("No \"x\".")};
    char bytes[512];
    relay_buf_t out = relay_buf(bytes, sizeof(bytes));

    (void)state;
    assert_int_equal(dialect->status(&error), 400);
    error.status = 418;
    assert_int_equal(dialect->status(&error), 418);
    dialect->error(&out, &error, RELAY_SPAN("r1"));
    check_span(relay_buf_span(&out), "{\"message\":\"No \\\"x\\\".\"}");
    out.len = 0;
    assert_int_equal(dialect->model_list(&out, views, 2, RELAY_SPAN(""), &error), RELAY_ERR_NONE);
    check_span(relay_buf_span(&out), "{\"models\":[{\"name\":\"a\"},{\"name\":\"b\\\"\"}]}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(usage_is_read),
        cmocka_unit_test(errors_are_read),
        cmocka_unit_test(anything_may_come),
        cmocka_unit_test(nothing_streams),
        cmocka_unit_test(no_path_leads_to_them),
        cmocka_unit_test(answers_of_the_echo_model_are_read_back),
        cmocka_unit_test(they_have_their_paths),
        cmocka_unit_test(the_dialect_speaks),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
