/*
 * relayd's own configuration: one table in settings.c. A value comes from a
 * flag (--pg-dsn), else RELAY_PG_DSN, else, for secrets, the file named by
 * --pg-dsn-file or RELAY_PG_DSN_FILE, else the configuration file (`pg_dsn = …`,
 * --config), else the default. A RELAY_ variable that is not in the table is
 * warned of, with the nearest name that is. An empty variable counts as none.
 *
 * What is nothing but a secret has no flag of its own, since every user of a
 * machine can read command lines. Secrets live in locked memory that is
 * cleansed when it is given back, and their variables are wiped.
 */

#ifndef RELAY_SETTINGS_H
#define RELAY_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

typedef struct {
    char *pg_dsn;    /* required; a libpq string; may hold a password */
    char *redis_url; /* unix:/path, redis://[user@]host:port/db, rediss:// */
    char *redis_user;
    char *redis_password; /* secret */
    char *redis_ca_file;
    char *redis_prefix;            /* "relay:" */
    char *listen;                  /* unix:/path or address:port; 127.0.0.1:8081 */
    char *public_url;              /* base URL of the data plane, for snippets */
    char *master_key;              /* secret: ring, lines `<key id> <base64 of 32 bytes>` */
    char *dataplane_key;           /* secret: ring, the same form */
    char *signing_key;             /* secret: ring of Ed25519 seeds, the same form */
    char *setup_token;             /* secret: opens POST /api/v1/setup once; "" closes it */
    char *vault_addr;              /* https://vault:8200 */
    char *vault_token;             /* secret */
    char *vault_ca_file;           /* PEM; "": the machine's authorities */
    char *log_level;               /* debug, info, warn, error */
    long long pg_connections;      /* 8 */
    long long pg_timeout_ms;       /* 5000 */
    long long threads;             /* 64: requests under way at once */
    long long reference_refresh_s; /* 60 */
} settings_t;

/* What the command line asks for besides values. */
typedef enum {
    SETTINGS_RUN,
    SETTINGS_HELP,         /* --help */
    SETTINGS_VERSION,      /* --version */
    SETTINGS_CHECK,        /* --check: are the settings good? */
    SETTINGS_BOOTSTRAP,    /* --bootstrap: bootstrap.h */
    SETTINGS_GENERATE_KEYS /* --generate-keys DIRECTORY: keygen.h; takes no settings */
} settings_action_t;
settings_action_t settings_action(int argc, char **argv);
/* Every setting with its flag, variable and default, for --help. */
void settings_describe(FILE *out);

/* False with a message that names the setting and where its value came from. */
bool settings_load(settings_t *settings, int argc, char **argv, char *error, size_t error_size);
/* Secrets are cleansed. */
void settings_free(settings_t *settings);

#endif
