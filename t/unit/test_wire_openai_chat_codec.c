/* Callers of Messages at a provider of Chat Completions, and the way back. */

#include "wire_openai_chat_codec.c"

#include "translate_check.h"

static const relay_target_t plain = {0};

#define IN(rest)  "{\"model\":\"m\",\"max_tokens\":9,\"messages\":[" rest "}"
#define ASK       "{\"role\":\"user\",\"content\":\"hi\"}]"
#define OUT(list) "{\"model\":\"m\",\"messages\":[" list "]"
#define HI        "{\"role\":\"user\",\"content\":\"hi\"}"
#define LIMIT     ",\"max_completion_tokens\":9"
#define PNG       "iVBORw0KGgo="

static void request(relay_target_t target, const char *body, const char *want, const char *notes)
{
    translate_request(MESSAGES, CHAT, target, body, want, notes);
}

/* ---- requests -------------------------------------------------------------- */

static void system_blocks_are_one_message(void **state)
{
    (void)state;
    request(plain,
            "{\"model\":\"m\",\"max_tokens\":9,\"stream\":true,\"system\":[{\"type\":\"text\","
            "\"text\":\"a\",\"cache_control\":{\"type\":\"ephemeral\"}},{\"type\":\"text\","
            "\"text\":\"b\"}],\"messages\":[" HI ",{\"role\":\"system\",\"content\":\"late\"}]}",
            OUT("{\"role\":\"system\",\"content\":\"a\\n\\nb\"}," HI
                ",{\"role\":\"system\",\"content\":\"late\"}") LIMIT
            ",\"stream\":true,\"stream_options\":{\"include_usage\":true}}",
            "system.cache_control");
}

static void results_and_their_images_are_messages(void **state)
{
    (void)state;
    request(plain,
            IN("{\"role\":\"assistant\",\"content\":[{\"type\":\"thinking\",\"thinking\":\"t\","
               "\"signature\":\"s\"},{\"type\":\"text\",\"text\":\"go\"},{\"type\":\"tool_use\","
               "\"id\":\"a\",\"name\":\"f\",\"input\":{ \"x\" : \"\\\"y z\\\"\" }},{\"type\":"
               "\"tool_use\",\"id\":\"b\",\"name\":\"g\",\"input\":{}}]},{\"role\":\"user\","
               "\"content\":[{\"type\":\"tool_result\",\"tool_use_id\":\"a\",\"content\":[{"
               "\"type\":\"text\",\"text\":\"1\"},{\"type\":\"image\",\"source\":{\"type\":"
               "\"base64\",\"media_type\":\"image/png\",\"data\":\"" PNG "\"}}]},{\"type\":"
               "\"tool_result\",\"tool_use_id\":\"b\",\"is_error\":true,\"content\":\"no\"},"
               "{\"type\":\"text\",\"text\":\"and\"}]}]"),
            OUT("{\"role\":\"assistant\",\"content\":\"go\",\"tool_calls\":[{\"id\":\"a\","
                "\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":"
                "\"{\\\"x\\\":\\\"\\\\\\\"y z\\\\\\\"\\\"}\"}},{\"id\":\"b\",\"type\":"
                "\"function\",\"function\":{\"name\":\"g\",\"arguments\":\"{}\"}}]},"
                "{\"role\":\"tool\",\"tool_call_id\":\"a\",\"content\":\"1\"},"
                "{\"role\":\"tool\",\"tool_call_id\":\"b\",\"content\":\"Error: no\"},"
                "{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"Result of the tool "
                "call a:\"},{\"type\":\"image_url\",\"image_url\":{\"url\":"
                "\"data:image/png;base64," PNG "\"}}]},{\"role\":\"user\",\"content\":\"and\"}")
                LIMIT "}",
            "messages.content.thinking; changed=messages.content.content, messages.content");
}

