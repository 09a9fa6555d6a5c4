/* Chat Completions: splices, streams of many vendors, whole answers, echo. */

#include "wire_openai_chat.c"

#include "wire_check.h"

static const relay_wire_t *const wire = &relay_wire_openai_chat;

#define CHUNK(delta, rest)                                                                         \
    "data: {\"id\":\"c7\",\"created\":9,\"model\":\"fable\",\"choices\":[{\"index\":0,"            \
    "\"delta\":{" delta "}" rest "}]}\n\n"
#define FINISH      CHUNK("", ",\"finish_reason\":\"stop\"")
#define USAGE(n)    "\"usage\":{\"prompt_tokens\":" #n ",\"completion_tokens\":2}"
#define END         "data: [DONE]\n\n"
#define HELLO       CHUNK("\"content\":\"hi\"", ",\"finish_reason\":null")
#define ROLE        CHUNK("\"role\":\"assistant\",\"content\":\"\"", ",\"finish_reason\":null")
#define USAGE_CHUNK "data: {\"id\":\"c7\",\"choices\":[]," USAGE(7) "}\n\n"

/* ---- requests ------------------------------------------------------------ */

static void edited(const char *body, const char *model, bool ask, const char *want)
{
    char *got = check_edited(wire, body, model, ask);

    assert_string_equal(got, want);
    free(got);
}

static void only_the_model_changes(void **state)
{
    const char *body =
        "{ \"temperature\": 1.0e0,\n\"model\" : \"a\" , \"messages\":[{\"model\":\"a\"}]}";

    (void)state;
    edited(body, "up/b-2", true,
           "{ \"temperature\": 1.0e0,\n\"model\" : \"up/b-2\" , \"messages\":[{\"model\":\"a\"}]}");
    edited(body, "a", true, body);
    edited("{\"model\":\"\\u0061\"}", "a", false, "{\"model\":\"a\"}");
    edited("{\"model\":\"a\"}", "q\"\\", false, "{\"model\":\"q\\\"\\\\\"}");
}

