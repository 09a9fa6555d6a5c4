/* Requests and whole answers of Responses, into other formats and out of them. */

#include "wire_openai_responses_codec.c"

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

static void to_messages(const char *body, const char *want, const char *notes)
{
    translate_request(RESPONSES, MESSAGES, plain, json(body), json(want), notes);
}

static void to_chat(const char *body, const char *want, const char *notes)
{
    translate_request(RESPONSES, CHAT, plain, json(body), json(want), notes);
}

static void from_chat(const char *body, const char *want, const char *notes)
{
    translate_request(CHAT, RESPONSES, plain, json(body), json(want), notes);
}

#define IN(items) "{'model':'m','max_output_tokens':99,'input':[" items "]"
#define HI        "{'role':'user','content':'hi'}"
#define OUT       "{'model':'m','max_tokens':99,"
#define USER_HI   "{'role':'user','content':[{'type':'text','text':'hi'}]}"
#define PNG       "iVBORw0KGgo="

/* ---- requests of callers of Responses ---------------------------------------- */

static void items_become_turns(void **state)
{
    (void)state;
    to_messages("{'model':'m','max_output_tokens':99,'instructions':'I','store':false,'input':["
                "{'role':'developer','content':'D'},"
                "{'type':'message','id':'msg_1','role':'user','content':["
                "{'type':'input_text','text':'u'},"
                "{'type':'input_image','image_url':'data:image/png;base64," PNG "'},"
                "{'type':'input_file','filename':'a.pdf','file_data':"
                "'data:application/pdf;base64,JVBERi0x'}]},"
                "{'type':'message','role':'assistant','content':[{'type':'output_text',"
                "'text':'go','annotations':[]}]},"
                "{'type':'function_call','id':'fc_1','call_id':'c1','name':'f','arguments':'{}',"
                "'status':'completed'},"
                "{'type':'function_call','call_id':'c2','name':'f','arguments':"
                "'{\\'x\\':1}'},"
                "{'type':'function_call_output','call_id':'c1','output':'1'},"
                "{'type':'function_call_output','call_id':'c2','output':["
                "{'type':'input_text','text':'2'}]}]}",
                OUT "'system':[{'type':'text','text':'I'},{'type':'text','text':'D'}],'messages':["
                    "{'role':'user','content':[{'type':'text','text':'u'},"
                    "{'type':'image','source':{'type':'base64','media_type':'image/png',"
                    "'data':'" PNG "'}},"
                    "{'type':'document','source':{'type':'base64','media_type':"
                    "'application/pdf','data':'JVBERi0x'},'title':'a.pdf'}]},"
                    "{'role':'assistant','content':[{'type':'text','text':'go'},"
                    "{'type':'tool_use','id':'c1','name':'f','input':{}},"
                    "{'type':'tool_use','id':'c2','name':'f','input':{'x':1}}]},"
                    "{'role':'user','content':[{'type':'tool_result','tool_use_id':'c1',"
                    "'content':[{'type':'text','text':'1'}]},{'type':'tool_result',"
                    "'tool_use_id':'c2','content':[{'type':'text','text':'2'}]}]}]}",
                "");
    to_messages(IN(HI ",{'role':'developer','content':'late'}") "}",
                OUT "'messages':[{'role':'user','content':[{'type':'text','text':'hi'},"
                    "{'type':'text','text':'<system>\\nlate\\n</system>'}]}]}",
                "changed=input.role");
    to_messages("{'model':'m','max_output_tokens':99,'input':'hi'}",
                OUT "'messages':[" USER_HI "]}", "");
}

/* Calls in a row are one turn: each alone, a provider would miss its result. */
static void calls_in_a_row_are_one_message(void **state)
{
    (void)state;
    to_chat(IN("{'type':'function_call','call_id':'a','name':'f','arguments':'{}'},"
               "{'type':'custom_tool_call','call_id':'b','name':'p','input':'x\\ny'},"
               "{'role':'assistant','content':'meanwhile'},"
               "{'type':'function_call_output','call_id':'a','output':'1'},"
               "{'type':'custom_tool_call_output','call_id':'b','output':'2'}") "}",
            "{'model':'m','messages':[{'role':'assistant','content':'meanwhile','tool_calls':["
            "{'id':'a','type':'function','function':{'name':'f','arguments':'{}'}},"
            "{'id':'b','type':'function','function':{'name':'p','arguments':"
            "'{\\'input\\':\\'x\\\\ny\\'}'}}]},"
            "{'role':'tool','tool_call_id':'a','content':'1'},"
            "{'role':'tool','tool_call_id':'b','content':'2'}],'max_completion_tokens':99}",
            "changed=input.content");
}

