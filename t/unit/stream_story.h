/*
 * Streams of every upstream in few words, and one run of them to every caller. Quotes are
 * written as ' here. For test_stream_*.c.
 */

#ifndef RELAY_TEST_STREAM_STORY_H
#define RELAY_TEST_STREAM_STORY_H

#include "translate_check.h"

#include "stream_digest.h"

#define GEMINI   "gemini"
#define CONVERSE "bedrock-converse"

/* ---- Chat Completions: 11 tokens in, 3 of them cached, 5 out --------------------- */

#define C_CHOICE(rest)                                                                             \
    "data: {'id':'c','created':5,'model':'m','choices':[{'index':0," rest "}]}\n\n"
#define C_DELTA(delta) C_CHOICE("'delta':{" delta "},'finish_reason':null")
#define C_CALL(rest)   C_DELTA("'tool_calls':[{" rest "}]")
#define C_FINISH(word) C_CHOICE("'delta':{},'finish_reason':'" word "'")
#define C_USAGE                                                                                    \
    "data: {'id':'c','choices':[],'usage':{'prompt_tokens':11,'completion_tokens':5,"              \
    "'total_tokens':16,'prompt_tokens_details':{'cached_tokens':3}}}\n\n"
#define C_DONE      "data: [DONE]\n\n"
#define C_END(word) C_FINISH(word) C_USAGE C_DONE

/* ---- Messages ------------------------------------------------------------------- */

#define EVENT(name, rest) "event: " name "\ndata: {'type':'" name "'" rest "}\n\n"
#define M_START                                                                                    \
    EVENT("message_start",                                                                         \
          ",'message':{'id':'m','type':'message','role':'assistant','model':'m','content':[],"     \
          "'stop_reason':null,'stop_sequence':null,'usage':{'input_tokens':8,"                     \
          "'cache_creation_input_tokens':0,'cache_read_input_tokens':3,'output_tokens':1}}")
#define M_BLOCK(n, block) EVENT("content_block_start", ",'index':" n ",'content_block':{" block "}")
#define M_DELTA(n, delta) EVENT("content_block_delta", ",'index':" n ",'delta':{" delta "}")
#define M_STOP(n)         EVENT("content_block_stop", ",'index':" n)
#define M_TEXT(n, text)                                                                            \
    M_BLOCK(n, "'type':'text','text':''")                                                          \
    M_DELTA(n, "'type':'text_delta','text':'" text "'") M_STOP(n)
#define M_FINISH(rest) EVENT("message_delta", ",'delta':{" rest "},'usage':{'output_tokens':5}")
#define M_END(word)                                                                                \
    M_FINISH("'stop_reason':'" word "','stop_sequence':null") EVENT("message_stop", "")

/* ---- Responses ------------------------------------------------------------------ */

#define R_RESPONSE(name, status, rest)                                                             \
    EVENT(name, ",'response':{'id':'resp_1','object':'response','created_at':5,'model':'m',"       \
                "'status':'" status "'" rest "}")
#define R_START             R_RESPONSE("response.created", "in_progress", ",'output':[]")
#define R_AT(name, n, rest) EVENT(name, ",'output_index':" n ",'item_id':'i" n "'" rest)
#define R_ADDED(n, item)                                                                           \
    EVENT("response.output_item.added", ",'output_index':" n ",'item':{'id':'i" n "'," item "}")
#define R_DONE(n, item)                                                                            \
    EVENT("response.output_item.done", ",'output_index':" n ",'item':{'id':'i" n "'," item "}")
#define R_USAGE                                                                                    \
    ",'usage':{'input_tokens':11,'input_tokens_details':{'cached_tokens':3},'output_tokens':5,"    \
    "'total_tokens':16}"
#define R_TEXT(n, text)                                                                            \
    R_ADDED(n, "'type':'message','role':'assistant','content':[]")                                 \
    R_AT("response.output_text.delta", n, ",'content_index':0,'delta':'" text "'")                 \
    R_DONE(n, "'type':'message','role':'assistant','content':[{'type':'output_text','text':'" text \
              "','annotations':[]}]")
#define R_CALL(n, id, name, arguments)                                                             \
    R_ADDED(n, "'type':'function_call','call_id':'" id "','name':'" name "','arguments':''")       \
    R_AT("response.function_call_arguments.delta", n, ",'delta':'" arguments "'")                  \
    R_DONE(n, "'type':'function_call','call_id':'" id "','name':'" name                            \
              "','arguments':'" arguments "'")
#define R_END R_RESPONSE("response.completed", "completed", ",'output':[]" R_USAGE)

/* ---- Gemini --------------------------------------------------------------------- */

#define G_CHUNK(parts, rest)                                                                       \
    "data: {'candidates':[{'content':{'role':'model','parts':[" parts "]},'index':0}]" rest        \
    ",'modelVersion':'m','responseId':'g'}\n\n"
#define G_PARTS(parts) G_CHUNK(parts, "")
#define G_END(word)                                                                                \
    "data: {'candidates':[{'content':{'role':'model','parts':[{'text':''}]},'finishReason':'" word \
    "','index':0}],'usageMetadata':{'promptTokenCount':11,'cachedContentTokenCount':3,"            \
    "'candidatesTokenCount':5,'totalTokenCount':16},'modelVersion':'m','responseId':'g'}\n\n"

