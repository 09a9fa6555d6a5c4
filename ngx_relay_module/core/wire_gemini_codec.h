/*
 * The parts of the codec of Gemini generateContent: requests, whole answers,
 * streams. Internal to core/wire_gemini_codec*.c and wire_codecs.c.
 *
 * The format allows two spellings of every name ("inlineData", "inline_data") and
 * one value where it has a list; what is read here is read so.
 */

#ifndef RELAY_WIRE_GEMINI_CODEC_H
#define RELAY_WIRE_GEMINI_CODEC_H

#include "codec_support.h"

extern const relay_codec_t relay_codec_gemini;

/* A tool's name is at most so long. */
enum { RELAY_GEMINI_NAME_MAX = 64 };

/* Whose signatures these are, as formats call it that carry several. */
#define RELAY_GEMINI_SIGNER RELAY_SPAN("google-gemini-v1")

/* One body being read. */
typedef struct {
    relay_translation_t *translation;
    const relay_json_tree_t *tree;
    bool answer;                  /* of a model: nothing in it is refused */
    bool own;                     /* goes out in this format again: parts stay as they are */
    unsigned calls;               /* function calls so far, over all messages */
    size_t steps;                 /* comparisons that pairing has cost */
    relay_message_t *messages;    /* the request's, so far */
    relay_message_t *turn;        /* the model's that is being read for another format */
    relay_block_t **turn_tail;    /* where its next block goes */
    relay_member_t **turn_extras; /* and its next unknown member, or before it */
    bool blank;                   /* an empty text of the turn was left out */
    relay_block_t *thought;       /* the turn's last block, if its signature may still come */
    relay_buf_t thought_text;     /* its text, once it is of several pieces */
} relay_gemini_reading_t;

/* A request being written. */
typedef struct {
    relay_translation_t *translation;
    const relay_request_t *request;
    relay_buf_t *out;
    bool own;  /* it came in this format */
    bool part; /* a part of the turn is out */
    bool call; /* a function call of the turn is out */
} relay_gemini_writing_t;

/* Bytes of state of the two stream machines. */
extern const size_t relay_gemini_reader_size;
extern const size_t relay_gemini_writer_size;

relay_error_code_t relay_gemini_read_request(relay_translation_t *translation,
                                             const relay_json_tree_t *tree,
                                             relay_request_t *request);
relay_error_code_t relay_gemini_write_request(relay_translation_t *translation,
                                              const relay_request_t *request, relay_buf_t *out);
relay_error_code_t relay_gemini_read_response(relay_translation_t *translation,
                                              const relay_json_tree_t *tree,
                                              relay_response_t *response);
relay_error_code_t relay_gemini_write_response(relay_translation_t *translation,
                                               const relay_response_t *response, relay_buf_t *out);
void relay_gemini_read_event(relay_reader_t *reader, const relay_sse_item_t *item);
void relay_gemini_write_event(relay_writer_t *writer, const relay_stream_event_t *event,
                              relay_buf_t *out);

/* ---- names and lists (wire_gemini_codec_names.c) ------------------------- */

/* relay_json_pick for names in camelCase that may be spelt in snake_case. */
void relay_gemini_pick(const relay_json_tree_t *tree, relay_json_node_t node,
                       const relay_span_t *keys, size_t nkeys, relay_json_node_t *nodes);
size_t relay_gemini_key(const relay_json_tree_t *tree, relay_json_node_t key,
                        const relay_span_t *keys, size_t nkeys);

/* The name of a member by its value, as it is spelt. */
relay_span_t relay_gemini_spelt(const relay_json_tree_t *tree, relay_json_node_t node);

/* The elements of a list; of anything else that value alone, and that is at no index:
 * relay_gemini_step is what each adds to it, from RELAY_PLACE_NO_INDEX on. */
int relay_gemini_step(const relay_json_tree_t *tree, relay_json_node_t list);
relay_json_node_t relay_gemini_first(const relay_json_tree_t *tree, relay_json_node_t list);
relay_json_node_t relay_gemini_next(const relay_json_tree_t *tree, relay_json_node_t list,
                                    relay_json_node_t element);

/* relay_codec_extras with both spellings, behind what *list holds already; names get
 * "prefix." in front (prefix may be empty). */
