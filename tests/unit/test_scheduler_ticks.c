/* Which ticks are asked for, recorded, left to the next leader, and when. */
#include <criterion/criterion.h>

#include "common/array.h"
#include "tests/unit/scheduler_fixture.h"

enum { JOBS_MAX = 10000 };

Test(scheduler_ticks, are_asked_for_ahead_and_started_at_their_instant)
{
    struct plan p = plan_made(1);

    p.jobs[0].schedule.every = DUR_S(10);
    plan_begin(&p);
    cr_expect_eq(scheduler_wake_wall(&p.s), DUR_S(1010) - SCHEDULER_AHEAD);
    p.wall = DUR_S(1010) - SCHEDULER_AHEAD - 1;
    plan_expect_nothing(&p, "too early");
    p.wall += 1;
    struct scheduler_decision d = plan_expect(&p, "asked", 0, SCHEDULER_TICK);
    cr_expect_eq(d.scheduled_at, DUR_S(1010));
    p.wall = DUR_S(1010) - 1;
    plan_expect_nothing(&p, "granted, and not due");
    cr_expect_eq(scheduler_wake_wall(&p.s), DUR_S(1010));
    p.wall += 1;
    plan_expect(&p, "due", 0, SCHEDULER_START);
    plan_release(&p);
}

Test(scheduler_ticks, one_that_is_granted_late_starts_at_once)
{
    struct plan p = plan_made(1);

    p.slow = true;
    plan_begin(&p);
    plan_expect(&p, "asked", 0, SCHEDULER_TICK);
    plan_pass(&p, DUR_MS(900));
    plan_expect_nothing(&p, "not granted, not started");
    scheduler_granted(&p.s, p.last_made, p.wall);
    plan_expect(&p, "granted", 0, SCHEDULER_START);
    plan_release(&p);
}

/* The first tick is asked for, and the ledger is away, or only slow, until so much later. */
static struct scheduler_decision granted_after(struct plan *p, dur_ns length, bool away)
{
    p->slow = true;
    plan_begin(p);
    plan_expect(p, "asked", 0, SCHEDULER_TICK);
    struct scheduler_run *run = p->last_made;

    if (away) {
        scheduler_ledger(&p->s, false, p->wall);
    }
    plan_pass(p, length);
    if (away) {
        scheduler_ledger(&p->s, true, p->wall);
    }
    scheduler_granted(&p->s, run, p->wall);
    struct scheduler_decision d = plan_next(p);
    cr_assert_eq(d.run, run);
    return d;
}

Test(scheduler_ticks, of_one_that_the_ledger_held_back_the_policy_decides)
{
    static const struct {
        const char *title;
        enum job_missed missed;
        dur_ns every;
        dur_ns after;
        dur_ns window;
        bool away;
        const char *reason; /* NULL: it starts */
    } cases[] = {
        {"late, and not to be made up for", MISSED_SKIP, 1, 5, 60, true, "no ledger"},
        {"late, and a later one is due", MISSED_ONCE, 1, 5, 60, true, "no ledger"},
        {"late, and none is due since", MISSED_ONCE, 10, 5, 60, true, NULL},
        {"late, and each is made up for", MISSED_ALL, 1, 5, 60, true, NULL},
        {"too late to be made up for", MISSED_ALL, 1, 5, 3, true, "window"},
        {"in time all the same", MISSED_SKIP, 1, 2, 60, true, NULL},
        {"late by what we ourselves had to do", MISSED_SKIP, 1, 5, 60, false, NULL},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct plan p = plan_made(1);

        p.jobs[0].policy.missed = cases[i].missed;
        p.jobs[0].policy.missed_window = DUR_S(cases[i].window);
        p.jobs[0].schedule.every = DUR_S(cases[i].every);
        p.wall = DUR_S(1000) - DUR_MS(500); /* on both grids the next instant is this one */
        struct scheduler_decision d = granted_after(&p, DUR_S(cases[i].after), cases[i].away);
        if (cases[i].reason == NULL) {
            cr_expect_eq(d.verdict, SCHEDULER_START, "%s", cases[i].title);
            cr_expect_eq(d.run->made_up, cases[i].missed == MISSED_ALL, "%s", cases[i].title);
        } else {
            cr_expect_eq(d.verdict, SCHEDULER_DROP, "%s", cases[i].title);
            cr_expect_eq(d.outcome, OUTCOME_MISSED, "%s", cases[i].title);
            cr_expect_str_eq(d.reason, cases[i].reason, "%s", cases[i].title);
        }
        plan_release(&p);
    }
}

