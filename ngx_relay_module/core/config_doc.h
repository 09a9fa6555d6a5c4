/*
 * Configuration documents: JSON → immutable structs, validated as a whole.
 * The same documents are the module-only relay.json and what a control plane
 * publishes. Several documents make one configuration: sections are merged, a
 * name that occurs twice is refused.
 *
 * Catalog documents hold hosts and models for everybody. Entries of other
 * documents replace theirs of the same name; what of them this version cannot
 * use is left out, silently: a format it does not speak, a host with a
 * variable that has no value or another way to authenticate, an offer of such a
 * host, a model without any offer left.
 *
 * Everything returned lives in the arena given and points only there (texts
 * are copied out of the documents). Nothing else is written to: threads may
 * build at the same time, each with its own arena.
 */

#ifndef RELAY_CONFIG_DOC_H
#define RELAY_CONFIG_DOC_H

#include "arena.h"
#include "relay_key.h"
#include "span.h"
#include "wire.h"
#include "wire_variant.h"

enum { RELAY_FORMATS_MAX = 32 };

/* Limits of one configuration, all documents together. More is refused. */
enum {
    RELAY_CONFIG_DOCUMENTS_MAX = 1000,
    RELAY_CONFIG_DOCUMENT_MAX = 64 * 1024 * 1024, /* bytes of one document */
    RELAY_CONFIG_VALUES_MAX = 8 * 1000 * 1000,    /* JSON values and names of one document */
    RELAY_CONFIG_HOSTS_MAX = 10000,
    RELAY_CONFIG_MODELS_MAX = 100000,
    RELAY_CONFIG_PROVIDER_KEYS_MAX = 10000,
    RELAY_CONFIG_POOLS_MAX = 10000,
    RELAY_CONFIG_POLICIES_MAX = 10000,
    RELAY_CONFIG_RELAY_KEYS_MAX = 1000000,
    RELAY_CONFIG_REVOCATIONS_MAX = 1000000,

    RELAY_CONFIG_NAME_MAX = 64,      /* bytes; of models RELAY_MODEL_NAME_MAX */
    RELAY_CONFIG_TEXT_MAX = 256,     /* display names, owners, prefixes, globs */
    RELAY_CONFIG_VALUE_MAX = 4096,   /* header values, file names */
    RELAY_CONFIG_SECRET_MAX = 8192,  /* plain provider secrets */
    RELAY_CONFIG_HEADERS_MAX = 64,   /* of a host */
    RELAY_CONFIG_VARIABLES_MAX = 32, /* of a host */
    RELAY_CONFIG_GLOBS_MAX = 1000,   /* of one list */
    RELAY_CONFIG_ALIASES_MAX = 256,  /* of a model */
    RELAY_CONFIG_OFFERS_MAX = 256,   /* of a model */
    RELAY_CONFIG_MEMBERS_MAX = 1000, /* of a pool */
    RELAY_CONFIG_POOLS_OF_POLICY_MAX = 64,
    RELAY_CONFIG_ATTEMPTS_MAX = 16,
    RELAY_CONFIG_ATTEMPTS_DEFAULT = 4,
    RELAY_CONFIG_WEIGHT_MAX = 1000000,
    RELAY_CONFIG_PRIORITY_MAX = 1000000,
    RELAY_CONFIG_TIMEOUT_MAX_MS = 24 * 60 * 60 * 1000
};
/* Token counts, times, revisions, versions: exact in every JSON reader. */
#define RELAY_CONFIG_NUMBER_MAX (UINT64_C(1) << 53)

/* Milliseconds; 0 means "not set here". */
typedef struct {
    uint32_t connect_ms;
    uint32_t first_token_ms; /* request sent → first content event, or whole body */
    uint32_t idle_ms;        /* between signs of life of a committed stream */
    uint32_t total_ms;       /* from the first attempt to the last byte, all attempts */
} relay_timeouts_t;

typedef struct {
    relay_span_t name; /* lower case */
    relay_span_t value;
} relay_header_t;

typedef struct {
    const relay_span_t *items;
    size_t count;
} relay_globs_t; /* `*` any run of characters, `?` one; nothing else is special */

/* How a provider key is shown to a host. */
typedef enum {
    RELAY_AUTH_HEADER = 0, /* the secret in a header */
    RELAY_AUTH_SIGV4,      /* a signature over the request, made with the secret */
    RELAY_AUTH_OAUTH       /* the secret is a service account, from which the control plane
                              makes access tokens: to a worker it is a header */
} relay_auth_type_t;

typedef struct {
    relay_span_t header; /* lower case */
    relay_span_t prefix; /* "Bearer ", or "" */
} relay_auth_header_t;

