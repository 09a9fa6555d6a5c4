/*
 * Key rings: from text to keys, and by id. Called where a file of keys is read:
 * in the master of nginx, in the control plane, in relayctl.
 */

#include "key_ring.h"

#include "base64.h"

#include <openssl/crypto.h>

bool relay_key_ring_id_ok(relay_span_t id)
{
    for (size_t i = 0; i < id.len; i++) {
        uint8_t byte = id.base[i];
        if (!((byte >= 'A' && byte <= 'Z') || (byte >= 'a' && byte <= 'z') ||
              (byte >= '0' && byte <= '9') || byte == '_' || byte == '-')) {
            return false;
        }
    }
    return id.len >= 1 && id.len <= RELAY_KEY_RING_ID_MAX;
}

const relay_ring_key_t *relay_key_ring_find(const relay_key_ring_t *ring, relay_span_t id)
{
    for (size_t i = 0; i < ring->count; i++) {
        if (relay_span_eq(relay_ring_key_id(&ring->keys[i]), id)) {
            return &ring->keys[i];
        }
    }
    return NULL;
}

void relay_key_ring_cleanse(relay_key_ring_t *ring)
{
    OPENSSL_cleanse(ring, sizeof(*ring));
}

/* The next line, without its end; false behind the last one. */
static bool next_line(relay_span_t *text, relay_span_t *line)
{
    const uint8_t *end;

    if (text->len == 0) {
        return false;
    }
    end = memchr(text->base, '\n', text->len);
    *line = relay_span(text->base, end != NULL ? (size_t)(end - text->base) : text->len);
    *text = relay_span_from(*text, end != NULL ? line->len + 1 : line->len);
    if (line->len != 0 && line->base[line->len - 1] == '\r') {
        line->len--;
    }
    return true;
}

/* NULL, or what was expected. */
static const char *read_key(relay_span_t line, relay_key_ring_t *ring)
{
    const uint8_t *space = memchr(line.base, ' ', line.len);
    relay_span_t id = relay_span(line.base, space != NULL ? (size_t)(space - line.base) : 0);
    relay_ring_key_t *key = &ring->keys[ring->count];

    if (!relay_key_ring_id_ok(id)) {
        return "expected \"<key id> <key>\", the id of 1 to 32 letters, digits, \"_\" and \"-\"";
    }
    if (relay_key_ring_find(ring, id) != NULL) {
        return "this key id is here already";
    }
    if (ring->count == RELAY_KEY_RING_MAX) {
        return "there are more than 16 keys";
    }
    if (!relay_base64_read_exactly(relay_span_from(line, id.len + 1), key->bytes,
                                   sizeof(key->bytes))) {
        return "a key is 32 bytes in URL-safe base64 without padding: 43 characters";
    }
    memcpy(key->id, id.base, id.len);
    key->id_len = id.len;
    ring->count++;
    return NULL;
}

static bool refuse(relay_key_ring_t *ring)
{
    relay_key_ring_cleanse(ring);
    return false;
}

bool relay_key_ring_read(relay_span_t text, relay_key_ring_t *ring, size_t *line,
                         const char **message)
{
    relay_span_t rest = text, one;

    memset(ring, 0, sizeof(*ring));
    for (*line = 1; next_line(&rest, &one); (*line)++) {
        if (one.len == 0 || one.base[0] == '#') {
            continue;
        }
        *message = read_key(one, ring);
        if (*message != NULL) {
            return refuse(ring);
        }
    }
    *line = 0;
    *message = ring->count != 0 ? NULL : "there is no key";
    return ring->count != 0 || refuse(ring);
}
