/*
 * Relay's own errors as values. They carry what a dialect needs to write the
 * client's message and are turned into a wire format once, at the edge
 * (relay_dialect_t.error in wire.h). A message never holds a secret.
 */

#ifndef RELAY_ERROR_H
#define RELAY_ERROR_H

#include "span.h"

/* What kind of failure it is to the caller; decides status and wire type. */
typedef enum {
    RELAY_CLASS_BAD_REQUEST = 0, /* 400 */
    RELAY_CLASS_AUTHENTICATION,  /* 401: the caller's own relay key */
    RELAY_CLASS_PERMISSION,      /* 403 */
    RELAY_CLASS_NOT_FOUND,       /* 404 */
    RELAY_CLASS_METHOD,          /* 405 */
    RELAY_CLASS_TOO_LARGE,       /* 413 */
    RELAY_CLASS_MEDIA_TYPE,      /* 415 */
    RELAY_CLASS_UPGRADE,         /* 426 */
    RELAY_CLASS_RATE_LIMIT,      /* 429 */
    RELAY_CLASS_INTERNAL,        /* 500 */
    RELAY_CLASS_BAD_GATEWAY,     /* 502, or what the dialect says instead */
    RELAY_CLASS_UNAVAILABLE,     /* 503 */
    RELAY_CLASS_TIMEOUT,         /* 504 */
    RELAY_CLASS_CLIENT_TIMEOUT   /* 408 */
} relay_error_class_t;

typedef enum {
    RELAY_ERR_NONE = 0,
    RELAY_ERR_INVALID_RELAY_KEY,
    RELAY_ERR_INVALID_REQUEST, /* not HTTP as it should be */
    RELAY_ERR_INVALID_JSON,
    RELAY_ERR_INVALID_FIELD, /* param names it */
    RELAY_ERR_MISSING_FIELD,
    RELAY_ERR_DUPLICATE_FIELD,
    RELAY_ERR_CONTENT_TYPE,
    RELAY_ERR_CONTENT_ENCODING,
    RELAY_ERR_BODY_TOO_LARGE,
    RELAY_ERR_BODY_TIMEOUT,
    RELAY_ERR_MODEL_NOT_FOUND,
    RELAY_ERR_MODEL_NOT_ALLOWED,
    RELAY_ERR_FORMAT_UNAVAILABLE, /* the model is not offered in the caller's format */
    RELAY_ERR_NO_PROVIDER_KEY,    /* no active provider key can serve it */
    RELAY_ERR_STORE_UNAVAILABLE,  /* whether the relay key is good cannot be told */
    RELAY_ERR_PATH_NOT_FOUND,
    RELAY_ERR_METHOD_NOT_ALLOWED,
    RELAY_ERR_UPGRADE_REQUIRED,
    RELAY_ERR_UPSTREAM_UNREACHABLE, /* DNS, connect, TLS on every candidate */
    RELAY_ERR_UPSTREAM_TIMEOUT,
    RELAY_ERR_UPSTREAM_INVALID, /* not HTTP, lies about its length, oversized header */
    RELAY_ERR_UPSTREAM_STATUS,  /* an error status without a usable body */
    RELAY_ERR_UPSTREAM_KEY,     /* the provider refused our key: 502, never 401 */
    RELAY_ERR_UPSTREAM_CUT,     /* the answer ended before its end */
    RELAY_ERR_UPSTREAM_ERROR,   /* an error event inside the stream */
    RELAY_ERR_CONTEXT_LENGTH,   /* more tokens than the provider's model takes */
    RELAY_ERR_UPSTREAM_BILLING, /* the provider's account has no money left */
    RELAY_ERR_UPSTREAM_OVERLOADED,
    RELAY_ERR_SHUTTING_DOWN, /* this process ends before the answer does */
    RELAY_ERR_INTERNAL,
    RELAY_ERR_COUNT
} relay_error_code_t;

typedef struct {
    relay_error_code_t code;
    unsigned status;        /* HTTP status to keep; 0: the dialect's own for the class */
    relay_span_t message;   /* empty: the code's fixed sentence */
    relay_span_t param;     /* the offending field, or empty */
    unsigned retry_after_s; /* 0: none known */
} relay_error_t;

/* "invalid_relay_key", …: the value of x-relay-error and $relay_error. */
relay_span_t relay_error_name(relay_error_code_t code);
relay_error_class_t relay_error_class(relay_error_code_t code);
/* The code's sentence for callers, used where relay_error_t.message is empty. */
relay_span_t relay_error_sentence(relay_error_code_t code);
/* The plain HTTP status of a class. */
unsigned relay_error_class_status(relay_error_class_t class);

#endif
