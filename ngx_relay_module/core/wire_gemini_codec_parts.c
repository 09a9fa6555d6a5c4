/*
 * Parts of Gemini contents into the canonical protocol, those of requests and of
 * answers. Called by the other parts of the codec.
 *
 * A signature stands on the part that it came with. On a thought it is the block's;
 * on a call it goes into its id as well; on a text it becomes a block of its own,
 * which other formats know how to carry: RELAY_BLOCK_REDACTED behind the text.
 */

#include "wire_gemini_codec.h"

/* Comparisons of calls with results that one request may cost. */
enum { PAIRING_STEPS_MAX = 1 << 22 };

enum {
    P_TEXT,
    P_THOUGHT,
    P_SIGNATURE,
    P_INLINE,
    P_FILE,
    P_CALL,
    P_RESPONSE,
    P_CODE,
    P_RAN,
    PART_KEYS
};

static const relay_span_t part_keys[PART_KEYS] = {
    RELAY_SPAN_INIT("text"),
    RELAY_SPAN_INIT("thought"),
    RELAY_SPAN_INIT("thoughtSignature"),
    RELAY_SPAN_INIT("inlineData"),
    RELAY_SPAN_INIT("fileData"),
    RELAY_SPAN_INIT("functionCall"),
    RELAY_SPAN_INIT("functionResponse"),
    RELAY_SPAN_INIT("executableCode"),
    RELAY_SPAN_INIT("codeExecutionResult"),
};

static bool required(relay_gemini_reading_t *reading, relay_json_node_t node,
                     const relay_place_t *outer, relay_span_t name, relay_span_t *text)
{
    relay_place_t place = {outer, name, RELAY_PLACE_NO_INDEX};

    *text = relay_json_content(reading->tree, node);
    if (relay_json_type(reading->tree, node) == RELAY_JSON_STRING || reading->answer ||
        reading->own) {
        return true;
    }
    return node == RELAY_JSON_NOWHERE
               ? relay_codec_missing(reading->translation, &place)
               : relay_codec_refuse(reading->translation, &place,
                                    RELAY_SPAN("this field must be a string"));
}

static relay_block_t *add(relay_gemini_reading_t *reading, const relay_place_t *place,
                          relay_json_node_t node, relay_block_kind_t kind, relay_block_t ***tail)
{
    relay_block_t *block = relay_codec_block(reading->translation, tail, kind);

    if (block != NULL) {
        block->place = place;
        block->raw = relay_json_value(reading->tree, node).text;
    }
    return block;
}

/* A block that stands for a part of another one. */
static relay_block_t *add_text(relay_gemini_reading_t *reading, const relay_place_t *place,
                               relay_block_kind_t kind, relay_span_t text, relay_block_t ***tail)
{
    relay_block_t *block = relay_codec_block(reading->translation, tail, kind);

    if (block != NULL) {
        block->place = place;
        block->text = text;
    }
    return block;
}

/* The place of a member of a part, kept; NULL in answers. */
static const relay_place_t *member(relay_gemini_reading_t *reading, const relay_place_t *outer,
                                   relay_json_node_t node)
{
    return reading->answer ? NULL
                           : relay_codec_member(reading->translation, outer,
                                                relay_gemini_spelt(reading->tree, node));
}

/* ---- text and thoughts --------------------------------------------------- */

static bool read_text(relay_gemini_reading_t *reading, relay_json_node_t node,
                      const relay_json_node_t *nodes, const relay_place_t *place,
                      relay_block_t ***tail)
{
    relay_span_t signature = relay_json_content(reading->tree, nodes[P_SIGNATURE]);
    relay_span_t text = relay_json_content(reading->tree, nodes[P_TEXT]);
    relay_block_t *block;

    if (text.len != 0 || reading->own || signature.len == 0) {
        block = add(reading, place, node, RELAY_BLOCK_TEXT, tail);
        if (block == NULL) {
            return false;
        }
        block->text = text;
    }
    if (signature.len == 0 || reading->own) {
        return true;
    }
    block = add_text(reading, place, RELAY_BLOCK_REDACTED, signature, tail);
    if (block == NULL) {
        return false;
    }
    block->signer = RELAY_GEMINI_SIGNER;
    block->thought_place = member(reading, place, nodes[P_SIGNATURE]);
    return reading->answer || block->thought_place != NULL;
}

