/*
 * The commands of relayctl that call relayd. What kinds there are is one table;
 * members are not: relayd says what it takes.
 */

#include "relayctl_api.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "relayctl.h"
#include "relayctl_call.h"
#include "relayctl_print.h"

enum { PATH_LEN = 1024, ENCODED_LEN = 800, PAGE = 500 };

#define SCOPED "/workspaces/{workspace}/"

static const struct {
    const char *name; /* as a word on the command line */
    const char *path;
    const char *const *columns;
} kinds[] = {
    {"hosts", SCOPED "hosts", (const char *const[]){"name", "source", "base_url", NULL}},
    {"models", SCOPED "models",
     (const char *const[]){"name", "source", "owned_by", "context_tokens", "output_tokens", NULL}},
    {"provider-keys", SCOPED "provider-keys",
     (const char *const[]){"name", "host", "state", "value_from", "state_reason", NULL}},
    {"pools", SCOPED "pools", (const char *const[]){"name", "strategy", "members", NULL}},
    {"policies", SCOPED "policies", (const char *const[]){"name", "pools", "allow", "deny", NULL}},
    {"relay-keys", SCOPED "relay-keys",
     (const char *const[]){"name", "policy", "state", "public_id", "expires_at", NULL}},
    {"events", SCOPED "events", (const char *const[]){"at", "actor", "verb", "kind", "name", NULL}},
    {"api-tokens", "/api-tokens",
     (const char *const[]){"name", "role", "scopes", "expires_at", "last_used_at", NULL}},
    {"workspaces", "/workspaces", (const char *const[]){"name", "description", NULL}},
    {"nodes", "/dataplane/nodes",
     (const char *const[]){"node", "worker", "pid", "revision", "state", "reason", NULL}},
};
enum { KINDS = sizeof(kinds) / sizeof(kinds[0]) };

/* A command's words, sorted. */
typedef struct {
    relayctl_context_t context;
    output_t output;
    const char *words[16]; /* those without dashes, behind the command */
    int count;
    json_t *members; /* name=value */
    const char *file, *overlap, *policy, *snippet, *format;
    bool prune, yes;
} command_t;

/* "relay-key" and "relay-keys" are the same; -1: there is no such kind. */
static int kind_named(const char *word)
{
    size_t len = strlen(word);

    for (int i = 0; i < KINDS; i++) {
        const char *name = kinds[i].name;
        size_t whole = strlen(name);
        if (strcmp(word, name) == 0 || (len == whole - 1 && strncmp(word, name, len) == 0) ||
            (strcmp(name, "policies") == 0 && strcmp(word, "policy") == 0))
            return i;
    }
    relayctl_usage("there is no kind", word);
    return -1;
}

/* ---- the command line ---- */

/* A value is JSON if it can be; else it is a text. */
static void add_member(command_t *command, const char *word, const char *equals)
{
    json_t *value = json_loads(equals + 1, JSON_DECODE_ANY, NULL);
    char name[128];

    snprintf(name, sizeof(name), "%.*s", (int)(equals - word), word);
    json_object_set_new(command->members, name, value != NULL ? value : json_string(equals + 1));
}

static const char **option_of(command_t *command, const char *word)
{
    static const char *ignored;

    if (strcmp(word, "-f") == 0 || strcmp(word, "--file") == 0)
        return &command->file;
    if (strcmp(word, "--overlap") == 0)
        return &command->overlap;
    if (strcmp(word, "--policy") == 0)
        return &command->policy;
    if (strcmp(word, "--snippet") == 0)
        return &command->snippet;
    if (strcmp(word, "--format") == 0)
        return &command->format;
    return strcmp(word, "-o") == 0 || strcmp(word, "--output") == 0 ? &ignored : NULL;
}

static bool read_word(command_t *command, char **words, int count, int *i)
{
    const char *word = words[*i], *equals = strchr(word, '=');
    const char **option = option_of(command, word);

    if (strcmp(word, "--prune") == 0)
        return command->prune = true;
    if (strcmp(word, "--yes") == 0)
        return command->yes = true;
    if (option != NULL) {
        if (++*i == count)
            return false;
        *option = words[*i];
        return (strcmp(word, "-o") != 0 && strcmp(word, "--output") != 0) ||
               output_named(words[*i], &command->output);
    }
    if (word[0] == '-' || command->count == 16)
        return false;
    if (equals != NULL)
        add_member(command, word, equals);
    else
        command->words[command->count++] = word;
    return true;
}

