/*
 * Embeddings from OpenAI's format into those of upstreams and back: each field,
 * both forms of vectors, what is refused, and that they never meet messages.
 */

#include "embeddings.c"

#include "translate_check.h"

#define CALLER "openai-embeddings"
#define GEMINI "gemini-embed"
#define VERTEX "vertex-embed"
#define TITAN  "bedrock-titan-embed"
#define COHERE "cohere-embed"
#define NEWER  "vertex-embed-content"

static const char *const upstreams[] = {GEMINI, VERTEX, TITAN, COHERE, NEWER};

enum { UPSTREAMS = sizeof(upstreams) / sizeof(upstreams[0]) };

static const relay_target_t target = {.model = RELAY_SPAN_INIT("up-1")};

/* ---- requests ------------------------------------------------------------- */

#define ONE "{\"model\":\"m\",\"input\":\"hello \\u2713 \\\"x\\\"\"}"
#define TWO                                                                                        \
    "{\"model\":\"m\",\"input\":[\"a\",\"b\"],\"dimensions\":4,\"encoding_format\":\"base64\","    \
    "\"input_type\":\"query\"}"

static void one_text_is_sent(void **state)
{
    (void)state;
    translate_request(CALLER, GEMINI, target, ONE,
                      "{\"requests\":[{\"model\":\"models/up-1\",\"content\":{\"parts\":["
                      "{\"text\":\"hello \\u2713 \\\"x\\\"\"}]}}]}",
                      "");
    translate_request(CALLER, VERTEX, target, ONE,
                      "{\"instances\":[{\"content\":\"hello \\u2713 \\\"x\\\"\"}],"
                      "\"parameters\":{\"autoTruncate\":false}}",
                      "");
    translate_request(CALLER, TITAN, target, ONE, "{\"inputText\":\"hello \\u2713 \\\"x\\\"\"}",
                      "");
    translate_request(CALLER, NEWER, target, ONE,
                      "{\"content\":{\"role\":\"user\",\"parts\":[{\"text\":"
                      "\"hello \\u2713 \\\"x\\\"\"}]},\"embedContentConfig\":{"
                      "\"autoTruncate\":false}}",
                      "");
    translate_request(CALLER, COHERE, target, ONE,
                      "{\"model\":\"up-1\",\"texts\":[\"hello \\u2713 \\\"x\\\"\"],"
                      "\"input_type\":\"search_document\",\"embedding_types\":[\"float\"],"
                      "\"truncate\":\"NONE\"}",
                      "");
}

static void several_texts_are_sent(void **state)
{
    (void)state;
    translate_request(CALLER, GEMINI, target, TWO,
                      "{\"requests\":[{\"model\":\"models/up-1\",\"content\":{\"parts\":["
                      "{\"text\":\"a\"}]},\"taskType\":\"RETRIEVAL_QUERY\","
                      "\"outputDimensionality\":4},{\"model\":\"models/up-1\",\"content\":"
                      "{\"parts\":[{\"text\":\"b\"}]},\"taskType\":\"RETRIEVAL_QUERY\","
                      "\"outputDimensionality\":4}]}",
                      "");
    translate_request(CALLER, VERTEX, target, TWO,
                      "{\"instances\":[{\"content\":\"a\",\"task_type\":\"RETRIEVAL_QUERY\"},"
                      "{\"content\":\"b\",\"task_type\":\"RETRIEVAL_QUERY\"}],\"parameters\":"
                      "{\"autoTruncate\":false,\"outputDimensionality\":4}}",
                      "");
    translate_request(CALLER, COHERE, target, TWO,
                      "{\"model\":\"up-1\",\"texts\":[\"a\",\"b\"],\"input_type\":"
                      "\"search_query\",\"output_dimension\":4,\"embedding_types\":[\"float\"],"
                      "\"truncate\":\"NONE\"}",
                      "");
    translate_refused(CALLER, TITAN, TWO, RELAY_ERR_INVALID_FIELD, "input",
                      "one input per request");
    translate_refused(CALLER, NEWER, TWO, RELAY_ERR_INVALID_FIELD, "input",
                      "one input per request");
}

