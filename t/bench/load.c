/*
 * The load generator of the benchmark. Started by t/bench/run, once for each
 * measurement; prints one JSON object.
 *
 *     load --port N [options]
 *
 *     --body N         bytes of the request body (1024)
 *     --model NAME     (bench)
 *     --messages       Messages instead of Chat Completions
 *     --stream         asks for a stream; --pace N: one event every N us
 *     --connections N  at most (64)
 *     --rate N         requests per second at fixed times, whatever comes back
 *                      (open loop); without it, each connection sends its next
 *                      request as soon as it has its answer (closed loop)
 *     --seconds X      measured time (1), after --warm X (0.2) not measured
 *     --requests N     instead: exactly N requests, all measured
 *     --pid N          a process whose CPU time is measured meanwhile, and how
 *                      much of the time it waited for its CPU; repeatable
 *     --key TEXT       the bearer token
 *     --hold           waits for the first event of one stream on each
 *                      connection, prints "held", and holds them until its
 *                      standard input ends
 *
 * Latency counts from the time when a request was due, so that a stall costs
 * everything that it delayed. Any answer that is not a whole 200 is an error.
 */

#include <errno.h>
#include <getopt.h>
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

#include "load_request.h"

enum {
    CONNECTIONS_MAX = 4096,
    READY_MAX = 512,
    READ_MAX = 65536,
    LINE_MAX_BYTES = 1024,
    PIDS_MAX = 4,
    DRAIN_NS = 2000000000
};

static const uint64_t second_ns = 1000000000;

/* ---- options ---------------------------------------------------------------- */

static struct {
    load_request_t request;
    unsigned connections;
    double rate;
    double seconds, warm;
    uint64_t requests;
    long pids[PIDS_MAX];
    unsigned npids;
    bool hold;
} option = {.request = {.body = 1024, .key = "none", .model = "bench"},
            .connections = 64,
            .seconds = 1,
            .warm = 0.2};

static void fail(const char *what)
{
    fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void read_options(int argc, char **argv)
{
    static const struct option names[] = {{"port", required_argument, NULL, 'p'},
                                          {"body", required_argument, NULL, 'b'},
                                          {"stream", no_argument, NULL, 's'},
                                          {"messages", no_argument, NULL, 'g'},
                                          {"model", required_argument, NULL, 'm'},
                                          {"pace", required_argument, NULL, 'e'},
                                          {"connections", required_argument, NULL, 'c'},
                                          {"rate", required_argument, NULL, 'r'},
                                          {"seconds", required_argument, NULL, 't'},
                                          {"warm", required_argument, NULL, 'w'},
                                          {"requests", required_argument, NULL, 'n'},
                                          {"pid", required_argument, NULL, 'i'},
                                          {"key", required_argument, NULL, 'k'},
                                          {"hold", no_argument, NULL, 'h'},
                                          {NULL, 0, NULL, 0}};
    int name;

    while ((name = getopt_long(argc, argv, "", names, NULL)) != -1) {
        switch (name) {
        case 'p':
            option.request.port = (uint16_t)strtoul(optarg, NULL, 10);
            break;
        case 'b':
            option.request.body = strtoul(optarg, NULL, 10);
            break;
        case 's':
            option.request.stream = true;
            break;
        case 'g':
            option.request.messages = true;
            break;
        case 'm':
            option.request.model = optarg;
            break;
        case 'e':
            option.request.pace_us = (unsigned)strtoul(optarg, NULL, 10);
            break;
        case 'c':
            option.connections = (unsigned)strtoul(optarg, NULL, 10);
            break;
        case 'r':
            option.rate = strtod(optarg, NULL);
            break;
        case 't':
            option.seconds = strtod(optarg, NULL);
            break;
        case 'w':
            option.warm = strtod(optarg, NULL);
            break;
        case 'n':
            option.requests = strtoull(optarg, NULL, 10);
            break;
        case 'k':
            option.request.key = optarg;
            break;
        case 'h':
            option.hold = true;
            break;
        case 'i':
            if (option.npids < PIDS_MAX) {
                option.pids[option.npids++] = strtol(optarg, NULL, 10);
            }
            break;
        default:
            exit(2);
        }
    }
    if (option.request.port == 0 || option.connections == 0 ||
        option.connections > CONNECTIONS_MAX || option.request.body < 512) {
        fprintf(stderr, "load: --port, 1 to %d --connections, --body of 512 or more\n",
                CONNECTIONS_MAX);
        exit(2);
    }
}

/* ---- samples ------------------------------------------------------------------ */

typedef struct {
    uint64_t *items; /* nanoseconds */
    size_t count, room;
} samples_t;

static samples_t latency, first_token, event_delay;

static void add_sample(samples_t *samples, uint64_t ns)
{
    if (samples->count == samples->room) {
        samples->room = samples->room ? samples->room * 2 : 65536;
        samples->items = realloc(samples->items, samples->room * sizeof(*samples->items));
        if (samples->items == NULL) {
            fail("memory");
        }
    }
    samples->items[samples->count++] = ns;
}

static int compare(const void *left, const void *right)
{
    uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;

    return a < b ? -1 : a > b;
}

static void print_samples(const char *name, samples_t *samples)
{
    static const struct {
        const char *name;
        double part;
    } cuts[] = {{"p50", 0.5}, {"p90", 0.9}, {"p99", 0.99}, {"max", 1}};

    if (samples->count == 0) {
        return;
    }
    qsort(samples->items, samples->count, sizeof(*samples->items), compare);
    for (size_t i = 0; i < sizeof(cuts) / sizeof(cuts[0]); i++) {
        size_t at = (size_t)(cuts[i].part * (double)(samples->count - 1) + 0.5);

        printf(",\"%s_%s_us\":%.2f", name, cuts[i].name, (double)samples->items[at] / 1e3);
    }
}

/* ---- time --------------------------------------------------------------------- */

static uint64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * second_ns + (uint64_t)now.tv_nsec;
}

