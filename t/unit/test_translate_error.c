/*
 * What errors of providers become: every class in every caller's dialect, and a prompt
 * that does not fit, in the words of each provider.
 */

#include "translate_error.c"

#include "translate_check.h"

#define GEMINI   "gemini"
#define CONVERSE "bedrock-converse"

typedef struct {
    unsigned status;
    char text[2048];
    bool retry;
} told_t;

static told_t tell(const char *caller, const char *upstream, unsigned status, const char *body)
{
    told_t told = {0};
    relay_failure_t failure;
    relay_span_t text;
    translate_t run;

    translate_open(&run, caller, upstream);
    failure = relay_translate_failure(&run.translation, relay_wire_cstring(body), status);
    told.status = run.translation.caller->wire->dialect->status(&failure.error);
    told.retry = failure.retry;
    text =
        relay_translate_error(&run.translation, relay_wire_cstring(body), status, RELAY_SPAN("r1"));
    assert_true(text.len < sizeof(told.text));
    memcpy(told.text, text.base, text.len);
    translate_close(&run);
    return told;
}

static void has(const told_t *told, const char *part)
{
    translate_has(relay_wire_cstring(told->text), part);
}

/* ---- classes --------------------------------------------------------------- */

#define OPENAI_ERROR(type, code, message)                                                          \
    "{\"error\":{\"message\":\"" message "\",\"type\":\"" type "\",\"param\":null,\"code\":" code  \
    "}}"
#define ANTHROPIC_ERROR(type, message)                                                             \
    "{\"type\":\"error\",\"error\":{\"type\":\"" type "\",\"message\":\"" message                  \
    "\"},\"request_id\":\"x\"}"
#define GEMINI_ERROR(code, status, message)                                                        \
    "{\"error\":{\"code\":" code ",\"message\":\"" message "\",\"status\":\"" status "\"}}"

/* One class from one upstream; what callers of OpenAI's dialect, of Anthropic's and of
 * Gemini's get: status, type or word, and OpenAI's code. */
typedef struct {
    const char *upstream;
    unsigned status;
    const char *body;
    const char *message; /* that stays */
    unsigned openai_status;
    const char *openai_type;
    const char *openai_code;
    unsigned anthropic_status;
    const char *anthropic_type;
    unsigned gemini_status;
    const char *gemini_word;
    bool retry;
} class_t;