static void a_list_of_one_text_is_one_text(void **state)
{
    (void)state;
    translate_request(CALLER, TITAN, target,
                      "{\"model\":\"m\",\"input\":[\"a\"],\"dimensions\":512,"
                      "\"encoding_format\":\"float\"}",
                      "{\"inputText\":\"a\",\"dimensions\":512}", "");
    translate_request(CALLER, NEWER, target,
                      "{\"model\":\"m\",\"input\":[\"a\"],\"dimensions\":512,"
                      "\"input_type\":\"query\"}",
                      "{\"content\":{\"role\":\"user\",\"parts\":[{\"text\":\"a\"}]},"
                      "\"embedContentConfig\":{\"autoTruncate\":false,\"taskType\":"
                      "\"RETRIEVAL_QUERY\",\"outputDimensionality\":512}}",
                      "");
}

static void models_are_named(void **state)
{
    static const relay_target_t none = {.model = RELAY_SPAN_INIT("")};
    static const relay_target_t odd = {.model = RELAY_SPAN_INIT("a\"b")};

    (void)state;
    translate_request(CALLER, COHERE, none, "{\"model\":\"m\\/1\",\"input\":\"a\"}",
                      "{\"model\":\"m\\/1\",\"texts\":[\"a\"],\"input_type\":\"search_document\","
                      "\"embedding_types\":[\"float\"],\"truncate\":\"NONE\"}",
                      "");
    translate_request(CALLER, GEMINI, odd, "{\"model\":\"m\",\"input\":\"a\"}",
                      "{\"requests\":[{\"model\":\"models/a\\\"b\",\"content\":{\"parts\":["
                      "{\"text\":\"a\"}]}}]}",
                      "");
}

