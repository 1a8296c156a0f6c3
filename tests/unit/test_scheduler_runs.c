/* What becomes of a run: which start, wait, are skipped or stopped, and in which order. */
#include <criterion/criterion.h>

#include "common/array.h"
#include "tests/unit/scheduler_fixture.h"

/* The row of a run that was queued before. */
static struct scheduler_about queued(enum run_origin origin)
{
    return (struct scheduler_about){
        .attempt = 1, .origin = origin, .stage = RUN_WAITING, .settled = true};
}

Test(scheduler_runs, overlap)
{
    /* clang-format off */
    static const struct {
        const char *title;
        enum job_overlap overlap;
        enum scheduler_verdict second; /* while the first runs */
        enum scheduler_verdict third;  /* while the first runs, or is being stopped */
    } cases[] = {
        {"skip: the last run still runs", OVERLAP_SKIP,    SCHEDULER_DROP,  SCHEDULER_DROP},
        {"queue: one waits at most",      OVERLAP_QUEUE,   SCHEDULER_WAIT,  SCHEDULER_DROP},
        {"replace: the newest waits",     OVERLAP_REPLACE, SCHEDULER_WAIT,  SCHEDULER_WAIT},
        {"allow",                         OVERLAP_ALLOW,   SCHEDULER_START, SCHEDULER_START},
    };
    /* clang-format on */

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct plan p = plan_made(1);

        p.jobs[0].policy.overlap = cases[i].overlap;
        plan_begin(&p);
        plan_pass(&p, DUR_MS(500));
        struct scheduler_run *first = plan_expect_run(&p, cases[i].title, 0);
        plan_pass(&p, DUR_S(1));
        plan_expect(&p, cases[i].title, 0, SCHEDULER_TICK);
        struct scheduler_decision d = plan_expect(&p, cases[i].title, 0, cases[i].second);
        struct scheduler_run *second = p.run;
        if (cases[i].second != SCHEDULER_START) {
            cr_expect_str_eq(d.reason, "overlap");
        }
        if (cases[i].overlap == OVERLAP_REPLACE) {
            plan_expect(&p, "the first makes room", 0, SCHEDULER_TERM);
            cr_expect(p.run == first && first->why == STOP_REPLACED);
        }
        plan_expect_nothing(&p, cases[i].title);
        plan_pass(&p, DUR_S(1));
        plan_expect(&p, cases[i].title, 0, SCHEDULER_TICK);
        plan_expect(&p, cases[i].title, 0, cases[i].third);
        struct scheduler_run *third = p.run;
        if (cases[i].overlap == OVERLAP_REPLACE) {
            d = plan_expect(&p, "so does the second", 0, SCHEDULER_DROP);
            cr_expect(d.run == second && d.outcome == OUTCOME_CANCELLED);
            cr_expect_str_eq(d.reason, "replaced");
        }
        plan_expect_nothing(&p, cases[i].title);
        plan_ended(&p, first);
        if (cases[i].second == SCHEDULER_WAIT) {
            plan_expect(&p, "there is room", 0, SCHEDULER_PROMOTE);
            cr_expect_eq(p.run, cases[i].overlap == OVERLAP_REPLACE ? third : second);
            plan_expect(&p, "it runs", 0, SCHEDULER_START);
        }
        plan_expect_nothing(&p, "what was skipped is not made up for");
        plan_release(&p);
    }
}

Test(scheduler_runs, a_retry_a_rerun_and_what_is_made_up_for_wait_instead_of_being_skipped)
{
    /* clang-format off */
    static const struct {
        const char *title;
        enum run_origin origin;
        bool made_up;
        enum scheduler_verdict verdict;
    } cases[] = {
        {"a tick",              ORIGIN_SCHEDULE, false, SCHEDULER_DROP},
        {"after another job",   ORIGIN_AFTER,    false, SCHEDULER_DROP},
        {"somebody wants it",   ORIGIN_TRIGGER,  false, SCHEDULER_DROP},
        {"a retry",             ORIGIN_RETRY,    false, SCHEDULER_WAIT},
        {"a rerun",             ORIGIN_RERUN,    false, SCHEDULER_WAIT},
        {"one of many missed",  ORIGIN_SCHEDULE, true,  SCHEDULER_WAIT},
    };
    /* clang-format on */

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct plan p = plan_made(1);

        plan_begin(&p);
        plan_pass(&p, DUR_MS(500));
        plan_expect_run(&p, "the first", 0);
        const struct scheduler_about about = {.scheduled_at = p.wall,
                                              .attempt = 1,
                                              .origin = cases[i].origin,
                                              .stage = RUN_ASKED,
                                              .made_up = cases[i].made_up,
                                              .settled = true};
        scheduler_granted(&p.s, plan_add(&p, 0, &about), p.wall);
        plan_expect(&p, cases[i].title, 0, cases[i].verdict);
        plan_release(&p);
    }
}

