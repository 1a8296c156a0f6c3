/* The phases of a term, and the jobs in them. */
#include <criterion/criterion.h>

#include "tests/unit/scheduler_fixture.h"

Test(scheduler, elected_comes_before_services_and_they_before_ticks)
{
    struct plan p = plan_made(4);

    p.jobs[0].schedule.kind = SCHEDULE_ALWAYS;
    p.jobs[2].schedule.kind = SCHEDULE_ELECTED;
    p.jobs[3].schedule.kind = SCHEDULE_MANUAL;
    p.slow = true;
    plan_begin(&p);
    plan_pass(&p, DUR_MS(500));
    struct scheduler_decision d = plan_expect(&p, "@elected", 2, SCHEDULER_TICK);
    cr_expect_eq(d.origin, ORIGIN_SCHEDULE);
    d = plan_expect(&p, "then services", 0, SCHEDULER_TICK);
    cr_expect_eq(d.origin, ORIGIN_SERVICE);
    plan_expect(&p, "then ticks", 1, SCHEDULER_TICK);
    plan_expect_nothing(&p, "manual never");
    plan_release(&p);
}

Test(scheduler, nothing_is_asked_of_a_job_that_is_not_known)
{
    struct plan p = plan_made(3);

    p.jobs[0].schedule.kind = SCHEDULE_ALWAYS;
    p.jobs[1].schedule.kind = SCHEDULE_ELECTED;
    plan_replace(&p);
    scheduler_begin(&p.s, p.wall, p.mono);
    scheduler_ledger(&p.s, true, p.wall);
    plan_pass(&p, DUR_S(10));
    plan_expect_nothing(&p, "none is known");
    scheduler_know(&p.s, &p.jobs[0], 0, 0, true, p.wall);
    plan_expect_nothing(&p, "a service that is paused");
    scheduler_know(&p.s, &p.jobs[1], 0, 0, false, p.wall);
    plan_expect_run(&p, "@elected is known", 1);
    scheduler_know(&p.s, &p.jobs[2], p.wall - DUR_MS(1200), 0, false, p.wall);
    plan_expect_run(&p, "ticks since its last", 2);
    scheduler_pause(&p.s, &p.jobs[0], false, p.mono);
    plan_expect_run(&p, "the service goes on", 0);
    plan_release(&p);
}

Test(scheduler, nothing_is_asked_while_the_ledger_is_down)
{
    struct plan p = plan_made(2);

    p.jobs[1].schedule.kind = SCHEDULE_ALWAYS;
    plan_begin(&p);
    plan_expect_run(&p, "the service", 1);
    scheduler_ledger(&p.s, false, p.wall);
    plan_ended(&p, p.run);
    plan_pass(&p, DUR_MS(1700));
    plan_expect_nothing(&p, "neither a tick nor a service");
    cr_expect_eq(scheduler_wake_wall(&p.s), WALL_NEVER);
    cr_expect_eq(scheduler_wake_mono(&p.s), MONO_NEVER);
    scheduler_ledger(&p.s, true, p.wall);
    plan_expect_run(&p, "the service comes back", 1);
    struct scheduler_decision d = plan_expect(&p, "late, not missed", 0, SCHEDULER_TICK);
    cr_expect_eq(d.scheduled_at, DUR_S(1001));
    plan_release(&p);
}

Test(scheduler, a_service_is_started_again_with_a_growing_wait)
{
    struct plan p = plan_made(1);
    dur_ns waited = 0;

    p.jobs[0].schedule.kind = SCHEDULE_ALWAYS;
    plan_begin(&p);
    for (int i = 0; i < 20; i++) {
        plan_ended(&p, plan_expect_run(&p, "started", 0));
        mono_ns at = scheduler_wake_mono(&p.s);
        waited = at - p.mono;
        cr_expect(waited >= SCHEDULER_RESTART_LEAST / 2, "not at once");
        cr_expect(waited <= SCHEDULER_RESTART_MOST, "not for ever");
        plan_expect_nothing(&p, "not before its time");
        p.mono = at;
    }
    cr_expect(waited >= SCHEDULER_RESTART_MOST / 2, "it grew to the longest");
    struct scheduler_run *run = plan_expect_run(&p, "started", 0);
    p.mono += SCHEDULER_HEALTHY_AFTER;
    plan_ended(&p, run);
    cr_expect(scheduler_wake_mono(&p.s) - p.mono <= SCHEDULER_RESTART_LEAST,
              "one that was well begins anew");
    plan_release(&p);
}