bool relay_gemini_extras(relay_gemini_reading_t *reading, relay_json_node_t object,
                         const relay_span_t *keys, size_t nkeys, const relay_span_t *essentials,
                         size_t nessentials, relay_span_t prefix, relay_member_t **list);

/* The value, ABSENT for null. */
relay_json_value_t relay_gemini_given(const relay_json_tree_t *tree, relay_json_node_t node);

/* ---- signatures (wire_gemini_codec_signature.c) -------------------------- */

/* Where part begins in text; text.len if it is not in it. */
size_t relay_gemini_find(relay_span_t text, relay_span_t part);

/*
 * Most clients of other formats give nothing back of a call but its id: so that is
 * where the signature of a call travels.
 *
 *   {"functionCall":{"id":"a",…},"thoughtSignature":"Q+E="} ◄─► id "a__thought__Q-E"
 */
size_t relay_gemini_signed_id_max(relay_span_t id, relay_span_t signature);
/* Puts id and signature as one id. False, and nothing put, if the signature is no
 * base64. scratch has signed_id_max bytes. */
bool relay_gemini_put_signed_id(relay_buf_t *out, relay_span_t id, relay_span_t signature);
/* Takes such an id apart; signature is empty if it holds none. */
void relay_gemini_split_id(relay_span_t *id, relay_span_t *signature);
/* The signature of an id in the alphabet that it had, between quotes. */
void relay_gemini_put_id_signature(relay_buf_t *out, relay_span_t signature);

/*
 * What another provider signed, as a signature of this format: of a THINKING block,
 * or the whole of a REDACTED one. The way back is relay_gemini_unseal.
 */
void relay_gemini_put_sealed(relay_buf_t *out, relay_block_kind_t kind, relay_span_t signer,
                             relay_span_t text);
/* False if the signature is this format's own. */
bool relay_gemini_unseal(relay_translation_t *translation, relay_span_t signature,
                         relay_block_kind_t *kind, relay_span_t *signer, relay_span_t *text);

/* ---- parts (wire_gemini_codec_parts.c) ----------------------------------- */

/* Appends the blocks of a list of parts; outer is what holds it. */
bool relay_gemini_read_parts(relay_gemini_reading_t *reading, relay_json_node_t parts,
                             const relay_place_t *outer, relay_block_t ***tail);

/* The turn of the model is complete. False if the arena is empty. */
bool relay_gemini_end_turn(relay_gemini_reading_t *reading);

/* The kind of block that media of a type are. */
relay_block_kind_t relay_gemini_media_kind(relay_span_t media_type);

/* ---- schemas (wire_gemini_codec_schema.c) -------------------------------- */

/* A schema in the format's own dialect (types in capitals, "nullable") as JSON Schema. */
bool relay_gemini_read_schema(relay_gemini_reading_t *reading, relay_json_node_t node,
                              relay_json_value_t *schema);
/* JSON Schema in that dialect, with references put in their place and what it does
 * not know left out; sets *lossy if that was anything that constrains. False if the
 * arena is empty. */
bool relay_gemini_put_schema(relay_translation_t *translation, relay_buf_t *out,
                             relay_json_value_t schema, bool *lossy);

/* ---- log probabilities (wire_gemini_codec_logprobs.c) ------------------- */

/* The list that a candidate's logprobsResult is elsewhere; false if it has none. */
bool relay_gemini_put_likely(relay_buf_t *out, relay_json_value_t result);
/* ,"logprobsResult":… for the blocks that have such lists: there is one. */
void relay_gemini_put_logprobs(relay_buf_t *out, const relay_block_t *blocks);

/* ---- requests, answers --------------------------------------------------- */

/* "systemInstruction":…, if there is one, and "contents":[…] */
bool relay_gemini_write_contents(relay_gemini_writing_t *writing);

/* Reasons to finish, both ways; END for a word that is not known, UNSET for none. */
relay_stop_t relay_gemini_stop(relay_span_t word);
relay_span_t relay_gemini_stop_word(relay_stop_t reason);

/* A tier that the format has no word for is noted. */
void relay_gemini_put_usage(relay_translation_t *translation, relay_buf_t *out,
                            const relay_usage_t *usage);

/* "inlineData":… or, of a URL, "fileData":… */
void relay_gemini_put_image(relay_buf_t *out, const relay_media_t *media);

/* One chunk of groundingMetadata. */
void relay_gemini_put_grounding(relay_buf_t *out, const relay_citation_t *citation);

#endif
