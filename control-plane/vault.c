/*
 * Reading one field of one secret from Vault, see vault.h. The answer is held
 * in locked memory and taken apart where it lies.
 */

#include "vault.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "json_scan.h"
#include "outbound.h"

enum {
    ANSWER_MAX = 64 * 1024,
    URL_MAX = 2048,
    TOKEN_MAX = 4096,
    PATH_MAX_LEN = 1024,
    CONNECT_TIMEOUT_MS = 2000,
    TIMEOUT_MS = 5000
};

static bool no(char *why, size_t why_size, const char *text)
{
    snprintf(why, why_size, "%s", text);
    return false;
}

/* ---- one request ---------------------------------------------------------- */

static const char *transport_words(CURLcode code)
{
    switch (code) {
    case CURLE_OPERATION_TIMEDOUT:
        return "Vault did not answer in time";
    case CURLE_COULDNT_RESOLVE_HOST:
        return "the name of the Vault server cannot be resolved";
    case CURLE_COULDNT_CONNECT:
        return "the Vault server refuses the connection";
    case CURLE_PEER_FAILED_VERIFICATION:
        return "the certificate of the Vault server cannot be verified: is RELAY_VAULT_CA_FILE its"
               " authority?";
    case CURLE_SSL_CACERT_BADFILE:
        return "the authorities in RELAY_VAULT_CA_FILE cannot be read";
    case CURLE_WRITE_ERROR:
        return "Vault's answer is longer than a secret can be";
    default:
        return curl_easy_strerror(code);
    }
}

static struct curl_slist *token_header(const char *token)
{
    char line[TOKEN_MAX + 32];
    struct curl_slist *headers;

    snprintf(line, sizeof(line), "X-Vault-Token: %.*s", TOKEN_MAX, token);
    headers = curl_slist_append(NULL, line);
    sodium_memzero(line, sizeof(line));
    return headers;
}

/* The status of the answer, or 0 with why. */
static long fetch(const vault_t *vault, const char *url, relay_buf_t *answer, char *why,
                  size_t why_size)
{
    CURL *curl = outbound_open(url, CONNECT_TIMEOUT_MS, TIMEOUT_MS);
    struct curl_slist *headers = token_header(vault->token);
    CURLcode code = CURLE_OUT_OF_MEMORY;
    long status = 0;

    if (curl != NULL && headers != NULL) {
        curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
        outbound_trust(curl, vault->ca_file);
        outbound_keep(curl, answer);
        code = curl_easy_perform(curl);
    }
    if (code == CURLE_OK) {
        curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    } else {
        no(why, why_size, transport_words(code));
    }
    curl_slist_free_all(headers);
    curl_easy_cleanup(curl);
    return status;
}

static bool status_words(long status, char *why, size_t why_size)
{
    switch (status) {
    case 0:
        return false;
    case 200:
        return true;
    case 403:
        return no(why, why_size, "Vault does not let relayd's token read this (403)");
    case 404:
        return no(why, why_size, "Vault has nothing at this path (404)");
    case 503:
        return no(why, why_size, "Vault is sealed or in maintenance (503)");
    default:
        snprintf(why, why_size, "Vault answered with status %ld", status);
        return false;
    }
}

/* ---- the answer ----------------------------------------------------------- */

/* A 404 of Vault's own: {"errors": []}, or a secret without a current version. What stands
 * before a Vault that is away says 404 in other words. */
static bool says_gone(long status, relay_span_t answer)
{
    const relay_span_t names[] = {RELAY_SPAN("errors"), RELAY_SPAN("data")};
    relay_json_fault_t fault;
    relay_json_value_t values[2];

    return status == 404 && relay_json_scan(answer, names, 2, values, &fault) == RELAY_JSON_OK &&
           (values[0].type == RELAY_JSON_ARRAY || values[1].type == RELAY_JSON_OBJECT);
}

