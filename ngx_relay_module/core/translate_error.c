/*
 * What an upstream's failure is to the caller: its class, from status, code and
 * wording, and what the caller's dialect calls that. Called by the nginx adapter for
 * error answers and by translate_stream.c for errors in streams.
 *
 *   status, code, message ─► fault ─► code, status, retry ─► relay_dialect_t.error
 */

#include "codec_support.h"

/* ---- words --------------------------------------------------------------- */

typedef enum {
    FAULT_REQUEST = 0, /* the caller's, or one that nobody can help */
    FAULT_CONTEXT,     /* more tokens than the model takes */
    FAULT_KEY,         /* of Relay's own key */
    FAULT_BILLING,
    FAULT_MODEL, /* not there */
    FAULT_RATE,
    FAULT_TIMEOUT,
    FAULT_SERVER,
    FAULT_OVERLOADED
} fault_t;

static bool is_one_of(relay_span_t word, const relay_span_t *words, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (relay_span_case_eq(word, words[i])) {
            return true;
        }
    }
    return false;
}

#define IS_ONE_OF(word, words) is_one_of((word), (words), sizeof(words) / sizeof((words)[0]))

/* Two parts that a message has, wherever; the second may be empty. */
typedef struct {
    relay_span_t one;
    relay_span_t other;
} phrase_t;

#define PHRASE(one, other)                                                                         \
    {                                                                                              \
        RELAY_SPAN_INIT(one), RELAY_SPAN_INIT(other)                                               \
    }

static bool says_one_of(relay_span_t message, const phrase_t *phrases, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (relay_codec_holds(message, phrases[i].one) &&
            (phrases[i].other.len == 0 || relay_codec_holds(message, phrases[i].other))) {
            return true;
        }
    }
    return false;
}

#define SAYS_ONE_OF(message, phrases)                                                              \
    says_one_of((message), (phrases), sizeof(phrases) / sizeof((phrases)[0]))

/* ---- classes ------------------------------------------------------------- */

/* How servers say that a prompt does not fit: t/unit/test_translate_error.c has each
 * in full. */
static bool is_context(unsigned status, relay_span_t code, relay_span_t message)
{
    static const relay_span_t codes[] = {
        RELAY_SPAN_INIT("context_length_exceeded"),
        RELAY_SPAN_INIT("context_window_exceeded"),
        RELAY_SPAN_INIT("exceed_context_size_error"),
        RELAY_SPAN_INIT("model_max_prompt_tokens_exceeded"),
        RELAY_SPAN_INIT("model_context_window_exceeded"),
    };
    static const phrase_t phrases[] = {
        PHRASE("maximum context length", ""),
        PHRASE("context length", "exceed"),
        PHRASE("context length", "longer than"),
        PHRASE("context length", "is only"),
        PHRASE("context length", "of only"),
        PHRASE("context window", "exceed"),
        PHRASE("context size", "exceed"),
        PHRASE("exceed context limit", ""),
        PHRASE("prompt is too long", ""),
        PHRASE("input is too long", ""),
        PHRASE("token count", "exceeds"),
        PHRASE("input tokens exceed", ""),
        PHRASE("number of input tokens", "exceed"),
        PHRASE("too many input tokens", ""),
        PHRASE("too many tokens", "the prompt"),
        PHRASE("maximum prompt length", ""),
        PHRASE("maximum input length", ""),
        PHRASE("maximum model length", ""),
        PHRASE("model token limit", ""),
        PHRASE("prompt exceeds max length", ""),
        PHRASE("range of input length", ""),
        PHRASE("reduce the length of the messages", ""),
        PHRASE("max_new_tokens", "must be <="),
        PHRASE("expected maxlength", "please reformat your input"),
    };

    if (IS_ONE_OF(code, codes)) {
        return true;
    }
    return status != 401 && status != 402 && status != 403 && status != 404 && status != 429 &&
           SAYS_ONE_OF(message, phrases);
}

