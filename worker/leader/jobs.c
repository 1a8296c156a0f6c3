#include "worker/leader/jobs.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "common/log.h"
#include "worker/leader/environment.h"
#include "worker/leader/job.h"

static void turn(struct jobs *jobs);

static void on_due(void *ctx)
{
    turn(ctx);
}

static void on_clock_set(void *ctx)
{
    struct jobs *jobs = ctx;

    scheduler_clock_set(&jobs->scheduler, clock_wall());
    turn(jobs);
}

static void find_containment(struct jobs *jobs)
{
    cgroup_find(&jobs->world.cgroup);
    if (cgroup_is_delegated(&jobs->world.cgroup)) {
        (void)snprintf(jobs->containment, sizeof(jobs->containment), "cgroup v2 %s",
                       jobs->world.cgroup.path);
    } else {
        (void)snprintf(jobs->containment, sizeof(jobs->containment),
                       "process groups and subreaper");
    }
}

struct jobs *jobs_new(struct ev_loop *loop, struct scoreboard *board,
                      const struct jobs_events *events, uint64_t seed)
{
    struct jobs *jobs = calloc(1, sizeof(*jobs));

    if (jobs == NULL) {
        return NULL;
    }
    jobs->loop = loop;
    jobs->board = board;
    jobs->events = *events;
    jobs->world.outputs.loop = loop;
    jobs->swept = true;
    jobs->linger_at = MONO_NEVER;
    jobs->sweep_at = MONO_NEVER;
    scheduler_init(&jobs->scheduler, seed);
    if (timer_init(&jobs->mono_timer, loop, on_due, jobs) < 0 ||
        timer_init_wall(&jobs->wall_timer, loop, on_due, on_clock_set, jobs) < 0) {
        jobs_free(jobs);
        return NULL;
    }
    /* Orphans of jobs come to us, so that nothing of a job gets out of reach. */
    (void)prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
    find_containment(jobs);
    return jobs;
}

void jobs_free(struct jobs *jobs)
{
    if (jobs == NULL) {
        return;
    }
    assert(jobs->running == 0);
    outputs_close(&jobs->world.outputs);
    cgroup_sweep(&jobs->world.cgroup);
    timer_release(&jobs->mono_timer);
    timer_release(&jobs->wall_timer);
    for (size_t i = 0; i < jobs->count; i++) {
        free(jobs->list[i]);
    }
    free(jobs->list);
    free(jobs->plans);
    free(jobs->ticks);
    free(jobs->alarms);
    jobs_forget_accounts(jobs->accounts);
    jobs_forget_snapshot(jobs);
    pid_set_release(&jobs->helpers);
    free(jobs);
}

const struct snapshot *jobs_snapshot(struct jobs *jobs)
{
    if (!jobs->snapshot_taken) {
        jobs->snapshot_taken = snapshot_take(&jobs->snapshot) == 0;
    }
    return jobs->snapshot_taken ? &jobs->snapshot : NULL;
}

void jobs_forget_snapshot(struct jobs *jobs)
{
    if (jobs->snapshot_taken) {
        snapshot_release(&jobs->snapshot);
        jobs->snapshot_taken = false;
    }
}

void jobs_show(struct jobs *jobs, struct job *job)
{
    job->board.running = job->run != NULL;
    job->board.pid = job->run != NULL ? job->run->pid : 0;
    job->board.next_at = job->plan.tick.key;
    if (jobs->board != NULL && job->definition != NULL && job->row < BOARD_JOBS_MAX) {
        scoreboard_put_job(jobs->board, job->row, &job->board);
    }
}

/* ---- A run begins and ends. ---- */

static void start_failed(struct jobs *jobs, struct job *job, const char *reason)
{
    log_error("job_failed_to_start", "job=%s epoch=%s reason=%s", log_text(job->board.name).is,
              epoch_text(jobs->epoch).is, log_text(reason).is);
    job->board.last_outcome = OUTCOME_FAILED;
    job->board.last_code = 127; /* what a shell says of a command that it cannot run */
    job->board.failures++;
    scheduler_ended(&jobs->scheduler, &job->plan, clock_now());
    jobs_show(jobs, job);
}

static void run_began(struct jobs *jobs, struct job *job)
{
    struct run *run = job->run;
    struct run **bucket = &jobs->by_pid[(unsigned)run->pid % PID_BUCKETS];

    run->next = *bucket;
    *bucket = run;
    jobs->running++;
    jobs->swept = false;
    job->board.runs++;
    job->board.last_started_at = run->started_wall;
    scheduler_started(&jobs->scheduler, &job->plan, run->started_at);
    log_info("job_started", "job=%s run=%s pid=%d", log_text(job->board.name).is, run->id,
             (int)run->pid);
    jobs_show(jobs, job);
}

