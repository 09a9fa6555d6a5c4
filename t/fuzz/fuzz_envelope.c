/*
 * Request bodies of any bytes: what the envelope accepts, every format can edit
 * so that it reads back as the same request for another model, and the echo
 * model answers it well-formed, in one piece and as a stream. Where the path names
 * the model, the body becomes one without it. The same bytes serve as a path and as
 * the query of a model list. Run by `make fuzz`.
 */

#include "wire_variant.h"

#include <stdlib.h>

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

typedef struct {
    uint8_t bytes[RELAY_ENVELOPE_SCRATCH];
    relay_envelope_t envelope;
    relay_error_t error;
    relay_error_code_t code;
} reading_t;

/* reading must stay where it is: the envelope may point into it. */
static void read_body(reading_t *reading, relay_span_t body)
{
    relay_buf_t scratch = relay_buf(reading->bytes, sizeof(reading->bytes));

    reading->code = relay_envelope_read(body, &reading->envelope, &scratch, &reading->error);
    CHECK(relay_buf_ok(&scratch));
    if (reading->code != RELAY_ERR_NONE) {
        CHECK(reading->error.code == reading->code);
        CHECK(reading->error.message.len != 0);
        CHECK(relay_utf8_valid(reading->error.message) == reading->error.message.len);
        return;
    }
    CHECK(reading->envelope.model_name.len != 0);
    CHECK(reading->envelope.model_name.len <= RELAY_MODEL_NAME_MAX);
}

/* ---- edits --------------------------------------------------------------- */

/* The body with splices made; the caller frees its base. */
static relay_span_t splice(const relay_envelope_t *envelope, const relay_edit_t *edits,
                           size_t count)
{
    size_t room = envelope->body.len + RELAY_ENVELOPE_SCRATCH, at = 0;
    relay_buf_t out = relay_buf(malloc(room), room);

    CHECK(out.base != NULL && count <= RELAY_EDITS_MAX);
    for (size_t i = 0; i < count; i++) {
        CHECK(edits[i].offset >= at);
        CHECK(edits[i].offset + edits[i].removed <= envelope->body.len);
        relay_buf_put(&out, relay_span(envelope->body.base + at, edits[i].offset - at));
        relay_buf_put(&out, edits[i].text);
        at = edits[i].offset + edits[i].removed;
    }
    relay_buf_put(&out, relay_span_from(envelope->body, at));
    CHECK(relay_buf_ok(&out));
    return relay_buf_span(&out);
}

/* The same with those of a format. */
static relay_span_t edit(const relay_wire_t *wire, const relay_envelope_t *envelope,
                         relay_span_t model, bool ask_usage)
{
    uint8_t bytes[RELAY_ENVELOPE_SCRATCH];
    relay_buf_t scratch = relay_buf(bytes, sizeof(bytes));
    relay_edit_options_t options = {model, ask_usage};
    relay_edit_t edits[RELAY_EDITS_MAX];
    size_t count = wire->edits(envelope, &options, edits, &scratch);

    CHECK(relay_buf_ok(&scratch));
    return splice(envelope, edits, count);
}

/* What a variant takes out is gone, what it puts in is there, the rest is as it was. */
static void check_variant(const relay_variant_t *variant, const relay_envelope_t *envelope)
{
    enum { MODEL, STREAM, MAX_TOKENS, VERSION, KEYS };
    static const relay_span_t keys[KEYS] = {RELAY_SPAN_INIT("model"), RELAY_SPAN_INIT("stream"),
                                            RELAY_SPAN_INIT("max_tokens"),
                                            RELAY_SPAN_INIT("anthropic_version")};
    uint8_t bytes[RELAY_ENVELOPE_SCRATCH];
    relay_buf_t scratch = relay_buf(bytes, sizeof(bytes));
    relay_edit_t edits[RELAY_EDITS_MAX];
    size_t count =
        relay_variant_edits(variant, envelope, RELAY_SPAN("beta-1, beta-2"), edits, &scratch);
    relay_json_value_t values[KEYS];
    relay_span_t body, object;

    CHECK(relay_buf_ok(&scratch));
    object = body = splice(envelope, edits, count);
    CHECK(relay_json_scan(body, NULL, 0, NULL, &(relay_json_fault_t){0}) == RELAY_JSON_OK);
    while (object.base[0] != '{') {
        object = relay_span_from(object, 1);
    }
    relay_json_members(object, keys, KEYS, values);
    CHECK(!variant->model_in_path || values[MODEL].type == RELAY_JSON_ABSENT);
    CHECK(relay_span_eq(values[STREAM].text,
                        variant->stream_in_path ? relay_span(NULL, 0) : envelope->stream.text));
    CHECK(relay_span_eq(values[MAX_TOKENS].text, envelope->max_tokens.text));
    CHECK(variant->version.len == 0 || values[VERSION].type != RELAY_JSON_ABSENT);
    CHECK(variant->model_in_path || count == 0);
    free((void *)(uintptr_t)body.base);
}

