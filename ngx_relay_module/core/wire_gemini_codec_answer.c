/*
 * Whole answers of Gemini into the canonical protocol and out of it, and what
 * streams share with them. Called through the codec.
 */

#include "wire_gemini.h"
#include "wire_gemini_codec.h"
#include "wire_support.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

/* ---- words --------------------------------------------------------------- */

static const struct {
    relay_span_t word;
    relay_stop_t reason;
} stops[] = {
    {RELAY_SPAN_INIT("STOP"), RELAY_STOP_END},
    {RELAY_SPAN_INIT("MAX_TOKENS"), RELAY_STOP_LENGTH},
    {RELAY_SPAN_INIT("SAFETY"), RELAY_STOP_REFUSAL},
    {RELAY_SPAN_INIT("RECITATION"), RELAY_STOP_REFUSAL},
    {RELAY_SPAN_INIT("BLOCKLIST"), RELAY_STOP_REFUSAL},
    {RELAY_SPAN_INIT("PROHIBITED_CONTENT"), RELAY_STOP_REFUSAL},
    {RELAY_SPAN_INIT("SPII"), RELAY_STOP_REFUSAL},
    {RELAY_SPAN_INIT("MODEL_ARMOR"), RELAY_STOP_REFUSAL},
    {RELAY_SPAN_INIT("IMAGE_SAFETY"), RELAY_STOP_REFUSAL},
    {RELAY_SPAN_INIT("IMAGE_PROHIBITED_CONTENT"), RELAY_STOP_REFUSAL},
    {RELAY_SPAN_INIT("IMAGE_RECITATION"), RELAY_STOP_REFUSAL},
    {RELAY_SPAN_INIT("IMAGE_OTHER"), RELAY_STOP_REFUSAL},
    {RELAY_SPAN_INIT("CONTINUATION"), RELAY_STOP_PAUSE},
};

relay_stop_t relay_gemini_stop(relay_span_t word)
{
    for (size_t i = 0; i < COUNT(stops); i++) {
        if (relay_span_eq(word, stops[i].word)) {
            return stops[i].reason;
        }
    }
    return word.len != 0 ? RELAY_STOP_END : RELAY_STOP_UNSET;
}

relay_span_t relay_gemini_stop_word(relay_stop_t reason)
{
    switch (reason) {
    case RELAY_STOP_LENGTH:
    case RELAY_STOP_CONTEXT:
        return RELAY_SPAN("MAX_TOKENS");
    case RELAY_STOP_REFUSAL:
        return RELAY_SPAN("SAFETY");
    default:
        return RELAY_SPAN("STOP");
    }
}

/* What thinking has cost is counted apart here. */
void relay_gemini_put_usage(relay_translation_t *translation, relay_buf_t *out,
                            const relay_usage_t *usage)
{
    static const relay_span_t words[] = {
        [RELAY_TIER_UNKNOWN] = RELAY_SPAN_INIT(""),
        [RELAY_TIER_STANDARD] = RELAY_SPAN_INIT("ON_DEMAND"),
        [RELAY_TIER_FLEX] = RELAY_SPAN_INIT("ON_DEMAND_FLEX"),
        [RELAY_TIER_PRIORITY] = RELAY_SPAN_INIT("ON_DEMAND_PRIORITY"),
        [RELAY_TIER_RESERVED] = RELAY_SPAN_INIT("PROVISIONED_THROUGHPUT"),
        [RELAY_TIER_BATCH] = RELAY_SPAN_INIT(""),
    };

    RELAY_PUT(out, "{\"promptTokenCount\":");
    relay_buf_put_u64(out, usage->input_tokens);
    RELAY_PUT(out, ",\"cachedContentTokenCount\":");
    relay_buf_put_u64(out, usage->cached_tokens);
    RELAY_PUT(out, ",\"candidatesTokenCount\":");
    relay_buf_put_u64(out, usage->output_tokens >= usage->reasoning_tokens
                               ? usage->output_tokens - usage->reasoning_tokens
                               : 0);
    RELAY_PUT(out, ",\"thoughtsTokenCount\":");
    relay_buf_put_u64(out, usage->reasoning_tokens);
    RELAY_PUT(out, ",\"totalTokenCount\":");
    relay_buf_put_u64(out, usage->input_tokens + usage->output_tokens);
    relay_codec_put_text(out, RELAY_SPAN(",\"trafficType\":"), words[usage->tier]);
    if (usage->tier == RELAY_TIER_BATCH) {
        relay_codec_drop_name(translation, RELAY_SPAN("usageMetadata.trafficType"));
    }
    RELAY_PUT(out, "}");
}

