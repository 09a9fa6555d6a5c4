/*
 * Rules of providers that a request has to be fitted to: blank text (R5), turns of one
 * side (R6), limits (R7), thinking (R8), schemas (R10), cache markers (R13), stop
 * sequences (R17), sampling (R18). Each against every format that it goes to.
 */

#include "codec_support.c"

#include "translate_check.h"

#define GEMINI   "gemini"
#define CONVERSE "bedrock-converse"

enum { PARTS_MAX = 6 };

/* What a body becomes: parts that it must have in this order, what it must not have,
 * and what is said about it. */
typedef struct {
    const char *upstream;
    const char *has[PARTS_MAX];
    const char *lacks[PARTS_MAX];
    const char *notes;
} outcome_t;

static void check_order(relay_span_t out, const char *const *parts)
{
    relay_span_t rest = out;

    for (size_t i = 0; i < PARTS_MAX && parts[i] != NULL; i++) {
        const uint8_t *at = memmem(rest.base, rest.len, parts[i], strlen(parts[i]));
        if (at == NULL) {
            print_error("no %s\nin %.*s\n", parts[i], (int)out.len, (const char *)out.base);
            fail();
        }
        rest = relay_span_from(rest, (size_t)(at - rest.base) + strlen(parts[i]));
    }
}

static void check(const char *caller, relay_target_t target, const char *body,
                  const outcome_t *outcome)
{
    relay_span_t out = {NULL, 0};
    translate_t run;

    translate_open(&run, caller, outcome->upstream);
    run.translation.target = target;
    if (relay_translate_request(&run.translation, relay_wire_cstring(body), &out) !=
        RELAY_ERR_NONE) {
        print_error("%s: %s\n", outcome->upstream, body);
        translate_same(run.translation.error.param, "");
        fail();
    }
    check_order(out, outcome->has);
    for (size_t i = 0; i < PARTS_MAX && outcome->lacks[i] != NULL; i++) {
        if (memmem(out.base, out.len, outcome->lacks[i], strlen(outcome->lacks[i])) != NULL) {
            print_error("%s in %.*s\n", outcome->lacks[i], (int)out.len, (const char *)out.base);
            fail();
        }
    }
    translate_notes(&run.translation, outcome->notes);
    translate_close(&run);
}

static void check_all(const char *caller, relay_target_t target, const char *body,
                      const outcome_t *outcomes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        check(caller, target, body, &outcomes[i]);
    }
}

#define CHECK(caller, target, body, ...)                                                           \
    do {                                                                                           \
        static const outcome_t outcomes[] = {__VA_ARGS__};                                         \
        check_all((caller), (target), (body), outcomes, sizeof(outcomes) / sizeof(outcomes[0]));   \
    } while (0)

static const relay_target_t plain = {0};

#define ASK                    "\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]"
#define CHAT_BODY(members)     "{\"model\":\"m\"," ASK members "}"
#define MESSAGES_BODY(members) "{\"model\":\"m\",\"max_tokens\":4096," ASK members "}"

/* ---- R5 -------------------------------------------------------------------- */

static void r5_blank_text_stays_away_where_it_is_refused(void **state)
{
    (void)state;
    CHECK(CHAT, plain,
          "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\","
          "\"text\":\" \\n\"},{\"type\":\"text\",\"text\":\"hi\"}]}]}",
          {MESSAGES, {"\"content\":[{\"type\":\"text\",\"text\":\"hi\"}]"}, {"\" \\n\""}, ""},
          {CONVERSE, {"\"content\":[{\"text\":\"hi\"}]"}, {"\" \\n\""}, ""},
          {RESPONSES, {"\" \\n\"", "\"hi\""}, {NULL}, ""},
          {GEMINI, {"\" \\n\"", "\"hi\""}, {NULL}, ""});
}