static const class_t classes[] = {
    /* bad request */
    {CHAT, 400,
     OPENAI_ERROR("invalid_request_error", "\"unsupported_parameter\"",
                  "Unsupported parameter: 'top_k'."),
     "Unsupported parameter: 'top_k'.", 400, "invalid_request_error", "upstream_status", 400,
     "invalid_request_error", 400, "INVALID_ARGUMENT", false},
    {MESSAGES, 400, ANTHROPIC_ERROR("invalid_request_error", "max_tokens: Field required"),
     "max_tokens: Field required", 400, "invalid_request_error", "upstream_status", 400,
     "invalid_request_error", 400, "INVALID_ARGUMENT", false},
    {GEMINI, 400, GEMINI_ERROR("400", "FAILED_PRECONDITION", "User location is not supported."),
     "User location is not supported.", 400, "invalid_request_error", "upstream_status", 400,
     "invalid_request_error", 400, "INVALID_ARGUMENT", false},
    {CONVERSE, 400, "{\"message\":\"Malformed input request: #: required key not found\"}",
     "Malformed input request: #: required key not found", 400, "invalid_request_error",
     "upstream_status", 400, "invalid_request_error", 400, "INVALID_ARGUMENT", false},
    /* the key, which is not the caller's: its message may hold a part of it */
    {CHAT, 401,
     OPENAI_ERROR("invalid_request_error", "\"invalid_api_key\"", "Incorrect key: sk-ab**cd."),
     "The provider refused the key", 502, "server_error", "upstream_key", 500, "api_error", 502,
     "UNAVAILABLE", false},
    {MESSAGES, 401, ANTHROPIC_ERROR("authentication_error", "invalid x-api-key"),
     "The provider refused the key", 502, "server_error", "upstream_key", 500, "api_error", 502,
     "UNAVAILABLE", false},
    {GEMINI, 400,
     "{\"error\":{\"code\":400,\"message\":\"API key not valid.\",\"status\":"
     "\"INVALID_ARGUMENT\",\"details\":[{\"@type\":\"type.googleapis.com/google.rpc.ErrorInfo\","
     "\"reason\":\"API_KEY_INVALID\",\"domain\":\"googleapis.com\"}]}}",
     "The provider refused the key", 502, "server_error", "upstream_key", 500, "api_error", 502,
     "UNAVAILABLE", false},
    /* billing, which some call a limit of rate */
    {CHAT, 429,
     OPENAI_ERROR("insufficient_quota", "\"insufficient_quota\"",
                  "You exceeded your current quota, please check your plan."),
     "You exceeded your current quota, please check your plan.", 429, "insufficient_quota",
     "insufficient_quota", 402, "billing_error", 429, "RESOURCE_EXHAUSTED", false},
    {MESSAGES, 402, ANTHROPIC_ERROR("billing_error", "Your credit balance is too low."),
     "Your credit balance is too low.", 429, "insufficient_quota", "insufficient_quota", 402,
     "billing_error", 429, "RESOURCE_EXHAUSTED", false},
    {MESSAGES, 400,
     ANTHROPIC_ERROR("invalid_request_error",
                     "Your credit balance is too low to access the Anthropic API."),
     "Your credit balance is too low", 429, "insufficient_quota", "insufficient_quota", 402,
     "billing_error", 429, "RESOURCE_EXHAUSTED", false},
    {CHAT, 402, OPENAI_ERROR("unknown_error", "\"invalid_request_error\"", "Insufficient Balance"),
     "Insufficient Balance", 429, "insufficient_quota", "insufficient_quota", 402, "billing_error",
     429, "RESOURCE_EXHAUSTED", false},
    {CHAT, 402, "{\"error\":{\"message\":\"Insufficient credits\",\"code\":402}}",
     "Insufficient credits", 429, "insufficient_quota", "insufficient_quota", 402, "billing_error",
     429, "RESOURCE_EXHAUSTED", false},
    /* permission */
    {CHAT, 403,
     OPENAI_ERROR("request_forbidden", "\"unsupported_country_region_territory\"",
                  "Country, region, or territory not supported"),
     "Country, region, or territory not supported", 403, "permission_error", "upstream_status", 403,
     "permission_error", 403, "PERMISSION_DENIED", false},
    {MESSAGES, 403, ANTHROPIC_ERROR("permission_error", "No permission for this resource."),
     "No permission for this resource.", 403, "permission_error", "upstream_status", 403,
     "permission_error", 403, "PERMISSION_DENIED", false},
    {GEMINI, 403, GEMINI_ERROR("403", "PERMISSION_DENIED", "Permission denied."),
     "Permission denied.", 403, "permission_error", "upstream_status", 403, "permission_error", 403,
     "PERMISSION_DENIED", false},
    /* a model that is not there, and something else */
    {CHAT, 404,
     OPENAI_ERROR("invalid_request_error", "\"model_not_found\"", "The model `n` does not exist."),
     "The model `n` does not exist.", 404, "invalid_request_error", "model_not_found", 404,
     "not_found_error", 404, "NOT_FOUND", false},
    {CHAT, 404, "{\"error\":{\"code\":\"DeploymentNotFound\",\"message\":\"The API deployment.\"}}",
     "The API deployment.", 404, "invalid_request_error", "model_not_found", 404, "not_found_error",
     404, "NOT_FOUND", false},
    {MESSAGES, 404, ANTHROPIC_ERROR("not_found_error", "model: claude-nope"), "model: claude-nope",
     404, "invalid_request_error", "model_not_found", 404, "not_found_error", 404, "NOT_FOUND",
     false},
    {CHAT, 404, "{\"error\":\"not found\"}", "not found", 404, "invalid_request_error",
     "upstream_status", 404, "not_found_error", 404, "NOT_FOUND", false},
    /* too large, unprocessable */
    {MESSAGES, 413, ANTHROPIC_ERROR("request_too_large", "Request exceeds the maximum size"),
     "Request exceeds the maximum size", 413, "invalid_request_error", "upstream_status", 413,
     "request_too_large", 413, "INVALID_ARGUMENT", false},
    {CHAT, 422,
     "{\"object\":\"error\",\"message\":{\"detail\":[{\"msg\":\"Field required\"}]},"
     "\"type\":\"invalid_request_error\"}",
     "Field required", 422, "invalid_request_error", "upstream_status", 400,
     "invalid_request_error", 400, "INVALID_ARGUMENT", false},
    /* limits of rate, one of which speaks of a quota and means the minute */
    {CHAT, 429,
     OPENAI_ERROR("tokens", "\"rate_limit_exceeded\"", "Rate limit reached: Limit 30000."),
     "Rate limit reached: Limit 30000.", 429, "rate_limit_error", "rate_limit_exceeded", 429,
     "rate_limit_error", 429, "RESOURCE_EXHAUSTED", true},
    {MESSAGES, 429, ANTHROPIC_ERROR("rate_limit_error", "This would exceed your limit."),
     "This would exceed your limit.", 429, "rate_limit_error", "rate_limit_exceeded", 429,
     "rate_limit_error", 429, "RESOURCE_EXHAUSTED", true},
    {GEMINI, 429,
     GEMINI_ERROR("429", "RESOURCE_EXHAUSTED",
                  "You exceeded your current quota, please check your plan and billing details."),
     "You exceeded your current quota", 429, "rate_limit_error", "rate_limit_exceeded", 429,
     "rate_limit_error", 429, "RESOURCE_EXHAUSTED", true},
    {CONVERSE, 429, "{\"message\":\"Too many tokens, please wait before trying again.\"}",
     "Too many tokens, please wait before trying again.", 429, "rate_limit_error",
     "rate_limit_exceeded", 429, "rate_limit_error", 429, "RESOURCE_EXHAUSTED", true},
    /* time is up */
    {MESSAGES, 504, ANTHROPIC_ERROR("timeout_error", "The request timed out."),
     "The request timed out.", 504, "server_error", "upstream_timeout", 504, "timeout_error", 504,
     "DEADLINE_EXCEEDED", true},
    {CONVERSE, 408, "{\"message\":\"Model has timed out in processing the request.\"}",
     "Model has timed out", 504, "server_error", "upstream_timeout", 504, "timeout_error", 504,
     "DEADLINE_EXCEEDED", true},
    /* the provider's own trouble */
    {CONVERSE, 424, "{\"message\":\"The model returned an error.\"}",
     "The model returned an error.", 500, "server_error", "upstream_status", 500, "api_error", 500,
     "INTERNAL", true},
    {CHAT, 500, OPENAI_ERROR("server_error", "null", "The server had an error."),
     "The server had an error.", 500, "server_error", "upstream_status", 500, "api_error", 500,
     "INTERNAL", true},
    {CHAT, 502, "<html><body><h1>502 Bad Gateway</h1></body></html>",
     "The provider answered with an error.", 502, "server_error", "upstream_status", 502,
     "api_error", 502, "UNAVAILABLE", true},
    /* overloaded: each dialect has its own status */
    {MESSAGES, 529, ANTHROPIC_ERROR("overloaded_error", "Overloaded"), "Overloaded", 503,
     "service_unavailable_error", "server_is_overloaded", 529, "overloaded_error", 503,
     "UNAVAILABLE", true},
    {CHAT, 503,
     OPENAI_ERROR("service_unavailable_error", "\"server_is_overloaded\"",
                  "Our servers are currently overloaded."),
     "Our servers are currently overloaded.", 503, "service_unavailable_error",
     "server_is_overloaded", 529, "overloaded_error", 503, "UNAVAILABLE", true},
    {GEMINI, 503, GEMINI_ERROR("503", "UNAVAILABLE", "The model is overloaded."),
     "The model is overloaded.", 503, "service_unavailable_error", "server_is_overloaded", 529,
     "overloaded_error", 503, "UNAVAILABLE", true},
    {CONVERSE, 503, "{\"message\":\"Bedrock is unable to process your request.\"}",
     "Bedrock is unable to process your request.", 503, "service_unavailable_error",
     "server_is_overloaded", 529, "overloaded_error", 503, "UNAVAILABLE", true},
};