static void purposes_have_their_words(void **state)
{
    static const struct {
        const char *word;
        const char *cohere;
        const char *google;
    } cases[] = {
        {"document", "search_document", "RETRIEVAL_DOCUMENT"},
        {"passage", "search_document", "RETRIEVAL_DOCUMENT"},
        {"search_document", "search_document", "RETRIEVAL_DOCUMENT"},
        {"query", "search_query", "RETRIEVAL_QUERY"},
        {"search_query", "search_query", "RETRIEVAL_QUERY"},
        {"classification", "classification", "CLASSIFICATION"},
        {"clustering", "clustering", "CLUSTERING"},
        {"semantic_similarity", "clustering", "SEMANTIC_SIMILARITY"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char body[256], want[512];
        snprintf(body, sizeof(body), "{\"model\":\"m\",\"input\":\"a\",\"input_type\":\"%s\"}",
                 cases[i].word);
        snprintf(want, sizeof(want),
                 "{\"model\":\"up-1\",\"texts\":[\"a\"],\"input_type\":\"%s\","
                 "\"embedding_types\":[\"float\"],\"truncate\":\"NONE\"}",
                 cases[i].cohere);
        translate_request(CALLER, COHERE, target, body, want, "");
        snprintf(want, sizeof(want),
                 "{\"instances\":[{\"content\":\"a\",\"task_type\":\"%s\"}],"
                 "\"parameters\":{\"autoTruncate\":false}}",
                 cases[i].google);
        translate_request(CALLER, VERTEX, target, body, want, "");
        translate_request(CALLER, TITAN, target, body, "{\"inputText\":\"a\"}", "input_type");
    }
    translate_request(CALLER, VERTEX, target,
                      "{\"model\":\"m\",\"input\":\"a\",\"input_type\":\"image\"}",
                      "{\"instances\":[{\"content\":\"a\"}],\"parameters\":{\"autoTruncate\":"
                      "false}}",
                      "input_type");
}

static void what_does_not_arrive_is_named(void **state)
{
    static const char body[] = "{\"model\":\"m\",\"input\":\"a\",\"user\":\"u1\",\"seed\":7,"
                               "\"dimensions\":null,\"encoding_format\":null,\"extra\":null}";
    translate_t run;
    relay_span_t out;

    (void)state;
    translate_request(CALLER, TITAN, target, body, "{\"inputText\":\"a\"}", "user, seed");
    translate_open(&run, CALLER, GEMINI);
    run.translation.strict = true;
    assert_int_equal(relay_translate_request(&run.translation, relay_wire_cstring(body), &out),
                     RELAY_ERR_INVALID_FIELD);
    translate_same(run.translation.error.param, "user");
    translate_has(run.translation.error.message, "user, seed");
    translate_close(&run);
}

static void wrong_requests_are_refused(void **state)
{
    static const struct {
        const char *member;
        relay_error_code_t code;
        const char *param;
        const char *part;
    } cases[] = {
        {"\"user\":\"u\"", RELAY_ERR_MISSING_FIELD, "input", "required"},
        {"\"input\":null", RELAY_ERR_MISSING_FIELD, "input", "required"},
        {"\"input\":\"\"", RELAY_ERR_INVALID_FIELD, "input", "must not be empty"},
        {"\"input\":[]", RELAY_ERR_INVALID_FIELD, "input", "must not be empty"},
        {"\"input\":[\"a\",\"\"]", RELAY_ERR_INVALID_FIELD, "input[1]", "must not be empty"},
        {"\"input\":{}", RELAY_ERR_INVALID_FIELD, "input", "a string or an array of strings"},
        {"\"input\":[\"a\",null]", RELAY_ERR_INVALID_FIELD, "input[1]", "array of strings"},
        {"\"input\":[1,2,3]", RELAY_ERR_INVALID_FIELD, "input", "tokens are not supported"},
        {"\"input\":[[1,2],[3]]", RELAY_ERR_INVALID_FIELD, "input[0]", "tokens are not supported"},
        {"\"input\":[\"a\",[3]]", RELAY_ERR_INVALID_FIELD, "input[1]", "tokens are not supported"},
        {"\"input\":\"a\",\"encoding_format\":\"int8\"", RELAY_ERR_INVALID_FIELD, "encoding_format",
         "'float' or 'base64'"},
        {"\"input\":\"a\",\"encoding_format\":1", RELAY_ERR_INVALID_FIELD, "encoding_format",
         "'float' or 'base64'"},
        {"\"input\":\"a\",\"dimensions\":0", RELAY_ERR_INVALID_FIELD, "dimensions", "positive"},
        {"\"input\":\"a\",\"dimensions\":1.5", RELAY_ERR_INVALID_FIELD, "dimensions", "positive"},
        {"\"input\":\"a\",\"dimensions\":\"8\"", RELAY_ERR_INVALID_FIELD, "dimensions", "positive"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        for (size_t k = 0; k < UPSTREAMS; k++) {
            char body[256];
            snprintf(body, sizeof(body), "{\"model\":\"m\",%s}", cases[i].member);
            translate_refused(CALLER, upstreams[k], body, cases[i].code, cases[i].param,
                              cases[i].part);
        }
    }
    translate_refused(CALLER, GEMINI, "[]", RELAY_ERR_INVALID_JSON, "", "JSON object");
}

static void inputs_have_a_bound(void **state)
{
    enum { COUNT = 2049 };
    static char body[COUNT * 4 + 64];
    size_t len = (size_t)snprintf(body, sizeof(body), "{\"model\":\"m\",\"input\":[");
    translate_t run;
    relay_span_t out;

    (void)state;
    for (unsigned i = 0; i < COUNT; i++) {
        len +=
            (size_t)snprintf(body + len, sizeof(body) - len, "\"a\"%s", i + 1 < COUNT ? "," : "]}");
    }
    translate_refused(CALLER, GEMINI, body, RELAY_ERR_INVALID_FIELD, "input", "2048");
    memcpy(body + len - 6, "]}", 3); /* one less */
    translate_open(&run, CALLER, GEMINI);
    assert_int_equal(relay_translate_request(&run.translation, relay_wire_cstring(body), &out),
                     RELAY_ERR_NONE);
    assert_int_equal(run.translation.texts, COUNT - 1);
    translate_close(&run);
}

/* ---- answers --------------------------------------------------------------- */

#define FLOATS "[0.25,-0.5,0.125,1]"
#define PACKED "\"AACAPgAAAL8AAAA+AACAPw==\""
#define DATA(index, vector)                                                                        \
    "{\"object\":\"embedding\",\"index\":" index ",\"embedding\":" vector "}"
#define LIST(data, tokens)                                                                         \
    "{\"object\":\"list\",\"data\":[" data                                                         \
    "],\"model\":\"m\",\"usage\":{\"prompt_tokens\":" tokens ",\"total_tokens\":" tokens "}}"

static const struct {
    const char *upstream;
    const char *body;
    const char *tokens;
    bool two;
} answers[] = {
    {GEMINI,
     "{\n  \"embeddings\": [\n    {\n \"values\": [\n 0.25,\n -0.5,\n 0.125,\n 1\n ]\n },\n"
     "{\"values\":[0,1]}]}\n",
     "0", true},
    {GEMINI,
     "{\"embeddings\":[{\"values\":" FLOATS "}],\"usageMetadata\":{\"promptTokenCount\":6}}", "6",
     false},
    {VERTEX,
     "{\"predictions\":[{\"embeddings\":{\"statistics\":{\"truncated\":false,\"token_count\":6},"
     "\"values\":" FLOATS "}},{\"embeddings\":{\"values\":[0,1],\"statistics\":{\"token_count\":"
     "2}}}],\"metadata\":{\"billableCharacterCount\":11}}",
     "8", true},
    {TITAN,
     "{\"embedding\":" FLOATS ",\"embeddingsByType\":{\"float\":" FLOATS
     "},\"inputTextTokenCount\":5}",
     "5", false},
    {NEWER,
     "{\"embedding\":{\"values\":" FLOATS "},\"truncated\":false,\"usageMetadata\":{"
     "\"promptTokenCount\":7,\"totalTokenCount\":7}}",
     "7", false},
    {NEWER, "{\"embedding\":{\"values\":" FLOATS "}}", "0", false},
    {COHERE,
     "{\"id\":\"x\",\"embeddings\":{\"float\":[" FLOATS ",[0,1]]},\"texts\":[\"a\",\"b\"],"
     "\"meta\":{\"api_version\":{\"version\":\"2\"},\"billed_units\":{\"input_tokens\":2}}}",
     "2", true},
    {COHERE, "{\"embeddings\":[" FLOATS "],\"response_type\":\"embeddings_floats\"}", "0", false},
    {COHERE, "{\"embeddings\":{\"base64\":[" PACKED "]}}", "0", false},
};

static void check_answer(const char *upstream, const char *body, bool two, const char *tokens,
                         bool base64)
{
    char want[512];
    const char *first = base64 ? DATA("0", PACKED) : DATA("0", FLOATS);
    const char *second = base64 ? "," DATA("1", "\"AAAAAAAAgD8=\"") : "," DATA("1", "[0,1]");
    translate_t run;
    relay_span_t out = {NULL, 0};

    snprintf(want, sizeof(want), LIST("%s%s", "%s"), first, two ? second : "", tokens, tokens);
    translate_open(&run, CALLER, upstream);
    run.translation.model = RELAY_SPAN("m");
    run.translation.base64 = base64;
    assert_int_equal(relay_translate_response(&run.translation, relay_wire_cstring(body), &out),
                     RELAY_ERR_NONE);
    translate_same(out, want);
    translate_close(&run);
}

static void vectors_come_back(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
        check_answer(answers[i].upstream, answers[i].body, answers[i].two, answers[i].tokens,
                     false);
        check_answer(answers[i].upstream, answers[i].body, answers[i].two, answers[i].tokens, true);
    }
}

/* What the request asked for counts for the answer, also once the request is gone. */
static void the_request_is_remembered(void **state)
{
    translate_t run;
    relay_span_t out = {NULL, 0};
    char body[] = "{\"model\":\"m\",\"input\":[\"a\",\"b\"],\"encoding_format\":\"base64\"}";

    (void)state;
    translate_open(&run, CALLER, GEMINI);
    run.translation.target = target;
    assert_int_equal(relay_translate_request(&run.translation, relay_wire_cstring(body), &out),
                     RELAY_ERR_NONE);
    assert_true(relay_translation_keep(&run.translation, &run.arena));
    memset(body, 'x', sizeof(body) - 1);
    assert_int_equal(relay_translate_response(
                         &run.translation,
                         RELAY_SPAN("{\"embeddings\":[{\"values\":[1]},{\"values\":[0]}]}"), &out),
                     RELAY_ERR_NONE);
    translate_same(out, LIST(DATA("0", "\"AACAPw==\"") "," DATA("1", "\"AAAAAA==\""), "0"));
    assert_int_equal(relay_translate_response(
                         &run.translation, RELAY_SPAN("{\"embeddings\":[{\"values\":[1]}]}"), &out),
                     RELAY_ERR_UPSTREAM_INVALID);
    translate_has(run.translation.error.message, "as many");
    translate_close(&run);
}

/* Tokens that are told beside the answer count where it is silent itself. */
static void tokens_may_be_told_beside_the_answer(void **state)
{
    static const char *const tokens[] = {"9", "2"};
    static const char *const bodies[] = {"{\"embeddings\":[" FLOATS "]}",
                                         "{\"embeddings\":[" FLOATS
                                         "],\"meta\":{\"billed_units\":{\"input_tokens\":2}}}"};

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        char want[512];
        translate_t run;
        relay_span_t out = {NULL, 0};
        snprintf(want, sizeof(want), LIST("%s", "%s"), DATA("0", FLOATS), tokens[i], tokens[i]);
        translate_open(&run, CALLER, COHERE);
        run.translation.model = RELAY_SPAN("m");
        run.translation.told_tokens = 9;
        assert_int_equal(
            relay_translate_response(&run.translation, relay_wire_cstring(bodies[i]), &out),
            RELAY_ERR_NONE);
        translate_same(out, want);
        translate_close(&run);
    }
}

