/*
 * The OpenAPI 3.1 document: made of the route tables and their schemas, so
 * that it says what there is.
 */

#ifndef RELAY_OPENAPI_H
#define RELAY_OPENAPI_H

#include <jansson.h>

/* A new reference; NULL: no memory. */
json_t *openapi_document(void);

#endif
