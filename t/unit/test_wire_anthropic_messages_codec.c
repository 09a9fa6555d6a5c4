/* Callers of Chat Completions at a provider of Messages, and the way back. */

#include "wire_anthropic_messages_codec.c"

#include "translate_check.h"

static const relay_target_t plain = {0};

#define HEAD     "{\"model\":\"m\",\"max_tokens\":32000,"
#define USER(t)  "{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"" t "\"}]}"
#define IN(rest) "{\"model\":\"m\",\"messages\":[" rest "}"
#define ASK      "{\"role\":\"user\",\"content\":\"hi\"}]"
#define TOOL     "{\"type\":\"function\",\"function\":{\"name\":\"f\"}}"
#define TOOL_OUT "{\"name\":\"f\",\"input_schema\":{\"type\":\"object\"}}"
#define PNG      "iVBORw0KGgo="

static void request(relay_target_t target, const char *body, const char *want, const char *notes)
{
    translate_request(CHAT, MESSAGES, target, body, want, notes);
}

/* ---- requests -------------------------------------------------------------- */

static void r2_leading_system_messages_become_the_field(void **state)
{
    (void)state;
    request(plain,
            IN("{\"role\":\"system\",\"content\":\"A\"},{\"role\":\"developer\",\"content\":"
               "[{\"type\":\"text\",\"text\":\"B\",\"cache_control\":{\"type\":\"ephemeral\","
               "\"ttl\":\"1h\"}}]}," ASK),
            HEAD "\"system\":[{\"type\":\"text\",\"text\":\"A\"},{\"type\":\"text\",\"text\":\"B\","
                 "\"cache_control\":{\"type\":\"ephemeral\",\"ttl\":\"1h\"}}],\"messages\":[" USER(
                     "hi") "]}",
            "");
}

static void r1_a_later_system_message_keeps_its_place(void **state)
{
    relay_target_t late = {.flags = RELAY_TARGET_LATE_SYSTEM};

    (void)state;
    request(
        plain,
        IN("{\"role\":\"user\",\"content\":\"a\"},{\"role\":\"assistant\",\"content\":\"b\"},"
           "{\"role\":\"system\",\"content\":\"s\"}," ASK),
        HEAD "\"messages\":[" USER(
            "a") ",{\"role\":\"assistant\",\"content\":[{\"type\":"
                 "\"text\",\"text\":\"b\"}]},{\"role\":\"user\",\"content\":[{\"type\":\"text\","
                 "\"text\":\"<system>\\ns\\n</system>\"},{\"type\":\"text\",\"text\":\"hi\"}]}]}",
        "changed=messages");
    request(late,
            IN("{\"role\":\"user\",\"content\":\"a\"},{\"role\":\"system\",\"content\":\"s\"}]"),
            HEAD "\"messages\":[" USER("a") ",{\"role\":\"system\",\"content\":[{\"type\":\"text\","
                                            "\"text\":\"s\"}]}]}",
            "");
}

/* A request of nothing but system messages asks by the last of them. */
static void the_last_system_message_asks_if_nobody_does(void **state)
{
    (void)state;
    request(plain, IN("{\"role\":\"system\",\"content\":\"s\"}]"),
            HEAD "\"messages\":[" USER("<system>\\ns\\n</system>") "]}", "changed=messages");
    translate_refused(CHAT, MESSAGES, IN("]"), RELAY_ERR_INVALID_FIELD, "messages", "at least one");
}

