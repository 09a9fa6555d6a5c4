/* Callers of Chat Completions and Messages at a provider of Gemini, and the way back. */

#include "wire_gemini_codec_body.c"

#include "translate_check.h"

#define GEMINI "gemini"

static const relay_target_t plain = {0};

#define USER(t)  "{\"role\":\"user\",\"parts\":[{\"text\":\"" t "\"}]}"
#define HI       "\"contents\":[" USER("hi") "]"
#define IN(rest) "{\"model\":\"m\",\"messages\":[" rest "}"
#define ASK      "{\"role\":\"user\",\"content\":\"hi\"}]"
#define PNG      "iVBORw0KGgo="
#define CALL(id, more)                                                                             \
    "{\"role\":\"assistant\",\"content\":null" more ",\"tool_calls\":[{\"id\":\"" id               \
    "\",\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":\"{\\\"a\\\":1}\"}}]}"
#define RESULT(id, text) "{\"role\":\"tool\",\"tool_call_id\":\"" id "\",\"content\":\"" text "\"}"

static void request(relay_target_t target, const char *body, const char *want, const char *notes)
{
    translate_request(CHAT, GEMINI, target, body, want, notes);
}

/* ---- contents -------------------------------------------------------------- */

static void system_messages_become_the_instruction(void **state)
{
    (void)state;
    request(plain,
            IN("{\"role\":\"system\",\"content\":\"A\"},{\"role\":\"developer\",\"content\":"
               "[{\"type\":\"text\",\"text\":\"B\"}]}," ASK),
            "{\"systemInstruction\":{\"parts\":[{\"text\":\"A\"},{\"text\":\"B\"}]}," HI "}", "");
    request(plain,
            IN("{\"role\":\"user\",\"content\":\"a\"},{\"role\":\"assistant\",\"content\":\"b\"},"
               "{\"role\":\"system\",\"content\":\"s\"}," ASK),
            "{\"contents\":[" USER("a") ",{\"role\":\"model\",\"parts\":[{\"text\":\"b\"}]},"
                                        "{\"role\":\"user\",\"parts\":[{\"text\":\"<system>\\ns\\n"
                                        "</system>\"},{\"text\":\"hi\"}]}]}",
            "changed=messages");
    request(plain, IN("{\"role\":\"system\",\"content\":\"s\"}]"),
            "{\"contents\":[" USER("<system>\\ns\\n</system>") "]}", "changed=messages");
    translate_refused(CHAT, GEMINI, IN("]"), RELAY_ERR_INVALID_FIELD, "messages", "at least one");
}

static void r6_neighbours_merge_and_empty_text_is_left_out(void **state)
{
    (void)state;
    request(plain,
            IN("{\"role\":\"user\",\"content\":\"a\"},{\"role\":\"assistant\",\"content\":\"\"},"
               "{\"role\":\"user\",\"content\":\"b\"}]"),
            "{\"contents\":[{\"role\":\"user\",\"parts\":[{\"text\":\"a\"},{\"text\":\"b\"}]}]}",
            "");
}

