/*
 * AWS Signature Version 4 of one request, in its headers: a pure function of the
 * request, the credentials and the time. The adapter signs what it is about to
 * send to a host that wants it. Internal memory that held a secret is wiped.
 */

#ifndef RELAY_SIGV4_H
#define RELAY_SIGV4_H

#include "buf.h"
#include "span.h"

enum {
    RELAY_SIGV4_DATE_LEN = 16, /* "20150830T123600Z" */
    RELAY_SIGV4_HASH_LEN = 64, /* SHA-256 in hexadecimal */
    RELAY_SIGV4_AUTHORIZATION_MAX = 512,
    RELAY_SIGV4_SECRET_MAX = 128, /* each half of the credentials */
    RELAY_SIGV4_TOKEN_MAX = 8192,
    RELAY_SIGV4_PLACE_MAX = 64,   /* region, service */
    RELAY_SIGV4_QUERY_MAX = 2048, /* canonical */
    RELAY_SIGV4_PARAMETERS_MAX = 32
};

typedef struct {
    relay_span_t access_key_id;
    relay_span_t secret_access_key;
    relay_span_t session_token; /* empty: permanent credentials */
} relay_sigv4_credentials_t;

/*
 * Takes a secret apart that holds credentials in one text:
 *
 *     ACCESS_KEY_ID:SECRET_ACCESS_KEY
 *     ACCESS_KEY_ID:SECRET_ACCESS_KEY:SESSION_TOKEN
 *
 * None of the parts may be empty, too long or hold a colon, a space or anything
 * that is not printable ASCII; AWS makes none that do. The spans point into text.
 */
bool relay_sigv4_credentials(relay_span_t text, relay_sigv4_credentials_t *credentials);

typedef struct {
    relay_span_t method;
    relay_span_t path;         /* as sent: percent-encoded, begins with '/' */
    relay_span_t query;        /* as sent, without its '?', or empty */
    relay_span_t host;         /* the Host header as sent */
    relay_span_t content_type; /* the header as sent; empty: there is none, or it stays unsigned */
    relay_span_t body_hash;    /* RELAY_SIGV4_HASH_LEN lower-case digits */
    relay_span_t region;
    relay_span_t service;
    uint64_t time_s; /* since 1970 */
} relay_sigv4_request_t;

/*
 * Appends the values of the headers Authorization and X-Amz-Date that go with the
 * request; with a session token the caller sends that too, as
 * X-Amz-Security-Token, and it is signed. Signed are those, Host and Content-Type:
 * every other header stays free.
 *
 * The path is encoded once more for the signature, as all services but S3 want
 * it, without empty and "." segments; one with a ".." is not signed. False, and
 * nothing appended, for that, for a part that is too long, for what does not fit.
 */
bool relay_sigv4_sign(const relay_sigv4_request_t *request,
                      const relay_sigv4_credentials_t *credentials, relay_buf_t *authorization,
                      relay_buf_t *date);

/* The SHA-256 of a body that lies in pieces. False if libcrypto fails. */
bool relay_sigv4_hash(const relay_span_t *pieces, size_t count, uint8_t hash[RELAY_SIGV4_HASH_LEN]);

#endif
