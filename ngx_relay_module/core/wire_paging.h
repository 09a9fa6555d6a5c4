/*
 * One page of a model list as the query string asks for it. Internal to
 * core/wire_*.c.
 */

#ifndef RELAY_WIRE_PAGING_H
#define RELAY_WIRE_PAGING_H

#include "wire.h"

/* A dialect's parameter names and bounds; an empty name is not supported. */
typedef struct {
    relay_span_t limit;
    relay_span_t after;
    relay_span_t before;
    size_t limit_default;
    size_t limit_max;
} relay_paging_t;

typedef struct {
    size_t first; /* index of the page's first model */
    size_t count;
    bool has_more;
    bool asked; /* the query held at least one of the parameters */
} relay_page_t;

/*
 * Cursors are ids, percent-encoded; one that is no longer in the list stands
 * for its place in the order. RELAY_ERR_NONE, or INVALID_FIELD with error
 * filled and the parameter named.
 */
relay_error_code_t relay_paging_read(const relay_paging_t *paging, relay_span_t query,
                                     const relay_model_view_t *models, size_t count,
                                     relay_page_t *page, relay_error_t *error);

#endif
