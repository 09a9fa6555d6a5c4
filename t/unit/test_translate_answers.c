/*
 * What answers of every format have in common, whole and as streams: ids. Each
 * stream is the same for every cut of its input.
 */

#include "codec_support.c"

#include "translate_check.h"

#define GEMINI   "gemini"
#define CONVERSE "bedrock-converse"

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

#define EVENT(type, rest) "event: " type "\ndata: {'type':'" type "'" rest "}\n\n"
#define DATA(rest)        "data: {" rest "}\n\n"
#define AWS(type, rest)   "event: " type "\ndata: {" rest "}\n\n"

/* An answer that says "Hi", with an id of the upstream's where the format has one. */
static const struct {
    const char *upstream;
    const char *whole;
    const char *stream;
} answers[] = {
    {CHAT,
     "{'id':'up-1','model':'m','choices':[{'index':0,'message':{'role':'assistant','content':"
     "'Hi'},'finish_reason':'stop'}]}",
     DATA("'id':'up-1','model':'m','choices':[{'index':0,'delta':{'content':'Hi'}}]") DATA(
         "'id':'up-1','choices':[{'index':0,'delta':{},'finish_reason':'stop'}]") "data: "
                                                                                  "[DONE]\n\n"},
    {MESSAGES,
     "{'id':'up-1','model':'m','content':[{'type':'text','text':'Hi'}],'stop_reason':'end_turn'}",
     EVENT("message_start", ",'message':{'id':'up-1','model':'m'}")
         EVENT("content_block_start", ",'index':0,'content_block':{'type':'text','text':''}")
             EVENT("content_block_delta", ",'index':0,'delta':{'type':'text_delta','text':'Hi'}")
                 EVENT("content_block_stop", ",'index':0")
                     EVENT("message_delta", ",'delta':{'stop_reason':'end_turn'}")
                         EVENT("message_stop", "")},
    {RESPONSES,
     "{'id':'resp_up-1','status':'completed','model':'m','output':[{'type':'message','content':"
     "[{'type':'output_text','text':'Hi'}]}]}",
     EVENT("response.created", ",'response':{'id':'resp_up-1','model':'m','status':'in_progress'}")
         EVENT("response.output_text.delta", ",'output_index':0,'content_index':0,'delta':'Hi'")
             EVENT("response.completed", ",'response':{'id':'resp_up-1','status':'completed',"
                                         "'output':[]}")},
    {GEMINI,
     "{'candidates':[{'content':{'parts':[{'text':'Hi'}]},'finishReason':'STOP'}],'responseId':"
     "'up-1','modelVersion':'m'}",
     DATA("'candidates':[{'content':{'parts':[{'text':'Hi'}]},'finishReason':'STOP'}],"
          "'responseId':'up-1','modelVersion':'m'")},
    {CONVERSE,
     "{'output':{'message':{'role':'assistant','content':[{'text':'Hi'}]}},'stopReason':"
     "'end_turn'}",
     AWS("messageStart", "'role':'assistant'")
         AWS("contentBlockDelta", "'contentBlockIndex':0,'delta':{'text':'Hi'}")
             AWS("contentBlockStop", "'contentBlockIndex':0")
                 AWS("messageStop", "'stopReason':'end_turn'") AWS("metadata", "'metrics':{}")},
};

enum { ANSWERS = sizeof(answers) / sizeof(answers[0]) };

/* What an answer's id is to each caller. */
static const struct {
    const char *caller;
    const char *id;
} callers[] = {{CHAT, "'id':'chatcmpl-r1'"},
               {MESSAGES, "'id':'msg_r1'"},
               {RESPONSES, "'id':'resp_r1'"},
               {GEMINI, "'responseId':'r1'"}};

enum { CALLERS = sizeof(callers) / sizeof(callers[0]) };

static void has_not(relay_span_t text, const char *part)
{
    if (memmem(text.base, text.len, part, strlen(part)) != NULL) {
        print_error("%s\nin %.*s\n", part, (int)text.len, (const char *)text.base);
        fail();
    }
}

/* ---- ids --------------------------------------------------------------------------- */

static void check_id(relay_span_t text, size_t answer, size_t caller)
{
    if (strcmp(answers[answer].upstream, callers[caller].caller) == 0) {
        translate_has(text, "up-1");
        return;
    }
    translate_has(text, json(callers[caller].id));
    has_not(text, "up-1");
}

static void an_answer_has_an_id_of_the_callers_kind(void **state)
{
    translate_t run;
    relay_span_t out;

    (void)state;
    for (size_t i = 0; i < ANSWERS * CALLERS; i++) {
        size_t answer = i / CALLERS, caller = i % CALLERS;
        translate_open(&run, callers[caller].caller, answers[answer].upstream);
        assert_int_equal(relay_translate_response(&run.translation,
                                                  relay_wire_cstring(json(answers[answer].whole)),
                                                  &out),
                         RELAY_ERR_NONE);
        check_id(out, answer, caller);
        translate_close(&run);
    }
}

static void a_stream_has_the_id_of_a_whole_answer(void **state)
{
    stream_check_t check;
    translate_t run;

    (void)state;
    for (size_t i = 0; i < ANSWERS * CALLERS; i++) {
        size_t answer = i / CALLERS, caller = i % CALLERS;
        translate_stream_t out;
        translate_open(&run, callers[caller].caller, answers[answer].upstream);
        out = translate_stream(&run.translation, json(answers[answer].stream), &check);
        assert_true(check.ended);
        check_id(relay_buf_span(&out.output.buf), answer, caller);
        free(out.output.buf.base);
        translate_close(&run);
    }
}

/* Two answers of a provider that counts its calls from 0 are two requests. */
static void a_call_without_an_id_has_one_of_the_request(void **state)
{
    static const char body[] =
        "{'choices':[{'index':0,'message':{'tool_calls':[{'type':'function','function':{'name':"
        "'f','arguments':'{}'}}]},'finish_reason':'tool_calls'}]}";
    translate_t run;
    relay_span_t out;

    (void)state;
    translate_open(&run, CHAT, CHAT);
    assert_int_equal(
        relay_translate_response(&run.translation, relay_wire_cstring(json(body)), &out),
        RELAY_ERR_NONE);
    translate_has(out, "\"id\":\"call_r1_0\"");
    translate_close(&run);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_answer_has_an_id_of_the_callers_kind),
        cmocka_unit_test(a_stream_has_the_id_of_a_whole_answer),
        cmocka_unit_test(a_call_without_an_id_has_one_of_the_request),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
