/* What people ask for: trigger, cancel, pause, resume. */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "common/log.h"
#include "worker/leader/environment.h"
#include "worker/leader/job.h"

static void say(struct jobs_answer *answer, bool done, const char *text)
{
    answer->done = done;
    (void)snprintf(answer->text, sizeof(answer->text), "%s", text);
}

/* Its row is written with the answer, so that whoever asked finds it. */
static void trigger(struct jobs *jobs, struct job *job, const struct ledger_request *request,
                    struct jobs_answer *answer)
{
    bool skips = scheduler_would_skip(&job->plan);
    const char *waits = scheduler_would_wait(&jobs->scheduler, &job->plan);

    if (!job->plan.enabled) {
        say(answer, false, "it is not enabled");
        return;
    }
    jobs_new_id(jobs, answer->run_id);
    struct change *change =
        jobs_ask_change(jobs, LEDGER_INSERT, answer->run_id,
                        skips ? OUTCOME_SKIPPED : OUTCOME_QUEUED, skips ? "overlap" : "trigger");
    (void)snprintf(change->job, sizeof(change->job), "%s", job->board.name);
    change->is.job = change->job;
    change->is.scheduled_at = request->requested_at;
    change->is.origin = ORIGIN_TRIGGER;
    if (skips) {
        change->is.ended_at = clock_wall();
        job->closed++;
        say(answer, false, "it is skipped: its last run still runs, or waits");
        return;
    }
    const struct scheduler_about about = {
        .scheduled_at = request->requested_at,
        .attempt = 1,
        .origin = ORIGIN_TRIGGER,
        .stage = RUN_WAITING,
    };
    jobs_await(jobs, jobs_make_tick(jobs, job, answer->run_id, &about), change);
    if (waits == NULL) {
        say(answer, true, "it is started");
    } else {
        answer->done = true;
        (void)snprintf(answer->text, sizeof(answer->text), "it waits: %s", waits);
    }
}

static void cancel(struct jobs *jobs, struct job *job, struct jobs_answer *answer)
{
    unsigned stopped = scheduler_cancel(&jobs->scheduler, &job->plan, clock_now());

    answer->done = true;
    (void)snprintf(answer->text, sizeof(answer->text),
                   stopped == 1 ? "%u run is stopped" : "%u runs are stopped", stopped);
}

static void say_of_one(const struct jobs *jobs, bool paused, bool was, struct jobs_answer *answer)
{
    bool all = jobs->scheduler.all_paused;

    if (paused) {
        say(answer, true, was ? "it was paused already" : "it is paused");
    } else if (all) { /* a script that goes by the exit code must not take it for running */
        say(answer, false,
            was ? "its own pause has ended, but all jobs are paused: `pgbaton resume` ends that"
                : "it was not paused by itself: all jobs are paused, and `pgbaton resume` ends "
                  "that");
    } else {
        say(answer, true, was ? "it goes on" : "it was not paused");
    }
}

static void pause_or_resume(struct jobs *jobs, struct job *job,
                            const struct ledger_request *request, struct jobs_answer *answer)
{
    bool paused = request->kind == LEDGER_PAUSE;
    const struct ledger_job_change change = {.sets_paused = true, .paused = paused};
    bool was = job != NULL ? job->plan.paused : jobs->scheduler.all_paused;

    scheduler_pause(&jobs->scheduler, job != NULL ? &job->plan : NULL, paused, clock_now());
    jobs_ask_job_change(jobs, request->job, &change);
    for (size_t i = 0; i < jobs->count; i++) {
        if (job == NULL || job == jobs->list[i]) {
            jobs_show(jobs, jobs->list[i]);
        }
    }
    if (job != NULL) {
        say_of_one(jobs, paused, was, answer);
    } else if (paused) {
        say(answer, true, was ? "all jobs were paused already" : "all jobs are paused");
    } else {
        say(answer, true,
            was ? "all jobs go on, but for those paused by name"
                : "no pause of all jobs was in force; one that was paused by name is resumed by "
                  "name");
    }
}

static void obey(struct jobs *jobs, const struct ledger_request *request,
                 struct jobs_answer *answer)
{
    struct job *job = request->job[0] != '\0' ? jobs_find(jobs, request->job) : NULL;
    bool pauses = request->kind == LEDGER_PAUSE || request->kind == LEDGER_RESUME;
    bool names_none = request->job[0] == '\0';

    if (names_none ? !pauses : job == NULL || job->definition == NULL) {
        say(answer, false, "the leader has no such job");
        return;
    }
    switch (request->kind) {
    case LEDGER_TRIGGER:
        trigger(jobs, job, request, answer);
        return;
    case LEDGER_CANCEL:
        cancel(jobs, job, answer);
        return;
    case LEDGER_PAUSE:
    case LEDGER_RESUME:
        pause_or_resume(jobs, job, request, answer);
        return;
    }
}

void jobs_command(struct jobs *jobs, const struct ledger_request *request,
                  struct jobs_answer *ret_answer)
{
    *ret_answer = (struct jobs_answer){.done = false};
    if (jobs->scheduler.phase != SCHEDULER_LEADING) {
        say(ret_answer, false, "its jobs do not run now: this instance does not lead");
    } else {
        obey(jobs, request, ret_answer);
    }
    log_info("request", "kind=%s job=%s by=%s done=%s answer=%s", jobs_request_name(request->kind),
             log_text(request->job).is, log_text(request->requested_by).is,
             ret_answer->done ? "yes" : "no", log_text(ret_answer->text).is);
    jobs_turn_soon(jobs);
}

const char *jobs_request_name(enum ledger_request_kind kind)
{
    switch (kind) {
    case LEDGER_TRIGGER:
        return "trigger";
    case LEDGER_CANCEL:
        return "cancel";
    case LEDGER_PAUSE:
        return "pause";
    case LEDGER_RESUME:
        return "resume";
    }
    return "";
}

void jobs_take_requests(struct jobs *jobs, const struct ledger_request *requests, size_t count)
{
    if (jobs->scheduler.phase != SCHEDULER_LEADING) {
        return; /* the next leader's */
    }
    for (size_t i = 0; i < count; i++) {
        struct jobs_answer answer;

        jobs_command(jobs, &requests[i], &answer);
        jobs_ask_answer(jobs, requests[i].id, answer.done,
                        answer.run_id[0] != '\0' ? answer.run_id : NULL, answer.text);
    }
}

void jobs_requests_came(struct jobs *jobs)
{
    jobs->asking.requests_wanted = true;
    jobs_turn_soon(jobs);
}
