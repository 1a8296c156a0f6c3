#include "supervisor/children.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/log.h"
#include "supervisor/privileges.h"

/* What has SIGKILL should be gone at once; if it is not, it gets it again this often. */
#define KILL_AGAIN DUR_S(1)

/* clang-format off */
static const struct child_spec specs[CHILD_SLOT_COUNT] = {
    /*               name       sender        stall      exec */
    [SLOT_PROBE]   = {"probe",   FROM_PROBE,   DUR_S(60), false},
    [SLOT_WORKER]  = {"worker",  FROM_WORKER,  DUR_S(10), false},
    [SLOT_MONITOR] = {"monitor", FROM_MONITOR, DUR_S(10), true},
    [SLOT_KEEPER]  = {"keeper",  FROM_KEEPER,  0,         false},
};
/* clang-format on */

static child_main *const *wired;

void children_wire(child_main *const mains[CHILD_SLOT_COUNT])
{
    wired = mains;
}

void children_init(struct child_row rows[CHILD_SLOT_COUNT])
{
    for (int slot = 0; slot < CHILD_SLOT_COUNT; slot++) {
        rows[slot] = (struct child_row){
            .spec = &specs[slot],
            .slot = (enum child_slot)slot,
            .state = CHILD_DOWN,
            .deadline = MONO_NEVER,
            .channel = {.fd = -1},
        };
        restart_init(&rows[slot].restart);
    }
}

/* What crosses an exec must say so; all other descriptors of the supervisor close by themselves. */
static void keep_across_exec(int fd)
{
    if (fcntl(fd, F_SETFD, 0) == -1) {
        _exit(CHILD_EXIT_FAILED);
    }
}

static _Noreturn void exec_monitor(const struct channel *theirs, const struct child_launch *launch,
                                   pid_t supervisor)
{
    char program[] = "pgbaton";
    char role[] = "--monitor";
    char numbers[6][24];
    const int fds[] = {theirs->fd, launch->board_fd, launch->listen_fd, log_fd_get()};
    char *argv[] = {program,    role,       numbers[0], numbers[1], numbers[2],
                    numbers[3], numbers[4], numbers[5], NULL};
    char *environment[] = {NULL}; /* the daemon's has secrets in it */

    for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++) {
        keep_across_exec(fds[i]);
    }
    (void)snprintf(numbers[0], sizeof(numbers[0]), "%d", theirs->fd);
    (void)snprintf(numbers[1], sizeof(numbers[1]), "%d", launch->board_fd);
    (void)snprintf(numbers[2], sizeof(numbers[2]), "%d", launch->listen_fd);
    (void)snprintf(numbers[3], sizeof(numbers[3]), "%d", (int)supervisor);
    (void)snprintf(numbers[4], sizeof(numbers[4]), "%" PRIu64, theirs->generation);
    (void)snprintf(numbers[5], sizeof(numbers[5]), "%d", log_fd_get());
    (void)fexecve(launch->program_fd, argv, environment);
    log_error("exec_failed", "child=monitor error=%s", log_text(strerror(errno)).is);
    _exit(CHILD_EXIT_FAILED);
}

static _Noreturn void be_child(const struct child_row *row, const struct channel *theirs,
                               const struct child_launch *launch, pid_t supervisor)
{
    struct child c = {
        .name = row->spec->name,
        .up = *theirs,
        .supervisor = supervisor,
        .board = launch->board,
        .signal_fd = -1,
        .seed = launch->seed,
    };

    /* A group of its own: what is typed at a terminal is for the supervisor alone. */
    (void)setpgid(0, 0);
    if (privileges_of_child(row->slot) < 0) {
        child_die(&c, CHILD_EXIT_FAILED, "cannot drop privileges: %s", strerror(errno));
    }
    if (row->spec->exec) {
        exec_monitor(theirs, launch, supervisor);
    }
    if (row->slot == SLOT_KEEPER) {
        c.board = NULL;
        c.argc = launch->service_argc;
        c.argv = launch->service_argv;
    }
    _exit(wired[row->slot](&c));
}

