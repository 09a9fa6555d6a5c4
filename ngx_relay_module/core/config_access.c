/*
 * Provider keys, pools, policies and relay keys of a configuration document:
 * who may reach what, with which credential. Called by config_doc.
 */

#include "base64.h"
#include "config_read.h"
#include "config_text.h"
#include "key_ring.h"

#include <openssl/crypto.h>

#define NAMES(config, section)                                                                     \
    ((relay_config_names_t){(config)->section, (config)->n##section, sizeof((config)->section[0])})

/* ---- provider keys -------------------------------------------------------- */

static bool read_key_host(relay_config_reader_t *reader, relay_config_node_t value,
                          const relay_config_field_t *field, void *target)
{
    const relay_host_t **host = target;

    (void)field;
    if (!relay_config_host_reference(reader, value, host)) {
        return false;
    }
    return !(*host)->echo ||
           relay_config_refuse(reader, value, "a host with \"echo\" takes no provider key");
}

/* Takes "env:" or "file:" off the text. */
static relay_secret_kind_t take_kind(relay_span_t *text)
{
    relay_span_t env = RELAY_SPAN("env:"), file = RELAY_SPAN("file:");

    if (relay_span_starts(*text, env)) {
        *text = relay_span_from(*text, env.len);
        return RELAY_SECRET_ENV;
    }
    if (relay_span_starts(*text, file)) {
        *text = relay_span_from(*text, file.len);
        return RELAY_SECRET_FILE;
    }
    return RELAY_SECRET_PLAIN;
}

/* No message repeats the text: it may be a secret. */
static const char *secret_fault(const relay_provider_key_t *key)
{
    switch (key->secret_kind) {
    case RELAY_SECRET_ENV:
        return relay_config_variable_ok(key->secret)
                   ? NULL
                   : "expected the name of an environment variable behind \"env:\"";
    case RELAY_SECRET_FILE:
        return key->secret.len >= 2 && key->secret.len <= RELAY_CONFIG_VALUE_MAX &&
                       key->secret.base[0] == '/' && relay_config_printable(key->secret)
                   ? NULL
                   : "expected an absolute path behind \"file:\"";
    case RELAY_SECRET_SEALED:
    case RELAY_SECRET_PLAIN:
        break;
    }
    return relay_config_ascii(key->secret, false)
               ? NULL
               : "expected printable ASCII characters without spaces";
}

static bool read_secret(relay_config_reader_t *reader, relay_config_node_t value,
                        const relay_config_field_t *field, void *target)
{
    relay_provider_key_t *key = target;
    const char *fault;

    (void)field;
    if (!relay_config_string(reader, value, 0, RELAY_CONFIG_SECRET_MAX, &key->secret)) {
        return false;
    }
    key->secret_kind = take_kind(&key->secret);
    fault = secret_fault(key);
    return fault == NULL || relay_config_refuse(reader, value, "%s", fault);
}

enum {
    SEALED_BYTES_MAX = RELAY_CONFIG_SECRET_MAX + RELAY_CONFIG_SEALED_OVERHEAD,
    SEALED_MAX = RELAY_KEY_RING_ID_MAX + 1 + RELAY_BASE64_LEN(SEALED_BYTES_MAX)
};

/* What stands behind the first dot; *before is what stands before it. */
static relay_span_t behind_dot(relay_span_t text, relay_span_t *before)
{
    const uint8_t *dot = text.len != 0 ? memchr(text.base, '.', text.len) : NULL;

    if (dot == NULL) {
        *before = relay_span(NULL, 0);
        return text;
    }
    *before = relay_span(text.base, (size_t)(dot - text.base));
    return relay_span_from(text, before->len + 1);
}

/* <key id>.<base64 of nonce, ciphertext and tag> */
static bool read_sealed(relay_config_reader_t *reader, relay_config_node_t value,
                        const relay_config_field_t *field, void *target)
{
    relay_provider_key_t *key = target;
    relay_span_t text, coded;
    relay_buf_t bytes;
    bool good;

    (void)field;
    if (!relay_config_string(reader, value, 0, SEALED_MAX, &text)) {
        return false;
    }
    coded = behind_dot(text, &key->sealing_key);
    bytes = relay_buf(relay_config_alloc(reader, coded.len, 1), coded.len);
    if (bytes.base == NULL) {
        return false;
    }
    good = relay_key_ring_id_ok(key->sealing_key) && relay_base64_read(coded, &bytes) &&
           bytes.len >= RELAY_CONFIG_SEALED_OVERHEAD && bytes.len <= SEALED_BYTES_MAX;
    key->secret_kind = RELAY_SECRET_SEALED;
    key->secret = relay_buf_span(&bytes);
    return good ||
           relay_config_refuse(reader, value,
                               "expected a key id, a dot, and base64 of nonce, ciphertext and tag");
}

/* Either value, or sealed with version, or nothing for a host that needs nothing. */
static bool check_secret(relay_config_reader_t *reader, relay_config_node_t node,
                         relay_provider_key_t *key)
{
    relay_config_node_t value, sealed, version;
    bool plain = relay_config_member(node, "value", &value);

    if (relay_config_member(node, "sealed", &sealed) !=
        relay_config_member(node, "version", &version)) {
        return relay_config_refuse(reader, relay_config_key(node),
                                   "\"sealed\" and \"version\" come together");
    }
    if (plain && key->version != 0) {
        return relay_config_refuse(reader, relay_config_key(sealed),
                                   "expected either \"value\" or \"sealed\"");
    }
    if (plain || key->version != 0 || key->host->keyless) {
        return true;
    }
    return relay_config_refuse(reader, relay_config_key(node),
                               "expected \"value\" (\"\" for a host that needs no credential)");
}

bool relay_config_read_provider_key(relay_config_reader_t *reader, relay_config_node_t node,
                                    void *target)
{
    static const relay_config_field_t fields[] = {
        {"host", read_key_host, offsetof(relay_provider_key_t, host), 0, 0},
        {"value", read_secret, 0, 0, 0},
        {"sealed", read_sealed, 0, 0, 0},
        {"version", relay_config_read_u64, offsetof(relay_provider_key_t, version), 1,
         RELAY_CONFIG_NUMBER_MAX},
        {"optional", relay_config_read_flag, offsetof(relay_provider_key_t, optional), 0, 0},
    };
    relay_provider_key_t *key = target;

    key->index = (size_t)(key - reader->config->provider_keys);
    key->workspace = node.source->workspace;
    if (!RELAY_CONFIG_OBJECT(reader, node, fields, key)) {
        return false;
    }
    if (key->host == NULL) {
        return relay_config_refuse(reader, relay_config_key(node), "expected \"host\"");
    }
    return check_secret(reader, node, key);
}

/* ---- pools ---------------------------------------------------------------- */

static bool read_member_key(relay_config_reader_t *reader, relay_config_node_t value,
                            const relay_config_field_t *field, void *target)
{
    const relay_provider_key_t **key = target;

    (void)field;
    *key =
        relay_config_reference(reader, value, "provider key", NAMES(reader->config, provider_keys));
    return *key != NULL;
}

static bool read_member(relay_config_reader_t *reader, relay_config_node_t node,
                        relay_pool_member_t *member)
{
    static const relay_config_field_t fields[] = {
        {"key", read_member_key, offsetof(relay_pool_member_t, key), 0, 0},
        {"weight", relay_config_read_u32, offsetof(relay_pool_member_t, weight), 1,
         RELAY_CONFIG_WEIGHT_MAX},
        {"priority", relay_config_read_u32, offsetof(relay_pool_member_t, priority), 0,
         RELAY_CONFIG_PRIORITY_MAX},
    };

    member->weight = 1;
    if (relay_config_type(node) == RELAY_JSON_STRING) {
        return read_member_key(reader, node, NULL, &member->key);
    }
    if (!relay_config_expect(reader, node, RELAY_JSON_OBJECT,
                             "a provider key's name, or an object with \"key\"") ||
        !RELAY_CONFIG_OBJECT(reader, node, fields, member)) {
        return false;
    }
    return member->key != NULL || relay_config_refuse(reader, node, "expected \"key\"");
}

/* reader->marks tells in which pool a key was seen last: no key twice in one. */
static bool mark_member(relay_config_reader_t *reader, relay_config_node_t node,
                        const relay_pool_t *pool, const relay_pool_member_t *member)
{
    uint32_t mark = (uint32_t)(pool - reader->config->pools) + 1;

    if (reader->marks[member->key->index] == mark) {
        return relay_config_refuse(reader, node, "this key is a member already");
    }
    reader->marks[member->key->index] = mark;
    return true;
}

static bool read_members(relay_config_reader_t *reader, relay_config_node_t value,
                         const relay_config_field_t *field, void *target)
{
    relay_pool_t *pool = target;
    relay_config_node_t item = {0};

    (void)field;
    if (!relay_config_expect(reader, value, RELAY_JSON_ARRAY, "an array of provider keys")) {
        return false;
    }
    pool->nmembers = relay_config_size(value);
    if (pool->nmembers > RELAY_CONFIG_MEMBERS_MAX) {
        return relay_config_refuse(reader, value, "more than %d members", RELAY_CONFIG_MEMBERS_MAX);
    }
    pool->members = relay_config_alloc(reader, pool->nmembers, sizeof(pool->members[0]));
    for (size_t i = 0; pool->members != NULL && relay_config_next(value, &item); i++) {
        if (!read_member(reader, item, &pool->members[i]) ||
            !mark_member(reader, item, pool, &pool->members[i])) {
            return false;
        }
    }
    return pool->members != NULL;
}

bool relay_config_read_pool(relay_config_reader_t *reader, relay_config_node_t node, void *target)
{
    static const relay_config_field_t fields[] = {{"members", read_members, 0, 0, 0}};

    return RELAY_CONFIG_OBJECT(reader, node, fields, target);
}

/* ---- policies ------------------------------------------------------------- */

static bool read_policy_pools(relay_config_reader_t *reader, relay_config_node_t value,
                              const relay_config_field_t *field, void *target)
{
    relay_policy_t *policy = target;
    relay_config_node_t item = {0};

    (void)field;
    if (!relay_config_expect(reader, value, RELAY_JSON_ARRAY, "an array of pools")) {
        return false;
    }
    policy->npools = relay_config_size(value);
    if (policy->npools > RELAY_CONFIG_POOLS_OF_POLICY_MAX) {
        return relay_config_refuse(reader, value, "more than %d pools",
                                   RELAY_CONFIG_POOLS_OF_POLICY_MAX);
    }
    policy->pools = relay_config_alloc(reader, policy->npools, sizeof(policy->pools[0]));
    for (size_t i = 0; policy->pools != NULL && relay_config_next(value, &item); i++) {
        policy->pools[i] =
            relay_config_reference(reader, item, "pool", NAMES(reader->config, pools));
        if (policy->pools[i] == NULL) {
            return false;
        }
    }
    return policy->pools != NULL;
}

bool relay_config_read_policy(relay_config_reader_t *reader, relay_config_node_t node, void *target)
{
    static const relay_config_field_t fields[] = {
        {"pools", read_policy_pools, 0, 0, 0},
        {"allow", relay_config_read_globs, offsetof(relay_policy_t, allow), 0, 0},
        {"deny", relay_config_read_globs, offsetof(relay_policy_t, deny), 0, 0},
        {"hosts", relay_config_read_globs, offsetof(relay_policy_t, hosts), 0, 0},
        {"passthrough", relay_config_read_flag, offsetof(relay_policy_t, passthrough), 0, 0},
        {"strict", relay_config_read_flag, offsetof(relay_policy_t, strict), 0, 0},
        {"max_attempts", relay_config_read_u32, offsetof(relay_policy_t, max_attempts), 1,
         RELAY_CONFIG_ATTEMPTS_MAX},
        {"timeouts", relay_config_read_timeouts, offsetof(relay_policy_t, timeouts), 0, 0},
    };
    relay_policy_t *policy = target;

    policy->allow = relay_config_everything();
    policy->hosts = relay_config_everything();
    policy->max_attempts = RELAY_CONFIG_ATTEMPTS_DEFAULT;
    return RELAY_CONFIG_OBJECT(reader, node, fields, policy);
}

/* ---- relay keys ----------------------------------------------------------- */

static bool read_key_policy(relay_config_reader_t *reader, relay_config_node_t value,
                            const relay_config_field_t *field, void *target)
{
    const relay_policy_t **policy = target;

    (void)field;
    *policy = relay_config_reference(reader, value, "policy", NAMES(reader->config, policies));
    return *policy != NULL;
}

/* Only the digest is kept. */
static bool read_plain_key(relay_config_reader_t *reader, relay_config_node_t value,
                           const relay_config_field_t *field, void *target)
{
    uint8_t room[RELAY_KEY_MAX + sizeof("sk-")];
    relay_buf_t text = relay_buf(room, sizeof(room));
    bool good, minted;

    (void)field;
    if (!relay_config_expect(reader, value, RELAY_JSON_STRING, "a string")) {
        return false;
    }
    good = relay_config_passing(value, &text) && relay_key_digest(relay_buf_span(&text), target);
    minted = relay_span_starts(relay_buf_span(&text), RELAY_SPAN("rly_")) ||
             relay_span_starts(relay_buf_span(&text), RELAY_SPAN("sk-rly_"));
    OPENSSL_cleanse(room, sizeof(room));
    return good ||
           relay_config_refuse(reader, value,
                               minted ? "this rly_ key is not whole: its checksum is wrong"
                                      : "expected %d to %d printable characters without spaces",
                               RELAY_KEY_OTHER_MIN, RELAY_KEY_MAX);
}

static bool read_sha256(relay_config_reader_t *reader, relay_config_node_t value,
                        const relay_config_field_t *field, void *target)
{
    uint8_t room[2 * RELAY_DIGEST_LEN];
    relay_buf_t text = relay_buf(room, sizeof(room));

    (void)field;
    return (relay_config_passing(value, &text) &&
            relay_digest_parse(relay_buf_span(&text), target)) ||
           relay_config_refuse(reader, value, "expected a string of 64 hexadecimal digits");
}

bool relay_config_read_relay_key(relay_config_reader_t *reader, relay_config_node_t node,
                                 void *target)
{
    static const relay_config_field_t fields[] = {
        {"policy", read_key_policy, offsetof(relay_relay_key_t, policy), 0, 0},
        {"key", read_plain_key, offsetof(relay_relay_key_t, digest), 0, 0},
        {"sha256", read_sha256, offsetof(relay_relay_key_t, digest), 0, 0},
        {"models", relay_config_read_globs, offsetof(relay_relay_key_t, models), 0, 0},
        {"expires_at", relay_config_read_time, offsetof(relay_relay_key_t, expires_at_s), 0, 0},
        {"disabled", relay_config_read_flag, offsetof(relay_relay_key_t, disabled), 0, 0},
    };
    relay_relay_key_t *key = target;
    relay_config_node_t value;

    key->models = relay_config_everything();
    if (!RELAY_CONFIG_OBJECT(reader, node, fields, key)) {
        return false;
    }
    if (relay_config_member(node, "key", &value) == relay_config_member(node, "sha256", &value)) {
        return relay_config_refuse(reader, relay_config_key(node),
                                   "expected either \"key\" or \"sha256\"");
    }
    return key->policy != NULL ||
           relay_config_refuse(reader, relay_config_key(node), "expected \"policy\"");
}
