/*
 * relayctl: what an operator does on the command line. Here: the command line
 * itself, and relay keys, which it mints and recognises. The launcher calls it,
 * too.
 */

#include "config_doc.h"
#include "relayctl.h"
#include "relayctl_api.h"
#include "relayctl_context.h"
#include "relayctl_translate.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/random.h>
#include <unistd.h>

#include <openssl/crypto.h>

static const char help[] =
    "relayctl: relay keys and configuration of Relay\n"
    "\n"
    "With relayd (context, or RELAY_URL and RELAY_TOKEN; -o table, json or yaml):\n"
    "\n"
    "  relayctl context set NAME --url URL [--workspace W]   token from standard input\n"
    "  relayctl context use NAME | remove NAME | list\n"
    "  relayctl list KIND              hosts, models, provider-keys, pools, policies,\n"
    "                                  relay-keys, api-tokens, events, nodes, workspaces\n"
    "  relayctl get KIND NAME\n"
    "  relayctl create KIND NAME [MEMBER=VALUE...] [-f FILE]\n"
    "  relayctl edit KIND NAME [MEMBER=VALUE...] [-f FILE]\n"
    "  relayctl delete KIND NAME\n"
    "  relayctl rotate relay-keys|provider-keys NAME [--overlap 12h] [MEMBER=VALUE...]\n"
    "  relayctl revoke relay-keys|api-tokens NAME\n"
    "  relayctl test provider-keys NAME\n"
    "  relayctl key mint NAME [--policy POLICY] [--snippet TOOL]\n"
    "      TOOL: claude-code, codex, openai-python, openai-node, anthropic-python,\n"
    "      anthropic-node or curl.\n"
    "  relayctl export > FILE, relayctl diff -f FILE, relayctl apply -f FILE [--prune]\n"
    "  relayctl why RELAY-KEY MODEL [--format FORMAT]\n"
    "  relayctl doctor\n"
    "  relayctl completion bash|zsh|fish\n"
    "\n"
    "Without:\n"
    "\n"
    "  relayctl key mint [--name NAME] [--policy POLICY] [--document FILE]\n"
    "      Makes a relay key. Line 1 is the key: it is shown only here. The rest is\n"
    "      the configuration document that lets nginx accept it; with --document it\n"
    "      goes into FILE, a new file that only its owner can read.\n"
    "      NAME is \"dev\" and POLICY \"default\" unless given.\n"
    "\n"
    "  relayctl key digest\n"
    "      Reads a relay key from standard input, prints its SHA-256 as \"sha256\" in\n"
    "      relay_keys takes it.\n"
    "\n"
    "  relayctl config check [--catalog PATH]... [FILE...]\n"
    "      Checks documents as one configuration: prints \"ok\", or where and what the\n"
    "      first fault is (status 1). References to provider keys are not resolved.\n"
    "      A catalog is a file, or a folder with all *.json below it.\n"
    "\n"
    "  relayctl catalog compile PATH\n"
    "      Prints a catalog as one document, without spaces, always in the same order.\n"
    "\n"
    "  relayctl translate --from FORMAT --to FORMAT [--response] [--stream] [--usage]\n"
    "                     [--strict] [--model NAME]\n"
    "      A request, an answer or a stream from standard input in another wire format.\n"
    "      What the other format cannot say is named on standard error; with --strict\n"
    "      that is a fault. NAME is the model that is asked for instead; --usage: a\n"
    "      stream ends with what it used, in formats where callers have to ask.\n";

int relayctl_complain(const char *what, const char *about)
{
    fprintf(stderr, "relayctl: %s%s%s\n", what, about[0] != '\0' ? ": " : "", about);
    return EXIT_REFUSED;
}

int relayctl_usage(const char *what, const char *about)
{
    relayctl_complain(what, about);
    fputs("Try: relayctl --help\n", stderr);
    return EXIT_USAGE;
}

int relayctl_finish(int status)
{
    if (fflush(stdout) != 0 || ferror(stdout)) {
        return relayctl_complain("cannot write to standard output", strerror(errno));
    }
    return status;
}

/* ---- key mint ------------------------------------------------------------- */

typedef struct {
    const char *name;
    const char *policy;
    const char *document; /* NULL: standard output */
} mint_t;

static bool fill_random(uint8_t *bytes, size_t length)
{
    while (length != 0) {
        ssize_t got = getrandom(bytes, length, 0);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0) {
            return false;
        }
        bytes += got;
        length -= (size_t)got;
    }
    return true;
}

static void print_digest(FILE *out, const relay_digest_t *digest)
{
    for (size_t i = 0; i < RELAY_DIGEST_LEN; i++) {
        fprintf(out, "%02x", digest->bytes[i]);
    }
}

/* Names need no escapes: see relay_config_name_ok. */
static void print_document(FILE *out, const mint_t *mint, const relay_digest_t *digest)
{
    fprintf(out, "{\n  \"relay_keys\": {\n    \"%s\": {\"policy\": \"%s\", \"sha256\": \"",
            mint->name, mint->policy);
    print_digest(out, digest);
    fputs("\"}\n  }\n}\n", out);
}