static void usage_is_asked_for_by_the_smallest_splice(void **state)
{
    static const struct {
        const char *body;
        const char *want;
    } cases[] = {
        {"{\"model\":\"a\",\"stream\":true}",
         "{\"model\":\"b\",\"stream_options\":{\"include_usage\":true},\"stream\":true}"},
        {"{\"stream\":true,\"stream_options\": null ,\"model\":\"a\"}",
         "{\"stream\":true,\"stream_options\": {\"include_usage\":true} ,\"model\":\"b\"}"},
        {"{\"model\":\"a\",\"stream\":true,\"stream_options\":{}}",
         "{\"model\":\"b\",\"stream\":true,\"stream_options\":{\"include_usage\":true}}"},
        {"{\"stream_options\":{ \"include_obfuscation\":false},\"model\":\"a\",\"stream\":true}",
         "{\"stream_options\":{\"include_usage\":true, \"include_obfuscation\":false},"
         "\"model\":\"b\",\"stream\":true}"},
        {"{\"stream_options\":{\"include_usage\": false},\"model\":\"a\",\"stream\":true}",
         "{\"stream_options\":{\"include_usage\": true},\"model\":\"b\",\"stream\":true}"},
        {"{\"stream_options\":{\"include_usage\":null},\"model\":\"a\",\"stream\":true}",
         "{\"stream_options\":{\"include_usage\":true},\"model\":\"b\",\"stream\":true}"},
        {"{\"stream_options\":{\"include_usage\":true},\"model\":\"a\",\"stream\":true}",
         "{\"stream_options\":{\"include_usage\":true},\"model\":\"b\",\"stream\":true}"},
        /* the provider's to refuse */
        {"{\"stream_options\":{\"include_usage\":1},\"model\":\"a\",\"stream\":true}",
         "{\"stream_options\":{\"include_usage\":1},\"model\":\"b\",\"stream\":true}"},
        {"{\"stream_options\":[],\"model\":\"a\",\"stream\":true}",
         "{\"stream_options\":[],\"model\":\"b\",\"stream\":true}"},
        {"{\"stream_options\":{\"include_usage\":false,\"include_usage\":false},\"model\":\"a\","
         "\"stream\":true}",
         "{\"stream_options\":{\"include_usage\":false,\"include_usage\":false},\"model\":\"b\","
         "\"stream\":true}"},
        {"{\"stream_options\":{\"includ\\u0065_usage\":false},\"model\":\"a\",\"stream\":true}",
         "{\"stream_options\":{\"includ\\u0065_usage\":false},\"model\":\"b\",\"stream\":true}"},
        /* not a stream */
        {"{\"model\":\"a\",\"stream_options\":null}", "{\"model\":\"b\",\"stream_options\":null}"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        edited(cases[i].body, "b", true, cases[i].want);
    }
    edited("{\"model\":\"a\",\"stream\":true}", "a", true,
           "{\"model\":\"a\",\"stream_options\":{\"include_usage\":true},\"stream\":true}");
    edited("{\"model\":\"a\",\"stream\":true}", "b", false, "{\"model\":\"b\",\"stream\":true}");
}

static void only_true_asks_for_usage(void **state)
{
    (void)state;
    assert_true(check_wants_usage(
        wire, "{\"model\":\"a\",\"stream\":true,\"stream_options\":{\"include_usage\":true}}"));
    assert_false(check_wants_usage(wire, "{\"model\":\"a\",\"stream\":true}"));
    assert_false(check_wants_usage(wire, "{\"model\":\"a\",\"stream_options\":null}"));
    assert_false(
        check_wants_usage(wire, "{\"model\":\"a\",\"stream_options\":{\"include_usage\":false}}"));
    assert_false(check_wants_usage(
        wire, "{\"model\":\"a\",\"stream_options\":{\"include_usage\":\"true\"}}"));
    assert_false(check_wants_usage(
        wire,
        "{\"model\":\"a\",\"stream_options\":{\"include_usage\":true,\"include_usage\":true}}"));
}

/* ---- streams ------------------------------------------------------------- */

static void s20_usage_is_shown_to_those_who_asked(void **state)
{
    check_run_t *asked = check_fixture(wire, false, "chat_usage.sse");
    check_run_t *hidden = check_fixture(wire, true, "chat_usage.sse");
    size_t len;
    char *bytes = check_load("chat_usage.sse", &len);

    (void)state;
    assert_string_equal(asked->classes, "pccccE");
    assert_string_equal(hidden->classes, "pcccHcE");
    assert_int_equal(asked->out_len, len);
    assert_memory_equal(asked->out, bytes, len);
    assert_false(check_has(relay_span(hidden->out, hidden->out_len), "prompt_tokens"));
    assert_true(hidden->closed && hidden->stream.finish_seen && hidden->stream.end_seen);
    assert_int_equal(hidden->stream.usage.input_tokens, 31);
    assert_int_equal(hidden->stream.usage.cached_tokens, 16);
    assert_int_equal(hidden->stream.usage.cache_write_tokens, 8);
    assert_int_equal(hidden->stream.usage.output_tokens, 12);
    assert_int_equal(hidden->stream.usage.reasoning_tokens, 5);
    assert_string_equal(hidden->stream.finish, "stop");
    assert_string_equal(hidden->stream.id, "chatcmpl-relay7");
    assert_string_equal(hidden->stream.model, "fable-3");
    assert_int_equal(hidden->stream.created, 1789000001);
    free(bytes);
    free(asked);
    free(hidden);
}

static void f6_comments_are_no_data(void **state)
{
    check_run_t *run = check_fixture(wire, true, "chat_tools.sse");

    (void)state;
    assert_string_equal(run->classes, "pcccccE");
    assert_true(run->stream.tool_seen);
    assert_string_equal(run->stream.finish, "tool_calls");
    assert_true(check_has(relay_span(run->out, run->out_len), ": warming up\n\n:\n\n"));
    free(run);
}

static void choices_end_one_by_one(void **state)
{
    check_run_t *run = check_fixture(wire, true, "chat_two_choices.sse");
    relay_stream_t stream = {.wire = wire};

    (void)state;
    assert_string_equal(run->classes, "ppccccE");
    assert_string_equal(run->stream.finish, "length");
    free(run);
    check_data(&stream, "",
               "{\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"}},"
               "{\"index\":127,\"delta\":{\"content\":\"b\"}}]}");
    check_data(&stream, "", "{\"choices\":[{\"index\":0,\"finish_reason\":\"stop\"}]}");
    assert_false(stream.finish_seen);
    check_data(&stream, "", "{\"choices\":[{\"index\":127,\"finish_reason\":\"stop\"}]}");
    assert_true(stream.finish_seen);
    check_data(&stream, "", "{\"choices\":[{\"index\":5,\"delta\":{\"content\":\"late\"}}]}");
    assert_false(stream.finish_seen);
}

