/* The codec of Converse: requests into it, answers and streams out of it. */

#include "translate_check.h"

#define CONVERSE "bedrock-converse"
#define CLAUDE   RELAY_SPAN("us.anthropic.claude-sonnet-4-v1:0")

/* ---- messages ------------------------------------------------------------ */

static void r13_turns_markers_and_thinking(void **state)
{
    (void)state;
    translate_request(
        MESSAGES, CONVERSE, (relay_target_t){0},
        "{\"model\":\"m\",\"max_tokens\":9,\"stream\":true,"
        "\"system\":[{\"type\":\"text\",\"text\":\"S\",\"cache_control\":{\"type\":\"ephemeral\"}}]"
        ","
        "\"messages\":["
        "{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"u\",\"cache_control\":{"
        "\"type\":\"ephemeral\",\"ttl\":\"1h\"}},{\"type\":\"text\",\"text\":\" \"}]},"
        "{\"role\":\"assistant\",\"content\":[{\"type\":\"thinking\",\"thinking\":\"h\","
        "\"signature\":\"c2ln\"},{\"type\":\"redacted_thinking\",\"data\":\"ZGF0YQ==\"},"
        "{\"type\":\"tool_use\",\"id\":\"t 1\",\"name\":\"f\",\"input\":{\"a\":1}}]},"
        "{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"and\"},"
        "{\"type\":\"tool_result\",\"tool_use_id\":\"t 1\",\"is_error\":true,\"content\":[{"
        "\"type\":\"text\",\"text\":\"bad\",\"cache_control\":{\"type\":\"ephemeral\"}}]}]}],"
        "\"tools\":[{\"name\":\"f\",\"description\":\"d\",\"input_schema\":{\"type\":\"object\"},"
        "\"cache_control\":{\"type\":\"ephemeral\"}}],"
        "\"tool_choice\":{\"type\":\"tool\",\"name\":\"f\"},"
        "\"temperature\":0.5,\"top_p\":0.90,\"top_k\":5,\"stop_sequences\":[\"X\"]}",
        "{\"system\":[{\"text\":\"S\"},{\"cachePoint\":{\"type\":\"default\"}}],"
        "\"messages\":[{\"role\":\"user\",\"content\":[{\"text\":\"u\"},"
        "{\"cachePoint\":{\"type\":\"default\",\"ttl\":\"1h\"}}]},"
        "{\"role\":\"assistant\",\"content\":["
        "{\"reasoningContent\":{\"reasoningText\":{\"text\":\"h\",\"signature\":\"c2ln\"}}},"
        "{\"reasoningContent\":{\"redactedContent\":\"ZGF0YQ==\"}},"
        "{\"toolUse\":{\"toolUseId\":\"t_1_6f5b5b98\",\"name\":\"f\",\"input\":{\"a\":1}}}]},"
        "{\"role\":\"user\",\"content\":[{\"toolResult\":{\"toolUseId\":\"t_1_6f5b5b98\","
        "\"content\":[{\"text\":\"bad\"}],\"status\":\"error\"}},"
        "{\"cachePoint\":{\"type\":\"default\"}},{\"text\":\"and\"}]}],"
        "\"inferenceConfig\":{\"maxTokens\":9,\"temperature\":0.5,\"topP\":0.90,"
        "\"stopSequences\":[\"X\"]},"
        "\"toolConfig\":{\"tools\":[{\"toolSpec\":{\"name\":\"f\",\"description\":\"d\","
        "\"inputSchema\":{\"json\":{\"type\":\"object\"}}}},{\"cachePoint\":{\"type\":\"default\"}}"
        "],\"toolChoice\":{\"tool\":{\"name\":\"f\"}}},"
        "\"additionalModelRequestFields\":{\"top_k\":5},"
        "\"additionalModelResponseFieldPaths\":[\"/stop_sequence\"]}",
        "");
}

static void markers_can_be_refused(void **state)
{
    (void)state;
    translate_request(
        MESSAGES, CONVERSE, (relay_target_t){.refused = RELAY_REFUSED(RELAY_FIELD_MARK)},
        "{\"model\":\"m\",\"max_tokens\":9,\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":"
        "\"text\",\"text\":\"u\",\"cache_control\":{\"type\":\"ephemeral\"}}]}]}",
        "{\"messages\":[{\"role\":\"user\",\"content\":[{\"text\":\"u\"}]}],"
        "\"inferenceConfig\":{\"maxTokens\":9}}",
        "messages.content.cache_control");
}

