/* Tables, JSON and YAML; called by relayctl_api.c. */

#include "relayctl_print.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CELL_MAX = 60, COLUMNS_MAX = 8 };

bool output_named(const char *name, output_t *output)
{
    static const char *const names[] = {"table", "json", "yaml"};

    for (int i = 0; i < 3; i++)
        if (strcmp(name, names[i]) == 0) {
            *output = (output_t)i;
            return true;
        }
    return false;
}

/* ---- YAML: scalars are JSON's, which YAML reads as they are ---- */

static bool is_plain(const json_t *value)
{
    return !(json_is_object(value) && json_object_size(value) > 0) &&
           !(json_is_array(value) && json_array_size(value) > 0);
}

static void yaml_text(const char *text)
{
    json_t *string = json_string(text);
    char *quoted = string == NULL ? NULL : json_dumps(string, JSON_ENCODE_ANY);

    fputs(quoted == NULL ? "null" : quoted, stdout);
    free(quoted);
    json_decref(string);
}

static void yaml(const json_t *value, int depth, bool inline_first);

static void yaml_below(const json_t *value, int depth)
{
    if (is_plain(value)) {
        char *text = json_dumps(value, JSON_ENCODE_ANY);
        printf(" %s\n", text == NULL ? "null" : text);
        free(text);
        return;
    }
    putchar('\n');
    yaml(value, depth + 1, false);
}

static void yaml_name(const char *name)
{
    if (name[0] != '\0' &&
        strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_") == strlen(name))
        fputs(name, stdout);
    else
        yaml_text(name);
}

static void yaml(const json_t *value, int depth, bool inline_first)
{
    const char *name;
    json_t *below;
    size_t i;

    if (json_is_object(value)) {
        json_object_foreach((json_t *)value, name, below)
        {
            printf("%*s", inline_first ? 0 : depth * 2, "");
            inline_first = false;
            yaml_name(name);
            putchar(':');
            yaml_below(below, depth);
        }
        return;
    }
    json_array_foreach(value, i, below)
    {
        printf("%*s-", depth * 2, "");
        if (json_is_object(below) && !is_plain(below)) {
            putchar(' ');
            yaml(below, depth + 1, true);
        } else {
            yaml_below(below, depth);
        }
    }
}

/* ---- tables ---- */

static void cell_of(const json_t *value, char cell[CELL_MAX + 1])
{
    char *text = NULL;

    if (json_is_string(value)) {
        snprintf(cell, CELL_MAX + 1, "%s", json_string_value(value));
        return;
    }
    text = value == NULL || json_is_null(value) ? NULL : json_dumps(value, JSON_ENCODE_ANY);
    snprintf(cell, CELL_MAX + 1, "%s", text == NULL ? "-" : text);
    free(text);
}

static void print_row(const json_t *item, const char *const *columns, const int *widths)
{
    char cell[CELL_MAX + 1];

    for (int i = 0; columns[i] != NULL; i++) {
        if (item == NULL)
            snprintf(cell, sizeof(cell), "%s", columns[i]);
        else
            cell_of(json_object_get(item, columns[i]), cell);
        if (columns[i + 1] == NULL)
            printf("%s\n", cell);
        else
            printf("%-*s", widths[i], cell);
    }
}

static void print_table(const json_t *items, const char *const *columns)
{
    int widths[COLUMNS_MAX] = {0};
    char cell[CELL_MAX + 1];
    json_t *item;
    size_t i;

    for (int c = 0; columns[c] != NULL; c++) {
        widths[c] = (int)strlen(columns[c]) + 2;
        json_array_foreach(items, i, item)
        {
            cell_of(json_object_get(item, columns[c]), cell);
            if ((int)strlen(cell) + 2 > widths[c])
                widths[c] = (int)strlen(cell) + 2;
        }
    }
    print_row(NULL, columns, widths);
    json_array_foreach(items, i, item) print_row(item, columns, widths);
}

void print_value(const json_t *value, output_t output, const char *const *columns)
{
    if (output == OUTPUT_JSON) {
        json_dumpf(value, stdout, JSON_INDENT(2) | JSON_ENCODE_ANY);
        putchar('\n');
    } else if (output == OUTPUT_TABLE && json_is_array(value) && columns != NULL) {
        print_table(value, columns);
    } else {
        yaml(value, 0, false);
    }
}
