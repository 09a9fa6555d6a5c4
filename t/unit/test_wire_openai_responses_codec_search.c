/*
 * Web searches that a Responses request offers to a model whose provider has none:
 * those that can be done without are left out and named, the others refused.
 */

#include "wire_openai_responses_codec_request.c"

#include "translate_check.h"

static const relay_target_t plain = {0};

#define IN(tools)                                                                                  \
    "{\"model\":\"m\",\"input\":[{\"role\":\"user\",\"content\":\"hi\"}],\"tools\":[" tools "]"
#define SEARCH "{\"type\":\"web_search\",\"external_web_access\":true}"
#define OWN    "{\"type\":\"function\",\"name\":\"f\"}"
#define OUT                                                                                        \
    "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"tools\":[{\"type\":" \
    "\"function\",\"function\":{\"name\":\"f\"}}]"

static void accepted(const char *body, const char *want)
{
    translate_request(RESPONSES, CHAT, plain, body, want, "tools.type");
}

static void refused(const char *body, const char *param)
{
    translate_refused(RESPONSES, CHAT, body, RELAY_ERR_INVALID_FIELD, param, "not supported");
}

static void beside_tools_of_the_caller_it_is_left_out(void **state)
{
    (void)state;
    accepted(IN(SEARCH "," OWN) "}", OUT "}");
    accepted(IN(OWN "," SEARCH) ",\"tool_choice\":\"required\"}",
             OUT ",\"tool_choice\":\"required\"}");
    accepted(IN(OWN ",{\"type\":\"web_search_preview\"},{\"type\":\"web_search_2025_08_26\"}") "}",
             OUT "}");
    /* the input brings the caller's */
    accepted("{\"model\":\"m\",\"input\":[{\"type\":\"additional_tools\",\"tools\":[" OWN
             "]},{\"role\":\"user\",\"content\":\"hi\"}],\"tools\":[" SEARCH "]}",
             OUT "}");
}

static void what_stays_offline_is_left_out(void **state)
{
    (void)state;
    accepted(IN("{\"type\":\"web_search\",\"external_web_access\":false}") "}",
             "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]}");
}

static void what_is_asked_for_is_refused(void **state)
{
    (void)state;
    refused(IN(SEARCH) "}", "tools[0].type");
    refused(IN(SEARCH "," OWN) ",\"tool_choice\":{\"type\":\"web_search\"}}", "tool_choice");
    refused(IN(OWN "," SEARCH ",{\"type\":\"file_search\"}") "}", "tools[2].type");
    refused(IN("{\"type\":\"tool_search\"}," SEARCH) "}", "tools[0].type");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(beside_tools_of_the_caller_it_is_left_out),
        cmocka_unit_test(what_stays_offline_is_left_out),
        cmocka_unit_test(what_is_asked_for_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