static void r22_reasoning_goes_back_where_it_is_wanted(void **state)
{
    relay_target_t back = {.flags = RELAY_TARGET_REASONING_BACK | RELAY_TARGET_OLD_LIMIT};
    const char *body = IN("{\"role\":\"assistant\",\"content\":[{\"type\":\"thinking\","
                          "\"thinking\":\"t\",\"signature\":\"\"},{\"type\":\"text\",\"text\":"
                          "\"a\"}]}," ASK);

    (void)state;
    request(
        back, body,
        OUT("{\"role\":\"assistant\",\"content\":\"a\",\"reasoning_content\":\"t\"}," HI) ",\"max_"
                                                                                          "tokens\""
                                                                                          ":9}",
        "");
    request(plain, body, OUT("{\"role\":\"assistant\",\"content\":\"a\"}," HI) LIMIT "}",
            "messages.content.thinking");
}

static void what_the_provider_did_itself_is_left_out(void **state)
{
    (void)state;
    request(plain,
            IN("{\"role\":\"assistant\",\"content\":[{\"type\":\"server_tool_use\",\"id\":\"s\","
               "\"name\":\"web_search\",\"input\":{}},{\"type\":\"web_search_tool_result\","
               "\"tool_use_id\":\"s\",\"content\":[]}]},{\"role\":\"user\",\"content\":[{\"type\":"
               "\"search_result\",\"source\":\"src\",\"title\":\"T\",\"content\":[{\"type\":"
               "\"text\",\"text\":\"found\"}]}]}]"),
            OUT("{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"T\\nsrc\"},"
                "{\"type\":\"text\",\"text\":\"found\"}]}") LIMIT "}",
            "messages.content; changed=messages.content");
    translate_refused(MESSAGES, CHAT,
                      IN("{\"role\":\"user\",\"content\":[{\"type\":\"container_upload\","
                         "\"file_id\":\"f\"}]}]"),
                      RELAY_ERR_INVALID_FIELD, "messages.0.content.0",
                      "Input tag 'container_upload'");
}

static void tools_choices_and_settings(void **state)
{
    (void)state;
    request(plain,
            IN(ASK ",\"tools\":[{\"name\":\"f\",\"description\":\"d\",\"input_schema\":{\"type\":"
                   "\"object\"},\"cache_control\":{\"type\":\"ephemeral\"},\"defer_loading\":true,"
                   "\"eager_input_streaming\":true}],\"tool_choice\":{\"type\":\"any\","
                   "\"disable_parallel_tool_use\":true},\"temperature\":0.70,\"stop_sequences\":"
                   "[\"a\",\"b\"],\"output_config\":{\"effort\":\"max\",\"task_budget\":{\"a\":1},"
                   "\"format\":{\"type\":\"json_schema\",\"schema\":{\"type\":\"object\"}}},"
                   "\"metadata\":{\"user_id\":\"u\"},\"context_management\":{\"edits\":[1]}"),
            OUT(HI) ",\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\","
                    "\"description\":\"d\",\"parameters\":{\"type\":\"object\"}}}],"
                    "\"parallel_tool_calls\":false,\"tool_choice\":\"required\","
                    "\"temperature\":0.70" LIMIT ",\"stop\":[\"a\",\"b\"],\"reasoning_effort\":"
                    "\"max\",\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{"
                    "\"name\":\"answer\",\"schema\":{\"type\":\"object\"},\"strict\":true}},"
                    "\"user\":\"u\"}",
            "tools.cache_control, tools.defer_loading, tools.eager_input_streaming, "
            "context_management, output_config.task_budget");
    request(plain,
            IN(ASK ",\"thinking\":{\"type\":\"enabled\",\"budget_tokens\":5000},\"tools\":[],"
                   "\"tool_choice\":{\"type\":\"auto\"}"),
            OUT(HI) LIMIT ",\"reasoning_effort\":\"medium\"}", "changed=thinking");
    translate_refused(MESSAGES, CHAT, IN(ASK ",\"stop_sequences\":[\"1\",\"2\",\"3\",\"4\",\"5\"]"),
                      RELAY_ERR_INVALID_FIELD, "stop_sequences", "at most 4");
    translate_refused(MESSAGES, CHAT,
                      IN(ASK ",\"tools\":[{\"type\":\"bash_20250124\",\"name\":\"bash\"}]"),
                      RELAY_ERR_INVALID_FIELD, "tools.0.type", "not supported");
}

