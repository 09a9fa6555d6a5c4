/*
 * Sorts the events of a stream's blocks: see relay_order_t in translate.h. Called
 * by translate_stream.c for writers that know one open block at a time.
 */

#include "translate.h"

/* ---- how far arguments are ----------------------------------------------- */

/*
 *            { [                     "
 *   BEFORE ───────► BETWEEN ◄────────────► STRING ◄──► ESCAPE (one character)
 *                      │ last } ]
 *                      └─► WHOLE
 *
 * A value that is no object or list never becomes WHOLE here: its STOP ends it.
 */
enum { BEFORE = 0, BETWEEN, STRING, ESCAPE, WHOLE };

static void scan_byte(relay_order_t *order, uint8_t byte)
{
    switch (order->arguments) {
    case BEFORE:
    case BETWEEN:
        if (byte == '"') {
            order->arguments = order->arguments == BETWEEN ? STRING : BEFORE;
        } else if (byte == '{' || byte == '[') {
            order->depth++;
            order->arguments = BETWEEN;
        } else if ((byte == '}' || byte == ']') && order->depth != 0) {
            order->depth--;
            order->arguments = order->depth == 0 ? WHOLE : BETWEEN;
        }
        break;
    case STRING:
        order->arguments = byte == '"' ? BETWEEN : byte == '\\' ? ESCAPE : STRING;
        break;
    case ESCAPE:
        order->arguments = STRING;
        break;
    default:
        break;
    }
}

/* What \uXXXX stands for, as far as it matters: ASCII, or any letter. */
static uint8_t unicode(const uint8_t digits[4])
{
    unsigned value = 0;

    for (size_t i = 0; i < 4; i++) {
        uint8_t digit = digits[i] | 0x20;
        value = value * 16 + (unsigned)(digit <= '9' + 0x20 && digits[i] <= '9' ? digits[i] - '0'
                                                                                : digit - 'a' + 10);
    }
    return value < 0x80 ? (uint8_t)value : 'x';
}

/* The fragment is the content of a string: \" is a quote of the arguments. */
static void scan(relay_order_t *order, relay_span_t text)
{
    for (size_t i = 0; i < text.len && order->arguments != WHOLE; i++) {
        uint8_t byte = text.base[i];
        if (byte == '\\' && i + 1 < text.len) {
            byte = text.base[++i];
            if (byte == 'u' && text.len - i > 4) {
                byte = unicode(text.base + i + 1);
                i += 4;
            } else if (byte == 'n' || byte == 'r' || byte == 't' || byte == 'b' || byte == 'f') {
                byte = ' ';
            }
        }
        scan_byte(order, byte);
    }
}

/* ---- what is kept -------------------------------------------------------- */

enum { TEXT, SIGNATURE, SIGNER, ID, NAME, SCOPE, RAW, TYPE, LOGPROBS, URL, TITLE, QUOTE, TEXTS };

typedef struct {
    uint32_t block;
    uint8_t kind;
    uint8_t block_kind;
    bool free_text;
    bool citation;
    uint32_t len[TEXTS];
} record_t;

static void texts_of(const relay_stream_event_t *event, relay_span_t texts[TEXTS])
{
    texts[TEXT] = event->text;
    texts[SIGNATURE] = event->signature;
    texts[SIGNER] = event->signer;
    texts[ID] = event->id;
    texts[NAME] = event->name;
    texts[SCOPE] = event->scope;
    texts[RAW] = event->raw;
    texts[TYPE] = event->type;
    texts[LOGPROBS] = event->logprobs.text;
    texts[URL] = texts[TITLE] = texts[QUOTE] = relay_span(NULL, 0);
    if (event->citation != NULL) {
        texts[URL] = event->citation->url;
        texts[TITLE] = event->citation->title;
        texts[QUOTE] = event->citation->quote;
    }
}

static bool keep(relay_order_t *order, const relay_stream_event_t *event)
{
    relay_span_t texts[TEXTS];
    record_t record = {.block = event->block,
                       .kind = (uint8_t)event->kind,
                       .block_kind = (uint8_t)event->block_kind,
                       .free_text = event->free_text,
                       .citation = event->citation != NULL};
    size_t size = sizeof(record);

    texts_of(event, texts);
    for (size_t i = 0; i < TEXTS; i++) {
        record.len[i] = (uint32_t)texts[i].len;
        size += texts[i].len;
    }
    if (!relay_kept_room(&order->kept, size) ||
        !relay_kept_put(&order->kept, relay_span(&record, sizeof(record)))) {
        return false;
    }
    for (size_t i = 0; i < TEXTS; i++) {
        relay_kept_put(&order->kept, texts[i]);
    }
    return true;
}

static record_t record_at(const relay_order_t *order, size_t at, size_t *size)
{
    record_t record;

    memcpy(&record, order->kept.base + at, sizeof(record));
    *size = sizeof(record);
    for (size_t i = 0; i < TEXTS; i++) {
        *size += record.len[i];
    }
    return record;
}

