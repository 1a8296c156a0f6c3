#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#include "worker/leader/scheduler.h"

enum { JOBS_MAX = 10000 };

/* A world of jobs on clocks that stand where they are put. */
struct world {
    struct scheduler s;
    struct scheduler_job *jobs;
    struct scheduler_job **list;
    struct heap_item **ticks;
    struct heap_item **alarms;
    size_t count;
    wall_ns wall;
    mono_ns mono;
};

static struct world made(size_t count)
{
    struct world w = {
        .jobs = calloc(count, sizeof(*w.jobs)),
        .list = calloc(count, sizeof(*w.list)),
        .ticks = calloc(count, sizeof(*w.ticks)),
        .alarms = calloc(count, sizeof(*w.alarms)),
        .count = count,
        .wall = DUR_S(1000) + DUR_MS(500),
        .mono = DUR_S(50),
    };

    scheduler_init(&w.s, 1);
    for (size_t i = 0; i < count; i++) {
        scheduler_job_init(&w.jobs[i], &w.jobs[i]);
        w.jobs[i].schedule = (struct schedule){.kind = SCHEDULE_EVERY, .every = DUR_S(1)};
        w.jobs[i].enabled = true;
        w.jobs[i].grace = DUR_S(5);
        w.list[i] = &w.jobs[i];
    }
    return w;
}

static void unmake(struct world *w)
{
    free(w->jobs);
    free(w->list);
    free(w->ticks);
    free(w->alarms);
}

static void replace(struct world *w)
{
    scheduler_replace(&w->s, w->list, w->count, w->ticks, w->alarms);
}

static void begin(struct world *w)
{
    replace(w);
    scheduler_begin(&w->s, w->wall, w->mono);
}

static void pass(struct world *w, dur_ns length)
{
    w->wall += length;
    w->mono += length;
}

static struct scheduler_decision next(struct world *w)
{
    struct scheduler_decision out = scheduler_next(&w->s, w->wall, w->mono);

    if (out.verdict == SCHEDULER_START) {
        scheduler_started(&w->s, out.job, w->mono);
    }
    return out;
}

/* A heading, which of the jobs, what is decided. */
static void expect(struct world *w, const char *title, size_t job, enum scheduler_verdict verdict)
{
    struct scheduler_decision got = next(w);

    cr_expect(got.verdict == verdict, "%s: verdict %d", title, (int)got.verdict);
    if (verdict != SCHEDULER_NOTHING) {
        cr_expect(got.job == &w->jobs[job], "%s: another job", title);
    }
}

static void ended(struct world *w, size_t job)
{
    scheduler_ended(&w->s, &w->jobs[job], w->mono);
}

Test(scheduler, what_every_means)
{
    /* clang-format off */
    static const struct {
        const char *title;
        dur_ns every;
        dur_ns step;         /* of the wall clock after the beginning, which is at 1000.5 s */
        enum scheduler_verdict verdict;
        dur_ns scheduled_at;
        uint64_t passed_over;
    } cases[] = {
        {"nothing is due before the next instant of the grid", DUR_S(1), DUR_MS(499),   SCHEDULER_NOTHING, 0,           0},
        {"a tick is due at its instant",                       DUR_S(1), DUR_MS(500),   SCHEDULER_START,   DUR_S(1001), 0},
        {"a late tick keeps its instant",                      DUR_S(1), DUR_MS(900),   SCHEDULER_START,   DUR_S(1001), 0},
        {"after a step forward only the latest is started",    DUR_S(1), DUR_S(100),    SCHEDULER_START,   DUR_S(1100), 99},
        {"the grid begins at the epoch, not at the election",  DUR_S(30), DUR_S(20),    SCHEDULER_START,   DUR_S(1020), 0},
        {"a step back starts nothing",                         DUR_S(1), -DUR_S(100),   SCHEDULER_NOTHING, 0,           0},
    };
    /* clang-format on */

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct world w = made(1);

        w.jobs[0].schedule.every = cases[i].every;
        begin(&w);
        expect(&w, cases[i].title, 0, SCHEDULER_NOTHING);
        w.wall += cases[i].step;
        struct scheduler_decision got = next(&w);
        cr_expect(got.verdict == cases[i].verdict, "%s: %d", cases[i].title, (int)got.verdict);
        if (got.verdict == SCHEDULER_START) {
            cr_expect(got.scheduled_at == cases[i].scheduled_at, "%s", cases[i].title);
            cr_expect(got.passed_over == cases[i].passed_over, "%s", cases[i].title);
            expect(&w, cases[i].title, 0, SCHEDULER_NOTHING);
        }
        unmake(&w);
    }
}

