/*
 * What users of gateways met at the ends of translated streams and beside their blocks, each
 * under its id: reasons to stop, usage, signs of life, what clients require to be there.
 */

#include "translate_stream.c"

#include "stream_story.h"

typedef struct {
    const char *upstream;
    const char *story;
} from_t;

/* ---- why it stopped ------------------------------------------------------------------ */

static void s7_every_reason_to_stop_has_its_word(void **state)
{
    static const story_stop_t length = {
        {"max_tokens", "length", "max_output_tokens", "MAX_TOKENS"}};
    static const story_stop_t refusal = {{"refusal", "content_filter", "content_filter", "SAFETY"}};
    static const story_stop_t sequence = {{"stop_sequence", "stop", "completed", "STOP"}};
    static const story_stop_t context = {
        {"model_context_window_exceeded", "length", "max_output_tokens", "MAX_TOKENS"}};
    static const story_stop_t pause = {{"pause_turn", "stop", "completed", "STOP"}};
    static const struct {
        from_t from;
        const story_stop_t *stop;
    } ends[] = {
        {{CHAT, C_DELTA("'content':'Hi'") C_END("stop")}, &story_end},
        {{CHAT, C_DELTA("'content':'Hi'") C_END("length")}, &length},
        {{CHAT, C_DELTA("'content':'Hi'") C_END("content_filter")}, &refusal},
        {{CHAT, C_DELTA("'content':'Hi'") C_END("a_new_word")}, &story_end},
        {{MESSAGES, M_START M_TEXT("0", "Hi") M_END("end_turn")}, &story_end},
        {{MESSAGES, M_START M_TEXT("0", "Hi") M_END("max_tokens")}, &length},
        {{MESSAGES, M_START M_TEXT("0", "Hi") M_END("refusal")}, &refusal},
        {{MESSAGES, M_START M_TEXT("0", "Hi") M_END("stop_sequence")}, &sequence},
        {{MESSAGES, M_START M_TEXT("0", "Hi") M_END("pause_turn")}, &pause},
        {{MESSAGES, M_START M_TEXT("0", "Hi") M_END("model_context_window_exceeded")}, &context},
        {{RESPONSES, R_START R_TEXT("0", "Hi") R_END}, &story_end},
        {{RESPONSES, R_START R_TEXT("0", "Hi")
                         R_RESPONSE("response.incomplete", "incomplete",
                                    ",'incomplete_details':{'reason':'max_output_tokens'},"
                                    "'output':[]" R_USAGE)},
         &length},
        {{RESPONSES,
          R_START R_TEXT("0", "Hi") R_RESPONSE("response.incomplete", "incomplete",
                                               ",'incomplete_details':{'reason':'content_filter'},"
                                               "'output':[]" R_USAGE)},
         &refusal},
        {{GEMINI, G_PARTS("{'text':'Hi'}") G_END("STOP")}, &story_end},
        {{GEMINI, G_PARTS("{'text':'Hi'}") G_END("MAX_TOKENS")}, &length},
        {{GEMINI, G_PARTS("{'text':'Hi'}") G_END("SAFETY")}, &refusal},
        {{GEMINI, G_PARTS("{'text':'Hi'}") G_END("RECITATION")}, &refusal},
        {{CONVERSE, V_START V_TEXT("0", "Hi") V_END("end_turn")}, &story_end},
        {{CONVERSE, V_START V_TEXT("0", "Hi") V_END("max_tokens")}, &length},
        {{CONVERSE, V_START V_TEXT("0", "Hi") V_END("guardrail_intervened")}, &refusal},
        {{CONVERSE, V_START V_TEXT("0", "Hi") V_END("content_filtered")}, &refusal},
        {{CONVERSE, V_START V_TEXT("0", "Hi") V_END("stop_sequence")}, &sequence},
        {{CONVERSE, V_START V_TEXT("0", "Hi") V_END("model_context_window_exceeded")}, &context},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
        story_told(ends[i].from.upstream, ends[i].from.story, "text(Hi)", ends[i].stop, "11/3/5");
    }
}

