/*
 * The Bedrock dialect: what its exceptions mean, and the little that Relay would
 * say in it itself. Called through the wire's table, by its codec and by
 * core/eventstream.c.
 */

#include "eventstream.h"
#include "json_tree.h"
#include "wire_anthropic.h"
#include "wire_bedrock_converse.h"
#include "wire_support.h"

/* ---- exceptions ---------------------------------------------------------- */

/* Those of a model that failed and of one that was too slow have statuses of
 * their own there (424, 408) that say something else to other clients. */
static const struct {
    relay_span_t name;
    unsigned status;
} exceptions[] = {
    {RELAY_SPAN_INIT("ValidationException"), 400},
    {RELAY_SPAN_INIT("SerializationException"), 400},
    {RELAY_SPAN_INIT("ConflictException"), 400},
    {RELAY_SPAN_INIT("UnrecognizedClientException"), 401},
    {RELAY_SPAN_INIT("InvalidSignatureException"), 401},
    {RELAY_SPAN_INIT("IncompleteSignatureException"), 401},
    {RELAY_SPAN_INIT("MissingAuthenticationTokenException"), 401},
    {RELAY_SPAN_INIT("ExpiredTokenException"), 401},
    {RELAY_SPAN_INIT("AccessDeniedException"), 403},
    {RELAY_SPAN_INIT("ResourceNotFoundException"), 404},
    {RELAY_SPAN_INIT("ThrottlingException"), 429},
    {RELAY_SPAN_INIT("TooManyRequestsException"), 429},
    {RELAY_SPAN_INIT("ModelNotReadyException"), 429},
    {RELAY_SPAN_INIT("ServiceQuotaExceededException"), 429},
    {RELAY_SPAN_INIT("InternalServerException"), 500},
    {RELAY_SPAN_INIT("InternalServerError"), 500},
    {RELAY_SPAN_INIT("InternalFailure"), 500},
    {RELAY_SPAN_INIT("ModelErrorException"), 500},
    {RELAY_SPAN_INIT("ModelStreamErrorException"), 500},
    {RELAY_SPAN_INIT("ServiceUnavailableException"), 503},
    {RELAY_SPAN_INIT("ServiceUnavailable"), 503},
    {RELAY_SPAN_INIT("ModelTimeoutException"), 504},
};

/* Behind the name of its service, in front of that of its documentation. */
static relay_span_t bare_name(relay_span_t name)
{
    for (size_t i = 0; i < name.len; i++) {
        if (name.base[i] == '#') {
            return bare_name(relay_span_from(name, i + 1));
        }
        if (name.base[i] == ':') {
            return relay_span(name.base, i);
        }
    }
    return name;
}

unsigned relay_bedrock_exception_status(relay_span_t name)
{
    name = bare_name(name);
    for (size_t i = 0; i < sizeof(exceptions) / sizeof(exceptions[0]); i++) {
        if (relay_span_case_eq(name, exceptions[i].name)) {
            return exceptions[i].status;
        }
    }
    return 0;
}

bool relay_eventstream_is_failure(relay_span_t name)
{
    const relay_span_t ending = RELAY_SPAN("Exception");

    name = bare_name(name);
    return relay_span_eq(name, RELAY_SPAN("error")) ||
           (name.len > ending.len &&
            relay_span_eq(relay_span_from(name, name.len - ending.len), ending));
}

/* A model's own failure carries the status that the model gave. */
static unsigned original_status(relay_json_value_t value)
{
    uint64_t status = 0;

    return relay_json_uint(value, &status) && status >= 400 && status <= 599 ? (unsigned)status : 0;
}

static unsigned status_of(relay_span_t type, relay_json_value_t original)
{
    unsigned status = original_status(original);

    status = status != 0 ? status : relay_bedrock_exception_status(type);
    return status != 0 ? status : 502;
}

