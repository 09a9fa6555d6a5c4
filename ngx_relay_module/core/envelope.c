/*
 * What Relay reads of a request before it is routed: relay_envelope_read and
 * relay_envelope_read_path of wire.h. One of them is called once for each request
 * by the adapter's handler.
 */

#include "wire.h"

enum {
    MODEL,
    STREAM,
    STREAM_OPTIONS,
    MAX_TOKENS,
    MAX_COMPLETION_TOKENS,
    MAX_OUTPUT_TOKENS,
    FIELDS
};

static const relay_span_t fields[FIELDS] = {
    RELAY_SPAN_INIT("model"),
    RELAY_SPAN_INIT("stream"),
    RELAY_SPAN_INIT("stream_options"),
    RELAY_SPAN_INIT("max_tokens"),
    RELAY_SPAN_INIT("max_completion_tokens"),
    RELAY_SPAN_INIT("max_output_tokens"),
};

/* What scratch holds from `start` on. */
static relay_span_t tail(const relay_buf_t *scratch, size_t start)
{
    relay_span_t stored = relay_buf_span(scratch);

    return start < stored.len ? relay_span_from(stored, start) : relay_span(NULL, 0);
}

static relay_error_code_t refuse(relay_error_t *error, relay_error_code_t code, relay_span_t param,
                                 relay_span_t message)
{
    *error = (relay_error_t){.code = code, .param = param, .message = message};
    return code;
}

static void put_offset(relay_buf_t *out, size_t offset)
{
    RELAY_PUT(out, " at byte ");
    relay_buf_put_u64(out, offset);
    RELAY_PUT(out, ".");
}

static relay_error_code_t refuse_json(const relay_json_fault_t *fault, relay_buf_t *scratch,
                                      relay_error_t *error)
{
    size_t start = scratch->len;

    RELAY_PUT(scratch, "The request body is not valid JSON: ");
    relay_buf_put(scratch, relay_json_error_text(fault->error));
    put_offset(scratch, fault->offset);
    return refuse(error, RELAY_ERR_INVALID_JSON, relay_span(NULL, 0), tail(scratch, start));
}

/* A provider may read such a body differently: the key is refused, never guessed. */
static relay_error_code_t refuse_key(const relay_json_fault_t *fault, relay_buf_t *scratch,
                                     relay_error_t *error)
{
    size_t start = scratch->len;
    bool twice = fault->error == RELAY_JSON_DUPLICATE;

    RELAY_PUT(scratch, "The field '");
    relay_buf_put(scratch, fields[fault->key]);
    if (twice) {
        RELAY_PUT(scratch, "' occurs a second time");
    } else {
        RELAY_PUT(scratch, "' is spelt with an escape");
    }
    put_offset(scratch, fault->offset);
    return refuse(error, twice ? RELAY_ERR_DUPLICATE_FIELD : RELAY_ERR_INVALID_FIELD,
                  fields[fault->key], tail(scratch, start));
}

static relay_error_code_t refuse_model(relay_error_t *error, relay_span_t message)
{
    return refuse(error, RELAY_ERR_INVALID_FIELD, fields[MODEL], message);
}

/* ASCII controls, DEL, and U+0080..U+009F: the name goes into headers and logs. */
static bool has_control(relay_span_t text)
{
    for (size_t i = 0; i < text.len; i++) {
        uint8_t byte = text.base[i];
        if (byte < 0x20 || byte == 0x7f) {
            return true;
        }
        if (byte == 0xc2 && i + 1 < text.len && text.base[i + 1] < 0xa0) {
            return true;
        }
    }
    return false;
}

/* The decoded name; in scratch only if it was written with escapes. */
static relay_error_code_t decode_model(relay_envelope_t *envelope, relay_buf_t *scratch,
                                       relay_error_t *error)
{
    uint8_t decoded[RELAY_MODEL_NAME_MAX];
    relay_buf_t name = relay_buf(decoded, sizeof(decoded));
    size_t start = scratch->len;

    if (relay_json_plain(envelope->model, &envelope->model_name)) {
        return RELAY_ERR_NONE;
    }
    relay_json_decode(envelope->model, &name);
    if (!relay_buf_ok(&name)) {
        return refuse_model(error, RELAY_SPAN("The field 'model' is longer than 256 bytes."));
    }
    relay_buf_put(scratch, relay_buf_span(&name));
    envelope->model_name = tail(scratch, start);
    return relay_buf_ok(scratch)
               ? RELAY_ERR_NONE
               : refuse(error, RELAY_ERR_INTERNAL, relay_span(NULL, 0), relay_span(NULL, 0));
}

static relay_error_code_t check_name(const relay_envelope_t *envelope, relay_error_t *error)
{
    if (envelope->model_name.len == 0) {
        return refuse_model(error, RELAY_SPAN("The field 'model' must not be empty."));
    }
    if (envelope->model_name.len > RELAY_MODEL_NAME_MAX) {
        return refuse_model(error, RELAY_SPAN("The field 'model' is longer than 256 bytes."));
    }
    if (has_control(envelope->model_name)) {
        return refuse_model(error, RELAY_SPAN("The field 'model' holds a control character."));
    }
    return RELAY_ERR_NONE;
}

