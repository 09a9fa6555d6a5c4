/* Sealing: known answers, the binding to a place, and what a failure leaves. */

#include "seal.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static relay_span_t text(const char *string)
{
    return relay_span(string, strlen(string));
}

static relay_span_t hex(const char *digits, uint8_t *bytes)
{
    size_t len = strlen(digits) / 2;

    for (size_t i = 0; i < len; i++) {
        char pair[3] = {digits[2 * i], digits[2 * i + 1], '\0'};
        bytes[i] = (uint8_t)strtoul(pair, NULL, 16);
    }
    return relay_span(bytes, len);
}

/* Test cases 13 to 15 of the GCM specification given to NIST. */
static const struct {
    const char *key;
    const char *nonce;
    const char *plain;
    const char *sealed; /* ciphertext and tag */
} vectors[] = {
    {"0000000000000000000000000000000000000000000000000000000000000000", "000000000000000000000000",
     "", "530f8afbc74536b9a963b4f1c4cb738b"},
    {"0000000000000000000000000000000000000000000000000000000000000000", "000000000000000000000000",
     "00000000000000000000000000000000",
     "cea7403d4d606b6e074ec5d3baf39d18d0d1c8a799996bf0265b98b5d48ab919"},
    {"feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308", "cafebabefacedbaddecaf888",
     "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
     "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b391aafd255",
     "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"
     "8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662898015ad"
     "b094dac5d93471bdec1a502270e3cc6c"},
};

static void known_answers(void **state)
{
    static const relay_seal_data_t nothing = {NULL, 0};

    (void)state;
    for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
        uint8_t key[32], nonce[12], plain[64], expected[80], sealed[92], opened[64];
        relay_span_t text_of = hex(vectors[i].plain, plain);
        hex(vectors[i].key, key);
        hex(vectors[i].nonce, nonce);
        hex(vectors[i].sealed, expected);
        assert_true(relay_seal_bytes(key, nonce, nothing, text_of, sealed));
        assert_memory_equal(sealed, nonce, 12);
        assert_memory_equal(sealed + 12, expected, text_of.len + 16);
        assert_true(
            relay_seal_open_bytes(key, nothing, relay_span(sealed, text_of.len + 28), opened));
        assert_memory_equal(opened, plain, text_of.len);
    }
}

/* ---- a provider key as STORE.md writes it -------------------------------- */

/* Made by another implementation: AESGCM of Python's cryptography. */
static const char sealed_text[] =
    "dp-1.ZGVmZ2hpamtsbW5vO3DzAwGIO-5SB3KbvwYYmDZwyUxBztfWrYjm_aiSOq5z";
static const char sealed_empty[] = "dp-1.ZGVmZ2hpamtsbW5vUusAhZn-nQlMUHQ2Z7_uug";
static const char secret[] = "sk-example-secret";

enum { PARTS = 5 };

static void place(relay_span_t parts[PARTS])
{
    parts[0] = text("relay-dataplane-1");
    parts[1] = text("default");
    parts[2] = text("example-1");
    parts[3] = text("7");
    parts[4] = text("https://api.example.com:443");
}

static void keys(relay_key_ring_t *ring)
{
    const char *message;
    size_t line;

    assert_true(relay_key_ring_read(text("dp-2 __________________________________________8\n"
                                         "dp-1 AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8\n"),
                                    ring, &line, &message));
}

static bool opens(relay_span_t sealed, const relay_span_t *parts, size_t count, relay_buf_t *out)
{
    relay_key_ring_t ring;

    keys(&ring);
    return relay_seal_open(&ring, (relay_seal_data_t){parts, count}, sealed, out);
}

static void seals_as_written(void **state)
{
    relay_span_t parts[PARTS];
    relay_key_ring_t ring;
    uint8_t nonce[12], out_bytes[100], scratch_bytes[64];
    relay_buf_t out = relay_buf(out_bytes, sizeof(out_bytes));
    relay_buf_t scratch = relay_buf(scratch_bytes, sizeof(scratch_bytes));

    (void)state;
    keys(&ring);
    place(parts);
    for (uint8_t i = 0; i < 12; i++) {
        nonce[i] = 100 + i;
    }
    assert_true(relay_seal(&ring.keys[1], nonce, (relay_seal_data_t){parts, PARTS}, text(secret),
                           &scratch, &out));
    assert_true(relay_span_eq(relay_buf_span(&out), text(sealed_text)));
    assert_true(relay_span_eq(relay_seal_key_id(relay_buf_span(&out)), text("dp-1")));

    /* no room in either */
    scratch.capacity = strlen(secret) + RELAY_SEAL_OVERHEAD - 1;
    assert_false(relay_seal(&ring.keys[1], nonce, (relay_seal_data_t){parts, PARTS}, text(secret),
                            &scratch, &out));
    scratch.capacity++;
    assert_int_equal(out.len, strlen(sealed_text));
    assert_false(relay_seal(&ring.keys[1], nonce, (relay_seal_data_t){parts, PARTS}, text(secret),
                            &scratch, &out));
    assert_int_equal(out.len, strlen(sealed_text));
}

