/*
 * Tools between every two formats: the choice among them and whether several may be
 * called at once (R9), names and ids that the other side does not take (R19).
 */

#include "codec_tools.c"

#include <ctype.h>

#include "translate_check.h"

#define GEMINI   "gemini"
#define CONVERSE "bedrock-converse"

/* ---- R9: the choice among tools -------------------------------------------- */

typedef enum { CALLER_CHAT, CALLER_RESPONSES, CALLER_MESSAGES, CALLER_GEMINI, CALLERS } caller_t;
typedef enum { ABSENT, NONE, AUTO, REQUIRED, NAMED, CHOICES } choice_t;
typedef enum { UNSAID, SEVERAL, ONE, PARALLELS } parallel_t;

/* How each format says it. What is NULL it cannot say: Messages have no place for the
 * second without the first, Gemini has none for it at all. */
static const struct {
    const char *format;
    const char *body;  /* with what follows put in */
    const char *tools; /* one, of the name "f" */
    const char *choices[CHOICES];
    const char *parallel[PARALLELS];
    const char *choice_name;
    const char *parallel_name;
} callers[CALLERS] = {
    [CALLER_CHAT] =
        {CHAT,
         "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]%s%s%s}",
         ",\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\"}}]",
         {"", ",\"tool_choice\":\"none\"", ",\"tool_choice\":\"auto\"",
          ",\"tool_choice\":\"required\"",
          ",\"tool_choice\":{\"type\":\"function\",\"function\":{\"name\":\"f\"}}"},
         {"", ",\"parallel_tool_calls\":true", ",\"parallel_tool_calls\":false"},
         "tool_choice",
         "parallel_tool_calls"},
    [CALLER_RESPONSES] = {RESPONSES,
                          "{\"model\":\"m\",\"input\":\"hi\"%s%s%s}",
                          ",\"tools\":[{\"type\":\"function\",\"name\":\"f\"}]",
                          {"", ",\"tool_choice\":\"none\"", ",\"tool_choice\":\"auto\"",
                           ",\"tool_choice\":\"required\"",
                           ",\"tool_choice\":{\"type\":\"function\",\"name\":\"f\"}"},
                          {"", ",\"parallel_tool_calls\":true", ",\"parallel_tool_calls\":false"},
                          "tool_choice",
                          "parallel_tool_calls"},
    [CALLER_MESSAGES] = {MESSAGES,
                         "{\"model\":\"m\",\"max_tokens\":99,\"messages\":[{\"role\":\"user\","
                         "\"content\":\"hi\"}]%s%s%s}",
                         ",\"tools\":[{\"name\":\"f\",\"input_schema\":{\"type\":\"object\"}}]",
                         {"", ",\"tool_choice\":{\"type\":\"none\"",
                          ",\"tool_choice\":{\"type\":\"auto\"",
                          ",\"tool_choice\":{\"type\":\"any\"",
                          ",\"tool_choice\":{\"type\":\"tool\",\"name\":\"f\""},
                         {"}", ",\"disable_parallel_tool_use\":false}",
                          ",\"disable_parallel_tool_use\":true}"},
                         "tool_choice",
                         "tool_choice.disable_parallel_tool_use"},
    [CALLER_GEMINI] = {GEMINI,
                       "{\"contents\":[{\"role\":\"user\",\"parts\":[{\"text\":\"hi\"}]}]%s%s%s}",
                       ",\"tools\":[{\"functionDeclarations\":[{\"name\":\"f\"}]}]",
                       {"", ",\"toolConfig\":{\"functionCallingConfig\":{\"mode\":\"NONE\"}}",
                        ",\"toolConfig\":{\"functionCallingConfig\":{\"mode\":\"AUTO\"}}",
                        ",\"toolConfig\":{\"functionCallingConfig\":{\"mode\":\"ANY\"}}",
                        ",\"toolConfig\":{\"functionCallingConfig\":{\"mode\":\"ANY\","
                        "\"allowedFunctionNames\":[\"f\"]}}"},
                       {"", NULL, NULL},
                       "toolConfig",
                       NULL},
};

