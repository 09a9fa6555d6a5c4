/*
 * Requests and whole answers from one format into another: see translate.h. Errors
 * are in translate_error.c, streams in translate_stream.c.
 */

#include "codec_support.h"
#include "embeddings.h"

/* ---- trees --------------------------------------------------------------- */

/* Tokens of one body at most, 16 bytes each. */
enum { TOKENS_MAX = 1 << 18 };

static relay_error_code_t json_error(relay_translation_t *translation, bool answer,
                                     const relay_json_fault_t *fault)
{
    relay_span_t text = relay_json_error_text(fault->error);
    uint8_t *bytes = relay_codec_new(translation, 128);
    relay_buf_t message = relay_buf(bytes, bytes != NULL ? 128 : 0);

    if (bytes == NULL) {
        return translation->error.code;
    }
    RELAY_PUT(&message, "The body is not valid JSON: ");
    relay_buf_put(&message, text);
    RELAY_PUT(&message, " at byte ");
    relay_buf_put_u64(&message, fault->offset);
    RELAY_PUT(&message, ".");
    translation->error =
        (relay_error_t){.code = answer ? RELAY_ERR_UPSTREAM_INVALID : RELAY_ERR_INVALID_JSON,
                        .message = answer ? RELAY_SPAN("The provider's answer is not valid JSON.")
                                          : relay_buf_span(&message)};
    return translation->error.code;
}

static relay_error_code_t too_many(relay_translation_t *translation, bool answer)
{
    translation->error = (relay_error_t){
        .code = answer ? RELAY_ERR_UPSTREAM_INVALID : RELAY_ERR_BODY_TOO_LARGE,
        .message = RELAY_SPAN("The body has too many JSON values to be translated.")};
    return translation->error.code;
}

/* Most bodies have a token for every dozen bytes; the rest are read twice. */
static relay_error_code_t make_tree(relay_translation_t *translation, relay_span_t body,
                                    bool answer, relay_json_tree_t *tree)
{
    size_t capacity = body.len / 8 + 64, most = body.len / 2 + 2;
    relay_json_fault_t fault;

    most = most < TOKENS_MAX ? most : TOKENS_MAX;
    for (;;) {
        relay_json_token_t *tokens;
        capacity = capacity < most ? capacity : most;
        tokens = relay_codec_new(translation, capacity * sizeof(*tokens));
        if (tokens == NULL) {
            return translation->error.code;
        }
        *tree = (relay_json_tree_t){.text = body, .tokens = tokens};
        switch (relay_json_tape(body, tokens, capacity, &tree->count, false, &fault)) {
        case RELAY_TAPE_OK:
            return RELAY_ERR_NONE;
        case RELAY_TAPE_JSON:
            return json_error(translation, answer, &fault);
        case RELAY_TAPE_FULL:
            break;
        }
        if (capacity == most) {
            return too_many(translation, answer);
        }
        capacity = most;
    }
}

/* Some servers wrap an answer into a list of one. */
static relay_error_code_t check_object(relay_translation_t *translation,
                                       const relay_json_tree_t *tree, bool answer)
{
    if (tree->tokens[0].type == RELAY_JSON_OBJECT) {
        return RELAY_ERR_NONE;
    }
    translation->error =
        answer ? (relay_error_t){.code = RELAY_ERR_UPSTREAM_INVALID,
                                 .message = RELAY_SPAN("The provider's answer is no object.")}
               : (relay_error_t){.code = RELAY_ERR_INVALID_JSON,
                                 .message = RELAY_SPAN("The body must be a JSON object.")};
    return translation->error.code;
}

/* ---- calls and their results --------------------------------------------- */

/* Comparisons of ids that one request may cost. */
enum { PAIRING_STEPS_MAX = 1 << 22 };

typedef struct {
    relay_translation_t *translation;
    size_t steps;
} pairing_t;

/* At the element of the list of messages that has the block: formats may spread one
 * message over several. */
