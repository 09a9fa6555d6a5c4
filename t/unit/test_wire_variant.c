/* Variants of formats: names, paths, and bodies that are cut to fit. */

#include "wire_variant.c"

#include "wire_check.h"

/* ---- the table ----------------------------------------------------------- */

static const relay_variant_t *named(const char *name)
{
    const relay_variant_t *variant;
    bool streams = true;

    variant = relay_variant_find(check_text(name), &streams);
    assert_non_null(variant);
    assert_false(streams);
    return variant;
}

static void every_format_is_a_variant_of_itself(void **state)
{
    (void)state;
    for (unsigned i = 0; relay_wire_at(i) != NULL; i++) {
        const relay_wire_t *wire = relay_wire_at(i);
        const relay_variant_t *variant = relay_variant_of(wire);
        relay_span_t path;
        assert_non_null(variant);
        assert_ptr_equal(variant->wire, wire);
        assert_true(relay_span_eq(variant->name, wire->name));
        assert_int_equal(variant->version.len, 0);
        path = variant->path;
        path = wire->path.base[0] == '/' ? path : relay_span_from(path, 1);
        assert_true(relay_span_eq(path, wire->path));
    }
}

static void names_are_found(void **state)
{
    static const struct {
        const char *name;
        const char *wire;
        relay_framing_t framing;
        bool model_in_path;
        bool stream_in_path;
        const char *version;
    } cases[] = {
        {"openai-chat", "openai-chat", RELAY_FRAMING_SSE, false, false, ""},
        {"gemini", "gemini", RELAY_FRAMING_SSE, true, true, ""},
        {"vertex-gemini", "gemini", RELAY_FRAMING_SSE, true, true, ""},
        {"azure-openai", "openai-chat", RELAY_FRAMING_SSE, false, false, ""},
        {"azure-openai-embeddings", "openai-embeddings", RELAY_FRAMING_SSE, false, false, ""},
        {"vertex-anthropic", "anthropic-messages", RELAY_FRAMING_SSE, true, false,
         "vertex-2023-10-16"},
        {"bedrock-invoke", "anthropic-messages", RELAY_FRAMING_EVENTSTREAM_BYTES, true, true,
         "bedrock-2023-05-31"},
        {"bedrock-converse", "bedrock-converse", RELAY_FRAMING_EVENTSTREAM, true, true, ""},
        {"gemini-embed", "gemini-embed", RELAY_FRAMING_SSE, true, false, ""},
        {"vertex-embed", "vertex-embed", RELAY_FRAMING_SSE, true, false, ""},
        {"vertex-embed-content", "vertex-embed-content", RELAY_FRAMING_SSE, true, false, ""},
        {"bedrock-titan-embed", "bedrock-titan-embed", RELAY_FRAMING_SSE, true, false, ""},
        {"cohere-embed", "cohere-embed", RELAY_FRAMING_SSE, false, false, ""},
        {"bedrock-cohere-embed", "cohere-embed", RELAY_FRAMING_SSE, true, false, ""},
    };
    size_t count = 0;

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const relay_variant_t *variant = named(cases[i].name);
        check_span(variant->wire->name, cases[i].wire);
        assert_int_equal(variant->framing, cases[i].framing);
        assert_int_equal(variant->model_in_path, cases[i].model_in_path);
        assert_int_equal(variant->stream_in_path, cases[i].stream_in_path);
        check_span(variant->version, cases[i].version);
    }
    while (relay_variant_at((unsigned)count) != NULL) {
        count++;
    }
    assert_int_equal(count, COUNT);
}

static void streaming_paths_have_names(void **state)
{
    static const char *const with[] = {"gemini", "vertex-gemini", "vertex-anthropic",
                                       "bedrock-invoke", "bedrock-converse"};
    static const char *const unknown[] = {"openai-chat-stream",
                                          "azure-openai-stream",
                                          "gemini-streams",
                                          "gemini-",
                                          "gemini-stream-",
                                          "-stream",
                                          "",
                                          "anthropic",
                                          "azure-openai-audio",
                                          "vertex-mistral",
                                          "anthropic-messages-stream"};
    bool streams;

    (void)state;
    for (size_t i = 0; i < sizeof(with) / sizeof(with[0]); i++) {
        char name[64];
        snprintf(name, sizeof(name), "%s-stream", with[i]);
        streams = false;
        assert_ptr_equal(relay_variant_find(check_text(name), &streams), named(with[i]));
        assert_true(streams);
    }
    for (size_t i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++) {
        streams = true;
        assert_null(relay_variant_find(check_text(unknown[i]), &streams));
        assert_false(streams);
    }
}