Test(scheduler, a_service_that_cannot_start_waits_too)
{
    struct plan p = plan_made(1);

    p.jobs[0].schedule.kind = SCHEDULE_ALWAYS;
    plan_begin(&p);
    plan_expect(&p, "asked", 0, SCHEDULER_TICK);
    struct scheduler_decision d = scheduler_next(&p.s, p.wall, p.mono);
    cr_assert_eq(d.verdict, SCHEDULER_START);
    plan_ended(&p, d.run);
    cr_expect_eq(p.s.running, 0);
    cr_expect_eq(p.s.known, 0);
    cr_expect(scheduler_wake_mono(&p.s) > p.mono);
    plan_release(&p);
}

/* Each of these must leave it with a way back. */
Test(scheduler, a_service_comes_back_whatever_became_of_its_run)
{
    struct plan p = plan_made(1);

    p.jobs[0].schedule.kind = SCHEDULE_ALWAYS;
    p.slow = true;
    plan_begin(&p);
    plan_expect(&p, "asked", 0, SCHEDULER_TICK);
    scheduler_remove(&p.s, p.last_made);
    plan_expect(&p, "one that was taken", 0, SCHEDULER_TICK);
    cr_expect_eq(scheduler_cancel(&p.s, &p.jobs[0], p.mono), 1);
    scheduler_granted(&p.s, p.last_made, p.wall);
    plan_expect(&p, "one that was cancelled before it was granted", 0, SCHEDULER_DROP);
    plan_expect(&p, "", 0, SCHEDULER_TICK);
    scheduler_granted(&p.s, p.last_made, p.wall);
    plan_expect(&p, "", 0, SCHEDULER_START);
    cr_expect_eq(scheduler_cancel(&p.s, &p.jobs[0], p.mono), 1);
    plan_expect(&p, "one that was cancelled while it ran", 0, SCHEDULER_TERM);
    plan_ended(&p, p.run);
    plan_expect(&p, "at once", 0, SCHEDULER_TICK);
    plan_release(&p);
}

Test(scheduler, a_service_waits_for_a_run_that_somebody_asked_for)
{
    const struct scheduler_about trigger = {
        .attempt = 1, .origin = ORIGIN_TRIGGER, .stage = RUN_WAITING, .settled = true};
    struct plan p = plan_made(1);

    p.jobs[0].schedule.kind = SCHEDULE_ALWAYS;
    plan_begin(&p);
    struct scheduler_run *service = plan_expect_run(&p, "the service", 0);
    plan_ended(&p, service);
    struct scheduler_run *other = plan_add(&p, 0, &trigger);
    plan_expect(&p, "while it waits for its restart", 0, SCHEDULER_PROMOTE);
    plan_expect(&p, "the other", 0, SCHEDULER_START);
    p.mono = scheduler_wake_mono(&p.s);
    plan_expect(&p, "it is due again", 0, SCHEDULER_TICK);
    plan_expect(&p, "and not skipped", 0, SCHEDULER_WAIT);
    plan_expect_nothing(&p, "as long as the other runs");
    plan_ended(&p, other);
    plan_expect(&p, "now it may", 0, SCHEDULER_PROMOTE);
    plan_expect(&p, "it does", 0, SCHEDULER_START);
    plan_release(&p);
}

