/*
 * relayd, the control plane: main, and the order in which things start and
 * stop. It starts without Postgres or Redis and uses them when they come; bad
 * settings and a database that is not for it are refused at once.
 */

#include "relayd.h"

#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <openssl/crypto.h>

#include "bootstrap.h"
#include "keygen.h"
#include "listener.h"
#include "log.h"
#include "migrate.h"
#include "seed.h"
#include "version.h"

enum { EXIT_OK = 0, EXIT_REFUSED = 1, EXIT_SETTINGS = 2, ERROR_MAX = 512, PREPARE_PAUSE_S = 1 };

relayd_t relayd;

static pthread_t preparer;
static bool preparer_runs;
static atomic_bool stopping;
static atomic_int exit_status;

static int refuse(const char *error, int status)
{
    fprintf(stderr, "relayd: %s\n", error);
    return status;
}

/* ---- nothing is left lying about ---- */

static void free_cleansed(void *bytes)
{
    if (bytes != NULL)
        OPENSSL_cleanse(bytes, malloc_usable_size(bytes));
    free(bytes);
}

/* Documents hold secrets; none of them outlives its request, in memory or on disk. */
static void harden(void)
{
    struct rlimit none = {0, 0};

    umask(077);
    setrlimit(RLIMIT_CORE, &none);
    prctl(PR_SET_DUMPABLE, 0);
    json_set_alloc_funcs(malloc, free_cleansed);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
}

/* ---- what the settings make ---- */

static bool check_dsn(char *error, size_t size)
{
    char *why = NULL;
    PQconninfoOption *options = PQconninfoParse(relayd.settings.pg_dsn, &why);

    if (options == NULL) /* its message may quote a password */
        snprintf(error, size, "pg_dsn: libpq cannot read it");
    PQfreemem(why);
    PQconninfoFree(options);
    return options != NULL;
}

static bool open_secrets(char *error, size_t size)
{
    relayd.secrets =
        secrets_new(relayd.settings.master_key, relayd.settings.dataplane_key, error, size);
    return relayd.secrets != NULL;
}

static bool open_database(char *error, size_t size)
{
    relayd.database = database_new(relayd.settings.pg_dsn, (size_t)relayd.settings.pg_connections,
                                   (unsigned)relayd.settings.pg_timeout_ms);
    if (relayd.database == NULL)
        snprintf(error, size, "out of memory");
    return relayd.database != NULL;
}

static bool check_settings(char *error, size_t size)
{
    return check_dsn(error, size) && listener_place_ok(relayd.settings.listen, error, size) &&
           open_secrets(error, size) && open_database(error, size);
}

/* ---- what the database has to have ---- */

static bool seed(char *why, size_t size)
{
    session_t *session = database_lease_owner(relayd.database);
    bool done = session != NULL && session_begin(session, NULL) && seed_catalog(session) &&
                session_commit(session);

    if (!done)
        snprintf(why, size, "the catalog could not be seeded: %s",
                 session != NULL ? session_error(session)->message : "no connection");
    database_return(session);
    return done;
}

static migrate_result_t prepare(char *why, size_t size)
{
    migrate_result_t result = migrate(relayd.database, why, size);

    if (result == MIGRATE_DONE && !seed(why, size))
        result = MIGRATE_AWAY;
    if (result == MIGRATE_DONE) {
        database_open(relayd.database);
        log_event(LOG_INFO, "the database is ready", NULL);
    }
    return result;
}

/* Until it succeeds, or the database turns out to be for another relayd. */
static void *keep_preparing(void *unused)
{
    struct timespec pause = {.tv_sec = PREPARE_PAUSE_S};
    char why[ERROR_MAX], said[ERROR_MAX] = "";
    migrate_result_t result = MIGRATE_AWAY;

    while (!atomic_load(&stopping) && result == MIGRATE_AWAY) {
        result = prepare(why, sizeof(why));
        if (result == MIGRATE_AWAY && strcmp(why, said) != 0)
            log_event(LOG_WARN, "waiting for the database", "reason", why, NULL);
        if (result == MIGRATE_AWAY)
            nanosleep(&pause, NULL);
        memcpy(said, why, sizeof(said));
    }
    if (result == MIGRATE_REFUSED) {
        log_event(LOG_ERROR, "the database is refused", "reason", why, NULL);
        atomic_store(&exit_status, EXIT_REFUSED);
        kill(getpid(), SIGTERM);
    }
    return unused;
}

