/*
 * Where relayctl finds relayd: RELAY_URL and RELAY_TOKEN, else the current
 * context of ~/.config/relay/contexts.json (mode 0600), which `relayctl context`
 * manages.
 */

#ifndef RELAYCTL_CONTEXT_H
#define RELAYCTL_CONTEXT_H

#include <stdbool.h>

typedef struct {
    char url[2048]; /* without /api/v1 and slash at the end */
    char token[64];
    char workspace[65];
} relayctl_context_t;

/* False with a complaint: there is none. */
bool relayctl_context_load(relayctl_context_t *context);

/* relayctl context set|use|list|remove */
int relayctl_context_command(int count, char **words);

#endif