static void results_follow_their_calls_with_the_name_of_the_call(void **state)
{
    (void)state;
    request(
        plain,
        IN(CALL("c1", "") "," CALL(
            "c2", "") ",{\"role\":\"assistant\",\"content\":\"wait\"}"
                      "," RESULT("c2",
                                 "{\\\"t\\\":4}") ","
                                                  "{\"role\":\"user\",\"content\":\"and\"}," RESULT(
                                                      "c1", "plain") "]"),
        "{\"contents\":[{\"role\":\"model\",\"parts\":[{\"functionCall\":{\"id\":\"c1\","
        "\"name\":\"f\",\"args\":{\"a\":1}}},{\"functionCall\":{\"id\":\"c2\",\"name\":\"f\","
        "\"args\":{\"a\":1}}},{\"text\":\"wait\"}]},{\"role\":\"user\",\"parts\":["
        "{\"functionResponse\":{\"id\":\"c2\",\"name\":\"f\",\"response\":{\"t\":4}}},"
        "{\"functionResponse\":{\"id\":\"c1\",\"name\":\"f\",\"response\":{\"result\":"
        "\"plain\"}}},{\"text\":\"and\"}]}]}",
        "");
    /* a reference in a result would be looked for among the parts */
    request(plain, IN(CALL("c", "") "," RESULT("c", "{\\\"$ref\\\":\\\"x\\\"}") "]"),
            "{\"contents\":[{\"role\":\"model\",\"parts\":[{\"functionCall\":{\"id\":\"c\","
            "\"name\":\"f\",\"args\":{\"a\":1}}}]},{\"role\":\"user\",\"parts\":["
            "{\"functionResponse\":{\"id\":\"c\",\"name\":\"f\",\"response\":{\"result\":"
            "\"{\\\"$ref\\\":\\\"x\\\"}\"}}}]}]}",
            "");
    /* what the model spoilt must not be in the way of the rest */
    request(plain,
            IN("{\"role\":\"assistant\",\"tool_calls\":[{\"id\":\"c\",\"function\":"
               "{\"name\":\"f\",\"arguments\":\"{\\\"a\"}}]}," RESULT("c", "r") "]"),
            "{\"contents\":[{\"role\":\"model\",\"parts\":[{\"functionCall\":{\"id\":\"c\","
            "\"name\":\"f\",\"args\":{\"raw_arguments\":\"{\\\"a\"}}}]},{\"role\":\"user\","
            "\"parts\":[{\"functionResponse\":{\"id\":\"c\",\"name\":\"f\",\"response\":{"
            "\"result\":\"r\"}}}]}]}",
            "changed=messages.tool_calls");
}

static void a_failed_result_and_its_media(void **state)
{
    (void)state;
    translate_request(
        MESSAGES, GEMINI, plain,
        "{\"model\":\"m\",\"max_tokens\":5,\"messages\":[{\"role\":\"assistant\",\"content\":["
        "{\"type\":\"tool_use\",\"id\":\"t\",\"name\":\"f\",\"input\":{}},{\"type\":\"tool_use\","
        "\"id\":\"u\",\"name\":\"f\",\"input\":{}}]},{\"role\":\"user\",\"content\":[{\"type\":"
        "\"tool_result\",\"tool_use_id\":\"t\",\"is_error\":true,\"content\":\"no\"},{\"type\":"
        "\"tool_result\",\"tool_use_id\":\"u\",\"content\":[{\"type\":\"text\",\"text\":\"a\"},"
        "{\"type\":\"text\",\"text\":\"b\"},{\"type\":\"image\",\"source\":{\"type\":\"base64\","
        "\"media_type\":\"image/png\",\"data\":\"" PNG "\"}}]}]}]}",
        "{\"contents\":[{\"role\":\"model\",\"parts\":[{\"functionCall\":{\"id\":\"t\",\"name\":"
        "\"f\",\"args\":{}}},{\"functionCall\":{\"id\":\"u\",\"name\":\"f\",\"args\":{}}}]},"
        "{\"role\":\"user\",\"parts\":[{\"functionResponse\":{\"id\":\"t\",\"name\":\"f\","
        "\"response\":{\"error\":\"no\"}}},{\"functionResponse\":{\"id\":\"u\",\"name\":\"f\","
        "\"response\":{\"result\":\"a\\nb\"}}},{\"text\":\"Result of the tool call u:\"},"
        "{\"inlineData\":{\"mimeType\":\"image/png\",\"data\":\"" PNG "\"}}]}],"
        "\"generationConfig\":{\"maxOutputTokens\":5}}",
        "changed=messages.content.content");
}

