/*
 * Paging of model lists: see wire_paging.h.
 */

#include "wire_paging.h"

enum { CURSOR_MAX = 512 };

/* A paging without that parameter has no name for it. */
static bool find(relay_span_t query, relay_span_t name, relay_span_t *value)
{
    return name.len != 0 && relay_wire_query(query, name, value);
}

static int hex_digit(uint8_t byte)
{
    uint8_t letter = byte | 0x20;

    if (byte >= '0' && byte <= '9') {
        return byte - '0';
    }
    return letter >= 'a' && letter <= 'f' ? letter - 'a' + 10 : -1;
}

/* Form encoding; false if an escape is broken or out is too small. */
static bool decode(relay_span_t value, relay_buf_t *out)
{
    for (size_t i = 0; i < value.len; i++) {
        uint8_t byte = value.base[i];
        if (byte == '%') {
            int high = i + 2 < value.len ? hex_digit(value.base[i + 1]) : -1;
            int low = i + 2 < value.len ? hex_digit(value.base[i + 2]) : -1;
            if (high < 0 || low < 0) {
                return false;
            }
            byte = (uint8_t)(high << 4 | low);
            i += 2;
        }
        relay_buf_put_byte(out, byte == '+' && value.base[i] == '+' ? ' ' : byte);
    }
    return relay_buf_ok(out);
}

static relay_error_code_t refuse(relay_error_t *error, relay_span_t param, relay_span_t message)
{
    *error = (relay_error_t){.code = RELAY_ERR_INVALID_FIELD, .param = param, .message = message};
    return error->code;
}

static relay_error_code_t read_limit(const relay_paging_t *paging, relay_span_t query,
                                     relay_page_t *page, size_t *limit, relay_error_t *error)
{
    relay_span_t text;
    uint64_t number;

    *limit = paging->limit_default;
    if (!find(query, paging->limit, &text)) {
        return RELAY_ERR_NONE;
    }
    page->asked = true;
    if (!relay_json_uint((relay_json_value_t){RELAY_JSON_NUMBER, text}, &number) || number < 1 ||
        number > paging->limit_max) {
        return refuse(error, paging->limit,
                      RELAY_SPAN("The parameter must be a whole number from 1 to 1000."));
    }
    *limit = (size_t)number;
    return RELAY_ERR_NONE;
}

/* An empty cursor counts as none. */
static relay_error_code_t read_cursor(relay_span_t query, relay_span_t name, relay_page_t *page,
                                      relay_buf_t *cursor, relay_error_t *error)
{
    relay_span_t text;

    if (!find(query, name, &text)) {
        return RELAY_ERR_NONE;
    }
    page->asked = true;
    if (!decode(text, cursor)) {
        return refuse(error, name, RELAY_SPAN("The parameter is not a percent-encoded id."));
    }
    return RELAY_ERR_NONE;
}

static int compare(relay_span_t a, relay_span_t b)
{
    size_t shared = a.len < b.len ? a.len : b.len;
    int order = shared != 0 ? memcmp(a.base, b.base, shared) : 0;

    return order != 0 ? order : (a.len > b.len) - (a.len < b.len);
}

/* How many models come before cursor; *found: it is in the list itself. */
static size_t rank(const relay_model_view_t *models, size_t count, relay_span_t cursor, bool *found)
{
    size_t low = 0, high = count;

    *found = false;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = compare(models[middle].id, cursor);
        *found = *found || order == 0;
        if (order < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static void cut(relay_page_t *page, size_t from, size_t to, size_t limit, bool from_end)
{
    size_t size = to - from;

    page->has_more = size > limit;
    page->count = size < limit ? size : limit;
    page->first = from_end ? to - page->count : from;
}

relay_error_code_t relay_paging_read(const relay_paging_t *paging, relay_span_t query,
                                     const relay_model_view_t *models, size_t count,
                                     relay_page_t *page, relay_error_t *error)
{
    uint8_t after_bytes[CURSOR_MAX], before_bytes[CURSOR_MAX];
    relay_buf_t after = relay_buf(after_bytes, CURSOR_MAX);
    relay_buf_t before = relay_buf(before_bytes, CURSOR_MAX);
    size_t limit, from = 0, to = count;
    bool found;

    memset(page, 0, sizeof(*page));
    if (read_limit(paging, query, page, &limit, error) != RELAY_ERR_NONE ||
        read_cursor(query, paging->after, page, &after, error) != RELAY_ERR_NONE ||
        read_cursor(query, paging->before, page, &before, error) != RELAY_ERR_NONE) {
        return error->code;
    }
    if (after.len != 0 && before.len != 0) {
        return refuse(error, paging->before,
                      RELAY_SPAN("The parameter cannot be combined with after_id."));
    }
    if (after.len != 0) {
        from = rank(models, count, relay_buf_span(&after), &found);
        from += found ? 1 : 0;
    }
    if (before.len != 0) {
        to = rank(models, count, relay_buf_span(&before), &found);
    }
    cut(page, from, to, limit, before.len != 0);
    return RELAY_ERR_NONE;
}
