/*
 * scheduler.h - PURE: which ticks are claimed, which runs start, wait, are
 * skipped, or are told to stop, and when.
 *
 * No clock, no process, no log, no allocation: the time comes in, one decision
 * at a time goes out, and the shell (worker/leader/jobs.c) says what became of
 * it. Ticks follow the wall clock; restarts, timeouts and graces follow
 * CLOCK_BOOTTIME.
 *
 * A tick becomes a run when the scheduler says TICK: the shell makes one, claims
 * it in the ledger ahead of its instant, and says what the ledger answered. At
 * its instant the policies decide: START, WAIT, or DROP.
 *
 * Each decision costs O(log n) of the number of jobs and runs, but for one that
 * looks through the runs that wait.
 *
 * Runs in: worker. scheduler.c has the phases and the jobs, scheduler_ticks.c
 * what is due, scheduler_runs.c what becomes of a run.
 */
#ifndef PGBATON_WORKER_LEADER_SCHEDULER_H
#define PGBATON_WORKER_LEADER_SCHEDULER_H

#include <stdbool.h>

#include "common/backoff.h"
#include "common/clock.h"
#include "common/config.h"
#include "common/outcome.h"
#include "common/random.h"
#include "common/schedule.h"
#include "worker/leader/gap.h"
#include "worker/leader/heap.h"

/* A service that ran for this long was well: its next end is a first one. */
#define SCHEDULER_HEALTHY_AFTER DUR_S(60)
#define SCHEDULER_RESTART_LEAST DUR_MS(100)
#define SCHEDULER_RESTART_MOST DUR_S(30)
/* A critical service that was not well so often in a row cannot be kept up. */
enum { SCHEDULER_CRITICAL_FAILURES = 5 };
/* How long before the end of a drain everything is killed: the time that killing may take. */
#define SCHEDULER_KILL_MARGIN DUR_MS(250)
/* A run that was sent SIGKILL and is still there is sent it again after this, doubling to the
 * other. */
#define SCHEDULER_KILL_AGAIN DUR_MS(50)
#define SCHEDULER_KILL_AGAIN_MOST DUR_S(1)
/* Ticks are claimed so long before their instant, so that many that are due together start together
 * (DESIGN.md section 6). */
#define SCHEDULER_AHEAD DUR_MS(500)
/* A tick that comes later than this was missed: the job's policy says what is done about it. A
 * planned hand-over takes less. */
#define SCHEDULER_LATE DUR_S(2)
/* While the wall clock is in doubt no tick is made; so long until the ledger is asked again. */
#define SCHEDULER_DOUBT DUR_S(1)
/* Why a run waits, or is skipped, that has others of its job before it. The next leader finds it in
 * the ledger. */
#define SCHEDULER_OVERLAP "overlap"
/* Instants that a gap looks at before others have their turn. */
enum { SCHEDULER_GAP_TICKS = 500 };

/*
 * RESTING: no term. Nothing starts; nothing may still run.
 * LEADING: the term is open. Ticks, services and @elected start.
 * DRAINING: nothing starts. Services were told to stop at once, since they
 *   would never end; other runs may go on until drain_until. What is due, or
 *   was claimed and not started, is left to the next leader.
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
 * ASKED: the ledger was, or is about to be, asked for it; not known: whether it
 * is ours. GRANTED: it is, and its instant has not come. WAITING: queued, until
 * there is room. DELAYED: until its due time. GOING: it runs, and was not told
 * to stop. STOPPING: it was sent SIGTERM; whether it took notice is not known.
 * KILLING: it was sent SIGKILL and has not been seen to be gone. OVER: forgotten.
 */
enum run_stage {
    RUN_ASKED,
    RUN_GRANTED,
    RUN_WAITING,
    RUN_DELAYED,
    RUN_GOING,
    RUN_STOPPING,
    RUN_KILLING,
    RUN_OVER,
};

enum stop_reason {
    STOP_NOT,
    STOP_TIMEOUT,   /* it ran for longer than its timeout */
    STOP_DRAIN,     /* leadership is given up */
    STOP_LOST,      /* leadership is lost */
    STOP_CHANGED,   /* a service whose definition changed: started again as soon as it ended */
    STOP_REMOVED,   /* the job is no longer configured */
    STOP_REPLACED,  /* overlap = replace: the next run wants its place */
    STOP_CANCELLED, /* somebody asked for it */
    STOP_PAUSED,    /* a service that is paused */
};
const char *stop_reason_name(enum stop_reason why);

