/* The ways out of a term. */
#include <criterion/criterion.h>

#include "tests/unit/scheduler_fixture.h"

static const dur_ns forever = DUR_S(1000);

static void drain(struct plan *p, dur_ns until, dur_ns over)
{
    scheduler_drain(&p->s, p->mono, p->mono + until, p->mono + over);
}

Test(scheduler_ends, a_drain_lets_runs_end_and_then_has_the_released_jobs_run)
{
    struct plan p = plan_made(3);

    p.jobs[0].schedule.kind = SCHEDULE_ELECTED;
    p.jobs[1].schedule.kind = SCHEDULE_ALWAYS;
    p.jobs[2].schedule.kind = SCHEDULE_RELEASED;
    plan_begin(&p);
    plan_expect_run(&p, "a run", 0);
    plan_expect_run(&p, "a service", 1);
    drain(&p, DUR_S(10), DUR_S(20));
    plan_expect(&p, "a service would never end: it is told at once", 1, SCHEDULER_TERM);
    cr_expect_eq(p.run->why, STOP_DRAIN);
    plan_ended(&p, p.run);
    plan_pass(&p, DUR_S(5));
    plan_expect_nothing(&p, "nothing is started any more, a run goes on");
    cr_expect_not(scheduler_is_over(&p.s, p.mono));
    plan_ended(&p, plan_run_of(&p, 0));
    plan_expect(&p, "@released", 2, SCHEDULER_TICK);
    cr_expect_not(scheduler_is_over(&p.s, p.mono));
    plan_expect(&p, "@released", 2, SCHEDULER_START);
    plan_ended(&p, p.run);
    plan_expect_nothing(&p, "over");
    cr_expect(scheduler_is_over(&p.s, p.mono));
    scheduler_rest(&p.s);
    plan_release(&p);
}

Test(scheduler_ends, a_drain_is_over_in_time)
{
    struct plan p = plan_made(2);

    p.jobs[0].schedule.kind = SCHEDULE_ELECTED;
    p.jobs[1].schedule.kind = SCHEDULE_RELEASED;
    plan_begin(&p);
    struct scheduler_run *run = plan_expect_run(&p, "it runs", 0);
    mono_ns over_by = p.mono + DUR_S(4);
    drain(&p, DUR_S(2), DUR_S(4));
    plan_expect_nothing(&p, "it may go on");
    plan_pass(&p, DUR_S(2));
    plan_expect(&p, "told to stop", 0, SCHEDULER_TERM);
    p.mono = scheduler_wake_mono(&p.s);
    cr_expect_eq(p.mono, over_by - SCHEDULER_KILL_MARGIN, "its grace is cut to what is left");
    plan_expect(&p, "killed", 0, SCHEDULER_KILL);
    plan_ended(&p, run);
    plan_expect(&p, "no time is left for @released", 1, SCHEDULER_TICK);
    plan_expect(&p, "so it is skipped", 1, SCHEDULER_DROP);
    plan_expect_nothing(&p, "and nothing is waited for");
    cr_expect(scheduler_is_over(&p.s, p.mono));
    plan_release(&p);
}

Test(scheduler_ends, a_released_job_gets_what_is_left_and_no_more)
{
    struct plan p = plan_made(1);

    p.jobs[0].schedule.kind = SCHEDULE_RELEASED;
    plan_begin(&p);
    mono_ns over_by = p.mono + DUR_S(3);
    drain(&p, 0, DUR_S(3));
    plan_expect_run(&p, "started", 0);
    p.mono = scheduler_wake_mono(&p.s);
    plan_expect(&p, "told to stop", 0, SCHEDULER_TERM);
    p.mono = scheduler_wake_mono(&p.s);
    cr_expect_eq(p.mono, over_by - SCHEDULER_KILL_MARGIN);
    plan_expect(&p, "killed", 0, SCHEDULER_KILL);
    plan_expect_nothing(&p, "it is waited for, not asked for");
    plan_release(&p);
}

Test(scheduler_ends, a_released_job_that_the_ledger_does_not_grant_is_waited_for_until_the_limit)
{
    struct plan p = plan_made(1);

    p.slow = true;
    p.jobs[0].schedule.kind = SCHEDULE_RELEASED;
    plan_begin(&p);
    drain(&p, 0, DUR_S(3));
    plan_expect(&p, "asked", 0, SCHEDULER_TICK);
    plan_expect_nothing(&p, "no answer");
    cr_expect_not(scheduler_is_over(&p.s, p.mono));
    p.mono = scheduler_wake_mono(&p.s);
    plan_expect_nothing(&p, "that was the last moment");
    cr_expect(scheduler_is_over(&p.s, p.mono));
    plan_release(&p);
}

