/*
 * The one table of settings, and how a value finds its way into it. Called by
 * relayd.c.
 */

#include "settings.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include <sodium.h>

#include "log.h"
#include "nearest.h"

typedef enum {
    SETTING_TEXT,
    SETTING_NUMBER,
    SETTING_SECRET,      /* no flag */
    SETTING_HOLDS_SECRET /* a password may be part of it: a flag, but handled like a secret */
} setting_kind_t;

typedef struct {
    const char *name; /* as in the configuration file */
    setting_kind_t kind;
    size_t offset;
    const char *fallback; /* NULL: required */
    long long min, max;   /* of numbers */
    const char *meaning;
} setting_t;

#define AT(member) offsetof(settings_t, member)

static const setting_t table[] = {
    {"pg_dsn", SETTING_HOLDS_SECRET, AT(pg_dsn), NULL, 0, 0, "PostgreSQL, a libpq string or URI"},
    {"pg_connections", SETTING_NUMBER, AT(pg_connections), "8", 1, 256, "connections at most"},
    {"pg_timeout_ms", SETTING_NUMBER, AT(pg_timeout_ms), "5000", 100, 600000,
     "time for a statement, in ms"},
    {"redis_url", SETTING_HOLDS_SECRET, AT(redis_url), NULL, 0, 0,
     "unix:/path, redis://[user@]host:port/db or rediss://"},
    {"redis_user", SETTING_TEXT, AT(redis_user), "", 0, 0, "ACL user"},
    {"redis_password", SETTING_SECRET, AT(redis_password), "", 0, 0, "its password"},
    {"redis_ca_file", SETTING_TEXT, AT(redis_ca_file), "", 0, 0, "authorities for rediss://"},
    {"redis_prefix", SETTING_TEXT, AT(redis_prefix), "relay:", 0, 0, "of keys and channels"},
    {"listen", SETTING_TEXT, AT(listen), "127.0.0.1:8081", 0, 0,
     "unix:/path or a loopback address and port"},
    {"public_url", SETTING_TEXT, AT(public_url), "http://127.0.0.1:8080", 0, 0,
     "base URL of the data plane, for snippets"},
    {"master_key", SETTING_SECRET, AT(master_key), NULL, 0, 0,
     "ring that wraps data keys: lines `<key id> <base64 of 32 bytes>`"},
    {"dataplane_key", SETTING_SECRET, AT(dataplane_key), NULL, 0, 0,
     "ring that seals provider keys for workers"},
    {"signing_key", SETTING_SECRET, AT(signing_key), NULL, 0, 0,
     "ring of Ed25519 seeds that sign what workers read"},
    {"setup_token", SETTING_SECRET, AT(setup_token), "", 0, 0,
     "opens POST /api/v1/setup once; empty: closed"},
    {"vault_addr", SETTING_TEXT, AT(vault_addr), "", 0, 0, "https://vault:8200"},
    {"vault_token", SETTING_SECRET, AT(vault_token), "", 0, 0, "for vault: references"},
    {"vault_ca_file", SETTING_TEXT, AT(vault_ca_file), "", 0, 0,
     "authorities for Vault; empty: those of the machine"},
    {"log_level", SETTING_TEXT, AT(log_level), "info", 0, 0, "debug, info, warn or error"},
    {"threads", SETTING_NUMBER, AT(threads), "64", 2, 1024, "requests under way at once"},
    {"reference_refresh_s", SETTING_NUMBER, AT(reference_refresh_s), "60", 1, 86400,
     "how often env:, file: and vault: references are read again, in s"},
};
enum { SETTINGS = sizeof(table) / sizeof(table[0]), VALUE_MAX = 65536, NAME_MAX_BYTES = 64 };

/* Variables of the launcher, of nginx and of relayctl: none of ours, and no mistake. */
static const char *const others[] = {
    "HOME",    "PORT",      "ADMIN_PORT",     "ADMIN_ADDRESS", "NGINX", "RELAYD", "MODULE",
    "KEEP",    "DEBUG",     "RESET",          "KEY",           "TOKEN", "URL",    "WORKSPACE",
    "CONTEXT", "TEST_JOBS", "TEST_TIMEOUT_S",
};