/* The default limit is the model's own, so none is written. */
static void a_chat_request_arrives(void **state)
{
    (void)state;
    translate_request(
        CHAT, CONVERSE, (relay_target_t){0},
        "{\"model\":\"m\",\"messages\":[{\"role\":\"system\",\"content\":\"S\"},"
        "{\"role\":\"user\",\"content\":\"a\"},{\"role\":\"user\",\"content\":\"b\"},"
        "{\"role\":\"system\",\"content\":\"late\"},"
        "{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[{\"id\":\"c1\",\"type\":"
        "\"function\",\"function\":{\"name\":\"f\",\"arguments\":\"\"}}]},"
        "{\"role\":\"tool\",\"tool_call_id\":\"c1\",\"content\":\"r\"}],"
        "\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\",\"strict\":true,"
        "\"parameters\":{\"type\":\"object\"}}}],\"tool_choice\":\"required\","
        "\"parallel_tool_calls\":false,\"seed\":1,\"user\":\"x\",\"service_tier\":\"flex\"}",
        "{\"system\":[{\"text\":\"S\"}],\"messages\":["
        "{\"role\":\"user\",\"content\":[{\"text\":\"a\"},{\"text\":\"b\"},"
        "{\"text\":\"<system>\\nlate\\n</system>\"}]},"
        "{\"role\":\"assistant\",\"content\":[{\"toolUse\":{\"toolUseId\":\"c1\",\"name\":\"f\","
        "\"input\":{}}}]},"
        "{\"role\":\"user\",\"content\":[{\"toolResult\":{\"toolUseId\":\"c1\",\"content\":["
        "{\"text\":\"r\"}]}}]}],"
        "\"toolConfig\":{\"tools\":[{\"toolSpec\":{\"name\":\"f\",\"inputSchema\":{\"json\":"
        "{\"type\":\"object\"}},\"strict\":true}}],\"toolChoice\":{\"any\":{}}},"
        "\"serviceTier\":{\"type\":\"flex\"}}",
        "parallel_tool_calls, seed, user; changed=messages");
}

/* ---- media --------------------------------------------------------------- */

#define PDF "JVBERi0xLjEK"

static void media_are_named_by_format(void **state)
{
    (void)state;
    translate_request(
        MESSAGES, CONVERSE, (relay_target_t){0},
        "{\"model\":\"m\",\"max_tokens\":9,\"messages\":[{\"role\":\"user\",\"content\":["
        "{\"type\":\"image\",\"source\":{\"type\":\"base64\",\"media_type\":\"image/jpeg\","
        "\"data\":\"/9j/4A==\"}},"
        "{\"type\":\"document\",\"title\":\"Q3 report_(final).pdf\",\"context\":\"c\",\"source\":{"
        "\"type\":\"base64\",\"media_type\":\"application/pdf\",\"data\":\"" PDF "\"}},"
        "{\"type\":\"document\",\"source\":{\"type\":\"text\",\"media_type\":\"text/plain\","
        "\"data\":\"line\\n\"}},"
        "{\"type\":\"document\",\"title\":\"\\u00e9\",\"source\":{\"type\":\"content\",\"content\":"
        "["
        "{\"type\":\"text\",\"text\":\"x\"},{\"type\":\"text\",\"text\":\"y\"}]}}]}]}",
        "{\"messages\":[{\"role\":\"user\",\"content\":["
        "{\"image\":{\"format\":\"jpeg\",\"source\":{\"bytes\":\"/9j/4A==\"}}},"
        "{\"document\":{\"format\":\"pdf\",\"name\":\"Q3-report-(final)-1\",\"source\":{\"bytes\":"
        "\"" PDF "\"},\"context\":\"c\"}},"
        "{\"document\":{\"format\":\"txt\",\"name\":\"document-2\",\"source\":{\"text\":"
        "\"line\\n\"}}},"
        "{\"document\":{\"format\":\"txt\",\"name\":\"document-3\",\"source\":{\"content\":["
        "{\"text\":\"x\"},{\"text\":\"y\"}]}}}]}],"
        "\"inferenceConfig\":{\"maxTokens\":9}}",
        "changed=messages.content.title");
}

static void media_elsewhere_are_refused(void **state)
{
    static const struct {
        const char *block, *why;
    } cases[] = {
        {"{\"type\":\"image\",\"source\":{\"type\":\"url\",\"url\":\"https://x/y.png\"}}",
         "in the request itself"},
        {"{\"type\":\"image\",\"source\":{\"type\":\"base64\",\"media_type\":\"image/tiff\","
         "\"data\":\"AAAA\"}}",
         "PNG, JPEG, GIF or WebP"},
        {"{\"type\":\"document\",\"source\":{\"type\":\"url\",\"url\":\"https://x/y.pdf\"}}",
         "in the request itself"},
        {"{\"type\":\"document\",\"source\":{\"type\":\"base64\",\"media_type\":\"audio/mp3\","
         "\"data\":\"AAAA\"}}",
         "must be PDF"},
    };
    char body[512];

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        snprintf(body, sizeof(body),
                 "{\"model\":\"m\",\"max_tokens\":9,\"messages\":[{\"role\":\"user\","
                 "\"content\":[{\"type\":\"text\",\"text\":\"u\"},%s]}]}",
                 cases[i].block);
        translate_refused(MESSAGES, CONVERSE, body, RELAY_ERR_INVALID_FIELD, "messages.0.content.1",
                          cases[i].why);
    }
}