static void check_invalid(const char *upstream, const char *body, bool base64,
                          relay_error_code_t code)
{
    translate_t run;
    relay_span_t out;

    translate_open(&run, CALLER, upstream);
    run.translation.base64 = base64;
    if (relay_translate_response(&run.translation, relay_wire_cstring(body), &out) != code) {
        fail_msg("%s: %s", upstream, body);
    }
    assert_true(run.translation.error.message.len != 0);
    translate_close(&run);
}

static void what_is_no_answer_is_refused(void **state)
{
    static const char *const any[] = {"", "<html>", "{}", "[]", "7", "{\"embeddings\":[", "null"};
    static const struct {
        const char *upstream;
        const char *body;
    } cases[] = {
        {GEMINI, "{\"embeddings\":[{}]}"},
        {GEMINI, "{\"embeddings\":[{\"values\":7}]}"},
        {GEMINI, "{\"embeddings\":[7]}"},
        {GEMINI, "{\"embeddings\":[{\"values\":[]}]}"},
        {GEMINI, "{\"embeddings\":[{\"values\":[1,null]}]}"},
        {GEMINI, "{\"embeddings\":{\"values\":[1]}}"},
        {VERTEX, "{\"predictions\":[{\"values\":[1]}]}"},
        {VERTEX, "{\"predictions\":[{\"embeddings\":{\"values\":[\"1\"]}}]}"},
        {TITAN, "{\"embedding\":[[1]]}"},
        {TITAN, "{\"embedding\":{}}"},
        {NEWER, "{\"embedding\":[1]}"},
        {NEWER, "{\"embedding\":{}}"},
        {NEWER, "{\"embedding\":{\"values\":7}}"},
        {NEWER, "{\"embeddings\":[{\"values\":[1]}]}"},
        {COHERE, "{\"embeddings\":{\"int8\":[[1]]}}"},
        {COHERE, "{\"embeddings\":{\"base64\":[\"AAA\"]}}"},
        {COHERE, "{\"embeddings\":{\"float\":[1]}}"},
    };

    (void)state;
    for (size_t i = 0; i < 2 * UPSTREAMS; i++) {
        for (size_t k = 0; k < sizeof(any) / sizeof(any[0]); k++) {
            check_invalid(upstreams[i / 2], any[k], i % 2 != 0, RELAY_ERR_UPSTREAM_INVALID);
        }
    }
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        check_invalid(cases[i].upstream, cases[i].body, false, RELAY_ERR_UPSTREAM_INVALID);
        check_invalid(cases[i].upstream, cases[i].body, true, RELAY_ERR_UPSTREAM_INVALID);
    }
    check_invalid(GEMINI, "{\"error\":{\"code\":500,\"message\":\"x\"}}", false,
                  RELAY_ERR_UPSTREAM_ERROR);
    check_invalid(TITAN, "{\"message\":\"x\"}", false, RELAY_ERR_UPSTREAM_ERROR);
}

