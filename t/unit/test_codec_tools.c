/* Tools between formats: those of free text, those in namespaces, calls that a model spoilt. */

#include "codec_tools.c"

#include "translate_check.h"

static const relay_target_t plain = {0};

/* JSON with ' for ", which none of the texts here has: as it is sent. */
static const char *json(const char *text)
{
    static char buffers[8][8192];
    static unsigned next;
    char *out = buffers[next++ % 8];

    assert_true(strlen(text) < sizeof(buffers[0]));
    memcpy(out, text, strlen(text) + 1);
    for (char *at = out; *at != '\0'; at++) {
        *at = *at == '\'' ? '"' : *at;
    }
    return out;
}

#define IN(items) "{'model':'m','max_output_tokens':99,'input':[" items "]"
#define HI        "{'role':'user','content':'hi'}"
#define OUT       "{'model':'m','max_tokens':99,"
#define USER_HI   "{'role':'user','content':[{'type':'text','text':'hi'}]}"

#define FREE_TEXT                                                                                  \
    IN(HI ",{'type':'custom_tool_call','call_id':'b','name':'p','namespace':'n','input':"          \
          "'say \\'x\\'\\n'},{'type':'custom_tool_call_output','call_id':'b','output':'2'}")       \
    ",'tools':[{'type':'namespace','name':'n','tools':[{'type':'custom','name':'p'}]}],"           \
    "'tool_choice':{'type':'custom','name':'p','namespace':'n'}}"

static void custom_tools_are_native_where_the_host_takes_them(void **state)
{
    translate_t run;
    relay_span_t out;

    (void)state;
    translate_request(
        RESPONSES, CHAT, (relay_target_t){.flags = RELAY_TARGET_CUSTOM}, json(FREE_TEXT),
        json("{'model':'m','messages':[" HI ",{'role':'assistant','content':null,'tool_calls':[{"
             "'id':'b','type':'custom','custom':{'name':'n__p','input':'say \\'x\\'\\n'}}]},"
             "{'role':'tool','tool_call_id':'b','content':'2'}],'tools':[{'type':'custom',"
             "'custom':{'name':'n__p'}}],'tool_choice':{'type':'custom','custom':{'name':"
             "'n__p'}},'max_completion_tokens':99}"),
        "");
    translate_request(
        RESPONSES, CHAT, plain, json(FREE_TEXT),
        json("{'model':'m','messages':[" HI ",{'role':'assistant','content':null,'tool_calls':[{"
             "'id':'b','type':'function','function':{'name':'n__p','arguments':"
             "'{\\'input\\':\\'say \\\\\\'x\\\\\\'\\\\n\\'}'}}]},"
             "{'role':'tool','tool_call_id':'b','content':'2'}],'tools':[{'type':'function',"
             "'function':{'name':'n__p','parameters':{'type':'object','properties':{'input':{"
             "'type':'string'}},'required':['input'],'additionalProperties':false}}}],"
             "'tool_choice':{'type':'function','function':{'name':'n__p'}},"
             "'max_completion_tokens':99}"),
        "");
    /* and comes back as it is known */
    translate_open(&run, RESPONSES, CHAT);
    assert_int_equal(
        relay_translate_request(&run.translation, relay_wire_cstring(json(FREE_TEXT)), &out),
        RELAY_ERR_NONE);
    assert_int_equal(
        relay_translate_response(
            &run.translation,
            relay_wire_cstring(json("{'choices':[{'message':{'tool_calls':[{'id':'1','function':{"
                                    "'name':'n__p','arguments':'{\\'input\\':\\'y\\'}'}}]},"
                                    "'finish_reason':'tool_calls'}]}")),
            &out),
        RELAY_ERR_NONE);
    translate_has(out, json("'type':'custom_tool_call','status':'completed','call_id':'1','name':"
                            "'p','namespace':'n','input':'y'"));
    translate_close(&run);
}

/* With its namespace, or without where the tool is in one; of two of a name the one
 * outside first. */
static void a_choice_names_the_tool_of_its_namespace(void **state)
{
    static const struct {
        const char *upstream;
        const char *before; /* the name */
        const char *behind;
    } formats[] = {
        {CHAT, "'tool_choice':{'type':'function','function':{'name':'", "'}}"},
        {MESSAGES, "'tool_choice':{'type':'tool','name':'", "'}"},
        {"bedrock-converse", "'toolChoice':{'tool':{'name':'", "'}}"},
        {"gemini", "'allowedFunctionNames':['", "']"},
    };
    static const struct {
        const char *choice;
        const char *sent;
    } choices[] = {
        {"'name':'f','namespace':'n'", "n__f"}, {"'name':'g'", "n__g"}, {"'name':'f'", "f"}};

    (void)state;
    for (size_t i = 0; i < 12; i++) {
        translate_t run;
        relay_span_t out;
        char text[1024];
        snprintf(text, sizeof(text),
                 IN(HI) ",'tools':[{'type':'namespace','name':'n','tools':[{'type':'function',"
                        "'name':'f'},{'type':'function','name':'g'}]},{'type':'function','name':"
                        "'f'}],'tool_choice':{'type':'function',%s}}",
                 choices[i / 4].choice);
        translate_open(&run, RESPONSES, formats[i % 4].upstream);
        assert_int_equal(
            relay_translate_request(&run.translation, relay_wire_cstring(json(text)), &out),
            RELAY_ERR_NONE);
        snprintf(text, sizeof(text), "%s%s%s", formats[i % 4].before, choices[i / 4].sent,
                 formats[i % 4].behind);
        translate_has(out, json(text));
        translate_close(&run);
    }
}

/* A call that the model spoilt stays in the history for good: the rest must go on. */
static void broken_arguments_are_wrapped(void **state)
{
    static const char *body =
        IN(HI ",{'type':'function_call','call_id':'a','name':'f','arguments':'{\\'a'},"
              "{'type':'function_call_output','call_id':'a','output':'1'},"
              "{'type':'function_call','call_id':'b','name':'f','arguments':'[1]'},"
              "{'type':'function_call_output','call_id':'b','output':'1'}") "}";

    (void)state;
    translate_request(
        RESPONSES, MESSAGES, plain, json(body),
        json(OUT "'messages':[" USER_HI ",{'role':'assistant','content':[{'type':'tool_use',"
                 "'id':'a','name':'f','input':{'raw_arguments':'{\\'a'}}]},{'role':'user',"
                 "'content':[{'type':'tool_result','tool_use_id':'a','content':[{'type':'text',"
                 "'text':'1'}]}]},{'role':'assistant','content':[{'type':'tool_use','id':'b',"
                 "'name':'f','input':{'raw_arguments':'[1]'}}]},{'role':'user','content':[{"
                 "'type':'tool_result','tool_use_id':'b','content':[{'type':'text','text':"
                 "'1'}]}]}]}"),
        "changed=input");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(custom_tools_are_native_where_the_host_takes_them),
        cmocka_unit_test(a_choice_names_the_tool_of_its_namespace),
        cmocka_unit_test(broken_arguments_are_wrapped),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