static void s7_a_call_is_a_reason_of_its_own(void **state)
{
    static const from_t from[] = {
        {CHAT, C_CALL("'index':0,'id':'c1','type':'function','function':{'name':'f',"
                      "'arguments':'{}'}") C_END("stop")},
        {CHAT, C_CALL("'index':0,'id':'c1','type':'function','function':{'name':'f',"
                      "'arguments':'{}'}") C_END("")},
        {MESSAGES, M_START M_BLOCK("0", "'type':'tool_use','id':'c1','name':'f','input':{}")
                       M_STOP("0") M_END("end_turn")},
        {RESPONSES, R_START R_CALL("0", "c1", "f", "{}") R_END},
        {GEMINI, G_PARTS("{'functionCall':{'name':'f','args':{}}}") G_END("STOP")},
        {CONVERSE, V_START V_CALL("0", "c1", "f") V_STOP("0") V_END("end_turn")},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(from) / sizeof(from[0]); i++) {
        story_told(from[i].upstream, from[i].story, "call(f,{})", &story_tools, "11/3/5");
    }
}

static void s27_what_a_response_lacks_is_told(void **state)
{
    static const char begun[] = R_START R_ADDED("0", "'type':'message','role':'assistant',"
                                                     "'content':[]")
        R_AT("response.output_text.delta", "0", ",'content_index':0,'delta':'Hi'");
    static const story_stop_t length = {
        {"max_tokens", "length", "max_output_tokens", "MAX_TOKENS"}};
    char text[STORY_MAX];
    story_t told;

    (void)state;
    snprintf(
        text, sizeof(text), "%s%s", begun,
        R_RESPONSE("response.incomplete", "incomplete",
                   ",'incomplete_details':{'reason':'max_output_tokens'},'output':[]" R_USAGE));
    story_told(RESPONSES, text, "text(Hi)", &length, "11/3/5");
    snprintf(text, sizeof(text), "%s%s", begun,
             R_RESPONSE("response.failed", "failed",
                        ",'error':{'code':'server_error','message':'It broke.'},"
                        "'output':[]" R_USAGE));
    story_told(RESPONSES, text, "text(Hi) error(It broke.)", NULL, NULL);
    story_open(&told, RESPONSES, text, 0);
    assert_int_equal(told.stream.usage.input_tokens, 11);
    assert_int_equal(told.stream.usage.output_tokens, 5);
    story_close(&told);
}

/* ---- usage --------------------------------------------------------------------------- */

static void s19_chunks_without_choices_do_no_harm(void **state)
{
    static const char *const chunks[] = {
        "data: {'id':'c','choices':[]}\n\n",
        "data: {'id':'c','choices':null}\n\n",
        "data: {'id':'c','model':'m'}\n\n",
        "data: {}\n\n",
        "data: {'id':'c','choices':[null]}\n\n",
        "data: {'id':'c','choices':[{'index':0,'delta':null,'finish_reason':null}]}\n\n",
        "data: {'id':'c','choices':[{'index':0}]}\n\n",
    };
    static const char *const usages[] = {
        C_USAGE,
        "data: {'id':'c','choices':null,'usage':{'prompt_tokens':11,'completion_tokens':5,"
        "'total_tokens':16,'prompt_tokens_details':{'cached_tokens':3}}}\n\n",
        "data: {'id':'c','usage':{'prompt_tokens':11,'completion_tokens':5,"
        "'total_tokens':16,'prompt_tokens_details':{'cached_tokens':3}}}\n\n",
    };
    char story[STORY_MAX];

    (void)state;
    for (size_t i = 0; i < sizeof(chunks) / sizeof(chunks[0]); i++) {
        snprintf(story, sizeof(story), "%s%s%s%s%s%s", chunks[i], C_DELTA("'content':'H'"),
                 chunks[i], C_DELTA("'content':'i'") C_FINISH("stop"),
                 usages[i % (sizeof(usages) / sizeof(usages[0]))], C_DONE);
        story_told(CHAT, story, "text(Hi)", &story_end, "11/3/5");
    }
}

