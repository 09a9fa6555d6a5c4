/*
 * Brings the database's schema to what this relayd expects.
 *
 * migrations/NNNN_name.sql are part of the binary and applied in the order of
 * their numbers, in one transaction under an advisory lock, so that of several
 * relayd one does it and the others wait. schema_migration records each with
 * the SHA-256 of its text: a file that was applied never changes.
 *
 * One version back: a relayd also works with a schema that is ahead of it, if
 * every migration that it does not know has the first line
 *
 *     -- compatible with the version before
 *
 * (it only adds: tables, columns with defaults, indexes). Else it refuses.
 */

#ifndef RELAY_MIGRATE_H
#define RELAY_MIGRATE_H

#include "database.h"

typedef struct {
    const char *name; /* "0001_configuration.sql" */
    const char *text;
    size_t len;
} migration_t;

/* Made by the build from migrations/. */
extern const migration_t migrations[];
extern const size_t migrations_count;

#define MIGRATION_COMPATIBLE "-- compatible with the version before\n"

typedef enum {
    MIGRATE_DONE,
    MIGRATE_AWAY,   /* the database is not there or busy: try again */
    MIGRATE_REFUSED /* it is not for this relayd, as why says */
} migrate_result_t;

/* Also makes the installation and its first workspace, `default`, if there are none. */
migrate_result_t migrate(database_t *database, char *why, size_t why_size);

#endif
