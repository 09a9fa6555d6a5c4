/*
 * Idempotency-Key: a change that is sent twice is made once. The answer of the
 * first is kept for a day with the token that asked; sent again, it comes from
 * there. Members that are shown once are not kept. In the transaction of the
 * change: what was rolled back was never kept.
 */

#ifndef RELAY_IDEMPOTENCY_H
#define RELAY_IDEMPOTENCY_H

#include "exchange.h"

bool idempotency_key_ok(const char *key);
/*
 * Waits for another request with this key to end. True: the handler has to
 * run, or exchange->replayed says that the reply is there already.
 */
bool idempotency_begin(exchange_t *exchange);
bool idempotency_keep(exchange_t *exchange);

#endif