/* It is late whenever it is granted: that it is made up for was decided before. */
Test(scheduler_ticks, one_that_is_made_up_for_is_not_missed_again)
{
    struct plan p = plan_made(1);

    p.jobs[0].policy.missed = MISSED_ONCE;
    p.jobs[0].policy.missed_window = DUR_S(60);
    p.slow = true;
    plan_begin(&p);
    scheduler_ledger(&p.s, false, p.wall);
    plan_pass(&p, DUR_S(10));
    scheduler_ledger(&p.s, true, p.wall);
    while (plan_next(&p).verdict != SCHEDULER_TICK) {
    }
    struct scheduler_run *run = p.last_made;
    plan_pass(&p, DUR_S(3));
    scheduler_ledger(&p.s, false, p.wall);
    scheduler_ledger(&p.s, true, p.wall);
    scheduler_granted(&p.s, run, p.wall);
    struct scheduler_decision d = plan_next(&p);
    cr_expect_eq(d.verdict, SCHEDULER_START);
    cr_expect_eq(d.run, run);
    plan_release(&p);
}

Test(scheduler_ticks, a_clock_that_steps_back_repeats_none)
{
    struct plan p = plan_made(1);

    plan_begin(&p);
    plan_pass(&p, DUR_MS(500));
    plan_ended(&p, plan_expect_run(&p, "1001", 0));
    p.wall -= DUR_S(5);
    scheduler_clock_set(&p.s, p.wall);
    while (p.wall < DUR_S(1002) - SCHEDULER_AHEAD) {
        plan_expect_nothing(&p, "up to the last instant nothing is asked again");
        p.wall += DUR_MS(100);
    }
    struct scheduler_decision d = plan_expect(&p, "what comes after it is", 0, SCHEDULER_TICK);
    cr_expect_eq(d.scheduled_at, DUR_S(1002));
    plan_release(&p);
}

Test(scheduler_ticks, a_clock_that_was_ahead_does_not_silence_a_job_without_a_past)
{
    struct plan p = plan_made(1);

    p.wall += DUR_S(86400);
    plan_begin(&p);
    p.wall -= DUR_S(86400);
    scheduler_clock_set(&p.s, p.wall);
    struct scheduler_decision d = plan_expect(&p, "the clock is right now", 0, SCHEDULER_TICK);
    cr_expect_eq(d.scheduled_at, DUR_S(1001));
    plan_release(&p);
}

Test(scheduler_ticks, one_that_is_granted_before_the_clock_steps_back_waits_for_its_instant)
{
    struct plan p = plan_made(1);

    plan_begin(&p);
    plan_expect(&p, "asked", 0, SCHEDULER_TICK);
    p.wall -= DUR_S(60);
    scheduler_clock_set(&p.s, p.wall);
    plan_expect_nothing(&p, "not due any more");
    p.wall = DUR_S(1001);
    plan_expect(&p, "due", 0, SCHEDULER_START);
    plan_release(&p);
}

Test(scheduler_ticks, late_ones_run_and_missed_ones_are_the_policys)
{
    /* clang-format off */
    static const struct {
        const char *title;
        enum job_missed missed;
        dur_ns late;              /* of the first tick, at 1001 s */
        unsigned recorded;
        unsigned ticks;
        bool made_up;
    } cases[] = {
        {"as late as may be",             MISSED_SKIP, SCHEDULER_LATE,              0,  3, false},
        {"too late, none is run",         MISSED_SKIP, SCHEDULER_LATE + 1,          3,  0, false},
        {"too late, the last is run",     MISSED_ONCE, SCHEDULER_LATE + 1,          2,  1, false},
        {"too late, all are run",         MISSED_ALL,  SCHEDULER_LATE + 1,          0,  3, true},
        {"a leap forward",                MISSED_ONCE, DUR_S(3600),              3600,  1, false},
        {"more than are made up for",     MISSED_ALL,  DUR_S(199),                100, 100, true},
    };
    /* clang-format on */

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct plan p = plan_made(1);
        uint64_t recorded = 0;
        unsigned ticks = 0;
        wall_ns last = 0;

        p.slow = true;
        p.jobs[0].policy.missed = cases[i].missed;
        plan_begin(&p);
        p.wall = DUR_S(1001) + cases[i].late;
        scheduler_clock_set(&p.s, p.wall);
        for (;;) {
            struct scheduler_decision d = plan_next(&p);

            if (d.verdict == SCHEDULER_NOTHING || d.scheduled_at > p.wall) {
                break;
            }
            if (d.verdict == SCHEDULER_RECORD) {
                recorded += d.count;
                cr_expect_eq(d.outcome, OUTCOME_MISSED);
                last = d.last_at;
            } else if (d.verdict == SCHEDULER_TICK) {
                ticks++;
                cr_expect(d.scheduled_at > last, "%s", cases[i].title);
                cr_expect_eq(d.made_up, cases[i].made_up, "%s", cases[i].title);
                last = d.scheduled_at;
            }
        }
        cr_expect_eq(recorded, cases[i].recorded, "%s: %d", cases[i].title, (int)recorded);
        cr_expect_eq(ticks, cases[i].ticks, "%s: %u", cases[i].title, ticks);
        plan_release(&p);
    }
}

