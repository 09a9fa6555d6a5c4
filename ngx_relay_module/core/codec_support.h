/*
 * What codecs share whatever their format: refusing and noting, building lists
 * in the arena, names that the other side can take, JSON in and out of strings.
 * Internal to core/wire_*_codec*.c and core/translate*.c.
 *
 * Functions that can fail return false or NULL with translation->error filled; a
 * failure stays until the next translation, so that a writer may go on and look
 * once at its end.
 */

#ifndef RELAY_CODEC_SUPPORT_H
#define RELAY_CODEC_SUPPORT_H

#include "translate.h"

/* ---- where something is -------------------------------------------------- */

/* The place for as long as the arena lives; what it is in has to be kept already. NULL:
 * the arena is empty. */
const relay_place_t *relay_codec_keep(relay_translation_t *translation, const relay_place_t *place);
/* The place of a member, kept. */
const relay_place_t *relay_codec_member(relay_translation_t *translation,
                                        const relay_place_t *outer, relay_span_t name);

/* For a reader: the caller says `word` for the field. False if the arena is empty. */
bool relay_codec_say(relay_translation_t *translation, relay_field_t field, relay_span_t word);
/* What the caller says for it; empty: its format has no such field. */
relay_span_t relay_codec_word(const relay_translation_t *translation, relay_field_t field);

/* ---- saying no ----------------------------------------------------------- */

/* Always false. The message is one sentence that need not name the place. */
bool relay_codec_refuse(relay_translation_t *translation, const relay_place_t *place,
                        relay_span_t message);
/* A required field is not there. Always false. */
bool relay_codec_missing(relay_translation_t *translation, const relay_place_t *place);
/* A block, or what is at the end of its place. Always false. */
bool relay_codec_refuse_block(relay_translation_t *translation, const relay_block_t *block,
                              relay_span_t message);
/* A tool that only its own format knows. Always false. */
bool relay_codec_refuse_tool(relay_translation_t *translation, const relay_tool_t *tool);
/* A field that every format names: the caller's word for it. Always false. */
bool relay_codec_refuse_field(relay_translation_t *translation, relay_field_t field,
                              relay_span_t message);
/* A field that the upstream cannot be told, as the caller's clients know it. Always false. */
bool relay_codec_unsupported(relay_translation_t *translation, const relay_place_t *place);
bool relay_codec_unsupported_field(relay_translation_t *translation, relay_field_t field);
/* What is said of such a field. */
relay_span_t relay_codec_unsupported_text(const relay_translation_t *translation);
/* The upstream's answer is not what its format has. Always false. */
bool relay_codec_invalid(relay_translation_t *translation, relay_span_t message);

/*
 * Turns a failure as the upstream has it (status, code, message) into one as the
 * caller has it: see relay_translate_failure. A new message is put into text, which
 * has RELAY_FAILURE_TEXT bytes.
 */
enum { RELAY_FAILURE_TEXT = 2048 };
void relay_failure_settle(relay_translation_t *translation, relay_failure_t *failure,
                          relay_buf_t *text);

/* Notes what does not arrive, by the caller's word, or by its path without indexes. */
void relay_codec_drop(relay_translation_t *translation, relay_field_t field);
void relay_codec_drop_name(relay_translation_t *translation, relay_span_t name);
void relay_codec_drop_at(relay_translation_t *translation, const relay_place_t *place);
/* A field of what is there: of a block or of a tool. */
void relay_codec_drop_in(relay_translation_t *translation, const relay_place_t *place,
                         relay_field_t field);
/* A cache marker, if it is one; what a text quotes, if it does. */
void relay_codec_drop_mark(relay_translation_t *translation, relay_json_value_t mark,
                           const relay_place_t *place);
void relay_codec_drop_citations(relay_translation_t *translation, const relay_block_t *block);
/*
 * Whether log probabilities are to be asked for; false: they are not wanted, or the
 * answer could not show them, which is noted then. shown: answers of the upstream's
 * format can be shown in the caller's.
 */
bool relay_codec_wants_logprobs(relay_translation_t *translation, const relay_request_t *request,
                                bool shown);
/* Notes what arrives in another form. */
void relay_codec_change(relay_translation_t *translation, relay_field_t field);
void relay_codec_change_at(relay_translation_t *translation, const relay_place_t *place);
void relay_codec_change_in(relay_translation_t *translation, const relay_place_t *place,
                           relay_field_t field);

/* Whether a reader finds a list at node, or nothing; else it is refused at place. */
bool relay_codec_is_list(relay_translation_t *translation, const relay_json_tree_t *tree,
                         relay_json_node_t node, const relay_place_t *place);
/* The same for a field that every format names. */
bool relay_codec_is_list_of(relay_translation_t *translation, const relay_json_tree_t *tree,
                            relay_json_node_t node, relay_field_t field);

/* ---- lists in the arena -------------------------------------------------- */

