/*
 * Signature Version 4: see sigv4.h. Called by the adapter for hosts that are
 * signed for instead of given a key.
 *
 *   canonical request ── SHA-256 ──► string to sign ─┐
 *   secret ── HMAC of date, region, service ──► key ─┴─ HMAC ──► signature
 *
 * The canonical request goes into the digest piece by piece and is never whole.
 */

#include "sigv4.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

enum { DIGEST_LEN = 32, DAY_LEN = 8, SCOPE_MAX = 256 };

/* A digest under way; failed: libcrypto said no, or the request cannot be signed. */
typedef struct {
    EVP_MD_CTX *context;
    bool failed;
} sink_t;

static void put(sink_t *sink, relay_span_t text)
{
    if (text.len != 0 && EVP_DigestUpdate(sink->context, text.base, text.len) != 1) {
        sink->failed = true;
    }
}

#define PUT(sink, literal) put((sink), RELAY_SPAN(literal))

static void open_sink(sink_t *sink)
{
    sink->context = EVP_MD_CTX_new();
    sink->failed =
        sink->context == NULL || EVP_DigestInit_ex(sink->context, EVP_sha256(), NULL) != 1;
}

/* True, and digest filled, if all went well. */
static bool close_sink(sink_t *sink, uint8_t digest[DIGEST_LEN])
{
    bool good = !sink->failed && EVP_DigestFinal_ex(sink->context, digest, NULL) == 1;

    EVP_MD_CTX_free(sink->context);
    return good;
}

static void hexadecimal(const uint8_t digest[DIGEST_LEN], uint8_t text[RELAY_SIGV4_HASH_LEN])
{
    static const char digits[] = "0123456789abcdef";

    for (size_t i = 0; i < DIGEST_LEN; i++) {
        text[2 * i] = (uint8_t)digits[digest[i] >> 4];
        text[2 * i + 1] = (uint8_t)digits[digest[i] & 15];
    }
}

bool relay_sigv4_hash(const relay_span_t *pieces, size_t count, uint8_t hash[RELAY_SIGV4_HASH_LEN])
{
    uint8_t digest[DIGEST_LEN];
    sink_t sink;

    open_sink(&sink);
    for (size_t i = 0; i < count && !sink.failed; i++) {
        put(&sink, pieces[i]);
    }
    if (!close_sink(&sink, digest)) {
        return false;
    }
    hexadecimal(digest, hash);
    return true;
}

/* ---- credentials --------------------------------------------------------- */

/* Up to the next colon; *rest is what is behind it, base NULL without one. */
static relay_span_t part(relay_span_t text, relay_span_t *rest)
{
    const uint8_t *colon = text.len != 0 ? memchr(text.base, ':', text.len) : NULL;

    if (colon == NULL) {
        *rest = relay_span(NULL, 0);
        return text;
    }
    *rest = relay_span(colon + 1, text.len - (size_t)(colon + 1 - text.base));
    return relay_span(text.base, (size_t)(colon - text.base));
}

static bool is_part(relay_span_t text, size_t max)
{
    for (size_t i = 0; i < text.len; i++) {
        if (text.base[i] <= ' ' || text.base[i] >= 0x7f || text.base[i] == ':') {
            return false;
        }
    }
    return text.len != 0 && text.len <= max;
}

bool relay_sigv4_credentials(relay_span_t text, relay_sigv4_credentials_t *credentials)
{
    relay_span_t rest, token;

    credentials->access_key_id = part(text, &rest);
    credentials->secret_access_key = part(rest, &token);
    credentials->session_token = token;
    return is_part(credentials->access_key_id, RELAY_SIGV4_SECRET_MAX) &&
           is_part(credentials->secret_access_key, RELAY_SIGV4_SECRET_MAX) &&
           (token.base == NULL || is_part(token, RELAY_SIGV4_TOKEN_MAX));
}

/* ---- the canonical request ----------------------------------------------- */

static bool is_unreserved(uint8_t byte)
{
    return (byte >= 'A' && byte <= 'Z') || (byte >= 'a' && byte <= 'z') ||
           (byte >= '0' && byte <= '9') || byte == '-' || byte == '.' || byte == '_' || byte == '~';
}

static void put_encoded(relay_buf_t *out, uint8_t byte)
{
    static const char digits[] = "0123456789ABCDEF";

    if (is_unreserved(byte)) {
        relay_buf_put_byte(out, byte);
        return;
    }
    relay_buf_put_byte(out, '%');
    relay_buf_put_byte(out, (uint8_t)digits[byte >> 4]);
    relay_buf_put_byte(out, (uint8_t)digits[byte & 15]);
}

