/*
 * Whole answers of Responses into the canonical protocol and out of it. Called
 * through the codec.
 */

#include "wire_openai.h"
#include "wire_openai_chat_codec.h"
#include "wire_openai_responses_codec.h"
#include "wire_support.h"

/* ---- reading ------------------------------------------------------------- */

typedef struct {
    relay_translation_t *translation;
    const relay_json_tree_t *tree;
    relay_choice_t *choice;
    relay_block_t **tail;
    bool calls;
} reading_t;

static bool read_annotations(reading_t *reading, relay_json_node_t list, relay_block_t *text)
{
    relay_citation_t **tail = &text->citations, citation;
    relay_json_node_t each;

    for (each = relay_json_first(reading->tree, list); each != RELAY_JSON_NOWHERE;
         each = relay_json_next(reading->tree, list, each)) {
        if (!relay_responses_read_annotation(relay_json_value(reading->tree, each), &citation)) {
            continue;
        }
        *tail = relay_codec_new(reading->translation, sizeof(**tail));
        if (*tail == NULL) {
            return false;
        }
        **tail = citation;
        tail = &(*tail)->next;
    }
    return true;
}

enum { P_TEXT, P_REFUSAL, P_ANNOTATIONS, P_LOGPROBS, PART_KEYS };

static const relay_span_t part_keys[PART_KEYS] = {
    RELAY_SPAN_INIT("text"), RELAY_SPAN_INIT("refusal"), RELAY_SPAN_INIT("annotations"),
    RELAY_SPAN_INIT("logprobs")};

static bool read_part(reading_t *reading, relay_json_node_t node)
{
    relay_json_node_t nodes[PART_KEYS];
    relay_span_t text;
    relay_block_t *block;
    bool refusal;

    relay_json_pick(reading->tree, node, part_keys, PART_KEYS, nodes);
    refusal = relay_json_type(reading->tree, nodes[P_REFUSAL]) == RELAY_JSON_STRING;
    text = relay_json_content(reading->tree, nodes[refusal ? P_REFUSAL : P_TEXT]);
    if (text.len == 0) {
        return true;
    }
    block = relay_codec_block(reading->translation, &reading->tail,
                              refusal ? RELAY_BLOCK_REFUSAL : RELAY_BLOCK_TEXT);
    if (block == NULL) {
        return false;
    }
    block->text = text;
    if (!refusal && relay_json_first(reading->tree, nodes[P_LOGPROBS]) != RELAY_JSON_NOWHERE) {
        block->logprobs = relay_json_value(reading->tree, nodes[P_LOGPROBS]);
    }
    return read_annotations(reading, nodes[P_ANNOTATIONS], block);
}

enum { I_TYPE, I_CONTENT, I_CALL_ID, I_NAME, I_NAMESPACE, I_ARGUMENTS, I_INPUT, ITEM_KEYS };

static const relay_span_t item_keys[ITEM_KEYS] = {
    RELAY_SPAN_INIT("type"), RELAY_SPAN_INIT("content"),   RELAY_SPAN_INIT("call_id"),
    RELAY_SPAN_INIT("name"), RELAY_SPAN_INIT("namespace"), RELAY_SPAN_INIT("arguments"),
    RELAY_SPAN_INIT("input")};

static bool read_call(reading_t *reading, const relay_json_node_t *nodes, bool custom)
{
    relay_block_t *block =
        relay_codec_block(reading->translation, &reading->tail, RELAY_BLOCK_TOOL_CALL);

    if (block == NULL) {
        return false;
    }
    reading->calls = true;
    block->call = (relay_call_t){
        .id = relay_json_content(reading->tree, nodes[I_CALL_ID]),
        .name = relay_json_content(reading->tree, nodes[I_NAME]),
        .scope = relay_json_content(reading->tree, nodes[I_NAMESPACE]),
        .arguments = {relay_json_content(reading->tree, nodes[custom ? I_INPUT : I_ARGUMENTS]),
                      true},
        .free_text = custom};
    return true;
}