static bool read_words(command_t *command, int count, char **words)
{
    *command = (command_t){.output = OUTPUT_TABLE, .members = json_object()};

    for (int i = 0; i < count; i++)
        if (!read_word(command, words, count, &i)) {
            relayctl_usage("cannot read", words[i < count ? i : count - 1]);
            return false;
        }
    return relayctl_context_load(&command->context);
}

/* A document from a file, or from standard input for "-". */
static json_t *read_file(const char *path)
{
    json_error_t error;
    json_t *document = strcmp(path, "-") == 0
                           ? json_loadf(stdin, JSON_REJECT_DUPLICATES, &error)
                           : json_load_file(path, JSON_REJECT_DUPLICATES, &error);

    if (document == NULL) {
        char about[300];
        snprintf(about, sizeof(about), "%s (line %d, column %d)", error.text, error.line,
                 error.column);
        relayctl_complain(path, about);
    }
    return document;
}

/* ---- calls ---- */

static void path_to(char path[PATH_LEN], int kind, const char *name, const char *action)
{
    char encoded[ENCODED_LEN];

    relayctl_encode(name, encoded, sizeof(encoded));
    snprintf(path, PATH_LEN, "%s/%s%s", kinds[kind].path, encoded, action);
}

/* Calls, prints what came, and tells how it ended. */
static int call_and_print(command_t *command, const char *method, const char *path,
                          const json_t *body, const char *if_match, const char *const *columns)
{
    relayctl_answer_t answer;
    bool ok = relayctl_call(&command->context, method, path, body, if_match, &answer);

    if (ok && answer.body != NULL)
        print_value(answer.body, command->output, columns);
    json_decref(answer.body);
    return relayctl_finish(ok ? EXIT_OK : EXIT_REFUSED);
}

static bool wants(command_t *command, int count, const char *usage)
{
    if (command->count == count)
        return true;
    relayctl_usage("usage", usage);
    return false;
}

static int list(command_t *command)
{
    int kind = wants(command, 1, "list KIND") ? kind_named(command->words[0]) : -1;
    json_t *items = json_array();
    char path[PATH_LEN], cursor[2100] = "";
    relayctl_answer_t answer;
    bool ok = kind >= 0;

    if (!ok)
        return EXIT_USAGE;

    do {
        snprintf(path, sizeof(path), "%s?limit=%d%s%.700s", kinds[kind].path, PAGE,
                 cursor[0] ? "&cursor=" : "", cursor);
        ok = relayctl_call(&command->context, "GET", path, NULL, NULL, &answer);
        json_array_extend(items, json_object_get(answer.body, "items"));
        const char *next = json_string_value(json_object_get(answer.body, "next_cursor"));
        snprintf(cursor, sizeof(cursor), "%s", next == NULL ? "" : next);
        json_decref(answer.body);
    } while (ok && cursor[0] != '\0');

    if (ok)
        print_value(items, command->output, kinds[kind].columns);
    json_decref(items);
    return relayctl_finish(ok ? EXIT_OK : EXIT_REFUSED);
}

static int get(command_t *command)
{
    int kind = wants(command, 2, "get KIND NAME") ? kind_named(command->words[0]) : -1;
    char path[PATH_LEN];

    if (kind < 0)
        return EXIT_USAGE;
    path_to(path, kind, command->words[1], "");
    return call_and_print(command, "GET", path, NULL, NULL, NULL);
}

/* The body: a file's document, and members on top of it. */
static json_t *body_of(command_t *command)
{
    json_t *body = command->file == NULL ? json_object() : read_file(command->file);

    if (body != NULL)
        json_object_update(body, command->members);
    return body;
}

static int create(command_t *command)
{
    int kind = wants(command, 2, "create KIND NAME [MEMBER=VALUE…] [-f FILE]")
                   ? kind_named(command->words[0])
                   : -1;
    json_t *body = kind < 0 ? NULL : body_of(command);
    int status;

    if (body == NULL)
        return kind < 0 ? EXIT_USAGE : EXIT_REFUSED;
    json_object_set_new(body, "name", json_string(command->words[1]));
    status = call_and_print(command, "POST", kinds[kind].path, body, NULL, NULL);
    json_decref(body);
    return status;
}