/* ---- paths --------------------------------------------------------------- */

static void check_path(const char *path, const char *model, const char *expected)
{
    char text[1024];
    relay_buf_t out = relay_buf(text, sizeof(text));

    relay_variant_put_path(&out, check_text(path), check_text(model));
    assert_true(relay_buf_ok(&out));
    check_span(relay_buf_span(&out), expected);
}

static void names_are_encoded_as_one_segment(void **state)
{
    (void)state;
    check_path("/model/{model}/invoke", "anthropic.saga-4-v1:0",
               "/model/anthropic.saga-4-v1%3A0/invoke");
    check_path("/model/{model}/converse", "arn:aws:x/saga?#%\xc3\xa9 +",
               "/model/arn%3Aaws%3Ax%2Fsaga%3F%23%25%C3%A9%20%2B/converse");
    check_path("/models/{model}:streamGenerateContent?alt=sse", "saga-4@20260101_x~y",
               "/models/saga-4@20260101_x~y:streamGenerateContent?alt=sse");
    check_path("/chat/completions", "m", "/chat/completions");
    check_path("/{model}/{model}", "a", "/a/a");
    check_path("/{mode}/{model", "a", "/{mode}/{model");
    check_path("", "a", "");
}

static void no_name_climbs(void **state)
{
    (void)state;
    check_path("/model/{model}/invoke", "..", "/model/%252E%252E/invoke");
    check_path("/model/{model}/invoke", ".", "/model/%252E/invoke");
    check_path("/model/{model}/invoke", "../..", "/model/..%2F../invoke");
    check_path("/model/{model}/invoke", "...", "/model/.../invoke");
}

static void check_method(const char *path, const char *expected)
{
    char text[256];
    relay_buf_t out = relay_buf(text, sizeof(text));

    relay_variant_put_method(&out, check_text(path), RELAY_SPAN("a:b"), RELAY_SPAN("countTokens"));
    assert_true(relay_buf_ok(&out));
    check_span(relay_buf_span(&out), expected);
}

static void methods_take_each_others_place(void **state)
{
    (void)state;
    check_method("/models/{model}:generateContent", "/models/a%3Ab:countTokens");
    check_method("/x:y/models/{model}:streamGenerateContent?alt=sse",
                 "/x:y/models/a%3Ab:countTokens");
}

/* ---- bodies -------------------------------------------------------------- */

static char edited[4096];

/* The body as the variant has it; the edits in order and none overlapping. */
static const char *fit_as(const char *variant, const char *body, const char *betas,
                          const char *counted)
{
    uint8_t bytes[RELAY_ENVELOPE_SCRATCH];
    relay_buf_t scratch = relay_buf(bytes, sizeof(bytes)), out = relay_buf(edited, sizeof(edited));
    relay_edit_t edits[RELAY_EDITS_MAX];
    relay_envelope_t envelope;
    relay_error_t error;
    size_t count, at = 0;

    assert_int_equal(relay_envelope_read_path(check_text(body), RELAY_SPAN("m"), false, &envelope,
                                              &scratch, &error),
                     RELAY_ERR_NONE);
    count = counted != NULL ? relay_variant_counter_edits(named(variant), &envelope,
                                                          check_text(counted), edits, &scratch)
                            : relay_variant_edits(named(variant), &envelope, check_text(betas),
                                                  edits, &scratch);
    assert_true(relay_buf_ok(&scratch) && count <= RELAY_EDITS_MAX);
    for (size_t i = 0; i < count; i++) {
        assert_true(edits[i].offset >= at);
        relay_buf_put(&out, relay_span(body + at, edits[i].offset - at));
        relay_buf_put(&out, edits[i].text);
        at = edits[i].offset + edits[i].removed;
    }
    relay_buf_put(&out, relay_span(body + at, strlen(body) - at));
    assert_true(out.len < sizeof(edited));
    check_json(relay_buf_span(&out));
    edited[out.len] = '\0';
    return edited;
}

static const char *fit(const char *variant, const char *body, const char *betas)
{
    return fit_as(variant, body, betas, NULL);
}

