/*
 * What codecs share whatever their format: see codec_support.h.
 */

#include "codec_support.h"

#include <stdlib.h>

/* ---- memory -------------------------------------------------------------- */

void *relay_codec_new(relay_translation_t *translation, size_t size)
{
    void *memory = relay_arena_alloc(translation->arena, size);

    if (memory == NULL) {
        translation->error = (relay_error_t){.code = RELAY_ERR_INTERNAL};
    }
    return memory;
}

/* A buffer of exactly that size in the arena; capacity 0 if it is empty. */
static relay_buf_t new_buf(relay_translation_t *translation, size_t size)
{
    uint8_t *memory = relay_codec_new(translation, size + 1);

    return relay_buf(memory, memory != NULL ? size : 0);
}

/* ---- where something is -------------------------------------------------- */

const relay_place_t *relay_codec_keep(relay_translation_t *translation, const relay_place_t *place)
{
    relay_place_t *kept = relay_codec_new(translation, sizeof(*kept));

    if (kept != NULL) {
        *kept = *place;
    }
    return kept;
}

const relay_place_t *relay_codec_member(relay_translation_t *translation,
                                        const relay_place_t *outer, relay_span_t name)
{
    relay_place_t place = {outer, name, RELAY_PLACE_NO_INDEX};

    return relay_codec_keep(translation, &place);
}

bool relay_codec_say(relay_translation_t *translation, relay_field_t field, relay_span_t word)
{
    relay_word_t *said = relay_codec_new(translation, sizeof(*said));

    if (said != NULL) {
        *said = (relay_word_t){.next = translation->words, .field = field, .word = word};
        translation->words = said;
    }
    return said != NULL;
}

relay_span_t relay_codec_word(const relay_translation_t *translation, relay_field_t field)
{
    const relay_word_t *said = translation->words;

    while (said != NULL && said->field != field) {
        said = said->next;
    }
    return said != NULL ? said->word : translation->caller->fields[field];
}

typedef enum { INDEX_NONE, INDEX_BRACKETS, INDEX_DOTS } index_style_t;

static void put_index(relay_buf_t *out, int index, index_style_t style)
{
    if (index == RELAY_PLACE_NO_INDEX || style == INDEX_NONE) {
        return;
    }
    relay_buf_put_byte(out, style == INDEX_DOTS ? '.' : '[');
    relay_buf_put_u64(out, (uint64_t)index);
    relay_buf_put(out, style == INDEX_DOTS ? RELAY_SPAN("") : RELAY_SPAN("]"));
}

static void put_place(relay_buf_t *out, const relay_place_t *place, index_style_t style)
{
    if (place == NULL) {
        return;
    }
    put_place(out, place->outer, style);
    if (place->name.len != 0) {
        relay_buf_put(out, out->len != 0 ? RELAY_SPAN(".") : RELAY_SPAN(""));
        relay_buf_put(out, place->name);
    }
    put_index(out, place->index, style);
}

/* The place in the arena, as text. */
static relay_span_t path(relay_translation_t *translation, const relay_place_t *place,
                         index_style_t style)
{
    relay_buf_t text = relay_buf(NULL, 0);

    put_place(&text, place, style);
    text = new_buf(translation, text.len);
    put_place(&text, place, style);
    return relay_buf_span(&text);
}

/* ---- saying no ----------------------------------------------------------- */

static bool refuse(relay_translation_t *translation, const relay_place_t *place,
                   relay_error_code_t code, relay_span_t message)
{
    relay_span_t param;

    if (translation->error.code != RELAY_ERR_NONE) {
        return false; /* the first fault is the one to tell */
    }
    param = path(translation, place, translation->caller->indexed ? INDEX_DOTS : INDEX_BRACKETS);
    if (translation->error.code == RELAY_ERR_NONE) {
        translation->error = (relay_error_t){.code = code, .message = message, .param = param};
    }
    return false;
}