Test(scheduler, a_tick_is_never_repeated_by_a_clock_that_steps_back)
{
    struct world w = made(1);

    begin(&w);
    pass(&w, DUR_S(10));
    expect(&w, "a tick", 0, SCHEDULER_START);
    ended(&w, 0);
    w.wall -= DUR_S(5);
    scheduler_clock_set(&w.s, w.wall);
    for (int i = 0; i < 6; i++) {
        expect(&w, "up to the last instant nothing is started again", 0, SCHEDULER_NOTHING);
        pass(&w, DUR_MS(900));
    }
    pass(&w, DUR_S(1));
    expect(&w, "what comes after it is", 0, SCHEDULER_START);
    unmake(&w);
}

Test(scheduler, a_clock_that_was_ahead_does_not_silence_a_job)
{
    struct world w = made(1);

    w.wall += DUR_S(86400);
    begin(&w);
    w.wall -= DUR_S(86400);
    scheduler_clock_set(&w.s, w.wall);
    pass(&w, DUR_S(1));
    expect(&w, "it follows the clock that was put right", 0, SCHEDULER_START);
    unmake(&w);
}

Test(scheduler, a_last_tick_in_the_future_is_cut_by_the_next_term)
{
    struct world w = made(1);

    w.jobs[0].last_tick = w.wall + DUR_S(86400);
    begin(&w);
    pass(&w, DUR_S(1));
    expect(&w, "the job is not silent for a day", 0, SCHEDULER_START);
    unmake(&w);
}

Test(scheduler, a_tick_whose_last_run_still_runs_is_skipped)
{
    struct world w = made(1);

    begin(&w);
    pass(&w, DUR_S(1));
    expect(&w, "started", 0, SCHEDULER_START);
    pass(&w, DUR_S(1));
    expect(&w, "still running", 0, SCHEDULER_SKIP);
    expect(&w, "once", 0, SCHEDULER_NOTHING);
    ended(&w, 0);
    expect(&w, "a skipped tick is not made up for", 0, SCHEDULER_NOTHING);
    pass(&w, DUR_S(1));
    expect(&w, "ended: the next tick runs", 0, SCHEDULER_START);
    unmake(&w);
}

Test(scheduler, elected_comes_before_services_and_they_before_ticks)
{
    struct world w = made(4);

    w.jobs[0].schedule.kind = SCHEDULE_ALWAYS;
    w.jobs[1].schedule.kind = SCHEDULE_EVERY;
    w.jobs[2].schedule.kind = SCHEDULE_ELECTED;
    w.jobs[3].schedule.kind = SCHEDULE_MANUAL;
    begin(&w);
    pass(&w, DUR_S(1));
    expect(&w, "@elected", 2, SCHEDULER_START);
    expect(&w, "then services", 0, SCHEDULER_START);
    expect(&w, "then ticks", 1, SCHEDULER_START);
    expect(&w, "manual never", 3, SCHEDULER_NOTHING);
    cr_expect_eq(w.s.running, 3);
    unmake(&w);
}

Test(scheduler, a_service_is_started_again_with_a_growing_wait)
{
    struct world w = made(1);
    dur_ns waited = 0;

    w.jobs[0].schedule.kind = SCHEDULE_ALWAYS;
    begin(&w);
    for (int i = 0; i < 20; i++) {
        expect(&w, "started", 0, SCHEDULER_START);
        ended(&w, 0);
        mono_ns at = scheduler_wake_mono(&w.s);
        waited = at - w.mono;
        cr_expect(waited >= SCHEDULER_RESTART_LEAST / 2, "not at once");
        cr_expect(waited <= SCHEDULER_RESTART_MOST, "not for ever");
        expect(&w, "not before its time", 0, SCHEDULER_NOTHING);
        w.mono = at;
    }
    cr_expect(waited >= SCHEDULER_RESTART_MOST / 2, "it grew to the longest");
    expect(&w, "started", 0, SCHEDULER_START);
    w.mono += SCHEDULER_HEALTHY_AFTER;
    ended(&w, 0);
    cr_expect(scheduler_wake_mono(&w.s) - w.mono <= SCHEDULER_RESTART_LEAST,
              "one that was well begins anew");
    unmake(&w);
}

