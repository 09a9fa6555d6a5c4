/*
 * relayctl config and relayctl catalog: documents in files, checked with the code
 * that nginx reads them with, and a catalog's folder as one document.
 */

#include "buf.h"
#include "config_doc.h"
#include "json_tape.h"
#include "malloc_arena.h"
#include "relayctl.h"
#include "sort.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>

/* What a command has read. Memory is freed when it ends. */
typedef struct {
    malloc_arena_t blocks;
    relay_arena_t arena;
    relay_document_t *documents; /* in the order of reading */
    size_t count;
    size_t room;
} reading_t;

static bool no_memory(void)
{
    relayctl_complain("out of memory", "");
    return false;
}

/* ---- files ---------------------------------------------------------------- */

static bool add(reading_t *reading, relay_document_t document)
{
    if (reading->count == reading->room) {
        size_t room = reading->room != 0 ? 2 * reading->room : 64;
        relay_document_t *grown = relay_arena_alloc(&reading->arena, room * sizeof(grown[0]));
        if (grown == NULL) {
            return no_memory();
        }
        if (reading->count != 0) {
            memcpy(grown, reading->documents, reading->count * sizeof(grown[0]));
        }
        reading->documents = grown;
        reading->room = room;
    }
    reading->documents[reading->count++] = document;
    return true;
}

static bool read_text(const relay_arena_t *arena, FILE *file, size_t size, relay_span_t *text)
{
    uint8_t *bytes = relay_arena_alloc(arena, size + 1);

    if (bytes == NULL) {
        errno = ENOMEM;
        return false;
    }
    *text = relay_span(bytes, fread(bytes, 1, size, file));
    return ferror(file) == 0;
}

static bool read_file(reading_t *reading, const char *path, bool catalog)
{
    FILE *file = fopen(path, "re");
    struct stat info;
    relay_document_t document = {relay_span(path, strlen(path)), {NULL, 0}, catalog};
    bool good = file != NULL && fstat(fileno(file), &info) == 0, read = false;

    if (good && !S_ISREG(info.st_mode)) {
        relayctl_complain(path, "not a regular file");
    } else if (good && info.st_size > RELAY_CONFIG_DOCUMENT_MAX) {
        relayctl_complain(path, "larger than 64 MB");
    } else if (good && read_text(&reading->arena, file, (size_t)info.st_size, &document.text)) {
        read = true;
    } else {
        relayctl_complain(path, strerror(errno));
    }
    if (file != NULL) {
        fclose(file);
    }
    return read && add(reading, document);
}

/* ---- folders -------------------------------------------------------------- */

enum { FOLDERS_MAX = 16 }; /* inside each other */

typedef struct {
    const char **items;
    size_t count;
    size_t room;
} paths_t;

static bool add_path(reading_t *reading, paths_t *paths, const char *folder, const char *name)
{
    size_t size = strlen(folder) + 1 + strlen(name) + 1;
    char *path = relay_arena_alloc(&reading->arena, size);

    if (path != NULL && paths->count == paths->room) {
        size_t room = paths->room != 0 ? 2 * paths->room : 64;
        const char **grown = relay_arena_alloc(&reading->arena, room * sizeof(grown[0]));
        if (grown != NULL && paths->count != 0) {
            memcpy(grown, paths->items, paths->count * sizeof(grown[0]));
        }
        paths->items = grown;
        paths->room = room;
    }
    if (path == NULL || paths->items == NULL) {
        return no_memory();
    }
    snprintf(path, size, "%s/%s", folder, name);
    paths->items[paths->count++] = path;
    return true;
}

static bool ends(const char *name, const char *end)
{
    size_t length = strlen(name), tail = strlen(end);

    return length >= tail && strcmp(name + length - tail, end) == 0;
}

/* A schema describes documents and is none. */
static bool is_document(const char *name)
{
    return ends(name, ".json") && !ends(name, ".schema.json");
}

static bool list_entries(reading_t *reading, const char *folder, paths_t *paths)
{
    DIR *directory = opendir(folder);
    struct dirent *entry;
    bool good = directory != NULL;

    errno = 0;
    while (good && (entry = readdir(directory)) != NULL) {
        if (entry->d_name[0] != '.') {
            good = add_path(reading, paths, folder, entry->d_name);
        }
    }
    if (directory == NULL || (good && errno != 0)) {
        relayctl_complain(folder, strerror(errno));
        good = false;
    }
    if (directory != NULL) {
        closedir(directory);
    }
    return good;
}

