/*
 * One real call to a host with a provider key: its model list, which costs
 * nothing. Called by provider_keys.c; blocks the request's thread.
 */

#include "probe.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "access_token.h"
#include "outbound.h"

enum { CONNECT_MS = 5000, TOTAL_MS = 15000, HEADER_MAX = SECRET_MAX + 256, URL_MAX = 2304 };

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

/* Where the host lists its models, below its base URL: the key goes nowhere else. */
static bool url_of(const json_t *host, char url[URL_MAX])
{
    const char *base = text_of(host, "base_url", "");
    const char *path = text_of(json_object_get(host, "facts"), "models_path", "/models");
    size_t len = strlen(base);

    if (strstr(path, "://") != NULL || strchr(path, '{') != NULL)
        path = "/models";

    while (len > 0 && base[len - 1] == '/')
        len--;
    return snprintf(url, URL_MAX, "%.*s%s%s", (int)len, base, path[0] == '/' ? "" : "/", path) <
           URL_MAX;
}

/* Other ways than a header need more than one call, or a signature. */
static bool takes_header(const json_t *host)
{
    const char *type = text_of(json_object_get(host, "auth"), "type", "header");

    return strcmp(type, "header") == 0 || strcmp(type, "none") == 0 || access_host_of(host).wanted;
}

/* As it stands it would end the header, or start another one. */
static bool fits_header(const secret_t *secret)
{
    for (size_t i = 0; i < secret->len; i++)
        if (secret->bytes[i] < ' ' || secret->bytes[i] >= 0x7f)
            return false;
    return true;
}

static struct curl_slist *headers_of(const json_t *host, const secret_t *secret)
{
    const json_t *auth = json_object_get(host, "auth");
    const char *header = text_of(auth, "header", "authorization");
    const char *prefix =
        text_of(auth, "prefix", strcasecmp(header, "authorization") == 0 ? "Bearer " : "");
    struct curl_slist *list = curl_slist_append(NULL, "Accept: application/json");
    char line[HEADER_MAX];
    const char *name;
    json_t *value;

    if (secret->len > 0 && strcmp(text_of(auth, "type", "header"), "none") != 0) {
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

static void cleanse(struct curl_slist *list)
{
    for (struct curl_slist *item = list; item != NULL; item = item->next)
        explicit_bzero(item->data, strlen(item->data));
    curl_slist_free_all(list);
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
        say(probe, "accepted", "The host took the key: it listed its models.");
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
    bool possible = takes_header(host) && fits_header(secret) && url_of(host, url);
    CURL *curl = possible ? outbound_open(url, CONNECT_MS, TOTAL_MS) : NULL;
    struct curl_slist *headers = possible ? headers_of(host, secret) : NULL;

    *probe = (probe_t){.outcome = "unavailable"};
    if (!takes_header(host))
        say(probe, "unavailable",
            "The host does not take its key in a header: that cannot be tested here.");
    else if (!fits_header(secret))
        say(probe, "refused",
            "The key has characters that no header can carry. Has it a line feed in it?");
    else if (curl == NULL || headers == NULL)
        say(probe, "unavailable", "The call could not be prepared.");
    else
        run(curl, host, url, headers, probe);

    cleanse(headers);
    curl_easy_cleanup(curl);
}