static const from_t whole[] = {
    {CHAT, C_DELTA("'role':'assistant','content':'Hi'") C_END("stop")},
    {MESSAGES, M_START M_TEXT("0", "Hi") M_END("end_turn")},
    {RESPONSES, R_START R_TEXT("0", "Hi") R_END},
    {GEMINI, G_PARTS("{'text':'Hi'}") G_END("STOP")},
    {CONVERSE, V_START V_TEXT("0", "Hi") V_END("end_turn")},
};

enum { WHOLE = sizeof(whole) / sizeof(whole[0]) };

/* Times that a text is in another. */
static unsigned times(relay_span_t text, const char *part)
{
    const uint8_t *at = text.base, *end = text.base + text.len;
    unsigned count = 0;

    while ((at = memmem(at, (size_t)(end - at), part, strlen(part))) != NULL) {
        at += strlen(part);
        count++;
    }
    return count;
}

/* Who asks gets one chunk with empty choices, others none; upstreams are always asked. */
static void s20_usage_is_for_who_asked(void **state)
{
    static const struct {
        const char *options;
        bool wanted;
    } asked[] = {
        {"", false},
        {",'stream_options':null", false},
        {",'stream_options':{'include_usage':false}", false},
        {",'stream_options':{'include_usage':true}", true},
    };
    char body[1024];
    story_text_t text;
    translate_t run;
    translate_stream_t stream;
    stream_check_t check;
    relay_span_t out;

    (void)state;
    for (size_t i = 0; i < 4 * WHOLE; i++) {
        translate_open(&run, CHAT, whole[i / 4].upstream);
        snprintf(body, sizeof(body),
                 "{'model':'m','messages':[{'role':'user','content':'Hi'}],'max_tokens':9,"
                 "'stream':true%s}",
                 asked[i % 4].options);
        assert_int_equal(relay_translate_request(
                             &run.translation, relay_wire_cstring(story_quoted(body, &text)), &out),
                         RELAY_ERR_NONE);
        assert_int_equal(run.translation.usage_wanted, asked[i % 4].wanted);
        if (strcmp(whole[i / 4].upstream, CHAT) == 0) {
            translate_has(out, "\"stream_options\":{\"include_usage\":true}");
        }
        stream =
            translate_stream(&run.translation, story_quoted(whole[i / 4].story, &text), &check);
        out = relay_buf_span(&stream.output.buf);
        assert_int_equal(check.usage, asked[i % 4].wanted);
        assert_int_equal(times(out, "\"choices\":[],\"usage\":{"), asked[i % 4].wanted ? 1 : 0);
        assert_int_equal(times(out, "prompt_tokens"), asked[i % 4].wanted ? 2 : 0); /* _details */
        assert_int_equal(stream.usage.output_tokens, 5); /* it is metered all the same */
        free(stream.output.buf.base);
        translate_close(&run);
    }
}

static void s20_a_caller_of_chat_is_asked_about_only_once(void **state)
{
    static const char *const callers[][2] = {
        {MESSAGES, "{'model':'m','max_tokens':9,'messages':[{'role':'user','content':'Hi'}],"
                   "'stream':true}"},
        {RESPONSES, "{'model':'m','input':'Hi','stream':true}"},
    };
    story_text_t text;
    translate_t run;
    relay_span_t out;

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        translate_open(&run, callers[i][0], CHAT);
        assert_int_equal(
            relay_translate_request(&run.translation,
                                    relay_wire_cstring(story_quoted(callers[i][1], &text)), &out),
            RELAY_ERR_NONE);
        assert_int_equal(times(out, "\"include_usage\":true"), 1);
        translate_close(&run);
    }
}