static void media_become_data_or_files(void **state)
{
    (void)state;
    request(plain,
            IN("{\"role\":\"user\",\"content\":[{\"type\":\"image_url\",\"image_url\":{\"url\":"
               "\"data:image/png;base64," PNG "\",\"detail\":\"high\"}},{\"type\":\"image_url\","
               "\"image_url\":{\"url\":\"https://e.example/a.PNG?x=1\"}},{\"type\":\"image_url\","
               "\"image_url\":{\"url\":\"https://e.example/b\"}},{\"type\":\"file\",\"file\":"
               "{\"file_data\":\"data:application/pdf;base64,JVBERi0=\"}},{\"type\":"
               "\"input_audio\",\"input_audio\":{\"data\":\"UklG\",\"format\":\"wav\"}}]}]"),
            "{\"contents\":[{\"role\":\"user\",\"parts\":[{\"inlineData\":{\"mimeType\":"
            "\"image/png\",\"data\":\"" PNG "\"}},{\"fileData\":{\"mimeType\":\"image/png\","
            "\"fileUri\":\"https://e.example/a.PNG?x=1\"}},{\"fileData\":{\"mimeType\":"
            "\"image/jpeg\",\"fileUri\":\"https://e.example/b\"}},{\"inlineData\":{\"mimeType\":"
            "\"application/pdf\",\"data\":\"JVBERi0=\"}},{\"inlineData\":{\"mimeType\":"
            "\"audio/wav\",\"data\":\"UklG\"}}]}]}",
            "messages.content.image_url.detail");
    translate_refused(CHAT, GEMINI,
                      IN("{\"role\":\"user\",\"content\":[{\"type\":\"file\",\"file\":"
                         "{\"file_id\":\"f\"}}]}]"),
                      RELAY_ERR_INVALID_FIELD, "messages[0].content[0]", "files are not known");
}

/* ---- signatures ------------------------------------------------------------ */

/* As it has come out: in the id of the call, and in reasoning_details. */
static void signatures_come_back_where_they_were(void **state)
{
    (void)state;
    request(plain, IN(CALL("fc1__thought__Q-E_", "") "," RESULT("fc1__thought__Q-E_", "r") "]"),
            "{\"contents\":[{\"role\":\"model\",\"parts\":[{\"functionCall\":{\"id\":\"fc1\","
            "\"name\":\"f\",\"args\":{\"a\":1}},\"thoughtSignature\":\"Q+E/\"}]},{\"role\":"
            "\"user\",\"parts\":[{\"functionResponse\":{\"id\":\"fc1\",\"name\":\"f\","
            "\"response\":{\"result\":\"r\"}}}]}]}",
            "");
    request(plain,
            IN("{\"role\":\"assistant\",\"reasoning_content\":\"Plan.\",\"reasoning_details\":["
               "{\"type\":\"reasoning.encrypted\",\"data\":\"U0k=\",\"format\":"
               "\"google-gemini-v1\",\"index\":0}],\"content\":\"Done.\"}," ASK),
            "{\"contents\":[{\"role\":\"model\",\"parts\":[{\"text\":\"Done.\","
            "\"thoughtSignature\":\"U0k=\"}]}," USER("hi") "]}",
            "");
    /* what another provider signed, or nobody, says nothing here */
    request(plain,
            IN("{\"role\":\"assistant\",\"reasoning_content\":\"a\",\"content\":\"c\"},"
               "{\"role\":\"assistant\",\"reasoning_details\":[{\"type\":\"reasoning.text\","
               "\"text\":\"b\",\"signature\":\"s\",\"format\":\"anthropic-claude-v1\"}]}," ASK),
            "{\"contents\":[{\"role\":\"model\",\"parts\":[{\"text\":\"c\"}]}," USER("hi") "]}",
            "messages.reasoning_content, messages.reasoning_details");
}

static void a_model_that_insists_on_signatures_gets_a_word_for_them(void **state)
{
    relay_target_t insists = {.flags = RELAY_TARGET_SIGNED_CALLS};

    (void)state;
    request(insists,
            IN(CALL("a", "") "," CALL("b", "") "," RESULT("a", "1") "," RESULT("b", "2") "]"),
            "{\"contents\":[{\"role\":\"model\",\"parts\":[{\"functionCall\":{\"id\":\"a\","
            "\"name\":\"f\",\"args\":{\"a\":1}},\"thoughtSignature\":"
            "\"skip_thought_signature_validator\"},{\"functionCall\":{\"id\":\"b\",\"name\":\"f\","
            "\"args\":{\"a\":1}}}]},{\"role\":\"user\",\"parts\":[{\"functionResponse\":{\"id\":"
            "\"a\",\"name\":\"f\",\"response\":{\"result\":\"1\"}}},{\"functionResponse\":{\"id\":"
            "\"b\",\"name\":\"f\",\"response\":{\"result\":\"2\"}}}]}]}",
            "");
}

