/*
 * What users of gateways met in the blocks of translated streams, each under its id, from
 * every upstream that can say it to every caller: calls, order, signatures, items.
 */

#include "translate_stream.c"

#include "stream_story.h"

typedef struct {
    const char *upstream;
    const char *story;
} from_t;

static void all_told(const from_t *from, size_t count, const char *said, const story_stop_t *stop)
{
    for (size_t i = 0; i < count; i++) {
        story_told(from[i].upstream, from[i].story, said, stop, "11/3/5");
    }
}

#define ALL_TOLD(from, said, stop)                                                                 \
    all_told((from), sizeof(from) / sizeof((from)[0]), (said), (stop))

/* ---- calls ------------------------------------------------------------------------- */

static void s1_whole_arguments_arrive_as_a_delta(void **state)
{
    static const from_t from[] = {
        {CHAT, C_CALL("'index':0,'id':'c1','type':'function','function':{'name':'f',"
                      "'arguments':'{\\'a\\':\\'x\\'}'}") C_END("tool_calls")},
        {MESSAGES, M_START M_BLOCK("0", "'type':'tool_use','id':'c1','name':'f','input':{'a':'x'}")
                       M_STOP("0") M_END("tool_use")},
        {MESSAGES, M_START M_BLOCK("0", "'type':'tool_use','id':'c1','name':'f','input':{}")
                       M_DELTA("0", "'type':'input_json_delta','partial_json':'{\\'a\\':\\'x\\'}'")
                           M_STOP("0") M_END("tool_use")},
        {RESPONSES, R_START R_DONE("0", "'type':'function_call','call_id':'c1','name':'f',"
                                        "'arguments':'{\\'a\\':\\'x\\'}'") R_END},
        {GEMINI, G_PARTS("{'functionCall':{'id':'c1','name':'f','args':{'a':'x'}}}") G_END("STOP")},
        {CONVERSE, V_START V_CALL("0", "c1", "f") V_INPUT("0", "{\\'a\\':\\'x\\'}") V_STOP("0")
                       V_END("tool_use")},
    };

    (void)state;
    ALL_TOLD(from, "call(f,{'a':'x'})", &story_tools);
}

/* The validators see to one open block at a time, and to one start and stop for each. */
static void s2_mixed_fragments_are_sorted(void **state)
{
    static const from_t from[] = {
        {CHAT,
         C_CALL("'index':0,'id':'c1','type':'function','function':{'name':'f','arguments':''}")
             C_CALL(
                 "'index':1,'id':'c2','type':'function','function':{'name':'g',"
                 "'arguments':'{\\'b\\''}") C_CALL("'index':0,'function':{'arguments':'{\\'a\\''}")
                 C_CALL("'index':1,'function':{'arguments':':[2]}'}")
                     C_CALL("'index':0,'function':{'arguments':':\\'}\\'}'}") C_END("tool_calls")},
        {RESPONSES,
         R_START R_ADDED("0", "'type':'function_call','call_id':'c1','name':'f','arguments':''")
             R_ADDED("1", "'type':'function_call','call_id':'c2','name':'g','arguments':''")
                 R_AT("response.function_call_arguments.delta", "1", ",'delta':'{\\'b\\''")
                     R_AT("response.function_call_arguments.delta", "0", ",'delta':'{\\'a\\''")
                         R_AT("response.function_call_arguments.delta", "1", ",'delta':':[2]}'")
                             R_AT("response.function_call_arguments.delta", "0",
                                  ",'delta':':\\'}\\'}'") R_END},
        {CONVERSE, V_START V_CALL("0", "c1", "f") V_CALL("1", "c2", "g") V_INPUT("1", "{\\'b\\'")
                       V_INPUT("0", "{\\'a\\'") V_INPUT("1", ":[2]}") V_INPUT("0", ":\\'}\\'}")
                           V_STOP("1") V_STOP("0") V_END("tool_use")},
    };

    (void)state;
    ALL_TOLD(from, "call(f,{'a':'}'}) call(g,{'b':[2]})", &story_tools);
}

/* The validator of Chat: indexes from 0 without a gap, id and type in the first fragment of
 * each and in no other. */
