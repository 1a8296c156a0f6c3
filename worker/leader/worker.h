/*
 * worker.h - the process that holds the lock session and runs the jobs; what
 * there is to know of it from outside. Its main function, worker_main(), is
 * declared in common/child.h. For enum worker_state see turn.h.
 */
#ifndef PGBATON_WORKER_LEADER_WORKER_H
#define PGBATON_WORKER_LEADER_WORKER_H

#include "worker/leader/turn.h"

#endif
