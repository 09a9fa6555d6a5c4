/*
 * Streams of Responses, into other formats and out of them. Each is checked by the
 * validator of its format and is the same for every cut of its input.
 */

#include "wire_openai_responses_codec_item.c"

#include "translate_check.h"

/* JSON with ' for ", which none of the texts here has: as it is sent. */
static const char *json(const char *text)
{
    static char buffers[8][16384];
    static unsigned next;
    char *out = buffers[next++ % 8];

    assert_true(strlen(text) < sizeof(buffers[0]));
    memcpy(out, text, strlen(text) + 1);
    for (char *at = out; *at != '\0'; at++) {
        *at = *at == '\'' ? '"' : *at;
    }
    return out;
}

static translate_stream_t run_stream(translate_t *run, const char *caller, const char *upstream,
                                     const char *text, stream_check_t *check)
{
    translate_open(run, caller, upstream);
    return translate_stream(&run->translation, json(text), check);
}

static void close_stream(translate_t *run, translate_stream_t *out)
{
    free(out->output.buf.base);
    translate_close(run);
}

static void has(const translate_stream_t *out, const char *part)
{
    translate_has(relay_buf_span(&out->output.buf), json(part));
}

static void has_not(const translate_stream_t *out, const char *part)
{
    relay_span_t text = relay_buf_span(&out->output.buf);

    assert_null(memmem(text.base, text.len, json(part), strlen(part)));
}

/* ---- streams for callers of Responses ----------------------------------------- */

#define EVENT(type, rest) "event: " type "\ndata: {'type':'" type "'" rest "}\n\n"
#define START                                                                                      \
    EVENT("message_start", ",'message':{'id':'msg_7','model':'fable','usage':{'input_tokens':10,"  \
                           "'cache_read_input_tokens':30,'output_tokens':1}}")
#define BLOCK(n, block) EVENT("content_block_start", ",'index':" n ",'content_block':" block)
#define DELTA(n, delta) EVENT("content_block_delta", ",'index':" n ",'delta':" delta)
#define STOP(n)         EVENT("content_block_stop", ",'index':" n)
#define FINISH(reason)                                                                             \
    EVENT("message_delta", ",'delta':{'stop_reason':'" reason "'},'usage':{'output_tokens':20}")   \
    EVENT("message_stop", "")
#define TEXT(n, text)                                                                              \
    BLOCK(n, "{'type':'text','text':''}")                                                          \
    DELTA(n, "{'type':'text_delta','text':'" text "'}") STOP(n)
#define USE(n, id, name) BLOCK(n, "{'type':'tool_use','id':'" id "','name':'" name "','input':{}}")
#define INPUT(n, text)   DELTA(n, "{'type':'input_json_delta','partial_json':'" text "'}")

static void a_stream_of_every_kind_of_block(void **state)
{
    translate_t run;
    stream_check_t check;
    translate_stream_t out;

    (void)state;
    out = run_stream(
        &run, RESPONSES, MESSAGES,
        START BLOCK("0", "{'type':'thinking','thinking':'','signature':''}")
            DELTA("0", "{'type':'thinking_delta','thinking':'a'}")
                DELTA("0", "{'type':'thinking_delta','thinking':'\\n'}")
                    DELTA("0", "{'type':'signature_delta','signature':'U0lH'}") STOP("0")
                        BLOCK("1", "{'type':'redacted_thinking','data':'REFU'}") STOP("1")
                            EVENT("ping", "") BLOCK("2", "{'type':'text','text':''}") STOP("2")
                                TEXT("3", "b") USE("4", "toolu_1", "f") INPUT("4", "{\\'x\\'")
                                    INPUT("4", ":1}") STOP("4") USE("5", "toolu_2", "g") STOP("5")
                                        FINISH("tool_use"),
        &check);
    assert_true(check.ended);
    assert_string_equal(check.stop, "completed");
    assert_int_equal(check.blocks, 5);
    assert_int_equal(check.calls, 2);
    has(&out, "event: response.output_item.done\ndata: {'type':'response.output_item.done',"
              "'sequence_number':8,'output_index':0,'item':{'id':'rs_r1_0','type':'reasoning',"
              "'summary':[{'type':'summary_text','text':'a\\n'}],'encrypted_content':"
              "'relay1:thinking:anthropic-claude-v1:U0lH:a\\n'}}\n\n");
    has(&out, "'item':{'id':'rs_r1_1','type':'reasoning','summary':[],'encrypted_content':"
              "'relay1:redacted:anthropic-claude-v1::REFU'}}");
    has(&out, "'item':{'id':'fc_r1_3','type':'function_call','status':'completed','name':'f',"
              "'call_id':'toolu_1','arguments':'{\\'x\\':1}'}}");
    has(&out, "'output_index':4,'name':'g','arguments':'{}'}");
    has(&out, "\n: ping\n");
    has(&out, "'usage':{'input_tokens':40,'input_tokens_details':{'cached_tokens':30,"
              "'cache_write_tokens':0},'output_tokens':20,'output_tokens_details':"
              "{'reasoning_tokens':0},'total_tokens':60}}}\n\n");
    has(&out, "'response':{'id':'resp_r1','object':'response','created_at':1700000000,");
    close_stream(&run, &out);
}

