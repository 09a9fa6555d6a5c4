/* Requests and whole answers between formats: refusals, notes, pairing, errors. */

#include "translate.c"

#include "translate_check.h"

#define HI "\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]"

static const relay_target_t plain = {0};

static void a_body_has_to_be_an_object_of_json(void **state)
{
    (void)state;
    translate_refused(CHAT, MESSAGES, "{\"model\":", RELAY_ERR_INVALID_JSON, "", "at byte 9");
    translate_refused(CHAT, MESSAGES, "[1]", RELAY_ERR_INVALID_JSON, "", "must be a JSON object");
}

static void an_error_names_the_field_in_the_callers_words(void **state)
{
    (void)state;
    translate_refused(CHAT, MESSAGES, "{\"model\":\"m\"}", RELAY_ERR_MISSING_FIELD, "messages", "");
    translate_refused(CHAT, MESSAGES,
                      "{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\"},"
                      "{\"type\":\"text\",\"text\":1}]}]}",
                      RELAY_ERR_MISSING_FIELD, "messages[0].content[0].text", "");
    translate_refused(CHAT, MESSAGES, "{\"messages\":[{\"role\":\"owner\",\"content\":\"x\"}]}",
                      RELAY_ERR_INVALID_FIELD, "messages[0].role", "supported roles");
    translate_refused(MESSAGES, CHAT,
                      "{\"max_tokens\":1,\"messages\":[{\"role\":\"user\",\"content\":\"x\"},"
                      "{\"role\":\"owner\",\"content\":\"x\"}]}",
                      RELAY_ERR_INVALID_FIELD, "messages.1.role",
                      "Input should be 'user' or 'assistant'");
    translate_refused(MESSAGES, CHAT,
                      "{\"max_tokens\":1,\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":"
                      "\"image\",\"source\":{\"type\":\"base64\",\"media_type\":\"image/png\","
                      "\"data\":\"bm90IGFuIGltYWdl\"}}]}]}",
                      RELAY_ERR_INVALID_FIELD, "messages.0.content.0.source.data", "not an image");
    translate_refused(MESSAGES, CHAT, "{" HI "}", RELAY_ERR_MISSING_FIELD, "max_tokens", "");
}