static bool is_secret(const setting_t *setting)
{
    return setting->kind == SETTING_SECRET || setting->kind == SETTING_HOLDS_SECRET;
}

/* ---- names ---- */

/* pg_dsn as `RELAY_PG_DSN` with upper, as `--pg-dsn` without. */
static const char *spelled(const setting_t *setting, bool upper, const char *suffix,
                           char name[NAME_MAX_BYTES])
{
    int len =
        snprintf(name, NAME_MAX_BYTES, "%s%s%s", upper ? "RELAY_" : "--", setting->name, suffix);

    for (int i = 0; i < len; i++)
        if (upper && name[i] >= 'a' && name[i] <= 'z')
            name[i] = (char)(name[i] - 'a' + 'A');
        else if (!upper && name[i] == '_')
            name[i] = '-';
    return name;
}

static const char *table_name(const void *list, size_t i)
{
    (void)list;
    return i < SETTINGS ? table[i].name : NULL;
}

static const setting_t *find(const char *name)
{
    for (size_t i = 0; i < SETTINGS; i++)
        if (strcmp(table[i].name, name) == 0)
            return &table[i];
    return NULL;
}

/* ---- values ---- */

static bool fail(char *error, size_t size, const char *what, const char *where, const char *why)
{
    snprintf(error, size, "%s (%s): %s", what, where, why);
    return false;
}

static char **text_of(settings_t *settings, const setting_t *setting)
{
    return (char **)(void *)((char *)settings + setting->offset);
}

static long long *number_of(settings_t *settings, const setting_t *setting)
{
    return (long long *)(void *)((char *)settings + setting->offset);
}

static void give_back(const setting_t *setting, char *text)
{
    if (is_secret(setting))
        sodium_free(text);
    else
        free(text);
}

static bool set_text(settings_t *settings, const setting_t *setting, const char *value)
{
    size_t size = strlen(value) + 1;
    char *copy = is_secret(setting) ? sodium_malloc(size) : malloc(size);

    if (copy == NULL)
        return false;
    memcpy(copy, value, size);
    give_back(setting, *text_of(settings, setting));
    *text_of(settings, setting) = copy;
    return true;
}

static bool set_number(settings_t *settings, const setting_t *setting, const char *value,
                       const char *where, char *error, size_t error_size)
{
    char why[96], *end;

    errno = 0;
    long long number = strtoll(value, &end, 10);
    if (end != value && *end == '\0' && errno == 0 && number >= setting->min &&
        number <= setting->max && strspn(value, "0123456789") == strlen(value)) {
        *number_of(settings, setting) = number;
        return true;
    }
    snprintf(why, sizeof(why), "is \"%.20s\", expected a number from %lld to %lld", value,
             setting->min, setting->max);
    return fail(error, error_size, setting->name, where, why);
}

static bool set(settings_t *settings, const setting_t *setting, const char *value,
                const char *where, char *error, size_t error_size)
{
    if (setting->kind == SETTING_NUMBER)
        return set_number(settings, setting, value, where, error, error_size);
    return set_text(settings, setting, value) ||
           fail(error, error_size, setting->name, where, "out of memory");
}

/* ---- files ---- */

/* Reads all of it into locked memory, which sodium_free() gives back. */
static char *read_file(const char *path, char *why, size_t why_size)
{
    char *text = sodium_malloc(VALUE_MAX + 1);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    size_t len = 0;
    ssize_t got = -1;

    if (fd >= 0 && text != NULL)
        while (len <= VALUE_MAX && (got = read(fd, text + len, VALUE_MAX + 1 - len)) > 0)
            len += (size_t)got;
    if (got == 0 && len <= VALUE_MAX && memchr(text, '\0', len) == NULL) {
        close(fd);
        text[len] = '\0';
        return text;
    }

    snprintf(why, why_size, "cannot use the file %.200s: %s", path,
             fd < 0 || got < 0 ? strerror(errno) : "it is longer than 64 KiB or has a NUL byte");
    if (fd >= 0)
        close(fd);
    sodium_free(text);
    return NULL;
}