static bool read_opaque(reading_t *reading, relay_json_node_t type)
{
    relay_block_t *block =
        relay_codec_block(reading->translation, &reading->tail, RELAY_BLOCK_OPAQUE);

    if (block != NULL) {
        block->type = relay_json_content(reading->tree, type);
    }
    return block != NULL;
}

static bool read_known_item(reading_t *reading, relay_json_node_t node,
                            const relay_json_node_t *nodes)
{
    relay_json_node_t type = nodes[I_TYPE], part;

    if (relay_json_reads(reading->tree, type, RELAY_SPAN("function_call"))) {
        return read_call(reading, nodes, false);
    }
    if (relay_json_reads(reading->tree, type, RELAY_SPAN("custom_tool_call"))) {
        return read_call(reading, nodes, true);
    }
    if (relay_json_reads(reading->tree, type, RELAY_SPAN("reasoning"))) {
        return relay_responses_read_reasoning(reading->translation, reading->tree, node,
                                              &reading->tail);
    }
    if (!relay_json_reads(reading->tree, type, RELAY_SPAN("message"))) {
        return read_opaque(reading, type);
    }
    for (part = relay_json_first(reading->tree, nodes[I_CONTENT]); part != RELAY_JSON_NOWHERE;
         part = relay_json_next(reading->tree, nodes[I_CONTENT], part)) {
        if (!read_part(reading, part)) {
            return false;
        }
    }
    return true;
}

/* Every block of an item has the whole of it as its raw text. */
static bool read_item(reading_t *reading, relay_json_node_t node)
{
    relay_json_node_t nodes[ITEM_KEYS];
    relay_block_t **first = reading->tail;

    relay_json_pick(reading->tree, node, item_keys, ITEM_KEYS, nodes);
    if (!read_known_item(reading, node, nodes)) {
        return false;
    }
    if (*first == NULL && !read_opaque(reading, nodes[I_TYPE])) {
        return false; /* an item that is empty stays one where it goes on as it is */
    }
    for (relay_block_t *block = *first; block != NULL; block = block->next) {
        block->raw = relay_json_value(reading->tree, node).text;
    }
    return true;
}

enum { A_ID, A_MODEL, A_CREATED, A_OUTPUT, A_OBJECT, A_KEPT, OWN_KEYS = A_KEPT };
enum { A_USAGE = A_KEPT, A_STATUS, A_INCOMPLETE, A_TIER, ANSWER_KEYS };

/* Those from A_KEPT on are extras, too: this format writes them as they came. */
static const relay_span_t answer_keys[ANSWER_KEYS] = {
    RELAY_SPAN_INIT("id"),          RELAY_SPAN_INIT("model"),
    RELAY_SPAN_INIT("created_at"),  RELAY_SPAN_INIT("output"),
    RELAY_SPAN_INIT("object"),      RELAY_SPAN_INIT("usage"),
    RELAY_SPAN_INIT("status"),      RELAY_SPAN_INIT("incomplete_details"),
    RELAY_SPAN_INIT("service_tier")};

static bool read_head(reading_t *reading, const relay_json_node_t *nodes,
                      relay_response_t *response)
{
    const relay_json_tree_t *tree = reading->tree;

    response->origin = &relay_codec_openai_responses;
    response->id = relay_json_content(tree, nodes[A_ID]);
    response->model = relay_json_content(tree, nodes[A_MODEL]);
    relay_wire_tier(relay_json_content(tree, nodes[A_TIER]), &response->usage.tier);
    response->choices = reading->choice;
    relay_json_uint(relay_json_value(tree, nodes[A_CREATED]), &response->created_s);
    relay_openai_usage(relay_json_value(tree, nodes[A_USAGE]), &response->usage);
    return relay_codec_extras(reading->translation, tree, 0, answer_keys, OWN_KEYS, NULL, 0,
                              &response->extras);
}