static bool is_thought(const relay_gemini_reading_t *reading, const relay_json_node_t *nodes)
{
    return relay_json_type(reading->tree, nodes[P_THOUGHT]) == RELAY_JSON_TRUE &&
           nodes[P_CALL] == RELAY_JSON_NOWHERE;
}

/* A thought that a client has collected from a stream is in many parts: those up to a
 * signature are one. Returns the first part behind it. */
static relay_json_node_t thought_end(relay_gemini_reading_t *reading, relay_json_node_t parts,
                                     relay_json_node_t node, size_t *length,
                                     relay_span_t *signature)
{
    relay_json_node_t nodes[PART_KEYS];

    *length = 0;
    *signature = relay_span(NULL, 0);
    for (; node != RELAY_JSON_NOWHERE && signature->len == 0;
         node = relay_gemini_next(reading->tree, parts, node)) {
        relay_gemini_pick(reading->tree, node, part_keys, PART_KEYS, nodes);
        if (!is_thought(reading, nodes)) {
            return node;
        }
        *length += relay_json_content(reading->tree, nodes[P_TEXT]).len;
        *signature = relay_json_content(reading->tree, nodes[P_SIGNATURE]);
    }
    return node;
}

static bool gather_text(relay_gemini_reading_t *reading, relay_json_node_t parts,
                        relay_json_node_t node, relay_json_node_t end, size_t length,
                        relay_span_t *text)
{
    uint8_t *bytes = relay_codec_new(reading->translation, length + 1);
    relay_buf_t out = relay_buf(bytes, bytes != NULL ? length : 0);
    relay_json_node_t nodes[PART_KEYS];

    for (; node != end; node = relay_gemini_next(reading->tree, parts, node)) {
        relay_gemini_pick(reading->tree, node, part_keys, PART_KEYS, nodes);
        relay_buf_put(&out, relay_json_content(reading->tree, nodes[P_TEXT]));
    }
    *text = relay_buf_span(&out);
    return bytes != NULL;
}

/* The thought of the turn that has no signature yet, with more text. Its room doubles:
 * there may be as many pieces as a request has bytes for. */
static bool extend_thought(relay_gemini_reading_t *reading, relay_span_t more)
{
    relay_buf_t *kept = &reading->thought_text;
    relay_span_t text = reading->thought->text;

    if (text.len + more.len > kept->capacity) {
        size_t room = 2 * (text.len + more.len);
        uint8_t *bytes = relay_codec_new(reading->translation, room);
        if (bytes == NULL) {
            return false;
        }
        *kept = relay_buf(bytes, room);
        relay_buf_put(kept, text);
    }
    relay_buf_put(kept, more);
    reading->thought->text = relay_buf_span(kept);
    return true;
}

/* The block that holds the text: that of the turn's thought so far, or a new one. */
static relay_block_t *thought_block(relay_gemini_reading_t *reading, const relay_place_t *place,
                                    relay_span_t text, relay_block_t ***tail)
{
    if (reading->thought == NULL) {
        reading->thought_text = relay_buf(NULL, 0);
        return add_text(reading, place, RELAY_BLOCK_THINKING, text, tail);
    }
    return extend_thought(reading, text) ? reading->thought : NULL;
}

/* Text and signature as the provider had them that has signed it; place is that of the
 * word that tells it from an answer. */
static bool add_thought(relay_gemini_reading_t *reading, const relay_place_t *place,
                        relay_span_t text, relay_span_t signature, relay_block_t ***tail)
{
    relay_block_kind_t kind = RELAY_BLOCK_THINKING;
    relay_span_t signer = RELAY_GEMINI_SIGNER, sealed = signature;
    relay_block_t *block;

    relay_gemini_unseal(reading->translation, relay_codec_plain(reading->translation, signature),
                        &kind, &signer, &sealed);
    if (kind == RELAY_BLOCK_THINKING || text.len != 0) {
        block = thought_block(reading, place, text, tail);
        if (block == NULL) {
            return false;
        }
        block->thought_place = place;
        reading->thought = reading->turn != NULL && signature.len == 0 ? block : NULL;
        if (kind == RELAY_BLOCK_THINKING && signature.len != 0) {
            block->signature = sealed;
            block->signer = signer;
        }
    }
    if (kind == RELAY_BLOCK_REDACTED) {
        reading->thought = NULL;
        block = add_text(reading, place, RELAY_BLOCK_REDACTED, sealed, tail);
        if (block == NULL) {
            return false;
        }
        block->thought_place = place;
        block->signer = signer;
    }
    return true;
}

