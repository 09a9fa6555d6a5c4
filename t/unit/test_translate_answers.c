/*
 * What answers of every format have in common, whole and as streams: ids, log
 * probabilities, images, thinking that is not shown, tiers of service. Each stream is
 * the same for every cut of its input.
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

/* ---- log probabilities --------------------------------------------------------- */

/* As Chat Completions and Responses tell of a token; the latter has no null. */
#define TOKEN(token, bytes)                                                                        \
    "{'token':'" token "','logprob':-0.25,'bytes':" bytes ",'top_logprobs':[{'token':'" token      \
    "','logprob':-0.25,'bytes':" bytes "},{'token':'x','logprob':-2,'bytes':" bytes "}]}"
#define CHOSEN(token) "{'token':'" token "','logProbability':-0.25}"
#define FROM(token)   "{'candidates':[" CHOSEN(token) ",{'token':'x','logProbability':-2}]}"

static void s25_logprobs_of_a_whole_answer(void **state)
{
    static const char chat[] =
        "{'choices':[{'message':{'content':'Hi','refusal':'no'},'logprobs':"
        "{'content':[" TOKEN("H", "null") "," TOKEN("i", "null") "],'refusal':[" TOKEN(
            "no", "[1]") "]},"
                         "'finish_reason':"
                         "'stop'}]}";
    static const char responses[] =
        "{'status':'completed','output':[{'type':'message','content':[{'type':'output_text',"
        "'text':'H','logprobs':[" TOKEN("H", "[72]") "]},{'type':'output_text','text':'i',"
                                                     "'logprobs':[" TOKEN("i", "[105]") "]}]}]}";
    static const char gemini[] =
        "{'candidates':[{'content':{'parts':[{'text':'H\\u00e9'}]},'finishReason':'STOP',"
        "'logprobsResult':{'chosenCandidates':[{'token':'\\u00e9','logProbability':-0.25}],"
        "'topCandidates':[{'candidates':[{'token':'\\u00e9','logProbability':-0.25},{'token':"
        "'x','logProbability':-2}]}],'logProbabilitySum':-0.25}}]}";
    static const struct {
        const char *upstream, *caller, *body, *part;
    } cases[] = {
        {CHAT, CHAT, chat,
         "'logprobs':{'content':[" TOKEN("H", "null") "," TOKEN("i", "null") "],'refusal':[" TOKEN(
             "no", "[1]") "]},'finish_reason'"},
        {CHAT, RESPONSES, chat,
         "'annotations':[],'logprobs':[" TOKEN("H", "[]") "," TOKEN("i", "[]") "]}]}"},
        {CHAT, GEMINI, chat,
         "'logprobsResult':{'chosenCandidates':[" CHOSEN("H") "," CHOSEN("i") "," CHOSEN(
             "no") "],'topCandidates':[" FROM("H") "," FROM("i") "," FROM("no") "]},'index':0}"},
        {RESPONSES, CHAT, responses,
         "'logprobs':{'content':[" TOKEN("H", "[72]") "," TOKEN("i", "[105]") "],'refusal':null}"},
        {RESPONSES, GEMINI, responses,
         "'chosenCandidates':[" CHOSEN("H") "," CHOSEN("i") "],'topCandidates':[" FROM(
             "H") "," FROM("i") "]}"},
        {GEMINI, CHAT, gemini,
         "'logprobs':{'content':[{'token':'\\u00e9','logprob':-0.25,'bytes':[195,169],"
         "'top_logprobs':[{'token':'\\u00e9','logprob':-0.25,'bytes':[195,169]},{'token':'x',"
         "'logprob':-2,'bytes':[120]}]}],'refusal':null}"},
        {GEMINI, RESPONSES, gemini,
         "'logprobs':[{'token':'\\u00e9','logprob':-0.25,'bytes':[195,169],'top_logprobs':["},
        {GEMINI, MESSAGES, gemini, "'content':[{'type':'text','text':'H\\u00e9'}]"},
    };
    translate_t run;
    relay_span_t out;

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        translate_open(&run, cases[i].caller, cases[i].upstream);
        assert_int_equal(relay_translate_response(&run.translation,
                                                  relay_wire_cstring(json(cases[i].body)), &out),
                         RELAY_ERR_NONE);
        translate_has(out, json(cases[i].part));
        translate_close(&run);
    }
}

