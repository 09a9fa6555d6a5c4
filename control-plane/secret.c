/*
 * Secrets at rest, see secret.h: the rings, data keys and what they seal.
 * Called by the nouns that take secrets, by document.c and by relayctl.
 *
 *     master ring ──wraps──► data key of a workspace ──seals──► provider key
 *     data-plane ring ─────────────────────────────────seals──► in documents
 *
 * What is sealed names its data key: `<32 hexadecimal digits of data_key.id>.`
 * and base64. Data keys never change, so those that were unwrapped once are
 * kept by id, in the same locked memory as the rings.
 */

#include "secret.h"

#include <openssl/crypto.h>
#include <openssl/hmac.h>
#include <pthread.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base64.h"
#include "identifier.h"
#include "log.h"
#include "seal.h"

enum {
    KEY_LEN = RELAY_KEY_RING_KEY_LEN,
    UUID_MAX = 37,
    UUID_HEX = 32,
    CACHE_SIZE = 64,
    PLACE_PARTS = 5,
    SEALED_MAX = RELAY_KEY_RING_ID_MAX + 2 + RELAY_BASE64_LEN(SECRET_MAX + RELAY_SEAL_OVERHEAD)
};

#define PURPOSE_DATA_KEY  "relay-data-key-1"
#define PURPOSE_SECRET    "relay-secret-1"
#define PURPOSE_DATAPLANE "relay-dataplane-1"
#define PURPOSE_NONCE     "relay-dataplane-nonce-1"

/* A data key, ready to use: its id is the row's UUID without hyphens. */
typedef struct {
    relay_ring_key_t key;
    char workspace_id[UUID_MAX];
} data_key_t;

struct secrets_s {
    relay_key_ring_t master;
    relay_key_ring_t dataplane;
    data_key_t cache[CACHE_SIZE];
    size_t cached; /* how many were ever put: the oldest makes room */
    pthread_mutex_t lock;
};

static relay_span_t span_of(const char *text)
{
    return relay_span(text, strlen(text));
}

/* Locked, between guard pages, not in core images. What is aligned stays so. */
static void *locked_alloc(size_t size)
{
    const size_t align = 64;

    return sodium_malloc((size + align) / align * align);
}

void secret_free(secret_t *secret)
{
    sodium_free(secret->bytes);
    *secret = (secret_t){NULL, 0};
}

bool secret_copy(secret_t *secret, const void *bytes, size_t len)
{
    *secret = (secret_t){locked_alloc(len), len};
    if (secret->bytes == NULL) {
        return false;
    }
    if (len != 0) {
        memcpy(secret->bytes, bytes, len);
    }
    return true;
}

/* ---- rings ---------------------------------------------------------------- */

static bool ring_read(const char *name, const char *text, relay_key_ring_t *ring, char *error,
                      size_t error_size)
{
    size_t line = 0;
    const char *message = "";

    if (relay_key_ring_read(span_of(text), ring, &line, &message)) {
        return true;
    }
    if (line == 0) {
        snprintf(error, error_size, "%s: %s", name, message);
    } else {
        snprintf(error, error_size, "%s, line %zu: %s", name, line, message);
    }
    return false;
}

secrets_t *secrets_new(const char *master_ring, const char *dataplane_ring, char *error,
                       size_t error_size)
{
    secrets_t *secrets = sodium_init() < 0 ? NULL : locked_alloc(sizeof(*secrets));

    if (secrets == NULL) {
        snprintf(error, error_size, "no locked memory for the keys");
        return NULL;
    }
    memset(secrets, 0, sizeof(*secrets));
    pthread_mutex_init(&secrets->lock, NULL);
    if (!ring_read("the master key", master_ring, &secrets->master, error, error_size) ||
        !ring_read("the data-plane key", dataplane_ring, &secrets->dataplane, error, error_size)) {
        secrets_free(secrets);
        return NULL;
    }
    return secrets;
}

void secrets_free(secrets_t *secrets)
{
    if (secrets == NULL) {
        return;
    }
    pthread_mutex_destroy(&secrets->lock);
    sodium_free(secrets);
}

/* ---- data keys ------------------------------------------------------------ */

