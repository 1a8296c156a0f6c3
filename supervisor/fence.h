/*
 * fence.h - kill what a dead worker left, until nothing of it is left.
 *
 * The supervisor is a child subreaper: orphans of the worker come to it, even
 * those that called setsid(). What is in the child table, and below it, is
 * never touched (CMD of the keeper among it). One pass kills what it finds; what
 * forked in the meantime is met by the next one. The end is a pass that finds
 * nothing in /proc while the kernel's list of our children has nothing else either.
 *
 * Runs in: supervisor. Never waits.
 */
#ifndef PGBATON_SUPERVISOR_FENCE_H
#define PGBATON_SUPERVISOR_FENCE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/clock.h"
#include "common/process_tree.h"

struct fence {
    bool active;
    mono_ns began_at;
    mono_ns next_at; /* of the next pass; MONO_NEVER: none */
    dur_ns pause;    /* between two passes */
    uint64_t reaped; /* strangers that were reaped, at the last pass */
    unsigned seen;   /* that were alive in the last pass */
    unsigned refused;
    pid_t example;
    mono_ns complain_at; /* next line about those that refuse */
};

void fence_init(struct fence *f);

/* fence_begin - from now on. One that is under way starts over. */
void fence_begin(struct fence *f, mono_ns now);

/*
 * fence_pass - one pass over what is not in keep; call after waitpid() had
 * nothing more. strangers_reaped counts all processes outside the table that it
 * ever returned. Returns true when nothing is left: the fence is then not active
 * any more.
 */
bool fence_pass(struct fence *f, const struct pid_set *keep, uint64_t strangers_reaped,
                mono_ns now);

/*
 * fence_kill_below - SIGKILL to all that is below a worker which was sent one
 * itself. One that is in the kernel's hands (state D) does not die of it before
 * the kernel lets go, and its jobs must not run on for as long: the lease is over.
 */
void fence_kill_below(pid_t worker);

/* fence_unkillable - how many refuse to die, once they had the time for it. */
unsigned fence_unkillable(const struct fence *f, mono_ns now);

#endif