/* A body where the path names the model, or one that names it itself. */
static void check_variants(const relay_envelope_t *envelope)
{
    const relay_variant_t *variant;

    for (unsigned i = 0; (variant = relay_variant_at(i)) != NULL; i++) {
        check_variant(variant, envelope);
    }
}

static void check_path_body(relay_span_t body)
{
    uint8_t bytes[RELAY_ENVELOPE_SCRATCH];
    relay_buf_t scratch = relay_buf(bytes, sizeof(bytes));
    relay_envelope_t envelope;
    relay_error_t error;

    if (relay_envelope_read_path(body, RELAY_SPAN("a%2Fb"), true, &envelope, &scratch, &error) ==
        RELAY_ERR_NONE) {
        CHECK(relay_span_eq(envelope.model_name, RELAY_SPAN("a/b")) && envelope.streaming);
        check_variants(&envelope);
    }
    scratch.len = 0;
    if (relay_envelope_read_path(RELAY_SPAN("{}"), body, false, &envelope, &scratch, &error) ==
        RELAY_ERR_NONE) {
        CHECK(envelope.model_name.len != 0 && envelope.model_name.len <= RELAY_MODEL_NAME_MAX);
        CHECK(relay_utf8_valid(envelope.model_name) == envelope.model_name.len);
    }
    CHECK(relay_buf_ok(&scratch));
}

/* True if the options leave no doubt about include_usage. */
static bool options_are_clear(const relay_envelope_t *envelope)
{
    relay_span_t key = RELAY_SPAN("include_usage");
    relay_json_value_t value;
    relay_json_fault_t fault;

    switch (envelope->stream_options.type) {
    case RELAY_JSON_ABSENT:
    case RELAY_JSON_NULL:
        return true;
    case RELAY_JSON_OBJECT:
        return relay_json_scan(envelope->stream_options.text, &key, 1, &value, &fault) ==
                   RELAY_JSON_OK &&
               value.type <= RELAY_JSON_TRUE;
    default:
        return false;
    }
}

static void check_edit(const relay_wire_t *wire, const relay_envelope_t *envelope)
{
    relay_span_t body = edit(wire, envelope, RELAY_SPAN("up/b-2"), true);
    reading_t again;

    read_body(&again, body);
    CHECK(again.code == RELAY_ERR_NONE);
    CHECK(relay_span_eq(again.envelope.model_name, RELAY_SPAN("up/b-2")));
    CHECK(again.envelope.streaming == envelope->streaming);
    CHECK(relay_span_eq(again.envelope.max_tokens.text, envelope->max_tokens.text));
    if (envelope->streaming && options_are_clear(envelope)) {
        CHECK(wire->wants_usage(&again.envelope));
    }
    free((void *)(uintptr_t)body.base);
}

/* An edit to what is there already changes nothing, unless it was written with
 * escapes that are not needed. */
static void check_identity(const relay_wire_t *wire, const relay_envelope_t *envelope)
{
    relay_span_t plain, body;

    if (!relay_json_plain(envelope->model, &plain)) {
        return;
    }
    body = edit(wire, envelope, plain, false);
    CHECK(relay_span_eq(body, envelope->body));
    free((void *)(uintptr_t)body.base);
}

/* ---- echo ---------------------------------------------------------------- */

static void *resize(void *owner, void *block, size_t size)
{
    (void)owner;
    if (size == 0) {
        free(block);
        return NULL;
    }
    return realloc(block, size);
}

static bool same_usage(const relay_usage_t *a, const relay_usage_t *b)
{
    return a->known == b->known && a->input_tokens == b->input_tokens &&
           a->cached_tokens == b->cached_tokens && a->cache_write_tokens == b->cache_write_tokens &&
           a->cache_write_1h_tokens == b->cache_write_1h_tokens &&
           a->output_tokens == b->output_tokens && a->reasoning_tokens == b->reasoning_tokens;
}

static void check_whole(const relay_wire_t *wire, relay_span_t text, const relay_usage_t *usage)
{
    relay_json_fault_t fault;
    relay_answer_t answer;

    CHECK(relay_json_scan(text, NULL, 0, NULL, &fault) == RELAY_JSON_OK);
    wire->answer(text, &answer);
    CHECK(!answer.is_error);
    CHECK(same_usage(&answer.usage, usage));
}