struct scheduler_run;

/* At most one run of all the jobs that share it. Owned by the shell. */
struct scheduler_mutex {
    const struct scheduler_run *holder; /* NULL: free */
};

/* What the configuration says of a job. */
struct scheduler_policy {
    dur_ns timeout; /* 0: none */
    dur_ns grace;
    enum job_overlap overlap;
    enum job_missed missed;
    dur_ns missed_window;
    unsigned missed_max;
    enum job_interrupt on_interrupt;
    unsigned retries;
    dur_ns retry_delay;
    bool critical;
};

/* What the scheduler knows of a job. Lives in the shell's struct; owner points there. */
struct scheduler_job {
    struct heap_item tick; /* by the wall clock: when its next tick is to be claimed */
    struct heap_item
        alarm; /* by CLOCK_BOOTTIME: @elected, @released, the next start of a service */
    void *owner;

    struct schedule schedule;
    struct scheduler_policy policy;
    struct scheduler_mutex *mutex; /* of the runs that start from now on; NULL: none */
    bool enabled;                  /* false: starts no more */
    bool paused;
    bool known; /* what the ledger has of it was read in this term: ticks may be made */

    struct scheduler_run *runs; /* all of them, the newest first */
    unsigned holding;           /* those that run, or are about to */
    unsigned waiting;           /* in RUN_WAITING */
    unsigned unclaimed;         /* in RUN_ASKED, and without a row as far as is known */

    wall_ns last_tick;     /* the latest instant that was decided; 0: none yet */
    wall_ns unknown_until; /* see gap.h */
    wall_ns next_tick;     /* its claim is due when the heap says */
    bool is_new;           /* no instant was decided: last_tick is when it was seen first */
    bool in_gap;
    bool held_back; /* its next tick is a mere record, and comes after the claims before it */
    bool starts_when_known; /* @elected or a service: its start waits for what the ledger has */
    struct gap gap;
    struct scheduler_job *next_gap;
    struct backoff restart;
    bool given_up; /* critical, and said so */
};

/* A run, from the tick on. Lives in the shell's struct; owner points there. */
struct scheduler_run {
    struct heap_item start; /* by the wall clock: when it is to be looked at */
    struct heap_item alarm; /* by CLOCK_BOOTTIME: SIGTERM or SIGKILL */
    void *owner;
    struct scheduler_job *job;
    struct scheduler_run *next; /* of the same job */
    struct scheduler_run *next_waiting;
    struct scheduler_run *last_waiting;
    struct scheduler_mutex *mutex; /* that it holds: its job may have another by now; NULL: none */

    wall_ns scheduled_at;
    unsigned attempt;
    enum run_origin origin;
    enum run_stage stage;
    bool made_up;       /* one of several missed ticks: it waits for the one before */
    bool in_time;       /* its claim was asked for when it was due, not made up for afterwards */
    const char *missed; /* why it comes too late to be run; NULL: it does not */
    bool settled;       /* the ledger has been told all there is to tell of it */
    bool told;          /* WAITING: so has why it waits */
    bool holds;         /* counts for overlap, mutex and max_running */
    bool unclaimed;     /* as of the job */
    bool is_service;
    bool at_release;      /* made when the term ended: of a @released job */
    bool unwanted;        /* to be dropped, whatever else */
    enum stop_reason why; /* it is told to stop, or is unwanted */

    /* Timeout and grace as they were when it started. */
    mono_ns started_at;
    dur_ns run_grace;
    dur_ns kill_wait; /* until the next SIGKILL */
    unsigned kills;   /* how often it was sent SIGKILL */
    mono_ns timeout_at;
};

struct scheduler {
    enum scheduler_phase phase;
    struct scheduler_job **jobs; /* the caller's, in the order of the file */
    size_t count;
    struct heap ticks;      /* of jobs */
    struct heap job_alarms; /* of jobs */
    struct heap starts;     /* of runs */
    struct heap run_alarms; /* of runs */
    unsigned running;       /* runs that have a process */
    unsigned known;         /* runs of any stage */
    unsigned holding;       /* that count for max_running */
    unsigned asked;         /* in RUN_ASKED */
    unsigned max_running;   /* set by the caller; above 0 */
    uint64_t sequence;      /* of runs: equal instants start in the order of their claims */
    bool all_paused;
    bool ledger_up;          /* ticks can be claimed */
    wall_ns no_ledger_until; /* until then they could not */
    wall_ns database_clock;  /* the last that is known of it; 0: there is none */
    mono_ns database_at;     /* when that was */
    dur_ns skew_most;        /* so far ahead of it our wall clock may be */
    mono_ns doubt_until;     /* it was further ahead: no tick is made before */
    struct scheduler_run *first_waiting;
    struct scheduler_run *last_waiting;
    bool look_at_waiting; /* something may have room now */
    struct scheduler_job *first_gap;
    struct scheduler_job *last_gap;
    mono_ns drain_until;
    mono_ns over_by;
    bool no_time_left; /* the last moment for @released jobs has been seen to pass */
    struct prng random;
};