static void opens_behind_what_is_there(void **state)
{
    relay_span_t parts[PARTS];
    uint8_t bytes[100];
    relay_buf_t out = relay_buf(bytes, sizeof(bytes));

    (void)state;
    place(parts);
    memset(bytes, 0xee, sizeof(bytes));
    RELAY_PUT(&out, "Bearer ");
    out.capacity = out.len + relay_seal_open_room(text(sealed_text));
    assert_true(opens(text(sealed_text), parts, PARTS, &out));
    assert_true(relay_span_eq(relay_buf_span(&out), text("Bearer sk-example-secret")));
    for (size_t i = out.len; i < out.len + RELAY_SEAL_OVERHEAD; i++) {
        assert_int_equal(bytes[i], 0);
    }
    out.len = 0;
    assert_true(opens(text(sealed_empty), parts, PARTS, &out));
    assert_int_equal(out.len, 0);
}

/* Failures look alike: nothing appended, no plain text anywhere in the buffer. */
static void assert_closed(relay_span_t sealed, const relay_span_t *parts, size_t count)
{
    uint8_t bytes[100];
    relay_buf_t out = relay_buf(bytes, sizeof(bytes));

    memset(bytes, 0, sizeof(bytes));
    assert_false(opens(sealed, parts, count, &out));
    assert_int_equal(out.len, 0);
    assert_null(memmem(bytes, sizeof(bytes), secret, 4));
}

static void any_other_place_stays_closed(void **state)
{
    relay_span_t parts[PARTS];

    (void)state;
    for (size_t i = 0; i < PARTS; i++) {
        place(parts);
        parts[i].len--;
        assert_closed(text(sealed_text), parts, PARTS);
        place(parts);
        assert_closed(text(sealed_text), parts, i);
    }
    place(parts);
    parts[3] = text("8");
    assert_closed(text(sealed_text), parts, PARTS);
    /* the same bytes, cut elsewhere */
    place(parts);
    parts[1] = text("defaulte");
    parts[2] = text("xample-1");
    assert_closed(text(sealed_text), parts, PARTS);
}

static void any_changed_byte_stays_closed(void **state)
{
    relay_span_t parts[PARTS];
    char changed[sizeof(sealed_text)];

    (void)state;
    place(parts);
    for (size_t i = 0; i < strlen(sealed_text); i++) {
        memcpy(changed, sealed_text, sizeof(changed));
        changed[i] = changed[i] == 'A' ? 'Q' : 'A';
        assert_closed(text(changed), parts, PARTS);
        assert_closed(relay_span(sealed_text, i), parts, PARTS);
    }
    memcpy(changed, sealed_text, sizeof(changed));
    changed[3] = '2'; /* another key, one that there is */
    assert_closed(text(changed), parts, PARTS);
    assert_closed(text("dp-1."), parts, PARTS);
    assert_closed(text("."), parts, PARTS);
    assert_closed(text(""), parts, PARTS);
    assert_closed(text("dp-3.ZGVmZ2hpamtsbW5vUusAhZn-nQlMUHQ2Z7_uug"), parts, PARTS);
}

/* libcrypto decrypts before it knows: what it wrote by then must not stay. */
static void a_forged_tag_leaves_no_plain_text(void **state)
{
    relay_span_t parts[PARTS];
    relay_key_ring_t ring;
    uint8_t sealed_bytes[64], plain[64];
    relay_buf_t sealed = relay_buf(sealed_bytes, sizeof(sealed_bytes));

    (void)state;
    keys(&ring);
    place(parts);
    assert_true(relay_base64_read(relay_span_from(text(sealed_text), 5), &sealed));
    sealed_bytes[sealed.len - 1] ^= 1;
    memset(plain, 0xee, sizeof(plain));
    assert_false(relay_seal_open_bytes(ring.keys[1].bytes, (relay_seal_data_t){parts, PARTS},
                                       relay_buf_span(&sealed), plain));
    for (size_t i = 0; i < strlen(secret); i++) {
        assert_int_equal(plain[i], 0);
    }
    assert_int_equal(plain[strlen(secret)], 0xee);
    assert_false(relay_seal_open_bytes(ring.keys[1].bytes, (relay_seal_data_t){parts, PARTS},
                                       relay_span(sealed_bytes, 27), plain));
}

/* ---- with an opener ------------------------------------------------------ */

/* The secret of sealed_text under its place, in the form that an opener takes. */
typedef struct {
    relay_key_ring_t ring;
    uint8_t data_bytes[128], sealed_bytes[64], plain[64];
    relay_span_t data;
    relay_buf_t sealed;
} stored_t;

static void store(stored_t *stored)
{
    relay_span_t parts[PARTS];
    relay_buf_t data = relay_buf(stored->data_bytes, sizeof(stored->data_bytes));

    keys(&stored->ring);
    place(parts);
    relay_seal_data_put((relay_seal_data_t){parts, PARTS}, &data);
    assert_true(relay_buf_ok(&data));
    stored->data = relay_buf_span(&data);
    stored->sealed = relay_buf(stored->sealed_bytes, sizeof(stored->sealed_bytes));
    assert_true(relay_base64_read(relay_span_from(text(sealed_text), 5), &stored->sealed));
    memset(stored->plain, 0xee, sizeof(stored->plain));
}