/* ---- Converse, as its binary events come out of their frames -------------------------- */

#define V_EVENT(name, data) "event: " name "\ndata: {" data "}\n\n"
#define V_START             V_EVENT("messageStart", "'role':'assistant'")
#define V_DELTA(n, delta)                                                                          \
    V_EVENT("contentBlockDelta", "'contentBlockIndex':" n ",'delta':{" delta "}")
#define V_TEXT(n, text) V_DELTA(n, "'text':'" text "'") V_STOP(n)
#define V_CALL(n, id, name)                                                                        \
    V_EVENT("contentBlockStart", "'contentBlockIndex':" n ",'start':{'toolUse':{'toolUseId':'" id  \
                                 "','name':'" name "'}}")
#define V_INPUT(n, text) V_DELTA(n, "'toolUse':{'input':'" text "'}")
#define V_STOP(n)        V_EVENT("contentBlockStop", "'contentBlockIndex':" n)
#define V_FINISH(word)   V_EVENT("messageStop", "'stopReason':'" word "'")
#define V_END(word)                                                                                \
    V_FINISH(word)                                                                                 \
    V_EVENT("metadata", "'usage':{'inputTokens':8,'cacheReadInputTokens':3,'outputTokens':5,"      \
                        "'totalTokens':16}")

/* ---- callers ----------------------------------------------------------------------- */

enum { STORY_CALLERS = 4, STORY_MAX = 16384 };

static const char *const story_callers[STORY_CALLERS] = {MESSAGES, CHAT, RESPONSES, GEMINI};

/* How they call it that an answer is over; in the order of story_callers. */
typedef struct {
    const char *words[STORY_CALLERS];
} story_stop_t;

static const story_stop_t story_end = {{"end_turn", "stop", "completed", "STOP"}};
static const story_stop_t story_tools = {{"tool_use", "tool_calls", "completed", "STOP"}};

typedef struct {
    char text[STORY_MAX];
} story_text_t;

/* ' becomes ". */
static const char *story_quoted(const char *story, story_text_t *text)
{
    size_t len = strlen(story);

    assert_true(len < sizeof(text->text));
    for (size_t i = 0; i <= len; i++) {
        text->text[i] = (char)(story[i] == '\'' ? '"' : story[i]);
    }
    return text->text;
}

typedef struct {
    translate_t run;
    translate_stream_t stream;
    stream_check_t check;
    digest_t digest;
} story_t;

/* The same without any cuts: for long ones. */
__attribute__((unused)) static void story_open_whole(story_t *told, const char *upstream,
                                                     const char *story, unsigned caller)
{
    story_text_t text;
    relay_span_t input = relay_wire_cstring(story_quoted(story, &text));

    translate_open(&told->run, story_callers[caller], upstream);
    told->stream = translate_run(&told->run.translation, input, input.len, 1 << 20);
    assert_null(stream_check(relay_buf_span(&told->stream.output.buf),
                             stream_format(told->run.translation.caller->wire), &told->check));
    digest_read(relay_buf_span(&told->stream.output.buf),
                stream_format(told->run.translation.caller->wire), &told->digest);
}

/* The story as the caller is told it, by the strictest client, the same for every cut. */
__attribute__((unused)) static void story_open(story_t *told, const char *upstream,
                                               const char *story, unsigned caller)
{
    story_text_t text;

    translate_open(&told->run, story_callers[caller], upstream);
    told->run.translation.usage_wanted = true;
    told->run.translation.unsigned_thinking = true;
    told->stream =
        translate_stream(&told->run.translation, story_quoted(story, &text), &told->check);
    digest_read(relay_buf_span(&told->stream.output.buf),
                stream_format(told->run.translation.caller->wire), &told->digest);
}

static void story_close(story_t *told)
{
    free(told->stream.output.buf.base);
    translate_close(&told->run);
}

static void story_same(const story_t *told, const char *upstream, const char *got, const char *want)
{
    if (strcmp(got, want) != 0) {
        print_error("%.*s to %.*s\ngot  %s\nwant %s\nin\n%.*s\n", (int)strlen(upstream), upstream,
                    (int)told->run.translation.caller->wire->name.len,
                    (const char *)told->run.translation.caller->wire->name.base, got, want,
                    (int)told->stream.output.buf.len, (const char *)told->stream.output.buf.base);
        fail();
    }
}

/*
 * To every caller: `said` as in stream_digest.h without the end; stop NULL: it fails, with
 * said all that is told. tokens "11/3/5".
 */
__attribute__((unused)) static void story_told(const char *upstream, const char *story,
                                               const char *said, const story_stop_t *stop,
                                               const char *tokens)
{
    char got[DIGEST_ALL], want[DIGEST_ALL];
    story_text_t quoted;
    story_t told;

    for (unsigned i = 0; i < STORY_CALLERS; i++) {
        story_open(&told, upstream, story, i);
        digest_put(&told.digest, &told.check, false, got, sizeof(got));
        if (stop == NULL) {
            snprintf(want, sizeof(want), "%s", story_quoted(said, &quoted));
        } else {
            snprintf(want, sizeof(want), "%s %s %s", story_quoted(said, &quoted), stop->words[i],
                     tokens);
        }
        story_same(&told, upstream, got, want);
        story_close(&told);
    }
}

#endif