static void check_events(const relay_wire_t *wire, relay_span_t text, const relay_usage_t *usage)
{
    uint8_t bytes[2048];
    relay_buf_t before = relay_buf(bytes, sizeof(bytes));
    relay_stream_t stream = {.wire = wire};
    relay_json_fault_t fault;
    relay_sse_item_t item;
    relay_sse_t sse;

    relay_sse_init(&sse, (relay_memory_t){resize, NULL}, 1 << 20);
    while (relay_sse_next(&sse, &text, &item) == RELAY_SSE_EVENT) {
        relay_verdict_t verdict;
        CHECK(relay_span_eq(item.data, RELAY_SPAN("[DONE]")) ||
              relay_json_scan(item.data, NULL, 0, NULL, &fault) == RELAY_JSON_OK);
        verdict = wire->event(&stream, &item, &before);
        CHECK(!verdict.hide && verdict.class != RELAY_EVENT_ERROR);
    }
    CHECK(text.len == 0 && !relay_sse_pending(&sse) && before.len == 0);
    CHECK(wire->close(&stream, &before) && before.len == 0);
    CHECK(stream.end_seen && stream.content_seen && stream.finish[0] != '\0');
    CHECK(same_usage(&stream.usage, usage));
    relay_sse_free(&sse);
}

static void check_echo(const relay_wire_t *wire, const relay_envelope_t *envelope, bool streaming)
{
    relay_echo_t echo = {.body = envelope->body,
                         .model = envelope->model_name,
                         .id = RELAY_SPAN("0123456789abcdef"),
                         .created_s = 1789000000,
                         .streaming = streaming,
                         .include_usage = true};
    relay_buf_t out = relay_buf(NULL, 0);
    relay_usage_t usage;
    size_t wanted;

    wire->echo(&out, &echo, &usage);
    wanted = out.len;
    out = relay_buf(malloc(wanted), wanted);
    CHECK(out.base != NULL);
    wire->echo(&out, &echo, &usage);
    CHECK(out.len == wanted);
    if (streaming) {
        check_events(wire, relay_buf_span(&out), &usage);
    } else {
        check_whole(wire, relay_buf_span(&out), &usage);
    }
    free(out.base);
}

/* ---- paths and queries --------------------------------------------------- */

static void check_path(relay_span_t path, const relay_dialect_t *hint)
{
    relay_match_t match;

    relay_wire_match(path, hint, &match);
    CHECK(match.dialect != NULL);
    CHECK((match.wire != NULL) ==
          (match.operation == RELAY_OP_GENERATE || match.operation == RELAY_OP_AUXILIARY));
    CHECK(match.wire == NULL || match.wire->dialect == match.dialect);
    CHECK(match.operation == RELAY_OP_NONE || match.rest.len != 0);
    CHECK(match.rest.len <= path.len || match.operation == RELAY_OP_MODEL_LIST);
    CHECK((match.model.len != 0) == (match.method.len != 0) && match.model.len <= path.len);
    CHECK(match.model.len == 0 || match.wire != NULL);
}

static void check_query(const relay_dialect_t *dialect, relay_span_t query)
{
    static const relay_model_view_t models[] = {
        {.id = RELAY_SPAN_INIT("a")}, {.id = RELAY_SPAN_INIT("b")}, {.id = RELAY_SPAN_INIT("c")}};
    uint8_t bytes[2048];
    relay_buf_t out = relay_buf(bytes, sizeof(bytes));
    relay_json_fault_t fault;
    relay_error_t error;

    if (dialect->model_list(&out, models, 3, query, &error) == RELAY_ERR_NONE) {
        CHECK(relay_buf_ok(&out));
        CHECK(relay_json_scan(relay_buf_span(&out), NULL, 0, NULL, &fault) == RELAY_JSON_OK);
    } else {
        CHECK(error.code == RELAY_ERR_INVALID_FIELD && error.param.len != 0 && out.len == 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    relay_span_t text = relay_span(data, size);
    const relay_wire_t *wire;
    reading_t reading;

    for (unsigned i = 0; relay_dialect_at(i) != NULL; i++) {
        check_path(text, relay_dialect_at(i));
        check_query(relay_dialect_at(i), text);
    }
    check_path_body(text);
    read_body(&reading, text);
    if (reading.code != RELAY_ERR_NONE) {
        return 0;
    }
    check_variants(&reading.envelope);
    for (unsigned i = 0; (wire = relay_wire_at(i)) != NULL; i++) {
        if (!relay_variant_of(wire)->model_in_path) {
            check_edit(wire, &reading.envelope);
        }
        check_identity(wire, &reading.envelope);
        check_echo(wire, &reading.envelope, false);
        if (wire->streams) {
            check_echo(wire, &reading.envelope, true);
        }
    }
    return 0;
}