/* Merged field by field; a later number replaces, null does not; the total is made anew. */
static void s22_usage_of_messages_is_merged(void **state)
{
    static const struct {
        const char *start;
        const char *end;
        const char *tokens;
    } usages[] = {
        {"'input_tokens':8,'cache_read_input_tokens':3,'cache_creation_input_tokens':2,"
         "'output_tokens':1",
         "'output_tokens':5", "13/3/5"},
        {"'input_tokens':8,'cache_read_input_tokens':3,'output_tokens':4",
         "'input_tokens':9,'cache_read_input_tokens':4,'output_tokens':5", "13/4/5"},
        {"'input_tokens':8,'cache_read_input_tokens':3,'output_tokens':1",
         "'input_tokens':null,'cache_read_input_tokens':null,'output_tokens':5", "11/3/5"},
        {"'input_tokens':0,'output_tokens':0",
         "'input_tokens':8,'cache_read_input_tokens':3,'output_tokens':5", "11/3/5"},
    };
    char story[STORY_MAX];

    (void)state;
    for (size_t i = 0; i < sizeof(usages) / sizeof(usages[0]); i++) {
        snprintf(story, sizeof(story),
                 "event: message_start\ndata: {'type':'message_start','message':{'id':'m','type':"
                 "'message','role':'assistant','model':'m','content':[],'usage':{%s}}}\n\n%s"
                 "event: message_delta\ndata: {'type':'message_delta','delta':{},"
                 "'usage':{'output_tokens':2}}\n\n"
                 "event: message_delta\ndata: {'type':'message_delta','delta':{'stop_reason':"
                 "'end_turn'},'usage':{%s}}\n\n%s",
                 usages[i].start, M_TEXT("0", "Hi"), usages[i].end, EVENT("message_stop", ""));
        story_told(MESSAGES, story, "text(Hi)", &story_end, usages[i].tokens);
    }
}

/* message_delta of a stream that OpenAI's formats are behind has the real counts. */
static void s22_usage_reaches_the_end_of_messages(void **state)
{
    story_t told;

    (void)state;
    for (size_t i = 0; i < WHOLE; i++) {
        story_open(&told, whole[i].upstream, whole[i].story, 0);
        translate_has(relay_buf_span(&told.stream.output.buf),
                      "\"usage\":{\"input_tokens\":8,\"cache_creation_input_tokens\":0,"
                      "\"cache_read_input_tokens\":3,\"output_tokens\":5");
        story_close(&told);
    }
}

/* ---- signs of life ------------------------------------------------------------------- */

/* Comments are told by the nginx adapter, through relay_stream_ping. */
static void s23_a_sign_of_life_becomes_the_callers(void **state)
{
    static const char *const signs[STORY_CALLERS] = {"event: ping\ndata: {\"type\":\"ping\"}\n\n",
                                                     ": ping\n", ": ping\n", "}\n\n\ndata: "};
    static const from_t pings[] = {
        {MESSAGES, M_START EVENT("ping", "") M_BLOCK("0", "'type':'text','text':''")
                       M_DELTA("0", "'type':'text_delta','text':'H'") EVENT("ping", "")
                           M_DELTA("0", "'type':'text_delta','text':'i'") M_STOP("0")
                               M_END("end_turn") EVENT("ping", "")},
        {RESPONSES, R_START EVENT("keepalive", "") R_TEXT("0", "Hi") EVENT("keepalive", "")
                        R_END EVENT("keepalive", "")},
    };
    story_t told;

    (void)state;
    for (size_t i = 0; i < 2 * STORY_CALLERS; i++) {
        unsigned caller = (unsigned)(i / 2);
        story_open(&told, pings[i % 2].upstream, pings[i % 2].story, caller);
        /* Gemini's caller has no chunk before the first ping of Messages */
        assert_in_range(times(relay_buf_span(&told.stream.output.buf), signs[caller]),
                        caller == 3 ? 1 : 2, 2);
        assert_string_equal(told.digest.parts[0].text, "Hi");
        story_close(&told);
        story_told(pings[i % 2].upstream, pings[i % 2].story, "text(Hi)", &story_end, "11/3/5");
    }
}

/* One that comes first is none of an answer that has not begun. */
static void s23_none_before_the_answer(void **state)
{
    static const from_t pings[] = {
        {MESSAGES, EVENT("ping", "") M_START M_TEXT("0", "Hi") M_END("end_turn")},
        {RESPONSES, EVENT("keepalive", "") R_START R_TEXT("0", "Hi") R_END},
    };
    story_t told;

    (void)state;
    for (size_t i = 0; i < 2 * STORY_CALLERS; i++) {
        story_open(&told, pings[i % 2].upstream, pings[i % 2].story, (unsigned)(i / 2));
        assert_int_equal(times(relay_buf_span(&told.stream.output.buf), "ping"), 0);
        assert_true(told.stream.output.buf.base[0] == 'd' || told.stream.output.buf.base[0] == 'e');
        story_close(&told);
    }
}

