/*
 * The OpenAI dialect: errors, model lists, and usage objects, for all of its
 * wire formats and for the vendors compatible with them.
 */

#include "wire_openai.h"
#include "wire_paging.h"
#include "wire_support.h"

/* ---- errors -------------------------------------------------------------- */

static unsigned dialect_status(const relay_error_t *error)
{
    return error->status != 0 ? error->status
                              : relay_error_class_status(relay_error_class(error->code));
}

static relay_span_t type_of(const relay_error_t *error)
{
    unsigned status = dialect_status(error);

    if (error->code == RELAY_ERR_UPSTREAM_BILLING) {
        return RELAY_SPAN("insufficient_quota");
    }
    switch (status) {
    case 402:
        return RELAY_SPAN("insufficient_quota");
    case 403:
        return RELAY_SPAN("permission_error");
    case 429:
        return RELAY_SPAN("rate_limit_error");
    case 503:
    case 529:
        return RELAY_SPAN("service_unavailable_error");
    default:
        return status >= 500 ? RELAY_SPAN("server_error") : RELAY_SPAN("invalid_request_error");
    }
}

/* Codes that belong to a status rather than to what failed in Relay. */
static relay_span_t code_of_status(unsigned status)
{
    switch (status) {
    case 402:
        return RELAY_SPAN("insufficient_quota");
    case 429:
        return RELAY_SPAN("rate_limit_exceeded");
    case 503:
    case 529:
        return RELAY_SPAN("server_is_overloaded");
    default:
        return relay_span(NULL, 0);
    }
}

relay_span_t relay_openai_error_code(const relay_error_t *error)
{
    relay_span_t code = code_of_status(dialect_status(error));

    if (error->code == RELAY_ERR_INVALID_RELAY_KEY) {
        return RELAY_SPAN("invalid_api_key");
    }
    if (error->code == RELAY_ERR_UPSTREAM_BILLING) {
        return RELAY_SPAN("insufficient_quota");
    }
    return code.len != 0 ? code : relay_error_name(error->code);
}

void relay_openai_put_error(relay_buf_t *out, const relay_error_t *error)
{
    RELAY_PUT(out, "{\"message\":");
    relay_buf_put_json(out, relay_wire_message(error));
    RELAY_PUT(out, ",\"type\":");
    relay_buf_put_json(out, type_of(error));
    RELAY_PUT(out, ",\"param\":");
    relay_wire_put_json_or_null(out, error->param);
    RELAY_PUT(out, ",\"code\":");
    relay_wire_put_json_or_null(out, relay_openai_error_code(error));
    RELAY_PUT(out, "}");
}

static void dialect_error(relay_buf_t *out, const relay_error_t *error, relay_span_t request_id)
{
    (void)request_id; /* in a header only */
    RELAY_PUT(out, "{\"error\":");
    relay_openai_put_error(out, error);
    RELAY_PUT(out, "}");
}

/* ---- models -------------------------------------------------------------- */

static void put_model(relay_buf_t *out, const relay_model_view_t *model)
{
    RELAY_PUT(out, "{\"id\":");
    relay_buf_put_json(out, model->id);
    RELAY_PUT(out, ",\"object\":\"model\",\"created\":");
    relay_buf_put_u64(out, model->created_s);
    RELAY_PUT(out, ",\"owned_by\":");
    relay_buf_put_json(out, model->owned_by.len != 0 ? model->owned_by : RELAY_SPAN("relay"));
    RELAY_PUT(out, "}");
}

/* All models unless the caller pages. */
static relay_error_code_t model_list(relay_buf_t *out, const relay_model_view_t *models,
                                     size_t count, relay_span_t query, relay_error_t *error)
{
    static const relay_paging_t paging = {.limit = RELAY_SPAN_INIT("limit"),
                                          .after = RELAY_SPAN_INIT("after"),
                                          .limit_default = SIZE_MAX,
                                          .limit_max = 1000};
    relay_page_t page;

    if (relay_paging_read(&paging, query, models, count, &page, error) != RELAY_ERR_NONE) {
        return error->code;
    }
    RELAY_PUT(out, "{\"object\":\"list\",\"data\":[");
    for (size_t i = 0; i < page.count; i++) {
        if (i != 0) {
            RELAY_PUT(out, ",");
        }
        put_model(out, &models[page.first + i]);
    }
    RELAY_PUT(out, "]");
    if (page.asked) {
        RELAY_PUT(out, ",\"has_more\":");
        relay_buf_put(out, page.has_more ? RELAY_SPAN("true") : RELAY_SPAN("false"));
    }
    RELAY_PUT(out, "}");
    return RELAY_ERR_NONE;
}

/* ---- usage --------------------------------------------------------------- */

enum {
    PROMPT,
    COMPLETION,
    TOTAL,
    PROMPT_DETAILS,
    COMPLETION_DETAILS,
    INPUT,
    OUTPUT,
    INPUT_DETAILS,
    OUTPUT_DETAILS,
    CACHE_HIT,
    NUM_CACHED,
    CACHED,
    REASONING,
    USAGE_KEYS
};