Test(scheduler, a_start_of_a_service_that_was_handed_over_is_the_only_one)
{
    struct plan p = plan_made(1);
    const struct scheduler_about about = {.scheduled_at = p.wall - DUR_S(1),
                                          .attempt = 1,
                                          .origin = ORIGIN_SERVICE,
                                          .stage = RUN_WAITING,
                                          .settled = true};

    p.jobs[0].schedule = (struct schedule){.kind = SCHEDULE_ALWAYS};
    plan_replace(&p);
    scheduler_begin(&p.s, p.wall, p.mono);
    scheduler_ledger(&p.s, true, p.wall);
    struct scheduler_run *left = plan_add(&p, 0, &about);
    scheduler_know(&p.s, &p.jobs[0], p.wall, 0, false, p.wall);
    plan_expect(&p, "the one that waits", 0, SCHEDULER_PROMOTE);
    cr_expect_eq(plan_expect(&p, "it runs", 0, SCHEDULER_START).run, left);
    plan_expect_nothing(&p, "no other");
    plan_ended(&p, left);
    plan_pass(&p, DUR_S(1));
    plan_expect_run(&p, "it is started again", 0);
    plan_release(&p);
}

Test(scheduler, a_critical_service_that_cannot_be_kept_up_is_told_of_once)
{
    struct plan p = plan_made(1);

    p.jobs[0].schedule.kind = SCHEDULE_ALWAYS;
    p.jobs[0].policy.critical = true;
    plan_begin(&p);
    for (int i = 0; i < SCHEDULER_CRITICAL_FAILURES; i++) {
        plan_ended(&p, plan_expect_run(&p, "it is tried", 0));
        p.mono = scheduler_wake_mono(&p.s);
    }
    plan_expect(&p, "that was too often", 0, SCHEDULER_CRITICAL);
    for (int i = 0; i < SCHEDULER_CRITICAL_FAILURES; i++) {
        plan_ended(&p, plan_expect_run(&p, "it goes on being tried", 0));
        p.mono = scheduler_wake_mono(&p.s);
    }
    plan_release(&p);
}

Test(scheduler, a_critical_service_that_was_well_in_between_is_kept)
{
    struct plan p = plan_made(1);

    p.jobs[0].schedule.kind = SCHEDULE_ALWAYS;
    p.jobs[0].policy.critical = true;
    plan_begin(&p);
    for (int i = 0; i < 3 * SCHEDULER_CRITICAL_FAILURES; i++) {
        struct scheduler_run *run = plan_expect_run(&p, "it is tried", 0);
        p.mono += i % 4 == 3 ? SCHEDULER_HEALTHY_AFTER : 0;
        plan_ended(&p, run);
        p.mono = scheduler_wake_mono(&p.s);
    }
    plan_release(&p);
}

Test(scheduler, a_pause_skips_ticks_and_stops_services_until_it_is_over)
{
    static const bool all[] = {false, true};

    for (size_t i = 0; i < 2; i++) {
        struct plan p = plan_made(2);

        p.jobs[1].schedule.kind = SCHEDULE_ALWAYS;
        plan_begin(&p);
        plan_expect_run(&p, "the service", 1);
        scheduler_pause(&p.s, all[i] ? NULL : &p.jobs[0], true, p.mono);
        scheduler_pause(&p.s, all[i] ? NULL : &p.jobs[1], true, p.mono);
        plan_expect(&p, "the service is stopped", 1, SCHEDULER_TERM);
        cr_expect_eq(p.run->why, STOP_PAUSED);
        plan_ended(&p, p.run);
        plan_expect(&p, "the tick is skipped", 0, SCHEDULER_RECORD);
        plan_expect_nothing(&p, "and that is all");
        plan_pass(&p, DUR_S(1));
        struct scheduler_decision d = plan_expect(&p, "each tick", 0, SCHEDULER_RECORD);
        cr_expect_eq(d.outcome, OUTCOME_SKIPPED);
        cr_expect_str_eq(d.reason, "paused");
        scheduler_pause(&p.s, all[i] ? NULL : &p.jobs[0], false, p.mono);
        scheduler_pause(&p.s, all[i] ? NULL : &p.jobs[1], false, p.mono);
        plan_expect_run(&p, "the service goes on at once", 1);
        plan_expect_nothing(&p, "what was skipped is not made up for");
        plan_pass(&p, DUR_S(1));
        plan_expect(&p, "the next tick is run", 0, SCHEDULER_TICK);
        plan_release(&p);
    }
}