/* ---- choices ------------------------------------------------------------------------- */

static void s24_choices_keep_their_index(void **state)
{
    story_text_t text;
    translate_t run;
    translate_stream_t stream;
    stream_check_t check;
    relay_span_t out;

    (void)state;
    translate_open(&run, CHAT, GEMINI);
    stream = translate_stream(
        &run.translation,
        story_quoted(
            "data: {'candidates':[{'content':{'role':'model','parts':[{'text':'a'}]},"
            "'index':0},{'content':{'role':'model','parts':[{'text':'b'}]},'index':1}]}\n\n"
            "data: {'candidates':[{'finishReason':'STOP','index':1}]}\n\n"
            "data: {'candidates':[{'finishReason':'STOP','index':0}]}\n\n",
            &text),
        &check);
    out = relay_buf_span(&stream.output.buf);
    translate_has(out, "{\"index\":0,\"delta\":{\"content\":\"a\"}");
    translate_has(out, "{\"index\":1,\"delta\":{\"content\":\"b\"}");
    assert_int_equal(times(out, "\"finish_reason\":\"stop\""), 2);
    free(stream.output.buf.base);
    translate_close(&run);
    for (unsigned i = 0; i < STORY_CALLERS; i++) {
        if (i == 0 || i == 2) {
            translate_refused(CHAT, story_callers[i],
                              story_quoted("{'model':'m','n':2,'messages':[{'role':'user',"
                                           "'content':'Hi'}]}",
                                           &text),
                              RELAY_ERR_INVALID_FIELD, "n", "");
        }
    }
    translate_refused(
        CHAT, CONVERSE,
        story_quoted("{'model':'m','n':2,'messages':[{'role':'user','content':'Hi'}]}", &text),
        RELAY_ERR_INVALID_FIELD, "n", "");
    translate_refused(GEMINI, MESSAGES,
                      story_quoted("{'contents':[{'role':'user','parts':[{'text':'Hi'}]}],"
                                   "'generationConfig':{'candidateCount':2}}",
                                   &text),
                      RELAY_ERR_INVALID_FIELD, "generationConfig.candidateCount", "");
}

/* logprobs: t/unit/test_wire_openai_chat_codec.c. A refusal's own words, as the format has
 * them: OpenAI's formats in a place of their own, the others as text. */
static void s25_a_refusal_keeps_its_words(void **state)
{
    static const from_t from[] = {
        {CHAT, C_DELTA("'role':'assistant','refusal':'I '") C_DELTA("'refusal':'will not.'")
                   C_END("stop")},
        {RESPONSES, R_START R_ADDED("0", "'type':'message','role':'assistant','content':[]")
                        R_AT("response.refusal.delta", "0", ",'content_index':0,'delta':'I '")
                            R_AT("response.refusal.delta", "0",
                                 ",'content_index':0,'delta':'will not.'") R_END},
    };
    char got[DIGEST_ALL];
    story_t told;

    (void)state;
    for (size_t i = 0; i < 2 * STORY_CALLERS; i++) {
        story_open(&told, from[i % 2].upstream, from[i % 2].story, (unsigned)(i / 2));
        digest_put(&told.digest, &told.check, false, got, sizeof(got));
        assert_memory_equal(strchr(got, '('), "(I will not.)", 13);
        assert_int_equal(told.digest.count, 1);
        assert_int_equal(told.digest.parts[0].kind,
                         i / 2 == 1 || i / 2 == 2 ? DIGEST_REFUSAL : DIGEST_SAID);
        story_close(&told);
    }
}

/* ---- what clients require -------------------------------------------------------------- */

static void has_all(relay_span_t text, const char *const *parts)
{
    for (; *parts != NULL; parts++) {
        translate_has(text, *parts);
    }
}