static void tools_of_every_kind_arrive(void **state)
{
    static const char *body = IN(
        HI
        ",{'type':'additional_tools','role':'developer','tools':["
        "{'type':'function','name':'late','parameters':{'a':1}}]}") ",'tools':[{'type':'function','"
                                                                    "name':'f','description':'d','"
                                                                    "strict':true,"
                                                                    "'parameters':{'type':'object'}"
                                                                    "},"
                                                                    "{'type':'custom','name':'p','"
                                                                    "format':{'type':'grammar','"
                                                                    "syntax':'lark',"
                                                                    "'definition':'start: x'}},"
                                                                    "{'type':'namespace','name':'n'"
                                                                    ",'description':'all','tools':["
                                                                    "{'type':'function','name':'f',"
                                                                    "'strict':null,'parameters':{'"
                                                                    "b':1}}]},"
                                                                    "{'type':'web_search','"
                                                                    "external_web_access':false},"
                                                                    "{'type':'tool_search','"
                                                                    "execution':'client','"
                                                                    "description':'find','"
                                                                    "parameters':{'c':1}}],"
                                                                    "'parallel_tool_calls':true}";

    (void)state;
    to_messages(body,
                OUT "'messages':[" USER_HI
                    "],'tools':[{'name':'f','description':'d','input_schema':{'type':'object'},"
                    "'strict':true},"
                    "{'name':'p','input_schema':{'type':'object','properties':{'input':{'type':"
                    "'string'}},'required':['input'],'additionalProperties':false}},"
                    "{'name':'n__f','input_schema':{'b':1}},"
                    "{'name':'tool_search__tool_search','description':'find','input_schema':"
                    "{'c':1}},"
                    "{'name':'late','input_schema':{'a':1}}]}",
                "tools.description, tools.type, tools.format");
    to_chat(body,
            "{'model':'m','messages':[" HI "],'tools':[{'type':'function','function':{'name':'f',"
            "'description':'d','parameters':{'type':'object'},'strict':true}},"
            "{'type':'function','function':{'name':'p','parameters':{'type':'object',"
            "'properties':{'input':{'type':'string'}},'required':['input'],"
            "'additionalProperties':false}}},"
            "{'type':'function','function':{'name':'n__f','parameters':{'b':1}}},"
            "{'type':'function','function':{'name':'tool_search__tool_search','description':"
            "'find','parameters':{'c':1}}},"
            "{'type':'function','function':{'name':'late','parameters':{'a':1}}}],"
            "'parallel_tool_calls':true,'max_completion_tokens':99}",
            "tools.description, tools.type, tools.format");
}

