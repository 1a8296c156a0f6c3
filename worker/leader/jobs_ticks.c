/* What becomes of a tick: a run that is claimed, started, and whose end is written. */
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "worker/leader/environment.h"
#include "worker/leader/follow_up.h"
#include "worker/leader/job.h"

enum { RUN_ROOM_LEAST = 64 };

/* ---- memory ---- */

void jobs_new_id(struct jobs *jobs, char ret_id[RUN_ID_MAX])
{
    (void)snprintf(ret_id, RUN_ID_MAX, "%s-%" PRIu64, epoch_text(jobs->epoch).is,
                   ++jobs->run_number);
}

static void make_room(struct jobs *jobs)
{
    size_t room = jobs->run_room < RUN_ROOM_LEAST ? RUN_ROOM_LEAST : jobs->run_room * 2;
    struct heap_item **starts;
    struct heap_item **alarms;

    if (jobs->scheduler.known < jobs->run_room) {
        return;
    }
    starts = jobs_must_have(calloc(room, sizeof(struct heap_item *)));
    alarms = jobs_must_have(calloc(room, sizeof(struct heap_item *)));
    scheduler_run_room(&jobs->scheduler, starts, alarms, room);
    free(jobs->starts);
    free(jobs->run_alarms);
    jobs->starts = starts;
    jobs->run_alarms = alarms;
    jobs->run_room = room;
}

struct tick *jobs_make_tick(struct jobs *jobs, struct job *job, const char *id,
                            const struct scheduler_about *about)
{
    struct tick *tick = jobs_must_have(calloc(1, sizeof(*tick)));

    make_room(jobs);
    tick->job = job;
    (void)snprintf(tick->id, sizeof(tick->id), "%s", id);
    scheduler_add(&jobs->scheduler, &tick->plan, &job->plan, about, tick);
    return tick;
}

void jobs_drop_tick(struct jobs *jobs, struct tick *tick)
{
    assert(tick->run == NULL);
    jobs_forget_tick(jobs, tick);
    scheduler_remove(&jobs->scheduler, &tick->plan);
    free(tick);
}

/* The ledger has microseconds, and so have all instants. */
static wall_ns in_ledger(wall_ns at)
{
    return at - at % LEDGER_RESOLUTION;
}

/* For what is due whenever it is: it is not to wait for either clock. */
static wall_ns about_now(const struct jobs *jobs)
{
    dur_ns ahead = jobs->asking.database_ahead;

    return in_ledger(clock_wall() + (ahead < 0 ? ahead : 0));
}

static bool has_instant(const struct job *job)
{
    return schedule_is_clocked(&job->plan.schedule);
}

size_t jobs_is_ahead(const struct jobs *jobs, struct tick *tick)
{
    if (tick->promotes || (has_instant(tick->job) && tick->plan.origin == ORIGIN_SCHEDULE)) {
        return 1;
    }
    tick->plan.scheduled_at = about_now(jobs);
    return 0;
}

/* ---- before the start ---- */

void jobs_carry_out_tick(struct jobs *jobs, const struct scheduler_decision *decision)
{
    char id[RUN_ID_MAX];
    const struct scheduler_about about = {
        .scheduled_at =
            has_instant(decision->job->owner) ? in_ledger(decision->scheduled_at) : about_now(jobs),
        .attempt = 1,
        .origin = decision->origin,
        .stage = RUN_ASKED,
        .made_up = decision->made_up,
        .in_time = decision->in_time,
        .settled = true,
    };

    jobs_new_id(jobs, id);
    jobs_ask_claim(jobs, jobs_make_tick(jobs, decision->job->owner, id, &about));
}

static void advance(struct jobs *jobs, const struct job *job, wall_ns last_tick)
{
    const struct ledger_job_change change = {
        .advances = true, .last_tick = last_tick, .schedule_hash = job->schedule_hash};

    jobs_ask_job_change(jobs, job->board.name, &change);
}

/* A row that no run of ours belongs to. */
static struct change *insert(struct jobs *jobs, const struct job *job, wall_ns scheduled_at,
                             enum outcome outcome, const char *reason)
{
    char id[RUN_ID_MAX];

    jobs_new_id(jobs, id);
    struct change *change = jobs_ask_change(jobs, LEDGER_INSERT, id, outcome, reason);
    (void)snprintf(change->job, sizeof(change->job), "%s", job->board.name);
    change->is.job = change->job;
    change->is.scheduled_at = in_ledger(scheduled_at);
    change->is.origin = ORIGIN_SCHEDULE;
    return change;
}

