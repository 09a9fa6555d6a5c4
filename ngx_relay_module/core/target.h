/*
 * What an upstream takes, where hosts and models differ inside one format: data
 * of the catalog and of other configuration documents, not branches in codecs.
 *
 * Filled from a candidate by relay_target_of (candidate_target.h) or by hand;
 * read by core/translate.c and core/wire_*_codec*.c. Documents spell it as
 * config_dialect.c says.
 */

#ifndef RELAY_CORE_TARGET_H
#define RELAY_CORE_TARGET_H

#include "canonical.h"

enum {
    RELAY_TARGET_NO_DEVELOPER = 1 << 0,   /* knows no developer role: system instead */
    RELAY_TARGET_LATE_SYSTEM = 1 << 1,    /* takes system messages behind others, where
                                             that depends on the model */
    RELAY_TARGET_OLD_LIMIT = 1 << 2,      /* names its token limit the older way */
    RELAY_TARGET_BUDGET = 1 << 3,         /* thinking by a token budget, not by effort */
    RELAY_TARGET_ADAPTIVE = 1 << 4,       /* thinking: the model decides how much */
    RELAY_TARGET_NO_SAMPLING = 1 << 5,    /* refuses temperature, top_p and top_k */
    RELAY_TARGET_NO_EFFORT = 1 << 6,      /* refuses an effort */
    RELAY_TARGET_REASONING_BACK = 1 << 7, /* wants unsigned reasoning back in history */
    RELAY_TARGET_NO_PARALLEL = 1 << 8,    /* refuses to be told about parallel calls */
    RELAY_TARGET_NO_STRICT = 1 << 9,      /* refuses strict tools */
    RELAY_TARGET_TOP_K = 1 << 10,         /* takes top_k though its format has none */
    RELAY_TARGET_SIGNED_CALLS = 1 << 11,  /* refuses calls in history without a signature */
    RELAY_TARGET_OLD_SCHEMA = 1 << 12,    /* takes schemas in the older dialect of its format
                                             only */
    RELAY_TARGET_CUSTOM = 1 << 13,        /* takes tools of free text, where that depends on the
                                             host: others get them as functions */
    RELAY_TARGET_LOGPROBS = 1 << 14       /* gives log probabilities, where that depends on the
                                             host */
};

/* All zero is a good default. */
typedef struct {
    relay_span_t model;                    /* plain text; empty: as the caller wrote it */
    unsigned flags;                        /* RELAY_TARGET_* */
    unsigned efforts;                      /* bit = relay_effort_t that it knows; 0: all */
    uint64_t refused;                      /* RELAY_REFUSED of fields that it does not take: they
                                              are taken out before the codec sees them */
    uint64_t output_tokens_max;            /* of the model; 0: unknown */
    uint64_t budget_tokens[RELAY_EFFORTS]; /* 0: what the effort stands for anywhere */
} relay_target_t;

#define RELAY_REFUSED(field) (UINT64_C(1) << (field))
_Static_assert(RELAY_FIELDS <= 64, "refused has a bit for each field");

/* The effort that stands for this one where only some are known: the next lower
 * one, or the lowest. UNSET stays. */
relay_effort_t relay_target_effort(const relay_target_t *target, relay_effort_t effort);

#endif