static bool refuse_pair(pairing_t *pairing, const relay_block_t *block, relay_span_t before,
                        relay_span_t behind)
{
    relay_translation_t *translation = pairing->translation;
    const relay_place_t *place = block->place;
    size_t size = before.len + block->call.id.len + behind.len;
    uint8_t *bytes = relay_codec_new(translation, size + 1);
    relay_buf_t text = relay_buf(bytes, bytes != NULL ? size : 0);

    relay_buf_put(&text, before);
    relay_buf_put(&text, block->call.id);
    relay_buf_put(&text, behind);
    while (place != NULL && place->outer != NULL) {
        place = place->outer;
    }
    return bytes != NULL && relay_codec_refuse(translation, place, relay_buf_span(&text));
}

/* The first result for the call in the messages behind it that has no call yet. */
static relay_block_t *find_result(pairing_t *pairing, const relay_message_t *message,
                                  const relay_block_t *call)
{
    for (message = message->next; message != NULL; message = message->next) {
        for (relay_block_t *block = message->blocks; block != NULL; block = block->next) {
            if (block->kind != RELAY_BLOCK_TOOL_RESULT || block->call.paired) {
                continue;
            }
            if (relay_span_eq(block->call.id, call->call.id) ||
                ++pairing->steps > PAIRING_STEPS_MAX) {
                return block;
            }
        }
    }
    return NULL;
}

static bool pair_calls(pairing_t *pairing, relay_message_t *message)
{
    for (relay_block_t *call = message->blocks; call != NULL; call = call->next) {
        relay_block_t *result;
        if (call->kind != RELAY_BLOCK_TOOL_CALL) {
            continue;
        }
        result = find_result(pairing, message, call);
        if (pairing->steps > PAIRING_STEPS_MAX) {
            return relay_codec_refuse_field(pairing->translation, RELAY_FIELD_MESSAGES,
                                            RELAY_SPAN("too many tool calls"));
        }
        if (result == NULL) {
            return refuse_pair(pairing, call, RELAY_SPAN("the tool call '"),
                               RELAY_SPAN("' has no result in the messages after it"));
        }
        result->call.paired = true;
        call->call.paired = true;
        result->call.free_text = result->call.free_text || call->call.free_text;
        if (result->call.name.len == 0) {
            result->call.name = call->call.name;
            result->call.scope = call->call.scope;
        }
    }
    return true;
}

static bool check_results(pairing_t *pairing, const relay_message_t *message)
{
    for (const relay_block_t *block = message->blocks; block != NULL; block = block->next) {
        if (block->kind == RELAY_BLOCK_TOOL_RESULT && !block->call.paired) {
            return refuse_pair(pairing, block, RELAY_SPAN("the tool result for '"),
                               RELAY_SPAN("' has no call in the messages before it"));
        }
    }
    return true;
}

/* Every provider refuses a call without its result and the other way round. */
static bool pair(relay_translation_t *translation, relay_request_t *request)
{
    pairing_t pairing = {translation, 0};

    for (relay_message_t *message = request->messages; message != NULL; message = message->next) {
        if (!pair_calls(&pairing, message) || !check_results(&pairing, message)) {
            return false;
        }
    }
    return true;
}

/* ---- members of blocks that nobody maps ----------------------------------- */

static bool leave_blocks(relay_translation_t *translation, const relay_block_t *block)
{
    for (; block != NULL; block = block->next) {
        if (!relay_codec_leave(translation, block->extras, block->place) ||
            !leave_blocks(translation, block->content)) {
            return false;
        }
    }
    return true;
}

/* Writers see what is in a block, not what else was beside it. */
static bool leave_members(relay_translation_t *translation, const relay_request_t *request)
{
    for (const relay_message_t *message = request->messages; message != NULL;
         message = message->next) {
        if (!leave_blocks(translation, message->blocks)) {
            return false;
        }
    }
    return true;
}

/* ---- notes --------------------------------------------------------------- */