static relay_error_code_t check_model(relay_envelope_t *envelope, relay_buf_t *scratch,
                                      relay_error_t *error)
{
    relay_error_code_t code;

    if (envelope->model.type == RELAY_JSON_ABSENT) {
        return refuse(error, RELAY_ERR_MISSING_FIELD, fields[MODEL],
                      RELAY_SPAN("The field 'model' is required."));
    }
    if (envelope->model.type != RELAY_JSON_STRING) {
        return refuse_model(error, RELAY_SPAN("The field 'model' must be a string."));
    }
    code = decode_model(envelope, scratch, error);
    return code != RELAY_ERR_NONE ? code : check_name(envelope, error);
}

static int hex_digit(uint8_t byte)
{
    uint8_t letter = byte | 0x20;

    if (byte >= '0' && byte <= '9') {
        return byte - '0';
    }
    return letter >= 'a' && letter <= 'f' ? letter - 'a' + 10 : -1;
}

/* Percent-decoded; false if an escape is broken, the name too long or not UTF-8. */
static bool decode_path(relay_span_t text, relay_buf_t *out)
{
    for (size_t i = 0; i < text.len; i++) {
        uint8_t byte = text.base[i];
        if (byte == '%') {
            int high = text.len - i > 2 ? hex_digit(text.base[i + 1]) : -1;
            int low = text.len - i > 2 ? hex_digit(text.base[i + 2]) : -1;
            if (high < 0 || low < 0) {
                return false;
            }
            byte = (uint8_t)(high << 4 | low);
            i += 2;
        }
        relay_buf_put_byte(out, byte);
    }
    return relay_buf_ok(out) && relay_utf8_valid(relay_buf_span(out)) == out->len;
}

static relay_error_code_t check_path(relay_envelope_t *envelope, relay_span_t model,
                                     relay_buf_t *scratch, relay_error_t *error)
{
    uint8_t decoded[RELAY_MODEL_NAME_MAX];
    relay_buf_t name = relay_buf(decoded, sizeof(decoded));
    size_t start = scratch->len;

    if (!decode_path(model, &name)) {
        return refuse_model(error, RELAY_SPAN("The model in the path is longer than 256 bytes or "
                                              "not percent-encoded UTF-8."));
    }
    relay_buf_put(scratch, relay_buf_span(&name));
    envelope->model_name = tail(scratch, start);
    return relay_buf_ok(scratch)
               ? check_name(envelope, error)
               : refuse(error, RELAY_ERR_INTERNAL, relay_span(NULL, 0), relay_span(NULL, 0));
}

static relay_error_code_t check_stream(relay_envelope_t *envelope, relay_error_t *error)
{
    switch (envelope->stream.type) {
    case RELAY_JSON_ABSENT:
    case RELAY_JSON_NULL:
    case RELAY_JSON_FALSE:
        return RELAY_ERR_NONE;
    case RELAY_JSON_TRUE:
        envelope->streaming = true;
        return RELAY_ERR_NONE;
    default:
        return refuse(error, RELAY_ERR_INVALID_FIELD, fields[STREAM],
                      RELAY_SPAN("The field 'stream' must be true or false."));
    }
}

static relay_error_code_t scan(relay_span_t body, relay_envelope_t *envelope, relay_buf_t *scratch,
                               relay_error_t *error)
{
    relay_json_value_t values[FIELDS];
    relay_json_fault_t fault;

    *envelope = (relay_envelope_t){.body = body};
    switch (relay_json_scan(body, fields, FIELDS, values, &fault)) {
    case RELAY_JSON_OK:
        break;
    case RELAY_JSON_DUPLICATE:
    case RELAY_JSON_ESCAPED_KEY:
        return refuse_key(&fault, scratch, error);
    default:
        return refuse_json(&fault, scratch, error);
    }
    envelope->model = values[MODEL];
    envelope->stream = values[STREAM];
    envelope->stream_options = values[STREAM_OPTIONS];
    envelope->max_tokens = values[MAX_TOKENS];
    envelope->max_completion_tokens = values[MAX_COMPLETION_TOKENS];
    envelope->max_output_tokens = values[MAX_OUTPUT_TOKENS];
    return RELAY_ERR_NONE;
}

relay_error_code_t relay_envelope_read(relay_span_t body, relay_envelope_t *envelope,
                                       relay_buf_t *scratch, relay_error_t *error)
{
    relay_error_code_t code = scan(body, envelope, scratch, error);

    code = code != RELAY_ERR_NONE ? code : check_model(envelope, scratch, error);
    return code != RELAY_ERR_NONE ? code : check_stream(envelope, error);
}

relay_error_code_t relay_envelope_read_path(relay_span_t body, relay_span_t model, bool streaming,
                                            relay_envelope_t *envelope, relay_buf_t *scratch,
                                            relay_error_t *error)
{
    relay_error_code_t code = scan(body, envelope, scratch, error);

    envelope->streaming = streaming;
    return code != RELAY_ERR_NONE ? code : check_path(envelope, model, scratch, error);
}