static void s3_calls_behind_a_text_count_from_0(void **state)
{
    static const from_t from[] = {
        {CHAT, C_DELTA("'role':'assistant','content':'Hm'") C_CALL(
                   "'index':0,'id':'c1','type':'function','function':{'name':'f','arguments':'{}'}")
                   C_CALL("'index':1,'id':'c2','type':'function','function':{'name':'g',"
                          "'arguments':'{}'}")
                       C_CALL("'index':2,'id':'c3','type':'function','function':{'name':'h',"
                              "'arguments':'{}'}") C_END("tool_calls")},
        {MESSAGES,
         M_START M_TEXT("0", "Hm") M_BLOCK("1", "'type':'tool_use','id':'c1','name':'f','input':{}")
             M_DELTA("1", "'type':'input_json_delta','partial_json':'{}'") M_STOP("1")
                 M_BLOCK("2", "'type':'tool_use','id':'c2','name':'g','input':{}")
                     M_DELTA("2", "'type':'input_json_delta','partial_json':'{}'") M_STOP("2")
                         M_BLOCK("3", "'type':'tool_use','id':'c3','name':'h','input':{}")
                             M_DELTA("3", "'type':'input_json_delta','partial_json':'{}'")
                                 M_STOP("3") M_END("tool_use")},
        {RESPONSES, R_START R_TEXT("0", "Hm") R_CALL("1", "c1", "f", "{}")
                        R_CALL("2", "c2", "g", "{}") R_CALL("3", "c3", "h", "{}") R_END},
        {GEMINI, G_PARTS("{'text':'Hm'},{'functionCall':{'name':'f','args':{}}}")
                     G_PARTS("{'functionCall':{'name':'g','args':{}}},"
                             "{'functionCall':{'name':'h','args':{}}}") G_END("STOP")},
        {CONVERSE, V_START V_TEXT("0", "Hm") V_CALL("1", "c1", "f") V_INPUT("1", "{}") V_STOP("1")
                       V_CALL("2", "c2", "g") V_INPUT("2", "{}") V_STOP("2") V_CALL("3", "c3", "h")
                           V_INPUT("3", "{}") V_STOP("3") V_END("tool_use")},
    };
    story_t told;

    (void)state;
    ALL_TOLD(from, "text(Hm) call(f,{}) call(g,{}) call(h,{})", &story_tools);
    for (size_t i = 0; i < sizeof(from) / sizeof(from[0]); i++) {
        story_open(&told, from[i].upstream, from[i].story, 1);
        for (uint64_t call = 0; call < 3; call++) {
            assert_int_equal(told.digest.parts[call + 1].index, call);
        }
        story_close(&told);
    }
}

static void s4_a_fragment_without_an_id_goes_on(void **state)
{
    static const from_t from[] = {
        {CHAT, C_CALL("'index':0,'id':'c1','type':'function','function':{'name':'f',"
                      "'arguments':'{\\'a\\''}") C_CALL("'index':0,'function':{'arguments':':'}")
                   C_CALL("'index':0,'id':'','function':{'arguments':'1'}") C_CALL(
                       "'index':0,'id':null,'function':{'name':null,'arguments':'}'}")
                       C_CALL("'index':1,'id':'c2','type':'function','function':{'name':'g',"
                              "'arguments':'{'}") C_CALL("'index':1,'function':{'arguments':'}'}")
                           C_END("tool_calls")},
        /* no index either */
        {CHAT, C_CALL("'id':'c1','type':'function','function':{'name':'f','arguments':'{\\'a\\''}")
                   C_CALL("'function':{'arguments':':1}'}")
                       C_CALL("'id':'c2','type':'function','function':{'name':'g',"
                              "'arguments':'{'}") C_CALL("'function':{'arguments':'}'}")
                           C_END("tool_calls")},
    };

    (void)state;
    ALL_TOLD(from, "call(f,{'a':1}) call(g,{})", &story_tools);
}

