#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>

#include "common/log.h"
#include "common/offspring.h"
#include "worker/leader/job.h"

void jobs_carry_out_term(struct jobs *jobs, struct tick *tick)
{
    struct run *run = tick->run;

    assert(run != NULL);
    log_info("job_stopping", "job=%s run=%s pid=%d reason=%s", log_text(tick->job->board.name).is,
             run->id, (int)run->pid, stop_reason_name(tick->plan.why));
    run_signal(&jobs->world, run, SIGTERM, jobs_snapshot(jobs));
}

void jobs_carry_out_kill(struct jobs *jobs, struct tick *tick)
{
    struct run *run = tick->run;

    assert(run != NULL);
    if (tick->plan.kills == 1) {
        log_warn("job_killing", "job=%s run=%s pid=%d reason=%s",
                 log_text(tick->job->board.name).is, run->id, (int)run->pid,
                 stop_reason_name(tick->plan.why));
    }
    run_signal(&jobs->world, run, SIGKILL, jobs_snapshot(jobs));
    if (tick->plan.kills == UNKILLABLE_KILLS) {
        log_error("unkillable", "job=%s run=%s pid=%d processes=%zu",
                  log_text(tick->job->board.name).is, run->id, (int)run_example(run),
                  run->family.count);
    }
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

static void linger(struct jobs *jobs, struct tick *tick)
{
    tick->lingers = true;
    jobs->lingering++;
    jobs->linger_at = 0;
    jobs->linger_wait = LINGER_AGAIN_LEAST;
}

/* Its next process would meet what the last one left, and leave as much again. */
static void stop_what_is_left(struct jobs *jobs, struct tick *tick)
{
    struct run *run = tick->run;

    log_warn("job_left_processes", "job=%s run=%s pid=%d processes=%zu",
             log_text(tick->job->board.name).is, run->id, (int)run->pid, run->family.count);
    scheduler_left(&jobs->scheduler, &tick->plan, clock_now());
    run_signal(&jobs->world, run, SIGTERM, NULL);
}

/* Its process was reaped, all that were dead with it too: one look at /proc serves all. */
static void run_died(struct jobs *jobs, struct run *run)
{
    struct tick *tick = run->owner;
    bool going = tick->plan.stage == RUN_GOING;
    /* What a run left that was not told to stop is left alone, but of a service. Where
     * all are killed, the sweep looks after what is left. */
    bool waits = (!going || tick->plan.is_service) && jobs->ending != ENDING_KILL;

    run_reaped(&jobs->world, run, waits ? jobs_snapshot(jobs) : NULL);
    if (!waits || run_is_gone(&jobs->world, run, NULL)) {
        jobs_end_run(jobs, tick);
        return;
    }
    if (going) {
        stop_what_is_left(jobs, tick);
    }
    linger(jobs, tick);
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
        } else {
            (void)hooks_reaped(&jobs->hooks, pid, status);
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
    if (jobs->lingering > 0) { /* the same; a storm of deaths does not make it one of looks */
        mono_ns soon = clock_now() + LINGER_AGAIN_LEAST;

        jobs->linger_at = jobs->linger_at < soon ? jobs->linger_at : soon;
        jobs->linger_wait = LINGER_AGAIN_LEAST;
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

static void end_lingering_of(struct jobs *jobs, struct job *job, const struct snapshot *snapshot,
                             bool all)
{
    struct scheduler_run *next = job->plan.runs;

    while (next != NULL) {
        struct tick *tick = next->owner;

        next = next->next;
        if (tick->lingers && (all || run_is_gone(&jobs->world, tick->run, snapshot))) {
            jobs_end_run(jobs, tick);
        }
    }
}

void jobs_look_at_lingering(struct jobs *jobs, mono_ns now)
{
    const struct snapshot *snapshot;

    jobs_forget_snapshot(jobs); /* it may be older than the last deaths */
    snapshot = jobs_snapshot(jobs);
    for (size_t i = 0; i < jobs->count && jobs->lingering > 0; i++) {
        end_lingering_of(jobs, jobs->list[i], snapshot, false);
    }
    jobs->linger_at = jobs->lingering > 0 ? now + jobs->linger_wait : MONO_NEVER;
    jobs->linger_wait =
        jobs->linger_wait * 2 < LINGER_AGAIN_MOST ? jobs->linger_wait * 2 : LINGER_AGAIN_MOST;
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
        end_lingering_of(jobs, jobs->list[i], NULL, true);
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
        log_error("unkillable", "pid=%d processes=%u not_permitted=%u", (int)sweep->example,
                  sweep->seen, sweep->refused);
    }
}

void jobs_sweep_step(struct jobs *jobs, mono_ns now)
{
    struct process_sweep sweep = {.seen = 0};

    cgroup_kill_all(&jobs->world.cgroup);
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