Test(scheduler_runs, missed_ticks_run_one_after_the_other_whatever_overlap_says)
{
    for (enum job_overlap overlap = OVERLAP_SKIP; overlap <= OVERLAP_ALLOW; overlap++) {
        struct plan p = plan_made(1);
        struct scheduler_run *running = NULL;
        unsigned ended = 0;

        p.jobs[0].policy.overlap = overlap == OVERLAP_REPLACE ? OVERLAP_SKIP : overlap;
        p.jobs[0].policy.missed = MISSED_ALL;
        p.jobs[0].schedule.every = DUR_S(60);
        plan_begin(&p);
        plan_pass(&p, DUR_S(300));
        while (ended < 5) {
            struct scheduler_decision d = plan_next(&p);

            cr_assert(p.s.running <= 1, "two at once");
            if (d.verdict == SCHEDULER_NOTHING) {
                cr_assert_eq(p.s.running, 1);
                plan_ended(&p, running);
                ended++;
            } else if (d.verdict == SCHEDULER_START) {
                cr_expect_eq(d.run->scheduled_at, DUR_S(1020) + ended * DUR_S(60));
                running = d.run;
            }
        }
        plan_release(&p);
    }
}

Test(scheduler_runs, a_mutex_has_one_holder)
{
    struct plan p = plan_made(3);
    struct scheduler_mutex mutex = {NULL};

    p.jobs[0].mutex = p.jobs[1].mutex = &mutex;
    p.jobs[1].policy.overlap = OVERLAP_ALLOW;
    plan_begin(&p);
    for (size_t i = 0; i < 3; i++) {
        plan_expect(&p, "all are asked for", i, SCHEDULER_TICK);
    }
    plan_pass(&p, DUR_MS(500));
    plan_expect(&p, "the first", 0, SCHEDULER_START);
    struct scheduler_run *first = p.run;
    struct scheduler_decision d = plan_expect(&p, "the second", 1, SCHEDULER_WAIT);
    cr_expect_str_eq(d.reason, "mutex");
    plan_expect(&p, "another", 2, SCHEDULER_START);
    plan_expect_nothing(&p, "it is held");
    plan_ended(&p, first);
    plan_expect(&p, "the second has it", 1, SCHEDULER_PROMOTE);
    cr_expect_eq(mutex.holder, p.run, "from now on, not only from its start on");
    plan_expect(&p, "and runs", 1, SCHEDULER_START);
    plan_ended(&p, p.run);
    cr_expect_null(mutex.holder);
    plan_release(&p);
}

Test(scheduler_runs, a_mutex_is_given_back_though_the_job_has_another_one_by_then)
{
    struct plan p = plan_made(2);
    struct scheduler_mutex old = {NULL};
    struct scheduler_mutex new = {NULL};

    p.jobs[0].mutex = &old;
    p.jobs[1].mutex = &new;
    plan_begin(&p);
    plan_pass(&p, DUR_MS(500));
    struct scheduler_run *first = plan_expect_run(&p, "with the old one", 0);
    struct scheduler_run *second = plan_expect_run(&p, "the other job", 1);
    p.jobs[0].mutex = &new;
    plan_replace(&p);
    cr_expect_eq(old.holder, first, "what it started with");
    plan_ended(&p, first);
    cr_expect_null(old.holder);
    cr_expect_eq(new.holder, second);
    plan_pass(&p, DUR_S(1));
    plan_expect(&p, "the next one", 0, SCHEDULER_TICK);
    struct scheduler_decision d = plan_expect(&p, "by the new one", 0, SCHEDULER_WAIT);
    cr_expect_str_eq(d.reason, "mutex");
    plan_release(&p);
}

