/*
 * HashiCorp Vault's KV store, version 2, read over HTTPS. Called by reference.c.
 */

#ifndef RELAY_VAULT_H
#define RELAY_VAULT_H

#include "secret.h"

typedef struct {
    const char *address; /* https://vault:8200 */
    const char *token;
    const char *ca_file; /* PEM; "": those that the machine trusts */
} vault_t;

/*
 * path: MOUNT/PATH#FIELD. False with words for people in why; never the token
 * or what Vault answered. *gone: Vault itself said that there is no such secret
 * or field, which is more than that it could not be asked.
 */
bool vault_read(const vault_t *vault, const char *path, secret_t *secret, bool *gone, char *why,
                size_t why_size);

/* NULL, or what is wrong with path, as a phrase. */
const char *vault_path_fault(const char *path);

#endif
