/*
 * The provider of the benchmark: answers Chat Completions, and Messages at a path
 * that ends so, over HTTP/1.1 with keep-alive, at a small fraction of the cost of
 * the servers measured in front of it. Started by t/bench/run:
 *
 *     mock_provider PORT
 *
 * An answer is a fixed completion of 1 KB. A body with "stream":true within
 * its first or last 512 bytes gets a stream of 200 events, all at once; with
 * "every-N-us" there as well, one event every N microseconds, whose text is
 * the time of its sending: 16 hexadecimal digits, nanoseconds of
 * CLOCK_MONOTONIC. "include_usage":true there adds the usage event of Chat
 * Completions.
 *
 *     HEADER --- all of it here ---> BODY --- all of it here ---> answered
 *        ^                                                          |    |
 *        +------------ next request, or sent with all events -------+    |
 *        +----------------------- last event of STREAM <-----------------+
 */

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "mock_answers.h"

enum {
    CONNECTIONS_MAX = 8192,
    HEADER_MAX = 16384,
    EDGE_MAX = 512, /* how much of a body's start and end is looked at */
    READY_MAX = 512
};

typedef enum { HEADER, BODY, STREAM } state_t;

typedef struct connection_s {
    int fd;
    state_t state;
    bool want_write;
    format_t format;

    char input[HEADER_MAX];
    size_t input_len;
    uint64_t body_left;
    char start[EDGE_MAX + 1];
    size_t start_len;
    char end[EDGE_MAX + 1];
    size_t end_len;

    const char *output; /* what is left of the answer */
    size_t output_len;

    unsigned events_sent;
    bool usage;
    uint64_t interval_ns;
    uint64_t due_ns;
    char event[EVENT_MAX];
    struct connection_s *next, *previous; /* paced streams by due_ns */
} connection_t;

static connection_t *connections[CONNECTIONS_MAX];
static connection_t *first_due, *last_due;
static int poll_fd;

static char answers[FORMATS][ANSWER_MAX];
static size_t answers_len[FORMATS];
static char starts[FORMATS][ANSWER_MAX]; /* of paced streams */
static size_t starts_len[FORMATS];
static char streams[FORMATS][2][STREAM_MAX]; /* without and with usage */
static size_t streams_len[FORMATS][2];

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

static uint64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void make_answers(format_t format)
{
    answers_len[format] = put_answer(answers[format], ANSWER_MAX, format);
    starts_len[format] = put_start(starts[format], ANSWER_MAX, format);
    for (unsigned usage = 0; usage < 2; usage++) {
        streams_len[format][usage] = put_stream(streams[format][usage], STREAM_MAX, format, usage);
    }
}

/* ---- paced streams, by the time of their next event ------------------------ */

static void due_remove(connection_t *c)
{
    *(c->previous != NULL ? &c->previous->next : &first_due) = c->next;
    *(c->next != NULL ? &c->next->previous : &last_due) = c->previous;
    c->next = c->previous = NULL;
}

/* Streams of one pace come in order: the search from the end is short. */
static void due_insert(connection_t *c)
{
    connection_t *before = last_due;

    while (before != NULL && before->due_ns > c->due_ns) {
        before = before->previous;
    }
    c->previous = before;
    c->next = before != NULL ? before->next : first_due;
    *(c->previous != NULL ? &c->previous->next : &first_due) = c;
    *(c->next != NULL ? &c->next->previous : &last_due) = c;
}

/* ---- connections ----------------------------------------------------------- */

static void drop(connection_t *c)
{
    if (c->state == STREAM) {
        due_remove(c);
    }
    connections[c->fd] = NULL;
    close(c->fd);
    free(c);
}

static void watch(connection_t *c, bool want_write)
{
    struct epoll_event event = {.events = EPOLLIN | (want_write ? EPOLLOUT : 0), .data.fd = c->fd};

    if (c->want_write != want_write) {
        c->want_write = want_write;
        epoll_ctl(poll_fd, EPOLL_CTL_MOD, c->fd, &event);
    }
}

/* False: the connection is gone. */
static bool flush(connection_t *c)
{
    while (c->output_len > 0) {
        ssize_t n = send(c->fd, c->output, c->output_len, MSG_NOSIGNAL);

        if (n < 0 && errno == EAGAIN) {
            break;
        }
        if (n < 0) {
            drop(c);
            return false;
        }
        c->output += n;
        c->output_len -= (size_t)n;
    }
    watch(c, c->output_len > 0);
    return true;
}

