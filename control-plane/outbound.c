/* Calls to the outside: see outbound.h. */

#include "outbound.h"

#include <malloc.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "address.h"

/* ---- memory --------------------------------------------------------------- */

static void cleanse_free(void *block)
{
    if (block != NULL) {
        sodium_memzero(block, malloc_usable_size(block));
        free(block);
    }
}

static void *cleanse_realloc(void *block, size_t size)
{
    size_t before = block != NULL ? malloc_usable_size(block) : 0;
    void *moved = malloc(size);

    if (moved != NULL && block != NULL) {
        memcpy(moved, block, before < size ? before : size);
        cleanse_free(block);
    }
    return moved;
}

/* Whoever starts libcurl first decides how it allocates: nothing else of relayd does it. */
static void start(void)
{
    curl_global_init_mem(CURL_GLOBAL_DEFAULT, malloc, cleanse_free, cleanse_realloc, strdup,
                         calloc);
}

/* ---- options -------------------------------------------------------------- */

CURL *outbound_open(const char *url, long connect_ms, long total_ms)
{
    static pthread_once_t started = PTHREAD_ONCE_INIT;
    CURL *curl;

    pthread_once(&started, start);
    curl = curl_easy_init();
    if (curl == NULL) {
        return NULL;
    }
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, connect_ms);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, total_ms);
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, 1L);
    curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, 2L);
    curl_easy_setopt(curl, CURLOPT_PROXY, "");
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
    return curl;
}

void outbound_trust(CURL *curl, const char *ca_file)
{
    if (ca_file[0] == '\0') {
        ca_file = getenv("SSL_CERT_FILE");
    }
    if (ca_file != NULL && ca_file[0] != '\0') {
        curl_easy_setopt(curl, CURLOPT_CAINFO, ca_file);
        curl_easy_setopt(curl, CURLOPT_CAPATH, NULL); /* those and no others */
    }
}

/* ---- addresses ------------------------------------------------------------ */

static relay_span_t bytes_of(const struct sockaddr *address)
{
    const struct sockaddr_in *v4 = (const void *)address;
    const struct sockaddr_in6 *v6 = (const void *)address;

    return address->sa_family == AF_INET6 ? relay_span((const uint8_t *)&v6->sin6_addr, 16)
                                          : relay_span((const uint8_t *)&v4->sin_addr, 4);
}

static curl_socket_t open_public(void *owner, curlsocktype purpose, struct curl_sockaddr *address)
{
    bool *refused = owner;
    (void)purpose;

    if (!relay_address_public(bytes_of(&address->addr))) {
        *refused = true;
        return CURL_SOCKET_BAD;
    }
    return socket(address->family, address->socktype, address->protocol);
}

void outbound_public_only(CURL *curl, bool *refused)
{
    curl_easy_setopt(curl, CURLOPT_OPENSOCKETFUNCTION, open_public);
    curl_easy_setopt(curl, CURLOPT_OPENSOCKETDATA, refused);
}

/* ---- answers -------------------------------------------------------------- */

static size_t take(char *bytes, size_t size, size_t count, void *target)
{
    relay_buf_t *body = target;
    size_t len = size * count;

    if (len > body->capacity - body->len) {
        return 0;
    }
    relay_buf_put(body, relay_span(bytes, len));
    return len;
}

void outbound_keep(CURL *curl, relay_buf_t *body)
{
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, body);
}