static struct scheduler_decision recorded(struct plan *p, const char *title)
{
    struct scheduler_decision d;

    do {
        d = plan_next(p);
    } while (d.verdict == SCHEDULER_BUSY || d.verdict == SCHEDULER_DROP);
    cr_assert_eq(d.verdict, SCHEDULER_RECORD, "%s: %d", title, (int)d.verdict);
    return d;
}

static void grant_all(struct plan *p)
{
    for (struct scheduler_run *run = p->jobs[0].runs; run != NULL; run = run->next) {
        if (run->stage == RUN_ASKED) {
            scheduler_granted(&p->s, run, p->wall);
        }
    }
    while (plan_next(p).verdict != SCHEDULER_NOTHING) {
    }
}

/* A record is the last that is known of a job: what is claimed and not answered is before it. */
Test(scheduler_ticks, none_is_recorded_before_the_claims_that_are_under_way)
{
    for (int pauses = 0; pauses < 2; pauses++) {
        struct plan p = plan_made(2);

        p.jobs[1].schedule.kind = SCHEDULE_MANUAL;
        p.slow = true;
        plan_begin(&p);
        plan_expect(&p, "asked", 0, SCHEDULER_TICK);
        if (pauses) {
            scheduler_pause(&p.s, &p.jobs[0], true, p.mono);
        } else {
            scheduler_ledger(&p.s, false, p.wall);
        }
        plan_pass(&p, DUR_S(pauses ? 1 : 10));
        scheduler_ledger(&p.s, true, p.wall);
        plan_expect_nothing(&p, "not answered");
        scheduler_remove(&p.s, p.last_made); /* somebody else has it */
        struct scheduler_decision d = recorded(&p, "answered");
        cr_expect_eq(d.scheduled_at, p.last_made->scheduled_at + DUR_S(1), "the one after it");
        plan_release(&p);
    }
}

Test(scheduler_ticks, missed_ones_say_whose_fault_it_was)
{
    struct plan p = plan_made(1);

    p.slow = true;
    plan_begin(&p);
    scheduler_ledger(&p.s, false, p.wall);
    plan_pass(&p, DUR_S(60));
    plan_expect_nothing(&p, "no ledger");
    scheduler_ledger(&p.s, true, p.wall);
    struct scheduler_decision d = recorded(&p, "after an outage");
    cr_expect_str_eq(d.reason, "no ledger");
    cr_expect_eq(d.count, 59);
    while (plan_next(&p).verdict != SCHEDULER_NOTHING) {
    }
    grant_all(&p);
    plan_pass(&p, DUR_S(60));
    d = recorded(&p, "a worker that slept");
    cr_expect_str_eq(d.reason, "no leader");
    plan_release(&p);
}

Test(scheduler_ticks, missed_ones_of_a_paused_job_are_skipped)
{
    struct plan p = plan_made(1);

    plan_begin(&p);
    scheduler_pause(&p.s, NULL, true, p.mono);
    plan_pass(&p, DUR_S(86400 * 3)); /* older than the window, too */
    struct scheduler_decision d = recorded(&p, "paused");
    cr_expect_eq(d.outcome, OUTCOME_SKIPPED);
    cr_expect_str_eq(d.reason, "paused");
    cr_expect_eq(d.count, 86400 * 3);
    plan_release(&p);
}

