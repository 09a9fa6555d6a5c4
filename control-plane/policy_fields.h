/* Members that hosts and policies have in common. */

#ifndef RELAY_POLICY_FIELDS_H
#define RELAY_POLICY_FIELDS_H

#include "schema.h"

#define TIMEOUT_FIELD(name_, description_)                                                         \
    {                                                                                              \
        .name = (name_), .type = FIELD_INTEGER, .min = 1, .max = 86400000,                         \
        .description = (description_)                                                              \
    }

#define TIMEOUT_FIELDS                                                                             \
    TIMEOUT_FIELD("connect_ms", "Until connected, TLS included."),                                 \
        TIMEOUT_FIELD("first_token_ms", "From the request to the first content."),                 \
        TIMEOUT_FIELD("idle_ms", "Silence inside a stream."),                                      \
        TIMEOUT_FIELD("total_ms", "The whole request, all attempts together.")

extern const schema_t timeout_schema;

#endif