enum scheduler_verdict {
    SCHEDULER_NOTHING,
    SCHEDULER_BUSY,    /* there is more, but others have their turn first */
    SCHEDULER_TICK,    /* make a run of it, and claim it: scheduler_add(), RUN_ASKED */
    SCHEDULER_LEAVE,   /* the same, for the next leader: a queued row and no run */
    SCHEDULER_RECORD,  /* ticks that are not run: skipped or missed */
    SCHEDULER_START,   /* start it now, then say scheduler_started() or scheduler_ended() */
    SCHEDULER_WAIT,    /* it is queued, for that reason; scheduler_settled() when that is written */
    SCHEDULER_PROMOTE, /* there is room for it: claim it, then say scheduler_granted() */
    SCHEDULER_DROP,    /* it has that outcome, unstarted; scheduler_remove() */
    SCHEDULER_HAND_OVER, /* it is the next leader's: if GRANTED a queued row; scheduler_remove() */
    SCHEDULER_TERM,      /* SIGTERM to all of the run */
    SCHEDULER_KILL,      /* SIGKILL to what is left of the run */
    SCHEDULER_DOUBT_CLOCK, /* many ticks have passed by our wall clock and not by the ledger's, as
                              far as that is known: ask it, scheduler_database_clock() */
    SCHEDULER_CRITICAL,    /* this critical service cannot be kept up */
};

struct scheduler_decision {
    enum scheduler_verdict verdict;
    struct scheduler_job *job; /* of every verdict but NOTHING and BUSY */
    struct scheduler_run *run; /* START, WAIT, PROMOTE, DROP, HAND_OVER, TERM, KILL */
    wall_ns scheduled_at;      /* TICK, LEAVE; RECORD: the first */
    wall_ns last_at;           /* RECORD */
    uint64_t count;            /* RECORD */
    enum run_origin origin;    /* TICK */
    bool made_up;              /* TICK */
    bool in_time;              /* TICK: it is no missed one */
    enum outcome outcome;      /* RECORD, DROP */
    const char *reason;        /* RECORD, WAIT, DROP; static */
};

void scheduler_init(struct scheduler *s, uint64_t seed);

/* scheduler_job_init - a job without a run. The struct must not move afterwards. */
void scheduler_job_init(struct scheduler_job *job, void *owner);

/*
 * scheduler_replace - these are the jobs now, in this order; all memory is the
 * caller's and stays in use until the next call. ticks and alarms have room for
 * count items each. Jobs that were there before keep their place in time; one
 * that has runs may only be left out once they have ended (keep it, disabled).
 */
void scheduler_replace(struct scheduler *s, struct scheduler_job **jobs, size_t count,
                       struct heap_item **ticks, struct heap_item **alarms);

/* scheduler_run_room - memory for the heaps of runs, the caller's, with room for so many each; what
 * is in the old one is taken over. Before each scheduler_add() there must be room for one more. */
void scheduler_run_room(struct scheduler *s, struct heap_item **starts, struct heap_item **alarms,
                        size_t room);

/*
 * scheduler_define - the job's definition, after scheduler_replace(). changed
 * says that it is another one than before: a running service is stopped and
 * started again. A disabled job's runs are stopped. Of a schedule that is another
 * one the caller sets last_tick to 0: it has no past.
 */
void scheduler_define(struct scheduler *s, struct scheduler_job *job, bool changed, wall_ns wall,
                      mono_ns mono);

/* scheduler_begin - LEADING: @elected first, then the services, then the ticks; none of a job that
 * is not known yet. */
void scheduler_begin(struct scheduler *s, wall_ns wall, mono_ns mono);

/*
 * scheduler_know - what the ledger has of the job, after scheduler_begin(): its
 * last tick (0: it has no past), and until when ticks may have been run without a
 * trace. The ticks since then are due or missed.
 */
void scheduler_know(struct scheduler *s, struct scheduler_job *job, wall_ns last_tick,
                    wall_ns unknown_until, bool paused, wall_ns wall);

