/* What the terms before have left in the ledger: the state of each job, and open runs. */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "common/log.h"
#include "worker/leader/environment.h"
#include "worker/leader/follow_up.h"
#include "worker/leader/job.h"

/* ---- jobs ---- */

static const struct ledger_job_state *find_state(const struct ledger_state *state, const char *name)
{
    size_t low = 0;
    size_t high = state->job_count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(state->jobs[middle].job, name);

        if (order == 0) {
            return &state->jobs[middle];
        }
        if (order < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return NULL;
}

/* It is seen for the first time, was changed, or is enabled again: it has no past before now. Said
 * at once, so that a leader that ends before the first tick leaves it to the next. */
void jobs_begin_history(struct jobs *jobs, struct job *job, wall_ns now)
{
    const struct ledger_job_change change = {
        .sets_tick = true, .last_tick = now, .schedule_hash = job->schedule_hash};

    jobs_ask_job_change(jobs, job->board.name, &change);
}

static wall_ns not_in_the_future(const struct job *job, wall_ns last_tick, wall_ns now)
{
    if (last_tick <= now + SCHEDULER_AHEAD) {
        return last_tick;
    }
    log_warn("last_tick_in_future", "job=%s last_tick=%s database_clock=%s effect=%s",
             log_text(job->board.name).is, instant_text(last_tick).is, instant_text(now).is,
             "\"its ticks are counted from the database's clock\"");
    return now;
}

/* Neither clock is to make a past that there was not. */
static wall_ns earliest_now(wall_ns database_clock)
{
    wall_ns ours = clock_wall();

    return ours < database_clock ? ours : database_clock;
}

static void take_job(struct jobs *jobs, struct job *job, const struct ledger_job_state *state,
                     wall_ns database_clock)
{
    wall_ns now = earliest_now(database_clock);
    bool clocked = schedule_is_clocked(&job->plan.schedule);
    bool has_past = clocked && state != NULL && state->last_tick > 0 &&
                    state->schedule_hash == job->schedule_hash && job->schedule_hash != 0;
    bool is_new = clocked && !has_past &&
                  (job->schedule_hash != 0 || (state != NULL && state->schedule_hash != 0));
    wall_ns last_tick = has_past ? not_in_the_future(job, state->last_tick, database_clock) : 0;
    /* Or the next leader would find it again. */
    bool is_cut = has_past && last_tick < state->last_tick;

    job->failures = state != NULL ? state->failures : 0;
    scheduler_know(&jobs->scheduler, &job->plan, last_tick, has_past ? jobs->unknown_until : 0,
                   state != NULL && state->paused, clock_wall());
    if (is_cut) {
        jobs_begin_history(jobs, job, last_tick);
    } else if (is_new) {
        jobs_begin_history(jobs, job, job->plan.last_tick != 0 ? job->plan.last_tick : now);
    }
}

/* ---- runs ---- */

/* The leader that had it is gone, and all of its processes with it. */
static void close_interrupted(struct jobs *jobs, struct job *job, const struct ledger_open_run *run)
{
    const char *reason =
        run->started_at != 0 ? "its leader ended" : "its leader ended before or after the start";
    struct change *change =
        jobs_ask_change(jobs, LEDGER_UPDATE, run->id, OUTCOME_INTERRUPTED, reason);

    change->is.started_at = run->started_at;
    change->is.ended_at = clock_wall();
    log_warn("job_interrupted", "job=%s run=%s epoch=%s", log_text(run->job).is, run->id,
             epoch_text(run->epoch).is);
    if (job == NULL) {
        return;
    }
    job->closed++;
    if (job->plan.enabled) {
        jobs_follow_interrupted(jobs, job, run);
    }
}

static void take_up(struct jobs *jobs, struct job *job, const struct ledger_open_run *run,
                    bool made_up)
{
    bool retries = run->outcome == OUTCOME_RETRYING;
    const struct scheduler_about about = {
        .scheduled_at = run->scheduled_at,
        .attempt = run->attempt,
        .origin = run->origin,
        .stage = retries ? RUN_DELAYED : RUN_WAITING,
        .made_up = made_up,
        .settled = true,
        .due_at = retries ? run->due_at : 0,
    };

    jobs_make_tick(jobs, job, run->id, &about)->promotes = true;
}

static void close_left_over(struct jobs *jobs, struct job *job, const struct ledger_open_run *run,
                            enum outcome outcome, const char *reason)
{
    struct change *change = jobs_ask_change(jobs, LEDGER_UPDATE, run->id, outcome, reason);

    change->is.ended_at = clock_wall();
    if (job != NULL) {
        job->closed++;
        job->board.skips++;
    }
    log_warn("job_left_over", "job=%s run=%s scheduled_at=%s outcome=%s reason=%s",
             log_text(run->job).is, run->id, instant_text(run->scheduled_at).is,
             outcome_name(outcome), log_text(reason).is);
}

static void take_left_over(struct jobs *jobs, struct job *job, const struct ledger_open_run *run,
                           const struct ledger_job_state *state, wall_ns now)
{
    const struct config *cfg = jobs->world.config;
    const struct schedule *schedule = &job->plan.schedule;
    const struct left_over_rules rules = {
        .overlap = job->plan.policy.overlap,
        .missed = job->plan.policy.missed,
        .window = job->plan.policy.missed_window,
        .prompt = cfg->pgbaton.stop_timeout + cfg->election.lease,
    };
    bool is_tick = run->outcome == OUTCOME_QUEUED && run->origin == ORIGIN_SCHEDULE &&
                   run->attempt == 1 && schedule_is_clocked(schedule);
    const struct left_over facts = {
        .of_term = follow_up_is_of_term(schedule->kind, run->origin),
        .is_tick = is_tick,
        .handed_over = strcmp(run->reason, LEFT_OVER_HAND_OVER) == 0,
        .overlaps = strcmp(run->reason, SCHEDULER_OVERLAP) == 0,
        .rescheduled = state != NULL && state->schedule_hash != job->schedule_hash,
        .later_due = is_tick && schedule_next(schedule, run->scheduled_at) <= now,
        .scheduled_at = run->scheduled_at,
    };
    const struct left_over_end end = left_over_decide(&rules, &facts, now);

    if (end.runs) {
        take_up(jobs, job, run, end.made_up);
    } else {
        close_left_over(jobs, job, run, end.outcome, end.reason);
    }
}

static void take_run(struct jobs *jobs, const struct ledger_open_run *run,
                     const struct ledger_job_state *state, wall_ns now)
{
    struct job *job = jobs_find(jobs, run->job);
    bool runs_here = job != NULL && job->definition != NULL && job->plan.enabled;

    if (epoch_equal(run->epoch, jobs->epoch)) {
        return; /* ours, of this very term: it is known */
    }
    if (run->outcome == OUTCOME_CLAIMED || run->outcome == OUTCOME_RUNNING) {
        close_interrupted(jobs, job, run);
    } else if (runs_here && !job->plan.known) {
        take_left_over(jobs, job, run, state, now);
    } else if (!runs_here && left_over_is_gone(run->scheduled_at, now)) {
        close_left_over(jobs, job, run, OUTCOME_CANCELLED, "removed");
    } /* else it waits for a leader that has the job */
}

void jobs_take_state(struct jobs *jobs, const struct ledger_state *state)
{
    const struct ledger_job_state *all = find_state(state, "");
    wall_ns now = earliest_now(state->database_clock);

    if (jobs->scheduler.phase != SCHEDULER_LEADING) {
        return; /* it is over, or nearly so */
    }
    /* Later in a term we know better: our own change may not be written yet. */
    if (!jobs->asking.loaded) {
        scheduler_pause(&jobs->scheduler, NULL, all != NULL && all->paused, clock_now());
    }
    for (size_t i = 0; i < state->run_count; i++) {
        const struct ledger_open_run *run = &state->runs[i];

        take_run(jobs, run, find_state(state, run->job), now);
    }
    for (size_t i = 0; i < jobs->count; i++) {
        struct job *job = jobs->list[i];

        if (job->definition != NULL && !job->plan.known) {
            take_job(jobs, job, find_state(state, job->board.name), state->database_clock);
            jobs_show(jobs, job);
        }
    }
}