Test(scheduler_runs, what_was_promoted_before_a_reload_starts_with_the_new_mutex)
{
    for (int held = 0; held < 2; held++) {
        struct plan p = plan_made(2);
        struct scheduler_mutex old = {NULL};
        struct scheduler_mutex new = {NULL};
        const struct scheduler_about about = queued(ORIGIN_TRIGGER);

        p.jobs[0].schedule.kind = p.jobs[1].schedule.kind = SCHEDULE_MANUAL;
        p.jobs[0].mutex = &old;
        p.jobs[1].mutex = &new;
        p.s.max_running = 2;
        plan_begin(&p);
        if (held) {
            plan_add(&p, 1, &about);
            plan_expect(&p, "the other job", 1, SCHEDULER_PROMOTE);
            plan_expect(&p, "the other job", 1, SCHEDULER_START);
        }
        struct scheduler_run *other = p.run;
        struct scheduler_run *run = plan_add(&p, 0, &about);
        plan_expect(&p, "promoted", 0, SCHEDULER_PROMOTE);
        p.jobs[0].mutex = &new;
        plan_replace(&p);
        if (held) {
            struct scheduler_decision d = plan_expect(&p, "it is held", 0, SCHEDULER_WAIT);
            cr_expect_str_eq(d.reason, "mutex");
            plan_expect_nothing(&p, "until it is given back");
            plan_ended(&p, other);
            plan_expect(&p, "again", 0, SCHEDULER_PROMOTE);
        }
        plan_expect(&p, "now", 0, SCHEDULER_START);
        cr_expect_eq(p.run, run);
        cr_expect_null(old.holder);
        cr_expect_eq(new.holder, run);
        plan_ended(&p, run);
        cr_expect_null(new.holder);
        cr_expect_eq(p.s.holding, 0);
        plan_release(&p);
    }
}

Test(scheduler_runs, no_more_than_max_running_and_services_beside_them)
{
    struct plan p = plan_made(5);

    p.jobs[4].schedule.kind = SCHEDULE_ALWAYS;
    p.s.max_running = 2;
    plan_begin(&p);
    plan_expect(&p, "a service", 4, SCHEDULER_TICK);
    plan_expect(&p, "a service", 4, SCHEDULER_START);
    for (size_t i = 0; i < 4; i++) {
        plan_expect(&p, "all are asked for", i, SCHEDULER_TICK);
    }
    plan_pass(&p, DUR_MS(500));
    plan_expect(&p, "one", 0, SCHEDULER_START);
    struct scheduler_run *first = p.run;
    plan_expect(&p, "two", 1, SCHEDULER_START);
    struct scheduler_decision d = plan_expect(&p, "three", 2, SCHEDULER_WAIT);
    cr_expect_str_eq(d.reason, "max_running");
    plan_expect(&p, "four", 3, SCHEDULER_WAIT);
    plan_expect_nothing(&p, "they wait");
    plan_ended(&p, first);
    plan_expect(&p, "who came first goes first", 2, SCHEDULER_PROMOTE);
    plan_expect(&p, "", 2, SCHEDULER_START);
    plan_expect_nothing(&p, "the other waits on");
    p.s.max_running = 3;
    plan_replace(&p);
    plan_expect(&p, "a reload makes room", 3, SCHEDULER_PROMOTE);
    plan_release(&p);
}

Test(scheduler_runs, what_waits_is_promoted_when_its_row_is_there)
{
    struct plan p = plan_made(2);
    struct scheduler_about about = queued(ORIGIN_TRIGGER);

    p.jobs[0].schedule.kind = p.jobs[1].schedule.kind = SCHEDULE_MANUAL;
    plan_begin(&p);
    about.settled = false;
    struct scheduler_run *unwritten = plan_add(&p, 0, &about);
    about.settled = true;
    plan_add(&p, 1, &about);
    plan_expect(&p, "the one that is written passes the other", 1, SCHEDULER_PROMOTE);
    plan_expect(&p, "", 1, SCHEDULER_START);
    plan_expect_nothing(&p, "not written, not promoted");
    scheduler_ledger(&p.s, false, p.wall);
    scheduler_settled(&p.s, unwritten);
    plan_expect_nothing(&p, "nobody to ask");
    scheduler_ledger(&p.s, true, p.wall);
    plan_expect(&p, "now", 0, SCHEDULER_PROMOTE);
    plan_release(&p);
}