Test(scheduler_ends, released_jobs_with_one_mutex_run_one_after_the_other)
{
    struct plan p = plan_made(2);
    struct scheduler_mutex mutex = {NULL};

    p.jobs[0].schedule.kind = p.jobs[1].schedule.kind = SCHEDULE_RELEASED;
    p.jobs[0].mutex = p.jobs[1].mutex = &mutex;
    plan_begin(&p);
    drain(&p, 0, forever);
    struct scheduler_run *first = plan_expect_run(&p, "the first", 0);
    plan_expect(&p, "", 1, SCHEDULER_TICK);
    plan_expect(&p, "", 1, SCHEDULER_WAIT);
    plan_expect_nothing(&p, "the first runs");
    plan_ended(&p, first);
    plan_expect(&p, "now the second", 1, SCHEDULER_PROMOTE);
    plan_expect(&p, "", 1, SCHEDULER_START);
    plan_ended(&p, p.run);
    plan_expect_nothing(&p, "over");
    cr_expect(scheduler_is_over(&p.s, p.mono));
    plan_release(&p);
}

Test(scheduler_ends, a_second_drain_only_shortens_the_first)
{
    struct plan p = plan_made(1);

    p.jobs[0].schedule.kind = SCHEDULE_ELECTED;
    plan_begin(&p);
    plan_expect_run(&p, "it runs", 0);
    drain(&p, DUR_S(10), DUR_S(20));
    drain(&p, DUR_S(30), DUR_S(40));
    cr_expect_eq(scheduler_wake_mono(&p.s), p.mono + DUR_S(10));
    drain(&p, 0, DUR_S(1));
    plan_expect(&p, "at once", 0, SCHEDULER_TERM);
    cr_expect_eq(scheduler_wake_mono(&p.s), p.mono + DUR_S(1) - SCHEDULER_KILL_MARGIN);
    plan_release(&p);
}

/* A second drain leaves it a grace, too. */
Test(scheduler_ends, a_released_job_is_told_before_it_is_killed)
{
    struct plan p = plan_made(1);

    p.jobs[0].schedule.kind = SCHEDULE_RELEASED;
    p.jobs[0].policy.grace = DUR_S(1);
    plan_begin(&p);
    drain(&p, 0, DUR_S(100));
    plan_expect_run(&p, "started", 0);
    drain(&p, 0, DUR_S(10));
    p.mono = scheduler_wake_mono(&p.s);
    plan_expect(&p, "told", 0, SCHEDULER_TERM);
    plan_expect_nothing(&p, "its grace");
    cr_expect_eq(scheduler_wake_mono(&p.s), p.mono + DUR_S(1));
    plan_release(&p);
}

/* Stages that a run may have when leadership is given up. */
static struct scheduler_run *in_stage(struct plan *p, enum run_stage stage)
{
    struct scheduler_about about = {.scheduled_at = p->wall + DUR_MS(300),
                                    .attempt = 1,
                                    .origin = ORIGIN_SCHEDULE,
                                    .stage = stage,
                                    .settled = true,
                                    .due_at = p->wall + DUR_S(5)};

    if (stage == RUN_GRANTED) {
        about.stage = RUN_ASKED;
    }
    if (stage == RUN_WAITING) {
        about.settled = false;
    }
    struct scheduler_run *run = plan_add(p, 0, &about);
    if (stage == RUN_GRANTED) {
        scheduler_granted(&p->s, run, p->wall);
    }
    return run;
}

Test(scheduler_ends, what_has_not_started_is_handed_over)
{
    static const enum run_stage stages[] = {RUN_ASKED, RUN_GRANTED, RUN_WAITING, RUN_DELAYED};

    for (size_t i = 0; i < sizeof(stages) / sizeof(stages[0]); i++) {
        for (int alone = 0; alone < 2; alone++) {
            struct plan p = plan_made(2);

            p.jobs[0].schedule.kind = SCHEDULE_MANUAL;
            p.jobs[1].schedule.kind = alone ? SCHEDULE_MANUAL : SCHEDULE_ELECTED;
            plan_begin(&p);
            if (!alone) {
                plan_expect_run(&p, "the drain has something to wait for", 1);
            }
            struct scheduler_run *run = in_stage(&p, stages[i]);
            drain(&p, forever, forever + DUR_S(1));
            if (stages[i] == RUN_ASKED) {
                plan_expect_nothing(&p, "nobody knows whether it is ours");
                scheduler_granted(&p.s, run, p.wall);
            }
            struct scheduler_decision d = plan_expect(&p, "handed over", 0, SCHEDULER_HAND_OVER);
            cr_expect_eq(d.run, run);
            plan_pass(&p, DUR_S(10));
            plan_expect_nothing(&p, "and not started");
            cr_expect_eq(scheduler_is_over(&p.s, p.mono), alone == 1);
            plan_release(&p);
        }
    }
}

