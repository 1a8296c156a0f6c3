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

#endif