static void put_name(relay_buf_t *out, relay_span_t name)
{
    for (size_t i = 0; i < name.len; i++) {
        uint8_t byte = name.base[i];
        relay_buf_put_byte(out,
                           byte > 0x20 && byte < 0x7f && byte != ',' && byte != ';' ? byte : '?');
    }
}

/* "a, b" of one kind; true if there are any. */
static bool put_names(const relay_translation_t *translation, bool changed, relay_buf_t *out)
{
    bool any = false;

    for (const relay_note_t *note = translation->notes; note != NULL; note = note->next) {
        if (note->changed == changed) {
            relay_buf_put(out, any ? RELAY_SPAN(", ") : RELAY_SPAN(""));
            put_name(out, note->name);
            any = true;
        }
    }
    return any;
}

void relay_translation_put_notes(const relay_translation_t *translation, relay_buf_t *out)
{
    relay_buf_t measure = relay_buf(NULL, 0);
    bool dropped = put_names(translation, false, out);

    if (put_names(translation, true, &measure)) {
        relay_buf_put(out, dropped ? RELAY_SPAN("; changed=") : RELAY_SPAN("changed="));
        put_names(translation, true, out);
    }
}

/* ---- requests ------------------------------------------------------------ */

/* In the words of the caller's format, if it has some: "store: Extra inputs are not
 * permitted", one behind the other. */
static void put_refusal(const relay_translation_t *translation, relay_buf_t *out)
{
    relay_span_t why = translation->caller->unsupported;
    bool any = false;

    if (why.len == 0) {
        RELAY_PUT(out, "Not supported by the provider of this model: ");
        put_names(translation, false, out);
        return;
    }
    for (const relay_note_t *note = translation->notes; note != NULL; note = note->next) {
        if (!note->changed) {
            relay_buf_put(out, any ? RELAY_SPAN("; ") : RELAY_SPAN(""));
            put_name(out, note->name);
            RELAY_PUT(out, ": ");
            relay_buf_put(out, why);
            any = true;
        }
    }
}

/* With `strict` what would be dropped is refused, all of it named. */
static relay_error_code_t check_strict(relay_translation_t *translation)
{
    const relay_note_t *dropped = translation->notes;
    relay_buf_t text = relay_buf(NULL, 0);
    uint8_t *bytes;

    while (dropped != NULL && dropped->changed) {
        dropped = dropped->next;
    }
    if (!translation->strict || dropped == NULL) {
        return RELAY_ERR_NONE;
    }
    put_refusal(translation, &text);
    bytes = relay_codec_new(translation, text.len);
    if (bytes == NULL) {
        return translation->error.code;
    }
    text = relay_buf(bytes, text.len);
    put_refusal(translation, &text);
    translation->error = (relay_error_t){
        .code = RELAY_ERR_INVALID_FIELD, .param = dropped->name, .message = relay_buf_span(&text)};
    return translation->error.code;
}

typedef relay_error_code_t put_t(relay_translation_t *translation, const void *what,
                                 relay_buf_t *out);

/* Once into a buffer that is nearly always enough; else again with its true size. */
static relay_error_code_t write_out(relay_translation_t *translation, put_t *put, const void *what,
                                    size_t guess, relay_span_t *text)
{
    for (int i = 0; i < 2; i++) {
        uint8_t *bytes = relay_codec_new(translation, guess);
        relay_buf_t out = relay_buf(bytes, bytes != NULL ? guess : 0);
        if (bytes == NULL || put(translation, what, &out) != RELAY_ERR_NONE) {
            return translation->error.code;
        }
        if (relay_buf_ok(&out)) {
            *text = relay_buf_span(&out);
            return RELAY_ERR_NONE;
        }
        guess = out.len;
    }
    translation->error = (relay_error_t){.code = RELAY_ERR_INTERNAL};
    return translation->error.code;
}

/* ---- what the target does not take ---------------------------------------- */

