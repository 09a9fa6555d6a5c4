/*
 * A relay key as the control plane publishes it: one JSON object for each key,
 * signed, found by its digest (see STORE.md). Read by the adapter when a key is
 * met that no document holds, and by relayctl.
 *
 * Forward compatibility: a member that this version does not know refuses the
 * record, because it may restrict the key. A writer that adds a member which
 * older readers may do without says so in the record itself,
 *
 *     "ignorable": ["colour"], "colour": "blue"
 *
 * and they skip it. Known members are read whether they are listed or not.
 */

#ifndef RELAY_KEY_RECORD_H
#define RELAY_KEY_RECORD_H

#include "config_doc.h"

enum {
    RELAY_KEY_RECORD_MAX = 64 * 1024, /* bytes of a record */
    RELAY_KEY_TAGS_MAX = 64,
    RELAY_KEY_IGNORABLE_MAX = 64
};

typedef struct {
    relay_span_t name;  /* the name of anything else: relay_config_name_ok */
    relay_span_t value; /* may be empty; printable */
} relay_key_tag_t;

typedef struct {
    relay_digest_t digest;
    uint64_t revision; /* from 1 */
    relay_span_t id;
    relay_span_t name;
    relay_span_t workspace;
    relay_span_t policy;   /* by name: whether there is one is the caller's business */
    relay_globs_t models;  /* default ["*"] */
    uint64_t expires_at_s; /* 0 = never */
    bool disabled;
    const relay_key_tag_t *tags; /* as written */
    size_t ntags;
} relay_key_record_t;

/*
 * Everything in *record lives in the arena, which gets little more than the
 * texts. False with *fault filled (its document is empty) on the first error.
 */
bool relay_key_record_read(const relay_arena_t *arena, relay_span_t text,
                           relay_key_record_t *record, relay_config_fault_t *fault);

/* The record as routing takes it; policy is the one that the record names. */
static inline relay_relay_key_t relay_key_of_record(const relay_key_record_t *record,
                                                    const relay_policy_t *policy)
{
    return (relay_relay_key_t){.name = record->name,
                               .digest = record->digest,
                               .policy = policy,
                               .models = record->models,
                               .expires_at_s = record->expires_at_s,
                               .disabled = record->disabled};
}

#endif