static void start(struct jobs *jobs, struct job *job, wall_ns scheduled_at)
{
    char reason[RUN_REASON_MAX] = "";

    assert(job->run == NULL);
    assert(job->definition != NULL);
    if (job->account == NULL) {
        job->account = jobs_account(jobs, job->definition->user, reason, sizeof(reason));
    }
    if (job->account == NULL) {
        start_failed(jobs, job, reason);
        return;
    }
    struct epoch_text epoch = epoch_text(jobs->epoch);
    struct run_order order = {
        .job = job->definition,
        .account = job->account,
        .epoch = epoch.is,
        .number = ++jobs->run_number,
        .scheduled_at = scheduled_at,
        .may_start = jobs->events.may_start,
        .ctx = jobs->events.ctx,
    };
    job->run = run_start(&jobs->world, &order, job, reason, sizeof(reason));
    if (job->run != NULL) {
        run_began(jobs, job);
    } else if (reason[0] != '\0') {
        start_failed(jobs, job, reason);
    } else { /* a worker that slept is not the leader any more */
        scheduler_ended(&jobs->scheduler, &job->plan, clock_now());
        log_debug("job_not_started", "job=%s reason=lease_over", log_text(job->board.name).is);
    }
}

static enum outcome outcome_of(const struct job *job, int code)
{
    switch (job->plan.why) {
    case STOP_TIMEOUT:
        return OUTCOME_TIMED_OUT;
    case STOP_DRAIN:
    case STOP_LOST:
    case STOP_CHANGED:
    case STOP_REMOVED:
        return OUTCOME_CANCELLED;
    case STOP_NOT:
        break;
    }
    return code == 0 ? OUTCOME_SUCCEEDED : OUTCOME_FAILED;
}

static void log_end(const struct job *job, enum outcome outcome, mono_ns now)
{
    const struct run *run = job->run;
    bool bad = outcome == OUTCOME_FAILED || outcome == OUTCOME_TIMED_OUT;
    const char *why = stop_reason_name(job->plan.why);

    log_event(bad ? LEVEL_WARN : LEVEL_INFO, "job_ended",
              "job=%s run=%s pid=%d code=%d outcome=%s%s%s seconds=%.3f",
              log_text(job->board.name).is, run->id, (int)run->pid, run_code(run),
              outcome_name(outcome), why[0] != '\0' ? " reason=" : "", why,
              (double)(now - run->started_at) / (double)DUR_S(1));
}

void jobs_end_run(struct jobs *jobs, struct job *job)
{
    struct run *run = job->run;
    mono_ns now = clock_now();
    enum outcome outcome = outcome_of(job, run_code(run));

    assert(run->reaped);
    assert(jobs->running > 0);
    if (job->lingers) {
        job->lingers = false;
        jobs->lingering--;
    }
    job->board.last_outcome = outcome;
    job->board.last_code = run_code(run);
    job->board.last_ended_at = clock_wall();
    job->board.failures += outcome == OUTCOME_FAILED || outcome == OUTCOME_TIMED_OUT;
    jobs->running--;
    /* What it printed comes before the line that says that it has ended. */
    output_flush(run->standard_output);
    output_flush(run->standard_error);
    log_end(job, outcome, now);
    run_free(&jobs->world, run);
    job->run = NULL;
    scheduler_ended(&jobs->scheduler, &job->plan, now);
    jobs_show(jobs, job);
}

/* ---- Decisions become deeds. ---- */

static void skip(struct jobs *jobs, struct job *job, const struct scheduler_decision *decision)
{
    bool overlap = job->run != NULL;

    job->board.skips++;
    if (overlap) {
        log_warn("job_skipped", "job=%s scheduled_at=%s reason=overlap running=%s",
                 log_text(job->board.name).is, instant_text(decision->scheduled_at).is,
                 job->run->id);
    } else {
        log_warn("job_skipped", "job=%s scheduled_at=%s reason=no_time_left",
                 log_text(job->board.name).is, instant_text(decision->scheduled_at).is);
    }
    jobs_show(jobs, job);
}

static void start_tick(struct jobs *jobs, struct job *job,
                       const struct scheduler_decision *decision)
{
    if (decision->passed_over > 0) {
        log_warn("job_ticks_passed_over", "job=%s count=%" PRIu64 " scheduled_at=%s",
                 log_text(job->board.name).is, decision->passed_over,
                 instant_text(decision->scheduled_at).is);
    }
    start(jobs, job, decision->scheduled_at);
}

