/* Settings: precedence, spelling, and what is left behind of secrets. */

#include "settings.c"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static char error[512];

static void set_required(void)
{
    setenv("RELAY_PG_DSN", "host=/tmp password=dsn-secret", 1);
    setenv("RELAY_REDIS_URL", "unix:/tmp/r", 1);
    setenv("RELAY_MASTER_KEY", "a AAAA", 1);
    setenv("RELAY_DATAPLANE_KEY", "b BBBB", 1);
    setenv("RELAY_SIGNING_KEY", "c CCCC", 1);
    log_set_level(LOG_ERROR);
}

/* Flags are given as copies: they are written to. */
static bool load(settings_t *settings, int count, const char *const *flags)
{
    char *argv[8] = {strdup("relayd")};

    set_required();
    for (int i = 0; i < count; i++)
        argv[i + 1] = strdup(flags[i]);
    bool ok = settings_load(settings, count + 1, argv, error, sizeof(error));
    for (int i = 0; i <= count; i++)
        free(argv[i]);
    return ok;
}

static void defaults(void **state)
{
    settings_t settings;

    (void)state;
    assert_true(load(&settings, 0, NULL));
    assert_string_equal(settings.redis_prefix, "relay:");
    assert_string_equal(settings.listen, "127.0.0.1:8081");
    assert_int_equal(settings.pg_connections, 8);
    assert_int_equal(settings.pg_timeout_ms, 5000);
    assert_string_equal(settings.setup_token, "");
    settings_free(&settings);
    assert_null(settings.pg_dsn);
}

static void flags_first(void **state)
{
    settings_t settings;

    (void)state;
    setenv("RELAY_REDIS_PREFIX", "variable:", 1);
    assert_true(load(&settings, 0, NULL));
    assert_string_equal(settings.redis_prefix, "variable:");
    settings_free(&settings);

    assert_true(load(&settings, 2, (const char *const[]){"--redis-prefix", "flag:"}));
    assert_string_equal(settings.redis_prefix, "flag:");
    settings_free(&settings);

    assert_true(load(&settings, 1, (const char *const[]){"--redis-prefix=flag=:"}));
    assert_string_equal(settings.redis_prefix, "flag=:");
    settings_free(&settings);

    setenv("RELAY_REDIS_PREFIX", "", 1);
    assert_true(load(&settings, 0, NULL));
    assert_string_equal(settings.redis_prefix, "relay:");
    settings_free(&settings);
    unsetenv("RELAY_REDIS_PREFIX");
}

static void secrets_are_wiped(void **state)
{
    settings_t settings;
    char flag[] = "--pg-dsn=password=in-argv";
    char program[] = "relayd";
    char *argv[] = {program, flag, NULL};

    (void)state;
    set_required();
    char *master = getenv("RELAY_MASTER_KEY");
    assert_true(settings_load(&settings, 2, argv, error, sizeof(error)));
    assert_string_equal(settings.master_key, "a AAAA");
    assert_string_equal(settings.pg_dsn, "password=in-argv");
    assert_null(getenv("RELAY_MASTER_KEY"));
    assert_null(getenv("RELAY_PG_DSN"));
    assert_string_equal(flag, "--pg-dsn=");
    assert_string_equal(master, "");
    settings_free(&settings);
}

static void from_files(void **state)
{
    settings_t settings;
    char path[] = "/tmp/relay-settings-XXXXXX";
    int fd = mkstemp(path);

    (void)state;
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "token\r\n", 7), 7);
    close(fd);
    setenv("RELAY_SETUP_TOKEN_FILE", path, 1);
    assert_true(load(&settings, 0, NULL));
    assert_string_equal(settings.setup_token, "token");
    settings_free(&settings);

    setenv("RELAY_SETUP_TOKEN", "direct", 1);
    assert_true(load(&settings, 0, NULL));
    assert_string_equal(settings.setup_token, "direct");
    settings_free(&settings);
    unsetenv("RELAY_SETUP_TOKEN_FILE");
    unlink(path);
}

static void refused(const char *flag, const char *value_, const char *wanted)
{
    settings_t settings;

    assert_false(load(&settings, value_ == NULL ? 1 : 2, (const char *const[]){flag, value_}));
    if (strstr(error, wanted) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", error, wanted);
    settings_free(&settings);
}

static void faults(void **state)
{
    (void)state;
    refused("--threads", "x", "threads (--threads): is \"x\", expected a number from 2 to 1024");
    refused("--threads", " 5", "expected a number");
    refused("--threads", "+5", "expected a number");
    refused("--threads", "99999999999999999999", "expected a number");
    refused("--threads", NULL, "value is missing");
    refused("--tredas", "5", "did you mean threads?");
    refused("--pg_dsn", "x", "there is no such flag");
    refused("word", NULL, "there is no such flag");
    refused("--master-key", "x", "does not belong on a command line");
    refused("--log-level", "loud", "expected debug, info, warn or error");
    refused("--config", NULL, "value is missing");
    refused("--master-key-file", "/nonexistent", "cannot use the file /nonexistent");
}

static void known_variables(void **state)
{
    (void)state;
    assert_true(variable_known("port"));
    assert_true(variable_known("pg_dsn"));
    assert_true(variable_known("pg_dsn_file"));
    assert_true(variable_known("master_key_file"));
    assert_false(variable_known("threads_file"));
    assert_false(variable_known("pg_dns"));
}

static void actions_found(void **state)
{
    char *check[] = {(char[]){"relayd"}, (char[]){"--threads"}, (char[]){"4"}, (char[]){"--check"}};
    char *help[] = {(char[]){"relayd"}, (char[]){"--help"}};

    (void)state;
    assert_int_equal(settings_action(4, check), SETTINGS_CHECK);
    assert_int_equal(settings_action(3, check), SETTINGS_RUN);
    assert_int_equal(settings_action(2, help), SETTINGS_HELP);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults),
        cmocka_unit_test(flags_first),
        cmocka_unit_test(secrets_are_wiped),
        cmocka_unit_test(from_files),
        cmocka_unit_test(faults),
        cmocka_unit_test(known_variables),
        cmocka_unit_test(actions_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
