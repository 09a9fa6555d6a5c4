/* A synchronous connection to Redis: see redis_connection.h. */

#include "redis_connection.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum {
    PART_MAX = 256,
    SEND_AT = 256 * 1024,
    READ_SIZE = 64 * 1024,
    REPLY_MAX = 128 * 1024 * 1024, /* bytes that wait to become replies */
    WHY_MAX = 256
};

/* A place, taken apart. */
typedef struct {
    bool tls;
    char path[108]; /* of a Unix socket, or "" */
    char host[PART_MAX];
    char port[8];
    char user[PART_MAX];
    char password[PART_MAX * 4];
    char database[16];
} target_t;

struct redis_connection_s {
    int descriptor;
    SSL_CTX *tls_context;
    SSL *tls;
    redisReader *reader;
    char *out; /* commands that wait */
    size_t out_len;
    size_t out_capacity;
    char why[WHY_MAX];
};

__attribute__((format(printf, 2, 3))) static bool broken(redis_connection_t *redis,
                                                         const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(redis->why, sizeof(redis->why), format, arguments);
    va_end(arguments);
    return false;
}

/* ---- the URL -------------------------------------------------------------- */

static bool copy_part(char *target, size_t size, const char *text, size_t len)
{
    if (len >= size) {
        return false;
    }
    memcpy(target, text, len);
    target[len] = '\0';
    return true;
}

static bool parse_login(target_t *target, const char *text, size_t len)
{
    const char *colon = memchr(text, ':', len);
    size_t user = colon != NULL ? (size_t)(colon - text) : len;

    return copy_part(target->user, sizeof(target->user), text, user) &&
           (colon == NULL ||
            copy_part(target->password, sizeof(target->password), colon + 1, len - user - 1));
}

/* host, host:port, [address]:port */
static bool parse_host(target_t *target, const char *text, size_t len)
{
    bool bracket = len != 0 && text[0] == '[';
    const char *end = bracket ? memchr(text, ']', len) : memchr(text, ':', len);
    size_t host = end != NULL ? (size_t)(end - text) : len;
    const char *rest = text + host + (bracket ? 1 : 0);
    size_t left = len - (size_t)(rest - text);

    if (bracket && end == NULL) {
        return false;
    }
    if (!copy_part(target->host, sizeof(target->host), text + bracket, host - bracket) ||
        target->host[0] == '\0') {
        return false;
    }
    return left == 0 ? copy_part(target->port, sizeof(target->port), "6379", 4)
                     : rest[0] == ':' && left > 1 &&
                           copy_part(target->port, sizeof(target->port), rest + 1, left - 1);
}

static bool parse_network(target_t *target, const char *text)
{
    size_t len = strcspn(text, "/");
    const char *at = memchr(text, '@', len);

    for (const char *next = at; next != NULL;) { /* a password may have one: the last counts */
        at = next;
        next = memchr(at + 1, '@', len - (size_t)(at + 1 - text));
    }
    if (text[len] == '/' && !copy_part(target->database, sizeof(target->database), text + len + 1,
                                       strlen(text + len + 1))) {
        return false;
    }
    if (at != NULL && !parse_login(target, text, (size_t)(at - text))) {
        return false;
    }
    text = at != NULL ? at + 1 : text;
    return parse_host(target, text, strcspn(text, "/"));
}

static bool parse_url(target_t *target, const char *url)
{
    if (strncmp(url, "unix:", 5) == 0) {
        url += strncmp(url, "unix://", 7) == 0 ? 7 : 5;
        return url[0] == '/' && copy_part(target->path, sizeof(target->path), url, strlen(url));
    }
    if (strncmp(url, "redis://", 8) == 0) {
        return parse_network(target, url + 8);
    }
    target->tls = strncmp(url, "rediss://", 9) == 0;
    return target->tls && parse_network(target, url + 9);
}