/* scheduler_ledger - it can be asked, or it cannot: no tick is made, nothing is promoted. */
void scheduler_ledger(struct scheduler *s, bool up, wall_ns wall);

/* scheduler_database_clock - what the ledger's clock said just now, and how far ahead of it ours
 * may be: is it no further? Without it our wall clock is believed. */
bool scheduler_database_clock(struct scheduler *s, wall_ns database_clock, wall_ns wall,
                              mono_ns mono, dur_ns skew_most);

/* scheduler_clock_set - the wall clock was stepped: look at the next ticks anew. Never repeats one.
 */
void scheduler_clock_set(struct scheduler *s, wall_ns wall);

/* scheduler_pause - this job (NULL: all of them), or go on. Services are stopped, and started. */
void scheduler_pause(struct scheduler *s, struct scheduler_job *job, bool paused, mono_ns mono);

/* scheduler_cancel - stop all runs of the job; those that have not started are dropped. How many.
 */
unsigned scheduler_cancel(struct scheduler *s, struct scheduler_job *job, mono_ns mono);

/* The ways out; each only goes forward (a drain after an end is ignored). */
void scheduler_drain(struct scheduler *s, mono_ns mono, mono_ns drain_until, mono_ns over_by);
void scheduler_end(struct scheduler *s, mono_ns mono);

/* scheduler_kill - everything is being killed at once, by other means: expect only the ends of
 * runs. */
void scheduler_kill(struct scheduler *s);

/* scheduler_rest - RESTING; asserts that there is no run. */
void scheduler_rest(struct scheduler *s);

/* scheduler_next - one decision; call again until it is NOTHING or BUSY. */
struct scheduler_decision scheduler_next(struct scheduler *s, wall_ns wall, mono_ns mono);

/* What a run is, for scheduler_add(). */
struct scheduler_about {
    wall_ns scheduled_at;
    unsigned attempt;
    enum run_origin origin;
    enum run_stage stage; /* ASKED, WAITING or DELAYED */
    bool made_up;
    bool in_time;
    bool settled;   /* its row is in the ledger as that */
    wall_ns due_at; /* DELAYED: not before; of others only for the record */
};

/* scheduler_add - run is the caller's and must not move until scheduler_remove() or
 * scheduler_ended(). */
void scheduler_add(struct scheduler *s, struct scheduler_run *run, struct scheduler_job *job,
                   const struct scheduler_about *about, void *owner);
/* scheduler_granted - it is ours. A tick whose grant the ledger held back until it was late is a
 * missed one: of that its job's policy decides. */
void scheduler_granted(struct scheduler *s, struct scheduler_run *run, wall_ns wall);
void scheduler_settled(struct scheduler *s, struct scheduler_run *run);

/* scheduler_remove - it never started, or somebody else has it. */
void scheduler_remove(struct scheduler *s, struct scheduler_run *run);

/* scheduler_started, scheduler_ended - what became of a START; of a run. A start that failed has
 * only ended. Afterwards the run is not the scheduler's any more. */
void scheduler_started(struct scheduler *s, struct scheduler_run *run, mono_ns mono);
void scheduler_ended(struct scheduler *s, struct scheduler_run *run, mono_ns mono);

/* scheduler_left - the process of a run has ended by itself, others of it go on and were sent
 * SIGTERM: they are killed after its grace. */
void scheduler_left(struct scheduler *s, struct scheduler_run *run, mono_ns mono);

/* scheduler_would_skip - would a run that somebody asks for now be skipped, as the job's last run
 * still runs or waits? */
bool scheduler_would_skip(const struct scheduler_job *job);

/* scheduler_lets_pass - would a run that comes now, not because somebody asks for it, be skipped?
 */
bool scheduler_lets_pass(const struct scheduler_job *job);

/* scheduler_would_wait - why a run that somebody asks for now would have to wait; NULL: it starts.
 */
const char *scheduler_would_wait(const struct scheduler *s, const struct scheduler_job *job);

/* scheduler_is_over - a drain or an end has come to its end: no run, and none to come. */
bool scheduler_is_over(const struct scheduler *s, mono_ns mono);

/* scheduler_next_due - the instant of what is to be started or recorded next; WALL_NEVER: nothing.
 */
wall_ns scheduler_next_due(const struct scheduler *s);

/* When to ask again, if nothing else happens. */
wall_ns scheduler_wake_wall(const struct scheduler *s);
mono_ns scheduler_wake_mono(const struct scheduler *s);

#endif
