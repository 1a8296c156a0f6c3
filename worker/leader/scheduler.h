/*
 * scheduler.h - PURE: which job starts, is skipped, or is told to stop, and when.
 *
 * No clock, no process, no log, no allocation: the time comes in, one decision
 * at a time goes out, and the shell (worker/leader/jobs.c) says what became of
 * it. Ticks follow the wall clock; restarts, timeouts and graces follow
 * CLOCK_BOOTTIME. A job has at most one run (overlap = skip).
 *
 * Each decision costs O(log n) of the number of jobs.
 *
 * Runs in: worker.
 */
#ifndef PGBATON_WORKER_LEADER_SCHEDULER_H
#define PGBATON_WORKER_LEADER_SCHEDULER_H

#include <stdbool.h>

#include "common/backoff.h"
#include "common/clock.h"
#include "common/random.h"
#include "common/schedule.h"
#include "worker/leader/heap.h"

/* A service that ran for this long was well: its next end is a first one. */
#define SCHEDULER_HEALTHY_AFTER DUR_S(60)
#define SCHEDULER_RESTART_LEAST DUR_MS(100)
#define SCHEDULER_RESTART_MOST DUR_S(30)
/* How long before the end of a drain everything is killed: the time that killing may take. */
#define SCHEDULER_KILL_MARGIN DUR_MS(250)
/* A run that was sent SIGKILL and is still there is sent it again after this, doubling to the
 * other. */
#define SCHEDULER_KILL_AGAIN DUR_MS(50)
#define SCHEDULER_KILL_AGAIN_MOST DUR_S(1)

/*
 * RESTING: no term. Nothing starts; nothing may still run.
 * LEADING: the term is open. Ticks, services and @elected start.
 * DRAINING: nothing starts. Services were told to stop at once, since they
 *   would never end; other runs may go on until drain_until.
 * RELEASING: the last run has ended; the @released jobs run.
 * ENDING: leadership is gone or in doubt: every run was told to stop.
 */
enum scheduler_phase {
    SCHEDULER_RESTING,
    SCHEDULER_LEADING,
    SCHEDULER_DRAINING,
    SCHEDULER_RELEASING,
    SCHEDULER_ENDING,
};

/*
 * ABSENT: no process. GOING: it runs, and was not told to stop. STOPPING: it
 * was sent SIGTERM; whether it took notice is not known. KILLING: it was sent
 * SIGKILL and has not been seen to be gone.
 */
enum run_stage { RUN_ABSENT, RUN_GOING, RUN_STOPPING, RUN_KILLING };

enum stop_reason {
    STOP_NOT,
    STOP_TIMEOUT, /* it ran for longer than its timeout */
    STOP_DRAIN,   /* leadership is given up */
    STOP_LOST,    /* leadership is lost */
    STOP_CHANGED, /* a service whose definition changed: started again as soon as it ended */
    STOP_REMOVED, /* the job is no longer configured */
};
const char *stop_reason_name(enum stop_reason why);

/* What the scheduler knows of a job. Lives in the shell's struct; owner points there. */
struct scheduler_job {
    struct heap_item tick;  /* by the wall clock: the next instant of the schedule */
    struct heap_item alarm; /* by CLOCK_BOOTTIME: start, SIGTERM or SIGKILL, by stage */
    void *owner;

    struct schedule schedule;
    bool enabled;   /* false: starts no more */
    dur_ns timeout; /* 0: none */
    dur_ns grace;

    /* The run; timeout and grace as they were when it started. */
    enum run_stage stage;
    enum stop_reason why;
    bool is_service;
    mono_ns started_at;
    dur_ns run_grace;
    dur_ns kill_wait; /* until the next SIGKILL */
    unsigned kills;   /* how often it was sent SIGKILL */
    mono_ns timeout_at;

    wall_ns last_tick; /* the latest instant that was decided; 0: none yet */
    struct backoff restart;
};