static void check_class(const class_t *want, const char *caller, unsigned status, const char *part)
{
    told_t told = tell(caller, want->upstream, want->status, want->body);

    if (told.status != status || told.retry != want->retry) {
        print_error("%s in %s: %u\n", want->body, caller, told.status);
    }
    assert_int_equal(told.status, status);
    assert_int_equal(told.retry, want->retry);
    has(&told, part);
    has(&told, want->message);
}

static void every_class_has_its_status_type_and_code(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(classes) / sizeof(classes[0]); i++) {
        const class_t *want = &classes[i];
        char part[256];
        snprintf(part, sizeof(part), "\"type\":\"%s\",\"param\":null,\"code\":\"%s\"",
                 want->openai_type, want->openai_code);
        check_class(want, CHAT, want->openai_status, part);
        check_class(want, RESPONSES, want->openai_status, part);
        snprintf(part, sizeof(part), "{\"type\":\"error\",\"error\":{\"type\":\"%s\",",
                 want->anthropic_type);
        check_class(want, MESSAGES, want->anthropic_status, part);
        snprintf(part, sizeof(part), "\"status\":\"%s\"", want->gemini_word);
        check_class(want, GEMINI, want->gemini_status, part);
    }
}

/* The name of an error may be told beside a body that has none; what a body says counts. */
static void a_name_may_be_told_beside_the_body(void **state)
{
    static const char *const bodies[] = {"{\"message\":\"No more.\"}",
                                         "{\"message\":\"No more.\",\"__type\":"
                                         "\"ValidationException\"}"};
    static const relay_error_code_t codes[] = {RELAY_ERR_UPSTREAM_BILLING,
                                               RELAY_ERR_UPSTREAM_STATUS};
    bool key_refused = true;

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        translate_t run;
        translate_open(&run, CHAT, CONVERSE);
        run.translation.told_error = run.translation.upstream->wire->dialect->error_name(
            RELAY_SPAN("ServiceQuotaExceededException:http://x/"), &key_refused);
        assert_false(key_refused);
        assert_int_equal(
            relay_translate_failure(&run.translation, relay_wire_cstring(bodies[i]), 400)
                .error.code,
            codes[i]);
        translate_close(&run);
    }
    relay_wire_find(RELAY_SPAN(CONVERSE))
        ->dialect->error_name(RELAY_SPAN("UnrecognizedClientException"), &key_refused);
    assert_true(key_refused);
}

