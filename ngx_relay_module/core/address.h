/*
 * Which network addresses a provider may have. Checked after resolution, for
 * every connection, so that a name that turns to an inside address reaches
 * nothing (DNS rebinding, cloud metadata).
 */

#ifndef RELAY_ADDRESS_H
#define RELAY_ADDRESS_H

#include "span.h"

/*
 * bytes is an address in network order, 4 bytes (IPv4) or 16 (IPv6). False for
 * loopback, private, link-local, shared, multicast, benchmark and reserved
 * ranges (IANA special-purpose registries), also where an IPv6 form embeds
 * such an IPv4 address; false for any other length.
 */
bool relay_address_public(relay_span_t bytes);

#endif