/* ---- thinking, effort, formats ------------------------------------------- */

#define ONE "\"messages\":[{\"role\":\"user\",\"content\":[{\"text\":\"u\"}]}]"
#define ASK "\"messages\":[{\"role\":\"user\",\"content\":\"u\"}]"

static void a_budget_is_an_additional_field(void **state)
{
    (void)state;
    translate_request(MESSAGES, CONVERSE, (relay_target_t){0},
                      "{\"model\":\"m\",\"max_tokens\":5000,\"temperature\":1," ASK
                      ",\"thinking\":{\"type\":\"enabled\",\"budget_tokens\":2048}}",
                      "{" ONE ",\"inferenceConfig\":{\"maxTokens\":5000},"
                      "\"additionalModelRequestFields\":{\"thinking\":{\"type\":\"enabled\","
                      "\"budget_tokens\":2048}}}",
                      "temperature");
    /* an effort stands for one, and the limit leaves room behind it */
    translate_request(CHAT, CONVERSE, (relay_target_t){.flags = RELAY_TARGET_BUDGET},
                      "{\"model\":\"m\"," ASK ",\"reasoning_effort\":\"low\"}",
                      "{" ONE ",\"inferenceConfig\":{\"maxTokens\":6144},"
                      "\"additionalModelRequestFields\":{\"thinking\":{\"type\":\"enabled\","
                      "\"budget_tokens\":2048}}}",
                      "changed=reasoning_effort");
    /* no room for it */
    translate_request(MESSAGES, CONVERSE, (relay_target_t){0},
                      "{\"model\":\"m\",\"max_tokens\":1000," ASK
                      ",\"thinking\":{\"type\":\"enabled\",\"budget_tokens\":2048}}",
                      "{" ONE ",\"inferenceConfig\":{\"maxTokens\":1000}}", "thinking");
}

static void other_ways_to_think(void **state)
{
    (void)state;
    translate_request(
        MESSAGES, CONVERSE, (relay_target_t){.flags = RELAY_TARGET_ADAPTIVE},
        "{\"model\":\"m\",\"max_tokens\":9," ASK ",\"thinking\":{\"type\":\"adaptive\"},"
        "\"output_config\":{\"effort\":\"high\"}}",
        "{" ONE ",\"inferenceConfig\":{\"maxTokens\":9},\"additionalModelRequestFields\":{"
        "\"thinking\":{\"type\":\"adaptive\",\"display\":\"summarized\"}},"
        "\"outputConfig\":{\"effort\":\"high\"}}",
        "");
    translate_request(CHAT, CONVERSE, (relay_target_t){.flags = RELAY_TARGET_ADAPTIVE},
                      "{\"model\":\"m\"," ASK ",\"reasoning_effort\":\"none\"}",
                      "{" ONE ",\"additionalModelRequestFields\":{\"thinking\":{\"type\":"
                      "\"disabled\"}}}",
                      "");
    translate_request(CHAT, CONVERSE, (relay_target_t){.flags = RELAY_TARGET_NO_EFFORT},
                      "{\"model\":\"m\"," ASK ",\"reasoning_effort\":\"low\"}", "{" ONE "}",
                      "reasoning_effort");
    translate_request(CHAT, CONVERSE, (relay_target_t){0},
                      "{\"model\":\"m\"," ASK ",\"reasoning_effort\":\"minimal\"}",
                      "{" ONE ",\"outputConfig\":{\"effort\":\"low\"}}",
                      "changed=reasoning_effort");
    translate_request(MESSAGES, CONVERSE, (relay_target_t){.flags = RELAY_TARGET_BUDGET},
                      "{\"model\":\"m\",\"max_tokens\":9," ASK
                      ",\"thinking\":{\"type\":\"adaptive\"}}",
                      "{" ONE ",\"inferenceConfig\":{\"maxTokens\":9}}", "thinking");
    translate_request(MESSAGES, CONVERSE, (relay_target_t){.flags = RELAY_TARGET_ADAPTIVE},
                      "{\"model\":\"m\",\"max_tokens\":9000," ASK
                      ",\"thinking\":{\"type\":\"enabled\",\"budget_tokens\":2048}}",
                      "{" ONE ",\"inferenceConfig\":{\"maxTokens\":9000},"
                      "\"additionalModelRequestFields\":{\"thinking\":{\"type\":\"adaptive\","
                      "\"display\":\"summarized\"}}}",
                      "changed=thinking");
}