static void a_key_is_not_shown(void **state)
{
    told_t told = tell(MESSAGES, CHAT, 401, classes[4].body);

    (void)state;
    assert_null(strstr(told.text, "sk-"));
}

/* ---- prompts that do not fit ------------------------------------------------ */

#define TOO_LONG(n, m) "prompt is too long: " n " tokens > " m " maximum"
#define BOTH(i, o, m)  "input length and `max_tokens` exceed context limit: " i " + " o " > " m ","
#define UNTOLD         "prompt is too long ("

static const struct {
    const char *vendor;
    const char *upstream;
    unsigned status;
    const char *code; /* of an OpenAI error, or NULL: "" */
    const char *message;
    const char *anthropic; /* how callers of Anthropic's dialect are told */
} prompts[] = {
    {"OpenAI", CHAT, 400, "context_length_exceeded",
     "This model's maximum context length is 128000 tokens. However, your messages resulted in "
     "130412 tokens. Please reduce the length of the messages.",
     TOO_LONG("130412", "128000")},
    {"OpenAI, with the limit of the answer", CHAT, 400, "context_length_exceeded",
     "This model's maximum context length is 8192 tokens. However, you requested 9000 tokens (5000 "
     "in the messages, 4000 in the completion). Please reduce the length of the messages or "
     "completion.",
     BOTH("5000", "4000", "8192")},
    {"OpenAI Responses", RESPONSES, 400, "context_length_exceeded",
     "Your input exceeds the context window of this model. Please adjust your input and try again.",
     UNTOLD},
    {"Anthropic", MESSAGES, 400, NULL, "prompt is too long: 210123 tokens > 200000 maximum",
     "\"" TOO_LONG("210123", "200000") "\""},
    {"Anthropic, with the limit of the answer", MESSAGES, 400, NULL,
     "input length and `max_tokens` exceed context limit: 195000 + 21333 > 200000, decrease input "
     "length or `max_tokens` and try again",
     "\"" BOTH("195000", "21333", "200000")},
    {"Gemini", GEMINI, 400, NULL,
     "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).",
     TOO_LONG("1200000", "1048576")},
    {"Bedrock", CONVERSE, 400, NULL, "Input is too long for requested model.", UNTOLD},
    {"Bedrock: Claude", CONVERSE, 400, NULL,
     "The model returned the following errors: prompt is too long: 210123 tokens > 200000 maximum",
     TOO_LONG("210123", "200000")},
    {"Bedrock: Nova", CONVERSE, 400, NULL,
     "Input Tokens Exceeded: Number of input tokens exceeds maximum length. Please update the "
     "input to try again.",
     UNTOLD},
    {"Bedrock: Titan", CONVERSE, 400, NULL,
     "400 Bad Request: Too many input tokens. Max input tokens: 8192, request input token count: "
     "9100 ",
     TOO_LONG("9100", "8192")},
    {"vLLM", CHAT, 400, NULL,
     "'max_tokens' or 'max_completion_tokens' is too large: 8192. This model's maximum context "
     "length is 4096 tokens and your request has 100 input tokens (8192 > 4096 - 100).",
     BOTH("100", "8192", "4096")},
    {"vLLM, newer", CHAT, 400, NULL,
     "You passed 9001 input tokens and requested 1 output tokens. However, the model's context "
     "length is only 8192 tokens, resulting in a maximum input length of 8191 tokens.",
     TOO_LONG("9001", "8192")},
    {"vLLM, the prompt alone", CHAT, 400, NULL,
     "The decoder prompt (length 9000) is longer than the maximum model length of 8192. Make sure "
     "that `max_model_len` is no smaller than the number of text tokens.",
     TOO_LONG("9000", "8192")},
    {"SGLang", CHAT, 400, NULL,
     "The input (9000 tokens) is longer than the model's context length (8192 tokens).",
     TOO_LONG("9000", "8192")},
    {"SGLang, with the limit of the answer", CHAT, 400, NULL,
     "Requested token count exceeds the model's maximum context length of 8192 tokens. You "
     "requested a total of 9000 tokens: 5000 tokens from the input messages and 4000 tokens for "
     "the completion.",
     BOTH("5000", "4000", "8192")},
    {"llama.cpp", CHAT, 400, "exceed_context_size_error",
     "request (9000 tokens) exceeds the available context size (8192 tokens), try increasing it",
     TOO_LONG("9000", "8192")},
    {"llama.cpp, older", CHAT, 500, NULL,
     "the request exceeds the available context size. try increasing the context size or enable "
     "context shift",
     UNTOLD},
    {"TGI", CHAT, 422, NULL,
     "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4097. Given: 4000 "
     "`inputs` tokens and 1000 `max_new_tokens`",
     BOTH("4000", "1000", "4097")},
    {"LM Studio", CHAT, 400, NULL,
     "Trying to keep the first 9000 tokens when context the overflows. However, the model is "
     "loaded with context length of only 4096 tokens, which is not enough.",
     TOO_LONG("9000", "4096")},
    {"Mistral", CHAT, 400, NULL,
     "Prompt contains 34570 tokens and 0 draft tokens, too large for model with 32768 maximum "
     "context length",
     TOO_LONG("34570", "32768")},
    {"Groq", CHAT, 400, "context_length_exceeded",
     "Please reduce the length of the messages or completion.", UNTOLD},
    {"Cerebras", CHAT, 400, "context_length_exceeded",
     "Please reduce the length of the messages or completion. Current length is 9000 while limit "
     "is 8192",
     TOO_LONG("9000", "8192")},
    {"Fireworks", CHAT, 400, NULL,
     "The prompt is too long: 9000, model maximum context length: 8192", TOO_LONG("9000", "8192")},
    {"xAI", CHAT, 400, NULL,
     "This model's maximum prompt length is 131072 but the request contains 140000 tokens.",
     TOO_LONG("140000", "131072")},
    {"DeepSeek", CHAT, 400, NULL,
     "This model's maximum context length is 131072 tokens. However, you requested 140000 tokens "
     "(139000 in the messages, 1000 in the completion).",
     TOO_LONG("139000", "131072")},
    {"OpenRouter", CHAT, 400, NULL,
     "This endpoint's maximum context length is 200000 tokens. However, you requested about 210000 "
     "tokens (208000 of text input, 1000 of tool input, 1000 in the output).",
     TOO_LONG("209000", "200000")},
    {"Cohere", CHAT, 400, NULL,
     "too many tokens: total number of tokens in the prompt cannot exceed 4081 - received 4213. "
     "Try using a shorter prompt.",
     TOO_LONG("4213", "4081")},
    {"Moonshot", CHAT, 400, NULL,
     "Invalid request: Your request exceeded model token limit: 131072 (requested: 140000)",
     TOO_LONG("140000", "131072")},
    {"Z.ai", CHAT, 400, "1261", "Prompt exceeds max length", UNTOLD},
    {"MiniMax", CHAT, 400, NULL, "invalid params, context window exceeds limit (2013)", UNTOLD},
    {"Alibaba", CHAT, 400, "invalid_parameter_error", "Range of input length should be [1, 30720]",
     UNTOLD},
    {"GitHub", CHAT, 400, "model_max_prompt_tokens_exceeded",
     "prompt token count of 70000 exceeds the limit of 64000", TOO_LONG("70000", "64000")},
    {"watsonx", CHAT, 400, NULL,
     "the number of input tokens 9000 cannot exceed the total tokens limit 8192 for this model",
     TOO_LONG("9000", "8192")},
    {"TensorRT-LLM", CHAT, 400, NULL, "Prompt length (9000) exceeds maximum input length (8192).",
     TOO_LONG("9000", "8192")},
};