/* A lost tail: what was run until then has left no trace. */
Test(scheduler_ticks, unknown_ones_are_run_again_only_where_the_job_says_so)
{
    for (int reruns = 0; reruns < 2; reruns++) {
        struct plan p = plan_made(1);

        p.slow = true;
        p.jobs[0].policy.on_interrupt = reruns ? INTERRUPT_RERUN : INTERRUPT_SKIP;
        plan_replace(&p);
        scheduler_begin(&p.s, p.wall, p.mono);
        scheduler_know(&p.s, &p.jobs[0], DUR_S(997), DUR_S(999), false, p.wall);
        scheduler_ledger(&p.s, true, p.wall);
        struct scheduler_decision d = recorded(&p, "at first");
        cr_expect_str_eq(d.reason, reruns ? "no leader" : "timeline");
        cr_expect_eq(d.scheduled_at, DUR_S(998));
        cr_expect_eq(d.last_at, DUR_S(999));
        do {
            d = plan_next(&p);
        } while (d.verdict == SCHEDULER_BUSY);
        cr_expect_eq(d.verdict, SCHEDULER_TICK, "what is due since then");
        cr_expect_eq(d.scheduled_at, DUR_S(1000));
        plan_release(&p);
    }
}

Test(scheduler_ticks, unknown_ones_are_judged_when_their_instant_has_come)
{
    struct plan p = plan_made(1);

    p.slow = true;
    plan_replace(&p);
    scheduler_begin(&p.s, p.wall, p.mono);
    scheduler_know(&p.s, &p.jobs[0], DUR_S(1001), DUR_S(1002), false, p.wall);
    scheduler_ledger(&p.s, true, p.wall);
    p.wall = DUR_S(1002) - 1;
    plan_expect_nothing(&p, "not yet");
    p.wall += 1;
    cr_expect_str_eq(recorded(&p, "now").reason, "timeline");
    plan_release(&p);
}

Test(scheduler_ticks, what_is_due_in_a_drain_is_left_to_the_next_leader)
{
    struct plan p = plan_made(2);

    p.jobs[1].schedule.kind = SCHEDULE_ELECTED;
    plan_begin(&p);
    plan_expect_run(&p, "keeps the drain going", 1);
    scheduler_drain(&p.s, p.mono, p.mono + DUR_S(60), p.mono + DUR_S(70));
    plan_expect_nothing(&p, "not asked for ahead");
    plan_pass(&p, DUR_MS(499));
    plan_expect_nothing(&p, "not due");
    plan_pass(&p, DUR_MS(1));
    struct scheduler_decision d = plan_expect(&p, "left", 0, SCHEDULER_LEAVE);
    cr_expect_eq(d.scheduled_at, DUR_S(1001));
    plan_expect_nothing(&p, "once");
    scheduler_pause(&p.s, &p.jobs[0], true, p.mono);
    plan_pass(&p, DUR_S(1));
    plan_expect(&p, "of a paused job nothing is left", 0, SCHEDULER_RECORD);
    scheduler_pause(&p.s, &p.jobs[0], false, p.mono);
    plan_pass(&p, DUR_S(30));
    plan_expect_nothing(&p, "what is missed is for the next leader to find");
    plan_release(&p);
}

Test(scheduler_ticks, a_reload_in_a_gap_loses_none)
{
    struct plan p = plan_made(1);
    uint64_t found = 0;

    p.jobs[0].policy.missed = MISSED_SKIP;
    plan_begin(&p);
    plan_pass(&p, DUR_S(3600));
    cr_expect_eq(plan_next(&p).verdict, SCHEDULER_BUSY, "it is walked in steps");
    plan_replace(&p);
    scheduler_define(&p.s, &p.jobs[0], false, p.wall, p.mono);
    found = recorded(&p, "all of them").count;
    cr_expect_eq(found, 3600);
    plan_release(&p);
}