static void r5_content_of_nothing_beside_calls(void **state)
{
    (void)state;
    CHECK(CHAT, plain,
          "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"},{\"role\":"
          "\"assistant\",\"content\":null,\"tool_calls\":[{\"id\":\"c\",\"type\":\"function\","
          "\"function\":{\"name\":\"f\",\"arguments\":\"\"}}]},{\"role\":\"tool\","
          "\"tool_call_id\":\"c\",\"content\":\"\"}]}",
          {MESSAGES,
           {"\"role\":\"assistant\",\"content\":[{\"type\":\"tool_use\",\"id\":\"c\",\"name\":"
            "\"f\",\"input\":{}}]",
            "\"content\":[{\"type\":\"tool_result\",\"tool_use_id\":\"c\"}]"},
           {"\"text\":\"\""},
           ""},
          {CONVERSE,
           {"\"role\":\"assistant\",\"content\":[{\"toolUse\":{\"toolUseId\":\"c\",\"name\":"
            "\"f\",\"input\":{}}}]"},
           {"\"text\":\"\""},
           "changed=messages.tool_calls"},
          {RESPONSES, {"\"function_call\"", "\"arguments\":\"{}\""}, {"\"output_text\""}, ""},
          {GEMINI, {"\"role\":\"model\",\"parts\":[{\"functionCall\":"}, {"\"text\":\"\""}, ""});
}

static void r5_an_empty_turn_goes_and_its_neighbours_are_one(void **state)
{
    (void)state;
    CHECK(CHAT, plain,
          "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"a\"},{\"role\":"
          "\"assistant\",\"content\":\"\"},{\"role\":\"user\",\"content\":\"b\"}]}",
          {MESSAGES,
           {"\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"a\"},{"
            "\"type\":\"text\",\"text\":\"b\"}]}]"},
           {"assistant"},
           ""},
          {CONVERSE,
           {"\"messages\":[{\"role\":\"user\",\"content\":[{\"text\":\"a\"},{\"text\":\"b\"}]}]"},
           {"assistant"},
           ""},
          {GEMINI,
           {"\"contents\":[{\"role\":\"user\",\"parts\":[{\"text\":\"a\"},{\"text\":\"b\"}]}]"},
           {"model\""},
           ""});
}

/* ---- R6 -------------------------------------------------------------------- */

static void r6_neighbours_of_one_side_are_one_turn_with_their_markers(void **state)
{
    (void)state;
    CHECK(CHAT, plain,
          "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\","
          "\"text\":\"a\",\"cache_control\":{\"type\":\"ephemeral\"}}]},{\"role\":\"user\","
          "\"content\":\"b\"}]}",
          {MESSAGES,
           {"\"content\":[{\"type\":\"text\",\"text\":\"a\",\"cache_control\":{\"type\":"
            "\"ephemeral\"}},{\"type\":\"text\",\"text\":\"b\"}]"},
           {NULL},
           ""},
          {CONVERSE,
           {"\"content\":[{\"text\":\"a\"},{\"cachePoint\":{\"type\":\"default\"}},{\"text\":"
            "\"b\"}]"},
           {NULL},
           ""},
          {GEMINI,
           {"\"parts\":[{\"text\":\"a\"},{\"text\":\"b\"}]"},
           {NULL},
           "messages.content.cache_control"},
          {RESPONSES,
           {"\"text\":\"a\"}]},{\"type\":\"message\",\"role\":\"user\""},
           {NULL},
           "messages.content.cache_control"});
}

/* ---- R7 -------------------------------------------------------------------- */

static void r7_of_two_limits_the_smaller_is_the_one_field(void **state)
{
    (void)state;
    CHECK(CHAT, plain, CHAT_BODY(",\"max_tokens\":900,\"max_completion_tokens\":500"),
          {MESSAGES, {"\"max_tokens\":500"}, {"900"}, ""},
          {RESPONSES, {"\"max_output_tokens\":500"}, {"900"}, ""},
          {GEMINI, {"\"maxOutputTokens\":500"}, {"900"}, ""},
          {CONVERSE, {"\"maxTokens\":500"}, {"900"}, ""},
          {CHAT, {"\"max_completion_tokens\":500"}, {"900", "\"max_tokens\""}, ""});
    CHECK(CHAT, ((relay_target_t){.flags = RELAY_TARGET_OLD_LIMIT}),
          CHAT_BODY(",\"max_completion_tokens\":500"),
          {CHAT, {"\"max_tokens\":500"}, {"max_completion_tokens"}, ""});
}

