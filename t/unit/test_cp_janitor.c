/*
 * The janitor's sense of time, and of other relayd. Time is the test's; nothing
 * is renewed and no database asked.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <time.h>

static time_t the_time = 1000;
static long long due_s = -1;

static int test_clock(clockid_t clock, struct timespec *now)
{
    (void)clock;
    *now = (struct timespec){.tv_sec = the_time};
    return 0;
}

#define clock_gettime test_clock
#include "publish_janitor.c"

bool access_tokens_renew(const access_store_t *store, atomic_bool *stopping)
{
    (void)store;
    (void)stopping;
    return false;
}

long long access_tokens_due_s(void)
{
    return due_s;
}

bool reference_refresh(const char *reference, reference_state_t *state, char *why, size_t why_size)
{
    (void)reference;
    *state = REFERENCE_AWAY;
    snprintf(why, why_size, "away");
    return false;
}

void references_forget(long long unused_for_s)
{
    (void)unused_for_s;
}

void publisher_wake(publisher_t *publisher)
{
    (void)publisher;
}

long long publish_stamp(session_t *session)
{
    (void)session;
    return 1;
}

void access_tokens_written(void)
{
}

bool access_tokens_write(const access_store_t *store)
{
    (void)store;
    return true;
}

static bool long_after(janitor_t *janitor, time_t seconds)
{
    the_time += seconds;
    return foreign_for_long(janitor);
}

static void work_of_another_relayd(void **state)
{
    publisher_t publisher = {.published = 7, .built = 7};
    janitor_t janitor = {.publisher = &publisher};

    (void)state;
    pthread_mutex_init(&publisher.lock, NULL);
    assert_false(long_after(&janitor, 100000)); /* what is published is ours */
    publisher.published = 8;
    assert_false(long_after(&janitor, 1));
    assert_false(long_after(&janitor, 50));
    assert_true(long_after(&janitor, 20)); /* before its tokens have to be renewed */
    assert_in_range(LEARN_AFTER_S, 10, 150);

    publisher.built = publisher.published = 9;
    assert_false(long_after(&janitor, 100000));
    publisher.published = 10;
    assert_false(long_after(&janitor, 1));
    pthread_mutex_destroy(&publisher.lock);
}

static void rounds_come_in_time(void **state)
{
    janitor_t janitor = {.refresh_at = the_time + 3600};

    (void)state;
    due_s = -1;
    assert_int_equal(idle_s(&janitor), 60); /* to see what another relayd does */
    due_s = 2000;
    assert_int_equal(idle_s(&janitor), 60);
    due_s = 5;
    assert_int_equal(idle_s(&janitor), 5);
    due_s = 0;
    assert_int_equal(idle_s(&janitor), 1);
}

/* 1, 2, 4 … s, and no longer than the usual time. */
static void pauses_grow(void **state)
{
    static const long long pauses_s[] = {1, 2, 4, 8, 16, 20, 20};
    struct relayd_s relayd = {.settings = {.reference_refresh_s = 20}};
    publisher_t publisher = {.relayd = &relayd};
    janitor_t janitor = {.publisher = &publisher};

    (void)state;
    for (size_t i = 0; i < sizeof(pauses_s) / sizeof(pauses_s[0]); i++) {
        json_t *references = json_pack("[s]", "env:ABSENT");
        refresh(&janitor, references, i == 0);
        json_decref(references);
        assert_int_equal(janitor.pause_s, pauses_s[i]);
        assert_int_equal(janitor.retry_at, the_time + pauses_s[i]);
    }
    json_decref(janitor.failing);
    janitor.failing = NULL;
    set_pause(&janitor, true);
    assert_int_equal(janitor.pause_s, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(work_of_another_relayd),
        cmocka_unit_test(rounds_come_in_time),
        cmocka_unit_test(pauses_grow),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