static void a_long_user_id_is_told_apart_by_its_hash(void **state)
{
    (void)state;
    request(plain,
            IN(ASK ",\"metadata\":{\"user_id\":\"0123456789012345678901234567890123456789"
                   "0123456789012345678901234567890123456789\"}"),
            OUT(HI) LIMIT ",\"user\":"
                          "\"af1909413b96cbb29927b3a67f3a8879c801a37be383e5f9b31df5fa8d10fa2b\"}",
            "changed=metadata.user_id");
}

/* ---- answers ----------------------------------------------------------------- */

static void a_whole_answer_becomes_a_message(void **state)
{
    (void)state;
    translate_response(
        CHAT, MESSAGES,
        "{\"id\":\"c7\",\"model\":\"fable\",\"choices\":[{\"index\":0,\"message\":{\"role\":"
        "\"assistant\",\"content\":\"A\",\"annotations\":[],\"reasoning_content\":\"secret\","
        "\"tool_calls\":[{\"id\":\"t\",\"type\":\"function\",\"function\":{\"name\":\"f\","
        "\"arguments\":\"{\\\"a\\\":1}\"}},{\"id\":\"u\",\"function\":{\"name\":\"g\","
        "\"arguments\":\"{\\\"a\"}}]},\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":45,"
        "\"completion_tokens\":7,\"prompt_tokens_details\":{\"cached_tokens\":30,"
        "\"cache_write_tokens\":5},\"completion_tokens_details\":{\"reasoning_tokens\":2}}}",
        "{\"id\":\"msg_r1\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"fable\","
        "\"content\":[{\"type\":\"text\",\"text\":\"A\"},{\"type\":\"tool_use\",\"id\":\"t\","
        "\"name\":\"f\",\"input\":{\"a\":1}},{\"type\":\"tool_use\",\"id\":\"u\",\"name\":\"g\","
        "\"input\":{\"raw_arguments\":\"{\\\"a\"}}],\"stop_reason\":\"tool_use\","
        "\"stop_sequence\":null,\"usage\":{\"input_tokens\":10,\"cache_creation_input_tokens\":5,"
        "\"cache_read_input_tokens\":30,\"output_tokens\":7,\"output_tokens_details\":{"
        "\"thinking_tokens\":2}}}");
    translate_response(
        CHAT, MESSAGES,
        "{\"choices\":[{\"message\":{\"content\":null,\"refusal\":\"no\"},\"finish_reason\":"
        "\"stop\"}]}",
        "{\"id\":\"msg_r1\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"\",\"content\":"
        "[{"
        "\"type\":\"text\",\"text\":\"no\"}],\"stop_reason\":\"refusal\",\"stop_sequence\":null,"
        "\"usage\":{\"input_tokens\":0,\"cache_creation_input_tokens\":0,"
        "\"cache_read_input_tokens\":0,\"output_tokens\":0,\"output_tokens_details\":{"
        "\"thinking_tokens\":0}}}");
}

/* ---- streams ----------------------------------------------------------------- */

#define CHUNK(delta, rest)                                                                         \
    "data: {\"id\":\"c7\",\"created\":9,\"model\":\"fable\",\"choices\":[{\"index\":0,"            \
    "\"delta\":{" delta "}" rest "}]}\n\n"
#define CALL(rest)   CHUNK("\"tool_calls\":[{" rest "}]", "")
#define ARGS(n, t)   CALL("\"index\":" n ",\"function\":{\"arguments\":\"" t "\"}")
#define NAMED(n, id) CALL("\"index\":" n ",\"id\":\"" id "\",\"function\":{\"name\":\"f\"}")
#define FINISH(word) CHUNK("", ",\"finish_reason\":\"" word "\"")
#define DONE         "data: [DONE]\n\n"

static translate_stream_t stream(translate_t *run, const char *text, stream_check_t *check)
{
    translate_open(run, MESSAGES, CHAT);
    return translate_stream(&run->translation, text, check);
}