static bool set_from_file(settings_t *settings, const setting_t *setting, const char *path,
                          const char *where, char *error, size_t error_size)
{
    char why[320];
    char *text = read_file(path, why, sizeof(why));

    if (text == NULL)
        return fail(error, error_size, setting->name, where, why);

    size_t len = strlen(text);
    if (len != 0 && text[len - 1] == '\n')
        text[--len] = '\0';
    if (len != 0 && text[len - 1] == '\r')
        text[--len] = '\0';
    bool ok = set(settings, setting, text, where, error, error_size);
    sodium_free(text);
    return ok;
}

static char *trimmed(char *text)
{
    char *end = text + strlen(text);

    while (end > text && (end[-1] == ' ' || end[-1] == '\t' || end[-1] == '\r'))
        *--end = '\0';
    return text + strspn(text, " \t");
}

static void suggest(char *text, size_t size, const char *before, const char *name)
{
    const char *known = nearest(name, table_name, NULL);

    if (known == NULL)
        snprintf(text, size, "%s", before);
    else
        snprintf(text, size, "%s; did you mean %s?", before, known);
}

/* `name = value`, a comment or nothing. seen: one flag for each row of the table. */
static bool read_line(settings_t *settings, char *line, bool seen[SETTINGS], const char *where,
                      char *error, size_t error_size)
{
    char why[160];
    char *name = trimmed(line);
    char *equals = strchr(name, '=');

    if (*name == '\0' || *name == '#')
        return true;
    if (equals == NULL)
        return fail(error, error_size, "configuration file", where, "expected `name = value`");

    *equals = '\0';
    name = trimmed(name);
    const setting_t *setting = find(name);
    if (setting == NULL) {
        suggest(why, sizeof(why), "there is no such setting", name);
        return fail(error, error_size, name, where, why);
    }
    if (seen[setting - table])
        return fail(error, error_size, name, where, "it is there twice");
    seen[setting - table] = true;
    return set(settings, setting, trimmed(equals + 1), where, error, error_size);
}

static bool load_file(settings_t *settings, const char *path, char *error, size_t error_size)
{
    bool seen[SETTINGS] = {false}, ok = true;
    char why[320], where[320];
    char *text = read_file(path, why, sizeof(why));

    if (text == NULL)
        return fail(error, error_size, "configuration file", "--config", why);

    unsigned number = 0;
    for (char *line = text, *next; ok && line != NULL; line = next) {
        next = strchr(line, '\n');
        if (next != NULL)
            *next++ = '\0';
        snprintf(where, sizeof(where), "%.280s, line %u", path, ++number);
        ok = read_line(settings, line, seen, where, error, error_size);
    }
    sodium_free(text);
    return ok;
}

/* ---- the environment ---- */

static const char *variable(const setting_t *setting, const char *suffix, char name[NAME_MAX_BYTES])
{
    const char *value = getenv(spelled(setting, true, suffix, name));

    return value != NULL && value[0] != '\0' ? value : NULL;
}

/* What has been read does not stay where a child or /proc would show it. */
static void wipe(const setting_t *setting)
{
    char name[NAME_MAX_BYTES];
    char *value = getenv(spelled(setting, true, "", name));

    if (value == NULL || !is_secret(setting))
        return;
    sodium_memzero(value, strlen(value));
    unsetenv(name);
}

static bool load_variables(settings_t *settings, char *error, size_t error_size)
{
    char name[NAME_MAX_BYTES];
    bool ok = true;

    for (size_t i = 0; ok && i < SETTINGS; i++) {
        const char *value = variable(&table[i], "", name);
        if (value != NULL) {
            ok = set(settings, &table[i], value, name, error, error_size);
            wipe(&table[i]);
            continue;
        }
        value = is_secret(&table[i]) ? variable(&table[i], "_FILE", name) : NULL;
        if (value != NULL)
            ok = set_from_file(settings, &table[i], value, name, error, error_size);
    }
    return ok;
}