static void assert_run(const char *text, bool hide, const char *classes, bool closed,
                       const char *out)
{
    check_run_t *run = check_literal(wire, hide, text);

    assert_string_equal(run->classes, classes);
    assert_int_equal(run->closed, closed);
    check_span(relay_span(run->out, run->out_len), out);
    free(run);
}

static void f17_the_end_is_made_whole(void **state)
{
    (void)state;
    /* (a) a finish reason, then nothing */
    assert_run(ROLE HELLO FINISH, true, "pcc", true, ROLE HELLO FINISH END);
    /* (c) no finish reason */
    assert_run(ROLE HELLO END, true, "pcE", true,
               ROLE HELLO
               "data: {\"id\":\"c7\",\"object\":\"chat.completion.chunk\",\"created\":9,"
               "\"model\":\"fable\",\"choices\":[{\"index\":0,\"delta\":{},\"logprobs\":null,"
               "\"finish_reason\":\"stop\"}]}\n\n" END);
    assert_run(CHUNK("\"tool_calls\":[{\"index\":0}]", ",\"finish_reason\":\"\"") END, true, "cE",
               true,
               CHUNK("\"tool_calls\":[{\"index\":0}]",
                     ",\"finish_reason\":\"\"") "data: "
                                                "{\"id\":\"c7\",\"object\":\"chat.completion."
                                                "chunk\",\"created\":9,"
                                                "\"model\":\"fable\",\"choices\":[{\"index\":0,"
                                                "\"delta\":{},\"logprobs\":null,"
                                                "\"finish_reason\":\"tool_calls\"}]}\n\n" END);
    /* (d) neither */
    assert_run(ROLE HELLO, true, "pc", false, ROLE HELLO);
    assert_run("", true, "", false, "");
    /* the last blank line is missing */
    assert_run(ROLE HELLO FINISH "data: [DONE]", true, "pccE", true, ROLE HELLO FINISH END);
    /* an answer that never began does not end well */
    assert_run(END, true, "e", false, END);
}

static void nothing_follows_the_end(void **state)
{
    (void)state;
    assert_run(ROLE HELLO FINISH END HELLO USAGE_CHUNK END ": bye\n\n", false, "pccEHiHiHi", true,
               ROLE HELLO FINISH END);
}

static void f14_a_cut_event_is_dropped(void **state)
{
    (void)state;
    assert_run(ROLE HELLO "data: {\"id\":\"c7\",\"choices\":[{\"ind", true, "pcHi", false,
               ROLE HELLO);
    assert_run(ROLE HELLO "event: error\ndata: {\"err", true, "pcHi", false, ROLE HELLO);
}

static void s19_chunks_without_choices(void **state)
{
    static const char *const chunks[] = {
        "data: {\"id\":\"c7\",\"choices\":[]," USAGE(7) "}\n\n",
        "data: {\"id\":\"c7\",\"choices\":null," USAGE(7) "}\n\n",
        "data: {\"id\":\"c7\"," USAGE(7) "}\n\n",
    };
    char text[1024];

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        check_run_t *run;
        snprintf(text, sizeof(text), "%s%s%s%s", HELLO, FINISH, chunks[i], END);
        run = check_literal(wire, true, text);
        assert_string_equal(run->classes, "ccHcE");
        assert_int_equal(run->stream.usage.input_tokens, 7);
        free(run);
    }
    assert_run("data: {\"id\":\"\",\"choices\":[],\"prompt_filter_results\":[]}\n\n" HELLO FINISH
               "data: {\"choices\":[{\"index\":0,\"content_filter_offsets\":{}}]}\n\n" END,
               true, "pccpE", true,
               "data: {\"id\":\"\",\"choices\":[],\"prompt_filter_results\":[]}\n\n" HELLO FINISH
               "data: {\"choices\":[{\"index\":0,\"content_filter_offsets\":{}}]}\n\n" END);
}

