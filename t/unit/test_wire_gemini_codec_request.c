/* Callers of Gemini at providers of other formats: requests, schemas, whole answers. */

#include "wire_gemini_codec_names.c"
#include "wire_gemini_codec_request.c"

#include "translate_check.h"

#define GEMINI "gemini"

static const relay_target_t plain = {0};

#define HI      "\"contents\":[{\"parts\":[{\"text\":\"hi\"}]}]"
#define CHAT_HI "\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]"
#define CHAT_IN "{\"model\":\"\","
#define PNG     "iVBORw0KGgo="

static void to_chat(const char *body, const char *want, const char *notes)
{
    translate_request(GEMINI, CHAT, plain, body, want, notes);
}

/* ---- the path --------------------------------------------------------------- */

static void model_and_stream_come_with_the_path(void **state)
{
    translate_t run;
    relay_span_t out;

    (void)state;
    translate_open(&run, GEMINI, CHAT);
    run.translation.model = RELAY_SPAN("from-the-path");
    run.translation.stream = true;
    assert_int_equal(relay_translate_request(&run.translation,
                                             RELAY_SPAN("{\"model\":\"models/x\"," HI "}"), &out),
                     RELAY_ERR_NONE);
    translate_same(out, "{\"model\":\"from-the-path\"," CHAT_HI
                        ",\"stream\":true,\"stream_options\":{\"include_usage\":true}}");
    translate_same(run.translation.model, "from-the-path");
    assert_int_equal(relay_translate_request(&run.translation,
                                             RELAY_SPAN("{" HI ",\"generationConfig\":{"
                                                        "\"candidateCount\":2}}"),
                                             &out),
                     RELAY_ERR_INVALID_FIELD);
    translate_same(run.translation.error.param, "generationConfig.candidateCount");
    translate_close(&run);
    to_chat("{\"model\":\"models/x\"," HI "}", "{\"model\":\"x\"," CHAT_HI "}", "");
}

/* ---- contents --------------------------------------------------------------- */

static void both_spellings_and_single_values_are_read(void **state)
{
    (void)state;
    to_chat("{\"system_instruction\":{\"parts\":{\"text\":\"s\"}},\"contents\":{\"parts\":[{"
            "\"inline_data\":{\"mime_type\":\"image/png\",\"data\":\"" PNG "\"}},{\"text\":\"a\"}]}"
            ",\"generation_config\":{\"max_output_tokens\":5,\"stop_sequences\":[\"x\"],"
            "\"top_p\":0.5},\"tools\":{\"function_declarations\":{\"name\":\"f\"}},"
            "\"tool_config\":{\"function_calling_config\":{\"mode\":\"ANY\","
            "\"allowed_function_names\":[\"f\"]}}}",
            CHAT_IN "\"messages\":[{\"role\":\"system\",\"content\":\"s\"},{\"role\":\"user\","
                    "\"content\":[{\"type\":\"image_url\",\"image_url\":{\"url\":"
                    "\"data:image/png;base64," PNG "\"}},{\"type\":\"text\",\"text\":\"a\"}]}],"
                    "\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\"}}],"
                    "\"tool_choice\":{\"type\":\"function\",\"function\":{\"name\":\"f\"}},"
                    "\"top_p\":0.5,\"max_completion_tokens\":5,\"stop\":[\"x\"]}",
            "");
}

#define MODEL(parts)         "{\"role\":\"model\",\"parts\":[" parts "]}"
#define USER(parts)          "{\"role\":\"user\",\"parts\":[" parts "]}"
#define CALL(id, name, args) "{\"functionCall\":{" id "\"name\":\"" name "\",\"args\":" args "}}"
#define RESULT(id, name, value)                                                                    \
    "{\"functionResponse\":{" id "\"name\":\"" name "\",\"response\":" value "}}"

#define ONE           CALL("", "f", "{\"a\":1}")
#define OTHER         CALL("", "g", "{}")
#define TWO           CALL("", "f", "{\"a\":2}")
#define THREE_CALLS   MODEL(ONE "," OTHER "," TWO)
#define ONE_IS        RESULT("", "f", "{\"result\":\"one\"}")
#define TWO_IS        RESULT("", "f", "{\"output\":{\"two\":2}}")
#define OTHER_IS      RESULT("", "g", "{\"x\":1,\"y\":2}")
#define THREE_RESULTS USER(ONE_IS "," TWO_IS "," OTHER_IS)
#define FAILED        RESULT("\"id\":\"k\",", "f", "{\"error\":\"no\"}")
#define ANOTHER       MODEL(CALL("", "f", "{}")) "," USER(FAILED)