/* "You exceeded your current quota" is not among the phrases: one vendor says so of
 * its limits by the minute. */
static bool is_billing(unsigned status, relay_span_t code, relay_span_t message)
{
    static const relay_span_t codes[] = {
        RELAY_SPAN_INIT("insufficient_quota"),
        RELAY_SPAN_INIT("credit_balance_exhausted"),
        RELAY_SPAN_INIT("billing_error"),
        RELAY_SPAN_INIT("billing_hard_limit_reached"),
        RELAY_SPAN_INIT("billing_not_active"),
        RELAY_SPAN_INIT("payment_required"),
        RELAY_SPAN_INIT("exceeded_current_quota_error"),
        RELAY_SPAN_INIT("ServiceQuotaExceededException"),
    };
    static const phrase_t phrases[] = {
        PHRASE("credit balance is too low", ""),
        PHRASE("insufficient balance", ""),
        PHRASE("insufficient credit", ""),
        PHRASE("insufficient account balance", ""),
    };

    return status == 402 || IS_ONE_OF(code, codes) ||
           ((status == 400 || status == 403 || status == 429) && SAYS_ONE_OF(message, phrases));
}

static bool is_model(unsigned status, relay_span_t code, relay_span_t message)
{
    return status == 404 && (relay_codec_holds(code, RELAY_SPAN("model")) ||
                             relay_codec_holds(code, RELAY_SPAN("deployment")) ||
                             relay_codec_holds(message, RELAY_SPAN("model")) ||
                             relay_codec_holds(message, RELAY_SPAN("deployment")));
}

static fault_t classify(unsigned status, relay_span_t code, relay_span_t message)
{
    if (is_context(status, code, message)) {
        return FAULT_CONTEXT;
    }
    if (is_billing(status, code, message)) {
        return FAULT_BILLING;
    }
    switch (status) {
    case 401:
        return FAULT_KEY;
    case 404:
        return is_model(status, code, message) ? FAULT_MODEL : FAULT_REQUEST;
    case 429:
        return FAULT_RATE;
    case 408:
    case 504:
    case 524:
        return FAULT_TIMEOUT;
    case 498:
    case 503:
    case 529:
        return FAULT_OVERLOADED;
    case 424:
        return FAULT_SERVER;
    default:
        return status >= 500 ? FAULT_SERVER : FAULT_REQUEST;
    }
}

/* ---- how much too much ---------------------------------------------------- */

typedef struct {
    uint64_t first; /* two numbers that have no part of their own */
    uint64_t second;
    relay_overflow_t overflow;
} numbers_t;

static bool is_letter(uint8_t byte)
{
    return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') || byte == '_';
}

static bool is_digit(uint8_t byte)
{
    return byte >= '0' && byte <= '9';
}

/* A number that stands alone, not in a name or a date; *at is behind it. */
static bool next_number(relay_span_t text, size_t *at, uint64_t *value)
{
    enum { DIGITS_MAX = 15 };

    while (*at < text.len) {
        size_t from = *at;
        uint8_t before = from == 0 ? ' ' : text.base[from - 1], behind;
        if (!is_digit(text.base[from])) {
            ++*at;
            continue;
        }
        for (*value = 0; *at < text.len && is_digit(text.base[*at]); ++*at) {
            *value = *at - from < DIGITS_MAX ? *value * 10 + text.base[*at] - '0' : 0;
        }
        behind = *at < text.len ? text.base[*at] : ' ';
        if (!is_letter(before) && before != '-' && before != '.' && !is_letter(behind) &&
            behind != '-') {
            return true;
        }
    }
    return false;
}

static bool begins_with_one_of(relay_span_t text, const relay_span_t *words, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (text.len >= words[i].len &&
            relay_span_case_eq(relay_span(text.base, words[i].len), words[i])) {
            return true;
        }
    }
    return false;
}