static void put_segment(sink_t *sink, relay_span_t segment)
{
    uint8_t bytes[3];

    sink->failed = sink->failed || relay_span_eq(segment, RELAY_SPAN(".."));
    PUT(sink, "/");
    for (size_t i = 0; i < segment.len; i++) {
        relay_buf_t encoded = relay_buf(bytes, sizeof(bytes));
        put_encoded(&encoded, segment.base[i]);
        put(sink, relay_buf_span(&encoded));
    }
}

static relay_span_t take_segment(relay_span_t *path)
{
    size_t len = 0;
    relay_span_t segment;

    while (len < path->len && path->base[len] != '/') {
        len++;
    }
    segment = relay_span(path->base, len);
    *path = relay_span_from(*path, len);
    return segment;
}

/* Empty and "." segments are not there for the signature, but a slash at the end is. */
static void put_path(sink_t *sink, relay_span_t path)
{
    bool slash = true;

    while (path.len != 0 && path.base[0] == '/') {
        relay_span_t segment;
        path = relay_span_from(path, 1);
        segment = take_segment(&path);
        slash = segment.len == 0 || relay_span_eq(segment, RELAY_SPAN("."));
        if (!slash) {
            put_segment(sink, segment);
        }
    }
    sink->failed = sink->failed || path.len != 0; /* does not begin with one */
    if (slash) {
        PUT(sink, "/");
    }
}

typedef struct {
    relay_span_t name;
    relay_span_t value;
} parameter_t;

static int hex_digit(uint8_t byte)
{
    uint8_t letter = byte | 0x20;

    if (byte >= '0' && byte <= '9') {
        return byte - '0';
    }
    return letter >= 'a' && letter <= 'f' ? letter - 'a' + 10 : -1;
}

/* Encoded as the signature wants it, however it was encoded. */
static relay_span_t encode_again(relay_buf_t *out, relay_span_t text)
{
    relay_span_t before = relay_buf_span(out);

    for (size_t i = 0; i < text.len; i++) {
        bool triple = text.base[i] == '%' && text.len - i > 2 && hex_digit(text.base[i + 1]) >= 0 &&
                      hex_digit(text.base[i + 2]) >= 0;
        if (triple) {
            put_encoded(out,
                        (uint8_t)(hex_digit(text.base[i + 1]) * 16 + hex_digit(text.base[i + 2])));
            i += 2;
        } else {
            put_encoded(out, text.base[i]);
        }
    }
    return relay_span_from(relay_buf_span(out), before.len);
}

static int compare(relay_span_t a, relay_span_t b)
{
    size_t len = a.len < b.len ? a.len : b.len;
    int order = len != 0 ? memcmp(a.base, b.base, len) : 0;

    return order != 0 ? order : (a.len > b.len) - (a.len < b.len);
}

static bool in_order(const parameter_t *a, const parameter_t *b)
{
    int order = compare(a->name, b->name);

    return order < 0 || (order == 0 && compare(a->value, b->value) <= 0);
}

/* Into the list, in its place. */
static void insert(parameter_t *list, size_t count, parameter_t parameter)
{
    while (count != 0 && !in_order(&list[count - 1], &parameter)) {
        list[count] = list[count - 1];
        count--;
    }
    list[count] = parameter;
}

static parameter_t read_parameter(relay_buf_t *scratch, relay_span_t text)
{
    const uint8_t *equals = memchr(text.base, '=', text.len);
    size_t len = equals != NULL ? (size_t)(equals - text.base) : text.len;
    parameter_t parameter = {.name = encode_again(scratch, relay_span(text.base, len))};

    parameter.value =
        encode_again(scratch, relay_span_from(text, equals != NULL ? len + 1 : text.len));
    return parameter;
}

static relay_span_t take_parameter(relay_span_t *query)
{
    const uint8_t *end = memchr(query->base, '&', query->len);
    size_t len = end != NULL ? (size_t)(end - query->base) : query->len;
    relay_span_t text = relay_span(query->base, len);

    *query = relay_span_from(*query, end != NULL ? len + 1 : len);
    return text;
}

static void put_query(sink_t *sink, relay_span_t query)
{
    uint8_t bytes[RELAY_SIGV4_QUERY_MAX];
    relay_buf_t scratch = relay_buf(bytes, sizeof(bytes));
    parameter_t parameters[RELAY_SIGV4_PARAMETERS_MAX];
    size_t count = 0;

    while (query.len != 0 && count < RELAY_SIGV4_PARAMETERS_MAX) {
        relay_span_t text = take_parameter(&query);
        if (text.len != 0) {
            insert(parameters, count, read_parameter(&scratch, text));
            count++;
        }
    }
    sink->failed = sink->failed || query.len != 0 || !relay_buf_ok(&scratch);
    for (size_t i = 0; i < count; i++) {
        put(sink, i != 0 ? RELAY_SPAN("&") : RELAY_SPAN(""));
        put(sink, parameters[i].name);
        PUT(sink, "=");
        put(sink, parameters[i].value);
    }
}