/* *node becomes the part behind the thought. */
static bool read_thought(relay_gemini_reading_t *reading, relay_json_node_t parts,
                         relay_json_node_t *node, const relay_json_node_t *nodes,
                         const relay_place_t *outer, relay_block_t ***tail)
{
    const relay_place_t *place = member(reading, outer, nodes[P_THOUGHT]);
    relay_json_node_t first = *node;
    relay_span_t text, signature;
    size_t length;

    *node = thought_end(reading, parts, first, &length, &signature);
    return (reading->answer || place != NULL) &&
           gather_text(reading, parts, first, *node, length, &text) &&
           add_thought(reading, place, text, signature, tail);
}

/* ---- what only this format knows of its parts ----------------------------- */

/* Members of an object inside a part that nobody maps. */
static bool leave_inner(relay_gemini_reading_t *reading, relay_json_node_t node,
                        const relay_span_t *keys, size_t nkeys, const relay_place_t *place)
{
    relay_member_t *extras = NULL;

    return reading->own || reading->answer ||
           (relay_gemini_extras(reading, node, keys, nkeys, NULL, 0, relay_span(NULL, 0),
                                &extras) &&
            relay_codec_leave(reading->translation, extras, place));
}

/* ---- media --------------------------------------------------------------- */

relay_block_kind_t relay_gemini_media_kind(relay_span_t media_type)
{
    if (relay_span_starts(media_type, RELAY_SPAN("image/"))) {
        return RELAY_BLOCK_IMAGE;
    }
    if (relay_span_starts(media_type, RELAY_SPAN("audio/"))) {
        return RELAY_BLOCK_AUDIO;
    }
    return relay_span_starts(media_type, RELAY_SPAN("video/")) ? RELAY_BLOCK_VIDEO
                                                               : RELAY_BLOCK_DOCUMENT;
}

static bool check_image(relay_gemini_reading_t *reading, const relay_place_t *place,
                        const relay_media_t *media)
{
    relay_place_t data = {place, RELAY_SPAN("data"), RELAY_PLACE_NO_INDEX};

    return reading->answer || reading->own ||
           relay_gemini_media_kind(media->media_type) != RELAY_BLOCK_IMAGE ||
           relay_codec_looks_like(media->media_type, media->data) ||
           relay_codec_refuse(reading->translation, &data,
                              RELAY_SPAN("the data is not an image of the stated mimeType"));
}

/* Files that the provider keeps have addresses of their own. */
static relay_source_t source_of(relay_span_t uri)
{
    bool web = relay_span_starts(uri, RELAY_SPAN("https://")) ||
               relay_span_starts(uri, RELAY_SPAN("http://"));

    return web && !relay_span_starts(uri, RELAY_SPAN("https://generativelanguage.googleapis.com/"))
               ? RELAY_SOURCE_URL
               : RELAY_SOURCE_FILE;
}

