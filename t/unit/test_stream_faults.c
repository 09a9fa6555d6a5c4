/*
 * Translated streams that are torn, cut, dressed in another way or fail, each behaviour under
 * its id: framing, ends that the provider left out, errors in the caller's words.
 */

#include "translate_stream.c"

#include "stream_story.h"

#include <glob.h>

typedef struct {
    const char *upstream;
    const char *story;
} from_t;

/* Characters of 2, 3 and 4 bytes in text and arguments, some of them as escapes. */
#define WIDE_TEXT "na\xc3\xafve \xe6\xbc\xa2\xe5\xad\x97 \xf0\x9f\x99\x82"
#define WIDE_CALL "{\\'q\\':\\'\xc3\xa9\xe6\xbc\xa2\xf0\x9f\x99\x82\\'}"

static const from_t whole[] = {
    {CHAT,
     C_DELTA("'role':'assistant','content':'na\xc3\xafve \xe6\xbc\xa2'")
         C_DELTA("'content':'\xe5\xad\x97 \\ud83d\\ude42'")
             C_CALL("'index':0,'id':'c1','type':'function','function':{'name':'f','arguments':''}")
                 C_CALL("'index':0,'function':{'arguments':'" WIDE_CALL "'}") C_END("tool_calls")},
    {MESSAGES, M_START M_TEXT("0", WIDE_TEXT)
                   M_BLOCK("1", "'type':'tool_use','id':'c1','name':'f','input':{}")
                       M_DELTA("1", "'type':'input_json_delta','partial_json':'" WIDE_CALL "'")
                           M_STOP("1") M_END("tool_use")},
    {RESPONSES, R_START R_TEXT("0", WIDE_TEXT) R_CALL("1", "c1", "f", WIDE_CALL) R_END},
    {GEMINI, G_PARTS("{'text':'" WIDE_TEXT "'}")
                 G_PARTS("{'functionCall':{'id':'c1','name':'f','args':{'q':'\xc3\xa9\xe6\xbc\xa2"
                         "\xf0\x9f\x99\x82'}}}") G_END("STOP")},
    {CONVERSE, V_START V_TEXT("0", WIDE_TEXT) V_CALL("1", "c1", "f") V_INPUT("1", WIDE_CALL)
                   V_STOP("1") V_END("tool_use")},
};

enum { WHOLE = sizeof(whole) / sizeof(whole[0]) };

#define WIDE_SAID "text(" WIDE_TEXT ") call(f,{'q':'\xc3\xa9\xe6\xbc\xa2\xf0\x9f\x99\x82'})"

/* ---- framing --------------------------------------------------------------------------- */

/* translate_stream cuts at every byte, and one byte at a time. */
static void f1_characters_survive_every_cut(void **state)
{
    story_t told;

    (void)state;
    for (size_t i = 0; i < WHOLE; i++) {
        story_told(whole[i].upstream, whole[i].story, WIDE_SAID, &story_tools, "11/3/5");
        for (unsigned caller = 0; caller < STORY_CALLERS; caller++) {
            relay_span_t text;
            story_open(&told, whole[i].upstream, whole[i].story, caller);
            text = relay_buf_span(&told.stream.output.buf);
            assert_null(memmem(text.base, text.len, "\xef\xbf\xbd", 3));
            assert_null(memmem(text.base, text.len, "\\ufffd", 6));
            story_close(&told);
        }
    }
}

/* Every stream of t/unit/fixtures to every caller. */
static void f1_golden_streams_survive_every_cut(void **state)
{
    static const struct {
        const char *files;
        const char *upstream;
    } kinds[] = {{"chat_*", CHAT},
                 {"messages_*", MESSAGES},
                 {"responses_*", RESPONSES},
                 {"gemini_*", GEMINI},
                 {"converse_*", CONVERSE}};
    unsigned count = 0;

    (void)state;
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        char path[64];
        glob_t found;
        snprintf(path, sizeof(path), "t/unit/fixtures/%s.sse", kinds[i].files);
        assert_int_equal(glob(path, 0, NULL, &found), 0);
        for (size_t j = 0; j < found.gl_pathc; j++) {
            static char text[STORY_MAX];
            FILE *file = fopen(found.gl_pathv[j], "rb");
            assert_non_null(file);
            text[fread(text, 1, sizeof(text) - 1, file)] = '\0';
            fclose(file);
            for (unsigned caller = 0; caller < STORY_CALLERS; caller++) {
                translate_t run;
                stream_check_t check;
                translate_stream_t out;
                translate_open(&run, story_callers[caller], kinds[i].upstream);
                out = translate_stream(&run.translation, text, &check);
                free(out.output.buf.base);
                translate_close(&run);
                count++;
            }
        }
        globfree(&found);
    }
    assert_in_range(count, 4 * 20, 4 * 1000);
}

