/*
 * RESP2: parsing replies and writing commands. Called by the adapter's client
 * of Redis and by the control plane's.
 */

#include "resp.h"

/* See the diagram in resp.h. */
enum state { TYPE = 0, LINE, LINE_LF, NUMBER, NUMBER_LF, BULK, BULK_CR, BULK_LF, DEAD };

/* Every digit of what fits into 64 bits, sign aside. */
enum { DIGITS_MAX = 19 };

void relay_resp_init(relay_resp_t *resp, relay_resp_value_t *values, size_t capacity,
                     size_t reply_max)
{
    memset(resp, 0, sizeof(*resp));
    resp->values = values;
    resp->capacity = capacity;
    resp->reply_max = reply_max;
}

void relay_resp_reset(relay_resp_t *resp)
{
    relay_resp_init(resp, resp->values, resp->capacity, resp->reply_max);
}

static relay_resp_status_t die(relay_resp_t *resp, relay_resp_status_t status)
{
    resp->state = DEAD;
    resp->number = status;
    return status;
}

/* ---- values -------------------------------------------------------------- */

/* A value starts with this byte; its text, if it has one, after it. */
static relay_resp_status_t open_value(relay_resp_t *resp, uint8_t byte)
{
    relay_resp_value_t *value;

    if (byte == 0 || strchr("+-:$*", byte) == NULL) {
        return die(resp, RELAY_RESP_SYNTAX);
    }
    if (resp->count == resp->capacity) {
        return die(resp, RELAY_RESP_TOO_LONG);
    }
    value = &resp->values[resp->count++];
    memset(value, 0, sizeof(*value));
    value->next = (uint32_t)resp->count;
    value->offset = resp->at;
    value->type = byte == '-' ? RELAY_RESP_ERROR : RELAY_RESP_STATUS;
    resp->type = byte;
    resp->number = 0;
    resp->digits = 0;
    resp->negative = false;
    resp->state = byte == '+' || byte == '-' ? LINE : NUMBER;
    return RELAY_RESP_MORE;
}

/* The value read last is whole: and so may be the arrays that it ends. */
static relay_resp_status_t close_value(relay_resp_t *resp)
{
    resp->state = TYPE;
    while (resp->depth != 0) {
        if (--resp->open[resp->depth - 1].left != 0) {
            return RELAY_RESP_MORE;
        }
        resp->values[resp->open[resp->depth - 1].index].next = (uint32_t)resp->count;
        resp->depth--;
    }
    return RELAY_RESP_END;
}

static relay_resp_status_t open_array(relay_resp_t *resp, relay_resp_value_t *array)
{
    array->type = RELAY_RESP_ARRAY;
    array->integer = (int64_t)resp->number;
    if (resp->number == 0) {
        return close_value(resp);
    }
    if (resp->depth == RELAY_RESP_DEPTH_MAX || resp->number > resp->capacity - resp->count) {
        return die(resp, RELAY_RESP_TOO_LONG);
    }
    resp->open[resp->depth].index = (uint32_t)(resp->count - 1);
    resp->open[resp->depth].left = resp->number;
    resp->depth++;
    resp->state = TYPE;
    return RELAY_RESP_MORE;
}

static relay_resp_status_t open_bulk(relay_resp_t *resp, relay_resp_value_t *string)
{
    if (resp->number > resp->reply_max || resp->reply_max - resp->number < resp->at + 2) {
        return die(resp, RELAY_RESP_TOO_LONG);
    }
    string->type = RELAY_RESP_STRING;
    string->offset = resp->at;
    string->length = (size_t)resp->number;
    resp->state = resp->number != 0 ? BULK : BULK_CR;
    return RELAY_RESP_MORE;
}

/* The number of an integer, an array or a bulk string is whole. */
static relay_resp_status_t end_number(relay_resp_t *resp)
{
    relay_resp_value_t *value = &resp->values[resp->count - 1];

    if (resp->type == ':') {
        value->type = RELAY_RESP_INTEGER;
        value->integer = (int64_t)(resp->negative ? 0 - resp->number : resp->number);
        return close_value(resp);
    }
    if (resp->negative) {
        value->type = RELAY_RESP_NULL;
        return resp->number == 1 ? close_value(resp) : die(resp, RELAY_RESP_SYNTAX);
    }
    return resp->type == '*' ? open_array(resp, value) : open_bulk(resp, value);
}