/* Nanoseconds of a process without threads; 0 if it is gone. */
typedef struct {
    unsigned long long ran, waited; /* on a CPU; ready, but the CPU was taken */
} cpu_t;

static cpu_t cpu_of(long pid)
{
    char path[64];
    cpu_t cpu = {0, 0};
    FILE *file;

    snprintf(path, sizeof(path), "/proc/%ld/schedstat", pid);
    file = fopen(path, "r");
    if (file != NULL) {
        if (fscanf(file, "%llu %llu", &cpu.ran, &cpu.waited) != 2) {
            cpu = (cpu_t){0, 0};
        }
        fclose(file);
    }
    return cpu;
}

static char *request;
static size_t request_len;

/* ---- answers: one reader for each connection -------------------------------------
 *
 *   HEAD -- length --> LENGTH ------- all of it -------------------------------> DONE
 *     \---- chunked --> SIZE -> CHUNK -> CHUNK_END -> SIZE ... TRAILER -- CRLF -->/
 *   any -> BROKEN
 */

typedef enum { HEAD, LENGTH, SIZE, CHUNK, CHUNK_END, TRAILER, DONE, BROKEN } answer_state_t;

typedef struct {
    int fd;
    bool busy, want_write;
    size_t sent;
    uint64_t due_ns;

    answer_state_t state;
    char line[LINE_MAX_BYTES]; /* of the head, of chunk sizes, of events */
    size_t line_len;
    unsigned status;
    uint64_t left;
    bool is_stream, ended, spoken; /* spoken: some of its text is here */
    unsigned events;
} connection_t;

static connection_t connections[CONNECTIONS_MAX];
static unsigned idle[CONNECTIONS_MAX], nidle;
static int poll_fd;

static bool measuring;
static uint64_t completed, errors, events, answer_bytes, held;

/* Appends up to the end of a line. True: the line is whole, without its end. */
static bool take_line(connection_t *c, const char **at, const char *end)
{
    const char *feed = memchr(*at, '\n', (size_t)(end - *at));
    size_t len = (size_t)((feed != NULL ? feed : end) - *at);
    size_t room = sizeof(c->line) - 1 - c->line_len;

    memcpy(c->line + c->line_len, *at, len < room ? len : room);
    c->line_len += len < room ? len : room;
    *at = feed != NULL ? feed + 1 : end;
    if (feed == NULL) {
        return false;
    }
    if (c->line_len > 0 && c->line[c->line_len - 1] == '\r') {
        c->line_len--;
    }
    c->line[c->line_len] = '\0';
    return true;
}

