/*
 * job.h - what jobs.c, jobs_configure.c and jobs_stop.c share; nobody else includes it.
 *
 * Runs in: worker.
 */
#ifndef PGBATON_WORKER_LEADER_JOB_H
#define PGBATON_WORKER_LEADER_JOB_H

#include "common/timer.h"
#include "worker/leader/jobs.h"
#include "worker/leader/run.h"
#include "worker/leader/scheduler.h"

enum {
    PID_BUCKETS = 1024,    /* of the table of runs by pid */
    DECISIONS_A_TURN = 32, /* then the loop has its turn: heartbeats go before starts */
    DEAD_HELPERS_MAX = 4,
    UNKILLABLE_KILLS = 6, /* SIGKILLs to a single run, in 1.5 s: then it is an error, too */
};

#define SWEEP_AGAIN_LEAST DUR_MS(5)
#define SWEEP_AGAIN_MOST DUR_MS(200)
#define LINGER_AGAIN_LEAST DUR_MS(10)
#define LINGER_AGAIN_MOST DUR_MS(200) /* a look reads a file for each process of the machine */
#define UNKILLABLE_AFTER DUR_S(1)     /* then it is an error that names a process */
#define ACCOUNT_AGAIN DUR_S(30) /* an account that was not found is looked up again after this */

struct job {
    struct scheduler_job plan;
    const struct config_job
        *definition; /* NULL: no longer configured; kept until its run has ended */
    uint64_t hash;
    const struct account *account; /* NULL: could not be looked up; tried again at the start */
    unsigned row;                  /* on the scoreboard */
    struct run *run;               /* NULL: none */
    bool lingers;                  /* reaped, and waits for the end of its family */
    bool listed;                   /* in the configuration that is being taken */
    struct board_job board;        /* name too */
};

/* What the worker asked for. Only rises until on_idle. */
enum jobs_ending { ENDING_NOT, ENDING_DRAIN, ENDING_TERMINATE, ENDING_KILL };

struct dead_helper {
    pid_t pid;
    int status;
};

/* One user that jobs name, looked up once for each configuration. */
struct known_account {
    struct known_account *next;
    const char *user;        /* NULL: the daemon's own */
    struct account *account; /* NULL: there was none then, for that reason */
    mono_ns looked_at;
    char reason[256];
};

struct jobs {
    struct ev_loop *loop;
    struct scoreboard *board; /* may be NULL */
    struct jobs_events events;
    struct timer mono_timer;
    struct timer wall_timer;
    struct scheduler scheduler;
    struct run_world world;
    struct epoch epoch;
    uint64_t run_number; /* of the last run; unique in the life of the worker */

    /* The table of jobs, all owned; the arrays have room for count. */
    struct job **list;
    struct scheduler_job **plans;
    struct heap_item **ticks;
    struct heap_item **alarms;
    size_t count;
    struct known_account *accounts;

    struct run *by_pid[PID_BUCKETS];
    unsigned running;
    unsigned lingering;
    mono_ns linger_at; /* look then whether families are gone */
    dur_ns linger_wait;

    enum jobs_ending ending;
    bool swept; /* nothing of a job was alive when it was last looked at, and none started since */
    bool sweeping; /* killing every descendant until none is left */
    mono_ns sweep_at;
    mono_ns sweep_since;
    dur_ns sweep_wait;
    bool unkillable_said;

    struct pid_set helpers;
    struct dead_helper dead_helpers[DEAD_HELPERS_MAX];
    unsigned dead_helper_count;

    struct snapshot snapshot; /* of this turn; taken when it is first needed */
    bool snapshot_taken;
    char containment[640];
};

/* jobs.c */
void jobs_arm(struct jobs *jobs);       /* set the timers for whatever comes next */
void jobs_turn_soon(struct jobs *jobs); /* the next turn of the loop looks at everything */
void jobs_show(struct jobs *jobs, struct job *job); /* put its row on the scoreboard */
void jobs_end_run(struct jobs *jobs, struct job *job);
const struct snapshot *jobs_snapshot(struct jobs *jobs); /* NULL: /proc could not be read */
void jobs_forget_snapshot(struct jobs *jobs);

/* jobs_configure.c */
const struct account *jobs_account(struct jobs *jobs, const char *user, char *reterr, size_t size);
void jobs_forget_accounts(struct known_account *accounts);

/* jobs_stop.c */
void jobs_carry_out_term(struct jobs *jobs, struct job *job);
void jobs_carry_out_kill(struct jobs *jobs, struct job *job);
void jobs_take_dead(struct jobs *jobs, pid_t helper); /* waitpid until there is no more */
void jobs_look_at_lingering(struct jobs *jobs, mono_ns now);
void jobs_sweep_start(struct jobs *jobs, mono_ns now);
void jobs_sweep_step(struct jobs *jobs, mono_ns now);

#endif