/* How it arrives. A format without a word for "one" has it dropped. */
static const struct {
    const char *format;
    const char *choices[CHOICES]; /* NULL: must not say anything */
    const char *choice_key;
    const char *parallel[PARALLELS];
    const char *parallel_key;
} upstreams[] = {
    {CHAT,
     {NULL, "\"tool_choice\":\"none\"", "\"tool_choice\":\"auto\"", "\"tool_choice\":\"required\"",
      "\"tool_choice\":{\"type\":\"function\",\"function\":{\"name\":\"f\"}}"},
     "tool_choice",
     {NULL, "\"parallel_tool_calls\":true", "\"parallel_tool_calls\":false"},
     "parallel_tool_calls"},
    {RESPONSES,
     {NULL, "\"tool_choice\":\"none\"", "\"tool_choice\":\"auto\"", "\"tool_choice\":\"required\"",
      "\"tool_choice\":{\"type\":\"function\",\"name\":\"f\"}"},
     "tool_choice",
     {NULL, "\"parallel_tool_calls\":true", "\"parallel_tool_calls\":false"},
     "parallel_tool_calls"},
    {MESSAGES,
     {NULL, "\"tool_choice\":{\"type\":\"none\"", "\"tool_choice\":{\"type\":\"auto\"",
      "\"tool_choice\":{\"type\":\"any\"", "\"tool_choice\":{\"type\":\"tool\",\"name\":\"f\""},
     "tool_choice",
     {NULL, NULL, "\"disable_parallel_tool_use\":true"},
     "disable_parallel_tool_use"},
    {GEMINI,
     {NULL, "\"functionCallingConfig\":{\"mode\":\"NONE\"}",
      "\"functionCallingConfig\":{\"mode\":\"AUTO\"}",
      "\"functionCallingConfig\":{\"mode\":\"ANY\"}",
      "\"functionCallingConfig\":{\"mode\":\"ANY\",\"allowedFunctionNames\":[\"f\"]}"},
     "toolConfig",
     {NULL, NULL, NULL},
     "parallel"},
    {CONVERSE,
     {NULL, NULL, "\"toolChoice\":{\"auto\":{}}", "\"toolChoice\":{\"any\":{}}",
      "\"toolChoice\":{\"tool\":{\"name\":\"f\"}}"},
     "toolChoice",
     {NULL, NULL, NULL},
     "parallel"},
};

enum { UPSTREAMS = sizeof(upstreams) / sizeof(upstreams[0]) };

/* One of the grid. */
typedef struct {
    caller_t caller;
    unsigned upstream;
    choice_t choice;
    parallel_t parallel;
    bool tools;
} cell_t;

static bool is_said(const cell_t *cell)
{
    bool same = strcmp(callers[cell->caller].format, upstreams[cell->upstream].format) == 0;

    return !same && callers[cell->caller].parallel[cell->parallel] != NULL &&
           (cell->caller != CALLER_MESSAGES || cell->choice != ABSENT || cell->parallel == UNSAID);
}

static void put_body(const cell_t *cell, char *body, size_t size)
{
    bool bare = cell->caller == CALLER_MESSAGES && cell->choice == ABSENT;

    snprintf(body, size, callers[cell->caller].body, cell->tools ? callers[cell->caller].tools : "",
             callers[cell->caller].choices[cell->choice],
             bare ? "" : callers[cell->caller].parallel[cell->parallel]);
}

static bool has(relay_span_t text, const char *part)
{
    return memmem(text.base, text.len, part, strlen(part)) != NULL;
}

/* The part is there, or nothing of that name is. */
static void check_part(relay_span_t out, const char *part, const char *key)
{
    char member[64];

    snprintf(member, sizeof(member), "\"%s\":", key);
    if (part != NULL) {
        translate_has(out, part);
    } else if (has(out, member)) {
        print_error("%s in %.*s\n", key, (int)out.len, (const char *)out.base);
        fail();
    }
}

/* Where only one call may be made and nothing else says so, Messages say it in a choice. */
static const char *wanted_choice(const cell_t *cell, bool one)
{
    bool carrier =
        one && cell->choice == ABSENT && strcmp(upstreams[cell->upstream].format, MESSAGES) == 0;

    return upstreams[cell->upstream].choices[carrier ? AUTO : cell->choice];
}