static void r3_results_come_first_in_one_turn(void **state)
{
    (void)state;
    request(plain,
            IN("{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[{\"id\":\"c1\",\"type\":"
               "\"function\",\"function\":{\"name\":\"f\",\"arguments\":\"{\\\"a\\\":\\\"\\\\u00e9"
               "\\\"}\"}},{\"id\":\"c2\",\"type\":\"function\",\"function\":{\"name\":\"f\","
               "\"arguments\":\" \"}}]},{\"role\":\"assistant\",\"content\":\"wait\"},"
               "{\"role\":\"tool\",\"tool_call_id\":\"c2\",\"content\":\"\"},"
               "{\"role\":\"user\",\"content\":\"and\"},"
               "{\"role\":\"tool\",\"tool_call_id\":\"c1\",\"content\":[{\"type\":\"text\","
               "\"text\":\"one\"}]}]"),
            HEAD "\"messages\":[{\"role\":\"assistant\",\"content\":[{\"type\":\"tool_use\","
                 "\"id\":\"c1\",\"name\":\"f\",\"input\":{\"a\":\"\\u00e9\"}},{\"type\":"
                 "\"tool_use\",\"id\":\"c2\",\"name\":\"f\",\"input\":{}},{\"type\":\"text\","
                 "\"text\":\"wait\"}]},{\"role\":\"user\",\"content\":[{\"type\":\"tool_result\","
                 "\"tool_use_id\":\"c2\"},{\"type\":\"tool_result\",\"tool_use_id\":\"c1\","
                 "\"content\":[{\"type\":\"text\",\"text\":\"one\"}]},{\"type\":\"text\",\"text\":"
                 "\"and\"}]}]}",
            "");
    request(plain,
            IN("{\"role\":\"assistant\",\"tool_calls\":[{\"id\":\"c\",\"function\":{\"name\":\"f\","
               "\"arguments\":\"{\\\"a\"}}]},{\"role\":\"tool\",\"tool_call_id\":\"c\"}]"),
            HEAD "\"messages\":[{\"role\":\"assistant\",\"content\":[{\"type\":\"tool_use\","
                 "\"id\":\"c\",\"name\":\"f\",\"input\":{\"raw_arguments\":\"{\\\"a\"}}]},"
                 "{\"role\":\"user\",\"content\":[{\"type\":\"tool_result\",\"tool_use_id\":"
                 "\"c\"}]}]}",
            "changed=messages.tool_calls");
}

static void r5_blank_text_is_left_out_and_neighbours_merge(void **state)
{
    (void)state;
    request(plain,
            IN("{\"role\":\"user\",\"content\":\"a\"},{\"role\":\"assistant\",\"content\":\"\"},"
               "{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\" \\n\"},"
               "{\"type\":\"text\",\"text\":\"b\"}]}]"),
            HEAD "\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"a\"},"
                 "{\"type\":\"text\",\"text\":\"b\"}]}]}",
            "");
}

static void r12_images_and_documents_become_blocks(void **state)
{
    (void)state;
    request(plain,
            IN("{\"role\":\"user\",\"content\":[{\"type\":\"image_url\",\"image_url\":{\"url\":"
               "\"data:image\\/png;base64," PNG "\",\"detail\":\"high\"}},{\"type\":\"image_url\","
               "\"image_url\":{\"url\":\"https://e.example/a.jpg\"}},{\"type\":\"file\",\"file\":"
               "{\"filename\":\"a.pdf\",\"file_data\":\"data:application/pdf;base64,JVBERi0=\"}},"
               "{\"type\":\"file\",\"file\":{\"filename\":\"t\",\"file_data\":"
               "\"data:text/plain;base64,YSJi\"}}]}]"),
            HEAD "\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"image\",\"source\":"
                 "{\"type\":\"base64\",\"media_type\":\"image/png\",\"data\":\"" PNG "\"}},"
                 "{\"type\":\"image\",\"source\":{\"type\":\"url\",\"url\":"
                 "\"https://e.example/a.jpg\"}},{\"type\":\"document\",\"source\":{\"type\":"
                 "\"base64\",\"media_type\":\"application/pdf\",\"data\":\"JVBERi0=\"},\"title\":"
                 "\"a.pdf\"},{\"type\":\"document\",\"source\":{\"type\":\"text\",\"media_type\":"
                 "\"text/plain\",\"data\":\"a\\\"b\"},\"title\":\"t\"}]}]}",
            "messages.content.image_url.detail");
    translate_refused(CHAT, MESSAGES,
                      IN("{\"role\":\"user\",\"content\":[{\"type\":\"image_url\",\"image_url\":"
                         "{\"url\":\"data:image/png;base64,AAAA\"}}]}]"),
                      RELAY_ERR_INVALID_FIELD, "messages[0].content[0].image_url.url",
                      "nor an image of the stated type");
    translate_refused(CHAT, MESSAGES,
                      IN("{\"role\":\"user\",\"content\":[{\"type\":\"file\",\"file\":"
                         "{\"file_id\":\"f\"}}]}]"),
                      RELAY_ERR_INVALID_FIELD, "messages[0].content[0]", "in the request itself");
}

