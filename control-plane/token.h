/*
 * API tokens as texts: `rlt_` and 43 characters of URL-safe base64, 256 random
 * bits. Only the SHA-256 is kept.
 */

#ifndef RELAY_TOKEN_H
#define RELAY_TOKEN_H

#include <stdbool.h>

enum {
    TOKEN_TEXT = 4 + 43 + 1,
    TOKEN_DIGEST_TEXT = 2 + 64 + 1 /* \x and hexadecimal digits: PostgreSQL's bytea */
};

/* A new one and its digest. False: no randomness. The caller cleanses token. */
bool token_mint(char token[TOKEN_TEXT], char digest[TOKEN_DIGEST_TEXT]);
/* False if it has not the form of a token. */
bool token_digest(const char *token, char digest[TOKEN_DIGEST_TEXT]);
/* \x… of any bytes; size at least 3 + 2 * len. */
void bytea_text(const unsigned char *bytes, unsigned len, char *text);

#endif
