/* The workers' own reader as a judge; called by overlay.c and configuration.c. */

#include "config_check.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config_doc.h"
#include "malloc_arena.h"
#include "resource_row.h"

enum { POINTER_MAX = 256 };

/* One step of a path behind text: `.name`, `[0]`, or `["a name"]`. Its end; NULL: none. */
static const char *step_of(const char *text, char name[POINTER_MAX])
{
    bool quoted = strncmp(text, "[\"", 2) == 0;
    const char *from = text + (quoted ? 2 : 1);
    size_t len;

    if (*text != '.' && *text != '[')
        return NULL;
    len = quoted ? (size_t)(strstr(from, "\"]") != NULL ? strstr(from, "\"]") - from
                                                        : (ptrdiff_t)strlen(from))
                 : strcspn(from, *text == '[' ? "]" : ".[");
    snprintf(name, POINTER_MAX, "%.*s", (int)len, from);
    from += len;
    if (quoted && *from != '\0')
        return from + 2;
    return *text == '[' && *from == ']' ? from + 1 : from;
}

void config_check_pointer(const char *path, unsigned skip, char *pointer, size_t size)
{
    char name[POINTER_MAX], before[POINTER_MAX];
    const char *next = path + strcspn(path, ".[");

    pointer[0] = '\0';
    if (skip == 0)
        snprintf(pointer, size, "/%.*s", (int)(next - path), path);
    for (unsigned i = 1; (next = step_of(next, name)) != NULL; i++) {
        if (i < skip)
            continue;
        snprintf(before, sizeof(before), "%s", pointer);
        pointer_below(pointer, size, before, name);
    }
}

/* The path starts with the section and the entry's name. */
static bool report(const relay_config_fault_t *fault, const char *section, problem_t *problem)
{
    char pointer[POINTER_MAX];

    if (strncmp(fault->path, section, strlen(section)) != 0)
        return problem_fault(problem, "", "%s: %s", fault->path, fault->message);

    config_check_pointer(fault->path, 2, pointer, sizeof(pointer));
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
        ok = build(beside, text, catalog, &fault) || report(&fault, section, problem);

    free(text);
    free(beside);
    return ok;
}