static void r9_the_grid_of_tool_choices(void **state)
{
    static const struct {
        const char *in;
        const char *out;
    } cases[] = {
        {"", ""},
        {",\"parallel_tool_calls\":true", ""},
        {",\"parallel_tool_calls\":false",
         ",\"tool_choice\":{\"type\":\"auto\",\"disable_parallel_tool_use\":true}"},
        {",\"tool_choice\":\"auto\"", ",\"tool_choice\":{\"type\":\"auto\"}"},
        {",\"tool_choice\":\"none\",\"parallel_tool_calls\":false",
         ",\"tool_choice\":{\"type\":\"none\"}"},
        {",\"tool_choice\":\"required\"", ",\"tool_choice\":{\"type\":\"any\"}"},
        {",\"tool_choice\":{\"type\":\"function\",\"function\":{\"name\":\"f\"}},"
         "\"parallel_tool_calls\":false",
         ",\"tool_choice\":{\"type\":\"tool\",\"name\":\"f\",\"disable_parallel_tool_use\":true}"},
        {",\"tool_choice\":{\"type\":\"allowed_tools\",\"allowed_tools\":{\"mode\":\"required\","
         "\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\"}}]}}",
         ",\"tool_choice\":{\"type\":\"any\"}"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char body[512], want[512];
        snprintf(body, sizeof(body), IN(ASK ",\"tools\":[" TOOL "]%s"), cases[i].in);
        snprintf(want, sizeof(want),
                 HEAD "\"messages\":[" USER("hi") "],\"tools\":[" TOOL_OUT "]%s}", cases[i].out);
        request(plain, body, want, "");
        snprintf(body, sizeof(body), IN(ASK "%s"), cases[i].in);
        request(plain, body, HEAD "\"messages\":[" USER("hi") "]}", "");
    }
}

static void r19_names_that_do_not_fit_are_replaced_the_same_way_each_time(void **state)
{
    (void)state;
    request(plain,
            IN("{\"role\":\"assistant\",\"tool_calls\":[{\"id\":\"a:1\",\"function\":{\"name\":"
               "\"ns.f\",\"arguments\":\"{}\"}}]},{\"role\":\"tool\",\"tool_call_id\":\"a:1\","
               "\"content\":\"r\"}],\"tools\":[{\"type\":\"function\",\"function\":{\"name\":"
               "\"ns.f\"}}]"),
            HEAD "\"messages\":[{\"role\":\"assistant\",\"content\":[{\"type\":\"tool_use\",\"id\":"
                 "\"a_1_dbbd3e69\",\"name\":\"ns_f_c61ef41a\",\"input\":{}}]},{\"role\":\"user\","
                 "\"content\":[{\"type\":\"tool_result\",\"tool_use_id\":\"a_1_dbbd3e69\","
                 "\"content\":[{\"type\":\"text\",\"text\":\"r\"}]}]}],\"tools\":[{\"name\":"
                 "\"ns_f_c61ef41a\",\"input_schema\":{\"type\":\"object\"}}]}",
            "");
}

static void r8_thinking_goes_by_effort_or_budget(void **state)
{
    relay_target_t budget = {.flags = RELAY_TARGET_BUDGET},
                   adaptive = {.flags = RELAY_TARGET_ADAPTIVE},
                   without = {.flags = RELAY_TARGET_NO_EFFORT};
    const char *high = IN(ASK ",\"reasoning_effort\":\"high\",\"max_tokens\":9000,"
                              "\"temperature\":0.5,\"top_p\":0.5");

    (void)state;
    request(plain, high,
            "{\"model\":\"m\",\"max_tokens\":9000,\"messages\":[" USER(
                "hi") "],\"temperature\":0.5"
                      ",\"top_p\":0.5,\"output_config\":{\"effort\":\"high\"}}",
            "");
    request(
        adaptive, high,
        "{\"model\":\"m\",\"max_tokens\":9000,\"messages\":[" USER(
            "hi") "],\"temperature\":0.5"
                  ",\"top_p\":0.5,\"thinking\":{\"type\":\"adaptive\",\"display\":\"summarized\"},"
                  "\"output_config\":{\"effort\":\"high\"}}",
        "");
    request(budget, high,
            "{\"model\":\"m\",\"max_tokens\":9000,\"messages\":[" USER(
                "hi") "],\"thinking\":"
                      "{\"type\":\"enabled\",\"budget_tokens\":8999}}",
            "temperature, top_p; changed=reasoning_effort");
    request(without, IN(ASK ",\"reasoning_effort\":\"low\""), HEAD "\"messages\":[" USER("hi") "]}",
            "reasoning_effort");
    request(plain, IN(ASK ",\"reasoning_effort\":\"none\""),
            HEAD "\"messages\":[" USER("hi") "],\"thinking\":{\"type\":\"disabled\"}}", "");
    /* no budget fits, or a tool is forced, or a call in the loop was not thought about */
    request(budget, IN(ASK ",\"reasoning_effort\":\"low\",\"max_tokens\":1024"),
            "{\"model\":\"m\",\"max_tokens\":1024,\"messages\":[" USER("hi") "]}",
            "reasoning_effort");
    request(
        budget,
        IN(ASK ",\"reasoning_effort\":\"low\",\"tools\":[" TOOL "],\"tool_choice\":\"required\""),
        HEAD "\"messages\":[" USER("hi") "],\"tools\":[" TOOL_OUT
                                         "],\"tool_choice\":{\"type\":\"any\"}}",
        "reasoning_effort");
    request(budget,
            IN("{\"role\":\"assistant\",\"tool_calls\":[{\"id\":\"c\",\"function\":{\"name\":"
               "\"f\"}}]},{\"role\":\"tool\",\"tool_call_id\":\"c\",\"content\":\"r\"}],"
               "\"reasoning_effort\":\"low\""),
            HEAD "\"messages\":[{\"role\":\"assistant\",\"content\":[{\"type\":\"tool_use\",\"id\":"
                 "\"c\",\"name\":\"f\",\"input\":{}}]},{\"role\":\"user\",\"content\":[{\"type\":"
                 "\"tool_result\",\"tool_use_id\":\"c\",\"content\":[{\"type\":\"text\",\"text\":"
                 "\"r\"}]}]}]}",
            "reasoning_effort");
}

/* As a client has collected it from a stream: in fragments, of one index. */
static void signed_thinking_comes_back(void **state)
{
    (void)state;
    request(plain,
            IN("{\"role\":\"assistant\",\"reasoning_content\":\"ab\",\"reasoning_details\":["
               "{\"type\":\"reasoning.text\",\"text\":\"a\",\"index\":0},"
               "{\"type\":\"reasoning.text\",\"text\":\"b\",\"index\":0},"
               "{\"type\":\"reasoning.text\",\"signature\":\"s\",\"format\":"
               "\"anthropic-claude-v1\",\"index\":0},"
               "{\"type\":\"reasoning.encrypted\",\"data\":\"d\",\"format\":"
               "\"anthropic-claude-v1\",\"index\":1}],\"content\":\"c\"}," ASK),
            HEAD "\"messages\":[{\"role\":\"assistant\",\"content\":[{\"type\":\"thinking\","
                 "\"thinking\":\"ab\",\"signature\":\"s\"},{\"type\":\"redacted_thinking\","
                 "\"data\":\"d\"},{\"type\":\"text\",\"text\":\"c\"}]}," USER("hi") "]}",
            "");
    /* what another provider signed, or nobody, would be refused */
    request(plain,
            IN("{\"role\":\"assistant\",\"reasoning_content\":\"a\",\"content\":\"c\"},"
               "{\"role\":\"assistant\",\"reasoning_details\":[{\"type\":\"reasoning.text\","
               "\"text\":\"b\",\"signature\":\"s\",\"format\":\"google-gemini-v1\"}]}," ASK),
            HEAD "\"messages\":[{\"role\":\"assistant\",\"content\":[{\"type\":\"text\",\"text\":"
                 "\"c\"}]}," USER("hi") "]}",
            "messages.reasoning_content, messages.reasoning_details");
}

static void r7_r17_formats_stops_and_limits(void **state)
{
    relay_target_t small = {.model = RELAY_SPAN("up/\"m\""), .output_tokens_max = 100};

    (void)state;
    request(
        plain,
        IN(ASK ",\"stop\":\"END\",\"user\":\"u\",\"stream\":true,\"response_format\":{\"type\":"
               "\"json_schema\",\"json_schema\":{\"name\":\"n\",\"description\":\"d\","
               "\"schema\":{\"type\":\"object\"},\"strict\":true}}"),
        HEAD "\"messages\":[" USER(
            "hi") "],\"stop_sequences\":[\"END\"],\"stream\":true,"
                  "\"output_config\":{\"format\":{\"type\":\"json_schema\",\"schema\":{\"type\":"
                  "\"object\"}}},\"metadata\":{\"user_id\":\"u\"}}",
        "response_format.json_schema.description");
    request(plain, IN(ASK ",\"stop\":[\" \",\"a\"]"),
            HEAD "\"messages\":[" USER("hi") "],\"stop_sequences\":[\"a\"]}", "changed=stop");
    request(small, IN(ASK ",\"max_tokens\":500,\"max_completion_tokens\":300"),
            "{\"model\":\"up/\\\"m\\\"\",\"max_tokens\":100,\"messages\":[" USER("hi") "]}",
            "changed=max_completion_tokens");
    request(small, IN(ASK),
            "{\"model\":\"up/\\\"m\\\"\",\"max_tokens\":100,\"messages\":[" USER("hi") "]}", "");
    request(plain, IN(ASK ",\"response_format\":{\"type\":\"json_object\"}"),
            HEAD
            "\"system\":[{\"type\":\"text\",\"text\":\"Answer with one JSON object and "
            "nothing else: no code fence, no text around it.\"}],\"messages\":[" USER("hi") "]}",
            "changed=response_format");
}

static void a_custom_tool_is_wrapped_and_unwrapped(void **state)
{
    translate_t run;
    relay_span_t out;

    (void)state;
    translate_open(&run, CHAT, MESSAGES);
    assert_int_equal(
        relay_translate_request(&run.translation,
                                RELAY_SPAN(IN(ASK ",\"tools\":[{\"type\":\"custom\",\"custom\":"
                                                  "{\"name\":\"patch\"}}]")),
                                &out),
        RELAY_ERR_NONE);
    assert_int_equal(
        relay_translate_response(
            &run.translation,
            RELAY_SPAN("{\"id\":\"i\",\"model\":\"m\",\"content\":[{\"type\":\"tool_use\",\"id\":"
                       "\"t\",\"name\":\"patch\",\"input\":{\"input\":\"a\\n\\\"b\"}}],"
                       "\"stop_reason\":\"tool_use\"}"),
            &out),
        RELAY_ERR_NONE);
    translate_has(out, "{\"id\":\"t\",\"type\":\"custom\",\"custom\":{\"name\":\"patch\","
                       "\"input\":\"a\\n\\\"b\"}}");
    translate_close(&run);
}

/* ---- streams ----------------------------------------------------------------- */

#define EVENT(type, rest) "event: " type "\ndata: {\"type\":\"" type "\"" rest "}\n\n"
#define START                                                                                      \
    EVENT("message_start",                                                                         \
          ",\"message\":{\"id\":\"msg_7\",\"model\":\"fable\",\"usage\":{\"input_tokens\":10,"     \
          "\"cache_read_input_tokens\":30,\"cache_creation_input_tokens\":5,"                      \
          "\"output_tokens\":1}}")
#define BLOCK(n, block) EVENT("content_block_start", ",\"index\":" n ",\"content_block\":" block)
#define DELTA(n, delta) EVENT("content_block_delta", ",\"index\":" n ",\"delta\":" delta)
#define STOP(n)         EVENT("content_block_stop", ",\"index\":" n)
#define FINISH(reason)                                                                             \
    EVENT("message_delta", ",\"delta\":{\"stop_reason\":\"" reason                                 \
                           "\",\"stop_sequence\":null},\"usage\":{\"output_tokens\":7}")
#define END EVENT("message_stop", "")

static translate_stream_t stream(translate_t *run, const char *text, stream_check_t *check)
{
    translate_open(run, CHAT, MESSAGES);
    run->translation.usage_wanted = true;
    return translate_stream(&run->translation, text, check);
}

static bool has(const translate_stream_t *run, const char *text)
{
    relay_span_t out = relay_buf_span(&run->output.buf);

    return memmem(out.base, out.len, text, strlen(text)) != NULL;
}

static void text_calls_and_thinking_arrive_in_chunks(void **state)
{
    translate_t run;
    stream_check_t check;
    char text[256];
    translate_stream_t out =
        stream(&run,
               START BLOCK("0", "{\"type\":\"thinking\",\"thinking\":\"\",\"signature\":\"\"}")
                   DELTA("0", "{\"type\":\"thinking_delta\",\"thinking\":\"hm\"}")
                       DELTA("0", "{\"type\":\"signature_delta\",\"signature\":\"sig\"}") STOP("0")
                           BLOCK("1", "{\"type\":\"text\",\"text\":\"\"}") EVENT("ping", "")
                               DELTA("1", "{\"type\":\"text_delta\",\"text\":\"h\\u00e9 "
                                          "\xe6\x97\xa5\"}") STOP("1")
                                   BLOCK("2", "{\"type\":\"tool_use\",\"id\":\"t1\",\"name\":"
                                              "\"f\",\"input\":{}}")
                                       DELTA("2", "{\"type\":\"input_json_delta\",\"partial_json\":"
                                                  "\"{\\\"a\\\"\"}")
                                           DELTA("2", "{\"type\":\"input_json_delta\","
                                                      "\"partial_json\":\":1}\"}") STOP("2")
                                               BLOCK("3", "{\"type\":\"tool_use\",\"id\":\"t2\","
                                                          "\"name\":\"g\",\"input\":{}}") STOP("3")
                                                   FINISH("tool_use") END,
               &check);

    (void)state;
    assert_true(check.ended && check.usage);
    assert_int_equal(check.calls, 2);
    assert_string_equal(check.stop, "tool_calls");
    translate_gather(&out, "\"content\":\"", text, sizeof(text));
    assert_string_equal(text, "h\xc3\xa9 \xe6\x97\xa5");
    translate_gather(&out, "\"reasoning_content\":\"", text, sizeof(text));
    assert_string_equal(text, "hm");
    translate_gather(&out, "\"arguments\":\"", text, sizeof(text));
    assert_string_equal(text, "{\"a\":1}{}");
    assert_true(has(&out, "{\"type\":\"reasoning.text\",\"signature\":\"sig\",\"format\":"
                          "\"anthropic-claude-v1\",\"index\":0}"));
    assert_true(has(&out, "{\"index\":1,\"id\":\"t2\",\"type\":\"function\""));
    assert_true(has(&out, ": ping\n"));
    assert_true(has(&out, "\"usage\":{\"prompt_tokens\":45,\"completion_tokens\":7,"
                          "\"total_tokens\":52,\"prompt_tokens_details\":{\"cached_tokens\":30,"
                          "\"cache_write_tokens\":5}"));
    assert_int_equal(out.heaviest, RELAY_EVENT_END);
    free(out.output.buf.base);
    translate_close(&run);
}

static void every_stop_reason_has_its_word(void **state)
{
    static const struct {
        const char *text;
        const char *word;
    } cases[] = {
        {START FINISH("end_turn") END, "stop"},
        {START FINISH("stop_sequence") END, "stop"},
        {START FINISH("pause_turn") END, "stop"},
        {START FINISH("max_tokens") END, "length"},
        {START FINISH("model_context_window_exceeded") END, "length"},
        {START FINISH("refusal") END, "content_filter"},
        {START FINISH("of tomorrow") END, "stop"},
        {START BLOCK("0", "{\"type\":\"tool_use\",\"id\":\"t\",\"name\":\"f\"}") STOP("0")
             FINISH("end_turn") END,
         "tool_calls"},
        {START FINISH("end_turn"), "stop"}, /* the end is missing, the reason is not */
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        translate_t run;
        stream_check_t check;
        translate_stream_t out = stream(&run, cases[i].text, &check);
        assert_true(check.ended);
        assert_string_equal(check.stop, cases[i].word);
        free(out.output.buf.base);
        translate_close(&run);
    }
}

static void a_stream_that_fails_ends_with_an_error(void **state)
{
    static const struct {
        const char *text;
        unsigned status;
        const char *part;
    } cases[] = {
        {"", 502, "ended before it was complete"},
        {START, 502, "ended before it was complete"},
        {START BLOCK("0", "{\"type\":\"text\",\"text\":\"a\"}"), 502, "ended before"},
        {EVENT("error", ",\"error\":{\"type\":\"overloaded_error\",\"message\":\"bu\\\"sy\"}"), 529,
         "\"message\":\"bu\\\"sy\""},
        {START EVENT("error", ",\"error\":{\"type\":\"rate_limit_error\",\"message\":\"slow\"}")
             END,
         429, "slow"},
        {END, 502, "ended before"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        translate_t run;
        stream_check_t check;
        translate_stream_t out = stream(&run, cases[i].text, &check);
        assert_true(check.errored && out.failed);
        assert_int_equal(out.status, cases[i].status);
        assert_true(has(&out, cases[i].part));
        assert_false(has(&out, "[DONE]"));
        assert_int_equal(out.heaviest, RELAY_EVENT_ERROR);
        free(out.output.buf.base);
        translate_close(&run);
    }
}

static void what_only_this_format_knows_is_left_out_of_a_stream(void **state)
{
    translate_t run;
    stream_check_t check;
    translate_stream_t out = stream(
        &run,
        START EVENT("later_event", ",\"x\":1")
            BLOCK("0", "{\"type\":\"server_tool_use\",\"id\":\"s\",\"name\":\"web_search\","
                       "\"input\":{}}") DELTA("0", "{\"type\":\"input_json_delta\","
                                                   "\"partial_json\":\"{}\"}") STOP("0")
                BLOCK("1", "{\"type\":\"text\",\"text\":\"\"}")
                    DELTA("1", "{\"type\":\"citations_delta\",\"citation\":{\"type\":"
                               "\"web_search_result_location\",\"url\":\"https://e.example\","
                               "\"title\":\"T\",\"encrypted_index\":\"e\",\"cited_text\":\"c\"}}")
                        DELTA("1", "{\"type\":\"text_delta\",\"text\":\"x\"}") STOP("1")
                            FINISH("end_turn") END,
        &check);

    (void)state;
    assert_true(check.ended);
    assert_int_equal(check.calls, 0);
    assert_string_equal(check.stop, "stop");
    assert_true(has(&out, "\"annotations\":[{\"type\":\"url_citation\",\"url_citation\":{"
                          "\"start_index\":0,\"end_index\":0,\"title\":\"T\",\"url\":"
                          "\"https://e.example\"}}]"));
    free(out.output.buf.base);
    translate_close(&run);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(r2_leading_system_messages_become_the_field),
        cmocka_unit_test(r1_a_later_system_message_keeps_its_place),
        cmocka_unit_test(the_last_system_message_asks_if_nobody_does),
        cmocka_unit_test(r3_results_come_first_in_one_turn),
        cmocka_unit_test(r5_blank_text_is_left_out_and_neighbours_merge),
        cmocka_unit_test(r12_images_and_documents_become_blocks),
        cmocka_unit_test(r9_the_grid_of_tool_choices),
        cmocka_unit_test(r19_names_that_do_not_fit_are_replaced_the_same_way_each_time),
        cmocka_unit_test(r8_thinking_goes_by_effort_or_budget),
        cmocka_unit_test(signed_thinking_comes_back),
        cmocka_unit_test(r7_r17_formats_stops_and_limits),
        cmocka_unit_test(a_custom_tool_is_wrapped_and_unwrapped),
        cmocka_unit_test(text_calls_and_thinking_arrive_in_chunks),
        cmocka_unit_test(every_stop_reason_has_its_word),
        cmocka_unit_test(a_stream_that_fails_ends_with_an_error),
        cmocka_unit_test(what_only_this_format_knows_is_left_out_of_a_stream),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