/* ---- tools ------------------------------------------------------------------ */

#define TOOL(name, more)                                                                           \
    "{\"type\":\"function\",\"function\":{\"name\":\"" name "\",\"parameters\":{\"type\":"         \
    "\"object\"}" more "}}"
#define DECLARED(name) "{\"name\":\"" name "\",\"parametersJsonSchema\":{\"type\":\"object\"}}"
#define DECLARES(list) ",\"tools\":[{\"functionDeclarations\":[" list "]}]"
#define MODE(mode)     ",\"toolConfig\":{\"functionCallingConfig\":{\"mode\":" mode "}}"

static void the_grid_of_tool_choices(void **state)
{
    static const struct {
        const char *in;
        const char *out;
        const char *notes;
    } cases[] = {
        {"", "", ""},
        {",\"parallel_tool_calls\":true", "", ""},
        {",\"parallel_tool_calls\":false", "", "parallel_tool_calls"},
        {",\"tool_choice\":\"auto\"", MODE("\"AUTO\""), ""},
        {",\"tool_choice\":\"none\",\"parallel_tool_calls\":false", MODE("\"NONE\""), ""},
        {",\"tool_choice\":\"required\"", MODE("\"ANY\""), ""},
        {",\"tool_choice\":{\"type\":\"function\",\"function\":{\"name\":\"f\"}}",
         MODE("\"ANY\",\"allowedFunctionNames\":[\"f\"]"), ""},
        {",\"tool_choice\":{\"type\":\"allowed_tools\",\"allowed_tools\":{\"mode\":\"required\","
         "\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\"}},{\"type\":"
         "\"function\",\"function\":{\"name\":\"g\"}}]}}",
         MODE("\"ANY\",\"allowedFunctionNames\":[\"f\",\"g\"]"), ""},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char body[512], want[512];
        snprintf(body, sizeof(body), IN(ASK ",\"tools\":[" TOOL("f", "") "," TOOL("g", "") "]%s"),
                 cases[i].in);
        snprintf(want, sizeof(want), "{" HI DECLARES(DECLARED("f") "," DECLARED("g")) "%s}",
                 cases[i].out);
        request(plain, body, want, cases[i].notes);
        snprintf(body, sizeof(body), IN(ASK "%s"), cases[i].in);
        request(plain, body, "{" HI "}", "");
    }
}

static void a_free_choice_of_some_leaves_the_others_out(void **state)
{
    (void)state;
    request(
        plain,
        IN(ASK ",\"tools\":[" TOOL("f", "") "," TOOL(
            "g", "") "],\"tool_choice\":{\"type\":"
                     "\"allowed_tools\",\"allowed_tools\":{\"mode\":\"auto\",\"tools\":[{\"type\":"
                     "\"function\",\"function\":{\"name\":\"g\"}}]}}"),
        "{" HI DECLARES(DECLARED("g")) MODE("\"AUTO\"") "}", "");
}

static void r11_strict_tools_are_a_mode(void **state)
{
    relay_target_t without = {.flags = RELAY_TARGET_NO_STRICT};

    (void)state;
    request(plain, IN(ASK ",\"tools\":[" TOOL("f", ",\"strict\":true") "]"),
            "{" HI DECLARES(DECLARED("f")) MODE("\"VALIDATED\"") "}", "");
    request(without, IN(ASK ",\"tools\":[" TOOL("f", ",\"strict\":true") "]"),
            "{" HI DECLARES(DECLARED("f")) "}", "tools.function.strict");
}

static void tools_that_only_others_run_are_refused(void **state)
{
    (void)state;
    translate_refused(MESSAGES, GEMINI,
                      "{\"model\":\"m\",\"max_tokens\":5,\"messages\":[{\"role\":\"user\","
                      "\"content\":\"hi\"}],\"tools\":[{\"type\":\"web_search_20250305\",\"name\":"
                      "\"web_search\"}]}",
                      RELAY_ERR_INVALID_FIELD, "tools.0.type", "not supported");
}