static int edit(command_t *command)
{
    int kind = wants(command, 2, "edit KIND NAME MEMBER=VALUE… | -f FILE")
                   ? kind_named(command->words[0])
                   : -1;
    json_t *body = kind < 0 ? NULL : body_of(command);
    char path[PATH_LEN];
    int status;

    if (body == NULL)
        return kind < 0 ? EXIT_USAGE : EXIT_REFUSED;
    if (json_object_size(body) == 0) {
        json_decref(body);
        return relayctl_usage("edit", "nothing to change: give MEMBER=VALUE or -f FILE");
    }
    path_to(path, kind, command->words[1], "");
    status = call_and_print(command, "PATCH", path, body, "*", NULL);
    json_decref(body);
    return status;
}

static int delete (command_t *command)
{
    int kind = wants(command, 2, "delete KIND NAME") ? kind_named(command->words[0]) : -1;
    char path[PATH_LEN];

    if (kind < 0)
        return EXIT_USAGE;
    path_to(path, kind, command->words[1], "");
    return call_and_print(command, "DELETE", path, NULL, "*", NULL);
}

/* "90", "30m", "12h", "7d" → seconds; -1: none of these. */
static long long seconds_of(const char *text)
{
    char *end;
    long long n = strtoll(text, &end, 10);
    long long unit = *end == '\0' || *end == 's' ? 1
                     : *end == 'm'               ? 60
                     : *end == 'h'               ? 3600
                     : *end == 'd'               ? 86400
                                                 : 0;

    if (end == text || n < 0 || n > 100000000 || unit == 0 || (*end != '\0' && end[1] != '\0'))
        return -1;
    return n * unit;
}

static int act(command_t *command, const char *action, bool takes_body)
{
    int kind = wants(command, 2, "KIND NAME") ? kind_named(command->words[0]) : -1;
    json_t *body = kind >= 0 && takes_body ? body_of(command) : NULL;
    char path[PATH_LEN];
    int status;

    if (kind < 0)
        return EXIT_USAGE;
    if (body != NULL && command->overlap != NULL) {
        if (seconds_of(command->overlap) < 0)
            return relayctl_usage("--overlap", "90, 30m, 12h or 7d");
        json_object_set_new(body, "overlap_s", json_integer(seconds_of(command->overlap)));
    }
    path_to(path, kind, command->words[1], action);
    status = call_and_print(command, "POST", path, body, "*", NULL);
    json_decref(body);
    return status;
}

static int rotate(command_t *command)
{
    return act(command, ":rotate", true);
}

static int revoke(command_t *command)
{
    return act(command, ":revoke", false);
}

static int test(command_t *command)
{
    return act(command, ":test", false);
}

/* ---- the whole configuration ---- */

static void print_steps(const json_t *steps)
{
    json_t *step;
    size_t i;

    json_array_foreach(steps, i, step)
    {
        const char *verb = json_string_value(json_object_get(step, "verb"));
        printf("%c %s %s\n",
               verb[0] == 'c'   ? '+'
               : verb[0] == 'd' ? '-'
                                : '~',
               json_string_value(json_object_get(step, "section")),
               json_string_value(json_object_get(step, "name")));
    }
    if (json_array_size(steps) == 0)
        puts("nothing to change");
}

static int apply_or_plan(command_t *command, const char *action)
{
    json_t *document = command->file == NULL ? NULL : read_file(command->file), *key;
    relayctl_answer_t answer;
    char path[PATH_LEN];
    const char *name;

    if (document == NULL)
        return command->file == NULL ? relayctl_usage("usage", "-f FILE [--prune]") : EXIT_REFUSED;

    snprintf(path, sizeof(path), SCOPED "configuration%s%s", action,
             command->prune ? "?prune=true" : "");
    bool ok = relayctl_call(&command->context, "POST", path, document, NULL, &answer);
    if (ok && command->output == OUTPUT_TABLE)
        print_steps(json_object_get(answer.body, "steps"));
    else if (ok)
        print_value(answer.body, command->output, NULL);
    if (ok && command->output == OUTPUT_TABLE)
        json_object_foreach(json_object_get(answer.body, "minted"), name, key)
            printf("relay key %s: %s\n", name, json_string_value(key));

    json_decref(answer.body);
    json_decref(document);
    return relayctl_finish(ok ? EXIT_OK : EXIT_REFUSED);
}

static int apply(command_t *command)
{
    return apply_or_plan(command, ":apply");
}

static int diff(command_t *command)
{
    return apply_or_plan(command, ":plan");
}