static void members_go_with_their_comma(void **state)
{
    static const char *const cases[][2] = {
        {"{\"model\":\"a\",\"x\":1}", "{\"x\":1}"},
        {"{\"x\":1,\"model\":\"a\"}", "{\"x\":1}"},
        {"{\"x\":1,\"model\":\"a\",\"y\":2}", "{\"x\":1,\"y\":2}"},
        {"{\"model\":\"a\"}", "{}"},
        {"{\"model\":\"a\",\"stream\":true}", "{}"},
        {"{\"stream\":true,\"model\":\"a\"}", "{}"},
        {"{\"stream\":true,\"model\":\"a\",\"x\":1}", "{\"x\":1}"},
        {"{\"x\":1,\"model\":\"a\",\"stream\":true}", "{\"x\":1}"},
        {"{\"x\":1,\"stream\":true,\"model\":\"a\",\"y\":2}", "{\"x\":1,\"y\":2}"},
        {"{\"model\":\"a\",\"x\":1,\"stream\":true}", "{\"x\":1}"},
        {"{\"stream\":true,\"x\":1,\"model\":\"a\"}", "{\"x\":1}"},
        {"{\"x\":1,\"model\":\"a\",\"y\":2,\"stream\":true,\"z\":3}", "{\"x\":1,\"y\":2,\"z\":3}"},
        {"{\"stream\":null}", "{}"},
        {"{\"x\":{\"model\":\"in\",\"stream\":true}}",
         "{\"x\":{\"model\":\"in\",\"stream\":true}}"},
        {"{}", "{}"},
        {" { } ", " { } "},
        {"\r\n{ \"model\" : \"a\" ,\t\"x\" : 1 }\n", "\r\n{ \"x\" : 1 }\n"},
        {"{ \"x\" : 1 , \"model\"\n:\n\"a\" } ", "{ \"x\" : 1  } "},
        {"{\n  \"model\": \"a\",\n  \"stream\": true,\n  \"x\": [1, 2]\n}",
         "{\n  \"x\": [1, 2]\n}"},
        {"{\n  \"x\": [1, 2],\n  \"model\": \"a\",\n  \"stream\": true\n}",
         "{\n  \"x\": [1, 2]\n}"},
        {" { \"stream\" : false , \"model\" : \"a\" } ", " {  } "},
        {"{\"x\":\"model\",\"model\":\"\\\"model\\\":\",\"y\":\",\"}",
         "{\"x\":\"model\",\"y\":\",\"}"},
        {"{\"model\":{\"odd\":[1,{\"model\":2}]},\"stream\":\"x\",\"y\":2}", "{\"y\":2}"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_string_equal(fit("bedrock-converse", cases[i][0], "beta-1"), cases[i][1]);
        assert_string_equal(fit("gemini", cases[i][0], ""), cases[i][1]);
    }
}

static void the_version_comes_in(void **state)
{
    static const char *const cases[][2] = {
        {"{\"model\":\"a\",\"x\":1}", "{\"anthropic_version\":\"vertex-2023-10-16\",\"x\":1}"},
        {"{\"x\":1,\"model\":\"a\"}", "{\"anthropic_version\":\"vertex-2023-10-16\",\"x\":1}"},
        {"{\"model\":\"a\"}", "{\"anthropic_version\":\"vertex-2023-10-16\"}"},
        {" { \"model\" : \"a\" } ", " {\"anthropic_version\":\"vertex-2023-10-16\"  } "},
        {"{}", "{\"anthropic_version\":\"vertex-2023-10-16\"}"},
        {" { \"x\":1}", " {\"anthropic_version\":\"vertex-2023-10-16\", \"x\":1}"},
        /* the stream is said in the body there */
        {"{\"model\":\"a\",\"stream\":true}",
         "{\"anthropic_version\":\"vertex-2023-10-16\",\"stream\":true}"},
        {"{\"stream\":true,\"model\":\"a\"}",
         "{\"anthropic_version\":\"vertex-2023-10-16\",\"stream\":true}"},
        /* the caller knows better */
        {"{\"model\":\"a\",\"anthropic_version\":\"vertex-2026-10-21\"}",
         "{\"anthropic_version\":\"vertex-2026-10-21\"}"},
        {"{\"x\":{\"anthropic_version\":1},\"model\":\"a\"}",
         "{\"anthropic_version\":\"vertex-2023-10-16\",\"x\":{\"anthropic_version\":1}}"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        /* beta features stay in their header */
        assert_string_equal(fit("vertex-anthropic", cases[i][0], "beta-1"), cases[i][1]);
    }
}

/* Who counts is in the path, so the model stays in the body, by its name there. */
static void a_counter_gets_the_model_in_the_body(void **state)
{
    static const char *const cases[][2] = {
        {"{\"model\":\"a\",\"x\":1}",
         "{\"anthropic_version\":\"vertex-2023-10-16\",\"model\":\"saga-4@1\",\"x\":1}"},
        {" { \"x\":1, \"model\" : \"a\" }",
         " {\"anthropic_version\":\"vertex-2023-10-16\", \"x\":1, \"model\" : \"saga-4@1\" }"},
        {"{\"model\":\"a\",\"anthropic_version\":\"v\"}",
         "{\"model\":\"saga-4@1\",\"anthropic_version\":\"v\"}"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_string_equal(fit_as("vertex-anthropic", cases[i][0], "", "saga-4@1"), cases[i][1]);
    }
    check_span(named("vertex-anthropic")->counter, "count-tokens");
    check_span(named("bedrock-invoke")->counter, "");
    check_span(named("anthropic-messages")->counter, "");
}

static void beta_features_go_into_the_body(void **state)
{
    static const char *const version = "\"anthropic_version\":\"bedrock-2023-05-31\"";
    char expected[256];

    (void)state;
    snprintf(expected, sizeof(expected), "{%s,\"anthropic_beta\":[\"a-1\",\"b-2\"],\"x\":1}",
             version);
    assert_string_equal(
        fit("bedrock-invoke", "{\"model\":\"a\",\"x\":1,\"stream\":true}", " a-1 ,,\tb-2,"),
        expected);
    snprintf(expected, sizeof(expected), "{%s,\"anthropic_beta\":[\"\\\"\\\\\"]}", version);
    assert_string_equal(fit("bedrock-invoke", "{\"model\":\"a\",\"stream\":true}", "\"\\"),
                        expected);
    snprintf(expected, sizeof(expected), "{%s,\"x\":1}", version);
    assert_string_equal(fit("bedrock-invoke", "{\"model\":\"a\",\"x\":1}", ""), expected);
    snprintf(expected, sizeof(expected), "{%s,\"anthropic_beta\":[\"own\"]}", version);
    assert_string_equal(
        fit("bedrock-invoke", "{\"anthropic_beta\":[\"own\"],\"model\":\"a\"}", "a-1"), expected);
    assert_string_equal(fit("bedrock-invoke",
                            "{\"anthropic_version\":\"v\",\"model\":\"a\",\"stream\":true}", "a-1"),
                        "{\"anthropic_beta\":[\"a-1\"],\"anthropic_version\":\"v\"}");
}

static void other_variants_leave_the_body_alone(void **state)
{
    const char *body = "{\"model\":\"a\",\"stream\":true}";

    (void)state;
    assert_string_equal(fit("anthropic-messages", body, "a-1"), body);
    assert_string_equal(fit("openai-chat", body, "a-1"), body);
    assert_string_equal(fit("azure-openai", body, "a-1"), body);
}

/* As much as the header says is needed. */
static void scratch_has_its_bound(void **state)
{
    static const char *const betas[] = {
        "a,b,c,d,e,f", "\x01,\x01,\x01,\x01", "\xff,\xff,\xff", "context-1m-2025-08-07", "\"", "a"};
    relay_envelope_t envelope = {.body = RELAY_SPAN("{}")};
    relay_edit_t edits[RELAY_EDITS_MAX];
    uint8_t bytes[256];

    (void)state;
    for (size_t i = 0; i < sizeof(betas) / sizeof(betas[0]); i++) {
        relay_buf_t scratch = relay_buf(bytes, 64 + 5 * strlen(betas[i]));
        relay_variant_edits(named("bedrock-invoke"), &envelope, check_text(betas[i]), edits,
                            &scratch);
        assert_true(relay_buf_ok(&scratch));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_format_is_a_variant_of_itself),
        cmocka_unit_test(names_are_found),
        cmocka_unit_test(streaming_paths_have_names),
        cmocka_unit_test(names_are_encoded_as_one_segment),
        cmocka_unit_test(no_name_climbs),
        cmocka_unit_test(methods_take_each_others_place),
        cmocka_unit_test(members_go_with_their_comma),
        cmocka_unit_test(the_version_comes_in),
        cmocka_unit_test(a_counter_gets_the_model_in_the_body),
        cmocka_unit_test(beta_features_go_into_the_body),
        cmocka_unit_test(other_variants_leave_the_body_alone),
        cmocka_unit_test(scratch_has_its_bound),
    };

    return cmocka_run_group_tests_name("wire_variant", tests, NULL, NULL);
}
