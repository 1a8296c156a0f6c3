/*
 * service.h - CMD of `pgbaton run -- CMD`: becoming it.
 *
 * Runs in: keeper.
 */
#ifndef PGBATON_WORKER_KEEPER_SERVICE_H
#define PGBATON_WORKER_KEEPER_SERVICE_H

#include <sys/types.h>

/* What a shell says when a command is not there, or cannot be run. */
enum { SERVICE_NOT_FOUND = 127, SERVICE_NOT_RUNNABLE = 126 };

/*
 * service_start - start argv in a process group of its own, with the keeper's
 * stdin, stdout and stderr, default signal dispositions, an empty mask, and the
 * environment less PGBATON_DATABASE_*. A command that cannot be run is a line
 * in the log and an exit with 127 or 126. Its pid, or a negative errno.
 */
pid_t service_start(char **argv);

/* service_code - what the instance exits with, from waitpid()'s status. */
int service_code(int wait_status);

#endif
