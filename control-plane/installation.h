/*
 * The installation as a whole, for routes that are open to all; called by
 * system.c.
 */

#ifndef RELAY_INSTALLATION_H
#define RELAY_INSTALLATION_H

#include <jansson.h>
#include <stdbool.h>

/*
 * Adds "public_url" (the settings', else relayd's own; null: not said) and
 * "setup" ("open" or "done"; null while the database does not answer).
 */
bool installation_show(json_t *shown);

#endif