/* Appends the documents below folder to found. */
static bool list_folder(reading_t *reading, const char *folder, unsigned depth, paths_t *found)
{
    paths_t paths = {NULL, 0, 0};
    struct stat info;

    if (depth == FOLDERS_MAX) {
        relayctl_complain(folder, "folders are too deep inside each other");
        return false;
    }
    if (!list_entries(reading, folder, &paths)) {
        return false;
    }
    for (size_t i = 0; i < paths.count; i++) {
        const char *path = paths.items[i];
        const char *name = path + strlen(folder) + 1;
        if (stat(path, &info) != 0) {
            relayctl_complain(path, strerror(errno));
            return false;
        }
        if (S_ISDIR(info.st_mode) ? !list_folder(reading, path, depth + 1, found)
                                  : is_document(name) && !add_path(reading, found, folder, name)) {
            return false;
        }
    }
    return true;
}

static int compare_paths(const void *left, const void *right)
{
    return strcmp(*(const char *const *)left, *(const char *const *)right);
}

/* A file, or a folder with all documents below it, sorted. */
static bool read_catalog(reading_t *reading, const char *path)
{
    paths_t paths = {NULL, 0, 0};
    struct stat info;

    if (stat(path, &info) != 0 || !S_ISDIR(info.st_mode)) {
        return read_file(reading, path, true);
    }
    if (!list_folder(reading, path, 0, &paths)) {
        return false;
    }
    if (paths.count == 0) {
        relayctl_complain(path, "there is no document (*.json) in this folder");
        return false;
    }
    relay_sort(paths.items, paths.count, sizeof(paths.items[0]), compare_paths);
    for (size_t i = 0; i < paths.count; i++) {
        if (!read_file(reading, paths.items[i], true)) {
            return false;
        }
    }
    return true;
}

/* ---- config check --------------------------------------------------------- */

static const relay_config_t *build(const reading_t *reading)
{
    relay_config_fault_t fault;
    const relay_config_t *config =
        relay_config_build(&reading->arena, reading->documents, reading->count, &fault);

    if (config == NULL) {
        fprintf(stderr, "%.*s:%zu:%zu: %s%s%s\n", (int)fault.document.len,
                (const char *)fault.document.base, fault.line, fault.column, fault.path,
                fault.path[0] != '\0' ? ": " : "", fault.message);
    }
    return config;
}

static int check(reading_t *reading, int count, char **words)
{
    for (int i = 0; i < count; i++) {
        bool catalog = strcmp(words[i], "--catalog") == 0;
        if (catalog && i + 1 == count) {
            return relayctl_usage("config check: a path is missing behind", words[i]);
        }
        if (catalog ? !read_catalog(reading, words[++i]) : !read_file(reading, words[i], false)) {
            return EXIT_REFUSED;
        }
    }
    if (build(reading) == NULL) {
        return EXIT_REFUSED;
    }
    puts("ok");
    return relayctl_finish(EXIT_OK);
}

int relayctl_config_check(int count, char **words)
{
    reading_t reading = {.blocks = {NULL}};
    int status;

    if (count == 0) {
        return relayctl_usage("config check takes the names of documents", "");
    }
    reading.arena = malloc_arena(&reading.blocks);
    status = check(&reading, count, words);
    malloc_arena_release(&reading.blocks);
    return status;
}

/* ---- catalog compile ------------------------------------------------------ */

/* One host or model, as written. */
typedef struct {
    relay_span_t name; /* decoded */
    relay_span_t value;
} entry_t;

typedef struct {
    entry_t *entries;
    size_t count;
    size_t room;
} entries_t;

static int compare_entries(const void *left, const void *right)
{
    const entry_t *a = left, *b = right;
    size_t shared = a->name.len < b->name.len ? a->name.len : b->name.len;
    int order = memcmp(a->name.base, b->name.base, shared);

    return order != 0 ? order : (a->name.len > b->name.len) - (a->name.len < b->name.len);
}

static bool decode(const relay_arena_t *arena, relay_json_value_t string, relay_span_t *text)
{
    relay_buf_t out = relay_buf(relay_arena_alloc(arena, string.text.len), string.text.len);

    if (out.base == NULL || !relay_json_decode(string, &out)) {
        return no_memory();
    }
    *text = relay_buf_span(&out);
    return true;
}