static void a_custom_tool_is_wrapped_and_unwrapped(void **state)
{
    translate_t run;
    relay_span_t out;

    (void)state;
    translate_open(&run, CHAT, GEMINI);
    assert_int_equal(
        relay_translate_request(&run.translation,
                                RELAY_SPAN(IN(ASK ",\"tools\":[{\"type\":\"custom\",\"custom\":"
                                                  "{\"name\":\"patch\"}}]")),
                                &out),
        RELAY_ERR_NONE);
    translate_has(out, "{\"name\":\"patch\",\"parameters\":{\"type\":\"OBJECT\",\"properties\":"
                       "{\"input\":{\"type\":\"STRING\"}},\"required\":[\"input\"]}}");
    assert_int_equal(
        relay_translate_response(
            &run.translation,
            RELAY_SPAN("{\"candidates\":[{\"content\":{\"parts\":[{\"functionCall\":{\"id\":\"t\","
                       "\"name\":\"patch\",\"args\":{\"input\":\"a\\n\\\"b\"}}}]},"
                       "\"finishReason\":\"STOP\"}]}"),
            &out),
        RELAY_ERR_NONE);
    translate_has(out, "{\"id\":\"t\",\"type\":\"custom\",\"custom\":{\"name\":\"patch\","
                       "\"input\":\"a\\n\\\"b\"}}");
    translate_has(out, "\"finish_reason\":\"tool_calls\"");
    translate_close(&run);
}

/* ---- configuration ---------------------------------------------------------- */

#define CONFIG(members) "{" HI ",\"generationConfig\":{" members "}}"

static void sampling_limits_and_stops(void **state)
{
    relay_target_t small = {.output_tokens_max = 100}, fixed = {.flags = RELAY_TARGET_NO_SAMPLING},
                   likely = {.flags = RELAY_TARGET_LOGPROBS};

    (void)state;
    request(plain,
            IN(ASK ",\"temperature\":0.70,\"top_p\":0.9,\"top_k\":40,\"seed\":7,"
                   "\"presence_penalty\":0.1,\"frequency_penalty\":-0.2,\"n\":2,\"stop\":\"END\","
                   "\"logprobs\":true,\"top_logprobs\":3,\"max_tokens\":9,\"stream\":true"),
            CONFIG("\"temperature\":0.70,\"topP\":0.9,\"topK\":40,\"presencePenalty\":0.1,"
                   "\"frequencyPenalty\":-0.2,\"seed\":7,\"candidateCount\":2,"
                   "\"maxOutputTokens\":9,\"stopSequences\":[\"END\"]"),
            "logprobs, top_logprobs");
    request(likely, IN(ASK ",\"logprobs\":true,\"top_logprobs\":3"),
            CONFIG("\"responseLogprobs\":true,\"logprobs\":3"), "");
    request(likely, IN(ASK ",\"logprobs\":true,\"top_logprobs\":0"),
            CONFIG("\"responseLogprobs\":true"), "");
    request(likely, IN(ASK ",\"logprobs\":true,\"stream\":true"), "{" HI "}", "logprobs");
    request(small, IN(ASK ",\"max_tokens\":300"), CONFIG("\"maxOutputTokens\":100"),
            "changed=max_tokens");
    request(fixed, IN(ASK ",\"temperature\":0,\"top_p\":1"), "{" HI "}", "temperature, top_p");
    request(plain, IN(ASK ",\"seed\":2147483648"), "{" HI "}", "seed");
    translate_refused(CHAT, GEMINI, IN(ASK ",\"stop\":[\"1\",\"2\",\"3\",\"4\",\"5\",\"6\"]"),
                      RELAY_ERR_INVALID_FIELD, "stop", "at most 5");
    translate_refused(CHAT, GEMINI, IN(ASK ",\"max_tokens\":0"), RELAY_ERR_INVALID_FIELD,
                      "max_tokens", "0 is not");
    translate_refused(CHAT, GEMINI, IN(ASK ",\"logit_bias\":{\"1\":2}"), RELAY_ERR_INVALID_FIELD,
                      "logit_bias", "not supported");
}