static void choices_among_tools(void **state)
{
    static const struct {
        const char *choice;
        const char *want;
    } cases[] = {
        {"'none'", "'none'"},
        {"'required'", "'required'"},
        {"{'type':'function','name':'f'}", "{'type':'function','function':{'name':'f'}}"},
        {"{'type':'custom','name':'f'}", "{'type':'function','function':{'name':'f'}}"},
        {"{'type':'allowed_tools','mode':'required','tools':[{'type':'function','name':'f'}]}",
         "{'type':'allowed_tools','allowed_tools':{'mode':'required','tools':[{'type':'function',"
         "'function':{'name':'f'}}]}}"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char body[1024], want[1024];
        snprintf(body, sizeof(body),
                 IN(HI) ",'tools':[{'type':'function','name':'f'}],'tool_choice':%s}",
                 cases[i].choice);
        snprintf(want, sizeof(want),
                 "{'model':'m','messages':[" HI "],'tools':[{'type':'function','function':{'name':"
                 "'f'}}],'tool_choice':%s,'max_completion_tokens':99}",
                 cases[i].want);
        to_chat(body, want, "");
    }
    translate_refused(RESPONSES, CHAT,
                      json(IN(HI) ",'tools':[{'type':'function','name':'f'}],'tool_choice':"
                                  "{'type':'web_search'}}"),
                      RELAY_ERR_INVALID_FIELD, "tool_choice", "not supported");
}

static void settings_arrive_or_are_named(void **state)
{
    (void)state;
    to_chat(IN(HI) ",'temperature':0.70,'top_p':0.9,'top_logprobs':2,'stream':true,"
                   "'stream_options':{'include_obfuscation':false},'user':'u',"
                   "'reasoning':{'effort':'xhigh','summary':'auto','context':'all_turns'},"
                   "'text':{'format':{'type':'json_schema','name':'n','schema':{'a':1},"
                   "'strict':true},'verbosity':'low'},'store':true,'background':false,"
                   "'truncation':'disabled','previous_response_id':null,"
                   "'include':['reasoning.encrypted_content','file_search_call.results'],"
                   "'prompt_cache_key':'k','client_metadata':{'a':'b'}}",
            "{'model':'m','messages':[" HI "],'temperature':0.70,'top_p':0.9,'logprobs':true,"
            "'top_logprobs':2,'max_completion_tokens':99,'reasoning_effort':'xhigh',"
            "'response_format':{'type':'json_schema','json_schema':{'name':'n','schema':{'a':1},"
            "'strict':true}},'user':'u','verbosity':'low','stream':true,'stream_options':"
            "{'include_usage':true}}",
            "reasoning.context, store, include, prompt_cache_key, client_metadata");
    /* what asks for nothing is not worth a word */
    to_chat(IN(HI) ",'store':false,'include':[],'text':{},'metadata':null,'top_logprobs':0}",
            "{'model':'m','messages':[" HI "],'max_completion_tokens':99}", "");
}

static void r24_what_needs_state_is_refused(void **state)
{
    static const struct {
        const char *body;
        const char *param;
        const char *part;
    } cases[] = {
        {IN(HI ",{'type':'item_reference','id':'msg_1'}") "}", "input[1]", "item_reference"},
        {IN(HI ",{'id':'msg_1'}") "}", "input[1]", "item_reference"},
        {IN(HI) ",'previous_response_id':'resp_1'}", "previous_response_id", "no state"},
        {IN(HI) ",'conversation':'conv_1'}", "conversation", "no state"},
        {IN(HI) ",'prompt':{'id':'p'}}", "prompt", "no state"},
        {IN(HI) ",'background':true}", "background", "at once"},
        {IN(HI) ",'truncation':'auto'}", "truncation", "shorten"},
        {IN(HI ",{'type':'compaction','encrypted_content':'x'}") "}", "input[1].type", "this type"},
        {IN("{'role':'user','content':[{'type':'input_file','file_id':'f'}]}") "}",
         "input[0].content[0]", "document"},
        {IN("{'role':'user','content':[{'type':'input_image','image_url':"
            "'data:image/png;base64,AAAA'}]}") "}",
         "input[0].content[0].image_url", "nor an image of the stated type"},
        {IN("{'role':'robot','content':'x'}") "}", "input[0].role", "supported roles"},
        {IN(HI) ",'tools':[{'type':'file_search'}]}", "tools[0].type", "not supported"},
        {IN(HI) ",'tools':[{'type':'web_search'}]}", "tools[0].type", "not supported"},
        {IN(HI) ",'tools':[{'type':'tool_search'}]}", "tools[0].type", "not supported"},
        {IN(HI) ",'text':{'format':{'type':'xml'}}}", "text.format", "must be of type"},
        {IN(HI) ",'reasoning':{'effort':'huge'}}", "reasoning.effort", "one of"},
        {IN("{'type':'function_call','call_id':'a','name':'f','arguments':'{}'}") "}", "input[0]",
         "no result"},
        {IN("{'type':'function_call_output','call_id':'a','output':''}") "}", "input[0]",
         "no call"},
    };
    static const char *const missing[][2] = {
        {"{'model':'m'}", "input"},
        {IN("{'type':'function_call','name':'f'}") "}", "input[0].call_id"},
        {IN("{'type':'function_call','call_id':'c'}") "}", "input[0].name"},
        {IN(HI) ",'tools':[{'type':'function'}]}", "tools[0].name"},
        {IN("{'content':'x'}") "}", "input[0].role"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        translate_refused(RESPONSES, MESSAGES, json(cases[i].body), RELAY_ERR_INVALID_FIELD,
                          cases[i].param, cases[i].part);
    }
    for (size_t i = 0; i < sizeof(missing) / sizeof(missing[0]); i++) {
        translate_refused(RESPONSES, CHAT, json(missing[i][0]), RELAY_ERR_MISSING_FIELD,
                          missing[i][1], "required");
    }
}

static void reasoning_goes_back_to_who_signed_it(void **state)
{
    (void)state;
    to_messages(IN("{'type':'reasoning','id':'rs_1','summary':[{'type':'summary_text','text':"
                   "'t'}],'encrypted_content':'relay1:thinking:anthropic-claude-v1:U0lH:a: b'},"
                   "{'type':'reasoning','summary':[],'encrypted_content':"
                   "'relay1:redacted:anthropic-claude-v1::REFUQQ=='},"
                   "{'type':'reasoning','summary':[],'encrypted_content':'gAAA'},"
                   "{'role':'assistant','content':'c'}," HI) "}",
                OUT "'messages':[{'role':'assistant','content':[{'type':'thinking','thinking':"
                    "'a: b','signature':'U0lH'},{'type':'redacted_thinking','data':'REFUQQ=='},"
                    "{'type':'text','text':'c'}]}," USER_HI "]}",
                "input.encrypted_content");
}

static void what_a_client_found_is_a_result(void **state)
{
    (void)state;
    to_messages(IN("{'type':'tool_search_call','call_id':'s','execution':'client','arguments':"
                   "{'query':'q'}},"
                   "{'type':'tool_search_output','call_id':'s','execution':'client','tools':["
                   "{'type':'namespace','name':'n','tools':[{'type':'custom','name':'p'}]},"
                   "{'type':'function','name':'g','parameters':{'a':1}}]}," HI) "}",
                OUT "'messages':[{'role':'assistant','content':[{'type':'tool_use','id':'s',"
                    "'name':'tool_search__tool_search','input':{'query':'q'}}]},"
                    "{'role':'user','content':[{'type':'tool_result','tool_use_id':'s','content':"
                    "[{'type':'text','text':'Tools found: n__p, g'}]},{'type':'text','text':"
                    "'hi'}]}],'tools':[{'name':'n__p','input_schema':{'type':'object',"
                    "'properties':{'input':{'type':'string'}},'required':['input'],"
                    "'additionalProperties':false}},{'name':'g','input_schema':{'a':1}}]}",
                "");
}

static void what_the_provider_did_itself_is_left_out(void **state)
{
    (void)state;
    to_messages(IN(HI ",{'type':'web_search_call','id':'ws_1','status':'completed'},"
                      "{'role':'assistant','content':'a','phase':'final_answer'}," HI) "}",
                OUT "'messages':[" USER_HI
                    ",{'role':'assistant','content':[{'type':'text','text':'a'}]}," USER_HI "]}",
                "input.type, input.phase");
}

/* ---- requests for providers of Responses ------------------------------------- */

#define SENT(items) "{'model':'m','input':[" items "]"
#define SENT_HI     "{'type':'message','role':'user','content':[{'type':'input_text','text':'hi'}]}"

static void chat_becomes_items(void **state)
{
    (void)state;
    from_chat(
        "{'model':'m','max_completion_tokens':99,'stream':true,'messages':["
        "{'role':'developer','content':'d'},"
        "{'role':'user','content':[{'type':'text','text':'u'},{'type':'image_url',"
        "'image_url':{'url':'https://a.example/i.png'}},{'type':'file','file':{'filename':"
        "'a.pdf','file_data':'data:application/pdf;base64,JVBERi0x'}}]},"
        "{'role':'assistant','content':'go','reasoning_details':[{'type':'reasoning.text',"
        "'text':'t','signature':'gAAA','format':'openai-responses-v1'},{'type':"
        "'reasoning.text','text':'x','signature':'s','format':'anthropic-claude-v1'}],"
        "'tool_calls':[{'id':'a','type':'function','function':{'name':'f','arguments':''}},"
        "{'id':'b','type':'custom','custom':{'name':'p','input':'x'}}]},"
        "{'role':'tool','tool_call_id':'a','content':'1'},"
        "{'role':'tool','tool_call_id':'b','content':'2'}],"
        "'tools':[{'type':'function','function':{'name':'f'}},{'type':'custom','custom':"
        "{'name':'p','format':{'type':'grammar','grammar':{'syntax':'lark','definition':"
        "'x'}}}}],'tool_choice':'auto','reasoning_effort':'low','verbosity':'low',"
        "'logprobs':true,'top_logprobs':3,'seed':7,'response_format':{'type':'json_object'}}",
        SENT(
            "{'type':'message','role':'developer','content':[{'type':'input_text','text':"
            "'d'}]},"
            "{'type':'message','role':'user','content':[{'type':'input_text','text':'u'},"
            "{'type':'input_image','image_url':'https://a.example/i.png','detail':'auto'},"
            "{'type':'input_file','filename':'a.pdf','file_data':"
            "'data:application/pdf;base64,JVBERi0x'}]},"
            "{'type':'reasoning','summary':[{'type':'summary_text','text':'t'}],"
            "'encrypted_content':'gAAA'},"
            "{'type':'message','role':'assistant','content':[{'type':'output_text','text':"
            "'go','annotations':[]}]},"
            "{'type':'function_call','call_id':'a','name':'f','arguments':'{}'},"
            "{'type':'custom_tool_call','call_id':'b','name':'p','input':'x'},"
            "{'type':'function_call_output','call_id':'a','output':'1'},"
            "{'type':'custom_tool_call_output','call_id':'b','output':'2'}") ",'tools':[{'type':'"
                                                                             "function','name':'f',"
                                                                             "'parameters':{'type':"
                                                                             "'object','properties'"
                                                                             ":{}},"
                                                                             "'strict':false},{'"
                                                                             "type':'custom','name'"
                                                                             ":'p','format':{'type'"
                                                                             ":'grammar','syntax':'"
                                                                             "lark',"
                                                                             "'definition':'x'}}],'"
                                                                             "tool_choice':'auto','"
                                                                             "top_logprobs':3,'max_"
                                                                             "output_tokens':99,"
                                                                             "'reasoning':{'effort'"
                                                                             ":'low'},'include':['"
                                                                             "reasoning.encrypted_"
                                                                             "content',"
                                                                             "'message.output_text."
                                                                             "logprobs'],'text':{'"
                                                                             "format':{'type':'"
                                                                             "json_object'},"
                                                                             "'verbosity':'low'},'"
                                                                             "store':false,'stream'"
                                                                             ":true}",
        "messages.reasoning_details, seed");
}

static void messages_become_items(void **state)
{
    (void)state;
    translate_request(
        MESSAGES, RESPONSES, plain,
        json("{'model':'m','max_tokens':1,'system':[{'type':'text','text':'a'},{'type':'text',"
             "'text':'b'}],'messages':[{'role':'user','content':'hi'},{'role':'assistant',"
             "'content':[{'type':'thinking','thinking':'t','signature':'s'},{'type':'tool_use',"
             "'id':'c','name':'f','input':{ 'x' : 1 }}]},{'role':'user','content':[{'type':"
             "'tool_result','tool_use_id':'c','is_error':true,'content':[{'type':'text','text':"
             "'no'},{'type':'image','source':{'type':'base64','media_type':'image/png','data':"
             "'" PNG "'}}]},{'type':'text','text':'and'}]}],'output_config':{'format':{'type':"
             "'json_schema','schema':{'a':1}}}}"),
        json("{'model':'m','instructions':'a\\n\\nb','input':[" SENT_HI
             ",{'type':'function_call','call_id':'c','name':'f','arguments':'{\\'x\\':1}'},"
             "{'type':'function_call_output','call_id':'c','output':[{'type':'input_text','text':"
             "'Error:'},{'type':'input_text','text':'no'},{'type':'input_image','image_url':"
             "'data:image/png;base64," PNG "','detail':'auto'}]},"
             "{'type':'message','role':'user','content':[{'type':'input_text','text':'and'}]}],"
             "'max_output_tokens':16,'text':{'format':{'type':'json_schema','name':'answer',"
             "'schema':{'a':1},'strict':true}},'store':false}"),
        "messages.content.thinking; changed=messages.content, max_tokens");
}

static void what_responses_cannot_say_is_refused(void **state)
{
    static const char *const fields[][2] = {
        {"'stop':'x'", "stop"},
        {"'top_k':3", "top_k"},
        {"'n':2", "n"},
        {"'frequency_penalty':0.5", "frequency_penalty"},
        {"'presence_penalty':0.5", "presence_penalty"},
        {"'logit_bias':{'1':2}", "logit_bias"},
        {"'max_tokens':0", "max_tokens"},
        {"'tools':[{'type':'x'}]", "tools[0].type"},
    };
    char body[512];

    (void)state;
    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
        snprintf(body, sizeof(body), "{'model':'m','messages':[" HI "],%s}", fields[i][0]);
        translate_refused(CHAT, RESPONSES, json(body), RELAY_ERR_INVALID_FIELD, fields[i][1],
                          "not supported");
    }
    from_chat("{'model':'m','messages':[" HI "],'frequency_penalty':0,'logit_bias':{},'n':1}",
              SENT(SENT_HI) ",'store':false}", "");
}

/* ---- the same format ----------------------------------------------------------- */

static void the_same_format_keeps_everything(void **state)
{
    relay_target_t target = {.model = RELAY_SPAN("up"), .output_tokens_max = 50};

    (void)state;
    translate_request(
        RESPONSES, RESPONSES, target,
        json(IN(
            "{'type':'item_reference','id':'x'},{'type':'new','a':[1, 2]}") ",'previous_response_"
                                                                            "id':'r','reasoning':{'"
                                                                            "effort':'low','mode':'"
                                                                            "x'},'tools':["
                                                                            "{'type':'mcp'}],'"
                                                                            "truncation':'auto','"
                                                                            "unknown':{'a':1},'"
                                                                            "stream':true}"),
        json("{'model':'up','max_output_tokens':50,'reasoning':{'effort':'low','mode':'x'},"
             "'input':[{'type':'item_reference','id':'x'},{'type':'new','a':[1, 2]}],"
             "'previous_response_id':'r','tools':[{'type':'mcp'}],'truncation':'auto',"
             "'unknown':{'a':1},'stream':true}"),
        "changed=max_output_tokens");
    translate_response(
        RESPONSES, RESPONSES,
        json("{'id':'resp_1','object':'response','created_at':5,'status':'completed','model':'m',"
             "'output':[{'id':'rs','type':'reasoning','summary':[]},{'type':'message','phase':'x',"
             "'content':[{'type':'output_text','text':'a'},{'type':'output_text','text':'b'}]},"
             "{'type':'mcp_call','a':{}}],'usage':{'input_tokens':1,'extra':2},'extra':[3]}"),
        json("{'id':'resp_1','object':'response','created_at':5,'model':'m','output':["
             "{'id':'rs','type':'reasoning','summary':[]},{'type':'message','phase':'x',"
             "'content':[{'type':'output_text','text':'a'},{'type':'output_text','text':'b'}]},"
             "{'type':'mcp_call','a':{}}],'status':'completed','usage':{'input_tokens':1,"
             "'extra':2},'extra':[3]}"));
}

/* ---- answers ------------------------------------------------------------------- */

#define ANSWER(status, output)                                                                     \
    "{'id':'resp_1','object':'response','created_at':5,'model':'m'," status ",'output':[" output   \
    "],'usage':{'input_tokens':9,'input_tokens_details':{'cached_tokens':2},'output_tokens':4,"    \
    "'output_tokens_details':{'reasoning_tokens':1}}}"
#define COMPLETED "'status':'completed'"

static void an_answer_becomes_a_message(void **state)
{
    static const char *answer = ANSWER(
        COMPLETED, "{'type':'reasoning','id':'rs','summary':[{'type':'summary_text','text':'s'},"
                   "{'type':'summary_text','text':'t'}],'encrypted_content':'gAAA'},"
                   "{'type':'message','role':'assistant','content':[{'type':'output_text',"
                   "'text':'a','annotations':[{'type':'url_citation','start_index':0,'end_index':"
                   "1,'title':'T','url':'https://a.example'}]}]},"
                   "{'type':'web_search_call','id':'w'},"
                   "{'type':'function_call','id':'fc','call_id':'c','name':'f','arguments':"
                   "'{\\'x\\':1}'}");

    (void)state;
    translate_response(
        RESPONSES, MESSAGES, json(answer),
        json("{'id':'msg_r1','type':'message','role':'assistant','model':'m','content':["
             "{'type':'text','text':'a','citations':[{'type':'web_search_result_location','url':"
             "'https://a.example','title':'T','encrypted_index':'','cited_text':''}]},"
             "{'type':'tool_use','id':'c','name':'f','input':{'x':1}}],'stop_reason':'tool_use',"
             "'stop_sequence':null,'usage':{'input_tokens':7,'cache_creation_input_tokens':0,"
             "'cache_read_input_tokens':2,'output_tokens':4,'output_tokens_details':"
             "{'thinking_tokens':1}}}"));
    translate_response(
        RESPONSES, CHAT, json(answer),
        json("{'id':'chatcmpl-r1','object':'chat.completion','created':5,'model':'m','choices':["
             "{'index':0,'message':{'role':'assistant','content':'a','refusal':null,"
             "'annotations':[{'type':'url_citation','url_citation':{'start_index':0,'end_index':1,"
             "'title':'T','url':'https://a.example'}}],'reasoning_content':'s\\n\\nt',"
             "'reasoning_details':[{'type':'reasoning.text','text':'s\\n\\nt','signature':'gAAA',"
             "'format':'openai-responses-v1','index':0}],'tool_calls':[{'id':'c','type':"
             "'function','function':{'name':'f','arguments':'{\\'x\\':1}'}}]},'logprobs':null,"
             "'finish_reason':'tool_calls'}],'usage':{'prompt_tokens':9,'completion_tokens':4,"
             "'total_tokens':13,'prompt_tokens_details':{'cached_tokens':2,"
             "'cache_write_tokens':0},'completion_tokens_details':{'reasoning_tokens':1}}}"));
}

static void every_status_has_its_reason(void **state)
{
    static const char *const cases[][2] = {
        {COMPLETED, "'finish_reason':'stop'"},
        {"'status':'incomplete','incomplete_details':{'reason':'max_output_tokens'}",
         "'finish_reason':'length'"},
        {"'status':'incomplete','incomplete_details':{'reason':'content_filter'}",
         "'finish_reason':'content_filter'"},
        {"'status':'incomplete','incomplete_details':{'reason':'steered'}",
         "'finish_reason':'stop'"},
    };
    char body[1024];

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        translate_t run;
        relay_span_t out = {NULL, 0};
        translate_open(&run, CHAT, RESPONSES);
        snprintf(body, sizeof(body),
                 "{'id':'r','object':'response','model':'m','output':[{'type':'message','content':"
                 "[{'type':'output_text','text':'a'}]}],%s}",
                 cases[i][0]);
        assert_int_equal(
            relay_translate_response(&run.translation, relay_wire_cstring(json(body)), &out),
            RELAY_ERR_NONE);
        translate_has(out, json(cases[i][1]));
        translate_close(&run);
    }
}

