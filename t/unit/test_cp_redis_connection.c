/*
 * Redis from the client's side: where a URL leads, and replies that come in
 * pieces, as errors, or not at all. The server is the other end of a socket.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "redis_connection.c"

#include <pthread.h>

/* ---- URLs ----------------------------------------------------------------- */

static void test_urls(void **state)
{
    static const struct {
        const char *url, *path, *host, *port, *user, *password, *database;
        bool tls;
    } good[] = {
        {"unix:/run/redis.sock", "/run/redis.sock", "", "", "", "", "", false},
        {"unix:///run/redis.sock", "/run/redis.sock", "", "", "", "", "", false},
        {"redis://localhost", "", "localhost", "6379", "", "", "", false},
        {"redis://localhost:7000/3", "", "localhost", "7000", "", "", "3", false},
        {"rediss://user@10.0.0.1:7000", "", "10.0.0.1", "7000", "user", "", "", true},
        {"redis://user:p@ss:word@host/0", "", "host", "6379", "user", "p@ss:word", "0", false},
        {"redis://:word@[::1]:7000/0", "", "::1", "7000", "", "word", "0", false},
        {"rediss://[fe80::1]", "", "fe80::1", "6379", "", "", "", true},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        redis_place_t place = {good[i].url, "", NULL, NULL, 100};
        target_t target;
        assert_true(parse_place(&target, &place));
        assert_string_equal(target.path, good[i].path);
        assert_string_equal(target.host, good[i].host);
        assert_string_equal(target.port, good[i].port);
        assert_string_equal(target.user, good[i].user);
        assert_string_equal(target.password, good[i].password);
        assert_string_equal(target.database, good[i].database);
        assert_int_equal(target.tls, good[i].tls);
    }
}

static void test_urls_refused(void **state)
{
    static const char *const bad[] = {"",
                                      "localhost:6379",
                                      "http://localhost",
                                      "unix:relative.sock",
                                      "redis://",
                                      "redis://:7000",
                                      "redis://host:",
                                      "redis://[::1",
                                      "redis://[::1]7000",
                                      "redis://host:70000000",
                                      "redis://host/12345678901234567"};
    char longer[400], error[256];

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        redis_place_t place = {bad[i], NULL, NULL, NULL, 100};
        assert_null(redis_open(&place, error, sizeof(error)));
        assert_non_null(strstr(error, "the URL has none of the forms"));
    }
    memset(longer, 'x', sizeof(longer) - 1);
    longer[sizeof(longer) - 1] = '\0';
    memcpy(longer, "unix:/", 6);
    assert_null(redis_open(&(redis_place_t){longer, NULL, NULL, NULL, 100}, error, sizeof(error)));
    memcpy(longer, "redis://", 8);
    assert_null(redis_open(&(redis_place_t){longer, NULL, NULL, NULL, 100}, error, sizeof(error)));
}

static void test_settings_count_before_the_url(void **state)
{
    redis_place_t place = {"redis://a:b@host", "user", "word", NULL, 100};
    target_t target;

    (void)state;
    assert_true(parse_place(&target, &place));
    assert_string_equal(target.user, "user");
    assert_string_equal(target.password, "word");
}

/* ---- replies -------------------------------------------------------------- */

/* A connection whose server says `says`, byte by byte, and hangs up. */
typedef struct {
    redis_connection_t *redis;
    int far;
    const char *says;
    pthread_t thread;
} server_t;

static void *serve(void *data)
{
    server_t *server = data;

    for (const char *at = server->says; *at != '\0'; at++) {
        if (send(server->far, at, 1, MSG_NOSIGNAL) != 1) {
            break;
        }
    }
    shutdown(server->far, SHUT_WR);
    return NULL;
}

static void open_server(server_t *server, const char *says)
{
    int ends[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    server->redis = calloc(1, sizeof(*server->redis));
    assert_non_null(server->redis);
    server->redis->descriptor = ends[0];
    server->redis->reader = redisReaderCreate();
    server->far = ends[1];
    server->says = says;
    assert_true(set_timeouts(ends[0], 200));
    assert_int_equal(pthread_create(&server->thread, NULL, serve, server), 0);
}

static void close_server(server_t *server)
{
    pthread_join(server->thread, NULL);
    redis_close(server->redis);
    close(server->far);
}

static void test_replies_in_pieces(void **state)
{
    const relay_span_t words[] = {RELAY_SPAN("GET"), RELAY_SPAN("")};
    server_t server;
    redisReply *reply;
    char sent[64] = "";

    (void)state;
    open_server(&server, "+OK\r\n$3\r\na\r\n\r\n*2\r\n:1\r\n$-1\r\n");
    assert_true(redis_add(server.redis, words, 2));
    assert_true(redis_expect(server.redis, 1));
    assert_true(recv(server.far, sent, sizeof(sent) - 1, 0) > 0);
    assert_string_equal(sent, "*2\r\n$3\r\nGET\r\n$0\r\n\r\n");
    reply = redis_next(server.redis);
    assert_int_equal(reply->len, 3);
    assert_memory_equal(reply->str, "a\r\n", 3);
    freeReplyObject(reply);
    reply = redis_next(server.redis);
    assert_int_equal(reply->elements, 2);
    freeReplyObject(reply);
    assert_null(redis_next(server.redis));
    assert_string_equal(redis_why(server.redis), "Redis closed the connection");
    close_server(&server);
}

static void test_errors(void **state)
{
    server_t server;

    (void)state;
    open_server(&server, "+OK\r\n-OOM no room\r\n+OK\r\n");
    assert_false(redis_expect(server.redis, 3)); /* all are taken, the error is kept */
    assert_string_equal(redis_why(server.redis), "Redis: OOM no room");
    close_server(&server);

    open_server(&server, "HTTP/1.1 400 Bad Request\r\n");
    assert_false(redis_expect(server.redis, 1));
    assert_non_null(strstr(redis_why(server.redis), "this is no Redis"));
    close_server(&server);
}

static void test_silence(void **state)
{
    int ends[2];
    server_t server = {.says = ""};

    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    server.redis = calloc(1, sizeof(*server.redis));
    assert_non_null(server.redis);
    server.redis->descriptor = ends[0];
    server.redis->reader = redisReaderCreate();
    assert_true(set_timeouts(ends[0], 50));
    assert_null(redis_next(server.redis));
    assert_string_equal(redis_why(server.redis), "Redis did not answer in time");
    redis_close(server.redis);
    close(ends[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_urls),
        cmocka_unit_test(test_urls_refused),
        cmocka_unit_test(test_settings_count_before_the_url),
        cmocka_unit_test(test_replies_in_pieces),
        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_silence),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