/* Returns false when there is nothing more to do now. */
static bool decide(struct jobs *jobs)
{
    struct scheduler_decision decision =
        scheduler_next(&jobs->scheduler, clock_wall(), clock_now());
    if (decision.verdict == SCHEDULER_NOTHING) {
        return false;
    }
    assert(decision.job != NULL);
    struct job *job = decision.job->owner;

    switch (decision.verdict) {
    case SCHEDULER_NOTHING:
        break;
    case SCHEDULER_START:
        start_tick(jobs, job, &decision);
        break;
    case SCHEDULER_SKIP:
        skip(jobs, job, &decision);
        break;
    case SCHEDULER_TERM:
        jobs_carry_out_term(jobs, job);
        break;
    case SCHEDULER_KILL:
        jobs_carry_out_kill(jobs, job);
        break;
    }
    return true;
}

static void become_idle(struct jobs *jobs)
{
    assert(jobs->running == 0);
    jobs->ending = ENDING_NOT;
    jobs->sweeping = false;
    jobs->sweep_at = MONO_NEVER;
    scheduler_rest(&jobs->scheduler); /* pipes that were let go are read to their ends, later */
    cgroup_sweep(&jobs->world.cgroup);
    jobs_arm(jobs);
    jobs->events.on_idle(jobs->events.ctx); /* last: it may begin anew, or free us */
}

/* Runs are over: what they left behind dies with the term. Returns true if we may be freed by now.
 */
static bool come_to_rest(struct jobs *jobs, mono_ns now)
{
    if (jobs->ending == ENDING_NOT) {
        return false;
    }
    if (!jobs->sweeping && scheduler_is_over(&jobs->scheduler)) {
        jobs_sweep_start(jobs, now);
    }
    if (jobs->sweeping && now >= jobs->sweep_at) {
        jobs_sweep_step(jobs, now);
    }
    if (jobs->sweeping && jobs->swept && jobs->running == 0) {
        become_idle(jobs);
        return true;
    }
    return false;
}

static void turn(struct jobs *jobs)
{
    unsigned left = DECISIONS_A_TURN;

    while (left > 0 && decide(jobs)) {
        left--;
    }
    mono_ns now = clock_now();
    if (now >= jobs->linger_at) {
        jobs_look_at_lingering(jobs, now);
    }
    jobs_forget_snapshot(jobs);
    if (!come_to_rest(jobs, now)) {
        jobs_arm(jobs);
    }
}

void jobs_arm(struct jobs *jobs)
{
    mono_ns wake = scheduler_wake_mono(&jobs->scheduler);

    wake = jobs->linger_at < wake ? jobs->linger_at : wake;
    wake = jobs->sweep_at < wake ? jobs->sweep_at : wake;
    if (jobs->ending != ENDING_NOT && !jobs->sweeping && jobs->running == 0) {
        wake = 0; /* the next phase has nothing to wait for */
    }
    timer_arm(&jobs->mono_timer, wake);
    timer_arm(&jobs->wall_timer, scheduler_wake_wall(&jobs->scheduler));
}

void jobs_turn_soon(struct jobs *jobs)
{
    timer_arm(&jobs->mono_timer, 0);
}

/* ---- What the worker asks for. ---- */

void jobs_begin(struct jobs *jobs, struct epoch epoch)
{
    assert(jobs->ending == ENDING_NOT);
    assert(jobs->world.config != NULL);

    jobs->epoch = epoch;
    scheduler_begin(&jobs->scheduler, clock_wall(), clock_now());
    for (size_t i = 0; i < jobs->count; i++) {
        jobs_show(jobs, jobs->list[i]);
    }
    jobs_turn_soon(jobs);
}

void jobs_drain(struct jobs *jobs, mono_ns drain_until, mono_ns over_by)
{
    if (jobs->ending > ENDING_DRAIN) {
        return;
    }
    jobs->ending = ENDING_DRAIN;
    scheduler_drain(&jobs->scheduler, clock_now(), drain_until, over_by);
    jobs_turn_soon(jobs);
}

void jobs_terminate(struct jobs *jobs)
{
    if (jobs->ending >= ENDING_TERMINATE) {
        return;
    }
    jobs->ending = ENDING_TERMINATE;
    scheduler_end(&jobs->scheduler, clock_now());
    /* Not on the next turn: what follows may be the last milliseconds of a lease. */
    while (decide(jobs)) {
    }
    jobs_forget_snapshot(jobs);
    jobs_turn_soon(jobs);
}

void jobs_kill(struct jobs *jobs)
{
    if (jobs->ending == ENDING_KILL) {
        return;
    }
    jobs->ending = ENDING_KILL;
    scheduler_kill(&jobs->scheduler);
    jobs_sweep_start(jobs, clock_now());
    jobs_sweep_step(jobs, clock_now());
    jobs_turn_soon(jobs);
}

unsigned jobs_running(const struct jobs *jobs)
{
    return jobs->running;
}

bool jobs_idle(const struct jobs *jobs)
{
    return jobs->running == 0 && jobs->swept;
}

const char *jobs_containment(const struct jobs *jobs)
{
    return jobs->containment;
}