static relay_stop_t read_stop(const reading_t *reading, const relay_json_node_t *nodes)
{
    static const relay_span_t key = RELAY_SPAN_INIT("reason");
    relay_json_node_t reason;

    relay_json_pick(reading->tree, nodes[A_INCOMPLETE], &key, 1, &reason);
    return relay_responses_stop(relay_json_content(reading->tree, nodes[A_STATUS]),
                                relay_json_content(reading->tree, reason), reading->calls);
}

relay_error_code_t relay_responses_read_response(relay_translation_t *translation,
                                                 const relay_json_tree_t *tree,
                                                 relay_response_t *response)
{
    reading_t reading = {translation, tree, relay_codec_new(translation, sizeof(relay_choice_t)),
                         NULL, false};
    relay_json_node_t nodes[ANSWER_KEYS], item;

    relay_json_pick(tree, 0, answer_keys, ANSWER_KEYS, nodes);
    if (reading.choice == NULL || !read_head(&reading, nodes, response)) {
        return translation->error.code;
    }
    if (relay_json_type(tree, nodes[A_OUTPUT]) != RELAY_JSON_ARRAY) {
        relay_codec_invalid(translation, RELAY_SPAN("The provider's answer has no output."));
        return translation->error.code;
    }
    reading.tail = &reading.choice->blocks;
    for (item = relay_json_first(tree, nodes[A_OUTPUT]); item != RELAY_JSON_NOWHERE;
         item = relay_json_next(tree, nodes[A_OUTPUT], item)) {
        if (!read_item(&reading, item)) {
            return translation->error.code;
        }
    }
    reading.choice->ending.reason = read_stop(&reading, nodes);
    return translation->error.code;
}

/* ---- writing ------------------------------------------------------------- */

typedef struct {
    relay_translation_t *translation;
    const relay_response_t *response;
    relay_buf_t *out;
    relay_span_t status; /* of an item that the answer's end cut off */
    size_t items;
    bool refused;
} writing_t;

static void open_item(writing_t *writing, const relay_block_t *block, relay_responses_call_t call,
                      relay_span_t rest)
{
    relay_buf_put(writing->out,
                  writing->items != 0 ? RELAY_SPAN(",{\"id\":") : RELAY_SPAN("{\"id\":"));
    relay_responses_put_item_id(writing->out, writing->translation,
                                relay_responses_item_prefix(block->kind, call), writing->items++);
    relay_buf_put(writing->out, rest);
}

static void put_status(writing_t *writing, const relay_block_t *block)
{
    RELAY_PUT(writing->out, ",\"status\":");
    relay_codec_put_string(writing->out,
                           block->next == NULL ? writing->status : RELAY_SPAN("completed"));
}

static void put_text(writing_t *writing, const relay_block_t *block)
{
    relay_buf_t *out = writing->out;
    bool any = false;

    if (block->text.len == 0 && block->citations == NULL) {
        return;
    }
    open_item(writing, block, RELAY_RESPONSES_FUNCTION, RELAY_SPAN(",\"type\":\"message\""));
    put_status(writing, block);
    RELAY_PUT(out, ",\"role\":\"assistant\",\"content\":[{\"type\":\"output_text\",\"text\":");
    relay_codec_put_string(out, block->text);
    RELAY_PUT(out, ",\"annotations\":[");
    for (const relay_citation_t *each = block->citations; each != NULL; each = each->next) {
        if (each->url.len != 0) {
            relay_buf_put(out, any ? RELAY_SPAN(",") : RELAY_SPAN(""));
            relay_responses_put_annotation(out, each);
            any = true;
        }
    }
    RELAY_PUT(out, "],\"logprobs\":[");
    relay_codec_put_logprobs(out, block->logprobs, RELAY_SPAN("[]"));
    RELAY_PUT(out, "]}]}");
}

static void put_refusal(writing_t *writing, relay_span_t text)
{
    static const relay_block_t block = {.kind = RELAY_BLOCK_REFUSAL};

    writing->refused = true;
    open_item(writing, &block, RELAY_RESPONSES_FUNCTION,
              RELAY_SPAN(",\"type\":\"message\",\"status\":\"completed\",\"role\":\"assistant\","
                         "\"content\":[{\"type\":\"refusal\",\"refusal\":"));
    relay_codec_put_string(writing->out, text);
    RELAY_PUT(writing->out, "}]}");
}