static void how_a_stream_ended_is_told(void **state)
{
    static const struct {
        const char *text;
        const char *stop;
        const char *part;
    } cases[] = {
        {START TEXT("0", "a") FINISH("end_turn"), "completed", "'status':'completed'"},
        {START TEXT("0", "a") FINISH("max_tokens"), "max_output_tokens",
         "'item':{'id':'msg_r1_0','type':'message','status':'incomplete'"},
        {START TEXT("0", "a") FINISH("model_context_window_exceeded"), "max_output_tokens",
         "event: response.incomplete\n"},
        {START FINISH("refusal"), "content_filter", "'output':[],"},
        {START EVENT("message_delta", ",'delta':{'stop_reason':'refusal','stop_details':"
                                      "{'explanation':'no'}},'usage':{'output_tokens':2}")
             EVENT("message_stop", ""),
         "completed", "event: response.refusal.done\n"},
        {START FINISH("end_turn"), "completed", "'output':[],"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        translate_t run;
        stream_check_t check;
        translate_stream_t out = run_stream(&run, RESPONSES, MESSAGES, cases[i].text, &check);
        assert_true(check.ended);
        assert_string_equal(check.stop, cases[i].stop);
        has(&out, cases[i].part);
        close_stream(&run, &out);
    }
}

static void citations_are_annotations(void **state)
{
    translate_t run;
    stream_check_t check;
    translate_stream_t out = run_stream(
        &run, RESPONSES, MESSAGES,
        START BLOCK("0", "{'type':'text','text':''}") DELTA("0", "{'type':'text_delta','text':'a'}")
            DELTA("0", "{'type':'citations_delta','citation':{'type':"
                       "'web_search_result_location','url':'https://a.example','title':'T'}}")
                DELTA("0", "{'type':'citations_delta','citation':{'type':"
                           "'web_search_result_location','url':'https://b.example'}}")
                    DELTA("0", "{'type':'text_delta','text':'b'}") STOP("0") FINISH("end_turn"),
        &check);

    (void)state;
    assert_true(check.ended);
    has(&out, "'annotation_index':1,'annotation':{'type':'url_citation'");
    has(&out, "'content':[{'type':'output_text','text':'ab','annotations':[{'type':"
              "'url_citation','start_index':0,'end_index':0,'title':'T','url':"
              "'https://a.example'},{'type':'url_citation','start_index':0,'end_index':0,"
              "'title':'','url':'https://b.example'}],'logprobs':[]}]}");
    close_stream(&run, &out);
}

#define CHUNK(delta, rest)                                                                         \
    "data: {'id':'c','model':'m','created':5,'choices':[{'index':0,'delta':{" delta "}" rest       \
    "}]}\n\n"
#define CALL(n, rest) CHUNK("'tool_calls':[{'index':" n "," rest "}]", "")
#define END                                                                                        \
    CHUNK("", ",'finish_reason':'tool_calls'")                                                     \
    "data: {'id':'c','choices':[],'usage':{'prompt_tokens':3,'completion_tokens':4}}\n\n"          \
    "data: [DONE]\n\n"

static void mixed_calls_come_out_one_by_one(void **state)
{
    translate_t run;
    stream_check_t check;
    translate_stream_t out =
        run_stream(&run, RESPONSES, CHAT,
                   CHUNK("'reasoning_content':'hm'", "") CHUNK("'content':'go'", "")
                       CALL("0", "'id':'a','function':{'name':'f','arguments':'{\\'x\\''}")
                           CALL("1", "'id':'b','function':{'name':'g','arguments':'{'}")
                               CALL("0", "'function':{'arguments':':1}'}")
                                   CALL("1", "'function':{'arguments':'}'}") END,
                   &check);

    (void)state;
    assert_true(check.ended);
    assert_int_equal(check.calls, 2);
    assert_int_equal(check.blocks, 4);
    has(&out, "'call_id':'a','arguments':'{\\'x\\':1}'}");
    has(&out, "'call_id':'b','arguments':'{}'}");
    has(&out, "'item':{'id':'rs_r1_0','type':'reasoning','summary':[{'type':'summary_text',"
              "'text':'hm'}]}}");
    has(&out, "'usage':{'input_tokens':3,");
    has(&out, "'id':'resp_r1','object':'response','created_at':5,");
    close_stream(&run, &out);
}

/* Names and kinds of tools come back as the caller knows them. */
static void tools_are_called_by_their_own_names(void **state)
{
    static const char *request =
        "{'model':'m','max_output_tokens':9,'stream':true,'input':'hi','tools':[{'type':'custom',"
        "'name':'p'},{'type':'namespace','name':'n','tools':[{'type':'function','name':'f'}]},"
        "{'type':'tool_search','execution':'client'}]}";
    translate_t run;
    stream_check_t check;
    translate_stream_t out;
    relay_span_t sent;

    (void)state;
    translate_open(&run, RESPONSES, MESSAGES);
    assert_int_equal(
        relay_translate_request(&run.translation, relay_wire_cstring(json(request)), &sent),
        RELAY_ERR_NONE);
    out = translate_stream(
        &run.translation,
        json(START USE("0", "1", "p") INPUT("0", "{\\'input\\':\\'a\\\\n") INPUT("0", "b\\'}")
                 STOP("0") USE("1", "2", "n__f") INPUT("1", "{}") STOP("1")
                     USE("2", "3", "tool_search__tool_search") INPUT("2", "{\\'query\\':1}")
                         STOP("2") USE("3", "4", "p") INPUT("3", "{\\'other\\':1}") STOP("3")
                             USE("4", "5", "p") STOP("4") FINISH("tool_use")),
        &check);
    assert_true(check.ended);
    assert_int_equal(check.calls, 5);
    has(&out, "'type':'response.custom_tool_call_input.delta','sequence_number':3,'item_id':"
              "'ctc_r1_0','output_index':0,'delta':'a\\nb'}");
    has(&out, "'item':{'id':'ctc_r1_0','type':'custom_tool_call','status':'completed','name':'p',"
              "'call_id':'1','input':'a\\nb'}}");
    has(&out, "'item':{'id':'fc_r1_1','type':'function_call','status':'completed','name':'f',"
              "'call_id':'2','namespace':'n','arguments':'{}'}}");
    has(&out, "'item':{'id':'tsc_r1_2','type':'tool_search_call','execution':'client','status':"
              "'completed','call_id':'3','arguments':{'query':1}}}");
    has(&out, "'call_id':'4','input':'{\\'other\\':1}'}}");
    has(&out, "'call_id':'5','input':''}}");
    close_stream(&run, &out);
}

static void a_stream_that_fails_ends_with_failed(void **state)
{
    static const struct {
        const char *text;
        const char *part;
        unsigned blocks;
    } cases[] = {
        {"", "'sequence_number':2,'response':{'id':'resp_r1'", 0},
        {START, "'status':'failed','error':{'code':'server_error','message':", 0},
        {START TEXT("0", "a"), "'type':'response.output_item.done'", 1},
        {START BLOCK("0", "{'type':'text','text':''}")
             DELTA("0", "{'type':'text_delta','text':'a'}"),
         "'sequence_number':5,'response'", 1},
        {START EVENT("error", ",'error':{'type':'overloaded_error','message':'busy'}"),
         "'error':{'code':'server_is_overloaded','message':'busy'},'incomplete_details':null,"
         "'output':[],'usage':null}}\n\n",
         0},
        {START EVENT("error", ",'error':{'type':'rate_limit_error','message':'slow'}"),
         "'error':{'code':'rate_limit_exceeded','message':'slow'}", 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        translate_t run;
        stream_check_t check;
        translate_stream_t out = run_stream(&run, RESPONSES, MESSAGES, cases[i].text, &check);
        assert_true(check.errored);
        assert_int_equal(check.blocks, cases[i].blocks);
        has(&out, cases[i].part);
        has_not(&out, "response.completed");
        close_stream(&run, &out);
    }
}

/* The last event repeats the answer: what is too long to be kept fails. */
static void what_is_kept_has_a_bound(void **state)
{
    static const char *text = START TEXT("0", "0123456789") USE("1", "toolu_1", "f")
        INPUT("1", "{\\'x\\':1}") STOP("1") FINISH("tool_use");
    bool failed = false, ended = false;

    (void)state;
    for (size_t max = 0; max < 1200; max += 7) {
        translate_t run;
        stream_check_t check;
        translate_stream_t out;
        const char *fault;
        translate_open(&run, RESPONSES, MESSAGES);
        out = translate_run(&run.translation, relay_wire_cstring(json(text)), 1, max);
        fault = stream_check(relay_buf_span(&out.output.buf), STREAM_RESPONSES, &check);
        assert_null(fault);
        assert_true(check.ended != check.errored);
        assert_int_equal(out.failed, check.errored);
        failed = failed || check.errored;
        ended = ended || check.ended;
        close_stream(&run, &out);
    }
    assert_true(failed && ended);
}

/* ---- streams of providers of Responses ---------------------------------------- */

#define RESPONSE(status)                                                                           \
    "'response':{'id':'resp_1','created_at':5,'model':'m','status':'" status "'"
#define CREATED                                                                                    \
    EVENT("response.created", "," RESPONSE("in_progress") ",'output':[]}")                         \
    EVENT("response.in_progress", "," RESPONSE("in_progress") ",'output':[]}")
#define USAGE                                                                                      \
    ",'usage':{'input_tokens':9,'input_tokens_details':{'cached_tokens':2},'output_tokens':4}"
#define COMPLETED(output)                                                                          \
    EVENT("response.completed", "," RESPONSE("completed") ",'output':[" output "]" USAGE "}")
#define ADDED(n, item) EVENT("response.output_item.added", ",'output_index':" n ",'item':" item)
#define DONE(n, item)  EVENT("response.output_item.done", ",'output_index':" n ",'item':" item)
#define SAY(n, text)                                                                               \
    EVENT("response.output_text.delta",                                                            \
          ",'output_index':" n ",'content_index':0,'delta':'" text "'")
#define SUMMARY(n, part, text)                                                                     \
    EVENT("response.reasoning_summary_text.delta",                                                 \
          ",'output_index':" n ",'summary_index':" part ",'delta':'" text "'")
#define ARGUMENTS(n, text)                                                                         \
    EVENT("response.function_call_arguments.delta", ",'output_index':" n ",'delta':'" text "'")
#define MESSAGE(text) "{'type':'message','content':[{'type':'output_text','text':'" text "'}]}"
#define FUNCTION(id, arguments)                                                                    \
    "{'type':'function_call','call_id':'" id "','name':'f','arguments':'" arguments "'}"

static void responses_become_messages(void **state)
{
    translate_t run;
    stream_check_t check;
    translate_stream_t out;
    char text[256];

    (void)state;
    out = run_stream(
        &run, MESSAGES, RESPONSES,
        CREATED ADDED("0", "{'type':'reasoning','id':'rs','summary':[]}") SUMMARY("0", "0", "s")
            DONE("0", "{'type':'reasoning','summary':[{'text':'s'}],'encrypted_content':'g'}")
                ADDED("1", "{'type':'message','content':[]}") SAY("1", "a") SAY("1", "b")
                    DONE("1", MESSAGE("ab")) ADDED("2", FUNCTION("c1", ""))
                        ARGUMENTS("2", "{\\'x\\'") ADDED("3", FUNCTION("c2", ""))
                            ARGUMENTS("3", "{}") ARGUMENTS("2", ":1}")
                                DONE("3", FUNCTION("c2", "{}"))
                                    DONE("2", FUNCTION("c1", "{\\'x\\':1}")) COMPLETED(""),
        &check);
    assert_true(check.ended);
    assert_int_equal(check.blocks, 3);
    assert_int_equal(check.calls, 2);
    assert_string_equal(check.stop, "tool_use");
    assert_int_equal(out.usage.cached_tokens, 2);
    translate_gather(&out, "\"partial_json\":\"", text, sizeof(text));
    assert_string_equal(text, json("{'x':1}{}"));
    translate_gather(&out, "\"text_delta\",\"text\":\"", text, sizeof(text));
    assert_string_equal(text, "ab");
    has(&out, "'usage':{'input_tokens':7,");
    close_stream(&run, &out);
}

/* Reasoning is shown with what proves it, so that it can be sent back. */
static void responses_become_chunks(void **state)
{
    translate_t run;
    stream_check_t check;
    translate_stream_t out = run_stream(
        &run, CHAT, RESPONSES,
        CREATED SUMMARY("0", "0", "s") SUMMARY("0", "1", "t")
            DONE("0", "{'type':'reasoning','encrypted_content':'g'}")
                ADDED("1", "{'type':'custom_tool_call','call_id':'c','name':'p','input':''}") EVENT(
                    "response.custom_tool_call_input.delta", ",'output_index':1,'delta':'x\\n'")
                    DONE("1", "{'type':'custom_tool_call','call_id':'c','name':'p','input':"
                              "'x\\n'}") COMPLETED(""),
        &check);

    (void)state;
    assert_true(check.ended);
    assert_string_equal(check.stop, "tool_calls");
    has(&out, "'reasoning_content':'\\n\\n'");
    has(&out, "'signature':'g','format':'openai-responses-v1'");
    has(&out, "'custom':{'input':'x\\n'}");
    close_stream(&run, &out);
}

/* Whatever part of the sequence a server leaves out. */
static void what_was_not_told_is_taken_from_what_is_done(void **state)
{
    static const char *const cases[] = {
        CREATED DONE("0", MESSAGE("ab")) DONE("1", FUNCTION("c", "{}")) COMPLETED(""),
        CREATED COMPLETED(MESSAGE("ab") "," FUNCTION("c", "{}")),
        COMPLETED(MESSAGE("ab") "," FUNCTION("c", "{}")),
        CREATED SAY("0", "ab") ADDED("1", FUNCTION("c", ""))
            COMPLETED(MESSAGE("ab") "," FUNCTION("c", "{}")),
        CREATED SAY("0", "ab") DONE("0", MESSAGE("ab")) DONE("1", FUNCTION("c", "{}"))
            DONE("1", FUNCTION("c", "{}")) COMPLETED(MESSAGE("ab") "," FUNCTION("c", "{}")),
        CREATED SAY("0", "ab") ADDED("1", FUNCTION("c", "")) ARGUMENTS("1", "{}") COMPLETED(""),
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        translate_t run;
        stream_check_t check;
        translate_stream_t out = run_stream(&run, MESSAGES, RESPONSES, cases[i], &check);
        char text[64];
        assert_true(check.ended);
        assert_int_equal(check.blocks, 2);
        translate_gather(&out, "\"text_delta\",\"text\":\"", text, sizeof(text));
        assert_string_equal(text, "ab");
        translate_gather(&out, "\"partial_json\":\"", text, sizeof(text));
        assert_string_equal(text, "{}");
        close_stream(&run, &out);
    }
}

static void every_end_has_its_reason(void **state)
{
    static const struct {
        const char *text;
        const char *stop;
    } cases[] = {
        {CREATED SAY("0", "a") COMPLETED(""), "end_turn"},
        {CREATED SAY("0", "a")
             EVENT("response.incomplete", "," RESPONSE("incomplete") ",'incomplete_details':"
                                                                     "{'reason':"
                                                                     "'max_output_tokens'}}"),
         "max_tokens"},
        {CREATED EVENT("response.incomplete", "," RESPONSE("incomplete") ",'incomplete_details':"
                                                                         "{'reason':"
                                                                         "'content_filter'}}"),
         "refusal"},
        {CREATED EVENT("response.refusal.delta", ",'output_index':0,'content_index':0,'delta':'no'")
             COMPLETED(""),
         "refusal"},
        {CREATED ADDED("0", FUNCTION("c", "")) COMPLETED(""), "tool_use"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        translate_t run;
        stream_check_t check;
        translate_stream_t out = run_stream(&run, MESSAGES, RESPONSES, cases[i].text, &check);
        assert_true(check.ended);
        assert_string_equal(check.stop, cases[i].stop);
        close_stream(&run, &out);
    }
}

static void a_stream_of_theirs_that_fails_is_an_error(void **state)
{
    static const struct {
        const char *text;
        unsigned status;
        const char *message;
    } cases[] = {
        {"", 502, ""},
        {CREATED, 502, ""},
        {CREATED SAY("0", "a"), 502, ""},
        {CREATED SAY("0", "a") DONE("0", MESSAGE("a")), 502, ""},
        {CREATED "event: response.completed\ndata: {'type':'response.completed','respon", 502, ""},
        {CREATED SAY("0", "a") "data: [DONE]\n\n", 502, ""},
        {CREATED EVENT("response.failed", "," RESPONSE("failed") ",'error':{'code':"
                                                                 "'rate_limit_exceeded',"
                                                                 "'message':'slow'}}"),
         429, "'message':'slow'"},
        {CREATED EVENT("error", ",'error':{'type':'server_error','code':'server_error',"
                                "'message':'nested'}"),
         500, "'message':'nested'"},
        {CREATED EVENT("error", ",'code':'server_error','message':'flat','param':null"), 500,
         "'message':'flat'"},
        {"event: error\ndata: overloaded\n\n", 502, ""},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        translate_t run;
        stream_check_t check;
        translate_stream_t out = run_stream(&run, MESSAGES, RESPONSES, cases[i].text, &check);
        assert_true(check.errored);
        assert_int_equal(out.status, cases[i].status);
        has(&out, cases[i].message);
        close_stream(&run, &out);
    }
}

/* What cannot be told apart any more is not left out in silence. */
static void too_many_parts_are_an_error(void **state)
{
    static const struct {
        unsigned parts;
        unsigned first;
        bool errored;
    } cases[] = {{64, 0, false}, {65, 0, true}, {1, 511, false}, {1, 512, true}};
    char text[16384];

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        relay_buf_t input = relay_buf(text, sizeof(text));
        stream_check_t check;
        translate_stream_t out;
        translate_t run;
        for (unsigned n = 0; n < cases[i].parts; n++) {
            RELAY_PUT(&input, "data: {'type':'response.output_text.delta','output_index':");
            relay_buf_put_u64(&input, cases[i].first + n);
            RELAY_PUT(&input, ",'content_index':0,'delta':'a'}\n\n");
        }
        RELAY_PUT(&input, COMPLETED("") "\0");
        assert_true(relay_buf_ok(&input));
        out = run_stream(&run, CHAT, RESPONSES, text, &check);
        assert_int_equal(check.errored, cases[i].errored);
        close_stream(&run, &out);
    }
}

static void keep_alives_and_unknown_events_do_no_harm(void **state)
{
    translate_t run;
    stream_check_t check;
    translate_stream_t out = run_stream(
        &run, MESSAGES, RESPONSES,
        CREATED
            EVENT("keepalive", ",'sequence_number':2") "event: x\n\n: c\n\ndata: {'a':1}\n\n" EVENT(
                "response.new.thing", ",'output_index':0,'delta':'z'") ARGUMENTS("7", "z")
                SAY("0", "a") DONE("1", "{'type':'web_search_call'}") COMPLETED(MESSAGE("a"))
                    SAY("0", "z"),
        &check);

    (void)state;
    assert_true(check.ended);
    assert_int_equal(check.blocks, 1);
    has(&out, "event: ping\n");
    has_not(&out, "z");
    close_stream(&run, &out);
}

/* What only this format knows goes through it. */
static void the_same_format_keeps_its_items(void **state)
{
    translate_t run;
    stream_check_t check;
    translate_stream_t out = run_stream(
        &run, RESPONSES, RESPONSES,
        CREATED DONE("0", "{'type':'web_search_call','id':'ws_1','action':\ndata: {'query':'q'}}")
            SUMMARY("1", "0", "s") DONE("1", "{'type':'reasoning','encrypted_content':'g'}")
                SAY("2", "a") EVENT("response.output_text.annotation.added",
                                    ",'output_index':2,'content_index':0,'annotation':{'type':"
                                    "'url_citation','url':'https://a.example','title':'T',"
                                    "'start_index':1,'end_index':2}")
                    ADDED("3", "{'type':'function_call','call_id':'c','name':'f','namespace':'n'}")
                        COMPLETED(""),
        &check);

    (void)state;
    assert_true(check.ended);
    assert_int_equal(check.blocks, 4);
    has(&out, "'item':{'type':'web_search_call','id':'ws_1','action':{'query':'q'}}}");
    has(&out, "'encrypted_content':'g'}");
    has(&out, "'start_index':1,'end_index':2,");
    has(&out, "'name':'f','call_id':'c','namespace':'n','arguments':'{}'}");
    has(&out, "'id':'resp_1','object':'response','created_at':5,");
    close_stream(&run, &out);
}

/* ---- there and back ------------------------------------------------------------- */

/* What a client of Responses sends back is what the provider has signed. */
static void signatures_survive_the_way_there_and_back(void **state)
{
    translate_t run;
    stream_check_t check;
    translate_stream_t out;
    relay_span_t text, sent;
    char request[4096];
    const uint8_t *output, *end;

    (void)state;
    out = run_stream(&run, RESPONSES, MESSAGES,
                     START BLOCK("0", "{'type':'thinking','thinking':'','signature':''}")
                         DELTA("0", "{'type':'thinking_delta','thinking':'a: \\'b\\''}")
                             DELTA("0", "{'type':'signature_delta','signature':'U0lH=='}") STOP("0")
                                 BLOCK("1", "{'type':'redacted_thinking','data':'REFU'}") STOP("1")
                                     USE("2", "toolu_1", "f") STOP("2") FINISH("tool_use"),
                     &check);
    text = relay_buf_span(&out.output.buf);
    output = memmem(text.base, text.len, "event: response.completed", 25);
    assert_non_null(output);
    output = memmem(output, (size_t)(text.base + text.len - output), "\"output\":[", 10);
    assert_non_null(output);
    output += 10;
    end = memmem(output, (size_t)(text.base + text.len - output), "],\"usage\"", 9);
    assert_non_null(end);
    snprintf(request, sizeof(request), "%s%.*s%s", json("{'model':'m','input':["),
             (int)(end - output), (const char *)output,
             json(",{'type':'function_call_output','call_id':'toolu_1','output':'r'}]}"));
    assert_int_equal(relay_translate_request(&run.translation, relay_wire_cstring(request), &sent),
                     RELAY_ERR_NONE);
    translate_has(sent, json("{'role':'assistant','content':[{'type':'thinking','thinking':"
                             "'a: \\'b\\'','signature':'U0lH=='},{'type':'redacted_thinking',"
                             "'data':'REFU'},{'type':'tool_use','id':'toolu_1','name':'f',"
                             "'input':{}}]}"));
    close_stream(&run, &out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_stream_of_every_kind_of_block),
        cmocka_unit_test(how_a_stream_ended_is_told),
        cmocka_unit_test(citations_are_annotations),
        cmocka_unit_test(mixed_calls_come_out_one_by_one),
        cmocka_unit_test(tools_are_called_by_their_own_names),
        cmocka_unit_test(a_stream_that_fails_ends_with_failed),
        cmocka_unit_test(what_is_kept_has_a_bound),
        cmocka_unit_test(responses_become_messages),
        cmocka_unit_test(responses_become_chunks),
        cmocka_unit_test(what_was_not_told_is_taken_from_what_is_done),
        cmocka_unit_test(every_end_has_its_reason),
        cmocka_unit_test(a_stream_of_theirs_that_fails_is_an_error),
        cmocka_unit_test(too_many_parts_are_an_error),
        cmocka_unit_test(keep_alives_and_unknown_events_do_no_harm),
        cmocka_unit_test(the_same_format_keeps_its_items),
        cmocka_unit_test(signatures_survive_the_way_there_and_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
