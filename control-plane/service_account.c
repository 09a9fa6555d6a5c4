/*
 * From a service account to an access token: see service_account.h. The document
 * is taken apart where it lies, in locked memory, and so is the answer; OpenSSL
 * cleanses what it makes of the private key.
 */

#include "service_account.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base64.h"
#include "json_scan.h"
#include "outbound.h"

enum {
    URL_MAX = 512,
    EMAIL_MAX = 320,
    KEY_ID_MAX = 128,
    SCOPE_MAX = 2048,
    BODY_MAX = 16 * 1024,
    ANSWER_MAX = 64 * 1024,
    KEY_BITS_MIN = 2048,
    KEY_BYTES_MAX = 1024, /* of a signature */
    ASSERTION_S = 3600,   /* as long as endpoints take */
    LIVES_MIN_S = 2,
    LIVES_MAX_S = 24 * 3600,
    CONNECT_MS = 2000,
    TOTAL_MS = 5000
};

__attribute__((format(printf, 3, 4))) static bool no(char *why, size_t why_size, const char *format,
                                                     ...)
{
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(why, why_size, format, arguments);
    va_end(arguments);
    return false;
}

/* ---- the document --------------------------------------------------------- */

typedef struct {
    char email[EMAIL_MAX + 1];
    char key_id[KEY_ID_MAX + 1]; /* "": none */
    char token_url[URL_MAX + 1];
    relay_json_value_t private_key;
} account_t;

enum { TYPE = 0, EMAIL, PRIVATE_KEY, KEY_ID, TOKEN_URL, MEMBERS };

static bool scan(const secret_t *secret, relay_json_value_t values[MEMBERS])
{
    static const relay_span_t keys[MEMBERS] = {
        RELAY_SPAN_INIT("type"), RELAY_SPAN_INIT("client_email"), RELAY_SPAN_INIT("private_key"),
        RELAY_SPAN_INIT("private_key_id"), RELAY_SPAN_INIT("token_uri")};
    relay_json_fault_t fault;

    return relay_json_scan(relay_span(secret->bytes, secret->len), keys, MEMBERS, values, &fault) ==
           RELAY_JSON_OK;
}

/* Printable ASCII without spaces, as a text of its own. */
static bool copy(relay_json_value_t value, char *text, size_t max)
{
    relay_span_t span;

    if (!relay_json_plain(value, &span) || span.len == 0 || span.len > max) {
        return false;
    }
    for (size_t i = 0; i < span.len; i++) {
        if (span.base[i] <= ' ' || span.base[i] > '~') {
            return false;
        }
    }
    memcpy(text, span.base, span.len);
    text[span.len] = '\0';
    return true;
}

bool service_account_is(const secret_t *secret)
{
    relay_json_value_t values[MEMBERS];

    return scan(secret, values) && values[PRIVATE_KEY].type != RELAY_JSON_ABSENT;
}

static bool is_of_type(relay_json_value_t value)
{
    relay_span_t type;

    return relay_json_plain(value, &type) && relay_span_eq(type, RELAY_SPAN("service_account"));
}

static bool url_fits(const char *url, bool local)
{
    return strncmp(url, "https://", 8) == 0 || (local && strncmp(url, "http://", 7) == 0);
}

/* Text of an account's own goes into no message. */
static bool read_account(const secret_t *secret, bool local, account_t *account, char *why,
                         size_t why_size)
{
    relay_json_value_t values[MEMBERS];

    *account = (account_t){.key_id = ""};
    if (!scan(secret, values)) {
        return no(why, why_size, "is no JSON document of a service account");
    }
    if (!is_of_type(values[TYPE])) {
        return no(why, why_size, "is no service account: its type is not \"service_account\"");
    }
    if (!copy(values[EMAIL], account->email, EMAIL_MAX)) {
        return no(why, why_size, "is no whole service account: it has no client_email");
    }
    if (values[KEY_ID].type != RELAY_JSON_ABSENT &&
        !copy(values[KEY_ID], account->key_id, KEY_ID_MAX)) {
        return no(why, why_size, "is a service account with a private_key_id that cannot be");
    }
    account->private_key = values[PRIVATE_KEY];
    if (account->private_key.type != RELAY_JSON_STRING) {
        return no(why, why_size, "is no whole service account: it has no private_key");
    }
    if (!copy(values[TOKEN_URL], account->token_url, URL_MAX)) {
        return no(why, why_size, "is no whole service account: it has no token_uri");
    }
    return url_fits(account->token_url, local) ||
           no(why, why_size, "is a service account whose token_uri is not https://");
}

/* ---- its key -------------------------------------------------------------- */

/* An encrypted key is none: nobody is asked for a password. */
static int no_password(char *room, int size, int writing, void *data)
{
    (void)room;
    (void)size;
    (void)writing;
    (void)data;
    return 0;
}