static void mixed_calls_come_out_one_by_one(void **state)
{
    translate_t run;
    stream_check_t check;
    char text[256];
    translate_stream_t out = stream(
        &run,
        CHUNK("\"role\":\"assistant\",\"content\":\"\"", "") CHUNK(
            "\"content\":\"h\\u00e9\"", "") NAMED("0", "a") ARGS("0", "{\\\"x\\\":") NAMED("1", "b")
            ARGS("1", "{\\\"y\\\"") ARGS("0", "1}") ARGS("1", ":2}") NAMED("2", "c") FINISH(
                "stop") "data: "
                        "{\"choices\":[],\"usage\":{\"prompt_tokens\":45,\"completion_tokens\":7,"
                        "\"prompt_tokens_details\":{\"cached_tokens\":30}}}\n\n" DONE,
        &check);

    (void)state;
    assert_true(check.ended);
    assert_int_equal(check.blocks, 4);
    assert_int_equal(check.calls, 3);
    assert_string_equal(check.stop, "tool_use");
    translate_gather(&out, "\"partial_json\":\"", text, sizeof(text));
    assert_string_equal(text, "{\"x\":1}{\"y\":2}");
    translate_gather(&out, "\"text_delta\",\"text\":\"", text, sizeof(text));
    assert_string_equal(text, "h\xc3\xa9");
    translate_has(relay_buf_span(&out.output.buf),
                  "\"usage\":{\"input_tokens\":15,\"cache_creation_input_tokens\":0,"
                  "\"cache_read_input_tokens\":30,\"output_tokens\":7,");
    free(out.output.buf.base);
    translate_close(&run);
}

static void every_way_to_begin_a_call_is_understood(void **state)
{
    static const struct {
        const char *text;
        unsigned calls;
        const char *arguments;
    } cases[] = {
        /* whole, without an index; an index that repeats under new ids */
        {CALL("\"id\":\"a\",\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}"), 1, "{}"},
        {CALL("\"index\":0,\"id\":\"a\",\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}")
             CALL("\"index\":0,\"id\":\"b\",\"function\":{\"name\":\"g\",\"arguments\":\"[]\"}"),
         2, "{}[]"},
        /* an id that comes late, one that repeats, none at all, null and empty ones */
        {CALL("\"index\":0,\"function\":{\"name\":\"f\"}") ARGS("0", "{")
             CALL("\"index\":0,\"id\":\"a\",\"function\":{\"arguments\":\"}\"}"),
         1, "{}"},
        {NAMED("0", "a") CALL("\"index\":0,\"id\":\"a\",\"function\":{\"arguments\":\"{}\"}"), 1,
         "{}"},
        {NAMED("0", "a") CALL("\"function\":{\"arguments\":\"{}\"}"), 1, "{}"},
        {NAMED("0", "a")
             CALL("\"index\":0,\"id\":null,\"function\":{\"name\":null,\"arguments\":\"{\"}")
                 CALL("\"index\":0,\"id\":\"\",\"function\":{\"name\":\"\",\"arguments\":\"}\"}"),
         1, "{}"},
        /* arguments as an object; the deprecated single call; a whole message */
        {CALL(
             "\"index\":0,\"id\":\"a\",\"function\":{\"name\":\"f\",\"arguments\":{\"a\": \"b\"}}"),
         1, "{\"a\":\"b\"}"},
        {CHUNK("\"function_call\":{\"name\":\"f\",\"arguments\":\"{\"}", "")
             CHUNK("\"function_call\":{\"arguments\":\"}\"}", ""),
         1, "{}"},
        {"data: {\"choices\":[{\"message\":{\"tool_calls\":[{\"id\":\"a\",\"function\":{\"name\":"
         "\"f\",\"arguments\":\"{}\"}}]}}]}\n\n",
         1, "{}"},
        /* broken arguments are the model's words */
        {NAMED("0", "a") ARGS("0", "{\\\"a") ARGS("0", "\\\\"), 1, "{\"a\\"},
        {NAMED("0", "a") NAMED("1", "b"), 2, ""},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        translate_t run;
        stream_check_t check;
        char input[4096], text[256];
        translate_stream_t out;
        snprintf(input, sizeof(input), "%s%s", cases[i].text, FINISH("stop") DONE);
        out = stream(&run, input, &check);
        assert_int_equal(check.calls, cases[i].calls);
        assert_string_equal(check.stop, "tool_use");
        translate_gather(&out, "\"partial_json\":\"", text, sizeof(text));
        assert_string_equal(text, cases[i].arguments);
        free(out.output.buf.base);
        translate_close(&run);
    }
}