void relay_gemini_put_image(relay_buf_t *out, const relay_media_t *media)
{
    bool url = media->source != RELAY_SOURCE_BASE64;

    relay_buf_put(out, url ? RELAY_SPAN("\"fileData\":{\"mimeType\":")
                           : RELAY_SPAN("\"inlineData\":{\"mimeType\":"));
    relay_codec_put_string(out, media->media_type.len != 0 ? media->media_type
                                                           : RELAY_SPAN("image/png"));
    relay_buf_put(out, url ? RELAY_SPAN(",\"fileUri\":") : RELAY_SPAN(",\"data\":"));
    relay_codec_put_string(out, media->data);
    RELAY_PUT(out, "}");
}

void relay_gemini_put_grounding(relay_buf_t *out, const relay_citation_t *citation)
{
    RELAY_PUT(out, "{\"web\":{\"uri\":");
    relay_codec_put_string(out, citation->url);
    relay_codec_put_text(out, RELAY_SPAN(",\"title\":"), citation->title);
    RELAY_PUT(out, "}}");
}

/* ---- reading: sources ---------------------------------------------------- */

/* The text that the sources are for: the last of the candidate. */
static relay_block_t *last_text(relay_block_t *block)
{
    relay_block_t *last = NULL;

    for (; block != NULL; block = block->next) {
        last = block->kind == RELAY_BLOCK_TEXT && block->text.len != 0 ? block : last;
    }
    return last;
}

static bool add_citation(relay_gemini_reading_t *reading, relay_json_node_t node,
                         relay_citation_t **list)
{
    enum { URI, TITLE, KEYS };
    static const relay_span_t keys[KEYS] = {RELAY_SPAN_INIT("uri"), RELAY_SPAN_INIT("title")};
    relay_json_node_t nodes[KEYS];
    relay_span_t url;

    relay_gemini_pick(reading->tree, node, keys, KEYS, nodes);
    url = relay_json_content(reading->tree, nodes[URI]);
    while (*list != NULL && !relay_span_eq((*list)->url, url)) {
        list = &(*list)->next;
    }
    if (url.len == 0 || *list != NULL) {
        return true;
    }
    *list = relay_codec_new(reading->translation, sizeof(**list));
    if (*list != NULL) {
        (*list)->raw = relay_json_value(reading->tree, node).text;
        (*list)->url = url;
        (*list)->title = relay_json_content(reading->tree, nodes[TITLE]);
    }
    return *list != NULL;
}

/* groundingMetadata: what was searched; citationMetadata: what is recited. */
static bool read_sources(relay_gemini_reading_t *reading, relay_json_node_t grounding,
                         relay_json_node_t citations, relay_block_t *text)
{
    enum { CHUNKS, SOURCES, OLD_SOURCES, KEYS };
    static const relay_span_t keys[KEYS] = {RELAY_SPAN_INIT("groundingChunks"),
                                            RELAY_SPAN_INIT("citations"),
                                            RELAY_SPAN_INIT("citationSources")};
    static const relay_span_t web[] = {RELAY_SPAN_INIT("web")};
    relay_json_node_t nodes[KEYS], cited[KEYS], each, source;
    const relay_json_tree_t *tree = reading->tree;

    relay_gemini_pick(tree, grounding, keys, KEYS, nodes);
    relay_gemini_pick(tree, citations, keys, KEYS, cited);
    source = cited[SOURCES] != RELAY_JSON_NOWHERE ? cited[SOURCES] : cited[OLD_SOURCES];
    for (each = relay_json_first(tree, source); each != RELAY_JSON_NOWHERE;
         each = relay_json_next(tree, source, each)) {
        if (!add_citation(reading, each, &text->citations)) {
            return false;
        }
    }
    for (each = relay_json_first(tree, nodes[CHUNKS]); each != RELAY_JSON_NOWHERE;
         each = relay_json_next(tree, nodes[CHUNKS], each)) {
        relay_gemini_pick(tree, each, web, 1, &source);
        if (!add_citation(reading, source, &text->citations)) {
            return false;
        }
    }
    return true;
}

/* ---- reading ------------------------------------------------------------- */