static int export_all(command_t *command)
{
    if (command->output == OUTPUT_TABLE)
        command->output = OUTPUT_JSON;
    return call_and_print(command, "GET", SCOPED "configuration", NULL, NULL, NULL);
}

/* ---- why, doctor ---- */

static void print_why(const json_t *answer)
{
    const char *verdict = json_string_value(json_object_get(answer, "verdict"));
    static const char *const columns[] = {"host", "provider_key", "upstream_model", "format", NULL};
    json_t *step;
    size_t i;

    printf("%s\n", verdict == NULL ? "?" : verdict);
    if (json_array_size(json_object_get(answer, "candidates")) > 0)
        print_value(json_object_get(answer, "candidates"), OUTPUT_TABLE, columns);
    json_array_foreach(json_object_get(answer, "reasons"), i, step)
        printf("  %s\n", json_string_value(step));
}

static int why(command_t *command)
{
    json_t *body;
    relayctl_answer_t answer;

    if (!wants(command, 2, "why RELAY-KEY MODEL [--format FORMAT]"))
        return EXIT_USAGE;

    body = json_pack("{s:s, s:s, s:s*}", "relay_key", command->words[0], "model", command->words[1],
                     "format", command->format);
    bool ok =
        relayctl_call(&command->context, "POST", SCOPED "policies:simulate", body, NULL, &answer);
    if (ok && command->output == OUTPUT_TABLE)
        print_why(answer.body);
    else if (ok)
        print_value(answer.body, command->output, NULL);
    json_decref(answer.body);
    json_decref(body);
    return relayctl_finish(ok ? EXIT_OK : EXIT_REFUSED);
}

static bool check_line(bool ok, const char *what, const char *hint)
{
    printf("%-4s %s%s%s\n", ok ? "ok" : "BAD", what, ok ? "" : ": ", ok ? "" : hint);
    return ok;
}

/* What is wrong with what people look at last. */
static bool doctor_keys(command_t *command)
{
    relayctl_answer_t answer;
    json_t *key;
    size_t i;
    bool good = relayctl_call(&command->context, "GET", SCOPED "provider-keys?limit=500", NULL,
                              NULL, &answer);

    json_array_foreach(json_object_get(answer.body, "items"), i, key)
    {
        const char *state = json_string_value(json_object_get(key, "state"));
        const char *reason = json_string_value(json_object_get(key, "state_reason"));
        char what[200];
        snprintf(what, sizeof(what), "provider key %s is %s",
                 json_string_value(json_object_get(key, "name")), state);
        good &= check_line(strcmp(state, "ready") == 0 || strcmp(state, "disabled") == 0, what,
                           reason == NULL ? "" : reason);
    }
    json_decref(answer.body);
    return good;
}

static bool doctor_nodes(command_t *command)
{
    relayctl_answer_t answer;
    json_t *node;
    size_t i;
    bool good = relayctl_call(&command->context, "GET", "/dataplane/nodes", NULL, NULL, &answer);

    good &= check_line(json_array_size(json_object_get(answer.body, "items")) > 0,
                       "workers report to the store", "is nginx running with relay_store?");
    json_array_foreach(json_object_get(answer.body, "items"), i, node)
    {
        const char *reason = json_string_value(json_object_get(node, "reason"));
        char what[200];
        snprintf(what, sizeof(what), "worker %lld of %s serves revision %lld",
                 json_integer_value(json_object_get(node, "worker")),
                 json_string_value(json_object_get(node, "node")),
                 json_integer_value(json_object_get(node, "revision")));
        good &=
            check_line(strcmp(json_string_value(json_object_get(node, "state")), "refused") != 0,
                       what, reason == NULL ? "" : reason);
    }
    json_decref(answer.body);
    return good;
}

static int doctor(command_t *command)
{
    relayctl_answer_t answer;
    bool good = relayctl_call(&command->context, "GET", "/version", NULL, NULL, &answer);

    check_line(good, "relayd answers", command->context.url);
    json_decref(answer.body);
    good = good && doctor_keys(command);
    good = doctor_nodes(command) && good;
    return relayctl_finish(good ? EXIT_OK : EXIT_REFUSED);
}

/* ---- key mint ---- */