void jobs_carry_out_leave(struct jobs *jobs, const struct scheduler_decision *decision)
{
    const struct job *job = decision->job->owner;

    (void)insert(jobs, job, decision->scheduled_at, OUTCOME_QUEUED, LEFT_OVER_HAND_OVER);
    advance(jobs, job, decision->scheduled_at);
}

void jobs_carry_out_record(struct jobs *jobs, const struct scheduler_decision *decision)
{
    struct job *job = decision->job->owner;
    struct change *change =
        insert(jobs, job, decision->scheduled_at, decision->outcome, decision->reason);
    bool missed = decision->outcome == OUTCOME_MISSED;

    change->is.last_at = decision->count > 1 ? in_ledger(decision->last_at) : 0;
    change->is.count = decision->count;
    change->is.ended_at = clock_wall();
    job->closed++;
    advance(jobs, job, decision->last_at);
    job->board.skips += decision->count;
    log_event(missed ? LEVEL_WARN : LEVEL_INFO, missed ? "job_missed" : "job_skipped",
              "job=%s first=%s last=%s count=%" PRIu64 " reason=%s", log_text(job->board.name).is,
              instant_text(decision->scheduled_at).is, instant_text(decision->last_at).is,
              decision->count, log_text(decision->reason).is);
    jobs_show(jobs, job);
}

void jobs_carry_out_wait(struct jobs *jobs, struct tick *tick, const char *reason)
{
    struct change *change = jobs_ask_change(jobs, LEDGER_UPDATE, tick->id, OUTCOME_QUEUED, reason);

    jobs_await(jobs, tick, change);
    log_info("job_waits", "job=%s run=%s scheduled_at=%s reason=%s",
             log_text(tick->job->board.name).is, tick->id, instant_text(tick->plan.scheduled_at).is,
             reason);
}

void jobs_carry_out_promote(struct jobs *jobs, struct tick *tick)
{
    tick->promotes = true;
    tick->claimed = false;
    jobs_ask_claim(jobs, tick);
}

void jobs_carry_out_drop(struct jobs *jobs, struct tick *tick, enum outcome outcome,
                         const char *reason)
{
    struct job *job = tick->job;
    struct change *change = jobs_ask_change(jobs, LEDGER_UPDATE, tick->id, outcome, reason);

    change->is.ended_at = clock_wall();
    job->closed++;
    job->board.skips++;
    log_warn(outcome == OUTCOME_MISSED ? "job_missed" : "job_skipped",
             "job=%s run=%s scheduled_at=%s outcome=%s reason=%s", log_text(job->board.name).is,
             tick->id, instant_text(tick->plan.scheduled_at).is, outcome_name(outcome),
             log_text(reason).is);
    if (tick->plan.origin == ORIGIN_RETRY && outcome == OUTCOME_SKIPPED) {
        jobs_write_untried(jobs, tick, change);
    }
    jobs_drop_tick(jobs, tick);
    jobs_show(jobs, job);
}

/* What waits has a queued row, or one that is on its way to it. */
void jobs_carry_out_hand_over(struct jobs *jobs, struct tick *tick)
{
    if (tick->plan.origin == ORIGIN_RETRY && jobs->ending == ENDING_DRAIN &&
        follow_up_is_of_term(tick->job->plan.schedule.kind, ORIGIN_RETRY)) {
        struct change *change =
            jobs_ask_change(jobs, LEDGER_UPDATE, tick->id, OUTCOME_CANCELLED, "its term has ended");

        change->is.ended_at = clock_wall();
        tick->job->closed++;
        jobs_write_untried(jobs, tick, change);
    } else if (tick->plan.stage == RUN_GRANTED) {
        (void)jobs_ask_change(jobs, LEDGER_UPDATE, tick->id, OUTCOME_QUEUED, LEFT_OVER_HAND_OVER);
    }
    jobs_drop_tick(jobs, tick);
}

/* ---- the start ---- */

/* The run is over though it has no process: as far as is known it never began. */
static void start_failed(struct jobs *jobs, struct tick *tick, const char *reason)
{
    struct job *job = tick->job;

    log_error("job_failed_to_start", "job=%s run=%s epoch=%s reason=%s",
              log_text(job->board.name).is, tick->id, epoch_text(jobs->epoch).is,
              log_text(reason).is);
    job->board.last_outcome = OUTCOME_FAILED;
    job->board.last_code = 127; /* what a shell says of a command that it cannot run */
    job->board.last_started_at = clock_wall(); /* or `status` would tell of an earlier run */
    job->board.last_ended_at = job->board.last_started_at;
    job->board.failures++;
    jobs_write_end(jobs, tick, OUTCOME_FAILED, reason);
    jobs_forget_tick(jobs, tick);
    scheduler_ended(&jobs->scheduler, &tick->plan, clock_now());
    free(tick);
    jobs_show(jobs, job);
}

