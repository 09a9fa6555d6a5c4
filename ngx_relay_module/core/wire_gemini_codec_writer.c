/*
 * Canonical events into streams of Gemini. Called through the codec, behind
 * relay_order_t: one block is open at a time.
 *
 * A call goes out whole: name and arguments are kept until its end. The reason to
 * finish goes out with the usage, in the last chunk; the end is the close.
 */

#include "wire_gemini.h"
#include "wire_gemini_codec.h"

/* A thought held back goes out with the next event, within RELAY_EVENT_ROOM: its text
 * and, with what the event itself is, three chunks. */
enum { TAIL_MAX = 640, EXPLANATION_MAX = 1024, HELD_MAX = 256 };

typedef struct {
    bool free_text; /* the open call is of a custom tool: its text goes into an object */
    bool refused;   /* a refusal has been written */
    uint16_t tail_len;
    uint16_t explanation_len;
    uint16_t held_len; /* of the last piece of a thought: its signature may follow */
    uint32_t calls;    /* so far */
    size_t head_len;   /* of the open call, in what the writer keeps */
    relay_stop_t reason;
    uint8_t tail[TAIL_MAX]; /* what every chunk ends with */
    uint8_t explanation[EXPLANATION_MAX];
    uint8_t held[HELD_MAX];
} state_t;

const size_t relay_gemini_writer_size = sizeof(state_t);

static state_t *state_of(relay_writer_t *writer)
{
    return (state_t *)(void *)writer->state;
}

/* ---- chunks -------------------------------------------------------------- */

static void make_tail(relay_writer_t *writer, const relay_stream_event_t *event)
{
    state_t *state = state_of(writer);
    const relay_translation_t *translation = writer->translation;
    relay_buf_t tail = relay_buf(state->tail, sizeof(state->tail));
    bool short_model = event->model.len != 0 && event->model.len <= 256;

    RELAY_PUT(&tail, ",\"modelVersion\":\"");
    relay_buf_put(&tail, short_model                     ? event->model
                         : translation->model.len <= 256 ? translation->model
                                                         : relay_span(NULL, 0));
    RELAY_PUT(&tail, "\",\"responseId\":\"");
    relay_codec_put_answer_id(&tail, translation, relay_span(NULL, 0),
                              event->id.len <= 160 ? event->id : relay_span(NULL, 0));
    RELAY_PUT(&tail, "\"}\n\n");
    state->tail_len = (uint16_t)relay_buf_span(&tail).len;
}

static void close_chunk(relay_writer_t *writer, relay_buf_t *out)
{
    relay_buf_put(out, relay_span(state_of(writer)->tail, state_of(writer)->tail_len));
}

static void open_part(relay_buf_t *out)
{
    RELAY_PUT(out, "data: {\"candidates\":[{\"content\":{\"role\":\"model\",\"parts\":[{");
}

static void close_part(relay_writer_t *writer, relay_buf_t *out)
{
    RELAY_PUT(out, "}]},\"index\":0}]");
    close_chunk(writer, out);
}

/* ---- text and thinking --------------------------------------------------- */

static void put_grounding(relay_writer_t *writer, relay_buf_t *out,
                          const relay_citation_t *citation)
{
    if (citation->url.len != 0) {
        RELAY_PUT(out, "data: {\"candidates\":[{\"content\":{\"role\":\"model\",\"parts\":[{"
                       "\"text\":\"\"}]},\"index\":0,\"groundingMetadata\":{"
                       "\"groundingChunks\":[");
        relay_gemini_put_grounding(out, citation);
        RELAY_PUT(out, "]}}]");
        close_chunk(writer, out);
    }
}

