/* Signatures by libsodium are those that the workers verify with libcrypto. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "signer.c"

#define FIRST  "sign-1 AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8\n"
#define SECOND "sign-2 ICECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8\n"

static signer_t *make(const char *ring)
{
    char error[256] = "";
    signer_t *signer = signer_new(ring, error, sizeof(error));

    assert_string_equal(error, "");
    assert_non_null(signer);
    return signer;
}

static void test_same_as_core(void **state)
{
    signer_t *signer = make(FIRST SECOND);
    relay_span_t purpose = RELAY_SPAN(RELAY_PURPOSE_KEY);
    uint8_t room[1200], text[1024], ours[RELAY_SIGNATURE_TEXT_MAX], core[RELAY_SIGNATURE_TEXT_MAX];

    (void)state;
    memset(text, 'x', sizeof(text));
    for (size_t len = 0; len <= sizeof(text); len += 61) {
        relay_buf_t scratch = relay_buf(room, sizeof(room)), out = relay_buf(ours, sizeof(ours));
        relay_buf_t expected = relay_buf(core, sizeof(core));
        relay_span_t bytes = relay_span(text, len);
        assert_true(signer_sign(signer, purpose, bytes, &scratch, &out));
        assert_int_equal(scratch.len, 0);
        assert_true(
            relay_signature_sign(&signer->seeds.keys[0], purpose, bytes, &scratch, &expected));
        assert_true(relay_span_eq(relay_buf_span(&out), relay_buf_span(&expected)));
        scratch.len = 0;
        assert_true(relay_signature_verify(signer_public(signer), purpose, bytes,
                                           relay_buf_span(&out), &scratch));
        assert_false(relay_signature_verify(signer_public(signer), RELAY_SPAN(RELAY_PURPOSE_HEAD),
                                            bytes, relay_buf_span(&out), &scratch));
    }
    signer_free(signer);
}

/* Heads that the key before signed are still ours. */
static void test_public_keys_of_all(void **state)
{
    signer_t *before = make(FIRST), *after = make(SECOND FIRST);
    relay_span_t purpose = RELAY_SPAN(RELAY_PURPOSE_HEAD), bytes = RELAY_SPAN("{}");
    uint8_t room[64], text[RELAY_SIGNATURE_TEXT_MAX];
    relay_buf_t scratch = relay_buf(room, sizeof(room)), out = relay_buf(text, sizeof(text));

    (void)state;
    assert_true(signer_sign(before, purpose, bytes, &scratch, &out));
    assert_true(relay_signature_verify(signer_public(after), purpose, bytes, relay_buf_span(&out),
                                       &scratch));
    signer_free(before);
    signer_free(after);
}

static void test_refuses(void **state)
{
    char error[256] = "";
    signer_t *signer = make(FIRST);
    uint8_t room[16], text[RELAY_SIGNATURE_TEXT_MAX];
    relay_buf_t small = relay_buf(room, 14), out = relay_buf(text, sizeof(text));

    (void)state;
    assert_false(signer_sign(signer, RELAY_SPAN("relay-head-1"), RELAY_SPAN("{}"), &small, &out));
    assert_int_equal(out.len, 0);
    assert_null(signer_new("sign-1 c2hvcnQ\n", error, sizeof(error)));
    assert_int_equal(strncmp(error, "the signing key, line 1: ", 25), 0);
    assert_null(strstr(error, "c2hvcnQ"));
    signer_free(signer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_as_core),
        cmocka_unit_test(test_public_keys_of_all),
        cmocka_unit_test(test_refuses),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