Test(scheduler_ticks, ten_thousand_jobs_come_in_the_order_of_their_instants)
{
    struct plan p = plan_made(JOBS_MAX);
    wall_ns last = 0;
    unsigned starts = 0;

    for (size_t i = 0; i < p.count; i++) {
        p.jobs[i].schedule.every = DUR_S(1 + (dur_ns)(i * 7919 % 3600));
    }
    plan_begin(&p);
    while (starts < 5 * JOBS_MAX) {
        struct scheduler_decision d = scheduler_next(&p.s, p.wall, p.mono);

        switch (d.verdict) {
        case SCHEDULER_NOTHING:
            p.wall = scheduler_wake_wall(&p.s);
            break;
        case SCHEDULER_TICK: { /* each job's run has its place */
            const struct scheduler_about about = {
                .scheduled_at = d.scheduled_at, .attempt = 1, .stage = RUN_ASKED, .settled = true};
            struct scheduler_run *run = &p.runs[d.job - p.jobs];

            scheduler_add(&p.s, run, d.job, &about, run);
            scheduler_granted(&p.s, run, p.wall);
            break;
        }
        default:
            cr_assert_eq(d.verdict, SCHEDULER_START);
            cr_assert(d.run->scheduled_at >= last);
            cr_assert_eq(d.run->scheduled_at, p.wall, "when it was due, and not later");
            last = d.run->scheduled_at;
            scheduler_started(&p.s, d.run, p.mono);
            plan_ended(&p, d.run);
            starts++;
        }
    }
    plan_release(&p);
}

/* By a wall clock that was set a year ahead, a year of ticks was missed. */
Test(scheduler_ticks, a_wall_clock_far_ahead_of_the_databases_makes_none)
{
    struct plan p = plan_made(1);

    p.jobs[0].policy.missed = MISSED_ALL;
    plan_begin(&p);
    cr_expect(scheduler_database_clock(&p.s, p.wall, p.wall, p.mono, DUR_S(2)));
    plan_pass(&p, DUR_MS(500));
    plan_ended(&p, plan_expect_run(&p, "1001", 0));
    p.wall += DUR_S(365 * 86400LL);
    scheduler_clock_set(&p.s, p.wall);

    for (int i = 0; i < 3; i++) {
        plan_expect(&p, "the ledger is asked", 0, SCHEDULER_DOUBT_CLOCK);
        plan_expect_nothing(&p, "and until it answers nothing is made");
        cr_expect_eq(scheduler_wake_wall(&p.s), WALL_NEVER);
        cr_expect_eq(scheduler_wake_mono(&p.s), p.mono + SCHEDULER_DOUBT);
        p.mono += SCHEDULER_DOUBT;
    }
    plan_expect(&p, "asked", 0, SCHEDULER_DOUBT_CLOCK);
    cr_expect_not(
        scheduler_database_clock(&p.s, p.wall - DUR_S(365 * 86400LL), p.wall, p.mono, DUR_S(2)));
    plan_expect_nothing(&p, "the database says that it is wrong, and is not asked at once again");
    cr_expect_eq(scheduler_wake_mono(&p.s), p.mono + SCHEDULER_DOUBT);
    p.wall -= DUR_S(365 * 86400LL);
    scheduler_clock_set(&p.s, p.wall);
    p.mono += SCHEDULER_DOUBT;
    p.wall += SCHEDULER_DOUBT;
    struct scheduler_decision d = plan_expect(&p, "right again", 0, SCHEDULER_TICK);
    cr_expect_eq(d.scheduled_at, DUR_S(1002));
    plan_release(&p);
}

Test(scheduler_ticks, a_wall_clock_that_was_corrected_is_believed_when_the_database_agrees)
{
    struct plan p = plan_made(1);

    p.jobs[0].policy.missed = MISSED_SKIP;
    plan_begin(&p);
    cr_expect(scheduler_database_clock(&p.s, p.wall, p.wall, p.mono, DUR_S(2)));
    plan_pass(&p, DUR_MS(500));
    plan_ended(&p, plan_expect_run(&p, "1001", 0));
    p.wall += DUR_S(60);
    scheduler_clock_set(&p.s, p.wall);
    plan_expect(&p, "asked", 0, SCHEDULER_DOUBT_CLOCK);
    cr_expect(scheduler_database_clock(&p.s, p.wall, p.wall, p.mono, DUR_S(2)));
    plan_expect(&p, "there is a gap", 0, SCHEDULER_BUSY);
    struct scheduler_decision d = plan_expect(&p, "it counts as missed", 0, SCHEDULER_RECORD);
    cr_expect_eq(d.scheduled_at, DUR_S(1002));
    cr_expect_eq(d.count, 60);
    plan_release(&p);
}
