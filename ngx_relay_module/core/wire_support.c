/*
 * What the wire formats have in common: see wire_support.h.
 */

#include "wire_support.h"

/* ---- reading JSON of providers ------------------------------------------- */

static bool is_space(uint8_t byte)
{
    return byte == ' ' || byte == '\n' || byte == '\r' || byte == '\t';
}

static relay_span_t trim(relay_span_t text)
{
    while (text.len != 0 && is_space(text.base[0])) {
        text = relay_span_from(text, 1);
    }
    while (text.len != 0 && is_space(text.base[text.len - 1])) {
        text.len--;
    }
    return text;
}

/* What is between the brackets of an array; other text as it is. */
static relay_span_t unwrap(relay_span_t text)
{
    text = trim(text);
    if (text.len >= 2 && text.base[0] == '[' && text.base[text.len - 1] == ']') {
        return trim(relay_span(text.base + 1, text.len - 2));
    }
    return text;
}

static bool read_twice(relay_span_t text, const relay_span_t *keys, size_t nkeys,
                       relay_json_value_t *values)
{
    relay_json_fault_t fault;

    return relay_json_scan(text, NULL, 0, NULL, &fault) == RELAY_JSON_OK &&
           relay_json_members(text, keys, nkeys, values);
}

bool relay_wire_read(relay_span_t text, const relay_span_t *keys, size_t nkeys,
                     relay_json_value_t *values)
{
    relay_json_fault_t fault;

    text = unwrap(text);
    switch (relay_json_scan(text, keys, nkeys, values, &fault)) {
    case RELAY_JSON_OK:
        return true;
    case RELAY_JSON_DUPLICATE:
    case RELAY_JSON_ESCAPED_KEY:
        if (read_twice(text, keys, nkeys, values)) {
            return true;
        }
        break;
    default:
        break;
    }
    for (size_t i = 0; i < nkeys; i++) {
        values[i] = (relay_json_value_t){RELAY_JSON_ABSENT, {NULL, 0}};
    }
    return false;
}

bool relay_wire_glance(relay_span_t text, const relay_span_t *keys, size_t nkeys,
                       relay_json_value_t *values)
{
    text = unwrap(text);
    /* both brackets: so no walk leaves the text, and a cut one is seen */
    if (text.len >= 2 && text.base[0] == '{' && text.base[text.len - 1] == '}') {
        return relay_json_members(text, keys, nkeys, values);
    }
    for (size_t i = 0; i < nkeys; i++) {
        values[i] = (relay_json_value_t){RELAY_JSON_ABSENT, {NULL, 0}};
    }
    return false;
}

relay_span_t relay_wire_inner(relay_json_value_t value)
{
    return value.type == RELAY_JSON_STRING && value.text.len >= 2
               ? relay_span(value.text.base + 1, value.text.len - 2)
               : relay_span(NULL, 0);
}

bool relay_wire_is(relay_json_value_t value, relay_span_t text)
{
    return value.type == RELAY_JSON_STRING && relay_span_eq(relay_wire_inner(value), text);
}

bool relay_wire_says(relay_json_value_t value)
{
    switch (value.type) {
    case RELAY_JSON_STRING:
        return value.text.len > 2;
    case RELAY_JSON_ARRAY:
    case RELAY_JSON_OBJECT:
        return trim(relay_span(value.text.base + 1, value.text.len - 2)).len != 0;
    case RELAY_JSON_NUMBER:
    case RELAY_JSON_TRUE:
        return true;
    default:
        return false;
    }
}