Test(scheduler, a_service_that_cannot_start_waits_too)
{
    struct world w = made(1);

    w.jobs[0].schedule.kind = SCHEDULE_ALWAYS;
    begin(&w);
    struct scheduler_decision got = scheduler_next(&w.s, w.wall, w.mono);
    cr_assert_eq(got.verdict, SCHEDULER_START);
    ended(&w, 0);
    cr_expect_eq(w.s.running, 0);
    cr_expect(scheduler_wake_mono(&w.s) > w.mono);
    unmake(&w);
}

Test(scheduler, a_timeout_is_term_then_kill_until_it_is_gone)
{
    struct world w = made(1);

    w.jobs[0].timeout = DUR_S(10);
    w.jobs[0].grace = DUR_S(2);
    w.jobs[0].schedule.every = DUR_S(3600);
    begin(&w);
    w.wall += DUR_S(3600);
    expect(&w, "started", 0, SCHEDULER_START);
    w.mono += DUR_S(10) - 1;
    expect(&w, "in time", 0, SCHEDULER_NOTHING);
    w.mono += 1;
    expect(&w, "SIGTERM", 0, SCHEDULER_TERM);
    cr_expect_eq(w.jobs[0].why, STOP_TIMEOUT);
    expect(&w, "once", 0, SCHEDULER_NOTHING);
    w.mono += DUR_S(2);
    expect(&w, "its grace is over", 0, SCHEDULER_KILL);
    expect(&w, "not at once again", 0, SCHEDULER_NOTHING);
    w.mono += SCHEDULER_KILL_AGAIN;
    expect(&w, "again, as long as it is there", 0, SCHEDULER_KILL);
    ended(&w, 0);
    w.mono += DUR_S(100);
    expect(&w, "gone", 0, SCHEDULER_NOTHING);
    unmake(&w);
}

Test(scheduler, what_does_not_die_is_killed_ever_more_seldom)
{
    struct world w = made(1);
    unsigned kills = 0;

    w.jobs[0].timeout = DUR_S(10);
    w.jobs[0].grace = 0;
    w.jobs[0].schedule.every = DUR_S(3600);
    begin(&w);
    w.wall += DUR_S(3600);
    expect(&w, "started", 0, SCHEDULER_START);
    w.mono += DUR_S(10);
    expect(&w, "SIGTERM", 0, SCHEDULER_TERM);
    for (int i = 0; i < 6000; i++) { /* a minute */
        kills += next(&w).verdict == SCHEDULER_KILL;
        w.mono += DUR_MS(10);
    }
    cr_expect(kills > 55 && kills < 70, "%u times", kills);
    cr_expect_eq(w.jobs[0].kills, kills);
    ended(&w, 0);
    w.mono += DUR_S(100);
    expect(&w, "gone", 0, SCHEDULER_NOTHING);
    unmake(&w);
}

Test(scheduler, what_a_service_left_is_killed_after_its_grace)
{
    struct world w = made(1);

    w.jobs[0].schedule.kind = SCHEDULE_ALWAYS;
    w.jobs[0].grace = DUR_S(2);
    begin(&w);
    expect(&w, "the service", 0, SCHEDULER_START);
    pass(&w, DUR_S(1));
    scheduler_left(&w.s, &w.jobs[0], w.mono);
    expect(&w, "it was told by whoever saw it", 0, SCHEDULER_NOTHING);
    pass(&w, DUR_S(2));
    expect(&w, "its grace is over", 0, SCHEDULER_KILL);
    ended(&w, 0);
    pass(&w, DUR_S(1));
    expect(&w, "it comes back", 0, SCHEDULER_START);
    unmake(&w);
}

