/*
 * A stream from one format into another, item by item: see translate.h.
 */

#include "codec_support.h"

/* ---- bytes between events ------------------------------------------------ */

bool relay_kept_room(relay_kept_t *kept, size_t size)
{
    size_t wanted = kept->len + size, capacity = kept->capacity;
    uint8_t *base;

    if (wanted < size || wanted > kept->max) {
        return false;
    }
    if (wanted <= capacity) {
        return true;
    }
    capacity = capacity != 0 ? capacity : 512;
    while (capacity < wanted) {
        capacity *= 2;
    }
    capacity = capacity < kept->max ? capacity : kept->max;
    base = kept->memory.resize(kept->memory.owner, kept->base, capacity);
    if (base == NULL) {
        return false;
    }
    kept->base = base;
    kept->capacity = capacity;
    return true;
}

bool relay_kept_put(relay_kept_t *kept, relay_span_t text)
{
    if (!relay_kept_room(kept, text.len)) {
        return false;
    }
    if (text.len != 0) {
        memcpy(kept->base + kept->len, text.base, text.len);
        kept->len += text.len;
    }
    return true;
}

void relay_kept_free(relay_kept_t *kept)
{
    if (kept->base != NULL) {
        kept->memory.resize(kept->memory.owner, kept->base, 0);
    }
    kept->base = NULL;
    kept->len = kept->capacity = 0;
}

/* ---- writing ------------------------------------------------------------- */

/* What an event may become at most, see relay_writer_t.owed. */
static size_t room_for(const relay_stream_translation_t *stream, const relay_stream_event_t *event)
{
    /* what an image is stays as it is: its escapes are none */
    size_t image = event->block_kind == RELAY_BLOCK_IMAGE ? event->text.len : 0;
    size_t texts = event->text.len - image + event->signature.len + event->signer.len +
                   event->id.len + event->model.len + event->name.len + event->scope.len +
                   event->raw.len + event->type.len + event->logprobs.text.len +
                   event->ending.sequence.len + event->ending.explanation.len;

    if (event->citation != NULL) {
        texts += event->citation->raw.len + event->citation->url.len + event->citation->title.len +
                 event->citation->quote.len;
    }
    if (event->failure != NULL) {
        texts += event->failure->error.message.len + event->failure->error.param.len;
    }
    return RELAY_EVENT_ROOM + 6 * texts + image +
           (event->kind == RELAY_STREAM_DELTA ? 0 : stream->writer.owed);
}

static void write_event(void *owner, const relay_stream_event_t *event)
{
    relay_stream_translation_t *stream = owner;
    relay_output_t *output = stream->options.output;
    size_t room = room_for(stream, event);

    if (stream->failed || stream->over) {
        return;
    }
    if ((output->buf.capacity < output->buf.len || output->buf.capacity - output->buf.len < room) &&
        !output->room(output, room)) {
        stream->failed = true;
        return;
    }
    stream->caller->write_event(&stream->writer, event, &output->buf);
    stream->over = event->kind == RELAY_STREAM_END || event->kind == RELAY_STREAM_ERROR;
}

static void fail(relay_stream_translation_t *stream, const relay_error_t *error)
{
    relay_failure_t failure = {.error = *error};
    relay_stream_event_t event = {.kind = RELAY_STREAM_ERROR, .failure = &failure};

    if (!stream->over) {
        write_event(stream, &event);
        stream->failed = true;
        stream->over = true;
        stream->reader.over = true;
        stream->class = RELAY_EVENT_ERROR;
        stream->status = error->status != 0 ? error->status : 502;
    }
}

/* ---- what an event is ---------------------------------------------------- */

static void weigh(relay_stream_translation_t *stream, relay_event_class_t class)
{
    stream->class = class > stream->class ? class : stream->class;
}

static void classify(relay_stream_translation_t *stream, const relay_stream_event_t *event)
{
    switch (event->kind) {
    case RELAY_STREAM_START:
        weigh(stream, RELAY_EVENT_PRELUDE);
        break;
    case RELAY_STREAM_BLOCK: /* text and thinking announce themselves empty */
        if (event->block_kind != RELAY_BLOCK_TEXT && event->block_kind != RELAY_BLOCK_THINKING) {
            stream->content_seen = true;
            weigh(stream, RELAY_EVENT_CONTENT);
        } else {
            weigh(stream, RELAY_EVENT_PRELUDE);
        }
        break;
    case RELAY_STREAM_DELTA:
    case RELAY_STREAM_FINISH:
        stream->content_seen = true;
        weigh(stream, RELAY_EVENT_CONTENT);
        break;
    case RELAY_STREAM_STOP:
    case RELAY_STREAM_USAGE:
        weigh(stream, stream->content_seen ? RELAY_EVENT_CONTENT : RELAY_EVENT_PRELUDE);
        break;
    case RELAY_STREAM_END:
        weigh(stream, RELAY_EVENT_END);
        break;
    case RELAY_STREAM_ERROR:
        weigh(stream, RELAY_EVENT_ERROR);
        break;
    case RELAY_STREAM_PING:
        break;
    }
}

static void note(relay_stream_translation_t *stream, const relay_stream_event_t *event)
{
    if (event->kind == RELAY_STREAM_FINISH && event->choice == 0) {
        stream->stop = event->ending.reason;
    }
    if (event->kind == RELAY_STREAM_ERROR) {
        stream->status = event->failure->error.status != 0 ? event->failure->error.status : 502;
    }
}

