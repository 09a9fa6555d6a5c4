/*
 * One real call to a host with a provider key: its model list, or another list
 * that the catalog knows, which costs nothing. Called by provider_keys.c; blocks the request's
 * thread.
 */

#include "probe.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "access_token.h"
#include "host_origin.h"
#include "outbound.h"
#include "sigv4.h"
#include "url.h"

enum {
    CONNECT_MS = 5000,
    TOTAL_MS = 15000,
    HEADER_MAX = SECRET_MAX + 256,
    URL_MAX = 2304,
    AUTHORITY_MAX = 320
};

/* The body is not needed; it is read to its end so that the status is final. */
static size_t discard(char *data, size_t size, size_t count, void *owner)
{
    (void)data;
    (void)owner;
    return size * count;
}

static const char *text_of(const json_t *object, const char *name, const char *fallback)
{
    const char *text = json_string_value(json_object_get(object, name));

    return text != NULL ? text : fallback;
}

/* What a test asks for, below the host's base URL: the key goes nowhere else. */
static bool url_of(const json_t *host, char url[URL_MAX])
{
    const json_t *facts = json_object_get(host, "facts");
    const char *base = text_of(host, "base_url", "");
    const char *path = text_of(facts, "test_path", text_of(facts, "models_path", "/models"));
    char filled[URL_MAX];
    size_t len = strlen(base);

    if (strstr(path, "://") != NULL)
        path = "/models";

    while (len > 0 && base[len - 1] == '/')
        len--;
    return host_fill(host, path, filled, sizeof(filled)) && strchr(filled, '{') == NULL &&
           snprintf(url, URL_MAX, "%.*s%s%s", (int)len, base, path[0] == '/' ? "" : "/", filled) <
               URL_MAX;
}

static bool has_type(const json_t *host, const char *type)
{
    return strcmp(text_of(json_object_get(host, "auth"), "type", "header"), type) == 0;
}

/* Other ways need more than one call. */
static bool testable(const json_t *host)
{
    return has_type(host, "header") || has_type(host, "none") || has_type(host, "sigv4") ||
           access_host_of(host).wanted;
}

/* As it stands it would end the header, or start another one. */
static bool fits_header(const secret_t *secret)
{
    for (size_t i = 0; i < secret->len; i++)
        if (secret->bytes[i] < ' ' || secret->bytes[i] >= 0x7f)
            return false;
    return true;
}

static void cleanse(struct curl_slist *list)
{
    for (struct curl_slist *item = list; item != NULL; item = item->next)
        explicit_bzero(item->data, strlen(item->data));
    curl_slist_free_all(list);
}

/* As it is sent: a port that is not the scheme's own with the name. */
static bool authority_of(const json_t *host, char authority[AUTHORITY_MAX])
{
    const char *base = text_of(host, "base_url", "");
    relay_url_t url;
    int len;

    if (relay_url_parse(relay_span(base, strlen(base)), &url) != NULL)
        return false;
    len = snprintf(authority, AUTHORITY_MAX, "%s%.*s%s", url.bracketed ? "[" : "",
                   (int)url.host.len, (const char *)url.host.base, url.bracketed ? "]" : "");
    if (!url.default_port && len > 0 && len < AUTHORITY_MAX)
        len += snprintf(authority + len, (size_t)(AUTHORITY_MAX - len), ":%u", url.port);
    return len > 0 && len < AUTHORITY_MAX;
}

/* A value of several parts is signed with; any other goes into a header, as workers do it. */
static bool is_signed(const json_t *host, const secret_t *secret,
                      relay_sigv4_credentials_t *credentials)
{
    return has_type(host, "sigv4") &&
           relay_sigv4_credentials(relay_span(secret->bytes, secret->len), credentials);
}

/* Points into url, authority and region. */
static bool request_of(const json_t *host, const char *url, char authority[AUTHORITY_MAX],
                       char region[AUTHORITY_MAX], relay_sigv4_request_t *request)
{
    const json_t *auth = json_object_get(host, "auth");
    const char *target = strchr(strstr(url, "://") + 3, '/');
    size_t path = target != NULL ? strcspn(target, "?") : 0;
    const char *query = target != NULL && target[path] == '?' ? target + path + 1 : "";
    const char *place = text_of(auth, "region", "{region}");
    const char *service = text_of(auth, "service", "");

    if (target == NULL || !host_fill(host, place, region, AUTHORITY_MAX) ||
        !authority_of(host, authority))
        return false;
    *request = (relay_sigv4_request_t){.method = RELAY_SPAN("GET"),
                                       .path = relay_span(target, path),
                                       .query = relay_span(query, strlen(query)),
                                       .host = relay_span(authority, strlen(authority)),
                                       .region = relay_span(region, strlen(region)),
                                       .service = relay_span(service, strlen(service)),
                                       .time_s = (uint64_t)time(NULL)};
    return true;
}

static struct curl_slist *add_line(struct curl_slist *list, const char *name, relay_span_t value)
{
    char line[HEADER_MAX];

    snprintf(line, sizeof(line), "%s: %.*s", name, (int)value.len, (const char *)value.base);
    list = curl_slist_append(list, line);
    explicit_bzero(line, sizeof(line));
    return list;
}

