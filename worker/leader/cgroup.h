/*
 * cgroup.h - a cgroup (version 2) for each run, where one was delegated to us.
 *
 * cgroup.kill ends everything in it, whatever it forks. Used only in a cgroup
 * that is ours to divide: not the root of the machine; owned by our own user,
 * or marked as delegated by the service manager, or the root of a container's
 * own namespace. Never required: everything works without.
 *
 * Runs in: worker. Never logs.
 */
#ifndef PGBATON_WORKER_LEADER_CGROUP_H
#define PGBATON_WORKER_LEADER_CGROUP_H

#include <stdbool.h>
#include <stdint.h>

#include "common/process_tree.h"

struct cgroup {
    char path[512]; /* of our own cgroup; "": none is delegated */
};

/* cgroup_find - look for a delegated one and remove what dead workers left empty in it. */
void cgroup_find(struct cgroup *ret_cgroup);

/* cgroup_use - take this directory (of a cgroup2 file system) as the delegated one. */
void cgroup_use(struct cgroup *ret_cgroup, const char *path);

bool cgroup_is_delegated(const struct cgroup *c);

/*
 * cgroup_make - the cgroup of a run. Returns a descriptor of its cgroup.procs,
 * close-on-exec and the caller's, or a negative errno (-ENOTSUP: none is delegated).
 */
int cgroup_make(const struct cgroup *c, uint64_t run);

/* cgroup_kill - SIGKILL to everything in it. 0 or a negative errno. */
int cgroup_kill(const struct cgroup *c, uint64_t run);

/* cgroup_kill_all - SIGKILL to everything in every cgroup that this process made. */
void cgroup_kill_all(const struct cgroup *c);

/* cgroup_processes - add to *set what is in it. 0 or a negative errno. */
int cgroup_processes(const struct cgroup *c, uint64_t run, struct pid_set *set);

/* cgroup_remove - 0; -EBUSY while something lives in it; -ENOENT. */
int cgroup_remove(const struct cgroup *c, uint64_t run);

/* cgroup_sweep - remove every empty cgroup that this process, or one that is dead, made here. */
void cgroup_sweep(const struct cgroup *c);

#endif