static void r7_where_a_limit_has_to_be_it_is_the_models(void **state)
{
    (void)state;
    CHECK(CHAT, ((relay_target_t){.output_tokens_max = 777}), CHAT_BODY(""),
          {MESSAGES, {"\"max_tokens\":777"}, {NULL}, ""},
          {RESPONSES, {NULL}, {"max_output_tokens"}, ""}, {GEMINI, {NULL}, {"maxOutputTokens"}, ""},
          {CONVERSE, {NULL}, {"maxTokens"}, ""});
}

static void r7_above_the_models_it_is_cut_and_named(void **state)
{
    (void)state;
    CHECK(CHAT, ((relay_target_t){.output_tokens_max = 777}), CHAT_BODY(",\"max_tokens\":900"),
          {MESSAGES, {"\"max_tokens\":777"}, {"900"}, "changed=max_tokens"},
          {RESPONSES, {"\"max_output_tokens\":777"}, {"900"}, "changed=max_tokens"},
          {GEMINI, {"\"maxOutputTokens\":777"}, {"900"}, "changed=max_tokens"},
          {CONVERSE, {"\"maxTokens\":777"}, {"900"}, "changed=max_tokens"});
}

/* ---- R8 -------------------------------------------------------------------- */

static void r8_a_budget_is_within_its_bounds(void **state)
{
    static const relay_target_t target = {.flags = RELAY_TARGET_BUDGET};

    (void)state;
    CHECK(CHAT, target, CHAT_BODY(",\"max_tokens\":1500,\"reasoning_effort\":\"high\""),
          {MESSAGES,
           {"\"max_tokens\":1500", "\"budget_tokens\":1499"},
           {NULL},
           "changed=reasoning_effort"},
          {CONVERSE,
           {"\"maxTokens\":1500", "\"budget_tokens\":1499"},
           {NULL},
           "changed=reasoning_effort"});
    CHECK(CHAT, target, CHAT_BODY(",\"max_tokens\":1000,\"reasoning_effort\":\"high\""),
          {MESSAGES, {"\"max_tokens\":1000"}, {"budget_tokens"}, "reasoning_effort"},
          {CONVERSE, {"\"maxTokens\":1000"}, {"budget_tokens"}, "reasoning_effort"});
}

static void r8_thinking_takes_sampling_away_and_no_forced_tool(void **state)
{
    static const relay_target_t target = {.flags = RELAY_TARGET_BUDGET};

    (void)state;
    CHECK(CHAT, target,
          CHAT_BODY(",\"max_tokens\":9000,\"reasoning_effort\":\"low\",\"temperature\":0.5"),
          {MESSAGES,
           {"\"budget_tokens\":2048"},
           {"\"temperature\""},
           "temperature; changed=reasoning_effort"},
          {CONVERSE,
           {"\"budget_tokens\":2048"},
           {"\"temperature\""},
           "temperature; changed=reasoning_effort"});
    CHECK(CHAT, target,
          CHAT_BODY(",\"max_tokens\":9000,\"reasoning_effort\":\"low\",\"tool_choice\":"
                    "\"required\",\"tools\":[{\"type\":\"function\",\"function\":{\"name\":"
                    "\"f\"}}]"),
          {MESSAGES, {"\"tool_choice\":{\"type\":\"any\"}"}, {"budget_tokens"}, "reasoning_effort"},
          {CONVERSE, {"\"toolChoice\":{\"any\":{}}"}, {"budget_tokens"}, "reasoning_effort"});
}

