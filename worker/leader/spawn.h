/*
 * spawn.h - start the process of one job, cheaply.
 *
 * The child shares the memory of the worker until it executes (CLONE_VM and
 * CLONE_VFORK, on a stack of its own), so that the cost does not grow with the
 * worker, and so that the reason of a failed start is simply left in memory.
 * All that it does are system calls: everything that allocates, locks or looks
 * something up was done before by the caller.
 *
 * Runs in: worker, `pgbaton exec`.
 */
#ifndef PGBATON_WORKER_LEADER_SPAWN_H
#define PGBATON_WORKER_LEADER_SPAWN_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "worker/leader/account.h"

/* What a process may inherit beside 0, 1 and 2: they become 3, 4. */
enum { SPAWN_HANDED_MAX = 2 };

struct spawn {
    const char *program; /* what to execute; NULL: words[0], looked for in PATH of environment */
    char *const *words;  /* its arguments, words[0] included */
    char *const *environment; /* NULL-terminated */
    const char *directory;    /* NULL: stay */
    const struct account *account;
    int umask;                    /* -1: stay */
    int nice;                     /* INT_MIN: stay */
    int output_fd;                /* becomes 1; -1: /dev/null. Stays the caller's */
    int error_fd;                 /* becomes 2; -1: /dev/null. Stays the caller's */
    int handed[SPAWN_HANDED_MAX]; /* each above 4; they stay the caller's */
    unsigned handed_count;
    int cgroup_fd; /* cgroup.procs of the cgroup to enter; -1: none. Stays the caller's */
};

enum spawn_step {
    SPAWN_PREPARE,
    SPAWN_FORK,
    SPAWN_GROUP,
    SPAWN_NICE,
    SPAWN_INPUT,
    SPAWN_OUTPUT,
    SPAWN_USER,
    SPAWN_DEATH_SIGNAL,
    SPAWN_DIRECTORY,
    SPAWN_DESCRIPTORS,
    SPAWN_EXECUTE,
};

struct spawn_failure {
    enum spawn_step step;
    int error; /* errno */
};

/*
 * spawn_start - start it: in a process group of its own, standard input from
 * /dev/null, no other descriptor, default signal dispositions, an empty mask,
 * to be killed by the kernel when the worker dies.
 *
 * Returns 0 and the pid, or a negative errno with the step that failed (then
 * there is no process, and nothing to wait for).
 */
int spawn_start(const struct spawn *what, pid_t *ret_pid, struct spawn_failure *reterr);

/*
 * spawn_here - become it: in this process, in this terminal, with its standard
 * input and outputs and in its group. Returns only on failure.
 */
int spawn_here(const struct spawn *what, struct spawn_failure *reterr);

/* spawn_explain - "cannot change to directory '/x': No such file or directory". */
void spawn_explain(const struct spawn *what, const struct spawn_failure *failure, char *ret_text,
                   size_t size);

#endif