/* The story with other ends of lines; two_lines: the data of each event in two of them. */
static void redressed(const char *story, const char *const ends[3], bool two_lines, char *out,
                      size_t size)
{
    unsigned line = 0;
    size_t len = 0;

    for (; *story != '\0' && len + 16 < size; story++) {
        if (*story == '\n') {
            const char *end = ends[line++ % 3];
            memcpy(out + len, end, strlen(end));
            len += strlen(end);
        } else if (two_lines && strncmp(story, ",'", 2) == 0 && out[len - 1] != ':') {
            len += (size_t)snprintf(out + len, size - len, ",%sdata: ", ends[line++ % 3]);
            two_lines = false; /* the first comma of the event is never in a text */
        } else {
            out[len++] = *story;
        }
    }
    assert_int_equal(*story, '\0');
    out[len] = '\0';
}

static void f2_ends_of_lines_do_not_matter(void **state)
{
    static const char *const ends[][3] = {
        {"\n", "\n", "\n"}, {"\r\n", "\r\n", "\r\n"}, {"\r", "\r", "\r"}, {"\r\n", "\n", "\r"}};
    static char story[STORY_MAX];

    (void)state;
    for (size_t i = 0; i < 4 * WHOLE; i++) {
        redressed(whole[i / 4].story, ends[i % 4], false, story, sizeof(story));
        story_told(whole[i / 4].upstream, story, WIDE_SAID, &story_tools, "11/3/5");
    }
}

/* Between CR and LF as between any two bytes: translate_stream cuts there, too. */
static void f3_a_line_end_may_be_torn(void **state)
{
    static const char *const crlf[3] = {"\r\n", "\r\n", "\r\n"};
    static char story[STORY_MAX];

    (void)state;
    for (size_t i = 0; i < WHOLE; i++) {
        redressed(whole[i].story, crlf, true, story, sizeof(story));
        story_told(whole[i].upstream, story, WIDE_SAID, &story_tools, "11/3/5");
    }
}

static void f5_data_of_two_lines_is_one(void **state)
{
    static const char *const lf[3] = {"\n", "\n", "\n"};
    static char story[STORY_MAX];

    (void)state;
    for (size_t i = 0; i < WHOLE; i++) {
        redressed(whole[i].story, lf, true, story, sizeof(story));
        assert_true(strlen(story) > strlen(whole[i].story));
        story_told(whole[i].upstream, story, WIDE_SAID, &story_tools, "11/3/5");
    }
}

/* Comments, unknown fields, unknown events: none is an error, none is data. */
static void f6_comments_are_no_data(void **state)
{
    static const char *const noise[] = {
        ": a comment\n\n", ":\n",       ": {'error':{'message':'x'}}\n\n",
        "retry: 10\n\n",   "id: 7\n\n", "event: news\ndata: {'type':'news','x':1}\n\n"};
    static char story[STORY_MAX];

    (void)state;
    for (size_t i = 0; i < WHOLE; i++) {
        size_t len = 0;
        unsigned n = 0;
        for (const char *at = whole[i].story; *at != '\0'; at++) {
            if (at == whole[i].story || (at[-1] == '\n' && at[-2] == '\n')) {
                len += (size_t)snprintf(story + len, sizeof(story) - len, "%s", noise[n++ % 6]);
            }
            assert_true(len + 2 < sizeof(story));
            story[len++] = *at;
        }
        story[len] = '\0';
        story_told(whole[i].upstream, story, WIDE_SAID, &story_tools, "11/3/5");
    }
}