static answer_state_t read_head_line(connection_t *c)
{
    if (c->line_len == 0) {
        if (c->status != 200 || c->is_stream != option.request.stream) {
            return BROKEN;
        }
        return c->left == UINT64_MAX ? SIZE : c->left > 0 ? LENGTH : DONE;
    }
    if (c->status == 0) {
        if (strncmp(c->line, "HTTP/1.1 ", 9) != 0) {
            return BROKEN;
        }
        c->status = (unsigned)strtoul(c->line + 9, NULL, 10);
    } else if (strncasecmp(c->line, "content-length:", 15) == 0) {
        c->left = strtoull(c->line + 15, NULL, 10);
    } else if (strncasecmp(c->line, "transfer-encoding: chunked", 26) == 0) {
        c->left = UINT64_MAX;
    } else if (strncasecmp(c->line, "content-type: text/event-stream", 31) == 0) {
        c->is_stream = true;
    }
    return HEAD;
}

/* The text that an event brings; NULL without one. */
static const char *text_of(const char *data)
{
    const char *name = option.request.messages ? "\"text\":\"" : "\"content\":\"";
    const char *text = strstr(data, name);

    text = text != NULL ? text + strlen(name) : NULL;
    return text != NULL && *text != '"' ? text : NULL;
}

static bool is_end(const char *data)
{
    return option.request.messages ? strncmp(data, "{\"type\":\"message_stop\"", 22) == 0
                                   : strcmp(data, "[DONE]") == 0;
}

static void read_event_line(connection_t *c)
{
    const char *text;
    uint64_t now;

    if (strncmp(c->line, "data: ", 6) != 0) {
        return;
    }
    if (is_end(c->line + 6)) {
        c->ended = true;
        return;
    }
    c->events++;
    if ((c->spoken && option.request.pace_us == 0) || !(measuring || option.hold)) {
        return;
    }
    text = text_of(c->line + 6);
    if (text == NULL) {
        return;
    }
    now = now_ns();
    if (!c->spoken) {
        c->spoken = true;
        held++;
        add_sample(&first_token, now - c->due_ns);
    }
    if (option.request.pace_us > 0) {
        add_sample(&event_delay, now - strtoull(text, NULL, 16));
    }
}

static void read_payload(connection_t *c, const char *at, size_t len)
{
    const char *end = at + len;

    answer_bytes += measuring ? len : 0;
    while (c->is_stream && at < end) {
        if (take_line(c, &at, end)) {
            read_event_line(c);
            c->line_len = 0;
        }
    }
}

/* Digit by digit: c->line may hold the first half of an event from the chunk before. */
static const char *read_size(connection_t *c, const char *at)
{
    char digit = *at;

    if (digit == '\n') {
        c->state = c->left == 0 ? TRAILER : CHUNK;
    } else if (digit >= '0' && digit <= '9') {
        c->left = c->left * 16 + (uint64_t)(digit - '0');
    } else if ((digit | 32) >= 'a' && (digit | 32) <= 'f') {
        c->left = c->left * 16 + (uint64_t)((digit | 32) - 'a' + 10);
    } else if (digit != '\r') {
        c->state = BROKEN;
    }
    return at + 1;
}

static const char *read_part(connection_t *c, const char *at, const char *end)
{
    size_t len = (size_t)(end - at) < c->left ? (size_t)(end - at) : (size_t)c->left;

    read_payload(c, at, len);
    c->left -= len;
    if (c->left == 0) {
        c->state = c->state == CHUNK ? CHUNK_END : DONE;
    }
    return at + len;
}

static void read_answer(connection_t *c, const char *at, const char *end)
{
    while (at < end && c->state < DONE) {
        switch (c->state) {
        case HEAD:
        case TRAILER:
            if (!take_line(c, &at, end)) {
                break;
            }
            if (c->state == HEAD) {
                c->state = read_head_line(c);
                c->left = c->state == SIZE ? 0 : c->left;
            } else if (c->line_len == 0) {
                c->state = DONE;
            }
            c->line_len = 0;
            break;
        case SIZE:
            at = read_size(c, at);
            break;
        case LENGTH:
        case CHUNK:
            at = read_part(c, at, end);
            break;
        case CHUNK_END:
            if (*at++ == '\n') {
                c->state = SIZE;
                c->left = 0;
            }
            break;
        case DONE:
        case BROKEN:
            break;
        }
    }
    if (at < end || (c->state == DONE && c->is_stream && !c->ended)) {
        c->state = BROKEN;
    }
}

/* ---- connections ------------------------------------------------------------------ */