/* Messages and Gemini take an empty object for it, the others "{}". */
static void s17_a_call_without_arguments_has_an_empty_object(void **state)
{
    static const from_t from[] = {
        {CHAT, C_CALL("'index':0,'id':'c1','type':'function','function':{'name':'f',"
                      "'arguments':''}") C_END("tool_calls")},
        {CHAT, C_CALL("'index':0,'id':'c1','type':'function','function':{'name':'f'}")
                   C_END("tool_calls")},
        {CHAT, C_CALL("'index':0,'id':'c1','type':'function','function':{'name':'f',"
                      "'arguments':null}") C_FINISH("stop") C_USAGE C_DONE},
        {MESSAGES, M_START M_BLOCK("0", "'type':'tool_use','id':'c1','name':'f','input':{}")
                       M_STOP("0") M_END("tool_use")},
        {MESSAGES, M_START M_BLOCK("0", "'type':'tool_use','id':'c1','name':'f','input':{}")
                       M_DELTA("0", "'type':'input_json_delta','partial_json':''") M_STOP("0")
                           M_END("tool_use")},
        {RESPONSES, R_START R_CALL("0", "c1", "f", "") R_END},
        {GEMINI, G_PARTS("{'functionCall':{'name':'f'}}") G_END("STOP")},
        {GEMINI, G_PARTS("{'functionCall':{'name':'f','args':{}}}") G_END("STOP")},
        {GEMINI, G_PARTS("{'functionCall':{'name':'f','args':null}}") G_END("STOP")},
        {CONVERSE, V_START V_CALL("0", "c1", "f") V_STOP("0") V_END("tool_use")},
        {CONVERSE, V_START V_CALL("0", "c1", "f") V_INPUT("0", "") V_STOP("0") V_END("tool_use")},
    };
    story_t told;

    (void)state;
    for (size_t i = 0; i < sizeof(from) / sizeof(from[0]); i++) {
        for (unsigned caller = 0; caller < STORY_CALLERS; caller++) {
            story_open(&told, from[i].upstream, from[i].story, caller);
            assert_int_equal(told.digest.count, 1);
            assert_string_equal(told.digest.parts[0].head, "f");
            if (caller != 0 || told.digest.parts[0].len != 0) {
                assert_string_equal(told.digest.parts[0].text, "{}");
            }
            assert_string_equal(told.check.stop, story_tools.words[caller]);
            story_close(&told);
        }
    }
}

/* Gemini has no place for it but an object. */
static void s18_broken_arguments_pass_as_they_are(void **state)
{
    static const from_t from[] = {
        {CHAT, C_CALL("'index':0,'id':'c1','type':'function','function':{'name':'f',"
                      "'arguments':'{\\'a\\':'}") C_CALL("'index':0,'function':{'arguments':'tru'}")
                   C_END("tool_calls")},
        {MESSAGES, M_START M_BLOCK("0", "'type':'tool_use','id':'c1','name':'f','input':{}")
                       M_DELTA("0", "'type':'input_json_delta','partial_json':'{\\'a\\':tru'")
                           M_STOP("0") M_END("tool_use")},
        {RESPONSES, R_START R_CALL("0", "c1", "f", "{\\'a\\':tru") R_END},
        {CONVERSE,
         V_START V_CALL("0", "c1", "f") V_INPUT("0", "{\\'a\\':tru") V_STOP("0") V_END("tool_use")},
    };
    story_text_t want;
    story_t told;

    (void)state;
    for (size_t i = 0; i < sizeof(from) / sizeof(from[0]); i++) {
        for (unsigned caller = 0; caller < STORY_CALLERS; caller++) {
            story_open(&told, from[i].upstream, from[i].story, caller);
            story_same(
                &told, from[i].upstream, told.digest.parts[0].text,
                story_quoted(caller == 3 ? "{'raw_arguments':'{\\'a\\':tru'}" : "{'a':tru", &want));
            assert_string_equal(told.check.stop, story_tools.words[caller]);
            story_close(&told);
        }
    }
}

/* ---- blocks ------------------------------------------------------------------------ */