static EVP_PKEY *parse_key(relay_span_t pem)
{
    BIO *bio = BIO_new_mem_buf(pem.base, (int)pem.len);
    EVP_PKEY *key = bio != NULL ? PEM_read_bio_PrivateKey(bio, NULL, no_password, NULL) : NULL;

    BIO_free(bio);
    if (key != NULL &&
        (EVP_PKEY_get_base_id(key) != EVP_PKEY_RSA || EVP_PKEY_get_bits(key) < KEY_BITS_MIN ||
         EVP_PKEY_get_size(key) > KEY_BYTES_MAX)) {
        EVP_PKEY_free(key);
        return NULL;
    }
    return key;
}

static EVP_PKEY *read_key(const account_t *account)
{
    relay_span_t written = account->private_key.text;
    secret_t room = {sodium_malloc(written.len), written.len};
    relay_buf_t pem = relay_buf(room.bytes, room.len);
    EVP_PKEY *key = NULL;

    if (room.bytes != NULL && relay_json_decode(account->private_key, &pem) && relay_buf_ok(&pem)) {
        key = parse_key(relay_buf_span(&pem));
    }
    secret_free(&room);
    return key;
}

bool service_account_check(const secret_t *secret, bool local, char *why, size_t why_size)
{
    account_t account;
    EVP_PKEY *key;

    if (!read_account(secret, local, &account, why, why_size)) {
        return false;
    }
    key = read_key(&account);
    EVP_PKEY_free(key);
    return key != NULL || no(why, why_size,
                             "is a service account whose private_key is no RSA key of %d bits or"
                             " more, in PEM and without a password",
                             KEY_BITS_MIN);
}

/* ---- the assertion -------------------------------------------------------- */

static relay_span_t span_of(const char *text)
{
    return relay_span(text, strlen(text));
}

static void put_header(relay_buf_t *out, const account_t *account)
{
    RELAY_PUT(out, "{\"alg\":\"RS256\",\"typ\":\"JWT\"");
    if (account->key_id[0] != '\0') {
        RELAY_PUT(out, ",\"kid\":");
        relay_buf_put_json(out, span_of(account->key_id));
    }
    RELAY_PUT(out, "}");
}

static void put_claims(relay_buf_t *out, const account_t *account, const char *scope, uint64_t now)
{
    RELAY_PUT(out, "{\"iss\":");
    relay_buf_put_json(out, span_of(account->email));
    RELAY_PUT(out, ",\"scope\":");
    relay_buf_put_json(out, span_of(scope));
    RELAY_PUT(out, ",\"aud\":");
    relay_buf_put_json(out, span_of(account->token_url));
    RELAY_PUT(out, ",\"iat\":");
    relay_buf_put_u64(out, now);
    RELAY_PUT(out, ",\"exp\":");
    relay_buf_put_u64(out, now + ASSERTION_S);
    RELAY_PUT(out, "}");
}

static bool sign(EVP_PKEY *key, relay_span_t text, relay_buf_t *out)
{
    uint8_t signature[KEY_BYTES_MAX];
    size_t len = sizeof(signature);
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    bool good = context != NULL &&
                EVP_DigestSignInit(context, NULL, EVP_sha256(), NULL, key) == 1 &&
                EVP_DigestSign(context, signature, &len, text.base, text.len) == 1;

    EVP_MD_CTX_free(context);
    if (good) {
        relay_base64_put(out, relay_span(signature, len));
    }
    return good;
}

/* What is signed: header and claims. */
static void put_signed(relay_buf_t *out, const account_t *account, const char *scope)
{
    uint8_t room[EMAIL_MAX + URL_MAX + SCOPE_MAX * 6 + 512];
    relay_buf_t part = relay_buf(room, sizeof(room));

    put_header(&part, account);
    relay_base64_put(out, relay_buf_span(&part));
    RELAY_PUT(out, ".");
    part = relay_buf(room, sizeof(room));
    put_claims(&part, account, scope, (uint64_t)time(NULL));
    relay_base64_put(out, relay_buf_span(&part));
}

/* The form's body, with the assertion as its last member, and a NUL behind it. */
static bool put_form(relay_buf_t *out, const account_t *account, const char *scope, EVP_PKEY *key)
{
    relay_span_t text;
    size_t start;

    RELAY_PUT(out, "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion=");
    start = out->len;
    put_signed(out, account, scope);
    text = relay_span_from(relay_buf_span(out), start);
    RELAY_PUT(out, ".");
    if (!sign(key, text, out)) {
        return false;
    }
    relay_buf_put_byte(out, '\0');
    return relay_buf_ok(out);
}

/* ---- the endpoint --------------------------------------------------------- */

static const char *failure_words(CURLcode code)
{
    switch (code) {
    case CURLE_OPERATION_TIMEDOUT:
        return "did not answer in time";
    case CURLE_COULDNT_RESOLVE_HOST:
        return "has a name that cannot be resolved";
    case CURLE_COULDNT_CONNECT:
        return "refuses the connection";
    case CURLE_PEER_FAILED_VERIFICATION:
        return "has a certificate that cannot be verified";
    case CURLE_WRITE_ERROR:
        return "gave an answer that is too long";
    default:
        return "cannot be reached";
    }
}

