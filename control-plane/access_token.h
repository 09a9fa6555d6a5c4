/*
 * Access tokens: what a host is shown in place of a credential that stays here.
 * A provider key of a host whose auth type is "oauth-service-account" has a
 * service account for its value; workers get tokens that are made with it, and
 * never the account. Tokens are kept in locked memory and renewed before they
 * end, by the publisher's janitor. They are in the database, too: of several
 * relayd, whoever renews one does it for all, and after a start it is still
 * there.
 *
 * Called by document_key.c with every provider key, by provider_keys.c when one
 * is given, shown or tested.
 */

#ifndef RELAY_ACCESS_TOKEN_H
#define RELAY_ACCESS_TOKEN_H

#include <jansson.h>
#include <stdatomic.h>

#include "secret.h"

/* What a host's auth says. */
typedef struct {
    const char *workspace_id; /* of who uses it; to be set by the caller of access_host_of() */
    bool wanted;              /* it takes tokens that are made with a service account */
    bool local;        /* so may be the endpoint that gives them: a private address, no TLS */
    const char *scope; /* what tokens are for */
} access_host_t;
/* Of a host's entry as configuration documents have it; points into it. */
access_host_t access_host_of(const json_t *host);

/* False with words, behind "its value ": the host cannot take it. For one that is given. */
bool access_value_ok(const access_host_t *host, const secret_t *value, char *why, size_t why_size);

/* The database, in a transaction for the workspace or for all. */
typedef struct {
    secrets_t *secrets;
    session_t *session;
    bool writes; /* new tokens go there */
} access_store_t;

/* The database's token counts from now on, unless it is time to renew it and there is another. */
void access_token_adopt(const access_host_t *host, const access_store_t *store,
                        const secret_t *account);

/*
 * In place: what a worker shall have of a provider key's value. A value that
 * the host takes as it is stays; a service account becomes its token, which is
 * asked for if none is kept. False with words for people, and the secret is
 * gone. For who can wait: a failure is tried again after some seconds.
 */
bool access_token_take(const access_host_t *host, secret_t *secret, char *why, size_t why_size);
/* The same for the publisher: it waits for the first time alone. What it takes is renewed, and
 * is the database's. */
bool access_token_publish(const access_host_t *host, const access_store_t *store, secret_t *secret,
                          char *why, size_t why_size);

/* A configuration is whole: what it was not published with is not renewed any more. */
void access_tokens_built(void);

/*
 * For the janitor, between transactions, and one of all janitors at a time:
 * renews what is due and has not been renewed by another relayd. True if what
 * is to be published is another one now.
 */
bool access_tokens_renew(const access_store_t *store, atomic_bool *stopping);
/* In the transaction that takes the next revision: what was renewed is the database's. */
bool access_tokens_write(const access_store_t *store);
/* That transaction was committed. */
void access_tokens_written(void);
/* Seconds until something is due, 0: now; -1: there is nothing to renew. */
long long access_tokens_due_s(void);
void access_tokens_forget(void);

#endif
