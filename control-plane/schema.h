/*
 * What a JSON document of the admin API may hold, as tables. The same table
 * checks requests, is published in the OpenAPI document and tells relayctl
 * what there is: a member that is not in a table does not exist.
 */

#ifndef RELAY_SCHEMA_H
#define RELAY_SCHEMA_H

#include "problem.h"

typedef enum {
    FIELD_TEXT,
    FIELD_INTEGER,
    FIELD_BOOLEAN,
    FIELD_TIME,      /* RFC 3339 */
    FIELD_REFERENCE, /* the id or name of a resource of kind `refers_to` */
    FIELD_OBJECT,    /* of `schema` */
    FIELD_LIST,      /* of items like `item` */
    FIELD_MAP,       /* names → values like `item` */
    FIELD_ANY        /* any JSON; checked elsewhere (catalog members) */
} field_type_t;

enum {
    FIELD_REQUIRED = 1,
    FIELD_READ_ONLY = 2,  /* in answers only; refused in requests */
    FIELD_WRITE_ONLY = 4, /* in requests only: secrets */
    FIELD_IMMUTABLE = 8,  /* may be given at creation only */
    FIELD_NULLABLE = 16,
    FIELD_OPTIONAL_ANSWER = 32, /* read-only, but not in every answer */
    FIELD_LINES = 64            /* a text that may have line feeds and tabs */
};

typedef struct field_s field_t;
typedef struct schema_s schema_t;

struct field_s {
    const char *name;
    field_type_t type;
    unsigned flags;
    long long min;             /* length of texts, value of integers, count of lists and maps */
    long long max;             /* 0 with min 0: the type's default limits */
    const char *pattern;       /* ECMA-262 and POSIX ERE at once; NULL: any */
    const char *const *values; /* enumeration, NULL-terminated; NULL: any */
    const char *refers_to;     /* kind, for FIELD_REFERENCE */
    const schema_t *schema;    /* FIELD_OBJECT */
    const field_t *item;       /* FIELD_LIST, FIELD_MAP */
    const char *fallback;      /* default as JSON text, for the document; NULL: none */
    const char *description;
};

struct schema_s {
    const char *name; /* in OpenAPI: "Pool" */
    const field_t *fields;
    size_t count;
    bool open; /* members that are not listed may be there: described elsewhere */
};

/* Any object. */
extern const schema_t schema_anything;

/* Limits where a field has none. Texts have no control characters. */
enum {
    SCHEMA_TEXT_MIN = 1,
    SCHEMA_TEXT_MAX = 256,
    SCHEMA_ITEMS_MAX = 1000,
    SCHEMA_NAME_MAX = 256 /* of a member of a map */
};

#define SCHEMA(name_, fields_)                                                                     \
    {                                                                                              \
        .name = (name_), .fields = (fields_), .count = sizeof(fields_) / sizeof((fields_)[0])      \
    }

typedef enum {
    SCHEMA_CREATE, /* required members must be there */
    SCHEMA_PATCH,  /* merge patch: all optional; null removes; immutable ones refused */
    SCHEMA_ANSWER  /* for tests: read-only members must be there, write-only must not */
} schema_use_t;

/* Adds a fault for each thing wrong, with its pointer. True if none. */
bool schema_check(const schema_t *schema, schema_use_t use, const json_t *document,
                  problem_t *problem);

/* In force, with the type's defaults. */
void field_limits(const field_t *field, long long *min, long long *max);
/* Whether documents of this use may have the field at all; whether they must. */
bool field_may_be(const field_t *field, schema_use_t use);
bool field_must_be(const field_t *field, schema_use_t use);

/* JSON Schema 2020-12 as OpenAPI 3.1 embeds it; nested schemas by $ref to #/components/schemas. */
json_t *schema_json(const schema_t *schema, schema_use_t use);
/* {"$ref": …}: answers are "Pool", requests "PoolCreate" and "PoolPatch". */
json_t *schema_reference(const schema_t *schema, schema_use_t use);
const char *schema_suffix(schema_use_t use);

#endif
