/* Makes the key rings of a new installation: `relayd --generate-keys DIRECTORY`. */

#ifndef RELAY_KEYGEN_H
#define RELAY_KEYGEN_H

#include <stddef.h>

/*
 * Writes master.keys, dataplane.keys, signing.keys (mode 0600) and verify.keys,
 * the public half of the last, into directory, each unless it is there. Returns
 * an exit status; messages go to standard error.
 */
int keygen_run(const char *directory);

#endif