static const char *body_of(const char *upstream, const char *code, const char *message, char *out,
                           size_t size)
{
    if (strcmp(upstream, MESSAGES) == 0) {
        snprintf(out, size, ANTHROPIC_ERROR("invalid_request_error", "%s"), message);
    } else if (strcmp(upstream, GEMINI) == 0) {
        snprintf(out, size, GEMINI_ERROR("400", "INVALID_ARGUMENT", "%s"), message);
    } else if (strcmp(upstream, CONVERSE) == 0) {
        snprintf(out, size, "{\"message\":\"%s\"}", message);
    } else {
        snprintf(out, size, OPENAI_ERROR("invalid_request_error", "\"%s\"", "%s"), message,
                 code != NULL ? code : "");
    }
    return out;
}

static void x10_context_length_is_one_class(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(prompts) / sizeof(prompts[0]); i++) {
        char bytes[1024];
        const char *body =
            body_of(prompts[i].upstream, prompts[i].code, prompts[i].message, bytes, sizeof(bytes));
        told_t told = tell(CHAT, prompts[i].upstream, prompts[i].status, body);
        if (strstr(told.text, "\"code\":\"context_length_exceeded\"") == NULL) {
            print_error("%s: %s\n", prompts[i].vendor, told.text);
        }
        has(&told, "\"type\":\"invalid_request_error\",\"param\":null,\"code\":"
                   "\"context_length_exceeded\"");
        has(&told, prompts[i].message);
        assert_int_equal(told.status, 400);
        assert_false(told.retry);
        told = tell(MESSAGES, prompts[i].upstream, prompts[i].status, body);
        assert_int_equal(told.status, 400);
        has(&told, "{\"type\":\"error\",\"error\":{\"type\":\"invalid_request_error\",");
        has(&told, prompts[i].anthropic);
        has(&told, prompts[i].message);
    }
}