enum {
    C_CONTENT,
    C_INDEX,
    C_FINISH,
    C_MESSAGE,
    C_GROUNDING,
    C_CITATIONS,
    C_LOGPROBS,
    CANDIDATE_KEYS
};

static const relay_span_t candidate_keys[CANDIDATE_KEYS] = {
    RELAY_SPAN_INIT("content"),           RELAY_SPAN_INIT("index"),
    RELAY_SPAN_INIT("finishReason"),      RELAY_SPAN_INIT("finishMessage"),
    RELAY_SPAN_INIT("groundingMetadata"), RELAY_SPAN_INIT("citationMetadata"),
    RELAY_SPAN_INIT("logprobsResult"),
};

/* A call ends with the same word as a text. */
static relay_stop_t stop_of(const relay_choice_t *choice, relay_span_t word)
{
    relay_stop_t reason = relay_gemini_stop(word);

    if (reason != RELAY_STOP_END && reason != RELAY_STOP_UNSET) {
        return reason;
    }
    for (const relay_block_t *block = choice->blocks; block != NULL; block = block->next) {
        if (block->kind == RELAY_BLOCK_TOOL_CALL) {
            return RELAY_STOP_TOOLS;
        }
    }
    return RELAY_STOP_END;
}

/* Of all that the candidate says: they are told with its first text. */
static bool read_logprobs(relay_gemini_reading_t *reading, relay_json_value_t result,
                          relay_block_t *block)
{
    relay_buf_t measure = relay_buf(NULL, 0), out;
    uint8_t *bytes;

    while (block != NULL && block->kind != RELAY_BLOCK_TEXT) {
        block = block->next;
    }
    if (block == NULL || !relay_gemini_put_likely(&measure, result)) {
        return true;
    }
    bytes = relay_codec_new(reading->translation, measure.len);
    if (bytes == NULL) {
        return false;
    }
    out = relay_buf(bytes, measure.len);
    relay_gemini_put_likely(&out, result);
    block->logprobs = (relay_json_value_t){RELAY_JSON_ARRAY, relay_buf_span(&out)};
    return true;
}

static bool read_content(relay_gemini_reading_t *reading, const relay_json_node_t *nodes,
                         relay_choice_t *choice)
{
    static const relay_span_t keys[] = {RELAY_SPAN_INIT("parts")};
    relay_block_t **tail = &choice->blocks, *text;
    relay_json_node_t parts;

    relay_gemini_pick(reading->tree, nodes[C_CONTENT], keys, 1, &parts);
    if (!relay_gemini_read_parts(reading, parts, NULL, &tail)) {
        return false;
    }
    text = last_text(choice->blocks);
    return text == NULL ||
           (read_sources(reading, nodes[C_GROUNDING], nodes[C_CITATIONS], text) &&
            read_logprobs(reading, relay_json_value(reading->tree, nodes[C_LOGPROBS]),
                          choice->blocks));
}

/* Everything but the parts, as it is. */
static bool read_own_rest(relay_gemini_reading_t *reading, relay_json_node_t node, bool parts,
                          relay_choice_t *choice)
{
    return relay_gemini_extras(reading, node, candidate_keys, parts ? C_INDEX : 0, NULL, 0,
                               relay_span(NULL, 0), &choice->extras);
}

static relay_choice_t *read_candidate(relay_gemini_reading_t *reading, relay_json_node_t node)
{
    relay_choice_t *choice = relay_codec_new(reading->translation, sizeof(*choice));
    relay_json_node_t nodes[CANDIDATE_KEYS];
    uint64_t index = 0;

    if (choice == NULL) {
        return NULL;
    }
    relay_gemini_pick(reading->tree, node, candidate_keys, CANDIDATE_KEYS, nodes);
    relay_json_uint(relay_json_value(reading->tree, nodes[C_INDEX]), &index);
    choice->index = (unsigned)(index < 128 ? index : 127);
    if (!read_content(reading, nodes, choice) ||
        (reading->own && !read_own_rest(reading, node, choice->blocks != NULL, choice))) {
        return NULL;
    }
    choice->ending.reason = stop_of(choice, relay_json_content(reading->tree, nodes[C_FINISH]));
    if (choice->ending.reason == RELAY_STOP_REFUSAL) {
        choice->ending.explanation = relay_json_content(reading->tree, nodes[C_MESSAGE]);
    }
    return choice;
}