static void an_answer_that_is_none_is_an_error(void **state)
{
    static const struct {
        const char *body;
        relay_error_code_t code;
    } cases[] = {
        {"{'id':'r','object':'response','status':'failed','error':{'code':'server_error',"
         "'message':'m'},'output':[]}",
         RELAY_ERR_UPSTREAM_ERROR},
        {"{'id':'r','object':'response','status':'completed'}", RELAY_ERR_UPSTREAM_INVALID},
        {"[]", RELAY_ERR_UPSTREAM_INVALID},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        translate_t run;
        relay_span_t out;
        translate_open(&run, CHAT, RESPONSES);
        assert_int_equal(relay_translate_response(&run.translation,
                                                  relay_wire_cstring(json(cases[i].body)), &out),
                         cases[i].code);
        translate_close(&run);
    }
}

#define SETTINGS                                                                                   \
    "'background':false,'instructions':null,'max_output_tokens':null,"                             \
    "'parallel_tool_calls':true,'previous_response_id':null,'reasoning':{'effort':null,"           \
    "'summary':null},'store':false,'temperature':null,'text':{'format':{'type':'text'}},"          \
    "'tool_choice':'auto','tools':[],'top_p':null,'truncation':'disabled','user':null,"            \
    "'metadata':{},"

static void a_message_becomes_a_response(void **state)
{
    (void)state;
    translate_response(
        MESSAGES, RESPONSES,
        json(
            "{'id':'msg_7','model':'m','content':[{'type':'thinking','thinking':'t','signature':"
            "'U0lH'},{'type':'redacted_thinking','data':'REFU'},{'type':'text','text':'a'},"
            "{'type':'tool_use','id':'toolu_1','name':'f','input':{'x': 1}}],'stop_reason':"
            "'tool_use','usage':{'input_tokens':7,'cache_read_input_tokens':2,'output_tokens':4}}"),
        json("{'id':'resp_r1','object':'response','created_at':1700000000,'model':'m',"
             "'output':[{'id':'rs_r1_0','type':'reasoning','summary':[{'type':'summary_text',"
             "'text':'t'}],'encrypted_content':'relay1:thinking:anthropic-claude-v1:U0lH:t'},"
             "{'id':'rs_r1_1','type':'reasoning','summary':[],'encrypted_content':"
             "'relay1:redacted:anthropic-claude-v1::REFU'},"
             "{'id':'msg_r1_2','type':'message','status':'completed','role':'assistant',"
             "'content':[{'type':'output_text','text':'a','annotations':[],'logprobs':[]}]},"
             "{'id':'fc_r1_3','type':'function_call','status':'completed','call_id':'toolu_1',"
             "'name':'f','arguments':'{\\'x\\':1}'}]," SETTINGS
             "'status':'completed','error':null,'incomplete_details':null,'usage':"
             "{'input_tokens':9,'input_tokens_details':{'cached_tokens':2,'cache_write_tokens':0},"
             "'output_tokens':4,'output_tokens_details':{'reasoning_tokens':0},"
             "'total_tokens':13}}"));
}

