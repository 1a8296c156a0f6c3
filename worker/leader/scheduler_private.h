/*
 * scheduler_private.h - PURE: what the files of the scheduler share.
 *
 * Runs in: worker.
 */
#ifndef PGBATON_WORKER_LEADER_SCHEDULER_PRIVATE_H
#define PGBATON_WORKER_LEADER_SCHEDULER_PRIVATE_H

#include "worker/leader/scheduler.h"

static inline mono_ns scheduler_earlier(mono_ns a, mono_ns b)
{
    return a < b ? a : b;
}

static inline mono_ns scheduler_later(mono_ns a, mono_ns b)
{
    return a > b ? a : b;
}

static inline mono_ns scheduler_after(mono_ns moment, dur_ns length)
{
    return moment > MONO_NEVER - length ? MONO_NEVER : moment + length;
}

static inline bool scheduler_has_process(const struct scheduler_run *run)
{
    return run->stage == RUN_GOING || run->stage == RUN_STOPPING || run->stage == RUN_KILLING;
}

/* scheduler.c */
mono_ns scheduler_kill_limit(const struct scheduler *s); /* the last moment at which a run may be
                                                             killed so that it is dead in time */
mono_ns scheduler_release_limit(const struct scheduler *s, dur_ns grace, mono_ns mono);
bool scheduler_is_paused(const struct scheduler *s, const struct scheduler_job *job);
void scheduler_set_job_alarm(struct scheduler *s, struct scheduler_job *job, mono_ns at);
/* scheduler_serve - start the service at that moment, unless it is none, or has a run already. */
void scheduler_serve(struct scheduler *s, struct scheduler_job *job, mono_ns at);

/* scheduler_ticks.c */
void scheduler_follow(struct scheduler *s, struct scheduler_job *job, wall_ns wall);
void scheduler_forget_gap(struct scheduler *s, struct scheduler_job *job);
bool scheduler_tick_due(struct scheduler *s, wall_ns wall, mono_ns mono,
                        struct scheduler_decision *out);
bool scheduler_gap_step(struct scheduler *s, struct scheduler_decision *out);

/* scheduler_runs.c */
void scheduler_stop_at(struct scheduler *s, struct scheduler_run *run, mono_ns at);
struct scheduler_decision scheduler_ring(struct scheduler *s, struct scheduler_run *run,
                                         mono_ns mono);
struct scheduler_decision scheduler_come_to(struct scheduler *s, struct scheduler_run *run,
                                            mono_ns mono);
bool scheduler_look_at_waiting(struct scheduler *s, struct scheduler_decision *out);

#endif
