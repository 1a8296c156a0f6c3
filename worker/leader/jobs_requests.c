/* What people ask for: trigger, cancel, pause, resume. */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "common/log.h"
#include "worker/leader/environment.h"
#include "worker/leader/job.h"

static void answer(struct jobs *jobs, const struct ledger_request *request, bool done,
                   const char *run_id, const char *text)
{
    log_info("request", "kind=%s job=%s by=%s done=%s answer=%s", jobs_request_name(request->kind),
             log_text(request->job).is, log_text(request->requested_by).is, done ? "yes" : "no",
             log_text(text).is);
    jobs_ask_answer(jobs, request->id, done, run_id, text);
}

/* Its row is written with the answer, so that whoever asked finds it. */
static void trigger(struct jobs *jobs, struct job *job, const struct ledger_request *request)
{
    bool skips = scheduler_would_skip(&job->plan);
    char id[RUN_ID_MAX];

    jobs_new_id(jobs, id);
    struct change *change =
        jobs_ask_change(jobs, LEDGER_INSERT, id, skips ? OUTCOME_SKIPPED : OUTCOME_QUEUED,
                        skips ? "overlap" : "trigger");
    (void)snprintf(change->job, sizeof(change->job), "%s", job->board.name);
    change->is.job = change->job;
    change->is.scheduled_at = request->requested_at;
    change->is.origin = ORIGIN_TRIGGER;
    if (skips) {
        change->is.ended_at = clock_wall();
        answer(jobs, request, false, id, "it is skipped: its last run still runs, or waits");
        return;
    }
    const struct scheduler_about about = {
        .scheduled_at = request->requested_at,
        .attempt = 1,
        .origin = ORIGIN_TRIGGER,
        .stage = RUN_WAITING,
    };
    struct tick *tick = jobs_make_tick(jobs, job, id, &about);
    jobs_await(jobs, tick, change);
    answer(jobs, request, true, id, "it is started");
}

static void cancel(struct jobs *jobs, struct job *job, const struct ledger_request *request)
{
    char text[64];
    unsigned stopped = scheduler_cancel(&jobs->scheduler, &job->plan, clock_now());

    (void)snprintf(text, sizeof(text), stopped == 1 ? "%u run is stopped" : "%u runs are stopped",
                   stopped);
    answer(jobs, request, true, NULL, text);
}

static void pause_or_resume(struct jobs *jobs, struct job *job,
                            const struct ledger_request *request)
{
    bool paused = request->kind == LEDGER_PAUSE;
    const struct ledger_job_change change = {.sets_paused = true, .paused = paused};

    scheduler_pause(&jobs->scheduler, job != NULL ? &job->plan : NULL, paused, clock_now());
    jobs_ask_job_change(jobs, request->job, &change);
    answer(jobs, request, true, NULL, paused ? "it is paused" : "it goes on");
}

static void take(struct jobs *jobs, const struct ledger_request *request)
{
    struct job *job = request->job[0] != '\0' ? jobs_find(jobs, request->job) : NULL;
    bool pauses = request->kind == LEDGER_PAUSE || request->kind == LEDGER_RESUME;

    if (request->job[0] == '\0' ? !pauses : job == NULL || job->definition == NULL) {
        answer(jobs, request, false, NULL, "the leader has no such job");
        return;
    }
    switch (request->kind) {
    case LEDGER_TRIGGER:
        if (job->plan.enabled) {
            trigger(jobs, job, request);
        } else {
            answer(jobs, request, false, NULL, "it is not enabled");
        }
        return;
    case LEDGER_CANCEL:
        cancel(jobs, job, request);
        return;
    case LEDGER_PAUSE:
    case LEDGER_RESUME:
        pause_or_resume(jobs, job, request);
        return;
    }
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
    if (jobs->ending != ENDING_NOT) {
        return; /* the next leader's */
    }
    for (size_t i = 0; i < count; i++) {
        take(jobs, &requests[i]);
    }
}

void jobs_requests_came(struct jobs *jobs)
{
    jobs->asking.requests_wanted = true;
    jobs_turn_soon(jobs);
}
