/*
 * snapshot.h - this process and all below it at one moment, from /proc, and
 * which of them belong to a run.
 *
 * One look serves all runs that are stopped in the same turn: looking costs
 * some file reads for each process below us, and, where the kernel has no lists
 * of children, one for each process of the machine.
 *
 * Runs in: worker. Never waits, never signals, never logs.
 */
#ifndef PGBATON_WORKER_LEADER_SNAPSHOT_H
#define PGBATON_WORKER_LEADER_SNAPSHOT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/process_tree.h"

struct snapshot_process {
    pid_t pid;
    pid_t parent;
    pid_t group;
    bool dead;      /* a zombie: nothing left to stop */
    uint64_t start; /* with the pid, who it is: a pid is used again */
};

struct snapshot {
    struct snapshot_process *list;             /* owned; by pid */
    const struct snapshot_process **by_parent; /* owned */
    const struct snapshot_process **by_group;  /* owned */
    size_t count;
    size_t room;
};

/* snapshot_take - 0 or a negative errno. */
int snapshot_take(struct snapshot *ret_snapshot);
void snapshot_release(struct snapshot *s);

const struct snapshot_process *snapshot_find(const struct snapshot *s, pid_t pid);

/* The living processes of a run. Zero is empty. */
struct family {
    struct snapshot_process *members; /* owned */
    size_t count;
    size_t room;
};
void family_release(struct family *f);

/*
 * family_update - forget the members that are gone; add main, every process of
 * the group, those of inside (its cgroup; may be empty), and every process below
 * a member, as far as they descend from the calling process. main 0: it has been
 * reaped. 0 or -ENOMEM.
 */
int family_update(struct family *f, const struct snapshot *s, pid_t main, pid_t group,
                  const struct pid_set *inside);

#endif