static void thinking_goes_by_level_or_budget(void **state)
{
    relay_target_t budget = {.flags = RELAY_TARGET_BUDGET},
                   without = {.flags = RELAY_TARGET_NO_EFFORT};

    (void)state;
    request(plain, IN(ASK ",\"reasoning_effort\":\"low\""),
            CONFIG("\"thinkingConfig\":{\"thinkingLevel\":\"LOW\",\"includeThoughts\":true}"), "");
    request(plain, IN(ASK ",\"reasoning_effort\":\"xhigh\""),
            CONFIG("\"thinkingConfig\":{\"thinkingLevel\":\"HIGH\",\"includeThoughts\":true}"),
            "changed=reasoning_effort");
    request(plain, IN(ASK ",\"reasoning_effort\":\"none\""),
            CONFIG("\"thinkingConfig\":{\"thinkingBudget\":0}"), "");
    request(budget, IN(ASK ",\"reasoning_effort\":\"medium\""),
            CONFIG("\"thinkingConfig\":{\"thinkingBudget\":8192,\"includeThoughts\":true}"),
            "changed=reasoning_effort");
    request(without, IN(ASK ",\"reasoning_effort\":\"low\""), "{" HI "}", "reasoning_effort");
    translate_request(MESSAGES, GEMINI, budget,
                      "{\"model\":\"m\",\"max_tokens\":9000,\"messages\":[{\"role\":\"user\","
                      "\"content\":\"hi\"}],\"thinking\":{\"type\":\"enabled\",\"budget_tokens\":"
                      "2000}}",
                      CONFIG("\"maxOutputTokens\":9000,\"thinkingConfig\":{\"thinkingBudget\":2000,"
                             "\"includeThoughts\":true}"),
                      "");
    translate_request(MESSAGES, GEMINI, plain,
                      "{\"model\":\"m\",\"max_tokens\":9000,\"messages\":[{\"role\":\"user\","
                      "\"content\":\"hi\"}],\"thinking\":{\"type\":\"disabled\"}}",
                      CONFIG("\"maxOutputTokens\":9000,\"thinkingConfig\":{\"thinkingBudget\":0}"),
                      "");
}

static void formats_of_the_answer(void **state)
{
    relay_target_t old = {.flags = RELAY_TARGET_OLD_SCHEMA};

    (void)state;
    request(plain, IN(ASK ",\"response_format\":{\"type\":\"json_object\"}"),
            CONFIG("\"responseMimeType\":\"application/json\""), "");
    request(plain,
            IN(ASK ",\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{\"name\":"
                   "\"n\",\"description\":\"d\",\"schema\":{\"type\":\"object\"}}}"),
            CONFIG("\"responseMimeType\":\"application/json\",\"responseJsonSchema\":{\"type\":"
                   "\"object\"}"),
            "response_format.json_schema.description");
    request(old,
            IN(ASK ",\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{\"name\":"
                   "\"n\",\"schema\":{\"type\":\"object\",\"additionalProperties\":false}}}"),
            CONFIG("\"responseMimeType\":\"application/json\",\"responseSchema\":{\"type\":"
                   "\"OBJECT\"}"),
            "changed=response_format");
}

static void what_only_the_caller_knows_is_named(void **state)
{
    (void)state;
    request(plain,
            IN(ASK ",\"user\":\"u\",\"metadata\":{\"a\":\"b\"},\"verbosity\":\"low\","
                   "\"service_tier\":\"flex\",\"store\":true"),
            "{" HI ",\"serviceTier\":\"flex\"}", "verbosity, metadata, user, store");
}

/* ---- answers ---------------------------------------------------------------- */

#define CANDIDATE(parts, more)                                                                     \
    "{\"candidates\":[{\"content\":{\"role\":\"model\",\"parts\":[" parts "]}" more                \
    "}],\"usageMetadata\":{\"promptTokenCount\":100,\"toolUsePromptTokenCount\":5,"                \
    "\"cachedContentTokenCount\":40,\"candidatesTokenCount\":7,\"thoughtsTokenCount\":13,"         \
    "\"totalTokenCount\":125},\"modelVersion\":\"g\",\"responseId\":\"i\"}"