/* The stream, checked and cut, and what has to be in it. */
static void stream_has(const char *upstream, const char *caller, const char *text,
                       const char *const *parts, size_t nparts)
{
    translate_stream_t out;
    stream_check_t check;
    translate_t run;

    translate_open(&run, caller, upstream);
    out = translate_stream(&run.translation, json(text), &check);
    assert_true(check.ended);
    for (size_t i = 0; i < nparts; i++) {
        translate_has(relay_buf_span(&out.output.buf), json(parts[i]));
    }
    free(out.output.buf.base);
    translate_close(&run);
}

#define STREAM_HAS(upstream, caller, text, ...)                                                    \
    do {                                                                                           \
        static const char *const parts_[] = {__VA_ARGS__};                                         \
        stream_has(upstream, caller, text, parts_, sizeof(parts_) / sizeof(parts_[0]));            \
    } while (0)

static void s25_logprobs_of_a_stream_of_responses(void **state)
{
    /* its deltas tell no bytes; a message without deltas is read at its end */
    static const char text[] = EVENT("response.created", ",'response':{'id':'resp_1'}") EVENT(
        "response.output_text.delta",
        ",'output_index':0,'content_index':0,'delta':'H','logprobs':[{'token':'H','logprob':-0.25,"
        "'top_logprobs':[{'token':'x',\ndata: 'logprob':-2}]}]")
        EVENT("response.output_text.delta",
              ",'output_index':0,'content_index':0,'delta':'i','logprobs':[]")
            EVENT("response.output_item.done",
                  ",'output_index':1,'item':{'type':'message','content':[{'type':'output_text',"
                  "'text':'b','logprobs':[" TOKEN("b", "[98]") "]}]}")
                EVENT("response.completed", ",'response':{'status':'completed','output':[]}");

    (void)state;
    STREAM_HAS(RESPONSES, CHAT, text,
               "'delta':{'content':'H'},'logprobs':{'content':[{'token':'H','logprob':-0.25,"
               "'bytes':null,'top_logprobs':[{'token':'x','logprob':-2,'bytes':null}]}],"
               "'refusal':null},",
               "'delta':{'content':'i'},'logprobs':null",
               "'delta':{'content':'b'},'logprobs':{'content':[" TOKEN("b", "[98]") "],");
    STREAM_HAS(RESPONSES, GEMINI, text,
               "'parts':[{'text':'H'}]},'logprobsResult':{'chosenCandidates':[{'token':'H',"
               "'logProbability':-0.25}],'topCandidates':[{'candidates':[{'token':'x',"
               "'logProbability':-2}]}]},'index':0}]",
               "'parts':[{'text':'i'}]},'index':0}]");
}

static void s25_logprobs_of_a_stream_of_gemini(void **state)
{
    static const char text[] =
        DATA("'candidates':[{'content':{'parts':[{'text':'H'}]},'logprobsResult':"
             "{'chosenCandidates':[" CHOSEN("H") "],'topCandidates':[" FROM("H") "]}}]")
            DATA("'candidates':[{'content':{'parts':[{'text':'i'}]},'logprobsResult':"
                 "{'chosenCandidates':[" CHOSEN("i") "]},'finishReason':'STOP'}]");

    (void)state;
    STREAM_HAS(GEMINI, CHAT, text, "'delta':{'content':'H'},'logprobs':null",
               "'delta':{'content':''},'logprobs':{'content':[{'token':'H','logprob':-0.25,"
               "'bytes':[72],'top_logprobs':[{'token':'H','logprob':-0.25,'bytes':[72]},{'token':"
               "'x','logprob':-2,'bytes':[120]}]}],'refusal':null}",
               "'content':[{'token':'i','logprob':-0.25,'bytes':[105],'top_logprobs':[]}]");
    STREAM_HAS(GEMINI, RESPONSES, text,
               "'text':'Hi','logprobs':[{'token':'H','logprob':-0.25,'bytes':[72],'top_logprobs':");
    STREAM_HAS(GEMINI, GEMINI, text,
               "'logprobsResult':{'chosenCandidates':[" CHOSEN("H") "],'topCandidates':[" FROM(
                   "H") "]},'index':0}]");
    STREAM_HAS(GEMINI, MESSAGES, text, "{'type':'text_delta','text':'i'}");
}

