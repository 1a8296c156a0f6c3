/*
 * election_fencing.h - PURE: the way from a worker that must die, or is dead,
 * to the moment at which somebody else may lead.
 *
 * Kill it, reap it, kill what it left, let the probe record that the term is
 * fenced, close the duplicate of the lock socket: in this order. Recorded is
 * only what is true: a term whose descendants refuse to die was not fenced.
 *
 * Runs in: supervisor.
 */
#ifndef PGBATON_SUPERVISOR_ELECTION_FENCING_H
#define PGBATON_SUPERVISOR_ELECTION_FENCING_H

#include "supervisor/election.h"

/*
 * A worker dies of SIGKILL at once, and what it had comes to us. One that has not by
 * then is in the kernel's hands, and its jobs are killed below it. Not before: to look
 * for them costs a read of /proc for each dead child that a hanging worker did not reap,
 * thousands where a job forks without a pause, and the lease is over meanwhile.
 */
#define ELECTION_KILL_BELOW_AFTER DUR_MS(100)

/* election_fencing_kill - the worker lives, and must not. */
void election_fencing_kill(struct election *e, enum end_reason reason,
                           struct election_actions *out);

/* election_fencing_of_dead - the worker was reaped. */
void election_fencing_of_dead(struct election *e, enum end_reason reason,
                              struct election_actions *out);

/* election_fencing_step - an event in the state FENCING. */
void election_fencing_step(struct election *e, const struct election_event *event,
                           struct election_actions *out);

#endif