/* Fields that are one value, and where it is. */
static const struct {
    relay_field_t field;
    size_t offset;
} values[] = {
    {RELAY_FIELD_TEMPERATURE, offsetof(relay_request_t, temperature)},
    {RELAY_FIELD_TOP_P, offsetof(relay_request_t, top_p)},
    {RELAY_FIELD_TOP_K, offsetof(relay_request_t, top_k)},
    {RELAY_FIELD_FREQUENCY_PENALTY, offsetof(relay_request_t, frequency_penalty)},
    {RELAY_FIELD_PRESENCE_PENALTY, offsetof(relay_request_t, presence_penalty)},
    {RELAY_FIELD_LOGIT_BIAS, offsetof(relay_request_t, logit_bias)},
    {RELAY_FIELD_SEED, offsetof(relay_request_t, seed)},
    {RELAY_FIELD_LOGPROBS, offsetof(relay_request_t, logprobs)},
    {RELAY_FIELD_TOP_LOGPROBS, offsetof(relay_request_t, top_logprobs)},
    {RELAY_FIELD_PARALLEL, offsetof(relay_request_t, tool_choice.parallel)},
    {RELAY_FIELD_METADATA, offsetof(relay_request_t, metadata)},
};

/* The same for those that are a text. */
static const struct {
    relay_field_t field;
    size_t offset;
} texts[] = {
    {RELAY_FIELD_VERBOSITY, offsetof(relay_request_t, verbosity)},
    {RELAY_FIELD_USER, offsetof(relay_request_t, user)},
    {RELAY_FIELD_SERVICE_TIER, offsetof(relay_request_t, service_tier)},
};

static bool refuses(const relay_translation_t *translation, relay_field_t field)
{
    return (translation->target.refused & RELAY_REFUSED(field)) != 0;
}

static void leave_values(relay_translation_t *translation, relay_request_t *request)
{
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        relay_json_value_t *value = (void *)((uint8_t *)request + values[i].offset);
        if (refuses(translation, values[i].field) && value->type != RELAY_JSON_ABSENT) {
            *value = (relay_json_value_t){.type = RELAY_JSON_ABSENT};
            relay_codec_drop(translation, values[i].field);
        }
    }
}

static void leave_texts(relay_translation_t *translation, relay_request_t *request)
{
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        relay_span_t *text = (void *)((uint8_t *)request + texts[i].offset);
        if (refuses(translation, texts[i].field) && text->len != 0) {
            *text = relay_span(NULL, 0);
            relay_codec_drop(translation, texts[i].field);
        }
    }
}

static bool names_refused(const relay_translation_t *translation, relay_span_t name)
{
    unsigned field = 0;

    while (field < RELAY_FIELDS && !(refuses(translation, (relay_field_t)field) &&
                                     relay_span_eq(name, relay_codec_word(translation, field)))) {
        field++;
    }
    return field < RELAY_FIELDS;
}

/* A codec may keep members of its own format as they are. */
static void leave_extras(relay_translation_t *translation, relay_request_t *request)
{
    for (relay_member_t **member = &request->extras; *member != NULL;) {
        if (names_refused(translation, (*member)->name)) {
            relay_codec_drop_name(translation, (*member)->name);
            *member = (*member)->next;
        } else {
            member = &(*member)->next;
        }
    }
}

/* A model that does not think loses nothing when it is told not to. */
static void leave_reasoning(relay_translation_t *translation, relay_reasoning_t *reasoning)
{
    bool no_effort = refuses(translation, RELAY_FIELD_EFFORT);

    if (no_effort && reasoning->effort > RELAY_EFFORT_NONE) {
        relay_codec_drop(translation, RELAY_FIELD_EFFORT);
    }
    if (no_effort) {
        reasoning->effort = RELAY_EFFORT_UNSET;
    }
    if (!refuses(translation, RELAY_FIELD_THINKING)) {
        return;
    }
    if (reasoning->mode > RELAY_THINKING_DISABLED) {
        relay_codec_drop(translation, RELAY_FIELD_THINKING);
    }
    reasoning->mode = RELAY_THINKING_UNSET;
    reasoning->budget_tokens = 0;
    reasoning->summary = relay_span(NULL, 0);
    reasoning->value = (relay_json_value_t){.type = RELAY_JSON_ABSENT};
}