static bool send_event(connection_t *c)
{
    char text[32];

    if (c->events_sent < EVENTS) {
        snprintf(text, sizeof(text), "%016llx", (unsigned long long)now_ns());
        c->output_len = put_event(c->event, sizeof(c->event), c->format, text);
    } else {
        c->output_len = put_end(c->event, sizeof(c->event), c->format, c->usage);
    }
    c->output = c->event;
    c->events_sent++;
    return flush(c);
}

/* A reader too slow for the pace gets its event at the next turn. */
static void next_event(connection_t *c)
{
    bool last = c->events_sent == EVENTS && c->output_len == 0;

    due_remove(c);
    if (last) {
        c->state = HEADER;
        send_event(c);
        return;
    }
    c->due_ns += c->interval_ns;
    due_insert(c);
    if (c->output_len == 0) {
        send_event(c);
    }
}

static bool start_paced(connection_t *c, uint64_t interval_ns)
{
    c->state = STREAM;
    c->events_sent = 0;
    c->interval_ns = interval_ns;
    c->due_ns = now_ns() + interval_ns;
    due_insert(c);
    c->output = starts[c->format];
    c->output_len = starts_len[c->format];
    return flush(c) && send_event(c);
}

/* At either end of the body. */
static const char *find(const connection_t *c, const char *text)
{
    const char *found = strstr(c->start, text);

    return found != NULL ? found : strstr(c->end, text);
}

static bool respond(connection_t *c)
{
    const char *pace;

    c->start[c->start_len] = c->end[c->end_len] = '\0';
    c->state = HEADER;
    c->output = answers[c->format];
    c->output_len = answers_len[c->format];

    if (find(c, "\"stream\":true") != NULL) {
        c->usage = find(c, "\"include_usage\":true") != NULL;
        pace = find(c, "every-");
        if (pace != NULL) {
            return start_paced(c, strtoull(pace + 6, NULL, 10) * 1000);
        }
        c->output = streams[c->format][c->usage];
        c->output_len = streams_len[c->format][c->usage];
    }
    return flush(c);
}

/* ---- requests --------------------------------------------------------------- */

static void keep_edges(connection_t *c, const char *bytes, size_t len)
{
    size_t start = sizeof(c->start) - 1 - c->start_len;
    size_t end = len < EDGE_MAX ? len : EDGE_MAX;
    size_t kept = c->end_len + end > EDGE_MAX ? EDGE_MAX - end : c->end_len;

    start = len < start ? len : start;
    memcpy(c->start + c->start_len, bytes, start);
    c->start_len += start;
    memmove(c->end, c->end + c->end_len - kept, kept);
    memcpy(c->end + kept, bytes + len - end, end);
    c->end_len = kept + end;
}

static bool read_content_length(const char *header, const char *end, uint64_t *length)
{
    static const char name[] = "content-length:";
    const char *line = header;

    while ((line = memchr(line, '\n', (size_t)(end - line))) != NULL) {
        line++;
        if (strncasecmp(line, name, sizeof(name) - 1) == 0) {
            *length = strtoull(line + sizeof(name) - 1, NULL, 10);
            return true;
        }
    }
    return false;
}

/* input: a request line. */
static format_t format_of(const char *input)
{
    static const char line[] = "POST /v1/messages ";

    return strncmp(input, line, sizeof(line) - 1) == 0 ? MESSAGES : CHAT;
}

static void consume(connection_t *c, size_t len)
{
    c->input_len -= len;
    memmove(c->input, c->input + len, c->input_len);
}

/* Takes requests out of the input. False: the connection is gone. */
static bool advance(connection_t *c)
{
    while (c->state != STREAM && (c->input_len > 0 || c->state == BODY)) {
        if (c->state == HEADER) {
            char *end = memmem(c->input, c->input_len, "\r\n\r\n", 4);

            if (end == NULL && c->input_len < HEADER_MAX) {
                return true;
            }
            if (end == NULL || !read_content_length(c->input, end, &c->body_left)) {
                drop(c);
                return false;
            }
            c->format = format_of(c->input);
            consume(c, (size_t)(end + 4 - c->input));
            c->start_len = c->end_len = 0;
            c->state = BODY;
        }

        size_t here = c->input_len < c->body_left ? c->input_len : (size_t)c->body_left;

        keep_edges(c, c->input, here);
        consume(c, here);
        c->body_left -= here;
        if (c->body_left > 0) {
            return true;
        }
        if (!respond(c)) {
            return false;
        }
    }
    return true;
}