bool relay_codec_refuse(relay_translation_t *translation, const relay_place_t *place,
                        relay_span_t message)
{
    return refuse(translation, place, RELAY_ERR_INVALID_FIELD, message);
}

bool relay_codec_missing(relay_translation_t *translation, const relay_place_t *place)
{
    return refuse(translation, place, RELAY_ERR_MISSING_FIELD, RELAY_SPAN("Field required"));
}

bool relay_codec_refuse_block(relay_translation_t *translation, const relay_block_t *block,
                              relay_span_t message)
{
    return relay_codec_refuse(translation, block->place, message);
}

bool relay_codec_refuse_tool(relay_translation_t *translation, const relay_tool_t *tool)
{
    return relay_codec_refuse(
        translation, tool->place,
        RELAY_SPAN("a tool of this type is not supported by the provider of this model"));
}

bool relay_codec_refuse_field(relay_translation_t *translation, relay_field_t field,
                              relay_span_t message)
{
    relay_place_t place = {NULL, relay_codec_word(translation, field), RELAY_PLACE_NO_INDEX};

    return relay_codec_refuse(translation, &place, message);
}

relay_span_t relay_codec_unsupported_text(const relay_translation_t *translation)
{
    return translation->caller->unsupported.len != 0
               ? translation->caller->unsupported
               : RELAY_SPAN("this field is not supported by the provider of this model");
}

bool relay_codec_unsupported(relay_translation_t *translation, const relay_place_t *place)
{
    return relay_codec_refuse(translation, place, relay_codec_unsupported_text(translation));
}

bool relay_codec_unsupported_field(relay_translation_t *translation, relay_field_t field)
{
    return relay_codec_refuse_field(translation, field, relay_codec_unsupported_text(translation));
}

bool relay_codec_invalid(relay_translation_t *translation, relay_span_t message)
{
    if (translation->error.code == RELAY_ERR_NONE) {
        translation->error =
            (relay_error_t){.code = RELAY_ERR_UPSTREAM_INVALID, .message = message};
    }
    return false;
}

bool relay_codec_is_list(relay_translation_t *translation, const relay_json_tree_t *tree,
                         relay_json_node_t node, const relay_place_t *place)
{
    switch (relay_json_type(tree, node)) {
    case RELAY_JSON_ABSENT:
    case RELAY_JSON_NULL:
    case RELAY_JSON_ARRAY:
        return true;
    default:
        return relay_codec_refuse(translation, place, RELAY_SPAN("this field must be a list"));
    }
}

bool relay_codec_is_list_of(relay_translation_t *translation, const relay_json_tree_t *tree,
                            relay_json_node_t node, relay_field_t field)
{
    relay_place_t place = {NULL, relay_codec_word(translation, field), RELAY_PLACE_NO_INDEX};

    return relay_codec_is_list(translation, tree, node, &place);
}

/* ---- notes --------------------------------------------------------------- */

static void note(relay_translation_t *translation, relay_span_t name, bool changed)
{
    relay_note_t **at = &translation->notes;

    if (name.len == 0) {
        return; /* the caller's format cannot have said it */
    }
    for (; *at != NULL; at = &(*at)->next) {
        if ((*at)->changed == changed && relay_span_eq((*at)->name, name)) {
            return;
        }
    }
    *at = relay_codec_new(translation, sizeof(**at));
    if (*at != NULL) {
        **at = (relay_note_t){.name = name, .changed = changed};
    }
}

void relay_codec_drop(relay_translation_t *translation, relay_field_t field)
{
    note(translation, relay_codec_word(translation, field), false);
}

void relay_codec_drop_name(relay_translation_t *translation, relay_span_t name)
{
    note(translation, name, false);
}

void relay_codec_drop_at(relay_translation_t *translation, const relay_place_t *place)
{
    note(translation, path(translation, place, INDEX_NONE), false);
}

void relay_codec_change_at(relay_translation_t *translation, const relay_place_t *place)
{
    note(translation, path(translation, place, INDEX_NONE), true);
}

