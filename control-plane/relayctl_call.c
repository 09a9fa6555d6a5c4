/* relayctl's calls of the admin API, over libcurl. */

#include "relayctl_call.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "relayctl.h"

enum { ANSWER_MAX = 64 * 1024 * 1024, URL_LEN = 4096, TIMEOUT_S = 60 };

typedef struct {
    char *bytes;
    size_t len;
} text_t;

static size_t collect(char *data, size_t size, size_t count, void *owner)
{
    text_t *text = owner;
    size_t len = size * count;
    char *more = len > ANSWER_MAX - text->len ? NULL : realloc(text->bytes, text->len + len + 1);

    if (more == NULL)
        return 0;
    memcpy(more + text->len, data, len);
    text->bytes = more;
    text->len += len;
    text->bytes[text->len] = '\0';
    return len;
}

static size_t header(char *data, size_t size, size_t count, void *owner)
{
    relayctl_answer_t *answer = owner;
    size_t len = size * count;

    if (len > 5 && strncasecmp(data, "etag:", 5) == 0)
        snprintf(answer->etag, sizeof(answer->etag), "%.*s",
                 (int)strcspn(data + 5 + strspn(data + 5, " "), "\r\n"),
                 data + 5 + strspn(data + 5, " "));
    return len;
}

void relayctl_encode(const char *name, char *encoded, size_t size)
{
    static const char plain[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
    size_t len = 0;

    for (; *name != '\0' && len + 4 < size; name++) {
        if (strchr(plain, *name) != NULL)
            encoded[len++] = *name;
        else
            len += (size_t)snprintf(encoded + len, 4, "%%%02X", (unsigned char)*name);
    }
    encoded[len] = '\0';
}

static void url_of(const relayctl_context_t *context, const char *path, char url[URL_LEN])
{
    const char *place = strstr(path, "{workspace}");
    char workspace[200];

    relayctl_encode(context->workspace, workspace, sizeof(workspace));
    if (place == NULL)
        snprintf(url, URL_LEN, "%s/api/v1%s", context->url, path);
    else
        snprintf(url, URL_LEN, "%s/api/v1%.*s%s%s", context->url, (int)(place - path), path,
                 workspace, place + strlen("{workspace}"));
}

static struct curl_slist *headers_of(const relayctl_context_t *context, const char *method,
                                     bool has_body, const char *if_match)
{
    struct curl_slist *list = NULL;
    char line[256];

    snprintf(line, sizeof(line), "Authorization: Bearer %s", context->token);
    list = curl_slist_append(list, line);
    if (has_body)
        list = curl_slist_append(list, strcmp(method, "PATCH") == 0
                                           ? "Content-Type: application/merge-patch+json"
                                           : "Content-Type: application/json");
    if (if_match != NULL) {
        snprintf(line, sizeof(line), "If-Match: %s", if_match);
        list = curl_slist_append(list, line);
    }
    return list;
}

/* A problem document in words. */
static bool refused(const relayctl_answer_t *answer)
{
    const char *detail = json_string_value(json_object_get(answer->body, "detail"));
    json_t *fault;
    char status[32];
    size_t i;

    snprintf(status, sizeof(status), "status %ld", answer->status);
    relayctl_complain(detail != NULL ? detail : "refused", detail != NULL ? "" : status);
    json_array_foreach(json_object_get(answer->body, "faults"), i, fault)
        fprintf(stderr, "  %s: %s\n", json_string_value(json_object_get(fault, "pointer")),
                json_string_value(json_object_get(fault, "message")));
    return false;
}

static bool run(CURL *curl, const char *url, relayctl_answer_t *answer)
{
    text_t text = {NULL, 0};
    CURLcode code;

    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(curl, CURLOPT_TIMEOUT, (long)TIMEOUT_S);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, collect);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, &text);
    curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, header);
    curl_easy_setopt(curl, CURLOPT_HEADERDATA, answer);
    code = curl_easy_perform(curl);
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &answer->status);

    if (text.len > 0)
        answer->body = json_loadb(text.bytes, text.len, JSON_DECODE_ANY, NULL);
    free(text.bytes);

    if (code != CURLE_OK) {
        relayctl_complain(url, curl_easy_strerror(code));
        return false;
    }
    return answer->status < 400 || refused(answer);
}

bool relayctl_call(const relayctl_context_t *context, const char *method, const char *path,
                   const json_t *body, const char *if_match, relayctl_answer_t *answer)
{
    char url[URL_LEN];
    CURL *curl = curl_easy_init();
    struct curl_slist *headers = headers_of(context, method, body != NULL, if_match);
    char *text = body == NULL ? NULL : json_dumps(body, JSON_COMPACT);
    bool ok = false;

    *answer = (relayctl_answer_t){.status = 0};
    url_of(context, path, url);
    if (curl != NULL && headers != NULL && (body == NULL || text != NULL)) {
        curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
        curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, method);
        if (text != NULL)
            curl_easy_setopt(curl, CURLOPT_POSTFIELDS, text);
        else if (strcmp(method, "POST") == 0)
            curl_easy_setopt(curl, CURLOPT_POSTFIELDS, "");
        ok = run(curl, url, answer);
    }

    if (text != NULL)
        explicit_bzero(text, strlen(text));
    free(text);
    for (struct curl_slist *line = headers; line != NULL; line = line->next)
        explicit_bzero(line->data, strlen(line->data));
    curl_slist_free_all(headers);
    curl_easy_cleanup(curl);
    return ok;
}