static void usage_alone_before_content_is_no_content(void **state)
{
    (void)state;
    assert_run(USAGE_CHUNK ROLE, true, "Hpp", false, ROLE);
}

static void exactly_one_usage_chunk(void **state)
{
    (void)state;
    assert_run(HELLO FINISH USAGE_CHUNK USAGE_CHUNK END, false, "cccHcE", true,
               HELLO FINISH USAGE_CHUNK END);
}

static void usage_is_taken_wherever_it_is(void **state)
{
    check_run_t *run = check_literal(
        wire, true,
        HELLO "data: {\"choices\":[{\"delta\":{\"content\":\"x\"}}]," USAGE(
            5) "}\n\n"
               "data: "
               "{\"choices\":[{\"finish_reason\":\"eos\"}],\"usage\":null,\"x_groq\":{\"id\":1,"
               "\"usage\":{\"prompt_tokens\":6,\"completion_tokens\":null}}}\n\n" END);

    (void)state;
    assert_string_equal(run->classes, "cccE");
    assert_int_equal(run->stream.usage.input_tokens, 6);
    assert_int_equal(run->stream.usage.output_tokens, 2);
    assert_string_equal(run->stream.finish, "eos");
    free(run);
}

static void what_counts_as_content(void **state)
{
    static const struct {
        const char *delta;
        relay_event_class_t class;
    } cases[] = {
        {"{\"role\":\"assistant\"}", RELAY_EVENT_PRELUDE},
        {"{\"content\":\"\"}", RELAY_EVENT_PRELUDE},
        {"{\"content\":null,\"refusal\":null,\"tool_calls\":null}", RELAY_EVENT_PRELUDE},
        {"{\"tool_calls\":[ ],\"audio\":{ }}", RELAY_EVENT_PRELUDE},
        {"null", RELAY_EVENT_PRELUDE},
        {"{\"content\":\"a\"}", RELAY_EVENT_CONTENT},
        {"{\"content\":[{\"type\":\"thinking\"}]}", RELAY_EVENT_CONTENT},
        {"{\"refusal\":\"no\"}", RELAY_EVENT_CONTENT},
        {"{\"reasoning\":\"hm\"}", RELAY_EVENT_CONTENT},
        {"{\"reasoning_content\":\"hm\",\"content\":null}", RELAY_EVENT_CONTENT},
        {"{\"reasoning_details\":[{}]}", RELAY_EVENT_CONTENT},
        {"{\"tool_calls\":[{\"index\":0}]}", RELAY_EVENT_CONTENT},
        {"{\"function_call\":{\"name\":\"f\"}}", RELAY_EVENT_CONTENT},
        {"{\"audio\":{\"id\":\"a\"}}", RELAY_EVENT_CONTENT},
    };
    char data[256];

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        relay_stream_t stream = {.wire = wire};
        snprintf(data, sizeof(data), "{\"choices\":[{\"index\":0,\"delta\":%s}]}", cases[i].delta);
        assert_int_equal(check_data(&stream, "", data).class, cases[i].class);
        assert_int_equal(stream.content_seen, cases[i].class == RELAY_EVENT_CONTENT);
    }
}

static void odd_data_neither_commits_nor_fails(void **state)
{
    static const char *const data[] = {"hello",
                                       "{\"choices\":",
                                       "[]",
                                       "7",
                                       "{\"debug\":1}",
                                       "{\"error\":null}",
                                       "{\"error\":\"\"}",
                                       ""};

    (void)state;
    for (size_t i = 0; i < sizeof(data) / sizeof(data[0]); i++) {
        relay_stream_t stream = {.wire = wire};
        relay_verdict_t verdict = check_data(&stream, "", data[i]);
        assert_int_equal(verdict.class, RELAY_EVENT_IDLE);
        assert_false(verdict.hide);
    }
    assert_run("id: 4\nretry: 10\n\n" HELLO, true, "ic", false, "id: 4\nretry: 10\n\n" HELLO);
}