/* The UUID's 32 digits; false if it is not one. */
static bool uuid_digits(const char *uuid, char digits[UUID_HEX + 1])
{
    size_t len = 0;

    for (; *uuid != '\0'; uuid++) {
        if (*uuid == '-') {
            continue;
        }
        if (len == UUID_HEX || strchr("0123456789abcdef", *uuid) == NULL) {
            return false;
        }
        digits[len++] = *uuid;
    }
    digits[len] = '\0';
    return len == UUID_HEX;
}

static bool cache_find(secrets_t *secrets, const char *workspace_id, const char *digits,
                       data_key_t *found)
{
    bool is_there = false;

    pthread_mutex_lock(&secrets->lock);
    for (size_t i = 0; i < CACHE_SIZE && !is_there; i++) {
        const data_key_t *entry = &secrets->cache[i];
        is_there = strcmp(entry->workspace_id, workspace_id) == 0 &&
                   relay_span_eq(relay_ring_key_id(&entry->key), span_of(digits));
        if (is_there) {
            *found = *entry;
        }
    }
    pthread_mutex_unlock(&secrets->lock);
    return is_there;
}

static void cache_put(secrets_t *secrets, const data_key_t *key)
{
    pthread_mutex_lock(&secrets->lock);
    secrets->cache[secrets->cached++ % CACHE_SIZE] = *key;
    pthread_mutex_unlock(&secrets->lock);
}

static bool data_key_name(data_key_t *key, const char *workspace_id, const char *digits)
{
    if (strlen(workspace_id) >= sizeof(key->workspace_id)) {
        return false;
    }
    memcpy(key->workspace_id, workspace_id, strlen(workspace_id) + 1);
    memcpy(key->key.id, digits, UUID_HEX);
    key->key.id_len = UUID_HEX;
    return true;
}

/* What a data key is bound to when it is wrapped. */
typedef struct {
    relay_span_t parts[3];
} wrap_place_t;

static relay_seal_data_t wrap_data(wrap_place_t *place, const data_key_t *key)
{
    place->parts[0] = RELAY_SPAN(PURPOSE_DATA_KEY);
    place->parts[1] = span_of(key->workspace_id);
    place->parts[2] = relay_ring_key_id(&key->key);
    return (relay_seal_data_t){place->parts, 3};
}

enum { WRAPPED_MAX = RELAY_KEY_RING_ID_MAX + 2 + RELAY_BASE64_LEN(KEY_LEN + RELAY_SEAL_OVERHEAD) };

static bool wrap(const secrets_t *secrets, const data_key_t *key, char wrapped[WRAPPED_MAX])
{
    uint8_t nonce[RELAY_SEAL_NONCE_LEN], room[KEY_LEN + RELAY_SEAL_OVERHEAD];
    relay_buf_t scratch = relay_buf(room, sizeof(room));
    relay_buf_t out = relay_buf(wrapped, WRAPPED_MAX - 1);
    wrap_place_t place;

    randombytes_buf(nonce, sizeof(nonce));
    if (!relay_seal(&secrets->master.keys[0], nonce, wrap_data(&place, key),
                    relay_span(key->key.bytes, KEY_LEN), &scratch, &out)) {
        return false;
    }
    wrapped[out.len] = '\0';
    return true;
}

static bool unwrap(const secrets_t *secrets, const char *wrapped, data_key_t *key)
{
    uint8_t room[WRAPPED_MAX];
    relay_buf_t out = relay_buf(room, sizeof(room));
    wrap_place_t place;
    bool opened =
        relay_seal_open_room(span_of(wrapped)) <= sizeof(room) &&
        relay_seal_open(&secrets->master, wrap_data(&place, key), span_of(wrapped), &out) &&
        out.len == KEY_LEN;

    if (opened) {
        memcpy(key->key.bytes, room, KEY_LEN);
    }
    sodium_memzero(room, sizeof(room));
    return opened;
}