static void put_reasoning(writing_t *writing, const relay_block_t *block)
{
    relay_buf_t *out = writing->out;
    bool redacted = block->kind == RELAY_BLOCK_REDACTED;

    open_item(writing, block, RELAY_RESPONSES_FUNCTION,
              RELAY_SPAN(",\"type\":\"reasoning\",\"summary\":["));
    if (!redacted && block->text.len != 0) {
        RELAY_PUT(out, "{\"type\":\"summary_text\",\"text\":");
        relay_codec_put_string(out, block->text);
        RELAY_PUT(out, "}");
    }
    RELAY_PUT(out, "]");
    if (redacted || block->signature.len != 0) {
        RELAY_PUT(out, ",\"encrypted_content\":");
        relay_responses_put_sealed(out, block->kind, block->text, block->signature, block->signer);
    }
    RELAY_PUT(out, "}");
}

static void put_call_id(writing_t *writing, const relay_call_t *call)
{
    RELAY_PUT(writing->out, ",\"call_id\":");
    if (call->id.len != 0) {
        relay_codec_put_string(writing->out, call->id);
    } else {
        relay_responses_put_item_id(writing->out, writing->translation, RELAY_SPAN("call_"),
                                    writing->items - 1);
    }
}

/* As the format has the images that a tool of its vendor makes. */
static void put_image(writing_t *writing, const relay_block_t *block)
{
    if (!relay_responses_shows(writing->translation, &block->media)) {
        return;
    }
    open_item(writing, block, RELAY_RESPONSES_FUNCTION,
              RELAY_SPAN(",\"type\":\"image_generation_call\",\"status\":\"completed\""));
    relay_responses_put_image_format(writing->out, block->media.media_type);
    RELAY_PUT(writing->out, ",\"result\":");
    relay_codec_put_string(writing->out, block->media.data);
    RELAY_PUT(writing->out, "}");
}

/* Broken arguments go through as they are: they are the model's words. */
static void put_arguments(writing_t *writing, const relay_call_t *call)
{
    RELAY_PUT(writing->out, ",\"arguments\":");
    if (call->arguments.quoted && call->arguments.text.len == 0) {
        RELAY_PUT(writing->out, "\"{}\"");
    } else {
        relay_codec_put_quoted(writing->out, &call->arguments);
    }
}

static void put_input(writing_t *writing, const relay_call_t *call, bool wrapped)
{
    relay_span_t text;

    RELAY_PUT(writing->out, ",\"input\":");
    if (wrapped && relay_codec_unwrap(writing->translation, &call->arguments, &text)) {
        relay_codec_put_string(writing->out, text);
    } else {
        relay_codec_put_quoted(writing->out, &call->arguments);
    }
}

static void put_call(writing_t *writing, const relay_block_t *block)
{
    const relay_call_t *call = &block->call;
    relay_responses_called_t called =
        relay_responses_called(writing->translation, call->name, call->scope, call->free_text);
    relay_buf_t *out = writing->out;

    open_item(writing, block, called.kind,
              called.kind == RELAY_RESPONSES_CUSTOM ? RELAY_SPAN(",\"type\":\"custom_tool_call\"")
              : called.kind == RELAY_RESPONSES_FUNCTION
                  ? RELAY_SPAN(",\"type\":\"function_call\"")
                  : RELAY_SPAN(",\"type\":\"tool_search_call\",\"execution\":\"client\""));
    put_status(writing, block);
    put_call_id(writing, call);
    if (called.kind == RELAY_RESPONSES_TOOL_SEARCH) {
        RELAY_PUT(out, ",\"arguments\":");
        relay_responses_put_search(writing->translation, out, &call->arguments);
        RELAY_PUT(out, "}");
        return;
    }
    RELAY_PUT(out, ",\"name\":");
    relay_codec_put_string(out, called.name);
    relay_codec_put_text(out, RELAY_SPAN(",\"namespace\":"), called.scope);
    if (called.kind == RELAY_RESPONSES_CUSTOM) {
        put_input(writing, call, called.wrapped);
    } else {
        put_arguments(writing, call);
    }
    RELAY_PUT(out, "}");
}

