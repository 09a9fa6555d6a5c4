/*
 * Any bytes as the record of a relay key and as a head. What is accepted holds
 * what the headers promise; what is refused has a fault that can be shown. Run
 * by `make fuzz`.
 */

#include "../../control-plane/malloc_arena.h"
#include "config_head.h"
#include "key_record.h"
#include "utf8.h"

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

static void check_fault(const relay_config_fault_t *fault)
{
    CHECK(fault->line >= 1 && fault->column >= 1);
    CHECK(memchr(fault->message, 0, sizeof(fault->message)) != NULL && fault->message[0] != '\0');
    CHECK(memchr(fault->path, 0, sizeof(fault->path)) != NULL);
    CHECK(relay_utf8_valid(relay_span(fault->path, strlen(fault->path))) == strlen(fault->path));
    CHECK(relay_utf8_valid(relay_span(fault->message, strlen(fault->message))) ==
          strlen(fault->message));
}

static void check_record(const relay_key_record_t *record)
{
    relay_relay_key_t key = relay_key_of_record(record, NULL);

    CHECK(record->revision >= 1 && record->revision <= RELAY_CONFIG_NUMBER_MAX);
    CHECK(relay_config_name_ok(record->id) && relay_config_name_ok(record->name));
    CHECK(relay_config_name_ok(record->workspace) && relay_config_name_ok(record->policy));
    CHECK(record->ntags <= RELAY_KEY_TAGS_MAX);
    for (size_t i = 0; i < record->ntags; i++) {
        CHECK(relay_config_name_ok(record->tags[i].name));
        CHECK(record->tags[i].value.len <= RELAY_CONFIG_TEXT_MAX);
        CHECK(relay_utf8_valid(record->tags[i].value) == record->tags[i].value.len);
    }
    CHECK(key.models.count <= RELAY_CONFIG_GLOBS_MAX);
    relay_globs_match(&key.models, RELAY_SPAN("a-model"));
}

static void check_head(const relay_head_t *head)
{
    uint64_t bytes = 0;

    CHECK(relay_config_name_ok(head->deployment));
    CHECK(head->revision >= 1 && head->revision <= RELAY_CONFIG_NUMBER_MAX);
    CHECK(head->ndocuments >= 1 && head->ndocuments <= RELAY_CONFIG_DOCUMENTS_MAX);
    for (size_t i = 0; i < head->ndocuments; i++) {
        const relay_head_document_t *document = &head->documents[i];
        CHECK(document->name.len >= 1 && document->name.len <= RELAY_HEAD_NAME_MAX);
        CHECK(document->name.base[0] != '/');
        CHECK(memmem(document->name.base, document->name.len, "//", 2) == NULL);
        CHECK(document->bytes >= 1 && document->bytes <= RELAY_CONFIG_DOCUMENT_MAX);
        bytes += document->bytes;
        for (size_t j = 0; j < i; j++) {
            CHECK(!relay_span_eq(head->documents[j].name, document->name));
        }
    }
    CHECK(bytes == head->bytes && bytes <= RELAY_HEAD_DOCUMENTS_BYTES_MAX);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    malloc_arena_t blocks = {NULL};
    relay_arena_t arena = malloc_arena(&blocks);
    relay_config_fault_t record_fault, head_fault;
    relay_key_record_t record;
    relay_head_t head;
    uint8_t *copy = malloc(size != 0 ? size : 1); /* reads past the end are noticed */
    bool is_record, is_head;

    CHECK(copy != NULL);
    if (size != 0) {
        memcpy(copy, data, size);
    }
    is_record = relay_key_record_read(&arena, relay_span(copy, size), &record, &record_fault);
    is_head = relay_head_read(&arena, relay_span(copy, size), &head, &head_fault);
    free(copy); /* what was read must not point there */
    if (is_record) {
        check_record(&record);
    } else {
        check_fault(&record_fault);
    }
    if (is_head) {
        check_head(&head);
    } else {
        check_fault(&head_fault);
    }
    CHECK(!is_record || !is_head);
    malloc_arena_release(&blocks);
    return 0;
}