static void s8_a_change_of_kind_is_another_block(void **state)
{
    static const from_t from[] = {
        {CHAT,
         C_DELTA("'role':'assistant','content':null,'reasoning_content':'Wh','tool_calls':null")
             C_DELTA("'content':null,'reasoning_content':'y','tool_calls':null,'refusal':null")
                 C_DELTA("'content':'So','reasoning_content':null,'tool_calls':null")
                     C_DELTA("'content':'.','reasoning_content':null,'tool_calls':[]") C_DELTA(
                         "'content':null,'reasoning_content':null,'tool_calls':[{'index':0,'id':"
                         "'c1','type':'function','function':{'name':'f','arguments':'{}'}}]")
                         C_DELTA("'content':null,'reasoning_content':null,'tool_calls':null")
                             C_END("tool_calls")},
        {MESSAGES,
         M_START M_BLOCK("0", "'type':'thinking','thinking':'','signature':''")
             M_DELTA("0", "'type':'thinking_delta','thinking':'Why'") M_STOP("0") M_TEXT("1", "So.")
                 M_BLOCK("2", "'type':'tool_use','id':'c1','name':'f','input':{}")
                     M_DELTA("2", "'type':'input_json_delta','partial_json':'{}'") M_STOP("2")
                         M_END("tool_use")},
        {RESPONSES,
         R_START R_ADDED("0", "'type':'reasoning','summary':[]")
             R_AT("response.reasoning_summary_text.delta", "0", ",'summary_index':0,'delta':'Why'")
                 R_DONE("0", "'type':'reasoning','summary':[{'type':'summary_text','text':'Why'}]")
                     R_TEXT("1", "So.") R_CALL("2", "c1", "f", "{}") R_END},
        {GEMINI, G_PARTS("{'text':'Why','thought':true},{'text':'So.'}")
                     G_PARTS("{'functionCall':{'name':'f','args':{}}}") G_END("STOP")},
        /* all on one index */
        {CONVERSE,
         V_START V_DELTA("0", "'reasoningContent':{'text':'Why'}") V_DELTA("0", "'text':'So.'")
             V_CALL("0", "c1", "f") V_INPUT("0", "{}") V_STOP("0") V_END("tool_use")},
    };

    (void)state;
    ALL_TOLD(from, "think(Why) text(So.) call(f,{})", &story_tools);
}

/* The validator of Messages: no empty block, indexes from 0. */
static void s9_no_block_is_opened_for_nothing(void **state)
{
    static const from_t from[] = {
        {CHAT, C_DELTA("'role':'assistant','content':''") C_DELTA("'content':null")
                   C_CALL("'index':0,'id':'c1','type':'function','function':{'name':'f',"
                          "'arguments':'{}'}") C_DELTA("'content':''") C_END("tool_calls")},
        {MESSAGES, M_START M_BLOCK("0", "'type':'text','text':''")
                       M_DELTA("0", "'type':'text_delta','text':''") M_STOP("0")
                           M_BLOCK("1", "'type':'tool_use','id':'c1','name':'f','input':{}")
                               M_DELTA("1", "'type':'input_json_delta','partial_json':'{}'")
                                   M_STOP("1") M_END("tool_use")},
        {RESPONSES, R_START R_TEXT("0", "") R_CALL("1", "c1", "f", "{}") R_END},
        {GEMINI,
         G_PARTS("{'text':''}") G_PARTS("{'functionCall':{'name':'f','args':{}}}") G_END("STOP")},
        {CONVERSE, V_START V_TEXT("0", "") V_CALL("1", "c1", "f") V_INPUT("1", "{}") V_STOP("1")
                       V_END("tool_use")},
    };
    story_t told;

    (void)state;
    ALL_TOLD(from, "call(f,{})", &story_tools);
    for (size_t i = 0; i < sizeof(from) / sizeof(from[0]); i++) {
        story_open(&told, from[i].upstream, from[i].story, 0);
        assert_int_equal(told.check.blocks, 1);
        translate_has(relay_buf_span(&told.stream.output.buf),
                      "\"type\":\"content_block_start\",\"index\":0");
        story_close(&told);
    }
}

/* Each of these is of an upstream that breaks its own lifecycle. */
static void s10_deltas_out_of_place_do_no_harm(void **state)
{
    static const from_t from[] = {
        {MESSAGES, M_DELTA("-1", "'type':'text_delta','text':'early'")
                       M_START M_DELTA("0", "'type':'text_delta','text':'early'") M_STOP("0")
                           M_TEXT("0", "Hi") M_DELTA("0", "'type':'text_delta','text':'late'")
                               M_STOP("0") M_END("end_turn")},
        {CHAT, C_DELTA("'role':'assistant'") C_DELTA("'content':'Hi'") C_FINISH("stop")
                   C_DELTA("'content':'late'") C_FINISH("stop") C_USAGE C_DONE},
        {RESPONSES, R_START R_TEXT("0", "Hi") R_AT("response.output_text.delta", "0",
                                                   ",'content_index':0,'delta':'late'") R_END},
        {CONVERSE, V_INPUT("0", "{}") V_START V_INPUT("3", "{}") V_TEXT("0", "Hi") V_STOP("0")
                       V_FINISH("end_turn") V_DELTA("0", "'text':'late'") V_END("end_turn")},
    };

    (void)state;
    ALL_TOLD(from, "text(Hi)", &story_end);
}

