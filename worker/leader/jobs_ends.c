/* The end of a run as the ledger gets it: its outcome, and what follows from it, in one go. */
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "common/log.h"
#include "worker/leader/environment.h"
#include "worker/leader/follow_up.h"
#include "worker/leader/job.h"

/* A row of a run that follows from this one. */
static struct change *row_of(struct jobs *jobs, const char *parent, const struct job *job,
                             enum outcome outcome, const char *reason)
{
    char id[RUN_ID_MAX];

    jobs_new_id(jobs, id);
    struct change *change = jobs_ask_change(jobs, LEDGER_INSERT, id, outcome, reason);
    (void)snprintf(change->job, sizeof(change->job), "%s", job->board.name);
    (void)snprintf(change->parent, sizeof(change->parent), "%s", parent);
    change->follows = true;
    change->is.job = change->job;
    change->is.parent = change->parent;
    return change;
}

/* It is not started before its row is written. */
static void follow(struct jobs *jobs, const char *parent, struct job *job,
                   const struct scheduler_about *about, const char *reason)
{
    bool delayed = about->stage == RUN_DELAYED;
    bool leads = jobs->ending == ENDING_NOT;
    struct change *change =
        row_of(jobs, parent, job, delayed ? OUTCOME_RETRYING : OUTCOME_QUEUED, reason);

    change->is.scheduled_at = about->scheduled_at;
    change->is.attempt = about->attempt;
    change->is.origin = about->origin;
    change->is.due_at = about->due_at;
    if (leads) { /* else it is the next leader's */
        struct tick *tick = jobs_make_tick(jobs, job, change->id, about);

        jobs_await(jobs, tick, change);
    }
}

static void try_again(struct jobs *jobs, const struct tick *tick, const struct follow_up *next)
{
    const struct scheduler_about about = {
        .scheduled_at = tick->plan.scheduled_at,
        .attempt = tick->plan.attempt + 1,
        .origin = next->retries ? ORIGIN_RETRY : ORIGIN_RERUN,
        .stage = next->retries ? RUN_DELAYED : RUN_WAITING,
        .due_at = next->retries ? clock_wall() + next->delay : 0,
    };

    if (next->retries) {
        log_info("job_retries", "job=%s run=%s attempt=%u in=%.3fs",
                 log_text(tick->job->board.name).is, tick->id, about.attempt,
                 (double)next->delay / (double)DUR_S(1));
    }
    follow(jobs, tick->id, tick->job, &about, next->retries ? "retry" : "rerun");
}

/* As a tick would be: what comes more often than it can be run would only be later and later. */
static void skip_child(struct jobs *jobs, const char *parent, struct job *child,
                       wall_ns scheduled_at)
{
    struct change *change = row_of(jobs, parent, child, OUTCOME_SKIPPED, SCHEDULER_OVERLAP);

    change->is.scheduled_at = scheduled_at;
    change->is.origin = ORIGIN_AFTER;
    change->is.ended_at = clock_wall();
    child->closed++;
    child->board.skips++;
    jobs_show(jobs, child);
    log_warn("job_skipped", "job=%s run=%s scheduled_at=%s outcome=%s reason=%s",
             log_text(child->board.name).is, change->id, instant_text(scheduled_at).is,
             outcome_name(OUTCOME_SKIPPED), SCHEDULER_OVERLAP);
}

static void start_children(struct jobs *jobs, const char *parent, const struct job *job,
                           wall_ns scheduled_at, enum outcome outcome)
{
    for (unsigned i = 0; i < job->child_count; i++) {
        struct job *child = job->children[i];
        const struct scheduler_about about = {
            .scheduled_at = scheduled_at,
            .attempt = 1,
            .origin = ORIGIN_AFTER,
            .stage = RUN_WAITING,
            .due_at = clock_wall(), /* how late it is does not count its parent's run */
        };

        if (!child->plan.enabled || (outcome != OUTCOME_SUCCEEDED && !child->plan.schedule.any)) {
            continue;
        }
        if (scheduler_lets_pass(&child->plan)) {
            skip_child(jobs, parent, child, scheduled_at);
        } else {
            follow(jobs, parent, child, &about, "after");
        }
    }
}

void jobs_follow_interrupted(struct jobs *jobs, struct job *job, const struct ledger_open_run *run)
{
    const struct follow_up next = follow_up_decide(&job->plan.policy, OUTCOME_INTERRUPTED,
                                                   run->attempt, run->origin, &jobs->random);
    const struct scheduler_about about = {
        .scheduled_at = run->scheduled_at,
        .attempt = run->attempt + 1,
        .origin = ORIGIN_RERUN,
        .stage = RUN_WAITING,
    };

    if (next.reruns && !follow_up_is_of_term(job->plan.schedule.kind, run->origin)) {
        follow(jobs, run->id, job, &about, "rerun");
    } else if (run->origin != ORIGIN_SERVICE) {
        start_children(jobs, run->id, job, run->scheduled_at, OUTCOME_INTERRUPTED);
    }
}

/* What is to be run is known now; it is run when the end is in the ledger, so that a leader that
 * dies in between does not make its successor say it again. */
static void plan_hooks(const struct job *job, const struct tick *tick, struct change *change,
                       enum outcome outcome, bool is_retried)
{
    const struct hook_facts facts = {
        .outcome = outcome,
        .is_retried = is_retried,
        .failures_before = job->failures,
    };
    bool fails = facts.outcome != OUTCOME_SUCCEEDED;

    change->hooks = hook_rule(&facts);
    change->attempt = tick->plan.attempt;
    change->scheduled_at = tick->plan.scheduled_at;
    change->failures = fails ? job->failures + 1 : 0;
    (void)snprintf(change->job, sizeof(change->job), "%s", job->board.name);
}

