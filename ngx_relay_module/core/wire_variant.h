/*
 * Variants of wire formats: the same bodies and events behind another URL,
 * another framing, or with the model named in the path instead of the body.
 * A host speaks a format in one variant; every format is a variant of itself.
 *
 * Read by configuration (the names), the adapter (paths, framing) and the
 * functions of wire_variant.c that fit a body to its variant.
 */

#ifndef RELAY_WIRE_VARIANT_H
#define RELAY_WIRE_VARIANT_H

#include "wire.h"

typedef enum {
    RELAY_FRAMING_SSE = 0,
    RELAY_FRAMING_EVENTSTREAM,      /* AWS event stream: one JSON payload per message */
    RELAY_FRAMING_EVENTSTREAM_BYTES /* the same, the payload in base64 under "bytes" */
} relay_framing_t;

typedef struct {
    relay_span_t name;               /* as configuration spells it; its streaming path is
                                        spelt name-stream where the two differ */
    const relay_wire_t *wire;        /* whose bodies and events it has */
    relay_span_t path;               /* default under the host's base path; may hold {model} */
    relay_span_t stream_path;        /* of streams; empty: the same */
    relay_framing_t framing;         /* of streams */
    bool model_in_path;              /* the body has no model */
    bool stream_in_path;             /* the body has no stream */
    bool betas_in_body;              /* beta features are named there, not in a header */
    const relay_dialect_t *platform; /* that serves the format for another vendor: errors and
                                        headers are its own; NULL: the vendor itself */
    relay_span_t version;            /* value of "anthropic_version" in the body, or empty */
    uint64_t refuses;                /* fields that only the vendor takes: RELAY_REFUSED each */
    relay_span_t tokens_header;      /* lower case: in which answers say how many tokens the
                                        prompt had where their bodies do not; or empty */
    relay_span_t counter;            /* tokens are counted under `path` with this name in place
                                        of the model's, which the body keeps; empty: by the
                                        vendor's own path, which a variant does not have */
} relay_variant_t;

/*
 * The variant that configuration calls `name`; *streams: the name was that of its
 * streaming path ("gemini-stream"). NULL if there is none.
 */
const relay_variant_t *relay_variant_find(relay_span_t name, bool *streams);
/* The format itself, as a variant. */
const relay_variant_t *relay_variant_of(const relay_wire_t *wire);
const relay_variant_t *relay_variant_at(unsigned index); /* NULL past the last */

/*
 * Puts a path with {model} replaced by the model's name, percent-encoded: all but
 * unreserved characters and "@". A query in path stays as it is.
 */
void relay_variant_put_path(relay_buf_t *out, relay_span_t path, relay_span_t model);

/*
 * The same for an auxiliary operation (relay_match_t.method): method in place of
 * what follows the last colon of path, the query included.
 */
void relay_variant_put_method(relay_buf_t *out, relay_span_t path, relay_span_t model,
                              relay_span_t method);

/*
 * Splices that fit a body to the variant, ascending by offset: the model and stream
 * members out, the version in, which a caller who wrote one himself keeps. To be
 * made instead of those of wire->edits where model_in_path is set; any other
 * variant has none. betas: the caller's list of beta features, comma-separated, or
 * empty: goes into the body as "anthropic_beta" if the variant wants it there and
 * the body has none. Returns how many; what they put is in scratch, which five
 * times betas and 64 bytes always suffice for; void if it overflows.
 */
size_t relay_variant_edits(const relay_variant_t *variant, const relay_envelope_t *envelope,
                           relay_span_t betas, relay_edit_t edits[RELAY_EDITS_MAX],
                           relay_buf_t *scratch);

/*
 * The same for a body whose tokens `counter` is to count: the version in, the model's
 * name at the upstream in place of the caller's. scratch: 64 bytes and what
 * relay_wire_t.edits wants.
 */
size_t relay_variant_counter_edits(const relay_variant_t *variant, const relay_envelope_t *envelope,
                                   relay_span_t model, relay_edit_t edits[RELAY_EDITS_MAX],
                                   relay_buf_t *scratch);

#endif
