/*
 * Typed reading of configuration documents over the token tape: objects as
 * tables of fields, faults with path, line and column. Internal to
 * core/config_*.c.
 *
 * Every reader returns false after the first fault; the fault is then filled
 * and the caller only returns.
 */

#ifndef RELAY_CONFIG_READ_H
#define RELAY_CONFIG_READ_H

#include "config_doc.h"
#include "json_tape.h"

typedef struct {
    relay_span_t name;
    relay_span_t text;
    bool catalog;
    relay_span_t workspace; /* of a configuration document */
    relay_json_token_t *tokens;
    size_t count;
} relay_config_source_t;

/* A value of a document; of a member, the name is the token before it. */
typedef struct {
    const relay_config_source_t *source;
    uint32_t token;
} relay_config_node_t;

/* A value for {name} in the texts of a host. */
typedef struct {
    relay_span_t name;
    relay_span_t value;
} relay_config_variable_t;

/* A host of the catalog that cannot be used. */
typedef struct {
    relay_span_t name;
    const char *why;
} relay_config_absent_t;

typedef struct {
    const relay_arena_t *arena;
    const relay_arena_t *scratch; /* for what the result does not point to; may be the arena */
    relay_config_source_t *sources;
    size_t nsources;
    relay_config_t *config; /* what is built so far: later sections refer to earlier ones */
    relay_config_fault_t *fault;
    uint32_t *marks; /* by provider key: what config_access uses to find one twice */

    const relay_config_variable_t *variables; /* of the host in hand, sorted by name */
    size_t nvariables;
    relay_config_node_t base_url_for; /* the entry of "base_url_for" that counts for the host in
                                         hand; source NULL: its "base_url" */

    const char *leave_out; /* set by the reader of an entry of the catalog: why not to keep it */
    relay_config_absent_t *absent; /* sorted by name */
    size_t nabsent;
} relay_config_reader_t;

/* ---- faults (config_fault.c) --------------------------------------------- */

/* Fills the fault: where at is, and the formatted message. Always false. */
bool relay_config_refuse(relay_config_reader_t *reader, relay_config_node_t at, const char *format,
                         ...) __attribute__((format(printf, 3, 4)));

/* The same for a place that is no value, by offset. */
bool relay_config_refuse_offset(relay_config_reader_t *reader, const relay_config_source_t *source,
                                size_t offset, const char *message);

void relay_config_no_memory(relay_config_reader_t *reader);

enum { RELAY_CONFIG_QUOTE_MAX = 80 };

/* text in quotes, cut if it is long, for a message. Returns quoted. */
const char *relay_config_quote(relay_span_t text, char quoted[RELAY_CONFIG_QUOTE_MAX]);

/* The name of a member of an object, for its value. */
relay_config_node_t relay_config_key(relay_config_node_t value);

/* Named things: structures in an array, each with its name, a relay_span_t, first. */
typedef struct {
    const void *base;
    size_t count;
    size_t size;
} relay_config_names_t;

/* "there is no WHAT "GIVEN"", with the nearest name there is, or all of them. */
bool relay_config_unknown(relay_config_reader_t *reader, relay_config_node_t at, const char *what,
                          relay_span_t given, relay_config_names_t names);

/* ---- documents and containers (config_read.c) ---------------------------- */

bool relay_config_open(relay_config_reader_t *reader, const relay_document_t *document,
                       relay_config_source_t *source);

/* count zeroed structures of size; NULL after a fault. Never NULL for 0. */
void *relay_config_alloc(relay_config_reader_t *reader, size_t count, size_t size);

/* The same for what is needed only while reading. */
void *relay_config_scratch(relay_config_reader_t *reader, size_t count, size_t size);

static inline const relay_json_token_t *relay_config_token(relay_config_node_t node)
{
    return &node.source->tokens[node.token];
}

static inline relay_json_type_t relay_config_type(relay_config_node_t node)
{
    return (relay_json_type_t)relay_config_token(node)->type;
}

static inline relay_span_t relay_config_written(relay_config_node_t node)
{
    return relay_tape_value(node.source->text, relay_config_token(node)).text;
}

/* Fault unless node is of type; `expected` names it with its article. */
bool relay_config_expect(relay_config_reader_t *reader, relay_config_node_t node,
                         relay_json_type_t type, const char *expected);

/*
 * Walks the values of an object, without comments, or of an array: start with
 * a node whose token is 0, which is never a child. False after the last one.
 */
bool relay_config_next(relay_config_node_t container, relay_config_node_t *value);

/* Number of values that relay_config_next yields. */
size_t relay_config_size(relay_config_node_t container);

