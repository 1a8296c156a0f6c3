/*
 * offspring.h - is any child of this process left?
 *
 * The exact answer, unlike a look through /proc, in which a process that forks
 * and ends as fast as it can is missed: a child, once it is ours, stays ours
 * until we take it away by waitpid(2), and a subreaper has at least one child as
 * long as any descendant lives.
 *
 * Runs in: worker and supervisor, which are child subreapers. Never waits, never logs.
 */
#ifndef PGBATON_COMMON_OFFSPRING_H
#define PGBATON_COMMON_OFFSPRING_H

#include "common/process_tree.h"

/*
 * offspring_left - call after waitpid() had nothing more. Returns 1 (a child that
 * is not in keep is left, alive or dead), 0 (none, so no descendant either, but
 * those of keep), or a negative errno (the kernel does not tell).
 */
int offspring_left(const struct pid_set *keep);

/* offspring_is_listed - does this kernel list the children of a process? */
bool offspring_is_listed(void);

/*
 * offspring_of - adds the children of that process, of all its threads, alive
 * and dead. Of this process the list is complete, because nobody else takes a
 * child out of it. Of another one that takes a dead child away meanwhile one
 * may be missed, so it is read twice. 0, -ESRCH (gone), other negative errno.
 */
int offspring_of(pid_t parent, struct pid_set *ret_children);

#endif