/* Without ids by name and order; with them by id. */
static void results_find_their_calls(void **state)
{
    (void)state;
    to_chat("{\"contents\":[" THREE_CALLS "," THREE_RESULTS "," ANOTHER "]}",
            CHAT_IN "\"messages\":[{\"role\":\"assistant\",\"content\":null,\"tool_calls\":["
                    "{\"id\":\"call_0\",\"type\":\"function\",\"function\":{\"name\":\"f\","
                    "\"arguments\":\"{\\\"a\\\":1}\"}},{\"id\":\"call_1\",\"type\":\"function\","
                    "\"function\":{\"name\":\"g\",\"arguments\":\"{}\"}},{\"id\":\"call_2\","
                    "\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":"
                    "\"{\\\"a\\\":2}\"}}]},{\"role\":\"tool\",\"tool_call_id\":\"call_0\","
                    "\"content\":\"one\"},{\"role\":\"tool\",\"tool_call_id\":\"call_2\","
                    "\"content\":\"{\\\"two\\\":2}\"},{\"role\":\"tool\",\"tool_call_id\":"
                    "\"call_1\",\"content\":\"{\\\"x\\\":1,\\\"y\\\":2}\"},{\"role\":"
                    "\"assistant\",\"content\":null,\"tool_calls\":[{\"id\":\"call_3\",\"type\":"
                    "\"function\",\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}}]},{\"role\":"
                    "\"tool\",\"tool_call_id\":\"call_3\",\"content\":\"Error: no\"}]}",
            "changed=contents.parts.functionResponse");
    to_chat("{\"contents\":[" MODEL(CALL("\"id\":\"a\",", "f", "{}") "," CALL(
                "\"id\":\"b\",", "f", "{}")) "," USER(RESULT("\"id\":\"b\",", "f",
                                                             "{}") "," RESULT("\"id\":\"a\",", "f",
                                                                              "{}")) "]}",
            CHAT_IN "\"messages\":[{\"role\":\"assistant\",\"content\":null,\"tool_calls\":["
                    "{\"id\":\"a\",\"type\":\"function\",\"function\":{\"name\":\"f\","
                    "\"arguments\":\"{}\"}},{\"id\":\"b\",\"type\":\"function\",\"function\":"
                    "{\"name\":\"f\",\"arguments\":\"{}\"}}]},{\"role\":\"tool\",\"tool_call_id\":"
                    "\"b\",\"content\":\"\"},{\"role\":\"tool\",\"tool_call_id\":\"a\","
                    "\"content\":\"\"}]}",
            "");
    translate_refused(GEMINI, CHAT, "{\"contents\":[" USER(RESULT("", "f", "{}")) "]}",
                      RELAY_ERR_INVALID_FIELD, "contents[0]", "'f' has no call");
}

static void thousands_of_calls_are_paired_in_time(void **state)
{
    enum { CALLS = 3000 };
    static char body[CALLS * 160];
    translate_t run;
    relay_span_t out;
    size_t length = (size_t)snprintf(body, sizeof(body), "{\"contents\":[");

    (void)state;
    for (size_t i = 0; i < CALLS; i++) {
        length +=
            (size_t)snprintf(body + length, sizeof(body) - length, "%s" MODEL("%s") "," USER("%s"),
                             i == 0 ? "" : ",", CALL("", "f", "{}"), RESULT("", "f", "{}"));
    }
    snprintf(body + length, sizeof(body) - length, "]}");
    translate_open(&run, GEMINI, CHAT);
    assert_int_equal(relay_translate_request(&run.translation, relay_wire_cstring(body), &out),
                     RELAY_ERR_NONE);
    translate_close(&run);
}