static void put_text(relay_writer_t *writer, relay_buf_t *out, const relay_stream_event_t *event)
{
    state_t *state = state_of(writer);

    state->refused = state->refused || event->block_kind == RELAY_BLOCK_REFUSAL;
    if (event->citation != NULL) {
        put_grounding(writer, out, event->citation);
        return;
    }
    open_part(out);
    RELAY_PUT(out, "\"text\":");
    relay_codec_put_string(out, event->text);
    if (event->logprobs.type != RELAY_JSON_ARRAY) {
        close_part(writer, out);
        return;
    }
    RELAY_PUT(out, "}]}");
    relay_gemini_put_logprobs(out, &(relay_block_t){.logprobs = event->logprobs});
    RELAY_PUT(out, ",\"index\":0}]");
    close_chunk(writer, out);
}

static void put_signature(relay_buf_t *out, relay_block_kind_t kind, relay_span_t signer,
                          relay_span_t signature)
{
    if (signature.len == 0) {
        return;
    }
    RELAY_PUT(out, ",\"thoughtSignature\":");
    if (relay_span_eq(signer, RELAY_GEMINI_SIGNER)) {
        relay_codec_put_string(out, signature);
    } else {
        relay_gemini_put_sealed(out, kind, signer, signature);
    }
}

static void put_thought(relay_writer_t *writer, relay_buf_t *out, relay_span_t text,
                        relay_span_t signer, relay_span_t signature)
{
    open_part(out);
    RELAY_PUT(out, "\"text\":");
    relay_codec_put_string(out, text);
    RELAY_PUT(out, ",\"thought\":true");
    put_signature(out, RELAY_BLOCK_THINKING, signer, signature);
    close_part(writer, out);
}

/* What is held back, with the signature if it has come. */
static void put_held(relay_writer_t *writer, relay_buf_t *out, relay_span_t signer,
                     relay_span_t signature)
{
    state_t *state = state_of(writer);

    if (state->held_len != 0) {
        put_thought(writer, out, relay_span(state->held, state->held_len), signer, signature);
        state->held_len = 0;
    }
}

/* The end of the text waits; what is in front of it goes out. */
static void hold(relay_writer_t *writer, relay_buf_t *out, relay_span_t text)
{
    state_t *state = state_of(writer);
    size_t at = text.len > HELD_MAX ? relay_codec_boundary(text, text.len - HELD_MAX) : 0;

    if (at != 0) {
        put_thought(writer, out, relay_span(text.base, at), relay_span(NULL, 0),
                    relay_span(NULL, 0));
        text = relay_span_from(text, at);
    }
    if (text.len != 0) {
        memcpy(state->held, text.base, text.len);
        state->held_len = (uint16_t)text.len;
    }
}

/* Some clients drop a thought without text, and its signature with it: so the last
 * piece waits for that. */
static void take_thought(relay_writer_t *writer, relay_buf_t *out,
                         const relay_stream_event_t *event)
{
    state_t *state = state_of(writer);
    relay_span_t text = event->text;

    if (text.len == 0 && state->held_len != 0) {
        if (event->signature.len != 0) {
            put_held(writer, out, event->signer, event->signature);
        }
        return;
    }
    put_held(writer, out, relay_span(NULL, 0), relay_span(NULL, 0));
    if (event->signature.len == 0 && text.len != 0) {
        hold(writer, out, text);
    } else {
        put_thought(writer, out, text, event->signer, event->signature);
    }
}

/* What only its provider can read: the signature of a text, which its provider sends in
 * an empty one, too, where it comes late; or a sealed thought. */
static void put_redacted(relay_writer_t *writer, relay_buf_t *out,
                         const relay_stream_event_t *event)
{
    bool ours = relay_span_eq(event->signer, RELAY_GEMINI_SIGNER);

    open_part(out);
    relay_buf_put(out, ours ? RELAY_SPAN("\"text\":\"\"")
                            : RELAY_SPAN("\"text\":\"\",\"thought\":true"));
    put_signature(out, RELAY_BLOCK_REDACTED, event->signer, event->text);
    close_part(writer, out);
}

static void put_image(relay_writer_t *writer, relay_buf_t *out, const relay_stream_event_t *event)
{
    const relay_media_t media = relay_codec_event_media(event);

    open_part(out);
    relay_gemini_put_image(out, &media);
    close_part(writer, out);
}