static void s25_logprobs_of_a_stream_of_chat(void **state)
{
    static const char text[] =
        DATA("'choices':[{'index':0,'delta':{'content':'H'},'logprobs':{'content':[" TOKEN(
            "H", "null") "],'refusal':null}}]")
            DATA("'choices':[{'index':0,'delta':{},'finish_reason':'stop'}]") "data: [DONE]\n\n";

    (void)state;
    STREAM_HAS(CHAT, GEMINI, text,
               "'parts':[{'text':'H'}]},'logprobsResult':{'chosenCandidates':[" CHOSEN(
                   "H") "],'topCandidates':[" FROM("H") "]},'index':0}]");
    STREAM_HAS(CHAT, RESPONSES, text, "'delta':'H','logprobs':[" TOKEN("H", "[]") "]}",
               "'text':'H','annotations':[],'logprobs':[" TOKEN("H", "[]") "]");
}

/* What is no entry is left out: an event has room for six times its texts. */
static void lists_of_logprobs_that_are_none(void **state)
{
    static const char *const lists[] = {
        "[]", "[{}]", "[1,'a',null]", "[{'token':'a'}]", "[{'token':1,'logprob':-1}]", "[[]]"};
    uint8_t bytes[256];

    (void)state;
    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
        relay_json_value_t list = {RELAY_JSON_ARRAY, relay_wire_cstring(json(lists[i]))};
        relay_buf_t out = relay_buf(bytes, sizeof(bytes));
        relay_codec_put_logprobs(&out, list, RELAY_SPAN("null"));
        assert_int_equal(out.len, 0);
    }
}

static void texts_are_cut_between_characters(void **state)
{
    static const struct {
        const char *text;
        size_t at, cut;
    } cases[] = {
        {"abc", 0, 0},
        {"abc", 2, 2},
        {"abc", 9, 3},
        {"a\\n", 2, 3},
        {"\\u00e9b", 1, 6},
        {"\\ud83d\\ude00b", 7, 12},
        {"\\ud83d", 3, 6},
        {"\\ud83dabcdef", 3, 6},
        {"\xc3\xa9z", 1, 2},
        {"\xe6\xbc\xa2z", 2, 3},
        {"\xf0\x9f\x99\x82z", 1, 4},
        {"\\", 1, 1},
        {"\xe6\xbc", 1, 2},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(relay_codec_boundary(relay_wire_cstring(cases[i].text), cases[i].at),
                         cases[i].cut);
    }
}

/* ---- images ------------------------------------------------------------------------ */

#define DATA_URL "data:image/png;base64,iVBORw0KGgo="

static const char gemini_image[] =
    "{'candidates':[{'content':{'parts':[{'text':'Look'},{'inlineData':{'mimeType':'image/png',"
    "'data':'iVBORw0KGgo='}},{'text':'nice'},{'fileData':{'mimeType':'image/jpeg','fileUri':"
    "'https://a.example/b.jpg'}},{'inlineData':{'mimeType':'audio/wav','data':'UklG'}}]},"
    "'finishReason':'STOP'}]}";
static const char converse_image[] =
    "{'output':{'message':{'role':'assistant','content':[{'text':'Look'},{'image':{'format':'png',"
    "'source':{'bytes':'iVBORw0KGgo='}}},{'image':{'format':'webp','source':{'s3Location':{'uri':"
    "'s3://a'}}}}]}},'stopReason':'end_turn'}";
static const char chat_image[] =
    "{'choices':[{'message':{'content':'Look','images':[{'type':'image_url','image_url':{'url':"
    "'" DATA_URL "'}},{'image_url':{'url':'https://a.example/b.jpg'}},{}]},'finish_reason':"
    "'stop'}]}";