#define BEGINS_WITH_ONE_OF(text, words)                                                            \
    begins_with_one_of((text), (words), sizeof(words) / sizeof((words)[0]))

/* "(5000 in the messages, 4000 in the completion)" and the like. */
static void take_number(numbers_t *numbers, uint64_t value, relay_span_t before,
                        relay_span_t behind)
{
    static const relay_span_t input[] = {
        RELAY_SPAN_INIT(" in the messages"),       RELAY_SPAN_INIT(" of text input"),
        RELAY_SPAN_INIT(" of tool input"),         RELAY_SPAN_INIT(" input tokens"),
        RELAY_SPAN_INIT(" tokens from the input"), RELAY_SPAN_INIT(" `inputs`")};
    static const relay_span_t output[] = {
        RELAY_SPAN_INIT(" in the completion"), RELAY_SPAN_INIT(" in the output"),
        RELAY_SPAN_INIT(" output tokens"), RELAY_SPAN_INIT(" tokens for the completion"),
        RELAY_SPAN_INIT(" `max_new_tokens`")};
    relay_span_t too_large = RELAY_SPAN("too large: ");
    relay_overflow_t *overflow = &numbers->overflow;

    if (BEGINS_WITH_ONE_OF(behind, input)) {
        overflow->input_tokens += value;
    } else if (BEGINS_WITH_ONE_OF(behind, output) ||
               (before.len >= too_large.len &&
                relay_span_case_eq(relay_span_from(before, before.len - too_large.len),
                                   too_large))) {
        overflow->output_tokens = value;
    } else if (value < 16 || value == 400) {
        return; /* "0 draft tokens", "[1, 30720]", "400 Bad Request: " */
    } else if (numbers->first == 0) {
        numbers->first = value;
    } else if (numbers->second == 0 && value != numbers->first) {
        numbers->second = value;
    }
}

static uint64_t lesser(uint64_t a, uint64_t b)
{
    return b == 0 || a < b ? a : b;
}

/* All 0 if the message does not tell. */
static relay_overflow_t overflow_of(relay_span_t message)
{
    numbers_t numbers = {0};
    relay_overflow_t *overflow = &numbers.overflow;
    uint64_t value;
    size_t at = 0;

    while (next_number(message, &at, &value) &&
           !(overflow->input_tokens != 0 && overflow->output_tokens != 0 && numbers.first != 0)) {
        size_t digits = 1;
        while (digits < at && is_digit(message.base[at - digits - 1])) {
            digits++;
        }
        take_number(&numbers, value, relay_span(message.base, at - digits),
                    relay_span_from(message, at));
    }
    overflow->max_tokens = lesser(numbers.first, numbers.second);
    if (overflow->input_tokens == 0) {
        overflow->input_tokens = numbers.first + numbers.second - overflow->max_tokens;
        overflow->output_tokens = 0;
    }
    if (overflow->input_tokens + overflow->output_tokens <= overflow->max_tokens) {
        *overflow = (relay_overflow_t){0};
    }
    return *overflow;
}

/* ---- what the caller is told ----------------------------------------------- */

/* The status that the caller's dialect has for the code. */
static void be(relay_translation_t *translation, relay_error_t *error, relay_error_code_t code)
{
    error->code = code;
    error->status = 0;
    error->status = translation->caller->wire->dialect->status(error);
}

/* What a message is about, it says early. */
static relay_span_t beginning(relay_span_t message)
{
    enum { BEGINNING = 1024 };

    return relay_span(message.base, message.len < BEGINNING ? message.len : BEGINNING);
}