/* What is known of an upstream in one format: RELAY_TARGET_* of target.h, which of
 * them are said and which of those are set. */
typedef struct {
    uint32_t known;
    uint32_t flags;
} relay_traits_t;

/* The same by format. */
typedef struct {
    uint32_t formats;            /* bit = relay_wire_t.index: those that have an item */
    const relay_traits_t *items; /* ascending */
} relay_format_traits_t;

typedef struct {
    relay_span_t name;
    size_t index;

    bool echo; /* the built-in model: no network, no key */
    bool tls;
    relay_span_t server_name; /* of the URL: DNS name or IP literal without brackets */
    uint16_t port;
    relay_span_t authority; /* the Host header: name, and port unless the scheme's own */
    relay_span_t origin;    /* https://name:port, the port always; what secrets are sealed to */
    relay_span_t base_path; /* "" or "/v1": no slash at the end */

    /* What it speaks: bit = relay_wire_t.index; the arrays have an item for each.
     * Paths are under base_path, may hold {model} (relay_variant_put_path) and end
     * with a query. */
    uint32_t formats;
    const relay_variant_t *variants[RELAY_FORMATS_MAX];
    relay_span_t paths[RELAY_FORMATS_MAX];
    relay_span_t stream_paths[RELAY_FORMATS_MAX]; /* of streams; often the same */
    relay_format_traits_t traits;

    bool keyless; /* needs no credential; one that is given is sent all the same */
    relay_auth_type_t auth_type;
    relay_span_t auth_header;          /* lower case; see relay_host_auth */
    relay_span_t auth_prefix;          /* "Bearer ", or "" */
    relay_auth_header_t *auth_formats; /* NULL, or [RELAY_FORMATS_MAX]: those with another
                                          header; an empty one is no other */
    relay_span_t auth_service;         /* SIGV4: what the signature is for, */
    relay_span_t auth_region;          /* and where */
    relay_header_t *headers;           /* sent on every attempt unless the caller sent the name */
    size_t nheaders;

    bool local;               /* private and loopback addresses allowed */
    bool passthrough;         /* takes unknown paths of its formats' dialect */
    bool stream_usage;        /* must be asked for usage in streams (default true) */
    bool tls_verify;          /* default true */
    relay_span_t tls_ca_file; /* "" = the system's */
    relay_span_t tls_name;    /* SNI and certificate name; default server_name */
    relay_timeouts_t timeouts;

    /* Models that need no entry of their own; upstream id = name. For a reference
     * name@host the whole is matched, too: "*@host" serves any name, but only to
     * callers who ask for this host. */
    relay_globs_t serves;
} relay_host_t;

typedef struct relay_model_s relay_model_t;

typedef struct {
    const relay_host_t *host;
    const relay_model_t *model;
    relay_span_t upstream_id; /* the model's name there */
    uint32_t formats;         /* subset of the host's; default all */
    uint32_t efforts;         /* as relay_model_t.efforts, here; 0: the model's */
    uint64_t output_tokens;   /* longest answer here; 0: the model's */
    relay_format_traits_t traits;
} relay_offer_t;

struct relay_model_s {
    relay_span_t name;
    relay_span_t display_name;
    relay_span_t owned_by;
    relay_span_t type; /* what it is for: "chat", "embedding", ...; default "chat" */
    uint64_t created_s;
    uint64_t context_tokens;
    uint64_t output_tokens;
    uint64_t refuses;      /* bit = relay_field_t (canonical.h) that it does not take */
    relay_traits_t traits; /* in every format: how it thinks */
    uint32_t efforts;      /* bit = relay_effort_t that it knows; 0: unknown */
    uint64_t budget_min;   /* bounds of a budget for thinking, in tokens; 0: unknown */
    uint64_t budget_max;
    relay_offer_t *offers;
    size_t noffers; /* 0: the hosts whose `serves` matches the name offer it */
};

/* How a provider key's secret is given; resolving it is the caller's business. */
typedef enum {
    RELAY_SECRET_PLAIN = 0,
    RELAY_SECRET_ENV,   /* secret names an environment variable */
    RELAY_SECRET_FILE,  /* secret is a path */
    RELAY_SECRET_SEALED /* secret is nonce, ciphertext and tag: see STORE.md */
} relay_secret_kind_t;

/* Bytes around the text of a sealed secret: nonce and tag. */
enum { RELAY_CONFIG_SEALED_OVERHEAD = 28 };

typedef struct {
    relay_span_t name;
    size_t index;
    const relay_host_t *host;
    relay_secret_kind_t secret_kind;
    relay_span_t secret;
    relay_span_t sealing_key; /* SEALED: id of the data-plane key; else empty */
    uint64_t version;         /* SEALED: from 1; else 0 */
    relay_span_t workspace;   /* of the document: "default" unless it says otherwise */
    bool optional;            /* an unresolved reference only makes the key inactive */
    bool active;              /* set by the caller once the secret is resolved */
} relay_provider_key_t;

