/* The workers' own reader as a judge; called by overlay.c and configuration.c. */

#include "config_check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config_doc.h"
#include "malloc_arena.h"

enum { POINTER_MAX = 256 };

/* "formats[0].path" → "/formats/0/path". */
static void pointer_of(const char *path, char pointer[POINTER_MAX])
{
    size_t len = 0;

    if (path[0] != '\0' && path[0] != '[' && path[0] != '.')
        pointer[len++] = '/';
    for (; *path != '\0' && len + 1 < POINTER_MAX; path++)
        if (*path != ']')
            pointer[len++] = *path == '.' || *path == '[' ? '/' : *path;
    pointer[len] = '\0';
}

static bool report(const relay_config_fault_t *fault, const char *section, const char *name,
                   problem_t *problem)
{
    char prefix[400], pointer[POINTER_MAX];
    size_t len = (size_t)snprintf(prefix, sizeof(prefix), "%s.%s", section, name);

    if (strncmp(fault->path, prefix, len) != 0)
        return problem_fault(problem, "", "%s: %s", fault->path, fault->message);

    pointer_of(fault->path + len, pointer);
    return problem_fault(problem, pointer, "%s", fault->message);
}

static char *document_of(const char *section, const char *name, const json_t *entry)
{
    json_t *document = json_pack("{s:{s:O}}", section, name, (json_t *)entry);
    char *text = document == NULL ? NULL : json_dumps(document, JSON_COMPACT);

    json_decref(document);
    return text;
}

static bool build(const char *around, const char *text, bool catalog, relay_config_fault_t *fault)
{
    malloc_arena_t blocks = {NULL};
    relay_arena_t arena = malloc_arena(&blocks);
    relay_document_t documents[] = {
        {.name = RELAY_SPAN("around"),
         .text = relay_span((const uint8_t *)around, strlen(around)),
         .catalog = true},
        {.name = RELAY_SPAN("document"),
         .text = relay_span((const uint8_t *)text, strlen(text)),
         .catalog = catalog},
    };
    bool ok = relay_config_build(&arena, documents, 2, fault) != NULL;

    malloc_arena_release(&blocks);
    return ok;
}

bool config_check_entry(const char *section, const char *name, const json_t *entry,
                        const json_t *around, bool catalog, problem_t *problem)
{
    char *text = document_of(section, name, entry);
    char *beside = around == NULL ? strdup("{}") : json_dumps(around, JSON_COMPACT);
    relay_config_fault_t fault = {.line = 0};
    bool ok = false;

    if (text == NULL || beside == NULL)
        problem_set(problem, PROBLEM_INTERNAL, "Out of memory.");
    else
        ok = build(beside, text, catalog, &fault) || report(&fault, section, name, problem);

    free(text);
    free(beside);
    return ok;
}