static void a_schema_goes_as_a_string(void **state)
{
    (void)state;
    translate_request(
        CHAT, CONVERSE, (relay_target_t){0},
        "{\"model\":\"m\"," ASK ",\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{"
        "\"name\":\"n\",\"description\":\"d\",\"schema\":{\"type\": \"object\",\"title\":\"a\\\"\"}"
        "}}}",
        "{" ONE ",\"outputConfig\":{\"textFormat\":{\"type\":\"json_schema\",\"structure\":{"
        "\"jsonSchema\":{\"schema\":\"{\\\"type\\\":\\\"object\\\",\\\"title\\\":\\\"a\\\\\\\"\\\""
        "}\",\"name\":\"n\",\"description\":\"d\"}}}}}",
        "");
    translate_request(CHAT, CONVERSE, (relay_target_t){0},
                      "{\"model\":\"m\"," ASK ",\"response_format\":{\"type\":\"json_object\"}}",
                      "{\"system\":[{\"text\":\"Answer with one JSON object and nothing else: no "
                      "code fence, no text around it.\"}]," ONE "}",
                      "changed=response_format");
}

/* ---- tools --------------------------------------------------------------- */

#define TOOL                                                                                       \
    "\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\",\"parameters\":{\"type\":"     \
    "\"object\"}}}]"
#define CALLED                                                                                     \
    "\"messages\":[{\"role\":\"assistant\",\"tool_calls\":[{\"id\":\"c\",\"type\":\"function\","   \
    "\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}}]},{\"role\":\"tool\",\"tool_call_id\":"   \
    "\"c\",\"content\":\"r\"}]"
#define CALLED_OUT                                                                                 \
    "\"messages\":[{\"role\":\"assistant\",\"content\":[{\"toolUse\":{\"toolUseId\":\"c\","        \
    "\"name\":\"f\",\"input\":{}}}]},{\"role\":\"user\",\"content\":[{\"toolResult\":{"            \
    "\"toolUseId\":\"c\",\"content\":[{\"text\":\"r\"}]}}]}]"
#define TOOL_OUT                                                                                   \
    "\"toolConfig\":{\"tools\":[{\"toolSpec\":{\"name\":\"f\",\"inputSchema\":{\"json\":{"         \
    "\"type\":\"object\"}}}}]"

/* There is no word for "none". */
static void no_tool_may_be_called(void **state)
{
    (void)state;
    translate_request(CHAT, CONVERSE, (relay_target_t){0},
                      "{\"model\":\"m\"," ASK "," TOOL ",\"tool_choice\":\"none\"}", "{" ONE "}",
                      "changed=tool_choice");
    translate_request(CHAT, CONVERSE, (relay_target_t){0},
                      "{\"model\":\"m\"," CALLED "," TOOL ",\"tool_choice\":\"none\"}",
                      "{" CALLED_OUT "," TOOL_OUT "}}", "tool_choice");
}

/* The provider wants tools where the history has calls. */
static void calls_without_tools_get_one(void **state)
{
    (void)state;
    translate_request(CHAT, CONVERSE, (relay_target_t){0}, "{\"model\":\"m\"," CALLED "}",
                      "{" CALLED_OUT ",\"toolConfig\":{\"tools\":[{\"toolSpec\":{\"name\":\"f\","
                      "\"description\":\"Not available any more.\",\"inputSchema\":{\"json\":{"
                      "\"type\":\"object\"}}}}]}}",
                      "changed=messages.tool_calls");
}

static void what_changes_the_answer_is_refused(void **state)
{
    static const struct {
        const char *field, *param;
    } cases[] = {
        {"\"n\":2", "n"},
        {"\"logprobs\":true", "logprobs"},
        {"\"frequency_penalty\":1", "frequency_penalty"},
        {"\"presence_penalty\":1", "presence_penalty"},
        {"\"logit_bias\":{\"1\":1}", "logit_bias"},
        {"\"temperature\":1.5", "temperature"},
    };
    char body[512];

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        snprintf(body, sizeof(body), "{\"model\":\"m\"," ASK ",%s}", cases[i].field);
        translate_refused(CHAT, CONVERSE, body, RELAY_ERR_INVALID_FIELD, cases[i].param,
                          "provider of this model");
    }
    translate_refused(MESSAGES, CONVERSE,
                      "{\"model\":\"m\",\"max_tokens\":9," ASK
                      ",\"tools\":[{\"type\":\"web_search_20250305\",\"name\":\"web_search\"}]}",
                      RELAY_ERR_INVALID_FIELD, "tools.0.type", "not supported");
    translate_refused(CHAT, CONVERSE,
                      "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\" \"}]}",
                      RELAY_ERR_INVALID_FIELD, "messages", "at least one message");
}

/* ---- answers ------------------------------------------------------------- */