Test(scheduler_ends, an_end_stops_everything_and_releases_nothing)
{
    struct plan p = plan_made(3);

    p.jobs[0].schedule.kind = SCHEDULE_ELECTED;
    p.jobs[1].schedule.kind = SCHEDULE_RELEASED;
    p.jobs[2].schedule.kind = SCHEDULE_ALWAYS;
    plan_begin(&p);
    plan_expect_run(&p, "a run", 0);
    plan_ended(&p, plan_expect_run(&p, "a service", 2));
    scheduler_end(&p.s, p.mono);
    plan_expect(&p, "told to stop", 0, SCHEDULER_TERM);
    cr_expect_eq(p.run->why, STOP_LOST);
    plan_pass(&p, DUR_S(1));
    plan_expect_nothing(&p, "the service does not come back");
    drain(&p, DUR_S(9), DUR_S(9));
    cr_expect_eq(p.s.phase, SCHEDULER_ENDING, "nothing leads back from an end to a drain");
    plan_pass(&p, DUR_S(4));
    plan_expect(&p, "its grace is over", 0, SCHEDULER_KILL);
    plan_ended(&p, p.run);
    plan_expect_nothing(&p, "no @released");
    cr_expect(scheduler_is_over(&p.s, p.mono));
    plan_release(&p);
}

Test(scheduler_ends, a_kill_expects_only_the_ends_of_runs)
{
    struct plan p = plan_made(2);

    p.jobs[0].schedule.kind = SCHEDULE_ALWAYS;
    plan_begin(&p);
    struct scheduler_run *run = plan_expect_run(&p, "a service", 0);
    scheduler_kill(&p.s);
    cr_expect(run->stage == RUN_KILLING && run->why == STOP_LOST);
    plan_pass(&p, DUR_S(100));
    plan_expect_nothing(&p, "others kill it");
    cr_expect_not(scheduler_is_over(&p.s, p.mono));
    plan_ended(&p, run);
    plan_expect_nothing(&p, "nothing comes back, no tick is due");
    cr_expect(scheduler_is_over(&p.s, p.mono));
    scheduler_rest(&p.s);
    plan_release(&p);
}

Test(scheduler_ends, a_drain_does_not_wait_for_a_claim_that_the_ledger_does_not_answer)
{
    struct plan p = plan_made(1);

    p.slow = true;
    plan_begin(&p);
    plan_expect(&p, "asked", 0, SCHEDULER_TICK);
    drain(&p, p.mono + DUR_S(1), p.mono + DUR_S(8));
    plan_expect_nothing(&p, "nobody knows whether it is ours");
    cr_expect_not(scheduler_is_over(&p.s, p.mono));
    scheduler_ledger(&p.s, false, p.wall);
    cr_expect(scheduler_is_over(&p.s, p.mono));
    plan_release(&p);
}

Test(scheduler_ends, a_new_term_begins_anew)
{
    struct plan p = plan_made(2);

    p.jobs[0].schedule.kind = SCHEDULE_ELECTED;
    p.jobs[1].schedule.kind = SCHEDULE_ALWAYS;
    for (int i = 0; i < 3; i++) {
        plan_begin(&p);
        scheduler_pause(&p.s, NULL, i == 0, p.mono);
        if (i > 0) {
            plan_expect_run(&p, "a run", 0);
            plan_expect_run(&p, "a service", 1);
        }
        scheduler_end(&p.s, p.mono);
        while (p.s.known > 0) {
            (void)plan_next(&p);
            plan_ended(&p, p.s.jobs[p.jobs[0].runs != NULL ? 0 : 1]->runs);
        }
        scheduler_rest(&p.s);
        plan_expect_nothing(&p, "resting");
    }
    plan_release(&p);
}