static void every_finish_has_its_reason(void **state)
{
    static const struct {
        const char *text;
        const char *stop;
    } cases[] = {
        {CHUNK("\"content\":\"a\"", "") FINISH("stop") DONE, "end_turn"},
        {CHUNK("\"content\":\"a\"", "") FINISH("length") DONE, "max_tokens"},
        {CHUNK("\"content\":\"a\"", "") FINISH("content_filter") DONE, "refusal"},
        {CHUNK("\"refusal\":\"no\"", "") FINISH("stop") DONE, "refusal"},
        {CHUNK("\"content\":\"a\"", "") FINISH("eos") DONE, "end_turn"},
        {CHUNK("\"content\":\"a\"", ",\"finish_reason\":\"\"") DONE, "end_turn"},
        {NAMED("0", "a") DONE, "tool_use"},
        {NAMED("0", "a") FINISH("length") DONE, "max_tokens"},
        {CHUNK("\"content\":\"a\"", "") FINISH("stop"), "end_turn"}, /* no [DONE] */
        {CHUNK("\"content\":\"a\"", "") FINISH("stop") FINISH("length")
             DONE CHUNK("\"content\":\"b\"", ""),
         "end_turn"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        translate_t run;
        stream_check_t check;
        translate_stream_t out = stream(&run, cases[i].text, &check);
        assert_true(check.ended);
        assert_string_equal(check.stop, cases[i].stop);
        free(out.output.buf.base);
        translate_close(&run);
    }
}

static void a_stream_that_fails_ends_with_an_error(void **state)
{
    static const struct {
        const char *text;
        unsigned status;
    } cases[] = {
        {"", 502},
        {DONE, 502},
        {CHUNK("\"content\":\"a\"", ""), 502},
        {CHUNK("\"content\":\"a\"", "") "data: {\"error\":{\"message\":\"m\",\"type\":"
                                        "\"server_error\",\"code\":\"rate_limit_exceeded\"}}\n\n",
         429},
        {CHUNK("\"content\":\"a\"", ",\"finish_reason\":\"error\""), 502},
        {"event: error\ndata: overloaded\n\n", 502},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        translate_t run;
        stream_check_t check;
        translate_stream_t out = stream(&run, cases[i].text, &check);
        assert_true(check.errored);
        assert_int_equal(out.status, cases[i].status);
        free(out.output.buf.base);
        translate_close(&run);
    }
}

static void reasoning_is_shown_if_it_is_signed_or_allowed(void **state)
{
    static const char *text = CHUNK("\"reasoning_content\":\"hm\",\"content\":null", "")
        CHUNK("\"reasoning_content\":null,\"content\":\"a\"", "") FINISH("stop") DONE;
    static const char *signed_text =
        CHUNK("\"reasoning\":\"hm\",\"reasoning_details\":[{\"type\":\"reasoning.text\",\"text\":"
              "\"hm\",\"format\":\"anthropic-claude-v1\"}]",
              "") CHUNK("\"reasoning_details\":[{\"type\":\"reasoning.text\",\"signature\":\"s\","
                        "\"format\":\"anthropic-claude-v1\"}]",
                        "") CHUNK("\"content\":\"a\"", "") FINISH("stop") DONE;
    stream_check_t check;
    translate_stream_t out;
    translate_t run;

    (void)state;
    out = stream(&run, text, &check);
    assert_int_equal(check.blocks, 1);
    free(out.output.buf.base);
    run.translation.unsigned_thinking = true;
    out = translate_stream(&run.translation, text, &check);
    assert_int_equal(check.blocks, 2);
    free(out.output.buf.base);
    translate_close(&run);
    out = stream(&run, signed_text, &check);
    assert_int_equal(check.blocks, 2);
    translate_has(relay_buf_span(&out.output.buf),
                  "{\"type\":\"signature_delta\",\"signature\":\"s\"}");
    translate_has(relay_buf_span(&out.output.buf),
                  "{\"type\":\"thinking_delta\",\"thinking\":\"hm\"}");
    free(out.output.buf.base);
    translate_close(&run);
}

static void usage_is_taken_wherever_it_is(void **state)
{
    static const char *const cases[] = {
        CHUNK("\"content\":\"a\"", "") FINISH("stop") "data: "
                                                      "{\"choices\":null,\"usage\":{\"prompt_"
                                                      "tokens\":3,\"completion_tokens\":4}}\n\n",
        CHUNK("\"content\":\"a\"", "") FINISH(
            "stop") "data: {\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":4}}\n\n" DONE,
        CHUNK("\"content\":\"a\"",
              "") "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}],"
                  "\"x_groq\":{\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":4}}}\n\n" DONE,
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        translate_t run;
        stream_check_t check;
        translate_stream_t out = stream(&run, cases[i], &check);
        assert_true(check.ended);
        translate_has(relay_buf_span(&out.output.buf), "\"input_tokens\":3,");
        translate_has(relay_buf_span(&out.output.buf), "\"output_tokens\":4,");
        free(out.output.buf.base);
        translate_close(&run);
    }
}