Test(scheduler, a_drain_lets_runs_end_and_then_has_the_released_jobs_run)
{
    struct world w = made(3);

    w.jobs[1].schedule.kind = SCHEDULE_ALWAYS;
    w.jobs[2].schedule.kind = SCHEDULE_RELEASED;
    begin(&w);
    pass(&w, DUR_S(1));
    expect(&w, "the service", 1, SCHEDULER_START);
    expect(&w, "the tick", 0, SCHEDULER_START);
    scheduler_drain(&w.s, w.mono, w.mono + DUR_S(10), w.mono + DUR_S(20));
    expect(&w, "a service would never end: it is told at once", 1, SCHEDULER_TERM);
    cr_expect_eq(w.jobs[1].why, STOP_DRAIN);
    ended(&w, 1);
    pass(&w, DUR_S(5));
    expect(&w, "nothing is started any more, a run goes on", 0, SCHEDULER_NOTHING);
    cr_expect_not(scheduler_is_over(&w.s));
    ended(&w, 0);
    expect(&w, "@released", 2, SCHEDULER_START);
    cr_expect_not(scheduler_is_over(&w.s));
    ended(&w, 2);
    expect(&w, "over", 0, SCHEDULER_NOTHING);
    cr_expect(scheduler_is_over(&w.s));
    scheduler_rest(&w.s);
    unmake(&w);
}

Test(scheduler, a_drain_is_over_in_time)
{
    struct world w = made(2);

    w.jobs[1].schedule.kind = SCHEDULE_RELEASED;
    begin(&w);
    pass(&w, DUR_S(1));
    expect(&w, "the tick", 0, SCHEDULER_START);
    mono_ns over_by = w.mono + DUR_S(4);
    scheduler_drain(&w.s, w.mono, w.mono + DUR_S(2), over_by);
    expect(&w, "it may go on", 0, SCHEDULER_NOTHING);
    pass(&w, DUR_S(2));
    expect(&w, "told to stop", 0, SCHEDULER_TERM);
    w.mono = scheduler_wake_mono(&w.s);
    cr_expect_eq(w.mono, over_by - SCHEDULER_KILL_MARGIN, "its grace is cut to what is left");
    expect(&w, "killed", 0, SCHEDULER_KILL);
    ended(&w, 0);
    expect(&w, "no time is left for @released", 1, SCHEDULER_SKIP);
    cr_expect(scheduler_is_over(&w.s));
    unmake(&w);
}

Test(scheduler, a_released_job_gets_what_is_left_and_no_more)
{
    struct world w = made(1);

    w.jobs[0].schedule.kind = SCHEDULE_RELEASED;
    begin(&w);
    mono_ns over_by = w.mono + DUR_S(3);
    scheduler_drain(&w.s, w.mono, w.mono, over_by);
    expect(&w, "started", 0, SCHEDULER_START);
    w.mono = scheduler_wake_mono(&w.s);
    expect(&w, "told to stop", 0, SCHEDULER_TERM);
    w.mono = scheduler_wake_mono(&w.s);
    cr_expect_eq(w.mono, over_by - SCHEDULER_KILL_MARGIN);
    expect(&w, "killed", 0, SCHEDULER_KILL);
    unmake(&w);
}

Test(scheduler, a_second_drain_only_shortens_the_first)
{
    struct world w = made(1);

    begin(&w);
    pass(&w, DUR_S(1));
    expect(&w, "the tick", 0, SCHEDULER_START);
    scheduler_drain(&w.s, w.mono, w.mono + DUR_S(10), w.mono + DUR_S(20));
    scheduler_drain(&w.s, w.mono, w.mono + DUR_S(30), w.mono + DUR_S(40));
    cr_expect_eq(scheduler_wake_mono(&w.s), w.mono + DUR_S(10));
    scheduler_drain(&w.s, w.mono, w.mono, w.mono + DUR_S(1));
    expect(&w, "at once", 0, SCHEDULER_TERM);
    cr_expect_eq(scheduler_wake_mono(&w.s), w.mono + DUR_S(1) - SCHEDULER_KILL_MARGIN);
    unmake(&w);
}

Test(scheduler, an_end_stops_everything_and_releases_nothing)
{
    struct world w = made(3);

    w.jobs[1].schedule.kind = SCHEDULE_RELEASED;
    w.jobs[2].schedule.kind = SCHEDULE_ALWAYS;
    begin(&w);
    pass(&w, DUR_S(1));
    expect(&w, "the service", 2, SCHEDULER_START);
    expect(&w, "the tick", 0, SCHEDULER_START);
    ended(&w, 2);
    scheduler_end(&w.s, w.mono);
    expect(&w, "told to stop", 0, SCHEDULER_TERM);
    cr_expect_eq(w.jobs[0].why, STOP_LOST);
    pass(&w, DUR_S(1));
    expect(&w, "the service does not come back", 0, SCHEDULER_NOTHING);
    scheduler_drain(&w.s, w.mono, w.mono + DUR_S(9), w.mono + DUR_S(9));
    cr_expect_eq(w.s.phase, SCHEDULER_ENDING, "nothing leads back from an end to a drain");
    ended(&w, 0);
    expect(&w, "no @released", 1, SCHEDULER_NOTHING);
    cr_expect(scheduler_is_over(&w.s));
    unmake(&w);
}