static const relay_span_t usage_keys[USAGE_KEYS] = {
    RELAY_SPAN_INIT("prompt_tokens"),
    RELAY_SPAN_INIT("completion_tokens"),
    RELAY_SPAN_INIT("total_tokens"),
    RELAY_SPAN_INIT("prompt_tokens_details"),
    RELAY_SPAN_INIT("completion_tokens_details"),
    RELAY_SPAN_INIT("input_tokens"),
    RELAY_SPAN_INIT("output_tokens"),
    RELAY_SPAN_INIT("input_tokens_details"),
    RELAY_SPAN_INIT("output_tokens_details"),
    RELAY_SPAN_INIT("prompt_cache_hit_tokens"),
    RELAY_SPAN_INIT("num_cached_tokens"),
    RELAY_SPAN_INIT("cached_tokens"),
    RELAY_SPAN_INIT("reasoning_tokens"),
};

/* Index of the first of `candidates` that is present, else the last of them. */
static size_t pick(const relay_json_value_t *values, const size_t *candidates, size_t count)
{
    size_t i = 0;

    while (i + 1 < count && (values[candidates[i]].type == RELAY_JSON_ABSENT ||
                             values[candidates[i]].type == RELAY_JSON_NULL)) {
        i++;
    }
    return candidates[i];
}

static void read_input_details(relay_json_value_t details, relay_usage_t *usage)
{
    static const relay_span_t keys[] = {RELAY_SPAN_INIT("cached_tokens"),
                                        RELAY_SPAN_INIT("cache_write_tokens")};
    relay_json_value_t values[2];

    if (details.type == RELAY_JSON_OBJECT) {
        relay_json_members(details.text, keys, 2, values);
        relay_wire_count(values[0], &usage->cached_tokens);
        relay_wire_count(values[1], &usage->cache_write_tokens);
    }
}

static bool read_output_details(relay_json_value_t details, uint64_t *reasoning)
{
    static const relay_span_t keys[] = {RELAY_SPAN_INIT("reasoning_tokens")};
    relay_json_value_t value = {RELAY_JSON_ABSENT, {NULL, 0}};

    if (details.type != RELAY_JSON_OBJECT) {
        return false;
    }
    relay_json_members(details.text, keys, 1, &value);
    return relay_wire_count(value, reasoning);
}

/* Some vendors keep reasoning out of the completion and only the total tells:
 * output is everything generated. */
static uint64_t whole_output(uint64_t input, uint64_t output, uint64_t reasoning,
                             relay_json_value_t total_value)
{
    uint64_t total;

    if (reasoning != 0 && relay_wire_count(total_value, &total) &&
        total == input + output + reasoning) {
        return output + reasoning;
    }
    return output;
}

/* Parts never exceed their whole, whatever the provider says: prices subtract. */
static void settle(relay_usage_t *usage)
{
    uint64_t room;

    if (usage->cached_tokens > usage->input_tokens) {
        usage->cached_tokens = usage->input_tokens;
    }
    room = usage->input_tokens - usage->cached_tokens;
    if (usage->cache_write_tokens > room) {
        usage->cache_write_tokens = room;
    }
    if (usage->reasoning_tokens > usage->output_tokens) {
        usage->reasoning_tokens = usage->output_tokens;
    }
}

static void read_counts(const relay_json_value_t *values, relay_usage_t *usage)
{
    static const size_t inputs[] = {PROMPT, INPUT}, outputs[] = {COMPLETION, OUTPUT};
    static const size_t caches[] = {CACHE_HIT, NUM_CACHED, CACHED};
    static const size_t in_details[] = {PROMPT_DETAILS, INPUT_DETAILS};
    static const size_t out_details[] = {COMPLETION_DETAILS, OUTPUT_DETAILS};
    uint64_t output;

    relay_wire_count(values[pick(values, inputs, 2)], &usage->input_tokens);
    relay_wire_count(values[pick(values, caches, 3)], &usage->cached_tokens);
    read_input_details(values[pick(values, in_details, 2)], usage);
    if (!read_output_details(values[pick(values, out_details, 2)], &usage->reasoning_tokens)) {
        relay_wire_count(values[REASONING], &usage->reasoning_tokens);
    }
    if (relay_wire_count(values[pick(values, outputs, 2)], &output)) {
        usage->output_tokens =
            whole_output(usage->input_tokens, output, usage->reasoning_tokens, values[TOTAL]);
    }
}

void relay_openai_usage(relay_json_value_t object, relay_usage_t *usage)
{
    relay_json_value_t values[USAGE_KEYS];

    if (object.type != RELAY_JSON_OBJECT ||
        !relay_json_members(object.text, usage_keys, USAGE_KEYS, values)) {
        return;
    }
    for (size_t i = PROMPT; i <= OUTPUT; i++) {
        usage->known = usage->known || values[i].type == RELAY_JSON_NUMBER;
    }
    read_counts(values, usage);
    settle(usage);
}

/* ---- the dialect --------------------------------------------------------- */

const relay_dialect_t relay_dialect_openai = {
    .name = RELAY_SPAN_INIT("openai"),
    .prefix = RELAY_SPAN_INIT("/openai"),
    .marker_header = RELAY_SPAN_INIT(""),
    .request_id_header = RELAY_SPAN_INIT("x-request-id"),
    .unprocessable = true,
    .status = dialect_status,
    .error = dialect_error,
    .model_list = model_list,
    .model = put_model,
};
