/*
 * A wall clock that a test can set, for a server or an instance that it starts: preloaded, it adds
 * the nanoseconds that stand in the file $PGBATON_TEST_CLOCK to what the kernel says, or stands
 * still in one of the processes. The clocks that nobody can set stay as they are.
 */
#include "clock.h"

#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define SECOND INT64_C(1000000000)

/* Shared with the test, and inherited by every process that is forked. */
static const volatile struct shared_clock *shared;

__attribute__((constructor)) static void find_clock(void)
{
    const char *path = getenv("PGBATON_TEST_CLOCK");
    int fd = path == NULL ? -1 : open(path, O_RDONLY | O_CLOEXEC);

    if (fd >= 0) {
        void *view = mmap(NULL, sizeof *shared, PROT_READ, MAP_SHARED, fd, 0);
        shared = view == MAP_FAILED ? NULL : view;
        (void)close(fd);
    }
}

/* Not through the C library: there its own names are ours. */
static int64_t wall_now(void)
{
    struct timespec now = {.tv_sec = 0};

    if (shared != NULL && shared->stopped_pid == getpid()) {
        return shared->stopped_at;
    }
    (void)syscall(SYS_clock_gettime, CLOCK_REALTIME, &now);
    return now.tv_sec * SECOND + now.tv_nsec + (shared == NULL ? 0 : shared->offset);
}

int clock_gettime(clockid_t id, struct timespec *ret)
{
    if (id != CLOCK_REALTIME && id != CLOCK_REALTIME_COARSE) {
        return (int)syscall(SYS_clock_gettime, id, ret);
    }
    int64_t now = wall_now();
    *ret = (struct timespec){.tv_sec = now / SECOND, .tv_nsec = now % SECOND};
    return 0;
}

int gettimeofday(struct timeval *restrict ret, void *restrict zone)
{
    int64_t now = wall_now();

    (void)zone;
    *ret = (struct timeval){.tv_sec = now / SECOND, .tv_usec = now % SECOND / 1000};
    return 0;
}

time_t time(time_t *ret)
{
    time_t now = wall_now() / SECOND;

    if (ret != NULL) {
        *ret = now;
    }
    return now;
}
