#include "tests/unit/scheduler_fixture.h"

#include <criterion/criterion.h>
#include <stdlib.h>

enum { RUNS_OF_EACH = 2, RUNS_MORE = 200 };

struct plan plan_made(size_t count)
{
    struct plan p = {
        .jobs = calloc(count, sizeof(*p.jobs)),
        .list = calloc(count, sizeof(struct scheduler_job *)),
        .ticks = calloc(count, sizeof(struct heap_item *)),
        .alarms = calloc(count, sizeof(struct heap_item *)),
        .count = count,
        .room = count * RUNS_OF_EACH + RUNS_MORE,
        .wall = DUR_S(1000) + DUR_MS(500),
        .mono = DUR_S(50),
    };

    p.runs = calloc(p.room, sizeof(*p.runs));
    p.starts = calloc(p.room, sizeof(struct heap_item *));
    p.run_alarms = calloc(p.room, sizeof(struct heap_item *));
    scheduler_init(&p.s, 1);
    scheduler_run_room(&p.s, p.starts, p.run_alarms, p.room);
    for (size_t i = 0; i < p.room; i++) {
        p.runs[i].stage = RUN_OVER;
    }
    for (size_t i = 0; i < count; i++) {
        scheduler_job_init(&p.jobs[i], &p.jobs[i]);
        p.jobs[i].schedule = (struct schedule){.kind = SCHEDULE_EVERY, .every = DUR_S(1)};
        p.jobs[i].enabled = true;
        p.jobs[i].policy = (struct scheduler_policy){.grace = DUR_S(5),
                                                     .overlap = OVERLAP_SKIP,
                                                     .missed = MISSED_ONCE,
                                                     .missed_window = DUR_S(86400),
                                                     .missed_max = 100,
                                                     .on_interrupt = INTERRUPT_SKIP};
        p.list[i] = &p.jobs[i];
    }
    return p;
}

void plan_release(struct plan *p)
{
    free(p->jobs);
    free(p->list);
    free(p->ticks);
    free(p->alarms);
    free(p->runs);
    free(p->starts);
    free(p->run_alarms);
}

void plan_replace(struct plan *p)
{
    scheduler_replace(&p->s, p->list, p->count, p->ticks, p->alarms);
}

void plan_begin(struct plan *p)
{
    plan_replace(p);
    scheduler_begin(&p->s, p->wall, p->mono);
    for (size_t i = 0; i < p->count; i++) {
        scheduler_know(&p->s, p->list[i], 0, 0, false, p->wall);
    }
    scheduler_ledger(&p->s, true, p->wall);
}

void plan_pass(struct plan *p, dur_ns length)
{
    p->wall += length;
    p->mono += length;
}

struct scheduler_run *plan_add(struct plan *p, size_t job, const struct scheduler_about *about)
{
    size_t i = 0;

    while (i < p->room && p->runs[i].stage != RUN_OVER) {
        i++;
    }
    cr_assert(i < p->room);
    scheduler_add(&p->s, &p->runs[i], &p->jobs[job], about, &p->runs[i]);
    return &p->runs[i];
}

static void make(struct plan *p, const struct scheduler_decision *d)
{
    const struct scheduler_about about = {
        .scheduled_at = d->scheduled_at,
        .attempt = 1,
        .origin = d->origin,
        .stage = RUN_ASKED,
        .made_up = d->made_up,
        .in_time = d->in_time,
        .settled = true,
    };

    p->last_made = plan_add(p, (size_t)(d->job - p->jobs), &about);
    p->run = p->last_made;
    if (!p->slow) {
        scheduler_granted(&p->s, p->last_made, p->wall);
    }
}

struct scheduler_decision plan_next(struct plan *p)
{
    struct scheduler_decision d = scheduler_next(&p->s, p->wall, p->mono);

    if (d.run != NULL) {
        p->run = d.run;
    }
    switch (d.verdict) {
    case SCHEDULER_TICK:
        make(p, &d);
        break;
    case SCHEDULER_START:
        scheduler_started(&p->s, d.run, p->mono);
        break;
    case SCHEDULER_WAIT:
        if (!p->slow) {
            scheduler_settled(&p->s, d.run);
        }
        break;
    case SCHEDULER_PROMOTE:
        if (!p->slow) {
            scheduler_granted(&p->s, d.run, p->wall);
        }
        break;
    case SCHEDULER_DROP:
    case SCHEDULER_HAND_OVER:
        scheduler_remove(&p->s, d.run);
        break;
    default:
        break;
    }
    return d;
}

struct scheduler_decision plan_expect(struct plan *p, const char *title, size_t job,
                                      enum scheduler_verdict verdict)
{
    struct scheduler_decision got = plan_next(p);

    cr_assert(got.verdict == verdict, "%s: verdict %d instead of %d", title, (int)got.verdict,
              (int)verdict);
    if (verdict != SCHEDULER_NOTHING && verdict != SCHEDULER_BUSY) {
        cr_assert(got.job == &p->jobs[job], "%s: job %td", title, got.job - p->jobs);
    }
    return got;
}

void plan_expect_nothing(struct plan *p, const char *title)
{
    (void)plan_expect(p, title, 0, SCHEDULER_NOTHING);
    cr_expect(scheduler_wake_wall(&p->s) > p->wall, "%s: the shell would spin", title);
    cr_expect(scheduler_wake_mono(&p->s) > p->mono, "%s: the shell would spin", title);
}

struct scheduler_run *plan_expect_run(struct plan *p, const char *title, size_t job)
{
    (void)plan_expect(p, title, job, SCHEDULER_TICK);
    (void)plan_expect(p, title, job, SCHEDULER_START);
    return p->run;
}

void plan_ended(struct plan *p, struct scheduler_run *run)
{
    scheduler_ended(&p->s, run, p->mono);
}

struct scheduler_run *plan_run_of(struct plan *p, size_t job)
{
    cr_assert_not_null(p->jobs[job].runs);
    return p->jobs[job].runs;
}