static bool opens_stored(relay_seal_opener_t *opener, stored_t *stored, size_t key)
{
    return relay_seal_open_with(opener, stored->ring.keys[key].bytes, stored->data,
                                relay_buf_span(&stored->sealed), stored->plain);
}

static void data_is_put_as_it_is_bound(void **state)
{
    static const uint8_t expected[] = {0, 0, 0, 2, 'a', 'b', 0, 0, 0, 0, 0, 0, 0, 1, 'c'};
    const relay_span_t parts[] = {text("ab"), text(""), text("c")};
    uint8_t bytes[300], many[258] = {0};
    relay_buf_t out = relay_buf(bytes, sizeof(bytes));
    const relay_span_t long_part = relay_span(many, sizeof(many));

    (void)state;
    relay_seal_data_put((relay_seal_data_t){parts, 3}, &out);
    assert_int_equal(out.len, sizeof(expected));
    assert_memory_equal(bytes, expected, sizeof(expected));
    out.len = 0;
    relay_seal_data_put((relay_seal_data_t){&long_part, 1}, &out);
    assert_memory_equal(bytes, "\0\0\1\2", 4);
}

static void an_opener_opens_what_others_sealed(void **state)
{
    relay_seal_opener_t *opener = relay_seal_opener_create();

    (void)state;
    assert_non_null(opener);
    for (size_t turn = 0; turn < 3; turn++) {
        for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
            uint8_t key[32], plain[64], sealed[92], opened[64];
            relay_span_t text_of = hex(vectors[i].plain, plain);
            hex(vectors[i].key, key);
            hex(vectors[i].nonce, sealed);
            hex(vectors[i].sealed, sealed + 12);
            assert_true(relay_seal_open_with(opener, key, relay_span(NULL, 0),
                                             relay_span(sealed, text_of.len + 28), opened));
            assert_memory_equal(opened, plain, text_of.len);
        }
    }
    relay_seal_opener_free(opener);
    relay_seal_opener_free(NULL);
}

/* A failure leaves no plain text, and the opener as it was. */
static void an_opener_survives_what_does_not_open(void **state)
{
    relay_seal_opener_t *opener = relay_seal_opener_create();
    stored_t stored;

    (void)state;
    store(&stored);
    for (size_t i = 0; i < stored.sealed.len; i++) {
        stored.sealed_bytes[i] ^= 1;
        assert_false(opens_stored(opener, &stored, 1));
        assert_int_equal(stored.plain[0], 0);
        assert_int_equal(stored.plain[strlen(secret)], 0xee);
        stored.sealed_bytes[i] ^= 1;
        assert_true(opens_stored(opener, &stored, 1));
        assert_memory_equal(stored.plain, secret, strlen(secret));
    }
    for (size_t i = 0; i < stored.data.len; i++) {
        stored.data_bytes[i] ^= 1;
        assert_false(opens_stored(opener, &stored, 1));
        stored.data_bytes[i] ^= 1;
    }
    assert_false(opens_stored(opener, &stored, 0));
    stored.data.len--;
    assert_false(opens_stored(opener, &stored, 1));
    stored.data.len++;
    stored.sealed.len = RELAY_SEAL_OVERHEAD - 1;
    assert_false(opens_stored(opener, &stored, 1));
    relay_seal_opener_free(opener);
}

/* With the key it had before, its context would still open the secret. */
static void an_opener_forgets_the_key(void **state)
{
    relay_seal_opener_t *opener = relay_seal_opener_create();
    stored_t stored;

    (void)state;
    store(&stored);
    for (size_t key = 0; key < 2; key++) {
        assert_true(opens_stored(opener, &stored, key) == (key == 1));
        assert_true(EVP_CipherInit_ex(opener, NULL, NULL, NULL, stored.sealed_bytes, false) &&
                    feed(opener, stored.data));
        assert_false(open_text(opener, true, relay_buf_span(&stored.sealed), stored.plain));
    }
    relay_seal_opener_free(opener);
}

static void names_its_key(void **state)
{
    (void)state;
    assert_true(relay_span_eq(relay_seal_key_id(text("dp-1.AAAA")), text("dp-1")));
    assert_int_equal(relay_seal_key_id(text("dp-1")).len, 0);
    assert_int_equal(relay_seal_key_id(text(".AAAA")).len, 0);
    assert_int_equal(relay_seal_key_id(text("a b.AAAA")).len, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_answers),
        cmocka_unit_test(seals_as_written),
        cmocka_unit_test(opens_behind_what_is_there),
        cmocka_unit_test(any_other_place_stays_closed),
        cmocka_unit_test(any_changed_byte_stays_closed),
        cmocka_unit_test(a_forged_tag_leaves_no_plain_text),
        cmocka_unit_test(data_is_put_as_it_is_bound),
        cmocka_unit_test(an_opener_opens_what_others_sealed),
        cmocka_unit_test(an_opener_survives_what_does_not_open),
        cmocka_unit_test(an_opener_forgets_the_key),
        cmocka_unit_test(names_its_key),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