/* The key that a row of (id, wrapped) holds. */
static bool data_key_of_row(secrets_t *secrets, const PGresult *row, const char *workspace_id,
                            data_key_t *key)
{
    char digits[UUID_HEX + 1];

    if (!uuid_digits(PQgetvalue(row, 0, 0), digits)) {
        return false;
    }
    if (cache_find(secrets, workspace_id, digits, key)) {
        return true;
    }
    if (!data_key_name(key, workspace_id, digits) || !unwrap(secrets, PQgetvalue(row, 0, 1), key)) {
        log_event(LOG_ERROR, "a data key does not open with the master keys", "workspace_id",
                  workspace_id, "data_key", PQgetvalue(row, 0, 0), NULL);
        return false;
    }
    cache_put(secrets, key);
    return true;
}

/* The key called digits, of this workspace. */
static bool data_key_find(secrets_t *secrets, session_t *session, const char *workspace_id,
                          const char *digits, data_key_t *key)
{
    PGresult *row;
    bool found;

    if (cache_find(secrets, workspace_id, digits, key)) {
        return true;
    }
    row = SESSION_QUERY(session,
                        "SELECT id, wrapped FROM data_key"
                        " WHERE id = $1::uuid AND workspace_id = $2::uuid",
                        digits, workspace_id);
    found = row != NULL && PQntuples(row) == 1 && data_key_of_row(secrets, row, workspace_id, key);
    PQclear(row);
    return found;
}

/* Makes a row; one that another transaction makes at the same moment wins. */
static bool data_key_make(secrets_t *secrets, session_t *session, const char *workspace_id)
{
    char id[UUID_MAX], digits[UUID_HEX + 1], wrapped[WRAPPED_MAX], master_id[UUID_MAX];
    const relay_ring_key_t *master = &secrets->master.keys[0];
    data_key_t key;
    PGresult *made = NULL;

    randombytes_buf(key.key.bytes, KEY_LEN);
    snprintf(master_id, sizeof(master_id), "%.*s", (int)master->id_len, (const char *)master->id);
    if (identifier_new(id) && uuid_digits(id, digits) &&
        data_key_name(&key, workspace_id, digits) && wrap(secrets, &key, wrapped)) {
        made = SESSION_QUERY(session,
                             "INSERT INTO data_key (id, workspace_id, master_key_id, wrapped)"
                             " VALUES ($1::uuid, $2::uuid, $3, $4)"
                             " ON CONFLICT (workspace_id) WHERE retired_at IS NULL DO NOTHING",
                             id, workspace_id, master_id, wrapped);
    }
    sodium_memzero(&key, sizeof(key));
    PQclear(made);
    return made != NULL;
}

static PGresult *data_key_row(session_t *session, const char *workspace_id)
{
    return SESSION_QUERY(session,
                         "SELECT id, wrapped FROM data_key"
                         " WHERE workspace_id = $1::uuid AND retired_at IS NULL",
                         workspace_id);
}

/* The key that seals; made if there is none. */
static bool data_key_current(secrets_t *secrets, session_t *session, const char *workspace_id,
                             data_key_t *key)
{
    PGresult *row = data_key_row(session, workspace_id);
    bool found;

    if (row != NULL && PQntuples(row) == 0) {
        PQclear(row);
        row = data_key_make(secrets, session, workspace_id) ? data_key_row(session, workspace_id)
                                                            : NULL;
    }
    found = row != NULL && PQntuples(row) == 1 && data_key_of_row(secrets, row, workspace_id, key);
    PQclear(row);
    return found;
}

/* ---- sealing and opening -------------------------------------------------- */

static relay_seal_data_t place_data(relay_span_t parts[PLACE_PARTS], const secret_place_t *place)
{
    parts[0] = RELAY_SPAN(PURPOSE_SECRET);
    parts[1] = span_of(place->workspace_id);
    parts[2] = span_of(place->row_id);
    parts[3] = span_of(place->version);
    parts[4] = span_of(place->origin);
    return (relay_seal_data_t){parts, PLACE_PARTS};
}