static void watch(connection_t *c, bool want_write, int operation)
{
    struct epoll_event event = {.events = EPOLLIN | (want_write ? EPOLLOUT : 0)};

    event.data.u32 = (uint32_t)(c - connections);
    if (operation == EPOLL_CTL_ADD || c->want_write != want_write) {
        c->want_write = want_write;
        epoll_ctl(poll_fd, operation, c->fd, &event);
    }
}

static void dial(connection_t *c)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons(option.request.port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int on = 1;

    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&address, sizeof(address)) != 0) {
        fail("connect");
    }
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    watch(c, false, EPOLL_CTL_ADD);
}

static void flush(connection_t *c)
{
    while (c->sent < request_len) {
        ssize_t n =
            send(c->fd, request + c->sent, request_len - c->sent, MSG_NOSIGNAL | MSG_DONTWAIT);

        if (n < 0) { /* an error shows up when the answer is read */
            break;
        }
        c->sent += (size_t)n;
    }
    watch(c, c->sent < request_len, EPOLL_CTL_MOD);
}

static void send_request(connection_t *c, uint64_t due_ns)
{
    c->busy = true;
    c->sent = 0;
    c->due_ns = due_ns;
    c->state = HEAD;
    c->line_len = 0;
    c->status = 0;
    c->left = 0;
    c->is_stream = c->ended = c->spoken = false;
    c->events = 0;
    flush(c);
}

/* ---- the schedule ------------------------------------------------------------------ */

static uint64_t start_ns, measure_ns, stop_ns;
static cpu_t cpu_start[PIDS_MAX], cpu_used[PIDS_MAX];
static uint64_t scheduled, issued; /* open loop: requests due so far, sent so far */
static double measured_s;

static uint64_t due_time(uint64_t number)
{
    return start_ns + (uint64_t)((double)number * 1e9 / option.rate);
}

static bool over(uint64_t now)
{
    return option.requests > 0 ? issued >= option.requests : now >= stop_ns;
}

static void finished(connection_t *c)
{
    uint64_t now = now_ns();

    c->busy = false;
    if (measuring && c->state == BROKEN) {
        if (errors++ == 0) {
            fprintf(stderr, "load: status %u, %u events: %.200s\n", c->status, c->events, c->line);
        }
    } else if (measuring) {
        completed++;
        events += c->events;
        add_sample(&latency, now - c->due_ns);
    }
    if (c->state == BROKEN) {
        close(c->fd);
        dial(c);
    }
    if (option.hold) {
        return;
    }
    if (option.rate > 0 && issued < scheduled) {
        send_request(c, due_time(issued++));
    } else if (option.rate > 0) {
        idle[nidle++] = (unsigned)(c - connections);
    } else if (!over(now)) {
        issued++;
        send_request(c, now);
    }
}

static void readable(connection_t *c)
{
    static char bytes[READ_MAX];
    ssize_t n;

    do {
        n = recv(c->fd, bytes, sizeof(bytes), MSG_DONTWAIT);
        if (n < 0 && errno == EAGAIN) {
            return;
        }
        if (n <= 0 || !c->busy) {
            c->state = BROKEN;
            finished(c);
            return;
        }
        read_answer(c, bytes, bytes + n);
        if (c->state >= DONE) {
            finished(c);
            return;
        }
    } while (n == sizeof(bytes));
}

static void issue_due(uint64_t now)
{
    if (option.rate == 0 || now >= stop_ns) {
        return;
    }
    while (due_time(scheduled) <= now) {
        scheduled++;
    }
    while (issued < scheduled && nidle > 0) {
        send_request(&connections[idle[--nidle]], due_time(issued++));
    }
}

static void measure(uint64_t now)
{
    if (!measuring && measured_s == 0 && now >= measure_ns) {
        measuring = true;
        for (unsigned i = 0; i < option.npids; i++) {
            cpu_start[i] = cpu_of(option.pids[i]);
        }
    }
}

static void measured(uint64_t now)
{
    measuring = false;
    measured_s = (double)(now - measure_ns) / 1e9;
    for (unsigned i = 0; i < option.npids; i++) {
        cpu_t cpu = cpu_of(option.pids[i]);

        cpu_used[i].ran = cpu.ran - cpu_start[i].ran;
        cpu_used[i].waited = cpu.waited - cpu_start[i].waited;
    }
}