/* name: without RELAY_, in lower case. */
static bool variable_known(const char *name)
{
    char whole[NAME_MAX_BYTES];
    size_t len = strlen(name);

    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
        if (strcasecmp(others[i], name) == 0)
            return true;
    if (find(name) != NULL)
        return true;
    if (len < 6 || strcmp(name + len - 5, "_file") != 0)
        return false;
    snprintf(whole, sizeof(whole), "%.*s", (int)(len - 5), name);
    const setting_t *setting = find(whole);
    return setting != NULL && is_secret(setting);
}

static void warn_of_variable(const char *entry)
{
    char lower[NAME_MAX_BYTES], shown[NAME_MAX_BYTES], near_name[NAME_MAX_BYTES];
    size_t len = strcspn(entry, "=");

    if (len >= sizeof(lower))
        len = sizeof(lower) - 1;
    snprintf(shown, sizeof(shown), "%.*s", (int)len, entry);
    for (size_t i = 0; i <= len - 6; i++)
        lower[i] =
            shown[i + 6] >= 'A' && shown[i + 6] <= 'Z' ? (char)(shown[i + 6] + 32) : shown[i + 6];
    if (variable_known(lower))
        return;

    const char *known = nearest(lower, table_name, NULL);
    log_event(LOG_WARN, "a RELAY_ variable that nothing reads", "variable", shown, "did_you_mean",
              known == NULL ? NULL : spelled(find(known), true, "", near_name), NULL);
}

static void warn_of_unknown_variables(void)
{
    extern char **environ;

    for (char **entry = environ; entry != NULL && *entry != NULL; entry++)
        if (strncmp(*entry, "RELAY_", 6) == 0 && strchr(*entry, '=') != NULL)
            warn_of_variable(*entry);
}

/* ---- flags ---- */

static const struct {
    const char *flag;
    settings_action_t action;
} actions[] = {
    {"--help", SETTINGS_HELP},
    {"--version", SETTINGS_VERSION},
    {"--check", SETTINGS_CHECK},
    {"--bootstrap", SETTINGS_BOOTSTRAP},
    {"--generate-keys", SETTINGS_GENERATE_KEYS},
};

static settings_action_t action_of(const char *flag)
{
    for (size_t i = 0; i < sizeof(actions) / sizeof(actions[0]); i++)
        if (strcmp(actions[i].flag, flag) == 0)
            return actions[i].action;
    return SETTINGS_RUN;
}

settings_action_t settings_action(int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        if (action_of(argv[i]) != SETTINGS_RUN)
            return action_of(argv[i]);
    return SETTINGS_RUN;
}

/* `--name=value` or `--name value`; moves *i on to what was used. NULL: there is no value. */
static char *flag_value(int argc, char **argv, int *i, char name[NAME_MAX_BYTES])
{
    char *equals = strchr(argv[*i], '=');
    size_t len = equals != NULL ? (size_t)(equals - argv[*i]) : strlen(argv[*i]);

    snprintf(name, NAME_MAX_BYTES, "%.*s", (int)(len < NAME_MAX_BYTES ? len : NAME_MAX_BYTES - 1),
             argv[*i]);
    if (equals != NULL)
        return equals + 1;
    return *i + 1 < argc ? argv[++*i] : NULL;
}

/* The row that a flag names; *file: it names the file of a secret. */
static const setting_t *flag_setting(const char *flag, bool *file)
{
    char name[NAME_MAX_BYTES];

    for (size_t i = 0; i < SETTINGS; i++) {
        *file = is_secret(&table[i]) && strcmp(spelled(&table[i], false, "_file", name), flag) == 0;
        if (*file || strcmp(spelled(&table[i], false, "", name), flag) == 0)
            return &table[i];
    }
    return NULL;
}

static bool unknown_flag(const char *flag, char *error, size_t error_size)
{
    char name[NAME_MAX_BYTES], why[160];

    snprintf(name, sizeof(name), "%s", strncmp(flag, "--", 2) == 0 ? flag + 2 : flag);
    for (char *p = name; *p != '\0'; p++)
        if (*p == '-')
            *p = '_';
    suggest(why, sizeof(why), "there is no such flag", name);
    return fail(error, error_size, flag, "command line", why);
}

