/*
 * The daemon: what every request can reach. Made by main() in relayd.c, in this
 * order, and taken apart in the reverse.
 */

#ifndef RELAY_RELAYD_H
#define RELAY_RELAYD_H

#include "database.h"
#include "http.h"
#include "publish.h"
#include "secret.h"
#include "settings.h"

typedef struct relayd_s {
    settings_t settings;
    database_t *database;
    secrets_t *secrets;
    publisher_t *publisher;
    http_t *http;
} relayd_t;

/* The one there is. */
extern relayd_t relayd;

#endif
