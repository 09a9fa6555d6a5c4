/*
 * The last value of a reference, kept with the provider key that it was
 * published for: with it a start of relayd needs nobody who keeps secrets.
 * Sealed as a value that is given (secret.h), with the reference in the place of
 * a version: for another reference, row or origin it does not open. Called by
 * document_key.c, which keeps it, and by who asks for a key's value.
 */

#ifndef RELAY_LAST_VALUE_H
#define RELAY_LAST_VALUE_H

#include "reference.h"

typedef struct {
    const char *workspace_id;
    const char *row_id;
    const char *reference;
    const char *origin;
    const char *sealed; /* provider_key.last_sealed; NULL or "": there is none */
} last_value_t;

/* Lets the reference have it, if it lacks a value. */
void last_value_adopt(secrets_t *secrets, session_t *session, const last_value_t *last);

/* The row has this from now on; nothing is written if it does already. False: the database failed,
 * or it cannot be sealed. */
bool last_value_keep(secrets_t *secrets, session_t *session, const last_value_t *last,
                     const secret_t *secret);
/* The row has none any more. */
bool last_value_drop(session_t *session, const last_value_t *last);

#endif
