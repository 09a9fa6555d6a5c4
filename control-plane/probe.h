/* One real call to a host with a provider key, and what it means in plain words. */

#ifndef RELAY_PROBE_H
#define RELAY_PROBE_H

#include <jansson.h>

#include "secret.h"

typedef struct {
    const char *outcome; /* accepted, refused, limited, unreachable, unexpected, unavailable */
    char message[512];   /* never the key, nor the host's body as it came */
    long status;         /* 0: no answer */
    long latency_ms;
} probe_t;

/* host: its effective config entry. Takes up to 15 s; calls nothing that costs tokens. */
void probe_key(const json_t *host, const secret_t *secret, probe_t *probe);

#endif