int child_start(struct child_row *row, const struct child_launch *launch, mono_ns now)
{
    struct channel ours;
    struct channel theirs;
    pid_t supervisor = getpid();

    assert(row->state == CHILD_DOWN);
    assert(row->pid == 0);
    assert(row->channel.fd == -1);
    assert(wired != NULL);

    int rc = channel_pair(row->generation + 1, FROM_SUPERVISOR, row->spec->sender, &ours, &theirs);

    if (rc < 0) {
        return rc;
    }
    (void)fflush(NULL); /* or the child prints our buffers a second time */
    pid_t pid = fork();
    if (pid == -1) {
        rc = -errno;
        goto close_both;
    }
    if (pid == 0) {
        be_child(row, &theirs, launch, supervisor);
    }

    channel_close(&theirs); /* or we would never read its end of file */
    row->restarts += row->generation > 0;
    row->generation++;
    row->state = CHILD_STARTING;
    row->waits_for_reload = false;
    row->deadline = now + HELLO_LIMIT;
    row->pid = pid;
    row->started_at = now;
    row->started_wall = clock_wall();
    row->channel = ours;
    row->came_up = false;
    row->last_words[0] = '\0';
    row->verdict[0] = '\0';
    return 0;

close_both:
    channel_close(&ours);
    channel_close(&theirs);
    return rc;
}

void child_ready(struct child_row *row, mono_ns now)
{
    assert(row->state == CHILD_STARTING);
    row->state = CHILD_READY;
    row->came_up = true;
    child_heard(row, now);
}

void child_heard(struct child_row *row, mono_ns now)
{
    if (row->state == CHILD_READY) {
        row->deadline = row->spec->stall == 0 ? MONO_NEVER : now + row->spec->stall;
    }
}

void child_end(struct child_row *row, mono_ns by)
{
    if (row->state == CHILD_DOWN) {
        return;
    }
    if (row->state != CHILD_ENDING || by < row->deadline) {
        row->deadline = by;
    }
    row->state = CHILD_ENDING;
}

void child_kill(struct child_row *row, mono_ns now, const char *why)
{
    if (row->state == CHILD_DOWN) {
        return;
    }
    if (row->verdict[0] == '\0') {
        (void)snprintf(row->verdict, sizeof(row->verdict), "%s", why);
    }
    row->state = CHILD_ENDING;
    row->deadline = now + KILL_AGAIN;
    child_signal(row, SIGKILL);
}

void child_signal(const struct child_row *row, int signal_number)
{
    if (row->state != CHILD_DOWN) {
        assert(row->pid > 0);                /* kill(0, ...) would be our own group */
        (void)kill(row->pid, signal_number); /* not reaped yet, so the pid is still its own */
    }
}

struct child_death child_ended(struct child_row *row, int wait_status, mono_ns now,
                               struct prng *random)
{
    assert(row->state != CHILD_DOWN);

    struct child_death death = {
        .pid = row->pid,
        .generation = row->generation,
        .lived = now - row->started_at,
        .code = WIFEXITED(wait_status) ? WEXITSTATUS(wait_status) : -1,
        .signal = WIFSIGNALED(wait_status) ? WTERMSIG(wait_status) : 0,
        .came_up = row->came_up,
    };

    channel_close(&row->channel);
    row->pid = 0;
    row->state = CHILD_DOWN;
    row->deadline = MONO_NEVER;
    death.verdict =
        restart_decide(&row->restart, wait_status, death.lived, now, random, &row->deadline);
    row->waits_for_reload = death.verdict == RESTART_ON_RELOAD;
    if (!row->wanted) {
        row->deadline = MONO_NEVER;
    }
    return death;
}

struct child_row *child_by_pid(struct child_row rows[CHILD_SLOT_COUNT], pid_t pid)
{
    for (int slot = 0; slot < CHILD_SLOT_COUNT; slot++) {
        if (rows[slot].pid == pid && rows[slot].state != CHILD_DOWN) {
            return &rows[slot];
        }
    }
    return NULL;
}

unsigned children_alive(const struct child_row rows[CHILD_SLOT_COUNT])
{
    unsigned alive = 0;

    for (int slot = 0; slot < CHILD_SLOT_COUNT; slot++) {
        alive += rows[slot].state != CHILD_DOWN;
    }
    return alive;
}

int children_keep(const struct child_row rows[CHILD_SLOT_COUNT], struct pid_set *ret_keep)
{
    for (int slot = 0; slot < CHILD_SLOT_COUNT; slot++) {
        if (rows[slot].pid > 0 && pid_set_add(ret_keep, rows[slot].pid) < 0) {
            return -ENOMEM;
        }
    }
    return 0;
}