Test(scheduler_runs, what_was_asked_for_and_finds_no_room_says_why_it_waits)
{
    struct plan p = plan_made(3);
    struct scheduler_about about = queued(ORIGIN_TRIGGER);

    for (size_t i = 0; i < 3; i++) {
        p.jobs[i].schedule.kind = SCHEDULE_MANUAL;
    }
    p.s.max_running = 1;
    plan_begin(&p);
    about.settled = false;
    cr_expect_null(scheduler_would_wait(&p.s, &p.jobs[0]));
    scheduler_settled(&p.s, plan_add(&p, 0, &about));
    plan_expect(&p, "there is room", 0, SCHEDULER_PROMOTE);
    plan_expect(&p, "", 0, SCHEDULER_START);
    struct scheduler_run *first = p.run;
    cr_expect_str_eq(scheduler_would_wait(&p.s, &p.jobs[0]), "overlap");
    cr_expect_str_eq(scheduler_would_wait(&p.s, &p.jobs[1]), "max_running");
    scheduler_settled(&p.s, plan_add(&p, 1, &about));
    struct scheduler_decision d = plan_expect(&p, "there is none", 1, SCHEDULER_WAIT);
    cr_expect_str_eq(d.reason, "max_running");
    plan_expect_nothing(&p, "it is said once");
    plan_ended(&p, first);
    plan_expect(&p, "now there is", 1, SCHEDULER_PROMOTE);
    plan_expect(&p, "", 1, SCHEDULER_START);
    plan_release(&p);
}

Test(scheduler_runs, what_is_delayed_waits_for_its_due_time_and_its_row)
{
    for (int settled = 0; settled < 2; settled++) {
        struct plan p = plan_made(1);

        p.jobs[0].schedule.kind = SCHEDULE_MANUAL;
        plan_begin(&p);
        const struct scheduler_about about = {.attempt = 2,
                                              .origin = ORIGIN_RETRY,
                                              .stage = RUN_DELAYED,
                                              .settled = settled,
                                              .due_at = p.wall + DUR_S(10)};
        struct scheduler_run *run = plan_add(&p, 0, &about);
        plan_pass(&p, DUR_S(10) - 1);
        plan_expect_nothing(&p, "not due");
        plan_pass(&p, 1);
        if (!settled) {
            plan_expect_nothing(&p, "not written");
            scheduler_settled(&p.s, run);
        }
        plan_expect(&p, "due", 0, SCHEDULER_PROMOTE);
        plan_expect(&p, "it runs", 0, SCHEDULER_START);
        plan_release(&p);
    }
}

Test(scheduler_runs, what_was_asked_for_and_is_somebody_elses_leaves_nothing)
{
    struct plan p = plan_made(1);
    struct scheduler_mutex mutex = {NULL};

    p.jobs[0].mutex = &mutex;
    p.jobs[0].schedule.kind = SCHEDULE_MANUAL;
    plan_begin(&p);
    const struct scheduler_about about = queued(ORIGIN_TRIGGER);
    plan_add(&p, 0, &about);
    struct scheduler_run *second = plan_add(&p, 0, &about);
    p.slow = true;
    plan_expect(&p, "the first is promoted", 0, SCHEDULER_PROMOTE);
    plan_expect_nothing(&p, "and has the room");
    scheduler_remove(&p.s, p.run);
    plan_expect(&p, "the second has it now", 0, SCHEDULER_PROMOTE);
    cr_expect_eq(p.run, second);
    scheduler_remove(&p.s, second);
    cr_expect(mutex.holder == NULL && p.s.known == 0 && p.s.holding == 0);
    plan_release(&p);
}