/* ---- logprobs, many choices -------------------------------------------------- */

#define EMPTY_DELTA   "\"text_delta\",\"text\":\"\""
#define LIKELY(token) "{\"token\":\"" token "\",\"logprob\":-0.5,\"bytes\":[1],\"top_logprobs\":[]}"
#define LIKELY_CHUNK(delta, list)                                                                  \
    CHUNK(delta, ",\"logprobs\":{\"content\":[" list "],\"refusal\":null}")

/* Some providers tell of a token whose bytes are no character yet. */
#define LIKELY_STREAM                                                                              \
    LIKELY_CHUNK("\"role\":\"assistant\",\"content\":\"\"", "")                                    \
    LIKELY_CHUNK("\"content\":\"a\"", LIKELY("a"))                                                 \
    LIKELY_CHUNK("\"content\":\"\"", LIKELY("b1"))                                                 \
    LIKELY_CHUNK("\"content\":\"b\"", LIKELY("b2") "," LIKELY("b3")) FINISH("stop") DONE

static void s25_logprobs_pass_in_a_stream(void **state)
{
    translate_stream_t out;
    stream_check_t check;
    translate_t run;

    (void)state;
    translate_open(&run, CHAT, CHAT);
    out = translate_stream(&run.translation, LIKELY_STREAM, &check);
    assert_true(check.ended);
    translate_has(relay_buf_span(&out.output.buf),
                  "\"delta\":{\"content\":\"a\"},\"logprobs\":{\"content\":[" LIKELY(
                      "a") "],\"refusal\":null},\"finish_reason\":null");
    translate_has(relay_buf_span(&out.output.buf),
                  "\"delta\":{\"content\":\"\"},\"logprobs\":{\"content\":[" LIKELY("b1") "],");
    translate_has(relay_buf_span(&out.output.buf), "[" LIKELY("b2") "," LIKELY("b3") "]");
    free(out.output.buf.base);
    translate_close(&run);

    translate_open(&run, RESPONSES, CHAT);
    out = translate_stream(&run.translation, LIKELY_STREAM, &check);
    assert_true(check.ended);
    translate_has(relay_buf_span(&out.output.buf),
                  "\"delta\":\"a\",\"logprobs\":[" LIKELY("a") "]}");
    translate_has(relay_buf_span(&out.output.buf),
                  "\"text\":\"ab\",\"logprobs\":[" LIKELY("a") "," LIKELY("b1") "," LIKELY(
                      "b2") "," LIKELY("b3") "]}\n\n");
    translate_has(relay_buf_span(&out.output.buf),
                  "\"annotations\":[],\"logprobs\":[" LIKELY("a") "," LIKELY("b1") "," LIKELY(
                      "b2") "," LIKELY("b3") "]}]}],\"usage\":");
    free(out.output.buf.base);
    translate_close(&run);

    /* who has no place for them is not told of empty text */
    translate_open(&run, MESSAGES, CHAT);
    out = translate_stream(&run.translation, LIKELY_STREAM, &check);
    assert_true(check.ended);
    translate_has(relay_buf_span(&out.output.buf), "\"text_delta\",\"text\":\"b\"");
    assert_null(memmem(out.output.buf.base, out.output.buf.len, EMPTY_DELTA, strlen(EMPTY_DELTA)));
    free(out.output.buf.base);
    translate_close(&run);
}

