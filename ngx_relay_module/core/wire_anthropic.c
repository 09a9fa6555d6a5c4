/*
 * The Anthropic dialect: errors, model lists, and usage objects.
 */

#include "wire_anthropic.h"
#include "wire_paging.h"
#include "wire_support.h"

/* ---- errors -------------------------------------------------------------- */

/* A refused provider key is Relay's trouble, not the caller's; where others
 * have 502, this dialect's clients know 500. */
static unsigned dialect_status(const relay_error_t *error)
{
    if (error->status != 0) {
        return error->status;
    }
    switch (error->code) {
    case RELAY_ERR_UPSTREAM_KEY:
        return 500;
    case RELAY_ERR_UPSTREAM_BILLING:
        return 402;
    case RELAY_ERR_UPSTREAM_OVERLOADED:
        return 529;
    default:
        return relay_error_class_status(relay_error_class(error->code));
    }
}

static relay_span_t type_of_status(unsigned status)
{
    switch (status) {
    case 401:
        return RELAY_SPAN("authentication_error");
    case 402:
        return RELAY_SPAN("billing_error");
    case 403:
        return RELAY_SPAN("permission_error");
    case 404:
        return RELAY_SPAN("not_found_error");
    case 413:
        return RELAY_SPAN("request_too_large");
    case 429:
        return RELAY_SPAN("rate_limit_error");
    case 504:
        return RELAY_SPAN("timeout_error");
    case 529:
        return RELAY_SPAN("overloaded_error");
    default:
        return status >= 500 ? RELAY_SPAN("api_error") : RELAY_SPAN("invalid_request_error");
    }
}

static bool names(relay_span_t message, relay_span_t param)
{
    while (message.len > param.len && !relay_span_starts(message, param)) {
        message = relay_span_from(message, 1);
    }
    return relay_span_starts(message, param);
}

/* There is no param member here: a sentence that does not say which field is
 * meant gets the field's name in front. */
static void put_message(relay_buf_t *out, const relay_error_t *error)
{
    uint8_t bytes[1024];
    relay_buf_t text = relay_buf(bytes, sizeof(bytes));

    if (names(relay_wire_message(error), error->param)) {
        relay_buf_put_json(out, relay_wire_message(error));
        return;
    }
    relay_buf_put(&text, error->param);
    RELAY_PUT(&text, ": ");
    relay_buf_put(&text, relay_wire_message(error));
    relay_buf_put_json(out, relay_buf_span(&text));
}

void relay_anthropic_put_error(relay_buf_t *out, const relay_error_t *error,
                               relay_span_t request_id)
{
    RELAY_PUT(out, "{\"type\":\"error\",\"error\":{\"type\":");
    relay_buf_put_json(out, type_of_status(dialect_status(error)));
    RELAY_PUT(out, ",\"message\":");
    put_message(out, error);
    RELAY_PUT(out, "},\"request_id\":");
    relay_wire_put_json_or_null(out, request_id);
    RELAY_PUT(out, "}");
}

/* ---- models -------------------------------------------------------------- */

static void put_padded(relay_buf_t *out, uint64_t value, uint64_t unit)
{
    for (; unit != 0; unit /= 10) {
        relay_buf_put_byte(out, (uint8_t)('0' + value / unit % 10));
    }
}

/* RFC 3339, UTC. The calendar counts from 1 March of year 0, so that the leap
 * day is a year's last. */
static void put_time(relay_buf_t *out, uint64_t seconds)
{
    const uint64_t last = UINT64_C(253402300799); /* the end of year 9999 */
    uint64_t time = seconds < last ? seconds : last;
    uint64_t days = time / 86400 + 719468, second = time % 86400;
    uint64_t era = days / 146097, day = days % 146097;
    uint64_t year = (day - day / 1460 + day / 36524 - day / 146096) / 365;
    uint64_t month;

    day -= 365 * year + year / 4 - year / 100;
    month = (5 * day + 2) / 153;
    put_padded(out, era * 400 + year + (month >= 10 ? 1 : 0), 1000);
    RELAY_PUT(out, "-");
    put_padded(out, month < 10 ? month + 3 : month - 9, 10);
    RELAY_PUT(out, "-");
    put_padded(out, day - (153 * month + 2) / 5 + 1, 10);
    RELAY_PUT(out, "T");
    put_padded(out, second / 3600, 10);
    RELAY_PUT(out, ":");
    put_padded(out, second / 60 % 60, 10);
    RELAY_PUT(out, ":");
    put_padded(out, second % 60, 10);
    RELAY_PUT(out, "Z");
}

static void put_known(relay_buf_t *out, relay_span_t member, uint64_t number)
{
    if (number != 0) {
        relay_buf_put(out, member);
        relay_buf_put_u64(out, number);
    }
}

static void put_model(relay_buf_t *out, const relay_model_view_t *model)
{
    RELAY_PUT(out, "{\"type\":\"model\",\"id\":");
    relay_buf_put_json(out, model->id);
    RELAY_PUT(out, ",\"display_name\":");
    relay_buf_put_json(out, model->display_name.len != 0 ? model->display_name : model->id);
    RELAY_PUT(out, ",\"created_at\":\"");
    put_time(out, model->created_s);
    RELAY_PUT(out, "\"");
    put_known(out, RELAY_SPAN(",\"max_input_tokens\":"), model->context_tokens);
    put_known(out, RELAY_SPAN(",\"max_tokens\":"), model->output_tokens);
    RELAY_PUT(out, "}");
}

