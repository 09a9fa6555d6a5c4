/*
 * References between resources: names in documents, ids in the database, and
 * the rows that keep what is referred to from being deleted. Part of the
 * resource engine.
 */

#ifndef RELAY_REFERENCE_ROW_H
#define RELAY_REFERENCE_ROW_H

#include "resource.h"

/* Replaces what references name by what is stored for them; a fault for each that leads nowhere. */
bool references_store(request_t *request, const schema_t *schema, json_t *spec);
/* The reverse. A stored id whose row is gone stays as it is. */
bool references_show(request_t *request, const schema_t *schema, json_t *spec);

/* Makes the rows of `reference` those of spec (stored form); NULL: none. */
bool references_record(change_t *change, const json_t *spec);
/* False, with IN_USE naming who, while anything refers to the change's row. */
bool references_none_left(change_t *change);

#endif