static void images_of_a_whole_answer(void **state)
{
    static const struct {
        const char *upstream, *caller, *body, *part, *notes;
    } cases[] = {
        {GEMINI, CHAT, gemini_image,
         "'content':'Looknice','refusal':null,'annotations':[],'images':[{'type':'image_url',"
         "'image_url':{'url':'" DATA_URL "'},'index':0},{'type':'image_url','image_url':{'url':"
         "'https://a.example/b.jpg'},'index':1}]}",
         ""},
        {GEMINI, RESPONSES, gemini_image,
         "{'id':'ig_r1_1','type':'image_generation_call','status':'completed','output_format':"
         "'png','result':'iVBORw0KGgo='},{'id':'msg_r1_2'",
         "output.image_generation_call"},
        {GEMINI, MESSAGES, gemini_image,
         "'content':[{'type':'text','text':'Look'},{'type':'text','text':'nice'}]",
         "content.image"},
        {CONVERSE, CHAT, converse_image,
         "'images':[{'type':'image_url','image_url':{'url':'" DATA_URL "'},'index':0}]", ""},
        {CONVERSE, RESPONSES, converse_image, "'output_format':'png','result':'iVBORw0KGgo='}]",
         ""},
        {CONVERSE, MESSAGES, converse_image, "'content':[{'type':'text','text':'Look'}]",
         "content.image"},
        {CONVERSE, GEMINI, converse_image,
         "'parts':[{'text':'Look'},{'inlineData':{'mimeType':'image/png','data':'iVBORw0KGgo='}}]",
         ""},
        {CHAT, GEMINI, chat_image,
         "'parts':[{'text':'Look'},{'inlineData':{'mimeType':'image/png','data':'iVBORw0KGgo='}},"
         "{'fileData':{'mimeType':'image/png','fileUri':'https://a.example/b.jpg'}}]",
         ""},
        {CHAT, CHAT, chat_image, "{'url':'https://a.example/b.jpg'},'index':1}]", ""},
    };
    translate_t run;
    relay_span_t out;

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        translate_open(&run, cases[i].caller, cases[i].upstream);
        assert_int_equal(relay_translate_response(&run.translation,
                                                  relay_wire_cstring(json(cases[i].body)), &out),
                         RELAY_ERR_NONE);
        translate_has(out, json(cases[i].part));
        translate_notes(&run.translation, cases[i].notes);
        translate_close(&run);
    }
}

static const char gemini_images[] =
    DATA("'candidates':[{'content':{'parts':[{'text':'Look'},{'inlineData':{'mimeType':"
         "'image/png','data':'iVBORw0KGgo='}}]}}]")
        DATA("'candidates':[{'content':{'parts':[{'text':'nice'},{'fileData':{'mimeType':"
             "'image/jpeg','fileUri':'https://a.example/b.jpg'}},{'inlineData':{'mimeType':"
             "'audio/wav','data':'UklG'}}]},'finishReason':'STOP'}]");
/* the second image comes in pieces; its end is that of the answer */
static const char converse_images[] = AWS("messageStart", "'role':'assistant'")
    AWS("contentBlockStart", "'contentBlockIndex':0,'start':{'image':{'format':'jpeg'}}")
        AWS("contentBlockDelta",
            "'contentBlockIndex':0,'delta':{'image':{'source':{'bytes':'/9j/AA=='}}}")
            AWS("contentBlockStop", "'contentBlockIndex':0")
                AWS("contentBlockDelta", "'contentBlockIndex':1,'delta':{'text':'a'}")
                    AWS("contentBlockStop", "'contentBlockIndex':1") AWS(
                        "contentBlockDelta",
                        "'contentBlockIndex':2,'delta':{'image':{'source':{'bytes':'iVBO'}}}")
                        AWS("contentBlockDelta",
                            "'contentBlockIndex':2,'delta':{'image':{'source':{'bytes':'Rw=='}}}")
                            AWS("messageStop", "'stopReason':'end_turn'")
                                AWS("metadata", "'usage':{'inputTokens':1}");
static const char chat_images[] = DATA("'choices':[{'index':0,'delta':{'content':'Look'}}]")
    DATA("'choices':[{'index':0,'delta':{'images':[{'type':'image_url','image_url':{'url':"
         "'" DATA_URL "'}},{'image_url':{'url':'https://a.example/b.jpg'}},{'image_url':{'url':"
         "'data:image/png,x'}}]}}]")
        DATA("'choices':[{'index':0,'delta':{},'finish_reason':'stop'}]") "data: [DONE]\n\n";