/* Messages say nothing with `false`. */
static parallel_t meant(const cell_t *cell)
{
    return cell->caller == CALLER_MESSAGES && cell->parallel == SEVERAL ? UNSAID : cell->parallel;
}

static void check_cell(const cell_t *cell, relay_span_t out, const translate_t *run)
{
    bool converse = strcmp(upstreams[cell->upstream].format, CONVERSE) == 0;
    bool hidden = cell->tools && converse && cell->choice == NONE;
    parallel_t parallel = cell->tools && cell->choice != NONE ? meant(cell) : UNSAID;
    bool lost = parallel == ONE && upstreams[cell->upstream].parallel[ONE] == NULL;
    char notes[128];

    check_part(out, cell->tools ? wanted_choice(cell, parallel == ONE) : NULL,
               upstreams[cell->upstream].choice_key);
    check_part(out, upstreams[cell->upstream].parallel[parallel],
               upstreams[cell->upstream].parallel_key);
    assert_int_equal(has(out, "\"f\""), cell->tools && !hidden);
    snprintf(notes, sizeof(notes), "%s%s%s", lost ? callers[cell->caller].parallel_name : "",
             hidden ? "changed=" : "", hidden ? callers[cell->caller].choice_name : "");
    translate_notes(&run->translation, notes);
}

static void run_cell(const cell_t *cell)
{
    relay_span_t out = {NULL, 0};
    char body[1024];
    translate_t run;

    put_body(cell, body, sizeof(body));
    translate_open(&run, callers[cell->caller].format, upstreams[cell->upstream].format);
    if (relay_translate_request(&run.translation, relay_wire_cstring(body), &out) !=
        RELAY_ERR_NONE) {
        print_error("%s: refused %s\n", upstreams[cell->upstream].format, body);
        fail();
    }
    check_cell(cell, out, &run);
    translate_close(&run);
}

static void r9_every_choice_in_every_pair(void **state)
{
    enum { CELLS = CALLERS * UPSTREAMS * CHOICES * PARALLELS * 2 };
    unsigned said = 0;

    (void)state;
    for (unsigned i = 0; i < CELLS; i++) {
        cell_t cell = {.caller = (caller_t)(i % CALLERS),
                       .upstream = i / CALLERS % UPSTREAMS,
                       .choice = (choice_t)(i / CALLERS / UPSTREAMS % CHOICES),
                       .parallel = (parallel_t)(i / CALLERS / UPSTREAMS / CHOICES % PARALLELS),
                       .tools = i / CALLERS / UPSTREAMS / CHOICES / PARALLELS != 0};
        if (is_said(&cell)) {
            run_cell(&cell);
            said++;
        }
    }
    /* two formats with all of it, one without two of fifteen, one with a third */
    assert_int_equal(said, 4 * 2 * (15 + 15 + 13 + 5));
}

/* ---- R19: names and ids that do not fit ------------------------------------- */

#define LONG "a_name_of_seventy_characters_whose_first_sixty_four_are_those_of_anothe"

/* Two differ in what has to be replaced, two in what has to be cut. */
static const char *const odd_names[] = {"maps.find/now", "maps.find now", LONG "1", LONG "2"};

enum { ODD_NAMES = sizeof(odd_names) / sizeof(odd_names[0]) };