Test(scheduler_runs, would_skip)
{
    struct plan p = plan_made(1);
    const struct scheduler_about about = queued(ORIGIN_TRIGGER);

    p.jobs[0].schedule.kind = SCHEDULE_MANUAL;
    plan_begin(&p);
    cr_expect_not(scheduler_would_skip(&p.jobs[0]));
    plan_add(&p, 0, &about);
    cr_expect(scheduler_would_skip(&p.jobs[0]), "it waits");
    plan_expect(&p, "", 0, SCHEDULER_PROMOTE);
    plan_expect(&p, "", 0, SCHEDULER_START);
    cr_expect(scheduler_would_skip(&p.jobs[0]), "it runs");
    p.jobs[0].policy.overlap = OVERLAP_QUEUE;
    cr_expect_not(scheduler_would_skip(&p.jobs[0]));
    plan_release(&p);
}

/* ---- processes ---- */

static struct scheduler_run *one_running(struct plan *p, dur_ns timeout, dur_ns grace)
{
    *p = plan_made(1);
    p->jobs[0].policy.timeout = timeout;
    p->jobs[0].policy.grace = grace;
    p->jobs[0].schedule.kind = SCHEDULE_ELECTED;
    plan_begin(p);
    return plan_expect_run(p, "started", 0);
}

Test(scheduler_runs, a_timeout_is_term_then_kill_until_it_is_gone)
{
    struct plan p;
    struct scheduler_run *run = one_running(&p, DUR_S(10), DUR_S(2));

    p.jobs[0].policy.grace = DUR_S(1000); /* it runs by what it started with */
    p.mono += DUR_S(10) - 1;
    plan_expect_nothing(&p, "in time");
    p.mono += 1;
    plan_expect(&p, "SIGTERM", 0, SCHEDULER_TERM);
    cr_expect_eq(run->why, STOP_TIMEOUT);
    plan_expect_nothing(&p, "once");
    p.mono += DUR_S(2) - 1;
    plan_expect_nothing(&p, "it has its grace");
    p.mono += 1;
    plan_expect(&p, "its grace is over", 0, SCHEDULER_KILL);
    plan_expect_nothing(&p, "not at once again");
    p.mono += SCHEDULER_KILL_AGAIN;
    plan_expect(&p, "again, as long as it is there", 0, SCHEDULER_KILL);
    plan_ended(&p, run);
    p.mono += DUR_S(100);
    plan_expect_nothing(&p, "gone");
    plan_release(&p);
}

Test(scheduler_runs, what_does_not_die_is_killed_ever_more_seldom)
{
    struct plan p;
    struct scheduler_run *run = one_running(&p, DUR_S(10), 0);
    unsigned kills = 0;
    mono_ns last = 0;
    dur_ns wait = 0;

    p.mono += DUR_S(10);
    plan_expect(&p, "SIGTERM", 0, SCHEDULER_TERM);
    while (kills < 20) {
        struct scheduler_decision d = plan_next(&p);

        if (d.verdict == SCHEDULER_NOTHING) {
            p.mono = scheduler_wake_mono(&p.s);
            continue;
        }
        cr_assert_eq(d.verdict, SCHEDULER_KILL);
        cr_expect(kills < 2 || p.mono - last == 2 * wait || p.mono - last == DUR_S(1));
        wait = p.mono - last;
        last = p.mono;
        kills++;
    }
    cr_expect_eq(wait, SCHEDULER_KILL_AGAIN_MOST);
    cr_expect_eq(run->kills, kills);
    plan_release(&p);
}

Test(scheduler_runs, what_a_service_left_is_killed_after_its_grace)
{
    struct plan p = plan_made(1);

    p.jobs[0].schedule.kind = SCHEDULE_ALWAYS;
    p.jobs[0].policy.grace = DUR_S(2);
    plan_begin(&p);
    struct scheduler_run *run = plan_expect_run(&p, "the service", 0);
    plan_pass(&p, DUR_S(1));
    scheduler_left(&p.s, run, p.mono);
    plan_expect_nothing(&p, "it was told by whoever saw it");
    plan_pass(&p, DUR_S(2));
    plan_expect(&p, "its grace is over", 0, SCHEDULER_KILL);
    cr_expect_eq(run->why, STOP_NOT, "it ended by itself");
    plan_ended(&p, run);
    plan_pass(&p, DUR_S(1));
    plan_expect_run(&p, "it comes back", 0);
    plan_release(&p);
}