enum { A_CANDIDATES, A_FEEDBACK, A_USAGE, A_MODEL, A_ID, ANSWER_KEYS };

static const relay_span_t answer_keys[ANSWER_KEYS] = {
    RELAY_SPAN_INIT("candidates"),    RELAY_SPAN_INIT("promptFeedback"),
    RELAY_SPAN_INIT("usageMetadata"), RELAY_SPAN_INIT("modelVersion"),
    RELAY_SPAN_INIT("responseId"),
};

/* A prompt that was refused has no candidates: the refusal is the answer. */
static bool read_feedback(relay_gemini_reading_t *reading, relay_json_node_t feedback,
                          relay_response_t *response)
{
    enum { REASON, MESSAGE, KEYS };
    static const relay_span_t keys[KEYS] = {RELAY_SPAN_INIT("blockReason"),
                                            RELAY_SPAN_INIT("blockReasonMessage")};
    relay_json_node_t nodes[KEYS];

    relay_gemini_pick(reading->tree, feedback, keys, KEYS, nodes);
    if (relay_json_content(reading->tree, nodes[REASON]).len == 0) {
        return relay_codec_invalid(reading->translation,
                                   RELAY_SPAN("The provider's answer has no candidates."));
    }
    if (reading->own) {
        return true;
    }
    response->choices = relay_codec_new(reading->translation, sizeof(*response->choices));
    if (response->choices == NULL) {
        return false;
    }
    response->choices->ending =
        (relay_ending_t){.reason = RELAY_STOP_REFUSAL,
                         .explanation = relay_json_content(reading->tree, nodes[MESSAGE])};
    return true;
}

static void read_head(relay_gemini_reading_t *reading, const relay_json_node_t *nodes,
                      relay_response_t *response)
{
    response->origin = &relay_codec_gemini;
    response->id = relay_json_content(reading->tree, nodes[A_ID]);
    response->model = relay_json_content(reading->tree, nodes[A_MODEL]);
    relay_gemini_usage(relay_json_value(reading->tree, nodes[A_USAGE]), &response->usage);
    if (reading->own) {
        relay_gemini_extras(reading, 0, answer_keys, A_FEEDBACK, NULL, 0, relay_span(NULL, 0),
                            &response->extras);
    }
}

relay_error_code_t relay_gemini_read_response(relay_translation_t *translation,
                                              const relay_json_tree_t *tree,
                                              relay_response_t *response)
{
    relay_gemini_reading_t reading = {.translation = translation, .tree = tree, .answer = true};
    relay_json_node_t nodes[ANSWER_KEYS], node;
    relay_choice_t **tail = &response->choices;

    reading.own = relay_codec_own(translation->caller, translation->upstream);
    relay_gemini_pick(tree, 0, answer_keys, ANSWER_KEYS, nodes);
    read_head(&reading, nodes, response);
    for (node = relay_json_first(tree, nodes[A_CANDIDATES]); node != RELAY_JSON_NOWHERE;
         node = relay_json_next(tree, nodes[A_CANDIDATES], node)) {
        *tail = read_candidate(&reading, node);
        if (*tail == NULL) {
            return translation->error.code;
        }
        tail = &(*tail)->next;
    }
    if (response->choices == NULL) {
        read_feedback(&reading, nodes[A_FEEDBACK], response);
    }
    return translation->error.code;
}

/* ---- writing ------------------------------------------------------------- */

typedef struct {
    relay_translation_t *translation;
    const relay_response_t *response;
    relay_buf_t *out;
    bool own;
    bool any; /* a part is out */
    size_t calls;
    const relay_block_t *seal;   /* the signature of a text, if it goes with that; */
    const relay_block_t *sealed; /* the text */
} writing_t;

static void separate(writing_t *writing)
{
    relay_buf_put(writing->out, writing->any ? RELAY_SPAN(",") : RELAY_SPAN(""));
    writing->any = true;
}

static void put_thought(writing_t *writing, const relay_block_t *block)
{
    bool redacted = block->kind == RELAY_BLOCK_REDACTED;
    bool ours = relay_span_eq(block->signer, RELAY_GEMINI_SIGNER);
    relay_span_t seal = redacted ? block->text : block->signature;
    relay_buf_t *out = writing->out;

    separate(writing);
    RELAY_PUT(out, "{\"text\":");
    relay_codec_put_string(out, redacted ? relay_span(NULL, 0) : block->text);
    relay_buf_put(out, redacted && ours ? RELAY_SPAN("") : RELAY_SPAN(",\"thought\":true"));
    if (seal.len != 0 && ours) {
        relay_codec_put_text(out, RELAY_SPAN(",\"thoughtSignature\":"), seal);
    } else if (seal.len != 0) {
        RELAY_PUT(out, ",\"thoughtSignature\":");
        relay_gemini_put_sealed(out, block->kind, block->signer, seal);
    }
    RELAY_PUT(out, "}");
}