typedef struct {
    const relay_provider_key_t *key;
    uint32_t weight;   /* 1..1000000, default 1 */
    uint32_t priority; /* lower is tried first, default 0 */
} relay_pool_member_t;

typedef struct {
    relay_span_t name;
    relay_pool_member_t *members;
    size_t nmembers;
} relay_pool_t;

typedef struct {
    relay_span_t name;
    const relay_pool_t **pools; /* tried in order */
    size_t npools;
    relay_globs_t allow; /* model names; default ["*"] */
    relay_globs_t deny;
    relay_globs_t hosts;       /* host names; default ["*"] */
    bool passthrough;          /* unknown paths allowed, default false */
    bool strict;               /* translations that drop something are refused */
    uint32_t max_attempts;     /* 1..16, default 4 */
    relay_timeouts_t timeouts; /* over the host's */
} relay_policy_t;

typedef struct {
    relay_span_t name;
    relay_digest_t digest;
    const relay_policy_t *policy;
    relay_globs_t models;  /* further limits the policy's; default ["*"] */
    uint64_t expires_at_s; /* 0 = never */
    bool disabled;
} relay_relay_key_t;

/* Records of this relay key that are older than revision are void. */
typedef struct {
    relay_digest_t digest;
    uint64_t revision;
} relay_revocation_t;

typedef struct {
    relay_host_t *hosts; /* sorted by name, as models, provider keys, pools and policies are */
    size_t nhosts;
    const relay_host_t **echo_hosts; /* those with echo: every policy reaches them */
    size_t necho_hosts;
    relay_model_t *models;
    size_t nmodels;
    struct relay_alias_s {
        relay_span_t name;
        const relay_model_t *model;
    } * aliases; /* sorted by name */
    size_t naliases;
    relay_provider_key_t *provider_keys;
    size_t nprovider_keys;
    relay_pool_t *pools;
    size_t npools;
    relay_policy_t *policies;
    size_t npolicies;
    relay_relay_key_t *relay_keys; /* sorted by digest */
    size_t nrelay_keys;
    relay_revocation_t *revocations; /* sorted by digest, each once */
    size_t nrevocations;
} relay_config_t;

typedef struct {
    relay_span_t document; /* the name given with it */
    size_t line;
    size_t column;
    char path[256];    /* "hosts.openai.base_url"; "" at the top */
    char message[512]; /* what was found and what was expected; never a secret's text */
} relay_config_fault_t;

typedef struct {
    relay_span_t name; /* for messages: the file's path */
    relay_span_t text;
    bool catalog;
} relay_document_t;

/* NULL with *fault filled on the first error. */
const relay_config_t *relay_config_build(const relay_arena_t *arena,
                                         const relay_document_t *documents, size_t count,
                                         relay_config_fault_t *fault);

/* Constant-time in the digest's bytes; NULL if unknown. Expiry is not checked here. */
const relay_relay_key_t *relay_config_find_key(const relay_config_t *config,
                                               const relay_digest_t *digest);
const relay_model_t *relay_config_find_model(const relay_config_t *config, relay_span_t name);
/* The model that name is an alias of. */
const relay_model_t *relay_config_find_alias(const relay_config_t *config, relay_span_t name);
const relay_host_t *relay_config_find_host(const relay_config_t *config, relay_span_t name);
const relay_policy_t *relay_config_find_policy(const relay_config_t *config, relay_span_t name);
/* The revision before which records of this relay key are void; 0: none is. */
uint64_t relay_config_revoked_before(const relay_config_t *config, const relay_digest_t *digest);

/* Where a host wants the credential of a request in this format. */
static inline relay_auth_header_t relay_host_auth(const relay_host_t *host,
                                                  const relay_wire_t *wire)
{
    const relay_auth_header_t *own = host->auth_formats;

    return own != NULL && wire != NULL && own[wire->index].header.len != 0
               ? own[wire->index]
               : (relay_auth_header_t){host->auth_header, host->auth_prefix};
}

/* 1 to RELAY_CONFIG_NAME_MAX of A-Z a-z 0-9 . _ / -: the name of anything but a model. */
bool relay_config_name_ok(relay_span_t name);
/* 1 to RELAY_MODEL_NAME_MAX printable ASCII characters without spaces, commas,
 * quotes and backslashes: safe in JSON, headers and logs as it stands. */
bool relay_model_name_ok(relay_span_t name);

bool relay_glob_match(relay_span_t glob, relay_span_t text);
bool relay_globs_match(const relay_globs_t *globs, relay_span_t text);

#endif