/* The member called name of an object. */
bool relay_config_member(relay_config_node_t object, const char *name, relay_config_node_t *value);

/* The binary search in names, which are sorted; NULL if there is none. */
const void *relay_config_lookup(relay_config_names_t names, relay_span_t name);

/* Bytes, then length. */
int relay_config_compare(relay_span_t a, relay_span_t b);

/* One entry of a section, from whichever document. */
typedef struct {
    relay_span_t name;
    relay_config_node_t value;
} relay_config_entry_t;

typedef struct {
    relay_config_entry_t *entries; /* sorted by name */
    size_t count;
} relay_config_entries_t;

/* In the order of the documents. */
int relay_config_compare_places(relay_config_node_t a, relay_config_node_t b);

/* ---- values --------------------------------------------------------------- */

/* The decoded text of a string, copied into the arena; min and max in bytes. */
bool relay_config_string(relay_config_reader_t *reader, relay_config_node_t node, size_t min,
                         size_t max, relay_span_t *text);

/*
 * The decoded text of a string that is not to be kept: in `room`. False without
 * a fault if it is no string or too long.
 */
bool relay_config_passing(relay_config_node_t node, relay_buf_t *room);

/* A whole number from min to max. */
bool relay_config_number(relay_config_reader_t *reader, relay_config_node_t node, uint64_t min,
                         uint64_t max, uint64_t *number);

/*
 * One member of an object: how to read it, and where in the target it goes.
 * min and max are bounds of numbers and of lengths.
 */
typedef struct relay_config_field_s relay_config_field_t;
struct relay_config_field_s {
    const char *name;
    bool (*read)(relay_config_reader_t *reader, relay_config_node_t value,
                 const relay_config_field_t *field, void *target);
    size_t offset;
    uint64_t min;
    uint64_t max;
};

typedef struct {
    const relay_config_field_t *items;
    size_t count;
} relay_config_fields_t;

#define RELAY_CONFIG_FIELDS(fields)                                                                \
    ((relay_config_fields_t){(fields), sizeof(fields) / sizeof((fields)[0])})

/*
 * Reads an object into target. Members that are not in the table are refused
 * unless `ignorable` is given and names them.
 */
bool relay_config_object(relay_config_reader_t *reader, relay_config_node_t node,
                         relay_config_fields_t fields, const relay_globs_t *ignorable,
                         void *target);

#define RELAY_CONFIG_OBJECT(reader, node, fields, target)                                          \
    relay_config_object((reader), (node), RELAY_CONFIG_FIELDS(fields), NULL, (target))

/* Readers for tables; each names the type of what it fills. */
bool relay_config_read_flag(relay_config_reader_t *reader, relay_config_node_t value,
                            const relay_config_field_t *field, void *target); /* bool */
bool relay_config_read_u32(relay_config_reader_t *reader, relay_config_node_t value,
                           const relay_config_field_t *field, void *target); /* uint32_t */
bool relay_config_read_u64(relay_config_reader_t *reader, relay_config_node_t value,
                           const relay_config_field_t *field, void *target); /* uint64_t */
bool relay_config_read_text(relay_config_reader_t *reader, relay_config_node_t value,
                            const relay_config_field_t *field, void *target); /* relay_span_t */
bool relay_config_read_globs(relay_config_reader_t *reader, relay_config_node_t value,
                             const relay_config_field_t *field, void *target); /* relay_globs_t */
bool relay_config_read_timeouts(relay_config_reader_t *reader, relay_config_node_t value,
                                const relay_config_field_t *field,
                                void *target); /* relay_timeouts_t */

bool relay_config_read_time(relay_config_reader_t *reader, relay_config_node_t value,
                            const relay_config_field_t *field,
                            void *target); /* uint64_t, 0 for null */
bool relay_config_read_name(relay_config_reader_t *reader, relay_config_node_t value,
                            const relay_config_field_t *field, void *target); /* relay_span_t */
bool relay_config_read_digest(relay_config_reader_t *reader, relay_config_node_t value,
                              const relay_config_field_t *field,
                              void *target); /* relay_digest_t, in lower case */
/* An object for people and other programs: nothing of it is kept. */
bool relay_config_read_aside(relay_config_reader_t *reader, relay_config_node_t value,
                             const relay_config_field_t *field, void *target);

/* ["*"] */
relay_globs_t relay_config_everything(void);

/*
 * ["name", …] as bits of relay_wire_t.index, whatever the variant. The catalog's
 * may be 0: there, formats that are not known are skipped.
 */