/* The middle of a long body is thrown away in the kernel. */
static size_t discardable(const connection_t *c)
{
    bool middle = c->state == BODY && c->start_len == EDGE_MAX && c->body_left > EDGE_MAX;

    return middle ? (size_t)c->body_left - EDGE_MAX : 0;
}

static ssize_t read_some(connection_t *c, size_t discard, size_t room)
{
    ssize_t n = discard > 0 ? recv(c->fd, NULL, discard, MSG_TRUNC)
                            : recv(c->fd, c->input + c->input_len, room, 0);

    if (n > 0 && discard > 0) {
        c->body_left -= (size_t)n;
    } else if (n > 0) {
        c->input_len += (size_t)n;
    }
    return n;
}

/* A short read means that the socket is empty: one call less for each request. */
static void readable(connection_t *c)
{
    for (;;) {
        size_t discard = discardable(c), room = HEADER_MAX - c->input_len;
        ssize_t n = room > 0 ? read_some(c, discard, room) : 0;

        if (n == 0 || (n < 0 && errno != EAGAIN)) {
            drop(c);
            return;
        }
        if (n < 0 || !advance(c) || (discard == 0 && (size_t)n < room)) {
            return;
        }
    }
}

static void accept_all(int listener)
{
    int fd, on = 1;

    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
        connection_t *c = fd < CONNECTIONS_MAX ? calloc(1, sizeof(*c)) : NULL;

        if (c == NULL) {
            close(fd);
            continue;
        }
        c->fd = fd;
        connections[fd] = c;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
        epoll_ctl(poll_fd, EPOLL_CTL_ADD, fd, &event);
    }
}

static int listen_on(uint16_t port)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct epoll_event event = {.events = EPOLLIN};
    int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0 ||
        bind(fd, (struct sockaddr *)&address, sizeof(address)) != 0 || listen(fd, 4096) != 0) {
        fail("listen");
    }
    event.data.fd = fd;
    epoll_ctl(poll_fd, EPOLL_CTL_ADD, fd, &event);
    return fd;
}

static int wait_for_events(struct epoll_event *ready)
{
    uint64_t now, wait_ns;
    struct timespec timeout;

    if (first_due == NULL) {
        return epoll_wait(poll_fd, ready, READY_MAX, -1);
    }
    now = now_ns();
    wait_ns = first_due->due_ns > now ? first_due->due_ns - now : 0;
    timeout.tv_sec = (time_t)(wait_ns / 1000000000u);
    timeout.tv_nsec = (long)(wait_ns % 1000000000u);
    return epoll_pwait2(poll_fd, ready, READY_MAX, &timeout, NULL);
}

static void handle(int listener, const struct epoll_event *event)
{
    connection_t *c = event->data.fd == listener ? NULL : connections[event->data.fd];

    if (event->data.fd == listener) {
        accept_all(listener);
        return;
    }
    if (c != NULL && (event->events & EPOLLOUT) && !flush(c)) {
        return;
    }
    if (c != NULL && (event->events & (EPOLLIN | EPOLLHUP | EPOLLERR))) {
        readable(c);
    }
}

int main(int argc, char **argv)
{
    struct epoll_event ready[READY_MAX];
    unsigned long port = argc == 2 ? strtoul(argv[1], NULL, 10) : 0;
    int listener;

    if (port == 0 || port > UINT16_MAX) {
        fprintf(stderr, "usage: %s PORT\n", argv[0]);
        return 2;
    }
    prctl(PR_SET_TIMERSLACK, 1UL, 0UL, 0UL, 0UL);
    prctl(PR_SET_PDEATHSIG, 15UL, 0UL, 0UL, 0UL);
    make_answers(CHAT);
    make_answers(MESSAGES);
    poll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (poll_fd < 0) {
        fail("epoll_create1");
    }
    listener = listen_on((uint16_t)port);

    for (;;) {
        int n = wait_for_events(ready);

        if (n < 0 && errno != EINTR) {
            fail("epoll_wait");
        }
        for (int i = 0; i < n; i++) {
            handle(listener, &ready[i]);
        }
        while (first_due != NULL && first_due->due_ns <= now_ns()) {
            next_event(first_due);
        }
    }
}