/* ---- ends ------------------------------------------------------------------------------ */

/* Cut at every byte: what the caller gets are whole events, and the error is one of them. */
static void f14_a_torn_event_is_no_event(void **state)
{
    translate_t run;
    stream_check_t check;
    story_text_t text;

    (void)state;
    for (size_t i = 0; i < WHOLE * STORY_CALLERS; i++) {
        relay_span_t story =
            relay_wire_cstring(story_quoted(whole[i / STORY_CALLERS].story, &text));
        for (size_t len = 1; len < story.len; len += 2 * check_cut_step() - 1) {
            translate_stream_t out;
            const char *fault;
            translate_open(&run, story_callers[i % STORY_CALLERS],
                           whole[i / STORY_CALLERS].upstream);
            run.translation.usage_wanted = true;
            out = translate_run(&run.translation, relay_span(story.base, len), len, 1 << 20);
            fault = stream_check(relay_buf_span(&out.output.buf),
                                 stream_format(run.translation.caller->wire), &check);
            if (fault != NULL || check.ended == check.errored) {
                print_error("%s: %s, cut at %zu\n", whole[i / STORY_CALLERS].upstream, fault, len);
                fail();
            }
            free(out.output.buf.base);
            translate_close(&run);
        }
    }
}

/* The story's events before the one that has `mark`. */
static void until(const char *story, const char *mark, char *out, size_t size)
{
    const char *at = strstr(story, mark);

    assert_non_null(at);
    while (at > story && !(at[-1] == '\n' && (at - story < 2 || at[-2] == '\n'))) {
        at--;
    }
    assert_true((size_t)(at - story) < size);
    memcpy(out, story, (size_t)(at - story));
    out[at - story] = '\0';
}

/* After each event: never an end that means success; what was said before stays. */
static void f15_a_cut_after_every_event_is_an_error(void **state)
{
    static const char *const success[STORY_CALLERS] = {"message_stop", "[DONE]",
                                                       "response.completed", "finishReason"};
    static const char *const finish[] = {"'finish_reason':'tool_calls'", "'stop_reason':'tool_use'",
                                         "response.completed", "finishReason", "messageStop"};
    static char story[STORY_MAX];
    story_t told;

    (void)state;
    for (size_t i = 0; i < WHOLE; i++) {
        size_t last;
        until(whole[i].story, finish[i], story, sizeof(story));
        for (last = strlen(story); last > 0; last--) {
            if (last != strlen(story) && !(story[last - 1] == '\n' && story[last - 2] == '\n')) {
                continue;
            }
            story[last] = '\0';
            for (unsigned caller = 0; caller < STORY_CALLERS; caller++) {
                relay_span_t text;
                story_open(&told, whole[i].upstream, story, caller);
                text = relay_buf_span(&told.stream.output.buf);
                assert_true(told.check.errored && !told.check.ended);
                assert_null(memmem(text.base, text.len, success[caller], strlen(success[caller])));
                assert_true(told.digest.error[0] != '\0');
                story_close(&told);
            }
        }
    }
}

/* (a) a reason and then the close */
static void f17_a_reason_without_the_end_is_an_end(void **state)
{
    static const from_t from[] = {
        {CHAT, C_DELTA("'content':'Hi'") C_FINISH("stop")},
        {MESSAGES, M_START M_TEXT("0", "Hi") M_FINISH("'stop_reason':'end_turn'")},
        {GEMINI, G_PARTS("{'text':'Hi'}") G_END("STOP")},
        {CONVERSE, V_START V_TEXT("0", "Hi") V_FINISH("end_turn")},
    };
    static const char *const tokens[] = {"0/0/0", "11/3/5", "11/3/5", "0/0/0"};

    (void)state;
    for (size_t i = 0; i < sizeof(from) / sizeof(from[0]); i++) {
        story_told(from[i].upstream, from[i].story, "text(Hi)", &story_end, tokens[i]);
    }
}