/* The model's words, also where they are no JSON object as this format has it. */
static void put_args(writing_t *writing, const relay_call_t *call)
{
    if (call->free_text) {
        relay_codec_put_wrapped(writing->out, call->arguments.text);
    } else {
        relay_codec_put_input(writing->translation, writing->out, &call->arguments);
    }
}

static void put_call(writing_t *writing, const relay_call_t *call)
{
    const relay_rename_t *renamed = relay_codec_renamed(writing->translation, call->name);
    relay_span_t id = call->id, signature;
    relay_buf_t *out = writing->out;

    relay_gemini_split_id(&id, &signature);
    separate(writing);
    RELAY_PUT(out, "{\"functionCall\":{\"id\":\"");
    relay_buf_put(out, id.len != 0 ? id : RELAY_SPAN("call_"));
    if (id.len == 0) {
        relay_buf_put(out, writing->translation->request_id);
        RELAY_PUT(out, "_");
        relay_buf_put_u64(out, writing->calls);
    }
    RELAY_PUT(out, "\",\"name\":");
    relay_codec_put_string(out, renamed != NULL ? renamed->original : call->name);
    RELAY_PUT(out, ",\"args\":");
    put_args(writing, call);
    RELAY_PUT(out, "}");
    if (signature.len != 0) {
        RELAY_PUT(out, ",\"thoughtSignature\":");
        relay_gemini_put_id_signature(out, signature);
    }
    RELAY_PUT(out, "}");
    writing->calls++;
}

/* The signature of a text was read apart from it. It was on the last part of the turn:
 * so it goes on the last text of the candidate, if there is any. */
static void find_seal(writing_t *writing, const relay_choice_t *choice)
{
    const relay_block_t *block = choice->blocks;

    while (block != NULL && !(block->kind == RELAY_BLOCK_REDACTED &&
                              relay_span_eq(block->signer, RELAY_GEMINI_SIGNER))) {
        block = block->next;
    }
    writing->sealed = block != NULL ? last_text(choice->blocks) : NULL;
    writing->seal = writing->sealed != NULL ? block : NULL;
}

static void put_text(writing_t *writing, const relay_block_t *block)
{
    if (block->text.len == 0) {
        return;
    }
    separate(writing);
    RELAY_PUT(writing->out, "{\"text\":");
    relay_codec_put_string(writing->out, block->text);
    if (block == writing->sealed) {
        relay_codec_put_text(writing->out, RELAY_SPAN(",\"thoughtSignature\":"),
                             writing->seal->text);
    }
    RELAY_PUT(writing->out, "}");
}

static void put_block(writing_t *writing, const relay_block_t *block)
{
    if (writing->own) {
        separate(writing);
        relay_buf_put(writing->out, block->raw);
        return;
    }
    switch (block->kind) {
    case RELAY_BLOCK_TEXT:
    case RELAY_BLOCK_REFUSAL:
        put_text(writing, block);
        break;
    case RELAY_BLOCK_TOOL_CALL:
        put_call(writing, &block->call);
        break;
    case RELAY_BLOCK_THINKING:
        put_thought(writing, block);
        break;
    case RELAY_BLOCK_REDACTED:
        if (block != writing->seal) {
            put_thought(writing, block);
        }
        break;
    case RELAY_BLOCK_IMAGE:
        separate(writing);
        RELAY_PUT(writing->out, "{");
        relay_gemini_put_image(writing->out, &block->media);
        RELAY_PUT(writing->out, "}");
        break;
    default:
        break; /* no client of this format would know what to do with it */
    }
}

static void put_grounding(writing_t *writing, const relay_choice_t *choice)
{
    relay_buf_t *out = writing->out;
    bool any = false;

    for (const relay_block_t *block = choice->blocks; block != NULL; block = block->next) {
        for (const relay_citation_t *each = block->citations; each != NULL; each = each->next) {
            if (each->url.len != 0) {
                relay_buf_put(out, any ? RELAY_SPAN(",")
                                       : RELAY_SPAN(",\"groundingMetadata\":{"
                                                    "\"groundingChunks\":["));
                relay_gemini_put_grounding(out, each);
                any = true;
            }
        }
    }
    relay_buf_put(out, any ? RELAY_SPAN("]}") : RELAY_SPAN(""));
}