/* Each effort is itself where there are efforts; a budget only where there are none. */
static void r8_efforts_are_not_lowered(void **state)
{
    static const char *const efforts[] = {"low", "medium", "high", "xhigh", "max"};

    (void)state;
    for (size_t i = 0; i < sizeof(efforts) / sizeof(efforts[0]); i++) {
        char body[256], want[64];
        outcome_t outcome = {MESSAGES, {want}, {"budget_tokens"}, ""};
        snprintf(body, sizeof(body), CHAT_BODY(",\"reasoning_effort\":\"%s\""), efforts[i]);
        snprintf(want, sizeof(want), "\"effort\":\"%s\"", efforts[i]);
        check(CHAT, plain, body, &outcome);
        outcome.upstream = CONVERSE;
        check(CHAT, plain, body, &outcome);
        outcome.upstream = RESPONSES;
        check(CHAT, plain, body, &outcome);
    }
}

/* ---- R10, R11 --------------------------------------------------------------- */

#define TOOL(schema)                                                                               \
    CHAT_BODY(                                                                                     \
        ",\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\",\"parameters\":" schema   \
        "}}]")

static const relay_target_t old_schema = {.flags = RELAY_TARGET_OLD_SCHEMA};

static void r10_what_an_old_dialect_lacks_goes_and_names_stay(void **state)
{
    (void)state;
    CHECK(CHAT, old_schema,
          TOOL("{\"$schema\":\"s\",\"type\":\"object\",\"additionalProperties\":false,"
               "\"properties\":{\"$ref\":{\"type\":\"string\"},\"additionalProperties\":{\"type\":"
               "[\"integer\",\"null\"]},\"list\":{\"type\":\"array\",\"items\":{\"const\":"
               "\"a\"}}}}"),
          {GEMINI,
           {"\"parameters\":{\"type\":\"OBJECT\"", "\"$ref\":{\"type\":\"STRING\"}",
            "\"additionalProperties\":{\"type\":\"INTEGER\",\"nullable\":true}",
            "\"list\":{\"type\":\"ARRAY\",\"items\":{", "\"enum\":[\"a\"]"},
           {"$schema", "\"additionalProperties\":false", "const"},
           "changed=tools"});
}

static void r10_references_are_put_in_their_place(void **state)
{
    (void)state;
    CHECK(
        CHAT, old_schema,
        TOOL("{\"type\":\"object\",\"properties\":{\"a\":{\"$ref\":\"#/$defs/city\"}},\"$defs\":"
             "{\"city\":{\"type\":\"string\",\"description\":\"Where\"}}}"),
        {GEMINI, {"\"a\":{\"type\":\"STRING\",\"description\":\"Where\"}"}, {"$ref", "$defs"}, ""});
    CHECK(CHAT, old_schema,
          TOOL("{\"type\":\"object\",\"properties\":{\"a\":{\"$ref\":\"#/$defs/node\"}},\"$defs\":"
               "{\"node\":{\"type\":\"object\",\"properties\":{\"next\":{\"$ref\":"
               "\"#/$defs/node\"}}}}}"),
          {GEMINI, {"\"a\":{\"type\":\"OBJECT\""}, {"$ref", "$defs"}, "changed=tools"});
}

static void r10_a_result_with_a_reference_is_text(void **state)
{
    (void)state;
    CHECK(CHAT, plain,
          "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"},{\"role\":"
          "\"assistant\",\"tool_calls\":[{\"id\":\"c\",\"type\":\"function\",\"function\":{"
          "\"name\":\"f\",\"arguments\":\"{}\"}}]},{\"role\":\"tool\",\"tool_call_id\":\"c\","
          "\"content\":\"{\\\"$ref\\\":\\\"#/a\\\"}\"}]}",
          {GEMINI, {"\"response\":{\"result\":\"{\\\"$ref\\\":\\\"#/a\\\"}\"}"}, {NULL}, ""});
}