void relay_codec_drop_in(relay_translation_t *translation, const relay_place_t *place,
                         relay_field_t field)
{
    relay_place_t member = {place, relay_codec_word(translation, field), RELAY_PLACE_NO_INDEX};

    relay_codec_drop_at(translation, &member);
}

void relay_codec_change_in(relay_translation_t *translation, const relay_place_t *place,
                           relay_field_t field)
{
    relay_place_t member = {place, relay_codec_word(translation, field), RELAY_PLACE_NO_INDEX};

    relay_codec_change_at(translation, &member);
}

void relay_codec_drop_mark(relay_translation_t *translation, relay_json_value_t mark,
                           const relay_place_t *place)
{
    if (mark.type != RELAY_JSON_ABSENT && mark.type != RELAY_JSON_NULL) {
        relay_codec_drop_at(translation, place);
    }
}

void relay_codec_drop_citations(relay_translation_t *translation, const relay_block_t *block)
{
    if (block->citations != NULL || block->media.cited) {
        relay_codec_drop_in(translation, block->place, RELAY_FIELD_CITATIONS);
    }
}

bool relay_codec_wants_logprobs(relay_translation_t *translation, const relay_request_t *request,
                                bool shown)
{
    if (request->logprobs.type != RELAY_JSON_TRUE) {
        return false;
    }
    if (!shown) {
        relay_codec_drop(translation, RELAY_FIELD_LOGPROBS);
        if (request->top_logprobs.type != RELAY_JSON_ABSENT) {
            relay_codec_drop(translation, RELAY_FIELD_TOP_LOGPROBS);
        }
    }
    return shown;
}

void relay_codec_change(relay_translation_t *translation, relay_field_t field)
{
    note(translation, relay_codec_word(translation, field), true);
}

/* ---- lists in the arena -------------------------------------------------- */

relay_block_t *relay_codec_block(relay_translation_t *translation, relay_block_t ***tail,
                                 relay_block_kind_t kind)
{
    relay_block_t *block = relay_codec_new(translation, sizeof(*block));

    if (block != NULL) {
        block->kind = kind;
        **tail = block;
        *tail = &block->next;
    }
    return block;
}

relay_message_t *relay_codec_message(relay_translation_t *translation, relay_message_t ***tail,
                                     relay_role_t role)
{
    relay_message_t *message = relay_codec_new(translation, sizeof(*message));

    if (message != NULL) {
        message->role = role;
        **tail = message;
        *tail = &message->next;
    }
    return message;
}

relay_tool_t *relay_codec_tool(relay_translation_t *translation, relay_tool_t ***tail,
                               relay_tool_kind_t kind)
{
    relay_tool_t *tool = relay_codec_new(translation, sizeof(*tool));

    if (tool != NULL) {
        tool->kind = kind;
        **tail = tool;
        *tail = &tool->next;
    }
    return tool;
}

relay_name_t *relay_codec_name(relay_translation_t *translation, relay_name_t ***tail,
                               relay_span_t name)
{
    relay_name_t *entry = relay_codec_new(translation, sizeof(*entry));

    if (entry != NULL) {
        entry->name = name;
        **tail = entry;
        *tail = &entry->next;
    }
    return entry;
}

/* ---- members that nobody maps -------------------------------------------- */

/* A zero, false or empty value asks for nothing, unless it is an object. */
static bool says(const relay_json_tree_t *tree, relay_json_node_t node)
{
    relay_json_value_t value = relay_json_value(tree, node);

    switch (value.type) {
    case RELAY_JSON_TRUE:
        return true;
    case RELAY_JSON_NUMBER:
        return relay_codec_nonzero(value);
    case RELAY_JSON_STRING:
        return value.text.len > 2;
    case RELAY_JSON_OBJECT:
        return true; /* {} turns something on */
    case RELAY_JSON_ARRAY:
        return relay_json_first(tree, node) != RELAY_JSON_NOWHERE;
    default:
        return false;
    }
}