static void response_has(const char *upstream, const char *body, const char *part)
{
    translate_t run;
    relay_span_t out = {NULL, 0};

    translate_open(&run, RESPONSES, upstream);
    assert_int_equal(
        relay_translate_response(&run.translation, relay_wire_cstring(json(body)), &out),
        RELAY_ERR_NONE);
    translate_has(out, json(part));
    translate_close(&run);
}

static void how_an_answer_ended_is_told(void **state)
{
    (void)state;
    response_has(MESSAGES, "{'content':[{'type':'text','text':'a'}],'stop_reason':'max_tokens'}",
                 "'status':'incomplete','error':null,'incomplete_details':{'reason':"
                 "'max_output_tokens'}");
    response_has(MESSAGES, "{'content':[{'type':'text','text':'a'}],'stop_reason':'max_tokens'}",
                 "'type':'message','status':'incomplete'");
    response_has(MESSAGES, "{'content':[],'stop_reason':'refusal'}",
                 "'incomplete_details':{'reason':'content_filter'}");
    response_has(MESSAGES,
                 "{'content':[],'stop_reason':'refusal','stop_details':{'explanation':'no'}}",
                 "'content':[{'type':'refusal','refusal':'no'}]}]");
    response_has(CHAT,
                 "{'choices':[{'message':{'content':null,'refusal':'no'},'finish_reason':'stop'}]}",
                 "'content':[{'type':'refusal','refusal':'no'}]}]");
    response_has(
        CHAT,
        "{'choices':[{'message':{'content':'a'},'logprobs':{'content':[{'token':'a','logprob':-1}]}"
        ","
        "'finish_reason':'stop'}]}",
        "'annotations':[],'logprobs':[{'token':'a','logprob':-1,'bytes':[],'top_logprobs':[]}]}");
    response_has(CHAT,
                 "{'choices':[{'message':{'tool_calls':[{'function':{'name':'f','arguments':"
                 "'{broken'}},{'function':{'name':'g','arguments':''}}]},"
                 "'finish_reason':'tool_calls'}]}",
                 "'call_id':'call_r1_0','name':'f','arguments':'{broken'},{'id':'fc_r1_1','type':"
                 "'function_call','status':'completed','call_id':'call_r1_1','name':'g',"
                 "'arguments':'{}'}");
}