/* Where thinking goes by a budget, an effort only stands for one. */
static void fit_effort(relay_translation_t *translation, relay_reasoning_t *reasoning)
{
    relay_effort_t effort = relay_target_effort(&translation->target, reasoning->effort);

    if (effort != reasoning->effort && (translation->target.flags & RELAY_TARGET_BUDGET) == 0) {
        reasoning->effort = effort;
        relay_codec_change(translation, RELAY_FIELD_EFFORT);
    }
}

static void fit_target(relay_translation_t *translation, relay_request_t *request)
{
    leave_values(translation, request);
    leave_texts(translation, request);
    leave_extras(translation, request);
    leave_reasoning(translation, &request->reasoning);
    fit_effort(translation, &request->reasoning);
    if (refuses(translation, RELAY_FIELD_STOP) && request->stop != NULL) {
        request->stop = NULL;
        relay_codec_drop(translation, RELAY_FIELD_STOP);
    }
}

relay_effort_t relay_target_effort(const relay_target_t *target, relay_effort_t effort)
{
    unsigned level = effort;

    if (target->efforts == 0 || effort == RELAY_EFFORT_UNSET) {
        return effort;
    }
    while (level > RELAY_EFFORT_MINIMAL && !(target->efforts >> level & 1)) {
        level--;
    }
    while (level < RELAY_EFFORTS && !(target->efforts >> level & 1)) {
        level++;
    }
    return level < RELAY_EFFORTS ? (relay_effort_t)level : effort;
}

/* ---- requests ------------------------------------------------------------- */

static relay_error_code_t write_request(relay_translation_t *translation, const void *request,
                                        relay_buf_t *out)
{
    return translation->upstream->write_request(translation, request, out);
}

/* What the caller's format does not have in its body. */
static bool take_path(relay_translation_t *translation, relay_request_t *request)
{
    request->stream = request->stream || translation->stream;
    if (request->model.len == 0) {
        request->model = translation->model;
    }
    return true;
}

static bool for_embeddings(const relay_translation_t *translation)
{
    return translation->caller->embeddings != NULL && translation->upstream->embeddings != NULL;
}

static relay_error_code_t write_texts(relay_translation_t *translation, const void *texts,
                                      relay_buf_t *out)
{
    return translation->upstream->embeddings->write_request(translation, texts, out);
}

static relay_error_code_t translate_texts(relay_translation_t *translation, relay_span_t body,
                                          relay_span_t *request)
{
    relay_texts_t texts = {.count = 0};
    relay_json_tree_t tree;

    if (translation->caller->embeddings->read_request == NULL ||
        translation->upstream->embeddings->write_request == NULL) {
        relay_codec_refuse(translation, NULL, RELAY_SPAN("there is no way between these formats"));
        return translation->error.code;
    }
    if (make_tree(translation, body, false, &tree) != RELAY_ERR_NONE ||
        check_object(translation, &tree, false) != RELAY_ERR_NONE ||
        translation->caller->embeddings->read_request(translation, &tree, &texts) !=
            RELAY_ERR_NONE ||
        write_out(translation, write_texts, &texts, body.len + 128 * texts.count + 1024, request) !=
            RELAY_ERR_NONE) {
        return translation->error.code;
    }
    translation->model = texts.model.len != 0 ? texts.model : translation->model;
    translation->texts = texts.count;
    return check_strict(translation);
}

