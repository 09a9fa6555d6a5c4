/* API tokens as texts; called by auth.c, setup.c and api_tokens.c. */

#include "token.h"

#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <openssl/sha.h>
#include <string.h>

#include "base64.h"

enum { RANDOM_LEN = 32 };

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

void bytea_text(const unsigned char *bytes, unsigned len, char *text)
{
    static const char digits[] = "0123456789abcdef";

    *text++ = '\\';
    *text++ = 'x';
    for (unsigned i = 0; i < len; i++) {
        *text++ = digits[bytes[i] >> 4];
        *text++ = digits[bytes[i] & 15];
    }
    *text = '\0';
}

bool token_digest(const char *token, char digest[TOKEN_DIGEST_TEXT])
{
    unsigned char bytes[SHA256_DIGEST_LENGTH];

    if (strlen(token) != TOKEN_TEXT - 1 || strncmp(token, "rlt_", 4) != 0 ||
        strspn(token + 4, alphabet) != TOKEN_TEXT - 5)
        return false;

    SHA256((const unsigned char *)token, TOKEN_TEXT - 1, bytes);
    bytea_text(bytes, sizeof(bytes), digest);
    return true;
}

bool token_mint(char token[TOKEN_TEXT], char digest[TOKEN_DIGEST_TEXT])
{
    unsigned char random[RANDOM_LEN];

    if (RAND_bytes(random, sizeof(random)) != 1)
        return false;

    relay_buf_t text = relay_buf(token + 4, TOKEN_TEXT - 5);
    memcpy(token, "rlt_", 4);
    relay_base64_put(&text, relay_span(random, sizeof(random)));
    token[TOKEN_TEXT - 1] = '\0';
    OPENSSL_cleanse(random, sizeof(random));
    return token_digest(token, digest);
}