Test(scheduler, a_reload_keeps_runs_and_restarts_changed_services)
{
    struct world w = made(3);

    w.jobs[1].schedule.kind = SCHEDULE_ALWAYS;
    w.jobs[2].schedule.kind = SCHEDULE_ALWAYS;
    begin(&w);
    pass(&w, DUR_S(1));
    expect(&w, "service", 1, SCHEDULER_START);
    expect(&w, "service", 2, SCHEDULER_START);
    expect(&w, "tick", 0, SCHEDULER_START);
    replace(&w);
    w.jobs[2].enabled = false;
    w.jobs[0].schedule.every = DUR_S(60);
    scheduler_define(&w.s, &w.jobs[0], true, w.wall, w.mono);
    scheduler_define(&w.s, &w.jobs[1], true, w.wall, w.mono);
    scheduler_define(&w.s, &w.jobs[2], true, w.wall, w.mono);
    expect(&w, "a changed service is stopped", 1, SCHEDULER_TERM);
    cr_expect_eq(w.jobs[1].why, STOP_CHANGED);
    expect(&w, "a removed one too", 2, SCHEDULER_TERM);
    cr_expect_eq(w.jobs[2].why, STOP_REMOVED);
    expect(&w, "a changed run goes on", 0, SCHEDULER_NOTHING);
    cr_expect_eq(scheduler_wake_wall(&w.s), DUR_S(1020), "by the new schedule");
    ended(&w, 1);
    ended(&w, 2);
    expect(&w, "a changed service comes back at once", 1, SCHEDULER_START);
    expect(&w, "a removed one does not", 2, SCHEDULER_NOTHING);
    unmake(&w);
}

Test(scheduler, a_job_that_is_new_in_a_term_follows_its_schedule)
{
    struct world w = made(2);

    w.count = 1;
    begin(&w);
    w.count = 2;
    w.jobs[1].schedule.kind = SCHEDULE_ELECTED;
    replace(&w);
    w.jobs[1].schedule.kind = SCHEDULE_ALWAYS;
    scheduler_define(&w.s, &w.jobs[0], false, w.wall, w.mono);
    scheduler_define(&w.s, &w.jobs[1], true, w.wall, w.mono);
    expect(&w, "a new service starts", 1, SCHEDULER_START);
    expect(&w, "and only that", 0, SCHEDULER_NOTHING);
    unmake(&w);
}

Test(scheduler, nothing_starts_outside_a_term)
{
    struct world w = made(3);

    w.jobs[1].schedule.kind = SCHEDULE_ALWAYS;
    w.jobs[2].schedule.kind = SCHEDULE_ELECTED;
    replace(&w);
    for (size_t i = 0; i < 3; i++) {
        scheduler_define(&w.s, &w.jobs[i], true, w.wall, w.mono);
    }
    pass(&w, DUR_S(100));
    expect(&w, "resting", 0, SCHEDULER_NOTHING);
    cr_expect_eq(scheduler_wake_wall(&w.s), WALL_NEVER);
    cr_expect_eq(scheduler_wake_mono(&w.s), MONO_NEVER);
    unmake(&w);
}

Test(scheduler, ten_thousand_jobs_come_in_the_order_of_their_instants)
{
    struct world w = made(JOBS_MAX);
    wall_ns last = 0;
    unsigned starts = 0;

    for (size_t i = 0; i < w.count; i++) {
        w.jobs[i].schedule.every = DUR_S(1 + (dur_ns)(i * 7919 % 3600));
    }
    begin(&w);
    while (starts < 5 * JOBS_MAX) {
        w.wall = scheduler_wake_wall(&w.s);
        cr_assert(w.wall >= last);
        last = w.wall;
        struct scheduler_decision got = next(&w);
        cr_assert_eq(got.verdict, SCHEDULER_START);
        cr_assert_eq(got.scheduled_at, w.wall);
        scheduler_ended(&w.s, got.job, w.mono);
        starts++;
    }
    unmake(&w);
}
