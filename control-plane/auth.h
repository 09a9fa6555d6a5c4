/*
 * Who asks. API tokens are `rlt_` + 43 characters; only their SHA-256 is kept.
 * The set-up token opens one door once: creating the first token.
 */

#ifndef RELAY_AUTH_H
#define RELAY_AUTH_H

#include <stdbool.h>

#include "database.h"
#include "problem.h"

typedef enum { IDENTITY_NONE = 0, IDENTITY_TOKEN } identity_kind_t;

/* Roles contain each other: admin > editor > viewer. */
typedef enum { ROLE_VIEWER = 1, ROLE_EDITOR, ROLE_ADMIN } role_t;

enum { AUTH_SCOPES_MAX = 64 };

typedef struct {
    identity_kind_t kind;
    char id[48]; /* tok_… */
    char name[65];
    role_t role;
    char workspace_id[37];            /* "": every workspace */
    char scopes[AUTH_SCOPES_MAX][48]; /* "pools:write", "pools:*", "*" */
    unsigned nscopes;                 /* 0: all that the role allows */
} identity_t;

/* authorization: the header's value or NULL. Constant-time; one fixed answer for every refusal. */
bool auth_identify(session_t *session, const char *authorization, identity_t *identity,
                   problem_t *problem);

/* `:read` needs viewer, `:write` editor, `:admin` admin; and a scope that covers it. */
bool auth_allows(const identity_t *identity, const char *scope, const char *workspace_id);

/* Whether the identity's scopes cover scope, which may end in `:*` or be `*`. */
bool auth_covers(const identity_t *identity, const char *scope);

#endif