static bool read_media(relay_gemini_reading_t *reading, relay_json_node_t node,
                       const relay_json_node_t *nodes, const relay_place_t *outer,
                       relay_block_t ***tail)
{
    enum { TYPE, DATA, URI, NAME, KEYS };
    static const relay_span_t keys[KEYS] = {RELAY_SPAN_INIT("mimeType"), RELAY_SPAN_INIT("data"),
                                            RELAY_SPAN_INIT("fileUri"),
                                            RELAY_SPAN_INIT("displayName")};
    bool file = nodes[P_FILE] != RELAY_JSON_NOWHERE;
    const relay_place_t *place = member(reading, outer, nodes[file ? P_FILE : P_INLINE]);
    relay_json_node_t inner[KEYS];
    relay_media_t media = {0};
    relay_block_t *block;

    relay_gemini_pick(reading->tree, nodes[file ? P_FILE : P_INLINE], keys, KEYS, inner);
    media.media_type = relay_json_content(reading->tree, inner[TYPE]);
    if (!reading->answer) {
        media.media_type = relay_codec_plain(reading->translation, media.media_type);
    }
    media.name = relay_json_content(reading->tree, inner[NAME]);
    if ((place == NULL && !reading->answer) ||
        !required(reading, inner[file ? URI : DATA], place, keys[file ? URI : DATA], &media.data) ||
        (!file && !check_image(reading, place, &media))) {
        return false;
    }
    media.source = file ? source_of(media.data) : RELAY_SOURCE_BASE64;
    if (!leave_inner(reading, nodes[file ? P_FILE : P_INLINE], keys,
                     relay_gemini_media_kind(media.media_type) == RELAY_BLOCK_DOCUMENT ? KEYS
                                                                                       : NAME,
                     place) ||
        (inner[NAME] != RELAY_JSON_NOWHERE &&
         !relay_codec_say(reading->translation, RELAY_FIELD_FILENAME,
                          relay_gemini_spelt(reading->tree, inner[NAME])))) {
        return false;
    }
    block = add(reading, place, node, relay_gemini_media_kind(media.media_type), tail);
    if (block != NULL) {
        block->media = media;
    }
    return block != NULL;
}

/* ---- calls --------------------------------------------------------------- */

/* The id of a call that has none: the same for the same request, or answer. */
static relay_span_t make_id(relay_gemini_reading_t *reading)
{
    relay_span_t request_id = reading->translation->request_id;
    uint8_t *bytes = relay_codec_new(reading->translation, request_id.len + 32);
    relay_buf_t out = relay_buf(bytes, bytes != NULL ? request_id.len + 32 : 0);

    RELAY_PUT(&out, "call_");
    if (reading->answer) {
        relay_buf_put(&out, request_id);
        RELAY_PUT(&out, "_");
    }
    relay_buf_put_u64(&out, reading->calls);
    return relay_buf_span(&out);
}

static bool sign_id(relay_gemini_reading_t *reading, relay_call_t *call, relay_span_t signature)
{
    size_t size = relay_gemini_signed_id_max(call->id, signature);
    uint8_t *bytes = relay_codec_new(reading->translation, size);
    relay_buf_t out = relay_buf(bytes, bytes != NULL ? size : 0);

    if (bytes != NULL && relay_gemini_put_signed_id(
                             &out, call->id, relay_codec_plain(reading->translation, signature))) {
        call->id = relay_buf_span(&out);
    }
    return bytes != NULL;
}

static bool read_call_signature(relay_gemini_reading_t *reading, relay_block_t *block,
                                relay_json_node_t node, const relay_place_t *outer)
{
    relay_span_t signature = relay_json_content(reading->tree, node);
    relay_place_t place = {outer, relay_gemini_spelt(reading->tree, node), RELAY_PLACE_NO_INDEX};

    if (signature.len == 0) {
        return true;
    }
    block->signature = signature;
    block->signer = RELAY_GEMINI_SIGNER;
    if (reading->answer) {
        return sign_id(reading, &block->call, signature);
    }
    if (!reading->own) {
        relay_codec_drop_at(reading->translation, &place);
    }
    return true;
}

static bool read_call(relay_gemini_reading_t *reading, relay_json_node_t node,
                      const relay_json_node_t *nodes, const relay_place_t *outer,
                      relay_block_t ***tail)
{
    enum { ID, NAME, ARGS, KEYS };
    static const relay_span_t keys[KEYS] = {RELAY_SPAN_INIT("id"), RELAY_SPAN_INIT("name"),
                                            RELAY_SPAN_INIT("args")};
    const relay_place_t *place = member(reading, outer, nodes[P_CALL]);
    relay_block_t *block = add(reading, place, node, RELAY_BLOCK_TOOL_CALL, tail);
    relay_json_node_t inner[KEYS];

    if (block == NULL || (place == NULL && !reading->answer)) {
        return false;
    }
    relay_gemini_pick(reading->tree, nodes[P_CALL], keys, KEYS, inner);
    block->call.id = relay_json_content(reading->tree, inner[ID]);
    block->call.arguments.text = relay_json_type(reading->tree, inner[ARGS]) == RELAY_JSON_OBJECT
                                     ? relay_json_value(reading->tree, inner[ARGS]).text
                                     : RELAY_SPAN("{}");
    if (block->call.id.len == 0) {
        block->call.id = make_id(reading);
    }
    reading->calls++;
    return leave_inner(reading, nodes[P_CALL], keys, KEYS, place) &&
           required(reading, inner[NAME], place, keys[NAME], &block->call.name) &&
           (nodes[P_SIGNATURE] == RELAY_JSON_NOWHERE ||
            read_call_signature(reading, block, nodes[P_SIGNATURE], outer));
}