void relay_wire_tier(relay_span_t word, relay_tier_t *tier)
{
    static const struct {
        relay_span_t word;
        relay_tier_t tier;
    } words[] = {
        {RELAY_SPAN_INIT("default"), RELAY_TIER_STANDARD},
        {RELAY_SPAN_INIT("standard"), RELAY_TIER_STANDARD},
        {RELAY_SPAN_INIT("ON_DEMAND"), RELAY_TIER_STANDARD},
        {RELAY_SPAN_INIT("flex"), RELAY_TIER_FLEX},
        {RELAY_SPAN_INIT("ON_DEMAND_FLEX"), RELAY_TIER_FLEX},
        {RELAY_SPAN_INIT("priority"), RELAY_TIER_PRIORITY},
        {RELAY_SPAN_INIT("ON_DEMAND_PRIORITY"), RELAY_TIER_PRIORITY},
        {RELAY_SPAN_INIT("scale"), RELAY_TIER_RESERVED},
        {RELAY_SPAN_INIT("reserved"), RELAY_TIER_RESERVED},
        {RELAY_SPAN_INIT("PROVISIONED_THROUGHPUT"), RELAY_TIER_RESERVED},
        {RELAY_SPAN_INIT("batch"), RELAY_TIER_BATCH},
    };

    for (size_t i = 0; word.len != 0 && i < sizeof(words) / sizeof(words[0]); i++) {
        if (relay_span_eq(word, words[i].word)) {
            *tier = words[i].tier;
            return;
        }
    }
}

bool relay_wire_copy(relay_json_value_t value, char *out, size_t size)
{
    relay_buf_t text = relay_buf(out, size - 1);

    if (relay_wire_inner(value).len == 0) {
        return false;
    }
    relay_json_decode(value, &text);
    out[relay_buf_span(&text).len] = '\0';
    return true;
}

void relay_wire_copy_once(relay_json_value_t value, char *out, size_t size)
{
    if (out[0] == '\0') {
        relay_wire_copy(value, out, size);
    }
}

bool relay_wire_count(relay_json_value_t value, uint64_t *number)
{
    uint64_t count;

    if (!relay_json_uint(value, &count) || count > UINT64_C(1) << 48) {
        return false;
    }
    *number = count;
    return true;
}

/* ---- errors of providers ------------------------------------------------- */

/* Types and codes in use, by the HTTP status that fits. */
static const struct {
    relay_span_t word;
    unsigned status;
} words[] = {
    {RELAY_SPAN_INIT("invalid_request_error"), 400},
    {RELAY_SPAN_INIT("invalid_request"), 400},
    {RELAY_SPAN_INIT("invalid_prompt"), 400},
    {RELAY_SPAN_INIT("invalid_argument"), 400},
    {RELAY_SPAN_INIT("bad_request"), 400},
    {RELAY_SPAN_INIT("BadRequestError"), 400},
    {RELAY_SPAN_INIT("context_length_exceeded"), 400},
    {RELAY_SPAN_INIT("content_filter"), 400},
    {RELAY_SPAN_INIT("content_policy_violation"), 400},
    {RELAY_SPAN_INIT("tool_use_failed"), 400},
    {RELAY_SPAN_INIT("bio_policy"), 400},
    {RELAY_SPAN_INIT("misalignment_policy_violation"), 400},
    {RELAY_SPAN_INIT("authentication_error"), 401},
    {RELAY_SPAN_INIT("AuthenticationError"), 401},
    {RELAY_SPAN_INIT("invalid_api_key"), 401},
    {RELAY_SPAN_INIT("unauthenticated"), 401},
    {RELAY_SPAN_INIT("unauthorized"), 401},
    {RELAY_SPAN_INIT("billing_error"), 402},
    {RELAY_SPAN_INIT("payment_required"), 402},
    {RELAY_SPAN_INIT("permission_error"), 403},
    {RELAY_SPAN_INIT("permission_denied"), 403},
    {RELAY_SPAN_INIT("request_forbidden"), 403},
    {RELAY_SPAN_INIT("forbidden"), 403},
    {RELAY_SPAN_INIT("unsupported_country_region_territory"), 403},
    {RELAY_SPAN_INIT("not_found_error"), 404},
    {RELAY_SPAN_INIT("not_found"), 404},
    {RELAY_SPAN_INIT("NotFoundError"), 404},
    {RELAY_SPAN_INIT("model_not_found"), 404},
    {RELAY_SPAN_INIT("request_too_large"), 413},
    {RELAY_SPAN_INIT("rate_limit_error"), 429},
    {RELAY_SPAN_INIT("rate_limit_exceeded"), 429},
    {RELAY_SPAN_INIT("requests"), 429},
    {RELAY_SPAN_INIT("tokens"), 429},
    {RELAY_SPAN_INIT("slow_down"), 429},
    {RELAY_SPAN_INIT("too_many_requests"), 429},
    {RELAY_SPAN_INIT("resource_exhausted"), 429},
    {RELAY_SPAN_INIT("insufficient_quota"), 429},
    {RELAY_SPAN_INIT("credit_balance_exhausted"), 429},
    {RELAY_SPAN_INIT("server_error"), 500},
    {RELAY_SPAN_INIT("internal_server_error"), 500},
    {RELAY_SPAN_INIT("internal_error"), 500},
    {RELAY_SPAN_INIT("InternalServerError"), 500},
    {RELAY_SPAN_INIT("internal"), 500},
    {RELAY_SPAN_INIT("api_error"), 500},
    {RELAY_SPAN_INIT("server_is_overloaded"), 503},
    {RELAY_SPAN_INIT("service_unavailable_error"), 503},
    {RELAY_SPAN_INIT("service_unavailable"), 503},
    {RELAY_SPAN_INIT("engine_overloaded_error"), 503},
    {RELAY_SPAN_INIT("overloaded"), 503},
    {RELAY_SPAN_INIT("unavailable"), 503},
    {RELAY_SPAN_INIT("timeout_error"), 504},
    {RELAY_SPAN_INIT("timeout"), 504},
    {RELAY_SPAN_INIT("gateway_timeout"), 504},
    {RELAY_SPAN_INIT("deadline_exceeded"), 504},
    {RELAY_SPAN_INIT("overloaded_error"), 529},
};