bool relay_bedrock_exception_read(relay_span_t name, relay_span_t payload,
                                  relay_bedrock_exception_t *exception)
{
    enum { MESSAGE, UPPER_MESSAGE, ORIGINAL_MESSAGE, TYPE, STATUS, KEYS };
    static const relay_span_t keys[KEYS] = {
        RELAY_SPAN_INIT("message"), RELAY_SPAN_INIT("Message"), RELAY_SPAN_INIT("originalMessage"),
        RELAY_SPAN_INIT("__type"), RELAY_SPAN_INIT("originalStatusCode")};
    relay_json_value_t values[KEYS];
    relay_span_t type;

    relay_wire_read(payload, keys, KEYS, values);
    type = bare_name(relay_wire_inner(values[TYPE]));
    if (name.len != 0 && !relay_span_eq(name, RELAY_SPAN("error"))) {
        type = bare_name(name);
    }
    *exception =
        (relay_bedrock_exception_t){.type = type, .status = status_of(type, values[STATUS])};
    for (size_t i = MESSAGE; i <= ORIGINAL_MESSAGE && exception->message.len == 0; i++) {
        exception->message = relay_wire_inner(values[i]);
    }
    return name.len != 0 || type.len != 0 || exception->message.len != 0;
}

/* The models whose events come in bytes speak Messages. */
void relay_eventstream_put_error(relay_buf_t *out, relay_span_t name, relay_span_t payload,
                                 relay_span_t message)
{
    relay_error_t error = {.code = RELAY_ERR_UPSTREAM_ERROR};
    relay_bedrock_exception_t exception;
    uint8_t bytes[1024];
    relay_buf_t plain = relay_buf(bytes, sizeof(bytes));

    relay_bedrock_exception_read(name, payload, &exception);
    relay_json_decode_content(exception.message, &plain);
    error.message = plain.len != 0 ? relay_buf_span(&plain) : message;
    /* an overload has a status of its own there, which goes with its word */
    error.status = exception.status == 503 ? 529 : exception.status;
    relay_anthropic_put_error(out, &error, relay_span(NULL, 0));
}

static relay_span_t error_name(relay_span_t value, bool *key_refused)
{
    *key_refused = relay_bedrock_exception_status(value) == 401;
    return bare_name(value);
}

/* ---- what Relay would say ------------------------------------------------ */

static unsigned dialect_status(const relay_error_t *error)
{
    return error->status != 0 ? error->status
                              : relay_error_class_status(relay_error_class(error->code));
}

static relay_span_t exception_of(unsigned status)
{
    switch (status) {
    case 401:
        return RELAY_SPAN("UnrecognizedClientException");
    case 403:
        return RELAY_SPAN("AccessDeniedException");
    case 404:
        return RELAY_SPAN("ResourceNotFoundException");
    case 429:
        return RELAY_SPAN("ThrottlingException");
    case 503:
        return RELAY_SPAN("ServiceUnavailableException");
    case 504:
        return RELAY_SPAN("ModelTimeoutException");
    default:
        return status >= 500 ? RELAY_SPAN("InternalServerException")
                             : RELAY_SPAN("ValidationException");
    }
}

/* The dialect has no member for a request's id: it is in a header. */
static void put_error(relay_buf_t *out, const relay_error_t *error, relay_span_t request_id)
{
    (void)request_id;
    RELAY_PUT(out, "{\"message\":");
    relay_buf_put_json(out, relay_wire_message(error));
    RELAY_PUT(out, ",\"__type\":");
    relay_buf_put_json(out, exception_of(dialect_status(error)));
    RELAY_PUT(out, "}");
}

static void put_model(relay_buf_t *out, const relay_model_view_t *model)
{
    RELAY_PUT(out, "{\"modelId\":");
    relay_buf_put_json(out, model->id);
    RELAY_PUT(out, ",\"modelName\":");
    relay_buf_put_json(out, model->display_name.len != 0 ? model->display_name : model->id);
    RELAY_PUT(out, "}");
}

static relay_error_code_t put_models(relay_buf_t *out, const relay_model_view_t *models,
                                     size_t count, relay_span_t query, relay_error_t *error)
{
    (void)query;
    (void)error;
    RELAY_PUT(out, "{\"modelSummaries\":[");
    for (size_t i = 0; i < count; i++) {
        if (i != 0) {
            RELAY_PUT(out, ",");
        }
        put_model(out, &models[i]);
    }
    RELAY_PUT(out, "]}");
    return RELAY_ERR_NONE;
}

/* Not in the registry's list of dialects: no caller speaks it. */
const relay_dialect_t relay_dialect_bedrock = {
    .name = RELAY_SPAN_INIT("bedrock"),
    .prefix = RELAY_SPAN_INIT("/bedrock"),
    .request_id_header = RELAY_SPAN_INIT("x-amzn-requestid"),
    .error_header = RELAY_SPAN_INIT("x-amzn-errortype"),
    .error_name = error_name,
    .status = dialect_status,
    .error = put_error,
    .model_list = put_models,
    .model = put_model,
};