static relay_error_code_t model_list(relay_buf_t *out, const relay_model_view_t *models,
                                     size_t count, relay_span_t query, relay_error_t *error)
{
    static const relay_paging_t paging = {.limit = RELAY_SPAN_INIT("limit"),
                                          .after = RELAY_SPAN_INIT("after_id"),
                                          .before = RELAY_SPAN_INIT("before_id"),
                                          .limit_default = 20,
                                          .limit_max = 1000};
    relay_page_t page;
    relay_span_t none = relay_span(NULL, 0);

    if (relay_paging_read(&paging, query, models, count, &page, error) != RELAY_ERR_NONE) {
        return error->code;
    }
    RELAY_PUT(out, "{\"data\":[");
    for (size_t i = 0; i < page.count; i++) {
        if (i != 0) {
            RELAY_PUT(out, ",");
        }
        put_model(out, &models[page.first + i]);
    }
    RELAY_PUT(out, "],\"has_more\":");
    relay_buf_put(out, page.has_more ? RELAY_SPAN("true") : RELAY_SPAN("false"));
    RELAY_PUT(out, ",\"first_id\":");
    relay_wire_put_json_or_null(out, page.count != 0 ? models[page.first].id : none);
    RELAY_PUT(out, ",\"last_id\":");
    relay_wire_put_json_or_null(out,
                                page.count != 0 ? models[page.first + page.count - 1].id : none);
    RELAY_PUT(out, "}");
    return RELAY_ERR_NONE;
}

/* ---- usage --------------------------------------------------------------- */

enum { INPUT, CREATION, READ, OUTPUT, LIFETIMES, OUTPUT_DETAILS, TIER, USAGE_KEYS };

static const relay_span_t usage_keys[USAGE_KEYS] = {
    RELAY_SPAN_INIT("input_tokens"),
    RELAY_SPAN_INIT("cache_creation_input_tokens"),
    RELAY_SPAN_INIT("cache_read_input_tokens"),
    RELAY_SPAN_INIT("output_tokens"),
    RELAY_SPAN_INIT("cache_creation"),
    RELAY_SPAN_INIT("output_tokens_details"),
    RELAY_SPAN_INIT("service_tier"),
};

/* The split by lifetime; it stands for the total where that is missing. */
static void read_lifetimes(relay_json_value_t split, bool total_known, relay_usage_t *usage)
{
    static const relay_span_t keys[] = {RELAY_SPAN_INIT("ephemeral_5m_input_tokens"),
                                        RELAY_SPAN_INIT("ephemeral_1h_input_tokens")};
    relay_json_value_t values[2];
    uint64_t minutes = 0;

    if (split.type != RELAY_JSON_OBJECT) {
        return;
    }
    relay_json_members(split.text, keys, 2, values);
    usage->lifetimes_known = true;
    relay_wire_count(values[1], &usage->cache_write_1h_tokens);
    if (!total_known && relay_wire_count(values[0], &minutes)) {
        usage->cache_write_tokens = minutes + usage->cache_write_1h_tokens;
    }
}

static void read_thinking(relay_json_value_t details, relay_usage_t *usage)
{
    static const relay_span_t keys[] = {RELAY_SPAN_INIT("thinking_tokens")};
    relay_json_value_t value = {RELAY_JSON_ABSENT, {NULL, 0}};

    if (details.type == RELAY_JSON_OBJECT) {
        relay_json_members(details.text, keys, 1, &value);
        relay_wire_count(value, &usage->reasoning_tokens);
    }
}

static uint64_t at_most(uint64_t value, uint64_t bound)
{
    return value < bound ? value : bound;
}

void relay_anthropic_usage(relay_json_value_t object, relay_usage_t *usage)
{
    relay_json_value_t values[USAGE_KEYS];
    uint64_t fresh = usage->input_tokens - usage->cached_tokens - usage->cache_write_tokens;
    bool total_known;

    if (object.type != RELAY_JSON_OBJECT ||
        !relay_json_members(object.text, usage_keys, USAGE_KEYS, values)) {
        return;
    }
    for (size_t i = INPUT; i <= OUTPUT; i++) {
        usage->known = usage->known || values[i].type == RELAY_JSON_NUMBER;
    }
    relay_wire_count(values[INPUT], &fresh);
    relay_wire_count(values[READ], &usage->cached_tokens);
    relay_wire_count(values[OUTPUT], &usage->output_tokens);
    total_known = relay_wire_count(values[CREATION], &usage->cache_write_tokens);
    read_lifetimes(values[LIFETIMES], total_known, usage);
    read_thinking(values[OUTPUT_DETAILS], usage);
    relay_wire_tier(relay_wire_inner(values[TIER]), &usage->tier);
    usage->input_tokens = fresh + usage->cached_tokens + usage->cache_write_tokens;
    usage->cache_write_1h_tokens = at_most(usage->cache_write_1h_tokens, usage->cache_write_tokens);
    usage->reasoning_tokens = at_most(usage->reasoning_tokens, usage->output_tokens);
}

/* ---- the dialect --------------------------------------------------------- */

const relay_dialect_t relay_dialect_anthropic = {
    .name = RELAY_SPAN_INIT("anthropic"),
    .prefix = RELAY_SPAN_INIT("/anthropic"),
    .marker_header = RELAY_SPAN_INIT("anthropic-version"),
    .request_id_header = RELAY_SPAN_INIT("request-id"),
    .status = dialect_status,
    .error = relay_anthropic_put_error,
    .model_list = model_list,
    .model = put_model,
};
