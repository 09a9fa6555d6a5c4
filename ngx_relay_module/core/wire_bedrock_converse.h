/*
 * Amazon Bedrock's Converse, a format that Relay speaks to upstreams only: no path
 * of a caller leads to it. Its streams come as AWS event streams; behind
 * core/eventstream.h they are server-sent events named after their type, with the
 * payload as data, and that is what the functions here see. Internal to
 * core/wire_*.c.
 */

#ifndef RELAY_WIRE_BEDROCK_CONVERSE_H
#define RELAY_WIRE_BEDROCK_CONVERSE_H

#include "wire.h"

/* Position in the registry. */
enum { RELAY_WIRE_BEDROCK_CONVERSE = 4 };

extern const relay_dialect_t relay_dialect_bedrock;
extern const relay_wire_t relay_wire_bedrock_converse;

/*
 * The HTTP status that fits an exception's name, in any of its spellings:
 * "ThrottlingException", "throttlingException",
 * "com.amazon.coral#ThrottlingException:http://…". 0 if there is none for it.
 */
unsigned relay_bedrock_exception_status(relay_span_t name);

/* What an exception says of itself. */
typedef struct {
    relay_span_t message; /* as written (escaped), or empty */
    relay_span_t type;    /* its name without what is around it, or empty */
    unsigned status;      /* HTTP status that fits; 502 if nothing tells */
} relay_bedrock_exception_t;

/*
 * Reads the payload of an exception, any bytes; name is what the message around
 * it says, or empty. False if the payload neither has a message nor names an
 * exception and name is empty: it is none then.
 */
bool relay_bedrock_exception_read(relay_span_t name, relay_span_t payload,
                                  relay_bedrock_exception_t *exception);

/*
 * Takes the counters of a usage object over into *usage: of every field the last
 * value that is not null stays, and the whole prompt is summed again.
 */
void relay_bedrock_usage(relay_json_value_t object, relay_usage_t *usage);

#endif