bool relay_config_formats(relay_config_reader_t *reader, relay_config_node_t array,
                          uint32_t *formats);

/* The format that `at`, a string or the name of a member, names: in which variant,
 * and whether that of streams alone. NULL after a fault, and in the catalog for one
 * that is not known. */
const relay_variant_t *relay_config_format(relay_config_reader_t *reader, relay_config_node_t at,
                                           bool *streams);

/* A string that names one of names; what: "pool". NULL after a fault. */
const void *relay_config_reference(relay_config_reader_t *reader, relay_config_node_t node,
                                   const char *what, relay_config_names_t names);

/* The same for a host; in the catalog, *host is NULL for one that cannot be used. */
bool relay_config_host_reference(relay_config_reader_t *reader, relay_config_node_t node,
                                 const relay_host_t **host);

/* A string, or a member's name, that can be the name of a model. */
bool relay_config_read_model_name(relay_config_reader_t *reader, relay_config_node_t at,
                                  relay_span_t *name);

/* ---- parts of a host ------------------------------------------------------- */

/* The host's "variables" into reader (config_variables.c); none if it has none. */
bool relay_config_read_variables(relay_config_reader_t *reader, relay_config_node_t host);

/* The value of a variable; empty if it has none. */
relay_span_t relay_config_variable(const relay_config_reader_t *reader, relay_span_t name);

/* Whether text holds a {name} other than {model} that has no value; *name is it. */
bool relay_config_unset(const relay_config_reader_t *reader, relay_span_t text, relay_span_t *name);

/* Text with values in place of names; {model} stays, as does what has no value. */
bool relay_config_fill(relay_config_reader_t *reader, relay_span_t text, relay_span_t *filled);

/*
 * A text of at most RELAY_URL_MAX with its values filled in. One that lacks a value
 * is refused; in the catalog, *usable is false then instead.
 */
bool relay_config_filled(relay_config_reader_t *reader, relay_config_node_t value,
                         relay_span_t *text, bool *usable);

/* "formats" into the host, whose URL is read already (config_formats.c). */
bool relay_config_read_formats(relay_config_reader_t *reader, relay_config_node_t formats,
                               relay_host_t *host);
/* All formats under their own paths. */
void relay_config_all_formats(relay_host_t *host);

/* A header's name, in lower case (config_auth.c). */
bool relay_config_read_header_name(relay_config_reader_t *reader, relay_config_node_t at,
                                   relay_span_t *name);
/* "auth", for tables; the target is the host. */
bool relay_config_read_auth(relay_config_reader_t *reader, relay_config_node_t value,
                            const relay_config_field_t *field, void *target);
/* What "auth" leaves open, when all of the host is read. */
bool relay_config_finish_auth(relay_config_reader_t *reader, relay_config_node_t host_node,
                              relay_host_t *host);

/* "dialect", for tables (config_dialect.c). */
bool relay_config_read_dialect(relay_config_reader_t *reader, relay_config_node_t value,
                               const relay_config_field_t *field,
                               void *target); /* relay_format_traits_t */
/* Of models: "refuses", "thinking", "reasoning_efforts". */
bool relay_config_read_refuses(relay_config_reader_t *reader, relay_config_node_t value,
                               const relay_config_field_t *field, void *target); /* uint64_t */
bool relay_config_read_thinking(relay_config_reader_t *reader, relay_config_node_t value,
                                const relay_config_field_t *field,
                                void *target); /* relay_traits_t */
bool relay_config_read_efforts(relay_config_reader_t *reader, relay_config_node_t value,
                               const relay_config_field_t *field, void *target); /* uint32_t */

/* ---- parts (config_host.c, config_model.c, config_access.c) --------------- */

/* Read one entry into its structure; the name is set already. */
bool relay_config_read_host(relay_config_reader_t *reader, relay_config_node_t node, void *host);
bool relay_config_read_model(relay_config_reader_t *reader, relay_config_node_t node, void *model);
/* The other names of all models (config_alias.c); a model of the catalog whose
 * name they take is taken out of config and of models. */
bool relay_config_read_aliases(relay_config_reader_t *reader, relay_config_t *config,
                               relay_config_entries_t *models);
bool relay_config_read_provider_key(relay_config_reader_t *reader, relay_config_node_t node,
                                    void *key);
bool relay_config_read_pool(relay_config_reader_t *reader, relay_config_node_t node, void *pool);
bool relay_config_read_policy(relay_config_reader_t *reader, relay_config_node_t node,
                              void *policy);
bool relay_config_read_relay_key(relay_config_reader_t *reader, relay_config_node_t node,
                                 void *key);

#endif