/* ---- results ------------------------------------------------------------- */

/* The call that a result belongs to, of those without one: by its id, else the first
 * of its name. */
static relay_block_t *find_call(relay_gemini_reading_t *reading, relay_span_t id, relay_span_t name)
{
    relay_block_t *found = NULL;

    for (relay_message_t *message = reading->messages; message != NULL; message = message->next) {
        for (relay_block_t *block = message->blocks; block != NULL; block = block->next) {
            if (block->kind != RELAY_BLOCK_TOOL_CALL || block->call.paired) {
                reading->steps++;
                continue;
            }
            if (id.len != 0 && relay_span_eq(block->call.id, id)) {
                return block;
            }
            if (found == NULL && relay_span_eq(block->call.name, name)) {
                found = block;
            }
        }
    }
    return found;
}

/* Messages in front whose calls all have their results need no second look. */
static void skip_settled(relay_gemini_reading_t *reading)
{
    while (reading->messages != NULL && reading->messages->next != NULL) {
        const relay_block_t *block = reading->messages->blocks;
        while (block != NULL && (block->kind != RELAY_BLOCK_TOOL_CALL || block->call.paired)) {
            block = block->next;
        }
        if (block != NULL) {
            return;
        }
        reading->messages = reading->messages->next;
    }
}

static bool pair(relay_gemini_reading_t *reading, relay_call_t *result)
{
    relay_block_t *call;

    if (reading->own || reading->answer) {
        return true;
    }
    skip_settled(reading);
    call = find_call(reading, result->id, result->name);
    if (reading->steps > PAIRING_STEPS_MAX) {
        return relay_codec_refuse_field(reading->translation, RELAY_FIELD_MESSAGES,
                                        RELAY_SPAN("too many function calls"));
    }
    if (call != NULL) {
        call->call.paired = true;
        result->id = call->call.id;
    } else if (result->id.len == 0) {
        result->id = result->name;
    }
    return true;
}

/* A value as text: of a string what it says, of all else its JSON. */
static bool value_text(relay_gemini_reading_t *reading, relay_json_node_t node, relay_span_t *text)
{
    relay_arguments_t arguments = {.text = relay_json_value(reading->tree, node).text};
    relay_buf_t measure = relay_buf(NULL, 0), out;
    uint8_t *bytes;

    *text = relay_json_content(reading->tree, node);
    if (relay_json_type(reading->tree, node) == RELAY_JSON_STRING) {
        return true;
    }
    relay_codec_put_quoted(&measure, &arguments);
    bytes = relay_codec_new(reading->translation, measure.len);
    if (bytes == NULL) {
        return false;
    }
    out = relay_buf(bytes, measure.len);
    relay_codec_put_quoted(&out, &arguments);
    *text = relay_span(bytes + 1, measure.len - 2);
    return true;
}

/* {"output":…} and {"error":…} are what the format suggests; others are what they are. */
static bool read_response(relay_gemini_reading_t *reading, relay_json_node_t response,
                          relay_block_t *result, relay_block_t ***tail)
{
    enum { OUTPUT, RESULT, ERROR, KEYS };
    static const relay_span_t keys[KEYS] = {RELAY_SPAN_INIT("output"), RELAY_SPAN_INIT("result"),
                                            RELAY_SPAN_INIT("error")};
    relay_json_node_t first = relay_json_type(reading->tree, response) == RELAY_JSON_OBJECT
                                  ? relay_json_first(reading->tree, response)
                                  : RELAY_JSON_NOWHERE;
    relay_span_t text;

    if (response == RELAY_JSON_NOWHERE || first == RELAY_JSON_NOWHERE) {
        return true;
    }
    if (relay_json_next(reading->tree, response, first) == RELAY_JSON_NOWHERE) {
        size_t key = relay_json_key(reading->tree, first, keys, KEYS);
        result->call.failed = key == ERROR;
        response = key < KEYS ? first + 1 : response;
    }
    return value_text(reading, response, &text) &&
           (text.len == 0 ||
            add_text(reading, result->place, RELAY_BLOCK_TEXT, text, tail) != NULL);
}