static relay_span_t trim(relay_span_t text)
{
    while (text.len != 0 && text.base[0] == ' ') {
        text = relay_span_from(text, 1);
    }
    while (text.len != 0 && text.base[text.len - 1] == ' ') {
        text.len--;
    }
    return text;
}

/* Nothing if there is no such header; of spaces in a row one counts. */
static void put_header(sink_t *sink, relay_span_t name, relay_span_t value)
{
    if (value.len == 0) {
        return;
    }
    value = trim(value);
    put(sink, name);
    PUT(sink, ":");
    for (size_t i = 0; i < value.len; i++) {
        if (value.base[i] != ' ' || value.base[i - 1] != ' ') {
            put(sink, relay_span(value.base + i, 1));
        }
    }
    PUT(sink, "\n");
}

/* "content-type;host;x-amz-date;x-amz-security-token", as far as they are there. */
static relay_span_t signed_headers(const relay_sigv4_request_t *request,
                                   const relay_sigv4_credentials_t *credentials)
{
    if (request->content_type.len == 0) {
        return credentials->session_token.len == 0
                   ? RELAY_SPAN("host;x-amz-date")
                   : RELAY_SPAN("host;x-amz-date;x-amz-security-token");
    }
    return credentials->session_token.len == 0
               ? RELAY_SPAN("content-type;host;x-amz-date")
               : RELAY_SPAN("content-type;host;x-amz-date;x-amz-security-token");
}

static bool hash_request(const relay_sigv4_request_t *request,
                         const relay_sigv4_credentials_t *credentials, relay_span_t date,
                         uint8_t hash[RELAY_SIGV4_HASH_LEN])
{
    uint8_t digest[DIGEST_LEN];
    sink_t sink;

    open_sink(&sink);
    if (!sink.failed) {
        put(&sink, request->method);
        PUT(&sink, "\n");
        put_path(&sink, request->path);
        PUT(&sink, "\n");
        put_query(&sink, request->query);
        PUT(&sink, "\n");
        put_header(&sink, RELAY_SPAN("content-type"), request->content_type);
        put_header(&sink, RELAY_SPAN("host"), request->host);
        put_header(&sink, RELAY_SPAN("x-amz-date"), date);
        put_header(&sink, RELAY_SPAN("x-amz-security-token"), credentials->session_token);
        PUT(&sink, "\n");
        put(&sink, signed_headers(request, credentials));
        PUT(&sink, "\n");
        put(&sink, request->body_hash);
    }
    if (!close_sink(&sink, digest)) {
        return false;
    }
    hexadecimal(digest, hash);
    return true;
}

/* ---- the signature ------------------------------------------------------- */

static bool mac(relay_span_t key, relay_span_t text, uint8_t out[DIGEST_LEN])
{
    unsigned len = 0;

    return HMAC(EVP_sha256(), key.base, (int)key.len, text.base, text.len, out, &len) != NULL &&
           len == DIGEST_LEN;
}

/* The key of one day, region and service; out holds a secret. */
static bool derive(relay_span_t secret, relay_span_t day, const relay_sigv4_request_t *request,
                   uint8_t out[DIGEST_LEN])
{
    const relay_span_t steps[] = {day, request->region, request->service,
                                  RELAY_SPAN("aws4_request")};
    uint8_t bytes[RELAY_SIGV4_SECRET_MAX + 4], next[DIGEST_LEN];
    relay_buf_t first = relay_buf(bytes, sizeof(bytes));
    relay_span_t key;
    bool good = true;

    RELAY_PUT(&first, "AWS4");
    relay_buf_put(&first, secret);
    key = relay_buf_span(&first);
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]) && good; i++) {
        good = mac(key, steps[i], next);
        memcpy(out, next, DIGEST_LEN);
        key = relay_span(out, DIGEST_LEN);
    }
    OPENSSL_cleanse(bytes, sizeof(bytes));
    OPENSSL_cleanse(next, sizeof(next));
    return good;
}

static void put_scope(relay_buf_t *out, relay_span_t day, const relay_sigv4_request_t *request)
{
    relay_buf_put(out, day);
    RELAY_PUT(out, "/");
    relay_buf_put(out, request->region);
    RELAY_PUT(out, "/");
    relay_buf_put(out, request->service);
    RELAY_PUT(out, "/aws4_request");
}