Test(scheduler, to_resume_what_is_not_paused_starts_nothing_anew)
{
    struct plan p = plan_made(1);

    p.jobs[0].schedule.kind = SCHEDULE_ALWAYS;
    plan_begin(&p);
    for (int i = 0; i < 5; i++) {
        plan_ended(&p, plan_expect_run(&p, "it fails", 0));
        scheduler_pause(&p.s, NULL, false, p.mono);
        scheduler_pause(&p.s, &p.jobs[0], false, p.mono);
        plan_expect_nothing(&p, "it waits for its restart");
        p.mono = scheduler_wake_mono(&p.s);
    }
    cr_expect_eq(p.jobs[0].restart.failures, 5);
    plan_release(&p);
}

Test(scheduler, a_service_that_is_resumed_before_it_was_granted_has_one_run)
{
    struct plan p = plan_made(1);

    p.jobs[0].schedule.kind = SCHEDULE_ALWAYS;
    p.jobs[0].policy.overlap = OVERLAP_ALLOW;
    p.slow = true;
    plan_begin(&p);
    plan_expect(&p, "asked", 0, SCHEDULER_TICK);
    scheduler_pause(&p.s, &p.jobs[0], true, p.mono);
    scheduler_pause(&p.s, &p.jobs[0], false, p.mono);
    plan_expect_nothing(&p, "one is enough");
    scheduler_granted(&p.s, p.last_made, p.wall);
    plan_expect(&p, "that one", 0, SCHEDULER_START);
    plan_expect_nothing(&p, "alone");
    plan_release(&p);
}

Test(scheduler, a_trigger_runs_though_its_job_is_paused)
{
    const struct scheduler_about about = {
        .attempt = 1, .origin = ORIGIN_TRIGGER, .stage = RUN_WAITING, .settled = true};
    struct plan p = plan_made(1);

    plan_begin(&p);
    scheduler_pause(&p.s, &p.jobs[0], true, p.mono);
    plan_add(&p, 0, &about);
    plan_expect(&p, "room for it", 0, SCHEDULER_PROMOTE);
    plan_expect(&p, "it runs", 0, SCHEDULER_START);
    plan_release(&p);
}

Test(scheduler, a_cancel_stops_what_runs_and_drops_what_waits)
{
    struct plan p = plan_made(1);

    p.jobs[0].policy.overlap = OVERLAP_QUEUE;
    plan_begin(&p);
    plan_pass(&p, DUR_MS(500));
    struct scheduler_run *first = plan_expect_run(&p, "runs", 0);
    plan_pass(&p, DUR_S(1));
    plan_expect(&p, "asked", 0, SCHEDULER_TICK);
    plan_expect(&p, "waits", 0, SCHEDULER_WAIT);
    cr_expect_eq(scheduler_cancel(&p.s, &p.jobs[0], p.mono), 2);
    plan_expect(&p, "the one that runs", 0, SCHEDULER_TERM);
    cr_expect(p.run == first && first->why == STOP_CANCELLED);
    struct scheduler_decision d = plan_expect(&p, "the other", 0, SCHEDULER_DROP);
    cr_expect_eq(d.outcome, OUTCOME_CANCELLED);
    cr_expect_str_eq(d.reason, "cancelled");
    plan_ended(&p, first);
    cr_expect_eq(scheduler_cancel(&p.s, &p.jobs[0], p.mono), 0, "nothing is left");
    plan_release(&p);
}

