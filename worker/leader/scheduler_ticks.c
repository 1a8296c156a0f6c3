/* What is due: ticks, the ticks that nobody could run, and what the next leader is left. */
#include "worker/leader/scheduler_private.h"

#include <assert.h>

static bool makes_ticks(const struct scheduler *s, const struct scheduler_job *job)
{
    bool leads = s->phase == SCHEDULER_LEADING || s->phase == SCHEDULER_DRAINING ||
                 s->phase == SCHEDULER_RELEASING;

    return leads && job->known && job->enabled && schedule_is_clocked(&job->schedule);
}

/* Always from the tick before: whatever the clock does, no tick is left out, and none comes twice.
 */
void scheduler_follow(struct scheduler *s, struct scheduler_job *job, wall_ns wall)
{
    job->held_back = false;
    if (!makes_ticks(s, job)) {
        heap_put(&s->ticks, &job->tick, WALL_NEVER);
        job->next_tick = WALL_NEVER;
        return;
    }
    if (job->last_tick == 0) {
        job->last_tick = wall;
        job->is_new = true;
    }
    job->next_tick = schedule_next(&job->schedule, job->last_tick);
    if (job->next_tick == WALL_NEVER || s->phase != SCHEDULER_LEADING) {
        heap_put(&s->ticks, &job->tick, job->next_tick);
    } else {
        heap_put(&s->ticks, &job->tick, job->next_tick - SCHEDULER_AHEAD);
    }
}

/* ---- gaps ---- */

static void begin_gap(struct scheduler *s, struct scheduler_job *job, wall_ns wall)
{
    const struct gap_rules rules = {
        .missed = job->policy.missed,
        .window = job->policy.missed_window,
        .most = job->policy.missed_max,
        .paused = scheduler_is_paused(s, job),
        .unknown_until = job->unknown_until,
        .reruns = job->policy.on_interrupt == INTERRUPT_RERUN,
        .reason = s->no_ledger_until >= job->next_tick ? "no ledger" : "no leader",
    };

    heap_put(&s->ticks, &job->tick, WALL_NEVER);
    job->is_new = false;
    gap_begin(&job->gap, &rules, job->last_tick, wall);
    job->in_gap = true;
    job->next_gap = NULL;
    if (s->last_gap != NULL) {
        s->last_gap->next_gap = job;
    } else {
        s->first_gap = job;
    }
    s->last_gap = job;
}

void scheduler_forget_gap(struct scheduler *s, struct scheduler_job *job)
{
    struct scheduler_job **link = &s->first_gap;
    struct scheduler_job *before = NULL;

    if (!job->in_gap) {
        return;
    }
    while (*link != job) {
        assert(*link != NULL);
        before = *link;
        link = &before->next_gap;
    }
    *link = job->next_gap;
    if (s->last_gap == job) {
        s->last_gap = before;
    }
    job->in_gap = false;
    job->next_gap = NULL;
}

bool scheduler_gap_step(struct scheduler *s, struct scheduler_decision *out)
{
    while (s->first_gap != NULL && s->ledger_up) {
        struct scheduler_job *job = s->first_gap;
        struct gap_step step = gap_step(&job->gap, &job->schedule, SCHEDULER_GAP_TICKS);

        *out = (struct scheduler_decision){
            .job = job,
            .scheduled_at = step.range.first,
            .last_at = step.range.last,
            .count = step.range.count,
            .outcome = step.outcome,
            .reason = step.reason,
            .made_up = job->policy.missed == MISSED_ALL,
        };
        switch (step.verdict) {
        case GAP_WORKING:
            out->verdict = SCHEDULER_BUSY;
            return true;
        case GAP_RECORD:
            out->verdict = SCHEDULER_RECORD;
            job->last_tick = step.range.last;
            return true;
        case GAP_RUN:
            out->verdict = SCHEDULER_TICK;
            job->last_tick = step.range.last;
            return true;
        case GAP_DONE:
            scheduler_forget_gap(s, job);
            job->unknown_until = 0;
            scheduler_follow(s, job, job->gap.until);
            out->verdict = SCHEDULER_BUSY; /* its next tick may be due already */
            return true;
        }
    }
    return false;
}