static void an_answer_arrives(void **state)
{
    (void)state;
    translate_response(
        CONVERSE, MESSAGES,
        "{\"output\":{\"message\":{\"role\":\"assistant\",\"content\":["
        "{\"reasoningContent\":{\"reasoningText\":{\"text\":\"h\",\"signature\":\"c2ln\"}}},"
        "{\"reasoningContent\":{\"redactedContent\":\"ZA==\"}},{\"text\":\"\"},"
        "{\"citationsContent\":{\"content\":[{\"text\":\"cited\"}],\"citations\":[{\"title\":\"T\","
        "\"sourceContent\":[{\"text\":\"q\"}],\"location\":{\"web\":{\"url\":\"https://u\"}}}]}},"
        "{\"toolUse\":{\"toolUseId\":\"x\",\"name\":\"srv\",\"type\":\"server_tool_use\","
        "\"input\":{}}},"
        "{\"toolUse\":{\"toolUseId\":\"t1\",\"name\":\"f\",\"input\":{\"a\":1}}}]}},"
        "\"stopReason\":\"tool_use\",\"usage\":{\"inputTokens\":2,\"outputTokens\":3,"
        "\"totalTokens\":12,\"cacheReadInputTokens\":4,\"cacheWriteInputTokens\":3}}",
        "{\"id\":\"msg_r1\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"\",\"content\":"
        "["
        "{\"type\":\"thinking\",\"thinking\":\"h\",\"signature\":\"c2ln\"},"
        "{\"type\":\"redacted_thinking\",\"data\":\"ZA==\"},"
        "{\"type\":\"text\",\"text\":\"cited\",\"citations\":[{\"type\":"
        "\"web_search_result_location\",\"url\":\"https://u\",\"title\":\"T\",\"encrypted_index\":"
        "\"\",\"cited_text\":\"q\"}]},"
        "{\"type\":\"tool_use\",\"id\":\"t1\",\"name\":\"f\",\"input\":{\"a\":1}}],"
        "\"stop_reason\":\"tool_use\",\"stop_sequence\":null,\"usage\":{\"input_tokens\":2,"
        "\"cache_creation_input_tokens\":3,\"cache_read_input_tokens\":4,\"output_tokens\":3,"
        "\"output_tokens_details\":{\"thinking_tokens\":0}}}");
}

static void answers_end_for_a_reason(void **state)
{
    static const struct {
        const char *word, *stop;
    } cases[] = {
        {"end_turn", "end_turn"},
        {"max_tokens", "max_tokens"},
        {"stop_sequence", "stop_sequence"},
        {"guardrail_intervened", "refusal"},
        {"content_filtered", "refusal"},
        {"malformed_tool_use", "end_turn"},
        {"model_context_window_exceeded", "model_context_window_exceeded"},
    };
    char body[512], want[64];

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        relay_span_t out = {NULL, 0};
        translate_t run;
        snprintf(body, sizeof(body),
                 "{\"output\":{\"message\":{\"content\":[{\"text\":\"a\"}]}},\"stopReason\":\"%s\","
                 "\"additionalModelResponseFields\":{\"stop_sequence\":\"END\"}}",
                 cases[i].word);
        snprintf(want, sizeof(want), "\"stop_reason\":\"%s\",\"stop_sequence\":\"END\"",
                 cases[i].stop);
        translate_open(&run, MESSAGES, CONVERSE);
        assert_int_equal(relay_translate_response(&run.translation, relay_wire_cstring(body), &out),
                         RELAY_ERR_NONE);
        translate_has(out, want);
        translate_close(&run);
    }
}

static void a_bad_answer_is_the_providers(void **state)
{
    static const struct {
        const char *body;
        relay_error_code_t code;
    } cases[] = {
        {"{\"message\":\"slow\",\"__type\":\"ThrottlingException\"}", RELAY_ERR_UPSTREAM_ERROR},
        {"{\"output\":{\"message\":{}}}", RELAY_ERR_UPSTREAM_INVALID},
        {"{\"output\":1}", RELAY_ERR_UPSTREAM_INVALID},
        {"[]", RELAY_ERR_UPSTREAM_INVALID},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        relay_span_t out;
        translate_t run;
        translate_open(&run, CHAT, CONVERSE);
        assert_int_equal(
            relay_translate_response(&run.translation, relay_wire_cstring(cases[i].body), &out),
            cases[i].code);
        translate_close(&run);
    }
}

/* ---- streams ------------------------------------------------------------- */

static char *load(const char *name)
{
    static char text[1 << 16];
    char path[256];
    FILE *file;
    size_t len;

    snprintf(path, sizeof(path), "t/unit/fixtures/%s", name);
    file = fopen(path, "rb");
    assert_non_null(file);
    len = fread(text, 1, sizeof(text) - 1, file);
    fclose(file);
    text[len] = '\0';
    return text;
}

