/*
 * Identifiers: UUIDv7 (RFC 9562), shown with the prefix of their kind:
 * `pk_` + 32 hexadecimal digits. The database has the bare UUID.
 */

#ifndef RELAY_IDENTIFIER_H
#define RELAY_IDENTIFIER_H

#include <stdbool.h>
#include <stddef.h>

enum { IDENTIFIER_MAX = 48 };

/* A new one, in time order within a process. False: no randomness. */
bool identifier_new(char uuid[37]);
/* `pk` and a UUID → `pk_…`. */
void identifier_show(const char *prefix, const char *uuid, char shown[IDENTIFIER_MAX]);
/* `pk_…` → UUID in its usual form; false if it is not one of this prefix. */
bool identifier_parse(const char *prefix, const char *shown, char uuid[37]);

#endif