/* Zeroed. NULL: the arena is empty, error is INTERNAL. */
void *relay_codec_new(relay_translation_t *translation, size_t size);

/* Appends one at *tail and moves *tail on; NULL as above. */
relay_block_t *relay_codec_block(relay_translation_t *translation, relay_block_t ***tail,
                                 relay_block_kind_t kind);
relay_message_t *relay_codec_message(relay_translation_t *translation, relay_message_t ***tail,
                                     relay_role_t role);
relay_tool_t *relay_codec_tool(relay_translation_t *translation, relay_tool_t ***tail,
                               relay_tool_kind_t kind);
relay_name_t *relay_codec_name(relay_translation_t *translation, relay_name_t ***tail,
                               relay_span_t name);

/*
 * The members of an object that are not in keys, nor null, into *list. A name in
 * essentials marks its member as essential unless its value says nothing (false,
 * 0, an empty text or list).
 */
bool relay_codec_extras(relay_translation_t *translation, const relay_json_tree_t *tree,
                        relay_json_node_t object, const relay_span_t *keys, size_t nkeys,
                        const relay_span_t *essentials, size_t nessentials, relay_member_t **list);

/* ---- what a writer does with members and blocks that it does not know ---- */

/* True if the request or answer came in this format: raw and extras are its own. */
static inline bool relay_codec_own(const relay_codec_t *origin, const relay_codec_t *codec)
{
    return origin == codec;
}

/* For a reader, of an object at place whose other members nobody maps: notes them as
 * dropped. */
bool relay_codec_leave_rest(relay_translation_t *translation, const relay_json_tree_t *tree,
                            relay_json_node_t object, const relay_span_t *keys, size_t nkeys,
                            const relay_place_t *place);
/* The same for a member of the body. */
bool relay_codec_leave_rest_of(relay_translation_t *translation, const relay_json_tree_t *tree,
                               relay_json_node_t object, const relay_span_t *keys, size_t nkeys,
                               relay_span_t name);

/* Notes the extras of what is at place (NULL: the body) as dropped; refuses an
 * essential one. */
bool relay_codec_leave(relay_translation_t *translation, const relay_member_t *extras,
                       const relay_place_t *place);

/* The same for a message: its extras, and the name of its author. */
bool relay_codec_leave_message(relay_translation_t *translation, const relay_message_t *message);

/* What becomes of every tool: it is noted if it is deferred, and its extras are. */
bool relay_codec_leave_tool(relay_translation_t *translation, const relay_tool_t *tool);

/* ,"name":value for each. */
void relay_codec_put_extras(relay_buf_t *out, const relay_member_t *extras);

/* ---- text ---------------------------------------------------------------- */

/* A string's content in plain; text itself if it has no escapes. */
relay_span_t relay_codec_plain(relay_translation_t *translation, relay_span_t text);

/* Text between quotes. */
void relay_codec_put_string(relay_buf_t *out, relay_span_t text);
/* The same for null where it is empty. */
void relay_codec_put_string_or_null(relay_buf_t *out, relay_span_t text);
/* ,"name":"text", or nothing if text is empty. name is ,"name": already. */
void relay_codec_put_text(relay_buf_t *out, relay_span_t name, relay_span_t text);
/* ,"name":value, or nothing if it is ABSENT. */
void relay_codec_put_value(relay_buf_t *out, relay_span_t name, relay_json_value_t value);

/* True if text is nothing but white space, escaped or not. */
bool relay_codec_blank(relay_span_t text);

/* What an error in a stream says, in plain, for as long as bytes has room; a character is
 * whole or left out. */
enum { RELAY_CODEC_ERROR_MAX = 4096 };
relay_span_t relay_codec_error_text(relay_span_t text, uint8_t bytes[RELAY_CODEC_ERROR_MAX]);

/* Whether part, which is not empty, is somewhere in text, in letters of either case. */
bool relay_codec_holds(relay_span_t text, relay_span_t part);

/* The first place at or behind `at` where text can be cut: within no escape and no
 * character. */
size_t relay_codec_boundary(relay_span_t text, size_t at);

/* ---- log probabilities (codec_logprobs.c) -------------------------------- */

/*
 * The entries of a list, without brackets, with every member that Chat Completions
 * and Responses have; no_bytes stands for bytes that the provider does not tell. At most six times
 * as long as the list.
 */
void relay_codec_put_logprobs(relay_buf_t *out, relay_json_value_t list, relay_span_t no_bytes);

/* ---- ids ----------------------------------------------------------------- */

/*
 * The id of the answer, the content of a string: the caller's prefix and the request's
 * id. Those of other formats look different, and a provider may use one twice, by which
 * clients take two answers for one. Between two sides of one format the provider's.
 */
void relay_codec_put_answer_id(relay_buf_t *out, const relay_translation_t *translation,
                               relay_span_t prefix, relay_span_t id);