/* ---- calls --------------------------------------------------------------- */

/* ,"thoughtSignature":… behind what is kept, up to the end of the call. */
static bool keep_head(relay_writer_t *writer, const relay_stream_event_t *event)
{
    const relay_rename_t *renamed = relay_codec_renamed(writer->translation, event->name);
    relay_span_t name = renamed != NULL ? renamed->original : event->name;
    relay_span_t id = event->id, signature;
    size_t size = id.len + name.len + writer->translation->request_id.len + 128;
    relay_buf_t head;

    relay_gemini_split_id(&id, &signature);
    writer->kept.len = 0;
    if (!relay_kept_room(&writer->kept, size + signature.len)) {
        return false;
    }
    head = relay_buf(writer->kept.base, size + signature.len);
    if (signature.len != 0) {
        RELAY_PUT(&head, "\"thoughtSignature\":");
        relay_gemini_put_id_signature(&head, signature);
        RELAY_PUT(&head, ",");
    }
    RELAY_PUT(&head, "\"functionCall\":{\"id\":\"");
    relay_buf_put(&head, id.len != 0 ? id : RELAY_SPAN("call_"));
    if (id.len == 0) {
        relay_buf_put(&head, writer->translation->request_id);
        RELAY_PUT(&head, "_");
        relay_buf_put_u64(&head, state_of(writer)->calls);
    }
    RELAY_PUT(&head, "\",\"name\":");
    relay_codec_put_string(&head, name);
    RELAY_PUT(&head, ",\"args\":");
    writer->kept.len = relay_buf_span(&head).len;
    state_of(writer)->head_len = writer->kept.len;
    return true;
}

static void begin_call(relay_writer_t *writer, const relay_stream_event_t *event)
{
    state_of(writer)->free_text = event->free_text;
    if (!keep_head(writer, event)) {
        writer->failed = true;
    }
    state_of(writer)->calls++;
    writer->owed = 2 * writer->kept.len;
}

static void continue_call(relay_writer_t *writer, const relay_stream_event_t *event)
{
    if (!relay_kept_put(&writer->kept, event->text)) {
        writer->failed = true;
    }
    writer->owed = 2 * writer->kept.len;
}

/* Kept as fragments of a string. The model's words go out also where they are no
 * JSON object as this format has it. */
static void put_args(relay_writer_t *writer, relay_buf_t *out)
{
    relay_span_t text = relay_span(writer->kept.base + state_of(writer)->head_len,
                                   writer->kept.len - state_of(writer)->head_len);
    relay_json_fault_t fault;
    relay_buf_t plain;

    if (state_of(writer)->free_text) {
        relay_codec_put_wrapped(out, text);
        return;
    }
    if (relay_codec_blank(text)) {
        RELAY_PUT(out, "{}");
        return;
    }
    plain = relay_buf(writer->kept.base + writer->kept.len, text.len);
    relay_json_decode_content(text, &plain);
    if (relay_json_scan(relay_buf_span(&plain), NULL, 0, NULL, &fault) == RELAY_JSON_OK) {
        relay_buf_put(out, relay_buf_span(&plain));
        return;
    }
    RELAY_PUT(out, "{\"raw_arguments\":");
    relay_codec_put_string(out, text);
    RELAY_PUT(out, "}");
}

static void end_call(relay_writer_t *writer, relay_buf_t *out)
{
    size_t head_len = state_of(writer)->head_len;

    /* the arguments in plain find room behind the others */
    if (writer->failed || !relay_kept_room(&writer->kept, writer->kept.len - head_len)) {
        writer->failed = true;
        return;
    }
    open_part(out);
    relay_buf_put(out, relay_span(writer->kept.base, head_len));
    put_args(writer, out);
    RELAY_PUT(out, "}");
    close_part(writer, out);
    writer->kept.len = 0;
    writer->owed = 0;
}

/* ---- blocks -------------------------------------------------------------- */