static void s11_an_answer_begins_once(void **state)
{
    static const from_t from[] = {
        {MESSAGES, M_START M_START M_TEXT("0", "Hi") M_START M_END("end_turn")},
        {CHAT,
         C_DELTA("'role':'assistant','content':''") C_DELTA("'role':'assistant','content':'H'")
             C_DELTA("'role':'assistant','content':'i'") C_END("stop")},
        {RESPONSES, R_START R_RESPONSE("response.in_progress", "in_progress", "")
                        R_START R_TEXT("0", "Hi") R_START R_END},
        {CONVERSE, V_START V_START V_TEXT("0", "Hi") V_START V_END("end_turn")},
        {GEMINI, G_PARTS("{'text':'H'}") G_PARTS("{'text':'i'}") G_END("STOP")},
    };

    (void)state;
    ALL_TOLD(from, "text(Hi)", &story_end);
}

/* ---- signatures -------------------------------------------------------------------- */

/* The validator of Messages: nothing of the block follows it. Of a signature that was not
 * made for the caller's format, t/unit/test_wire_*_codec*.c have the way back. */
static void s12_a_signature_stays_in_its_block(void **state)
{
    static const from_t from[] = {
        {MESSAGES, M_START M_BLOCK("0", "'type':'thinking','thinking':'','signature':''")
                       M_DELTA("0", "'type':'thinking_delta','thinking':'Why'")
                           M_DELTA("0", "'type':'signature_delta','signature':'c2ln'") M_STOP("0")
                               M_TEXT("1", "So") M_END("end_turn")},
        {CONVERSE, V_START V_DELTA("0", "'reasoningContent':{'text':'Why'}")
                       V_DELTA("0", "'reasoningContent':{'signature':'c2ln'}") V_STOP("0")
                           V_TEXT("1", "So") V_END("end_turn")},
        {CHAT, C_DELTA("'role':'assistant','reasoning_details':[{'type':'reasoning.text','text':"
                       "'Why','format':'anthropic-claude-v1','index':0}]")
                   C_DELTA("'reasoning_details':[{'type':'reasoning.text','signature':'c2ln',"
                           "'format':'anthropic-claude-v1','index':0}]") C_DELTA("'content':'So'")
                       C_END("stop")},
    };
    char got[DIGEST_ALL];
    story_t told;

    (void)state;
    ALL_TOLD(from, "think(Why) text(So)", &story_end);
    for (size_t i = 0; i < sizeof(from) / sizeof(from[0]); i++) {
        for (unsigned caller = 0; caller < 2; caller++) {
            story_open(&told, from[i].upstream, from[i].story, caller);
            digest_put(&told.digest, &told.check, true, got, sizeof(got));
            story_same(&told, from[i].upstream, got,
                       caller == 0 ? "think(Why|c2ln) text(So) end_turn 11/3/5"
                                   : "think(Why|c2ln) text(So) stop 11/3/5");
            story_close(&told);
        }
        for (unsigned caller = 2; caller < STORY_CALLERS; caller++) {
            story_open(&told, from[i].upstream, from[i].story, caller);
            assert_true(told.digest.parts[0].head[0] != '\0');
            story_close(&told);
        }
    }
}

static void s12_whole_answers_carry_it_too(void **state)
{
    static const char *const whole[][2] = {
        {MESSAGES, "{'id':'m','type':'message','role':'assistant','model':'m','content':["
                   "{'type':'thinking','thinking':'Why','signature':'c2ln'},"
                   "{'type':'text','text':'So'}],'stop_reason':'end_turn',"
                   "'usage':{'input_tokens':1,'output_tokens':1}}"},
        {CONVERSE, "{'output':{'message':{'role':'assistant','content':[{'reasoningContent':"
                   "{'reasoningText':{'text':'Why','signature':'c2ln'}}},{'text':'So'}]}},"
                   "'stopReason':'end_turn','usage':{'inputTokens':1,'outputTokens':1}}"},
    };
    static const char *const parts[STORY_CALLERS] = {
        "\"thinking\":\"Why\",\"signature\":\"c2ln\"", "\"signature\":\"c2ln\"",
        "\"encrypted_content\":\"", "\"thoughtSignature\":\""};
    story_text_t text;
    translate_t run;
    relay_span_t out;

    (void)state;
    for (size_t i = 0; i < 2 * STORY_CALLERS; i++) {
        translate_open(&run, story_callers[i / 2], whole[i % 2][0]);
        assert_int_equal(
            relay_translate_response(
                &run.translation, relay_wire_cstring(story_quoted(whole[i % 2][1], &text)), &out),
            RELAY_ERR_NONE);
        translate_has(out, parts[i / 2]);
        translate_close(&run);
    }
}