/* ---- tool calls ---------------------------------------------------------- */

/* Arguments as the content of a string (with its quotes), without white space
 * between tokens if they are an object. */
void relay_codec_put_quoted(relay_buf_t *out, const relay_arguments_t *arguments);

/* Arguments as a JSON object: "" is {}. False if the text is no object; nothing is
 * put then. Needs the arena for escaped text. */
bool relay_codec_put_object(relay_translation_t *translation, relay_buf_t *out,
                            const relay_arguments_t *arguments);

/* The same for any text: one that is no object becomes {"raw_arguments":"text"}, and
 * false tells so. A model's broken call must not be in the way of the rest. */
bool relay_codec_put_input(relay_translation_t *translation, relay_buf_t *out,
                           const relay_arguments_t *arguments);

/* What a custom tool takes where it is sent as a function. */
#define RELAY_CODEC_WRAPPED_SCHEMA                                                                 \
    RELAY_SPAN("{\"type\":\"object\",\"properties\":{\"input\":{\"type\":\"string\"}},"            \
               "\"required\":[\"input\"],\"additionalProperties\":false}")

/* {"input":"text"} for the text of a custom tool that is sent as a function, the same
 * as the content of a string (with its quotes), and the text of that form again;
 * false if it has another. */
void relay_codec_put_wrapped(relay_buf_t *out, relay_span_t text);
void relay_codec_put_wrapped_quoted(relay_buf_t *out, relay_span_t text);
bool relay_codec_unwrap(relay_translation_t *translation, const relay_arguments_t *arguments,
                        relay_span_t *text);

/*
 * A tool's name or a call's id with nothing but [A-Za-z0-9_-] and at most max
 * bytes: as it is, or shortened with a hash of the original behind it, the same
 * for the same text. Tool names are remembered for the answer.
 */
relay_span_t relay_codec_tool_name(relay_translation_t *translation, relay_span_t scope,
                                   relay_span_t name, bool free_text, size_t max);
relay_span_t relay_codec_call_id(relay_translation_t *translation, relay_span_t id, size_t max);

/* Whether the choice names this tool: one without a scope names it in any. */
bool relay_codec_names(const relay_name_t *name, const relay_tool_t *tool);
/* The tool that the choice names, one outside of scopes first; NULL if there is none. */
const relay_tool_t *relay_codec_chosen(const relay_request_t *request, const relay_name_t *name);
/* relay_codec_tool_name for it. wraps: custom tools are sent as functions. */
relay_span_t relay_codec_choice_name(relay_translation_t *translation,
                                     const relay_request_t *request, const relay_name_t *name,
                                     bool wraps, size_t max);

/* What the upstream calls `sent`; NULL if it is the caller's own name. */
const relay_rename_t *relay_codec_renamed(const relay_translation_t *translation,
                                          relay_span_t sent);

/* ---- words --------------------------------------------------------------- */

relay_effort_t relay_codec_effort(relay_span_t word);
relay_span_t relay_codec_effort_word(relay_effort_t effort);
/* The budget that stands for an effort and back; target may say otherwise. */
uint64_t relay_codec_budget(const relay_target_t *target, relay_effort_t effort);
relay_effort_t relay_codec_effort_of(const relay_target_t *target, uint64_t budget_tokens);

/* The tier of a request where a format has "flex" and "priority" beside its usual one;
 * empty: that. What else is asked for is noted. */
relay_span_t relay_codec_tier(relay_translation_t *translation, const relay_request_t *request);
/* Whether it is the usual one. */
bool relay_codec_usual_tier(relay_span_t tier);

/* Whether the number is above bound; false if it is none. */
bool relay_codec_above(relay_json_value_t number, double bound);
/* Whether it is a number and not zero. */
bool relay_codec_nonzero(relay_json_value_t number);

/* "data:image/png;base64,…" taken apart into media; false if it is none. */
bool relay_codec_data_url(relay_translation_t *translation, relay_span_t url, relay_media_t *media);
void relay_codec_put_data_url(relay_buf_t *out, const relay_media_t *media);
/* The URL between quotes that media from an answer have, or such a one. */
void relay_codec_put_media_url(relay_buf_t *out, const relay_media_t *media);
/* What the BLOCK of an IMAGE holds. */
relay_media_t relay_codec_event_media(const relay_stream_event_t *event);

/* What base64 data (the content of a string) spells, in plain; empty if it is none. */
relay_span_t relay_codec_base64_text(relay_translation_t *translation, relay_span_t data);

/* Whether base64 data begins as an image of that type does; true for types that
 * are not known. */
bool relay_codec_looks_like(relay_span_t media_type, relay_span_t data);

/* Whether media that a caller calls an image can be one: data of such a type that looks
 * like it, or an address that may be read from. */
bool relay_codec_is_image(const relay_media_t *media);

#endif