static void r11_a_whole_schema_stays_as_it_is(void **state)
{
#define SCHEMA                                                                                     \
    "{\"type\":\"object\",\"properties\":{\"a\":{\"$ref\":\"#/$defs/b\"},\"c\":{\"const\":1}},"    \
    "\"additionalProperties\":false,\"$defs\":{\"b\":{\"type\":[\"string\",\"null\"]}}}"

    (void)state;
    CHECK(CHAT, plain, TOOL(SCHEMA), {MESSAGES, {"\"input_schema\":" SCHEMA}, {NULL}, ""},
          {RESPONSES, {"\"parameters\":" SCHEMA}, {NULL}, ""},
          {GEMINI, {"\"parametersJsonSchema\":" SCHEMA}, {NULL}, ""},
          {CONVERSE, {"\"inputSchema\":{\"json\":" SCHEMA "}"}, {NULL}, ""});
#undef SCHEMA
}

/* ---- R13 ------------------------------------------------------------------- */

#define MARK ",\"cache_control\":{\"type\":\"ephemeral\",\"ttl\":\"1h\"}"
#define PNG  "iVBORw0KGgoAAAAN"

/* A marker in each of the places that can have one, by itself. */
static const struct {
    const char *caller;
    const char *body;
    const char *named; /* where it does not arrive */
} marked[] = {
    {MESSAGES, MESSAGES_BODY(",\"system\":[{\"type\":\"text\",\"text\":\"be brief\"" MARK "}]"),
     "system.cache_control"},
    {MESSAGES,
     "{\"model\":\"m\",\"max_tokens\":99,\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":"
     "\"text\",\"text\":\"hi\"" MARK "}]}]}",
     "messages.content.cache_control"},
    {MESSAGES,
     "{\"model\":\"m\",\"max_tokens\":99,\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":"
     "\"image\",\"source\":{\"type\":\"base64\",\"media_type\":\"image/png\",\"data\":\"" PNG
     "\"}" MARK "}]}]}",
     "messages.content.cache_control"},
    {MESSAGES,
     "{\"model\":\"m\",\"max_tokens\":99,\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":"
     "\"document\",\"source\":{\"type\":\"text\",\"media_type\":\"text/plain\",\"data\":\"d\"}" MARK
     "}]}]}",
     "messages.content.cache_control"},
    {MESSAGES,
     "{\"model\":\"m\",\"max_tokens\":99,\"messages\":[{\"role\":\"user\",\"content\":\"hi\"},{"
     "\"role\":\"assistant\",\"content\":[{\"type\":\"tool_use\",\"id\":\"c\",\"name\":\"f\","
     "\"input\":{}" MARK "}]},{\"role\":\"user\",\"content\":[{\"type\":\"tool_result\","
     "\"tool_use_id\":\"c\",\"content\":\"ok\"}]}],\"tools\":[{\"name\":\"f\",\"input_schema\":{"
     "\"type\":\"object\"}}]}",
     "messages.content.cache_control"},
    {MESSAGES,
     "{\"model\":\"m\",\"max_tokens\":99,\"messages\":[{\"role\":\"user\",\"content\":\"hi\"},{"
     "\"role\":\"assistant\",\"content\":[{\"type\":\"tool_use\",\"id\":\"c\",\"name\":\"f\","
     "\"input\":{}}]},{\"role\":\"user\",\"content\":[{\"type\":\"tool_result\",\"tool_use_id\":"
     "\"c\",\"content\":\"ok\"" MARK "}]}],\"tools\":[{\"name\":\"f\",\"input_schema\":{\"type\":"
     "\"object\"}}]}",
     "messages.content.cache_control"},
    {MESSAGES,
     "{\"model\":\"m\",\"max_tokens\":99,\"messages\":[{\"role\":\"user\",\"content\":\"hi\"},{"
     "\"role\":\"assistant\",\"content\":[{\"type\":\"tool_use\",\"id\":\"c\",\"name\":\"f\","
     "\"input\":{}}]},{\"role\":\"user\",\"content\":[{\"type\":\"tool_result\",\"tool_use_id\":"
     "\"c\",\"content\":[{\"type\":\"text\",\"text\":\"ok\"" MARK "}]}]}],\"tools\":[{\"name\":"
     "\"f\",\"input_schema\":{\"type\":\"object\"}}]}",
     "messages.content.content.cache_control"},
    {MESSAGES,
     MESSAGES_BODY(",\"tools\":[{\"name\":\"f\",\"input_schema\":{\"type\":\"object\"}" MARK "}]"),
     "tools.cache_control"},
    {CHAT,
     "{\"model\":\"m\",\"messages\":[{\"role\":\"system\",\"content\":[{\"type\":\"text\","
     "\"text\":\"be brief\"" MARK "}]},{\"role\":\"user\",\"content\":\"hi\"}]}",
     "messages.content.cache_control"},
    {CHAT,
     "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":"
     "\"hi\"" MARK "}]}]}",
     "messages.content.cache_control"},
    {CHAT,
     "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"image_url\","
     "\"image_url\":{\"url\":\"data:image/png;base64," PNG "\"}" MARK "}]}]}",
     "messages.content.cache_control"},
    {CHAT,
     "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"},{\"role\":"
     "\"assistant\",\"tool_calls\":[{\"id\":\"c\",\"type\":\"function\",\"function\":{\"name\":"
     "\"f\",\"arguments\":\"{}\"}}]},{\"role\":\"tool\",\"tool_call_id\":\"c\",\"content\":[{"
     "\"type\":\"text\",\"text\":\"ok\"" MARK "}]}],\"tools\":[{\"type\":\"function\","
     "\"function\":{\"name\":\"f\"}}]}",
     "messages.content.cache_control"},
    {CHAT, CHAT_BODY(",\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\"}" MARK "}]"),
     "tools.cache_control"},
};

