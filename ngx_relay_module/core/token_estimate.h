/*
 * About how many tokens a request has, for models whose provider does not count
 * them. Called by the adapter for token counting that no host can do; what comes
 * of it is marked as an estimate.
 */

#ifndef RELAY_TOKEN_ESTIMATE_H
#define RELAY_TOKEN_ESTIMATE_H

#include "span.h"

/*
 * Of a JSON body, keys and values: a token for each four bytes of ASCII text, one
 * for each other character, and a fixed number for media in base64. Never 0.
 */
uint64_t relay_token_estimate(relay_span_t json);

#endif