/* (c) the end without a reason */
static void f17_an_end_without_a_reason_has_one(void **state)
{
    static const from_t text[] = {
        {CHAT, C_DELTA("'content':'Hi'") C_USAGE C_DONE},
        {MESSAGES, M_START M_TEXT("0", "Hi") EVENT("message_delta", ",'usage':{'output_tokens':5}")
                       EVENT("message_stop", "")},
    };
    static const from_t call[] = {
        {CHAT, C_CALL("'index':0,'id':'c1','type':'function','function':{'name':'f',"
                      "'arguments':'{}'}") C_USAGE C_DONE},
        {MESSAGES,
         M_START M_BLOCK("0", "'type':'tool_use','id':'c1','name':'f','input':{}") M_STOP("0")
             EVENT("message_delta", ",'usage':{'output_tokens':5}") EVENT("message_stop", "")},
    };

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        story_told(text[i].upstream, text[i].story, "text(Hi)", &story_end, "11/3/5");
        story_told(call[i].upstream, call[i].story, "call(f,{})", &story_tools, "11/3/5");
    }
}

/* (d) neither */
static void f17_neither_is_an_error(void **state)
{
    static const from_t from[] = {
        {CHAT, C_DELTA("'content':'Hi'") C_USAGE}, {MESSAGES, M_START M_TEXT("0", "Hi")},
        {RESPONSES, R_START R_TEXT("0", "Hi")},    {GEMINI, G_PARTS("{'text':'Hi'}")},
        {CONVERSE, V_START V_TEXT("0", "Hi")},
    };

    story_t told;

    (void)state;
    for (size_t i = 0; i < STORY_CALLERS * sizeof(from) / sizeof(from[0]); i++) {
        story_open(&told, from[i / STORY_CALLERS].upstream, from[i / STORY_CALLERS].story,
                   (unsigned)(i % STORY_CALLERS));
        assert_true(told.check.errored);
        assert_string_equal(told.digest.parts[0].text, "Hi");
        assert_string_equal(told.digest.error,
                            "The provider's answer ended before it was complete.");
        story_close(&told);
    }
}

/* One event of theirs is several of ours, each framed by itself: the validators parse them. */
static void f18_one_event_becomes_several(void **state)
{
    static const from_t from[] = {
        {CHAT, "data: {'id':'c','model':'m','choices':[{'index':0,'delta':{'role':'assistant',"
               "'reasoning_content':'Why','content':'Hi','tool_calls':[{'index':0,'id':'c1',"
               "'type':'function','function':{'name':'f','arguments':'{}'}}]},'finish_reason':"
               "'tool_calls'}],'usage':{'prompt_tokens':11,'completion_tokens':5,'total_tokens':16,"
               "'prompt_tokens_details':{'cached_tokens':3}}}\n\n" C_DONE},
        {GEMINI, "data: {'candidates':[{'content':{'parts':[{'text':'Why','thought':true},{'text':"
                 "'Hi'},{'functionCall':{'name':'f','args':{}}}]},'finishReason':'STOP'}],"
                 "'usageMetadata':{'promptTokenCount':11,'cachedContentTokenCount':3,"
                 "'candidatesTokenCount':5,'totalTokenCount':16}}\n\n"},
        {RESPONSES,
         R_RESPONSE(
             "response.completed", "completed",
             ",'output':[{'type':'reasoning','summary':[{'type':'summary_text','text':'Why'}"
             "]},{'type':'message','content':[{'type':'output_text','text':'Hi'}]},"
             "{'type':'function_call','call_id':'c1','name':'f','arguments':'{}'}]" R_USAGE)},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(from) / sizeof(from[0]); i++) {
        story_told(from[i].upstream, from[i].story, "think(Why) text(Hi) call(f,{})", &story_tools,
                   "11/3/5");
    }
}

/* ---- errors ---------------------------------------------------------------------------- */

/* What a class of failures is called, in the order of story_callers. */
typedef struct {
    const char *types[STORY_CALLERS]; /* NULL: the format has none in its place */
    const char *codes[STORY_CALLERS];
} words_t;

static const words_t overloaded = {
    {"overloaded_error", "service_unavailable_error", NULL, "UNAVAILABLE"},
    {NULL, "server_is_overloaded", "server_is_overloaded", NULL}};
static const words_t rate = {{"rate_limit_error", "rate_limit_error", NULL, "RESOURCE_EXHAUSTED"},
                             {NULL, "rate_limit_exceeded", "rate_limit_exceeded", NULL}};