void jobs_run_hooks(struct jobs *jobs, const struct change *change)
{
    struct job *job = jobs_find(jobs, change->job);
    const struct epoch_text epoch = epoch_text(jobs->epoch);

    if (job == NULL || job->definition == NULL || job->account == NULL ||
        jobs->ending > ENDING_DRAIN) {
        return;
    }
    const struct hook_call call = {
        .hooks = change->hooks,
        .job = job->definition,
        .account = job->account,
        .epoch = epoch.is,
        .number = &jobs->process_number,
        .run_id = change->id,
        .scheduled_at = change->scheduled_at,
        .attempt = change->attempt,
        .outcome = change->is.outcome,
        .code = change->is.code,
        .reason = change->is.reason,
        .result = change->is.result,
        .failures = change->failures,
        .started_at = change->is.started_at,
        .ended_at = change->is.ended_at,
        .may_start = jobs->events.may_start,
        .ctx = jobs->events.ctx,
    };
    if (hooks_run(&jobs->hooks, &call) > 0) {
        jobs->swept = false;
    }
}

static void count_failures(struct jobs *jobs, struct job *job, enum outcome outcome)
{
    unsigned failures = outcome == OUTCOME_SUCCEEDED ? 0 : job->failures + 1;

    if (outcome != OUTCOME_SUCCEEDED && outcome != OUTCOME_FAILED && outcome != OUTCOME_TIMED_OUT) {
        return;
    }
    if (failures != job->failures) {
        const struct ledger_job_change change = {.sets_failures = true, .failures = failures};

        jobs_ask_job_change(jobs, job->board.name, &change);
        job->failures = failures;
    }
}

static char *copy_of(const char *bytes, size_t count)
{
    char *copy = NULL;

    if (count > 0) {
        copy = jobs_must_have(malloc(count));
        memcpy(copy, bytes, count);
    }
    return copy;
}

static void keep_output(struct change *change, struct run *run)
{
    const struct excerpt *excerpt = run_excerpt(run);
    size_t head_bytes = 0;
    size_t tail_bytes = 0;
    const char *head = excerpt_head(excerpt, &head_bytes);
    const char *tail = excerpt_tail(excerpt, &tail_bytes);

    change->head = copy_of(head, head_bytes);
    change->tail = copy_of(tail, tail_bytes);
    change->is.output_head = change->head;
    change->is.output_head_bytes = head_bytes;
    change->is.output_tail = change->tail;
    change->is.output_tail_bytes = tail_bytes;
    change->is.output_bytes = excerpt_total(excerpt);
}

static void keep_result(struct change *change, const struct run *run)
{
    const char *result = run_result(run);

    if (result[0] != '\0') {
        change->result = jobs_must_have(strdup(result));
        change->is.result = change->result;
    }
}

static void describe(struct change *change, const struct tick *tick, enum outcome outcome,
                     const char *reason)
{
    const struct run *run = tick->run;

    change->is.ended_at = clock_wall();
    change->is.started_at = run != NULL ? run->started_wall : 0;
    change->is.code = run != NULL ? run_code(run) : -1;
    if (run != NULL) {
        keep_output(change, tick->run);
        keep_result(change, run);
    }
    if (reason[0] != '\0' || run == NULL || outcome == OUTCOME_SUCCEEDED) {
        return;
    }
    if (run_reason(run)[0] != '\0') {
        (void)snprintf(change->reason, sizeof(change->reason), "%s", run_reason(run));
    } else if (WIFSIGNALED(run->status)) {
        (void)snprintf(change->reason, sizeof(change->reason), "signal %d", WTERMSIG(run->status));
    } else {
        (void)snprintf(change->reason, sizeof(change->reason), "exit code %d",
                       WEXITSTATUS(run->status));
    }
    change->is.reason = change->reason;
}

void jobs_write_end(struct jobs *jobs, struct tick *tick, enum outcome outcome, const char *reason)
{
    struct job *job = tick->job;
    struct follow_up next = follow_up_decide(&job->plan.policy, outcome, tick->plan.attempt,
                                             tick->plan.origin, &jobs->random);
    bool forgets = outcome == OUTCOME_SUCCEEDED && job->definition != NULL &&
                   job->definition->record == RECORD_FAILURES;
    struct change *change = jobs_ask_change(jobs, forgets ? LEDGER_DELETE : LEDGER_UPDATE, tick->id,
                                            outcome, reason[0] != '\0' ? reason : NULL);

    jobs_forget_report(jobs, tick);
    describe(change, tick, outcome, reason);
    job->closed++;
    /* Of what somebody has asked for, too, the second attempt would be the term's. */
    if (jobs->ending != ENDING_NOT && follow_up_is_of_term(job->plan.schedule.kind, ORIGIN_RETRY)) {
        next.retries = false; /* it would be another term's */
        next.reruns = false;
        next.is_last = true;
    }
    bool again = (next.retries || next.reruns) && job->plan.enabled;

    if (tick->plan.origin != ORIGIN_SERVICE) {
        plan_hooks(job, tick, change, outcome, again);
    }
    if (again) {
        try_again(jobs, tick, &next);
    } else if (tick->plan.origin != ORIGIN_SERVICE) {
        start_children(jobs, tick->id, job, tick->plan.scheduled_at, outcome);
        count_failures(jobs, job, outcome);
    }
}

void jobs_write_untried(struct jobs *jobs, struct tick *tick, struct change *change)
{
    struct job *job = tick->job;

    plan_hooks(job, tick, change, OUTCOME_FAILED, false);
    start_children(jobs, tick->id, job, tick->plan.scheduled_at, OUTCOME_FAILED);
    count_failures(jobs, job, OUTCOME_FAILED);
}