static void fail_with(relay_stream_translation_t *stream, relay_span_t message)
{
    const relay_error_t error = {.code = RELAY_ERR_UPSTREAM_INVALID, .message = message};

    fail(stream, &error);
}

/* As the caller's format has it. */
static void take_error(relay_stream_translation_t *stream, const relay_stream_event_t *event)
{
    relay_stream_event_t translated = *event;
    relay_failure_t failure = *event->failure;
    uint8_t bytes[RELAY_FAILURE_TEXT];
    relay_buf_t text = relay_buf(bytes, sizeof(bytes));

    relay_failure_settle(stream->options.translation, &failure, &text);
    translated.failure = &failure;
    classify(stream, &translated);
    note(stream, event); /* to Relay the status is the provider's */
    write_event(stream, &translated);
    stream->failed = true;
}

/* An answer has an event to begin with, and needs no sign of life once it is complete. */
static bool under_way(const relay_stream_translation_t *stream)
{
    return stream->reader.started && !stream->reader.finished;
}

static void take(void *owner, const relay_stream_event_t *event)
{
    relay_stream_translation_t *stream = owner;

    if (stream->over || (event->kind == RELAY_STREAM_PING && !under_way(stream))) {
        return;
    }
    if (event->kind == RELAY_STREAM_ERROR) {
        take_error(stream, event);
        return;
    }
    classify(stream, event);
    note(stream, event);
    if (!stream->caller->serial) {
        write_event(stream, event);
    } else if (!relay_order_take(&stream->order, event, write_event, stream)) {
        fail_with(stream, RELAY_SPAN("The provider's answer mixes more than can be sorted."));
    }
    if (stream->writer.failed) {
        fail_with(stream, RELAY_SPAN("The provider's answer is too long to be kept until its end, "
                                     "as this format asks for."));
    }
}

relay_span_t relay_stop_word(relay_stop_t stop)
{
    static const relay_span_t words[] = {
        [RELAY_STOP_UNSET] = RELAY_SPAN_INIT(""),
        [RELAY_STOP_END] = RELAY_SPAN_INIT("stop"),
        [RELAY_STOP_LENGTH] = RELAY_SPAN_INIT("length"),
        [RELAY_STOP_TOOLS] = RELAY_SPAN_INIT("tool_calls"),
        [RELAY_STOP_SEQUENCE] = RELAY_SPAN_INIT("stop_sequence"),
        [RELAY_STOP_REFUSAL] = RELAY_SPAN_INIT("refusal"),
        [RELAY_STOP_PAUSE] = RELAY_SPAN_INIT("pause"),
        [RELAY_STOP_CONTEXT] = RELAY_SPAN_INIT("context"),
    };

    return words[stop];
}

/* ---- the stream ---------------------------------------------------------- */

static relay_kept_t kept(const relay_stream_options_t *options)
{
    return (relay_kept_t){.memory = options->memory, .max = options->kept_max};
}

/* Both states in one block, the reader's first. */
static bool open_states(relay_stream_translation_t *stream)
{
    const relay_translation_t *translation = stream->options.translation;
    const size_t *reader = translation->upstream->reader_size;
    const size_t *writer = translation->caller->writer_size;
    size_t first = reader != NULL ? (*reader + 15) / 16 * 16 : 0;
    size_t size = first + (writer != NULL ? *writer : 0);
    uint8_t *block;

    if (size == 0) {
        return true;
    }
    block = stream->options.memory.resize(stream->options.memory.owner, NULL, size);
    if (block == NULL) {
        return false;
    }
    memset(block, 0, size);
    stream->states = block;
    stream->reader.state = block;
    stream->writer.state = block + first;
    return true;
}

bool relay_stream_open(relay_stream_translation_t *stream, const relay_stream_options_t *options)
{
    memset(stream, 0, sizeof(*stream));
    stream->options = *options;
    stream->caller = options->translation->caller;
    stream->reader.emit = take;
    stream->reader.owner = stream;
    stream->reader.kept = kept(options);
    stream->order.kept = kept(options);
    stream->reader.translation = options->translation;
    stream->writer.translation = options->translation;
    stream->writer.kept = kept(options);
    stream->writer.aside = kept(options);
    return open_states(stream);
}

relay_event_class_t relay_stream_item(relay_stream_translation_t *stream,
                                      const relay_sse_item_t *item)
{
    stream->class = RELAY_EVENT_IDLE;
    if (!stream->over) {
        stream->options.translation->upstream->read_event(&stream->reader, item);
    }
    return stream->class;
}

relay_event_class_t relay_stream_close(relay_stream_translation_t *stream)
{
    return relay_stream_item(stream, NULL);
}

void relay_stream_ping(relay_stream_translation_t *stream)
{
    const relay_stream_event_t event = {.kind = RELAY_STREAM_PING};

    take(stream, &event);
}

void relay_stream_fail(relay_stream_translation_t *stream, const relay_error_t *error)
{
    fail(stream, error);
}

void relay_stream_free(relay_stream_translation_t *stream)
{
    relay_kept_free(&stream->reader.kept);
    relay_kept_free(&stream->order.kept);
    relay_kept_free(&stream->writer.kept);
    relay_kept_free(&stream->writer.aside);
    if (stream->states != NULL) {
        stream->options.memory.resize(stream->options.memory.owner, stream->states, 0);
        stream->states = NULL;
    }
}
