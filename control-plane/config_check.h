/*
 * The workers' own reader as a judge of documents: what it would refuse is
 * refused here, with a pointer into what the user sent.
 */

#ifndef RELAY_CONFIG_CHECK_H
#define RELAY_CONFIG_CHECK_H

#include <jansson.h>

#include "problem.h"

/*
 * entry: what `section` (hosts, models) shall hold under name, checked beside
 * the sections of around, a catalog document (borrowed; NULL: nothing). catalog:
 * by the catalog's rules. A fault outside of the entry is reported without a pointer.
 */
bool config_check_entry(const char *section, const char *name, const json_t *entry,
                        const json_t *around, bool catalog, problem_t *problem);

#endif
