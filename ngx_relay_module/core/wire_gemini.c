/*
 * The Gemini dialect: errors, model lists, and usage objects.
 */

#include "wire_gemini.h"
#include "wire_paging.h"
#include "wire_support.h"

/* ---- errors -------------------------------------------------------------- */

static unsigned dialect_status(const relay_error_t *error)
{
    return error->status != 0 ? error->status
                              : relay_error_class_status(relay_error_class(error->code));
}

static relay_span_t word_of_status(unsigned status)
{
    switch (status) {
    case 401:
        return RELAY_SPAN("UNAUTHENTICATED");
    case 403:
        return RELAY_SPAN("PERMISSION_DENIED");
    case 404:
        return RELAY_SPAN("NOT_FOUND");
    case 405:
        return RELAY_SPAN("UNIMPLEMENTED");
    case 402:
    case 429:
        return RELAY_SPAN("RESOURCE_EXHAUSTED");
    case 499:
        return RELAY_SPAN("CANCELLED");
    case 502:
    case 503:
    case 529:
        return RELAY_SPAN("UNAVAILABLE");
    case 408:
    case 504:
        return RELAY_SPAN("DEADLINE_EXCEEDED");
    default:
        return status >= 500 ? RELAY_SPAN("INTERNAL") : RELAY_SPAN("INVALID_ARGUMENT");
    }
}

#define PUT_DETAIL(out, type)                                                                      \
    RELAY_PUT(out, "{\"@type\":\"type.googleapis.com/google.rpc." type "\"")

/* Clients of this dialect look for the reason of a refused key. */
static void put_reason(relay_buf_t *out, const relay_error_t *error)
{
    relay_span_t name = relay_error_name(error->code);

    PUT_DETAIL(out, "ErrorInfo");
    RELAY_PUT(out, ",\"reason\":\"");
    if (error->code == RELAY_ERR_INVALID_RELAY_KEY) {
        RELAY_PUT(out, "API_KEY_INVALID");
    } else {
        for (size_t i = 0; i < name.len; i++) {
            uint8_t byte = name.base[i];
            relay_buf_put_byte(out, byte >= 'a' && byte <= 'z' ? byte - 'a' + 'A' : byte);
        }
    }
    RELAY_PUT(out, "\",\"domain\":\"relay\"}");
}

static void put_details(relay_buf_t *out, const relay_error_t *error)
{
    RELAY_PUT(out, ",\"details\":[");
    put_reason(out, error);
    if (error->param.len != 0) {
        RELAY_PUT(out, ",");
        PUT_DETAIL(out, "BadRequest");
        RELAY_PUT(out, ",\"fieldViolations\":[{\"field\":");
        relay_buf_put_json(out, error->param);
        RELAY_PUT(out, ",\"description\":");
        relay_buf_put_json(out, relay_wire_message(error));
        RELAY_PUT(out, "}]}");
    }
    if (error->retry_after_s != 0) {
        RELAY_PUT(out, ",");
        PUT_DETAIL(out, "RetryInfo");
        RELAY_PUT(out, ",\"retryDelay\":\"");
        relay_buf_put_u64(out, error->retry_after_s);
        RELAY_PUT(out, "s\"}");
    }
    RELAY_PUT(out, "]");
}

void relay_gemini_put_error(relay_buf_t *out, const relay_error_t *error)
{
    RELAY_PUT(out, "{\"error\":{\"code\":");
    relay_buf_put_u64(out, dialect_status(error));
    RELAY_PUT(out, ",\"message\":");
    relay_buf_put_json(out, relay_wire_message(error));
    RELAY_PUT(out, ",\"status\":");
    relay_buf_put_json(out, word_of_status(dialect_status(error)));
    if (error->code != RELAY_ERR_NONE) {
        put_details(out, error);
    }
    RELAY_PUT(out, "}}");
}

static void dialect_error(relay_buf_t *out, const relay_error_t *error, relay_span_t request_id)
{
    (void)request_id; /* in a header only */
    relay_gemini_put_error(out, error);
}

/* ---- models -------------------------------------------------------------- */

static void put_known(relay_buf_t *out, relay_span_t member, uint64_t number)
{
    if (number != 0) {
        relay_buf_put(out, member);
        relay_buf_put_u64(out, number);
    }
}

/* What callers can ask of a model of this type; nothing is said where that is another format's. */
static relay_span_t methods_of(relay_span_t type)
{
    if (type.len == 0 || relay_span_eq(type, RELAY_SPAN("chat"))) {
        return RELAY_SPAN(",\"supportedGenerationMethods\":[\"generateContent\",\"countTokens\"]");
    }
    return relay_span_eq(type, RELAY_SPAN("embedding"))
               ? RELAY_SPAN(",\"supportedGenerationMethods\":[\"embedContent\"]")
               : RELAY_SPAN("");
}