/* True if a block of that number has begun among what is kept. */
static bool is_kept(const relay_order_t *order, unsigned block)
{
    size_t size;

    for (size_t at = 0; at < order->kept.len; at += size) {
        if (record_at(order, at, &size).block == block) {
            return true;
        }
    }
    return false;
}

/* ---- what flows ---------------------------------------------------------- */

typedef struct {
    void (*emit)(void *owner, const relay_stream_event_t *event);
    void *owner;
} sink_t;

static void flow(relay_order_t *order, const relay_stream_event_t *event, const sink_t *sink)
{
    switch (event->kind) {
    case RELAY_STREAM_BLOCK:
        order->flowing = true;
        order->block = event->block;
        order->kind = event->block_kind;
        order->free_text = event->free_text;
        order->arguments = BEFORE;
        order->depth = 0;
        break;
    case RELAY_STREAM_DELTA:
        if (order->kind == RELAY_BLOCK_TOOL_CALL && !order->free_text) {
            scan(order, event->text);
        }
        break;
    default:
        order->flowing = false;
        break;
    }
    sink->emit(sink->owner, event);
}

static void stop(relay_order_t *order, const sink_t *sink)
{
    relay_stream_event_t event = {
        .kind = RELAY_STREAM_STOP, .block = order->block, .block_kind = order->kind};

    flow(order, &event, sink);
}

static void replay_one(relay_order_t *order, const record_t *record, size_t at, const sink_t *sink)
{
    const uint8_t *base = order->kept.base + at + sizeof(*record);
    relay_citation_t citation = {0};
    relay_span_t texts[TEXTS];
    relay_stream_event_t event = {.kind = (relay_stream_kind_t)record->kind,
                                  .block = record->block,
                                  .block_kind = (relay_block_kind_t)record->block_kind,
                                  .free_text = record->free_text};

    for (size_t i = 0; i < TEXTS; i++) {
        texts[i] = relay_span(base, record->len[i]);
        base += record->len[i];
    }
    event.text = texts[TEXT];
    event.signature = texts[SIGNATURE];
    event.signer = texts[SIGNER];
    event.id = texts[ID];
    event.name = texts[NAME];
    event.scope = texts[SCOPE];
    event.raw = texts[RAW];
    event.type = texts[TYPE];
    if (texts[LOGPROBS].len != 0) {
        event.logprobs = (relay_json_value_t){RELAY_JSON_ARRAY, texts[LOGPROBS]};
    }
    citation.url = texts[URL];
    citation.title = texts[TITLE];
    citation.quote = texts[QUOTE];
    event.citation = record->citation ? &citation : NULL;
    flow(order, &event, sink);
}

/* All that is kept of the block that has waited longest; the rest moves up. */
static void replay(relay_order_t *order, const sink_t *sink)
{
    size_t size, to = 0;
    unsigned block = record_at(order, 0, &size).block;

    for (size_t at = 0; at < order->kept.len; at += size) {
        record_t record = record_at(order, at, &size);
        if (record.block == block) {
            replay_one(order, &record, at, sink);
        } else {
            memmove(order->kept.base + to, order->kept.base + at, size);
            to += size;
        }
    }
    order->kept.len = to;
}

/* While others wait, a block gives way as soon as it is complete. */
static void advance(relay_order_t *order, const sink_t *sink)
{
    while (order->kept.len != 0) {
        if (order->flowing && order->arguments != WHOLE) {
            return;
        }
        if (order->flowing) {
            stop(order, sink);
        }
        replay(order, sink);
    }
}

/* The answer is over: every block is complete. */
static void drain(relay_order_t *order, const sink_t *sink)
{
    do {
        if (order->flowing) {
            stop(order, sink);
        }
        if (order->kept.len != 0) {
            replay(order, sink);
        }
    } while (order->flowing || order->kept.len != 0);
}

static bool take_block(relay_order_t *order, const relay_stream_event_t *event, const sink_t *sink)
{
    bool begins = event->kind == RELAY_STREAM_BLOCK;

    if (begins && order->flowing && order->arguments == WHOLE) {
        stop(order, sink);
    }
    if (begins ? !order->flowing && order->kept.len == 0
               : order->flowing && event->block == order->block) {
        flow(order, event, sink);
    } else if (begins || is_kept(order, event->block)) {
        if (!keep(order, event)) {
            return false;
        }
    } /* else: of a block that gave way, complete as it was */
    advance(order, sink);
    return true;
}

bool relay_order_take(relay_order_t *order, const relay_stream_event_t *event,
                      void (*emit)(void *owner, const relay_stream_event_t *event), void *owner)
{
    sink_t sink = {emit, owner};

    switch (event->kind) {
    case RELAY_STREAM_BLOCK:
    case RELAY_STREAM_DELTA:
    case RELAY_STREAM_STOP:
        return event->choice != 0 || take_block(order, event, &sink);
    case RELAY_STREAM_FINISH:
        if (event->choice != 0) {
            return true;
        }
        drain(order, &sink);
        break;
    default:
        break;
    }
    emit(owner, event);
    return true;
}
