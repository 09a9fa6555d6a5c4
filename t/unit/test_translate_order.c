/* Blocks that come mixed go out one behind the other. */

#include "translate_order.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

typedef struct {
    relay_order_t order;
    char out[1024];
} run_t;

static void *resize(void *owner, void *block, size_t size)
{
    (void)owner;
    if (size == 0) {
        free(block);
        return NULL;
    }
    return realloc(block, size);
}

/* B0 begins a block, 0:text is more of it, S0 ends it, F the choice. */
static void trace(void *owner, const relay_stream_event_t *event)
{
    run_t *run = owner;
    size_t at = strlen(run->out);
    char *out = run->out + at;
    size_t size = sizeof(run->out) - at;

    switch (event->kind) {
    case RELAY_STREAM_BLOCK:
        snprintf(out, size, "B%u(%.*s) ", event->block, (int)event->name.len,
                 (const char *)event->name.base);
        break;
    case RELAY_STREAM_DELTA:
        snprintf(out, size, "%u:%.*s%s%.*s ", event->block, (int)event->text.len,
                 (const char *)event->text.base, event->citation != NULL ? "@" : "",
                 event->citation != NULL ? (int)event->citation->url.len : 0,
                 event->citation != NULL ? (const char *)event->citation->url.base : "");
        break;
    case RELAY_STREAM_STOP:
        snprintf(out, size, "S%u ", event->block);
        break;
    case RELAY_STREAM_FINISH:
        snprintf(out, size, "F");
        break;
    default:
        snprintf(out, size, "x ");
        break;
    }
}

static void open_run(run_t *run, size_t max)
{
    *run = (run_t){.order = {.kept = {.memory = {resize, NULL}, .max = max}}};
}

static bool begin(run_t *run, unsigned block, const char *name)
{
    relay_stream_event_t event = {.kind = RELAY_STREAM_BLOCK,
                                  .block = block,
                                  .block_kind = RELAY_BLOCK_TOOL_CALL,
                                  .name = relay_span(name, strlen(name))};

    return relay_order_take(&run->order, &event, trace, run);
}

static bool more(run_t *run, unsigned block, const char *text)
{
    relay_stream_event_t event = {.kind = RELAY_STREAM_DELTA,
                                  .block = block,
                                  .block_kind = RELAY_BLOCK_TOOL_CALL,
                                  .text = relay_span(text, strlen(text))};

    return relay_order_take(&run->order, &event, trace, run);
}

static bool simple(run_t *run, relay_stream_kind_t kind, unsigned block)
{
    relay_stream_event_t event = {
        .kind = kind, .block = block, .block_kind = RELAY_BLOCK_TOOL_CALL};

    return relay_order_take(&run->order, &event, trace, run);
}

static void expect(run_t *run, const char *want)
{
    assert_string_equal(run->out, want);
    relay_kept_free(&run->order.kept);
}

static void events_in_order_go_through(void **state)
{
    run_t run;

    (void)state;
    open_run(&run, 0);
    assert_true(begin(&run, 0, "f") && more(&run, 0, "{") && more(&run, 0, "}") &&
                simple(&run, RELAY_STREAM_STOP, 0) && begin(&run, 1, "g") &&
                simple(&run, RELAY_STREAM_STOP, 1) && simple(&run, RELAY_STREAM_PING, 0) &&
                simple(&run, RELAY_STREAM_FINISH, 0));
    expect(&run, "B0(f) 0:{ 0:} S0 B1(g) S1 x F");
}

static void what_is_mixed_is_sorted(void **state)
{
    run_t run;

    (void)state;
    open_run(&run, 4096);
    assert_true(begin(&run, 0, "f") && more(&run, 0, "{\\\"a\\\":") && begin(&run, 1, "g") &&
                more(&run, 1, "{") && begin(&run, 2, "h") && more(&run, 0, "1") &&
                more(&run, 2, "{}") && more(&run, 1, "}"));
    assert_string_equal(run.out, "B0(f) 0:{\\\"a\\\": 0:1 ");
    assert_true(more(&run, 0, "}"));
    assert_string_equal(run.out, "B0(f) 0:{\\\"a\\\": 0:1 0:} S0 B1(g) 1:{ 1:} S1 B2(h) 2:{} ");
    assert_true(simple(&run, RELAY_STREAM_STOP, 0) && simple(&run, RELAY_STREAM_STOP, 1) &&
                simple(&run, RELAY_STREAM_STOP, 2) && simple(&run, RELAY_STREAM_FINISH, 0));
    expect(&run, "B0(f) 0:{\\\"a\\\": 0:1 0:} S0 B1(g) 1:{ 1:} S1 B2(h) 2:{} S2 F");
}

static void the_finish_sets_free_what_is_not_complete(void **state)
{
    run_t run;

    (void)state;
    open_run(&run, 4096);
    assert_true(begin(&run, 0, "f") && more(&run, 0, "{\\\"a") && begin(&run, 1, "g") &&
                more(&run, 1, "[") && simple(&run, RELAY_STREAM_FINISH, 0));
    expect(&run, "B0(f) 0:{\\\"a S0 B1(g) 1:[ S1 F");
}