static void images_of_a_stream(void **state)
{
    (void)state;
    STREAM_HAS(GEMINI, CHAT, gemini_images,
               "'delta':{'images':[{'type':'image_url','image_url':{'url':'" DATA_URL
               "'},'index':0}]},'logprobs':null",
               "'delta':{'images':[{'type':'image_url','image_url':{'url':"
               "'https://a.example/b.jpg'},'index':1}]}",
               "'delta':{'content':'nice'}");
    STREAM_HAS(GEMINI, RESPONSES, gemini_images,
               "'output_index':1,'item':{'id':'ig_r1_1','type':'image_generation_call','status':"
               "'in_progress','output_format':'png','result':null}}",
               "'type':'response.image_generation_call.completed','sequence_number':",
               "'item':{'id':'ig_r1_1','type':'image_generation_call','status':'completed',"
               "'output_format':'png','result':'iVBORw0KGgo='}}",
               "'output_format':'png','result':'iVBORw0KGgo='},{'id':'msg_r1_2'");
    STREAM_HAS(GEMINI, GEMINI, gemini_images,
               "'parts':[{'inlineData':{'mimeType':'image/png','data':'iVBORw0KGgo='}}]",
               "'parts':[{'fileData':{'mimeType':'image/jpeg','fileUri':"
               "'https://a.example/b.jpg'}}]");
    STREAM_HAS(CONVERSE, CHAT, converse_images, "{'url':'data:image/jpeg;base64,/9j/AA=='}",
               "{'url':'data:image/png;base64,iVBORw=='}");
    STREAM_HAS(CONVERSE, RESPONSES, converse_images,
               "'output_format':'jpeg','result':'/9j/AA=='},{'id':'msg_r1_1'",
               "'output_format':'png','result':'iVBORw=='}],'usage'");
    STREAM_HAS(CHAT, GEMINI, chat_images,
               "{'inlineData':{'mimeType':'image/png','data':'iVBORw0KGgo='}}",
               "{'fileData':{'mimeType':'image/png','fileUri':'https://a.example/b.jpg'}}");
    STREAM_HAS(CHAT, CHAT, chat_images, "{'url':'https://a.example/b.jpg'},'index':1}]}");
}

static void an_image_that_a_caller_cannot_have_is_noted(void **state)
{
    static const struct {
        const char *upstream, *caller, *text, *notes;
    } cases[] = {
        {GEMINI, MESSAGES, gemini_images, "content.image"},
        {CONVERSE, MESSAGES, converse_images, "content.image"},
        {CHAT, MESSAGES, chat_images, "content.image"},
        {GEMINI, RESPONSES, gemini_images, "output.image_generation_call"},
        {GEMINI, CHAT, gemini_images, ""},
    };
    translate_stream_t out;
    stream_check_t check;
    translate_t run;

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        translate_open(&run, cases[i].caller, cases[i].upstream);
        out = translate_stream(&run.translation, json(cases[i].text), &check);
        assert_true(check.ended);
        translate_notes(&run.translation, cases[i].notes);
        free(out.output.buf.base);
        translate_close(&run);
    }
}

/* Pieces of bytes, each padded for itself, are no base64 when they are put together. */
static void an_image_in_pieces_that_do_not_fit_is_an_error(void **state)
{
    static const char text[] = AWS("messageStart", "'role':'assistant'") AWS(
        "contentBlockDelta", "'contentBlockIndex':0,'delta':{'image':{'source':{'bytes':'iVA='}}}")
        AWS("contentBlockDelta",
            "'contentBlockIndex':0,'delta':{'image':{'source':{'bytes':'iVA='}}}");
    translate_stream_t out;
    stream_check_t check;
    translate_t run;

    (void)state;
    translate_open(&run, CHAT, CONVERSE);
    out = translate_stream(&run.translation, json(text), &check);
    assert_true(check.errored);
    translate_has(relay_buf_span(&out.output.buf), "image cannot be put together");
    free(out.output.buf.base);
    translate_close(&run);
}

/* ---- thinking ---------------------------------------------------------------------- */

/* What a client of Messages gets of thinking that it could not send back is the same
 * whoever thought: nothing, and a note. */