static void errors_are_told_in_the_callers_words(void **state)
{
    translate_t run;
    relay_span_t out;

    (void)state;
    for (size_t i = 0; i < UPSTREAMS; i++) {
        translate_open(&run, CALLER, upstreams[i]);
        out = relay_translate_error(&run.translation,
                                    i < 2 || i == 4
                                        ? RELAY_SPAN("{\"error\":{\"code\":400,\"message\":"
                                                     "\"Too \\u006cong.\"}}")
                                        : RELAY_SPAN("{\"message\":\"Too \\u006cong.\"}"),
                                    400, RELAY_SPAN("r1"));
        translate_has(out, "\"message\":\"Too long.\"");
        translate_has(out, "invalid_request_error");
        translate_close(&run);
    }
}

/* ---- memory ----------------------------------------------------------------- */

static void an_empty_arena_is_an_internal_error(void **state)
{
    static const char *const bodies[UPSTREAMS] = {
        "{\"embeddings\":[{\"values\":[1]}]}",
        "{\"predictions\":[{\"embeddings\":{\"values\":[1]}}]}", "{\"embedding\":[1]}",
        "{\"embeddings\":[[1]]}", "{\"embedding\":{\"values\":[1]}}"};

    (void)state;
    for (size_t i = 0; i < UPSTREAMS; i++) {
        relay_error_code_t code = RELAY_ERR_INTERNAL;
        for (size_t left = 0; code != RELAY_ERR_NONE; left++) {
            translate_t run;
            relay_span_t out;
            translate_open(&run, CALLER, upstreams[i]);
            run.translation.target = target;
            run.left = left;
            code = relay_translate_request(&run.translation, RELAY_SPAN(ONE), &out);
            if (code == RELAY_ERR_NONE) {
                code =
                    relay_translate_response(&run.translation, relay_wire_cstring(bodies[i]), &out);
            }
            assert_true(code == RELAY_ERR_NONE || code == RELAY_ERR_INTERNAL);
            assert_true(left < 20);
            translate_close(&run);
        }
    }
}

