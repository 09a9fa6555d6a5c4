/*
 * The state of a writer of Responses streams, and the items that it writes.
 * Internal to core/wire_openai_responses_codec_item.c and _writer.c.
 *
 * What the last event repeats is kept: the items that are done, then those parts
 * of the open one that its end repeats.
 *
 *   kept: items, as they go out | head | text
 *   head: of a call its name and id; of text its annotations; of thinking its
 *         signature; of an image its format
 *   aside: of text its logprobs
 */

#ifndef RELAY_WIRE_OPENAI_RESPONSES_CODEC_ITEM_H
#define RELAY_WIRE_OPENAI_RESPONSES_CODEC_ITEM_H

#include "wire_openai_responses_codec.h"

enum {
    RELAY_RESPONSES_ID_MAX = 160,
    RELAY_RESPONSES_MODEL_MAX = 256,
    RELAY_RESPONSES_SIGNER_MAX = 64
};

typedef enum {
    RELAY_ITEM_NONE = 0,
    RELAY_ITEM_OPEN,
    RELAY_ITEM_SHOWN,
    RELAY_ITEM_COMPLETE
} relay_responses_phase_t;

typedef struct {
    relay_responses_phase_t phase;
    relay_block_kind_t kind; /* of the item in hand */
    relay_responses_call_t call;
    bool started;
    bool wrapped;   /* a custom tool that the upstream knows as a function */
    bool refused;   /* a refusal has been written */
    uint32_t index; /* of the item in hand, or the next one */
    uint32_t notes; /* annotations of the open text */
    uint64_t sequence;
    uint64_t created_s;
    size_t items_len; /* in kept */
    size_t head_len;
    size_t name_len; /* of head: a call's name, as a member */
    relay_stop_t reason;
    uint16_t id_len;
    uint16_t model_len;
    uint16_t signer_len;
    uint8_t id[RELAY_RESPONSES_ID_MAX];
    uint8_t model[RELAY_RESPONSES_MODEL_MAX];
    uint8_t signer[RELAY_RESPONSES_SIGNER_MAX];
} relay_responses_writer_t;

static inline relay_responses_writer_t *relay_responses_state(relay_writer_t *writer)
{
    return (relay_responses_writer_t *)(void *)writer->state;
}

/* ---- what is kept: a failure is in writer->failed ------------------------- */

relay_span_t relay_responses_kept_items(relay_writer_t *writer);
relay_span_t relay_responses_kept_head(relay_writer_t *writer);
relay_span_t relay_responses_kept_text(relay_writer_t *writer);
relay_span_t relay_responses_kept_logprobs(relay_writer_t *writer);
void relay_responses_keep_head(relay_writer_t *writer, relay_span_t text);
void relay_responses_keep_text(relay_writer_t *writer, relay_span_t text);
/* Behind those that are kept; returns its entries, without brackets. */
relay_span_t relay_responses_keep_logprobs(relay_writer_t *writer, relay_json_value_t list);
void relay_responses_keep_annotation(relay_writer_t *writer, const relay_citation_t *citation);
/* The item as it went out takes the place of its parts. */
void relay_responses_keep_item(relay_writer_t *writer, relay_span_t status);
/* writer->owed for what is kept. */
void relay_responses_settle(relay_writer_t *writer);

/* ---- the item in hand ------------------------------------------------------ */

/* ,"item_id":"…","output_index":N */
void relay_responses_put_place(relay_writer_t *writer, relay_buf_t *out);
/* The whole item, or its beginning; the same for a message's part and a summary. */
void relay_responses_put_item(relay_writer_t *writer, relay_buf_t *out, relay_span_t status,
                              bool done);
void relay_responses_put_part(relay_writer_t *writer, relay_buf_t *out, bool done);
void relay_responses_put_summary(relay_writer_t *writer, relay_buf_t *out, bool done);

#endif