/* NULL: it cannot be signed; list is gone then. */
static struct curl_slist *sign(struct curl_slist *list, const json_t *host, const char *url,
                               const relay_sigv4_credentials_t *credentials)
{
    char authority[AUTHORITY_MAX], region[AUTHORITY_MAX];
    uint8_t hash[RELAY_SIGV4_HASH_LEN], text[RELAY_SIGV4_AUTHORIZATION_MAX];
    uint8_t date[RELAY_SIGV4_DATE_LEN];
    relay_buf_t authorization = relay_buf(text, sizeof(text)), when = relay_buf(date, sizeof(date));
    relay_sigv4_request_t request;

    if (!request_of(host, url, authority, region, &request) || !relay_sigv4_hash(NULL, 0, hash)) {
        cleanse(list);
        return NULL;
    }
    request.body_hash = relay_span(hash, sizeof(hash));
    if (!relay_sigv4_sign(&request, credentials, &authorization, &when)) {
        cleanse(list);
        return NULL;
    }
    list = add_line(list, "Host", request.host);
    list = add_line(list, "Authorization", relay_buf_span(&authorization));
    list = add_line(list, "X-Amz-Date", relay_buf_span(&when));
    return credentials->session_token.len == 0
               ? list
               : add_line(list, "X-Amz-Security-Token", credentials->session_token);
}

static struct curl_slist *headers_of(const json_t *host, const char *url, const secret_t *secret)
{
    const json_t *auth = json_object_get(host, "auth");
    const char *header = text_of(auth, "header", "authorization");
    const char *prefix =
        text_of(auth, "prefix", strcasecmp(header, "authorization") == 0 ? "Bearer " : "");
    struct curl_slist *list = curl_slist_append(NULL, "Accept: application/json");
    relay_sigv4_credentials_t credentials;
    char line[HEADER_MAX];
    const char *name;
    json_t *value;

    if (is_signed(host, secret, &credentials)) {
        list = sign(list, host, url, &credentials);
        if (list == NULL)
            return NULL;
    } else if (secret->len > 0 && !has_type(host, "none")) {
        snprintf(line, sizeof(line), "%s: %s%.*s", header, prefix, (int)secret->len,
                 (const char *)secret->bytes);
        list = curl_slist_append(list, line);
        explicit_bzero(line, sizeof(line));
    }
    json_object_foreach(json_object_get(host, "headers"), name, value)
    {
        snprintf(line, sizeof(line), "%s: %s", name, json_string_value(value));
        list = curl_slist_append(list, line);
    }
    return list;
}

static void say(probe_t *probe, const char *outcome, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static void say(probe_t *probe, const char *outcome, const char *format, ...)
{
    va_list arguments;

    probe->outcome = outcome;
    va_start(arguments, format);
    vsnprintf(probe->message, sizeof(probe->message), format, arguments);
    va_end(arguments);
}

static void judge(probe_t *probe, const char *url)
{
    long status = probe->status;

    if (status >= 200 && status < 300)
        say(probe, "accepted", "The host took the key.");
    else if (status == 401 || status == 403)
        say(probe, "refused",
            "The host refused the key (status %ld). Is it complete, and of this"
            " host? Has it been revoked?",
            status);
    else if (status == 402)
        say(probe, "refused", "The host knows the key and asks for payment (status 402).");
    else if (status == 429)
        say(probe, "limited", "The host knows the key and limits it at this moment (status 429).");
    else if (status >= 500)
        say(probe, "unavailable", "The host has trouble of its own (status %ld).", status);
    else
        say(probe, "unexpected", "%s answered with status %ld: that says nothing about the key.",
            url, status);
}

static void run(CURL *curl, const json_t *host, const char *url, struct curl_slist *headers,
                probe_t *probe)
{
    bool refused = false;
    curl_off_t total_us = 0;

    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, discard);
    if (!json_is_true(json_object_get(host, "local")))
        outbound_public_only(curl, &refused);

    CURLcode code = curl_easy_perform(curl);
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &probe->status);
    curl_easy_getinfo(curl, CURLINFO_TOTAL_TIME_T, &total_us);
    probe->latency_ms = (long)(total_us / 1000);

    if (refused)
        say(probe, "unreachable",
            "The host's address is a private one, and it is not marked local.");
    else if (code != CURLE_OK)
        say(probe, "unreachable", "%s could not be reached: %s.", url, curl_easy_strerror(code));
    else
        judge(probe, url);
}

void probe_key(const json_t *host, const secret_t *secret, probe_t *probe)
{
    char url[URL_MAX];
    bool possible = testable(host) && fits_header(secret) && url_of(host, url);
    CURL *curl = possible ? outbound_open(url, CONNECT_MS, TOTAL_MS) : NULL;
    struct curl_slist *headers = possible ? headers_of(host, url, secret) : NULL;

    *probe = (probe_t){.outcome = "unavailable"};
    if (!testable(host))
        say(probe, "unavailable",
            "The host does not take its key in a header: that cannot be tested here.");
    else if (!fits_header(secret))
        say(probe, "refused",
            "The key has characters that no header can carry. Has it a line feed in it?");
    else if (curl == NULL || headers == NULL)
        say(probe, "unavailable",
            "The call could not be prepared. Have all variables of the host a value?");
    else
        run(curl, host, url, headers, probe);

    cleanse(headers);
    curl_easy_cleanup(curl);
}