/* A choice, a call and its result of the first, tools of all. */
static const struct {
    const char *format;
    const char *body;
} odd_requests[] = {
    {CHAT, "{\"model\":\"m\",\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"%s\"}},"
           "{\"type\":\"function\",\"function\":{\"name\":\"%s\"}},{\"type\":\"function\","
           "\"function\":{\"name\":\"%s\"}},{\"type\":\"function\",\"function\":{\"name\":"
           "\"%s\"}}],\"tool_choice\":{\"type\":\"function\",\"function\":{\"name\":\"%s\"}},"
           "\"messages\":[{\"role\":\"user\",\"content\":\"hi\"},{\"role\":\"assistant\","
           "\"content\":null,\"tool_calls\":[{\"id\":\"call:1/2\",\"type\":\"function\","
           "\"function\":{\"name\":\"%s\",\"arguments\":\"{}\"}}]},{\"role\":\"tool\","
           "\"tool_call_id\":\"call:1/2\",\"content\":\"ok\"}]}"},
    {GEMINI, "{\"tools\":[{\"functionDeclarations\":[{\"name\":\"%s\"},{\"name\":\"%s\"},"
             "{\"name\":\"%s\"},{\"name\":\"%s\"}]}],\"toolConfig\":{\"functionCallingConfig\":{"
             "\"mode\":\"ANY\",\"allowedFunctionNames\":[\"%s\"]}},\"contents\":[{\"role\":"
             "\"user\",\"parts\":[{\"text\":\"hi\"}]},{\"role\":\"model\",\"parts\":[{"
             "\"functionCall\":{\"id\":\"call:1/2\",\"name\":\"%s\",\"args\":{}}}]},{\"role\":"
             "\"user\",\"parts\":[{\"functionResponse\":{\"id\":\"call:1/2\",\"name\":\"%s\","
             "\"response\":{\"a\":1}}}]}]}"},
};

/* An answer of a call, whole and as a stream; %s is its name. */
static const struct {
    const char *format;
    const char *answer;
    const char *stream; /* NULL: not of server-sent events */
} odd_answers[] = {
    {MESSAGES,
     "{\"id\":\"m\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"m\",\"content\":[{"
     "\"type\":\"tool_use\",\"id\":\"t\",\"name\":\"%s\",\"input\":{}}],\"stop_reason\":"
     "\"tool_use\",\"usage\":{\"input_tokens\":1,\"output_tokens\":1}}",
     "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"m\",\"model\":"
     "\"m\",\"content\":[],\"usage\":{\"input_tokens\":1,\"output_tokens\":1}}}\n\n"
     "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,"
     "\"content_block\":{\"type\":\"tool_use\",\"id\":\"t\",\"name\":\"%s\",\"input\":{}}}\n\n"
     "event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":0}\n\n"
     "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":"
     "\"tool_use\"},\"usage\":{\"output_tokens\":2}}\n\n"
     "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"},
    {RESPONSES,
     "{\"id\":\"resp_1\",\"object\":\"response\",\"status\":\"completed\",\"model\":\"m\","
     "\"output\":[{\"type\":\"function_call\",\"id\":\"fc_1\",\"call_id\":\"c\",\"name\":"
     "\"%s\",\"arguments\":\"{}\"}]}",
     "event: response.created\ndata: {\"type\":\"response.created\",\"response\":{\"id\":"
     "\"resp_1\",\"model\":\"m\"}}\n\n"
     "event: response.output_item.added\ndata: {\"type\":\"response.output_item.added\","
     "\"output_index\":0,\"item\":{\"type\":\"function_call\",\"id\":\"fc_1\",\"call_id\":\"c\","
     "\"name\":\"%s\",\"arguments\":\"\"}}\n\n"
     "event: response.output_item.done\ndata: {\"type\":\"response.output_item.done\","
     "\"output_index\":0,\"item\":{\"type\":\"function_call\",\"id\":\"fc_1\",\"call_id\":\"c\","
     "\"name\":\"%s\",\"arguments\":\"{}\"}}\n\n"
     "event: response.completed\ndata: {\"type\":\"response.completed\",\"response\":{\"id\":"
     "\"resp_1\",\"status\":\"completed\",\"output\":[],\"usage\":{\"input_tokens\":1,"
     "\"output_tokens\":1}}}\n\n"},
    {CONVERSE,
     "{\"output\":{\"message\":{\"role\":\"assistant\",\"content\":[{\"toolUse\":{\"toolUseId\":"
     "\"t\",\"name\":\"%s\",\"input\":{}}}]}},\"stopReason\":\"tool_use\"}",
     NULL},
};

enum {
    ODD_REQUESTS = sizeof(odd_requests) / sizeof(odd_requests[0]),
    ODD_ANSWERS = sizeof(odd_answers) / sizeof(odd_answers[0])
};

static bool fits(relay_span_t name)
{
    for (size_t i = 0; i < name.len; i++) {
        if (!isalnum(name.base[i]) && name.base[i] != '_' && name.base[i] != '-') {
            return false;
        }
    }
    return name.len > 0 && name.len <= 64;
}