static void parts_that_are_wrong_are_named(void **state)
{
    static const struct {
        const char *body;
        relay_error_code_t code;
        const char *param;
        const char *part;
    } cases[] = {
        {"{}", RELAY_ERR_MISSING_FIELD, "contents", "required"},
        {"{\"contents\":[3]}", RELAY_ERR_INVALID_FIELD, "contents[0]", "object"},
        {"{\"contents\":[{\"role\":\"system\",\"parts\":[]}]}", RELAY_ERR_INVALID_FIELD,
         "contents[0].role", "valid role"},
        {"{\"contents\":[" USER(
             "{\"inlineData\":{\"mimeType\":\"image/png\",\"data\":\"AAAA\"}}") "]}",
         RELAY_ERR_INVALID_FIELD, "contents[0].parts[0].inlineData.data", "not an image"},
        {"{\"contents\":[" USER("{\"text\":\"a\"},{\"later\":1}") "]}", RELAY_ERR_INVALID_FIELD,
         "contents[0].parts[1]", "not supported"},
        {"{\"contents\":[" MODEL("{\"functionCall\":{}}") "]}", RELAY_ERR_MISSING_FIELD,
         "contents[0].parts[0].functionCall.name", "required"},
        {"{" HI ",\"cachedContent\":\"c\"}", RELAY_ERR_INVALID_FIELD, "cachedContent",
         "not supported"},
        {"{" HI ",\"tools\":[{\"googleSearch\":{}}]}", RELAY_ERR_INVALID_FIELD,
         "tools[0].googleSearch", "not supported"},
        {"{" HI ",\"generationConfig\":{\"responseModalities\":[\"AUDIO\"]}}",
         RELAY_ERR_INVALID_FIELD, "generationConfig.responseModalities", "only text"},
        {"{" HI ",\"generationConfig\":{\"responseMimeType\":\"text/x.enum\"}}",
         RELAY_ERR_INVALID_FIELD, "generationConfig.responseMimeType", "application/json"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        translate_refused(GEMINI, CHAT, cases[i].body, cases[i].code, cases[i].param,
                          cases[i].part);
    }
}

static void hints_are_dropped_by_name(void **state)
{
    (void)state;
    to_chat("{\"contents\":[" USER(
                "{\"text\":\"hi\",\"partMetadata\":{\"a\":1}}") "],"
                                                                "\"safetySettings\":[{\"category\":"
                                                                "\"X\"}],\"labels\":{\"a\":\"b\"},"
                                                                "\"toolConfig\":"
                                                                "{\"retrievalConfig\":{"
                                                                "\"languageCode\":\"en\"}},"
                                                                "\"generationConfig\":"
                                                                "{\"mediaResolution\":\"LOW\"}}",
            CHAT_IN CHAT_HI "}",
            "contents.parts.partMetadata, labels, safetySettings, toolConfig.retrievalConfig, "
            "generationConfig.mediaResolution");
}

/* ---- thoughts ---------------------------------------------------------------- */

/* "relay:t:anthropic-claude-v1:SIG" and "relay:r:anthropic-claude-v1:DATA" in base64. */
#define SEALED_T "cmVsYXk6dDphbnRocm9waWMtY2xhdWRlLXYxOlNJRw=="
#define SEALED_R "cmVsYXk6cjphbnRocm9waWMtY2xhdWRlLXYxOkRBVEE="

static void thinking_of_another_provider_goes_through_a_client_of_this_format(void **state)
{
    (void)state;
    translate_response(
        MESSAGES, GEMINI,
        "{\"id\":\"i\",\"model\":\"m\",\"content\":[{\"type\":\"thinking\",\"thinking\":\"ab\","
        "\"signature\":\"SIG\"},{\"type\":\"redacted_thinking\",\"data\":\"DATA\"},{\"type\":"
        "\"text\",\"text\":\"c\"}],\"stop_reason\":\"end_turn\",\"usage\":{\"input_tokens\":3,"
        "\"cache_read_input_tokens\":2,\"output_tokens\":4}}",
        "{\"candidates\":[{\"content\":{\"role\":\"model\",\"parts\":[{\"text\":\"ab\","
        "\"thought\":true,\"thoughtSignature\":\"" SEALED_T "\"},{\"text\":\"\",\"thought\":true,"
        "\"thoughtSignature\":\"" SEALED_R "\"},{\"text\":\"c\"}]},\"finishReason\":\"STOP\","
        "\"index\":0}],\"usageMetadata\":{\"promptTokenCount\":5,\"cachedContentTokenCount\":2,"
        "\"candidatesTokenCount\":4,\"thoughtsTokenCount\":0,\"totalTokenCount\":9},"
        "\"modelVersion\":\"m\",\"responseId\":\"r1\"}");
    /* as collected from a stream */
    translate_request(
        GEMINI, MESSAGES, plain,
        "{\"contents\":[" MODEL("{\"text\":\"a\",\"thought\":true},{\"text\":\"b\",\"thought\":"
                                "true},{\"text\":\"\",\"thought\":true,\"thoughtSignature\":"
                                "\"" SEALED_T "\"},{\"text\":\"\",\"thought\":true,"
                                "\"thoughtSignature\":\"" SEALED_R
                                "\"},{\"text\":\"c\"}") "," USER("{\"text\":\"hi\"}") "]}",
        "{\"model\":\"\",\"max_tokens\":32000,\"messages\":[{\"role\":\"assistant\",\"content\":["
        "{\"type\":\"thinking\",\"thinking\":\"ab\",\"signature\":\"SIG\"},{\"type\":"
        "\"redacted_thinking\",\"data\":\"DATA\"},{\"type\":\"text\",\"text\":\"c\"}]},{\"role\":"
        "\"user\",\"content\":[{\"type\":\"text\",\"text\":\"hi\"}]}]}",
        "");
    /* this provider's own says nothing to another */
    translate_request(
        GEMINI, MESSAGES, plain,
        "{\"contents\":[" MODEL(
            "{\"text\":\"a\",\"thought\":true,\"thoughtSignature\":\"U0k=\"},"
            "{\"text\":\"c\",\"thoughtSignature\":\"U0k=\"}") "," USER("{\"text\":\"hi\"}") "]}",
        "{\"model\":\"\",\"max_tokens\":32000,\"messages\":[{\"role\":\"assistant\",\"content\":["
        "{\"type\":\"text\",\"text\":\"c\"}]},{\"role\":\"user\",\"content\":[{\"type\":\"text\","
        "\"text\":\"hi\"}]}]}",
        "contents.parts.thought, contents.parts.thoughtSignature");
}

#define PIECE(text) MODEL("{\"text\":\"" text "\",\"thought\":true}")
#define SIGNED(text, by)                                                                           \
    MODEL("{\"text\":\"" text "\",\"thought\":true,\"thoughtSignature\":\"" by "\"}")
#define EMPTY MODEL("{\"text\":\"\"}")

/* As a client keeps a stream that sends back its chunks: each a content. */
#define THINKS(text) "{\"type\":\"thinking\",\"thinking\":\"" text "\",\"signature\":\"SIG\"}"

#define SAID(text) MODEL("{\"text\":\"" text "\"}")
#define HI_THERE   USER("{\"text\":\"hi\"}")
#define FIRST_TURN                                                                                 \
    PIECE("Th") "," PIECE("ou") "," EMPTY "," PIECE("ght\\n") "," SIGNED("", SEALED_T)
#define SECOND_TURN PIECE("d") "," SIGNED("e", SEALED_T) "," SAID("f")
#define CHUNKS                                                                                     \
    "{\"contents\":[" FIRST_TURN                                                                   \
    "," SIGNED("b", SEALED_T) "," SAID("c") "," EMPTY "," HI_THERE "," SECOND_TURN "," HI_THERE    \
                                            "]}"
#define MODEL_TURN(blocks) "{\"role\":\"assistant\",\"content\":[" blocks "]}"
#define USER_TURN          "{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"hi\"}]}"
#define TEXT_BLOCK(text)   "{\"type\":\"text\",\"text\":\"" text "\"}"
#define FIRST_ANSWER       THINKS("Thought\\n") "," THINKS("b") "," TEXT_BLOCK("c")
#define SECOND_ANSWER      THINKS("de") "," TEXT_BLOCK("f")
#define TURNS                                                                                      \
    "{\"model\":\"\",\"max_tokens\":32000,\"messages\":[" MODEL_TURN(                              \
        FIRST_ANSWER) "," USER_TURN "," MODEL_TURN(SECOND_ANSWER) "," USER_TURN "]}"

static void chunks_of_a_stream_are_one_turn(void **state)
{
    (void)state;
    translate_request(GEMINI, MESSAGES, plain, CHUNKS, TURNS, "");
    to_chat(
        "{\"contents\":[" MODEL("{\"text\":\"I \"}") "," MODEL(
            "{\"text\":\"look.\"}") "," EMPTY
                                    "," MODEL(CALL("\"id\":\"a\",", "f", "{}")) "," EMPTY "," USER(
                                        RESULT("\"id\":\"a\",", "f",
                                               "{\"output\":\"x\"}")) "," EMPTY "]}",
        CHAT_IN "\"messages\":[{\"role\":\"assistant\",\"content\":\"I look.\",\"tool_calls\":["
                "{\"id\":\"a\",\"type\":\"function\",\"function\":{\"name\":\"f\","
                "\"arguments\":\"{}\"}}]},{\"role\":\"tool\",\"tool_call_id\":\"a\","
                "\"content\":\"x\"},{\"role\":\"assistant\",\"content\":\"\"}]}",
        "");
}

/* In their own format they stay what they were. */
static void chunks_stay_apart_in_their_own_format(void **state)
{
#define CHUNK(part) "{\"parts\":[{" part "}],\"role\":\"model\"}"
    static const char chunks[] =
        "{\"contents\":[" CHUNK("\"text\":\"a\",\"thought\":true") "," CHUNK(
            "\"text\":\"\","
            "\"thought\":true,"
            "\"thoughtSignature\":"
            "\"U0k=\"") "," CHUNK("\"text\":"
                                  "\"\"") "," CHUNK("\"text\":\"b\"") "]}";

    (void)state;
    translate_request(GEMINI, GEMINI, plain, chunks, chunks, "");
}

/* Whoever forges one gets no text out of its quotes. */
static void a_seal_that_is_no_plain_text_is_not_opened(void **state)
{
    translate_t run;
    relay_span_t out;

    (void)state;
    translate_open(&run, GEMINI, MESSAGES);
    /* relay:t:anthropic-claude-v1:a"b */
    assert_int_equal(
        relay_translate_request(
            &run.translation,
            RELAY_SPAN("{\"contents\":[" MODEL(
                "{\"text\":\"a\",\"thought\":true,\"thoughtSignature\":"
                "\"cmVsYXk6dDphbnRocm9waWMtY2xhdWRlLXYxOmEiYg==\"}") "," USER("{\"text\":"
                                                                              "\"hi\"}") "]}"),
            &out),
        RELAY_ERR_NONE);
    translate_same(out, "{\"model\":\"\",\"max_tokens\":32000,\"messages\":[{\"role\":\"user\","
                        "\"content\":[{\"type\":\"text\",\"text\":\"hi\"}]}]}");
    translate_close(&run);
}

static void thinking_configurations(void **state)
{
    (void)state;
    to_chat("{" HI ",\"generationConfig\":{\"thinkingConfig\":{\"thinkingLevel\":\"HIGH\"}}}",
            CHAT_IN CHAT_HI ",\"reasoning_effort\":\"high\"}", "");
    to_chat("{" HI ",\"generationConfig\":{\"thinkingConfig\":{\"thinkingBudget\":1024}}}",
            CHAT_IN CHAT_HI ",\"reasoning_effort\":\"low\"}",
            "changed=generationConfig.thinkingConfig");
    to_chat("{" HI ",\"generationConfig\":{\"thinkingConfig\":{\"thinkingBudget\":-1}}}",
            CHAT_IN CHAT_HI "}", "");
    translate_request(GEMINI, MESSAGES, plain,
                      "{" HI ",\"generationConfig\":{\"thinkingConfig\":{\"thinkingBudget\":0}}}",
                      "{\"model\":\"\",\"max_tokens\":32000,\"messages\":[{\"role\":\"user\","
                      "\"content\":[{\"type\":\"text\",\"text\":\"hi\"}]}],\"thinking\":{\"type\":"
                      "\"disabled\"}}",
                      "");
}

/* ---- tools and schemas -------------------------------------------------------- */

static void the_modes_of_calling(void **state)
{
    static const struct {
        const char *in;
        const char *out;
        const char *notes;
    } cases[] = {
        {"\"AUTO\"", ",\"tool_choice\":\"auto\"", ""},
        {"\"NONE\"", ",\"tool_choice\":\"none\"", ""},
        {"\"ANY\"", ",\"tool_choice\":\"required\"", ""},
        {"\"VALIDATED\"", ",\"tool_choice\":\"auto\"", "changed=toolConfig"},
        {"\"MODE_UNSPECIFIED\"", "", ""},
        {"\"ANY\",\"allowedFunctionNames\":[\"f\",\"g\"]",
         ",\"tool_choice\":{\"type\":\"allowed_tools\",\"allowed_tools\":{\"mode\":\"required\","
         "\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\"}},{\"type\":\"function\","
         "\"function\":{\"name\":\"g\"}}]}}",
         ""},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char body[512], want[512];
        snprintf(body, sizeof(body),
                 "{" HI ",\"tools\":[{\"functionDeclarations\":[{\"name\":\"f\"}]}],"
                 "\"toolConfig\":{\"functionCallingConfig\":{\"mode\":%s}}}",
                 cases[i].in);
        snprintf(want, sizeof(want),
                 CHAT_IN CHAT_HI
                 ",\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\"}}]%s}",
                 cases[i].out);
        to_chat(body, want, cases[i].notes);
    }
}

static void schemas_of_the_older_dialect_become_json_schema(void **state)
{
    (void)state;
    to_chat("{" HI ",\"tools\":[{\"functionDeclarations\":[{\"name\":\"f\",\"parameters\":{"
            "\"type\":\"OBJECT\",\"propertyOrdering\":[\"a\"],\"properties\":{\"type\":{\"type\":"
            "\"STRING\",\"nullable\":true,\"format\":\"enum\",\"enum\":[\"A\"]},\"l\":{\"type\":"
            "\"ARRAY\",\"min_items\":\"2\",\"items\":{\"any_of\":[{\"type\":\"NUMBER\"},"
            "{\"type\":\"BOOLEAN\"}]}}},\"required\":[\"type\"]}}]}]}",
            CHAT_IN CHAT_HI
            ",\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\",\"parameters\":{"
            "\"type\":\"object\",\"properties\":{\"type\":{\"type\":[\"string\",\"null\"],"
            "\"enum\":[\"A\"]},\"l\":{\"type\":\"array\",\"minItems\":2,\"items\":{\"anyOf\":["
            "{\"type\":\"number\"},{\"type\":\"boolean\"}]}}},\"required\":[\"type\"]}}}]}",
            "");
    to_chat("{" HI ",\"generationConfig\":{\"responseMimeType\":\"application/json\","
            "\"responseSchema\":{\"type\":\"STRING\"}}}",
            CHAT_IN CHAT_HI
            ",\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{\"name\":\"answer\","
            "\"schema\":{\"type\":\"string\"},\"strict\":true}}}",
            "");
}

/* One tool of a caller of Chat Completions at a model that knows the older dialect. */
static void older(const char *schema, const char *want, const char *notes)
{
    relay_target_t old = {.flags = RELAY_TARGET_OLD_SCHEMA};
    char body[2048], out[2048];

    snprintf(body, sizeof(body),
             "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"tools\":["
             "{\"type\":\"function\",\"function\":{\"name\":\"f\",\"parameters\":%s}}]}",
             schema);
    snprintf(out, sizeof(out),
             "{\"contents\":[{\"role\":\"user\",\"parts\":[{\"text\":\"hi\"}]}],\"tools\":["
             "{\"functionDeclarations\":[{\"name\":\"f\",\"parameters\":%s}]}]}",
             want);
    translate_request(CHAT, GEMINI, old, body, out, notes);
}

static void r10_json_schema_becomes_the_older_dialect(void **state)
{
    (void)state;
    older("{\"$schema\":\"x\",\"type\":\"object\",\"additionalProperties\":false,\"properties\":{"
          "\"$ref\":{\"type\":[\"string\",\"null\"]},\"additionalProperties\":{\"type\":"
          "[\"string\",\"integer\"]},\"c\":{\"const\":\"x\"},\"l\":{\"type\":\"array\",\"items\":"
          "{\"$ref\":\"#/$defs/n\"}},\"u\":{\"anyOf\":[{\"type\":\"number\"},{\"type\":\"null\"}]"
          "}},\"$defs\":{\"n\":{\"type\":\"integer\",\"format\":\"uint\",\"minimum\":1}}}",
          "{\"type\":\"OBJECT\",\"properties\":{\"$ref\":{\"type\":\"STRING\",\"nullable\":true},"
          "\"additionalProperties\":{\"anyOf\":[{\"type\":\"STRING\"},{\"type\":\"INTEGER\"}]},"
          "\"c\":{\"type\":\"STRING\",\"enum\":[\"x\"]},\"l\":{\"type\":\"ARRAY\",\"items\":"
          "{\"type\":\"INTEGER\",\"minimum\":1}},\"u\":{\"anyOf\":[{\"type\":\"NUMBER\"}],"
          "\"nullable\":true}}}",
          "changed=tools");
    older("{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"string\"}}}",
          "{\"type\":\"OBJECT\",\"properties\":{\"a\":{\"type\":\"STRING\"}}}", "");
    older("{\"type\":\"array\"}", "{\"type\":\"ARRAY\",\"items\":{\"type\":\"STRING\"}}",
          "changed=tools");
    older("{\"type\":\"object\",\"properties\":{\"a\":{\"$ref\":\"#/nowhere\"}}}",
          "{\"type\":\"OBJECT\",\"properties\":{\"a\":{\"type\":\"OBJECT\"}}}", "changed=tools");
}

static void r10_a_schema_that_refers_to_itself_comes_to_an_end(void **state)
{
    relay_target_t old = {.flags = RELAY_TARGET_OLD_SCHEMA};
    translate_t run;
    relay_span_t out;

    (void)state;
    translate_open(&run, CHAT, GEMINI);
    run.translation.target = old;
    assert_int_equal(
        relay_translate_request(
            &run.translation,
            RELAY_SPAN("{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],"
                       "\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\","
                       "\"parameters\":{\"type\":\"object\",\"properties\":{\"a\":{\"$ref\":"
                       "\"#\"},\"b\":{\"$ref\":\"#\"},\"c\":{\"$ref\":\"#\"}}}}}]}"),
            &out),
        RELAY_ERR_NONE);
    assert_true(out.len < 1 << 16);
    translate_notes(&run.translation, "changed=tools");
    translate_close(&run);
}

/* ---- the format to itself ----------------------------------------------------- */

static void nothing_is_lost_on_the_way_to_the_same_format(void **state)
{
    static const char body[] =
        "{\"contents\":[{\"parts\":[{\"text\":\"a\",\"later\":1.0},{\"thought\":true,\"text\":"
        "\"b\",\"thoughtSignature\":\"Q+\\u003d\"},{\"functionCall\":{\"name\":\"f\"},"
        "\"thoughtSignature\":\"c\"},{\"executableCode\":{\"code\":\"x\"}}],\"role\":\"model\","
        "\"later\":[]}],\"tools\":[{\"googleSearch\":{}}],\"generationConfig\":{\"topK\":40.0,"
        "\"later\":{\"x\":1}},\"system_instruction\":{\"parts\":[{\"text\":\"s\"}]},"
        "\"cachedContent\":\"c\",\"later\":3}";
    static const char answer[] =
        "{\"candidates\":[{\"content\":{\"role\":\"model\",\"parts\":[{\"text\":\"a\","
        "\"thoughtSignature\":\"s\"},{\"functionCall\":{\"name\":\"f\"},\"thoughtSignature\":"
        "\"t\"},{\"inlineData\":{\"mimeType\":\"image/png\",\"data\":\"\"}}]},\"finishReason\":"
        "\"SPII\",\"index\":3,\"safetyRatings\":[1]},{\"finishReason\":\"LATER\"}],"
        "\"usageMetadata\":{\"later\":1},\"responseId\":\"i\"}";
    static const char blocked[] = "{\"promptFeedback\":{\"blockReason\":\"X\"},\"a\":1}";

    (void)state;
    translate_request(GEMINI, GEMINI, plain, body, body, "");
    translate_response(GEMINI, GEMINI, answer, answer);
    translate_response(GEMINI, GEMINI, blocked, blocked);
}

/* ---- answers ------------------------------------------------------------------- */

#define ANSWER(parts, reason)                                                                      \
    "{\"candidates\":[{\"content\":{\"role\":\"model\",\"parts\":[" parts                          \
    "]},\"finishReason\":\"" reason "\",\"index\":0}],\"usageMetadata\":{\"promptTokenCount\":9,"  \
    "\"cachedContentTokenCount\":4,\"candidatesTokenCount\":3,\"thoughtsTokenCount\":2,"           \
    "\"totalTokenCount\":14},\"modelVersion\":\"m\",\"responseId\":\"r1\"}"

static void answers_of_others(void **state)
{
    (void)state;
    translate_response(
        CHAT, GEMINI,
        "{\"id\":\"i\",\"model\":\"m\",\"choices\":[{\"index\":0,\"message\":{\"content\":\"x\","
        "\"reasoning_content\":\"why\",\"tool_calls\":[{\"id\":\"c\",\"function\":{\"name\":\"f\","
        "\"arguments\":\"{\\\"a\\\":\\\"\\\\u00e9\\\"}\"}},{\"function\":{\"name\":\"g\","
        "\"arguments\":\"{\\\"a\"}}]},\"finish_reason\":\"tool_calls\"}],\"usage\":{"
        "\"prompt_tokens\":9,\"completion_tokens\":5,\"prompt_tokens_details\":{"
        "\"cached_tokens\":4},\"completion_tokens_details\":{\"reasoning_tokens\":2}}}",
        ANSWER("{\"text\":\"why\",\"thought\":true},{\"text\":\"x\"},{\"functionCall\":{\"id\":"
               "\"c\",\"name\":\"f\",\"args\":{\"a\":\"\\u00e9\"}}},{\"functionCall\":{\"id\":"
               "\"call_r1_1\",\"name\":\"g\",\"args\":{\"raw_arguments\":\"{\\\"a\"}}}",
               "STOP"));
    translate_response(
        CHAT, GEMINI,
        "{\"id\":\"i\",\"model\":\"m\",\"choices\":[{\"index\":0,\"message\":{\"refusal\":\"no\"},"
        "\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":5,"
        "\"prompt_tokens_details\":{\"cached_tokens\":4},\"completion_tokens_details\":{"
        "\"reasoning_tokens\":2}}}",
        ANSWER("{\"text\":\"no\"}", "SAFETY"));
}

static void an_error_arrives_in_the_words_of_the_format(void **state)
{
    translate_t run;

    (void)state;
    translate_open(&run, GEMINI, MESSAGES);
    translate_has(relay_translate_error(
                      &run.translation,
                      RELAY_SPAN("{\"type\":\"error\",\"error\":{\"type\":\"rate_limit_error\","
                                 "\"message\":\"slow\"}}"),
                      429, RELAY_SPAN("r1")),
                  "{\"error\":{\"code\":429,\"message\":\"slow\",\"status\":"
                  "\"RESOURCE_EXHAUSTED\"");
    translate_close(&run);
    translate_open(&run, CHAT, GEMINI);
    translate_same(relay_translate_error(
                       &run.translation,
                       RELAY_SPAN("[{\"error\":{\"code\":429,\"message\":\"slow\",\"status\":"
                                  "\"RESOURCE_EXHAUSTED\"}}]"),
                       429, RELAY_SPAN("r1")),
                   "{\"error\":{\"message\":\"slow\",\"type\":\"rate_limit_error\",\"param\":null,"
                   "\"code\":\"rate_limit_exceeded\"}}");
    translate_close(&run);
}

static void an_empty_arena_is_an_error_everywhere(void **state)
{
    static const char body[] = "{\"systemInstruction\":\"s\",\"contents\":[" MODEL(
        "{\"text\":\"a\",\"thought\":true,\"thoughtSignature\":\"" SEALED_T
        "\"},{\"text\":\"b\",\"thoughtSignature\":\"U0k=\"},{\"executableCode\":{\"code\":"
        "\"x\"}}," CALL(
            "", "f",
            "{}")) "," USER(RESULT("", "f",
                                   "{\"a\":1,\"b\":2}")) "],\"tools\":[{\"functionDeclarations\":[{"
                                                         "\"name\":\"f\",\"parameters\":{\"type\":"
                                                         "\"OBJECT\"},\"later\":1}]}],"
                                                         "\"toolConfig\":{"
                                                         "\"functionCallingConfig\":{\"mode\":"
                                                         "\"ANY\","
                                                         "\"allowedFunctionNames\":[\"f\"]}},"
                                                         "\"generationConfig\":{\"stopSequences\":["
                                                         "\"x\"],"
                                                         "\"later\":1}}";
    bool good = false;

    (void)state;
    for (size_t left = 0; !good; left++) {
        translate_t run;
        relay_span_t out;
        translate_open(&run, GEMINI, MESSAGES);
        run.left = left;
        good = relay_translate_request(&run.translation, relay_wire_cstring(body), &out) ==
               RELAY_ERR_NONE;
        assert_true(good || run.translation.error.code == RELAY_ERR_INTERNAL);
        assert_true(left < 200);
        translate_close(&run);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(model_and_stream_come_with_the_path),
        cmocka_unit_test(both_spellings_and_single_values_are_read),
        cmocka_unit_test(results_find_their_calls),
        cmocka_unit_test(thousands_of_calls_are_paired_in_time),
        cmocka_unit_test(parts_that_are_wrong_are_named),
        cmocka_unit_test(hints_are_dropped_by_name),
        cmocka_unit_test(thinking_of_another_provider_goes_through_a_client_of_this_format),
        cmocka_unit_test(chunks_of_a_stream_are_one_turn),
        cmocka_unit_test(chunks_stay_apart_in_their_own_format),
        cmocka_unit_test(a_seal_that_is_no_plain_text_is_not_opened),
        cmocka_unit_test(thinking_configurations),
        cmocka_unit_test(the_modes_of_calling),
        cmocka_unit_test(schemas_of_the_older_dialect_become_json_schema),
        cmocka_unit_test(r10_json_schema_becomes_the_older_dialect),
        cmocka_unit_test(r10_a_schema_that_refers_to_itself_comes_to_an_end),
        cmocka_unit_test(nothing_is_lost_on_the_way_to_the_same_format),
        cmocka_unit_test(answers_of_others),
        cmocka_unit_test(an_error_arrives_in_the_words_of_the_format),
        cmocka_unit_test(an_empty_arena_is_an_error_everywhere),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