static void thinking_of_others_is_noted_for_callers_of_messages(void **state)
{
    static const struct {
        const char *upstream, *whole, *stream, *notes;
    } cases[] = {
        {CHAT,
         "{'choices':[{'message':{'reasoning_content':'hm','content':'Hi'},'finish_reason':"
         "'stop'}]}",
         DATA("'choices':[{'index':0,'delta':{'reasoning_content':'hm'}}]")
             DATA("'choices':[{'index':0,'delta':{'content':'Hi'},'finish_reason':'stop'}]"),
         "content.thinking"},
        {CHAT,
         "{'choices':[{'message':{'reasoning_details':[{'type':'reasoning.text','text':'hm',"
         "'signature':'s','format':'anthropic-claude-v1'}],'content':'Hi'},'finish_reason':"
         "'stop'}]}",
         DATA("'choices':[{'index':0,'delta':{'reasoning_details':[{'type':'reasoning.text',"
              "'text':'hm','signature':'s','format':'anthropic-claude-v1'}]}}]")
             DATA("'choices':[{'index':0,'delta':{'content':'Hi'},'finish_reason':'stop'}]"),
         ""},
        {GEMINI,
         "{'candidates':[{'content':{'parts':[{'text':'hm','thought':true},{'text':'Hi'}]},"
         "'finishReason':'STOP'}]}",
         DATA("'candidates':[{'content':{'parts':[{'text':'hm','thought':true},{'text':'Hi'}]},"
              "'finishReason':'STOP'}]"),
         "content.thinking"},
        {GEMINI,
         "{'candidates':[{'content':{'parts':[{'text':'Hi','thoughtSignature':'c2ln'}]},"
         "'finishReason':'STOP'}]}",
         DATA("'candidates':[{'content':{'parts':[{'text':'Hi','thoughtSignature':'c2ln'}]},"
              "'finishReason':'STOP'}]"),
         "content.thinking"},
        {RESPONSES,
         "{'status':'completed','output':[{'type':'reasoning','summary':[],'encrypted_content':"
         "'gA'},{'type':'message','content':[{'type':'output_text','text':'Hi'}]}]}",
         EVENT("response.created", ",'response':{'id':'resp_1'}")
             EVENT("response.output_item.done",
                   ",'output_index':0,'item':{'type':'reasoning','summary':[],"
                   "'encrypted_content':'gA'}")
                 EVENT("response.output_text.delta", ",'output_index':1,'delta':'Hi'")
                     EVENT("response.completed", ",'response':{'status':'completed'}"),
         "content.thinking"},
        {CONVERSE,
         "{'output':{'message':{'content':[{'reasoningContent':{'reasoningText':{'text':'hm'}}},"
         "{'text':'Hi'}]}},'stopReason':'end_turn'}",
         AWS("messageStart", "'role':'assistant'")
             AWS("contentBlockDelta",
                 "'contentBlockIndex':0,'delta':{'reasoningContent':{'text':'hm'}}")
                 AWS("contentBlockDelta", "'contentBlockIndex':1,'delta':{'text':'Hi'}")
                     AWS("messageStop", "'stopReason':'end_turn'") AWS("metadata", ""),
         "content.thinking"},
    };
    stream_check_t check;
    translate_stream_t stream;
    translate_t run;
    relay_span_t out;

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        translate_open(&run, MESSAGES, cases[i].upstream);
        assert_int_equal(relay_translate_response(&run.translation,
                                                  relay_wire_cstring(json(cases[i].whole)), &out),
                         RELAY_ERR_NONE);
        translate_notes(&run.translation, cases[i].notes);
        translate_close(&run);
        translate_open(&run, MESSAGES, cases[i].upstream);
        stream = translate_stream(&run.translation, json(cases[i].stream), &check);
        assert_true(check.ended);
        translate_notes(&run.translation, cases[i].notes);
        free(stream.output.buf.base);
        translate_close(&run);
    }
}

/* ---- tiers of service, lifetimes of what is cached ---------------------------------- */

/* A tier in the words of the upstreams: whole answers, with "Hi" in them. */
#define CHAT_TIER(word)                                                                            \
    "{'choices':[{'message':{'content':'Hi'},'finish_reason':'stop'}],'service_tier':'" word "'}"
#define RESPONSES_TIER(word)                                                                       \
    "{'status':'completed','output':[{'type':'message','content':[{'type':'output_text','text':"   \
    "'Hi'}]}],'service_tier':'" word "'}"
#define MESSAGES_TIER(word)                                                                        \
    "{'content':[{'type':'text','text':'Hi'}],'usage':{'input_tokens':1,'service_tier':'" word "'" \
    "}"                                                                                            \
    "}"
#define GEMINI_TIER(word)                                                                          \
    "{'candidates':[{'content':{'parts':[{'text':'Hi'}]}}],'usageMetadata':{'trafficType':'" word  \
    "'}}"
#define CONVERSE_TIER(word)                                                                        \
    "{'output':{'message':{'content':[{'text':'Hi'}]}},'serviceTier':{'type':'" word "'}}"