/* ---- ticks ---- */

static struct scheduler_decision tick(struct scheduler *s, struct scheduler_job *job, wall_ns wall)
{
    struct scheduler_decision out = {
        .verdict = SCHEDULER_TICK,
        .job = job,
        .scheduled_at = job->next_tick,
        .last_at = job->next_tick,
        .count = 1,
        .in_time = true,
    };

    assert(job->next_tick > job->last_tick); /* a tick is never repeated, whatever the clock did */
    job->last_tick = job->next_tick;
    job->is_new = false;
    scheduler_follow(s, job, wall);
    if (scheduler_is_paused(s, job)) {
        out.verdict = SCHEDULER_RECORD;
        out.outcome = OUTCOME_SKIPPED;
        out.reason = "paused";
    } else if (s->phase != SCHEDULER_LEADING) {
        out.verdict = SCHEDULER_LEAVE;
    }
    return out;
}

/* The database's clock went on with CLOCK_BOOTTIME since it was heard of: what our wall clock has
 * beyond that comes from a step. It may have been wrong before, or it is wrong now. */
static bool is_in_doubt(const struct scheduler *s, wall_ns wall, mono_ns mono)
{
    return s->database_clock != 0 &&
           wall > s->database_clock + (mono - s->database_at) + s->skew_most;
}

/* Until the ledger was asked. What passes meanwhile is found afterwards, by us or by the next
 * leader. */
static struct scheduler_decision doubt(struct scheduler *s, struct scheduler_job *job, mono_ns mono)
{
    s->doubt_until = scheduler_after(mono, SCHEDULER_DOUBT);
    return (struct scheduler_decision){.verdict = SCHEDULER_DOUBT_CLOCK, .job = job};
}

static bool is_recorded(const struct scheduler *s, const struct scheduler_job *job, bool passed)
{
    return passed || s->phase != SCHEDULER_LEADING || scheduler_is_paused(s, job);
}

/* A record says what the job's last tick is. Said before the claims of ticks that are before it, it
 * would be all that a crash leaves of them. */
static void hold_back(struct scheduler *s, struct scheduler_job *job)
{
    heap_put(&s->ticks, &job->tick, WALL_NEVER);
    job->held_back = true;
}

bool scheduler_tick_due(struct scheduler *s, wall_ns wall, mono_ns mono,
                        struct scheduler_decision *out)
{
    struct heap_item *item;

    if (s->doubt_until > mono) {
        return false;
    }
    s->doubt_until = 0;
    while (s->ledger_up && (item = heap_first(&s->ticks)) != NULL && item->key <= wall) {
        struct scheduler_job *job = item->owner;

        bool passed =
            wall - job->next_tick > SCHEDULER_LATE || job->next_tick <= job->unknown_until;

        if (job->next_tick > wall && (s->phase != SCHEDULER_LEADING || passed)) {
            heap_put(&s->ticks, &job->tick, job->next_tick); /* it was to be claimed ahead */
        } else if (passed && s->phase == SCHEDULER_LEADING && is_in_doubt(s, wall, mono)) {
            *out = doubt(s, job, mono);
            return true;
        } else if (job->unclaimed > 0 && is_recorded(s, job, passed)) {
            hold_back(s, job);
        } else if (passed && s->phase == SCHEDULER_LEADING) {
            begin_gap(s, job, wall);
        } else if (passed) { /* the next leader finds them, and the job's policy decides then */
            heap_put(&s->ticks, &job->tick, WALL_NEVER);
        } else {
            *out = tick(s, job, wall);
            return true;
        }
    }
    return false;
}