/* ---- messages ---------------------------------------------------------------- */

static void they_lead_to_each_other_only(void **state)
{
    uint32_t embedding = 0, message = 0;

    (void)state;
    for (unsigned i = 0; relay_codec_at(i) != NULL; i++) {
        const relay_codec_t *codec = relay_codec_at(i);
        uint32_t bit = UINT32_C(1) << codec->wire->index;
        embedding |= codec->embeddings != NULL ? bit : 0;
        message |= codec->embeddings == NULL ? bit : 0;
    }
    for (unsigned i = 0; relay_codec_at(i) != NULL; i++) {
        const relay_codec_t *codec = relay_codec_at(i);
        uint32_t bit = UINT32_C(1) << codec->wire->index;
        uint32_t want = codec->embeddings == NULL                 ? message & ~bit
                        : codec->embeddings->read_request != NULL ? embedding & ~bit
                                                                  : 0;
        assert_int_equal(relay_codec_targets(codec->wire), want);
    }
    assert_ptr_equal(relay_codec_preferred(embedding & ~(UINT32_C(1) << 2)),
                     relay_wire_find(RELAY_SPAN(GEMINI)));
}

static void they_are_not_translated_into_messages(void **state)
{
    static const char *const messages[] = {CHAT, MESSAGES, RESPONSES};

    (void)state;
    for (size_t i = 0; i < sizeof(messages) / sizeof(messages[0]); i++) {
        translate_refused(CALLER, messages[i], ONE, RELAY_ERR_INVALID_FIELD, "",
                          "not translated into each other");
        translate_refused(messages[i], GEMINI,
                          i == 2 ? "{\"model\":\"m\",\"input\":\"a\"}"
                                 : "{\"model\":\"m\",\"max_tokens\":9,\"messages\":[{\"role\":"
                                   "\"user\",\"content\":\"a\"}]}",
                          RELAY_ERR_INVALID_FIELD, "", "not translated into each other");
    }
    translate_refused(GEMINI, CALLER, ONE, RELAY_ERR_INVALID_FIELD, "", "no way");
    translate_refused(CALLER, CALLER, ONE, RELAY_ERR_INVALID_FIELD, "", "no way");
    check_invalid(CALLER, "{\"object\":\"list\",\"data\":[]}", false, RELAY_ERR_UPSTREAM_INVALID);
    check_invalid(CHAT, "{\"choices\":[{\"message\":{\"content\":\"a\"}}]}", false,
                  RELAY_ERR_UPSTREAM_INVALID);
}