static void a_stream_arrives_as_messages(void **state)
{
    translate_stream_t out;
    stream_check_t check;
    translate_t run;
    char text[256];

    (void)state;
    translate_open(&run, MESSAGES, CONVERSE);
    run.translation.target.model = CLAUDE;
    out = translate_stream(&run.translation, load("converse_thinking_tools.sse"), &check);
    assert_true(check.ended);
    assert_int_equal(check.blocks, 5);
    assert_int_equal(check.calls, 2);
    assert_string_equal(check.stop, "tool_use");
    assert_int_equal(out.usage.input_tokens, 1712);
    translate_gather(&out, "\"thinking_delta\",\"thinking\":\"", text, sizeof(text));
    assert_string_equal(text, "Two calls.");
    translate_gather(&out, "\"signature_delta\",\"signature\":\"", text, sizeof(text));
    assert_string_equal(text, "c2lnbmVk");
    translate_gather(&out, "\"redacted_thinking\",\"data\":\"", text, sizeof(text));
    assert_string_equal(text, "aGlkZGVu");
    translate_gather(&out, "\"partial_json\":\"", text, sizeof(text));
    assert_string_equal(text, "{\"fjord\":\"Sogn\"}");
    translate_has(relay_buf_span(&out.output.buf), "\"cache_read_input_tokens\":1200");
    free(out.output.buf.base);
    translate_close(&run);
}

static void a_stream_arrives_as_chat(void **state)
{
    translate_stream_t out;
    stream_check_t check;
    translate_t run;
    char text[256];

    (void)state;
    translate_open(&run, CHAT, CONVERSE);
    run.translation.usage_wanted = true;
    out = translate_stream(&run.translation, load("converse_text.sse"), &check);
    assert_true(check.ended && check.usage);
    assert_string_equal(check.stop, "stop");
    translate_gather(&out, "\"delta\":{\"content\":\"", text, sizeof(text));
    assert_string_equal(text, "Under fjellet \xf0\x9f\x8f\x94");
    free(out.output.buf.base);
    out = translate_stream(&run.translation, load("converse_thinking_tools.sse"), &check);
    assert_int_equal(check.calls, 2);
    assert_string_equal(check.stop, "tool_calls");
    free(out.output.buf.base);
    translate_close(&run);
}

static void an_exception_ends_a_stream(void **state)
{
    translate_stream_t out;
    stream_check_t check;
    translate_t run;

    (void)state;
    translate_open(&run, CHAT, CONVERSE);
    out = translate_stream(&run.translation, load("converse_exception.sse"), &check);
    assert_true(check.errored && out.failed);
    assert_int_equal(out.status, 429);
    translate_has(relay_buf_span(&out.output.buf), "Too many \\\"tokens\\\", please wait.");
    free(out.output.buf.base);
    translate_close(&run);
}

#define EVENT(name, data) "event: " name "\ndata: " data "\n\n"

