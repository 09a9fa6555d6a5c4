/* Contexts of relayctl; called by relayctl.c and relayctl_api.c. */

#include "relayctl_context.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "relayctl.h"

enum { PATH_LEN = 4096, TOKEN_LEN = 64 };

static bool path_of(char path[PATH_LEN], bool make)
{
    const char *config = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");
    char directory[PATH_LEN - 32];

    if (config != NULL && config[0] == '/')
        snprintf(directory, sizeof(directory), "%s", config);
    else if (home != NULL && home[0] == '/')
        snprintf(directory, sizeof(directory), "%s/.config", home);
    else
        return false;

    if (make)
        mkdir(directory, 0700);
    snprintf(path, PATH_LEN, "%s/relay", directory);
    if (make)
        mkdir(path, 0700);
    strncat(path, "/contexts.json", PATH_LEN - strlen(path) - 1);
    return true;
}

static json_t *read_all(void)
{
    char path[PATH_LEN];
    json_t *all = path_of(path, false) ? json_load_file(path, JSON_REJECT_DUPLICATES, NULL) : NULL;

    if (!json_is_object(json_object_get(all, "contexts"))) {
        json_decref(all);
        all = json_pack("{s:s, s:{}}", "current", "", "contexts");
    }
    return all;
}

static int write_all(const json_t *all)
{
    char path[PATH_LEN], new_path[PATH_LEN + 8];
    FILE *out = NULL;
    int fd;

    if (!path_of(path, true))
        return relayctl_complain("there is no home directory", "set HOME or XDG_CONFIG_HOME");

    snprintf(new_path, sizeof(new_path), "%s.new", path);
    unlink(new_path);
    fd = open(new_path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    out = fd < 0 ? NULL : fdopen(fd, "w");
    if (out == NULL)
        return relayctl_complain(new_path, strerror(errno));

    bool ok = json_dumpf(all, out, JSON_INDENT(2) | JSON_SORT_KEYS) == 0 && fputc('\n', out) > 0;
    ok = fclose(out) == 0 && ok && rename(new_path, path) == 0;
    return ok ? EXIT_OK : relayctl_complain(path, strerror(errno));
}

static void take(char *to, size_t size, const char *text)
{
    snprintf(to, size, "%s", text == NULL ? "" : text);
}

static void trim_url(char *url)
{
    size_t len = strlen(url);

    while (len > 0 && url[len - 1] == '/')
        url[--len] = '\0';
    if (len > 7 && strcmp(url + len - 7, "/api/v1") == 0)
        url[len - 7] = '\0';
}

bool relayctl_context_load(relayctl_context_t *context)
{
    json_t *all = read_all();
    const char *current = json_string_value(json_object_get(all, "current"));
    const json_t *entry = json_object_get(json_object_get(all, "contexts"), current);
    const char *url = getenv("RELAY_URL"), *token = getenv("RELAY_TOKEN");
    const char *workspace = getenv("RELAY_WORKSPACE");

    take(context->url, sizeof(context->url),
         url != NULL ? url : json_string_value(json_object_get(entry, "url")));
    take(context->token, sizeof(context->token),
         token != NULL ? token : json_string_value(json_object_get(entry, "token")));
    take(context->workspace, sizeof(context->workspace),
         workspace != NULL ? workspace : json_string_value(json_object_get(entry, "workspace")));
    json_decref(all);

    trim_url(context->url);
    if (context->workspace[0] == '\0')
        take(context->workspace, sizeof(context->workspace), "default");
    if (context->url[0] != '\0')
        return true;

    relayctl_usage("no context", "relayctl context set NAME --url URL, or set RELAY_URL and"
                                 " RELAY_TOKEN");
    return false;
}

/* ---- commands ---- */

/* The token comes from standard input: on the command line others could see it. */
static bool read_token(char token[TOKEN_LEN])
{
    if (isatty(STDIN_FILENO))
        fputs("API token: ", stderr);
    if (fgets(token, TOKEN_LEN, stdin) == NULL)
        return false;
    token[strcspn(token, "\r\n")] = '\0';
    return token[0] != '\0';
}

static int set(int count, char **words)
{
    const char *url = NULL, *workspace = "default";
    char token[TOKEN_LEN];

    if (count < 1 || words[0][0] == '-')
        return relayctl_usage("context set", "a name is missing");
    for (int i = 1; i + 1 < count; i += 2) {
        if (strcmp(words[i], "--url") == 0)
            url = words[i + 1];
        else if (strcmp(words[i], "--workspace") == 0)
            workspace = words[i + 1];
        else
            return relayctl_usage("context set", words[i]);
    }
    if (url == NULL)
        return relayctl_usage("context set", "--url is missing");
    if (!read_token(token))
        return relayctl_complain("context set", "the API token is read from standard input");

    json_t *all = read_all();
    json_object_set_new(
        json_object_get(all, "contexts"), words[0],
        json_pack("{s:s, s:s, s:s}", "url", url, "token", token, "workspace", workspace));
    json_object_set_new(all, "current", json_string(words[0]));
    OPENSSL_cleanse(token, sizeof(token));
    int status = write_all(all);
    json_decref(all);
    return status;
}

static int use_or_remove(const char *name, bool remove)
{
    json_t *all = read_all(), *contexts = json_object_get(all, "contexts");
    int status;

    if (json_object_get(contexts, name) == NULL) {
        json_decref(all);
        return relayctl_complain("there is no context", name);
    }
    const char *current = json_string_value(json_object_get(all, "current"));
    bool was_current = current != NULL && strcmp(current, name) == 0;
    if (remove)
        json_object_del(contexts, name);
    if (!remove || was_current)
        json_object_set_new(all, "current", json_string(remove ? "" : name));
    status = write_all(all);
    json_decref(all);
    return status;
}

static int list(void)
{
    json_t *all = read_all(), *entry;
    const char *current = json_string_value(json_object_get(all, "current")), *name;

    json_object_foreach(json_object_get(all, "contexts"), name, entry)
        printf("%c %-20s %s (%s)\n", strcmp(name, current) == 0 ? '*' : ' ', name,
               json_string_value(json_object_get(entry, "url")),
               json_string_value(json_object_get(entry, "workspace")));
    json_decref(all);
    return relayctl_finish(EXIT_OK);
}

int relayctl_context_command(int count, char **words)
{
    if (count >= 1 && strcmp(words[0], "set") == 0)
        return set(count - 1, words + 1);
    if (count == 2 && strcmp(words[0], "use") == 0)
        return use_or_remove(words[1], false);
    if (count == 2 && strcmp(words[0], "remove") == 0)
        return use_or_remove(words[1], true);
    if (count == 1 && strcmp(words[0], "list") == 0)
        return list();
    return relayctl_usage("context", "set NAME --url URL, use NAME, remove NAME or list");
}
