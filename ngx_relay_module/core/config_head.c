/* Heads of published configurations: see config_head.h. */

#include "config_head.h"
#include "config_read.h"
#include "sort.h"

/* ---- documents ------------------------------------------------------------ */

/* A segment of a name, up to the next slash; *rest is what stands behind that. */
static relay_span_t take_segment(relay_span_t *rest)
{
    const uint8_t *slash = rest->len != 0 ? memchr(rest->base, '/', rest->len) : NULL;
    relay_span_t segment = *rest;

    if (slash == NULL) {
        *rest = relay_span(NULL, 0);
        return segment;
    }
    segment.len = (size_t)(slash - rest->base);
    *rest = relay_span_from(*rest, segment.len + 1);
    return segment;
}

/* Every segment is a name by itself: none is empty or leads elsewhere. */
static bool is_document_name(relay_span_t name)
{
    relay_span_t rest = name;

    if (name.len == 0 || name.len > RELAY_HEAD_NAME_MAX || name.base[name.len - 1] == '/') {
        return false;
    }
    while (rest.len != 0) {
        relay_span_t segment = take_segment(&rest);
        if (!relay_config_name_ok(segment) || relay_span_eq(segment, RELAY_SPAN(".")) ||
            relay_span_eq(segment, RELAY_SPAN(".."))) {
            return false;
        }
    }
    return true;
}

static bool read_document_name(relay_config_reader_t *reader, relay_config_node_t value,
                               const relay_config_field_t *field, void *target)
{
    relay_head_document_t *document = target;

    (void)field;
    if (!relay_config_string(reader, value, 0, RELAY_HEAD_NAME_MAX, &document->name)) {
        return false;
    }
    document->catalog = relay_span_starts(document->name, RELAY_SPAN("catalog/"));
    return is_document_name(document->name) ||
           relay_config_refuse(reader, value,
                               "expected a document's name such as \"catalog/hosts\"");
}

static bool read_bytes(relay_config_reader_t *reader, relay_config_node_t value,
                       const relay_config_field_t *field, void *target)
{
    uint64_t number;

    (void)field;
    if (!relay_config_number(reader, value, 1, RELAY_CONFIG_DOCUMENT_MAX, &number)) {
        return false;
    }
    *(size_t *)target = (size_t)number;
    return true;
}

static bool check_required(relay_config_reader_t *reader, relay_config_node_t node,
                           const relay_config_field_t *fields, size_t count)
{
    relay_config_node_t value;

    for (size_t i = 0; i < count; i++) {
        if (!relay_config_member(node, fields[i].name, &value)) {
            return relay_config_refuse(reader, node, "expected \"%s\"", fields[i].name);
        }
    }
    return true;
}

static bool read_document(relay_config_reader_t *reader, relay_config_node_t node,
                          relay_head_document_t *document)
{
    static const relay_config_field_t fields[] = {
        {"name", read_document_name, 0, 0, 0},
        {"sha256", relay_config_read_digest, offsetof(relay_head_document_t, digest), 0, 0},
        {"bytes", read_bytes, offsetof(relay_head_document_t, bytes), 0, 0},
    };

    return RELAY_CONFIG_OBJECT(reader, node, fields, document) &&
           check_required(reader, node, fields, sizeof(fields) / sizeof(fields[0]));
}

static bool read_documents(relay_config_reader_t *reader, relay_config_node_t value,
                           const relay_config_field_t *field, void *target)
{
    relay_head_t *head = target;
    relay_config_node_t item = {0};
    relay_head_document_t *documents;

    (void)field;
    if (!relay_config_expect(reader, value, RELAY_JSON_ARRAY, "an array of documents")) {
        return false;
    }
    head->ndocuments = relay_config_size(value);
    if (head->ndocuments < 1 || head->ndocuments > RELAY_CONFIG_DOCUMENTS_MAX) {
        return relay_config_refuse(reader, value, "expected 1 to %d documents",
                                   RELAY_CONFIG_DOCUMENTS_MAX);
    }
    documents = relay_config_alloc(reader, head->ndocuments, sizeof(documents[0]));
    head->documents = documents;
    for (size_t i = 0; documents != NULL && relay_config_next(value, &item); i++) {
        if (!read_document(reader, item, &documents[i])) {
            return false;
        }
        head->bytes += documents[i].bytes;
        if (head->bytes > RELAY_HEAD_DOCUMENTS_BYTES_MAX) {
            return relay_config_refuse(reader, item, "the documents have more than %d bytes",
                                       RELAY_HEAD_DOCUMENTS_BYTES_MAX);
        }
    }
    return documents != NULL;
}

/* ---- names once ----------------------------------------------------------- */

/* By name; of equal ones, by place. */
static int compare_names(const void *left, const void *right)
{
    const relay_head_document_t *a = *(const relay_head_document_t *const *)left;
    const relay_head_document_t *b = *(const relay_head_document_t *const *)right;
    int order = relay_config_compare(a->name, b->name);

    return order != 0 ? order : (a > b) - (a < b);
}

static bool refuse_name(relay_config_reader_t *reader, relay_config_node_t top, size_t index)
{
    relay_config_node_t list, item = {0};
    bool found = relay_config_member(top, "documents", &list) && relay_config_next(list, &item);

    while (found && index-- != 0) {
        found = relay_config_next(list, &item);
    }
    return relay_config_refuse(reader, item, "this name occurs twice");
}

static bool check_names(relay_config_reader_t *reader, relay_config_node_t top,
                        const relay_head_t *head)
{
    const relay_head_document_t **order;

    order = relay_config_scratch(reader, head->ndocuments, sizeof(order[0]));
    if (order == NULL) {
        return false;
    }
    for (size_t i = 0; i < head->ndocuments; i++) {
        order[i] = &head->documents[i];
    }
    relay_sort(order, head->ndocuments, sizeof(order[0]), compare_names);
    for (size_t i = 1; i < head->ndocuments; i++) {
        if (relay_span_eq(order[i - 1]->name, order[i]->name)) {
            return refuse_name(reader, top, (size_t)(order[i] - head->documents));
        }
    }
    return true;
}

/* ---- the head ------------------------------------------------------------- */

static bool read_head(relay_config_reader_t *reader, relay_config_node_t top, relay_head_t *head)
{
    static const relay_config_field_t fields[] = {
        {"deployment", relay_config_read_name, offsetof(relay_head_t, deployment), 0, 0},
        {"revision", relay_config_read_u64, offsetof(relay_head_t, revision), 1,
         RELAY_CONFIG_NUMBER_MAX},
        {"issued_at", relay_config_read_u64, offsetof(relay_head_t, issued_at_s), 0,
         RELAY_CONFIG_NUMBER_MAX},
        {"documents", read_documents, 0, 0, 0},
    };

    *head = (relay_head_t){0};
    return RELAY_CONFIG_OBJECT(reader, top, fields, head) &&
           check_required(reader, top, fields, sizeof(fields) / sizeof(fields[0])) &&
           check_names(reader, top, head);
}

bool relay_head_read(const relay_arena_t *arena, relay_span_t payload, relay_head_t *head,
                     relay_config_fault_t *fault)
{
    relay_config_reader_t reader = {.arena = arena, .scratch = arena, .fault = fault};
    relay_document_t document = {.text = payload};
    relay_config_source_t source = {.text = payload};

    if (payload.len > RELAY_HEAD_MAX) {
        return relay_config_refuse_offset(&reader, &source, 0, "the head is too large");
    }
    return relay_config_open(&reader, &document, &source) &&
           read_head(&reader, (relay_config_node_t){&source, 0}, head);
}