static const words_t server = {{"api_error", "server_error", NULL, "INTERNAL"},
                               {NULL, "upstream_error", "server_error", NULL}};
static const words_t request = {
    {"invalid_request_error", "invalid_request_error", NULL, "INVALID_ARGUMENT"},
    {NULL, "upstream_error", "invalid_prompt", NULL}};

static const struct {
    const char *upstream;
    const char *event; /* %s: the message */
    const words_t *words;
} errors[] = {
    {CHAT, "data: {'error':{'message':'%s','type':'server_error','code':null}}\n\n", &server},
    {CHAT, "data: {'error':{'message':'%s','type':'requests','code':'rate_limit_exceeded'}}\n\n",
     &rate},
    {CHAT,
     "data: {'error':{'message':'%s','type':'server_error','code':'server_is_overloaded'}}\n\n",
     &overloaded},
    {CHAT, "data: {'error':{'message':'%s','type':'invalid_request_error','code':null}}\n\n",
     &request},
    {MESSAGES,
     "event: error\ndata: {'type':'error','error':{'type':'api_error','message':'%s'}}\n\n",
     &server},
    {MESSAGES,
     "event: error\ndata: {'type':'error','error':{'type':'overloaded_error','message':'%s'}}\n\n",
     &overloaded},
    {MESSAGES,
     "event: error\ndata: {'type':'error','error':{'type':'rate_limit_error','message':'%s'}}\n\n",
     &rate},
    {MESSAGES,
     "event: error\ndata: {'type':'error','error':{'type':'invalid_request_error','message':'%s'}}"
     "\n\n",
     &request},
    {RESPONSES,
     "event: error\ndata: {'type':'error','code':'server_error','message':'%s','param':null,"
     "'sequence_number':9}\n\n",
     &server},
    {RESPONSES,
     "event: error\ndata: {'type':'error','error':{'type':'server_error','code':"
     "'rate_limit_exceeded','message':'%s'}}\n\n",
     &rate},
    {RESPONSES,
     R_RESPONSE("response.failed", "failed",
                ",'output':[],'error':{'code':'server_error','message':'%s'}"),
     &server},
    {RESPONSES,
     R_RESPONSE("response.failed", "failed",
                ",'output':[],'error':{'code':'rate_limit_exceeded','message':'%s'}"),
     &rate},
    {GEMINI, "data: {'error':{'code':500,'message':'%s','status':'INTERNAL'}}\n\n", &server},
    {GEMINI, "data: {'error':{'code':503,'message':'%s','status':'UNAVAILABLE'}}\n\n", &overloaded},
    {GEMINI, "data: {'error':{'code':429,'message':'%s','status':'RESOURCE_EXHAUSTED'}}\n\n",
     &rate},
    {GEMINI, "data: {'error':{'code':400,'message':'%s','status':'INVALID_ARGUMENT'}}\n\n",
     &request},
    {CONVERSE, "event: internalServerException\ndata: {'message':'%s'}\n\n", &server},
    {CONVERSE, "event: modelStreamErrorException\ndata: {'message':'%s'}\n\n", &server},
    {CONVERSE, "event: throttlingException\ndata: {'message':'%s'}\n\n", &rate},
    {CONVERSE, "event: serviceUnavailableException\ndata: {'message':'%s'}\n\n", &overloaded},
    {CONVERSE, "event: validationException\ndata: {'message':'%s'}\n\n", &request},
};

enum { ERRORS = sizeof(errors) / sizeof(errors[0]) };

/* The error behind the stream's text, as the caller gets it. */
static void fail_with_message(size_t error, const char *message, unsigned caller, story_t *told)
{
    static char story[STORY_MAX], begun[STORY_MAX];
    size_t upstream = 0;
    size_t len;

    while (strcmp(whole[upstream].upstream, errors[error].upstream) != 0) {
        upstream++;
    }
    until(whole[upstream].story, "c1", begun, sizeof(begun));
    len = (size_t)snprintf(story, sizeof(story), "%s", begun);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    snprintf(story + len, sizeof(story) - len, errors[error].event, message);
#pragma GCC diagnostic pop
    (len + strlen(message) < 2048 ? story_open : story_open_whole)(told, errors[error].upstream,
                                                                   story, caller);
}