/* Whatever streams is an error, once. */
static void nothing_streams(void **state)
{
    static const char chunk[] = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"}}]}"
                                "\n\n";
    static const char *const froms[] = {GEMINI, CHAT};

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        translate_t run;
        translate_stream_t result;
        relay_span_t out;
        translate_open(&run, CALLER, froms[i]);
        result = translate_run(&run.translation, relay_wire_cstring(chunk), 0, 1 << 20);
        out = relay_buf_span(&result.output.buf);
        assert_true(result.failed);
        assert_int_equal(result.heaviest, RELAY_EVENT_ERROR);
        assert_true(relay_span_starts(out, RELAY_SPAN("data: {\"error\":")));
        assert_null(memmem(out.base + 1, out.len - 1, "data: ", 6));
        free(result.output.buf.base);
        translate_close(&run);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_text_is_sent),
        cmocka_unit_test(several_texts_are_sent),
        cmocka_unit_test(a_list_of_one_text_is_one_text),
        cmocka_unit_test(models_are_named),
        cmocka_unit_test(purposes_have_their_words),
        cmocka_unit_test(what_does_not_arrive_is_named),
        cmocka_unit_test(wrong_requests_are_refused),
        cmocka_unit_test(inputs_have_a_bound),
        cmocka_unit_test(vectors_come_back),
        cmocka_unit_test(the_request_is_remembered),
        cmocka_unit_test(tokens_may_be_told_beside_the_answer),
        cmocka_unit_test(what_is_no_answer_is_refused),
        cmocka_unit_test(errors_are_told_in_the_callers_words),
        cmocka_unit_test(an_empty_arena_is_an_internal_error),
        cmocka_unit_test(they_lead_to_each_other_only),
        cmocka_unit_test(they_are_not_translated_into_messages),
        cmocka_unit_test(nothing_streams),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