/* Names and kinds of tools come back as the caller knows them. */
static void tools_are_called_by_their_own_names(void **state)
{
    translate_t run;
    relay_span_t out;

    (void)state;
    translate_open(&run, RESPONSES, MESSAGES);
    assert_int_equal(
        relay_translate_request(
            &run.translation,
            relay_wire_cstring(json(
                IN(HI) ",'tools':[{'type':'custom','name':'p'},{'type':'namespace','name':'n',"
                       "'tools':[{'type':'function','name':'f'},{'type':'custom','name':'q'}]},"
                       "{'type':'tool_search','execution':'client'},{'type':'function','name':"
                       "'a b'}]}")),
            &out),
        RELAY_ERR_NONE);
    assert_int_equal(
        relay_translate_response(
            &run.translation,
            relay_wire_cstring(json(
                "{'content':[{'type':'tool_use','id':'1','name':'p','input':{'input':'x\\ny'}},"
                "{'type':'tool_use','id':'2','name':'n__f','input':{}},"
                "{'type':'tool_use','id':'3','name':'n__q','input':{'other':1}},"
                "{'type':'tool_use','id':'4','name':'tool_search__tool_search','input':"
                "{'query':'q'}},{'type':'tool_use','id':'5','name':'plain','input':{}}],"
                "'stop_reason':'tool_use'}")),
            &out),
        RELAY_ERR_NONE);
    translate_has(out, json("{'id':'ctc_r1_0','type':'custom_tool_call','status':'completed',"
                            "'call_id':'1','name':'p','input':'x\\ny'}"));
    translate_has(out, json("{'id':'fc_r1_1','type':'function_call','status':'completed',"
                            "'call_id':'2','name':'f','namespace':'n','arguments':'{}'}"));
    translate_has(out, json("{'id':'ctc_r1_2','type':'custom_tool_call','status':'completed',"
                            "'call_id':'3','name':'q','namespace':'n','input':"
                            "'{\\'other\\':1}'}"));
    translate_has(out, json("{'id':'tsc_r1_3','type':'tool_search_call','execution':'client',"
                            "'status':'completed','call_id':'4','arguments':{'query':'q'}}"));
    translate_has(out, json("'name':'plain','arguments':'{}'"));
    translate_close(&run);
}