static bool is_comment(relay_span_t written)
{
    return relay_span_eq(written, RELAY_SPAN("\"$comment\"")) ||
           relay_span_eq(written, RELAY_SPAN("\"$schema\""));
}

static bool gather_section(const relay_arena_t *arena, relay_span_t text,
                           const relay_json_token_t *tokens, uint32_t section, entries_t *entries)
{
    for (uint32_t key = section + 1; key < tokens[section].next; key = tokens[key + 1].next) {
        relay_json_value_t written = relay_tape_value(text, &tokens[key]);
        entry_t entry = {.value = relay_tape_value(text, &tokens[key + 1]).text};
        if (!decode(arena, written, &entry.name)) {
            return false;
        }
        if (!is_comment(written.text) && entries->count < entries->room) {
            entries->entries[entries->count++] = entry;
        }
    }
    return true;
}

/* The values of one section in one document, which is good. */
static bool gather_document(const relay_arena_t *arena, relay_span_t text, relay_span_t section,
                            entries_t *entries)
{
    size_t capacity = text.len / 2 + 1, count;
    relay_json_token_t *tokens = relay_arena_alloc(arena, capacity * sizeof(tokens[0]));
    relay_json_fault_t fault;
    relay_span_t name;

    if (tokens == NULL ||
        relay_json_tape(text, tokens, capacity, &count, false, &fault) != RELAY_TAPE_OK) {
        return no_memory();
    }
    for (uint32_t key = 1; key < tokens[0].next; key = tokens[key + 1].next) {
        if (relay_json_plain(relay_tape_value(text, &tokens[key]), &name) &&
            relay_span_eq(name, section)) {
            return gather_section(arena, text, tokens, key + 1, entries);
        }
    }
    return true;
}

/* JSON without the spaces around its tokens. */
static void print_dense(relay_span_t text)
{
    bool inside = false, escaped = false;

    for (size_t i = 0; i < text.len; i++) {
        uint8_t byte = text.base[i];
        if (!inside && (byte == ' ' || byte == '\t' || byte == '\n' || byte == '\r')) {
            continue;
        }
        putchar(byte);
        inside = byte == '"' && !escaped ? !inside : inside;
        escaped = inside && byte == '\\' && !escaped;
    }
}

/* Names need no escapes: see relay_config_name_ok and relay_model_name_ok. */
static bool print_section(reading_t *reading, relay_span_t section, size_t room)
{
    entries_t entries = {.room = room};

    entries.entries = relay_arena_alloc(&reading->arena, (room + 1) * sizeof(entry_t));
    if (entries.entries == NULL) {
        return no_memory();
    }
    for (size_t i = 0; i < reading->count; i++) {
        if (!gather_document(&reading->arena, reading->documents[i].text, section, &entries)) {
            return false;
        }
    }
    relay_sort(entries.entries, entries.count, sizeof(entry_t), compare_entries);
    printf("\"%.*s\":{", (int)section.len, (const char *)section.base);
    for (size_t i = 0; i < entries.count; i++) {
        relay_span_t name = entries.entries[i].name;
        printf("%s\"%.*s\":", i != 0 ? "," : "", (int)name.len, (const char *)name.base);
        print_dense(entries.entries[i].value);
    }
    putchar('}');
    return true;
}

static int compile(reading_t *reading, const char *path)
{
    if (!read_catalog(reading, path) || build(reading) == NULL) {
        return EXIT_REFUSED;
    }
    putchar('{');
    if (!print_section(reading, RELAY_SPAN("hosts"), RELAY_CONFIG_HOSTS_MAX)) {
        return EXIT_REFUSED;
    }
    putchar(',');
    if (!print_section(reading, RELAY_SPAN("models"), RELAY_CONFIG_MODELS_MAX)) {
        return EXIT_REFUSED;
    }
    puts("}");
    return relayctl_finish(EXIT_OK);
}

int relayctl_catalog_compile(int count, char **words)
{
    reading_t reading = {.blocks = {NULL}};
    int status;

    if (count != 1) {
        return relayctl_usage("catalog compile takes one folder or file", "");
    }
    reading.arena = malloc_arena(&reading.blocks);
    status = compile(&reading, words[0]);
    malloc_arena_release(&reading.blocks);
    return status;
}