static bool prepare_or_wait(char *error, size_t size)
{
    migrate_result_t result = prepare(error, size);

    if (result == MIGRATE_AWAY) {
        log_event(LOG_WARN, "waiting for the database", "reason", error, NULL);
        preparer_runs = pthread_create(&preparer, NULL, keep_preparing, NULL) == 0;
        return preparer_runs;
    }
    return result == MIGRATE_DONE;
}

/* ---- start and stop ---- */

static bool start_publisher(char *error, size_t size)
{
    relayd.publisher = publisher_start(&relayd, error, size);
    return relayd.publisher != NULL;
}

static bool start_http(char *error, size_t size)
{
    relayd.http = http_start(&relayd, relayd.settings.listen, error, size);
    return relayd.http != NULL;
}

static bool start(char *error, size_t size)
{
    return prepare_or_wait(error, size) && start_publisher(error, size) && start_http(error, size);
}

static void stop(void)
{
    atomic_store(&stopping, true);
    if (relayd.http != NULL)
        http_stop(relayd.http);
    if (preparer_runs)
        pthread_join(preparer, NULL);
    if (relayd.publisher != NULL)
        publisher_stop(relayd.publisher);
    database_free(relayd.database);
    if (relayd.secrets != NULL)
        secrets_free(relayd.secrets);
    settings_free(&relayd.settings);
}

/* Signals are taken by this thread alone; blocked before the first other one starts. */
static void block_signals(sigset_t *signals)
{
    sigemptyset(signals);
    sigaddset(signals, SIGTERM);
    sigaddset(signals, SIGINT);
    pthread_sigmask(SIG_BLOCK, signals, NULL);
}

static int serve(void)
{
    char error[ERROR_MAX] = "";
    sigset_t signals;
    int signal_number;

    block_signals(&signals);
    if (!start(error, sizeof(error))) {
        refuse(error, EXIT_REFUSED);
        stop();
        return EXIT_REFUSED;
    }
    log_event(LOG_INFO, "started", "version", RELAY_VERSION, "listen", relayd.settings.listen,
              NULL);
    sigwait(&signals, &signal_number);
    log_event(LOG_INFO, "stopping", "signal", strsignal(signal_number), NULL);
    stop();
    log_event(LOG_INFO, "stopped", NULL);
    return atomic_load(&exit_status);
}

/* ---- the command line ---- */

static int print_help(void)
{
    puts("relayd: the control plane of Relay\n\n"
         "  relayd [FLAG VALUE]...           serves the admin API until SIGTERM\n"
         "  relayd --check                   says whether the settings are good\n"
         "  relayd --bootstrap               makes the first things of an installation\n"
         "  relayd --generate-keys DIRECTORY makes the key rings of an installation\n"
         "  relayd --version\n\n"
         "  --config FILE\n"
         "      lines `name = value`; flags and variables come before it\n");
    settings_describe(stdout);
    puts("\nA secret is also read from the file that the variable with _FILE names.");
    return EXIT_OK;
}

static int bootstrap(void)
{
    char error[ERROR_MAX];
    int status = EXIT_REFUSED;

    if (prepare(error, sizeof(error)) == MIGRATE_DONE)
        status = bootstrap_run(&relayd);
    else
        refuse(error, status);
    stop();
    return status;
}

static int run_with_settings(settings_action_t action, int argc, char **argv)
{
    char error[ERROR_MAX];

    if (!settings_load(&relayd.settings, argc, argv, error, sizeof(error)) ||
        !check_settings(error, sizeof(error))) {
        stop();
        return refuse(error, EXIT_SETTINGS);
    }
    if (action == SETTINGS_BOOTSTRAP)
        return bootstrap();
    if (action == SETTINGS_RUN)
        return serve();

    stop();
    puts("ok");
    return EXIT_OK;
}

int main(int argc, char **argv)
{
    settings_action_t action = settings_action(argc, argv);

    harden();
    switch (action) {
    case SETTINGS_HELP:
        return print_help();
    case SETTINGS_VERSION:
        puts("relayd " RELAY_VERSION);
        return EXIT_OK;
    case SETTINGS_GENERATE_KEYS:
        if (argc != 3 || strcmp(argv[1], "--generate-keys") != 0)
            return refuse("usage: relayd --generate-keys DIRECTORY", EXIT_SETTINGS);
        return keygen_run(argv[2]);
    default:
        return run_with_settings(action, argc, argv);
    }
}