static bool parse_place(target_t *target, const redis_place_t *place)
{
    memset(target, 0, sizeof(*target));
    if (!parse_url(target, place->url)) {
        return false;
    }
    if (place->user != NULL && place->user[0] != '\0' &&
        !copy_part(target->user, sizeof(target->user), place->user, strlen(place->user))) {
        return false;
    }
    return place->password == NULL || place->password[0] == '\0' ||
           copy_part(target->password, sizeof(target->password), place->password,
                     strlen(place->password));
}

/* ---- the socket ----------------------------------------------------------- */

static bool set_timeouts(int descriptor, unsigned timeout_ms)
{
    struct timeval limit = {timeout_ms / 1000, timeout_ms % 1000 * 1000};
    int flags = fcntl(descriptor, F_GETFL);

    return flags >= 0 && fcntl(descriptor, F_SETFL, flags & ~O_NONBLOCK) == 0 &&
           setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) == 0 &&
           setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)) == 0;
}

static bool finish_connect(int descriptor, unsigned timeout_ms)
{
    struct pollfd waiting = {descriptor, POLLOUT, 0};
    int error = 0;
    socklen_t size = sizeof(error);

    if (poll(&waiting, 1, (int)timeout_ms) != 1) {
        errno = ETIMEDOUT;
        return false;
    }
    if (getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &error, &size) != 0 || error != 0) {
        errno = error;
        return false;
    }
    return true;
}

/* -1 with errno. */
static int connect_to(const struct sockaddr *address, socklen_t len, unsigned timeout_ms)
{
    int descriptor = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int error;

    if (descriptor < 0) {
        return -1;
    }
    if ((connect(descriptor, address, len) == 0 ||
         (errno == EINPROGRESS && finish_connect(descriptor, timeout_ms))) &&
        set_timeouts(descriptor, timeout_ms)) {
        return descriptor;
    }
    error = errno;
    close(descriptor);
    errno = error;
    return -1;
}

static bool connect_unix(redis_connection_t *redis, const target_t *target, unsigned timeout_ms)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    memcpy(address.sun_path, target->path, sizeof(target->path));
    redis->descriptor = connect_to((const struct sockaddr *)&address, sizeof(address), timeout_ms);
    return redis->descriptor >= 0 ||
           broken(redis, "cannot connect to the socket: %s", strerror(errno));
}

static bool connect_network(redis_connection_t *redis, const target_t *target, unsigned timeout_ms)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct addrinfo *list = NULL;
    int one = 1, code = getaddrinfo(target->host, target->port, &hints, &list);

    if (code != 0) {
        return broken(redis, "cannot resolve %s: %s", target->host, gai_strerror(code));
    }
    for (struct addrinfo *at = list; at != NULL && redis->descriptor < 0; at = at->ai_next) {
        redis->descriptor = connect_to(at->ai_addr, at->ai_addrlen, timeout_ms);
    }
    freeaddrinfo(list);
    if (redis->descriptor < 0) {
        return broken(redis, "cannot connect to %s:%s: %s", target->host, target->port,
                      strerror(errno));
    }
    setsockopt(redis->descriptor, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    setsockopt(redis->descriptor, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one));
    return true;
}

/* ---- TLS ------------------------------------------------------------------ */

static bool tls_fail(redis_connection_t *redis, const char *what)
{
    long verified = redis->tls != NULL ? SSL_get_verify_result(redis->tls) : X509_V_OK;
    unsigned long code = ERR_peek_last_error();
    const char *reason = verified != X509_V_OK ? X509_verify_cert_error_string(verified)
                         : code != 0           ? ERR_reason_error_string(code)
                                               : NULL;

    ERR_clear_error();
    return broken(redis, "%s: %s", what, reason != NULL ? reason : "the connection broke");
}

static bool trust(SSL_CTX *context, const char *ca_file)
{
    SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
    return ca_file != NULL && ca_file[0] != '\0' ? SSL_CTX_load_verify_file(context, ca_file) == 1
                                                 : SSL_CTX_set_default_verify_paths(context) == 1;
}

/* The certificate has to have the name, or the address, that the URL has. */
static bool set_name(SSL *tls, const char *host)
{
    X509_VERIFY_PARAM *parameters = SSL_get0_param(tls);

    if (X509_VERIFY_PARAM_set1_ip_asc(parameters, host) == 1) {
        return true;
    }
    return SSL_set1_host(tls, host) == 1 && SSL_set_tlsext_host_name(tls, host) == 1;
}