/* 400..599 from a number, or from a string of three digits; else 0. */
static unsigned status_number(relay_json_value_t value)
{
    uint64_t number = 0;

    if (value.type == RELAY_JSON_STRING) {
        value = (relay_json_value_t){RELAY_JSON_NUMBER, relay_wire_inner(value)};
    }
    return relay_json_uint(value, &number) && number >= 400 && number <= 599 ? (unsigned)number : 0;
}

static unsigned status_word(relay_json_value_t value)
{
    relay_span_t text = relay_wire_inner(value);

    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (relay_span_case_eq(text, words[i].word)) {
            return words[i].status;
        }
    }
    return 0;
}

/* The code is the finer of the two; an unknown error is the provider's fault. */
static unsigned error_status(relay_json_value_t type, relay_json_value_t code)
{
    unsigned status = status_number(code);

    status = status != 0 ? status : status_word(code);
    status = status != 0 ? status : status_word(type);
    return status != 0 ? status : 502;
}

/* The message in "text", {"detail":…} or [{"msg":"text"}]. */
static relay_span_t message_text(relay_json_value_t value)
{
    static const relay_span_t keys[] = {RELAY_SPAN_INIT("detail"), RELAY_SPAN_INIT("msg")};
    relay_json_value_t members[2];
    size_t cursor = 0;

    if (value.type == RELAY_JSON_OBJECT) {
        relay_json_members(value.text, keys, 1, members);
        value = members[0];
    }
    if (value.type == RELAY_JSON_ARRAY && relay_json_element(value.text, &cursor, &value) &&
        value.type == RELAY_JSON_OBJECT) {
        relay_json_members(value.text, keys, 2, members);
        value = members[1];
    }
    return relay_wire_inner(value);
}

static void read_object(relay_json_value_t object, relay_wire_error_t *error)
{
    enum { MESSAGE, TYPE, CODE, KEYS };
    static const relay_span_t keys[KEYS] = {RELAY_SPAN_INIT("message"), RELAY_SPAN_INIT("type"),
                                            RELAY_SPAN_INIT("code")};
    relay_json_value_t values[KEYS];

    relay_json_members(object.text, keys, KEYS, values);
    error->message = message_text(values[MESSAGE]);
    error->type = values[TYPE];
    error->code = values[CODE];
}