static void put_logprobs(writing_t *writing, const relay_choice_t *choice)
{
    const relay_block_t *block = choice->blocks;

    while (block != NULL && block->logprobs.type != RELAY_JSON_ARRAY) {
        block = block->next;
    }
    if (block != NULL) {
        relay_gemini_put_logprobs(writing->out, block);
    }
}

static relay_stop_t reason_of(const relay_choice_t *choice)
{
    for (const relay_block_t *block = choice->blocks; block != NULL; block = block->next) {
        if (block->kind == RELAY_BLOCK_REFUSAL) {
            return RELAY_STOP_REFUSAL;
        }
    }
    return choice->ending.reason;
}

static void put_parts(writing_t *writing, const relay_choice_t *choice)
{
    writing->any = false;
    find_seal(writing, choice);
    RELAY_PUT(writing->out, "\"content\":{\"role\":\"model\",\"parts\":[");
    for (const relay_block_t *block = choice->blocks; block != NULL; block = block->next) {
        put_block(writing, block);
    }
    RELAY_PUT(writing->out, "]}");
}

static void put_candidate(writing_t *writing, const relay_choice_t *choice)
{
    relay_buf_t *out = writing->out;

    RELAY_PUT(out, "{");
    put_parts(writing, choice);
    RELAY_PUT(out, ",\"finishReason\":");
    relay_codec_put_string(out, relay_gemini_stop_word(reason_of(choice)));
    relay_codec_put_text(out, RELAY_SPAN(",\"finishMessage\":"), choice->ending.explanation);
    put_grounding(writing, choice);
    put_logprobs(writing, choice);
    RELAY_PUT(out, ",\"index\":");
    relay_buf_put_u64(out, choice->index);
    RELAY_PUT(out, "}");
}

/* Members that were read as they are; the first has no comma in front if nothing
 * else is there. */
static void put_own_members(relay_buf_t *out, const relay_member_t *extras, bool any)
{
    if (!any && extras != NULL) {
        relay_codec_put_string(out, extras->name);
        RELAY_PUT(out, ":");
        relay_buf_put(out, extras->value.text);
        extras = extras->next;
    }
    relay_codec_put_extras(out, extras);
    RELAY_PUT(out, "}");
}

static void put_own_candidate(writing_t *writing, const relay_choice_t *choice)
{
    RELAY_PUT(writing->out, "{");
    if (choice->blocks != NULL) {
        put_parts(writing, choice);
    }
    put_own_members(writing->out, choice->extras, choice->blocks != NULL);
}

static void put_candidates(writing_t *writing)
{
    const relay_choice_t *choice = writing->response->choices;

    RELAY_PUT(writing->out, "\"candidates\":[");
    for (; choice != NULL; choice = choice->next) {
        if (writing->own) {
            put_own_candidate(writing, choice);
        } else {
            put_candidate(writing, choice);
        }
        relay_buf_put(writing->out, choice->next != NULL ? RELAY_SPAN(",") : RELAY_SPAN(""));
    }
    RELAY_PUT(writing->out, "]");
}

relay_error_code_t relay_gemini_write_response(relay_translation_t *translation,
                                               const relay_response_t *response, relay_buf_t *out)
{
    writing_t writing = {.translation = translation, .response = response, .out = out};

    writing.own = relay_codec_own(response->origin, &relay_codec_gemini);
    RELAY_PUT(out, "{");
    if (response->choices != NULL) {
        put_candidates(&writing);
    }
    if (writing.own) {
        put_own_members(out, response->extras, response->choices != NULL);
        return translation->error.code;
    }
    RELAY_PUT(out, ",\"usageMetadata\":");
    relay_gemini_put_usage(translation, out, &response->usage);
    RELAY_PUT(out, ",\"modelVersion\":");
    relay_codec_put_string(out, response->model);
    RELAY_PUT(out, ",\"responseId\":\"");
    relay_codec_put_answer_id(out, translation, relay_span(NULL, 0), response->id);
    RELAY_PUT(out, "\"}");
    return translation->error.code;
}