struct scheduler {
    enum scheduler_phase phase;
    struct scheduler_job **jobs; /* the caller's, in the order of the file */
    size_t count;
    struct heap ticks;
    struct heap alarms;
    unsigned running; /* jobs whose stage is not RUN_ABSENT */
    mono_ns drain_until;
    mono_ns over_by;
    struct prng random;
};

enum scheduler_verdict {
    SCHEDULER_NOTHING,
    SCHEDULER_START, /* start it now, then say scheduler_started() or scheduler_ended() */
    SCHEDULER_SKIP, /* its last run still runs (a @released job: no time is left); it is not made up
                       for */
    SCHEDULER_TERM, /* SIGTERM to all of the run */
    SCHEDULER_KILL, /* SIGKILL to what is left of the run */
};

struct scheduler_decision {
    enum scheduler_verdict verdict;
    struct scheduler_job *job;
    wall_ns scheduled_at; /* START, SKIP: the instant of the tick, or the present one */
    uint64_t passed_over; /* START, SKIP: earlier ticks that the clock ran past */
};

void scheduler_init(struct scheduler *s, uint64_t seed);

/* scheduler_job_init - a job without a run. The struct must not move afterwards. */
void scheduler_job_init(struct scheduler_job *job, void *owner);

/*
 * scheduler_replace - these are the jobs now, in this order; all memory is the
 * caller's and stays in use until the next call. ticks and alarms have room for
 * count items each. Jobs that were there before keep their place in time; a
 * running job may only be left out once it has ended (keep it, disabled).
 */
void scheduler_replace(struct scheduler *s, struct scheduler_job **jobs, size_t count,
                       struct heap_item **ticks, struct heap_item **alarms);

/*
 * scheduler_define - the job's definition, after scheduler_replace(). changed
 * says that it is another one than before: a schedule starts anew (without a
 * past), a running service is stopped and started again. A disabled job's run
 * is stopped.
 */
void scheduler_define(struct scheduler *s, struct scheduler_job *job, bool changed, wall_ns wall,
                      mono_ns mono);

/* scheduler_begin - LEADING: @elected first, then the services, then the ticks after this instant.
 */
void scheduler_begin(struct scheduler *s, wall_ns wall, mono_ns mono);

/* scheduler_clock_set - the wall clock was stepped: look at the next ticks anew. Never repeats one.
 */
void scheduler_clock_set(struct scheduler *s, wall_ns wall);

/* The ways out; each only goes forward (a drain after an end is ignored). */
void scheduler_drain(struct scheduler *s, mono_ns mono, mono_ns drain_until, mono_ns over_by);
void scheduler_end(struct scheduler *s, mono_ns mono);

/* scheduler_kill - everything is being killed at once, by other means: expect only the ends of
 * runs. */
void scheduler_kill(struct scheduler *s);

/* scheduler_rest - RESTING; asserts that nothing runs. */
void scheduler_rest(struct scheduler *s);

/* scheduler_next - one decision; call again until it is SCHEDULER_NOTHING. */
struct scheduler_decision scheduler_next(struct scheduler *s, wall_ns wall, mono_ns mono);

/* scheduler_started, scheduler_ended - what became of a START; of a run. A start that failed has
 * only ended. */
void scheduler_started(struct scheduler *s, struct scheduler_job *job, mono_ns mono);
void scheduler_ended(struct scheduler *s, struct scheduler_job *job, mono_ns mono);

/* scheduler_left - the process of a run has ended by itself, others of it go on and were sent
 * SIGTERM: they are killed after its grace. */
void scheduler_left(struct scheduler *s, struct scheduler_job *job, mono_ns mono);

/* scheduler_is_over - a drain or an end has come to its end: no run, and none to come. */
bool scheduler_is_over(const struct scheduler *s);

/* When to ask again, if nothing else happens. */
wall_ns scheduler_wake_wall(const struct scheduler *s);
mono_ns scheduler_wake_mono(const struct scheduler *s);

#endif