static void a_tier_is_told_in_the_callers_word(void **state)
{
    static const struct {
        const char *upstream, *caller, *body, *part, *notes;
    } cases[] = {
        {CHAT, CHAT, CHAT_TIER("flex"), "},'service_tier':'flex'}", ""},
        {CHAT, RESPONSES, CHAT_TIER("scale"), "},'service_tier':'scale'}", ""},
        {CHAT, MESSAGES, CHAT_TIER("default"), "},'service_tier':'standard'}}", ""},
        {CHAT, MESSAGES, CHAT_TIER("flex"), "{'thinking_tokens':0}}}", "usage.service_tier"},
        {CHAT, GEMINI, CHAT_TIER("flex"), "'trafficType':'ON_DEMAND_FLEX'}", ""},
        {CHAT, GEMINI, CHAT_TIER("auto"), "'totalTokenCount':0}", ""},
        {RESPONSES, CHAT, RESPONSES_TIER("priority"), "},'service_tier':'priority'}", ""},
        {RESPONSES, MESSAGES, RESPONSES_TIER("priority"), "},'service_tier':'priority'}}", ""},
        {MESSAGES, MESSAGES, MESSAGES_TIER("standard"), "},'service_tier':'standard'}}", ""},
        {MESSAGES, CHAT, MESSAGES_TIER("standard"), "},'service_tier':'default'}", ""},
        {MESSAGES, RESPONSES, MESSAGES_TIER("priority"), "},'service_tier':'priority'}", ""},
        {MESSAGES, CHAT, MESSAGES_TIER("batch"), "'reasoning_tokens':0}}}", "service_tier"},
        {MESSAGES, GEMINI, MESSAGES_TIER("batch"), "'totalTokenCount':1}",
         "usageMetadata.trafficType"},
        {GEMINI, CHAT, GEMINI_TIER("PROVISIONED_THROUGHPUT"), "},'service_tier':'scale'}", ""},
        {GEMINI, MESSAGES, GEMINI_TIER("ON_DEMAND_PRIORITY"), "},'service_tier':'priority'}}", ""},
        {CONVERSE, CHAT, CONVERSE_TIER("reserved"), "},'service_tier':'scale'}", ""},
        {CONVERSE, MESSAGES, CONVERSE_TIER("default"), "},'service_tier':'standard'}}", ""},
        {CONVERSE, GEMINI, CONVERSE_TIER("priority"), "'trafficType':'ON_DEMAND_PRIORITY'}", ""},
    };
    translate_t run;
    relay_span_t out;

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        translate_open(&run, cases[i].caller, cases[i].upstream);
        assert_int_equal(relay_translate_response(&run.translation,
                                                  relay_wire_cstring(json(cases[i].body)), &out),
                         RELAY_ERR_NONE);
        translate_has(out, json(cases[i].part));
        translate_notes(&run.translation, cases[i].notes);
        translate_close(&run);
    }
}

#define CONVERSE_CACHED                                                                            \
    "'usage':{'inputTokens':1,'outputTokens':2,'cacheWriteInputTokens':10,'cacheDetails':"         \
    "[{'ttl':'5m','inputTokens':6},{'ttl':'1h','inputTokens':4}]}"

/* A tier that is told at first is in every chunk, one that is told last with the usage. */
static void a_stream_tells_its_tier(void **state)
{
    static const char chat[] =
        DATA("'service_tier':'priority','choices':[{'index':0,'delta':{'content':'Hi'}}]")
            DATA("'choices':[{'index':0,'delta':{},'finish_reason':'stop'}]") "data: [DONE]\n\n";
    static const char responses[] =
        EVENT("response.created", ",'response':{'id':'resp_1','service_tier':'auto'}")
            EVENT("response.output_text.delta", ",'output_index':0,'delta':'Hi'")
                EVENT("response.completed",
                      ",'response':{'status':'completed','service_tier':'priority','usage':{}}");
    static const char converse[] = AWS("messageStart", "'role':'assistant'")
        AWS("contentBlockDelta", "'contentBlockIndex':0,'delta':{'text':'Hi'}")
            AWS("messageStop", "'stopReason':'end_turn'")
                AWS("metadata", CONVERSE_CACHED ",'serviceTier':{'type':'priority'}");
    stream_check_t check;
    translate_stream_t out;
    translate_t run;

    (void)state;
    STREAM_HAS(CHAT, CHAT, chat, "'model':'','service_tier':'priority','choices':[{'index':0,");
    STREAM_HAS(CHAT, RESPONSES, chat, "},'service_tier':'priority'}}");
    STREAM_HAS(CHAT, MESSAGES, chat, "'service_tier':'priority'}}}\n\n",
               "'service_tier':'priority'}}\n\nevent: message_stop");
    STREAM_HAS(RESPONSES, GEMINI, responses, "'trafficType':'ON_DEMAND_PRIORITY'}");
    STREAM_HAS(CONVERSE, RESPONSES, converse, "},'service_tier':'priority'}}");
    translate_open(&run, CHAT, CONVERSE);
    run.translation.usage_wanted = true;
    out = translate_stream(&run.translation, json(converse), &check);
    translate_has(relay_buf_span(&out.output.buf),
                  json("'completion_tokens_details':{'reasoning_tokens':0}},'service_tier':"
                       "'priority'}\n\ndata: [DONE]"));
    free(out.output.buf.base);
    translate_close(&run);
}