/* ---- items ------------------------------------------------------------------------- */

/* The validator of Responses has the rest: created first, numbers that rise by one, one id
 * for each item, done in the order of output_index, the output the sum of the items. */
static void s26_every_item_of_responses_is_told_whole(void **state)
{
    static const from_t from[] = {
        {CHAT, C_DELTA("'role':'assistant','reasoning_content':'Why'") C_DELTA("'content':'S'")
                   C_DELTA("'content':'o'") C_CALL(
                       "'index':0,'id':'c1','type':'function','function':{'name':'f',"
                       "'arguments':'{\\'a\\''}")
                       C_CALL("'index':1,'id':'c2','type':'function','function':{'name':'g',"
                              "'arguments':'{}'}")
                           C_CALL("'index':0,'function':{'arguments':':1}'}") C_END("tool_calls")},
        {MESSAGES,
         M_START M_BLOCK("0", "'type':'thinking','thinking':'','signature':''")
             M_DELTA("0", "'type':'thinking_delta','thinking':'Why'")
                 M_DELTA("0", "'type':'signature_delta','signature':'c2ln'") M_STOP("0")
                     M_TEXT("1", "So") M_BLOCK("2", "'type':'tool_use','id':'c1','name':'f','input'"
                                                    ":{'a':1}") M_STOP("2")
                         M_BLOCK("3", "'type':'tool_use','id':'c2','name':'g','input':{}")
                             M_STOP("3") M_END("tool_use")},
        {RESPONSES,
         R_START R_ADDED("0", "'type':'reasoning','summary':[]")
             R_AT("response.reasoning_summary_text.delta", "0", ",'summary_index':0,'delta':'Why'")
                 R_DONE("0", "'type':'reasoning','summary':[{'type':'summary_text','text':'Why'}]")
                     R_TEXT("1", "So") R_CALL("2", "c1", "f", "{\\'a\\':1}")
                         R_CALL("3", "c2", "g", "{}") R_END},
        {GEMINI, G_PARTS("{'text':'Why','thought':true}") G_PARTS("{'text':'S'}")
                     G_PARTS("{'text':'o'},{'functionCall':{'name':'f','args':{'a':1}}},"
                             "{'functionCall':{'name':'g','args':{}}}") G_END("STOP")},
        {CONVERSE, V_START V_DELTA("0", "'reasoningContent':{'text':'Why'}") V_STOP("0") V_TEXT(
                       "1", "So") V_CALL("2", "c1", "f") V_INPUT("2", "{\\'a\\':1}") V_STOP("2")
                       V_CALL("3", "c2", "g") V_INPUT("3", "{}") V_STOP("3") V_END("tool_use")},
    };
    story_t told;

    (void)state;
    for (size_t i = 0; i < sizeof(from) / sizeof(from[0]); i++) {
        story_open(&told, from[i].upstream, from[i].story, 2);
        assert_int_equal(told.check.blocks, 4);
        assert_int_equal(told.check.calls, 2);
        assert_int_equal(told.digest.count, 4);
        assert_string_equal(told.digest.parts[1].text, "So");
        assert_string_equal(told.digest.parts[2].text, "{\"a\":1}");
        assert_int_equal(told.digest.parts[2].index, 2);
        assert_int_equal(told.digest.parts[3].index, 3);
        assert_string_equal(told.check.stop, "completed");
        story_close(&told);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(s1_whole_arguments_arrive_as_a_delta),
        cmocka_unit_test(s2_mixed_fragments_are_sorted),
        cmocka_unit_test(s3_calls_behind_a_text_count_from_0),
        cmocka_unit_test(s4_a_fragment_without_an_id_goes_on),
        cmocka_unit_test(s8_a_change_of_kind_is_another_block),
        cmocka_unit_test(s9_no_block_is_opened_for_nothing),
        cmocka_unit_test(s10_deltas_out_of_place_do_no_harm),
        cmocka_unit_test(s11_an_answer_begins_once),
        cmocka_unit_test(s12_a_signature_stays_in_its_block),
        cmocka_unit_test(s12_whole_answers_carry_it_too),
        cmocka_unit_test(s17_a_call_without_arguments_has_an_empty_object),
        cmocka_unit_test(s18_broken_arguments_pass_as_they_are),
        cmocka_unit_test(s26_every_item_of_responses_is_told_whole),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