/* Members that the SDKs of each dialect declare as always there, empty or null as they may be. */
static void s16_members_that_may_be_empty_are_there(void **state)
{
    static const char *const chunks[STORY_CALLERS][24] = {
        {"\"content_block\":{\"type\":\"thinking\",\"thinking\":\"\",\"signature\":\"\"}",
         "\"content_block\":{\"type\":\"text\",\"text\":\"\"}", "\"input\":{}", "\"content\":[]",
         "\"stop_reason\":null", "\"stop_sequence\":null", "\"role\":\"assistant\"",
         "\"cache_creation_input_tokens\":", "\"cache_read_input_tokens\":", NULL},
        {"\"role\":\"assistant\",\"content\":\"\",\"refusal\":null", "\"logprobs\":null",
         "\"finish_reason\":null", "\"usage\":null", "\"created\":", "\"model\":", NULL},
        {"\"error\":null", "\"incomplete_details\":null", "\"instructions\":null",
         "\"metadata\":", "\"parallel_tool_calls\":", "\"temperature\":", "\"top_p\":",
         "\"tool_choice\":", "\"tools\":", "\"usage\":null", "\"annotations\":[]",
         "\"logprobs\":[]", "\"summary\":[]", "\"arguments\":\"\"", NULL},
        {"\"role\":\"model\"", "\"args\":{}", "\"index\":0",
         "\"finishReason\":", "\"promptTokenCount\":", "\"totalTokenCount\":", "\"modelVersion\":",
         "\"responseId\":", NULL},
    };
    static const char story[] = M_START M_BLOCK("0", "'type':'thinking','thinking':'',"
                                                     "'signature':''")
        M_DELTA("0", "'type':'thinking_delta','thinking':'Why'") M_STOP("0") M_TEXT("1", "Hi")
            M_BLOCK("2", "'type':'tool_use','id':'c1','name':'f','input':{}") M_STOP("2")
                M_END("tool_use");
    story_t told;

    (void)state;
    for (unsigned i = 0; i < STORY_CALLERS; i++) {
        story_open(&told, MESSAGES, story, i);
        has_all(relay_buf_span(&told.stream.output.buf), chunks[i]);
        story_close(&told);
    }
}

static void s16_members_of_whole_answers_are_there(void **state)
{
    static const char *const members[STORY_CALLERS][24] = {
        {"\"type\":\"message\"", "\"role\":\"assistant\"", "\"stop_sequence\":null",
         "\"cache_creation_input_tokens\":", "\"cache_read_input_tokens\":", NULL},
        {"\"refusal\":null", "\"logprobs\":null", "\"index\":0", "\"created\":", "\"content\":\"\"",
         NULL},
        {"\"error\":null", "\"incomplete_details\":null", "\"instructions\":null",
         "\"metadata\":", "\"parallel_tool_calls\":", "\"temperature\":", "\"top_p\":",
         "\"tool_choice\":", "\"tools\":", "\"created_at\":", NULL},
        {"\"role\":\"model\"", "\"parts\":[", "\"finishReason\":", "\"index\":0", NULL},
    };
    static const char answer[] =
        "{'id':'m','type':'message','role':'assistant','model':'m','content':[{'type':'text',"
        "'text':''}],'stop_reason':'end_turn','usage':{'input_tokens':1,'output_tokens':0}}";
    story_text_t text;
    translate_t run;
    relay_span_t out;

    (void)state;
    for (unsigned i = 0; i < STORY_CALLERS; i++) {
        translate_open(&run, story_callers[i], MESSAGES);
        assert_int_equal(relay_translate_response(&run.translation,
                                                  relay_wire_cstring(story_quoted(answer, &text)),
                                                  &out),
                         RELAY_ERR_NONE);
        has_all(out, members[i]);
        translate_close(&run);
    }
}

/* ---- signatures of Gemini ---------------------------------------------------------------- */