static bool add_extra(relay_translation_t *translation, const relay_json_tree_t *tree,
                      relay_json_node_t key, bool essential, relay_member_t **tail)
{
    *tail = relay_codec_new(translation, sizeof(**tail));
    if (*tail == NULL) {
        return false;
    }
    (*tail)->name = relay_json_content(tree, key);
    (*tail)->value = relay_json_value(tree, key + 1);
    (*tail)->essential = essential && says(tree, key + 1);
    return true;
}

bool relay_codec_extras(relay_translation_t *translation, const relay_json_tree_t *tree,
                        relay_json_node_t object, const relay_span_t *keys, size_t nkeys,
                        const relay_span_t *essentials, size_t nessentials, relay_member_t **list)
{
    relay_json_node_t key;
    relay_member_t **tail = list;

    if (relay_json_type(tree, object) != RELAY_JSON_OBJECT) {
        return true;
    }
    for (key = relay_json_first(tree, object); key != RELAY_JSON_NOWHERE;
         key = relay_json_next(tree, object, key)) {
        if (relay_json_key(tree, key, keys, nkeys) < nkeys ||
            relay_json_type(tree, key + 1) == RELAY_JSON_NULL) {
            continue;
        }
        if (!add_extra(translation, tree, key,
                       relay_json_key(tree, key, essentials, nessentials) < nessentials, tail)) {
            return false;
        }
        tail = &(*tail)->next;
    }
    return true;
}

/* Nothing is lost with "", [] and {}. */
static bool is_empty(relay_json_value_t value)
{
    return value.text.len == 2 && value.type >= RELAY_JSON_STRING;
}

bool relay_codec_leave(relay_translation_t *translation, const relay_member_t *extras,
                       const relay_place_t *place)
{
    for (; extras != NULL; extras = extras->next) {
        relay_place_t member = {place, extras->name, RELAY_PLACE_NO_INDEX};
        if (is_empty(extras->value) &&
            !(extras->essential && extras->value.type == RELAY_JSON_OBJECT)) {
            continue;
        }
        if (extras->essential) {
            return relay_codec_unsupported(translation, &member);
        }
        relay_codec_drop_at(translation, &member);
    }
    return true;
}

bool relay_codec_leave_rest(relay_translation_t *translation, const relay_json_tree_t *tree,
                            relay_json_node_t object, const relay_span_t *keys, size_t nkeys,
                            const relay_place_t *place)
{
    relay_member_t *rest = NULL;

    return relay_codec_own(translation->caller, translation->upstream) ||
           (relay_codec_extras(translation, tree, object, keys, nkeys, NULL, 0, &rest) &&
            relay_codec_leave(translation, rest, place));
}

bool relay_codec_leave_rest_of(relay_translation_t *translation, const relay_json_tree_t *tree,
                               relay_json_node_t object, const relay_span_t *keys, size_t nkeys,
                               relay_span_t name)
{
    relay_place_t place = {NULL, name, RELAY_PLACE_NO_INDEX};

    return relay_codec_leave_rest(translation, tree, object, keys, nkeys, &place);
}

bool relay_codec_leave_message(relay_translation_t *translation, const relay_message_t *message)
{
    if (message->name.len != 0) {
        relay_codec_drop(translation, RELAY_FIELD_NAME);
    }
    return relay_codec_leave(translation, message->extras, message->place);
}

bool relay_codec_leave_tool(relay_translation_t *translation, const relay_tool_t *tool)
{
    if (tool->deferred) {
        relay_codec_drop_in(translation, tool->place, RELAY_FIELD_TOOL_DEFERRED);
    }
    return relay_codec_leave(translation, tool->extras, tool->place);
}

void relay_codec_put_extras(relay_buf_t *out, const relay_member_t *extras)
{
    for (; extras != NULL; extras = extras->next) {
        RELAY_PUT(out, ",");
        relay_codec_put_string(out, extras->name);
        RELAY_PUT(out, ":");
        relay_buf_put(out, extras->value.text);
    }
}