static void put_block(writing_t *writing, const relay_block_t *block)
{
    switch (block->kind) {
    case RELAY_BLOCK_TEXT:
        put_text(writing, block);
        break;
    case RELAY_BLOCK_REFUSAL:
        put_refusal(writing, block->text);
        break;
    case RELAY_BLOCK_THINKING:
        if (block->text.len != 0 || block->signature.len != 0) {
            put_reasoning(writing, block);
        }
        break;
    case RELAY_BLOCK_REDACTED:
        put_reasoning(writing, block);
        break;
    case RELAY_BLOCK_TOOL_CALL:
        put_call(writing, block);
        break;
    case RELAY_BLOCK_IMAGE:
        put_image(writing, block);
        break;
    default:
        break; /* no client of this format would know what to do with it */
    }
}

static void put_end(writing_t *writing, const relay_ending_t *ending)
{
    relay_span_t status = relay_responses_status(ending->reason, writing->refused);
    relay_buf_t *out = writing->out;

    relay_responses_put_settings(out);
    RELAY_PUT(out, ",\"status\":");
    relay_codec_put_string(out, status);
    if (relay_span_eq(status, RELAY_SPAN("incomplete"))) {
        RELAY_PUT(out, ",\"error\":null,\"incomplete_details\":{\"reason\":");
        relay_codec_put_string(out, relay_responses_incomplete(ending->reason));
        RELAY_PUT(out, "},\"usage\":");
    } else {
        RELAY_PUT(out, ",\"error\":null,\"incomplete_details\":null,\"usage\":");
    }
    relay_responses_put_usage(out, &writing->response->usage);
    relay_openai_put_tier(writing->translation, out, writing->response->usage.tier);
}

/* Items and members as they came. */
static void put_own(writing_t *writing)
{
    const relay_block_t *block = writing->response->choices->blocks;
    relay_span_t last = {NULL, 0};

    for (; block != NULL; block = block->next) {
        if (block->raw.base != last.base) {
            relay_buf_put(writing->out, last.base != NULL ? RELAY_SPAN(",") : RELAY_SPAN(""));
            relay_buf_put(writing->out, block->raw);
        }
        last = block->raw;
    }
    RELAY_PUT(writing->out, "]");
    relay_codec_put_extras(writing->out, writing->response->extras);
}

static void put_items(writing_t *writing)
{
    const relay_choice_t *choice = writing->response->choices;

    writing->status = relay_responses_status(choice->ending.reason, true);
    for (const relay_block_t *block = choice->blocks; block != NULL; block = block->next) {
        put_block(writing, block);
    }
    if (choice->ending.explanation.len != 0 && !writing->refused &&
        choice->ending.reason == RELAY_STOP_REFUSAL) {
        put_refusal(writing, choice->ending.explanation);
    }
    RELAY_PUT(writing->out, "],\"background\":false,\"instructions\":null,"
                            "\"max_output_tokens\":null");
    put_end(writing, &choice->ending);
}

relay_error_code_t relay_responses_write_response(relay_translation_t *translation,
                                                  const relay_response_t *response,
                                                  relay_buf_t *out)
{
    writing_t writing = {.translation = translation, .response = response, .out = out};

    RELAY_PUT(out, "{\"id\":\"");
    relay_codec_put_answer_id(out, translation, RELAY_RESPONSES_ID, response->id);
    RELAY_PUT(out, "\",\"object\":\"response\",\"created_at\":");
    relay_buf_put_u64(out, response->created_s);
    RELAY_PUT(out, ",\"model\":");
    relay_codec_put_string(out, response->model);
    RELAY_PUT(out, ",\"output\":[");
    if (relay_codec_own(response->origin, &relay_codec_openai_responses)) {
        put_own(&writing);
    } else {
        put_items(&writing);
    }
    RELAY_PUT(out, "}");
    return translation->error.code;
}
