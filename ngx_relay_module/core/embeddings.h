/*
 * Embeddings between wire formats: what the canonical protocol is for messages,
 * for texts that become vectors. A request has no roles and no blocks, an answer
 * is numbers and never streams: so they have structs and functions of their own.
 *
 *   caller's bytes ─ read_request ─► relay_texts_t ─ write_request ─► upstream
 *   caller ◄─ write_response ─ relay_vectors_t ◄─ read_response ─ upstream's bytes
 *
 * A format takes part by a relay_codec_t whose `embeddings` is set; its functions
 * for messages are those of RELAY_EMBEDDING_CODEC. Callers: core/translate.c,
 * core/wire_*embed*.c. Spans and values are as in canonical.h.
 */

#ifndef RELAY_EMBEDDINGS_H
#define RELAY_EMBEDDINGS_H

#include "codec_support.h"

/* ---- requests ------------------------------------------------------------ */

typedef struct relay_text_s {
    struct relay_text_s *next;
    relay_span_t text; /* never empty */
} relay_text_t;

/* What the vectors are for. Some models embed a question differently from what is
 * to be found by it. */
typedef enum {
    RELAY_PURPOSE_UNSET = 0,
    RELAY_PURPOSE_DOCUMENT,
    RELAY_PURPOSE_QUERY,
    RELAY_PURPOSE_CLASSIFICATION,
    RELAY_PURPOSE_CLUSTERING,
    RELAY_PURPOSE_SIMILARITY,
    RELAY_PURPOSES
} relay_purpose_t;

typedef struct {
    relay_span_t model; /* as the caller wrote it */
    relay_text_t *texts;
    size_t count; /* at least 1 */
    relay_json_value_t dimensions;
    relay_purpose_t purpose;
} relay_texts_t;

/* ---- answers ------------------------------------------------------------- */

/* In one of two forms. */
typedef struct relay_vector_s {
    struct relay_vector_s *next;
    relay_json_value_t numbers; /* an array */
    relay_span_t packed;        /* base64 of 32-bit floats, if numbers is ABSENT */
} relay_vector_t;

typedef struct {
    relay_vector_t *vectors; /* in the order of the texts */
    size_t count;
    relay_usage_t usage;
} relay_vectors_t;

/* Appends a vector at *tail and moves *tail on. False if the value is neither an
 * array nor a string, or the arena is empty: error is filled. */
bool relay_vectors_add(relay_translation_t *translation, relay_vectors_t *vectors,
                       relay_vector_t ***tail, relay_json_value_t value);

/*
 * Writes a vector as an array of numbers without white space, or (base64) as a
 * string. False, error UPSTREAM_INVALID, if it is no list of numbers.
 */
bool relay_vector_put(relay_translation_t *translation, const relay_vector_t *vector, bool base64,
                      relay_buf_t *out);

/* ---- formats ------------------------------------------------------------- */

/* A format that only callers speak has no write_request and read_response, one
 * that only upstreams do has not the other two. */
struct relay_embedding_codec_s {
    relay_error_code_t (*read_request)(relay_translation_t *translation,
                                       const relay_json_tree_t *tree, relay_texts_t *texts);
    relay_error_code_t (*write_request)(relay_translation_t *translation,
                                        const relay_texts_t *texts, relay_buf_t *out);
    /* The body may be anything; without a tree, as numbers are many. */
    relay_error_code_t (*read_response)(relay_translation_t *translation, relay_span_t body,
                                        relay_vectors_t *vectors);
    relay_error_code_t (*write_response)(relay_translation_t *translation,
                                         const relay_vectors_t *vectors, relay_buf_t *out);
};

/* ---- what a codec of embeddings says to messages -------------------------- */

extern const relay_span_t relay_embedding_fields[RELAY_FIELDS];

relay_error_code_t relay_embedding_read_request(relay_translation_t *translation,
                                                const relay_json_tree_t *tree,
                                                relay_request_t *request);
relay_error_code_t relay_embedding_write_request(relay_translation_t *translation,
                                                 const relay_request_t *request, relay_buf_t *out);
relay_error_code_t relay_embedding_read_response(relay_translation_t *translation,
                                                 const relay_json_tree_t *tree,
                                                 relay_response_t *response);
relay_error_code_t relay_embedding_write_response(relay_translation_t *translation,
                                                  const relay_response_t *response,
                                                  relay_buf_t *out);
void relay_embedding_read_event(relay_reader_t *reader, const relay_sse_item_t *item);
void relay_embedding_write_event(relay_writer_t *writer, const relay_stream_event_t *event,
                                 relay_buf_t *out);

#define RELAY_EMBEDDING_CODEC                                                                      \
    .fields = relay_embedding_fields, .read_request = relay_embedding_read_request,                \
    .write_request = relay_embedding_write_request,                                                \
    .read_response = relay_embedding_read_response,                                                \
    .write_response = relay_embedding_write_response, .read_event = relay_embedding_read_event,    \
    .write_event = relay_embedding_write_event

#endif