static unsigned count(relay_span_t text, relay_span_t part)
{
    unsigned found = 0;

    while (text.len >= part.len) {
        bool here = relay_span_starts(text, part);
        found += here;
        text = relay_span_from(text, here ? part.len : 1);
    }
    return found;
}

/* What the upstream calls the tool that the caller calls so. */
static relay_span_t sent(const translate_t *run, const char *name)
{
    const relay_rename_t *rename = run->translation.renames;

    while (rename != NULL && !relay_span_eq(rename->original, relay_wire_cstring(name))) {
        rename = rename->next;
    }
    return rename != NULL ? rename->sent : relay_wire_cstring(name);
}

static relay_span_t ask(translate_t *run, unsigned request, const char *upstream)
{
    const char *first = odd_names[0];
    relay_span_t out = {NULL, 0};
    static char body[4096];

    snprintf(body, sizeof(body), odd_requests[request].body, first, odd_names[1], odd_names[2],
             odd_names[3], first, first, first);
    translate_open(run, odd_requests[request].format, upstream);
    assert_int_equal(relay_translate_request(&run->translation, relay_wire_cstring(body), &out),
                     RELAY_ERR_NONE);
    return out;
}

/* Each name fits, and is that of one tool; in the choice and the history it is the same. */
static void check_names(const translate_t *run, relay_span_t out)
{
    for (unsigned i = 0; i < ODD_NAMES; i++) {
        relay_span_t name = sent(run, odd_names[i]);
        assert_true(fits(name));
        assert_true(count(out, name) >= (i == 0 ? 3 : 1));
        for (unsigned j = 0; j < i; j++) {
            assert_false(relay_span_eq(name, sent(run, odd_names[j])));
        }
    }
    assert_int_equal(count(out, relay_wire_cstring(odd_names[0])), 0);
    assert_int_equal(count(out, RELAY_SPAN("call:1/2")), 0);
}

static void answer(translate_t *run, unsigned which, const char *name)
{
    relay_span_t told = sent(run, name), out = {NULL, 0};
    char called[128], body[4096];

    snprintf(called, sizeof(called), "%.*s", (int)told.len, (const char *)told.base);
    snprintf(body, sizeof(body), odd_answers[which].answer, called);
    assert_int_equal(relay_translate_response(&run->translation, relay_wire_cstring(body), &out),
                     RELAY_ERR_NONE);
    translate_has(out, name);
    if (odd_answers[which].stream != NULL) {
        stream_check_t check = {0};
        translate_stream_t stream;
        snprintf(body, sizeof(body), odd_answers[which].stream, called, called);
        stream = translate_stream(&run->translation, body, &check);
        translate_has(relay_buf_span(&stream.output.buf), name);
        free(stream.output.buf.base);
    }
}

static void r19_names_that_do_not_fit_come_back_as_they_were(void **state)
{
    (void)state;
    for (unsigned request = 0; request < ODD_REQUESTS; request++) {
        for (unsigned which = 0; which < ODD_ANSWERS; which++) {
            translate_t run;
            relay_span_t out = ask(&run, request, odd_answers[which].format);
            check_names(&run, out);
            for (unsigned i = 0; i < ODD_NAMES; i++) {
                answer(&run, which, odd_names[i]);
            }
            translate_close(&run);
        }
    }
}

/* A provider's cache, and what it remembers of a call, is by the bytes. */
static void r19_the_next_turn_says_the_same(void **state)
{
    (void)state;
    for (unsigned request = 0; request < ODD_REQUESTS; request++) {
        for (unsigned which = 0; which < ODD_ANSWERS; which++) {
            translate_t once, again;
            relay_span_t first = ask(&once, request, odd_answers[which].format);
            relay_span_t second = ask(&again, request, odd_answers[which].format);
            assert_true(relay_span_eq(first, second));
            translate_close(&once);
            translate_close(&again);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(r9_every_choice_in_every_pair),
        cmocka_unit_test(r19_names_that_do_not_fit_come_back_as_they_were),
        cmocka_unit_test(r19_the_next_turn_says_the_same),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
