/*
 * UUIDv7: 48 bits of milliseconds, a 12-bit counter that keeps the order of
 * those made in one millisecond, 62 random bits. Called by whoever makes a row.
 */

#include "identifier.h"

#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

enum { COUNTER_MAX = 0xfff, COUNTER_START_MAX = 0x7ff, HEX_LEN = 32 };

/* The clock's time, or later: what was given out before is never reached again. */
static uint64_t next_tick(uint16_t random, uint16_t *counter)
{
    static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    static uint64_t last_ms;
    static uint16_t last_counter;
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    uint64_t ms = (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;

    pthread_mutex_lock(&mutex);
    if (ms > last_ms || last_counter == COUNTER_MAX) {
        last_ms = ms > last_ms ? ms : last_ms + 1;
        last_counter = random & COUNTER_START_MAX;
    } else {
        last_counter++;
    }
    ms = last_ms;
    *counter = last_counter;
    pthread_mutex_unlock(&mutex);
    return ms;
}

bool identifier_new(char uuid[37])
{
    uint8_t random[10];
    uint16_t counter;

    if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random))
        return false;

    uint64_t ms = next_tick((uint16_t)(random[0] << 8 | random[1]), &counter);
    snprintf(uuid, 37, "%08x-%04x-7%03x-%02x%02x-%02x%02x%02x%02x%02x%02x", (uint32_t)(ms >> 16),
             (uint32_t)(ms & 0xffff), counter & COUNTER_MAX, (random[2] & 0x3fu) | 0x80u, random[3],
             random[4], random[5], random[6], random[7], random[8], random[9]);
    return true;
}

void identifier_show(const char *prefix, const char *uuid, char shown[IDENTIFIER_MAX])
{
    size_t len = (size_t)snprintf(shown, IDENTIFIER_MAX, "%s_", prefix);

    for (const char *p = uuid; *p != '\0' && len < IDENTIFIER_MAX - 1; p++)
        if (*p != '-')
            shown[len++] = *p;
    shown[len < IDENTIFIER_MAX ? len : IDENTIFIER_MAX - 1] = '\0';
}

bool identifier_parse(const char *prefix, const char *shown, char uuid[37])
{
    size_t prefix_len = strlen(prefix);

    if (strncmp(shown, prefix, prefix_len) != 0 || shown[prefix_len] != '_')
        return false;

    const char *hex = shown + prefix_len + 1;
    if (strlen(hex) != HEX_LEN || strspn(hex, "0123456789abcdef") != HEX_LEN)
        return false;

    snprintf(uuid, 37, "%.8s-%.4s-%.4s-%.4s-%.12s", hex, hex + 8, hex + 12, hex + 16, hex + 20);
    return true;
}