/* A bracket in a string, an escaped quote and their spellings do not end an object. */
static void only_a_whole_value_is_complete(void **state)
{
    static const struct {
        const char *arguments;
        bool whole;
    } cases[] = {
        {"{}", true},
        {" {\\\"a\\\":[1,{}]} ", true},
        {"[]", true},
        {"{\\\"a\\\":\\\"}\\\"", false},
        {"{\\\"a\\\":\\\"\\\\\\\"}", false},
        {"{\\\"a\\\":\\\"\\\\\\\"}\\\"}", true},
        {"{\\u0022a\\u0022:1}", true},
        {"{\\u0022}\\u0022", false},
        {"\\u007b\\u007D", true},
        {"{\\u00e9}", true},
        {"\\\"{}\\\"", true}, /* no object: anything may end it */
        {"12", false},
        {"}", false},
        {"", false},
        {"{\\n\\t}", true},
        {"{\\u00", false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        run_t run;
        open_run(&run, 4096);
        assert_true(begin(&run, 0, "f") && more(&run, 0, cases[i].arguments) &&
                    begin(&run, 1, "g"));
        if ((strstr(run.out, "S0") != NULL) != cases[i].whole) {
            fail_msg("%s", cases[i].arguments);
        }
        relay_kept_free(&run.order.kept);
    }
}

static void text_of_a_custom_tool_is_complete_at_its_stop(void **state)
{
    relay_stream_event_t event = {.kind = RELAY_STREAM_BLOCK,
                                  .block = 0,
                                  .block_kind = RELAY_BLOCK_TOOL_CALL,
                                  .free_text = true};
    run_t run;

    (void)state;
    open_run(&run, 4096);
    assert_true(relay_order_take(&run.order, &event, trace, &run) && more(&run, 0, "{}") &&
                begin(&run, 1, "g"));
    assert_string_equal(run.out, "B0() 0:{} ");
    assert_true(more(&run, 0, "x") && simple(&run, RELAY_STREAM_STOP, 0));
    expect(&run, "B0() 0:{} 0:x S0 B1(g) ");
}

static void other_choices_are_left_out(void **state)
{
    relay_stream_event_t event = {.kind = RELAY_STREAM_BLOCK, .choice = 1, .block = 0};
    run_t run;

    (void)state;
    open_run(&run, 0);
    assert_true(relay_order_take(&run.order, &event, trace, &run));
    event.kind = RELAY_STREAM_FINISH;
    assert_true(relay_order_take(&run.order, &event, trace, &run));
    assert_true(begin(&run, 1, "f") && simple(&run, RELAY_STREAM_FINISH, 0));
    expect(&run, "B1(f) S1 F");
}

static void what_is_late_for_a_block_is_ignored(void **state)
{
    run_t run;

    (void)state;
    open_run(&run, 4096);
    assert_true(begin(&run, 0, "f") && more(&run, 0, "{}") && begin(&run, 1, "g") &&
                more(&run, 0, " ") && simple(&run, RELAY_STREAM_STOP, 0) &&
                simple(&run, RELAY_STREAM_FINISH, 0));
    expect(&run, "B0(f) 0:{} S0 B1(g) S1 F");
}

static void a_citation_is_kept_whole(void **state)
{
    relay_citation_t citation = {.url = RELAY_SPAN("u")};
    relay_stream_event_t event = {.kind = RELAY_STREAM_BLOCK, .block = 1};
    run_t run;

    (void)state;
    open_run(&run, 4096);
    assert_true(begin(&run, 0, "f") && relay_order_take(&run.order, &event, trace, &run));
    event.kind = RELAY_STREAM_DELTA;
    event.citation = &citation;
    assert_true(relay_order_take(&run.order, &event, trace, &run) &&
                simple(&run, RELAY_STREAM_STOP, 0));
    expect(&run, "B0(f) S0 B1() 1:@u ");
}

static void what_is_kept_is_bounded(void **state)
{
    run_t run;

    (void)state;
    open_run(&run, 256);
    assert_true(begin(&run, 0, "f") && begin(&run, 1, "g"));
    assert_true(more(&run, 1, "abc"));
    assert_false(more(&run, 1,
                      "this is longer than what is left of the bound: it is lost whole"
                      " and says so, instead of growing without end.............."));
    assert_true(run.order.kept.len <= 256);
    relay_kept_free(&run.order.kept);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(events_in_order_go_through),
        cmocka_unit_test(what_is_mixed_is_sorted),
        cmocka_unit_test(the_finish_sets_free_what_is_not_complete),
        cmocka_unit_test(only_a_whole_value_is_complete),
        cmocka_unit_test(text_of_a_custom_tool_is_complete_at_its_stop),
        cmocka_unit_test(other_choices_are_left_out),
        cmocka_unit_test(what_is_late_for_a_block_is_ignored),
        cmocka_unit_test(a_citation_is_kept_whole),
        cmocka_unit_test(what_is_kept_is_bounded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