static void too_long(relay_translation_t *translation, relay_failure_t *failure, relay_buf_t *text)
{
    relay_overflow_t overflow = overflow_of(beginning(failure->error.message));

    be(translation, &failure->error, RELAY_ERR_CONTEXT_LENGTH);
    failure->code = RELAY_SPAN("context_length_exceeded");
    if (translation->caller->put_too_long == NULL) {
        return;
    }
    translation->caller->put_too_long(text, &overflow, failure->error.message);
    if (!relay_buf_ok(text)) { /* the provider's message is too long itself */
        *text = relay_buf(text->base, text->capacity);
        translation->caller->put_too_long(text, &overflow, relay_span(NULL, 0));
    }
    if (relay_buf_ok(text)) {
        failure->error.message = relay_buf_span(text);
    }
}

void relay_failure_settle(relay_translation_t *translation, relay_failure_t *failure,
                          relay_buf_t *text)
{
    relay_error_t *error = &failure->error;

    switch (classify(error->status, failure->code, beginning(error->message))) {
    case FAULT_CONTEXT:
        too_long(translation, failure, text);
        break;
    case FAULT_KEY: /* its message is about a key that is not the caller's */
        error->message = relay_span(NULL, 0);
        be(translation, error, RELAY_ERR_UPSTREAM_KEY);
        break;
    case FAULT_BILLING:
        be(translation, error, RELAY_ERR_UPSTREAM_BILLING);
        failure->code = RELAY_SPAN("insufficient_quota");
        break;
    case FAULT_MODEL:
        be(translation, error, RELAY_ERR_MODEL_NOT_FOUND);
        break;
    case FAULT_RATE:
        failure->retry = true;
        break;
    case FAULT_TIMEOUT:
        be(translation, error, RELAY_ERR_UPSTREAM_TIMEOUT);
        failure->retry = true;
        break;
    case FAULT_OVERLOADED:
        be(translation, error, RELAY_ERR_UPSTREAM_OVERLOADED);
        failure->retry = true;
        break;
    case FAULT_SERVER:
        error->status = error->status == 424 ? 500 : error->status;
        failure->retry = true;
        break;
    case FAULT_REQUEST:
        if (error->status == 422 && !translation->caller->wire->dialect->unprocessable) {
            error->status = 400;
        }
        break;
    }
}

relay_failure_t relay_translate_failure(relay_translation_t *translation, relay_span_t body,
                                        unsigned status)
{
    relay_failure_t failure = {.error = {.code = RELAY_ERR_UPSTREAM_STATUS, .status = status}};
    uint8_t *bytes = relay_codec_new(translation, RELAY_FAILURE_TEXT);
    relay_buf_t text = relay_buf(bytes, bytes != NULL ? RELAY_FAILURE_TEXT : 0), code;
    relay_answer_t answer;

    translation->upstream->wire->answer(body, &answer);
    failure.error.message = relay_codec_plain(translation, answer.message);
    bytes = relay_codec_new(translation, sizeof(answer.error_type));
    code = relay_buf(bytes, bytes != NULL ? sizeof(answer.error_type) : 0);
    relay_buf_put(&code, answer.error_type[0] != '\0'
                             ? relay_span(answer.error_type, strlen(answer.error_type))
                             : translation->told_error);
    failure.code = relay_buf_span(&code);
    if (answer.key_refused) {
        failure.error.status = 401;
    } else if (status < 400) {
        failure.error.status = 502; /* behind a status that it is not */
    }
    relay_failure_settle(translation, &failure, &text);
    return failure;
}

relay_span_t relay_translate_error(relay_translation_t *translation, relay_span_t body,
                                   unsigned status, relay_span_t request_id)
{
    relay_failure_t failure = relay_translate_failure(translation, body, status);
    relay_buf_t out = relay_buf(NULL, 0);
    uint8_t *bytes;

    translation->caller->wire->dialect->error(&out, &failure.error, request_id);
    bytes = relay_codec_new(translation, out.len);
    if (bytes == NULL) {
        return relay_span(NULL, 0);
    }
    out = relay_buf(bytes, out.len);
    translation->caller->wire->dialect->error(&out, &failure.error, request_id);
    return relay_buf_span(&out);
}