static bool start_tls(redis_connection_t *redis, const target_t *target, const char *ca_file)
{
    ERR_clear_error();
    redis->tls_context = SSL_CTX_new(TLS_client_method());
    if (redis->tls_context == NULL || !trust(redis->tls_context, ca_file)) {
        return tls_fail(redis, "cannot read the certificates to trust");
    }
    redis->tls = SSL_new(redis->tls_context);
    if (redis->tls == NULL || SSL_set_fd(redis->tls, redis->descriptor) != 1 ||
        !set_name(redis->tls, target->host)) {
        return tls_fail(redis, "TLS cannot start");
    }
    return SSL_connect(redis->tls) == 1 || tls_fail(redis, "no TLS with the server");
}

/* ---- bytes ---------------------------------------------------------------- */

static bool io_fail(redis_connection_t *redis, ssize_t done)
{
    if (done == 0) {
        return broken(redis, "Redis closed the connection");
    }
    return broken(redis, "%s",
                  errno == EAGAIN || errno == EWOULDBLOCK ? "Redis did not answer in time"
                                                          : strerror(errno));
}

/* Of both: more than 0, or what io_fail() takes. SIGPIPE is ignored in relayd. */
static ssize_t write_some(redis_connection_t *redis, const char *bytes, size_t len)
{
    int chunk = len > SEND_AT ? SEND_AT : (int)len;

    errno = 0;
    return redis->tls != NULL ? SSL_write(redis->tls, bytes, chunk)
                              : send(redis->descriptor, bytes, len, MSG_NOSIGNAL);
}

static ssize_t read_some(redis_connection_t *redis, char *bytes, size_t len)
{
    errno = 0;
    return redis->tls != NULL ? SSL_read(redis->tls, bytes, (int)len)
                              : recv(redis->descriptor, bytes, len, 0);
}

static bool flush(redis_connection_t *redis)
{
    size_t sent = 0;

    while (sent < redis->out_len) {
        ssize_t done = write_some(redis, redis->out + sent, redis->out_len - sent);
        if (done < 0 && errno == EINTR) {
            continue;
        }
        if (done <= 0) {
            return io_fail(redis, done);
        }
        sent += (size_t)done;
    }
    redis->out_len = 0;
    return true;
}

static bool fill(redis_connection_t *redis)
{
    char bytes[READ_SIZE];
    ssize_t got;

    do {
        got = read_some(redis, bytes, sizeof(bytes));
    } while (got < 0 && errno == EINTR);
    if (got <= 0) {
        return io_fail(redis, got);
    }
    if (redis->reader->len > REPLY_MAX) {
        return broken(redis, "Redis answers with more than there can be");
    }
    return redisReaderFeed(redis->reader, bytes, (size_t)got) == REDIS_OK ||
           broken(redis, "out of memory");
}

/* ---- commands and replies ------------------------------------------------- */

static bool make_room(redis_connection_t *redis, size_t len)
{
    size_t wanted = redis->out_len + len;
    char *larger;

    if (wanted <= redis->out_capacity) {
        return true;
    }
    larger = realloc(redis->out, wanted + SEND_AT);
    if (larger == NULL) {
        return broken(redis, "out of memory");
    }
    redis->out = larger;
    redis->out_capacity = wanted + SEND_AT;
    return true;
}

enum { WORDS_MAX = 2048 };

bool redis_add(redis_connection_t *redis, const relay_span_t *words, size_t count)
{
    const char *bases[WORDS_MAX];
    size_t lengths[WORDS_MAX];
    char *command = NULL;
    int len = -1;

    for (size_t i = 0; i < count && count <= WORDS_MAX; i++) {
        bases[i] = words[i].len != 0 ? (const char *)words[i].base : "";
        lengths[i] = words[i].len;
    }
    if (count <= WORDS_MAX) {
        len = redisFormatCommandArgv(&command, (int)count, bases, lengths);
    }
    if (len < 0 || !make_room(redis, (size_t)len)) {
        redisFreeCommand(command);
        return broken(redis, "out of memory");
    }
    memcpy(redis->out + redis->out_len, command, (size_t)len);
    redis->out_len += (size_t)len;
    redisFreeCommand(command);
    return redis->out_len < SEND_AT || flush(redis);
}