/* However much a provider has to say. */
static void a_message_without_end_is_cut_short(void **state)
{
    char message[4096] = "prompt too big, maximum context length is 8192, got 9000 ", body[5000];
    translate_t run;
    relay_span_t text;

    (void)state;
    memset(message + strlen(message), 'x', sizeof(message) - strlen(message) - 1);
    body_of(CHAT, NULL, message, body, sizeof(body));
    translate_open(&run, MESSAGES, CHAT);
    text = relay_translate_error(&run.translation, relay_wire_cstring(body), 400, RELAY_SPAN("r1"));
    translate_has(text, "\"message\":\"" TOO_LONG("9000", "8192") "\"}");
    translate_close(&run);
    translate_open(&run, CHAT, CHAT);
    text = relay_translate_error(&run.translation, relay_wire_cstring(body), 400, RELAY_SPAN("r1"));
    translate_has(text, "xxx\",\"type\":\"invalid_request_error\"");
    translate_close(&run);
}

static void what_only_sounds_alike_is_another_class(void **state)
{
    static const struct {
        unsigned status;
        const char *message;
    } cases[] = {
        {429, "Request too large for model `m` on tokens per minute (TPM): Limit 6000, Requested "
              "10000, please reduce the length of the messages"},
        {400, "max_tokens is too large: 100000. This model supports at most 16384 completion "
              "tokens"},
        {400, "Invalid 'messages[0].content': string too long."},
        {413, "Request too large."},
        {400, "tools: too many"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char bytes[1024];
        told_t told = tell(CHAT, CHAT, cases[i].status,
                           body_of(CHAT, NULL, cases[i].message, bytes, sizeof(bytes)));
        assert_null(strstr(told.text, "context_length_exceeded"));
        assert_int_equal(told.status, cases[i].status);
    }
}

/* ---- streams ---------------------------------------------------------------- */

static void errors_in_streams_are_told_the_same_way(void **state)
{
    static const struct {
        const char *caller;
        const char *upstream;
        const char *text;
        const char *part;
        unsigned status; /* as the provider has it: Relay acts upon it */
    } cases[] = {
        {CHAT, MESSAGES,
         "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\","
         "\"message\":\"Overloaded\"}}\n\n",
         "\"message\":\"Overloaded\",\"type\":\"service_unavailable_error\",\"param\":null,"
         "\"code\":\"server_is_overloaded\"",
         529},
        {RESPONSES, MESSAGES,
         "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"invalid_request_error\","
         "\"message\":\"prompt is too long: 9 tokens > 8 maximum\"}}\n\n",
         "\"error\":{\"code\":\"context_length_exceeded\",\"message\":\"prompt is too long", 400},
        {MESSAGES, CHAT,
         "data: {\"error\":{\"message\":\"This model's maximum context length is 8192 tokens. "
         "However, your messages resulted in 9000 tokens.\",\"type\":\"invalid_request_error\","
         "\"code\":\"context_length_exceeded\"}}\n\n",
         "{\"type\":\"error\",\"error\":{\"type\":\"invalid_request_error\",\"message\":"
         "\"" TOO_LONG("9000", "8192") " (This model's",
         400},
        {MESSAGES, CHAT,
         "data: {\"error\":{\"message\":\"busy\",\"type\":\"server_error\",\"code\":"
         "\"server_is_overloaded\"}}\n\n",
         "{\"type\":\"overloaded_error\",\"message\":\"busy\"}", 503},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        translate_stream_t out;
        stream_check_t check;
        translate_t run;
        translate_open(&run, cases[i].caller, cases[i].upstream);
        out = translate_stream(&run.translation, cases[i].text, &check);
        assert_true(check.errored);
        assert_int_equal(out.status, cases[i].status);
        translate_has(relay_buf_span(&out.output.buf), cases[i].part);
        free(out.output.buf.base);
        translate_close(&run);
    }
}

static void an_empty_arena_gives_nothing(void **state)
{
    relay_span_t text;
    translate_t run;

    (void)state;
    for (size_t left = 0; left < 8; left++) {
        translate_open(&run, MESSAGES, CHAT);
        run.left = left;
        text = relay_translate_error(&run.translation, relay_wire_cstring(classes[0].body), 400,
                                     RELAY_SPAN("r1"));
        assert_true(text.len == 0 || left > 0);
        translate_close(&run);
    }
    assert_true(text.len != 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_class_has_its_status_type_and_code),
        cmocka_unit_test(a_name_may_be_told_beside_the_body),
        cmocka_unit_test(a_key_is_not_shown),
        cmocka_unit_test(x10_context_length_is_one_class),
        cmocka_unit_test(a_message_without_end_is_cut_short),
        cmocka_unit_test(what_only_sounds_alike_is_another_class),
        cmocka_unit_test(errors_in_streams_are_told_the_same_way),
        cmocka_unit_test(an_empty_arena_gives_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