#define CHAT_ANSWER(message, reason)                                                               \
    "{\"id\":\"chatcmpl-r1\",\"object\":\"chat.completion\",\"created\":1700000000,\"model\":"     \
    "\"g\","                                                                                       \
    "\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\"," message                       \
    "},\"logprobs\":null,\"finish_reason\":\"" reason                                              \
    "\"}],\"usage\":{\"prompt_tokens\":105,\"completion_tokens\":20,\"total_tokens\":125,"         \
    "\"prompt_tokens_details\":{\"cached_tokens\":40,\"cache_write_tokens\":0},"                   \
    "\"completion_tokens_details\":{\"reasoning_tokens\":13}}}"

static void an_answer_with_thoughts_text_and_calls(void **state)
{
    (void)state;
    translate_response(
        GEMINI, CHAT,
        CANDIDATE("{\"text\":\"Plan.\",\"thought\":true},{\"text\":\"Do\"},{\"text\":\"ne.\","
                  "\"thoughtSignature\":\"U0k=\"}",
                  ",\"finishReason\":\"STOP\",\"index\":0,\"groundingMetadata\":"
                  "{\"groundingChunks\":[{\"web\":{\"uri\":\"https://e.example\",\"title\":"
                  "\"E\"}}]}"),
        CHAT_ANSWER("\"content\":\"Done.\",\"refusal\":null,\"annotations\":[{\"type\":"
                    "\"url_citation\",\"url_citation\":{\"start_index\":0,\"end_index\":0,"
                    "\"title\":\"E\",\"url\":\"https://e.example\"}}],\"reasoning_content\":"
                    "\"Plan.\",\"reasoning_details\":[{\"type\":\"reasoning.encrypted\",\"data\":"
                    "\"U0k=\",\"format\":\"google-gemini-v1\",\"index\":0}]",
                    "stop"));
    translate_response(
        GEMINI, CHAT,
        CANDIDATE("{\"functionCall\":{\"id\":\"a\",\"name\":\"f\",\"args\":{\"x\":1}},"
                  "\"thoughtSignature\":\"Q+E\\u003d\"},{\"functionCall\":{\"name\":\"f\"}}",
                  ",\"finishReason\":\"STOP\""),
        CHAT_ANSWER("\"content\":null,\"refusal\":null,\"annotations\":[],\"tool_calls\":[{\"id\":"
                    "\"a__thought__Q-E\",\"type\":\"function\",\"function\":{\"name\":\"f\","
                    "\"arguments\":\"{\\\"x\\\":1}\"}},{\"id\":\"call_r1_1\",\"type\":"
                    "\"function\",\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}}]",
                    "tool_calls"));
}

