/*
 * The workers' own reader as a judge of documents: what it would refuse is
 * refused here, with a pointer into what the user sent.
 */

#ifndef RELAY_CONFIG_CHECK_H
#define RELAY_CONFIG_CHECK_H

#include <jansson.h>

#include "problem.h"

/*
 * entry: what `section` (hosts, models, policies) shall hold under name, checked beside
 * the sections of around, a catalog document (borrowed; NULL: nothing). catalog:
 * by the catalog's rules. A fault outside of the entry is reported without a pointer.
 */
bool config_check_entry(const char *section, const char *name, const json_t *entry,
                        const json_t *around, bool catalog, problem_t *problem);

/*
 * Where a path of relay_config_fault_t leads, as a JSON pointer, less its first
 * steps: models["a/b"].aliases[0] without two of them is /aliases/0.
 */
void config_check_pointer(const char *path, unsigned skip, char *pointer, size_t size);

#endif