static void begin_block(relay_writer_t *writer, relay_buf_t *out, const relay_stream_event_t *event)
{
    if (event->block_kind == RELAY_BLOCK_TOOL_CALL) {
        begin_call(writer, event);
    } else if (event->block_kind == RELAY_BLOCK_REDACTED) {
        put_redacted(writer, out, event);
    } else if (event->block_kind == RELAY_BLOCK_IMAGE) {
        put_image(writer, out, event);
    }
}

static void put_delta(relay_writer_t *writer, relay_buf_t *out, const relay_stream_event_t *event)
{
    switch (event->block_kind) {
    case RELAY_BLOCK_TEXT:
    case RELAY_BLOCK_REFUSAL:
        put_text(writer, out, event);
        break;
    case RELAY_BLOCK_THINKING:
        take_thought(writer, out, event);
        break;
    case RELAY_BLOCK_TOOL_CALL:
        continue_call(writer, event);
        break;
    default:
        break; /* no client of this format would know what to do with it */
    }
}

/* ---- the end ------------------------------------------------------------- */

static void note_ending(relay_writer_t *writer, const relay_ending_t *ending)
{
    state_t *state = state_of(writer);
    relay_span_t text = ending->explanation;

    state->reason = state->refused ? RELAY_STOP_REFUSAL : ending->reason;
    if (text.len != 0 && text.len <= EXPLANATION_MAX) {
        memcpy(state->explanation, text.base, text.len);
        state->explanation_len = (uint16_t)text.len;
    }
}

static void put_end(relay_writer_t *writer, relay_buf_t *out, const relay_usage_t *usage)
{
    state_t *state = state_of(writer);

    RELAY_PUT(out, "data: {\"candidates\":[{\"content\":{\"role\":\"model\",\"parts\":[{"
                   "\"text\":\"\"}]},\"finishReason\":");
    relay_codec_put_string(out, relay_gemini_stop_word(state->reason));
    relay_codec_put_text(out, RELAY_SPAN(",\"finishMessage\":"),
                         relay_span(state->explanation, state->explanation_len));
    RELAY_PUT(out, ",\"index\":0}],\"usageMetadata\":");
    relay_gemini_put_usage(writer->translation, out, usage);
    close_chunk(writer, out);
}

static void put_error(relay_buf_t *out, const relay_failure_t *failure)
{
    RELAY_PUT(out, "data: ");
    relay_gemini_put_error(out, &failure->error);
    RELAY_PUT(out, "\n\n");
}

/* Nothing of what it writes has to stand behind the thought. */
static bool may_wait(const relay_stream_event_t *event)
{
    return event->kind == RELAY_STREAM_PING || event->kind == RELAY_STREAM_USAGE ||
           (event->kind == RELAY_STREAM_DELTA && event->block_kind == RELAY_BLOCK_THINKING);
}

void relay_gemini_write_event(relay_writer_t *writer, const relay_stream_event_t *event,
                              relay_buf_t *out)
{
    if (!may_wait(event)) {
        put_held(writer, out, relay_span(NULL, 0), relay_span(NULL, 0));
    }
    switch (event->kind) {
    case RELAY_STREAM_START:
        make_tail(writer, event);
        break;
    case RELAY_STREAM_BLOCK:
        begin_block(writer, out, event);
        break;
    case RELAY_STREAM_DELTA:
        put_delta(writer, out, event);
        break;
    case RELAY_STREAM_STOP:
        if (event->block_kind == RELAY_BLOCK_TOOL_CALL) {
            end_call(writer, out);
        }
        break;
    case RELAY_STREAM_FINISH:
        note_ending(writer, &event->ending);
        break;
    case RELAY_STREAM_USAGE:
        break; /* in the last chunk */
    case RELAY_STREAM_END:
        put_end(writer, out, event->usage);
        break;
    case RELAY_STREAM_PING: /* an empty line: clients of this format know no comments */
        RELAY_PUT(out, "\n");
        break;
    case RELAY_STREAM_ERROR:
        put_error(out, event->failure);
        break;
    }
}