static bool write_document(const mint_t *mint, const relay_digest_t *digest)
{
    int descriptor = open(mint->document, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    FILE *out = descriptor >= 0 ? fdopen(descriptor, "w") : NULL;
    bool written;

    if (out == NULL) {
        relayctl_complain(mint->document, strerror(errno));
        if (descriptor >= 0) {
            close(descriptor);
        }
        return false;
    }
    print_document(out, mint, digest);
    written = !ferror(out) && fflush(out) == 0 && fsync(descriptor) == 0;
    if (fclose(out) != 0 || !written) {
        relayctl_complain(mint->document, strerror(errno));
        unlink(mint->document);
        return false;
    }
    return true;
}

static bool is_name(const char *text)
{
    return relay_config_name_ok(relay_span(text, strlen(text)));
}

/* NULL, or the option that is wrong. */
static const char *read_options(int count, char **words, mint_t *mint)
{
    for (int i = 0; i < count; i += 2) {
        const char **target = strcmp(words[i], "--name") == 0       ? &mint->name
                              : strcmp(words[i], "--policy") == 0   ? &mint->policy
                              : strcmp(words[i], "--document") == 0 ? &mint->document
                                                                    : NULL;
        if (target == NULL || i + 1 == count) {
            return words[i];
        }
        *target = words[i + 1];
    }
    return NULL;
}

static int key_mint(int count, char **words)
{
    mint_t mint = {"dev", "default", NULL};
    const char *wrong = read_options(count, words, &mint);
    uint8_t random[RELAY_KEY_RANDOM_LEN], key[RELAY_KEY_LEN];
    relay_digest_t digest;
    bool made;

    if (wrong != NULL) {
        return relayctl_usage("key mint takes --name, --policy and --document, each with a value",
                              wrong);
    }
    if (!is_name(mint.name) || !is_name(mint.policy)) {
        return relayctl_usage("a name is 1 to 64 letters, digits and any of . _ / -",
                              is_name(mint.name) ? mint.policy : mint.name);
    }
    if (!fill_random(random, sizeof(random))) {
        return relayctl_complain("no random bytes", strerror(errno));
    }
    relay_key_mint(random, key);
    OPENSSL_cleanse(random, sizeof(random));
    made = relay_key_digest(relay_span(key, sizeof(key)), &digest) &&
           (mint.document == NULL || write_document(&mint, &digest));
    if (made) {
        printf("%.*s\n", RELAY_KEY_LEN, (const char *)key);
    }
    if (made && mint.document == NULL) {
        print_document(stdout, &mint, &digest);
    }
    OPENSSL_cleanse(key, sizeof(key));
    return made ? relayctl_finish(EXIT_OK) : EXIT_REFUSED;
}

/* ---- key digest ----------------------------------------------------------- */

static int key_digest(void)
{
    char text[1024];
    size_t length = fread(text, 1, sizeof(text), stdin);
    relay_digest_t digest;
    bool good;

    while (length != 0 && (text[length - 1] == '\n' || text[length - 1] == '\r')) {
        length--;
    }
    good = relay_key_digest(relay_span(text, length), &digest);
    OPENSSL_cleanse(text, sizeof(text));
    if (!good) {
        return relayctl_complain(
            "this is no relay key",
            "expected rly_ and 46 characters with a right checksum, or any 20 to 256 "
            "printable characters without spaces");
    }
    print_digest(stdout, &digest);
    putchar('\n');
    return relayctl_finish(EXIT_OK);
}

/* ---- the command line ----------------------------------------------------- */

/* The translator alone, for those who look for it under its own name. */
static bool is_translator(const char *program)
{
    const char *slash = strrchr(program, '/');

    return strcmp(slash != NULL ? slash + 1 : program, "relay-translate") == 0;
}

int main(int count, char **words)
{
    const char *group = count > 1 ? words[1] : "--help";
    const char *command = count > 2 ? words[2] : "";

    if (count > 0 && is_translator(words[0])) {
        return relayctl_translate(count - 1, words + 1);
    }
    if (strcmp(group, "--help") == 0 || strcmp(group, "-h") == 0 || strcmp(group, "help") == 0 ||
        strcmp(command, "--help") == 0) {
        fputs(help, stdout);
        return relayctl_finish(EXIT_OK);
    }
    if (strcmp(group, "context") == 0) {
        return relayctl_context_command(count - 2, words + 2);
    }
    if (strcmp(group, "translate") == 0) {
        return relayctl_translate(count - 2, words + 2);
    }
    if (strcmp(group, "completion") == 0) {
        return relayctl_completion(count - 2, words + 2);
    }
    if (strcmp(group, "key") == 0 && strcmp(command, "mint") == 0) {
        return count > 3 && words[3][0] != '-' ? relayctl_key_mint(count - 3, words + 3)
                                               : key_mint(count - 3, words + 3);
    }
    if (strcmp(group, "key") == 0 && strcmp(command, "digest") == 0) {
        return count == 3 ? key_digest()
                          : relayctl_usage("key digest takes no arguments", words[3]);
    }
    if (strcmp(group, "config") == 0 && strcmp(command, "check") == 0) {
        return relayctl_config_check(count - 3, words + 3);
    }
    if (strcmp(group, "catalog") == 0 && strcmp(command, "compile") == 0) {
        return relayctl_catalog_compile(count - 3, words + 3);
    }
    int status = relayctl_api(count - 1, words + 1);
    if (status >= 0) {
        return status;
    }
    return relayctl_usage("there is no such command", command[0] != '\0' ? command : group);
}