/* Where applications send their requests, as relayd says; without it, where relayd is. */
static void public_url(command_t *command, char *url, size_t size)
{
    relayctl_answer_t answer;
    bool ok = relayctl_call(&command->context, "GET", "/version", NULL, NULL, &answer);
    const char *said = json_string_value(json_object_get(answer.body, "public_url"));
    size_t len;

    snprintf(url, size, "%s", ok && said != NULL ? said : command->context.url);
    if (ok && said == NULL)
        fputs("relayctl: relayd does not know its public URL (settings: public_url);"
              " the admin API's is shown\n",
              stderr);
    for (len = strlen(url); len > 0 && url[len - 1] == '/'; len--)
        url[len - 1] = '\0';
    json_decref(answer.body);
}

static bool print_snippet(command_t *command, const char *key)
{
    char url[2100];

    public_url(command, url, sizeof(url));
    return relayctl_snippet(command->snippet, url, key);
}

int relayctl_key_mint(int count, char **words)
{
    command_t command;
    relayctl_answer_t answer;
    json_t *body = NULL;

    if (!read_words(&command, count, words) || !wants(&command, 1, "key mint NAME"))
        return EXIT_USAGE;
    /* Before a key is made that nobody gets to see. */
    if (command.snippet != NULL && !relayctl_snippet_known(command.snippet))
        return relayctl_usage("--snippet", command.snippet);

    body = body_of(&command);
    json_object_set_new(body, "name", json_string(command.words[0]));
    json_object_set_new(body, "policy",
                        json_string(command.policy != NULL ? command.policy : "default"));
    bool ok = relayctl_call(&command.context, "POST", SCOPED "relay-keys", body, NULL, &answer);
    const char *key = json_string_value(json_object_get(answer.body, "key"));
    int status = ok ? EXIT_OK : EXIT_REFUSED;

    if (ok && command.snippet == NULL)
        puts(key);
    else if (ok)
        print_snippet(&command, key);
    json_decref(answer.body);
    json_decref(body);
    json_decref(command.members);
    return relayctl_finish(status);
}

/* ---- */

static const struct {
    const char *name;
    int (*run)(command_t *command);
} commands[] = {
    {"list", list},     {"get", get},       {"create", create},     {"edit", edit},
    {"delete", delete}, {"rotate", rotate}, {"test", test},         {"revoke", revoke},
    {"apply", apply},   {"diff", diff},     {"export", export_all}, {"why", why},
    {"doctor", doctor},
};
enum { COMMANDS = sizeof(commands) / sizeof(commands[0]) };

int relayctl_api(int count, char **words)
{
    for (int i = 0; i < COMMANDS; i++) {
        command_t command;
        if (strcmp(words[0], commands[i].name) != 0)
            continue;
        int status =
            read_words(&command, count - 1, words + 1) ? commands[i].run(&command) : EXIT_USAGE;
        json_decref(command.members);
        return status;
    }
    return -1;
}

/* ---- completion ---- */

static void print_words(void)
{
    for (int i = 0; i < COMMANDS; i++)
        printf("%s ", commands[i].name);
    fputs("context key config catalog completion", stdout);
}

static void print_kinds(void)
{
    for (int i = 0; i < KINDS; i++)
        printf("%s%s", i > 0 ? " " : "", kinds[i].name);
}

int relayctl_completion(int count, char **words)
{
    const char *shell = count == 1 ? words[0] : "";

    if (strcmp(shell, "fish") == 0) {
        fputs("complete -c relayctl -f -n __fish_use_subcommand -a \"", stdout);
        print_words();
        fputs("\"\ncomplete -c relayctl -f -n \"not __fish_use_subcommand\" -a \"", stdout);
        print_kinds();
        fputs("\"\n", stdout);
        return relayctl_finish(EXIT_OK);
    }
    if (strcmp(shell, "bash") != 0 && strcmp(shell, "zsh") != 0)
        return relayctl_usage("completion", "bash, zsh or fish");

    if (strcmp(shell, "zsh") == 0)
        fputs("autoload -U +X bashcompinit && bashcompinit\n", stdout);
    fputs("_relayctl() {\n    local words\n    if [ \"$COMP_CWORD\" -eq 1 ]; then words='", stdout);
    print_words();
    fputs("'; else words='", stdout);
    print_kinds();
    fputs("'; fi\n    COMPREPLY=($(compgen -W \"$words\" -- \"${COMP_WORDS[COMP_CWORD]}\"))\n}\n"
          "complete -F _relayctl relayctl\n",
          stdout);
    return relayctl_finish(EXIT_OK);
}