static bool sign(const relay_sigv4_request_t *request, const relay_sigv4_credentials_t *credentials,
                 relay_span_t date, uint8_t signature[RELAY_SIGV4_HASH_LEN])
{
    uint8_t hash[RELAY_SIGV4_HASH_LEN], key[DIGEST_LEN], digest[DIGEST_LEN], bytes[SCOPE_MAX + 128];
    relay_span_t day = relay_span(date.base, DAY_LEN);
    relay_buf_t text = relay_buf(bytes, sizeof(bytes));
    bool good;

    if (!hash_request(request, credentials, date, hash)) {
        return false;
    }
    RELAY_PUT(&text, "AWS4-HMAC-SHA256\n");
    relay_buf_put(&text, date);
    RELAY_PUT(&text, "\n");
    put_scope(&text, day, request);
    RELAY_PUT(&text, "\n");
    relay_buf_put(&text, relay_span(hash, sizeof(hash)));
    good = derive(credentials->secret_access_key, day, request, key) &&
           mac(relay_span(key, sizeof(key)), relay_buf_span(&text), digest);
    OPENSSL_cleanse(key, sizeof(key));
    if (good) {
        hexadecimal(digest, signature);
    }
    return good && relay_buf_ok(&text);
}

static void put_padded(relay_buf_t *out, uint64_t value, uint64_t unit)
{
    for (; unit != 0; unit /= 10) {
        relay_buf_put_byte(out, (uint8_t)('0' + value / unit % 10));
    }
}

/* Years begin on 1 March, so that the leap day is the last of one; eras of 400 of
 * them are all alike. */
static void put_day(relay_buf_t *out, uint64_t days)
{
    uint64_t since = days + 719468, era = since / 146097, day = since % 146097;
    uint64_t year = (day - day / 1460 + day / 36524 - day / 146096) / 365;
    uint64_t month;

    day -= 365 * year + year / 4 - year / 100;
    month = (5 * day + 2) / 153;
    put_padded(out, era * 400 + year + (month >= 10 ? 1 : 0), 1000);
    put_padded(out, month < 10 ? month + 3 : month - 9, 10);
    put_padded(out, day - (153 * month + 2) / 5 + 1, 10);
}

static bool put_date(relay_buf_t *out, uint64_t time_s)
{
    if (time_s > UINT64_C(253402300799)) { /* the end of year 9999 */
        return false;
    }
    put_day(out, time_s / 86400);
    RELAY_PUT(out, "T");
    put_padded(out, time_s / 3600 % 24, 10);
    put_padded(out, time_s / 60 % 60, 10);
    put_padded(out, time_s % 60, 10);
    RELAY_PUT(out, "Z");
    return true;
}

static void put_authorization(relay_buf_t *out, const relay_sigv4_request_t *request,
                              const relay_sigv4_credentials_t *credentials, relay_span_t date,
                              relay_span_t signature)
{
    RELAY_PUT(out, "AWS4-HMAC-SHA256 Credential=");
    relay_buf_put(out, credentials->access_key_id);
    RELAY_PUT(out, "/");
    put_scope(out, relay_span(date.base, DAY_LEN), request);
    RELAY_PUT(out, ", SignedHeaders=");
    relay_buf_put(out, signed_headers(request, credentials));
    RELAY_PUT(out, ", Signature=");
    relay_buf_put(out, signature);
}

/* What could not be signed whatever the secret. */
static bool fits(const relay_sigv4_request_t *request, const relay_sigv4_credentials_t *credentials)
{
    return request->body_hash.len == RELAY_SIGV4_HASH_LEN && request->host.len != 0 &&
           is_part(request->region, RELAY_SIGV4_PLACE_MAX) &&
           is_part(request->service, RELAY_SIGV4_PLACE_MAX) &&
           is_part(credentials->access_key_id, RELAY_SIGV4_SECRET_MAX) &&
           is_part(credentials->secret_access_key, RELAY_SIGV4_SECRET_MAX);
}

bool relay_sigv4_sign(const relay_sigv4_request_t *request,
                      const relay_sigv4_credentials_t *credentials, relay_buf_t *authorization,
                      relay_buf_t *date)
{
    uint8_t signature[RELAY_SIGV4_HASH_LEN], bytes[RELAY_SIGV4_DATE_LEN];
    relay_buf_t time = relay_buf(bytes, sizeof(bytes));
    size_t authorization_before = authorization->len, date_before = date->len;

    if (!fits(request, credentials) || !put_date(&time, request->time_s) ||
        !sign(request, credentials, relay_buf_span(&time), signature)) {
        return false;
    }
    put_authorization(authorization, request, credentials, relay_buf_span(&time),
                      relay_span(signature, sizeof(signature)));
    relay_buf_put(date, relay_buf_span(&time));
    if (!relay_buf_ok(authorization) || !relay_buf_ok(date)) {
        authorization->len = authorization_before;
        date->len = date_before;
        return false;
    }
    return true;
}