static void logprobs_of_a_refusal_have_a_list_of_their_own(void **state)
{
    translate_stream_t out;
    stream_check_t check;
    translate_t run;

    (void)state;
    translate_open(&run, CHAT, CHAT);
    out = translate_stream(&run.translation,
                           CHUNK("\"refusal\":\"no\"", ",\"logprobs\":{\"content\":null,"
                                                       "\"refusal\":[" LIKELY("no") "]}")
                               FINISH("stop") DONE,
                           &check);
    assert_true(check.ended);
    translate_has(relay_buf_span(&out.output.buf),
                  "\"logprobs\":{\"content\":null,\"refusal\":[" LIKELY("no") "]}");
    free(out.output.buf.base);
    translate_close(&run);
}

static int put_choice(char *at, int index, const char *delta, const char *finish)
{
    return snprintf(at, 128,
                    "data: {\"id\":\"c\",\"choices\":[{\"index\":%d,\"delta\":{%s},"
                    "\"finish_reason\":%s}]}\n\n",
                    index, delta, finish);
}

static void as_many_choices_as_the_format_has(void **state)
{
    enum { CHOICES = 128 };
    char *text = malloc(CHOICES * 256), *at = text;
    translate_stream_t out;
    stream_check_t check;
    translate_t run;
    relay_span_t request;

    (void)state;
    assert_non_null(text);
    for (int i = 0; i < CHOICES; i++) {
        at += put_choice(at, i, "\"content\":\"a\"", "null");
    }
    for (int i = CHOICES - 1; i >= 0; i--) {
        at += put_choice(at, i, "", "\"stop\"");
    }
    snprintf(at, 64, DONE);
    translate_open(&run, CHAT, CHAT);
    out = translate_run(&run.translation, relay_wire_cstring(text), 1000, 1 << 20);
    assert_null(stream_check(relay_buf_span(&out.output.buf), STREAM_CHAT, &check));
    assert_true(check.ended && !out.failed);
    translate_has(relay_buf_span(&out.output.buf), "{\"index\":127,\"delta\":{\"content\":\"a\"}");
    free(out.output.buf.base);
    free(text);
    translate_close(&run);

    translate_open(&run, CHAT, CHAT);
    assert_int_equal(relay_translate_request(&run.translation,
                                             RELAY_SPAN("{\"n\":129,\"messages\":[{\"role\":"
                                                        "\"user\",\"content\":\"hi\"}]}"),
                                             &request),
                     RELAY_ERR_INVALID_FIELD);
    translate_same(run.translation.error.param, "n");
    translate_same(run.translation.error.message, "this field must be from 1 to 128");
    translate_close(&run);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(system_blocks_are_one_message),
        cmocka_unit_test(results_and_their_images_are_messages),
        cmocka_unit_test(r22_reasoning_goes_back_where_it_is_wanted),
        cmocka_unit_test(what_the_provider_did_itself_is_left_out),
        cmocka_unit_test(tools_choices_and_settings),
        cmocka_unit_test(a_long_user_id_is_told_apart_by_its_hash),
        cmocka_unit_test(a_whole_answer_becomes_a_message),
        cmocka_unit_test(mixed_calls_come_out_one_by_one),
        cmocka_unit_test(every_way_to_begin_a_call_is_understood),
        cmocka_unit_test(every_finish_has_its_reason),
        cmocka_unit_test(a_stream_that_fails_ends_with_an_error),
        cmocka_unit_test(reasoning_is_shown_if_it_is_signed_or_allowed),
        cmocka_unit_test(usage_is_taken_wherever_it_is),
        cmocka_unit_test(s25_logprobs_pass_in_a_stream),
        cmocka_unit_test(logprobs_of_a_refusal_have_a_list_of_their_own),
        cmocka_unit_test(as_many_choices_as_the_format_has),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