/* ---- text ---------------------------------------------------------------- */

static bool has_escape(relay_span_t text)
{
    return text.len != 0 && memchr(text.base, '\\', text.len) != NULL;
}

relay_span_t relay_codec_plain(relay_translation_t *translation, relay_span_t text)
{
    relay_buf_t plain;

    if (!has_escape(text)) {
        return text;
    }
    plain = new_buf(translation, text.len);
    relay_json_decode_content(text, &plain);
    return relay_buf_span(&plain);
}

void relay_codec_put_string(relay_buf_t *out, relay_span_t text)
{
    relay_buf_put_byte(out, '"');
    relay_buf_put(out, text);
    relay_buf_put_byte(out, '"');
}

void relay_codec_put_string_or_null(relay_buf_t *out, relay_span_t text)
{
    if (text.len == 0) {
        RELAY_PUT(out, "null");
    } else {
        relay_codec_put_string(out, text);
    }
}

void relay_codec_put_text(relay_buf_t *out, relay_span_t name, relay_span_t text)
{
    if (text.len != 0) {
        relay_buf_put(out, name);
        relay_codec_put_string(out, text);
    }
}

void relay_codec_put_value(relay_buf_t *out, relay_span_t name, relay_json_value_t value)
{
    if (value.type != RELAY_JSON_ABSENT) {
        relay_buf_put(out, name);
        relay_buf_put(out, value.text);
    }
}

bool relay_codec_blank(relay_span_t text)
{
    for (size_t i = 0; i < text.len; i++) {
        uint8_t byte = text.base[i];
        if (byte == '\\' && i + 1 < text.len) {
            byte = text.base[++i];
            if (byte != 'n' && byte != 't' && byte != 'r' && byte != 'f') {
                return false;
            }
        } else if (byte != ' ') {
            return false;
        }
    }
    return true;
}

relay_span_t relay_codec_error_text(relay_span_t text, uint8_t bytes[RELAY_CODEC_ERROR_MAX])
{
    relay_buf_t out = relay_buf(bytes, RELAY_CODEC_ERROR_MAX);
    relay_span_t message;

    relay_json_decode_content(text, &out);
    message = relay_buf_span(&out);
    if (relay_buf_ok(&out)) {
        return message;
    }
    while (message.len != 0 && (message.base[message.len - 1] & 0xc0) == 0x80) {
        message.len--;
    }
    message.len -= message.len != 0 && message.base[message.len - 1] >= 0xc0 ? 1 : 0;
    return message;
}

bool relay_codec_holds(relay_span_t text, relay_span_t part)
{
    for (; text.len >= part.len; text = relay_span_from(text, 1)) {
        if (relay_span_case_eq(relay_span(text.base, part.len), part)) {
            return true;
        }
    }
    return false;
}

/* How long the character or escape is that text begins with. */
static size_t step(relay_span_t text)
{
    uint8_t byte = text.base[0];

    if (byte == '\\') {
        bool unicode = text.len >= 6 && text.base[1] == 'u';
        bool pair = unicode && text.len >= 12 && (text.base[2] | 0x20) == 'd' &&
                    text.base[3] >= '8' && (text.base[3] | 0x20) <= 'b' && text.base[6] == '\\';
        return pair ? 12 : unicode ? 6 : 2;
    }
    return byte < 0xc0 ? 1 : byte < 0xe0 ? 2 : byte < 0xf0 ? 3 : 4;
}

size_t relay_codec_boundary(relay_span_t text, size_t at)
{
    size_t from = 0;

    while (from < at && from < text.len) {
        from += step(relay_span_from(text, from));
    }
    return from < text.len ? from : text.len;
}

/* ---- ids ----------------------------------------------------------------- */

