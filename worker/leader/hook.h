/*
 * hook.h - the commands that follow from the end of a run: on_failure, on_recovery, on_success.
 *
 * Each is a process like that of a run: the job's shell, user, directory and environment, its
 * output in the log under the job's name, below the worker and in a cgroup of its own, so that it
 * dies with the term. At most HOOK_LIMIT, whatever the job's timeout is: then TERM, the job's
 * grace, KILL. How it ends is logged, and changes nothing.
 *
 * Runs in: worker.
 */
#ifndef PGBATON_WORKER_LEADER_HOOK_H
#define PGBATON_WORKER_LEADER_HOOK_H

#include <ev.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/timer.h"
#include "worker/leader/hook_rule.h"
#include "worker/leader/run.h"

#define HOOK_LIMIT DUR_S(60)

struct hook_run;

struct hooks {
    struct run_world *world; /* not owned */
    struct timer timer;      /* the nearest limit */
    struct hook_run *first;
    unsigned count;
    dur_ns limit; /* HOOK_LIMIT; a test has less time */
};

/*
 * What has ended. Beside the names that every run finds, with the values of the run that has ended
 * (PGBATON_RUN_ID, PGBATON_SCHEDULED_AT, PGBATON_ATTEMPT), a hook finds PGBATON_HOOK
 * ("on_failure"), PGBATON_OUTCOME, PGBATON_EXIT_CODE ("" none), PGBATON_REASON, PGBATON_RESULT,
 * PGBATON_FAILURES (in a row, this one included), PGBATON_STARTED_AT ("" where it was never
 * started) and PGBATON_ENDED_AT.
 */
struct hook_call {
    unsigned hooks; /* as hook_rule() says; those that the job has no command for are left out */
    const struct config_job *job;
    const struct account *account;
    const char *epoch; /* "1.7" */
    uint64_t *number;  /* the last that a run had: each hook takes the next */
    const char *run_id;
    wall_ns scheduled_at;
    unsigned attempt;
    enum outcome outcome;
    int code;           /* -1: none */
    const char *reason; /* NULL: none */
    const char *result; /* NULL: none */
    unsigned failures;
    wall_ns started_at; /* 0: never */
    wall_ns ended_at;
    bool (*may_start)(void *ctx); /* as of a run */
    void *ctx;
};

/* hooks_init - 0 or a negative errno. The struct must not move afterwards. */
int hooks_init(struct hooks *hooks, struct ev_loop *loop, struct run_world *world);

/* hooks_release - asserts that none runs. */
void hooks_release(struct hooks *hooks);

/* hooks_run - start them. Returns how many were: one that cannot be started is logged. */
unsigned hooks_run(struct hooks *hooks, const struct hook_call *call);

/* hooks_reaped - waitpid() gave this. True: it was a hook, and is forgotten. */
bool hooks_reaped(struct hooks *hooks, pid_t pid, int status);

/* hooks_signal - SIGTERM or SIGKILL to all of them. */
void hooks_signal(struct hooks *hooks, int signal_number, const struct snapshot *now);

/* hooks_running - how many live. */
unsigned hooks_running(const struct hooks *hooks);

#endif
