/* Records of relay keys: see key_record.h. */

#include "key_record.h"
#include "config_read.h"

/*
 * What only reading needs, the token tape above all, comes from here: a worker
 * keeps thousands of records. What does not fit comes from the caller's arena.
 */
typedef struct {
    const relay_arena_t *arena;
    size_t used;
    max_align_t room[512];
} scratch_t;

static void *allocate(void *owner, size_t size)
{
    scratch_t *scratch = owner;
    size_t units = size / sizeof(max_align_t) + 1;
    void *memory = &scratch->room[scratch->used];

    if (units > sizeof(scratch->room) / sizeof(scratch->room[0]) - scratch->used) {
        return relay_arena_alloc(scratch->arena, size);
    }
    scratch->used += units;
    memset(memory, 0, size);
    return memory;
}

/* ---- tags ----------------------------------------------------------------- */

static bool read_tag(relay_config_reader_t *reader, relay_config_node_t value, relay_key_tag_t *tag)
{
    static const relay_config_field_t text = {"", NULL, 0, 0, RELAY_CONFIG_TEXT_MAX};

    return relay_config_read_name(reader, relay_config_key(value), NULL, &tag->name) &&
           relay_config_read_text(reader, value, &text, &tag->value);
}

static bool read_tags(relay_config_reader_t *reader, relay_config_node_t value,
                      const relay_config_field_t *field, void *target)
{
    relay_key_record_t *record = target;
    relay_config_node_t item = {0};
    relay_key_tag_t *tags;

    (void)field;
    if (!relay_config_expect(reader, value, RELAY_JSON_OBJECT, "an object of texts")) {
        return false;
    }
    record->ntags = relay_config_size(value);
    if (record->ntags > RELAY_KEY_TAGS_MAX) {
        return relay_config_refuse(reader, value, "more than %d tags", RELAY_KEY_TAGS_MAX);
    }
    tags = relay_config_alloc(reader, record->ntags, sizeof(tags[0]));
    record->tags = tags;
    for (size_t i = 0; tags != NULL && relay_config_next(value, &item); i++) {
        if (!read_tag(reader, item, &tags[i])) {
            return false;
        }
    }
    return tags != NULL;
}

/* ---- the record ----------------------------------------------------------- */

/* Read before the rest: see read_ignorable. */
static bool skip_ignorable(relay_config_reader_t *reader, relay_config_node_t value,
                           const relay_config_field_t *field, void *target)
{
    (void)reader;
    (void)value;
    (void)field;
    (void)target;
    return true;
}

static const relay_config_field_t fields[] = {
    {"sha256", relay_config_read_digest, offsetof(relay_key_record_t, digest), 0, 0},
    {"revision", relay_config_read_u64, offsetof(relay_key_record_t, revision), 1,
     RELAY_CONFIG_NUMBER_MAX},
    {"id", relay_config_read_name, offsetof(relay_key_record_t, id), 0, 0},
    {"name", relay_config_read_name, offsetof(relay_key_record_t, name), 0, 0},
    {"workspace", relay_config_read_name, offsetof(relay_key_record_t, workspace), 0, 0},
    {"policy", relay_config_read_name, offsetof(relay_key_record_t, policy), 0, 0},
    {"models", relay_config_read_globs, offsetof(relay_key_record_t, models), 0, 0},
    {"expires_at", relay_config_read_time, offsetof(relay_key_record_t, expires_at_s), 0, 0},
    {"disabled", relay_config_read_flag, offsetof(relay_key_record_t, disabled), 0, 0},
    {"tags", read_tags, 0, 0, 0},
    {"ignorable", skip_ignorable, 0, 0, 0},
};

/* The names of members that may be skipped. */
static bool read_ignorable(relay_config_reader_t *reader, relay_config_node_t top,
                           relay_span_t names[RELAY_KEY_IGNORABLE_MAX], relay_globs_t *ignorable)
{
    relay_config_node_t list, item = {0};

    *ignorable = (relay_globs_t){names, 0};
    if (!relay_config_member(top, "ignorable", &list)) {
        return true;
    }
    if (!relay_config_expect(reader, list, RELAY_JSON_ARRAY, "an array of names of members")) {
        return false;
    }
    while (relay_config_next(list, &item)) {
        if (ignorable->count == RELAY_KEY_IGNORABLE_MAX) {
            return relay_config_refuse(reader, list, "more than %d names", RELAY_KEY_IGNORABLE_MAX);
        }
        if (!relay_config_read_name(reader, item, NULL, &names[ignorable->count])) {
            return false;
        }
        ignorable->count++;
    }
    return true;
}

static bool check_required(relay_config_reader_t *reader, relay_config_node_t top)
{
    static const char *const required[] = {"sha256", "revision",  "id",
                                           "name",   "workspace", "policy"};
    relay_config_node_t value;

    for (size_t i = 0; i < sizeof(required) / sizeof(required[0]); i++) {
        if (!relay_config_member(top, required[i], &value)) {
            return relay_config_refuse(reader, top, "expected \"%s\"", required[i]);
        }
    }
    return true;
}

static bool read_record(relay_config_reader_t *reader, relay_config_node_t top,
                        relay_key_record_t *record)
{
    relay_span_t names[RELAY_KEY_IGNORABLE_MAX];
    relay_globs_t ignorable;

    *record = (relay_key_record_t){.models = relay_config_everything()};
    return relay_config_expect(reader, top, RELAY_JSON_OBJECT, "an object") &&
           read_ignorable(reader, top, names, &ignorable) &&
           relay_config_object(reader, top, RELAY_CONFIG_FIELDS(fields), &ignorable, record) &&
           check_required(reader, top);
}

bool relay_key_record_read(const relay_arena_t *arena, relay_span_t text,
                           relay_key_record_t *record, relay_config_fault_t *fault)
{
    scratch_t scratch;
    relay_arena_t passing = {allocate, &scratch};
    relay_config_reader_t reader = {.arena = arena, .scratch = &passing, .fault = fault};
    relay_document_t document = {.text = text};
    relay_config_source_t source = {.text = text};

    scratch.arena = arena;
    scratch.used = 0;
    if (text.len > RELAY_KEY_RECORD_MAX) {
        return relay_config_refuse_offset(&reader, &source, 0, "the record is too large");
    }
    return relay_config_open(&reader, &document, &source) &&
           read_record(&reader, (relay_config_node_t){&source, 0}, record);
}