/* As text of its own; NULL: it cannot be sealed. */
static char *seal_text(const relay_ring_key_t *key, const uint8_t nonce[RELAY_SEAL_NONCE_LEN],
                       relay_seal_data_t data, const secret_t *secret)
{
    size_t size = secret->len <= SECRET_MAX ? SEALED_MAX + secret->len + RELAY_SEAL_OVERHEAD : 0;
    char *text = size != 0 ? malloc(size) : NULL;
    relay_buf_t scratch, out;

    if (text == NULL) {
        return NULL;
    }
    out = relay_buf(text, SEALED_MAX - 1);
    scratch = relay_buf(text + SEALED_MAX, size - SEALED_MAX);
    if (!relay_seal(key, nonce, data, relay_span(secret->bytes, secret->len), &scratch, &out)) {
        free(text);
        return NULL;
    }
    text[out.len] = '\0';
    return text;
}

char *secret_seal(secrets_t *secrets, session_t *session, const secret_place_t *place,
                  const secret_t *secret)
{
    relay_span_t parts[PLACE_PARTS];
    uint8_t nonce[RELAY_SEAL_NONCE_LEN];
    data_key_t key;
    char *text = NULL;

    randombytes_buf(nonce, sizeof(nonce));
    if (data_key_current(secrets, session, place->workspace_id, &key)) {
        text = seal_text(&key.key, nonce, place_data(parts, place), secret);
    }
    sodium_memzero(&key, sizeof(key));
    return text;
}

static bool open_text(const data_key_t *key, const secret_place_t *place, relay_span_t sealed,
                      secret_t *secret)
{
    relay_span_t parts[PLACE_PARTS];
    size_t room = relay_seal_open_room(sealed);
    relay_key_ring_t *ring = locked_alloc(sizeof(*ring));
    relay_buf_t out;
    bool opened = false;

    *secret = (secret_t){locked_alloc(room), 0};
    if (ring != NULL && secret->bytes != NULL) {
        ring->keys[0] = key->key;
        ring->count = 1;
        out = relay_buf(secret->bytes, room);
        opened = relay_seal_open(ring, place_data(parts, place), sealed, &out);
        secret->len = opened ? out.len : 0;
    }
    sodium_free(ring);
    if (!opened) {
        secret_free(secret);
    }
    return opened;
}

bool secret_open(secrets_t *secrets, session_t *session, const secret_place_t *place,
                 const char *sealed, secret_t *secret)
{
    relay_span_t text = span_of(sealed), id = relay_seal_key_id(text);
    char name[UUID_MAX], digits[UUID_HEX + 1];
    data_key_t key;
    bool opened;

    *secret = (secret_t){NULL, 0};
    if (id.len != UUID_HEX || text.len >= SEALED_MAX) {
        return false;
    }
    memcpy(name, id.base, UUID_HEX);
    name[UUID_HEX] = '\0';
    opened = uuid_digits(name, digits) &&
             data_key_find(secrets, session, place->workspace_id, digits, &key) &&
             open_text(&key, place, text, secret);
    sodium_memzero(&key, sizeof(key));
    return opened;
}

/* ---- for the data plane --------------------------------------------------- */

static bool hmac(const uint8_t key[KEY_LEN], relay_span_t text, uint8_t digest[KEY_LEN])
{
    unsigned len = KEY_LEN;

    return HMAC(EVP_sha256(), key, KEY_LEN, text.base, text.len, digest, &len) != NULL &&
           len == KEY_LEN;
}

static void put_part(relay_buf_t *out, relay_span_t part)
{
    for (int shift = 24; shift >= 0; shift -= 8) {
        relay_buf_put_byte(out, (uint8_t)(part.len >> shift));
    }
    relay_buf_put(out, part);
}

/*
 * A nonce that is a keyed digest of all that is sealed: two different texts get
 * two nonces, and the same one gets the same, so that a document that did not
 * change keeps its digest, whoever publishes it.
 */
static bool synthetic_nonce(const uint8_t key[KEY_LEN], relay_seal_data_t data,
                            const secret_t *secret, uint8_t nonce[RELAY_SEAL_NONCE_LEN])
{
    size_t room = 4 + secret->len;
    uint8_t derived[KEY_LEN], digest[KEY_LEN];
    relay_buf_t text;
    bool made;

    for (size_t i = 0; i < data.count; i++) {
        room += 4 + data.parts[i].len;
    }
    text = relay_buf(locked_alloc(room), room);
    if (text.base == NULL) {
        return false;
    }
    for (size_t i = 0; i < data.count; i++) {
        put_part(&text, data.parts[i]);
    }
    put_part(&text, relay_span(secret->bytes, secret->len));
    made = hmac(key, RELAY_SPAN(PURPOSE_NONCE), derived) &&
           hmac(derived, relay_buf_span(&text), digest);
    memcpy(nonce, digest, RELAY_SEAL_NONCE_LEN);
    sodium_free(text.base);
    sodium_memzero(derived, sizeof(derived));
    return made;
}

