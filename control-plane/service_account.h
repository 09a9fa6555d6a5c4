/*
 * A service account: a JSON document with a private key, whose owner gets
 * access tokens for it. What is signed is an assertion (RFC 7523, RS256), and it
 * is sent to the token endpoint that the document names. Called by
 * access_token.c, which keeps what comes back.
 */

#ifndef RELAY_SERVICE_ACCOUNT_H
#define RELAY_SERVICE_ACCOUNT_H

#include "secret.h"

/* Whether it looks like one: what must never be sent as it is. */
bool service_account_is(const secret_t *secret);

/* False with words for people, behind "its value ": not one that tokens can be asked for. */
bool service_account_check(const secret_t *account, bool local, char *why, size_t why_size);

/*
 * Asks for a token; takes up to 5 s. local: the endpoint may have a private
 * address, and do without TLS. False with words for people in why: never the
 * key, the assertion or what the endpoint answered.
 */
bool service_account_token(const secret_t *account, const char *scope, bool local, secret_t *token,
                           long long *lives_s, char *why, size_t why_size);

#endif