void relay_codec_put_answer_id(relay_buf_t *out, const relay_translation_t *translation,
                               relay_span_t prefix, relay_span_t id)
{
    if (id.len != 0 && relay_codec_own(translation->caller, translation->upstream)) {
        relay_buf_put(out, id);
        return;
    }
    relay_buf_put(out, prefix);
    relay_buf_put(out, translation->request_id);
}

/* ---- words --------------------------------------------------------------- */

static const relay_span_t efforts[RELAY_EFFORTS] = {
    [RELAY_EFFORT_UNSET] = RELAY_SPAN_INIT(""),
    [RELAY_EFFORT_NONE] = RELAY_SPAN_INIT("none"),
    [RELAY_EFFORT_MINIMAL] = RELAY_SPAN_INIT("minimal"),
    [RELAY_EFFORT_LOW] = RELAY_SPAN_INIT("low"),
    [RELAY_EFFORT_MEDIUM] = RELAY_SPAN_INIT("medium"),
    [RELAY_EFFORT_HIGH] = RELAY_SPAN_INIT("high"),
    [RELAY_EFFORT_XHIGH] = RELAY_SPAN_INIT("xhigh"),
    [RELAY_EFFORT_MAX] = RELAY_SPAN_INIT("max"),
};

static const uint64_t budgets[RELAY_EFFORTS] = {
    [RELAY_EFFORT_MINIMAL] = 1024, [RELAY_EFFORT_LOW] = 2048,    [RELAY_EFFORT_MEDIUM] = 8192,
    [RELAY_EFFORT_HIGH] = 16384,   [RELAY_EFFORT_XHIGH] = 32768, [RELAY_EFFORT_MAX] = 65536,
};

relay_effort_t relay_codec_effort(relay_span_t word)
{
    for (unsigned i = RELAY_EFFORT_NONE; i < RELAY_EFFORTS; i++) {
        if (relay_span_eq(word, efforts[i])) {
            return (relay_effort_t)i;
        }
    }
    return RELAY_EFFORT_UNSET;
}

relay_span_t relay_codec_effort_word(relay_effort_t effort)
{
    return efforts[effort];
}

uint64_t relay_codec_budget(const relay_target_t *target, relay_effort_t effort)
{
    return target->budget_tokens[effort] != 0 ? target->budget_tokens[effort] : budgets[effort];
}

relay_effort_t relay_codec_effort_of(const relay_target_t *target, uint64_t budget_tokens)
{
    unsigned effort = RELAY_EFFORT_LOW;

    while (effort < RELAY_EFFORT_HIGH &&
           budget_tokens > relay_codec_budget(target, (relay_effort_t)effort)) {
        effort++;
    }
    return (relay_effort_t)effort;
}

bool relay_codec_usual_tier(relay_span_t tier)
{
    return tier.len == 0 || relay_span_eq(tier, RELAY_SPAN("auto")) ||
           relay_span_eq(tier, RELAY_SPAN("default"));
}

relay_span_t relay_codec_tier(relay_translation_t *translation, const relay_request_t *request)
{
    relay_span_t tier = request->service_tier;

    if (relay_span_eq(tier, RELAY_SPAN("flex")) || relay_span_eq(tier, RELAY_SPAN("priority"))) {
        return tier;
    }
    if (!relay_codec_usual_tier(tier)) {
        relay_codec_drop(translation, RELAY_FIELD_SERVICE_TIER);
    }
    return relay_span(NULL, 0);
}

static bool number(relay_json_value_t value, double *result)
{
    char text[64];

    if (value.type != RELAY_JSON_NUMBER || value.text.len >= sizeof(text)) {
        return false;
    }
    memcpy(text, value.text.base, value.text.len);
    text[value.text.len] = '\0';
    *result = strtod(text, NULL);
    return true;
}

bool relay_codec_above(relay_json_value_t value, double bound)
{
    double result;

    return number(value, &result) && result > bound;
}

bool relay_codec_nonzero(relay_json_value_t value)
{
    double result = 0;

    return value.type == RELAY_JSON_NUMBER && (!number(value, &result) || result != 0);
}