static bool load_flag(settings_t *settings, const char *flag, char *value, char *error,
                      size_t error_size)
{
    bool file = false;
    const setting_t *setting = flag_setting(flag, &file);

    if (setting == NULL)
        return unknown_flag(flag, error, error_size);
    if (setting->kind == SETTING_SECRET && !file)
        return fail(error, error_size, flag, "command line",
                    "a secret does not belong on a command line; name its file with -file");
    if (value == NULL)
        return fail(error, error_size, flag, "command line", "its value is missing");
    if (file)
        return set_from_file(settings, setting, value, flag, error, error_size);

    bool ok = set(settings, setting, value, flag, error, error_size);
    if (is_secret(setting))
        sodium_memzero(value, strlen(value));
    return ok;
}

/* Twice over: the file that --config names comes before all else, flags come last. */
static bool load_flags(settings_t *settings, int argc, char **argv, bool config, char *error,
                       size_t error_size)
{
    char flag[NAME_MAX_BYTES];

    for (int i = 1; i < argc; i++) {
        if (action_of(argv[i]) != SETTINGS_RUN)
            continue;
        char *value = flag_value(argc, argv, &i, flag);
        bool is_config = strcmp(flag, "--config") == 0;
        if (is_config && value == NULL)
            return fail(error, error_size, flag, "command line", "its value is missing");
        if (is_config && config && !load_file(settings, value, error, error_size))
            return false;
        if (!is_config && !config && !load_flag(settings, flag, value, error, error_size))
            return false;
    }
    return true;
}

/* ---- all of it ---- */

static bool load_defaults(settings_t *settings, char *error, size_t error_size)
{
    for (size_t i = 0; i < SETTINGS; i++)
        if (table[i].fallback != NULL &&
            !set(settings, &table[i], table[i].fallback, "default", error, error_size))
            return false;
    return true;
}

static bool check_required(settings_t *settings, char *error, size_t error_size)
{
    char name[NAME_MAX_BYTES];

    for (size_t i = 0; i < SETTINGS; i++) {
        if (table[i].fallback != NULL)
            continue;
        const char *value = *text_of(settings, &table[i]);
        if (value == NULL || value[0] == '\0')
            return fail(error, error_size, table[i].name, spelled(&table[i], true, "", name),
                        "it is required and not set");
    }
    return true;
}

static bool check_level(const settings_t *settings, char *error, size_t error_size)
{
    static const char *const levels[] = {"debug", "info", "warn", "error"};

    for (size_t i = 0; i < sizeof(levels) / sizeof(levels[0]); i++)
        if (strcmp(settings->log_level, levels[i]) == 0) {
            log_set_level((log_level_t)i);
            return true;
        }
    return fail(error, error_size, "log_level", settings->log_level,
                "expected debug, info, warn or error");
}

bool settings_load(settings_t *settings, int argc, char **argv, char *error, size_t error_size)
{
    *settings = (settings_t){0};

    if (sodium_init() < 0)
        return fail(error, error_size, "libsodium", "start", "it does not work here");

    return load_defaults(settings, error, error_size) &&
           load_flags(settings, argc, argv, true, error, error_size) &&
           load_variables(settings, error, error_size) &&
           load_flags(settings, argc, argv, false, error, error_size) &&
           check_required(settings, error, error_size) &&
           check_level(settings, error, error_size) && (warn_of_unknown_variables(), true);
}

void settings_free(settings_t *settings)
{
    for (size_t i = 0; i < SETTINGS; i++)
        if (table[i].kind != SETTING_NUMBER)
            give_back(&table[i], *text_of(settings, &table[i]));
    *settings = (settings_t){0};
}

void settings_describe(FILE *out)
{
    char flag[NAME_MAX_BYTES], name[NAME_MAX_BYTES];

    for (size_t i = 0; i < SETTINGS; i++)
        fprintf(out, "  %-28s %s\n      %s%s%s%s\n",
                spelled(&table[i], false, table[i].kind == SETTING_SECRET ? "_file" : "", flag),
                spelled(&table[i], true, "", name), table[i].meaning,
                table[i].fallback == NULL ? " (required)" : "",
                table[i].fallback != NULL && table[i].fallback[0] != '\0' ? "; default " : "",
                table[i].fallback != NULL ? table[i].fallback : "");
}
