/* Answers of the admin API as table, JSON or YAML. */

#ifndef RELAYCTL_PRINT_H
#define RELAYCTL_PRINT_H

#include <jansson.h>
#include <stdbool.h>

typedef enum { OUTPUT_TABLE, OUTPUT_JSON, OUTPUT_YAML } output_t;

/* False: there is no such output. */
bool output_named(const char *name, output_t *output);

/* columns: members, NULL-terminated; of lists each item is a line. */
void print_value(const json_t *value, output_t output, const char *const *columns);

#endif