char *secret_seal_for_dataplane(secrets_t *secrets, const char *workspace_name,
                                const char *key_name, const char *version, const char *origin,
                                const secret_t *secret)
{
    const relay_span_t parts[] = {RELAY_SPAN(PURPOSE_DATAPLANE), span_of(workspace_name),
                                  span_of(key_name), span_of(version), span_of(origin)};
    const relay_ring_key_t *key = &secrets->dataplane.keys[0];
    relay_seal_data_t data = {parts, sizeof(parts) / sizeof(parts[0])};
    uint8_t nonce[RELAY_SEAL_NONCE_LEN];

    return synthetic_nonce(key->bytes, data, secret, nonce) ? seal_text(key, nonce, data, secret)
                                                            : NULL;
}

/* ---- rotation ------------------------------------------------------------- */

static bool database_failed(problem_t *problem)
{
    return problem_set(problem, PROBLEM_UNAVAILABLE, "The database did not answer.");
}

/* Opened with the ring as it is, wrapped with its first key. */
static bool rewrap(secrets_t *secrets, session_t *session, const PGresult *rows, int index,
                   problem_t *problem)
{
    const relay_ring_key_t *master = &secrets->master.keys[0];
    char digits[UUID_HEX + 1], wrapped[WRAPPED_MAX], pointer[64], master_id[UUID_MAX];
    const char *id = PQgetvalue(rows, index, 0);
    data_key_t key;
    PGresult *done = NULL;
    bool opened = uuid_digits(id, digits) &&
                  data_key_name(&key, PQgetvalue(rows, index, 1), digits) &&
                  unwrap(secrets, PQgetvalue(rows, index, 2), &key);

    snprintf(pointer, sizeof(pointer), "/data_keys/%s", id);
    snprintf(master_id, sizeof(master_id), "%.*s", (int)master->id_len, (const char *)master->id);
    if (opened && wrap(secrets, &key, wrapped)) {
        done = SESSION_QUERY(session,
                             "UPDATE data_key SET wrapped = $2, master_key_id = $3"
                             " WHERE id = $1::uuid",
                             id, wrapped, master_id);
    }
    sodium_memzero(&key, sizeof(key));
    PQclear(done);
    if (!opened) {
        return problem_fault(problem, pointer,
                             "does not open with the master keys there are (it was wrapped with"
                             " \"%s\"); nothing was changed",
                             PQgetvalue(rows, index, 3));
    }
    return done != NULL || database_failed(problem);
}

bool secrets_rotate_master(secrets_t *secrets, session_t *session, problem_t *problem)
{
    PGresult *rows = session_query(session,
                                   "SELECT id, workspace_id, wrapped, master_key_id FROM data_key"
                                   " ORDER BY id FOR UPDATE",
                                   0, NULL);
    bool all = rows != NULL || database_failed(problem);

    /* Every row that does not open is named, not only the first. */
    for (int i = 0; i < PQntuples(rows); i++) {
        all = rewrap(secrets, session, rows, i, problem) && all;
    }
    PQclear(rows);
    return all;
}

/* Opens what column `sealed` of a row has and seals it with the current key; NULL: there is none.
 */
static bool reseal_value(secrets_t *secrets, session_t *session, const secret_place_t *place,
                         const char *sealed, char **again)
{
    secret_t secret;

    *again = NULL;
    if (sealed == NULL) {
        return true;
    }
    if (!secret_open(secrets, session, place, sealed, &secret)) {
        return false;
    }
    *again = secret_seal(secrets, session, place, &secret);
    secret_free(&secret);
    return *again != NULL;
}