static void poll_once(uint64_t until_ns)
{
    static struct epoll_event ready[READY_MAX];
    uint64_t now = now_ns();
    uint64_t wait_ns = until_ns > now ? until_ns - now : 0;
    struct timespec timeout = {.tv_sec = (time_t)(wait_ns / second_ns),
                               .tv_nsec = (long)(wait_ns % second_ns)};
    int n = epoll_pwait2(poll_fd, ready, READY_MAX, &timeout, NULL);

    for (int i = 0; i < n; i++) {
        connection_t *c = &connections[ready[i].data.u32];

        if (ready[i].events & EPOLLOUT) {
            flush(c);
        }
        if (ready[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) {
            readable(c);
        }
    }
}

static uint64_t next_stop(void)
{
    uint64_t stop = measuring || measure_ns == start_ns ? stop_ns : measure_ns;

    if (option.rate > 0 && due_time(scheduled) < stop) {
        stop = due_time(scheduled);
    }
    return stop;
}

/* What was due in the measured time is waited for, else the slowest would not count. */
static bool all_answered(void)
{
    for (unsigned i = 0; i < option.connections; i++) {
        if (connections[i].busy) {
            return false;
        }
    }
    return issued == scheduled;
}

static void drain(void)
{
    uint64_t end = now_ns() + DRAIN_NS;

    while (!all_answered() && now_ns() < end) {
        poll_once(end);
    }
    if (!all_answered()) {
        errors++;
        fprintf(stderr, "load: requests without an answer\n");
    }
}

static void run(void)
{
    for (unsigned i = 0; i < option.connections; i++) {
        dial(&connections[i]);
    }
    start_ns = now_ns();
    measure_ns = start_ns + (uint64_t)(option.requests ? 0 : option.warm * 1e9);
    stop_ns = measure_ns + (uint64_t)((option.requests ? 600 : option.seconds) * 1e9);
    measure(start_ns);
    for (unsigned i = 0; i < option.connections; i++) {
        if (option.rate > 0) {
            idle[nidle++] = i;
        } else if (!over(start_ns)) {
            issued++;
            send_request(&connections[i], now_ns());
        }
    }
    for (uint64_t now = now_ns(); now < stop_ns; now = now_ns()) {
        if (option.requests > 0 && completed + errors >= option.requests) {
            break;
        }
        measure(now);
        issue_due(now);
        poll_once(next_stop());
    }
    if (option.rate > 0) {
        drain();
    }
    measured(now_ns());
}

static void hold(void)
{
    for (unsigned i = 0; i < option.connections; i++) {
        dial(&connections[i]);
        send_request(&connections[i], now_ns());
        poll_once(0);
    }
    for (uint64_t end = now_ns() + 20 * second_ns; held < option.connections;) {
        poll_once(end);
        if (now_ns() >= end) {
            fprintf(stderr, "load: only %llu streams began\n", (unsigned long long)held);
            exit(1);
        }
    }
    printf("held\n");
    fflush(stdout);
    while (getchar() != EOF) {
    }
}

static void print_results(void)
{
    double done = completed > 0 ? (double)completed : 1;

    printf("{\"requests\":%llu,\"errors\":%llu,\"seconds\":%.4f,\"rps\":%.1f",
           (unsigned long long)completed, (unsigned long long)errors, measured_s,
           (double)completed / measured_s);
    printf(",\"request_bytes\":%zu,\"answer_bytes\":%.1f,\"events\":%.1f", request_len,
           (double)answer_bytes / done, (double)events / done);
    print_samples("latency", &latency);
    print_samples("first_token", &first_token);
    print_samples("event_delay", &event_delay);
    printf(",\"cpu_us\":[");
    for (unsigned i = 0; i < option.npids; i++) {
        printf("%s%.3f", i ? "," : "", (double)cpu_used[i].ran / 1e3 / done);
    }
    printf("],\"waited\":[");
    for (unsigned i = 0; i < option.npids; i++) {
        printf("%s%.4f", i ? "," : "", (double)cpu_used[i].waited / 1e9 / measured_s);
    }
    printf("]}\n");
}

int main(int argc, char **argv)
{
    read_options(argc, argv);
    prctl(PR_SET_TIMERSLACK, 1UL, 0UL, 0UL, 0UL);
    request = make_request(&option.request, &request_len);
    if (request == NULL) {
        fail("memory");
    }
    poll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (poll_fd < 0) {
        fail("epoll_create1");
    }
    if (option.hold) {
        hold();
        return 0;
    }
    run();
    print_results();
    return errors > 0;
}