static void r13_a_marker_arrives_or_is_named_wherever_it_is(void **state)
{
    static const struct {
        const char *upstream;
        const char *form; /* NULL: it has none */
    } forms[] = {
        {MESSAGES, "\"cache_control\":{\"type\":\"ephemeral\",\"ttl\":\"1h\"}"},
        {CONVERSE, "{\"cachePoint\":{\"type\":\"default\",\"ttl\":\"1h\"}}"},
        {CHAT, NULL},
        {RESPONSES, NULL},
        {GEMINI, NULL},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(marked) / sizeof(marked[0]); i++) {
        for (size_t j = 0; j < sizeof(forms) / sizeof(forms[0]); j++) {
            bool own = strcmp(marked[i].caller, forms[j].upstream) == 0;
            outcome_t outcome = {forms[j].upstream, {forms[j].form}, {NULL}, ""};
            if (!own) {
                outcome.lacks[0] = forms[j].form == NULL ? "cache" : NULL;
                outcome.notes = forms[j].form == NULL ? marked[i].named : "";
                check(marked[i].caller, plain, marked[i].body, &outcome);
            }
        }
    }
}

/* ---- R17 ------------------------------------------------------------------- */

static void r17_one_or_several_both_ways(void **state)
{
    (void)state;
    CHECK(CHAT, plain, CHAT_BODY(",\"stop\":\"a\""),
          {MESSAGES, {"\"stop_sequences\":[\"a\"]"}, {NULL}, ""},
          {GEMINI, {"\"stopSequences\":[\"a\"]"}, {NULL}, ""},
          {CONVERSE, {"\"stopSequences\":[\"a\"]"}, {NULL}, ""},
          {CHAT, {"\"stop\":[\"a\"]"}, {NULL}, ""});
    CHECK(CHAT, plain, CHAT_BODY(",\"stop\":[\"a\",\"b\"]"),
          {MESSAGES, {"\"stop_sequences\":[\"a\",\"b\"]"}, {NULL}, ""},
          {GEMINI, {"\"stopSequences\":[\"a\",\"b\"]"}, {NULL}, ""},
          {CONVERSE, {"\"stopSequences\":[\"a\",\"b\"]"}, {NULL}, ""});
    CHECK(MESSAGES, plain, MESSAGES_BODY(",\"stop_sequences\":[\"a\",\"b\"]"),
          {CHAT, {"\"stop\":[\"a\",\"b\"]"}, {NULL}, ""},
          {GEMINI, {"\"stopSequences\":[\"a\",\"b\"]"}, {NULL}, ""});
    CHECK(GEMINI, plain,
          "{\"contents\":[{\"parts\":[{\"text\":\"hi\"}]}],\"generationConfig\":{"
          "\"stopSequences\":[\"a\",\"b\"]}}",
          {CHAT, {"\"stop\":[\"a\",\"b\"]"}, {NULL}, ""},
          {MESSAGES, {"\"stop_sequences\":[\"a\",\"b\"]"}, {NULL}, ""});
}

