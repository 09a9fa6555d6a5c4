/*
 * The table of Relay's own errors: name for logs and headers, class, and the
 * sentence for callers. Dialects turn a row into their wire format.
 */

#include "error.h"

typedef struct {
    relay_span_t name;
    relay_error_class_t class;
    relay_span_t sentence;
} row_t;

#define ROW(name, class, sentence)                                                                 \
    {                                                                                              \
        RELAY_SPAN_INIT(name), RELAY_CLASS_##class, RELAY_SPAN_INIT(sentence)                      \
    }

static const row_t rows[RELAY_ERR_COUNT] = {
    [RELAY_ERR_NONE] = ROW("", INTERNAL, ""),
    /* one sentence for every refused key: it must not tell which part was wrong */
    [RELAY_ERR_INVALID_RELAY_KEY] = ROW("invalid_relay_key", AUTHENTICATION, "Invalid relay key."),
    [RELAY_ERR_INVALID_REQUEST] =
        ROW("invalid_request", BAD_REQUEST, "The request line or a header is malformed."),
    [RELAY_ERR_INVALID_JSON] =
        ROW("invalid_json", BAD_REQUEST, "The request body is not valid JSON."),
    [RELAY_ERR_INVALID_FIELD] =
        ROW("invalid_field", BAD_REQUEST, "A field of the request has an invalid value."),
    [RELAY_ERR_MISSING_FIELD] =
        ROW("missing_field", BAD_REQUEST, "A required field of the request is missing."),
    [RELAY_ERR_DUPLICATE_FIELD] =
        ROW("duplicate_field", BAD_REQUEST, "A field of the request occurs more than once."),
    [RELAY_ERR_CONTENT_TYPE] =
        ROW("content_type", MEDIA_TYPE, "The request body must be sent as application/json."),
    [RELAY_ERR_CONTENT_ENCODING] =
        ROW("content_encoding", MEDIA_TYPE,
            "The content encoding of the request body is not supported or the body does not "
            "match it; send it plain or as gzip."),
    [RELAY_ERR_BODY_TOO_LARGE] = ROW("body_too_large", TOO_LARGE, "The request body is too large."),
    [RELAY_ERR_BODY_TIMEOUT] =
        ROW("body_timeout", CLIENT_TIMEOUT, "The request body did not arrive in time."),
    [RELAY_ERR_MODEL_NOT_FOUND] = ROW("model_not_found", NOT_FOUND,
                                      "The model does not exist or this key has no access to it."),
    [RELAY_ERR_MODEL_NOT_ALLOWED] =
        ROW("model_not_allowed", PERMISSION, "This key is not allowed to use the model."),
    [RELAY_ERR_FORMAT_UNAVAILABLE] =
        ROW("format_unavailable", BAD_REQUEST, "The model is not available through this API."),
    [RELAY_ERR_NO_PROVIDER_KEY] =
        ROW("no_provider_key", UNAVAILABLE,
            "No provider key is available for the model at the moment. Try again later."),
    [RELAY_ERR_STORE_UNAVAILABLE] =
        ROW("store_unavailable", UNAVAILABLE,
            "The relay key cannot be checked at the moment. Try again later."),
    [RELAY_ERR_PATH_NOT_FOUND] = ROW("path_not_found", NOT_FOUND, "There is nothing at this path."),
    [RELAY_ERR_METHOD_NOT_ALLOWED] =
        ROW("method_not_allowed", METHOD, "This path does not take this method."),
    [RELAY_ERR_UPGRADE_REQUIRED] =
        ROW("upgrade_required", UPGRADE,
            "WebSocket connections are not supported here; use HTTP requests."),
    [RELAY_ERR_UPSTREAM_UNREACHABLE] =
        ROW("upstream_unreachable", BAD_GATEWAY, "The provider could not be reached."),
    [RELAY_ERR_UPSTREAM_TIMEOUT] =
        ROW("upstream_timeout", TIMEOUT, "The provider did not answer in time."),
    [RELAY_ERR_UPSTREAM_INVALID] =
        ROW("upstream_invalid", BAD_GATEWAY, "The provider sent an answer that is not valid."),
    [RELAY_ERR_UPSTREAM_STATUS] =
        ROW("upstream_status", BAD_GATEWAY, "The provider answered with an error."),
    [RELAY_ERR_UPSTREAM_KEY] =
        ROW("upstream_key", BAD_GATEWAY, "The provider refused the key that is set up for it."),
    [RELAY_ERR_UPSTREAM_CUT] =
        ROW("upstream_cut", BAD_GATEWAY, "The provider's answer ended before it was complete."),
    [RELAY_ERR_UPSTREAM_ERROR] =
        ROW("upstream_error", BAD_GATEWAY, "The provider reported an error during its answer."),
    [RELAY_ERR_CONTEXT_LENGTH] = ROW("context_length_exceeded", BAD_REQUEST,
                                     "The request has more tokens than the model can take."),
    [RELAY_ERR_UPSTREAM_BILLING] =
        ROW("upstream_billing", RATE_LIMIT, "The provider's account has no credit left."),
    [RELAY_ERR_UPSTREAM_OVERLOADED] =
        ROW("upstream_overloaded", UNAVAILABLE, "The provider is overloaded. Try again later."),
    [RELAY_ERR_SHUTTING_DOWN] =
        ROW("shutting_down", UNAVAILABLE, "Relay is restarting. Try again."),
    [RELAY_ERR_INTERNAL] =
        ROW("internal_error", INTERNAL, "The request could not be handled. Try again later."),
};

static const row_t *row_of(relay_error_code_t code)
{
    return &rows[(unsigned)code < RELAY_ERR_COUNT ? code : RELAY_ERR_INTERNAL];
}

relay_span_t relay_error_name(relay_error_code_t code)
{
    return row_of(code)->name;
}

relay_error_class_t relay_error_class(relay_error_code_t code)
{
    return row_of(code)->class;
}

relay_span_t relay_error_sentence(relay_error_code_t code)
{
    return row_of(code)->sentence;
}

unsigned relay_error_class_status(relay_error_class_t class)
{
    switch (class) {
    case RELAY_CLASS_BAD_REQUEST:
        return 400;
    case RELAY_CLASS_AUTHENTICATION:
        return 401;
    case RELAY_CLASS_PERMISSION:
        return 403;
    case RELAY_CLASS_NOT_FOUND:
        return 404;
    case RELAY_CLASS_METHOD:
        return 405;
    case RELAY_CLASS_CLIENT_TIMEOUT:
        return 408;
    case RELAY_CLASS_TOO_LARGE:
        return 413;
    case RELAY_CLASS_MEDIA_TYPE:
        return 415;
    case RELAY_CLASS_UPGRADE:
        return 426;
    case RELAY_CLASS_RATE_LIMIT:
        return 429;
    case RELAY_CLASS_INTERNAL:
        return 500;
    case RELAY_CLASS_BAD_GATEWAY:
        return 502;
    case RELAY_CLASS_UNAVAILABLE:
        return 503;
    case RELAY_CLASS_TIMEOUT:
        return 504;
    }
    return 500;
}