/* What a late instruction shows stays where it was, as the user's. */
static void an_image_of_a_late_instruction_arrives(void **state)
{
    static const char body[] =
        "{'model':'m','input':[{'role':'user','content':'hi'},{'role':'developer','content':[{"
        "'type':'input_text','text':'a'},{'type':'input_image','image_url':"
        "'data:image/png;base64,iVBORw0KGgo='}]}]}";
    relay_target_t target = {0};

    (void)state;
    translate_request(RESPONSES, MESSAGES, target, json(body),
                      json("{'model':'m','max_tokens':32000,'messages':[{'role':'user','content':["
                           "{'type':'text','text':'hi'},{'type':'text','text':'<system>\\na\\n"
                           "</system>'},{'type':'image','source':{'type':'base64','media_type':"
                           "'image/png','data':'iVBORw0KGgo='}}]}]}"),
                      "changed=input.role");
    translate_request(RESPONSES, "gemini", target, json(body),
                      json("{'contents':[{'role':'user','parts':[{'text':'hi'},{'text':'<system>"
                           "\\na\\n</system>'},{'inlineData':{'mimeType':'image/png','data':"
                           "'iVBORw0KGgo='}}]}]}"),
                      "changed=input.role");
    translate_request(RESPONSES, "bedrock-converse", target, json(body),
                      json("{'messages':[{'role':'user','content':[{'text':'hi'},{'text':'<system>"
                           "\\na\\n</system>'},{'image':{'format':'png','source':{'bytes':"
                           "'iVBORw0KGgo='}}}]}]}"),
                      "changed=input.role");
    translate_refused(RESPONSES, "openai-chat", json(body), RELAY_ERR_INVALID_FIELD,
                      "input[1].content[1]", "text only");
}