static bool read_result(relay_gemini_reading_t *reading, relay_json_node_t node,
                        const relay_json_node_t *nodes, const relay_place_t *outer,
                        relay_block_t ***tail)
{
    enum { ID, NAME, RESPONSE, PARTS, KEYS };
    static const relay_span_t keys[KEYS] = {RELAY_SPAN_INIT("id"), RELAY_SPAN_INIT("name"),
                                            RELAY_SPAN_INIT("response"), RELAY_SPAN_INIT("parts")};
    const relay_place_t *place = member(reading, outer, nodes[P_RESPONSE]);
    relay_block_t *block = add(reading, place, node, RELAY_BLOCK_TOOL_RESULT, tail), **inner_tail;
    relay_json_node_t inner[KEYS];

    if (block == NULL || (place == NULL && !reading->answer)) {
        return false;
    }
    relay_gemini_pick(reading->tree, nodes[P_RESPONSE], keys, KEYS, inner);
    inner_tail = &block->content;
    block->call.id = relay_json_content(reading->tree, inner[ID]);
    return required(reading, inner[NAME], place, keys[NAME], &block->call.name) &&
           pair(reading, &block->call) &&
           leave_inner(reading, nodes[P_RESPONSE], keys, KEYS, place) &&
           read_response(reading, inner[RESPONSE], block, &inner_tail) &&
           relay_gemini_read_parts(reading, inner[PARTS], place, &inner_tail);
}

/* ---- what only this format knows ----------------------------------------- */

/* What the provider ran says the same elsewhere as text. */
static bool read_code(relay_gemini_reading_t *reading, const relay_json_node_t *nodes,
                      relay_block_t *block)
{
    static const relay_span_t keys[] = {RELAY_SPAN_INIT("code"), RELAY_SPAN_INIT("output")};
    bool code = nodes[P_CODE] != RELAY_JSON_NOWHERE;
    relay_block_t **tail = &block->content;
    relay_json_node_t inner[2];
    relay_span_t text;
    relay_buf_t out;
    uint8_t *bytes;

    relay_gemini_pick(reading->tree, nodes[code ? P_CODE : P_RAN], keys, 2, inner);
    text = relay_json_content(reading->tree, inner[code ? 0 : 1]);
    bytes = relay_codec_new(reading->translation, text.len + 16);
    if (bytes == NULL) {
        return false;
    }
    out = relay_buf(bytes, text.len + 16);
    RELAY_PUT(&out, "```\\n");
    relay_buf_put(&out, text);
    RELAY_PUT(&out, "\\n```");
    block->type = part_keys[code ? P_CODE : P_RAN];
    return text.len == 0 ||
           add_text(reading, block->place, RELAY_BLOCK_TEXT, relay_buf_span(&out), &tail) != NULL;
}

static bool read_opaque(relay_gemini_reading_t *reading, relay_json_node_t node,
                        const relay_json_node_t *nodes, const relay_place_t *place,
                        relay_block_t ***tail)
{
    relay_block_t *block = add(reading, place, node, RELAY_BLOCK_OPAQUE, tail);

    if (block == NULL) {
        return false;
    }
    if (nodes[P_CODE] != RELAY_JSON_NOWHERE || nodes[P_RAN] != RELAY_JSON_NOWHERE) {
        return read_code(reading, nodes, block);
    }
    block->essential = !reading->answer;
    return true;
}

/* ---- parts --------------------------------------------------------------- */

/* Hints about media, and whatever comes later. */
static bool leave_rest(relay_gemini_reading_t *reading, relay_json_node_t node,
                       const relay_place_t *place)
{
    relay_member_t *extras = NULL;

    return reading->own || reading->answer ||
           (relay_gemini_extras(reading, node, part_keys, PART_KEYS, NULL, 0, relay_span(NULL, 0),
                                &extras) &&
            relay_codec_leave(reading->translation, extras, place));
}

static bool is_there(const relay_json_node_t *nodes, unsigned key)
{
    return nodes[key] != RELAY_JSON_NOWHERE;
}