/* The turn that a caller of each format sends back for a call with that id. */
static const char *const turns[STORY_CALLERS] = {
    "{'model':'m','max_tokens':9,'tools':[{'name':'f','input_schema':{'type':'object'}}],"
    "'messages':[{'role':'user','content':'Hi'},{'role':'assistant','content':[{'type':'tool_use',"
    "'id':'%s','name':'f','input':{}}]},{'role':'user','content':[{'type':'tool_result',"
    "'tool_use_id':'%s','content':'ok'}]}]}",
    "{'model':'m','tools':[{'type':'function','function':{'name':'f'}}],'messages':[{'role':'user',"
    "'content':'Hi'},{'role':'assistant','content':null,'tool_calls':[{'id':'%s','type':'function',"
    "'function':{'name':'f','arguments':'{}'}}]},{'role':'tool','tool_call_id':'%s','content':'ok'}"
    "]}",
    "{'model':'m','tools':[{'type':'function','name':'f','parameters':{'type':'object'},"
    "'strict':false}],'input':[{'role':'user','content':'Hi'},{'type':'function_call','call_id':"
    "'%s','name':'f','arguments':'{}'},{'type':'function_call_output','call_id':'%s','output':'ok'}"
    "]}",
    NULL,
};

/* In with the stream, out to the caller, and in again with the next request. */
static void s15_a_signature_of_a_call_comes_back(void **state)
{
    static const char story[] =
        G_PARTS("{'functionCall':{'name':'f','args':{}},'thoughtSignature':'c2lnbmF0dXJl'}")
            G_END("STOP");
    char body[4096];
    story_text_t text;
    story_t told;
    translate_t run;
    relay_span_t out;

    (void)state;
    for (unsigned i = 0; i < STORY_CALLERS; i++) {
        story_open(&told, GEMINI, story, i);
        if (turns[i] == NULL) { /* in its own place */
            translate_has(relay_buf_span(&told.stream.output.buf),
                          "\"thoughtSignature\":\"c2lnbmF0dXJl\"");
            story_close(&told);
            continue;
        }
        snprintf(body, sizeof(body), turns[i], told.digest.parts[0].id, told.digest.parts[0].id);
        translate_open(&run, story_callers[i], GEMINI);
        assert_int_equal(relay_translate_request(
                             &run.translation, relay_wire_cstring(story_quoted(body, &text)), &out),
                         RELAY_ERR_NONE);
        translate_has(out, "\"thoughtSignature\":\"c2lnbmF0dXJl\"");
        translate_close(&run);
        story_close(&told);
    }
}

/* Behind an answer, on a part without a text: each caller gets it in what it sends back. */
static void s15_a_signature_without_text_is_told(void **state)
{
    static const char *const parts[STORY_CALLERS] = {
        "\"type\":\"redacted_thinking\",\"data\":\"", "\"type\":\"reasoning.encrypted\"",
        "\"encrypted_content\":\"", "\"text\":\"\",\"thoughtSignature\":\"bGFzdA==\""};
    static const char story[] =
        G_PARTS("{'text':'Hi'}") G_PARTS("{'text':'','thoughtSignature':'bGFzdA=='}") G_END("STOP");
    story_t told;

    (void)state;
    for (unsigned i = 0; i < STORY_CALLERS; i++) {
        story_open(&told, GEMINI, story, i);
        translate_has(relay_buf_span(&told.stream.output.buf), parts[i]);
        story_close(&told);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(s7_every_reason_to_stop_has_its_word),
        cmocka_unit_test(s7_a_call_is_a_reason_of_its_own),
        cmocka_unit_test(s15_a_signature_of_a_call_comes_back),
        cmocka_unit_test(s15_a_signature_without_text_is_told),
        cmocka_unit_test(s16_members_that_may_be_empty_are_there),
        cmocka_unit_test(s16_members_of_whole_answers_are_there),
        cmocka_unit_test(s19_chunks_without_choices_do_no_harm),
        cmocka_unit_test(s20_usage_is_for_who_asked),
        cmocka_unit_test(s20_a_caller_of_chat_is_asked_about_only_once),
        cmocka_unit_test(s22_usage_of_messages_is_merged),
        cmocka_unit_test(s22_usage_reaches_the_end_of_messages),
        cmocka_unit_test(s23_a_sign_of_life_becomes_the_callers),
        cmocka_unit_test(s23_none_before_the_answer),
        cmocka_unit_test(s24_choices_keep_their_index),
        cmocka_unit_test(s25_a_refusal_keeps_its_words),
        cmocka_unit_test(s27_what_a_response_lacks_is_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