/* {"data": {"data": {FIELD: "…"}}} */
static bool find_fields(relay_span_t answer, relay_json_value_t *fields)
{
    const relay_span_t data = RELAY_SPAN("data");
    relay_json_fault_t fault;
    relay_json_value_t outer;

    return relay_json_scan(answer, &data, 1, &outer, &fault) == RELAY_JSON_OK &&
           outer.type == RELAY_JSON_OBJECT && relay_json_members(outer.text, &data, 1, fields) &&
           fields->type == RELAY_JSON_OBJECT;
}

static bool take_field(relay_span_t answer, const char *field, secret_t *secret, bool *gone,
                       char *why, size_t why_size)
{
    relay_span_t name = relay_span(field, strlen(field));
    relay_json_value_t fields, value = {RELAY_JSON_ABSENT, {NULL, 0}};
    relay_buf_t out;

    if (!find_fields(answer, &fields)) {
        return no(why, why_size,
                  "Vault has no current version there, or it is no KV version 2 store");
    }
    if (!relay_json_members(fields.text, &name, 1, &value) || value.type != RELAY_JSON_STRING) {
        *gone = true;
        return no(why, why_size, "Vault's secret has no such field with a text");
    }
    if (!secret_copy(secret, value.text.base, value.text.len)) {
        return no(why, why_size, "out of memory");
    }
    out = relay_buf(secret->bytes, secret->len); /* decoded, it is never longer than written */
    relay_json_decode(value, &out);
    secret->len = out.len;
    return true;
}

/* ---- paths ---------------------------------------------------------------- */

static bool path_byte_ok(char byte)
{
    return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
           (byte >= '0' && byte <= '9') || (byte != '\0' && strchr("._-/", byte) != NULL);
}

const char *vault_path_fault(const char *path)
{
    const char *mark = strchr(path, '#'), *slash = strchr(path, '/');

    if (strlen(path) > PATH_MAX_LEN) {
        return "is too long";
    }
    if (mark == NULL || slash == NULL || slash == path || slash + 1 >= mark || mark[1] == '\0') {
        return "has the form vault:MOUNT/PATH#FIELD";
    }
    for (const char *at = path; at < mark; at++) {
        if (!path_byte_ok(*at) || (*at == '/' && (at[1] == '/' || at[1] == '#')) ||
            (*at == '.' && at[1] == '.')) {
            return "may have letters, digits and any of . _ - between the slashes of its path";
        }
    }
    for (const char *at = mark + 1; *at != '\0'; at++) {
        if (!path_byte_ok(*at)) {
            return "may have letters, digits and any of . _ - / in the name of its field";
        }
    }
    return NULL;
}

static bool make_url(const vault_t *vault, const char *path, char url[URL_MAX])
{
    size_t mount = strcspn(path, "/"), end = strcspn(path, "#");
    size_t address = strlen(vault->address);
    int len;

    while (address != 0 && vault->address[address - 1] == '/') {
        address--;
    }
    len = snprintf(url, URL_MAX, "%.*s/v1/%.*s/data/%.*s", (int)address, vault->address, (int)mount,
                   path, (int)(end - mount - 1), path + mount + 1);
    return len > 0 && len < URL_MAX;
}

bool vault_read(const vault_t *vault, const char *path, secret_t *secret, bool *gone, char *why,
                size_t why_size)
{
    char url[URL_MAX];
    secret_t room;
    relay_buf_t answer;
    long status;
    bool found;

    *secret = (secret_t){NULL, 0};
    if (vault_path_fault(path) != NULL || !make_url(vault, path, url)) {
        return no(why, why_size, "this is no path in Vault");
    }
    room = (secret_t){sodium_malloc(ANSWER_MAX), ANSWER_MAX};
    if (room.bytes == NULL) {
        return no(why, why_size, "out of memory");
    }
    answer = relay_buf(room.bytes, room.len);
    status = fetch(vault, url, &answer, why, why_size);
    *gone = says_gone(status, relay_buf_span(&answer));
    found = status_words(status, why, why_size) &&
            take_field(relay_buf_span(&answer), strchr(path, '#') + 1, secret, gone, why, why_size);
    secret_free(&room);
    return found;
}