static bool read_part(relay_gemini_reading_t *reading, relay_json_node_t node,
                      const relay_json_node_t *nodes, const relay_place_t *place,
                      relay_block_t ***tail)
{
    if (is_there(nodes, P_CALL)) {
        return read_call(reading, node, nodes, place, tail);
    }
    if (is_there(nodes, P_RESPONSE)) {
        return read_result(reading, node, nodes, place, tail);
    }
    if (is_there(nodes, P_INLINE) || is_there(nodes, P_FILE)) {
        return read_media(reading, node, nodes, place, tail) && leave_rest(reading, node, place);
    }
    if (is_there(nodes, P_TEXT) || is_there(nodes, P_SIGNATURE)) {
        return read_text(reading, node, nodes, place, tail) && leave_rest(reading, node, place);
    }
    return read_opaque(reading, node, nodes, place, tail);
}

/* What a stream has between two parts of a turn: it says nothing, and breaks up what
 * belongs together. */
static bool is_blank(relay_gemini_reading_t *reading, const relay_json_node_t *nodes)
{
    return reading->turn != NULL && is_there(nodes, P_TEXT) && !is_there(nodes, P_CALL) &&
           !is_there(nodes, P_RESPONSE) && !is_there(nodes, P_INLINE) && !is_there(nodes, P_FILE) &&
           relay_json_type(reading->tree, nodes[P_TEXT]) == RELAY_JSON_STRING &&
           relay_json_content(reading->tree, nodes[P_TEXT]).len == 0 &&
           relay_json_content(reading->tree, nodes[P_SIGNATURE]).len == 0;
}

/* A turn of nothing but empty texts is one of them. */
bool relay_gemini_end_turn(relay_gemini_reading_t *reading)
{
    relay_message_t *turn = reading->turn;
    bool alone = turn != NULL && turn->blocks == NULL && reading->blank;

    reading->turn = NULL;
    reading->thought = NULL;
    reading->blank = false;
    return !alone ||
           add_text(reading, turn->place, RELAY_BLOCK_TEXT, relay_span("", 0), &reading->turn_tail);
}

/* Any part but a thought. */
static bool read_other(relay_gemini_reading_t *reading, relay_json_node_t node,
                       const relay_json_node_t *nodes, const relay_place_t *place,
                       relay_block_t ***tail)
{
    if (is_blank(reading, nodes)) {
        reading->blank = true;
        return leave_rest(reading, node, place);
    }
    reading->thought = NULL;
    return read_part(reading, node, nodes, place, tail);
}

/* *node becomes the part behind what is read: thoughts may be of several. */
static bool read_next(relay_gemini_reading_t *reading, relay_json_node_t parts,
                      relay_json_node_t *node, const relay_place_t *place, relay_block_t ***tail)
{
    relay_json_node_t nodes[PART_KEYS], part = *node;

    if (relay_json_type(reading->tree, part) != RELAY_JSON_OBJECT && !reading->answer) {
        return relay_codec_refuse(reading->translation, place,
                                  RELAY_SPAN("a part must be an object"));
    }
    relay_gemini_pick(reading->tree, part, part_keys, PART_KEYS, nodes);
    if (is_thought(reading, nodes) && !reading->own) {
        return read_thought(reading, parts, node, nodes, place, tail);
    }
    *node = relay_gemini_next(reading->tree, parts, part);
    return read_other(reading, part, nodes, place, tail);
}

bool relay_gemini_read_parts(relay_gemini_reading_t *reading, relay_json_node_t parts,
                             const relay_place_t *outer, relay_block_t ***tail)
{
    relay_place_t place = {outer, RELAY_SPAN("parts"), RELAY_PLACE_NO_INDEX};
    relay_json_node_t node = relay_gemini_first(reading->tree, parts), next;
    const relay_place_t *kept = NULL;
    bool good = true;

    for (; node != RELAY_JSON_NOWHERE && good; node = next) {
        place.index += relay_gemini_step(reading->tree, parts);
        if (!reading->answer) {
            kept = relay_codec_keep(reading->translation, &place);
        }
        next = node;
        good = (reading->answer || kept != NULL) && read_next(reading, parts, &next, kept, tail);
        while (good && (node = relay_gemini_next(reading->tree, parts, node)) != next) {
            place.index++;
        }
    }
    return good;
}