static void a_key_twice_is_read_like_the_client_reads_it(void **state)
{
    relay_stream_t stream = {.wire = wire};

    (void)state;
    assert_int_equal(check_data(&stream, "",
                                "{\"choices\":[],\"id\":\"x\",\"choic\\u0065s\":[{\"delta\":"
                                "{\"content\":\"a\"}}],\"model\":\"m\",\"model\":\"n\"}")
                         .class,
                     RELAY_EVENT_CONTENT);
    assert_string_equal(stream.model, "n");
}

static void x4_errors_in_every_shape(void **state)
{
    static const struct {
        const char *data;
        unsigned status;
    } cases[] = {
        {"{\"error\":{\"message\":\"m\",\"type\":\"server_error\",\"code\":null}}", 500},
        {"{\"error\":{\"type\":\"service_unavailable_error\",\"code\":\"server_is_overloaded\"}}",
         503},
        {"{\"error\":{\"type\":\"overloaded_error\"}}", 529},
        {"{\"error\":{\"type\":\"requests\",\"code\":\"rate_limit_exceeded\"}}", 429},
        {"{\"error\":{\"type\":\"invalid_request_error\",\"code\":\"context_length_exceeded\"}}",
         400},
        {"{\"error\":{\"type\":\"invalid_request_error\",\"code\":\"invalid_api_key\"}}", 401},
        {"{\"error\":{\"type\":\"permission_error\"}}", 403},
        {"{\"error\":{\"type\":\"not_found_error\"}}", 404},
        {"{\"error\":{\"type\":\"timeout_error\"}}", 504},
        {"{\"error\":{\"code\":502,\"message\":\"Upstream\",\"metadata\":{}},\"choices\":[{"
         "\"index\":0,\"delta\":{\"content\":\"\"},\"finish_reason\":\"error\"}]}",
         502},
        {"{\"error\":{\"code\":\"429\"}}", 429},
        {"{\"error\":{\"code\":200}}", 502},
        {"{\"error\":{}}", 502},
        {"{\"error\":\"not found\",\"code\":\"model_not_found\"}", 404},
        {"{\"code\":\"Something else\",\"error\":\"bad\"}", 502},
        {"{\"object\":\"error\",\"message\":\"bad\",\"type\":\"BadRequestError\",\"code\":400}",
         400},
        {"{\"object\":\"error\",\"message\":{\"detail\":[{\"msg\":\"x\"}]},\"type\":\"Unknown\"}",
         502},
        {"{\"message\":\"Unauthorized\",\"request_id\":\"r\",\"code\":\"unauthorized\"}", 401},
        {"{\"detail\":\"Internal\"}", 502},
        {"[{\"error\":{\"code\":503,\"message\":\"busy\"}}]", 503},
        {"{\"choices\":[{\"finish_reason\":\"error\"}]}", 502},
        {"{\"choices\":[{\"error\":{\"code\":504}}]}", 504},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(check_error_status(wire, cases[i].data), cases[i].status);
    }
}

static void an_event_named_error_is_one(void **state)
{
    relay_stream_t stream = {.wire = wire};

    (void)state;
    assert_int_equal(check_data(&stream, "error", "Bad gateway").class, RELAY_EVENT_ERROR);
    assert_int_equal(stream.error_status, 502);
    stream = (relay_stream_t){.wire = wire};
    assert_int_equal(check_data(&stream, "error", "{\"code\":429}").class, RELAY_EVENT_ERROR);
    assert_int_equal(stream.error_status, 429);
}

static void f15_no_good_end_after_an_error(void **state)
{
    check_run_t *run = check_fixture(wire, true, "chat_error.sse");

    (void)state;
    assert_string_equal(run->classes, "pceHi");
    assert_false(run->closed);
    assert_int_equal(run->stream.error_status, 503);
    assert_false(check_has(relay_span(run->out, run->out_len), "[DONE]"));
    free(run);
}

static void f15_our_error_is_one_event(void **state)
{
    char bytes[512];
    relay_buf_t out = relay_buf(bytes, sizeof(bytes));
    relay_stream_t stream = {.wire = wire, .content_seen = true, .begun = true};
    relay_error_t error = {.code = RELAY_ERR_UPSTREAM_CUT};

    (void)state;
    wire->error_event(&stream, &out, &error, RELAY_SPAN("r"));
    check_span(relay_buf_span(&out),
               "data: {\"error\":{\"message\":\"The provider's answer ended before it was "
               "complete.\",\"type\":\"server_error\",\"param\":null,\"code\":\"upstream_cut\"}}"
               "\n\n");
    out.len = 0;
    assert_false(wire->close(&stream, &out));
    assert_int_equal(out.len, 0);
}

