/*
 * follow_up.h - PURE: what follows from the end of a run: which outcome it has,
 * whether it is tried again and when, and whether it counts as the job's end.
 *
 * Runs in: worker.
 */
#ifndef PGBATON_WORKER_LEADER_FOLLOW_UP_H
#define PGBATON_WORKER_LEADER_FOLLOW_UP_H

#include <stdbool.h>

#include "common/outcome.h"
#include "common/random.h"
#include "worker/leader/scheduler.h"

/* A delay between two attempts is doubled up to this. */
#define FOLLOW_UP_DELAY_MOST DUR_S(24 * 3600)
/* How far a delay varies: what fails together is not tried again together. */
enum { FOLLOW_UP_JITTER = 20 };

struct follow_up {
    enum outcome outcome;
    bool is_last; /* no other attempt follows: children and hooks have their turn */
    bool retries; /* after delay */
    bool reruns;  /* as soon as there is a leader */
    dur_ns delay;
};

/* What its exit code says. A program that was told to stop and exits with 0 has perhaps only
 * obeyed; an SQL job does so where all of it was committed before. */
enum run_end { RUN_END_FAILED, RUN_END_SUCCEEDED, RUN_END_COMMITTED };

/* follow_up_outcome - why: what it was told to stop for, if it was. */
enum outcome follow_up_outcome(enum stop_reason why, enum run_end end, enum run_origin origin);

/* follow_up_is_of_term - @elected and @released belong to their term: nobody starts them, or tries
 * them again, for an older one. What somebody asked for does not. */
bool follow_up_is_of_term(enum schedule_kind kind, enum run_origin origin);

/* follow_up_decide - attempt: of the run that has ended, from 1. A service has no follow-up. */
struct follow_up follow_up_decide(const struct scheduler_policy *policy, enum outcome outcome,
                                  unsigned attempt, enum run_origin origin, struct prng *random);

#endif