static void f15_an_error_in_the_stream_keeps_its_message_and_class(void **state)
{
    story_t told;

    (void)state;
    for (size_t i = 0; i < ERRORS * STORY_CALLERS; i++) {
        unsigned caller = (unsigned)(i % STORY_CALLERS);
        const words_t *words = errors[i / STORY_CALLERS].words;
        fail_with_message(i / STORY_CALLERS, "It \\'broke\\' \xe6\xbc\xa2.", caller, &told);
        assert_true(told.check.errored);
        assert_string_equal(told.digest.parts[0].text, WIDE_TEXT);
        assert_string_equal(told.digest.error, "It \"broke\" \xe6\xbc\xa2.");
        if ((words->types[caller] != NULL && strcmp(words->types[caller], told.digest.type) != 0) ||
            (words->codes[caller] != NULL && strcmp(words->codes[caller], told.digest.code) != 0)) {
            print_error("%s to %s: type %s, code %s\n", errors[i / STORY_CALLERS].event,
                        story_callers[caller], told.digest.type, told.digest.code);
            fail();
        }
        story_close(&told);
    }
}

/* Long ones may be cut, but not inside a character. */
static void f15_a_long_message_stays_text(void **state)
{
    char message[3 * 1700 + 1];
    story_t told;

    (void)state;
    for (size_t i = 0; i < 1700; i++) {
        memcpy(message + 3 * i, "\xe6\xbc\xa2", 3);
    }
    message[3 * 1700] = '\0';
    for (size_t i = 0; i < ERRORS * STORY_CALLERS; i++) {
        fail_with_message(i / STORY_CALLERS, message, (unsigned)(i % STORY_CALLERS), &told);
        assert_true(strlen(told.digest.error) > 4000);
        assert_memory_equal(told.digest.error, message, strlen(told.digest.error));
        story_close(&told);
    }
}

/* Every fault of a provider's key is ours: its words are not shown. */
static void f15_a_refused_key_is_not_told(void **state)
{
    static const from_t from[] = {
        {CHAT, "data: {'error':{'message':'Incorrect API key provided: sk-secret','type':"
               "'invalid_request_error','code':'invalid_api_key'}}\n\n"},
        {MESSAGES, "event: error\ndata: {'type':'error','error':{'type':'authentication_error',"
                   "'message':'invalid x-api-key sk-secret'}}\n\n"},
        {GEMINI, "data: {'error':{'code':401,'message':'sk-secret','status':'UNAUTHENTICATED'}}"
                 "\n\n"},
    };
    story_t told;

    (void)state;
    for (size_t i = 0; i < 3 * STORY_CALLERS; i++) {
        relay_span_t text;
        story_open(&told, from[i / STORY_CALLERS].upstream, from[i / STORY_CALLERS].story,
                   (unsigned)(i % STORY_CALLERS));
        text = relay_buf_span(&told.stream.output.buf);
        assert_true(told.check.errored);
        assert_null(memmem(text.base, text.len, "sk-secret", 9));
        story_close(&told);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(f1_characters_survive_every_cut),
        cmocka_unit_test(f1_golden_streams_survive_every_cut),
        cmocka_unit_test(f2_ends_of_lines_do_not_matter),
        cmocka_unit_test(f3_a_line_end_may_be_torn),
        cmocka_unit_test(f5_data_of_two_lines_is_one),
        cmocka_unit_test(f6_comments_are_no_data),
        cmocka_unit_test(f14_a_torn_event_is_no_event),
        cmocka_unit_test(f15_a_cut_after_every_event_is_an_error),
        cmocka_unit_test(f15_an_error_in_the_stream_keeps_its_message_and_class),
        cmocka_unit_test(f15_a_long_message_stays_text),
        cmocka_unit_test(f15_a_refused_key_is_not_told),
        cmocka_unit_test(f17_a_reason_without_the_end_is_an_end),
        cmocka_unit_test(f17_an_end_without_a_reason_has_one),
        cmocka_unit_test(f17_neither_is_an_error),
        cmocka_unit_test(f18_one_event_becomes_several),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