/* ---- whole answers ------------------------------------------------------- */

static relay_answer_t answer_of(const char *body)
{
    relay_answer_t answer;

    memset(&answer, 0xff, sizeof(answer));
    wire->answer(check_text(body), &answer);
    return answer;
}

static void answers_are_read(void **state)
{
    relay_answer_t answer =
        answer_of("\n\n\n{\"id\":\"c\",\"choices\":[{\"index\":0,\"message\":{\"content\":\"x\"},"
                  "\"finish_reason\":\"length\"}]," USAGE(7) "}\n");

    (void)state;
    assert_true(answer.usage.known);
    assert_int_equal(answer.usage.input_tokens, 7);
    assert_int_equal(answer.usage.output_tokens, 2);
    assert_string_equal(answer.finish, "length");
    assert_false(answer.is_error);
}

static void error_bodies_are_read(void **state)
{
    static const struct {
        const char *body;
        const char *type;
        const char *message;
    } cases[] = {
        {"{\"error\":{\"message\":\"say \\\"x\\\"\",\"type\":\"t\",\"code\":\"c\"}}", "c",
         "say \\\"x\\\""},
        {"{\"error\":{\"message\":\"m\",\"type\":\"t\",\"code\":null}}", "t", "m"},
        {"{\"error\":{\"message\":\"m\",\"code\":402}}", "402", "m"},
        {"{\"code\":\"bad\",\"error\":\"text\"}", "bad", "text"},
        {"{\"object\":\"error\",\"message\":{\"detail\":[{\"msg\":\"Field required\"}]},"
         "\"type\":\"t\"}",
         "t", "Field required"},
        {"{\"detail\":\"Not Found\"}", "", "Not Found"},
        {"{\"detail\":[{\"msg\":\"deep\"}]}", "", "deep"},
        {"[{\"error\":{\"message\":\"wrapped\",\"code\":400}}]", "400", "wrapped"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        relay_answer_t answer = answer_of(cases[i].body);
        assert_true(answer.is_error);
        assert_string_equal(answer.error_type, cases[i].type);
        check_span(answer.message, cases[i].message);
    }
    assert_true(answer_of("{\"choices\":[{\"finish_reason\":\"error\"}]}").is_error);
}

static void other_bodies_say_nothing(void **state)
{
    static const char *const bodies[] = {"",
                                         "<html>502</html>",
                                         "{\"choices\":",
                                         "null",
                                         "[1,2]",
                                         "{\"id\":\"x\",\"choices\":[],\"message\":\"hi\"}"};

    (void)state;
    for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
        relay_answer_t answer = answer_of(bodies[i]);
        assert_false(answer.is_error);
        assert_false(answer.usage.known);
        assert_string_equal(answer.finish, "");
        assert_string_equal(answer.error_type, "");
        assert_int_equal(answer.message.len, 0);
    }
}

static void long_texts_are_cut_to_fit(void **state)
{
    char body[1024] = "{\"error\":{\"code\":\"";
    relay_answer_t answer;

    (void)state;
    memset(body + strlen(body), 'x', 600);
    memcpy(body + strlen(body), "\"}}", 4);
    answer = answer_of(body);
    assert_int_equal(strlen(answer.error_type), sizeof(answer.error_type) - 1);
}

/* ---- echo ---------------------------------------------------------------- */

#define TURN "{\"role\":\"user\",\"content\":"

static void echo_is_a_valid_answer(void **state)
{
    relay_usage_t usage;
    size_t len;
    char *text = check_echo(wire,
                            "{\"model\":\"relay/echo\",\"messages\":[{\"role\":\"system\","
                            "\"content\":\"s\"}," TURN "\"old\"}," TURN
                            "\"Gr\xc3\xbc\xc3\x9f \\\"Gott\\\" \\ud83c\\udf0d\"},"
                            "{\"role\":\"assistant\",\"content\":\"a\"}]}",
                            false, false, &len, &usage);
    relay_answer_t answer = answer_of(text);

    (void)state;
    check_json(check_text(text));
    assert_non_null(strstr(text, "\"content\":\"Gr\xc3\xbc\xc3\x9f \\\"Gott\\\" \\ud83c\\udf0d\""));
    assert_non_null(strstr(text, "\"id\":\"chatcmpl-0123456789abcdef0123456789abcdef\""));
    assert_non_null(strstr(text, "\"object\":\"chat.completion\",\"created\":1789000003"));
    assert_non_null(strstr(text, "\"model\":\"relay/echo\""));
    assert_string_equal(answer.finish, "stop");
    check_usage(&answer.usage, &usage);
    free(text);
}