/* ---- bytes --------------------------------------------------------------- */

static relay_resp_status_t number_byte(relay_resp_t *resp, uint8_t byte)
{
    if (byte == '-' && resp->digits == 0 && !resp->negative) {
        resp->negative = true;
        return RELAY_RESP_MORE;
    }
    if (byte == '\r' && resp->digits != 0) {
        resp->state = NUMBER_LF;
        return RELAY_RESP_MORE;
    }
    if (byte < '0' || byte > '9' || resp->digits == DIGITS_MAX) {
        return die(resp, RELAY_RESP_SYNTAX);
    }
    resp->digits++;
    resp->number = resp->number * 10 + (byte - (uint64_t)'0');
    if (resp->number > (uint64_t)INT64_MAX + resp->negative) {
        return die(resp, RELAY_RESP_SYNTAX);
    }
    return RELAY_RESP_MORE;
}

static relay_resp_status_t line_byte(relay_resp_t *resp, uint8_t byte)
{
    relay_resp_value_t *value = &resp->values[resp->count - 1];

    if (byte == '\r') {
        resp->state = LINE_LF;
        return RELAY_RESP_MORE;
    }
    if (byte == '\n') {
        return die(resp, RELAY_RESP_SYNTAX);
    }
    value->length++;
    return value->length <= RELAY_RESP_LINE_MAX ? RELAY_RESP_MORE : die(resp, RELAY_RESP_TOO_LONG);
}

static relay_resp_status_t take_byte(relay_resp_t *resp, uint8_t byte)
{
    if (resp->at++ == resp->reply_max) {
        return die(resp, RELAY_RESP_TOO_LONG);
    }
    switch ((enum state)resp->state) {
    case TYPE:
        return open_value(resp, byte);
    case LINE:
        return line_byte(resp, byte);
    case LINE_LF:
        return byte == '\n' ? close_value(resp) : die(resp, RELAY_RESP_SYNTAX);
    case NUMBER:
        return number_byte(resp, byte);
    case NUMBER_LF:
        return byte == '\n' ? end_number(resp) : die(resp, RELAY_RESP_SYNTAX);
    case BULK_CR:
        resp->state = BULK_LF;
        return byte == '\r' ? RELAY_RESP_MORE : die(resp, RELAY_RESP_SYNTAX);
    case BULK_LF:
        return byte == '\n' ? close_value(resp) : die(resp, RELAY_RESP_SYNTAX);
    case BULK:
    case DEAD:
        break;
    }
    return die(resp, RELAY_RESP_SYNTAX);
}

/* As much of a bulk string as there is. */
static void skip(relay_resp_t *resp, relay_span_t *input)
{
    size_t len = resp->number < input->len ? (size_t)resp->number : input->len;

    resp->number -= len;
    resp->at += len;
    *input = relay_span_from(*input, len);
    if (resp->number == 0) {
        resp->state = BULK_CR;
    }
}

relay_resp_status_t relay_resp_next(relay_resp_t *resp, relay_span_t *input)
{
    relay_resp_status_t status = RELAY_RESP_MORE;

    if (resp->state == DEAD) {
        return (relay_resp_status_t)resp->number;
    }
    while (input->len != 0 && status == RELAY_RESP_MORE) {
        if (resp->state == BULK) {
            skip(resp, input);
            continue;
        }
        status = take_byte(resp, *input->base);
        *input = relay_span_from(*input, 1);
    }
    resp->need = resp->at + (resp->state == BULK ? (size_t)resp->number + 2 : 0);
    return status;
}

/* ---- commands ------------------------------------------------------------ */

static void put_number(relay_buf_t *out, uint8_t type, size_t number)
{
    relay_buf_put_byte(out, type);
    relay_buf_put_u64(out, number);
    RELAY_PUT(out, "\r\n");
}

void relay_resp_put_command(relay_buf_t *out, const relay_span_t *arguments, size_t count)
{
    put_number(out, '*', count);
    for (size_t i = 0; i < count; i++) {
        put_number(out, '$', arguments[i].len);
        relay_buf_put(out, arguments[i]);
        RELAY_PUT(out, "\r\n");
    }
}