static bool read_flat(const relay_wire_error_members_t *members, relay_wire_error_t *error)
{
    relay_json_value_t message =
        relay_wire_says(members->message) ? members->message : members->detail;

    if (!members->flat) {
        return false;
    }
    error->message = message_text(message);
    error->type = members->type;
    error->code = members->code;
    return true;
}

bool relay_wire_error_read(const relay_wire_error_members_t *members, relay_wire_error_t *error)
{
    memset(error, 0, sizeof(*error));
    if (members->error.type == RELAY_JSON_OBJECT) {
        read_object(members->error, error);
    } else if (members->error.type == RELAY_JSON_STRING && relay_wire_says(members->error)) {
        error->message = relay_wire_inner(members->error);
        error->code = members->code;
    } else if (!read_flat(members, error)) {
        return false;
    }
    error->status = error_status(error->type, error->code);
    return true;
}

void relay_wire_answer_error(relay_answer_t *answer, const relay_wire_error_t *error)
{
    relay_buf_t text = relay_buf(answer->error_type, sizeof(answer->error_type) - 1);

    answer->is_error = true;
    answer->message = error->message;
    if (relay_wire_copy(error->code, answer->error_type, sizeof(answer->error_type)) ||
        relay_wire_copy(error->type, answer->error_type, sizeof(answer->error_type))) {
        return;
    }
    if (error->code.type == RELAY_JSON_NUMBER) {
        relay_buf_put(&text, error->code.text);
        answer->error_type[relay_buf_span(&text).len] = '\0';
    }
}

/* ---- events -------------------------------------------------------------- */

relay_verdict_t relay_wire_failed(relay_stream_t *stream, unsigned status)
{
    stream->error_seen = true;
    stream->error_status = status;
    return (relay_verdict_t){.class = RELAY_EVENT_ERROR};
}

relay_verdict_t relay_wire_unreadable(relay_stream_t *stream, const relay_sse_item_t *item)
{
    if (!item->terminated) {
        return (relay_verdict_t){.class = RELAY_EVENT_IDLE, .hide = true};
    }
    if (relay_span_eq(item->name, RELAY_SPAN("error"))) {
        return relay_wire_failed(stream, 502);
    }
    return (relay_verdict_t){.class = RELAY_EVENT_IDLE};
}

bool relay_wire_done_marker(relay_span_t data)
{
    return relay_span_eq(trim(data), RELAY_SPAN("[DONE]"));
}

/* ---- requests ------------------------------------------------------------ */

bool relay_wire_edit_model(const relay_envelope_t *envelope, relay_span_t model, relay_edit_t *edit,
                           relay_buf_t *scratch)
{
    relay_span_t before = relay_buf_span(scratch), quoted;

    relay_buf_put_json(scratch, model);
    quoted = relay_span_from(relay_buf_span(scratch), before.len);
    if (relay_span_eq(quoted, envelope->model.text)) {
        return false;
    }
    *edit = (relay_edit_t){.offset = (size_t)(envelope->model.text.base - envelope->body.base),
                           .removed = envelope->model.text.len,
                           .text = quoted};
    return true;
}

size_t relay_wire_edits_model_only(const relay_envelope_t *envelope,
                                   const relay_edit_options_t *options,
                                   relay_edit_t edits[RELAY_EDITS_MAX], relay_buf_t *scratch)
{
    return relay_wire_edit_model(envelope, options->model, &edits[0], scratch) ? 1 : 0;
}

bool relay_wire_wants_usage_always(const relay_envelope_t *envelope)
{
    (void)envelope;
    return true;
}

/* ---- writing ------------------------------------------------------------- */

relay_span_t relay_wire_message(const relay_error_t *error)
{
    return error->message.len != 0 ? error->message : relay_error_sentence(error->code);
}

void relay_wire_put_json_or_null(relay_buf_t *out, relay_span_t text)
{
    if (text.len == 0) {
        RELAY_PUT(out, "null");
    } else {
        relay_buf_put_json(out, text);
    }
}