relay_error_code_t relay_translate_request(relay_translation_t *translation, relay_span_t body,
                                           relay_span_t *request)
{
    relay_request_t *read;
    relay_json_tree_t tree;

    translation->error = (relay_error_t){.code = RELAY_ERR_NONE};
    if (for_embeddings(translation)) {
        return translate_texts(translation, body, request);
    }
    read = relay_codec_new(translation, sizeof(*read));
    if (read == NULL || make_tree(translation, body, false, &tree) != RELAY_ERR_NONE ||
        check_object(translation, &tree, false) != RELAY_ERR_NONE ||
        translation->caller->read_request(translation, &tree, read) != RELAY_ERR_NONE ||
        !take_path(translation, read) ||
        (translation->caller != translation->upstream &&
         (!pair(translation, read) || !leave_members(translation, read))) ||
        (fit_target(translation, read), false) ||
        write_out(translation, write_request, read, body.len + body.len / 4 + 1024, request) !=
            RELAY_ERR_NONE) {
        return translation->error.code;
    }
    translation->model = read->model.len != 0 ? read->model : translation->model;
    translation->usage_wanted = read->usage_wanted;
    return check_strict(translation);
}

/* ---- answers ------------------------------------------------------------- */

static relay_error_code_t write_response(relay_translation_t *translation, const void *response,
                                         relay_buf_t *out)
{
    return translation->caller->write_response(translation, response, out);
}

/* True if a body with a good status reports a failure; error filled. */
static bool is_error(relay_translation_t *translation, relay_span_t body)
{
    relay_answer_t answer;

    translation->upstream->wire->answer(body, &answer);
    if (!answer.is_error) {
        return false;
    }
    translation->error = (relay_error_t){.code = RELAY_ERR_UPSTREAM_ERROR,
                                         .message = relay_codec_plain(translation, answer.message)};
    return true;
}

/* What the upstream's format does not give. */
static void complete(relay_translation_t *translation, relay_response_t *response)
{
    if (response->model.len == 0) {
        response->model = translation->model;
    }
    if (response->created_s == 0) {
        response->created_s = translation->created_s;
    }
}

static relay_error_code_t write_vectors(relay_translation_t *translation, const void *vectors,
                                        relay_buf_t *out)
{
    return translation->caller->embeddings->write_response(translation, vectors, out);
}

static relay_error_code_t translate_vectors(relay_translation_t *translation, relay_span_t body,
                                            relay_span_t *response)
{
    relay_vectors_t vectors = {.count = 0};

    if (translation->upstream->embeddings->read_response == NULL ||
        translation->caller->embeddings->write_response == NULL) {
        relay_codec_invalid(translation, RELAY_SPAN("There is no way between these formats."));
        return translation->error.code;
    }
    if (is_error(translation, body) || translation->upstream->embeddings->read_response(
                                           translation, body, &vectors) != RELAY_ERR_NONE) {
        return translation->error.code;
    }
    if (translation->texts != 0 && translation->texts != vectors.count) {
        relay_codec_invalid(translation, RELAY_SPAN("The provider's answer has not as many "
                                                    "embeddings as there are inputs."));
        return translation->error.code;
    }
    if (!vectors.usage.known) {
        vectors.usage.input_tokens = translation->told_tokens;
    }
    return write_out(translation, write_vectors, &vectors, body.len + 64 * vectors.count + 1024,
                     response);
}

relay_error_code_t relay_translate_response(relay_translation_t *translation, relay_span_t body,
                                            relay_span_t *response)
{
    relay_response_t *read;
    relay_json_tree_t tree;

    translation->error = (relay_error_t){.code = RELAY_ERR_NONE};
    if (for_embeddings(translation)) {
        return translate_vectors(translation, body, response);
    }
    read = relay_codec_new(translation, sizeof(*read));
    if (read == NULL || make_tree(translation, body, true, &tree) != RELAY_ERR_NONE ||
        check_object(translation, &tree, true) != RELAY_ERR_NONE || is_error(translation, body) ||
        translation->upstream->read_response(translation, &tree, read) != RELAY_ERR_NONE) {
        return translation->error.code;
    }
    complete(translation, read);
    return write_out(translation, write_response, read, body.len + body.len / 4 + 1024, response);
}