/* Runs the stream of the echo model through the observer. */
static char *echo_streamed(const char *body, bool include_usage, const char *finish)
{
    relay_usage_t usage;
    size_t len;
    char *text = check_echo(wire, body, true, include_usage, &len, &usage), *content;
    check_run_t *run = malloc(sizeof(*run));

    assert_non_null(run);
    check_run(run, wire, false, relay_span(text, len), len, len);
    assert_true(run->closed && run->stream.end_seen);
    assert_string_equal(run->stream.finish, finish);
    assert_int_equal(run->stream.usage.known, include_usage);
    if (include_usage) {
        check_usage(&run->stream.usage, &usage);
    }
    assert_int_equal(run->out_len, len);
    content = check_collect(text, "\"content\":\"");
    free(text);
    free(run);
    return content;
}

static void echo_streams_in_pieces(void **state)
{
    char *content = echo_streamed("{\"messages\":[" TURN
                                  "\"one two three \\n\\\\ \xe4\xb8\x96\xe7\x95\x8c \\ud83c\\udf0d"
                                  "\\u00e9\\ud800!\"}]}",
                                  true, "stop");

    (void)state;
    assert_string_equal(content, "one two three \n\\ \xe4\xb8\x96\xe7\x95\x8c \xf0\x9f\x8c\x8d"
                                 "\xc3\xa9\xef\xbf\xbd!");
    free(content);
}

static void echo_asked_for_usage_says_null_before(void **state)
{
    relay_usage_t usage;
    size_t len;
    char *text = check_echo(wire, "{\"messages\":[" TURN "\"hi\"}]}", true, true, &len, &usage);

    (void)state;
    assert_string_equal(
        text,
        "data: {\"id\":\"chatcmpl-0123456789abcdef0123456789abcdef\",\"object\":"
        "\"chat.completion.chunk\",\"created\":1789000003,\"model\":\"relay/echo\",\"choices\":[{"
        "\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\",\"refusal\":null},"
        "\"logprobs\":null,\"finish_reason\":null}],\"usage\":null}\n\n"
        "data: {\"id\":\"chatcmpl-0123456789abcdef0123456789abcdef\",\"object\":"
        "\"chat.completion.chunk\",\"created\":1789000003,\"model\":\"relay/echo\",\"choices\":[{"
        "\"index\":0,\"delta\":{\"content\":\"hi\"},\"logprobs\":null,\"finish_reason\":null}],"
        "\"usage\":null}\n\n"
        "data: {\"id\":\"chatcmpl-0123456789abcdef0123456789abcdef\",\"object\":"
        "\"chat.completion.chunk\",\"created\":1789000003,\"model\":\"relay/echo\",\"choices\":[{"
        "\"index\":0,\"delta\":{},\"logprobs\":null,\"finish_reason\":\"stop\"}],\"usage\":null}"
        "\n\n"
        "data: {\"id\":\"chatcmpl-0123456789abcdef0123456789abcdef\",\"object\":"
        "\"chat.completion.chunk\",\"created\":1789000003,\"model\":\"relay/echo\",\"choices\":[],"
        "\"usage\":{\"prompt_tokens\":8,\"completion_tokens\":1,\"total_tokens\":9,"
        "\"prompt_tokens_details\":{\"cached_tokens\":0},\"completion_tokens_details\":{"
        "\"reasoning_tokens\":0}}}\n\ndata: [DONE]\n\n");
    free(text);
}

