/*
 * The daemon's log: one JSON object a line on standard error. Callers never
 * pass a secret; texts are escaped and bounded.
 */

#ifndef RELAY_LOG_H
#define RELAY_LOG_H

typedef enum { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR } log_level_t;

void log_set_level(log_level_t level);
/* pairs: name, value, …, NULL; names are literals, values texts (NULL is left out). */
void log_event(log_level_t level, const char *message, ...) __attribute__((sentinel));

#endif