static void every_reason_to_finish_has_its_word(void **state)
{
    static const struct {
        const char *reason;
        const char *chat;
        const char *messages;
    } cases[] = {
        {"STOP", "stop", "end_turn"},
        {"MAX_TOKENS", "length", "max_tokens"},
        {"SAFETY", "content_filter", "refusal"},
        {"RECITATION", "content_filter", "refusal"},
        {"BLOCKLIST", "content_filter", "refusal"},
        {"PROHIBITED_CONTENT", "content_filter", "refusal"},
        {"SPII", "content_filter", "refusal"},
        {"IMAGE_SAFETY", "content_filter", "refusal"},
        {"MALFORMED_FUNCTION_CALL", "stop", "end_turn"},
        {"OTHER", "stop", "end_turn"},
        {"LATER_WORD", "stop", "end_turn"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char body[256], want[64];
        translate_t run;
        relay_span_t out;
        snprintf(body, sizeof(body), "{\"candidates\":[{\"finishReason\":\"%s\"}]}",
                 cases[i].reason);
        translate_open(&run, CHAT, GEMINI);
        assert_int_equal(relay_translate_response(&run.translation, relay_wire_cstring(body), &out),
                         RELAY_ERR_NONE);
        snprintf(want, sizeof(want), "\"finish_reason\":\"%s\"", cases[i].chat);
        translate_has(out, want);
        translate_close(&run);
        translate_open(&run, MESSAGES, GEMINI);
        assert_int_equal(relay_translate_response(&run.translation, relay_wire_cstring(body), &out),
                         RELAY_ERR_NONE);
        snprintf(want, sizeof(want), "\"stop_reason\":\"%s\"", cases[i].messages);
        translate_has(out, want);
        translate_close(&run);
    }
}

static void a_blocked_prompt_is_a_refusal(void **state)
{
    translate_t run;
    relay_span_t out;

    (void)state;
    translate_open(&run, CHAT, GEMINI);
    assert_int_equal(
        relay_translate_response(&run.translation,
                                 RELAY_SPAN("{\"promptFeedback\":{\"blockReason\":\"SAFETY\","
                                            "\"blockReasonMessage\":\"no\"}}"),
                                 &out),
        RELAY_ERR_NONE);
    translate_has(out, "\"content\":\"\",\"refusal\":\"no\"");
    translate_has(out, "\"finish_reason\":\"content_filter\"");
    translate_close(&run);
}

static void what_is_no_answer_is_refused(void **state)
{
    static const struct {
        const char *body;
        relay_error_code_t code;
        const char *message;
    } cases[] = {
        {"{\"usageMetadata\":{}}", RELAY_ERR_UPSTREAM_INVALID,
         "The provider's answer has no candidates."},
        {"{\"error\":{\"code\":429,\"message\":\"slow\",\"status\":\"RESOURCE_EXHAUSTED\"}}",
         RELAY_ERR_UPSTREAM_ERROR, "slow"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        translate_t run;
        relay_span_t out;
        translate_open(&run, CHAT, GEMINI);
        assert_int_equal(
            relay_translate_response(&run.translation, relay_wire_cstring(cases[i].body), &out),
            cases[i].code);
        translate_same(run.translation.error.message, cases[i].message);
        translate_close(&run);
    }
}

static void an_empty_arena_is_an_error_everywhere(void **state)
{
    static const char body[] =
        IN("{\"role\":\"system\",\"content\":\"s\"}," CALL("a\\n", "") "," RESULT(
            "a\\n", "{\\\"r\\\":1}") "," ASK
                                     ",\"tools\":[" TOOL(
                                         "f.g",
                                         "") "],\"response_format\":"
                                             "{\"type\":\"json_schema\",\"json_schema\":{\"name\":"
                                             "\"n\",\"schema\":{\"type\":\"object\"}}}");
    bool good = false;

    (void)state;
    for (size_t left = 0; !good; left++) {
        translate_t run;
        relay_span_t out;
        translate_open(&run, CHAT, GEMINI);
        run.translation.target.flags = RELAY_TARGET_OLD_SCHEMA;
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
        cmocka_unit_test(system_messages_become_the_instruction),
        cmocka_unit_test(r6_neighbours_merge_and_empty_text_is_left_out),
        cmocka_unit_test(results_follow_their_calls_with_the_name_of_the_call),
        cmocka_unit_test(a_failed_result_and_its_media),
        cmocka_unit_test(media_become_data_or_files),
        cmocka_unit_test(signatures_come_back_where_they_were),
        cmocka_unit_test(a_model_that_insists_on_signatures_gets_a_word_for_them),
        cmocka_unit_test(the_grid_of_tool_choices),
        cmocka_unit_test(a_free_choice_of_some_leaves_the_others_out),
        cmocka_unit_test(r11_strict_tools_are_a_mode),
        cmocka_unit_test(tools_that_only_others_run_are_refused),
        cmocka_unit_test(a_custom_tool_is_wrapped_and_unwrapped),
        cmocka_unit_test(sampling_limits_and_stops),
        cmocka_unit_test(thinking_goes_by_level_or_budget),
        cmocka_unit_test(formats_of_the_answer),
        cmocka_unit_test(what_only_the_caller_knows_is_named),
        cmocka_unit_test(an_answer_with_thoughts_text_and_calls),
        cmocka_unit_test(every_reason_to_finish_has_its_word),
        cmocka_unit_test(a_blocked_prompt_is_a_refusal),
        cmocka_unit_test(what_is_no_answer_is_refused),
        cmocka_unit_test(an_empty_arena_is_an_error_everywhere),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