static void echo_finds_the_text(void **state)
{
    static const struct {
        const char *body;
        const char *text;
    } cases[] = {
        {"{\"messages\":[" TURN "[{\"type\":\"text\",\"text\":\"a \"},{\"type\":\"image_url\","
         "\"image_url\":{\"url\":\"u\"}},{\"type\":\"text\",\"text\":\"b\"}]}]}",
         "a b"},
        {"{\"messages\":[" TURN "\"\"}]}", "Hello from Relay."},
        {"{\"messages\":[" TURN "null}]}", "Hello from Relay."},
        {"{\"messages\":[{\"role\":\"system\",\"content\":\"s\"}]}", "Hello from Relay."},
        {"{\"messages\":[7,[],\"x\"," TURN "[1,{\"type\":\"text\"},[]]}]}", "Hello from Relay."},
        {"{\"messages\":7}", "Hello from Relay."},
        {"{}", "Hello from Relay."},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char *content = echo_streamed(cases[i].body, false, "stop");
        assert_string_equal(content, cases[i].text);
        free(content);
    }
}

/* A body with a long text. The caller frees. */
static char *long_body(size_t size)
{
    char *body = malloc(size + 128);

    assert_non_null(body);
    size_t head = (size_t)snprintf(body, 128, "{\"messages\":[" TURN "\"");
    memset(body + head, 'x', size);
    memcpy(body + head + size, "\"}]}", 5);
    return body;
}

static void echo_never_sends_half_a_pair(void **state)
{
    relay_usage_t usage;
    size_t len;
    char *text = check_echo(wire, "{\"messages\":[" TURN "\"a\\ud83c b\\udf0d\"}]}", false, false,
                            &len, &usage);

    (void)state;
    assert_non_null(strstr(text, "\"content\":\"a\\ufffd b\\ufffd\""));
    free(text);
}

static void echo_has_a_limit(void **state)
{
    static const struct {
        size_t size;
        size_t answered;
        const char *finish;
    } cases[] = {{RELAY_ECHO_TEXT_MAX, RELAY_ECHO_TEXT_MAX, "stop"},
                 {RELAY_ECHO_TEXT_MAX + 1, RELAY_ECHO_TEXT_MAX, "length"},
                 {400000, RELAY_ECHO_TEXT_MAX, "length"}};

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        char *body = long_body(cases[i].size);
        char *content = echo_streamed(body, true, cases[i].finish);
        assert_int_equal(strlen(content), cases[i].answered);
        free(content);
        free(body);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_the_model_changes),
        cmocka_unit_test(usage_is_asked_for_by_the_smallest_splice),
        cmocka_unit_test(only_true_asks_for_usage),
        cmocka_unit_test(s20_usage_is_shown_to_those_who_asked),
        cmocka_unit_test(f6_comments_are_no_data),
        cmocka_unit_test(choices_end_one_by_one),
        cmocka_unit_test(f17_the_end_is_made_whole),
        cmocka_unit_test(nothing_follows_the_end),
        cmocka_unit_test(f14_a_cut_event_is_dropped),
        cmocka_unit_test(s19_chunks_without_choices),
        cmocka_unit_test(usage_alone_before_content_is_no_content),
        cmocka_unit_test(exactly_one_usage_chunk),
        cmocka_unit_test(usage_is_taken_wherever_it_is),
        cmocka_unit_test(what_counts_as_content),
        cmocka_unit_test(odd_data_neither_commits_nor_fails),
        cmocka_unit_test(a_key_twice_is_read_like_the_client_reads_it),
        cmocka_unit_test(x4_errors_in_every_shape),
        cmocka_unit_test(an_event_named_error_is_one),
        cmocka_unit_test(f15_no_good_end_after_an_error),
        cmocka_unit_test(f15_our_error_is_one_event),
        cmocka_unit_test(answers_are_read),
        cmocka_unit_test(error_bodies_are_read),
        cmocka_unit_test(other_bodies_say_nothing),
        cmocka_unit_test(long_texts_are_cut_to_fit),
        cmocka_unit_test(echo_is_a_valid_answer),
        cmocka_unit_test(echo_streams_in_pieces),
        cmocka_unit_test(echo_asked_for_usage_says_null_before),
        cmocka_unit_test(echo_finds_the_text),
        cmocka_unit_test(echo_never_sends_half_a_pair),
        cmocka_unit_test(echo_has_a_limit),
    };

    return cmocka_run_group_tests_name("wire_openai_chat", tests, NULL, NULL);
}