enum {
    ROW_ID = 0,
    ROW_NAME,
    ROW_ORIGIN,
    ROW_SEALED,
    ROW_VERSION,
    ROW_PREVIOUS,
    ROW_PREVIOUS_VERSION,
    ROW_LAST,
    ROW_LAST_VERSION
};

static const char *text_at(const PGresult *rows, int index, int column)
{
    return PQgetisnull(rows, index, column) ? NULL : PQgetvalue(rows, index, column);
}

/* One of the values of a row; a fault names it if it does not open. */
static bool reseal_column(secrets_t *secrets, session_t *session, const char *workspace_id,
                          const PGresult *rows, int index, int column, char **again,
                          problem_t *problem)
{
    const char *origin = text_at(rows, index, ROW_ORIGIN);
    const char *version = text_at(rows, index, column + 1);
    secret_place_t place = {workspace_id, PQgetvalue(rows, index, ROW_ID),
                            version != NULL ? version : "", origin != NULL ? origin : ""};
    char pointer[160];

    if (reseal_value(secrets, session, &place, text_at(rows, index, column), again) ||
        column == ROW_LAST) { /* one that does not open is of no use, and no loss */
        return true;
    }
    snprintf(pointer, sizeof(pointer), "/provider_keys/%s", PQgetvalue(rows, index, ROW_NAME));
    return problem_fault(problem, pointer, "%s does not open; nothing was changed",
                         column == ROW_SEALED ? "its value" : "the value before the rotation");
}

static bool reseal_row(secrets_t *secrets, session_t *session, const char *workspace_id,
                       const PGresult *rows, int index, problem_t *problem)
{
    char *sealed = NULL, *previous = NULL, *last = NULL;
    bool opened =
        reseal_column(secrets, session, workspace_id, rows, index, ROW_SEALED, &sealed, problem);
    PGresult *done = NULL;

    opened = reseal_column(secrets, session, workspace_id, rows, index, ROW_PREVIOUS, &previous,
                           problem) &&
             reseal_column(secrets, session, workspace_id, rows, index, ROW_LAST, &last, problem) &&
             opened;
    if (opened) {
        done = SESSION_QUERY(session,
                             "UPDATE provider_key SET sealed = $2, previous_sealed = $3,"
                             " last_sealed = $4 WHERE id = $1::uuid",
                             PQgetvalue(rows, index, ROW_ID), sealed, previous, last);
    }
    free(sealed);
    free(previous);
    free(last);
    PQclear(done);
    return opened && (done != NULL || database_failed(problem));
}

/* The current data key retires; secret_seal makes the next one. */
static bool data_key_retire(session_t *session, const char *workspace_id)
{
    PGresult *done = SESSION_QUERY(session,
                                   "UPDATE data_key SET retired_at = now()"
                                   " WHERE workspace_id = $1::uuid AND retired_at IS NULL",
                                   workspace_id);

    PQclear(done);
    return done != NULL;
}

/* They are no loss: who publishes one writes it again. */
static bool drop_tokens(session_t *session, const char *workspace_id)
{
    PGresult *done = SESSION_QUERY(
        session, "DELETE FROM access_token WHERE workspace_id = $1::uuid", workspace_id);

    PQclear(done);
    return done != NULL;
}

bool secrets_rotate_data_key(secrets_t *secrets, session_t *session, const char *workspace_id,
                             problem_t *problem)
{
    PGresult *rows =
        SESSION_QUERY(session,
                      "SELECT id, name, origin, sealed, secret_version,"
                      " previous_sealed, previous_version,"
                      " last_sealed, '" SECRET_VERSION_LAST "' || (spec ->> 'value_from')"
                      " FROM provider_key"
                      " WHERE workspace_id = $1::uuid ORDER BY id FOR UPDATE",
                      workspace_id);
    bool all =
        (rows != NULL && data_key_retire(session, workspace_id) &&
         data_key_make(secrets, session, workspace_id) && drop_tokens(session, workspace_id)) ||
        database_failed(problem);

    for (int i = 0; all && i < PQntuples(rows); i++) {
        reseal_row(secrets, session, workspace_id, rows, i, problem);
    }
    PQclear(rows);
    return problem->code == PROBLEM_NONE;
}