/* A worker that slept is not the leader any more: what it has claimed is the next one's. */
static void not_started(struct jobs *jobs, struct tick *tick)
{
    log_debug("job_not_started", "job=%s run=%s reason=lease_over",
              log_text(tick->job->board.name).is, tick->id);
    (void)jobs_ask_change(jobs, LEDGER_UPDATE, tick->id, OUTCOME_QUEUED, LEFT_OVER_HAND_OVER);
    jobs_forget_tick(jobs, tick);
    scheduler_ended(&jobs->scheduler, &tick->plan, clock_now());
    free(tick);
}

static void run_began(struct jobs *jobs, struct tick *tick)
{
    struct job *job = tick->job;
    struct run *run = tick->run;
    struct run **bucket = &jobs->by_pid[(unsigned)run->pid % PID_BUCKETS];

    run->next = *bucket;
    *bucket = run;
    jobs->running++;
    jobs->swept = false;
    job->board.runs++;
    job->board.last_started_at = run->started_wall;
    scheduler_started(&jobs->scheduler, &tick->plan, run->started_at);
    jobs_report_start(jobs, tick);
    log_info("job_started", "job=%s run=%s pid=%d", log_text(job->board.name).is, run->id,
             (int)run->pid);
    jobs_show(jobs, job);
}

void jobs_carry_out_start(struct jobs *jobs, struct tick *tick)
{
    char reason[RUN_REASON_MAX] = "";
    struct job *job = tick->job;

    assert(tick->run == NULL);
    assert(job->definition != NULL);
    if (job->account == NULL) {
        job->account = jobs_account(jobs, job->definition->user, reason, sizeof(reason));
    }
    if (job->account == NULL) {
        start_failed(jobs, tick, reason);
        return;
    }
    struct epoch_text epoch = epoch_text(jobs->epoch);
    struct run_order order = {
        .job = job->definition,
        .account = job->account,
        .epoch = epoch.is,
        .id = tick->id,
        .number = ++jobs->process_number,
        .attempt = tick->plan.attempt,
        .scheduled_at = tick->plan.scheduled_at,
        .may_start = jobs->events.may_start,
        .ctx = jobs->events.ctx,
    };
    tick->run = run_start(&jobs->world, &order, tick, reason, sizeof(reason));
    if (tick->run != NULL) {
        run_began(jobs, tick);
    } else if (reason[0] != '\0') {
        start_failed(jobs, tick, reason);
    } else {
        not_started(jobs, tick);
    }
}

/* ---- the end ---- */

static enum run_end end_of(const struct job *job, const struct run *run)
{
    int code = WEXITSTATUS(run->status);

    if (!WIFEXITED(run->status)) {
        return RUN_END_FAILED;
    }
    if (run->is_sql) {
        return code == 0 ? RUN_END_COMMITTED : RUN_END_FAILED;
    }
    bool succeeded =
        job->definition == NULL ? code == 0 : exit_codes_has(&job->definition->success_codes, code);
    return succeeded ? RUN_END_SUCCEEDED : RUN_END_FAILED;
}

static void log_end(const struct tick *tick, enum outcome outcome, mono_ns now)
{
    const struct run *run = tick->run;
    bool bad = outcome == OUTCOME_FAILED || outcome == OUTCOME_TIMED_OUT;
    const char *why = stop_reason_name(tick->plan.why);

    log_event(bad ? LEVEL_WARN : LEVEL_INFO, "job_ended",
              "job=%s run=%s pid=%d code=%d outcome=%s%s%s seconds=%.3f",
              log_text(tick->job->board.name).is, run->id, (int)run->pid, run_code(run),
              outcome_name(outcome), why[0] != '\0' ? " reason=" : "", why,
              (double)(now - run->started_at) / (double)DUR_S(1));
}

void jobs_end_run(struct jobs *jobs, struct tick *tick)
{
    struct job *job = tick->job;
    struct run *run = tick->run;
    mono_ns now = clock_now();
    enum outcome outcome = follow_up_outcome(tick->plan.why, end_of(job, run), tick->plan.origin);

    assert(run->reaped);
    assert(jobs->running > 0);
    if (tick->lingers) {
        tick->lingers = false;
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
    log_end(tick, outcome, now);
    jobs_write_end(jobs, tick, outcome, stop_reason_name(tick->plan.why));
    run_free(&jobs->world, run);
    tick->run = NULL;
    jobs_forget_tick(jobs, tick);
    scheduler_ended(&jobs->scheduler, &tick->plan, now);
    free(tick);
    jobs_show(jobs, job);
}
