/*
 * The catalog in the binary, and its way into the database. Called by main()
 * of relayd after the migrations.
 */

#ifndef RELAY_SEED_H
#define RELAY_SEED_H

#include "database.h"

/*
 * In a transaction for all workspaces: makes catalog_host and catalog_model
 * what the binary has, if they are not yet, and takes a revision; also makes
 * the row of `installation` if there is none. What users have (host, model) is
 * not touched. False: session_error() says why.
 */
bool seed_catalog(session_t *session);

/* SHA-256 of the catalog in the binary, 64 hexadecimal digits. */
const char *seed_catalog_version(void);

#endif
