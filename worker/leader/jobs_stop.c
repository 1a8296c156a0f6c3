#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>

#include "common/log.h"
#include "common/offspring.h"
#include "worker/leader/job.h"

void jobs_carry_out_stop(struct jobs *jobs, struct job *job, int signal_number)
{
    struct run *run = job->run;

    assert(run != NULL);
    if (signal_number == SIGTERM) {
        log_info("job_stopping", "job=%s run=%s pid=%d reason=%s", log_text(job->board.name).is,
                 run->id, (int)run->pid, stop_reason_name(job->plan.why));
    } else {
        log_warn("job_killing", "job=%s run=%s pid=%d reason=%s", log_text(job->board.name).is,
                 run->id, (int)run->pid, stop_reason_name(job->plan.why));
    }
    run_signal(&jobs->world, run, signal_number, jobs_snapshot(jobs));
}

/* ---- Ends. ---- */

/* Out of the table too: its pid may come again. NULL: it is none of ours. */
static struct run *take_run(struct jobs *jobs, pid_t pid)
{
    struct run **link = &jobs->by_pid[(unsigned)pid % PID_BUCKETS];

    while (*link != NULL && (*link)->pid != pid) {
        link = &(*link)->next;
    }
    struct run *run = *link;
    if (run != NULL) {
        *link = run->next;
    }
    return run;
}

/* Its process was reaped, all that were dead with it too: one look at /proc serves all. */
static void run_died(struct jobs *jobs, struct run *run)
{
    struct job *job = run->owner;
    /* One that was not told to stop ends now, and what it left is left alone; where
     * all are killed, the sweep looks after what is left. */
    bool stops = job->plan.stage != RUN_GOING && jobs->ending != ENDING_KILL;

    run_reaped(run, stops ? jobs_snapshot(jobs) : NULL);
    if (stops && !run_is_gone(run, NULL)) {
        job->lingers = true;
        jobs->lingering++;
        jobs->linger_at = 0;
        return;
    }
    jobs_end_run(jobs, job);
}

static void helper_died(struct jobs *jobs, pid_t pid, int status)
{
    assert(jobs->dead_helper_count < DEAD_HELPERS_MAX);
    jobs->dead_helpers[jobs->dead_helper_count++] = (struct dead_helper){pid, status};
}

void jobs_take_dead(struct jobs *jobs, pid_t helper)
{
    struct run *dead = NULL;
    int status;
    pid_t pid;

    jobs_forget_snapshot(jobs); /* in it those that die now would be alive */
    /* Signals merge: one SIGCHLD can stand for any number of deaths. */
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        struct run *run = take_run(jobs, pid);

        if (run != NULL) {
            run->status = status;
            run->next = dead;
            dead = run;
        } else if (pid == helper || pid_set_has(&jobs->helpers, pid)) {
            helper_died(jobs, pid, status);
        }
        /* Anything else is an orphan of a job: there was only the body to take away. */
    }
    while (dead != NULL) {
        struct run *next = dead->next;

        run_died(jobs, dead);
        dead = next;
    }
    jobs_forget_snapshot(jobs);
}

static bool take_dead_helper(struct jobs *jobs, pid_t helper, int *ret_status)
{
    for (unsigned i = 0; i < jobs->dead_helper_count; i++) {
        if (jobs->dead_helpers[i].pid == helper) {
            *ret_status = jobs->dead_helpers[i].status;
            jobs->dead_helpers[i] = jobs->dead_helpers[--jobs->dead_helper_count];
            return true;
        }
    }
    return false;
}

bool jobs_reap(struct jobs *jobs, pid_t helper, int *ret_status)
{
    jobs_take_dead(jobs, helper);
    if (jobs->sweeping) {
        jobs->sweep_at = 0; /* somebody died: maybe it was the last */
    }
    jobs_arm(jobs);
    return helper > 0 && take_dead_helper(jobs, helper, ret_status);
}

static void remove_helper(struct jobs *jobs, pid_t helper)
{
    struct pid_set *set = &jobs->helpers;

    for (size_t i = 0; i < set->count; i++) {
        if (set->pids[i] == helper) {
            set->pids[i] = set->pids[--set->count];
            return;
        }
    }
}

void jobs_keep(struct jobs *jobs, pid_t helper, bool keep)
{
    int status;

    assert(helper > 1);
    if (!keep) {
        remove_helper(jobs, helper);
        (void)take_dead_helper(jobs, helper, &status);
    } else if (pid_set_add(&jobs->helpers, helper) < 0) {
        log_error("out_of_memory", "%s", "for=helper");
    }
}

/* ---- Runs whose process is gone, but not yet all of their family. ---- */

void jobs_look_at_lingering(struct jobs *jobs, mono_ns now)
{
    const struct snapshot *snapshot;

    jobs_forget_snapshot(jobs); /* it may be older than the last deaths */
    snapshot = jobs_snapshot(jobs);
    for (size_t i = 0; i < jobs->count && jobs->lingering > 0; i++) {
        struct job *job = jobs->list[i];

        if (job->lingers && run_is_gone(job->run, snapshot)) {
            jobs_end_run(jobs, job);
        }
    }
    jobs->linger_at = jobs->lingering > 0 ? now + LINGER_AGAIN : MONO_NEVER;
}

/* ---- The end of the term: every process below us is killed. ---- */

void jobs_sweep_start(struct jobs *jobs, mono_ns now)
{
    jobs->swept = false;
    jobs->sweeping = true;
    jobs->sweep_since = now;
    jobs->sweep_at = now;
    jobs->sweep_wait = SWEEP_AGAIN_LEAST;
    jobs->unkillable_said = false;
}

static void end_lingering(struct jobs *jobs)
{
    for (size_t i = 0; i < jobs->count && jobs->lingering > 0; i++) {
        if (jobs->list[i]->lingers) {
            jobs_end_run(jobs, jobs->list[i]);
        }
    }
    jobs->linger_at = MONO_NEVER;
}

static void sweep_again(struct jobs *jobs, const struct process_sweep *sweep, mono_ns now)
{
    dur_ns longer = jobs->sweep_wait * 2;

    jobs->sweep_at = now + jobs->sweep_wait;
    if (sweep->seen == 0) { /* one that forks faster than we look: only looking often meets it */
        jobs->sweep_wait = SWEEP_AGAIN_LEAST;
        return;
    }
    jobs->sweep_wait = longer < SWEEP_AGAIN_MOST ? longer : SWEEP_AGAIN_MOST;
    if (!jobs->unkillable_said && now - jobs->sweep_since >= UNKILLABLE_AFTER) {
        jobs->unkillable_said = true;
        log_error("unkillable", "pid=%d processes=%u refused=%u", (int)sweep->example, sweep->seen,
                  sweep->refused);
    }
}

void jobs_sweep_step(struct jobs *jobs, mono_ns now)
{
    struct process_sweep sweep = {.seen = 0};
    int rc = process_sweep_children(&jobs->helpers, &sweep);

    jobs_take_dead(jobs, 0);
    if (rc < 0) { /* without /proc there is nothing to be found: no instance leads then */
        log_error("sweep_failed", "error=%s", log_text(strerror(-rc)).is);
    }
    if (rc == 0 && sweep.seen == 0 && offspring_left(&jobs->helpers) <= 0) {
        end_lingering(jobs);
        jobs->swept = jobs->running == 0;
    }
    if (!jobs->swept) {
        sweep_again(jobs, &sweep, now);
    }
}