#define LIFETIMES "'cache_creation':{'ephemeral_5m_input_tokens':6,'ephemeral_1h_input_tokens':4}"

/* C4: the two lifetimes have two prices. */
static void c4_lifetimes_of_what_is_cached(void **state)
{
    static const char converse[] = AWS("messageStart", "'role':'assistant'")
        AWS("contentBlockDelta", "'contentBlockIndex':0,'delta':{'text':'Hi'}")
            AWS("messageStop", "'stopReason':'end_turn'") AWS("metadata", CONVERSE_CACHED);
    static const char messages[] =
        EVENT("message_start", ",'message':{'usage':{'input_tokens':1,"
                               "'cache_creation_input_tokens':10," LIFETIMES "}}")
            EVENT("content_block_start", ",'index':0,'content_block':{'type':'text','text':'Hi'}")
                EVENT("message_delta",
                      ",'delta':{'stop_reason':'end_turn'},'usage':{'output_tokens':2}")
                    EVENT("message_stop", "");
    stream_check_t check;
    translate_stream_t out;
    translate_t run;

    (void)state;
    translate_open(&run, MESSAGES, CONVERSE);
    out = translate_stream(&run.translation, json(converse), &check);
    assert_int_equal(out.usage.cache_write_1h_tokens, 4);
    translate_has(relay_buf_span(&out.output.buf),
                  json("'usage':{'input_tokens':1,'cache_creation_input_tokens':10,"));
    translate_has(relay_buf_span(&out.output.buf), json(LIFETIMES "}}\n\nevent: message_stop"));
    free(out.output.buf.base);
    translate_close(&run);
    STREAM_HAS(MESSAGES, MESSAGES, messages, LIFETIMES "}}}\n\nevent: content_block_start",
               LIFETIMES "}}\n\nevent: message_stop");
}

/* A provider that tells one number alone has not told how long it lasts. */
static void lifetimes_that_are_not_told_are_not_made_up(void **state)
{
    translate_t run;
    relay_span_t out;

    (void)state;
    translate_open(&run, MESSAGES, CHAT);
    assert_int_equal(relay_translate_response(
                         &run.translation,
                         relay_wire_cstring(json(
                             "{'choices':[{'message':{'content':'Hi'}}],'usage':{'prompt_tokens':9,"
                             "'prompt_tokens_details':{'cache_write_tokens':4}}}")),
                         &out),
                     RELAY_ERR_NONE);
    translate_has(out, "\"cache_creation_input_tokens\":4");
    has_not(out, "\"cache_creation\"");
    translate_close(&run);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_answer_has_an_id_of_the_callers_kind),
        cmocka_unit_test(a_stream_has_the_id_of_a_whole_answer),
        cmocka_unit_test(a_call_without_an_id_has_one_of_the_request),
        cmocka_unit_test(s25_logprobs_of_a_whole_answer),
        cmocka_unit_test(s25_logprobs_of_a_stream_of_responses),
        cmocka_unit_test(s25_logprobs_of_a_stream_of_gemini),
        cmocka_unit_test(s25_logprobs_of_a_stream_of_chat),
        cmocka_unit_test(lists_of_logprobs_that_are_none),
        cmocka_unit_test(thinking_of_others_is_noted_for_callers_of_messages),
        cmocka_unit_test(a_tier_is_told_in_the_callers_word),
        cmocka_unit_test(a_stream_tells_its_tier),
        cmocka_unit_test(c4_lifetimes_of_what_is_cached),
        cmocka_unit_test(lifetimes_that_are_not_told_are_not_made_up),
        cmocka_unit_test(images_of_a_whole_answer),
        cmocka_unit_test(images_of_a_stream),
        cmocka_unit_test(an_image_that_a_caller_cannot_have_is_noted),
        cmocka_unit_test(an_image_in_pieces_that_do_not_fit_is_an_error),
        cmocka_unit_test(texts_are_cut_between_characters),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
