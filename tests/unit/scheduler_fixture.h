/*
 * scheduler_fixture.h - a scheduler on clocks that stand where they are put, without a process and
 * without a ledger: what it decides is done at once, or as the test says.
 */
#ifndef PGBATON_TESTS_UNIT_SCHEDULER_FIXTURE_H
#define PGBATON_TESTS_UNIT_SCHEDULER_FIXTURE_H

#include "worker/leader/scheduler.h"

struct plan {
    struct scheduler s;
    struct scheduler_job *jobs;
    struct scheduler_job **list;
    struct heap_item **ticks;
    struct heap_item **alarms;
    size_t count;
    struct scheduler_run *runs; /* RUN_OVER: free */
    struct heap_item **starts;
    struct heap_item **run_alarms;
    size_t room;
    wall_ns wall; /* begins half a second after a whole one */
    mono_ns mono;
    bool slow;                       /* the ledger's answers are the test's: grant, settle */
    struct scheduler_run *run;       /* the one that was decided upon last */
    struct scheduler_run *last_made; /* the one that a TICK made last */
};

/* So many jobs, enabled, due every second, with a grace of 5 s. */
struct plan plan_made(size_t jobs);
void plan_release(struct plan *p);

/* The table of jobs is this one; the term begins, and of all jobs it is known that they have no
 * past. */
void plan_replace(struct plan *p);
void plan_begin(struct plan *p);

/* Both clocks go on. */
void plan_pass(struct plan *p, dur_ns length);

/* The next decision, carried out. */
struct scheduler_decision plan_next(struct plan *p);

/* The next decision is this one, about this job. */
struct scheduler_decision plan_expect(struct plan *p, const char *title, size_t job,
                                      enum scheduler_verdict verdict);
void plan_expect_nothing(struct plan *p, const char *title);

/* TICK, and START. Returns the run. */
struct scheduler_run *plan_expect_run(struct plan *p, const char *title, size_t job);

/* A run that comes from elsewhere than a tick, with its row in the ledger. */
struct scheduler_run *plan_add(struct plan *p, size_t job, const struct scheduler_about *about);

/* The process of a run has ended. */
void plan_ended(struct plan *p, struct scheduler_run *run);

/* The run that a job has, its newest; it must have one. */
struct scheduler_run *plan_run_of(struct plan *p, size_t job);

#endif