redisReply *redis_next(redis_connection_t *redis)
{
    void *reply = NULL;

    if (!flush(redis)) {
        return NULL;
    }
    for (;;) {
        if (redisReaderGetReply(redis->reader, &reply) != REDIS_OK) {
            broken(redis, "this is no Redis: %s", redis->reader->errstr);
            return NULL;
        }
        if (reply != NULL) {
            return reply;
        }
        if (!fill(redis)) {
            return NULL;
        }
    }
}

bool redis_expect(redis_connection_t *redis, size_t count)
{
    bool good = true;

    for (size_t i = 0; i < count; i++) {
        redisReply *reply = redis_next(redis);
        if (reply == NULL) {
            return false;
        }
        if (reply->type == REDIS_REPLY_ERROR) {
            good = broken(redis, "Redis: %s", reply->str);
        }
        freeReplyObject(reply);
    }
    return good;
}

const char *redis_why(const redis_connection_t *redis)
{
    return redis->why;
}

int redis_descriptor(const redis_connection_t *redis)
{
    return redis->descriptor;
}

/* ---- opening and closing -------------------------------------------------- */

static relay_span_t word(const char *text)
{
    return relay_span(text, strlen(text));
}

static bool log_in(redis_connection_t *redis, const target_t *target)
{
    relay_span_t login[] = {RELAY_SPAN("AUTH"), word(target->user), word(target->password)};
    relay_span_t password_only[] = {login[0], login[2]};
    relay_span_t select[] = {RELAY_SPAN("SELECT"), word(target->database)};
    bool added = true;
    size_t count = 0;

    if (target->password[0] != '\0') {
        added = target->user[0] != '\0' ? redis_add(redis, login, 3)
                                        : redis_add(redis, password_only, 2);
        count++;
    }
    if (target->database[0] != '\0') {
        added = added && redis_add(redis, select, 2);
        count++;
    }
    added = added && redis_add(redis, (relay_span_t[]){RELAY_SPAN("PING")}, 1);
    added = added && redis_expect(redis, count + 1);
    if (redis->out != NULL) {
        sodium_memzero(redis->out, redis->out_capacity);
    }
    return added;
}

static bool open_target(redis_connection_t *redis, const redis_place_t *place,
                        const target_t *target)
{
    bool connected = target->path[0] != '\0' ? connect_unix(redis, target, place->timeout_ms)
                                             : connect_network(redis, target, place->timeout_ms);

    return connected && (!target->tls || start_tls(redis, target, place->ca_file)) &&
           log_in(redis, target);
}

redis_connection_t *redis_open(const redis_place_t *place, char *error, size_t error_size)
{
    redis_connection_t *redis = calloc(1, sizeof(*redis));
    target_t target;
    bool good = redis != NULL;

    if (good) {
        redis->descriptor = -1;
        redis->reader = redisReaderCreate();
        good = (redis->reader != NULL || broken(redis, "out of memory")) &&
               (parse_place(&target, place) ||
                broken(redis, "the URL has none of the forms unix:/path, redis://host:port/db,"
                              " rediss://host:port/db")) &&
               open_target(redis, place, &target);
    }
    sodium_memzero(&target, sizeof(target));
    if (good) {
        return redis;
    }
    snprintf(error, error_size, "%s", redis != NULL ? redis->why : "out of memory");
    redis_close(redis);
    return NULL;
}

void redis_close(redis_connection_t *redis)
{
    if (redis == NULL) {
        return;
    }
    SSL_free(redis->tls);
    SSL_CTX_free(redis->tls_context);
    if (redis->descriptor >= 0) {
        close(redis->descriptor);
    }
    if (redis->reader != NULL) {
        redisReaderFree(redis->reader);
    }
    free(redis->out);
    free(redis);
}
