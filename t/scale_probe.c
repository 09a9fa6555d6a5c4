/*
 * How long a worker's event loop is at work between two waits, in processor time,
 * which other processes of the machine do not lengthen. Loaded into nginx before
 * libc by t/lib/Relay/Steps.pm, which reads and clears the file of RELAY_PROBE_FILE.
 */

#include <dlfcn.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum { SLOTS = 64 };

typedef struct {
    uint64_t pid, steps, over_1_ms, over_2_ms, most_ns;
} slot_t;

typedef struct {
    atomic_ullong used;
    slot_t slots[SLOTS];
} table_t;

static table_t *table;

__attribute__((constructor)) static void map_file(void)
{
    const char *path = getenv("RELAY_PROBE_FILE");
    int file = path == NULL ? -1 : open(path, O_RDWR | O_CLOEXEC);

    if (file < 0)
        return;
    table = mmap(NULL, sizeof(*table), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    close(file);
    if (table == MAP_FAILED)
        table = NULL;
}

static uint64_t work_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void count(slot_t *slot, uint64_t ns)
{
    slot->steps++;
    slot->over_1_ms += ns > 1000000;
    slot->over_2_ms += ns > 2000000;
    if (ns > slot->most_ns)
        slot->most_ns = ns;
}

int epoll_wait(int epoll, struct epoll_event *events, int max_events, int timeout_ms)
{
    static int (*libc_epoll_wait)(int, struct epoll_event *, int, int);
    static slot_t *slot;
    static uint64_t woken_ns;

    if (libc_epoll_wait == NULL)
        *(void **)&libc_epoll_wait = dlsym(RTLD_NEXT, "epoll_wait");
    if (table != NULL && slot == NULL) {
        slot = &table->slots[atomic_fetch_add(&table->used, 1) % SLOTS];
        slot->pid = (uint64_t)getpid();
    } else if (slot != NULL) {
        count(slot, work_ns() - woken_ns);
    }

    int ready = libc_epoll_wait(epoll, events, max_events, timeout_ms);
    woken_ns = work_ns();
    return ready;
}