/* The supervisor judges by it whether the schedule goes on. */
Test(scheduler, what_is_due_next_has_an_instant_also_where_it_is_looked_at_at_once)
{
    struct plan p = plan_made(1);

    p.slow = true;
    plan_begin(&p);
    const wall_ns second = scheduler_next_due(&p.s);
    cr_expect_eq(second, p.wall + DUR_MS(500));
    plan_expect(&p, "claimed ahead", 0, SCHEDULER_TICK);
    cr_expect_eq(scheduler_next_due(&p.s), second + DUR_S(1));
    scheduler_granted(&p.s, p.last_made, p.wall);
    cr_expect_eq(scheduler_next_due(&p.s), second, "it is to be started");
    cr_expect_eq(scheduler_cancel(&p.s, &p.jobs[0], p.mono), 1);
    cr_expect_eq(scheduler_next_due(&p.s), second, "it is to be dropped");
    plan_expect(&p, "dropped before its instant", 0, SCHEDULER_DROP);
    plan_release(&p);
}

Test(scheduler, a_reload_keeps_runs_and_restarts_changed_services)
{
    struct plan p = plan_made(3);

    p.jobs[1].schedule.kind = SCHEDULE_ALWAYS;
    p.jobs[2].schedule.kind = SCHEDULE_ALWAYS;
    p.jobs[0].policy.timeout = DUR_S(100);
    plan_begin(&p);
    plan_expect_run(&p, "service", 1);
    plan_expect_run(&p, "service", 2);
    plan_pass(&p, DUR_MS(500));
    struct scheduler_run *run = plan_expect_run(&p, "tick", 0);
    plan_replace(&p);
    p.jobs[2].enabled = false;
    p.jobs[0].schedule.every = DUR_S(60);
    p.jobs[0].policy.timeout = DUR_S(1);
    for (size_t i = 0; i < 3; i++) {
        scheduler_define(&p.s, &p.jobs[i], true, p.wall, p.mono);
    }
    plan_expect(&p, "a changed service is stopped", 1, SCHEDULER_TERM);
    cr_expect_eq(p.run->why, STOP_CHANGED);
    plan_expect(&p, "a removed one too", 2, SCHEDULER_TERM);
    cr_expect_eq(p.run->why, STOP_REMOVED);
    plan_expect_nothing(&p, "a changed run goes on");
    cr_expect_eq(scheduler_wake_wall(&p.s), DUR_S(1020) - SCHEDULER_AHEAD, "by the new schedule");
    plan_ended(&p, plan_run_of(&p, 1));
    plan_ended(&p, plan_run_of(&p, 2));
    plan_expect_run(&p, "a changed service comes back at once", 1);
    plan_expect_nothing(&p, "a removed one does not");
    p.mono += DUR_S(50);
    plan_expect_nothing(&p, "a run keeps the timeout that it started with");
    cr_expect_eq(run->stage, RUN_GOING);
    p.mono += DUR_S(50);
    plan_expect(&p, "that one", 0, SCHEDULER_TERM);
    plan_release(&p);
}

Test(scheduler, a_job_becomes_a_service_and_none_again)
{
    struct plan p = plan_made(1);

    plan_begin(&p);
    plan_pass(&p, DUR_MS(500));
    struct scheduler_run *run = plan_expect_run(&p, "a tick", 0);
    p.jobs[0].schedule.kind = SCHEDULE_ALWAYS;
    plan_replace(&p);
    scheduler_define(&p.s, &p.jobs[0], true, p.wall, p.mono);
    plan_expect(&p, "it is a service now", 0, SCHEDULER_TICK);
    plan_expect(&p, "its last run goes on", 0, SCHEDULER_WAIT);
    plan_expect_nothing(&p, "that is waited for");
    plan_ended(&p, run);
    plan_expect(&p, "over", 0, SCHEDULER_PROMOTE);
    plan_expect(&p, "the service", 0, SCHEDULER_START);
    p.jobs[0].schedule = (struct schedule){.kind = SCHEDULE_MANUAL};
    plan_replace(&p);
    scheduler_define(&p.s, &p.jobs[0], true, p.wall, p.mono);
    plan_expect(&p, "it is none any more", 0, SCHEDULER_TERM);
    plan_ended(&p, p.run);
    plan_expect_nothing(&p, "and does not come back");
    plan_release(&p);
}

