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
                      RELAY_ERR_INVALID_FIELD, "top_k", "not supported");
    translate_refused(MESSAGES, CHAT, "{\"max_tokens\":1,\"mcp_servers\":[{\"a\":1}]," HI "}",
                      RELAY_ERR_INVALID_FIELD, "mcp_servers", "not supported");
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
                      "{\"model\":\"m\",\"max_tokens\":4096,\"messages\":[{\"role\":\"user\","
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
                      "{\"model\":\"m\",\"max_tokens\":4096,\"messages\":[{\"role\":\"user\","
                      "\"content\":[{\"type\":\"text\",\"text\":\"hi\"},{\"type\":\"text\","
                      "\"text\":\"ho\"}]}]}",
                      "messages.name, seed, verbosity, metadata, service_tier, store, x?y");
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
        "{\"model\":\"m\",\"max_tokens\":4096,\"messages\":["
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
                   "\"The provider answered with an error.\"},\"request_id\":\"r1\"}");
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
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
