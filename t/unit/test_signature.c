/* Signatures: RFC 8032's vectors, purposes, and what does not verify. */

#include "signature.c"

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

/* RFC 8032, section 7.1, tests 1 to 3. */
static const struct {
    const char *private_key;
    const char *public_key;
    const char *message;
    const char *signature;
} vectors[] = {
    {"9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
     "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", "",
     "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155"
     "5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"},
    {"4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
     "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c", "72",
     "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
     "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"},
    {"c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
     "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025", "af82",
     "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac"
     "18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a"},
};

static void known_answers(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
        uint8_t private_key[32], public_key[32], derived[32], message[2], expected[64], made[64];
        relay_span_t bytes = hex(vectors[i].message, message);
        hex(vectors[i].private_key, private_key);
        hex(vectors[i].public_key, public_key);
        hex(vectors[i].signature, expected);
        assert_true(relay_signature_public(private_key, derived));
        assert_memory_equal(derived, public_key, 32);
        assert_true(sign(private_key, bytes, made));
        assert_memory_equal(made, expected, 64);
        assert_true(verify(public_key, bytes, expected));
        expected[63] ^= 1;
        assert_false(verify(public_key, bytes, expected));
    }
}

/* ---- the text form: made by another implementation, Python's cryptography - */

#define PRIVATE "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"
#define PUBLIC  "A6EHv_POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg"
#define FOR_HEAD                                                                                   \
    "lVoZ6XenQgumf_XEvt8L2i8SD2tQmdzZynToJdYfkQ4f0Y9Lx922fr09GmLCtUcYnxfr5G9smKM77BoF4ulLAA"
#define FOR_KEY                                                                                    \
    "6p13SjzTuab-B4TwNymht_Fsks-aKY-r_ui5d1Hmxf3GQdvLLOQ4x4VxcCO76-bythSyq5Zewm0Bfu3ZM8qTAA"

static const char payload[] = "{\"revision\":42}";

static void ring_of(const char *lines, relay_key_ring_t *ring)
{
    const char *message;
    size_t line;

    assert_true(relay_key_ring_read(text(lines), ring, &line, &message));
}

static bool verifies(const char *signature, const char *purpose, const char *bytes, size_t room)
{
    uint8_t scratch_bytes[64];
    relay_buf_t scratch = relay_buf(scratch_bytes, room);
    relay_key_ring_t ring;
    bool good;

    ring_of("old AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\nsign-1 " PUBLIC "\n", &ring);
    good = relay_signature_verify(&ring, text(purpose), text(bytes), text(signature), &scratch);
    assert_int_equal(scratch.len, 0);
    return good;
}

static void verifies_for_its_purpose_only(void **state)
{
    (void)state;
    assert_true(verifies("sign-1 " FOR_HEAD, RELAY_PURPOSE_HEAD, payload, 64));
    assert_true(verifies("sign-1 " FOR_KEY, RELAY_PURPOSE_KEY, payload, 64));
    assert_false(verifies("sign-1 " FOR_HEAD, RELAY_PURPOSE_KEY, payload, 64));
    assert_false(verifies("sign-1 " FOR_KEY, RELAY_PURPOSE_HEAD, payload, 64));
    assert_false(verifies("sign-1 " FOR_HEAD, RELAY_PURPOSE_HEAD, "{\"revision\":43}", 64));
    assert_false(verifies("sign-1 " FOR_HEAD, RELAY_PURPOSE_HEAD, "", 64));
}

static void other_forms_do_not_verify(void **state)
{
    static const char *const bad[] = {
        "",
        " ",
        FOR_HEAD,
        "sign-1",
        "sign-1 ",
        "sign-1  " FOR_HEAD,
        "sign-1 " FOR_HEAD " ",
        "sign-1 " FOR_HEAD "=",
        "sign-1 A" FOR_HEAD,
        "sign-2 " FOR_HEAD,
        "old " FOR_HEAD,
        " sign-1 " FOR_HEAD,
        "sign-1\t" FOR_HEAD,
    };

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_false(verifies(bad[i], RELAY_PURPOSE_HEAD, payload, 64));
    }
}

/* What is too long for the room given is refused, whatever it holds. */
static void too_little_room_does_not_verify(void **state)
{
    size_t room = RELAY_SIGNATURE_ROOM(text(RELAY_PURPOSE_HEAD), text(payload));

    (void)state;
    assert_int_equal(room, 12 + 1 + 15);
    assert_true(verifies("sign-1 " FOR_HEAD, RELAY_PURPOSE_HEAD, payload, room));
    assert_false(verifies("sign-1 " FOR_HEAD, RELAY_PURPOSE_HEAD, payload, room - 1));
}

static void signs_as_written(void **state)
{
    uint8_t scratch_bytes[64], out_bytes[RELAY_SIGNATURE_TEXT_MAX];
    relay_buf_t scratch = relay_buf(scratch_bytes, sizeof(scratch_bytes));
    relay_buf_t out = relay_buf(out_bytes, sizeof(out_bytes));
    relay_key_ring_t ring;

    (void)state;
    ring_of("sign-1 " PRIVATE "\n", &ring);
    assert_true(relay_signature_sign(&ring.keys[0], text(RELAY_PURPOSE_HEAD), text(payload),
                                     &scratch, &out));
    assert_true(relay_span_eq(relay_buf_span(&out), text("sign-1 " FOR_HEAD)));

    assert_false(relay_signature_sign(&ring.keys[0], text(RELAY_PURPOSE_HEAD), text(payload),
                                      &scratch, &out));
    assert_int_equal(out.len, strlen("sign-1 " FOR_HEAD));
    out.len = 0;
    scratch.capacity = 12 + 15;
    assert_false(relay_signature_sign(&ring.keys[0], text(RELAY_PURPOSE_HEAD), text(payload),
                                      &scratch, &out));
    assert_int_equal(out.len, 0);
}

static void splits_at_the_first_line(void **state)
{
    relay_span_t signature, bytes;

    (void)state;
    assert_true(relay_signature_split(text("a b\n{\n}\n"), &signature, &bytes));
    assert_true(relay_span_eq(signature, text("a b")));
    assert_true(relay_span_eq(bytes, text("{\n}\n")));
    assert_true(relay_signature_split(text("\n"), &signature, &bytes));
    assert_int_equal(signature.len + bytes.len, 0);
    assert_false(relay_signature_split(text("a b"), &signature, &bytes));
    assert_false(relay_signature_split(text(""), &signature, &bytes));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_answers),
        cmocka_unit_test(verifies_for_its_purpose_only),
        cmocka_unit_test(other_forms_do_not_verify),
        cmocka_unit_test(too_little_room_does_not_verify),
        cmocka_unit_test(signs_as_written),
        cmocka_unit_test(splits_at_the_first_line),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