/* The status of the answer, or 0 with why. */
static long post(const char *url, const char *form, bool local, relay_buf_t *answer, char *why,
                 size_t why_size)
{
    CURL *curl = outbound_open(url, CONNECT_MS, TOTAL_MS);
    CURLcode code = CURLE_OUT_OF_MEMORY;
    bool refused = false;
    long status = 0;

    if (curl != NULL) {
        curl_easy_setopt(curl, CURLOPT_POSTFIELDS, form);
        outbound_trust(curl, "");
        outbound_keep(curl, answer);
        if (!local) {
            outbound_public_only(curl, &refused);
        }
        code = curl_easy_perform(curl);
    }
    if (code == CURLE_OK) {
        curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    } else {
        no(why, why_size, "the token endpoint %s",
           refused ? "has a private address, and the host is not marked local"
                   : failure_words(code));
    }
    curl_easy_cleanup(curl);
    return status;
}

/* RFC 6749, section 5.2: of what the endpoint says, only a word of the standard is repeated. */
static bool refusal_words(long status, relay_span_t answer, char *why, size_t why_size)
{
    static const char *const known[] = {"invalid_grant",          "invalid_client",
                                        "invalid_scope",          "invalid_request",
                                        "unauthorized_client",    "unsupported_grant_type",
                                        "temporarily_unavailable"};
    const relay_span_t key = RELAY_SPAN("error");
    relay_json_value_t value = {RELAY_JSON_ABSENT, {NULL, 0}};
    relay_json_fault_t fault;
    relay_span_t error;

    (void)relay_json_scan(answer, &key, 1, &value, &fault);
    for (size_t i = 0; relay_json_plain(value, &error) && i < sizeof(known) / sizeof(known[0]);
         i++) {
        if (relay_span_eq(error, span_of(known[i]))) {
            return no(
                why, why_size, "the token endpoint refused the service account (status %ld, %s)%s",
                status, known[i],
                i == 0 ? ": is its key still in use, and is this machine's clock right?" : "");
        }
    }
    return no(why, why_size,
              status >= 500 ? "the token endpoint has trouble of its own (status %ld)"
                            : "the token endpoint gave no token (status %ld)",
              status);
}

/* It will stand in a header. */
static bool take_token(relay_span_t answer, secret_t *token, long long *lives_s, char *why,
                       size_t why_size)
{
    const relay_span_t keys[] = {RELAY_SPAN("access_token"), RELAY_SPAN("expires_in")};
    relay_json_value_t values[2];
    relay_json_fault_t fault;
    relay_span_t text;
    uint64_t number;

    if (relay_json_scan(answer, keys, 2, values, &fault) != RELAY_JSON_OK ||
        !relay_json_plain(values[0], &text) || text.len == 0 || text.len > SECRET_MAX) {
        return no(why, why_size, "the token endpoint's answer has no access_token");
    }
    for (size_t i = 0; i < text.len; i++) {
        if (text.base[i] <= ' ' || text.base[i] > '~') {
            return no(why, why_size, "the token endpoint's access_token fits into no header");
        }
    }
    if (!relay_json_uint(values[1], &number) || number < LIVES_MIN_S) {
        return no(why, why_size, "the token endpoint does not say how long its token lives");
    }
    *lives_s = number < LIVES_MAX_S ? (long long)number : LIVES_MAX_S;
    return secret_copy(token, text.base, text.len) || no(why, why_size, "out of memory");
}

static bool ask(const account_t *account, const char *scope, bool local, EVP_PKEY *key,
                secret_t *room, secret_t *token, long long *lives_s, char *why, size_t why_size)
{
    relay_buf_t form = relay_buf(room->bytes, BODY_MAX);
    relay_buf_t answer = relay_buf(room->bytes + BODY_MAX, ANSWER_MAX);
    long status;

    if (!put_form(&form, account, scope, key)) {
        return no(why, why_size, "the service account's assertion cannot be signed");
    }
    status = post(account->token_url, (const char *)form.base, local, &answer, why, why_size);
    if (status == 0) {
        return false;
    }
    return status == 200 ? take_token(relay_buf_span(&answer), token, lives_s, why, why_size)
                         : refusal_words(status, relay_buf_span(&answer), why, why_size);
}

bool service_account_token(const secret_t *secret, const char *scope, bool local, secret_t *token,
                           long long *lives_s, char *why, size_t why_size)
{
    account_t account;
    secret_t room = {sodium_malloc(BODY_MAX + ANSWER_MAX), BODY_MAX + ANSWER_MAX};
    EVP_PKEY *key = NULL;
    bool good = false;
    int len;

    *token = (secret_t){NULL, 0};
    if (room.bytes == NULL) {
        return no(why, why_size, "out of memory");
    }
    len = snprintf(why, why_size, "its value ");
    if (service_account_check(secret, local, why + len, why_size - (size_t)len) &&
        read_account(secret, local, &account, why + len, why_size - (size_t)len) &&
        (key = read_key(&account)) != NULL && strlen(scope) <= SCOPE_MAX) {
        good = ask(&account, scope, local, key, &room, token, lives_s, why, why_size);
    }
    EVP_PKEY_free(key);
    secret_free(&room);
    return good;
}