static void r17_a_blank_one_goes_where_it_is_refused(void **state)
{
    (void)state;
    CHECK(CHAT, plain, CHAT_BODY(",\"stop\":[\"\\n\",\"b\"]"),
          {MESSAGES, {"\"stop_sequences\":[\"b\"]"}, {NULL}, "changed=stop"},
          {CONVERSE, {"\"stopSequences\":[\"b\"]"}, {NULL}, "changed=stop"},
          {GEMINI, {"\"stopSequences\":[\"\\n\",\"b\"]"}, {NULL}, ""},
          {CHAT, {"\"stop\":[\"\\n\",\"b\"]"}, {NULL}, ""});
}

static void r17_more_than_there_may_be_are_refused(void **state)
{
    static const char *const five =
        MESSAGES_BODY(",\"stop_sequences\":[\"a\",\"b\",\"c\",\"d\",\"e\"]");
    static const char *const six =
        MESSAGES_BODY(",\"stop_sequences\":[\"a\",\"b\",\"c\",\"d\",\"e\",\"f\"]");

    (void)state;
    translate_refused(MESSAGES, CHAT, five, RELAY_ERR_INVALID_FIELD, "stop_sequences", "4");
    translate_refused(MESSAGES, RESPONSES, five, RELAY_ERR_INVALID_FIELD, "stop_sequences", "");
    translate_refused(MESSAGES, GEMINI, six, RELAY_ERR_INVALID_FIELD, "stop_sequences", "5");
    CHECK(MESSAGES, plain, five, {GEMINI, {"\"e\"]"}, {NULL}, ""},
          {CONVERSE, {"\"e\"]"}, {NULL}, ""});
}

/* What is no list must not be read as one. */
static void r17_an_object_is_no_list(void **state)
{
    (void)state;
    translate_refused(CHAT, MESSAGES, CHAT_BODY(",\"stop\":{\"a\":1}"), RELAY_ERR_INVALID_FIELD,
                      "stop", "list");
    translate_refused(MESSAGES, CHAT, MESSAGES_BODY(",\"stop_sequences\":{\"a\":1}"),
                      RELAY_ERR_INVALID_FIELD, "stop_sequences", "list");
    translate_refused(MESSAGES, CHAT, MESSAGES_BODY(",\"tools\":{\"a\":1}"),
                      RELAY_ERR_INVALID_FIELD, "tools", "list");
    translate_refused(CHAT, MESSAGES,
                      "{\"messages\":[{\"role\":\"assistant\",\"tool_calls\":{\"a\":1}}]}",
                      RELAY_ERR_INVALID_FIELD, "messages[0].tool_calls", "list");
}

/* ---- R18 ------------------------------------------------------------------- */

/* What becomes of each in each format that has not all of them: 'y' it arrives, 'd' it is
 * dropped by name, 'r' it is refused by name. */