Test(scheduler, a_job_that_is_new_in_a_term_follows_its_schedule_when_it_is_known)
{
    struct plan p = plan_made(3);

    p.count = 1;
    plan_begin(&p);
    p.count = 3;
    p.jobs[1].schedule.kind = SCHEDULE_ALWAYS;
    p.jobs[2].schedule.kind = SCHEDULE_ELECTED;
    plan_replace(&p);
    for (size_t i = 0; i < 3; i++) {
        scheduler_define(&p.s, &p.jobs[i], i > 0, p.wall, p.mono);
    }
    scheduler_pause(&p.s, &p.jobs[0], true, p.mono);
    plan_expect(&p, "as before", 0, SCHEDULER_RECORD);
    plan_expect_nothing(&p, "nobody knows whether it is paused");
    scheduler_know(&p.s, &p.jobs[1], 0, 0, false, p.wall);
    scheduler_know(&p.s, &p.jobs[2], 0, 0, false, p.wall);
    plan_expect_run(&p, "the new service starts", 1);
    plan_expect_nothing(&p, "and only that: the election was before");
    plan_release(&p);
}

Test(scheduler, an_elected_job_that_is_changed_before_it_is_known_has_its_start)
{
    struct plan p = plan_made(3);

    p.jobs[0].schedule.kind = p.jobs[1].schedule.kind = p.jobs[2].schedule.kind = SCHEDULE_ELECTED;
    plan_replace(&p);
    scheduler_begin(&p.s, p.wall, p.mono);
    p.jobs[1].enabled = false;
    p.jobs[2].schedule.kind = SCHEDULE_MANUAL;
    plan_replace(&p);
    for (size_t i = 0; i < 3; i++) {
        scheduler_define(&p.s, &p.jobs[i], true, p.wall, p.mono);
    }
    for (size_t i = 0; i < 3; i++) {
        scheduler_know(&p.s, &p.jobs[i], 0, 0, false, p.wall);
    }
    scheduler_ledger(&p.s, true, p.wall);
    struct scheduler_run *run = plan_expect_run(&p, "the term has not had it", 0);
    plan_expect_nothing(&p, "a disabled one has none, nor one that is another kind of job now");
    plan_ended(&p, run);
    scheduler_define(&p.s, &p.jobs[0], true, p.wall, p.mono);
    plan_expect_nothing(&p, "once a term");
    plan_release(&p);
}

Test(scheduler, what_a_removed_job_has_waiting_is_dropped)
{
    struct plan p = plan_made(1);

    p.slow = true;
    plan_begin(&p);
    plan_pass(&p, DUR_MS(500));
    plan_expect(&p, "asked", 0, SCHEDULER_TICK);
    p.jobs[0].enabled = false;
    plan_replace(&p);
    scheduler_define(&p.s, &p.jobs[0], true, p.wall, p.mono);
    plan_expect_nothing(&p, "the ledger's answer is waited for");
    scheduler_granted(&p.s, p.last_made, p.wall);
    struct scheduler_decision d = plan_expect(&p, "dropped", 0, SCHEDULER_DROP);
    cr_expect_eq(d.outcome, OUTCOME_CANCELLED);
    cr_expect_str_eq(d.reason, "removed");
    plan_pass(&p, DUR_S(10));
    plan_expect_nothing(&p, "no ticks of a disabled job");
    plan_release(&p);
}

Test(scheduler, nothing_starts_outside_a_term)
{
    struct plan p = plan_made(3);

    p.jobs[1].schedule.kind = SCHEDULE_ALWAYS;
    p.jobs[2].schedule.kind = SCHEDULE_ELECTED;
    plan_replace(&p);
    for (size_t i = 0; i < 3; i++) {
        scheduler_define(&p.s, &p.jobs[i], true, p.wall, p.mono);
    }
    plan_pass(&p, DUR_S(100));
    plan_expect_nothing(&p, "resting");
    cr_expect_eq(scheduler_wake_wall(&p.s), WALL_NEVER);
    cr_expect_eq(scheduler_wake_mono(&p.s), MONO_NEVER);
    plan_release(&p);
}
