/* What the ledger is to be asked, gathered: claims, changes with all that they point to, answers.
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "worker/leader/job.h"

void jobs_ask_load(struct jobs *jobs)
{
    jobs->asking.load_wanted = true;
}

void jobs_ask_prunes(struct jobs *jobs)
{
    for (size_t i = 0; i < jobs->count; i++) {
        jobs->list[i]->closed++;
    }
}

void jobs_ask_claim(struct jobs *jobs, struct tick *tick)
{
    struct asking *a = &jobs->asking;

    a->claims = jobs_grow(a->claims, a->claim_count, &a->claim_room, sizeof(*a->claims));
    a->claims[a->claim_count++] = tick;
}

static void write_soon(struct asking *a)
{
    if (a->write_at == MONO_NEVER) {
        a->write_at = clock_now() + LEDGER_WRITE_WITHIN;
    }
}

struct change *jobs_ask_change(struct jobs *jobs, enum ledger_change_kind kind, const char *id,
                               enum outcome outcome, const char *reason)
{
    struct asking *a = &jobs->asking;
    struct change *change = jobs_must_have(calloc(1, sizeof(*change)));

    (void)snprintf(change->id, sizeof(change->id), "%s", id);
    (void)snprintf(change->reason, sizeof(change->reason), "%s", reason != NULL ? reason : "");
    change->is = (struct ledger_change){
        .kind = kind,
        .id = change->id,
        .outcome = outcome,
        .reason = reason != NULL ? change->reason : NULL,
        .count = 1,
        .attempt = 1,
        .code = -1,
    };
    a->changes = jobs_grow(a->changes, a->change_count, &a->change_room, sizeof(*a->changes));
    a->changes[a->change_count++] = change;
    write_soon(a);
    return change;
}

bool jobs_says_tick(const struct job_change *change)
{
    return change->is.sets_tick || change->is.advances;
}

void jobs_ask_job_change(struct jobs *jobs, const char *job, const struct ledger_job_change *change)
{
    struct asking *a = &jobs->asking;

    a->job_changes = jobs_grow(a->job_changes, a->job_change_count, &a->job_change_room,
                               sizeof(*a->job_changes));
    struct job_change *to = &a->job_changes[a->job_change_count++];
    *to = (struct job_change){.is = *change, .after = a->changes_written + a->change_count};
    a->tick_changes += jobs_says_tick(to);
    (void)snprintf(to->job.is, sizeof(to->job.is), "%s", job);
    write_soon(a);
}

void jobs_ask_answer(struct jobs *jobs, int64_t request, bool done, const char *run_id,
                     const char *text)
{
    struct asking *a = &jobs->asking;

    assert(a->answers_asked == 0); /* requests are not looked for until those are written */
    a->answers = jobs_grow(a->answers, a->answer_count, &a->answer_room, sizeof(*a->answers));
    struct answer *to = &a->answers[a->answer_count++];
    *to = (struct answer){.is = {.request = request, .done = done}};
    (void)snprintf(to->run_id, sizeof(to->run_id), "%s", run_id != NULL ? run_id : "");
    (void)snprintf(to->text, sizeof(to->text), "%s", text);
    a->write_at = clock_now(); /* somebody waits */
}

void jobs_await(struct jobs *jobs, struct tick *tick, struct change *change)
{
    change->tick = tick;
    tick->changes++;
    tick->promotes = true;
    jobs->asking.write_at = clock_now(); /* it is not started before */
}

void jobs_report_start(struct jobs *jobs, struct tick *tick)
{
    struct asking *a = &jobs->asking;

    assert(!tick->unreported);
    tick->unreported = true;
    tick->next_unreported = NULL;
    tick->last_unreported = a->last_unreported;
    if (a->last_unreported != NULL) {
        a->last_unreported->next_unreported = tick;
    } else {
        a->unreported = tick;
    }
    a->last_unreported = tick;
    write_soon(a);
}

void jobs_forget_report(struct jobs *jobs, struct tick *tick)
{
    struct asking *a = &jobs->asking;

    if (!tick->unreported) {
        return;
    }
    tick->unreported = false;
    if (tick->last_unreported != NULL) {
        tick->last_unreported->next_unreported = tick->next_unreported;
    } else {
        a->unreported = tick->next_unreported;
    }
    if (tick->next_unreported != NULL) {
        tick->next_unreported->last_unreported = tick->last_unreported;
    } else {
        a->last_unreported = tick->last_unreported;
    }
}

void jobs_forget_tick(struct jobs *jobs, struct tick *tick)
{
    struct asking *a = &jobs->asking;

    jobs_forget_report(jobs, tick);
    for (size_t i = 0; i < a->change_count && tick->changes > 0; i++) {
        if (a->changes[i]->tick == tick) {
            a->changes[i]->tick = NULL;
            tick->changes--;
        }
    }
    if (tick->claimed || tick->plan.stage != RUN_ASKED) {
        return;
    }
    for (size_t i = 0; i < a->claim_count; i++) {
        if (a->claims[i] == tick) {
            a->claims[i] = NULL;
        }
    }
}

void jobs_free_change(struct change *change)
{
    free(change->result);
    free(change->head);
    free(change->tail);
    free(change);
}

void jobs_forget_questions(struct jobs *jobs)
{
    struct asking *a = &jobs->asking;

    for (size_t i = 0; i < a->change_count; i++) {
        jobs_free_change(a->changes[i]);
    }
    free(a->claims);
    free(a->claim_batch);
    free(a->claim_names);
    free(a->changes);
    free(a->job_changes);
    free(a->answers);
    free(a->change_batch);
    free(a->job_batch);
    free(a->job_names);
    free(a->answer_batch);
    *a = (struct asking){
        .write_at = MONO_NEVER,
        .requests_at = MONO_NEVER,
        .prune_at = MONO_NEVER,
        .backoff = {.least = LEDGER_AGAIN_LEAST, .most = LEDGER_AGAIN_MOST},
    };
}
