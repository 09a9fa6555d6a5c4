/*
 * Counters of the admin API, in Prometheus' text format. Never a label that
 * somebody outside chooses.
 */

#ifndef RELAY_METRICS_H
#define RELAY_METRICS_H

#include <stdint.h>

#include "http.h"

/* route: NULL if no route was found. */
void metrics_count(const route_t *route, unsigned status, uint64_t microseconds);

/* The whole page, malloc'ed; NULL: no memory. */
char *metrics_text(void);

#endif