static void put_model(relay_buf_t *out, const relay_model_view_t *model)
{
    uint8_t bytes[RELAY_MODEL_NAME_MAX + sizeof("models/")];
    relay_buf_t name = relay_buf(bytes, sizeof(bytes));

    RELAY_PUT(&name, "models/");
    relay_buf_put(&name, model->id);
    RELAY_PUT(out, "{\"name\":");
    relay_buf_put_json(out, relay_buf_span(&name));
    RELAY_PUT(out, ",\"displayName\":");
    relay_buf_put_json(out, model->display_name.len != 0 ? model->display_name : model->id);
    put_known(out, RELAY_SPAN(",\"inputTokenLimit\":"), model->context_tokens);
    put_known(out, RELAY_SPAN(",\"outputTokenLimit\":"), model->output_tokens);
    relay_buf_put(out, methods_of(model->type));
    RELAY_PUT(out, "}");
}

static relay_error_code_t model_list(relay_buf_t *out, const relay_model_view_t *models,
                                     size_t count, relay_span_t query, relay_error_t *error)
{
    static const relay_paging_t paging = {.limit = RELAY_SPAN_INIT("pageSize"),
                                          .after = RELAY_SPAN_INIT("pageToken"),
                                          .limit_default = 50,
                                          .limit_max = 1000};
    relay_page_t page;

    if (relay_paging_read(&paging, query, models, count, &page, error) != RELAY_ERR_NONE) {
        return error->code;
    }
    RELAY_PUT(out, "{\"models\":[");
    for (size_t i = 0; i < page.count; i++) {
        if (i != 0) {
            RELAY_PUT(out, ",");
        }
        put_model(out, &models[page.first + i]);
    }
    RELAY_PUT(out, "]");
    if (page.has_more) {
        RELAY_PUT(out, ",\"nextPageToken\":");
        relay_buf_put_json(out, models[page.first + page.count - 1].id);
    }
    RELAY_PUT(out, "}");
    return RELAY_ERR_NONE;
}

/* ---- usage --------------------------------------------------------------- */

static uint64_t at_most(uint64_t value, uint64_t bound)
{
    return value < bound ? value : bound;
}

void relay_gemini_usage(relay_json_value_t object, relay_usage_t *usage)
{
    enum { PROMPT, TOOL_PROMPT, CACHED, CANDIDATES, THOUGHTS, TRAFFIC, KEYS };
    static const relay_span_t keys[KEYS] = {
        RELAY_SPAN_INIT("promptTokenCount"),        RELAY_SPAN_INIT("toolUsePromptTokenCount"),
        RELAY_SPAN_INIT("cachedContentTokenCount"), RELAY_SPAN_INIT("candidatesTokenCount"),
        RELAY_SPAN_INIT("thoughtsTokenCount"),      RELAY_SPAN_INIT("trafficType")};
    relay_json_value_t values[KEYS];
    uint64_t prompt, tool_prompt = 0;
    uint64_t text = usage->output_tokens - usage->reasoning_tokens;

    if (object.type != RELAY_JSON_OBJECT || !relay_json_members(object.text, keys, KEYS, values)) {
        return;
    }
    if (relay_wire_count(values[PROMPT], &prompt)) {
        relay_wire_count(values[TOOL_PROMPT], &tool_prompt);
        usage->input_tokens = prompt + tool_prompt;
        usage->known = true;
    }
    relay_wire_count(values[CACHED], &usage->cached_tokens);
    usage->known = relay_wire_count(values[CANDIDATES], &text) || usage->known;
    usage->known = relay_wire_count(values[THOUGHTS], &usage->reasoning_tokens) || usage->known;
    usage->output_tokens = text + usage->reasoning_tokens;
    usage->cached_tokens = at_most(usage->cached_tokens, usage->input_tokens);
    relay_wire_tier(relay_wire_inner(values[TRAFFIC]), &usage->tier);
}

/* ---- the dialect --------------------------------------------------------- */

const relay_dialect_t relay_dialect_gemini = {
    .name = RELAY_SPAN_INIT("gemini"),
    .prefix = RELAY_SPAN_INIT("/gemini"),
    .own_version = RELAY_SPAN_INIT("/v1beta"),
    .marker_header = RELAY_SPAN_INIT("x-goog-api-key"),
    .request_id_header = RELAY_SPAN_INIT("x-request-id"),
    .key_header = RELAY_SPAN_INIT("x-goog-api-key"),
    .key_query = RELAY_SPAN_INIT("key"),
    .events_query = RELAY_SPAN_INIT("alt=sse"),
    .status = dialect_status,
    .error = dialect_error,
    .model_list = model_list,
    .model = put_model,
};
