#include "common/scoreboard.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    BOARD_VERSION = 1,
    READS_MAX = 1000, /* tries before a reader takes what there is: a writer needs microseconds */
    READS_HOT = 50,   /* tries before a reader lets the writer run */
};

/* Odd while its section is written. */
struct sequence {
    _Atomic uint32_t count;
};

struct job_row {
    struct sequence sequence;
    struct board_job data;
};

struct layout {
    uint32_t version;
    struct sequence supervisor_sequence;
    struct board_supervisor supervisor;
    struct sequence probe_sequence;
    struct board_probe probe;
    struct sequence worker_sequence;
    struct board_worker worker;
    struct job_row jobs[BOARD_JOBS_MAX];
};

struct scoreboard {
    struct layout *map;
    bool writable;
};

const char *board_role_name(enum board_role role)
{
    switch (role) {
    case ROLE_FOLLOWER:
        return "follower";
    case ROLE_HEIR:
        return "heir";
    case ROLE_LEADER:
        return "leader";
    case ROLE_STANDING_DOWN:
        return "standing-down";
    case ROLE_FENCING:
        return "fencing";
    case ROLE_STOPPED:
        return "stopped";
    }
    return "unknown"; /* a number out of the shared memory */
}

static struct scoreboard *new_board(int fd, int protection)
{
    struct scoreboard *b = calloc(1, sizeof(*b));

    if (b == NULL) {
        return NULL;
    }
    b->map = mmap(NULL, sizeof(struct layout), protection, MAP_SHARED, fd, 0);
    if (b->map == MAP_FAILED) {
        free(b);
        return NULL;
    }
    b->writable = (protection & PROT_WRITE) != 0;
    return b;
}

struct scoreboard *scoreboard_create(int *ret_fd)
{
    struct scoreboard *b = NULL;
    int fd = memfd_create("pgbaton-scoreboard", MFD_CLOEXEC | MFD_ALLOW_SEALING);

    if (fd == -1) {
        return NULL;
    }
    if (ftruncate(fd, sizeof(struct layout)) == -1) {
        goto close_fd;
    }
    b = new_board(fd, PROT_READ | PROT_WRITE);
    if (b == NULL) {
        goto close_fd;
    }
    b->map->version = BOARD_VERSION;
    /* Only now: the mapping above is the last that may write. */
    if (fcntl(fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) ==
        -1) {
        goto free_board;
    }
    *ret_fd = fd;
    return b;

free_board:
    scoreboard_free(b);
close_fd:
    (void)close(fd);
    return NULL;
}

struct scoreboard *scoreboard_open(int fd)
{
    struct stat st;
    int seals = fcntl(fd, F_GET_SEALS);

    if (seals == -1 || fstat(fd, &st) == -1) {
        return NULL;
    }
    /* One that can shrink under its reader would end it with SIGBUS. */
    if ((seals & F_SEAL_SHRINK) == 0 || st.st_size != (off_t)sizeof(struct layout)) {
        errno = EPROTO;
        return NULL;
    }
    struct scoreboard *b = new_board(fd, PROT_READ);

    if (b != NULL && b->map->version != BOARD_VERSION) {
        scoreboard_free(b);
        errno = EPROTO;
        return NULL;
    }
    return b;
}

void scoreboard_free(struct scoreboard *b)
{
    int saved_errno = errno;

    if (b == NULL) {
        return;
    }
    (void)munmap(b->map, sizeof(struct layout));
    free(b);
    errno = saved_errno;
}

static void put(struct scoreboard *b, struct sequence *sequence, void *to, const void *from,
                size_t size)
{
    assert(b->writable);

    /* A writer that died in the middle left it odd; its successor goes on from there. */
    uint32_t odd = atomic_load_explicit(&sequence->count, memory_order_relaxed) | 1;

    atomic_store_explicit(&sequence->count, odd, memory_order_relaxed);
    atomic_thread_fence(memory_order_release); /* no byte is seen before the odd number */
    memcpy(to, from, size);
    atomic_store_explicit(&sequence->count, odd + 1, memory_order_release);
}

static bool get(const struct sequence *sequence, void *to, const void *from, size_t size)
{
    for (unsigned i = 0; i < READS_MAX; i++) {
        uint32_t before = atomic_load_explicit(&sequence->count, memory_order_acquire);

        if ((before & 1) == 0) {
            memcpy(to, from, size);
            atomic_thread_fence(memory_order_acquire); /* no byte is read after the second look */
            if (atomic_load_explicit(&sequence->count, memory_order_relaxed) == before) {
                return true;
            }
        }
        if (i >= READS_HOT) {
            (void)sched_yield();
        }
    }
    memcpy(to, from, size);
    return false;
}

void scoreboard_put_supervisor(struct scoreboard *b, const struct board_supervisor *from)
{
    put(b, &b->map->supervisor_sequence, &b->map->supervisor, from, sizeof(*from));
}

void scoreboard_put_probe(struct scoreboard *b, const struct board_probe *from)
{
    put(b, &b->map->probe_sequence, &b->map->probe, from, sizeof(*from));
}

void scoreboard_put_worker(struct scoreboard *b, const struct board_worker *from)
{
    put(b, &b->map->worker_sequence, &b->map->worker, from, sizeof(*from));
}

void scoreboard_put_job(struct scoreboard *b, unsigned row, const struct board_job *from)
{
    assert(row < BOARD_JOBS_MAX);
    put(b, &b->map->jobs[row].sequence, &b->map->jobs[row].data, from, sizeof(*from));
}

bool scoreboard_get_supervisor(const struct scoreboard *b, struct board_supervisor *ret)
{
    return get(&b->map->supervisor_sequence, ret, &b->map->supervisor, sizeof(*ret));
}

bool scoreboard_get_probe(const struct scoreboard *b, struct board_probe *ret)
{
    return get(&b->map->probe_sequence, ret, &b->map->probe, sizeof(*ret));
}

bool scoreboard_get_worker(const struct scoreboard *b, struct board_worker *ret)
{
    return get(&b->map->worker_sequence, ret, &b->map->worker, sizeof(*ret));
}

bool scoreboard_get_job(const struct scoreboard *b, unsigned row, struct board_job *ret)
{
    assert(row < BOARD_JOBS_MAX);
    return get(&b->map->jobs[row].sequence, ret, &b->map->jobs[row].data, sizeof(*ret));
}