/* Blocks that mix, kinds that change under one index, ends that are missing. */
static void odd_streams_stay_streams(void **state)
{
    static const struct {
        const char *text;
        bool ended;
        unsigned blocks;
    } cases[] = {
        /* no messageStart, no contentBlockStop, no metadata */
        {EVENT("contentBlockDelta", "{\"contentBlockIndex\":0,\"delta\":{\"text\":\"a\"}}")
             EVENT("messageStop", "{\"stopReason\":\"end_turn\"}"),
         true, 1},
        /* reasoning, then text, under one index */
        {EVENT("messageStart", "{}")
             EVENT("contentBlockDelta",
                   "{\"contentBlockIndex\":0,\"delta\":{\"reasoningContent\":{\"text\":\"h\"}}}")
                 EVENT("contentBlockDelta", "{\"contentBlockIndex\":0,\"delta\":{\"text\":\"a\"}}")
                     EVENT("messageStop", "{}") EVENT("metadata", "{}"),
         true, 2},
        /* two calls whose fragments mix; a fragment of none */
        {EVENT("contentBlockStart", "{\"contentBlockIndex\":0,\"start\":{\"toolUse\":{\"toolUseId\""
                                    ":\"a\",\"name\":\"f\"}}}")
             EVENT("contentBlockStart", "{\"contentBlockIndex\":1,\"start\":{\"toolUse\":{"
                                        "\"toolUseId\":\"b\",\"name\":\"g\"}}}")
                 EVENT("contentBlockDelta",
                       "{\"contentBlockIndex\":1,\"delta\":{\"toolUse\":{\"input\":\"{}\"}}}")
                     EVENT("contentBlockDelta",
                           "{\"contentBlockIndex\":0,\"delta\":{\"toolUse\":{\"input\":\"{}\"}}}")
                         EVENT("contentBlockDelta", "{\"contentBlockIndex\":7,\"delta\":{"
                                                    "\"toolUse\":{\"input\":\"{}\"}}}")
                             EVENT("messageStop", "{\"stopReason\":\"tool_use\"}"),
         true, 2},
        /* cut */
        {EVENT("messageStart", "{}"), false, 0},
        {EVENT("messageStop", "{}"), false, 0},
        {EVENT("messageStart", "{}") EVENT("error", "{}"), false, 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        translate_stream_t out;
        stream_check_t check;
        translate_t run;
        translate_open(&run, MESSAGES, CONVERSE);
        run.translation.target.model = CLAUDE;
        out = translate_stream(&run.translation, cases[i].text, &check);
        assert_int_equal(check.ended, cases[i].ended);
        assert_int_equal(check.blocks, cases[i].blocks);
        free(out.output.buf.base);
        translate_close(&run);
    }
}

/* More blocks at once than are kept: the oldest end. */
static void many_open_blocks_stay_bounded(void **state)
{
    static char text[64 * 1024];
    relay_buf_t buf = relay_buf(text, sizeof(text) - 1);
    translate_stream_t out;
    stream_check_t check;
    translate_t run;

    (void)state;
    for (unsigned i = 0; i < 2 * RELAY_TOOLS_OPEN_MAX; i++) {
        RELAY_PUT(&buf, "event: contentBlockDelta\ndata: {\"contentBlockIndex\":");
        relay_buf_put_u64(&buf, i);
        RELAY_PUT(&buf, ",\"delta\":{\"text\":\"a\"}}\n\n");
    }
    RELAY_PUT(&buf, EVENT("messageStop", "{\"stopReason\":\"end_turn\"}"));
    assert_true(relay_buf_ok(&buf));
    text[buf.len] = '\0';
    translate_open(&run, MESSAGES, CONVERSE);
    out = translate_run(&run.translation, relay_wire_cstring(text), buf.len, 1 << 20);
    assert_null(stream_check(relay_buf_span(&out.output.buf), false, &check));
    assert_true(check.ended);
    assert_int_equal(check.blocks, 2 * RELAY_TOOLS_OPEN_MAX);
    free(out.output.buf.base);
    translate_close(&run);
}

/* ---- the reverse --------------------------------------------------------- */

static void nobody_is_answered_in_it(void **state)
{
    translate_stream_t result;
    relay_span_t out;
    translate_t run;

    (void)state;
    translate_refused(CONVERSE, MESSAGES, "{\"messages\":[]}", RELAY_ERR_INVALID_FIELD, "",
                      "not accepted");
    translate_open(&run, CONVERSE, MESSAGES);
    assert_int_equal(
        relay_translate_response(&run.translation, RELAY_SPAN("{\"content\":[]}"), &out),
        RELAY_ERR_INVALID_FIELD);
    result = translate_run(
        &run.translation,
        RELAY_SPAN("event: message_start\ndata: {\"type\":\"message_start\",\"message\":{}}\n\n"),
        10, 1 << 16);
    assert_true(result.failed);
    translate_has(relay_buf_span(&result.output.buf), "event: error\ndata: {\"message\":\"");
    free(result.output.buf.base);
    translate_close(&run);
}

/* Whatever the arena refuses, the translation says so and stops. */
static void an_empty_arena_is_told(void **state)
{
    const char *request =
        "{\"model\":\"m\",\"max_tokens\":9,\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":"
        "\"document\",\"title\":\"a\\u00e9\",\"source\":{\"type\":\"text\",\"media_type\":"
        "\"text/plain\",\"data\":\"x\"}}]}],\"metadata\":{\"user_id\":\"u\"},\"tools\":[{\"name\":"
        "\"a b\",\"input_schema\":{}}]}";
    const char *answer =
        "{\"output\":{\"message\":{\"content\":[{\"text\":\"a\"},{\"citationsContent\":{"
        "\"content\":"
        "[{\"text\":\"c\"}],\"citations\":[{}]}},{\"toolUse\":{}},{\"reasoningContent\":{}},"
        "{\"image\":{}}]}}}";
    relay_error_code_t codes[2] = {RELAY_ERR_INTERNAL, RELAY_ERR_INTERNAL};

    (void)state;
    for (size_t left = 0; codes[0] != RELAY_ERR_NONE || codes[1] != RELAY_ERR_NONE; left++) {
        relay_span_t out;
        translate_t run;
        assert_true(left < 200);
        translate_open(&run, MESSAGES, CONVERSE);
        run.left = left;
        codes[0] = relay_translate_request(&run.translation, relay_wire_cstring(request), &out);
        run.left = left;
        codes[1] = relay_translate_response(&run.translation, relay_wire_cstring(answer), &out);
        for (size_t i = 0; i < 2; i++) {
            assert_true(codes[i] == RELAY_ERR_NONE || codes[i] == RELAY_ERR_INTERNAL);
        }
        translate_close(&run);
    }
}

/* ---- what a model spoilt, what nobody signed ------------------------------- */

static void broken_arguments_are_wrapped(void **state)
{
    (void)state;
    translate_request(
        CHAT, CONVERSE, (relay_target_t){0},
        "{\"model\":\"m\",\"messages\":[{\"role\":\"assistant\",\"tool_calls\":[{\"id\":\"c\","
        "\"function\":{\"name\":\"f\",\"arguments\":\"{\\\"a\"}}]},{\"role\":\"tool\","
        "\"tool_call_id\":\"c\",\"content\":\"1\"}],\"tools\":[{\"type\":\"function\","
        "\"function\":{\"name\":\"f\"}}]}",
        "{\"messages\":[{\"role\":\"assistant\",\"content\":[{\"toolUse\":{\"toolUseId\":\"c\","
        "\"name\":\"f\",\"input\":{\"raw_arguments\":\"{\\\"a\"}}}]},{\"role\":\"user\","
        "\"content\":[{\"toolResult\":{\"toolUseId\":\"c\",\"content\":[{\"text\":\"1\"}]}}]}],"
        "\"toolConfig\":{\"tools\":[{\"toolSpec\":{\"name\":\"f\",\"inputSchema\":{\"json\":{"
        "\"type\":\"object\"}}}}]}}",
        "changed=messages.tool_calls");
}

#define REASONING(delta)                                                                           \
    EVENT("contentBlockDelta",                                                                     \
          "{\"contentBlockIndex\":0,\"delta\":{\"reasoningContent\":{" delta "}}}")
#define SIGNED                                                                                     \
    EVENT("messageStart", "{\"role\":\"assistant\"}")                                              \
    REASONING("\"text\":\"why\"")                                                                  \
    REASONING("\"signature\":\"c2ln\"")                                                            \
    EVENT("contentBlockStop", "{\"contentBlockIndex\":0}")                                         \
    EVENT("messageStop", "{\"stopReason\":\"end_turn\"}") EVENT("metadata", "{}")
#define UNSIGNED                                                                                   \
    EVENT("messageStart", "{\"role\":\"assistant\"}")                                              \
    REASONING("\"text\":\"why\"")                                                                  \
    EVENT("contentBlockDelta", "{\"contentBlockIndex\":1,\"delta\":{\"text\":\"so\"}}")            \
    EVENT("messageStop", "{\"stopReason\":\"end_turn\"}") EVENT("metadata", "{}")

/* A client of Messages sends thinking back, and an empty signature is refused then. */
static void only_signed_reasoning_is_thinking(void **state)
{
    static const struct {
        const char *model;
        const char *text;
        bool unsigned_thinking;
        unsigned blocks;
        const char *thinking;
        const char *signature;
        const char *notes;
    } cases[] = {
        {"us.anthropic.claude-sonnet-4-v1:0", SIGNED, false, 1, "why", "c2ln", ""},
        {"deepseek.v3-v1:0", UNSIGNED, false, 1, "", "", "content.thinking"},
        {"deepseek.v3-v1:0", UNSIGNED, true, 2, "why", "", ""},
        /* whose model it is cannot be told: its signature comes alone */
        {"arn:aws:bedrock:us-east-1:1:application-inference-profile/a", SIGNED, false, 1, "",
         "c2ln", "content.thinking"},
        {"arn:aws:bedrock:us-east-1:1:application-inference-profile/a", UNSIGNED, false, 1, "", "",
         "content.thinking"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        translate_stream_t out;
        stream_check_t check;
        translate_t run;
        char text[256];
        translate_open(&run, MESSAGES, CONVERSE);
        run.translation.target.model = relay_wire_cstring(cases[i].model);
        run.translation.unsigned_thinking = cases[i].unsigned_thinking;
        out = translate_stream(&run.translation, cases[i].text, &check);
        assert_true(check.ended);
        assert_int_equal(check.blocks, cases[i].blocks);
        translate_gather(&out, "\"thinking_delta\",\"thinking\":\"", text, sizeof(text));
        assert_string_equal(text, cases[i].thinking);
        translate_gather(&out, "\"signature_delta\",\"signature\":\"", text, sizeof(text));
        assert_string_equal(text, cases[i].signature);
        translate_notes(&run.translation, cases[i].notes);
        free(out.output.buf.base);
        translate_close(&run);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(r13_turns_markers_and_thinking),
        cmocka_unit_test(markers_can_be_refused),
        cmocka_unit_test(a_chat_request_arrives),
        cmocka_unit_test(media_are_named_by_format),
        cmocka_unit_test(media_elsewhere_are_refused),
        cmocka_unit_test(a_budget_is_an_additional_field),
        cmocka_unit_test(other_ways_to_think),
        cmocka_unit_test(a_schema_goes_as_a_string),
        cmocka_unit_test(no_tool_may_be_called),
        cmocka_unit_test(calls_without_tools_get_one),
        cmocka_unit_test(what_changes_the_answer_is_refused),
        cmocka_unit_test(an_answer_arrives),
        cmocka_unit_test(answers_end_for_a_reason),
        cmocka_unit_test(a_bad_answer_is_the_providers),
        cmocka_unit_test(a_stream_arrives_as_messages),
        cmocka_unit_test(a_stream_arrives_as_chat),
        cmocka_unit_test(an_exception_ends_a_stream),
        cmocka_unit_test(odd_streams_stay_streams),
        cmocka_unit_test(many_open_blocks_stay_bounded),
        cmocka_unit_test(nobody_is_answered_in_it),
        cmocka_unit_test(an_empty_arena_is_told),
        cmocka_unit_test(broken_arguments_are_wrapped),
        cmocka_unit_test(only_signed_reasoning_is_thinking),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
