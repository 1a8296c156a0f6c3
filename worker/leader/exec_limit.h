/*
 * exec_limit.h - the time limit of `pgbaton exec`: the job runs in a child of this process, in its
 * group and terminal, and is ended when its time is up: TERM, its grace, KILL, for all below it.
 *
 * Runs in: `pgbaton exec`.
 */
#ifndef PGBATON_WORKER_LEADER_EXEC_LIMIT_H
#define PGBATON_WORKER_LEADER_EXEC_LIMIT_H

#include <stddef.h>

#include "common/config.h"

/*
 * exec_limit - returns 0 where the job is to be run: in the child, or here where it has no timeout.
 * A negative errno, with the reason: no process could be made. The parent never returns: it ends as
 * the child has ended, by its code, or 128 + signal; where its time was up never with 0, but with
 * EXIT_CODE_FAILED.
 */
int exec_limit(const struct config_job *job, char *reterr, size_t size);

#endif