static void what_would_change_the_answer_is_refused(void **state)
{
    static const struct {
        const char *field;
        const char *param;
    } cases[] = {
        {"\"n\":2", "n"},
        {"\"logprobs\":true", "logprobs"},
        {"\"frequency_penalty\":0.1", "frequency_penalty"},
        {"\"presence_penalty\":-1", "presence_penalty"},
        {"\"logit_bias\":{\"1\":2}", "logit_bias"},
        {"\"temperature\":1.5", "temperature"},
        {"\"modalities\":[\"text\",\"audio\"]", "modalities"},
        {"\"prediction\":{\"type\":\"content\"}", "prediction"},
        {"\"web_search_options\":{\"a\":1}", "web_search_options"},
        {"\"tools\":[{\"type\":\"web_search\"}]", "tools[0].type"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char body[512];
        snprintf(body, sizeof(body), "{\"model\":\"m\"," HI ",%s}", cases[i].field);
        translate_refused(CHAT, MESSAGES, body, RELAY_ERR_INVALID_FIELD, cases[i].param,
                          "provider of this model");
    }
    translate_refused(MESSAGES, CHAT, "{\"max_tokens\":1,\"top_k\":3," HI "}",
                      RELAY_ERR_INVALID_FIELD, "top_k", "Extra inputs are not permitted");
    translate_refused(MESSAGES, CHAT, "{\"max_tokens\":1,\"mcp_servers\":[{\"a\":1}]," HI "}",
                      RELAY_ERR_INVALID_FIELD, "mcp_servers", "Extra inputs are not permitted");
    translate_refused(MESSAGES, CHAT, "{\"max_tokens\":0," HI "}", RELAY_ERR_INVALID_FIELD,
                      "max_tokens", "0 is not supported");
}

static void what_asks_for_nothing_is_no_loss(void **state)
{
    (void)state;
    translate_request(CHAT, MESSAGES, plain,
                      "{\"model\":\"m\",\"n\":1,\"logprobs\":false,\"presence_penalty\":0.0,"
                      "\"seed\":null,\"logit_bias\":{},\"modalities\":[\"text\"],"
                      "\"tools\":[],\"tool_choice\":\"auto\",\"prediction\":null," HI "}",
                      "{\"model\":\"m\",\"max_tokens\":32000,\"messages\":[{\"role\":\"user\","
                      "\"content\":[{\"type\":\"text\",\"text\":\"hi\"}]}]}",
                      "");
}

static void hints_are_dropped_by_name_each_once(void **state)
{
    (void)state;
    translate_request(CHAT, MESSAGES, plain,
                      "{\"model\":\"m\",\"seed\":1,\"store\":true,\"verbosity\":\"low\","
                      "\"metadata\":{\"a\":\"b\"},\"service_tier\":\"flex\",\"x y\":1,\"messages\":"
                      "[{\"role\":\"user\",\"name\":\"n\",\"content\":\"hi\"},{\"role\":\"user\","
                      "\"name\":\"o\",\"content\":\"ho\"}]}",
                      "{\"model\":\"m\",\"max_tokens\":32000,\"messages\":[{\"role\":\"user\","
                      "\"content\":[{\"type\":\"text\",\"text\":\"hi\"},{\"type\":\"text\","
                      "\"text\":\"ho\"}]}]}",
                      "messages.name, seed, verbosity, metadata, service_tier, store, x?y");
}

/* The last error as its caller gets it. */
static relay_span_t relay_error_body(translate_t *run)
{
    static uint8_t bytes[1024];
    relay_buf_t out = relay_buf(bytes, sizeof(bytes));

    run->translation.caller->wire->dialect->error(&out, &run->translation.error, RELAY_SPAN("r1"));
    return relay_buf_span(&out);
}

static void strict_refuses_what_would_be_dropped(void **state)
{
    translate_t run;
    relay_span_t out;

    (void)state;
    translate_open(&run, CHAT, MESSAGES);
    run.translation.strict = true;
    assert_int_equal(relay_translate_request(
                         &run.translation, RELAY_SPAN("{\"seed\":1,\"store\":true," HI "}"), &out),
                     RELAY_ERR_INVALID_FIELD);
    translate_same(run.translation.error.param, "seed");
    translate_same(run.translation.error.message,
                   "Not supported by the provider of this model: seed, store");
    translate_close(&run);

    /* clients of Messages take the field out of this sentence and try without it */
    translate_open(&run, MESSAGES, CHAT);
    run.translation.strict = true;
    assert_int_equal(
        relay_translate_request(&run.translation,
                                RELAY_SPAN("{\"model\":\"m\",\"max_tokens\":1,"
                                           "\"context_management\":{\"edits\":[{\"type\":\"x\"}]},"
                                           "\"inference_geo\":\"us\"," HI "}"),
                                &out),
        RELAY_ERR_INVALID_FIELD);
    translate_same(run.translation.error.message,
                   "context_management: Extra inputs are not permitted; inference_geo: Extra "
                   "inputs are not permitted");
    translate_same(relay_error_body(&run), "{\"type\":\"error\",\"error\":{\"type\":"
                                           "\"invalid_request_error\",\"message\":"
                                           "\"context_management: Extra inputs are not permitted; "
                                           "inference_geo: Extra inputs are not permitted\"},"
                                           "\"request_id\":\"r1\"}");
    translate_close(&run);

    translate_open(&run, MESSAGES, CHAT);
    assert_int_equal(relay_translate_request(
                         &run.translation,
                         RELAY_SPAN("{\"model\":\"m\",\"max_tokens\":1,\"messages\":[{\"role\":"
                                    "\"user\",\"content\":\"hi\"},{\"role\":\"robot\",\"content\":"
                                    "\"hi\"}]}"),
                         &out),
                     RELAY_ERR_INVALID_FIELD);
    translate_has(relay_error_body(&run),
                  "\"messages.1.role: Input should be 'user' or 'assistant'\"");
    translate_close(&run);

    /* a change of form is no loss */
    translate_open(&run, CHAT, MESSAGES);
    run.translation.strict = true;
    assert_int_equal(relay_translate_request(
                         &run.translation,
                         RELAY_SPAN("{\"response_format\":{\"type\":\"json_object\"}," HI "}"),
                         &out),
                     RELAY_ERR_NONE);
    translate_notes(&run.translation, "changed=response_format");
    translate_close(&run);
}

#define CALL(id)                                                                                   \
    "{\"role\":\"assistant\",\"tool_calls\":[{\"id\":\"" id                                        \
    "\",\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":\"\"}}]}"
#define RESULT(id) "{\"role\":\"tool\",\"tool_call_id\":\"" id "\",\"content\":\"r\"}"

static void calls_and_results_come_in_pairs(void **state)
{
    (void)state;
    translate_refused(CHAT, MESSAGES, "{\"messages\":[" CALL("a") "]}", RELAY_ERR_INVALID_FIELD,
                      "messages[0]", "'a' has no result");
    translate_refused(CHAT, MESSAGES, "{\"messages\":[" RESULT("b") "]}", RELAY_ERR_INVALID_FIELD,
                      "messages[0]", "'b' has no call");
    translate_refused(CHAT, MESSAGES,
                      "{\"messages\":[" CALL("a") "," RESULT("a") "," RESULT("a") "]}",
                      RELAY_ERR_INVALID_FIELD, "messages[2]", "'a' has no call");
    /* an id that is used again pairs with the next result */
    translate_request(
        CHAT, MESSAGES, plain,
        "{\"model\":\"m\",\"messages\":[" CALL("a") "," RESULT("a") "," CALL("a") "," RESULT(
            "a") "]}",
        "{\"model\":\"m\",\"max_tokens\":32000,\"messages\":["
        "{\"role\":\"assistant\",\"content\":[{\"type\":\"tool_use\",\"id\":\"a\",\"name\":\"f\","
        "\"input\":{}}]},{\"role\":\"user\",\"content\":[{\"type\":\"tool_result\","
        "\"tool_use_id\":\"a\",\"content\":[{\"type\":\"text\",\"text\":\"r\"}]}]},"
        "{\"role\":\"assistant\",\"content\":[{\"type\":\"tool_use\",\"id\":\"a\",\"name\":\"f\","
        "\"input\":{}}]},{\"role\":\"user\",\"content\":[{\"type\":\"tool_result\","
        "\"tool_use_id\":\"a\",\"content\":[{\"type\":\"text\",\"text\":\"r\"}]}]}]}",
        "");
}

static void an_arena_that_is_empty_is_an_error(void **state)
{
    static const char body[] =
        "{\"model\":\"m\",\"seed\":1,\"stop\":[\"a\"],\"tools\":[{\"type\":\"function\","
        "\"function\":{\"name\":\"f.g\",\"parameters\":{}}}],\"messages\":[" CALL(
            "a\\n") "," RESULT("a\\n") ",{\"role\":\"user\",\"content\":[{\"type\":\"image_url\","
                                       "\"image_url\":"
                                       "{\"url\":\"data:image\\/png;base64,iVBORw0KGgo=\"}}]}]}";
    bool good = false;

    (void)state;
    for (size_t left = 0; !good; left++) {
        translate_t run;
        relay_span_t out;
        translate_open(&run, CHAT, MESSAGES);
        run.left = left;
        good = relay_translate_request(&run.translation, relay_wire_cstring(body), &out) ==
               RELAY_ERR_NONE;
        assert_true(good || run.translation.error.code == RELAY_ERR_INTERNAL);
        assert_true(left < 200);
        translate_close(&run);
    }
}

static void a_failure_behind_a_good_status_is_one(void **state)
{
    static const struct {
        const char *upstream;
        const char *body;
        relay_error_code_t code;
        const char *message;
    } cases[] = {
        {CHAT, "{\"error\":{\"message\":\"no\\ncredit\",\"code\":402}}", RELAY_ERR_UPSTREAM_ERROR,
         "no\ncredit"},
        {MESSAGES, "{\"type\":\"error\",\"error\":{\"type\":\"api_error\",\"message\":\"bad\"}}",
         RELAY_ERR_UPSTREAM_ERROR, "bad"},
        {CHAT, "{\"choices\":[]}", RELAY_ERR_UPSTREAM_INVALID,
         "The provider's answer has no choices."},
        {MESSAGES, "{\"id\":1}", RELAY_ERR_UPSTREAM_INVALID,
         "The provider's answer has no content."},
        {MESSAGES, "<html>", RELAY_ERR_UPSTREAM_INVALID,
         "The provider's answer is not valid JSON."},
        {MESSAGES, "3", RELAY_ERR_UPSTREAM_INVALID, "The provider's answer is no object."},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        translate_t run;
        relay_span_t out;
        translate_open(&run, strcmp(cases[i].upstream, CHAT) == 0 ? MESSAGES : CHAT,
                       cases[i].upstream);
        assert_int_equal(
            relay_translate_response(&run.translation, relay_wire_cstring(cases[i].body), &out),
            cases[i].code);
        translate_same(run.translation.error.message, cases[i].message);
        translate_close(&run);
    }
}

static void errors_keep_status_and_message(void **state)
{
    translate_t run;

    (void)state;
    translate_open(&run, CHAT, MESSAGES);
    translate_same(relay_translate_error(
                       &run.translation,
                       RELAY_SPAN("{\"type\":\"error\",\"error\":{\"type\":\"rate_limit_error\","
                                  "\"message\":\"slow \\\"down\\\"\"}}"),
                       429, RELAY_SPAN("r1")),
                   "{\"error\":{\"message\":\"slow \\\"down\\\"\",\"type\":\"rate_limit_error\","
                   "\"param\":null,\"code\":\"rate_limit_exceeded\"}}");
    translate_close(&run);
    translate_open(&run, MESSAGES, CHAT);
    translate_same(relay_translate_error(&run.translation, RELAY_SPAN("<html>502</html>"), 529,
                                         RELAY_SPAN("r1")),
                   "{\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":"
                   "\"The provider is overloaded. Try again later.\"},\"request_id\":\"r1\"}");
    translate_close(&run);
}

static void many_values_are_read_in_a_second_attempt(void **state)
{
    enum { VALUES = 3000 };
    size_t size = 2 * VALUES + 256;
    char *body = malloc(size);
    translate_t run;
    relay_span_t out;
    int at;

    (void)state;
    assert_non_null(body);
    at = snprintf(body, size, "{\"model\":\"m\",\"store\":[0");
    for (size_t i = 0; i < VALUES; i++) {
        at += snprintf(body + at, size - (size_t)at, ",1");
    }
    snprintf(body + at, size - (size_t)at, "]," HI "}");
    translate_open(&run, CHAT, MESSAGES);
    assert_int_equal(relay_translate_request(&run.translation, relay_wire_cstring(body), &out),
                     RELAY_ERR_NONE);
    translate_notes(&run.translation, "store");
    translate_close(&run);
    free(body);
}

/* ---- what the target does not take --------------------------------------- */

#define REFUSED(name) RELAY_REFUSED(RELAY_FIELD_##name)

/* Each field alone, in a format that has it, to the same format and to another. */
static void r18_what_the_target_refuses_is_left_out(void **state)
{
    static const struct {
        const char *caller;
        const char *member;
        uint64_t refused;
        const char *notes;
    } cases[] = {
        {CHAT, "\"temperature\":0.5", REFUSED(TEMPERATURE), "temperature"},
        {CHAT, "\"top_p\":0.5", REFUSED(TOP_P), "top_p"},
        {MESSAGES, "\"top_k\":5", REFUSED(TOP_K), "top_k"},
        {CHAT, "\"frequency_penalty\":1", REFUSED(FREQUENCY_PENALTY), "frequency_penalty"},
        {CHAT, "\"presence_penalty\":1", REFUSED(PRESENCE_PENALTY), "presence_penalty"},
        {CHAT, "\"logit_bias\":{\"1\":2}", REFUSED(LOGIT_BIAS), "logit_bias"},
        {CHAT, "\"seed\":7", REFUSED(SEED), "seed"},
        {CHAT, "\"logprobs\":true", REFUSED(LOGPROBS), "logprobs"},
        {CHAT, "\"top_logprobs\":2", REFUSED(TOP_LOGPROBS), "top_logprobs"},
        {CHAT, "\"metadata\":{\"a\":\"b\"}", REFUSED(METADATA), "metadata"},
        {CHAT, "\"verbosity\":\"low\"", REFUSED(VERBOSITY), "verbosity"},
        {CHAT, "\"user\":\"u\"", REFUSED(USER), "user"},
        {CHAT, "\"service_tier\":\"flex\"", REFUSED(SERVICE_TIER), "service_tier"},
        {CHAT, "\"stop\":[\"a\",\"b\"]", REFUSED(STOP), "stop"},
        {CHAT, "\"reasoning_effort\":\"low\"", REFUSED(EFFORT), "reasoning_effort"},
        {MESSAGES, "\"thinking\":{\"type\":\"enabled\",\"budget_tokens\":1024}",
         REFUSED(THINKING) | REFUSED(EFFORT), "thinking"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char body[512], name[64];
        relay_target_t target = {.refused = cases[i].refused};
        translate_t run;
        relay_span_t out;
        snprintf(body, sizeof(body), "{\"model\":\"m\",\"max_tokens\":32000," HI ",%s}",
                 cases[i].member);
        snprintf(name, sizeof(name), "%.*s", (int)strcspn(cases[i].member, ":") + 1,
                 cases[i].member);
        for (size_t refused = 0; refused < 2; refused++) {
            translate_open(&run, cases[i].caller, cases[i].caller);
            run.translation.target = refused != 0 ? target : plain;
            assert_int_equal(
                relay_translate_request(&run.translation, relay_wire_cstring(body), &out),
                RELAY_ERR_NONE);
            if ((memmem(out.base, out.len, name, strlen(name)) == NULL) != (refused != 0)) {
                print_error("%s in %.*s\n", name, (int)out.len, (const char *)out.base);
                fail();
            }
            translate_notes(&run.translation, refused != 0 ? cases[i].notes : "");
            translate_close(&run);
        }
        translate_open(&run, cases[i].caller, cases[i].caller);
        run.translation.target = target;
        run.translation.strict = true;
        assert_int_equal(relay_translate_request(&run.translation, relay_wire_cstring(body), &out),
                         RELAY_ERR_INVALID_FIELD);
        translate_same(run.translation.error.param, cases[i].notes);
        translate_close(&run);
    }
}

static void parallel_calls_may_be_refused(void **state)
{
    relay_target_t target = {.refused = REFUSED(PARALLEL)};

    (void)state;
    translate_request(CHAT, CHAT, target,
                      "{\"model\":\"m\"," HI ",\"parallel_tool_calls\":false,\"tools\":[{\"type\":"
                      "\"function\",\"function\":{\"name\":\"f\"}}]}",
                      "{\"model\":\"m\"," HI
                      ",\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\"}}]}",
                      "parallel_tool_calls");
}

/* To a model that does not think, "do not think" is no loss. */
static void no_thinking_is_what_it_does(void **state)
{
    relay_target_t target = {.refused = REFUSED(EFFORT) | REFUSED(THINKING)};

    (void)state;
    translate_request(CHAT, CHAT, target, "{\"model\":\"m\"," HI ",\"reasoning_effort\":\"none\"}",
                      "{\"model\":\"m\"," HI "}", "");
    translate_request(MESSAGES, CHAT, target,
                      "{\"model\":\"m\",\"max_tokens\":9," HI
                      ",\"thinking\":{\"type\":\"disabled\"}}",
                      "{\"model\":\"m\"," HI ",\"max_completion_tokens\":9}", "");
}

static void efforts_become_ones_that_the_target_knows(void **state)
{
    enum { LOW = 1 << RELAY_EFFORT_LOW, HIGH = 1 << RELAY_EFFORT_HIGH };
    static const struct {
        unsigned efforts;
        relay_effort_t asked;
        relay_effort_t sent;
    } cases[] = {
        {0, RELAY_EFFORT_XHIGH, RELAY_EFFORT_XHIGH},
        {LOW | HIGH, RELAY_EFFORT_UNSET, RELAY_EFFORT_UNSET},
        {LOW | HIGH, RELAY_EFFORT_NONE, RELAY_EFFORT_LOW},
        {LOW | HIGH, RELAY_EFFORT_MINIMAL, RELAY_EFFORT_LOW},
        {LOW | HIGH, RELAY_EFFORT_LOW, RELAY_EFFORT_LOW},
        {LOW | HIGH, RELAY_EFFORT_MEDIUM, RELAY_EFFORT_LOW},
        {LOW | HIGH, RELAY_EFFORT_MAX, RELAY_EFFORT_HIGH},
        {HIGH, RELAY_EFFORT_LOW, RELAY_EFFORT_HIGH},
        {1 << RELAY_EFFORT_NONE | HIGH, RELAY_EFFORT_NONE, RELAY_EFFORT_NONE},
        {1 << RELAY_EFFORT_NONE | HIGH, RELAY_EFFORT_LOW, RELAY_EFFORT_HIGH},
        {1 << RELAY_EFFORT_NONE, RELAY_EFFORT_LOW, RELAY_EFFORT_LOW},
    };
    relay_target_t target = {.efforts = LOW | HIGH};
    const char *body = "{\"model\":\"m\"," HI ",\"reasoning_effort\":\"xhigh\"}";

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        relay_target_t some = {.efforts = cases[i].efforts};
        assert_int_equal(relay_target_effort(&some, cases[i].asked), cases[i].sent);
    }
    translate_request(CHAT, CHAT, target, body,
                      "{\"model\":\"m\"," HI ",\"reasoning_effort\":\"high\"}",
                      "changed=reasoning_effort");
    target.flags = RELAY_TARGET_BUDGET;
    translate_request(CHAT, CHAT, target, body, body, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_body_has_to_be_an_object_of_json),
        cmocka_unit_test(an_error_names_the_field_in_the_callers_words),
        cmocka_unit_test(what_would_change_the_answer_is_refused),
        cmocka_unit_test(what_asks_for_nothing_is_no_loss),
        cmocka_unit_test(hints_are_dropped_by_name_each_once),
        cmocka_unit_test(strict_refuses_what_would_be_dropped),
        cmocka_unit_test(calls_and_results_come_in_pairs),
        cmocka_unit_test(an_arena_that_is_empty_is_an_error),
        cmocka_unit_test(a_failure_behind_a_good_status_is_one),
        cmocka_unit_test(errors_keep_status_and_message),
        cmocka_unit_test(many_values_are_read_in_a_second_attempt),
        cmocka_unit_test(r18_what_the_target_refuses_is_left_out),
        cmocka_unit_test(parallel_calls_may_be_refused),
        cmocka_unit_test(no_thinking_is_what_it_does),
        cmocka_unit_test(efforts_become_ones_that_the_target_knows),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