static void r18_what_sampling_becomes_in_every_format(void **state)
{
    static const char *const upstreams[] = {CHAT, RESPONSES, MESSAGES, GEMINI, CONVERSE};
    static const struct {
        const char *name;
        const char *value;
        relay_field_t field;
        const char *becomes;
    } rows[] = {
        {"temperature", "0.5", RELAY_FIELD_TEMPERATURE, "yyyyy"},
        {"top_p", "0.5", RELAY_FIELD_TOP_P, "yyyyy"},
        {"top_k", "40", RELAY_FIELD_TOP_K, "yryyy"},
        {"frequency_penalty", "0.5", RELAY_FIELD_FREQUENCY_PENALTY, "yrryr"},
        {"presence_penalty", "0.5", RELAY_FIELD_PRESENCE_PENALTY, "yrryr"},
        {"logit_bias", "{\"1\":2}", RELAY_FIELD_LOGIT_BIAS, "yrrrr"},
        {"seed", "7", RELAY_FIELD_SEED, "yddyd"},
        {"service_tier", "\"flex\"", RELAY_FIELD_SERVICE_TIER, "yydyy"},
        {"user", "\"ann\"", RELAY_FIELD_USER, "yyydd"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char body[256];
        snprintf(body, sizeof(body), CHAT_BODY(",\"%s\":%s"), rows[i].name, rows[i].value);
        for (size_t j = 0; j < sizeof(upstreams) / sizeof(upstreams[0]); j++) {
            char becomes = rows[i].becomes[j];
            outcome_t outcome = {upstreams[j], {NULL}, {NULL}, becomes == 'd' ? rows[i].name : ""};
            if (becomes == 'r') {
                translate_refused(CHAT, upstreams[j], body, RELAY_ERR_INVALID_FIELD, rows[i].name,
                                  "");
            } else {
                outcome.has[0] = becomes == 'y' ? rows[i].value : NULL;
                outcome.lacks[0] = becomes == 'd' ? rows[i].value : NULL;
                check(CHAT, plain, body, &outcome);
            }
            /* the catalog's word goes before the format's */
            outcome = (outcome_t){upstreams[j], {NULL}, {rows[i].value}, rows[i].name};
            check(CHAT, (relay_target_t){.refused = RELAY_REFUSED(rows[i].field)}, body, &outcome);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(r5_blank_text_stays_away_where_it_is_refused),
        cmocka_unit_test(r5_content_of_nothing_beside_calls),
        cmocka_unit_test(r5_an_empty_turn_goes_and_its_neighbours_are_one),
        cmocka_unit_test(r6_neighbours_of_one_side_are_one_turn_with_their_markers),
        cmocka_unit_test(r7_of_two_limits_the_smaller_is_the_one_field),
        cmocka_unit_test(r7_where_a_limit_has_to_be_it_is_the_models),
        cmocka_unit_test(r7_above_the_models_it_is_cut_and_named),
        cmocka_unit_test(r8_a_budget_is_within_its_bounds),
        cmocka_unit_test(r8_thinking_takes_sampling_away_and_no_forced_tool),
        cmocka_unit_test(r8_efforts_are_not_lowered),
        cmocka_unit_test(r10_what_an_old_dialect_lacks_goes_and_names_stay),
        cmocka_unit_test(r10_references_are_put_in_their_place),
        cmocka_unit_test(r10_a_result_with_a_reference_is_text),
        cmocka_unit_test(r11_a_whole_schema_stays_as_it_is),
        cmocka_unit_test(r13_a_marker_arrives_or_is_named_wherever_it_is),
        cmocka_unit_test(r17_one_or_several_both_ways),
        cmocka_unit_test(r17_a_blank_one_goes_where_it_is_refused),
        cmocka_unit_test(r17_more_than_there_may_be_are_refused),
        cmocka_unit_test(r17_an_object_is_no_list),
        cmocka_unit_test(r18_what_sampling_becomes_in_every_format),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
