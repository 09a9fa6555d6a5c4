/*
 * What the upstream of a candidate takes: of its host, under what is said of the
 * model, under what is said of the model there. Called by the adapter for each
 * attempt that is translated, and by tests.
 */

#ifndef RELAY_CANDIDATE_TARGET_H
#define RELAY_CANDIDATE_TARGET_H

#include "route.h"
#include "target.h"

/* For the candidate's format (wire); texts point where the candidate's do. */
relay_target_t relay_target_of(const relay_candidate_t *candidate);

#endif