/* However small the memory, there is an error and no harm. */
static void an_empty_arena_is_an_error(void **state)
{
    static const char *body = IN(
        HI ",{'type':'reasoning','summary':[{'text':'a'},{'text':'b'}],'encrypted_content':'g'},"
           "{'type':'tool_search_call','call_id':'s','arguments':{}},{'type':'tool_search_output',"
           "'call_id':'s','tools':[{'type':'custom','name':'p p','format':{'syntax':'lark',"
           "'definition':'x'}}]}") ",'instructions':'I','store':true,'tools':[{'type':'function',"
                                   "'name':'f','x':1}]}";
    translate_t run;
    relay_span_t out;
    size_t left = 0;
    relay_error_code_t code;

    (void)state;
    do {
        translate_open(&run, RESPONSES, MESSAGES);
        run.left = left++;
        code = relay_translate_request(&run.translation, relay_wire_cstring(json(body)), &out);
        assert_true(code == RELAY_ERR_NONE || code == RELAY_ERR_INTERNAL);
        translate_close(&run);
    } while (code != RELAY_ERR_NONE && left < 200);
    assert_int_equal(code, RELAY_ERR_NONE);
    assert_true(left > 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(items_become_turns),
        cmocka_unit_test(calls_in_a_row_are_one_message),
        cmocka_unit_test(tools_of_every_kind_arrive),
        cmocka_unit_test(choices_among_tools),
        cmocka_unit_test(settings_arrive_or_are_named),
        cmocka_unit_test(r24_what_needs_state_is_refused),
        cmocka_unit_test(reasoning_goes_back_to_who_signed_it),
        cmocka_unit_test(what_a_client_found_is_a_result),
        cmocka_unit_test(what_the_provider_did_itself_is_left_out),
        cmocka_unit_test(an_image_of_a_late_instruction_arrives),
        cmocka_unit_test(chat_becomes_items),
        cmocka_unit_test(messages_become_items),
        cmocka_unit_test(what_responses_cannot_say_is_refused),
        cmocka_unit_test(the_same_format_keeps_everything),
        cmocka_unit_test(an_answer_becomes_a_message),
        cmocka_unit_test(every_status_has_its_reason),
        cmocka_unit_test(an_answer_that_is_none_is_an_error),
        cmocka_unit_test(a_message_becomes_a_response),
        cmocka_unit_test(how_an_answer_ended_is_told),
        cmocka_unit_test(tools_are_called_by_their_own_names),
        cmocka_unit_test(an_empty_arena_is_an_error),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
